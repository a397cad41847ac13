/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the register window, in the layouts of mmio: the input is what a
 * driver does.
 *
 * Theory of operation
 *
 * A whole bus lives in one thread, on simulated loops: a RAM disk behind
 * registers, and the driver that the input plays. The first byte chooses the
 * layout; then each action is a byte with operands behind it: a register, an
 * access of any width anywhere, a start that makes sense, bytes in the driver's
 * memory (its rings are there), memory that comes and goes, time.
 *
 * In the end a driver that knows how must get its features, the memory behind
 * what was mapped is as it was, and nothing is left mapped.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "busdrv/mmio.h"
#include "dev/blk/vdpasim_blk.h"
#include "fuzz.h"
#include "loop/loop.h"

#define GPA	  0x10000ULL
#define MEM_BYTES 0x8000U /* mapped */
#define CANARY	  0x1000U /* behind it */
#define NUM	  8
#define MAX_STEPS 400
#define RUN_NS	  1000000ULL

struct input {
	const uint8_t *data;
	size_t len;
};

struct fuzz {
	struct input in;
	struct sim *sim;
	struct loop *control, *worker;
	struct vdpa_bus *bus;
	struct vdpa_driver *drv;
	struct vdpa_mgmtdev *blk;
	struct vdpa_device *vdev;
	struct mmio *m;
	uint64_t status; /* where the register is */
	char *mem;
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

static uint32_t take32(struct input *in)
{
	uint32_t low = take16(in);

	return low | (uint32_t)take16(in) << 16;
}

/* ---- what a driver does; the disk keeps nobody waiting ---- */

struct known_op {
	struct window_op op;
	bool is_done;
};

static void op_done(struct window_op *op)
{
	container_of(op, struct known_op, op)->is_done = true;
}

static void put(struct fuzz *f, uint64_t offset, unsigned int size,
		uint64_t value)
{
	struct known_op ko = { .op.done = op_done };

	if (!mmio_try_write(f->m, offset, size, value)) {
		mmio_write(f->m, &ko.op, offset, size, value);
		must(ko.is_done);
	}
}

static uint64_t get(struct fuzz *f, uint64_t offset, unsigned int size)
{
	uint64_t value;

	if (!mmio_try_read(f->m, offset, size, &value)) {
		(void)mmio_read(f->m, offset, size, &value);
	}
	return value;
}

static int map(struct fuzz *f, uint64_t offset, uint64_t size, uint32_t perm)
{
	const struct vdpakit_mmio_memory memory = {
		.gpa = GPA + offset,
		.size_bytes = size,
		.va = f->mem + offset,
		.fd = -1,
		.perm = perm,
	};
	struct known_op ko = { .op.done = op_done };

	mmio_map(f->m, &ko.op, &memory);
	must(ko.is_done);
	return ko.op.result;
}

static int unmap(struct fuzz *f, uint64_t gpa, uint64_t size)
{
	struct known_op ko = { .op.done = op_done };

	mmio_unmap(f->m, &ko.op, gpa, size);
	must(ko.is_done);
	return ko.op.result;
}

static void negotiate(struct fuzz *f)
{
	put(f, f->status, 4, 0);
	put(f, f->status, 4, 3);
	put(f, 0x24, 4, 0);
	put(f, 0x20, 4, 0);
	put(f, 0x24, 4, 1);
	put(f, 0x20, 4, 1);
	put(f, f->status, 4, 0xb);
}

static void start(struct fuzz *f)
{
	negotiate(f);
	put(f, 0x38, 4, NUM);
	put(f, 0x80, 4, GPA);
	put(f, 0x90, 4, GPA + 0x200);
	put(f, 0xa0, 4, GPA + 0x400);
	put(f, 0x44, 4, 1);
	put(f, f->status, 4, 0xf);
}

/* A request in the ring, as far as the input wants it to be one. */
static void post(struct fuzz *f)
{
	uint16_t idx = take8(&f->in) % NUM;
	const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = { GPA + take16(&f->in), take16(&f->in), take8(&f->in) & 7,
		   take8(&f->in) % NUM };
	uint16_t avail;

	memcpy(f->mem + sizeof(desc) * idx, &desc, sizeof(desc));
	memcpy(&avail, f->mem + 0x202, 2);
	memcpy(f->mem + 0x204 + 2 * (avail % NUM), &idx, 2);
	avail++;
	memcpy(f->mem + 0x202, &avail, 2);
	put(f, 0x50, 4, 0);
}

static void scribble(struct fuzz *f)
{
	uint16_t at = take16(&f->in) % MEM_BYTES;
	uint8_t n = take8(&f->in);

	for (unsigned int i = 0; i < n && at + i < MEM_BYTES; i++) {
		f->mem[at + i] = (char)take8(&f->in);
	}
}

static void change_memory(struct fuzz *f)
{
	uint16_t at = take16(&f->in) % MEM_BYTES;
	uint16_t size = take16(&f->in) % (MEM_BYTES - at);
	uint8_t how = take8(&f->in);

	if (how < 8) {
		(void)map(f, at, size, how);
	} else {
		(void)unmap(f, GPA + at, size);
	}
}

static void act(struct fuzz *f)
{
	uint64_t at;

	switch (take8(&f->in) % 10) {
	case 0:
		at = take8(&f->in) % 0x44;
		put(f, 4 * at, 4, take32(&f->in));
		break;
	case 1:
		at = take8(&f->in) % 0x44;
		put(f, 4 * at, 4, take8(&f->in));
		break;
	case 2:
		at = take16(&f->in);
		put(f, at, take8(&f->in), take32(&f->in));
		break;
	case 3:
		at = take16(&f->in);
		(void)get(f, at, take8(&f->in));
		break;
	case 4:
		start(f);
		break;
	case 5:
		post(f);
		break;
	case 6:
		scribble(f);
		break;
	case 7:
		change_memory(f);
		break;
	case 8:
		put(f, 0x50, 4, take8(&f->in) % 3);
		break;
	default:
		must(sim_run(f->sim, take16(&f->in), NULL, NULL) == 0);
		break;
	}
}

/* ---- the bus ---- */

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static void set_up(struct fuzz *f, uint32_t layout)
{
	static const struct sim_options options = { .seed = 1 };
	static const struct vdpa_dev_config config = {
		.params = { { "capacity", "64K" } },
		.n_params = 1,
	};
	const struct vdpakit_mmio_options mmio = { .layout = layout };

	f->mem = aligned_alloc(4096, MEM_BYTES + CANARY);
	must(f->mem != NULL);
	memset(f->mem, 0, MEM_BYTES);
	memset(f->mem + MEM_BYTES, 0xc5, CANARY);
	must(sim_new(&options, &f->sim) == 0);
	must(sim_loop_new(f->sim, "control", &f->control) == 0);
	must(sim_loop_new(f->sim, "worker", &f->worker) == 0);
	must(vdpa_bus_new(f->control, &f->worker, 1, &f->bus) == 0);
	must(mmio_register(f->bus, NULL, &f->drv) == 0);
	must(vdpasim_blk_register(f->bus, &f->blk) == 0);
	must(vdpa_dev_add(f->bus, NULL, "vdpasim_blk", "d0", &config) == 0);
	f->vdev = vdpa_device_find(f->bus, "d0");
	must(mmio_open(f->vdev, &mmio, &f->m) == 0);
	f->status = layout == VDPAKIT_MMIO_RFC ? 0x60 : 0x70;
	must(map(f, 0, MEM_BYTES, VDPAKIT_MMIO_READ | VDPAKIT_MMIO_WRITE) == 0);
}

static void tear_down(struct fuzz *f)
{
	struct known_op ko = { .op.done = op_done };

	mmio_close(f->m, &ko.op);
	must(ko.is_done && ko.op.result == 0);
	must(vdpa_n_maps(f->vdev, 0) == 0 && vdpa_get_status(f->vdev) == 0);
	for (unsigned int i = 0; i < CANARY; i++) {
		must((unsigned char)f->mem[MEM_BYTES + i] == 0xc5);
	}
	mmio_unregister(f->drv);
	vdpasim_blk_unregister(f->blk);
	vdpa_bus_free(f->bus);
	loop_free(f->worker);
	loop_free(f->control);
	sim_free(f->sim);
	free(f->mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .in = { data, size } };

	log_set_sink(drop_line, LOG_LEVEL_ERR);
	set_up(&f, take8(&f.in) % VDPAKIT_MMIO_LAYOUT_N);
	for (unsigned int i = 0; i < MAX_STEPS && f.in.len > 0; i++) {
		act(&f);
	}
	must(sim_run(f.sim, RUN_NS, NULL, NULL) == 0);
	negotiate(&f);
	must(get(&f, f.status, 4) == 0xb);
	tear_down(&f);
	return 0;
}
