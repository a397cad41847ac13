/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request's data, some pieces at a time.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/pieces.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct iovec blk_pos_piece(const struct blk_req *req, const struct blk_pos *pos)
{
	const struct iovec *piece = &req->iov[pos->idx];

	return (struct iovec){ (char *)piece->iov_base + pos->off,
			       piece->iov_len - pos->off };
}

void blk_pos_advance(const struct blk_req *req, struct blk_pos *pos, size_t len)
{
	while (len > 0) {
		size_t left = req->iov[pos->idx].iov_len - pos->off;

		if (len < left) {
			pos->off += len;
			return;
		}
		len -= left;
		pos->idx++;
		pos->off = 0;
	}
}

void blk_pos_copy(const struct blk_req *req, struct blk_pos pos, char *buffer,
		  size_t len)
{
	while (len > 0) {
		struct iovec piece = blk_pos_piece(req, &pos);
		size_t n = min_of(len, piece.iov_len);

		if (req->op == BLK_READ) {
			memcpy(piece.iov_base, buffer, n);
		} else {
			memcpy(buffer, piece.iov_base, n);
		}
		buffer += n;
		len -= n;
		pos.idx++;
		pos.off = 0;
	}
}

void blk_pool_init(struct blk_pool *pool, size_t buffer_bytes,
		   unsigned int n_max)
{
	assert(n_max > 0 && n_max <= BLK_POOL_BUFFERS_MAX);
	*pool = (struct blk_pool){
		.buffer_bytes = buffer_bytes,
		.n_max = n_max,
	};
	list_init(&pool->waiting);
}

void blk_pool_fini(struct blk_pool *pool)
{
	assert(pool->n_free == pool->n_buffers);
	while (pool->n_free > 0) {
		free(pool->free[--pool->n_free]);
	}
	pool->n_buffers = 0;
}

char *blk_pool_take(struct blk_pool *pool, struct list *node)
{
	list_init(node);
	if (pool->n_free > 0) {
		return pool->free[--pool->n_free];
	}
	if (pool->n_buffers < pool->n_max) {
		char *buffer =
			aligned_alloc(BLK_POOL_ALIGN, pool->buffer_bytes);

		if (buffer) {
			pool->n_buffers++;
			return buffer;
		}
	}
	if (pool->n_buffers > 0) {
		list_add_tail(&pool->waiting, node);
	}
	return NULL;
}

struct list *blk_pool_give(struct blk_pool *pool, char *buffer)
{
	struct list *next = pool->waiting.next;

	if (list_is_empty(&pool->waiting)) {
		pool->free[pool->n_free++] = buffer;
		return NULL;
	}
	list_del(next);
	return next;
}
