/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay on some device, and a client of it, for its tests.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_RELAY_RIG_H
#define TESTS_BUS_RELAY_RIG_H

#include "lib/test.h"
#include "lib/vclient.h"
#include "relay/relay.h"

struct relay_rig {
	struct vworld *w;
	struct vdpa_device *relay;
	struct vclient *c;
};

/* On a device of that management device, "low0", which is made for it. */
struct relay_rig *relay_rig_new(struct sim *sim, const char *mgmtdev,
				const char *keys,
				const struct relay_options *options);
/* On a device of the test's, in a world of its own. */
struct relay_rig *relay_rig_on(struct vworld *w, struct vdpa_device *lower,
			       const struct relay_options *options);
void relay_rig_free(struct relay_rig *rig);

/* A counter of one queue; asserts that there is one of that name. */
uint64_t relay_rig_stat(struct relay_rig *rig, uint32_t idx, const char *name);

/* The client's memory is of this kind from now on. */
void relay_rig_use_memory(struct relay_rig *rig, enum region_kind kind);

#endif
