/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the VDUSE host share.
 *
 * Theory of operation
 *
 * A process creates a device through vduse/control, and serves it through
 * vduse/NAME; `dev add` puts it on the bus, where a bus driver shows it to a
 * client. We stand between the two, as the kernel does:
 *
 *   client --ioctl--> bus driver --op--> vduse_dev --message--> process
 *                                        ^    ^ <----reply----- (write)
 *                                        |    +-- ioctls: VQ_GET_INFO, ...
 *                                        +------- what was set: rings, status
 *
 * Most ops only keep what they are given, for the process to ask for. Those
 * that need its answer send a message and leave the turn's task until the
 * reply's write() wakes it, or the time is up (vduse_msg.c). Meanwhile the
 * process's ioctls run on the control loop as ever: there is no lock.
 *
 * With the key `bounce` the process does not get the client's memory: a relay
 * (relay/relay.h) is on the bus in the device's stead, and calls its ops.
 *
 * Data does not come by here: the process maps the client's memory (GET_FD)
 * and sees its rings. Kicks do: a worker watches the client's eventfd, which it
 * never reads, and adds to the process's. Calls are an ioctl; a process that we
 * trust is given the client's eventfd with the first one, and needs no other
 * (struct cdev_words).
 *
 *   vduse.c          registry, management device
 *   vduse_control.c  /dev/vduse/control
 *   vduse_file.c     /dev/vduse/NAME: open, read, write, ioctls on the device
 *   vduse_vq.c       ioctls and ops on one virtqueue, kicks
 *   vduse_mem.c      address spaces, and the ioctls that show them
 *   vduse_msg.c      messages
 *   vduse_drain.c    letting the process finish
 *   vduse_ops.c      config ops
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_REMOTE_VDUSE_INTERNAL_H
#define DEV_REMOTE_VDUSE_INTERNAL_H

#include "bus/bus.h"
#include "cdev/cdev.h"
#include "uapi/vduse.h"

/* What processes can make us hold. */
#define VDUSE_DEVS_MAX	    1024
#define VDUSE_CONTROLS_MAX  1024
#define VDUSE_VQS_TOTAL_MAX (4U * VDUSE_VQS_MAX)
#define VDUSE_GROUPS_MAX    0xffffU
/* How long a process may take to reply, unless said otherwise. */
#define VDUSE_TIMEOUT_S	    30
#define VDUSE_TIMEOUT_S_MAX 86400

/* What the kernel refuses to create, but a user of ours may allow. */
enum vduse_allow {
	VDUSE_ALLOW_CTRL_VQ,
	VDUSE_ALLOW_CONFIG_WCE,
	VDUSE_ALLOW_ANY_ID,
	VDUSE_ALLOW_N
};

/* The registry: one a bus. Control only. */
struct vduse {
	struct vdpa_mgmtdev mgmtdev;
	struct vdpa_bus *bus;
	struct cdev *cdev;
	struct cdev_node *control;
	struct list controls; /* open files of it */
	unsigned int n_controls;
	struct list devs;
	unsigned int n_devs;
	unsigned int n_vqs; /* of all of them */
	uint64_t allow; /* BIT_ULL(enum vduse_allow) */
	uint32_t timeout_s; /* of devices to come */
};

struct vduse_vq {
	struct vduse_dev *dev;
	uint16_t idx;
	struct loop *worker; /* its owner */

	/* control only */
	uint16_t max_size; /* 0: not set up */
	uint32_t group;
	uint32_t num;
	uint64_t desc_area;
	uint64_t driver_area;
	uint64_t device_area;
	struct vdpa_vq_state state;
	struct vdpa_callback cb;
	bool is_ready;
	bool is_used; /* has anything that a reset takes from the worker */

	/* owner worker only */
	struct loop_watch *watch; /* of the client's eventfd */
	int kick_fd; /* the process's, ours to close; -1: none */
	bool takes_kicks; /* is_ready, as the worker knows it */
	struct vdpa_gate gate;
	bool is_kicked; /* while there was no kick_fd */
};

/* What has happened; for the user. */
struct vduse_stats {
	uint64_t n_messages;
	uint64_t n_failed; /* the process said no */
	uint64_t n_timed_out;
	uint64_t n_withdrawn; /* the client did not wait for the reply */
	uint64_t n_redelivered;
	uint64_t n_bad_replies;
	uint64_t n_hidden_maps; /* of the client, that no process can map */
};

/* One device of a process. Control only. */
struct vduse_dev {
	struct vduse *vduse;
	struct list node; /* in vduse->devs */
	char name[VDUSE_NAME_MAX];
	struct cdev_node *cdev_node;
	unsigned int minor;
	struct cdev_file *file; /* the process's; NULL: not open */
	struct cdev_words
		*words; /* shortcuts of INJECT_IRQ; NULL: none so far */

	/* as created */
	uint64_t version; /* of the API */
	uint32_t vendor_id;
	uint32_t device_id;
	uint64_t features;
	uint32_t vq_align;
	uint32_t nvqs;
	uint32_t ngroups;
	uint32_t nas;
	uint32_t config_size;
	uint8_t *config;
	struct vduse_vq *vqs;

	/* as the client has it */
	uint64_t driver_features;
	uint8_t status;
	uint32_t generation;
	struct vdpa_callback config_cb;
	uint32_t *group_asid; /* ngroups of them */

	/* on the bus */
	struct vdpa_device vdev;
	struct vdpa_device *relay; /* NULL: the client's memory is shown */
	struct vdpa_device *waiter; /* in whose turns messages are waited for */
	bool is_attached;
	struct iotlb_snap **maps; /* nas of them; NULL: never attached */
	bool has_warned; /* of memory that it cannot share, in this session */

	/* messages */
	struct list msgs; /* without a reply, oldest first */
	uint32_t next_id;
	uint32_t timeout_s; /* 0: for ever */
	bool is_broken;
	struct vduse_stats stats;
};

struct vduse_msg {
	struct vduse_request req;
	struct vduse_response resp;
	struct list node;
	struct loop_timer timer;
	struct vduse_dev *dev;
	bool is_done;
};

/* ---- vduse.c ---- */

/* Return: NULL: no such device. */
struct vduse_dev *vduse_find(struct vduse *vduse, const char *name);

/**
 * vduse_dev_new() - what CREATE_DEV does once it was found to be right
 * @config: checked; its name ends with a NUL
 * @space: config_size bytes; copied
 * @version: of the API
 *
 * Return: 0; -EEXIST; -ENOSPC, -ENOMEM a limit was met
 */
int vduse_dev_new(struct vduse *vduse, const struct vduse_create *config,
		  const void *space, uint64_t version);
/* Return: 0; -EBUSY it is open or attached */
int vduse_dev_destroy(struct vduse_dev *dev);

/* ---- vduse_control.c ---- */

extern const struct cdev_ops vduse_control_ops;
/* "ctrl_vq,config_wce,any_id", some of it, or "none". Return: 0; -EINVAL */
int vduse_allow_parse(const char *text, uint64_t *ret_allow);
/* The registry goes: open files of the node answer ENODEV. */
void vduse_controls_end(struct vduse *vduse);

/* ---- vduse_file.c ---- */

extern const struct cdev_ops vduse_file_ops;

typedef int64_t (*vduse_ioctl_fn)(struct vduse_dev *dev, struct cdev_call *call,
				  uint64_t arg);

/* ---- vduse_vq.c ---- */

void vduse_vq_init(struct vduse_vq *vq, struct vduse_dev *dev, uint16_t idx);
/* Back to what SETUP made it, kicks forgotten. */
void vduse_vq_reset(struct vduse_vq *vq);

int64_t vduse_vq_setup(struct vduse_dev *dev, struct cdev_call *call,
		       uint64_t arg);
int64_t vduse_vq_get_info(struct vduse_dev *dev, struct cdev_call *call,
			  uint64_t arg);
int64_t vduse_vq_setup_kickfd(struct vduse_dev *dev, struct cdev_call *call,
			      uint64_t arg);
int64_t vduse_vq_inject_irq(struct vduse_dev *dev, struct cdev_call *call,
			    uint64_t arg);

void vduse_kick_vq(struct vdpa_device *vdev, uint16_t idx);
int vduse_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd);
void vduse_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready);
void vduse_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		     const struct vdpa_callback *cb);
void vduse_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate);

/* ---- vduse_mem.c ---- */

/* Makes room for the address spaces. Return: 0; -ENOMEM */
int vduse_mem_init(struct vduse_dev *dev);
/* Forgets the client's memory. */
void vduse_mem_clear(struct vduse_dev *dev);
void vduse_mem_fini(struct vduse_dev *dev);
int vduse_set_map(struct vdpa_device *vdev, unsigned int asid,
		  struct iotlb_snap *map);

int64_t vduse_iotlb_get_fd(struct vduse_dev *dev, struct cdev_call *call,
			   uint64_t arg);
int64_t vduse_iotlb_get_fd2(struct vduse_dev *dev, struct cdev_call *call,
			    uint64_t arg);
int64_t vduse_iotlb_get_info(struct vduse_dev *dev, struct cdev_call *call,
			     uint64_t arg);
int64_t vduse_iotlb_reg_umem(struct vduse_dev *dev, struct cdev_call *call,
			     uint64_t arg);
int64_t vduse_iotlb_dereg_umem(struct vduse_dev *dev, struct cdev_call *call,
			       uint64_t arg);

/* ---- vduse_msg.c ---- */

/**
 * vduse_msg_sync() - ask the process, and wait for its answer
 * @dev: attached
 * @msg: req.type and its payload are set; resp is filled
 *
 * Return: 0; -EIO it said no, was silent for too long, is broken, or the turn
 *         was cancelled
 * Context: in a turn of dev->waiter
 */
int vduse_msg_sync(struct vduse_dev *dev, struct vduse_msg *msg);
/* The process wrote. Return: as write() */
int64_t vduse_msg_reply(struct vduse_dev *dev, const void *buf, size_t len);
/* The process opened its file: it is sent what was not answered. */
void vduse_msg_resend(struct vduse_dev *dev);
/* Every message fails, from now on for good. */
void vduse_break(struct vduse_dev *dev);

/* ---- vduse_drain.c ---- */

/* Before a reset: waits for what the process has begun. In a turn. */
void vduse_drain(struct vduse_dev *dev);

/* ---- vduse_ops.c ---- */

extern const struct vdpa_config_ops vduse_ops;

static inline struct vduse_dev *vduse_dev_of(struct vdpa_device *vdev)
{
	return container_of(vdev, struct vduse_dev, vdev);
}

static inline struct vduse_vq *vduse_vq_of(struct vdpa_device *vdev,
					   uint16_t idx)
{
	return &vduse_dev_of(vdev)->vqs[idx];
}

#endif
