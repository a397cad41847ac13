/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inflight log: what both formats share. See inflight.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vq/inflight.h"

#include <assert.h>
#include <linux/virtio_config.h>
#include <stdlib.h>

#include "base/err.h"

static size_t header_bytes(bool is_packed)
{
	return is_packed ? sizeof(struct inflight_packed)
			 : sizeof(struct inflight_split);
}

static size_t entry_bytes(bool is_packed)
{
	return is_packed ? sizeof(struct inflight_packed_desc)
			 : sizeof(struct inflight_split_desc);
}

static size_t log_bytes(size_t n, bool is_packed)
{
	return header_bytes(is_packed) + n * entry_bytes(is_packed);
}

size_t vq_inflight_bytes(uint16_t num, bool is_packed)
{
	return align_up(log_bytes(num, is_packed), INFLIGHT_ALIGN);
}

static int check_setup(const struct vq_setup *setup, bool is_packed)
{
	struct region *region = setup->inflight;
	uint64_t offset = setup->inflight_offset;

	if (!region_va(region) || !(region_perm(region) & MEM_PERM_WO)) {
		return err(-EINVAL, "vq: the inflight log cannot be written");
	}
	if (!range_fits(offset, setup->inflight_bytes, region_size(region)) ||
	    ((uintptr_t)region_va(region) + offset) % sizeof(uint64_t) != 0) {
		return err(-EINVAL, "vq: the inflight log is not in its "
				    "memory, or not aligned");
	}
	if (setup->inflight_bytes < log_bytes(setup->num, is_packed)) {
		return err(-EINVAL,
			   "vq: an inflight log of %llu bytes is too "
			   "small for size %u",
			   (unsigned long long)setup->inflight_bytes,
			   setup->num);
	}
	return 0;
}

/* Entries that the memory has room for, and a queue can have. */
static size_t n_entries(const struct vq_setup *setup, bool is_packed)
{
	uint64_t room = setup->inflight_bytes - header_bytes(is_packed);

	return (size_t)min_of(room / entry_bytes(is_packed),
			      (uint64_t)VQ_NUM_MAX);
}

static void log_free(struct vq_inflight *log)
{
	region_unref(log->region);
	free(log->again);
	free(log->is_again);
	free(log->copy);
	free(log->next);
	free(log->entries);
	free(log);
}

static bool log_alloc(struct vq_inflight *log, size_t n)
{
	log->again = calloc(n, sizeof(*log->again));
	log->is_again = calloc(n, sizeof(*log->is_again));
	log->copy = malloc(log->mem_bytes);
	log->next = calloc(n, sizeof(*log->next));
	log->entries = calloc(n, sizeof(*log->entries));
	return log->again && log->is_again && log->copy && log->next &&
	       log->entries;
}

/**
 * inflight_start() - the queue that starts has a log
 *
 * It is not looked at yet, as the ring may be mapped later.
 *
 * Return: 0; -EINVAL its memory will not do; -ENOMEM
 */
int inflight_start(struct vq *vq, const struct vq_setup *setup)
{
	bool is_packed = has_bit(setup->features, VIRTIO_F_RING_PACKED);
	struct vq_inflight *log;
	size_t n;
	int rc = check_setup(setup, is_packed);

	if (rc < 0) {
		return rc;
	}
	log = calloc(1, sizeof(*log));
	if (!log) {
		return err(-ENOMEM, "vq: no memory for the inflight log");
	}
	n = n_entries(setup, is_packed);
	log->region = region_ref(setup->inflight);
	log->mem = (char *)region_va(log->region) + setup->inflight_offset;
	log->mem_bytes = log_bytes(n, is_packed);
	if (!log_alloc(log, n)) {
		log_free(log);
		return err(-ENOMEM, "vq: no memory for the inflight log");
	}
	vq->inflight = log;
	return 0;
}

void inflight_stop(struct vq *vq)
{
	if (vq->inflight) {
		log_free(vq->inflight);
		vq->inflight = NULL;
	}
}

/* Each word is read once; what we have then is ours. */
static void copy_log(struct vq_inflight *log)
{
	const uint64_t *from = (const uint64_t *)(const void *)log->mem;
	uint64_t *to = log->copy;

	for (size_t i = 0; i < log->mem_bytes / sizeof(*from); i++) {
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}

static int compare_chains(const void *a, const void *b)
{
	const struct inflight_chain *x = a, *y = b;

	if (x->counter != y->counter) {
		return x->counter < y->counter ? -1 : 1;
	}
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Whoever died may have written to the ring and not marked it. */
static void mark_ring(struct vq *vq)
{
	vq_dirty_area(vq, &vq->device, 0, vq->device.size);
	if (vq->is_packed) {
		vq_dirty_area(vq, &vq->desc, 0, vq->desc.size);
	}
}

int inflight_recover(struct vq *vq)
{
	struct vq_inflight *log = vq->inflight;
	int rc;

	log->n_again = 0;
	log->n_left_descs = 0;
	copy_log(log);
	rc = vq->is_packed ? inflight_packed_recover(vq)
			   : inflight_split_recover(vq);
	log->is_waiting = rc == -EAGAIN;
	if (rc) {
		return rc;
	}
	qsort(log->again, log->n_again, sizeof(*log->again), compare_chains);
	if (log->n_again > 0) {
		log->next_counter = log->again[log->n_again - 1].counter + 1;
	}
	if (vq->log.log) {
		mark_ring(vq);
	}
	vq_count(&vq->counters.n_again, log->n_again);
	log->is_ready = true;
	return 0;
}

unsigned int inflight_fetch(struct vq *vq, struct vq_chain **ret_chains,
			    unsigned int max, int *ret_rc)
{
	struct vq_inflight *log = vq->inflight;
	unsigned int n;

	for (n = 0; n < max && inflight_has_left(log); n++) {
		const struct inflight_chain *c = &log->again[log->n_taken];
		int rc = vq->is_packed
				 ? inflight_packed_fetch(vq, c, &ret_chains[n])
				 : split_fetch_head(vq, c->id, &ret_chains[n]);

		if (rc) {
			*ret_rc = rc;
			break;
		}
		log->is_again[c->id] = true;
		log->n_left_descs -= c->n_descs;
		log->n_taken++;
	}
	return n;
}

unsigned int inflight_fetched(struct vq *vq, struct vq_chain *const *chains,
			      unsigned int n)
{
	if (vq->is_packed) {
		return inflight_packed_fetched(vq, chains, n);
	}
	inflight_split_fetched(vq, chains, n);
	return n;
}

bool inflight_unfetched(struct vq *vq, uint16_t id)
{
	struct vq_inflight *log = vq->inflight;

	if (log->is_again[id]) {
		/* It stays in the log, and in front of the ring. */
		log->is_again[id] = false;
		log->n_taken--;
		assert(log->again[log->n_taken].id == id);
		log->n_left_descs += log->again[log->n_taken].n_descs;
		return true;
	}
	if (vq->is_packed) {
		inflight_packed_unfetched(vq, id);
	} else {
		inflight_split_unfetched(vq, id);
	}
	return false;
}

void inflight_publish(struct vq *vq)
{
	if (vq->is_packed) {
		inflight_packed_publish(vq);
	} else {
		inflight_split_publish(vq);
	}
}

void inflight_published(struct vq *vq)
{
	for (uint32_t i = 0; i < vq->n_done; i++) {
		vq->inflight->is_again[vq->done[i].id] = false;
	}
	if (vq->is_packed) {
		inflight_packed_published(vq);
	} else {
		inflight_split_published(vq);
	}
}
