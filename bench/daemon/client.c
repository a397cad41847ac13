/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of a vhost-vdpa node that brings its device to DRIVER_OK and then
 * does nothing: what daemon.sh measures idle devices with.
 *
 * usage: client NODE...
 *
 * Each node gets its memory mapped, all its queues set up and enabled. Prints
 * "ready" and waits until its standard input ends.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "uapi/compat.h"
#include "vq/vq_driver.h"

#define MEM_BYTES  (1U << 20)
#define MEM_IOVA   0x100000ULL
#define NUM	   64
#define RING_BYTES 16384

static void set_status(int fd, uint8_t status)
{
	bench_must(ioctl(fd, VHOST_VDPA_SET_STATUS, &status) == 0);
}

static void map(int fd, void *mem)
{
	const struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = {
			.iova = MEM_IOVA,
			.size = MEM_BYTES,
			.uaddr = (uintptr_t)mem,
			.perm = VHOST_ACCESS_RW,
			.type = VHOST_IOTLB_UPDATE,
		},
	};

	bench_must(write(fd, &msg, sizeof(msg)) == sizeof(msg));
}

static void set_up_queue(int fd, unsigned int idx, uint64_t features)
{
	uint64_t ring = MEM_IOVA + idx * RING_BYTES;
	struct vhost_vring_state num = { .index = idx, .num = NUM };
	struct vhost_vring_state enable = { .index = idx, .num = 1 };
	struct vhost_vring_file kick = { .index = idx };
	struct vhost_vring_file call = { .index = idx };
	struct vhost_vring_addr addr = { .index = idx };
	struct vq_layout at;

	vq_layout(NUM, features, &at);
	bench_must(at.size_bytes <= RING_BYTES);
	addr.desc_user_addr = ring + at.desc_area;
	addr.avail_user_addr = ring + at.driver_area;
	addr.used_user_addr = ring + at.device_area;
	kick.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	call.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bench_must(kick.fd >= 0 && call.fd >= 0);
	bench_must(ioctl(fd, VHOST_SET_VRING_NUM, &num) == 0);
	bench_must(ioctl(fd, VHOST_SET_VRING_ADDR, &addr) == 0);
	bench_must(ioctl(fd, VHOST_SET_VRING_KICK, &kick) == 0);
	bench_must(ioctl(fd, VHOST_SET_VRING_CALL, &call) == 0);
	bench_must(ioctl(fd, VHOST_VDPA_SET_VRING_ENABLE, &enable) == 0);
}

/* Shared memory with a file behind it, as a VMM's. */
static void *make_mem(void)
{
	int fd = memfd_create("client", MFD_CLOEXEC);
	void *mem;

	bench_must(fd >= 0);
	bench_must(ftruncate(fd, MEM_BYTES) == 0);
	mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	bench_must(mem != MAP_FAILED);
	return mem;
}

static void drive(const char *path)
{
	uint64_t features = BIT_ULL(VIRTIO_F_VERSION_1) |
			    BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint32_t n_queues;

	bench_must(fd >= 0);
	bench_must(ioctl(fd, VHOST_SET_OWNER) == 0);
	map(fd, make_mem());
	set_status(fd, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	bench_must(ioctl(fd, VHOST_SET_FEATURES, &features) == 0);
	set_status(fd, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			       VIRTIO_CONFIG_S_FEATURES_OK);
	bench_must(ioctl(fd, VHOST_VDPA_GET_VQS_COUNT, &n_queues) == 0);
	for (unsigned int i = 0; i < n_queues; i++) {
		set_up_queue(fd, i, features);
	}
	set_status(fd, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			       VIRTIO_CONFIG_S_FEATURES_OK |
			       VIRTIO_CONFIG_S_DRIVER_OK);
}

int main(int argc, char **argv)
{
	char byte;

	for (int i = 1; i < argc; i++) {
		drive(argv[i]);
	}
	puts("ready");
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0) {
	}
	return 0;
}
