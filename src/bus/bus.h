/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vDPA bus: devices below, bus drivers above.
 *
 * Theory of operation
 *
 *   mgmtdev --makes--> device --bound to--> bus driver --shows to--> consumer
 *
 * The bus keeps three registries. A management device makes devices on demand
 * (dev_add). A device implements struct vdpa_config_ops. A bus driver probes a
 * device and shows it to a consumer; a device has at most one. All of it runs
 * on the control thread.
 *
 * Address spaces belong to the device object here: one IOTLB for each asid,
 * changed by the bus driver through vdpa_map() and vdpa_unmap(). What the
 * device wants to know of a change depends on its DMA ops: set_map() gets the
 * whole table as a snapshot, once a batch; dma_map()/dma_unmap() get each
 * change; with neither the device translates through vdpa_snapshot().
 *
 * Removal may have to wait for a consumer (an open vhost-vdpa node): remove()
 * of a bus driver ends with vdpa_removed(), now or later.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include <vdpakit/device.h>

#include "base/list.h"
#include "base/util.h"
#include "loop/loop.h"
#include "mem/iotlb.h"

#define VDPA_VQS_MAX	65535
#define VDPA_GROUPS_MAX 64
#define VDPA_AS_MAX	64

struct vdpa_bus;
struct vdpa_mgmtdev;
struct vdpa_driver;

/* ---- the bus ---- */

/**
 * vdpa_bus_new() - an empty bus
 * @control: its control loop; borrowed
 * @workers, @n_workers: loops for virtqueues, >= 1; borrowed, array copied. May
 *                       be { control } in tests
 * @ret: written on success
 *
 * Return: 0; -ENOMEM
 */
int vdpa_bus_new(struct loop *control, struct loop *const *workers,
		 unsigned int n_workers, struct vdpa_bus **ret);
/* All bus drivers and management devices, and with them devices, must be gone.
 * Takes NULL. Return: NULL. */
struct vdpa_bus *vdpa_bus_free(struct vdpa_bus *bus);
struct loop *vdpa_bus_control(struct vdpa_bus *bus);
/* The folder for what shall outlive this process; copied. NULL: there is none,
 * as at first. Return: 0; -ENOMEM */
int vdpa_bus_set_run_dir(struct vdpa_bus *bus, const char *path);
/* Borrowed until it is set again. */
const char *vdpa_bus_run_dir(const struct vdpa_bus *bus);
/* The worker for the next device or queue: round robin. */
struct loop *vdpa_bus_pick_worker(struct vdpa_bus *bus);

/* ---- management devices ---- */

/* Attributes of dev_add() and dev_set(); the numbers are VDPA_ATTR_*. */
enum vdpa_attr {
	VDPA_ATTR_MAC = 10,
	VDPA_ATTR_MAX_VQP = 12,
	VDPA_ATTR_MTU = 13,
	VDPA_ATTR_FEATURES = 20,
};

/* A key of our own that a management device takes beside the kernel's. */
struct vdpa_param {
	char key[32];
	char value[256];
};
#define VDPA_PARAMS_MAX 16

/**
 * struct vdpa_dev_config - what a new device should be like
 *
 * @mask: BIT_ULL(enum vdpa_attr) of what was given
 * @is_admin: the caller may set network attributes (CAP_NET_ADMIN)
 * @params: further keys, checked against the mgmtdev's table of keys
 */
struct vdpa_dev_config {
	uint64_t mask;
	bool is_admin;
	uint64_t device_features;
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t max_vq_pairs;
	struct vdpa_param params[VDPA_PARAMS_MAX];
	unsigned int n_params;
};

/* One key that a mgmtdev takes: for checking, --help and man page. */
struct vdpa_key {
	const char *name;
	const char *value; /* of the help: "SIZE", "on|off" */
	const char *help;
};

/* Could dev_add() make that device now? */
enum vdpa_there {
	VDPA_NOT_THERE, /* somebody else has to do something first */
	VDPA_THERE, /* yes, or it would say why there never will be one */
	VDPA_IS_ASKED, /* whoever has it is being asked */
};

/**
 * struct vdpa_mgmtdev_ops - what a management device does
 *
 * @dev_add: make a device called @name and add it (vdpa_device_register()).
 *           The attributes were checked against the mgmtdev's description
 * @dev_del: unregister and free a device of this mgmtdev; it is unbound
 * @dev_set_attr: optional: change attributes (MAC) of a device, or, with params,
 *                what these keys of set_keys say
 * @dev_is_there: optional: could dev_add() make that device now? If not,
 *                vdpa_mgmtdev_has_news() when that changes. It may begin what
 *                takes time, such as connecting to somebody
 * @dev_forget: optional, with dev_is_there(): nobody expects that device any
 *              more, and dev_add() was not called
 * @set: optional: change what the params, keys of own_keys, say of the
 *       management device itself. All of it or, with -errno, nothing
 */
struct vdpa_mgmtdev_ops {
	int (*dev_add)(struct vdpa_mgmtdev *mgmtdev, const char *name,
		       const struct vdpa_dev_config *config);
	void (*dev_del)(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev);
	int (*dev_set_attr)(struct vdpa_mgmtdev *mgmtdev,
			    struct vdpa_device *vdev,
			    const struct vdpa_dev_config *config);
	enum vdpa_there (*dev_is_there)(struct vdpa_mgmtdev *mgmtdev,
					const char *name,
					const struct vdpa_dev_config *config);
	void (*dev_forget)(struct vdpa_mgmtdev *mgmtdev, const char *name);
	int (*set)(struct vdpa_mgmtdev *mgmtdev,
		   const struct vdpa_dev_config *config);
};

/**
 * struct vdpa_mgmtdev - makes devices; filled by its owner, then registered
 *
 * @name: "vdpasim_net"
 * @bus_name: NULL unless it stands on a hardware bus
 * @classes: bit mask of virtio device ids
 * @attr_mask: BIT_ULL(enum vdpa_attr) of what dev_add() takes
 * @supported_features: virtio feature bits: dev_add() is asked for no others
 * @max_supported_vqs: 0: not said
 * @keys, @n_keys: of our own
 * @set_keys, @n_set_keys: those that may be changed later
 * @own_keys, @n_own_keys: of the management device itself
 */
struct vdpa_mgmtdev {
	const char *name;
	const char *bus_name;
	const struct vdpa_mgmtdev_ops *ops;
	uint64_t classes;
	uint64_t attr_mask;
	uint64_t supported_features;
	uint32_t max_supported_vqs;
	const struct vdpa_key *keys;
	unsigned int n_keys;
	const struct vdpa_key *set_keys;
	unsigned int n_set_keys;
	const struct vdpa_key *own_keys;
	unsigned int n_own_keys;
	void *priv;
	/* the bus's own */
	struct vdpa_bus *bus;
	struct list node;
};

int vdpa_mgmtdev_register(struct vdpa_bus *bus, struct vdpa_mgmtdev *mgmtdev);
/* Deletes its devices first. */
void vdpa_mgmtdev_unregister(struct vdpa_mgmtdev *mgmtdev);
/* @bus_name NULL: only those without a bus. Return: NULL not found */
struct vdpa_mgmtdev *vdpa_mgmtdev_find(struct vdpa_bus *bus,
				       const char *bus_name, const char *name);
/* The next one after @prev (NULL: the first). Return: NULL at the end */
struct vdpa_mgmtdev *vdpa_mgmtdev_next(struct vdpa_bus *bus,
				       struct vdpa_mgmtdev *prev);

/* ---- devices ---- */

/**
 * struct vdpa_device - the bus's half of a device; embedded in the device
 *
 * Filled by the device before vdpa_device_register(): ops, nvqs, ngroups, nas,
 * may_wait (its ops call vdpa_wait()), needs_queues_first (it never starts those
 * that become ready after DRIVER_OK), has_peer (an untrusted process has the
 * eventfds that it is lent, or the files of memory: what has none is left out),
 * below (a device on no bus, which this one stands on: only this one's ops call
 * its ops, and its waits are in this one's turns; NULL: none).
 */
struct vdpa_device {
	char name[VDPA_NAME_MAX];
	const struct vdpa_config_ops *ops;
	uint32_t nvqs;
	uint32_t ngroups;
	uint32_t nas;
	bool may_wait;
	bool needs_queues_first;
	bool has_peer;
	struct vdpa_device *below;
	/* the bus's own, control only */
	struct vdpa_bus *bus;
	struct vdpa_mgmtdev *mgmtdev;
	struct vdpa_driver *driver;
	void *driver_priv; /* of the bus driver */
	struct vdpa_as *as; /* nas of them */
	struct vdpa_turns *turns; /* of one that may wait */
	bool features_valid;
	bool is_dropping_maps; /* set_map() is the end of the client's maps */
	bool is_registered;
	bool is_removing; /* remove() was called, vdpa_removed() is due */
	void (*removed_fn)(void *priv, int result);
	void *removed_priv;
	struct list node;
};

/**
 * vdpa_device_register() - put a device on the bus
 * @bus: which
 * @mgmtdev: that made it; NULL: nobody can delete it by name
 * @vdev: filled as above, name set
 *
 * The default bus driver probes it; when that fails the device stays unbound.
 *
 * Return: 0; -EEXIST name taken; -EINVAL ops incomplete or numbers off;
 *         -ENOMEM
 */
int vdpa_device_register(struct vdpa_bus *bus, struct vdpa_mgmtdev *mgmtdev,
			 struct vdpa_device *vdev);
/* Off the bus; must be unbound. Its address spaces are gone. */
void vdpa_device_unregister(struct vdpa_device *vdev);
struct vdpa_device *vdpa_device_find(struct vdpa_bus *bus, const char *name);
struct vdpa_device *vdpa_device_next(struct vdpa_bus *bus,
				     struct vdpa_device *prev);

/**
 * vdpa_dev_add() - the management command `dev add`
 * @bus: which
 * @bus_name, @mgmtdev_name: as vdpa_mgmtdev_find()
 * @name: of the new device
 * @config: attributes and keys
 *
 * Return: 0; or as the kernel's VDPA_CMD_DEV_NEW, with its text as err_text():
 *         -ENODEV no such mgmtdev; -EEXIST; -EINVAL; -ERANGE; -EPERM;
 *         -EOPNOTSUPP
 * Source: kernel drivers/vdpa/vdpa.c
 */
int vdpa_dev_add(struct vdpa_bus *bus, const char *bus_name,
		 const char *mgmtdev_name, const char *name,
		 const struct vdpa_dev_config *config);

/**
 * struct vdpa_dev_expect - how a device is expected
 *
 * @timeout_s: seconds; 0: for however long it takes. Not with @is_once
 * @done: called once: 0 it was added; -ETIMEDOUT; -ESHUTDOWN; what
 *        vdpa_dev_add() said. NULL: nobody waits for it
 * @priv: argument of what is called
 * @not_yet: optional: called at most once, before @done and only after
 *           VDPA_ASKED: it is not there, and is expected from now on
 * @is_once: not until it is there, but until it is known whether it is
 */
struct vdpa_dev_expect {
	unsigned int timeout_s;
	void (*done)(void *priv, int result);
	void *priv;
	void (*not_yet)(void *priv);
	bool is_once;
};

#define VDPA_EXPECTED	  1
#define VDPA_ASKED	  2
#define VDPA_EXPECTED_MAX 1024

/**
 * vdpa_dev_expect() - `dev add`, now or as soon as its mgmtdev can
 * @how: copied
 *
 * Return: 0 it was added; VDPA_EXPECTED: it is not there, how->done is called
 *         later; VDPA_ASKED: whether it is there is being found out, how->done
 *         is called later; as vdpa_dev_add(), or -ENOSPC: it is not
 */
int vdpa_dev_expect(struct vdpa_bus *bus, const char *bus_name,
		    const char *mgmtdev_name, const char *name,
		    const struct vdpa_dev_config *config,
		    const struct vdpa_dev_expect *how);
/* Of a mgmtdev: a device of its may be there now. */
void vdpa_mgmtdev_has_news(struct vdpa_mgmtdev *mgmtdev);

/**
 * vdpa_dev_del() - the management command `dev del`
 * @done: called once, before or after this returns: 0, or -errno. Not called
 *        when this returns an error
 *
 * Return: 0; -ENODEV; -EINVAL not made by a mgmtdev; -EBUSY being removed
 */
int vdpa_dev_del(struct vdpa_bus *bus, const char *name,
		 void (*done)(void *priv, int result), void *priv);

/* The management command `dev set`: keys of the mgmtdev's, or mac: that is
 * VDPA_CMD_DEV_ATTR_SET. */
int vdpa_dev_set(struct vdpa_bus *bus, const char *name,
		 const struct vdpa_dev_config *config);

/* The management command `mgmtdev set`. Return: 0; -ENODEV; -EOPNOTSUPP a key
 * that it does not have; as its set() */
int vdpa_mgmtdev_set(struct vdpa_mgmtdev *mgmtdev,
		     const struct vdpa_dev_config *config);

/* ---- bus drivers ---- */

/**
 * struct vdpa_driver - a bus driver; filled by its owner, then registered
 *
 * @probe: show @vdev to consumers, with keys of the user's; -errno refuses
 * @is_busy: is a consumer using it now?
 * @remove: take it away; call vdpa_removed() when no consumer is left. With
 *          @force consumers are cut off and vdpa_removed() is called at once
 * @describe: one line for the user: "path /dev/vhost-vdpa-0"; may be NULL
 */
struct vdpa_driver {
	const char *name;
	int (*probe)(struct vdpa_driver *drv, struct vdpa_device *vdev,
		     const struct vdpa_param *params, unsigned int n_params);
	bool (*is_busy)(struct vdpa_device *vdev);
	void (*remove)(struct vdpa_device *vdev, bool force);
	void (*describe)(struct vdpa_device *vdev, char *buf, size_t size);
	const struct vdpa_key *keys;
	unsigned int n_keys;
	void *priv;
	/* the bus's own */
	struct vdpa_bus *bus;
	struct list node;
};

/* The first one registered is the default that probes new devices. */
int vdpa_driver_register(struct vdpa_bus *bus, struct vdpa_driver *drv);
/* Unbinds its devices, by force. */
void vdpa_driver_unregister(struct vdpa_driver *drv);
struct vdpa_driver *vdpa_driver_next(struct vdpa_bus *bus,
				     struct vdpa_driver *prev);
/* Unbinds a device by force, unless it is being removed. */
void vdpa_dev_cut(struct vdpa_device *vdev);
/* Called by a bus driver when remove() has ended. */
void vdpa_removed(struct vdpa_device *vdev);

/**
 * vdpa_dev_bind() - bind a device to a bus driver, rebinding it if need be
 *
 * Return: 0; -ENODEV no such device or bus driver; -EBUSY in use by a consumer,
 *         or being removed; what probe() returned
 */
int vdpa_dev_bind(struct vdpa_bus *bus, const char *name, const char *driver,
		  const struct vdpa_param *params, unsigned int n_params);
/* Return: 0; -ENODEV; -ENOENT not bound; -EBUSY */
int vdpa_dev_unbind(struct vdpa_bus *bus, const char *name);

/* ---- turns: at devices that may keep their callers waiting ---- */

/**
 * struct vdpa_turn - something that is done to a device, embedded in its user
 *
 * @fn: what; may free the turn
 */
struct vdpa_turn {
	void (*fn)(struct vdpa_turn *turn);
	struct list node; /* the bus's own */
};

/**
 * vdpa_turn_start() - do it when all turns before it have ended
 * @vdev: registered. It may be gone when this returns, if @turn ends its
 *        removal
 * @turn: the caller's until fn begins
 *
 * Where the device never waits, that is at once, as a call. Else set_status(),
 * reset(), get_vq_state(), set_group_asid() and what changes address spaces may
 * be called in a turn only, and the turn may last beyond this call: what it
 * needs must be guarded until then. A turn may start others.
 *
 * Context: control thread
 */
void vdpa_turn_start(struct vdpa_device *vdev, struct vdpa_turn *turn);

/**
 * vdpa_turn_cancel() - nobody waits for it any more
 * @vdev: one that may wait
 * @turn: was started, has not ended; not the caller's own
 *
 * Return: true: it had not begun, and will not. false: its waits failed, and
 *         its fn has returned
 */
bool vdpa_turn_cancel(struct vdpa_device *vdev, struct vdpa_turn *turn);

/**
 * vdpa_wait() - in an op of a device that may wait: until vdpa_wake()
 * @vdev: the device
 *
 * It may be woken for nothing: look again at what you wait for, and set a timer
 * that wakes you if it may never come.
 *
 * Return: 0; -EINTR the turn was cancelled, give up; -EDEADLK there is no turn
 */
int vdpa_wait(struct vdpa_device *vdev);
/* Would it wait? If not, what has to be waited for need not be begun. */
bool vdpa_can_wait(const struct vdpa_device *vdev);
/* Soon, from the control loop. Nothing happens unless somebody waits. */
void vdpa_wake(struct vdpa_device *vdev);
/* Does one go on, or wait, now? */
bool vdpa_is_in_turn(const struct vdpa_device *vdev);

/* ---- what may be asked of a device: ops, checked ---- */

/*
 * Each wraps the op of its name: -EINVAL (index, range, state) before the op
 * is called, -EOPNOTSUPP where it is optional and missing. Control thread.
 */
int vdpa_set_vq_address(struct vdpa_device *vdev, uint32_t idx,
			uint64_t desc_area, uint64_t driver_area,
			uint64_t device_area);
int vdpa_set_vq_num(struct vdpa_device *vdev, uint32_t idx, uint32_t num);
int vdpa_kick_vq(struct vdpa_device *vdev, uint32_t idx);
int vdpa_kick_vq_with_data(struct vdpa_device *vdev, uint32_t data);
/* Without the op: -EOPNOTSUPP, watch it yourself and use vdpa_kick_vq(). */
int vdpa_set_vq_kick_fd(struct vdpa_device *vdev, uint32_t idx, int fd);
int vdpa_set_vq_cb(struct vdpa_device *vdev, uint32_t idx,
		   const struct vdpa_callback *cb);
int vdpa_set_vq_ready(struct vdpa_device *vdev, uint32_t idx, bool ready);
bool vdpa_get_vq_ready(struct vdpa_device *vdev, uint32_t idx);
int vdpa_set_vq_state(struct vdpa_device *vdev, uint32_t idx,
		      const struct vdpa_vq_state *state);
int vdpa_get_vq_state(struct vdpa_device *vdev, uint32_t idx,
		      struct vdpa_vq_state *ret_state);
int vdpa_get_vendor_vq_stats(struct vdpa_device *vdev, uint32_t idx,
			     vdpa_stat_fn emit, void *priv);
int vdpa_get_vq_notification(struct vdpa_device *vdev, uint32_t idx,
			     struct vdpa_notification_area *ret_area);
int vdpa_get_vq_irq(struct vdpa_device *vdev, uint32_t idx);
int vdpa_get_vq_size(struct vdpa_device *vdev, uint32_t idx,
		     uint16_t *ret_size);
uint32_t vdpa_get_vq_align(struct vdpa_device *vdev);
/* -EIO: the device named a group that it does not have. */
int vdpa_get_vq_group(struct vdpa_device *vdev, uint32_t idx,
		      uint32_t *ret_group);
int vdpa_get_vq_desc_group(struct vdpa_device *vdev, uint32_t idx,
			   uint32_t *ret_group);
int vdpa_set_vq_affinity(struct vdpa_device *vdev, uint32_t idx, uint64_t cpus);
int vdpa_get_vq_affinity(struct vdpa_device *vdev, uint32_t idx,
			 uint64_t *ret_cpus);
uint64_t vdpa_get_device_features(struct vdpa_device *vdev);
uint64_t vdpa_get_backend_features(struct vdpa_device *vdev);
/* Marks the features as chosen (see vdpa_get_config()). */
int vdpa_set_driver_features(struct vdpa_device *vdev, uint64_t features);
uint64_t vdpa_get_driver_features(struct vdpa_device *vdev);
int vdpa_set_config_cb(struct vdpa_device *vdev,
		       const struct vdpa_callback *cb);
uint16_t vdpa_get_vq_num_max(struct vdpa_device *vdev);
uint16_t vdpa_get_vq_num_min(struct vdpa_device *vdev);
uint32_t vdpa_get_device_id(struct vdpa_device *vdev);
uint32_t vdpa_get_vendor_id(struct vdpa_device *vdev);
uint8_t vdpa_get_status(struct vdpa_device *vdev);
/* -EINVAL: @status is 0 or clears a bit; use vdpa_reset(). */
int vdpa_set_status(struct vdpa_device *vdev, uint8_t status);
/* compat_reset() with @flags where they are not 0 and the op is there. */
int vdpa_reset(struct vdpa_device *vdev, uint32_t flags);
bool vdpa_can_suspend(const struct vdpa_device *vdev);
bool vdpa_can_resume(const struct vdpa_device *vdev);
int vdpa_suspend(struct vdpa_device *vdev);
int vdpa_resume(struct vdpa_device *vdev);
size_t vdpa_get_config_size(struct vdpa_device *vdev);
/* As a legacy driver does: with no features set since reset, sets 0 first. */
int vdpa_get_config(struct vdpa_device *vdev, uint32_t offset, void *buf,
		    uint32_t len);
/* Without that: for management. */
int vdpa_get_config_raw(struct vdpa_device *vdev, uint32_t offset, void *buf,
			uint32_t len);
int vdpa_set_config(struct vdpa_device *vdev, uint32_t offset, const void *buf,
		    uint32_t len);
uint32_t vdpa_get_generation(struct vdpa_device *vdev);
void vdpa_get_iova_range(struct vdpa_device *vdev,
			 struct vdpa_iova_range *ret_range);
/* @gate may be NULL; -EOPNOTSUPP. */
int vdpa_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate);
int vdpa_set_vq_log(struct vdpa_device *vdev, uint32_t idx,
		    const struct vdpa_vq_log *log);
int vdpa_set_vq_inflight(struct vdpa_device *vdev, uint32_t idx,
			 const struct vdpa_inflight *inflight);
int vdpa_set_miss(struct vdpa_device *vdev, const struct vdpa_miss *miss);
int vdpa_announce(struct vdpa_device *vdev, const uint8_t mac[6]);
/* -EINVAL: @size of load_state() is above VDPA_STATE_MAX. */
int64_t vdpa_save_state(struct vdpa_device *vdev, void *buf, size_t size);
int vdpa_load_state(struct vdpa_device *vdev, const void *buf, size_t size);
int vdpa_set_vq_discard(struct vdpa_device *vdev, uint32_t idx, bool discard);
int vdpa_bind_mm(struct vdpa_device *vdev, int pid);
void vdpa_unbind_mm(struct vdpa_device *vdev);

/* ---- address spaces ---- */

/**
 * vdpa_map() - add a mapping to an address space and tell the device
 * @vdev: whose
 * @asid: < nas
 * @start, @last, @region, @offset, @perm: see iotlb_map()
 *
 * What the device refuses is undone (and with set_map() the old table is set
 * again). In a batch of this asid set_map() waits for vdpa_batch_end().
 *
 * Return: 0; as iotlb_map(); what the device said
 */
int vdpa_map(struct vdpa_device *vdev, uint32_t asid, uint64_t start,
	     uint64_t last, struct region *region, uint64_t offset,
	     uint32_t perm);
/* Removes whole entries that overlap. set_map() is called even if there are
 * none, as in the kernel. Return: entries removed, or -errno */
int vdpa_unmap(struct vdpa_device *vdev, uint32_t asid, uint64_t start,
	       uint64_t last);
void vdpa_batch_begin(struct vdpa_device *vdev, uint32_t asid);
/* The end of this batch is told to the device even if nothing changes. */
void vdpa_batch_touch(struct vdpa_device *vdev, uint32_t asid);
/* Publishes what changed. Return: 0, or what the device said */
int vdpa_batch_end(struct vdpa_device *vdev, uint32_t asid);
unsigned int vdpa_n_maps(const struct vdpa_device *vdev, uint32_t asid);
/* A reference to the table as the device should see it. */
struct iotlb_snap *vdpa_snapshot(struct vdpa_device *vdev, uint32_t asid);
/* Empties an address space, tells the device, restores its default map. */
void vdpa_reset_map(struct vdpa_device *vdev, uint32_t asid);
/* -EINVAL out of range; -EOPNOTSUPP; what the device said. */
int vdpa_set_group_asid(struct vdpa_device *vdev, uint32_t group,
			uint32_t asid);
/* Can it have several groups on vhost-vdpa, that is: set_map or dma_map? */
bool vdpa_has_dma_ops(const struct vdpa_device *vdev);

#endif
