/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe's sections on kicks and calls.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "probe.h"

/* For what must come, and for what must not, ms. */
#define SOON_MS	 5000
#define NEVER_MS 100

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0) {
		quit("no eventfd");
	}
	return fd;
}

static void kickfd(struct vd *d, const char *step, uint32_t idx, int fd)
{
	struct abi_vq_eventfd arg = { idx, fd };

	say(step, TRY(ioctl(d->fd, ABI_VQ_SETUP_KICKFD, &arg)), NULL);
}

static void vring_file(struct vd *d, const char *step, unsigned long cmd,
		       uint32_t idx, int fd)
{
	struct vhost_vring_file file = { .index = idx, .fd = fd };

	say(step, client_ioctl(d, step, cmd, &file), NULL);
}

static void enable(struct vd *d, const char *step, uint32_t on)
{
	struct vhost_vring_state state = { .num = on };

	say(step, client_ioctl(d, step, VHOST_VDPA_SET_VRING_ENABLE, &state),
	    NULL);
}

/* What an eventfd has got, and is emptied of. */
static void came(const char *step, int fd)
{
	(void)wait_for(fd, POLLIN, SOON_MS);
	say(step, count_of(fd), NULL);
}

static void did_not_come(const char *step, int fd)
{
	(void)wait_for(fd, POLLIN, NEVER_MS);
	say(step, count_of(fd), NULL);
}

static void kickfd_arguments(struct vd *d)
{
	int file = open("/dev/null", O_RDWR | O_CLOEXEC), fd = new_eventfd();

	kickfd(d, "kickfd", 0, fd);
	kickfd(d, "kickfd-again", 0, fd);
	kickfd(d, "kickfd-other-queue", 1, fd);
	kickfd(d, "kickfd-queue-2", 2, fd);
	kickfd(d, "kickfd-no-eventfd", 0, file);
	(void)close(file);
	kickfd(d, "kickfd-not-open", 0, file);
	kickfd(d, "kickfd-minus-2", 0, -2);
	kickfd(d, "kickfd-off", 0, -1);
	kickfd(d, "kickfd-off-again", 0, -1);
	(void)close(fd);
}

void probe_kick(void)
{
	int kick = new_eventfd(), seen = new_eventfd(), other = new_eventfd();
	int pending = new_eventfd();
	struct vd d;

	vd_new(&d, "probe-kick", 0, NULL);
	kickfd_arguments(&d);
	(void)client_open(&d, "open");
	client_ready(&d, ACCESS_PLATFORM | VERSION_1);
	vring_file(&d, "client-kick", VHOST_SET_VRING_KICK, 0, kick);

	(void)eventfd_write(kick, 1);
	kickfd(&d, "not-ready", 0, seen);
	did_not_come("not-ready-kick-lost", seen);
	kickfd(&d, "detached", 0, -1);
	enable(&d, "enable", 1);
	did_not_come("nothing-yet", seen);
	(void)eventfd_write(kick, 1);
	kickfd(&d, "ready-before-kickfd", 0, seen);
	came("kick-kept", seen);
	(void)eventfd_write(kick, 1);
	came("kick", seen);
	(void)eventfd_write(kick, 5);
	came("kick-of-5", seen);
	say("client-counter", count_of(kick), NULL);
	kickfd(&d, "replace", 0, other);
	did_not_come("replace-kicks-none", other);
	(void)eventfd_write(kick, 1);
	came("replaced", other);
	did_not_come("replaced-old", seen);
	enable(&d, "disable", 0);
	(void)eventfd_write(kick, 1);
	did_not_come("disabled", other);
	enable(&d, "enable-again", 1);
	did_not_come("enabled-again", other);

	/* A kick that was there before. */
	(void)count_of(kick);
	(void)eventfd_write(kick, 1);
	came("before-set", other);
	vring_file(&d, "set-same", VHOST_SET_VRING_KICK, 0, kick);
	did_not_come("set-same-kicks-none", other);
	(void)eventfd_write(pending, 2);
	vring_file(&d, "set-pending", VHOST_SET_VRING_KICK, 0, pending);
	came("set-pending-kick", other);
	(void)eventfd_write(kick, 1);
	did_not_come("set-pending-old", other);
	vring_file(&d, "set-none", VHOST_SET_VRING_KICK, 0, -1);
	(void)eventfd_write(pending, 1);
	did_not_come("set-none-kick", other);
	vring_file(&d, "set-back", VHOST_SET_VRING_KICK, 0, pending);
	came("set-back-kick", other);
	say("pending-counter", count_of(pending), NULL);
	client_status(&d, "driver-ok", DRIVER_OK);
	(void)eventfd_write(pending, 1);
	came("running", other);
	client_status(&d, "reset", 0);
	enable(&d, "enable-after-reset", 1);
	(void)eventfd_write(pending, 1);
	did_not_come("reset-detached", other);
	vd_free(&d);
	(void)close(kick);
	(void)close(pending);
	(void)close(seen);
	(void)close(other);
}

static void inject(struct vd *d, const char *step, uint32_t idx)
{
	say(step, TRY(ioctl(d->fd, ABI_VQ_INJECT_IRQ, &idx)), NULL);
}

void probe_call(void)
{
	int call = new_eventfd(), other = new_eventfd();
	struct vd d;

	vd_new(&d, "probe-call", 0, NULL);
	inject(&d, "no-client", 0);
	inject(&d, "no-client-queue-2", 2);
	(void)client_open(&d, "open");
	client_ready(&d, ACCESS_PLATFORM | VERSION_1);
	inject(&d, "no-eventfd", 0);
	vring_file(&d, "client-call", VHOST_SET_VRING_CALL, 0, call);
	inject(&d, "not-ready", 0);
	did_not_come("not-ready-count", call);
	enable(&d, "enable", 1);
	inject(&d, "ready", 0);
	came("ready-count", call);
	inject(&d, "ready-1", 0);
	inject(&d, "ready-2", 0);
	inject(&d, "ready-3", 0);
	came("ready-3-count", call);
	client_status(&d, "driver-ok", DRIVER_OK);
	inject(&d, "running", 0);
	came("running-count", call);
	inject(&d, "queue-1-nobody", 1);
	inject(&d, "queue-2", 2);
	vring_file(&d, "replace", VHOST_SET_VRING_CALL, 0, other);
	inject(&d, "replaced", 0);
	came("replaced-count", other);
	did_not_come("replaced-old", call);
	vring_file(&d, "off", VHOST_SET_VRING_CALL, 0, -1);
	inject(&d, "off-nobody", 0);
	did_not_come("off-count", other);
	vring_file(&d, "on", VHOST_SET_VRING_CALL, 0, call);
	enable(&d, "disable", 0);
	inject(&d, "disabled", 0);
	did_not_come("disabled-count", call);
	enable(&d, "enable-again", 1);
	client_status(&d, "reset", 0);
	inject(&d, "reset-inject", 0);
	enable(&d, "enable-after-reset", 1);
	inject(&d, "reset-and-ready", 0);
	did_not_come("reset-and-ready-count", call);
	vring_file(&d, "on-again", VHOST_SET_VRING_CALL, 0, call);
	inject(&d, "on-again-inject", 0);
	came("on-again-count", call);
	vd_free(&d);
	(void)close(call);
	(void)close(other);
}
