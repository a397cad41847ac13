/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bus in this process, and memory for its devices.
 *
 * See client.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_KIT_H
#define VDPAKIT_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VDPAKIT_API __attribute__((visibility("default")))

struct vdpakit;

/* What this thread's last failed call of the library said: one line, to be
 * shown. Valid until its next call. */
VDPAKIT_API const char *vdpakit_error(void);

/* ---- a bus of one's own ---- */

/**
 * struct vdpakit_options - zero-initialise, then set size
 *
 * @size: sizeof(struct vdpakit_options)
 * @n_workers: threads that serve the queues of software devices; 0: as many as
 *             there are CPUs, at most 4
 * @loop: how they wait: "auto" (also NULL), "io_uring", "epoll"
 */
struct vdpakit_options {
	size_t size;
	unsigned int n_workers;
	const char *loop;
};

/**
 * vdpakit_new() - a bus, with its threads
 * @options: NULL: all defaults
 * @ret: written on success
 *
 * Return: 0; -EINVAL; -errno of what could not be started
 */
VDPAKIT_API int vdpakit_new(const struct vdpakit_options *options,
			    struct vdpakit **ret);
/* Closes what is open on it and deletes its devices. No other thread is in a
 * call on it. Takes NULL. */
VDPAKIT_API void vdpakit_free(struct vdpakit *kit);

/**
 * vdpakit_dev_add() - make a device
 * @kit: bus
 * @words: as in `vdpakit run --dev`: "NAME MGMTDEV [KEY VALUE | KEY=VALUE]...",
 *         without "bind"
 *
 * Return: 0; -EINVAL; -EEXIST; -ENODEV no such management device; what that
 *         one says; -EDEADLK
 */
VDPAKIT_API int vdpakit_dev_add(struct vdpakit *kit, const char *words);
/* What is open on it fails from then on (-ENODEV). Return: 0; -ENODEV; -EDEADLK
 */
VDPAKIT_API int vdpakit_dev_del(struct vdpakit *kit, const char *name);

/* ---- memory that devices may reach ---- */

/**
 * vdpakit_mem_alloc() - memory for data
 * @kit: bus; all its devices may reach it, now and later
 * @size_bytes: > 0; rounded up to whole pages
 * @ret: zeroed, page-aligned
 *
 * Return: 0; -EINVAL; -ENOMEM; -ENOSPC too many pieces; what a device said that
 *         is open; -EDEADLK
 */
VDPAKIT_API int vdpakit_mem_alloc(struct vdpakit *kit, size_t size_bytes,
				  void **ret);

/**
 * vdpakit_mem_add() - let devices reach memory of the caller's
 * @kit: bus
 * @va, @size_bytes: whole pages
 * @fd: the file that is mapped there (shared), or -1: private memory, which
 *      devices in other processes cannot reach (-EOPNOTSUPP when one is open,
 *      or is opened later); borrowed
 * @fd_offset: of @va in it, bytes
 *
 * Return: 0; -EINVAL; -EEXIST overlaps what is known; as vdpakit_mem_alloc()
 */
VDPAKIT_API int vdpakit_mem_add(struct vdpakit *kit, void *va,
				size_t size_bytes, int fd, uint64_t fd_offset);

/**
 * vdpakit_mem_remove() - the end of one of the above
 * @va: as given to or by it; memory of vdpakit_mem_alloc() is unmapped
 *
 * Requests in it that a device has begun are waited for; those that it has not
 * begun fail. No device uses it any more when this returns.
 *
 * Return: 0; -EINVAL no such memory; -EDEADLK
 */
VDPAKIT_API int vdpakit_mem_remove(struct vdpakit *kit, void *va);

#ifdef __cplusplus
}
#endif

#endif
