/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the mmio bus driver with threads: virtual CPUs that notify, and
 * acknowledge interrupts, while the worker raises them. None may be lost.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "mmio_rig.h"

#define V1	   BIT_ULL(VIRTIO_F_VERSION_1)
#define N_QUEUES   2
#define N_REQUESTS 2000

/* An interrupt controller, and the guest's handler, which wakes all queues. */
struct line {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool level;
	bool is_over;
	unsigned int n_up, n_down;
};

struct cpu {
	struct win_rig *rig;
	uint32_t idx; /* its queue */
	uint64_t mem; /* what it uses of the driver's, bytes */
	sem_t interrupt;
	pthread_t thread;
};

static struct line the_line = { .lock = PTHREAD_MUTEX_INITIALIZER,
				.changed = PTHREAD_COND_INITIALIZER };
static struct cpu cpus[N_QUEUES];

static void set_line(void *priv, bool level)
{
	(void)priv;
	pthread_mutex_lock(&the_line.lock);
	/* Only changes are told, in their order. */
	assert_int_not_equal(level, the_line.level);
	the_line.level = level;
	the_line.n_up += level;
	the_line.n_down += !level;
	pthread_cond_broadcast(&the_line.changed);
	pthread_mutex_unlock(&the_line.lock);
}

static bool wait_for_line(void)
{
	bool is_over;

	pthread_mutex_lock(&the_line.lock);
	while (!the_line.level && !the_line.is_over) {
		pthread_cond_wait(&the_line.changed, &the_line.lock);
	}
	is_over = the_line.is_over;
	pthread_mutex_unlock(&the_line.lock);
	return !is_over;
}

/* By the specification: read, acknowledge, then look at every queue. */
static void *handle_interrupts(void *priv)
{
	struct win_rig *rig = priv;
	uint64_t bits;

	while (wait_for_line()) {
		assert_true(mmio_try_read(mmio_of(rig), 0x60, 4, &bits));
		assert_true(mmio_try_write(mmio_of(rig), 0x64, 4, bits));
		for (uint32_t i = 0; i < N_QUEUES; i++) {
			sem_post(&cpus[i].interrupt);
		}
	}
	return NULL;
}

static void wait_for_interrupt(struct cpu *cpu)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	/* What was lost never comes. */
	assert_int_equal(sem_timedwait(&cpu->interrupt, &until), 0);
}

static void one_request(struct cpu *cpu, uint64_t sector)
{
	struct vq_driver *drv = cpu->rig->drv[cpu->idx];
	struct virtio_blk_outhdr *hdr = (void *)(cpu->rig->mem + cpu->mem);
	const uint64_t iova = WIN_IOVA + cpu->mem;
	const struct vq_sg sg[] = {
		{ iova, sizeof(*hdr) },
		{ iova + 512, 512 },
		{ iova + 1024, 1 },
	};
	struct vq_used used;

	*hdr = (struct virtio_blk_outhdr){ .type = htole32(VIRTIO_BLK_T_IN),
					   .sector = htole64(sector % 100) };
	assert_int_equal(vq_driver_add(drv, sg, 1, 2, hdr), 0);
	if (vq_driver_publish(drv)) {
		assert_true(
			mmio_try_write(mmio_of(cpu->rig), 0x50, 4, cpu->idx));
	}
	while (vq_driver_get(drv, &used, 1) == 0) {
		if (!vq_driver_enable_call(drv)) {
			wait_for_interrupt(cpu);
		}
	}
	assert_int_equal(used.written, 513);
}

static void *run_cpu(void *priv)
{
	struct cpu *cpu = priv;

	for (unsigned int i = 0; i < N_REQUESTS; i++) {
		one_request(cpu, i);
	}
	return NULL;
}

static int set_up(void **state)
{
	assert_int_equal(
		mmio_rig_set_up_threads(state, "blk",
					"backend=mem capacity=1M num_queues=2"),
		0);
	return 0;
}

static void start_cpus(struct win_rig *rig)
{
	for (uint32_t i = 0; i < N_QUEUES; i++) {
		cpus[i].rig = rig;
		cpus[i].idx = i;
		cpus[i].mem =
			win_iova(rig, win_alloc(rig, 4096, 4096)) - WIN_IOVA;
		assert_int_equal(sem_init(&cpus[i].interrupt, 0, 0), 0);
	}
}

static void end_line(void)
{
	pthread_mutex_lock(&the_line.lock);
	the_line.is_over = true;
	pthread_cond_broadcast(&the_line.changed);
	pthread_mutex_unlock(&the_line.lock);
}

static void test_mmio_interrupts_from_other_threads(void **state)
{
	struct win_rig *rig = *state;
	pthread_t handler;

	mmio_rig_close(rig);
	rig->irq = set_line;
	mmio_rig_open(rig, VDPAKIT_MMIO_VIRTIO);
	spec_driver_start(rig, V1, N_QUEUES);
	start_cpus(rig);
	assert_int_equal(pthread_create(&handler, NULL, handle_interrupts, rig),
			 0);
	for (uint32_t i = 0; i < N_QUEUES; i++) {
		assert_int_equal(pthread_create(&cpus[i].thread, NULL, run_cpu,
						&cpus[i]),
				 0);
	}
	for (uint32_t i = 0; i < N_QUEUES; i++) {
		assert_int_equal(pthread_join(cpus[i].thread, NULL), 0);
	}
	end_line();
	assert_int_equal(pthread_join(handler, NULL), 0);
	assert_int_equal(mmio_rig_write(rig, 0x70, 4, 0), 0);
	assert_false(the_line.level);
	assert_int_not_equal(the_line.n_up, 0);
	assert_int_equal(the_line.n_up, the_line.n_down);
	expect_no_mistakes(rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_mmio_interrupts_from_other_threads,
					set_up, mmio_rig_tear_down),
};

TEST_MAIN("dev_mmio_threads")
