/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, memory. Tables, slots, changes under load; H14, H32,
 * H33, H66.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/blk.h"

#define PAGE 4096ULL
/* Guest addresses of the tests' own regions, beyond the client's memory. */
#define FAR 0x100000000ULL

static void start(struct client *cl, void **state)
{
	blk_start(cl, *state, 64, BLK_FEATURES);
	vu_require(&cl->vu, VU_P_MEM_SLOTS);
}

static struct vu_region region_of(const struct conf_mem *mem, uint64_t gpa)
{
	return (struct vu_region){ gpa, mem->size, (uintptr_t)mem->va, 0 };
}

/* The client's own, which every table here holds. */
static struct vu_region own_region(const struct client *cl)
{
	return region_of(&cl->mem, CLIENT_IOVA);
}

/* Reads or writes the first sectors with data at any guest address. Return: the
 * status byte */
static int io_at(struct client *cl, uint32_t type, uint64_t gpa, uint32_t len)
{
	uint8_t *header = (uint8_t *)client_buf(cl, 0);
	uint8_t *status = header + 32;
	struct ring_piece pieces[] = {
		{ client_iova(cl, header), 16, false },
		{ gpa, len, type == BLK_T_IN },
		{ client_iova(cl, status), 1, true },
	};
	uint32_t written;
	uint16_t id;

	memset(header, 0, 16);
	header[0] = (uint8_t)type;
	*status = BLK_S_NONE;
	assert_true(ring_add(&cl->vqs[0].ring, pieces, 3, false) >= 0);
	client_kick(&cl->vqs[0]);
	assert_true(client_wait(&cl->vqs[0], CONF_WAIT_MS, &id, &written));
	return *status;
}

/* Puts a byte on the disk, and expects it at @va, which is @gpa. */
static void expect_reached(struct client *cl, uint64_t gpa, const char *va,
			   uint32_t len)
{
	static char byte;

	byte++;
	memset(client_buf(cl, BLK_DATA), byte, len);
	assert_int_equal(io_at(cl, BLK_T_OUT,
			       client_iova(cl, client_buf(cl, BLK_DATA)), len),
			 BLK_S_OK);
	assert_int_equal(io_at(cl, BLK_T_IN, gpa, len), BLK_S_OK);
	assert_int_equal(va[0], byte);
	assert_int_equal(va[len - 1], byte);
}

/* ---- regions ---- */

static void test_a_region_is_added_and_removed(void **state)
{
	struct client cl;
	struct conf_mem mem;
	struct vu_region region;

	start(&cl, state);
	mem = conf_memfd(cl.c, 16 * PAGE);
	region = region_of(&mem, FAR);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(io_at(&cl, BLK_T_IN, FAR, 512), BLK_S_IOERR);
		assert_int_equal(vu_add_region(&cl.vu, &region, mem.fd), 0);
		expect_reached(&cl, FAR, mem.va, 4096);
		expect_reached(&cl, FAR + 15 * PAGE, mem.va + 15 * PAGE, 4096);
		assert_int_equal(vu_rem_region(&cl.vu, &region), 0);
	}
	assert_int_equal(io_at(&cl, BLK_T_IN, FAR, 512), BLK_S_IOERR);
	cl.c->n_mems--; /* unmapped by the next line */
	assert_true(conf_is_released(&mem));
	assert_true(blk_works(&cl));
}

/* The file's offset counts, and is ignored when a region is removed. */
static void test_a_region_with_an_offset(void **state)
{
	struct client cl;
	struct conf_mem mem;

	start(&cl, state);
	mem = conf_memfd(cl.c, 16 * PAGE);
	for (uint64_t offset = 0; offset < 8 * PAGE; offset += PAGE) {
		struct vu_region region = { FAR, 8 * PAGE,
					    (uintptr_t)mem.va + offset,
					    offset };

		assert_int_equal(vu_add_region(&cl.vu, &region, mem.fd), 0);
		expect_reached(&cl, FAR + 512, mem.va + offset + 512, 512);
		expect_reached(&cl, FAR + 8 * PAGE - 512,
			       mem.va + offset + 8 * PAGE - 512, 512);
		region.offset = 12345;
		assert_int_equal(vu_rem_region(&cl.vu, &region), 0);
	}
}

/* Some front ends pass a descriptor when they remove; it is closed. */
static void test_a_region_removed_with_a_descriptor(void **state)
{
	struct client cl;
	struct conf_mem mem;
	struct vu_one_region one = { 0 };

	start(&cl, state);
	mem = conf_memfd(cl.c, 16 * PAGE);
	one.region = region_of(&mem, FAR);
	assert_int_equal(vu_add_region(&cl.vu, &one.region, mem.fd), 0);
	assert_int_equal(vu_tell(&cl.vu, VU_REM_MEM_REG, &one, sizeof(one),
				 &mem.fd, 1),
			 0);
	cl.c->n_mems--;
	assert_true(conf_is_released(&mem));
}

static void test_all_slots(void **state)
{
	struct client cl;
	struct conf_mem mem;
	struct vu_region region;
	unsigned int n;

	start(&cl, state);
	conf_product_only("others have fewer");
	mem = conf_memfd(cl.c, 600 * PAGE);
	/* One is the client's own. */
	for (n = 0; n < VU_MEM_SLOTS - 1; n++) {
		region = (struct vu_region){ FAR + n * 2 * PAGE, PAGE,
					     (uintptr_t)mem.va + n * PAGE,
					     n * PAGE };
		assert_int_equal(vu_add_region(&cl.vu, &region, mem.fd), 0);
	}
	for (n = 0; n < VU_MEM_SLOTS - 1; n += 36) {
		expect_reached(&cl, FAR + n * 2 * PAGE, mem.va + n * PAGE,
			       4096);
	}
	region = (struct vu_region){ FAR + n * 2 * PAGE, PAGE,
				     (uintptr_t)mem.va + n * PAGE, n * PAGE };
	assert_int_equal(vu_add_region(&cl.vu, &region, mem.fd), VU_REFUSED);
	region = (struct vu_region){ FAR, PAGE, (uintptr_t)mem.va, 0 };
	assert_int_equal(vu_rem_region(&cl.vu, &region), 0);
	assert_int_equal(vu_add_region(&cl.vu, &region, mem.fd), 0);
	expect_reached(&cl, FAR, mem.va, 4096);
}

/* H14: a buffer that lies in two files. */
static void test_h14_a_buffer_across_regions(void **state)
{
	struct client cl;
	struct conf_mem mem[2];

	start(&cl, state);
	for (unsigned int i = 0; i < 2; i++) {
		struct vu_region region;

		mem[i] = conf_memfd(cl.c, 4 * PAGE);
		region = region_of(&mem[i], FAR + i * 4 * PAGE);
		assert_int_equal(vu_add_region(&cl.vu, &region, mem[i].fd), 0);
	}
	memset(client_buf(&cl, BLK_DATA), 0x77, 4096);
	assert_int_equal(io_at(&cl, BLK_T_OUT,
			       client_iova(&cl, client_buf(&cl, BLK_DATA)),
			       4096),
			 BLK_S_OK);
	for (unsigned int cut = 1; cut < 4096; cut += 273) {
		memset(mem[0].va, 0, mem[0].size);
		memset(mem[1].va, 0, mem[1].size);
		assert_int_equal(io_at(&cl, BLK_T_IN, FAR + 4 * PAGE - cut,
				       4096),
				 BLK_S_OK);
		assert_int_equal(mem[0].va[4 * PAGE - cut - 1], 0);
		assert_int_equal(mem[0].va[4 * PAGE - cut], 0x77);
		assert_int_equal(mem[0].va[4 * PAGE - 1], 0x77);
		assert_int_equal(mem[1].va[0], 0x77);
		assert_int_equal(mem[1].va[4096 - cut - 1], 0x77);
		assert_int_equal(mem[1].va[4096 - cut], 0);
	}
	/* H13: the last byte of the second, and on. */
	assert_int_equal(io_at(&cl, BLK_T_IN, FAR + 8 * PAGE - 1, 512),
			 BLK_S_IOERR);
}

static void test_huge_pages(void **state)
{
	struct client cl;
	const size_t size = 2 << 20;
	struct vu_region region;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	char *va;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		conf_skip("no huge pages");
	}
	start(&cl, state);
	conf_keep_fd(cl.c, fd);
	va = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (va == MAP_FAILED) {
		conf_skip("no free huge pages");
	}
	region = (struct vu_region){ FAR, size, (uintptr_t)va, 0 };
	assert_int_equal(vu_add_region(&cl.vu, &region, fd), 0);
	expect_reached(&cl, FAR + size - 4096, va + size - 4096, 4096);
	assert_int_equal(munmap(va, size), 0);
}

/* ---- tables while rings run ---- */

static void set_table(struct client *cl, const struct conf_mem *extra,
		      uint64_t gpa)
{
	struct vu_region regions[2] = { own_region(cl) };
	int fds[2] = { cl->mem.fd };

	if (extra) {
		regions[1] = region_of(extra, gpa);
		fds[1] = extra->fd;
	}
	assert_int_equal(vu_set_table(&cl->vu, regions, fds, extra ? 2 : 1), 0);
}

static void test_a_table_is_replaced_while_the_ring_runs(void **state)
{
	struct client cl;
	struct conf_mem mem;

	start(&cl, state);
	mem = conf_memfd(cl.c, 16 * PAGE);
	for (unsigned int i = 0; i < 20; i++) {
		set_table(&cl, &mem, FAR + i * PAGE);
		expect_reached(&cl, FAR + i * PAGE, mem.va, 4096);
		set_table(&cl, NULL, 0);
		assert_int_equal(io_at(&cl, BLK_T_IN, FAR + i * PAGE, 512),
				 BLK_S_IOERR);
	}
}

/* The memory moves to other guest addresses, and the ring with it. */
static void test_the_ring_itself_moves(void **state)
{
	struct client cl;
	struct vu_region region;

	start(&cl, state);
	for (unsigned int i = 0; i < 10; i++) {
		region = own_region(&cl);
		region.gpa = i % 2 ? CLIENT_IOVA : FAR;
		assert_int_equal(vu_set_table(&cl.vu, &region, &cl.mem.fd, 1),
				 0);
		/* Buffers are where the client believes them only half of the
		 * time; the ring is found at any. */
		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(&cl.vqs[0]);
		assert_false(client_is_quiet(&cl.vqs[0]));
		assert_int_equal(blk_status(&cl, 0),
				 i % 2 ? BLK_S_OK : BLK_S_NONE);
	}
	assert_true(blk_works(&cl));
}

static void test_an_empty_table_stops_everything(void **state)
{
	struct client cl;
	uint64_t none = 0;

	start(&cl, state);
	assert_int_equal(vu_tell(&cl.vu, VU_SET_MEM_TABLE, &none, sizeof(none),
				 NULL, 0),
			 0);
	assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
	client_kick(&cl.vqs[0]);
	assert_true(client_is_quiet(&cl.vqs[0]));
	client_map(&cl);
	client_kick(&cl.vqs[0]);
	assert_false(client_is_quiet(&cl.vqs[0]));
	assert_true(blk_works(&cl));
}

/* H33: requests in flight all the time. */
struct changer {
	struct client *cl;
	struct conf_mem *mem;
	int is_done; /* atomic */
};

static void *change_tables(void *arg)
{
	struct changer *ch = arg;
	struct vu_region region = region_of(ch->mem, FAR);

	for (unsigned int i = 0; i < 200; i++) {
		set_table(ch->cl, i % 2 ? ch->mem : NULL, FAR);
		if (i % 2 == 0) {
			assert_int_equal(vu_add_region(&ch->cl->vu, &region,
						       ch->mem->fd),
					 0);
			assert_int_equal(vu_rem_region(&ch->cl->vu, &region),
					 0);
		}
	}
	__atomic_store_n(&ch->is_done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void test_h33_the_table_changes_during_requests(void **state)
{
	struct client cl;
	struct conf_mem mem;
	struct changer ch = { .cl = &cl, .mem = &mem };
	unsigned long n = 0;
	pthread_t thread;

	start(&cl, state);
	mem = conf_memfd(cl.c, 16 * PAGE);
	assert_int_equal(pthread_create(&thread, NULL, change_tables, &ch), 0);
	while (!__atomic_load_n(&ch.is_done, __ATOMIC_ACQUIRE)) {
		/* Our own memory is there at any time; the other may be. */
		assert_int_equal(blk_io(&cl, BLK_T_IN, n % 1000,
					client_buf(&cl, BLK_DATA), 8192),
				 BLK_S_OK);
		assert_in_range(io_at(&cl, BLK_T_IN, FAR, 8192), BLK_S_OK,
				BLK_S_IOERR);
		n++;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("# %lu requests meanwhile\n", n);
	assert_true(blk_works(&cl));
}

/* ---- H32: memory that goes away ---- */

static void test_h32_the_file_is_cut_during_requests(void **state)
{
	struct client cl;
	struct conf_mem mem;
	struct vu_region region;

	start(&cl, state);
	conf_product_only("others die of it");
	for (unsigned int i = 0; i < 5; i++) {
		mem = conf_memfd(cl.c, 16 * PAGE);
		region = region_of(&mem, FAR);
		assert_int_equal(vu_add_region(&cl.vu, &region, mem.fd), 0);
		expect_reached(&cl, FAR, mem.va, 4096);
		assert_int_equal(ftruncate(mem.fd, (off_t)(i * PAGE)), 0);
		/* Whatever it answers, it answers. */
		(void)io_at(&cl, BLK_T_IN, FAR + 8 * PAGE, 4096);
		(void)io_at(&cl, BLK_T_OUT, FAR + 8 * PAGE, 4096);
		assert_int_equal(vu_rem_region(&cl.vu, &region), 0);
		assert_true(blk_works(&cl));
	}
}

/* The rings lie in what is cut: this device may stop, others may not. */
static void test_h32_the_rings_are_cut(void **state)
{
	struct client cl;
	struct conf *c = *state;

	for (unsigned int i = 0; i < 5; i++) {
		start(&cl, state);
		conf_product_only("others die of it");
		assert_true(blk_works(&cl));
		for (unsigned int k = 0; k < 20; k++) {
			(void)blk_add(&cl, k, BLK_T_IN, 0,
				      client_buf(&cl, BLK_DATA), 65536);
		}
		client_kick(&cl.vqs[0]);
		assert_int_equal(ftruncate(cl.mem.fd, 0), 0);
		client_kick(&cl.vqs[0]);
		assert_true(vu_is_alive(&cl.vu));
		client_close(&cl);
	}
	blk_start(&cl, c, 64, BLK_FEATURES);
	assert_true(blk_works(&cl));
}

/* ---- H66: tables that are wrong ---- */

static void test_h66_regions_that_cannot_be(void **state)
{
	struct client cl;
	struct conf_mem mem;
	uint64_t va;

	start(&cl, state);
	conf_product_only("others take them, or die");
	mem = conf_memfd(cl.c, 16 * PAGE);
	va = (uintptr_t)mem.va;
	{
		const struct vu_region bad[] = {
			{ FAR, 0, va, 0 }, /* nothing */
			{ UINT64_MAX - PAGE + 1, 2 * PAGE, va, 0 }, /* wrap */
			{ FAR, 2 * PAGE, UINT64_MAX - PAGE + 1, 0 },
			{ FAR, UINT64_MAX, va, 0 },
			{ FAR, 1ULL << 63, va, 0 },
			{ FAR, PAGE, va, UINT64_MAX },
			{ FAR, PAGE, va, UINT64_MAX - PAGE + 1 },
			{ FAR, PAGE, va, 1ULL << 63 },
			/* more than the file has */
			{ FAR, 17 * PAGE, va, 0 },
			{ FAR, 16 * PAGE, va, PAGE },
			{ FAR, PAGE, va, 16 * PAGE },
			{ FAR, PAGE, va, 1ULL << 40 },
			/* the client's own once more */
			{ CLIENT_IOVA, PAGE, va, 0 },
			{ CLIENT_IOVA - 15 * PAGE, 16 * PAGE, va, 0 },
			{ CLIENT_IOVA + CLIENT_BYTES - PAGE, PAGE, va, 0 },
			{ FAR, PAGE, (uintptr_t)cl.mem.va, 0 },
			{ FAR, PAGE, (uintptr_t)cl.mem.va + PAGE, 0 },
		};

		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			int r = vu_add_region(&cl.vu, &bad[i], mem.fd);

			if (r != VU_REFUSED) {
				print_error("region %zu: %d\n", i, r);
			}
			assert_int_equal(r, VU_REFUSED);
		}
	}
	assert_true(blk_works(&cl));
}

/* The old table holds when the new one is refused. */
static void test_h66_tables_that_overlap(void **state)
{
	struct client cl;
	struct conf_mem mem;

	start(&cl, state);
	conf_product_only("others take them");
	mem = conf_memfd(cl.c, 16 * PAGE);
	{
		struct vu_region regions[] = {
			own_region(&cl),
			{ FAR, 8 * PAGE, (uintptr_t)mem.va, 0 },
			{ FAR + 7 * PAGE, 8 * PAGE,
			  (uintptr_t)mem.va + 8 * PAGE, 8 * PAGE },
		};
		const int fds[] = { cl.mem.fd, mem.fd, mem.fd };

		assert_int_equal(vu_set_table(&cl.vu, regions, fds, 3),
				 VU_REFUSED);
		assert_true(blk_works(&cl));
		assert_int_equal(io_at(&cl, BLK_T_IN, FAR, 512), BLK_S_IOERR);
	}
}

/* The count says one thing, size and descriptors another. */
static void test_h66_tables_whose_counts_differ(void **state)
{
	static const struct {
		uint32_t n, size;
		unsigned int n_fds;
	} bad[] = {
		{ 2, 8 + 32, 1 }, { 1, 8 + 64, 2 },	    { 1, 8, 1 },
		{ 0, 8, 1 },	  { 9, 8 + 8 * 32, 8 },	    { ~0U, 8 + 32, 1 },
		{ 2, 8 + 64, 1 }, { 0x8000000, 8 + 32, 1 }, { 1, 8 + 31, 1 },
	};
	struct client cl;
	struct vu_table table = { 0 };
	int fds[8];

	start(&cl, state);
	conf_product_only("others close the connection");
	for (unsigned int i = 0; i < 8; i++) {
		table.regions[i] = own_region(&cl);
		table.regions[i].gpa += i * FAR;
		table.regions[i].uaddr += i * FAR;
		fds[i] = cl.mem.fd;
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		table.n = bad[i].n;
		assert_int_equal(vu_tell(&cl.vu, VU_SET_MEM_TABLE, &table,
					 bad[i].size, fds, bad[i].n_fds),
				 VU_REFUSED);
	}
	assert_true(blk_works(&cl));
}

/* Descriptors of all kinds but memory. */
static void test_h66_descriptors_that_are_no_memory(void **state)
{
	struct client cl;
	struct vu_region region = { FAR, PAGE, FAR, 0 };
	int pipes[2], sockets[2], fds[7];

	start(&cl, state);
	conf_product_only("others close the connection");
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	fds[0] = conf_eventfd(cl.c, 0);
	fds[1] = pipes[0];
	fds[2] = pipes[1];
	fds[3] = sockets[0];
	fds[4] = sockets[1];
	fds[5] = conf_open(cl.c, "/", O_RDONLY | O_DIRECTORY);
	fds[6] = conf_open(cl.c, "/proc/self/maps", O_RDONLY);
	for (unsigned int i = 1; i < 5; i++) {
		conf_keep_fd(cl.c, fds[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		assert_int_equal(vu_add_region(&cl.vu, &region, fds[i]),
				 VU_REFUSED);
	}
	assert_true(blk_works(&cl));
}

static void test_h66_memory_that_may_not_be_written(void **state)
{
	struct client cl;
	struct vu_region region = { FAR, PAGE, FAR, 0 };
	char path[64];

	start(&cl, state);
	conf_product_only("others close the connection");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", cl.mem.fd);
	assert_int_equal(vu_add_region(&cl.vu, &region,
				       conf_open(cl.c, path, O_RDONLY)),
			 VU_REFUSED);
	assert_true(blk_works(&cl));
}

static void test_h66_removing_what_is_not_there(void **state)
{
	struct client cl;
	struct vu_region region;

	start(&cl, state);
	conf_product_only("others close the connection");
	region = own_region(&cl);
	region.gpa += PAGE;
	assert_int_equal(vu_rem_region(&cl.vu, &region), VU_REFUSED);
	region = own_region(&cl);
	region.size -= PAGE;
	assert_int_equal(vu_rem_region(&cl.vu, &region), VU_REFUSED);
	region = own_region(&cl);
	region.uaddr += PAGE;
	assert_int_equal(vu_rem_region(&cl.vu, &region), VU_REFUSED);
	assert_true(blk_works(&cl));
}

static void test_all_memory_is_released_at_the_end(void **state)
{
	struct client cl;
	struct conf_mem mem;
	struct vu_region region;

	start(&cl, state);
	mem = conf_memfd(cl.c, 16 * PAGE);
	region = region_of(&mem, FAR);
	assert_int_equal(vu_add_region(&cl.vu, &region, mem.fd), 0);
	expect_reached(&cl, FAR, mem.va, 4096);
	client_close(&cl);
	cl.c->n_mems--;
	assert_true(conf_is_released(&mem));
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_a_region_is_added_and_removed),
	CONF_TEST(test_a_region_with_an_offset),
	CONF_TEST(test_a_region_removed_with_a_descriptor),
	CONF_TEST(test_all_slots),
	CONF_TEST_BOTH(test_h14_a_buffer_across_regions),
	CONF_TEST(test_huge_pages),
	CONF_TEST_BOTH(test_a_table_is_replaced_while_the_ring_runs),
	CONF_TEST_BOTH(test_the_ring_itself_moves),
	CONF_TEST_BOTH(test_an_empty_table_stops_everything),
	CONF_TEST_BOTH(test_h33_the_table_changes_during_requests),
	CONF_TEST_BOTH(test_h32_the_file_is_cut_during_requests),
	CONF_TEST_BOTH(test_h32_the_rings_are_cut),
	CONF_TEST(test_h66_regions_that_cannot_be),
	CONF_TEST(test_h66_tables_that_overlap),
	CONF_TEST(test_h66_tables_whose_counts_differ),
	CONF_TEST(test_h66_descriptors_that_are_no_memory),
	CONF_TEST(test_h66_memory_that_may_not_be_written),
	CONF_TEST(test_h66_removing_what_is_not_there),
	CONF_TEST(test_all_memory_is_released_at_the_end),
};

TEST_MAIN("conformance/user_mem")
