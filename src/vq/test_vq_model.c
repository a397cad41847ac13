/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of a queue, and both sides of one driven at random against it.
 *
 * Theory of operation
 *
 * Each buffer has an area of memory. Its pieces stand there with gaps between;
 * readable bytes are a pattern of the buffer's own, all others canaries. At
 * random, buffers are added, shown, fetched, given back, completed with so
 * many bytes written, published, taken; the queue is stopped and started from
 * its state; memory is mapped anew in pieces of all kinds that meet at random
 * bytes, with a hole now and then, and the ring too. The device must see the
 * buffers in order with their bytes; the driver must get back what the device
 * said; and every byte of the area must be what it ought to be.
 *
 * A failing seed is printed, and VQ_MODEL_SEED=seed runs it alone.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "vq/test_vq_rig.h"

#define MAX_NUM	   64
#define MAX_PIECES 12
#define AREA_BYTES 2048
#define N_STEPS	   4000
#define N_SEEDS	   4

enum buf_state {
	BUF_FREE,
	BUF_ADDED,
	BUF_AVAILABLE,
	BUF_FETCHED,
	BUF_COMPLETED,
	BUF_PUBLISHED,
};

struct buf {
	enum buf_state state;
	unsigned int idx; /* of its area */
	unsigned int n_readable;
	unsigned int n_writable;
	struct vq_sg sg[MAX_PIECES];
	uint32_t readable_bytes;
	uint32_t writable_bytes;
	uint32_t written;
	uint32_t tail;
	uint64_t fetch_seq;
	uint8_t pattern;
	struct vq_chain *chain;
};

struct model {
	struct rig *rig;
	uint64_t seed;
	uint64_t rng;
	bool is_done;

	struct buf bufs[MAX_NUM];
	struct buf *queue[MAX_NUM]; /* added and not fetched, oldest first */
	unsigned int n_queue;
	unsigned int n_shown; /* of the queue: available */
	struct buf *fetched[MAX_NUM]; /* not completed, oldest first */
	unsigned int n_fetched;
	uint64_t next_seq;
	uint64_t max_published_seq;
	uint64_t hole_start; /* in the newest snapshot; start == end: none */
	uint64_t hole_end;
	bool is_ring_mapped;
	bool has_to_call; /* the driver was told that it may sleep */
	bool has_to_kick;
	uint64_t n_got;
};

static uint32_t draw(struct model *m, uint32_t n)
{
	m->rng ^= m->rng << 13;
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	return (uint32_t)((m->rng >> 16) % n);
}

static char *area_of(const struct model *m, const struct buf *buf)
{
	return m->rig->buf.va + (size_t)buf->idx * AREA_BYTES;
}

static uint8_t readable_byte(const struct buf *buf, uint32_t pos)
{
	return (uint8_t)(buf->pattern + pos * 7);
}

static uint8_t written_byte(const struct buf *buf, uint32_t pos)
{
	return (uint8_t)(buf->pattern * 3 + pos * 5 + 1);
}

static bool is_written(const struct buf *buf, uint32_t pos)
{
	return pos < buf->written - buf->tail ||
	       pos >= buf->writable_bytes - buf->tail;
}

/* What must stand in the area; @has_result: what the device wrote, too. */
static void expect_area(const struct model *m, const struct buf *buf,
			bool has_result, uint8_t *ret)
{
	uint32_t pos[2] = { 0 };

	memset(ret, RIG_CANARY, AREA_BYTES);
	for (unsigned int i = 0; i < buf->n_readable + buf->n_writable; i++) {
		bool is_writable = i >= buf->n_readable;
		uint64_t off = buf->sg[i].iova - RIG_BUF_IOVA -
			       (uint64_t)buf->idx * AREA_BYTES;

		for (uint32_t k = 0; k < buf->sg[i].len; k++) {
			uint32_t at = pos[is_writable]++;

			if (!is_writable) {
				ret[off + k] = readable_byte(buf, at);
			} else if (has_result && is_written(buf, at)) {
				ret[off + k] = written_byte(buf, at);
			}
		}
	}
}

static void draw_pieces(struct model *m, struct buf *buf)
{
	unsigned int max = min_of(m->rig->num, MAX_PIECES);
	unsigned int n = 1 + draw(m, draw(m, 3) ? min_of(max, 3U) : max);
	uint64_t at = RIG_BUF_IOVA + (uint64_t)buf->idx * AREA_BYTES;

	buf->n_readable = draw(m, n + 1);
	buf->n_writable = n - buf->n_readable;
	buf->readable_bytes = 0;
	buf->writable_bytes = 0;
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = draw(m, 20) ? 1 + draw(m, 100) : 0;

		at += draw(m, 60);
		buf->sg[i] = (struct vq_sg){ at, len };
		at += len;
		if (i < buf->n_readable) {
			buf->readable_bytes += len;
		} else {
			buf->writable_bytes += len;
		}
	}
}

static void do_add(struct model *m)
{
	struct buf *buf = NULL;
	int rc;

	for (unsigned int i = 0; i < m->rig->num; i++) {
		if (m->bufs[i].state == BUF_FREE) {
			buf = &m->bufs[i];
			break;
		}
	}
	if (!buf) {
		return;
	}
	draw_pieces(m, buf);
	buf->pattern = (uint8_t)draw(m, 256);
	expect_area(m, buf, false, (uint8_t *)area_of(m, buf));
	rc = vq_driver_add(m->rig->drv, buf->sg, buf->n_readable,
			   buf->n_writable, buf);
	if (rc == -ENOSPC) {
		assert_true(vq_driver_n_free(m->rig->drv) <
			    buf->n_readable + buf->n_writable);
		return;
	}
	assert_int_equal(rc, 0);
	buf->state = BUF_ADDED;
	m->queue[m->n_queue++] = buf;
}

static void do_show(struct model *m)
{
	bool has_new = m->n_shown < m->n_queue;
	bool wants_kick = vq_driver_publish(m->rig->drv);

	assert_true(!wants_kick || has_new);
	if (has_new && m->has_to_kick) {
		assert_true(wants_kick);
		m->has_to_kick = false;
	}
	for (; m->n_shown < m->n_queue; m->n_shown++) {
		m->queue[m->n_shown]->state = BUF_AVAILABLE;
	}
}

/* Does a piece that has bytes lie in the hole, at least with one? */
static bool meets_hole(const struct model *m, const struct buf *buf)
{
	for (unsigned int i = 0; i < buf->n_readable + buf->n_writable; i++) {
		const struct vq_sg *sg = &buf->sg[i];

		if (sg->iova < m->hole_end && sg->len &&
		    sg->iova + sg->len > m->hole_start) {
			return true;
		}
	}
	return false;
}

static void check_fetched(struct model *m, struct buf *buf)
{
	struct vq_chain *chain = buf->chain;
	uint8_t data[AREA_BYTES];

	assert_int_equal(chain->readable_bytes, buf->readable_bytes);
	assert_int_equal(chain->writable_bytes, buf->writable_bytes);
	assert_int_equal(chain->is_faulty, meets_hole(m, buf));
	if (chain->is_faulty) {
		return;
	}
	assert_int_equal(vq_chain_read(chain, 0, data, chain->readable_bytes),
			 0);
	for (uint32_t i = 0; i < buf->readable_bytes; i++) {
		assert_int_equal(data[i], readable_byte(buf, i));
	}
}

static void do_fetch(struct model *m)
{
	struct vq_chain *chains[VQ_BURST_MAX];
	unsigned int max = 1 + draw(m, VQ_BURST_MAX);
	int n = vq_fetch(m->rig->vq, chains, max);

	if (!m->is_ring_mapped) {
		assert_int_equal(n, -EAGAIN);
		return;
	}
	assert_in_range(n, 0, m->n_shown);
	assert_true(n > 0 || m->n_shown == 0);
	for (int i = 0; i < n; i++) {
		struct buf *buf = m->queue[i];

		buf->chain = chains[i];
		buf->state = BUF_FETCHED;
		buf->fetch_seq = ++m->next_seq;
		check_fetched(m, buf);
		m->fetched[m->n_fetched++] = buf;
	}
	m->n_queue -= (unsigned int)n;
	m->n_shown -= (unsigned int)n;
	memmove(m->queue, m->queue + n, m->n_queue * sizeof(*m->queue));
}

/* Puts a buffer in front of the queue again. */
static void push_front(struct model *m, struct buf *buf)
{
	memmove(m->queue + 1, m->queue, m->n_queue * sizeof(*m->queue));
	m->queue[0] = buf;
	m->n_queue++;
	m->n_shown++;
	buf->state = BUF_AVAILABLE;
}

static void do_unfetch(struct model *m)
{
	unsigned int n = 0, max = draw(m, 8);

	/* The newest, as long as none of them was completed. */
	while (n < max && n < m->n_fetched &&
	       m->fetched[m->n_fetched - 1 - n]->fetch_seq == m->next_seq - n) {
		n++;
	}
	vq_unfetch(m->rig->vq, n);
	m->next_seq -= n;
	for (; n; n--) {
		push_front(m, m->fetched[--m->n_fetched]);
	}
}

static void do_complete(struct model *m)
{
	unsigned int at = draw(m, m->n_fetched + 1);
	struct buf *buf = m->fetched[at];

	if (at == m->n_fetched) {
		return;
	}
	memmove(m->fetched + at, m->fetched + at + 1,
		(--m->n_fetched - at) * sizeof(buf));
	buf->written = 0;
	buf->tail = 0;
	if (!buf->chain->is_faulty) {
		buf->written = draw(m, buf->writable_bytes + 1);
		buf->tail = draw(m, 3) ? 0 : draw(m, buf->written + 1);
	}
	for (uint32_t i = 0; i < buf->writable_bytes; i++) {
		uint8_t byte = written_byte(buf, i);

		if (is_written(buf, i)) {
			assert_int_equal(
				vq_chain_write(buf->chain, i, &byte, 1), 0);
		}
	}
	buf->chain->tail_bytes = buf->tail;
	vq_complete(m->rig->vq, buf->chain, buf->written);
	buf->state = BUF_COMPLETED;
}

/* In-order: is something older than @buf not completed? */
static bool has_to_wait(const struct model *m, const struct buf *buf)
{
	return has_bit(m->rig->features, VIRTIO_F_IN_ORDER) && m->n_fetched &&
	       m->fetched[0]->fetch_seq < buf->fetch_seq;
}

static void do_publish(struct model *m)
{
	bool wants_call = vq_publish(m->rig->vq), has_new = false;

	if (!m->is_ring_mapped) {
		assert_false(wants_call);
		return;
	}
	for (unsigned int i = 0; i < m->rig->num; i++) {
		struct buf *buf = &m->bufs[i];

		if (buf->state == BUF_COMPLETED && !has_to_wait(m, buf)) {
			buf->state = BUF_PUBLISHED;
			m->max_published_seq =
				max_of(m->max_published_seq, buf->fetch_seq);
			has_new = true;
		}
	}
	assert_true(!wants_call || has_new);
	if (has_new && m->has_to_call) {
		assert_true(wants_call);
		m->has_to_call = false;
	}
}

static void do_get(struct model *m)
{
	struct vq_used used[8];
	unsigned int max = 1 + draw(m, 8);
	int n = vq_driver_get(m->rig->drv, used, max);

	assert_in_range(n, 0, max);
	for (int i = 0; i < n; i++) {
		struct buf *buf = used[i].cookie;
		uint8_t want[AREA_BYTES];

		assert_int_equal(buf->state, BUF_PUBLISHED);
		assert_int_equal(used[i].written, buf->written);
		expect_area(m, buf, true, want);
		assert_memory_equal(area_of(m, buf), want, AREA_BYTES);
		buf->state = BUF_FREE;
		m->n_got++;
	}
	for (unsigned int i = 0; n < (int)max && i < m->rig->num; i++) {
		assert_int_not_equal(m->bufs[i].state, BUF_PUBLISHED);
	}
}

/* May what is not published be fetched again from the saved state? */
static bool can_restart(const struct model *m)
{
	for (unsigned int i = 0; i < m->rig->num; i++) {
		const struct buf *buf = &m->bufs[i];

		if ((buf->state == BUF_FETCHED ||
		     buf->state == BUF_COMPLETED) &&
		    buf->fetch_seq < m->max_published_seq) {
			return false;
		}
	}
	return true;
}

static void do_restart(struct model *m)
{
	struct vq_state at;

	if (!can_restart(m)) {
		return;
	}
	vq_get_state(m->rig->vq, &at);
	vq_stop(m->rig->vq);
	assert_int_equal(rig_start(m->rig, &at), 0);
	/* Newest first, so that the oldest is in front in the end. */
	for (; m->next_seq > m->max_published_seq; m->next_seq--) {
		for (unsigned int i = 0; i < m->rig->num; i++) {
			struct buf *buf = &m->bufs[i];
			uint8_t *area = (uint8_t *)area_of(m, buf);

			if ((buf->state == BUF_FETCHED ||
			     buf->state == BUF_COMPLETED) &&
			    buf->fetch_seq == m->next_seq) {
				push_front(m, buf);
				expect_area(m, buf, false, area);
			}
		}
	}
	m->n_fetched = 0;
	m->has_to_kick = false; /* the new owner looks by itself */
}

static void map_range(struct model *m, const struct rig_mem *mem, uint64_t base,
		      uint64_t from, uint64_t to)
{
	if (from < to) {
		rig_map(m->rig, from, mem, from - base, to - from,
			draw(m, REGION_KIND_N), MEM_PERM_RW);
	}
}

static void do_map_buffers(struct model *m)
{
	const uint64_t base = RIG_BUF_IOVA;
	const uint64_t end = base + MAX_NUM * AREA_BYTES;
	uint64_t at = base, cut;

	(void)iotlb_unmap(m->rig->tlb, base, base + RIG_BUF_BYTES - 1);
	m->hole_start = m->hole_end = base;
	if (draw(m, 4) == 0) {
		m->hole_start = base + draw(m, (uint32_t)(end - base - 2048));
		m->hole_end = m->hole_start + 1 + draw(m, 2047);
	}
	while (at < end) {
		cut = at + 1 + draw(m, draw(m, 2) ? 100 : 20000);
		cut = min_of(cut, end);
		if (at < m->hole_start || at >= m->hole_end) {
			if (at < m->hole_start) {
				cut = min_of(cut, m->hole_start);
			}
			map_range(m, &m->rig->buf, base, at, cut);
			at = max_of(at, cut);
		} else {
			at = m->hole_end;
		}
		if (at == m->hole_start) {
			at = m->hole_end;
		}
	}
	rig_set_snap(m->rig);
}

static void do_map_ring(struct model *m)
{
	const uint64_t base = RIG_RING_IOVA;
	uint64_t end = base + m->rig->ring.size;
	uint64_t cut = base + draw(m, (uint32_t)m->rig->at.size_bytes);

	(void)iotlb_unmap(m->rig->tlb, base, end - 1);
	m->is_ring_mapped = draw(m, 4) > 0;
	if (m->is_ring_mapped && draw(m, 2)) {
		map_range(m, &m->rig->ring, base, base, cut);
		map_range(m, &m->rig->ring, base, cut, end);
	} else if (m->is_ring_mapped) {
		rig_map(m->rig, base, &m->rig->ring, 0, end - base, REGION_OWN,
			MEM_PERM_RW);
	}
	rig_set_snap(m->rig);
	m->has_to_kick = m->has_to_kick && m->is_ring_mapped;
}

static void do_arm(struct model *m)
{
	switch (draw(m, 4)) {
	case 0:
		m->has_to_call = !vq_driver_enable_call(m->rig->drv);
		break;
	case 1:
		vq_driver_disable_call(m->rig->drv);
		m->has_to_call = false;
		break;
	case 2:
		m->has_to_kick = !vq_enable_kick(m->rig->vq) &&
				 m->is_ring_mapped;
		break;
	default:
		vq_disable_kick(m->rig->vq);
		m->has_to_kick = false;
		break;
	}
}

static void step(struct model *m)
{
	static void (*const usual[])(struct model *) = {
		do_add,	     do_add,	 do_add,      do_show,
		do_fetch,    do_fetch,	 do_complete, do_complete,
		do_complete, do_publish, do_get,      do_arm,
	};
	static void (*const rare[])(struct model *) = {
		do_unfetch, do_unfetch, do_restart, do_map_buffers, do_map_ring,
	};

	if (draw(m, 12)) {
		usual[draw(m, ARRAY_SIZE(usual))](m);
	} else {
		rare[draw(m, ARRAY_SIZE(rare))](m);
	}
	assert_int_equal(vq_broken(m->rig->vq), VQ_OK);
	assert_false(vq_is_starved(m->rig->vq));
	assert_true(m->n_fetched || !vq_has_old_chains(m->rig->vq));
}

static void run_seed(struct model *m, uint64_t seed, uint64_t features)
{
	static const uint16_t nums[2][3] = { { 4, 16, 64 }, { 3, 17, 64 } };
	bool is_packed = features & RIG_PACKED;

	*m = (struct model){ .seed = seed, .n_got = m->n_got };
	m->rng = seed * 0x9e3779b97f4a7c15ULL + features + 1;
	m->rig = rig_new(features, nums[is_packed][draw(m, 3)]);
	m->is_ring_mapped = true;
	for (unsigned int i = 0; i < MAX_NUM; i++) {
		m->bufs[i].idx = i;
	}
	for (unsigned int i = 0; i < N_STEPS; i++) {
		step(m);
	}
	rig_free(m->rig);
}

static uint64_t features_of(unsigned int set)
{
	static const uint64_t bits[] = { RIG_PACKED, RIG_INDIRECT, RIG_EVENT,
					 RIG_IN_ORDER };
	uint64_t features = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
		features |= has_bit(set, i) ? bits[i] : 0;
	}
	return features;
}

static void test_both_sides_agree_with_the_model(void **state)
{
	const char *only = getenv("VQ_MODEL_SEED");
	uint64_t first = only ? strtoull(only, NULL, 0) : 1;
	uint64_t n = only ? 1 : N_SEEDS;
	struct model *m = *state;

	for (uint64_t seed = first; seed < first + n; seed++) {
		for (unsigned int set = 0; set < 16; set++) {
			run_seed(m, seed, features_of(set));
		}
	}
	assert_true(m->n_got > n * 16 * N_STEPS / 50);
	m->is_done = true;
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct model));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct model *m = *state;

	if (!m->is_done && m->rig) {
		print_message("# seed %llu, features 0x%llx\n",
			      (unsigned long long)m->seed,
			      (unsigned long long)m->rig->features);
	}
	free(m);
	return 0;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_both_sides_agree_with_the_model,
					setup, teardown),
};

TEST_MAIN("vq_model")
