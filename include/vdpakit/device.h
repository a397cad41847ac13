/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vDPA device: what implements one, and what may be asked of one.
 *
 * Theory of operation
 *
 * A device implements struct vdpa_config_ops, whose members have the names
 * and meanings of the kernel's (include/linux/vdpa.h). Nobody calls them
 * directly: the bus wraps each one (bus/bus.h), checks indexes, ranges and
 * state, and answers -EOPNOTSUPP for what is missing. So a device may take for
 * granted that
 *
 *   - idx < nvqs, group < ngroups, asid < nas;
 *   - offset and len lie in the config space, len > 0;
 *   - it is called on the control thread only, one call at a time.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_DEVICE_H
#define VDPAKIT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdpa_device;
struct iotlb_snap;
struct mem_log;
struct region;

/* Names of devices, management devices and bus drivers, with the NUL. */
#define VDPA_NAME_MAX 64

/**
 * struct vdpa_callback - whom a device tells of used buffers or a new config
 *
 * @callback: called on whichever thread has news; NULL: nobody listens
 * @priv: its argument
 * @trigger_fd: an eventfd that may be written instead of calling @callback;
 *              -1: none. Borrowed until the callback is replaced
 * @is_trusted: who holds @trigger_fd could do to us whatever it likes (it is
 *              root, or who we are): writing to it need not fear its tricks
 */
struct vdpa_callback {
	void (*callback)(void *priv);
	void *priv;
	int trigger_fd;
	bool is_trusted;
};

/**
 * struct vdpa_vq_state - where a virtqueue goes on
 *
 * @avail_idx: split: next available index. Packed: next available slot
 * @used_idx, @avail_wrap, @used_wrap: packed only
 */
struct vdpa_vq_state {
	uint16_t avail_idx;
	uint16_t used_idx;
	bool avail_wrap;
	bool used_wrap;
};

struct vdpa_iova_range {
	uint64_t first;
	uint64_t last;
};

/* A doorbell that the driver may map: a file and where in it. */
struct vdpa_notification_area {
	int fd; /* borrowed */
	uint64_t offset;
	uint64_t size_bytes;
};

/**
 * struct vdpa_gate - may what a device knows of its client be out of date?
 *
 * @is_behind: is there a change of an address space that the client made, and
 *             that the device was not told of yet? Any thread
 * @priv: its argument
 */
struct vdpa_gate {
	bool (*is_behind)(void *priv);
	void *priv;
};

/**
 * struct vdpa_vq_log - where a virtqueue's writes to memory are marked
 *
 * @log: the dirty log; borrowed for the call, the device takes a reference
 * @used_gpa: where writes of the device area are marked (its first byte), for
 *            split rings; UINT64_MAX: where that memory is
 * @call_fd: an eventfd that may be written when something was marked; -1: none.
 *           Borrowed until the log is replaced
 */
struct vdpa_vq_log {
	struct mem_log *log;
	uint64_t used_gpa;
	int call_fd;
};

/**
 * struct vdpa_inflight - memory that outlives us, to keep what is in flight
 *
 * @region: borrowed for the call, the device takes a reference
 * @offset, @size_bytes: of this queue's part. Its layout is QEMU's
 *                       (docs/interop/vhost-user.rst, "Inflight I/O tracking")
 */
struct vdpa_inflight {
	struct region *region;
	uint64_t offset;
	uint64_t size_bytes;
};

/**
 * struct vdpa_miss - whom a device asks for mappings that it lacks
 *
 * @miss: an address that a queue needs is not mapped, or not with @perm (enum
 *        mem_perm). The queue waits for the next change of its map. Any thread
 * @priv: its argument
 */
struct vdpa_miss {
	void (*miss)(void *priv, uint32_t asid, uint64_t iova, uint32_t perm);
	void *priv;
};

/* Most bytes that a device's state may take. */
#define VDPA_STATE_MAX (1U << 20)

/* Receives the counters of one virtqueue, name by name. */
typedef void (*vdpa_stat_fn)(void *priv, const char *name, uint64_t value);

/* Flags of compat_reset(). */
#define VDPA_RESET_F_CLEAN_MAP 1

/**
 * struct vdpa_config_ops - what a device does
 *
 * Mandatory unless marked optional. Return: 0 or -errno where int.
 *
 * @size: sizeof(struct vdpa_config_ops) as the device was compiled; a device
 *        compiled for another one is refused
 *
 * Virtqueue ops
 * @set_vq_address: I/O virtual addresses of the three areas; not read yet
 * @set_vq_num: ring size, 1..get_vq_num_max()
 * @kick_vq: the driver says there is something; may be spurious
 * @set_vq_kick_fd: optional: watch this eventfd instead of waiting for
 *                  kick_vq(); never read it. Borrowed until replaced; -1:
 *                  stop. No call is in progress on it once this returns
 * @kick_vq_with_data: optional: vqn + (next available << 16); only with
 *                     VIRTIO_F_NOTIFICATION_DATA
 * @set_vq_cb: whom to call; copied. The old one is not used any more once this
 *             returns
 * @set_vq_ready: start (from the addresses, size and state as they are when
 *                DRIVER_OK is set too) or stop the queue
 * @get_vq_ready: what was set
 * @set_vq_state: -EINVAL when it makes no sense for the ring's format
 * @get_vq_state: where the queue stands, also while it runs
 * @get_vendor_vq_stats: optional: -EINVAL no counters for that queue
 * @get_vq_notification: optional: the doorbell
 * @get_vq_irq: optional: interrupt number of a hardware queue, or -errno
 * @get_vq_size: optional: ring size in force
 * @get_vq_align: alignment of the ring's areas, bytes
 * @get_vq_group: optional (then all are in group 0)
 * @get_vq_desc_group: optional: the group of the queue's ring areas
 * @set_vq_affinity, @get_vq_affinity: optional: bit mask of CPUs
 *
 * Device ops
 * @get_device_features: virtio feature bits offered
 * @get_backend_features: optional: extra VHOST_BACKEND_F_* bits (masks)
 * @set_driver_features: what the driver accepted; -EINVAL refused
 * @get_driver_features: what is in force
 * @set_config_cb: whom to call when the config space changes; copied
 * @get_vq_num_max: largest ring size
 * @get_vq_num_min: optional: smallest (default 1)
 * @get_device_id, @get_vendor_id: virtio ids
 * @get_status: virtio status byte
 * @set_status: never 0. The device may refuse by keeping the old status
 * @reset: back to the state after creation; address spaces are kept
 * @compat_reset: optional: the same, and with VDPA_RESET_F_CLEAN_MAP address
 *                spaces go back to their default
 * @suspend, @resume: optional, both or neither: stop and go on with every
 *                    state kept; suspend() returns when nothing is in flight
 * @get_config_size, @get_config, @set_config: device config space, bytes
 * @get_generation: optional: changes whenever config fields change together
 * @get_iova_range: optional (default: everything)
 *
 * DMA ops: none, or set_map(), or dma_map() and dma_unmap()
 * @set_map: the whole address space as it is now; ref it to keep it. When this
 *           returns the device uses nothing that is not in @map any more
 * @dma_map, @dma_unmap: one change of it
 * @reset_map: optional: back to the default map of one address space
 * @set_group_asid: optional: the group uses that address space from now on
 * @get_vq_map: optional: index of the address space that in-process drivers
 *              of this queue map into
 * @bind_mm, @unbind_mm: optional: the client's process id, for devices that
 *                       reach its memory by themselves
 *
 * @free: the last one: release everything
 *
 * @set_gate: optional: from now on the device asks @gate after it took chains
 *            from a queue and before it works on them. If the answer is "behind"
 *            it gives them back; kick_vq() comes when it may look again. NULL:
 *            no gate. The old one is not used any more once this returns
 * @set_vq_log: optional: mark in the log what this queue's requests, and the
 *              device in its ring, write from now on, also after a reset; NULL:
 *              no more
 * @set_vq_inflight: optional: from the queue's next start on, keep there what
 *                   is in flight, and first do what is found there; stays
 *                   across resets; NULL: no more
 * @set_miss: optional: from the next start of queues on, do not fail what is
 *            not mapped but ask for it; NULL: fail it
 * @announce: optional, network devices: tell the network where this MAC
 *            address is now
 * @save_state: optional, with load_state(): what set_config() and queue state
 *              do not hold and a driver can have changed. At most @size bytes
 *              to @buf. The device is suspended or its queues are stopped.
 *              Return: bytes; -ENOSPC
 * @load_state: the same, of a device that was made alike, possibly elsewhere:
 *              -EINVAL it makes no sense here, nothing was changed
 * @set_vq_discard: optional: from now on give back what the driver makes
 *                  available in this queue, with nothing done and nothing
 *                  written; false: do it. False after a reset
 */
struct vdpa_config_ops {
	size_t size;

	int (*set_vq_address)(struct vdpa_device *vdev, uint16_t idx,
			      uint64_t desc_area, uint64_t driver_area,
			      uint64_t device_area);
	void (*set_vq_num)(struct vdpa_device *vdev, uint16_t idx,
			   uint32_t num);
	void (*kick_vq)(struct vdpa_device *vdev, uint16_t idx);
	int (*set_vq_kick_fd)(struct vdpa_device *vdev, uint16_t idx, int fd);
	void (*kick_vq_with_data)(struct vdpa_device *vdev, uint32_t data);
	void (*set_vq_cb)(struct vdpa_device *vdev, uint16_t idx,
			  const struct vdpa_callback *cb);
	void (*set_vq_ready)(struct vdpa_device *vdev, uint16_t idx,
			     bool ready);
	bool (*get_vq_ready)(struct vdpa_device *vdev, uint16_t idx);
	int (*set_vq_state)(struct vdpa_device *vdev, uint16_t idx,
			    const struct vdpa_vq_state *state);
	int (*get_vq_state)(struct vdpa_device *vdev, uint16_t idx,
			    struct vdpa_vq_state *ret_state);
	int (*get_vendor_vq_stats)(struct vdpa_device *vdev, uint16_t idx,
				   vdpa_stat_fn emit, void *priv);
	int (*get_vq_notification)(struct vdpa_device *vdev, uint16_t idx,
				   struct vdpa_notification_area *ret_area);
	int (*get_vq_irq)(struct vdpa_device *vdev, uint16_t idx);
	uint16_t (*get_vq_size)(struct vdpa_device *vdev, uint16_t idx);
	uint32_t (*get_vq_align)(struct vdpa_device *vdev);
	uint32_t (*get_vq_group)(struct vdpa_device *vdev, uint16_t idx);
	uint32_t (*get_vq_desc_group)(struct vdpa_device *vdev, uint16_t idx);
	int (*set_vq_affinity)(struct vdpa_device *vdev, uint16_t idx,
			       uint64_t cpus);
	uint64_t (*get_vq_affinity)(struct vdpa_device *vdev, uint16_t idx);

	uint64_t (*get_device_features)(struct vdpa_device *vdev);
	uint64_t (*get_backend_features)(const struct vdpa_device *vdev);
	int (*set_driver_features)(struct vdpa_device *vdev, uint64_t features);
	uint64_t (*get_driver_features)(struct vdpa_device *vdev);
	void (*set_config_cb)(struct vdpa_device *vdev,
			      const struct vdpa_callback *cb);
	uint16_t (*get_vq_num_max)(struct vdpa_device *vdev);
	uint16_t (*get_vq_num_min)(struct vdpa_device *vdev);
	uint32_t (*get_device_id)(struct vdpa_device *vdev);
	uint32_t (*get_vendor_id)(struct vdpa_device *vdev);
	uint8_t (*get_status)(struct vdpa_device *vdev);
	void (*set_status)(struct vdpa_device *vdev, uint8_t status);
	int (*reset)(struct vdpa_device *vdev);
	int (*compat_reset)(struct vdpa_device *vdev, uint32_t flags);
	int (*suspend)(struct vdpa_device *vdev);
	int (*resume)(struct vdpa_device *vdev);
	size_t (*get_config_size)(struct vdpa_device *vdev);
	void (*get_config)(struct vdpa_device *vdev, uint32_t offset, void *buf,
			   uint32_t len);
	void (*set_config)(struct vdpa_device *vdev, uint32_t offset,
			   const void *buf, uint32_t len);
	uint32_t (*get_generation)(struct vdpa_device *vdev);
	void (*get_iova_range)(struct vdpa_device *vdev,
			       struct vdpa_iova_range *ret_range);

	int (*set_map)(struct vdpa_device *vdev, unsigned int asid,
		       struct iotlb_snap *map);
	int (*dma_map)(struct vdpa_device *vdev, unsigned int asid,
		       uint64_t start, uint64_t last, struct region *region,
		       uint64_t offset, uint32_t perm);
	int (*dma_unmap)(struct vdpa_device *vdev, unsigned int asid,
			 uint64_t start, uint64_t last);
	int (*reset_map)(struct vdpa_device *vdev, unsigned int asid);
	int (*set_group_asid)(struct vdpa_device *vdev, unsigned int group,
			      unsigned int asid);
	unsigned int (*get_vq_map)(struct vdpa_device *vdev, uint16_t idx);
	int (*bind_mm)(struct vdpa_device *vdev, int pid);
	void (*unbind_mm)(struct vdpa_device *vdev);

	void (*free)(struct vdpa_device *vdev);

	void (*set_gate)(struct vdpa_device *vdev,
			 const struct vdpa_gate *gate);
	int (*set_vq_log)(struct vdpa_device *vdev, uint16_t idx,
			  const struct vdpa_vq_log *log);
	int (*set_vq_inflight)(struct vdpa_device *vdev, uint16_t idx,
			       const struct vdpa_inflight *inflight);
	int (*set_miss)(struct vdpa_device *vdev, const struct vdpa_miss *miss);
	int (*announce)(struct vdpa_device *vdev, const uint8_t mac[6]);
	int64_t (*save_state)(struct vdpa_device *vdev, void *buf, size_t size);
	int (*load_state)(struct vdpa_device *vdev, const void *buf,
			  size_t size);
	void (*set_vq_discard)(struct vdpa_device *vdev, uint16_t idx,
			       bool discard);
};

#ifdef __cplusplus
}
#endif

#endif
