/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bouncing: the keys of a remote device's with which a relay stands on it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_REMOTE_BOUNCE_H
#define DEV_REMOTE_BOUNCE_H

#include "bus/bus.h"
#include "relay/relay.h"

/* What the keys said; zeroed: nothing. */
struct bounce {
	bool is_on;
	struct relay_options relay;
};

#define BOUNCE_KEYS                                                           \
	{ "bounce", "on|off",                                                 \
	  "copy data, so that the process sees nothing else of the client's " \
	  "memory (default off)" },                                           \
		{ "bounce_size", "SIZE",                                      \
		  "memory for that, 1M to 1G (default 64M)" },                \
		SOFT_KEY_POLL_US

/**
 * bounce_set() - take one of these keys
 * @key: which
 * @value: as the user wrote it
 *
 * Return: 0; -ENOENT it is none of them; -EINVAL, -ERANGE
 */
int bounce_set(struct bounce *bounce, const char *key, const char *value);
/* When all keys were taken. Return: 0; -EINVAL: they make no sense together */
int bounce_check(const struct bounce *bounce);

#endif
