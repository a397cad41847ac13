/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end rbd: librbd and librados, loaded when a first image is opened.
 *
 * Linked in, they would cost every daemon, and every program that uses
 * libvdpakit, twenty times the memory of all the rest.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_RBD_LIB_H
#define DEV_BLK_RBD_LIB_H

#include <rbd/librbd.h>

#define RBD_LIB_FUNCTIONS(F)          \
	F(rados_conf_read_file)       \
	F(rados_conf_set)             \
	F(rados_connect)              \
	F(rados_create)               \
	F(rados_ioctx_create)         \
	F(rados_ioctx_destroy)        \
	F(rados_ioctx_set_namespace)  \
	F(rados_shutdown)             \
	F(rbd_aio_create_completion)  \
	F(rbd_aio_discard)            \
	F(rbd_aio_flush)              \
	F(rbd_aio_get_arg)            \
	F(rbd_aio_get_return_value)   \
	F(rbd_aio_readv)              \
	F(rbd_aio_release)            \
	F(rbd_aio_write_zeroes)       \
	F(rbd_aio_writev)             \
	F(rbd_close)                  \
	F(rbd_get_size)               \
	F(rbd_open)                   \
	F(rbd_open_read_only)         \
	F(rbd_poll_io_events)         \
	F(rbd_set_image_notification) \
	F(rbd_stat)                   \
	F(rbd_update_unwatch)         \
	F(rbd_update_watch)

/* Each function by its own name. */
struct rbd_lib {
#define RBD_LIB_MEMBER(name) __typeof__(name) *name;
	RBD_LIB_FUNCTIONS(RBD_LIB_MEMBER)
#undef RBD_LIB_MEMBER
};

/* Loaded once, for good. Any thread. Return: 0; -ENOENT it is not installed, or
 * lacks something */
int rbd_lib_load(struct rbd_lib *ret);

#endif
