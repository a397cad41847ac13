/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user back end inside the test, which answers as it is told to.
 *
 * It processes nothing: what it is for is what front ends make of answers. Each
 * call of vuback_serve() takes one message.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_VUBACK_H
#define TESTS_BUS_VUBACK_H

#include "base/unix.h"
#include "uapi/vhost_user.h"

#define VUBACK_REGIONS_MAX 64
#define VUBACK_QUEUES_MAX  4

/* What it does wrong, when it gets request vuback.on. */
enum vuback_fault {
	VUBACK_RIGHT,
	VUBACK_CLOSES,
	VUBACK_IS_SILENT,
	VUBACK_REFUSES, /* if asked to acknowledge */
	VUBACK_ANSWERS_ANOTHER,
	VUBACK_SHORT,
	VUBACK_LONG,
	VUBACK_HUGE,
	VUBACK_NO_REPLY_FLAG,
	VUBACK_BAD_VERSION,
	VUBACK_WITH_FD,
	VUBACK_TWICE,
	VUBACK_EMPTY,
	VUBACK_FAULT_N,
};

struct vuback_ring {
	uint32_t num, base;
	struct vhost_vring_addr addr;
	int kick_fd, call_fd; /* -1: none */
	bool is_enabled;
};

struct vuback {
	struct unix_listener listener;
	int fd; /* -1: no front end */
	/* what it says */
	uint64_t features;
	uint64_t protocol;
	uint64_t n_queues;
	uint64_t n_slots;
	uint8_t config[VHOST_USER_CONFIG_MAX];
	enum vuback_fault fault;
	uint32_t on;
	uint32_t answers_for; /* so many queues further, in GET_VRING_BASE */
	/* what it was told */
	uint64_t agreed, agreed_protocol;
	uint64_t status;
	unsigned int n_got[VHOST_USER_REQUEST_N];
	unsigned int n_connections;
	struct vhost_user_region regions[VUBACK_REGIONS_MAX];
	unsigned int n_regions;
	struct vuback_ring rings[VUBACK_QUEUES_MAX];
	int channel; /* -1: none */
};

/* A disk of 2048 sectors and 2 queues, with every protocol feature that a front
 * end may want. */
void vuback_init(struct vuback *b, const char *path);
/* It goes without a word; its path stays free for another. */
void vuback_fini(struct vuback *b);
/* Nobody is connected any more, and anybody may connect. */
void vuback_hang_up(struct vuback *b);
/* Return: did anything happen? */
bool vuback_serve(struct vuback *b);
/* Says that its config space has changed. */
void vuback_change_config(struct vuback *b, bool wants_ack);

#endif
