/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of hostile vhost-user back ends: whatever they answer, at whatever
 * point, ends their connection, and costs nobody else anything.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vhost.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "lib/test.h"
#include "uapi/compat.h"
#include "vufront_rig.h"

#define RUNNING	    0x0f
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET

/* Faults that are one for any answer. */
static const enum vuback_fault any[] = {
	VUBACK_CLOSES,	      VUBACK_IS_SILENT,	  VUBACK_ANSWERS_ANOTHER,
	VUBACK_SHORT,	      VUBACK_HUGE,	  VUBACK_EMPTY,
	VUBACK_NO_REPLY_FLAG, VUBACK_BAD_VERSION, VUBACK_WITH_FD,
};

static void test_h_faults_in_the_handshake(void **state)
{
	static const uint32_t requests[] = {
		VHOST_USER_GET_FEATURES,      VHOST_USER_GET_PROTOCOL_FEATURES,
		VHOST_USER_SET_OWNER,	      VHOST_USER_GET_QUEUE_NUM,
		VHOST_USER_GET_MAX_MEM_SLOTS, VHOST_USER_SET_BACKEND_REQ_FD,
		VHOST_USER_GET_CONFIG,
	};
	struct vufront_rig *rig = *state;
	unsigned int n_fds = test_count_fds();

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		rig->back.on = requests[i];
		for (size_t k = 0; k < ARRAY_SIZE(any); k++) {
			rig->back.fault = any[k];
			assert_in_range(-rig_add(rig, NULL), 1, 4095);
			rig_run(rig, 2);
			assert_int_equal(test_count_fds(), n_fds);
		}
	}
	rig->back.fault = VUBACK_REFUSES;
	rig->back.on = VHOST_USER_SET_OWNER;
	assert_int_equal(rig_add(rig, NULL), -EIO);
	rig->back.fault = VUBACK_LONG;
	rig->back.on = VHOST_USER_GET_QUEUE_NUM;
	assert_int_equal(rig_add(rig, NULL), -ECONNRESET);
	rig->back.fault = VUBACK_RIGHT;
	assert_int_equal(rig_add(rig, NULL), 0);
}

static void test_h_numbers_that_make_no_sense(void **state)
{
	struct vufront_rig *rig = *state;
	const struct vuback right = rig->back;

	rig->back.features &= ~BIT_ULL(VIRTIO_F_VERSION_1);
	assert_int_equal(rig_add(rig, NULL), -EOPNOTSUPP);
	rig->back.features = right.features;
	rig->back.n_slots = 0;
	assert_int_equal(rig_add(rig, NULL), -EPROTO);
	rig->back.n_slots = UINT64_MAX;
	rig->back.n_queues = 0;
	assert_int_equal(rig_add(rig, NULL), -EPROTO);
	rig->back.n_queues = UINT64_MAX;
	memset(rig->back.config, 0xff, sizeof(rig->back.config));
	assert_int_equal(rig_add(rig, NULL), 0);
	assert_int_equal(vdpa_device_find(rig->w->bus, "b0")->nvqs, 256);
	assert_int_equal(vdpa_dev_del(rig->w->bus, "b0", NULL, NULL), 0);
	rig_run(rig, 2);
	rig->back.features = UINT64_MAX;
	rig->back.protocol = UINT64_MAX;
	memcpy(rig->back.config, right.config, sizeof(right.config));
	assert_int_equal(rig_add(rig, NULL), 0);
}

/* The client is refused, and gets what it wants when all is well again. */
static void test_h_faults_at_the_start(void **state)
{
	static const uint32_t requests[] = {
		VHOST_USER_SET_FEATURES,     VHOST_USER_ADD_MEM_REG,
		VHOST_USER_SET_VRING_ADDR,   VHOST_USER_SET_VRING_KICK,
		VHOST_USER_SET_VRING_ENABLE, VHOST_USER_SET_STATUS,
	};
	struct vufront_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		for (size_t k = 0; k <= ARRAY_SIZE(any); k++) {
			rig->back.on = requests[i];
			rig->back.fault = k < ARRAY_SIZE(any) ? any[k]
							      : VUBACK_REFUSES;
			assert_int_equal(rig_start(rig, 2) & RUNNING, 0x0b);
			rig->back.fault = VUBACK_RIGHT;
			vclient_reset(rig->client);
			assert_int_equal(rig_start(rig, 2), RUNNING);
			vclient_reset(rig->client);
			/* It has to be told of the memory again. */
			vuback_hang_up(&rig->back);
			rig_run(rig, 100);
		}
	}
}

static void test_h_faults_at_the_end(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_GET_VRING_BASE,
					     VHOST_USER_SET_STATUS };
	struct vufront_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(any); k++) {
			assert_int_equal(rig_start(rig, 2), RUNNING);
			rig->back.on = requests[i];
			rig->back.fault = any[k];
			vclient_reset(rig->client);
			assert_int_equal(vclient_status(rig->client), 0);
			rig->back.fault = VUBACK_RIGHT;
		}
	}
	assert_int_equal(rig_start(rig, 2), RUNNING);
}

static void test_h_faults_at_a_map(void **state)
{
	static const enum vuback_fault faults[] = { VUBACK_CLOSES,
						    VUBACK_IS_SILENT,
						    VUBACK_REFUSES };
	struct vufront_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		assert_int_equal(rig_start(rig, 1), RUNNING);
		rig->back.on = VHOST_USER_ADD_MEM_REG;
		rig->back.fault = faults[i];
		assert_int_equal(vclient_iotlb(rig->client, 0,
					       VHOST_IOTLB_UPDATE, 0x10000000,
					       4096, rig->client->mem,
					       VHOST_ACCESS_RW),
				 -EFAULT);
		assert_int_equal(vclient_status(rig->client),
				 RUNNING | NEEDS_RESET);
		rig->back.fault = VUBACK_RIGHT;
		vclient_reset(rig->client);
	}
}

/* An answer to nothing, and one too many. */
static void test_h_talks_unasked(void **state)
{
	static const struct vhost_user_header hdr = {
		VHOST_USER_GET_FEATURES,
		VHOST_USER_VERSION | VHOST_USER_REPLY_FLAG, 0
	};
	struct vufront_rig *rig = *state;

	assert_int_equal(rig_start(rig, 1), RUNNING);
	assert_int_equal(send(rig->back.fd, &hdr, sizeof(hdr), MSG_NOSIGNAL),
			 sizeof(hdr));
	rig_run(rig, 3);
	assert_int_equal(vclient_status(rig->client), RUNNING | NEEDS_RESET);
	assert_int_equal(rig_stat(rig, "backend_bad"), 1);
	vclient_reset(rig->client);
	rig->back.on = VHOST_USER_GET_FEATURES;
	rig->back.fault = VUBACK_TWICE;
	assert_int_equal(rig_start(rig, 1) & RUNNING, 0x0b);
}

static void test_h_base_of_another_queue(void **state)
{
	struct vufront_rig *rig = *state;
	struct vhost_vring_state s = { .index = 0 };

	assert_int_equal(rig_start(rig, 1), RUNNING);
	rig->back.answers_for = 1;
	assert_int_equal(vclient_ioctl(rig->client, VHOST_GET_VRING_BASE, &s),
			 -EIO);
	rig->back.answers_for = 0;
	assert_int_equal(vclient_status(rig->client), RUNNING | NEEDS_RESET);
}

/* ---- the back-end channel ---- */

static void say(struct vufront_rig *rig, uint32_t request, uint32_t flags,
		uint32_t size)
{
	const struct vhost_user_header hdr = { request, flags, size };

	assert_int_equal(send(rig->back.channel, &hdr, sizeof(hdr),
			      MSG_NOSIGNAL),
			 sizeof(hdr));
	rig_run(rig, 3);
}

static void test_h_channel(void **state)
{
	static const struct {
		uint32_t request, flags, size;
	} rows[] = {
		{ VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, 0 },
		{ VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
		  VHOST_USER_VERSION | VHOST_USER_REPLY_FLAG, 0 },
		{ VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION,
		  0xffffffff },
	};
	struct vufront_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(rig_start(rig, 1), RUNNING);
		say(rig, rows[i].request, rows[i].flags, rows[i].size);
		assert_int_equal(vclient_status(rig->client),
				 RUNNING | NEEDS_RESET);
		assert_int_equal(rig_stat(rig, "backend_bad"), i + 1);
		vclient_reset(rig->client);
	}
	assert_int_equal(rig_start(rig, 1), RUNNING);
	/* What we did not agree on is refused, and counted; no more. */
	say(rig, VHOST_USER_BACKEND_VRING_CALL,
	    VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, 0);
	say(rig, 12345, VHOST_USER_VERSION, 0);
	assert_int_equal(rig_stat(rig, "backend_bad"), 5);
	assert_int_equal(vclient_status(rig->client), RUNNING);
}

/* It asks for so many answers that they do not fit, and reads none. */
static void test_h_channel_that_is_not_read(void **state)
{
	static const struct vhost_user_header hdr = {
		VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
		VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, 0
	};
	struct vufront_rig *rig = *state;

	assert_int_equal(rig_start(rig, 1), RUNNING);
	for (unsigned int i = 0; i < 100000 && rig->back.channel >= 0; i++) {
		(void)!send(rig->back.channel, &hdr, sizeof(hdr),
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (i % 64 == 0) {
			rig_run(rig, 1);
		}
	}
	rig_run(rig, 3);
	assert_int_equal(vclient_status(rig->client), RUNNING | NEEDS_RESET);
}

/* The capacity changes, and nothing comes when it is asked for. */
static void test_h_config_that_never_comes(void **state)
{
	struct vufront_rig *rig = *state;

	assert_int_equal(rig_start(rig, 1), RUNNING);
	rig->back.on = VHOST_USER_GET_CONFIG;
	rig->back.fault = VUBACK_IS_SILENT;
	vuback_change_config(&rig->back, false);
	rig_run(rig, 29900);
	assert_int_equal(vclient_status(rig->client), RUNNING);
	rig_run(rig, 200);
	assert_int_equal(vclient_status(rig->client), RUNNING | NEEDS_RESET);
}

/* ---- any bytes ---- */

static void test_h_noise(void **state)
{
	struct vufront_rig *rig = *state;

	for (unsigned int i = 0; i < 300; i++) {
		uint8_t noise[64];
		size_t n = 1 + sim_random(rig->sim) % sizeof(noise);

		for (size_t k = 0; k < n; k++) {
			noise[k] = (uint8_t)sim_random(rig->sim);
		}
		/* Half of them look like an answer at first. */
		if (i % 2 && n >= 8) {
			noise[0] = VHOST_USER_GET_FEATURES;
			memset(noise + 1, 0, 3);
			noise[4] = 5;
			memset(noise + 5, 0, 3);
		}
		if (rig->back.fd >= 0) {
			(void)!send(rig->back.fd, noise, n, MSG_NOSIGNAL);
		}
		if (rig->back.channel >= 0) {
			(void)!send(rig->back.channel, noise, n, MSG_NOSIGNAL);
		}
		rig_run(rig, 60);
	}
	vclient_reset(rig->client);
	rig_run(rig, 3000);
	vuback_hang_up(&rig->back);
	rig_run(rig, 3000);
	assert_int_equal(rig_start(rig, 1), RUNNING);
}

#define BACK(t) cmocka_unit_test_setup_teardown(t, rig_set_up, rig_tear_down)
#define CLIENT(t) \
	cmocka_unit_test_setup_teardown(t, rig_set_up_client, rig_tear_down)

static const struct CMUnitTest tests[] = {
	BACK(test_h_faults_in_the_handshake),
	BACK(test_h_numbers_that_make_no_sense),
	CLIENT(test_h_faults_at_the_start),
	CLIENT(test_h_faults_at_the_end),
	CLIENT(test_h_faults_at_a_map),
	CLIENT(test_h_talks_unasked),
	CLIENT(test_h_base_of_another_queue),
	CLIENT(test_h_channel),
	CLIENT(test_h_channel_that_is_not_read),
	CLIENT(test_h_config_that_never_comes),
	CLIENT(test_h_noise),
};

TEST_MAIN("vufront_hostile")
