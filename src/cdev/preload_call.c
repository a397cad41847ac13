/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preload carrier: calls.
 *
 * Theory of operation
 *
 * A call message brings the bytes that the client's system call points at, as
 * far as they could be read, and the descriptor that it names. What the
 * operation copies back is gathered and goes with the reply; the client stores
 * it. So an operation never touches the client's memory, and a bad address is
 * noticed when it is used, as in the kernel.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/unix.h"
#include "cdev/preload_internal.h"

/* Flags of open() that are not the file's. */
#define OPEN_ONLY_FLAGS (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)
/* Those that fcntl(F_SETFL) can change. */
#define SETFL_FLAGS (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK)

struct pcall {
	struct cdev_call call;
	struct cdev_preload *preload;
	struct conn *conn; /* open: who asked */
	struct ptask *ptask; /* NULL: open, bypassing write */
	struct list node; /* in ptask->calls */
	unsigned int channel;
	uint64_t seq;
	/* what came with it */
	uint64_t uaddr;
	size_t data_len;
	int fd_number;
	int fd;
	bool is_trusted;
	/* what goes back */
	struct cdev_shortcut shortcut; /* ours; event_fd -1: none */
	uint8_t *out;
	size_t out_len;
	unsigned int n_pieces;
	uint8_t data[];
};

static struct pcall *pcall_of(struct cdev_call *call)
{
	return container_of(call, struct pcall, call);
}

static struct pcall *pcall_new(struct conn *conn, const void *data, size_t len)
{
	struct pcall *pc = calloc(1, sizeof(*pc) + len);

	if (pc) {
		pc->preload = conn->preload;
		pc->fd = -1;
		pc->fd_number = -1;
		pc->shortcut.event_fd = -1;
		pc->shortcut.page_fd = -1;
		pc->is_trusted = unix_uid_is_trusted(conn->peer.uid);
		pc->data_len = len;
		list_init(&pc->node);
		if (len > 0) {
			memcpy(pc->data, data, len);
		}
	}
	return pc;
}

static void pcall_free(struct pcall *pc)
{
	list_del(&pc->node);
	pc->fd = close_fd(pc->fd);
	pc->call.put_fd = close_fd(pc->call.put_fd);
	pc->shortcut.event_fd = close_fd(pc->shortcut.event_fd);
	pc->shortcut.page_fd = close_fd(pc->shortcut.page_fd);
	free(pc->out);
	free(pc);
}

/* The carrier */

static int pcall_copy_from(struct cdev_call *call, void *dst, uint64_t uaddr,
			   size_t len)
{
	struct pcall *pc = pcall_of(call);

	if (len == 0) {
		return 0;
	}
	if (uaddr < pc->uaddr ||
	    !range_fits(uaddr - pc->uaddr, len, pc->data_len)) {
		return -EFAULT;
	}
	memcpy(dst, pc->data + (uaddr - pc->uaddr), len);
	return 0;
}

static int pcall_copy_to(struct cdev_call *call, uint64_t uaddr,
			 const void *src, size_t len)
{
	struct pcall *pc = pcall_of(call);
	struct preload_piece piece = { .uaddr = uaddr, .len = (uint32_t)len };
	size_t size = sizeof(piece) + align_up(len, 8);
	uint8_t *out;

	if (len == 0) {
		return 0;
	}
	if (len > PRELOAD_DATA_MAX || pc->n_pieces == PRELOAD_PIECES_MAX ||
	    pc->out_len + size >
		    PRELOAD_REPLY_MAX - sizeof(struct preload_reply)) {
		return err(-EFAULT, "preload: too much to copy back");
	}
	out = realloc(pc->out, pc->out_len + size);
	if (!out) {
		return -EFAULT;
	}
	pc->out = out;
	memset(out + pc->out_len, 0, size);
	memcpy(out + pc->out_len, &piece, sizeof(piece));
	memcpy(out + pc->out_len + sizeof(piece), src, len);
	pc->out_len += size;
	pc->n_pieces++;
	return 0;
}

static int pcall_get_fd(struct cdev_call *call, int fd)
{
	struct pcall *pc = pcall_of(call);
	int copy;

	if (fd < 0 || fd != pc->fd_number || pc->fd < 0) {
		return -EBADF;
	}
	copy = fcntl(pc->fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

static bool pcall_is_trusted(const struct cdev_call *call)
{
	return container_of(call, struct pcall, call)->is_trusted;
}

/* Short of descriptors, there is none. */
static void pcall_put_shortcut(struct cdev_call *call,
			       const struct cdev_shortcut *shortcut)
{
	struct pcall *pc = pcall_of(call);

	pc->shortcut = *shortcut;
	pc->shortcut.event_fd = fcntl(shortcut->event_fd, F_DUPFD_CLOEXEC, 0);
	pc->shortcut.page_fd = fcntl(shortcut->page_fd, F_DUPFD_CLOEXEC, 0);
}

static bool has_shortcut(const struct pcall *pc)
{
	return pc->shortcut.event_fd >= 0 && pc->shortcut.page_fd >= 0;
}

static void send_reply(struct pcall *pc, int64_t result)
{
	struct preload_reply reply = {
		.head = { PRELOAD_MAGIC, PRELOAD_REPLY,
			  (uint32_t)(sizeof(reply) + pc->out_len) },
		.seq = pc->seq,
		.result = result,
		.offset = pc->call.mmap_offset,
		.n_pieces = pc->n_pieces,
	};
	struct iovec iov[] = {
		{ &reply, sizeof(reply) },
		{ pc->out, pc->out_len },
	};
	struct fd_msg msg = { .iov = iov, .n_iov = pc->out_len ? 2 : 1 };

	if (cdev_file_is_always_ready(pc->call.file)) {
		reply.file_flags |= PRELOAD_FILE_NO_EPOLL;
	}
	if (pc->call.file->async_fd >= 0) {
		reply.file_flags |= PRELOAD_FILE_RAW_WRITES;
	}
	if (pc->ptask->wants_files) {
		reply.file_flags |= PRELOAD_FILE_WANTS_FILES;
	}
	if (pc->call.put_fd >= 0) {
		msg.fds[msg.n_fds++] = pc->call.put_fd;
	} else if (has_shortcut(pc) && result == 0) {
		reply.file_flags |= PRELOAD_FILE_SHORTCUT;
		reply.offset = PRELOAD_SHORTCUT(pc->shortcut.word_offset,
						pc->shortcut.value);
		msg.fds[msg.n_fds++] = pc->shortcut.event_fd;
		msg.fds[msg.n_fds++] = pc->shortcut.page_fd;
	}
	task_reply(pc->ptask, pc->channel, &msg);
}

static void pcall_finish(struct cdev_call *call, int64_t result)
{
	struct pcall *pc = pcall_of(call);

	if (pc->ptask) {
		send_reply(pc, result);
	} else if (result < 0) {
		pc->preload->stats.n_raw_errors++;
		if (log_allowed(&pc->preload->log_limit)) {
			log_warn(PRELOAD_TAG,
				 "ignoring that a write(2) to %s which "
				 "bypassed the shim failed: %s",
				 cdev_node_name(cdev_file_node(call->file)),
				 err_text((int)result));
		}
	}
	pcall_free(pc);
}

static const struct cdev_carrier pcall_carrier = {
	.copy_from = pcall_copy_from,
	.copy_to = pcall_copy_to,
	.get_fd = pcall_get_fd,
	.is_trusted = pcall_is_trusted,
	.put_shortcut = pcall_put_shortcut,
	.finish = pcall_finish,
};

void call_cancel_channel(struct ptask *ptask, int channel)
{
	struct pcall *pc, *tmp;

	list_for_each_entry_safe(pc, tmp, &ptask->calls, node) {
		if (channel < 0 || pc->channel == (unsigned int)channel) {
			cdev_call_cancel(&pc->call);
		}
	}
}

/* open */

/* The answer comes before the byte that says "readable" for ever, or before what
 * there is to read. */
static int opened(struct conn *conn, struct cdev_file *file)
{
	int r;

	conn->state = CONN_FILE;
	conn->file = cdev_file_ref(file);
	conn->preload->stats.n_files++;
	r = conn_reply(conn, 0, NULL, 0);
	if (r < 0) {
		return r;
	}
	if (!cdev_file_is_always_ready(file)) {
		cdev_file_set_sink(file, conn_feed, conn);
		conn_feed(conn);
	} else if (send(conn->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		r = -errno;
	}
	return r;
}

static void open_finish(struct cdev_call *call, int64_t result)
{
	struct pcall *pc = pcall_of(call);
	struct conn *conn = pc->conn;
	struct cdev_file *file = call->file;
	int r;

	conn->opening = NULL;
	if (result >= 0) {
		r = opened(conn, file);
	} else {
		conn->state = CONN_ANSWERED;
		r = conn_reply(conn, result, NULL, 0);
	}
	if (r < 0) {
		/* Its end is seen by whoever reads it next. */
		(void)shutdown(conn->fd, SHUT_RDWR);
	}
	(void)cdev_file_unref(file);
	pcall_free(pc);
}

static const struct cdev_carrier open_carrier = {
	.copy_from = pcall_copy_from,
	.copy_to = pcall_copy_to,
	.get_fd = pcall_get_fd,
	.finish = open_finish,
};

int call_open(struct conn *conn, const struct preload_name *ask)
{
	struct cdev_node *node = cdev_find(conn->preload->cdev, ask->name);
	struct cdev_file *file = NULL;
	struct pcall *pc;
	int flags = (int)(ask->flags & ~(uint32_t)OPEN_ONLY_FLAGS);

	pc = pcall_new(conn, NULL, 0);
	if (!pc || !node || cdev_file_new(node, flags, &file) < 0) {
		free(pc);
		conn->state = CONN_ANSWERED;
		return conn_reply(conn, node ? -ENOMEM : -ENOENT, NULL, 0);
	}
	pc->conn = conn;
	conn->state = CONN_OPENING;
	conn->opening = &pc->call;
	cdev_call_init(&pc->call, &open_carrier, file, NULL);
	cdev_start_open(&pc->call);
	return 0;
}

/* Calls on an open file */

static void start_mmap(struct pcall *pc, const struct preload_call *head)
{
	struct cdev_mmap args = {
		.length = head->arg[0],
		.offset = head->arg[1],
		.prot = (int)head->arg[2],
		.flags = (int)head->arg[3],
	};

	cdev_start_mmap(&pc->call, &args);
}

/* Those that no operation is asked for. */
static int64_t answer_here(struct pcall *pc, const struct preload_call *head)
{
	struct cdev_file *file = pc->call.file;
	struct preload_stat_info info;
	int flags = cdev_file_flags(file);

	switch (head->op) {
	case PRELOAD_FSTAT:
		stat_info_fill(&info, cdev_file_node(file));
		return pcall_copy_to(&pc->call, 0, &info, sizeof(info));
	case PRELOAD_GETFL:
		return flags;
	case PRELOAD_SETFL:
		flags &= ~SETFL_FLAGS;
		flags |= (int)head->arg[0] & SETFL_FLAGS;
		cdev_file_set_flags(file, flags);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static void start_call(struct pcall *pc, const struct preload_call *head)
{
	switch (head->op) {
	case PRELOAD_IOCTL:
		pc->uaddr = head->arg[1];
		cdev_start_ioctl(&pc->call, (uint32_t)head->arg[0],
				 head->arg[1]);
		break;
	case PRELOAD_WRITE:
		cdev_start_write(&pc->call, pc->data, pc->data_len);
		break;
	case PRELOAD_READ:
		if (!cdev_file_is_always_ready(pc->call.file)) {
			/* It is in the client's own socket, or will be. */
			cdev_start_result(&pc->call, -EAGAIN);
			break;
		}
		cdev_start_read(&pc->call, head->arg[0], head->arg[1]);
		break;
	case PRELOAD_MMAP:
		start_mmap(pc, head);
		break;
	default:
		cdev_start_result(&pc->call, answer_here(pc, head));
		break;
	}
}

/* On a netlink socket there is one question. */
static int reply_port(struct conn *conn, struct ptask *ptask,
		      const struct preload_call *head)
{
	struct preload_reply reply = {
		.head = { PRELOAD_MAGIC, PRELOAD_REPLY, sizeof(reply) },
		.seq = head->seq,
		.result = -EOPNOTSUPP,
	};
	struct iovec iov = { &reply, sizeof(reply) };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1 };

	if (head->op == PRELOAD_GETPORT) {
		reply.result = conn->port;
	}
	task_reply(ptask, head->channel, &msg);
	return 0;
}

/* What is left over is closed by whoever received it. */
static void take_fds(struct pcall *pc, const struct preload_call *head,
		     struct fd_msg *fds)
{
	struct client_mem *mem = cdev_task_mem(pc->ptask->task);

	if (head->op != PRELOAD_WRITE) {
		if (fds->n_fds > 0) {
			pc->fd_number = head->fd;
			pc->fd = steal_fd(&fds->fds[0]);
		}
		return;
	}
	for (unsigned int i = 0; pc->ptask->wants_files && i < fds->n_fds;
	     i++) {
		/* Refused, that memory is copied. */
		(void)client_mem_add_fd(mem, steal_fd(&fds->fds[i]));
	}
}

int call_message(struct conn *conn, struct message *msg)
{
	struct preload_call head;
	struct ptask *ptask;
	struct pcall *pc;

	if (msg->len < sizeof(head) ||
	    (conn->state != CONN_FILE && conn->state != CONN_NETLINK)) {
		return conn_fault(conn, -EPROTO, "unexpected CALL");
	}
	memcpy(&head, msg->bytes, sizeof(head));
	ptask = task_find(conn->preload, head.task);
	if (head.data_len != msg->len - sizeof(head) ||
	    msg->fds.n_fds >
		    (head.op == PRELOAD_WRITE ? PRELOAD_FILES_MAX : 1) ||
	    head.channel >= PRELOAD_CHANNELS_MAX) {
		return conn_fault(conn, -EPROTO, "malformed CALL");
	}
	if (!ptask || ptask->channels[head.channel].fd < 0) {
		/* Its HELLO was refused: the end of the channel told it. */
		return 0;
	}
	conn->preload->stats.n_calls++;
	conn->last_task = head.task;
	if (conn->state == CONN_NETLINK) {
		return reply_port(conn, ptask, &head);
	}
	pc = pcall_new(conn, msg->bytes + sizeof(head), head.data_len);
	if (!pc) {
		return -ENOMEM;
	}
	pc->ptask = ptask;
	pc->channel = head.channel;
	pc->seq = head.seq;
	take_fds(pc, &head, &msg->fds);
	list_add_tail(&ptask->calls, &pc->node);
	cdev_call_init(&pc->call, &pcall_carrier, conn->file, ptask->task);
	start_call(pc, &head);
	return 0;
}

int call_raw_write(struct conn *conn, struct message *msg)
{
	struct cdev_preload *preload = conn->preload;
	struct cdev_task *task;
	struct pcall *pc;

	preload->stats.n_raw_writes++;
	task = task_of_sender(conn, &msg->fds.cred);
	pc = task ? pcall_new(conn, msg->bytes, msg->len) : NULL;
	if (!pc) {
		preload->stats.n_raw_errors++;
		(void)cdev_task_unref(task);
		return 0;
	}
	cdev_file_set_async_fd(conn->file, conn->fd);
	cdev_call_init(&pc->call, &pcall_carrier, conn->file, task);
	pc->call.is_async = true;
	(void)cdev_task_unref(task);
	cdev_start_write(&pc->call, pc->data, pc->data_len);
	return 0;
}
