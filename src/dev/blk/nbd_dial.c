/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end nbd: connecting.
 *
 * libnbd resolves names while it connects, and calls that block are not for
 * the control thread or a worker: each attempt has a thread (job.h), and hands
 * over a handle that is ready for requests, or the reason why there is none.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dev/blk/nbd.h"

/* Of a server that does not say. */
#define MAX_BYTES_DEFAULT (32U << 20)

/* What libnbd says of the call before, on this thread. */
static int nbd_err(void)
{
	const char *text = nbd_get_error();
	int code = nbd_get_errno();

	return err(code > 0 ? -code : -EIO, "%s",
		   text ? text : "nbd: the server has gone");
}

static int set_up(struct nbd_handle *h, const struct nbd_server *server)
{
	/* What of a buffer was not filled is told, and not to be trusted. */
	if (nbd_set_pread_initialize(h, false) < 0 ||
	    nbd_set_uri_allow_local_file(h, true) < 0 ||
	    (server->export[0] != '\0' &&
	     nbd_set_export_name(h, server->export) < 0)) {
		return nbd_err();
	}
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int connect_to(struct nbd_handle *h, const struct nbd_server *server)
{
	int64_t end_ms = now_ms() + (int64_t)server->connect_s * 1000;
	int ret = server->path[0] != '\0'
			  ? nbd_aio_connect_unix(h, server->path)
			  : nbd_aio_connect_uri(h, server->uri);

	while (ret >= 0 && !nbd_aio_is_ready(h)) {
		int64_t left_ms = end_ms - now_ms();

		if (left_ms <= 0) {
			return err(-ETIMEDOUT,
				   "nbd: the server did not answer in %u s",
				   server->connect_s);
		}
		ret = nbd_poll(h, (int)left_ms);
		if (ret >= 0 && (nbd_aio_is_dead(h) || nbd_aio_is_closed(h))) {
			return err(-ECONNRESET,
				   "nbd: the server closed the connection");
		}
	}
	return ret < 0 ? nbd_err() : 0;
}

/* A block size that the server told; 0: not told. */
static uint32_t block_size(struct nbd_handle *h, int which)
{
	int64_t bytes = nbd_get_block_size(h, which);

	return bytes > 0 ? (uint32_t)min_of(bytes, (int64_t)1 << 31) : 0;
}

static int look(struct nbd_handle *h, struct nbd_facts *facts)
{
	int64_t size = nbd_get_size(h);

	if (size < 0) {
		return nbd_err();
	}
	*facts = (struct nbd_facts){
		.size_bytes = (uint64_t)size,
		.block_bytes = max_of(block_size(h, LIBNBD_SIZE_MINIMUM), 1U),
		.preferred_bytes = block_size(h, LIBNBD_SIZE_PREFERRED),
		.max_bytes = block_size(h, LIBNBD_SIZE_MAXIMUM),
		.is_read_only = nbd_is_read_only(h) > 0,
		.can_flush = nbd_can_flush(h) > 0,
		.can_fua = nbd_can_fua(h) > 0,
		.can_trim = nbd_can_trim(h) > 0,
		.can_zero = nbd_can_zero(h) > 0,
		.can_multi_conn = nbd_can_multi_conn(h) > 0,
	};
	if (!is_pow2(facts->block_bytes)) {
		return err(-EPROTO, "nbd: the server has blocks of %u bytes",
			   facts->block_bytes);
	}
	if (facts->max_bytes == 0 || facts->max_bytes > MAX_BYTES_DEFAULT) {
		facts->max_bytes = MAX_BYTES_DEFAULT;
	}
	return 0;
}

static int dial(struct nbd_dial *d)
{
	int ret;

	d->handle = nbd_create();
	if (!d->handle) {
		return nbd_err();
	}
	ret = set_up(d->handle, &d->server);
	if (ret == 0) {
		ret = connect_to(d->handle, &d->server);
	}
	if (ret == 0) {
		ret = look(d->handle, &d->facts);
	}
	if (ret < 0) {
		nbd_close(d->handle);
		d->handle = NULL;
	}
	return ret;
}

static void dial_run(struct blk_job *job)
{
	struct nbd_dial *d = container_of(job, struct nbd_dial, job);

	d->ret = dial(d);
	if (d->ret < 0) {
		(void)snprintf(d->text, sizeof(d->text), "%s",
			       err_text(d->ret));
	}
}

static void dial_free(struct blk_job *job)
{
	struct nbd_dial *d = container_of(job, struct nbd_dial, job);

	nbd_close(d->handle);
	free(d);
}

int nbd_dial_new(const struct nbd_server *server, struct loop *loop,
		 void (*fn)(struct blk_job *job), void *priv,
		 struct nbd_dial **ret)
{
	struct nbd_dial *d = calloc(1, sizeof(*d));
	int r;

	if (!d) {
		return err(-ENOMEM, "out of memory");
	}
	d->job = (struct blk_job){
		.run = dial_run,
		.free = dial_free,
		.loop = loop,
		.fn = fn,
	};
	d->server = *server;
	d->priv = priv;
	r = blk_job_start(&d->job);
	if (r < 0) {
		free(d);
		return r;
	}
	*ret = d;
	return 0;
}
