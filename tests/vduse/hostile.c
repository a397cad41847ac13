/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile NAME HOW: a process that makes a disk by VDUSE, and does to whoever
 * uses it what no good process would.
 *
 *   silent   reads requests and never replies
 *   refuse   replies to each that it failed
 *   die      agrees to resets and dies of the first other status, unanswered
 *   garbage  writes and asks for everything but a good reply, for ever
 *
 * Says "up" when the device is there, and "asked" at the first request.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vduse.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#define SECTORS	      2048
#define N_QUEUES      2
#define GARBAGE_BYTES 4096

static int dev;
static uint64_t seed = 88172645463325252ull;

static uint64_t random_word(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void make(const char *name)
{
	struct virtio_blk_config space = { .capacity = SECTORS };
	struct vduse_vq_config vq = { .max_size = 256 };
	struct vduse_dev_config *config;
	char path[300];
	int control = open("/dev/vduse/control", O_RDWR | O_CLOEXEC);

	config = calloc(1, sizeof(*config) + sizeof(space));
	if (control < 0 || !config)
		err(2, "/dev/vduse/control");
	(void)snprintf(config->name, sizeof(config->name), "%s", name);
	config->device_id = VIRTIO_ID_BLOCK;
	config->features = 1ull << VIRTIO_F_VERSION_1 |
			   1ull << VIRTIO_F_ACCESS_PLATFORM;
	config->vq_num = N_QUEUES;
	config->vq_align = 4096;
	config->config_size = sizeof(space);
	memcpy(config->config, &space, sizeof(space));
	if (ioctl(control, VDUSE_CREATE_DEV, config))
		err(2, "create %s", name);
	free(config);
	(void)close(control);
	(void)snprintf(path, sizeof(path), "/dev/vduse/%s", name);
	dev = open(path, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		err(2, "%s", path);
	for (vq.index = 0; vq.index < N_QUEUES; vq.index++) {
		if (ioctl(dev, VDUSE_VQ_SETUP, &vq))
			err(2, "queue %u", vq.index);
	}
}

static void reply(const struct vduse_dev_request *req, uint32_t result)
{
	struct vduse_dev_response resp = { .request_id = req->request_id,
					   .result = result };

	/* It may have been withdrawn: nothing to do about that. */
	if (write(dev, &resp, sizeof(resp)) < 0)
		warn("reply %u", req->request_id);
}

static void do_silent(const struct vduse_dev_request *req)
{
	(void)req;
}

static void do_refuse(const struct vduse_dev_request *req)
{
	reply(req, VDUSE_REQ_RESULT_FAILED);
}

static void do_die(const struct vduse_dev_request *req)
{
	if (req->type == VDUSE_SET_STATUS && req->s.status != 0)
		(void)raise(SIGKILL);
	reply(req, VDUSE_REQ_RESULT_OK);
}

/* Not one of these is a reply: the reserved words are not 0, the id is nobody's,
 * or the length is wrong. */
static void write_garbage(const struct vduse_dev_request *req)
{
	static uint64_t bytes[GARBAGE_BYTES / 8];
	struct vduse_dev_response resp = { .request_id = req->request_id };

	for (size_t i = 0; i < GARBAGE_BYTES / 8; i++)
		bytes[i] = random_word() | 1;
	resp.reserved[random_word() % 4] = 1;
	if (write(dev, bytes, random_word() % GARBAGE_BYTES) > 0 ||
	    write(dev, &resp, sizeof(resp)) > 0 ||
	    write(dev, &resp, random_word() % 8) > 0)
		errx(3, "garbage was taken for a reply");
	resp = (struct vduse_dev_response){ .request_id = ~req->request_id };
	if (write(dev, &resp, sizeof(resp)) > 0)
		errx(3, "nobody's reply was taken");
}

static void ask_garbage(void)
{
	uint64_t arg[64];
	unsigned nr = (unsigned)random_word() % 0x20 + 0x10;
	unsigned size = (unsigned)random_word() % 128;
	unsigned dir = (unsigned)random_word() % 4;
	int fd;

	for (size_t i = 0; i < 64; i++)
		arg[i] = random_word() >> random_word() % 64;
	fd = ioctl(dev, _IOC(dir, VDUSE_BASE, nr, size), arg);
	(void)ioctl(dev, VDUSE_IOTLB_GET_FD, NULL);
	(void)ioctl(dev, VDUSE_VQ_SETUP_KICKFD, (void *)(uintptr_t)arg[0]);
	if (fd > 2)
		(void)close(fd);
	fd = ioctl(dev, VDUSE_IOTLB_GET_FD, arg);
	if (fd > 2)
		(void)close(fd);
}

static void do_garbage(const struct vduse_dev_request *req)
{
	struct pollfd more = { .fd = dev, .events = POLLIN };

	while (poll(&more, 1, 0) == 0) {
		write_garbage(req);
		ask_garbage();
	}
}

static const struct {
	const char *name;
	void (*fn)(const struct vduse_dev_request *req);
} ways[] = {
	{ "silent", do_silent },
	{ "refuse", do_refuse },
	{ "die", do_die },
	{ "garbage", do_garbage },
};

int main(int argc, char **argv)
{
	struct vduse_dev_request req;
	struct pollfd pfd = { .events = POLLIN };
	size_t way = 0;
	int n_asked = 0;

	while (argc == 3 && way < 4 && strcmp(argv[2], ways[way].name) != 0)
		way++;
	if (argc != 3 || way == 4)
		errx(2, "usage: hostile NAME silent|refuse|die|garbage");
	make(argv[1]);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)puts("up");
	pfd.fd = dev;
	while (poll(&pfd, 1, -1) >= 0) {
		if (read(dev, &req, sizeof(req)) != sizeof(req))
			continue;
		if (n_asked++ == 0)
			(void)puts("asked");
		ways[way].fn(&req);
	}
	err(2, "poll");
}
