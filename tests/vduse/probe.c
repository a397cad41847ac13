/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse_probe: what /dev/vduse and a vhost-vdpa client of it do, told
 *
 * Copyright (c) 2026, the vdpakit authors
 *
 * Theory of operation
 *
 * One program is both sides: the device process of VDUSE and the client of
 * /dev/vhost-vdpa-N behind it. Each step makes one call and prints one line:
 *
 *	SECTION/STEP: 0 OK [values]       or       SECTION/STEP: -1 ERRNO
 *	SECTION/STEP> REQUEST id ... -> answer     a message that the call caused
 *
 * State words of 61166 (0xeeee) were not written by the call.
 *
 * No line has a descriptor, an address or a pid in it: two runs give the same
 * text, and two implementations that agree do. What a real kernel gave is kept
 * in transcript.kernel-*. Lines that begin with # are of no account.
 *
 * Calls of the client wait for the device's answer. They are made in a thread
 * of their own, while the main thread is the device: it takes requests and
 * answers them as `struct vd` says, until the call is over. Only it prints.
 *
 * Each section makes a device of its own and takes it away: what goes wrong in
 * one says nothing of the next.
 */
#include "probe.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

struct options options = { .node = "/dev/vhost-vdpa-0" };

static const struct {
	const char *name;
	void (*run)(void);
} sections[] = {
	{ "control", probe_control },	{ "create", probe_create },
	{ "destroy", probe_destroy },	{ "device", probe_device },
	{ "setup", probe_setup },	{ "attach", probe_attach },
	{ "messages", probe_messages }, { "unread", probe_unread },
	{ "client", probe_client },	{ "status", probe_status },
	{ "vring", probe_vring },	{ "packed", probe_packed },
	{ "iotlb", probe_iotlb },	{ "memory", probe_memory },
	{ "config", probe_config },	{ "kick", probe_kick },
	{ "call", probe_call },		{ "reconnect", probe_reconnect },
	{ "timeout", probe_timeout },	{ "groups", probe_groups },
};

static int usage(const char *name)
{
	fprintf(stderr,
		"usage: %s [--node PATH] [--timeout-command CMD] [SECTION...]\n"
		"CMD, for the shell, sets $1's message time-out to 1 s\n",
		name);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "node", required_argument, NULL, 'n' },
		{ "timeout-command", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	struct utsname name;
	int c;

	while ((c = getopt_long(argc, argv, "n:t:", known, NULL)) != -1) {
		if (c == 'n') {
			options.node = optarg;
		} else if (c == 't') {
			options.timeout_command = optarg;
		} else {
			return usage(argv[0]);
		}
	}
	(void)uname(&name);
	printf("# Linux %s; message time-out set by: %s\n", name.release,
	       options.timeout_command ? options.timeout_command : "nobody");
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		bool is_wanted = optind == argc;

		for (int j = optind; j < argc; j++) {
			is_wanted |= !strcmp(argv[j], sections[i].name);
		}
		if (is_wanted) {
			section(sections[i].name);
			alarm(60);
			sections[i].run();
		}
	}
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
