/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio net driver: offloads, commands, and devices that lie, on
 * a toy device. HOSTILE.md: H40 to H47 from the driver's side, H82 to H84.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "bus/toy_nic.h"
#include "lib/oom.h"
#include "lib/test.h"
#include "uapi/compat.h"
#include "virtio/virtqueue.h"

#define NET(name) BIT_ULL(VIRTIO_NET_F_##name)
#define BASIC	  (NET(MAC) | NET(STATUS) | NET(MTU) | NET(MRG_RXBUF))
#define OFFLOADS                                                           \
	(NET(CSUM) | NET(GUEST_CSUM) | NET(HOST_TSO4) | NET(HOST_TSO6) |   \
	 NET(HOST_ECN) | NET(HOST_UFO) | NET(HOST_USO) | NET(GUEST_TSO4) | \
	 NET(GUEST_TSO6) | NET(GUEST_ECN) | NET(GUEST_UFO) | NET(GUEST_USO4))
#define COMMANDS                                                             \
	(NET(CTRL_VQ) | NET(CTRL_RX) | NET(CTRL_RX_EXTRA) | NET(CTRL_VLAN) | \
	 NET(CTRL_MAC_ADDR) | NET(CTRL_GUEST_OFFLOADS) | NET(GUEST_ANNOUNCE))
#define ALL (BASIC | OFFLOADS | COMMANDS | NET(SPEED_DUPLEX))

struct fixture {
	struct sim *sim;
	struct vrig *r;
	struct toy_nic *toy;
	struct nic nic;
};

/* ---- set-up ---- */

static void make(struct fixture *f, uint64_t features)
{
	const struct sim_options options = { .seed = 1 };

	memset(f, 0, sizeof(*f));
	assert_int_equal(sim_new(&options, &f->sim), 0);
	f->r = vrig_new(f->sim, 1);
	f->toy = toy_add(f->r, features);
	f->nic.r = f->r;
	f->nic.mem = f->r->mem;
}

static int probe_with(struct fixture *f, struct vdpakit_net_options options)
{
	options.size = sizeof(options);
	return net_probe(toy_vdev(f->toy), f->r->pool, f->r->w->control,
			 &options, &f->nic.net);
}

static int probe(struct fixture *f)
{
	int ret = probe_with(f, (struct vdpakit_net_options){ 0 });

	if (ret == 0) {
		f->nic.rx = vdpakit_net_get_rx(f->nic.net, 0);
		f->nic.tx = vdpakit_net_get_tx(f->nic.net, 0);
	}
	return ret;
}

static void unmake(struct fixture *f)
{
	net_remove(f->nic.net);
	toy_del(f->toy);
	vrig_free(f->r);
	sim_free(f->sim);
}

static void open_toy(struct fixture *f, uint64_t features)
{
	int ret;

	make(f, features);
	ret = probe(f);
	if (ret < 0) {
		fail_msg("%s", err_text(ret));
	}
}

static void expect_text(int ret, int code, const char *part)
{
	assert_int_equal(ret, code);
	if (!strstr(err_text(ret), part)) {
		fail_msg("'%s' lacks '%s'", err_text(ret), part);
	}
}

/* ---- frames ---- */

static int send_offload(struct fixture *f, uint32_t len,
			const struct vdpakit_net_offload *offload)
{
	static char buf[VDPAKIT_NET_FRAME_MAX];
	const struct vdpakit_net_frame frame = {
		.flags = VDPAKIT_NET_COPY,
		.len_bytes = len,
		.buf = buf,
		.offload = *offload,
	};
	int ret;

	nic_fill(buf, len, nic_mac, len);
	ret = vdpakit_net_send(f->nic.tx, &frame, 1);
	vrig_settle(f->r);
	return ret;
}

static int recv_one(struct fixture *f, struct vdpakit_net_received *ret)
{
	return vdpakit_net_recv(f->nic.rx, ret, 1);
}

static uint64_t n_bad(struct fixture *f)
{
	struct vdpakit_net_stats stats;

	vdpakit_net_get_stats(f->nic.rx, &stats, sizeof(stats));
	return stats.n_bad;
}

static const struct vdpakit_net_offload good[] = {
	{ 0 },
	{ .flags = VDPAKIT_NET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6 },
	{ .flags = VDPAKIT_NET_NEEDS_CSUM,
	  .gso_type = VDPAKIT_NET_GSO_TCPV4,
	  .hdr_len = 54,
	  .gso_size = 1448,
	  .csum_start = 34,
	  .csum_offset = 16 },
	{ .flags = VDPAKIT_NET_NEEDS_CSUM,
	  .gso_type = VDPAKIT_NET_GSO_TCPV6 | VDPAKIT_NET_GSO_ECN,
	  .hdr_len = 74,
	  .gso_size = 1428,
	  .csum_start = 54,
	  .csum_offset = 16 },
	{ .flags = VDPAKIT_NET_NEEDS_CSUM,
	  .gso_type = VDPAKIT_NET_GSO_UDP,
	  .hdr_len = 42,
	  .gso_size = 1480,
	  .csum_start = 34,
	  .csum_offset = 6 },
	{ .flags = VDPAKIT_NET_NEEDS_CSUM,
	  .gso_type = VDPAKIT_NET_GSO_UDP_L4,
	  .hdr_len = 42,
	  .gso_size = 1472,
	  .csum_start = 34,
	  .csum_offset = 6 },
};

static void test_offloads_go_out_and_come_back(void **state)
{
	static const uint32_t sizes[] = { 80, 1514, 9000, 65535, 65549 };
	struct fixture f;

	open_toy(&f, ALL);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			struct vdpakit_net_received got;

			assert_int_equal(send_offload(&f, sizes[k], &good[i]),
					 1);
			assert_int_equal(f.toy->sent.gso_type,
					 good[i].gso_type);
			assert_int_equal(le16toh(f.toy->sent.gso_size),
					 good[i].gso_size);
			assert_int_equal(le16toh(f.toy->sent.csum_start),
					 good[i].csum_start);
			assert_int_equal(recv_one(&f, &got), 1);
			nic_check(&got, sizes[k], sizes[k]);
			assert_memory_equal(&got.offload, &good[i],
					    sizeof(good[i]));
			assert_int_equal(
				vdpakit_net_give_back(f.nic.rx, &got, 1), 0);
		}
	}
	assert_int_equal(n_bad(&f), 0);
	unmake(&f);
}

/* Slots whose header asked for something are used again. */
static void test_headers_do_not_linger(void **state)
{
	struct fixture f;

	open_toy(&f, ALL);
	for (unsigned int i = 0; i < 600; i++) {
		struct vdpakit_net_received got;
		const struct vdpakit_net_offload *o = &good[i % 3 ? 0 : 2];

		assert_int_equal(send_offload(&f, 100 + 41 * (i % 97), o), 1);
		assert_int_equal(f.toy->sent.gso_type, o->gso_type);
		assert_int_equal(f.toy->sent.flags, o->flags);
		assert_int_equal(recv_one(&f, &got), 1);
		assert_int_equal(vdpakit_net_give_back(f.nic.rx, &got, 1), 0);
	}
	unmake(&f);
}

static void test_offloads_that_are_not_in_force_are_refused(void **state)
{
	struct fixture f;

	open_toy(&f, BASIC);
	expect_text(send_offload(&f, 100, &good[1]), -EOPNOTSUPP,
		    "no checksums");
	unmake(&f);
	open_toy(&f, BASIC | NET(CSUM));
	assert_int_equal(send_offload(&f, 100, &good[1]), 1);
	for (size_t i = 2; i < ARRAY_SIZE(good); i++) {
		expect_text(send_offload(&f, 100, &good[i]), -EOPNOTSUPP,
			    "gso_type");
	}
	unmake(&f);
}

static void test_offloads_that_make_no_sense_are_refused(void **state)
{
	struct vdpakit_net_offload o;
	struct fixture f;

	open_toy(&f, ALL);
	o = good[1];
	o.csum_start = 99;
	expect_text(send_offload(&f, 100, &o), -EINVAL, "checksum");
	o.csum_start = UINT16_MAX;
	o.csum_offset = UINT16_MAX;
	expect_text(send_offload(&f, 100, &o), -EINVAL, "checksum");
	o.flags = 8;
	expect_text(send_offload(&f, 100, &o), -EINVAL, "offload flags");
	o = good[2];
	o.gso_type = 2;
	expect_text(send_offload(&f, 100, &o), -EINVAL, "gso_type");
	o.gso_type = VDPAKIT_NET_GSO_UDP | VDPAKIT_NET_GSO_ECN;
	expect_text(send_offload(&f, 100, &o), -EINVAL, "gso_type");
	o = good[2];
	o.gso_size = 0;
	expect_text(send_offload(&f, 100, &o), -EINVAL, "gso_size");
	o = good[2];
	o.hdr_len = 101;
	expect_text(send_offload(&f, 100, &o), -EINVAL, "hdr_len");
	o = good[2];
	o.flags = 0;
	expect_text(send_offload(&f, 100, &o), -EINVAL, "NEEDS_CSUM");
	unmake(&f);
}

/* ---- frames of devices that lie ---- */

static void lie(struct fixture *f, struct virtio_net_hdr_v1 hdr)
{
	f->toy->has_hdr = true;
	f->toy->hdr = hdr;
	assert_int_equal(send_offload(f, 100, &good[0]), 1);
}

static void expect_dropped(struct fixture *f, struct virtio_net_hdr_v1 hdr)
{
	struct vdpakit_net_received got;
	uint64_t before = n_bad(f);

	lie(f, hdr);
	assert_int_equal(recv_one(f, &got), 0);
	assert_int_equal(n_bad(f), before + 1);
}

static void test_bad_headers_cost_the_frame_h42_h43(void **state)
{
	struct vdpakit_net_received got;
	struct fixture f;

	open_toy(&f, ALL);
	for (unsigned int i = 0; i < 300; i++) { /* more than the ring holds */
		expect_dropped(&f,
			       (struct virtio_net_hdr_v1){
				       .flags = 1, .csum_start = htole16(99) });
		expect_dropped(&f, (struct virtio_net_hdr_v1){
					   .flags = 1,
					   .csum_start = 0xffff,
					   .csum_offset = 0xffff });
		expect_dropped(&f, (struct virtio_net_hdr_v1){
					   .gso_type = 7,
					   .gso_size = htole16(100) });
		expect_dropped(&f, (struct virtio_net_hdr_v1){ .gso_type = 1 });
	}
	/* A hint that lies is no hint. */
	lie(&f, (struct virtio_net_hdr_v1){ .gso_type = 1,
					    .gso_size = htole16(1),
					    .hdr_len = 0xffff });
	assert_int_equal(recv_one(&f, &got), 1);
	assert_int_equal(got.offload.hdr_len, 0);
	unmake(&f);
}

static void test_offloads_never_asked_for_cost_the_frame(void **state)
{
	struct fixture f;

	open_toy(&f, BASIC);
	expect_dropped(&f, (struct virtio_net_hdr_v1){ .flags = 1 });
	expect_dropped(&f, (struct virtio_net_hdr_v1){
				   .gso_type = 1, .gso_size = htole16(100) });
	unmake(&f);
	open_toy(&f, BASIC | NET(GUEST_CSUM) | NET(GUEST_TSO4));
	expect_dropped(&f, (struct virtio_net_hdr_v1){
				   .gso_type = 4, .gso_size = htole16(100) });
	expect_dropped(&f, (struct virtio_net_hdr_v1){
				   .gso_type = 0x81, .gso_size = htole16(9) });
	unmake(&f);
}

static void test_short_frames_cost_the_frame_h41(void **state)
{
	struct vdpakit_net_received got;
	struct fixture f;

	open_toy(&f, BASIC);
	f.toy->has_written = true;
	for (f.toy->written = 0; f.toy->written < 12 + 14; f.toy->written++) {
		uint64_t before = n_bad(&f);

		assert_int_equal(send_offload(&f, 100, &good[0]), 1);
		assert_int_equal(recv_one(&f, &got), 0);
		assert_int_equal(n_bad(&f), before + 1);
	}
	assert_int_equal(send_offload(&f, 100, &good[0]), 1);
	assert_int_equal(recv_one(&f, &got), 1);
	assert_int_equal(got.len_bytes, 14);
	unmake(&f);
}

static void expect_broken(struct fixture *f, uint16_t num_buffers)
{
	struct vdpakit_net_received got;
	struct vdpakit_net_info info;

	f->toy->lies_on_buffers = true;
	lie(f,
	    (struct virtio_net_hdr_v1){ .num_buffers = htole16(num_buffers) });
	expect_text(recv_one(f, &got), -EIO, "needs a reset");
	expect_text(send_offload(f, 100, &good[0]), -EIO, "needs a reset");
	vrig_settle(f->r);
	vdpakit_net_get_info(f->nic.net, &info, sizeof(info));
	assert_true(info.needs_reset);
	f->toy->lies_on_buffers = false;
	f->toy->has_hdr = false;
	assert_int_equal(net_reset(f->nic.net), 0);
	assert_int_equal(send_offload(f, 100, &good[0]), 1);
	assert_int_equal(recv_one(f, &got), 1);
	nic_check(&got, 100, 100);
	assert_int_equal(vdpakit_net_give_back(f->nic.rx, &got, 1), 0);
}

static void test_numbers_of_buffers_that_cannot_be_h45(void **state)
{
	struct fixture f;

	open_toy(&f, BASIC);
	expect_broken(&f, 0);
	expect_broken(&f, 257);
	expect_broken(&f, UINT16_MAX);
	unmake(&f);
}

/* Frames that go on for ever, and one that is longer than there are. */
static void test_too_many_pieces_cost_the_frame_h46(void **state)
{
	struct vdpakit_net_received got;
	struct fixture f;
	uint64_t before;

	open_toy(&f, BASIC);
	f.toy->lies_on_buffers = true;
	f.toy->has_hdr = true;
	f.toy->hdr.num_buffers = htole16(256);
	f.toy->has_written = true;
	f.toy->written = 2048;
	before = n_bad(&f);
	for (unsigned int i = 0; i < 256; i++) {
		assert_int_equal(send_offload(&f, 100, &good[0]), 1);
		assert_int_equal(recv_one(&f, &got), 0);
	}
	assert_int_equal(n_bad(&f), before + 1);
	f.toy->lies_on_buffers = false;
	f.toy->has_hdr = false;
	f.toy->has_written = false;
	assert_int_equal(send_offload(&f, 100, &good[0]), 1);
	assert_int_equal(recv_one(&f, &got), 1);
	unmake(&f);
}

/* ---- config space ---- */

static void expect_no_open(uint64_t features,
			   void (*spoil)(struct toy_nic *toy), const char *part)
{
	struct fixture f;

	make(&f, features);
	spoil(f.toy);
	expect_text(probe(&f), -EPROTO, part);
	assert_null(f.nic.net);
	unmake(&f);
}

static void spoil_mac(struct toy_nic *toy)
{
	toy->config.mac[0] |= 1;
}

static void spoil_mtu(struct toy_nic *toy)
{
	toy->config.mtu = htole16(67);
}

static void spoil_pairs(struct toy_nic *toy)
{
	toy->config.max_virtqueue_pairs = 0;
}

static void spoil_pairs_more(struct toy_nic *toy)
{
	toy->config.max_virtqueue_pairs = htole16(2);
}

static void spoil_pairs_most(struct toy_nic *toy)
{
	toy->config.max_virtqueue_pairs = 0xffff;
}

static void spoil_size(struct toy_nic *toy)
{
	toy->soft.config_size = 11;
}

static void test_config_that_makes_no_sense_h82(void **state)
{
	expect_no_open(ALL, spoil_mac, "address");
	expect_no_open(ALL, spoil_mtu, "MTU of 67");
	expect_no_open(ALL | NET(MQ), spoil_pairs, "0 pairs");
	expect_no_open(ALL | NET(MQ), spoil_pairs_more, "2 pairs");
	expect_no_open(ALL | NET(MQ), spoil_pairs_most, "65535 pairs");
	expect_no_open(BASIC, spoil_size, "config space of 11 bytes");
}

static void test_config_that_changes_for_the_worse_h82(void **state)
{
	struct vdpakit_net_info info;
	struct fixture f;

	open_toy(&f, ALL);
	f.toy->config.status = 0;
	soft_config_changed(&f.toy->soft);
	vrig_settle(f.r);
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_false(info.is_link_up);
	assert_false(info.needs_reset);
	f.toy->soft.config_size = 4;
	soft_config_changed(&f.toy->soft);
	vrig_settle(f.r);
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_true(info.needs_reset);
	expect_text(net_reset(f.nic.net), -EPROTO, "config space of 4 bytes");
	expect_text(send_offload(&f, 100, &good[0]), -EIO, "needs a reset");
	f.toy->soft.config_size = TOY_CONFIG;
	assert_int_equal(net_reset(f.nic.net), 0);
	assert_int_equal(send_offload(&f, 100, &good[0]), 1);
	unmake(&f);
}

static void test_another_device_after_a_reset_h84(void **state)
{
	struct fixture f;

	open_toy(&f, ALL);
	f.toy->soft.device_features &= ~NET(GUEST_TSO4);
	expect_text(net_reset(f.nic.net), -EPROTO, "another device");
	expect_text(send_offload(&f, 100, &good[0]), -EIO, "needs a reset");
	assert_int_equal(vdpakit_net_wait(f.nic.rx, 0), -EIO);
	assert_int_equal(vdpakit_net_wait(f.nic.tx, 0), -EIO);
	assert_int_equal(vdpakit_net_arm(f.nic.rx), -EIO);
	f.toy->soft.device_features |= NET(GUEST_TSO4);
	assert_int_equal(net_reset(f.nic.net), 0);
	assert_int_equal(send_offload(&f, 100, &good[0]), 1);
	unmake(&f);
}

static void test_features_without_their_conditions_are_not_taken(void **state)
{
	struct vdpakit_net_info info;
	struct fixture f;

	open_toy(&f, NET(HOST_TSO4) | NET(GUEST_TSO4) | NET(MQ) | NET(CTRL_RX) |
			     NET(MRG_RXBUF) | NET(HOST_ECN));
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_int_equal(info.features & ((1ULL << 24) - 1), NET(MRG_RXBUF));
	unmake(&f);
	/* Large frames need buffers that merge. */
	open_toy(&f, ALL & ~NET(MRG_RXBUF));
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_false(has_bit(info.features, VIRTIO_NET_F_GUEST_TSO4));
	assert_true(has_bit(info.features, VIRTIO_NET_F_HOST_TSO4));
	assert_true(info.buffer_bytes >= NIC_MTU + 12 + 18);
	assert_int_equal(info.speed_mbps, 10000);
	unmake(&f);
	make(&f, ALL);
	assert_int_equal(
		probe_with(&f,
			   (struct vdpakit_net_options){
				   .without = NET(CTRL_VQ) | NET(MTU) }),
		0);
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_int_equal(info.features & COMMANDS, 0);
	assert_int_equal(info.mtu, 0);
	unmake(&f);
}

/* ---- commands ---- */

static int request_n(struct fixture *f, enum net_op op, unsigned int n)
{
	struct net_request req = { .op = op, .n = n };

	return nic_request(&f->nic, &req);
}

static void expect_command(struct fixture *f, unsigned int i, uint8_t class,
			   uint8_t cmd, const void *data, uint32_t len)
{
	const struct toy_command *c = &f->toy->commands[i];

	assert_in_range(i, 0, f->toy->n_commands - 1);
	assert_int_equal(c->class, class);
	assert_int_equal(c->cmd, cmd);
	assert_int_equal(c->len, len);
	assert_memory_equal(c->data, data, min_of(len, (uint32_t)TOY_DATA));
}

static void test_commands_are_as_the_standard_says(void **state)
{
	static const uint8_t uni[1][6] = { { 2, 0, 0, 0, 0, 1 } };
	static const uint8_t multi[2][6] = { { 1, 0, 0, 0, 0, 1 },
					     { 1, 0, 0, 0, 0, 2 } };
	static const uint8_t table[] = {
		1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0,
		0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 2
	};
	struct net_request filter = { .op = NET_SET_FILTER,
				      .filter = { uni, multi, 1, 2 } };
	struct net_request offloads = { .op = NET_SET_OFFLOADS,
					.offloads = NET(GUEST_CSUM) };
	const uint64_t offloads_le = htole64(NET(GUEST_CSUM));
	const uint8_t on = 1, off = 0;
	struct vdpakit_net_info info;
	struct fixture f;

	open_toy(&f, ALL);
	assert_int_equal(nic_request(&f.nic, &filter), 0);
	expect_command(&f, 0, VIRTIO_NET_CTRL_MAC, 0, table, sizeof(table));
	assert_int_equal(request_n(&f, NET_ADD_VLAN, 4095), 0);
	expect_command(&f, 1, VIRTIO_NET_CTRL_VLAN, 0, "\xff\x0f", 2);
	assert_int_equal(request_n(&f, NET_DEL_VLAN, 1), 0);
	expect_command(&f, 2, VIRTIO_NET_CTRL_VLAN, 1, "\x01\x00", 2);
	assert_int_equal(nic_request(&f.nic, &offloads), 0);
	expect_command(&f, 3, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads_le,
		       8);
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_int_equal(info.offloads, NET(GUEST_CSUM));
	assert_int_equal(request_n(&f, NET_ACK_ANNOUNCE, 0), 0);
	expect_command(&f, 4, VIRTIO_NET_CTRL_ANNOUNCE, 0, "", 0);
	/* Each mode once, since what it was is not known; then what differs. */
	assert_int_equal(request_n(&f, NET_SET_RX_MODE, VDPAKIT_NET_ALLMULTI),
			 0);
	for (unsigned int i = 0; i < 6; i++) {
		expect_command(&f, 5 + i, VIRTIO_NET_CTRL_RX, (uint8_t)i,
			       i == 1 ? &on : &off, 1);
	}
	assert_int_equal(request_n(&f, NET_SET_RX_MODE,
				   VDPAKIT_NET_ALLMULTI | VDPAKIT_NET_NOUNI),
			 0);
	assert_int_equal(f.toy->n_commands, 12);
	expect_command(&f, 11, VIRTIO_NET_CTRL_RX, 4, &on, 1);
	unmake(&f);
}

static void test_commands_that_make_no_sense_are_refused(void **state)
{
	static uint8_t many[VDPAKIT_NET_FILTER_MAX + 1][6];
	static const uint8_t group[1][6] = { { 1 } };
	struct net_request req = { .op = NET_SET_MAC, .mac = { 1 } };
	struct fixture f;

	open_toy(&f, ALL);
	expect_text(nic_request(&f.nic, &req), -EINVAL, "address");
	req.mac[0] = 0;
	expect_text(nic_request(&f.nic, &req), -EINVAL, "address");
	expect_text(request_n(&f, NET_SET_RX_MODE, 64), -EINVAL, "mode");
	expect_text(request_n(&f, NET_ADD_VLAN, 4096), -EINVAL, "VLAN");
	expect_text(request_n(&f, NET_DEL_VLAN, 65536), -EINVAL, "VLAN");
	req = (struct net_request){
		.op = NET_SET_FILTER,
		.filter = { .unicast = many, .n_unicast = ARRAY_SIZE(many) },
	};
	expect_text(nic_request(&f.nic, &req), -EINVAL, "FILTER_MAX");
	req.filter.n_unicast = 1;
	req.filter.n_multicast = UINT32_MAX;
	expect_text(nic_request(&f.nic, &req), -EINVAL, "FILTER_MAX");
	req.filter = (struct net_filter){ .unicast = group, .n_unicast = 1 };
	expect_text(nic_request(&f.nic, &req), -EINVAL, "not unicast");
	req.filter = (struct net_filter){ .multicast = many, .n_multicast = 1 };
	expect_text(nic_request(&f.nic, &req), -EINVAL, "not multicast");
	req = (struct net_request){ .op = NET_SET_OFFLOADS,
				    .offloads = NET(MAC) };
	expect_text(nic_request(&f.nic, &req), -EINVAL, "offloads");
	assert_int_equal(f.toy->n_commands, 0);
	unmake(&f);
}

static void test_commands_that_there_are_not(void **state)
{
	struct net_request req = { .op = NET_BEGIN };
	struct fixture f;

	open_toy(&f, BASIC);
	assert_int_equal(nic_request(&f.nic, &req), 0);
	for (unsigned int op = NET_SET_MAC; op < NET_OP_N; op++) {
		req.op = op;
		expect_text(nic_request(&f.nic, &req), -EOPNOTSUPP,
			    "has no command for");
	}
	unmake(&f);
	open_toy(&f, BASIC | NET(CTRL_VQ) | NET(CTRL_RX));
	expect_text(request_n(&f, NET_SET_RX_MODE, VDPAKIT_NET_NOBCAST),
		    -EOPNOTSUPP, "only PROMISC");
	assert_int_equal(request_n(&f, NET_SET_RX_MODE, VDPAKIT_NET_PROMISC),
			 0);
	assert_int_equal(f.toy->n_commands, 2);
	unmake(&f);
}

static void test_answers_that_are_no_yes(void **state)
{
	static const uint8_t acks[] = { 1, 2, 0xff };
	struct fixture f;

	open_toy(&f, ALL);
	for (size_t i = 0; i < ARRAY_SIZE(acks); i++) {
		f.toy->ack = acks[i];
		expect_text(request_n(&f, NET_ADD_VLAN, 1), -EREMOTEIO,
			    "refused VLANs");
	}
	f.toy->answer_bytes = 0; /* it says nothing at all */
	expect_text(request_n(&f, NET_ADD_VLAN, 1), -EREMOTEIO, "refused");
	f.toy->ack = 0;
	f.toy->answer_bytes = 1;
	assert_int_equal(request_n(&f, NET_ADD_VLAN, 1), 0);
	unmake(&f);
}

static void test_a_silent_device_is_waited_for_no_longer_than_said(void **state)
{
	struct fixture f;
	uint64_t began_ns;

	open_toy(&f, ALL);
	f.toy->is_silent = true;
	began_ns = loop_now_ns(f.r->w->control);
	expect_text(request_n(&f, NET_ADD_VLAN, 1), -ETIMEDOUT,
		    "did not answer");
	assert_in_range(loop_now_ns(f.r->w->control) - began_ns, 4999999999,
			6000000000);
	expect_text(request_n(&f, NET_ADD_VLAN, 1), -EIO, "needs a reset");
	expect_text(send_offload(&f, 100, &good[0]), -EIO, "needs a reset");
	unmake(&f);
}

struct noted {
	struct net_request req;
	int result;
	unsigned int n;
};

static void note(struct net_request *req, int result)
{
	struct noted *noted = container_of(req, struct noted, req);

	noted->result = result;
	noted->n++;
}

static void test_requests_end_with_the_device(void **state)
{
	struct noted a = { .req = { .op = NET_ADD_VLAN, .done = note } };
	struct noted b = { .req = { .op = NET_DEL_VLAN, .done = note } };
	struct fixture f;

	open_toy(&f, ALL);
	f.toy->is_silent = true;
	net_request(f.nic.net, &a.req);
	net_request(f.nic.net, &b.req);
	vrig_settle(f.r);
	assert_int_equal(a.n + b.n, 0);
	assert_int_equal(net_reset(f.nic.net), 0);
	assert_int_equal(a.result, -EIO);
	assert_int_equal(b.result, -EIO);
	net_request(f.nic.net, &a.req);
	net_request(f.nic.net, &b.req);
	net_remove(f.nic.net);
	f.nic.net = NULL;
	assert_int_equal(a.result, -ENODEV);
	assert_int_equal(b.result, -ENODEV);
	assert_int_equal(a.n, 2);
	assert_int_equal(b.n, 2);
	unmake(&f);
}

static void test_an_address_is_made_up_told_and_kept(void **state)
{
	struct net_request begin = { .op = NET_BEGIN };
	struct net_request set = { .op = NET_SET_MAC,
				   .mac = { 2, 1, 1, 1, 1, 1 } };
	struct vdpakit_net_info info;
	struct fixture f;

	make(&f, ALL);
	memset(f.toy->config.mac, 0, 6);
	assert_int_equal(probe(&f), 0);
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_true(info.is_mac_random);
	assert_int_equal(info.mac[0] & 3, 2);
	assert_int_equal(nic_request(&f.nic, &begin), 0);
	expect_command(&f, 0, VIRTIO_NET_CTRL_MAC, 1, info.mac, 6);
	assert_int_equal(nic_request(&f.nic, &set), 0);
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_false(info.is_mac_random);
	assert_memory_equal(info.mac, set.mac, 6);
	assert_int_equal(net_reset(f.nic.net), 0);
	assert_int_equal(nic_request(&f.nic, &begin), 0);
	expect_command(&f, 2, VIRTIO_NET_CTRL_MAC, 1, set.mac, 6);
	vdpakit_net_get_info(f.nic.net, &info, sizeof(info));
	assert_memory_equal(info.mac, set.mac, 6);
	unmake(&f);
}

/* ---- memory ---- */

static int open_scenario(void *priv)
{
	struct fixture f;
	int ret;

	(void)priv;
	make(&f, ALL);
	oom_begin();
	ret = probe(&f);
	oom_end();
	/* A ring that there is no memory for is made smaller. */
	for (unsigned int i = 0; ret == 0 && i < 3; i++) {
		ret = toy_vdev(f.toy)->vqs[i]->num == 256 ? 0 : -ENOMEM;
	}
	unmake(&f);
	return ret;
}

static void test_opening_survives_a_lack_of_memory(void **state)
{
	assert_true(oom_check(open_scenario, NULL) > 5);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_offloads_go_out_and_come_back),
	cmocka_unit_test(test_headers_do_not_linger),
	cmocka_unit_test(test_offloads_that_are_not_in_force_are_refused),
	cmocka_unit_test(test_offloads_that_make_no_sense_are_refused),
	cmocka_unit_test(test_bad_headers_cost_the_frame_h42_h43),
	cmocka_unit_test(test_offloads_never_asked_for_cost_the_frame),
	cmocka_unit_test(test_short_frames_cost_the_frame_h41),
	cmocka_unit_test(test_numbers_of_buffers_that_cannot_be_h45),
	cmocka_unit_test(test_too_many_pieces_cost_the_frame_h46),
	cmocka_unit_test(test_config_that_makes_no_sense_h82),
	cmocka_unit_test(test_config_that_changes_for_the_worse_h82),
	cmocka_unit_test(test_another_device_after_a_reset_h84),
	cmocka_unit_test(test_features_without_their_conditions_are_not_taken),
	cmocka_unit_test(test_commands_are_as_the_standard_says),
	cmocka_unit_test(test_commands_that_make_no_sense_are_refused),
	cmocka_unit_test(test_commands_that_there_are_not),
	cmocka_unit_test(test_answers_that_are_no_yes),
	cmocka_unit_test(
		test_a_silent_device_is_waited_for_no_longer_than_said),
	cmocka_unit_test(test_requests_end_with_the_device),
	cmocka_unit_test(test_an_address_is_made_up_told_and_kept),
	cmocka_unit_test(test_opening_survives_a_lack_of_memory),
};

TEST_MAIN("virtio_net_toy")
