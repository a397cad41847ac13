/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Send numbered frames to a device that loops, count that each comes back.
 *
 * Copyright (c) 2026, the vdpakit authors
 *
 * Theory of operation
 *
 * One packet socket sends and receives.  A frame carries its number, its length
 * and bytes that follow from both, so that a frame that is cut short, mixed with
 * another, repeated or damaged is seen as such.  At most --window frames are
 * under way, so that a device with a small ring need not drop any.  They go to
 * the driver past the queueing discipline: fq_codel, the default, drops what
 * has waited for long, and on a busy machine everything has.  Sizes go from 60
 * to 1514, destinations alternate between the interface's own address and
 * broadcast.  Static, and built for the guest's initramfs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* IEEE 802's type for local experiments. */
#define FRAME_TYPE    0x88b5
#define FRAME_MIN     60u
#define FRAME_MAX     1514u
#define QUIET_TIME_MS 5000

struct head {
	uint8_t dest[6];
	uint8_t source[6];
	uint16_t type;
	uint32_t run;
	uint32_t number;
	uint32_t size;
} __attribute__((packed));

struct test {
	int fd;
	struct sockaddr_ll address;
	uint8_t mac[6];
	uint32_t run;
	unsigned count;
	unsigned window;
	unsigned sent;
	unsigned received;
	unsigned bad;
	uint8_t *seen;
};

static unsigned frame_size(unsigned number)
{
	/* Both limits come up; 1455 steps of 7 reach every size. */
	return FRAME_MIN +
	       (unsigned)(number * 7ul % (FRAME_MAX - FRAME_MIN + 1));
}

static uint8_t frame_byte(uint32_t number, unsigned at)
{
	uint32_t x = number * 2654435761u + at * 40503u;

	return (uint8_t)(x >> 24 ^ x >> 8);
}

static int open_socket(struct test *t, const char *name)
{
	struct ifreq req = { 0 };
	int size = 4 << 20, on = 1;

	t->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(FRAME_TYPE));
	if (t->fd < 0)
		return -errno;
	(void)setsockopt(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size,
			 sizeof(size)); /* best effort: the window is small */
	if (setsockopt(t->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		return -errno;
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (ioctl(t->fd, SIOCGIFHWADDR, &req))
		return -errno;
	memcpy(t->mac, req.ifr_hwaddr.sa_data, 6);
	if (ioctl(t->fd, SIOCGIFINDEX, &req))
		return -errno;
	t->address.sll_family = AF_PACKET;
	t->address.sll_protocol = htons(FRAME_TYPE);
	t->address.sll_ifindex = req.ifr_ifindex;
	if (bind(t->fd, (struct sockaddr *)&t->address, sizeof(t->address)))
		return -errno;
	return 0;
}

static int send_frame(struct test *t)
{
	uint8_t frame[FRAME_MAX];
	struct head head = { .type = htons(FRAME_TYPE), .run = t->run };

	head.number = t->sent;
	head.size = frame_size(t->sent);
	memcpy(head.source, t->mac, 6);
	if (t->sent % 2)
		memset(head.dest, 0xff, 6);
	else
		memcpy(head.dest, t->mac, 6);
	memcpy(frame, &head, sizeof(head));
	for (unsigned i = sizeof(head); i < head.size; i++)
		frame[i] = frame_byte(head.number, i);
	if (send(t->fd, frame, head.size, 0) != (ssize_t)head.size)
		return errno == ENOBUFS ? 0 : -errno;
	t->sent++;
	return 0;
}

static const char *check_frame(struct test *t, const uint8_t *frame, size_t n)
{
	struct head head;

	if (n < sizeof(head))
		return "too short";
	memcpy(&head, frame, sizeof(head));
	if (head.run != t->run)
		return "of another run";
	if (head.number >= t->sent)
		return "never sent";
	if (head.size != frame_size(head.number) || head.size != n)
		return "of another length";
	if (t->seen[head.number])
		return "repeated";
	if (memcmp(head.source, t->mac, 6))
		return "from another source";
	for (size_t i = sizeof(head); i < n; i++) {
		if (frame[i] != frame_byte(head.number, (unsigned)i))
			return "damaged";
	}
	t->seen[head.number] = 1;
	return NULL;
}

static int receive_frames(struct test *t)
{
	uint8_t frame[2 * FRAME_MAX];
	struct sockaddr_ll from;
	socklen_t length;
	const char *fault;
	ssize_t n;

	for (;;) {
		length = sizeof(from);
		n = recvfrom(t->fd, frame, sizeof(frame),
			     MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from,
			     &length);
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		fault = (size_t)n > sizeof(frame)
				? "too long"
				: check_frame(t, frame, (size_t)n);
		t->received++;
		if (!fault)
			continue;
		t->bad++;
		if (t->bad <= 5)
			printf("frames: %zd bytes %s\n", n, fault);
	}
}

static int run_test(struct test *t)
{
	struct pollfd pfd = { .fd = t->fd, .events = POLLIN };
	int r;

	while (t->received < t->count) {
		while (t->sent < t->count &&
		       t->sent - t->received < t->window) {
			r = send_frame(t);
			if (r)
				return r;
			r = receive_frames(t);
			if (r)
				return r;
		}
		if (t->received >= t->count)
			break;
		r = poll(&pfd, 1, QUIET_TIME_MS);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		r = receive_frames(t);
		if (r)
			return r;
	}
	return 0;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct test t = { .fd = -1, .run = (uint32_t)getpid() };
	double start;
	int r;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: frames INTERFACE [COUNT [WINDOW]]\n");
		return 2;
	}
	t.count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 3000;
	t.window = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 64;
	t.seen = calloc(t.count ? t.count : 1, 1);
	if (!t.seen)
		return 2;
	r = open_socket(&t, argv[1]);
	if (r) {
		fprintf(stderr, "frames: %s: %s\n", argv[1], strerror(-r));
		return 2;
	}
	start = now_s();
	r = run_test(&t);
	if (r)
		printf("frames: %s\n", strerror(-r));
	for (unsigned i = 0; r && i < t.sent; i++) {
		if (!t.seen[i])
			printf("frames: no %u has not come back\n", i);
	}
	printf("frames sent=%u received=%u bad=%u rate=%.0fpps\n", t.sent,
	       t.received, t.bad, t.received / (now_s() - start));
	free(t.seen);
	close(t.fd);
	return r || t.bad || t.received != t.count;
}
