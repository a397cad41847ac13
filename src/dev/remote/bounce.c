/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bouncing: its keys. See relay/relay.h for what it is.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/remote/bounce.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"

static int set_size(struct bounce *bounce, const char *value)
{
	uint64_t bytes;
	int r = parse_size("bounce_size", value, &bytes);

	if (r < 0) {
		return r;
	}
	if (bytes < DOMAIN_BYTES_MIN || bytes > DOMAIN_BYTES_MAX ||
	    bytes % DOMAIN_PAGE != 0) {
		return err(-ERANGE,
			   "bounce_size: %s is not a multiple of 4K from 1M to "
			   "1G",
			   value);
	}
	bounce->relay.domain_bytes = bytes;
	return 0;
}

int bounce_set(struct bounce *bounce, const char *key, const char *value)
{
	uint64_t us;
	int r;

	if (strcmp(key, "bounce") == 0) {
		return parse_bool("bounce", value, &bounce->is_on);
	}
	if (strcmp(key, "bounce_size") == 0) {
		return set_size(bounce, value);
	}
	if (strcmp(key, "poll_us") != 0) {
		return -ENOENT;
	}
	r = parse_u64("poll_us", value, SOFT_POLL_US_MAX, &us);
	if (r == 0) {
		bounce->relay.max_poll_us = (uint32_t)us;
	}
	return r;
}

int bounce_check(const struct bounce *bounce)
{
	return !bounce->is_on && (bounce->relay.domain_bytes > 0 ||
				  bounce->relay.max_poll_us > 0)
		       ? err(-EINVAL, "bounce_size and poll_us need bounce=on")
		       : 0;
}
