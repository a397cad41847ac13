/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What 100,000 map and unmap operations cost: one line a figure.
 *
 * way=bus: vdpa_map() and vdpa_unmap() of pages of memory of this process, in
 * rounds of as many as an address space holds, in rising order. Each operation
 * ends with a new snapshot of the table; device=idle has it kept for later,
 * device=running has it handed to two running queues, whose worker is the same
 * thread (worker=here) or one that sleeps (worker=asleep).
 * way=batch: the same in batches of 64, as QEMU sends them.
 * way=write: messages to a vhost-vdpa node, as a client sends them, of memory
 * behind a memfd: each update also looks the memory up in /proc/self/maps, and
 * maps it.
 *
 * What one thread does is measured in its CPU time, the rest by the clock.
 * limit: the same on a bare IOTLB, with a snapshot each, in the same run.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "bench.h"
#include "busdrv/vhost_vdpa.h"
#include "cdev/cdev.h"
#include "rig.h"
#include "uapi/compat.h"

#define N_OPS	    100000
#define N_ROUNDS    7
#define N_WRITE_OPS 2000
/* A few entries are the rig's own. */
#define FILL	   (IOTLB_DEFAULT_LIMIT - 16)
#define BATCH	   64
#define PAGE_BYTES 4096ULL
#define PAGES_IOVA 0x100000000ULL

struct cost {
	double map_us[N_ROUNDS];
	double unmap_us[N_ROUNDS];
};

struct bench {
	struct rig rig;
	struct iotlb *bare;
	struct iotlb_snap *held;
	unsigned int batch; /* operations in one; 1: none */
	clockid_t clock;
};

static uint64_t iova_of(unsigned int i)
{
	return PAGES_IOVA + 2 * PAGE_BYTES * (i % FILL);
}

/* ---- one operation ---- */

static void map_bare(struct bench *b, unsigned int i)
{
	uint64_t iova = iova_of(i);
	struct iotlb_snap *snap;

	bench_must(iotlb_map(b->bare, iova, iova + PAGE_BYTES - 1,
			     b->rig.region, i % 256 * PAGE_BYTES,
			     MEM_PERM_RW) == 0);
	snap = iotlb_snapshot(b->bare);
	iotlb_snap_unref(b->held);
	b->held = snap;
}

static void unmap_bare(struct bench *b, unsigned int i)
{
	uint64_t iova = iova_of(i);
	struct iotlb_snap *snap;

	bench_must(iotlb_unmap(b->bare, iova, iova + PAGE_BYTES - 1) == 1);
	snap = iotlb_snapshot(b->bare);
	iotlb_snap_unref(b->held);
	b->held = snap;
}

static void enter_batch(struct bench *b, unsigned int i)
{
	if (b->batch > 1 && i % b->batch == 0) {
		vdpa_batch_begin(b->rig.vdev, 0);
	}
}

static void leave_batch(struct bench *b, unsigned int i)
{
	if (b->batch > 1 && (i + 1) % b->batch == 0) {
		bench_must(vdpa_batch_end(b->rig.vdev, 0) == 0);
	}
}

static void map_bus(struct bench *b, unsigned int i)
{
	uint64_t iova = iova_of(i);

	enter_batch(b, i);
	bench_must(vdpa_map(b->rig.vdev, 0, iova, iova + PAGE_BYTES - 1,
			    b->rig.region, i % 256 * PAGE_BYTES,
			    MEM_PERM_RW) == 0);
	leave_batch(b, i);
}

static void unmap_bus(struct bench *b, unsigned int i)
{
	uint64_t iova = iova_of(i);

	enter_batch(b, i);
	bench_must(vdpa_unmap(b->rig.vdev, 0, iova, iova + PAGE_BYTES - 1) ==
		   1);
	leave_batch(b, i);
}

/* ---- many ---- */

typedef void (*op_fn)(struct bench *b, unsigned int i);

/* In rounds that fill the address space. */
static void run(struct bench *b, op_fn map, op_fn unmap, struct cost *cost,
		unsigned int round)
{
	uint64_t map_ns = 0, unmap_ns = 0;

	for (unsigned int n = 0; n < N_OPS; n += FILL) {
		unsigned int n_here = min_of(N_OPS - n, (unsigned int)FILL);
		uint64_t began_ns = bench_clock_ns(b->clock);

		n_here -= n_here % b->batch;
		for (unsigned int i = 0; i < n_here; i++) {
			map(b, i);
		}
		map_ns += bench_clock_ns(b->clock) - began_ns;
		began_ns = bench_clock_ns(b->clock);
		for (unsigned int i = 0; i < n_here; i++) {
			unmap(b, i);
		}
		unmap_ns += bench_clock_ns(b->clock) - began_ns;
	}
	cost->map_us[round] = (double)map_ns / N_OPS / 1e3;
	cost->unmap_us[round] = (double)unmap_ns / N_OPS / 1e3;
}

static void print(const char *figure, const char *what, double *us,
		  double *limit_us)
{
	double ratio[N_ROUNDS];

	for (unsigned int i = 0; i < N_ROUNDS; i++) {
		ratio[i] = us[i] / limit_us[i];
	}
	printf("bench=map figure=%s %s us=%.3f limit_us=%.3f ratio=%.2f\n",
	       figure, what, bench_median(us, N_ROUNDS),
	       bench_median(limit_us, N_ROUNDS), bench_median(ratio, N_ROUNDS));
	(void)fflush(stdout);
}

static void start_queues(struct rig *r, struct vq_driver **drivers)
{
	rig_negotiate(r, 0);
	for (unsigned int i = 0; i < 2; i++) {
		drivers[i] = rig_set_up_queue(r, i, 256);
	}
	rig_set_driver_ok(r);
}

static void measure(const char *what, bool is_running, bool has_thread,
		    unsigned int batch)
{
	struct vq_driver *drivers[2] = { NULL, NULL };
	struct bench b = {
		.batch = batch,
		.clock = has_thread ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID,
	};
	struct cost cost, limit;

	rig_init(&b.rig, "vdpasim_net", NULL, has_thread);
	bench_must(iotlb_new(IOTLB_DEFAULT_LIMIT, &b.bare) == 0);
	b.held = iotlb_snapshot(b.bare);
	if (is_running) {
		start_queues(&b.rig, drivers);
	}
	for (unsigned int i = 0; i < N_ROUNDS; i++) {
		run(&b, map_bare, unmap_bare, &limit, i);
		run(&b, map_bus, unmap_bus, &cost, i);
	}
	print("map", what, cost.map_us, limit.map_us);
	print("unmap", what, cost.unmap_us, limit.unmap_us);
	rig_reset(&b.rig);
	rig_fini(&b.rig);
	iotlb_snap_unref(b.held);
	iotlb_free(b.bare);
	vq_driver_free(drivers[0]);
	vq_driver_free(drivers[1]);
}

/* ---- messages ---- */

struct client {
	struct cdev *cdev;
	struct cdev_local *local;
	struct vdpa_driver *driver;
	struct cdev_file *file;
	char *mem;
};

static void send_message(struct client *c, uint8_t type, unsigned int i)
{
	const struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = {
			.iova = iova_of(i),
			.size = PAGE_BYTES,
			.uaddr = (uintptr_t)c->mem + i * PAGE_BYTES,
			.perm = VHOST_ACCESS_RW,
			.type = type,
		},
	};

	bench_must(cdev_local_write(c->local, c->file, &msg, sizeof(msg)) ==
		   sizeof(msg));
}

static void open_client(struct client *c, struct rig *r)
{
	size_t size = N_WRITE_OPS * PAGE_BYTES;
	int fd = memfd_create("client", MFD_CLOEXEC);

	bench_must(fd >= 0);
	bench_must(ftruncate(fd, (off_t)size) == 0);
	c->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	bench_must(c->mem != MAP_FAILED);
	bench_must(cdev_new(r->control, &c->cdev) == 0);
	bench_must(cdev_local_new(c->cdev, &c->local) == 0);
	bench_must(vhost_vdpa_register(r->bus, c->cdev, &c->driver) == 0);
	bench_must(vdpa_dev_bind(r->bus, "dev0", "vhost_vdpa", NULL, 0) == 0);
	bench_must(cdev_local_open(c->local, "vhost-vdpa-0", O_RDWR,
				   &c->file) == 0);
	bench_must(cdev_local_ioctl(c->local, c->file, VHOST_SET_OWNER, NULL) ==
		   0);
}

static void measure_messages(void)
{
	double map_us[N_ROUNDS], unmap_us[N_ROUNDS];
	struct client c;
	struct rig r;

	rig_init(&r, "vdpasim_net", NULL, false);
	open_client(&c, &r);
	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		uint64_t began_ns = bench_cpu_ns();

		for (unsigned int i = 0; i < N_WRITE_OPS; i++) {
			send_message(&c, VHOST_IOTLB_UPDATE, i);
			send_message(&c, VHOST_IOTLB_INVALIDATE, i);
		}
		map_us[round] =
			(double)(bench_cpu_ns() - began_ns) / N_WRITE_OPS / 1e3;
		began_ns = bench_cpu_ns();
		for (unsigned int i = 0; i < N_WRITE_OPS; i++) {
			send_message(&c, VHOST_IOTLB_INVALIDATE, i);
		}
		unmap_us[round] =
			(double)(bench_cpu_ns() - began_ns) / N_WRITE_OPS / 1e3;
	}
	printf("bench=map figure=map_and_unmap way=write device=idle us=%.3f\n",
	       bench_median(map_us, N_ROUNDS));
	printf("bench=map figure=unmap_nothing way=write device=idle "
	       "us=%.3f\n",
	       bench_median(unmap_us, N_ROUNDS));
	cdev_local_close(c.local, c.file);
	vhost_vdpa_unregister(c.driver);
	cdev_local_free(c.local);
	cdev_free(c.cdev);
	rig_fini(&r);
	munmap(c.mem, N_WRITE_OPS * PAGE_BYTES);
}

int main(void)
{
	measure("way=bus device=idle", false, false, 1);
	measure("way=bus device=running worker=here", true, false, 1);
	measure("way=bus device=running worker=asleep", true, true, 1);
	measure("way=batch device=running worker=asleep", true, true, BATCH);
	measure_messages();
	return 0;
}
