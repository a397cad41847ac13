/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio block driver on a device in a process (VDUSE), which
 * answers when it likes, and reaches memory by the files that it asks for. Both
 * ends are in the test, on simulated loops.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus/test_vduse_rig.h"
#include "bus/virtio_disk.h"

#define SECTORS	    2048U
#define WINDOWS_MAX 8
#define FEATURES    (RIG_FEATURES | BIT_ULL(VIRTIO_BLK_F_FLUSH))
#define TURNS_MAX   1000

/* A piece of the driver's memory, in the process. */
struct window {
	uint64_t start, last;
	char *va;
};

struct fixture {
	struct rig *r;
	struct vdpa_driver *drv;
	struct dma_pool *pool;
	char *mem;
	struct vdpa_device *lower;
	struct virtio_device *vdev;
	struct vdpakit_blk *blk;
	struct vdpakit_blk_queue *q;
	/* jobs */
	bool is_done;
	int result;
	/* the process */
	struct window windows[WINDOWS_MAX];
	unsigned int n_windows;
	uint16_t avail_idx, used_idx;
};

static void set_capacity(struct rig *r)
{
	union {
		struct vduse_config_data head;
		uint8_t room[sizeof(struct vduse_config_data) + 8];
	} arg = { .head = { .offset = 0, .length = 8 } };
	uint64_t capacity = htole64(SECTORS);

	memcpy(arg.head.buffer, &capacity, sizeof(capacity));
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_SET_CONFIG, &arg), 0);
}

static void add_device(struct rig *r)
{
	struct vduse_create config = rig_config("vd0");
	uint64_t version = VDUSE_API_V0;

	config.vq_num = 1;
	config.features = FEATURES;
	assert_int_equal(rig_control(r, VDUSE_SET_API_VERSION, &version), 0);
	assert_int_equal(rig_create(r, &config), 0);
	assert_int_equal(rig_open(r), 0);
	set_capacity(r);
	assert_int_equal(rig_setup_vq(r, 0, 64, 0), 0);
	assert_int_equal(rig_dev_add(r, "vd0", NULL, NULL), 0);
}

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct region *region;
	void *rig;

	assert_non_null(fx);
	assert_int_equal(rig_set_up_bare(&rig), 0);
	fx->r = rig;
	add_device(fx->r);
	assert_int_equal(virtio_vdpa_register(fx->r->w->bus, &fx->drv), 0);
	assert_int_equal(dma_pool_new(&fx->pool), 0);
	assert_int_equal(dma_region_new(1U << 20, &region), 0);
	assert_int_equal(dma_pool_add(fx->pool, region), 0);
	fx->mem = region_va(region);
	region_unref(region);
	assert_int_equal(
		vdpa_dev_bind(fx->r->w->bus, "vd0", "virtio_vdpa", NULL, 0), 0);
	fx->lower = vdpa_device_find(fx->r->w->bus, "vd0");
	fx->vdev = virtio_vdpa_get(fx->lower);
	assert_non_null(fx->vdev);
	*state = fx;
	return 0;
}

static void close_windows(struct fixture *fx)
{
	for (unsigned int i = 0; i < fx->n_windows; i++) {
		const struct window *w = &fx->windows[i];

		assert_int_equal(munmap(w->va, w->last - w->start + 1), 0);
	}
	fx->n_windows = 0;
}

/* ---- jobs, as the library has them ---- */

static int probe(void *priv)
{
	struct fixture *fx = priv;
	int ret = blk_probe(fx->vdev, fx->pool, NULL, &fx->blk);

	if (ret == 0) {
		fx->q = vdpakit_blk_get_queue(fx->blk, 0);
	}
	return ret;
}

static int reset(void *priv)
{
	return blk_reset(((struct fixture *)priv)->blk);
}

static int end(void *priv)
{
	struct fixture *fx = priv;

	blk_remove(fx->blk);
	fx->blk = NULL;
	return 0;
}

static void job_done(void *priv, int result)
{
	struct fixture *fx = priv;

	assert_false(fx->is_done);
	fx->is_done = true;
	fx->result = result;
}

/* Runs both ends until a job is done; time goes by when nothing else does. */
static void serve_until_done(struct fixture *fx)
{
	for (unsigned int i = 0; !fx->is_done; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		if (!rig_serve(fx->r)) {
			rig_sleep(fx->r, 1);
		}
		rig_settle(fx->r);
	}
}

static int run(struct fixture *fx, int (*fn)(void *priv))
{
	struct virtio_vdpa_job job = { .fn = fn, .done = job_done, .priv = fx };

	fx->is_done = false;
	virtio_vdpa_run(fx->vdev, &job);
	serve_until_done(fx);
	return fx->result;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;
	void *rig = fx->r;

	fx->r->answer = RIG_OK;
	if (fx->blk) {
		assert_int_equal(run(fx, end), 0);
	}
	close_windows(fx);
	virtio_vdpa_unregister(fx->drv);
	rig_settle(fx->r);
	dma_pool_free(fx->pool);
	free(fx);
	return rig_tear_down(&rig);
}

/* ---- the process: a disk that answers by hand ---- */

static char *at(struct fixture *fx, uint64_t iova)
{
	struct vduse_iotlb_entry e = { .start = iova, .last = iova };
	struct window *w;
	int64_t fd;

	for (unsigned int i = 0; i < fx->n_windows; i++) {
		w = &fx->windows[i];
		if (iova >= w->start && iova <= w->last) {
			return w->va + (iova - w->start);
		}
	}
	assert_in_range(fx->n_windows, 0, WINDOWS_MAX - 1);
	fd = rig_ioctl(fx->r, VDUSE_IOTLB_GET_FD, &e);
	assert_true(fd >= 0);
	assert_int_equal(e.perm, VDUSE_ACCESS_RW);
	w = &fx->windows[fx->n_windows++];
	w->start = e.start;
	w->last = e.last;
	w->va = mmap(NULL, e.last - e.start + 1, PROT_READ | PROT_WRITE,
		     MAP_SHARED, (int)fd, (off_t)e.offset);
	assert_ptr_not_equal(w->va, MAP_FAILED);
	assert_int_equal(close((int)fd), 0);
	return w->va + (iova - w->start);
}

static struct vduse_vq_info vq_info(struct fixture *fx)
{
	struct vduse_vq_info info = { .index = 0 };

	assert_int_equal(rig_ioctl(fx->r, VDUSE_VQ_GET_INFO, &info), 0);
	assert_true(info.ready);
	return info;
}

/* Answers the next request: reads get @fill. Return: its type */
static uint32_t answer(struct fixture *fx, char fill)
{
	struct vduse_vq_info info = vq_info(fx);
	struct vring_avail *avail = (void *)at(fx, info.driver_addr);
	struct vring_used *used = (void *)at(fx, info.device_addr);
	struct vring_desc *desc = (void *)at(fx, info.desc_addr);
	struct virtio_blk_outhdr *hdr;
	uint16_t head, i, idx = __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE);
	uint32_t irq = 0, written = 1;

	assert_int_not_equal(le16toh(idx), fx->avail_idx);
	head = le16toh(avail->ring[fx->avail_idx++ % info.num]);
	hdr = (void *)at(fx, le64toh(desc[head].addr));
	for (i = le16toh(desc[head].next);
	     le16toh(desc[i].flags) & VRING_DESC_F_NEXT;
	     i = le16toh(desc[i].next)) {
		memset(at(fx, le64toh(desc[i].addr)), fill,
		       le32toh(desc[i].len));
		written += le32toh(desc[i].len);
	}
	*at(fx, le64toh(desc[i].addr)) = VIRTIO_BLK_S_OK;
	used->ring[fx->used_idx % info.num].id = htole32(head);
	used->ring[fx->used_idx % info.num].len = htole32(written);
	fx->used_idx++;
	__atomic_store_n(&used->idx, htole16(fx->used_idx), __ATOMIC_RELEASE);
	assert_int_equal(rig_ioctl(fx->r, VDUSE_VQ_INJECT_IRQ, &irq), 0);
	rig_settle(fx->r);
	return le32toh(hdr->type);
}

/* A ring starts anew. */
static int probe_anew(struct fixture *fx)
{
	fx->avail_idx = 0;
	fx->used_idx = 0;
	close_windows(fx);
	return run(fx, probe);
}

static void add_read(struct fixture *fx)
{
	const struct vdpakit_blk_req req = {
		.len_bytes = 4096,
		.buf = fx->mem + 8192,
		.user = fx,
	};

	assert_int_equal(vdpakit_blk_add(fx->q, &req, 1), 1);
	assert_int_equal(vdpakit_blk_submit(fx->q), 0);
	rig_settle(fx->r);
}

/* ---- tests ---- */

static void test_a_process_serves_requests(void **state)
{
	struct fixture *fx = *state;
	struct vdpakit_blk_done done;
	struct pollfd p;

	assert_int_equal(probe_anew(fx), 0);
	p = (struct pollfd){ vdpakit_blk_fd(fx->q), POLLIN, 0 };
	for (unsigned int i = 0; i < 100; i++) {
		add_read(fx);
		assert_int_equal(vdpakit_blk_arm(fx->q), 0);
		assert_int_equal(poll(&p, 1, 0), 0);
		assert_int_equal(answer(fx, (char)i), VIRTIO_BLK_T_IN);
		assert_int_equal(poll(&p, 1, 0), 1);
		assert_int_equal(vdpakit_blk_poll(fx->q, &done, 1), 1);
		assert_int_equal(done.result, 0);
		assert_int_equal(fx->mem[8192], (char)i);
		assert_int_equal(fx->mem[8192 + 4095], (char)i);
		assert_int_equal(fx->mem[8191], 0);
		assert_int_equal(fx->mem[8192 + 4096], 0);
		assert_int_equal(poll(&p, 1, 0), 0); /* it was emptied */
	}
}

static void test_the_order_of_status(void **state)
{
	static const uint8_t want[] = { 0, 1, 3, 0xb, 0xf };
	struct fixture *fx = *state;
	unsigned int n = 0;

	fx->r->n_log = 0;
	assert_int_equal(probe_anew(fx), 0);
	for (unsigned int i = 0; i < fx->r->n_log; i++) {
		if (fx->r->log[i].type != VDUSE_SET_STATUS) {
			continue;
		}
		/* It is reset already: whether it hears of that is its own
		 * business. */
		if (n == 0 && fx->r->log[i].s.status != 0) {
			n++;
		}
		assert_in_range(n, 0, ARRAY_SIZE(want) - 1);
		assert_int_equal(fx->r->log[i].s.status, want[n++]);
	}
	assert_int_equal(n, ARRAY_SIZE(want));
}

static void test_a_reset_in_a_turn(void **state)
{
	struct fixture *fx = *state;
	struct vdpakit_blk_done done;

	assert_int_equal(probe_anew(fx), 0);
	add_read(fx);
	assert_int_equal(run(fx, reset), 0);
	assert_int_equal(vdpakit_blk_poll(fx->q, &done, 1), 1);
	assert_int_equal(done.result, -EIO);
	fx->avail_idx = 0;
	fx->used_idx = 0;
	add_read(fx);
	assert_int_equal(answer(fx, 5), VIRTIO_BLK_T_IN);
	assert_int_equal(vdpakit_blk_poll(fx->q, &done, 1), 1);
	assert_int_equal(done.result, 0);
}

/* Whatever it is asked, it says nothing: that has an end. */
static void test_h83_a_process_that_never_answers(void **state)
{
	struct fixture *fx = *state;

	fx->r->answer = RIG_SILENT;
	assert_true(probe_anew(fx) < 0);
	assert_false(fx->vdev->is_taken);
	fx->r->answer = RIG_OK;
}

static void test_a_process_that_refuses(void **state)
{
	struct fixture *fx = *state;

	fx->r->answer = RIG_FAILED;
	assert_true(probe_anew(fx) < 0);
	assert_false(fx->vdev->is_taken);
	fx->r->answer = RIG_OK;
}

static void fill_and_block(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	assert_int_equal(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
}

/* Who has them may do that to them at any time: nobody waits for ever. */
static void test_h27_eventfds_that_block(void **state)
{
	struct fixture *fx = *state;
	struct vdpakit_blk_done done;

	assert_int_equal(probe_anew(fx), 0);
	fill_and_block(fx->vdev->vqs[0]->kick_fd);
	fill_and_block(fx->vdev->vqs[0]->call_fd);
	add_read(fx);
	add_read(fx);
	assert_int_equal(vdpakit_blk_arm(fx->q), 0);
	assert_int_equal(vdpakit_blk_poll(fx->q, &done, 1), 0);
	/* Emptied already, and still in its mode. */
	assert_int_equal(vdpakit_blk_arm(fx->q), 0);
	assert_int_equal(vdpakit_blk_poll(fx->q, &done, 1), 0);
	fill_and_block(fx->vdev->vqs[0]->call_fd);
	virtio_break(fx->vdev);
	rig_settle(fx->r);
	assert_int_equal(vdpakit_blk_wait(fx->q, &done, 1, 1, -1), -EIO);
}

/* What its process could not reach is refused, not left out. */
static void test_private_memory_is_refused(void **state)
{
	static char private[8192] __attribute__((aligned(4096)));
	struct fixture *fx = *state;
	struct region *region;

	assert_int_equal(probe_anew(fx), 0);
	assert_int_equal(region_new_own(private, sizeof(private), NULL, NULL,
					&region),
			 0);
	assert_int_equal(dma_pool_add(fx->pool, region), 0);
	assert_int_equal(dma_space_sync(fx->vdev->dma), -EOPNOTSUPP);
	assert_non_null(strstr(err_text(-EOPNOTSUPP), "another process"));
	region_unref(dma_pool_remove(fx->pool, private));
	region_unref(region);
	assert_int_equal(dma_space_sync(fx->vdev->dma), 0);
}

/* Deleted while its process is asked for something. */
static void test_it_goes_in_the_middle_of_a_job(void **state)
{
	struct fixture *fx = *state;
	struct virtio_vdpa_job job = { .fn = probe,
				       .done = job_done,
				       .priv = fx };

	fx->r->answer = RIG_SILENT;
	virtio_vdpa_run(fx->vdev, &job);
	assert_false(fx->is_done);
	vduse_unregister(fx->r->vduse);
	fx->r->vduse = NULL;
	assert_true(fx->is_done);
	assert_true(fx->result < 0);
}

/* Deleted while requests are under way. */
static void test_it_goes_with_requests_under_way(void **state)
{
	struct fixture *fx = *state;
	struct vdpakit_blk_done done;

	assert_int_equal(probe_anew(fx), 0);
	add_read(fx);
	fx->r->answer = RIG_SILENT;
	vduse_unregister(fx->r->vduse);
	fx->r->vduse = NULL;
	assert_int_equal(vdpakit_blk_poll(fx->q, &done, 1), -ENODEV);
	assert_int_equal(vdpakit_blk_wait(fx->q, &done, 1, 1, -1), -ENODEV);
	assert_int_equal(run(fx, reset), -ENODEV);
	assert_int_equal(run(fx, end), 0);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	WITH(test_a_process_serves_requests),
	WITH(test_the_order_of_status),
	WITH(test_a_reset_in_a_turn),
	WITH(test_h83_a_process_that_never_answers),
	WITH(test_a_process_that_refuses),
	WITH(test_private_memory_is_refused),
	WITH(test_h27_eventfds_that_block),
	WITH(test_it_goes_in_the_middle_of_a_job),
	WITH(test_it_goes_with_requests_under_way),
};

TEST_MAIN("virtio_vduse")
