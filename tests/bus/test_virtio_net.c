/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio net driver on devices that behave.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "bus/nic.h"
#include "lib/oom.h"
#include "lib/test.h"

#define RING(name) BIT_ULL(VIRTIO_RING_F_##name)
#define PACKED	   BIT_ULL(VIRTIO_F_RING_PACKED)
#define IN_ORDER   BIT_ULL(VIRTIO_F_IN_ORDER)
#define NET(name)  BIT_ULL(VIRTIO_NET_F_##name)
#define RING_ALL   (RING(INDIRECT_DESC) | RING(EVENT_IDX) | PACKED | IN_ORDER)

#define NO_MERGE_BYTES (12 + VDPAKIT_NET_FRAME_MAX)

static const struct nic_kind kinds[] = {
	{ "net", 1, 0 },
	{ "net", 1, PACKED },
	{ "net", 1, IN_ORDER }, /* the default for users */
	{ "net", 1, PACKED | IN_ORDER },
	{ "net", 1, RING(INDIRECT_DESC) },
	{ "net", 1, RING(INDIRECT_DESC) | PACKED },
	{ "net", 1, RING(EVENT_IDX) },
	{ "net", 1, RING(EVENT_IDX) | PACKED },
	{ "net", 1, NET(MRG_RXBUF) },
	{ "net", 1, NET(MRG_RXBUF) | RING_ALL },
	{ "net", 1, RING_ALL },
	{ "net", NIC_PAIRS, 0 },
	{ "vdpasim_net", 1, 0 },
	{ "vdpasim_net", 1, PACKED },
	{ "vdpasim_net", 1, RING_ALL | NET(MRG_RXBUF) },
};

static void open_default(struct nic *nic)
{
	nic_open(nic, &kinds[0], (struct vdpakit_net_options){ 0 });
}

/* ---- frames ---- */

static struct vdpakit_net_options options_of(const struct nic_kind *kind)
{
	struct vdpakit_net_options options = {
		.in_order = !(kind->lacks & IN_ORDER),
	};

	if (kind->lacks & NET(MRG_RXBUF)) {
		options.buffer_bytes = NO_MERGE_BYTES;
		options.queue_size = 64;
	}
	return options;
}

static void test_each_kind_gives_frames_back(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct nic nic;

		nic_open(&nic, &kinds[i], options_of(&kinds[i]));
		for (uint32_t len = 14; len <= 65535; len += 331) {
			nic_round(&nic, len, len);
		}
		nic_round(&nic, 65535, 1);
		assert_int_equal(vdpakit_net_n_under_way(nic.rx), 0);
		nic_close(&nic);
	}
}

static void test_frames_of_all_sizes(void **state)
{
	struct nic nic;

	open_default(&nic);
	for (uint32_t len = 14; len <= 65535; len += len < 9000 ? 1 : 61) {
		nic_round(&nic, len, len);
	}
	nic_close(&nic);
}

static void test_info_is_the_device_s(void **state)
{
	struct vdpakit_net_info info;
	struct nic nic;

	nic_open(&nic, &(struct nic_kind){ "net", NIC_PAIRS, 0 },
		 (struct vdpakit_net_options){ 0 });
	vdpakit_net_get_info(nic.net, &info, sizeof(info));
	assert_memory_equal(info.mac, nic_mac, 6);
	assert_false(info.is_mac_random);
	assert_true(info.is_link_up);
	assert_int_equal(info.mtu, NIC_MTU);
	assert_int_equal(info.n_pairs, NIC_PAIRS);
	assert_int_equal(info.n_active_pairs, NIC_PAIRS);
	assert_int_equal(info.max_pairs, NIC_PAIRS);
	assert_int_equal(info.queue_size, 256);
	assert_int_equal(info.buffer_bytes, 2048);
	assert_true(info.is_packed);
	assert_true(has_bit(info.features, VIRTIO_NET_F_MRG_RXBUF));
	assert_false(has_bit(info.features, VIRTIO_F_IN_ORDER));
	assert_false(info.needs_reset);
	nic_close(&nic);
}

/* ---- zero copy ---- */

static char *piece(struct nic *nic, unsigned int i)
{
	return nic->mem + i * 70000;
}

static void expect_back(struct nic *nic, uint32_t len, unsigned int seed)
{
	struct vdpakit_net_received got;

	nic_recv(nic, &got);
	nic_check(&got, len, seed);
	assert_int_equal(vdpakit_net_give_back(nic->rx, &got, 1), 0);
}

static void expect_user(struct nic *nic, void *user)
{
	void *users[2];
	int n;

	while ((n = vdpakit_net_reclaim(nic->tx, users, 2)) == 0) {
		assert_int_equal(vdpakit_net_wait(nic->tx, NIC_WAIT_MS), 1);
	}
	assert_int_equal(n, 1);
	assert_ptr_equal(users[0], user);
	assert_int_equal(vdpakit_net_n_under_way(nic->tx), 0);
}

/* All in one piece, as the caller has it. */
static void send_whole(struct nic *nic, uint32_t len, uint16_t flags)
{
	struct vdpakit_net_frame frame = {
		.flags = flags,
		.len_bytes = len,
		.buf = piece(nic, 0) + VDPAKIT_NET_HDR_BYTES,
		.user = nic,
	};

	memset(piece(nic, 0), 0xee, VDPAKIT_NET_HDR_BYTES);
	nic_fill(frame.buf, len, nic_mac, len);
	assert_int_equal(nic_send(nic, &frame), 1);
	expect_back(nic, len, len);
	expect_user(nic, nic);
}

/* In pieces of @step bytes, backwards in memory. */
static void send_pieces(struct nic *nic, uint32_t len, uint32_t step,
			uint16_t flags)
{
	char *whole = piece(nic, 1);
	struct iovec iov[VDPAKIT_NET_IOV_MAX];
	struct vdpakit_net_frame frame = {
		.flags = flags,
		.len_bytes = len,
		.iov = iov,
		.user = iov,
	};

	nic_fill(whole, len, nic_mac, len);
	for (uint32_t done = 0; done < len; done += step) {
		struct iovec *p = &iov[frame.n_iov++];

		assert_in_range(frame.n_iov, 1, VDPAKIT_NET_IOV_MAX);
		p->iov_len = min_of(step, len - done);
		p->iov_base = piece(nic, 5) - frame.n_iov * (step + 100);
		memcpy(p->iov_base, whole + done, p->iov_len);
	}
	assert_int_equal(nic_send(nic, &frame), 1);
	expect_back(nic, len, len);
	if (flags & VDPAKIT_NET_COPY) {
		assert_int_equal(vdpakit_net_reclaim(nic->tx, NULL, 0), 0);
	} else {
		expect_user(nic, iov);
	}
}

static void test_frames_are_lent_in_every_way(void **state)
{
	static const uint32_t sizes[] = { 14,	255,  256,  257,  1514,
					  2036, 2037, 9014, 65535 };
	static const uint16_t ways[] = { 0, VDPAKIT_NET_HEADROOM,
					 VDPAKIT_NET_COPY };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct nic nic;

		nic_open(&nic, &kinds[i], options_of(&kinds[i]));
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			send_whole(&nic, sizes[k], 0);
			send_whole(&nic, sizes[k], VDPAKIT_NET_HEADROOM);
			for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
				send_pieces(&nic, sizes[k], sizes[k] / 23 + 1,
					    ways[w]);
				send_pieces(&nic, sizes[k], sizes[k], ways[w]);
			}
		}
		nic_close(&nic);
	}
}

static void test_a_full_queue_takes_what_fits(void **state)
{
	struct vdpakit_net_frame frames[300];
	struct vdpakit_net_received got[64];
	void *users[300];
	unsigned int n_received = 0, n_reclaimed = 0;
	struct nic nic;
	int n;

	nic_open(&nic, &(struct nic_kind){ "net", 1, 0 },
		 (struct vdpakit_net_options){ .queue_size = 64 });
	for (unsigned int i = 0; i < 300; i++) {
		frames[i] = (struct vdpakit_net_frame){
			.len_bytes = 60,
			.buf = nic.mem,
			.user = &users[i],
		};
	}
	nic_fill(nic.mem, 60, nic_mac, 0);
	assert_int_equal(vdpakit_net_send(nic.tx, frames, 0), 0);
	assert_int_equal(vdpakit_net_send(nic.tx, frames, 300), 64);
	/* Done, but not reclaimed: they are still under way. */
	while (n_received < 64) {
		n = vdpakit_net_recv(nic.rx, got, 64);
		assert_int_equal(
			vdpakit_net_give_back(nic.rx, got, (unsigned int)n), 0);
		n_received += (unsigned int)n;
	}
	assert_int_equal(vdpakit_net_send(nic.tx, frames, 1), 0);
	assert_int_equal(vdpakit_net_n_under_way(nic.tx), 64);
	while (n_reclaimed < 64) {
		n = vdpakit_net_reclaim(nic.tx, users, 7);
		assert_in_range(n, 0, 7);
		n_reclaimed += (unsigned int)n;
	}
	assert_int_equal(vdpakit_net_send(nic.tx, frames, 1), 1);
	expect_back(&nic, 60, 0);
	nic_close(&nic);
}

/* ---- waiting ---- */

static void round_by_polling(struct nic *nic, unsigned int seed)
{
	struct vdpakit_net_received got;

	while (vdpakit_net_recv(nic->rx, &got, 1) == 0) {
	}
	nic_check(&got, 60, seed);
	assert_int_equal(vdpakit_net_give_back(nic->rx, &got, 1), 0);
}

static void round_by_fd(struct nic *nic, unsigned int seed)
{
	struct pollfd p = { .fd = vdpakit_net_fd(nic->rx), .events = POLLIN };
	int ret;

	while ((ret = vdpakit_net_arm(nic->rx)) == 0 &&
	       poll(&p, 1, NIC_WAIT_MS) != 1) {
		fail_msg("the fd says nothing");
	}
	assert_in_range(ret, 0, 1);
	expect_back(nic, 60, seed);
}

static void wait_in_every_way(struct nic *nic)
{
	static char buf[60];
	const struct vdpakit_net_frame frame = {
		.flags = VDPAKIT_NET_COPY,
		.len_bytes = sizeof(buf),
		.buf = buf,
	};

	for (unsigned int i = 0; i < 300; i++) {
		nic_fill(buf, sizeof(buf), nic_mac, i);
		assert_int_equal(nic_send(nic, &frame), 1);
		if (i % 3 == 0) {
			round_by_polling(nic, i);
		} else if (i % 3 == 1) {
			round_by_fd(nic, i);
		} else {
			expect_back(nic, sizeof(buf), i); /* blocks */
		}
	}
}

static void test_waiting_in_every_way(void **state)
{
	static const unsigned int poll_us[] = { 0, 50 };

	for (size_t i = 0; i < 8; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(poll_us); k++) {
			struct vdpakit_net_options options = {
				.poll_us = poll_us[k],
			};
			struct nic nic;

			nic_open(&nic, &kinds[i], options);
			wait_in_every_way(&nic);
			nic_close(&nic);
		}
	}
}

static void test_waits_end_when_the_time_is_up(void **state)
{
	struct nic nic;

	open_default(&nic);
	assert_int_equal(vdpakit_net_wait(nic.rx, 0), 0);
	assert_int_equal(vdpakit_net_wait(nic.rx, 1), 0);
	assert_int_equal(vdpakit_net_wait(nic.tx, -1), 1); /* none under way */
	assert_int_equal(vdpakit_net_arm(nic.rx), 0);
	nic_close(&nic);
}

/* ---- pairs ---- */

#define MQ_FRAMES 2000

struct mq_thread {
	struct nic *nic;
	unsigned int pair;
	pthread_t thread;
};

/* Frames of one pair, each told from those of the others. */
static void *use_pair(void *priv)
{
	struct mq_thread *t = priv;
	struct nic own = *t->nic;

	own.tx = vdpakit_net_get_tx(own.net, t->pair);
	own.rx = vdpakit_net_get_rx(own.net, t->pair);
	for (unsigned int i = 0; i < MQ_FRAMES; i++) {
		char buf[1514];
		struct vdpakit_net_frame frame = {
			.flags = VDPAKIT_NET_COPY,
			.len_bytes = 60 + i % 1400,
			.buf = buf,
		};
		struct vdpakit_net_received got;
		unsigned int seed = t->pair * 64 + i % 64;
		char *want = malloc(frame.len_bytes);
		char *is = malloc(frame.len_bytes);

		nic_fill(buf, frame.len_bytes, nic_mac, seed);
		nic_fill(want, frame.len_bytes, nic_mac, seed);
		assert_int_equal(nic_send(&own, &frame), 1);
		nic_recv(&own, &got);
		assert_int_equal(got.len_bytes, frame.len_bytes);
		assert_int_equal(vdpakit_net_copy(&got, is, got.len_bytes),
				 got.len_bytes);
		assert_memory_equal(is, want, got.len_bytes);
		assert_int_equal(vdpakit_net_give_back(own.rx, &got, 1), 0);
		free(want);
		free(is);
	}
	assert_int_equal(vdpakit_net_release(own.tx), 0);
	assert_int_equal(vdpakit_net_release(own.rx), 0);
	return NULL;
}

static void use_all_pairs(uint64_t lacks)
{
	const struct nic_kind kind = { "net", NIC_PAIRS, lacks };
	struct mq_thread threads[NIC_PAIRS];
	struct vdpakit_net_info info;
	struct nic nic;

	nic_open(&nic, &kind, (struct vdpakit_net_options){ 0 });
	for (unsigned int i = 0; i < NIC_PAIRS; i++) {
		threads[i] = (struct mq_thread){ .nic = &nic, .pair = i };
		assert_int_equal(pthread_create(&threads[i].thread, NULL,
						use_pair, &threads[i]),
				 0);
	}
	/* Meanwhile anybody may ask. */
	for (unsigned int i = 0; i < 1000; i++) {
		vdpakit_net_get_info(nic.net, &info, sizeof(info));
		assert_int_equal(info.n_pairs, NIC_PAIRS);
	}
	for (unsigned int i = 0; i < NIC_PAIRS; i++) {
		struct vdpakit_net_stats stats;

		assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
		vdpakit_net_get_stats(vdpakit_net_get_rx(nic.net, i), &stats,
				      sizeof(stats));
		assert_int_equal(stats.n_frames, MQ_FRAMES);
		assert_int_equal(stats.n_bad, 0);
	}
	nic_close(&nic);
}

static void test_pairs_on_threads_split(void **state)
{
	use_all_pairs(PACKED);
}

static void test_pairs_on_threads_packed(void **state)
{
	use_all_pairs(0);
}

static void test_fewer_pairs_in_use(void **state)
{
	struct net_request req = { .op = NET_SET_PAIRS, .n = 1 };
	struct vdpakit_net_received got;
	struct vdpakit_net_info info;
	struct vdpakit_net_frame frame = { .len_bytes = 60 };
	void *user;
	struct nic nic;

	nic_open(&nic, &(struct nic_kind){ "net", NIC_PAIRS, 0 },
		 (struct vdpakit_net_options){ .n_pairs = 2 });
	assert_null(vdpakit_net_get_rx(nic.net, 2));
	assert_null(vdpakit_net_get_tx(nic.net, 2));
	vdpakit_net_get_info(nic.net, &info, sizeof(info));
	assert_int_equal(info.n_pairs, 2);
	assert_int_equal(info.n_active_pairs, 2);
	assert_int_equal(info.max_pairs, NIC_PAIRS);
	assert_int_equal(nic_request(&nic, &req), 0);
	vdpakit_net_get_info(nic.net, &info, sizeof(info));
	assert_int_equal(info.n_active_pairs, 1);
	nic.tx = vdpakit_net_get_tx(nic.net, 1);
	frame.buf = nic.mem;
	frame.user = &frame;
	nic_fill(nic.mem, 60, nic_mac, 0);
	assert_int_equal(nic_send(&nic, &frame), 1);
	expect_user(&nic, &frame);
	assert_int_equal(
		vdpakit_net_recv(vdpakit_net_get_rx(nic.net, 1), &got, 1), 0);
	assert_int_equal(vworld_stat(nic.r->w, "n0", 2, "rx drops"), 1);
	req.n = 0;
	assert_int_equal(nic_request(&nic, &req), -EINVAL);
	req.n = 3;
	assert_int_equal(nic_request(&nic, &req), -EINVAL);
	assert_non_null(strstr(err_text(-EINVAL), "pairs are 1 to"));
	(void)user;
	nic_close(&nic);
}

/* ---- life ---- */

static void test_a_reset_gives_users_back_and_goes_on(void **state)
{
	struct net_request begin = { .op = NET_BEGIN };
	struct net_request mac = { .op = NET_SET_MAC,
				   .mac = { 2, 2, 2, 2, 2, 2 } };
	struct vdpakit_net_frame frame = { .len_bytes = 600 };
	struct vdpakit_net_received got;
	struct vdpakit_net_info before, info;
	struct nic nic;

	for (size_t i = 0; i < 10; i++) {
		nic_open(&nic, &kinds[i], options_of(&kinds[i]));
		vdpakit_net_get_info(nic.net, &before, sizeof(before));
		assert_int_equal(nic_request(&nic, &mac), 0);
		frame.buf = nic.mem;
		frame.user = &frame;
		nic_fill(nic.mem, 600, mac.mac, 1);
		assert_int_equal(nic_send(&nic, &frame), 1);
		nic_recv(&nic, &got); /* and keeps it */
		assert_int_equal(net_reset(nic.net), 0);
		assert_int_equal(nic_request(&nic, &begin), 0);
		vdpakit_net_get_info(nic.net, &info, sizeof(info));
		assert_true(info.generation > before.generation);
		assert_memory_equal(info.mac, mac.mac, 6);
		expect_user(&nic, &frame);
		assert_int_equal(vdpakit_net_give_back(nic.rx, &got, 1),
				 -EINVAL);
		assert_int_equal(vdpakit_net_n_under_way(nic.rx), 0);
		assert_int_equal(nic_send(&nic, &frame), 1);
		nic_recv(&nic, &got);
		assert_int_equal(got.len_bytes, 600);
		assert_int_equal(vdpakit_net_give_back(nic.rx, &got, 1), 0);
		expect_user(&nic, &frame);
		nic_close(&nic);
	}
}

struct waiter {
	struct nic *nic;
	int result;
	uint32_t is_waiting; /* atomic */
};

static void *wait_for_ever(void *priv)
{
	struct waiter *w = priv;

	(void)vdpakit_net_recv(w->nic->rx, NULL, 0);
	__atomic_store_n(&w->is_waiting, 1, __ATOMIC_RELEASE);
	w->result = vdpakit_net_wait(w->nic->rx, NIC_WAIT_MS);
	if (w->result == 1) {
		struct vdpakit_net_received got;

		w->result = vdpakit_net_recv(w->nic->rx, &got, 1);
	}
	(void)vdpakit_net_release(w->nic->rx);
	return NULL;
}

static void ignore(void *priv, int result)
{
	(void)priv;
	(void)result;
}

static void test_a_device_that_goes_ends_all_waits(void **state)
{
	struct waiter w = { 0 };
	pthread_t thread;
	struct nic nic;

	open_default(&nic);
	w.nic = &nic;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &w), 0);
	while (!__atomic_load_n(&w.is_waiting, __ATOMIC_ACQUIRE)) {
	}
	assert_int_equal(vdpa_dev_del(nic.r->w->bus, "n0", ignore, NULL), 0);
	vrig_settle(nic.r);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w.result, -ENODEV);
	assert_int_equal(vdpakit_net_wait(nic.tx, -1), -ENODEV);
	assert_int_equal(vdpakit_net_reclaim(nic.tx, NULL, 0), -ENODEV);
	assert_int_equal(net_reset(nic.net), -ENODEV);
	nic_close(&nic);
}

static void test_a_device_without_an_address(void **state)
{
	const struct nic_kind kind = { "net", 1, NET(MAC) };
	struct vdpakit_net_frame frame = { .len_bytes = 60 };
	struct vdpakit_net_info info;
	struct vdpakit_net_received got;
	struct nic nic;

	nic_open(&nic, &kind, (struct vdpakit_net_options){ 0 });
	vdpakit_net_get_info(nic.net, &info, sizeof(info));
	assert_true(info.is_mac_random);
	frame.buf = nic.mem;
	nic_fill(nic.mem, 60, info.mac, 5);
	assert_int_equal(nic_send(&nic, &frame), 1);
	nic_recv(&nic, &got); /* it was told, and sends them back */
	assert_int_equal(got.len_bytes, 60);
	nic_close(&nic);
}

/* From open to close the data path allocates nothing. */
static void test_frames_allocate_nothing(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct nic nic;

		nic_open(&nic, &kinds[i], options_of(&kinds[i]));
		nic_round(&nic, 60, 1);
		oom_count_begin();
		for (unsigned int k = 0; k < 500; k++) {
			nic_round(&nic, 60 + 97 * k, k);
		}
		assert_int_equal(oom_count_end(), 0);
		nic_close(&nic);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_each_kind_gives_frames_back),
	cmocka_unit_test(test_frames_of_all_sizes),
	cmocka_unit_test(test_info_is_the_device_s),
	cmocka_unit_test(test_frames_are_lent_in_every_way),
	cmocka_unit_test(test_a_full_queue_takes_what_fits),
	cmocka_unit_test(test_waiting_in_every_way),
	cmocka_unit_test(test_waits_end_when_the_time_is_up),
	cmocka_unit_test(test_pairs_on_threads_split),
	cmocka_unit_test(test_pairs_on_threads_packed),
	cmocka_unit_test(test_fewer_pairs_in_use),
	cmocka_unit_test(test_a_reset_gives_users_back_and_goes_on),
	cmocka_unit_test(test_a_device_that_goes_ends_all_waits),
	cmocka_unit_test(test_a_device_without_an_address),
	cmocka_unit_test(test_frames_allocate_nothing),
};

TEST_MAIN("virtio_net")
