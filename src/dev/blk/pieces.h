/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request's data, some pieces at a time, and buffers to put it through.
 *
 * For back ends whose steps do not take the driver's pieces as they are: a
 * position says how far a request has come, and a pool lends buffers, up to a
 * number of them for each queue or connection; who finds none waits in turn.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_PIECES_H
#define DEV_BLK_PIECES_H

#include "base/list.h"
#include "dev/blk/backend.h"

/* At byte @off of piece @idx. */
struct blk_pos {
	unsigned int idx;
	size_t off;
};

/* What is left of the piece at @pos. */
struct iovec blk_pos_piece(const struct blk_req *req,
			   const struct blk_pos *pos);
/* @len bytes on. */
void blk_pos_advance(const struct blk_req *req, struct blk_pos *pos,
		     size_t len);

/* Copies @len bytes from @pos on: of a read out of @buffer, else into it. */
void blk_pos_copy(const struct blk_req *req, struct blk_pos pos, char *buffer,
		  size_t len);

#define BLK_POOL_BUFFERS_MAX 16
#define BLK_POOL_ALIGN	     4096

/**
 * struct blk_pool - buffers of one owner
 *
 * One worker's only. blk_pool_init(); no buffer is out at blk_pool_fini().
 */
struct blk_pool {
	size_t buffer_bytes;
	unsigned int n_max; /* up to BLK_POOL_BUFFERS_MAX */
	struct list waiting;
	char *free[BLK_POOL_BUFFERS_MAX];
	unsigned int n_free;
	unsigned int n_buffers; /* free or out */
};

void blk_pool_init(struct blk_pool *pool, size_t buffer_bytes,
		   unsigned int n_max);
void blk_pool_fini(struct blk_pool *pool);

/**
 * blk_pool_take() - borrow a buffer
 * @node: of who wants it: waits when there is none. list_del() leaves the line
 *
 * Return: the buffer; NULL: @node waits, or is alone (list_is_empty()): no
 * memory, and nobody who will give one back
 */
char *blk_pool_take(struct blk_pool *pool, struct list *node);

/* Return: who waits and owns @buffer now; NULL: nobody, it is free. */
struct list *blk_pool_give(struct blk_pool *pool, char *buffer);

#endif
