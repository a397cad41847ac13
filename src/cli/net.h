/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of `vdpakit net` share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_NET_H
#define CLI_NET_H

#include <time.h>

#include "cli/io.h"

/* Frames that are sent or received at once. */
#define NET_CMD_BURST 32

/**
 * struct net_end - the device of a command, opened
 *
 * @word: as the user said it
 */
struct net_end {
	const char *word;
	struct vdpakit *kit;
	struct vdpakit_net *net;
	struct vdpakit_net_info info;
};

/**
 * struct net_end_want - how it is opened
 *
 * @n_pairs: 0: all
 * @poll_us: vdpakit_net_wait() looks for so long before it sleeps
 * @wants_offloads: frames may be such as no wire has: longer than the MTU, and
 *                  without checksums
 * @without: further features that are not taken
 * @changed, @priv: of struct vdpakit_net_options
 */
struct net_end_want {
	unsigned int n_pairs;
	unsigned int poll_us;
	bool wants_offloads;
	uint64_t without;
	void (*changed)(void *priv);
	void *priv;
};

/**
 * net_with_device() - do something with a device
 * @cli: whose daemon
 * @word: DEVICE
 * @want: how
 * @fn: gets the device, and @priv
 *
 * Return: what @fn does; -errno
 */
int net_with_device(const struct cli *cli, const char *word,
		    const struct net_end_want *want,
		    int (*fn)(struct net_end *end, void *priv), void *priv);

/* Receive buffers that a frame takes. */
unsigned int net_end_n_buffers(const struct net_end *end, uint32_t len_bytes);

/* ---- generated frames: net.c ---- */

/* Addresses, a type for experiments, a number of 8 bytes. */
#define NET_GENERATED_MIN (VDPAKIT_NET_FRAME_MIN + 8)

/* The bytes after the number follow from it, so that each frame can be told from
 * all others. */
void net_generate(uint8_t *frame, uint32_t len_bytes, const uint8_t to[6],
		  const uint8_t from[6], uint64_t number);
/* The longest frame that a device takes. */
uint32_t net_frame_max(const struct net_end *end);

/* ---- pcap files: net_pcap.c ---- */

struct pcap_reader {
	FILE *f;
	const char *path;
	uint64_t n_frames;
	bool is_swapped;
	bool owns_file;
};

/* A file of Ethernet frames; "-": standard input. Return: 0; -errno */
int pcap_open(const char *path, struct pcap_reader *ret);
/* The next frame, to VDPAKIT_NET_FRAME_MAX bytes. Return: 1; 0: there is none;
 * -errno */
int pcap_read(struct pcap_reader *r, uint8_t *frame, uint32_t *ret_len);
void pcap_close(struct pcap_reader *r);

struct pcap_writer {
	FILE *f;
	const char *path;
	bool owns_file;
};

/* "-": standard output. The file has its header when this returns. Return: 0;
 * -errno */
int pcap_create(const char *path, struct pcap_writer *ret);
int pcap_write(struct pcap_writer *w, const struct timespec *time,
	       const struct vdpakit_net_received *frame);
int pcap_flush(struct pcap_writer *w);
/* Return: 0; what the file system says of what was written */
int pcap_end(struct pcap_writer *w);

/* ---- commands ---- */

/* SIGINT and SIGTERM, from now on read from a descriptor; to be called before
 * there are threads, as these have it so, too. Return: to be closed; -errno */
int net_signal_fd(void);

int net_cmd_info(const struct cli *cli, int argc, char **argv);
void net_cmd_info_help(void);
int net_cmd_send(const struct cli *cli, int argc, char **argv);
void net_cmd_send_help(void);
int net_cmd_dump(const struct cli *cli, int argc, char **argv);
void net_cmd_dump_help(void);
int net_cmd_bench(const struct cli *cli, int argc, char **argv);
void net_cmd_bench_help(void);
int net_cmd_tap(const struct cli *cli, int argc, char **argv);
void net_cmd_tap_help(void);

#endif
