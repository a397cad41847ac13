/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of devices that programs write: memory, and the way back.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "lib/lib_device.h"

int lib_misuse(struct vdpakit_device *dev, int code)
{
	__atomic_fetch_add(&dev->n_misuses, 1, __ATOMIC_RELAXED);
	return code;
}

struct vdpakit_request *lib_request_begin(struct lib_queue *q,
					  struct vq_chain *chain)
{
	struct soft_dev *soft = &q->dev->soft;
	struct vdpakit_request *req;

	if (unlikely(chain->is_faulty)) {
		soft_complete(soft, q->idx, chain, 0);
		return NULL;
	}
	req = soft_slot(soft, q->idx, chain);
	req->chain = chain;
	req->queue = q;
	__atomic_store_n(&req->is_taken, 1, __ATOMIC_RELAXED);
	return req;
}

struct vdpakit_device *vdpakit_request_device(const struct vdpakit_request *req)
{
	return req->queue->dev;
}

uint16_t vdpakit_request_queue(const struct vdpakit_request *req)
{
	return req->queue->idx;
}

void *vdpakit_request_data(struct vdpakit_request *req)
{
	return req->data;
}

const struct iovec *vdpakit_request_readable(const struct vdpakit_request *req,
					     unsigned int *ret_n)
{
	*ret_n = req->chain->n_readable;
	return req->chain->iov;
}

const struct iovec *vdpakit_request_writable(const struct vdpakit_request *req,
					     unsigned int *ret_n)
{
	*ret_n = req->chain->n_writable;
	return req->chain->iov + req->chain->n_readable;
}

uint32_t vdpakit_request_readable_bytes(const struct vdpakit_request *req)
{
	return req->chain->readable_bytes;
}

uint32_t vdpakit_request_writable_bytes(const struct vdpakit_request *req)
{
	return req->chain->writable_bytes;
}

int vdpakit_request_read(const struct vdpakit_request *req, uint32_t offset,
			 void *buf, uint32_t len)
{
	if (!range_fits(offset, len, req->chain->readable_bytes)) {
		return -EFAULT;
	}
	return vq_chain_read(req->chain, offset, buf, len);
}

int vdpakit_request_write(struct vdpakit_request *req, uint32_t offset,
			  const void *buf, uint32_t len)
{
	if (!range_fits(offset, len, req->chain->writable_bytes)) {
		return -EFAULT;
	}
	return vq_chain_write(req->chain, offset, buf, len);
}

int vdpakit_request_copy(struct vdpakit_request *to, uint32_t to_offset,
			 const struct vdpakit_request *from,
			 uint32_t from_offset, uint32_t len)
{
	if (!range_fits(to_offset, len, to->chain->writable_bytes) ||
	    !range_fits(from_offset, len, from->chain->readable_bytes)) {
		return -EFAULT;
	}
	return vq_chain_copy(to->chain, to_offset, from->chain, from_offset,
			     len);
}

/* ---- the way back ---- */

static void give_back(struct vdpakit_request *req)
{
	soft_complete(&req->queue->dev->soft, req->queue->idx, req->chain,
		      req->written);
}

/* Oldest first, as they were completed. With the last one the queue may be
 * stopped and nothing of it is to be touched any more. */
void lib_request_done_work(void *priv)
{
	struct lib_queue *q = priv;
	struct vdpakit_request *req, *next, *oldest = NULL;

	/* pairs with [request-done] */
	req = __atomic_exchange_n(&q->done, NULL, __ATOMIC_ACQUIRE);
	for (; req; req = next) {
		next = req->next;
		req->next = oldest;
		oldest = req;
	}
	for (; oldest; oldest = next) {
		next = oldest->next;
		give_back(oldest);
	}
}

static void send_back(struct lib_queue *q, struct vdpakit_request *req)
{
	struct vdpakit_request *newest =
		__atomic_load_n(&q->done, __ATOMIC_RELAXED);

	do {
		req->next = newest;
		/* [request-done] */
	} while (!__atomic_compare_exchange_n(&q->done, &newest, req, true,
					      __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
	loop_call(lib_queue_worker(q), &q->done_work);
}

int vdpakit_request_complete(struct vdpakit_request *req, uint32_t written)
{
	struct lib_queue *q = req->queue;
	struct vdpakit_device *dev = q->dev;
	int r = 0;

	if (unlikely(!__atomic_exchange_n(&req->is_taken, 0,
					  __ATOMIC_RELAXED))) {
		return lib_misuse(dev, -EALREADY);
	}
	if (unlikely(written > req->chain->writable_bytes)) {
		written = req->chain->writable_bytes;
		r = lib_misuse(dev, -EINVAL);
	}
	req->written = written;
	if (loop_is_owner(lib_queue_worker(q))) {
		give_back(req);
	} else {
		send_back(q, req);
	}
	return r;
}
