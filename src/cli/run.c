/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit run: a command with devices of its own.
 *
 * Theory of operation
 *
 *   run ----- socket pair ----- vdpakitd      the daemon: its own session
 *    |                              |
 *    +-- COMMAND, LD_PRELOAD -------+         the command: our process group
 *
 * The daemon says on the socket pair that it is ready, or why not, and takes
 * its end for the end of us: nothing is left behind whatever kills us. The
 * other way round its end tells us that the devices have gone; the command is
 * told by its own system calls, and goes on.
 *
 * Signals. What a terminal sends goes to its whole foreground group, so the
 * command has it already; only what somebody sent to us alone is passed on.
 * When we are killed outright, the kernel sends the command SIGTERM.
 *
 * Exit status: the command's; 128 + n when signal n killed it; 125 when we
 * could not start things; 126 and 127 when the command cannot be run or found,
 * as of env(1).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/args.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/find.h"
#include "cli/rundir.h"
#include "loop/loop.h"
#include "mgmt/devspec.h"

#define DEVS_MAX	   256
#define STATUS_NOT_STARTED 125
#define STATUS_NOT_RUN	   126
#define STATUS_NOT_FOUND   127
/* How long a daemon may take to end before it is killed. */
#define DAEMON_END_MS 10000

struct run {
	/* options */
	const char *devs[DEVS_MAX];
	unsigned int n_devs;
	const char *mgmtdevs[DEVS_MAX];
	unsigned int n_mgmtdevs;
	const char *level;
	const char *workers;
	const char *loop;
	bool wants_help;
	/* what was started */
	struct rundir dir;
	char rpc_path[RUNDIR_PATH_MAX];
	char preload_path[RUNDIR_PATH_MAX];
	char daemon_path[FIND_PATH_MAX];
	char library_path[FIND_PATH_MAX];
	int sock; /* to the daemon; -1: it has ended */
	pid_t daemon;
	pid_t child; /* 0: not there, or gone */
	int status; /* of the child, as of waitpid() */
	sigset_t old_mask;
};

/* ---- options ---- */

static int set_dev(void *priv, const char *value)
{
	struct run *run = priv;

	if (run->n_devs == DEVS_MAX) {
		return err(-E2BIG, "--dev: more than %d devices", DEVS_MAX);
	}
	run->devs[run->n_devs++] = value;
	return 0;
}

static int set_mgmtdev(void *priv, const char *value)
{
	struct run *run = priv;

	if (run->n_mgmtdevs == DEVS_MAX) {
		return err(-E2BIG, "--mgmtdev: more than %d", DEVS_MAX);
	}
	run->mgmtdevs[run->n_mgmtdevs++] = value;
	return 0;
}

static int set_log(void *priv, const char *value)
{
	enum log_level level;

	((struct run *)priv)->level = value;
	return log_level_parse(value, &level) < 0
		       ? err(-EINVAL,
			     "--log: '%s' is not err, warn, info or debug",
			     value)
		       : 0;
}

static int set_workers(void *priv, const char *value)
{
	((struct run *)priv)->workers = value;
	return 0;
}

static int set_loop(void *priv, const char *value)
{
	enum loop_kind kind;

	((struct run *)priv)->loop = value;
	return err_context(loop_kind_parse(value, &kind), "--loop");
}

static int set_help(void *priv, const char *value)
{
	((struct run *)priv)->wants_help = true;
	return 0;
}

static const struct arg_option options[] = {
	{ "dev", 'd', "SPEC",
	  "a device: \"NAME MGMTDEV [KEY VALUE | KEY=VALUE]... [bind DRIVER "
	  "[KEY VALUE | KEY=VALUE]...]\"; repeatable",
	  set_dev },
	{ "mgmtdev", 'm', "SPEC",
	  "change a management device first: \"MGMTDEV KEY=VALUE...\"; "
	  "repeatable",
	  set_mgmtdev },
	{ "workers", 'w', "N", "threads for virtqueues (CPUs, at most 4)",
	  set_workers },
	{ "loop", 0, "KIND",
	  "the daemon waits by auto (default), io_uring or epoll", set_loop },
	{ "log", 'l', "LEVEL",
	  "of the daemon: err, warn (default), info, debug", set_log },
	{ "help", 'h', NULL, "print this", set_help },
};

void cli_run_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
	(void)printf(
		"\nThe exit status is COMMAND's; 128 + n when signal n killed "
		"it; 125 when it\ncould not be started for want of a daemon; "
		"126 and 127 as of env(1).\n");
}

/* ---- the daemon ---- */

/* In the forked child: everything of ours is closed but what it is to have. */
static void exec_daemon(const struct run *run, int sock)
{
	const char *argv[16];
	char fd_text[16];
	int n = 0, null_fd;

	(void)snprintf(fd_text, sizeof(fd_text), "%d", sock);
	argv[n++] = "vdpakitd";
	argv[n++] = "--private";
	argv[n++] = fd_text;
	argv[n++] = "--socket";
	argv[n++] = run->rpc_path;
	argv[n++] = "--preload";
	argv[n++] = run->preload_path;
	argv[n++] = "--log";
	argv[n++] = run->level;
	if (run->workers) {
		argv[n++] = "--workers";
		argv[n++] = run->workers;
	}
	if (run->loop) {
		argv[n++] = "--loop";
		argv[n++] = run->loop;
	}
	argv[n] = NULL;
	/* The terminal's signals are not for it. Fails for leaders only. */
	(void)setsid();
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(2, 1) < 0 ||
	    syscall(SYS_close_range, 3U, ~0U, 4U /* CLOEXEC */) < 0 ||
	    fcntl(sock, F_SETFD, 0) < 0 ||
	    fcntl(run->dir.lock_fd, F_SETFD, 0) < 0) {
		return;
	}
	/* In another run the daemon stays a client of it: what the kernel is to
	 * the outer one, the outer one is to it. */
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("NOTIFY_SOCKET");
	execv(run->daemon_path, (char *const *)(uintptr_t)argv);
}

/* What the daemon says first: "READY", or what is wrong. */
static int await_ready(const struct run *run)
{
	char line[ERR_TEXT_MAX];
	size_t n = 0;

	while (n + 1 < sizeof(line)) {
		ssize_t r = recv(run->sock, line + n, sizeof(line) - 1 - n, 0);

		if (r < 0 && errno == EINTR) {
			continue;
		}
		if (r <= 0) {
			break;
		}
		n += (size_t)r;
		if (line[n - 1] == '\n') {
			n--;
			break;
		}
	}
	line[n] = '\0';
	if (strcmp(line, "READY") == 0) {
		return 0;
	}
	return err(-ECHILD, "%s",
		   n > 0 ? line : "vdpakitd ended before it was ready");
}

static int start_daemon(struct run *run)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		return err(-errno, "socketpair: %s", strerror(errno));
	}
	run->sock = pair[0];
	run->daemon = fork();
	if (run->daemon == 0) {
		exec_daemon(run, pair[1]);
		(void)dprintf(2, "vdpakit: run: %s: %s\n", run->daemon_path,
			      strerror(errno));
		_exit(STATUS_NOT_STARTED);
	}
	(void)close_fd(pair[1]);
	if (run->daemon < 0) {
		run->daemon = 0;
		return err(-errno, "fork: %s", strerror(errno));
	}
	return await_ready(run);
}

static int add_dev(int fd, const char *spec)
{
	json_t *params = NULL, *bind = NULL;
	int r = devspec_from_text(spec, &params);

	if (r == 0) {
		r = devspec_take_bind(params, &bind);
	}
	/* The command may have to make it first. */
	if (r == 0 && json_object_set_new(params, "wait", json_integer(0))) {
		r = err(-ENOMEM, "out of memory");
	}
	if (r == 0) {
		r = client_call(fd, "dev.add", params, NULL);
	}
	if (r == 0 && bind) {
		r = client_call(fd, "dev.bind", bind, NULL);
	}
	json_decref(params);
	json_decref(bind);
	return err_context(r, "--dev '%s'", spec);
}

static int change_mgmtdev(int fd, const char *spec)
{
	json_t *params = NULL;
	int r = devspec_mgmtdev_from_text(spec, &params);

	if (r == 0) {
		r = client_call(fd, "mgmtdev.set", params, NULL);
	}
	json_decref(params);
	return err_context(r, "--mgmtdev '%s'", spec);
}

static int add_devs(const struct run *run)
{
	_cleanup_close_ int fd = -1;
	int r = 0;

	if (run->n_devs == 0 && run->n_mgmtdevs == 0) {
		return 0;
	}
	fd = client_connect(run->rpc_path);
	if (fd < 0) {
		return fd;
	}
	for (unsigned int i = 0; i < run->n_mgmtdevs && r == 0; i++) {
		r = change_mgmtdev(fd, run->mgmtdevs[i]);
	}
	for (unsigned int i = 0; i < run->n_devs && r == 0; i++) {
		r = add_dev(fd, run->devs[i]);
	}
	return r;
}

/* Closing the socket ends it; one that hangs is killed. */
static void end_daemon(struct run *run)
{
	_cleanup_close_ int pidfd = -1;
	struct pollfd poll_fd = { .events = POLLIN };

	run->sock = close_fd(run->sock);
	if (run->daemon == 0) {
		return;
	}
	pidfd = (int)syscall(SYS_pidfd_open, run->daemon, 0);
	poll_fd.fd = pidfd;
	if (pidfd >= 0 && poll(&poll_fd, 1, DAEMON_END_MS) == 0) {
		(void)kill(run->daemon, SIGKILL); /* ours, not yet waited for */
	}
	while (waitpid(run->daemon, NULL, 0) < 0 && errno == EINTR) {
	}
	run->daemon = 0;
}

/* ---- the command ---- */

/* Ours goes first; one that is there already is not named again. */
static int set_preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	_cleanup_free_ char *value = NULL;

	if (old && strstr(old, library)) {
		return 0;
	}
	if (asprintf(&value, "%s%s%s", library, old && old[0] ? ":" : "",
		     old ? old : "") < 0) {
		value = NULL;
		return -ENOMEM;
	}
	return setenv("LD_PRELOAD", value, 1) < 0 ? -errno : 0;
}

static void exec_command(const struct run *run, pid_t parent, char **argv)
{
	int code;

	(void)sigprocmask(SIG_SETMASK, &run->old_mask, NULL);
	/* A set-uid command does without. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent) {
		_exit(STATUS_NOT_STARTED);
	}
	if (set_preload(run->library_path) < 0 ||
	    setenv("VDPAKIT_SOCKET", run->preload_path, 1) < 0 ||
	    setenv("VDPAKIT_RPC", run->rpc_path, 1) < 0) {
		_exit(STATUS_NOT_STARTED);
	}
	execvp(argv[0], argv);
	code = errno;
	(void)dprintf(2, "vdpakit: run: %s: %s\n", argv[0], strerror(code));
	_exit(code == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN);
}

static int start_command(struct run *run, char **argv)
{
	pid_t self = getpid();

	/* Nothing of ours may be printed twice. */
	(void)fflush(NULL);
	run->child = fork();
	if (run->child == 0) {
		exec_command(run, self, argv);
	}
	if (run->child < 0) {
		run->child = 0;
		return err(-errno, "fork: %s", strerror(errno));
	}
	return 0;
}

/* ---- waiting ---- */

static const int passed_on[] = { SIGINT,  SIGQUIT, SIGTERM, SIGHUP,
				 SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT };

static int open_signals(struct run *run)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++) {
		sigaddset(&set, passed_on[i]);
	}
	if (sigprocmask(SIG_BLOCK, &set, &run->old_mask) < 0) {
		return err(-errno, "signals: %s", strerror(errno));
	}
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err(-errno, "signalfd: %s", strerror(errno)) : fd;
}

/*
 * What SIGTSTP does to whoever does not block it: stop, unless nobody could
 * continue us (an orphaned process group).
 */
static void stop_here(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	(void)raise(SIGTSTP);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void pass_on(const struct run *run, const struct signalfd_siginfo *info)
{
	bool is_terminals = info->ssi_code == SI_KERNEL;

	if (run->child > 0 && !is_terminals) {
		(void)kill(run->child, (int)info->ssi_signo);
	}
	if (info->ssi_signo == SIGTSTP) {
		/* The shell waits for us to stop, too. */
		stop_here();
	}
}

static void say_daemon_ended(const struct run *run, int status)
{
	if (WIFSIGNALED(status)) {
		(void)fprintf(stderr,
			      "vdpakit: run: vdpakitd was killed (%s): the "
			      "devices are gone\n",
			      strsignal(WTERMSIG(status)));
	} else {
		(void)fprintf(stderr,
			      "vdpakit: run: vdpakitd ended (status %d): the "
			      "devices are gone\n",
			      WEXITSTATUS(status));
	}
}

static void reap(struct run *run)
{
	int status;

	if (run->daemon > 0 && waitpid(run->daemon, &status, WNOHANG) > 0) {
		run->daemon = 0;
		say_daemon_ended(run, status);
	}
	if (run->child > 0 && waitpid(run->child, &status, WNOHANG) > 0) {
		run->child = 0;
		run->status = status;
	}
}

static void await_command(struct run *run, int signal_fd)
{
	struct pollfd poll_fd = { .fd = signal_fd, .events = POLLIN };

	while (run->child > 0) {
		struct signalfd_siginfo info;

		if (read(signal_fd, &info, sizeof(info)) != sizeof(info)) {
			(void)poll(&poll_fd, 1, -1); /* read() tells */
		} else if (info.ssi_signo == SIGCHLD) {
			reap(run);
		} else {
			pass_on(run, &info);
		}
	}
}

static int start_and_await(struct run *run, char **argv)
{
	_cleanup_close_ int signal_fd = -1;
	int r = start_daemon(run);

	if (r == 0) {
		r = add_devs(run);
	}
	if (r < 0) {
		return r;
	}
	signal_fd = open_signals(run);
	if (signal_fd < 0) {
		return signal_fd;
	}
	r = start_command(run, argv);
	if (r == 0) {
		await_command(run, signal_fd);
	}
	return r;
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

static int prepare(struct run *run)
{
	int r = find_daemon(run->daemon_path);

	if (r == 0) {
		r = find_library(run->library_path);
	}
	if (r == 0) {
		r = rundir_new(&run->dir);
	}
	if (r == 0) {
		rundir_file(&run->dir, "rpc.sock", run->rpc_path);
		rundir_file(&run->dir, "preload.sock", run->preload_path);
	}
	return r;
}

/* Not to be started is another status than any of the command's. */
static int not_started(int r)
{
	(void)fprintf(stderr, "vdpakit: run: %s\n", err_text(r));
	return STATUS_NOT_STARTED;
}

int cli_run(const struct cli *cli, int argc, char **argv)
{
	struct run run = { .level = "warn", .sock = -1 };
	int r = args_parse(options, ARRAY_SIZE(options), argc, argv, &run);

	if (r >= 0 && run.wants_help) {
		cli_run_help();
		return 0;
	}
	if (r == argc) {
		r = err(-EINVAL, "a command is missing: vdpakit run [--dev "
				 "SPEC]... -- COMMAND");
	}
	if (r < 0) {
		return not_started(r);
	}
	argv += r;
	r = prepare(&run);
	if (r < 0) {
		return not_started(r);
	}
	r = start_and_await(&run, argv);
	if (r < 0) {
		r = not_started(r);
	} else {
		r = exit_status(run.status);
	}
	end_daemon(&run);
	rundir_remove(&run.dir);
	return r;
}
