/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers: a binary heap of those that are set.
 *
 * Each timer knows its slot, so that cancelling and setting again cost
 * O(log n). The heap grows by doubling and keeps its memory.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "loop/loop_internal.h"

#define SLOTS_MIN 16

static bool is_before(const struct loop_timer_slot *a,
		      const struct loop_timer_slot *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void put(struct loop_timers *timers, unsigned int idx,
		const struct loop_timer_slot *slot)
{
	timers->slots[idx] = *slot;
	slot->timer->heap_idx = idx + 1;
}

/* Puts @slot at @idx, which is free, or as far above as it belongs. */
static void sift_up(struct loop_timers *timers, unsigned int idx,
		    const struct loop_timer_slot *slot)
{
	while (idx > 0) {
		unsigned int parent = (idx - 1) / 2;

		if (!is_before(slot, &timers->slots[parent])) {
			break;
		}
		put(timers, idx, &timers->slots[parent]);
		idx = parent;
	}
	put(timers, idx, slot);
}

static void sift_down(struct loop_timers *timers, unsigned int idx,
		      const struct loop_timer_slot *slot)
{
	for (;;) {
		unsigned int child = 2 * idx + 1;

		if (child >= timers->n) {
			break;
		}
		if (child + 1 < timers->n &&
		    is_before(&timers->slots[child + 1],
			      &timers->slots[child])) {
			child++;
		}
		if (!is_before(&timers->slots[child], slot)) {
			break;
		}
		put(timers, idx, &timers->slots[child]);
		idx = child;
	}
	put(timers, idx, slot);
}

/* @slot goes to the free place @idx, up or down from there. */
static void place(struct loop_timers *timers, unsigned int idx,
		  const struct loop_timer_slot *slot)
{
	if (idx > 0 && is_before(slot, &timers->slots[(idx - 1) / 2])) {
		sift_up(timers, idx, slot);
	} else {
		sift_down(timers, idx, slot);
	}
}

static int make_room(struct loop_timers *timers)
{
	unsigned int n_max = max_of(timers->n_max * 2, (unsigned int)SLOTS_MIN);
	struct loop_timer_slot *slots;

	if (timers->n < timers->n_max) {
		return 0;
	}
	slots = realloc(timers->slots, n_max * sizeof(*slots));
	if (!slots) {
		return err(-ENOMEM, "no memory for %u timers", n_max);
	}
	timers->slots = slots;
	timers->n_max = n_max;
	return 0;
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop,
		     void (*fn)(void *priv), void *priv)
{
	*timer = (struct loop_timer){ .loop = loop, .fn = fn, .priv = priv };
}

int loop_timer_set(struct loop_timer *timer, uint64_t delay_ns)
{
	struct loop_timers *timers = &timer->loop->timers;
	uint64_t now_ns = loop_now_ns(timer->loop);
	struct loop_timer_slot slot = {
		.due_ns = now_ns + min_of(delay_ns, LOOP_FOREVER - 1 - now_ns),
		.seq = timers->next_seq,
		.timer = timer,
	};
	int rc;

	assert_owner(timer->loop);
	if (timer->heap_idx == 0) {
		rc = make_room(timers);
		if (rc < 0) {
			return rc;
		}
		timers->n++;
		sift_up(timers, timers->n - 1, &slot);
	} else {
		place(timers, timer->heap_idx - 1, &slot);
	}
	timer->due_ns = slot.due_ns;
	timers->next_seq++;
	return 0;
}

void loop_timer_cancel(struct loop_timer *timer)
{
	struct loop_timers *timers;
	unsigned int idx;

	if (timer->heap_idx == 0) {
		return;
	}
	assert_owner(timer->loop);
	timers = &timer->loop->timers;
	idx = timer->heap_idx - 1;
	timer->heap_idx = 0;
	timers->n--;
	if (idx < timers->n) {
		struct loop_timer_slot last = timers->slots[timers->n];

		place(timers, idx, &last);
	}
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
	return timer->heap_idx != 0;
}

uint64_t loop_timers_due_ns(const struct loop *loop)
{
	return loop->timers.n > 0 ? loop->timers.slots[0].due_ns : LOOP_FOREVER;
}

bool loop_run_timer(struct loop *loop, uint64_t now_ns, uint64_t seq)
{
	const struct loop_timer_slot *first = loop->timers.slots;
	struct loop_timer *timer;

	if (loop->timers.n == 0 || first->due_ns > now_ns ||
	    first->seq >= seq) {
		return false;
	}
	timer = first->timer;
	loop_timer_cancel(timer);
	timer->fn(timer->priv);
	return true;
}
