/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel with VDUSE inside the test.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/vkernel.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "lib/test.h"

#define WAIT_NS (20 * 1000000000ULL)

static struct vkernel *the_kernel;

/* ---- system calls ---- */

static bool fails_now(struct vkernel *k)
{
	unsigned int n = __atomic_add_fetch(&k->n_calls, 1, __ATOMIC_RELAXED);

	if (k->fail_nth != 0 && n == k->fail_nth) {
		errno = EIO;
		return true;
	}
	return false;
}

static int fake_open(const char *path, int flags)
{
	struct vkernel *k = the_kernel;
	int pair[2];

	(void)flags;
	if (fails_now(k)) {
		return -1;
	}
	if (k->fail_open && strcmp(k->fail_open, path) == 0) {
		errno = k->fail_errno;
		return -1;
	}
	if (strcmp(path, "/dev/vduse/control") == 0) {
		k->version = UINT64_MAX; /* nobody has asked */
		return eventfd(0, EFD_CLOEXEC);
	}
	if (!k->exists) {
		errno = ENOENT;
		return -1;
	}
	assert_string_equal(path + strlen("/dev/vduse/"), k->created->name);
	assert_int_equal(socketpair(AF_UNIX,
				    SOCK_SEQPACKET | SOCK_NONBLOCK |
					    SOCK_CLOEXEC,
				    0, pair),
			 0);
	(void)close_fd(k->sock);
	k->sock = pair[1];
	k->is_open = true;
	return pair[0];
}

/* Has whoever opened the device closed it? */
static bool is_open(struct vkernel *k)
{
	struct pollfd p = { .fd = k->sock, .events = POLLRDHUP };

	return k->is_open && poll(&p, 1, 0) == 0;
}

static int do_create(struct vkernel *k, const struct vduse_create *c)
{
	uint64_t needed = BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	bool is_v1 = k->version == VDUSE_API_V1;

	if (c->config_size > VKERNEL_CONFIG_MAX || c->name[0] == '\0' ||
	    c->vq_num > VKERNEL_QUEUES_MAX || (c->features & needed) == 0 ||
	    is_v1 != (c->ngroups > 0) || is_v1 != (c->nas > 0) ||
	    (c->device_id == 1 && has_bit(c->features, 17)) ||
	    (c->device_id == 2 && has_bit(c->features, 11))) {
		return -EINVAL;
	}
	if (k->exists) {
		return -EEXIST;
	}
	k->exists = true;
	*k->created = *c;
	memcpy(k->config, c->config, c->config_size);
	for (unsigned int i = 0; i < VKERNEL_QUEUES_MAX; i++) {
		k->vqs[i].info = (struct vduse_vq_info){ .index = i };
		k->vqs[i].setup = (struct vduse_vq_setup){ 0 };
	}
	return 0;
}

static int do_destroy(struct vkernel *k, const char *name)
{
	if (!k->exists || strcmp(name, k->created->name) != 0) {
		return -EINVAL;
	}
	if (k->is_attached || is_open(k)) {
		return -EBUSY;
	}
	k->exists = false;
	return 0;
}

static int get_fd(struct vkernel *k, struct vduse_iotlb_entry_as *e,
		  uint32_t asid, size_t size)
{
	if (k->endless) {
		*(struct vduse_iotlb_entry *)e = (struct vduse_iotlb_entry){
			.start = e->start,
			.last = e->start,
			.perm = VDUSE_ACCESS_RW,
		};
		return fcntl(k->memfd, F_DUPFD_CLOEXEC, 0);
	}
	for (unsigned int i = 0; i < k->n_maps; i++) {
		const struct vkernel_map *m = &k->maps[i];

		if (m->entry.asid == asid && m->entry.last >= e->start) {
			memcpy(e, &m->entry, size);
			return fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
		}
	}
	return -EINVAL;
}

static int set_config(struct vkernel *k, const struct vduse_config_data *d)
{
	if (d->length == 0 ||
	    !range_fits(d->offset, d->length, k->created->config_size)) {
		return -EINVAL;
	}
	memcpy(k->config + d->offset, d->buffer, d->length);
	return 0;
}

static int set_kick(struct vkernel *k, const struct vduse_vq_eventfd *efd)
{
	struct vkernel_vq *vq = &k->vqs[efd->index];

	(void)close_fd(vq->kick_fd);
	vq->kick_fd = fcntl(efd->fd, F_DUPFD_CLOEXEC, 0);
	return vq->kick_fd < 0 ? -errno : 0;
}

/* Any thread. */
static int inject(struct vkernel *k, uint32_t idx)
{
	const uint64_t one = 1;

	if (!__atomic_load_n(&k->is_running, __ATOMIC_ACQUIRE)) {
		return -EINVAL;
	}
	assert_int_equal(write(k->vqs[idx].q.call_fd, &one, 8), 8);
	return 0;
}

static int vq_ioctl(struct vkernel *k, unsigned long cmd, void *arg)
{
	uint32_t idx = *(uint32_t *)arg; /* it stands first in all of them */

	if (idx >= k->created->vq_num) {
		return -EINVAL;
	}
	switch (cmd) {
	case VDUSE_VQ_SETUP:
		k->vqs[idx].setup = *(struct vduse_vq_setup *)arg;
		return 0;
	case VDUSE_VQ_GET_INFO:
		*(struct vduse_vq_info *)arg = k->vqs[idx].info;
		return 0;
	case VDUSE_VQ_SETUP_KICKFD:
		return set_kick(k, arg);
	case VDUSE_VQ_INJECT_IRQ:
		return inject(k, idx);
	default:
		return -ENOTTY;
	}
}

static int do_ioctl(struct vkernel *k, unsigned long cmd, void *arg)
{
	switch (cmd) {
	case VDUSE_GET_API_VERSION:
		*(uint64_t *)arg = k->version = k->latest;
		return 0;
	case VDUSE_SET_API_VERSION:
		k->version = *(uint64_t *)arg;
		return k->version > k->latest ? -EINVAL : 0;
	case VDUSE_CREATE_DEV:
		return do_create(k, arg);
	case VDUSE_DESTROY_DEV:
		return do_destroy(k, arg);
	case VDUSE_IOTLB_GET_FD:
		return get_fd(k, arg, 0, sizeof(struct vduse_iotlb_entry));
	case VDUSE_IOTLB_GET_FD2:
		return k->version == VDUSE_API_V1
			       ? get_fd(k, arg,
					((struct vduse_iotlb_entry_as *)arg)
						->asid,
					sizeof(struct vduse_iotlb_entry_as))
			       : -ENOTTY;
	case VDUSE_DEV_GET_FEATURES:
		*(uint64_t *)arg = k->features;
		return 0;
	case VDUSE_DEV_SET_CONFIG:
		return set_config(k, arg);
	case VDUSE_DEV_INJECT_CONFIG_IRQ:
		k->n_config_irqs += k->is_running;
		return k->is_running ? 0 : -EINVAL;
	default:
		return vq_ioctl(k, cmd, arg);
	}
}

static int fake_ioctl(int fd, unsigned long cmd, void *arg)
{
	struct vkernel *k = the_kernel;
	int r;

	(void)fd;
	if (fails_now(k)) {
		return -1;
	}
	if (cmd == k->fail_ioctl && k->fail_skip-- == 0) {
		k->fail_skip = 0;
		r = -k->fail_errno;
	} else {
		r = do_ioctl(k, cmd, arg);
	}
	if (r < 0) {
		errno = -r;
		return -1;
	}
	return r;
}

static int fake_attach(const char *name)
{
	struct vkernel *k = the_kernel;

	assert_string_equal(name, k->created->name);
	k->n_attached++;
	if (k->attach_result < 0) {
		return err(k->attach_result, "the kernel says no");
	}
	if (k->is_attached) {
		return err(-EEXIST, "the kernel has it");
	}
	k->is_attached = true;
	if (k->on_attach) {
		k->on_attach(k);
	}
	return 0;
}

static int fake_detach(const char *name)
{
	struct vkernel *k = the_kernel;

	(void)name;
	__atomic_add_fetch(&k->n_detached, 1, __ATOMIC_RELAXED);
	if (k->detach_result < 0) {
		return err(k->detach_result, "the kernel holds on");
	}
	k->is_attached = false;
	__atomic_store_n(&k->is_running, false, __ATOMIC_RELEASE);
	return 0;
}

static const struct kvduse_sys fake_system = {
	.open = fake_open,
	.ioctl = fake_ioctl,
	.attach = fake_attach,
	.detach = fake_detach,
};

/* ---- life ---- */

struct vkernel *vkernel_new(void)
{
	struct vkernel *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	k->created = calloc(1, sizeof(*k->created));
	assert_non_null(k->created);
	assert_null(the_kernel);
	the_kernel = k;
	k->w = vworld_new(NULL, 1);
	k->sock = -1;
	assert_int_equal(kvduse_register_on(k->w->bus, &fake_system, &k->drv),
			 0);
	(void)snprintf(k->folder, sizeof(k->folder),
		       "/tmp/vdpakit-test-XXXXXX");
	assert_non_null(mkdtemp(k->folder));
	assert_int_equal(vdpa_bus_set_run_dir(k->w->bus, k->folder), 0);
	k->memfd = memfd_create("kernel", MFD_CLOEXEC);
	assert_int_not_equal(k->memfd, -1);
	assert_int_equal(ftruncate(k->memfd, VKERNEL_MEM_BYTES), 0);
	k->mem = mmap(NULL, VKERNEL_MEM_BYTES, PROT_READ | PROT_WRITE,
		      MAP_SHARED, k->memfd, 0);
	assert_ptr_not_equal(k->mem, MAP_FAILED);
	for (unsigned int i = 0; i < VKERNEL_QUEUES_MAX; i++) {
		k->vqs[i].kick_fd = -1;
		k->vqs[i].q.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_int_not_equal(k->vqs[i].q.call_fd, -1);
	}
	return k;
}

void vkernel_free(struct vkernel *k)
{
	kvduse_unregister(k->drv);
	vworld_free(k->w);
	/* Fails when a log was left in it. */
	assert_int_equal(rmdir(k->folder), 0);
	for (unsigned int i = 0; i < VKERNEL_QUEUES_MAX; i++) {
		vq_driver_free(k->vqs[i].q.drv);
		(void)close_fd(k->vqs[i].kick_fd);
		close(k->vqs[i].q.call_fd);
	}
	munmap(k->mem, VKERNEL_MEM_BYTES);
	close(k->memfd);
	(void)close_fd(k->sock);
	the_kernel = NULL;
	free(k->created);
	free(k);
}

int vkernel_bind(struct vkernel *k, const char *dev, const char *keys)
{
	struct vdpa_param params[VDPA_PARAMS_MAX];
	char buf[512], *save = NULL, *key;
	unsigned int n = 0;

	(void)snprintf(buf, sizeof(buf), "%s", keys);
	for (key = strtok_r(buf, " ", &save); key;
	     key = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(key, '=');

		assert_non_null(equals);
		*equals = '\0';
		(void)snprintf(params[n].key, sizeof(params[n].key), "%s", key);
		(void)snprintf(params[n].value, sizeof(params[n].value), "%s",
			       equals + 1);
		n++;
	}
	return vdpa_dev_bind(k->w->bus, dev, "vduse", params, n);
}

void vkernel_restart(struct vkernel *k)
{
	kvduse_unregister(k->drv);
	assert_int_equal(kvduse_register_on(k->w->bus, &fake_system, &k->drv),
			 0);
}

/* ---- waiting ---- */

struct wait {
	struct loop *loop;
	bool is_late;
};

static void wait_is_over(void *priv, unsigned int events)
{
	(void)events;
	loop_stop(((struct wait *)priv)->loop);
}

static void wait_is_late(void *priv)
{
	struct wait *w = priv;

	w->is_late = true;
	loop_stop(w->loop);
}

void vkernel_wait(struct vkernel *k, int fd)
{
	struct wait wait = { .loop = k->w->control };
	struct loop_timer timer;
	struct loop_watch *watch;

	loop_timer_init(&timer, wait.loop, wait_is_late, &wait);
	assert_int_equal(loop_timer_set(&timer, WAIT_NS), 0);
	assert_int_equal(loop_watch_new(wait.loop, fd, LOOP_IN, wait_is_over,
					&wait, &watch),
			 0);
	assert_int_equal(loop_run(wait.loop), 0);
	loop_watch_free(watch);
	loop_timer_cancel(&timer);
	assert_false(wait.is_late);
}

void vkernel_run_once(struct vkernel *k)
{
	struct wait wait = { .loop = k->w->control };
	struct loop_timer timer;

	loop_timer_init(&timer, wait.loop, wait_is_late, &wait);
	assert_int_equal(loop_timer_set(&timer, 1000000), 0);
	assert_int_equal(loop_run(wait.loop), 0);
}

/* ---- requests ---- */

void vkernel_send(struct vkernel *k, const void *buf, size_t len)
{
	assert_int_equal(send(k->sock, buf, len, MSG_NOSIGNAL), len);
}

struct vduse_response vkernel_answer(struct vkernel *k, uint32_t request_id)
{
	struct vduse_response resp;

	vkernel_wait(k, k->sock);
	assert_int_equal(recv(k->sock, &resp, sizeof(resp), MSG_TRUNC),
			 sizeof(resp));
	assert_int_equal(resp.request_id, request_id);
	for (unsigned int i = 0; i < ARRAY_SIZE(resp.reserved); i++) {
		assert_int_equal(resp.reserved[i], 0);
	}
	return resp;
}

struct vduse_response vkernel_ask(struct vkernel *k, struct vduse_request *req)
{
	req->request_id = k->next_id++;
	vkernel_send(k, req, sizeof(*req));
	return vkernel_answer(k, req->request_id);
}

bool vkernel_status(struct vkernel *k, uint8_t status)
{
	struct vduse_request req = { .type = VDUSE_REQUEST_SET_STATUS };
	bool ok;

	req.s.status = status;
	ok = vkernel_ask(k, &req).result == VDUSE_REQ_RESULT_OK;
	if (ok) {
		__atomic_store_n(&k->is_running,
				 (status & VIRTIO_CONFIG_S_DRIVER_OK) != 0,
				 __ATOMIC_RELEASE);
	}
	return ok;
}

bool vkernel_update(struct vkernel *k)
{
	struct vduse_request req = { .type = VDUSE_REQUEST_UPDATE_IOTLB };

	req.iova.last = UINT64_MAX;
	return vkernel_ask(k, &req).result == VDUSE_REQ_RESULT_OK;
}

/* ---- the driver ---- */

void vkernel_map(struct vkernel *k, uint64_t start, uint64_t last, int fd,
		 uint64_t offset, uint8_t perm)
{
	assert_in_range(k->n_maps, 0, VKERNEL_MAPS_MAX - 1);
	k->maps[k->n_maps++] = (struct vkernel_map){
		.entry = { .offset = offset,
			   .start = start,
			   .last = last,
			   .perm = perm },
		.fd = fd,
	};
}

void vkernel_map_memory(struct vkernel *k)
{
	vkernel_map(k, VKERNEL_IOVA, VKERNEL_IOVA + VKERNEL_MEM_BYTES - 1,
		    k->memfd, 0, VDUSE_ACCESS_RW);
}

void *vkernel_alloc(struct vkernel *k, size_t size, size_t align)
{
	uint64_t at = align_up(k->next_free, align);

	assert_true(range_fits(at, size, VKERNEL_MEM_BYTES));
	k->next_free = at + size;
	return k->mem + at;
}

uint64_t vkernel_iova(const struct vkernel *k, const void *va)
{
	return VKERNEL_IOVA + (uint64_t)((const char *)va - k->mem);
}

void vkernel_make_queue(struct vkernel *k, unsigned int idx, uint16_t num)
{
	struct vkernel_vq *vq = &k->vqs[idx];
	struct vduse_vq_info *info = &vq->info;
	bool packed = has_bit(k->features, VIRTIO_F_RING_PACKED);
	struct vq_layout layout;
	void *ring;

	vq_layout(num, k->features, &layout);
	ring = vkernel_alloc(k, layout.size_bytes, 4096);
	memset(ring, 0, layout.size_bytes);
	vq->q.num = num;
	vq->q.ring_iova = vkernel_iova(k, ring);
	vq->q.drv = vq_driver_free(vq->q.drv);
	assert_int_equal(vq_driver_new(num, k->features, ring, vq->q.ring_iova,
				       &vq->q.drv),
			 0);
	*info = (struct vduse_vq_info){
		.index = idx,
		.num = num,
		.desc_addr = vq->q.ring_iova + layout.desc_area,
		.driver_addr = vq->q.ring_iova + layout.driver_area,
		.device_addr = vq->q.ring_iova + layout.device_area,
		.ready = 1,
	};
	if (packed) {
		info->packed.last_avail_counter = 1;
		info->packed.last_used_counter = 1;
	}
}

void vkernel_start(struct vkernel *k, uint64_t features, unsigned int n_queues,
		   uint16_t num)
{
	assert_true(vkernel_status(k, VIRTIO_CONFIG_S_ACKNOWLEDGE));
	assert_true(vkernel_status(k, 3));
	k->features = features | BIT_ULL(VIRTIO_F_VERSION_1) |
		      BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	assert_int_equal(k->features & ~k->created->features, 0);
	assert_true(vkernel_status(k, 0xb));
	if (k->n_maps == 0) {
		vkernel_map_memory(k);
	}
	for (unsigned int i = 0; i < n_queues; i++) {
		vkernel_make_queue(k, i, num);
	}
	assert_true(vkernel_status(k, 0xf));
}

void vkernel_reset(struct vkernel *k)
{
	assert_true(vkernel_status(k, 0));
	k->features = 0;
	k->next_free = 0;
	for (unsigned int i = 0; i < VKERNEL_QUEUES_MAX; i++) {
		struct vkernel_vq *vq = &k->vqs[i];

		vq->info = (struct vduse_vq_info){ .index = i };
		vq->kick_fd = close_fd(vq->kick_fd);
		vq->q.drv = vq_driver_free(vq->q.drv);
	}
}

void vkernel_kick(struct vkernel *k, unsigned int idx)
{
	const uint64_t one = 1;

	if (k->vqs[idx].kick_fd >= 0 && k->vqs[idx].info.ready) {
		assert_int_equal(write(k->vqs[idx].kick_fd, &one, 8), 8);
	}
}

static struct vq_used run_one(struct vkernel *k, unsigned int idx)
{
	struct vqueue *q = &k->vqs[idx].q;
	struct vq_used used;
	uint64_t n_calls;
	int n;

	if (vq_driver_publish(q->drv)) {
		vkernel_kick(k, idx);
	}
	while ((n = vq_driver_get(q->drv, &used, 1)) == 0) {
		if (!vq_driver_enable_call(q->drv)) {
			vkernel_wait(k, q->call_fd);
			assert_int_equal(read(q->call_fd, &n_calls, 8), 8);
		}
	}
	assert_int_equal(n, 1);
	return used;
}

uint8_t vkernel_blk(struct vkernel *k, unsigned int idx, uint32_t type,
		    uint64_t sector, void *data, uint32_t len)
{
	uint64_t mark = k->next_free;
	struct virtio_blk_outhdr *hdr = vkernel_alloc(k, sizeof(*hdr), 16);
	uint8_t *status = vkernel_alloc(k, 1, 1);
	bool is_in = type == VIRTIO_BLK_T_IN;
	const struct vq_sg sg[3] = {
		{ vkernel_iova(k, hdr), sizeof(*hdr) },
		{ vkernel_iova(k, data), len },
		{ vkernel_iova(k, status), 1 },
	};

	hdr->type = htole32(type);
	hdr->ioprio = 0;
	hdr->sector = htole64(sector);
	*status = 0xee;
	assert_int_equal(vq_driver_add(k->vqs[idx].q.drv, sg, is_in ? 1 : 2,
				       is_in ? 2 : 1, hdr),
			 0);
	assert_ptr_equal(run_one(k, idx).cookie, hdr);
	k->next_free = mark;
	return *status;
}
