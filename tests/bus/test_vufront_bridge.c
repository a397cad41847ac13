/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of vhost-user from end to end: a disk of ours on a socket, that socket
 * as a device, and a client of it, all on one bus.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "base/err.h"
#include "lib/test.h"
#include "uapi/compat.h"
#include "vufront_rig.h"

#define OK	 VIRTIO_BLK_S_OK
#define RUNNING	 0x0f
#define N_ROUNDS 50

static void set_up(void **state, const char *keys)
{
	struct vufront_rig *rig;
	int r;

	(void)rig_set_up_bare(state);
	rig = *state;
	assert_int_equal(vworld_add_keys(rig->w, "blk", "a0", 0,
					 "backend=mem capacity=1M "
					 "num_queues=2"),
			 0);
	assert_int_equal(vfront_bind(rig->fw, "a0", NULL, NULL), 0);
	r = rig_add(rig, keys);
	if (r < 0) {
		fail_msg("dev add: %s", err_text(r));
	}
	rig_open(rig);
}

static int set_up_shared(void **state)
{
	set_up(state, "type=blk");
	return 0;
}

static int set_up_bounced(void **state)
{
	set_up(state, "type=blk bounce=on bounce_size=1M");
	return 0;
}

static void write_and_read(struct vufront_rig *rig, unsigned int idx,
			   unsigned int n)
{
	struct vclient *c = rig->client;
	uint64_t next_free = c->next_free;
	char *data = vclient_alloc(c, 8192, 512);

	for (unsigned int i = 0; i < n; i++) {
		memset(data, (int)i + 1, 8192);
		assert_int_equal(vclient_blk(c, idx, VIRTIO_BLK_T_OUT, i * 16,
					     data, 8192),
				 OK);
		memset(data, 0, 8192);
		assert_int_equal(vclient_blk(c, idx, VIRTIO_BLK_T_IN, i * 16,
					     data, 8192),
				 OK);
		for (unsigned int k = 0; k < 8192; k++) {
			assert_int_equal((uint8_t)data[k], i + 1);
		}
	}
	c->next_free = next_free;
}

static void run_with(struct vufront_rig *rig, uint64_t features)
{
	vclient_start(rig->client, features, 2, 16);
	assert_int_equal(vclient_status(rig->client), RUNNING);
	write_and_read(rig, 0, N_ROUNDS);
	write_and_read(rig, 1, 5);
	vclient_reset(rig->client);
}

static void test_data_goes_through(void **state)
{
	struct vufront_rig *rig = *state;

	run_with(rig, BIT_ULL(VIRTIO_BLK_F_MQ));
	run_with(rig, BIT_ULL(VIRTIO_BLK_F_MQ) | BIT_ULL(VIRTIO_F_RING_PACKED));
	run_with(rig, BIT_ULL(VIRTIO_BLK_F_MQ) |
			      BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
			      BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC));
}

static void test_clients_come_and_go(void **state)
{
	struct vufront_rig *rig = *state;

	for (unsigned int i = 0; i < 5; i++) {
		vclient_start(rig->client, 0, 1, 16);
		write_and_read(rig, 0, 3);
		vclient_close(rig->client);
		rig_run(rig, 20);
		rig_open(rig);
	}
}

static void save_and_restore(struct vufront_rig *rig, uint64_t features)
{
	vclient_start(rig->client, features, 1, 16);
	for (unsigned int i = 0; i < 10; i++) {
		write_and_read(rig, 0, 3);
		vclient_save(rig->client);
		vclient_restore(rig->client);
		assert_int_equal(vclient_status(rig->client), RUNNING);
	}
	write_and_read(rig, 0, 3);
	vclient_reset(rig->client);
}

static void test_suspended_and_restored(void **state)
{
	save_and_restore(*state, 0);
	save_and_restore(*state, BIT_ULL(VIRTIO_F_RING_PACKED));
}

#define SHARED(t) \
	cmocka_unit_test_setup_teardown(t, set_up_shared, rig_tear_down)
#define BOUNCED(t) \
	cmocka_unit_test_setup_teardown(t, set_up_bounced, rig_tear_down)

static const struct CMUnitTest tests[] = {
	SHARED(test_data_goes_through),	     SHARED(test_clients_come_and_go),
	SHARED(test_suspended_and_restored), BOUNCED(test_data_goes_through),
	BOUNCED(test_clients_come_and_go),
};

TEST_MAIN("vufront_bridge")
