/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit blk: use a disk, whatever is behind it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/blk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/parse.h"

#define CHUNK_BYTES_DEFAULT (256U << 10)
#define DEPTH_DEFAULT	    16
#define SECTOR_BYTES	    512

/* What the options of read, write and copy said. */
struct copy_args {
	struct blk_copy job;
};

/* ---- options ---- */

static int set_offset(void *priv, const char *value)
{
	return parse_size("--offset", value,
			  &((struct copy_args *)priv)->job.src_offset);
}

static int set_target_offset(void *priv, const char *value)
{
	return parse_size("--target-offset", value,
			  &((struct copy_args *)priv)->job.dst_offset);
}

static int set_length(void *priv, const char *value)
{
	return parse_size("--length", value,
			  &((struct copy_args *)priv)->job.len_bytes);
}

static int set_chunk(void *priv, const char *value)
{
	uint64_t bytes;
	int r = parse_size("--chunk", value, &bytes);

	if (r == 0 && (bytes < SECTOR_BYTES || bytes > BLK_CHUNK_BYTES_MAX)) {
		r = err(-ERANGE, "--chunk: %s is not %u to %u", value,
			SECTOR_BYTES, BLK_CHUNK_BYTES_MAX);
	}
	if (r == 0) {
		((struct copy_args *)priv)->job.chunk_bytes = (uint32_t)bytes;
	}
	return r;
}

static int set_depth(void *priv, const char *value)
{
	return io_set_uint("--depth", value, 1, BLK_DEPTH_MAX,
			   &((struct copy_args *)priv)->job.depth);
}

static int set_threads(void *priv, const char *value)
{
	return io_set_uint("--threads", value, 1, BLK_THREADS_MAX,
			   &((struct copy_args *)priv)->job.n_threads);
}

static int set_dense(void *priv, const char *value)
{
	(void)value;
	((struct copy_args *)priv)->job.is_sparse = false;
	return 0;
}

static int set_pad(void *priv, const char *value)
{
	(void)value;
	((struct copy_args *)priv)->job.pads = true;
	return 0;
}

static int set_progress(void *priv, const char *value)
{
	(void)value;
	((struct copy_args *)priv)->job.wants_progress = true;
	return 0;
}

static const struct arg_option options[] = {
	{ "offset", 'o', "BYTES", "of DEVICE, or of SOURCE", set_offset },
	{ "target-offset", 0, "BYTES", "copy: of TARGET", set_target_offset },
	{ "length", 'l', "BYTES", "copy so much (default: all there is)",
	  set_length },
	{ "chunk", 'c', "BYTES", "of a request (default 256k)", set_chunk },
	{ "depth", 'd', "N", "requests under way (default 16)", set_depth },
	{ "threads", 't', "N",
	  "threads, each with a queue of the device (default 1)", set_threads },
	{ "dense", 0, NULL, "write zeroes as data, read holes", set_dense },
	{ "pad", 0, NULL, "fill the last block of a device up with zeroes",
	  set_pad },
	{ "progress", 0, NULL,
	  "show how far it is (default: when standard error is a terminal)",
	  set_progress },
};

static void print_copy_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

/* Return: words left; -errno */
static int take_args(struct copy_args *args, int argc, char **argv)
{
	*args = (struct copy_args){
		.job = { .len_bytes = UINT64_MAX,
			 .chunk_bytes = CHUNK_BYTES_DEFAULT,
			 .depth = DEPTH_DEFAULT,
			 .n_threads = 1,
			 .is_sparse = true,
			 .wants_progress = isatty(STDERR_FILENO),
			 .src = { .fd = -1 },
			 .dst = { .fd = -1 } },
	};
	return cli_take(options, ARRAY_SIZE(options), argc, argv, args);
}

/* ---- read, write, copy ---- */

int blk_check_device(const char *word)
{
	return io_is_device(word)
		       ? 0
		       : err(-EINVAL,
			     "%s is a file; for a disk in it say \"blk "
			     "backend=file path=%s\"",
			     word, word);
}

static int open_and_copy(const struct cli *cli, struct vdpakit *kit,
			 struct blk_copy *job, const char *from, const char *to)
{
	struct blk_end_want want = { .name = "source", .depth = job->depth };
	int r = blk_end_open(cli, kit, from, &want, &job->src), end;

	if (r == 0) {
		want.name = "target";
		want.is_target = true;
		r = blk_end_open(cli, kit, to, &want, &job->dst);
	}
	if (r == 0) {
		r = blk_copy_run(kit, job);
	}
	(void)blk_end_close(&job->src); /* nothing was written there */
	end = blk_end_close(&job->dst);
	return r < 0 ? r : end;
}

static int copy(const struct cli *cli, struct blk_copy *job, const char *from,
		const char *to)
{
	struct vdpakit *kit;
	int r = io_err(vdpakit_new(NULL, &kit));

	if (r == 0) {
		r = open_and_copy(cli, kit, job, from, to);
		vdpakit_free(kit);
	}
	return r;
}

static int blk_read(const struct cli *cli, int argc, char **argv)
{
	struct copy_args args;
	int n = take_args(&args, argc, argv), r = n;

	if (n < 0) {
		return n;
	}
	r = io_check_words(n, 1, 2,
			   "DEVICE and, if it is not to be standard "
			   "output, FILE");
	if (r == 0) {
		r = blk_check_device(argv[0]);
	}
	return r < 0 ? r : copy(cli, &args.job, argv[0], n > 1 ? argv[1] : "-");
}

static int blk_write(const struct cli *cli, int argc, char **argv)
{
	struct copy_args args;
	int n = take_args(&args, argc, argv), r = n;

	if (n < 0) {
		return n;
	}
	r = io_check_words(n, 1, 2,
			   "DEVICE and, if it is not to be standard "
			   "input, FILE");
	if (r == 0) {
		r = blk_check_device(argv[0]);
	}
	args.job.dst_offset = args.job.src_offset;
	args.job.src_offset = 0;
	return r < 0 ? r : copy(cli, &args.job, n > 1 ? argv[1] : "-", argv[0]);
}

static int blk_copy(const struct cli *cli, int argc, char **argv)
{
	struct copy_args args;
	int n = take_args(&args, argc, argv), r = n;

	if (n < 0) {
		return n;
	}
	r = io_check_words(n, 2, 2, "SOURCE and TARGET");
	return r < 0 ? r : copy(cli, &args.job, argv[0], argv[1]);
}

/* ---- the table ---- */

const struct cli_command io_blk_commands[] = {
	{ .name = "info",
	  .args = "[ OPTIONS ] DEVICE",
	  .help = "what the disk says of itself",
	  .max_args = CLI_ANY_ARGS,
	  .fn = blk_show_info,
	  .print_help = blk_info_help },
	{ .name = "read",
	  .args = "[ OPTIONS ] DEVICE [ FILE ]",
	  .help = "from the disk to a file, or standard output",
	  .max_args = CLI_ANY_ARGS,
	  .fn = blk_read,
	  .print_help = print_copy_help },
	{ .name = "write",
	  .args = "[ OPTIONS ] DEVICE [ FILE ]",
	  .help = "from a file, or standard input, to the disk",
	  .max_args = CLI_ANY_ARGS,
	  .fn = blk_write,
	  .print_help = print_copy_help },
	{ .name = "copy",
	  .args = "[ OPTIONS ] SOURCE TARGET",
	  .help = "between disks and files: each DEVICE or FILE",
	  .max_args = CLI_ANY_ARGS,
	  .fn = blk_copy,
	  .print_help = print_copy_help },
	{ .name = "bench",
	  .args = "[ OPTIONS ] DEVICE",
	  .help = "how fast it is",
	  .max_args = CLI_ANY_ARGS,
	  .fn = blk_bench,
	  .print_help = blk_bench_help },
	{ .name = NULL },
};
