/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signalling eventfds that peers hold, too.
 *
 * Theory of operation
 *
 * Writing to an eventfd whose counter is full fails, or, in blocking mode,
 * waits until somebody reads it. Mode and counter are the peer's to change at
 * any time, so whoever looks first and then writes can still be made to wait
 * for ever by a peer that is quick. The kernel's own signals never wait: they
 * leave a full counter full. One of them can be had: an asynchronous read
 * (aio, not io_uring) may name an eventfd that its completion signals. So a
 * signal is the read of nothing from /dev/null, which completes at once:
 *
 *   io_submit() --> read 0 bytes --> done --> signal the eventfd
 *                                        --> an event in the ring, skipped
 *
 * Where the machine forbids it, we look first, and write.
 *
 * Source: io_submit(2), IOCB_FLAG_RESFD; kernel fs/aio.c
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "loop/loop_internal.h"

/* Events before the ring is full; each is skipped at once. */
#define N_EVENTS 8
/* Of the kernel's struct aio_ring, which the context points to. */
#define AIO_RING_MAGIC 0xa10a10a1

struct aio_ring {
	uint32_t id;
	uint32_t nr;
	uint32_t head;
	uint32_t tail;
	uint32_t magic;
};

struct loop_signaller {
	aio_context_t aio; /* 0: not to be had here */
	int null_fd;
};

static bool aio_init(struct loop_signaller *s)
{
	const struct aio_ring *ring;

	s->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->null_fd < 0 || syscall(SYS_io_setup, N_EVENTS, &s->aio) < 0) {
		return false;
	}
	ring = (const struct aio_ring *)s->aio;
	return ring->magic == AIO_RING_MAGIC;
}

static void aio_fini(struct loop_signaller *s)
{
	if (s->aio) {
		(void)syscall(SYS_io_destroy, s->aio); /* ours: it is there */
		s->aio = 0;
	}
	s->null_fd = close_fd(s->null_fd);
}

int loop_signaller_new(struct loop_signaller **ret)
{
	struct loop_signaller *s = calloc(1, sizeof(*s));

	if (!s) {
		return err(-ENOMEM, "loop: no memory to signal with");
	}
	if (!aio_init(s)) {
		aio_fini(s);
	}
	*ret = s;
	return 0;
}

struct loop_signaller *loop_signaller_free(struct loop_signaller *s)
{
	if (s) {
		aio_fini(s);
		free(s);
	}
	return NULL;
}

static bool signal_by_aio(struct loop_signaller *s, int fd)
{
	struct aio_ring *ring = (struct aio_ring *)s->aio;
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)s->null_fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *list = &cb;

	if (syscall(SYS_io_submit, s->aio, 1, &list) != 1) {
		return false;
	}
	/* The read was done before io_submit() returned; nobody wants to know
	 * what came of it. */
	__atomic_store_n(&ring->head,
			 __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
	return true;
}

static void signal_by_write(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;

	/* A counter that is full has told its reader already. */
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLOUT)) {
		(void)!write(fd, &one, sizeof(one)); /* its loss, see loop.h */
	}
}

void loop_signaller_signal(struct loop_signaller *s, int fd)
{
	if (!s->aio || !signal_by_aio(s, fd)) {
		signal_by_write(fd);
	}
}

void loop_signal(struct loop *loop, int fd)
{
	assert_owner(loop);
	if (loop->signaller) {
		loop_signaller_signal(loop->signaller, fd);
	} else {
		signal_by_write(fd);
	}
}
