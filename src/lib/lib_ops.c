/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that programs write from scratch: their ops on the bus.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <vdpakit/ops.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lib_internal.h"

_Static_assert(VDPAKIT_MAP_READ == MEM_PERM_RO, "one number");
_Static_assert(VDPAKIT_MAP_WRITE == MEM_PERM_WO, "one number");

struct ops_device {
	struct vdpa_device vdev;
	void *priv;
};

static struct ops_device *ops_device_of(struct vdpa_device *vdev)
{
	return container_of(vdev, struct ops_device, vdev);
}

/* ---- life; control thread ---- */

void lib_ops_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev)
{
	struct ops_device *d = ops_device_of(vdev);

	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	if (vdev->ops->free) {
		vdev->ops->free(vdev);
	}
	free(d);
}

struct ops_call {
	struct lib_call call;
	struct ops_device *d;
};

static void put_on_bus(struct lib_call *call)
{
	struct ops_call *c = container_of(call, struct ops_call, call);
	struct vdpakit *kit = call->kit;

	lib_call_end(call,
		     vdpa_device_register(instance_bus(kit->instance),
					  &kit->ops_mgmtdev, &c->d->vdev));
}

static int new_device(struct vdpakit *kit, const char *name,
		      const struct vdpa_config_ops *ops,
		      const struct vdpakit_ops_options *options)
{
	struct ops_call c = { .call.fn = put_on_bus };
	struct vdpakit_ops_options o;
	int r = lib_take_options(&o, sizeof(o), options);

	if (r < 0) {
		return r;
	}
	if (!name || !ops || strlen(name) >= VDPA_NAME_MAX) {
		return err(-EINVAL,
			   "ops and a name of up to %u bytes are "
			   "needed",
			   VDPA_NAME_MAX - 1);
	}
	if (o.n_queues == 0) {
		return err(-EINVAL, "n_queues is 0");
	}
	c.d = calloc(1, sizeof(*c.d));
	if (!c.d) {
		return err(-ENOMEM, "out of memory");
	}
	(void)snprintf(c.d->vdev.name, sizeof(c.d->vdev.name), "%s", name);
	c.d->vdev.ops = ops;
	c.d->vdev.nvqs = o.n_queues;
	c.d->vdev.ngroups = max_of(o.n_groups, 1U);
	c.d->vdev.nas = max_of(o.n_address_spaces, 1U);
	c.d->priv = o.priv;
	r = lib_call(kit, &c.call);
	if (r < 0) {
		free(c.d);
	}
	return r;
}

int vdpakit_ops_new(struct vdpakit *kit, const char *name,
		    const struct vdpa_config_ops *ops,
		    const struct vdpakit_ops_options *options)
{
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = new_device(kit, name, ops, options);
	return lib_leave(kit, __func__, r);
}

void *vdpakit_ops_priv(const struct vdpa_device *vdev)
{
	return container_of(vdev, const struct ops_device, vdev)->priv;
}

const char *vdpakit_ops_name(const struct vdpa_device *vdev)
{
	return vdev->name;
}

/* ---- memory ---- */

struct iotlb_snap *vdpakit_map_ref(struct iotlb_snap *map)
{
	return iotlb_snap_ref(map);
}

void vdpakit_map_unref(struct iotlb_snap *map)
{
	if (map) {
		(void)iotlb_snap_unref(map);
	}
}

int vdpakit_map_find(const struct iotlb_snap *map, uint64_t iova, uint64_t len,
		     uint32_t perm, struct iovec *ret, unsigned int max)
{
	unsigned int n = 0;

	while (len > 0) {
		const struct iotlb_entry *e = iotlb_find(map, iova);
		char *va = e ? region_va(e->region) : NULL;
		uint64_t here;

		if (!va || (e->perm & perm) != perm) {
			return -EFAULT;
		}
		if (n == max) {
			return -E2BIG;
		}
		/* last may be the end of all addresses: nothing wraps */
		here = e->last - iova < len ? e->last - iova + 1 : len;
		ret[n].iov_base = va + e->offset + (iova - e->start);
		ret[n++].iov_len = here;
		len -= here;
		iova += here;
		if (len > 0 && iova == 0) {
			return -EFAULT; /* beyond them */
		}
	}
	return (int)n;
}

int vdpakit_map_read(const struct iotlb_snap *map, uint64_t iova, void *buf,
		     size_t len)
{
	return mem_read(map, iova, buf, len);
}

int vdpakit_map_write(const struct iotlb_snap *map, uint64_t iova,
		      const void *buf, size_t len)
{
	return mem_write(map, iova, buf, len);
}
