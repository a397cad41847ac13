/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software device: config ops for anything that processes requests in
 * software.
 *
 * Theory of operation
 *
 * A class (net, blk) fills a struct soft_class: features, config space, and
 * submit(), which is given bursts of chains and completes them into the same
 * queue. All else, from status to address spaces to the virtqueues' life, is
 * here, once:
 *
 *   soft_ops.c   status, features, config space, life; control thread
 *   soft_vq.c    virtqueues: set up, start, stop; control thread
 *   soft_mem.c   address spaces, and what else queues are told of memory
 *   pump.c       the data path, kick to call; worker threads
 *
 * A queue runs while DRIVER_OK is set, the queue is ready, and the device is
 * not suspended. Control binds descriptors, maps and state to the queue's
 * worker with loop_call_wait() and steps aside.
 *
 * The drain: a class may complete chains long after submit(). Before control
 * says that a queue is stopped, or that an old map is not used any more, it
 * waits with loop_call_until() for the worker to say so (struct soft_wait).
 * When a stop returns, every chain that was fetched is completed and published,
 * the state is where the driver will go on, and nothing of the client's memory
 * is touched any more.
 *
 * A queue that its driver broke stays stopped, and the device shows
 * DEVICE_NEEDS_RESET.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SOFT_SOFT_H
#define SOFT_SOFT_H

#include "bus/bus.h"
#include "vq/vq.h"

/* Longest that a queue may look for work before it sleeps. */
#define SOFT_POLL_US_MAX 1000000

/* The row of a management device's table of keys for soft_set_poll_us(). */
#define SOFT_KEY_POLL_US                                                  \
	{                                                                 \
		"poll_us", "N",                                           \
			"poll a queue in vain for up to N microseconds "  \
			"before sleeping; adapts to the load (default 0)" \
	}

/* Chains that one round of a queue takes, so that no queue starves another. */
#define SOFT_BURST 32

/*
 * Largest ring of the simulators. The kernel's say 256, but QEMU 10's
 * vhost-vdpa-device-pci uses 1024 whatever a device says, which kernels up to
 * 6.12 let pass.
 */
#define SOFT_SIM_NUM_MAX 1024

/* Ring features that every software device has. */
extern const uint64_t soft_ring_features;

struct soft_dev;

/**
 * struct soft_class - what makes a software device one of its kind
 *
 * @device_id, @vendor_id: virtio ids
 * @leader: optional: index of the first queue that has the same owner as this
 *          one (itself, when it is the first), so that a burst of one may take
 *          chains of another; without it each queue is its own
 * @slot_bytes: memory of the class beside each chain, see soft_slot()
 * @submit: do what @chains ask for and soft_complete() each, before returning
 *          or later; what would take too long may be given back with
 *          soft_unfetch() before returning; all of it only if budget() says 0
 *          from then on. Owner worker
 * @cancel: optional: the queue is stopping, and waits for what is in flight:
 *          complete it soon, undone if need be. Owner worker
 * @budget: optional: how many chains may be taken from the queue now, 0: none.
 *          soft_wake() makes it be asked again. Owner worker
 * @is_passive: optional: this queue only holds buffers that bursts of another
 *              one take with soft_fetch(): kicks mean nothing. Asked when
 *              the queue starts
 * @get_config, @set_config: bytes of the config space; checked range. Run on
 *                           the owner of queue 0
 * @emit_stats: optional: counters of one queue; -EINVAL it has none
 * @announce: optional: see struct vdpa_config_ops; owner of queue 0
 * @save_state, @load_state: optional: the same
 * @reset: optional: the driver's settings are gone; queues are stopped
 * @keeps_iovas: chains are not translated, see vq_setup.keeps_iovas
 *
 * For classes that stand on something that has a state of its own. Control
 * thread; where the device may wait these may, too (vdpa_wait()):
 *
 * @set_status: optional: the driver sets this status; with DRIVER_OK queues
 *              start next. Return: 0; -errno: the status stays as it was
 * @stopping: optional: running queue @idx, or all of them, are about to stop: a
 *            last chance to wait for what is in flight, as @cancel has none
 * @stopped: optional: ... and have; when it is for a reset, or of all. Return:
 *           what the op says that stopped them
 * @resuming: optional: all queues may start again next. Return: as set_status
 * @free: release what the class holds; then the device's memory is freed
 */
struct soft_class {
	uint32_t device_id;
	uint32_t vendor_id;
	uint16_t (*leader)(const struct soft_dev *dev, uint16_t idx);
	size_t slot_bytes;
	void (*submit)(struct soft_dev *dev, uint16_t idx,
		       struct vq_chain **chains, unsigned int n);
	void (*cancel)(struct soft_dev *dev, uint16_t idx);
	unsigned int (*budget)(struct soft_dev *dev, uint16_t idx);
	bool (*is_passive)(struct soft_dev *dev, uint16_t idx);
	void (*get_config)(struct soft_dev *dev, uint32_t offset, void *buf,
			   uint32_t len);
	void (*set_config)(struct soft_dev *dev, uint32_t offset,
			   const void *buf, uint32_t len);
	int (*emit_stats)(struct soft_dev *dev, uint16_t idx, vdpa_stat_fn emit,
			  void *priv);
	int (*announce)(struct soft_dev *dev, const uint8_t mac[6]);
	int64_t (*save_state)(struct soft_dev *dev, void *buf, size_t size);
	int (*load_state)(struct soft_dev *dev, const void *buf, size_t size);
	void (*reset)(struct soft_dev *dev);
	void (*free)(struct soft_dev *dev);
	bool keeps_iovas;
	int (*set_status)(struct soft_dev *dev, uint8_t status);
	void (*stopping)(struct soft_dev *dev, unsigned int idx, bool is_reset);
	int (*stopped)(struct soft_dev *dev, unsigned int idx, bool is_reset);
	int (*resuming)(struct soft_dev *dev);
};

/* Every queue. */
#define SOFT_ALL UINT32_MAX

/* Control waits for queues of one worker; owner worker only. */
struct soft_wait {
	struct loop_done *done;
	unsigned int n_left; /* queues that are not there yet */
};

struct soft_vq {
	/* set at creation */
	struct soft_dev *dev;
	uint16_t idx;
	struct loop *worker;
	struct soft_vq *leader; /* of those that one burst may complete */
	struct soft_vq *next; /* with the same leader, which is the first */

	/* control only */
	uint32_t num;
	uint64_t desc_area, driver_area, device_area;
	struct vdpa_vq_state state;
	struct vdpa_inflight inflight; /* region: NULL, or a reference */
	bool is_ready;
	bool is_running;

	/* owner worker only */
	struct vq *vq;
	struct loop_watch *watch;
	struct loop_poller poller;
	struct vdpa_callback call;
	struct vdpa_callback config_call;
	int log_fd; /* told of what is marked in the dirty log; -1: none */
	struct vdpa_gate gate;
	struct vdpa_miss miss;
	uint32_t asid; /* where a miss is */
	bool is_passive; /* what the class said at the start */
	bool is_held; /* behind the gate: a kick will come */
	bool is_missing; /* something is not mapped: a map will come */
	bool is_dirty; /* completed something since the last publish */
	bool wants_call; /* published, and the driver is not called yet */
	bool in_submit; /* leader: a burst is being submitted */
	bool is_stopping; /* fetches no more */
	bool is_discarding; /* the class gets none of what is fetched */
	uint32_t n_in_flight; /* chains that the class has */
	struct soft_wait *wait; /* for n_in_flight 0, or no old chains */

	/* any thread, atomic */
	bool is_broken;
};

struct soft_dev {
	struct vdpa_device vdev;

	/* set before soft_dev_init() */
	const struct soft_class *class;
	uint64_t device_features;
	uint32_t config_size;
	uint16_t num_max;
	uint32_t max_poll_us;
	/* group of each queue; NULL: all are in group 0 */
	uint32_t (*vq_group)(const struct soft_dev *dev, uint16_t idx);

	/* control only */
	struct vdpa_config_ops ops; /* without those that the class lacks */
	struct soft_vq *vqs;
	uint32_t *group_asid;
	struct iotlb_snap **maps; /* of each asid */
	struct iotlb_snap *empty_map;
	uint64_t driver_features;
	uint8_t status;
	bool is_suspended;
	uint32_t generation;
	struct vdpa_callback config_call;
};

/**
 * soft_dev_init() - make a software device of a filled struct
 * @dev: the fields named above are set, also vdev.name and nvqs, ngroups, nas
 * @bus: whose workers it uses
 *
 * Afterwards vdpa_device_register(). Return: 0; -ENOMEM (nothing is held)
 */
int soft_dev_init(struct soft_dev *dev, struct vdpa_bus *bus);
/* Releases all of it, class and memory included; off the bus. */
void soft_dev_free(struct soft_dev *dev);

/**
 * soft_set_poll_us() - the key `poll_us` of `dev add`
 * @dev: before soft_dev_init()
 * @value: decimal microseconds
 *
 * Return: 0; -EINVAL no number; -ERANGE above SOFT_POLL_US_MAX
 */
int soft_set_poll_us(struct soft_dev *dev, const char *value);

static inline struct soft_dev *soft_dev_of(struct vdpa_device *vdev)
{
	return container_of(vdev, struct soft_dev, vdev);
}

/* The features that the driver accepted; fixed while queues run. */
static inline uint64_t soft_features(const struct soft_dev *dev)
{
	return dev->driver_features;
}

/* ---- for classes, on the owner worker ---- */

/* Does this queue run? */
bool soft_is_running(struct soft_dev *dev, uint16_t idx);

/* Does it run, but must wait before more is fetched: for a change of the
 * client's memory that is on its way? Then all queues of its worker are woken. */
bool soft_is_waiting(struct soft_dev *dev, uint16_t idx);

/**
 * soft_fetch() - take chains of another queue of the same owner
 *
 * As vq_fetch(); a queue that does not run, or is broken, has none.
 * Return: chains, 0: none
 */
unsigned int soft_fetch(struct soft_dev *dev, uint16_t idx,
			struct vq_chain **ret_chains, unsigned int max);
/* Gives the newest @n chains of soft_fetch() back. */
void soft_unfetch(struct soft_dev *dev, uint16_t idx, unsigned int n);

/* The class's memory beside a chain: slot_bytes of it. */
void *soft_slot(struct soft_dev *dev, uint16_t idx,
		const struct vq_chain *chain);

/* Done with a chain; published, and the driver called, after the burst, or soon
 * when this is not in one. */
void soft_complete(struct soft_dev *dev, uint16_t idx, struct vq_chain *chain,
		   uint32_t written);

/* The same for a burst; @written may be NULL: nothing in any of them. */
void soft_complete_all(struct soft_dev *dev, uint16_t idx,
		       struct vq_chain *const *chains, const uint32_t *written,
		       unsigned int n);

/* In cancel(): lets go of a chain, which is as if it had not been fetched. The
 * queue goes on where it is when the ring's younger ones are let go of too. */
void soft_forget(struct soft_dev *dev, uint16_t idx);

/* The class cannot go on with a queue: as if its driver had broken it. */
void soft_break(struct soft_dev *dev, uint16_t idx);

/* Look at a queue again soon. */
void soft_wake(struct soft_dev *dev, uint16_t idx);

/* ---- for classes and management devices, control thread ---- */

/* Runs @fn where config space is owned: the worker of queue 0. */
void soft_call_config(struct soft_dev *dev, void (*fn)(void *priv), void *priv);
/* The config space changed: generation and interrupt. Control thread. */
void soft_config_changed(struct soft_dev *dev);

#endif
