/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the vhost-user front end share.
 *
 * Theory of operation
 *
 * A process implements a device and shows it on a vhost-user socket, as it does
 * for a VMM. We are its front end, and the device is on our bus:
 *
 *   client --ioctl--> bus driver --op--> vufront --message--> back end
 *      |  |                                       <--answer--    |  |
 *      |  +---- kick, call: the client's own eventfds -----------+  |
 *      +------- memory: the client's own files ---------------------+
 *
 * Data does not come by here, nor do kicks and calls: the back end is given the
 * client's descriptors. (But a client that changes its map without waiting, see
 * struct vdpa_gate, has its kicks passed on by a worker.)
 *
 * What a client sets up is kept (the shadow) and sent as a whole at DRIVER_OK,
 * so that nothing depends on whether there is a connection before that, and the
 * next start works after the back end was away. Guest address and user address
 * of what is mapped are both the I/O virtual address, so that rings need no
 * translation. VIRTIO_F_ACCESS_PLATFORM is ours: to the back end, what the
 * client mapped is all of the guest's memory.
 *
 * The socket never blocks. Messages are sent in order and answered in order; an
 * op that needs the answer leaves its turn until it is here (bus.h). So does
 * the handshake, which has a task of its own: there are no turns before there
 * is a device. Whatever a back end sends that it may not, or leaves out for too
 * long, ends the connection. If a client was using it then, the device needs a
 * reset; and we connect again.
 *
 *   vufront.c          management device
 *   vufront_link.c     the socket: messages, answers, deadlines
 *   vufront_hello.c    connecting, and what is agreed on first
 *   vufront_channel.c  what the back end says by itself
 *   vufront_mem.c      the client's memory
 *   vufront_vq.c       virtqueues
 *   vufront_ops.c      the other config ops
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_REMOTE_VUFRONT_INTERNAL_H
#define DEV_REMOTE_VUFRONT_INTERNAL_H

#include <sys/stat.h>

#include "base/err.h"
#include "base/log.h"
#include "base/task.h"
#include "base/unix.h"
#include "bus/bus.h"
#include "dev/remote/bounce.h"
#include "uapi/vhost_user.h"

/* Queues have indexes of 8 bits in some messages. */
#define VUFRONT_VQS_MAX	      256
#define VUFRONT_NUM_DEFAULT   1024
#define VUFRONT_NUM_MAX	      32768
#define VUFRONT_TAG_BYTES     36 /* of virtio-fs */
#define VUFRONT_TIMEOUT_S     30
#define VUFRONT_TIMEOUT_S_MAX 86400
/* An answer of the handshake may take that long. */
#define VUFRONT_HELLO_NS (5 * 1000000000ULL)
/* Connecting is tried again after this, then after twice as long, ... */
#define VUFRONT_RETRY_NS     (50 * 1000000ULL)
#define VUFRONT_RETRY_NS_MAX (2 * 1000000000ULL)
/* Messages that wait for being sent or answered. */
#define VUFRONT_MSGS_MAX 4096

struct vufront_answer;
struct vufront_dev;
struct vufront_facts;

/* What of a back end's features can be offered: the device's, and of the
 * transport's those that need no message that vhost-user does not have. */
#define VUFRONT_FEATURES                                                  \
	((BIT_ULL(24) - 1) | BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |       \
	 BIT_ULL(VIRTIO_RING_F_EVENT_IDX) | BIT_ULL(VIRTIO_F_VERSION_1) | \
	 BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VIRTIO_F_IN_ORDER) |     \
	 BIT_ULL(VIRTIO_F_ORDER_PLATFORM) | ~(BIT_ULL(50) - 1))

/* The registry: one a bus. Control only. */
struct vufront_mgmt {
	struct vdpa_mgmtdev mgmtdev;
	struct vdpa_bus *bus;
	struct list devs; /* not yet on the bus, too */
};

/* What `dev add` said. */
struct vufront_options {
	char path[UNIX_PATH_MAX];
	const struct vufront_type *type;
	uint32_t n_queues; /* 0: as many as the back end has */
	uint32_t num_max; /* largest ring */
	uint32_t timeout_s; /* 0: for ever */
	char tag[VUFRONT_TAG_BYTES + 1];
	bool has_mac;
	uint8_t mac[6];
	uint64_t features; /* to choose from */
	struct bounce bounce;
};

/**
 * struct vufront_type - what is not told by the protocol
 *
 * @n_queues: 0: what the config space says (@queues_at)
 * @config_size: bytes that a back end is asked for
 * @queues_at: where in it the number of queues is, 16 bits; 0: nowhere
 * @mq_bit: feature without which there is one
 * @hidden: features that need a front end which does more than we do
 * @fill: makes the config space where the back end has none, or adds to it.
 *        Return: features that are ours
 */
struct vufront_type {
	const char *name;
	uint32_t id;
	uint32_t n_queues;
	uint32_t config_size;
	uint32_t queues_at;
	unsigned int mq_bit;
	uint64_t hidden;
	uint64_t (*fill)(const struct vufront_options *o,
			 const struct vufront_facts *facts, uint8_t *config);
};

/* What a back end has; agreed on once a connection. */
struct vufront_facts {
	uint64_t features; /* as it said */
	uint64_t protocol;
	uint64_t n_queues; /* UINT64_MAX: it does not say */
	uint32_t n_slots; /* regions of memory */
	uint8_t config[VHOST_USER_CONFIG_MAX];
	uint32_t config_size; /* 0: it has none */
};

struct vufront_vq {
	struct vufront_dev *dev;
	uint16_t idx;
	struct loop *worker; /* its owner */

	/* control only */
	uint32_t num;
	uint64_t desc_area, driver_area, device_area;
	struct vdpa_vq_state state; /* while it does not run */
	struct vdpa_callback cb;
	int client_kick_fd; /* borrowed; -1: none */
	int kick_fd; /* ours */
	int call_fd; /* ours, for a callback without one */
	bool is_ready;
	bool is_running; /* in the back end */
	bool is_paused; /* was running, and will be at once */
	bool is_gated; /* kicks go through the worker */
	bool has_worker; /* it does something for us */

	/* owner worker only */
	struct loop_watch *kick_watch; /* of the client's */
	struct loop_watch *call_watch; /* of ours */
	struct vdpa_gate gate;
	struct vdpa_callback called; /* who is, by call_fd */
};

/* One region of memory as the back end has it. */
struct vufront_slot {
	uint64_t start, last; /* I/O virtual addresses */
	uint64_t offset; /* of start in the file */
	dev_t dev;
	ino_t ino;
	struct region *region; /* keeps the file open */
};

struct vufront_table {
	struct vufront_slot *slots; /* by address */
	uint32_t n, n_max;
};

/* What has happened; for the user. */
struct vufront_stats {
	uint64_t n_sessions;
	uint64_t n_lost; /* while a client used it */
	uint64_t n_messages;
	uint64_t n_bad; /* answers that make no sense, or hang */
	uint64_t n_refused; /* the back end said no */
	uint64_t n_config_changes;
	uint64_t n_regions; /* that the back end has now */
	uint64_t n_hidden; /* entries of the client that no process can map */
};

/* A message, until it is answered. Control only. */
struct vufront_msg {
	struct list node; /* in to_send or to_answer */
	struct vhost_user_header hdr;
	union vhost_user_payload payload;
	int fds[VHOST_USER_FDS_MAX]; /* ours, until they are sent */
	unsigned int n_fds;
	size_t n_sent;
	bool is_answered; /* by a reply of its own, or an acknowledgement */
	struct vufront_answer *answer; /* NULL: nobody waits for it */
};

struct vufront_answer {
	struct vufront_msg *msg; /* NULL: is here, or never comes */
	int ret; /* 0; -errno: there is none */
	uint32_t size;
	union vhost_user_payload payload;
	void (*fn)(struct vufront_dev *dev); /* nobody waits: it is called */
};

/* What is to be said. Descriptors are borrowed. */
struct vufront_request {
	uint32_t request;
	const void *payload;
	uint32_t size;
	const int *fds;
	unsigned int n_fds;
};

/* The link: the connection that there is, or will be. */
struct vufront_link {
	int fd; /* -1: none */
	struct loop_watch *watch;
	struct list to_send, to_answer;
	unsigned int n_msgs;
	struct {
		struct vhost_user_header hdr;
		union vhost_user_payload payload;
	} in;
	size_t n_in; /* bytes of it that are here */
	struct loop_timer late;
	bool was_refused; /* a message that nobody waited for */
};

/* The handshake. */
struct vufront_hello {
	struct task *task;
	bool is_waiting; /* it left its task */
	struct loop_timer wake;
	struct loop_timer again;
	uint64_t retry_ns;
	int ret; /* of the last one */
	char text[ERR_TEXT_MAX];
};

/* The back-end channel. */
struct vufront_channel {
	int fd; /* -1: none */
	struct loop_watch *watch;
	struct {
		struct vhost_user_header hdr;
		union vhost_user_payload payload;
	} in;
	size_t n_in;
	struct vufront_answer config; /* the new one, being asked for */
	bool asks_again;
};

/* One device. Control only, but for what its queues have. */
struct vufront_dev {
	struct vufront_mgmt *mgmt;
	struct list node;
	char name[VDPA_NAME_MAX];
	struct vufront_options options;
	struct loop *control;

	struct vufront_link link;
	struct vufront_hello hello;
	struct vufront_channel channel;
	struct vufront_facts facts; /* of this connection, while is_up */
	bool is_up; /* the handshake is done */
	bool is_ending;

	/* the device, once it is on the bus */
	struct vdpa_device vdev;
	struct vdpa_device *relay; /* NULL: the client's memory is shown */
	struct vdpa_device *waiter; /* in whose turns answers are waited for */
	bool is_known; /* features and so on were told to somebody */
	uint64_t features; /* offered */
	uint64_t own_features; /* of these, not the back end's */
	uint8_t config[VHOST_USER_CONFIG_MAX];
	uint32_t config_size;
	uint32_t generation;
	struct vufront_vq *vqs;

	/* as the client has it */
	uint64_t driver_features;
	uint8_t status;
	struct vdpa_callback config_cb;
	bool is_started; /* the back end was told all of it */
	bool is_suspended;
	struct iotlb_snap *map;
	struct vufront_table table; /* that the back end has */
	struct vdpa_gate gate;
	bool has_warned; /* of memory that cannot be shared, in this session */

	struct vufront_stats stats;
	struct log_limit limit;
};

static inline bool vufront_has(const struct vufront_dev *dev,
			       unsigned int protocol_feature)
{
	return has_bit(dev->facts.protocol, protocol_feature);
}

/* ---- vufront.c ---- */

/* A connection was made, or not: dev->hello.ret. */
void vufront_hello_ended(struct vufront_dev *dev);

/* ---- vufront_link.c ---- */

void vufront_link_init(struct vufront_dev *dev);
/* Return: 0; -errno: it could not be watched, and is closed */
int vufront_link_open(struct vufront_dev *dev, int take_fd);
/* Whoever waits is answered -ECONNRESET. */
void vufront_link_close(struct vufront_dev *dev);

/**
 * vufront_post() - say something and go on
 * @dev: with a connection
 * @req: copied, its descriptors duplicated
 *
 * If it is refused, link.was_refused is set.
 *
 * Return: 0; -ECONNRESET, -EMFILE, -ENOMEM: not said, there is no connection
 *         any more
 */
int vufront_post(struct vufront_dev *dev, const struct vufront_request *req);

/**
 * vufront_ask() - say something and wait for the answer
 * @ret: filled on success; NULL: that it was done is all that matters. Without
 *       REPLY_ACK the back end is asked for something else, too: once it
 *       answers that, it has done this
 *
 * Return: 0; -EIO it was refused; -ECONNRESET, -EMFILE, -ENOMEM as above; -EINTR
 *         the turn was cancelled, or there is none
 * Context: in a turn of dev->waiter, or on hello.task
 */
int vufront_ask(struct vufront_dev *dev, const struct vufront_request *req,
		struct vufront_answer *ret);

/* The same without waiting: ret->fn is called. @ret lives as long as the link. */
int vufront_begin(struct vufront_dev *dev, const struct vufront_request *req,
		  struct vufront_answer *ret);

int vufront_post_u64(struct vufront_dev *dev, uint32_t request, uint64_t value);
int vufront_ask_u64(struct vufront_dev *dev, uint32_t request, uint64_t value);
int vufront_get_u64(struct vufront_dev *dev, uint32_t request,
		    uint64_t *ret_value);

/* ---- vufront_hello.c ---- */

int vufront_hello_init(struct vufront_dev *dev);
void vufront_hello_fini(struct vufront_dev *dev);
/* Connects, now; tries again and again if it fails. */
void vufront_connect(struct vufront_dev *dev);
/* Is one underway, so that its end will be told? */
bool vufront_is_saying_hello(const struct vufront_dev *dev);
/* The task waits for something that is here. */
void vufront_hello_wake(struct vufront_dev *dev);
/* The connection makes no sense any more: closes it, tells the client. */
void vufront_lose(struct vufront_dev *dev, const char *why);
/* A new connection instead of this one, which no client uses. */
void vufront_renew(struct vufront_dev *dev);
/* In a turn: until there is a connection. Return: 0; -ETIMEDOUT; -EINTR */
int vufront_await_link(struct vufront_dev *dev);

/* The first @size bytes of the config space. Return: 0; -EPROTO; -errno */
int vufront_take_config(struct vufront_dev *dev, const struct vufront_answer *a,
			uint8_t *ret);
struct vufront_config_request {
	struct vhost_user_config config;
	struct vufront_request req;
};
void vufront_config_request(const struct vufront_dev *dev,
			    struct vufront_config_request *ret);
/* Clients see what facts.config has. Return: has anything changed? */
bool vufront_use_config(struct vufront_dev *dev);

/* ---- vufront_types.c ---- */

/* "net", "blk", ..., or the number of a virtio device. Return: 0; -EINVAL */
int vufront_type_find(const char *text, const struct vufront_type **ret);
/* Bit mask of virtio device ids. */
uint64_t vufront_classes(void);

/* ---- vufront_channel.c ---- */

/* Return: 0; -errno */
int vufront_channel_open(struct vufront_dev *dev);
void vufront_channel_close(struct vufront_dev *dev);

/* Asks for the config space, when there is a connection. */
void vufront_config_changed(struct vufront_dev *dev);
/* Tells the client that config space or status have changed. */
void vufront_call_config(struct vufront_dev *dev);

/* ---- vufront_mem.c ---- */

/* Tells the back end, which has none so far, of all memory. Return: 0; -errno */
int vufront_mem_start(struct vufront_dev *dev);
/* Is all that the back end has still right? */
bool vufront_mem_is_kept(struct vufront_dev *dev);
/* Does the back end have all of these bytes? */
bool vufront_mem_has(const struct vufront_dev *dev, uint64_t iova,
		     uint64_t size);
/* The back end is gone, and with it what it had. */
void vufront_mem_lost(struct vufront_dev *dev);
void vufront_mem_fini(struct vufront_dev *dev);
int vufront_set_map(struct vdpa_device *vdev, unsigned int asid,
		    struct iotlb_snap *map);

/* ---- vufront_vq.c ---- */

/* Return: 0; -ENOMEM, -EMFILE */
int vufront_vq_init(struct vufront_vq *vq, struct vufront_dev *dev,
		    uint16_t idx);
void vufront_vq_fini(struct vufront_vq *vq);
/* Return: 0; -errno */
int vufront_vq_start(struct vufront_vq *vq);
/* The same after a stop: kicks may have been lost. */
int vufront_vq_restart(struct vufront_vq *vq);
/* In a turn: its state is that of the back end. Return: 0; -errno */
int vufront_vq_stop(struct vufront_vq *vq);
/* As after a reset. */
void vufront_vq_clear(struct vufront_vq *vq);

extern const struct vdpa_config_ops vufront_ops;

void vufront_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready);
int vufront_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
			 struct vdpa_vq_state *ret_state);
void vufront_kick_vq(struct vdpa_device *vdev, uint16_t idx);
int vufront_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd);
void vufront_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		       const struct vdpa_callback *cb);
void vufront_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate);

static inline struct vufront_dev *vufront_dev_of(struct vdpa_device *vdev)
{
	return container_of(vdev, struct vufront_dev, vdev);
}

static inline struct vufront_vq *vufront_vq_of(struct vdpa_device *vdev,
					       uint16_t idx)
{
	return &vufront_dev_of(vdev)->vqs[idx];
}

#endif
