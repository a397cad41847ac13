/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user back end, its device, and a client. See vufront_rig.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vufront_rig.h"

#include <linux/virtio_config.h>

#include "base/err.h"
#include "dev/remote/vufront.h"
#include "lib/test.h"

#define TURN_NS 1000000ULL

static void turn(void *priv)
{
	struct vufront_rig *rig = priv;

	while (rig->has_back && vuback_serve(&rig->back)) {
	}
	assert_int_equal(sim_run(rig->sim, TURN_NS, NULL, NULL), 0);
}

void rig_run(struct vufront_rig *rig, unsigned int ms)
{
	for (unsigned int i = 0; i < ms; i++) {
		turn(rig);
	}
}

int rig_set_up_bare(void **state)
{
	const struct sim_options options = { .seed = 1 };
	struct vufront_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	assert_int_equal(sim_new(&options, &rig->sim), 0);
	rig->fw = vfront_world_new(rig->sim, 1);
	rig->w = rig->fw->w;
	cdev_local_set_turn(rig->w->local, turn, rig);
	assert_int_equal(vufront_register(rig->w->bus, &rig->mgmtdev), 0);
	*state = rig;
	return 0;
}

int rig_set_up(void **state)
{
	struct vufront_rig *rig;

	(void)rig_set_up_bare(state);
	rig = *state;
	vuback_init(&rig->back, rig->fw->path);
	rig->has_back = true;
	return 0;
}

int rig_set_up_added(void **state)
{
	(void)rig_set_up(state);
	assert_int_equal(rig_add(*state, NULL), 0);
	return 0;
}

int rig_set_up_client(void **state)
{
	(void)rig_set_up_added(state);
	rig_open(*state);
	return 0;
}

int rig_tear_down(void **state)
{
	struct vufront_rig *rig = *state;

	rig->back.fault = VUBACK_RIGHT;
	if (rig->client) {
		vclient_close(rig->client);
	}
	rig_run(rig, 5);
	vufront_unregister(rig->mgmtdev);
	if (rig->has_back) {
		vuback_fini(&rig->back);
	}
	vfront_world_free(rig->fw);
	sim_free(rig->sim);
	free(rig);
	return 0;
}

/* ---- dev add ---- */

static void done(void *priv, int result)
{
	struct vufront_rig *rig = priv;

	assert_false(rig->is_added);
	rig->is_added = true;
	rig->result = result;
}

static void not_yet(void *priv)
{
	struct vufront_rig *rig = priv;

	assert_false(rig->is_added);
	assert_false(rig->is_not_yet);
	rig->is_not_yet = true;
}

static void add_param(struct vdpa_dev_config *config, const char *key,
		      const char *value)
{
	struct vdpa_param *p = &config->params[config->n_params++];

	(void)snprintf(p->key, sizeof(p->key), "%s", key);
	(void)snprintf(p->value, sizeof(p->value), "%s", value);
}

int rig_expect(struct vufront_rig *rig, const char *keys, bool is_once,
	       unsigned int seconds)
{
	const struct vdpa_dev_expect how = {
		.is_once = is_once,
		.timeout_s = seconds,
		.done = done,
		.not_yet = not_yet,
		.priv = rig,
	};
	struct vdpa_dev_config config = { .is_admin = true };
	char buf[256], *save = NULL, *key;

	rig->is_added = false;
	rig->is_not_yet = false;
	(void)snprintf(buf, sizeof(buf), "%s", keys ? keys : "type=blk");
	add_param(&config, "path", rig->fw->path);
	for (key = strtok_r(buf, " ", &save); key;
	     key = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(key, '=');

		assert_non_null(equals);
		*equals = '\0';
		add_param(&config, key, equals + 1);
	}
	return vdpa_dev_expect(rig->w->bus, NULL, "vhost_user", "b0", &config,
			       &how);
}

int rig_add(struct vufront_rig *rig, const char *keys)
{
	int r = rig_expect(rig, keys, true, 0);

	if (r != VDPA_ASKED) {
		return r;
	}
	for (int i = 0; i < 20000 && !rig->is_added; i++) {
		turn(rig);
	}
	assert_true(rig->is_added);
	return rig->result;
}

/* ---- the client ---- */

void rig_open(struct vufront_rig *rig)
{
	struct vdpa_device *vdev = vdpa_device_find(rig->w->bus, "b0");
	char text[128], *node;

	assert_non_null(vdev);
	vdev->driver->describe(vdev, text, sizeof(text));
	node = strstr(text, "vhost-vdpa-");
	assert_non_null(node);
	assert_int_equal(vclient_open(rig->w, node, &rig->client), 0);
}

uint8_t rig_start(struct vufront_rig *rig, unsigned int n_queues)
{
	vclient_negotiate(rig->client, 0);
	for (unsigned int i = 0; i < n_queues; i++) {
		vclient_set_up_queue(rig->client, i, 16);
	}
	vclient_set_status(rig->client, VIRTIO_CONFIG_S_ACKNOWLEDGE |
						VIRTIO_CONFIG_S_DRIVER |
						VIRTIO_CONFIG_S_FEATURES_OK |
						VIRTIO_CONFIG_S_DRIVER_OK);
	return vclient_status(rig->client);
}

uint64_t rig_stat(struct vufront_rig *rig, const char *name)
{
	return vworld_stat(rig->w, "b0", 0, name);
}
