/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Management by command: `vdpa` of iproute2, or what speaks as it does.
 *
 * CONFORMANCE_VDPA names the command (default: vdpa); CONFORMANCE_VDPAKIT, if
 * set, another one of the same grammar that knows all attributes, which old
 * releases of iproute2 do not.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_TOOL_H
#define CONFORMANCE_TOOL_H

#include "conf.h"

#define TOOL_OUT 8192

enum tool {
	TOOL_VDPA,
	TOOL_VDPAKIT,
};

/* Skips the test where the command is missing. */
void tool_require(enum tool tool);

/**
 * tool_run() - run a command
 * @tool: which
 * @out: what it said on stdout and stderr
 * @fmt: its arguments, for a shell
 *
 * Return: its exit status
 */
int tool_run(enum tool tool, char out[TOOL_OUT], const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, which must succeed. */
void tool_must(enum tool tool, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The name of the first network device: CONFORMANCE_NET_NAME, or net0. */
const char *tool_net_name(void);
/* A counter of `dev vstats show`. */
unsigned long tool_vstat(const char *dev, unsigned int qidx, const char *name);

#endif
