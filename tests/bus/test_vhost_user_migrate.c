/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what the vhost-user bus driver does for those who move a guest: the
 * dirty log, device state, inflight memory, and what the network is told.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "lib/test.h"
#include "lib/vfront.h"

/* Covers the front end's memory and a little more. */
#define LOG_BYTES ((VFRONT_GPA + VFRONT_MEM_BYTES) / 4096 / 8 + 64)

struct fixture {
	struct vfront_world *fw;
	struct vdpa_device *vdev;
	struct vfront *f;
	int log_fd;
	uint8_t *log;
	unsigned int n_fds;
};

static int set_up_with(void **state, const char *mgmtdev)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->n_fds = test_count_fds();
	fx->fw = vfront_world_new(NULL, 1);
	vworld_add(fx->fw->w, mgmtdev, "b0", 0, NULL, NULL);
	fx->vdev = vdpa_device_find(fx->fw->w->bus, "b0");
	assert_int_equal(vfront_bind(fx->fw, "b0", NULL, NULL), 0);
	fx->f = vfront_connect(fx->fw);
	fx->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fx->log_fd, 4096 + LOG_BYTES), 0);
	fx->log = mmap(NULL, 4096 + LOG_BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED, fx->log_fd, 0);
	assert_ptr_not_equal(fx->log, MAP_FAILED);
	*state = fx;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, "vdpasim_blk");
}

static int set_up_net(void **state)
{
	return set_up_with(state, "vdpasim_net");
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vfront_close(fx->f);
	vfront_world_free(fx->fw);
	munmap(fx->log, 4096 + LOG_BYTES);
	close(fx->log_fd);
	assert_int_equal(test_count_fds(), fx->n_fds);
	free(fx);
	return 0;
}

/* ---- the dirty log ---- */

/* The bitmap begins one page into its file. */
static int set_log(struct fixture *fx, uint64_t size, uint64_t offset)
{
	const struct vhost_user_log l = { size, offset };
	struct vfront_msg msg;

	assert_int_equal(vfront_send(fx->f, VHOST_USER_SET_LOG_BASE, 0, &l,
				     sizeof(l), &fx->log_fd, 1),
			 0);
	if (vfront_recv(fx->f, &msg) < 0) {
		return -EPIPE;
	}
	assert_int_equal(msg.hdr.request, VHOST_USER_SET_LOG_BASE);
	return msg.payload.u64 != 0;
}

static void set_logging(struct fixture *fx, bool on)
{
	uint64_t features = fx->f->features;

	if (on) {
		features |= BIT_ULL(VHOST_USER_LOG_ALL_BIT);
	}
	assert_int_equal(
		vfront_ack_u64(fx->f, VHOST_USER_SET_FEATURES, features), 0);
}

static bool take_bit(struct fixture *fx, uint64_t gpa)
{
	uint8_t *byte = fx->log + 4096 + gpa / 4096 / 8;
	uint8_t bit = 1U << (gpa / 4096 % 8);
	bool was = *byte & bit;

	*byte &= (uint8_t)~bit;
	return was;
}

static bool is_clean(const struct fixture *fx)
{
	for (size_t i = 0; i < LOG_BYTES; i++) {
		if (fx->log[4096 + i] != 0) {
			return false;
		}
	}
	return true;
}

/* The worker has gone to sleep: before that it writes to the ring, and marks
 * it, once more. Each of these is a round of its loop. */
static void let_worker_settle(struct fixture *fx)
{
	char config[8];

	for (int i = 0; i < 3; i++) {
		assert_int_equal(vdpa_get_config_raw(fx->vdev, 0, config,
						     sizeof(config)),
				 0);
	}
}

static void check_log(void **state, uint64_t features, bool moves_used)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	struct vhost_vring_addr addr = { .flags = 1 << VHOST_VRING_F_LOG };
	char *data, *out;
	struct vq_layout layout;

	vfront_start(f, features, 1, 8);
	data = vfront_alloc(f, 4096, 4096);
	out = vfront_alloc(f, 4096, 4096);
	(void)vfront_alloc(f, 4096, 4096);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_int_equal(set_log(fx, LOG_BYTES, 4096), 0);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_true(is_clean(fx));
	set_logging(fx, true);
	vq_layout(8, f->features, &layout);
	if (moves_used) {
		addr.desc_user_addr = VFRONT_UADDR + layout.desc_area;
		addr.avail_user_addr = VFRONT_UADDR + layout.driver_area;
		addr.used_user_addr = VFRONT_UADDR + layout.device_area;
		addr.log_guest_addr = 0x8000;
		vfront_must(f, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr),
			    NULL, 0);
	}
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_OUT, 0, out, 4096), 0);
	let_worker_settle(fx);
	assert_true(take_bit(fx, vfront_gpa(f, data)));
	assert_false(take_bit(fx, vfront_gpa(f, out)));
	/* header and status of the request; then the ring */
	assert_true(take_bit(fx, VFRONT_GPA + f->next_free));
	assert_true(take_bit(fx, moves_used ? 0x8000
					    : VFRONT_GPA + layout.device_area));
	/* event suppression and the ring are one page here */
	(void)take_bit(fx, VFRONT_GPA);
	assert_true(is_clean(fx));
	set_logging(fx, false);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_true(is_clean(fx));
}

static void test_log_marks_what_is_written(void **state)
{
	check_log(state, 0, false);
}

static void test_log_marks_the_used_ring_where_it_is_told(void **state)
{
	check_log(state, 0, true);
}

static void test_log_of_a_packed_ring(void **state)
{
	check_log(state, BIT_ULL(VIRTIO_F_RING_PACKED), false);
}

/* The table changes while the log is kept. */
static void test_log_follows_the_memory_table(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	const uint64_t half = VFRONT_MEM_BYTES / 2;
	const int fds[2] = { f->memfd, f->memfd };
	struct vhost_user_mem_table t = {
		.n_regions = 2,
		.regions = {
			{ VFRONT_GPA, half, VFRONT_UADDR, 0 },
			{ VFRONT_GPA + half, half, VFRONT_UADDR + half, half },
		},
	};
	char *data;

	vfront_start(f, 0, 1, 8);
	assert_int_equal(set_log(fx, LOG_BYTES, 4096), 0);
	set_logging(fx, true);
	vfront_must(f, VHOST_USER_SET_MEM_TABLE, &t, 72, fds, 2);
	f->next_free = half;
	data = vfront_alloc(f, 4096, 4096);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_true(take_bit(fx, VFRONT_GPA + half));
	/* the next front end begins without */
	vfront_close(f);
	fx->f = f = vfront_connect(fx->fw);
	vfront_start(f, 0, 1, 8);
	memset(fx->log, 0, LOG_BYTES + 4096);
	data = vfront_alloc(f, 4096, 4096);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_true(is_clean(fx));
}

static void test_h67_logs_that_cannot_be(void **state)
{
	static const struct vhost_user_log rows[] = {
		{ 0, 0 },
		{ LOG_BYTES, 8192 },
		{ 4096 + LOG_BYTES + 1, 0 },
		{ UINT64_MAX, 0 },
		{ LOG_BYTES, UINT64_MAX - 4096 },
		{ 1024, 0 }, /* lacks most pages */
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		vfront_start(fx->f, 0, 1, 8);
		assert_int_equal(set_log(fx, rows[i].mmap_size,
					 rows[i].mmap_offset),
				 -EPIPE);
		vfront_close(fx->f);
		fx->f = vfront_connect(fx->fw);
	}
}

/* The log's file shrinks while it is marked in. */
static void test_h67_a_log_that_shrinks(void **state)
{
	struct fixture *fx = *state;
	char *data;

	if (TEST_HAS_TSAN) {
		TEST_SKIP("the thread sanitizer holds SIGBUS back");
	}
	vfront_start(fx->f, 0, 1, 8);
	data = vfront_alloc(fx->f, 4096, 4096);
	assert_int_equal(set_log(fx, LOG_BYTES, 4096), 0);
	set_logging(fx, true);
	assert_int_equal(ftruncate(fx->log_fd, 0), 0);
	assert_int_equal(vfront_blk(fx->f, 0, VIRTIO_BLK_T_IN, 0, data, 4096),
			 0);
	assert_int_equal(ftruncate(fx->log_fd, 4096 + LOG_BYTES), 0);
}

static void test_log_fd_is_an_eventfd(void **state)
{
	struct fixture *fx = *state;
	int event = eventfd(0, EFD_CLOEXEC);

	vfront_negotiate(fx->f, 0);
	vfront_must(fx->f, VHOST_USER_SET_LOG_FD, NULL, 0, &event, 1);
	assert_int_equal(vfront_ack(fx->f, VHOST_USER_SET_LOG_FD, NULL, 0,
				    &fx->log_fd, 1),
			 1);
	close(event);
}

/* As often as requests were marked, to the one that came last. */
static void test_log_fd_is_signalled(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	int first = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	char *data;
	uint64_t n;

	vfront_start(f, 0, 1, 8);
	data = vfront_alloc(f, 4096, 4096);
	vfront_must(f, VHOST_USER_SET_LOG_FD, NULL, 0, &first, 1);
	assert_int_equal(set_log(fx, LOG_BYTES, 4096), 0);
	(void)vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096);
	assert_int_equal(read(first, &n, 8), -1); /* not marked yet */
	set_logging(fx, true);
	(void)vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096);
	vfront_wait(fx->fw, first);
	assert_int_equal(read(first, &n, 8), 8);
	assert_true(take_bit(fx, vfront_gpa(f, data)));
	vfront_must(f, VHOST_USER_SET_LOG_FD, NULL, 0, &second, 1);
	(void)vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096);
	vfront_wait(fx->fw, second);
	assert_int_equal(read(second, &n, 8), 8);
	assert_int_equal(read(first, &n, 8), -1);
	vfront_must(f, VHOST_USER_SET_LOG_FD, NULL, 0, NULL, 0);
	(void)vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096);
	set_logging(fx, false);
	(void)vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096);
	assert_int_equal(read(second, &n, 8), -1);
	close(first);
	close(second);
}

/* ---- device state ---- */

static uint64_t state_fd(struct vfront *f, uint32_t direction, int fd)
{
	const struct vhost_user_device_state s = { .direction = direction };
	struct vfront_msg msg;

	assert_int_equal(vfront_send(f, VHOST_USER_SET_DEVICE_STATE_FD, 0, &s,
				     sizeof(s), &fd, 1),
			 0);
	assert_int_equal(vfront_recv(f, &msg), 0);
	assert_int_equal(msg.fd, -1);
	return msg.payload.u64;
}

/* Saved here, loaded again; what is not a state is refused. */
static void test_device_state_goes_through_a_pipe(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	char buf[4096];
	ssize_t n;
	int p[2];

	vfront_negotiate(f, 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(state_fd(f, 0, p[1]), VHOST_USER_VRING_NOFD);
	close(p[1]);
	vfront_wait(fx->fw, p[0]);
	n = read(p[0], buf, sizeof(buf));
	assert_true(n >= 0);
	close(p[0]);
	assert_int_equal(vfront_get(f, VHOST_USER_CHECK_DEVICE_STATE), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(state_fd(f, 1, p[0]), VHOST_USER_VRING_NOFD);
	close(p[0]);
	assert_int_equal(write(p[1], buf, (size_t)n), n);
	/* not at its end yet: then it is not done */
	assert_int_equal(vfront_get(f, VHOST_USER_CHECK_DEVICE_STATE), 1);
	close(p[1]);
	assert_int_equal(vfront_get(f, VHOST_USER_CHECK_DEVICE_STATE), 0);
}

static void test_device_state_that_is_none(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	int p[2];

	vfront_start(f, 0, 1, 8);
	assert_int_equal(vfront_get(f, VHOST_USER_CHECK_DEVICE_STATE), 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p),
			 0);
	/* while a ring runs; no direction; no pipe */
	assert_int_equal(state_fd(f, 1, p[0]), 0x101);
	(void)vfront_get_base(f, 0);
	assert_int_equal(state_fd(f, 2, p[0]), 0x101);
	assert_int_equal(state_fd(f, 1, f->memfd), 0x101);
	assert_int_equal(state_fd(f, 1, p[0]), 0x100);
	close(p[0]);
	/* more than there may be: it is not even read to its end */
	for (int i = 0; i < 100; i++) {
		static const char junk[16384];

		(void)!send(p[1], junk, sizeof(junk),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		assert_int_equal(vfront_sync(f), 0);
	}
	assert_int_equal(send(p[1], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
	close(p[1]);
	assert_int_equal(vfront_get(f, VHOST_USER_CHECK_DEVICE_STATE), 1);
}

static void clear_nonblock(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK),
			 0);
}

/* A full pipe, and an empty one, whose mode the front end has changed since:
 * CHECK_DEVICE_STATE looks at them, and must not wait. */
static void test_device_state_pipes_that_would_block(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	char page[4096] = "";
	const struct iovec iov = { page, 1 };
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	if (preadv2(p[0], &iov, 1, -1, RWF_NOWAIT) < 0 && errno != EAGAIN) {
		close(p[0]);
		close(p[1]);
		TEST_SKIP("this kernel has no RWF_NOWAIT for pipes");
	}
	vfront_negotiate(f, 0);
	(void)alarm(20); /* for whoever waits after all */
	while (write(p[1], page, sizeof(page)) > 0) {
		;
	}
	assert_int_equal(state_fd(f, 0, p[1]), VHOST_USER_VRING_NOFD);
	clear_nonblock(p[1]);
	assert_int_equal(vfront_get(f, VHOST_USER_CHECK_DEVICE_STATE), 1);
	while (read(p[0], page, sizeof(page)) > 0) {
		;
	}
	assert_int_equal(vfront_get(f, VHOST_USER_CHECK_DEVICE_STATE), 0);
	close(p[0]);
	close(p[1]);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(state_fd(f, 1, p[0]), VHOST_USER_VRING_NOFD);
	clear_nonblock(p[0]);
	assert_int_equal(vfront_get(f, VHOST_USER_CHECK_DEVICE_STATE), 1);
	close(p[0]);
	close(p[1]);
	(void)alarm(0);
}

/* ---- inflight memory ---- */

static int get_inflight(struct vfront *f, uint16_t queues, uint16_t num,
			struct vfront_msg *ret)
{
	const struct vhost_user_inflight in = { .num_queues = queues,
						.queue_size = num };

	assert_int_equal(vfront_send(f, VHOST_USER_GET_INFLIGHT_FD, 0, &in,
				     sizeof(in), NULL, 0),
			 0);
	assert_int_equal(vfront_recv(f, ret), 0);
	assert_int_equal(ret->hdr.size, sizeof(in));
	return ret->fd;
}

/* QEMU asks for rings of 128, and SeaBIOS then uses 256. */
static void test_inflight_memory_is_enough_for_larger_rings(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	struct vhost_user_inflight in;
	struct vfront_msg msg;
	int fd;

	vfront_negotiate(f, 0);
	fd = get_inflight(f, 1, 8, &msg);
	in = msg.payload.inflight;
	assert_int_equal(vfront_set_memory(f), 0);
	vfront_make_queue(f, 0, 256);
	vfront_set_ring(f, 0);
	vfront_set_call(f, 0);
	vfront_set_kick(f, 0);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), 0);
	/* what another back end made may really be too small: it runs */
	f->q[0].base = vfront_get_base(f, 0);
	in.mmap_size = 192;
	vfront_must(f, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), &fd, 1);
	vfront_set_ring(f, 0);
	vfront_set_kick(f, 0);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), 0);
	close(fd);
}

static void test_inflight_memory_is_made_used_and_given_back(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	struct vhost_user_inflight in;
	struct vfront_msg msg;
	uint64_t n;
	int fd;

	vfront_negotiate(f, 0);
	assert_int_equal(get_inflight(f, 2, 8, &msg), -1);
	assert_int_equal(msg.payload.inflight.mmap_size, 0);
	assert_int_equal(get_inflight(f, 1, 0, &msg), -1);
	fd = get_inflight(f, 1, 8, &msg);
	assert_true(fd >= 0);
	in = msg.payload.inflight;
	assert_true(in.mmap_size >= 16 + 8 * 16);
	assert_int_equal(ftruncate(fd, 0), -1); /* sealed */
	/* a ring that starts on it calls: its predecessor may not have */
	assert_int_equal(vfront_set_memory(f), 0);
	vfront_make_queue(f, 0, 8);
	vfront_set_ring(f, 0);
	vfront_set_call(f, 0);
	vfront_set_kick(f, 0);
	assert_int_equal(read(f->q[0].call_fd, &n, 8), -1);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	assert_int_equal(read(f->q[0].call_fd, &n, 8), 8);
	/* it goes on where it was, stopped and started on the same memory */
	for (int i = 0; i < 20; i++) {
		f->next_free = 65536;
		assert_int_equal(
			vfront_blk(f, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), 0);
		if (i % 5 == 4) {
			f->q[0].base = vfront_get_base(f, 0);
			vfront_set_ring(f, 0);
			vfront_set_kick(f, 0);
		}
	}
	vfront_must(f, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), &fd, 1);
	in.mmap_size = 64;
	assert_int_equal(vfront_ack(f, VHOST_USER_SET_INFLIGHT_FD, &in,
				    sizeof(in), &fd, 1),
			 1);
	in.mmap_size = 1 << 30;
	assert_int_equal(vfront_ack(f, VHOST_USER_SET_INFLIGHT_FD, &in,
				    sizeof(in), &fd, 1),
			 1);
	vfront_close(f);
	fx->f = f = vfront_connect(fx->fw);
	vfront_start(f, 0, 1, 8);
	close(fd);
}

/* H68: the buffer says what it likes; the ring breaks, nobody else. */
static void test_h68_inflight_memory_full_of_lies(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	const uint64_t one = 1;
	struct vfront_msg msg;
	char *mem;
	int fd;

	vfront_negotiate(f, 0);
	fd = get_inflight(f, 1, 8, &msg);
	mem = mmap(NULL, msg.payload.inflight.mmap_size, PROT_READ | PROT_WRITE,
		   MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	memset(mem, 0xff, msg.payload.inflight.mmap_size);
	assert_int_equal(vfront_set_memory(f), 0);
	vfront_make_queue(f, 0, 8);
	vfront_set_ring(f, 0);
	vfront_set_kick(f, 0);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	assert_int_equal(write(f->q[0].kick_fd, &one, 8), 8);
	assert_int_equal(vfront_sync(f), 0);
	munmap(mem, msg.payload.inflight.mmap_size);
	close(fd);
}

/* ---- the network ---- */

static void test_mtu_and_rarp_of_a_network_device(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	const uint64_t mac = 0x563412005452ULL;

	vfront_negotiate(f, 0);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_NET_SET_MTU, 67), 1);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_NET_SET_MTU, 65536), 1);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_NET_SET_MTU, 1500), 0);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SEND_RARP, mac), 0);
	assert_int_equal(vfront_get(f, VHOST_USER_GET_QUEUE_NUM), 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define N(f) cmocka_unit_test_setup_teardown(f, set_up_net, tear_down)

static const struct CMUnitTest tests[] = {
	/* first: for each test cmocka puts a handler of its own over ours */
	T(test_h67_a_log_that_shrinks),
	T(test_log_marks_what_is_written),
	T(test_log_marks_the_used_ring_where_it_is_told),
	T(test_log_of_a_packed_ring),
	T(test_log_follows_the_memory_table),
	T(test_h67_logs_that_cannot_be),
	T(test_log_fd_is_an_eventfd),
	T(test_log_fd_is_signalled),
	T(test_inflight_memory_is_enough_for_larger_rings),
	N(test_device_state_goes_through_a_pipe),
	N(test_device_state_that_is_none),
	N(test_device_state_pipes_that_would_block),
	T(test_inflight_memory_is_made_used_and_given_back),
	T(test_h68_inflight_memory_full_of_lies),
	N(test_mtu_and_rarp_of_a_network_device),
};

TEST_MAIN("vhost_user_migrate")
