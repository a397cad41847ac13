/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vhost-user back-end channel: what the device has to tell, and
 * addresses that the front end translates.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "base/fd.h"
#include "lib/test.h"
#include "lib/vfront.h"
#include "soft/soft.h"

struct fixture {
	struct vfront_world *fw;
	struct vdpa_device *vdev;
	struct vfront *f;
	int channel; /* our end; -1 */
	unsigned int n_fds;
};

static int set_up_with(void **state, const char *mgmtdev, const char *iommu)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->n_fds = test_count_fds();
	fx->fw = vfront_world_new(NULL, 1);
	vworld_add(fx->fw->w, mgmtdev, "b0", 0, NULL, NULL);
	fx->vdev = vdpa_device_find(fx->fw->w->bus, "b0");
	assert_int_equal(vfront_bind(fx->fw, "b0", "iommu", iommu), 0);
	fx->f = vfront_connect(fx->fw);
	fx->channel = -1;
	*state = fx;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, "vdpasim_blk", "off");
}

static int set_up_iommu(void **state)
{
	return set_up_with(state, "vdpasim_blk", "on");
}

/* With several queues. */
static int set_up_net(void **state)
{
	return set_up_with(state, "vdpasim_net", "off");
}

static int set_up_net_iommu(void **state)
{
	return set_up_with(state, "vdpasim_net", "on");
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	if (fx->channel >= 0) {
		close(fx->channel);
	}
	vfront_close(fx->f);
	vfront_world_free(fx->fw);
	assert_int_equal(test_count_fds(), fx->n_fds);
	free(fx);
	return 0;
}

static void open_channel(struct fixture *fx)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	vfront_must(fx->f, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	close(pair[1]);
	fx->channel = pair[0];
}

/* What the back end says next. */
static void hear(struct fixture *fx, uint32_t request,
		 union vhost_user_payload *ret, uint32_t size)
{
	struct vhost_user_header hdr;

	vfront_wait(fx->fw, fx->channel);
	assert_int_equal(recv(fx->channel, &hdr, sizeof(hdr), MSG_WAITALL),
			 sizeof(hdr));
	assert_int_equal(hdr.request, request);
	assert_int_equal(hdr.size, size);
	if (size > 0) {
		assert_int_equal(recv(fx->channel, ret, size, MSG_WAITALL),
				 size);
	}
}

static void reply(struct fixture *fx, uint32_t request)
{
	struct {
		struct vhost_user_header hdr;
		uint64_t u64;
	} __attribute__((packed))
	r = { { request, VHOST_USER_VERSION | VHOST_USER_REPLY_FLAG, 8 }, 0 };

	assert_int_equal(send(fx->channel, &r, sizeof(r), MSG_NOSIGNAL),
			 sizeof(r));
}

/* ---- config ---- */

static void test_config_change_is_told_once(void **state)
{
	struct fixture *fx = *state;
	struct soft_dev *dev = soft_dev_of(fx->vdev);

	vfront_start(fx->f, 0, 1, 8);
	/* nobody listens yet: it is told later */
	soft_config_changed(dev);
	soft_config_changed(dev);
	assert_int_equal(vfront_sync(fx->f), 0);
	open_channel(fx);
	hear(fx, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, NULL, 0);
	assert_int_equal(vfront_sync(fx->f), 0);
	assert_int_equal(recv(fx->channel, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	soft_config_changed(dev);
	hear(fx, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, NULL, 0);
}

static void test_a_broken_ring_signals_its_error_fd(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint64_t idx = 0, one = 1;
	struct vq_layout layout;
	uint16_t *avail;

	vfront_start(f, 0, 1, 8);
	vfront_must(f, VHOST_USER_SET_VRING_ERR, &idx, 8, &event, 1);
	vq_layout(8, f->features, &layout);
	avail = (uint16_t *)(f->mem + (f->q[0].ring_iova - VFRONT_GPA) +
			     layout.driver_area);
	avail[1] = 1000; /* more than the ring has */
	assert_int_equal(write(f->q[0].kick_fd, &one, 8), 8);
	vfront_wait(fx->fw, event);
	assert_true(vfront_get(f, VHOST_USER_GET_STATUS) &
		    VIRTIO_CONFIG_S_NEEDS_RESET);
	close(event);
}

/* ---- in-band notifications ---- */

static void test_in_band_kick_and_call(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	union vhost_user_payload p;
	struct virtio_blk_outhdr *hdr;
	uint8_t *status;
	struct vq_used used;

	vfront_negotiate(f, 0);
	open_channel(fx);
	assert_int_equal(vfront_set_memory(f), 0);
	vfront_make_queue(f, 0, 8);
	vfront_set_ring(f, 0);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	hdr = vfront_alloc(f, sizeof(*hdr), 16);
	status = vfront_alloc(f, 1, 1);
	memset(hdr, 0, sizeof(*hdr));
	hdr->type = VIRTIO_BLK_T_FLUSH;
	for (int i = 0; i < 3; i++) {
		const struct vq_sg sg[2] = {
			{ vfront_gpa(f, hdr), sizeof(*hdr) },
			{ vfront_gpa(f, status), 1 },
		};

		assert_int_equal(vq_driver_add(f->q[0].drv, sg, 1, 1, hdr), 0);
		(void)vq_driver_publish(f->q[0].drv);
		assert_int_equal(
			vfront_ack_state(f, VHOST_USER_VRING_KICK, 0, 0), 0);
		hear(fx, VHOST_USER_BACKEND_VRING_CALL, &p, 8);
		assert_int_equal(p.state.index, 0);
		assert_int_equal(p.state.num, 0);
		reply(fx, VHOST_USER_BACKEND_VRING_CALL);
		assert_int_equal(vq_driver_get(f->q[0].drv, &used, 1), 1);
	}
	assert_int_equal(vfront_ack_state(f, VHOST_USER_VRING_KICK, 0, 1), 1);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_VRING_KICK, 1, 0), 1);
}

static void test_in_band_without_its_needs_ends_the_connection(void **state)
{
	struct fixture *fx = *state;
	const uint64_t features =
		BIT_ULL(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS) |
		BIT_ULL(VHOST_USER_PROTOCOL_F_REPLY_ACK);

	assert_int_equal(vfront_send(fx->f, VHOST_USER_SET_PROTOCOL_FEATURES,
				     VHOST_USER_NEED_REPLY, &features, 8, NULL,
				     0),
			 0);
	vfront_expect_end(fx->f);
}

/* ---- the channel itself ---- */

/* ---- doorbells ---- */

#define DOORBELL_BYTES 4096

static int doorbells; /* a page for each queue */

/* Queue 1 has none. */
static int get_doorbell(struct vdpa_device *vdev, uint16_t idx,
			struct vdpa_notification_area *ret_area)
{
	*ret_area = (struct vdpa_notification_area){
		.fd = doorbells,
		.offset = (uint64_t)idx * DOORBELL_BYTES,
		.size_bytes = DOORBELL_BYTES,
	};
	return idx == 1 ? -ENXIO : 0;
}

/* Which ring's doorbell is told; that it is one is seen by what is in it. */
static unsigned int hear_doorbell(struct fixture *fx)
{
	struct {
		struct vhost_user_header hdr;
		struct vhost_user_vring_area area;
	} __attribute__((packed)) msg;
	struct iovec iov = { &msg, sizeof(msg) };
	struct fd_msg m = { .iov = &iov, .n_iov = 1 };
	char name;

	vfront_wait(fx->fw, fx->channel);
	assert_int_equal(fd_recv(fx->channel, &m, MSG_WAITALL), sizeof(msg));
	assert_int_equal(msg.hdr.request,
			 VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG);
	assert_int_equal(msg.hdr.size, sizeof(msg.area));
	assert_int_equal(m.n_fds, 1);
	assert_int_equal(msg.area.size, DOORBELL_BYTES);
	assert_int_equal(pread(m.fds[0], &name, 1, (off_t)msg.area.offset), 1);
	assert_int_equal(name, 'a' + (char)msg.area.u64);
	fd_msg_close(&m);
	return (unsigned int)msg.area.u64;
}

static void test_doorbells_are_told_when_rings_start(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	assert_false(has_bit(vfront_get(f, VHOST_USER_GET_PROTOCOL_FEATURES),
			     VHOST_USER_PROTOCOL_F_HOST_NOTIFIER));
	soft_dev_of(fx->vdev)->ops.get_vq_notification = get_doorbell;
	doorbells = memfd_create("doorbells", MFD_CLOEXEC);
	for (unsigned int i = 0; i < 3; i++) {
		const char name = (char)('a' + i);

		assert_int_equal(pwrite(doorbells, &name, 1,
					(off_t)(i * DOORBELL_BYTES)),
				 1);
	}
	vfront_negotiate(f, 0);
	open_channel(fx);
	assert_int_equal(vfront_set_memory(f), 0);
	for (unsigned int i = 0; i < 3; i++) {
		vfront_make_queue(f, i, 8);
		vfront_set_ring(f, i);
		vfront_set_call(f, i);
		vfront_set_kick(f, i);
		assert_int_equal(
			vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1),
			0);
	}
	assert_int_equal(hear_doorbell(fx), 0);
	assert_int_equal(hear_doorbell(fx), 2);
	/* again when it starts again, and only then */
	f->q[0].base = vfront_get_base(f, 0);
	vfront_set_ring(f, 0);
	assert_int_equal(vfront_sync(f), 0);
	assert_int_equal(recv(fx->channel, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	vfront_set_kick(f, 0);
	assert_int_equal(hear_doorbell(fx), 0);
	close(doorbells);
}

static void test_h62_a_channel_is_a_socket(void **state)
{
	struct fixture *fx = *state;
	int event = eventfd(0, EFD_CLOEXEC);

	vfront_negotiate(fx->f, 0);
	assert_int_equal(vfront_ack(fx->f, VHOST_USER_SET_BACKEND_REQ_FD, NULL,
				    0, &event, 1),
			 1);
	assert_int_equal(vfront_ack(fx->f, VHOST_USER_SET_BACKEND_REQ_FD, NULL,
				    0, &fx->f->memfd, 1),
			 1);
	close(event);
}

/* A channel that closes, or speaks gibberish, is dropped; the rest goes on. */
static void test_h64_a_channel_that_misbehaves(void **state)
{
	struct fixture *fx = *state;
	char junk[64];

	vfront_start(fx->f, 0, 1, 8);
	open_channel(fx);
	memset(junk, 0xff, sizeof(junk));
	assert_int_equal(send(fx->channel, junk, sizeof(junk), 0),
			 sizeof(junk));
	vfront_wait(fx->fw, fx->channel);
	assert_true(recv(fx->channel, junk, 1, 0) <= 0);
	close(fx->channel);
	open_channel(fx);
	close(fx->channel);
	fx->channel = -1;
	assert_int_equal(vfront_sync(fx->f), 0);
	soft_config_changed(soft_dev_of(fx->vdev));
	assert_int_equal(vfront_sync(fx->f), 0);
	open_channel(fx);
	hear(fx, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, NULL, 0);
}

/* ---- a vIOMMU ---- */

static int iotlb(struct fixture *fx, uint8_t type, uint64_t iova, uint64_t size,
		 uint64_t uaddr, uint8_t perm)
{
	const struct vhost_iotlb_msg m = {
		.iova = iova,
		.size = size,
		.uaddr = uaddr,
		.perm = perm,
		.type = type,
	};

	return vfront_ack(fx->f, VHOST_USER_IOTLB_MSG, &m, sizeof(m), NULL, 0);
}

/* Ring addresses are I/O virtual too; here IOVA is the GPA. */
static void add_ring(struct vfront *f, unsigned int idx, uint16_t num)
{
	vfront_make_queue(f, idx, num);
	assert_int_equal(
		vfront_ack_state(f, VHOST_USER_SET_VRING_NUM, idx, num), 0);
	vfront_set_addr(f, idx, VFRONT_GPA);
	vfront_set_call(f, idx);
	vfront_set_kick(f, idx);
	assert_int_equal(
		vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, idx, 1), 0);
}

static void start_with_iommu(struct fixture *fx, unsigned int n_rings,
			     uint16_t num)
{
	struct vfront *f = fx->f;

	vfront_negotiate(f, BIT_ULL(VIRTIO_F_ACCESS_PLATFORM));
	open_channel(fx);
	assert_int_equal(vfront_set_memory(f), 0);
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 0);
	for (unsigned int i = 0; i < n_rings; i++) {
		add_ring(f, i, num);
	}
}

/* Answers misses, a page each, until @fd has something. Return: how many */
static int serve_misses(struct fixture *fx, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	union vhost_user_payload msg;
	int n = 0;

	while (poll(&p, 1, 0) == 0) {
		struct pollfd both[2] = { { fd, POLLIN, 0 },
					  { fx->channel, POLLIN, 0 } };

		vfront_run(fx->fw, 1000000);
		if (poll(both, 2, 5000) == 0 || both[0].revents) {
			break;
		}
		hear(fx, VHOST_USER_BACKEND_IOTLB_MSG, &msg, 32);
		assert_int_equal(msg.iotlb.type, VHOST_IOTLB_MISS);
		assert_in_range(msg.iotlb.iova, VFRONT_GPA,
				VFRONT_GPA + VFRONT_MEM_BYTES - 1);
		msg.iotlb.iova &= ~4095ULL;
		assert_int_equal(
			iotlb(fx, VHOST_IOTLB_UPDATE, msg.iotlb.iova, 4096,
			      msg.iotlb.iova - VFRONT_GPA + VFRONT_UADDR,
			      VHOST_ACCESS_RW),
			0);
		n++;
	}
	return n;
}

static uint8_t run_flush(struct fixture *fx, int *ret_misses)
{
	struct vfront *f = fx->f;
	struct virtio_blk_outhdr *hdr = vfront_alloc(f, 4096, 4096);
	uint8_t *status = vfront_alloc(f, 4096, 4096);
	const struct vq_sg sg[2] = { { vfront_gpa(f, hdr), sizeof(*hdr) },
				     { vfront_gpa(f, status), 1 } };
	const uint64_t one = 1;
	struct vq_used used;
	uint64_t n;

	memset(hdr, 0, sizeof(*hdr));
	hdr->type = VIRTIO_BLK_T_FLUSH;
	*status = 0xee;
	assert_int_equal(vq_driver_add(f->q[0].drv, sg, 1, 1, hdr), 0);
	(void)vq_driver_publish(f->q[0].drv);
	assert_int_equal(write(f->q[0].kick_fd, &one, 8), 8);
	*ret_misses = serve_misses(fx, f->q[0].call_fd);
	assert_int_equal(read(f->q[0].call_fd, &n, 8), 8);
	assert_int_equal(vq_driver_get(f->q[0].drv, &used, 1), 1);
	return *status;
}

static void test_iommu_misses_are_asked_for_and_served(void **state)
{
	struct fixture *fx = *state;
	int n;

	start_with_iommu(fx, 1, 8);
	assert_int_equal(run_flush(fx, &n), VIRTIO_BLK_S_OK);
	/* ring, header and status at least */
	assert_true(n >= 3);
	/* what was invalidated is asked for again */
	assert_int_equal(iotlb(fx, VHOST_IOTLB_INVALIDATE, 0, UINT64_MAX, 0, 0),
			 0);
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 0);
	assert_int_equal(run_flush(fx, &n), VIRTIO_BLK_S_OK);
	assert_true(n >= 3);
}

enum {
	RX,
	TX,
	N_FRAMES = 6
};

static char *add_frame(struct vfront *f, unsigned int idx)
{
	char *buf = vfront_alloc(f, 4096, 4096);
	const struct vq_sg sg = { vfront_gpa(f, buf), 12 + 60 };

	memset(buf, 0xff, 12 + 60); /* to everybody */
	assert_int_equal(vq_driver_add(f->q[idx].drv, &sg, idx == TX, idx == RX,
				       buf),
			 0);
	return buf;
}

/* Each buffer that a frame is received into is on a page that is not mapped
 * yet: the frames wait for that. */
static void test_iommu_misses_of_receive_buffers_lose_no_frame(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	struct vq_used used;
	const uint64_t one = 1;
	unsigned int n = 0;

	start_with_iommu(fx, 2, 8);
	for (int i = 0; i < N_FRAMES; i++) {
		(void)add_frame(f, RX);
	}
	(void)vq_driver_publish(f->q[RX].drv);
	for (int i = 0; i < N_FRAMES; i++) {
		add_frame(f, TX)[12 + 59] = (char)i;
	}
	(void)vq_driver_publish(f->q[TX].drv);
	assert_int_equal(write(f->q[TX].kick_fd, &one, 8), 8);
	while (n < N_FRAMES) {
		uint64_t n_calls;

		(void)serve_misses(fx, f->q[RX].call_fd);
		assert_int_equal(read(f->q[RX].call_fd, &n_calls, 8), 8);
		while (vq_driver_get(f->q[RX].drv, &used, 1) == 1) {
			assert_int_equal(((char *)used.cookie)[12 + 59], n);
			n++;
		}
	}
	assert_int_equal(vworld_stat(fx->fw->w, "b0", RX, "rx overruns"), 0);
	assert_int_equal(vworld_stat(fx->fw->w, "b0", TX, "tx packets"),
			 N_FRAMES);
}

static void test_h65_iotlb_messages_that_make_no_sense(void **state)
{
	static const struct {
		uint8_t type;
		uint64_t iova, size, uaddr;
		uint8_t perm;
		int expected;
	} rows[] = {
		{ VHOST_IOTLB_UPDATE, 0, 0, VFRONT_UADDR, 3, 1 },
		{ VHOST_IOTLB_UPDATE, 0, 4096, VFRONT_UADDR, 0, 1 },
		{ VHOST_IOTLB_UPDATE, 0, 4096, VFRONT_UADDR, 4, 1 },
		{ VHOST_IOTLB_UPDATE, 0, 4096, 0, 3, 1 },
		{ VHOST_IOTLB_UPDATE, 0, UINT64_MAX, VFRONT_UADDR, 3, 1 },
		{ VHOST_IOTLB_UPDATE, UINT64_MAX, 4096, VFRONT_UADDR, 3, 1 },
		{ VHOST_IOTLB_UPDATE, 0, VFRONT_MEM_BYTES + 1, VFRONT_UADDR, 3,
		  1 },
		{ VHOST_IOTLB_INVALIDATE, 4096, 0, 0, 0, 0 },
		{ VHOST_IOTLB_INVALIDATE, UINT64_MAX, UINT64_MAX, 0, 0, 0 },
		{ VHOST_IOTLB_MISS, 0, 4096, 0, 1, 1 },
		{ 0, 0, 4096, 0, 1, 1 },
		{ 9, 0, 4096, 0, 1, 1 },
		/* unaligned is fine, and so is the same again */
		{ VHOST_IOTLB_UPDATE, 1, 77, VFRONT_UADDR + 5, 1, 0 },
		{ VHOST_IOTLB_UPDATE, 1, 77, VFRONT_UADDR + 5, 3, 0 },
	};
	struct fixture *fx = *state;

	start_with_iommu(fx, 1, 8);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(iotlb(fx, rows[i].type, rows[i].iova,
				       rows[i].size, rows[i].uaddr,
				       rows[i].perm),
				 rows[i].expected);
	}
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 1);
}

/* More than the table holds: it is a cache, so it starts again. */
static void test_h65_more_entries_than_fit(void **state)
{
	struct fixture *fx = *state;

	start_with_iommu(fx, 1, 8);
	for (unsigned int i = 0; i < IOTLB_DEFAULT_LIMIT + 10; i++) {
		assert_int_equal(iotlb(fx, VHOST_IOTLB_UPDATE, i * 8192ULL,
				       4096, VFRONT_UADDR, 1),
				 0);
	}
	assert_in_range(vdpa_n_maps(fx->vdev, 0), 1, IOTLB_DEFAULT_LIMIT);
}

static void test_iotlb_message_without_iommu_is_refused(void **state)
{
	struct fixture *fx = *state;

	vfront_start(fx->f, 0, 1, 8);
	assert_int_equal(
		iotlb(fx, VHOST_IOTLB_UPDATE, 0, 4096, VFRONT_UADDR, 3), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define I(f) cmocka_unit_test_setup_teardown(f, set_up_iommu, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_config_change_is_told_once),
	T(test_a_broken_ring_signals_its_error_fd),
	T(test_in_band_kick_and_call),
	T(test_in_band_without_its_needs_ends_the_connection),
	cmocka_unit_test_setup_teardown(
		test_doorbells_are_told_when_rings_start, set_up_net,
		tear_down),
	T(test_h62_a_channel_is_a_socket),
	T(test_h64_a_channel_that_misbehaves),
	I(test_iommu_misses_are_asked_for_and_served),
	cmocka_unit_test_setup_teardown(
		test_iommu_misses_of_receive_buffers_lose_no_frame,
		set_up_net_iommu, tear_down),
	I(test_h65_iotlb_messages_that_make_no_sense),
	I(test_h65_more_entries_than_fit),
	T(test_iotlb_message_without_iommu_is_refused),
};

TEST_MAIN("vhost_user_backend")
