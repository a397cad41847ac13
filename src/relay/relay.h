/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The relay: a software device that stands on another device, and shows it no
 * more of a client's memory than the bytes of a request.
 *
 * Theory of operation
 *
 * A device process that serves a client maps the client's memory, all of it.
 * That may be unwanted, and it may be impossible: memory that has no file
 * cannot be mapped by anybody. So the relay takes the client's requests itself, as the
 * device that it is for him, and is the driver of the device below:
 *
 *   client's ring --> soft: pump --> relay_submit() --+  copy in, zero
 *   client's ring <-- soft: pump <-- complete()  <-+  |
 *                                                  |  v
 *                 the domain (mem/domain.h):  rings that we write, data pages
 *                                                  |  |
 *                      call eventfd, poller   <----+  +----> kick eventfd
 *                                      the device below
 *
 * The device below maps one thing: the domain, a file of ours. Its rings are
 * ours (vq/vq_driver.h), so that nothing of the client's reaches it unchecked,
 * nor anything of its own the client: an id that is not in flight, or a length
 * beyond what was posted, breaks that queue (DEVICE_NEEDS_RESET), and no byte
 * outside of a request's buffers is written, ever. Buffers that the device may
 * write are zeroed first: what it claims to have written and has not is zeroes,
 * not what an earlier request left there.
 *
 * Each side has its own ring features, size and format; those of the device
 * class are passed through, and so are config space and status, in the order of
 * the kernel's virtio-vdpa. Everything that a client may want of his device
 * beyond that (suspend, state, dirty log, inflight log, address spaces) is the
 * software device's and needs nothing of the device below.
 *
 * Memory: data pages are lent for a request, whose pieces keep their number and
 * lengths: some devices want a request's header in a descriptor of its own.
 * When there is no room in domain or ring the chains stay in the client's ring.
 * Half of the domain is shared out to the queues, so that buffers for what may
 * never come (network receive) leave room for the others; the rest is there for
 * all. A request that is larger than what a queue can ever have breaks it.
 *
 * What has a part for the device to read is a request, and is answered soon by
 * a device that is well; before a queue stops, or the device is suspended,
 * these are waited for, up to a limit, after which the queue is broken. Anything else
 * is a buffer: when its queue stops it is taken back, as if it had never been
 * fetched. A reset waits for nothing. When the device as a whole stops, the one
 * below is reset, and set up anew when it goes on.
 *
 * Chains keep their I/O virtual addresses (vq_setup.keeps_iovas) and are copied
 * by the client's newest map, so that no change of it waits for the device
 * below.
 *
 * All queues of a relay have one worker: it owns the domain's pages, and the
 * device at the other end is one thread as a rule.
 *
 *   relay.c        life, features, config space
 *   relay_lower.c  the device below: start, stop, status; control thread
 *   relay_vq.c     the data path and the drain; worker
 *   relay_copy.c   where the pieces of a chain are in the domain, and copying
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "bus/bus.h"
#include "mem/domain.h"
#include "soft/soft.h"

/* Largest ring, and most queues, that a relay has. */
#define RELAY_NUM_MAX 1024
#define RELAY_VQS_MAX 256
/* How long requests are waited for when a queue stops. */
#define RELAY_DRAIN_MS 30000

/**
 * struct relay_options - what a relay is like
 *
 * @domain_bytes: DOMAIN_BYTES_MIN to _MAX; 0: DOMAIN_BYTES_DEFAULT
 * @max_poll_us: see SOFT_KEY_POLL_US
 * @drain_ms: 0: RELAY_DRAIN_MS
 * @feature_mask: of those of the device below that are offered; 0: all
 */
struct relay_options {
	uint64_t domain_bytes;
	uint32_t max_poll_us;
	uint32_t drain_ms;
	uint64_t feature_mask;
};

/**
 * relay_new() - a relay on a device
 * @bus: for which; not yet registered there
 * @lower: borrowed until relay_free(). On no bus, or bound to no bus driver:
 *         nobody else calls its ops. It must be reset
 * @name: of the new device
 * @options: copied
 * @ret: written on success
 *
 * Afterwards vdpa_device_register(). The relay may wait (for answers, and where
 * @lower does), in turns that are the lower one's too.
 *
 * Return: 0; -EOPNOTSUPP @lower lacks VERSION_1, kick eventfds, or a way to be
 *         told of its map; -ERANGE its queues or rings; -EINVAL; -ENOMEM;
 *         -errno
 */
int relay_new(struct vdpa_bus *bus, struct vdpa_device *lower, const char *name,
	      const struct relay_options *options, struct vdpa_device **ret);
/* Who owns its queues: a device below that has work for a worker saves a way
 * between threads by using the same. */
struct loop *relay_worker(struct vdpa_device *vdev);
/* Off the bus. The device below is left as it is after a reset. Takes NULL. */
void relay_free(struct vdpa_device *vdev);

#endif
