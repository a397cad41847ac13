/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of another process, through its /proc/self/mem.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "mem/region.h"

struct foreign_mem {
	atomic_uint refs;
	int fd;
};

int foreign_mem_new(int take_fd, struct foreign_mem **ret)
{
	struct foreign_mem *fm = calloc(1, sizeof(*fm));

	if (!fm) {
		(void)close_fd(take_fd);
		return err(-ENOMEM, "region: no memory");
	}
	atomic_init(&fm->refs, 1);
	fm->fd = take_fd;
	*ret = fm;
	return 0;
}

struct foreign_mem *foreign_mem_ref(struct foreign_mem *fm)
{
	atomic_fetch_add_explicit(&fm->refs, 1, memory_order_relaxed);
	return fm;
}

struct foreign_mem *foreign_mem_unref(struct foreign_mem *fm)
{
	if (fm && atomic_fetch_sub_explicit(&fm->refs, 1,
					    memory_order_acq_rel) == 1) {
		(void)close_fd(fm->fd);
		free(fm);
	}
	return NULL;
}

/* The file's offsets are signed: its upper half is the kernel's anyway. */
static bool is_user_range(uint64_t uaddr, size_t len)
{
	return range_fits(uaddr, len, (uint64_t)INT64_MAX);
}

int foreign_mem_read(struct foreign_mem *fm, uint64_t uaddr, void *buf,
		     size_t len)
{
	char *to = buf;

	if (!is_user_range(uaddr, len)) {
		return -EFAULT;
	}
	while (len > 0) {
		ssize_t n = pread(fm->fd, to, len, (off_t)uaddr);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return -EFAULT;
		}
		to += n;
		uaddr += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * The kernel lets a write through this file pass the protection of private
 * pages (FOLL_FORCE, as a debugger needs it): a client's read-only page would
 * be changed. It is the client's own memory, but its kernel would have
 * refused; client_mem_resolve() therefore looks at the VMAs first.
 */
int foreign_mem_write(struct foreign_mem *fm, uint64_t uaddr, const void *buf,
		      size_t len)
{
	const char *from = buf;

	if (!is_user_range(uaddr, len)) {
		return -EFAULT;
	}
	while (len > 0) {
		ssize_t n = pwrite(fm->fd, from, len, (off_t)uaddr);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return -EFAULT;
		}
		from += n;
		uaddr += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}
