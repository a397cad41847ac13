/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the dirty log: what a queue writes is marked, and nothing else.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vq/test_vq_rig.h"

#define PAGE	    MEM_LOG_PAGE
#define BUF_GPA	    0x400000ULL
#define RING_GPA    0x200000ULL
#define USED_GPA    0x6ff000ULL
#define TOP_GPA	    0x800000ULL
#define N_PAGES	    (TOP_GPA / PAGE)
#define N_BUF_PAGES 64
#define MAX_RANGES  256

/* A rig, and a bitmap that is all the guest's memory. */
struct logged {
	struct rig *rig;
	uint8_t bits[N_PAGES / 8];
	struct region *bitmap;
	struct mem_log *log;
};

static uint64_t gpa_of(uint64_t iova)
{
	return iova >= RIG_BUF_IOVA ? iova - RIG_BUF_IOVA + BUF_GPA
				    : iova - RIG_RING_IOVA + RING_GPA;
}

/* A log with all that is mapped now, handed to the queue. */
static void logged_set(struct logged *l, uint64_t used_gpa)
{
	struct iotlb_snap *snap = iotlb_snapshot(l->rig->tlb);
	const struct iotlb_entry *e = iotlb_first(snap, 0);
	struct mem_log_range ranges[MAX_RANGES];
	struct vq_log log;
	unsigned int n = 0;

	for (; e; e = iotlb_first(snap, e->last + 1)) {
		assert_in_range(n, 0, MAX_RANGES - 1);
		ranges[n++] = (struct mem_log_range){
			.va = e->va,
			.size = e->last - e->start + 1,
			.gpa = gpa_of(e->start),
		};
	}
	iotlb_snap_unref(snap);
	mem_log_unref(l->log);
	assert_int_equal(mem_log_new(l->bitmap, ranges, n, &l->log), 0);
	log = (struct vq_log){ l->log, used_gpa };
	vq_set_log(l->rig->vq, &log);
}

static struct logged *logged_new(uint64_t features, uint16_t num)
{
	struct logged *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->rig = rig_new(features, num);
	assert_int_equal(region_new_own(l->bits, sizeof(l->bits), NULL, NULL,
					&l->bitmap),
			 0);
	logged_set(l, UINT64_MAX);
	return l;
}

static void logged_free(struct logged *l)
{
	assert_int_equal(mem_log_n_ignored(l->log), 0);
	rig_free(l->rig);
	mem_log_unref(l->log);
	region_unref(l->bitmap);
	free(l);
}

static bool is_marked(const struct logged *l, uint64_t gpa)
{
	return l->bits[gpa / PAGE / 8] >> gpa / PAGE % 8 & 1;
}

/* Exactly these pages of the buffers are marked, of 64. Takes them away. */
static void assert_buf_pages(struct logged *l, uint64_t pages)
{
	for (unsigned int i = 0; i < N_BUF_PAGES; i++) {
		assert_int_equal(is_marked(l, BUF_GPA + i * PAGE),
				 has_bit(pages, i));
	}
	memset(l->bits + BUF_GPA / PAGE / 8, 0, N_BUF_PAGES / 8);
}

static int setup_split(void **state)
{
	*state = logged_new(RIG_SPLIT | RIG_INDIRECT, 8);
	return 0;
}

static int setup_packed(void **state)
{
	*state = logged_new(RIG_PACKED | RIG_INDIRECT, 8);
	return 0;
}

static int teardown(void **state)
{
	logged_free(*state);
	return 0;
}

/* Page 1 readable; writable: page 10, pages 20 and 21, page 30. */
static const struct rig_desc descs[] = {
	{ RIG_BUF_IOVA + 1 * PAGE, 64, VRING_DESC_F_NEXT },
	{ RIG_BUF_IOVA + 10 * PAGE, 100,
	  VRING_DESC_F_NEXT | VRING_DESC_F_WRITE },
	{ RIG_BUF_IOVA + 21 * PAGE - 50, 100,
	  VRING_DESC_F_NEXT | VRING_DESC_F_WRITE },
	{ RIG_BUF_IOVA + 30 * PAGE, 1, VRING_DESC_F_WRITE },
};

struct written {
	uint32_t written;
	uint32_t tail;
	uint64_t pages;
};

static const struct written cases[] = {
	{ 0, 0, 0 },
	{ 1, 0, 1ULL << 10 },
	{ 100, 0, 1ULL << 10 },
	{ 150, 0, 1ULL << 10 | 1ULL << 20 },
	{ 151, 0, 1ULL << 10 | 3ULL << 20 },
	{ 201, 0, 1ULL << 10 | 3ULL << 20 | 1ULL << 30 },
	{ 1, 1, 1ULL << 30 },
	{ 2, 1, 1ULL << 10 | 1ULL << 30 },
	{ 2, 2, 1ULL << 21 | 1ULL << 30 },
	{ 52, 52, 3ULL << 20 | 1ULL << 30 },
};

static void run_written(struct logged *l, bool is_indirect)
{
	struct rig_desc table =
		rig_table(l->rig, RIG_BUF_IOVA + 63 * PAGE, descs, 4);

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vq_chain *chain;

		if (is_indirect) {
			rig_offer(l->rig, &table, 1, 0);
		} else {
			rig_offer(l->rig, descs, 4, 0);
		}
		chain = rig_fetch(l->rig);
		chain->tail_bytes = cases[i].tail;
		assert_buf_pages(l, 0);
		vq_complete(l->rig->vq, chain, cases[i].written);
		assert_buf_pages(l, cases[i].pages);
		(void)vq_publish(l->rig->vq);
		assert_buf_pages(l, 0);
	}
}

static void test_log_written_bytes_of_pieces(void **state)
{
	run_written(*state, false);
}

static void test_log_written_bytes_of_indirect(void **state)
{
	run_written(*state, true);
}

static void test_log_written_bytes_that_are_not_translated(void **state)
{
	struct logged *l = *state;

	vq_stop(l->rig->vq);
	l->rig->keeps_iovas = true;
	assert_int_equal(rig_start(l->rig, NULL), 0);
	run_written(l, false);
	run_written(l, true);
}

/* The page in the middle of a piece is not mapped, a page of another neither:
 * what has memory is marked. */
static void test_log_leaves_holes_out(void **state)
{
	struct logged *l = *state;
	const struct rig_desc d[] = {
		{ RIG_BUF_IOVA + 2 * PAGE, 3 * PAGE,
		  VRING_DESC_F_NEXT | VRING_DESC_F_WRITE },
		{ RIG_BUF_IOVA + 9 * PAGE, 10, VRING_DESC_F_WRITE },
	};
	struct vq_chain *chain;

	rig_unmap(l->rig, RIG_BUF_IOVA);
	rig_map(l->rig, RIG_BUF_IOVA, &l->rig->buf, 0, 3 * PAGE, REGION_OWN,
		MEM_PERM_RW);
	rig_map(l->rig, RIG_BUF_IOVA + 4 * PAGE, &l->rig->buf, 4 * PAGE,
		5 * PAGE, REGION_OWN, MEM_PERM_RW);
	rig_set_snap(l->rig);
	rig_offer(l->rig, d, 2, 0);
	chain = rig_fetch(l->rig);
	assert_true(chain->is_faulty);
	vq_complete(l->rig->vq, chain, chain->writable_bytes);
	assert_buf_pages(l, 1ULL << 2 | 1ULL << 4);
}

/* Each chain is marked by the table of the moment in which it is completed. */
static void test_log_may_be_set_and_taken_at_any_time(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chain;

	rig_offer(l->rig, descs, 4, 0);
	chain = rig_fetch(l->rig);
	vq_set_log(l->rig->vq, NULL);
	vq_complete(l->rig->vq, chain, 1);
	(void)vq_publish(l->rig->vq);
	(void)vq_enable_kick(l->rig->vq);
	for (unsigned int i = 0; i < sizeof(l->bits); i++) {
		assert_int_equal(l->bits[i], 0);
	}
	rig_offer(l->rig, descs, 4, 0);
	chain = rig_fetch(l->rig);
	logged_set(l, UINT64_MAX);
	vq_complete(l->rig->vq, chain, 1);
	assert_buf_pages(l, 1ULL << 10);
	/* It stays over a stop. */
	vq_stop(l->rig->vq);
	memset(l->rig->ring.va, 0, l->rig->ring.size);
	l->rig->raw_slot = 0;
	l->rig->raw_wrap = true;
	assert_int_equal(rig_start(l->rig, NULL), 0);
	rig_offer(l->rig, descs, 4, 0);
	vq_complete(l->rig->vq, rig_fetch(l->rig), 1);
	assert_buf_pages(l, 1ULL << 10);
}

/* In order: marked when completed, though published later. */
static void test_log_in_order(void **state)
{
	static const uint64_t formats[] = { RIG_SPLIT, RIG_PACKED };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		struct logged *l = logged_new(formats[i] | RIG_IN_ORDER, 8);
		struct vq_chain *first;

		rig_offer(l->rig, descs, 4, 0);
		rig_offer(l->rig, descs + 3, 1, 4);
		first = rig_fetch(l->rig);
		vq_complete(l->rig->vq, rig_fetch(l->rig), 1);
		assert_buf_pages(l, 1ULL << 30);
		assert_false(vq_publish(l->rig->vq));
		vq_complete(l->rig->vq, first, 1);
		assert_buf_pages(l, 1ULL << 10);
		logged_free(l);
	}
}

/* ---- the ring ---- */

/* A burst of one: pages of the ring that are marked, as a set. */
static uint64_t ring_pages(struct logged *l, uint64_t gpa)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < 64; i++) {
		pages |= (uint64_t)is_marked(l, gpa + i * PAGE) << i;
	}
	memset(l->bits, 0, sizeof(l->bits));
	return pages;
}

static void use_one(struct logged *l, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		rig_add_bytes(l->rig, 1);
		vq_complete(l->rig->vq, rig_fetch(l->rig), 0);
	}
	(void)vq_publish(l->rig->vq);
	for (unsigned int i = 0; i < n; i++) {
		struct vq_used used;

		assert_int_equal(vq_driver_get(l->rig->drv, &used, 1), 1);
	}
}

/* 2048 elements from byte 4 on: five pages, of which the last has the end of
 * the ring and the event. */
static void run_used_ring(uint64_t used_gpa)
{
	struct logged *l = logged_new(RIG_SPLIT | RIG_EVENT, 2048);
	uint64_t at = used_gpa != UINT64_MAX
			      ? used_gpa
			      : RING_GPA + l->rig->at.device_area;
	unsigned int skew = (unsigned int)(at % PAGE);

	logged_set(l, used_gpa);
	use_one(l, 1);
	assert_int_equal(ring_pages(l, at), 1);
	/* Up to the last element of a page; then the next page, too. */
	for (unsigned int i = 1; i < 2046; i++) {
		use_one(l, 1);
		assert_int_equal(ring_pages(l, at),
				 1 | 1ULL << (skew + 4 + i * 8) / PAGE |
					 1ULL << (skew + 11 + i * 8) / PAGE);
	}
	/* Round the end: its last page and the first. */
	use_one(l, 4);
	assert_int_equal(ring_pages(l, at),
			 1 | 1ULL << (skew + 4 + 2046 * 8) / PAGE |
				 1ULL << (skew + 3 + 2048 * 8) / PAGE);
	(void)vq_enable_kick(l->rig->vq);
	assert_int_equal(ring_pages(l, at),
			 1ULL << (skew + 4 + 2048 * 8) / PAGE);
	if (used_gpa != UINT64_MAX) {
		assert_int_equal(ring_pages(l, RING_GPA), 0);
	}
	logged_free(l);
}

static void test_log_used_ring_by_the_table(void **state)
{
	(void)state;
	run_used_ring(UINT64_MAX);
}

static void test_log_used_ring_by_its_own_address(void **state)
{
	(void)state;
	run_used_ring(USED_GPA);
	run_used_ring(USED_GPA + 8);
}

static void test_log_used_address_beyond_the_bitmap_h67(void **state)
{
	struct logged *l = logged_new(RIG_SPLIT, 8);

	(void)state;
	logged_set(l, TOP_GPA - PAGE);
	use_one(l, 1);
	assert_int_equal(mem_log_n_ignored(l->log), 0);
	assert_true(is_marked(l, TOP_GPA - PAGE));
	logged_set(l, TOP_GPA);
	use_one(l, 1);
	assert_true(mem_log_n_ignored(l->log) > 0);
	logged_set(l, UINT64_MAX - 1);
	use_one(l, 1);
	(void)vq_enable_kick(l->rig->vq);
	assert_int_equal(mem_log_n_ignored(l->log), 2);
	logged_set(l, UINT64_MAX); /* a log with no complaints, for the end */
	logged_free(l);
}

static void test_log_packed_ring(void **state)
{
	struct logged *l = logged_new(RIG_PACKED | RIG_EVENT, 1024);

	(void)state;
	for (unsigned int i = 0; i < 1022; i++) {
		use_one(l, 1);
		assert_int_equal(ring_pages(l, RING_GPA),
				 1ULL << i * 16 / PAGE);
	}
	use_one(l, 4);
	assert_int_equal(ring_pages(l, RING_GPA), 1ULL << 3 | 1);
	(void)vq_enable_kick(l->rig->vq);
	assert_int_equal(ring_pages(l, RING_GPA),
			 1ULL << l->rig->at.device_area / PAGE);
	logged_free(l);
}

/* ---- a model ---- */

#define MODEL_ROUNDS 60
#define MODEL_BUFS   64
#define MODEL_PIECES 4

struct model_buf {
	bool is_used;
	unsigned int n_readable;
	unsigned int n_writable;
	struct vq_sg sg[MODEL_PIECES];
	struct vq_chain *chain;
};

struct model {
	struct logged *l;
	uint64_t rng;
	struct model_buf bufs[MODEL_BUFS];
	struct model_buf *queue[MODEL_BUFS]; /* shown, oldest first */
	unsigned int n_queue;
	struct model_buf *held[MODEL_BUFS];
	unsigned int n_held;
	uint64_t written; /* pages of the buffers */
	char *old_ring;
	char *old_buf;
	unsigned int n_completed;
};

static uint32_t draw(struct model *m, uint32_t n)
{
	m->rng ^= m->rng << 13;
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	return (uint32_t)((m->rng >> 16) % n);
}

/* Maps @len bytes at @base in entries that meet anywhere. */
static void model_map(struct model *m, uint64_t base, const struct rig_mem *mem,
		      size_t len)
{
	struct rig *rig = m->l->rig;
	size_t at = 0;

	assert_true(iotlb_unmap(rig->tlb, base, base + mem->size - 1) > 0);
	while (at < len) {
		size_t n = 1 + draw(m, draw(m, 3) ? 3 * PAGE : 20 * PAGE);

		n = min_of(n, len - at);
		rig_map(rig, base + at, mem, at, n,
			draw(m, 2) ? REGION_OWN : REGION_MAPPED, MEM_PERM_RW);
		at += n;
	}
}

static void model_remap(struct model *m)
{
	struct rig *rig = m->l->rig;

	model_map(m, RIG_BUF_IOVA, &rig->buf, (size_t)N_BUF_PAGES * PAGE);
	model_map(m, RIG_RING_IOVA, &rig->ring, rig->ring.size);
	rig_set_snap(rig);
}

static void model_add(struct model *m)
{
	struct model_buf *buf = &m->bufs[draw(m, MODEL_BUFS)];
	unsigned int n = 1 + draw(m, MODEL_PIECES);

	if (buf->is_used) {
		return;
	}
	buf->n_readable = draw(m, n + 1);
	buf->n_writable = n - buf->n_readable;
	for (unsigned int i = 0; i < n; i++) {
		buf->sg[i] = rig_sg(draw(m, (N_BUF_PAGES - 3) * PAGE),
				    draw(m, draw(m, 4) ? 200 : 3 * PAGE));
	}
	if (vq_driver_add(m->l->rig->drv, buf->sg, buf->n_readable,
			  buf->n_writable, buf) == 0) {
		buf->is_used = true;
		m->queue[m->n_queue++] = buf;
	}
}

static void model_fetch(struct model *m)
{
	struct vq_chain *chains[VQ_BURST_MAX];
	int n = vq_fetch(m->l->rig->vq, chains, 1 + draw(m, 8));

	assert_in_range(n, 0, m->n_queue);
	for (int i = 0; i < n; i++) {
		m->queue[i]->chain = chains[i];
		m->held[m->n_held++] = m->queue[i];
	}
	m->n_queue -= (unsigned int)n;
	memmove(m->queue, m->queue + n, m->n_queue * sizeof(*m->queue));
}

/* Byte @pos of the writable part is written: which page is that? */
static void model_note(struct model *m, const struct model_buf *buf,
		       uint64_t pos)
{
	const struct vq_sg *sg = buf->sg + buf->n_readable;

	while (pos >= sg->len) {
		pos -= sg->len;
		sg++;
	}
	m->written |= BIT_ULL((sg->iova + pos - RIG_BUF_IOVA) / PAGE);
}

static void model_write(struct model *m, const struct model_buf *buf,
			uint32_t from, uint32_t to)
{
	char data[MODEL_PIECES * 3 * PAGE];

	for (uint32_t i = from; i < to; i++) {
		data[i] = (char)draw(m, 256);
		model_note(m, buf, i);
	}
	assert_int_equal(
		vq_chain_write(buf->chain, from, data + from, to - from), 0);
}

static void model_complete(struct model *m)
{
	unsigned int at = draw(m, m->n_held);
	struct model_buf *buf = m->held[at];
	uint32_t total = buf->chain->writable_bytes;
	uint32_t written = draw(m, total + 1);
	uint32_t tail = draw(m, 3) ? 0 : draw(m, written + 1);

	m->held[at] = m->held[--m->n_held];
	model_write(m, buf, 0, written - tail);
	model_write(m, buf, total - tail, total);
	buf->chain->tail_bytes = tail;
	vq_complete(m->l->rig->vq, buf->chain, written);
	m->n_completed++;
}

static void model_get(struct model *m)
{
	struct vq_used used;

	while (vq_driver_get(m->l->rig->drv, &used, 1) == 1) {
		struct model_buf *buf = used.cookie;

		buf->is_used = false;
	}
}

/* May the device write to this page of the ring? */
static bool is_devices(const struct rig *rig, size_t page_off)
{
	size_t from = rig->at.device_area;
	size_t to = from + (rig->is_packed ? 4 : 4 + rig->num * 8UL + 2);

	return (page_off < to && page_off + PAGE > from) ||
	       (rig->is_packed && page_off < rig->num * (size_t)SHM_DESC_SIZE);
}

/* Every byte of the ring that changed is in a page that is marked. */
static void check_ring(struct model *m)
{
	const struct rig *rig = m->l->rig;

	for (size_t off = 0; off < rig->ring.size; off += PAGE) {
		bool is_dirty = is_marked(m->l, RING_GPA + off);

		if (memcmp(rig->ring.va + off, m->old_ring + off, PAGE) != 0) {
			assert_true(is_dirty);
		}
		assert_true(!is_dirty || is_devices(rig, off));
	}
}

/* What the device does in one round, and whether all of it was marked. */
static void model_device(struct model *m)
{
	struct rig *rig = m->l->rig;
	unsigned int n = draw(m, m->n_held + 1);

	memset(m->l->bits, 0, sizeof(m->l->bits));
	m->written = 0;
	memcpy(m->old_ring, rig->ring.va, rig->ring.size);
	memcpy(m->old_buf, rig->buf.va, rig->buf.size);
	while (n--) {
		model_complete(m);
	}
	if (draw(m, 4)) {
		(void)vq_publish(rig->vq);
	}
	if (draw(m, 2)) {
		(void)vq_enable_kick(rig->vq);
	} else {
		vq_disable_kick(rig->vq);
	}
	check_ring(m);
	for (size_t page = 0; page < N_BUF_PAGES; page++) {
		if (memcmp(rig->buf.va + page * PAGE, m->old_buf + page * PAGE,
			   PAGE) != 0) {
			assert_true(is_marked(m->l, BUF_GPA + page * PAGE));
		}
	}
	assert_buf_pages(m->l, m->written);
}

static void model_run(struct model *m, uint64_t features, uint16_t num)
{
	*m = (struct model){ .rng = features * 31 + num };
	m->l = logged_new(features, num);
	m->old_ring = malloc(m->l->rig->ring.size);
	m->old_buf = malloc(m->l->rig->buf.size);
	for (unsigned int round = 0; round < MODEL_ROUNDS; round++) {
		if (draw(m, 8) == 0 && m->n_held == 0) {
			model_remap(m);
			logged_set(m->l, UINT64_MAX);
		}
		for (unsigned int i = draw(m, 12); i; i--) {
			model_add(m);
		}
		(void)vq_driver_publish(m->l->rig->drv);
		model_fetch(m);
		model_device(m);
		model_get(m);
	}
	assert_true(m->n_completed > MODEL_ROUNDS / 2);
	free(m->old_ring);
	free(m->old_buf);
	logged_free(m->l);
}

static void test_log_has_every_page_that_changed(void **state)
{
	static const uint64_t bits[] = { RIG_PACKED, RIG_INDIRECT, RIG_EVENT,
					 RIG_IN_ORDER };
	static const uint16_t nums[] = { 8, 64, 512 };
	struct model *m = calloc(1, sizeof(*m));

	(void)state;
	assert_non_null(m);
	for (unsigned int i = 0; i < 16 * ARRAY_SIZE(nums); i++) {
		uint64_t features = 0;

		for (unsigned int bit = 0; bit < ARRAY_SIZE(bits); bit++) {
			features |= has_bit(i, bit) ? bits[bit] : 0;
		}
		model_run(m, features, nums[i / 16]);
	}
	free(m);
}

#define LOG_TEST(name)                                                     \
	{ "test_split_" #name, test_##name, setup_split, teardown, NULL }, \
	{                                                                  \
		"test_packed_" #name, test_##name, setup_packed, teardown, \
			NULL                                               \
	}

static const struct CMUnitTest tests[] = {
	LOG_TEST(log_written_bytes_of_pieces),
	LOG_TEST(log_written_bytes_of_indirect),
	LOG_TEST(log_written_bytes_that_are_not_translated),
	LOG_TEST(log_leaves_holes_out),
	LOG_TEST(log_may_be_set_and_taken_at_any_time),
	cmocka_unit_test(test_log_in_order),
	cmocka_unit_test(test_log_used_ring_by_the_table),
	cmocka_unit_test(test_log_used_ring_by_its_own_address),
	cmocka_unit_test(test_log_used_address_beyond_the_bitmap_h67),
	cmocka_unit_test(test_log_packed_ring),
	cmocka_unit_test(test_log_has_every_page_that_changed),
};

TEST_MAIN("vq_log")
