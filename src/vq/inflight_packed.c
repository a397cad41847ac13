/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inflight log of packed queues. See inflight.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vq/inflight.h"

#include <assert.h>
#include <string.h>

#include "vq/walk.h"

/* Nothing but the chain's own bits in the flags that a log holds. */
#define FLAGS_OF_CHAIN (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

static struct inflight_packed *log_of(const struct vq *vq)
{
	return (struct inflight_packed *)(void *)vq->inflight->mem;
}

/* Both heads at once: the free list begins here, and that is final. */
static void store_heads(struct inflight_packed *mem, uint16_t head)
{
	const struct inflight_heads heads = { head, head };
	uint32_t word;

	memcpy(&word, &heads, sizeof(word));
	__atomic_store_n((uint32_t *)(void *)&mem->heads, word,
			 __ATOMIC_RELEASE);
}

static void store_used(struct inflight_packed *mem, struct inflight_used used)
{
	uint64_t word;

	memcpy(&word, &used, sizeof(word));
	__atomic_store_n((uint64_t *)(void *)&mem->used, word,
			 __ATOMIC_RELEASE);
}

static void store_used_final(struct vq *vq)
{
	store_used(log_of(vq), (struct inflight_used){
				       .used_idx = vq->used_idx,
				       .old_used_idx = vq->used_idx,
				       .used_wrap = vq->used_wrap,
				       .old_used_wrap = vq->used_wrap,
			       });
}

/* ---- while the queue runs ---- */

/* The descriptors of one chain, which is the next of the ring at *pos. Return:
 * 0; -EFAULT the ring cannot be read any more */
static int note_descs(struct vq *vq, const struct vq_chain *chain,
		      uint16_t *pos, struct inflight_entries *ret)
{
	struct vq_inflight *log = vq->inflight;
	uint16_t e = log->free_head;

	ret->first = e;
	for (unsigned int i = 0; i < chain->n_descs; i++) {
		struct inflight_packed_desc *to = &log_of(vq)->desc[e];
		struct shm_desc d;

		if (packed_load_desc(vq, *pos, &d) < 0) {
			return -EFAULT;
		}
		inflight_store(to->addr, d.addr);
		inflight_store(to->len, shm_desc_len(d.meta));
		inflight_store(to->flags, shm_packed_flags(d.meta));
		inflight_store(to->id, chain->head);
		ret->last = e;
		e = log->next[e];
		*pos = (uint16_t)(*pos + 1 == vq->num ? 0 : *pos + 1);
	}
	return 0;
}

static int note_chain(struct vq *vq, const struct vq_chain *chain,
		      uint16_t *pos)
{
	struct vq_inflight *log = vq->inflight;
	struct inflight_packed *mem = log_of(vq);
	struct inflight_packed_desc *first;
	struct inflight_entries entries;

	if (note_descs(vq, chain, pos, &entries) < 0) {
		return -EFAULT;
	}
	first = &mem->desc[entries.first];
	inflight_store(first->last, entries.last);
	inflight_store(first->num, chain->n_descs);
	inflight_store(first->counter, log->next_counter++);
	inflight_store(first->inflight, 1);
	log->free_head = log->next[entries.last];
	store_heads(mem, log->free_head); /* this counts */
	log->entries[chain->head] = entries;
	return 0;
}

unsigned int inflight_packed_fetched(struct vq *vq,
				     struct vq_chain *const *chains,
				     unsigned int n)
{
	uint16_t pos = vq->avail_idx;
	bool wrap = vq->avail_wrap;
	uint32_t n_descs = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		n_descs += chains[i]->n_descs;
	}
	vq_step_back(vq, &pos, &wrap, n_descs);
	for (i = 0; i < n; i++) {
		if (note_chain(vq, chains[i], &pos) < 0) {
			break;
		}
	}
	return i;
}

/* Puts the entries of a chain in front of a free list that begins at @head. */
static uint16_t link_entries(struct vq *vq, uint16_t id, uint16_t head)
{
	const struct inflight_entries *entries = &vq->inflight->entries[id];

	assert(entries->first != INFLIGHT_NONE);
	vq->inflight->next[entries->last] = head;
	inflight_store(log_of(vq)->desc[entries->last].next, head);
	return entries->first;
}

/* Its entries are free: says so last that it is not in flight, which whoever
 * finds it in the free list takes for granted. */
static void forget_chain(struct vq *vq, uint16_t id)
{
	struct inflight_entries *entries = &vq->inflight->entries[id];

	inflight_store(log_of(vq)->desc[entries->first].inflight, 0);
	entries->first = INFLIGHT_NONE;
}

void inflight_packed_unfetched(struct vq *vq, uint16_t id)
{
	struct vq_inflight *log = vq->inflight;

	if (log->entries[id].first != INFLIGHT_NONE) {
		log->free_head = link_entries(vq, id, log->free_head);
		store_heads(log_of(vq), log->free_head); /* this counts */
		forget_chain(vq, id);
	}
}

/* Also for a batch that could not be published before: it is linked anew. */
void inflight_packed_publish(struct vq *vq)
{
	struct inflight_packed *mem = log_of(vq);
	uint16_t head = vq->inflight->free_head, idx = vq->used_idx;
	bool wrap = vq->used_wrap;

	for (uint32_t i = 0; i < vq->n_done; i++) {
		head = link_entries(vq, vq->done[i].id, head);
		inflight_store(mem->heads.free_head, head);
		vq_step(vq, &idx, &wrap, vq->done[i].n_descs);
	}
	store_used(mem, (struct inflight_used){
				.used_idx = idx,
				.old_used_idx = vq->used_idx,
				.used_wrap = wrap,
				.old_used_wrap = vq->used_wrap,
			});
}

void inflight_packed_published(struct vq *vq)
{
	struct vq_inflight *log = vq->inflight;

	for (uint32_t i = 0; i < vq->n_done; i++) {
		uint16_t id = vq->done[i].id;

		log->free_head = log->entries[id].first;
		forget_chain(vq, id);
	}
	store_heads(log_of(vq), log->free_head);
	store_used_final(vq);
}

/* ---- at the start ---- */

/* Nobody used it yet. It counts once it has a version. */
static void init_log(struct vq *vq)
{
	struct inflight_packed *mem = log_of(vq);

	inflight_store(mem->features, 0);
	inflight_store(mem->desc_num, vq->num);
	for (uint16_t i = 0; i < vq->num; i++) {
		vq->inflight->next[i] = (uint16_t)(i + 1);
		vq->inflight->entries[i].first = INFLIGHT_NONE;
		inflight_store(mem->desc[i].next, (uint16_t)(i + 1));
		inflight_store(mem->desc[i].inflight, 0);
	}
	vq->inflight->free_head = 0;
	store_heads(mem, 0);
	store_used_final(vq);
	inflight_store(mem->version, INFLIGHT_VERSION);
}

static bool is_sound(const struct vq *vq, const struct inflight_packed *copy)
{
	size_t bytes = vq->inflight->mem_bytes - sizeof(*copy);
	const struct inflight_used *used = &copy->used;

	return copy->version == INFLIGHT_VERSION && copy->desc_num >= vq->num &&
	       copy->desc_num <= bytes / sizeof(copy->desc[0]) &&
	       used->used_idx < vq->num && used->old_used_idx < vq->num &&
	       used->used_wrap <= 1 && used->old_used_wrap <= 1;
}

/*
 * Makes of the copy's two states the one that is true. Return: 0; -EAGAIN
 */
static int decide(struct vq *vq, struct inflight_packed *copy)
{
	struct inflight_used *used = &copy->used;
	struct shm_desc d;

	if (used->used_idx != used->old_used_idx ||
	    used->used_wrap != used->old_used_wrap) {
		if (packed_load_desc(vq, used->old_used_idx, &d) < 0) {
			return -EAGAIN;
		}
		if (!packed_is_available(d, used->old_used_wrap)) {
			return 0; /* the driver was shown the batch */
		}
	}
	copy->heads.free_head = copy->heads.old_free_head;
	used->used_idx = used->old_used_idx;
	used->used_wrap = used->old_used_wrap;
	return 0;
}

/*
 * What the entries are, found in one look at each: a list of free ones, chains,
 * or lost. Entries are seen once at most, so no loop is followed.
 */
struct survey {
	struct vq *vq;
	struct inflight_packed *copy;
	bool *is_seen; /* by entry */
	uint32_t n_free;
	uint32_t n_chained;
};

static bool see(struct survey *s, uint16_t e)
{
	if (e >= s->copy->desc_num || s->is_seen[e]) {
		return false;
	}
	s->is_seen[e] = true;
	return true;
}

static int survey_free(struct survey *s)
{
	uint16_t e = s->copy->heads.free_head;

	/* Ends: see() is true once for each entry. */
	while (e < s->copy->desc_num) {
		if (!see(s, e)) {
			return VQ_BREAK_INFLIGHT;
		}
		s->copy->desc[e].inflight = 0;
		s->n_free++;
		e = s->copy->desc[e].next;
	}
	return 0;
}

/* The entries from @first on are those of a chain. @ret_last: the last */
static int survey_entries(struct survey *s, uint16_t first, uint16_t *ret_last)
{
	unsigned int n = s->copy->desc[first].num;
	uint16_t e = first;

	if (n == 0 || n > s->vq->num) {
		return VQ_BREAK_INFLIGHT;
	}
	for (unsigned int i = 0; i < n; i++) {
		if (!see(s, e)) {
			return VQ_BREAK_INFLIGHT;
		}
		*ret_last = e;
		e = s->copy->desc[e].next;
	}
	return *ret_last == s->copy->desc[first].last ? 0 : VQ_BREAK_INFLIGHT;
}

static int survey_chain(struct survey *s, uint16_t first)
{
	struct vq_inflight *log = s->vq->inflight;
	const struct inflight_packed_desc *d = &s->copy->desc[first];
	uint16_t last, id;

	if (survey_entries(s, first, &last) || log->n_again == s->vq->num) {
		return VQ_BREAK_INFLIGHT;
	}
	id = s->copy->desc[last].id;
	if (id >= s->vq->num || log->entries[id].first != INFLIGHT_NONE) {
		return VQ_BREAK_INFLIGHT;
	}
	log->entries[id] = (struct inflight_entries){ first, last };
	log->again[log->n_again++] = (struct inflight_chain){
		.counter = d->counter,
		.id = id,
		.first = first,
		.n_descs = d->num,
	};
	s->n_chained += d->num;
	return 0;
}

/* Return: 0; enum vq_break */
static int survey_all(struct survey *s)
{
	int rc = survey_free(s);

	for (uint16_t i = 0; i < s->copy->desc_num && rc == 0; i++) {
		if (s->copy->desc[i].inflight > 1) {
			rc = VQ_BREAK_INFLIGHT;
		} else if (s->copy->desc[i].inflight) {
			rc = survey_chain(s, i);
		}
	}
	if (rc == 0 && (s->n_chained > s->vq->num ||
			s->n_free + s->n_chained < s->vq->num)) {
		rc = VQ_BREAK_INFLIGHT;
	}
	return rc;
}

/* The copy is true: so is the log then, and what we keep of it. */
static void write_back(struct vq *vq, const struct inflight_packed *copy)
{
	struct vq_inflight *log = vq->inflight;
	struct inflight_packed *mem = log_of(vq);

	for (uint16_t i = 0; i < copy->desc_num; i++) {
		log->next[i] = copy->desc[i].next;
	}
	log->free_head = copy->heads.free_head;
	store_heads(mem, log->free_head);
	for (uint16_t i = 0; i < copy->desc_num; i++) {
		if (!copy->desc[i].inflight) {
			inflight_store(mem->desc[i].inflight, 0);
		}
	}
	store_used_final(vq);
}

/* The ring goes on behind what is in flight. */
static void set_positions(struct vq *vq, const struct inflight_used *used,
			  uint32_t n_in_flight)
{
	vq->used_idx = used->used_idx;
	vq->used_wrap = used->used_wrap;
	vq->avail_idx = vq->used_idx;
	vq->avail_wrap = vq->used_wrap;
	vq_step(vq, &vq->avail_idx, &vq->avail_wrap, n_in_flight);
	vq->inflight->n_left_descs = n_in_flight;
}

int inflight_packed_recover(struct vq *vq)
{
	struct vq_inflight *log = vq->inflight;
	struct inflight_packed *copy = log->copy;
	struct survey s = { vq, copy, log->is_again };
	int rc;

	if (copy->version == 0) {
		init_log(vq);
		return 0;
	}
	if (!is_sound(vq, copy)) {
		return VQ_BREAK_INFLIGHT;
	}
	rc = decide(vq, copy);
	if (rc) {
		return rc;
	}
	for (unsigned int i = 0; i < vq->num; i++) {
		log->entries[i].first = INFLIGHT_NONE;
	}
	rc = survey_all(&s);
	memset(s.is_seen, 0, copy->desc_num * sizeof(*s.is_seen));
	if (rc == 0) {
		rc = packed_take_back_used(vq, copy->used.used_idx,
					   copy->used.used_wrap, s.n_chained);
	}
	if (rc) {
		return rc;
	}
	set_positions(vq, &copy->used, s.n_chained);
	write_back(vq, copy);
	return 0;
}

/* ---- what was in flight then ---- */

/* The ring's descriptors may be gone: the log has them. */
static int walk_logged(struct vq *vq, struct walk *w,
		       const struct inflight_chain *c)
{
	const struct inflight_packed *copy = vq->inflight->copy;
	uint16_t e = c->first;
	int rc = 0;

	for (unsigned int i = 0; i < c->n_descs && rc == 0; i++) {
		const struct inflight_packed_desc *d = &copy->desc[e];
		unsigned int flags = d->flags & FLAGS_OF_CHAIN;

		if (flags & VRING_DESC_F_INDIRECT) {
			return i + 1 < c->n_descs
				       ? VQ_BREAK_INDIRECT
				       : walk_indirect(vq, w, d->addr, d->len);
		}
		rc = walk_add(vq, w, d->addr, d->len,
			      flags & VRING_DESC_F_WRITE);
		e = d->next;
	}
	return rc;
}

/* Return: as the walk */
int inflight_packed_fetch(struct vq *vq, const struct inflight_chain *c,
			  struct vq_chain **ret_chain)
{
	struct vq_slot *slot = &vq->slots[c->id];
	struct walk w;
	int rc;

	walk_init(vq, &w, slot);
	rc = walk_logged(vq, &w, c);
	if (rc == 0) {
		slot->chain.head = c->id;
		slot->chain.n_descs = c->n_descs;
		rc = walk_finish(vq, &w);
	}
	if (rc) {
		walk_abort(vq, &w);
		return rc;
	}
	vq_fetched(vq, slot, c->id, &vq->order_tail);
	vq->n_unpublished_descs += c->n_descs;
	*ret_chain = &slot->chain;
	return 0;
}
