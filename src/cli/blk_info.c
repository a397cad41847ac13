/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit blk info: what a disk says of itself.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "base/err.h"
#include "cli/blk.h"

static const struct arg_option options[] = {
	IO_FORMAT_OPTIONS,
};

void blk_info_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

static json_t *info_json(const struct vdpakit_blk_info *i)
{
	return json_pack(
		"{s:I s:I s:I s:I s:I s:I s:I s:I s:I s:i s:i s:b s:b s:b s:o}",
		"capacity", (json_int_t)i->capacity_bytes, "block_size",
		(json_int_t)i->block_bytes, "physical_block_size",
		(json_int_t)i->physical_block_bytes, "optimal_io",
		(json_int_t)i->optimal_io_bytes, "max_segments",
		(json_int_t)i->max_segments, "max_request",
		(json_int_t)i->max_request_bytes, "max_discard",
		(json_int_t)i->max_discard_bytes, "discard_align",
		(json_int_t)i->discard_align_bytes, "max_write_zeroes",
		(json_int_t)i->max_write_zeroes_bytes, "queues",
		(int)i->n_queues, "queue_size", (int)i->queue_size, "read_only",
		(int)i->is_read_only, "flush", (int)i->can_flush, "packed",
		(int)i->is_packed, "features",
		json_sprintf("0x%llx", (unsigned long long)i->features));
}

static int show_info(const struct cli *cli, struct vdpakit *kit,
		     const struct io_format *format, const char *word)
{
	const struct blk_end_want want = { .name = "disk" };
	struct blk_end end;
	int r = blk_end_open_device(cli, kit, word, &want, &end);

	if (r == 0) {
		r = io_print_info(format, info_json(&end.info));
		(void)blk_end_close(&end); /* nothing was written */
	}
	return r;
}

int blk_show_info(const struct cli *cli, int argc, char **argv)
{
	struct io_format format = { cli->is_json, cli->is_pretty };
	struct vdpakit *kit;
	int r = cli_take(options, ARRAY_SIZE(options), argc, argv, &format);

	if (r < 0) {
		return r;
	}
	r = io_check_words(r, 1, 1, "DEVICE, one word,");
	if (r == 0) {
		r = blk_check_device(argv[0]);
	}
	if (r == 0) {
		r = io_err(vdpakit_new(NULL, &kit));
	}
	if (r == 0) {
		r = show_info(cli, kit, &format, argv[0]);
		vdpakit_free(kit);
	}
	return r;
}
