/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two doors behind client.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_CLIENT_INTERNAL_H
#define CONFORMANCE_CLIENT_INTERNAL_H

#include "client.h"

/**
 * struct client_door - how a client speaks to a device
 *
 * @must: features that it cannot do without, beside VERSION_1
 * @open: @is_soon: the last user may be there still for a moment
 * @negotiate: agrees on cl->features
 */
struct client_door {
	uint64_t must;
	void (*open)(struct client *cl, const char *path, int flags,
		     bool is_soon);
	uint64_t (*offered)(struct client *cl);
	void (*negotiate)(struct client *cl);
	void (*map)(struct client *cl);
	void (*vq_set_addr)(struct client *cl, uint16_t idx);
	void (*vq_set)(struct client *cl, uint16_t idx);
	void (*vq_enable)(struct client *cl, uint16_t idx);
	void (*vq_stop)(struct client *cl, uint16_t idx);
	void (*driver_ok)(struct client *cl);
	int (*status)(struct client *cl);
	void (*reset)(struct client *cl);
	int (*get_config)(struct client *cl, uint32_t off, void *buf,
			  uint32_t len);
	void (*close)(struct client *cl);
};

extern const struct client_door client_door_vdpa;
extern const struct client_door client_door_user;

void client_user_open(struct client *cl, const char *path, uint64_t protocol);

#endif
