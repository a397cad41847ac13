/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the relay on our own devices: what goes through it is what a client
 * without it would see.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "relay_rig.h"
#include "uapi/compat.h"

#define PACKED	 BIT_ULL(VIRTIO_F_RING_PACKED)
#define EVENT	 BIT_ULL(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER BIT_ULL(VIRTIO_F_IN_ORDER)

#define IN	     VIRTIO_BLK_T_IN
#define OUT	     VIRTIO_BLK_T_OUT
#define S_OK	     VIRTIO_BLK_S_OK
#define BUF	     (256U << 10)
#define NEEDS_RESET  VIRTIO_CONFIG_S_NEEDS_RESET
#define SMALL_DOMAIN DOMAIN_BYTES_MIN
#define DISK_KEYS    "capacity=16M"
#define N_PIECES_BIG 60
#define FRAME	     128
#define HDR	     12
#define RX_BYTES     1536

static const uint64_t rings[] = {
	0,
	EVENT | INDIRECT,
	PACKED,
	PACKED | EVENT | INDIRECT,
	IN_ORDER | EVENT,
	PACKED | IN_ORDER,
};

static void fill(char *buf, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		buf[i] = (char)(seed >> 24);
	}
}

static void assert_filled(const char *buf, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		if (buf[i] != (char)(seed >> 24)) {
			fail_msg("byte %zu of %zu differs", i, len);
		}
	}
}

/* ---- disks ---- */

static struct relay_rig *disk(uint64_t features, uint64_t domain_bytes)
{
	const struct relay_options options = { .domain_bytes = domain_bytes };
	struct relay_rig *rig =
		relay_rig_new(NULL, "vdpasim_blk", DISK_KEYS, &options);

	vclient_start(rig->c, features, 1, 128);
	return rig;
}

static void write_and_read(struct relay_rig *rig, char *buf)
{
	static const uint32_t lens[] = { 512, 1024, 4096, 5120, 65536, BUF };

	for (uint32_t i = 0; i < ARRAY_SIZE(lens); i++) {
		fill(buf, lens[i], i);
		assert_int_equal(vclient_blk(rig->c, 0, OUT, i * 1024, buf,
					     lens[i]),
				 S_OK);
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(lens); i++) {
		memset(buf, 0xee, BUF);
		assert_int_equal(vclient_blk(rig->c, 0, IN, i * 1024, buf,
					     lens[i]),
				 S_OK);
		assert_filled(buf, lens[i], i);
	}
}

static void test_relay_disk_in_every_ring_and_kind_of_memory(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3 * ARRAY_SIZE(rings); i++) {
		struct relay_rig *rig =
			relay_rig_new(NULL, "vdpasim_blk", DISK_KEYS, NULL);

		if (i % 3 > 0) {
			relay_rig_use_memory(rig, i % 3 == 1 ? REGION_OWN
							     : REGION_FOREIGN);
		}
		vclient_start(rig->c, rings[i / 3], 1, 64);
		write_and_read(rig, vclient_alloc(rig->c, BUF, 4096));
		assert_int_equal(relay_rig_stat(rig, 0, "bounce_faults"), 0);
		assert_int_equal(relay_rig_stat(rig, 0, "bounced_chains"), 12);
		relay_rig_free(rig);
	}
}

/* What the device does not do comes through, with the length it says. */
static void test_relay_disk_errors_come_through(void **state)
{
	struct relay_rig *rig = disk(0, 0);
	char *buf = vclient_alloc(rig->c, 4096, 4096);

	(void)state;
	memset(buf, 0xee, 4096);
	assert_int_equal(vclient_blk(rig->c, 0, IN, 0x8000, buf, 4096),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(vclient_blk(rig->c, 0, 0x4711, 0, buf, 512),
			 VIRTIO_BLK_S_IOERR);
	/* its data was not written: not with zeroes either */
	assert_int_equal(buf[0], (char)0xee);
	assert_int_equal(buf[4095], (char)0xee);
	relay_rig_free(rig);
}

/* Pieces of odd lengths, more than an indirect table of ours holds. */
static void run_pieces(uint64_t features)
{
	struct relay_rig *rig = disk(features, 0);
	struct virtio_blk_outhdr *hdr = vclient_alloc(rig->c, 16, 16);
	uint8_t *status = vclient_alloc(rig->c, 1, 1);
	char *buf = vclient_alloc(rig->c, BUF, 4096);
	struct vq_sg sg[N_PIECES_BIG + 2] = {
		{ vclient_iova(rig->c, hdr), 16 },
	};
	uint32_t off = 0;

	for (unsigned int i = 1; i <= N_PIECES_BIG; i++) {
		uint32_t len = i % 3 == 0 ? 1000 : i % 3 == 1 ? 24 : 4096;

		sg[i] = (struct vq_sg){ vclient_iova(rig->c, buf + off), len };
		off += len;
	}
	assert_int_equal(off % 512, 0);
	sg[N_PIECES_BIG + 1] =
		(struct vq_sg){ vclient_iova(rig->c, status), 1 };
	memset(hdr, 0, sizeof(*hdr));
	hdr->type = htole32(OUT);
	fill(buf, off, 7);
	vclient_add(rig->c, 0, sg, N_PIECES_BIG + 1, 1, hdr);
	assert_int_equal(vclient_run_one(rig->c, 0).written, 1);
	assert_int_equal(*status, S_OK);
	memset(buf, 0, off);
	hdr->type = htole32(IN);
	vclient_add(rig->c, 0, sg, 1, N_PIECES_BIG + 1, hdr);
	assert_int_equal(vclient_run_one(rig->c, 0).written, off + 1);
	assert_filled(buf, off, 7);
	relay_rig_free(rig);
}

static void test_relay_keeps_many_pieces(void **state)
{
	(void)state;
	run_pieces(0);
	run_pieces(PACKED);
}

/* More requests than the domain holds: those that find no room wait. */
#define N_LARGE	   24
#define LARGE	   (100U << 10)
#define LARGE_SECT (LARGE / 512)

struct large {
	struct virtio_blk_outhdr hdr;
	uint8_t status;
	char *data;
};

static void add_large(struct relay_rig *rig, struct large *req, uint32_t type,
		      uint64_t sector)
{
	struct vclient *c = rig->c;
	const struct vq_sg sg[] = {
		{ vclient_iova(c, &req->hdr), 16 },
		{ vclient_iova(c, req->data), LARGE },
		{ vclient_iova(c, &req->status), 1 },
	};

	req->hdr = (struct virtio_blk_outhdr){ .type = htole32(type),
					       .sector = htole64(sector) };
	req->status = 0xee;
	vclient_add(c, 0, sg, type == OUT ? 2 : 1, type == OUT ? 1 : 2, req);
}

static void run_large(struct relay_rig *rig, struct large *reqs, uint32_t type)
{
	struct vq_driver *drv = rig->c->q[0].drv;
	unsigned int n_done = 0;

	for (unsigned int i = 0; i < N_LARGE; i++) {
		add_large(rig, &reqs[i], type, (uint64_t)i * LARGE_SECT);
	}
	if (vq_driver_publish(drv)) {
		vclient_kick(rig->c, 0);
	}
	while (n_done < N_LARGE) {
		struct vq_used used;
		int n = vq_driver_get(drv, &used, 1);

		assert_in_range(n, 0, 1);
		if (n == 1) {
			assert_int_equal(((struct large *)used.cookie)->status,
					 S_OK);
			n_done++;
		} else if (!vq_driver_enable_call(drv)) {
			vclient_wait_call(rig->c, 0);
		}
	}
}

static void run_full(uint64_t features)
{
	struct relay_rig *rig = disk(features, SMALL_DOMAIN);
	struct large *reqs = vclient_alloc(rig->c, N_LARGE * sizeof(*reqs), 64);

	for (unsigned int i = 0; i < N_LARGE; i++) {
		reqs[i].data = vclient_alloc(rig->c, LARGE, 4096);
		fill(reqs[i].data, LARGE, i);
	}
	run_large(rig, reqs, OUT);
	for (unsigned int i = 0; i < N_LARGE; i++) {
		memset(reqs[i].data, 0, LARGE);
	}
	run_large(rig, reqs, IN);
	for (unsigned int i = 0; i < N_LARGE; i++) {
		assert_filled(reqs[i].data, LARGE, i);
	}
	assert_true(relay_rig_stat(rig, 0, "bounce_waits") > 0);
	assert_int_equal(relay_rig_stat(rig, 0, "bounced_chains"), 2 * N_LARGE);
	relay_rig_free(rig);
}

static void test_relay_waits_when_the_domain_is_full(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		run_full(rings[i]);
	}
}

/* What can never fit breaks the queue, and a reset mends it. */
static void test_relay_breaks_on_what_never_fits(void **state)
{
	struct relay_rig *rig = disk(0, SMALL_DOMAIN);
	char *buf = vclient_alloc(rig->c, 2U << 20, 4096);
	const struct vq_sg sg = { vclient_iova(rig->c, buf), 2U << 20 };

	(void)state;
	vclient_add(rig->c, 0, &sg, 1, 0, buf);
	(void)vq_driver_publish(rig->c->q[0].drv);
	vclient_kick(rig->c, 0);
	while (!(vclient_status(rig->c) & NEEDS_RESET)) {
	}
	assert_int_equal(relay_rig_stat(rig, 0, "bounce_breaks"), 1);
	vclient_reset(rig->c);
	assert_int_equal(vclient_status(rig->c), 0);
	vclient_start(rig->c, 0, 1, 64);
	write_and_read(rig, vclient_alloc(rig->c, BUF, 4096));
	relay_rig_free(rig);
}

/* A buffer that is not mapped: its request fails, the others go on. */
static void run_holes(uint64_t features)
{
	struct relay_rig *rig = disk(features, 0);
	struct virtio_blk_outhdr *hdr = vclient_alloc(rig->c, 16, 16);
	uint8_t *status = vclient_alloc(rig->c, 1, 1);
	struct vq_sg sg[] = {
		{ vclient_iova(rig->c, hdr), 16 },
		{ VCLIENT_IOVA + VCLIENT_MEM_BYTES - 256, 512 },
		{ vclient_iova(rig->c, status), 1 },
	};

	*hdr = (struct virtio_blk_outhdr){ .type = htole32(OUT) };
	for (unsigned int n_readable = 2; n_readable > 0; n_readable--) {
		*status = 0xee;
		vclient_add(rig->c, 0, sg, n_readable, 3 - n_readable, hdr);
		assert_int_equal(vclient_run_one(rig->c, 0).written, 1);
		assert_int_equal(*status, VIRTIO_BLK_S_IOERR);
		hdr->type = htole32(IN);
	}
	assert_int_equal(relay_rig_stat(rig, 0, "bounce_faults"), 2);
	write_and_read(rig, vclient_alloc(rig->c, BUF, 4096));
	relay_rig_free(rig);
}

static void test_relay_fails_what_is_not_mapped(void **state)
{
	(void)state;
	run_holes(0);
	run_holes(PACKED);
}

/* A file, so that there is a cache to write through. */
static void test_relay_passes_what_is_written_to_config(void **state)
{
	char path[] = "/tmp/vdpakit-relay-XXXXXX", keys[128];
	struct virtio_blk_config config = { 0 };
	int fd = mkstemp(path);
	struct relay_rig *rig;
	uint32_t size;

	(void)state;
	assert_int_not_equal(fd, -1);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	(void)snprintf(keys, sizeof(keys), "backend=file path=%s", path);
	rig = relay_rig_new(NULL, "blk", keys, NULL);
	vclient_must(rig->c, VHOST_VDPA_GET_CONFIG_SIZE, &size);
	assert_int_equal(size, 72);
	vclient_start(rig->c, BIT_ULL(VIRTIO_BLK_F_CONFIG_WCE), 1, 64);
	vclient_get_config(rig->c, &config, size);
	assert_int_equal(le64toh(config.capacity), 2048);
	assert_int_equal(config.wce, 1);
	config.wce = 0;
	vclient_set_config(rig->c, &config, size);
	vclient_get_config(rig->c, &config, size);
	assert_int_equal(config.wce, 0);
	relay_rig_free(rig);
	unlink(path);
	close(fd);
}

static void test_relay_passes_config_interrupts(void **state)
{
	const struct sim_options options = { .seed = 1 };
	struct vdpa_dev_config config = { .n_params = 1 };
	struct virtio_blk_config now = { 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct relay_rig *rig;
	struct sim *sim;
	uint64_t n;

	(void)state;
	assert_int_equal(sim_new(&options, &sim), 0);
	rig = relay_rig_new(sim, "blk", "backend=mem capacity=16M", NULL);
	vclient_must(rig->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	vclient_start(rig->c, 0, 1, 64);
	strcpy(config.params[0].key, "capacity");
	strcpy(config.params[0].value, "32M");
	assert_int_equal(vdpa_dev_set(rig->w->bus, "low0", &config), 0);
	assert_int_equal(sim_run(sim, UINT64_MAX, NULL, NULL), 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	vclient_get_config(rig->c, &now, 60);
	assert_int_equal(le64toh(now.capacity), 0x10000);
	relay_rig_free(rig);
	sim_free(sim);
	close(fd);
}

/* ---- networks ---- */

static void post_rx(struct relay_rig *rig, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		char *buf = vclient_alloc(rig->c, RX_BYTES, 64);
		const struct vq_sg sg = { vclient_iova(rig->c, buf), RX_BYTES };

		memset(buf, 0xee, RX_BYTES);
		vclient_add(rig->c, 0, &sg, 0, 1, buf);
	}
	if (vq_driver_publish(rig->c->q[0].drv)) {
		vclient_kick(rig->c, 0);
	}
}

/* Until the device below has all of these buffers: nothing is told of that. */
static void wait_until_forwarded(struct relay_rig *rig, unsigned int n)
{
	while (relay_rig_stat(rig, 0, "bounced_chains") < n) {
		vclient_kick(rig->c, 0);
	}
}

/* Sends a frame to all and finds it in the next receive buffer. */
static void send_and_receive(struct relay_rig *rig, uint32_t seed)
{
	char *buf = vclient_alloc(rig->c, HDR + FRAME, 64), *got;
	const struct vq_sg sg = { vclient_iova(rig->c, buf), HDR + FRAME };
	struct vq_used used;

	memset(buf, 0, HDR);
	fill(buf + HDR, FRAME, seed);
	memset(buf + HDR, 0xff, 6);
	vclient_add(rig->c, 1, &sg, 1, 0, buf);
	assert_int_equal(vclient_run_one(rig->c, 1).written, 0);
	used = vclient_run_one(rig->c, 0);
	assert_int_equal(used.written, HDR + FRAME);
	got = used.cookie;
	assert_memory_equal(got + HDR, buf + HDR, FRAME);
	assert_int_equal(got[HDR + FRAME], (char)0xee);
}

static void test_relay_net_in_every_ring(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		struct relay_rig *rig =
			relay_rig_new(NULL, "vdpasim_net", "", NULL);

		vclient_start(rig->c, rings[i], 2, 64);
		post_rx(rig, 60);
		wait_until_forwarded(rig, 60);
		for (uint32_t k = 0; k < 50; k++) {
			send_and_receive(rig, k);
		}
		assert_int_equal(relay_rig_stat(rig, 0, "bounce_breaks"), 0);
		relay_rig_free(rig);
	}
}

/* Receive buffers may wait for ever: no more than their queue's part of the
 * domain is theirs, and what is sent finds room. */
static void test_relay_buffers_leave_room_for_others(void **state)
{
	const struct relay_options options = { .domain_bytes = SMALL_DOMAIN };
	struct relay_rig *rig =
		relay_rig_new(NULL, "vdpasim_net", "", &options);

	(void)state;
	vclient_start(rig->c, EVENT, 2, 1024);
	for (unsigned int i = 0; i < 1024; i++) {
		post_rx(rig, 1);
	}
	for (uint32_t k = 0; k < 40; k++) {
		send_and_receive(rig, k);
	}
	assert_true(relay_rig_stat(rig, 0, "bounce_waits") > 0);
	assert_in_range(relay_rig_stat(rig, 0, "bounced_chains"), 41, 600);
	relay_rig_free(rig);
}

/* Stops that take receive buffers back: none is lost, and none is used. */
static void run_stops(uint64_t features)
{
	struct relay_rig *rig = relay_rig_new(NULL, "vdpasim_net", "", NULL);
	struct vhost_vring_state base = { .index = 0 };
	struct vq_used used;

	vclient_start(rig->c, features, 2, 64);
	post_rx(rig, 60);
	wait_until_forwarded(rig, 60);
	send_and_receive(rig, 1);
	vclient_must(rig->c, VHOST_VDPA_SUSPEND, NULL);
	assert_int_equal(vq_driver_get(rig->c->q[0].drv, &used, 1), 0);
	vclient_must(rig->c, VHOST_GET_VRING_BASE, &base);
	assert_int_equal(base.num & 0x7fff, 1);
	vclient_must(rig->c, VHOST_VDPA_RESUME, NULL);
	wait_until_forwarded(rig, 60 + 59);
	send_and_receive(rig, 2);
	vclient_save(rig->c);
	assert_int_equal(rig->c->q[0].base & 0x7fff, 2);
	vclient_restore(rig->c);
	wait_until_forwarded(rig, 60 + 59 + 58);
	send_and_receive(rig, 3);
	vclient_set_status(rig->c, 0);
	assert_int_equal(vq_driver_get(rig->c->q[0].drv, &used, 1), 0);
	relay_rig_free(rig);
}

static void test_relay_takes_buffers_back_when_it_stops(void **state)
{
	(void)state;
	run_stops(0);
	run_stops(PACKED);
	run_stops(IN_ORDER);
}

/* With receive buffers below, a map that changes waits for nothing, and what
 * is not mapped any more is not written. */
static void run_unmap(uint64_t features)
{
	struct relay_rig *rig = relay_rig_new(NULL, "vdpasim_net", "", NULL);
	const uint64_t half = VCLIENT_MEM_BYTES / 2;
	char *buf;

	vclient_start(rig->c, features, 2, 64);
	rig->c->next_free = half;
	post_rx(rig, 4);
	wait_until_forwarded(rig, 4);
	rig->c->next_free = half / 2;
	assert_int_equal(vclient_iotlb(rig->c, 0, VHOST_IOTLB_INVALIDATE, 0,
				       UINT64_MAX, NULL, 0),
			 72);
	assert_int_equal(vclient_iotlb(rig->c, 0, VHOST_IOTLB_UPDATE,
				       VCLIENT_IOVA, half, rig->c->mem,
				       VHOST_ACCESS_RW),
			 72);
	buf = vclient_alloc(rig->c, HDR + FRAME, 64);
	memset(buf, 0xff, HDR + FRAME);
	vclient_add(rig->c, 1,
		    &(struct vq_sg){ vclient_iova(rig->c, buf), HDR + FRAME },
		    1, 0, buf);
	assert_int_equal(vclient_run_one(rig->c, 1).written, 0);
	assert_int_equal(vclient_run_one(rig->c, 0).written, 0);
	for (uint64_t i = 0; i < 4 * RX_BYTES; i++) {
		assert_int_equal(rig->c->mem[half + i], (char)0xee);
	}
	assert_int_equal(relay_rig_stat(rig, 0, "bounce_faults"), 1);
	relay_rig_free(rig);
}

static void test_relay_writes_by_the_newest_map(void **state)
{
	(void)state;
	run_unmap(0);
	run_unmap(PACKED);
}

/* One queue alone: what the device below still has is not the queue's. */
static void test_relay_queue_stops_alone(void **state)
{
	struct relay_rig *rig = relay_rig_new(NULL, "vdpasim_net", "", NULL);
	struct vhost_vring_state s = { .index = 0, .num = 0 };
	char *buf;

	(void)state;
	vclient_start(rig->c, 0, 2, 64);
	post_rx(rig, 8);
	wait_until_forwarded(rig, 8);
	vclient_must(rig->c, VHOST_VDPA_SET_VRING_ENABLE, &s);
	buf = vclient_alloc(rig->c, HDR + FRAME, 64);
	memset(buf, 0xff, HDR + FRAME);
	for (unsigned int i = 0; i < 3; i++) { /* of which it has 8 */
		vclient_add(rig->c, 1,
			    &(struct vq_sg){ vclient_iova(rig->c, buf),
					     HDR + FRAME },
			    1, 0, buf);
		(void)vclient_run_one(rig->c, 1);
	}
	vclient_must(rig->c, VHOST_GET_VRING_BASE, &s);
	assert_int_equal(s.num, 0);
	s.num = 1;
	vclient_must(rig->c, VHOST_VDPA_SET_VRING_ENABLE, &s);
	wait_until_forwarded(rig, 16);
	for (unsigned int i = 0; i < 5; i++) { /* those it still had */
		vclient_add(rig->c, 1,
			    &(struct vq_sg){ vclient_iova(rig->c, buf),
					     HDR + FRAME },
			    1, 0, buf);
		(void)vclient_run_one(rig->c, 1);
	}
	send_and_receive(rig, 9);
	relay_rig_free(rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_relay_disk_in_every_ring_and_kind_of_memory),
	cmocka_unit_test(test_relay_disk_errors_come_through),
	cmocka_unit_test(test_relay_keeps_many_pieces),
	cmocka_unit_test(test_relay_waits_when_the_domain_is_full),
	cmocka_unit_test(test_relay_breaks_on_what_never_fits),
	cmocka_unit_test(test_relay_fails_what_is_not_mapped),
	cmocka_unit_test(test_relay_passes_what_is_written_to_config),
	cmocka_unit_test(test_relay_passes_config_interrupts),
	cmocka_unit_test(test_relay_net_in_every_ring),
	cmocka_unit_test(test_relay_buffers_leave_room_for_others),
	cmocka_unit_test(test_relay_takes_buffers_back_when_it_stops),
	cmocka_unit_test(test_relay_writes_by_the_newest_map),
	cmocka_unit_test(test_relay_queue_stops_alone),
};

TEST_MAIN("dev_relay")
