/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the vfio-user bus driver, and the PCI function behind it: the input is
 * what a client does, and the guest behind that.
 *
 * Theory of operation
 *
 * A whole bus lives in one thread, on simulated loops: a RAM disk on a socket,
 * and the client that the input plays. Each action is a byte with operands
 * behind it: a command that makes sense, a write to a register of the driver's,
 * a command made of the input's bytes with any descriptors, bytes that are no
 * command, bytes in the guest's memory, a whole request in a ring, the end of the
 * connection.
 *
 * In the end the client is gone: the next one must be served, no descriptor and
 * no mapping may be left.
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
#include <linux/virtio_pci.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unix.h"
#include "busdrv/vfio_user.h"
#include "dev/blk/vdpasim_blk.h"
#include "fuzz.h"
#include "loop/loop.h"
#include "mem/region.h"
#include "uapi/vfio_user.h"

#define GPA	  0x100000ULL
#define MEM_BYTES 0x10000U
#define NUM	  8
#define MAX_STEPS 300
#define RUN_NS	  (3 * 1000000ULL)
#define NOTIFY_AT 0x3000
#define CONFIG	  VFIO_PCI_CONFIG_REGION_INDEX

struct input {
	const uint8_t *data;
	size_t len;
};

/* Descriptors that commands may carry. */
enum fd_kind {
	FD_MEMORY,
	FD_EVENT,
	FD_UNMASK,
	FD_PIPE,
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
	int fds[FD_N];
	int pipe_end; /* the other one */
	int fd; /* the connection; -1: none */
	uint16_t id;
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

static uint32_t take_le(struct input *in, unsigned int len)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < len; i++) {
		value |= (uint32_t)take8(in) << 8 * i;
	}
	return value;
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
	char buf[4096];

	while (f->fd >= 0 && recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
	}
}

static void do_connect(struct fuzz *f)
{
	f->fd = close_fd(f->fd);
	run(f);
	f->fd = unix_connect(f->path, SOCK_STREAM);
	must(f->fd >= 0);
}

static void send_bytes(struct fuzz *f, const void *data, size_t len,
		       const int *fds, unsigned int n_fds)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct fd_msg m = { .iov = &iov, .n_iov = 1, .n_fds = n_fds };
	ssize_t n;

	memcpy(m.fds, fds, n_fds * sizeof(int));
	n = fd_send(f->fd, &m, MSG_DONTWAIT);
	if (n < 0 && n != -EAGAIN) {
		do_connect(f); /* we were cut off */
	}
}

static void send_msg(struct fuzz *f, uint16_t command, uint32_t flags,
		     const void *payload, uint32_t size, const int *fds,
		     unsigned int n_fds)
{
	struct {
		struct vfio_user_header hdr;
		uint8_t payload[512];
	} msg = { .hdr = { f->id++, command, (uint32_t)sizeof(msg.hdr) + size,
			   flags, 0 } };

	must(size <= sizeof(msg.payload));
	memcpy(msg.payload, payload, size);
	send_bytes(f, &msg, msg.hdr.size, fds, n_fds);
}

/* ---- commands that make sense ---- */

static void do_version(struct fuzz *f)
{
	static const char v[] =
		"\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8}}";

	send_msg(f, VFIO_USER_VERSION, 0, v, sizeof(v), NULL, 0);
}

static void do_map(struct fuzz *f)
{
	uint8_t how = take8(&f->in);
	const struct vfio_user_dma_map m = { sizeof(m), how & 3U, 0,
					     GPA * (1U + (how >> 4)),
					     MEM_BYTES };

	send_msg(f, VFIO_USER_DMA_MAP, 0, &m, sizeof(m), &f->fds[FD_MEMORY],
		 !(how & 4));
}

static void do_unmap(struct fuzz *f)
{
	uint8_t how = take8(&f->in);
	const struct vfio_user_dma_unmap m = { sizeof(m), how & 2U,
					       GPA * (how >> 4),
					       MEM_BYTES * (how & 1) };

	send_msg(f, VFIO_USER_DMA_UNMAP, 0, &m, sizeof(m), NULL, 0);
}

static void do_irqs(struct fuzz *f)
{
	uint8_t how = take8(&f->in);
	const struct vfio_user_irq_set s = {
		.argsz = sizeof(s),
		.flags = take8(&f->in) & 63U,
		.index = how & 3U,
		.start = how >> 2 & 3U,
		.count = how >> 4 & 3U,
	};
	const int fds[3] = { f->fds[FD_EVENT], f->fds[FD_UNMASK],
			     f->fds[FD_EVENT] };

	send_msg(f, VFIO_USER_DEVICE_SET_IRQS, 0, &s, sizeof(s), fds,
		 how & 128 ? s.count : 0);
}

static void access_region(struct fuzz *f, uint32_t region, uint64_t at,
			  const void *data, uint32_t len, bool is_write)
{
	struct {
		struct vfio_user_region_access a;
		uint8_t data[64];
	} m = { .a = { at, region, len } };

	memcpy(m.data, data, is_write ? len : 0);
	send_msg(f, is_write ? VFIO_USER_REGION_WRITE : VFIO_USER_REGION_READ,
		 0, &m, (uint32_t)sizeof(m.a) + (is_write ? len : 0), NULL, 0);
}

static void write_common(struct fuzz *f, uint32_t at, uint32_t value,
			 uint32_t len)
{
	access_region(f, 0, at, &value, len, true);
}

static void do_register(struct fuzz *f)
{
	static const struct {
		uint8_t at, len;
	} fields[] = {
		{ VIRTIO_PCI_COMMON_GFSELECT, 4 },
		{ VIRTIO_PCI_COMMON_GF, 4 },
		{ VIRTIO_PCI_COMMON_MSIX, 2 },
		{ VIRTIO_PCI_COMMON_STATUS, 1 },
		{ VIRTIO_PCI_COMMON_Q_SELECT, 2 },
		{ VIRTIO_PCI_COMMON_Q_SIZE, 2 },
		{ VIRTIO_PCI_COMMON_Q_MSIX, 2 },
		{ VIRTIO_PCI_COMMON_Q_ENABLE, 2 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 4 },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, 4 },
		{ VIRTIO_PCI_COMMON_Q_RESET, 2 },
	};
	size_t i = take8(&f->in) % ARRAY_SIZE(fields);

	write_common(f, fields[i].at, take_le(&f->in, fields[i].len),
		     fields[i].len);
}

/* What drivers do up to DRIVER_OK. */
static void do_start(struct fuzz *f)
{
	uint8_t how = take8(&f->in);

	write_common(f, VIRTIO_PCI_COMMON_STATUS, 3, 1);
	write_common(f, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	write_common(f, VIRTIO_PCI_COMMON_GF, how & 1 ? 7 : 3, 4);
	write_common(f, VIRTIO_PCI_COMMON_STATUS, 11, 1);
	write_common(f, VIRTIO_PCI_COMMON_Q_SIZE, NUM, 2);
	write_common(f, VIRTIO_PCI_COMMON_Q_MSIX, how >> 1 & 3, 2);
	write_common(f, VIRTIO_PCI_COMMON_Q_DESCLO, GPA, 4);
	write_common(f, VIRTIO_PCI_COMMON_Q_AVAILLO, GPA + 0x200, 4);
	write_common(f, VIRTIO_PCI_COMMON_Q_USEDLO, GPA + 0x400, 4);
	write_common(f, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	write_common(f, VIRTIO_PCI_COMMON_STATUS, 15, 1);
}

static void do_access(struct fuzz *f)
{
	static const uint32_t regions[] = { 0, 1, CONFIG, CONFIG };
	uint8_t how = take8(&f->in);
	uint32_t at = take_le(&f->in, 2), len = how >> 3 & 15U;
	uint8_t data[16];

	take_bytes(&f->in, data, how & 4 ? len : 0);
	access_region(f, regions[how & 3], how & 2 ? at & 0xff : at, data, len,
		      how & 4);
}

static void do_ask(struct fuzz *f)
{
	uint8_t how = take8(&f->in);
	const uint32_t words[8] = { how & 128 ? 4096 : 16, 0, how & 15U };
	static const struct {
		uint8_t command, size;
	} asks[] = {
		{ VFIO_USER_DEVICE_GET_INFO, 16 },
		{ VFIO_USER_DEVICE_GET_REGION_INFO, 32 },
		{ VFIO_USER_DEVICE_GET_IRQ_INFO, 16 },
		{ VFIO_USER_DEVICE_GET_REGION_IO_FDS, 16 },
		{ VFIO_USER_DEVICE_RESET, 0 },
	};
	size_t i = (how >> 4 & 7U) % ARRAY_SIZE(asks);

	send_msg(f, asks[i].command, 0, words, asks[i].size, NULL, 0);
}

static void do_many(struct fuzz *f)
{
	struct {
		uint64_t n;
		struct vfio_user_write_one w[4];
	} m = { take8(&f->in) % 5U };

	for (size_t i = 0; i < m.n; i++) {
		m.w[i].offset = take8(&f->in) & 63U;
		m.w[i].count = take8(&f->in) & 7U;
		take_bytes(&f->in, m.w[i].data, m.w[i].count);
	}
	send_msg(f, VFIO_USER_REGION_WRITE_MULTI, VFIO_USER_NO_REPLY, &m,
		 (uint32_t)(8 + m.n * sizeof(m.w[0])), NULL, 0);
}

/* ---- the rest ---- */

static void do_any_message(struct fuzz *f)
{
	uint16_t command = take8(&f->in);
	uint32_t flags = take8(&f->in);
	uint32_t size = take8(&f->in);
	unsigned int n_fds = flags >> 5;
	uint8_t payload[256];
	int fds[FD_PASS_MAX];

	take_bytes(&f->in, payload, size);
	for (unsigned int i = 0; i < n_fds; i++) {
		fds[i] = f->fds[take8(&f->in) % FD_N];
	}
	send_msg(f, command, flags & 0x1f, payload, size, fds, n_fds);
}

static void do_raw(struct fuzz *f)
{
	uint8_t buf[256];
	size_t len = 1U + take8(&f->in);

	take_bytes(&f->in, buf, len);
	send_bytes(f, buf, len, NULL, 0);
}

static void do_store(struct fuzz *f)
{
	size_t offset = take_le(&f->in, 2) % MEM_BYTES;
	size_t len = take8(&f->in) % 33;

	take_bytes(&f->in, f->mem + offset, min_of(len, MEM_BYTES - offset));
}

/* A whole request of three descriptors in the split ring. */
static void do_request(struct fuzz *f)
{
	const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} descs[3] = {
		{ GPA + 0x1000, 16, 1, 1 },
		{ GPA + 0x2000, 512, 3, 2 },
		{ GPA + 0x3000, 1, 2, 0 },
	};
	uint16_t *avail = (uint16_t *)(void *)(f->mem + 0x200);
	const uint16_t zero = 0;

	memcpy(f->mem, descs, sizeof(descs));
	memset(f->mem + 0x1000, 0, 16);
	f->mem[0x1000] = (char)(take8(&f->in) % 16);
	avail[2 + avail[1] % NUM] = 0;
	avail[1]++;
	access_region(f, 0, NOTIFY_AT, &zero, 2, true);
}

static void (*const actions[])(struct fuzz *f) = {
	do_version,  do_map,	  do_unmap,   do_irqs,	      do_register,
	do_register, do_register, do_start,   do_start,	      do_access,
	do_access,   do_ask,	  do_many,    do_any_message, do_raw,
	do_store,    do_request,  do_request, do_connect,
};

static void step(struct fuzz *f)
{
	size_t i = take8(&f->in) % (ARRAY_SIZE(actions) + 2);

	if (i < ARRAY_SIZE(actions)) {
		actions[i](f);
	} else {
		run(f);
		drain(f);
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
	f->fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->fds[FD_UNMASK] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0);
	f->fds[FD_PIPE] = pair[1];
	f->pipe_end = pair[0];
	must(ftruncate(f->fds[FD_MEMORY], MEM_BYTES) == 0);
	f->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		      f->fds[FD_MEMORY], 0);
	must(f->mem != MAP_FAILED);
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
	must(vfio_user_register(f->bus, NULL, &f->drv) == 0);
	must(vdpa_dev_add(f->bus, NULL, "vdpasim_blk", "b0", &config) == 0);
	must(vdpa_dev_bind(f->bus, "b0", "vfio_user", &param, 1) == 0);
}

static void fuzz_fini(struct fuzz *f)
{
	vfio_user_unregister(f->drv);
	vdpasim_blk_unregister(f->blk);
	vdpa_bus_free(f->bus);
	loop_free(f->worker);
	loop_free(f->control);
	sim_free(f->sim);
	(void)munmap(f->mem, MEM_BYTES);
	for (unsigned int i = 0; i < FD_N; i++) {
		(void)close_fd(f->fds[i]);
	}
	(void)close_fd(f->pipe_end);
	(void)close_fd(f->fd);
}

/* The next client is served, whatever the last one did. */
static void check_alive(struct fuzz *f)
{
	struct {
		struct vfio_user_header hdr;
		struct vfio_user_region_access a;
		uint16_t vendor;
	} reply = { 0 };

	do_connect(f);
	do_version(f);
	run(f);
	drain(f);
	access_region(f, CONFIG, 0, NULL, 2, false);
	run(f);
	must(recv(f->fd, &reply, sizeof(reply), MSG_DONTWAIT) == 34);
	must(reply.hdr.flags == VFIO_USER_REPLY && reply.vendor == 0x1af4);
}

static const char *folder(void)
{
	static char path[] = "/tmp/fuzz-vfio-user-XXXXXX";
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
	for (unsigned int i = 0; i < MAX_STEPS && f.in.len > 0; i++) {
		step(&f);
	}
	run(&f);
	check_alive(&f);
	region_get_stats(&stats);
	must(stats.n_regions[REGION_MAPPED] == 0);
	fuzz_fini(&f);
	must(next_fd() == before);
	return 0;
}
