/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_loopback [N]: a network device that gives back what is sent, as the
 * kernel's mvnet sample did, and a driver that sends N frames and waits for
 * them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdpakit/client.h>
#include <vdpakit/soft.h>

enum {
	RX,
	TX
};

/* What is sent on one queue arrives on the other, header and all; without a
 * buffer for it, it is dropped. */
static void submit(struct vdpakit_device *dev, uint16_t queue,
		   struct vdpakit_request *const *reqs, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = vdpakit_request_readable_bytes(reqs[i]);
		struct vdpakit_request *rx;

		if (vdpakit_device_fetch(dev, RX, &rx, 1) == 1) {
			if (vdpakit_request_copy(rx, 0, reqs[i], 0, len) < 0)
				len = 0; /* too long for it */
			vdpakit_request_complete(rx, len);
		}
		vdpakit_request_complete(reqs[i], 0);
	}
}

/* Buffers lie in the receive queue until something arrives. */
static bool is_passive(struct vdpakit_device *dev, uint16_t queue)
{
	return queue == RX;
}

/* Both queues have one thread, so that one can fetch from the other. */
static uint16_t leader(struct vdpakit_device *dev, uint16_t queue)
{
	return RX;
}

static const struct vdpakit_device_class loopback = {
	.size = sizeof(loopback),
	.device_id = 1,
	.n_queues = 2,
	.submit = submit,
	.is_passive = is_passive,
	.leader = leader,
};

int main(int argc, char **argv)
{
	unsigned int n = argc > 1 ? atoi(argv[1]) : 1;
	char bytes[100] = "to nobodyfrom no";
	struct vdpakit_net_frame frame = { .flags = VDPAKIT_NET_COPY,
					   .len_bytes = sizeof(bytes),
					   .buf = bytes };
	struct vdpakit_net_queue *rx, *tx;
	struct vdpakit_net_received got;
	struct vdpakit_net *net;
	struct vdpakit *kit;

	if (vdpakit_new(NULL, &kit) < 0 ||
	    vdpakit_device_new(kit, "mvnet", &loopback, NULL, NULL) < 0 ||
	    vdpakit_net_open(kit, "mvnet", NULL, &net) < 0)
		errx(1, "%s", vdpakit_error());
	rx = vdpakit_net_get_rx(net, 0);
	tx = vdpakit_net_get_tx(net, 0);
	for (unsigned int i = 0; i < n; i++) {
		bytes[50] = i;
		if (vdpakit_net_send(tx, &frame, 1) != 1 ||
		    vdpakit_net_wait(rx, 10000) != 1 ||
		    vdpakit_net_recv(rx, &got, 1) != 1)
			errx(1, "%s", vdpakit_error());
		if (memcmp(got.data, bytes, sizeof(bytes)) != 0)
			errx(1, "another frame");
		vdpakit_net_give_back(rx, &got, 1);
	}
	printf("%u frames came back\n", n);
	vdpakit_free(kit);
	return 0;
}
