/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Software character devices: files that are not the kernel's.
 *
 * Theory of operation
 *
 * A node (vhost-vdpa-0) has a table of file operations, as a driver in the
 * kernel has. What carries a client's system calls to them is not their
 * business: the preload socket (cdev/preload.c) today, FUSE or CUSE later, or
 * a function call in tests (cdev_local_*). Three objects take part:
 *
 *   file   what open() made; dup() and fork() share it, the last close ends it
 *   task   one address space of a client (the kernel's mm): its memory, and
 *          its identity for owner checks. fork() makes a new one
 *   call   one system call in progress, by a task, on a file: the only way to
 *          the caller's memory and descriptors
 *
 * Operations run on the control loop and do not block. One that has to wait
 * for somebody keeps the call (returns CDEV_PENDING) and ends it later with
 * cdev_call_finish(). Calls of one file arrive in the order in which the
 * client made them, pending or not.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CDEV_CDEV_H
#define CDEV_CDEV_H

#include <sys/types.h>

#include "base/list.h"
#include "base/util.h"
#include "loop/loop.h"
#include "mem/client.h"

/* "vduse/" and the 255 characters that VDUSE allows. */
#define CDEV_NAME_MAX 261
/* Bytes of one write(), read() or ioctl() argument. */
#define CDEV_DATA_MAX 65536
/* An operation's return value: cdev_call_finish() will be called. Above any
 * errno and below any length. */
#define CDEV_PENDING ((int64_t)-0x10000)
/* errno 524 of the kernel, which no libc names. */
#define CDEV_ENOTSUPP 524

struct cdev;
struct cdev_node;
struct cdev_file;
struct cdev_task;
struct cdev_call;

/**
 * struct cdev_ops - what a node does
 *
 * Every operation returns a result >= 0, -errno, or, where it has a call,
 * CDEV_PENDING. cdev_call_finish() may come before the operation returns.
 * @arg and other addresses are the client's: reach them through
 * cdev_copy_from() and cdev_copy_to() only. O_ACCMODE was checked, as the
 * kernel does it before a driver is asked.
 *
 * @open: a new file; set its priv. -errno refuses. May be pending: a reset
 *        may have to wait for a device. The call has no task
 * @release: the last reference is gone: by close() or by the death of the
 *           clients. No more calls come, pending ones have ended. Follows each
 *           open that returned >= 0 or was cancelled
 * @ioctl: @cmd as 32 bits. The default (NULL) is -ENOTTY
 * @write: @buf holds the bytes, at most CDEV_DATA_MAX of them, already copied;
 *         it is gone when the operation returns. NULL: -EINVAL
 * @read: fill @buf, which stays while the call is pending, and return how much.
 *        NULL: -EINVAL. poll() says at once that the file can be read and
 *        written, and epoll_ctl() refuses it
 * @queue_size: or, if not 0, the file can be waited for: poll() says that it can
 *              be read when cdev_file_push() has put something there, of so many
 *              bytes at most, and a read (of no less, else -EINVAL) takes one
 *              piece, waits, or returns -EAGAIN. read is not called
 * @mmap: -errno, or 0 and *ret_fd, *ret_offset of what to map (fd is taken by
 *        the caller). Never pending. NULL: -ENODEV
 * @caught_up: optional: a thread was told by cdev_file_is_behind() that the file
 *             is, and it is no more
 * @cancel: the caller of a pending call died: forget the call. It is finished
 *          by whoever calls this. Needed by nodes that have pending calls
 */
struct cdev_mmap {
	uint64_t length;
	uint64_t offset;
	int prot;
	int flags;
};

struct cdev_ops {
	int64_t (*open)(struct cdev_node *node, struct cdev_file *file,
			struct cdev_call *call);
	void (*release)(struct cdev_file *file);
	int64_t (*ioctl)(struct cdev_file *file, struct cdev_call *call,
			 uint32_t cmd, uint64_t arg);
	int64_t (*write)(struct cdev_file *file, struct cdev_call *call,
			 const void *buf, size_t len);
	int64_t (*read)(struct cdev_file *file, struct cdev_call *call,
			void *buf, size_t len);
	size_t queue_size;
	int64_t (*mmap)(struct cdev_file *file, struct cdev_call *call,
			const struct cdev_mmap *args, int *ret_fd,
			uint64_t *ret_offset);
	void (*caught_up)(struct cdev_file *file);
	void (*cancel)(struct cdev_file *file, struct cdev_call *call);
};

/* One registry of nodes a bus. */
int cdev_new(struct loop *loop, struct cdev **ret);
/* All nodes and carriers must be gone. */
struct cdev *cdev_free(struct cdev *cdev);
struct loop *cdev_loop(struct cdev *cdev);

/**
 * cdev_node_new() - make a node visible to clients
 * @cdev: the registry
 * @class_name: of its kind, the name in /proc/devices: "vhost-vdpa"
 * @name: path below /dev: "vhost-vdpa-0"
 * @minor: of its kind
 * @ops: borrowed
 * @priv: see cdev_node_priv()
 * @ret: written on success
 *
 * Return: 0; -EEXIST; -EINVAL name; -ENOMEM
 */
int cdev_node_new(struct cdev *cdev, const char *class_name, const char *name,
		  unsigned int minor, const struct cdev_ops *ops, void *priv,
		  struct cdev_node **ret);
/* No new opens; files that are open keep it until their release, but its priv
 * is theirs to guard from now on. Takes NULL. Return: NULL. */
struct cdev_node *cdev_node_free(struct cdev_node *node);
void *cdev_node_priv(const struct cdev_node *node);
const char *cdev_node_name(const struct cdev_node *node);
/* What stat() shows: the kernel's major of its class where the kernel has the
 * class, else one that the kernel does not use. */
dev_t cdev_node_rdev(const struct cdev_node *node);

/* As fcntl(F_GETFL) shows them: O_ACCMODE, O_NONBLOCK and the like. */
int cdev_file_flags(const struct cdev_file *file);
void *cdev_file_priv(const struct cdev_file *file);
void cdev_file_set_priv(struct cdev_file *file, void *priv);
struct cdev_node *cdev_file_node(const struct cdev_file *file);

/**
 * cdev_file_push() - something to read
 * @file: open, of a node with a queue_size
 * @buf, @len: one piece, at most queue_size bytes; copied
 *
 * Once pushed, a piece may or may not have been read: nobody knows before the
 * reader reacts. What is left at the release is dropped.
 *
 * Return: 0; -ENOBUFS CDEV_PIECES_MAX have not been read; -ENOMEM
 */
#define CDEV_PIECES_MAX 1024
int cdev_file_push(struct cdev_file *file, const void *buf, size_t len);

/**
 * cdev_call_is_async() - has the client gone on before this call was looked at?
 *
 * That is so for a write() system call that bypassed the preload library: it
 * returned when its bytes were in the socket.
 */
bool cdev_call_is_async(const struct cdev_call *call);

/**
 * cdev_file_is_behind() - is there a call that is not carried out yet?
 * @file: open; the client made asynchronous calls before
 *
 * A client may put such a call and something that counts on it where a worker
 * looks (a virtqueue). The worker finds that first, asks this, and believes
 * what it knew before only if the answer is false. caught_up() follows a true.
 *
 * Context: any thread; a system call
 */
bool cdev_file_is_behind(struct cdev_file *file);

/* The caller's address space; compare pointers to know whether it is the same.
 * NULL in open.
 * A file may hold one (ref) for as long as it needs the client's memory. */
struct cdev_task *cdev_call_task(const struct cdev_call *call);
struct cdev_task *cdev_task_ref(struct cdev_task *task);
struct cdev_task *cdev_task_unref(struct cdev_task *task);
/* The client's memory as regions; borrowed. NULL: it could not show it to us
 * (no /proc, not dumpable); then every address of its is -EFAULT. */
struct client_mem *cdev_task_mem(const struct cdev_task *task);
pid_t cdev_task_pid(const struct cdev_task *task);

/* The kernel's copy_from_user() and copy_to_user(). Return: 0; -EFAULT. */
int cdev_copy_from(struct cdev_call *call, void *dst, uint64_t uaddr,
		   size_t len);
int cdev_copy_to(struct cdev_call *call, uint64_t uaddr, const void *src,
		 size_t len);

/**
 * cdev_get_fd() - one of the caller's descriptors
 * @call: in progress
 * @fd: its number in the client
 *
 * Return: a descriptor of ours for the same open file, the caller's to close;
 *         -EBADF
 */
int cdev_get_fd(struct cdev_call *call, int fd);

/* The same for one that has to be an eventfd. Return: also -EINVAL it is not. */
int cdev_get_eventfd(struct cdev_call *call, int fd);

/* Makes a descriptor appear in the caller; the result of the call is its number
 * there. Taken, also on failure. Return: 0; -EMFILE one was put already. */
int cdev_put_fd(struct cdev_call *call, int take_fd);

/* Could the caller do to us whatever it likes? It is root, or who we are. */
bool cdev_call_is_trusted(const struct cdev_call *call);

/*
 * Shortcuts: a caller may do an ioctl, whose argument points at 32 bits, by itself
 * from now on, for this file and that value, by adding 1 to an eventfd: as long
 * as a word says so, one of up to CDEV_WORDS_MAX in a page that clients can
 * read. It is up to the carrier what becomes of the offer. Control thread.
 */
#define CDEV_WORDS_MAX 1024
struct cdev_words;
/* Return: 0; -errno: no shared memory, or none that can be sealed */
int cdev_words_new(struct cdev_words **ret);
/* Revokes all. Takes NULL. Return: NULL. */
struct cdev_words *cdev_words_free(struct cdev_words *words);
/* The call in progress may be done by adding 1 to @event_fd (borrowed), until
 * word @idx is revoked; with an index above the limit nothing happens. */
void cdev_words_offer(struct cdev_words *words, unsigned int idx, int event_fd,
		      struct cdev_call *call);
void cdev_words_revoke(struct cdev_words *words, unsigned int idx);

/* Ends a call that was kept. */
void cdev_call_finish(struct cdev_call *call, int64_t result);

/*
 * The local carrier: calls from this very process, for tests and for the
 * simulation. One cdev_local is one task: a second one plays the forked child.
 * Addresses are this process's own, checked like a client's. Results are as of
 * the system call: >= 0 or -errno.
 *
 * Any thread may call while the loop runs in a thread of its own; it waits
 * there for pending calls. On the loop's own thread, @turn is called until a
 * pending call has ended (let it run the simulation); without one such a call
 * is cancelled and returns -EDEADLK.
 */
struct cdev_local;
int cdev_local_new(struct cdev *cdev, struct cdev_local **ret);
struct cdev_local *cdev_local_free(struct cdev_local *local);
void cdev_local_set_turn(struct cdev_local *local, void (*turn)(void *priv),
			 void *priv);
/* Return: 0 and a file, borrowed until cdev_local_close(); -errno. */
int64_t cdev_local_open(struct cdev_local *local, const char *name, int flags,
			struct cdev_file **ret);
void cdev_local_close(struct cdev_local *local, struct cdev_file *file);
int64_t cdev_local_ioctl(struct cdev_local *local, struct cdev_file *file,
			 uint64_t cmd, void *arg);
int64_t cdev_local_write(struct cdev_local *local, struct cdev_file *file,
			 const void *buf, size_t len);
int64_t cdev_local_read(struct cdev_local *local, struct cdev_file *file,
			void *buf, size_t len);
/* Return: 0 and a descriptor, the caller's, with the offset to map it at. */
int64_t cdev_local_mmap(struct cdev_local *local, struct cdev_file *file,
			const struct cdev_mmap *args, int *ret_fd,
			uint64_t *ret_offset);

/*
 * The preload carrier: a listening unix socket (SOCK_SEQPACKET) to which
 * libvdpakit-preload.so brings a client's calls; see uapi/preload.h. Clients
 * are not trusted: one that breaks the protocol is cut off, nothing waits for
 * one, and what they can make us hold is limited:
 */
#define CDEV_PRELOAD_CONNS_MAX	    1024
#define CDEV_PRELOAD_TASKS_MAX	    1024
#define CDEV_PRELOAD_CONN_TASKS_MAX 64 /* introduced over one connection */
#define CDEV_PRELOAD_CHANNELS_MAX   4096
/* From accept() to the first message. */
#define CDEV_PRELOAD_DEADLINE_NS 10000000000ULL
/* Netlink answers that a client has not taken. */
#define CDEV_PRELOAD_QUEUE_MAX (4U << 20)

struct cdev_preload;

/**
 * struct cdev_netlink_to - where the answers to one request go
 *
 * @reply: one datagram of the answer, copied; nowhere when the client has gone
 * @keep: in request(): the answer is not complete when it returns. Return: what
 *        to reply to later, until @end, whatever becomes of the client and of
 *        the carrier; NULL when memory is short
 * @end: of what @keep returned
 */
struct cdev_netlink_to {
	void (*reply)(struct cdev_netlink_to *to, const void *buf, size_t len);
	struct cdev_netlink_to *(*keep)(struct cdev_netlink_to *to);
	void (*end)(struct cdev_netlink_to *kept);
};

/*
 * @request: one request datagram; @to is borrowed until it returns
 * @port: the port id that the client's socket is bound to
 * @is_admin: the caller is root, or who we are
 */
struct cdev_netlink_ops {
	void (*request)(void *priv, uint32_t port, bool is_admin,
			const void *buf, size_t len,
			struct cdev_netlink_to *to);
	void *priv;
};

/**
 * cdev_preload_new() - serve clients of a socket
 * @cdev: whose nodes they can open; outlives this
 * @take_fd: bound and listening; taken, also on failure
 * @netlink: answers generic netlink sockets; copied. NULL: -EPROTONOSUPPORT
 * @ret: written on success
 *
 * Return: 0; -ENOMEM; -errno of the loop
 */
int cdev_preload_new(struct cdev *cdev, int take_fd,
		     const struct cdev_netlink_ops *netlink,
		     struct cdev_preload **ret);
/* Ends every call, releases every file. Takes NULL. Return: NULL. */
struct cdev_preload *cdev_preload_free(struct cdev_preload *preload);

/* SIGTERM to every process that last used an open file of such a class: what it
 * serves is about to go. */
void cdev_preload_end_users(struct cdev_preload *preload,
			    const char *class_name);

/* Counters since the start, but for the first three: how many there are. */
struct cdev_preload_stats {
	uint64_t n_conns;
	uint64_t n_files;
	uint64_t n_tasks;
	uint64_t n_accepted;
	uint64_t n_refused; /* over a limit */
	uint64_t n_late; /* no message before the deadline */
	uint64_t n_cut_off; /* broke the protocol, or never read */
	uint64_t n_calls; /* from the shim */
	uint64_t n_raw_writes; /* that bypassed the shim */
	uint64_t n_raw_errors; /* ... and failed, which nobody was told */
	uint64_t n_dropped_fds; /* that came where none belongs */
};
void cdev_preload_get_stats(const struct cdev_preload *preload,
			    struct cdev_preload_stats *ret);

#endif
