/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preload carrier: tasks and the channels on which they get replies.
 *
 * Theory of operation
 *
 * exec() and death close a task's channels; then its pending calls are
 * cancelled. So may a program that closes every descriptor it finds, by system
 * calls that the shim does not see; it goes on as the same task with a new
 * channel. A task without channels is therefore asleep until it says HELLO
 * again, and ends with its process. Files may hold the cdev_task longer, for
 * memory that a dead client's device still refers to.
 *
 * Writes that bypass the shim carry no task, only the kernel's word about the
 * sender's process. It is the task of that process, if that is known and alive.
 * A process that is not visible to us (pid 0: another pid namespace) is taken
 * for the one that used the file last. Any other is a stranger, with a task of
 * its own, without memory, for this one write.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cdev/preload_internal.h"

struct ptask *task_find(struct cdev_preload *preload, uint64_t id)
{
	struct ptask *ptask;

	list_for_each_entry(ptask, &preload->tasks, node) {
		if (ptask->id == id) {
			return ptask;
		}
	}
	return NULL;
}

static void channel_close(struct channel *channel)
{
	struct ptask *ptask = channel->ptask;

	if (channel->fd >= 0) {
		channel->watch = loop_watch_free(channel->watch);
		channel->fd = close_fd(channel->fd);
		ptask->n_channels--;
		ptask->preload->n_channels--;
	}
}

static void wake(struct ptask *ptask)
{
	ptask->pidfd_watch = loop_watch_free(ptask->pidfd_watch);
	ptask->pidfd = close_fd(ptask->pidfd);
}

void ptask_free(struct ptask *ptask)
{
	list_del(&ptask->node);
	for (size_t i = 0; i < PRELOAD_CHANNELS_MAX; i++) {
		channel_close(&ptask->channels[i]);
	}
	call_cancel_channel(ptask, -1);
	wake(ptask);
	if (ptask->conn) {
		ptask->conn->n_tasks--;
	}
	ptask->preload->stats.n_tasks--;
	(void)cdev_task_unref(ptask->task);
	free(ptask);
}

void task_forget_conn(struct conn *conn)
{
	struct ptask *ptask;

	list_for_each_entry(ptask, &conn->preload->tasks, node) {
		if (ptask->conn == conn) {
			ptask->conn = NULL;
		}
	}
}

static void process_ended(void *priv, unsigned int events)
{
	ptask_free(priv);
}

/* Its last channel has gone. */
static void fall_asleep(struct ptask *ptask)
{
	pid_t pid = cdev_task_pid(ptask->task);

	ptask->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (ptask->pidfd < 0 ||
	    loop_watch_new(ptask->preload->loop, ptask->pidfd, LOOP_IN,
			   process_ended, ptask, &ptask->pidfd_watch) < 0) {
		ptask_free(ptask);
	}
}

/* The client closed its end. */
static void channel_end(void *priv, unsigned int events)
{
	struct channel *channel = priv;
	struct ptask *ptask = channel->ptask;

	if (!(events & LOOP_HUP)) {
		return;
	}
	channel_close(channel);
	call_cancel_channel(ptask, (int)(channel - ptask->channels));
	if (ptask->n_channels == 0) {
		fall_asleep(ptask);
	}
}

void task_reply(struct ptask *ptask, unsigned int channel,
		const struct fd_msg *msg)
{
	int fd = ptask->channels[channel].fd;

	if (fd >= 0 && fd_send(fd, msg, MSG_DONTWAIT) < 0) {
		ptask->preload->stats.n_cut_off++;
		/* Its end wakes whoever waits there; channel_end() follows. */
		(void)shutdown(fd, SHUT_RDWR);
	}
}

/* Introduction */

/* A file that a client offers as its /proc/self/... must be of procfs, or
 * reading it could keep us waiting. */
static bool is_proc_file(int fd)
{
	struct statfs sfs;

	return fstatfs(fd, &sfs) == 0 && sfs.f_type == PROC_SUPER_MAGIC;
}

static bool is_channel_socket(int fd)
{
	int type = 0, domain = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       type == SOCK_SEQPACKET && domain == AF_UNIX;
}

/* What HELLO brought. */
struct hello_fds {
	int channel;
	int maps;
	int mem;
};

static int take_hello_fds(struct conn *conn, struct message *msg,
			  const struct preload_hello *hello,
			  struct hello_fds *ret)
{
	bool has_maps = hello->flags & PRELOAD_HAS_MAPS;
	bool has_mem = hello->flags & PRELOAD_HAS_MEM;
	int *fds = msg->fds.fds;

	*ret = (struct hello_fds){ -1, -1, -1 };
	if (msg->fds.n_fds != 1U + has_maps + has_mem) {
		return conn_fault(conn, -EPROTO, "HELLO: descriptors");
	}
	for (unsigned int i = 1; i < msg->fds.n_fds; i++) {
		if (!is_proc_file(fds[i])) {
			return conn_fault(conn, -EPROTO, "HELLO: not procfs");
		}
	}
	if (!is_channel_socket(fds[0])) {
		return conn_fault(conn, -EPROTO, "HELLO: no channel");
	}
	ret->channel = steal_fd(&fds[0]);
	ret->maps = has_maps ? steal_fd(&fds[1]) : -1;
	ret->mem = has_mem ? steal_fd(&fds[1 + has_maps]) : -1;
	return 0;
}

static int ptask_new(struct conn *conn, uint64_t id, pid_t pid,
		     struct hello_fds *fds, struct ptask **ret)
{
	struct cdev_preload *preload = conn->preload;
	struct ptask *ptask;
	int r;

	if (preload->stats.n_tasks >= CDEV_PRELOAD_TASKS_MAX ||
	    conn->n_tasks >= CDEV_PRELOAD_CONN_TASKS_MAX) {
		preload->stats.n_refused++;
		return conn_fault(conn, -EUSERS, "too many tasks");
	}
	ptask = calloc(1, sizeof(*ptask));
	if (!ptask) {
		return -ENOMEM;
	}
	r = cdev_task_new(pid, steal_fd(&fds->maps), steal_fd(&fds->mem),
			  &ptask->task);
	if (r < 0) {
		free(ptask);
		return r;
	}
	ptask->preload = preload;
	ptask->id = id;
	ptask->conn = conn;
	ptask->wants_files = cdev_task_mem(ptask->task) &&
			     !client_mem_is_visible(cdev_task_mem(ptask->task));
	ptask->pidfd = -1;
	list_init(&ptask->calls);
	for (size_t i = 0; i < PRELOAD_CHANNELS_MAX; i++) {
		ptask->channels[i].ptask = ptask;
		ptask->channels[i].fd = -1;
	}
	list_add_tail(&preload->tasks, &ptask->node);
	preload->stats.n_tasks++;
	conn->n_tasks++;
	*ret = ptask;
	return 0;
}

/* Takes @fd. */
static int channel_open(struct ptask *ptask, unsigned int idx, int take_fd)
{
	struct channel *channel = &ptask->channels[idx];
	struct cdev_preload *preload = ptask->preload;
	int r;

	if (channel->fd >= 0) {
		/* The client lost its end (closed by number, say). */
		channel_close(channel);
		call_cancel_channel(ptask, (int)idx);
	}
	if (preload->n_channels >= CDEV_PRELOAD_CHANNELS_MAX) {
		preload->stats.n_refused++;
		(void)close_fd(take_fd);
		return -EUSERS;
	}
	channel->fd = take_fd;
	ptask->n_channels++;
	preload->n_channels++;
	r = loop_watch_new(preload->loop, take_fd, 0, channel_end, channel,
			   &channel->watch);
	if (r < 0) {
		channel_close(channel);
		return r;
	}
	wake(ptask);
	return 0;
}

static int add_channel(struct conn *conn, const struct preload_hello *hello,
		       pid_t pid, struct hello_fds *fds)
{
	struct ptask *ptask = task_find(conn->preload, hello->task);
	int r = 0;

	if (!ptask) {
		r = ptask_new(conn, hello->task, pid, fds, &ptask);
	}
	if (r < 0) {
		return r;
	}
	r = channel_open(ptask, hello->channel, steal_fd(&fds->channel));
	if (r < 0 && ptask->n_channels == 0 && ptask->pidfd < 0) {
		ptask_free(ptask);
	}
	return r;
}

int task_hello(struct conn *conn, struct message *msg)
{
	struct preload_hello hello;
	struct hello_fds fds;
	int r;

	if (msg->len != sizeof(hello) || conn->state == CONN_NEW ||
	    conn->state == CONN_OPENING) {
		return conn_fault(conn, -EPROTO, "unexpected HELLO");
	}
	memcpy(&hello, msg->bytes, sizeof(hello));
	if (hello.task == 0 || hello.channel >= PRELOAD_CHANNELS_MAX ||
	    (hello.flags & ~(PRELOAD_HAS_MAPS | PRELOAD_HAS_MEM))) {
		return conn_fault(conn, -EPROTO, "HELLO: arguments");
	}
	r = take_hello_fds(conn, msg, &hello, &fds);
	if (r < 0) {
		return r;
	}
	/* Refused, the client sees the end of its channel; the connection may
	 * be others' as well. */
	(void)add_channel(conn, &hello, msg->fds.cred.pid, &fds);
	(void)close_fd(fds.channel);
	(void)close_fd(fds.maps);
	(void)close_fd(fds.mem);
	return 0;
}

/* Senders of bypassing writes */

/* After exec() the process is the same and the task is not, but we may not
 * have seen the end of its channels yet. */
static bool has_live_channel(const struct ptask *ptask)
{
	for (size_t i = 0; i < PRELOAD_CHANNELS_MAX; i++) {
		struct pollfd pfd = { .fd = ptask->channels[i].fd };

		if (pfd.fd >= 0 && poll(&pfd, 1, 0) == 0) {
			return true;
		}
	}
	return false;
}

struct cdev_task *task_of_sender(struct conn *conn, const struct ucred *cred)
{
	struct cdev_task *stranger = NULL;
	struct ptask *ptask;

	if (cred->pid == 0) {
		ptask = task_find(conn->preload, conn->last_task);
		return ptask ? cdev_task_ref(ptask->task) : NULL;
	}
	list_for_each_entry(ptask, &conn->preload->tasks, node) {
		if (cdev_task_pid(ptask->task) == cred->pid &&
		    has_live_channel(ptask)) {
			return cdev_task_ref(ptask->task);
		}
	}
	if (cdev_task_new(cred->pid, -1, -1, &stranger) < 0) {
		return NULL;
	}
	return stranger;
}
