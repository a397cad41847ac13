/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe's sections on /dev/vduse/NAME: the file, its queues, attaching.
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
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "probe.h"

static const struct {
	const char *name;
	unsigned long cmd;
} commands[] = {
	{ "GET_FD", ABI_IOTLB_GET_FD },
	{ "GET_FD2", ABI_IOTLB_GET_FD2 },
	{ "GET_FEATURES", ABI_DEV_GET_FEATURES },
	{ "SET_CONFIG", ABI_DEV_SET_CONFIG },
	{ "INJECT_CONFIG_IRQ", ABI_DEV_INJECT_CONFIG_IRQ },
	{ "VQ_SETUP", ABI_VQ_SETUP },
	{ "VQ_GET_INFO", ABI_VQ_GET_INFO },
	{ "VQ_SETUP_KICKFD", ABI_VQ_SETUP_KICKFD },
	{ "VQ_INJECT_IRQ", ABI_VQ_INJECT_IRQ },
	{ "REG_UMEM", ABI_IOTLB_REG_UMEM },
	{ "DEREG_UMEM", ABI_IOTLB_DEREG_UMEM },
	{ "GET_INFO", ABI_IOTLB_GET_INFO },
	{ "unknown", ABI_UNKNOWN },
	{ "of-control", ABI_GET_API_VERSION },
	{ "of-vhost", VHOST_GET_FEATURES },
};

/* Every ioctl on a device that nobody attached: with and without a place. */
static void every_ioctl(int fd)
{
	char step[64], room[128];

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		(void)snprintf(step, sizeof(step), "%s-nowhere",
			       commands[i].name);
		say(step, TRY(ioctl(fd, commands[i].cmd, NULL)), NULL);
		memset(room, 0, sizeof(room));
		(void)snprintf(step, sizeof(step), "%s-zeroes",
			       commands[i].name);
		say(step, TRY(ioctl(fd, commands[i].cmd, room)), NULL);
		memset(room, 0xff, sizeof(room));
		(void)snprintf(step, sizeof(step), "%s-ones", commands[i].name);
		say(step, TRY(ioctl(fd, commands[i].cmd, room)), NULL);
	}
}

static void reads_and_writes(int fd)
{
	char room[256] = "";
	struct iovec two[] = { { room, 100 }, { room + 100, 52 } };
	struct abi_response resp = { .request_id = 0 };

	say("poll", wait_for(fd, POLLIN | POLLOUT, 0), NULL);
	say("read", TRY(read(fd, room, 152)), NULL);
	say("read-151", TRY(read(fd, room, 151)), NULL);
	say("read-0", TRY(read(fd, room, 0)), NULL);
	say("read-200", TRY(read(fd, room, 200)), NULL);
	say("readv", TRY(readv(fd, two, 2)), NULL);
	say("read-nowhere", TRY(read(fd, guarded(0), 152)), NULL);
	say("write-unknown-id", TRY(write(fd, &resp, sizeof(resp))), NULL);
	say("write-151", TRY(write(fd, &resp, 151)), NULL);
	say("write-0", TRY(write(fd, &resp, 0)), NULL);
	say("write-200", TRY(write(fd, room, 200)), NULL);
	say("write-nowhere", TRY(write(fd, guarded(0), 152)), NULL);
	resp.reserved[3] = 1;
	say("write-reserved", TRY(write(fd, &resp, sizeof(resp))), NULL);
	say("lseek", TRY(lseek(fd, 0, SEEK_SET)), NULL);
	say("pread", TRY(pread(fd, room, 152, 0)), NULL);
	say("mmap",
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED
		    ? -errno
		    : 0,
	    NULL);
}

void probe_device(void)
{
	struct vd d;
	int first;
	uint64_t features = 0;

	vd_create(&d, "probe-device", 0, NULL);
	first = d.fd;
	say("open-twice", vd_open(&d, O_RDWR), NULL);
	say("open-twice-read-only", vd_open(&d, O_RDONLY), NULL);
	(void)close(first);
	say("open-read-only",
	    vd_open(&d, O_RDONLY | O_NONBLOCK) < 0 ? -errno : 0, NULL);
	say("read-only-get-features",
	    TRY(ioctl(d.fd, ABI_DEV_GET_FEATURES, &features)), NULL);
	say("read-only-write", TRY(write(d.fd, "", 1)), NULL);
	(void)close(d.fd);
	say("reopen", vd_open(&d, O_RDWR | O_NONBLOCK) < 0 ? -errno : 0, NULL);
	reads_and_writes(d.fd);
	every_ioctl(d.fd);
	vd_free(&d);
}

/* ---- VQ_SETUP ---- */

static void setup(struct vd *d, const char *step, struct abi_vq_config vq)
{
	say(step, TRY(ioctl(d->fd, ABI_VQ_SETUP, &vq)), NULL);
}

void probe_setup(void)
{
	struct abi_vq_config last_reserved = { .index = 0, .max_size = 16 };
	struct vhost_vring_state num = { .num = 8 };
	struct vd d;

	vd_create(&d, "probe-setup", 0, NULL);
	setup(&d, "plain", (struct abi_vq_config){ 0, 256 });
	setup(&d, "again", (struct abi_vq_config){ 0, 128 });
	setup(&d, "second", (struct abi_vq_config){ 1, 128 });
	setup(&d, "size-0", (struct abi_vq_config){ 1, 0 });
	setup(&d, "size-1", (struct abi_vq_config){ 1, 1 });
	setup(&d, "size-3", (struct abi_vq_config){ 1, 3 });
	setup(&d, "size-65535", (struct abi_vq_config){ 1, 0xffff });
	setup(&d, "index-2", (struct abi_vq_config){ 2, 256 });
	setup(&d, "index-high", (struct abi_vq_config){ 0xffffffff, 256 });
	setup(&d, "reserved1", (struct abi_vq_config){ 0, 256, 1 });
	setup(&d, "group-1", (struct abi_vq_config){ 0, 256, 0, 1 });
	last_reserved.reserved2[9] = 1;
	setup(&d, "reserved2", last_reserved);
	(void)vd_attach(&d, "attach");
	setup(&d, "attached", (struct abi_vq_config){ 0, 64 });
	(void)client_open(&d, "open");
	say("vring-num",
	    TRY(ioctl(d.client, VHOST_VDPA_GET_VRING_NUM, &num.num)), "num %u",
	    num.num & 0xffff);
	client_ready(&d, ACCESS_PLATFORM | VERSION_1);
	client_status(&d, "driver-ok", DRIVER_OK);
	setup(&d, "driver-ok-setup", (struct abi_vq_config){ 0, 32 });
	say_info(&d, "info", 0);
	vd_free(&d);
}

/* ---- attaching ---- */

static void add(const char *step, const char *mgmtdev, const char *name,
		const struct attr *more)
{
	struct answer answer;
	int ret = bus_add(mgmtdev, name, more, &answer);

	say(step, ret, NULL);
	say_text(step, answer.text);
}

/* Values of DEV_GET (5) or MGMTDEV_GET (2), in the order of their numbers. */
static void show(const char *step, uint8_t cmd, uint16_t id, const char *name)
{
	struct attr attr = { id, (uint16_t)(strlen(name) + 1), name };
	struct answer answer;
	char text[512] = "";
	size_t len = 0;
	int ret = bus_request(cmd, &attr, 1, &answer);

	for (unsigned int i = 3; i < ARRAY_SIZE(answer.values); i++) {
		/* 4 is the name, which may be as short as a number. */
		if (answer.has & 1ULL << i && i != 4) {
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, " %u=%llu", i,
				(unsigned long long)answer.values[i]);
		}
	}
	say(step, ret, "attributes%s", text);
	say_text(step, answer.text);
}

static void attach_with(const char *step, uint16_t id, uint16_t len,
			const void *value)
{
	struct attr attr = { id, len, value };

	add(step, "vduse", "probe-attach", &attr);
}

void probe_attach(void)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };
	uint16_t mtu = 1500, pairs = 1;
	uint64_t features = ACCESS_PLATFORM | VERSION_1;
	struct abi_dev_config *net = config_of("probe-attach-net");
	struct answer answer;
	struct vd d, n;

	show("mgmtdev", 2, 2, "vduse");
	show("mgmtdev-unknown", 2, 2, "probe-nothing");
	add("no-device", "vduse", "probe-nothing", NULL);
	vd_create(&d, "probe-attach", 0, NULL);
	add("no-mgmtdev", "probe-nothing", "probe-attach", NULL);
	add("no-queue", "vduse", "probe-attach", NULL);
	vd_setup(&d, 0, 256, 0);
	add("one-queue-of-two", "vduse", "probe-attach", NULL);
	vd_setup(&d, 1, 128, 0);
	attach_with("with-mac", 10, sizeof(mac), mac);
	attach_with("with-mtu", 13, sizeof(mtu), &mtu);
	attach_with("with-pairs", 12, sizeof(pairs), &pairs);
	attach_with("with-features", 20, sizeof(features), &features);
	(void)close(d.fd);
	d.fd = -1;
	add("closed", "vduse", "probe-attach", NULL);
	show("show", 5, 4, "probe-attach");
	show("show-unknown", 5, 4, "probe-nothing");
	show("config", 6, 4, "probe-attach");
	add("twice", "vduse", "probe-attach", NULL);
	say("delete-unknown", bus_del("probe-nothing", &answer), NULL);
	say("delete", bus_del("probe-attach", &answer), NULL);
	say("delete-twice", bus_del("probe-attach", &answer), NULL);
	add("again", "vduse", "probe-attach", NULL);
	say("open-attached", vd_open(&d, O_RDWR | O_NONBLOCK) < 0 ? -errno : 0,
	    NULL);
	vd_free(&d);

	net->device_id = 1;
	vd_create(&n, "probe-attach-net", 0, net);
	free(net);
	vd_setup(&n, 0, 256, 0);
	vd_setup(&n, 1, 256, 0);
	(void)vd_attach(&n, "net");
	show("net-show", 5, 4, "probe-attach-net");
	vd_free(&n);
}

/* ---- config space ---- */

struct config_data {
	uint32_t offset, length;
	uint8_t bytes[CONFIG_SIZE + 64];
};

static void set_config(struct vd *d, const char *step, uint32_t offset,
		       uint32_t length)
{
	struct config_data data = { offset, length, { 0 } };

	memset(data.bytes, 0x5a, sizeof(data.bytes));
	say(step, TRY(ioctl(d->fd, ABI_DEV_SET_CONFIG, &data)), NULL);
}

static void get_config(struct vd *d, const char *step, uint32_t off,
		       uint32_t len, unsigned long cmd)
{
	struct {
		uint32_t off, len;
		uint8_t bytes[128];
	} config = { off, len, { 0 } };
	char text[300] = "";
	long ret;

	memset(config.bytes, 0xee, sizeof(config.bytes));
	ret = TRY(ioctl(d->client, cmd, &config));
	for (uint32_t i = 0; i < 8; i++) {
		(void)snprintf(text + 3 * i, sizeof(text) - 3 * i, " %02x",
			       config.bytes[i]);
	}
	say(step, ret, "bytes%s", text);
}

static void config_ranges(struct vd *d)
{
	struct abi_config_data *data = guarded(sizeof(*data) + 4);

	set_config(d, "set-0-4", 0, 4);
	set_config(d, "set-60-4", 60, 4);
	set_config(d, "set-0-all", 0, CONFIG_SIZE);
	set_config(d, "set-empty", 0, 0);
	set_config(d, "set-too-long", 0, CONFIG_SIZE + 1);
	set_config(d, "set-off-the-end", 61, 4);
	set_config(d, "set-at-end", CONFIG_SIZE, 1);
	set_config(d, "set-behind", CONFIG_SIZE + 1, 1);
	set_config(d, "set-wrap", 4, 0xffffffff);
	data->length = 5;
	say("set-at-the-edge", TRY(ioctl(d->fd, ABI_DEV_SET_CONFIG, data)),
	    NULL);
	data->length = 4;
	say("set-within", TRY(ioctl(d->fd, ABI_DEV_SET_CONFIG, data)), NULL);
}

void probe_config(void)
{
	struct vd d;
	int call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int none = -1;

	vd_new(&d, "probe-config", 0, NULL);
	(void)client_open(&d, "open");
	get_config(&d, "get-first", 0, 4, VHOST_VDPA_GET_CONFIG);
	config_ranges(&d);
	get_config(&d, "get-0-8", 0, 8, VHOST_VDPA_GET_CONFIG);
	get_config(&d, "get-58-6", 58, 6, VHOST_VDPA_GET_CONFIG);
	get_config(&d, "get-empty", 0, 0, VHOST_VDPA_GET_CONFIG);
	get_config(&d, "get-too-long", 0, 65, VHOST_VDPA_GET_CONFIG);
	get_config(&d, "get-behind", 65, 1, VHOST_VDPA_GET_CONFIG);
	get_config(&d, "get-at-end", 64, 1, VHOST_VDPA_GET_CONFIG);
	get_config(&d, "client-set", 0, 8, VHOST_VDPA_SET_CONFIG);
	get_config(&d, "get-after-client-set", 0, 8, VHOST_VDPA_GET_CONFIG);

	say("irq-before", TRY(ioctl(d.fd, ABI_DEV_INJECT_CONFIG_IRQ)), NULL);
	client_ready(&d, ACCESS_PLATFORM | VERSION_1);
	say("call-fd", TRY(ioctl(d.client, VHOST_VDPA_SET_CONFIG_CALL, &call)),
	    NULL);
	say("irq-before-driver-ok", TRY(ioctl(d.fd, ABI_DEV_INJECT_CONFIG_IRQ)),
	    NULL);
	client_status(&d, "driver-ok", DRIVER_OK);
	set_config(&d, "set-running", 0, 4);
	say("no-irq-by-itself", wait_for(call, POLLIN, 100), NULL);
	say("irq", TRY(ioctl(d.fd, ABI_DEV_INJECT_CONFIG_IRQ)), NULL);
	say("irq-came", wait_for(call, POLLIN, 5000), NULL);
	say("irq-count", count_of(call), NULL);
	say("call-fd-off",
	    TRY(ioctl(d.client, VHOST_VDPA_SET_CONFIG_CALL, &none)), NULL);
	say("irq-nobody", TRY(ioctl(d.fd, ABI_DEV_INJECT_CONFIG_IRQ)), NULL);
	say("irq-nobody-came", wait_for(call, POLLIN, 100), NULL);
	client_status(&d, "reset", 0);
	say("irq-after-reset", TRY(ioctl(d.fd, ABI_DEV_INJECT_CONFIG_IRQ)),
	    NULL);
	vd_free(&d);
	(void)close(call);
}
