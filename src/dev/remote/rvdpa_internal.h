/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the vhost_vdpa device share.
 *
 * Theory of operation
 *
 * A node /dev/vhost-vdpa-N of the kernel's, or of another vdpakit's, is a device
 * here. What a client does to the device is done to the node, call by call:
 *
 *   client --> bus driver --op--> rvdpa_dev --job--> link's thread --> node
 *                   ^   vdpa_wait()  |  ^                |   ioctl, write
 *                   +----------------+  +---loop_call----+
 *
 * Any of these calls may take long, or for ever: behind the kernel's node may be
 * a VDUSE process that hangs, and another daemon may hang by itself. So each
 * device has a thread, which makes the calls one after the other, and the op
 * waits in its turn; the control thread never does. Where there is no turn to
 * wait in (a client is cut off) the job is queued all the same, and nobody asks
 * how it ended.
 *
 * When the other side takes longer than a limit, or is gone, the device is broken
 * for good: its status says NEEDS_RESET and its ops fail. It can be deleted at
 * any time: the link is left to its thread then, which closes the node when it
 * comes back, and keeps until then every region that the other side may use.
 *
 * Data does not come by here. The other side reads and writes the client's
 * memory where this process has it mapped; kicks and calls are the client's
 * eventfds, handed on. A callback without an eventfd gets one of ours, which a
 * worker watches; so does a kick while there is a gate (vdpa_gate).
 *
 *   rvdpa.c        management device: keys, add, delete
 *   rvdpa_link.c   the thread and its jobs; system calls
 *   rvdpa_probe.c  opening a node, and what it says of itself (thread)
 *   rvdpa_map.c    address spaces (thread)
 *   rvdpa_ops.c    config ops; waiting; the end of a device
 *   rvdpa_vq.c     config ops of virtqueues: kicks and calls
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_REMOTE_RVDPA_INTERNAL_H
#define DEV_REMOTE_RVDPA_INTERNAL_H

#include <pthread.h>

#include <vdpakit/device.h>

#include "base/err.h"
#include "bus/bus.h"
#include "dev/remote/rvdpa.h"
#include "uapi/compat.h"

/* How long the other side may take for one call. */
#define RVDPA_TIMEOUT_S	    30
#define RVDPA_TIMEOUT_S_MAX 3600
/* What a node may say of itself. */
#define RVDPA_VQS_MAX	 1024
#define RVDPA_NUM_MAX	 32768
#define RVDPA_CONFIG_MAX 4096
/* A node that is just being closed by its last client is waited for. */
#define RVDPA_BUSY_MS 3000
/* How long threads are waited for when everything ends. */
#define RVDPA_END_MS 3000
/* Jobs that a device may have queued. */
#define RVDPA_JOBS_MAX 8192

struct rvdpa_dev;
struct rvdpa_link;

/* What a node said when it was opened; checked. */
struct rvdpa_facts {
	uint32_t device_id;
	uint64_t features;
	uint64_t backend_features; /* agreed on */
	uint32_t nvqs;
	uint32_t ngroups;
	uint32_t nas;
	uint16_t num_max;
	uint32_t config_size;
	struct vdpa_iova_range range;
	bool has_groups; /* it knows each queue's */
	bool has_sizes; /* and its ring's size */
	uint8_t *config; /* config_size bytes */
	uint8_t *group, *desc_group; /* of each queue */
};

/**
 * struct rvdpa_job - one thing for the thread to do
 *
 * @run: on the thread; sets result, and text if it is negative
 * @ended: optional: on control, when nobody waits for it; not after the device
 *         has gone
 */
struct rvdpa_job {
	struct list node;
	int (*run)(struct rvdpa_link *link, struct rvdpa_job *job);
	void (*ended)(struct rvdpa_dev *dev, struct rvdpa_job *job);
	/* argument, and what came of it */
	unsigned long cmd;
	union {
		uint64_t u64;
		int fd;
		uint8_t u8;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct vhost_vring_file file;
	} arg;
	int dup_fd; /* the descriptor in arg, if it is the job's; -1 */
	uint32_t asid;
	struct iotlb_snap *map; /* a reference; may be NULL */
	struct vhost_vdpa_config *config; /* for CONFIG commands */
	uint8_t status;
	int result;
	char text[ERR_TEXT_MAX];
	/* control only */
	bool is_done;
	bool is_left; /* nobody waits for it: freed when it is done */
};

struct rvdpa_link {
	/* set before the thread starts, then read-only */
	const struct rvdpa_sys *sys;
	struct loop *control; /* alive until left */
	char path[256];
	int wake_fd; /* eventfd: there is a job, or it was left */
	int config_fd; /* eventfd: the other side has news */

	/* control only, once the probe has ended; the thread's before */
	struct rvdpa_facts facts;

	/* thread only */
	int fd; /* the node; -1 */
	struct iotlb_snap *maps[VDPA_AS_MAX]; /* what it has been told */
	uint64_t used_as; /* bit mask: it knows that address space */
	uint64_t stale_as; /* what it has there is not known */
	struct list kept; /* jobs whose maps it may still use */

	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t cond; /* has_ended */
	unsigned int refs;
	struct rvdpa_dev *dev; /* NULL: not yet, or left */
	struct vdpa_mgmtdev *mgmtdev; /* told when it has probed; NULL: left */
	struct list queue;
	struct list done;
	struct loop_work work;
	bool is_told; /* work is on its way to control, and has a reference */
	bool has_probed;
	bool has_ended;
	bool is_gone; /* the node hung up */
	bool is_left;
	bool is_cut; /* left, and not even what is queued matters */
	int probe_result;
	char probe_text[ERR_TEXT_MAX];
};

struct rvdpa_vq {
	struct rvdpa_dev *dev;
	uint16_t idx;
	struct loop *worker;

	/* control only */
	int kick_fd; /* the client's, borrowed; -1 */
	int own_kick_fd; /* where that is not handed on; -1 until then */
	int own_call_fd; /* for a callback without an eventfd; -1 until then */
	bool has_kick, has_call; /* the other side was given one */
	bool has_own_kick; /* and it is ours */
	bool is_ready;
	uint16_t num;

	/* owner worker only */
	struct loop_watch *kick_watch; /* of kick_fd, while there is a gate */
	struct loop_watch *call_watch; /* of own_call_fd */
	struct vdpa_callback cb;
	struct vdpa_gate gate;

	/* any thread, atomic */
	uint64_t n_kicks, n_calls;
};

struct rvdpa_dev {
	struct vdpa_device vdev; /* where a relay stands on it: on no bus */
	struct vdpa_config_ops ops; /* those that the other side has */
	struct vdpa_device *relay; /* NULL: none */
	struct vdpa_device *waiter; /* whose turns we wait in */
	struct vdpa_mgmtdev *mgmtdev;
	struct loop *control;
	struct rvdpa_link *link;
	const struct rvdpa_facts *facts; /* the link's */
	uint32_t timeout_s;

	/* control only */
	struct rvdpa_vq *vqs;
	uint32_t group_asid[VDPA_GROUPS_MAX];
	uint8_t *config; /* as of the last news */
	uint32_t generation;
	uint8_t status;
	uint64_t driver_features;
	struct vdpa_callback config_cb;
	struct vdpa_gate gate;
	struct loop_watch *config_watch;
	bool is_refreshing; /* a look at the config is under way */
	bool has_news; /* another one is due */
	bool has_failed; /* something that DRIVER_OK depends on, since reset */
	bool has_warned;
	bool is_broken;
	unsigned int n_queued;
	uint64_t n_calls, n_errors, n_maps;
};

/* ---- rvdpa_link.c ---- */

/* A thread that opens @path and asks what is there; then @mgmtdev has news.
 * Return: 0; -errno */
int rvdpa_link_new(const struct rvdpa_sys *sys, struct vdpa_mgmtdev *mgmtdev,
		   const char *path, struct rvdpa_link **ret);
/* Has it? Then *ret_result: 0; what was wrong with it, with its text */
bool rvdpa_link_has_probed(struct rvdpa_link *link, int *ret_result);
/* From now on @dev is told of what it does. */
void rvdpa_link_attach(struct rvdpa_link *link, struct rvdpa_dev *dev);
/* Leaves it to its thread. @is_cut: without what is queued. The reference
 * stays the caller's. */
void rvdpa_link_leave(struct rvdpa_link *link, bool is_cut);
/* Of one that was left: has its thread ended, or does it until @end_ns? */
bool rvdpa_link_has_ended(struct rvdpa_link *link, uint64_t end_ns);
struct rvdpa_link *rvdpa_link_unref(struct rvdpa_link *link);
/* Queues a job; it is the link's until it is done. */
void rvdpa_link_post(struct rvdpa_link *link, struct rvdpa_job *job);

/* Return: NULL: no memory */
struct rvdpa_job *rvdpa_job_new(int (*run)(struct rvdpa_link *link,
					   struct rvdpa_job *job));
void rvdpa_job_free(struct rvdpa_job *job);

/* Thread: makes one call. Return: 0; -errno with its text */
int rvdpa_ioctl(const struct rvdpa_link *link, unsigned long cmd, void *arg);
/* What a command is called, for messages. */
const char *rvdpa_cmd_name(unsigned long cmd);

/* ---- rvdpa_probe.c: on the thread ---- */

/* Opens the node and fills link->facts. Return: 0; -errno */
int rvdpa_probe(struct rvdpa_link *link);
void rvdpa_facts_fini(struct rvdpa_facts *facts);

/* ---- rvdpa_map.c: on the thread ---- */

/* Job: address space job->asid is job->map from now on. */
int rvdpa_run_map(struct rvdpa_link *link, struct rvdpa_job *job);
/* After a reset that may have emptied them: tells it all again. */
int rvdpa_restore_maps(struct rvdpa_link *link);
/* Nobody uses them any more. */
void rvdpa_forget_maps(struct rvdpa_link *link);

/* ---- rvdpa_ops.c ---- */

extern const struct vdpa_config_ops rvdpa_ops;

/**
 * rvdpa_run() - have a job done, and wait for it where that can be
 * @dev: of whose link
 * @job: NULL: there was no memory for it. Taken, unless 0 is returned and
 *       @ret_job is not NULL
 * @ret_job: if there has to be an answer: it, to be freed
 *
 * Return: 0; -EIO broken, or the time is up; -ENOMEM; -EINTR; what it said
 */
int rvdpa_run(struct rvdpa_dev *dev, struct rvdpa_job *job,
	      struct rvdpa_job **ret_job);
/* A job that makes one ioctl with what is put into its arg. */
struct rvdpa_job *rvdpa_ioctl_job(unsigned long cmd);
/* Something that a client needs has failed: there will be no DRIVER_OK. */
void rvdpa_note(struct rvdpa_dev *dev, int result);
/* A job that nobody waited for has ended. */
void rvdpa_ended(struct rvdpa_dev *dev, struct rvdpa_job *job);
/* For good: @why is a sentence's end. */
void rvdpa_break(struct rvdpa_dev *dev, const char *why);
/* Of LOOP_IN on link->config_fd. */
void rvdpa_config_event(void *priv, unsigned int events);

/* ---- rvdpa_vq.c ---- */

void rvdpa_vq_init(struct rvdpa_vq *vq, struct rvdpa_dev *dev, uint16_t idx,
		   struct loop *worker);
void rvdpa_vq_fini(struct rvdpa_vq *vq);
/* Nothing that the client gave is used any more. */
void rvdpa_vq_reset(struct rvdpa_vq *vq);
int rvdpa_set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			 uint64_t desc_area, uint64_t driver_area,
			 uint64_t device_area);
void rvdpa_set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num);
void rvdpa_kick_vq(struct vdpa_device *vdev, uint16_t idx);
int rvdpa_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd);
void rvdpa_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		     const struct vdpa_callback *cb);
void rvdpa_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready);
bool rvdpa_get_vq_ready(struct vdpa_device *vdev, uint16_t idx);
int rvdpa_set_vq_state(struct vdpa_device *vdev, uint16_t idx,
		       const struct vdpa_vq_state *state);
int rvdpa_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
		       struct vdpa_vq_state *ret_state);
uint16_t rvdpa_get_vq_size(struct vdpa_device *vdev, uint16_t idx);
void rvdpa_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate);

static inline struct rvdpa_dev *rvdpa_dev_of(struct vdpa_device *vdev)
{
	return container_of(vdev, struct rvdpa_dev, vdev);
}

static inline struct rvdpa_vq *rvdpa_vq_of(struct vdpa_device *vdev,
					   uint16_t idx)
{
	return &rvdpa_dev_of(vdev)->vqs[idx];
}

#endif
