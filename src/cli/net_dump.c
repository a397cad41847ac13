/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit net dump: what comes in.
 *
 * Signals are read as the device's eventfd is: nothing is lost between looking
 * for one and going to sleep.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/net.h"

#define ETHERTYPE_AT  12
#define ETHERTYPE_MIN 0x600 /* below it, a length */

struct dump {
	/* options */
	const char *path; /* NULL: lines */
	unsigned int count; /* 0: until a signal comes */
	bool is_promisc;
	/* what they became */
	struct vdpakit_net_queue *rx;
	struct pcap_writer writer;
	int signal_fd;
	uint64_t n_frames;
};

/* ---- options ---- */

static int set_write(void *priv, const char *value)
{
	((struct dump *)priv)->path = value;
	return 0;
}

static int set_count(void *priv, const char *value)
{
	return io_set_uint("--count", value, 1, UINT32_MAX,
			   &((struct dump *)priv)->count);
}

static int set_promisc(void *priv, const char *value)
{
	(void)value;
	((struct dump *)priv)->is_promisc = true;
	return 0;
}

static const struct arg_option options[] = {
	{ "write", 'w', "FILE", "to a pcap file; \"-\": to standard output",
	  set_write },
	{ "count", 'c', "N", "end after so many (default: at a signal)",
	  set_count },
	{ "promisc", 0, NULL,
	  "ask the device for frames to other addresses, too", set_promisc },
};

void net_cmd_dump_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

/* ---- lines ---- */

static const char *name_of_type(unsigned int type)
{
	static const struct {
		unsigned int type;
		const char *name;
	} names[] = {
		{ 0x0800, " IPv4" },	{ 0x0806, " ARP" },
		{ 0x8100, " VLAN" },	{ 0x86dd, " IPv6" },
		{ 0x88a8, " VLANs" },	{ 0x8863, " PPPoE" },
		{ 0x8864, " PPPoE" },	{ 0x88cc, " LLDP" },
		{ 0x88b5, " vdpakit" }, /* for experiments: net_generate() */
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].type == type) {
			return names[i].name;
		}
	}
	return type < ETHERTYPE_MIN ? " (length)" : "";
}

static void print_mac(const uint8_t mac[6])
{
	(void)printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		     mac[3], mac[4], mac[5]);
}

static void print_line(const struct timespec *now,
		       const struct vdpakit_net_received *frame)
{
	uint8_t head[VDPAKIT_NET_FRAME_MIN] = { 0 };
	unsigned int type;
	struct tm tm = { 0 };
	char time[sizeof("HH:MM:SS")] = "";

	(void)vdpakit_net_copy(frame, head, sizeof(head));
	type = (unsigned int)head[ETHERTYPE_AT] << 8 | head[ETHERTYPE_AT + 1];
	(void)localtime_r(&now->tv_sec, &tm);
	(void)strftime(time, sizeof(time), "%H:%M:%S", &tm);
	(void)printf("%s.%06ld %u bytes ", time, now->tv_nsec / 1000,
		     frame->len_bytes);
	print_mac(head + 6);
	(void)printf(" > ");
	print_mac(head);
	(void)printf(" 0x%04x%s\n", type, name_of_type(type));
}

/* ---- frames ---- */

static int show_frames(struct dump *d, const struct vdpakit_net_received *got,
		       unsigned int n)
{
	struct timespec now;
	int r = 0;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	for (unsigned int i = 0; r == 0 && i < n; i++) {
		if (d->path) {
			r = pcap_write(&d->writer, &now, &got[i]);
		} else {
			print_line(&now, &got[i]);
		}
	}
	if (r == 0 && d->path) {
		r = pcap_flush(&d->writer);
	} else if (r == 0 && fflush(stdout) != 0) {
		r = err(-errno, "output: %s", strerror(errno));
	}
	return r;
}

static bool is_enough(const struct dump *d)
{
	return d->count > 0 && d->n_frames >= d->count;
}

/* Return: frames; -errno */
static int take(struct dump *d)
{
	struct vdpakit_net_received got[NET_CMD_BURST];
	int n = vdpakit_net_recv(d->rx, got, NET_CMD_BURST), r;
	unsigned int n_shown;

	if (n <= 0) {
		return io_err(n);
	}
	n_shown = (unsigned int)n;
	if (d->count > 0) {
		n_shown = (unsigned int)min_of((uint64_t)n_shown,
					       d->count - d->n_frames);
	}
	r = show_frames(d, got, n_shown);
	d->n_frames += n_shown;
	n = io_err(vdpakit_net_give_back(d->rx, got, (unsigned int)n));
	return r < 0 || n < 0 ? min_of(r, n) : 1;
}

/* Return: 1: a signal says that it is over; 0; -errno */
static int sleep_until_news(struct dump *d)
{
	struct pollfd fds[] = {
		{ .fd = vdpakit_net_fd(d->rx), .events = POLLIN },
		{ .fd = d->signal_fd, .events = POLLIN },
	};
	int r = io_err(vdpakit_net_arm(d->rx));

	if (r < 0) {
		return r;
	}
	if (poll(fds, ARRAY_SIZE(fds), r == 1 ? 0 : -1) < 0 && errno != EINTR) {
		return err(-errno, "poll: %s", strerror(errno));
	}
	return fds[1].revents != 0;
}

static int dump_all(struct dump *d)
{
	int r = 0;

	while (r == 0 && !is_enough(d)) {
		r = sleep_until_news(d);
		for (int n = 1; r == 0 && n > 0 && !is_enough(d);) {
			n = take(d);
			r = min_of(n, 0);
		}
	}
	return min_of(r, 0);
}

static int run(struct net_end *end, void *priv)
{
	struct dump *d = priv;
	int r = 0, ended;

	d->rx = vdpakit_net_get_rx(end->net, 0);
	if (d->is_promisc) {
		r = io_err(
			vdpakit_net_set_rx_mode(end->net, VDPAKIT_NET_PROMISC));
		r = err_context(r, "--promisc");
	}
	if (r == 0 && d->path) {
		r = pcap_create(d->path, &d->writer);
	}
	if (r < 0) {
		return r;
	}
	r = dump_all(d);
	ended = d->path ? pcap_end(&d->writer) : 0;
	if (r == 0 && ended == 0 && d->path && strcmp(d->path, "-") != 0) {
		(void)printf("%llu frames\n", (unsigned long long)d->n_frames);
	}
	return r < 0 ? r : ended;
}

int net_cmd_dump(const struct cli *cli, int argc, char **argv)
{
	const struct net_end_want want = { .n_pairs = 1 };
	struct dump d = { .signal_fd = -1 };
	_cleanup_close_ int fd = -1;
	int r = cli_take(options, ARRAY_SIZE(options), argc, argv, &d);

	if (r >= 0) {
		r = io_check_words(r, 1, 1, "DEVICE, one word,");
	}
	if (r < 0) {
		return r;
	}
	fd = net_signal_fd();
	if (fd < 0) {
		return fd;
	}
	d.signal_fd = fd;
	return net_with_device(cli, argv[0], &want, run, &d);
}
