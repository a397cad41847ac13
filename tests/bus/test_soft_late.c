/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of software devices that complete requests long after they were given
 * them: what is published when, and what control waits for.
 *
 * The device under test keeps every chain until it is told, or its timer says,
 * to complete them: the newest first, with a byte written to the client's
 * memory just before, so that memory that went away too early is touched.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "lib/test.h"
#include "lib/vclient.h"
#include "soft/soft.h"
#include "uapi/compat.h"

#define NUM	16
#define LATE_NS 3000000 /* control is certainly waiting by then */
#define MARK	0x5a
#define PACKED	BIT_ULL(VIRTIO_F_RING_PACKED)

struct late_dev {
	struct soft_dev soft;
	/* owner worker only */
	struct vq_chain *held[NUM];
	unsigned int n_held;
	unsigned int n_cancels;
	bool completes_on_cancel;
	struct loop_timer timer;
};

static struct late_dev *late_of(struct soft_dev *dev)
{
	return container_of(dev, struct late_dev, soft);
}

static void release_newest(struct late_dev *late)
{
	struct vq_chain *chain = late->held[--late->n_held];
	const uint8_t mark = MARK;

	assert_int_equal(vq_chain_write(chain, 0, &mark, 1), 0);
	soft_complete(&late->soft, 0, chain, 1);
}

static void release_all(void *priv)
{
	struct late_dev *late = priv;

	while (late->n_held > 0) {
		release_newest(late);
	}
}

static void late_submit(struct soft_dev *dev, uint16_t idx,
			struct vq_chain **chains, unsigned int n)
{
	struct late_dev *late = late_of(dev);

	for (unsigned int i = 0; i < n; i++) {
		uint32_t *slot = soft_slot(dev, idx, chains[i]);

		*slot = late->n_held; /* slots are memory of their own */
		late->held[late->n_held++] = chains[i];
	}
}

static void late_cancel(struct soft_dev *dev, uint16_t idx)
{
	struct late_dev *late = late_of(dev);

	(void)idx;
	late->n_cancels++;
	if (late->completes_on_cancel) {
		release_all(late);
	}
}

static void late_get_config(struct soft_dev *dev, uint32_t offset, void *buf,
			    uint32_t len)
{
	(void)dev;
	(void)offset;
	memset(buf, 0, len);
}

static void late_set_config(struct soft_dev *dev, uint32_t offset,
			    const void *buf, uint32_t len)
{
	(void)dev;
	(void)offset;
	(void)buf;
	(void)len;
}

/* The test's memory. */
static void late_free(struct soft_dev *dev)
{
	(void)dev;
}

static const struct soft_class late_class = {
	.device_id = VIRTIO_ID_BLOCK,
	.slot_bytes = sizeof(uint32_t),
	.submit = late_submit,
	.cancel = late_cancel,
	.get_config = late_get_config,
	.set_config = late_set_config,
	.free = late_free,
};

struct fixture {
	struct vworld *w;
	struct vclient *c;
	struct late_dev late;
	struct loop *worker;
	uint8_t *bytes[NUM];
	unsigned int n_offered;
};

static void init_timer(void *priv)
{
	struct late_dev *late = priv;

	loop_timer_init(&late->timer, late->soft.vqs[0].worker, release_all,
			late);
}

static int set_up_ring(void **state, uint64_t features)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct soft_dev *dev;

	assert_non_null(fx);
	dev = &fx->late.soft;
	fx->w = vworld_new(NULL, 1);
	dev->class = &late_class;
	dev->device_features = soft_ring_features;
	dev->config_size = 8;
	dev->num_max = NUM;
	dev->vdev.nvqs = 1;
	dev->vdev.ngroups = 1;
	dev->vdev.nas = 1;
	strcpy(dev->vdev.name, "late0");
	assert_int_equal(soft_dev_init(dev, fx->w->bus), 0);
	assert_int_equal(vdpa_device_register(fx->w->bus, NULL, &dev->vdev), 0);
	fx->worker = dev->vqs[0].worker;
	loop_call_wait(fx->worker, init_timer, &fx->late);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	vclient_start(fx->c, features, 1, NUM);
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

static int set_up_in_order(void **state)
{
	return set_up_ring(state, BIT_ULL(VIRTIO_F_IN_ORDER));
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	loop_call_wait(fx->worker, release_all, &fx->late);
	vclient_close(fx->c);
	assert_int_equal(vdpa_dev_unbind(fx->w->bus, "late0"), 0);
	vdpa_device_unregister(&fx->late.soft.vdev);
	soft_dev_free(&fx->late.soft);
	vworld_free(fx->w);
	free(fx);
	return 0;
}

/* ---- steps ---- */

static void count_held(void *priv)
{
	unsigned int **args = priv;
	const struct late_dev *late =
		container_of(args[0], struct late_dev, n_held);

	*args[1] = late->n_held;
}

static unsigned int n_held(struct fixture *fx)
{
	unsigned int n;
	unsigned int *args[] = { &fx->late.n_held, &n };

	loop_call_wait(fx->worker, count_held, args);
	return n;
}

static void offer_one(struct fixture *fx)
{
	uint8_t *byte = vclient_alloc(fx->c, 1, 1);
	const struct vq_sg sg = { vclient_iova(fx->c, byte), 1 };

	*byte = 0;
	fx->bytes[fx->n_offered++] = byte;
	vclient_add(fx->c, 0, &sg, 0, 1, byte);
	if (vq_driver_publish(fx->c->q[0].drv)) {
		vclient_kick(fx->c, 0);
	}
}

/* Kicks arrive by the loop; so do the calls by which we look. */
static void wait_until_held(struct fixture *fx, unsigned int n)
{
	while (n_held(fx) < n) {
		vclient_kick(fx->c, 0);
	}
}

static void offer(struct fixture *fx, unsigned int n)
{
	unsigned int n_before = n_held(fx);

	for (unsigned int i = 0; i < n; i++) {
		offer_one(fx);
	}
	wait_until_held(fx, n_before + n);
}

static void set_timer(void *priv)
{
	struct late_dev *late = priv;

	assert_int_equal(loop_timer_set(&late->timer, LATE_NS), 0);
}

static void release_later(struct fixture *fx)
{
	loop_call_wait(fx->worker, set_timer, &fx->late);
}

static unsigned int take_used(struct fixture *fx)
{
	struct vq_used used[NUM];
	int n = vq_driver_get(fx->c->q[0].drv, used, NUM);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		assert_int_equal(*(uint8_t *)used[i].cookie, MARK);
		assert_int_equal(used[i].written, 1);
	}
	return (unsigned int)n;
}

/* ---- tests ---- */

static void
test_completions_of_one_round_are_published_with_one_call(void **state)
{
	struct fixture *fx = *state;
	const struct vq_counters *counters;

	offer(fx, 5);
	assert_int_equal(take_used(fx), 0);
	loop_call_wait(fx->worker, release_all, &fx->late);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(take_used(fx), 5);
	counters = vq_counters(fx->late.soft.vqs[0].vq);
	assert_int_equal(__atomic_load_n(&counters->n_calls, __ATOMIC_RELAXED),
			 1);
}

static void release_one(void *priv)
{
	release_newest(priv);
}

static void test_more_is_fetched_while_some_is_in_flight(void **state)
{
	struct fixture *fx = *state;

	offer(fx, 3);
	offer(fx, 1);
	loop_call_wait(fx->worker, release_one, &fx->late);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(take_used(fx), 1);
	offer(fx, 2);
	assert_int_equal(n_held(fx), 5);
}

static void test_disabling_waits_for_what_is_in_flight(void **state)
{
	struct fixture *fx = *state;
	struct vhost_vring_state s = { .index = 0, .num = 0 };

	offer(fx, 4);
	release_later(fx);
	vclient_must(fx->c, VHOST_VDPA_SET_VRING_ENABLE, &s);
	assert_int_equal(take_used(fx), 4);
	assert_int_equal(fx->late.n_cancels, 1);
	vclient_must(fx->c, VHOST_GET_VRING_BASE, &s);
	assert_int_equal(s.num & 0x7fff, 4);
}

static void test_suspend_waits_and_resume_goes_on(void **state)
{
	struct fixture *fx = *state;

	offer(fx, 2);
	release_later(fx);
	vclient_must(fx->c, VHOST_VDPA_SUSPEND, NULL);
	assert_int_equal(take_used(fx), 2);
	offer_one(fx);
	vclient_must(fx->c, VHOST_VDPA_RESUME, NULL);
	wait_until_held(fx, 1);
}

static void test_reset_waits_for_what_is_in_flight(void **state)
{
	struct fixture *fx = *state;

	offer(fx, NUM);
	release_later(fx);
	vclient_set_status(fx->c, 0);
	for (unsigned int i = 0; i < NUM; i++) {
		assert_int_equal(*fx->bytes[i], MARK);
	}
	assert_int_equal(fx->late.n_held, 0);
}

static void test_what_is_cancelled_is_not_waited_for(void **state)
{
	struct fixture *fx = *state;

	offer(fx, 3);
	fx->late.completes_on_cancel = true;
	vclient_set_status(fx->c, 0);
	assert_int_equal(fx->late.n_cancels, 1);
	assert_int_equal(fx->late.n_held, 0);
}

static void test_unmap_waits_for_chains_of_the_old_map(void **state)
{
	struct fixture *fx = *state;

	offer(fx, 3);
	release_later(fx);
	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_INVALIDATE, 0,
				       UINT64_MAX, NULL, 0),
			 72);
	/* written before the memory went; not published: the ring went too */
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(*fx->bytes[i], MARK);
	}
	assert_int_equal(fx->late.n_held, 0);
	/* and published once it is back */
	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_UPDATE,
				       VCLIENT_IOVA, VCLIENT_MEM_BYTES,
				       fx->c->mem, VHOST_ACCESS_RW),
			 72);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(take_used(fx), 3);
}

static void test_map_added_waits_only_for_what_was_in_flight(void **state)
{
	struct fixture *fx = *state;

	offer(fx, 2);
	release_later(fx);
	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_UPDATE, 1ULL << 40,
				       4096, fx->c->mem, VHOST_ACCESS_RW),
			 72);
	assert_int_equal(fx->late.n_held, 0);
	offer(fx, 1);
}

/* Runs on that log from now on. */
static void start_with_inflight(struct fixture *fx, struct region *region)
{
	const struct vdpa_inflight inflight = {
		.region = region,
		.size_bytes = region_size(region),
	};
	uint64_t features = fx->c->features;

	vclient_reset(fx->c);
	assert_int_equal(
		vdpa_set_vq_inflight(&fx->late.soft.vdev, 0, &inflight), 0);
	vclient_start(fx->c, features, 1, NUM);
}

/*
 * Death is played: memory and log as they are with requests in flight are put
 * back after the device stopped in good order.
 */
static void test_what_was_in_flight_at_death_is_done_again(void **state)
{
	struct fixture *fx = *state;
	bool is_packed = has_bit(fx->c->features, VIRTIO_F_RING_PACKED);
	size_t size = vq_inflight_bytes(NUM, is_packed);
	void *log = calloc(1, size), *old_log = malloc(size);
	void *old_mem = malloc(VCLIENT_MEM_BYTES);
	struct region *region;

	assert_true(log && old_log && old_mem);
	assert_int_equal(region_new_own(log, size, free, log, &region), 0);
	start_with_inflight(fx, region);
	offer(fx, 5);
	memcpy(old_log, log, size);
	memcpy(old_mem, fx->c->mem, VCLIENT_MEM_BYTES);
	release_later(fx);
	vclient_save(fx->c);
	memcpy(log, old_log, size);
	memcpy(fx->c->mem, old_mem, VCLIENT_MEM_BYTES);
	vclient_restore(fx->c);
	wait_until_held(fx, 5);
	assert_int_equal(take_used(fx), 0);
	loop_call_wait(fx->worker, release_all, &fx->late);
	while (take_used(fx) == 0) {
		vclient_wait_call(fx->c, 0); /* the first is for our sake */
	}
	offer(fx, 1);
	assert_int_equal(vdpa_set_vq_inflight(&fx->late.soft.vdev, 0, NULL), 0);
	region_unref(region);
	free(old_mem);
	free(old_log);
}

#define T(name, ring)                                                 \
	{                                                             \
#name "_" #ring, name, set_up_##ring, tear_down, NULL \
	}
#define BOTH(name) T(name, split), T(name, packed)

static const struct CMUnitTest tests[] = {
	BOTH(test_completions_of_one_round_are_published_with_one_call),
	T(test_completions_of_one_round_are_published_with_one_call, in_order),
	BOTH(test_more_is_fetched_while_some_is_in_flight),
	BOTH(test_disabling_waits_for_what_is_in_flight),
	T(test_disabling_waits_for_what_is_in_flight, in_order),
	BOTH(test_suspend_waits_and_resume_goes_on),
	BOTH(test_reset_waits_for_what_is_in_flight),
	BOTH(test_what_is_cancelled_is_not_waited_for),
	BOTH(test_unmap_waits_for_chains_of_the_old_map),
	BOTH(test_map_added_waits_only_for_what_was_in_flight),
	BOTH(test_what_was_in_flight_at_death_is_done_again),
};

TEST_MAIN("dev_soft_late")
