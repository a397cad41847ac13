/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the vduse bus driver share.
 *
 * Theory of operation
 *
 * One struct kvduse a bound device, on the control thread. It is to the host's
 * kernel what any VDUSE process is: it makes a device by /dev/vduse/control,
 * answers what the kernel asks through /dev/vduse/NAME, and puts the device on
 * the kernel's vDPA bus, where virtio_vdpa or vhost_vdpa takes it. Data goes
 * between the kernel's rings and our workers: kicks come by eventfds, calls are
 * an ioctl of whichever thread has used buffers.
 *
 *   kvduse.c        probe, remove, keys
 *   kvduse_dev.c    what the kernel is told of the device: CREATE, DESTROY
 *   kvduse_msg.c    requests: status, address spaces, state
 *   kvduse_vq.c     queues: start and stop, kicks, calls
 *   kvduse_mem.c    address spaces
 *   kvduse_log.c    the inflight log, which outlives us
 *   kvduse_job.c    what blocks: attaching and detaching, on a thread
 *   kvduse_sys.c    system calls
 *
 * A session lasts from DRIVER_OK to a reset. Only then is memory mapped and are
 * queues the device's; the kernel keeps addresses, sizes and states meanwhile,
 * and tells of none: they are read when they are needed.
 *
 * Kicks that need us. While a queue is not the device's, its kick wakes the
 * control loop, which looks again: the driver may have enabled the queue after
 * DRIVER_OK, or mapped its first buffer. (A driver inside the kernel has its
 * buffers in one region, the bounce buffer, that is there from its first
 * buffer on, and nobody tells. So its queues start with the first kick.)
 *
 * Restart. A process that died left /dev/vduse/NAME behind, attached, with the
 * driver's requests waiting. We open it, ask whether a driver is running (only
 * then a config interrupt is accepted), and start from what the inflight log
 * says, or, without one, from the ring's own used index.
 *
 * The kernel is a peer, too: what it says is checked before it is used.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_KVDUSE_INTERNAL_H
#define BUSDRV_KVDUSE_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/log.h"
#include "bus/bus.h"
#include "busdrv/event.h"
#include "busdrv/kvduse.h"
#include "uapi/vduse.h"

#define KVDUSE_PATH_MAX 128
/* Longest wait for the kernel to attach or detach; then it goes on alone. */
#define KVDUSE_JOB_MS 10000
/* A node that is held open is looked at again that often. */
#define KVDUSE_HELD_NS (100 * 1000000ULL)
/* An interrupt that the kernel did not take yet, and how often it is tried. */
#define KVDUSE_IRQ_NS	(1 * 1000000ULL)
#define KVDUSE_IRQS_MAX 5000

struct kvduse;

struct kvduse_vq {
	/* set at creation */
	struct kvduse *kv;
	uint32_t idx;

	/* control only */
	int kick_fd; /* an eventfd, while it runs; or -1 */
	struct loop_watch *kick_watch; /* where the device cannot */
	bool is_running; /* the device has it */

	/* any thread, atomic */
	uint32_t owes_irq; /* the kernel did not take it */
};

/* One mapping of the kernel's table. */
struct kvduse_map {
	uint64_t offset;
	uint64_t start;
	uint64_t last;
	uint8_t perm;
	bool is_domain; /* the kernel's own memory */
	dev_t dev;
	ino_t ino;
	int mode; /* of the open file */
	struct mem_file *file;
	struct region *region;
};

struct kvduse_table {
	struct kvduse_map *maps;
	unsigned int n;
};

/* The inflight log's file. */
struct kvduse_log {
	char path[KVDUSE_PATH_MAX]; /* "": none is wanted */
	int fd; /* -1: there is none */
	struct region *region;
	uint64_t part_bytes; /* of each queue */
	bool is_found; /* it was there, and may know more than we do */
};

enum kvduse_job_state {
	JOB_RUNS,
	JOB_DONE, /* the control thread joins and frees */
	JOB_LEFT, /* the thread frees */
};

/* Something that blocks, on a thread of its own. */
struct kvduse_job {
	const struct kvduse_sys *sys;
	char name[VDUSE_NAME_MAX];
	int (*fn)(const char *name);
	pthread_t thread;
	int done_fd; /* an eventfd */
	int result;
	char text[ERR_TEXT_MAX];
	uint32_t state; /* atomic: enum kvduse_job_state */
};

struct kvduse {
	/* set at probe */
	struct vdpa_device *vdev;
	struct loop *loop;
	const struct kvduse_sys *sys;
	char name[VDPA_NAME_MAX];
	char dir[KVDUSE_PATH_MAX];
	bool attaches;
	bool keeps; /* leaves the device to whoever comes after us */
	int control_fd;
	int fd; /* of the device; any thread */
	uint32_t version; /* of the API */
	uint64_t features; /* offered to the kernel */
	uint32_t nvqs; /* shown to it: the first ones */
	uint32_t config_size;
	struct kvduse_vq *vqs;

	/* control only */
	int poll_fd; /* epoll, of fd; -1: no messages */
	struct loop_watch *watch; /* of poll_fd */
	struct vdpa_turn turn;
	struct vduse_request request; /* that is handled now */
	bool is_handling;
	bool *is_gone; /* of who wants to know that this was freed */
	struct vdpa_turn kick_turn;
	struct vdpa_turn end_turn;
	bool is_kicked; /* that turn is on its way */
	bool is_found; /* the device was there when we came */
	bool is_recovering; /* the driver's session is older than we are */
	bool is_broken; /* the kernel gave it up */
	bool is_leaving;
	uint8_t status; /* that the kernel has, as far as we said yes */
	bool has_features; /* the device has those of the driver */
	bool has_started; /* ... and DRIVER_OK */
	uint32_t group_asid[VDPA_GROUPS_MAX];
	struct kvduse_table tables[VDPA_AS_MAX];
	struct kvduse_log log;
	struct event config;
	struct event kick; /* of queues that do not run */
	struct event irq; /* some queue owes one */
	struct loop_timer irq_timer;
	unsigned int n_irq_tries;
	struct kvduse_job *job;
	struct loop_watch *job_watch;
	struct loop_timer held_timer;

	/* counters */
	struct log_limit limit;
	uint64_t n_bad;
};

/* An ioctl of the device's file. Return: as ioctl(), or -errno */
int kvduse_ioctl(const struct kvduse *kv, unsigned long cmd, void *arg);

/* ---- kvduse_dev.c ---- */

/**
 * kvduse_dev_open() - have the kernel's device, made or found
 *
 * Return: 0; -ENOENT the module is not loaded; -EPERM, -EACCES; -EBUSY another
 *         process has it; -EINVAL, -EOPNOTSUPP the kernel cannot show it
 */
int kvduse_dev_open(struct kvduse *kv);
/* Unmakes it where the kernel's bus has let go of it. Return: 0; -EBUSY */
int kvduse_dev_destroy(struct kvduse *kv);
void kvduse_dev_close(struct kvduse *kv);
/* What of the device's features the kernel may see; the number of queues. */
uint64_t kvduse_features(struct vdpa_device *vdev, uint32_t *ret_nvqs);
/* The whole config space, to the kernel. */
int kvduse_send_config(struct kvduse *kv);

/* ---- kvduse_msg.c ---- */

int kvduse_msg_open(struct kvduse *kv);
void kvduse_msg_close(struct kvduse *kv);
/* Reads requests and answers them, as many as there are now. As the last thing
 * that is done with @kv: it may be freed. */
void kvduse_serve(struct kvduse *kv);
/* The device was there when we came: if a driver runs on it, go on. */
void kvduse_recover(struct kvduse *kv);
/* The session is over, whoever ended it. In a turn. */
void kvduse_reset(struct kvduse *kv);
/* The driver kicked a queue that the device does not have. */
void kvduse_kicked(struct kvduse *kv);

/* ---- kvduse_vq.c ---- */

int kvduse_vqs_new(struct kvduse *kv);
void kvduse_vqs_free(struct kvduse *kv);
/* From now on kicks wake us. */
int kvduse_vqs_watch(struct kvduse *kv);
/* Was there such a kick? The same as what the loop does. */
void kvduse_vqs_poll(struct kvduse *kv);
/* The device gets every queue that is ready; one that is not is taken away. */
int kvduse_vqs_update(struct kvduse *kv);
/* What was kicked before somebody listened. */
void kvduse_vqs_kick(struct kvduse *kv);
/* After a reset of the device. */
void kvduse_vqs_forget(struct kvduse *kv);
/* Fills in the state of @state->index. */
int kvduse_vq_get_state(struct kvduse *kv, struct vduse_vq_state *state);

/* ---- kvduse_mem.c ---- */

/**
 * kvduse_mem_update() - fetch an address space from the kernel, all of it
 *
 * When it returns nothing uses what is not there any more. On failure nothing
 * is mapped.
 *
 * Return: 0; -EPROTO the kernel's table makes no sense; as region_new_file()
 *         and vdpa_map()
 */
int kvduse_mem_update(struct kvduse *kv, uint32_t asid);
int kvduse_mem_update_all(struct kvduse *kv);
void kvduse_mem_drop(struct kvduse *kv);
/* Is it a driver of the kernel's that has mapped no buffer yet? */
bool kvduse_mem_is_waiting(const struct kvduse *kv);

/* ---- kvduse_log.c ---- */

/**
 * kvduse_log_open() - the file: made anew, or found
 * @kv: the device is open
 *
 * Return: 0, also when none is wanted; -EBUSY another process has it; -EPERM;
 *         -errno
 */
int kvduse_log_open(struct kvduse *kv);
/* @is_over: nothing needs it any more: removed */
void kvduse_log_close(struct kvduse *kv, bool is_over);
/* Before a queue starts. */
int kvduse_log_give(struct kvduse_vq *vq);
/* The queue was stopped, and its state is known: forget what it did. */
void kvduse_log_clear(struct kvduse *kv, uint32_t idx);
void kvduse_log_note_asid(struct kvduse *kv, uint32_t group);

/* ---- kvduse_job.c ---- */

/* Runs @fn (of kv->sys) on a thread. Return: 0; -EBUSY one runs; -errno */
int kvduse_job_start(struct kvduse *kv, int (*fn)(const char *name));
/**
 * kvduse_job_wait() - answer the kernel's requests until it has ended
 *
 * Return: what it returned, with its text; -ETIMEDOUT it goes on
 */
int kvduse_job_wait(struct kvduse *kv);
/* Has it ended? Then *ret_result, and there is none any more. */
bool kvduse_job_take(struct kvduse *kv, int *ret_result);
/* Whatever becomes of it. */
void kvduse_job_leave(struct kvduse *kv);

#endif
