/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe's transcript, devices and clients.
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
#include <unistd.h>

#include "probe.h"

/* For a call that ought to return, or a request that ought to come, ms. */
#define PATIENCE_MS 20000

static const char *section_name;

void section(const char *name)
{
	section_name = name;
}

static const char *errno_name(long err)
{
	static char number[24];
	const char *name = strerrorname_np((int)err);

	if (name) {
		return name;
	}
	(void)snprintf(number, sizeof(number), "%ld", err);
	return number;
}

void say_what(const char *step, long ret, const char *format, ...)
{
	va_list args;

	if (ret < 0) {
		printf("%s/%s: -1 %s\n", section_name, step, errno_name(-ret));
	} else {
		printf("%s/%s: %ld OK", section_name, step, ret);
		if (format) {
			putchar(' ');
			va_start(args, format);
			vprintf(format, args);
			va_end(args);
		}
		putchar('\n');
	}
	(void)fflush(stdout);
}

void say_text(const char *step, const char *text)
{
	if (text[0]) {
		printf("%s/%s: \"%s\"\n", section_name, step, text);
	}
}

void quit(const char *format, ...)
{
	va_list args;

	printf("%s: quit: ", section_name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	(void)fflush(stdout);
	_exit(3);
}

void *guarded(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t pages = (size + page - 1) / page * page;
	char *at = mmap(NULL, pages + page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at + pages, page, PROT_NONE)) {
		quit("no memory");
	}
	return at + pages - size;
}

short wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) > 0 ? p.revents : 0;
}

long count_of(int fd)
{
	uint64_t count;

	return TRY(read(fd, &count, sizeof(count))) < 0 ? -(long)errno
							: (long)count;
}

/* ---- requests ---- */

static void tell_request(struct vd *d, const char *step,
			 const struct abi_request *req)
{
	static const char *const names[] = { "GET_VQ_STATE", "SET_STATUS",
					     "UPDATE_IOTLB",
					     "SET_VQ_GROUP_ASID" };

	printf("%s/%s> %s", section_name, step,
	       req->type < ARRAY_SIZE(names) ? names[req->type] : "unknown");
	if (!d->has_quiet_ids) {
		printf(" id %u", req->request_id);
	}
	if (req->type == ABI_GET_VQ_STATE) {
		printf(" index %u", req->vq_state.index);
	} else if (req->type == ABI_SET_STATUS) {
		printf(" status 0x%x", req->s.status);
	} else if (req->type == ABI_UPDATE_IOTLB) {
		printf(" 0x%llx..0x%llx", (unsigned long long)req->iova.start,
		       (unsigned long long)req->iova.last);
		if (d->api) {
			printf(" asid %u", req->iova.asid);
		}
	} else if (req->type == ABI_SET_VQ_GROUP_ASID) {
		printf(" group %u asid %u", req->group.group, req->group.asid);
	}
	for (size_t i = 0; i < ARRAY_SIZE(req->reserved); i++) {
		if (req->reserved[i]) {
			printf(" reserved");
		}
	}
}

void request_read(struct vd *d, const char *step, struct abi_request *ret_req)
{
	ssize_t n;

	if (!(wait_for(d->fd, POLLIN, PATIENCE_MS) & POLLIN)) {
		quit("%s: no request came", step);
	}
	memset(ret_req, 0xff, sizeof(*ret_req));
	n = read(d->fd, ret_req, sizeof(*ret_req));
	if (n != (ssize_t)sizeof(*ret_req)) {
		quit("%s: request of %zd bytes, errno %d", step, n, errno);
	}
	tell_request(d, step, ret_req);
}

long request_answer(struct vd *d, const struct abi_request *req,
		    uint32_t result)
{
	struct abi_response resp = { .request_id = req->request_id,
				     .result = result };

	if (req->type == ABI_GET_VQ_STATE) {
		resp.vq_state.index = req->vq_state.index;
		resp.vq_state.state = d->state;
	}
	return TRY(write(d->fd, &resp, sizeof(resp)));
}

static void request_serve(struct vd *d, const char *step)
{
	struct abi_request req;
	long ret;

	request_read(d, step, &req);
	d->n_served++;
	if (d->hook) {
		printf(" ...\n");
		d->hook(d, &req);
		printf("%s/%s> ...", section_name, step);
	}
	ret = request_answer(d, &req, d->result);
	printf(" -> %s", d->result ? "FAILED" : "OK");
	if (ret != (long)sizeof(struct abi_response)) {
		printf(" (write: %s)", ret < 0 ? errno_name(-ret) : "short");
	}
	putchar('\n');
}

/* ---- calls of the client ---- */

static void *call_run(void *arg)
{
	struct call *call = arg;

	call->ret = call->fn(call);
	(void)eventfd_write(call->done, 1);
	return NULL;
}

void client_start(struct call *call, pthread_t *ret_thread)
{
	call->done = eventfd(0, EFD_CLOEXEC);
	if (call->done < 0 ||
	    pthread_create(ret_thread, NULL, call_run, call)) {
		quit("%s: no thread", call->step);
	}
}

long client_finish(struct call *call, pthread_t thread)
{
	if (!wait_for(call->done, POLLIN, PATIENCE_MS)) {
		quit("%s: never returned", call->step);
	}
	(void)pthread_join(thread, NULL);
	(void)close(call->done);
	return call->ret;
}

long client_call(struct call *call)
{
	struct vd *d = call->d;
	pthread_t thread;

	d->n_served = 0;
	client_start(call, &thread);
	for (;;) {
		struct pollfd p[] = {
			{ .fd = call->done, .events = POLLIN },
			{ .fd = d->fd, .events = POLLIN },
		};

		if (poll(p, ARRAY_SIZE(p), PATIENCE_MS) <= 0) {
			quit("%s: never returned", call->step);
		}
		if (p[0].revents) {
			return client_finish(call, thread);
		}
		if (p[1].revents & POLLIN) {
			request_serve(d, call->step);
		} else if (p[1].revents) {
			return client_finish(call, thread);
		}
	}
}

static long fn_ioctl(struct call *call)
{
	return TRY(ioctl(call->d->client, call->cmd, call->arg));
}

static long fn_write(struct call *call)
{
	return TRY(write(call->d->client, call->arg, call->len));
}

static long fn_open(struct call *call)
{
	return TRY(open(options.node, O_RDWR | O_CLOEXEC));
}

static long fn_close(struct call *call)
{
	return TRY(close(call->d->client));
}

long client_ioctl(struct vd *d, const char *step, unsigned long cmd, void *arg)
{
	struct call call = {
		.step = step, .fn = fn_ioctl, .d = d, .cmd = cmd, .arg = arg
	};

	return client_call(&call);
}

long client_open(struct vd *d, const char *step)
{
	struct call call = { .step = step, .fn = fn_open, .d = d };
	long ret = client_call(&call);

	d->client = ret < 0 ? -1 : (int)ret;
	say(step, ret < 0 ? ret : 0, NULL);
	return ret;
}

void client_close(struct vd *d, const char *step)
{
	struct call call = { .step = step, .fn = fn_close, .d = d };
	long ret = client_call(&call);

	if (!d->n_served && d->fd >= 0 && !d->is_broken &&
	    wait_for(d->fd, POLLIN, 5000) & POLLIN) {
		request_serve(d, step);
	}
	say(step, ret, NULL);
	d->client = -1;
}

uint8_t client_get_status(struct vd *d)
{
	uint8_t status = 0xee;

	(void)ioctl(d->client, VHOST_VDPA_GET_STATUS, &status);
	return status;
}

void client_status(struct vd *d, const char *step, uint8_t status)
{
	long ret = client_ioctl(d, step, VHOST_VDPA_SET_STATUS, &status);

	say(step, ret, "status now 0x%x", client_get_status(d));
}

long client_iotlb(struct vd *d, const char *step, uint8_t type, uint32_t asid,
		  const struct vhost_iotlb_msg *more)
{
	struct vhost_msg_v2 msg = { .type = VHOST_IOTLB_MSG_V2, .asid = asid };
	struct call call = { .step = step,
			     .fn = fn_write,
			     .d = d,
			     .arg = &msg,
			     .len = sizeof(msg) };
	long ret;

	if (more) {
		msg.iotlb = *more;
	}
	msg.iotlb.type = type;
	ret = client_call(&call);
	say(step, ret, NULL);
	return ret;
}

long client_map(struct vd *d, const char *step, uint32_t asid, uint64_t iova,
		void *at, uint64_t size, uint8_t perm)
{
	struct vhost_iotlb_msg msg = {
		.iova = iova, .size = size, .uaddr = (uintptr_t)at, .perm = perm
	};

	return client_iotlb(d, step, VHOST_IOTLB_UPDATE, asid, &msg);
}

long client_unmap(struct vd *d, const char *step, uint32_t asid, uint64_t iova,
		  uint64_t size)
{
	struct vhost_iotlb_msg msg = { .iova = iova, .size = size };

	return client_iotlb(d, step, VHOST_IOTLB_INVALIDATE, asid, &msg);
}

void client_ready(struct vd *d, uint64_t features)
{
	struct vhost_vring_state num = { .num = 8 };
	struct vhost_vring_addr addr = { .desc_user_addr = 0x1000,
					 .avail_user_addr = 0x2000,
					 .used_user_addr = 0x3000 };

	if (ioctl(d->client, VHOST_SET_OWNER) ||
	    ioctl(d->client, VHOST_SET_FEATURES, &features) ||
	    ioctl(d->client, VHOST_SET_VRING_NUM, &num) ||
	    ioctl(d->client, VHOST_SET_VRING_ADDR, &addr)) {
		quit("client_ready: %s", errno_name(errno));
	}
}

/* ---- devices ---- */

struct abi_dev_config *config_of(const char *name)
{
	struct abi_dev_config *config =
		calloc(1, sizeof(*config) + CONFIG_SIZE);

	if (!config) {
		quit("no memory");
	}
	(void)snprintf(config->name, sizeof(config->name), "%s", name);
	config->vendor_id = 0x1af4;
	config->device_id = 2;
	config->features = ACCESS_PLATFORM | VERSION_1;
	config->vq_num = N_VQS;
	config->vq_align = 4096;
	config->config_size = CONFIG_SIZE;
	for (unsigned int i = 0; i < CONFIG_SIZE; i++) {
		config->config[i] = (uint8_t)(0xc0 + i);
	}
	return config;
}

long vd_open(struct vd *d, int flags)
{
	char path[300];
	long ret;

	(void)snprintf(path, sizeof(path), "/dev/vduse/%s", d->name);
	ret = TRY(open(path, flags | O_CLOEXEC));
	d->fd = ret < 0 ? -1 : (int)ret;
	return ret;
}

void vd_create(struct vd *d, const char *name, uint32_t api,
	       const struct abi_dev_config *config)
{
	struct abi_dev_config *own = NULL;
	uint64_t version = api;
	long ret;

	*d = (struct vd){ .name = name, .fd = -1, .client = -1, .api = api };
	d->control = open(CONTROL, O_RDWR | O_CLOEXEC);
	if (d->control < 0 ||
	    ioctl(d->control, ABI_SET_API_VERSION, &version)) {
		quit("%s: control: %s", name, errno_name(errno));
	}
	if (!config) {
		own = config_of(name);
		own->ngroups = api ? 1 : 0;
		own->nas = api ? 1 : 0;
		config = own;
	}
	ret = TRY(ioctl(d->control, ABI_CREATE_DEV, config));
	free(own);
	if (ret < 0 || vd_open(d, O_RDWR | O_NONBLOCK) < 0) {
		quit("%s: create: %s", name, errno_name(errno));
	}
}

void vd_setup(struct vd *d, uint32_t idx, uint16_t max_size, uint32_t group)
{
	struct abi_vq_config vq = { .index = idx,
				    .max_size = max_size,
				    .group = group };

	if (ioctl(d->fd, ABI_VQ_SETUP, &vq)) {
		quit("%s: setup: %s", d->name, errno_name(errno));
	}
}

void vd_new(struct vd *d, const char *name, uint32_t api,
	    const struct abi_dev_config *config)
{
	vd_create(d, name, api, config);
	for (uint32_t idx = 0; idx < N_VQS; idx++) {
		vd_setup(d, idx, 256, 0);
	}
	if (vd_attach(d, NULL)) {
		quit("%s: not attached", name);
	}
}

static long fn_attach(struct call *call)
{
	return bus_add("vduse", call->d->name, NULL, call->arg);
}

static long fn_detach(struct call *call)
{
	return bus_del(call->d->name, call->arg);
}

static long vd_bus(struct vd *d, const char *step, long (*fn)(struct call *))
{
	struct answer answer;
	struct call call = {
		.step = step ? step : "bus", .fn = fn, .d = d, .arg = &answer
	};
	long ret = client_call(&call);

	if (step) {
		say(step, ret, NULL);
	}
	return ret;
}

long vd_attach(struct vd *d, const char *step)
{
	return vd_bus(d, step, fn_attach);
}

long vd_detach(struct vd *d, const char *step)
{
	return vd_bus(d, step, fn_detach);
}

void vd_free(struct vd *d)
{
	char name[256] = "";

	d->hook = NULL;
	d->result = 0;
	if (d->client >= 0) {
		client_close(d, "end-client-close");
	}
	say("end-detach", vd_bus(d, NULL, fn_detach), NULL);
	if (d->fd >= 0) {
		(void)close(d->fd);
	}
	(void)snprintf(name, sizeof(name), "%s", d->name);
	say("end-destroy", TRY(ioctl(d->control, ABI_DESTROY_DEV, name)), NULL);
	(void)close(d->control);
}

void say_info(struct vd *d, const char *step, uint32_t idx)
{
	struct abi_vq_info info;
	long ret;

	memset(&info, 0xee, sizeof(info));
	info.index = idx;
	ret = TRY(ioctl(d->fd, ABI_VQ_GET_INFO, &info));
	say(step, ret,
	    "index %u num %u desc 0x%llx driver 0x%llx device 0x%llx "
	    "state %u %u %u %u ready %u",
	    info.index, info.num, (unsigned long long)info.desc_addr,
	    (unsigned long long)info.driver_addr,
	    (unsigned long long)info.device_addr, info.state.counter_or_avail,
	    info.state.avail_idx, info.state.used_counter, info.state.used_idx,
	    info.ready);
}
