/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames to a peer that sends back what it is sent, and back: all sizes, each
 * byte compared, by libvdpakit's network driver.
 *
 * usage: nic_frames DEVICE split|packed WITHOUT plain|offloads|segments
 *
 * DEVICE as vdpakit_dev_add() has it, called n0; WITHOUT are bits of features
 * not to take, hexadecimal. With offloads also TCP packets whose checksum is left
 * to the peer, and with segments those whose cutting into packets is, too: what
 * comes back asks for the same, or its checksum is complete.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdpakit/client.h>

#define BURST	  16
#define ETH_BYTES 14
#define IP_BYTES  20
#define TCP_BYTES 20
#define HEADERS	  (ETH_BYTES + IP_BYTES + TCP_BYTES)
#define CSUM_AT	  (ETH_BYTES + IP_BYTES + 16)
#define MSS	  1448
#define WAIT_MS	  20000
#define F_CSUM	  (1ULL << 0)
#define F_TSO4	  (1ULL << 11) /* of the peer */
#define LEN_MAX	  65535
/* Which lengths are all of them, and what of the others. */
#define SHORT_MAX  2200
#define STEP_LONG  397
#define BURST_LONG 4

struct client {
	struct vdpakit *kit;
	struct vdpakit_net *net;
	struct vdpakit_net_queue *tx, *rx;
	struct vdpakit_net_info info;
	char *mem; /* BURST frames, with room before them */
	unsigned long n_frames, n_asking, n_gso;
};

static _Noreturn void die(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
static void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)fprintf(stderr, "nic_frames: ");
	(void)vfprintf(stderr, fmt, args);
	(void)fprintf(stderr, ": %s\n", vdpakit_error());
	va_end(args);
	exit(1);
}

/* ---- frames ---- */

static uint32_t sum16(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < len; i += 2) {
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	}
	if (len & 1) {
		sum += (uint32_t)p[len - 1] << 8;
	}
	while (sum >> 16) {
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t pseudo_sum(const uint8_t *frame, uint32_t len)
{
	/* Both addresses, the protocol, and TCP's length. */
	return sum16(frame + ETH_BYTES + 12, 8, 6 + len - ETH_BYTES - IP_BYTES);
}

static void fill(uint8_t *frame, uint32_t len, const uint8_t mac[6])
{
	for (uint32_t i = 0; i < len; i++) {
		frame[i] = (uint8_t)(i * 7 + (i >> 8) + len);
	}
	memcpy(frame, mac, 6);
	frame[6] = 2; /* from somebody */
	put16(frame + 12, 0x88b5); /* for experiments */
}

/* A TCP segment, whose checksum is of the pseudo header only. */
static void fill_tcp(uint8_t *frame, uint32_t len, const uint8_t mac[6])
{
	uint8_t *ip = frame + ETH_BYTES, *tcp = ip + IP_BYTES;

	fill(frame, len, mac);
	put16(frame + 12, 0x0800);
	memset(ip, 0, IP_BYTES + TCP_BYTES);
	ip[0] = 0x45;
	put16(ip + 2, len - ETH_BYTES);
	ip[8] = 64;
	ip[9] = 6;
	memcpy(ip + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	put16(ip + 10, ~sum16(ip, IP_BYTES, 0));
	put16(tcp, 1000);
	put16(tcp + 2, 2000);
	tcp[12] = TCP_BYTES / 4 << 4;
	tcp[13] = 0x10;
	put16(tcp + 16, pseudo_sum(frame, len));
}

/* What a frame is like; the same for all of a burst. */
struct shape {
	uint32_t first_len, step;
	unsigned int n;
	uint16_t flags;
	struct vdpakit_net_offload offload;
};

static uint32_t len_of(const struct shape *s, unsigned int i)
{
	return s->first_len + i * s->step;
}

static void make(const struct client *c, const struct shape *s, unsigned int i,
		 uint8_t *frame)
{
	if (s->offload.flags) {
		fill_tcp(frame, len_of(s, i), c->info.mac);
	} else {
		fill(frame, len_of(s, i), c->info.mac);
	}
}

/* ---- there and back ---- */

static char *buffer(const struct client *c, unsigned int i)
{
	return c->mem + i * (LEN_MAX + 65) + VDPAKIT_NET_HDR_BYTES;
}

static void send_burst(struct client *c, const struct shape *s)
{
	struct vdpakit_net_frame frames[BURST] = { { 0 } };
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		frames[i].flags = s->flags;
		frames[i].len_bytes = len_of(s, i);
		frames[i].buf = buffer(c, i);
		frames[i].offload = s->offload;
		frames[i].user = &frames[i];
		make(c, s, i, (uint8_t *)frames[i].buf);
	}
	while (n < s->n) {
		int r = vdpakit_net_send(c->tx, frames + n, s->n - n);

		if (r < 0 ||
		    (r == 0 && vdpakit_net_wait(c->tx, WAIT_MS) != 1)) {
			die("send of %u bytes", len_of(s, n));
		}
		n += (unsigned int)r;
	}
}

static void check_gso(const struct shape *s, uint32_t len,
		      const struct vdpakit_net_received *got)
{
	if (got->offload.gso_type != s->offload.gso_type ||
	    got->offload.gso_size != s->offload.gso_size) {
		die("segments of %u bytes came back as type %u of %u bytes",
		    len, got->offload.gso_type, got->offload.gso_size);
	}
}

/* What the checksum of a segment may be now, which is put into @want. */
static void check_csum(const struct shape *s, uint32_t len, const uint8_t *is,
		       const struct vdpakit_net_received *got, uint8_t *want)
{
	uint32_t pseudo = pseudo_sum(is, len);

	if (!(got->offload.flags & VDPAKIT_NET_NEEDS_CSUM)) {
		if (sum16(is + ETH_BYTES + IP_BYTES, len - ETH_BYTES - IP_BYTES,
			  pseudo) != 0xffff) {
			die("a frame of %u bytes has a wrong checksum", len);
		}
		memcpy(want + CSUM_AT, is + CSUM_AT, 2);
	} else if (got->offload.gso_type) {
		/* DPDK has it without the length, which is each packet's. */
		check_gso(s, len, got);
		put16(want + CSUM_AT, sum16(is + ETH_BYTES + 12, 8, 6));
	}
}

static void check(struct client *c, const struct shape *s, unsigned int i,
		  const struct vdpakit_net_received *got)
{
	static uint8_t want[LEN_MAX], is[LEN_MAX];
	uint32_t len = len_of(s, i);

	if (got->len_bytes != len) {
		die("a frame of %u bytes came back as one of %u", len,
		    got->len_bytes);
	}
	(void)vdpakit_net_copy(got, is, len);
	make(c, s, i, want);
	if (s->offload.flags) {
		check_csum(s, len, is, got, want);
	}
	for (uint32_t at = 0; at < len; at++) {
		if (want[at] != is[at]) {
			die("a frame of %u bytes differs in byte %u", len, at);
		}
	}
	c->n_asking += got->offload.flags & VDPAKIT_NET_NEEDS_CSUM;
	c->n_gso += got->offload.gso_type != VDPAKIT_NET_GSO_NONE;
	c->n_frames++;
}

static void recv_burst(struct client *c, const struct shape *s)
{
	struct vdpakit_net_received got[BURST];
	unsigned int n = 0;

	while (n < s->n) {
		int r = vdpakit_net_recv(c->rx, got, s->n - n);

		if (r < 0 ||
		    (r == 0 && vdpakit_net_wait(c->rx, WAIT_MS) != 1)) {
			die("frame %u of %u bytes and more never came back", n,
			    s->first_len);
		}
		for (int i = 0; i < r; i++) {
			check(c, s, n + (unsigned int)i, &got[i]);
		}
		if (vdpakit_net_give_back(c->rx, got, (unsigned int)r) < 0) {
			die("give back");
		}
		n += (unsigned int)r;
	}
}

static void reclaim(struct client *c)
{
	void *users[BURST];

	while (vdpakit_net_n_under_way(c->tx) > 0) {
		if (vdpakit_net_reclaim(c->tx, users, BURST) < 0 ||
		    vdpakit_net_wait(c->tx, WAIT_MS) < 0) {
			die("reclaim");
		}
	}
}

static void go_round(struct client *c, const struct shape *s)
{
	send_burst(c, s);
	recv_burst(c, s);
	reclaim(c);
}

/* From @from to LEN_MAX: all of the short ones in large bursts, and of the long
 * ones some, few at a time, since they take many buffers. */
static void all_sizes(struct client *c, uint32_t from, uint16_t flags,
		      const struct vdpakit_net_offload *offload)
{
	uint32_t len = from;

	while (len <= LEN_MAX) {
		bool is_short = len < SHORT_MAX;
		struct shape s = {
			.first_len = len,
			.step = is_short ? 1 : STEP_LONG,
			.n = is_short ? BURST : BURST_LONG,
			.flags = flags,
			.offload = *offload,
		};

		while (len_of(&s, s.n - 1) > LEN_MAX) {
			s.n--;
		}
		go_round(c, &s);
		len = len_of(&s, s.n);
	}
	go_round(c, &(struct shape){ LEN_MAX, 0, 1, flags, *offload });
}

static void offloads(struct client *c, bool has_segments)
{
	struct vdpakit_net_offload o = {
		.flags = VDPAKIT_NET_NEEDS_CSUM,
		.csum_start = ETH_BYTES + IP_BYTES,
		.csum_offset = 16,
	};

	if (!(c->info.features & F_CSUM)) {
		die("the peer makes no checksums");
	}
	all_sizes(c, HEADERS + 1, VDPAKIT_NET_COPY, &o);
	if (has_segments) {
		if (!(c->info.features & F_TSO4)) {
			die("the peer takes no segments");
		}
		o.gso_type = VDPAKIT_NET_GSO_TCPV4;
		o.hdr_len = HEADERS;
		o.gso_size = MSS;
		all_sizes(c, HEADERS + MSS + 1, 0, &o);
	}
}

/* ---- set-up ---- */

static void open_device(struct client *c, char **argv)
{
	struct vdpakit_net_options options = {
		.size = sizeof(options),
		.without = strtoull(argv[3], NULL, 16),
		.no_packed = strcmp(argv[2], "split") == 0,
		.buffer_bytes = 0,
	};
	void *mem;

	if (options.without & (1ULL << 15)) { /* no merging */
		options.buffer_bytes = 65600;
	}
	if (vdpakit_new(NULL, &c->kit) < 0 ||
	    vdpakit_dev_add(c->kit, argv[1]) < 0 ||
	    vdpakit_mem_alloc(c->kit, BURST * (LEN_MAX + 65), &mem) < 0 ||
	    vdpakit_net_open(c->kit, "n0", &options, &c->net) < 0) {
		die("%s", argv[1]);
	}
	c->mem = mem;
	c->tx = vdpakit_net_get_tx(c->net, 0);
	c->rx = vdpakit_net_get_rx(c->net, 0);
	vdpakit_net_get_info(c->net, &c->info, sizeof(c->info));
	if (c->info.is_packed != (strcmp(argv[2], "packed") == 0)) {
		die("the peer has no such rings");
	}
}

int main(int argc, char **argv)
{
	static const uint16_t ways[] = { 0, VDPAKIT_NET_COPY,
					 VDPAKIT_NET_HEADROOM };
	const struct vdpakit_net_offload none = { 0 };
	struct vdpakit_net_stats stats;
	struct client c = { 0 };

	if (argc != 5) {
		(void)fprintf(stderr,
			      "usage: nic_frames DEVICE split|packed WITHOUT "
			      "plain|offloads|segments\n");
		return 2;
	}
	open_device(&c, argv);
	for (unsigned int i = 0; i < 3; i++) {
		all_sizes(&c, VDPAKIT_NET_FRAME_MIN, ways[i], &none);
	}
	if (strcmp(argv[4], "plain") != 0) {
		offloads(&c, strcmp(argv[4], "segments") == 0);
	}
	vdpakit_net_get_stats(c.rx, &stats, sizeof(stats));
	printf("%s features 0x%llx frames %lu asking %lu gso %lu bad %llu\n",
	       argv[2], (unsigned long long)c.info.features, c.n_frames,
	       c.n_asking, c.n_gso, (unsigned long long)stats.n_bad);
	vdpakit_net_close(c.net);
	vdpakit_free(c.kit);
	return stats.n_bad == 0 && stats.n_frames == c.n_frames ? 0 : 1;
}
