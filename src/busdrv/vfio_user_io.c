/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfio-user: regions and interrupts, which the PCI function has.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/vfio_user_internal.h"

static size_t size_of(const struct vfio_user_msg *msg)
{
	return msg->hdr.size - sizeof(msg->hdr);
}

/* ---- regions ---- */

int vfio_user_get_region_info(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	struct vfio_region_info *info = (void *)msg->payload;
	uint64_t size;

	if (info->argsz < sizeof(*info) ||
	    info->index >= VFIO_PCI_NUM_REGIONS) {
		return err(-EINVAL, "region %u, room for %u bytes", info->index,
			   info->argsz);
	}
	size = virtio_pci_region_size(vu->pci, info->index);
	*info = (struct vfio_region_info){
		.argsz = sizeof(*info),
		.flags = size > 0 ? VFIO_REGION_INFO_FLAG_READ |
					    VFIO_REGION_INFO_FLAG_WRITE
				  : 0,
		.index = info->index,
		.size = size,
	};
	msg->reply_size = sizeof(*info);
	return 0;
}

/* As many queues as there may be descriptors. */
static int get_doorbells(struct vfio_user *vu, struct vfio_user_msg *msg,
			 struct vfio_user_ioeventfd *list, uint32_t *ret_n)
{
	uint32_t n = 0, max = min_of(vu->client_fds, (uint32_t)FD_PASS_MAX);
	uint64_t offset = 0;

	while (n < max && n < vu->vdev->nvqs) {
		int fd = virtio_pci_doorbell(vu->pci, n, &offset);

		if (fd < 0) {
			return fd;
		}
		list[n] = (struct vfio_user_ioeventfd){
			.offset = offset,
			.fd_index = n, /* size 0: of any width */
			.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD,
		};
		msg->reply_fds[n++] = fd;
	}
	*ret_n = n;
	return 0;
}

int vfio_user_get_region_io_fds(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	struct vfio_user_region_io_fds *fds = (void *)msg->payload;
	struct vfio_user_ioeventfd list[FD_PASS_MAX];
	uint32_t room = fds->argsz, n = 0, size;
	int r = 0;

	if (room < sizeof(*fds) || fds->flags != 0 || fds->count != 0 ||
	    virtio_pci_region_size(vu->pci, fds->index) == 0) {
		return err(-EINVAL,
			   "region %u, flags 0x%x, count %u, room for %u bytes",
			   fds->index, fds->flags, fds->count, room);
	}
	if (fds->index == VIRTIO_PCI_REGION_VIRTIO) {
		r = get_doorbells(vu, msg, list, &n);
	}
	if (r < 0) {
		return r;
	}
	size = (uint32_t)(sizeof(*fds) + n * sizeof(list[0]));
	fds->argsz = size;
	fds->count = n;
	msg->reply_size = sizeof(*fds);
	if (size <= room) {
		memcpy(fds + 1, list, n * sizeof(list[0]));
		msg->reply_size = size;
		msg->n_reply_fds = n;
	}
	return 0;
}

/* What would otherwise be a queue that breaks, for no reason that shows. */
static void check_memory(struct vfio_user *vu, uint32_t region, uint64_t offset)
{
	uint64_t area;

	if (virtio_pci_starts_queue(vu->pci, region, offset, &area) &&
	    vfio_user_dma_is_unshared(vu, area) && log_allowed(&vu->limit)) {
		log_warn(vu->vdev->name,
			 "vfio-user: a queue at 0x%llx is in memory without a "
			 "file: start the client with shared memory (QEMU: "
			 "-object memory-backend-memfd,share=on)",
			 (unsigned long long)area);
	}
}

static int check_access(const struct vfio_user_region_access *a)
{
	if (a->count == 0 || a->count > VFIO_USER_XFER_MAX) {
		return err(-EINVAL, "%u bytes, should be 1 to %d", a->count,
			   VFIO_USER_XFER_MAX);
	}
	return 0;
}

int vfio_user_region_read(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	struct vfio_user_region_access *a = (void *)msg->payload;
	int r = check_access(a);

	if (r == 0) {
		r = virtio_pci_read(vu->pci, a->region, a->offset, a + 1,
				    a->count);
	}
	msg->reply_size = (uint32_t)sizeof(*a) + a->count;
	return r;
}

int vfio_user_region_write(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	const struct vfio_user_region_access *a = (const void *)msg->payload;
	int r = check_access(a);

	if (r == 0 && size_of(msg) != sizeof(*a) + a->count) {
		r = err(-EINVAL, "%u bytes in %zu", a->count, size_of(msg));
	}
	if (r < 0) {
		return r;
	}
	check_memory(vu, a->region, a->offset);
	msg->reply_size = sizeof(*a);
	vfio_user_begin(vu);
	virtio_pci_write(vu->pci, &vu->op, a->region, a->offset, a + 1,
			 a->count);
	return vfio_user_wait(vu);
}

/* One after the other, up to the first that fails. */
static int go_on(struct vfio_user *vu, struct vfio_user_msg *msg, int result)
{
	const struct vfio_user_write_multi *m = (const void *)msg->payload;
	int r = result;

	while (r == 0 && vu->n_done < m->n) {
		const struct vfio_user_write_one *one =
			&m->writes[vu->n_done++];

		vfio_user_begin(vu);
		virtio_pci_write(vu->pci, &vu->op, one->region, one->offset,
				 one->data, one->count);
		r = vfio_user_wait(vu);
	}
	return r;
}

int vfio_user_region_write_multi(struct vfio_user *vu,
				 struct vfio_user_msg *msg)
{
	const struct vfio_user_write_multi *m = (const void *)msg->payload;
	size_t room = size_of(msg) - sizeof(*m);

	if (m->n == 0 || m->n > room / sizeof(m->writes[0]) ||
	    m->n * sizeof(m->writes[0]) != room) {
		return err(-EINVAL, "%llu writes in %zu bytes",
			   (unsigned long long)m->n, room);
	}
	for (size_t i = 0; i < m->n; i++) {
		if (m->writes[i].count > VFIO_USER_WRITE_BYTES) {
			return err(-EINVAL, "write %zu has %u bytes", i,
				   m->writes[i].count);
		}
	}
	vu->n_done = 0;
	vu->resume = go_on;
	msg->reply_size = sizeof(m->n);
	return go_on(vu, msg, 0);
}

/* ---- interrupts ---- */

int vfio_user_get_irq_info(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	struct vfio_irq_info *info = (void *)msg->payload;
	uint32_t flags = 0;

	/* Clients ask whether there are these, and are glad of a no. */
	msg->is_question = info->index == VFIO_PCI_ERR_IRQ_INDEX ||
			   info->index == VFIO_PCI_REQ_IRQ_INDEX;
	if (info->argsz < sizeof(*info) || msg->is_question ||
	    info->index >= VFIO_PCI_NUM_IRQS) {
		return err(-EINVAL, "interrupts %u, room for %u bytes",
			   info->index, info->argsz);
	}
	if (info->index == VIRTIO_PCI_INTX) {
		flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
			VFIO_IRQ_INFO_AUTOMASKED;
	} else if (info->index == VIRTIO_PCI_MSIX) {
		flags = VFIO_IRQ_INFO_EVENTFD;
	}
	*info = (struct vfio_irq_info){
		.argsz = sizeof(*info),
		.flags = flags,
		.index = info->index,
		.count = virtio_pci_n_irqs(vu->pci, info->index),
	};
	msg->reply_size = sizeof(*info);
	return 0;
}

static int check_eventfds(const struct vfio_user_irq_set *s,
			  const struct vfio_user_msg *msg)
{
	bool is_eventfd = s->flags & VFIO_IRQ_SET_DATA_EVENTFD;

	if (msg->n_fds != 0 && (!is_eventfd || msg->n_fds != s->count)) {
		return err(-EINVAL, "%u descriptors for %u interrupts",
			   msg->n_fds, s->count);
	}
	for (unsigned int i = 0; i < msg->n_fds; i++) {
		if (!fd_is_eventfd(msg->fds[i])) {
			return err(-EINVAL, "interrupt %u: not an eventfd",
				   s->start + i);
		}
	}
	return 0;
}

static int check_irqs(const struct vfio_user *vu,
		      const struct vfio_user_irq_set *s,
		      const struct vfio_user_msg *msg)
{
	uint32_t n = virtio_pci_n_irqs(vu->pci, s->index);
	uint32_t data = s->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	uint32_t action = s->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	size_t bytes = size_of(msg) - sizeof(*s);

	if ((s->flags &
	     ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)) ||
	    !is_pow2(data) || !is_pow2(action)) {
		return err(-EINVAL, "flags 0x%x", s->flags);
	}
	if (n == 0 || !range_fits(s->start, s->count, n)) {
		return err(-EINVAL, "interrupts %u: %u from %u on, of %u",
			   s->index, s->count, s->start, n);
	}
	if (s->argsz < sizeof(*s) ||
	    bytes != (data == VFIO_IRQ_SET_DATA_BOOL ? s->count : 0)) {
		return err(-EINVAL, "argsz %u, %zu bytes of data", s->argsz,
			   bytes);
	}
	/* MSI-X is masked by who has the table. */
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER &&
	    s->index != VIRTIO_PCI_INTX) {
		return err(-EINVAL, "interrupts %u cannot be masked", s->index);
	}
	return check_eventfds(s, msg);
}

static int set_eventfds(struct vfio_user *vu, const struct vfio_user_irq_set *s,
			struct vfio_user_msg *msg)
{
	int r;

	switch (s->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
	case VFIO_IRQ_SET_ACTION_TRIGGER:
		virtio_pci_set_irq_fds(vu->pci, s->index, s->start, s->count,
				       msg->n_fds > 0 ? msg->fds : NULL);
		return 0;
	case VFIO_IRQ_SET_ACTION_UNMASK:
		r = virtio_pci_set_unmask_fd(vu->pci,
					     msg->n_fds > 0 ? msg->fds[0] : -1);
		if (r == 0 && msg->n_fds > 0) {
			(void)steal_fd(&msg->fds[0]);
		}
		return r;
	default:
		return err(-EOPNOTSUPP, "an eventfd that masks");
	}
}

static void act(struct vfio_user *vu, const struct vfio_user_irq_set *s,
		uint32_t idx)
{
	uint32_t action = s->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;

	if (action == VFIO_IRQ_SET_ACTION_TRIGGER) {
		virtio_pci_trigger(vu->pci, s->index, idx);
	} else {
		virtio_pci_mask_intx(vu->pci,
				     action == VFIO_IRQ_SET_ACTION_MASK);
	}
}

int vfio_user_set_irqs(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	const struct vfio_user_irq_set *s = (const void *)msg->payload;
	const uint8_t *which = (const void *)(s + 1);
	bool is_bool = s->flags & VFIO_IRQ_SET_DATA_BOOL;
	int r = check_irqs(vu, s, msg);

	if (r < 0) {
		return r;
	}
	if (s->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		return set_eventfds(vu, s, msg);
	}
	if (s->count == 0 && (s->flags & VFIO_IRQ_SET_ACTION_TRIGGER)) {
		virtio_pci_set_irq_fds(vu->pci, s->index, 0,
				       virtio_pci_n_irqs(vu->pci, s->index),
				       NULL);
	}
	for (uint32_t i = 0; i < s->count; i++) {
		if (!is_bool || which[i] != 0) {
			act(vu, s, s->start + i);
		}
	}
	return 0;
}
