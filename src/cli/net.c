/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit net: use a network card, whatever is behind it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/net.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include <linux/virtio_net.h>

#include "base/err.h"
#include "uapi/compat.h"

/* IEEE 802: local experiments. */
#define ETHERTYPE_EXPERIMENT 0x88b5
#define VLAN_BYTES	     4

/* What makes received frames other than those of a wire. */
#define GUEST_OFFLOADS                                                         \
	(BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) | BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) | \
	 BIT_ULL(VIRTIO_NET_F_GUEST_TSO6) | BIT_ULL(VIRTIO_NET_F_GUEST_ECN) |  \
	 BIT_ULL(VIRTIO_NET_F_GUEST_UFO) | BIT_ULL(VIRTIO_NET_F_GUEST_USO4) |  \
	 BIT_ULL(VIRTIO_NET_F_GUEST_USO6))

/* ---- the device ---- */

static int with_open(struct net_end *end, const struct net_end_want *want,
		     int (*fn)(struct net_end *end, void *priv), void *priv)
{
	const struct vdpakit_net_options options = {
		.size = sizeof(options),
		.n_pairs = (uint16_t)want->n_pairs,
		.poll_us = want->poll_us,
		.without = want->without |
			   (want->wants_offloads ? 0 : GUEST_OFFLOADS),
		.changed = want->changed,
		.priv = want->priv,
	};
	int r = io_err(vdpakit_net_open(end->kit, "card", &options, &end->net));

	if (r == 0) {
		vdpakit_net_get_info(end->net, &end->info, sizeof(end->info));
		r = fn(end, priv);
		vdpakit_net_close(end->net);
	}
	return r;
}

int net_with_device(const struct cli *cli, const char *word,
		    const struct net_end_want *want,
		    int (*fn)(struct net_end *end, void *priv), void *priv)
{
	struct net_end end = { .word = word };
	int r = io_err(vdpakit_new(NULL, &end.kit));

	if (r < 0) {
		return r;
	}
	r = io_dev_add(cli, end.kit, word, "net", "card");
	if (r == 0) {
		r = with_open(&end, want, fn, priv);
	}
	vdpakit_free(end.kit);
	return err_context(r, "%s", word);
}

unsigned int net_end_n_buffers(const struct net_end *end, uint32_t len_bytes)
{
	return (len_bytes + VDPAKIT_NET_HDR_BYTES + end->info.buffer_bytes -
		1) /
	       end->info.buffer_bytes;
}

int net_signal_fd(void)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err(-errno, "signalfd: %s", strerror(errno)) : fd;
}

/* ---- frames ---- */

uint32_t net_frame_max(const struct net_end *end)
{
	return end->info.mtu > 0
		       ? VDPAKIT_NET_FRAME_MIN + VLAN_BYTES + end->info.mtu
		       : VDPAKIT_NET_FRAME_MAX;
}

void net_generate(uint8_t *frame, uint32_t len_bytes, const uint8_t to[6],
		  const uint8_t from[6], uint64_t number)
{
	const uint16_t type = htobe16(ETHERTYPE_EXPERIMENT);
	const uint64_t wire = htobe64(number);

	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	memcpy(frame + 12, &type, sizeof(type));
	memcpy(frame + VDPAKIT_NET_FRAME_MIN, &wire, sizeof(wire));
	for (uint32_t i = NET_GENERATED_MIN; i < len_bytes; i++) {
		frame[i] = (uint8_t)(number + i);
	}
}

/* ---- the table ---- */

const struct cli_command io_net_commands[] = {
	{ .name = "info",
	  .args = "[ OPTIONS ] DEVICE",
	  .help = "what the card says of itself",
	  .max_args = CLI_ANY_ARGS,
	  .fn = net_cmd_info,
	  .print_help = net_cmd_info_help },
	{ .name = "send",
	  .args = "[ OPTIONS ] DEVICE [ FILE ]",
	  .help = "frames of a pcap file, or made up",
	  .max_args = CLI_ANY_ARGS,
	  .fn = net_cmd_send,
	  .print_help = net_cmd_send_help },
	{ .name = "dump",
	  .args = "[ OPTIONS ] DEVICE",
	  .help = "what comes in, a line each, or to a pcap file",
	  .max_args = CLI_ANY_ARGS,
	  .fn = net_cmd_dump,
	  .print_help = net_cmd_dump_help },
	{ .name = "bench",
	  .args = "[ OPTIONS ] DEVICE",
	  .help = "how fast it is",
	  .max_args = CLI_ANY_ARGS,
	  .fn = net_cmd_bench,
	  .print_help = net_cmd_bench_help },
	{ .name = "tap",
	  .args = "[ OPTIONS ] DEVICE",
	  .help = "make it a network interface of this machine",
	  .max_args = CLI_ANY_ARGS,
	  .fn = net_cmd_tap,
	  .print_help = net_cmd_tap_help },
	{ .name = NULL },
};
