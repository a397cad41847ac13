/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit net send: frames of a file, or made up.
 *
 * They are sent in batches, each waited for. With --echo a batch is such that
 * what comes back finds receive buffers, and is compared with what was sent, in
 * order; whatever else comes in meanwhile is left aside.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"
#include "cli/net.h"

#define NS_PER_S	1000000000ULL
#define NS_PER_MS	1000000ULL
#define TIMEOUT_S_MAX	86400
#define SIZE_DEFAULT	60
#define COUNT_MAX	UINT32_MAX
#define TIMEOUT_DEFAULT 5

struct send {
	/* options */
	const char *path; /* NULL: made up */
	const char *write_path;
	unsigned int size_bytes;
	unsigned int count;
	unsigned int timeout_s;
	uint8_t to[6];
	bool has_to;
	bool is_generated; /* an option said so */
	bool wants_echo;
	/* what they became */
	struct net_end *end;
	struct vdpakit_net_queue *rx, *tx;
	struct pcap_reader reader;
	struct pcap_writer writer; /* f NULL: none */
	uint8_t *memory; /* NET_CMD_BURST frames, and one that came */
	uint64_t n_sent;
	uint64_t n_bytes;
};

/* Frames [0, n) of struct send's memory. */
struct batch {
	uint32_t len[NET_CMD_BURST];
	unsigned int n;
	unsigned int n_buffers; /* that their echo takes */
};

/* ---- options ---- */

static int set_size(void *priv, const char *value)
{
	struct send *s = priv;

	s->is_generated = true;
	return io_set_uint("--size", value, NET_GENERATED_MIN,
			   VDPAKIT_NET_FRAME_MAX, &s->size_bytes);
}

static int set_count(void *priv, const char *value)
{
	struct send *s = priv;

	s->is_generated = true;
	return io_set_uint("--count", value, 1, COUNT_MAX, &s->count);
}

static int set_to(void *priv, const char *value)
{
	struct send *s = priv;

	s->is_generated = true;
	s->has_to = true;
	return parse_mac("--to", value, s->to);
}

static int set_echo(void *priv, const char *value)
{
	(void)value;
	((struct send *)priv)->wants_echo = true;
	return 0;
}

static int set_timeout(void *priv, const char *value)
{
	return io_set_uint("--timeout", value, 1, TIMEOUT_S_MAX,
			   &((struct send *)priv)->timeout_s);
}

static int set_write(void *priv, const char *value)
{
	((struct send *)priv)->write_path = value;
	return 0;
}

static const struct arg_option options[] = {
	{ "size", 's', "BYTES", "of a frame that is made up (default 60)",
	  set_size },
	{ "count", 'c', "N", "make up so many (default 1)", set_count },
	{ "to", 't', "MAC",
	  "address of those made up (default: the device's own)", set_to },
	{ "echo", 'e', NULL, "all have to come back as they were sent",
	  set_echo },
	{ "timeout", 0, "SECONDS", "for a frame to come back (default 5)",
	  set_timeout },
	{ "write", 'w', "FILE",
	  "with --echo: write what came in to a pcap file", set_write },
};

void net_cmd_send_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

/* ---- batches ---- */

static uint8_t *frame_at(const struct send *s, unsigned int idx)
{
	return s->memory + (size_t)idx * VDPAKIT_NET_FRAME_MAX;
}

/* Return: 1; 0: that was all; -errno */
static int make_frame(struct send *s, const struct batch *b, uint32_t *ret_len)
{
	uint8_t *frame = frame_at(s, b->n);
	uint64_t number = s->n_sent + b->n;

	if (s->path) {
		return pcap_read(&s->reader, frame, ret_len);
	}
	if (number == s->count) {
		return 0;
	}
	net_generate(frame, s->size_bytes, s->to, s->end->info.mac, number);
	*ret_len = s->size_bytes;
	return 1;
}

static bool has_room(const struct send *s, const struct batch *b)
{
	/* What comes next may be long. */
	unsigned int next = net_end_n_buffers(s->end, VDPAKIT_NET_FRAME_MAX);

	return b->n == 0 || (b->n < NET_CMD_BURST &&
			     (!s->wants_echo ||
			      b->n_buffers + next <= s->end->info.queue_size));
}

/* Return: 0; -errno: what was made before is in the batch all the same */
static int make_batch(struct send *s, struct batch *b)
{
	int r = 1;

	*b = (struct batch){ .n = 0 };
	while (has_room(s, b)) {
		r = make_frame(s, b, &b->len[b->n]);
		if (r <= 0) {
			break;
		}
		b->n_buffers += net_end_n_buffers(s->end, b->len[b->n]);
		b->n++;
	}
	return min_of(r, 0);
}

/* ---- sending ---- */

/* Return: 0: there may be room; -errno */
static int wait_for_room(struct vdpakit_net_queue *tx)
{
	int r = vdpakit_net_wait(tx, -1);

	if (r >= 0 || r == -EINTR) {
		r = vdpakit_net_reclaim(tx, NULL, 0);
	}
	return io_err(min_of(r, 0));
}

static int send_batch(struct send *s, const struct batch *b)
{
	struct vdpakit_net_frame frames[NET_CMD_BURST];
	unsigned int n = 0;
	int r = 0;

	for (unsigned int i = 0; i < b->n; i++) {
		frames[i] = (struct vdpakit_net_frame){
			.flags = VDPAKIT_NET_COPY,
			.len_bytes = b->len[i],
			.buf = frame_at(s, i),
		};
	}
	while (r == 0 && n < b->n) {
		r = io_err(vdpakit_net_send(s->tx, frames + n, b->n - n));
		if (r < 0) {
			return err_context(r, "frame %llu",
					   (unsigned long long)s->n_sent + n +
						   1);
		}
		n += (unsigned int)r;
		r = r == 0 ? wait_for_room(s->tx) : 0;
	}
	while (r == 0 && vdpakit_net_n_under_way(s->tx) > 0) {
		r = wait_for_room(s->tx);
	}
	return r;
}

/* ---- what comes back ---- */

static bool is_same(const struct send *s, const struct batch *b,
		    unsigned int idx, const struct vdpakit_net_received *got)
{
	uint8_t *copy = frame_at(s, NET_CMD_BURST);

	return got->len_bytes == b->len[idx] &&
	       vdpakit_net_copy(got, copy, got->len_bytes) == b->len[idx] &&
	       memcmp(copy, frame_at(s, idx), b->len[idx]) == 0;
}

static int write_frames(struct send *s, const struct vdpakit_net_received *got,
			int n)
{
	struct timespec now;
	int r = 0;

	if (!s->writer.f) {
		return 0;
	}
	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	for (int i = 0; r == 0 && i < n; i++) {
		r = pcap_write(&s->writer, &now, &got[i]);
	}
	return r;
}

/* Return: 0, and *at is behind those that have come; -errno */
static int take_back(struct send *s, const struct batch *b, unsigned int *at)
{
	struct vdpakit_net_received got[NET_CMD_BURST];
	int n = vdpakit_net_recv(s->rx, got, NET_CMD_BURST), r;

	if (n <= 0) {
		return io_err(n);
	}
	for (int i = 0; i < n && *at < b->n; i++) {
		*at += is_same(s, b, *at, &got[i]);
	}
	r = write_frames(s, got, n);
	n = io_err(vdpakit_net_give_back(s->rx, got, (unsigned int)n));
	return r < 0 ? r : n;
}

static int wait_for_echo(struct send *s, const struct batch *b)
{
	uint64_t end_ns = io_now_ns() + s->timeout_s * NS_PER_S;
	unsigned int at = 0;
	int r = 0;

	while (r == 0 && at < b->n) {
		uint64_t now = io_now_ns();

		if (now >= end_ns) {
			return err(-ETIMEDOUT,
				   "frame %llu did not come back within %u s",
				   (unsigned long long)s->n_sent + at + 1,
				   s->timeout_s);
		}
		r = vdpakit_net_wait(s->rx,
				     (int)((end_ns - now) / NS_PER_MS) + 1);
		r = r < 0 && r != -EINTR ? io_err(r) : take_back(s, b, &at);
	}
	return r;
}

/* ---- all of it ---- */

static int send_all(struct send *s)
{
	struct batch b;
	int made, r;

	do {
		made = make_batch(s, &b);
		r = send_batch(s, &b);
		if (r == 0 && s->wants_echo) {
			r = wait_for_echo(s, &b);
		}
		if (r < 0) {
			return r;
		}
		s->n_sent += b.n;
		for (unsigned int i = 0; i < b.n; i++) {
			s->n_bytes += b.len[i];
		}
	} while (made == 0 && b.n > 0);
	return made;
}

static int open_files(struct send *s)
{
	int r = s->path ? pcap_open(s->path, &s->reader) : 0;

	if (r == 0 && s->write_path) {
		r = pcap_create(s->write_path, &s->writer);
		if (r < 0 && s->path) {
			pcap_close(&s->reader);
		}
	}
	return r;
}

static int run(struct net_end *end, void *priv)
{
	struct send *s = priv;
	_cleanup_free_ uint8_t *memory =
		calloc(NET_CMD_BURST + 1, VDPAKIT_NET_FRAME_MAX);
	int r, closed;

	if (!memory) {
		return err(-ENOMEM, "out of memory");
	}
	s->end = end;
	s->memory = memory;
	s->rx = vdpakit_net_get_rx(end->net, 0);
	s->tx = vdpakit_net_get_tx(end->net, 0);
	if (!s->has_to) {
		memcpy(s->to, end->info.mac, sizeof(s->to));
	}
	r = open_files(s);
	if (r < 0) {
		return r;
	}
	r = send_all(s);
	if (s->path) {
		pcap_close(&s->reader);
	}
	closed = pcap_end(&s->writer);
	if (r < 0 || closed < 0) {
		return r < 0 ? r : closed;
	}
	(void)printf("%llu frame%s, %llu bytes%s\n",
		     (unsigned long long)s->n_sent, s->n_sent == 1 ? "" : "s",
		     (unsigned long long)s->n_bytes,
		     s->wants_echo ? ", all came back" : "");
	return 0;
}

int net_cmd_send(const struct cli *cli, int argc, char **argv)
{
	const struct net_end_want want = { .n_pairs = 1 };
	struct send s = {
		.size_bytes = SIZE_DEFAULT,
		.count = 1,
		.timeout_s = TIMEOUT_DEFAULT,
	};
	int n = cli_take(options, ARRAY_SIZE(options), argc, argv, &s), r = n;

	if (r >= 0) {
		r = io_check_words(r, 1, 2,
				   "DEVICE and, if frames are not to be made "
				   "up, FILE");
	}
	if (r < 0) {
		return r;
	}
	s.path = n > 1 ? argv[1] : NULL;
	if (s.path && s.is_generated) {
		return err(-EINVAL, "--size, --count and --to are of frames "
				    "that are made up, not of a file's");
	}
	if (s.write_path && !s.wants_echo) {
		return err(-EINVAL, "--write is with --echo; `vdpakit net "
				    "dump` writes what comes in");
	}
	return net_with_device(cli, argv[0], &want, run, &s);
}
