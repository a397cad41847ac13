/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end nbd: an export of a network block device server, by libnbd.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/nbd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#define CONNECT_S_MAX	    60
#define CONNECT_S_DEFAULT   5
#define RECONNECT_S_DEFAULT 60
#define SECONDS_MAX	    86400
/* What libnbd's thread may be late, before it is not waited for any more. */
#define LATE_MS		  500
#define BLOCK_BYTES_MAX	  4096
#define RANGE_MAX_SECTORS (1U << 22) /* 2 GiB: lengths have 32 bits */

/* ---- keys ---- */

static int set_uri(struct blk_dev *blk, const char *value)
{
	struct nbd_server *server = &((struct nbd_disk *)blk_priv(blk))->server;

	return blk_parse_text("uri", value, server->uri, sizeof(server->uri));
}

static int set_socket(struct blk_dev *blk, const char *value)
{
	struct nbd_server *server = &((struct nbd_disk *)blk_priv(blk))->server;

	return blk_parse_text("socket", value, server->path,
			      sizeof(server->path));
}

static int set_export(struct blk_dev *blk, const char *value)
{
	struct nbd_server *server = &((struct nbd_disk *)blk_priv(blk))->server;

	return blk_parse_text("export", value, server->export,
			      sizeof(server->export));
}

static int set_reconnect(struct blk_dev *blk, const char *value)
{
	struct nbd_disk *disk = blk_priv(blk);

	disk->has_reconnect_s = true;
	return blk_parse_seconds("reconnect_s", value, 0, SECONDS_MAX,
				 &disk->reconnect_s);
}

static int set_connect(struct blk_dev *blk, const char *value)
{
	struct nbd_disk *disk = blk_priv(blk);

	return blk_parse_seconds("connect_s", value, 1, CONNECT_S_MAX,
				 &disk->server.connect_s);
}

static int set_write_through(struct blk_dev *blk, const char *value)
{
	struct nbd_disk *disk = blk_priv(blk);

	return parse_bool("write_through", value, &disk->is_write_through);
}

static const struct blk_key nbd_keys[] = {
	{ { "uri", "URI", "nbd://HOST[:PORT]/EXPORT and the like" }, set_uri },
	{ { "socket", "FILE", "unix socket of the server, instead of uri" },
	  set_socket },
	{ { "export", "NAME", "of the export (default: the uri's, or none)" },
	  set_export },
	{ { "connect_s", "N",
	    "seconds that connecting may take, 1 to 60 (default 5)" },
	  set_connect },
	{ { "reconnect_s", "N",
	    "seconds that requests wait for a server that is gone, before they "
	    "fail (default 60)" },
	  set_reconnect },
	{ { "write_through", "on|off",
	    "each write is on the server's stable storage when it is done "
	    "(default off)" },
	  set_write_through },
	BLK_KEY_READ_ONLY,
};

/* ---- opening ---- */

static int check_keys(struct nbd_disk *disk)
{
	struct nbd_server *server = &disk->server;

	if ((server->uri[0] == '\0') == (server->path[0] == '\0')) {
		return err(-EINVAL, "backend nbd: either uri or socket is "
				    "needed");
	}
	if (server->connect_s == 0) {
		server->connect_s = CONNECT_S_DEFAULT;
	}
	if (!disk->has_reconnect_s) {
		disk->reconnect_s = RECONNECT_S_DEFAULT;
	}
	return 0;
}

static int dial_first(struct nbd_disk *disk)
{
	const struct nbd_server *server = &disk->server;
	int ret = nbd_dial_new(server, NULL, NULL, NULL, &disk->first);

	if (ret < 0) {
		return ret;
	}
	if (blk_job_wait(&disk->first->job,
			 server->connect_s * 1000 + LATE_MS) < 0) {
		return err(-ETIMEDOUT, "nbd: no connection after %u s",
			   server->connect_s);
	}
	if (disk->first->ret < 0) {
		return err(disk->first->ret, "%s", disk->first->text);
	}
	return 0;
}

static uint8_t log2_of(uint32_t v)
{
	return (uint8_t)(31 - __builtin_clz(v));
}

static int choose_blocks(struct blk_limits *l, const struct nbd_facts *facts)
{
	uint32_t preferred = facts->preferred_bytes;

	if (facts->block_bytes > BLOCK_BYTES_MAX) {
		return err(-EOPNOTSUPP,
			   "nbd: the server has blocks of %u bytes",
			   facts->block_bytes);
	}
	if (l->block_bytes == 0) {
		l->block_bytes =
			max_of(facts->block_bytes, (uint32_t)BLK_SECTOR_BYTES);
	}
	if (l->block_bytes < facts->block_bytes) {
		return err(-EINVAL,
			   "block_size: the server needs blocks of %u bytes",
			   facts->block_bytes);
	}
	if (is_pow2(preferred) && preferred > l->block_bytes) {
		l->physical_exp =
			log2_of(min_of(preferred, (uint32_t)BLOCK_BYTES_MAX) /
				l->block_bytes);
		l->min_io_blocks = (uint16_t)min_of(preferred / l->block_bytes,
						    (uint32_t)UINT16_MAX);
	}
	return 0;
}

static uint64_t sectors_of(const struct blk_limits *l, uint64_t bytes)
{
	return align_down(bytes, l->block_bytes) / BLK_SECTOR_BYTES;
}

static int fill_limits(struct blk_dev *blk, const struct nbd_facts *facts)
{
	struct nbd_disk *disk = blk_priv(blk);
	struct blk_limits *l = blk_limits(blk);
	int ret = choose_blocks(l, facts);

	if (ret < 0) {
		return ret;
	}
	l->capacity_sectors = sectors_of(l, facts->size_bytes);
	if (l->capacity_sectors == 0) {
		return err(-EINVAL, "nbd: the export is empty");
	}
	l->is_read_only = l->is_read_only || facts->is_read_only;
	l->has_volatile_cache = facts->can_flush && !disk->is_write_through;
	l->discard_sectors = facts->can_trim ? RANGE_MAX_SECTORS : 0;
	l->write_zeroes_sectors = facts->can_zero ? RANGE_MAX_SECTORS : 0;
	disk->block_bytes = l->block_bytes;
	disk->size_bytes = facts->size_bytes;
	disk->is_shared = !facts->can_multi_conn;
	l->has_one_worker = disk->is_shared;
	return 0;
}

static int nbd_open(struct blk_dev *blk)
{
	struct nbd_disk *disk = blk_priv(blk);
	int ret = check_keys(disk);

	if (ret == 0) {
		ret = dial_first(disk);
	}
	return ret < 0 ? ret : fill_limits(blk, &disk->first->facts);
}

static void nbd_close_disk(struct blk_dev *blk)
{
	struct nbd_disk *disk = blk_priv(blk);

	if (disk->first) {
		blk_job_drop(&disk->first->job);
	}
}

/* As large as the newest connection found it: what a server says holds for the
 * life of a connection. */
static int nbd_resize(struct blk_dev *blk, uint64_t want_sectors,
		      uint64_t *ret_sectors)
{
	const struct nbd_disk *disk = blk_priv(blk);

	if (want_sectors > 0) {
		return err(-EOPNOTSUPP,
			   "capacity: the server's; only auto is possible");
	}
	*ret_sectors =
		sectors_of(blk_limits(blk), __atomic_load_n(&disk->size_bytes,
							    __ATOMIC_RELAXED));
	return 0;
}

const struct blk_backend blk_backend_nbd = {
	.name = "nbd",
	.help = "an export of an NBD server",
	.keys = nbd_keys,
	.n_keys = ARRAY_SIZE(nbd_keys),
	.dev_bytes = sizeof(struct nbd_disk),
	.vq_bytes = sizeof(struct nbd_vq),
	.req_bytes = sizeof(struct nbd_req),
	.open = nbd_open,
	.close = nbd_close_disk,
	.queue_start = nbd_queue_start,
	.queue_stop = nbd_queue_stop,
	.submit = nbd_submit,
	.cancel = nbd_cancel,
	.resize = nbd_resize,
};
