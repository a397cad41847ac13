/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vhost_vdpa device: what goes through it is what a client of the
 * other side would see.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "rvdpa_rig.h"
#include "uapi/compat.h"

#define PACKED	 BIT_ULL(VIRTIO_F_RING_PACKED)
#define EVENT	 BIT_ULL(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER BIT_ULL(VIRTIO_F_IN_ORDER)
#define IN	 VIRTIO_BLK_T_IN
#define OUT	 VIRTIO_BLK_T_OUT
#define S_OK	 VIRTIO_BLK_S_OK
#define BUF	 65536
#define DISK	 "backend=mem capacity=16M num_queues=2"

static struct rvdpa_rig *disk(const char *keys)
{
	struct rvdpa_rig *rig = rvdpa_rig_new("blk", DISK);
	int r = rvdpa_rig_add(rig, keys);

	if (r < 0) {
		fail_msg("dev add: %s", err_text(r));
	}
	rvdpa_rig_open(rig);
	return rig;
}

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

static void write_and_read(struct vclient *c, unsigned int n_queues)
{
	char *buf = vclient_alloc(c, BUF, 4096);

	for (uint32_t i = 0; i < 8; i++) {
		fill(buf, BUF, i);
		assert_int_equal(vclient_blk(c, i % n_queues, OUT, i * 128, buf,
					     BUF),
				 S_OK);
	}
	for (uint32_t i = 0; i < 8; i++) {
		memset(buf, 0xee, BUF);
		assert_int_equal(vclient_blk(c, (i + 1) % n_queues, IN, i * 128,
					     buf, BUF),
				 S_OK);
		assert_filled(buf, BUF, i);
	}
}

/* ---- data ---- */

static void test_rvdpa_disk_in_every_ring(void **state)
{
	static const uint64_t rings[] = {
		0,
		EVENT | INDIRECT,
		PACKED,
		PACKED | EVENT | INDIRECT,
		EVENT | IN_ORDER,
		PACKED | IN_ORDER,
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		struct rvdpa_rig *rig = disk("");

		vclient_start(rig->c, rings[i] | BIT_ULL(VIRTIO_BLK_F_MQ), 2,
			      64);
		write_and_read(rig->c, 2);
		/* Eventfds were handed on: nothing came by here. */
		for (unsigned int q = 0; q < 2; q++) {
			assert_int_equal(vworld_stat(rig->w, "d0", q,
						     "forwarded_kicks"),
					 0);
			assert_int_equal(vworld_stat(rig->w, "d0", q,
						     "forwarded_calls"),
					 0);
		}
		rvdpa_rig_free(rig);
	}
}

static void test_rvdpa_starts_again_after_reset_and_reopen(void **state)
{
	struct rvdpa_rig *rig = disk("");

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		vclient_start(rig->c, i % 2 ? PACKED : EVENT, 1, 32);
		write_and_read(rig->c, 1);
		vclient_reset(rig->c);
	}
	vclient_close(rig->c);
	rvdpa_rig_open(rig);
	vclient_start(rig->c, EVENT, 1, 32);
	write_and_read(rig->c, 1);
	rvdpa_rig_free(rig);
}

static void test_rvdpa_is_saved_and_restored(void **state)
{
	static const uint64_t rings[] = { EVENT, PACKED | EVENT };
	char *buf;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		struct rvdpa_rig *rig = disk("");

		vclient_start(rig->c, rings[i], 1, 8);
		buf = vclient_alloc(rig->c, BUF, 4096);
		fill(buf, BUF, 77);
		for (unsigned int n = 0; n < 11; n++) { /* rings wrap */
			assert_int_equal(
				vclient_blk(rig->c, 0, OUT, 0, buf, BUF), S_OK);
		}
		vclient_save(rig->c);
		vclient_reopen(rig->c, "vhost-vdpa-0");
		vclient_restore(rig->c);
		memset(buf, 0, BUF);
		assert_int_equal(vclient_blk(rig->c, 0, IN, 0, buf, BUF), S_OK);
		assert_filled(buf, BUF, 77);
		rvdpa_rig_free(rig);
	}
}

static void test_rvdpa_resumes(void **state)
{
	struct rvdpa_rig *rig = disk("");

	(void)state;
	vclient_start(rig->c, EVENT, 1, 8);
	vclient_must(rig->c, VHOST_VDPA_SUSPEND, NULL);
	vclient_must(rig->c, VHOST_VDPA_RESUME, NULL);
	write_and_read(rig->c, 1);
	rvdpa_rig_free(rig);
}

/* Memory that cannot be shared goes through the relay. */
static void test_rvdpa_bounced_disk_takes_any_memory(void **state)
{
	struct rvdpa_rig *rig = disk("bounce=on bounce_size=4M");
	const uint64_t last = VCLIENT_IOVA + VCLIENT_MEM_BYTES - 1;
	struct region *region;

	(void)state;
	assert_int_equal(region_new_own(rig->c->mem, VCLIENT_MEM_BYTES, NULL,
					NULL, &region),
			 0);
	assert_int_equal(vdpa_unmap(rvdpa_rig_dev(rig), 0, VCLIENT_IOVA, last),
			 1);
	assert_int_equal(vdpa_map(rvdpa_rig_dev(rig), 0, VCLIENT_IOVA, last,
				  region, 0, MEM_PERM_RW),
			 0);
	region_unref(region);
	vclient_start(rig->c, PACKED | EVENT, 1, 64);
	write_and_read(rig->c, 1);
	assert_int_equal(vworld_stat(rig->w, "d0", 0, "bounced_chains"), 16);
	assert_int_equal(rig->n_updates, 1); /* the domain */
	rvdpa_rig_free(rig);
}

/* ---- what it says of itself ---- */

static void test_rvdpa_is_what_the_other_side_is(void **state)
{
	struct rvdpa_rig *rig = disk("");
	struct vhost_vdpa_iova_range range;
	struct virtio_blk_config config;
	uint64_t features;
	uint32_t u32;
	uint16_t num;

	(void)state;
	vclient_must(rig->c, VHOST_VDPA_GET_DEVICE_ID, &u32);
	assert_int_equal(u32, VIRTIO_ID_BLOCK);
	vclient_must(rig->c, VHOST_VDPA_GET_VQS_COUNT, &u32);
	assert_int_equal(u32, 2);
	vclient_must(rig->c, VHOST_VDPA_GET_CONFIG_SIZE, &u32);
	assert_int_equal(u32, sizeof(config));
	vclient_must(rig->c, VHOST_VDPA_GET_VRING_NUM, &num);
	assert_int_equal(num, 1024);
	vclient_must(rig->c, VHOST_VDPA_GET_IOVA_RANGE, &range);
	assert_int_equal(range.first, 0);
	assert_true(range.last == UINT64_MAX);
	vclient_get_config(rig->c, &config, sizeof(config));
	assert_int_equal(le64toh(config.capacity), 0x8000);
	assert_int_equal(le16toh(config.num_queues), 2);
	vclient_must(rig->c, VHOST_GET_BACKEND_FEATURES, &features);
	assert_int_equal(features & BIT_ULL(VHOST_BACKEND_F_SUSPEND),
			 BIT_ULL(VHOST_BACKEND_F_SUSPEND));
	rvdpa_rig_free(rig);
}

static int resize_peer(struct rvdpa_rig *rig)
{
	struct vdpa_dev_config config = { .n_params = 1 };

	strcpy(config.params[0].key, "capacity");
	strcpy(config.params[0].value, "24M");
	return vdpa_dev_set(rig->peer->bus, "p0", &config);
}

static void resize_on_control(void *priv)
{
	assert_int_equal(resize_peer(priv), 0);
}

/* The client is told when the new config is here to be read. */
static void test_rvdpa_config_change_reaches_the_client(void **state)
{
	struct rvdpa_rig *rig = disk("");
	struct virtio_blk_config config;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t capacity;

	(void)state;
	vclient_must(rig->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	vclient_start(rig->c, 0, 1, 8);
	loop_call_wait(rig->peer->control, resize_on_control, rig);
	rvdpa_rig_wait(rig, fd);
	/* Also where nobody can wait for it. */
	assert_int_equal(vdpa_get_config_raw(rvdpa_rig_dev(rig), 0, &capacity,
					     sizeof(capacity)),
			 0);
	assert_int_equal(le64toh(capacity), 0xc000);
	vclient_get_config(rig->c, &config, sizeof(config));
	assert_int_equal(le64toh(config.capacity), 0xc000);
	rvdpa_rig_free(rig);
	close(fd);
}

/* ---- groups and address spaces ---- */

static void test_rvdpa_groups_and_address_spaces(void **state)
{
	struct rvdpa_rig *rig = rvdpa_rig_new("vdpasim_net", "");
	struct vhost_vring_state s = { .index = 2 };
	uint64_t features = 0;
	uint32_t n;

	(void)state;
	assert_int_equal(rvdpa_rig_add(rig, ""), 0);
	rvdpa_rig_open(rig);
	vclient_must(rig->c, VHOST_VDPA_GET_GROUP_NUM, &n);
	assert_int_equal(n, 2);
	vclient_must(rig->c, VHOST_VDPA_GET_AS_NUM, &n);
	assert_int_equal(n, 2);
	vclient_must(rig->c, VHOST_VDPA_GET_VRING_GROUP, &s);
	assert_int_equal(s.num, 1);
	vclient_must(rig->c, VHOST_GET_BACKEND_FEATURES, &features);
	features &= BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2) |
		    BIT_ULL(VHOST_BACKEND_F_IOTLB_ASID);
	vclient_must(rig->c, VHOST_SET_BACKEND_FEATURES, &features);
	s = (struct vhost_vring_state){ .index = 1, .num = 1 };
	vclient_must(rig->c, VHOST_VDPA_SET_GROUP_ASID, &s);
	assert_int_equal(vdpa_n_maps(rvdpa_rig_dev(rig), 1), 0);
	assert_int_equal(vclient_iotlb(rig->c, 1, VHOST_IOTLB_UPDATE, 0x8000000,
				       4096, rig->c->mem, VHOST_ACCESS_RW),
			 72);
	assert_int_equal(rvdpa_rig_peer_maps(rig, 1), 1);
	assert_int_equal(rvdpa_rig_peer_maps(rig, 0), 1);
	s.num = 2;
	assert_int_equal(vclient_ioctl(rig->c, VHOST_VDPA_SET_GROUP_ASID, &s),
			 -EINVAL);
	rvdpa_rig_free(rig);
}

static int64_t map_page(struct rvdpa_rig *rig, unsigned int i)
{
	return vclient_iotlb(rig->c, 0, VHOST_IOTLB_UPDATE,
			     0x10000000 + i * 0x10000, 4096,
			     rig->c->mem + i * 4096, VHOST_ACCESS_RW);
}

static int64_t batch(struct rvdpa_rig *rig, uint8_t type)
{
	return vclient_iotlb(rig->c, 0, type, 0, 0, NULL, 0);
}

static bool peer_has_no_maps(void *priv)
{
	return rvdpa_rig_peer_maps(priv, 0) == 0;
}

/* A client's batch is one here, and a single change is another. */
static void test_rvdpa_batches_go_through_as_batches(void **state)
{
	struct rvdpa_rig *rig = disk("");

	(void)state;
	assert_int_equal(rig->n_updates, 1);
	assert_int_equal(rig->n_batches, 1);
	assert_int_equal(batch(rig, VHOST_IOTLB_BATCH_BEGIN), 72);
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(map_page(rig, i), 72);
	}
	assert_int_equal(rig->n_updates, 1);
	assert_int_equal(batch(rig, VHOST_IOTLB_BATCH_END), 72);
	assert_int_equal(rig->n_updates, 21);
	assert_int_equal(rig->n_batches, 2);
	assert_int_equal(rvdpa_rig_peer_maps(rig, 0), 21);
	assert_int_equal(vclient_iotlb(rig->c, 0, VHOST_IOTLB_INVALIDATE,
				       0x10000000, 0x50000, NULL, 0),
			 72);
	assert_int_equal(rvdpa_rig_peer_maps(rig, 0), 16);
	assert_int_equal(map_page(rig, 1), 72);
	assert_int_equal(rvdpa_rig_peer_maps(rig, 0), 17);
	vclient_close(rig->c);
	rig->c = NULL;
	rvdpa_rig_until(rig, peer_has_no_maps, rig);
	rvdpa_rig_free(rig);
}

/* What the other side does not take leaves the rest as it was. */
static void test_rvdpa_refused_map_is_undone(void **state)
{
	struct rvdpa_rig *rig = disk("");

	(void)state;
	assert_int_equal(map_page(rig, 0), 72);
	rig->fail_errno = EFAULT;
	rig->fail_count = 1;
	rig->fail_cmd = RVDPA_RIG_MSG(VHOST_IOTLB_UPDATE);
	assert_int_equal(map_page(rig, 1), -EFAULT);
	assert_int_equal(rvdpa_rig_peer_maps(rig, 0), 2);
	assert_int_equal(map_page(rig, 1), 72);
	assert_int_equal(rvdpa_rig_peer_maps(rig, 0), 3);
	vclient_start(rig->c, 0, 1, 8);
	write_and_read(rig->c, 1);
	rvdpa_rig_free(rig);
}

/* A node that may forget its maps at a reset is told them again. */
static void test_rvdpa_maps_outlive_a_reset(void **state)
{
	struct rvdpa_rig *rig = rvdpa_rig_new("blk", DISK);
	unsigned int n;

	(void)state;
	rig->lie_cmd = VHOST_GET_BACKEND_FEATURES;
	rig->lie = BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2) |
		   BIT_ULL(VHOST_BACKEND_F_IOTLB_BATCH);
	assert_int_equal(rvdpa_rig_add(rig, ""), 0);
	rvdpa_rig_open(rig);
	vclient_start(rig->c, 0, 1, 8);
	n = rig->n_updates;
	vclient_reset(rig->c);
	vclient_start(rig->c, 0, 1, 8);
	assert_int_equal(rig->n_updates, n + 1);
	write_and_read(rig->c, 1);
	rvdpa_rig_free(rig);
}

/* ---- kicks and calls without eventfds, and gates ---- */

struct ops_turn {
	struct vdpa_turn turn;
	struct rvdpa_rig *rig;
	void (*fn)(struct rvdpa_rig *rig, struct ops_turn *turn);
	unsigned int n_called; /* atomic */
	bool is_behind; /* atomic */
	bool has_ended;
};

static void run_turn(struct vdpa_turn *turn)
{
	struct ops_turn *t = container_of(turn, struct ops_turn, turn);

	t->fn(t->rig, t);
	t->has_ended = true;
}

static bool turn_has_ended(void *priv)
{
	return ((struct ops_turn *)priv)->has_ended;
}

static void in_turn(struct ops_turn *t,
		    void (*fn)(struct rvdpa_rig *rig, struct ops_turn *turn))
{
	t->turn.fn = run_turn;
	t->fn = fn;
	t->has_ended = false;
	vdpa_turn_start(rvdpa_rig_dev(t->rig), &t->turn);
	rvdpa_rig_until(t->rig, turn_has_ended, t);
}

static void was_called(void *priv)
{
	struct ops_turn *t = priv;

	__atomic_fetch_add(&t->n_called, 1, __ATOMIC_RELAXED);
}

static void use_functions(struct rvdpa_rig *rig, struct ops_turn *t)
{
	const struct vdpa_callback cb = { was_called, t, -1 };

	assert_int_equal(vdpa_set_vq_kick_fd(rvdpa_rig_dev(rig), 0, -1), 0);
	assert_int_equal(vdpa_set_vq_cb(rvdpa_rig_dev(rig), 0, &cb), 0);
}

static bool has_called(void *priv)
{
	return __atomic_load_n(&((struct ops_turn *)priv)->n_called,
			       __ATOMIC_RELAXED) > 0;
}

/* An empty write, made available. */
static void publish_flush(struct vclient *c)
{
	struct virtio_blk_outhdr *hdr = vclient_alloc(c, sizeof(*hdr), 16);
	uint8_t *status = vclient_alloc(c, 1, 1);
	const struct vq_sg sg[] = {
		{ vclient_iova(c, hdr), sizeof(*hdr) },
		{ vclient_iova(c, status), 1 },
	};

	*hdr = (struct virtio_blk_outhdr){ .type = htole32(
						   VIRTIO_BLK_T_FLUSH) };
	vclient_add(c, 0, sg, 1, 1, hdr);
	(void)vq_driver_publish(c->q[0].drv);
}

static void test_rvdpa_without_eventfds(void **state)
{
	struct rvdpa_rig *rig = disk("");
	struct ops_turn t = { .rig = rig };

	(void)state;
	vclient_start(rig->c, 0, 1, 8);
	in_turn(&t, use_functions);
	publish_flush(rig->c);
	assert_int_equal(vdpa_kick_vq(rvdpa_rig_dev(rig), 0), 0);
	rvdpa_rig_until(rig, has_called, &t);
	assert_int_equal(vworld_stat(rig->w, "d0", 0, "forwarded_kicks"), 1);
	assert_int_not_equal(vworld_stat(rig->w, "d0", 0, "forwarded_calls"),
			     0);
	rvdpa_rig_free(rig);
}

static bool is_behind(void *priv)
{
	return __atomic_load_n(&((struct ops_turn *)priv)->is_behind,
			       __ATOMIC_RELAXED);
}

static void set_gate(struct rvdpa_rig *rig, struct ops_turn *t)
{
	const struct vdpa_gate gate = { is_behind, t };

	assert_int_equal(vdpa_set_gate(rvdpa_rig_dev(rig), &gate), 0);
}

static void drop_gate(struct rvdpa_rig *rig, struct ops_turn *t)
{
	(void)t;
	assert_int_equal(vdpa_set_gate(rvdpa_rig_dev(rig), NULL), 0);
}

static void test_rvdpa_gate_holds_kicks_back(void **state)
{
	struct rvdpa_rig *rig = disk("");
	struct ops_turn t = { .rig = rig };
	struct vq_used used;

	(void)state;
	vclient_start(rig->c, 0, 1, 8);
	in_turn(&t, set_gate);
	write_and_read(rig->c, 1);
	assert_in_range(vworld_stat(rig->w, "d0", 0, "forwarded_kicks"), 1,
			UINT32_MAX);
	__atomic_store_n(&t.is_behind, true, __ATOMIC_RELAXED);
	publish_flush(rig->c);
	vclient_kick(rig->c, 0);
	assert_int_equal(vdpa_kick_vq(rvdpa_rig_dev(rig), 0), 0);
	loop_call_wait(rig->w->workers[0], was_called, &t); /* it has looked */
	assert_int_equal(vq_driver_get(rig->c->q[0].drv, &used, 1), 0);
	__atomic_store_n(&t.is_behind, false, __ATOMIC_RELAXED);
	assert_int_equal(vdpa_kick_vq(rvdpa_rig_dev(rig), 0), 0);
	vclient_wait_call(rig->c, 0);
	in_turn(&t, drop_gate);
	rvdpa_rig_free(rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_rvdpa_disk_in_every_ring),
	cmocka_unit_test(test_rvdpa_starts_again_after_reset_and_reopen),
	cmocka_unit_test(test_rvdpa_is_saved_and_restored),
	cmocka_unit_test(test_rvdpa_resumes),
	cmocka_unit_test(test_rvdpa_bounced_disk_takes_any_memory),
	cmocka_unit_test(test_rvdpa_is_what_the_other_side_is),
	cmocka_unit_test(test_rvdpa_config_change_reaches_the_client),
	cmocka_unit_test(test_rvdpa_groups_and_address_spaces),
	cmocka_unit_test(test_rvdpa_batches_go_through_as_batches),
	cmocka_unit_test(test_rvdpa_refused_map_is_undone),
	cmocka_unit_test(test_rvdpa_maps_outlive_a_reset),
	cmocka_unit_test(test_rvdpa_without_eventfds),
	cmocka_unit_test(test_rvdpa_gate_holds_kicks_back),
};

TEST_MAIN("rvdpa")
