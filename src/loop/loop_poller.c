/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pollers: how long to look for work before sleeping.
 *
 * Theory of operation
 *
 * Sleeping and being woken costs tens of microseconds, polling costs a core.
 * Each poller has a polling time: how long it polls in vain before it is armed
 * and sleeps. It starts at 0 and is learnt:
 *
 * - woken after a sleep shorter than max_poll_us: a longer polling time would
 *   have caught that; double it;
 * - work found in the second half of the polling time: it was nearly too
 *   short; double it;
 * - woken after a longer sleep: polling was in vain; halve it, down to 0.
 *
 * So it settles at about twice the usual gap between pieces of work, and at 0
 * when the gaps are longer than max_poll_us. Only polling in vain counts: the
 * time starts anew after each piece of work.
 *
 * Work that comes soon after a sleep, and yet has not come in max_poll_us of
 * polling before it, is not caught by polling: a disk takes a little longer, or
 * who brings the work waits for this very CPU. Polling is given up then, and
 * tried again after ever more sleeps (TRY_AFTER_MIN, twice that, and so on):
 * in vain it is worse than useless, because a scheduler that has other threads
 * to run lets one wait that has used its time, and not one that has slept.
 *
 * The end of what a poller has begun (a disk's) and the next thing to begin (a
 * kick) are different gaps, which alternate when there is one request at a
 * time: each has a polling time of its own.
 *
 *	asleep --wake()--> active --nothing found for poll_ns--> arm()
 *	   ^                  ^                                   |  |
 *	   |                  +--------- work after all ----------+  |
 *	   +-------------------------- nothing ----------------------+
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "loop/loop_internal.h"

/* The shortest polling time but 0: less is lost between two clock reads. */
#define POLL_NS_MIN 2000
/* Sleeps until polling is tried again. */
#define TRY_AFTER_MIN 8U
#define TRY_AFTER_MAX 1024U

static uint64_t longer(uint64_t poll_ns, uint64_t max_ns)
{
	poll_ns = max_of(poll_ns * 2, (uint64_t)POLL_NS_MIN);
	return min_of(poll_ns, max_ns);
}

static void give_up(struct loop_poll_time *t)
{
	t->poll_ns = 0;
	t->n_until_try = t->try_after;
	t->try_after = min_of(2 * t->try_after, TRY_AFTER_MAX);
}

void loop_poll_time_init(struct loop_poll_time *t)
{
	*t = (struct loop_poll_time){ .try_after = TRY_AFTER_MIN };
}

void loop_poll_time_after_sleep(struct loop_poll_time *t, uint64_t slept_ns,
				uint64_t max_ns)
{
	if (slept_ns >= max_ns) {
		t->poll_ns /= 2;
		if (t->poll_ns < POLL_NS_MIN) {
			t->poll_ns = 0;
		}
	} else if (t->poll_ns == max_ns) {
		give_up(t);
	} else if (t->n_until_try > 0) {
		t->n_until_try--;
	} else {
		t->poll_ns = longer(t->poll_ns, max_ns);
	}
}

void loop_poll_time_after_find(struct loop_poll_time *t, uint64_t idle_ns,
			       uint64_t max_ns)
{
	t->try_after = max_of(t->try_after / 2, TRY_AFTER_MIN);
	if (idle_ns > t->poll_ns / 2) {
		t->poll_ns = longer(t->poll_ns, max_ns);
	}
}

static uint64_t max_ns_of(const struct loop_poller *poller)
{
	return (uint64_t)poller->max_poll_us * 1000;
}

/* Of the gap that it is in. */
static struct loop_poll_time *time_of(struct loop_poller *poller)
{
	return &poller->times[poller->has_begun];
}

/* While asleep, idle_since_ns is when that began. While active, it is when
 * polling began to be in vain; 0: it has not. */
static void activate(struct loop_poller *poller)
{
	poller->is_active = true;
	poller->idle_since_ns = 0;
	list_add_tail(&poller->loop->active_pollers, &poller->active_node);
}

static void deactivate(struct loop_poller *poller)
{
	struct loop *loop = poller->loop;

	if (loop->next_poller == &poller->active_node) {
		loop->next_poller = poller->active_node.next;
	}
	list_del(&poller->active_node);
	poller->is_active = false;
	poller->idle_since_ns = loop_now_ns(loop);
}

void loop_poller_add(struct loop *loop, struct loop_poller *poller)
{
	assert_owner(loop);
	poller->loop = loop;
	poller->is_active = false;
	poller->has_begun = false;
	loop_poll_time_init(&poller->times[0]);
	loop_poll_time_init(&poller->times[1]);
	poller->gate_ns = 0;
	poller->idle_since_ns = loop_now_ns(loop);
	list_init(&poller->active_node);
	list_add_tail(&loop->pollers, &poller->node);
}

void loop_poller_del(struct loop_poller *poller)
{
	struct loop *loop = poller->loop;

	assert_owner(loop);
	if (poller->is_active) {
		deactivate(poller);
	}
	list_del(&poller->node);
	if (loop->running_poller == poller) {
		loop->running_poller = NULL;
	}
}

void loop_poller_wake(struct loop_poller *poller)
{
	uint64_t slept_ns;

	assert_owner(poller->loop);
	if (poller->is_active) {
		/* What it is woken for may have come after its last look. */
		poller->is_woken = true;
		return;
	}
	slept_ns = loop_now_ns(poller->loop) - poller->idle_since_ns;
	loop_poll_time_after_sleep(time_of(poller), slept_ns,
				   max_ns_of(poller));
	activate(poller);
}

/* @t: of the gap that ends. */
static void found(struct loop_poller *poller, struct loop_poll_time *t)
{
	if (poller->is_active && poller->idle_since_ns != 0) {
		loop_poll_time_after_find(
			t, loop_now_ns(poller->loop) - poller->idle_since_ns,
			max_ns_of(poller));
		poller->idle_since_ns = 0;
	}
}

/* Arms it; when there is no work after all, it sleeps. */
static void settle(struct loop_poller *poller)
{
	struct loop *loop = poller->loop;
	bool has_work;

	deactivate(poller); /* first: arm() may wake or delete it */
	loop->running_poller = poller;
	has_work = poller->arm(poller->priv);
	if (loop->running_poller && has_work && !poller->is_active) {
		activate(poller);
	}
	loop->running_poller = NULL;
}

unsigned int loop_poller_run(struct loop_poller *poller, bool may_sleep)
{
	struct loop *loop = poller->loop;
	struct loop_poll_time *t = time_of(poller);
	unsigned int n;

	loop->running_poller = poller;
	poller->is_woken = false;
	n = poller->poll(poller->priv);
	if (loop->running_poller && n > 0) {
		found(poller, t);
	} else if (loop->running_poller && may_sleep && poller->is_active) {
		settle(poller);
	}
	loop->running_poller = NULL;
	return n;
}

unsigned int loop_pollers_run(struct loop *loop)
{
	struct list *item = loop->active_pollers.next;
	unsigned int n = 0;

	while (item != &loop->active_pollers) {
		struct loop_poller *poller =
			list_entry(item, struct loop_poller, active_node);

		loop->next_poller = item->next;
		n += loop_poller_run(poller, time_of(poller)->poll_ns == 0);
		item = loop->next_poller;
	}
	loop->next_poller = NULL;
	return n;
}

void loop_pollers_check(struct loop *loop)
{
	struct list *item = loop->active_pollers.next;
	uint64_t now_ns = loop_now_ns(loop);

	while (item != &loop->active_pollers) {
		struct loop_poller *poller =
			list_entry(item, struct loop_poller, active_node);

		loop->next_poller = item->next;
		if (poller->idle_since_ns == 0) {
			poller->idle_since_ns = now_ns;
		} else if (!poller->is_woken &&
			   now_ns - poller->idle_since_ns >=
				   time_of(poller)->poll_ns) {
			settle(poller);
		}
		item = loop->next_poller;
	}
	loop->next_poller = NULL;
}
