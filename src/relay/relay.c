/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The relay: life, features, config space. See relay.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "relay/relay.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "relay/relay_internal.h"

#define CONFIG_BYTES_MAX 4096

/* ---- config space: the lower one's, whatever it says of its size now ---- */

/* How many of @len bytes at @offset it has. */
static uint32_t config_room(const struct relay *relay, uint32_t offset,
			    uint32_t len)
{
	size_t size = relay->lower->ops->get_config_size(relay->lower);

	return offset < size ? (uint32_t)min_of((size_t)len, size - offset) : 0;
}

static void relay_get_config(struct vdpa_device *vdev, uint32_t offset,
			     void *buf, uint32_t len)
{
	const struct relay *relay = relay_of(soft_dev_of(vdev));
	uint32_t room = config_room(relay, offset, len);

	memset(buf, 0, len);
	if (room > 0) {
		relay->lower->ops->get_config(relay->lower, offset, buf, room);
	}
}

static void relay_set_config(struct vdpa_device *vdev, uint32_t offset,
			     const void *buf, uint32_t len)
{
	const struct relay *relay = relay_of(soft_dev_of(vdev));

	if (config_room(relay, offset, len) == len) {
		relay->lower->ops->set_config(relay->lower, offset, buf, len);
	}
}

static uint32_t relay_get_generation(struct vdpa_device *vdev)
{
	const struct relay *relay = relay_of(soft_dev_of(vdev));

	return relay->lower->ops->get_generation
		       ? relay->lower->ops->get_generation(relay->lower)
		       : relay->soft.generation;
}

/* Its config has changed, or it is broken (H83). */
static void lower_config_changed(void *priv, unsigned int events)
{
	struct relay *relay = priv;
	uint8_t status;

	(void)events;
	if (!relay->is_started) {
		return;
	}
	status = relay->lower->ops->get_status(relay->lower);
	if (status & VIRTIO_CONFIG_S_NEEDS_RESET) {
		loop_call_wait(relay->worker, relay_break_all, relay);
	}
	soft_config_changed(&relay->soft);
}

static void drain_ended(void *priv, unsigned int events)
{
	struct relay *relay = priv;

	(void)events;
	vdpa_wake(&relay->soft.vdev);
}

/* ---- statistics ---- */

static int relay_emit_stats(struct soft_dev *dev, uint16_t idx,
			    vdpa_stat_fn emit, void *priv)
{
	const struct relay_counters *c = &relay_of(dev)->vqs[idx].counters;
	const struct {
		const char *name;
		const uint64_t *value;
	} rows[] = {
		{ "bounced_chains", &c->n_chains },
		{ "bounced_bytes", &c->n_bytes },
		{ "bounce_waits", &c->n_waits },
		{ "bounce_faults", &c->n_faults },
		{ "bounce_breaks", &c->n_breaks },
		{ "bounce_lost", &c->n_lost },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		emit(priv, rows[i].name,
		     __atomic_load_n(rows[i].value, __ATOMIC_RELAXED));
	}
	return 0;
}

/* ---- life ---- */

static uint16_t one_worker(const struct soft_dev *dev, uint16_t idx)
{
	(void)dev;
	(void)idx;
	return 0;
}

static uint32_t group_of(const struct soft_dev *dev, uint16_t idx)
{
	return container_of(dev, struct relay, soft)->groups[idx];
}

/* Control has the last reference. */
static void relay_release(struct soft_dev *dev)
{
	struct relay *relay = relay_of(dev);

	for (uint32_t i = 0; relay->vqs && i < dev->vdev.nvqs; i++) {
		close_fd(relay->vqs[i].kick_fd);
		close_fd(relay->vqs[i].call_fd);
	}
	loop_watch_free(relay->config_watch);
	loop_watch_free(relay->drained_watch);
	close_fd(relay->config_fd);
	close_fd(relay->drained_fd);
	domain_free(relay->domain);
	free(relay->vqs);
	free(relay->groups);
	free(relay->sg);
	free(relay->offs);
	free(relay);
}

static int check_lower(const struct vdpa_device *lower)
{
	const struct vdpa_config_ops *ops = lower->ops;

	if (!ops->set_vq_kick_fd || !(ops->set_map || ops->dma_map)) {
		return err(-EOPNOTSUPP,
			   "%s: to bounce its data it would have to take "
			   "eventfds for kicks, and changes of its map",
			   lower->name);
	}
	return 0;
}

static int check_lower_device(struct vdpa_device *lower)
{
	const struct vdpa_config_ops *ops = lower->ops;

	if (!has_bit(ops->get_device_features(lower), VIRTIO_F_VERSION_1)) {
		return err(-EOPNOTSUPP,
			   "%s: a device without VERSION_1 cannot be bounced",
			   lower->name);
	}
	if (lower->nvqs == 0 || lower->nvqs > RELAY_VQS_MAX ||
	    ops->get_vq_num_max(lower) < 2 ||
	    ops->get_config_size(lower) > CONFIG_BYTES_MAX) {
		return err(-ERANGE,
			   "%s: to bounce its data it would have to have 1 to "
			   "%u queues of 2 at least, and 4K of config at most",
			   lower->name, RELAY_VQS_MAX);
	}
	return 0;
}

static void set_up_soft(struct relay *relay,
			const struct relay_options *options)
{
	struct soft_dev *dev = &relay->soft;
	struct vdpa_device *lower = relay->lower;
	const struct vdpa_config_ops *ops = lower->ops;
	uint64_t mask = options->feature_mask ? options->feature_mask
					      : UINT64_MAX;

	relay->class = (struct soft_class){
		.device_id = ops->get_device_id(lower),
		.vendor_id = ops->get_vendor_id(lower),
		.keeps_iovas = true,
		.leader = one_worker,
		.submit = relay_submit,
		.cancel = relay_cancel,
		.budget = relay_budget,
		.emit_stats = relay_emit_stats,
		.set_status = relay_set_status,
		.stopping = relay_stopping,
		.stopped = relay_stopped,
		.resuming = relay_resuming,
		.free = relay_release,
	};
	relay->tail_bytes = relay->class.device_id == VIRTIO_ID_BLOCK;
	dev->class = &relay->class;
	dev->device_features =
		((ops->get_device_features(lower) & RELAY_CLASS_FEATURES) |
		 soft_ring_features) &
		mask;
	dev->config_size = (uint32_t)ops->get_config_size(lower);
	/* Whatever the device below has: its rings are none of the client's. */
	dev->num_max = RELAY_NUM_MAX;
	dev->max_poll_us = options->max_poll_us;
	dev->vq_group = group_of;
	dev->vdev.nvqs = lower->nvqs;
	dev->vdev.ngroups = lower->ngroups;
	dev->vdev.nas = lower->nas;
	dev->vdev.below = lower;
	dev->vdev.may_wait = true; /* for answers, if for nothing else */
}

static int make_arrays(struct relay *relay)
{
	struct vdpa_device *lower = relay->lower;
	uint32_t nvqs = lower->nvqs;

	relay->n_pieces_max = vq_pieces_max(relay->soft.num_max);
	relay->n_sg_max = relay->n_pieces_max;
	relay->vqs = calloc(nvqs, sizeof(*relay->vqs));
	relay->groups = calloc(nvqs, sizeof(*relay->groups));
	relay->sg = calloc(relay->n_sg_max, sizeof(*relay->sg));
	relay->offs = calloc(relay->n_pieces_max, sizeof(*relay->offs));
	if (!relay->vqs || !relay->groups || !relay->sg || !relay->offs) {
		return err(-ENOMEM, "%s: out of memory", lower->name);
	}
	for (uint32_t i = 0; i < nvqs; i++) {
		relay->vqs[i].relay = relay;
		relay->vqs[i].idx = (uint16_t)i;
		relay->vqs[i].kick_fd = -1;
		relay->vqs[i].call_fd = -1;
		relay->groups[i] =
			lower->ops->get_vq_group
				? lower->ops->get_vq_group(lower, (uint16_t)i)
				: 0;
		if (relay->groups[i] >= lower->ngroups) {
			return err(-EINVAL, "%s: group %u of %u", lower->name,
				   relay->groups[i], lower->ngroups);
		}
		relay_init_vq(&relay->vqs[i]);
	}
	return 0;
}

/* Return: 0; -errno */
static int make_fd(int *ret_fd)
{
	*ret_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *ret_fd < 0 ? err(-errno, "eventfd: %s", strerror(errno)) : 0;
}

static int make_fds(struct relay *relay)
{
	int ret = make_fd(&relay->config_fd);

	if (ret == 0) {
		ret = make_fd(&relay->drained_fd);
	}
	for (uint32_t i = 0; ret == 0 && i < relay->lower->nvqs; i++) {
		ret = make_fd(&relay->vqs[i].kick_fd);
		if (ret == 0) {
			ret = make_fd(&relay->vqs[i].call_fd);
		}
	}
	if (ret == 0) {
		ret = loop_watch_new(relay->control, relay->config_fd,
				     LOOP_IN | LOOP_EDGE, lower_config_changed,
				     relay, &relay->config_watch);
	}
	return ret < 0 ? ret
		       : loop_watch_new(relay->control, relay->drained_fd,
					LOOP_IN | LOOP_EDGE, drain_ended, relay,
					&relay->drained_watch);
}

static void override_ops(struct relay *relay)
{
	struct vdpa_config_ops *ops = &relay->soft.ops;

	ops->get_config = relay_get_config;
	ops->set_config = relay_set_config;
	ops->get_generation = relay_get_generation;
}

/* All but the software device. */
static int init_relay(struct relay *relay, const struct relay_options *options)
{
	int ret = make_arrays(relay);

	if (ret == 0) {
		ret = domain_new(options->domain_bytes ? options->domain_bytes
						       : DOMAIN_BYTES_DEFAULT,
				 &relay->domain);
	}
	return ret < 0 ? ret : make_fds(relay);
}

int relay_new(struct vdpa_bus *bus, struct vdpa_device *lower, const char *name,
	      const struct relay_options *options, struct vdpa_device **ret)
{
	struct relay *relay;
	int r = check_lower(lower);

	if (r == 0) {
		r = check_lower_device(lower);
	}
	if (r < 0) {
		return r;
	}
	relay = calloc(1, sizeof(*relay));
	if (!relay) {
		return err(-ENOMEM, "%s: out of memory", name);
	}
	relay->lower = lower;
	relay->control = vdpa_bus_control(bus);
	relay->config_fd = -1;
	relay->drained_fd = -1;
	relay->drain_ns = 1000000ULL * (options->drain_ms ? options->drain_ms
							  : RELAY_DRAIN_MS);
	(void)snprintf(relay->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	set_up_soft(relay, options);
	r = init_relay(relay, options);
	if (r == 0) {
		r = soft_dev_init(&relay->soft, bus);
	}
	if (r < 0) {
		relay_release(&relay->soft);
		return r;
	}
	override_ops(relay);
	relay->worker = relay->soft.vqs[0].worker;
	relay_init_drain(relay);
	*ret = &relay->soft.vdev;
	return 0;
}

struct loop *relay_worker(struct vdpa_device *vdev)
{
	return relay_of(soft_dev_of(vdev))->worker;
}

void relay_free(struct vdpa_device *vdev)
{
	if (vdev) {
		soft_dev_free(soft_dev_of(vdev));
	}
}
