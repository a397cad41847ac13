/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost_vdpa device whose other side is a second bus in the same process, for
 * its tests.
 *
 * Theory of operation
 *
 * The peer is a vworld with a control thread of its own. The device's system
 * calls (struct rvdpa_sys) are calls of the peer's local carrier; the descriptor
 * of its node is one end of a socket pair, so that the test can hang it up. On
 * the way a test may look at every call, change its answer, or hold it.
 *
 * There is one rig at a time: system calls have no argument to tell which.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_RVDPA_RIG_H
#define TESTS_BUS_RVDPA_RIG_H

#include "dev/remote/rvdpa.h"
#include "lib/test.h"
#include "lib/vclient.h"

/* Messages have no number of their own: this one, and the type above it. */
#define RVDPA_RIG_WRITE	    0x72000000UL
#define RVDPA_RIG_MSG(type) (RVDPA_RIG_WRITE | (unsigned long)(type))
#define RVDPA_RIG_OPEN	    0x72010000UL

struct rvdpa_rig {
	struct vworld
		*w; /* what is tested; the calling thread is its control */
	struct vworld *peer;
	struct vdpa_mgmtdev *mgmtdev;
	struct vclient *c; /* of the device, if the test has opened it */
	struct cdev_file *file; /* the device's, at the peer */
	int sock; /* our end of the device's descriptor; -1 */

	/* any thread, atomic */
	unsigned int n_calls;
	unsigned int n_updates; /* UPDATE messages */
	unsigned int n_batches;
	/* This command fails; 0: none. Only those before @fail_count do. */
	unsigned long fail_cmd;
	int fail_errno;
	unsigned int fail_count; /* UINT32_MAX: all */
	/* The answer to this one is changed, after the peer gave it; of a
	 * message (RVDPA_RIG_WRITE) the length. */
	unsigned long lie_cmd;
	uint64_t lie;
	/* This one hangs, until rvdpa_rig_let_go(). */
	unsigned long hold_cmd;
	bool is_held;
};

/* The peer has device "p0" of that management device; nobody has opened it. */
struct rvdpa_rig *rvdpa_rig_new(const char *mgmtdev, const char *keys);
void rvdpa_rig_free(struct rvdpa_rig *rig);

/* `dev add d0 mgmtdev vhost_vdpa`, with more keys. Return: what it said */
int rvdpa_rig_add(struct rvdpa_rig *rig, const char *keys);
/* A client of it; asserts that all is well. */
void rvdpa_rig_open(struct rvdpa_rig *rig);
/* Deletes d0; asserts that it takes no longer than a turn. */
void rvdpa_rig_del(struct rvdpa_rig *rig);

/* Runs the control loop until the descriptor is readable, or what @until says
 * is so; fails after 20 seconds. */
void rvdpa_rig_wait(struct rvdpa_rig *rig, int fd);
void rvdpa_rig_until(struct rvdpa_rig *rig, bool (*until)(void *priv),
		     void *priv);
/* Runs the control loop for a millisecond. */
void rvdpa_rig_turn(struct rvdpa_rig *rig);
/* Lets a held call go. */
void rvdpa_rig_let_go(struct rvdpa_rig *rig);
/* Waits, the control loop at rest, until one is held. */
void rvdpa_rig_await_held(struct rvdpa_rig *rig);

/* Mappings of the peer's device, now. */
unsigned int rvdpa_rig_peer_maps(struct rvdpa_rig *rig, uint32_t asid);

/* The device; for ops. */
struct vdpa_device *rvdpa_rig_dev(struct rvdpa_rig *rig);

#endif
