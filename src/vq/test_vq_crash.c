/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that dies: at every single store that it makes to the ring and the
 * inflight log, another one starts on that memory.
 *
 * Theory of operation
 *
 * The device runs in a child, on memory that it shares with this process, one
 * machine instruction at a time (ptrace). Whenever an instruction has changed
 * the ring or the log, that is a moment to die at: the memory is copied, and a
 * new device is started on the copy. The driver is a few lines here, with no
 * state but a struct, so that it can be copied along.
 *
 * What must be true of the copy is simple. Each buffer has a serial number,
 * and the device before took them in that order. So the new one must fetch
 * exactly what the driver has not seen used, by ascending number: nothing that
 * was published, all that was not, nothing twice. Then it completes them in any
 * order, and the driver must see used what it completed and nothing else, then
 * and for another two rounds of the ring.
 *
 * Now and then the device is killed for good at such a moment, and its
 * successor goes on, also one instruction at a time: so it dies while it
 * recovers, too.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vq/test_vq_rig.h"

#define MAX_NUM	   8
#define MAX_PIECES 3
#define N_OPS	   80
/* A run's instructions; then it goes on command by command. Each costs us some
 * 20 us, and with sanitizers there are many. */
#define MAX_STEPS 40000

/* What both sides and the log live in. */
struct memory {
	char desc[4096];
	__le16 avail[32];
	__le32 used[64];
	char log[1024] __attribute__((aligned(64)));
	uint64_t serial[MAX_NUM][8]; /* what the buffers hold */
};
#define IOVA	       0x100000ULL
#define IOVA_OF(field) (IOVA + offsetof(struct memory, field))

/* The driver, all of it. */
struct drv {
	bool is_packed;
	uint16_t num;
	uint64_t serial[MAX_NUM]; /* by id; 0: not in use */
	uint16_t n_descs[MAX_NUM];
	uint16_t n_free_descs;
	uint16_t avail_idx;
	bool avail_wrap;
	uint16_t used_idx;
	bool used_wrap;
	uint64_t next_serial;
};

enum op {
	OP_START,
	OP_FETCH,
	OP_COMPLETE,
	OP_PUBLISH,
	OP_UNFETCH,
	OP_KICK,
	OP_N,
};

/* Said to the child. */
struct command {
	enum op op;
	uint32_t arg;
	bool is_done;
};

struct device {
	struct memory *mem;
	struct iotlb *tlb;
	struct region *log;
	struct vq *vq;
	struct vq_chain *held[MAX_NUM];
	unsigned int n_held;
	unsigned int n_fresh;
};

struct crash {
	uint64_t features;
	uint64_t seed;
	uint64_t rng;
	bool is_done;
	struct drv drv;
	struct memory *live; /* shared with the child */
	struct memory last; /* as it was when we last looked */
	struct memory copy;
	struct command *cmd;
	struct device checker; /* on the copy */
	pid_t child;
	unsigned int n_steps;
	unsigned int n_states;
	unsigned int n_deaths;
	uint64_t n_again;
};

static uint32_t draw(struct crash *c, uint32_t n)
{
	c->rng ^= c->rng << 13;
	c->rng ^= c->rng >> 7;
	c->rng ^= c->rng << 17;
	return (uint32_t)((c->rng >> 16) % n);
}

/* ---- the driver ---- */

static uint64_t buf_iova(uint16_t id, unsigned int piece)
{
	return IOVA_OF(serial) + id * sizeof(uint64_t[8]) +
	       piece * sizeof(uint64_t);
}

static void drv_init(struct drv *d, uint64_t features, uint16_t num)
{
	*d = (struct drv){
		.is_packed = features & RIG_PACKED,
		.num = num,
		.n_free_descs = num,
		.avail_wrap = true,
		.used_wrap = true,
		.next_serial = 1,
	};
}

static void drv_step(const struct drv *d, uint16_t *idx, bool *wrap,
		     unsigned int n)
{
	for (; n; n--) {
		*idx = (uint16_t)((*idx + 1) % d->num);
		*wrap = *wrap != (*idx == 0);
	}
}

static void drv_show_split(struct drv *d, struct memory *mem, uint16_t id)
{
	struct shm_desc_ring *desc = (struct shm_desc_ring *)(void *)mem->desc;

	shm_store64(&desc[id].addr, buf_iova(id, 0));
	shm_store64(&desc[id].meta, shm_split_meta(8, 0, 0));
	shm_store16(&mem->avail[2 + d->avail_idx % d->num], id);
	d->avail_idx++;
	shm_store_rel16(&mem->avail[1], d->avail_idx);
}

static void drv_show_packed(struct drv *d, struct memory *mem, uint16_t id)
{
	struct shm_desc_ring *desc = (struct shm_desc_ring *)(void *)mem->desc;
	uint64_t metas[MAX_PIECES];
	uint16_t at[MAX_PIECES];
	unsigned int n = d->n_descs[id];

	for (unsigned int i = 0; i < n; i++) {
		unsigned int flags = d->avail_wrap ? 1U << 7 : 1U << 15;

		flags |= i + 1 < n ? VRING_DESC_F_NEXT : 0;
		at[i] = d->avail_idx;
		metas[i] = shm_packed_meta(8, i + 1 < n ? 0x7777 : id,
					   (uint16_t)flags);
		shm_store64(&desc[at[i]].addr, buf_iova(id, i));
		drv_step(d, &d->avail_idx, &d->avail_wrap, 1);
	}
	while (n--) {
		shm_store_rel64(&desc[at[n]].meta, metas[n]);
	}
}

/* Makes a buffer available, if there is room. */
static void drv_add(struct drv *d, struct memory *mem, unsigned int n_descs)
{
	uint16_t id = 0;

	n_descs = d->is_packed ? n_descs : 1;
	while (id < d->num && d->serial[id]) {
		id++;
	}
	if (id == d->num || d->n_free_descs < n_descs) {
		return;
	}
	d->n_free_descs = (uint16_t)(d->n_free_descs - n_descs);
	d->n_descs[id] = (uint16_t)n_descs;
	d->serial[id] = d->next_serial++;
	for (unsigned int i = 0; i < n_descs; i++) {
		mem->serial[id][i] = d->serial[id];
	}
	if (d->is_packed) {
		drv_show_packed(d, mem, id);
	} else {
		drv_show_split(d, mem, id);
	}
}

static bool drv_next_used(struct drv *d, const struct memory *mem,
			  uint32_t *ret_id)
{
	const struct shm_desc_ring *desc =
		(const struct shm_desc_ring *)(const void *)mem->desc;
	uint64_t meta;
	uint16_t flags;

	if (!d->is_packed) {
		const __le16 *idx = (const __le16 *)(const void *)mem->used + 1;

		if (d->used_idx == shm_load_acq16(idx)) {
			return false;
		}
		*ret_id =
			shm_load32(&mem->used[1 + 2 * (d->used_idx % d->num)]);
		d->used_idx++;
		return true;
	}
	meta = shm_load_acq64(&desc[d->used_idx].meta);
	flags = shm_packed_flags(meta);
	if (!!(flags & 1U << 7) != d->used_wrap ||
	    !!(flags & 1U << 15) != d->used_wrap) {
		return false;
	}
	*ret_id = shm_packed_id(meta);
	assert_in_range(*ret_id, 0, d->num - 1);
	drv_step(d, &d->used_idx, &d->used_wrap, d->n_descs[*ret_id]);
	return true;
}

/* Takes all that is used; each was in use. Return: as a set of ids */
static unsigned int drv_get(struct drv *d, const struct memory *mem)
{
	unsigned int set = 0;
	uint32_t id;

	while (drv_next_used(d, mem, &id)) {
		assert_in_range(id, 0, d->num - 1);
		assert_true(d->serial[id] != 0);
		d->serial[id] = 0;
		d->n_free_descs = (uint16_t)(d->n_free_descs + d->n_descs[id]);
		set |= 1U << id;
	}
	return set;
}

/* The id of the oldest buffer in use that is newer than @after; -1: none. */
static int drv_oldest(const struct drv *d, uint64_t after)
{
	int oldest = -1;

	for (uint16_t id = 0; id < d->num; id++) {
		if (d->serial[id] > after &&
		    (oldest < 0 || d->serial[id] < d->serial[oldest])) {
			oldest = id;
		}
	}
	return oldest;
}

/* ---- the device; also in the child, so without cmocka ---- */

#define must(cond)                                                             \
	do {                                                                   \
		if (!(cond)) {                                                 \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                               \
		}                                                              \
	} while (0)

static void device_init(struct device *dev, struct memory *mem)
{
	struct region *region;

	*dev = (struct device){ .mem = mem };
	must(iotlb_new(4, &dev->tlb) == 0);
	must(region_new_own(mem, sizeof(*mem), NULL, NULL, &region) == 0);
	must(iotlb_map(dev->tlb, IOVA, IOVA + sizeof(*mem) - 1, region, 0,
		       MEM_PERM_RW) == 0);
	region_unref(region);
	must(region_new_own(mem->log, sizeof(mem->log), NULL, NULL,
			    &dev->log) == 0);
	must(vq_new(MAX_NUM, 0, &dev->vq) == 0);
}

static void device_fini(struct device *dev)
{
	vq_free(dev->vq);
	region_unref(dev->log);
	iotlb_free(dev->tlb);
}

static void device_start(struct device *dev, uint64_t features, uint16_t num)
{
	struct iotlb_snap *snap = iotlb_snapshot(dev->tlb);
	const struct vq_setup setup = {
		.num = num,
		.features = features,
		.desc_area = IOVA_OF(desc),
		.driver_area = IOVA_OF(avail),
		.device_area = IOVA_OF(used),
		.state = { .avail_wrap = true, .used_wrap = true },
		.inflight = dev->log,
		.inflight_bytes = vq_inflight_bytes(num, features & RIG_PACKED),
	};

	must(setup.inflight_bytes <= sizeof(dev->mem->log));
	must(vq_start(dev->vq, &setup, snap) == 0);
	iotlb_snap_unref(snap);
}

static void device_fetch(struct device *dev, unsigned int max)
{
	int n = vq_fetch(dev->vq, dev->held + dev->n_held,
			 min_of(max, MAX_NUM - dev->n_held));

	must(n >= 0);
	dev->n_held += (unsigned int)n;
	dev->n_fresh += (unsigned int)n;
}

static void device_complete(struct device *dev, uint32_t arg)
{
	unsigned int i = arg % dev->n_held;
	struct vq_chain *chain = dev->held[i];

	dev->n_held--;
	memmove(dev->held + i, dev->held + i + 1,
		(dev->n_held - i) * sizeof(chain));
	dev->n_fresh = min_of(dev->n_fresh, dev->n_held - i);
	vq_complete(dev->vq, chain, 0);
}

static void device_do(struct device *dev, const struct crash *c)
{
	uint32_t arg = c->cmd->arg;
	unsigned int n;

	switch (c->cmd->op) {
	case OP_START:
		device_start(dev, c->features, c->drv.num);
		break;
	case OP_FETCH:
		if (dev->n_held < MAX_NUM) {
			device_fetch(dev, 1 + arg % 4);
		}
		break;
	case OP_COMPLETE:
		for (n = 1 + arg % 3; n && dev->n_held; n--) {
			device_complete(dev, arg);
		}
		break;
	case OP_PUBLISH:
		(void)vq_publish(dev->vq);
		break;
	case OP_UNFETCH:
		n = arg % (dev->n_fresh + 1);
		vq_unfetch(dev->vq, n);
		dev->n_held -= n;
		dev->n_fresh -= n;
		break;
	case OP_KICK:
		(void)vq_enable_kick(dev->vq);
		break;
	case OP_N:
		break;
	}
}

/* ---- what must be true of a state ---- */

static unsigned int id_of(const struct device *dev,
			  const struct vq_chain *chain)
{
	uint64_t off = (uint64_t)((char *)chain->iov[0].iov_base -
				  (char *)dev->mem->serial);

	return (unsigned int)(off / sizeof(uint64_t[8]));
}

/* Fetches all. By serial number, that is what the driver has in use. */
static void check_fetched(struct crash *c, const struct drv *d)
{
	struct device *dev = &c->checker;
	uint64_t after = 0;
	unsigned int n = 0;
	int id;

	do {
		n = dev->n_held;
		device_fetch(dev, 1 + draw(c, 4));
	} while (dev->n_held > n);
	for (unsigned int i = 0; i < dev->n_held; i++) {
		id = drv_oldest(d, after);
		assert_true(id >= 0);
		assert_int_equal(id_of(dev, dev->held[i]), id);
		assert_int_equal(dev->held[i]->readable_bytes,
				 8U * d->n_descs[id]);
		after = d->serial[id];
	}
	assert_int_equal(drv_oldest(d, after), -1);
}

/* Completes all, in bursts; each time the driver sees those and no others. */
static void check_completing(struct crash *c, struct drv *d)
{
	struct device *dev = &c->checker;
	bool is_in_order = c->features & RIG_IN_ORDER;
	unsigned int waiting = 0;

	while (dev->n_held) {
		unsigned int n = 1 + draw(c, dev->n_held), done = 0, got;

		for (; n; n--) {
			unsigned int i = draw(c, dev->n_held);

			done |= 1U << id_of(dev, dev->held[i]);
			device_complete(dev, i);
		}
		(void)vq_publish(dev->vq);
		got = drv_get(d, dev->mem);
		waiting |= done;
		assert_int_equal(got & ~waiting, 0);
		waiting &= ~got;
		assert_true(is_in_order || waiting == 0);
	}
	assert_int_equal(waiting, 0);
}

/* The device of state c->copy is dead: all goes on with another. */
static void check_state(struct crash *c)
{
	struct device *dev = &c->checker;
	struct drv d = c->drv;

	c->n_states++;
	(void)drv_get(&d, dev->mem);
	for (unsigned int n = draw(c, 4); n; n--) {
		drv_add(&d, dev->mem, 1 + draw(c, MAX_PIECES));
	}
	dev->n_held = 0;
	device_start(dev, c->features, d.num);
	check_fetched(c, &d);
	c->n_again = vq_counters(dev->vq)->n_again;
	check_completing(c, &d);
	for (unsigned int i = 0; i < 2U * d.num; i++) {
		for (unsigned int n = draw(c, 3); n; n--) {
			drv_add(&d, dev->mem, 1 + draw(c, MAX_PIECES));
		}
		check_fetched(c, &d);
		check_completing(c, &d);
	}
	assert_int_equal(vq_broken(dev->vq), VQ_OK);
	/* The log is clean: the next one finds nothing to do. */
	vq_stop(dev->vq);
	device_start(dev, c->features, d.num);
	check_fetched(c, &d);
	vq_stop(dev->vq);
}

/* ---- the child, step by step ---- */

static _Noreturn void child_main(const struct crash *c)
{
	struct device dev;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	device_init(&dev, c->live);
	for (;;) {
		raise(SIGSTOP);
		device_do(&dev, c);
		c->cmd->is_done = true;
	}
}

static void child_wait(struct crash *c)
{
	int status;

	assert_int_equal(waitpid(c->child, &status, 0), c->child);
	assert_true(WIFSTOPPED(status));
	if (WSTOPSIG(status) != SIGSTOP && WSTOPSIG(status) != SIGTRAP) {
		print_error("the device died of signal %d\n", WSTOPSIG(status));
		fail();
	}
}

static bool child_start(struct crash *c)
{
	int status;

	c->child = fork();
	assert_true(c->child >= 0);
	if (c->child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0) {
			_exit(77);
		}
		child_main(c);
	}
	assert_int_equal(waitpid(c->child, &status, 0), c->child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		c->child = 0;
		return false;
	}
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	return true;
}

static void child_kill(struct crash *c)
{
	int status;

	if (c->child > 0) {
		(void)kill(c->child, SIGKILL);
		(void)waitpid(c->child, &status, 0);
		c->child = 0;
	}
}

static void step(struct crash *c, int request)
{
	assert_int_equal(ptrace(request, c->child, 0, 0), 0);
	child_wait(c);
}

/* Return: was the ring or the log changed since the last look? */
static bool look(struct crash *c)
{
	if (memcmp(&c->last, c->live, sizeof(c->last)) == 0) {
		return false;
	}
	memcpy(&c->last, c->live, sizeof(c->last));
	memcpy(&c->copy, c->live, sizeof(c->copy));
	check_state(c);
	return true;
}

/* One command, with a look at each state that it goes through. @n_left: states
 * until it dies in it. Return: did it? */
static bool child_do(struct crash *c, enum op op, unsigned int n_left)
{
	*c->cmd = (struct command){ .op = op, .arg = draw(c, 1000) };
	while (!c->cmd->is_done && c->n_steps < MAX_STEPS) {
		c->n_steps++;
		step(c, PTRACE_SINGLESTEP);
		if (look(c) && n_left-- == 0) {
			return true;
		}
	}
	step(c, PTRACE_CONT);
	(void)look(c);
	return false;
}

static enum op draw_op(struct crash *c)
{
	static const enum op ops[] = {
		OP_FETCH,   OP_FETCH,	OP_COMPLETE, OP_COMPLETE, OP_COMPLETE,
		OP_PUBLISH, OP_PUBLISH, OP_UNFETCH,  OP_KICK,
	};

	return ops[draw(c, ARRAY_SIZE(ops))];
}

static void run_driver(struct crash *c)
{
	(void)drv_get(&c->drv, c->live);
	for (unsigned int n = draw(c, 4); n; n--) {
		drv_add(&c->drv, c->live, 1 + draw(c, MAX_PIECES));
	}
	memcpy(&c->last, c->live, sizeof(c->last));
}

static void run(struct crash *c)
{
	bool is_alive = true, is_new = true;

	for (unsigned int i = 0; i < N_OPS; i++) {
		unsigned int n_left = draw(c, 3) ? UINT32_MAX : draw(c, 6);

		if (!is_alive) {
			child_kill(c);
			c->n_deaths++;
			assert_true(child_start(c));
			is_new = true;
		}
		run_driver(c);
		/* The first fetch is what looks at the log. */
		is_alive = (!is_new || !child_do(c, OP_START, n_left)) &&
			   !child_do(c, is_new ? OP_FETCH : draw_op(c), n_left);
		is_new = false;
	}
	child_kill(c);
}

/* Two processes that take turns do so faster on one processor. */
static void stay_here(cpu_set_t *ret_before)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	(void)sched_getaffinity(0, sizeof(*ret_before), ret_before);
	(void)sched_setaffinity(0, sizeof(here), &here);
}

static void crash_run(struct crash *c, uint64_t features, uint16_t num)
{
	cpu_set_t before;

	stay_here(&before);
	c->features = features;
	c->rng = (c->seed + 1) * 0x9e3779b97f4a7c15ULL + features + num;
	c->live = mmap(NULL, sizeof(*c->live), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	c->cmd = mmap(NULL, sizeof(*c->cmd), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(c->live != MAP_FAILED && c->cmd != MAP_FAILED);
	drv_init(&c->drv, features, num);
	memset(&c->last, 0, sizeof(c->last));
	device_init(&c->checker, &c->copy);
	if (!child_start(c)) {
		c->is_done = true;
		TEST_SKIP("no process may be traced here");
	}
	run(c);
	print_message(
		"# %u steps, %u states, %u deaths, %llu chains done again\n",
		c->n_steps, c->n_states, c->n_deaths,
		(unsigned long long)c->n_again);
	assert_true(c->n_states > 20 && c->n_again > 0);
	device_fini(&c->checker);
	munmap(c->live, sizeof(*c->live));
	munmap(c->cmd, sizeof(*c->cmd));
	(void)sched_setaffinity(0, sizeof(before), &before);
	c->is_done = true;
}

static void test_split_dies_at_every_store(void **state)
{
	crash_run(*state, RIG_SPLIT, 8);
}

static void test_split_event_dies_at_every_store(void **state)
{
	crash_run(*state, RIG_SPLIT | RIG_EVENT, 4);
}

static void test_split_in_order_dies_at_every_store(void **state)
{
	crash_run(*state, RIG_SPLIT | RIG_IN_ORDER, 8);
}

static void test_packed_dies_at_every_store(void **state)
{
	crash_run(*state, RIG_PACKED, 8);
}

static void test_packed_odd_size_dies_at_every_store(void **state)
{
	crash_run(*state, RIG_PACKED | RIG_EVENT, 5);
}

static void test_packed_in_order_dies_at_every_store(void **state)
{
	crash_run(*state, RIG_PACKED | RIG_IN_ORDER, 8);
}

static int setup(void **state)
{
	const char *seed = getenv("VQ_CRASH_SEED");
	struct crash *c = aligned_alloc(64, align_up(sizeof(*c), 64));

	if (!c) {
		return -1;
	}
	memset(c, 0, sizeof(*c));
	c->seed = seed ? strtoull(seed, NULL, 0) : 1;
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct crash *c = *state;

	child_kill(c);
	if (!c->is_done) {
		print_message("# VQ_CRASH_SEED=%llu\n",
			      (unsigned long long)c->seed);
	}
	free(c);
	return 0;
}

#define CRASH_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
static const struct CMUnitTest tests[] = {
	CRASH_TEST(test_split_dies_at_every_store),
	CRASH_TEST(test_split_event_dies_at_every_store),
	CRASH_TEST(test_split_in_order_dies_at_every_store),
	CRASH_TEST(test_packed_dies_at_every_store),
	CRASH_TEST(test_packed_odd_size_dies_at_every_store),
	CRASH_TEST(test_packed_in_order_dies_at_every_store),
};

TEST_MAIN("vq_crash")
