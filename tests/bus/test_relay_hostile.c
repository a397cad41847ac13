/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the relay on a device that does what the test says: what it is told
 * and shown, what its lies do, and what becomes of requests that it never
 * answers. All in a simulation, so that nothing is waited for.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "fake_dev.h"
#include "relay_rig.h"
#include "uapi/compat.h"

#define NUM	    8
#define DATA	    4096
#define DRAIN_MS    100
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define PACKED	    BIT_ULL(VIRTIO_F_RING_PACKED)

struct fixture {
	struct sim *sim;
	struct fake_dev fake;
	struct relay_rig *rig;
	struct vclient *c;
	uint64_t features;
	char *buf; /* of the client: a canary page, NUM of DATA, another */
};

static void run(struct fixture *fx)
{
	assert_int_equal(sim_run(fx->sim, 1000000, NULL, NULL), 0);
}

static char *data(struct fixture *fx, unsigned int i)
{
	return fx->buf + (1 + i) * DATA;
}

static void start(struct fixture *fx)
{
	vclient_start(fx->c, fx->features, 1, NUM);
	fx->buf = vclient_alloc(fx->c, (NUM + 2) * DATA, DATA);
	memset(fx->buf, 0xc5, (NUM + 2) * DATA);
}

static int set_up_ring(void **state, uint64_t features)
{
	const struct sim_options sim_options = { .seed = 1 };
	const struct relay_options options = {
		.domain_bytes = DOMAIN_BYTES_MIN,
		.drain_ms = DRAIN_MS,
	};
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	assert_int_equal(sim_new(&sim_options, &fx->sim), 0);
	fake_init(&fx->fake);
	fx->rig =
		relay_rig_on(vworld_new(fx->sim, 1), &fx->fake.vdev, &options);
	fx->c = fx->rig->c;
	fx->features = features;
	start(fx);
	*state = fx;
	return 0;
}

static int set_up_split(void **state)
{
	return set_up_ring(state, 0);
}

static int set_up_packed(void **state)
{
	return set_up_ring(state, PACKED);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	relay_rig_free(fx->rig);
	fake_fini(&fx->fake);
	sim_free(fx->sim);
	free(fx);
	return 0;
}

/* Nothing but posted buffers was written, all of which are before @n. */
static void assert_canaries(struct fixture *fx, unsigned int n)
{
	for (unsigned int i = 0; i < DATA; i++) {
		assert_int_equal(fx->buf[i], (char)0xc5);
		assert_int_equal(data(fx, NUM)[i], (char)0xc5);
	}
	for (size_t i = 0; i < (NUM - n) * (size_t)DATA; i++) {
		assert_int_equal(data(fx, n)[i], (char)0xc5);
	}
}

/* Posts @len readable bytes and/or writable ones of buffers. */
static void post(struct fixture *fx, int readable, int writable)
{
	struct vq_sg sg[2];
	unsigned int n = 0;

	if (readable >= 0) {
		sg[n++] = (struct vq_sg){
			vclient_iova(fx->c, data(fx, (unsigned int)readable)),
			DATA
		};
	}
	if (writable >= 0) {
		sg[n++] = (struct vq_sg){
			vclient_iova(fx->c, data(fx, (unsigned int)writable)),
			DATA
		};
	}
	vclient_add(fx->c, 0, sg, readable >= 0, writable >= 0,
		    data(fx, (unsigned int)max_of(readable, writable)));
	if (vq_driver_publish(fx->c->q[0].drv)) {
		vclient_kick(fx->c, 0);
	}
	run(fx);
}

static struct fake_chain take(struct fixture *fx)
{
	struct fake_chain chain;

	assert_true(fake_take(&fx->fake, &chain));
	return chain;
}

static void use(struct fixture *fx, uint32_t id, uint32_t len)
{
	fake_use(&fx->fake, id, len);
	run(fx);
}

static uint32_t got_back(struct fixture *fx)
{
	struct vq_used used;

	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 1);
	return used.written;
}

static void assert_nothing_back(struct fixture *fx)
{
	struct vq_used used;

	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 0);
}

/* It broke once, and works again after a reset. */
static void assert_broken(struct fixture *fx, unsigned int n_posted)
{
	struct fake_chain chain;

	assert_true(vclient_status(fx->c) & NEEDS_RESET);
	assert_int_equal(relay_rig_stat(fx->rig, 0, "bounce_breaks"), 1);
	assert_canaries(fx, n_posted);
	vclient_reset(fx->c);
	assert_int_equal(vclient_status(fx->c), 0);
	start(fx);
	post(fx, -1, 0);
	chain = take(fx);
	use(fx, chain.head, DATA);
	assert_int_equal(got_back(fx), DATA);
	assert_int_equal(vclient_status(fx->c) & NEEDS_RESET, 0);
}

/* ---- what it is told and shown ---- */

static void test_relay_drives_as_virtio_vdpa_does(void **state)
{
	static const uint8_t steps[] = { 0, 1, 3, 0xb, 0xf, 0, 1, 3, 0xb, 0xf };
	struct fixture *fx = *state;
	const struct fake_dev *f = &fx->fake;

	assert_true(f->q[0].is_ready);
	assert_int_equal(f->q[0].num, NUM);
	assert_int_equal(f->features & 0xff,
			 0); /* what the client did not want */
	assert_true(has_bit(f->features, VIRTIO_F_ACCESS_PLATFORM));
	assert_true(has_bit(f->features, VIRTIO_F_VERSION_1));
	assert_false(has_bit(f->features, VIRTIO_F_RING_PACKED));
	vclient_reset(fx->c);
	assert_false(f->q[0].is_ready);
	assert_int_equal(f->q[0].kick_fd, -1);
	fx->features |= 0x30;
	start(fx);
	assert_int_equal(f->features & 0xff, 0x30);
	assert_in_range(f->n_steps, sizeof(steps), FAKE_STEPS_MAX);
	assert_memory_equal(f->steps + f->n_steps - sizeof(steps), steps,
			    sizeof(steps));
	assert_int_equal(f->n_maps, 1);
}

/* One file, sealed, and nothing of the client's. */
static void test_relay_shows_the_domain_only(void **state)
{
	struct fixture *fx = *state;
	const struct iotlb_entry *e = iotlb_first(fx->fake.map, 0);
	uint64_t offset;

	assert_non_null(e);
	assert_int_equal(e->start, 0);
	assert_int_equal(e->last, DOMAIN_BYTES_MIN - 1);
	assert_null(iotlb_first(fx->fake.map, e->last + 1));
	assert_true(region_file_fd(e->region, &offset) >= 0);
	assert_int_equal(offset, 0);
	post(fx, 0, 1);
	for (uint64_t at = 0; at < DOMAIN_BYTES_MIN; at += DATA) {
		assert_null(memmem(e->va + at, DATA, fx->c->mem, DATA));
	}
}

static void test_relay_keeps_pieces_and_copies(void **state)
{
	struct fixture *fx = *state;
	struct fake_chain chain;
	char buf[DATA];

	memset(data(fx, 0), 0x11, DATA);
	post(fx, 0, 1);
	chain = take(fx);
	assert_int_equal(chain.n, 2);
	assert_int_equal(chain.n_readable, 1);
	assert_int_equal(chain.d[0].len, DATA);
	assert_int_equal(chain.d[0].addr % DATA, 0);
	fake_read(&fx->fake, chain.d[0].addr, buf, DATA);
	assert_memory_equal(buf, data(fx, 0), DATA);
	memset(buf, 0x22, DATA);
	fake_write(&fx->fake, chain.d[1].addr, buf, DATA);
	use(fx, chain.head, DATA);
	assert_int_equal(got_back(fx), DATA);
	assert_memory_equal(buf, data(fx, 1), DATA);
	assert_canaries(fx, 2);
}

/* A disk's request for data, answered with less than was asked for: the bytes
 * that are not written stay, but for the status. */
static void test_relay_copies_no_more_than_was_written(void **state)
{
	struct fixture *fx = *state;
	struct fake_chain chain;
	char buf[DATA];

	post(fx, 1, 0);
	chain = take(fx);
	memset(buf, 0x33, DATA);
	fake_write(&fx->fake, chain.d[1].addr, buf, DATA);
	use(fx, chain.head, 101);
	assert_int_equal(got_back(fx), 101);
	assert_memory_equal(data(fx, 0), buf, 100);
	assert_int_equal(data(fx, 0)[100], (char)0xc5);
	assert_int_equal(data(fx, 0)[DATA - 2], (char)0xc5);
	assert_int_equal(data(fx, 0)[DATA - 1], 0x33);
}

/* What it claims and did not write is nobody's: zeroes, and a disk's status is
 * an error. */
static void run_lies(struct fixture *fx, uint8_t status)
{
	struct fake_chain chain;
	char buf[DATA];

	for (unsigned int round = 0; round < 3; round++) {
		memset(data(fx, 2), 0x5e, DATA); /* a secret */
		post(fx, 2, -1);
		chain = take(fx);
		use(fx, chain.head, 0);
		(void)got_back(fx);
		post(fx, -1, 0);
		chain = take(fx);
		fake_read(&fx->fake, chain.d[0].addr, buf, DATA);
		for (unsigned int i = 0; i < DATA; i++) {
			assert_int_equal(buf[i], i < DATA - 1 ? 0 : status);
		}
		use(fx, chain.head, DATA);
		assert_int_equal(got_back(fx), DATA);
		assert_memory_equal(data(fx, 0), buf, DATA);
	}
}

static void test_relay_leaks_nothing_to_those_who_write_nothing(void **state)
{
	run_lies(*state, VIRTIO_BLK_S_IOERR);
}

/* ---- its lies ---- */

static void test_relay_h80_used_id_beyond_the_ring(void **state)
{
	struct fixture *fx = *state;

	post(fx, -1, 0);
	use(fx, NUM, DATA);
	assert_broken(fx, 1);
}

static void test_relay_h80_used_id_not_in_flight(void **state)
{
	struct fixture *fx = *state;
	struct fake_chain chain;

	post(fx, -1, 0);
	chain = take(fx);
	use(fx, chain.head ^ 1U, DATA);
	assert_nothing_back(fx);
	assert_broken(fx, 1);
}

static void test_relay_h80_used_id_twice(void **state)
{
	struct fixture *fx = *state;
	struct fake_chain chain;

	post(fx, -1, 0);
	post(fx, -1, 1);
	chain = take(fx);
	use(fx, chain.head, DATA);
	assert_int_equal(got_back(fx), DATA);
	use(fx, chain.head, DATA);
	assert_nothing_back(fx);
	assert_broken(fx, 2);
}

static void test_relay_h81_used_len_beyond_what_was_posted(void **state)
{
	struct fixture *fx = *state;
	struct fake_chain chain;

	post(fx, -1, 0);
	chain = take(fx);
	use(fx, chain.head, DATA + 1);
	assert_nothing_back(fx);
	assert_broken(fx, 1);
}

static void test_relay_h81_length_of_what_it_may_not_write(void **state)
{
	struct fixture *fx = *state;
	struct fake_chain chain;

	post(fx, 0, -1);
	chain = take(fx);
	use(fx, chain.head, 1);
	assert_broken(fx, 1);
}

static void test_relay_used_index_that_jumps(void **state)
{
	struct fixture *fx = *state;

	post(fx, -1, 0);
	fake_set_used_idx(&fx->fake, 0x8000);
	run(fx);
	assert_broken(fx, 1);
}

static void test_relay_h82_config_that_shrinks(void **state)
{
	static const uint8_t want[FAKE_CONFIG] = { 7, 7, 7, 7 };
	struct fixture *fx = *state;
	uint8_t config[FAKE_CONFIG];

	memset(fx->fake.config, 7, FAKE_CONFIG);
	fx->fake.config_size = 4;
	memset(config, 0xee, FAKE_CONFIG);
	vclient_get_config(fx->c, config, FAKE_CONFIG);
	assert_memory_equal(config, want, FAKE_CONFIG);
	vclient_set_config(fx->c, config, FAKE_CONFIG);
	fx->fake.config_size = FAKE_CONFIG;
}

static void test_relay_h82_devices_that_cannot_be(void **state)
{
	static const struct relay_options options;
	struct fixture *fx = *state;
	struct vdpa_device *relay;
	struct fake_dev f;

	fake_init(&f);
	f.vdev.nvqs = 0;
	assert_int_equal(relay_new(fx->rig->w->bus, &f.vdev, "x", &options,
				   &relay),
			 -ERANGE);
	fake_init(&f);
	f.config_size = 1U << 20;
	assert_int_equal(relay_new(fx->rig->w->bus, &f.vdev, "x", &options,
				   &relay),
			 -ERANGE);
	fake_init(&f);
	f.offered = 0;
	assert_int_equal(relay_new(fx->rig->w->bus, &f.vdev, "x", &options,
				   &relay),
			 -EOPNOTSUPP);
	fake_init(&f);
	f.ops.set_map = NULL;
	assert_int_equal(relay_new(fx->rig->w->bus, &f.vdev, "x", &options,
				   &relay),
			 -EOPNOTSUPP);
}

static void test_relay_h83_needs_reset_at_any_time(void **state)
{
	struct fixture *fx = *state;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t n;

	vclient_must(fx->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	post(fx, -1, 0);
	fx->fake.status |= NEEDS_RESET;
	assert_int_equal(eventfd_write(fx->fake.config_call.trigger_fd, 1), 0);
	run(fx);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_broken(fx, 1);
	close(fd);
}

static void test_relay_h84_features_that_go_away(void **state)
{
	const uint8_t known = VIRTIO_CONFIG_S_ACKNOWLEDGE |
			      VIRTIO_CONFIG_S_DRIVER;
	struct fixture *fx = *state;
	uint64_t features = BIT_ULL(VIRTIO_F_VERSION_1) |
			    BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) | 0x30;

	vclient_reset(fx->c);
	fx->fake.offered &= ~0x10ULL;
	vclient_set_status(fx->c, known);
	vclient_must(fx->c, VHOST_SET_FEATURES, &features);
	vclient_set_status(fx->c, known | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(vclient_status(fx->c), known);
}

static void test_relay_status_that_is_refused(void **state)
{
	struct fixture *fx = *state;
	const uint8_t chosen = 0xb;

	vclient_reset(fx->c);
	fx->fake.refused = VIRTIO_CONFIG_S_DRIVER_OK;
	vclient_negotiate(fx->c, 0);
	vclient_set_up_queue(fx->c, 0, NUM);
	vclient_set_status(fx->c, 0xf);
	assert_int_equal(vclient_status(fx->c), chosen);
	assert_int_equal(fx->fake.status, 0);
	fx->fake.refused = 0;
	vclient_set_status(fx->c, 0xf);
	assert_int_equal(vclient_status(fx->c), 0xf);
}

static void test_relay_reset_that_fails(void **state)
{
	struct fixture *fx = *state;
	uint8_t status = 0;

	post(fx, 0, 1);
	fx->fake.reset_ret = -EIO;
	assert_int_equal(vclient_ioctl(fx->c, VHOST_VDPA_SET_STATUS, &status),
			 -EIO);
	assert_int_equal(fx->fake.q[0].kick_fd, -1);
	vclient_set_status(fx->c, 3);
	assert_int_equal(vclient_status(fx->c), 0);
	fx->fake.reset_ret = 0;
	vclient_reset(fx->c);
	start(fx);
}

/* Noise all over what it can write, while requests go on. */
static void test_relay_survives_noise(void **state)
{
	struct fixture *fx = *state;

	for (unsigned int round = 0; round < 400; round++) {
		for (unsigned int i = 0; i < 3; i++) {
			post(fx, i == 0 ? 0 : -1, i < 2 ? 1 : 2);
		}
		for (unsigned int i = 0; i < 50; i++) {
			uint64_t noise = sim_random(fx->sim);
			uint64_t at = sim_random(fx->sim) % 3000 + DATA;

			fake_write(&fx->fake, at, &noise, 8);
		}
		assert_int_equal(
			eventfd_write(fx->fake.q[0].call.trigger_fd, 1), 0);
		run(fx);
		assert_canaries(fx, 3);
		fx->fake.n_steps = 0;
		vclient_reset(fx->c);
		start(fx);
	}
	assert_true(relay_rig_stat(fx->rig, 0, "bounce_breaks") > 0);
}

/* ---- what it does not answer ---- */

static void test_relay_reset_waits_for_no_answer(void **state)
{
	struct fixture *fx = *state;

	for (unsigned int i = 0; i < 4; i++) {
		post(fx, 0, 1);
	}
	vclient_set_status(fx->c, 0);
	assert_nothing_back(fx);
	assert_int_equal(fx->fake.status, 0);
	assert_canaries(fx, 1);
	vclient_reset(fx->c);
	start(fx);
	run_lies(fx, VIRTIO_BLK_S_IOERR);
}

static void test_relay_suspend_gives_up_in_the_end(void **state)
{
	struct fixture *fx = *state;

	post(fx, 0, 1);
	vclient_must(fx->c, VHOST_VDPA_SUSPEND, NULL);
	assert_nothing_back(fx);
	assert_int_equal(relay_rig_stat(fx->rig, 0, "bounce_lost"), 1);
	assert_broken(fx, 1);
}

/* Buffers are taken back at once; out of order they cannot all be. */
static void test_relay_suspend_takes_buffers_back(void **state)
{
	struct fixture *fx = *state;
	struct vhost_vring_state base = { .index = 0 };
	struct fake_chain chains[4];

	for (int i = 0; i < 4; i++) {
		post(fx, -1, i);
		chains[i] = take(fx);
	}
	use(fx, chains[1].head, DATA);
	assert_int_equal(got_back(fx), DATA);
	vclient_must(fx->c, VHOST_VDPA_SUSPEND, NULL);
	assert_int_equal(got_back(fx), 0); /* the one before */
	assert_nothing_back(fx);
	vclient_must(fx->c, VHOST_GET_VRING_BASE, &base);
	assert_int_equal(base.num & 0x7fff, 2);
	vclient_must(fx->c, VHOST_VDPA_RESUME, NULL);
	run(fx);
	chains[2] = take(fx);
	chains[3] = take(fx);
	use(fx, chains[3].head, 7);
	use(fx, chains[2].head, 7);
	assert_int_equal(got_back(fx), 7);
	assert_int_equal(got_back(fx), 7);
	assert_int_equal(vclient_status(fx->c) & NEEDS_RESET, 0);
}

/* It answers what its queue was stopped without: too late, and to nobody. */
static void test_relay_late_answers_go_nowhere(void **state)
{
	struct fixture *fx = *state;
	struct vhost_vring_state s = { .index = 0 };
	struct fake_chain old, new;

	post(fx, -1, 0);
	old = take(fx);
	vclient_must(fx->c, VHOST_VDPA_SET_VRING_ENABLE, &s);
	use(fx, old.head, DATA);
	assert_nothing_back(fx);
	assert_canaries(fx, 0);
	s.num = 1;
	vclient_must(fx->c, VHOST_VDPA_SET_VRING_ENABLE, &s);
	run(fx);
	new = take(fx);
	use(fx, new.head, DATA);
	assert_int_equal(got_back(fx), DATA);
	assert_int_equal(relay_rig_stat(fx->rig, 0, "bounce_breaks"), 0);
}

#define BOTH(name)                                                      \
	cmocka_unit_test_setup_teardown(name, set_up_split, tear_down), \
	{                                                               \
#name "_packed", name, set_up_packed, tear_down, NULL   \
	}

static const struct CMUnitTest tests[] = {
	BOTH(test_relay_drives_as_virtio_vdpa_does),
	BOTH(test_relay_shows_the_domain_only),
	BOTH(test_relay_keeps_pieces_and_copies),
	BOTH(test_relay_copies_no_more_than_was_written),
	BOTH(test_relay_leaks_nothing_to_those_who_write_nothing),
	BOTH(test_relay_h80_used_id_beyond_the_ring),
	BOTH(test_relay_h80_used_id_not_in_flight),
	BOTH(test_relay_h80_used_id_twice),
	BOTH(test_relay_h81_used_len_beyond_what_was_posted),
	BOTH(test_relay_h81_length_of_what_it_may_not_write),
	BOTH(test_relay_used_index_that_jumps),
	BOTH(test_relay_h82_config_that_shrinks),
	BOTH(test_relay_h82_devices_that_cannot_be),
	BOTH(test_relay_h83_needs_reset_at_any_time),
	BOTH(test_relay_h84_features_that_go_away),
	BOTH(test_relay_status_that_is_refused),
	BOTH(test_relay_reset_that_fails),
	BOTH(test_relay_survives_noise),
	BOTH(test_relay_reset_waits_for_no_answer),
	BOTH(test_relay_suspend_gives_up_in_the_end),
	BOTH(test_relay_suspend_takes_buffers_back),
	BOTH(test_relay_late_answers_go_nowhere),
};

TEST_MAIN("dev_relay_hostile")
