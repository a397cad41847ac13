/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse: the inflight log, a file that outlives us.
 *
 * A page that says what device it belongs to, then one part for each queue, as
 * large as its largest ring needs in either format (vq/inflight.h). It is
 * locked while we use it, zeroed with each new session, and removed when the
 * kernel lets go of the device. What was there when we came is only believed if the
 * kernel's device was there, too, and it fits; then the queues look at it as
 * they look at all that a peer could have written.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "busdrv/kvduse_internal.h"
#include "vq/vq.h"

#define MAGIC	     "vdpakit\n"
#define LOG_VERSION  1
#define HEADER_BYTES 4096
#define PART_ALIGN   64
/* How often a file may be removed under our hands. */
#define TRIES 10

struct log_header {
	char magic[8];
	uint32_t version;
	uint32_t device_id;
	uint32_t vendor_id;
	uint32_t nvqs;
	uint32_t num_max;
	uint32_t padding;
	uint64_t features;
	uint64_t part_bytes;
	uint32_t group_asid[VDPA_GROUPS_MAX]; /* may change */
};
_Static_assert(sizeof(struct log_header) <= HEADER_BYTES, "room for it");

static uint64_t file_bytes(const struct kvduse *kv)
{
	return HEADER_BYTES + kv->nvqs * kv->log.part_bytes;
}

static void fill_header(const struct kvduse *kv, struct log_header *h)
{
	*h = (struct log_header){
		.magic = MAGIC,
		.version = LOG_VERSION,
		.device_id = vdpa_get_device_id(kv->vdev),
		.vendor_id = vdpa_get_vendor_id(kv->vdev),
		.nvqs = kv->nvqs,
		.num_max = vdpa_get_vq_num_max(kv->vdev),
		.features = kv->features,
		.part_bytes = kv->log.part_bytes,
	};
	memcpy(h->group_asid, kv->group_asid, sizeof(h->group_asid));
}

/* ---- the file ---- */

/* Return: 0; 1 it was removed meanwhile; -errno */
static int lock_and_check(struct kvduse_log *log, struct stat *ret_st)
{
	if (flock(log->fd, LOCK_EX | LOCK_NB) < 0) {
		return errno == EWOULDBLOCK
			       ? err(-EBUSY, "%s: in use by another process",
				     log->path)
			       : err(-errno, "%s: %s", log->path,
				     strerror(errno));
	}
	if (fstat(log->fd, ret_st) < 0) {
		return err(-errno, "%s: %s", log->path, strerror(errno));
	}
	if (ret_st->st_nlink == 0) {
		return 1;
	}
	if (!S_ISREG(ret_st->st_mode) || ret_st->st_nlink != 1 ||
	    ret_st->st_uid != geteuid() || (ret_st->st_mode & 022) != 0) {
		return err(-EPERM,
			   "%s: not a plain file of our own that only we may "
			   "write",
			   log->path);
	}
	return 0;
}

static int open_file(struct kvduse_log *log, struct stat *ret_st)
{
	int r = 1;

	for (int i = 0; i < TRIES && r == 1; i++) {
		log->fd = close_fd(log->fd);
		log->fd = open(log->path,
			       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
				       O_NONBLOCK,
			       0600);
		r = log->fd < 0
			    ? err(-errno, "%s: %s", log->path, strerror(errno))
			    : lock_and_check(log, ret_st);
	}
	return r == 1 ? err(-EBUSY, "%s: removed again and again", log->path)
		      : r;
}

static bool take_asids(struct kvduse *kv, const struct log_header *h)
{
	for (uint32_t g = 0; g < kv->vdev->ngroups; g++) {
		if (h->group_asid[g] >= kv->vdev->nas) {
			return false;
		}
	}
	memcpy(kv->group_asid, h->group_asid, sizeof(kv->group_asid));
	return true;
}

/* Is it this device's, as far as its first page says? */
static bool is_ours(struct kvduse *kv, const struct stat *st)
{
	struct log_header found, want;

	if ((uint64_t)st->st_size != file_bytes(kv) ||
	    pread(kv->log.fd, &found, sizeof(found), 0) != sizeof(found)) {
		return false;
	}
	fill_header(kv, &want);
	return memcmp(&found, &want, offsetof(struct log_header, group_asid)) ==
		       0 &&
	       take_asids(kv, &found);
}

static int make(struct kvduse *kv)
{
	struct kvduse_log *log = &kv->log;
	struct log_header h;
	int r;

	fill_header(kv, &h);
	if (ftruncate(log->fd, 0) < 0) {
		return err(-errno, "%s: %s", log->path, strerror(errno));
	}
	/* Pages that are there need no room later. */
	r = posix_fallocate(log->fd, 0, (off_t)file_bytes(kv));
	if (r != 0) {
		return err(-r, "%s: %s", log->path, strerror(r));
	}
	if (pwrite(log->fd, &h, sizeof(h), 0) != sizeof(h)) {
		return err(-EIO, "%s: cannot write", log->path);
	}
	return 0;
}

static uint64_t part_bytes(const struct kvduse *kv)
{
	uint16_t num = vdpa_get_vq_num_max(kv->vdev);

	return align_up(max_of(vq_inflight_bytes(num, false),
			       vq_inflight_bytes(num, true)),
			PART_ALIGN);
}

static int open_and_map(struct kvduse *kv)
{
	struct kvduse_log *log = &kv->log;
	struct stat st;
	int r = open_file(log, &st);

	if (r < 0) {
		return r;
	}
	log->is_found = kv->is_found && is_ours(kv, &st);
	if (!log->is_found) {
		r = make(kv);
	}
	return r < 0 ? r
		     : region_new_mapped(log->fd, 0, file_bytes(kv),
					 MEM_PERM_RW, &log->region);
}

int kvduse_log_open(struct kvduse *kv)
{
	struct kvduse_log *log = &kv->log;
	int r = 0;

	/* a device of somebody else's may not be able to */
	if (log->path[0] != '\0' &&
	    vdpa_set_vq_inflight(kv->vdev, 0, NULL) == -EOPNOTSUPP) {
		log->path[0] = '\0';
	}
	if (log->path[0] != '\0') {
		log->part_bytes = part_bytes(kv);
		r = open_and_map(kv);
	}
	if (r == 0 && kv->is_found && !log->is_found) {
		log_warn(kv->vdev->name,
			 "vduse: no inflight log of it: what a driver has in "
			 "flight may be done a second time");
	}
	return r;
}

void kvduse_log_close(struct kvduse *kv, bool is_over)
{
	struct kvduse_log *log = &kv->log;

	for (uint32_t i = 0; log->region && i < kv->nvqs; i++) {
		(void)vdpa_set_vq_inflight(kv->vdev, i, NULL); /* it took one */
	}
	log->region = region_unref(log->region);
	if (log->fd >= 0 && is_over) {
		(void)unlink(log->path); /* or it is stale, and is not believed
					  */
	}
	log->fd = close_fd(log->fd);
}

/* ---- its parts ---- */

static uint64_t part_offset(const struct kvduse *kv, uint32_t idx)
{
	return HEADER_BYTES + idx * kv->log.part_bytes;
}

int kvduse_log_give(struct kvduse_vq *vq)
{
	struct kvduse *kv = vq->kv;
	const struct vdpa_inflight part = {
		.region = kv->log.region,
		.offset = part_offset(kv, vq->idx),
		.size_bytes = kv->log.part_bytes,
	};

	return part.region ? vdpa_set_vq_inflight(kv->vdev, vq->idx, &part) : 0;
}

void kvduse_log_clear(struct kvduse *kv, uint32_t idx)
{
	static const uint8_t zeroes[4096];
	uint64_t at = part_offset(kv, idx), left = kv->log.part_bytes;

	while (kv->log.region && left > 0) {
		size_t n = min_of(left, (uint64_t)sizeof(zeroes));

		(void)region_write(kv->log.region, at, zeroes, n); /* fits */
		at += n;
		left -= n;
	}
}

void kvduse_log_note_asid(struct kvduse *kv, uint32_t group)
{
	if (kv->log.region) {
		(void)region_write(kv->log.region,
				   offsetof(struct log_header, group_asid) +
					   group * sizeof(uint32_t),
				   &kv->group_asid[group],
				   sizeof(uint32_t)); /* fits */
	}
}
