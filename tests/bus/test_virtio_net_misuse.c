/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio net driver's users: one misuse, one test, each with its
 * errno and a sentence that says what to do.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <pthread.h>

#include "base/err.h"
#include "bus/nic.h"
#include "lib/test.h"

static const struct nic_kind plain = { "net", 1, 0 };

static void expect_text(int ret, int code, const char *part)
{
	assert_int_equal(ret, code);
	if (!strstr(err_text(ret), part)) {
		fail_msg("'%s' lacks '%s'", err_text(ret), part);
	}
}

/* ---- opening ---- */

static void expect_no_open(struct vdpakit_net_options options, const char *part)
{
	struct nic nic;

	expect_text(nic_probe(&nic, vrig_new(NULL, 1), &plain, options),
		    -EINVAL, part);
	/* And the device is nobody's. */
	assert_int_equal(nic_probe(&nic, nic.r, &plain,
				   (struct vdpakit_net_options){ 0 }),
			 0);
	nic_close(&nic);
}

static void test_queue_sizes_that_are_no_powers_of_two(void **state)
{
	expect_no_open((struct vdpakit_net_options){ .queue_size = 100 },
		       "power of two");
}

static void test_queue_sizes_that_are_too_large(void **state)
{
	expect_no_open((struct vdpakit_net_options){ .queue_size = 65535 },
		       "power of two");
}

static void test_more_pairs_than_the_device_has(void **state)
{
	expect_no_open((struct vdpakit_net_options){ .n_pairs = 2 },
		       "has no 2 pairs, but 1");
}

static void test_more_pairs_than_there_may_be(void **state)
{
	expect_no_open((struct vdpakit_net_options){ .n_pairs = 65 },
		       "more than 64");
}

static void test_buffers_that_are_too_small(void **state)
{
	expect_no_open((struct vdpakit_net_options){ .buffer_bytes = 127 },
		       "128 to 65600");
}

static void test_buffers_that_are_too_large(void **state)
{
	expect_no_open((struct vdpakit_net_options){ .buffer_bytes = 65601 },
		       "128 to 65600");
}

static void test_options_without_a_size(void **state)
{
	const struct vdpakit_net_options options = { .size = 0 };
	struct vdpakit_net *net;
	struct nic nic;

	assert_int_equal(nic_probe(&nic, vrig_new(NULL, 1), &plain,
				   (struct vdpakit_net_options){ 0 }),
			 0);
	net_remove(nic.net);
	expect_text(net_probe(nic.vdev, nic.r->pool, nic.r->w->control,
			      &options, &net),
		    -EINVAL, "without a size");
	vrig_free(nic.r);
}

static void test_a_device_that_is_no_network_device(void **state)
{
	struct vrig *r = vrig_new(NULL, 1);
	struct virtio_device *vdev =
		vrig_add(r, "vdpasim_blk", "d0", 0, "capacity=1M");
	struct vdpakit_net *net;

	expect_text(net_probe(vdev, r->pool, r->w->control, NULL, &net),
		    -ENOTTY, "no network device");
	vrig_free(r);
}

static void test_a_device_that_somebody_has(void **state)
{
	struct vdpakit_net *net;
	struct nic nic;

	nic_open(&nic, &plain, (struct vdpakit_net_options){ 0 });
	expect_text(net_probe(nic.vdev, nic.r->pool, nic.r->w->control, NULL,
			      &net),
		    -EBUSY, "a driver has it already");
	nic_round(&nic, 60, 1);
	nic_close(&nic);
}

/* ---- queues ---- */

static int open_nic(void **state)
{
	struct nic *nic = calloc(1, sizeof(*nic));

	assert_non_null(nic);
	nic_open(nic, &plain, (struct vdpakit_net_options){ 0 });
	*state = nic;
	return 0;
}

/* It goes on as if nothing had been. */
static int close_nic(void **state)
{
	struct nic *nic = *state;

	nic_round(nic, 60, 1);
	nic_round(nic, 3000, 2);
	assert_int_equal(vdpakit_net_n_under_way(nic->rx), 0);
	nic_close(nic);
	free(nic);
	return 0;
}

static struct vdpakit_net_frame frame_of(const struct nic *nic)
{
	return (struct vdpakit_net_frame){ .len_bytes = 600, .buf = nic->mem };
}

static void expect_refused(struct nic *nic, struct vdpakit_net_frame frame,
			   int code, const char *part)
{
	struct vdpakit_net_frame two[] = { frame_of(nic), frame };
	struct vdpakit_net_received got;
	void *users[1];

	expect_text(vdpakit_net_send(nic->tx, &frame, 1), code, part);
	assert_int_equal(vdpakit_net_n_under_way(nic->tx), 0);
	/* As the second one it is refused as the first one next time. */
	nic_fill(nic->mem, 600, nic_mac, 1);
	assert_int_equal(vdpakit_net_send(nic->tx, two, 2), 1);
	expect_text(vdpakit_net_send(nic->tx, two + 1, 1), code, part);
	nic_recv(nic, &got);
	nic_check(&got, 600, 1);
	assert_int_equal(vdpakit_net_give_back(nic->rx, &got, 1), 0);
	while (vdpakit_net_reclaim(nic->tx, users, 1) == 0) {
	}
}

static void test_sending_on_a_queue_that_receives(void **state)
{
	struct nic *nic = *state;
	struct vdpakit_net_frame frame = frame_of(nic);

	expect_text(vdpakit_net_send(nic->rx, &frame, 1), -EINVAL,
		    "this queue receives");
	expect_text(vdpakit_net_reclaim(nic->rx, NULL, 0), -EINVAL,
		    "this queue receives");
}

static void test_receiving_on_a_queue_that_sends(void **state)
{
	struct nic *nic = *state;
	struct vdpakit_net_received got;

	expect_text(vdpakit_net_recv(nic->tx, &got, 1), -EINVAL,
		    "this queue sends");
	expect_text(vdpakit_net_give_back(nic->tx, &got, 0), -EINVAL,
		    "this queue sends");
}

static void *use_both(void *priv)
{
	struct nic *nic = priv;
	struct vdpakit_net_frame frame = frame_of(nic);
	struct vdpakit_net_received got;

	expect_text(vdpakit_net_send(nic->tx, &frame, 1), -EPERM,
		    "another thread");
	expect_text(vdpakit_net_reclaim(nic->tx, NULL, 0), -EPERM,
		    "another thread");
	expect_text(vdpakit_net_recv(nic->rx, &got, 1), -EPERM,
		    "another thread");
	expect_text(vdpakit_net_give_back(nic->rx, &got, 0), -EPERM,
		    "another thread");
	expect_text(vdpakit_net_wait(nic->rx, 0), -EPERM, "another thread");
	expect_text(vdpakit_net_arm(nic->tx), -EPERM, "another thread");
	expect_text(vdpakit_net_release(nic->rx), -EPERM, "another thread");
	return NULL;
}

static void test_queues_of_another_thread(void **state)
{
	struct nic *nic = *state;
	pthread_t thread;

	nic_round(nic, 60, 1);
	assert_int_equal(pthread_create(&thread, NULL, use_both, nic), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_frames_that_are_too_short(void **state)
{
	struct vdpakit_net_frame frame = frame_of(*state);

	frame.len_bytes = 13;
	expect_refused(*state, frame, -EINVAL, "not shorter");
	frame.len_bytes = 0;
	expect_refused(*state, frame, -EINVAL, "not shorter");
}

static void test_frames_that_are_too_long(void **state)
{
	struct vdpakit_net_frame frame = frame_of(*state);

	frame.len_bytes = VDPAKIT_NET_FRAME_MAX + 1;
	expect_refused(*state, frame, -EMSGSIZE, "no frames that long");
	frame.len_bytes = UINT32_MAX;
	expect_refused(*state, frame, -EMSGSIZE, "no frames that long");
}

static void test_frames_of_nowhere(void **state)
{
	struct vdpakit_net_frame frame = frame_of(*state);

	frame.buf = NULL;
	expect_refused(*state, frame, -EINVAL, "has buf or iov");
}

static void test_flags_that_there_are_not(void **state)
{
	struct vdpakit_net_frame frame = frame_of(*state);

	frame.flags = 4;
	expect_refused(*state, frame, -EINVAL, "flags that there are");
}

static void test_headroom_of_what_is_copied(void **state)
{
	struct vdpakit_net_frame frame = frame_of(*state);

	frame.flags = VDPAKIT_NET_COPY | VDPAKIT_NET_HEADROOM;
	expect_refused(*state, frame, -EINVAL, "flags that there are");
}

static void test_memory_that_devices_do_not_know(void **state)
{
	static char buf[600];
	struct nic *nic = *state;
	struct vdpakit_net_frame frame = frame_of(nic);

	frame.buf = buf;
	expect_refused(nic, frame, -EFAULT, "VDPAKIT_NET_COPY");
	frame.buf = nic->mem + VRIG_MEM_BYTES - 599; /* all but a byte */
	expect_refused(nic, frame, -EFAULT, "VDPAKIT_NET_COPY");
	frame.buf = nic->mem; /* its headroom is not */
	frame.flags = VDPAKIT_NET_HEADROOM;
	expect_refused(nic, frame, -EFAULT, "VDPAKIT_NET_COPY");
}

static void test_pieces_that_are_not_the_frame(void **state)
{
	struct nic *nic = *state;
	struct iovec iov[VDPAKIT_NET_IOV_MAX + 1];
	struct vdpakit_net_frame frame = frame_of(nic);

	for (size_t i = 0; i < ARRAY_SIZE(iov); i++) {
		iov[i] = (struct iovec){ nic->mem, 24 };
	}
	frame.iov = iov;
	frame.n_iov = 25;
	expect_refused(nic, frame, -EINVAL, "more pieces");
	frame.n_iov = 24;
	expect_refused(nic, frame, -EINVAL, "len_bytes in all");
	frame.n_iov = 2;
	iov[0].iov_len = 600;
	iov[1].iov_len = 0;
	expect_refused(nic, frame, -EINVAL, "must not be empty");
	iov[0].iov_len = SIZE_MAX;
	iov[1].iov_len = 601;
	expect_refused(nic, frame, -EINVAL, "len_bytes in all");
	frame.iov = NULL;
	expect_refused(nic, frame, -EINVAL, "more pieces");
}

static void test_giving_back_twice(void **state)
{
	static char buf[60];
	struct nic *nic = *state;
	const struct vdpakit_net_frame frame = {
		.flags = VDPAKIT_NET_COPY,
		.len_bytes = sizeof(buf),
		.buf = buf,
	};
	struct vdpakit_net_received got;

	nic_fill(buf, sizeof(buf), nic_mac, 1);
	assert_int_equal(nic_send(nic, &frame), 1);
	nic_recv(nic, &got);
	assert_int_equal(vdpakit_net_n_under_way(nic->rx), 1);
	assert_int_equal(vdpakit_net_give_back(nic->rx, &got, 1), 0);
	expect_text(vdpakit_net_give_back(nic->rx, &got, 1), -EINVAL,
		    "give each back once");
	assert_int_equal(vdpakit_net_n_under_way(nic->rx), 0);
}

static void test_giving_back_what_was_never_lent(void **state)
{
	struct nic *nic = *state;
	struct vdpakit_net_piece own = { 0 };
	struct vdpakit_net_received got = { .pieces = &own, .n_pieces = 1 };

	expect_text(vdpakit_net_give_back(nic->rx, &got, 1), -EINVAL,
		    "give each back once");
	got.pieces = NULL;
	expect_text(vdpakit_net_give_back(nic->rx, &got, 1), -EINVAL,
		    "give each back once");
}

/* A device with an MTU is sent no longer frames. */
static void test_frames_beyond_the_mtu(void **state)
{
	struct vrig *r = vrig_new(NULL, 1);
	struct vdpakit_net_frame frame = { .len_bytes = 1523 };
	struct vdpakit_net_info info;
	struct nic nic;

	assert_int_equal(
		vworld_add_keys(r->w, "net", "n0", 0, "backend=loopback"), 0);
	(void)vrig_bind(r, "n0");
	assert_int_equal(nic_probe(&nic, r, &plain,
				   (struct vdpakit_net_options){ 0 }),
			 0);
	vdpakit_net_get_info(nic.net, &info, sizeof(info));
	assert_int_equal(info.mtu, 1500);
	nic.tx = vdpakit_net_get_tx(nic.net, 0);
	frame.buf = nic.mem;
	expect_text(vdpakit_net_send(nic.tx, &frame, 1), -EMSGSIZE,
		    "the device's MTU");
	frame.len_bytes = 1522;
	assert_int_equal(vdpakit_net_send(nic.tx, &frame, 1), 1);
	(void)vdpakit_net_release(nic.tx);
	nic_close(&nic);
}

#define ON_NIC(name) cmocka_unit_test_setup_teardown(name, open_nic, close_nic)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_queue_sizes_that_are_no_powers_of_two),
	cmocka_unit_test(test_queue_sizes_that_are_too_large),
	cmocka_unit_test(test_more_pairs_than_the_device_has),
	cmocka_unit_test(test_more_pairs_than_there_may_be),
	cmocka_unit_test(test_buffers_that_are_too_small),
	cmocka_unit_test(test_buffers_that_are_too_large),
	cmocka_unit_test(test_options_without_a_size),
	cmocka_unit_test(test_a_device_that_is_no_network_device),
	cmocka_unit_test(test_a_device_that_somebody_has),
	ON_NIC(test_sending_on_a_queue_that_receives),
	ON_NIC(test_receiving_on_a_queue_that_sends),
	ON_NIC(test_queues_of_another_thread),
	ON_NIC(test_frames_that_are_too_short),
	ON_NIC(test_frames_that_are_too_long),
	ON_NIC(test_frames_of_nowhere),
	ON_NIC(test_flags_that_there_are_not),
	ON_NIC(test_headroom_of_what_is_copied),
	ON_NIC(test_memory_that_devices_do_not_know),
	ON_NIC(test_pieces_that_are_not_the_frame),
	ON_NIC(test_giving_back_twice),
	ON_NIC(test_giving_back_what_was_never_lent),
	cmocka_unit_test(test_frames_beyond_the_mtu),
};

TEST_MAIN("virtio_net_misuse")
