/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-vdpa client inside the test.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/vclient.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "base/err.h"
#include "busdrv/vhost_vdpa.h"
#include "dev/blk/blk.h"
#include "dev/blk/vdpasim_blk.h"
#include "dev/net/net.h"
#include "dev/net/vdpasim_net.h"
#include "lib/test.h"
#include "loop/loop.h"
#include "uapi/compat.h"

/* ---- the world ---- */

static void make_loops(struct vworld *w)
{
	if (w->sim) {
		assert_int_equal(sim_loop_new(w->sim, "control", &w->control),
				 0);
	} else {
		assert_int_equal(loop_new("control", &w->control), 0);
	}
	for (unsigned int i = 0; i < w->n_workers; i++) {
		if (w->sim) {
			assert_int_equal(sim_loop_new(w->sim, "worker",
						      &w->workers[i]),
					 0);
			continue;
		}
		assert_int_equal(loop_new("worker", &w->workers[i]), 0);
		assert_int_equal(loop_start(w->workers[i]), 0);
	}
}

struct vworld *vworld_new(struct sim *sim, unsigned int n_workers)
{
	struct vworld *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->sim = sim;
	w->n_workers = n_workers;
	make_loops(w);
	assert_int_equal(
		vdpa_bus_new(w->control, w->workers, n_workers, &w->bus), 0);
	assert_int_equal(cdev_new(w->control, &w->cdev), 0);
	assert_int_equal(cdev_local_new(w->cdev, &w->local), 0);
	assert_int_equal(vhost_vdpa_register(w->bus, w->cdev, &w->vhost_vdpa),
			 0);
	assert_int_equal(vdpasim_net_register(w->bus, &w->net), 0);
	assert_int_equal(vdpasim_blk_register(w->bus, &w->blk), 0);
	assert_int_equal(blk_register(w->bus, &w->disk), 0);
	assert_int_equal(net_register(w->bus, &w->nic), 0);
	return w;
}

void vworld_free(struct vworld *w)
{
	vhost_vdpa_unregister(w->vhost_vdpa);
	vdpasim_net_unregister(w->net);
	vdpasim_blk_unregister(w->blk);
	blk_unregister(w->disk);
	net_unregister(w->nic);
	cdev_local_free(w->local);
	cdev_free(w->cdev);
	vdpa_bus_free(w->bus);
	for (unsigned int i = 0; i < w->n_workers; i++) {
		if (!w->sim) {
			loop_stop(w->workers[i]);
		}
		loop_free(w->workers[i]);
	}
	loop_free(w->control);
	free(w);
}

void vworld_add(struct vworld *w, const char *mgmtdev, const char *name,
		uint64_t features, const char *key, const char *value)
{
	struct vdpa_dev_config config = {
		.mask = features ? BIT_ULL(VDPA_ATTR_FEATURES) : 0,
		.device_features = features,
		.is_admin = true,
	};
	int ret;

	if (key) {
		config.n_params = 1;
		(void)snprintf(config.params[0].key,
			       sizeof(config.params[0].key), "%s", key);
		(void)snprintf(config.params[0].value,
			       sizeof(config.params[0].value), "%s", value);
	}
	ret = vdpa_dev_add(w->bus, NULL, mgmtdev, name, &config);
	if (ret < 0) {
		fail_msg("dev add %s: %s", name, err_text(ret));
	}
}

void vworld_parse_keys(const char *keys, struct vdpa_dev_config *ret)
{
	char buf[512], *save = NULL, *key;

	assert_in_range(snprintf(buf, sizeof(buf), "%s", keys), 0,
			sizeof(buf) - 1);
	for (key = strtok_r(buf, " ", &save); key;
	     key = strtok_r(NULL, " ", &save)) {
		struct vdpa_param *param = &ret->params[ret->n_params++];
		char *equals = strchr(key, '=');

		assert_non_null(equals);
		*equals = '\0';
		(void)snprintf(param->key, sizeof(param->key), "%s", key);
		(void)snprintf(param->value, sizeof(param->value), "%s",
			       equals + 1);
	}
}

int vworld_add_keys(struct vworld *w, const char *mgmtdev, const char *name,
		    uint64_t features, const char *keys)
{
	struct vdpa_dev_config config = {
		.mask = features ? BIT_ULL(VDPA_ATTR_FEATURES) : 0,
		.device_features = features,
	};

	vworld_parse_keys(keys, &config);
	return vdpa_dev_add(w->bus, NULL, mgmtdev, name, &config);
}

struct wanted_stat {
	const char *name;
	uint64_t value;
	unsigned int n_found;
};

static void keep_stat(void *priv, const char *name, uint64_t value)
{
	struct wanted_stat *want = priv;

	if (strcmp(name, want->name) == 0) {
		want->value = value;
		want->n_found++;
	}
}

uint64_t vworld_stat(struct vworld *w, const char *dev, uint32_t idx,
		     const char *name)
{
	struct wanted_stat want = { .name = name };

	assert_int_equal(vdpa_get_vendor_vq_stats(vdpa_device_find(w->bus, dev),
						  idx, keep_stat, &want),
			 0);
	assert_int_equal(want.n_found, 1);
	return want.value;
}

/* ---- open and close ---- */

static void own_and_map(struct vclient *c)
{
	vclient_must(c, VHOST_SET_OWNER, NULL);
	assert_int_equal(vclient_iotlb(c, 0, VHOST_IOTLB_UPDATE, VCLIENT_IOVA,
				       VCLIENT_MEM_BYTES, c->mem,
				       VHOST_ACCESS_RW),
			 sizeof(struct vhost_msg_v2));
}

int64_t vclient_open(struct vworld *w, const char *node, struct vclient **ret)
{
	struct vclient *c = calloc(1, sizeof(*c));
	int64_t r;

	assert_non_null(c);
	c->w = w;
	for (unsigned int i = 0; i < VCLIENT_QUEUES_MAX; i++) {
		c->q[i].kick_fd = -1;
		c->q[i].call_fd = -1;
	}
	r = cdev_local_open(w->local, node, O_RDWR, &c->file);
	if (r < 0) {
		free(c);
		return r;
	}
	c->memfd = memfd_create("client", MFD_CLOEXEC);
	assert_int_not_equal(c->memfd, -1);
	assert_int_equal(ftruncate(c->memfd, VCLIENT_MEM_BYTES), 0);
	c->mem = mmap(NULL, VCLIENT_MEM_BYTES, PROT_READ | PROT_WRITE,
		      MAP_SHARED, c->memfd, 0);
	assert_ptr_not_equal(c->mem, MAP_FAILED);
	own_and_map(c);
	*ret = c;
	return 0;
}

static void forget_queues(struct vclient *c)
{
	for (unsigned int i = 0; i < VCLIENT_QUEUES_MAX; i++) {
		struct vqueue *q = &c->q[i];

		q->drv = vq_driver_free(q->drv);
		if (q->kick_fd >= 0) {
			close(q->kick_fd);
			close(q->call_fd);
		}
		q->kick_fd = -1;
		q->call_fd = -1;
	}
	c->next_free = 0;
}

void vclient_close(struct vclient *c)
{
	cdev_local_close(c->w->local, c->file);
	forget_queues(c);
	munmap(c->mem, VCLIENT_MEM_BYTES);
	close(c->memfd);
	free(c);
}

/* ---- calls ---- */

int64_t vclient_ioctl(struct vclient *c, uint32_t cmd, void *arg)
{
	return cdev_local_ioctl(c->w->local, c->file, cmd, arg);
}

void vclient_must(struct vclient *c, uint32_t cmd, void *arg)
{
	int64_t ret = vclient_ioctl(c, cmd, arg);

	if (ret != 0) {
		fail_msg("ioctl 0x%x: %s", cmd, strerror((int)-ret));
	}
}

int64_t vclient_iotlb(struct vclient *c, uint32_t asid, uint8_t type,
		      uint64_t iova, uint64_t size, void *uaddr, uint8_t perm)
{
	struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG_V2,
		.asid = asid,
		.iotlb = {
			.iova = iova,
			.size = size,
			.uaddr = (uintptr_t)uaddr,
			.perm = perm,
			.type = type,
		},
	};

	return cdev_local_write(c->w->local, c->file, &msg, sizeof(msg));
}

void vclient_set_status(struct vclient *c, uint8_t status)
{
	vclient_must(c, VHOST_VDPA_SET_STATUS, &status);
}

uint8_t vclient_status(struct vclient *c)
{
	uint8_t status;

	vclient_must(c, VHOST_VDPA_GET_STATUS, &status);
	return status;
}

static void config_call(struct vclient *c, uint32_t cmd, char *arg,
			uint32_t len)
{
	const uint32_t head[2] = { 0, len };

	memcpy(arg, head, sizeof(head));
	vclient_must(c, cmd, arg);
}

void vclient_get_config(struct vclient *c, void *buf, uint32_t len)
{
	char arg[8 + 256];

	assert_in_range(len, 1, 256);
	config_call(c, VHOST_VDPA_GET_CONFIG, arg, len);
	memcpy(buf, arg + 8, len);
}

void vclient_set_config(struct vclient *c, const void *buf, uint32_t len)
{
	char arg[8 + 256];

	assert_in_range(len, 1, 256);
	memcpy(arg + 8, buf, len);
	config_call(c, VHOST_VDPA_SET_CONFIG, arg, len);
}

void *vclient_alloc(struct vclient *c, size_t size, size_t align)
{
	uint64_t at = align_up(c->next_free, align);

	assert_true(range_fits(at, size, VCLIENT_MEM_BYTES));
	c->next_free = at + size;
	return c->mem + at;
}

uint64_t vclient_iova(const struct vclient *c, const void *va)
{
	return VCLIENT_IOVA + (uint64_t)((const char *)va - c->mem);
}

/* ---- set-up ---- */

void vclient_negotiate(struct vclient *c, uint64_t features)
{
	uint64_t offered;

	vclient_set_status(c, VIRTIO_CONFIG_S_ACKNOWLEDGE |
				      VIRTIO_CONFIG_S_DRIVER);
	vclient_must(c, VHOST_GET_FEATURES, &offered);
	features |= BIT_ULL(VIRTIO_F_VERSION_1) |
		    BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	assert_int_equal(features & ~offered, 0);
	vclient_must(c, VHOST_SET_FEATURES, &features);
	vclient_set_status(c, VIRTIO_CONFIG_S_ACKNOWLEDGE |
				      VIRTIO_CONFIG_S_DRIVER |
				      VIRTIO_CONFIG_S_FEATURES_OK);
	c->features = features;
}

static void set_ring(struct vclient *c, unsigned int idx)
{
	struct vqueue *q = &c->q[idx];
	struct vhost_vring_state num = { .index = idx, .num = q->num };
	struct vhost_vring_state base = { .index = idx, .num = q->base };
	struct vhost_vring_addr addr = { .index = idx };
	struct vq_layout layout;

	vq_layout(q->num, c->features, &layout);
	addr.desc_user_addr = q->ring_iova + layout.desc_area;
	addr.avail_user_addr = q->ring_iova + layout.driver_area;
	addr.used_user_addr = q->ring_iova + layout.device_area;
	vclient_must(c, VHOST_SET_VRING_NUM, &num);
	vclient_must(c, VHOST_SET_VRING_BASE, &base);
	vclient_must(c, VHOST_SET_VRING_ADDR, &addr);
}

static void set_fds_and_enable(struct vclient *c, unsigned int idx)
{
	struct vqueue *q = &c->q[idx];
	struct vhost_vring_file kick = { .index = idx, .fd = q->kick_fd };
	struct vhost_vring_file call = { .index = idx, .fd = q->call_fd };
	struct vhost_vring_state enable = { .index = idx, .num = 1 };

	vclient_must(c, VHOST_SET_VRING_KICK, &kick);
	vclient_must(c, VHOST_SET_VRING_CALL, &call);
	vclient_must(c, VHOST_VDPA_SET_VRING_ENABLE, &enable);
}

void vclient_set_up_queue(struct vclient *c, unsigned int idx, uint16_t num)
{
	struct vqueue *q = &c->q[idx];
	struct vq_layout layout;
	void *ring;

	vq_layout(num, c->features, &layout);
	ring = vclient_alloc(c, layout.size_bytes, 4096);
	memset(ring, 0, layout.size_bytes);
	q->num = num;
	q->ring_iova = vclient_iova(c, ring);
	/* Packed rings begin with both wrap counters set. */
	q->base = has_bit(c->features, VIRTIO_F_RING_PACKED) ? 0x80008000 : 0;
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(vq_driver_new(num, c->features, ring, q->ring_iova,
				       &q->drv),
			 0);
	set_ring(c, idx);
	set_fds_and_enable(c, idx);
}

#define FEATURES_OK                                             \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
	 VIRTIO_CONFIG_S_FEATURES_OK)

void vclient_start(struct vclient *c, uint64_t features, unsigned int n_queues,
		   uint16_t num)
{
	vclient_negotiate(c, features);
	for (unsigned int i = 0; i < n_queues; i++) {
		vclient_set_up_queue(c, i, num);
	}
	vclient_set_status(c, FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

void vclient_reset(struct vclient *c)
{
	vclient_set_status(c, 0);
	forget_queues(c);
}

void vclient_save(struct vclient *c)
{
	vclient_must(c, VHOST_VDPA_SUSPEND, NULL);
	for (unsigned int i = 0; i < VCLIENT_QUEUES_MAX; i++) {
		struct vhost_vring_state base = { .index = i };

		if (c->q[i].drv) {
			vclient_must(c, VHOST_GET_VRING_BASE, &base);
			c->q[i].base = base.num;
		}
	}
	vclient_set_status(c, 0);
}

void vclient_reopen(struct vclient *c, const char *node)
{
	cdev_local_close(c->w->local, c->file);
	assert_int_equal(cdev_local_open(c->w->local, node, O_RDWR, &c->file),
			 0);
	own_and_map(c);
}

void vclient_restore(struct vclient *c)
{
	vclient_negotiate(c, c->features);
	for (unsigned int i = 0; i < VCLIENT_QUEUES_MAX; i++) {
		if (c->q[i].drv) {
			set_ring(c, i);
			set_fds_and_enable(c, i);
		}
	}
	vclient_set_status(c, FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* ---- traffic ---- */

void vclient_kick(struct vclient *c, unsigned int idx)
{
	uint64_t one = 1;

	assert_int_equal(write(c->q[idx].kick_fd, &one, sizeof(one)),
			 sizeof(one));
}

static bool take_call(struct vclient *c, unsigned int idx)
{
	uint64_t n;

	return read(c->q[idx].call_fd, &n, sizeof(n)) == sizeof(n);
}

void vclient_wait_call(struct vclient *c, unsigned int idx)
{
	struct pollfd pfd = { .fd = c->q[idx].call_fd, .events = POLLIN };

	if (c->w->sim) {
		assert_int_equal(sim_run(c->w->sim, UINT64_MAX, NULL, NULL), 0);
	} else {
		assert_int_equal(poll(&pfd, 1, 10000), 1);
	}
	assert_true(take_call(c, idx));
}

void vclient_add(struct vclient *c, unsigned int idx, const struct vq_sg *sg,
		 unsigned int n_readable, unsigned int n_writable, void *cookie)
{
	assert_int_equal(vq_driver_add(c->q[idx].drv, sg, n_readable,
				       n_writable, cookie),
			 0);
}

struct vq_used vclient_run_one(struct vclient *c, unsigned int idx)
{
	struct vq_driver *drv = c->q[idx].drv;
	struct vq_used used;
	int n;

	if (vq_driver_publish(drv)) {
		vclient_kick(c, idx);
	}
	while ((n = vq_driver_get(drv, &used, 1)) == 0) {
		if (!vq_driver_enable_call(drv)) {
			vclient_wait_call(c, idx);
		}
	}
	assert_int_equal(n, 1);
	return used;
}

uint8_t vclient_blk(struct vclient *c, unsigned int idx, uint32_t type,
		    uint64_t sector, void *data, uint32_t len)
{
	uint64_t mark = c->next_free;
	struct virtio_blk_outhdr *hdr = vclient_alloc(c, sizeof(*hdr), 16);
	uint8_t *status = vclient_alloc(c, 1, 1);
	bool is_in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct vq_sg sg[3];
	unsigned int n = 0;

	hdr->type = htole32(type);
	hdr->ioprio = 0;
	hdr->sector = htole64(sector);
	*status = 0xee;
	sg[n++] = (struct vq_sg){ vclient_iova(c, hdr), sizeof(*hdr) };
	if (len > 0) {
		sg[n++] = (struct vq_sg){ vclient_iova(c, data), len };
	}
	sg[n++] = (struct vq_sg){ vclient_iova(c, status), 1 };
	vclient_add(c, idx, sg, len > 0 && !is_in ? 2 : 1,
		    len > 0 && is_in ? 2 : 1, hdr);
	assert_ptr_equal(vclient_run_one(c, idx).cookie, hdr);
	c->next_free = mark;
	return *status;
}
