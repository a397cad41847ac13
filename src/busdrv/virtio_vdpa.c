/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bus driver virtio_vdpa.
 *
 * Theory of operation
 *
 *   virtio driver (virtio/blk, virtio/net)
 *        |  virtio_config_ops
 *   struct virtio_vdpa         here
 *        |  bus.h: checked ops, address spaces
 *   vDPA device
 *
 * as the kernel's, in its order: for each queue call, size, areas, state,
 * ready; the config callback last. Rings and data are mapped into every address
 * space of the device, so that it does not matter which one a queue is in.
 *
 * Queues that the driver does not use are left as they are after a reset.
 * VIRTIO_F_NOTIFICATION_DATA is never offered: a kick is a write to an eventfd,
 * which carries no data.
 *
 * When the device goes (`dev del`, unbind by force), its driver does not hold
 * it up: the virtio device is gone from then on (-ENODEV), the vDPA device is
 * reset and its maps are taken away, and struct virtio_vdpa stays, without a
 * device, until the driver puts it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/virtio_vdpa.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "virtio/virtqueue.h"

#define F_NOTIFICATION_DATA 38

/* Config changes and breaks, on their way to the control thread. */
struct news {
	struct loop_work work;
	struct virtio_vdpa *v; /* control only; NULL: nobody listens */
};

/* A kick that the device does not watch for itself. */
struct kick {
	struct virtio_vdpa *v;
	struct loop_watch *watch;
	uint16_t idx;
};

/* Control thread only. */
struct virtio_vdpa {
	struct virtio_device vdev;
	struct vdpa_device *lower; /* NULL: gone */
	struct news *news;
	char name[VDPA_NAME_MAX];

	/* since find_vqs() */
	struct kick *kicks; /* one a queue */
	unsigned int n_kicks;
};

static struct virtio_vdpa *of(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_vdpa, vdev);
}

/* ---- news ---- */

static void tell(void *priv)
{
	struct news *news = priv;

	if (news->v) {
		virtio_config_changed(&news->v->vdev);
	} else {
		free(news);
	}
}

static int make_news(struct virtio_vdpa *v)
{
	v->news = calloc(1, sizeof(*v->news));
	if (!v->news) {
		return err(-ENOMEM, "%s: out of memory", v->name);
	}
	v->news->work.fn = tell;
	v->news->work.priv = v->news;
	v->news->v = v;
	return 0;
}

/* Nobody sends any more; some may be under way. */
static void drop_news(struct news *news)
{
	if (__atomic_load_n(&news->work.is_queued, __ATOMIC_ACQUIRE)) {
		news->v = NULL;
	} else {
		free(news);
	}
}

static void ops_wake(struct virtio_device *vdev)
{
	struct virtio_vdpa *v = of(vdev);

	loop_call(vdev->control, &v->news->work);
}

static void config_callback(void *priv)
{
	ops_wake(priv);
}

/* ---- config space, status, features ---- */

static void ops_get(struct virtio_device *vdev, uint32_t offset, void *buf,
		    uint32_t len)
{
	struct vdpa_device *lower = of(vdev)->lower;

	if (lower) {
		/* What has shrunk just now reads as zeroes. */
		(void)vdpa_get_config(lower, offset, buf, len);
	}
}

static void ops_set(struct virtio_device *vdev, uint32_t offset,
		    const void *buf, uint32_t len)
{
	struct vdpa_device *lower = of(vdev)->lower;

	if (lower) {
		(void)vdpa_set_config(lower, offset, buf, len); /* as above */
	}
}

static uint32_t ops_get_config_size(struct virtio_device *vdev)
{
	struct vdpa_device *lower = of(vdev)->lower;
	size_t size = lower ? vdpa_get_config_size(lower) : 0;

	return (uint32_t)min_of(size, (size_t)UINT32_MAX);
}

static uint32_t ops_generation(struct virtio_device *vdev)
{
	struct vdpa_device *lower = of(vdev)->lower;

	return lower ? vdpa_get_generation(lower) : 0;
}

static uint8_t ops_get_status(struct virtio_device *vdev)
{
	struct vdpa_device *lower = of(vdev)->lower;

	return lower ? vdpa_get_status(lower) : 0;
}

static void ops_set_status(struct virtio_device *vdev, uint8_t status)
{
	struct vdpa_device *lower = of(vdev)->lower;

	if (lower) {
		/* Who asks reads it again. */
		(void)vdpa_set_status(lower, status);
	}
}

static int ops_reset(struct virtio_device *vdev)
{
	struct virtio_vdpa *v = of(vdev);

	if (!v->lower) {
		return err(-ENODEV, "%s: the device is gone", v->name);
	}
	return vdpa_reset(v->lower, 0);
}

static uint64_t ops_get_features(struct virtio_device *vdev)
{
	struct vdpa_device *lower = of(vdev)->lower;

	return lower ? vdpa_get_device_features(lower) &
			       ~BIT_ULL(F_NOTIFICATION_DATA)
		     : 0;
}

static int ops_finalize_features(struct virtio_device *vdev, uint64_t features)
{
	struct virtio_vdpa *v = of(vdev);

	if (!v->lower) {
		return err(-ENODEV, "%s: the device is gone", v->name);
	}
	return vdpa_set_driver_features(v->lower, features);
}

/* ---- queues ---- */

static uint16_t ops_get_vq_num_max(struct virtio_device *vdev, uint16_t idx)
{
	struct vdpa_device *lower = of(vdev)->lower;

	(void)idx; /* one size for all */
	return lower ? vdpa_get_vq_num_max(lower) : 0;
}

static uint16_t ops_get_vq_num_min(struct virtio_device *vdev)
{
	struct vdpa_device *lower = of(vdev)->lower;

	return lower ? vdpa_get_vq_num_min(lower) : 0;
}

static uint32_t ops_get_n_vqs(struct virtio_device *vdev)
{
	struct vdpa_device *lower = of(vdev)->lower;

	return lower ? lower->nvqs : 0;
}

static void signal_call(void *priv)
{
	const struct virtqueue *vq = priv;

	(void)eventfd_write(vq->call_fd, 1); /* full is as good */
}

static void kicked(void *priv, unsigned int events)
{
	const struct kick *kick = priv;

	(void)events; /* LOOP_IN, the only one */
	if (kick->v->lower) {
		(void)vdpa_kick_vq(kick->v->lower,
				   kick->idx); /* idx is right */
	}
}

static int set_kick(struct virtio_vdpa *v, struct kick *kick,
		    const struct virtqueue *vq)
{
	int ret = vdpa_set_vq_kick_fd(v->lower, vq->idx, vq->kick_fd);

	if (ret != -EOPNOTSUPP) {
		return ret;
	}
	kick->v = v;
	kick->idx = vq->idx;
	return loop_watch_new(v->vdev.control, vq->kick_fd, LOOP_IN | LOOP_EDGE,
			      kicked, kick, &kick->watch);
}

static int set_up_vq(struct virtio_vdpa *v, struct kick *kick,
		     struct virtqueue *vq)
{
	const struct vdpa_callback call = {
		.callback = signal_call,
		.priv = vq,
		.trigger_fd = vq->call_fd,
		.is_trusted = true, /* it is ours */
	};
	const bool wrap = has_bit(v->vdev.features, VIRTIO_F_RING_PACKED);
	const struct vdpa_vq_state first = { .avail_wrap = wrap,
					     .used_wrap = wrap };
	int ret = vdpa_set_vq_cb(v->lower, vq->idx, &call);

	if (ret == 0) {
		ret = set_kick(v, kick, vq);
	}
	if (ret == 0) {
		ret = vdpa_set_vq_num(v->lower, vq->idx, vq->num);
	}
	if (ret == 0) {
		ret = vdpa_set_vq_address(v->lower, vq->idx, vq->desc_area,
					  vq->driver_area, vq->device_area);
	}
	if (ret == 0) {
		ret = vdpa_set_vq_state(v->lower, vq->idx, &first);
	}
	if (ret == 0) {
		ret = vdpa_set_vq_ready(v->lower, vq->idx, true);
	}
	return ret;
}

/* What the device was lent is ours again. */
static void take_back(struct virtio_vdpa *v, uint16_t idx)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	(void)vdpa_set_vq_ready(v->lower, idx, false); /* idx is right */
	(void)vdpa_set_vq_kick_fd(v->lower, idx, -1); /* may lack it */
	(void)vdpa_set_vq_cb(v->lower, idx, &none);
}

static void take_back_all(struct virtio_vdpa *v)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	for (unsigned int i = 0; i < v->n_kicks; i++) {
		(void)loop_watch_free(v->kicks[i].watch);
		if (v->lower) {
			take_back(v, v->kicks[i].idx);
		}
	}
	if (v->lower) {
		(void)vdpa_set_config_cb(v->lower, &none); /* cannot fail */
	}
	free(v->kicks);
	v->kicks = NULL;
	v->n_kicks = 0;
}

static int check_vq(struct virtio_vdpa *v, const struct virtqueue *vq)
{
	if (vdpa_get_vq_ready(v->lower, vq->idx)) {
		return err(-ENOENT,
			   "%s.vq%u: the device says that it runs already",
			   v->name, vq->idx);
	}
	return 0;
}

static int ops_find_vqs(struct virtio_device *vdev,
			struct virtqueue *const *vqs, unsigned int n)
{
	struct virtio_vdpa *v = of(vdev);
	const struct vdpa_callback config = { config_callback, vdev, -1,
					      false };
	int ret = 0;

	if (!v->lower) {
		return err(-ENODEV, "%s: the device is gone", v->name);
	}
	v->kicks = calloc(max_of(n, 1U), sizeof(*v->kicks));
	if (!v->kicks) {
		return err(-ENOMEM, "%s: out of memory", v->name);
	}
	for (unsigned int i = 0; ret == 0 && i < n; i++) {
		v->kicks[i].idx = vqs[i]->idx;
		v->n_kicks = i + 1;
		ret = check_vq(v, vqs[i]);
		if (ret == 0) {
			ret = set_up_vq(v, &v->kicks[i], vqs[i]);
		}
	}
	if (ret < 0) {
		take_back_all(v);
		return ret;
	}
	return vdpa_set_config_cb(v->lower, &config);
}

static void ops_del_vqs(struct virtio_device *vdev)
{
	take_back_all(of(vdev));
}

/* ---- memory ---- */

/* Return: 0; -errno of the first that failed */
static int unmap_from(struct vdpa_device *lower, uint32_t n_as, uint64_t iova,
		      uint64_t size_bytes)
{
	int ret = 0;

	for (uint32_t i = 0; i < n_as; i++) {
		int r = vdpa_unmap(lower, i, iova, iova + (size_bytes - 1));

		if (r < 0 && ret == 0) {
			ret = r;
		}
	}
	return ret;
}

static void unmap_all(struct vdpa_device *lower)
{
	for (uint32_t i = 0; i < lower->nas; i++) {
		vdpa_reset_map(lower, i);
	}
}

static int ops_map(struct virtio_device *vdev, uint64_t iova,
		   struct region *region)
{
	struct virtio_vdpa *v = of(vdev);
	uint64_t size = region_size(region), offset;
	int ret = 0;

	if (!v->lower) {
		return err(-ENODEV, "%s: the device is gone", v->name);
	}
	if (v->vdev.has_peer && region_file_fd(region, &offset) < 0) {
		return err(-EOPNOTSUPP,
			   "%s: it is in another process, which cannot reach "
			   "private memory: use memory with a file, or "
			   "vdpakit_mem_alloc()",
			   v->name);
	}
	for (uint32_t i = 0; i < v->lower->nas; i++) {
		ret = vdpa_map(v->lower, i, iova, iova + (size - 1), region, 0,
			       MEM_PERM_RW);
		if (ret < 0) {
			/* What stays goes with ops_put(). */
			(void)unmap_from(v->lower, i, iova, size);
			break;
		}
	}
	return ret;
}

static int ops_unmap(struct virtio_device *vdev, uint64_t iova,
		     uint64_t size_bytes)
{
	struct vdpa_device *lower = of(vdev)->lower;

	return lower ? unmap_from(lower, lower->nas, iova, size_bytes) : 0;
}

static void ops_get_iova_range(struct virtio_device *vdev, uint64_t *ret_first,
			       uint64_t *ret_last)
{
	struct vdpa_device *lower = of(vdev)->lower;
	struct vdpa_iova_range range = { 0, UINT64_MAX };

	if (lower) {
		vdpa_get_iova_range(lower, &range);
	}
	*ret_first = range.first;
	*ret_last = range.last;
}

/* ---- probe, remove ---- */

static void virtio_vdpa_free(struct virtio_vdpa *v)
{
	if (v) {
		if (v->news) {
			drop_news(v->news);
		}
		free(v);
	}
}

static void ops_put(struct virtio_device *vdev)
{
	struct virtio_vdpa *v = of(vdev);

	if (v->lower) {
		unmap_all(v->lower);
	} else {
		virtio_vdpa_free(v);
	}
}

static const struct virtio_config_ops config_ops = {
	.get = ops_get,
	.set = ops_set,
	.get_config_size = ops_get_config_size,
	.generation = ops_generation,
	.get_status = ops_get_status,
	.set_status = ops_set_status,
	.reset = ops_reset,
	.get_features = ops_get_features,
	.finalize_features = ops_finalize_features,
	.find_vqs = ops_find_vqs,
	.del_vqs = ops_del_vqs,
	.get_vq_num_max = ops_get_vq_num_max,
	.get_vq_num_min = ops_get_vq_num_min,
	.get_n_vqs = ops_get_n_vqs,
	.wake = ops_wake,
	.put = ops_put,
	.map = ops_map,
	.unmap = ops_unmap,
	.get_iova_range = ops_get_iova_range,
};

static int virtio_vdpa_probe(struct vdpa_driver *drv, struct vdpa_device *vdev,
			     const struct vdpa_param *params,
			     unsigned int n_params)
{
	uint32_t id = vdpa_get_device_id(vdev);
	struct virtio_vdpa *v;
	int ret;

	if (n_params > 0) {
		return err(-EINVAL, "virtio_vdpa takes no '%s'", params[0].key);
	}
	if (id == 0) {
		return err(-ENODEV, "%s: virtio has no device of kind 0",
			   vdev->name);
	}
	v = calloc(1, sizeof(*v));
	if (!v) {
		return err(-ENOMEM, "%s: out of memory", vdev->name);
	}
	(void)snprintf(v->name, sizeof(v->name), "%s", vdev->name);
	ret = make_news(v);
	if (ret < 0) {
		virtio_vdpa_free(v);
		return ret;
	}
	v->lower = vdev;
	v->vdev = (struct virtio_device){
		.name = v->name,
		.config = &config_ops,
		.device_id = id,
		.vendor_id = vdpa_get_vendor_id(vdev),
		.control = vdpa_bus_control(drv->bus),
		.has_peer = vdev->has_peer,
	};
	vdev->driver_priv = v;
	return 0;
}

static bool virtio_vdpa_is_busy(struct vdpa_device *vdev)
{
	const struct virtio_vdpa *v = vdev->driver_priv;

	return v->vdev.is_taken;
}

/* From a driver that still has it. */
static void take_away(struct virtio_vdpa *v)
{
	int ret;

	virtio_gone(&v->vdev);
	ret = vdpa_reset(v->lower, 0);
	if (ret < 0) {
		log_warn(v->name, "ignoring that its reset failed: %s",
			 err_text(ret));
	}
	take_back_all(v);
	unmap_all(v->lower);
}

/* Nobody is waited for, so it makes no difference whether by force. */
static void virtio_vdpa_remove(struct vdpa_device *vdev, bool force)
{
	struct virtio_vdpa *v = vdev->driver_priv;

	(void)force;
	if (v->vdev.is_taken) {
		take_away(v);
	}
	/* The driver may have put it while the device was waited for. */
	v->lower = NULL;
	if (!v->vdev.is_taken) {
		virtio_vdpa_free(v);
	}
	vdpa_removed(vdev);
}

static void virtio_vdpa_describe(struct vdpa_device *vdev, char *buf,
				 size_t size)
{
	const struct virtio_vdpa *v = vdev->driver_priv;

	(void)snprintf(buf, size, "%s",
		       v->vdev.is_taken ? "in use" : "not in use");
}

int virtio_vdpa_register(struct vdpa_bus *bus, struct vdpa_driver **ret)
{
	struct vdpa_driver *drv = calloc(1, sizeof(*drv));
	int r;

	if (!drv) {
		return err(-ENOMEM, "virtio_vdpa: out of memory");
	}
	*drv = (struct vdpa_driver){
		.name = "virtio_vdpa",
		.probe = virtio_vdpa_probe,
		.is_busy = virtio_vdpa_is_busy,
		.remove = virtio_vdpa_remove,
		.describe = virtio_vdpa_describe,
	};
	r = vdpa_driver_register(bus, drv);
	if (r < 0) {
		free(drv);
		return r;
	}
	*ret = drv;
	return 0;
}

void virtio_vdpa_unregister(struct vdpa_driver *drv)
{
	vdpa_driver_unregister(drv);
	free(drv);
}

/* ---- for who has drivers ---- */

struct virtio_device *virtio_vdpa_get(struct vdpa_device *vdev)
{
	struct virtio_vdpa *v = vdev->driver_priv;

	if (!vdev->driver || vdev->driver->probe != virtio_vdpa_probe ||
	    vdev->is_removing) {
		return NULL;
	}
	return &v->vdev;
}

static void run_job(struct vdpa_turn *turn)
{
	struct virtio_vdpa_job *job =
		container_of(turn, struct virtio_vdpa_job, turn);

	job->done(job->priv, job->fn(job->priv));
}

void virtio_vdpa_run(struct virtio_device *vdev, struct virtio_vdpa_job *job)
{
	struct vdpa_device *lower = of(vdev)->lower;

	job->turn.fn = run_job;
	if (lower) {
		vdpa_turn_start(lower, &job->turn);
	} else {
		run_job(&job->turn);
	}
}
