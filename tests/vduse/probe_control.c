/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe's sections on /dev/vduse/control.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "probe.h"

/* What each version of the API gets. */
static void say_versions(int fd)
{
	uint64_t version = 0xee;

	say("get-version", TRY(ioctl(fd, ABI_GET_API_VERSION, &version)),
	    "version %llu", (unsigned long long)version);
	say("get-version-nowhere", TRY(ioctl(fd, ABI_GET_API_VERSION, NULL)),
	    NULL);
	say("set-version-nowhere", TRY(ioctl(fd, ABI_SET_API_VERSION, NULL)),
	    NULL);
	version = 2;
	say("set-version-2", TRY(ioctl(fd, ABI_SET_API_VERSION, &version)),
	    NULL);
	version = 1ULL << 32;
	say("set-version-high", TRY(ioctl(fd, ABI_SET_API_VERSION, &version)),
	    NULL);
	version = 1;
	say("set-version-1", TRY(ioctl(fd, ABI_SET_API_VERSION, &version)),
	    NULL);
	version = 0;
	say("set-version-0", TRY(ioctl(fd, ABI_SET_API_VERSION, &version)),
	    NULL);
	version = 0xee;
	say("get-version-set", TRY(ioctl(fd, ABI_GET_API_VERSION, &version)),
	    "version %llu", (unsigned long long)version);
}

void probe_control(void)
{
	char room[256] = "";
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	int second = open(CONTROL, O_RDWR | O_CLOEXEC);
	int ro = open(CONTROL, O_RDONLY | O_CLOEXEC);
	uint64_t version = 0xee;

	say("open", fd < 0 ? -errno : 0, NULL);
	say("open-second", second < 0 ? -errno : 0, NULL);
	say("open-read-only", ro < 0 ? -errno : 0, NULL);
	say("read-only-get-version",
	    TRY(ioctl(ro, ABI_GET_API_VERSION, &version)), NULL);
	say("read", TRY(read(fd, room, sizeof(room))), NULL);
	say("write", TRY(write(fd, room, sizeof(room))), NULL);
	say("unknown-ioctl", TRY(ioctl(fd, ABI_UNKNOWN, room)), NULL);
	say("ioctl-of-a-device", TRY(ioctl(fd, ABI_DEV_GET_FEATURES, room)),
	    NULL);
	say("ioctl-of-vhost", TRY(ioctl(fd, VHOST_GET_FEATURES, room)), NULL);
	say("mmap",
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED
		    ? -errno
		    : 0,
	    NULL);
	say_versions(fd);
	(void)close(fd);
	(void)close(second);
	(void)close(ro);
	say("open-nothing",
	    TRY(open("/dev/vduse/probe-nothing", O_RDWR | O_CLOEXEC)), NULL);
}

/* ---- CREATE_DEV ---- */

static long destroy(int fd, const char *name)
{
	char arg[256] = "";

	(void)snprintf(arg, sizeof(arg), "%s", name);
	return TRY(ioctl(fd, ABI_DESTROY_DEV, arg));
}

enum field {
	NOTHING,
	DEVICE_ID,
	FEATURES,
	VQ_NUM,
	VQ_ALIGN,
	RESERVED, /* value: which word, of 13 */
	GROUPS, /* high half: nas */
	SIZE,
};

/* One field, or two: the second is there to see which check comes first. */
struct attempt {
	const char *step;
	enum field field;
	uint64_t value;
	enum field field2;
	uint64_t value2;
};

#define BASE_FEATURES (ACCESS_PLATFORM | VERSION_1)
static const struct attempt attempts[] = {
	{ "plain", NOTHING, 0 },
	{ "features-none", FEATURES, 0 },
	{ "features-no-platform", FEATURES, VERSION_1 },
	{ "features-no-version-1", FEATURES, ACCESS_PLATFORM },
	{ "features-all-but-wce", FEATURES, ~FEATURE(11) },
	{ "features-wce", FEATURES, BASE_FEATURES | FEATURE(11) },
	{ "blk-with-bit-17", FEATURES, BASE_FEATURES | FEATURE(17) },
	{ "net", DEVICE_ID, 1 },
	{ "net-ctrl-vq", DEVICE_ID, 1, FEATURES, BASE_FEATURES | FEATURE(17) },
	{ "net-mq", DEVICE_ID, 1, FEATURES, BASE_FEATURES | FEATURE(22) },
	{ "net-with-bit-11", DEVICE_ID, 1, FEATURES,
	  BASE_FEATURES | FEATURE(11) },
	{ "net-no-version-1", DEVICE_ID, 1, FEATURES, ACCESS_PLATFORM },
	{ "net-all-but-ctrl-vq", DEVICE_ID, 1, FEATURES, ~FEATURE(17) },
	{ "id-0", DEVICE_ID, 0 },
	{ "id-console", DEVICE_ID, 3 },
	{ "id-rng", DEVICE_ID, 4 },
	{ "id-scsi", DEVICE_ID, 8 },
	{ "id-fs", DEVICE_ID, 26 },
	{ "id-high", DEVICE_ID, 0x10002 },
	{ "vqs-0", VQ_NUM, 0 },
	{ "vqs-1", VQ_NUM, 1 },
	{ "vqs-65535", VQ_NUM, 0xffff },
	{ "vqs-65536", VQ_NUM, 0x10000 },
	{ "align-0", VQ_ALIGN, 0 },
	{ "align-1", VQ_ALIGN, 1 },
	{ "align-2", VQ_ALIGN, 2 },
	{ "align-4", VQ_ALIGN, 4 },
	{ "align-12", VQ_ALIGN, 12 },
	{ "align-4096", VQ_ALIGN, 4096 },
	{ "align-4097", VQ_ALIGN, 4097 },
	{ "align-8192", VQ_ALIGN, 8192 },
	{ "reserved-0", RESERVED, 0 },
	{ "reserved-1", RESERVED, 1 },
	{ "reserved-2", RESERVED, 2 },
	{ "reserved-12", RESERVED, 12 },
	{ "config-0", SIZE, 0 },
	{ "config-1", SIZE, 1 },
	{ "config-4096", SIZE, 4096 },
	{ "config-4097", SIZE, 4097 },
	{ "config-huge", SIZE, 0xffffffff },
	{ "config-nowhere-and-bad-id", SIZE, 4096, DEVICE_ID, 0 },
};

static const struct attempt attempts_1[] = {
	{ "v1-no-groups", NOTHING, 0 },
	{ "v1-1-1", GROUPS, 1 | 1ULL << 32 },
	{ "v1-2-1", GROUPS, 2 | 1ULL << 32 },
	{ "v1-1-2", GROUPS, 1 | 2ULL << 32 },
	{ "v1-3-2", GROUPS, 3 | 2ULL << 32 },
	{ "v1-1-0", GROUPS, 1 },
	{ "v1-0-1", GROUPS, 1ULL << 32 },
	{ "v1-65535-65535", GROUPS, 0xffff | 0xffffULL << 32 },
	{ "v1-65536-1", GROUPS, 0x10000 | 1ULL << 32 },
	{ "v1-1-65536", GROUPS, 1 | 0x10000ULL << 32 },
	{ "v1-reserved", GROUPS, 1 | 1ULL << 32, RESERVED, 2 },
	{ "v1-reserved-last", GROUPS, 1 | 1ULL << 32, RESERVED, 12 },
};

static void set_field(struct abi_dev_config *config, enum field field,
		      uint64_t value)
{
	switch (field) {
	case NOTHING:
		break;
	case DEVICE_ID:
		config->device_id = (uint32_t)value;
		break;
	case FEATURES:
		config->features = value;
		break;
	case VQ_NUM:
		config->vq_num = (uint32_t)value;
		break;
	case VQ_ALIGN:
		config->vq_align = (uint32_t)value;
		break;
	case RESERVED:
		(&config->ngroups)[value] = 7;
		break;
	case GROUPS:
		config->ngroups = (uint32_t)value;
		config->nas = (uint32_t)(value >> 32);
		break;
	case SIZE:
		config->config_size = (uint32_t)value;
		break;
	}
}

/* The configuration lies at the end of what is mapped. */
static struct abi_dev_config *guarded_config(size_t room)
{
	struct abi_dev_config *good = config_of("probe-create");
	struct abi_dev_config *config = guarded(sizeof(*config) + room);

	memcpy(config, good, sizeof(*config));
	free(good);
	return config;
}

static void attempt(int fd, const struct attempt *attempt)
{
	struct abi_dev_config *config = guarded_config(5000);
	long ret;

	set_field(config, attempt->field, attempt->value);
	set_field(config, attempt->field2, attempt->value2);
	ret = TRY(ioctl(fd, ABI_CREATE_DEV, config));
	say(attempt->step, ret, NULL);
	if (!ret && destroy(fd, config->name)) {
		quit("%s: not destroyed", attempt->step);
	}
}

static void create_and_destroy(int fd, const char *step, const void *name,
			       size_t len)
{
	struct abi_dev_config *config = guarded_config(CONFIG_SIZE);
	long ret;

	memset(config->name, 0, sizeof(config->name));
	memcpy(config->name, name, len);
	ret = TRY(ioctl(fd, ABI_CREATE_DEV, config));
	say(step, ret, NULL);
	if (!ret) {
		say(step, TRY(ioctl(fd, ABI_DESTROY_DEV, name)), "destroyed");
	}
}

static void create_names(int fd)
{
	char name[256];

	create_and_destroy(fd, "name-empty", "", 0);
	memset(name, 'n', sizeof(name));
	memcpy(name, "probe-", 6);
	name[200] = '\0';
	create_and_destroy(fd, "name-200", name, sizeof(name));
	memset(name, 0, sizeof(name));
	strcpy(name, "probe with space");
	create_and_destroy(fd, "name-space", name, sizeof(name));
	memset(name, 0, sizeof(name));
	strcpy(name, "probe/slash");
	create_and_destroy(fd, "name-slash", name, sizeof(name));
	memset(name, 0, sizeof(name));
	strcpy(name, "control");
	create_and_destroy(fd, "name-control", name, sizeof(name));
}

/* Names that end nowhere and requests that do. */
static void create_faults(int fd)
{
	struct abi_dev_config *config;

	say("nowhere", TRY(ioctl(fd, ABI_CREATE_DEV, NULL)), NULL);
	config = guarded(sizeof(*config) - 1);
	say("short", TRY(ioctl(fd, ABI_CREATE_DEV, config)), NULL);
	config = guarded_config(CONFIG_SIZE - 1);
	say("config-short", TRY(ioctl(fd, ABI_CREATE_DEV, config)), NULL);
	config->device_id = 0;
	say("config-short-and-bad-id", TRY(ioctl(fd, ABI_CREATE_DEV, config)),
	    NULL);
	config = guarded_config(0);
	config->config_size = 0;
	say("config-none", TRY(ioctl(fd, ABI_CREATE_DEV, config)), NULL);
	say("config-none-destroyed", destroy(fd, config->name), NULL);
}

static void drop_net_admin(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data)) {
		_exit(255);
	}
	data[0].effective &= ~(1U << CAP_NET_ADMIN);
	data[0].permitted &= ~(1U << CAP_NET_ADMIN);
	if (syscall(SYS_capset, &head, data)) {
		_exit(255);
	}
}

/* Runs in a child: its status is the errno. */
static long without_net_admin(const struct abi_dev_config *config)
{
	pid_t pid;
	int status;

	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		int fd;
		long ret;

		drop_net_admin();
		fd = open(CONTROL, O_RDWR | O_CLOEXEC);
		ret = fd < 0 ? -errno : TRY(ioctl(fd, ABI_CREATE_DEV, config));
		if (!ret) {
			(void)destroy(fd, config->name);
		}
		_exit((int)-ret);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
		quit("no child");
	}
	return -WEXITSTATUS(status);
}

static void create_existing(int fd)
{
	struct abi_dev_config *config = guarded_config(CONFIG_SIZE);

	say("first", TRY(ioctl(fd, ABI_CREATE_DEV, config)), NULL);
	say("exists", TRY(ioctl(fd, ABI_CREATE_DEV, config)), NULL);
	config->features = 0;
	say("exists-bad-features", TRY(ioctl(fd, ABI_CREATE_DEV, config)),
	    NULL);
	config->features = BASE_FEATURES;
	config->device_id = 1;
	say("net-exists", TRY(ioctl(fd, ABI_CREATE_DEV, config)), NULL);
	say("net-exists-no-capability", without_net_admin(config), NULL);
	config->features = 0;
	say("net-bad-no-capability", without_net_admin(config), NULL);
	say("first-destroyed", destroy(fd, config->name), NULL);
	config->features = BASE_FEATURES;
	say("net-no-capability", without_net_admin(config), NULL);
	config->device_id = 2;
	say("blk-no-capability", without_net_admin(config), NULL);
}

/* What a file that has tried to create one thinks is the version. */
static void version_after(const char *step, const struct abi_dev_config *config)
{
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	uint64_t version = 0xee;

	if (!ioctl(fd, ABI_CREATE_DEV, config)) {
		(void)destroy(fd, config->name);
	}
	say(step, TRY(ioctl(fd, ABI_GET_API_VERSION, &version)), "version %llu",
	    (unsigned long long)version);
	(void)close(fd);
}

void probe_create(void)
{
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	struct abi_dev_config *config = config_of("probe-create");
	uint64_t version = 0;

	/* Nobody asked for a version: 0. */
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		attempt(fd, &attempts[i]);
	}
	create_names(fd);
	create_faults(fd);
	create_existing(fd);
	(void)ioctl(fd, ABI_GET_API_VERSION, &version);
	attempt(fd, &(struct attempt){ "after-get-version", NOTHING, 0 });
	version = 0;
	(void)ioctl(fd, ABI_SET_API_VERSION, &version);
	attempt(fd, &(struct attempt){ "after-set-version-0", NOTHING, 0 });
	version = 1;
	if (!ioctl(fd, ABI_SET_API_VERSION, &version)) {
		for (size_t i = 0; i < ARRAY_SIZE(attempts_1); i++) {
			attempt(fd, &attempts_1[i]);
		}
	}
	(void)close(fd);
	version_after("version-after-bad-pointer", NULL);
	config->device_id = 0;
	version_after("version-after-bad-create", config);
	config->device_id = 2;
	version_after("version-after-create", config);
	free(config);
	/* Who only asks gets the newest. */
	fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	(void)ioctl(fd, ABI_GET_API_VERSION, &version);
	attempt(fd, &(struct attempt){ "new-get-version", NOTHING, 0 });
	attempt(fd, &(struct attempt){ "new-get-version-groups", GROUPS,
				       1 | 1ULL << 32 });
	(void)close(fd);
}

/* ---- DESTROY_DEV ---- */

void probe_destroy(void)
{
	struct vd d;
	char *name = guarded(256);
	char *brief = guarded(sizeof("probe-destroy"));
	int other = open(CONTROL, O_RDWR | O_CLOEXEC);

	strcpy(name, "probe-destroy");
	strcpy(brief, name);
	say("unknown", TRY(ioctl(other, ABI_DESTROY_DEV, name)), NULL);
	say("nowhere", TRY(ioctl(other, ABI_DESTROY_DEV, NULL)), NULL);
	vd_create(&d, name, 0, NULL);
	say("brief-at-the-edge", TRY(ioctl(other, ABI_DESTROY_DEV, brief)),
	    NULL);
	say("while-open", TRY(ioctl(other, ABI_DESTROY_DEV, name)), NULL);
	vd_setup(&d, 0, 16, 0);
	vd_setup(&d, 1, 16, 0);
	(void)vd_attach(&d, "attach");
	say("while-open-and-attached", TRY(ioctl(other, ABI_DESTROY_DEV, name)),
	    NULL);
	(void)close(d.fd);
	d.fd = -1;
	say("while-attached", TRY(ioctl(other, ABI_DESTROY_DEV, name)), NULL);
	(void)vd_detach(&d, "detach");
	say("by-another-file", TRY(ioctl(other, ABI_DESTROY_DEV, name)), NULL);
	say("twice", TRY(ioctl(other, ABI_DESTROY_DEV, name)), NULL);
	say("open-destroyed", vd_open(&d, O_RDWR), NULL);
	(void)close(d.control);
	/* The files that made it are closed: it stays. */
	vd_create(&d, name, 0, NULL);
	(void)close(d.control);
	(void)close(d.fd);
	say("creator-closed-reopen", vd_open(&d, O_RDWR) < 0 ? -errno : 0,
	    NULL);
	(void)close(d.fd);
	say("creator-closed", TRY(ioctl(other, ABI_DESTROY_DEV, name)), NULL);
	(void)close(other);
}
