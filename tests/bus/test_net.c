/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of vdpasim_net, as a driver sees it, in every ring format.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "lib/test.h"
#include "lib/vclient.h"
#include "uapi/compat.h"

#define HDR 12

struct fixture {
	struct vworld *w;
	struct vclient *c;
};

static const uint8_t own_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static int set_up_ring(void **state, uint64_t features)
{
	struct vdpa_dev_config config = { .mask = BIT_ULL(VDPA_ATTR_MAC),
					  .is_admin = true };
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	memcpy(config.mac, own_mac, 6);
	fx->w = vworld_new(NULL, 1);
	assert_int_equal(vdpa_dev_add(fx->w->bus, NULL, "vdpasim_net", "n0",
				      &config),
			 0);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	vclient_start(fx->c,
		      features | BIT_ULL(VIRTIO_NET_F_CTRL_VQ) |
			      BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR),
		      3, 64);
	*state = fx;
	return 0;
}

static int set_up_split(void **state)
{
	return set_up_ring(state, 0);
}

static int set_up_packed(void **state)
{
	return set_up_ring(state, BIT_ULL(VIRTIO_F_RING_PACKED));
}

static int set_up_mergeable(void **state)
{
	return set_up_ring(state, BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) |
					  BIT_ULL(VIRTIO_F_IN_ORDER) |
					  BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vclient_close(fx->c);
	vworld_free(fx->w);
	free(fx);
	return 0;
}

/* ---- frames ---- */

static char *post_rx(struct vclient *c, uint32_t len)
{
	char *buf = vclient_alloc(c, len + 64, 64);
	struct vq_sg sg = { vclient_iova(c, buf), len };

	memset(buf, 0xee, len + 64);
	vclient_add(c, 0, &sg, 0, 1, buf);
	if (vq_driver_publish(c->q[0].drv)) {
		vclient_kick(c, 0);
	}
	return buf;
}

/* A frame of @len bytes behind a header; not published. */
static char *add_frame(struct vclient *c, const uint8_t dst[6], uint32_t len)
{
	char *buf = vclient_alloc(c, HDR + len, 64);
	struct vq_sg sg = { vclient_iova(c, buf), HDR + len };

	memset(buf, 0x77, HDR); /* what it says does not matter: H43 */
	for (uint32_t i = 0; i < len; i++) {
		buf[HDR + i] = (char)(i * 7 + 1);
	}
	memcpy(buf + HDR, dst, 6);
	vclient_add(c, 1, &sg, 1, 0, buf);
	return buf;
}

/* The same; completed when it returns. */
static char *send_frame(struct vclient *c, const uint8_t dst[6], uint32_t len)
{
	char *buf = add_frame(c, dst, len);

	assert_int_equal(vclient_run_one(c, 1).written, 0);
	return buf;
}

static uint64_t stat_of(struct fixture *fx, uint32_t idx, const char *name)
{
	return vworld_stat(fx->w, "n0", idx, name);
}

static void expect_frame(struct fixture *fx, const char *rx, const char *tx,
			 uint32_t len)
{
	static const char clean[10];
	struct vq_used used;

	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 1);
	assert_ptr_equal(used.cookie, rx);
	assert_int_equal(used.written, HDR + len);
	assert_memory_equal(rx, clean, sizeof(clean));
	assert_int_equal(rx[10], 1); /* num_buffers */
	assert_memory_equal(rx + HDR, tx + HDR, len);
	assert_int_equal((unsigned char)rx[HDR + len], 0xee);
}

static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };
static const uint8_t multicast[6] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t stranger[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x57 };

static void test_own_broadcast_and_multicast_come_back(void **state)
{
	const uint8_t *dst[] = { own_mac, broadcast, multicast };
	static const uint32_t lens[] = { 14, 60, 64, 1500, 1514, 4000 };
	struct fixture *fx = *state;

	for (size_t d = 0; d < ARRAY_SIZE(dst); d++) {
		for (size_t l = 0; l < ARRAY_SIZE(lens); l++) {
			char *rx = post_rx(fx->c, 8192);
			char *tx = send_frame(fx->c, dst[d], lens[l]);

			expect_frame(fx, rx, tx, lens[l]);
		}
	}
	assert_int_equal(stat_of(fx, 1, "tx packets"), 18);
	assert_int_equal(stat_of(fx, 0, "rx packets"), 18);
	assert_int_equal(stat_of(fx, 0, "rx bytes"), 3 * 7152);
}

static void test_frames_of_others_are_dropped_and_counted(void **state)
{
	struct fixture *fx = *state;
	struct vq_used used;

	post_rx(fx->c, 2048);
	send_frame(fx->c, stranger, 60);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 0);
	assert_int_equal(stat_of(fx, 0, "rx drops"), 1);
	assert_int_equal(stat_of(fx, 1, "tx packets"), 1);
}

static void test_without_rx_buffer_it_is_an_overrun(void **state)
{
	struct fixture *fx = *state;

	send_frame(fx->c, own_mac, 60);
	assert_int_equal(stat_of(fx, 0, "rx overruns"), 1);
	assert_int_equal(stat_of(fx, 1, "tx packets"), 1);
}

struct rx_gate {
	unsigned int n_asked;
	int event; /* the receive queue is held back */
};

/* Asked for the frame first, then for the buffer. */
static bool is_behind_once(void *priv)
{
	struct rx_gate *gate = priv;
	const uint64_t one = 1;

	if (gate->n_asked++ != 1) {
		return false;
	}
	assert_int_equal(write(gate->event, &one, 8), 8);
	return true;
}

/* Memory of receive buffers may be about to change: the frame waits, whichever
 * queue is told first that it is done. */
static void test_frame_waits_for_buffers_behind_the_gate(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "n0");

	for (uint32_t first = 0; first < 2; first++) {
		struct rx_gate rx_gate = { 0, eventfd(0, EFD_CLOEXEC) };
		const struct vdpa_gate gate = { is_behind_once, &rx_gate };
		char *rx = post_rx(fx->c, 256);
		struct vq_used used;
		uint64_t n;
		char *tx;

		assert_int_equal(vdpa_set_gate(vdev, &gate), 0);
		tx = add_frame(fx->c, own_mac, 60);
		(void)vq_driver_publish(fx->c->q[1].drv);
		vclient_kick(fx->c, 1);
		assert_int_equal(read(rx_gate.event, &n, 8), 8);
		assert_int_equal(vdpa_kick_vq(vdev, first), 0);
		assert_int_equal(vdpa_kick_vq(vdev, 1 - first), 0);
		while (vq_driver_get(fx->c->q[1].drv, &used, 1) == 0) {
			if (!vq_driver_enable_call(fx->c->q[1].drv)) {
				vclient_wait_call(fx->c, 1);
			}
		}
		expect_frame(fx, rx, tx, 60);
		assert_int_equal(vdpa_set_gate(vdev, NULL), 0);
		close(rx_gate.event);
	}
	assert_int_equal(stat_of(fx, 0, "rx overruns"), 0);
}

static void test_h41_short_frames_are_tx_errors(void **state)
{
	struct fixture *fx = *state;
	char *buf = vclient_alloc(fx->c, 64, 64);

	memset(buf, 0xff, 64);
	for (uint32_t len = 1; len < HDR + 14; len++) {
		struct vq_sg sg = { vclient_iova(fx->c, buf), len };

		vclient_add(fx->c, 1, &sg, 1, 0, buf);
		assert_int_equal(vclient_run_one(fx->c, 1).written, 0);
	}
	assert_int_equal(stat_of(fx, 1, "tx errors"), HDR + 13);
	assert_int_equal(stat_of(fx, 1, "tx packets"), 0);
}

static void test_h46_too_long_is_a_tx_error(void **state)
{
	struct fixture *fx = *state;

	post_rx(fx->c, 100000);
	send_frame(fx->c, own_mac, 65536 + 19);
	assert_int_equal(stat_of(fx, 1, "tx errors"), 1);
}

static void test_h40_header_in_pieces(void **state)
{
	struct fixture *fx = *state;
	char *buf = vclient_alloc(fx->c, 256, 64);
	uint64_t at = vclient_iova(fx->c, buf);
	char *rx = post_rx(fx->c, 256);
	struct vq_sg sg[14];

	memset(buf, 0, 256);
	memcpy(buf + HDR, own_mac, 6);
	for (unsigned int i = 0; i < 13; i++) {
		sg[i] = (struct vq_sg){ at + i, 1 };
	}
	sg[13] = (struct vq_sg){ at + 13, 59 };
	vclient_add(fx->c, 1, sg, 14, 0, buf);
	assert_int_equal(vclient_run_one(fx->c, 1).written, 0);
	expect_frame(fx, rx, buf, 60);
}

/*
 * No offload was negotiated: checksum offsets beyond the frame (H42), unknown
 * GSO types and sizes (H43) and buffer counts (H45) in the sender's header mean
 * nothing, and a frame that ends within its VLAN tag (H44) is just bytes.
 */
static void test_h42_h43_h44_h45_sent_header_means_nothing(void **state)
{
	static const uint8_t headers[][HDR] = {
		{ 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0 },
		{ 1, 1, 0xff, 0xff, 1, 0, 60, 0, 0xfe, 0xff, 0, 0 },
		{ 0, 0x7f, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff },
		{ 0xff, 0x25, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0 },
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		for (uint32_t len = 14; len <= 18; len++) {
			char *rx = post_rx(fx->c, 256);
			char *tx = vclient_alloc(fx->c, HDR + len, 64);
			struct vq_sg sg = { vclient_iova(fx->c, tx),
					    HDR + len };

			memcpy(tx, headers[i], HDR);
			memset(tx + HDR, 0x81, len); /* a multicast */
			tx[HDR + 13] = 0; /* type 0x8100 */
			vclient_add(fx->c, 1, &sg, 1, 0, tx);
			assert_int_equal(vclient_run_one(fx->c, 1).written, 0);
			expect_frame(fx, rx, tx, len);
		}
	}
}

static void test_rx_buffer_that_is_too_small_comes_back_empty(void **state)
{
	struct fixture *fx = *state;
	struct vq_used used;
	char *small = post_rx(fx->c, 20), *rx, *tx;

	send_frame(fx->c, own_mac, 60);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 1);
	assert_ptr_equal(used.cookie, small);
	assert_int_equal(used.written, 0);
	assert_int_equal(stat_of(fx, 0, "rx errors"), 1);
	rx = post_rx(fx->c, 2048);
	tx = send_frame(fx->c, own_mac, 60);
	expect_frame(fx, rx, tx, 60);
}

static void test_mergeable_frame_is_spread(void **state)
{
	struct fixture *fx = *state;
	struct vq_used used[4];
	char *rx[3], *tx;

	for (int i = 0; i < 3; i++) {
		rx[i] = post_rx(fx->c, 512);
	}
	tx = send_frame(fx->c, own_mac, 1200);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, used, 4), 3);
	assert_int_equal(rx[0][10], 3);
	assert_int_equal(used[0].written, 512);
	assert_int_equal(used[1].written, 512);
	assert_int_equal(used[2].written, HDR + 1200 - 1024);
	assert_memory_equal(rx[0] + HDR, tx + HDR, 500);
	assert_memory_equal(rx[1], tx + HDR + 500, 512);
	assert_memory_equal(rx[2], tx + HDR + 1012, 188);
	/* one chain short: an overrun, and both chains stay */
	post_rx(fx->c, 512);
	post_rx(fx->c, 512);
	send_frame(fx->c, own_mac, 1200);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, used, 4), 0);
	assert_int_equal(stat_of(fx, 0, "rx overruns"), 1);
	post_rx(fx->c, 512);
	send_frame(fx->c, own_mac, 1200);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, used, 4), 3);
}

/* ---- the control queue ---- */

static uint8_t command(struct fixture *fx, uint8_t class, uint8_t cmd,
		       const void *data, uint32_t len)
{
	uint8_t *buf = vclient_alloc(fx->c, 2 + len, 1);
	uint8_t *ack = vclient_alloc(fx->c, 1, 1);
	struct vq_sg sg[] = { { vclient_iova(fx->c, buf), 2 + len },
			      { vclient_iova(fx->c, ack), 1 } };

	buf[0] = class;
	buf[1] = cmd;
	if (len > 0) {
		memcpy(buf + 2, data, len);
	}
	*ack = 0x5a;
	vclient_add(fx->c, 2, sg, 1, 1, buf);
	assert_int_equal(vclient_run_one(fx->c, 2).written, 1);
	return *ack;
}

static void get_mac(struct fixture *fx, uint8_t mac[6])
{
	vclient_get_config(fx->c, mac, 6);
}

static void test_mac_change_by_control_queue(void **state)
{
	struct fixture *fx = *state;
	uint8_t mac[6];
	char *rx, *tx;

	get_mac(fx, mac);
	assert_memory_equal(mac, own_mac, 6);
	assert_int_equal(command(fx, VIRTIO_NET_CTRL_MAC,
				 VIRTIO_NET_CTRL_MAC_ADDR_SET, stranger, 6),
			 VIRTIO_NET_OK);
	get_mac(fx, mac);
	assert_memory_equal(mac, stranger, 6);
	rx = post_rx(fx->c, 2048);
	tx = send_frame(fx->c, stranger, 60);
	expect_frame(fx, rx, tx, 60);
	send_frame(fx->c, own_mac, 60);
	assert_int_equal(stat_of(fx, 0, "rx drops"), 1);
}

static void test_h47_bad_commands_are_err(void **state)
{
	struct fixture *fx = *state;
	uint8_t mac[6];

	assert_int_equal(command(fx, 1, 1, stranger, 5), VIRTIO_NET_ERR);
	assert_int_equal(command(fx, 1, 1, broadcast, 0), VIRTIO_NET_ERR);
	assert_int_equal(command(fx, 1, 0, stranger, 6), VIRTIO_NET_ERR);
	assert_int_equal(command(fx, 99, 1, stranger, 6), VIRTIO_NET_ERR);
	assert_int_equal(command(fx, 4, 0, stranger, 2), VIRTIO_NET_ERR);
	get_mac(fx, mac);
	assert_memory_equal(mac, own_mac, 6);
	assert_int_equal(stat_of(fx, 2, "cvq requests"), 5);
	assert_int_equal(stat_of(fx, 2, "cvq errors"), 5);
}

/* The kernel's simulator answers OK to the second: its status is stale. */
static void test_good_command_does_not_bless_the_next(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(command(fx, 1, 1, stranger, 6), VIRTIO_NET_OK);
	assert_int_equal(command(fx, 99, 1, stranger, 6), VIRTIO_NET_ERR);
}

static void test_h48_commands_without_answer_change_nothing(void **state)
{
	struct fixture *fx = *state;
	uint8_t *buf = vclient_alloc(fx->c, 8, 1), mac[6];
	struct vq_sg sg = { vclient_iova(fx->c, buf), 8 };

	buf[0] = 1;
	buf[1] = 1;
	memcpy(buf + 2, stranger, 6);
	for (int i = 0; i < 200; i++) {
		vclient_add(fx->c, 2, &sg, 1, 0, buf);
		assert_int_equal(vclient_run_one(fx->c, 2).written, 0);
	}
	get_mac(fx, mac);
	assert_memory_equal(mac, own_mac, 6);
	sg.len = 1; /* half a header */
	vclient_add(fx->c, 2, &sg, 1, 0, buf);
	assert_int_equal(vclient_run_one(fx->c, 2).written, 0);
}

/* ---- management ---- */

static void test_config_and_features(void **state)
{
	struct fixture *fx = *state;
	struct virtio_net_config config;
	uint64_t features;
	uint32_t size;

	vclient_must(fx->c, VHOST_VDPA_GET_CONFIG_SIZE, &size);
	assert_int_equal(size, 24);
	vclient_get_config(fx->c, &config, 24);
	assert_int_equal(le16toh(config.mtu), 1500);
	assert_int_equal(le16toh(config.status), VIRTIO_NET_S_LINK_UP);
	vclient_must(fx->c, VHOST_GET_FEATURES, &features);
	assert_int_equal(features & 0x308830028, 0x308830028);
	/* the driver may write its MAC and nothing else */
	memset(&config, 0x42, 24);
	vclient_set_config(fx->c, &config, 24);
	vclient_get_config(fx->c, &config, 24);
	assert_int_equal(config.mac[5], 0x42);
	assert_int_equal(le16toh(config.mtu), 1500);
}

static void test_dev_set_mac_interrupts(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_dev_config config = { .mask = BIT_ULL(VDPA_ATTR_MAC) };
	uint8_t mac[6];
	int fd = fx->c->q[0].call_fd; /* any eventfd will do */
	uint64_t n;

	memcpy(config.mac, stranger, 6);
	vclient_must(fx->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	assert_int_equal(vdpa_dev_set(fx->w->bus, "n0", &config), 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	get_mac(fx, mac);
	assert_memory_equal(mac, stranger, 6);
}

static void test_state_moves_to_another_device(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_dev_config config = { .mask = BIT_ULL(VDPA_ATTR_MAC) };
	struct vdpa_device *from = vdpa_device_find(fx->w->bus, "n0"), *to;
	uint8_t buf[64], mac[6];
	int64_t n;

	memcpy(config.mac, stranger, 6);
	assert_int_equal(vdpa_dev_set(fx->w->bus, "n0", &config), 0);
	vworld_add(fx->w, "vdpasim_net", "n1", 0, NULL, NULL);
	to = vdpa_device_find(fx->w->bus, "n1");
	n = vdpa_save_state(from, buf, sizeof(buf));
	assert_true(n > 0);
	assert_int_equal(vdpa_save_state(from, buf, (size_t)n - 1), -ENOSPC);
	assert_int_equal(vdpa_load_state(to, buf, (size_t)n - 1), -EINVAL);
	assert_int_equal(vdpa_load_state(to, buf, (size_t)n), 0);
	assert_int_equal(vdpa_get_config_raw(to, 0, mac, sizeof(mac)), 0);
	assert_memory_equal(mac, stranger, 6);
	buf[0]++; /* of another version */
	assert_int_equal(vdpa_load_state(to, buf, (size_t)n), -EINVAL);
}

static void test_announcements_are_counted(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(
		vdpa_announce(vdpa_device_find(fx->w->bus, "n0"), stranger), 0);
	assert_int_equal(stat_of(fx, 1, "tx announces"), 1);
}

/* What a driver finds that is called for a received frame, on the worker. */
struct called {
	struct vclient *c;
	unsigned int n_calls;
	int n_sent; /* used on the transmit queue by then */
	sem_t sent; /* hands the driver's half over */
	sem_t done; /* and back */
};

static void on_rx_call(void *priv)
{
	struct called *called = priv;
	struct vq_used used;

	if (called->n_calls++ == 0) {
		assert_int_equal(sem_wait(&called->sent), 0);
		called->n_sent = vq_driver_get(called->c->q[1].drv, &used, 1);
		sem_post(&called->done);
	}
}

static void test_all_queues_are_published_before_the_first_call(void **state)
{
	struct fixture *fx = *state;
	struct called called = { .c = fx->c };
	struct vdpa_callback cb = { on_rx_call, &called, -1 };
	char *buf = vclient_alloc(fx->c, HDR + 60, 64);
	struct vq_sg sg = { vclient_iova(fx->c, buf), HDR + 60 };

	sem_init(&called.sent, 0, 0);
	sem_init(&called.done, 0, 0);
	vdpa_set_vq_cb(vdpa_device_find(fx->w->bus, "n0"), 0, &cb);
	post_rx(fx->c, 256);
	memset(buf, 0xff, HDR + 60);
	vclient_add(fx->c, 1, &sg, 1, 0, buf);
	assert_true(vq_driver_publish(fx->c->q[1].drv));
	sem_post(&called.sent);
	vclient_kick(fx->c, 1);
	assert_int_equal(sem_wait(&called.done), 0);
	assert_int_equal(called.n_sent, 1);
	/* the callback goes away before what it points to */
	vclient_reset(fx->c);
	assert_int_equal(called.n_calls, 1);
	sem_destroy(&called.sent);
	sem_destroy(&called.done);
}

static void test_h34_config_changes_under_traffic(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_dev_config config = { .mask = BIT_ULL(VDPA_ATTR_MAC) };
	uint64_t mark = fx->c->next_free;

	for (int i = 0; i < 300; i++) {
		bool is_own = i & 1;
		char *rx, *tx;

		fx->c->next_free = mark;
		memcpy(config.mac, is_own ? own_mac : stranger, 6);
		rx = post_rx(fx->c, 512);
		/* a frame on its way while the address changes */
		tx = send_frame(fx->c, broadcast, 60 + (uint32_t)i % 100);
		assert_int_equal(vdpa_dev_set(fx->w->bus, "n0", &config), 0);
		expect_frame(fx, rx, tx, 60 + (uint32_t)i % 100);
		send_frame(fx->c, is_own ? stranger : own_mac, 60);
	}
	assert_int_equal(stat_of(fx, 0, "rx drops"), 300);
}

static void test_device_features_must_be_offered(void **state)
{
	struct vworld *w = vworld_new(NULL, 1);
	struct vdpa_dev_config config = {
		.mask = BIT_ULL(VDPA_ATTR_FEATURES),
		.device_features = BIT_ULL(VIRTIO_NET_F_GUEST_TSO4),
		.is_admin = true,
	};

	assert_int_equal(vdpa_dev_add(w->bus, NULL, "vdpasim_net", "n0",
				      &config),
			 -EINVAL);
	assert_null(vdpa_device_next(w->bus, NULL));
	vworld_free(w);
}

#define SPLIT(name) \
	cmocka_unit_test_setup_teardown(name, set_up_split, tear_down)
#define PACKED(name)                                                  \
	{                                                             \
#name "_packed", name, set_up_packed, tear_down, NULL \
	}
#define BOTH(name) SPLIT(name), PACKED(name)

static const struct CMUnitTest tests[] = {
	BOTH(test_own_broadcast_and_multicast_come_back),
	BOTH(test_frames_of_others_are_dropped_and_counted),
	BOTH(test_without_rx_buffer_it_is_an_overrun),
	BOTH(test_frame_waits_for_buffers_behind_the_gate),
	BOTH(test_h41_short_frames_are_tx_errors),
	BOTH(test_h46_too_long_is_a_tx_error),
	BOTH(test_h40_header_in_pieces),
	BOTH(test_h42_h43_h44_h45_sent_header_means_nothing),
	BOTH(test_rx_buffer_that_is_too_small_comes_back_empty),
	cmocka_unit_test_setup_teardown(test_mergeable_frame_is_spread,
					set_up_mergeable, tear_down),
	BOTH(test_mac_change_by_control_queue),
	BOTH(test_h47_bad_commands_are_err),
	BOTH(test_good_command_does_not_bless_the_next),
	BOTH(test_h48_commands_without_answer_change_nothing),
	SPLIT(test_config_and_features),
	SPLIT(test_dev_set_mac_interrupts),
	SPLIT(test_state_moves_to_another_device),
	SPLIT(test_announcements_are_counted),
	BOTH(test_all_queues_are_published_before_the_first_call),
	BOTH(test_h34_config_changes_under_traffic),
	cmocka_unit_test(test_device_features_must_be_offered),
};

TEST_MAIN("dev_net")
