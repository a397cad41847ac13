/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A toy node for the tests of the carriers: each command exercises one thing
 * that an operation can do with a call.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CDEV_TOY_H
#define CDEV_TOY_H

#include <linux/ioctl.h>

#include "cdev/cdev.h"

/* Type 0xAF: the shim forwards it from any descriptor. */
#define TOY_TYPE 0xAF

struct toy_range {
	uint64_t uaddr;
	uint64_t len;
};

/* u64 at arg: read, add 1, write back. Returns 0. */
#define TOY_ADD _IOWR(TOY_TYPE, 0xc0, uint64_t)
/* Who am I: a number a task, from 1, at arg. */
#define TOY_TASK _IOR(TOY_TYPE, 0xc1, uint32_t)
/* {idx, fd} at arg: writes one to the eventfd. -EBADF, -EINVAL. */
#define TOY_KICK _IOW(TOY_TYPE, 0x20, uint64_t)
/* A descriptor of a new memfd that holds "toy". */
#define TOY_GET_FD _IO(TOY_TYPE, 0xc2)
/* Pending until TOY_FINISH; result is the u32 of that. */
#define TOY_PEND _IO(TOY_TYPE, 0xc3)
/* Ends the oldest pending call with the u32 at arg as its result. */
#define TOY_FINISH _IOW(TOY_TYPE, 0xc4, uint32_t)
/* Pending, and finished before the operation returns: result 7. */
#define TOY_EARLY _IO(TOY_TYPE, 0xc5)
/* struct toy_range at arg: the sum of the bytes there, by the task's memory;
 * written to the u64 after it. -EFAULT. */
#define TOY_SUM _IOWR(TOY_TYPE, 0xc6, struct toy_range)
/* struct toy_range at arg: the kinds of its pieces (1 << kind), or'ed. */
#define TOY_KINDS _IOW(TOY_TYPE, 0xc7, struct toy_range)
/* {u32 off, u32 len, bytes}: bytes come back, each + off. As GET_CONFIG and
 * SET_CONFIG, whose numbers they have. */
#define TOY_GET_CONFIG _IOR(TOY_TYPE, 0x73, uint64_t)
#define TOY_SET_CONFIG _IOW(TOY_TYPE, 0x74, uint64_t)
/* The counters of struct toy, as a struct toy_counts at arg. */
#define TOY_COUNTS _IOR(TOY_TYPE, 0xc8, struct toy_counts)
/* How many of the 8 KiB at arg can be read. */
#define TOY_PROBE _IOC(_IOC_READ, TOY_TYPE, 0xc9, 8192)

/* Queue toys: pushes the u64 at arg. */
#define TOY_PUSH _IOW(TOY_TYPE, 0xca, uint64_t)

/* VDUSE's type, as the shim takes shortcuts there. The u32 at arg, below 4: adds
 * 1 to that eventfd; which may be a shortcut from now on. */
#define TOY_INJECT _IOW(0x81, 0xf0, uint32_t)
/* Revokes the shortcut of the u32 at arg. */
#define TOY_REVOKE _IOW(0x81, 0xf1, uint32_t)
/* struct toy_injects at arg: index in, counts out. */
#define TOY_INJECTS	_IOWR(0x81, 0xf2, struct toy_injects)
#define TOY_INJECTS_MAX 4

struct toy_injects {
	uint32_t idx;
	uint32_t n_calls; /* that came here */
	uint64_t n_all; /* the eventfd's counter */
};

#define TOY_CONFIG_SIZE 4096

struct toy_counts {
	uint32_t n_opens;
	uint32_t n_releases;
	uint32_t n_writes;
	uint32_t n_cancels;
	uint32_t n_write_bytes;
	uint32_t last_task;
};

struct toy;

/* Node "NAME" of class vhost-vdpa; one open file at a time, else -EBUSY. */
int toy_new(struct cdev *cdev, const char *name, unsigned int minor,
	    struct toy **ret);
/* The same, but its file is waited for; pieces are of 8 bytes. */
int toy_new_queue(struct cdev *cdev, const char *name, unsigned int minor,
		  struct toy **ret);
/* All files must have been released. */
struct toy *toy_free(struct toy *toy);
/* Loop's thread, or when it is not running. */
struct toy_counts toy_counts(const struct toy *toy);
unsigned int toy_n_pending(const struct toy *toy);
/* What open does next: 0, -errno, or CDEV_PENDING (ended by toy_finish()). */
void toy_set_open_result(struct toy *toy, int64_t result);
void toy_finish(struct toy *toy, int64_t result);
/* Writes are pending from now on, until toy_finish(). */
void toy_set_slow_writes(struct toy *toy);
/* The open file, or NULL; how often it was told that it has caught up. */
struct cdev_file *toy_file(const struct toy *toy);
unsigned int toy_n_caught_up(const struct toy *toy);

#endif
