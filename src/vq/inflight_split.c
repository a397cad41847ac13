/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inflight log of split queues. See inflight.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vq/inflight.h"

#include <string.h>

static struct inflight_split *log_of(const struct vq *vq)
{
	return (struct inflight_split *)(void *)vq->inflight->mem;
}

/* Are all entries that it claims to have there, and those that we need? */
static bool has_room(const struct vq *vq, const struct inflight_split *copy)
{
	size_t bytes = vq->inflight->mem_bytes - sizeof(*copy);

	return copy->desc_num >= vq->num &&
	       copy->desc_num <= bytes / sizeof(copy->desc[0]);
}

/* Nobody used it yet. It counts once it has a version. */
static void init_log(struct vq *vq)
{
	struct inflight_split *mem = log_of(vq);

	inflight_store(mem->features, 0);
	inflight_store(mem->desc_num, vq->num);
	inflight_store(mem->last_batch_head, 0);
	inflight_store(mem->used_idx, vq->used_idx);
	for (unsigned int i = 0; i < vq->num; i++) {
		inflight_store(mem->desc[i].inflight, 0);
	}
	inflight_store(mem->version, INFLIGHT_VERSION);
	vq->inflight->last_batch_head = 0;
}

/* Return: chains that it says are in flight; enum vq_break, negative */
static int count_inflight(const struct vq *vq,
			  const struct inflight_split *copy)
{
	int n = 0;

	for (unsigned int i = 0; i < copy->desc_num; i++) {
		if (copy->desc[i].inflight > 1 ||
		    (copy->desc[i].inflight && i >= vq->num)) {
			return -VQ_BREAK_INFLIGHT;
		}
		n += copy->desc[i].inflight;
	}
	return n;
}

/*
 * The last batch of @n was published, but the log may not say so of all of it.
 * What is in it is noted in is_again[], which is all false before and after.
 */
static int finish_batch(struct vq *vq, struct inflight_split *copy,
			unsigned int n)
{
	bool *is_in_batch = vq->inflight->is_again;
	uint16_t head = copy->last_batch_head;
	int rc = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (head >= vq->num || is_in_batch[head]) {
			rc = VQ_BREAK_INFLIGHT;
			break;
		}
		is_in_batch[head] = true;
		copy->desc[head].inflight = 0;
		head = copy->desc[head].next;
	}
	memset(is_in_batch, 0, vq->num * sizeof(*is_in_batch));
	return rc;
}

/* The copy says what is true: so does the log, then. */
static void write_back(struct vq *vq, const struct inflight_split *copy,
		       uint16_t used_idx)
{
	struct inflight_split *mem = log_of(vq);

	for (unsigned int i = 0; i < vq->num; i++) {
		if (!copy->desc[i].inflight) {
			inflight_store(mem->desc[i].inflight, 0);
		}
	}
	inflight_store(mem->used_idx, used_idx);
}

static void collect(struct vq *vq, const struct inflight_split *copy)
{
	struct vq_inflight *log = vq->inflight;

	for (uint16_t i = 0; i < vq->num; i++) {
		if (copy->desc[i].inflight) {
			log->again[log->n_again++] = (struct inflight_chain){
				.counter = copy->desc[i].counter,
				.id = i,
				.n_descs = 1,
			};
			log->n_left_descs++;
		}
	}
}

/*
 * Return: 0; enum vq_break. @copy is brought up to date with a ring whose used
 * index is @used_idx.
 */
static int check_log(struct vq *vq, struct inflight_split *copy,
		     uint16_t used_idx)
{
	unsigned int n_batch = (uint16_t)(used_idx - copy->used_idx);
	int n;

	if (copy->version != INFLIGHT_VERSION || !has_room(vq, copy)) {
		return VQ_BREAK_INFLIGHT;
	}
	n = count_inflight(vq, copy);
	/* A log of an earlier life of the ring says nothing, if it is empty. */
	if (n <= 0) {
		return -n;
	}
	return n_batch > vq->num ? VQ_BREAK_INFLIGHT
				 : finish_batch(vq, copy, n_batch);
}

int inflight_split_recover(struct vq *vq)
{
	struct inflight_split *copy = vq->inflight->copy;
	uint16_t used_idx;
	int rc;

	if (copy->version == 0) {
		init_log(vq);
		return 0;
	}
	if (split_load_used_idx(vq, &used_idx) < 0) {
		return -EAGAIN;
	}
	rc = check_log(vq, copy, used_idx);
	if (rc) {
		return rc;
	}
	write_back(vq, copy, used_idx);
	collect(vq, copy);
	vq->inflight->last_batch_head = copy->last_batch_head;
	split_set_idx(vq, used_idx, (uint16_t)vq->inflight->n_again);
	return 0;
}

void inflight_split_fetched(struct vq *vq, struct vq_chain *const *chains,
			    unsigned int n)
{
	struct inflight_split *mem = log_of(vq);

	for (unsigned int i = 0; i < n; i++) {
		struct inflight_split_desc *d = &mem->desc[chains[i]->head];

		inflight_store(d->counter, vq->inflight->next_counter++);
		inflight_store(d->inflight, 1);
	}
}

void inflight_split_unfetched(struct vq *vq, uint16_t id)
{
	inflight_store(log_of(vq)->desc[id].inflight, 0);
}

/* Also for a batch that could not be published, and has grown since: what it
 * begins with is linked to nonsense then, but nobody looks beyond a batch. */
void inflight_split_publish(struct vq *vq)
{
	struct inflight_split *mem = log_of(vq);
	uint16_t head = vq->inflight->last_batch_head;

	for (uint32_t i = 0; i < vq->n_done; i++) {
		uint16_t id = vq->done[i].id;

		inflight_store(mem->desc[id].next, head);
		inflight_store(mem->last_batch_head, id);
		head = id;
	}
	vq->inflight->last_batch_head = head;
}

void inflight_split_published(struct vq *vq)
{
	struct inflight_split *mem = log_of(vq);

	for (uint32_t i = 0; i < vq->n_done; i++) {
		inflight_store(mem->desc[vq->done[i].id].inflight, 0);
	}
	inflight_store(mem->used_idx, vq->used_idx);
}
