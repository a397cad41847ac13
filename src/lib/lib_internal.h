/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the library share.
 *
 * Theory of operation
 *
 * A struct vdpakit is an instance (mgmt/instance.h) whose control loop has a
 * thread of its own. Every call of an application but those on queues is done
 * there, while the caller waits:
 *
 *   application thread                        control thread
 *   lib_call_begin()  who may call?
 *   lib_call()        ---- loop_call_until()  fn(call) ...
 *                                             a turn of the device, if need be
 *   result, sentence  <--- lib_call_end()     ... now or later
 *   lib_call_done()
 *
 * Calls on a kit come one after the other (kit->lock), also while one of them
 * waits for a device: whatever they change, nobody else changes meanwhile.
 * Threads of ours may not call: they are what the call would wait for.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef LIB_LIB_INTERNAL_H
#define LIB_LIB_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include <vdpakit/client.h>

#include "base/err.h"
#include "base/list.h"
#include "mgmt/rpc_methods.h"
#include "virtio/dma.h"

struct vdpakit {
	/* set by vdpakit_new(), then read-only */
	pid_t pid; /* who made it: a forked child has no threads of it */
	struct instance *instance;
	struct loop *control;
	struct rpc_ctx ctx;

	/* under lock, which a call holds from its beginning to its end */
	pthread_mutex_t lock;
	struct list opens; /* struct lib_open */
	struct list mmios; /* struct vdpakit_mmio */
	struct dma_pool *pool; /* control thread */
	struct vdpa_mgmtdev mgmtdev; /* of devices that the program writes */
	struct vdpa_mgmtdev ops_mgmtdev; /* ... from scratch */
};

/* lib_ops.c: of that management device. */
void lib_ops_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev);

/* lib_mmio.c */
void lib_mmio_close_all(struct vdpakit *kit);

/* lib_device.c */
int lib_devices_init(struct vdpakit *kit);
/* Deletes them. The control loop runs. */
void lib_devices_fini(struct vdpakit *kit);

/* ---- calls ---- */

/**
 * struct lib_call - one call of an application
 *
 * @fn: what to do, on the control thread; ends with lib_call_end()
 * @text: the sentence of a failure, which was another thread's
 */
struct lib_call {
	struct vdpakit *kit;
	void (*fn)(struct lib_call *call);
	struct loop_done *done;
	int result;
	char text[ERR_TEXT_MAX];
};

/* May the caller call? Return: as lib_enter() */
int lib_check_caller(const struct vdpakit *kit);

/**
 * lib_enter() - begin a call on a kit
 * @kit: which; locked on success
 * @who: the public function: the first words of its sentence
 *
 * Return: 0, lib_leave() has to follow; -EINVAL there is none; -EDEADLK the
 *         caller is a thread of ours; -EPERM it is a forked child
 */
int lib_enter(struct vdpakit *kit, const char *who);
/* Return: @result; of a failure, the sentence begins with @who */
int lib_leave(struct vdpakit *kit, const char *who, int result);

/* Runs call->fn on the control thread until it has ended. Return: its result */
int lib_call(struct vdpakit *kit, struct lib_call *call);
/* The end; @call is gone afterwards. Control thread. */
void lib_call_end(struct lib_call *call, int result);

/**
 * lib_take_options() - copy a struct that begins with its size
 * @to, @to_size: of this library; its size, and 0 for what the caller does not
 *                know
 * @from: of the caller; NULL: all 0
 *
 * Return: 0; -EINVAL no size, or what this library does not know is not 0
 */
int lib_take_options(void *to, size_t to_size, const void *from);

/* ---- what is open ---- */

/**
 * struct lib_open - a virtio driver on a device, embedded in its user
 *
 * @close: closes it, and frees what it is embedded in; as a call
 */
struct lib_open {
	struct vdpakit *kit;
	struct list node; /* in kit->opens */
	struct virtio_device *vdev; /* taken */
	void (*close)(struct lib_open *open);
};

/**
 * lib_bind() - a device, bound as somebody needs it
 * @name: of the device; NULL: -EINVAL
 * @driver: bus driver
 *
 * Return: 0; -ENODEV there is none; -EBUSY it is in use through another one
 * Context: control thread
 */
int lib_bind(struct vdpakit *kit, const char *name, const char *driver,
	     struct vdpa_device **ret);

/**
 * lib_call_on() - do something to a device that is open, in a turn of it
 * @fn: what; control thread. Return: result
 * @priv: its argument
 *
 * Return: what @fn said
 */
int lib_call_on(struct vdpakit *kit, struct virtio_device *vdev,
		int (*fn)(void *priv), void *priv);

/**
 * lib_call_on_name() - the same to one that is not open yet
 * @name: of the device
 * @ret_vdev: written before @fn is called
 *
 * Return: -EINVAL no name; -ENODEV no such device; what @fn said
 */
int lib_call_on_name(struct vdpakit *kit, const char *name,
		     struct virtio_device **ret_vdev, int (*fn)(void *priv),
		     void *priv);

#endif
