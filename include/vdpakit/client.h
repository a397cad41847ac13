/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Use a virtio device, whatever is behind it.
 *
 * Theory of operation
 *
 * A struct vdpakit is a vDPA bus in this process: devices are added to it
 * (vdpakit_dev_add(): software devices, and bridges to others: /dev/vhost-vdpa-N,
 * vhost-user back ends, VDUSE processes), and opened with a virtio driver. Work
 * goes through queues, each used by one thread at a time, in batches:
 *
 *   vdpakit_blk_add(q, reqs, n)     not visible to the device yet
 *   vdpakit_blk_submit(q)           now it is
 *   n = vdpakit_blk_poll(q, done, max)
 *
 * Three ways to wait for what is done:
 *
 *   poll    call vdpakit_blk_poll() again: fastest, takes a CPU
 *   block   vdpakit_blk_wait()
 *   fd      vdpakit_blk_arm(), then poll(2) on vdpakit_blk_fd(). Arm says 1
 *           when there is something already, so that nothing is missed
 *
 * Data lies in memory that devices may reach: vdpakit_mem_alloc(), which every
 * device can, or memory of the caller's that vdpakit_mem_add() makes known.
 * Nothing is copied on the way. Frames are received into memory of the
 * driver's, lent to the caller, and may be copied when they are sent.
 *
 * The device is not trusted: what it does against the rules breaks its queues
 * (-EIO), and nothing that it says is used unchecked. But a device in another
 * process has all memory of the bus mapped, and can change it whenever it likes;
 * with the key bounce=on it sees copies only.
 *
 * Threads: everything that does not name a queue may be called by any thread,
 * but not by a callback of this library's (-EDEADLK). A queue belongs to the
 * thread that used it first, until vdpakit_blk_release() or
 * vdpakit_net_release(): others get -EPERM.
 *
 * Errors: a negative errno, and vdpakit_error() has a sentence.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_CLIENT_H
#define VDPAKIT_CLIENT_H

#include <vdpakit/blk.h>
#include <vdpakit/kit.h>
#include <vdpakit/net.h>

#endif
