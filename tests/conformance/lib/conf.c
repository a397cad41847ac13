/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a conformance test stands on.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"

#define TEST_LIMIT_S 90
#define NODES_MAX    8
#define PATH_SIZE    256

/* ---- one test ---- */

int conf_setup(void **state)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c) {
		return -1;
	}
	c->pid = getpid();
	c->is_packed = *state != NULL;
	/* Written to when the other side is gone: an errno is enough. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(TEST_LIMIT_S);
	*state = c;
	return 0;
}

void conf_drop(struct conf *c, unsigned int n_fds, unsigned int n_mems)
{
	while (c->n_fds > n_fds) {
		(void)close(c->fds[--c->n_fds]);
	}
	while (c->n_mems > n_mems) {
		struct conf_mem *mem = &c->mems[--c->n_mems];

		(void)munmap(mem->va, mem->size);
		if (mem->fd >= 0) {
			(void)close(mem->fd);
		}
	}
}

int conf_teardown(void **state)
{
	struct conf *c = *state;

	if (c->pid != getpid()) {
		_exit(CONF_CHILD_FAILED); /* a failed assertion led here */
	}
	while (c->n_children > 0) {
		conf_kill(c, c->children[0]);
	}
	conf_drop(c, 0, 0);
	(void)alarm(0);
	free(c);
	return 0;
}

bool conf_is_kernel(void)
{
	const char *v = getenv("CONFORMANCE_KERNEL");

	return v && strcmp(v, "1") == 0;
}

void conf_skip(const char *why)
{
	print_message("# skipped: %s\n", why);
	skip();
	abort(); /* skip() does not return, but does not say so */
}

void conf_product_only(const char *why)
{
	if (conf_is_kernel()) {
		conf_skip(why);
	}
}

/* ---- nodes ---- */

/* Return: the path of a vhost-user socket; NULL: tests are to use nodes */
static const char *socket_of(unsigned int device_id)
{
	return getenv(device_id == CONF_DEVICE_NET ? "CONFORMANCE_NET"
						   : "CONFORMANCE_BLK");
}

void conf_vdpa_only(const char *why)
{
	if (socket_of(CONF_DEVICE_BLK) || socket_of(CONF_DEVICE_NET)) {
		conf_skip(why);
	}
}

static unsigned int list_nodes(char nodes[NODES_MAX][PATH_SIZE])
{
	const char *list = getenv("CONFORMANCE_NODE");
	unsigned int n = 0;

	if (!list) {
		list = "/dev/vhost-vdpa-0:/dev/vhost-vdpa-1";
	}
	while (*list && n < NODES_MAX) {
		size_t len = strcspn(list, ":");

		assert_true(len < PATH_SIZE);
		memcpy(nodes[n], list, len);
		nodes[n++][len] = '\0';
		list += len + (list[len] == ':');
	}
	return n;
}

const char *conf_node(void)
{
	static char nodes[NODES_MAX][PATH_SIZE];

	assert_true(list_nodes(nodes) > 0);
	return nodes[0];
}

const char *conf_node_of(unsigned int device_id)
{
	static char nodes[NODES_MAX][PATH_SIZE];
	unsigned int n = list_nodes(nodes);

	if (socket_of(CONF_DEVICE_BLK) || socket_of(CONF_DEVICE_NET)) {
		if (socket_of(device_id)) {
			return socket_of(device_id);
		}
		n = 0;
	}
	for (unsigned int i = 0; i < n; i++) {
		__u32 id = 0;
		int fd = open(nodes[i], O_RDWR | O_CLOEXEC);

		if (fd < 0) {
			continue;
		}
		(void)ioctl(fd, VHOST_VDPA_GET_DEVICE_ID, &id);
		(void)close(fd);
		if (id == device_id) {
			return nodes[i];
		}
	}
	conf_skip("no node of this kind of device");
}

/* ---- descriptors ---- */

void conf_keep_fd(struct conf *c, int fd)
{
	assert_true(c->n_fds < CONF_FDS_MAX);
	c->fds[c->n_fds++] = fd;
}

int conf_try_open(struct conf *c, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0) {
		return -errno;
	}
	conf_keep_fd(c, fd);
	return fd;
}

int conf_open(struct conf *c, const char *path, int flags)
{
	int fd = conf_try_open(c, path, flags);

	if (fd < 0) {
		print_error("%s: %s\n", path, strerror(-fd));
	}
	assert_true(fd >= 0);
	return fd;
}

void conf_close(struct conf *c, int fd)
{
	for (unsigned int i = 0; i < c->n_fds; i++) {
		if (c->fds[i] == fd) {
			c->fds[i] = c->fds[--c->n_fds];
			break;
		}
	}
	assert_int_equal(close(fd), 0);
}

int conf_open_soon(struct conf *c, const char *path, int flags)
{
	unsigned long end = conf_now_ms() + CONF_WAIT_MS;
	int fd;

	do {
		fd = conf_try_open(c, path, flags);
		if (fd != -EBUSY) {
			break;
		}
		conf_breathe();
	} while (conf_now_ms() < end);
	assert_true(fd >= 0);
	return fd;
}

int conf_eventfd(struct conf *c, unsigned int count)
{
	int fd = eventfd(count, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	conf_keep_fd(c, fd);
	return fd;
}

unsigned long conf_eventfd_take(int fd)
{
	__u64 count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

bool conf_eventfd_wait(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* ---- memory ---- */

static struct conf_mem keep_mem(struct conf *c, char *va, size_t size, int fd)
{
	struct conf_mem mem = { va, size, fd };

	assert_true(va != MAP_FAILED);
	assert_true(c->n_mems < CONF_MEMS_MAX);
	c->mems[c->n_mems++] = mem;
	return mem;
}

struct conf_mem conf_memfd(struct conf *c, size_t size)
{
	int fd = memfd_create("conformance", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *va;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	va = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return keep_mem(c, va, size, fd);
}

/* The kernel seals a file against writing only when no such mapping is left. */
bool conf_is_released(const struct conf_mem *mem)
{
	unsigned long end = conf_now_ms() + CONF_WAIT_MS;

	(void)munmap(mem->va, mem->size);
	while (fcntl(mem->fd, F_ADD_SEALS, F_SEAL_WRITE) < 0) {
		if (errno != EBUSY || conf_now_ms() > end) {
			return false;
		}
		conf_breathe();
	}
	return true;
}

struct conf_mem conf_anon(struct conf *c, size_t size, int flags)
{
	char *va = mmap(NULL, size, PROT_READ | PROT_WRITE,
			flags | MAP_ANONYMOUS, -1, 0);

	return keep_mem(c, va, size, -1);
}

/* ---- processes ---- */

static int status_of(int status)
{
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int conf_in_child(int (*fn)(void *arg), void *arg)
{
	int status = 0;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)alarm(TEST_LIMIT_S);
		_exit(fn(arg));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status_of(status);
}

pid_t conf_fork(struct conf *c)
{
	pid_t pid;

	assert_true(c->n_children < CONF_CHILD_MAX);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)alarm(TEST_LIMIT_S);
	} else {
		c->children[c->n_children++] = pid;
	}
	return pid;
}

int conf_reap(struct conf *c, pid_t pid)
{
	int status = 0;

	for (unsigned int i = 0; i < c->n_children; i++) {
		if (c->children[i] == pid) {
			c->children[i] = c->children[--c->n_children];
			break;
		}
	}
	(void)waitpid(pid, &status, 0);
	return status_of(status);
}

void conf_kill(struct conf *c, pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)conf_reap(c, pid);
}

/* ---- time ---- */

unsigned long conf_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned long)ts.tv_sec * 1000 +
	       (unsigned long)ts.tv_nsec / 1000000;
}

void conf_breathe(void)
{
	(void)poll(NULL, 0, 1);
}
