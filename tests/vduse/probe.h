/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sections of the VDUSE probe share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_VDUSE_PROBE_H
#define TESTS_VDUSE_PROBE_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "uapi/compat.h"
#include "vduse_abi.h"

#define FEATURE(bit)	 (1ULL << (bit))
#define ACCESS_PLATFORM	 FEATURE(33)
#define VERSION_1	 FEATURE(32)
#define FEATURES_OK	 0xb
#define DRIVER_OK	 0xf
#define CONFIG_SIZE	 64
#define CONTROL		 "/dev/vduse/control"
#define ARRAY_SIZE(list) (sizeof(list) / sizeof((list)[0]))

/* What a call gave: a value, or -errno. */
#define TRY(call)                                     \
	({                                            \
		long try_ret = (call);                \
		try_ret < 0 ? -(long)errno : try_ret; \
	})

struct options {
	const char *node; /* of the vhost-vdpa device that attaching gives */
	const char *timeout_command;
};
extern struct options options;

/* ---- the transcript ---- */

/**
 * section() - what follows is about this
 */
void section(const char *name);

/**
 * say() - a line: what a step gave; a macro, so that the call comes first
 * @step: its name, without the section's
 * @call: >= 0, or -errno
 * @format: values to print when it did not fail, or NULL
 */
#define say(step, call, ...)                          \
	do {                                          \
		long say_ret = (call);                \
		say_what(step, say_ret, __VA_ARGS__); \
	} while (0)
void say_what(const char *step, long ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** say_text() - words that came with the step's error, if any did */
void say_text(const char *step, const char *text);

/** quit() - this went so wrong that no more can be said */
void quit(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* ---- a device with its client ---- */

#define N_VQS 2

struct vd {
	const char *name;
	int control, fd; /* of the device's side; -1 not open */
	int client; /* of vhost-vdpa; -1 not open */
	uint32_t api;

	/* how requests are answered */
	uint32_t result; /* 0 OK, else failed */
	struct abi_vq_state state; /* of GET_VQ_STATE's answers */
	unsigned int n_served; /* requests of the last call */
	bool is_broken; /* no request comes any more */
	bool has_quiet_ids; /* their numbers are not told */
	/* called between request and answer; NULL: nothing */
	void (*hook)(struct vd *d, const struct abi_request *req);
};

/* A client's call, run in a thread while this one is the device. */
struct call {
	const char *step;
	long (*fn)(struct call *call);
	struct vd *d;
	unsigned long cmd;
	void *arg;
	size_t len;
	long ret;
	int done;
};

/** config_of() - a device that can be created; the caller frees it */
struct abi_dev_config *config_of(const char *name);

/**
 * vd_new() - create, set up the queues, attach: a device and its bus
 * @api: API version
 *
 * Says nothing; quits if it fails.
 */
void vd_new(struct vd *d, const char *name, uint32_t api,
	    const struct abi_dev_config *config);
/** vd_create() - the same without attaching, and without queues */
void vd_create(struct vd *d, const char *name, uint32_t api,
	       const struct abi_dev_config *config);
void vd_setup(struct vd *d, uint32_t idx, uint16_t max_size, uint32_t group);
/** vd_free() - close, detach, destroy: whatever there is */
void vd_free(struct vd *d);
/** vd_open() - open the device's side */
long vd_open(struct vd *d, int flags);

/** client_start() and _finish() - a call that is not over before an answer */
void client_start(struct call *call, pthread_t *ret_thread);
long client_finish(struct call *call, pthread_t thread);
/** client_call() - both, with every request told and answered between */
long client_call(struct call *call);

/** client_ioctl() - with the requests that it causes; says what it gave */
long client_ioctl(struct vd *d, const char *step, unsigned long cmd, void *arg);
long client_open(struct vd *d, const char *step);
/** client_close() - with the reset that it causes, even if close returned */
void client_close(struct vd *d, const char *step);
void client_status(struct vd *d, const char *step, uint8_t status);
uint8_t client_get_status(struct vd *d);
/** client_iotlb() - a message of version 2; iovas are bytes, last inclusive */
long client_iotlb(struct vd *d, const char *step, uint8_t type, uint32_t asid,
		  const struct vhost_iotlb_msg *msg);
long client_map(struct vd *d, const char *step, uint32_t asid, uint64_t iova,
		void *at, uint64_t size, uint8_t perm);
long client_unmap(struct vd *d, const char *step, uint32_t asid, uint64_t iova,
		  uint64_t size);
/** vd_attach(), vd_detach() - `vdpa dev add` and `del` */
long vd_attach(struct vd *d, const char *step);
long vd_detach(struct vd *d, const char *step);
/** client_ready() - owner, features, queue 0 of 8 entries, not yet running */
void client_ready(struct vd *d, uint64_t features);

/** wait_for() - poll: what came of @events, 0 if nothing did in @ms */
short wait_for(int fd, short events, int ms);
/** request_read() - the next one, told; quits if there is none for 10 s */
void request_read(struct vd *d, const char *step, struct abi_request *ret_req);
long request_answer(struct vd *d, const struct abi_request *req,
		    uint32_t result);
/** count_of() - read an eventfd without waiting: its count or -errno */
long count_of(int fd);
/** say_info() - what the device's side sees of a queue */
void say_info(struct vd *d, const char *step, uint32_t idx);
/** guarded() - @size bytes behind which nothing is mapped; zeroed, kept */
void *guarded(size_t size);

/* ---- generic netlink of the vDPA bus ---- */

#define NETLINK_TEXT 128

/* A request's answer. */
struct answer {
	int ret; /* 0 or -errno */
	char text[NETLINK_TEXT]; /* the kernel's own words, "" none */
	uint64_t values[64]; /* by attribute; integers */
	uint64_t has;
};

struct attr {
	uint16_t id, len;
	const void *value;
};

int bus_request(uint8_t cmd, const struct attr *attrs, size_t n_attrs,
		struct answer *ret_answer);
/** bus_add() - DEV_NEW at mgmtdev @mgmtdev, with an attribute more or NULL */
int bus_add(const char *mgmtdev, const char *name, const struct attr *more,
	    struct answer *ret_answer);
int bus_del(const char *name, struct answer *ret_answer);

/* ---- sections ---- */

void probe_control(void);
void probe_create(void);
void probe_destroy(void);
void probe_device(void);
void probe_setup(void);
void probe_attach(void);
void probe_messages(void);
void probe_unread(void);
void probe_client(void);
void probe_status(void);
void probe_vring(void);
void probe_packed(void);
void probe_iotlb(void);
void probe_memory(void);
void probe_config(void);
void probe_kick(void);
void probe_call(void);
void probe_reconnect(void);
void probe_timeout(void);
void probe_groups(void);

#endif
