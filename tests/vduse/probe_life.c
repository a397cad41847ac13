/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe's sections on device processes that come, go and keep silent, and
 * on groups and address spaces (API version 1).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static long fn_ioctl(struct call *call)
{
	return TRY(ioctl(call->d->client, call->cmd, call->arg));
}

static void reopen(struct vd *d, const char *step)
{
	long ret;

	(void)close(d->fd);
	ret = vd_open(d, O_RDWR | O_NONBLOCK);
	say(step, ret < 0 ? ret : 0, NULL);
}

/* A status that one process reads, and another one answers. */
static void answered_by_next(struct vd *d, const char *step, uint8_t status,
			     bool is_read)
{
	struct call call = { .step = step,
			     .fn = fn_ioctl,
			     .d = d,
			     .cmd = VHOST_VDPA_SET_STATUS,
			     .arg = &status };
	struct abi_request req;
	pthread_t thread;

	client_start(&call, &thread);
	if (is_read) {
		request_read(d, step, &req);
		printf(" (left)\n");
	} else {
		(void)wait_for(d->fd, POLLIN, 5000);
	}
	reopen(d, "reopen");
	request_read(d, step, &req);
	printf("\n");
	say("answer", request_answer(d, &req, 0), NULL);
	say("answer-twice", request_answer(d, &req, 0), NULL);
	say(step, client_finish(&call, thread), "status now 0x%x",
	    client_get_status(d));
}

void probe_reconnect(void)
{
	int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int seen = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct vhost_vring_file file = { .fd = kick };
	struct vhost_vring_state on = { .num = 1 };
	struct abi_vq_eventfd arg = { 0, seen };
	uint64_t features = 0;
	struct vd d;

	vd_new(&d, "probe-reconnect", 0, NULL);
	(void)client_open(&d, "open");
	client_ready(&d, ACCESS_PLATFORM | VERSION_1);
	answered_by_next(&d, "read-then-closed", 1, true);
	answered_by_next(&d, "closed-unread", 3, false);
	(void)client_ioctl(&d, "kick", VHOST_SET_VRING_KICK, &file);
	(void)client_ioctl(&d, "enable", VHOST_VDPA_SET_VRING_ENABLE, &on);
	say("kickfd", TRY(ioctl(d.fd, ABI_VQ_SETUP_KICKFD, &arg)), NULL);
	client_status(&d, "driver-ok", DRIVER_OK);
	say_info(&d, "info", 0);
	reopen(&d, "reopen-running");
	say("features", TRY(ioctl(d.fd, ABI_DEV_GET_FEATURES, &features)),
	    "0x%llx", (unsigned long long)features);
	say_info(&d, "info-reopened", 0);
	(void)eventfd_write(kick, 1);
	(void)wait_for(seen, POLLIN, 5000);
	say("kick-to-old-kickfd", count_of(seen), NULL);
	answered_by_next(&d, "reset", 0, true);
	vd_free(&d);
	(void)close(kick);
	(void)close(seen);
}

/* ---- silence ---- */

static bool set_timeout(const char *name)
{
	char command[512];
	int status;

	if (!options.timeout_command) {
		printf("# timeout: nobody sets it\n");
		return false;
	}
	(void)snprintf(command, sizeof(command), "set -- %s; %s", name,
		       options.timeout_command);
	(void)fflush(stdout);
	status = system(command);
	say("set", WIFEXITED(status) ? WEXITSTATUS(status) : 255,
	    "(by command)");
	return true;
}

/* A call that nobody answers; the request, if any, is left unread. */
static void unanswered(struct vd *d, const char *step, unsigned long cmd,
		       void *arg)
{
	struct call call = {
		.step = step, .fn = fn_ioctl, .d = d, .cmd = cmd, .arg = arg
	};
	pthread_t thread;

	client_start(&call, &thread);
	say(step, client_finish(&call, thread), "status now 0x%x",
	    client_get_status(d));
}

static void broken_device(struct vd *d)
{
	uint64_t features = 0;
	char room[152];
	uint8_t status = 0;
	struct vhost_vring_state state = { .index = 0 };
	short events = wait_for(d->fd, POLLIN | POLLOUT, 0);

	d->is_broken = true;
	say("broken-poll", events, "%s",
	    events & POLLERR ? "with POLLERR" : "without POLLERR");
	say("broken-get-features",
	    TRY(ioctl(d->fd, ABI_DEV_GET_FEATURES, &features)), NULL);
	say("broken-unknown", TRY(ioctl(d->fd, ABI_UNKNOWN, room)), NULL);
	say("broken-read", TRY(read(d->fd, room, sizeof(room))), NULL);
	say("broken-write", TRY(write(d->fd, memset(room, 0, 152), 152)), NULL);
	unanswered(d, "broken-get-base", VHOST_GET_VRING_BASE, &state);
	unanswered(d, "broken-reset", VHOST_VDPA_SET_STATUS, &status);
	status = 1;
	unanswered(d, "broken-status", VHOST_VDPA_SET_STATUS, &status);
	client_close(d, "broken-close");
	(void)client_open(d, "broken-reopen");
	reopen(d, "broken-device-reopen");
	say("broken-reopened-get-features",
	    TRY(ioctl(d->fd, ABI_DEV_GET_FEATURES, &features)), NULL);
}

void probe_timeout(void)
{
	struct vhost_vring_state num = { .num = 8 };
	uint8_t status = 3;
	struct vd d;

	vd_new(&d, "probe-timeout", 0, NULL);
	(void)client_open(&d, "open");
	(void)ioctl(d.client, VHOST_SET_OWNER);
	client_status(&d, "status", 1);
	if (!set_timeout(d.name)) {
		vd_free(&d);
		return;
	}
	unanswered(&d, "silence", VHOST_VDPA_SET_STATUS, &status);
	say("vring-num", TRY(ioctl(d.client, VHOST_SET_VRING_NUM, &num)), NULL);
	broken_device(&d);
	vd_free(&d);
	vd_new(&d, "probe-timeout", 0, NULL);
	(void)client_open(&d, "anew");
	vd_free(&d);
}

/* ---- groups ---- */

static void setup(struct vd *d, const char *step, uint32_t idx, uint32_t group)
{
	struct abi_vq_config vq = { .index = idx,
				    .max_size = 256,
				    .group = group };

	say(step, TRY(ioctl(d->fd, ABI_VQ_SETUP, &vq)), NULL);
}

static void bind_group(struct vd *d, const char *step, uint32_t group,
		       uint32_t asid)
{
	struct vhost_vring_state state = { .index = group, .num = asid };

	say(step, client_ioctl(d, step, VHOST_VDPA_SET_GROUP_ASID, &state),
	    NULL);
}

static void group_of(struct vd *d, const char *step, uint32_t idx)
{
	struct vhost_vring_state state = { .index = idx };

	say(step, client_ioctl(d, step, VHOST_VDPA_GET_VRING_GROUP, &state),
	    "group %u", state.num);
}

static void fd_of(struct vd *d, const char *step, uint32_t asid,
		  uint32_t reserved)
{
	struct abi_iotlb_entry2 entry = { .last = UINT64_MAX,
					  .asid = asid,
					  .reserved = { [10] = reserved } };
	long ret = TRY(ioctl(d->fd, ABI_IOTLB_GET_FD2, &entry));

	say(step, ret < 0 ? ret : 0,
	    "offset 0x%llx 0x%llx..0x%llx perm %u asid %u",
	    (unsigned long long)entry.offset, (unsigned long long)entry.start,
	    (unsigned long long)entry.last, entry.perm, entry.asid);
	if (ret >= 0) {
		(void)close((int)ret);
	}
}

static void old_fd_and_info(struct vd *d)
{
	struct abi_iotlb_entry entry = { .last = UINT64_MAX };
	long ret = TRY(ioctl(d->fd, ABI_IOTLB_GET_FD, &entry));

	say("get-fd", ret < 0 ? ret : 0, "0x%llx..0x%llx",
	    (unsigned long long)entry.start, (unsigned long long)entry.last);
	if (ret >= 0) {
		(void)close((int)ret);
	}
	for (uint32_t asid = 0; asid < 3; asid++) {
		struct abi_iova_info info = { .last = UINT64_MAX,
					      .asid = asid };

		say("get-info", TRY(ioctl(d->fd, ABI_IOTLB_GET_INFO, &info)),
		    "asid %u 0x%llx..0x%llx", asid,
		    (unsigned long long)info.start,
		    (unsigned long long)info.last);
	}
}

static void group_maps(struct vd *d)
{
	uint64_t acked = FEATURE(1) | FEATURE(2) | FEATURE(3);
	char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	say("ack-asid",
	    client_ioctl(d, "ack-asid", VHOST_SET_BACKEND_FEATURES, &acked),
	    NULL);
	(void)client_map(d, "map-0", 0, 0x1000, at, 4096, 3);
	(void)client_map(d, "map-1", 1, 0x1000, at + 4096, 4096, 1);
	(void)client_map(d, "map-2", 2, 0x1000, at, 4096, 3);
	fd_of(d, "fd-of-0", 0, 0);
	fd_of(d, "fd-of-1", 1, 0);
	fd_of(d, "fd-of-2", 2, 0);
	fd_of(d, "fd-reserved", 0, 1);
	old_fd_and_info(d);
	(void)client_iotlb(d, "batch-1", VHOST_IOTLB_BATCH_BEGIN, 1, NULL);
	(void)client_map(d, "batch-other-asid", 0, 0x4000, at, 4096, 3);
	(void)client_map(d, "batch-map", 1, 0x4000, at, 4096, 3);
	(void)client_iotlb(d, "batch-end", VHOST_IOTLB_BATCH_END, 1, NULL);
	(void)client_unmap(d, "unmap-1", 1, 0, UINT64_MAX);
	fd_of(d, "fd-of-unmapped", 1, 0);
}

/* Version 1, and a device of two groups in two address spaces. */
static bool groups_new(struct vd *d, struct abi_dev_config *config)
{
	uint64_t version = 1;
	int control = open(CONTROL, O_RDWR | O_CLOEXEC);
	long ret = TRY(ioctl(control, ABI_SET_API_VERSION, &version));

	say("version-1", ret, NULL);
	(void)close(control);
	if (ret < 0) {
		return false;
	}
	config->ngroups = 2;
	config->nas = 2;
	vd_create(d, "probe-groups", 1, config);
	setup(d, "setup-0", 0, 0);
	setup(d, "setup-1", 1, 1);
	setup(d, "setup-group-2", 1, 2);
	return vd_attach(d, "attach") == 0;
}

void probe_groups(void)
{
	struct abi_dev_config *config = config_of("probe-groups");
	uint32_t n = 0;
	struct vd d;

	if (!groups_new(&d, config)) {
		free(config);
		return;
	}
	free(config);
	fd_of(&d, "fd-before", 0, 0);
	(void)client_open(&d, "open");
	client_ready(&d, ACCESS_PLATFORM | VERSION_1);
	say("groups", TRY(ioctl(d.client, VHOST_VDPA_GET_GROUP_NUM, &n)), "%u",
	    n);
	say("spaces", TRY(ioctl(d.client, VHOST_VDPA_GET_AS_NUM, &n)), "%u", n);
	group_of(&d, "group-of-0", 0);
	group_of(&d, "group-of-1", 1);
	group_of(&d, "group-of-2", 2);
	bind_group(&d, "bind-1-1", 1, 1);
	bind_group(&d, "bind-1-2", 1, 2);
	bind_group(&d, "bind-2-0", 2, 0);
	d.result = 1;
	bind_group(&d, "bind-refused", 0, 1);
	d.result = 0;
	group_maps(&d);
	bind_group(&d, "bind-1-0", 1, 0);
	setup(&d, "setup-before-driver-ok", 1, 0);
	group_of(&d, "group-moved", 1);
	setup(&d, "setup-back", 1, 1);
	client_status(&d, "driver-ok", DRIVER_OK);
	setup(&d, "setup-driver-ok", 1, 0);
	bind_group(&d, "bind-driver-ok", 1, 1);
	client_status(&d, "reset", 0);
	setup(&d, "setup-reset", 1, 1);
	bind_group(&d, "bind-again", 1, 1);
	client_close(&d, "close");
	(void)client_open(&d, "reopen");
	fd_of(&d, "stale-0", 0, 0);
	vd_free(&d);
}
