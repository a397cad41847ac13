/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: address spaces. set_map() hands over the whole table, which is kept
 * for the process to look into; it is told to look (UPDATE_IOTLB) and asks for
 * what it needs (IOTLB_GET_FD): the very files that are the client's memory.
 *
 * Memory that has no file cannot be shown to a process. It is left out, without
 * a word to either side, as in the kernel; the user is told.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "dev/remote/vduse_internal.h"

int vduse_mem_init(struct vduse_dev *dev)
{
	if (!dev->maps) {
		dev->maps = calloc(dev->nas, sizeof(struct iotlb_snap *));
	}
	return dev->maps ? 0 : -ENOMEM;
}

static void drop_map(struct vduse_dev *dev, uint32_t asid)
{
	if (dev->maps[asid]) {
		(void)iotlb_snap_unref(dev->maps[asid]);
		dev->maps[asid] = NULL;
	}
}

void vduse_mem_clear(struct vduse_dev *dev)
{
	for (uint32_t i = 0; dev->maps && i < dev->nas; i++) {
		drop_map(dev, i);
	}
}

void vduse_mem_fini(struct vduse_dev *dev)
{
	vduse_mem_clear(dev);
	free(dev->maps);
	dev->maps = NULL;
}

/* ---- what the client maps ---- */

/* Read-only memory is a machine's firmware, which no request needs. */
static void count_hidden(struct vduse_dev *dev, const struct iotlb_snap *map)
{
	const struct iotlb_entry *e = iotlb_first(map, 0);
	uint64_t offset, n = 0;

	while (e) {
		n += (e->perm & MEM_PERM_WO) &&
		     region_file_fd(e->region, &offset) < 0;
		e = e->last == UINT64_MAX ? NULL
					  : iotlb_first(map, e->last + 1);
	}
	dev->stats.n_hidden_maps = n;
	if (n > 0 && !dev->has_warned) {
		dev->has_warned = true;
		log_warn(dev->name,
			 "ignoring memory of the client that it cannot share "
			 "with the device's process: give it memory with a "
			 "file (QEMU: memory-backend-memfd, share=on)");
	}
}

static int tell_of_map(struct vduse_dev *dev, uint32_t asid)
{
	struct vduse_msg msg = { .req.type = VDUSE_REQUEST_UPDATE_IOTLB };

	msg.req.iova.start = 0;
	msg.req.iova.last = UINT64_MAX;
	if (dev->version >= VDUSE_API_V1) {
		msg.req.iova.asid = asid;
	}
	return vduse_msg_sync(dev, &msg);
}

int vduse_set_map(struct vdpa_device *vdev, unsigned int asid,
		  struct iotlb_snap *map)
{
	struct vduse_dev *dev = vduse_dev_of(vdev);
	int r;

	drop_map(dev, asid);
	if (vdev->is_dropping_maps) {
		return 0; /* the kernel's process is not told either */
	}
	dev->maps[asid] = iotlb_snap_ref(map);
	count_hidden(dev, map);
	r = tell_of_map(dev, asid);
	if (r < 0) {
		drop_map(dev, asid);
	}
	return r;
}

/* ---- what the process sees of it ---- */

/* The first entry in [@start, @last] that has a file. */
static const struct iotlb_entry *find_entry(const struct vduse_dev *dev,
					    uint32_t asid, uint64_t start,
					    uint64_t last, int *ret_fd,
					    uint64_t *ret_offset)
{
	const struct iotlb_entry *e;

	if (!dev->maps || asid >= dev->nas || !dev->maps[asid]) {
		return NULL;
	}
	e = iotlb_first(dev->maps[asid], start);
	while (e && e->start <= last) {
		*ret_fd = region_file_fd(e->region, ret_offset);
		if (*ret_fd >= 0) {
			*ret_offset += e->offset;
			return e;
		}
		if (e->last == UINT64_MAX) {
			break;
		}
		e = iotlb_first(dev->maps[asid], e->last + 1);
	}
	return NULL;
}

/* @size: of the struct that the process has: the older one is the newer one's
 * head. */
static int64_t get_fd(struct vduse_dev *dev, struct cdev_call *call,
		      uint64_t arg, struct vduse_iotlb_entry_as *entry,
		      size_t size)
{
	const struct iotlb_entry *e;
	uint64_t offset;
	int fd;

	if (entry->start > entry->last) {
		return -EINVAL;
	}
	e = find_entry(dev, entry->asid, entry->start, entry->last, &fd,
		       &offset);
	if (!e) {
		return -EINVAL;
	}
	entry->offset = offset;
	entry->start = e->start;
	entry->last = e->last;
	entry->perm = (uint8_t)e->perm;
	if (cdev_copy_to(call, arg, entry, size) < 0) {
		return -EFAULT;
	}
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : cdev_put_fd(call, fd);
}

int64_t vduse_iotlb_get_fd(struct vduse_dev *dev, struct cdev_call *call,
			   uint64_t arg)
{
	struct vduse_iotlb_entry_as entry = { 0 };
	size_t size = sizeof(struct vduse_iotlb_entry);

	return cdev_copy_from(call, &entry, arg, size) < 0
		       ? -EFAULT
		       : get_fd(dev, call, arg, &entry, size);
}

int64_t vduse_iotlb_get_fd2(struct vduse_dev *dev, struct cdev_call *call,
			    uint64_t arg)
{
	struct vduse_iotlb_entry_as entry;

	if (dev->version < VDUSE_API_V1) {
		return -ENOTTY;
	}
	if (cdev_copy_from(call, &entry, arg, sizeof(entry)) < 0) {
		return -EFAULT;
	}
	for (size_t i = 0; i < ARRAY_SIZE(entry.padding); i++) {
		if (entry.padding[i] != 0) {
			return -EINVAL;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(entry.reserved); i++) {
		if (entry.reserved[i] != 0) {
			return -EINVAL;
		}
	}
	return get_fd(dev, call, arg, &entry, sizeof(entry));
}

static bool is_zero(const uint32_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (words[i] != 0) {
			return false;
		}
	}
	return true;
}

int64_t vduse_iotlb_get_info(struct vduse_dev *dev, struct cdev_call *call,
			     uint64_t arg)
{
	struct vduse_iova_info_as info;
	const struct iotlb_entry *e;
	uint64_t offset;
	int fd;

	if (cdev_copy_from(call, &info, arg, sizeof(info)) < 0) {
		return -EFAULT;
	}
	if (info.start > info.last) {
		return -EINVAL;
	}
	/* EFAULT is what the kernel says here, from 7.0 on. */
	if (!is_zero(info.reserved, ARRAY_SIZE(info.reserved)) ||
	    info.asid >= dev->nas) {
		return -EFAULT;
	}
	e = find_entry(dev, info.asid, info.start, info.last, &fd, &offset);
	if (!e) {
		return -EINVAL;
	}
	info.start = e->start;
	info.last = e->last;
	info.capability = 0; /* none of it is a bounce buffer */
	return cdev_copy_to(call, arg, &info, sizeof(info));
}

/* ---- the process's own memory, for bounce buffers only ---- */

static int read_umem(struct vduse_dev *dev, struct cdev_call *call,
		     uint64_t arg)
{
	struct vduse_iova_umem_as umem;

	if (cdev_copy_from(call, &umem, arg, sizeof(umem)) < 0) {
		return -EFAULT;
	}
	return is_zero(umem.reserved, ARRAY_SIZE(umem.reserved)) &&
			       umem.asid < dev->nas
		       ? 0
		       : -EINVAL;
}

int64_t vduse_iotlb_reg_umem(struct vduse_dev *dev, struct cdev_call *call,
			     uint64_t arg)
{
	int r = read_umem(dev, call, arg);

	return r < 0 ? r : -EINVAL; /* there is no bounce buffer */
}

int64_t vduse_iotlb_dereg_umem(struct vduse_dev *dev, struct cdev_call *call,
			       uint64_t arg)
{
	int r = read_umem(dev, call, arg);

	return r < 0 ? r : -ENOENT; /* so none was registered */
}
