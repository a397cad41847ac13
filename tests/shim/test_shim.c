/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the shim and the preload carrier together: a daemon in this process
 * (its loop in a thread), clients as programs of their own under LD_PRELOAD.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cdev/cdev.h"
#include "cdev/test_toy.h"
#include "shim/client.h"
#include "shim/genl.h"

#define CLIENT_TIMEOUT_S 100

struct fixture {
	char dir[64];
	char path[96];
	struct loop *loop;
	struct cdev *cdev;
	struct toy *toy;
	struct toy *queue;
	struct cdev_preload *preload;
	unsigned int n_fds;
};

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(addr.sun_path));
	memcpy(addr.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 128), 0);
	return fd;
}

static void start_daemon(struct fixture *f)
{
	static const struct cdev_netlink_ops netlink = {
		.request = genl_request,
	};

	assert_int_equal(loop_new("control", &f->loop), 0);
	assert_int_equal(cdev_new(f->loop, &f->cdev), 0);
	assert_int_equal(toy_new(f->cdev, "vhost-vdpa-0", 0, &f->toy), 0);
	assert_int_equal(toy_new_queue(f->cdev, "vduse/queue", 1, &f->queue),
			 0);
	assert_int_equal(cdev_preload_new(f->cdev, listen_at(f->path), &netlink,
					  &f->preload),
			 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)strcpy(f->dir, "/tmp/vdpakit-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	start_daemon(f);
	assert_int_equal(loop_start(f->loop), 0);
	f->n_fds = test_count_fds();
	*state = f;
	return 0;
}

struct query {
	struct fixture *f;
	struct cdev_preload_stats stats;
	struct toy_counts counts;
	unsigned int n_pending;
};

static void look(void *priv)
{
	struct query *q = priv;

	cdev_preload_get_stats(q->f->preload, &q->stats);
	q->counts = toy_counts(q->f->toy);
	q->n_pending = toy_n_pending(q->f->toy);
}

static struct query query(struct fixture *f)
{
	struct query q = { .f = f };

	loop_call_wait(f->loop, look, &q);
	return q;
}

/* Until clients are gone as far as the daemon is concerned. */
static struct query await_idle(struct fixture *f)
{
	struct query q;

	do {
		q = query(f);
		(void)poll(NULL, 0, 1);
	} while (q.stats.n_conns > 0 || q.stats.n_tasks > 0);
	return q;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct query q = await_idle(f);

	assert_int_equal(q.stats.n_files, 0);
	assert_int_equal(q.counts.n_opens, q.counts.n_releases);
	assert_int_equal(q.stats.n_cut_off, 0);
	assert_int_equal(q.stats.n_dropped_fds, 0);
	assert_int_equal(test_count_fds(), f->n_fds);
	loop_stop(f->loop);
	assert_null(cdev_preload_free(f->preload));
	assert_null(toy_free(f->toy));
	assert_null(toy_free(f->queue));
	assert_null(cdev_free(f->cdev));
	assert_null(loop_free(f->loop));
	(void)unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* ---- clients ---- */

static pid_t start(struct fixture *f, const char *const argv[])
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setenv("LD_PRELOAD", SHIM_PATH, 1);
		(void)setenv("VDPAKIT_SOCKET", f->path, 1);
		(void)alarm(CLIENT_TIMEOUT_S);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid;
}

static void expect_status(pid_t pid, int status)
{
	int wstatus;

	assert_int_equal(waitpid(pid, &wstatus, 0), pid);
	if (!WIFEXITED(wstatus)) {
		fail_msg("client killed by signal %d", WTERMSIG(wstatus));
	}
	assert_int_equal(WEXITSTATUS(wstatus), status);
}

static void run_case(struct fixture *f, const char *name)
{
	const char *argv[] = { SHIM_CLIENT_PATH, name, NULL };

	expect_status(start(f, argv), 0);
}

static void run_shell(struct fixture *f, const char *script)
{
	const char *argv[] = { "bash", "-euc", script, NULL };

	expect_status(start(f, argv), 0);
}

/* Each case of the client that takes no arguments and comes back. */
#define CLIENT_TEST(name)                            \
	static void test_client_##name(void **state) \
	{                                            \
		run_case(*state, #name);             \
	}
CLIENT_CASES(CLIENT_TEST)

/* Only what came before the shim knew of it bypassed it. */
static void test_client_raw_own(void **state)
{
	struct fixture *f = *state;

#if defined(__x86_64__) || defined(__aarch64__)
	run_case(f, "raw_own");
	assert_int_equal(await_idle(f).stats.n_raw_writes, 1);
#else
	(void)f;
	TEST_SKIP("no such system calls are known for this machine");
#endif
}

static void test_client_raw_at_fixed_addresses(void **state)
{
	struct fixture *f = *state;

#if defined(__x86_64__) || defined(__aarch64__)
	run_shell(f, "setarch -R " SHIM_CLIENT_PATH " raw_fixed");
	assert_int_equal(await_idle(f).stats.n_raw_writes, 10);
#else
	(void)f;
	TEST_SKIP("no such system calls are known for this machine");
#endif
}

/* ---- deaths ---- */

static void test_client_killed_is_released(void **state)
{
	struct fixture *f = *state;
	const char *argv[] = { SHIM_CLIENT_PATH, "hang", NULL };
	struct query q;

	for (unsigned int i = 1; i <= 10; i++) {
		pid_t pid = start(f, argv);
		int status;

		do {
			q = query(f);
			(void)poll(NULL, 0, 1);
		} while (q.n_pending == 0);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		q = await_idle(f);
		assert_int_equal(q.counts.n_cancels, i);
		assert_int_equal(q.counts.n_releases, i);
	}
}

/* The daemon of this one test is a process of its own. */
static pid_t fork_daemon(struct fixture *f, int ready)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)alarm(CLIENT_TIMEOUT_S);
		f->loop = NULL;
		start_daemon(f);
		(void)!write(ready, "x", 1);
		(void)loop_run(f->loop);
		_exit(1);
	}
	return pid;
}

static void kill_daemon(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_daemon_killed_gives_eio(void **state)
{
	struct fixture *f = *state;
	struct fixture other = { 0 };
	int tell[2], ready[2];
	char number[16], byte;
	const char *argv[] = { SHIM_CLIENT_PATH, "daemon_dies", number, NULL };
	pid_t daemon, client;

	(void)snprintf(other.path, sizeof(other.path), "%s/other", f->dir);
	assert_int_equal(pipe(tell), 0);
	assert_int_equal(pipe(ready), 0);
	(void)snprintf(number, sizeof(number), "%d", tell[1]);
	daemon = fork_daemon(&other, ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	client = start(&other, argv);
	assert_int_equal(read(tell[0], &byte, 1), 1);
	kill_daemon(daemon);
	(void)unlink(other.path);
	assert_int_equal(read(tell[0], &byte, 1), 1);
	daemon = fork_daemon(&other, ready[1]);
	expect_status(client, 0);
	kill_daemon(daemon);
	for (int i = 0; i < 2; i++) {
		close(tell[i]);
		close(ready[i]);
	}
	(void)unlink(other.path);
}

/* The shim without a daemon, or without being told of one, is not there. */
static void test_without_daemon_nothing_changes(void **state)
{
	struct fixture none = { .path = "/nonexistent/socket" };
	struct fixture off = { .path = "" };

	run_shell(&none, "! cat /dev/vhost-vdpa-7 2>/dev/null; "
			 "cmp /proc/devices <(env -u LD_PRELOAD cat "
			 "/proc/devices); echo a | sort >/dev/null");
	run_shell(&off, "! stat /dev/vhost-vdpa-7 2>/dev/null; "
			"echo a | sort >/dev/null");
}

/* ---- programs that are not ours ---- */

static void test_coreutils(void **state)
{
	struct fixture *f = *state;

	run_shell(f,
		  "cd \"$(dirname \"$VDPAKIT_SOCKET\")\"; "
		  "[ -c /dev/vhost-vdpa-0 ]; [ -w /dev/vhost-vdpa-0 ]; "
		  "[ ! -e /dev/vhost-vdpa-1 ]; "
		  "ls -l /dev/vhost-vdpa-0 | grep -q '^crw-------'; "
		  "stat -c %F /dev/vhost-vdpa-0 | grep -q 'character special'; "
		  "seq 20000 | shuf > a; cp a b; cmp a b; "
		  "sort --parallel=4 -n b | cmp - <(seq 20000); "
		  "tar cf - a b | tar tf - | wc -l | grep -q '^2$'; "
		  "mkdir d; mv b d/; find . -name b -exec rm {} +; "
		  "dd if=a of=c bs=4096 2>/dev/null; cmp a c; "
		  "rm -r a c d; grep -q ' vhost-vdpa$' /proc/devices");
}

static void test_errors_of_the_node_reach_programs(void **state)
{
	run_shell(*state, "cat /dev/vhost-vdpa-0 2>&1 | "
			  "grep -q 'Invalid argument'; "
			  "dd if=/dev/zero of=/dev/vhost-vdpa-0 bs=39 count=1 "
			  "2>&1 | grep -q 'Invalid argument'; "
			  "(head -c 39 /dev/zero | cat > /dev/vhost-vdpa-0) "
			  "2>&1 | grep -q 'Invalid argument'; "
			  "exec 5<>/dev/vhost-vdpa-0; "
			  "! (: <> /dev/vhost-vdpa-0) 2>/dev/null");
}

static void test_python(void **state)
{
	if (system("python3 -c '' 2>/dev/null") != 0) {
		skip();
	}
	run_shell(*state,
		  "python3 - <<'END'\n"
		  "import os, fcntl, struct, subprocess, stat, select\n"
		  "from concurrent.futures import ThreadPoolExecutor\n"
		  "fd = os.open('/dev/vhost-vdpa-0', os.O_RDWR)\n"
		  "def add(v):\n"
		  "    b = bytearray(struct.pack('Q', v))\n"
		  "    assert fcntl.ioctl(fd, 0xc008afc0, b) == 0\n"
		  "    return struct.unpack('Q', b)[0]\n"
		  "with ThreadPoolExecutor(8) as e:\n"
		  "    assert list(e.map(add, range(500))) == "
		  "list(range(1, 501))\n"
		  "assert stat.S_ISCHR(os.fstat(fd).st_mode)\n"
		  "for i in range(5):\n"
		  "    assert subprocess.run(['true']).returncode == 0\n"
		  "assert add(1) == 2\n"
		  "try:\n"
		  "    os.write(fd, b'x' * 39)\n"
		  "    assert False\n"
		  "except OSError as e:\n"
		  "    assert e.errno == 22\n"
		  "try:\n"
		  "    select.epoll().register(fd)\n"
		  "    assert False\n"
		  "except PermissionError:\n"
		  "    pass\n"
		  "END");
}

static void test_client_in_a_container(void **state)
{
	if (system("unshare -pf --mount-proc true 2>/dev/null") != 0) {
		print_message("SKIP %s: unshare is not allowed\n", __func__);
		skip();
	}
	run_shell(*state,
		  "unshare -pf --mount-proc " SHIM_CLIENT_PATH " container");
}

/* The loader never looks at it; nor does any harm come of it. */
static void test_static_program_goes_on_without(void **state)
{
	struct fixture *f = *state;
	const char *argv[] = { SHIM_STATIC_PATH, NULL };

	if (!*SHIM_STATIC_PATH) {
		print_message("SKIP %s: no static libc\n", __func__);
		skip();
	}
	expect_status(start(f, argv), 0);
	assert_int_equal(query(f).stats.n_accepted, 0);
}

/* The unmodified tool of iproute2, against the stand-in of genl.c. */
static void test_vdpa_tool(void **state)
{
	if (access("/usr/sbin/vdpa", X_OK) < 0 &&
	    access("/sbin/vdpa", X_OK) < 0) {
		skip();
	}
	run_shell(*state,
		  "PATH=$PATH:/sbin:/usr/sbin; "
		  "vdpa -j mgmtdev show | grep -q '\"toymgmt\"'; "
		  "vdpa mgmtdev show toymgmt | grep -q toymgmt; "
		  "vdpa mgmtdev show other 2>&1 | grep -q 'No such device'; "
		  "[ \"$(vdpa dev show | wc -l)\" = 2000 ]; "
		  "ip -V >/dev/null; ip link show lo >/dev/null");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
#define CLIENT_ENTRY(name) T(test_client_##name),
	CLIENT_CASES(CLIENT_ENTRY) T(test_client_raw_own),
	T(test_client_raw_at_fixed_addresses),
	T(test_client_killed_is_released),
	T(test_daemon_killed_gives_eio),
	T(test_without_daemon_nothing_changes),
	T(test_coreutils),
	T(test_errors_of_the_node_reach_programs),
	T(test_python),
	T(test_client_in_a_container),
	T(test_static_program_goes_on_without),
	T(test_vdpa_tool),
};

TEST_MAIN("shim")
