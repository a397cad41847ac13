/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of vhost-user back ends as devices: what a back end is told, and what
 * becomes of its answers.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vhost.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/err.h"
#include "lib/test.h"
#include "uapi/compat.h"
#include "vufront_rig.h"

#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define RUNNING	    0x0f

#define GOT(rig, request) ((rig)->back.n_got[VHOST_USER_##request])

/* ---- dev add ---- */

static void test_add_asks_what_the_back_end_has(void **state)
{
	struct vufront_rig *rig = *state;
	struct vdpa_device *vdev = vdpa_device_find(rig->w->bus, "b0");
	struct virtio_blk_config config;

	assert_int_equal(vdev->nvqs, 2);
	assert_int_equal(vdpa_get_device_id(vdev), VIRTIO_ID_BLOCK);
	assert_int_equal(vdpa_get_device_features(vdev),
			 BIT_ULL(VIRTIO_F_VERSION_1) |
				 BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |
				 BIT_ULL(VIRTIO_F_RING_PACKED) |
				 BIT_ULL(VIRTIO_BLK_F_MQ) |
				 BIT_ULL(VIRTIO_BLK_F_FLUSH));
	assert_int_equal(vdpa_get_config_raw(vdev, 0, &config, 60), 0);
	assert_int_equal(le64toh(config.capacity), 2048);
	assert_int_equal(GOT(rig, SET_OWNER), 1);
	assert_int_equal(GOT(rig, SET_FEATURES), 0);
	/* Only what we make use of. */
	assert_false(has_bit(rig->back.agreed_protocol,
			     VHOST_USER_PROTOCOL_F_LOG_SHMFD));
	assert_true(rig->back.channel >= 0);
}

static void test_add_where_nobody_listens(void **state)
{
	struct vufront_rig *rig = *state;

	assert_int_equal(rig_add(rig, NULL), -ENOENT);
	assert_non_null(strstr(err_text(-ENOENT), "wait SECONDS"));
	assert_int_equal(rig_expect(rig, NULL, false, 2), VDPA_EXPECTED);
	assert_int_equal(rig_expect(rig, NULL, false, 2), -EEXIST);
	rig_run(rig, 1500);
	assert_false(rig->is_added);
	rig_run(rig, 600);
	assert_true(rig->is_added);
	assert_int_equal(rig->result, -ETIMEDOUT);
}

static void test_expected_back_end_comes(void **state)
{
	struct vufront_rig *rig = *state;

	assert_int_equal(rig_expect(rig, NULL, false, 0), VDPA_EXPECTED);
	rig_run(rig, 5000);
	assert_false(rig->is_added);
	vuback_init(&rig->back, rig->fw->path);
	rig->has_back = true;
	rig_run(rig, 2100);
	assert_true(rig->is_added);
	assert_int_equal(rig->result, 0);
	assert_non_null(vdpa_device_find(rig->w->bus, "b0"));
}

static void test_expected_back_end_that_hangs_up_first(void **state)
{
	struct vufront_rig *rig = *state;

	rig->back.on = VHOST_USER_GET_FEATURES;
	rig->back.fault = VUBACK_CLOSES;
	assert_int_equal(rig_expect(rig, NULL, false, 0), VDPA_ASKED);
	rig_run(rig, 20);
	assert_true(rig->is_not_yet);
	rig->back.fault = VUBACK_RIGHT;
	rig_run(rig, 2100);
	assert_int_equal(rig->result, 0);
}

static void test_expectation_that_ends_in_the_handshake(void **state)
{
	struct vufront_rig *rig = *state;

	rig->back.on = VHOST_USER_GET_FEATURES;
	rig->back.fault = VUBACK_IS_SILENT;
	assert_int_equal(rig_expect(rig, NULL, false, 1), VDPA_ASKED);
	rig_run(rig, 1100);
	assert_int_equal(rig->result, -ETIMEDOUT);
	assert_int_equal(rig->back.fd, -1);
}

static void test_add_with_keys_that_make_no_sense(void **state)
{
	static const struct {
		const char *keys;
		int ret;
	} rows[] = {
		{ "num_queues=2", -EINVAL },
		{ "type=blub", -EINVAL },
		{ "type=blk num_queues=0", -ERANGE },
		{ "type=blk num_queues=257", -ERANGE },
		{ "type=blk num_queues=3", -ERANGE }, /* it has 2 */
		{ "type=blk queue_size=1", -ERANGE },
		{ "type=blk queue_size=32769", -ERANGE },
		{ "type=blk tag=x", -EINVAL },
		{ "type=blk timeout=86401", -ERANGE },
		{ "type=blk bounce_size=1M", -EINVAL },
		{ "type=net num_queues=4", -EOPNOTSUPP },
		{ "type=fs tag=0123456789012345678901234567890123456",
		  -ERANGE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(rig_add(*state, rows[i].keys), rows[i].ret);
	}
	assert_int_equal(rig_add(*state, "type=blk num_queues=1"), 0);
}

static void test_config_spaces_that_are_ours(void **state)
{
	struct vufront_rig *rig = *state;
	struct virtio_net_config net = { 0 };
	struct vdpa_device *vdev;
	uint8_t fs[40];

	rig->back.protocol &= ~BIT_ULL(VHOST_USER_PROTOCOL_F_CONFIG);
	rig->back.features |= BIT_ULL(VIRTIO_NET_F_CTRL_VQ) |
			      BIT_ULL(VIRTIO_NET_F_MAC) |
			      BIT_ULL(VIRTIO_NET_F_MRG_RXBUF);
	assert_int_equal(rig_add(rig, NULL), -EOPNOTSUPP); /* of a disk */
	assert_int_equal(rig_add(rig, "type=net"), 0);
	vdev = vdpa_device_find(rig->w->bus, "b0");
	assert_int_equal(vdpa_get_config_raw(vdev, 0, &net, 12), 0);
	assert_int_equal(le16toh(net.status), VIRTIO_NET_S_LINK_UP);
	assert_true(
		has_bit(vdpa_get_device_features(vdev), VIRTIO_NET_F_STATUS));
	assert_true(has_bit(vdpa_get_device_features(vdev),
			    VIRTIO_NET_F_MRG_RXBUF));
	assert_false(
		has_bit(vdpa_get_device_features(vdev), VIRTIO_NET_F_CTRL_VQ));
	assert_false(has_bit(vdpa_get_device_features(vdev), VIRTIO_NET_F_MAC));
	assert_int_equal(vdpa_dev_del(rig->w->bus, "b0", NULL, NULL), 0);
	rig_run(rig, 5);
	assert_int_equal(rig_add(rig, "type=fs tag=home"), 0);
	vdev = vdpa_device_find(rig->w->bus, "b0");
	assert_int_equal(vdpa_get_config_raw(vdev, 0, fs, sizeof(fs)), 0);
	assert_string_equal((char *)fs, "home");
	assert_int_equal(fs[36], 1);
	assert_int_equal(vdev->nvqs, 2);
}

/* ---- start and stop ---- */

static void assert_same_eventfd(int here, int there)
{
	uint64_t n;

	(void)!read(here, &n, sizeof(n)); /* does not block */
	assert_int_equal(eventfd_write(here, 1), 0);
	assert_int_equal(read(there, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
}

static void test_start_tells_all(void **state)
{
	struct vufront_rig *rig = *state;
	const struct vuback *b = &rig->back;

	assert_int_equal(rig_start(rig, 2), RUNNING);
	assert_int_equal(b->agreed,
			 BIT_ULL(VIRTIO_F_VERSION_1) |
				 BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES));
	assert_int_equal(b->status, RUNNING);
	assert_int_equal(b->n_regions, 1);
	assert_int_equal(b->regions[0].guest_addr, VCLIENT_IOVA);
	assert_int_equal(b->regions[0].user_addr, VCLIENT_IOVA);
	assert_int_equal(b->regions[0].size, VCLIENT_MEM_BYTES);
	assert_int_equal(b->regions[0].mmap_offset, 0);
	for (unsigned int i = 0; i < 2; i++) {
		const struct vqueue *q = &rig->client->q[i];

		assert_int_equal(b->rings[i].num, 16);
		assert_int_equal(b->rings[i].addr.desc_user_addr, q->ring_iova);
		assert_true(b->rings[i].is_enabled);
		assert_same_eventfd(q->kick_fd, b->rings[i].kick_fd);
		assert_same_eventfd(b->rings[i].call_fd, q->call_fd);
	}
}

static void test_start_without_protocol_features(void **state)
{
	struct vufront_rig *rig = *state;

	rig->back.features &= ~BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES);
	assert_int_equal(rig_add(rig, "type=rng"), 0);
	rig_open(rig);
	assert_int_equal(rig_start(rig, 1), RUNNING);
	assert_int_equal(GOT(rig, SET_VRING_ENABLE), 0);
	assert_int_equal(GOT(rig, SET_MEM_TABLE), 1);
	assert_int_equal(GOT(rig, SET_STATUS), 0);
	assert_int_equal(rig->back.agreed, BIT_ULL(VIRTIO_F_VERSION_1));
	vclient_reset(rig->client);
	assert_int_equal(GOT(rig, GET_VRING_BASE), 1);
}

static void test_start_of_packed_rings(void **state)
{
	struct vufront_rig *rig = *state;

	vclient_start(rig->client, BIT_ULL(VIRTIO_F_RING_PACKED), 1, 16);
	assert_int_equal(vclient_status(rig->client), RUNNING);
	assert_int_equal(rig->back.rings[0].base, 0x80008000);
}

static void test_reset_and_start_on_one_connection(void **state)
{
	struct vufront_rig *rig = *state;

	assert_int_equal(rig_start(rig, 2), RUNNING);
	vclient_reset(rig->client);
	assert_int_equal(GOT(rig, GET_VRING_BASE), 2);
	assert_int_equal(rig->back.status, 0);
	assert_int_equal(rig_start(rig, 2), RUNNING);
	assert_int_equal(rig->back.n_connections, 1);
	assert_int_equal(GOT(rig, ADD_MEM_REG), 1); /* it has it */
}

static void test_next_client_has_a_new_connection(void **state)
{
	struct vufront_rig *rig = *state;

	assert_int_equal(rig_start(rig, 1), RUNNING);
	vclient_close(rig->client);
	rig->client = NULL;
	rig_run(rig, 100);
	assert_int_equal(rig->back.n_connections, 2);
	assert_int_equal(rig->back.n_regions, 0);
	assert_int_equal(rig_stat(rig, "backend_lost"), 0);
	rig_open(rig);
	assert_int_equal(rig_start(rig, 1), RUNNING);
}

static void test_queue_state(void **state)
{
	struct vufront_rig *rig = *state;
	struct vhost_vring_state s = { .index = 1 };

	assert_int_equal(rig_start(rig, 2), RUNNING);
	rig->back.rings[1].base = 0; /* it has taken nothing */
	vclient_must(rig->client, VHOST_GET_VRING_BASE, &s);
	assert_int_equal(s.num, 0);
	/* ... and goes on, as nobody stopped it. */
	rig_run(rig, 2);
	assert_same_eventfd(rig->client->q[1].kick_fd,
			    rig->back.rings[1].kick_fd);
	vclient_must(rig->client, VHOST_VDPA_SUSPEND, NULL);
	assert_int_equal(rig->back.rings[0].kick_fd, -1);
	assert_int_equal(rig->back.rings[1].kick_fd, -1);
	vclient_must(rig->client, VHOST_GET_VRING_BASE, &s);
	assert_int_equal(s.num, 0);
	vclient_must(rig->client, VHOST_VDPA_RESUME, NULL);
	assert_same_eventfd(rig->client->q[0].kick_fd,
			    rig->back.rings[0].kick_fd);
}

/* It says that it has taken a buffer, which never comes back. */
static void test_buffers_that_the_back_end_keeps(void **state)
{
	struct vufront_rig *rig = *state;

	assert_int_equal(rig_start(rig, 1), RUNNING);
	rig->back.rings[0].base = 1;
	vclient_reset(rig->client);
	assert_int_equal(vclient_status(rig->client), 0);
	rig_run(rig, 100);
	assert_int_equal(rig->back.n_connections, 2); /* it was cut off */
	assert_int_equal(rig_start(rig, 1), RUNNING);
}

static void test_queue_that_stops_and_goes_on(void **state)
{
	struct vufront_rig *rig = *state;
	struct vhost_vring_state s = { .index = 1 };

	assert_int_equal(rig_start(rig, 2), RUNNING);
	rig->back.rings[1].is_enabled = false;
	vclient_must(rig->client, VHOST_VDPA_SET_VRING_ENABLE, &s);
	assert_int_equal(GOT(rig, GET_VRING_BASE), 1);
	assert_int_equal(rig->back.rings[1].kick_fd, -1);
	s.num = 1;
	vclient_must(rig->client, VHOST_VDPA_SET_VRING_ENABLE, &s);
	rig_run(rig, 2);
	assert_true(rig->back.rings[1].is_enabled);
	assert_same_eventfd(rig->client->q[1].kick_fd,
			    rig->back.rings[1].kick_fd);
}

/* ---- memory ---- */

static int64_t map(struct vufront_rig *rig, uint64_t iova, uint64_t offset,
		   uint64_t size)
{
	return vclient_iotlb(rig->client, 0, VHOST_IOTLB_UPDATE, iova, size,
			     rig->client->mem + offset, VHOST_ACCESS_RW);
}

static int64_t unmap(struct vufront_rig *rig, uint64_t iova, uint64_t size)
{
	return vclient_iotlb(rig->client, 0, VHOST_IOTLB_INVALIDATE, iova, size,
			     NULL, 0);
}

static void test_neighbours_are_one_region(void **state)
{
	struct vufront_rig *rig = *state;

	assert_true(map(rig, 0x10000000, 0, 4096) > 0);
	assert_true(map(rig, 0x10001000, 4096, 4096) > 0);
	assert_true(map(rig, 0x10002000, 16384, 4096) > 0); /* another place */
	assert_int_equal(rig_start(rig, 1), RUNNING);
	assert_int_equal(rig->back.n_regions, 3);
	assert_int_equal(rig->back.regions[1].size, 8192);
	assert_int_equal(rig->back.regions[2].mmap_offset, 16384);
}

static void test_map_changes_while_it_runs(void **state)
{
	struct vufront_rig *rig = *state;
	unsigned int n;

	assert_int_equal(rig_start(rig, 1), RUNNING);
	n = GOT(rig, ADD_MEM_REG);
	assert_true(map(rig, 0x10000000, 0, 4096) > 0);
	assert_true(map(rig, 0x10001000, 4096, 4096) > 0);
	/* What it has is left alone. */
	assert_int_equal(GOT(rig, ADD_MEM_REG), n + 2);
	assert_int_equal(GOT(rig, REM_MEM_REG), 0);
	assert_true(unmap(rig, 0x10000000, 4096) > 0);
	assert_int_equal(GOT(rig, REM_MEM_REG), 1);
	assert_int_equal(rig->back.n_regions, 2);
	assert_int_equal(rig_stat(rig, "backend_regions"), 2);
}

/* What is underway could be in the part that stays. */
static void test_region_that_is_split(void **state)
{
	struct vufront_rig *rig = *state;
	const uint64_t half = VCLIENT_MEM_BYTES / 2;

	assert_int_equal(rig_start(rig, 2), RUNNING);
	assert_true(map(rig, VCLIENT_IOVA + 2 * half, 0, 4096) > 0);
	vclient_must(rig->client, VHOST_VDPA_SUSPEND, NULL);
	vclient_must(rig->client, VHOST_VDPA_RESUME, NULL);
	rig->back.n_got[VHOST_USER_GET_VRING_BASE] = 0;
	/* A whole one goes, and no queue stops. */
	assert_true(unmap(rig, VCLIENT_IOVA + 2 * half, 4096) > 0);
	assert_int_equal(GOT(rig, GET_VRING_BASE), 0);
	/* In one batch, its second half is another place of the file now. */
	assert_true(vclient_iotlb(rig->client, 0, VHOST_IOTLB_BATCH_BEGIN, 0, 0,
				  NULL, 0) > 0);
	assert_true(unmap(rig, VCLIENT_IOVA, VCLIENT_MEM_BYTES) > 0);
	assert_true(map(rig, VCLIENT_IOVA, 0, half) > 0);
	assert_true(map(rig, VCLIENT_IOVA + half, 0, half) > 0);
	assert_true(vclient_iotlb(rig->client, 0, VHOST_IOTLB_BATCH_END, 0, 0,
				  NULL, 0) > 0);
	assert_int_equal(vclient_status(rig->client), RUNNING);
	rig_run(rig, 2);
	assert_int_equal(GOT(rig, GET_VRING_BASE), 2);
	assert_int_equal(rig->back.n_regions, 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_same_eventfd(rig->client->q[i].kick_fd,
				    rig->back.rings[i].kick_fd);
	}
}

static void test_queue_that_the_guest_does_not_use(void **state)
{
	struct vufront_rig *rig = *state;
	struct vhost_vring_state s = { .index = 1, .num = 1 };

	vclient_negotiate(rig->client, 0);
	vclient_set_up_queue(rig->client, 0, 16);
	vclient_must(rig->client, VHOST_VDPA_SET_VRING_ENABLE, &s);
	vclient_set_status(rig->client, RUNNING);
	assert_int_equal(vclient_status(rig->client), RUNNING);
	assert_int_equal(rig->back.rings[1].kick_fd, -1);
}

static void test_more_regions_than_it_takes(void **state)
{
	struct vufront_rig *rig = *state;

	assert_int_equal(vdpa_dev_del(rig->w->bus, "b0", NULL, NULL), 0);
	rig->back.n_slots = 3;
	assert_int_equal(rig_add(rig, NULL), 0);
	rig_open(rig);
	assert_int_equal(rig_start(rig, 1), RUNNING);
	assert_true(map(rig, 0x10000000, 0, 4096) > 0);
	assert_true(map(rig, 0x10001000, 4096, 4096) > 0);
	/* Three pieces; four, if these were not put together now. */
	assert_true(map(rig, 0x10002000, 8192, 4096) > 0);
	assert_int_equal(rig->back.n_regions, 2);
	assert_true(map(rig, 0x20000000, 0, 4096) > 0);
	assert_int_equal(map(rig, 0x30000000, 0, 4096), -EFAULT);
	assert_int_equal(vclient_status(rig->client), RUNNING);
	assert_int_equal(rig->back.n_regions, 3);
}

static void test_table_of_a_back_end_without_slots(void **state)
{
	struct vufront_rig *rig = *state;

	rig->back.protocol &=
		~BIT_ULL(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	assert_int_equal(rig_add(rig, NULL), 0);
	rig_open(rig);
	assert_int_equal(rig_start(rig, 1), RUNNING);
	for (unsigned int i = 1; i < 8; i++) {
		assert_true(map(rig, 0x10000000 * i, 0, 4096) > 0);
	}
	assert_int_equal(GOT(rig, SET_MEM_TABLE), 8);
	assert_int_equal(rig->back.n_regions, 8);
	assert_int_equal(map(rig, 0x90000000, 0, 4096), -EFAULT);
	assert_true(unmap(rig, 0x10000000, 4096) > 0);
	assert_int_equal(rig->back.n_regions, 7);
}

static void test_rings_in_memory_without_a_file(void **state)
{
	struct vufront_rig *rig = *state;
	void *private = mmap(NULL, VCLIENT_MEM_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(private, MAP_FAILED);
	assert_true(unmap(rig, VCLIENT_IOVA, VCLIENT_MEM_BYTES) > 0);
	assert_true(vclient_iotlb(rig->client, 0, VHOST_IOTLB_UPDATE,
				  VCLIENT_IOVA, VCLIENT_MEM_BYTES, private,
				  VHOST_ACCESS_RW) > 0);
	assert_int_equal(rig_start(rig, 1) & DRIVER_OK, 0);
	assert_int_equal(rig_stat(rig, "hidden_maps"), 1);
	munmap(private, VCLIENT_MEM_BYTES);
}

/* ---- it goes, or changes ---- */

static int config_fd(struct vufront_rig *rig)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	vclient_must(rig->client, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	return fd;
}

static void test_back_end_that_is_lost(void **state)
{
	struct vufront_rig *rig = *state;
	eventfd_t n;
	int fd;

	assert_int_equal(rig_start(rig, 2), RUNNING);
	fd = config_fd(rig);
	vuback_hang_up(&rig->back);
	rig_run(rig, 5);
	assert_int_equal(vclient_status(rig->client), RUNNING | NEEDS_RESET);
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_int_equal(rig_stat(rig, "backend_lost"), 1);
	rig_run(rig, 100);
	assert_int_equal(rig->back.n_connections, 2);
	vclient_reset(rig->client);
	assert_int_equal(rig_start(rig, 2), RUNNING);
	assert_true(rig->back.rings[1].is_enabled);
	close(fd);
}

static void test_start_waits_for_the_back_end(void **state)
{
	struct vufront_rig *rig = *state;

	vuback_fini(&rig->back);
	rig->has_back = false;
	rig_run(rig, 3000);
	/* It is not there in time ... */
	assert_int_equal(rig_start(rig, 1) & DRIVER_OK, 0);
	vclient_reset(rig->client);
	/* ... but as soon as it is, all is well. */
	vuback_init(&rig->back, rig->fw->path);
	rig->has_back = true;
	assert_int_equal(rig_start(rig, 1), RUNNING);
}

static void test_client_goes_while_its_start_waits(void **state)
{
	struct vufront_rig *rig = *state;
	struct vdpa_device *vdev = vdpa_device_find(rig->w->bus, "b0");

	vclient_negotiate(rig->client, 0);
	vclient_set_up_queue(rig->client, 0, 16);
	rig->back.on = VHOST_USER_SET_FEATURES;
	rig->back.fault = VUBACK_IS_SILENT;
	cdev_local_set_turn(rig->w->local, NULL, NULL); /* it does not wait */
	assert_int_equal(vclient_ioctl(rig->client, VHOST_VDPA_SET_STATUS,
				       &(uint8_t){ RUNNING }),
			 -EDEADLK);
	assert_int_equal(vdpa_get_status(vdev) & DRIVER_OK, 0);
}

static void test_back_end_that_is_another_device(void **state)
{
	struct vufront_rig *rig = *state;
	uint64_t features = rig->back.features;

	assert_int_equal(rig_start(rig, 1), RUNNING);
	rig->back.features &= ~BIT_ULL(VIRTIO_BLK_F_FLUSH);
	vuback_hang_up(&rig->back);
	rig_run(rig, 500);
	vclient_reset(rig->client);
	assert_int_equal(rig_start(rig, 1) & DRIVER_OK, 0);
	vclient_reset(rig->client);
	rig->back.features = features;
	rig->back.n_queues = 1;
	rig_run(rig, 3000);
	assert_int_equal(rig_start(rig, 1) & DRIVER_OK, 0);
	vclient_reset(rig->client);
	rig->back.n_queues = 2;
	rig_run(rig, 3000);
	assert_int_equal(rig_start(rig, 1), RUNNING);
}

static void set_capacity(struct vufront_rig *rig, uint64_t sectors)
{
	sectors = htole64(sectors);
	memcpy(rig->back.config, &sectors, sizeof(sectors));
}

static uint64_t capacity(struct vufront_rig *rig)
{
	struct virtio_blk_config config;

	vclient_get_config(rig->client, &config, 60);
	return le64toh(config.capacity);
}

static void test_config_changes(void **state)
{
	struct vufront_rig *rig = *state;
	eventfd_t n;
	int fd;

	assert_int_equal(rig_start(rig, 1), RUNNING);
	fd = config_fd(rig);
	for (uint64_t i = 0; i < 2; i++) {
		set_capacity(rig, 4096 + i);
		vuback_change_config(&rig->back, i == 1);
		rig_run(rig, 5);
		assert_int_equal(capacity(rig), 4096 + i);
		assert_int_equal(eventfd_read(fd, &n), 0);
	}
	/* Nothing new: nobody is called. */
	vuback_change_config(&rig->back, false);
	rig_run(rig, 5);
	assert_int_equal(eventfd_read(fd, &n), -1);
	assert_int_equal(rig_stat(rig, "backend_config_changes"), 3);
	/* While it was away. */
	vuback_hang_up(&rig->back);
	set_capacity(rig, 5000);
	rig_run(rig, 200);
	assert_int_equal(capacity(rig), 5000);
	close(fd);
}

static void test_config_is_written(void **state)
{
	struct vufront_rig *rig = *state;
	struct virtio_blk_config config;

	vclient_get_config(rig->client, &config, 60);
	vclient_set_config(rig->client, &config, 60);
	rig_run(rig, 2);
	assert_int_equal(GOT(rig, SET_CONFIG), 1);
}

#define BARE(t) \
	cmocka_unit_test_setup_teardown(t, rig_set_up_bare, rig_tear_down)
#define BACK(t) cmocka_unit_test_setup_teardown(t, rig_set_up, rig_tear_down)
#define ADDED(t) \
	cmocka_unit_test_setup_teardown(t, rig_set_up_added, rig_tear_down)
#define CLIENT(t) \
	cmocka_unit_test_setup_teardown(t, rig_set_up_client, rig_tear_down)

static const struct CMUnitTest tests[] = {
	ADDED(test_add_asks_what_the_back_end_has),
	BARE(test_add_where_nobody_listens),
	BARE(test_expected_back_end_comes),
	BACK(test_expected_back_end_that_hangs_up_first),
	BACK(test_expectation_that_ends_in_the_handshake),
	BACK(test_add_with_keys_that_make_no_sense),
	BACK(test_config_spaces_that_are_ours),
	CLIENT(test_start_tells_all),
	BACK(test_start_without_protocol_features),
	CLIENT(test_start_of_packed_rings),
	CLIENT(test_reset_and_start_on_one_connection),
	CLIENT(test_next_client_has_a_new_connection),
	CLIENT(test_queue_state),
	CLIENT(test_buffers_that_the_back_end_keeps),
	CLIENT(test_queue_that_stops_and_goes_on),
	CLIENT(test_neighbours_are_one_region),
	CLIENT(test_map_changes_while_it_runs),
	CLIENT(test_region_that_is_split),
	CLIENT(test_queue_that_the_guest_does_not_use),
	ADDED(test_more_regions_than_it_takes),
	BACK(test_table_of_a_back_end_without_slots),
	CLIENT(test_rings_in_memory_without_a_file),
	CLIENT(test_back_end_that_is_lost),
	CLIENT(test_start_waits_for_the_back_end),
	CLIENT(test_client_goes_while_its_start_waits),
	CLIENT(test_back_end_that_is_another_device),
	CLIENT(test_config_changes),
	CLIENT(test_config_is_written),
};

TEST_MAIN("vufront")
