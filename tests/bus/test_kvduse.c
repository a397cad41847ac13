/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vduse bus driver, as a well-behaved kernel uses it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/fd.h"
#include "lib/test.h"
#include "lib/vkernel.h"

struct fixture {
	struct vkernel *k;
	struct vdpa_device *vdev;
	unsigned int n_fds;
};

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->n_fds = test_count_fds();
	fx->k = vkernel_new();
	vworld_add(fx->k->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	vworld_add(fx->k->w, "vdpasim_net", "n0", 0, NULL, NULL);
	fx->vdev = vdpa_device_find(fx->k->w->bus, "b0");
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vkernel_free(fx->k);
	assert_int_equal(test_count_fds(), fx->n_fds);
	free(fx);
	return 0;
}

/* Writes a sector, reads it back. */
static void check_io(struct vkernel *k, unsigned int idx, uint8_t value)
{
	uint64_t mark = k->next_free;
	char *out = vkernel_alloc(k, 512, 512),
	     *in = vkernel_alloc(k, 512, 512);

	memset(out, value, 512);
	memset(in, 0, 512);
	assert_int_equal(vkernel_blk(k, idx, VIRTIO_BLK_T_OUT, value, out, 512),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(vkernel_blk(k, idx, VIRTIO_BLK_T_IN, value, in, 512),
			 VIRTIO_BLK_S_OK);
	assert_memory_equal(out, in, 512);
	k->next_free = mark;
}

/* ---- what the kernel is told ---- */

static void test_a_disk_is_made_as_it_is(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", "name=disk-0"), 0);
	assert_string_equal(k->created->name, "disk-0");
	assert_int_equal(k->created->device_id, VIRTIO_ID_BLOCK);
	assert_int_equal(k->created->vq_num, fx->vdev->nvqs);
	assert_int_equal(k->created->vq_align, 4096);
	assert_int_equal(k->created->config_size,
			 vdpa_get_config_size(fx->vdev));
	assert_int_equal(k->created->features,
			 vdpa_get_device_features(fx->vdev) &
				 ~BIT_ULL(VIRTIO_BLK_F_CONFIG_WCE));
	assert_int_equal(k->vqs[0].setup.max_size,
			 vdpa_get_vq_num_max(fx->vdev));
	assert_true(k->is_attached);
	assert_int_equal(vdpa_dev_unbind(k->w->bus, "b0"), 0);
	assert_false(k->is_attached);
	assert_false(k->exists);
}

static void test_a_card_has_no_control_queue(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	const struct virtio_net_config *config = (void *)k->config;
	struct vdpa_device *vdev = vdpa_device_find(k->w->bus, "n0");

	assert_true(
		has_bit(vdpa_get_device_features(vdev), VIRTIO_NET_F_CTRL_VQ));
	assert_int_equal(vkernel_bind(k, "n0", ""), 0);
	assert_int_equal(k->created->vq_num, 2);
	assert_false(has_bit(k->created->features, VIRTIO_NET_F_CTRL_VQ));
	assert_false(has_bit(k->created->features, VIRTIO_NET_F_CTRL_MAC_ADDR));
	assert_true(has_bit(k->created->features, VIRTIO_NET_F_MAC));
	assert_int_equal(config->max_virtqueue_pairs, 1);
}

static void test_groups_and_spaces_where_the_kernel_knows_them(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	struct vdpa_device *vdev = vdpa_device_find(k->w->bus, "n0");
	struct vduse_request req = { .type = VDUSE_REQUEST_SET_VQ_GROUP_ASID };

	k->latest = VDUSE_API_V1;
	assert_int_equal(vkernel_bind(k, "n0", ""), 0);
	assert_int_equal(k->version, VDUSE_API_V1);
	assert_int_equal(k->created->ngroups, vdev->ngroups);
	assert_int_equal(k->created->nas, vdev->nas);
	req.vq_group_asid.asid = 1;
	assert_int_equal(vkernel_ask(k, &req).result, VDUSE_REQ_RESULT_OK);
	req.vq_group_asid.asid = vdev->nas;
	assert_int_equal(vkernel_ask(k, &req).result, VDUSE_REQ_RESULT_FAILED);
	req.vq_group_asid.asid = 1;
	req.vq_group_asid.group = vdev->ngroups;
	assert_int_equal(vkernel_ask(k, &req).result, VDUSE_REQ_RESULT_FAILED);

	/* its memory is in that space, in every session */
	vkernel_map_memory(k);
	k->maps[0].entry.asid = 1;
	for (int i = 0; i < 2; i++) {
		vkernel_start(k, 0, 2, 8);
		assert_int_equal(vdpa_n_maps(vdev, 0), 0);
		assert_int_equal(vdpa_n_maps(vdev, 1), 1);
		vkernel_reset(k);
		assert_int_equal(vdpa_n_maps(vdev, 1), 0);
	}
}

static void test_a_new_config_space_is_told(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	const struct virtio_blk_config *config = (void *)k->config;
	struct vdpa_dev_config resize = { .n_params = 1 };

	assert_int_equal(vworld_add_keys(k->w, "blk", "d0", 0,
					 "backend=mem capacity=1M"),
			 0);
	assert_int_equal(vkernel_bind(k, "d0", ""), 0);
	vkernel_start(k, 0, 1, 8);
	assert_int_equal(config->capacity, 2048);
	(void)snprintf(resize.params[0].key, sizeof(resize.params[0].key),
		       "capacity");
	(void)snprintf(resize.params[0].value, sizeof(resize.params[0].value),
		       "2M");
	assert_int_equal(vdpa_dev_set(k->w->bus, "d0", &resize), 0);
	/* the next request comes after it, or it comes with the next look */
	for (int i = 0; i < 100 && k->n_config_irqs == 0; i++) {
		check_io(k, 0, 1);
		assert_true(vkernel_status(k, 0xf));
	}
	assert_int_equal(k->n_config_irqs, 1);
	assert_int_equal(config->capacity, 4096);
	vkernel_reset(k);
}

/* ---- sessions ---- */

static void test_io_in_every_ring_format(void **state)
{
	static const uint64_t formats[] = {
		0,
		BIT_ULL(VIRTIO_RING_F_EVENT_IDX),
		BIT_ULL(VIRTIO_F_RING_PACKED),
		BIT_ULL(VIRTIO_F_RING_PACKED) |
			BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
			BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC),
	};
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		vkernel_start(k, formats[i], 1, 16);
		for (uint8_t n = 0; n < 40; n++) {
			check_io(k, 0, n);
		}
		vkernel_reset(k);
		assert_int_equal(vdpa_get_status(fx->vdev), 0);
		assert_int_equal(vdpa_n_maps(fx->vdev, 0), 0);
	}
}

static void test_status_from_0_to_0xf_in_one(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	k->features = BIT_ULL(VIRTIO_F_VERSION_1) |
		      BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	vkernel_map_memory(k);
	vkernel_make_queue(k, 0, 8);
	assert_true(vkernel_status(k, 0xf));
	check_io(k, 0, 1);
	assert_false(vkernel_status(k, 0x3)); /* clears a bit */
	check_io(k, 0, 2);
}

static void test_a_queue_that_is_ready_late_runs_from_its_kick(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vworld_add_keys(k->w, "blk", "d0", 0,
					 "backend=mem capacity=1M "
					 "num_queues=2"),
			 0);
	assert_int_equal(vkernel_bind(k, "d0", ""), 0);
	vkernel_start(k, BIT_ULL(VIRTIO_BLK_F_MQ), 1, 8);
	check_io(k, 0, 1);
	vkernel_make_queue(k, 1, 8);
	check_io(k, 1, 2);
	check_io(k, 0, 3);
}

static void test_state_of_a_queue_is_where_it_stands(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	struct vduse_request req = { .type = VDUSE_REQUEST_GET_VQ_STATE };
	struct vduse_response resp;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	k->vqs[0].info.split.avail_index = 7;
	assert_int_equal(vkernel_ask(k, &req).vq_state.split.avail_index, 7);
	vkernel_start(k, 0, 1, 8);
	check_io(k, 0, 1);
	k->vqs[0].info.ready = 0;
	resp = vkernel_ask(k, &req);
	assert_int_equal(resp.result, VDUSE_REQ_RESULT_OK);
	assert_int_equal(resp.vq_state.split.avail_index, 2);
	vkernel_reset(k);
	vkernel_start(k, BIT_ULL(VIRTIO_F_RING_PACKED), 1, 8);
	check_io(k, 0, 1);
	resp = vkernel_ask(k, &req);
	assert_int_equal(resp.vq_state.packed.last_avail_idx, 6);
	assert_int_equal(resp.vq_state.packed.last_avail_counter, 1);
	assert_int_equal(resp.vq_state.packed.last_used_idx, 6);
	assert_int_equal(resp.vq_state.packed.last_used_counter, 1);
}

static void test_memory_may_change_while_queues_run(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	int more = memfd_create("more", MFD_CLOEXEC);

	assert_int_equal(ftruncate(more, 8192), 0);
	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	assert_true(vkernel_update(k)); /* nobody runs */
	vkernel_start(k, 0, 1, 8);
	check_io(k, 0, 1);
	vkernel_map(k, VKERNEL_IOVA + VKERNEL_MEM_BYTES,
		    VKERNEL_IOVA + VKERNEL_MEM_BYTES + 4095, more, 4096,
		    VDUSE_ACCESS_RO);
	assert_true(vkernel_update(k));
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 2);
	check_io(k, 0, 2);
	k->n_maps = 1;
	assert_true(vkernel_update(k));
	assert_int_equal(vdpa_n_maps(fx->vdev, 0), 1);
	check_io(k, 0, 3);
	close(more);
}

/* Before the kernel has heard that DRIVER_OK was taken. */
static void test_an_early_interrupt_is_not_lost(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	struct vduse_request req = { .type = VDUSE_REQUEST_SET_STATUS,
				     .request_id = 99 };

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	vkernel_start(k, 0, 1, 8);
	__atomic_store_n(&k->is_running, false, __ATOMIC_RELEASE);
	assert_int_equal(
		vq_driver_add(k->vqs[0].q.drv,
			      (struct vq_sg[]){ { VKERNEL_IOVA, 16 },
						{ VKERNEL_IOVA + 16, 1 } },
			      1, 1, k),
		0);
	assert_true(vq_driver_publish(k->vqs[0].q.drv));
	assert_false(vq_driver_enable_call(k->vqs[0].q.drv));
	vkernel_kick(k, 0);
	/* some requests, and the device is done, and the kernel refuses */
	req.s.status = 0xf;
	do {
		struct vq_used used;

		vkernel_send(k, &req, sizeof(req));
		(void)vkernel_answer(k, req.request_id);
		if (vq_driver_get(k->vqs[0].q.drv, &used, 1) == 1) {
			break;
		}
	} while (true);
	__atomic_store_n(&k->is_running, true, __ATOMIC_RELEASE);
	vkernel_wait(k, k->vqs[0].q.call_fd);
}

/* ---- attaching and detaching ---- */

static void ask_during_attach(struct vkernel *k)
{
	struct vduse_request req = { .type = VDUSE_REQUEST_SET_STATUS };
	struct vduse_response resp;

	req.s.status = 1;
	(void)!send(k->sock, &req, sizeof(req), 0);
	/* waits for it, as the kernel does */
	(void)poll(&(struct pollfd){ .fd = k->sock, .events = POLLIN }, 1, -1);
	(void)!recv(k->sock, &resp, sizeof(resp), 0);
}

static void test_requests_are_answered_while_it_attaches(void **state)
{
	struct fixture *fx = *state;

	fx->k->on_attach = ask_during_attach;
	assert_int_equal(vkernel_bind(fx->k, "b0", ""), 0);
	assert_int_equal(vdpa_get_status(fx->vdev), 1);
}

static void note_deleted(void *priv, int result)
{
	*(int *)priv = result;
}

static void test_deletion_waits_until_the_kernel_lets_go(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	int result = 1;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	vkernel_start(k, 0, 1, 8);
	assert_int_equal(vdpa_dev_unbind(k->w->bus, "b0"), -EBUSY);
	k->detach_result = -EBUSY;
	assert_int_equal(vdpa_dev_del(k->w->bus, "b0", note_deleted, &result),
			 0);
	while (__atomic_load_n(&k->n_detached, __ATOMIC_RELAXED) < 3) {
		check_io(k, 0, 1);
		assert_true(vkernel_status(k, 0xf));
	}
	assert_int_equal(result, 1);
	vkernel_reset(k);
	k->detach_result = 0;
	/* it hangs up when it goes */
	vkernel_wait(k, k->sock);
	assert_int_equal(result, 0);
	assert_null(vdpa_device_find(k->w->bus, "b0"));
	assert_false(k->exists);
}

static void test_attach_off_leaves_it_to_others(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", "attach=off"), 0);
	assert_int_equal(k->n_attached, 0);
	assert_false(k->is_attached);
	k->is_attached = true;
	vkernel_start(k, 0, 1, 8);
	check_io(k, 0, 1);
}

/* ---- restart ---- */

static void restart_and_go_on(struct vkernel *k, const char *keys,
			      uint64_t features)
{
	assert_int_equal(vkernel_bind(k, "b0", keys), 0);
	vkernel_start(k, features, 1, 8);
	for (uint8_t n = 0; n < 11; n++) {
		check_io(k, 0, n);
	}
	for (int i = 0; i < 3; i++) {
		vkernel_restart(k);
		assert_true(k->exists);
		assert_true(k->is_attached);
		assert_int_equal(vkernel_bind(k, "b0", keys), 0);
		for (uint8_t n = 0; n < 11; n++) {
			check_io(k, 0, n);
		}
	}
	vkernel_reset(k);
	vkernel_start(k, features, 1, 8);
	check_io(k, 0, 1);
}

static void test_goes_on_by_the_log(void **state)
{
	struct fixture *fx = *state;

	restart_and_go_on(fx->k, "keep=on", 0);
	assert_int_equal(vdpa_dev_del(fx->k->w->bus, "b0", NULL, NULL), 0);
}

static void test_goes_on_by_the_log_packed(void **state)
{
	struct fixture *fx = *state;

	restart_and_go_on(fx->k, "keep=on", BIT_ULL(VIRTIO_F_RING_PACKED));
	assert_int_equal(vdpa_dev_del(fx->k->w->bus, "b0", NULL, NULL), 0);
}

static void test_goes_on_by_the_ring(void **state)
{
	struct fixture *fx = *state;

	restart_and_go_on(fx->k, "keep=on inflight=off", 0);
}

static void test_a_packed_ring_without_a_log_waits_for_a_reset(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", "keep=on inflight=off"), 0);
	vkernel_start(k, BIT_ULL(VIRTIO_F_RING_PACKED), 1, 8);
	check_io(k, 0, 1);
	vkernel_restart(k);
	assert_int_equal(vkernel_bind(k, "b0", "keep=on inflight=off"), 0);
	assert_false(vdpa_get_vq_ready(fx->vdev, 0));
	vkernel_reset(k);
	vkernel_start(k, BIT_ULL(VIRTIO_F_RING_PACKED), 1, 8);
	check_io(k, 0, 2);
}

static void test_a_request_that_nobody_answered_comes_again(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	struct vduse_request req = { .type = VDUSE_REQUEST_SET_STATUS,
				     .request_id = 7 };

	/* DRIVER_OK, when nobody was there to hear it */
	assert_int_equal(vkernel_bind(k, "b0", "keep=on"), 0);
	k->features = BIT_ULL(VIRTIO_F_VERSION_1) |
		      BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	vkernel_map_memory(k);
	vkernel_make_queue(k, 0, 8);
	vkernel_restart(k);
	assert_int_equal(vkernel_bind(k, "b0", "keep=on"), 0);
	assert_int_equal(vdpa_get_status(fx->vdev), 0);
	req.s.status = 0xf;
	vkernel_send(k, &req, sizeof(req));
	assert_int_equal(vkernel_answer(k, 7).result, VDUSE_REQ_RESULT_OK);
	__atomic_store_n(&k->is_running, true, __ATOMIC_RELEASE);
	check_io(k, 0, 1);
	vkernel_reset(k);
	assert_int_equal(vdpa_dev_unbind(k->w->bus, "b0"), 0);
}

/* ---- a process that dies ---- */

/* In a process of its own: serves a device, sends us the kernel's end of its
 * file and the name of a folder to be removed. */
_Noreturn static void serve_until_killed(int to)
{
	struct vkernel *k = vkernel_new();
	struct iovec iov = { k->folder, sizeof(k->folder) };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1, .n_fds = 1 };

	vworld_add(k->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	if (vkernel_bind(k, "b0", "inflight=off attach=off") < 0 ||
	    !vkernel_status(k, VIRTIO_CONFIG_S_ACKNOWLEDGE)) {
		_exit(1);
	}
	vkernel_run_once(k); /* it waits for the next message */
	msg.fds[0] = k->sock;
	(void)fd_send(to, &msg, 0);
	for (;;) {
		(void)pause();
	}
}

/* The kernel lets one process have the device: a successor that comes as soon
 * as this one has been waited for must not find it taken. */
static void test_nothing_keeps_the_file_of_a_dead_process(void **state)
{
	char folder[sizeof(((struct vkernel *)0)->folder)];
	struct iovec iov = { folder, sizeof(folder) };

	for (unsigned int round = 0; round < 10; round++) {
		struct fd_msg msg = { .iov = &iov, .n_iov = 1 };
		struct pollfd file = { .events = POLLRDHUP };
		int socks[2];
		pid_t pid;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
					    0, socks),
				 0);
		pid = fork();
		assert_int_not_equal(pid, -1);
		if (pid == 0) {
			(void)close(socks[0]);
			serve_until_killed(socks[1]);
		}
		(void)close(socks[1]);
		assert_int_equal(fd_recv(socks[0], &msg, 0), sizeof(folder));
		assert_int_equal(msg.n_fds, 1);
		file.fd = msg.fds[0];
		assert_int_equal(poll(&file, 1, 0), 0);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(poll(&file, 1, 0), 1);
		fd_msg_close(&msg);
		(void)close(socks[0]);
		assert_int_equal(rmdir(folder), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	TEST(test_a_disk_is_made_as_it_is),
	TEST(test_a_card_has_no_control_queue),
	TEST(test_groups_and_spaces_where_the_kernel_knows_them),
	TEST(test_a_new_config_space_is_told),
	TEST(test_io_in_every_ring_format),
	TEST(test_status_from_0_to_0xf_in_one),
	TEST(test_a_queue_that_is_ready_late_runs_from_its_kick),
	TEST(test_state_of_a_queue_is_where_it_stands),
	TEST(test_memory_may_change_while_queues_run),
	TEST(test_an_early_interrupt_is_not_lost),
	TEST(test_requests_are_answered_while_it_attaches),
	TEST(test_deletion_waits_until_the_kernel_lets_go),
	TEST(test_attach_off_leaves_it_to_others),
	TEST(test_goes_on_by_the_log),
	TEST(test_goes_on_by_the_log_packed),
	TEST(test_goes_on_by_the_ring),
	TEST(test_a_packed_ring_without_a_log_waits_for_a_reset),
	TEST(test_a_request_that_nobody_answered_comes_again),
	cmocka_unit_test(test_nothing_keeps_the_file_of_a_dead_process),
};

TEST_MAIN("kvduse")
