/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: IOTLB messages as such. Statements 42 to 50, H65. What they mean
 * for the device is in conf_memory.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/conf.h"
#include "lib/dev.h"

#define PAGE	    4096
#define ENTRIES_MAX 2048
#define RW	    VHOST_ACCESS_RW

struct maps {
	int fd;
	struct conf_mem mem;
};

static struct maps open_maps(void **state)
{
	struct conf *c = *state;
	struct maps m = { .mem = conf_memfd(c, 16 * PAGE) };

	m.fd = conf_open(c, conf_node(), O_RDWR);
	assert_int_equal(dev_set_owner(m.fd), 0);
	return m;
}

static int map(const struct maps *m, uint64_t iova, uint64_t size)
{
	return dev_map(m->fd, 0, iova, m->mem.va, size, RW);
}

static int unmap(const struct maps *m, uint64_t iova, uint64_t size)
{
	return dev_unmap(m->fd, 0, iova, size);
}

static int write_msg(int fd, const void *msg, size_t len)
{
	ssize_t ret = write(fd, msg, len);

	return ret < 0 ? -errno : (int)ret;
}

static struct vhost_msg_v2 update_msg(const struct maps *m, uint32_t type,
				      uint64_t iova)
{
	return (struct vhost_msg_v2){
		.type = type,
		.iotlb = {
			.iova = iova,
			.size = PAGE,
			.uaddr = (uintptr_t)m->mem.va,
			.perm = RW,
			.type = VHOST_IOTLB_UPDATE,
		},
	};
}

/* ---- the message ---- */

static void test_s42_v1_and_v2_return_72(void **state)
{
	struct maps m = open_maps(state);
	struct vhost_msg_v2 v1 = update_msg(&m, VHOST_IOTLB_MSG, 0);
	struct vhost_msg_v2 v2 = update_msg(&m, VHOST_IOTLB_MSG_V2, PAGE);

	assert_int_equal(write_msg(m.fd, &v1, sizeof(v1)), 72);
	assert_int_equal(write_msg(m.fd, &v2, sizeof(v2)), 72);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
	assert_int_equal(map(&m, PAGE, PAGE), -EFAULT);
}

static void test_s42_40_bytes_suffice(void **state)
{
	struct maps m = open_maps(state);
	struct vhost_msg_v2 msg = update_msg(&m, VHOST_IOTLB_MSG_V2, 0);

	assert_int_equal(write_msg(m.fd, &msg, 40), 72);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
}

static void test_s42_less_than_40_bytes_einval(void **state)
{
	struct maps m = open_maps(state);
	struct vhost_msg_v2 msg = update_msg(&m, VHOST_IOTLB_MSG_V2, 0);

	for (size_t len = 1; len < 40; len++) {
		assert_int_equal(write_msg(m.fd, &msg, len), -EINVAL);
	}
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
}

static void test_s42_more_than_72_bytes_are_ignored(void **state)
{
	struct maps m = open_maps(state);
	char big[4096] = { 0 };
	struct vhost_msg_v2 msg = update_msg(&m, VHOST_IOTLB_MSG_V2, 0);

	memcpy(big, &msg, sizeof(msg));
	assert_int_equal(write_msg(m.fd, big, sizeof(big)), 72);
	/* They were no second message. */
	msg.iotlb.iova = PAGE;
	memcpy(big, &msg, sizeof(msg));
	msg.iotlb.iova = 2 * PAGE;
	memcpy(big + 72, &msg, sizeof(msg));
	assert_int_equal(write_msg(m.fd, big, 144), 72);
	assert_int_equal(map(&m, 2 * PAGE, PAGE), IOTLB_DONE);
}

static void test_s42_a_bad_pointer_is_efault(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(write_msg(m.fd, BAD_POINTER, 72), -EFAULT);
}

/* As libblkio does it: what no library sees arrives all the same, and stays in
 * order with what one does. */
static void test_s42_writes_by_system_call(void **state)
{
	struct maps m = open_maps(state);

	for (uint64_t i = 0; i < 100; i++) {
		struct vhost_msg_v2 msg =
			update_msg(&m, VHOST_IOTLB_MSG, i * PAGE);

		assert_int_equal(syscall(SYS_write, m.fd, &msg, sizeof(msg)),
				 72);
		assert_int_equal(map(&m, i * PAGE, PAGE), -EFAULT);
	}
}

static void test_s43_padding_of_v1_is_ignored(void **state)
{
	struct maps m = open_maps(state);
	const uint64_t acked = BACKEND_MSG_V2 | BACKEND_ASID;
	struct vhost_msg_v2 msg = update_msg(&m, VHOST_IOTLB_MSG, 0);

	/* Where version 2 would have an asid. */
	msg.asid = 0xdeadbeef;
	assert_int_equal(dev_set_backend_features(m.fd, acked), 0);
	assert_int_equal(write_msg(m.fd, &msg, sizeof(msg)), 72);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
}

static void test_s50_unknown_iotlb_types_efault(void **state)
{
	static const uint8_t types[] = { 0, 1, 4, 7, 9, 0x80, 0xff };
	struct maps m = open_maps(state);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(dev_iotlb(m.fd, 0, types[i], 0, PAGE, m.mem.va,
					   RW),
				 -EFAULT);
	}
}

static void test_s50_unknown_message_types_einval(void **state)
{
	static const uint32_t types[] = { 0, 3, 4, 0x102, 0xffffffff };
	struct maps m = open_maps(state);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct vhost_msg_v2 msg = update_msg(&m, types[i], 0);

		assert_int_equal(write_msg(m.fd, &msg, sizeof(msg)), -EINVAL);
	}
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
}

/* ---- UPDATE ---- */

static void test_s44_duplicates_and_overlaps_efault(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(map(&m, 4 * PAGE, 4 * PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 4 * PAGE, 4 * PAGE), -EFAULT);
	assert_int_equal(map(&m, 3 * PAGE, 2 * PAGE), -EFAULT);
	assert_int_equal(map(&m, 7 * PAGE, 2 * PAGE), -EFAULT);
	assert_int_equal(map(&m, 5 * PAGE, PAGE), -EFAULT);
	assert_int_equal(map(&m, 3 * PAGE, 6 * PAGE), -EFAULT);
	/* Neighbours are none. */
	assert_int_equal(map(&m, 3 * PAGE, PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 8 * PAGE, PAGE), IOTLB_DONE);
}

static void test_s45_size_0_einval(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(map(&m, 0, 0), -EINVAL);
	assert_int_equal(map(&m, 0x1000, 0), -EINVAL);
}

static void test_s45_wrapping_updates_efault(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(map(&m, UINT64_MAX - PAGE + 2, PAGE), -EFAULT);
	assert_int_equal(map(&m, PAGE, UINT64_MAX), -EFAULT);
	assert_int_equal(map(&m, UINT64_MAX, 2), -EFAULT);
	/* User addresses that wrap. */
	assert_int_equal(dev_map(m.fd, 0, 0, (void *)(UINTPTR_MAX - 100), PAGE,
				 RW),
			 -EFAULT);
}

static void test_s45_outside_of_the_iova_range_efault(void **state)
{
	struct maps m = open_maps(state);
	struct vhost_vdpa_iova_range range;

	assert_int_equal(dev_ioctl(m.fd, VHOST_VDPA_GET_IOVA_RANGE, &range), 0);
	if (range.first == 0 && range.last == UINT64_MAX) {
		/* All addresses are inside: the last byte too. */
		assert_int_equal(map(&m, UINT64_MAX, 1), IOTLB_DONE);
		return;
	}
	if (range.first > 0) {
		assert_int_equal(map(&m, range.first - 1, 2), -EFAULT);
	}
	if (range.last < UINT64_MAX) {
		assert_int_equal(map(&m, range.last, 2), -EFAULT);
	}
}

/* perm is not looked at: nothing, or too much, is taken. */
static void test_s45_any_perm_is_taken(void **state)
{
	static const uint8_t perms[] = { 0, 1, 2, 3, 4, 9, 0xff };
	struct maps m = open_maps(state);

	for (size_t i = 0; i < ARRAY_LEN(perms); i++) {
		assert_int_equal(dev_map(m.fd, 0, i * PAGE, m.mem.va, PAGE,
					 perms[i]),
				 IOTLB_DONE);
	}
}

static void test_s45_unaligned_ranges_are_taken(void **state)
{
	struct maps m = open_maps(state);

	conf_product_only("parents that pin round to pages");
	assert_int_equal(dev_map(m.fd, 0, 0xb0001, m.mem.va + 0x777, 0x123, RW),
			 IOTLB_DONE);
	assert_int_equal(map(&m, 0xb0000, 1), IOTLB_DONE);
	assert_int_equal(map(&m, 0xb0124, 1), IOTLB_DONE);
	assert_int_equal(map(&m, 0xb0123, 1), -EFAULT);
}

static void test_s49_the_2049th_entry_efault(void **state)
{
	struct maps m = open_maps(state);

	/* Not adjacent, so that nobody can join them. */
	for (uint64_t i = 0; i < ENTRIES_MAX; i++) {
		assert_int_equal(map(&m, 2 * i * PAGE, PAGE), IOTLB_DONE);
	}
	assert_int_equal(map(&m, 2 * ENTRIES_MAX * PAGE, PAGE), -EFAULT);
	/* One less makes room for one more. */
	assert_int_equal(unmap(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 2 * ENTRIES_MAX * PAGE, PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
}

/* ---- INVALIDATE ---- */

static void test_s46_invalidate_removes_whole_entries(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(map(&m, 0, 16 * PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 16 * PAGE, PAGE), IOTLB_DONE);
	assert_int_equal(unmap(&m, 5 * PAGE, 1), IOTLB_DONE);
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 15 * PAGE, PAGE), IOTLB_DONE);
	/* Not its neighbour. */
	assert_int_equal(map(&m, 16 * PAGE, PAGE), -EFAULT);
}

static void test_s46_invalidate_across_entries(void **state)
{
	struct maps m = open_maps(state);

	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(map(&m, 2 * i * PAGE, PAGE), IOTLB_DONE);
	}
	assert_int_equal(unmap(&m, 2 * PAGE + 100, 4 * PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
	assert_int_equal(map(&m, 2 * PAGE, 5 * PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 8 * PAGE, PAGE), -EFAULT);
}

static void test_s46_invalidate_of_nothing_is_success(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(unmap(&m, 0x100000, PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
}

static void test_s47_invalidate_all_empties_the_address_space(void **state)
{
	struct maps m = open_maps(state);

	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(map(&m, i * PAGE, PAGE), IOTLB_DONE);
	}
	assert_int_equal(unmap(&m, 0, UINT64_MAX), IOTLB_DONE);
	assert_int_equal(map(&m, 0, 16 * PAGE), IOTLB_DONE);
	/* size 0 at 0 wraps to everything as well. */
	assert_int_equal(unmap(&m, 0, 0), IOTLB_DONE);
	assert_int_equal(map(&m, 0, 16 * PAGE), IOTLB_DONE);
}

static void test_s47_invalidate_of_an_unused_address_space(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(unmap(&m, 0, UINT64_MAX), -EFAULT);
	assert_int_equal(dev_batch(m.fd, 0, false), -EFAULT);
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(unmap(&m, 0, UINT64_MAX), IOTLB_DONE);
	/* It was used, and stays so. */
	assert_int_equal(unmap(&m, 0, UINT64_MAX), IOTLB_DONE);
}

static void test_s47_address_spaces_are_separate(void **state)
{
	struct maps m = open_maps(state);
	const uint64_t acked = BACKEND_MSG_V2 | BACKEND_ASID;

	if (dev_get_u32(m.fd, VHOST_VDPA_GET_AS_NUM) < 2) {
		conf_skip("one address space only");
	}
	assert_int_equal(dev_set_backend_features(m.fd, acked), 0);
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(dev_unmap(m.fd, 1, 0, UINT64_MAX), -EFAULT);
	assert_int_equal(dev_map(m.fd, 1, 0, m.mem.va, PAGE, RW), IOTLB_DONE);
	assert_int_equal(dev_unmap(m.fd, 1, 0, UINT64_MAX), IOTLB_DONE);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
}

/* ---- batches ---- */

static void test_s48_overlaps_are_seen_inside_a_batch(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(dev_batch(m.fd, 0, true), IOTLB_DONE);
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
	assert_int_equal(unmap(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(map(&m, 0, 2 * PAGE), IOTLB_DONE);
	assert_int_equal(dev_batch(m.fd, 0, false), IOTLB_DONE);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
}

static void test_s48_other_address_spaces_inside_a_batch_efault(void **state)
{
	struct maps m = open_maps(state);
	const uint64_t acked = BACKEND_MSG_V2 | BACKEND_BATCH | BACKEND_ASID;

	if (dev_get_u32(m.fd, VHOST_VDPA_GET_AS_NUM) < 2) {
		conf_skip("one address space only");
	}
	assert_int_equal(dev_set_backend_features(m.fd, acked), 0);
	assert_int_equal(dev_batch(m.fd, 0, true), IOTLB_DONE);
	assert_int_equal(dev_map(m.fd, 1, 0, m.mem.va, PAGE, RW), -EFAULT);
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(dev_batch(m.fd, 0, false), IOTLB_DONE);
	assert_int_equal(dev_map(m.fd, 1, 0, m.mem.va, PAGE, RW), IOTLB_DONE);
}

static void test_s48_end_alone_and_begin_twice(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
	assert_int_equal(dev_batch(m.fd, 0, false), IOTLB_DONE);
	assert_int_equal(dev_batch(m.fd, 0, true), IOTLB_DONE);
	assert_int_equal(dev_batch(m.fd, 0, true), IOTLB_DONE);
	assert_int_equal(dev_batch(m.fd, 0, false), IOTLB_DONE);
	assert_int_equal(dev_batch(m.fd, 0, false), IOTLB_DONE);
}

/* H65: a batch that never ends does not outlive the file, and survives a reset.
 */
static void test_s48_a_batch_without_end(void **state)
{
	struct maps m = open_maps(state);

	assert_int_equal(dev_batch(m.fd, 0, true), IOTLB_DONE);
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(map(&m, i * PAGE, PAGE), IOTLB_DONE);
	}
	assert_int_equal(dev_set_status(m.fd, 0), 0);
	assert_int_equal(map(&m, 0, PAGE), -EFAULT);
	assert_int_equal(dev_batch(m.fd, 0, false), IOTLB_DONE);
	assert_int_equal(dev_batch(m.fd, 0, true), IOTLB_DONE);
	conf_close(*state, m.fd);
	m.fd = conf_open(*state, conf_node(), O_RDWR);
	assert_int_equal(dev_set_owner(m.fd), 0);
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
}

/* ---- hostile ranges ---- */

static void test_h65_ranges_at_every_edge(void **state)
{
	static const uint64_t edges[] = {
		0,
		1,
		PAGE - 1,
		PAGE,
		1ULL << 31,
		1ULL << 32,
		1ULL << 47,
		1ULL << 63,
		UINT64_MAX - PAGE,
		UINT64_MAX - 1,
		UINT64_MAX,
	};
	struct maps m = open_maps(state);

	/* Whatever each of them answers, it is an answer, and memory that is
	 * ours can be mapped afterwards. */
	for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
		for (size_t k = 0; k < ARRAY_LEN(edges); k++) {
			int ret = map(&m, edges[i], edges[k]);

			assert_true(ret == IOTLB_DONE || ret == -EFAULT ||
				    (ret == -EINVAL && edges[k] == 0));
			ret = unmap(&m, edges[i], edges[k]);
			assert_true(ret == IOTLB_DONE || ret == -EFAULT);
			ret = dev_map(m.fd, 0, 0, (void *)(uintptr_t)edges[i],
				      edges[k], RW);
			assert_true(ret == IOTLB_DONE || ret == -EFAULT ||
				    (ret == -EINVAL && edges[k] == 0));
			(void)unmap(&m, 0, 0);
		}
	}
	assert_int_equal(map(&m, 0, PAGE), IOTLB_DONE);
}

static void test_h65_memory_that_is_gone_when_it_is_mapped(void **state)
{
	struct maps m = open_maps(state);
	int ret = dev_map(m.fd, 0, 0, BAD_POINTER, PAGE, RW);

	/* Nothing is there: skipped in silence, or refused. */
	assert_true(ret == IOTLB_DONE || ret == -EFAULT);
	assert_int_equal(map(&m, 0x100000, PAGE), IOTLB_DONE);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s42_v1_and_v2_return_72),
	CONF_TEST(test_s42_40_bytes_suffice),
	CONF_TEST(test_s42_less_than_40_bytes_einval),
	CONF_TEST(test_s42_more_than_72_bytes_are_ignored),
	CONF_TEST(test_s42_a_bad_pointer_is_efault),
	CONF_TEST(test_s42_writes_by_system_call),
	CONF_TEST(test_s43_padding_of_v1_is_ignored),
	CONF_TEST(test_s44_duplicates_and_overlaps_efault),
	CONF_TEST(test_s45_size_0_einval),
	CONF_TEST(test_s45_wrapping_updates_efault),
	CONF_TEST(test_s45_outside_of_the_iova_range_efault),
	CONF_TEST(test_s45_any_perm_is_taken),
	CONF_TEST(test_s45_unaligned_ranges_are_taken),
	CONF_TEST(test_s46_invalidate_removes_whole_entries),
	CONF_TEST(test_s46_invalidate_across_entries),
	CONF_TEST(test_s46_invalidate_of_nothing_is_success),
	CONF_TEST(test_s47_invalidate_all_empties_the_address_space),
	CONF_TEST(test_s47_invalidate_of_an_unused_address_space),
	CONF_TEST(test_s47_address_spaces_are_separate),
	CONF_TEST(test_s48_overlaps_are_seen_inside_a_batch),
	CONF_TEST(test_s48_other_address_spaces_inside_a_batch_efault),
	CONF_TEST(test_s48_end_alone_and_begin_twice),
	CONF_TEST(test_s48_a_batch_without_end),
	CONF_TEST(test_s49_the_2049th_entry_efault),
	CONF_TEST(test_s50_unknown_iotlb_types_efault),
	CONF_TEST(test_s50_unknown_message_types_einval),
	CONF_TEST(test_h65_ranges_at_every_edge),
	CONF_TEST(test_h65_memory_that_is_gone_when_it_is_mapped),
};

TEST_MAIN("conformance/iotlb")
