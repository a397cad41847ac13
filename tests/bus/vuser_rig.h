/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests of the vfio-user bus driver stand on: a device on a socket, and one
 * client of it. Log lines are dropped meanwhile.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_VUSER_RIG_H
#define TESTS_BUS_VUSER_RIG_H

#include "lib/vuser.h"

struct vuser_rig {
	struct vuser_world *vw;
	struct sim *sim; /* NULL: threads */
	struct vuser *c; /* NULL: it was closed */
	unsigned int n_fds;
};

/* cmocka's: a device of a management device's, called d0; a disk whose loops
 * are simulated. */
int vuser_set_up_blk(void **state);
int vuser_set_up_net(void **state);
int vuser_set_up_sim(void **state);
/* Nothing of any client may be left. */
int vuser_tear_down(void **state);
/* The same, when the next client has been served from beginning to end. */
int vuser_tear_down_alive(void **state);

void vuser_connect_anew(struct vuser_rig *rig);
struct vdpa_device *vuser_device(struct vuser_rig *rig);
/* Until all that was asked for is done, and what follows from it. */
void vuser_settle(struct vuser_rig *rig);
/* Takes it. */
bool vuser_is_signalled(int fd);
/* Has the device use a buffer, and waits until it has. */
void vuser_use_one(struct vuser_rig *rig);

#endif
