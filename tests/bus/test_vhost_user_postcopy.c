/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of memory that comes later: the test is the destination's front end,
 * and the source, in one.
 *
 * All of the front end's memory is kept in a copy and taken out of its file;
 * a thread serves the back end's page faults out of the copy. The front end
 * itself looks at its memory only after a call: a page that it touched would
 * not be missing any more.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "lib/test.h"
#include "lib/vfront.h"

#define PAGE_BYTES 4096

struct fixture {
	struct vfront_world *fw;
	struct vfront *f;
	unsigned int n_fds;
	int uffd;
	/* of the thread that serves faults */
	pthread_t thread;
	bool has_thread;
	int stop_fd;
	char *source;
	uint64_t base; /* where the back end has it */
	uint32_t n_faults; /* atomic */
};

static int set_up_key(void **state, const char *key, const char *value)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->n_fds = test_count_fds();
	fx->uffd = -1;
	fx->fw = vfront_world_new(NULL, 1);
	vworld_add(fx->fw->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	assert_int_equal(vfront_bind(fx->fw, "b0", key, value), 0);
	fx->f = vfront_connect(fx->fw);
	fx->stop_fd = eventfd(0, EFD_CLOEXEC);
	*state = fx;
	return 0;
}

static int set_up(void **state)
{
	return set_up_key(state, "postcopy", "on");
}

static int set_up_without(void **state)
{
	return set_up_key(state, NULL, NULL);
}

static void stop_serving(struct fixture *fx)
{
	if (fx->has_thread) {
		assert_int_equal(eventfd_write(fx->stop_fd, 1), 0);
		assert_int_equal(pthread_join(fx->thread, NULL), 0);
		fx->has_thread = false;
	}
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	stop_serving(fx);
	vfront_close(fx->f);
	vfront_world_free(fx->fw);
	if (fx->uffd >= 0) {
		close(fx->uffd);
	}
	close(fx->stop_fd);
	free(fx->source);
	assert_int_equal(test_count_fds(), fx->n_fds);
	free(fx);
	return 0;
}

/* ---- the front end's side ---- */

static void serve_one(struct fixture *fx)
{
	struct uffdio_copy copy = { .len = PAGE_BYTES };
	struct uffd_msg msg;

	if (read(fx->uffd, &msg, sizeof(msg)) != sizeof(msg)) {
		return; /* somebody else's wake-up */
	}
	assert_int_equal(msg.event, UFFD_EVENT_PAGEFAULT);
	copy.dst = align_down(msg.arg.pagefault.address, PAGE_BYTES);
	copy.src = (uintptr_t)fx->source + (copy.dst - fx->base);
	__atomic_add_fetch(&fx->n_faults, 1, __ATOMIC_RELAXED);
	assert_true(ioctl(fx->uffd, UFFDIO_COPY, &copy) == 0 ||
		    errno == EEXIST);
}

static void *serve(void *priv)
{
	struct fixture *fx = priv;
	struct pollfd p[] = {
		{ .fd = fx->uffd, .events = POLLIN },
		{ .fd = fx->stop_fd, .events = POLLIN },
	};

	for (;;) {
		assert_true(poll(p, 2, -1) > 0);
		if (p[1].revents) {
			return NULL;
		}
		serve_one(fx);
	}
}

/* Return: false: the machine has no userfaultfd for us. */
static bool advise(struct fixture *fx)
{
	struct vfront_msg msg;

	vfront_negotiate(fx->f, 0);
	assert_int_equal(vfront_send(fx->f, VHOST_USER_POSTCOPY_ADVISE, 0, NULL,
				     0, NULL, 0),
			 0);
	if (vfront_recv(fx->f, &msg) < 0) {
		return false;
	}
	assert_int_equal(msg.hdr.size, 0);
	fx->uffd = msg.fd;
	assert_true(fx->uffd >= 0);
	return true;
}

/* One region, by either message. Return: our address of it */
static uint64_t share(struct fixture *fx, bool by_slot)
{
	const struct vhost_user_mem_table t = {
		.n_regions = 1,
		.regions = { { VFRONT_GPA, VFRONT_MEM_BYTES, VFRONT_UADDR } },
	};
	const struct vhost_user_mem_reg reg = { .region = t.regions[0] };
	uint32_t request = by_slot ? VHOST_USER_ADD_MEM_REG
				   : VHOST_USER_SET_MEM_TABLE;
	struct vfront_msg msg;
	uint64_t ack = 0;

	assert_int_equal(vfront_send(fx->f, request, 0,
				     by_slot ? (const void *)&reg
					     : (const void *)&t,
				     40, &fx->f->memfd, 1),
			 0);
	assert_int_equal(vfront_recv(fx->f, &msg), 0);
	assert_int_equal(msg.hdr.request, request);
	assert_int_equal(msg.hdr.size, 40);
	assert_int_equal(
		vfront_send(fx->f, request, 0, &ack, sizeof(ack), NULL, 0), 0);
	assert_int_equal(vfront_sync(fx->f), 0); /* no answer to that */
	return by_slot ? msg.payload.reg.region.user_addr
		       : msg.payload.table.regions[0].user_addr;
}

/* One read request is in the ring; then all memory is gone, to the source. */
static uint8_t *offer_and_leave(struct fixture *fx, char **ret_data)
{
	struct vfront *f = fx->f;
	struct virtio_blk_outhdr *hdr = vfront_alloc(f, sizeof(*hdr), 4096);
	char *data = vfront_alloc(f, 4096, 4096);
	uint8_t *status = vfront_alloc(f, 1, 4096);
	const struct vq_sg sg[] = {
		{ vfront_gpa(f, hdr), sizeof(*hdr) },
		{ vfront_gpa(f, data), 4096 },
		{ vfront_gpa(f, status), 1 },
	};

	hdr->type = htole32(VIRTIO_BLK_T_IN);
	memset(data, 0x77, 4096);
	*status = 0xee;
	assert_int_equal(vq_driver_add(f->q[0].drv, sg, 1, 2, status), 0);
	(void)vq_driver_publish(f->q[0].drv);
	fx->source = malloc(VFRONT_MEM_BYTES);
	assert_non_null(fx->source);
	memcpy(fx->source, f->mem, VFRONT_MEM_BYTES);
	assert_int_equal(fallocate(f->memfd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, VFRONT_MEM_BYTES),
			 0);
	*ret_data = data;
	return status;
}

static void start_ring(struct fixture *fx)
{
	vfront_set_ring(fx->f, 0);
	vfront_set_call(fx->f, 0);
	vfront_set_kick(fx->f, 0);
	assert_int_equal(
		vfront_ack_state(fx->f, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
}

static void check_fetch(void **state, bool by_slot)
{
	struct fixture *fx = *state;
	uint8_t *status;
	char *data;

	if (!advise(fx)) {
		TEST_SKIP("no userfaultfd");
	}
	assert_int_equal(vfront_ack(fx->f, VHOST_USER_POSTCOPY_LISTEN, NULL, 0,
				    NULL, 0),
			 0);
	vfront_make_queue(fx->f, 0, 8);
	status = offer_and_leave(fx, &data);
	fx->base = share(fx, by_slot);
	assert_int_equal(pthread_create(&fx->thread, NULL, serve, fx), 0);
	fx->has_thread = true;
	start_ring(fx);
	vfront_wait(fx->fw, fx->f->q[0].call_fd);
	assert_int_equal(*status, VIRTIO_BLK_S_OK);
	assert_int_equal(data[0], 0); /* read from the disk over what came */
	/* at least: the ring, the header, the data, the status */
	assert_true(__atomic_load_n(&fx->n_faults, __ATOMIC_RELAXED) >= 4);
	assert_int_equal(vfront_get(fx->f, VHOST_USER_POSTCOPY_END), 0);
}

static void test_missing_pages_are_fetched(void **state)
{
	check_fetch(state, false);
}

static void test_missing_pages_of_a_slot_are_fetched(void **state)
{
	check_fetch(state, true);
}

static void test_end_without_a_front_end_that_serves(void **state)
{
	struct fixture *fx = *state;
	struct pollfd p;
	char *data;

	if (!advise(fx)) {
		TEST_SKIP("no userfaultfd");
	}
	assert_int_equal(vfront_ack(fx->f, VHOST_USER_POSTCOPY_LISTEN, NULL, 0,
				    NULL, 0),
			 0);
	vfront_make_queue(fx->f, 0, 8);
	(void)offer_and_leave(fx, &data);
	(void)share(fx, false);
	start_ring(fx);
	/* the worker stands still now */
	p = (struct pollfd){ .fd = fx->uffd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 20000), 1);
	/* tear_down() closes the connection: nobody may wait for ever */
}

static void test_listening_wants_advice_first(void **state)
{
	struct fixture *fx = *state;

	vfront_negotiate(fx->f, 0);
	assert_int_equal(vfront_ack(fx->f, VHOST_USER_POSTCOPY_LISTEN, NULL, 0,
				    NULL, 0),
			 1);
}

static void test_running_rings_cannot_listen(void **state)
{
	struct fixture *fx = *state;

	if (!advise(fx)) {
		TEST_SKIP("no userfaultfd");
	}
	assert_int_equal(vfront_set_memory(fx->f), 0);
	vfront_make_queue(fx->f, 0, 8);
	start_ring(fx);
	assert_int_equal(vfront_ack(fx->f, VHOST_USER_POSTCOPY_LISTEN, NULL, 0,
				    NULL, 0),
			 1);
}

static void test_postcopy_is_offered_where_it_is_wanted(void **state)
{
	struct fixture *fx = *state;

	vfront_negotiate(fx->f, 0);
	assert_false(has_bit(fx->f->protocol_features,
			     VHOST_USER_PROTOCOL_F_PAGEFAULT));
	assert_int_equal(vfront_send(fx->f, VHOST_USER_POSTCOPY_ADVISE, 0, NULL,
				     0, NULL, 0),
			 0);
	vfront_expect_end(fx->f);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_missing_pages_are_fetched),
	T(test_missing_pages_of_a_slot_are_fetched),
	T(test_end_without_a_front_end_that_serves),
	T(test_listening_wants_advice_first),
	T(test_running_rings_cannot_listen),
	cmocka_unit_test_setup_teardown(
		test_postcopy_is_offered_where_it_is_wanted, set_up_without,
		tear_down),
};

TEST_MAIN("vhost_user_postcopy")
