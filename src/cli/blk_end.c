/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ends of a copy: devices and files.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/blk.h"

int blk_end_open_device(const struct cli *cli, struct vdpakit *kit,
			const char *word, const struct blk_end_want *want,
			struct blk_end *ret)
{
	struct vdpakit_blk_options options = {
		.size = sizeof(options),
		.poll_us = want->poll_us,
		.n_queues = (uint16_t)want->n_queues,
	};
	struct blk_end end = { .word = word, .fd = -1 };
	int r = io_dev_add(cli, kit, word, "blk", want->name);

	while (options.queue_size < want->depth) {
		options.queue_size =
			options.queue_size ? (uint16_t)(2 * options.queue_size)
					   : 1;
	}
	if (r == 0) {
		r = io_err(
			vdpakit_blk_open(kit, want->name, &options, &end.blk));
	}
	if (r < 0) {
		return err_context(r, "%s", word);
	}
	vdpakit_blk_get_info(end.blk, &end.info, sizeof(end.info));
	end.size_bytes = end.info.capacity_bytes;
	*ret = end;
	return 0;
}

static int look_at_file(struct blk_end *end)
{
	struct stat st;
	off_t size;

	if (fstat(end->fd, &st) < 0) {
		return err(-errno, "%s: %s", end->word, strerror(errno));
	}
	if (S_ISDIR(st.st_mode)) {
		return err(-EISDIR, "%s is a folder", end->word);
	}
	/* Of block devices, too. */
	size = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)
		       ? lseek(end->fd, 0, SEEK_END)
		       : -1;
	end->is_stream = size < 0;
	end->size_bytes = size < 0 ? UINT64_MAX : (uint64_t)size;
	return 0;
}

static int open_file(const char *word, const struct blk_end_want *want,
		     struct blk_end *ret)
{
	struct blk_end end = { .word = word, .owns_fd = true };
	int r;

	if (strcmp(word, "-") == 0) {
		end.fd = want->is_target ? STDOUT_FILENO : STDIN_FILENO;
		end.owns_fd = false;
	} else {
		end.fd = open(word,
			      O_CLOEXEC | (want->is_target ? O_RDWR | O_CREAT
							   : O_RDONLY),
			      0666);
	}
	if (end.fd < 0) {
		return err(-errno, "%s: %s", word, strerror(errno));
	}
	r = look_at_file(&end);
	if (strcmp(word, "-") == 0) {
		/* Where it stands, and whoever goes on with it, is not our
		 * affair. */
		end.is_stream = true;
		end.size_bytes = UINT64_MAX;
	}
	if (r < 0) {
		(void)blk_end_close(&end); /* nothing was written */
		return r;
	}
	*ret = end;
	return 0;
}

int blk_end_open(const struct cli *cli, struct vdpakit *kit, const char *word,
		 const struct blk_end_want *want, struct blk_end *ret)
{
	return io_is_device(word)
		       ? blk_end_open_device(cli, kit, word, want, ret)
		       : open_file(word, want, ret);
}

int blk_end_close(struct blk_end *end)
{
	int r = 0;

	vdpakit_blk_close(end->blk);
	end->blk = NULL;
	if (end->owns_fd && end->fd >= 0 && close(end->fd) < 0) {
		r = err(-errno, "%s: %s", end->word, strerror(errno));
	}
	end->fd = -1;
	return r;
}
