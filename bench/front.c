/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest vhost-user front end.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "front.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "bench.h"
#include "uapi/vhost_user.h"

#define PAGE_BYTES 4096

/* One request with at most one descriptor. */
static void request(struct front *f, uint32_t id, const void *payload,
		    uint32_t size, int fd)
{
	struct vhost_user_header header = {
		.request = id,
		.flags = VHOST_USER_VERSION,
		.size = size,
	};
	struct iovec iov[] = {
		{ &header, sizeof(header) },
		{ (void *)payload, size },
	};
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	bench_must(sendmsg(f->sock, &msg, 0) ==
		   (ssize_t)(sizeof(header) + size));
}

static void reply(struct front *f, uint32_t id, void *payload, uint32_t size)
{
	struct vhost_user_header header;

	bench_must(recv(f->sock, &header, sizeof(header), MSG_WAITALL) ==
		   sizeof(header));
	bench_must(header.request == id && header.size == size);
	bench_must(recv(f->sock, payload, size, MSG_WAITALL) == (ssize_t)size);
}

static uint64_t get_u64(struct front *f, uint32_t id)
{
	uint64_t v;

	request(f, id, NULL, 0, -1);
	reply(f, id, &v, sizeof(v));
	return v;
}

static void set_u64(struct front *f, uint32_t id, uint64_t v, int fd)
{
	request(f, id, &v, sizeof(v), fd);
}

static void set_state(struct front *f, uint32_t id, uint32_t idx, uint32_t num)
{
	const struct vhost_vring_state state = { .index = idx, .num = num };

	request(f, id, &state, sizeof(state), -1);
}

static void share_memory(struct front *f)
{
	struct vhost_user_mem_table table = { .n_regions = 1 };
	int fd = memfd_create("bench", MFD_CLOEXEC);

	bench_must(fd >= 0 && ftruncate(fd, (off_t)f->mem_bytes) == 0);
	f->mem = mmap(NULL, f->mem_bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, fd, 0);
	bench_must(f->mem != MAP_FAILED);
	table.regions[0] = (struct vhost_user_region){
		.size = f->mem_bytes,
		.user_addr = (uintptr_t)f->mem,
	};
	request(f, VHOST_USER_SET_MEM_TABLE, &table,
		offsetof(struct vhost_user_mem_table, regions[1]), fd);
	(void)close(fd); /* a memfd of ours */
}

void front_connect(struct front *f, const char *path, uint64_t wanted,
		   size_t mem_bytes)
{
	const uint64_t protocol = BIT_ULL(VHOST_USER_PROTOCOL_F_MQ) |
				  BIT_ULL(VHOST_USER_PROTOCOL_F_CONFIG);
	const uint64_t protocol_bit = BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	*f = (struct front){ .mem_bytes = mem_bytes };
	bench_must(strlen(path) < sizeof(addr.sun_path));
	strcpy(addr.sun_path, path);
	f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bench_must(f->sock >= 0);
	bench_must(connect(f->sock, (struct sockaddr *)&addr, sizeof(addr)) ==
		   0);
	f->features = get_u64(f, VHOST_USER_GET_FEATURES) &
		      (wanted | BIT_ULL(VIRTIO_F_VERSION_1) | protocol_bit);
	bench_must(f->features & protocol_bit);
	set_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES,
		get_u64(f, VHOST_USER_GET_PROTOCOL_FEATURES) & protocol, -1);
	request(f, VHOST_USER_SET_OWNER, NULL, 0, -1);
	set_u64(f, VHOST_USER_SET_FEATURES, f->features, -1);
	share_memory(f);
}

void *front_alloc(struct front *f, size_t size)
{
	char *va = f->mem + f->n_mem;

	f->n_mem += align_up(size, PAGE_BYTES);
	bench_must(f->n_mem <= f->mem_bytes);
	return va;
}

/* The ring's descriptors and index are as after a reset. */
static void set_ring(struct front *f, uint32_t idx, uint16_t num)
{
	struct vq_layout layout;
	struct vhost_vring_addr addr = { .index = idx };
	char *ring;

	vq_layout(num, f->features, &layout);
	ring = front_alloc(f, layout.size_bytes);
	bench_must(vq_driver_new(num, f->features, ring, front_gpa(f, ring),
				 &f->queues[idx].drv) == 0);
	addr.desc_user_addr = (uintptr_t)ring + layout.desc_area;
	addr.avail_user_addr = (uintptr_t)ring + layout.driver_area;
	addr.used_user_addr = (uintptr_t)ring + layout.device_area;
	set_state(f, VHOST_USER_SET_VRING_NUM, idx, num);
	set_state(f, VHOST_USER_SET_VRING_BASE, idx,
		  has_bit(f->features, VIRTIO_F_RING_PACKED) ? 0x80008000 : 0);
	request(f, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
}

struct front_queue *front_start_queue(struct front *f, uint16_t num)
{
	uint32_t idx = f->n_queues++;
	struct front_queue *q = &f->queues[idx];

	bench_must(idx < FRONT_QUEUES_MAX);
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bench_must(q->kick_fd >= 0 && q->call_fd >= 0);
	set_ring(f, idx, num);
	set_u64(f, VHOST_USER_SET_VRING_CALL, idx, q->call_fd);
	set_u64(f, VHOST_USER_SET_VRING_KICK, idx, q->kick_fd);
	set_state(f, VHOST_USER_SET_VRING_ENABLE, idx, 1);
	/* Some back ends start a ring at its first kick only. */
	bench_must(eventfd_write(q->kick_fd, 1) == 0);
	vq_driver_disable_call(q->drv);
	return q;
}

void front_publish(struct front_queue *q)
{
	if (vq_driver_publish(q->drv)) {
		bench_must(eventfd_write(q->kick_fd, 1) == 0);
	}
}

void front_wait(struct front_queue *q)
{
	struct pollfd p = { .fd = q->call_fd, .events = POLLIN };
	eventfd_t n;

	if (!vq_driver_enable_call(q->drv)) {
		bench_must(poll(&p, 1, 10000) == 1);
		bench_must(eventfd_read(q->call_fd, &n) == 0);
	}
	vq_driver_disable_call(q->drv);
}

void front_close(struct front *f)
{
	(void)close(f->sock); /* the back end sees it */
	for (unsigned int i = 0; i < f->n_queues; i++) {
		vq_driver_free(f->queues[i].drv);
		(void)close(f->queues[i].kick_fd); /* eventfds */
		(void)close(f->queues[i].call_fd);
	}
	(void)munmap(f->mem, f->mem_bytes); /* our own mapping */
}
