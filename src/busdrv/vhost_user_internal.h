/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the vhost-user bus driver share.
 *
 * Theory of operation
 *
 * One struct vhost_user a bound device, on the control thread. A front end
 * connects, or we connect to one; while it stays there is a session. What it
 * sends is kept as it said it (the shadow), and given to the device when a
 * ring starts: so the order of messages, in which front ends differ, does not
 * matter, and a reset of the device loses nothing that the connection holds.
 *
 *   vhost_user.c        probe, remove, keys
 *   vhost_user_conn.c   the socket: listen, connect, receive, send, deadlines
 *   vhost_user_msg.c    the table of messages, and what is done with a bad one
 *   vhost_user_dev.c    features, status, config space, reset
 *   vhost_user_mem.c    the memory table
 *   vhost_user_vring.c  rings: the shadow, start and stop
 *   vhost_user_notify.c  their kicks, calls and errors
 *   vhost_user_log.c    the dirty log
 *   vhost_user_backend.c  the back-end channel
 *   vhost_user_iotlb.c  addresses that the front end translates
 *   vhost_user_inflight.c  what outlives us
 *   vhost_user_state.c  device state, and what the network is to know
 *
 * Addresses. Without VIRTIO_F_ACCESS_PLATFORM what stands in rings is
 * guest-physical: the memory table is mapped there, in address space 0 of the
 * device, and our devices, which insist on ACCESS_PLATFORM, are given it by us.
 * Ring addresses themselves are the front end's own (user addresses), and go
 * through the table once, when the ring starts.
 *
 * Rings. Started (a kick descriptor came, or an in-band kick) and enabled, with
 * addresses: then the device runs it. DRIVER_OK is set with the first one.
 *
 * A message that is wrong is answered with an error where the front end asked
 * for an answer (REPLY_ACK), and the state stays as it was; otherwise the
 * connection is closed: a front end that believes that it succeeded must not
 * go on. Nothing here waits for the peer: while an answer cannot be sent, no
 * further message is read.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VHOST_USER_INTERNAL_H
#define BUSDRV_VHOST_USER_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/unix.h"
#include "bus/bus.h"
#include "busdrv/event.h"
#include "uapi/vhost_user.h"

/* A message may take that long from its first byte to its last. */
#define VHOST_USER_MSG_DEADLINE_NS (5 * 1000000000ULL)
/* A front end that said nothing for that long makes way for another. */
#define VHOST_USER_SILENCE_NS	(1 * 1000000000ULL)
#define VHOST_USER_RECONNECT_MS 1000
/* How often a ring is looked at whose driver does not kick. */
#define VHOST_USER_POLL_NS (1 * 1000000ULL)
/* Missing addresses that are asked for at a time. */
#define VHOST_USER_MISSES_MAX 64

struct mem_log;
struct vhost_user;

/**
 * struct vhost_user_msg - a request, and in the same place its reply
 *
 * @fds, @n_fds: that came with it; what a handler keeps it sets to -1
 * @reply_size: of a request that has a reply of its own, bytes of @payload;
 *              set to its request's size before the handler is called
 * @has_reply: set by a handler that answers although its request has no reply
 * @reply_fd: goes with the reply; closed by the sender; -1: none
 */
struct vhost_user_msg {
	struct vhost_user_header hdr;
	union vhost_user_payload payload;
	int fds[VHOST_USER_FDS_MAX];
	unsigned int n_fds;
	uint32_t reply_size;
	int reply_fd;
	bool has_reply;
};

/* What the front end said about one ring, and what became of it. */
struct vhost_user_ring {
	struct vhost_user *vu;
	uint16_t idx;
	/* the shadow */
	uint32_t num;
	struct vhost_vring_addr addr;
	uint32_t base; /* where it goes on, as the messages have it */
	bool has_addr;
	bool has_base;
	bool is_started; /* as the specification uses the word */
	bool is_polled; /* started without a descriptor */
	bool is_enabled;
	int kick_fd;
	int call_fd;
	int err_fd;
	/* the device's */
	bool is_running;
	bool was_running; /* and will be, when the device begins again */
	struct vhost_user_ring_areas {
		uint64_t desc, driver, device;
	} areas; /* while it runs */
	struct loop_watch *kick_watch; /* the device cannot watch it itself */
	/* in-band notifications: the device calls us */
	bool has_no_call; /* the front end polls */
	struct event call;
	/* to be told on the back-end channel */
	bool tells_call;
	bool tells_err;
	bool tells_notifier;
};

/* The back-end channel: what is said on it, one thing after the other. */
struct vhost_user_channel {
	int fd; /* -1: none */
	struct loop_watch *watch;
	struct vhost_user_msg out; /* its descriptor is borrowed */
	size_t n_out, out_done; /* bytes of it; 0: nothing is on its way */
	bool awaits_reply;
	struct vhost_user_reply {
		struct vhost_user_header hdr;
		uint64_t u64;
	} __attribute__((packed)) in;
	size_t n_in;
	bool tells_config;
};

/* Addresses that queues wait for. */
struct vhost_user_misses {
	struct event event; /* while somebody may miss any */
	pthread_mutex_t lock;
	/* under the lock */
	struct {
		uint64_t iova;
		uint32_t perm;
	} list[VHOST_USER_MISSES_MAX];
	unsigned int n;
};

/* One region of the front end's memory. */
struct vhost_user_slot {
	struct vhost_user_region r;
	struct region *region;
	dev_t dev;
	ino_t ino;
	unsigned int n_added; /* times, by ADD_MEM_REG */
};

struct vhost_user_mem {
	struct vhost_user_slot slots[VHOST_USER_MEM_SLOTS];
	unsigned int n;
	bool keeps_files; /* the device hands them on */
};

/* Control thread only. */
struct vhost_user {
	struct vdpa_device *vdev;
	struct vdpa_driver *drv;
	struct loop *loop;

	/* options */
	char path[UNIX_PATH_MAX];
	bool is_client;
	uint64_t reconnect_ns;
	uint32_t mode;
	uint32_t n_queues; /* told to front ends */
	bool offers_iommu;
	bool offers_postcopy;

	/* vhost_user_conn.c */
	struct unix_listener listener;
	struct loop_watch *listen_watch;
	struct loop_timer retry;
	int fd; /* -1: no session */
	struct loop_watch *watch;
	struct loop_timer deadline;
	struct vhost_user_msg in;
	size_t n_in; /* bytes of it that are here */
	struct vhost_user_msg out;
	size_t n_out, out_done; /* bytes of it */
	uint64_t since_ns; /* of the session */
	bool has_spoken;
	bool is_trusted; /* see struct vdpa_callback */
	bool is_leaving; /* remove() waits for the front end to go */
	struct vdpa_turn turn;
	unsigned int due; /* of enum vhost_user_due */
	bool is_in_turn; /* started, and has not ended */

	/* the session */
	uint64_t features;
	uint64_t protocol_features;
	bool has_features;
	bool is_lost; /* the state is not what the front end believes */
	uint8_t status;
	struct vhost_user_ring *rings;
	uint32_t n_rings;
	struct vhost_user_mem *mem; /* NULL: none yet */
	bool is_mapped; /* guest-physical, in the device's address space */
	struct loop_timer poll;
	struct region *log_bitmap; /* NULL: none */
	struct mem_log *log; /* while it is marked in; NULL: not */
	int log_fd; /* told of that; -1: nobody is */
	struct vhost_user_channel channel;
	struct event config;
	struct vhost_user_misses misses;
	bool is_broken; /* the front end was told of it */
	int uffd; /* -1: no postcopy is underway */
	bool is_listening; /* POSTCOPY_LISTEN came */
	struct region *inflight;
	uint32_t n_inflight; /* rings that have a part of it */
	uint64_t inflight_part; /* bytes */
	struct vhost_user_transfer {
		int fd; /* -1: none */
		struct loop_watch *watch;
		bool is_load;
		char *buf;
		size_t size, done;
		int result; /* of the last one; -EINPROGRESS */
	} transfer;

	/* counters, since bind */
	uint64_t n_sessions;
	uint64_t n_bad;
	struct log_limit limit;
};

static inline bool vhost_user_has(const struct vhost_user *vu,
				  unsigned int protocol_feature)
{
	return has_bit(vu->protocol_features, protocol_feature);
}

/* ---- vhost_user_conn.c ---- */

/* Return: 0; -errno of listening (connecting is tried again later) */
int vhost_user_open(struct vhost_user *vu);
/* No further front end; the socket's path is removed. When the one that is
 * there has left, vdpa_removed() is called and @vu is gone: that may be now. */
void vhost_user_leave(struct vhost_user *vu);
/* The same, without waiting. */
void vhost_user_cut_off(struct vhost_user *vu);
/* Is there a front end, or one on its way in or out? */
bool vhost_user_has_session(const struct vhost_user *vu);

/* ---- vhost_user.c ---- */

void vhost_user_destroy(struct vhost_user *vu);

/* ---- vhost_user_msg.c ---- */

/**
 * struct vhost_user_op - one request: how it looks and who does it
 *
 * @name: as the specification has it, without VHOST_USER_
 * @min_size, @max_size: of the payload, bytes
 * @min_fds, @max_fds: descriptors beside it
 * @feature: protocol feature that has to be agreed on; -1: none
 * @has_reply: a reply of its own; else it is acknowledged when asked for
 * @fn: does it; NULL: not supported
 */
struct vhost_user_op {
	const char *name;
	uint16_t min_size, max_size;
	uint8_t min_fds, max_fds;
	int8_t feature;
	bool has_reply;
	int (*fn)(struct vhost_user *vu, struct vhost_user_msg *msg);
};

/* Return: the row of a request; NULL: there is no such request */
const struct vhost_user_op *vhost_user_op(uint32_t request);
/* Can its header be right, before the payload is read? Return: 0; -EPROTO */
int vhost_user_check_header(const struct vhost_user_header *hdr);
/**
 * vhost_user_dispatch() - do what a complete message asks for
 * @vu: with a session
 * @msg: becomes its own reply
 * @ret_reply: is there one to send?
 *
 * Return: 0; -errno the connection has to be closed
 */
int vhost_user_dispatch(struct vhost_user *vu, struct vhost_user_msg *msg,
			bool *ret_reply);

/* ---- vhost_user_dev.c ---- */

/* Protocol features that are offered. */
uint64_t vhost_user_offer(const struct vhost_user *vu);
/* Gives the device the features that were agreed on, up to FEATURES_OK. */
int vhost_user_prepare(struct vhost_user *vu);
/* A ring runs: DRIVER_OK. */
int vhost_user_go(struct vhost_user *vu);
/* To be prepared and to go again, with other queues. */
void vhost_user_stop_device(struct vhost_user *vu);
/* Rings stop, the device starts over; what the connection holds stays. */
void vhost_user_reset(struct vhost_user *vu);

/* Queues of a device that carry data. */
uint32_t vhost_user_n_data_queues(struct vdpa_device *vdev);

int vhost_user_get_features(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_set_features(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_get_protocol_features(struct vhost_user *vu,
				     struct vhost_user_msg *msg);
int vhost_user_set_protocol_features(struct vhost_user *vu,
				     struct vhost_user_msg *msg);
int vhost_user_set_owner(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_reset_owner(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_get_queue_num(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_get_config(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_set_config(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_reset_device(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_get_status(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_set_status(struct vhost_user *vu, struct vhost_user_msg *msg);

/* ---- vhost_user_mem.c ---- */

/* Maps the table, or not, as vhost_user_has_iommu() says now. */
int vhost_user_mem_update(struct vhost_user *vu);
void vhost_user_mem_drop(struct vhost_user *vu);
/* Return: NULL: no region has that user address */
const struct vhost_user_slot *
vhost_user_mem_find(const struct vhost_user_mem *mem, uint64_t uaddr);
/* Return: 0; -EFAULT no region has that user address */
int vhost_user_mem_translate(const struct vhost_user_mem *mem, uint64_t uaddr,
			     uint64_t *ret_gpa);

int vhost_user_set_mem_table(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_get_max_mem_slots(struct vhost_user *vu,
				 struct vhost_user_msg *msg);
int vhost_user_add_mem_reg(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_rem_mem_reg(struct vhost_user *vu, struct vhost_user_msg *msg);

/* Maps @size bytes of a file at @mmap_offset. Return: 0; -EINVAL; -errno */
int vhost_user_map_file(const struct vhost_user_region *r, int fd,
			struct region **ret);

/* ---- vhost_user_log.c ---- */

/**
 * vhost_user_log_update() - mark what is written, or not, as was agreed on
 * @vu: features and bitmap as they are now
 * @mem: the table
 * @also: NULL, or another table whose memory may still be written
 *
 * Return: 0; -ENOMEM (nothing is changed); what the device said
 */
int vhost_user_log_update(struct vhost_user *vu,
			  const struct vhost_user_mem *mem,
			  const struct vhost_user_mem *also);
/* The ring's addresses may be others. */
int vhost_user_log_ring(struct vhost_user_ring *ring);
void vhost_user_log_drop(struct vhost_user *vu);

int vhost_user_set_log_base(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_set_log_fd(struct vhost_user *vu, struct vhost_user_msg *msg);

/* ---- vhost_user_backend.c ---- */

/* There may be something to tell. */
void vhost_user_tell(struct vhost_user *vu);
void vhost_user_channel_close(struct vhost_user *vu);
/* For the length of a session. */
int vhost_user_watch_config(struct vhost_user *vu);
void vhost_user_unwatch_config(struct vhost_user *vu);

int vhost_user_set_backend_req_fd(struct vhost_user *vu,
				  struct vhost_user_msg *msg);

/* ---- vhost_user_iotlb.c ---- */

/* Does the front end translate for us (VIRTIO_F_ACCESS_PLATFORM)? */
bool vhost_user_has_iommu(const struct vhost_user *vu);
/* Asks for what is missing, or not, as vhost_user_has_iommu() says now. */
int vhost_user_iommu_update(struct vhost_user *vu);
void vhost_user_iommu_drop(struct vhost_user *vu);
/* Takes the oldest out of the list. Return: was there one? */
bool vhost_user_next_miss(struct vhost_user *vu, struct vhost_iotlb_msg *ret);

int vhost_user_iotlb_msg(struct vhost_user *vu, struct vhost_user_msg *msg);

/* ---- vhost_user_inflight.c ---- */

void vhost_user_inflight_drop(struct vhost_user *vu);
int vhost_user_inflight_ring(const struct vhost_user_ring *ring);

int vhost_user_get_inflight_fd(struct vhost_user *vu,
			       struct vhost_user_msg *msg);
int vhost_user_set_inflight_fd(struct vhost_user *vu,
			       struct vhost_user_msg *msg);

/* ---- vhost_user_state.c ---- */

void vhost_user_transfer_drop(struct vhost_user *vu);

int vhost_user_set_device_state_fd(struct vhost_user *vu,
				   struct vhost_user_msg *msg);
int vhost_user_check_device_state(struct vhost_user *vu,
				  struct vhost_user_msg *msg);
int vhost_user_send_rarp(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_net_set_mtu(struct vhost_user *vu, struct vhost_user_msg *msg);

/* ---- vhost_user_postcopy.c ---- */

/* Nobody waits for a page any more. First of all that ends a session. */
void vhost_user_postcopy_drop(struct vhost_user *vu);
/* Does the front end say that it serves faults, in a message of memory? */
bool vhost_user_postcopy_is_ack(const struct vhost_user *vu,
				const struct vhost_user_msg *msg);
/* Regions are in the table: registers them, and puts our addresses in the
 * message, which becomes the reply. */
int vhost_user_postcopy_add(struct vhost_user *vu, struct vhost_user_msg *msg,
			    struct vhost_user_region *regions, unsigned int n);

int vhost_user_postcopy_advise(struct vhost_user *vu,
			       struct vhost_user_msg *msg);
int vhost_user_postcopy_listen(struct vhost_user *vu,
			       struct vhost_user_msg *msg);
int vhost_user_postcopy_end(struct vhost_user *vu, struct vhost_user_msg *msg);

/* ---- vhost_user_notify.c ---- */

/* Tell the device what the front end said of its kicks and calls. */
int vhost_user_ring_set_kick(struct vhost_user_ring *ring);
int vhost_user_ring_set_call(struct vhost_user_ring *ring);
void vhost_user_ring_call_after_crash(struct vhost_user_ring *ring);
/* Looks at rings that have no kick; the callback of a timer. */
void vhost_user_rings_poll(void *priv);
int vhost_user_vring_kick(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_set_vring_kick(struct vhost_user *vu,
			      struct vhost_user_msg *msg);
int vhost_user_set_vring_call(struct vhost_user *vu,
			      struct vhost_user_msg *msg);
int vhost_user_set_vring_err(struct vhost_user *vu, struct vhost_user_msg *msg);

/* ---- vhost_user_vring.c ---- */

int vhost_user_find_ring(struct vhost_user *vu, uint64_t idx,
			 struct vhost_user_ring **ret);
/* Makes a ring run, or not, as the shadow has it now. */
int vhost_user_ring_update(struct vhost_user_ring *ring);
int vhost_user_rings_new(struct vhost_user *vu);
/* Back to how a session begins; descriptors are closed. */
void vhost_user_rings_drop(struct vhost_user *vu);
/* The device was reset: all rings are stopped and disabled. Addresses, sizes
 * and call descriptors stay the connection's. */
void vhost_user_rings_reset(struct vhost_user *vu);
bool vhost_user_any_running(const struct vhost_user *vu);
void vhost_user_enable_all(struct vhost_user *vu, bool enable);
/* Stops running rings whose addresses are others, or none, in @mem. */
void vhost_user_rings_hold(struct vhost_user *vu,
			   const struct vhost_user_mem *mem);
/* Starts every ring that should run and does not; those that cannot are
 * logged, and tried again after the next change. */
void vhost_user_rings_update(struct vhost_user *vu);

int vhost_user_set_vring_num(struct vhost_user *vu, struct vhost_user_msg *msg);
int vhost_user_set_vring_addr(struct vhost_user *vu,
			      struct vhost_user_msg *msg);
int vhost_user_set_vring_base(struct vhost_user *vu,
			      struct vhost_user_msg *msg);
int vhost_user_get_vring_base(struct vhost_user *vu,
			      struct vhost_user_msg *msg);
int vhost_user_set_vring_enable(struct vhost_user *vu,
				struct vhost_user_msg *msg);

#endif
