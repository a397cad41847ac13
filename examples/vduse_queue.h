/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What any VDUSE device needs: the driver's memory, and one split virtqueue.
 *
 * For little-endian machines, as rings are. Nothing here trusts the driver: it
 * gets at most what it shows of its own memory.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDUSE_QUEUE_H
#define VDUSE_QUEUE_H

#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vduse.h>
#include <linux/virtio_ring.h>

struct queue {
	int dev; /* of /dev/vduse/NAME */
	int kick; /* an eventfd */
	struct vring ring; /* num 0: the driver has not started it */
	__u16 next; /* available buffer; all before it are used */
};

/* Maps @len bytes, which the driver knows as @iova, to read or to write. */
static inline void *vduse_map(int dev, __u64 iova, __u64 len, int prot)
{
	struct vduse_iotlb_entry e = { .start = iova, .last = iova };
	int fd = ioctl(dev, VDUSE_IOTLB_GET_FD, &e);
	__u64 offset = e.offset + (iova - e.start), skip = offset % 4096;
	char *at = MAP_FAILED;

	/* VDUSE_ACCESS_RO, _WO and _RW are mmap's numbers, too. */
	if (fd >= 0 && len - 1 <= e.last - iova && (e.perm & prot) == prot)
		at = mmap(0, skip + len, prot, MAP_SHARED, fd, offset - skip);
	close(fd);
	return at == MAP_FAILED ? NULL : at + skip;
}

/* @at may be NULL. */
static inline void vduse_unmap(void *at, __u64 len)
{
	__u64 skip = (__u64)at % 4096;

	if (at)
		munmap((char *)at - skip, skip + len);
}

/* Copies one descriptor's bytes to @buf, or @buf to them if the driver lets it
 * be written. Return: it could be done */
static inline int queue_copy(struct queue *q, struct vring_desc d, void *buf)
{
	int is_write = d.flags & VRING_DESC_F_WRITE;
	void *at = vduse_map(q->dev, d.addr, d.len,
			     is_write ? PROT_WRITE : PROT_READ);

	if (at && is_write)
		memcpy(at, buf, d.len);
	else if (at)
		memcpy(buf, at, d.len);
	vduse_unmap(at, d.len);
	return at != NULL;
}

static inline void queue_stop(struct queue *q)
{
	vduse_unmap(q->ring.desc, 16 * q->ring.num);
	vduse_unmap(q->ring.avail, 4 + 2 * q->ring.num);
	vduse_unmap(q->ring.used, 4 + 8 * q->ring.num);
	memset(&q->ring, 0, sizeof(q->ring));
}

/* Off, or on as the driver has set it up: when it says DRIVER_OK. */
static inline void queue_switch(struct queue *q, __u32 index, int is_on)
{
	struct vduse_vq_info vq = { .index = index };
	struct vduse_vq_eventfd kick = { .index = index, .fd = q->kick };

	queue_stop(q);
	if (!is_on || ioctl(q->dev, VDUSE_VQ_GET_INFO, &vq) ||
	    ioctl(q->dev, VDUSE_VQ_SETUP_KICKFD, &kick) || !vq.ready)
		return;
	q->ring.num = vq.num;
	q->next = vq.split.avail_index;
	q->ring.desc = vduse_map(q->dev, vq.desc_addr, 16 * vq.num, PROT_READ);
	q->ring.avail =
		vduse_map(q->dev, vq.driver_addr, 4 + 2 * vq.num, PROT_READ);
	q->ring.used =
		vduse_map(q->dev, vq.device_addr, 4 + 8 * vq.num, PROT_WRITE);
	if (!q->ring.desc || !q->ring.avail || !q->ring.used)
		queue_stop(q);
}

/* Return: is there a buffer? Then *@head is its first descriptor. */
static inline int queue_pop(struct queue *q, __u16 *head)
{
	if (!q->ring.num ||
	    q->next == __atomic_load_n(&q->ring.avail->idx, __ATOMIC_ACQUIRE))
		return 0;
	*head = q->ring.avail->ring[q->next % q->ring.num] % q->ring.num;
	return 1;
}

/* Gives it back with @len bytes written, and tells the driver. */
static inline void queue_push(struct queue *q, __u32 index, __u16 head,
			      __u32 len)
{
	q->ring.used->ring[q->next % q->ring.num].id = head;
	q->ring.used->ring[q->next % q->ring.num].len = len;
	__atomic_store_n(&q->ring.used->idx, ++q->next, __ATOMIC_RELEASE);
	ioctl(q->dev, VDUSE_VQ_INJECT_IRQ, &index);
}

#endif
