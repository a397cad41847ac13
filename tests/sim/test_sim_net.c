/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loopback network under seeded schedules: frames come back once, whole,
 * in order, or are counted as overruns.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "sim/sim.h"
#include "uapi/compat.h"

#define STEPS 150
#define RING  16
#define BUF   256
#define HDR   12

struct frame {
	uint8_t hdr[HDR];
	uint8_t dst[6];
	uint8_t src[6];
	uint8_t type[2];
	uint64_t number;
	uint8_t pad[64];
};

struct run {
	struct sim *sim;
	struct vworld *w;
	struct vclient *c;
	struct frame *tx;
	char *rx;
	bool tx_busy[RING], rx_busy[RING];
	uint64_t sent; /* completed by the device */
	uint64_t next; /* number of the next frame */
	uint64_t received;
	uint64_t last; /* number of the newest frame that came back */
	bool is_suspended;
	uint64_t features;
};

static void post(struct run *r)
{
	for (unsigned int i = 0; i < RING; i++) {
		char *buf = r->rx + (size_t)i * BUF;
		struct vq_sg sg = { vclient_iova(r->c, buf), BUF };

		if (!r->rx_busy[i] && draw(r->sim, 2) &&
		    vq_driver_add(r->c->q[0].drv, &sg, 0, 1, buf) == 0) {
			r->rx_busy[i] = true;
		}
	}
	if (vq_driver_publish(r->c->q[0].drv)) {
		vclient_kick(r->c, 0);
	}
}

static void publish(struct run *r)
{
	if (vq_driver_publish(r->c->q[1].drv)) {
		vclient_kick(r->c, 1);
	}
}

static void send_one(struct run *r)
{
	unsigned int i = (unsigned int)draw(r->sim, RING);
	struct frame *f = &r->tx[i];
	struct vq_sg sg[] = { { vclient_iova(r->c, f), HDR },
			      { vclient_iova(r->c, f) + HDR,
				sizeof(*f) - HDR } };

	if (r->tx_busy[i]) {
		return;
	}
	memset(f, 0, sizeof(*f));
	memset(f->dst, 0xff, 6);
	f->number = r->next;
	if (vq_driver_add(r->c->q[1].drv, sg, 2, 0, f) == 0) {
		r->tx_busy[i] = true;
		r->next++;
	}
	if (draw(r->sim, 2)) {
		publish(r);
	}
}

static void collect(struct run *r)
{
	struct vq_used used[RING];
	int n = vq_driver_get(r->c->q[1].drv, used, RING);

	assert_in_range(n, 0, RING);
	for (int i = 0; i < n; i++) {
		ptrdiff_t idx = (struct frame *)used[i].cookie - r->tx;

		assert_true(r->tx_busy[idx]);
		assert_int_equal(used[i].written, 0);
		r->tx_busy[idx] = false;
		r->sent++;
	}
	n = vq_driver_get(r->c->q[0].drv, used, RING);
	assert_in_range(n, 0, RING);
	for (int i = 0; i < n; i++) {
		ptrdiff_t idx = ((char *)used[i].cookie - r->rx) / BUF;
		struct frame f;

		assert_true(r->rx_busy[idx]);
		r->rx_busy[idx] = false;
		assert_int_equal(used[i].written, sizeof(struct frame));
		memcpy(&f, used[i].cookie, sizeof(f));
		assert_true(f.number > r->last); /* in order, once */
		r->last = f.number;
		r->received++;
	}
}

static void toggle_suspend(struct run *r)
{
	vclient_must(r->c,
		     r->is_suspended ? VHOST_VDPA_RESUME : VHOST_VDPA_SUSPEND,
		     NULL);
	r->is_suspended = !r->is_suspended;
	if (r->is_suspended) {
		struct vq_used used;

		collect(r);
		sim_run(r->sim, 1000000, NULL, NULL);
		assert_int_equal(vq_driver_get(r->c->q[0].drv, &used, 1), 0);
		assert_int_equal(vq_driver_get(r->c->q[1].drv, &used, 1), 0);
	}
}

static void toggle_rx(struct run *r)
{
	struct vhost_vring_state off = { .index = 0, .num = 0 };
	struct vhost_vring_state on = { .index = 0, .num = 1 };

	vclient_must(r->c, VHOST_VDPA_SET_VRING_ENABLE, &off);
	sim_run(r->sim, draw(r->sim, 300000), NULL, NULL);
	vclient_must(r->c, VHOST_VDPA_SET_VRING_ENABLE, &on);
}

static void step(struct run *r)
{
	uint64_t what = draw(r->sim, 100);

	if (what < 40) {
		send_one(r);
	} else if (what < 50) {
		publish(r);
	} else if (what < 70) {
		post(r);
	} else if (what < 85) {
		collect(r);
	} else if (what < 92) {
		toggle_suspend(r);
	} else if (what < 95) {
		toggle_rx(r);
	} else {
		vclient_save(r->c);
		vclient_restore(r->c);
		r->is_suspended = false;
	}
	if (draw(r->sim, 2)) {
		sim_run(r->sim, draw(r->sim, 300000), NULL, NULL);
	}
}

static void verify(struct run *r)
{
	uint64_t overruns;

	if (r->is_suspended) {
		toggle_suspend(r);
	}
	publish(r);
	sim_run(r->sim, UINT64_MAX, NULL, NULL);
	collect(r);
	assert_int_equal(vq_driver_n_in_flight(r->c->q[1].drv), 0);
	assert_int_equal(vworld_stat(r->w, "n0", 0, "rx errors"), 0);
	assert_int_equal(vworld_stat(r->w, "n0", 0, "rx drops"), 0);
	overruns = vworld_stat(r->w, "n0", 0, "rx overruns");
	assert_int_equal(r->sent, r->next - 1);
	assert_int_equal(r->received + overruns, r->sent);
}

static void run_net(struct sim *sim)
{
	static const uint64_t features[] = {
		0,
		BIT_ULL(VIRTIO_F_RING_PACKED),
		BIT_ULL(VIRTIO_RING_F_EVENT_IDX),
		BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VIRTIO_F_IN_ORDER),
		BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) |
			BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC),
	};
	struct run r = { .sim = sim, .next = 1 };

	r.features = features[draw(sim, ARRAY_SIZE(features))];
	r.w = vworld_new(sim, 1);
	vworld_add(r.w, "vdpasim_net", "n0", 0, NULL, NULL);
	assert_int_equal(vclient_open(r.w, "vhost-vdpa-0", &r.c), 0);
	vclient_start(r.c, r.features, 2, RING);
	r.tx = vclient_alloc(r.c, RING * sizeof(*r.tx), 64);
	r.rx = vclient_alloc(r.c, RING * BUF, 64);
	for (int i = 0; i < STEPS; i++) {
		step(&r);
	}
	verify(&r);
	vclient_close(r.c);
	vworld_free(r.w);
}

static void test_no_frame_is_lost_or_doubled(void **state)
{
	sim_each_seed(run_net);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_no_frame_is_lost_or_doubled),
};

TEST_MAIN("sim_net")
