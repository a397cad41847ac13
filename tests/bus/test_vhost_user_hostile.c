/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vhost-user bus driver against front ends that do whatever they
 * like: any message in any state, of any size, with any descriptors, in any
 * number of pieces, or not at all. What must hold: the next front end is
 * served, and no descriptor, region or mapping is left behind.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/unix.h"
#include "lib/test.h"
#include "lib/vfront.h"

struct fixture {
	struct vfront_world *fw;
	struct sim *sim;
	struct vfront *f;
	unsigned int n_fds;
};

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static int set_up_with(void **state, struct sim *sim)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	log_set_sink(drop_line, LOG_LEVEL_DEBUG);
	fx->sim = sim;
	fx->n_fds = test_count_fds();
	fx->fw = vfront_world_new(sim, 1);
	vworld_add(fx->fw->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	assert_int_equal(vfront_bind(fx->fw, "b0", NULL, NULL), 0);
	fx->f = vfront_connect(fx->fw);
	*state = fx;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, NULL);
}

static int set_up_sim(void **state)
{
	const struct sim_options options = { .seed = 1 };
	struct sim *sim;

	assert_int_equal(sim_new(&options, &sim), 0);
	return set_up_with(state, sim);
}

static void connect_anew(struct fixture *fx)
{
	vfront_close(fx->f);
	fx->f = vfront_connect(fx->fw);
}

/* A front end that behaves is served from beginning to end. */
static void check_alive(struct fixture *fx)
{
	char *data;

	connect_anew(fx);
	vfront_start(fx->f, 0, 1, 8);
	data = vfront_alloc(fx->f, 512, 512);
	assert_int_equal(vfront_blk(fx->f, 0, VIRTIO_BLK_T_IN, 0, data, 512),
			 VIRTIO_BLK_S_OK);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;
	struct region_stats stats;

	check_alive(fx);
	vfront_close(fx->f);
	vfront_world_free(fx->fw);
	sim_free(fx->sim);
	region_get_stats(&stats);
	assert_int_equal(stats.n_regions[REGION_MAPPED], 0);
	assert_int_equal(test_count_fds(), fx->n_fds);
	log_set_sink(NULL, LOG_LEVEL_WARN);
	free(fx);
	return 0;
}

/* Sends raw bytes; the other end may close meanwhile. */
static void send_raw(struct vfront *f, const void *buf, size_t len)
{
	ssize_t n = send(f->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	assert_true(n == (ssize_t)len || errno == EPIPE || errno == ECONNRESET);
}

/* ---- sizes and pieces ---- */

static void test_h63_every_request_with_every_size(void **state)
{
	static const uint32_t sizes[] = { 0,   1,   7,	  8,	     9,
					  12,  20,  26,	  39,	     40,
					  41,  64,  255,  264,	     265,
					  268, 269, 4096, UINT32_MAX };
	struct fixture *fx = *state;
	static char payload[4096];

	for (uint32_t request = 0; request < VHOST_USER_REQUEST_N + 2;
	     request++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			const struct vhost_user_header hdr = {
				request, VHOST_USER_VERSION, sizes[i]
			};

			connect_anew(fx);
			vfront_negotiate(fx->f, 0);
			send_raw(fx->f, &hdr, sizeof(hdr));
			send_raw(fx->f, payload,
				 min_of((size_t)sizes[i], sizeof(payload)));
			shutdown(fx->f->fd, SHUT_WR);
			vfront_expect_end(fx->f);
		}
	}
}

static void test_h63_one_byte_at_a_time(void **state)
{
	struct fixture *fx = *state;
	struct {
		struct vhost_user_header hdr;
		uint64_t u64;
	} __attribute__((packed)) msg = {
		{ VHOST_USER_SET_STATUS,
		  VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, 8 },
		1,
	};
	struct vfront_msg reply;

	vfront_negotiate(fx->f, 0);
	for (size_t i = 0; i < sizeof(msg); i++) {
		send_raw(fx->f, (char *)&msg + i, 1);
		/* each is looked at before the next one comes */
		vfront_run(fx->fw, 1000);
	}
	assert_int_equal(vfront_recv(fx->f, &reply), 0);
	assert_int_equal(reply.payload.u64, 0);
	assert_int_equal(vfront_get(fx->f, VHOST_USER_GET_STATUS), 1);
}

static void test_h63_wrong_flags_end_the_connection(void **state)
{
	static const uint32_t flags[] = { 0, 2, 3, 1 | VHOST_USER_REPLY_FLAG };
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct vhost_user_header hdr = { VHOST_USER_GET_FEATURES,
						       flags[i], 0 };

		connect_anew(fx);
		send_raw(fx->f, &hdr, sizeof(hdr));
		vfront_expect_end(fx->f);
	}
}

/* ---- descriptors ---- */

static void test_h62_every_request_with_every_number_of_fds(void **state)
{
	struct fixture *fx = *state;
	static const uint64_t payload[33];
	int fds[8];

	for (int i = 0; i < 8; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC);
	}
	for (uint32_t request = 1; request < VHOST_USER_REQUEST_N; request++) {
		for (unsigned int n = 0; n <= 8; n++) {
			connect_anew(fx);
			vfront_negotiate(fx->f, 0);
			(void)vfront_send(fx->f, request, VHOST_USER_NEED_REPLY,
					  payload, 8, fds, n);
			(void)vfront_sync(fx->f);
		}
	}
	for (int i = 0; i < 8; i++) {
		close(fds[i]);
	}
}

/* Eight with the header, eight more with the payload. */
static void test_h62_surplus_fds_end_the_connection(void **state)
{
	struct fixture *fx = *state;
	const struct vhost_user_header hdr = { VHOST_USER_SET_MEM_TABLE,
					       VHOST_USER_VERSION, 264 };
	char payload[264] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)&hdr, sizeof(hdr) };
	struct fd_msg m = { .iov = &iov, .n_iov = 1, .n_fds = 8 };

	for (int i = 0; i < 8; i++) {
		m.fds[i] = fx->f->memfd;
	}
	assert_int_equal(fd_send(fx->f->fd, &m, 0), sizeof(hdr));
	iov = (struct iovec){ payload, sizeof(payload) };
	assert_int_equal(fd_send(fx->f->fd, &m, 0), sizeof(payload));
	vfront_expect_end(fx->f);
}

static void test_h62_wrong_kinds_of_fds(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_SET_VRING_KICK,
					     VHOST_USER_SET_VRING_CALL,
					     VHOST_USER_SET_VRING_ERR };
	struct fixture *fx = *state;
	const uint64_t idx = 0;
	int pair[2];

	vfront_negotiate(fx->f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		assert_int_equal(vfront_ack(fx->f, requests[i], &idx, 8,
					    &fx->f->memfd, 1),
				 1);
		/* a descriptor and the word that there is none */
		assert_int_equal(vfront_ack_u64(fx->f, requests[i], idx), 1);
	}
	/* what cannot be left unread is no kick */
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(vfront_ack(fx->f, requests[0], &idx, 8, pair, 1), 1);
	close(pair[0]);
	close(pair[1]);
}

/* ---- the memory table ---- */

static int send_table(struct fixture *fx, struct vhost_user_mem_table *t,
		      const int *fds, unsigned int n_fds)
{
	return vfront_ack(fx->f, VHOST_USER_SET_MEM_TABLE, t, sizeof(*t), fds,
			  n_fds);
}

static void test_h66_regions_that_make_no_sense(void **state)
{
	static const struct vhost_user_mem_table rows[] = {
		/* size 0; wraps; offset beyond; beyond the file's end */
		{ 1, 0, { { 0, 0, 0, 0 } } },
		{ 1, 0, { { UINT64_MAX - 4095, 8192, 0, 0 } } },
		{ 1, 0, { { 0, 8192, UINT64_MAX - 4095, 0 } } },
		{ 1, 0, { { 0, 4096, 0, UINT64_MAX - 4095 } } },
		{ 1, 0, { { 0, 4096, 0, 1ULL << 62 } } },
		{ 1, 0, { { 0, UINT64_MAX, 0, 0 } } },
		{ 1, 0, { { 0, VFRONT_MEM_BYTES + 1, 0, 0 } } },
		{ 1, 0, { { 0, 4096, 0, VFRONT_MEM_BYTES } } },
		/* too many, or too few */
		{ 9, 0, { { 0, 4096, 0, 0 } } },
		{ 2, 0, { { 0, 4096, 0, 0 }, { 8192, 4096, 8192, 0 } } },
		{ UINT32_MAX, 0, { { 0, 4096, 0, 0 } } },
		{ 0, 0, { { 0, 4096, 0, 0 } } },
	};
	struct fixture *fx = *state;

	vfront_negotiate(fx->f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vhost_user_mem_table t = rows[i];

		assert_int_equal(send_table(fx, &t, &fx->f->memfd, 1), 1);
	}
}

static void test_h66_regions_that_overlap(void **state)
{
	struct fixture *fx = *state;
	const int fds[2] = { fx->f->memfd, fx->f->memfd };
	struct vhost_user_mem_table t = {
		2, 0, { { 0, 8192, 0, 0 }, { 4096, 8192, 65536, 0 } }
	};

	vfront_negotiate(fx->f, 0);
	assert_int_equal(send_table(fx, &t, fds, 2), 1);
	t.regions[1] = (struct vhost_user_region){ 65536, 8192, 4096, 0 };
	assert_int_equal(send_table(fx, &t, fds, 2), 1);
	t.regions[1].user_addr = 8192;
	assert_int_equal(send_table(fx, &t, fds, 2), 0);
}

static void test_h66_files_that_cannot_be_mapped(void **state)
{
	struct fixture *fx = *state;
	struct vhost_user_mem_table t = { 1, 0, { { 0, 4096, 0, 0 } } };
	int fds[2], event = eventfd(0, EFD_CLOEXEC);
	char proc[32];
	int ro;

	vfront_negotiate(fx->f, 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(send_table(fx, &t, &fds[0], 1), 1);
	assert_int_equal(send_table(fx, &t, &event, 1), 1);
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fx->f->memfd);
	ro = open(proc, O_RDONLY | O_CLOEXEC);
	assert_int_equal(send_table(fx, &t, &ro, 1), 1);
	close(fds[0]);
	close(fds[1]);
	close(event);
	close(ro);
}

/* H32: the file shrinks below a running ring; only that ring suffers. */
static void test_h32_memory_that_shrinks(void **state)
{
	struct fixture *fx = *state;
	const uint64_t one = 1;

	vfront_start(fx->f, 0, 1, 8);
	assert_int_equal(ftruncate(fx->f->memfd, 0), 0);
	assert_int_equal(write(fx->f->q[0].kick_fd, &one, 8), 8);
	assert_int_equal(vfront_sync(fx->f), 0);
	assert_int_equal(ftruncate(fx->f->memfd, VFRONT_MEM_BYTES), 0);
	vfront_get_base(fx->f, 0);
}

/* ---- rings ---- */

static void test_h60_ring_indexes_and_sizes_out_of_range(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_SET_VRING_NUM,
					     VHOST_USER_SET_VRING_BASE,
					     VHOST_USER_SET_VRING_ENABLE };
	static const uint32_t idx[] = { 1, 255, 256, 65536, UINT32_MAX };
	static const uint32_t nums[] = { 0, 1025, 32768, 65536, UINT32_MAX };
	struct fixture *fx = *state;

	vfront_negotiate(fx->f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(idx); j++) {
			assert_int_equal(vfront_ack_state(fx->f, requests[i],
							  idx[j], 1),
					 1);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(nums); i++) {
		assert_int_equal(vfront_ack_state(fx->f,
						  VHOST_USER_SET_VRING_NUM, 0,
						  nums[i]),
				 1);
	}
	assert_int_equal(
		vfront_ack_state(fx->f, VHOST_USER_SET_VRING_ENABLE, 0, 2), 1);
}

static void test_h69_everything_about_a_ring_that_runs(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;

	vfront_start(f, 0, 1, 8);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_NUM, 0, 16),
			 1);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_NUM, 0, 8),
			 0);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_BASE, 0, 4),
			 1);
	/* started twice, enabled twice, stopped twice */
	vfront_set_kick(f, 0);
	vfront_set_kick(f, 0);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	assert_int_equal(vfront_get_base(f, 0), 0);
	assert_int_equal(vfront_get_base(f, 0), 0);
}

static void test_h69_a_ring_at_addresses_of_nobody(void **state)
{
	static const uint64_t where[] = { 0, VFRONT_UADDR - 65536,
					  VFRONT_UADDR + VFRONT_MEM_BYTES,
					  UINT64_MAX - 65535 };
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	const uint64_t idx = 0;

	vfront_negotiate(f, 0);
	assert_int_equal(vfront_set_memory(f), 0);
	vfront_make_queue(f, 0, 8);
	assert_int_equal(vfront_ack_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		vfront_set_addr(f, 0, where[i]);
		assert_int_equal(vfront_ack(f, VHOST_USER_SET_VRING_KICK, &idx,
					    8, &f->q[0].kick_fd, 1),
				 1);
		(void)vfront_get_base(f, 0);
	}
}

static void test_h71_status_bits_out_of_order(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	uint64_t offered = vfront_get(f, VHOST_USER_GET_FEATURES);
	uint64_t all = UINT64_MAX;

	vfront_negotiate(f, 0);
	connect_anew(fx);
	f = fx->f;
	f->protocol_features = vfront_get(f, VHOST_USER_GET_PROTOCOL_FEATURES);
	assert_int_equal(vfront_send(f, VHOST_USER_SET_PROTOCOL_FEATURES, 0,
				     &f->protocol_features, 8, NULL, 0),
			 0);
	/* FEATURES_OK without features is not taken */
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_STATUS, 0xb), 0);
	assert_int_equal(vfront_get(f, VHOST_USER_GET_STATUS), 0x3);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_FEATURES, ~offered),
			 1);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_FEATURES, all), 1);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_STATUS, 0x1), 1);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_STATUS, 0x103), 1);
	assert_int_equal(vfront_ack_u64(f, VHOST_USER_SET_STATUS, 0x43), 0);
	assert_int_equal(vfront_get(f, VHOST_USER_GET_STATUS), 0x3);
	assert_int_equal(
		vfront_ack_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES, all), 1);
}

static void test_h61_config_out_of_range(void **state)
{
	struct fixture *fx = *state;
	struct vhost_user_config c = { .size = 4 };
	static const struct {
		uint32_t offset, size, flags, bytes;
	} rows[] = {
		{ 0, 4, 2, 16 },	  { 0, 5, 0, 16 },
		{ 0, 0, 0, 12 },	  { 257, 4, 0, 16 },
		{ UINT32_MAX, 4, 0, 16 }, { 4, UINT32_MAX, 0, 16 },
		{ 255, 4, 0, 16 },
	};

	vfront_negotiate(fx->f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vfront_msg msg;

		c.offset = rows[i].offset;
		c.size = rows[i].size;
		c.flags = rows[i].flags;
		assert_int_equal(vfront_ack(fx->f, VHOST_USER_SET_CONFIG, &c,
					    rows[i].bytes, NULL, 0),
				 1);
		if (rows[i].flags != 0) {
			continue;
		}
		assert_int_equal(vfront_send(fx->f, VHOST_USER_GET_CONFIG, 0,
					     &c, rows[i].bytes, NULL, 0),
				 0);
		assert_int_equal(vfront_recv(fx->f, &msg), 0);
		assert_int_equal(msg.hdr.size, 0);
	}
}

static void test_error_without_acknowledgement_ends_the_connection(void **state)
{
	struct fixture *fx = *state;
	const struct vhost_vring_state s = { 99, 8 };

	vfront_negotiate(fx->f, 0);
	assert_int_equal(vfront_send(fx->f, VHOST_USER_SET_VRING_NUM, 0, &s,
				     sizeof(s), NULL, 0),
			 0);
	vfront_expect_end(fx->f);
	connect_anew(fx);
	/* a flag that was not agreed on asks for nothing */
	assert_int_equal(vfront_send(fx->f, VHOST_USER_SET_VRING_NUM,
				     VHOST_USER_NEED_REPLY, &s, sizeof(s), NULL,
				     0),
			 0);
	vfront_expect_end(fx->f);
}

/* ---- a walk through everything ---- */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Numbers that are near to something. */
static uint64_t interesting(uint64_t *seed)
{
	static const uint64_t values[] = {
		0,
		1,
		2,
		8,
		16,
		255,
		256,
		4096,
		65535,
		65536,
		1ULL << 31,
		UINT32_MAX,
		1ULL << 32,
		VFRONT_GPA,
		VFRONT_UADDR,
		VFRONT_UADDR + 4096,
		VFRONT_MEM_BYTES,
		1ULL << 63,
		UINT64_MAX,
	};

	return values[next_random(seed) % ARRAY_SIZE(values)] +
	       next_random(seed) % 3 - 1;
}

static void send_anything(struct vfront *f, uint64_t *seed, const int *fds)
{
	uint32_t request = next_random(seed) % VHOST_USER_REQUEST_N;
	static const uint32_t sizes[] = { 0, 8, 8, 8, 8, 12, 16, 40, 40, 264 };
	uint32_t size = sizes[next_random(seed) % ARRAY_SIZE(sizes)];
	uint32_t flags = next_random(seed) % 4 ? VHOST_USER_NEED_REPLY : 0;
	unsigned int n_fds = next_random(seed) % 4 ? 0 : next_random(seed) % 3;
	union {
		uint64_t u64[33];
		uint32_t u32[66];
	} payload;
	int some[2];

	for (int i = 0; i < 33; i++) {
		payload.u64[i] = interesting(seed);
	}
	if (next_random(seed) % 2) {
		payload.u32[0] = 0; /* a ring that there is */
	}
	for (int i = 0; i < 2; i++) {
		some[i] = fds[next_random(seed) % 4];
	}
	if (next_random(seed) % 3 == 0) {
		payload.u64[1] = VFRONT_MEM_BYTES / 2;
		payload.u64[4] = 0;
	}
	(void)vfront_send(f, request, flags, &payload, size, some, n_fds);
}

static void test_h64_random_walk(void **state)
{
	struct fixture *fx = *state;
	uint64_t seed = 0x9e3779b97f4a7c15ULL;
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	for (int round = 0; round < 300; round++) {
		int fds[4];

		connect_anew(fx);
		fds[0] = fx->f->memfd;
		fds[1] = event;
		fds[2] = event;
		fds[3] = fx->f->fd;
		if (round % 4 == 1) {
			vfront_negotiate(fx->f, 0);
		} else if (round % 4 > 1) {
			vfront_start(fx->f,
				     round % 4 == 2
					     ? 0
					     : BIT_ULL(VIRTIO_F_RING_PACKED),
				     1, 8);
		}
		for (int i = 0; i < 40; i++) {
			send_anything(fx->f, &seed, fds);
			if (vfront_sync(fx->f) < 0) {
				break;
			}
		}
	}
	close(event);
}

/* ---- connections ---- */

static void test_h70_a_thousand_connections(void **state)
{
	struct fixture *fx = *state;
	unsigned int before = test_count_fds();

	for (int i = 0; i < 1000; i++) {
		connect_anew(fx);
		if (i % 3 == 0) {
			assert_int_equal(vfront_sync(fx->f), 0);
		} else if (i % 3 == 1) {
			send_raw(fx->f, "\1\0\0\0\1", 5);
		}
	}
	assert_int_equal(vfront_sync(fx->f), 0);
	assert_in_range(test_count_fds(), 1, before + 3);
}

/* Virtual time: a message that is never finished. */
static void test_h70_half_a_message_meets_its_deadline(void **state)
{
	struct fixture *fx = *state;
	const struct vhost_user_header hdr = { VHOST_USER_SET_FEATURES,
					       VHOST_USER_VERSION, 8 };

	send_raw(fx->f, &hdr, sizeof(hdr));
	vfront_expect_end(fx->f);
	connect_anew(fx);
	send_raw(fx->f, &hdr, 3);
	vfront_expect_end(fx->f);
}

static void test_h70_a_silent_one_makes_way(void **state)
{
	struct fixture *fx = *state;
	struct vfront *second;

	vfront_run(fx->fw, 100000000); /* it is connected, and too new */
	second = vfront_connect(fx->fw);
	vfront_expect_end(second);
	vfront_close(second);
	vfront_run(fx->fw, 2000000000);
	second = vfront_connect(fx->fw);
	assert_int_equal(vfront_sync(second), 0);
	vfront_expect_end(fx->f);
	vfront_close(second);
}

/* It asks, and never takes the answers. */
static void test_h70_answers_that_nobody_reads(void **state)
{
	struct fixture *fx = *state;
	const struct vhost_user_header hdr = { VHOST_USER_GET_FEATURES,
					       VHOST_USER_VERSION, 0 };
	int small = 1, n = 0;

	assert_int_equal(setsockopt(fx->f->fd, SOL_SOCKET, SO_RCVBUF, &small,
				    sizeof(small)),
			 0);
	while (send(fx->f->fd, &hdr, sizeof(hdr), MSG_DONTWAIT | MSG_NOSIGNAL) >
	       0) {
		if (++n % 100 == 0) {
			vfront_run(fx->fw, 10000000);
		}
		assert_true(n < 1000000);
	}
	vfront_run(fx->fw, 10000000000);
	assert_int_equal(send(fx->f->fd, &hdr, sizeof(hdr),
			      MSG_DONTWAIT | MSG_NOSIGNAL),
			 -1);
	assert_int_equal(errno, EPIPE);
}

static void test_h73_a_front_end_that_is_killed(void **state)
{
	struct fixture *fx = *state;

	for (int i = 0; i < 20; i++) {
		pid_t pid;

		connect_anew(fx);
		vfront_start(fx->f, 0, 1, 8);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			for (;;) {
				(void)!write(fx->f->q[0].kick_fd,
					     (const uint64_t[]){ 1 }, 8);
			}
		}
		close(fx->f->fd); /* the child has the only one */
		fx->f->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define S(f) cmocka_unit_test_setup_teardown(f, set_up_sim, tear_down)

static const struct CMUnitTest tests[] = {
	/* first: for each test cmocka puts a handler of its own over ours */
	T(test_h32_memory_that_shrinks),
	T(test_h63_every_request_with_every_size),
	T(test_h63_one_byte_at_a_time),
	T(test_h63_wrong_flags_end_the_connection),
	T(test_h62_every_request_with_every_number_of_fds),
	T(test_h62_surplus_fds_end_the_connection),
	T(test_h62_wrong_kinds_of_fds),
	T(test_h66_regions_that_make_no_sense),
	T(test_h66_regions_that_overlap),
	T(test_h66_files_that_cannot_be_mapped),
	T(test_h60_ring_indexes_and_sizes_out_of_range),
	T(test_h69_everything_about_a_ring_that_runs),
	T(test_h69_a_ring_at_addresses_of_nobody),
	T(test_h71_status_bits_out_of_order),
	T(test_h61_config_out_of_range),
	T(test_error_without_acknowledgement_ends_the_connection),
	T(test_h64_random_walk),
	T(test_h70_a_thousand_connections),
	S(test_h70_half_a_message_meets_its_deadline),
	S(test_h70_a_silent_one_makes_way),
	S(test_h70_answers_that_nobody_reads),
	T(test_h73_a_front_end_that_is_killed),
};

TEST_MAIN("vhost_user_hostile")
