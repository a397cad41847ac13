/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns: one after the other at a device that may keep its callers waiting.
 *
 * Theory of operation
 *
 * Some devices answer from elsewhere: another process has to say yes to a new
 * status. Bus drivers call ops from top to bottom all the same. So whatever they
 * do to such a device is a turn, run on the task that the bus keeps for the
 * device: an op that has to wait leaves the task (vdpa_wait()), the control
 * loop goes on with everything else, and vdpa_wake() brings it back. Turns of a
 * device do not overlap: the next one begins when the last one has ended, as
 * if the device had a lock. Devices that never wait pay nothing: their turns
 * are calls.
 *
 *   turn_start --> queue --> task: fn() .. op .. vdpa_wait()   <-- loop -->
 *                                       vdpa_wake() --> .. fn() returns --> next
 *
 * A device may be freed in consequence of a turn, but not on the stack that it
 * owns: that it was removed is told when no turn is left.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/task.h"
#include "bus/bus.h"
#include "bus/bus_internal.h"

struct vdpa_turns {
	struct vdpa_device *vdev; /* NULL: gone, and so is this, soon */
	struct task *task;
	struct list queue;
	struct vdpa_turn *current;
	bool is_cancelled; /* the current one */
	bool is_over; /* nobody waits any more */
	bool is_removed; /* to be told when the last turn has ended */
	bool is_running; /* run_queue() is */
	bool is_woken; /* the work is on its way */
	struct loop_work work;
};

static void run_turn(void *priv)
{
	struct vdpa_turn *turn = priv;

	turn->fn(turn);
}

/* As the last thing that is done with the device: it may be freed. */
static void run_queue(struct vdpa_turns *t)
{
	if (t->is_running) {
		return;
	}
	t->is_running = true;
	while (!t->current && !list_is_empty(&t->queue)) {
		struct vdpa_turn *turn =
			list_entry(t->queue.next, struct vdpa_turn, node);

		list_del(&turn->node);
		t->is_cancelled = false;
		t->current = turn;
		if (task_run(t->task, run_turn, turn)) {
			t->current = NULL;
		}
	}
	t->is_running = false;
	if (t->is_removed && !t->current && !t->is_over) {
		t->is_removed = false;
		vdpa_removed(t->vdev);
	}
}

static void go_on(void *priv)
{
	struct vdpa_turns *t = priv;

	t->is_woken = false;
	if (!t->vdev) {
		free(t);
		return;
	}
	if (t->current && task_resume(t->task)) {
		t->current = NULL;
	}
	run_queue(t);
}

static void wake(struct vdpa_turns *t)
{
	t->is_woken = true;
	loop_call(t->vdev->bus->control, &t->work);
}

int vdpa_turns_init(struct vdpa_device *vdev)
{
	struct vdpa_turns *t;
	int ret;

	if (!vdev->may_wait) {
		return 0;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		return -ENOMEM;
	}
	ret = task_new(&t->task);
	if (ret < 0) {
		free(t);
		return ret;
	}
	t->vdev = vdev;
	list_init(&t->queue);
	t->work.fn = go_on;
	t->work.priv = t;
	vdev->turns = t;
	if (vdev->below) {
		vdev->below->turns = t;
	}
	return 0;
}

void vdpa_turns_fini(struct vdpa_device *vdev)
{
	struct vdpa_turns *t = vdev->turns;

	if (!t) {
		return;
	}
	assert(!t->current);
	assert(list_is_empty(&t->queue));
	t->task = task_free(t->task);
	t->vdev = NULL;
	vdev->turns = NULL;
	if (vdev->below) {
		vdev->below->turns = NULL;
	}
	if (!t->is_woken) {
		free(t);
	}
}

void vdpa_turn_start(struct vdpa_device *vdev, struct vdpa_turn *turn)
{
	struct vdpa_turns *t = vdev->turns;

	if (!t) {
		turn->fn(turn);
		return;
	}
	list_add_tail(&t->queue, &turn->node);
	run_queue(t);
}

/* Goes on with the one that waits; its waiting is over. */
static void end_current(struct vdpa_turns *t)
{
	bool has_ended;

	assert(!task_is_current(t->task));
	t->is_cancelled = true;
	has_ended = task_resume(t->task);
	assert(has_ended);
	t->current = NULL;
}

bool vdpa_turn_cancel(struct vdpa_device *vdev, struct vdpa_turn *turn)
{
	struct vdpa_turns *t = vdev->turns;

	assert(t);
	if (t->current != turn) {
		list_del(&turn->node);
		return true;
	}
	end_current(t);
	wake(t); /* for those that come next */
	return false;
}

bool vdpa_turns_end(struct vdpa_device *vdev)
{
	struct vdpa_turns *t = vdev->turns;
	bool is_removed;

	if (!t) {
		return false;
	}
	t->is_over = true;
	if (t->current) {
		end_current(t);
	}
	run_queue(t);
	is_removed = t->is_removed;
	t->is_removed = false;
	return is_removed;
}

void vdpa_turns_begin(struct vdpa_device *vdev)
{
	if (vdev->turns) {
		vdev->turns->is_over = false;
	}
}

bool vdpa_is_in_turn(const struct vdpa_device *vdev)
{
	return vdev->turns && vdev->turns->current;
}

bool vdpa_put_off_removed(struct vdpa_device *vdev)
{
	if (!vdpa_is_in_turn(vdev)) {
		return false;
	}
	vdev->turns->is_removed = true;
	return true;
}

int vdpa_wait(struct vdpa_device *vdev)
{
	struct vdpa_turns *t = vdev->turns;

	assert(t);
	if (t->is_over) {
		return -EINTR;
	}
	if (!task_is_current(t->task)) {
		return err(-EDEADLK, "%s: has to wait outside of a turn",
			   vdev->name);
	}
	if (!t->is_cancelled) {
		task_yield(t->task);
	}
	return t->is_cancelled ? -EINTR : 0;
}

bool vdpa_can_wait(const struct vdpa_device *vdev)
{
	const struct vdpa_turns *t = vdev->turns;

	return t && !t->is_over && !t->is_cancelled && task_is_current(t->task);
}

void vdpa_wake(struct vdpa_device *vdev)
{
	if (vdpa_is_in_turn(vdev) && !task_is_current(vdev->turns->task)) {
		wake(vdev->turns);
	}
}
