/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire protocol between libvdpakit-preload.so and the daemon.
 *
 * Theory of operation
 *
 * A file that a client opens is a SOCK_SEQPACKET connection to the daemon: the
 * *visible socket*. dup, fork, exec and SCM_RIGHTS work on it as on any
 * descriptor, and when its last copy is closed the daemon sees the end. Both
 * sides are of one machine: host byte order, no padding left undefined.
 *
 *   client                              daemon
 *     connect
 *     OPEN name flags          -------->
 *              <--------  REPLY (on the visible socket), then one byte that
 *                         nobody reads: poll() says readable
 *     HELLO task channel [reply socket, maps, mem]  -------->
 *     CALL task channel seq op  -------->
 *              <========  REPLY seq (on the channel)
 *     any other datagram       -------->   it is a write(2) that bypassed us
 *
 * A *task* is an address space, named by a random number that its process
 * draws; fork() makes a new one. A *channel* is one end of a socket pair whose
 * other end the daemon got with HELLO; a call takes a channel that no other
 * thread uses, so replies need no sorting and nobody waits for a lock. Calls
 * travel on the visible socket, so they stay in order with bypassing writes.
 * HELLO precedes the first call of a channel; it carries the task's
 * /proc/self/maps and /proc/self/mem (where they can be opened) each time, and
 * the daemon keeps the first.
 *
 * A file that can be waited for has, instead of that byte, what there is to read
 * in the visible socket, a datagram a piece: poll() and read() are the kernel's.
 *
 * STAT and CLASSES ask one question on a connection of their own. NETLINK makes
 * the connection a generic netlink socket: datagrams without the magic are
 * netlink messages from then on, both ways.
 *
 * The daemon cuts off a connection that breaks these rules.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef UAPI_PRELOAD_H
#define UAPI_PRELOAD_H

#include <stdint.h>

/* In the environment of a client: path of the daemon's socket; "@name" is an
 * abstract one. As given to bind(2), to the letter. */
#define PRELOAD_ENV "VDPAKIT_SOCKET"

/* Begins every message; the last byte is the version. Neither a vhost IOTLB
 * message, nor a VDUSE response, nor a netlink message can begin so. */
#define PRELOAD_MAGIC 0x01694b4150645655ULL

/* Paths that belong to the daemon, if it knows the name below /dev. */
#define PRELOAD_DEV "/dev/"
#define PRELOAD_PREFIXES                          \
	{                                         \
		"/dev/vhost-vdpa-", "/dev/vduse/" \
	}

#define PRELOAD_NAME_MAX     263 /* without the terminator */
#define PRELOAD_DATA_MAX     65536
#define PRELOAD_CHANNELS_MAX 64 /* of a task: calls in flight */
#define PRELOAD_PIECES_MAX   64

enum preload_type {
	PRELOAD_OPEN = 1,
	PRELOAD_STAT,
	PRELOAD_CLASSES,
	PRELOAD_NETLINK,
	PRELOAD_HELLO,
	PRELOAD_CALL,
	PRELOAD_REPLY,
};

struct preload_head {
	uint64_t magic;
	uint32_t type;
	uint32_t len; /* of the whole message, bytes */
};

/* OPEN, STAT */
struct preload_name {
	struct preload_head head;
	uint32_t flags; /* of open(2) */
	uint32_t reserved;
	char name[PRELOAD_NAME_MAX + 1]; /* below /dev, terminated */
};

/* NETLINK: answered on the connection, result 0 or -errno. CLASSES is the
 * same without a port. */
struct preload_ask {
	struct preload_head head;
	uint32_t port; /* that the client's socket is bound to */
	uint32_t reserved;
};

enum preload_hello_flags {
	PRELOAD_HAS_MAPS = 1,
	PRELOAD_HAS_MEM = 2,
};

/* Descriptors beside it: the channel, then maps and mem as flags say. */
struct preload_hello {
	struct preload_head head;
	uint64_t task; /* not 0 */
	uint32_t channel;
	uint32_t flags;
};

enum preload_op {
	PRELOAD_IOCTL = 1, /* arg: cmd, uaddr; data: the bytes at uaddr */
	PRELOAD_WRITE, /* data: the bytes */
	PRELOAD_READ, /* arg: uaddr, length */
	PRELOAD_MMAP, /* arg: length, offset, prot, flags */
	PRELOAD_FSTAT, /* answer: struct preload_stat_info */
	PRELOAD_GETFL, /* result: flags */
	PRELOAD_SETFL, /* arg: flags */
	PRELOAD_GETPORT, /* of NETLINK; result: the port */
};

/* Followed by data_len bytes; a descriptor beside it is the one that the
 * client knows as number fd. Beside an IOTLB update: the files that are mapped
 * shared in its range, where PRELOAD_FILE_WANTS_FILES was said. */
#define PRELOAD_FILES_MAX 8
struct preload_call {
	struct preload_head head;
	uint64_t task;
	uint64_t seq;
	uint64_t arg[4];
	uint32_t channel;
	uint32_t op;
	uint32_t data_len;
	int32_t fd;
};

enum preload_file_flags {
	PRELOAD_FILE_NO_EPOLL = 1, /* epoll_ctl() refuses it with EPERM */
	/* The daemon cannot look into the client's /proc (another container,
	 * another user). */
	PRELOAD_FILE_WANTS_FILES = 2,
	/* A shortcut comes with it, see there. */
	PRELOAD_FILE_SHORTCUT = 4,
	/* Messages came that bypassed the library: it may stop that. */
	PRELOAD_FILE_RAW_WRITES = 8,
};

/*
 * A shortcut: the same ioctl on the same file, with a 32-bit argument of the same
 * value, may be done from now on by adding 1 to an eventfd, as long as a word
 * in the daemon's memory has a certain value. Beside the reply are the eventfd
 * and the memory (one page, read only); the reply's offset says where the word
 * is and what it has to be.
 */
#define PRELOAD_SHORTCUT_PAGE 4096
#define PRELOAD_SHORTCUT(word_offset, value) \
	((uint64_t)(value) << 32 | (uint32_t)(word_offset))

/* Followed by n_pieces of struct preload_piece, or, where the question asks
 * for one, by an answer. At most one descriptor beside it, or a shortcut's two.
 */
struct preload_reply {
	struct preload_head head;
	uint64_t seq;
	int64_t result; /* or -errno */
	uint64_t offset; /* mmap: where in the descriptor; PRELOAD_SHORTCUT() */
	uint32_t n_pieces;
	uint32_t file_flags;
};

/* Bytes for the client's memory; padded to 8. */
struct preload_piece {
	uint64_t uaddr;
	uint32_t len;
	uint32_t reserved;
};

/* STAT, FSTAT */
struct preload_stat_info {
	uint32_t major;
	uint32_t minor;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t reserved;
	uint64_t ino;
};

/* CLASSES: an array of them */
#define PRELOAD_CLASSES_MAX 16
struct preload_class {
	uint32_t major;
	char name[60];
};

/* The longest messages. */
#define PRELOAD_CALL_MAX (sizeof(struct preload_call) + PRELOAD_DATA_MAX)
#define PRELOAD_REPLY_MAX                                             \
	(sizeof(struct preload_reply) +                               \
	 PRELOAD_PIECES_MAX * (sizeof(struct preload_piece) + 8ULL) + \
	 PRELOAD_DATA_MAX)

_Static_assert(sizeof(struct preload_head) == 16, "no padding");
_Static_assert(sizeof(struct preload_name) == 24 + PRELOAD_NAME_MAX + 1,
	       "no padding");
_Static_assert(sizeof(struct preload_hello) == 32, "no padding");
_Static_assert(sizeof(struct preload_call) == 80, "no padding");
_Static_assert(sizeof(struct preload_reply) == 48, "no padding");
_Static_assert(sizeof(struct preload_piece) == 16, "no padding");
_Static_assert(sizeof(struct preload_stat_info) == 32, "no padding");

#endif
