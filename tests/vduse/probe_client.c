/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe's sections on messages: which there are, what causes which, what
 * comes of each answer.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vhost_types.h>

#include "probe.h"

/* ---- the messages themselves ---- */

/* While a status waits for its answer, the device may ask what it likes. */
static void during_status(struct vd *d, const struct abi_request *req)
{
	struct abi_vq_eventfd no_kick = { 0, -1 };
	struct abi_config_data *data = calloc(1, sizeof(*data) + 4);
	struct abi_response resp = { .request_id = req->request_id + 1 };
	uint64_t features = 0;
	char room[152];

	say("during-get-features",
	    TRY(ioctl(d->fd, ABI_DEV_GET_FEATURES, &features)), "0x%llx",
	    (unsigned long long)features);
	say_info(d, "during-get-info", 0);
	say("during-kickfd", TRY(ioctl(d->fd, ABI_VQ_SETUP_KICKFD, &no_kick)),
	    NULL);
	data->length = 4;
	say("during-set-config", TRY(ioctl(d->fd, ABI_DEV_SET_CONFIG, data)),
	    NULL);
	free(data);
	say("during-config-irq", TRY(ioctl(d->fd, ABI_DEV_INJECT_CONFIG_IRQ)),
	    NULL);
	say("during-poll", wait_for(d->fd, POLLIN | POLLOUT, 0), NULL);
	say("during-read", TRY(read(d->fd, room, sizeof(room))), NULL);
	say("during-write-other", TRY(write(d->fd, &resp, sizeof(resp))), NULL);
	resp.request_id = req->request_id;
	resp.reserved[0] = 1;
	say("during-write-reserved", TRY(write(d->fd, &resp, sizeof(resp))),
	    NULL);
	say("during-write-151", TRY(write(d->fd, &resp, 151)), NULL);
}

/* A client that dies waiting: its request is nobody's. */
static void killed_client(struct vd *d)
{
	struct abi_request req;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		uint8_t status = 3;

		(void)ioctl(d->client, VHOST_VDPA_SET_STATUS, &status);
		_exit(0);
	}
	request_read(d, "kill", &req);
	printf("\n");
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	say("killed-answer", request_answer(d, &req, 0), NULL);
	say("killed-status", client_get_status(d), NULL);
}

static long fn_status(struct call *call)
{
	return TRY(ioctl(call->d->client, VHOST_VDPA_SET_STATUS, call->arg));
}

/* Answers that are too long, come twice, or are odd. */
static void odd_answers(struct vd *d)
{
	uint8_t status = 1;
	struct call call = {
		.step = "odd", .fn = fn_status, .d = d, .arg = &status
	};
	struct abi_request req;
	struct abi_response resp = { .result = 0 };
	char longer[200] = "";
	pthread_t thread;

	client_start(&call, &thread);
	say("pending-poll", wait_for(d->fd, POLLIN, 5000), NULL);
	say("read-151-pending", TRY(read(d->fd, longer, 151)), NULL);
	request_read(d, "odd", &req);
	printf("\n");
	say("read-poll", wait_for(d->fd, POLLIN | POLLOUT, 0), NULL);
	resp.request_id = req.request_id;
	memcpy(longer, &resp, sizeof(resp));
	say("answer-200-bytes", TRY(write(d->fd, longer, 200)), NULL);
	say("answer-twice", TRY(write(d->fd, &resp, sizeof(resp))), NULL);
	say("odd-returns", client_finish(&call, thread), NULL);
	d->result = 7;
	client_status(d, "result-7", 3);
	d->result = 0;
}

/* A request that is there, but was not read: it cannot be answered, and stays
 * there. */
void probe_unread(void)
{
	uint8_t status = 1;
	struct vd d;
	struct call call = {
		.step = "status", .fn = fn_status, .d = &d, .arg = &status
	};
	struct abi_request req;
	struct abi_response resp = { .request_id = 1 };
	pthread_t thread;

	vd_new(&d, "probe-unread", 0, NULL);
	(void)client_open(&d, "open");
	client_start(&call, &thread);
	(void)wait_for(d.fd, POLLIN, 5000);
	say("poll", wait_for(d.fd, POLLIN | POLLOUT, 0), NULL);
	say("read-nowhere", TRY(read(d.fd, guarded(0), 152)), NULL);
	say("read-nowhere-poll", wait_for(d.fd, POLLIN | POLLOUT, 0), NULL);
	if (!wait_for(d.fd, POLLIN, 0)) {
		(void)close(d.fd);
		say("reopen-for-it",
		    vd_open(&d, O_RDWR | O_NONBLOCK) < 0 ? -errno : 0, NULL);
		(void)wait_for(d.fd, POLLIN, 5000);
	}
	say("answer", TRY(write(d.fd, &resp, sizeof(resp))), NULL);
	if (wait_for(d.fd, POLLIN, 5000)) {
		request_read(&d, "status", &req);
		printf("\n");
		say("answer-read", request_answer(&d, &req, 0), NULL);
	}
	say("status", client_finish(&call, thread), NULL);
	vd_free(&d);
}

void probe_messages(void)
{
	struct vd d;

	vd_new(&d, "probe-messages", 0, NULL);
	(void)client_open(&d, "open");
	d.hook = during_status;
	client_status(&d, "status", 1);
	d.hook = NULL;
	client_status(&d, "reset", 0);
	odd_answers(&d);
	killed_client(&d);
	client_status(&d, "after", 3);
	vd_free(&d);
}

/* ---- what a client asks ---- */

static void queries(struct vd *d)
{
	uint64_t u64 = 0;
	uint32_t u32 = 0;
	uint16_t u16 = 0;
	struct {
		uint64_t first, last;
	} range;

	say("device-id",
	    client_ioctl(d, "device-id", VHOST_VDPA_GET_DEVICE_ID, &u32), "%u",
	    u32);
	say("features", client_ioctl(d, "features", VHOST_GET_FEATURES, &u64),
	    "0x%llx", (unsigned long long)u64);
	say("backend-features",
	    client_ioctl(d, "backend-features", VHOST_GET_BACKEND_FEATURES,
			 &u64),
	    "0x%llx", (unsigned long long)u64);
	say("vring-num",
	    client_ioctl(d, "vring-num", VHOST_VDPA_GET_VRING_NUM, &u16), "%u",
	    u16);
	say("config-size",
	    client_ioctl(d, "config-size", VHOST_VDPA_GET_CONFIG_SIZE, &u32),
	    "%u", u32);
	say("vqs", client_ioctl(d, "vqs", VHOST_VDPA_GET_VQS_COUNT, &u32), "%u",
	    u32);
	say("groups", client_ioctl(d, "groups", VHOST_VDPA_GET_GROUP_NUM, &u32),
	    "%u", u32);
	say("address-spaces",
	    client_ioctl(d, "address-spaces", VHOST_VDPA_GET_AS_NUM, &u32),
	    "%u", u32);
	say("iova-range",
	    client_ioctl(d, "iova-range", VHOST_VDPA_GET_IOVA_RANGE, &range),
	    "0x%llx..0x%llx", (unsigned long long)range.first,
	    (unsigned long long)range.last);
	say("suspend", client_ioctl(d, "suspend", VHOST_VDPA_SUSPEND, NULL),
	    NULL);
	say("resume", client_ioctl(d, "resume", VHOST_VDPA_RESUME, NULL), NULL);
}

static void set_backend(struct vd *d, const char *step, uint64_t features)
{
	say(step, client_ioctl(d, step, VHOST_SET_BACKEND_FEATURES, &features),
	    NULL);
}

static void set_features(struct vd *d, const char *step, uint64_t features)
{
	uint64_t seen = 0xee;
	long ret = client_ioctl(d, step, VHOST_SET_FEATURES, &features);

	(void)ioctl(d->fd, ABI_DEV_GET_FEATURES, &seen);
	say(step, ret, NULL);
	say("device-sees", 0, "0x%llx", (unsigned long long)seen);
}

static void group_queries(struct vd *d)
{
	struct vhost_vring_state state = { .index = 0 };

	say("vring-group",
	    client_ioctl(d, "vring-group", VHOST_VDPA_GET_VRING_GROUP, &state),
	    "group %u", state.num);
	state = (struct vhost_vring_state){ .index = 0 };
	say("set-group-asid",
	    client_ioctl(d, "set-group-asid", VHOST_VDPA_SET_GROUP_ASID,
			 &state),
	    NULL);
	state = (struct vhost_vring_state){ .index = 0, .num = 1 };
	say("set-group-asid-1",
	    client_ioctl(d, "set-group-asid-1", VHOST_VDPA_SET_GROUP_ASID,
			 &state),
	    NULL);
	state = (struct vhost_vring_state){ .index = 1 };
	say("set-group-1",
	    client_ioctl(d, "set-group-1", VHOST_VDPA_SET_GROUP_ASID, &state),
	    NULL);
	state = (struct vhost_vring_state){ .index = 2 };
	say("set-group-2",
	    client_ioctl(d, "set-group-2", VHOST_VDPA_SET_GROUP_ASID, &state),
	    NULL);
}

void probe_client(void)
{
	struct vhost_vring_state state = { .index = 0 };
	struct vd d;

	vd_new(&d, "probe-client", 0, NULL);
	d.result = 1;
	(void)client_open(&d, "open-refused");
	d.result = 0;
	(void)client_open(&d, "open");
	say("open-twice", TRY(open(options.node, O_RDWR | O_CLOEXEC)), NULL);
	queries(&d);
	say("vring-size-no-owner",
	    client_ioctl(&d, "vring-size-no-owner", VHOST_SET_VRING_NUM,
			 &state),
	    NULL);
	say("owner", client_ioctl(&d, "owner", VHOST_SET_OWNER, NULL), NULL);
	group_queries(&d);
	set_backend(&d, "backend-e", 0xe);
	set_backend(&d, "backend-suspend", FEATURE(4));
	set_backend(&d, "backend-enable-after", FEATURE(6));
	set_backend(&d, "backend-desc-asid", FEATURE(7) | FEATURE(3));
	set_backend(&d, "backend-persist", FEATURE(8));
	set_features(&d, "set-features", ACCESS_PLATFORM | VERSION_1);
	set_features(&d, "set-features-not-offered",
		     ACCESS_PLATFORM | VERSION_1 | FEATURE(5) | FEATURE(34));
	set_features(&d, "set-features-no-platform", VERSION_1);
	set_features(&d, "set-features-0", 0);
	set_features(&d, "set-features-again", ACCESS_PLATFORM | VERSION_1);
	client_status(&d, "driver-ok", DRIVER_OK);
	set_features(&d, "set-features-late", ACCESS_PLATFORM | VERSION_1);
	say("suspend-running",
	    client_ioctl(&d, "suspend-running", VHOST_VDPA_SUSPEND, NULL),
	    NULL);
	group_queries(&d);
	client_close(&d, "close");
	d.result = 1;
	(void)client_open(&d, "reopen-refused");
	d.result = 0;
	(void)client_open(&d, "reopen");
	d.result = 1;
	client_close(&d, "close-refused");
	d.result = 0;
	vd_free(&d);
}

/* ---- status ---- */

void probe_status(void)
{
	struct vd d;

	vd_new(&d, "probe-status", 0, NULL);
	(void)client_open(&d, "open");
	client_status(&d, "1", 1);
	client_status(&d, "same-again", 1);
	client_status(&d, "3", 3);
	d.result = 1;
	client_status(&d, "b-refused", FEATURES_OK);
	d.result = 0;
	client_status(&d, "b", FEATURES_OK);
	client_status(&d, "clear-a-bit", 3);
	client_status(&d, "failed", FEATURES_OK | 0x80);
	client_status(&d, "reset", 0);
	client_status(&d, "jump", DRIVER_OK);
	d.result = 1;
	client_status(&d, "reset-refused", 0);
	client_status(&d, "ff-refused", 0xff);
	d.result = 0;
	client_status(&d, "unknown-bits", 0x30);
	client_status(&d, "reset-at-end", 0);
	vd_free(&d);
}

/* ---- rings ---- */

static void vring(struct vd *d, const char *step, unsigned long cmd,
		  uint32_t idx, uint32_t num)
{
	struct vhost_vring_state state = { .index = idx, .num = num };

	say(step, client_ioctl(d, step, cmd, &state), "num 0x%x", state.num);
}

static void vring_addr(struct vd *d, const char *step, uint64_t base)
{
	struct vhost_vring_addr addr = { .index = 0,
					 .desc_user_addr = base,
					 .avail_user_addr = base + 0x1000,
					 .used_user_addr = base + 0x2000 };

	say(step, client_ioctl(d, step, VHOST_SET_VRING_ADDR, &addr), NULL);
}

static void own(struct vd *d, uint64_t features)
{
	say("owner", client_ioctl(d, "owner", VHOST_SET_OWNER, NULL), NULL);
	set_features(d, "set-features", features);
}

static void vring_steps(struct vd *d)
{
	vring(d, "num", VHOST_SET_VRING_NUM, 0, 16);
	say_info(d, "info-num", 0);
	vring(d, "num-3", VHOST_SET_VRING_NUM, 0, 3);
	vring(d, "num-0", VHOST_SET_VRING_NUM, 0, 0);
	vring(d, "num-512-of-256", VHOST_SET_VRING_NUM, 0, 512);
	vring(d, "num-65536", VHOST_SET_VRING_NUM, 0, 65536);
	vring(d, "num-of-2", VHOST_SET_VRING_NUM, 2, 16);
	vring(d, "num-again", VHOST_SET_VRING_NUM, 0, 16);
	vring_addr(d, "addr", 0x10000);
	say_info(d, "info-addr", 0);
	vring(d, "base", VHOST_SET_VRING_BASE, 0, 0x1234);
	say_info(d, "info-base", 0);
	vring(d, "base-65536", VHOST_SET_VRING_BASE, 0, 0x10000);
	vring(d, "enable", VHOST_VDPA_SET_VRING_ENABLE, 0, 1);
	say_info(d, "info-enable", 0);
	vring(d, "disable", VHOST_VDPA_SET_VRING_ENABLE, 0, 0);
	say_info(d, "info-disable", 0);
	vring(d, "enable-2", VHOST_VDPA_SET_VRING_ENABLE, 0, 2);
	say_info(d, "info-other", 1);
	vring(d, "size", VHOST_VDPA_GET_VRING_SIZE, 0, 0);
}

void probe_vring(void)
{
	struct vd d;

	vd_new(&d, "probe-vring", 0, NULL);
	(void)client_open(&d, "open");
	vring(&d, "num-no-owner", VHOST_SET_VRING_NUM, 0, 16);
	own(&d, ACCESS_PLATFORM | VERSION_1);
	say_info(&d, "info", 0);
	say_info(&d, "info-of-2", 2);
	vring_steps(&d);
	d.state.counter_or_avail = 0x4321;
	vring(&d, "get-base", VHOST_GET_VRING_BASE, 0, 0);
	vring(&d, "get-base-of-1", VHOST_GET_VRING_BASE, 1, 0);
	vring(&d, "get-base-of-2", VHOST_GET_VRING_BASE, 2, 0);
	say_info(&d, "info-get-base", 0);
	d.result = 1;
	vring(&d, "get-base-refused", VHOST_GET_VRING_BASE, 0, 0);
	d.result = 0;
	client_status(&d, "driver-ok", DRIVER_OK);
	vring(&d, "base-running", VHOST_SET_VRING_BASE, 0, 1);
	vring_addr(&d, "addr-running", 0x20000);
	vring(&d, "num-running", VHOST_SET_VRING_NUM, 0, 8);
	say_info(&d, "info-running", 0);
	vring(&d, "get-base-running", VHOST_GET_VRING_BASE, 0, 0);
	client_status(&d, "reset", 0);
	say_info(&d, "info-reset", 0);
	own(&d, ACCESS_PLATFORM | VERSION_1);
	vring(&d, "num-after-reset", VHOST_SET_VRING_NUM, 0, 4);
	client_close(&d, "close");
	(void)client_open(&d, "reopen");
	say_info(&d, "info-reopened", 0);
	vd_free(&d);
}

void probe_packed(void)
{
	struct abi_dev_config *config = config_of("probe-packed");
	uint64_t features = ACCESS_PLATFORM | VERSION_1 | FEATURE(34);
	struct vd d;

	config->features = features;
	vd_new(&d, "probe-packed", 0, config);
	free(config);
	(void)client_open(&d, "open");
	own(&d, features);
	vring(&d, "base", VHOST_SET_VRING_BASE, 0, 0x80058003);
	say_info(&d, "info-base", 0);
	vring(&d, "base-no-wrap", VHOST_SET_VRING_BASE, 0, 0x7fff0001);
	say_info(&d, "info-base-no-wrap", 0);
	d.state = (struct abi_vq_state){ 1, 5, 0, 6 };
	vring(&d, "get-base", VHOST_GET_VRING_BASE, 0, 0);
	d.state = (struct abi_vq_state){ 0xfffe, 0xffff, 0xffff, 0x8001 };
	vring(&d, "get-base-wild", VHOST_GET_VRING_BASE, 0, 0);
	client_status(&d, "driver-ok", DRIVER_OK);
	client_status(&d, "reset", 0);
	say_info(&d, "info-reset", 0);
	vring(&d, "get-base-reset", VHOST_GET_VRING_BASE, 0, 0);
	vd_free(&d);
}
