/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse_blk NAME: a RAM disk as a process, by VDUSE. `vdpa dev add name NAME
 * mgmtdev vduse` then gives it to a driver.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "vduse_queue.h"

static char disk[16 << 20];
static struct queue queue;

/* A header, data and a byte of status, each in descriptors of its own. */
static __u32 request(__u16 head)
{
	struct vring_desc d = queue.ring.desc[head];
	struct virtio_blk_outhdr hdr = { .sector = -1 };
	int is_ok = d.len == sizeof(hdr) && queue_copy(&queue, d, &hdr) &&
		    hdr.type <= VIRTIO_BLK_T_OUT &&
		    hdr.sector < sizeof(disk) / 512;
	char status, *at = disk + (is_ok ? hdr.sector * 512 : 0);
	__u32 written = 0, n;

	for (n = 1; d.flags & VRING_DESC_F_NEXT && n < queue.ring.num; n++) {
		d = queue.ring.desc[d.next % queue.ring.num];
		written += d.flags & VRING_DESC_F_WRITE ? d.len : 0;
		if (!(d.flags & VRING_DESC_F_NEXT))
			break;
		is_ok = is_ok && d.len <= disk + sizeof(disk) - at &&
			queue_copy(&queue, d, at);
		at += is_ok ? d.len : 0;
	}
	status = is_ok ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	if (d.flags & VRING_DESC_F_WRITE && d.len == sizeof(status))
		queue_copy(&queue, d, &status);
	return written;
}

/* Answers a request of the kernel's: all is well. */
static void answer(void)
{
	struct vduse_dev_request req;
	struct vduse_dev_response resp = { 0 };

	if (read(queue.dev, &req, sizeof(req)) != sizeof(req))
		err(1, "read");
	if (req.type == VDUSE_SET_STATUS)
		queue_switch(&queue, 0,
			     req.s.status & VIRTIO_CONFIG_S_DRIVER_OK);
	resp.request_id = req.request_id;
	resp.vq_state.split.avail_index = queue.next;
	if (write(queue.dev, &resp, sizeof(resp)) != sizeof(resp))
		err(1, "write");
}

int main(int argc, char **argv)
{
	static struct vduse_dev_config config = {
		.features = 1ULL << VIRTIO_F_VERSION_1 |
			    1ULL << VIRTIO_F_ACCESS_PLATFORM,
		.device_id = 2,
		.vq_num = 1,
		.vq_align = 4096,
		.config_size = 60,
		.config = { [1] = sizeof(disk) >> 17, [59] = 0 } /* sectors */
	};
	struct vduse_vq_config vq = { .max_size = 256 };
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	char path[280];
	eventfd_t kicks;
	__u16 head;

	snprintf(config.name, sizeof(config.name), "%s", argv[argc - 1]);
	snprintf(path, sizeof(path), "/dev/vduse/%s", config.name);
	if (ioctl(open("/dev/vduse/control", O_RDWR), VDUSE_CREATE_DEV,
		  &config) ||
	    (fds[0].fd = queue.dev = open(path, O_RDWR)) < 0 ||
	    ioctl(queue.dev, VDUSE_VQ_SETUP, &vq))
		err(1, "%s", path);
	fds[1].fd = queue.kick = eventfd(0, EFD_NONBLOCK);
	printf("%s is there\n", path);
	fflush(stdout);
	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			answer();
		eventfd_read(queue.kick, &kicks);
		while (queue_pop(&queue, &head))
			queue_push(&queue, 0, head, request(head));
	}
	return 1;
}
