/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vfio-user client inside the test, and a virtio-pci driver on it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/vuser.h"

#include <endian.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "base/cleanup.h"
#include "base/unix.h"
#include "busdrv/vfio_user.h"
#include "lib/test.h"

/* ---- the world ---- */

struct vuser_world *vuser_world_new(struct sim *sim, unsigned int n_workers)
{
	struct vuser_world *vw = calloc(1, sizeof(*vw));

	assert_non_null(vw);
	vw->fw = vfront_world_new(sim, n_workers);
	assert_int_equal(vfio_user_register(vw->fw->w->bus, vw->fw->w->cdev,
					    &vw->drv),
			 0);
	return vw;
}

void vuser_world_cut(struct vuser_world *vw)
{
	if (vw->drv) {
		vfio_user_unregister(steal_ptr(vw->drv));
	}
}

void vuser_world_free(struct vuser_world *vw)
{
	vuser_world_cut(vw);
	vfront_world_free(vw->fw);
	free(vw);
}

int vuser_bind(struct vuser_world *vw, const char *dev, const char *key,
	       const char *value)
{
	struct vdpa_param params[2] = { { .key = "path" } };

	(void)snprintf(params[0].value, sizeof(params[0].value), "%s",
		       vw->fw->path);
	if (key) {
		(void)snprintf(params[1].key, sizeof(params[1].key), "%s", key);
		(void)snprintf(params[1].value, sizeof(params[1].value), "%s",
			       value);
	}
	return vdpa_dev_bind(vw->fw->w->bus, dev, "vfio_user", params,
			     key ? 2 : 1);
}

/* ---- life ---- */

struct vuser *vuser_connect(struct vuser_world *vw)
{
	struct vuser *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->vw = vw;
	c->fd = unix_connect(vw->fw->path, SOCK_STREAM);
	assert_true(c->fd >= 0);
	for (unsigned int i = 0; i < VUSER_QUEUES_MAX; i++) {
		c->q[i].call_fd = -1;
	}
	c->memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_not_equal(c->memfd, -1);
	assert_int_equal(ftruncate(c->memfd, VUSER_MEM_BYTES), 0);
	c->mem = mmap(NULL, VUSER_MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		      c->memfd, 0);
	assert_ptr_not_equal(c->mem, MAP_FAILED);
	return c;
}

void vuser_close(struct vuser *c)
{
	for (unsigned int i = 0; i < VUSER_QUEUES_MAX; i++) {
		vq_driver_free(c->q[i].drv);
		(void)close_fd(c->q[i].call_fd);
	}
	munmap(c->mem, VUSER_MEM_BYTES);
	close(c->memfd);
	(void)close_fd(c->fd);
	free(c);
}

/* ---- messages ---- */

int vuser_send(struct vuser *c, uint16_t command, uint32_t flags,
	       const void *payload, uint32_t size, const int *fds,
	       unsigned int n_fds)
{
	struct vfio_user_header hdr = {
		.id = c->next_id++,
		.command = command,
		.size = (uint32_t)sizeof(hdr) + size,
		.flags = flags,
	};
	struct iovec iov[2] = { { &hdr, sizeof(hdr) },
				{ (void *)(uintptr_t)payload, size } };
	struct fd_msg m = { .iov = iov, .n_iov = 2, .n_fds = n_fds };
	ssize_t n;

	if (n_fds > 0) {
		memcpy(m.fds, fds, n_fds * sizeof(int));
	}
	n = fd_send(c->fd, &m, MSG_DONTWAIT);
	if (n == -EPIPE || n == -ECONNRESET) {
		return -EPIPE;
	}
	assert_int_equal(n, sizeof(hdr) + size);
	return 0;
}

static int recv_all(struct vuser *c, void *buf, size_t len,
		    struct vuser_msg *msg)
{
	size_t done = 0;

	while (done < len) {
		struct iovec iov = { (char *)buf + done, len - done };
		struct fd_msg m = { .iov = &iov, .n_iov = 1 };
		ssize_t n;

		vfront_wait(c->vw->fw, c->fd);
		n = fd_recv(c->fd, &m, MSG_DONTWAIT);
		if (n <= 0) {
			return -EPIPE;
		}
		for (unsigned int i = 0; i < m.n_fds; i++) {
			assert_true(msg->n_fds < FD_PASS_MAX);
			msg->fds[msg->n_fds++] = m.fds[i];
		}
		done += (size_t)n;
	}
	return 0;
}

int vuser_recv(struct vuser *c, struct vuser_msg *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (recv_all(c, &ret->hdr, sizeof(ret->hdr), ret) < 0) {
		return -EPIPE;
	}
	assert_true(ret->hdr.size >= sizeof(ret->hdr));
	assert_true(ret->hdr.size <= sizeof(ret->hdr) + sizeof(ret->payload));
	assert_int_equal(ret->hdr.flags & VFIO_USER_TYPE_MASK, VFIO_USER_REPLY);
	return recv_all(c, ret->payload, ret->hdr.size - sizeof(ret->hdr), ret);
}

void vuser_expect_end(struct vuser *c)
{
	struct vuser_msg msg;

	while (vuser_recv(c, &msg) == 0) {
		for (unsigned int i = 0; i < msg.n_fds; i++) {
			close(msg.fds[i]);
		}
	}
}

int vuser_ask(struct vuser *c, uint16_t command, const void *payload,
	      uint32_t size, const int *fds, unsigned int n_fds,
	      struct vuser_msg *ret)
{
	struct vuser_msg own, *msg = ret ? ret : &own;
	uint16_t id = c->next_id;

	if (vuser_send(c, command, 0, payload, size, fds, n_fds) < 0 ||
	    vuser_recv(c, msg) < 0) {
		return -EPIPE;
	}
	assert_int_equal(msg->hdr.id, id);
	assert_int_equal(msg->hdr.command, command);
	for (unsigned int i = 0; !ret && i < own.n_fds; i++) {
		close(own.fds[i]);
	}
	if (msg->hdr.flags & VFIO_USER_ERROR) {
		assert_int_equal(msg->hdr.size, sizeof(msg->hdr));
		assert_int_not_equal(msg->hdr.error, 0);
		return -(int)msg->hdr.error;
	}
	assert_int_equal(msg->hdr.error, 0);
	return 0;
}

int vuser_version(struct vuser *c, uint16_t major, uint16_t minor,
		  const char *json, struct vuser_msg *ret)
{
	struct {
		uint16_t major, minor;
		char json[2048];
	} v = { .major = major, .minor = minor };
	size_t len = json ? strlen(json) + 1 : 0;

	assert_true(len <= sizeof(v.json));
	memcpy(v.json, json ? json : "", len);
	return vuser_ask(c, VFIO_USER_VERSION, &v, (uint32_t)(4 + len), NULL, 0,
			 ret);
}

void vuser_hello(struct vuser *c)
{
	assert_int_equal(vuser_version(c, VFIO_USER_MAJOR, VFIO_USER_MINOR,
				       "{\"capabilities\":{\"max_msg_fds\":8}}",
				       NULL),
			 0);
}

int vuser_map(struct vuser *c, uint64_t iova, uint64_t size, uint64_t offset,
	      uint32_t flags, int fd)
{
	const struct vfio_user_dma_map m = { sizeof(m), flags, offset, iova,
					     size };

	return vuser_ask(c, VFIO_USER_DMA_MAP, &m, sizeof(m), &fd, fd >= 0,
			 NULL);
}

int vuser_unmap(struct vuser *c, uint64_t iova, uint64_t size, uint32_t flags)
{
	const struct vfio_user_dma_unmap m = { sizeof(m), flags, iova, size };

	return vuser_ask(c, VFIO_USER_DMA_UNMAP, &m, sizeof(m), NULL, 0, NULL);
}

int vuser_set_irqs(struct vuser *c, uint32_t index, uint32_t flags,
		   uint32_t start, uint32_t count, const int *fds,
		   unsigned int n_fds)
{
	const struct vfio_user_irq_set s = {
		.argsz = sizeof(s),
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
	};

	return vuser_ask(c, VFIO_USER_DEVICE_SET_IRQS, &s, sizeof(s), fds,
			 n_fds, NULL);
}

/* ---- registers ---- */

int vuser_read(struct vuser *c, uint32_t region, uint64_t offset, void *buf,
	       uint32_t len)
{
	const struct vfio_user_region_access a = { offset, region, len };
	const struct vfio_user_region_access *got;
	struct vuser_msg msg;
	int r = vuser_ask(c, VFIO_USER_REGION_READ, &a, sizeof(a), NULL, 0,
			  &msg);

	if (r == 0) {
		got = (const void *)msg.payload;
		assert_int_equal(msg.hdr.size,
				 sizeof(msg.hdr) + sizeof(a) + len);
		assert_int_equal(got->offset, offset);
		assert_int_equal(got->region, region);
		assert_int_equal(got->count, len);
		memcpy(buf, got + 1, len);
	}
	return r;
}

int vuser_write(struct vuser *c, uint32_t region, uint64_t offset,
		const void *buf, uint32_t len)
{
	struct {
		struct vfio_user_region_access a;
		uint8_t data[4096];
	} m = { .a = { offset, region, len } };
	struct vuser_msg msg;
	int r;

	assert_true(len <= sizeof(m.data));
	memcpy(m.data, buf, len);
	r = vuser_ask(c, VFIO_USER_REGION_WRITE, &m, sizeof(m.a) + len, NULL, 0,
		      &msg);
	if (r == 0) {
		assert_int_equal(msg.hdr.size, sizeof(msg.hdr) + sizeof(m.a));
		assert_memory_equal(msg.payload, &m.a, sizeof(m.a));
	}
	return r;
}

static uint32_t get(struct vuser *c, uint32_t region, uint64_t at, uint32_t len)
{
	uint32_t value = 0;

	assert_int_equal(vuser_read(c, region, at, &value, len), 0);
	return le32toh(value);
}

static void set(struct vuser *c, uint32_t region, uint64_t at, uint32_t value,
		uint32_t len)
{
	value = htole32(value);
	assert_int_equal(vuser_write(c, region, at, &value, len), 0);
}

uint32_t vuser_cfg_read(struct vuser *c, uint32_t at, uint32_t len)
{
	return get(c, VFIO_PCI_CONFIG_REGION_INDEX, at, len);
}

void vuser_cfg_write(struct vuser *c, uint32_t at, uint32_t value, uint32_t len)
{
	set(c, VFIO_PCI_CONFIG_REGION_INDEX, at, value, len);
}

uint32_t vuser_get(struct vuser *c, unsigned int cap, uint32_t at, uint32_t len)
{
	assert_true(range_fits(at, len, c->caps[cap].length));
	return get(c, c->caps[cap].bar, c->caps[cap].offset + at, len);
}

void vuser_set(struct vuser *c, unsigned int cap, uint32_t at, uint32_t value,
	       uint32_t len)
{
	assert_true(range_fits(at, len, c->caps[cap].length));
	set(c, c->caps[cap].bar, c->caps[cap].offset + at, value, len);
}

static void take_virtio_cap(struct vuser *c, uint8_t at)
{
	uint8_t type = (uint8_t)vuser_cfg_read(c, at + 3U, 1);
	struct vuser_cap *cap = &c->caps[type];

	assert_in_range(type, VIRTIO_PCI_CAP_COMMON_CFG,
			VIRTIO_PCI_CAP_PCI_CFG);
	cap->bar = (uint8_t)vuser_cfg_read(c, at + 4U, 1);
	cap->offset = vuser_cfg_read(c, at + 8U, 4);
	cap->length = vuser_cfg_read(c, at + 12U, 4);
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
		cap->multiplier = vuser_cfg_read(c, at + 16U, 4);
	} else if (type == VIRTIO_PCI_CAP_PCI_CFG) {
		c->cfg_cap = at;
	}
}

void vuser_find_caps(struct vuser *c)
{
	uint8_t at = (uint8_t)vuser_cfg_read(c, PCI_CAPABILITY_LIST, 1);
	unsigned int n = 0;

	for (; at != 0 && n < 16; n++) {
		uint8_t id = (uint8_t)vuser_cfg_read(c, at, 1);

		if (id == PCI_CAP_ID_VNDR) {
			take_virtio_cap(c, at);
		} else if (id == PCI_CAP_ID_MSIX) {
			c->msix_cap = at;
		}
		at = (uint8_t)vuser_cfg_read(c, at + 1U, 1);
	}
	assert_in_range(n, 5, 15);
}

/* ---- the driver ---- */

#define COMMON VIRTIO_PCI_CAP_COMMON_CFG

uint8_t vuser_status(struct vuser *c)
{
	return (uint8_t)vuser_get(c, COMMON, VIRTIO_PCI_COMMON_STATUS, 1);
}

void vuser_set_status(struct vuser *c, uint8_t status)
{
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_STATUS, status, 1);
}

static uint64_t offered_features(struct vuser *c)
{
	uint64_t features = 0;

	for (uint32_t i = 0; i < 2; i++) {
		vuser_set(c, COMMON, VIRTIO_PCI_COMMON_DFSELECT, i, 4);
		features |=
			(uint64_t)vuser_get(c, COMMON, VIRTIO_PCI_COMMON_DF, 4)
			<< 32 * i;
	}
	return features;
}

void vuser_negotiate(struct vuser *c, uint64_t features)
{
	const uint8_t ok = VIRTIO_CONFIG_S_ACKNOWLEDGE |
			   VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;

	features |= BIT_ULL(VIRTIO_F_VERSION_1) |
		    BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	vuser_set_status(c, 0);
	assert_int_equal(vuser_status(c), 0);
	vuser_set_status(c,
			 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	assert_int_equal(features & ~offered_features(c), 0);
	for (uint32_t i = 0; i < 2; i++) {
		vuser_set(c, COMMON, VIRTIO_PCI_COMMON_GFSELECT, i, 4);
		vuser_set(c, COMMON, VIRTIO_PCI_COMMON_GF,
			  (uint32_t)(features >> 32 * i), 4);
	}
	vuser_set_status(c, ok);
	assert_int_equal(vuser_status(c), ok);
	c->features = features;
}

static void set_area(struct vuser *c, uint32_t at, uint64_t addr)
{
	vuser_set(c, COMMON, at, (uint32_t)addr, 4);
	vuser_set(c, COMMON, at + 4, (uint32_t)(addr >> 32), 4);
}

void vuser_set_up_queue(struct vuser *c, unsigned int idx, uint16_t num)
{
	struct vqueue *q = &c->q[idx];
	struct vq_layout layout;
	void *ring;

	vq_layout(num, c->features, &layout);
	ring = vuser_alloc(c, layout.size_bytes, 4096);
	memset(ring, 0, layout.size_bytes);
	q->num = num;
	q->ring_iova = vuser_gpa(c, ring);
	assert_int_equal(vq_driver_new(num, c->features, ring, q->ring_iova,
				       &q->drv),
			 0);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_SELECT, idx, 2);
	assert_true(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_SIZE, 2) >= num);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_SIZE, num, 2);
	if (c->has_msix) {
		vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_MSIX, idx + 1, 2);
		assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_MSIX,
					   2),
				 idx + 1);
	}
	set_area(c, VIRTIO_PCI_COMMON_Q_DESCLO,
		 q->ring_iova + layout.desc_area);
	set_area(c, VIRTIO_PCI_COMMON_Q_AVAILLO,
		 q->ring_iova + layout.driver_area);
	set_area(c, VIRTIO_PCI_COMMON_Q_USEDLO,
		 q->ring_iova + layout.device_area);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_ENABLE, 2),
			 1);
}

static void set_interrupts(struct vuser *c, unsigned int n_queues)
{
	const uint32_t flags = VFIO_IRQ_SET_DATA_EVENTFD |
			       VFIO_IRQ_SET_ACTION_TRIGGER;
	int fds[VUSER_QUEUES_MAX];

	for (unsigned int i = 0; i < n_queues; i++) {
		c->q[i].call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fds[i] = c->q[i].call_fd;
	}
	if (c->has_msix) {
		vuser_cfg_write(c, c->msix_cap + 2U, PCI_MSIX_FLAGS_ENABLE, 2);
	}
	assert_int_equal(vuser_set_irqs(c,
					c->has_msix ? VFIO_PCI_MSIX_IRQ_INDEX
						    : VFIO_PCI_INTX_IRQ_INDEX,
					flags, c->has_msix,
					c->has_msix ? n_queues : 1, fds,
					c->has_msix ? n_queues : 1),
			 0);
}

void vuser_start(struct vuser *c, uint64_t features, unsigned int n_queues,
		 uint16_t num, bool has_msix)
{
	c->has_msix = has_msix;
	vuser_hello(c);
	assert_int_equal(
		vuser_map(c, VUSER_GPA, VUSER_MEM_BYTES, 0, 3, c->memfd), 0);
	vuser_find_caps(c);
	vuser_cfg_write(c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
			2);
	set_interrupts(c, n_queues);
	vuser_negotiate(c, features);
	for (unsigned int i = 0; i < n_queues; i++) {
		vuser_set_up_queue(c, i, num);
	}
	vuser_set_status(c, 0xf);
	assert_int_equal(vuser_status(c), 0xf);
}

void vuser_notify(struct vuser *c, unsigned int idx)
{
	const struct vuser_cap *cap = &c->caps[VIRTIO_PCI_CAP_NOTIFY_CFG];

	vuser_set(c, VIRTIO_PCI_CAP_NOTIFY_CFG, idx * cap->multiplier, idx, 2);
}

/* ---- traffic ---- */

void *vuser_alloc(struct vuser *c, size_t size, size_t align)
{
	uint64_t at = align_up(c->next_free, align);

	assert_true(range_fits(at, size, VUSER_MEM_BYTES));
	c->next_free = at + size;
	return c->mem + at;
}

uint64_t vuser_gpa(const struct vuser *c, const void *va)
{
	return VUSER_GPA + (uint64_t)((const char *)va - c->mem);
}

/* As an interrupt handler does. */
static void take_interrupt(struct vuser *c, unsigned int idx)
{
	uint64_t n_calls;
	int fd = c->q[c->has_msix ? idx : 0].call_fd;

	vfront_wait(c->vw->fw, fd);
	assert_int_equal(read(fd, &n_calls, 8), 8);
	if (!c->has_msix) {
		assert_true(vuser_get(c, VIRTIO_PCI_CAP_ISR_CFG, 0, 1) & 1);
		assert_int_equal(
			vuser_set_irqs(c, VFIO_PCI_INTX_IRQ_INDEX,
				       VFIO_IRQ_SET_DATA_NONE |
					       VFIO_IRQ_SET_ACTION_UNMASK,
				       0, 1, NULL, 0),
			0);
	}
}

struct vq_used vuser_run_one(struct vuser *c, unsigned int idx)
{
	struct vqueue *q = &c->q[idx];
	struct vq_used used;
	int n;

	if (vq_driver_publish(q->drv)) {
		vuser_notify(c, idx);
	}
	while ((n = vq_driver_get(q->drv, &used, 1)) == 0) {
		if (!vq_driver_enable_call(q->drv)) {
			take_interrupt(c, idx);
		}
	}
	assert_int_equal(n, 1);
	return used;
}

uint8_t vuser_blk(struct vuser *c, unsigned int idx, uint32_t type,
		  uint64_t sector, void *data, uint32_t len)
{
	uint64_t mark = c->next_free;
	struct virtio_blk_outhdr *hdr = vuser_alloc(c, sizeof(*hdr), 16);
	uint8_t *status = vuser_alloc(c, 1, 1);
	bool is_in = type == VIRTIO_BLK_T_IN;
	const struct vq_sg sg[3] = {
		{ vuser_gpa(c, hdr), sizeof(*hdr) },
		{ vuser_gpa(c, data), len },
		{ vuser_gpa(c, status), 1 },
	};

	*hdr = (struct virtio_blk_outhdr){ .type = htole32(type),
					   .sector = htole64(sector) };
	*status = 0xee;
	assert_int_equal(vq_driver_add(c->q[idx].drv, sg, is_in ? 1 : 2,
				       is_in ? 2 : 1, hdr),
			 0);
	assert_ptr_equal(vuser_run_one(c, idx).cookie, hdr);
	c->next_free = mark;
	return *status;
}
