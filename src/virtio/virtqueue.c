/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues of a virtio device, for its drivers. See virtqueue.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "virtio/virtqueue.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

/* Looks at the ring between two looks at the clock. */
#define LOOKS_PER_CLOCK 32
#define NS_PER_US	1000ULL
#define NS_PER_MS	1000000ULL

/* ---- owners ---- */

/* Every thread has one, and no two have the same address. */
static _Thread_local char own_mark;

static int take_or_refuse(struct virtqueue *vq)
{
	uintptr_t nobody = 0;

	/* [owner] What the last owner did is done; pairs with
	 * virtqueue_release(). */
	if (__atomic_compare_exchange_n(&vq->owner, &nobody,
					(uintptr_t)&own_mark, false,
					__ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		return 0;
	}
	return err(-EPERM,
		   "%s.vq%u: another thread has this queue: let it release it",
		   vq->vdev->name, vq->idx);
}

int virtqueue_check_owner(struct virtqueue *vq)
{
	if (likely(__atomic_load_n(&vq->owner, __ATOMIC_RELAXED) ==
		   (uintptr_t)&own_mark)) {
		return 0;
	}
	return take_or_refuse(vq);
}

static bool is_usable(const struct virtio_device *vdev)
{
	return likely(!(__atomic_load_n(&vdev->is_gone, __ATOMIC_RELAXED) |
			__atomic_load_n(&vdev->is_broken, __ATOMIC_RELAXED)));
}

int virtqueue_check(struct virtqueue *vq)
{
	int ret = virtqueue_check_owner(vq);

	if (unlikely(ret < 0) || is_usable(vq->vdev)) {
		return ret;
	}
	if (__atomic_load_n(&vq->vdev->is_gone, __ATOMIC_RELAXED)) {
		return err(-ENODEV, "%s: the device is gone", vq->vdev->name);
	}
	return err(-EIO, "%s: the device needs a reset", vq->vdev->name);
}

void virtqueue_release(struct virtqueue *vq)
{
	if (vq->is_armed) {
		virtqueue_disarm(vq);
	}
	/* Pairs with [owner]. */
	__atomic_store_n(&vq->owner, 0, __ATOMIC_RELEASE);
}

/* ---- buffers ---- */

static int break_device(struct virtqueue *vq)
{
	virtio_break(vq->vdev);
	return err(-EPROTO,
		   "%s.vq%u: the device broke the rules of its ring and needs "
		   "a reset",
		   vq->vdev->name, vq->idx);
}

int virtqueue_add(struct virtqueue *vq, const struct vq_sg *sg,
		  unsigned int n_readable, unsigned int n_writable,
		  void *cookie)
{
	int ret = vq_driver_add(vq->drv, sg, n_readable, n_writable, cookie);

	return unlikely(ret == -EPROTO) ? break_device(vq) : ret;
}

static void count(uint64_t *counter)
{
	/* Its owner alone writes it. */
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

void virtqueue_kick(struct virtqueue *vq)
{
	if (vq_driver_publish(vq->drv)) {
		count(&vq->n_kicks);
		if (unlikely(vq->signaller)) {
			loop_signaller_signal(vq->signaller, vq->kick_fd);
		} else {
			/* Full is as good. */
			(void)eventfd_write(vq->kick_fd, 1);
		}
	}
}

int virtqueue_get(struct virtqueue *vq, struct vq_used *ret_used,
		  unsigned int max)
{
	int ret = vq_driver_get(vq->drv, ret_used, max);

	return unlikely(ret == -EPROTO) ? break_device(vq) : ret;
}

void *virtqueue_detach(struct virtqueue *vq)
{
	return vq->drv ? vq_driver_detach(vq->drv) : NULL;
}

/* ---- waiting ---- */

bool virtqueue_arm(struct virtqueue *vq)
{
	vq->is_armed = true;
	/* The flags come after the wish: who sets them signals afterwards. */
	return vq_driver_enable_call(vq->drv) || !is_usable(vq->vdev);
}

/* The eventfd may be known to a peer, who may have made it block. */
static void drain(int fd)
{
	uint64_t n;
	struct iovec iov = { &n, sizeof(n) };
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP &&
	    poll(&p, 1, 0) > 0) {
		(void)!read(fd, &n, sizeof(n)); /* empty is what it is to be */
	}
}

void virtqueue_disarm(struct virtqueue *vq)
{
	vq_driver_disable_call(vq->drv);
	drain(vq->call_fd);
	vq->is_armed = false;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static bool is_done(struct virtqueue *vq)
{
	return vq_driver_has_used(vq->drv) || !is_usable(vq->vdev);
}

static bool poll_until(struct virtqueue *vq, uint64_t end_ns)
{
	do {
		for (unsigned int i = 0; i < LOOKS_PER_CLOCK; i++) {
			if (is_done(vq)) {
				return true;
			}
			relax();
		}
	} while (now_ns() < end_ns);
	return false;
}

/* Return: 1 woken; 0 the time is up; -EINTR */
static int sleep_until(struct virtqueue *vq, uint64_t end_ns)
{
	struct pollfd p = { .fd = vq->call_fd, .events = POLLIN };
	struct timespec left, *timeout = NULL;
	int n;

	if (end_ns != UINT64_MAX) {
		uint64_t now = now_ns();
		uint64_t left_ns = end_ns > now ? end_ns - now : 0;

		left.tv_sec = (time_t)(left_ns / 1000000000);
		left.tv_nsec = (long)(left_ns % 1000000000);
		timeout = &left;
	}
	count(&vq->n_waits);
	n = ppoll(&p, 1, timeout, NULL);
	return n < 0 ? -errno : n;
}

int virtqueue_wait(struct virtqueue *vq, int timeout_ms)
{
	uint64_t now, end_ns = UINT64_MAX;
	int ret = 1;

	if (is_done(vq)) {
		return 1;
	}
	now = now_ns();
	if (timeout_ms >= 0) {
		end_ns = now + (uint64_t)timeout_ms * NS_PER_MS;
	}
	if (vq->poll_us > 0 &&
	    poll_until(vq, min_of(end_ns, now + vq->poll_us * NS_PER_US))) {
		return 1;
	}
	/* Woken for nothing (a call that is late): sleep on. */
	while (ret == 1 && !virtqueue_arm(vq)) {
		ret = sleep_until(vq, end_ns);
		if (ret == 1 && !is_done(vq)) {
			drain(vq->call_fd);
		}
	}
	virtqueue_disarm(vq);
	if (ret == 0 && is_done(vq)) {
		ret = 1;
	}
	return ret;
}
