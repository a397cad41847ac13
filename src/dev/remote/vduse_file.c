/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /dev/vduse/NAME: the file through which a process serves its device.
 *
 * One process has it open at a time. When it closes it, by dying as a rule, the
 * device stays as it is, and what its client asks waits for the next process
 * that opens it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include <linux/virtio_config.h>

#include "base/log.h"
#include "dev/remote/vduse_internal.h"

static int64_t file_open(struct cdev_node *node, struct cdev_file *file,
			 struct cdev_call *call)
{
	struct vduse_dev *dev = cdev_node_priv(node);

	(void)call;
	if (dev->file) {
		return -EBUSY;
	}
	dev->file = file;
	cdev_file_set_priv(file, dev);
	vduse_msg_resend(dev);
	log_debug(dev->name, "its process has it open");
	return 0;
}

static void file_release(struct cdev_file *file)
{
	struct vduse_dev *dev = cdev_file_priv(file);

	if (dev) { /* else it was destroyed by force */
		log_debug(dev->name, "its process has closed it");
		dev->file = NULL;
		dev->words = cdev_words_free(dev->words);
	}
}

static int64_t file_write(struct cdev_file *file, struct cdev_call *call,
			  const void *buf, size_t len)
{
	struct vduse_dev *dev = cdev_file_priv(file);

	(void)call;
	return dev ? vduse_msg_reply(dev, buf, len) : -ENODEV;
}

/* ---- ioctls on the device ---- */

static int64_t do_get_features(struct vduse_dev *dev, struct cdev_call *call,
			       uint64_t arg)
{
	return cdev_copy_to(call, arg, &dev->driver_features,
			    sizeof(dev->driver_features));
}

static int64_t do_set_config(struct vduse_dev *dev, struct cdev_call *call,
			     uint64_t arg)
{
	struct vduse_config_data c;

	if (cdev_copy_from(call, &c, arg, sizeof(c)) < 0) {
		return -EFAULT;
	}
	if (c.length == 0 ||
	    !range_fits(c.offset, c.length, dev->config_size)) {
		return -EINVAL;
	}
	return cdev_copy_from(call, dev->config + c.offset, arg + sizeof(c),
			      c.length);
}

static int64_t do_inject_config_irq(struct vduse_dev *dev,
				    struct cdev_call *call, uint64_t arg)
{
	const struct vdpa_callback *cb = &dev->config_cb;

	(void)call;
	(void)arg;
	if (!(dev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		return -EINVAL;
	}
	if (cb->trigger_fd >= 0) {
		loop_signal(vdpa_bus_control(dev->vduse->bus), cb->trigger_fd);
	} else if (cb->callback) {
		cb->callback(cb->priv);
	}
	return 0;
}

static const struct {
	uint32_t cmd;
	vduse_ioctl_fn fn;
} commands[] = {
	{ VDUSE_IOTLB_GET_FD, vduse_iotlb_get_fd },
	{ VDUSE_IOTLB_GET_FD2, vduse_iotlb_get_fd2 },
	{ VDUSE_IOTLB_GET_INFO, vduse_iotlb_get_info },
	{ VDUSE_IOTLB_REG_UMEM, vduse_iotlb_reg_umem },
	{ VDUSE_IOTLB_DEREG_UMEM, vduse_iotlb_dereg_umem },
	{ VDUSE_DEV_GET_FEATURES, do_get_features },
	{ VDUSE_DEV_SET_CONFIG, do_set_config },
	{ VDUSE_DEV_INJECT_CONFIG_IRQ, do_inject_config_irq },
	{ VDUSE_VQ_SETUP, vduse_vq_setup },
	{ VDUSE_VQ_GET_INFO, vduse_vq_get_info },
	{ VDUSE_VQ_SETUP_KICKFD, vduse_vq_setup_kickfd },
	{ VDUSE_VQ_INJECT_IRQ, vduse_vq_inject_irq },
};

static int64_t file_ioctl(struct cdev_file *file, struct cdev_call *call,
			  uint32_t cmd, uint64_t arg)
{
	struct vduse_dev *dev = cdev_file_priv(file);

	if (!dev) {
		return -ENODEV;
	}
	if (dev->is_broken) {
		return -EPERM;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd == cmd) {
			return commands[i].fn(dev, call, arg);
		}
	}
	return -ENOTTY;
}

const struct cdev_ops vduse_file_ops = {
	.open = file_open,
	.release = file_release,
	.ioctl = file_ioctl,
	.write = file_write,
	.queue_size = sizeof(struct vduse_request),
};
