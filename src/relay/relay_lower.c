/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The relay: the device below. Control thread. See relay.h.
 *
 * Theory of operation
 *
 * The device below is driven as the kernel's virtio-vdpa drives one: reset,
 * ACKNOWLEDGE, DRIVER, features, FEATURES_OK; for each queue call, size, areas,
 * state, ready; DRIVER_OK. It gets each step when the client has got that far,
 * and may keep the client waiting, or refuse: then the client's status stays as
 * it was.
 *
 * All its queues are set up, whichever the client uses: some devices look at
 * them once, at DRIVER_OK.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/log.h"
#include "relay/relay_internal.h"

#define RING_NUM_MIN 2

static const struct vdpa_config_ops *ops_of(const struct relay *relay)
{
	return relay->lower->ops;
}

static const char *name_of(const struct relay *relay)
{
	return relay->soft.vdev.name;
}

/* ---- rings ---- */

static uint16_t ring_num_max(const struct relay *relay)
{
	return min_of(ops_of(relay)->get_vq_num_max(relay->lower),
		      (uint16_t)RELAY_NUM_MAX);
}

/* As large as the client's, a power of two. */
static uint16_t ring_num(const struct relay *relay, uint32_t want)
{
	uint32_t num = 1, max = min_of(want, (uint32_t)ring_num_max(relay));

	while (num * 2 <= max) {
		num *= 2;
	}
	return (uint16_t)num;
}

/* Gives each ring its place. Return: bytes of all */
static uint64_t lay_out(struct relay *relay)
{
	uint64_t at = DOMAIN_PAGE;

	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		struct relay_vq *q = &relay->vqs[i];
		struct vq_layout layout;

		vq_layout(q->num, relay->lower_features, &layout);
		q->ring_iova = at;
		at += align_up(layout.size_bytes, DOMAIN_PAGE);
	}
	return at - DOMAIN_PAGE;
}

/* Halves the largest rings. Return: false: that cannot be */
static bool shrink(struct relay *relay)
{
	uint16_t num_min = ops_of(relay)->get_vq_num_min
				   ? ops_of(relay)->get_vq_num_min(relay->lower)
				   : 1;
	uint16_t largest = 0;

	num_min = max_of(num_min, (uint16_t)RING_NUM_MIN);
	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		largest = max_of(largest, relay->vqs[i].num);
	}
	if (largest / 2 < num_min) {
		return false;
	}
	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		relay->vqs[i].num =
			min_of(relay->vqs[i].num, (uint16_t)(largest / 2));
	}
	return true;
}

/* Sizes and places; rings take no more than a quarter of the domain. */
static int make_room(struct relay *relay)
{
	uint64_t n_bytes;

	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		relay->vqs[i].num = ring_num(relay, relay->soft.vqs[i].num);
	}
	for (;;) {
		n_bytes = lay_out(relay);
		if (n_bytes <= domain_size(relay->domain) / 4) {
			break;
		}
		if (!shrink(relay)) {
			return err(-ENOSPC,
				   "%s: the rings of %u queues do not fit into "
				   "a quarter of its domain",
				   name_of(relay), relay->soft.vdev.nvqs);
		}
	}
	return domain_begin(relay->domain, n_bytes);
}

static int make_ring(struct relay_vq *q)
{
	const struct relay *relay = q->relay;

	q->reqs = calloc(q->num, sizeof(*q->reqs));
	if (!q->reqs) {
		return err(-ENOMEM, "%s: out of memory", name_of(relay));
	}
	return vq_driver_new(q->num, relay->lower_features,
			     domain_va(relay->domain, q->ring_iova),
			     q->ring_iova, &q->drv);
}

static void free_rings(struct relay *relay)
{
	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		struct relay_vq *q = &relay->vqs[i];

		q->drv = vq_driver_free(q->drv);
		free(q->reqs);
		q->reqs = NULL;
	}
}

/* ---- the map ---- */

static int map_all(struct relay *relay, uint32_t asid, struct iotlb_snap *snap)
{
	const struct vdpa_config_ops *ops = ops_of(relay);

	return ops->set_map ? ops->set_map(relay->lower, asid, snap)
			    : ops->dma_map(relay->lower, asid, 0,
					   domain_size(relay->domain) - 1,
					   domain_region(relay->domain), 0,
					   MEM_PERM_RW);
}

/* Once: a reset leaves address spaces as they are. */
static int map_domain(struct relay *relay)
{
	struct iotlb *tlb;
	struct iotlb_snap *snap;
	int ret = iotlb_new(1, &tlb);

	if (ret < 0) {
		return ret;
	}
	ret = iotlb_map(tlb, 0, domain_size(relay->domain) - 1,
			domain_region(relay->domain), 0, MEM_PERM_RW);
	snap = iotlb_snapshot(tlb);
	for (uint32_t i = 0; ret == 0 && i < relay->lower->nas; i++) {
		ret = map_all(relay, i, snap);
	}
	iotlb_snap_unref(snap);
	iotlb_free(tlb);
	relay->is_mapped = ret == 0;
	return ret;
}

/* ---- start and stop ---- */

/* For devices that do not write the eventfd themselves. */
static void signal_call(void *priv)
{
	const struct relay_vq *q = priv;

	(void)eventfd_write(q->call_fd, 1); /* full is as good */
}

static int start_vq(struct relay_vq *q)
{
	const struct vdpa_config_ops *ops = ops_of(q->relay);
	struct vdpa_device *lower = q->relay->lower;
	const struct vdpa_callback call = {
		.callback = signal_call,
		.priv = q,
		.trigger_fd = q->call_fd,
		.is_trusted = true, /* it is ours */
	};
	const struct vdpa_vq_state first = { 0 };
	struct vq_layout at;
	int ret;

	vq_layout(q->num, q->relay->lower_features, &at);
	ops->set_vq_cb(lower, q->idx, &call);
	ret = ops->set_vq_kick_fd(lower, q->idx, q->kick_fd);
	if (ret < 0) {
		return ret;
	}
	ops->set_vq_num(lower, q->idx, q->num);
	ret = ops->set_vq_address(lower, q->idx, q->ring_iova + at.desc_area,
				  q->ring_iova + at.driver_area,
				  q->ring_iova + at.device_area);
	if (ret == 0) {
		ret = ops->set_vq_state(lower, q->idx, &first);
	}
	if (ret == 0) {
		ops->set_vq_ready(lower, q->idx, true);
	}
	return ret;
}

static void signal_config(void *priv)
{
	const struct relay *relay = priv;

	(void)eventfd_write(relay->config_fd, 1); /* full is as good */
}

/* Everything but DRIVER_OK. stop_lower() undoes it, however far it got. */
static int start_queues(struct relay *relay)
{
	const struct vdpa_callback config = { signal_config, relay,
					      relay->config_fd };
	uint32_t nvqs = relay->soft.vdev.nvqs;
	int ret = make_room(relay);

	for (uint32_t i = 0; ret == 0 && i < nvqs; i++) {
		ret = make_ring(&relay->vqs[i]);
	}
	if (ret == 0 && !relay->is_mapped) {
		ret = map_domain(relay);
	}
	for (uint32_t i = 0; ret == 0 && i < nvqs; i++) {
		ret = start_vq(&relay->vqs[i]);
	}
	if (ret == 0) {
		ops_of(relay)->set_config_cb(relay->lower, &config);
	}
	return ret;
}

/* What it was lent is its owner's again. */
static void take_back_fds(struct relay *relay)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };
	const struct vdpa_config_ops *ops = ops_of(relay);

	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		ops->set_vq_cb(relay->lower, (uint16_t)i, &none);
		(void)ops->set_vq_kick_fd(relay->lower, (uint16_t)i, -1);
	}
	ops->set_config_cb(relay->lower, &none);
}

static int reset_lower(struct relay *relay)
{
	int ret = -EINTR;

	/* Off the bus there are no turns to wait in. */
	if (relay->soft.vdev.is_registered || !relay->lower->may_wait) {
		ret = ops_of(relay)->reset(relay->lower);
	}
	take_back_fds(relay);
	relay->lower_status = 0;
	relay->must_reset = ret < 0;
	return ret;
}

static int stop_lower(struct relay *relay)
{
	int ret;

	if (relay->is_started) {
		loop_call_wait(relay->worker, relay_detach, relay);
		relay->is_started = false;
	}
	ret = reset_lower(relay);
	free_rings(relay);
	return ret;
}

/* ---- status ---- */

/* Return: 0; -EIO it does not take these bits */
static int set_lower_status(struct relay *relay, uint8_t status)
{
	uint8_t got;

	if (status == relay->lower_status) {
		return 0;
	}
	ops_of(relay)->set_status(relay->lower, status);
	got = ops_of(relay)->get_status(relay->lower);
	if ((got & status) != status || (got & VIRTIO_CONFIG_S_NEEDS_RESET)) {
		return err(-EIO,
			   "%s: the device below does not take status "
			   "0x%02x",
			   name_of(relay), status);
	}
	relay->lower_status = status;
	return 0;
}

static int set_lower_features(struct relay *relay)
{
	static const uint64_t wanted = BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
				       BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
				       BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	uint64_t offered = ops_of(relay)->get_device_features(relay->lower);
	uint64_t of_class = soft_features(&relay->soft) & RELAY_CLASS_FEATURES;

	/* It may have changed its mind since it was made (H84). */
	if ((of_class & ~offered) != 0 ||
	    !has_bit(offered, VIRTIO_F_VERSION_1)) {
		return err(-EIO,
			   "%s: the device below has not got features 0x%llx "
			   "any more",
			   name_of(relay), (unsigned long long)of_class);
	}
	relay->lower_features = of_class | BIT_ULL(VIRTIO_F_VERSION_1) |
				(offered & wanted);
	relay->has_indirect =
		has_bit(relay->lower_features, VIRTIO_RING_F_INDIRECT_DESC);
	return ops_of(relay)->set_driver_features(relay->lower,
						  relay->lower_features);
}

#define ACKNOWLEDGED	VIRTIO_CONFIG_S_ACKNOWLEDGE
#define KNOWN		(ACKNOWLEDGED | VIRTIO_CONFIG_S_DRIVER)
#define FEATURES_CHOSEN (KNOWN | VIRTIO_CONFIG_S_FEATURES_OK)
#define RUNNING		(FEATURES_CHOSEN | VIRTIO_CONFIG_S_DRIVER_OK)

static int choose_features(struct relay *relay)
{
	int ret = set_lower_status(relay, ACKNOWLEDGED);

	if (ret == 0) {
		ret = set_lower_status(relay, KNOWN);
	}
	if (ret == 0) {
		ret = set_lower_features(relay);
	}
	return ret < 0 ? ret : set_lower_status(relay, FEATURES_CHOSEN);
}

static int run(struct relay *relay)
{
	struct relay_attach attach = { .relay = relay };
	int ret = start_queues(relay);

	if (ret == 0) {
		loop_call_wait(relay->worker, relay_attach, &attach);
		ret = attach.ret;
		relay->is_started = ret == 0;
	}
	if (ret == 0) {
		ret = set_lower_status(relay, RUNNING);
	}
	return ret;
}

/* The client may change its mind until DRIVER_OK. */
static bool has_other_features(const struct relay *relay)
{
	return ((relay->lower_features ^ soft_features(&relay->soft)) &
		RELAY_CLASS_FEATURES) != 0;
}

/* Up to DRIVER_OK. What fails leaves the device below reset. */
static int run_lower(struct relay *relay)
{
	int ret = 0;

	if (relay->lower_status >= FEATURES_CHOSEN &&
	    has_other_features(relay)) {
		ret = reset_lower(relay);
	}
	if (ret == 0 && relay->lower_status < FEATURES_CHOSEN) {
		ret = choose_features(relay);
	}
	if (ret == 0) {
		ret = run(relay);
	}
	if (ret < 0) {
		(void)stop_lower(relay); /* it failed already */
	}
	return ret;
}

static int advance(struct relay *relay, uint8_t status)
{
	if (relay->must_reset && reset_lower(relay) < 0) {
		return err(-EIO, "%s: the device below does not reset",
			   name_of(relay));
	}
	if (status & VIRTIO_CONFIG_S_DRIVER_OK) {
		return relay->is_started ? 0 : run_lower(relay);
	}
	if (status & VIRTIO_CONFIG_S_FEATURES_OK) {
		return relay->lower_status < FEATURES_CHOSEN
			       ? choose_features(relay)
			       : 0;
	}
	return 0;
}

int relay_set_status(struct soft_dev *dev, uint8_t status)
{
	struct relay *relay = relay_of(dev);
	int ret = advance(relay, status);

	if (ret < 0) {
		log_debug(name_of(relay), "status 0x%02x is refused: %s",
			  status, err_text(ret));
	}
	return ret;
}

/* ---- queues stop and go on ---- */

/* In a turn, the control loop goes on meanwhile; else it waits as well. */
static void drain(struct relay *relay, struct relay_drain *drain)
{
	struct vdpa_device *vdev = &relay->soft.vdev;

	if (drain->is_reset || !vdev->turns) {
		loop_call_until(relay->worker, relay_drain_until, drain);
		return;
	}
	loop_call_wait(relay->worker, relay_drain_begin, drain);
	while (!__atomic_load_n(&relay->is_drained, __ATOMIC_ACQUIRE)) {
		int ret = vdpa_wait(vdev);

		if (ret == -EDEADLK) {
			loop_call_until(relay->worker, relay_drain_until,
					drain);
		} else if (ret < 0) {
			break; /* the client goes by force */
		}
	}
}

void relay_stopping(struct soft_dev *dev, unsigned int idx, bool is_reset)
{
	struct relay *relay = relay_of(dev);
	struct relay_drain what = { relay, idx, is_reset };

	if (relay->is_started) {
		drain(relay, &what);
	}
}

int relay_stopped(struct soft_dev *dev, unsigned int idx, bool is_reset)
{
	struct relay *relay = relay_of(dev);
	struct relay_drain what = { relay, idx, is_reset };

	if (idx != SOFT_ALL) {
		if (relay->is_started) {
			loop_call_wait(relay->worker, relay_drain_end, &what);
		}
		return 0;
	}
	if (is_reset && !relay->soft.vdev.is_registered &&
	    relay->lower_status == 0 && !relay->must_reset) {
		return 0; /* it is, since the client went */
	}
	return is_reset || relay->is_started ? stop_lower(relay) : 0;
}

int relay_resuming(struct soft_dev *dev)
{
	struct relay *relay = relay_of(dev);

	if (!(dev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		return 0;
	}
	return advance(relay, dev->status);
}
