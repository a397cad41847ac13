/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end null: no sectors at all, for measuring what stands around
 * them. Writes are forgotten; reads leave the driver's buffer alone, and say
 * that nothing was written to it, unless zero=on.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"
#include "dev/blk/backend.h"

#define DEFAULT_SECTORS	  (1ULL << 31) /* 1 TiB */
#define RANGE_MAX_SECTORS UINT32_MAX

struct null_disk {
	bool has_zeroes;
};

static int64_t fill(const struct blk_req *req)
{
	for (unsigned int i = 0; i < req->n_iov; i++) {
		memset(req->iov[i].iov_base, 0, req->iov[i].iov_len);
	}
	return (int64_t)req->len;
}

static void null_submit(struct blk_vq *q, struct blk_req *const *reqs,
			unsigned int n)
{
	const struct null_disk *disk = blk_priv(blk_vq_dev(q));

	for (unsigned int i = 0; i < n; i++) {
		bool is_filled = disk->has_zeroes && reqs[i]->op == BLK_READ;

		blk_done(reqs[i], is_filled ? fill(reqs[i]) : 0);
	}
}

static int null_open(struct blk_dev *blk)
{
	struct blk_limits *l = blk_limits(blk);

	if (l->capacity_sectors == 0) {
		l->capacity_sectors = DEFAULT_SECTORS;
	}
	l->has_volatile_cache = false;
	l->discard_sectors = RANGE_MAX_SECTORS;
	l->write_zeroes_sectors = RANGE_MAX_SECTORS;
	l->secure_erase_sectors = RANGE_MAX_SECTORS;
	return 0;
}

static void null_close(struct blk_dev *blk)
{
	(void)blk;
}

static int null_resize(struct blk_dev *blk, uint64_t want_sectors,
		       uint64_t *ret_sectors)
{
	(void)blk;
	if (want_sectors == 0) {
		return err(-EINVAL, "capacity: null disks need a size");
	}
	*ret_sectors = want_sectors;
	return 0;
}

static int set_zero(struct blk_dev *blk, const char *value)
{
	struct null_disk *disk = blk_priv(blk);

	return parse_bool("zero", value, &disk->has_zeroes);
}

static const struct blk_key null_keys[] = {
	BLK_KEY_CAPACITY("size of the disk (default 1T)"),
	BLK_KEY_READ_ONLY,
	{ { "zero", "on|off", "reads return zeroes (default off)" }, set_zero },
};

const struct blk_backend blk_backend_null = {
	.name = "null",
	.help = "nothing: writes are forgotten",
	.keys = null_keys,
	.n_keys = ARRAY_SIZE(null_keys),
	.dev_bytes = sizeof(struct null_disk),
	.open = null_open,
	.close = null_close,
	.submit = null_submit,
	.resize = null_resize,
};
