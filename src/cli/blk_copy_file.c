/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files of a copy: holes, ranges, sizes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/blk_copy.h"

/* ---- reading ---- */

bool copy_is_zero(const char *buf, size_t len)
{
	static const char zero[16];
	size_t head = min_of(len, sizeof(zero));

	/* If the first bytes are zero and each equals the one 16 before it ... */
	return memcmp(buf, zero, head) == 0 &&
	       (len <= head || memcmp(buf, buf + head, len - head) == 0);
}

/* Is all of [offset, offset + len) in a hole? Where one cannot know: no. */
static bool is_hole(int fd, uint64_t offset, uint32_t len)
{
	off_t data = lseek(fd, (off_t)offset, SEEK_DATA);

	return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + len;
}

/* Return: bytes, fewer than @len at the end only; -errno */
static int64_t read_all(const struct blk_end *src, char *buf, uint32_t len,
			uint64_t offset)
{
	uint32_t n = 0;

	while (n < len) {
		ssize_t r = src->is_stream ? read(src->fd, buf + n, len - n)
					   : pread(src->fd, buf + n, len - n,
						   (off_t)(offset + n));

		if (r < 0 && errno == EINTR) {
			continue;
		}
		if (r < 0) {
			return err(-errno, "%s: %s", src->word,
				   strerror(errno));
		}
		if (r == 0) {
			break;
		}
		n += (uint32_t)r;
	}
	return n;
}

int copy_file_read(const struct blk_copy *job, struct copy_slot *s)
{
	const struct blk_end *src = &job->src;
	uint64_t offset = job->src_offset + s->at;
	int64_t n;

	s->is_last = false;
	if (job->is_sparse && !src->is_stream &&
	    is_hole(src->fd, offset, s->len)) {
		s->is_zero = true;
		return 0;
	}
	n = read_all(src, s->buf, s->len, offset);
	if (n < 0) {
		return (int)n;
	}
	if (n == s->len) {
		return 0;
	}
	if (!src->is_stream) {
		return err(-EIO, "%s has become shorter", src->word);
	}
	s->len = (uint32_t)n;
	s->is_last = true;
	if (job->dst.blk && n % job->dst.info.block_bytes != 0 && !job->pads) {
		return err(-EINVAL,
			   "%s ends within a block of %u bytes; --pad fills it "
			   "up with zeroes",
			   src->word, job->dst.info.block_bytes);
	}
	if (job->dst.blk &&
	    job->dst_offset + s->at + s->len > job->dst.size_bytes) {
		return err(-ENOSPC, "%s is longer than %s", src->word,
			   job->dst.word);
	}
	return 0;
}

/* ---- writing ---- */

static int write_all(const struct blk_end *dst, const char *buf, uint32_t len,
		     uint64_t offset)
{
	uint32_t n = 0;

	while (n < len) {
		ssize_t r = dst->is_stream ? write(dst->fd, buf + n, len - n)
					   : pwrite(dst->fd, buf + n, len - n,
						    (off_t)(offset + n));

		if (r < 0 && errno != EINTR) {
			return err(-errno, "%s: %s", dst->word,
				   strerror(errno));
		}
		n += r > 0 ? (uint32_t)r : 0;
	}
	return 0;
}

/* Return: true: it reads as zeroes now */
static bool punch(const struct blk_end *dst, const struct copy_slot *s,
		  uint64_t offset)
{
	/* Beyond its end nothing is written: copy_finish() sets the size. */
	return offset >= dst->size_bytes ||
	       fallocate(dst->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)offset, s->len) == 0;
}

int copy_file_write(const struct blk_end *dst, const struct copy_slot *s,
		    uint64_t offset)
{
	if (s->is_zero && !dst->is_stream && punch(dst, s, offset)) {
		return 0;
	}
	if (s->is_zero) {
		memset(s->buf, 0, s->len);
	}
	return write_all(dst, s->buf, s->len, offset);
}

/* ---- before and after ---- */

static int check_offset(const struct blk_end *end, uint64_t offset)
{
	if (end->blk && offset % end->info.block_bytes != 0) {
		return err(-EINVAL,
			   "%s: offset %llu is no multiple of its blocks of %u "
			   "bytes",
			   end->word, (unsigned long long)offset,
			   end->info.block_bytes);
	}
	if (end->is_stream && offset > 0) {
		return err(-ESPIPE, "%s has no offsets", end->word);
	}
	return 0;
}

static int check_length(struct blk_copy *job)
{
	const struct blk_end *src = &job->src, *dst = &job->dst;
	uint64_t left = src->size_bytes - job->src_offset;

	if (job->src_offset > src->size_bytes) {
		return err(-ERANGE, "%s has %llu bytes only", src->word,
			   (unsigned long long)src->size_bytes);
	}
	if (job->len_bytes == UINT64_MAX && !src->is_stream) {
		job->len_bytes = left;
	}
	if (!src->is_stream && job->len_bytes > left) {
		return err(-ERANGE, "%s has %llu bytes only", src->word,
			   (unsigned long long)src->size_bytes);
	}
	if (!dst->blk || job->len_bytes == UINT64_MAX) {
		return 0;
	}
	if (!range_fits(job->dst_offset, job->len_bytes, dst->size_bytes)) {
		return err(-ENOSPC,
			   "%llu bytes at %llu do not fit on %s, which has "
			   "%llu",
			   (unsigned long long)job->len_bytes,
			   (unsigned long long)job->dst_offset, dst->word,
			   (unsigned long long)dst->size_bytes);
	}
	if (job->len_bytes % dst->info.block_bytes != 0 && !job->pads) {
		return err(-EINVAL,
			   "%llu bytes are no multiple of the blocks of %u "
			   "bytes of %s; --pad fills the last one up with "
			   "zeroes",
			   (unsigned long long)job->len_bytes,
			   dst->info.block_bytes, dst->word);
	}
	return 0;
}

/* What a device takes at once, and in how many queues. */
static void fit_device(struct blk_copy *job, const struct blk_end *end)
{
	if (!end->blk) {
		return;
	}
	job->chunk_bytes = (uint32_t)min_of((uint64_t)job->chunk_bytes,
					    end->info.max_request_bytes);
	job->chunk_bytes -= job->chunk_bytes % end->info.block_bytes;
	job->depth = min_of(job->depth, (unsigned int)end->info.queue_size);
	job->n_threads =
		min_of(job->n_threads, (unsigned int)end->info.n_queues);
}

int copy_prepare(struct blk_copy *job)
{
	int r = check_offset(&job->src, job->src_offset);

	if (r == 0) {
		r = check_offset(&job->dst, job->dst_offset);
	}
	if (r == 0) {
		r = check_length(job);
	}
	if (r < 0) {
		return r;
	}
	if (job->dst.blk && job->dst.info.is_read_only) {
		return err(-EROFS, "%s is read-only", job->dst.word);
	}
	if (job->src.is_stream || job->dst.is_stream) {
		job->n_threads = 1;
	}
	fit_device(job, &job->src);
	fit_device(job, &job->dst);
	return job->chunk_bytes > 0
		       ? 0
		       : err(-EINVAL, "the chunk is smaller than a block");
}

int copy_finish(struct blk_copy *job)
{
	const struct blk_end *dst = &job->dst;
	uint64_t end = job->dst_offset + job->done_bytes;

	if (!dst->blk && !dst->is_stream && end > dst->size_bytes &&
	    ftruncate(dst->fd, (off_t)end) < 0) {
		return err(-errno, "%s: %s", dst->word, strerror(errno));
	}
	return 0;
}
