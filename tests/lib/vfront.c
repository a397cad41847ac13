/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user front end inside the test.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/vfront.h"

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

#include "base/fd.h"
#include "base/unix.h"
#include "busdrv/vhost_user.h"
#include "lib/test.h"

/* Longer than any deadline of the bus driver's. */
#define WAIT_NS (20 * 1000000000ULL)

/* ---- the world ---- */

struct vfront_world *vfront_world_new(struct sim *sim, unsigned int n_workers)
{
	struct vfront_world *fw = calloc(1, sizeof(*fw));

	assert_non_null(fw);
	fw->w = vworld_new(sim, n_workers);
	assert_int_equal(vhost_user_register(fw->w->bus, fw->w->cdev, &fw->drv),
			 0);
	(void)snprintf(fw->folder, sizeof(fw->folder),
		       "/tmp/vdpakit-test-XXXXXX");
	assert_non_null(mkdtemp(fw->folder));
	(void)snprintf(fw->path, sizeof(fw->path), "%s/sock", fw->folder);
	return fw;
}

void vfront_world_free(struct vfront_world *fw)
{
	vhost_user_unregister(fw->drv);
	vworld_free(fw->w);
	/* Fails when a socket was left in it. */
	assert_int_equal(rmdir(fw->folder), 0);
	free(fw);
}

int vfront_bind(struct vfront_world *fw, const char *dev, const char *key,
		const char *value)
{
	struct vdpa_param params[2] = { { .key = "path" } };

	(void)snprintf(params[0].value, sizeof(params[0].value), "%s",
		       fw->path);
	if (key) {
		(void)snprintf(params[1].key, sizeof(params[1].key), "%s", key);
		(void)snprintf(params[1].value, sizeof(params[1].value), "%s",
			       value);
	}
	return vdpa_dev_bind(fw->w->bus, dev, "vhost_user", params,
			     key ? 2 : 1);
}

/* ---- waiting ---- */

struct wait {
	struct loop *loop;
	int fd;
	bool is_late;
};

static bool is_readable(void *priv)
{
	struct pollfd p = { .fd = ((struct wait *)priv)->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

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

void vfront_wait(struct vfront_world *fw, int fd)
{
	struct vworld *w = fw->w;
	struct wait wait = { .loop = w->control, .fd = fd };
	struct loop_timer timer;
	struct loop_watch *watch;

	if (w->sim) {
		assert_int_equal(sim_run(w->sim, WAIT_NS, is_readable, &wait),
				 0);
		return;
	}
	loop_timer_init(&timer, w->control, wait_is_late, &wait);
	assert_int_equal(loop_timer_set(&timer, WAIT_NS), 0);
	assert_int_equal(loop_watch_new(w->control, fd, LOOP_IN, wait_is_over,
					&wait, &watch),
			 0);
	assert_int_equal(loop_run(w->control), 0);
	loop_watch_free(watch);
	loop_timer_cancel(&timer);
	assert_false(wait.is_late);
}

void vfront_run(struct vfront_world *fw, uint64_t ns)
{
	struct wait wait = { .loop = fw->w->control };
	struct loop_timer timer;

	loop_timer_init(&timer, fw->w->control, wait_is_late, &wait);
	assert_int_equal(loop_timer_set(&timer, ns), 0);
	if (fw->w->sim) {
		assert_int_equal(sim_run(fw->w->sim, ns, NULL, NULL), 0);
	} else {
		assert_int_equal(loop_run(fw->w->control), 0);
	}
	loop_timer_cancel(&timer);
}

/* ---- life ---- */

struct vfront *vfront_new(struct vfront_world *fw, int take_fd)
{
	struct vfront *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(take_fd >= 0);
	f->fw = fw;
	f->fd = take_fd;
	for (unsigned int i = 0; i < VFRONT_QUEUES_MAX; i++) {
		f->q[i].kick_fd = -1;
		f->q[i].call_fd = -1;
	}
	f->memfd = memfd_create("front", MFD_CLOEXEC);
	assert_int_not_equal(f->memfd, -1);
	assert_int_equal(ftruncate(f->memfd, VFRONT_MEM_BYTES), 0);
	f->mem = mmap(NULL, VFRONT_MEM_BYTES, PROT_READ | PROT_WRITE,
		      MAP_SHARED, f->memfd, 0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	return f;
}

struct vfront *vfront_connect(struct vfront_world *fw)
{
	return vfront_new(fw, unix_connect(fw->path, SOCK_STREAM));
}

void vfront_close(struct vfront *f)
{
	for (unsigned int i = 0; i < VFRONT_QUEUES_MAX; i++) {
		vq_driver_free(f->q[i].drv);
		if (f->q[i].kick_fd >= 0) {
			close(f->q[i].kick_fd);
			close(f->q[i].call_fd);
		}
	}
	munmap(f->mem, VFRONT_MEM_BYTES);
	close(f->memfd);
	close(f->fd);
	free(f);
}

/* ---- messages ---- */

int vfront_send(struct vfront *f, uint32_t request, uint32_t flags,
		const void *payload, uint32_t size, const int *fds,
		unsigned int n_fds)
{
	struct vhost_user_header hdr = { request, VHOST_USER_VERSION | flags,
					 size };
	struct iovec iov[2] = { { &hdr, sizeof(hdr) },
				{ (void *)(uintptr_t)payload, size } };
	struct fd_msg m = { .iov = iov, .n_iov = 2, .n_fds = n_fds };
	ssize_t n;

	if (n_fds > 0) {
		memcpy(m.fds, fds, n_fds * sizeof(int));
	}
	n = fd_send(f->fd, &m, MSG_DONTWAIT);
	if (n == -EPIPE || n == -ECONNRESET) {
		return -EPIPE;
	}
	assert_int_equal(n, sizeof(hdr) + size);
	return 0;
}

static int recv_all(struct vfront *f, void *buf, size_t len, int *fd)
{
	size_t done = 0;

	while (done < len) {
		struct iovec iov = { (char *)buf + done, len - done };
		struct fd_msg m = { .iov = &iov, .n_iov = 1 };
		ssize_t n;

		vfront_wait(f->fw, f->fd);
		n = fd_recv(f->fd, &m, MSG_DONTWAIT);
		if (n <= 0) {
			return -EPIPE;
		}
		if (m.n_fds > 0) {
			assert_int_equal(*fd, -1);
			*fd = m.fds[0];
			m.fds[0] = -1;
			fd_msg_close(&m);
		}
		done += (size_t)n;
	}
	return 0;
}

int vfront_recv(struct vfront *f, struct vfront_msg *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->fd = -1;
	if (recv_all(f, &ret->hdr, sizeof(ret->hdr), &ret->fd) < 0) {
		return -EPIPE;
	}
	assert_true(ret->hdr.size <= sizeof(ret->payload));
	assert_int_equal(ret->hdr.flags,
			 VHOST_USER_VERSION | VHOST_USER_REPLY_FLAG);
	return recv_all(f, &ret->payload, ret->hdr.size, &ret->fd);
}

void vfront_expect_end(struct vfront *f)
{
	struct vfront_msg msg;

	while (vfront_recv(f, &msg) == 0) {
		assert_int_equal(msg.fd, -1);
	}
}

int vfront_sync(struct vfront *f)
{
	struct vfront_msg msg;

	if (vfront_send(f, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0) < 0) {
		return -EPIPE;
	}
	do {
		if (vfront_recv(f, &msg) < 0) {
			return -EPIPE;
		}
		if (msg.fd >= 0) {
			close(msg.fd);
		}
	} while (msg.hdr.request != VHOST_USER_GET_FEATURES);
	return 0;
}

int vfront_ack(struct vfront *f, uint32_t request, const void *payload,
	       uint32_t size, const int *fds, unsigned int n_fds)
{
	struct vfront_msg msg;

	if (vfront_send(f, request, VHOST_USER_NEED_REPLY, payload, size, fds,
			n_fds) < 0 ||
	    vfront_recv(f, &msg) < 0) {
		return -EPIPE;
	}
	assert_int_equal(msg.hdr.request, request);
	assert_int_equal(msg.hdr.size, 8);
	return msg.payload.u64 != 0;
}

void vfront_must(struct vfront *f, uint32_t request, const void *payload,
		 uint32_t size, const int *fds, unsigned int n_fds)
{
	int r = vfront_ack(f, request, payload, size, fds, n_fds);

	if (r != 0) {
		fail_msg("request %u: %s", request,
			 r == 1 ? "refused" : "closed");
	}
}

int vfront_ack_u64(struct vfront *f, uint32_t request, uint64_t value)
{
	return vfront_ack(f, request, &value, sizeof(value), NULL, 0);
}

int vfront_ack_state(struct vfront *f, uint32_t request, uint32_t idx,
		     uint32_t num)
{
	const struct vhost_vring_state s = { idx, num };

	return vfront_ack(f, request, &s, sizeof(s), NULL, 0);
}

uint64_t vfront_get(struct vfront *f, uint32_t request)
{
	struct vfront_msg msg;

	assert_int_equal(vfront_send(f, request, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(vfront_recv(f, &msg), 0);
	assert_int_equal(msg.hdr.request, request);
	assert_int_equal(msg.hdr.size, 8);
	return msg.payload.u64;
}

uint32_t vfront_get_base(struct vfront *f, uint32_t idx)
{
	const struct vhost_vring_state s = { .index = idx };
	struct vfront_msg msg;

	assert_int_equal(vfront_send(f, VHOST_USER_GET_VRING_BASE, 0, &s,
				     sizeof(s), NULL, 0),
			 0);
	assert_int_equal(vfront_recv(f, &msg), 0);
	assert_int_equal(msg.hdr.request, VHOST_USER_GET_VRING_BASE);
	assert_int_equal(msg.payload.state.index, idx);
	return msg.payload.state.num;
}

/* ---- set-up ---- */

void vfront_negotiate(struct vfront *f, uint64_t features)
{
	uint64_t offered = vfront_get(f, VHOST_USER_GET_FEATURES);

	features |= BIT_ULL(VIRTIO_F_VERSION_1) |
		    BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES);
	assert_int_equal(features & ~offered, 0);
	f->features = features;
	f->protocol_features = vfront_get(f, VHOST_USER_GET_PROTOCOL_FEATURES);
	assert_int_equal(vfront_send(f, VHOST_USER_SET_PROTOCOL_FEATURES, 0,
				     &f->protocol_features, 8, NULL, 0),
			 0);
	vfront_must(f, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_FEATURES, features),
			 0);
}

int vfront_set_memory(struct vfront *f)
{
	const struct vhost_user_mem_table t = {
		.n_regions = 1,
		.regions = { { VFRONT_GPA, VFRONT_MEM_BYTES, VFRONT_UADDR } },
	};

	return vfront_ack(f, VHOST_USER_SET_MEM_TABLE, &t, 40, &f->memfd, 1);
}

void vfront_make_queue(struct vfront *f, unsigned int idx, uint16_t num)
{
	struct vqueue *q = &f->q[idx];
	struct vq_layout layout;
	void *ring;

	vq_layout(num, f->features, &layout);
	ring = vfront_alloc(f, layout.size_bytes, 4096);
	memset(ring, 0, layout.size_bytes);
	q->num = num;
	q->ring_iova = vfront_gpa(f, ring);
	q->base = has_bit(f->features, VIRTIO_F_RING_PACKED) ? 0x80008000 : 0;
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(vq_driver_new(num, f->features, ring, q->ring_iova,
				       &q->drv),
			 0);
}

void vfront_set_addr(struct vfront *f, unsigned int idx, uint64_t uaddr)
{
	const struct vqueue *q = &f->q[idx];
	uint64_t at = q->ring_iova - VFRONT_GPA + uaddr;
	struct vhost_vring_addr addr = { .index = idx };
	struct vq_layout layout;

	vq_layout(q->num, f->features, &layout);
	addr.desc_user_addr = at + layout.desc_area;
	addr.avail_user_addr = at + layout.driver_area;
	addr.used_user_addr = at + layout.device_area;
	vfront_must(f, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

void vfront_set_ring(struct vfront *f, unsigned int idx)
{
	const struct vqueue *q = &f->q[idx];

	assert_int_equal(
		vfront_ack_state(f, VHOST_USER_SET_VRING_NUM, idx, q->num), 0);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_BASE, idx,
					  q->base),
			 0);
	vfront_set_addr(f, idx, VFRONT_UADDR);
}

void vfront_set_kick(struct vfront *f, unsigned int idx)
{
	const uint64_t u64 = idx;

	vfront_must(f, VHOST_USER_SET_VRING_KICK, &u64, 8, &f->q[idx].kick_fd,
		    1);
}

void vfront_set_call(struct vfront *f, unsigned int idx)
{
	const uint64_t u64 = idx;

	vfront_must(f, VHOST_USER_SET_VRING_CALL, &u64, 8, &f->q[idx].call_fd,
		    1);
}

void vfront_start(struct vfront *f, uint64_t features, unsigned int n_queues,
		  uint16_t num)
{
	vfront_negotiate(f, features);
	assert_int_equal(vfront_set_memory(f), 0);
	for (unsigned int i = 0; i < n_queues; i++) {
		vfront_make_queue(f, i, num);
		vfront_set_ring(f, i);
		vfront_set_kick(f, i);
		vfront_set_call(f, i);
		assert_int_equal(
			vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1),
			0);
	}
}

/* ---- traffic ---- */

void *vfront_alloc(struct vfront *f, size_t size, size_t align)
{
	uint64_t at = align_up(f->next_free, align);

	assert_true(range_fits(at, size, VFRONT_MEM_BYTES));
	f->next_free = at + size;
	return f->mem + at;
}

uint64_t vfront_gpa(const struct vfront *f, const void *va)
{
	return VFRONT_GPA + (uint64_t)((const char *)va - f->mem);
}

struct vq_used vfront_run_one(struct vfront *f, unsigned int idx)
{
	struct vqueue *q = &f->q[idx];
	struct vq_used used;
	uint64_t one = 1, n_calls;
	int n;

	if (vq_driver_publish(q->drv)) {
		assert_int_equal(write(q->kick_fd, &one, 8), 8);
	}
	while ((n = vq_driver_get(q->drv, &used, 1)) == 0) {
		if (!vq_driver_enable_call(q->drv)) {
			vfront_wait(f->fw, q->call_fd);
			assert_int_equal(read(q->call_fd, &n_calls, 8), 8);
		}
	}
	assert_int_equal(n, 1);
	return used;
}

uint8_t vfront_blk(struct vfront *f, unsigned int idx, uint32_t type,
		   uint64_t sector, void *data, uint32_t len)
{
	uint64_t mark = f->next_free;
	struct virtio_blk_outhdr *hdr = vfront_alloc(f, sizeof(*hdr), 16);
	uint8_t *status = vfront_alloc(f, 1, 1);
	bool is_in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct vq_sg sg[3];
	unsigned int n = 0;

	hdr->type = htole32(type);
	hdr->ioprio = 0;
	hdr->sector = htole64(sector);
	*status = 0xee;
	sg[n++] = (struct vq_sg){ vfront_gpa(f, hdr), sizeof(*hdr) };
	if (len > 0) {
		sg[n++] = (struct vq_sg){ vfront_gpa(f, data), len };
	}
	sg[n++] = (struct vq_sg){ vfront_gpa(f, status), 1 };
	assert_int_equal(vq_driver_add(f->q[idx].drv, sg,
				       len > 0 && !is_in ? 2 : 1,
				       len > 0 && is_in ? 2 : 1, hdr),
			 0);
	assert_ptr_equal(vfront_run_one(f, idx).cookie, hdr);
	f->next_free = mark;
	return *status;
}
