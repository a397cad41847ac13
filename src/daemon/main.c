/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakitd: the bus for a whole machine, or for one `vdpakit run`.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/args.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/host.h"
#include "daemon/notify.h"
#include "mgmt/instance.h"

#define DEVS_MAX 256

struct settings {
	struct host_options host;
	const char *devs[DEVS_MAX];
	unsigned int n_devs;
	const char *mgmtdevs[DEVS_MAX];
	unsigned int n_mgmtdevs;
	enum log_level level;
	bool wants_help;
	bool wants_version;
};

static int set_socket(void *priv, const char *value)
{
	((struct settings *)priv)->host.rpc_path = value;
	return 0;
}

static int set_preload(void *priv, const char *value)
{
	((struct settings *)priv)->host.preload_path = value;
	return 0;
}

static int set_dev(void *priv, const char *value)
{
	struct settings *s = priv;

	if (s->n_devs == DEVS_MAX) {
		return err(-E2BIG, "--dev: more than %d devices", DEVS_MAX);
	}
	s->devs[s->n_devs++] = value;
	return 0;
}

static int set_mgmtdev(void *priv, const char *value)
{
	struct settings *s = priv;

	if (s->n_mgmtdevs == DEVS_MAX) {
		return err(-E2BIG, "--mgmtdev: more than %d", DEVS_MAX);
	}
	s->mgmtdevs[s->n_mgmtdevs++] = value;
	return 0;
}

static int set_private(void *priv, const char *value)
{
	struct settings *s = priv;
	uint64_t fd;
	int r = parse_u64("--private", value, INT32_MAX, &fd);

	if (r < 0) {
		return r;
	}
	if (fd < 3 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0) {
		return err(-EBADF,
			   "--private: %s is no open descriptor above 2",
			   value);
	}
	s->host.private_fd = (int)fd;
	return 0;
}

static int set_workers(void *priv, const char *value)
{
	struct settings *s = priv;
	uint64_t n;
	int r = parse_u64("--workers", value, INSTANCE_WORKERS_MAX, &n);

	if (r == 0 && n == 0) {
		r = err(-ERANGE, "--workers: at least 1 is needed");
	}
	if (r == 0) {
		s->host.n_workers = (unsigned int)n;
	}
	return r;
}

static int set_loop(void *priv, const char *value)
{
	struct settings *s = priv;

	return err_context(loop_kind_parse(value, &s->host.loop), "--loop");
}

static int set_log(void *priv, const char *value)
{
	struct settings *s = priv;

	return log_level_parse(value, &s->level) < 0
		       ? err(-EINVAL,
			     "--log: '%s' is not err, warn, info or "
			     "debug",
			     value)
		       : 0;
}

static int set_foreground(void *priv, const char *value)
{
	return 0;
}

static int set_version(void *priv, const char *value)
{
	((struct settings *)priv)->wants_version = true;
	return 0;
}

static int set_help(void *priv, const char *value)
{
	((struct settings *)priv)->wants_help = true;
	return 0;
}

static const struct arg_option options[] = {
	{ "socket", 's', "PATH",
	  "listen there for vdpakit (/run/vdpakit/rpc.sock)", set_socket },
	{ "preload", 'p', "PATH",
	  "listen there for clients (/run/vdpakit/preload.sock)", set_preload },
	{ "dev", 'd', "SPEC",
	  "make a device first: \"NAME MGMTDEV [KEY VALUE]... [bind DRIVER "
	  "[KEY VALUE]...]\"; repeatable",
	  set_dev },
	{ "mgmtdev", 'm', "SPEC",
	  "change a management device first: \"MGMTDEV KEY=VALUE...\"; "
	  "repeatable",
	  set_mgmtdev },
	{ "workers", 'w', "N", "threads for virtqueues (CPUs, at most 4)",
	  set_workers },
	{ "loop", 0, "KIND", "wait by auto (default), io_uring or epoll",
	  set_loop },
	{ "log", 'l', "LEVEL", "err, warn, info (default) or debug", set_log },
	{ "private", 0, "FD", "end when the other end of this socket does",
	  set_private },
	{ "foreground", 'f', NULL, "do not go into the background (as always)",
	  set_foreground },
	{ "version", 'V', NULL, "print the version", set_version },
	{ "help", 'h', NULL, "print this", set_help },
};

static void print_help(void)
{
	(void)printf("Usage: vdpakitd [OPTIONS]\n\n"
		     "The vDPA bus of this machine, in userspace: devices, "
		     "their bus drivers, and the\nsockets by which `vdpakit` "
		     "and clients reach them.\n\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

/* The journal takes the level from the front of the line. */
static void journal_sink(enum log_level level, const char *line)
{
	static const int priorities[] = {
		[LOG_LEVEL_ERR] = 3,
		[LOG_LEVEL_WARN] = 4,
		[LOG_LEVEL_INFO] = 6,
		[LOG_LEVEL_DEBUG] = 7,
	};

	_Static_assert(ARRAY_SIZE(priorities) == LOG_LEVEL_N, "one a level");
	/* Nobody is left to tell when standard error is gone. */
	(void)fprintf(stderr, "<%d>%s\n", priorities[level], line);
}

/* Each open file of a client is a few descriptors of ours. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		/* With fewer we turn clients away sooner, that is all. */
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int start_and_run(const struct settings *s, struct host *host)
{
	int r = 0;

	for (unsigned int i = 0; i < s->n_mgmtdevs && r == 0; i++) {
		r = host_set(host, s->mgmtdevs[i]);
	}
	for (unsigned int i = 0; i < s->n_devs && r == 0; i++) {
		r = host_add(host, s->devs[i]);
	}
	if (r == 0) {
		r = host_serve(host);
	}
	return r < 0 ? r : host_run(host);
}

/* A private daemon's owner says it to the user. */
static void report(const struct settings *s, int r)
{
	char text[ERR_TEXT_MAX + 8];
	int n;

	if (s->host.private_fd < 0) {
		log_err(HOST_TAG, "%s", err_text(r));
		return;
	}
	n = snprintf(text, sizeof(text), "%s\n", err_text(r));
	if (send(s->host.private_fd, text, (size_t)n, MSG_NOSIGNAL) < 0) {
		log_err(HOST_TAG, "%s", err_text(r));
	}
}

int main(int argc, char **argv)
{
	struct settings s = {
		.host = { .rpc_path = "/run/vdpakit/rpc.sock",
			  .preload_path = "/run/vdpakit/preload.sock",
			  .private_fd = -1 },
		.level = LOG_LEVEL_INFO,
	};
	struct host *host = NULL;
	int r = args_parse(options, ARRAY_SIZE(options), argc - 1, argv + 1,
			   &s);

	log_set_sink(stderr_is_journal() ? journal_sink : NULL, s.level);
	if (r >= 0 && r < argc - 1) {
		r = err(-EINVAL, "'%s' is no option; --help lists them",
			argv[1 + r]);
	}
	if (r >= 0 && s.wants_help) {
		print_help();
		return 0;
	}
	if (r >= 0 && s.wants_version) {
		(void)printf("vdpakitd %s\n", VDPAKIT_VERSION);
		return 0;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* a closed standard error */
	raise_fd_limit();
	if (r >= 0) {
		r = host_new(&s.host, &host);
	}
	if (r >= 0) {
		r = start_and_run(&s, host);
	}
	if (r < 0) {
		report(&s, r);
	}
	host_free(host);
	return r < 0 ? 1 : 0;
}
