/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the preload carrier share; see test_preload_rig.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cdev/test_preload_rig.h"

/* ---- the daemon ---- */

static void netlink_request(void *priv, uint32_t port, bool is_admin,
			    const void *buf, size_t len,
			    struct cdev_netlink_to *to)
{
	struct fixture *f = priv;
	uint32_t *answer = calloc(1, f->answer_len);

	assert_non_null(answer);
	assert_int_equal(port, 77);
	assert_true(is_admin);
	f->n_requests++;
	for (unsigned int i = 0; i < f->n_answers; i++) {
		answer[0] = f->n_requests;
		answer[1] = i;
		to->reply(to, answer, f->answer_len);
	}
	free(answer);
	if (f->is_kept) {
		f->kept = to->keep(to);
	}
}

int listener(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	/* Abstract, with a name that the kernel chooses. */
	f->addr.sun_family = AF_UNIX;
	f->addr_len = sizeof(f->addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&f->addr,
			      sizeof(f->addr.sun_family)),
			 0);
	assert_int_equal(
		getsockname(fd, (struct sockaddr *)&f->addr, &f->addr_len), 0);
	assert_int_equal(listen(fd, 4096), 0);
	return fd;
}

int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sim_options options = { .seed = 7 };
	struct cdev_netlink_ops netlink = { netlink_request, f };

	assert_non_null(f);
	f->n_fds = test_count_fds();
	assert_int_equal(sim_new(&options, &f->sim), 0);
	assert_int_equal(sim_loop_new(f->sim, "control", &f->loop), 0);
	assert_int_equal(cdev_new(f->loop, &f->cdev), 0);
	assert_int_equal(toy_new(f->cdev, "vhost-vdpa-0", 0, &f->toy), 0);
	assert_int_equal(cdev_preload_new(f->cdev, listener(f), &netlink,
					  &f->preload),
			 0);
	*state = f;
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	assert_null(cdev_preload_free(f->preload));
	assert_int_equal(toy_counts(f->toy).n_opens,
			 toy_counts(f->toy).n_releases);
	assert_null(toy_free(f->toy));
	assert_null(cdev_free(f->cdev));
	assert_null(loop_free(f->loop));
	assert_null(sim_free(f->sim));
	assert_int_equal(test_count_fds(), f->n_fds);
	free(f);
	return 0;
}

struct cdev_preload_stats stats(struct fixture *f)
{
	struct cdev_preload_stats s;

	cdev_preload_get_stats(f->preload, &s);
	return s;
}

/* Lets the daemon do all that there is to do now: well below any deadline. */
void settle(struct fixture *f)
{
	assert_int_equal(sim_run(f->sim, SECOND_NS / 100, NULL, NULL), 0);
}

void pass_seconds(struct fixture *f, unsigned int n)
{
	assert_int_equal(sim_run(f->sim, n * SECOND_NS, NULL, NULL), 0);
}

/* ---- a client ---- */

int dial(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&f->addr, f->addr_len),
			 0);
	return fd;
}

struct preload_head head_of(uint32_t type, size_t len)
{
	return (struct preload_head){ PRELOAD_MAGIC, type, (uint32_t)len };
}

/* Sends bytes with descriptors, which may be wrong in any way. */
ssize_t send_fds(int sock, const void *buf, size_t len, const int *fds,
		 unsigned int n_fds)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1, .n_fds = n_fds };

	if (n_fds > 0) {
		memcpy(msg.fds, fds, n_fds * sizeof(int));
	}
	return fd_send(sock, &msg, MSG_DONTWAIT);
}

void say(int sock, const void *buf, size_t len)
{
	assert_int_equal(send_fds(sock, buf, len, NULL, 0), (ssize_t)len);
}

/* Has the daemon closed its end, with nothing left to read? */
bool is_cut_off(int sock)
{
	char buf[4096];
	ssize_t n;

	do {
		n = recv(sock, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && errno == ECONNRESET));
	return n == 0;
}

int64_t reply_on(int sock, struct preload_reply *ret)
{
	uint8_t buf[PRELOAD_REPLY_MAX];
	ssize_t n = recv(sock, buf, sizeof(buf), MSG_DONTWAIT);

	if (n <= 0) {
		return n < 0 ? -errno : -EPIPE;
	}
	assert_true((size_t)n >= sizeof(*ret));
	memcpy(ret, buf, sizeof(*ret));
	assert_int_equal(ret->head.magic, PRELOAD_MAGIC);
	assert_int_equal(ret->head.type, PRELOAD_REPLY);
	assert_int_equal(ret->head.len, n);
	return ret->result;
}

struct preload_name name_message(uint32_t type, const char *name)
{
	struct preload_name ask = {
		.head = head_of(type, sizeof(ask)),
		.flags = O_RDWR,
	};

	(void)snprintf(ask.name, sizeof(ask.name), "%s", name);
	return ask;
}

int64_t open_by(struct fixture *f, int sock)
{
	struct preload_name ask = name_message(PRELOAD_OPEN, "vhost-vdpa-0");
	struct preload_reply reply;

	say(sock, &ask, sizeof(ask));
	settle(f);
	return reply_on(sock, &reply);
}

int dial_and_open(struct fixture *f)
{
	int sock = dial(f);

	assert_int_equal(open_by(f, sock), 0);
	return sock;
}

/* Says HELLO. Return: our end of the channel. */
int hello(int sock, uint64_t task, uint32_t channel)
{
	struct preload_hello h = {
		.head = head_of(PRELOAD_HELLO, sizeof(h)),
		.task = task,
		.channel = channel,
		.flags = PRELOAD_HAS_MAPS | PRELOAD_HAS_MEM,
	};
	int pair[2], fds[3];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fds[0] = pair[1];
	fds[1] = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	fds[2] = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	assert_int_equal(send_fds(sock, &h, sizeof(h), fds, 3), sizeof(h));
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
	}
	return pair[0];
}

struct ioctl_message ioctl_message(uint64_t task, uint32_t cmd)
{
	return (struct ioctl_message){
		.call = {
			.head = head_of(PRELOAD_CALL,
					sizeof(struct ioctl_message)),
			.task = task,
			.seq = 5,
			.arg = { cmd, 0x1000 },
			.op = PRELOAD_IOCTL,
			.data_len = sizeof(uint64_t),
			.fd = -1,
		},
	};
}

void say_ioctl(int sock, uint64_t task, uint32_t cmd)
{
	struct ioctl_message m = ioctl_message(task, cmd);

	say(sock, &m, sizeof(m));
}

void expect_cut_off(struct fixture *f, int sock, const void *buf, size_t len)
{
	uint64_t before = stats(f).n_cut_off;

	say(sock, buf, len);
	settle(f);
	assert_int_equal(stats(f).n_cut_off, before + 1);
	assert_true(is_cut_off(sock));
	close(sock);
}
