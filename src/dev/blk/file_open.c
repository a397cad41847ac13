/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end file: keys, opening, and what the file can do.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"
#include "dev/blk/file.h"
#include "dev/blk/file_lock.h"

/* The most of one range: 2 GiB, as it may have to be written. */
#define RANGE_MAX_SECTORS (1U << 22)
#define PAGE_BYTES	  4096

/* ---- keys ---- */

static int set_path(struct blk_dev *blk, const char *value)
{
	struct file_disk *disk = blk_priv(blk);

	if (value[0] == '\0') {
		return err(-EINVAL, "path: a file name is needed");
	}
	(void)snprintf(disk->path, sizeof(disk->path), "%s", value);
	return 0;
}

static int set_direct(struct blk_dev *blk, const char *value)
{
	struct file_disk *disk = blk_priv(blk);

	return parse_bool("direct", value, &disk->is_direct);
}

static int set_lock(struct blk_dev *blk, const char *value)
{
	struct file_disk *disk = blk_priv(blk);
	bool is_locked;
	int ret = parse_bool("lock", value, &is_locked);

	if (ret == 0) {
		disk->is_shared = !is_locked;
	}
	return ret;
}

const struct blk_key file_keys[FILE_KEYS_N] = {
	{ { "path", "FILE", "file: a regular file or a block device" },
	  set_path },
	{ { "direct", "on|off",
	    "file: past the page cache, O_DIRECT (default off)" },
	  set_direct },
	{ { "lock", "on|off", "file: keep a second opener away (default on)" },
	  set_lock },
	BLK_KEY_CAPACITY("size of the disk"),
	BLK_KEY_READ_ONLY,
};

/* ---- opening ---- */

static int open_path(struct file_disk *disk, bool is_read_only, int *ret_fd)
{
	/* Not to wait for the other end of a FIFO. */
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
		    (is_read_only ? O_RDONLY : O_RDWR) |
		    (disk->is_direct ? O_DIRECT : 0);
	_cleanup_close_ int fd = open(disk->path, flags);
	struct stat st;

	if (fd < 0) {
		return err(-errno, "%s: %s%s", disk->path, strerror(errno),
			   errno == EINVAL && disk->is_direct
				   ? ": try direct=off"
				   : "");
	}
	if (fstat(fd, &st) < 0 ||
	    (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		return err(-EINVAL,
			   "%s: neither a regular file nor a block device",
			   disk->path);
	}
	if (fcntl(fd, F_SETFL, flags & O_DIRECT) < 0) {
		return err(-errno, "%s: %s", disk->path, strerror(errno));
	}
	disk->is_block = S_ISBLK(st.st_mode);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int lock(struct blk_dev *blk, bool is_read_only)
{
	struct file_disk *disk = blk_priv(blk);
	struct file_lock lock = {
		.name = blk_name(blk),
		.path = disk->path,
		.fd = disk->fd,
		.is_shared = is_read_only,
		.wait_s = FILE_LOCK_WAIT_S,
	};

	return disk->is_shared ? 0 : file_lock_take(&lock, &disk->life_fd);
}

/* ---- what it is like ---- */

/* The smallest unit that direct I/O works with, found out by trying. */
static int probe_align(struct file_disk *disk)
{
	_cleanup_free_ char *buf =
		aligned_alloc(FILE_ALIGN_MAX, 2 * FILE_ALIGN_MAX);

	if (!buf) {
		return err(-ENOMEM, "out of memory");
	}
	for (uint32_t align = BLK_SECTOR_BYTES; align <= FILE_ALIGN_MAX;
	     align *= 2) {
		/* Memory that is aligned to no more than that. */
		if (pread(disk->fd, buf + align % FILE_ALIGN_MAX, align,
			  align) >= 0) {
			disk->align = align;
			return 0;
		}
		if (errno != EINVAL) {
			break;
		}
	}
	return err(-errno, "%s: direct=on: %s", disk->path, strerror(errno));
}

static int size_of(const struct file_disk *disk, uint64_t *ret_bytes)
{
	struct stat st;

	if (disk->is_block) {
		if (ioctl(disk->fd, BLKGETSIZE64, ret_bytes) == 0) {
			return 0;
		}
	} else if (fstat(disk->fd, &st) == 0) {
		*ret_bytes = (uint64_t)st.st_size;
		return 0;
	}
	return err(-errno, "%s: %s", disk->path, strerror(errno));
}

static uint8_t log2_of(uint32_t v)
{
	return (uint8_t)(31 - __builtin_clz(v));
}

/* What the kernel knows of a block device's units; 0 where it does not. */
static void look_at_units(const struct file_disk *disk, uint32_t *ret_logical,
			  struct blk_limits *l)
{
	unsigned int physical = PAGE_BYTES, io_min = 0, io_opt = 0;
	int logical = BLK_SECTOR_BYTES, fd = disk->fd;

	if (disk->is_block) {
		physical = 0;
		/* What cannot be asked is not known: not an error. */
		(void)ioctl(fd, BLKSSZGET, &logical);
		(void)ioctl(fd, BLKPBSZGET, &physical);
		(void)ioctl(fd, BLKIOMIN, &io_min);
		(void)ioctl(fd, BLKIOOPT, &io_opt);
	}
	*ret_logical = max_of((uint32_t)logical, disk->align);
	if (l->block_bytes == 0) {
		l->block_bytes =
			max_of(*ret_logical, (uint32_t)BLK_SECTOR_BYTES);
	}
	if (physical > l->block_bytes && is_pow2(physical)) {
		l->physical_exp = log2_of(physical / l->block_bytes);
	}
	l->min_io_blocks = (uint16_t)max_of(
		min_of(io_min / l->block_bytes, (unsigned int)UINT16_MAX), 1U);
	l->opt_io_blocks = io_opt / l->block_bytes;
}

static int look_at_size(struct blk_dev *blk, uint64_t *ret_sectors)
{
	struct file_disk *disk = blk_priv(blk);
	uint64_t bytes;
	int ret = size_of(disk, &bytes);

	if (ret < 0) {
		return ret;
	}
	bytes = align_down(bytes, blk_limits(blk)->block_bytes);
	*ret_sectors = bytes / BLK_SECTOR_BYTES;
	return bytes > 0 ? 0
			 : err(-EINVAL, "%s: shorter than a block of %u bytes",
			       disk->path, blk_limits(blk)->block_bytes);
}

static int choose_size(struct blk_dev *blk, uint64_t want_sectors,
		       uint64_t *ret_sectors)
{
	const struct file_disk *disk = blk_priv(blk);
	uint64_t has_sectors;
	int ret = look_at_size(blk, &has_sectors);

	if (ret < 0) {
		return ret;
	}
	if (want_sectors > has_sectors) {
		return err(-ENOSPC, "capacity: %s has only %llu bytes",
			   disk->path,
			   (unsigned long long)has_sectors * BLK_SECTOR_BYTES);
	}
	*ret_sectors = want_sectors > 0 ? want_sectors : has_sectors;
	return 0;
}

static int look_at_file(struct blk_dev *blk)
{
	struct file_disk *disk = blk_priv(blk);
	struct blk_limits *l = blk_limits(blk);
	uint32_t logical;
	int ret = 0;

	disk->align = 1;
	if (disk->is_direct) {
		ret = probe_align(disk);
	}
	if (ret < 0) {
		return ret;
	}
	look_at_units(disk, &logical, l);
	if (disk->is_direct && l->block_bytes < logical) {
		return err(-EINVAL,
			   "block_size: direct I/O on %s needs blocks of %u "
			   "bytes",
			   disk->path, logical);
	}
	l->discard_sectors = RANGE_MAX_SECTORS;
	l->write_zeroes_sectors = RANGE_MAX_SECTORS;
	disk->is_missing[FILE_DISCARD] = !disk->is_block;
	return choose_size(blk, l->capacity_sectors, &l->capacity_sectors);
}

int file_open(struct blk_dev *blk)
{
	struct file_disk *disk = blk_priv(blk);
	bool is_read_only = blk_limits(blk)->is_read_only;
	int ret;

	if (disk->path[0] == '\0') {
		return err(-EINVAL, "backend file: path FILE is needed");
	}
	disk->zeroes = aligned_alloc(FILE_ALIGN_MAX, FILE_ZERO_BYTES);
	if (!disk->zeroes) {
		return err(-ENOMEM, "out of memory");
	}
	memset(disk->zeroes, 0, FILE_ZERO_BYTES);
	ret = open_path(disk, is_read_only, &disk->fd);
	if (ret < 0) {
		return ret;
	}
	disk->life_fd = -1;
	disk->is_open = true;
	ret = lock(blk, is_read_only);
	return ret < 0 ? ret : look_at_file(blk);
}

void file_close(struct blk_dev *blk)
{
	struct file_disk *disk = blk_priv(blk);

	if (disk->is_open) {
		(void)close_fd(disk->fd);
		(void)close_fd(disk->life_fd);
	}
	free(disk->zeroes);
}

int file_resize(struct blk_dev *blk, uint64_t want_sectors,
		uint64_t *ret_sectors)
{
	return choose_size(blk, want_sectors, ret_sectors);
}
