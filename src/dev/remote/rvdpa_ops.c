/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_vdpa: config ops, but for those of virtqueues; waiting for the thread.
 *
 * What never changes was asked for when the node was opened. Status and config
 * space are kept here too, as of the last time that the other side said that it
 * had news: they are asked for where nobody can wait.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "dev/remote/rvdpa_internal.h"

#define NS_PER_S 1000000000ULL

/* ---- the end of a device ---- */

static void tell_client(struct rvdpa_dev *dev)
{
	const struct vdpa_callback cb = dev->config_cb;

	if (cb.trigger_fd >= 0) {
		loop_signal(dev->control, cb.trigger_fd);
	} else if (cb.callback) {
		cb.callback(cb.priv);
	}
}

void rvdpa_break(struct rvdpa_dev *dev, const char *why)
{
	if (dev->is_broken) {
		return;
	}
	log_warn(dev->vdev.name, "broken: %s; delete it, and add it anew", why);
	dev->is_broken = true;
	dev->generation++;
	if (dev->status != 0) {
		dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	}
	vdpa_wake(dev->waiter);
	tell_client(dev);
}

static void time_is_up(void *priv)
{
	struct rvdpa_dev *dev = priv;
	char why[80];

	(void)snprintf(why, sizeof(why),
		       "the other side did not answer for %u s",
		       dev->timeout_s);
	rvdpa_break(dev, why);
}

/* ---- jobs ---- */

/* The node is not a device any more. */
static bool is_gone(int result)
{
	return result == -ENODEV || result == -EBADF;
}

static void look_at(struct rvdpa_dev *dev, const struct rvdpa_job *job)
{
	if (job->result < 0) {
		dev->n_errors++;
		log_debug(dev->vdev.name, "%s", job->text);
	}
	if (is_gone(job->result)) {
		rvdpa_break(dev, "its node is not a device any more");
	}
}

void rvdpa_ended(struct rvdpa_dev *dev, struct rvdpa_job *job)
{
	dev->n_queued--;
	look_at(dev, job);
	if (job->is_left && job->ended) {
		job->ended(dev, job);
	} else if (job->is_left) {
		rvdpa_note(dev, job->result);
	}
}

static int post(struct rvdpa_dev *dev, struct rvdpa_job *job)
{
	if (dev->is_broken) {
		return err(-EIO, "%s is broken: delete it, and add it anew",
			   dev->vdev.name);
	}
	if (dev->n_queued == RVDPA_JOBS_MAX) {
		return err(-EIO, "%s: the other side has %u calls to answer",
			   dev->vdev.name, dev->n_queued);
	}
	dev->n_queued++;
	dev->n_calls++;
	rvdpa_link_post(dev->link, job);
	return 0;
}

/* Return: 0 it is done; -errno */
static int await(struct rvdpa_dev *dev, const struct rvdpa_job *job)
{
	struct loop_timer timer;
	int r;

	loop_timer_init(&timer, dev->control, time_is_up, dev);
	r = loop_timer_set(&timer, dev->timeout_s * NS_PER_S);
	while (r == 0 && !job->is_done && !dev->is_broken) {
		r = vdpa_wait(dev->waiter);
	}
	loop_timer_cancel(&timer);
	if (job->is_done) {
		return 0;
	}
	return r < 0 ? err(r, "%s: nobody waits any more", dev->vdev.name)
		     : err(-EIO, "%s is broken: delete it, and add it anew",
			   dev->vdev.name);
}

static int result_of(const struct rvdpa_dev *dev, const struct rvdpa_job *job)
{
	return job->result < 0
		       ? err(job->result, "%s: %s", dev->vdev.name, job->text)
		       : 0;
}

int rvdpa_run(struct rvdpa_dev *dev, struct rvdpa_job *job,
	      struct rvdpa_job **ret_job)
{
	bool can_wait = vdpa_can_wait(dev->waiter);
	int r;

	if (!job) {
		return err(-ENOMEM, "%s: out of memory", dev->vdev.name);
	}
	r = ret_job && !can_wait
		    ? err(-EIO, "%s: nobody can wait for an answer",
			  dev->vdev.name)
		    : post(dev, job);
	if (r < 0) {
		rvdpa_job_free(job);
		return r;
	}
	if (!can_wait) {
		job->is_left = true;
		return 0;
	}
	r = await(dev, job);
	if (r < 0) {
		job->is_left = true; /* it is in its thread's hands */
		return r;
	}
	r = result_of(dev, job);
	if (r == 0 && ret_job) {
		*ret_job = job;
	} else {
		rvdpa_job_free(job);
	}
	return r;
}

static int run_ioctl(struct rvdpa_link *link, struct rvdpa_job *job)
{
	return rvdpa_ioctl(link, job->cmd, &job->arg);
}

struct rvdpa_job *rvdpa_ioctl_job(unsigned long cmd)
{
	struct rvdpa_job *job = rvdpa_job_new(run_ioctl);

	if (job) {
		job->cmd = cmd;
	}
	return job;
}

void rvdpa_note(struct rvdpa_dev *dev, int result)
{
	dev->has_failed |= result < 0;
}

/* ---- features and identity ---- */

static uint64_t get_device_features(struct vdpa_device *vdev)
{
	return rvdpa_dev_of(vdev)->facts->features;
}

/* SUSPEND and RESUME go with their ops. */
static uint64_t get_backend_features(const struct vdpa_device *vdev)
{
	const struct rvdpa_dev *dev =
		container_of(vdev, const struct rvdpa_dev, vdev);

	return dev->facts->backend_features &
	       (BIT_ULL(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK) |
		BIT_ULL(VHOST_BACKEND_F_IOTLB_PERSIST));
}

static int set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	struct rvdpa_job *job = rvdpa_ioctl_job(VHOST_SET_FEATURES);
	int r;

	if (job) {
		job->arg.u64 = features;
	}
	r = rvdpa_run(dev, job, NULL);
	if (r == 0) {
		dev->driver_features = features;
	}
	return r;
}

static uint64_t get_driver_features(struct vdpa_device *vdev)
{
	return rvdpa_dev_of(vdev)->driver_features;
}

static void set_config_cb(struct vdpa_device *vdev,
			  const struct vdpa_callback *cb)
{
	rvdpa_dev_of(vdev)->config_cb = *cb;
}

static uint16_t get_vq_num_max(struct vdpa_device *vdev)
{
	return rvdpa_dev_of(vdev)->facts->num_max;
}

static uint32_t get_device_id(struct vdpa_device *vdev)
{
	return rvdpa_dev_of(vdev)->facts->device_id;
}

/* The node does not tell. */
static uint32_t get_vendor_id(struct vdpa_device *vdev)
{
	(void)vdev;
	return 0;
}

/* Nor this: what the kernel's simulators have. */
static uint32_t get_vq_align(struct vdpa_device *vdev)
{
	(void)vdev;
	return 4096;
}

static void get_iova_range(struct vdpa_device *vdev,
			   struct vdpa_iova_range *ret_range)
{
	*ret_range = rvdpa_dev_of(vdev)->facts->range;
}

/* ---- status ---- */

static int run_status(struct rvdpa_link *link, struct rvdpa_job *job)
{
	uint8_t status = job->status;
	int r = 0;

	if (status & VIRTIO_CONFIG_S_DRIVER_OK) {
		r = rvdpa_restore_maps(link);
	}
	if (r == 0) {
		r = rvdpa_ioctl(link, VHOST_VDPA_SET_STATUS, &status);
	}
	if (status == 0 && !has_bit(link->facts.backend_features,
				    VHOST_BACKEND_F_IOTLB_PERSIST)) {
		link->stale_as = link->used_as;
	}
	return r < 0 ? r
		     : rvdpa_ioctl(link, VHOST_VDPA_GET_STATUS, &job->status);
}

static struct rvdpa_job *status_job(uint8_t status)
{
	struct rvdpa_job *job = rvdpa_job_new(run_status);

	if (job) {
		job->status = status;
	}
	return job;
}

static uint8_t get_status(struct vdpa_device *vdev)
{
	return rvdpa_dev_of(vdev)->status;
}

/* The old one holds until the other side has taken the new one. */
static void set_status(struct vdpa_device *vdev, uint8_t status)
{
	struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	struct rvdpa_job *job;
	int r;

	if (dev->has_failed && (status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		log_debug(vdev->name,
			  "keeps status 0x%02x: a queue could not "
			  "be set up",
			  dev->status);
		return;
	}
	r = rvdpa_run(dev, status_job(status), &job);
	if (r < 0) {
		log_debug(vdev->name, "keeps status 0x%02x: %s", dev->status,
			  err_text(r));
		return;
	}
	dev->status = job->status;
	rvdpa_job_free(job);
}

/* Takes place here whatever the other side says to it. */
static int reset(struct vdpa_device *vdev)
{
	struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	struct rvdpa_job *job = NULL;
	int r;

	dev->config_cb = (struct vdpa_callback){ .trigger_fd = -1 };
	for (uint32_t i = 0; i < dev->facts->nvqs; i++) {
		rvdpa_vq_reset(&dev->vqs[i]);
	}
	r = rvdpa_run(dev, status_job(0),
		      vdpa_can_wait(dev->waiter) ? &job : NULL);
	if (job && job->status != 0) {
		r = err(-EIO, "%s: after a reset it says status 0x%02x",
			vdev->name, job->status);
	}
	if (r == -EINTR) {
		r = 0; /* it takes place all the same, if later */
	}
	rvdpa_job_free(job);
	dev->status = dev->is_broken ? VIRTIO_CONFIG_S_NEEDS_RESET : 0;
	dev->driver_features = 0;
	dev->has_failed = false;
	dev->has_warned = false;
	return r;
}

static int suspend(struct vdpa_device *vdev)
{
	return rvdpa_run(rvdpa_dev_of(vdev),
			 rvdpa_ioctl_job(VHOST_VDPA_SUSPEND), NULL);
}

static int resume(struct vdpa_device *vdev)
{
	return rvdpa_run(rvdpa_dev_of(vdev), rvdpa_ioctl_job(VHOST_VDPA_RESUME),
			 NULL);
}

/* ---- config space ---- */

static struct rvdpa_job *config_job(int (*run)(struct rvdpa_link *link,
					       struct rvdpa_job *job),
				    uint32_t offset, uint32_t len)
{
	struct rvdpa_job *job = rvdpa_job_new(run);

	if (!job) {
		return NULL;
	}
	job->config = calloc(1, sizeof(*job->config) + len);
	if (!job->config) {
		rvdpa_job_free(job);
		return NULL;
	}
	job->config->off = offset;
	job->config->len = len;
	return job;
}

static int run_get_config(struct rvdpa_link *link, struct rvdpa_job *job)
{
	return rvdpa_ioctl(link, VHOST_VDPA_GET_CONFIG, job->config);
}

static int run_set_config(struct rvdpa_link *link, struct rvdpa_job *job)
{
	return rvdpa_ioctl(link, VHOST_VDPA_SET_CONFIG, job->config);
}

/* Both at once: what is done to one of them may have to do with the other. */
static int run_refresh(struct rvdpa_link *link, struct rvdpa_job *job)
{
	int r = rvdpa_ioctl(link, VHOST_VDPA_GET_STATUS, &job->status);

	return r < 0 || link->facts.config_size == 0
		       ? r
		       : run_get_config(link, job);
}

static size_t get_config_size(struct vdpa_device *vdev)
{
	return rvdpa_dev_of(vdev)->facts->config_size;
}

static void get_config(struct vdpa_device *vdev, uint32_t offset, void *buf,
		       uint32_t len)
{
	struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	struct rvdpa_job *job;

	if (vdpa_can_wait(dev->waiter) && !dev->is_broken &&
	    rvdpa_run(dev, config_job(run_get_config, offset, len), &job) ==
		    0) {
		memcpy(dev->config + offset, job->config->buf, len);
		rvdpa_job_free(job);
	}
	memcpy(buf, dev->config + offset, len);
}

static void set_config(struct vdpa_device *vdev, uint32_t offset,
		       const void *buf, uint32_t len)
{
	struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	struct rvdpa_job *job = config_job(run_set_config, offset, len);
	int r;

	if (job) {
		memcpy(job->config->buf, buf, len);
	}
	r = rvdpa_run(dev, job, NULL);
	if (r < 0) {
		log_debug(vdev->name, "ignoring a change of its config: %s",
			  err_text(r));
	}
}

static uint32_t get_generation(struct vdpa_device *vdev)
{
	return rvdpa_dev_of(vdev)->generation;
}

static void refresh(struct rvdpa_dev *dev);

/* The client is told when what it asks for is here. */
static void refreshed(struct rvdpa_dev *dev, struct rvdpa_job *job)
{
	dev->is_refreshing = false;
	if (job->result == 0) {
		memcpy(dev->config, job->config->buf, dev->facts->config_size);
		dev->status = job->status;
		dev->generation++;
		tell_client(dev);
	}
	if (dev->has_news) {
		refresh(dev);
	}
}

static void refresh(struct rvdpa_dev *dev)
{
	struct rvdpa_job *job =
		config_job(run_refresh, 0, dev->facts->config_size);

	dev->has_news = !job; /* then it has to wait for the next event */
	if (!job) {
		return;
	}
	job->ended = refreshed;
	job->is_left = true;
	dev->is_refreshing = post(dev, job) == 0;
	if (!dev->is_refreshing) {
		rvdpa_job_free(job);
	}
}

void rvdpa_config_event(void *priv, unsigned int events)
{
	struct rvdpa_dev *dev = priv;

	(void)events;
	if (dev->is_refreshing) {
		dev->has_news = true; /* it may have asked too early */
	} else {
		refresh(dev);
	}
}

/* ---- address spaces ---- */

/* Memory that the device may write, and that is not mapped here: the other side
 * would never see it. A machine's firmware is not missed. */
static const struct iotlb_entry *find_foreign(const struct iotlb_snap *map)
{
	const struct iotlb_entry *e = iotlb_first(map, 0);

	while (e && (e->va || !(e->perm & MEM_PERM_WO))) {
		e = e->last == UINT64_MAX ? NULL
					  : iotlb_first(map, e->last + 1);
	}
	return e;
}

static int check_map(struct rvdpa_dev *dev, const struct iotlb_snap *map)
{
	const struct iotlb_entry *e = find_foreign(map);
	int r;

	if (!e) {
		return 0;
	}
	r = err(-EOPNOTSUPP,
		"%s: memory of the client at 0x%llx cannot be shared with the "
		"other side: give it memory with a file (QEMU: "
		"memory-backend-memfd,share=on), or add the device with "
		"bounce=on",
		dev->vdev.name, (unsigned long long)e->start);
	if (!dev->has_warned) {
		dev->has_warned = true;
		log_warn(dev->vdev.name, "refused: %s", err_text(r));
	}
	return r;
}

static int set_map(struct vdpa_device *vdev, unsigned int asid,
		   struct iotlb_snap *map)
{
	struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	struct rvdpa_job *job;
	int r = check_map(dev, map);

	if (r < 0) {
		return r;
	}
	job = rvdpa_job_new(rvdpa_run_map);
	if (job) {
		job->asid = asid;
		job->map = iotlb_snap_ref(map);
	}
	dev->n_maps++;
	return rvdpa_run(dev, job, NULL);
}

static uint32_t get_vq_group(struct vdpa_device *vdev, uint16_t idx)
{
	return rvdpa_dev_of(vdev)->facts->group[idx];
}

static uint32_t get_vq_desc_group(struct vdpa_device *vdev, uint16_t idx)
{
	return rvdpa_dev_of(vdev)->facts->desc_group[idx];
}

static int set_group_asid(struct vdpa_device *vdev, unsigned int group,
			  unsigned int asid)
{
	struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	struct rvdpa_job *job = rvdpa_ioctl_job(VHOST_VDPA_SET_GROUP_ASID);
	int r;

	if (job) {
		job->arg.state.index = group;
		job->arg.state.num = asid;
	}
	r = rvdpa_run(dev, job, NULL);
	if (r == 0) {
		dev->group_asid[group] = asid;
	}
	return r;
}

static unsigned int get_vq_map(struct vdpa_device *vdev, uint16_t idx)
{
	const struct rvdpa_dev *dev = rvdpa_dev_of(vdev);

	return dev->group_asid[dev->facts->group[idx]];
}

/* ---- statistics ---- */

static int get_vendor_vq_stats(struct vdpa_device *vdev, uint16_t idx,
			       vdpa_stat_fn emit, void *priv)
{
	const struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	const struct rvdpa_vq *vq = &dev->vqs[idx];

	emit(priv, "forwarded_kicks",
	     __atomic_load_n(&vq->n_kicks, __ATOMIC_RELAXED));
	emit(priv, "forwarded_calls",
	     __atomic_load_n(&vq->n_calls, __ATOMIC_RELAXED));
	emit(priv, "remote_calls", dev->n_calls);
	emit(priv, "remote_errors", dev->n_errors);
	emit(priv, "remote_maps", dev->n_maps);
	return 0;
}

const struct vdpa_config_ops rvdpa_ops = {
	.size = sizeof(struct vdpa_config_ops),
	.set_vq_address = rvdpa_set_vq_address,
	.set_vq_num = rvdpa_set_vq_num,
	.kick_vq = rvdpa_kick_vq,
	.set_vq_kick_fd = rvdpa_set_vq_kick_fd,
	.set_vq_cb = rvdpa_set_vq_cb,
	.set_vq_ready = rvdpa_set_vq_ready,
	.get_vq_ready = rvdpa_get_vq_ready,
	.set_vq_state = rvdpa_set_vq_state,
	.get_vq_state = rvdpa_get_vq_state,
	.get_vendor_vq_stats = get_vendor_vq_stats,
	.get_vq_size = rvdpa_get_vq_size,
	.get_vq_align = get_vq_align,
	.get_vq_group = get_vq_group,
	.get_vq_desc_group = get_vq_desc_group,
	.get_device_features = get_device_features,
	.get_backend_features = get_backend_features,
	.set_driver_features = set_driver_features,
	.get_driver_features = get_driver_features,
	.set_config_cb = set_config_cb,
	.get_vq_num_max = get_vq_num_max,
	.get_device_id = get_device_id,
	.get_vendor_id = get_vendor_id,
	.get_status = get_status,
	.set_status = set_status,
	.reset = reset,
	.suspend = suspend,
	.resume = resume,
	.get_config_size = get_config_size,
	.get_config = get_config,
	.set_config = set_config,
	.get_generation = get_generation,
	.get_iova_range = get_iova_range,
	.set_map = set_map,
	.set_group_asid = set_group_asid,
	.get_vq_map = get_vq_map,
	.set_gate = rvdpa_set_gate,
};
