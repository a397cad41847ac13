/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what the virtio-blk class tells its back ends, and of requests that
 * end later: with a back end that keeps what it is given until the test says
 * how each request ends.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/disk.h"

#include "dev/blk/class.h"

#define KEPT_MAX 64

/* What the back end saw of a request. */
struct kept {
	struct blk_req *req;
	uint8_t op;
	bool is_fua, may_unmap;
	uint64_t offset, len;
	unsigned int n_iov;
	uint64_t iov_bytes;
};

/* One thread, simulated: the test looks at it between two runs. */
struct spy {
	struct kept kept[KEPT_MAX];
	unsigned int n;
	unsigned int n_bursts;
	unsigned int n_cancels;
	unsigned int n_starts, n_stops;
	bool is_quick; /* ends each in submit() */
	bool ends_on_cancel;
	int64_t res; /* how */
};

/* Of the one test that runs. */
static struct spy *spy;

static int spy_open(struct blk_dev *blk)
{
	struct blk_limits *l = blk_limits(blk);

	l->capacity_sectors = 0x8000;
	l->discard_sectors = 1000;
	l->write_zeroes_sectors = 2000;
	l->secure_erase_sectors = 3000;
	return 0;
}

static void spy_close(struct blk_dev *blk)
{
	(void)blk;
	assert_int_equal(spy->n_starts, spy->n_stops);
}

static int spy_start(struct blk_vq *q)
{
	assert_true(loop_is_owner(blk_vq_loop(q)));
	spy->n_starts++;
	return 0;
}

static void spy_stop(struct blk_vq *q)
{
	assert_true(loop_is_owner(blk_vq_loop(q)));
	spy->n_stops++;
}

static uint64_t sum(const struct iovec *iov, unsigned int n)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < n; i++) {
		bytes += iov[i].iov_len;
	}
	return bytes;
}

static void spy_submit(struct blk_vq *q, struct blk_req *const *reqs,
		       unsigned int n)
{
	(void)q;
	spy->n_bursts++;
	for (unsigned int i = 0; i < n; i++) {
		struct blk_req *req = reqs[i];

		assert_in_range(spy->n, 0, KEPT_MAX - 1);
		spy->kept[spy->n++] = (struct kept){
			req,	     req->op,
			req->is_fua, req->may_unmap,
			req->offset, req->len,
			req->n_iov,  sum(req->iov, req->n_iov),
		};
		memset(req->priv, 0xcc, 64); /* is ours */
		if (spy->is_quick) {
			blk_done(req, spy->res);
		}
	}
}

/* Ends request @i of those that were kept. */
static void spy_end(unsigned int i, int64_t res)
{
	struct blk_req *req = spy->kept[i].req;

	assert_non_null(req);
	spy->kept[i].req = NULL;
	blk_done(req, res);
}

static void spy_cancel(struct blk_vq *q)
{
	(void)q;
	spy->n_cancels++;
	for (unsigned int i = 0; spy->ends_on_cancel && i < spy->n; i++) {
		if (spy->kept[i].req) {
			spy_end(i, -ECANCELED);
		}
	}
}

static const struct blk_backend spy_backend = {
	.name = "spy",
	.dev_bytes = 8,
	.req_bytes = 64,
	.open = spy_open,
	.close = spy_close,
	.queue_start = spy_start,
	.queue_stop = spy_stop,
	.submit = spy_submit,
	.cancel = spy_cancel,
};

static int spy_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		       const struct vdpa_dev_config *config)
{
	struct blk_dev *blk = calloc(1, sizeof(*blk));

	(void)config;
	assert_non_null(blk);
	assert_int_equal(blk_dev_set_backend(blk, &spy_backend), 0);
	(void)snprintf(blk->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	blk->num_queues = 1;
	blk->soft.num_max = 256;
	blk->feature_mask = UINT64_MAX;
	assert_int_equal(blk_dev_init(blk, mgmtdev), 0);
	return 0;
}

static const struct vdpa_mgmtdev_ops spy_ops = {
	.dev_add = spy_dev_add,
	.dev_del = blk_dev_del,
};

struct fixture {
	struct sim *sim;
	struct vworld *w;
	struct vclient *c;
	struct vdpa_mgmtdev mgmtdev;
	struct spy spy;
	char *buf;
	unsigned int n_sent;
};

static int set_up_ring(void **state, uint64_t features)
{
	const struct sim_options options = { .seed = 1 };
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	spy = &fx->spy;
	assert_int_equal(sim_new(&options, &fx->sim), 0);
	fx->w = vworld_new(fx->sim, 1);
	fx->mgmtdev = (struct vdpa_mgmtdev){
		.name = "spy",
		.ops = &spy_ops,
		.classes = BIT_ULL(VIRTIO_ID_BLOCK),
		.supported_features = UINT64_MAX,
	};
	assert_int_equal(vdpa_mgmtdev_register(fx->w->bus, &fx->mgmtdev), 0);
	assert_int_equal(vworld_add_keys(fx->w, "spy", "s0", 0, ""), 0);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	vclient_start(fx->c, features, 1, 256);
	fx->buf = vclient_alloc(fx->c, DISK_BUF, 4096);
	*state = fx;
	return 0;
}

static int set_up_wce(void **state)
{
	return set_up_ring(state, ALL_FEATURES | F(CONFIG_WCE));
}

static int set_up_packed(void **state)
{
	return set_up_ring(state, ALL_FEATURES | F(CONFIG_WCE) | RING_PACKED);
}

static int set_up_no_flush(void **state)
{
	return set_up_ring(state, F(WRITE_ZEROES));
}

static int set_up_no_wce(void **state)
{
	return set_up_ring(state, ALL_FEATURES);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vclient_close(fx->c);
	vdpa_mgmtdev_unregister(&fx->mgmtdev);
	vworld_free(fx->w);
	sim_free(fx->sim);
	free(fx);
	return 0;
}

/* Sends one request with 4096 bytes or, for ranges, @len bytes of data at
 * buf + 4096, its status at buf + 512 + number. Return: its number */
static unsigned int send_request(struct fixture *fx, uint32_t type,
				 uint64_t sector, uint32_t len)
{
	unsigned int i = fx->n_sent++;
	char *at = fx->buf + 32 * (size_t)i;
	struct virtio_blk_outhdr *hdr = (void *)at;
	struct vq_sg sg[3];
	unsigned int n = 0;
	bool is_in = type == VIRTIO_BLK_T_IN;

	assert_in_range(i, 0, 127);
	hdr->type = htole32(type);
	hdr->sector = htole64(sector);
	at[16] = 0x55;
	sg[n++] = (struct vq_sg){ vclient_iova(fx->c, at), 16 };
	if (len > 0) {
		sg[n++] = (struct vq_sg){ vclient_iova(fx->c, fx->buf) + 8192,
					  len };
	}
	sg[n++] = (struct vq_sg){ vclient_iova(fx->c, at) + 16, 1 };
	vclient_add(fx->c, 0, sg, is_in || len == 0 ? 1 : 2,
		    is_in && len > 0 ? 2 : 1, at);
	return i;
}

static uint8_t status_of(const struct fixture *fx, unsigned int i)
{
	return (uint8_t)fx->buf[32 * (size_t)i + 16];
}

static void run(struct fixture *fx)
{
	if (vq_driver_publish(fx->c->q[0].drv)) {
		vclient_kick(fx->c, 0);
	}
	assert_int_equal(sim_run(fx->sim, UINT64_MAX, NULL, NULL), 0);
}

/* Exactly one buffer is used: that request, with so many bytes. */
static void expect_used(struct fixture *fx, unsigned int i, uint32_t written,
			uint8_t status)
{
	struct vq_used used[2];

	assert_int_equal(vq_driver_get(fx->c->q[0].drv, used, 2), 1);
	assert_ptr_equal(used[0].cookie, fx->buf + 32 * (size_t)i);
	assert_int_equal(used[0].written, written);
	assert_int_equal(status_of(fx, i), status);
}

static void expect_none(struct fixture *fx)
{
	struct vq_used used;

	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 0);
}

/* ---- requests that end later, in any order ---- */

static void test_requests_end_later_in_any_order(void **state)
{
	struct fixture *fx = *state;
	unsigned int a = send_request(fx, VIRTIO_BLK_T_IN, 8, 4096);
	unsigned int b = send_request(fx, VIRTIO_BLK_T_OUT, 16, 4096);
	unsigned int c = send_request(fx, VIRTIO_BLK_T_FLUSH, 0, 0);
	unsigned int d = send_request(fx, VIRTIO_BLK_T_IN, 0, 512);

	run(fx);
	expect_none(fx);
	assert_int_equal(spy->n, 4);
	assert_int_equal(spy->n_bursts, 1);
	assert_int_equal(spy->kept[0].op, BLK_READ);
	assert_int_equal(spy->kept[0].offset, 4096);
	assert_int_equal(spy->kept[0].iov_bytes, 4096);
	assert_int_equal(spy->kept[1].op, BLK_WRITE);
	assert_int_equal(spy->kept[2].op, BLK_FLUSH);
	spy_end(2, 0);
	run(fx);
	expect_used(fx, c, 1, OK);
	spy_end(3, 100); /* 100 bytes are there, not more */
	run(fx);
	expect_used(fx, d, 101, OK);
	spy_end(1, -ENOSPC);
	run(fx);
	expect_used(fx, b, 1, IOERR);
	spy_end(0, 4096);
	run(fx);
	expect_used(fx, a, 4097, OK);
}

static void test_results_are_told_as_the_specification_has_them(void **state)
{
	static const struct {
		int64_t res;
		uint8_t want;
	} cases[] = {
		{ 0, OK },	    { -EIO, IOERR },	     { -ENOSPC, IOERR },
		{ -EINVAL, IOERR }, { -EOPNOTSUPP, UNSUPP }, { -EINTR, IOERR },
	};
	struct fixture *fx = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int a = send_request(fx, VIRTIO_BLK_T_OUT, 0, 512);

		run(fx);
		spy_end(i, cases[i].res);
		run(fx);
		expect_used(fx, a, 1, cases[i].want);
	}
}

/* ---- ranges ---- */

static void set_ranges(struct fixture *fx, unsigned int n, uint32_t n_sectors,
		       uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes *wire = (void *)(fx->buf + 8192);

	for (unsigned int i = 0; i < n; i++) {
		wire[i].sector = htole64(i * 100ULL);
		wire[i].num_sectors = htole32(n_sectors);
		wire[i].flags = htole32(flags);
	}
}

static void test_ranges_come_one_after_another(void **state)
{
	struct fixture *fx = *state;
	unsigned int a;

	set_ranges(fx, 3, 10, 1);
	a = send_request(fx, VIRTIO_BLK_T_WRITE_ZEROES, 0, 48);
	run(fx);
	/* H31: what the driver changes now is too late */
	memset(fx->buf + 8192, 0xff, 48);
	for (unsigned int i = 0; i < 3; i++) {
		expect_none(fx);
		assert_int_equal(spy->n, i + 1);
		assert_int_equal(spy->kept[i].op, BLK_WRITE_ZEROES);
		assert_int_equal(spy->kept[i].offset, i * 51200ULL);
		assert_int_equal(spy->kept[i].len, 5120);
		assert_true(spy->kept[i].may_unmap);
		spy_end(i, 0);
		run(fx);
	}
	expect_used(fx, a, 1, OK);
	/* the first that fails ends it */
	set_ranges(fx, 3, 10, 0);
	a = send_request(fx, VIRTIO_BLK_T_DISCARD, 0, 48);
	run(fx);
	spy_end(3, 0);
	spy_end(4, -EIO);
	run(fx);
	expect_used(fx, a, 1, IOERR);
	assert_int_equal(spy->n, 5);
}

static void test_ranges_of_a_quick_back_end(void **state)
{
	struct fixture *fx = *state;
	unsigned int a;

	spy->is_quick = true;
	set_ranges(fx, 16, 7, 0);
	a = send_request(fx, VIRTIO_BLK_T_SECURE_ERASE, 0, 256);
	run(fx);
	expect_used(fx, a, 1, OK);
	assert_int_equal(spy->n, 16);
	spy->res = -EIO;
	a = send_request(fx, VIRTIO_BLK_T_SECURE_ERASE, 0, 256);
	run(fx);
	expect_used(fx, a, 1, IOERR);
	assert_int_equal(spy->n, 17);
	/* ranges of nothing are done at once */
	set_ranges(fx, 16, 0, 0);
	a = send_request(fx, VIRTIO_BLK_T_DISCARD, 0, 256);
	run(fx);
	expect_used(fx, a, 1, OK);
	assert_int_equal(spy->n, 17);
}

static void test_h53_limits_of_the_back_end(void **state)
{
	static const struct {
		uint32_t type, max_sectors;
	} cases[] = {
		{ VIRTIO_BLK_T_DISCARD, 1000 },
		{ VIRTIO_BLK_T_WRITE_ZEROES, 2000 },
		{ VIRTIO_BLK_T_SECURE_ERASE, 3000 },
	};
	struct fixture *fx = *state;

	spy->is_quick = true;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int a;

		set_ranges(fx, 1, cases[i].max_sectors, 0);
		a = send_request(fx, cases[i].type, 0, 16);
		run(fx);
		expect_used(fx, a, 1, OK);
		set_ranges(fx, 1, cases[i].max_sectors + 1, 0);
		a = send_request(fx, cases[i].type, 0, 16);
		run(fx);
		expect_used(fx, a, 1, IOERR);
	}
}

/* ---- write through ---- */

/* Return: the request was to be written through. */
static bool is_fua(struct fixture *fx, uint32_t type)
{
	unsigned int n = spy->n;

	spy->is_quick = true;
	set_ranges(fx, 1, 8, 0);
	(void)send_request(fx, type, 0,
			   type == VIRTIO_BLK_T_FLUSH ? 0
			   : type <= VIRTIO_BLK_T_OUT ? 512
						      : 16);
	run(fx);
	assert_int_equal(spy->n, n + 1);
	return spy->kept[n].is_fua;
}

static void set_writeback(struct fixture *fx, uint8_t value)
{
	struct virtio_blk_config config;

	vclient_get_config(fx->c, &config, 72);
	config.wce = value;
	config.capacity = 0; /* not the driver's to change */
	vclient_set_config(fx->c, &config, 72);
	vclient_get_config(fx->c, &config, 72);
	assert_int_equal(le64toh(config.capacity), 0x8000);
}

static void test_writeback_is_the_drivers_choice(void **state)
{
	struct fixture *fx = *state;

	assert_false(is_fua(fx, VIRTIO_BLK_T_OUT));
	set_writeback(fx, 0);
	assert_true(is_fua(fx, VIRTIO_BLK_T_OUT));
	assert_true(is_fua(fx, VIRTIO_BLK_T_WRITE_ZEROES));
	assert_false(is_fua(fx, VIRTIO_BLK_T_IN));
	assert_false(is_fua(fx, VIRTIO_BLK_T_FLUSH));
	assert_false(is_fua(fx, VIRTIO_BLK_T_DISCARD));
	set_writeback(fx, 1);
	assert_false(is_fua(fx, VIRTIO_BLK_T_OUT));
}

static void test_without_config_wce_it_is_writeback(void **state)
{
	struct fixture *fx = *state;

	set_writeback(fx, 0);
	assert_false(is_fua(fx, VIRTIO_BLK_T_OUT));
}

static void test_without_flush_it_is_write_through(void **state)
{
	struct fixture *fx = *state;

	assert_true(is_fua(fx, VIRTIO_BLK_T_OUT));
	assert_true(is_fua(fx, VIRTIO_BLK_T_WRITE_ZEROES));
}

/* ---- stopping ---- */

static void test_stop_cancels_what_is_in_flight(void **state)
{
	struct fixture *fx = *state;
	unsigned int a = send_request(fx, VIRTIO_BLK_T_OUT, 0, 512);

	spy->ends_on_cancel = true;
	run(fx);
	assert_int_equal(spy->n, 1);
	vclient_must(fx->c, VHOST_VDPA_SUSPEND, NULL);
	assert_int_equal(spy->n_cancels, 1);
	expect_used(fx, a, 1, IOERR);
	vclient_must(fx->c, VHOST_VDPA_RESUME, NULL);
	/* nothing in flight: nothing to cancel */
	vclient_must(fx->c, VHOST_VDPA_SUSPEND, NULL);
	assert_int_equal(spy->n_cancels, 1);
	vclient_must(fx->c, VHOST_VDPA_RESUME, NULL);
	assert_int_equal(spy->n_starts, 1);
	assert_int_equal(spy->n_stops, 0);
}

#define WITH(set_up, name)                                       \
	{                                                        \
#name "_" #set_up, name, set_up, tear_down, NULL \
	}
#define ALL(name) WITH(set_up_wce, name), WITH(set_up_packed, name)

static const struct CMUnitTest tests[] = {
	ALL(test_requests_end_later_in_any_order),
	ALL(test_results_are_told_as_the_specification_has_them),
	ALL(test_ranges_come_one_after_another),
	ALL(test_ranges_of_a_quick_back_end),
	ALL(test_h53_limits_of_the_back_end),
	ALL(test_writeback_is_the_drivers_choice),
	WITH(set_up_no_wce, test_without_config_wce_it_is_writeback),
	WITH(set_up_no_flush, test_without_flush_it_is_write_through),
	ALL(test_stop_cancels_what_is_in_flight),
};

TEST_MAIN("dev_disk_backend")
