/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the way of a block request, from the bytes of a chain to the back end
 * and back: the input is a list of what the driver and the back end do.
 *
 * Theory of operation
 *
 * A whole disk, simulated, in one thread: bus, software device, virtio-blk
 * class, and a back end of this file's, which keeps requests until the input
 * says how each one ends. The first two bytes choose features and limits. Each
 * action is a byte, with operands behind it: put a request of any pieces on the
 * ring, store bytes into the driver's memory, let the device run, end a
 * request, write the config space, suspend, resume, resize.
 *
 * The driver's memory is allocated to the byte, so that the address sanitizer
 * sees each step outside. Checked are: what the back end is given lies on the
 * disk, in whole blocks, with pieces in the driver's memory that add up; each
 * chain comes back once, with no more written than there was room for; nothing
 * breaks the queue.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dev/blk/class.h"
#include "fuzz.h"
#include "vq/vq_driver.h"

#define RING_IOVA 0x10000ULL
#define MEM_IOVA  0x20000ULL
#define MEM_BYTES 8192
#define RO_IOVA	  0x40000ULL /* the same memory, for reading only */
#define NUM	  16
#define PIECES	  8
#define CAPACITY  64 /* sectors */
#define MAX_STEPS 300

struct input {
	const uint8_t *data;
	size_t len;
};

struct cookie {
	bool is_busy;
	uint32_t writable;
};

struct fuzz {
	struct input in;
	uint8_t limits; /* what the back end says of itself */
	struct sim *sim;
	struct loop *loop;
	struct vdpa_bus *bus;
	struct vdpa_mgmtdev mgmtdev;
	struct blk_dev *blk;
	uint64_t features;
	struct vq_driver *drv;
	char *ring, *mem;
	size_t ring_bytes;
	struct cookie cookies[NUM];
	struct blk_req *kept[NUM];
	unsigned int n_kept;
	bool is_quick;
	int64_t quick_res;
};

static uint8_t take8(struct input *in)
{
	if (in->len == 0) {
		return 0;
	}
	in->len--;
	return *in->data++;
}

static uint64_t take(struct input *in, unsigned int n_bytes)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n_bytes; i++) {
		v |= (uint64_t)take8(in) << (8 * i);
	}
	return v;
}

static void must(bool is_so)
{
	if (!is_so) {
		abort();
	}
}

/* ---- the back end ---- */

static struct fuzz *fuzz_of(struct blk_dev *blk)
{
	return *(struct fuzz **)blk_priv(blk);
}

static int fuzz_open(struct blk_dev *blk)
{
	struct blk_limits *l = blk_limits(blk);
	uint8_t bits = fuzz_of(blk)->limits;

	l->capacity_sectors = CAPACITY;
	l->block_bytes = bits & 1 ? 4096 : 512;
	l->is_read_only = bits & 2;
	l->has_volatile_cache = bits & 4;
	l->discard_sectors = bits & 8 ? 16 : 0;
	l->write_zeroes_sectors = bits & 16 ? UINT32_MAX : 0;
	l->secure_erase_sectors = bits & 32 ? 8 : 0;
	l->max_ranges = bits & 64 ? 1 : BLK_RANGES_MAX;
	return 0;
}

static void fuzz_close(struct blk_dev *blk)
{
	(void)blk;
}

static bool is_in_memory(const struct fuzz *f, const struct iovec *iov)
{
	const char *base = iov->iov_base;

	return base >= f->mem &&
	       range_fits((uint64_t)(base - f->mem), iov->iov_len, MEM_BYTES);
}

/* Writes the memory that a read fills, reads what a write takes. */
static void touch(const struct fuzz *f, const struct blk_req *req)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < req->n_iov; i++) {
		const struct iovec *iov = &req->iov[i];

		must(iov->iov_len > 0 && is_in_memory(f, iov));
		sum += iov->iov_len;
		if (req->op == BLK_READ) {
			memset(iov->iov_base, 0xdd, iov->iov_len);
		} else {
			(void)*(volatile char *)iov->iov_base;
		}
	}
	must(sum == req->len);
}

static void check(struct fuzz *f, const struct blk_req *req)
{
	const struct blk_limits *l = &f->blk->limits;

	must(req->op < BLK_OP_N);
	must(req->offset % l->block_bytes == 0);
	must(req->len % l->block_bytes == 0);
	must(range_fits(req->offset, req->len,
			2 * CAPACITY * BLK_SECTOR_BYTES));
	must(req->op == BLK_READ || req->op == BLK_FLUSH || !l->is_read_only);
	must(req->op == BLK_WRITE_ZEROES || !req->may_unmap);
	must(req->op != BLK_DISCARD || req->len <= l->discard_sectors * 512ULL);
	must(req->op != BLK_SECURE_ERASE ||
	     req->len <= l->secure_erase_sectors * 512ULL);
	if (req->op == BLK_READ || req->op == BLK_WRITE) {
		touch(f, req);
	} else {
		must(req->n_iov == 0);
	}
}

/* An end that the request can have. */
static void end(struct blk_req *req, uint8_t how)
{
	static const int64_t errors[] = { -EIO, -ENOSPC, -EOPNOTSUPP, -1 };
	int64_t res = 0;

	if (how & 1) {
		res = errors[how >> 1 & 3];
	} else if (req->op == BLK_READ) {
		res = how & 2 ? (int64_t)(req->len / (1 + (how >> 4)))
			      : (int64_t)req->len;
	}
	blk_done(req, res);
}

static void fuzz_submit(struct blk_vq *q, struct blk_req *const *reqs,
			unsigned int n)
{
	struct fuzz *f = fuzz_of(blk_vq_dev(q));

	for (unsigned int i = 0; i < n; i++) {
		check(f, reqs[i]);
		memset(reqs[i]->priv, 0xee, 32);
		if (f->is_quick) {
			end(reqs[i], (uint8_t)f->quick_res);
		} else {
			must(f->n_kept < NUM);
			f->kept[f->n_kept++] = reqs[i];
		}
	}
}

static void end_kept(struct fuzz *f, unsigned int i, uint8_t how)
{
	struct blk_req *req = f->kept[i];

	f->kept[i] = f->kept[--f->n_kept];
	end(req, how);
}

static void fuzz_cancel(struct blk_vq *q)
{
	struct fuzz *f = fuzz_of(blk_vq_dev(q));

	f->is_quick = true; /* the other ranges, too */
	f->quick_res = 1;
	while (f->n_kept > 0) {
		end_kept(f, 0, 1);
	}
}

static int fuzz_resize(struct blk_dev *blk, uint64_t want_sectors,
		       uint64_t *ret_sectors)
{
	(void)blk;
	if (want_sectors > 2 * CAPACITY) {
		return -ENOSPC;
	}
	*ret_sectors = want_sectors ? want_sectors : CAPACITY;
	return 0;
}

static const struct blk_backend fuzz_backend = {
	.name = "fuzz",
	.dev_bytes = sizeof(struct fuzz *),
	.req_bytes = 32,
	.open = fuzz_open,
	.close = fuzz_close,
	.submit = fuzz_submit,
	.cancel = fuzz_cancel,
	.resize = fuzz_resize,
};

/* ---- the disk ---- */

static int fuzz_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
			const struct vdpa_dev_config *config)
{
	struct fuzz *f = mgmtdev->priv;
	struct blk_dev *blk = calloc(1, sizeof(*blk));

	(void)config;
	must(blk && blk_dev_set_backend(blk, &fuzz_backend) == 0);
	*(struct fuzz **)blk_priv(blk) = f;
	(void)snprintf(blk->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	blk->num_queues = 1;
	blk->soft.num_max = NUM;
	blk->feature_mask = UINT64_MAX;
	blk->is_simulator = f->limits & 128;
	must(blk_dev_init(blk, mgmtdev) == 0);
	f->blk = blk;
	return 0;
}

static const struct vdpa_mgmtdev_ops fuzz_ops = {
	.dev_add = fuzz_dev_add,
	.dev_del = blk_dev_del,
};

static void map(struct fuzz *f, uint64_t iova, char *va, size_t len,
		uint32_t perm)
{
	struct region *region;

	must(region_new_own(va, len, NULL, NULL, &region) == 0);
	must(vdpa_map(&f->blk->soft.vdev, 0, iova, iova + len - 1, region, 0,
		      perm) == 0);
	region_unref(region);
}

static void add_status(struct fuzz *f, uint8_t bits)
{
	struct vdpa_device *vdev = &f->blk->soft.vdev;

	must(vdpa_set_status(vdev, vdpa_get_status(vdev) | bits) == 0);
}

static void start(struct fuzz *f)
{
	static const unsigned int optional[] = {
		VIRTIO_F_RING_PACKED,	   VIRTIO_RING_F_INDIRECT_DESC,
		VIRTIO_F_IN_ORDER,	   VIRTIO_BLK_F_FLUSH,
		VIRTIO_BLK_F_CONFIG_WCE,   VIRTIO_BLK_F_DISCARD,
		VIRTIO_BLK_F_WRITE_ZEROES, VIRTIO_BLK_F_SECURE_ERASE,
	};
	struct vdpa_device *vdev = &f->blk->soft.vdev;
	uint8_t bits = take8(&f->in);
	struct vq_layout at;

	f->features = BIT_ULL(VIRTIO_F_VERSION_1) |
		      BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	for (size_t i = 0; i < ARRAY_SIZE(optional); i++) {
		f->features |= bits >> i & 1 ? BIT_ULL(optional[i]) : 0;
	}
	add_status(f, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	must(vdpa_set_driver_features(vdev, f->features) == 0);
	f->features = vdpa_get_driver_features(vdev);
	add_status(f, VIRTIO_CONFIG_S_FEATURES_OK);
	vq_layout(NUM, f->features, &at);
	f->ring_bytes = at.size_bytes;
	f->ring = aligned_alloc(4096, align_up(at.size_bytes, 4096));
	f->mem = malloc(MEM_BYTES);
	must(f->ring && f->mem);
	memset(f->ring, 0, at.size_bytes);
	memset(f->mem, 0, MEM_BYTES);
	map(f, RING_IOVA, f->ring, at.size_bytes, MEM_PERM_RW);
	map(f, MEM_IOVA, f->mem, MEM_BYTES, MEM_PERM_RW);
	map(f, RO_IOVA, f->mem, MEM_BYTES, MEM_PERM_RO);
	must(vq_driver_new(NUM, f->features, f->ring, RING_IOVA, &f->drv) == 0);
	must(vdpa_set_vq_num(vdev, 0, NUM) == 0);
	must(vdpa_set_vq_address(vdev, 0, RING_IOVA + at.desc_area,
				 RING_IOVA + at.driver_area,
				 RING_IOVA + at.device_area) == 0);
	must(vdpa_set_vq_ready(vdev, 0, true) == 0);
	add_status(f, VIRTIO_CONFIG_S_DRIVER_OK);
}

/* ---- actions ---- */

/* Header bytes into the memory: types and sectors that matter, or any. */
static void put_header(struct fuzz *f, char *at)
{
	static const uint8_t types[] = { 0,  0,	 1,  1,	 4, 8,	11,
					 11, 13, 13, 14, 2, 15, 16 };
	uint8_t how = take8(&f->in);
	struct virtio_blk_outhdr hdr = { 0 };

	hdr.type = htole32(how & 0x80 ? (uint32_t)take(&f->in, 4)
				      : types[how % ARRAY_SIZE(types)]);
	hdr.sector = htole64(how & 0x40	  ? take(&f->in, 8)
			     : how & 0x20 ? take8(&f->in) % (CAPACITY + 2)
					  : 0);
	memcpy(at, &hdr, sizeof(hdr));
}

/* One piece: in the memory, a hole at its end, or what may only be read. */
static struct vq_sg take_piece(struct fuzz *f)
{
	uint8_t how = take8(&f->in);
	uint32_t len = how & 1	 ? (uint32_t)take(&f->in, 2) % 5000
		       : how & 2 ? 512
		       : how & 4 ? 4096
		       : how & 8 ? 16
				 : 1;
	uint64_t off = take(&f->in, 2) % (MEM_BYTES + 16);
	uint64_t base = how & 0x80 ? RO_IOVA : MEM_IOVA;

	if (!(how & 0x40) && off + len > MEM_BYTES) {
		off = MEM_BYTES - len; /* mapped for sure */
	}
	return (struct vq_sg){ base + off, len };
}

static void do_request(struct fuzz *f)
{
	uint8_t shape = take8(&f->in);
	unsigned int i = 0, n_readable = 1 + (shape & 3);
	unsigned int n_writable = shape >> 2 & 3;
	size_t at = take(&f->in, 2) % (MEM_BYTES - 16);
	struct vq_sg sg[PIECES] = { { MEM_IOVA + at, 16 } };
	struct cookie *cookie;

	while (i < NUM && f->cookies[i].is_busy) {
		i++;
	}
	if (i == NUM) {
		return;
	}
	cookie = &f->cookies[i];
	put_header(f, f->mem + at);
	if (shape & 0x40) { /* the header itself is odd */
		sg[0] = take_piece(f);
	}
	cookie->writable = 0;
	for (unsigned int p = 1; p < n_readable + n_writable; p++) {
		sg[p] = take_piece(f);
		if (p >= n_readable) {
			cookie->writable += sg[p].len;
		}
	}
	if (shape & 0x80 && n_writable > 0) { /* as most are: a status byte */
		sg[n_readable + n_writable - 1].len = 1;
		cookie->writable = 1;
		for (unsigned int p = n_readable;
		     p < n_readable + n_writable - 1; p++) {
			cookie->writable += sg[p].len;
		}
	}
	if (vq_driver_add(f->drv, sg, n_readable, n_writable, cookie) == 0) {
		cookie->is_busy = true;
	}
}

static void collect(struct fuzz *f)
{
	struct vq_used used[NUM];
	int n = vq_driver_get(f->drv, used, NUM);

	must(n >= 0);
	for (int i = 0; i < n; i++) {
		struct cookie *cookie = used[i].cookie;

		must(cookie->is_busy && used[i].written <= cookie->writable);
		cookie->is_busy = false;
	}
}

static void run(struct fuzz *f)
{
	(void)vq_driver_publish(f->drv);
	must(vdpa_kick_vq(&f->blk->soft.vdev, 0) == 0);
	must(sim_run(f->sim, UINT64_MAX, NULL, NULL) == 0);
	must(!(vdpa_get_status(&f->blk->soft.vdev) &
	       VIRTIO_CONFIG_S_NEEDS_RESET));
	collect(f);
}

static void do_store(struct fuzz *f)
{
	size_t off = take(&f->in, 2) % MEM_BYTES;
	size_t n = min_of((size_t)take8(&f->in) % 64, MEM_BYTES - off);

	for (size_t i = 0; i < n; i++) {
		f->mem[off + i] = (char)take8(&f->in);
	}
}

static void do_end(struct fuzz *f)
{
	uint8_t which = take8(&f->in), how = take8(&f->in);

	if (f->n_kept > 0) {
		end_kept(f, which % f->n_kept, how);
	}
}

static void do_config(struct fuzz *f)
{
	uint8_t bytes[8];
	uint32_t off = take8(&f->in) % BLK_CONFIG_BYTES;
	uint32_t len = min_of(1 + take8(&f->in) % 8U,
			      (unsigned int)BLK_CONFIG_BYTES - off);

	memset(bytes, take8(&f->in), sizeof(bytes));
	must(vdpa_set_config(&f->blk->soft.vdev, off, bytes, len) == 0);
	must(vdpa_get_config(&f->blk->soft.vdev, off, bytes, len) == 0);
}

static void do_action(struct fuzz *f)
{
	struct vdpa_device *vdev = &f->blk->soft.vdev;

	switch (take8(&f->in) % 10) {
	case 0:
	case 1:
	case 2:
		do_request(f);
		break;
	case 3:
		run(f);
		break;
	case 4:
		do_store(f);
		break;
	case 5:
		do_end(f);
		break;
	case 6:
		do_config(f);
		break;
	case 7:
		f->is_quick = take8(&f->in) & 1;
		f->quick_res = take8(&f->in);
		break;
	case 8:
		must(vdpa_suspend(vdev) == 0);
		collect(f);
		must(vdpa_resume(vdev) == 0);
		break;
	default:
		(void)blk_dev_resize(f->blk, take8(&f->in));
		break;
	}
}

/* All that is in flight ends, and every chain comes back. */
static void settle(struct fuzz *f)
{
	f->is_quick = true;
	f->quick_res = 0;
	run(f);
	while (f->n_kept > 0) {
		end_kept(f, 0, 0);
	}
	run(f);
	for (unsigned int i = 0; i < NUM; i++) {
		must(!f->cookies[i].is_busy);
	}
}

static void fuzz_init(struct fuzz *f)
{
	const struct sim_options options = { .seed = 1 };
	const struct vdpa_dev_config config = { 0 };

	f->limits = take8(&f->in);
	must(sim_new(&options, &f->sim) == 0);
	must(sim_loop_new(f->sim, "fuzz", &f->loop) == 0);
	must(vdpa_bus_new(f->loop, &f->loop, 1, &f->bus) == 0);
	f->mgmtdev = (struct vdpa_mgmtdev){
		.name = "fuzz",
		.ops = &fuzz_ops,
		.classes = BIT_ULL(VIRTIO_ID_BLOCK),
		.priv = f,
	};
	must(vdpa_mgmtdev_register(f->bus, &f->mgmtdev) == 0);
	must(vdpa_dev_add(f->bus, NULL, "fuzz", "d0", &config) == 0);
	start(f);
}

static void fuzz_fini(struct fuzz *f)
{
	vdpa_mgmtdev_unregister(&f->mgmtdev);
	vdpa_bus_free(f->bus);
	loop_free(f->loop);
	sim_free(f->sim);
	vq_driver_free(f->drv);
	free(f->ring);
	free(f->mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { .in = { data, len } };

	fuzz_init(&f);
	for (int i = 0; i < MAX_STEPS && f.in.len > 0; i++) {
		do_action(&f);
	}
	settle(&f);
	fuzz_fini(&f);
	return 0;
}
