/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: a device process and a vhost-vdpa client, statements 76 to 91.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "test_vduse_rig.h"

#define ALL_OK 0xf

static struct rig *with_client(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_client_open(r), 0);
	return r;
}

static struct vduse_vq_info info_of(struct rig *r, uint32_t idx)
{
	struct vduse_vq_info info;

	memset(&info, 0xee, sizeof(info));
	info.index = idx;
	assert_int_equal(rig_ioctl(r, VDUSE_VQ_GET_INFO, &info), 0);
	return info;
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_int_not_equal(fd, -1);
	return fd;
}

static uint64_t take_count(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void add_one(int fd)
{
	assert_int_equal(eventfd_write(fd, 1), 0);
}

static int64_t set_kickfd(struct rig *r, uint32_t idx, int fd)
{
	struct vduse_vq_eventfd e = { idx, fd };

	return rig_ioctl(r, VDUSE_VQ_SETUP_KICKFD, &e);
}

static int64_t inject(struct rig *r, uint32_t idx)
{
	return rig_ioctl(r, VDUSE_VQ_INJECT_IRQ, &idx);
}

static void del_done(void *priv, int result)
{
	*(int *)priv = result;
}

/* ---- messages ---- */

static void test_s76_read_and_write_are_exact(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_response resp = { .request_id = 9 };
	char buf[256];

	assert_int_equal(cdev_local_read(r->process, r->dev, buf, 151),
			 -EINVAL);
	assert_int_equal(cdev_local_read(r->process, r->dev, buf, 152),
			 -EAGAIN);
	assert_int_equal(cdev_local_write(r->process, r->dev, &resp, 151),
			 -EINVAL);
	assert_int_equal(cdev_local_write(r->process, r->dev, &resp, 152),
			 -ENOENT);
	resp.reserved[3] = 1;
	assert_int_equal(cdev_local_write(r->process, r->dev, &resp, 152),
			 -EINVAL);
}

static void test_s77_ids_count_from_0(void **state)
{
	struct rig *r = with_client(state);

	assert_int_equal(sizeof(struct vduse_request), 152);
	assert_int_equal(rig_status(r, 1), 0);
	assert_int_equal(rig_status(r, 3), 0);
	assert_int_equal(r->n_log, 3); /* the first is open()'s reset */
	for (unsigned int i = 0; i < r->n_log; i++) {
		assert_int_equal(r->log[i].request_id, i);
		assert_int_equal(r->log[i].type, VDUSE_REQUEST_SET_STATUS);
	}
	assert_int_equal(r->log[0].s.status, 0);
	assert_int_equal(rig_last(r)->s.status, 3);
}

static void test_s78_one_update_a_change_or_batch(void **state)
{
	struct rig *r = with_client(state);
	unsigned int n = r->n_log;

	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
	assert_int_equal(rig_map(r, 0, RIG_IOVA + 4096, 4096, 4096), 72);
	assert_int_equal(r->n_log, n + 2);
	assert_int_equal(rig_last(r)->type, VDUSE_REQUEST_UPDATE_IOTLB);
	assert_int_equal(rig_last(r)->iova.start, 0);
	assert_int_equal(rig_last(r)->iova.last, UINT64_MAX);
	assert_int_equal(rig_iotlb(r, 0, VHOST_IOTLB_BATCH_BEGIN, 0, 0), 72);
	assert_int_equal(rig_iotlb(r, 0, VHOST_IOTLB_INVALIDATE, 0, UINT64_MAX),
			 72);
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 8192), 72);
	assert_int_equal(r->n_log, n + 2);
	assert_int_equal(rig_iotlb(r, 0, VHOST_IOTLB_BATCH_END, 0, 0), 72);
	assert_int_equal(r->n_log, n + 3);
	/* Changes of nothing are told, too; END alone is none. */
	assert_int_equal(rig_iotlb(r, 0, VHOST_IOTLB_INVALIDATE, 0, 4096), 72);
	assert_int_equal(r->n_log, n + 4);
	assert_int_equal(rig_iotlb(r, 0, VHOST_IOTLB_BATCH_BEGIN, 0, 0), 72);
	assert_int_equal(rig_iotlb(r, 0, VHOST_IOTLB_BATCH_END, 0, 0), 72);
	assert_int_equal(r->n_log, n + 5);
	assert_int_equal(rig_iotlb(r, 0, VHOST_IOTLB_BATCH_END, 0, 0), 72);
	assert_int_equal(r->n_log, n + 5);
}

static void test_s78_refused_map_is_set_back(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_iotlb_entry e = { .start = 0, .last = UINT64_MAX };
	unsigned int n = r->n_log;

	r->answer = RIG_FAILED;
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), -EFAULT);
	assert_int_equal(r->n_log, n + 2); /* the second: the old table */
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e), -EINVAL);
	/* What is unmapped is gone, whatever is said to that. */
	r->answer = RIG_OK;
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
	r->answer = RIG_FAILED;
	assert_int_equal(
		rig_iotlb(r, 0, VHOST_IOTLB_INVALIDATE, RIG_IOVA, 4096), 72);
	r->answer = RIG_OK;
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
}

static void test_close_sends_a_reset_and_no_map(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_iotlb_entry e = { .start = 0, .last = UINT64_MAX };
	unsigned int n;

	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
	n = r->n_log;
	rig_client_close(r);
	assert_int_equal(r->n_log, n + 1);
	assert_int_equal(rig_last(r)->type, VDUSE_REQUEST_SET_STATUS);
	/* Nothing of a client stays behind. */
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e), -EINVAL);
}

/* ---- memory ---- */

static void test_s79_get_fd_is_the_clients_memory(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_iotlb_entry e = { .start = 0, .last = UINT64_MAX };
	struct stat ours, theirs;
	int64_t fd;
	char *p;

	assert_int_equal(rig_map(r, 0, RIG_IOVA, 8192, 4096), 72);
	assert_int_equal(rig_map(r, 0, RIG_IOVA + 0x10000, 0, 4096), 72);
	fd = rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e);
	assert_true(fd >= 0);
	assert_int_equal(e.offset, 8192);
	assert_int_equal(e.start, RIG_IOVA);
	assert_int_equal(e.last, RIG_IOVA + 4095);
	assert_int_equal(e.perm, VDUSE_ACCESS_RW);
	assert_int_equal(fstat((int)fd, &theirs), 0);
	assert_int_equal(fstat(r->memfd, &ours), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	/* 81: from the file's first byte, as processes do it. */
	p = mmap(NULL, e.offset + 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
		 (int)fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	r->mem[8192] = 'a';
	assert_int_equal(p[8192], 'a');
	p[8193] = 'b';
	assert_int_equal(r->mem[8193], 'b');
	munmap(p, e.offset + 4096);
	close((int)fd);
	/* the second one, from an address within */
	e.start = RIG_IOVA + 0x10010;
	e.last = UINT64_MAX;
	fd = rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e);
	assert_true(fd >= 0);
	assert_int_equal(e.start, RIG_IOVA + 0x10000);
	assert_int_equal(e.offset, 0);
	close((int)fd);
}

static void test_s80_get_fd_in_a_hole(void **state)
{
	struct rig *r = *state;
	struct vduse_iotlb_entry e = { .start = 0, .last = UINT64_MAX };

	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e), -EINVAL);
	(void)with_client(state);
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
	e.last = RIG_IOVA - 1;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e), -EINVAL);
	e.start = RIG_IOVA + 4096;
	e.last = UINT64_MAX;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e), -EINVAL);
	e.start = 2;
	e.last = 1;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e), -EINVAL);
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD, NULL), -EFAULT);
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD2, &e), -ENOTTY);
}

static void test_get_info_has_no_capability(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_iova_info_as info = { .last = UINT64_MAX };

	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_INFO, &info), -EINVAL);
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_INFO, &info), 0);
	assert_int_equal(info.start, RIG_IOVA);
	assert_int_equal(info.last, RIG_IOVA + 4095);
	assert_int_equal(info.capability, 0);
	info.reserved[4] = 1;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_INFO, &info), -EFAULT);
	info.reserved[4] = 0;
	info.asid = 1;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_INFO, &info), -EFAULT);
}

static void test_s91_umem_needs_a_bounce_buffer(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_iova_umem_as umem = { .size = 64U << 20 };

	umem.uaddr = (uintptr_t)r->mem;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_REG_UMEM, &umem), -EINVAL);
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_DEREG_UMEM, &umem), -ENOENT);
	umem.reserved[0] = 1;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_DEREG_UMEM, &umem), -EINVAL);
}

/* ---- what works while a request is unanswered ---- */

static void use_everything(struct rig *r, const struct vduse_request *req)
{
	struct vduse_iotlb_entry e = { .last = UINT64_MAX };
	union {
		struct vduse_config_data head;
		uint8_t room[sizeof(struct vduse_config_data) + 4];
	} config = { .head = { .offset = 60, .length = 4 } };
	uint64_t features;
	int64_t fd;

	if (req->type != VDUSE_REQUEST_SET_STATUS || req->s.status != ALL_OK) {
		return;
	}
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_GET_FEATURES, &features), 0);
	assert_int_equal(features, RIG_FEATURES);
	assert_int_equal(info_of(r, 0).ready, 1);
	assert_int_equal(info_of(r, 0).num, 64);
	fd = rig_ioctl(r, VDUSE_IOTLB_GET_FD, &e);
	assert_true(fd >= 0);
	close((int)fd);
	assert_int_equal(set_kickfd(r, 0, -1), 0);
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_SET_CONFIG, &config), 0);
	/* DRIVER_OK is not true before the reply. */
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_INJECT_CONFIG_IRQ, NULL),
			 -EINVAL);
	r->hook = NULL;
}

static void test_s82_ioctls_while_a_status_is_unanswered(void **state)
{
	struct rig *r = with_client(state);

	r->hook = use_everything;
	assert_int_equal(rig_features(r, RIG_FEATURES), 0);
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
	assert_int_equal(rig_vring(r, VHOST_SET_VRING_NUM, 0, 64), 0);
	assert_int_equal(rig_vring(r, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(rig_status(r, ALL_OK), 0);
	assert_null(r->hook);
	assert_int_equal(rig_get_status(r), ALL_OK);
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_INJECT_CONFIG_IRQ, NULL), 0);
}

static void test_s15_refused_status_is_not_taken(void **state)
{
	struct rig *r = with_client(state);

	assert_int_equal(rig_status(r, 3), 0);
	r->answer = RIG_FAILED;
	assert_int_equal(rig_status(r, 0xb), 0);
	assert_int_equal(rig_get_status(r), 3);
	/* 16: a reset takes place all the same */
	assert_int_equal(rig_status(r, 0), -EIO);
	assert_int_equal(rig_get_status(r), 0);
}

static void test_s90_features_are_the_clients(void **state)
{
	struct rig *r = with_client(state);
	uint64_t features = 1;

	assert_int_equal(rig_ioctl(r, VDUSE_DEV_GET_FEATURES, &features), 0);
	assert_int_equal(features, 0);
	assert_int_equal(rig_features(r, RIG_FEATURES | 0x20), 0);
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_GET_FEATURES, &features), 0);
	assert_int_equal(features, RIG_FEATURES | 0x20);
	assert_int_equal(rig_status(r, 0), 0);
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_GET_FEATURES, &features), 0);
	assert_int_equal(features, 0);
}

/* ---- virtqueues ---- */

static void test_vq_info_is_what_the_client_set(void **state)
{
	struct rig *r = with_client(state);
	struct vhost_vring_addr addr = {
		.index = 1,
		.desc_user_addr = 0x1000,
		.avail_user_addr = 0x2000,
		.used_user_addr = 0x3000,
	};
	struct vduse_vq_info info;

	assert_int_equal(rig_vring(r, VHOST_SET_VRING_NUM, 1, 32), 0);
	assert_int_equal(rig_client(r, VHOST_SET_VRING_ADDR, &addr), 0);
	assert_int_equal(rig_vring(r, VHOST_SET_VRING_BASE, 1, 7), 0);
	info = info_of(r, 1);
	assert_int_equal(info.num, 32);
	assert_int_equal(info.desc_addr, 0x1000);
	assert_int_equal(info.driver_addr, 0x2000);
	assert_int_equal(info.device_addr, 0x3000);
	assert_int_equal(info.split.avail_index, 7);
	assert_int_equal(info.packed.last_avail_idx, 0xeeee); /* not touched */
	assert_int_equal(info.ready, 0);
	assert_int_equal(rig_status(r, 0), 0);
	info = info_of(r, 1);
	assert_int_equal(info.num, 0);
	assert_int_equal(info.desc_addr, 0);
	assert_int_equal(info.split.avail_index, 0);
	info.index = 2;
	assert_int_equal(rig_ioctl(r, VDUSE_VQ_GET_INFO, &info), -EINVAL);
}

static void test_vq_state_comes_from_the_process(void **state)
{
	struct rig *r = with_client(state);
	struct vhost_vring_state s = { .index = 1 };

	r->vq_state.split.avail_index = 0xabcd;
	assert_int_equal(rig_client(r, VHOST_GET_VRING_BASE, &s), 0);
	assert_int_equal(s.num, 0xabcd);
	assert_int_equal(rig_last(r)->type, VDUSE_REQUEST_GET_VQ_STATE);
	assert_int_equal(rig_last(r)->vq_state.index, 1);
	/* packed: what does not fit is cut off */
	assert_int_equal(rig_features(r, RIG_FEATURES |
						 BIT_ULL(VIRTIO_F_RING_PACKED)),
			 0);
	memset(&r->vq_state, 0xff, sizeof(r->vq_state));
	r->vq_state.packed.last_used_counter = 2;
	assert_int_equal(rig_client(r, VHOST_GET_VRING_BASE, &s), 0);
	assert_int_equal(s.num, 0x7fffffff);
	s.num = 0x80058003;
	assert_int_equal(rig_client(r, VHOST_SET_VRING_BASE, &s), 0);
	assert_int_equal(info_of(r, 1).packed.last_avail_idx, 3);
	assert_int_equal(info_of(r, 1).packed.last_avail_counter, 1);
	assert_int_equal(info_of(r, 1).packed.last_used_idx, 5);
	assert_int_equal(info_of(r, 1).packed.last_used_counter, 1);
	r->answer = RIG_FAILED;
	assert_int_equal(rig_client(r, VHOST_GET_VRING_BASE, &s), -EIO);
}

static void test_s83_inject_irq(void **state)
{
	struct rig *r = with_client(state);
	int call = new_eventfd();

	assert_int_equal(inject(r, 2), -EINVAL);
	assert_int_equal(rig_vring(r, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(inject(r, 0), -EINVAL); /* nobody to call */
	assert_int_equal(rig_vring(r, VHOST_SET_VRING_CALL, 0, call), 0);
	assert_int_equal(inject(r, 0), 0);
	assert_int_equal(take_count(call), 1);
	assert_int_equal(rig_vring(r, VHOST_VDPA_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(inject(r, 0), -EINVAL); /* not ready */
	assert_int_equal(rig_status(r, ALL_OK), 0);
	assert_int_equal(inject(r, 0), 0);
	assert_int_equal(inject(r, 1), 0); /* to nobody */
	assert_int_equal(take_count(call), 0);
	close(call);
}

static void test_s84_inject_config_irq(void **state)
{
	struct rig *r = with_client(state);
	int call = new_eventfd();

	assert_int_equal(rig_client(r, VHOST_VDPA_SET_CONFIG_CALL, &call), 0);
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_INJECT_CONFIG_IRQ, NULL),
			 -EINVAL);
	assert_int_equal(rig_status(r, ALL_OK), 0);
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_INJECT_CONFIG_IRQ, NULL), 0);
	rig_settle(r);
	assert_int_equal(take_count(call), 1);
	close(call);
}

static void test_config_space_is_the_processs(void **state)
{
	struct rig *r = with_client(state);
	union {
		struct vduse_config_data head;
		uint8_t room[sizeof(struct vduse_config_data) + 4];
	} set = { .head = { .offset = 60, .length = 4 } };
	union {
		struct vhost_vdpa_config head;
		uint8_t room[sizeof(struct vhost_vdpa_config) + 4];
	} get = { .head = { .off = 60, .len = 4 } };

	memcpy(set.head.buffer, "\1\2\3\4", 4);
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_SET_CONFIG, &set), 0);
	assert_int_equal(rig_client(r, VHOST_VDPA_GET_CONFIG, &get), 0);
	assert_memory_equal(get.head.buf, set.head.buffer, 4);
	/* the client's words are lost */
	memset(get.head.buf, 9, 4);
	assert_int_equal(rig_client(r, VHOST_VDPA_SET_CONFIG, &get), 0);
	assert_int_equal(rig_client(r, VHOST_VDPA_GET_CONFIG, &get), 0);
	assert_memory_equal(get.head.buf, set.head.buffer, 4);
	set.head.offset = 61;
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_SET_CONFIG, &set), -EINVAL);
	set.head.offset = 4;
	set.head.length = UINT32_MAX;
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_SET_CONFIG, &set), -EINVAL);
	set.head.length = 0;
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_SET_CONFIG, &set), -EINVAL);
}

static void test_s85_kickfd_numbers(void **state)
{
	struct rig *r = *state;
	int pipe_fds[2];

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(set_kickfd(r, 0, -1), 0);
	assert_int_equal(set_kickfd(r, 0, -2), 0);
	assert_int_equal(set_kickfd(r, 2, -2), -EINVAL);
	assert_int_equal(set_kickfd(r, 0, 9999), -EBADF);
	assert_int_equal(set_kickfd(r, 0, pipe_fds[0]), -EINVAL);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_s86_kicks(void **state)
{
	struct rig *r = with_client(state);
	int kick = new_eventfd(), theirs = new_eventfd();

	assert_int_equal(rig_vring(r, VHOST_SET_VRING_KICK, 0, kick), 0);
	add_one(kick); /* not ready: lost */
	rig_settle(r);
	assert_int_equal(rig_vring(r, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(set_kickfd(r, 0, theirs), 0);
	rig_settle(r);
	assert_int_equal(take_count(theirs), 0);
	add_one(kick);
	rig_settle(r);
	assert_int_equal(take_count(theirs), 1);
	/* without a kickfd: remembered, once */
	assert_int_equal(set_kickfd(r, 0, -1), 0);
	add_one(kick);
	rig_settle(r);
	add_one(kick);
	rig_settle(r);
	assert_int_equal(set_kickfd(r, 0, theirs), 0);
	assert_int_equal(take_count(theirs), 1);
	assert_int_equal(set_kickfd(r, 0, theirs), 0);
	assert_int_equal(take_count(theirs), 0);
	/* 31: nobody took anything of the client's */
	assert_int_equal(take_count(kick), 4);
	/* a reset takes the kickfd away */
	assert_int_equal(rig_status(r, 0), 0);
	assert_int_equal(rig_vring(r, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	add_one(kick);
	rig_settle(r);
	assert_int_equal(take_count(theirs), 0);
	close(kick);
	close(theirs);
}

/* ---- silence and death ---- */

static void test_s87_no_reply_breaks_the_device(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_create config = rig_config("vd0");
	uint64_t features;
	int result = 1;

	assert_int_equal(rig_status(r, 1), 0);
	r->answer = RIG_SILENT;
	assert_int_equal(rig_status(r, 3), 0); /* after 30 virtual seconds */
	assert_int_equal(rig_get_status(r), 1);
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_GET_FEATURES, &features),
			 -EPERM);
	assert_int_equal(rig_status(r, 0), -EIO);
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), -EFAULT);
	/* H72: too late */
	assert_int_equal(rig_reply(r, rig_last(r)->request_id, 0), -ENOENT);
	rig_client_close(r);
	assert_int_equal(rig_client_open(r), -EIO);
	/* and the way out */
	assert_int_equal(vdpa_dev_del(r->w->bus, "vd0", del_done, &result), 0);
	assert_int_equal(result, 0);
	rig_close(r);
	assert_int_equal(rig_destroy(r, "vd0"), 0);
	config.vq_num = 1;
	assert_int_equal(rig_create(r, &config), 0);
	assert_int_equal(rig_open(r), 0);
	assert_int_equal(rig_setup_vq(r, 0, 64, 0), 0);
	assert_int_equal(rig_dev_add(r, "vd0", NULL, NULL), 0);
	r->answer = RIG_OK;
	assert_int_equal(rig_client_open(r), 0);
	assert_int_equal(rig_last(r)->request_id, 0);
}

/* How the call of a client ends while the process is silent for that long. */
struct silence {
	struct rig *r;
	unsigned int n_turns;
};

static void reply_in_the_end(void *priv)
{
	struct silence *s = priv;

	if (s->n_turns-- == 0) {
		s->r->answer = RIG_OK;
		assert_int_equal(rig_reply(s->r, rig_last(s->r)->request_id, 0),
				 152);
	}
	(void)rig_serve(s->r);
	rig_sleep(s->r, 3600); /* less if there is nothing left to happen */
}

static void test_timeout_0_waits_for_ever(void **state)
{
	struct rig *r = with_client(state);
	struct silence s = { r, 100 };
	struct vdpa_dev_config config = {
		.n_params = 1,
		.params[0] = { "timeout", "0" },
	};

	assert_int_equal(vdpa_dev_set(r->w->bus, "vd0", &config), 0);
	r->answer = RIG_SILENT;
	cdev_local_set_turn(r->w->local, reply_in_the_end, &s);
	assert_int_equal(rig_status(r, 1), 0);
	assert_int_equal(rig_get_status(r), 1);
}

static void test_timeout_is_a_key(void **state)
{
	struct rig *r = with_client(state);
	struct vdpa_dev_config config = {
		.n_params = 1,
		.params[0] = { "timeout", "7" },
	};
	uint64_t before = loop_now_ns(r->w->control);

	assert_int_equal(vdpa_dev_set(r->w->bus, "vd0", &config), 0);
	r->answer = RIG_SILENT;
	assert_int_equal(rig_status(r, 1), 0);
	assert_in_range(loop_now_ns(r->w->control) - before, 7000000000ULL,
			8000000000ULL);
	(void)strcpy(config.params[0].value, "86401");
	assert_int_equal(vdpa_dev_set(r->w->bus, "vd0", &config), -ERANGE);
}

/* Reads the request, dies, and lets another one answer it. */
static void die_and_restart(struct rig *r, const struct vduse_request *req)
{
	rig_close(r);
	assert_int_equal(rig_open(r), 0);
	r->answer = RIG_OK; /* from the second delivery on */
	r->hook = NULL;
}

static void test_s88_restarted_process_gets_the_same_request(void **state)
{
	struct rig *r = with_client(state);
	uint32_t first;

	assert_int_equal(rig_vring(r, VHOST_SET_VRING_NUM, 0, 32), 0);
	r->answer = RIG_SILENT;
	r->hook = die_and_restart;
	first = rig_last(r)->request_id + 1;
	assert_int_equal(rig_status(r, 1), 0);
	assert_int_equal(rig_get_status(r), 1);
	assert_int_equal(rig_last(r)->request_id, first);
	assert_int_equal(rig_last(r)->s.status, 1);
	assert_int_equal(info_of(r, 0).num, 32);
}

static void come_in_the_end(void *priv)
{
	struct silence *s = priv;

	if (s->n_turns-- == 0) {
		assert_int_equal(rig_open(s->r), 0);
	}
	if (!rig_serve(s->r)) {
		rig_sleep(s->r, 3600);
	}
}

static void test_requests_wait_for_a_process_that_comes(void **state)
{
	struct rig *r = with_client(state);
	struct silence s = { r, 3 };
	struct vdpa_dev_config config = {
		.n_params = 1,
		.params[0] = { "timeout", "0" },
	};

	assert_int_equal(vdpa_dev_set(r->w->bus, "vd0", &config), 0);
	rig_close(r);
	cdev_local_set_turn(r->w->local, come_in_the_end, &s);
	assert_int_equal(rig_status(r, 1), 0);
	assert_int_equal(rig_get_status(r), 1);
}

/* ---- version 1 ---- */

static int64_t group_asid(struct rig *r, uint32_t group, uint32_t asid)
{
	return rig_vring(r, VHOST_VDPA_SET_GROUP_ASID, group, (int)asid);
}

static void test_s89_groups(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_iotlb_entry_as e = { .last = UINT64_MAX, .asid = 1 };
	uint64_t bits = BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2) |
			BIT_ULL(VHOST_BACKEND_F_IOTLB_ASID);
	struct vhost_vring_state s = { .index = 1 };
	int64_t fd;

	assert_int_equal(rig_client(r, VHOST_SET_BACKEND_FEATURES, &bits), 0);
	assert_int_equal(rig_client(r, VHOST_VDPA_GET_VRING_GROUP, &s), 0);
	assert_int_equal(s.num, 2);
	assert_int_equal(group_asid(r, 1, 1), 0);
	assert_int_equal(rig_last(r)->type, VDUSE_REQUEST_SET_VQ_GROUP_ASID);
	assert_int_equal(rig_last(r)->vq_group_asid.group, 1);
	assert_int_equal(rig_last(r)->vq_group_asid.asid, 1);
	r->answer = RIG_FAILED;
	assert_int_equal(group_asid(r, 1, 0), -EIO);
	r->answer = RIG_OK;
	assert_int_equal(rig_map(r, 1, RIG_IOVA, 0, 4096), 72);
	assert_int_equal(rig_last(r)->iova.asid, 1);
	fd = rig_ioctl(r, VDUSE_IOTLB_GET_FD2, &e);
	assert_true(fd >= 0);
	close((int)fd);
	assert_int_equal(e.start, RIG_IOVA);
	e = (struct vduse_iotlb_entry_as){ .last = UINT64_MAX };
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD2, &e), -EINVAL);
	e.asid = 2;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD2, &e), -EINVAL);
	e = (struct vduse_iotlb_entry_as){ .last = UINT64_MAX, .asid = 1 };
	e.reserved[10] = 1;
	assert_int_equal(rig_ioctl(r, VDUSE_IOTLB_GET_FD2, &e), -EINVAL);
	assert_int_equal(rig_status(r, ALL_OK), 0);
	assert_int_equal(rig_setup_vq(r, 0, 64, 0), -EINVAL);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_set_up, rig_tear_down)
#define WITH_V1(t) \
	cmocka_unit_test_setup_teardown(t, rig_set_up_v1, rig_tear_down)

static const struct CMUnitTest tests[] = {
	WITH(test_s76_read_and_write_are_exact),
	WITH(test_s77_ids_count_from_0),
	WITH(test_s78_one_update_a_change_or_batch),
	WITH(test_s78_refused_map_is_set_back),
	WITH(test_close_sends_a_reset_and_no_map),
	WITH(test_s79_get_fd_is_the_clients_memory),
	WITH(test_s80_get_fd_in_a_hole),
	WITH(test_get_info_has_no_capability),
	WITH(test_s91_umem_needs_a_bounce_buffer),
	WITH(test_s82_ioctls_while_a_status_is_unanswered),
	WITH(test_s15_refused_status_is_not_taken),
	WITH(test_s90_features_are_the_clients),
	WITH(test_vq_info_is_what_the_client_set),
	WITH(test_vq_state_comes_from_the_process),
	WITH(test_s83_inject_irq),
	WITH(test_s84_inject_config_irq),
	WITH(test_config_space_is_the_processs),
	WITH(test_s85_kickfd_numbers),
	WITH(test_s86_kicks),
	WITH(test_s87_no_reply_breaks_the_device),
	WITH(test_timeout_0_waits_for_ever),
	WITH(test_timeout_is_a_key),
	WITH(test_s88_restarted_process_gets_the_same_request),
	WITH(test_requests_wait_for_a_process_that_comes),
	WITH_V1(test_s89_groups),
};

TEST_MAIN("vduse")
