/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the vhost-user bus driver: the input is what a front end does.
 *
 * Theory of operation
 *
 * A whole bus lives in one thread, on simulated loops: a RAM disk on a socket,
 * and the front end that the input plays. Each action is a byte with operands
 * behind it: a message that makes sense, one made of the input's bytes with any
 * descriptors, bytes that are no message, bytes in the guest's memory or in
 * the logs, a kick, an answer on the back-end channel, the end of the
 * connection. Addresses that messages need are constants, so that inputs mean
 * the same in every process.
 *
 * In the end the front end is gone: the next one must be served, no descriptor
 * and no mapping may be left.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unix.h"
#include "busdrv/vhost_user.h"
#include "dev/blk/vdpasim_blk.h"
#include "fuzz.h"
#include "loop/loop.h"
#include "uapi/vhost_user.h"

#define GPA	  0x100000ULL
#define UADDR	  0x7f0000000000ULL
#define MEM_BYTES 0x10000U
#define LOG_BYTES 0x1000U
#define NUM	  8
#define MAX_STEPS 300
#define RUN_NS	  (3 * 1000000ULL)

struct input {
	const uint8_t *data;
	size_t len;
};

/* Descriptors that messages may carry. */
enum fd_kind {
	FD_MEMORY,
	FD_LOG,
	FD_KICK,
	FD_CALL,
	FD_PIPE,
	FD_CHANNEL,
	FD_N,
};

struct fuzz {
	struct input in;
	struct sim *sim;
	struct loop *control, *worker;
	struct vdpa_bus *bus;
	struct vdpa_driver *drv;
	struct vdpa_mgmtdev *blk;
	char path[64];
	char *mem;
	char *log;
	int fds[FD_N];
	int pipe_end; /* the other ends */
	int channel;
	int fd; /* the connection; -1: none */
	uint64_t protocol; /* features that are offered */
};

static void must(bool is_so)
{
	if (!is_so) {
		abort();
	}
}

static uint8_t take8(struct input *in)
{
	if (in->len == 0) {
		return 0;
	}
	in->len--;
	return *in->data++;
}

static uint16_t take16(struct input *in)
{
	uint8_t low = take8(in);

	return (uint16_t)(low | take8(in) << 8);
}

static void take_bytes(struct input *in, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		((uint8_t *)buf)[i] = take8(in);
	}
}

/* ---- the connection ---- */

static void run(struct fuzz *f)
{
	must(sim_run(f->sim, RUN_NS, NULL, NULL) == 0);
}

/* Replies are thrown away, and their descriptors: nobody asks for them. */
static void drain(struct fuzz *f)
{
	char buf[2048];

	while (f->fd >= 0 && recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
	}
	while (recv(f->channel, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
	}
}

static void do_connect(struct fuzz *f)
{
	f->fd = close_fd(f->fd);
	run(f);
	f->fd = unix_connect(f->path, SOCK_STREAM);
	must(f->fd >= 0);
}

static void send_bytes(struct fuzz *f, void *data, size_t len, const int *fds,
		       unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(9 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *cm = &control.align;

		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, n_fds * sizeof(int));
	}
	if (sendmsg(f->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	    errno != EAGAIN) {
		do_connect(f); /* we were cut off */
	}
}

static void send_msg(struct fuzz *f, uint32_t request, uint32_t flags,
		     const union vhost_user_payload *payload, uint32_t size,
		     const int *fds, unsigned int n_fds)
{
	struct {
		struct vhost_user_header hdr;
		union vhost_user_payload payload;
	} __attribute__((packed))
	msg = { { request, VHOST_USER_VERSION | flags, size }, *payload };

	send_bytes(f, &msg, sizeof(msg.hdr) + size, fds, n_fds);
}

/* ---- messages that make sense ---- */

#define P union vhost_user_payload

static const struct recipe {
	uint8_t request;
	uint8_t size;
	int8_t fd; /* -1: none */
	P payload;
} recipes[] = {
#define R(name, ...)                           \
	{                                      \
		VHOST_USER_##name, __VA_ARGS__ \
	}
	R(GET_FEATURES, 0, -1, { 0 }),
	R(SET_FEATURES, 8, -1,
	  { BIT_ULL(VIRTIO_F_VERSION_1) |
	    BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES) }),
	R(SET_FEATURES, 8, -1,
	  { BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_RING_PACKED) }),
	R(SET_FEATURES, 8, -1,
	  { BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |
	    BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES) }),
	R(SET_FEATURES, 8, -1,
	  { BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VHOST_USER_LOG_ALL_BIT) |
	    BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES) }),
	R(GET_PROTOCOL_FEATURES, 0, -1, { 0 }),
	R(SET_OWNER, 0, -1, { 0 }),
	R(SET_MEM_TABLE, 40, FD_MEMORY,
	  { .table = { 1, 0, { { GPA, MEM_BYTES, UADDR, 0 } } } }),
	R(ADD_MEM_REG, 40, FD_MEMORY,
	  { .reg = { 0, { 2 * GPA, MEM_BYTES, 2 * UADDR, 0 } } }),
	R(REM_MEM_REG, 40, -1,
	  { .reg = { 0, { 2 * GPA, MEM_BYTES, 2 * UADDR, 0 } } }),
	R(SET_LOG_BASE, 16, FD_LOG, { .log = { LOG_BYTES, 0 } }),
	R(SET_VRING_NUM, 8, -1, { .state = { 0, NUM } }),
	R(SET_VRING_BASE, 8, -1, { .state = { 0, 0 } }),
	R(SET_VRING_ADDR, 40, -1,
	  { .addr = { 0, 1, UADDR, UADDR + 0x400, UADDR + 0x200, GPA } }),
	R(SET_VRING_ADDR, 40, -1,
	  { .addr = { 0, 0, GPA, GPA + 0x400, GPA + 0x200, 0 } }),
	R(SET_VRING_KICK, 8, FD_KICK, { 0 }),
	R(SET_VRING_KICK, 8, -1, { VHOST_USER_VRING_NOFD }),
	R(SET_VRING_CALL, 8, FD_CALL, { 0 }),
	R(SET_VRING_ENABLE, 8, -1, { .state = { 0, 1 } }),
	R(SET_VRING_ENABLE, 8, -1, { .state = { 0, 0 } }),
	R(GET_VRING_BASE, 8, -1, { .state = { 0, 0 } }),
	R(VRING_KICK, 8, -1, { .state = { 0, 0 } }),
	R(SET_BACKEND_REQ_FD, 0, FD_CHANNEL, { 0 }),
	R(IOTLB_MSG, 32, -1,
	  { .iotlb = { GPA, MEM_BYTES, UADDR, VHOST_ACCESS_RW,
		       VHOST_IOTLB_UPDATE } }),
	R(IOTLB_MSG, 32, -1,
	  { .iotlb = { GPA, MEM_BYTES, 0, 0, VHOST_IOTLB_INVALIDATE } }),
	R(GET_CONFIG, VHOST_USER_CONFIG_HEAD + 60, -1,
	  { .config = { 0, 60, 0, { 0 } } }),
	R(SET_CONFIG, VHOST_USER_CONFIG_HEAD + 1, -1,
	  { .config = { 32, 1, 0, { 1 } } }),
	R(GET_INFLIGHT_FD, 24, -1, { .inflight = { 0, 0, 1, NUM } }),
	R(SET_INFLIGHT_FD, 24, FD_LOG, { .inflight = { 0x200, 0, 1, NUM } }),
	R(RESET_DEVICE, 0, -1, { 0 }),
	R(SET_STATUS, 8, -1, { 0xf }),
	R(SET_STATUS, 8, -1, { 0 }),
	R(SET_DEVICE_STATE_FD, 8, FD_PIPE, { .device_state = { 0, 0 } }),
	R(SET_DEVICE_STATE_FD, 8, FD_PIPE, { .device_state = { 1, 0 } }),
	R(CHECK_DEVICE_STATE, 0, -1, { 0 }),
	R(POSTCOPY_ADVISE, 0, -1, { 0 }),
	R(POSTCOPY_END, 0, -1, { 0 }),
#undef R
};

static void do_recipe(struct fuzz *f)
{
	const struct recipe *r = &recipes[take8(&f->in) % ARRAY_SIZE(recipes)];

	send_msg(f, r->request, take8(&f->in) & 1 ? VHOST_USER_NEED_REPLY : 0,
		 &r->payload, r->size, r->fd >= 0 ? &f->fds[r->fd] : NULL,
		 r->fd >= 0);
}

/* All that is offered; the input may leave some out. */
static void do_protocol(struct fuzz *f)
{
	P p = { .u64 = ~((uint64_t)take8(&f->in) << (take8(&f->in) % 24)) };

	p.u64 &= f->protocol;
	send_msg(f, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &p, 8, NULL, 0);
}

/* ---- the rest ---- */

static void do_any_message(struct fuzz *f)
{
	uint32_t request = take8(&f->in);
	uint32_t flags = take8(&f->in);
	uint32_t size = take8(&f->in);
	unsigned int n_fds = flags >> 4 > 9 ? 0 : flags >> 4;
	int fds[9];
	P p = { 0 };

	take_bytes(&f->in, &p, size);
	for (unsigned int i = 0; i < n_fds; i++) {
		fds[i] = f->fds[take8(&f->in) % FD_N];
	}
	send_msg(f, request, flags & 0xc, &p, size, fds, n_fds);
}

static void do_raw(struct fuzz *f)
{
	uint8_t buf[256];
	size_t len = 1U + take8(&f->in);

	take_bytes(&f->in, buf, len);
	send_bytes(f, buf, len, NULL, 0);
}

static void do_store(struct fuzz *f, char *to, size_t size)
{
	size_t offset = take16(&f->in) % size;
	size_t len = take8(&f->in) % 33;

	take_bytes(&f->in, to + offset,
		   len < size - offset ? len : size - offset);
}

/* A whole request of two descriptors in the split ring. */
static void do_request(struct fuzz *f)
{
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} descs[3] = {
		{ GPA + 0x1000, 16, 1, 1 },
		{ GPA + 0x2000, 512, 3, 2 },
		{ GPA + 0x3000, 1, 2, 0 },
	};
	uint16_t *avail = (uint16_t *)(void *)(f->mem + 0x200);

	memcpy(f->mem, descs, sizeof(descs));
	memset(f->mem + 0x1000, 0, 16);
	f->mem[0x1000] = (char)(take8(&f->in) % 16);
	avail[2 + avail[1] % NUM] = 0;
	avail[1]++;
	(void)eventfd_write(f->fds[FD_KICK], 1);
}

static void do_answer(struct fuzz *f)
{
	uint8_t buf[32];

	take_bytes(&f->in, buf, sizeof(buf));
	(void)send(f->channel, buf, 1U + buf[0] % 32,
		   MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void step(struct fuzz *f)
{
	switch (take8(&f->in) % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		do_recipe(f);
		break;
	case 5:
		do_protocol(f);
		break;
	case 6:
	case 7:
		do_any_message(f);
		break;
	case 8:
		do_raw(f);
		break;
	case 9:
		do_store(f, f->mem, MEM_BYTES);
		break;
	case 10:
		do_store(f, f->log, LOG_BYTES);
		break;
	case 11:
		do_request(f);
		break;
	case 12:
		(void)eventfd_write(f->fds[FD_KICK], 1);
		break;
	case 13:
		do_answer(f);
		break;
	case 14:
		do_connect(f);
		break;
	default:
		run(f);
		drain(f);
		break;
	}
}

/* ---- life ---- */

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static void make_fds(struct fuzz *f)
{
	int pair[2];

	f->fds[FD_MEMORY] = memfd_create("memory", MFD_CLOEXEC);
	f->fds[FD_LOG] = memfd_create("log", MFD_CLOEXEC);
	f->fds[FD_KICK] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->fds[FD_CALL] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0);
	f->fds[FD_PIPE] = pair[1];
	f->pipe_end = pair[0];
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	f->fds[FD_CHANNEL] = pair[1];
	f->channel = pair[0];
	must(ftruncate(f->fds[FD_MEMORY], MEM_BYTES) == 0);
	must(ftruncate(f->fds[FD_LOG], LOG_BYTES) == 0);
	f->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		      f->fds[FD_MEMORY], 0);
	f->log = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		      f->fds[FD_LOG], 0);
	must(f->mem != MAP_FAILED && f->log != MAP_FAILED);
}

static void make_bus(struct fuzz *f, const char *folder)
{
	const struct sim_options options = {
		.seed = 1,
		.delay_permille = 100,
		.max_delay_ns = 10000,
	};
	const struct vdpa_dev_config config = { .is_admin = true };
	struct vdpa_param param = { .key = "path" };

	(void)snprintf(f->path, sizeof(f->path), "%s/s", folder);
	(void)snprintf(param.value, sizeof(param.value), "%s", f->path);
	must(sim_new(&options, &f->sim) == 0);
	must(sim_loop_new(f->sim, "control", &f->control) == 0);
	must(sim_loop_new(f->sim, "worker", &f->worker) == 0);
	must(vdpa_bus_new(f->control, &f->worker, 1, &f->bus) == 0);
	must(vdpasim_blk_register(f->bus, &f->blk) == 0);
	must(vhost_user_register(f->bus, NULL, &f->drv) == 0);
	must(vdpa_dev_add(f->bus, NULL, "vdpasim_blk", "b0", &config) == 0);
	must(vdpa_dev_bind(f->bus, "b0", "vhost_user", &param, 1) == 0);
}

static void fuzz_fini(struct fuzz *f)
{
	vhost_user_unregister(f->drv);
	vdpasim_blk_unregister(f->blk);
	vdpa_bus_free(f->bus);
	loop_free(f->worker);
	loop_free(f->control);
	sim_free(f->sim);
	(void)munmap(f->mem, MEM_BYTES);
	(void)munmap(f->log, LOG_BYTES);
	for (unsigned int i = 0; i < FD_N; i++) {
		(void)close_fd(f->fds[i]);
	}
	(void)close_fd(f->pipe_end);
	(void)close_fd(f->channel);
	(void)close_fd(f->fd);
}

/* The next front end is served, whatever the last one did. */
static uint64_t ask(struct fuzz *f, uint32_t request)
{
	struct {
		struct vhost_user_header hdr;
		uint64_t u64;
	} __attribute__((packed)) reply = { 0 };
	P none = { 0 };

	send_msg(f, request, 0, &none, 0, NULL, 0);
	run(f);
	must(recv(f->fd, &reply, sizeof(reply), MSG_DONTWAIT) == sizeof(reply));
	must(reply.hdr.request == request);
	return reply.u64;
}

static const char *folder(void)
{
	static char path[] = "/tmp/fuzz-vhost-user-XXXXXX";
	static bool is_made;

	if (!is_made) {
		must(mkdtemp(path) != NULL);
		is_made = true;
	}
	return path;
}

static void remove_folder(void)
{
	(void)rmdir(folder());
}

static void init_once(void)
{
	static bool is_done;

	if (!is_done) {
		log_set_sink(drop_line, LOG_LEVEL_ERR);
		(void)folder();
		(void)atexit(remove_folder);
		is_done = true;
	}
}

/* The lowest descriptor that is free. */
static int next_fd(void)
{
	int fd = dup(STDERR_FILENO);

	(void)close_fd(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .in = { data, size }, .fd = -1 };
	struct region_stats stats;
	int before;

	init_once();
	before = next_fd();
	make_fds(&f);
	make_bus(&f, folder());
	do_connect(&f);
	f.protocol = ask(&f, VHOST_USER_GET_PROTOCOL_FEATURES);
	for (unsigned int i = 0; i < MAX_STEPS && f.in.len > 0; i++) {
		step(&f);
	}
	run(&f);
	do_connect(&f);
	must(ask(&f, VHOST_USER_GET_FEATURES) & BIT_ULL(VIRTIO_F_VERSION_1));
	region_get_stats(&stats);
	must(stats.n_regions[REGION_MAPPED] == 0);
	fuzz_fini(&f);
	must(next_fd() == before);
	return 0;
}
