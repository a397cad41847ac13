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

static uint64_t longer(uint64_t poll_ns, uint64_t max_ns)
{
	poll_ns = max_of(poll_ns * 2, (uint64_t)POLL_NS_MIN);
	return min_of(poll_ns, max_ns);
}

uint64_t loop_poll_ns_after_sleep(uint64_t poll_ns, uint64_t slept_ns,
				  uint64_t max_ns)
{
	if (slept_ns < max_ns) {
		return longer(poll_ns, max_ns);
	}
	return poll_ns / 2 < POLL_NS_MIN ? 0 : poll_ns / 2;
}

uint64_t loop_poll_ns_after_find(uint64_t poll_ns, uint64_t idle_ns,
				 uint64_t max_ns)
{
	return idle_ns > poll_ns / 2 ? longer(poll_ns, max_ns) : poll_ns;
}

static uint64_t max_ns_of(const struct loop_poller *poller)
{
	return (uint64_t)poller->max_poll_us * 1000;
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
	poller->poll_ns = 0;
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
	poller->poll_ns = loop_poll_ns_after_sleep(poller->poll_ns, slept_ns,
						   max_ns_of(poller));
	activate(poller);
}

static void found(struct loop_poller *poller)
{
	if (poller->is_active && poller->idle_since_ns != 0) {
		poller->poll_ns = loop_poll_ns_after_find(
			poller->poll_ns,
			loop_now_ns(poller->loop) - poller->idle_since_ns,
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
	unsigned int n;

	loop->running_poller = poller;
	poller->is_woken = false;
	n = poller->poll(poller->priv);
	if (loop->running_poller && n > 0) {
		found(poller);
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
		n += loop_poller_run(poller, poller->poll_ns == 0);
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
			   now_ns - poller->idle_since_ns >= poller->poll_ns) {
			settle(poller);
		}
		item = loop->next_poller;
	}
	loop->next_poller = NULL;
}
