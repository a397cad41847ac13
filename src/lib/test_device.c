/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of devices that a program writes: a disk of this file, used by the
 * library's own driver.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <linux/virtio_blk.h>

#include <vdpakit/client.h>
#include <vdpakit/soft.h>

#include "lib/test.h"

#define DISK_BYTES 65536

enum mode {
	NOW,
	LATER, /* by the thread of the test */
	TWICE,
	TOO_MUCH,
	HOLD, /* until cancel() */
	CALLS_KIT, /* which it must not */
};

struct toy {
	enum mode mode;
	struct vdpakit *kit;
	struct vdpakit_device *dev;
	struct vdpakit_request *held;
	sem_t has_held;
	uint64_t sectors; /* atomic */
	unsigned int n_resets, n_cancels, n_freed;
	int kit_result;
	int complete_results[2];
	uint16_t queue_of_last;
	char disk[DISK_BYTES];
};

/* ---- the device ---- */

static uint32_t serve(struct toy *toy, struct vdpakit_request *req)
{
	uint32_t in = vdpakit_request_writable_bytes(req);
	struct virtio_blk_outhdr hdr;
	const struct iovec *iov;
	uint8_t status = 0;
	unsigned int n;
	char *at;

	assert_int_equal(vdpakit_request_read(req, 0, &hdr, sizeof(hdr)), 0);
	at = toy->disk + le64toh(hdr.sector) * 512;
	if (le32toh(hdr.type) == VIRTIO_BLK_T_OUT) {
		assert_int_equal(vdpakit_request_read(
					 req, sizeof(hdr), at,
					 vdpakit_request_readable_bytes(req) -
						 (uint32_t)sizeof(hdr)),
				 0);
	} else {
		assert_int_equal(vdpakit_request_write(req, 0, at, in - 1), 0);
	}
	assert_int_equal(vdpakit_request_write(req, in - 1, &status, 1), 0);
	/* The pieces are all there, and nothing lies beyond them. */
	iov = vdpakit_request_readable(req, &n);
	assert_true(n >= 1 && iov[0].iov_len > 0);
	iov = vdpakit_request_writable(req, &n);
	assert_true(n >= 1 && iov[n - 1].iov_len > 0);
	assert_int_equal(vdpakit_request_read(req, UINT32_MAX, &hdr, 1),
			 -EFAULT);
	assert_int_equal(vdpakit_request_write(req, in, &status, 1), -EFAULT);
	assert_int_equal(vdpakit_request_copy(req, 0, req, 0, UINT32_MAX),
			 -EFAULT);
	memset(vdpakit_request_data(req), 0xaa, 24);
	return in;
}

static void finish(struct toy *toy, struct vdpakit_request *req)
{
	uint32_t written = serve(toy, req);

	written += toy->mode == TOO_MUCH;
	toy->complete_results[0] = vdpakit_request_complete(req, written);
	if (toy->mode == TWICE) {
		toy->complete_results[1] = vdpakit_request_complete(req, 1);
	}
}

static void call_kit(struct toy *toy)
{
	void *va;

	toy->kit_result = vdpakit_mem_alloc(toy->kit, 1, &va);
}

static void toy_submit(struct vdpakit_device *dev, uint16_t queue,
		       struct vdpakit_request *const *reqs, unsigned int n)
{
	struct toy *toy = vdpakit_device_priv(dev);

	for (unsigned int i = 0; i < n; i++) {
		assert_ptr_equal(vdpakit_request_device(reqs[i]), dev);
		toy->queue_of_last = vdpakit_request_queue(reqs[i]);
		assert_int_equal(toy->queue_of_last, queue);
		if (toy->mode == LATER || toy->mode == HOLD) {
			assert_int_equal(n, 1);
			toy->held = reqs[i];
			(void)sem_post(&toy->has_held);
			continue;
		}
		if (toy->mode == CALLS_KIT) {
			call_kit(toy);
		}
		finish(toy, reqs[i]);
	}
}

static void toy_cancel(struct vdpakit_device *dev, uint16_t queue)
{
	struct toy *toy = vdpakit_device_priv(dev);

	(void)queue;
	toy->n_cancels++;
	finish(toy, toy->held);
}

static void toy_get_config(struct vdpakit_device *dev, uint32_t offset,
			   void *buf, uint32_t len)
{
	struct toy *toy = vdpakit_device_priv(dev);
	struct virtio_blk_config config = {
		.capacity = htole64(
			__atomic_load_n(&toy->sectors, __ATOMIC_RELAXED)),
	};

	memcpy(buf, (char *)&config + offset, len);
}

static void toy_reset(struct vdpakit_device *dev)
{
	((struct toy *)vdpakit_device_priv(dev))->n_resets++;
}

static void toy_free(struct vdpakit_device *dev)
{
	((struct toy *)vdpakit_device_priv(dev))->n_freed++;
}

static const struct vdpakit_device_class toy_class = {
	.size = sizeof(toy_class),
	.device_id = 2,
	.n_queues = 1,
	.config_bytes = sizeof(struct virtio_blk_config),
	.request_bytes = 24,
	.submit = toy_submit,
	.get_config = toy_get_config,
	.cancel = toy_cancel,
	.reset = toy_reset,
	.free = toy_free,
};

/* ---- the rig ---- */

struct rig {
	struct toy toy;
	struct vdpakit *kit;
	struct vdpakit_blk *blk;
	struct vdpakit_blk_queue *q;
	char *buf;
};

static void open_toy(struct rig *r, const struct vdpakit_blk_options *options)
{
	if (vdpakit_blk_open(r->kit, "toy", options, &r->blk) < 0) {
		fail_msg("%s", vdpakit_error());
	}
	r->q = vdpakit_blk_get_queue(r->blk, 0);
}

static struct rig *rig_new(enum mode mode)
{
	struct rig *r = calloc(1, sizeof(*r));
	void *va;

	r->toy.mode = mode;
	r->toy.sectors = DISK_BYTES / 512;
	(void)sem_init(&r->toy.has_held, 0, 0);
	assert_int_equal(vdpakit_new(NULL, &r->kit), 0);
	r->toy.kit = r->kit;
	assert_int_equal(vdpakit_mem_alloc(r->kit, DISK_BYTES, &va), 0);
	r->buf = va;
	assert_int_equal(vdpakit_device_new(r->kit, "toy", &toy_class, &r->toy,
					    &r->toy.dev),
			 0);
	return r;
}

static void rig_free(struct rig *r)
{
	vdpakit_free(r->kit);
	assert_int_equal(r->toy.n_freed, 1);
	(void)sem_destroy(&r->toy.has_held);
	free(r);
}

static void write_and_read(struct rig *r)
{
	memset(r->buf, 'd', 4096);
	assert_int_equal(vdpakit_blk_write(r->q, r->buf, 4096, 1024), 0);
	memset(r->buf, 0, 4096);
	assert_int_equal(vdpakit_blk_read(r->q, r->buf, 4096, 1024), 0);
	assert_int_equal(r->buf[0], 'd');
	assert_int_equal(r->buf[4095], 'd');
}

/* ---- tests ---- */

static void test_a_device_of_ones_own_is_used(void **state)
{
	struct rig *r = rig_new(NOW);

	open_toy(r, NULL);
	write_and_read(r);
	assert_int_equal(r->toy.complete_results[0], 0);
	assert_true(vdpakit_device_features(r->toy.dev) & (1ULL << 32));
	assert_int_equal(vdpakit_device_n_misuses(r->toy.dev), 0);
	vdpakit_blk_close(r->blk);
	assert_true(r->toy.n_resets > 0);
	rig_free(r);
}

static void test_a_device_is_deleted_by_name(void **state)
{
	struct rig *r = rig_new(NOW);

	open_toy(r, NULL);
	write_and_read(r);
	assert_int_equal(vdpakit_dev_del(r->kit, "toy"), 0);
	assert_int_equal(r->toy.n_freed, 1);
	assert_int_equal(vdpakit_blk_read(r->q, r->buf, 512, 0), -ENODEV);
	rig_free(r);
}

static void add_read(struct rig *r)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_READ,
					     .len_bytes = 512,
					     .buf = r->buf,
					     .user = r };

	assert_int_equal(vdpakit_blk_add(r->q, &req, 1), 1);
	assert_int_equal(vdpakit_blk_submit(r->q), 0);
}

static void test_another_thread_completes(void **state)
{
	struct rig *r = rig_new(LATER);
	struct vdpakit_blk_done done;

	open_toy(r, NULL);
	r->toy.disk[0] = 'l';
	for (int i = 0; i < 1000; i++) {
		add_read(r);
		assert_int_equal(sem_wait(&r->toy.has_held), 0);
		finish(&r->toy, r->toy.held);
		assert_int_equal(vdpakit_blk_wait(r->q, &done, 1, 1, 10000), 1);
		assert_int_equal(done.result, 0);
		assert_ptr_equal(done.user, r);
	}
	assert_int_equal(r->buf[0], 'l');
	assert_int_equal(vdpakit_device_n_misuses(r->toy.dev), 0);
	rig_free(r);
}

static void *remove_memory(void *arg)
{
	struct rig *r = arg;

	return (void *)(intptr_t)vdpakit_mem_remove(r->kit, r->buf);
}

/* Whichever comes first: the end of the request, or of its memory. */
static void test_memory_goes_when_its_requests_are_done(void **state)
{
	struct rig *r = rig_new(LATER);
	struct vdpakit_blk_done done;
	pthread_t thread;
	void *result;

	open_toy(r, NULL);
	add_read(r);
	assert_int_equal(sem_wait(&r->toy.has_held), 0);
	assert_int_equal(pthread_create(&thread, NULL, remove_memory, r), 0);
	finish(&r->toy, r->toy.held);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, 0);
	assert_int_equal(vdpakit_blk_wait(r->q, &done, 1, 1, 10000), 1);
	assert_int_equal(done.result, 0);
	assert_int_equal(vdpakit_mem_remove(r->kit, r->buf), -EINVAL);
	rig_free(r);
}

static void test_cancel_ends_what_is_held(void **state)
{
	struct rig *r = rig_new(HOLD);
	struct vdpakit_blk_done done;

	open_toy(r, NULL);
	add_read(r);
	assert_int_equal(sem_wait(&r->toy.has_held), 0);
	assert_int_equal(vdpakit_blk_poll(r->q, &done, 1), 0);
	assert_int_equal(vdpakit_blk_reset(r->blk), 0);
	assert_int_equal(r->toy.n_cancels, 1);
	assert_int_equal(vdpakit_blk_poll(r->q, &done, 1), 1);
	/* Whether it was done nobody asked. */
	assert_int_equal(done.result, -EIO);
	rig_free(r);
}

static void test_completing_twice_is_counted(void **state)
{
	struct rig *r = rig_new(TWICE);

	open_toy(r, NULL);
	write_and_read(r);
	assert_int_equal(r->toy.complete_results[0], 0);
	assert_int_equal(r->toy.complete_results[1], -EALREADY);
	assert_int_equal(vdpakit_device_n_misuses(r->toy.dev), 2);
	rig_free(r);
}

static void test_writing_too_much_is_counted(void **state)
{
	struct rig *r = rig_new(TOO_MUCH);

	open_toy(r, NULL);
	write_and_read(r);
	assert_int_equal(r->toy.complete_results[0], -EINVAL);
	assert_int_equal(vdpakit_device_n_misuses(r->toy.dev), 2);
	rig_free(r);
}

static void test_a_callback_may_not_call_the_kit(void **state)
{
	struct rig *r = rig_new(CALLS_KIT);

	open_toy(r, NULL);
	write_and_read(r);
	assert_int_equal(r->toy.kit_result, -EDEADLK);
	rig_free(r);
}

struct change {
	struct vdpakit *kit;
	int result;
	sem_t seen;
};

static void on_change(void *priv)
{
	struct change *c = priv;

	c->result = vdpakit_dev_del(c->kit, "toy");
	(void)sem_post(&c->seen);
}

static void test_a_new_config_is_seen(void **state)
{
	struct rig *r = rig_new(NOW);
	struct change c = { .kit = r->kit };
	const struct vdpakit_blk_options options = { .size = sizeof(options),
						     .changed = on_change,
						     .priv = &c };
	struct vdpakit_blk_info info;

	(void)sem_init(&c.seen, 0, 0);
	open_toy(r, &options);
	__atomic_store_n(&r->toy.sectors, 8, __ATOMIC_RELAXED);
	vdpakit_device_config_changed(r->toy.dev);
	assert_int_equal(sem_wait(&c.seen), 0);
	vdpakit_blk_get_info(r->blk, &info, sizeof(info));
	assert_int_equal(info.capacity_bytes, 4096);
	assert_int_equal(c.result, -EDEADLK);
	/* One that nobody waits for when the device goes. */
	vdpakit_blk_close(r->blk);
	vdpakit_device_config_changed(r->toy.dev);
	rig_free(r);
	(void)sem_destroy(&c.seen);
}

static void test_data_path_arguments_are_checked(void **state)
{
	struct rig *r = rig_new(NOW);
	struct vdpakit_request *reqs[VDPAKIT_BURST_MAX + 1];

	assert_int_equal(vdpakit_device_wake(r->toy.dev, 0), 0);
	assert_int_equal(vdpakit_device_wake(r->toy.dev, 1), -EINVAL);
	assert_int_equal(vdpakit_device_fetch(r->toy.dev, 1, reqs, 1), -EINVAL);
	assert_int_equal(vdpakit_device_fetch(r->toy.dev, 0, reqs, 0), -EINVAL);
	assert_int_equal(vdpakit_device_fetch(r->toy.dev, 0, reqs,
					      VDPAKIT_BURST_MAX + 1),
			 -EINVAL);
	assert_int_equal(vdpakit_device_fetch(r->toy.dev, 0, reqs, 1), -EPERM);
	assert_int_equal(vdpakit_device_n_misuses(r->toy.dev), 5);
	rig_free(r);
}

/* ---- classes that make no sense ---- */

static void refuse(const struct vdpakit_device_class *class, int code,
		   const char *words)
{
	struct vdpakit *kit;

	assert_int_equal(vdpakit_new(NULL, &kit), 0);
	assert_int_equal(vdpakit_device_new(kit, "d", class, NULL, NULL), code);
	if (!strstr(vdpakit_error(), "vdpakit_device_new: ") ||
	    !strstr(vdpakit_error(), words)) {
		fail_msg("%s", vdpakit_error());
	}
	/* Nothing is left of it. */
	assert_int_equal(vdpakit_dev_del(kit, "d"), -ENODEV);
	vdpakit_free(kit);
}

#define REFUSE(member, value, code, words)                      \
	do {                                                    \
		struct vdpakit_device_class class_ = toy_class; \
		class_.member = value;                          \
		refuse(&class_, code, words);                   \
	} while (0)

static void test_classes_are_checked(void **state)
{
	refuse(NULL, -EINVAL, "class");
	REFUSE(size, 0, -EINVAL, "size");
	REFUSE(submit, NULL, -EINVAL, "submit");
	REFUSE(get_config, NULL, -EINVAL, "get_config");
	REFUSE(device_id, 0, -EINVAL, "device_id");
	REFUSE(features, 1ULL << 32, -EINVAL, "0x100000000");
	REFUSE(n_queues, 0, -ERANGE, "n_queues");
	REFUSE(n_queues, VDPAKIT_DEVICE_QUEUES_MAX + 1, -ERANGE, "n_queues");
	REFUSE(queue_size, 3, -ERANGE, "queue_size");
	REFUSE(config_bytes, VDPAKIT_DEVICE_CONFIG_MAX + 1, -ERANGE,
	       "config_bytes");
	REFUSE(request_bytes, VDPAKIT_DEVICE_REQUEST_MAX + 1, -ERANGE,
	       "request_bytes");
	REFUSE(poll_us, 1000001, -ERANGE, "poll_us");
}

static void test_names_are_checked(void **state)
{
	struct rig *r = rig_new(NOW);
	char name[100];

	memset(name, 'n', sizeof(name));
	name[99] = '\0';
	assert_int_equal(vdpakit_device_new(r->kit, name, &toy_class, NULL,
					    NULL),
			 -EINVAL);
	assert_int_equal(vdpakit_device_new(r->kit, NULL, &toy_class, NULL,
					    NULL),
			 -EINVAL);
	assert_int_equal(vdpakit_device_new(r->kit, "no/name", &toy_class, NULL,
					    NULL),
			 -EINVAL);
	assert_int_equal(vdpakit_device_new(r->kit, "toy", &toy_class, NULL,
					    NULL),
			 -EEXIST);
	assert_int_equal(vdpakit_device_new(NULL, "toy", &toy_class, NULL,
					    NULL),
			 -EINVAL);
	assert_int_equal(vdpakit_dev_add(r->kit, "p program"), -EOPNOTSUPP);
	rig_free(r);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_a_device_of_ones_own_is_used),
	cmocka_unit_test(test_a_device_is_deleted_by_name),
	cmocka_unit_test(test_another_thread_completes),
	cmocka_unit_test(test_memory_goes_when_its_requests_are_done),
	cmocka_unit_test(test_cancel_ends_what_is_held),
	cmocka_unit_test(test_completing_twice_is_counted),
	cmocka_unit_test(test_writing_too_much_is_counted),
	cmocka_unit_test(test_a_callback_may_not_call_the_kit),
	cmocka_unit_test(test_a_new_config_is_seen),
	cmocka_unit_test(test_data_path_arguments_are_checked),
	cmocka_unit_test(test_classes_are_checked),
	cmocka_unit_test(test_names_are_checked),
};

TEST_MAIN("lib_device")
