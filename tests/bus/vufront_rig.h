/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user back end of the test's (vuback.h) or of ours, the device b0 that
 * it implements, and a vhost-vdpa client of that, in one simulated world.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_VUFRONT_RIG_H
#define TESTS_BUS_VUFRONT_RIG_H

#include "lib/vfront.h"
#include "vuback.h"

struct vufront_rig {
	struct sim *sim;
	struct vfront_world *fw;
	struct vworld *w;
	struct vdpa_mgmtdev *mgmtdev;
	struct vuback back;
	bool has_back;
	struct vclient *client;
	int result; /* of the last `dev add` */
	bool is_added; /* or that it failed */
	bool is_not_yet;
};

/* With the back end of the test, which is not asked for anything so far. */
int rig_set_up(void **state);
/* The same, with the device on the bus. */
int rig_set_up_added(void **state);
/* The same, and a client that has memory and nothing else. */
int rig_set_up_client(void **state);
/* With none; a socket may be made at fw->path. */
int rig_set_up_bare(void **state);
int rig_tear_down(void **state);

/* Everything that can happen happens, in @ms of virtual time at most. */
void rig_run(struct vufront_rig *rig, unsigned int ms);

/* `dev add`, "type=blk" and @keys (NULL: none) besides the path; waits for the
 * answer. Return: what it was */
int rig_add(struct vufront_rig *rig, const char *keys);
/* The same with `wait @seconds`; does not wait. Return: as vdpa_dev_expect() */
int rig_expect(struct vufront_rig *rig, const char *keys, bool is_once,
	       unsigned int seconds);
void rig_open(struct vufront_rig *rig);
/* DRIVER_OK, with @n_queues of 16. Return: the status then */
uint8_t rig_start(struct vufront_rig *rig, unsigned int n_queues);
uint64_t rig_stat(struct vufront_rig *rig, const char *name);

#endif
