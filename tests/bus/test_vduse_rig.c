/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both ends of a VDUSE device inside the test.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "test_vduse_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "base/err.h"

#define TURN_NS	  (100ULL * 1000 * 1000)
#define SETTLE_NS 1000000

static void stop_control(void *priv)
{
	struct rig *r = priv;

	loop_stop(r->w->control);
}

/* Without simulation, that is as long as it takes. */
static void run_for(struct rig *r, uint64_t ns)
{
	struct loop_timer timer;

	if (r->sim) {
		(void)sim_run(r->sim, ns, NULL, NULL);
		return;
	}
	loop_timer_init(&timer, r->w->control, stop_control, r);
	assert_int_equal(loop_timer_set(&timer, ns), 0);
	assert_int_equal(loop_run(r->w->control), 0);
}

static void client_turn(void *priv)
{
	struct rig *r = priv;

	if (!rig_serve(r)) {
		run_for(r, r->sim ? TURN_NS : SETTLE_NS);
	}
}

static struct rig *rig_new(bool has_threads)
{
	const struct sim_options options = { .seed = 1 };
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	if (!has_threads) {
		assert_int_equal(sim_new(&options, &r->sim), 0);
	}
	r->w = vworld_new(r->sim, 1);
	assert_int_equal(vduse_register(r->w->bus, r->w->cdev, &r->vduse), 0);
	assert_int_equal(cdev_local_new(r->w->cdev, &r->process), 0);
	cdev_local_set_turn(r->w->local, client_turn, r);
	assert_int_equal(cdev_local_open(r->process, "vduse/control", O_RDWR,
					 &r->control),
			 0);
	r->memfd = memfd_create("client", MFD_CLOEXEC);
	assert_int_not_equal(r->memfd, -1);
	assert_int_equal(ftruncate(r->memfd, RIG_MEM_SIZE), 0);
	r->mem = mmap(NULL, RIG_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      r->memfd, 0);
	assert_ptr_not_equal(r->mem, MAP_FAILED);
	return r;
}

int rig_set_up_bare(void **state)
{
	*state = rig_new(false);
	return 0;
}

static struct rig *rig_with_device(uint64_t version, bool has_threads)
{
	struct vduse_create config = rig_config("vd0");
	struct rig *r = rig_new(has_threads);

	config.vq_num = 2;
	if (version >= VDUSE_API_V1) {
		config.ngroups = 3;
		config.nas = 2;
	}
	assert_int_equal(rig_control(r, VDUSE_SET_API_VERSION, &version), 0);
	assert_int_equal(rig_create(r, &config), 0);
	assert_int_equal(rig_open(r), 0);
	assert_int_equal(rig_setup_vq(r, 0, 256, 0), 0);
	assert_int_equal(
		rig_setup_vq(r, 1, 128, version >= VDUSE_API_V1 ? 2 : 0), 0);
	assert_int_equal(rig_dev_add(r, "vd0", NULL, NULL), 0);
	return r;
}

int rig_set_up(void **state)
{
	*state = rig_with_device(VDUSE_API_V0, false);
	return 0;
}

int rig_set_up_v1(void **state)
{
	*state = rig_with_device(VDUSE_API_V1, false);
	return 0;
}

int rig_set_up_threads(void **state)
{
	*state = rig_with_device(VDUSE_API_V1, true);
	return 0;
}

int rig_tear_down(void **state)
{
	struct rig *r = *state;

	r->answer = RIG_OK;
	r->hook = NULL;
	if (r->client) {
		rig_client_close(r);
	}
	if (r->vduse) {
		vduse_unregister(r->vduse);
	}
	rig_close(r);
	cdev_local_close(r->process, r->control);
	cdev_local_free(r->process);
	munmap(r->mem, RIG_MEM_SIZE);
	close(r->memfd);
	vworld_free(r->w);
	sim_free(r->sim);
	free(r);
	return 0;
}

/* ---- creating ---- */

struct vduse_create rig_config(const char *name)
{
	struct vduse_create config = {
		.device_id = VIRTIO_ID_BLOCK,
		.features = RIG_FEATURES,
		.vq_align = 4096,
		.config_size = 64,
	};

	(void)snprintf(config.name, sizeof(config.name), "%s", name);
	return config;
}

int64_t rig_create(struct rig *r, const struct vduse_create *config)
{
	union {
		struct vduse_create head;
		uint8_t room[sizeof(struct vduse_create) + 8192];
	} arg = { .room = { 0 } };

	arg.head = *config;
	return rig_control(r, VDUSE_CREATE_DEV, &arg);
}

int64_t rig_destroy(struct rig *r, const char *name)
{
	char arg[VDUSE_NAME_MAX] = "";

	(void)snprintf(arg, sizeof(arg), "%s", name);
	return rig_control(r, (uint32_t)VDUSE_DESTROY_DEV, arg);
}

int64_t rig_dev_add(struct rig *r, const char *name, const char *key,
		    const char *value)
{
	struct vdpa_dev_config config = { .n_params = key ? 1 : 0 };

	if (key) {
		(void)snprintf(config.params[0].key,
			       sizeof(config.params[0].key), "%s", key);
		(void)snprintf(config.params[0].value,
			       sizeof(config.params[0].value), "%s", value);
	}
	return vdpa_dev_add(r->w->bus, NULL, "vduse", name, &config);
}

int64_t rig_setup_vq(struct rig *r, uint32_t idx, uint16_t size, uint32_t group)
{
	struct vduse_vq_setup c = {
		.index = idx,
		.max_size = size,
		.group = group,
	};

	return rig_ioctl(r, VDUSE_VQ_SETUP, &c);
}

/* ---- the process ---- */

int64_t rig_open(struct rig *r)
{
	return cdev_local_open(r->process, "vduse/vd0", O_RDWR | O_NONBLOCK,
			       &r->dev);
}

void rig_close(struct rig *r)
{
	if (r->dev) {
		cdev_local_close(r->process, r->dev);
		r->dev = NULL;
	}
}

int64_t rig_ioctl(struct rig *r, uint32_t cmd, void *arg)
{
	return cdev_local_ioctl(r->process, r->dev, cmd, arg);
}

int64_t rig_control(struct rig *r, uint32_t cmd, void *arg)
{
	return cdev_local_ioctl(r->process, r->control, cmd, arg);
}

int64_t rig_reply(struct rig *r, uint32_t id, uint32_t result)
{
	struct vduse_response resp = {
		.request_id = id,
		.result = result,
		.vq_state = r->vq_state,
	};

	return cdev_local_write(r->process, r->dev, &resp, sizeof(resp));
}

bool rig_serve(struct rig *r)
{
	struct vduse_request *req = &r->log[r->n_log];
	enum rig_answer answer = r->answer; /* the hook's is for the next */

	assert_true(r->n_log < RIG_LOG_MAX);
	if (!r->dev || cdev_local_read(r->process, r->dev, req, sizeof(*req)) !=
			       sizeof(*req)) {
		return false;
	}
	r->n_log++;
	if (r->hook) {
		r->hook(r, req);
	}
	if (answer != RIG_SILENT) {
		assert_int_equal(rig_reply(r, req->request_id,
					   answer == RIG_OK
						   ? VDUSE_REQ_RESULT_OK
						   : VDUSE_REQ_RESULT_FAILED),
				 sizeof(struct vduse_response));
	}
	return true;
}

const struct vduse_request *rig_last(const struct rig *r)
{
	assert_int_not_equal(r->n_log, 0);
	return &r->log[r->n_log - 1];
}

/* ---- the client ---- */

int64_t rig_client_open(struct rig *r)
{
	int64_t ret = cdev_local_open(r->w->local, "vhost-vdpa-0", O_RDWR,
				      &r->client);

	if (ret < 0) {
		r->client = NULL;
		return ret;
	}
	return rig_client(r, VHOST_SET_OWNER, NULL);
}

void rig_client_close(struct rig *r)
{
	cdev_local_close(r->w->local, r->client);
	r->client = NULL;
	/* The reset that follows waits for the process. */
	while (r->answer != RIG_SILENT && rig_serve(r)) {
	}
	rig_settle(r);
}

int64_t rig_client(struct rig *r, uint32_t cmd, void *arg)
{
	return cdev_local_ioctl(r->w->local, r->client, cmd, arg);
}

int64_t rig_status(struct rig *r, uint8_t status)
{
	return rig_client(r, VHOST_VDPA_SET_STATUS, &status);
}

uint8_t rig_get_status(struct rig *r)
{
	uint8_t status = 0xff;

	assert_int_equal(rig_client(r, VHOST_VDPA_GET_STATUS, &status), 0);
	return status;
}

int64_t rig_features(struct rig *r, uint64_t features)
{
	return rig_client(r, VHOST_SET_FEATURES, &features);
}

int64_t rig_vring(struct rig *r, uint32_t cmd, uint32_t idx, int num)
{
	struct vhost_vring_state s = { idx, (unsigned int)num };

	return rig_client(r, cmd, &s);
}

static int64_t iotlb(struct rig *r, uint32_t asid,
		     const struct vhost_iotlb_msg *what)
{
	struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG_V2,
		.asid = asid,
		.iotlb = *what,
	};

	return cdev_local_write(r->w->local, r->client, &msg, sizeof(msg));
}

int64_t rig_map(struct rig *r, uint32_t asid, uint64_t iova, uint64_t offset,
		uint64_t size)
{
	const struct vhost_iotlb_msg msg = {
		.iova = iova,
		.size = size,
		.uaddr = (uintptr_t)r->mem + offset,
		.perm = VHOST_ACCESS_RW,
		.type = VHOST_IOTLB_UPDATE,
	};

	return iotlb(r, asid, &msg);
}

int64_t rig_iotlb(struct rig *r, uint32_t asid, uint8_t type, uint64_t iova,
		  uint64_t size)
{
	const struct vhost_iotlb_msg msg = {
		.iova = iova,
		.size = size,
		.type = type,
	};

	return iotlb(r, asid, &msg);
}

void rig_settle(struct rig *r)
{
	run_for(r, SETTLE_NS);
}

void rig_sleep(struct rig *r, unsigned int seconds)
{
	assert_non_null(r->sim);
	run_for(r, seconds * 1000000000ULL);
}
