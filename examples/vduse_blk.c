/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse_blk NAME: a RAM disk as a process, by VDUSE
 *
 * `vdpa dev add name NAME mgmtdev vduse` then gives it to a driver.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vduse.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

_Static_assert(BYTE_ORDER == LITTLE_ENDIAN, "as in rings; else le32toh()...");

static char disk[16 << 20];
static int dev, kick;
static struct vring ring; /* num 0: the driver has not started it */
static __u16 next; /* available buffer; all before it are used */

/* Maps @len bytes, which the driver knows as @iova, to read or to write. */
static void *map(__u64 iova, __u64 len, int prot)
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

/* Copies from the driver's memory to @buf (PROT_READ) or back. */
static int copy(struct vring_desc d, void *buf, int prot)
{
	char *at = map(d.addr, d.len, prot);
	__u64 skip = (__u64)at % 4096;

	if (at && prot == PROT_READ)
		memcpy(buf, at, d.len);
	else if (at)
		memcpy(at, buf, d.len);
	return at && !munmap(at - skip, skip + d.len);
}

/* A header, data and a byte of status, each in descriptors of its own. */
static __u32 request(__u16 head)
{
	struct vring_desc d = ring.desc[head % ring.num];
	struct virtio_blk_outhdr hdr = { .sector = -1 };
	char status, id[VIRTIO_BLK_ID_BYTES] = "vduse_blk", *at = id;
	int is_ok = d.len == sizeof(hdr) && copy(d, &hdr, PROT_READ);
	int prot = hdr.type == VIRTIO_BLK_T_OUT ? PROT_READ : PROT_WRITE;
	__u32 left = sizeof(id), written = 0;

	if (hdr.type != VIRTIO_BLK_T_GET_ID) {
		is_ok = is_ok && hdr.sector < sizeof(disk) / 512;
		at = disk + (is_ok ? hdr.sector * 512 : 0);
		left = disk + sizeof(disk) - at;
	}
	for (__u32 n = 1; d.flags & VRING_DESC_F_NEXT && n < ring.num; n++) {
		d = ring.desc[d.next % ring.num];
		written += d.flags & VRING_DESC_F_WRITE ? d.len : 0;
		if (!(d.flags & VRING_DESC_F_NEXT))
			break;
		is_ok = is_ok && d.len <= left && copy(d, at, prot);
		at += is_ok ? d.len : 0;
		left -= is_ok ? d.len : 0;
	}
	status = is_ok ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	d.len = 1;
	copy(d, &status, PROT_WRITE);
	return written;
}

/* Serves what is available. */
static void serve(void)
{
	while (ring.num &&
	       next != __atomic_load_n(&ring.avail->idx, __ATOMIC_ACQUIRE)) {
		__u16 head = ring.avail->ring[next % ring.num];

		ring.used->ring[next % ring.num].id = head;
		ring.used->ring[next % ring.num].len = request(head);
		__atomic_store_n(&ring.used->idx, ++next, __ATOMIC_RELEASE);
		ioctl(dev, VDUSE_VQ_INJECT_IRQ, &(__u32){ 0 });
	}
}

/* The driver is ready: maps its ring, until this process ends. */
static void start(void)
{
	struct vduse_vq_info vq = { .index = 0 };

	ioctl(dev, VDUSE_VQ_GET_INFO, &vq);
	ioctl(dev, VDUSE_VQ_SETUP_KICKFD,
	      &(struct vduse_vq_eventfd){ .index = 0, .fd = kick });
	next = vq.split.avail_index;
	ring.desc = map(vq.desc_addr, 16 * vq.num, PROT_READ);
	ring.avail = map(vq.driver_addr, 4 + 2 * vq.num, PROT_READ);
	ring.used = map(vq.device_addr, 4 + 8 * vq.num, PROT_WRITE);
	ring.num = ring.desc && ring.avail && ring.used ? vq.num : 0;
}

/* Answers a request of the kernel's: all is well. */
static void answer(void)
{
	struct vduse_dev_request req;
	struct vduse_dev_response resp = { .vq_state.split.avail_index = next };

	if (read(dev, &req, sizeof(req)) != sizeof(req))
		err(1, "read");
	ring.num = req.type == VDUSE_SET_STATUS ? 0 : ring.num;
	if (req.type == VDUSE_SET_STATUS && req.s.status & 4 /* DRIVER_OK */)
		start();
	resp.request_id = req.request_id;
	if (write(dev, &resp, sizeof(resp)) != sizeof(resp))
		err(1, "write");
}

int main(int argc, char **argv)
{
	static struct vduse_dev_config config = {
		.features = 1ULL << VIRTIO_F_VERSION_1 |
			    1ULL << VIRTIO_F_ACCESS_PLATFORM |
			    1ULL << VIRTIO_BLK_F_FLUSH,
		.device_id = 2,
		.vq_num = 1,
		.vq_align = 4096,
		.config_size = 60,
		.config = { [1] = sizeof(disk) >> 17, [59] = 0 } /* sectors */
	};
	struct vduse_vq_config vq = { .max_size = 256 };
	int control = open("/dev/vduse/control", O_RDWR);
	char path[280];
	eventfd_t kicks;

	snprintf(config.name, sizeof(config.name), "%s", argv[argc - 1]);
	snprintf(path, sizeof(path), "/dev/vduse/%s", config.name);
	if (ioctl(control, VDUSE_CREATE_DEV, &config) ||
	    (dev = open(path, O_RDWR)) < 0 || ioctl(dev, VDUSE_VQ_SETUP, &vq))
		err(1, "%s", path);
	kick = eventfd(0, EFD_NONBLOCK);
	printf("%s is there\n", path);
	fflush(stdout);
	for (struct pollfd fds[] = { { dev, POLLIN, 0 }, { kick, POLLIN, 0 } };
	     poll(fds, 2, -1) > 0; serve()) {
		if (fds[0].revents)
			answer();
		eventfd_read(kick, &kicks);
	}
	return 1;
}
