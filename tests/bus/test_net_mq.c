/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the management device net: several pairs of queues, as a driver sees
 * them, on two workers.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "lib/test.h"
#include "lib/vclient.h"
#include "uapi/compat.h"

#define HDR	12
#define N_PAIRS 4
#define CTRL	(2 * N_PAIRS)
#define NUM	64
#define FRAME	60

struct fixture {
	struct vworld *w;
	struct vclient *c;
	struct vdpa_device *vdev;
};

static const uint8_t own_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static const uint8_t stranger[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x57 };

static void put_param(struct vdpa_dev_config *config, const char *key,
		      const char *value)
{
	struct vdpa_param *p = &config->params[config->n_params++];

	(void)snprintf(p->key, sizeof(p->key), "%s", key);
	(void)snprintf(p->value, sizeof(p->value), "%s", value);
}

static struct vdpa_dev_config config_of(uint16_t n_pairs)
{
	struct vdpa_dev_config config = {
		.mask = BIT_ULL(VDPA_ATTR_MAC) | BIT_ULL(VDPA_ATTR_MAX_VQP),
		.is_admin = true,
		.max_vq_pairs = n_pairs,
	};

	memcpy(config.mac, own_mac, sizeof(own_mac));
	put_param(&config, "backend", "loopback");
	return config;
}

static struct fixture *open_device(void)
{
	struct vdpa_dev_config config = config_of(N_PAIRS);
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->w = vworld_new(NULL, 2);
	assert_int_equal(vdpa_dev_add(fx->w->bus, NULL, "net", "n0", &config),
			 0);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	fx->vdev = vdpa_device_find(fx->w->bus, "n0");
	return fx;
}

#define CTRL_FEATURES \
	(BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR))

static int set_up_ring(void **state, uint64_t features)
{
	struct fixture *fx = open_device();

	vclient_start(fx->c,
		      features | CTRL_FEATURES | BIT_ULL(VIRTIO_NET_F_MQ),
		      CTRL + 1, NUM);
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

/* Offered, but the driver knows nothing of it: its control queue is 2. */
static int set_up_without_mq(void **state)
{
	struct fixture *fx = open_device();

	vclient_start(fx->c, CTRL_FEATURES, CTRL + 1, NUM);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vclient_close(fx->c);
	vworld_free(fx->w);
	free(fx);
	return 0;
}

/* ---- what a driver does ---- */

static char *post_rx(struct vclient *c, unsigned int pair)
{
	char *buf = vclient_alloc(c, 2048, 64);
	struct vq_sg sg = { vclient_iova(c, buf), 2048 };

	vclient_add(c, 2 * pair, &sg, 0, 1, buf);
	if (vq_driver_publish(c->q[2 * pair].drv)) {
		vclient_kick(c, 2 * pair);
	}
	return buf;
}

static void send_to(struct vclient *c, unsigned int pair, const uint8_t dst[6])
{
	char *buf = vclient_alloc(c, HDR + FRAME, 64);
	struct vq_sg sg = { vclient_iova(c, buf), HDR + FRAME };

	memset(buf, 0, HDR);
	memset(buf + HDR, (int)(0x40 + pair), FRAME);
	memcpy(buf + HDR, dst, 6);
	vclient_add(c, 2 * pair + 1, &sg, 1, 0, buf);
	assert_int_equal(vclient_run_one(c, 2 * pair + 1).written, 0);
}

static bool has_received(struct vclient *c, unsigned int pair)
{
	struct vq_used used;
	int n = vq_driver_get(c->q[2 * pair].drv, &used, 1);

	assert_in_range(n, 0, 1);
	if (n == 1) {
		const char *buf = used.cookie;

		assert_int_equal(used.written, HDR + FRAME);
		assert_int_equal(buf[HDR + 6], 0x40 + pair);
	}
	return n == 1;
}

static bool comes_back(struct vclient *c, unsigned int pair)
{
	post_rx(c, pair);
	send_to(c, pair, own_mac);
	return has_received(c, pair);
}

static uint8_t command(struct vclient *c, unsigned int idx, uint8_t class,
		       uint8_t cmd, const void *data, uint32_t len)
{
	uint8_t *buf = vclient_alloc(c, 2 + len, 1);
	uint8_t *ack = vclient_alloc(c, 1, 1);
	struct vq_sg sg[] = { { vclient_iova(c, buf), 2 + len },
			      { vclient_iova(c, ack), 1 } };

	buf[0] = class;
	buf[1] = cmd;
	memcpy(buf + 2, data, len);
	*ack = 0x5a;
	vclient_add(c, idx, sg, 1, 1, buf);
	assert_int_equal(vclient_run_one(c, idx).written, 1);
	return *ack;
}

static uint8_t set_pairs(struct vclient *c, unsigned int idx, uint16_t n)
{
	struct virtio_net_ctrl_mq mq = { htole16(n) };

	return command(c, idx, VIRTIO_NET_CTRL_MQ,
		       VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &mq, sizeof(mq));
}

static uint64_t stat_of(struct fixture *fx, uint32_t idx, const char *name)
{
	return vworld_stat(fx->w, "n0", idx, name);
}

/* ---- pairs ---- */

static void test_each_pair_is_a_loop_of_its_own(void **state)
{
	struct fixture *fx = *state;

	for (unsigned int i = 0; i < N_PAIRS; i++) {
		post_rx(fx->c, i);
	}
	for (unsigned int i = N_PAIRS; i-- > 0;) {
		send_to(fx->c, i, own_mac);
		for (unsigned int k = 0; k < N_PAIRS; k++) {
			assert_int_equal(has_received(fx->c, k), k == i);
		}
	}
}

static void test_counters_are_those_of_the_queue(void **state)
{
	struct fixture *fx = *state;

	for (unsigned int i = 0; i < N_PAIRS; i++) {
		for (unsigned int k = 0; k <= i; k++) {
			assert_true(comes_back(fx->c, i));
		}
	}
	for (unsigned int i = 0; i < N_PAIRS; i++) {
		assert_int_equal(stat_of(fx, 2 * i, "rx packets"), i + 1);
		assert_int_equal(stat_of(fx, 2 * i + 1, "tx bytes"),
				 (i + 1) * FRAME);
	}
	assert_int_equal(stat_of(fx, CTRL, "cvq requests"), 0);
}

static void test_mac_of_control_queue_is_that_of_all_pairs(void **state)
{
	struct fixture *fx = *state;
	uint8_t mac[6];

	assert_int_equal(command(fx->c, CTRL, VIRTIO_NET_CTRL_MAC,
				 VIRTIO_NET_CTRL_MAC_ADDR_SET, stranger, 6),
			 VIRTIO_NET_OK);
	for (unsigned int i = 0; i < N_PAIRS; i++) {
		assert_false(comes_back(fx->c, i));
		send_to(fx->c, i, stranger);
		assert_true(has_received(fx->c, i));
		assert_int_equal(stat_of(fx, 2 * i, "rx drops"), 1);
	}
	vclient_get_config(fx->c, mac, sizeof(mac));
	assert_memory_equal(mac, stranger, 6);
}

static void test_frames_wait_for_their_own_receive_queue(void **state)
{
	struct fixture *fx = *state;
	struct vhost_vring_state off = { .index = 4, .num = 0 };
	char *buf = vclient_alloc(fx->c, HDR + FRAME, 64);
	struct vq_sg sg = { vclient_iova(fx->c, buf), HDR + FRAME };
	struct vq_used used;

	vclient_must(fx->c, VHOST_VDPA_SET_VRING_ENABLE, &off);
	memset(buf, 0xff, HDR + FRAME);
	vclient_add(fx->c, 5, &sg, 1, 0, buf);
	if (vq_driver_publish(fx->c->q[5].drv)) {
		vclient_kick(fx->c, 5);
	}
	assert_true(comes_back(fx->c, 0));
	assert_true(comes_back(fx->c, 1));
	assert_true(comes_back(fx->c, 3));
	assert_int_equal(vq_driver_get(fx->c->q[5].drv, &used, 1), 0);
	off.num = 1;
	vclient_must(fx->c, VHOST_VDPA_SET_VRING_ENABLE, &off);
	vclient_wait_call(fx->c, 5);
	assert_int_equal(vq_driver_get(fx->c->q[5].drv, &used, 1), 1);
	assert_int_equal(stat_of(fx, 4, "rx overruns"), 1);
}

/* ---- the number of active pairs ---- */

static void test_frames_of_inactive_pairs_are_dropped(void **state)
{
	struct fixture *fx = *state;

	assert_true(comes_back(fx->c, 3)); /* no command: those that run */
	assert_int_equal(set_pairs(fx->c, CTRL, 2), VIRTIO_NET_OK);
	assert_true(comes_back(fx->c, 0));
	assert_true(comes_back(fx->c, 1));
	assert_false(comes_back(fx->c, 2));
	assert_false(comes_back(fx->c, 3));
	assert_int_equal(stat_of(fx, 4, "rx drops"), 1);
	assert_int_equal(stat_of(fx, 5, "tx packets"), 1);
	assert_int_equal(set_pairs(fx->c, CTRL, 4), VIRTIO_NET_OK);
	send_to(fx->c, 2, own_mac);
	assert_true(has_received(fx->c, 2));
}

static void test_h47_bad_numbers_of_pairs_are_err(void **state)
{
	static const uint16_t bad[] = { 0, N_PAIRS + 1, 0x7fff, 0x8000,
					0xffff };
	struct fixture *fx = *state;
	uint8_t data[4] = { 1 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(set_pairs(fx->c, CTRL, bad[i]),
				 VIRTIO_NET_ERR);
	}
	for (uint32_t len = 0; len <= sizeof(data); len++) {
		/* RSS and hash configuration are not offered */
		for (uint8_t cmd = 0; cmd < 4; cmd++) {
			bool is_good = cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET &&
				       len == 2;

			if (!is_good) {
				assert_int_equal(command(fx->c, CTRL,
							 VIRTIO_NET_CTRL_MQ,
							 cmd, data, len),
						 VIRTIO_NET_ERR);
			}
		}
	}
	assert_true(comes_back(fx->c, 3)); /* nothing was changed */
	assert_int_equal(stat_of(fx, CTRL, "cvq errors"), 5 + 19);
}

static void test_h48_command_without_answer_changes_nothing(void **state)
{
	struct fixture *fx = *state;
	uint8_t *buf = vclient_alloc(fx->c, 4, 1);
	struct vq_sg sg = { vclient_iova(fx->c, buf), 4 };

	memcpy(buf, (uint8_t[]){ VIRTIO_NET_CTRL_MQ, 0, 1, 0 }, 4);
	for (int i = 0; i < 200; i++) {
		vclient_add(fx->c, CTRL, &sg, 1, 0, buf);
		assert_int_equal(vclient_run_one(fx->c, CTRL).written, 0);
	}
	assert_true(comes_back(fx->c, 1));
}

static void test_reset_forgets_the_number_of_pairs(void **state)
{
	struct fixture *fx = *state;
	uint64_t features = fx->c->features;

	assert_int_equal(set_pairs(fx->c, CTRL, 1), VIRTIO_NET_OK);
	assert_false(comes_back(fx->c, 3));
	vclient_reset(fx->c);
	vclient_start(fx->c, features, CTRL + 1, NUM);
	assert_true(comes_back(fx->c, 3));
}

static void test_state_has_the_number_of_pairs(void **state)
{
	struct fixture *fx = *state;
	uint8_t buf[64];
	int64_t n;

	assert_int_equal(set_pairs(fx->c, CTRL, 2), VIRTIO_NET_OK);
	vclient_save(fx->c);
	n = vdpa_save_state(fx->vdev, buf, sizeof(buf));
	assert_int_equal(n, 12);
	/* a state of a larger device, or none at all (H68's kind) */
	buf[10] = N_PAIRS + 1;
	assert_int_equal(vdpa_load_state(fx->vdev, buf, 12), -EINVAL);
	buf[10] = 0xff;
	buf[11] = 0xff;
	assert_int_equal(vdpa_load_state(fx->vdev, buf, 12), -EINVAL);
	buf[10] = 2;
	buf[11] = 0;
	assert_int_equal(vdpa_load_state(fx->vdev, buf, 12), 0);
	vclient_restore(fx->c);
	assert_true(comes_back(fx->c, 1));
	assert_false(comes_back(fx->c, 2));
}

/* ---- drivers that do not take the feature ---- */

static void test_without_mq_queue_2_is_the_control_queue(void **state)
{
	struct fixture *fx = *state;
	struct vhost_vring_state group = { .index = 2 };
	struct vq_used used;

	assert_true(comes_back(fx->c, 0));
	assert_int_equal(command(fx->c, 2, VIRTIO_NET_CTRL_MAC,
				 VIRTIO_NET_CTRL_MAC_ADDR_SET, stranger, 6),
			 VIRTIO_NET_OK);
	assert_int_equal(set_pairs(fx->c, 2, 2), VIRTIO_NET_ERR);
	assert_int_equal(stat_of(fx, 2, "cvq requests"), 2);
	vclient_must(fx->c, VHOST_VDPA_GET_VRING_GROUP, &group);
	assert_int_equal(group.num, 1);
	/* queues that such a driver has no business with are dead */
	for (unsigned int i = 3; i <= CTRL; i++) {
		char *buf = vclient_alloc(fx->c, 128, 64);
		struct vq_sg sg = { vclient_iova(fx->c, buf), 128 };

		vclient_add(fx->c, i, &sg, 1, 0, buf);
		(void)vq_driver_publish(fx->c->q[i].drv);
		vclient_kick(fx->c, i);
		assert_int_equal(vdpa_get_vendor_vq_stats(fx->vdev, i, NULL,
							  NULL),
				 -EINVAL);
	}
	assert_false(comes_back(fx->c, 0)); /* to the old address */
	for (unsigned int i = 3; i <= CTRL; i++) {
		assert_int_equal(vq_driver_get(fx->c->q[i].drv, &used, 1), 0);
	}
}

static void test_with_mq_the_last_queue_has_the_control_group(void **state)
{
	struct fixture *fx = *state;

	for (unsigned int i = 0; i <= CTRL; i++) {
		struct vhost_vring_state group = { .index = i };

		vclient_must(fx->c, VHOST_VDPA_GET_VRING_GROUP, &group);
		assert_int_equal(group.num, i == CTRL);
	}
}

/* ---- hostile drivers ---- */

static void test_h20_broken_pair_leaves_the_others_alone(void **state)
{
	struct fixture *fx = *state;
	struct vq_layout layout;
	char *ring = fx->c->mem + (fx->c->q[5].ring_iova - VCLIENT_IOVA);
	struct pollfd pfd = { .fd = fx->c->q[CTRL].call_fd, .events = POLLIN };
	__le16 idx = htole16(NUM + 1);

	/* the control queue is not used here: its descriptor tells of a change */
	vclient_must(fx->c, VHOST_VDPA_SET_CONFIG_CALL, &pfd.fd);
	vq_layout(NUM, fx->c->features, &layout);
	memcpy(ring + layout.driver_area + 2, &idx, sizeof(idx));
	vclient_kick(fx->c, 5);
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_true(vclient_status(fx->c) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(comes_back(fx->c, 0)); /* on the same worker */
	assert_true(comes_back(fx->c, 1));
	assert_true(comes_back(fx->c, 3));
}

/* ---- all at once ---- */

#define N_ROUNDS 400

/* One pair's driver, in a thread: cmocka's assertions belong to the main one. */
struct runner {
	struct vclient *c;
	unsigned int pair;
	char *tx, *rx;
	pthread_t thread;
	uint64_t n_sent, n_received;
	bool has_failed;
};

static bool add_and_kick(struct vclient *c, unsigned int idx, char *buf,
			 uint32_t len, bool is_readable)
{
	struct vq_sg sg = { vclient_iova(c, buf), len };
	uint64_t one = 1;

	if (vq_driver_add(c->q[idx].drv, &sg, is_readable, !is_readable, buf) <
	    0) {
		return false;
	}
	return !vq_driver_publish(c->q[idx].drv) ||
	       write(c->q[idx].kick_fd, &one, sizeof(one)) == sizeof(one);
}

static bool await_used(struct vclient *c, unsigned int idx)
{
	struct pollfd pfd = { .fd = c->q[idx].call_fd, .events = POLLIN };
	struct vq_used used;
	uint64_t n;

	while (vq_driver_get(c->q[idx].drv, &used, 1) == 0) {
		if (poll(&pfd, 1, 20000) != 1) {
			return false;
		}
		(void)!read(pfd.fd, &n, sizeof(n));
	}
	return true;
}

static bool run_round(struct runner *r, bool *rx_is_posted)
{
	unsigned int rx = 2 * r->pair, tx = rx + 1;
	struct vq_used used;

	if (!*rx_is_posted && !add_and_kick(r->c, rx, r->rx, 256, false)) {
		return false;
	}
	*rx_is_posted = true;
	if (!add_and_kick(r->c, tx, r->tx, HDR + FRAME, true) ||
	    !await_used(r->c, tx)) {
		return false;
	}
	r->n_sent++;
	/* dropped, when the pair was not active, or the address another */
	if (vq_driver_get(r->c->q[rx].drv, &used, 1) == 1) {
		*rx_is_posted = false;
		r->n_received++;
		return used.written == HDR + FRAME &&
		       memcmp(r->rx + HDR, r->tx + HDR, FRAME) == 0;
	}
	return true;
}

static void *run_pair(void *arg)
{
	struct runner *r = arg;
	bool rx_is_posted = false;

	for (unsigned int i = 0; i < N_ROUNDS && !r->has_failed; i++) {
		r->has_failed = !run_round(r, &rx_is_posted);
	}
	return NULL;
}

static void start_runners(struct fixture *fx, struct runner runners[N_PAIRS])
{
	for (unsigned int i = 0; i < N_PAIRS; i++) {
		struct runner *r = &runners[i];

		*r = (struct runner){ .c = fx->c, .pair = i };
		r->rx = vclient_alloc(fx->c, 256, 64);
		r->tx = vclient_alloc(fx->c, HDR + FRAME, 64);
		memset(r->tx, 0, HDR);
		memset(r->tx + HDR, (int)(0x40 + i), FRAME);
		memcpy(r->tx + HDR, own_mac, 6);
		assert_int_equal(pthread_create(&r->thread, NULL, run_pair, r),
				 0);
	}
}

static void expect_counted(struct fixture *fx, struct runner *r)
{
	uint32_t rx = 2 * r->pair;

	assert_int_equal(pthread_join(r->thread, NULL), 0);
	assert_false(r->has_failed);
	assert_int_equal(r->n_sent, N_ROUNDS);
	assert_int_equal(stat_of(fx, rx + 1, "tx packets"), N_ROUNDS);
	assert_int_equal(stat_of(fx, rx, "rx packets"), r->n_received);
	assert_int_equal(stat_of(fx, rx, "rx packets") +
				 stat_of(fx, rx, "rx drops"),
			 N_ROUNDS);
}

static void
test_pairs_run_in_parallel_while_the_control_queue_works(void **state)
{
	struct fixture *fx = *state;
	struct runner runners[N_PAIRS];
	uint64_t mark;

	start_runners(fx, runners);
	mark = fx->c->next_free;
	for (uint16_t i = 0; i < 100; i++) {
		const uint8_t *mac = i & 1 ? own_mac : stranger;
		uint8_t seen[6];

		fx->c->next_free = mark;
		assert_int_equal(set_pairs(fx->c, CTRL,
					   (uint16_t)(1 + i % N_PAIRS)),
				 VIRTIO_NET_OK);
		assert_int_equal(command(fx->c, CTRL, VIRTIO_NET_CTRL_MAC,
					 VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6),
				 VIRTIO_NET_OK);
		vclient_get_config(fx->c, seen, sizeof(seen));
		assert_memory_equal(seen, mac, 6);
	}
	for (unsigned int i = 0; i < N_PAIRS; i++) {
		expect_counted(fx, &runners[i]);
	}
}

static void test_pairs_run_in_parallel_and_lose_nothing(void **state)
{
	struct fixture *fx = *state;
	struct runner runners[N_PAIRS];

	start_runners(fx, runners);
	for (unsigned int i = 0; i < N_PAIRS; i++) {
		expect_counted(fx, &runners[i]);
		assert_int_equal(runners[i].n_received, N_ROUNDS);
	}
}

/* ---- management ---- */

static uint64_t features_of(struct vdpa_bus *bus, const char *name)
{
	return vdpa_get_device_features(vdpa_device_find(bus, name));
}

static uint16_t config_pairs(struct vdpa_bus *bus, const char *name)
{
	__le16 n;

	assert_int_equal(vdpa_get_config_raw(vdpa_device_find(bus, name), 8, &n,
					     sizeof(n)),
			 0);
	return le16toh(n);
}

static void test_max_vqp_gives_queues_and_feature(void **state)
{
	struct vworld *w = vworld_new(NULL, 1);
	struct vdpa_dev_config config;

	(void)state;
	config = config_of(1);
	assert_int_equal(vdpa_dev_add(w->bus, NULL, "net", "one", &config), 0);
	config = config_of(16);
	assert_int_equal(vdpa_dev_add(w->bus, NULL, "net", "many", &config), 0);
	assert_false(has_bit(features_of(w->bus, "one"), VIRTIO_NET_F_MQ));
	assert_true(has_bit(features_of(w->bus, "many"), VIRTIO_NET_F_MQ));
	assert_int_equal(config_pairs(w->bus, "one"), 0);
	assert_int_equal(config_pairs(w->bus, "many"), 16);
	assert_int_equal(vdpa_device_find(w->bus, "one")->nvqs, 3);
	assert_int_equal(vdpa_device_find(w->bus, "many")->nvqs, 33);
	vworld_free(w);
}

static void test_bad_attributes_make_no_device(void **state)
{
	static const uint16_t bad[] = { 0, 17, 256, 0xffff };
	struct vworld *w = vworld_new(NULL, 1);
	struct vdpa_dev_config config;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		config = config_of(bad[i]);
		assert_int_equal(vdpa_dev_add(w->bus, NULL, "net", "n0",
					      &config),
				 -EINVAL);
	}
	config = config_of(2);
	config.n_params = 0; /* no back end */
	assert_int_equal(vdpa_dev_add(w->bus, NULL, "net", "n0", &config),
			 -EINVAL);
	put_param(&config, "backend", "nonesuch");
	assert_int_equal(vdpa_dev_add(w->bus, NULL, "net", "n0", &config),
			 -EINVAL);
	config = config_of(2);
	put_param(&config, "poll_us", "x");
	assert_int_equal(vdpa_dev_add(w->bus, NULL, "net", "n0", &config),
			 -EINVAL);
	/* the feature that several pairs need is left out */
	config = config_of(2);
	config.mask |= BIT_ULL(VDPA_ATTR_FEATURES);
	config.device_features = BIT_ULL(VIRTIO_NET_F_MAC) |
				 BIT_ULL(VIRTIO_F_VERSION_1) |
				 BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	assert_int_equal(vdpa_dev_add(w->bus, NULL, "net", "n0", &config),
			 -EINVAL);
	assert_null(vdpa_device_next(w->bus, NULL));
	vworld_free(w);
}

#define SPLIT(name) \
	cmocka_unit_test_setup_teardown(name, set_up_split, tear_down)
#define BOTH(name)                                                    \
	SPLIT(name),                                                  \
	{                                                             \
#name "_packed", name, set_up_packed, tear_down, NULL \
	}

static const struct CMUnitTest tests[] = {
	BOTH(test_each_pair_is_a_loop_of_its_own),
	BOTH(test_counters_are_those_of_the_queue),
	BOTH(test_mac_of_control_queue_is_that_of_all_pairs),
	BOTH(test_frames_wait_for_their_own_receive_queue),
	BOTH(test_frames_of_inactive_pairs_are_dropped),
	BOTH(test_h47_bad_numbers_of_pairs_are_err),
	BOTH(test_h48_command_without_answer_changes_nothing),
	BOTH(test_reset_forgets_the_number_of_pairs),
	BOTH(test_state_has_the_number_of_pairs),
	cmocka_unit_test_setup_teardown(
		test_without_mq_queue_2_is_the_control_queue, set_up_without_mq,
		tear_down),
	BOTH(test_with_mq_the_last_queue_has_the_control_group),
	SPLIT(test_h20_broken_pair_leaves_the_others_alone),
	BOTH(test_pairs_run_in_parallel_and_lose_nothing),
	BOTH(test_pairs_run_in_parallel_while_the_control_queue_works),
	cmocka_unit_test(test_max_vqp_gives_queues_and_feature),
	cmocka_unit_test(test_bad_attributes_make_no_device),
};

TEST_MAIN("dev_net_mq")
