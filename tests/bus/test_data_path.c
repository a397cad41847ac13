/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From DRIVER_OK on the data path allocates nothing and takes no lock: traffic
 * on both simulators, and on one behind a relay, in every ring format and kind of
 * memory, while every
 * allocation and lock of our own code is counted.
 *
 * The program is linked with --wrap for what allocates (tests/lib/oom.c) and
 * for what locks (below).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <pthread.h>
#include <semaphore.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "lib/oom.h"
#include "lib/test.h"
#include "lib/vclient.h"
#include "relay/relay.h"

#define N_ROUNDS    50
#define BURST	    16
#define FRAME_BYTES (12 + 64)
#define DATA_BYTES  8192

/* ---- locks ---- */

int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __real_pthread_rwlock_rdlock(pthread_rwlock_t *lock);
int __real_pthread_rwlock_wrlock(pthread_rwlock_t *lock);
int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __real_sem_wait(sem_t *sem);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __wrap_sem_wait(sem_t *sem);

static unsigned int n_locks; /* atomic */

static void count_lock(void)
{
	__atomic_fetch_add(&n_locks, 1, __ATOMIC_RELAXED);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
	count_lock();
	return __real_pthread_mutex_lock(lock);
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	count_lock();
	return __real_pthread_rwlock_rdlock(lock);
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	count_lock();
	return __real_pthread_rwlock_wrlock(lock);
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
{
	count_lock();
	return __real_pthread_cond_wait(cond, lock);
}

int __wrap_sem_wait(sem_t *sem)
{
	count_lock();
	return __real_sem_wait(sem);
}

static void start_counting(void)
{
	__atomic_store_n(&n_locks, 0, __ATOMIC_RELAXED);
	oom_count_begin();
}

static void assert_nothing_counted(void)
{
	assert_int_equal(oom_count_end(), 0);
	assert_int_equal(__atomic_load_n(&n_locks, __ATOMIC_RELAXED), 0);
}

/* ---- traffic ---- */

enum memory {
	MEMORY_MAPPED, /* the client's memfd, mapped by the device */
	MEMORY_OWN, /* memory of this process */
};

struct path {
	const char *mgmtdev;
	uint64_t features;
	enum memory memory;
	bool is_relayed;
};

static void use_own_memory(struct vclient *c, const char *name)
{
	struct vdpa_device *vdev = vdpa_device_find(c->w->bus, name);
	uint64_t last = VCLIENT_IOVA + VCLIENT_MEM_BYTES - 1;
	struct region *region;

	assert_int_equal(region_new_own(c->mem, VCLIENT_MEM_BYTES, NULL, NULL,
					&region),
			 0);
	assert_int_equal(vdpa_unmap(vdev, 0, VCLIENT_IOVA, last), 1);
	assert_int_equal(vdpa_map(vdev, 0, VCLIENT_IOVA, last, region, 0,
				  MEM_PERM_RW),
			 0);
	region_unref(region);
}

static void publish(struct vclient *c, unsigned int idx)
{
	if (vq_driver_publish(c->q[idx].drv)) {
		vclient_kick(c, idx);
	}
}

/* Waits until so many buffers were used. Return: bytes written in all. */
static uint64_t take(struct vclient *c, unsigned int idx, unsigned int n)
{
	struct vq_driver *drv = c->q[idx].drv;
	uint64_t n_bytes = 0;

	while (n > 0) {
		struct vq_used used;
		int ret = vq_driver_get(drv, &used, 1);

		assert_in_range(ret, 0, 1);
		if (ret == 1) {
			n_bytes += used.written;
			n--;
		} else if (!vq_driver_enable_call(drv)) {
			vclient_wait_call(c, idx);
		}
	}
	return n_bytes;
}

static void run_net(struct vclient *c)
{
	char *tx = vclient_alloc(c, BURST * 128, 64);
	char *rx = vclient_alloc(c, BURST * 2048, 64);

	memset(tx, 0xff, BURST * 128);
	start_counting();
	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		for (unsigned int i = 0; i < BURST; i++) {
			struct vq_sg in = { vclient_iova(c, rx + i * 2048),
					    2048 };
			struct vq_sg out = { vclient_iova(c, tx + i * 128),
					     FRAME_BYTES };

			vclient_add(c, 0, &in, 0, 1, rx);
			vclient_add(c, 1, &out, 1, 0, tx);
		}
		publish(c, 0);
		publish(c, 1);
		assert_int_equal(take(c, 1, BURST), 0);
		assert_int_equal(take(c, 0, BURST), BURST * FRAME_BYTES);
	}
	assert_nothing_counted();
}

/* Data of several pieces, which need iovecs of a pool. */
static void run_blk(struct vclient *c)
{
	char *data = vclient_alloc(c, DATA_BYTES, 512);
	struct virtio_blk_outhdr *hdr = vclient_alloc(c, sizeof(*hdr), 16);
	uint8_t *status = vclient_alloc(c, 1, 1);
	struct vq_sg sg[10] = { { vclient_iova(c, hdr), sizeof(*hdr) } };

	for (unsigned int i = 0; i < 8; i++) {
		sg[1 + i] = (struct vq_sg){ vclient_iova(c, data + i * 1024),
					    1024 };
	}
	sg[9] = (struct vq_sg){ vclient_iova(c, status), 1 };
	memset(hdr, 0, sizeof(*hdr));
	memset(data, 0, DATA_BYTES);
	start_counting();
	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		bool is_write = round % 2;

		hdr->type =
			htole32(is_write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
		*status = 0xee;
		vclient_add(c, 0, sg, is_write ? 9 : 1, is_write ? 1 : 9, hdr);
		publish(c, 0);
		assert_int_equal(take(c, 0, 1), is_write ? 1 : DATA_BYTES + 1);
		assert_int_equal(*status, VIRTIO_BLK_S_OK);
	}
	assert_nothing_counted();
}

/* Puts a relay on d0, in the same node. */
static struct vdpa_device *put_relay(struct vworld *w)
{
	static const struct relay_options options;
	struct vdpa_device *relay;

	assert_int_equal(vdpa_dev_unbind(w->bus, "d0"), 0);
	assert_int_equal(relay_new(w->bus, vdpa_device_find(w->bus, "d0"), "r0",
				   &options, &relay),
			 0);
	assert_int_equal(vdpa_device_register(w->bus, NULL, relay), 0);
	return relay;
}

static void take_relay(struct vworld *w, struct vdpa_device *relay)
{
	assert_int_equal(vdpa_dev_unbind(w->bus, "r0"), 0);
	vdpa_device_unregister(relay);
	relay_free(relay);
}

static void run_path(const struct path *path)
{
	struct vworld *w = vworld_new(NULL, 1);
	bool is_net = strcmp(path->mgmtdev, "vdpasim_net") == 0;
	struct vdpa_device *relay = NULL;
	struct vclient *c;

	vworld_add(w, path->mgmtdev, "d0", 0, NULL, NULL);
	if (path->is_relayed) {
		relay = put_relay(w);
	}
	assert_int_equal(vclient_open(w, "vhost-vdpa-0", &c), 0);
	if (path->memory == MEMORY_OWN) {
		use_own_memory(c, relay ? "r0" : "d0");
	}
	vclient_start(c, path->features, is_net ? 2 : 1, 64);
	if (is_net) {
		run_net(c);
	} else {
		run_blk(c);
	}
	vclient_close(c);
	if (relay) {
		take_relay(w, relay);
	}
	vworld_free(w);
}

#define PACKED	  BIT_ULL(VIRTIO_F_RING_PACKED)
#define EVENT_IDX BIT_ULL(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT  BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER  BIT_ULL(VIRTIO_F_IN_ORDER)
#define MERGEABLE BIT_ULL(VIRTIO_NET_F_MRG_RXBUF)

static void run_features(const char *mgmtdev, uint64_t class_feature,
			 bool is_relayed)
{
	static const uint64_t rings[] = {
		0, EVENT_IDX, INDIRECT, IN_ORDER, EVENT_IDX | INDIRECT,
	};

	for (size_t i = 0; i < 4 * ARRAY_SIZE(rings); i++) {
		const struct path path = {
			.mgmtdev = mgmtdev,
			.features = rings[i / 4] | (i & 1 ? PACKED : 0) |
				    class_feature,
			.memory = i & 2 ? MEMORY_OWN : MEMORY_MAPPED,
			.is_relayed = is_relayed,
		};

		run_path(&path);
	}
}

static void test_net_allocates_and_locks_nothing(void **state)
{
	(void)state;
	run_features("vdpasim_net", 0, false);
}

static void test_net_mergeable_allocates_and_locks_nothing(void **state)
{
	(void)state;
	run_features("vdpasim_net", MERGEABLE, false);
}

static void test_blk_allocates_and_locks_nothing(void **state)
{
	(void)state;
	run_features("vdpasim_blk", 0, false);
}

static void test_relay_allocates_and_locks_nothing(void **state)
{
	(void)state;
	run_features("vdpasim_blk", 0, true);
}

static void put_result(void *priv, int result)
{
	*(int *)priv = result;
}

/* What is said to be counted is. */
static void test_counters_see_what_they_are_for(void **state)
{
	struct vworld *w = vworld_new(NULL, 1);
	struct vdpa_dev_config config = { 0 };
	int result = 1;

	(void)state;
	start_counting();
	/* Making a device allocates; deleting it waits for its worker. */
	assert_int_equal(
		vdpa_dev_add(w->bus, NULL, "vdpasim_blk", "d0", &config), 0);
	assert_int_equal(vdpa_dev_del(w->bus, "d0", put_result, &result), 0);
	assert_int_equal(result, 0);
	assert_int_not_equal(oom_count_end(), 0);
	assert_int_not_equal(__atomic_load_n(&n_locks, __ATOMIC_RELAXED), 0);
	vworld_free(w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_net_allocates_and_locks_nothing),
	cmocka_unit_test(test_net_mergeable_allocates_and_locks_nothing),
	cmocka_unit_test(test_blk_allocates_and_locks_nothing),
	cmocka_unit_test(test_relay_allocates_and_locks_nothing),
	cmocka_unit_test(test_counters_see_what_they_are_for),
};

TEST_MAIN("dev_data_path")
