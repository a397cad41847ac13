/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The register window: status, features, config space; ops and their order.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/window.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "busdrv/window_internal.h"
#include "uapi/compat.h"

#define STATUS_OF_DRIVER                                           \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |    \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_FAILED)

/* What is said of notifications is an eventfd's; the others are of PCI, and of
 * devices that vDPA does not know. */
static const uint64_t not_offered =
	BIT_ULL(WINDOW_F_NOTIFICATION_DATA) |
	BIT_ULL(WINDOW_F_NOTIF_CONFIG_DATA) | BIT_ULL(VIRTIO_F_SR_IOV) |
	BIT_ULL(WINDOW_F_ADMIN_VQ) | BIT_ULL(WINDOW_F_RING_RESET);

/* ---- what has gone wrong ---- */

void window_mistake(struct window *w)
{
	__atomic_add_fetch(&w->stats.n_mistakes, 1, __ATOMIC_RELAXED);
}

void window_refused(struct window *w)
{
	__atomic_add_fetch(&w->stats.n_refused, 1, __ATOMIC_RELAXED);
}

void window_break(struct window *w)
{
	__atomic_add_fetch(&w->stats.n_broken, 1, __ATOMIC_RELAXED);
	w->needs_reset = true;
	if (!w->vdev ||
	    (vdpa_get_status(w->vdev) & VIRTIO_CONFIG_S_DRIVER_OK)) {
		window_tell_config(w);
	}
}

/* ---- features ---- */

static uint64_t offered(struct window *w)
{
	uint64_t features = vdpa_get_device_features(w->vdev) & ~not_offered;

	return w->offers_ring_reset ? features | BIT_ULL(WINDOW_F_RING_RESET)
				    : features;
}

static void write_features(struct window *w, uint32_t value)
{
	unsigned int shift = w->driver_features_sel * 32;

	if (vdpa_get_status(w->vdev) & VIRTIO_CONFIG_S_FEATURES_OK) {
		window_mistake(w);
	} else if (w->driver_features_sel > 1) {
		w->has_unknown_features |= value != 0;
	} else {
		w->driver_features &= ~((uint64_t)UINT32_MAX << shift);
		w->driver_features |= (uint64_t)value << shift;
	}
}

/* Return: may FEATURES_OK be set? */
static bool take_features(struct window *w)
{
	uint64_t features = w->driver_features;
	int r;

	if (w->has_unknown_features || (features & ~offered(w)) != 0 ||
	    !has_bit(features, VIRTIO_F_VERSION_1)) {
		window_mistake(w);
		return false;
	}
	features &= ~BIT_ULL(WINDOW_F_RING_RESET);
	features |= vdpa_get_device_features(w->vdev) &
		    BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	r = vdpa_set_driver_features(w->vdev, features);
	if (r < 0) {
		log_debug(w->vdev->name, "window: %s", err_text(r));
		window_refused(w);
	}
	return r == 0;
}

/* ---- status ---- */

static void forget_all(struct window *w)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	for (uint32_t i = 0; i < w->nvqs; i++) {
		window_vq_forget(&w->vqs[i]);
	}
	if (w->is_config_given) {
		w->is_config_given = false;
		(void)vdpa_set_config_cb(w->vdev, &none); /* is always 0 */
	}
	if (w->options.forgets_calls) {
		w->config_call = none;
	}
	w->device_features_sel = 0;
	w->driver_features_sel = 0;
	w->driver_features = 0;
	w->has_unknown_features = false;
	w->queue_sel = 0;
	w->shm_sel = 0;
	w->needs_reset = false;
	__atomic_store_n(&w->isr, 0, __ATOMIC_RELEASE);
	window_update_level(w);
}

static int reset(struct window *w)
{
	int r;

	w->old_status = vdpa_get_status(w->vdev);
	w->is_resetting = true;
	r = vdpa_reset(w->vdev, 0);
	w->is_resetting = false;
	forget_all(w);
	if (r < 0) {
		window_refused(w);
	}
	return r;
}

/* What of @status can be set now. */
static uint8_t check_status(struct window *w, uint8_t old, uint8_t status)
{
	if ((status & VIRTIO_CONFIG_S_FEATURES_OK & ~old) &&
	    !take_features(w)) {
		status &= (uint8_t) ~(VIRTIO_CONFIG_S_FEATURES_OK |
				      VIRTIO_CONFIG_S_DRIVER_OK);
	}
	if ((status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	    !(status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		window_mistake(w);
		status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	}
	return status;
}

static int set_status(struct window *w, uint32_t value)
{
	uint8_t old = vdpa_get_status(w->vdev);
	uint8_t status = value & STATUS_OF_DRIVER;
	int r;

	/* What a driver read it writes back: NEEDS_RESET, too. */
	if ((value & ~(uint32_t)(STATUS_OF_DRIVER |
				 VIRTIO_CONFIG_S_NEEDS_RESET)) != 0 ||
	    (old & STATUS_OF_DRIVER & ~status) != 0 || w->needs_reset) {
		window_mistake(w);
		return 0;
	}
	status = check_status(w, old, status);
	if (status & VIRTIO_CONFIG_S_DRIVER_OK & ~old) {
		const struct vdpa_callback cb = window_config_callback(w);

		w->is_config_given = true;
		(void)vdpa_set_config_cb(w->vdev, &cb); /* is always 0 */
	}
	status |= old & VIRTIO_CONFIG_S_NEEDS_RESET;
	if (status == old) {
		return 0;
	}
	r = vdpa_set_status(w->vdev, status);
	if (r < 0 || (status & ~vdpa_get_status(w->vdev)) != 0) {
		window_refused(w);
	}
	return r;
}

static uint32_t read_status(struct window *w)
{
	uint32_t status = w->is_resetting ? w->old_status
					  : vdpa_get_status(w->vdev);

	return w->needs_reset ? status | VIRTIO_CONFIG_S_NEEDS_RESET : status;
}

/* ---- reading ---- */

static uint32_t read_features(uint64_t features, uint32_t sel)
{
	return sel > 1 ? 0 : (uint32_t)(features >> (sel * 32));
}

uint32_t window_read(struct window *w, enum window_reg reg)
{
	if (reg == WINDOW_INTERRUPT_STATUS) {
		return window_isr(w);
	}
	if (!w->vdev) {
		return reg == WINDOW_STATUS ? VIRTIO_CONFIG_S_NEEDS_RESET : 0;
	}
	switch (reg) {
	case WINDOW_DEVICE_ID:
		return vdpa_get_device_id(w->vdev);
	case WINDOW_VENDOR_ID:
		return vdpa_get_vendor_id(w->vdev);
	case WINDOW_DEVICE_FEATURES_SEL:
		return w->device_features_sel;
	case WINDOW_DEVICE_FEATURES:
		return read_features(offered(w), w->device_features_sel);
	case WINDOW_DRIVER_FEATURES_SEL:
		return w->driver_features_sel;
	case WINDOW_DRIVER_FEATURES:
		return read_features(w->driver_features,
				     w->driver_features_sel);
	case WINDOW_NUM_QUEUES:
		return w->nvqs;
	case WINDOW_QUEUE_SEL:
		return w->queue_sel;
	case WINDOW_STATUS:
		return read_status(w);
	case WINDOW_CONFIG_GENERATION:
		return vdpa_get_generation(w->vdev);
	case WINDOW_SHM_SEL:
		return w->shm_sel;
	case WINDOW_SHM_LEN_LOW:
	case WINDOW_SHM_LEN_HIGH:
	case WINDOW_SHM_BASE_LOW:
	case WINDOW_SHM_BASE_HIGH:
		return UINT32_MAX;
	case WINDOW_QUEUE_NOTIFY:
	case WINDOW_INTERRUPT_ACK:
	case WINDOW_REG_N:
		return 0;
	default:
		return window_vq_read(w, reg);
	}
}

int window_config_read(struct window *w, uint32_t offset, void *buf,
		       uint32_t len)
{
	memset(buf, 0, len);
	return w->vdev ? vdpa_get_config_raw(w->vdev, offset, buf, len)
		       : -ENODEV;
}

int window_config_write(struct window *w, uint32_t offset, const void *buf,
			uint32_t len)
{
	int r = w->vdev ? vdpa_set_config(w->vdev, offset, buf, len) : -ENODEV;

	if (r < 0) {
		window_mistake(w);
	}
	return r;
}

/* ---- ops ---- */

static int do_map(struct window_op *op)
{
	const struct window_mapping *m = &op->mapping;

	return vdpa_map(op->w->vdev, 0, m->start, m->last, m->region, m->offset,
			m->perm);
}

static int do_unmap(struct window_op *op)
{
	return vdpa_unmap(op->w->vdev, 0, op->mapping.start, op->mapping.last);
}

static void end_op(struct window_op *op, int result)
{
	list_del(&op->node);
	op->result = result;
	region_unref(steal_ptr(op->mapping.region));
	if (op->done) {
		op->done(op);
	}
}

/* A device that waits may be gone when this returns, and so may the window. */
static void op_turn(struct vdpa_turn *turn)
{
	struct window_op *op = container_of(turn, struct window_op, turn);

	end_op(op, op->w->vdev ? op->fn(op) : -ENODEV);
}

/* One after the other: an op may run the loop while it waits for workers. */
static void run_ops(struct window *w)
{
	if (w->is_running) {
		return;
	}
	w->is_running = true;
	while (!list_is_empty(&w->ops)) {
		op_turn(&list_entry(w->ops.next, struct window_op, node)->turn);
	}
	w->is_running = false;
	if (w->is_freed) {
		window_free(w);
	}
}

static void start_op(struct window *w, struct window_op *op,
		     int (*fn)(struct window_op *op))
{
	op->w = w;
	op->fn = fn;
	op->turn.fn = op_turn;
	if (fn != do_map) {
		op->mapping.region = NULL;
	}
	list_add_tail(&w->ops, &op->node);
	if (w->vdev && w->vdev->may_wait) {
		vdpa_turn_start(w->vdev, &op->turn);
	} else {
		run_ops(w);
	}
}

/* Nothing has to be done, or it is. */
static void finish(struct window *w, struct window_op *op, int result)
{
	op->w = w;
	op->result = result;
	if (op->done) {
		op->done(op);
	}
}

void window_cancel(struct window *w, struct window_op *op)
{
	if (w->vdev && w->vdev->may_wait) {
		if (vdpa_turn_cancel(w->vdev, &op->turn)) {
			end_op(op, -ECANCELED);
		}
	} else {
		/* Not the one that runs: that one ends before it returns. */
		end_op(op, -ECANCELED);
	}
}

bool window_is_busy(const struct window *w)
{
	return !list_is_empty(&w->ops);
}

static int do_status(struct window_op *op)
{
	return op->value == 0 ? reset(op->w) : set_status(op->w, op->value);
}

static int do_ready(struct window_op *op)
{
	return window_vq_set_ready(&op->w->vqs[op->idx], op->value);
}

static int do_vq_reset(struct window_op *op)
{
	return window_vq_reset(&op->w->vqs[op->idx], op->value);
}

static void write_vq_op(struct window *w, struct window_op *op,
			int (*fn)(struct window_op *op))
{
	if (w->queue_sel >= w->nvqs) {
		window_mistake(w);
		finish(w, op, 0);
		return;
	}
	op->idx = w->queue_sel;
	start_op(w, op, fn);
}

static void keep(struct window *w, enum window_reg reg, uint32_t value)
{
	switch (reg) {
	case WINDOW_DEVICE_FEATURES_SEL:
		w->device_features_sel = value;
		break;
	case WINDOW_DRIVER_FEATURES_SEL:
		w->driver_features_sel = value;
		break;
	case WINDOW_DRIVER_FEATURES:
		write_features(w, value);
		break;
	case WINDOW_QUEUE_SEL:
		w->queue_sel = value;
		break;
	case WINDOW_SHM_SEL:
		w->shm_sel = value;
		break;
	case WINDOW_QUEUE_NUM:
	case WINDOW_QUEUE_DESC_LOW:
	case WINDOW_QUEUE_DESC_HIGH:
	case WINDOW_QUEUE_DRIVER_LOW:
	case WINDOW_QUEUE_DRIVER_HIGH:
	case WINDOW_QUEUE_DEVICE_LOW:
	case WINDOW_QUEUE_DEVICE_HIGH:
		window_vq_write(w, reg, value);
		break;
	default: /* for reading */
		window_mistake(w);
		break;
	}
}

void window_write(struct window *w, struct window_op *op, enum window_reg reg,
		  uint32_t value)
{
	op->value = value;
	switch (reg) {
	case WINDOW_STATUS:
		start_op(w, op, do_status);
		return;
	case WINDOW_QUEUE_READY:
		write_vq_op(w, op, do_ready);
		return;
	case WINDOW_QUEUE_RESET:
		write_vq_op(w, op, do_vq_reset);
		return;
	case WINDOW_QUEUE_NOTIFY:
		window_notify(w, value);
		break;
	case WINDOW_INTERRUPT_ACK:
		window_ack(w, value);
		break;
	default:
		if (w->vdev) {
			keep(w, reg, value);
		}
		break;
	}
	finish(w, op, w->vdev ? 0 : -ENODEV);
}

/* ---- memory ---- */

void window_map(struct window *w, struct window_op *op,
		const struct window_mapping *mapping)
{
	op->mapping = *mapping;
	(void)region_ref(mapping->region);
	start_op(w, op, do_map);
}

void window_unmap(struct window *w, struct window_op *op, uint64_t start,
		  uint64_t last)
{
	op->mapping = (struct window_mapping){ .start = start, .last = last };
	start_op(w, op, do_unmap);
}

/* ---- life ---- */

void window_set_config_call(struct window *w, const struct vdpa_callback *cb)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };
	struct vdpa_callback now;

	w->config_call = cb ? *cb : none;
	if (w->vdev && (vdpa_get_status(w->vdev) & VIRTIO_CONFIG_S_DRIVER_OK)) {
		now = window_config_callback(w);
		(void)vdpa_set_config_cb(w->vdev, &now); /* is always 0 */
	}
}

void window_get_stats(const struct window *w, struct window_stats *ret)
{
	const uint64_t *from = (const uint64_t *)&w->stats;
	uint64_t *to = (uint64_t *)ret;

	for (size_t i = 0; i < sizeof(*ret) / sizeof(*to); i++) {
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}

struct vdpa_device *window_device(const struct window *w)
{
	return w->vdev;
}

static int end_session(struct window *w)
{
	int r = reset(w);

	if (r < 0) {
		log_warn(w->vdev->name, "ignoring that its reset failed: %s",
			 err_text(r));
	}
	vdpa_reset_map(w->vdev, 0);
	return r;
}

static int do_end(struct window_op *op)
{
	return end_session(op->w);
}

void window_end(struct window *w, struct window_op *op)
{
	start_op(w, op, do_end);
}

void window_cut(struct window *w)
{
	if (!w->vdev) {
		return;
	}
	(void)end_session(w);
	w->vdev = NULL;
	window_break(w);
}

static bool can_reset_rings(const struct vdpa_device *vdev, uint64_t backend)
{
	return !vdev->may_wait && !vdev->needs_queues_first &&
	       has_bit(backend, VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK);
}

static int check_device(struct vdpa_device *vdev)
{
	if (!has_bit(vdpa_get_device_features(vdev), VIRTIO_F_VERSION_1)) {
		return err(-EOPNOTSUPP,
			   "%s: the device has no VIRTIO_F_VERSION_1",
			   vdev->name);
	}
	if ((vdev->ngroups > 1 || vdev->nas > 1) && !vdpa_has_dma_ops(vdev)) {
		return err(-EOPNOTSUPP,
			   "%s has several groups or address spaces but "
			   "neither set_map nor dma_map",
			   vdev->name);
	}
	return 0;
}

/* irq() may acknowledge at once. */
static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

int window_new(struct vdpa_device *vdev, const struct window_options *options,
	       struct window **ret)
{
	struct window *w;
	int r = check_device(vdev);

	if (r < 0) {
		return r;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		return -ENOMEM;
	}
	w->vqs = calloc(max_of(vdev->nvqs, 1U), sizeof(*w->vqs));
	if (!w->vqs) {
		free(w);
		return -ENOMEM;
	}
	w->options = *options;
	w->vdev = vdev;
	w->control = vdpa_bus_control(vdev->bus);
	w->nvqs = vdev->nvqs;
	w->offers_ring_reset =
		!options->no_queue_reset &&
		can_reset_rings(vdev, vdpa_get_backend_features(vdev));
	w->config_call.trigger_fd = -1;
	list_init(&w->ops);
	init_lock(&w->irq_lock);
	for (uint32_t i = 0; i < w->nvqs; i++) {
		window_vq_init(&w->vqs[i], w, i);
	}
	*ret = w;
	return 0;
}

struct window *window_free(struct window *w)
{
	if (!w) {
		return NULL;
	}
	if (w->is_running) { /* in done() of the last one */
		w->is_freed = true;
		return NULL;
	}
	assert(list_is_empty(&w->ops));
	for (uint32_t i = 0; i < w->nvqs; i++) {
		window_vq_fini(&w->vqs[i]);
	}
	pthread_mutex_destroy(&w->irq_lock);
	free(w->vqs);
	free(w);
	return NULL;
}
