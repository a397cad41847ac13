/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfio-user: the table of commands, the version, and what is done with a bad
 * one.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "base/parse.h"
#include "busdrv/vfio_user_internal.h"

/* Of the list of capabilities; it is three in practice. */
#define JSON_DEPTH_MAX 8

static int get_version(struct vfio_user *vu, struct vfio_user_msg *msg);
static int get_info(struct vfio_user *vu, struct vfio_user_msg *msg);
static int reset(struct vfio_user *vu, struct vfio_user_msg *msg);

#define MAP		  sizeof(struct vfio_user_dma_map)
#define UNMAP		  sizeof(struct vfio_user_dma_unmap)
#define INFO		  sizeof(struct vfio_user_device_info)
#define REGION		  sizeof(struct vfio_region_info)
#define IO_FDS		  sizeof(struct vfio_user_region_io_fds)
#define IRQ		  sizeof(struct vfio_irq_info)
#define SET_IRQ		  sizeof(struct vfio_user_irq_set)
#define ACCESS		  sizeof(struct vfio_user_region_access)
#define MULTI		  sizeof(struct vfio_user_write_multi)
#define ANY		  VFIO_USER_PAYLOAD_MAX
#define ROW(command, ...) [VFIO_USER_##command] = { #command, __VA_ARGS__ }

/* clang-format off */
static const struct vfio_user_op ops[VFIO_USER_COMMAND_N] = {
	/*  command                   payload      fds */
	ROW(VERSION,                  4, ANY,      0, get_version),
	ROW(DMA_MAP,                  MAP, MAP,    1, vfio_user_dma_map),
	ROW(DMA_UNMAP,                UNMAP, UNMAP, 0, vfio_user_dma_unmap),
	ROW(DEVICE_GET_INFO,          INFO, INFO,  0, get_info),
	ROW(DEVICE_GET_REGION_INFO,   REGION, REGION, 0,
	    vfio_user_get_region_info),
	ROW(DEVICE_GET_REGION_IO_FDS, IO_FDS, IO_FDS, 0,
	    vfio_user_get_region_io_fds),
	ROW(DEVICE_GET_IRQ_INFO,      IRQ, IRQ,    0, vfio_user_get_irq_info),
	ROW(DEVICE_SET_IRQS,          SET_IRQ, ANY, FD_PASS_MAX,
	    vfio_user_set_irqs),
	ROW(REGION_READ,              ACCESS, ACCESS, 0, vfio_user_region_read),
	ROW(REGION_WRITE,             ACCESS, ANY, 0, vfio_user_region_write),
	ROW(DEVICE_RESET,             0, 0,        0, reset),
	ROW(REGION_WRITE_MULTI,       MULTI, ANY,  0,
	    vfio_user_region_write_multi),
	/* Nothing is migrated. */
	ROW(DIRTY_PAGES,              0, ANY,      0),
	ROW(DEVICE_FEATURE,           0, ANY,      0),
	ROW(MIG_DATA_READ,            0, ANY,      0),
	ROW(MIG_DATA_WRITE,           0, ANY,      0),
};
/* clang-format on */

int vfio_user_check_header(const struct vfio_user *vu,
			   const struct vfio_user_header *hdr)
{
	if ((hdr->flags & VFIO_USER_TYPE_MASK) == VFIO_USER_REPLY) {
		return err(-EPROTO, "a reply to nothing");
	}
	if (hdr->flags & VFIO_USER_TYPE_MASK) {
		return err(-EPROTO, "flags 0x%x: neither command nor reply",
			   hdr->flags);
	}
	if (hdr->size < sizeof(*hdr) ||
	    hdr->size > sizeof(*hdr) + VFIO_USER_PAYLOAD_MAX) {
		return err(-EPROTO,
			   "command %u: %u bytes, should be %zu to %zu",
			   hdr->command, hdr->size, sizeof(*hdr),
			   sizeof(*hdr) + VFIO_USER_PAYLOAD_MAX);
	}
	if (!vu->has_version && hdr->command != VFIO_USER_VERSION) {
		return err(-EPROTO, "command %u before VERSION", hdr->command);
	}
	return 0;
}

static int check(const struct vfio_user_op *op, const struct vfio_user_msg *msg)
{
	size_t size = msg->hdr.size - sizeof(msg->hdr);

	if (!op || !op->fn) {
		return err(-EOPNOTSUPP, "not supported");
	}
	if (size < op->min_size || size > op->max_size) {
		return err(-EINVAL, "%zu bytes of payload, should be %u to %u",
			   size, op->min_size, op->max_size);
	}
	if (msg->n_fds > op->max_fds) {
		return err(-EINVAL, "%u descriptors, should be %u at most",
			   msg->n_fds, op->max_fds);
	}
	return 0;
}

static void complain(struct vfio_user *vu, const struct vfio_user_op *op,
		     const struct vfio_user_msg *msg, int r)
{
	if (msg->is_question) {
		return;
	}
	vu->n_bad++;
	if (log_allowed(&vu->limit)) {
		log_warn(vu->vdev->name, "vfio-user %s (%u): %s",
			 op && op->name ? op->name : "command",
			 msg->hdr.command, err_text(r));
	}
}

static const struct vfio_user_op *op_of(const struct vfio_user_msg *msg)
{
	return msg->hdr.command < VFIO_USER_COMMAND_N ? &ops[msg->hdr.command]
						      : NULL;
}

int vfio_user_dispatch(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	const struct vfio_user_op *op = op_of(msg);
	int r = check(op, msg);

	msg->reply_size = 0;
	msg->n_reply_fds = 0;
	msg->is_question = false;
	vu->resume = NULL;
	return r < 0 ? r : op->fn(vu, msg);
}

void vfio_user_begin(struct vfio_user *vu)
{
	vu->op.done = vfio_user_op_done;
	vu->is_waiting = true;
}

int vfio_user_wait(struct vfio_user *vu)
{
	return vu->is_waiting ? VFIO_USER_WAITS : min_of(vu->op.result, 0);
}

int vfio_user_resume(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	int r = min_of(vu->op.result, 0);

	return vu->resume ? vu->resume(vu, msg, r) : r;
}

void vfio_user_op_drop(struct vfio_user *vu)
{
	vu->region = region_unref(vu->region);
	vu->resume = NULL;
}

int vfio_user_reply(struct vfio_user *vu, struct vfio_user_msg *msg, int r)
{
	bool wants_reply = !(msg->hdr.flags & VFIO_USER_NO_REPLY);

	vfio_user_op_drop(vu);
	if (r < 0) {
		complain(vu, op_of(msg), msg, r);
		msg->reply_size = 0;
		msg->n_reply_fds = 0;
	}
	if (r < 0 && !vu->has_version && !wants_reply) {
		return r; /* it would never know */
	}
	msg->hdr.size = (uint32_t)sizeof(msg->hdr) + msg->reply_size;
	msg->hdr.flags = VFIO_USER_REPLY | (r < 0 ? VFIO_USER_ERROR : 0);
	msg->hdr.error = r < 0 ? (uint32_t)-r : 0;
	return wants_reply;
}

/* ---- the version ---- */

/* What the client can do, of which only one thing matters here. */
static int read_capabilities(struct vfio_user *vu, const char *json, size_t len)
{
	json_error_t error;
	json_t *all, *fds;
	int r = 0;

	if (json[len - 1] != '\0' || memchr(json, '\0', len - 1)) {
		return err(-EINVAL, "capabilities without a NUL at their end");
	}
	if (json_nesting(json, len - 1) > JSON_DEPTH_MAX) {
		return err(-EINVAL, "capabilities: nested more than %d deep",
			   JSON_DEPTH_MAX);
	}
	all = json_loadb(json, len - 1, JSON_REJECT_DUPLICATES, &error);
	if (!all) {
		return err(-EINVAL, "capabilities: %s", error.text);
	}
	fds = json_object_get(json_object_get(all, "capabilities"),
			      "max_msg_fds");
	if (fds && (!json_is_integer(fds) || json_integer_value(fds) < 0)) {
		r = err(-EINVAL, "max_msg_fds is not a number");
	} else if (fds) {
		vu->client_fds = (uint32_t)min_of(json_integer_value(fds),
						  (json_int_t)FD_PASS_MAX);
	}
	json_decref(all);
	return r;
}

/* No longer than what QEMU sends: it takes no longer reply. */
static uint32_t write_capabilities(char *buf, size_t size)
{
	int n = snprintf(buf, size,
			 "{\"capabilities\":{\"max_msg_fds\":%d,"
			 "\"max_data_xfer_size\":%d,\"max_dma_maps\":%d,"
			 "\"pgsizes\":4096,\"write_multiple\":true}}",
			 FD_PASS_MAX, VFIO_USER_XFER_MAX, VFIO_USER_DMA_MAX);

	return (uint32_t)n + 1;
}

static int get_version(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	struct vfio_user_version *v = (void *)msg->payload;
	size_t len = msg->hdr.size - sizeof(msg->hdr) - sizeof(*v);
	int r = 0;

	if (vu->has_version) {
		return err(-EINVAL, "a second VERSION");
	}
	if (v->major != VFIO_USER_MAJOR) {
		return err(-EOPNOTSUPP, "version %u.%u, this is %d.%d",
			   v->major, v->minor, VFIO_USER_MAJOR,
			   VFIO_USER_MINOR);
	}
	if (len > 0) {
		r = read_capabilities(vu, v->json, len);
	}
	if (r < 0) {
		return r;
	}
	v->minor = (uint16_t)min_of((int)v->minor, VFIO_USER_MINOR);
	msg->reply_size =
		(uint32_t)sizeof(*v) +
		write_capabilities(v->json, sizeof(msg->payload) - sizeof(*v));
	vu->has_version = true;
	return 0;
}

/* ---- the device ---- */

static int get_info(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	struct vfio_user_device_info *info = (void *)msg->payload;

	(void)vu;
	if (info->argsz < sizeof(*info)) {
		return err(-EINVAL, "room for %u bytes", info->argsz);
	}
	*info = (struct vfio_user_device_info){
		.argsz = sizeof(*info),
		.flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI,
		.num_regions = VFIO_PCI_NUM_REGIONS,
		.num_irqs = VFIO_PCI_NUM_IRQS,
	};
	msg->reply_size = sizeof(*info);
	return 0;
}

static int reset(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	(void)msg;
	vfio_user_begin(vu);
	virtio_pci_reset(vu->pci, &vu->op);
	return vfio_user_wait(vu);
}
