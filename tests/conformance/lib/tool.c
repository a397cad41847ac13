/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Management by command.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "tool.h"

#include <stdarg.h>
#include <sys/wait.h>

static const char *command_of(enum tool tool)
{
	const char *cmd = getenv(tool == TOOL_VDPA ? "CONFORMANCE_VDPA"
						   : "CONFORMANCE_VDPAKIT");

	return cmd || tool == TOOL_VDPAKIT ? cmd : "vdpa";
}

/* Return: exit status; -1 when it could not be run. */
static int run(const char *line, char out[TOOL_OUT])
{
	FILE *f = popen(line, "re");
	size_t n = 0, got;
	int status;

	if (!f) {
		return -1;
	}
	while ((got = fread(out + n, 1, TOOL_OUT - 1 - n, f)) > 0) {
		n += got;
	}
	out[n] = '\0';
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void tool_require(enum tool tool)
{
	const char *cmd = command_of(tool);
	char line[512], out[TOOL_OUT];

	if (!cmd) {
		conf_skip("CONFORMANCE_VDPAKIT is not set");
	}
	(void)snprintf(line, sizeof(line), "command -v %s", cmd);
	if (run(line, out) != 0) {
		conf_skip("no vdpa command");
	}
}

static int run_args(enum tool tool, char out[TOOL_OUT], const char *fmt,
		    va_list ap) __attribute__((format(printf, 3, 0)));

static int run_args(enum tool tool, char out[TOOL_OUT], const char *fmt,
		    va_list ap)
{
	char args[512], line[1024];

	(void)vsnprintf(args, sizeof(args), fmt, ap);
	(void)snprintf(line, sizeof(line), "%s %s 2>&1", command_of(tool),
		       args);
	return run(line, out);
}

int tool_run(enum tool tool, char out[TOOL_OUT], const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = run_args(tool, out, fmt, ap);
	va_end(ap);
	return ret;
}

void tool_must(enum tool tool, const char *fmt, ...)
{
	char out[TOOL_OUT];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = run_args(tool, out, fmt, ap);
	va_end(ap);
	if (ret != 0) {
		print_error("%s: %d\n%s\n", fmt, ret, out);
	}
	assert_int_equal(ret, 0);
}

const char *tool_net_name(void)
{
	const char *name = getenv("CONFORMANCE_NET_NAME");

	return name ? name : "net0";
}

unsigned long tool_vstat(const char *dev, unsigned int qidx, const char *name)
{
	char out[TOOL_OUT], key[64];
	const char *at;

	assert_int_equal(tool_run(TOOL_VDPA, out,
				  "-j dev vstats show %s qidx %u", dev, qidx),
			 0);
	(void)snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(out, key);
	if (!at) {
		print_error("no \"%s\" in: %s\n", name, out);
	}
	assert_non_null(at);
	return strtoul(at + strlen(key), NULL, 10);
}
