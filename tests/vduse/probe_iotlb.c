/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe's sections on address spaces: what the client maps, what the
 * device is told of it and gets of it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe.h"

#define PAGE 4096UL
#define LAST UINT64_MAX

/* The entry at start..last; the descriptor for the caller to close, or -1. */
static int get_fd(struct vd *d, const char *step, uint64_t start, uint64_t last)
{
	struct abi_iotlb_entry entry = {
		.offset = 0xee, .start = start, .last = last, .perm = 0xee
	};
	long ret = TRY(ioctl(d->fd, ABI_IOTLB_GET_FD, &entry));

	say(step, ret < 0 ? ret : 0, "offset 0x%llx 0x%llx..0x%llx perm %u",
	    (unsigned long long)entry.offset, (unsigned long long)entry.start,
	    (unsigned long long)entry.last, entry.perm);
	return ret < 0 ? -1 : (int)ret;
}

static void see(struct vd *d, const char *step, uint64_t start, uint64_t last)
{
	int fd = get_fd(d, step, start, last);

	if (fd >= 0) {
		(void)close(fd);
	}
}

static void get_fd2(struct vd *d, const char *step, uint64_t start,
		    uint64_t last, uint32_t asid)
{
	struct abi_iotlb_entry2 entry = { .start = start,
					  .last = last,
					  .asid = asid };
	long ret = TRY(ioctl(d->fd, ABI_IOTLB_GET_FD2, &entry));

	say(step, ret < 0 ? ret : 0,
	    "offset 0x%llx 0x%llx..0x%llx perm %u asid %u",
	    (unsigned long long)entry.offset, (unsigned long long)entry.start,
	    (unsigned long long)entry.last, entry.perm, entry.asid);
	if (ret >= 0) {
		(void)close((int)ret);
	}
}

static void get_info(struct vd *d, const char *step, uint64_t start,
		     uint64_t last, uint32_t asid, uint32_t reserved)
{
	struct abi_iova_info info = { .start = start,
				      .last = last,
				      .asid = asid,
				      .reserved = { 0, 0, 0, 0, reserved } };

	say(step, TRY(ioctl(d->fd, ABI_IOTLB_GET_INFO, &info)),
	    "0x%llx..0x%llx capability %llu", (unsigned long long)info.start,
	    (unsigned long long)info.last, (unsigned long long)info.capability);
}

static void umem(struct vd *d, const char *step, unsigned long cmd, void *at,
		 uint64_t iova, uint64_t size)
{
	struct abi_iova_umem umem = { .uaddr = (uintptr_t)at,
				      .iova = iova,
				      .size = size };

	say(step, TRY(ioctl(d->fd, cmd, &umem)), NULL);
}

/* Shared memory of the client's; *ret_fd for the caller to close. */
static char *client_memory(size_t size, int *ret_fd)
{
	int fd = memfd_create("probe", MFD_CLOEXEC);
	char *at;

	if (fd < 0 || ftruncate(fd, (off_t)size)) {
		quit("no memory file");
	}
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		quit("no memory");
	}
	*ret_fd = fd;
	return at;
}

/* ---- the table ---- */

static void table_batches(struct vd *d, char *at)
{
	(void)client_iotlb(d, "batch-begin", VHOST_IOTLB_BATCH_BEGIN, 0, NULL);
	(void)client_unmap(d, "batch-unmap", 0, 0x10000, 0x2000);
	(void)client_map(d, "batch-map", 0, 0x80000, at, PAGE, 3);
	(void)client_map(d, "batch-overlap", 0, 0x80000, at, PAGE, 3);
	see(d, "batch-inside-old", 0x10000, 0x10fff);
	see(d, "batch-inside-new", 0x80000, 0x80fff);
	(void)client_iotlb(d, "batch-end", VHOST_IOTLB_BATCH_END, 0, NULL);
	see(d, "batch-after-old", 0x10000, 0x10fff);
	see(d, "batch-after-new", 0x80000, 0x80fff);
	(void)client_iotlb(d, "batch-end-alone", VHOST_IOTLB_BATCH_END, 0,
			   NULL);
	(void)client_iotlb(d, "batch-empty-begin", VHOST_IOTLB_BATCH_BEGIN, 0,
			   NULL);
	(void)client_iotlb(d, "batch-empty-end", VHOST_IOTLB_BATCH_END, 0,
			   NULL);
}

static void table_refusals(struct vd *d, char *at)
{
	d->result = 1;
	(void)client_map(d, "refused-map", 0, 0x90000, at, PAGE, 3);
	see(d, "refused-map-gone", 0x90000, 0x90fff);
	(void)client_unmap(d, "refused-unmap", 0, 0x80000, PAGE);
	see(d, "refused-unmap-gone", 0x80000, 0x80fff);
	(void)client_iotlb(d, "refused-begin", VHOST_IOTLB_BATCH_BEGIN, 0,
			   NULL);
	(void)client_map(d, "refused-batch-map", 0, 0xa0000, at, PAGE, 3);
	(void)client_iotlb(d, "refused-end", VHOST_IOTLB_BATCH_END, 0, NULL);
	see(d, "refused-batch", 0xa0000, 0xa0fff);
	d->result = 0;
}

static void table_odd(struct vd *d, char *at)
{
	char *private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t wild = 0x7000000000001000ULL;

	if (private == MAP_FAILED || shared == MAP_FAILED) {
		quit("no memory");
	}
	(void)client_map(d, "private", 0, 0x100000, private, PAGE, 3);
	see(d, "private-seen", 0x100000, 0x100fff);
	(void)client_map(d, "shared-anonymous", 0, 0x110000, shared, 2 * PAGE,
			 3);
	see(d, "shared-anonymous-seen", 0x110000, 0x110fff);
	(void)client_map(d, "empty", 0, 0x120000, at, 0, 3);
	(void)client_map(d, "overlap", 0, 0x110800, at, PAGE, 3);
	(void)client_map(d, "wrap", 0, LAST - 0xfff, at, 2 * PAGE, 3);
	(void)client_map(d, "unaligned", 0, 0x130001, at + 0x777, 0x123, 3);
	see(d, "unaligned-seen", 0x130000, 0x130fff);
	(void)client_map(d, "last-page", 0, LAST - 0xfff, at, PAGE, 3);
	see(d, "last-page-seen", LAST, LAST);
	(void)client_map(d, "nothing-there", 0, wild, (void *)(uintptr_t)wild,
			 PAGE, 3);
	(void)client_map(d, "asid-1-not-acked", 1, 0x140000, at, PAGE, 3);
	see(d, "asid-1-not-acked-seen", 0x140000, 0x140fff);
	(void)client_iotlb(d, "miss", VHOST_IOTLB_MISS, 0, NULL);
	(void)client_iotlb(d, "type-9", 9, 0, NULL);
	(void)client_unmap(d, "unmap-hole", 0, 0x5000000, PAGE);
	(void)client_unmap(d, "unmap-part", 0, 0x110000, PAGE);
	see(d, "unmap-part-all-gone", 0x111000, 0x111fff);
	(void)client_unmap(d, "unmap-all", 0, 0, LAST);
	(void)munmap(private, PAGE);
	(void)munmap(shared, 2 * PAGE);
}

void probe_iotlb(void)
{
	struct vd d;
	int fd;
	char *at = client_memory(8 * PAGE, &fd);

	vd_new(&d, "probe-iotlb", 0, NULL);
	d.has_quiet_ids = true;
	see(&d, "get-fd-nothing", 0, LAST);
	(void)client_open(&d, "open");
	(void)client_map(&d, "map-no-owner", 0, 0, at, PAGE, 3);
	(void)ioctl(d.client, VHOST_SET_OWNER);
	(void)client_unmap(&d, "unmap-unused", 0, 0, LAST);
	(void)client_map(&d, "map-rw", 0, 0x10000, at + PAGE, 2 * PAGE, 3);
	(void)client_map(&d, "map-ro", 0, 0x20000, at + 4 * PAGE, PAGE, 1);
	(void)client_map(&d, "map-wo", 0, 0x30000, at + 5 * PAGE, PAGE, 2);
	(void)client_map(&d, "map-perm-0", 0, 0x40000, at, PAGE, 0);
	(void)client_map(&d, "map-perm-9", 0, 0x50000, at, PAGE, 9);
	see(&d, "get-fd", 0x10000, 0x10000);
	see(&d, "get-fd-middle", 0x10800, 0x20800);
	see(&d, "get-fd-all", 0, LAST);
	see(&d, "get-fd-ro", 0x20000, 0x20fff);
	see(&d, "get-fd-wo", 0x30000, 0x30fff);
	see(&d, "get-fd-hole", 0x12000, 0x1ffff);
	see(&d, "get-fd-backwards", 0x11000, 0x10000);
	get_fd2(&d, "get-fd2", 0x10000, 0x10fff, 0);
	get_info(&d, "get-info", 0x10000, 0x10fff, 0, 0);
	/* Their descriptors are not asked for: a kernel warns of them. */
	get_info(&d, "get-info-perm-0", 0x40000, 0x40fff, 0, 0);
	get_info(&d, "get-info-perm-9", 0x50000, 0x50fff, 0, 0);
	get_info(&d, "get-info-all", 0, LAST, 0, 0);
	get_info(&d, "get-info-hole", 0x12000, 0x1ffff, 0, 0);
	get_info(&d, "get-info-backwards", 1, 0, 0, 0);
	get_info(&d, "get-info-asid-1", 0x10000, 0x10fff, 1, 0);
	get_info(&d, "get-info-reserved", 0x10000, 0x10fff, 0, 1);
	umem(&d, "reg-umem", ABI_IOTLB_REG_UMEM, at, 0x10000, 2 * PAGE);
	umem(&d, "reg-umem-0", ABI_IOTLB_REG_UMEM, at, 0, 64 << 20);
	umem(&d, "dereg-umem", ABI_IOTLB_DEREG_UMEM, at, 0x10000, 2 * PAGE);
	table_batches(&d, at);
	table_odd(&d, at);
	(void)client_map(&d, "map-again", 0, 0x80000, at, PAGE, 3);
	table_refusals(&d, at);
	vd_free(&d);
	(void)munmap(at, 8 * PAGE);
	(void)close(fd);
}

/* ---- the memory itself ---- */

/* The descriptor, as the device finds it. */
static void describe(int fd)
{
	struct stat st = { .st_size = -1 };
	int flags = fcntl(fd, F_GETFL);

	(void)fstat(fd, &st);
	say("fd", 0, "%s %s %s size %lld block %ld",
	    (flags & O_ACCMODE) == O_RDWR ? "read-write" : "read-only",
	    flags & O_NONBLOCK ? "nonblock" : "block",
	    fcntl(fd, F_GETFD) & FD_CLOEXEC ? "cloexec" : "inherited",
	    (long long)st.st_size, (long)st.st_blksize);
}

/* As libvduse and DPDK do: from the file's start. */
static char *map_all(int fd, const char *step, size_t size, int prot)
{
	char *at = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	say(step, at == MAP_FAILED ? -errno : 0, NULL);
	return at == MAP_FAILED ? NULL : at;
}

static void both_ways(char *client, char *device, size_t offset)
{
	strcpy(client + offset, "from the client");
	say("device-reads", 0, "\"%s\"", device + offset);
	strcpy(device + offset, "from the device");
	say("client-reads", 0, "\"%s\"", client + offset);
}

void probe_memory(void)
{
	struct vd d;
	int memory, fd;
	char *at = client_memory(8 * PAGE, &memory), *mapped;
	char *shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	vd_new(&d, "probe-memory", 0, NULL);
	(void)client_open(&d, "open");
	client_ready(&d, ACCESS_PLATFORM | VERSION_1);
	(void)client_map(&d, "map", 0, 0x10000, at + PAGE, 2 * PAGE, 3);
	(void)client_map(&d, "map-ro", 0, 0x20000, at + 4 * PAGE, PAGE, 1);
	(void)client_map(&d, "map-anonymous", 0, 0x30000, shared, 2 * PAGE, 3);

	fd = get_fd(&d, "get-fd", 0x10000, 0x10001);
	describe(fd);
	mapped = map_all(fd, "mmap", 3 * PAGE, PROT_READ | PROT_WRITE);
	if (mapped) {
		both_ways(at, mapped, PAGE);
		both_ways(at, mapped, 3 * PAGE - 20);
	}
	(void)close(fd);
	fd = get_fd(&d, "get-fd-ro", 0x20000, 0x20001);
	describe(fd);
	(void)map_all(fd, "mmap-ro", 5 * PAGE, PROT_READ);
	(void)map_all(fd, "mmap-ro-to-write", 5 * PAGE, PROT_READ | PROT_WRITE);
	(void)close(fd);
	fd = get_fd(&d, "get-fd-anonymous", 0x30000, 0x30001);
	mapped =
		map_all(fd, "mmap-anonymous", 2 * PAGE, PROT_READ | PROT_WRITE);
	if (mapped) {
		both_ways(shared, mapped, PAGE);
	}
	(void)close(fd);

	client_status(&d, "driver-ok", DRIVER_OK);
	client_status(&d, "reset", 0);
	see(&d, "reset-keeps", 0x10000, 0x10001);
	client_close(&d, "close");
	(void)client_open(&d, "reopen");
	see(&d, "reopened-keeps", 0x10000, 0x10001);
	(void)ioctl(d.client, VHOST_SET_OWNER);
	(void)client_map(&d, "new-map", 0, 0x90000, at, PAGE, 3);
	see(&d, "new-map-drops", 0x10000, 0x10001);
	see(&d, "new-map-seen", 0, LAST);
	client_close(&d, "close-again");
	(void)vd_detach(&d, "detach");
	see(&d, "detached", 0, LAST);
	(void)vd_attach(&d, "attach");
	see(&d, "attached-again", 0, LAST);
	vd_free(&d);
	(void)close(memory);
}
