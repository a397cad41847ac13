/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: memory that keeps what is in flight, and outlives us.
 *
 * We make it when the front end asks, as a sealed memfd, and use it from then
 * on; the front end keeps the descriptor and hands it to whoever comes after
 * us. Queues have parts of the same size, one after the other; the part of a
 * buffer that another back end made may be larger than what we would make.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/vhost_user_internal.h"
#include "vq/vq.h"

#define PART_ALIGN 64

static uint64_t needed(const struct vhost_user *vu, uint32_t num)
{
	return vq_inflight_bytes((uint16_t)num,
				 has_bit(vu->features, VIRTIO_F_RING_PACKED));
}

void vhost_user_inflight_drop(struct vhost_user *vu)
{
	for (uint32_t i = 0; vu->inflight && i < vu->n_rings; i++) {
		(void)vdpa_set_vq_inflight(vu->vdev, i, NULL); /* it took one */
	}
	vu->inflight = region_unref(vu->inflight);
}

/*
 * Before a ring starts. A ring may be larger than what the front end named
 * when it asked for the memory (guests choose it; SeaBIOS takes 256 of QEMU's
 * 128): with memory that another back end made it then runs without.
 */
int vhost_user_inflight_ring(const struct vhost_user_ring *ring)
{
	struct vhost_user *vu = ring->vu;
	const struct vdpa_inflight part = {
		.region = vu->inflight,
		.offset = ring->idx * vu->inflight_part,
		.size_bytes = vu->inflight_part,
	};

	if (!vu->inflight) {
		return 0;
	}
	if (ring->idx >= vu->n_inflight ||
	    needed(vu, ring->num) > vu->inflight_part) {
		log_warn(vu->vdev->name,
			 "ignoring that inflight memory has no room for ring "
			 "%u of %u",
			 ring->idx, ring->num);
		return vdpa_set_vq_inflight(vu->vdev, ring->idx, NULL);
	}
	return vdpa_set_vq_inflight(vu->vdev, ring->idx, &part);
}

/* From the next start of its rings on. */
static void use(struct vhost_user *vu, const struct vhost_user_inflight *in,
		struct region *take_region)
{
	vhost_user_inflight_drop(vu);
	vu->inflight = take_region;
	vu->n_inflight = in->num_queues;
	vu->inflight_part = align_down(in->mmap_size / in->num_queues, 8);
}

static int check(const struct vhost_user *vu,
		 const struct vhost_user_inflight *in)
{
	if (in->num_queues == 0 || in->num_queues > vu->n_rings ||
	    in->queue_size == 0 ||
	    in->queue_size > vdpa_get_vq_num_max(vu->vdev)) {
		return err(-EINVAL, "%u queues of %u", in->num_queues,
			   in->queue_size);
	}
	return 0;
}

/* Nobody can take away what we have mapped. */
static int make_file(uint64_t size)
{
	_cleanup_close_ int fd = memfd_create("vhost-user-inflight",
					      MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
		    0) {
		return err(-errno, "inflight memory: %s", strerror(errno));
	}
	return steal_fd(&fd);
}

static int make(struct vhost_user *vu, struct vhost_user_inflight *in,
		int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	struct region *region;
	int r = check(vu, in);

	if (r < 0) {
		return r;
	}
	/* for the largest ring that there may be, whatever was said */
	in->mmap_size = align_up(needed(vu, vdpa_get_vq_num_max(vu->vdev)),
				 PART_ALIGN) *
			in->num_queues;
	in->mmap_offset = 0;
	fd = make_file(in->mmap_size);
	if (fd < 0) {
		return fd;
	}
	r = region_new_mapped(fd, 0, in->mmap_size, MEM_PERM_RW, &region);
	if (r == 0) {
		use(vu, in, region);
		*ret_fd = steal_fd(&fd);
	}
	return r;
}

/* An answer of no bytes means that there is none: the front end goes on. */
int vhost_user_get_inflight_fd(struct vhost_user *vu,
			       struct vhost_user_msg *msg)
{
	struct vhost_user_inflight *in = &msg->payload.inflight;
	int r = make(vu, in, &msg->reply_fd);

	if (r < 0) {
		vu->n_bad++;
		memset(in, 0, sizeof(*in));
	}
	msg->reply_size = msg->hdr.size;
	return 0;
}

int vhost_user_set_inflight_fd(struct vhost_user *vu,
			       struct vhost_user_msg *msg)
{
	const struct vhost_user_inflight *in = &msg->payload.inflight;
	const struct vhost_user_region file = {
		.size = in->mmap_size,
		.mmap_offset = in->mmap_offset,
	};
	struct region *region;
	int r = check(vu, in);

	if (r == 0 &&
	    in->mmap_size / in->num_queues < needed(vu, in->queue_size)) {
		r = err(-EINVAL, "inflight memory of %llu bytes",
			(unsigned long long)in->mmap_size);
	}
	if (r == 0) {
		r = vhost_user_map_file(&file, msg->fds[0], &region);
	}
	if (r == 0) {
		use(vu, in, region);
	}
	return r;
}
