/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what every software device has in common: queues that break, kicks
 * and calls that come at awkward moments, address spaces that change while
 * queues run.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "lib/test.h"
#include "lib/vclient.h"
#include "uapi/compat.h"

#define N_RACES 300
#define PACKED	BIT_ULL(VIRTIO_F_RING_PACKED)

/* Two block devices of two queues each; the client has the first. */
struct fixture {
	struct vworld *w;
	struct vclient *c;
};

static int set_up_ring(void **state, uint64_t features)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->w = vworld_new(NULL, 2);
	vworld_add(fx->w, "vdpasim_blk", "b0", 0, "num_queues", "2");
	vworld_add(fx->w, "vdpasim_blk", "b1", 0, "num_queues", "2");
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	vclient_start(fx->c, features, 2, 64);
	*state = fx;
	return 0;
}

static int set_up_split(void **state)
{
	return set_up_ring(state, BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
}

static int set_up_packed(void **state)
{
	return set_up_ring(state, PACKED);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vclient_close(fx->c);
	vworld_free(fx->w);
	free(fx);
	return 0;
}

/* ---- requests, in steps ---- */

struct request {
	struct virtio_blk_outhdr *hdr;
	char *data;
	uint8_t *status;
};

static struct request request_new(struct vclient *c)
{
	struct request r = {
		.hdr = vclient_alloc(c, sizeof(*r.hdr), 16),
		.data = vclient_alloc(c, 512, 512),
		.status = vclient_alloc(c, 1, 1),
	};

	memset(r.hdr, 0, sizeof(*r.hdr));
	r.hdr->type = htole32(VIRTIO_BLK_T_IN);
	*r.status = 0xee;
	return r;
}

/* Offered, not kicked. */
static void offer(struct vclient *c, unsigned int idx, const struct request *r)
{
	const struct vq_sg sg[] = {
		{ vclient_iova(c, r->hdr), sizeof(*r->hdr) },
		{ vclient_iova(c, r->data), 512 },
		{ vclient_iova(c, r->status), 1 },
	};

	vclient_add(c, idx, sg, 1, 2, r->hdr);
	(void)vq_driver_publish(c->q[idx].drv); /* whether or not it asks */
}

/* What the worker of queue 0 was told before, it has done now. */
static void let_worker_catch_up(struct vclient *c)
{
	char config[8];

	vclient_get_config(c, config, sizeof(config));
}

static void assert_not_used(struct vclient *c, unsigned int idx)
{
	struct vq_used used;

	let_worker_catch_up(c);
	assert_int_equal(vq_driver_get(c->q[idx].drv, &used, 1), 0);
}

static void assert_served(struct vclient *c, unsigned int idx,
			  const struct request *r)
{
	struct vq_used used;
	int n;

	while ((n = vq_driver_get(c->q[idx].drv, &used, 1)) == 0) {
		if (!vq_driver_enable_call(c->q[idx].drv)) {
			vclient_wait_call(c, idx);
		}
	}
	assert_int_equal(n, 1);
	assert_ptr_equal(used.cookie, r->hdr);
	assert_int_equal(*r->status, VIRTIO_BLK_S_OK);
}

static void enable(struct vclient *c, unsigned int idx, bool is_enabled)
{
	struct vhost_vring_state s = { .index = idx, .num = is_enabled };

	vclient_must(c, VHOST_VDPA_SET_VRING_ENABLE, &s);
}

static void serve_one(struct vclient *c, unsigned int idx)
{
	struct request r = request_new(c);

	offer(c, idx, &r);
	vclient_kick(c, idx);
	assert_served(c, idx, &r);
}

/* ---- a broken queue ---- */

static void write_bad_head(struct vclient *c, unsigned int idx)
{
	char *ring = c->mem + (c->q[idx].ring_iova - VCLIENT_IOVA);
	struct vq_layout at;

	vq_layout(c->q[idx].num, c->features, &at);
	if (has_bit(c->features, VIRTIO_F_RING_PACKED)) {
		struct vring_packed_desc *desc =
			(struct vring_packed_desc *)(ring + at.desc_area);

		desc->id = htole16(9999);
		desc->len = htole32(16);
		__atomic_store_n(&desc->flags,
				 htole16(1 << VRING_PACKED_DESC_F_AVAIL),
				 __ATOMIC_RELEASE);
	} else {
		struct vring_avail *avail =
			(struct vring_avail *)(ring + at.driver_area);

		avail->ring[0] = htole16(9999);
		__atomic_store_n(&avail->idx, htole16(1), __ATOMIC_RELEASE);
	}
}

static int set_config_call(struct vclient *c)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_int_not_equal(fd, -1);
	vclient_must(c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	return fd;
}

static void assert_signalled(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, 10000), 1);
}

static void test_broken_ring_asks_for_reset(void **state)
{
	struct fixture *fx = *state;
	int fd = set_config_call(fx->c);
	uint64_t features = fx->c->features;

	assert_false(vclient_status(fx->c) & VIRTIO_CONFIG_S_NEEDS_RESET);
	write_bad_head(fx->c, 0);
	vclient_kick(fx->c, 0);
	assert_signalled(fd);
	assert_true(vclient_status(fx->c) & VIRTIO_CONFIG_S_NEEDS_RESET);

	vclient_reset(fx->c);
	assert_int_equal(vclient_status(fx->c), 0);
	vclient_start(fx->c, features, 2, 64);
	serve_one(fx->c, 0);
	assert_false(vclient_status(fx->c) & VIRTIO_CONFIG_S_NEEDS_RESET);
	close(fd);
}

static void test_broken_ring_leaves_others_alone(void **state)
{
	struct fixture *fx = *state;
	int fd = set_config_call(fx->c);
	struct vclient *other;

	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-1", &other), 0);
	vclient_start(other, 0, 1, 16);
	write_bad_head(fx->c, 0);
	vclient_kick(fx->c, 0);
	assert_signalled(fd);
	/* Another queue of the device, and another device. */
	serve_one(fx->c, 1);
	serve_one(other, 0);
	assert_false(vclient_status(other) & VIRTIO_CONFIG_S_NEEDS_RESET);
	vclient_close(other);
	close(fd);
}

static void test_broken_ring_stays_broken(void **state)
{
	struct fixture *fx = *state;
	struct request r = request_new(fx->c);
	int fd = set_config_call(fx->c);
	uint64_t n;

	write_bad_head(fx->c, 0);
	vclient_kick(fx->c, 0);
	assert_signalled(fd);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	/* Neither a sound ring nor another start change that. */
	enable(fx->c, 0, false);
	offer(fx->c, 0, &r);
	enable(fx->c, 0, true);
	vclient_kick(fx->c, 0);
	assert_not_used(fx->c, 0);
	assert_true(vclient_status(fx->c) & VIRTIO_CONFIG_S_NEEDS_RESET);
	vclient_reset(fx->c);
	assert_int_equal(vclient_status(fx->c), 0);
	close(fd);
}

/* ---- kicks ---- */

static void test_kick_before_enable_is_not_lost(void **state)
{
	struct fixture *fx = *state;
	struct request r = request_new(fx->c);

	enable(fx->c, 0, false);
	offer(fx->c, 0, &r);
	vclient_kick(fx->c, 0);
	assert_not_used(fx->c, 0);
	enable(fx->c, 0, true);
	assert_served(fx->c, 0, &r);
}

static void test_kick_before_driver_ok_is_not_lost(void **state)
{
	struct fixture *fx = *state;
	uint64_t features = fx->c->features;
	struct request r;

	vclient_reset(fx->c);
	vclient_negotiate(fx->c, features);
	vclient_set_up_queue(fx->c, 0, 64);
	r = request_new(fx->c);
	offer(fx->c, 0, &r);
	vclient_kick(fx->c, 0);
	assert_not_used(fx->c, 0);
	vclient_set_status(fx->c, VIRTIO_CONFIG_S_ACKNOWLEDGE |
					  VIRTIO_CONFIG_S_DRIVER |
					  VIRTIO_CONFIG_S_FEATURES_OK |
					  VIRTIO_CONFIG_S_DRIVER_OK);
	assert_served(fx->c, 0, &r);
}

static void test_enable_before_address(void **state)
{
	struct fixture *fx = *state;
	uint64_t features = fx->c->features;
	struct vhost_vring_addr addr = { .index = 0 };
	struct vq_layout at;

	vclient_reset(fx->c);
	vclient_negotiate(fx->c, features);
	vclient_set_up_queue(fx->c, 0, 64); /* enables it */
	vclient_must(fx->c, VHOST_SET_VRING_ADDR, &addr);
	vq_layout(64, features, &at);
	addr.desc_user_addr = fx->c->q[0].ring_iova + at.desc_area;
	addr.avail_user_addr = fx->c->q[0].ring_iova + at.driver_area;
	addr.used_user_addr = fx->c->q[0].ring_iova + at.device_area;
	vclient_must(fx->c, VHOST_SET_VRING_ADDR, &addr);
	vclient_set_status(fx->c, VIRTIO_CONFIG_S_ACKNOWLEDGE |
					  VIRTIO_CONFIG_S_DRIVER |
					  VIRTIO_CONFIG_S_FEATURES_OK |
					  VIRTIO_CONFIG_S_DRIVER_OK);
	serve_one(fx->c, 0);
}

/* Whoever takes the notifier back finds every kick in it, as QEMU does. */
static void test_kick_eventfd_is_never_read(void **state)
{
	struct fixture *fx = *state;
	uint64_t n;

	for (unsigned int i = 0; i < 10; i++) {
		serve_one(fx->c, 0); /* one kick each */
	}
	assert_int_equal(read(fx->c->q[0].kick_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 10);
	serve_one(fx->c, 0);
}

static void test_suspend_keeps_kicks(void **state)
{
	struct fixture *fx = *state;
	struct request r = request_new(fx->c);

	serve_one(fx->c, 0);
	vclient_must(fx->c, VHOST_VDPA_SUSPEND, NULL);
	offer(fx->c, 0, &r);
	vclient_kick(fx->c, 0);
	assert_not_used(fx->c, 0);
	vclient_must(fx->c, VHOST_VDPA_RESUME, NULL);
	assert_served(fx->c, 0, &r);
}

/* ---- calls ---- */

/*
 * A request is in flight while its call eventfd is replaced: one of the two
 * hears of it, whichever the worker had at that moment.
 */
static void test_call_replaced_while_running(void **state)
{
	struct fixture *fx = *state;
	struct vqueue *q = &fx->c->q[0];
	struct request r = request_new(fx->c);

	for (unsigned int i = 0; i < N_RACES; i++) {
		int old = q->call_fd;
		struct vhost_vring_file call = {
			.index = 0,
			.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		};
		struct pollfd fds[] = {
			{ .fd = old, .events = POLLIN },
			{ .fd = call.fd, .events = POLLIN },
		};
		struct vq_used used;
		uint64_t n;

		assert_int_not_equal(call.fd, -1);
		(void)vq_driver_enable_call(q->drv);
		offer(fx->c, 0, &r);
		vclient_kick(fx->c, 0);
		vclient_must(fx->c, VHOST_SET_VRING_CALL, &call);
		assert_in_range(poll(fds, 2, 10000), 1, 2);
		assert_int_equal(vq_driver_get(q->drv, &used, 1), 1);
		/* If it was this one, it must not be so again. */
		(void)!read(call.fd, &n, sizeof(n));
		q->call_fd = call.fd;
		close(old);
	}
}

/* ---- address spaces ---- */

/* Requests, one after another, while another thread changes things. */
struct traffic {
	struct vclient *c;
	struct request r;
	unsigned int n_served; /* atomic */
	unsigned int n_failed;
	bool must_stop; /* atomic */
};

/* No assertions in here: they are for the test's own thread. */
static void *run_traffic(void *arg)
{
	struct traffic *t = arg;
	struct vq_driver *drv = t->c->q[0].drv;
	const struct vq_sg sg[] = {
		{ vclient_iova(t->c, t->r.hdr), sizeof(*t->r.hdr) },
		{ vclient_iova(t->c, t->r.data), 512 },
		{ vclient_iova(t->c, t->r.status), 1 },
	};

	while (!__atomic_load_n(&t->must_stop, __ATOMIC_RELAXED)) {
		struct pollfd pfd = { t->c->q[0].call_fd, POLLIN, 0 };
		uint64_t one = 1, n;
		struct vq_used used;

		*t->r.status = 0xee;
		if (vq_driver_add(drv, sg, 1, 2, t) < 0) {
			t->n_failed++;
			__atomic_add_fetch(&t->n_served, 1, __ATOMIC_RELAXED);
			break;
		}
		if (vq_driver_publish(drv)) {
			(void)!write(t->c->q[0].kick_fd, &one, sizeof(one));
		}
		while (vq_driver_get(drv, &used, 1) == 0) {
			if (!vq_driver_enable_call(drv) &&
			    poll(&pfd, 1, 10000) == 1) {
				(void)!read(pfd.fd, &n, sizeof(n));
			}
		}
		__atomic_add_fetch(&t->n_served, 1, __ATOMIC_RELAXED);
		t->n_failed += *t->r.status != VIRTIO_BLK_S_OK;
	}
	return NULL;
}

/* Also until a request was served, so that they do run meanwhile: the thread may
 * take its time to begin. Changes come in pairs. */
static bool goes_on(struct traffic *t, unsigned int i)
{
	return i < N_RACES || i % 2 != 0 ||
	       __atomic_load_n(&t->n_served, __ATOMIC_RELAXED) == 0;
}

static void with_traffic(struct fixture *fx,
			 void (*change)(struct fixture *fx, unsigned int i))
{
	struct traffic t = { .c = fx->c, .r = request_new(fx->c) };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run_traffic, &t), 0);
	for (unsigned int i = 0; goes_on(&t, i); i++) {
		change(fx, i);
	}
	__atomic_store_n(&t.must_stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(t.n_failed, 0);
}

static void change_other_map(struct fixture *fx, unsigned int i)
{
	uint64_t iova = VCLIENT_IOVA + 2 * VCLIENT_MEM_BYTES;

	if (i % 2 == 0) {
		assert_true(vclient_iotlb(fx->c, 0, VHOST_IOTLB_UPDATE, iova,
					  4096, fx->c->mem,
					  VHOST_ACCESS_RW) > 0);
	} else {
		assert_true(vclient_iotlb(fx->c, 0, VHOST_IOTLB_INVALIDATE,
					  iova, 4096, NULL, 0) > 0);
	}
}

static void test_map_changes_while_running(void **state)
{
	with_traffic(*state, change_other_map);
}

static void set_other_call(struct fixture *fx, unsigned int i)
{
	struct vhost_vring_file call = { .index = 1,
					 .fd = fx->c->q[1].call_fd };

	(void)i;
	vclient_must(fx->c, VHOST_SET_VRING_CALL, &call);
	enable(fx->c, 1, i % 2);
}

static void test_other_queue_changes_while_running(void **state)
{
	with_traffic(*state, set_other_call);
}

/* What is gone fails the request that needs it, and no other. */
static void test_unmapped_buffer_fails_its_request_alone(void **state)
{
	struct fixture *fx = *state;
	uint64_t iova = VCLIENT_IOVA + 2 * VCLIENT_MEM_BYTES;
	struct vq_sg sg[3];
	struct request r;

	for (unsigned int is_mapped = 2; is_mapped-- > 0;) {
		assert_true(vclient_iotlb(fx->c, 0,
					  is_mapped ? VHOST_IOTLB_UPDATE
						    : VHOST_IOTLB_INVALIDATE,
					  iova, 4096, fx->c->mem,
					  VHOST_ACCESS_RW) > 0);
		r = request_new(fx->c);
		sg[0] = (struct vq_sg){ vclient_iova(fx->c, r.hdr), 16 };
		sg[1] = (struct vq_sg){ iova, 512 };
		sg[2] = (struct vq_sg){ vclient_iova(fx->c, r.status), 1 };
		r.hdr->type = htole32(VIRTIO_BLK_T_OUT);
		vclient_add(fx->c, 0, sg, 2, 1, r.hdr);
		assert_ptr_equal(vclient_run_one(fx->c, 0).cookie, r.hdr);
		assert_int_equal(*r.status, is_mapped ? VIRTIO_BLK_S_OK
						      : VIRTIO_BLK_S_IOERR);
		serve_one(fx->c, 0);
	}
}

/* A ring that is mapped only after DRIVER_OK, and the kick, is served then. */
static void test_ring_mapped_late_is_served(void **state)
{
	struct fixture *fx = *state;
	struct request r = request_new(fx->c);

	assert_true(vclient_iotlb(fx->c, 0, VHOST_IOTLB_INVALIDATE,
				  VCLIENT_IOVA, VCLIENT_MEM_BYTES, NULL,
				  0) > 0);
	offer(fx->c, 0, &r);
	vclient_kick(fx->c, 0);
	assert_not_used(fx->c, 0);
	assert_true(vclient_iotlb(fx->c, 0, VHOST_IOTLB_UPDATE, VCLIENT_IOVA,
				  VCLIENT_MEM_BYTES, fx->c->mem,
				  VHOST_ACCESS_RW) > 0);
	assert_served(fx->c, 0, &r);
}

/* ---- groups ---- */

static const uint8_t new_mac[6] = { 2, 0, 0, 0, 0, 1 };

/* Sets the MAC address over the control queue. Return: the answer. */
static uint8_t set_mac(struct vclient *c)
{
	struct virtio_net_ctrl_hdr *hdr = vclient_alloc(c, 2, 1);
	uint8_t *mac = vclient_alloc(c, 6, 1);
	uint8_t *ack = vclient_alloc(c, 1, 1);
	struct vq_sg sg[] = {
		{ vclient_iova(c, hdr), 2 },
		{ vclient_iova(c, mac), 6 },
		{ vclient_iova(c, ack), 1 },
	};

	hdr->class = VIRTIO_NET_CTRL_MAC;
	hdr->cmd = VIRTIO_NET_CTRL_MAC_ADDR_SET;
	memcpy(mac, new_mac, 6);
	*ack = 0xee;
	vclient_add(c, 2, sg, 2, 1, hdr);
	assert_ptr_equal(vclient_run_one(c, 2).cookie, hdr);
	return *ack;
}

/* The control queue moves to another address space and back as it runs; only
 * what is mapped in that one is there for it. */
static void test_set_group_asid_while_running(void **state)
{
	struct vworld *w = vworld_new(NULL, 1);
	struct vdpa_device *vdev;
	struct region *region;
	struct vclient *c;

	(void)state;
	vworld_add(w, "vdpasim_net", "n0", 0, NULL, NULL);
	vdev = vdpa_device_find(w->bus, "n0");
	assert_int_equal(vclient_open(w, "vhost-vdpa-0", &c), 0);
	assert_int_equal(region_new_own(c->mem, VCLIENT_MEM_BYTES, NULL, NULL,
					&region),
			 0);
	vclient_start(c,
		      BIT_ULL(VIRTIO_NET_F_CTRL_VQ) |
			      BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR),
		      3, 64);
	assert_int_equal(set_mac(c), VIRTIO_NET_OK);
	/* Empty: the ring itself is gone, until it is mapped. */
	assert_int_equal(vdpa_set_group_asid(vdev, 1, 1), 0);
	assert_int_equal(vdpa_map(vdev, 1, VCLIENT_IOVA,
				  VCLIENT_IOVA + VCLIENT_MEM_BYTES - 1, region,
				  0, MEM_PERM_RW),
			 0);
	assert_int_equal(set_mac(c), VIRTIO_NET_OK);
	/* What happens to the other space is none of its business now. */
	assert_true(vdpa_unmap(vdev, 0, 0, UINT64_MAX) > 0);
	assert_int_equal(set_mac(c), VIRTIO_NET_OK);
	vclient_close(c);
	region_unref(region);
	vworld_free(w);
}

/* DPDK's virtio-user gives a packed ring half a state. */
static void test_half_a_packed_state_is_the_start(void **state)
{
	struct fixture *fx = *state;
	struct vhost_vring_state base = { .index = 0, .num = 0x8000 };

	vclient_reset(fx->c);
	vclient_negotiate(fx->c, PACKED);
	vclient_set_up_queue(fx->c, 0, 64);
	vclient_must(fx->c, VHOST_SET_VRING_BASE, &base);
	vclient_must(fx->c, VHOST_GET_VRING_BASE, &base);
	assert_int_equal(base.num, 0x8000); /* as it was given */
	vclient_set_status(fx->c, VIRTIO_CONFIG_S_ACKNOWLEDGE |
					  VIRTIO_CONFIG_S_DRIVER |
					  VIRTIO_CONFIG_S_FEATURES_OK |
					  VIRTIO_CONFIG_S_DRIVER_OK);
	serve_one(fx->c, 0);
}

#define SPLIT(name) \
	cmocka_unit_test_setup_teardown(name, set_up_split, tear_down)
#define RING_PACKED(name)                                             \
	{                                                             \
#name "_packed", name, set_up_packed, tear_down, NULL \
	}
#define BOTH(name) SPLIT(name), RING_PACKED(name)

static const struct CMUnitTest tests[] = {
	BOTH(test_broken_ring_asks_for_reset),
	BOTH(test_broken_ring_leaves_others_alone),
	BOTH(test_broken_ring_stays_broken),
	BOTH(test_kick_before_enable_is_not_lost),
	BOTH(test_kick_before_driver_ok_is_not_lost),
	BOTH(test_enable_before_address),
	BOTH(test_kick_eventfd_is_never_read),
	BOTH(test_suspend_keeps_kicks),
	BOTH(test_call_replaced_while_running),
	BOTH(test_map_changes_while_running),
	BOTH(test_other_queue_changes_while_running),
	BOTH(test_unmapped_buffer_fails_its_request_alone),
	BOTH(test_ring_mapped_late_is_served),
	RING_PACKED(test_half_a_packed_state_is_the_start),
	cmocka_unit_test(test_set_group_asid_while_running),
};

TEST_MAIN("dev_soft")
