/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes a queue: the input is a list of what the driver, the device and the
 * owner of the memory do.
 *
 * Theory of operation
 *
 * The first two bytes choose the features, the ways of a queue (an inflight
 * log, memory that is mapped on demand) and the size. Each action is a byte,
 * with operands behind it: the driver stores bytes into the ring or a table,
 * or shows more buffers, or acts as our own driver side does (whose device is
 * then hostile); the front end stores bytes into the inflight log; the device
 * fetches, completes, gives back, publishes; memory is mapped and unmapped,
 * whole or in pieces of all kinds; the dirty log comes and goes; the queue is
 * stopped and started from its state.
 *
 * Ring, buffers and logs are allocated to the byte, so that the address
 * sanitizer sees each step outside. What no action may bring about is checked
 * here.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "mem/iotlb.h"
#include "vq/shm.h"
#include "vq/vq.h"
#include "vq/vq_driver.h"

#define RING_IOVA    0x10000ULL
#define BUF_IOVA     0x20000ULL
#define BUF_BYTES    4096
#define MAX_NUM	     16
#define BITMAP_BYTES 2
#define MAX_STEPS    400
#define MAX_HELD     64
#define BURST_MASK   15

struct input {
	const uint8_t *data;
	size_t len;
};

struct fuzz {
	struct input in;
	uint64_t features;
	uint16_t num;
	struct vq_layout at;
	char *ring;
	char *buf;
	char *inflight; /* NULL: none */
	size_t inflight_bytes;
	struct region *inflight_region;
	char *bitmap;
	struct region *bitmap_region;
	bool has_misses;
	struct foreign_mem *self;
	struct iotlb *tlb;
	struct vq *vq;
	struct vq_driver *drv;
	struct vq_chain *held[MAX_HELD];
	unsigned int n_held;
	unsigned int n_fresh; /* the last of them: fetched since a completion */
};

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
	uint16_t low = take8(in);

	return (uint16_t)(low | take8(in) << 8);
}

static void must(bool is_so)
{
	if (!is_so) {
		abort();
	}
}

static struct region *make_region(struct fuzz *f, char *va, size_t len,
				  unsigned int kind)
{
	struct region *region;

	if (kind % 4 == 3) {
		must(region_new_foreign(f->self, (uintptr_t)va, len, &region) ==
		     0);
	} else {
		must(region_new_own(va, len, NULL, NULL, &region) == 0);
	}
	return region;
}

static void map(struct fuzz *f, uint64_t iova, char *va, size_t len,
		unsigned int kind)
{
	unsigned int perm = kind & 0x30 ? MEM_PERM_RW : kind >> 6;
	struct region *region;

	if (len == 0) {
		return;
	}
	region = make_region(f, va, len, kind);
	must(iotlb_map(f->tlb, iova, iova + len - 1, region, 0, perm) == 0);
	region_unref(region);
}

/* Maps the ring or the buffers in two pieces of any kind, or not at all. */
static void do_map(struct fuzz *f)
{
	uint8_t what = take8(&f->in), kind = take8(&f->in);
	uint64_t iova = what & 1 ? RING_IOVA : BUF_IOVA;
	size_t size = what & 1 ? f->at.size_bytes : BUF_BYTES;
	char *va = what & 1 ? f->ring : f->buf;
	size_t cut = take16(&f->in) % size;
	struct iotlb_snap *snap;

	must(iotlb_unmap(f->tlb, iova, iova + size - 1) >= 0);
	if (what & 2) {
		map(f, iova, va, cut, kind);
	}
	if (what & 4) {
		map(f, iova + cut, va + cut, size - cut,
		    (uint8_t)(kind << 1 | kind >> 7));
	}
	snap = iotlb_snapshot(f->tlb);
	vq_set_snap(f->vq, snap);
	iotlb_snap_unref(snap);
}

/* Stores up to 16 bytes, anywhere in the ring or the buffers. */
static void do_store(struct fuzz *f, char *va, size_t size)
{
	size_t off = take16(&f->in) % size;
	size_t n = take8(&f->in) % 17;

	for (size_t i = 0; i < n && off + i < size; i++) {
		va[off + i] = (char)take8(&f->in);
	}
}

/* A descriptor with a good address, of which the flags are the input's. */
static void do_desc(struct fuzz *f)
{
	uint16_t idx = take8(&f->in) % f->num, flags = take16(&f->in);
	uint16_t other = take8(&f->in), len = take16(&f->in);
	bool is_packed = has_bit(f->features, VIRTIO_F_RING_PACKED);
	struct shm_desc_ring *d = (struct shm_desc_ring *)f->ring + idx;

	shm_store64(&d->addr, BUF_IOVA + take16(&f->in) % BUF_BYTES);
	shm_store64(&d->meta, is_packed ? shm_packed_meta(len, other, flags)
					: shm_split_meta(len, flags, other));
}

/* Split: heads, and an index that moves on. */
static void do_avail(struct fuzz *f)
{
	__le16 *avail = (__le16 *)(f->ring + f->at.driver_area);
	uint8_t n = take8(&f->in);
	uint16_t idx;

	if (has_bit(f->features, VIRTIO_F_RING_PACKED)) {
		return;
	}
	idx = shm_load16(&avail[1]);
	for (unsigned int i = 0; i < n % 8U; i++) {
		shm_store16(&avail[2 + idx % f->num], take8(&f->in));
		idx++;
	}
	shm_store_rel16(&avail[1], (uint16_t)(idx + n / 128));
}

static void do_driver(struct fuzz *f)
{
	uint8_t what = take8(&f->in);
	struct vq_sg sg[4];
	struct vq_used used[4];
	int n;

	for (unsigned int i = 0; i < 4; i++) {
		sg[i].iova = BUF_IOVA + i * 1000U;
		sg[i].len = what;
	}
	(void)vq_driver_add(f->drv, sg, what % 3, what / 3 % 3, f);
	(void)vq_driver_publish(f->drv);
	n = vq_driver_get(f->drv, used, 4);
	must(n == -EPROTO || (n >= 0 && n <= 4));
	for (int i = 0; i < n; i++) {
		must(used[i].cookie == f);
		must(used[i].written <= 4U * 255);
	}
	must(vq_driver_n_free(f->drv) + vq_driver_n_in_flight(f->drv) <=
	     f->num);
	if (what & 0x80) {
		(void)vq_driver_enable_call(f->drv);
	} else if (what & 0x40) {
		vq_driver_disable_call(f->drv);
	}
}

/* Reads each byte, and writes over those that may be written. */
static void touch(struct vq_chain *chain, bool has_misses)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < chain->n_readable + chain->n_writable;
	     i++) {
		const struct iovec *iov = &chain->iov[i];

		must(iov->iov_len > 0);
		must(iov->iov_base || (chain->is_faulty && !has_misses));
		sum += iov->iov_len;
		if (iov->iov_base && i < chain->n_readable) {
			for (size_t k = 0; k < iov->iov_len; k++) {
				volatile char c = ((char *)iov->iov_base)[k];

				(void)c; /* reading is all there is to it */
			}
		} else if (iov->iov_base) {
			memset(iov->iov_base, 0x5a, iov->iov_len);
		}
	}
	must(sum == (uint64_t)chain->readable_bytes + chain->writable_bytes);
}

/* What is wanted is not there. */
static void check_miss(struct fuzz *f)
{
	struct iotlb_snap *snap = iotlb_snapshot(f->tlb);
	const struct iotlb_entry *e;
	uint64_t iova;
	uint32_t perm;

	if (vq_get_miss(f->vq, &iova, &perm)) {
		must(f->has_misses);
		must(perm == MEM_PERM_RO || perm == MEM_PERM_WO ||
		     perm == MEM_PERM_RW);
		must(!vq_has_available(f->vq));
		e = iotlb_find(snap, iova);
		must(!e || (e->perm & perm) != perm);
	}
	iotlb_snap_unref(snap);
}

static void do_fetch(struct fuzz *f)
{
	struct vq_chain *chains[BURST_MASK + 1];
	unsigned int max = 1 + (take8(&f->in) & BURST_MASK);
	int n = vq_fetch(f->vq, chains, max);

	must(n <= (int)max);
	must(n >= 0 || n == -EAGAIN ||
	     (n == -EPROTO && vq_broken(f->vq) != VQ_OK));
	check_miss(f);
	for (int i = 0; i < n; i++) {
		must(f->n_held < f->num);
		touch(chains[i], f->has_misses);
		f->held[f->n_held++] = chains[i];
		f->n_fresh++;
	}
}

static void do_complete(struct fuzz *f)
{
	uint8_t which = take8(&f->in);
	struct vq_chain *chain;
	uint32_t written;

	if (f->n_held == 0) {
		return;
	}
	which %= (uint8_t)f->n_held;
	chain = f->held[which];
	f->n_held--;
	f->n_fresh = 0;
	memmove(f->held + which, f->held + which + 1,
		(f->n_held - which) * sizeof(chain));
	written = min_of((uint32_t)take16(&f->in), chain->writable_bytes);
	chain->tail_bytes = written & 1;
	vq_complete(f->vq, chain, written);
}

static void do_unfetch(struct fuzz *f)
{
	unsigned int n = take8(&f->in) % (f->n_fresh + 1);

	vq_unfetch(f->vq, n);
	f->n_held -= n;
	f->n_fresh -= n;
}

static void start(struct fuzz *f, const struct vq_state *state)
{
	struct iotlb_snap *snap = iotlb_snapshot(f->tlb);
	const struct vq_setup setup = {
		.num = f->num,
		.features = f->features,
		.desc_area = RING_IOVA + f->at.desc_area,
		.driver_area = RING_IOVA + f->at.driver_area,
		.device_area = RING_IOVA + f->at.device_area,
		.state = *state,
		.has_misses = f->has_misses,
		.inflight = f->inflight_region,
		.inflight_bytes = f->inflight_bytes,
	};

	must(vq_start(f->vq, &setup, snap) == 0);
	iotlb_snap_unref(snap);
}

static void do_restart(struct fuzz *f)
{
	struct vq_state state;

	vq_get_state(f->vq, &state);
	vq_stop(f->vq);
	f->n_held = 0;
	f->n_fresh = 0;
	start(f, &state);
}

/* A table of the memory, in part, and a bitmap too small for some of it. */
static void do_dirty_log(struct fuzz *f)
{
	uint8_t what = take8(&f->in);
	const struct mem_log_range ranges[] = {
		{ f->ring, f->at.size_bytes, (uint64_t)what << 9 },
		{ f->buf, BUF_BYTES, take16(&f->in) },
	};
	struct vq_log log = { .used_gpa = UINT64_MAX };

	if (what & 1) {
		vq_set_log(f->vq, NULL);
		return;
	}
	if (what & 2) {
		log.used_gpa = (uint64_t)take16(&f->in) << (what & 60);
	}
	must(mem_log_new(f->bitmap_region, ranges,
			 (what & 0x80)	 ? 2
			 : (what & 0x40) ? 1
					 : 0,
			 &log.log) == 0);
	vq_set_log(f->vq, &log);
	mem_log_unref(log.log);
}

/* The front end's memory is its own to write. */
static void do_inflight(struct fuzz *f)
{
	if (f->inflight) {
		do_store(f, f->inflight, f->inflight_bytes);
	}
}

static void do_kick(struct fuzz *f)
{
	if (take8(&f->in) & 1) {
		(void)vq_enable_kick(f->vq);
	} else {
		vq_disable_kick(f->vq);
	}
	(void)vq_has_available(f->vq);
}

static void step(struct fuzz *f)
{
	switch (take8(&f->in) % 14) {
	case 0:
		do_store(f, f->ring, f->at.size_bytes);
		break;
	case 1:
		do_store(f, f->buf, BUF_BYTES);
		break;
	case 2:
	case 3:
		do_desc(f);
		break;
	case 4:
		do_avail(f);
		break;
	case 5:
		do_driver(f);
		break;
	case 6:
	case 7:
		do_fetch(f);
		break;
	case 8:
		do_complete(f);
		(void)vq_publish(f->vq);
		break;
	case 9:
		do_map(f);
		break;
	case 10:
		if (take8(&f->in) & 1) {
			do_restart(f);
		} else {
			do_unfetch(f);
		}
		break;
	case 11:
		do_dirty_log(f);
		break;
	case 12:
		do_inflight(f);
		break;
	default:
		do_kick(f);
		break;
	}
	must(vq_n_in_flight(f->vq) <= f->num);
	must(f->n_held <= vq_n_in_flight(f->vq));
}

static struct region *own_region(char *va, size_t len)
{
	struct region *region;

	must(region_new_own(va, len, NULL, NULL, &region) == 0);
	return region;
}

static void init_logs(struct fuzz *f, bool has_inflight)
{
	bool is_packed = has_bit(f->features, VIRTIO_F_RING_PACKED);

	f->bitmap = calloc(1, BITMAP_BYTES);
	must(f->bitmap);
	f->bitmap_region = own_region(f->bitmap, BITMAP_BYTES);
	if (has_inflight) {
		f->inflight_bytes = vq_inflight_bytes(f->num, is_packed);
		f->inflight = calloc(1, f->inflight_bytes);
		must(f->inflight);
		f->inflight_region = own_region(f->inflight, f->inflight_bytes);
	}
}

static void fuzz_init(struct fuzz *f)
{
	static const unsigned int bits[] = {
		VIRTIO_F_RING_PACKED,
		VIRTIO_RING_F_INDIRECT_DESC,
		VIRTIO_RING_F_EVENT_IDX,
		VIRTIO_F_IN_ORDER,
	};
	const struct vq_state first = { .avail_wrap = true, .used_wrap = true };
	uint8_t set = take8(&f->in);

	for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
		if (has_bit(set, i)) {
			f->features |= BIT_ULL(bits[i]);
		}
	}
	f->has_misses = has_bit(set, ARRAY_SIZE(bits));
	f->num = (uint16_t)(1U << (take8(&f->in) % 5));
	init_logs(f, has_bit(set, ARRAY_SIZE(bits) + 1));
	vq_layout(f->num, f->features, &f->at);
	f->ring = aligned_alloc(64, align_up(f->at.size_bytes, 64));
	f->buf = malloc(BUF_BYTES);
	must(f->ring && f->buf);
	memset(f->ring, 0, f->at.size_bytes);
	memset(f->buf, 0, BUF_BYTES);
	must(foreign_mem_new(open("/proc/self/mem", O_RDWR | O_CLOEXEC),
			     &f->self) == 0);
	must(iotlb_new(16, &f->tlb) == 0);
	must(vq_new(MAX_NUM, 8, &f->vq) == 0);
	must(vq_driver_new(f->num, f->features, f->ring, RING_IOVA, &f->drv) ==
	     0);
	map(f, RING_IOVA, f->ring, f->at.size_bytes, 0xf0);
	map(f, BUF_IOVA, f->buf, BUF_BYTES, 0xf0);
	start(f, &first);
}

static void fuzz_fini(struct fuzz *f)
{
	vq_free(f->vq);
	vq_driver_free(f->drv);
	iotlb_free(f->tlb);
	foreign_mem_unref(f->self);
	region_unref(f->inflight_region);
	region_unref(f->bitmap_region);
	free(f->inflight);
	free(f->bitmap);
	free(f->ring);
	free(f->buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .in = { data, size } };

	fuzz_init(&f);
	for (unsigned int i = 0; i < MAX_STEPS && f.in.len; i++) {
		step(&f);
	}
	fuzz_fini(&f);
	return 0;
}
