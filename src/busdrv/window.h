/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A register window onto a device: the state machine of a virtio transport,
 * whatever its layout.
 *
 * Theory of operation
 *
 * A virtio driver that cannot make calls writes registers instead. Which
 * offset a register has, and how wide it is, differs between virtio-mmio, the
 * mdev RFC and virtio-pci; what a write to it does hardly does. So layouts are
 * tables, elsewhere (mmio.c), and here registers have names:
 *
 *   driver -> layout: offset -> enum window_reg -> window -> vdpa_*() -> device
 *                                 interrupt <- isr <- callbacks <-
 *
 * Most registers are only kept. STATUS, QUEUE_READY and QUEUE_RESET do
 * something to the device, which may have to wait (bus.h, turns); so do changes
 * of the driver's memory, all in address space 0. Each is a struct window_op of
 * the caller's, done one after the other; done() may be called before the
 * function returns, and a driver's processor waits for it.
 *
 * Notifications are the data path: each queue has an eventfd that the device
 * watches, and QUEUE_NOTIFY writes it, on any thread. Calls of the device set
 * a bit in INTERRUPT_STATUS and the interrupt's level; or, per queue, write an
 * eventfd or call a function (MSI-X, the RFC), when they pass us by.
 *
 * Drivers make mistakes, and hostile ones make them on purpose. Most are
 * counted and ignored; what leaves a queue unusable sets NEEDS_RESET, after
 * which STATUS takes nothing but 0. DRIVER_OK needs FEATURES_OK; FEATURES_OK is
 * not set with features that were not offered.
 *
 * ACCESS_PLATFORM: what the driver calls physical addresses are translated by
 * us in any case, so the device has it also when the driver does not take it.
 * Not offered: NOTIFICATION_DATA, NOTIF_CONFIG_DATA (a notification is an
 * eventfd's), SR_IOV, ADMIN_VQ. Offered by us: RING_RESET, where the device can
 * stop and start queues while it runs.
 *
 * Source: virtio 1.3, "Virtio Over MMIO", "Virtio Over PCI Bus", "Device
 * Initialization"; kernel drivers/virtio/virtio_vdpa.c for the order of ops
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_WINDOW_H
#define BUSDRV_WINDOW_H

#include "bus/bus.h"

enum window_reg {
	WINDOW_DEVICE_ID,
	WINDOW_VENDOR_ID,
	WINDOW_DEVICE_FEATURES_SEL,
	WINDOW_DEVICE_FEATURES,
	WINDOW_DRIVER_FEATURES_SEL,
	WINDOW_DRIVER_FEATURES,
	WINDOW_NUM_QUEUES,
	WINDOW_QUEUE_SEL,
	/* of the queue that QUEUE_SEL names */
	WINDOW_QUEUE_NUM_MAX, /* 0: there is no such queue */
	WINDOW_QUEUE_NUM, /* after a reset: the maximum */
	WINDOW_QUEUE_ALIGN, /* bytes; the device's */
	WINDOW_QUEUE_READY,
	WINDOW_QUEUE_RESET,
	WINDOW_QUEUE_NOTIFY_OFF, /* the queue's index */
	WINDOW_QUEUE_DESC_LOW,
	WINDOW_QUEUE_DESC_HIGH,
	WINDOW_QUEUE_DRIVER_LOW,
	WINDOW_QUEUE_DRIVER_HIGH,
	WINDOW_QUEUE_DEVICE_LOW,
	WINDOW_QUEUE_DEVICE_HIGH,
	/* of all */
	WINDOW_QUEUE_NOTIFY, /* value: index of a queue */
	WINDOW_STATUS,
	WINDOW_INTERRUPT_STATUS,
	WINDOW_INTERRUPT_ACK,
	WINDOW_CONFIG_GENERATION,
	WINDOW_SHM_SEL, /* there are no such regions: length and base are -1 */
	WINDOW_SHM_LEN_LOW,
	WINDOW_SHM_LEN_HIGH,
	WINDOW_SHM_BASE_LOW,
	WINDOW_SHM_BASE_HIGH,
	WINDOW_REG_N
};

/* Bits of INTERRUPT_STATUS. */
#define WINDOW_INT_VRING  1U
#define WINDOW_INT_CONFIG 2U

struct window;

/**
 * struct window_options - to whom, and how, a device is shown
 *
 * @irq: the interrupt's level has changed, calls in that order; with @is_edge:
 *       something has happened, level is true, and the level is not told. On
 *       whichever thread has news; may use the registers of the data path.
 *       NULL: nobody listens
 * @priv: its argument
 * @is_edge: see @irq
 * @is_trusted: who is given window_kick_fd() could do to us whatever it likes
 * @no_queue_reset: there is no such register: RING_RESET is not offered
 * @forgets_calls: those of queues and of the config end with a reset
 */
struct window_options {
	void (*irq)(void *priv, bool level);
	void *priv;
	bool is_edge;
	bool is_trusted;
	bool no_queue_reset;
	bool forgets_calls;
};

/**
 * struct window_stats - what drivers did
 *
 * @n_notifies: of queues that are set up
 * @n_mistakes: writes that were ignored, as the driver may not do that now
 * @n_refused: what the device did not take: features, status, queues, reset
 * @n_broken: NEEDS_RESET was set, for a queue that cannot be set up
 */
struct window_stats {
	uint64_t n_notifies;
	uint64_t n_mistakes;
	uint64_t n_refused;
	uint64_t n_broken;
};

/* Memory of the driver's: see vdpa_map(). */
struct window_mapping {
	uint64_t start, last; /* addresses as the driver has them, inclusive */
	struct region *region; /* referenced until it is unmapped */
	uint64_t offset; /* of @start in @region, bytes */
	uint32_t perm; /* enum mem_perm */
};

/**
 * struct window_op - something that may last, embedded in its user
 *
 * @done: called once, when it has ended; may free the op. NULL: nobody waits
 *        (the op must stay where it is all the same)
 * @result: 0; -errno: what the device said; -ENODEV the device is gone;
 *          -ECANCELED. A driver's mistake is no error
 */
struct window_op {
	void (*done)(struct window_op *op);
	int result;
	/* the window's own */
	struct window *w;
	struct vdpa_turn turn;
	struct list node;
	int (*fn)(struct window_op *op);
	uint32_t idx;
	uint32_t value;
	struct window_mapping mapping;
};

/**
 * window_new() - a window onto a device
 * @vdev: registered; nobody else drives it
 * @options: copied
 * @ret: written on success
 *
 * Return: 0; -ENOMEM; -EOPNOTSUPP it has no VERSION_1, or several groups
 *         without DMA ops
 * Context: control thread, as everything here that does not say otherwise
 */
int window_new(struct vdpa_device *vdev, const struct window_options *options,
	       struct window **ret);
/* Ended (window_end()) or cut off; no other op is under way. In done(), too.
 * Takes NULL. Return: NULL. */
struct window *window_free(struct window *w);
/* The driver is gone: resets the device, empties the address space. */
void window_end(struct window *w, struct window_op *op);
/**
 * window_cut() - the device is being taken away, by force
 *
 * Ends the session at once: the driver is told NEEDS_RESET. From now on
 * registers read 0 but for that, and writes have no effect. The device is not
 * used any more when this returns.
 */
void window_cut(struct window *w);
/* Is something under way? */
bool window_is_busy(const struct window *w);

/* ---- registers ---- */

/* What is not there, or is not for reading, is 0. */
uint32_t window_read(struct window *w, enum window_reg reg);
/* QUEUE_SEL as it is now counts. */
void window_write(struct window *w, struct window_op *op, enum window_reg reg,
		  uint32_t value);
/* Takes back an op whose user has to go. done() is called, now or before this
 * returns, with -ECANCELED or what was achieved. */
void window_cancel(struct window *w, struct window_op *op);
/* Device config space: @len bytes at @offset. Return: 0; -EINVAL it has no such
 * bytes, which read as 0; -ENODEV */
int window_config_read(struct window *w, uint32_t offset, void *buf,
		       uint32_t len);
int window_config_write(struct window *w, uint32_t offset, const void *buf,
			uint32_t len);

/*
 * The registers of the data path, on any thread: QUEUE_NOTIFY (unless kick
 * eventfds were given to somebody who is not trusted: control thread),
 * INTERRUPT_STATUS and INTERRUPT_ACK. window_take_isr() reads and clears, as
 * virtio-pci's ISR.
 */
void window_notify(struct window *w, uint32_t value);
uint32_t window_isr(const struct window *w);
void window_ack(struct window *w, uint32_t bits);
uint32_t window_take_isr(struct window *w);

/* ---- memory ---- */

/* result: as vdpa_map(); -ENODEV */
void window_map(struct window *w, struct window_op *op,
		const struct window_mapping *mapping);
/* result: entries removed, whole ones; as vdpa_unmap() */
void window_unmap(struct window *w, struct window_op *op, uint64_t start,
		  uint64_t last);

/* ---- notifications and interrupts ---- */

/**
 * window_kick_fd() - the eventfd of a queue
 *
 * Whoever writes it has notified the queue, without a register: for KVM's
 * ioeventfd. It is the same one until window_free(), across resets.
 *
 * Return: borrowed; -EINVAL no such queue; -errno of eventfd()
 */
int window_kick_fd(struct window *w, uint32_t idx);

/**
 * window_set_vq_call() - whom to tell of used buffers, instead of @irq
 * @cb: its callback or trigger_fd; copied; used until it is replaced, across
 *      resets. NULL: INTERRUPT_STATUS and irq() again
 *
 * Nobody uses the old one any more when this returns. Return: 0; -EINVAL
 */
int window_set_vq_call(struct window *w, uint32_t idx,
		       const struct vdpa_callback *cb);
/* The same for changes of the config space, and NEEDS_RESET. */
void window_set_config_call(struct window *w, const struct vdpa_callback *cb);

void window_get_stats(const struct window *w, struct window_stats *ret);
/* The device; NULL: cut off. */
struct vdpa_device *window_device(const struct window *w);

#endif
