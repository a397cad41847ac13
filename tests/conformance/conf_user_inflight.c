/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, requests in flight that outlive the back end. H68,
 * H73.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/blk.h"

#define NUM 64

/* The layout of the specification, once more. */
struct split_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct split_region {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct split_desc desc[NUM];
};

struct packed_desc {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct packed_region {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct packed_desc desc[NUM];
};
_Static_assert(sizeof(struct split_desc) == 16, "as specified");
_Static_assert(sizeof(struct packed_desc) == 32, "as specified");

/* A disk with a region of one queue. */
struct tracked {
	struct client cl;
	struct vu_inflight inflight;
	int fd;
	char *va;
};

static struct split_region *split_of(const struct tracked *t)
{
	return (struct split_region *)t->va;
}

static struct packed_region *packed_of(const struct tracked *t)
{
	return (struct packed_region *)t->va;
}

static void get_region(struct tracked *t)
{
	struct vu_inflight want = { .num_queues = 1, .queue_size = NUM };
	struct conf *c = t->cl.c;
	struct vu_msg msg;
	struct stat st;
	size_t least = c->is_packed ? sizeof(struct packed_region)
				    : sizeof(struct split_region);

	assert_int_equal(vu_ask(&t->cl.vu, VU_GET_INFLIGHT_FD, &want,
				sizeof(want), NULL, 0, &msg),
			 0);
	t->inflight = msg.p.inflight;
	assert_int_equal(msg.n_fds, 1);
	assert_true(t->inflight.size >= least);
	assert_int_equal(t->inflight.num_queues, 1);
	assert_int_equal(t->inflight.queue_size, NUM);
	t->fd = fcntl(msg.fds[0], F_DUPFD_CLOEXEC, 0);
	assert_int_equal(fstat(t->fd, &st), 0);
	assert_in_range(t->inflight.offset + t->inflight.size, 0, st.st_size);
	t->va = mmap(NULL, t->inflight.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		     t->fd, (off_t)t->inflight.offset);
	assert_true(t->va != MAP_FAILED);
	assert_true(c->n_mems < CONF_MEMS_MAX);
	c->mems[c->n_mems++] =
		(struct conf_mem){ t->va, t->inflight.size, t->fd };
}

static int set_region(struct tracked *t)
{
	return vu_tell(&t->cl.vu, VU_SET_INFLIGHT_FD, &t->inflight,
		       sizeof(t->inflight), &t->fd, 1);
}

/* Connected, agreed, with memory and region; the ring does not run yet. */
static void prepare(struct tracked *t, void **state)
{
	memset(t, 0, sizeof(*t));
	client_open_user(&t->cl, *state, conf_node_of(CONF_DEVICE_BLK),
			 VU_P_USUAL);
	vu_require(&t->cl.vu, VU_P_INFLIGHT);
	client_negotiate(&t->cl, BLK_FEATURES);
	get_region(t);
	client_map(&t->cl);
	client_vq_init(&t->cl, 0, NUM);
}

static void run(struct tracked *t)
{
	assert_int_equal(set_region(t), 0);
	client_vq_set(&t->cl, 0);
	client_vq_enable(&t->cl, 0);
	client_driver_ok(&t->cl);
	client_kick(&t->cl.vqs[0]);
}

/* ---- the region ---- */

static void test_a_new_region_is_zeroed(void **state)
{
	struct tracked t;

	prepare(&t, state);
	for (size_t i = 0; i < t.inflight.size; i++) {
		assert_int_equal(t.va[i], 0);
	}
}

static void test_the_region_when_nothing_is_in_flight(void **state)
{
	struct tracked t;

	prepare(&t, state);
	run(&t);
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(blk_works(&t.cl));
	}
	/* The answer was seen before the last store to the region. */
	client_vq_stop(&t.cl, 0);
	if (t.cl.c->is_packed) {
		const struct packed_region *r = packed_of(&t);

		assert_int_equal(r->version, 1);
		assert_int_equal(r->desc_num, NUM);
		assert_int_equal(r->used_idx, r->old_used_idx);
		assert_int_equal(r->used_idx, t.cl.vqs[0].ring.used_idx);
		assert_int_equal(r->used_wrap_counter,
				 t.cl.vqs[0].ring.used_wrap);
		for (unsigned int i = 0; i < NUM; i++) {
			assert_int_equal(r->desc[i].inflight, 0);
		}
	} else {
		const struct split_region *r = split_of(&t);

		assert_int_equal(r->version, 1);
		assert_int_equal(r->desc_num, NUM);
		assert_int_equal(r->used_idx, t.cl.vqs[0].ring.used_idx);
		for (unsigned int i = 0; i < NUM; i++) {
			assert_int_equal(r->desc[i].inflight, 0);
		}
	}
}

static void test_several_queues_have_a_part_each(void **state)
{
	struct tracked t;
	struct vu_inflight want = { .num_queues = 4, .queue_size = NUM };
	struct vu_msg msg;

	prepare(&t, state);
	assert_int_equal(vu_ask(&t.cl.vu, VU_GET_INFLIGHT_FD, &want,
				sizeof(want), NULL, 0, &msg),
			 0);
	if (msg.p.inflight.size == 0) {
		conf_skip("the device has one queue");
	}
	assert_int_equal(msg.n_fds, 1);
	assert_true(msg.p.inflight.size >= 4 * sizeof(struct split_region));
}

/* ---- a region that a dead one left ---- */

/* One write of a sector full of @byte, in a slot of its own. */
static int add_write(struct tracked *t, unsigned int slot, uint64_t sector,
		     char byte)
{
	char *data = client_buf(&t->cl, BLK_DATA + slot * 0x1000UL);

	memset(data, byte, BLK_SECTOR);
	return blk_add(&t->cl, slot, BLK_T_OUT, sector, data, BLK_SECTOR);
}

/* In flight, as the specification has it: the chain is copied. */
static void packed_take(struct tracked *t, uint16_t entry, uint16_t slot,
			uint64_t counter)
{
	struct packed_region *r = packed_of(t);
	const struct vring_packed_desc *ring =
		&ring_packed_descs(&t->cl.vqs[0].ring)[slot];

	for (uint16_t i = 0; i < 3; i++) {
		struct packed_desc *d = &r->desc[entry + i];

		d->next = (uint16_t)(entry + i + 1);
		d->id = le16toh(ring[i].id);
		d->flags = le16toh(ring[i].flags);
		d->len = le32toh(ring[i].len);
		d->addr = le64toh(ring[i].addr);
	}
	r->desc[entry].inflight = 1;
	r->desc[entry].counter = counter;
	r->desc[entry].num = 3;
	r->desc[entry].last = (uint16_t)(entry + 2);
}

static void packed_init(struct tracked *t, uint16_t free_head)
{
	struct packed_region *r = packed_of(t);

	r->version = 1;
	r->desc_num = NUM;
	r->free_head = r->old_free_head = free_head;
	r->used_wrap_counter = r->old_used_wrap_counter = 1;
	for (uint16_t i = 0; i < NUM; i++) {
		r->desc[i].next = (uint16_t)(i + 1);
	}
}

/* Two writes to one sector are in flight, taken in the order of their counters,
 * which is not that of the ring; two more wait. */
static void test_what_was_in_flight_is_done_in_its_order(void **state)
{
	struct tracked t;
	struct client_vq *q = &t.cl.vqs[0];
	int heads[4], n_done[4] = { 0 };

	prepare(&t, state);
	heads[0] = add_write(&t, 0, 0, 'a');
	heads[1] = add_write(&t, 1, 0, 'b');
	heads[2] = add_write(&t, 2, 1, 'c');
	heads[3] = add_write(&t, 3, 2, 'd');
	if (t.cl.c->is_packed) {
		packed_init(&t, 6);
		packed_take(&t, 0, 0, 5);
		packed_take(&t, 3, 3, 2);
	} else {
		struct split_region *r = split_of(&t);

		r->version = 1;
		r->desc_num = NUM;
		r->desc[heads[0]].inflight = 1;
		r->desc[heads[0]].counter = 5;
		r->desc[heads[1]].inflight = 1;
		r->desc[heads[1]].counter = 2;
	}
	/* It knows only what is done: nothing. */
	assert_int_equal(set_region(&t), 0);
	client_vq_set(&t.cl, 0);
	assert_int_equal(vu_set_state(&t.cl.vu, VU_SET_VRING_BASE, 0,
				      ring_initial_base(&q->ring)),
			 0);
	client_vq_enable(&t.cl, 0);
	client_driver_ok(&t.cl);
	client_kick(q);
	for (unsigned int i = 0; i < 4; i++) {
		uint32_t written;
		uint16_t id;

		assert_true(client_wait(q, CONF_WAIT_MS, &id, &written));
		for (unsigned int k = 0; k < 4; k++) {
			n_done[k] += heads[k] == id;
		}
	}
	for (unsigned int k = 0; k < 4; k++) {
		assert_int_equal(n_done[k], 1);
		assert_int_equal(blk_status(&t.cl, k), BLK_S_OK);
	}
	assert_true(client_is_quiet(q));
	{
		char *data = client_buf(&t.cl, BLK_DATA);

		assert_int_equal(blk_io(&t.cl, BLK_T_IN, 0, data,
					3 * BLK_SECTOR),
				 BLK_S_OK);
		assert_int_equal(data[0], 'a');
		assert_int_equal(data[BLK_SECTOR], 'c');
		assert_int_equal(data[2 * BLK_SECTOR], 'd');
	}
}

/* It died after the used index: what the ring says is done is not done again. */
static void test_what_was_published_is_not_done_again(void **state)
{
	struct tracked t;
	struct client_vq *q = &t.cl.vqs[0];
	struct split_region *r;
	uint32_t written;
	uint16_t id;
	int head;

	prepare(&t, state);
	if (t.cl.c->is_packed) {
		conf_skip("a packed ring has no index");
	}
	r = split_of(&t);
	head = add_write(&t, 0, 0, 'n');
	assert_true(head >= 0);
	r->version = 1;
	r->desc_num = NUM;
	r->desc[head].inflight = 1;
	r->last_batch_head = (uint16_t)head;
	ring_used(&q->ring)->ring[0].id = htole32((uint32_t)head);
	ring_used(&q->ring)->idx = htole16(1);
	assert_true(ring_pop(&q->ring, &id, &written));
	run(&t);
	assert_true(client_is_quiet(q));
	assert_int_equal(blk_status(&t.cl, 0), BLK_S_NONE); /* never done */
	assert_true(blk_works(&t.cl));
}

/* ---- H68: a region that anybody may have written to ---- */

static void spoil(struct tracked *t, unsigned int how, unsigned int *seed)
{
	struct split_region *s = split_of(t);
	struct packed_region *p = packed_of(t);
	bool packed = t->cl.c->is_packed;

	switch (how) {
	case 0:
		s->version = 2;
		break;
	case 1:
		s->version = 1; /* and the size is 0 */
		break;
	case 2:
		s->version = 1;
		s->desc_num = 0xffff;
		break;
	case 3:
		s->version = 1;
		s->desc_num = NUM - 1;
		break;
	case 4: /* all at once, and all equally old */
		for (unsigned int i = 0; i < NUM; i++) {
			if (packed) {
				p->desc[i].inflight = 1;
			} else {
				s->desc[i].inflight = 1;
			}
		}
		s->version = 1;
		s->desc_num = NUM;
		break;
	case 5: /* flags that are neither 0 nor 1 */
		memset(t->va, 0xff, t->inflight.size);
		s->version = 1;
		s->desc_num = NUM;
		break;
	case 6:
		memset(t->va, 0xff, t->inflight.size);
		break;
	case 7: /* both: last_batch_head or free_head, and the indexes */
		s->version = 1;
		s->desc_num = NUM;
		s->last_batch_head = 0xffff;
		s->used_idx = 0x8000;
		p->used_idx = p->old_used_idx = 0xffff;
		break;
	case 8: /* a list that bites its tail */
		s->version = 1;
		s->desc_num = NUM;
		s->used_idx = 0xffc0;
		break;
	default:
		for (size_t i = 0; i < t->inflight.size; i++) {
			t->va[i] = (char)(rand_r(seed) % 4 ? t->va[i]
							   : rand_r(seed));
		}
		s->version = 1;
		s->desc_num = NUM;
		break;
	}
}

static void test_h68_regions_of_any_contents(void **state)
{
	struct conf *c = *state;
	unsigned int seed = 68;

	for (unsigned int how = 0; how < 60; how++) {
		struct tracked t;

		prepare(&t, state);
		conf_product_only("others die of it");
		(void)add_write(&t, 0, 0, 'x');
		spoil(&t, how, &seed);
		(void)set_region(&t);
		client_vq_set(&t.cl, 0);
		/* Refused, broken or right: but the connection holds. */
		(void)vu_set_state(&t.cl.vu, VU_SET_VRING_ENABLE, 0, 1);
		client_kick(&t.cl.vqs[0]);
		assert_true(vu_is_alive(&t.cl.vu));
		/* The next step of the same front end: a new region. */
		client_reset(&t.cl);
		conf_drop(c, 0, 0);
	}
	{
		struct client cl;

		blk_start(&cl, c, NUM, BLK_FEATURES);
		assert_true(blk_works(&cl));
	}
}

/* It changes all the time. */
static void test_h68_a_region_that_changes(void **state)
{
	struct tracked t;
	unsigned int seed = 1;
	pid_t pid;

	prepare(&t, state);
	conf_product_only("others die of it");
	run(&t);
	pid = conf_fork(t.cl.c);
	if (pid == 0) {
		for (;;) {
			t.va[(size_t)rand_r(&seed) % t.inflight.size] =
				(char)rand_r(&seed);
		}
	}
	for (unsigned int i = 0; i < 200; i++) {
		/* The ring says what is done; the region is only written to. */
		assert_true(blk_works(&t.cl));
	}
	conf_kill(t.cl.c, pid);
}

static void test_h68_descriptions_that_cannot_be(void **state)
{
	static const struct vu_inflight bad[] = {
		{ 0, 0, 1, NUM, 0 },
		{ 16, 0, 1, NUM, 0 }, /* too small */
		{ 1ULL << 40, 0, 1, NUM, 0 }, /* more than the file has */
		{ 0x10000, UINT64_MAX, 1, NUM, 0 },
		{ 0x10000, UINT64_MAX - 0xffff, 1, NUM, 0 },
		{ UINT64_MAX, 0, 1, NUM, 0 },
		{ UINT64_MAX, UINT64_MAX, 1, NUM, 0 },
		{ 0x10000, 0, 0xffff, 0xffff, 0 },
		{ 0x10000, 0, 1, 0, 0 },
	};
	struct tracked t;

	prepare(&t, state);
	conf_product_only("others die of it");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int r;

		t.inflight = bad[i];
		r = set_region(&t);
		if (r != VU_REFUSED) {
			print_error("region %zu: %d\n", i, r);
		}
		assert_int_equal(r, VU_REFUSED);
	}
	assert_true(vu_is_alive(&t.cl.vu));
}

/* Not the one that it made, but one of ours. */
static void test_h68_a_region_that_goes_away(void **state)
{
	struct tracked t;
	struct client cl;

	prepare(&t, state);
	conf_product_only("others die of it");
	t.fd = conf_memfd(t.cl.c, t.inflight.offset + t.inflight.size).fd;
	run(&t);
	assert_true(blk_works(&t.cl));
	assert_int_equal(ftruncate(t.fd, 0), 0);
	for (unsigned int i = 0; i < 10; i++) {
		(void)add_write(&t, i, i, 'z');
		client_kick(&t.cl.vqs[0]);
	}
	assert_true(vu_is_alive(&t.cl.vu));
	conf_drop(t.cl.c, 0, 0);
	blk_start(&cl, *state, NUM, BLK_FEATURES);
	assert_true(blk_works(&cl));
}

/* ---- H73: kill -9 of the back end under load ---- */

#define KILLS	  20
#define IN_FLIGHT 20
#define SECTORS	  1000

struct disk {
	char dir[64];
	char path[80]; /* of the socket */
	pid_t pid;
};

static pid_t start_daemon(struct conf *c, const struct disk *d)
{
	const char *daemon = getenv("CONFORMANCE_VDPAKITD");
	char dev[256], rpc[80], preload[80];
	pid_t pid;

	(void)snprintf(dev, sizeof(dev),
		       "d0 blk backend=file path=%s/image "
		       "bind vhost_user path=%s",
		       d->dir, d->path);
	(void)snprintf(rpc, sizeof(rpc), "%s/rpc", d->dir);
	(void)snprintf(preload, sizeof(preload), "%s/preload", d->dir);
	pid = conf_fork(c);
	if (pid == 0) {
		(void)unsetenv("LD_PRELOAD");
		(void)alarm(0);
		(void)execl(daemon, daemon, "-s", rpc, "-p", preload, "-l",
			    "err", "-d", dev, NULL);
		_exit(127);
	}
	return pid;
}

/* The dead one's lock on the image and its socket may outlive it a little, in
 * the kernel: so a daemon that ends at once is started again, as a supervisor
 * would, and a connection that ends at once is made again. */
static void start_and_connect(struct conf *c, struct disk *d, struct vu *vu)
{
	unsigned long end = conf_now_ms() + CONF_WAIT_MS;

	d->pid = start_daemon(c, d);
	while (vu_connect_once(vu, c, d->path, VU_P_USUAL) < 0) {
		assert_true(conf_now_ms() < end);
		conf_breathe();
		if (waitpid(d->pid, NULL, WNOHANG) == d->pid) {
			(void)conf_reap(c, d->pid); /* off the list */
			d->pid = start_daemon(c, d);
		}
	}
}

struct load {
	bool is_out[IN_FLIGHT];
	int heads[IN_FLIGHT];
	uint64_t sectors[IN_FLIGHT];
	char bytes[IN_FLIGHT];
	bool is_busy[SECTORS];
	char last[SECTORS]; /* what was acknowledged */
	unsigned int seed;
	unsigned int n_done;
};

/* One write in flight for a sector at a time: so the end is known. */
static void submit(struct tracked *t, struct load *l)
{
	for (unsigned int i = 0; i < IN_FLIGHT; i++) {
		uint64_t sector = (uint64_t)rand_r(&l->seed) % SECTORS;

		if (l->is_out[i] || l->is_busy[sector]) {
			continue;
		}
		l->bytes[i] = (char)(1 + rand_r(&l->seed) % 250);
		l->heads[i] = add_write(t, i, sector, l->bytes[i]);
		assert_true(l->heads[i] >= 0);
		l->sectors[i] = sector;
		l->is_out[i] = l->is_busy[sector] = true;
	}
	client_kick(&t->cl.vqs[0]);
}

/* Each comes back once, and was done. */
static void collect(struct tracked *t, struct load *l, uint16_t id)
{
	for (unsigned int i = 0; i < IN_FLIGHT; i++) {
		if (l->is_out[i] && l->heads[i] == id) {
			assert_int_equal(blk_status(&t->cl, i), BLK_S_OK);
			l->is_out[i] = false;
			l->is_busy[l->sectors[i]] = false;
			l->last[l->sectors[i]] = l->bytes[i];
			l->n_done++;
			return;
		}
	}
	fail_msg("%u was done twice", id);
}

static void load_for(struct tracked *t, struct load *l, unsigned long ms)
{
	unsigned long end = conf_now_ms() + ms;
	uint32_t written;
	uint16_t id;

	do {
		submit(t, l);
		if (client_wait(&t->cl.vqs[0], 1, &id, &written)) {
			collect(t, l, id);
		}
	} while (conf_now_ms() < end);
}

static void go_on(struct tracked *t)
{
	struct ring *r = &t->cl.vqs[0].ring;
	uint32_t base = r->used_idx;

	if (r->is_packed) {
		base |= (uint32_t)r->used_wrap << 15;
		base |= base << 16;
	}
	t->cl.fd = t->cl.vu.fd;
	client_negotiate(&t->cl, BLK_FEATURES);
	client_map(&t->cl);
	assert_int_equal(set_region(t), 0);
	client_vq_set(&t->cl, 0);
	assert_int_equal(vu_set_state(&t->cl.vu, VU_SET_VRING_BASE, 0, base),
			 0);
	client_vq_enable(&t->cl, 0);
	client_driver_ok(&t->cl);
	client_kick(&t->cl.vqs[0]);
}

static void verify(struct tracked *t, struct load *l)
{
	char *data = client_buf(&t->cl, BLK_DATA);

	for (uint64_t s = 0; s < SECTORS; s++) {
		assert_int_equal(blk_io(&t->cl, BLK_T_IN, s, data, BLK_SECTOR),
				 BLK_S_OK);
		assert_int_equal(data[0], l->last[s]);
		assert_int_equal(data[BLK_SECTOR - 1], l->last[s]);
	}
}

static void make_disk(struct disk *d)
{
	char image[80];
	int fd;

	(void)snprintf(d->dir, sizeof(d->dir), "/tmp/conf-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	(void)snprintf(d->path, sizeof(d->path), "%s/sock", d->dir);
	(void)snprintf(image, sizeof(image), "%s/image", d->dir);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	(void)close(fd);
}

static void remove_disk(const struct disk *d)
{
	static const char *const names[] = { "image", "sock", "rpc",
					     "preload" };
	char path[96];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", d->dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(d->dir);
}

static void test_h73_the_back_end_is_killed_under_load(void **state)
{
	struct conf *c = *state;
	struct tracked t = { 0 };
	struct load l = { .seed = 73 };
	struct disk d = { 0 };

	if (!getenv("CONFORMANCE_VDPAKITD")) {
		conf_skip("no daemon to kill");
	}
	make_disk(&d);
	client_init(&t.cl, c, -1);
	start_and_connect(c, &d, &t.cl.vu);
	client_adopt_user(&t.cl);
	if (~t.cl.vu.offered_protocol & VU_P_INFLIGHT) {
		remove_disk(&d);
		vu_require(&t.cl.vu, VU_P_INFLIGHT);
	}
	client_negotiate(&t.cl, BLK_FEATURES);
	get_region(&t);
	client_map(&t.cl);
	client_vq_init(&t.cl, 0, NUM);
	run(&t);
	for (unsigned int i = 0; i < KILLS; i++) {
		load_for(&t, &l, (unsigned long)rand_r(&l.seed) % 20);
		conf_kill(c, d.pid);
		vu_close(&t.cl.vu);
		start_and_connect(c, &d, &t.cl.vu);
		go_on(&t);
	}
	/* All that is out comes back. */
	while (memchr(l.is_out, true, sizeof(l.is_out))) {
		uint32_t written;
		uint16_t id;

		assert_true(
			client_wait(&t.cl.vqs[0], CONF_WAIT_MS, &id, &written));
		collect(&t, &l, id);
	}
	assert_true(client_is_quiet(&t.cl.vqs[0]));
	print_message("# %u writes over %u deaths\n", l.n_done, KILLS);
	verify(&t, &l);
	conf_kill(c, d.pid);
	remove_disk(&d);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_a_new_region_is_zeroed),
	CONF_TEST_BOTH(test_the_region_when_nothing_is_in_flight),
	CONF_TEST(test_several_queues_have_a_part_each),
	CONF_TEST_BOTH(test_what_was_in_flight_is_done_in_its_order),
	CONF_TEST_BOTH(test_what_was_published_is_not_done_again),
	CONF_TEST_BOTH(test_h68_regions_of_any_contents),
	CONF_TEST_BOTH(test_h68_a_region_that_changes),
	CONF_TEST(test_h68_descriptions_that_cannot_be),
	CONF_TEST_BOTH(test_h68_a_region_that_goes_away),
	CONF_TEST_BOTH(test_h73_the_back_end_is_killed_under_load),
};

TEST_MAIN("conformance/user_inflight")
