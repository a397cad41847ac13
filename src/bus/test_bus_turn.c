/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns: at a device whose set_status() waits until the test says so.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus/test_bus_rig.h"

/* What turns did, a letter each. */
struct trace {
	char text[64];
	size_t len;
};

struct step {
	struct vdpa_turn turn;
	struct vdpa_device *vdev;
	struct trace *trace;
	char name; /* in upper case when it ends */
	bool waits;
	bool *is_ready; /* what it waits for */
	int result; /* of the wait */
	struct step *starts; /* another one, meanwhile */
};

static void note(struct trace *trace, char c)
{
	assert_true(trace->len < sizeof(trace->text) - 1);
	trace->text[trace->len++] = c;
}

static void run_step(struct vdpa_turn *turn)
{
	struct step *s = container_of(turn, struct step, turn);

	note(s->trace, s->name);
	if (s->starts) {
		vdpa_turn_start(s->vdev, &s->starts->turn);
	}
	while (s->waits && !*s->is_ready && s->result == 0) {
		bool can_wait = vdpa_can_wait(s->vdev);

		s->result = vdpa_wait(s->vdev);
		assert_true(can_wait || s->result != 0);
	}
	note(s->trace, (char)(s->name - 'a' + 'A'));
}

/* A device, three steps. */
struct rig {
	struct fixture *fx;
	struct vdpa_device *vdev;
	struct trace trace;
	bool is_ready;
	struct step a, b, c;
};

static void init_step(struct rig *r, struct step *s, char name, bool waits)
{
	*s = (struct step){
		.turn.fn = run_step,
		.vdev = r->vdev,
		.trace = &r->trace,
		.name = name,
		.waits = waits,
		.is_ready = &r->is_ready,
	};
}

static void rig_init(struct rig *r, struct fixture *fx, bool may_wait)
{
	memset(r, 0, sizeof(*r));
	r->fx = fx;
	fx->fake.vdev.may_wait = may_wait;
	r->vdev = add_device(fx);
	init_step(r, &r->a, 'a', may_wait);
	init_step(r, &r->b, 'b', false);
	init_step(r, &r->c, 'c', false);
}

/* Lets the loop go on until nothing happens. */
static void settle(struct rig *r)
{
	assert_int_equal(sim_run(r->fx->sim, 1000000, NULL, NULL), 0);
}

static void test_turn_of_a_device_that_never_waits_is_a_call(void **state)
{
	struct rig r;

	rig_init(&r, *state, false);
	r.a.starts = &r.b;
	vdpa_turn_start(r.vdev, &r.a.turn);
	assert_string_equal(r.trace.text, "abBA");
	assert_false(vdpa_is_in_turn(r.vdev));
	vdpa_wake(r.vdev);
}

static void test_turns_do_not_overlap(void **state)
{
	struct rig r;

	rig_init(&r, *state, true);
	r.a.starts = &r.b;
	vdpa_turn_start(r.vdev, &r.a.turn);
	vdpa_turn_start(r.vdev, &r.c.turn);
	assert_string_equal(r.trace.text, "a");
	assert_true(vdpa_is_in_turn(r.vdev));
	/* Woken for nothing, it waits again. */
	vdpa_wake(r.vdev);
	settle(&r);
	assert_string_equal(r.trace.text, "a");
	r.is_ready = true;
	vdpa_wake(r.vdev);
	vdpa_wake(r.vdev);
	assert_string_equal(r.trace.text, "a"); /* not from within */
	settle(&r);
	assert_string_equal(r.trace.text, "aAbBcC");
	assert_int_equal(r.a.result, 0);
	assert_false(vdpa_is_in_turn(r.vdev));
}

static void test_wait_outside_of_a_turn_is_refused(void **state)
{
	struct rig r;

	rig_init(&r, *state, true);
	assert_false(vdpa_can_wait(r.vdev));
	assert_int_equal(vdpa_wait(r.vdev), -EDEADLK);
	vdpa_turn_start(r.vdev, &r.a.turn);
	assert_false(vdpa_can_wait(r.vdev));
	assert_int_equal(vdpa_wait(r.vdev), -EDEADLK);
	r.is_ready = true;
	vdpa_wake(r.vdev);
	settle(&r);
	assert_string_equal(r.trace.text, "aA");
}

static void test_cancelled_turn_has_ended_or_never_begins(void **state)
{
	struct rig r;

	rig_init(&r, *state, true);
	vdpa_turn_start(r.vdev, &r.a.turn);
	vdpa_turn_start(r.vdev, &r.b.turn);
	vdpa_turn_start(r.vdev, &r.c.turn);
	assert_true(vdpa_turn_cancel(r.vdev, &r.b.turn));
	assert_false(vdpa_turn_cancel(r.vdev, &r.a.turn));
	assert_int_equal(r.a.result, -EINTR);
	assert_string_equal(r.trace.text, "aA");
	settle(&r);
	assert_string_equal(r.trace.text, "aAcC");
}

/* What waits after the first one was cancelled waits as long as it likes. */
static void test_cancelling_concerns_one_turn(void **state)
{
	struct rig r;

	rig_init(&r, *state, true);
	r.b.waits = true;
	vdpa_turn_start(r.vdev, &r.a.turn);
	vdpa_turn_start(r.vdev, &r.b.turn);
	assert_false(vdpa_turn_cancel(r.vdev, &r.a.turn));
	settle(&r);
	assert_string_equal(r.trace.text, "aAb");
	r.is_ready = true;
	vdpa_wake(r.vdev);
	settle(&r);
	assert_string_equal(r.trace.text, "aAbB");
	assert_int_equal(r.b.result, 0);
}

static void deleted(void *priv, int result)
{
	struct fixture *fx = priv;

	fx->del_result = result;
}

/* The device is freed off its own stack, after all that was under way. */
static void test_dev_del_takes_its_turn(void **state)
{
	struct fixture *fx = *state;
	struct rig r;

	rig_init(&r, fx, true);
	vdpa_turn_start(r.vdev, &r.a.turn);
	assert_int_equal(vdpa_dev_del(fx->bus, "d0", deleted, fx), 0);
	assert_int_equal(vdpa_dev_del(fx->bus, "d0", deleted, fx), -EBUSY);
	settle(&r);
	assert_int_equal(fx->n_deleted, 0);
	r.is_ready = true;
	vdpa_wake(r.vdev);
	settle(&r);
	assert_int_equal(fx->del_result, 0);
	assert_int_equal(fx->n_deleted, 1);
	assert_string_equal(r.trace.text, "aA");
}

static void test_rebinding_waits_for_nobody(void **state)
{
	struct fixture *fx = *state;
	struct rig r;

	rig_init(&r, fx, true);
	vdpa_turn_start(r.vdev, &r.a.turn);
	assert_int_equal(vdpa_dev_unbind(fx->bus, "d0"), -EBUSY);
	r.is_ready = true;
	vdpa_wake(r.vdev);
	settle(&r);
	assert_int_equal(vdpa_dev_unbind(fx->bus, "d0"), 0);
}

/* The end of the bus: whoever waits is told so, queued turns run as well. */
static void test_the_end_comes_at_once(void **state)
{
	struct fixture *fx = *state;
	struct rig r;

	rig_init(&r, fx, true);
	r.b.waits = true;
	vdpa_turn_start(r.vdev, &r.a.turn);
	vdpa_turn_start(r.vdev, &r.b.turn);
	vdpa_driver_unregister(&fx->driver);
	assert_string_equal(r.trace.text, "aAbB");
	assert_int_equal(r.a.result, -EINTR);
	assert_int_equal(r.b.result, -EINTR);
	/* For that bus driver only. */
	r.c.waits = true;
	vdpa_turn_start(r.vdev, &r.c.turn);
	assert_string_equal(r.trace.text, "aAbBc");
	assert_int_equal(vdpa_driver_register(fx->bus, &fx->driver), 0);
	r.is_ready = true;
	vdpa_wake(r.vdev);
	settle(&r);
	assert_string_equal(r.trace.text, "aAbBcC");
}

static void test_the_end_comes_at_once_also_while_deleting(void **state)
{
	struct fixture *fx = *state;
	struct rig r;

	rig_init(&r, fx, true);
	vdpa_turn_start(r.vdev, &r.a.turn);
	assert_int_equal(vdpa_dev_del(fx->bus, "d0", deleted, fx), 0);
	vdpa_mgmtdev_unregister(&fx->mgmtdev);
	assert_int_equal(fx->n_deleted, 1);
	assert_int_equal(fx->del_result, 0);
	assert_int_equal(r.a.result, -EINTR);
	assert_int_equal(vdpa_mgmtdev_register(fx->bus, &fx->mgmtdev), 0);
	settle(&r);
}

static const struct CMUnitTest tests[] = {
	T(test_turn_of_a_device_that_never_waits_is_a_call),
	T(test_turns_do_not_overlap),
	T(test_wait_outside_of_a_turn_is_refused),
	T(test_cancelled_turn_has_ended_or_never_begins),
	T(test_cancelling_concerns_one_turn),
	T(test_dev_del_takes_its_turn),
	T(test_rebinding_waits_for_nobody),
	T(test_the_end_comes_at_once),
	T(test_the_end_comes_at_once_also_while_deleting),
};

TEST_MAIN("bus_turn")
