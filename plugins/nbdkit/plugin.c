/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbdkit vdpakit "MGMTDEV KEY=VALUE...": any virtio disk for any NBD client.
 *
 * The disk is on a bus in nbdkit's process. Each of its queues is used by a
 * thread (lane.h); connections, however many, take them in turn, so that what
 * one has flushed is durable for all.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-plugin.h>

#include "lane.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define NAME "disk"

static struct {
	/* set by config(), in any order */
	char *words;
	/* set by after_fork(), then read-only */
	struct vdpakit *kit;
	struct vdpakit_blk *blk;
	struct vdpakit_blk_info info;
	struct lane lanes[LANES_MAX];
	unsigned int n_lanes;
	/* any thread, atomic */
	unsigned int next;
} disk;

static int fail(const char *what)
{
	nbdkit_error("%s: %s", what, vdpakit_error());
	return -1;
}

/* ---- start and end ---- */

static int on_config(const char *key, const char *value)
{
	if (strcmp(key, "device") != 0) {
		nbdkit_error("there is no parameter %s, only device", key);
		return -1;
	}
	if (disk.words) {
		nbdkit_error("device is given twice");
		return -1;
	}
	if (asprintf(&disk.words, NAME " %s", value) < 0) {
		disk.words = NULL;
		nbdkit_error("out of memory");
		return -1;
	}
	return 0;
}

static int on_config_complete(void)
{
	if (!disk.words) {
		nbdkit_error("device=\"MGMTDEV KEY=VALUE...\" is missing");
		return -1;
	}
	return 0;
}

static int start_lanes(void)
{
	unsigned int n = disk.info.n_queues;
	void *memory;

	n = n < LANES_MAX ? n : LANES_MAX;
	if (vdpakit_mem_alloc(disk.kit,
			      (size_t)n * LANE_DEPTH * LANE_CHUNK_BYTES,
			      &memory) < 0) {
		return fail("memory");
	}
	for (unsigned int i = 0; i < n; i++) {
		int r = lane_start(&disk.lanes[i],
				   vdpakit_blk_get_queue(disk.blk, i),
				   (char *)memory + (size_t)i * LANE_DEPTH *
							    LANE_CHUNK_BYTES);

		disk.n_lanes = i + 1;
		if (r < 0) {
			nbdkit_error("thread: %s", strerror(-r));
			return -1;
		}
	}
	return 0;
}

/* Threads do not come along into a child: not before nbdkit has forked. */
static int on_after_fork(void)
{
	if (vdpakit_new(NULL, &disk.kit) < 0 ||
	    vdpakit_dev_add(disk.kit, disk.words) < 0 ||
	    vdpakit_blk_open(disk.kit, NAME, NULL, &disk.blk) < 0) {
		return fail("device");
	}
	vdpakit_blk_get_info(disk.blk, &disk.info, sizeof(disk.info));
	return start_lanes();
}

static void on_cleanup(void)
{
	for (unsigned int i = 0; i < disk.n_lanes; i++) {
		lane_end(&disk.lanes[i]);
	}
	disk.n_lanes = 0;
	vdpakit_free(disk.kit);
	disk.kit = NULL;
}

static void on_unload(void)
{
	on_cleanup(); /* nbdkit may not have got so far as to call it */
	free(disk.words);
}

/* ---- what it is ---- */

static void *on_open(int readonly)
{
	(void)readonly;
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t on_get_size(void *handle)
{
	struct vdpakit_blk_info info;

	(void)handle;
	vdpakit_blk_get_info(disk.blk, &info, sizeof(info)); /* as of now */
	return (int64_t)info.capacity_bytes;
}

static int on_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			 uint32_t *maximum)
{
	const struct vdpakit_blk_info *i = &disk.info;
	uint32_t best = i->physical_block_bytes;

	(void)handle;
	*minimum = i->block_bytes;
	*preferred = best > 4096 ? best : 4096;
	*maximum = 64U << 20; /* nbdkit's own */
	return 0;
}

static int on_can_write(void *handle)
{
	(void)handle;
	return !disk.info.is_read_only;
}

static int on_can_flush(void *handle)
{
	(void)handle;
	return 1; /* what has no cache is always flushed */
}

static int on_can_fua(void *handle)
{
	(void)handle;
	return disk.info.can_flush ? NBDKIT_FUA_EMULATE : NBDKIT_FUA_NATIVE;
}

static int on_can_trim(void *handle)
{
	(void)handle;
	return disk.info.max_discard_bytes > 0;
}

static int on_can_zero(void *handle)
{
	(void)handle;
	return disk.info.max_write_zeroes_bytes > 0; /* else nbdkit writes */
}

static int on_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

/* ---- requests ---- */

static struct lane *pick_lane(void)
{
	unsigned int n = __atomic_fetch_add(&disk.next, 1, __ATOMIC_RELAXED);

	return &disk.lanes[n % disk.n_lanes];
}

static int answer(const char *what, int r)
{
	if (r == 0) {
		return 0;
	}
	nbdkit_error("%s: %s%s", what, strerror(-r),
		     r == -EINVAL ? " (blocks are larger: --filter=blocksize)"
				  : "");
	nbdkit_set_error(-r);
	return -1;
}

static uint32_t chunk_of(uint64_t max, uint32_t count)
{
	return max < count ? (uint32_t)max : count;
}

static uint64_t data_chunk(void)
{
	uint64_t max = disk.info.max_request_bytes;

	return max < LANE_CHUNK_BYTES ? max : LANE_CHUNK_BYTES;
}

static int on_pread(void *handle, void *buf, uint32_t count, uint64_t offset,
		    uint32_t flags)
{
	struct lane *lane = pick_lane();
	char *data = lane_get_buffer(lane), *to = buf;
	int r = 0;

	(void)handle;
	(void)flags;
	while (r == 0 && count > 0) {
		uint32_t n = chunk_of(data_chunk(), count);
		const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_READ,
						     .offset_bytes = offset,
						     .len_bytes = n,
						     .buf = data };

		r = lane_run(lane, &req);
		if (r == 0) {
			memcpy(to, data, n);
		}
		to += n;
		offset += n;
		count -= n;
	}
	lane_put_buffer(lane, data);
	return answer("read", r);
}

static int on_pwrite(void *handle, const void *buf, uint32_t count,
		     uint64_t offset, uint32_t flags)
{
	struct lane *lane = pick_lane();
	char *data = lane_get_buffer(lane);
	const char *from = buf;
	int r = 0;

	(void)handle;
	(void)flags; /* FUA: durable anyway, or nbdkit flushes */
	while (r == 0 && count > 0) {
		uint32_t n = chunk_of(data_chunk(), count);
		const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_WRITE,
						     .offset_bytes = offset,
						     .len_bytes = n,
						     .buf = data };

		memcpy(data, from, n);
		r = lane_run(lane, &req);
		from += n;
		offset += n;
		count -= n;
	}
	lane_put_buffer(lane, data);
	return answer("write", r);
}

static int on_flush(void *handle, uint32_t flags)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };

	(void)handle;
	(void)flags;
	return disk.info.can_flush
		       ? answer("flush", lane_run(pick_lane(), &req))
		       : 0;
}

/* Without data. */
static int run_range(enum vdpakit_blk_op op, uint8_t op_flags, uint64_t max,
		     uint32_t count, uint64_t offset)
{
	struct lane *lane = pick_lane();
	int r = 0;

	max -= max % disk.info.block_bytes;
	while (r == 0 && count > 0) {
		uint32_t n = chunk_of(max, count);
		const struct vdpakit_blk_req req = { .op = (uint8_t)op,
						     .flags = op_flags,
						     .offset_bytes = offset,
						     .len_bytes = n };

		r = lane_run(lane, &req);
		offset += n;
		count -= n;
	}
	return r;
}

static int on_trim(void *handle, uint32_t count, uint64_t offset,
		   uint32_t flags)
{
	(void)handle;
	(void)flags;
	return answer("trim",
		      run_range(VDPAKIT_BLK_DISCARD, 0,
				disk.info.max_discard_bytes, count, offset));
}

static int on_zero(void *handle, uint32_t count, uint64_t offset,
		   uint32_t flags)
{
	uint8_t unmap = flags & NBDKIT_FLAG_MAY_TRIM ? VDPAKIT_BLK_UNMAP : 0;

	(void)handle;
	return answer("zero", run_range(VDPAKIT_BLK_WRITE_ZEROES, unmap,
					disk.info.max_write_zeroes_bytes, count,
					offset));
}

static struct nbdkit_plugin plugin = {
	.name = "vdpakit",
	.longname = "any virtio disk that vdpakit can reach",
	.version = VDPAKIT_VERSION,
	.unload = on_unload,
	.config = on_config,
	.config_complete = on_config_complete,
	.config_help = "device=\"MGMTDEV KEY=VALUE...\"  (required) the disk, "
		       "as for `vdpakit run --dev`, without a name",
	.magic_config_key = "device",
	.after_fork = on_after_fork,
	.cleanup = on_cleanup,
	.open = on_open,
	.get_size = on_get_size,
	.block_size = on_block_size,
	.can_write = on_can_write,
	.can_flush = on_can_flush,
	.can_fua = on_can_fua,
	.can_trim = on_can_trim,
	.can_zero = on_can_zero,
	.can_multi_conn = on_can_multi_conn,
	.pread = on_pread,
	.pwrite = on_pwrite,
	.flush = on_flush,
	.trim = on_trim,
	.zero = on_zero,
};

/* What nbdkit looks for: its macro defines it and declares it nowhere. */
struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
