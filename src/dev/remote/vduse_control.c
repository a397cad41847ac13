/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /dev/vduse/control: processes create devices here, and destroy them.
 *
 * The version of the API belongs to the open file. What may be created is the
 * kernel's rule: the control path stays with us and the config space is
 * read-only, so features that count on another are refused; a user may allow
 * them (enum vduse_allow). CAP_NET_ADMIN is not asked for: whoever reaches this
 * file may do with this bus what he likes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "dev/remote/vduse_internal.h"

#define CONTROL_TAG "vduse"

#define VQ_ALIGN_MIN 4
#define VQ_ALIGN_MAX 4096

/* An open file of the node. */
struct control {
	struct list node;
	struct vduse *vduse; /* NULL: has gone */
	bool is_asked; /* the version was named by either side */
	uint64_t version;
};

typedef int64_t (*control_fn)(struct control *c, struct cdev_call *call,
			      uint64_t arg);

/* ---- version ---- */

/* Who asks, and says nothing himself, gets what he is told. */
static int64_t do_get_version(struct control *c, struct cdev_call *call,
			      uint64_t arg)
{
	if (!c->is_asked) {
		c->is_asked = true;
		c->version = VDUSE_API_V1;
	}
	return cdev_copy_to(call, arg, &c->version, sizeof(c->version));
}

static int64_t do_set_version(struct control *c, struct cdev_call *call,
			      uint64_t arg)
{
	uint64_t version;

	if (cdev_copy_from(call, &version, arg, sizeof(version)) < 0) {
		return -EFAULT;
	}
	if (version > VDUSE_API_V1) {
		return -EINVAL;
	}
	c->is_asked = true;
	c->version = version;
	return 0;
}

/* ---- create ---- */

static const char *const allow_names[] = { "ctrl_vq", "config_wce", "any_id" };
_Static_assert(ARRAY_SIZE(allow_names) == VDUSE_ALLOW_N, "one name each");

int vduse_allow_parse(const char *text, uint64_t *ret_allow)
{
	uint64_t allow = 0;

	if (strcmp(text, "none") == 0) {
		*ret_allow = 0;
		return 0;
	}
	for (const char *p = text;; p++) {
		size_t len = strcspn(p, ",");
		unsigned int i = 0;

		while (i < VDUSE_ALLOW_N &&
		       (strlen(allow_names[i]) != len ||
			strncmp(allow_names[i], p, len) != 0)) {
			i++;
		}
		if (i == VDUSE_ALLOW_N) {
			return err(-EINVAL,
				   "allow: '%.*s' is not ctrl_vq, config_wce "
				   "or any_id",
				   (int)len, p);
		}
		allow |= BIT_ULL(i);
		p += len;
		if (*p == '\0') {
			break;
		}
	}
	*ret_allow = allow;
	return 0;
}

static bool is_allowed(const struct vduse *vduse, enum vduse_allow what)
{
	return has_bit(vduse->allow, what);
}

static int check_features(const struct vduse *vduse,
			  const struct vduse_create *config)
{
	uint64_t f = config->features;

	if (!has_bit(f, VIRTIO_F_ACCESS_PLATFORM)) {
		return err(-EINVAL, "without VIRTIO_F_ACCESS_PLATFORM");
	}
	if (config->device_id == VIRTIO_ID_BLOCK &&
	    has_bit(f, VIRTIO_BLK_F_CONFIG_WCE) &&
	    !is_allowed(vduse, VDUSE_ALLOW_CONFIG_WCE)) {
		return err(-EINVAL, "VIRTIO_BLK_F_CONFIG_WCE needs "
				    "allow=config_wce");
	}
	if (config->device_id == VIRTIO_ID_NET &&
	    has_bit(f, VIRTIO_NET_F_CTRL_VQ) &&
	    !is_allowed(vduse, VDUSE_ALLOW_CTRL_VQ)) {
		return err(-EINVAL, "VIRTIO_NET_F_CTRL_VQ needs allow=ctrl_vq");
	}
	if (config->device_id == VIRTIO_ID_NET &&
	    !has_bit(f, VIRTIO_F_VERSION_1)) {
		return err(-EINVAL, "a network device without "
				    "VIRTIO_F_VERSION_1");
	}
	return 0;
}

static bool id_is_allowed(const struct vduse *vduse, uint32_t id)
{
	return id == VIRTIO_ID_NET || id == VIRTIO_ID_BLOCK ||
	       id == VIRTIO_ID_FS || is_allowed(vduse, VDUSE_ALLOW_ANY_ID);
}

/* Bytes 280 to 331: reserved in version 0, some of them named in version 1. */
static int check_reserved(const struct vduse_create *config, uint64_t version)
{
	for (size_t i = 0; i < ARRAY_SIZE(config->reserved); i++) {
		if (config->reserved[i] != 0) {
			return err(-EINVAL, "reserved bytes are not 0");
		}
	}
	if (version < VDUSE_API_V1) {
		return config->ngroups == 0 && config->nas == 0
			       ? 0
			       : err(-EINVAL, "groups in version 0");
	}
	if (config->ngroups < 1 || config->ngroups > VDUSE_GROUPS_MAX ||
	    config->nas < 1 || config->nas > VDUSE_GROUPS_MAX) {
		return err(-EINVAL, "%u groups, %u address spaces",
			   config->ngroups, config->nas);
	}
	return 0;
}

static int check_config(const struct vduse *vduse,
			const struct vduse_create *config, uint64_t version)
{
	int r = check_reserved(config, version);

	if (r < 0) {
		return r;
	}
	if (!is_pow2(config->vq_align) || config->vq_align < VQ_ALIGN_MIN ||
	    config->vq_align > VQ_ALIGN_MAX) {
		return err(-EINVAL, "vq_align %u", config->vq_align);
	}
	if (config->config_size > VDUSE_CONFIG_MAX) {
		return err(-EINVAL, "config space of %u bytes",
			   config->config_size);
	}
	if (config->vq_num > VDUSE_VQS_MAX) {
		return err(-EINVAL, "%u virtqueues", config->vq_num);
	}
	if (config->name[0] == '\0') {
		return err(-EINVAL, "no name");
	}
	if (!id_is_allowed(vduse, config->device_id)) {
		return err(-EINVAL, "device id %u needs allow=any_id",
			   config->device_id);
	}
	return check_features(vduse, config);
}

static int64_t do_create(struct control *c, struct cdev_call *call,
			 uint64_t arg)
{
	_cleanup_free_ uint8_t *space = NULL;
	struct vduse_create config;
	int r;

	if (cdev_copy_from(call, &config, arg, sizeof(config)) < 0) {
		return -EFAULT;
	}
	/* Who creates without a word about the version has chosen 0. */
	c->is_asked = true;
	r = check_config(c->vduse, &config, c->version);
	if (r < 0) {
		log_debug(CONTROL_TAG, "refuses to create: %s", err_text(r));
		return r;
	}
	space = malloc(config.config_size + 1);
	if (!space) {
		return -ENOMEM;
	}
	if (config.config_size > 0 &&
	    cdev_copy_from(call, space, arg + sizeof(config),
			   config.config_size) < 0) {
		return -EFAULT;
	}
	config.name[VDUSE_NAME_MAX - 1] = '\0';
	r = vduse_dev_new(c->vduse, &config, space, c->version);
	if (r < 0) {
		log_debug(CONTROL_TAG, "cannot create %s: %s", config.name,
			  err_text(r));
	}
	return r;
}

static int64_t do_destroy(struct control *c, struct cdev_call *call,
			  uint64_t arg)
{
	struct vduse_dev *dev;
	char name[VDUSE_NAME_MAX];

	if (cdev_copy_from(call, name, arg, sizeof(name)) < 0) {
		return -EFAULT;
	}
	name[VDUSE_NAME_MAX - 1] = '\0';
	dev = vduse_find(c->vduse, name);
	return dev ? vduse_dev_destroy(dev) : -EINVAL;
}

/* ---- the node ---- */

static int64_t control_open(struct cdev_node *node, struct cdev_file *file,
			    struct cdev_call *call)
{
	struct vduse *vduse = cdev_node_priv(node);
	struct control *c;

	(void)call;
	if (vduse->n_controls == VDUSE_CONTROLS_MAX) {
		return -ENFILE;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		return -ENOMEM;
	}
	c->vduse = vduse;
	vduse->n_controls++;
	list_add_tail(&vduse->controls, &c->node);
	cdev_file_set_priv(file, c);
	return 0;
}

static void control_release(struct cdev_file *file)
{
	struct control *c = cdev_file_priv(file);

	list_del(&c->node);
	if (c->vduse) {
		c->vduse->n_controls--;
	}
	free(c);
}

static const struct {
	uint32_t cmd;
	control_fn fn;
} commands[] = {
	{ VDUSE_GET_API_VERSION, do_get_version },
	{ VDUSE_SET_API_VERSION, do_set_version },
	{ VDUSE_CREATE_DEV, do_create },
	{ VDUSE_DESTROY_DEV, do_destroy },
};

static int64_t control_ioctl(struct cdev_file *file, struct cdev_call *call,
			     uint32_t cmd, uint64_t arg)
{
	struct control *c = cdev_file_priv(file);

	if (!c->vduse) {
		return -ENODEV;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd == cmd) {
			return commands[i].fn(c, call, arg);
		}
	}
	return -EINVAL; /* not ENOTTY: the kernel's way */
}

void vduse_controls_end(struct vduse *vduse)
{
	struct control *c, *tmp;

	list_for_each_entry_safe(c, tmp, &vduse->controls, node) {
		list_del(&c->node);
		list_init(&c->node);
		c->vduse = NULL;
	}
}

const struct cdev_ops vduse_control_ops = {
	.open = control_open,
	.release = control_release,
	.ioctl = control_ioctl,
};
