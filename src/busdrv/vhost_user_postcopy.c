/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: memory that comes later (postcopy migration).
 *
 * At the destination of a postcopy migration the guest runs before its memory
 * is there. Whoever touches a page that is missing waits for the front end,
 * which fetches it from the source: we hand it a userfaultfd, register our
 * mappings of the memory with it, and tell where they are.
 *
 *   POSTCOPY_ADVISE --> the userfaultfd
 *   POSTCOPY_LISTEN --> from now on mappings are registered
 *   SET_MEM_TABLE or ADD_MEM_REG --> answered with our addresses; once more,
 *                       empty, when the front end serves faults there
 *   POSTCOPY_END    --> all memory is there
 *
 * A worker that touches a missing page stands still, and with it the other
 * devices on it: for as long as the front end likes. So this is only offered
 * where the user asks for it (postcopy=on). When the session ends the mappings
 * are unregistered first, which wakes whoever waits: then nothing that ends it
 * can be held up.
 *
 * Source: QEMU docs/interop/vhost-user.rst, "Migration"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/vhost_user_internal.h"

static struct uffdio_range window_of(const struct region *region)
{
	struct uffdio_range range;
	size_t len;

	range.start = (uintptr_t)region_window(region, &len);
	range.len = len;
	return range;
}

/* ---- the userfaultfd ---- */

/* Faults of the kernel on our behalf count, too: disks read into the guest. */
static int open_uffd(void)
{
	_cleanup_close_ int fd =
		(int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API };

	if (fd < 0) {
		return err(-errno,
			   "userfaultfd: %s: run as root, or set sysctl "
			   "vm.unprivileged_userfaultfd=1",
			   strerror(errno));
	}
	if (ioctl(fd, UFFDIO_API, &api) < 0) {
		return err(-errno, "userfaultfd: %s", strerror(errno));
	}
	return steal_fd(&fd);
}

static int register_region(const struct vhost_user *vu,
			   const struct region *region)
{
	struct uffdio_register reg = {
		.range = window_of(region),
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(vu->uffd, UFFDIO_REGISTER, &reg) < 0) {
		return err(-errno, "userfaultfd: a region of %llu bytes: %s",
			   (unsigned long long)reg.range.len, strerror(errno));
	}
	return 0;
}

/* Whoever waits for a page gets an empty one. */
static void unregister_all(const struct vhost_user *vu)
{
	for (unsigned int i = 0; vu->mem && i < vu->mem->n; i++) {
		struct uffdio_range range = window_of(vu->mem->slots[i].region);

		/* Those from before POSTCOPY_LISTEN are not registered. */
		(void)ioctl(vu->uffd, UFFDIO_UNREGISTER, &range);
	}
}

void vhost_user_postcopy_drop(struct vhost_user *vu)
{
	if (vu->uffd >= 0) {
		unregister_all(vu);
		vu->uffd = close_fd(vu->uffd);
	}
	vu->is_listening = false;
}

/* ---- memory ---- */

bool vhost_user_postcopy_is_ack(const struct vhost_user *vu,
				const struct vhost_user_msg *msg)
{
	return vu->is_listening && msg->n_fds == 0 &&
	       msg->hdr.size == sizeof(msg->payload.u64);
}

int vhost_user_postcopy_add(struct vhost_user *vu, struct vhost_user_msg *msg,
			    struct vhost_user_region *regions, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct vhost_user_slot *slot =
			vhost_user_mem_find(vu->mem, regions[i].user_addr);
		int r = register_region(vu, slot->region);

		if (r < 0) {
			vu->is_lost = true; /* the table is another one now */
			return r;
		}
		regions[i].user_addr = (uintptr_t)region_va(slot->region);
	}
	msg->has_reply = true;
	msg->reply_size = msg->hdr.size;
	return 0;
}

/* ---- messages ---- */

int vhost_user_postcopy_advise(struct vhost_user *vu,
			       struct vhost_user_msg *msg)
{
	int fd = open_uffd();

	if (fd < 0) {
		return fd;
	}
	msg->reply_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (msg->reply_fd < 0) {
		(void)close_fd(fd);
		return err(-errno, "userfaultfd: %s", strerror(errno));
	}
	vhost_user_postcopy_drop(vu);
	vu->uffd = fd;
	msg->reply_size = 0;
	return 0;
}

int vhost_user_postcopy_listen(struct vhost_user *vu,
			       struct vhost_user_msg *msg)
{
	(void)msg;
	if (vu->uffd < 0 || vhost_user_any_running(vu)) {
		return err(-EINVAL, "postcopy: %s",
			   vu->uffd < 0 ? "was not advised" : "rings run");
	}
	vu->is_listening = true;
	return 0;
}

int vhost_user_postcopy_end(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	vhost_user_postcopy_drop(vu);
	msg->payload.u64 = 0;
	return 0;
}
