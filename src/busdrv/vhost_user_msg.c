/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: the table of messages, and what is done with a bad one.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "base/err.h"
#include "busdrv/vhost_user_internal.h"

#define STATE		  sizeof(struct vhost_vring_state)
#define REG		  sizeof(struct vhost_user_mem_reg)
#define TABLE		  sizeof(struct vhost_user_mem_table)
#define CONF		  sizeof(struct vhost_user_config)
#define NO		  (-1)
#define F(x)		  VHOST_USER_PROTOCOL_F_##x
#define ROW(request, ...) [VHOST_USER_##request] = { #request, __VA_ARGS__ }

/* clang-format off */
static const struct vhost_user_op ops[VHOST_USER_REQUEST_N] = {
	/*  request                payload  fds   needs                 reply   */
	ROW(GET_FEATURES,          0, 8,     0, 0, NO,                     true,
	    vhost_user_get_features),
	ROW(SET_FEATURES,          8, 8,     0, 0, NO,                     false,
	    vhost_user_set_features),
	ROW(SET_OWNER,             0, 8,     0, 0, NO,                     false,
	    vhost_user_set_owner),
	ROW(RESET_OWNER,           0, 8,     0, 0, NO,                     false,
	    vhost_user_reset_owner),
	ROW(SET_MEM_TABLE,         8, TABLE, 0, 8, NO,                     false,
	    vhost_user_set_mem_table),
	ROW(SET_LOG_BASE,          8, 16,    0, 1, NO,                     true,
	    vhost_user_set_log_base),
	ROW(SET_LOG_FD,            0, 8,     0, 1, NO,                     false,
	    vhost_user_set_log_fd),
	ROW(SET_VRING_NUM,         STATE, STATE, 0, 0, NO,                 false,
	    vhost_user_set_vring_num),
	ROW(SET_VRING_ADDR,        40, 40,   0, 0, NO,                     false,
	    vhost_user_set_vring_addr),
	ROW(SET_VRING_BASE,        STATE, STATE, 0, 0, NO,                 false,
	    vhost_user_set_vring_base),
	ROW(GET_VRING_BASE,        STATE, STATE, 0, 0, NO,                 true,
	    vhost_user_get_vring_base),
	ROW(SET_VRING_KICK,        8, 8,     0, 1, NO,                     false,
	    vhost_user_set_vring_kick),
	ROW(SET_VRING_CALL,        8, 8,     0, 1, NO,                     false,
	    vhost_user_set_vring_call),
	ROW(SET_VRING_ERR,         8, 8,     0, 1, NO,                     false,
	    vhost_user_set_vring_err),
	ROW(GET_PROTOCOL_FEATURES, 0, 8,     0, 0, NO,                     true,
	    vhost_user_get_protocol_features),
	ROW(SET_PROTOCOL_FEATURES, 8, 8,     0, 0, NO,                     false,
	    vhost_user_set_protocol_features),
	ROW(GET_QUEUE_NUM,         0, 8,     0, 0, F(MQ),                  true,
	    vhost_user_get_queue_num),
	ROW(SET_VRING_ENABLE,      STATE, STATE, 0, 0, NO,                 false,
	    vhost_user_set_vring_enable),
	ROW(SEND_RARP,             8, 8,     0, 0, F(RARP),                false,
	    vhost_user_send_rarp),
	ROW(NET_SET_MTU,           8, 8,     0, 0, F(MTU),                 false,
	    vhost_user_net_set_mtu),
	ROW(SET_BACKEND_REQ_FD,    0, 8,     1, 1, F(BACKEND_REQ),         false,
	    vhost_user_set_backend_req_fd),
	ROW(IOTLB_MSG,             VHOST_USER_IOTLB_MIN, 32, 0, 0, NO,     false,
	    vhost_user_iotlb_msg),
	ROW(SET_VRING_ENDIAN,      STATE, STATE, 0, 0, F(CROSS_ENDIAN),    false),
	ROW(GET_CONFIG,            VHOST_USER_CONFIG_HEAD, CONF, 0, 0, F(CONFIG),
	    true, vhost_user_get_config),
	ROW(SET_CONFIG,            VHOST_USER_CONFIG_HEAD, CONF, 0, 0, F(CONFIG),
	    false, vhost_user_set_config),
	ROW(CREATE_CRYPTO_SESSION, 0, CONF,  0, 0, F(CRYPTO_SESSION),      true),
	ROW(CLOSE_CRYPTO_SESSION,  8, 8,     0, 0, F(CRYPTO_SESSION),      false),
	ROW(POSTCOPY_ADVISE,       0, 8,     0, 0, F(PAGEFAULT),           true,
	    vhost_user_postcopy_advise),
	ROW(POSTCOPY_LISTEN,       0, 8,     0, 0, F(PAGEFAULT),           false,
	    vhost_user_postcopy_listen),
	ROW(POSTCOPY_END,          0, 8,     0, 0, F(PAGEFAULT),           true,
	    vhost_user_postcopy_end),
	ROW(GET_INFLIGHT_FD,       VHOST_USER_INFLIGHT_MIN, 24, 0, 0,
	    F(INFLIGHT_SHMFD), true, vhost_user_get_inflight_fd),
	ROW(SET_INFLIGHT_FD,       VHOST_USER_INFLIGHT_MIN, 24, 1, 1,
	    F(INFLIGHT_SHMFD), false, vhost_user_set_inflight_fd),
	ROW(GPU_SET_SOCKET,        0, 8,     0, 1, NO,                     false),
	ROW(RESET_DEVICE,          0, 8,     0, 0, F(RESET_DEVICE),        false,
	    vhost_user_reset_device),
	ROW(VRING_KICK,            STATE, STATE, 0, 0, F(INBAND_NOTIFICATIONS),
	    false, vhost_user_vring_kick),
	ROW(GET_MAX_MEM_SLOTS,     0, 8,     0, 0, F(CONFIGURE_MEM_SLOTS), true,
	    vhost_user_get_max_mem_slots),
	ROW(ADD_MEM_REG,           8, REG,   0, 1, F(CONFIGURE_MEM_SLOTS), false,
	    vhost_user_add_mem_reg),
	ROW(REM_MEM_REG,           REG, REG, 0, 1, F(CONFIGURE_MEM_SLOTS), false,
	    vhost_user_rem_mem_reg),
	ROW(SET_STATUS,            8, 8,     0, 0, F(STATUS),              false,
	    vhost_user_set_status),
	ROW(GET_STATUS,            0, 8,     0, 0, F(STATUS),              true,
	    vhost_user_get_status),
	ROW(GET_SHARED_OBJECT,     16, 16,   0, 0, F(SHARED_OBJECT),       true),
	ROW(SET_DEVICE_STATE_FD,   8, 8,     1, 1, F(DEVICE_STATE),        true,
	    vhost_user_set_device_state_fd),
	ROW(CHECK_DEVICE_STATE,    0, 8,     0, 0, F(DEVICE_STATE),        true,
	    vhost_user_check_device_state),
};
/* clang-format on */

const struct vhost_user_op *vhost_user_op(uint32_t request)
{
	return request < VHOST_USER_REQUEST_N && ops[request].name
		       ? &ops[request]
		       : NULL;
}

int vhost_user_check_header(const struct vhost_user_header *hdr)
{
	if ((hdr->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION) {
		return err(-EPROTO, "flags 0x%x: not version 1", hdr->flags);
	}
	if (hdr->flags & VHOST_USER_REPLY_FLAG) {
		return err(-EPROTO, "a reply to nothing");
	}
	if (hdr->size > sizeof(union vhost_user_payload)) {
		return err(-EPROTO, "request %u: %u bytes of payload",
			   hdr->request, hdr->size);
	}
	return 0;
}

static int check(const struct vhost_user *vu, const struct vhost_user_op *op,
		 const struct vhost_user_msg *msg)
{
	if (!op || !op->fn) {
		return err(-EOPNOTSUPP, "not supported");
	}
	if (op->feature >= 0 &&
	    !vhost_user_has(vu, (unsigned int)op->feature)) {
		return err(-EPROTO, "protocol feature %d was not agreed on",
			   op->feature);
	}
	if (msg->hdr.size < op->min_size || msg->hdr.size > op->max_size) {
		return err(-EPROTO, "%u bytes of payload, should be %u to %u",
			   msg->hdr.size, op->min_size, op->max_size);
	}
	if (msg->n_fds < op->min_fds || msg->n_fds > op->max_fds) {
		return err(-EPROTO, "%u descriptors, should be %u to %u",
			   msg->n_fds, op->min_fds, op->max_fds);
	}
	return 0;
}

static void complain(struct vhost_user *vu, const struct vhost_user_op *op,
		     const struct vhost_user_msg *msg, int r)
{
	vu->n_bad++;
	if (log_allowed(&vu->limit)) {
		log_warn(vu->vdev->name, "vhost-user %s (%u): %s",
			 op ? op->name : "request", msg->hdr.request,
			 err_text(r));
	}
}

int vhost_user_dispatch(struct vhost_user *vu, struct vhost_user_msg *msg,
			bool *ret_reply)
{
	const struct vhost_user_op *op = vhost_user_op(msg->hdr.request);
	bool wants_ack = msg->hdr.flags & VHOST_USER_NEED_REPLY;
	int r = check(vu, op, msg);

	msg->reply_fd = -1;
	msg->has_reply = op && op->has_reply;
	msg->reply_size = sizeof(msg->payload.u64);
	if (r == 0) {
		r = op->fn(vu, msg);
	}
	if (r < 0) {
		complain(vu, op, msg, r);
	}
	/* The very message that agrees on it may want one: virtio_uml's does. */
	wants_ack = wants_ack &&
		    vhost_user_has(vu, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	if (r < 0 && (msg->has_reply || !wants_ack || vu->is_lost)) {
		return r;
	}
	*ret_reply = msg->has_reply || wants_ack;
	if (!msg->has_reply) {
		msg->payload.u64 = r < 0;
		msg->reply_size = sizeof(msg->payload.u64);
	}
	return 0;
}
