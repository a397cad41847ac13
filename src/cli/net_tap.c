/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit net tap: the host's network stack as the driver of a card.
 *
 * Theory of operation
 *
 *   interface --read--> slot --send--> device
 *   interface <--write-- receive buffer <-- device
 *
 * Each pair of queues of the device has a queue of the interface, and a thread.
 * Slots are memory that the device reaches: the interface writes its header where
 * the driver wants room for its own, so that a frame is copied by the kernel
 * only. While all slots are with the device the interface is not read, and the
 * kernel holds back, or drops, what is sent there.
 *
 * A thread that finds nothing to do arms the device's queues, and sleeps on
 * these, the interface, and an eventfd that tells it to end. The main thread
 * waits for signals, and for news of the device: its link is the interface's.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/net_tap.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <linux/virtio_net.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "uapi/compat.h"

#define SLOTS 64U
/* Interfaces take UDP's segments since Linux 6.2 only; nobody here would tell the
 * network where the card is. */
#define WITHOUT                                                                \
	(BIT_ULL(VIRTIO_NET_F_GUEST_USO4) | BIT_ULL(VIRTIO_NET_F_GUEST_USO6) | \
	 BIT_ULL(VIRTIO_NET_F_GUEST_ANNOUNCE))
#define SLOT_BYTES ((size_t)align_up(TAP_READ_MAX, 64))

struct tap {
	const char *name; /* asked for; NULL: none */
	int signal_fd;
	int news_fd; /* of the device, or of a thread's end */
	int stop_fd; /* threads are to end */
	struct net_end *end;
	struct tap_if tap_if;
	uint8_t *memory; /* SLOTS for each thread */
	/* any thread, atomic */
	bool is_stopping;
	bool has_failed;
};

struct tap_thread {
	struct tap *tap;
	pthread_t thread;
	struct vdpakit_net_queue *rx, *tx;
	int fd;
	void *slots[SLOTS]; /* that are free */
	unsigned int n_slots;
	unsigned int n_all_slots;
	uint64_t n_to_device;
	uint64_t n_to_host;
	uint64_t n_dropped;
	int result;
	char text[ERR_TEXT_MAX];
};

/* ---- options ---- */

static int set_name(void *priv, const char *value)
{
	if (!value[0] || strlen(value) >= IFNAMSIZ || strpbrk(value, "/ %:")) {
		return err(-EINVAL, "--name: '%s' is no interface's name",
			   value);
	}
	((struct tap *)priv)->name = value;
	return 0;
}

static const struct arg_option options[] = {
	{ "name", 'n', "IFNAME",
	  "of the interface (default: the kernel chooses)", set_name },
};

void net_cmd_tap_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

/* ---- a thread ---- */

/* Slots that the device has done with. Return: how many; -errno */
static int take_slots(struct tap_thread *t)
{
	int n = vdpakit_net_reclaim(t->tx, t->slots + t->n_slots,
				    t->n_all_slots - t->n_slots);

	t->n_slots += n > 0 ? (unsigned int)n : 0;
	return io_err(n);
}

/* Reads frames into free slots. Return: how many; -errno */
static int read_frames(struct tap_thread *t, struct vdpakit_net_frame *frames)
{
	unsigned int max = min_of(t->n_slots, (unsigned int)NET_CMD_BURST);
	unsigned int n = 0;

	while (n < max) {
		uint8_t *slot = t->slots[t->n_slots - 1 - n];
		struct vdpakit_net_frame f = { .flags = VDPAKIT_NET_HEADROOM };
		int r = tap_if_read(t->fd, slot, &f.offload);

		if (r < 0) {
			return r;
		}
		if (r == 0) {
			break;
		}
		f.buf = slot + VDPAKIT_NET_HDR_BYTES;
		f.len_bytes = (uint32_t)r;
		f.user = slot;
		frames[n++] = f;
	}
	return (int)n;
}

/* What a queue does not take is kept by nobody: that it had no room cannot be,
 * as there are not more slots than it holds. Return: 0; -errno */
static int send_frames(struct tap_thread *t, struct vdpakit_net_frame *frames,
		       unsigned int n)
{
	void *refused[NET_CMD_BURST];
	unsigned int n_refused = 0, i = 0;
	int r = 0;

	while (i < n) {
		r = vdpakit_net_send(t->tx, frames + i, n - i);
		if (r == -EIO || r == -ENODEV || r == -EPERM) {
			return io_err(r);
		}
		if (r <= 0) { /* this one makes no sense, or has no room */
			refused[n_refused++] = frames[i++].user;
		}
		i += r > 0 ? (unsigned int)r : 0;
	}
	t->n_slots -= n;
	for (i = 0; i < n_refused; i++) {
		t->slots[t->n_slots++] = refused[i];
	}
	t->n_to_device += n - n_refused;
	t->n_dropped += n_refused;
	return 0;
}

/* Return: frames; -errno */
static int to_device(struct tap_thread *t)
{
	struct vdpakit_net_frame frames[NET_CMD_BURST];
	int r = take_slots(t), n;

	n = r < 0 ? r : read_frames(t, frames);
	if (n > 0) {
		r = send_frames(t, frames, (unsigned int)n);
	}
	return r < 0 ? r : n;
}

/* Return: frames; -errno */
static int to_host(struct tap_thread *t)
{
	struct vdpakit_net_received got[NET_CMD_BURST];
	int n = vdpakit_net_recv(t->rx, got, NET_CMD_BURST), r = 0;

	if (n <= 0) {
		return io_err(n);
	}
	for (int i = 0; r >= 0 && i < n; i++) {
		r = tap_if_write(t->fd, &got[i]);
		t->n_to_host += r > 0;
		t->n_dropped += r == 0;
	}
	if (r >= 0) {
		r = io_err(vdpakit_net_give_back(t->rx, got, (unsigned int)n));
	}
	return r < 0 ? r : n;
}

/* Return: 1: end; 0; -errno */
static int sleep_until_news(struct tap_thread *t)
{
	struct pollfd fds[] = {
		{ .fd = t->tap->stop_fd, .events = POLLIN },
		{ .fd = t->fd, .events = POLLIN },
		{ .fd = vdpakit_net_fd(t->rx), .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};
	int r = io_err(vdpakit_net_arm(t->rx));

	if (r == 0 && t->n_slots == 0) {
		fds[1].fd = -1; /* until there is a slot */
		fds[3].fd = vdpakit_net_fd(t->tx);
		r = io_err(vdpakit_net_arm(t->tx));
	}
	if (r < 0) {
		return r;
	}
	if (poll(fds, ARRAY_SIZE(fds), r == 1 ? 0 : -1) < 0) {
		return errno == EINTR
			       ? 0
			       : err(-errno, "poll: %s", strerror(errno));
	}
	if (fds[1].revents & (POLLERR | POLLHUP)) {
		return err(-ENODEV, "the interface was deleted");
	}
	return fds[0].revents != 0;
}

static void *thread_main(void *arg)
{
	struct tap_thread *t = arg;
	int r = 0;

	while (r >= 0 &&
	       !__atomic_load_n(&t->tap->is_stopping, __ATOMIC_RELAXED)) {
		int out = to_device(t), in = out < 0 ? 0 : to_host(t);

		r = out < 0 || in < 0 ? min_of(out, in) : 0;
		if (out == 0 && in == 0) {
			r = sleep_until_news(t);
		}
	}
	t->result = r;
	if (r < 0) {
		(void)snprintf(t->text, sizeof(t->text), "%s", err_text(r));
		__atomic_store_n(&t->tap->has_failed, true, __ATOMIC_RELEASE);
		(void)eventfd_write(t->tap->news_fd, 1); /* full is as good */
	}
	return NULL;
}

/* ---- the main thread ---- */

/* On the bus's thread. */
static void changed(void *priv)
{
	(void)eventfd_write(((struct tap *)priv)->news_fd, 1); /* see above */
}

static int look_at_device(struct tap *tap)
{
	struct vdpakit_net_info info;

	vdpakit_net_get_info(tap->end->net, &info, sizeof(info));
	if (info.needs_reset) {
		return err(-EIO, "the device needs a reset");
	}
	tap_if_set_carrier(&tap->tap_if, info.is_link_up);
	return 0;
}

/* Return: 0: a signal came, or a thread has failed; -errno */
static int wait_for_end(struct tap *tap)
{
	struct pollfd fds[] = {
		{ .fd = tap->signal_fd, .events = POLLIN },
		{ .fd = tap->news_fd, .events = POLLIN },
	};
	int r = 0;

	while (r == 0 && !__atomic_load_n(&tap->has_failed, __ATOMIC_ACQUIRE)) {
		eventfd_t n;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
			r = errno == EINTR
				    ? 0
				    : err(-errno, "poll: %s", strerror(errno));
			continue;
		}
		if (fds[0].revents) {
			break;
		}
		(void)eventfd_read(tap->news_fd, &n); /* there is something */
		r = look_at_device(tap);
	}
	return r;
}

static int start_thread(struct tap *tap, struct tap_thread *t, unsigned int idx)
{
	uint8_t *memory = tap->memory + idx * SLOTS * SLOT_BYTES;
	unsigned int n_slots =
		min_of(SLOTS, (unsigned int)tap->end->info.queue_size);
	int r;

	t->tap = tap;
	t->fd = tap->tap_if.fds[idx];
	t->rx = vdpakit_net_get_rx(tap->end->net, idx);
	t->tx = vdpakit_net_get_tx(tap->end->net, idx);
	while (t->n_slots < n_slots) {
		t->slots[t->n_slots] = memory + t->n_slots * SLOT_BYTES;
		t->n_slots++;
	}
	t->n_all_slots = n_slots;
	r = pthread_create(&t->thread, NULL, thread_main, t);
	return r == 0 ? 0 : err(-r, "thread: %s", strerror(r));
}

static void print_counts(const struct tap_thread *threads, unsigned int n)
{
	uint64_t to_device = 0, to_host = 0, dropped = 0;

	for (unsigned int i = 0; i < n; i++) {
		to_device += threads[i].n_to_device;
		to_host += threads[i].n_to_host;
		dropped += threads[i].n_dropped;
	}
	(void)printf("to_device=%llu to_host=%llu dropped=%llu\n",
		     (unsigned long long)to_device, (unsigned long long)to_host,
		     (unsigned long long)dropped);
}

static int run_threads(struct tap *tap, struct tap_thread *threads)
{
	unsigned int n = 0, n_all = tap->end->info.n_pairs;
	int r = 0;

	while (r == 0 && n < n_all) {
		r = start_thread(tap, &threads[n], n);
		n += r == 0;
	}
	if (r == 0) {
		(void)printf("%s\n", tap->tap_if.name);
		(void)fflush(stdout); /* at the end it is asked again */
		r = wait_for_end(tap);
	}
	__atomic_store_n(&tap->is_stopping, true, __ATOMIC_RELAXED);
	(void)eventfd_write(tap->stop_fd, 1); /* nobody reads it: for all */
	for (unsigned int i = 0; i < n; i++) {
		(void)pthread_join(threads[i].thread, NULL); /* ours */
		if (r == 0 && threads[i].result < 0) {
			r = err(threads[i].result, "%s", threads[i].text);
		}
	}
	if (r == 0) {
		print_counts(threads, n);
	}
	return r;
}

/* The host's stack chooses what it wants of what the device gets. */
static int receive_all(struct vdpakit_net *net)
{
	int r = vdpakit_net_set_rx_mode(net, VDPAKIT_NET_PROMISC);

	return r == -EOPNOTSUPP || r == -EREMOTEIO ? 0 : io_err(r);
}

static int run(struct net_end *end, void *priv)
{
	struct tap *tap = priv;
	unsigned int n = end->info.n_pairs;
	_cleanup_free_ struct tap_thread *threads = calloc(n, sizeof(*threads));
	void *memory;
	int r;

	tap->end = end;
	if (!threads) {
		return err(-ENOMEM, "out of memory");
	}
	(void)snprintf(tap->tap_if.name, sizeof(tap->tap_if.name), "%s",
		       tap->name ? tap->name : "");
	r = tap_if_open(&tap->tap_if, &end->info);
	if (r < 0) {
		return r;
	}
	r = receive_all(end->net);
	if (r == 0) {
		r = io_err(vdpakit_mem_alloc(end->kit, n * SLOTS * SLOT_BYTES,
					     &memory));
	}
	if (r == 0) {
		tap->memory = memory;
		r = run_threads(tap, threads);
	}
	tap_if_close(&tap->tap_if);
	return r;
}

int net_cmd_tap(const struct cli *cli, int argc, char **argv)
{
	_cleanup_close_ int signal_fd = -1, news_fd = -1, stop_fd = -1;
	struct tap tap = { .name = NULL };
	const struct net_end_want want = { .wants_offloads = true,
					   .without = WITHOUT,
					   .changed = changed,
					   .priv = &tap };
	int r = cli_take(options, ARRAY_SIZE(options), argc, argv, &tap);

	if (r >= 0) {
		r = io_check_words(r, 1, 1, "DEVICE, one word,");
	}
	if (r < 0) {
		return r;
	}
	signal_fd = net_signal_fd();
	if (signal_fd < 0) {
		return signal_fd;
	}
	news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (news_fd < 0 || stop_fd < 0) {
		return err(-errno, "eventfd: %s", strerror(errno));
	}
	tap.signal_fd = signal_fd;
	tap.news_fd = news_fd;
	tap.stop_fd = stop_fd;
	return net_with_device(cli, argv[0], &want, run, &tap);
}
