/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio block driver against devices that lie (H80 to H84): never
 * a crash, a wait without end, or a byte written outside of what was posted.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>

#include <linux/virtio_ids.h>

#include "bus/fake_dev.h"
#include "bus/virtio_disk.h"

#define NO_OPTIONS ((struct vdpakit_blk_options){ 0 })
#define SECTORS	   2048U
#define LIE_BYTES  16
#define F(name)	   BIT_ULL(VIRTIO_BLK_F_##name)
#define FEATURES                                                     \
	(BIT_ULL(VIRTIO_F_VERSION_1) | F(BLK_SIZE) | F(SEG_MAX) |    \
	 F(SIZE_MAX) | F(MQ) | F(FLUSH) | F(TOPOLOGY) | F(DISCARD) | \
	 F(WRITE_ZEROES))

struct fixture {
	struct vdisk d; /* first: what vdisk.h takes */
	struct fake_dev fake;
	struct virtio_blk_config *config;
};

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->d.r = vrig_new(NULL, 1);
	fx->d.mem = fx->d.r->mem;
	fake_init(&fx->fake);
	fx->fake.offered = FEATURES;
	fx->config = (struct virtio_blk_config *)fx->fake.config;
	_Static_assert(sizeof(*fx->config) > FAKE_CONFIG, "the rest is not "
							  "asked for");
	fx->fake.config_size = 60;
	fx->config->capacity = htole64(SECTORS);
	fx->config->size_max = htole32(4096);
	fx->config->seg_max = htole32(8);
	fx->config->blk_size = htole32(512);
	fx->config->num_queues = htole16(1);
	fx->config->max_discard_sectors = htole32(8);
	fx->config->max_discard_seg = htole32(1);
	fx->config->max_write_zeroes_sectors = htole32(8);
	fx->config->max_write_zeroes_seg = htole32(1);
	assert_int_equal(
		vdpa_device_register(fx->d.r->w->bus, NULL, &fx->fake.vdev), 0);
	fx->d.vdev = vrig_bind(fx->d.r, "fake");
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	if (fx->d.blk) {
		blk_remove(fx->d.blk);
	}
	if (fx->fake.vdev.driver) {
		assert_int_equal(vdpa_dev_unbind(fx->d.r->w->bus, "fake"), 0);
	}
	vdpa_device_unregister(&fx->fake.vdev);
	fake_fini(&fx->fake);
	vrig_free(fx->d.r);
	free(fx);
	return 0;
}

static void open_disk(struct fixture *fx)
{
	int ret = vdisk_probe(&fx->d, NO_OPTIONS);

	if (ret < 0) {
		fail_msg("%s", err_text(ret));
	}
}

/* The disk is refused, with a sentence, and can be opened once it is well. */
static void expect_refused(struct fixture *fx, int want, const char *words)
{
	assert_int_equal(vdisk_probe(&fx->d, NO_OPTIONS), want);
	if (!strstr(err_text(want), words)) {
		fail_msg("'%s' does not say '%s'", err_text(want), words);
	}
	assert_false(fx->d.vdev->is_taken);
	assert_int_equal(vdpa_n_maps(&fx->fake.vdev, 0), 0);
	assert_false(fx->fake.q[0].is_ready);
	fx->fake.n_steps = 0;
}

/* ---- a device that behaves, by hand ---- */

static int try_read(struct fixture *fx, unsigned int i)
{
	const struct vdpakit_blk_req req = {
		.op = VDPAKIT_BLK_READ,
		.offset_bytes = i * 512ULL,
		.len_bytes = 512,
		.buf = fx->d.mem + i * 1024UL,
		.user = fx->d.mem + i,
	};

	return vdpakit_blk_add(fx->d.q, &req, 1);
}

static void add_read(struct fixture *fx, unsigned int i)
{
	assert_int_equal(try_read(fx, i), 1);
	assert_int_equal(vdpakit_blk_submit(fx->d.q), 0);
}

/* Takes the next request and says @status to it. */
static struct fake_chain answer(struct fixture *fx, uint8_t status)
{
	struct fake_chain chain;

	assert_true(fake_take(&fx->fake, &chain));
	fake_write(&fx->fake, chain.d[chain.n - 1].addr, &status, 1);
	return chain;
}

static void test_a_request_as_the_device_sees_it(void **state)
{
	struct fixture *fx = *state;
	struct virtio_blk_outhdr hdr;
	struct vdpakit_blk_done done;
	struct fake_chain chain;

	open_disk(fx);
	add_read(fx, 3);
	chain = answer(fx, VIRTIO_BLK_S_OK);
	assert_int_equal(chain.n, 3);
	assert_int_equal(chain.n_readable, 1);
	assert_int_equal(chain.d[0].len, sizeof(hdr));
	assert_int_equal(chain.d[1].len, 512);
	assert_int_equal(chain.d[1].addr, (uintptr_t)fx->d.mem + 3 * 1024);
	assert_int_equal(chain.d[2].len, 1);
	fake_read(&fx->fake, chain.d[0].addr, &hdr, sizeof(hdr));
	assert_int_equal(le32toh(hdr.type), VIRTIO_BLK_T_IN);
	assert_int_equal(le32toh(hdr.ioprio), 0);
	assert_int_equal(le64toh(hdr.sector), 3);
	fake_use(&fx->fake, chain.head, 513);
	assert_int_equal(vdpakit_blk_poll(fx->d.q, &done, 1), 1);
	assert_int_equal(done.result, 0);
	assert_ptr_equal(done.user, fx->d.mem + 3);
}

/* The order of the kernel's: ABI.md, part 4. */
static void test_the_order_of_status(void **state)
{
	static const uint8_t want[] = { 0, 1, 3, 0xb, 0xf };
	struct fixture *fx = *state;

	open_disk(fx);
	assert_int_equal(fx->fake.n_steps, ARRAY_SIZE(want));
	assert_memory_equal(fx->fake.steps, want, sizeof(want));
	assert_true(fx->fake.q[0].is_ready);
	assert_false(fx->fake.q[1].is_ready);
	assert_int_equal(fx->fake.features, FEATURES);
	assert_int_equal(fx->fake.q[0].num, 64);
}

static void test_h81_status_that_says_nothing(void **state)
{
	static const struct {
		uint8_t status;
		int want;
	} cases[] = { { 0, 0 },	     { 1, -EIO },    { 2, -EOPNOTSUPP },
		      { 3, -EIO },   { 0x80, -EIO }, { 0xff, -EIO },
		      { 0xfe, -EIO } };
	struct fixture *fx = *state;
	struct vdpakit_blk_done done;

	open_disk(fx);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_chain chain;

		add_read(fx, 0);
		chain = answer(fx, cases[i].status);
		fake_use(&fx->fake, chain.head, 1);
		assert_int_equal(vdpakit_blk_poll(fx->d.q, &done, 1), 1);
		assert_int_equal(done.result, cases[i].want);
	}
	/* Used without a word: the status is the driver's own. */
	add_read(fx, 0);
	{
		struct fake_chain chain;

		assert_true(fake_take(&fx->fake, &chain));
		fake_use(&fx->fake, chain.head, 513);
	}
	assert_int_equal(vdpakit_blk_poll(fx->d.q, &done, 1), 1);
	assert_int_equal(done.result, -EIO);
}

/* ---- H80, H81: what the device says it used ---- */

static void use_wrong_id(struct fixture *fx, const struct fake_chain *chain)
{
	(void)chain;
	fake_use(&fx->fake, 63, 1);
}

static void use_id_out_of_range(struct fixture *fx,
				const struct fake_chain *chain)
{
	(void)chain;
	fake_use(&fx->fake, 64, 1);
}

static void use_huge_id(struct fixture *fx, const struct fake_chain *chain)
{
	(void)chain;
	fake_use(&fx->fake, UINT32_MAX, 1);
}

static void use_second_descriptor(struct fixture *fx,
				  const struct fake_chain *chain)
{
	fake_use(&fx->fake, (chain->head + 1) % 64, 1);
}

static void use_twice(struct fixture *fx, const struct fake_chain *chain)
{
	struct vdpakit_blk_done done;

	fake_use(&fx->fake, chain->head, 513);
	assert_int_equal(vdpakit_blk_poll(fx->d.q, &done, 1), 1);
	fake_use(&fx->fake, chain->head, 513);
}

static void use_too_much(struct fixture *fx, const struct fake_chain *chain)
{
	fake_use(&fx->fake, chain->head, 514);
}

static void use_huge(struct fixture *fx, const struct fake_chain *chain)
{
	fake_use(&fx->fake, chain->head, UINT32_MAX);
}

static void use_more_than_there_are(struct fixture *fx,
				    const struct fake_chain *chain)
{
	(void)chain;
	fake_set_used_idx(&fx->fake, (uint16_t)(fx->fake.q[0].used_idx + 3));
}

static void use_backwards(struct fixture *fx, const struct fake_chain *chain)
{
	(void)chain;
	fake_set_used_idx(&fx->fake, (uint16_t)(fx->fake.q[0].used_idx - 1));
}

static void say_needs_reset(struct fixture *fx, const struct fake_chain *chain)
{
	(void)chain;
	fx->fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	fx->fake.config_call.callback(fx->fake.config_call.priv);
	vrig_settle(fx->d.r);
}

static void shrink_config(struct fixture *fx, const struct fake_chain *chain)
{
	(void)chain;
	fx->fake.config_size = 4;
	fx->fake.config_call.callback(fx->fake.config_call.priv);
	vrig_settle(fx->d.r);
	fx->fake.config_size = 60;
}

static void change_block_size(struct fixture *fx,
			      const struct fake_chain *chain)
{
	(void)chain;
	fx->config->blk_size = htole32(4096);
	fx->fake.config_call.callback(fx->fake.config_call.priv);
	vrig_settle(fx->d.r);
	fx->config->blk_size = htole32(512);
}

/* Whatever is asked of it, it needs a reset. */
static void expect_broken(struct fixture *fx)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };
	struct vdpakit_blk_queue *q = fx->d.q;
	struct vdpakit_blk_done done;

	assert_int_equal(vdpakit_blk_poll(q, &done, 1), -EIO);
	assert_non_null(strstr(err_text(-EIO), "reset"));
	assert_true(vdisk_info(&fx->d).needs_reset);
	assert_int_equal(vdpakit_blk_poll(q, &done, 1), -EIO);
	assert_int_equal(vdpakit_blk_add(q, &req, 1), -EIO);
	assert_int_equal(vdpakit_blk_submit(q), -EIO);
	assert_int_equal(vdpakit_blk_wait(q, &done, 1, 1, -1), -EIO);
	assert_int_equal(vdpakit_blk_arm(q), 1);
	assert_int_equal(vdpakit_blk_flush(q), -EIO);
	/* Whoever listens is told. */
	vrig_settle(fx->d.r);
	assert_true(fx->d.n_changed > 0);
}

/* Each that was under way comes back once, and then all is well. */
static void expect_reset_helps(struct fixture *fx, unsigned int n_under_way)
{
	struct vdpakit_blk_done done[8];
	struct fake_chain chain;

	fx->fake.n_steps = 0;
	assert_int_equal(vdpakit_blk_n_under_way(fx->d.q), n_under_way);
	assert_int_equal(blk_reset(fx->d.blk), 0);
	assert_false(vdisk_info(&fx->d).needs_reset);
	assert_int_equal(vdpakit_blk_poll(fx->d.q, done, ARRAY_SIZE(done)),
			 n_under_way);
	for (unsigned int i = 0; i < n_under_way; i++) {
		assert_int_equal(done[i].result, -EIO);
		assert_non_null(done[i].user);
	}
	assert_int_equal(vdpakit_blk_n_under_way(fx->d.q), 0);
	add_read(fx, 1);
	chain = answer(fx, VIRTIO_BLK_S_OK);
	fake_use(&fx->fake, chain.head, 513);
	assert_int_equal(vdpakit_blk_poll(fx->d.q, done, 1), 1);
	assert_int_equal(done[0].result, 0);
}

static void test_h80_to_h83_the_device_lies(void **state)
{
	static void (*const lies[])(struct fixture * fx,
				    const struct fake_chain *chain) = {
		use_wrong_id,  use_id_out_of_range,
		use_huge_id,   use_second_descriptor,
		use_twice,     use_too_much,
		use_huge,      use_more_than_there_are,
		use_backwards, say_needs_reset,
		shrink_config, change_block_size,
	};
	struct fixture *fx = *state;

	open_disk(fx);
	memset(fx->d.mem, 0x5a, VRIG_MEM_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct fake_chain chain;

		fx->d.n_changed = 0;
		add_read(fx, 0);
		add_read(fx, 1);
		chain = answer(fx, VIRTIO_BLK_S_OK);
		lies[i](fx, &chain);
		expect_broken(fx);
		expect_reset_helps(fx, lies[i] == use_twice ? 1 : 2);
	}
	/* The driver wrote to none of it. */
	for (size_t i = 0; i < VRIG_MEM_BYTES; i++) {
		assert_int_equal(fx->d.mem[i], 0x5a);
	}
}

/* What was done before is given first. */
static void test_h83_needs_reset_after_answers(void **state)
{
	struct fixture *fx = *state;
	struct vdpakit_blk_done done[4];
	struct fake_chain chain;

	open_disk(fx);
	add_read(fx, 0);
	add_read(fx, 1);
	chain = answer(fx, VIRTIO_BLK_S_OK);
	fake_use(&fx->fake, chain.head, 513);
	say_needs_reset(fx, NULL);
	assert_int_equal(vdpakit_blk_wait(fx->d.q, done, 2, 4, -1), 1);
	assert_int_equal(done[0].result, 0);
	expect_broken(fx);
	expect_reset_helps(fx, 1);
}

/* ---- H82: what the device says of itself ---- */

struct config_lie {
	uint32_t offset;
	uint32_t len;
	uint64_t value;
	const char *words;
};

#define LIE(field, value, words)                                               \
	{                                                                      \
		offsetof(struct virtio_blk_config, field),                     \
			sizeof(((struct virtio_blk_config *)0)->field), value, \
			words                                                  \
	}

static void test_h82_config_makes_no_sense(void **state)
{
	static const struct config_lie lies[] = {
		LIE(capacity, UINT64_MAX, "capacity"),
		LIE(capacity, UINT64_MAX / 512, "capacity"),
		LIE(capacity, 1ULL << 54, "capacity"),
		LIE(blk_size, 0, "blocks of 0"),
		LIE(blk_size, 1, "blocks of 1"),
		LIE(blk_size, 256, "blocks of 256"),
		LIE(blk_size, 513, "blocks of 513"),
		LIE(blk_size, 1U << 21, "blocks of"),
		LIE(blk_size, 1U << 31, "blocks of"),
		LIE(seg_max, 0, "0 segments"),
		LIE(size_max, 1, "1 bytes"),
		LIE(size_max, 511, "511 bytes"),
		LIE(num_queues, 0, "0 request queues"),
		LIE(num_queues, 2, "2 request queues"),
		LIE(num_queues, 0xffff, "65535 request queues"),
		LIE(physical_block_exp, 12, "2^12"),
		LIE(physical_block_exp, 255, "2^255"),
		LIE(max_discard_sectors, 0, "discard"),
		LIE(max_discard_seg, 0, "discard"),
		LIE(max_write_zeroes_sectors, 0, "write zeroes"),
		LIE(max_write_zeroes_seg, 0, "write zeroes"),
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		uint64_t value = htole64(lies[i].value);
		uint8_t saved[FAKE_CONFIG];

		memcpy(saved, fx->fake.config, sizeof(saved));
		memcpy(fx->fake.config + lies[i].offset, &value, lies[i].len);
		expect_refused(fx, -EPROTO, lies[i].words);
		memcpy(fx->fake.config, saved, sizeof(saved));
	}
	open_disk(fx);
}

static void test_h82_config_is_too_small(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 7, 8, 12, 20, 34 };
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		fx->fake.config_size = sizes[i];
		expect_refused(fx, -EPROTO, "fake");
	}
	fx->fake.config_size = 60;
	open_disk(fx);
}

/* Strange, but it can be worked with. */
static void test_h82_config_is_extreme(void **state)
{
	struct fixture *fx = *state;
	struct vdpakit_blk_info info;

	fx->config->capacity = 0;
	fx->config->seg_max = UINT32_MAX;
	fx->config->size_max = UINT32_MAX;
	fx->config->opt_io_size = UINT32_MAX;
	fx->config->max_discard_sectors = UINT32_MAX;
	fx->config->discard_sector_alignment = UINT32_MAX;
	open_disk(fx);
	info = vdisk_info(&fx->d);
	assert_int_equal(info.capacity_bytes, 0);
	assert_int_equal(info.max_segments, 62); /* the ring has 64 */
	assert_int_equal(info.max_request_bytes, BLK_REQUEST_BYTES_MAX);
	assert_int_equal(info.optimal_io_bytes, 512);
	assert_int_equal(vdpakit_blk_read(fx->d.q, fx->d.mem, 512, 0), -ERANGE);
}

/* qemu-storage-daemon's vhost-user disk does. */
static void test_h82_size_max_that_says_nothing(void **state)
{
	struct fixture *fx = *state;

	fx->config->size_max = 0;
	open_disk(fx);
	assert_int_equal(vdisk_info(&fx->d).max_request_bytes,
			 BLK_REQUEST_BYTES_MAX);
}

static uint32_t ever_new_generation(struct vdpa_device *vdev)
{
	static uint32_t generation;

	(void)vdev;
	return ++generation;
}

static void test_h82_config_never_stops_changing(void **state)
{
	struct fixture *fx = *state;

	fx->fake.ops.get_generation = ever_new_generation;
	expect_refused(fx, -EPROTO, "changes all the time");
	fx->fake.ops.get_generation = NULL;
	open_disk(fx);
	/* The same while it runs. */
	fx->fake.ops.get_generation = ever_new_generation;
	fx->fake.config_call.callback(fx->fake.config_call.priv);
	vrig_settle(fx->d.r);
	fx->fake.ops.get_generation = NULL;
	expect_broken(fx);
	expect_reset_helps(fx, 0);
}

/* A smaller disk is a smaller disk. */
static void test_h82_capacity_shrinks(void **state)
{
	struct fixture *fx = *state;

	open_disk(fx);
	fx->config->capacity = htole64(1);
	fx->fake.config_call.callback(fx->fake.config_call.priv);
	vrig_settle(fx->d.r);
	assert_int_equal(vdisk_info(&fx->d).capacity_bytes, 512);
	assert_int_equal(fx->d.n_changed, 1);
	assert_int_equal(vdpakit_blk_read(fx->d.q, fx->d.mem, 512, 512),
			 -ERANGE);
	add_read(fx, 0);
}

/* ---- rings, features, status ---- */

static uint16_t hostile_num_max;

static uint16_t get_hostile_num_max(struct vdpa_device *vdev)
{
	(void)vdev;
	return hostile_num_max;
}

static uint16_t get_hostile_num_min(struct vdpa_device *vdev)
{
	(void)vdev;
	return 100;
}

static void test_ring_sizes_make_no_sense(void **state)
{
	static const struct {
		uint16_t num_max;
		bool has_min;
		int want;
	} cases[] = {
		{ 0, false, -EPROTO }, { 1, false, -EPROTO },
		{ 2, false, -EPROTO }, { 100, true, -EPROTO },
		{ 4, false, 0 },       { 65535, false, 0 },
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		hostile_num_max = cases[i].num_max;
		fx->fake.ops.get_vq_num_max = get_hostile_num_max;
		fx->fake.ops.get_vq_num_min =
			cases[i].has_min ? get_hostile_num_min : NULL;
		if (cases[i].want < 0) {
			expect_refused(fx, cases[i].want, "ring");
			continue;
		}
		open_disk(fx);
		blk_remove(fx->d.blk);
		fx->d.blk = NULL;
		fx->fake.n_steps = 0;
	}
}

static int refuse_features(struct vdpa_device *vdev, uint64_t features)
{
	(void)vdev;
	(void)features;
	return -EINVAL;
}

static void test_features_are_refused(void **state)
{
	struct fixture *fx = *state;
	int (*right)(struct vdpa_device * vdev, uint64_t features) =
		fx->fake.ops.set_driver_features;

	fx->fake.ops.set_driver_features = refuse_features;
	expect_refused(fx, -EPROTO, "own features");
	fx->fake.ops.set_driver_features = right;
	fx->fake.offered &= ~BIT_ULL(VIRTIO_F_VERSION_1);
	expect_refused(fx, -EOPNOTSUPP, "VIRTIO_F_VERSION_1");
	fx->fake.offered = FEATURES;
	open_disk(fx);
}

static void test_status_is_refused(void **state)
{
	static const uint8_t bits[] = { 1, 2, 8, 4 };
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		fx->fake.refused = bits[i];
		expect_refused(fx, -EPROTO, "does not take status");
	}
	fx->fake.refused = 0;
	open_disk(fx);
}

static uint8_t needs_reset_always(struct vdpa_device *vdev)
{
	struct fake_dev *f = container_of(vdev, struct fake_dev, vdev);

	return f->status | VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void test_h83_needs_reset_from_the_beginning(void **state)
{
	struct fixture *fx = *state;
	uint8_t (*right)(struct vdpa_device * vdev) = fx->fake.ops.get_status;

	fx->fake.ops.get_status = needs_reset_always;
	expect_refused(fx, -EPROTO, "does not take status");
	fx->fake.ops.get_status = right;
	open_disk(fx);
}

static int reset_nothing(struct vdpa_device *vdev)
{
	container_of(vdev, struct fake_dev, vdev)->status = 0;
	return 0;
}

static void test_h84_reset_leaves_queues_running(void **state)
{
	struct fixture *fx = *state;

	fx->fake.ops.reset = reset_nothing;
	fx->fake.q[0].is_ready = true;
	assert_int_equal(vdisk_probe(&fx->d, NO_OPTIONS), -ENOENT);
	assert_non_null(strstr(err_text(-ENOENT), "runs already"));
	assert_false(fx->d.vdev->is_taken);
	/* It was told to stop. */
	assert_false(fx->fake.q[0].is_ready);
	open_disk(fx);
}

/* ---- H84: another device after a reset ---- */

static void expect_reset_refused(struct fixture *fx, const char *words)
{
	fx->fake.n_steps = 0;
	assert_int_equal(blk_reset(fx->d.blk), -EPROTO);
	if (!strstr(err_text(-EPROTO), words)) {
		fail_msg("'%s' does not say '%s'", err_text(-EPROTO), words);
	}
	assert_true(vdisk_info(&fx->d).needs_reset);
	assert_int_equal(vdpakit_blk_flush(fx->d.q), -EIO);
}

static void test_h84_another_device_after_reset(void **state)
{
	struct fixture *fx = *state;

	open_disk(fx);
	fx->fake.offered = FEATURES & ~F(FLUSH);
	expect_reset_refused(fx, "features");
	fx->fake.offered = FEATURES | F(RO);
	expect_reset_refused(fx, "features");
	fx->fake.offered = FEATURES | BIT_ULL(VIRTIO_F_RING_PACKED);
	expect_reset_refused(fx, "features");
	fx->fake.offered = FEATURES;
	fx->config->blk_size = htole32(4096);
	expect_reset_refused(fx, "block size");
	fx->config->blk_size = htole32(512);
	fx->config->num_queues = 0;
	expect_reset_refused(fx, "request queues");
	fx->config->num_queues = htole16(1);
	fx->fake.refused = VIRTIO_CONFIG_S_FEATURES_OK;
	expect_reset_refused(fx, "status");
	fx->fake.refused = VIRTIO_CONFIG_S_DRIVER_OK;
	expect_reset_refused(fx, "status");
	fx->fake.refused = 0;
	expect_reset_helps(fx, 0);
}

/* Its limits may be others: requests keep to them. */
static void test_h84_smaller_after_reset(void **state)
{
	struct fixture *fx = *state;

	open_disk(fx);
	hostile_num_max = 8;
	fx->fake.ops.get_vq_num_max = get_hostile_num_max;
	fx->config->seg_max = htole32(1);
	fx->config->capacity = htole64(8);
	fx->fake.n_steps = 0;
	assert_int_equal(blk_reset(fx->d.blk), 0);
	assert_int_equal(vdisk_info(&fx->d).max_segments, 1);
	assert_int_equal(vdisk_info(&fx->d).capacity_bytes, 4096);
	assert_int_equal(fx->fake.q[0].num, 8);
	add_read(fx, 0);
	add_read(fx, 1);
	{
		const struct vdpakit_blk_req req = { .len_bytes = 512,
						     .buf = fx->d.mem };

		/* The ring is full before the slots are. */
		assert_int_equal(vdpakit_blk_add(fx->d.q, &req, 1), 0);
	}
}

static void test_a_reset_that_fails(void **state)
{
	struct fixture *fx = *state;
	struct vdpakit_blk_done done;

	open_disk(fx);
	add_read(fx, 0);
	fx->fake.reset_ret = -EIO;
	assert_int_equal(blk_reset(fx->d.blk), -EIO);
	/* It may write to the buffer yet: that is not given back. */
	assert_int_equal(vdpakit_blk_poll(fx->d.q, &done, 1), -EIO);
	assert_int_equal(vdpakit_blk_n_under_way(fx->d.q), 1);
	fx->fake.reset_ret = 0;
	fx->fake.n_steps = 0;
	expect_reset_helps(fx, 1);
	fx->fake.reset_ret = -EIO;
	blk_remove(fx->d.blk);
	fx->d.blk = NULL;
	assert_int_equal(vdpa_n_maps(&fx->fake.vdev, 0), 0);
	fx->fake.reset_ret = 0;
}

/* ---- memory that it does not take ---- */

static int refuse_map(struct vdpa_device *vdev, unsigned int asid,
		      struct iotlb_snap *map)
{
	(void)vdev;
	(void)asid;
	(void)map;
	return -EOPNOTSUPP;
}

static void test_memory_is_refused(void **state)
{
	struct fixture *fx = *state;
	int (*right)(struct vdpa_device * vdev, unsigned int asid,
		     struct iotlb_snap *map) = fx->fake.ops.set_map;

	fx->fake.ops.set_map = refuse_map;
	assert_int_equal(vdisk_probe(&fx->d, NO_OPTIONS), -EOPNOTSUPP);
	assert_false(fx->d.vdev->is_taken);
	fx->fake.ops.set_map = right;
	fx->fake.n_steps = 0;
	open_disk(fx);
}

static void get_small_range(struct vdpa_device *vdev,
			    struct vdpa_iova_range *ret)
{
	(void)vdev;
	*ret = (struct vdpa_iova_range){ 0x1000, 0x1000 + VRIG_MEM_BYTES };
}

static void get_low_range(struct vdpa_device *vdev, struct vdpa_iova_range *ret)
{
	(void)vdev;
	*ret = (struct vdpa_iova_range){ 0, 0xffffffff };
}

static void test_addresses_in_its_range(void **state)
{
	struct fixture *fx = *state;
	struct fake_chain chain;

	fx->fake.ops.get_iova_range = get_small_range;
	expect_refused(fx, -ENOSPC, "no room");
	fx->fake.ops.get_iova_range = get_low_range;
	open_disk(fx);
	add_read(fx, 1);
	chain = answer(fx, VIRTIO_BLK_S_OK);
	for (unsigned int i = 0; i < chain.n; i++) {
		assert_in_range(chain.d[i].addr, 0x1000, 0xffffffff);
	}
	fake_write(&fx->fake, chain.d[1].addr, "here", 4);
	assert_memory_equal(fx->d.mem + 1024, "here", 4);
}

/* ---- a device of kind 0 ---- */

static void test_kind_0_is_refused(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_bus *bus = fx->d.r->w->bus;
	const struct vdpa_param param = { "key", "value" };

	assert_int_equal(vdpa_dev_unbind(bus, "fake"), 0);
	fx->fake.device_id = 0;
	assert_int_equal(vdpa_dev_bind(bus, "fake", "virtio_vdpa", NULL, 0),
			 -ENODEV);
	assert_non_null(strstr(err_text(-ENODEV), "kind 0"));
	fx->fake.device_id = VIRTIO_ID_BLOCK;
	assert_int_equal(vdpa_dev_bind(bus, "fake", "virtio_vdpa", &param, 1),
			 -EINVAL);
	fx->d.vdev = vrig_bind(fx->d.r, "fake");
	open_disk(fx);
}

/* ---- anything at all ---- */

static uint64_t random64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Writes a few bytes somewhere into what the device may write of the ring. */
static void scribble(struct fixture *fx, uint64_t *seed, bool is_packed)
{
	const struct fake_vq *q = &fx->fake.q[0];
	uint64_t size = is_packed ? q->num * 16ULL : 6 + q->num * 8ULL;
	uint64_t at = is_packed ? q->desc_area : q->device_area;
	uint64_t value = random64(seed);

	if (random64(seed) % 2) {
		value &= 0x3f; /* ids that are there */
	}
	/* One in four at the beginning: flags and index; first descriptors. */
	at += random64(seed) % (random64(seed) % 4 ? size - LIE_BYTES : 4);
	fake_write(&fx->fake, at, &value, 1 + random64(seed) % 8);
}

static void check_done(struct fixture *fx, bool *is_busy,
		       const struct vdpakit_blk_done *done, int n)
{
	for (int i = 0; i < n; i++) {
		size_t k = (size_t)((char *)done[i].user - fx->d.mem);

		assert_in_range(k, 0, 15);
		assert_true(is_busy[k]);
		is_busy[k] = false;
	}
}

static void play(struct fixture *fx, uint64_t seed, bool is_packed)
{
	struct vdpakit_blk_done done[16];
	bool is_busy[16] = { false };

	for (unsigned int step = 0; step < 60; step++) {
		unsigned int k = (unsigned int)(random64(&seed) % 16);
		int n;

		if (!is_busy[k]) {
			n = try_read(fx, k);
			assert_true(n == 1 || n == -EIO);
			is_busy[k] = n == 1;
			(void)vdpakit_blk_submit(fx->d.q); /* poll says it */
		}
		scribble(fx, &seed, is_packed);
		n = vdpakit_blk_poll(fx->d.q, done, ARRAY_SIZE(done));
		assert_true(n >= 0 || n == -EIO);
		check_done(fx, is_busy, done, n);
		if (n == -EIO) {
			fx->fake.n_steps = 0;
			assert_int_equal(blk_reset(fx->d.blk), 0);
		}
	}
	fx->fake.n_steps = 0;
	assert_int_equal(blk_reset(fx->d.blk), 0);
	check_done(fx, is_busy, done,
		   vdpakit_blk_poll(fx->d.q, done, ARRAY_SIZE(done)));
	assert_int_equal(vdpakit_blk_n_under_way(fx->d.q), 0);
}

/* Each request comes back once, whatever stands in the ring. */
static void test_h80_h81_rings_of_garbage(void **state)
{
	static const uint64_t rings[] = {
		0,
		BIT_ULL(VIRTIO_F_IN_ORDER),
		BIT_ULL(VIRTIO_F_RING_PACKED),
		BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VIRTIO_F_IN_ORDER),
		BIT_ULL(VIRTIO_F_RING_PACKED) |
			BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
			BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC),
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
		fx->fake.offered = FEATURES | rings[i];
		open_disk(fx);
		memset(fx->d.mem, 0x5a, 16 * 1024);
		for (uint64_t seed = 1; seed <= 200; seed++) {
			play(fx, seed * 0x9e3779b97f4a7c15ULL,
			     has_bit(rings[i], VIRTIO_F_RING_PACKED));
		}
		for (size_t k = 0; k < 16 * 1024UL; k++) {
			assert_int_equal(fx->d.mem[k], 0x5a);
		}
		blk_remove(fx->d.blk);
		fx->d.blk = NULL;
		fx->fake.n_steps = 0;
	}
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	WITH(test_a_request_as_the_device_sees_it),
	WITH(test_the_order_of_status),
	WITH(test_h81_status_that_says_nothing),
	WITH(test_h80_to_h83_the_device_lies),
	WITH(test_h83_needs_reset_after_answers),
	WITH(test_h82_config_makes_no_sense),
	WITH(test_h82_config_is_too_small),
	WITH(test_h82_config_is_extreme),
	WITH(test_h82_size_max_that_says_nothing),
	WITH(test_h82_config_never_stops_changing),
	WITH(test_h82_capacity_shrinks),
	WITH(test_ring_sizes_make_no_sense),
	WITH(test_features_are_refused),
	WITH(test_status_is_refused),
	WITH(test_h83_needs_reset_from_the_beginning),
	WITH(test_h84_reset_leaves_queues_running),
	WITH(test_h84_another_device_after_reset),
	WITH(test_h84_smaller_after_reset),
	WITH(test_a_reset_that_fails),
	WITH(test_memory_is_refused),
	WITH(test_addresses_in_its_range),
	WITH(test_kind_0_is_refused),
	WITH(test_h80_h81_rings_of_garbage),
};

TEST_MAIN("virtio_hostile")
