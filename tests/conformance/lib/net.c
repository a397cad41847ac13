/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames and control commands.
 *
 * Source: virtio 1.2, "Network Device", "Device Operation"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "net.h"

/* Of the client's buffers: frames to send, commands, then receive buffers, one
 * for each head. */
#define TX_AREA	  0x0
#define CTRL_AREA 0x80000
#define RX_AREA	  0x90000
#define ACK_NONE  0x55

_Static_assert(CLIENT_BUFS + RX_AREA + RING_NUM_MAX * NET_RX_BYTES <=
		       CLIENT_BYTES,
	       "room for receive buffers");

const uint8_t net_broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

void net_start(struct client *cl, struct conf *c, uint16_t num, uint64_t want)
{
	client_start(cl, c, conf_node_of(CONF_DEVICE_NET), want, 3, num);
}

void net_get_mac(struct client *cl, uint8_t mac[6])
{
	assert_int_equal(client_get_config(cl, 0, mac, 6), 0);
}

/* A buffer goes with the head that will be taken next. */
static uint16_t next_id(const struct ring *r)
{
	return r->free_ids[r->n_free - 1];
}

void net_post(struct client *cl, unsigned int n)
{
	struct ring *r = &cl->vqs[NET_RX].ring;

	for (unsigned int i = 0; i < n; i++) {
		size_t at = RX_AREA + (size_t)next_id(r) * NET_RX_BYTES;
		struct ring_piece piece = { client_iova(cl, client_buf(cl, at)),
					    NET_RX_BYTES, true };

		memset(client_buf(cl, at), 0, NET_RX_BYTES);
		assert_true(ring_add(r, &piece, 1, false) >= 0);
	}
	client_kick(&cl->vqs[NET_RX]);
}

static void fill(uint8_t *frame, const uint8_t dst[6], uint32_t len,
		 uint8_t tag)
{
	memcpy(frame, dst, 6);
	for (uint32_t i = 6; i < len; i++) {
		frame[i] = (uint8_t)(tag + i);
	}
}

int net_add(struct client *cl, const uint8_t dst[6], uint32_t len, uint8_t tag)
{
	struct ring *r = &cl->vqs[NET_TX].ring;
	struct ring_piece piece;
	char *va;

	if (r->n_free == 0) {
		return -1;
	}
	va = client_buf(cl, TX_AREA + (size_t)next_id(r) * NET_RX_BYTES);
	memset(va, 0, NET_HDR);
	fill((uint8_t *)va + NET_HDR, dst, len, tag);
	piece = (struct ring_piece){ client_iova(cl, va), NET_HDR + len,
				     false };
	return ring_add(r, &piece, 1, false);
}

bool net_send(struct client *cl, const uint8_t dst[6], uint32_t len,
	      uint8_t tag)
{
	int head = net_add(cl, dst, len, tag);
	uint32_t written;
	uint16_t id;

	assert_true(head >= 0);
	client_kick(&cl->vqs[NET_TX]);
	return client_wait(&cl->vqs[NET_TX], CONF_WAIT_MS, &id, &written) &&
	       id == head && written == 0;
}

bool net_recv(struct client *cl, const uint8_t dst[6], uint32_t len,
	      uint8_t tag)
{
	uint8_t want[NET_RX_BYTES];
	uint32_t written;
	uint16_t id;

	if (!client_wait(&cl->vqs[NET_RX], CONF_WAIT_MS, &id, &written)) {
		return false;
	}
	fill(want, dst, len, tag);
	assert_int_equal(written, NET_HDR + len);
	assert_memory_equal(
		client_buf(cl, RX_AREA + (size_t)id * NET_RX_BYTES + NET_HDR),
		want, len);
	return true;
}

bool net_works(struct client *cl, uint8_t tag)
{
	net_post(cl, 1);
	return net_send(cl, net_broadcast, 100, tag) &&
	       net_recv(cl, net_broadcast, 100, tag);
}

int net_command(struct client *cl, uint8_t class, uint8_t cmd, const void *data,
		uint32_t len)
{
	uint8_t *va = (uint8_t *)client_buf(cl, CTRL_AREA);
	uint8_t *ack = va + 0x1000;
	struct ring_piece pieces[3] = {
		{ client_iova(cl, va), 2, false },
	};
	unsigned int n = 1;
	uint32_t written;
	uint16_t id;

	va[0] = class;
	va[1] = cmd;
	*ack = ACK_NONE;
	if (len > 0) {
		memcpy(va + 2, data, len);
		pieces[n++] = (struct ring_piece){ client_iova(cl, va + 2), len,
						   false };
	}
	pieces[n++] = (struct ring_piece){ client_iova(cl, ack), 1, true };
	assert_true(ring_add(&cl->vqs[NET_CTRL].ring, pieces, n, false) >= 0);
	client_kick(&cl->vqs[NET_CTRL]);
	if (!client_wait(&cl->vqs[NET_CTRL], CONF_WAIT_MS, &id, &written)) {
		return -1;
	}
	return *ack;
}
