/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vhost-user bus driver, as well-behaved front ends use it: in
 * every order of messages that they use, and what becomes of the device.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/unix.h"
#include "lib/test.h"
#include "lib/vfront.h"

struct fixture {
	struct vfront_world *fw;
	struct vdpa_device *vdev;
	struct vfront *f;
	unsigned int n_fds;
};

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->n_fds = test_count_fds();
	fx->fw = vfront_world_new(NULL, 1);
	vworld_add(fx->fw->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	fx->vdev = vdpa_device_find(fx->fw->w->bus, "b0");
	assert_int_equal(vfront_bind(fx->fw, "b0", NULL, NULL), 0);
	fx->f = vfront_connect(fx->fw);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	if (fx->f) {
		vfront_close(fx->f);
	}
	vfront_world_free(fx->fw);
	assert_int_equal(test_count_fds(), fx->n_fds);
	free(fx);
	return 0;
}

/* Writes a sector, reads it back. */
static void check_io(struct vfront *f, unsigned int idx, uint8_t value)
{
	char *out = vfront_alloc(f, 512, 512), *in = vfront_alloc(f, 512, 512);

	memset(out, value, 512);
	memset(in, 0, 512);
	assert_int_equal(vfront_blk(f, idx, VIRTIO_BLK_T_OUT, value, out, 512),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(vfront_blk(f, idx, VIRTIO_BLK_T_IN, value, in, 512),
			 VIRTIO_BLK_S_OK);
	assert_memory_equal(out, in, 512);
}

/* ---- rings ---- */

static void test_io_in_every_ring_format(void **state)
{
	static const uint64_t formats[] = {
		0,
		BIT_ULL(VIRTIO_RING_F_EVENT_IDX),
		BIT_ULL(VIRTIO_F_RING_PACKED),
		BIT_ULL(VIRTIO_F_RING_PACKED) |
			BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
			BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC),
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		vfront_start(fx->f, formats[i], 1, 16);
		for (uint8_t n = 0; n < 40; n++) {
			fx->f->next_free = 256 << 10;
			check_io(fx->f, 0, n);
		}
		vfront_close(fx->f);
		fx->f = vfront_connect(fx->fw);
	}
}

static void test_any_order_of_messages_starts_a_ring(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_negotiate(f, 0);
	vfront_make_queue(f, 0, 8);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	vfront_set_kick(f, 0);
	vfront_set_call(f, 0);
	assert_false(vdpa_get_vq_ready(fx->vdev, 0));
	/* it knows no memory yet, so the addresses come too early to start */
	assert_int_equal(vfront_set_memory(f), 0);
	vfront_set_ring(f, 0);
	assert_true(vdpa_get_vq_ready(fx->vdev, 0));
	check_io(f, 0, 1);
}

static void test_without_protocol_features_rings_are_enabled(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	uint64_t features = BIT_ULL(VIRTIO_F_VERSION_1);

	vfront_negotiate(f, 0);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_FEATURES, features),
			 0);
	f->features = features;
	assert_int_equal(vfront_set_memory(f), 0);
	vfront_make_queue(f, 0, 8);
	vfront_set_ring(f, 0);
	assert_false(vdpa_get_vq_ready(fx->vdev, 0));
	vfront_set_kick(f, 0);
	vfront_set_call(f, 0);
	check_io(f, 0, 1);
}

static void test_a_disabled_ring_is_left_alone(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, 0, 1, 8);
	check_io(f, 0, 1);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 0),
			 0);
	assert_false(vdpa_get_vq_ready(fx->vdev, 0));
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	check_io(f, 0, 2);
}

static void check_base(void **state, uint64_t features, uint32_t initial,
		       uint32_t expected)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, features, 1, 8);
	check_io(f, 0, 1);
	assert_int_equal(vfront_get_base(f, 0), expected);
	assert_false(vdpa_get_vq_ready(fx->vdev, 0));
	/* asked again, it is the same; then the ring goes on there */
	f->q[0].base = vfront_get_base(f, 0);
	assert_int_equal(f->q[0].base, expected);
	assert_int_not_equal(initial, expected);
	vfront_set_ring(f, 0);
	assert_false(vdpa_get_vq_ready(fx->vdev, 0));
	vfront_set_kick(f, 0);
	check_io(f, 0, 2);
	assert_int_not_equal(vfront_get_base(f, 0), expected);
}

static void test_get_vring_base_stops_and_tells_where(void **state)
{
	check_base(state, 0, 0, 2);
}

/* Two chains of three descriptors: slot 6, the same wrap counters. */
static void test_get_vring_base_of_a_packed_ring_has_both_halves(void **state)
{
	check_base(state, BIT_ULL(VIRTIO_F_RING_PACKED), 0x80008000,
		   0x80068006);
}

static void test_a_ring_that_is_polled_needs_no_kick(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	int never = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	vfront_start(f, 0, 1, 8);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_VRING_KICK,
					VHOST_USER_VRING_NOFD),
			 0);
	close(f->q[0].kick_fd);
	f->q[0].kick_fd = never;
	check_io(f, 0, 1);
}

static void test_call_descriptor_changes_while_running(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, 0, 1, 8);
	check_io(f, 0, 1);
	close(f->q[0].call_fd);
	f->q[0].call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vfront_set_call(f, 0);
	check_io(f, 0, 2);
}

/* User-mode Linux has one end of a socket pair there. */
static void test_call_descriptor_may_be_a_socket(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	int pair[2];

	vfront_start(f, 0, 1, 8);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	close(f->q[0].call_fd);
	f->q[0].call_fd = pair[1];
	vfront_set_call(f, 0);
	close(pair[1]);
	f->q[0].call_fd = pair[0];
	check_io(f, 0, 1);
}

/* ---- features, status, config ---- */

static void test_features_are_the_devices_and_the_protocols(void **state)
{
	struct fixture *fx = *state;
	uint64_t offered = vfront_get(fx->f, VHOST_USER_GET_FEATURES);
	uint64_t device = vdpa_get_device_features(fx->vdev);

	assert_true(has_bit(offered, VHOST_USER_F_PROTOCOL_FEATURES));
	assert_false(has_bit(offered, VIRTIO_F_ACCESS_PLATFORM));
	assert_int_equal(offered & device,
			 device & ~BIT_ULL(VIRTIO_F_ACCESS_PLATFORM));
}

static void test_config_is_read_and_padded(void **state)
{
	struct fixture *fx = *state;
	struct vhost_user_config c = { .size = VHOST_USER_CONFIG_MAX };
	struct vfront_msg msg;
	uint64_t capacity;

	vfront_negotiate(fx->f, 0);
	assert_int_equal(vfront_send(fx->f, VHOST_USER_GET_CONFIG, 0, &c,
				     sizeof(c), NULL, 0),
			 0);
	assert_int_equal(vfront_recv(fx->f, &msg), 0);
	assert_int_equal(msg.hdr.size, sizeof(c));
	memcpy(&capacity, msg.payload.config.data, sizeof(capacity));
	assert_true(le64toh(capacity) > 0);
	assert_int_equal(msg.payload.config.data[255], 0);
	/* beyond its end there is nothing: the error has no payload */
	c.offset = 255;
	c.size = 1;
	assert_int_equal(vfront_send(fx->f, VHOST_USER_GET_CONFIG, 0, &c,
				     VHOST_USER_CONFIG_HEAD + 1, NULL, 0),
			 0);
	assert_int_equal(vfront_recv(fx->f, &msg), 0);
	assert_int_equal(msg.hdr.size, 0);
}

static void test_status_is_kept_and_0_resets(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, 0, 1, 8);
	assert_int_equal(vfront_get(f, VHOST_USER_GET_STATUS), 0);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_STATUS, 0xf), 0);
	assert_int_equal(vfront_get(f, VHOST_USER_GET_STATUS), 0xf);
	check_io(f, 0, 1);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_STATUS, 0), 0);
	assert_int_equal(vfront_get(f, VHOST_USER_GET_STATUS), 0);
	assert_int_equal(vdpa_get_status(fx->vdev), 0);
}

/* What the connection holds, memory and calls, need not be sent again. */
static void test_reset_device_starts_over(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, 0, 1, 8);
	check_io(f, 0, 1);
	vfront_must(f, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0);
	assert_int_equal(vdpa_get_status(fx->vdev), 0);
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 1);
	assert_int_equal(vfront_get_base(f, 0), 0);
	assert_int_equal(
		vfront_ack_u64(f, VHOST_USER_SET_FEATURES, f->features), 0);
	f->q[0].base = 2; /* the driver's half goes on */
	vfront_set_ring(f, 0);
	vfront_set_kick(f, 0);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	check_io(f, 0, 2);
}

static void test_reset_owner_disables_and_forgets_nothing(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, 0, 1, 8);
	vfront_must(f, VHOST_USER_RESET_OWNER, NULL, 0, NULL, 0);
	assert_false(vdpa_get_vq_ready(fx->vdev, 0));
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	check_io(f, 0, 1);
}

static void test_other_features_when_rings_are_stopped(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, 0, 1, 8);
	check_io(f, 0, 1);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_FEATURES,
					f->features |
						BIT_ULL(VIRTIO_F_RING_PACKED)),
			 1);
	(void)vfront_get_base(f, 0);
	f->q[0].drv = vq_driver_free(f->q[0].drv);
	close(f->q[0].kick_fd);
	close(f->q[0].call_fd);
	vfront_start(f, BIT_ULL(VIRTIO_F_RING_PACKED), 1, 8);
	check_io(f, 0, 2);
}

/* ---- memory ---- */

static uint64_t n_mapped(void)
{
	struct region_stats stats;

	region_get_stats(&stats);
	return stats.n_regions[REGION_MAPPED];
}

static void test_h33_same_memory_again_keeps_it_mapped(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	struct iotlb_snap *snap;
	struct region *region;

	vfront_start(f, 0, 1, 8);
	snap = vdpa_snapshot(fx->vdev, 0);
	region = iotlb_find(snap, VFRONT_GPA)->region;
	iotlb_snap_unref(snap);
	assert_int_equal(vfront_set_memory(f), 0);
	snap = vdpa_snapshot(fx->vdev, 0);
	assert_ptr_equal(iotlb_find(snap, VFRONT_GPA)->region, region);
	iotlb_snap_unref(snap);
	assert_int_equal(n_mapped(), 1);
	check_io(f, 0, 1);
}

static struct vhost_user_mem_table two_halves(uint64_t second_gpa)
{
	const uint64_t half = VFRONT_MEM_BYTES / 2;

	return (struct vhost_user_mem_table){
		.n_regions = 2,
		.regions = {
			{ VFRONT_GPA, half, VFRONT_UADDR, 0 },
			{ second_gpa, half, VFRONT_UADDR + half, half },
		},
	};
}

/* The memory is cut in two under a running ring, then moved. */
static void test_h33_other_memory_while_running(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	const int fds[2] = { f->memfd, f->memfd };
	struct vhost_user_mem_table t =
		two_halves(VFRONT_GPA + VFRONT_MEM_BYTES / 2);

	vfront_start(f, 0, 1, 8);
	check_io(f, 0, 1);
	vfront_must(f, VHOST_USER_SET_MEM_TABLE, &t, 72, fds, 2);
	assert_int_equal(n_mapped(), 2);
	check_io(f, 0, 2);
	t = two_halves(0x100000000ULL);
	vfront_must(f, VHOST_USER_SET_MEM_TABLE, &t, 72, fds, 2);
	assert_int_equal(n_mapped(), 2);
	check_io(f, 0, 3);
}

static void test_h33_a_ring_without_memory_waits_for_it(void **state)
{
	const struct vhost_user_mem_table none = { 0 };
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, 0, 1, 8);
	check_io(f, 0, 1);
	vfront_must(f, VHOST_USER_SET_MEM_TABLE, &none, 8, NULL, 0);
	assert_false(vdpa_get_vq_ready(fx->vdev, 0));
	assert_int_equal(n_mapped(), 0);
	assert_int_equal(vfront_set_memory(f), 0);
	check_io(f, 0, 2);
}

static void test_slots_are_added_and_removed_while_running(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	struct vhost_user_mem_reg reg = {
		.region = { 0x200000000ULL, 8192, VFRONT_UADDR - 8192, 4096 },
	};

	vfront_start(f, 0, 1, 8);
	assert_int_equal(vfront_get(f, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
	vfront_must(f, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), &f->memfd, 1);
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 2);
	check_io(f, 0, 1);
	reg.region.mmap_offset = 0; /* is ignored */
	vfront_must(f, VHOST_USER_REM_MEM_REG, &reg, sizeof(reg), NULL, 0);
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 1);
	assert_int_equal(vfront_ack(f, VHOST_USER_REM_MEM_REG, &reg,
				    sizeof(reg), NULL, 0),
			 1);
	check_io(f, 0, 2);
}

static void test_509_slots_and_no_more(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	struct vhost_user_mem_reg reg = { .region = { .size = 4096 } };

	vfront_negotiate(f, 0);
	for (unsigned int i = 0; i <= VHOST_USER_MEM_SLOTS; i++) {
		reg.region.guest_addr = i * 8192ULL;
		reg.region.user_addr = VFRONT_UADDR + i * 8192ULL;
		reg.region.mmap_offset = i * 4096ULL;
		assert_int_equal(vfront_ack(f, VHOST_USER_ADD_MEM_REG, &reg,
					    sizeof(reg), &f->memfd, 1),
				 i == VHOST_USER_MEM_SLOTS);
	}
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), VHOST_USER_MEM_SLOTS);
}

/* ---- connections ---- */

static void test_disconnect_lets_go_of_everything(void **state)
{
	struct fixture *fx = *state;

	vfront_start(fx->f, 0, 1, 8);
	check_io(fx->f, 0, 1);
	assert_true(fx->fw->drv->is_busy(fx->vdev));
	vfront_close(fx->f);
	/* the next one is served, from the beginning */
	fx->f = vfront_connect(fx->fw);
	assert_int_equal(vfront_sync(fx->f), 0);
	assert_int_equal(n_mapped(), 0);
	assert_int_equal(vdpa_get_status(fx->vdev), 0);
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 0);
	vfront_start(fx->f, 0, 1, 8);
	check_io(fx->f, 0, 2);
}

static void test_a_second_front_end_is_refused(void **state)
{
	struct fixture *fx = *state;
	struct vfront *second;

	assert_int_equal(vfront_sync(fx->f), 0);
	second = vfront_connect(fx->fw);
	vfront_expect_end(second);
	vfront_close(second);
	assert_int_equal(vfront_sync(fx->f), 0);
}

static void
test_bind_refuses_a_living_socket_and_takes_a_stale_one(void **state)
{
	struct fixture *fx = *state;
	struct unix_listener stale;
	struct stat st;

	vworld_add(fx->fw->w, "vdpasim_blk", "b1", 0, NULL, NULL);
	assert_int_equal(vfront_bind(fx->fw, "b1", NULL, NULL), -EADDRINUSE);
	assert_int_equal(vfront_sync(fx->f), 0);
	assert_int_equal(vdpa_dev_unbind(fx->fw->w->bus, "b0"), -EBUSY);
	vfront_close(fx->f);
	fx->f = vfront_connect(fx->fw);
	vfront_close(fx->f);
	fx->f = vfront_connect(fx->fw);
	assert_int_equal(vfront_sync(fx->f), 0);
	assert_int_equal(vdpa_dev_del(fx->fw->w->bus, "b0", NULL, NULL), 0);
	assert_int_equal(stat(fx->fw->path, &st), -1);
	assert_int_equal(unix_listen(fx->fw->path, SOCK_STREAM, 0600, &stale),
			 0);
	close(stale.fd);
	assert_int_equal(vfront_bind(fx->fw, "b1", "mode", "0640"), 0);
	assert_int_equal(stat(fx->fw->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* b0 is served to its end */
	assert_non_null(vdpa_device_find(fx->fw->w->bus, "b0"));
	assert_int_equal(vfront_sync(fx->f), 0);
	vfront_close(fx->f);
	fx->f = vfront_connect(fx->fw);
	assert_int_equal(vfront_sync(fx->f), 0);
	assert_null(vdpa_device_find(fx->fw->w->bus, "b0"));
}

static void test_bind_checks_its_keys(void **state)
{
	static const char *const rows[][2] = {
		{ "server", "maybe" }, { "reconnect_ms", "x" },
		{ "mode", "9" },       { "mode", "1777" },
		{ "mode", "" },	       { "queues", "2" },
		{ "colour", "green" }, { "path", "" },
	};
	struct fixture *fx = *state;

	vworld_add(fx->fw->w, "vdpasim_blk", "b1", 0, NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(vfront_bind(fx->fw, "b1", rows[i][0], rows[i][1]) <
			    0);
	}
	assert_int_equal(vdpa_dev_bind(fx->fw->w->bus, "b1", "vhost_user", NULL,
				       0),
			 -EINVAL);
}

static void test_describe_says_where_and_whether(void **state)
{
	struct fixture *fx = *state;
	char text[160];

	assert_int_equal(vfront_sync(fx->f), 0);
	fx->fw->drv->describe(fx->vdev, text, sizeof(text));
	assert_non_null(strstr(text, fx->fw->path));
	assert_non_null(strstr(text, "connected"));
}

static void test_unregister_cuts_a_front_end_off(void **state)
{
	struct fixture *fx = *state;

	vfront_start(fx->f, 0, 1, 8);
	assert_int_equal(vdpa_dev_del(fx->fw->w->bus, "b0", NULL, NULL), 0);
	assert_non_null(vdpa_device_find(fx->fw->w->bus, "b0"));
	check_io(fx->f, 0, 1);
	/* tear_down() unregisters it with the front end still there */
}

/* ---- client mode, on virtual time ---- */

static int accept_within(struct vfront_world *fw, int listener)
{
	int fd;

	vfront_wait(fw, listener);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

static void test_client_connects_and_reconnects(void **state)
{
	const struct sim_options options = { .seed = 7 };
	struct unix_listener listener;
	struct vfront_world *fw;
	struct vfront *f;
	struct sim *sim;

	(void)state;
	assert_int_equal(sim_new(&options, &sim), 0);
	fw = vfront_world_new(sim, 1);
	vworld_add(fw->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	assert_int_equal(vfront_bind(fw, "b0", "server", "off"), 0);
	/* nobody was there: it is tried again */
	assert_int_equal(unix_listen(fw->path, SOCK_STREAM, 0600, &listener),
			 0);
	for (uint8_t i = 1; i < 4; i++) {
		f = vfront_new(fw, accept_within(fw, listener.fd));
		vfront_start(f, 0, 1, 8);
		check_io(f, 0, i);
		vfront_close(f);
	}
	unix_listen_end(&listener);
	vfront_world_free(fw);
	sim_free(sim);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_io_in_every_ring_format),
	T(test_any_order_of_messages_starts_a_ring),
	T(test_without_protocol_features_rings_are_enabled),
	T(test_a_disabled_ring_is_left_alone),
	T(test_get_vring_base_stops_and_tells_where),
	T(test_get_vring_base_of_a_packed_ring_has_both_halves),
	T(test_a_ring_that_is_polled_needs_no_kick),
	T(test_call_descriptor_changes_while_running),
	T(test_call_descriptor_may_be_a_socket),
	T(test_features_are_the_devices_and_the_protocols),
	T(test_config_is_read_and_padded),
	T(test_status_is_kept_and_0_resets),
	T(test_reset_device_starts_over),
	T(test_reset_owner_disables_and_forgets_nothing),
	T(test_other_features_when_rings_are_stopped),
	T(test_h33_same_memory_again_keeps_it_mapped),
	T(test_h33_other_memory_while_running),
	T(test_h33_a_ring_without_memory_waits_for_it),
	T(test_slots_are_added_and_removed_while_running),
	T(test_509_slots_and_no_more),
	T(test_disconnect_lets_go_of_everything),
	T(test_a_second_front_end_is_refused),
	T(test_bind_refuses_a_living_socket_and_takes_a_stale_one),
	T(test_bind_checks_its_keys),
	T(test_describe_says_where_and_whether),
	T(test_unregister_cuts_a_front_end_off),
	cmocka_unit_test(test_client_connects_and_reconnects),
};

TEST_MAIN("vhost_user")
