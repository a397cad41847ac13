/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vfio-user bus driver against clients that do whatever they like,
 * and guests behind them: any command in any state, of any size, with any
 * descriptors, in any number of pieces, or not at all; any write to any
 * register. What must hold: the next client is served, and no descriptor,
 * region or mapping is left behind.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>

#include "base/cleanup.h"
#include "busdrv/vfio_user_internal.h"
#include "lib/test.h"
#include "vuser_rig.h"

#define NUM	16
#define TRIGGER (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define HDR	((uint32_t)sizeof(struct vfio_user_header))

/* Sends raw bytes; the other end may close meanwhile. */
static void send_raw(struct vuser *c, const void *buf, size_t len)
{
	ssize_t n = send(c->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	assert_true(n == (ssize_t)len || errno == EPIPE || errno == ECONNRESET);
}

static void send_header(struct vuser *c, uint16_t command, uint32_t size,
			uint32_t flags)
{
	const struct vfio_user_header hdr = { 1, command, size, flags, 0 };

	send_raw(c, &hdr, sizeof(hdr));
}

/* ---- sizes and pieces ---- */

static void test_every_command_with_every_size(void **state)
{
	static const uint32_t sizes[] = { 0,  1,  3,  4,   8,	 15,   16,
					  17, 20, 23, 24,  25,	 31,   32,
					  33, 40, 64, 256, 4112, 4113, 8192 };
	struct vuser_rig *fx = *state;
	static char payload[8192];

	for (uint16_t command = 0; command < VFIO_USER_COMMAND_N + 2;
	     command++) {
		vuser_connect_anew(fx);
		vuser_hello(fx->c);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			(void)vuser_ask(fx->c, command, payload, sizes[i], NULL,
					0, NULL);
		}
		/* It is still there, and knows where it is. */
		assert_int_equal(vuser_cfg_read(fx->c, PCI_VENDOR_ID, 2),
				 0x1af4);
	}
}

static void test_headers_that_are_none(void **state)
{
	static const struct {
		uint32_t size, flags;
	} bad[] = {
		{ 0, 0 },
		{ HDR - 1, 0 },
		{ HDR + VFIO_USER_PAYLOAD_MAX + 1, 0 },
		{ UINT32_MAX, 0 },
		{ HDR, VFIO_USER_REPLY },
		{ HDR, VFIO_USER_REPLY | VFIO_USER_ERROR },
		{ HDR, 2 },
		{ HDR, 0xf },
	};
	struct vuser_rig *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		vuser_connect_anew(fx);
		vuser_hello(fx->c);
		send_header(fx->c, VFIO_USER_DEVICE_RESET, bad[i].size,
			    bad[i].flags);
		vuser_expect_end(fx->c);
	}
}

static void test_one_byte_at_a_time(void **state)
{
	struct vuser_rig *fx = *state;
	struct {
		struct vfio_user_header hdr;
		struct vfio_user_region_access a;
	} msg = { { 7, VFIO_USER_REGION_READ, sizeof(msg), 0, 0 },
		  { 0, VFIO_PCI_CONFIG_REGION_INDEX, 2 } };
	struct vuser_msg reply;

	vuser_hello(fx->c);
	for (size_t i = 0; i < sizeof(msg); i++) {
		send_raw(fx->c, (char *)&msg + i, 1);
		/* each is looked at before the next one comes */
		vfront_run(fx->vw->fw, 1000);
	}
	assert_int_equal(vuser_recv(fx->c, &reply), 0);
	assert_int_equal(reply.hdr.id, 7);
	assert_int_equal(reply.hdr.size, HDR + 18);
}

static void test_half_a_message_meets_its_deadline(void **state)
{
	struct vuser_rig *fx = *state;

	send_header(fx->c, VFIO_USER_VERSION, HDR + 4, 0);
	vuser_expect_end(fx->c);
	vuser_connect_anew(fx);
	vuser_hello(fx->c);
	send_raw(fx->c, "abc", 3);
	vuser_expect_end(fx->c);
}

/* It is not read from any more, and cut off in the end. */
static void test_answers_that_nobody_reads(void **state)
{
	struct vuser_rig *fx = *state;
	const struct vfio_user_region_access a = { 0,
						   VFIO_PCI_CONFIG_REGION_INDEX,
						   256 };
	struct {
		struct vfio_user_header hdr;
		struct vfio_user_region_access a;
	} msg = { { 1, VFIO_USER_REGION_READ, sizeof(msg), 0, 0 }, a };
	size_t n_sent = 0;

	vuser_hello(fx->c);
	for (unsigned int i = 0; i < 100; i++) {
		while (send(fx->c->fd, &msg, sizeof(msg),
			    MSG_DONTWAIT | MSG_NOSIGNAL) ==
		       (ssize_t)sizeof(msg)) {
			n_sent++;
		}
		vfront_run(fx->vw->fw, 1000000);
	}
	assert_in_range(n_sent, 1, 100000); /* it ends */
	vfront_run(fx->vw->fw, VFIO_USER_MSG_DEADLINE_NS + 1000000000);
	errno = 0;
	assert_int_equal(send(fx->c->fd, &msg, 1, MSG_NOSIGNAL | MSG_DONTWAIT),
			 -1);
	assert_true(errno == EPIPE || errno == ECONNRESET);
}

/* ---- the version ---- */

static void test_nothing_comes_before_the_version(void **state)
{
	struct vuser_rig *fx = *state;

	for (uint16_t command = 0; command < VFIO_USER_COMMAND_N; command++) {
		if (command != VFIO_USER_VERSION) {
			vuser_connect_anew(fx);
			send_header(fx->c, command, HDR, 0);
			vuser_expect_end(fx->c);
		}
	}
}

static void test_versions_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]x",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":\"8\"}}",
		"{\"capabilities\":{\"max_msg_fds\":1e400}}",
		"{\"a\":1,\"a\":2}",
		"[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]",
	};
	struct vuser_rig *fx = *state;
	char deep[2040];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		vuser_connect_anew(fx);
		assert_int_equal(vuser_version(fx->c, 0, 1, bad[i], NULL),
				 -EINVAL);
		/* It may try again. */
		vuser_hello(fx->c);
	}
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	vuser_connect_anew(fx);
	assert_int_equal(vuser_version(fx->c, 0, 1, deep, NULL), -EINVAL);
	assert_int_equal(vuser_version(fx->c, 1, 0, NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(vuser_version(fx->c, UINT16_MAX, 0, NULL, NULL),
			 -EOPNOTSUPP);
	/* Without a NUL, and with one in it. */
	assert_int_equal(vuser_ask(fx->c, VFIO_USER_VERSION, "\0\0\1\0{}", 6,
				   NULL, 0, NULL),
			 -EINVAL);
	assert_int_equal(vuser_ask(fx->c, VFIO_USER_VERSION, "\0\0\1\0{}\0\0",
				   8, NULL, 0, NULL),
			 -EINVAL);
	vuser_hello(fx->c);
	assert_int_equal(vuser_version(fx->c, 0, 1, NULL, NULL), -EINVAL);
	assert_int_equal(vuser_cfg_read(fx->c, PCI_VENDOR_ID, 2), 0x1af4);
}

/* ---- descriptors ---- */

static void send_fds(struct vuser *c, const void *buf, size_t len, int fd,
		     unsigned int n)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(64 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned int i = 0; i < n; i++) {
		memcpy(CMSG_DATA(cm) + i * sizeof(int), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(c->fd, &m, MSG_NOSIGNAL), len);
}

static void test_more_descriptors_than_there_may_be(void **state)
{
	struct vuser_rig *fx = *state;
	const struct vfio_user_header hdr = { 1, VFIO_USER_DEVICE_RESET, HDR, 0,
					      0 };

	for (unsigned int n = 1; n <= 64; n *= 2) {
		vuser_connect_anew(fx);
		vuser_hello(fx->c);
		send_fds(fx->c, &hdr, sizeof(hdr), fx->c->memfd, n);
		if (n > FD_PASS_MAX) {
			vuser_expect_end(fx->c);
		} else {
			struct vuser_msg msg;

			assert_int_equal(vuser_recv(fx->c, &msg), 0);
			assert_int_equal(msg.hdr.error, EINVAL);
		}
	}
	/* A few with each byte are as many as these are together. */
	vuser_connect_anew(fx);
	for (size_t i = 0; i < sizeof(hdr); i++) {
		send_fds(fx->c, (const char *)&hdr + i, 1, fx->c->memfd, 2);
	}
	vuser_expect_end(fx->c);
}

static void test_descriptors_of_the_wrong_kind(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	_cleanup_close_ int folder = open("/", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int event = eventfd(0, EFD_CLOEXEC);
	_cleanup_close_ int read_only = -1;
	char path[64];
	int two[2] = { event, event };

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", c->memfd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read_only >= 0);
	vuser_hello(c);
	assert_true(vuser_map(c, 0, 4096, 0, 3, folder) < 0);
	assert_true(vuser_map(c, 0, 4096, 0, 3, null) < 0);
	assert_true(vuser_map(c, 0, 4096, 0, 3, event) < 0);
	assert_true(vuser_map(c, 0, 4096, 0, 3, c->fd) < 0);
	assert_true(vuser_map(c, 0, 4096, 0, 3, read_only) < 0);
	assert_int_equal(vuser_map(c, 0, 4096, 0, 1, read_only), 0);
	assert_int_equal(vuser_set_irqs(c, INTX, TRIGGER, 0, 1, &null, 1),
			 -EINVAL);
	assert_int_equal(vuser_set_irqs(c, MSIX, TRIGGER, 0, 2,
					(int[]){ event, c->memfd }, 2),
			 -EINVAL);
	assert_int_equal(vuser_set_irqs(c, MSIX, TRIGGER, 0, 1, two, 2),
			 -EINVAL);
	assert_int_equal(vuser_set_irqs(c, INTX, TRIGGER, 0, 1, &event, 1), 0);
}

/* An eventfd whose counter is full, and whose writer would wait. */
static void test_eventfd_that_would_block(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	_cleanup_close_ int full = eventfd(0, EFD_CLOEXEC);
	struct virtio_blk_outhdr *hdr;
	uint8_t *status;

	vuser_start(c, 0, 1, NUM, true);
	assert_int_equal(eventfd_write(full, UINT64_MAX - 1), 0);
	assert_int_equal(vuser_set_irqs(c, MSIX, TRIGGER, 1, 1, &full, 1), 0);
	assert_int_equal(vuser_set_irqs(c, MSIX,
					VFIO_IRQ_SET_DATA_NONE |
						VFIO_IRQ_SET_ACTION_TRIGGER,
					1, 1, NULL, 0),
			 0);
	hdr = vuser_alloc(c, sizeof(*hdr), 16);
	status = vuser_alloc(c, 1, 1);
	memset(hdr, 0, sizeof(*hdr));
	for (unsigned int i = 0; i < 3; i++) {
		const struct vq_sg sg[2] = { { vuser_gpa(c, hdr), 16 },
					     { vuser_gpa(c, status), 1 } };
		struct vq_used used;

		hdr->type = htole32(VIRTIO_BLK_T_FLUSH);
		assert_int_equal(vq_driver_add(c->q[0].drv, sg, 1, 1, hdr), 0);
		(void)vq_driver_publish(c->q[0].drv);
		vuser_notify(c, 0);
		while (vq_driver_get(c->q[0].drv, &used, 1) == 0) {
			vfront_run(fx->vw->fw, 1000000);
		}
	}
}

/* ---- interrupts ---- */

static const struct {
	uint32_t index, flags, start, count;
} no_irqs[] = {
	{ 1, TRIGGER, 0, 1 },
	{ 3, TRIGGER, 0, 1 },
	{ 4, TRIGGER, 0, 1 },
	{ UINT32_MAX, TRIGGER, 0, 1 },
	{ INTX, TRIGGER, 0, 2 },
	{ INTX, TRIGGER, 1, 1 },
	{ MSIX, TRIGGER, 0, 3 },
	{ MSIX, TRIGGER, 3, 0 },
	{ MSIX, TRIGGER, UINT32_MAX, 1 },
	{ MSIX, TRIGGER, 1, UINT32_MAX },
	{ MSIX, 0, 0, 1 },
	{ MSIX, VFIO_IRQ_SET_DATA_NONE, 0, 1 },
	{ MSIX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1 },
	{ MSIX, TRIGGER | VFIO_IRQ_SET_DATA_NONE, 0, 1 },
	{ INTX, TRIGGER | VFIO_IRQ_SET_ACTION_MASK, 0, 1 },
	{ INTX, TRIGGER | 64, 0, 1 },
	{ INTX, UINT32_MAX, 0, 1 },
	{ MSIX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 1 },
	{ MSIX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1 },
	/* Its bytes are missing. */
	{ MSIX, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 2 },
};

static void test_interrupts_that_are_none(void **state)
{
	struct vuser_rig *fx = *state;
	_cleanup_close_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	vuser_hello(fx->c);
	for (size_t i = 0; i < ARRAY_SIZE(no_irqs); i++) {
		assert_int_equal(vuser_set_irqs(fx->c, no_irqs[i].index,
						no_irqs[i].flags,
						no_irqs[i].start,
						no_irqs[i].count, NULL, 0),
				 -EINVAL);
	}
	assert_int_equal(vuser_set_irqs(fx->c, INTX,
					VFIO_IRQ_SET_DATA_EVENTFD |
						VFIO_IRQ_SET_ACTION_MASK,
					0, 1, &event, 1),
			 -EOPNOTSUPP);
	/* The same one twice, and the one that unmasks what it signals. */
	assert_int_equal(vuser_set_irqs(fx->c, INTX, TRIGGER, 0, 1, &event, 1),
			 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(
			vuser_set_irqs(fx->c, INTX,
				       VFIO_IRQ_SET_DATA_EVENTFD |
					       VFIO_IRQ_SET_ACTION_UNMASK,
				       0, 1, &event, 1),
			0);
	}
	assert_int_equal(eventfd_write(event, 1), 0);
	vfront_run(fx->vw->fw, 5 * 1000000ULL);
}

/* ---- the end ---- */

static void test_client_that_is_killed(void **state)
{
	struct vuser_rig *fx = *state;

	for (unsigned int i = 0; i < 5; i++) {
		struct vuser *c = fx->c;
		struct virtio_blk_outhdr *hdr;

		vuser_start(c, 0, 1, NUM, i % 2);
		hdr = vuser_alloc(c, 16, 16);
		memset(hdr, 0, sizeof(*hdr));
		for (unsigned int n = 0; n < NUM / 2; n++) {
			const struct vq_sg sg[3] = {
				{ vuser_gpa(c, hdr), 16 },
				{ vuser_gpa(c, vuser_alloc(c, 65536, 64)),
				  65536 },
				{ vuser_gpa(c, vuser_alloc(c, 1, 1)), 1 }
			};

			if (vq_driver_add(c->q[0].drv, sg, 1, 2, hdr) < 0) {
				break;
			}
		}
		(void)vq_driver_publish(c->q[0].drv);
		vuser_notify(c, 0);
		/* With a message that nobody waits for. */
		send_header(c, VFIO_USER_DEVICE_RESET, HDR + i, 0);
		vuser_connect_anew(fx);
	}
}

#define T(f)                                                 \
	cmocka_unit_test_setup_teardown(f, vuser_set_up_blk, \
					vuser_tear_down_alive)
#define S(f)                                                 \
	cmocka_unit_test_setup_teardown(f, vuser_set_up_sim, \
					vuser_tear_down_alive)

static const struct CMUnitTest tests[] = {
	T(test_every_command_with_every_size),
	T(test_headers_that_are_none),
	T(test_one_byte_at_a_time),
	S(test_half_a_message_meets_its_deadline),
	S(test_answers_that_nobody_reads),
	T(test_nothing_comes_before_the_version),
	T(test_versions_that_are_none),
	T(test_more_descriptors_than_there_may_be),
	T(test_descriptors_of_the_wrong_kind),
	T(test_eventfd_that_would_block),
	T(test_interrupts_that_are_none),
	T(test_client_that_is_killed),
};

TEST_MAIN("vfio_user_hostile")
