/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk: disks on any back end, as virtio 1.2 has them.
 *
 * The keys of `dev add` are those of the class and those of the back end that
 * the key `backend` names. Each table row parses, checks and documents one key:
 * what `mgmtdev show` lists is put together here from all of them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ids.h>

#include "base/err.h"
#include "base/parse.h"
#include "dev/blk/class.h"

#define KEYS_MAX	64
#define BLOCK_BYTES_MAX 4096
/*
 * Measured with one request at a time, both sides asleep between, on two CPUs:
 * a median of 35 us without polling, 32 with 16, 19 with 32, 20 with 64. About
 * what sleeping and being woken costs: so polling in vain costs as much at most.
 */
#define POLL_US_DEFAULT 32

struct blk_mgmtdev {
	struct vdpa_mgmtdev mgmtdev;
	struct vdpa_key keys[KEYS_MAX];
	char backend_names[128]; /* "mem|null|..." */
};

/* ---- keys ---- */

static int set_block_size(struct blk_dev *blk, const char *value)
{
	uint64_t bytes;
	int ret = parse_u64("block_size", value, BLOCK_BYTES_MAX, &bytes);

	if (ret < 0) {
		return ret;
	}
	if (bytes != BLK_SECTOR_BYTES && bytes != BLOCK_BYTES_MAX) {
		return err(-ERANGE, "block_size: %s is neither 512 nor 4096",
			   value);
	}
	blk->limits.block_bytes = (uint32_t)bytes;
	return 0;
}

/* Padded with NULs; all 20 bytes may be used. */
static int set_serial(struct blk_dev *blk, const char *value)
{
	size_t len = strlen(value);

	if (len > sizeof(blk->id)) {
		return err(-ERANGE, "serial: '%s' is longer than %zu bytes",
			   value, sizeof(blk->id));
	}
	memset(blk->id, 0, sizeof(blk->id));
	memcpy(blk->id, value, len);
	return 0;
}

/* Done before all others, see choose_backend(). */
static int set_backend(struct blk_dev *blk, const char *value)
{
	(void)blk;
	(void)value;
	return 0;
}

static const struct blk_key class_keys[] = {
	{ { "backend", NULL, "what holds the sectors" }, set_backend },
	{ { "num_queues", "N", "virtqueues, 1 to 64 (default 1)" },
	  blk_set_num_queues },
	{ { "block_size", "512|4096",
	    "bytes that requests must be multiples of (default 512, or what "
	    "the back end needs)" },
	  set_block_size },
	{ { "serial", "TEXT",
	    "what GET_ID answers, up to 20 bytes (default: the name)" },
	  set_serial },
	{ { "poll_us", "N",
	    "poll a queue in vain for up to N microseconds before sleeping; "
	    "adapts to the load (default 32)" },
	  blk_set_poll_us },
};

/* Keys of `dev set`. */
static const struct vdpa_key set_keys[] = {
	{ "capacity", "SIZE|auto",
	  "another size of the disk; auto: as large as its file is now" },
};

static const struct blk_key *find_key(const struct blk_key *keys,
				      unsigned int n, const char *name)
{
	for (unsigned int i = 0; i < n; i++) {
		if (strcmp(keys[i].key.name, name) == 0) {
			return &keys[i];
		}
	}
	return NULL;
}

static int apply_param(struct blk_dev *blk, const struct vdpa_param *param)
{
	const struct blk_backend *backend = blk->backend;
	const struct blk_key *key =
		find_key(class_keys, ARRAY_SIZE(class_keys), param->key);

	if (!key) {
		key = find_key(backend->keys, backend->n_keys, param->key);
	}
	if (!key) {
		return err(-EOPNOTSUPP, "back end %s takes no '%s'",
			   backend->name, param->key);
	}
	return key->set(blk, param->value);
}

static const struct blk_backend *find_backend(const char *name)
{
	for (unsigned int i = 0; blk_backends[i]; i++) {
		if (strcmp(blk_backends[i]->name, name) == 0) {
			return blk_backends[i];
		}
	}
	return NULL;
}

static const char *find_value(const struct vdpa_dev_config *config,
			      const char *key)
{
	for (unsigned int i = 0; i < config->n_params; i++) {
		if (strcmp(config->params[i].key, key) == 0) {
			return config->params[i].value;
		}
	}
	return NULL;
}

static int choose_backend(struct blk_dev *blk, const char *names,
			  const struct vdpa_dev_config *config)
{
	const char *name = find_value(config, "backend");
	const struct blk_backend *backend = name ? find_backend(name) : NULL;

	if (!name) {
		return err(-EINVAL, "backend %s is needed", names);
	}
	if (!backend) {
		return err(-EINVAL, "backend: there is no '%s', only %s", name,
			   names);
	}
	return blk_dev_set_backend(blk, backend);
}

/* ---- devices ---- */

static int make(struct blk_mgmtdev *m, const char *name,
		const struct vdpa_dev_config *config, struct blk_dev *blk)
{
	int ret = choose_backend(blk, m->backend_names, config);

	(void)snprintf(blk->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	memcpy(blk->id, name, min_of(strlen(name), sizeof(blk->id)));
	blk->num_queues = 1;
	blk->soft.max_poll_us = POLL_US_DEFAULT;
	blk->soft.num_max = SOFT_SIM_NUM_MAX;
	blk->feature_mask = m->mgmtdev.supported_features;
	if (has_bit(config->mask, VDPA_ATTR_FEATURES)) {
		blk->feature_mask &= config->device_features;
	}
	for (unsigned int i = 0; ret == 0 && i < config->n_params; i++) {
		ret = apply_param(blk, &config->params[i]);
	}
	return ret < 0 ? ret : blk_dev_init(blk, &m->mgmtdev);
}

static int dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		   const struct vdpa_dev_config *config)
{
	struct blk_mgmtdev *m = mgmtdev->priv;
	struct blk_dev *blk;
	int ret;

	blk = calloc(1, sizeof(*blk));
	ret = blk ? make(m, name, config, blk) : err(-ENOMEM, "out of memory");
	if (ret < 0) {
		blk_dev_discard(blk);
	}
	return ret;
}

/* The bus knows that it is a key of set_keys: there is only one. */
static int dev_set(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev,
		   const struct vdpa_dev_config *config)
{
	struct blk_dev *blk = blk_dev_of(soft_dev_of(vdev));
	const char *value = find_value(config, "capacity");
	uint64_t bytes = 0;
	int ret = 0;

	(void)mgmtdev;
	if (!value) {
		return err(-EINVAL, "capacity SIZE is needed");
	}
	if (strcmp(value, "auto") != 0) {
		ret = parse_size("capacity", value, &bytes);
		if (ret == 0 && (bytes == 0 || bytes % BLK_SECTOR_BYTES != 0)) {
			ret = err(-ERANGE,
				  "capacity: %s is not a multiple of 512 bytes",
				  value);
		}
	}
	return ret < 0 ? ret : blk_dev_resize(blk, bytes / BLK_SECTOR_BYTES);
}

static const struct vdpa_mgmtdev_ops mgmtdev_ops = {
	.dev_add = dev_add,
	.dev_del = blk_dev_del,
	.dev_set_attr = dev_set,
};

/* ---- the management device ---- */

static int add_keys(struct blk_mgmtdev *m, const struct blk_key *keys,
		    unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		unsigned int k = 0;

		while (k < m->mgmtdev.n_keys &&
		       strcmp(m->keys[k].name, keys[i].key.name) != 0) {
			k++;
		}
		if (k == KEYS_MAX) {
			return err(-ENOSPC, "blk: more than %u keys", KEYS_MAX);
		}
		if (k == m->mgmtdev.n_keys) {
			m->keys[m->mgmtdev.n_keys++] = keys[i].key;
		}
	}
	return 0;
}

static int collect_keys(struct blk_mgmtdev *m)
{
	int ret = add_keys(m, class_keys, ARRAY_SIZE(class_keys));
	size_t at = 0;

	m->keys[0].value = m->backend_names;
	for (unsigned int i = 0; ret == 0 && blk_backends[i]; i++) {
		const struct blk_backend *b = blk_backends[i];

		at += (size_t)snprintf(m->backend_names + at,
				       sizeof(m->backend_names) - at, "%s%s",
				       i > 0 ? "|" : "", b->name);
		if (at >= sizeof(m->backend_names)) {
			return err(-ENOSPC, "blk: too many back ends");
		}
		ret = add_keys(m, b->keys, b->n_keys);
	}
	return ret;
}

int blk_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret)
{
	struct blk_mgmtdev *m = calloc(1, sizeof(*m));
	int r;

	if (!m) {
		return -ENOMEM;
	}
	m->mgmtdev = (struct vdpa_mgmtdev){
		.name = "blk",
		.ops = &mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_BLOCK),
		.attr_mask = BIT_ULL(VDPA_ATTR_FEATURES),
		.supported_features = blk_features | soft_ring_features,
		.max_supported_vqs = BLK_QUEUES_MAX,
		.keys = m->keys,
		.set_keys = set_keys,
		.n_set_keys = ARRAY_SIZE(set_keys),
		.priv = m,
	};
	r = collect_keys(m);
	if (r == 0) {
		r = vdpa_mgmtdev_register(bus, &m->mgmtdev);
	}
	if (r < 0) {
		free(m);
		return r;
	}
	*ret = &m->mgmtdev;
	return 0;
}

void blk_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	vdpa_mgmtdev_unregister(mgmtdev);
	free(mgmtdev->priv);
}
