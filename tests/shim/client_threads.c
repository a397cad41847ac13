/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases of test_shim.c: threads, signals, pending calls, deaths.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/client.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>

/* ---- threads, signals, pending calls ---- */

#define N_THREADS 8
#define N_ROUNDS  300

static void *hammer(void *priv)
{
	int fd = *(int *)priv;
	char buf[72] = { 0 };
	struct stat st;

	for (int i = 0; i < N_ROUNDS; i++) {
		uint64_t v = (uint64_t)i;

		CHECK(ioctl(fd, TOY_ADD, &v) == 0);
		CHECK(v == (uint64_t)i + 1);
		CHECK(write(fd, buf, 72) == 72);
		CHECK(fstat(fd, &st) == 0);
		CHECK(S_ISCHR(st.st_mode));
	}
	return NULL;
}

void case_threads(void)
{
	int fd = open_node(O_RDWR);
	pthread_t threads[N_THREADS];
	uint32_t task = task_of(fd);

	for (int i = 0; i < N_THREADS; i++) {
		CHECK(pthread_create(&threads[i], NULL, hammer, &fd) == 0);
	}
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			CHECK(task_of(fd) != task);
			_exit(0);
		}
		join_child(pid);
	}
	for (int i = 0; i < N_THREADS; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
	}
	CHECK(counts_of(fd).n_writes == N_THREADS * N_ROUNDS);
	CHECK(task_of(fd) == task);
	CHECK(close(fd) == 0);
}

struct pender {
	int fd;
	int result;
};

static void *pend(void *priv)
{
	struct pender *p = priv;

	p->result = ioctl(p->fd, TOY_PEND, NULL);
	return NULL;
}

/* Ends the oldest pending call, once there is one. */
static void finish_one(int fd, uint32_t result)
{
	while (ioctl(fd, TOY_FINISH, &result) < 0) {
		CHECK(errno == EAGAIN);
	}
}

void case_pending(void)
{
	struct pender p[40];
	pthread_t threads[40];
	int fd = open_node(O_RDWR);
	long sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i].fd = fd;
		CHECK(pthread_create(&threads[i], NULL, pend, &p[i]) == 0);
	}
	for (int i = 0; i < 50; i++) {
		check_add(fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		finish_one(fd, (uint32_t)i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
		sum += p[i].result;
	}
	CHECK(sum == 39 * 40 / 2);
	CHECK(close(fd) == 0);
}

/* The last descriptor is closed while a call waits: it still ends well. */
void case_pending_close(void)
{
	struct pender p = { open_node(O_RDWR), 0 };
	int fd = dup(p.fd);
	uint32_t before = counts_of(fd).n_releases;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, pend, &p) == 0);
	finish_one(fd, 5);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(p.result == 5);
	CHECK(close(fd) == 0);
	CHECK(close(p.fd) == 0);
	fd = open_node(O_RDWR);
	CHECK(counts_of(fd).n_releases == before + 1);
	CHECK(close(fd) == 0);
}

static int signal_fd;
static volatile sig_atomic_t n_signals;

static void on_signal(int sig)
{
	uint64_t v = 1;

	(void)sig;
	if (ioctl(signal_fd, TOY_ADD, &v) == 0 && v == 2) {
		n_signals++;
	}
}

/* Without SA_RESTART; the handler makes calls of its own in the middle. */
void case_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct pender p = { open_node(O_RDWR), 0 };
	pthread_t thread;

	signal_fd = p.fd;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(pthread_create(&thread, NULL, pend, &p) == 0);
	while (n_signals < 50) {
		int seen = n_signals;

		CHECK(pthread_kill(thread, SIGUSR1) == 0);
		while (n_signals == seen) {
			check_add(p.fd);
		}
	}
	finish_one(p.fd, 9);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(p.result == 9);
	CHECK(close(p.fd) == 0);
}

static sigjmp_buf jump;

static void on_timer(int sig)
{
	(void)sig;
	siglongjmp(jump, 1);
}

/* Calls that are left for ever; more than there is room for. */
void case_jumps(void)
{
	struct sigaction sa = { .sa_handler = on_timer };
	struct itimerval soon = { .it_value = { .tv_usec = 1000 } };
	int fd = open_node(O_RDWR);
	uint32_t task = task_of(fd);

	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	for (volatile int i = 0; i < 150; i++) {
		if (sigsetjmp(jump, 1) == 0) {
			CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
			CHECK(ioctl(fd, TOY_PEND, NULL) == -1);
			CHECK(errno == ENOSPC); /* they are kept, in vain */
			CHECK(pause() == -1);
		}
	}
	check_add(fd);
	CHECK(task_of(fd) == task);
	CHECK(close(fd) == 0);
}

/* One that may not look into its own /proc, nor reach the daemon's socket any
 * more: it has the descriptor. */
void case_unprivileged(void)
{
	uint8_t byte = 7;
	struct toy_range range = { (uintptr_t)&byte, 1 };
	int fd = open_node(O_RDWR);

	if (geteuid() == 0) {
		CHECK(setuid(65534) == 0);
		CHECK_ERRNO(open("/proc/self/mem", O_RDWR), EACCES);
		CHECK_ERRNO(ioctl(fd, TOY_SUM, &range), EFAULT);
	}
	check_add(fd);
	CHECK(task_of(fd) == 1);
	CHECK(close(fd) == 0);
}

static void *read_one(void *priv)
{
	uint64_t v = 0;

	CHECK(read(*(int *)priv, &v, sizeof(v)) == sizeof(v));
	CHECK(v == 17);
	return NULL;
}

void case_queue_wait(void)
{
	int fd = open(QUEUE_NODE, O_RDWR);
	uint64_t v = 17;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, read_one, &fd) == 0);
	for (int i = 0; i < 50; i++) {
		check_add(fd);
	}
	CHECK(ioctl(fd, TOY_PUSH, &v) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(close(fd) == 0);
}

/* ---- deaths ---- */

/* Sits in a pending call until it is killed. */
void case_hang(char **argv)
{
	(void)ioctl(open_node(O_RDWR), TOY_PEND, NULL);
	CHECK(false);
}

/* The daemon dies while this one waits; argv[2]: descriptor to tell that this is
 * about to be, and that all is as it should be without one. */
void case_daemon_dies(char **argv)
{
	int fd = open_node(O_RDWR);
	int tell = atoi(argv[2]);
	struct stat st;
	char buf[72] = { 0 };
	uint64_t v = 0;

	check_add(fd);
	CHECK(write(tell, "x", 1) == 1);
	CHECK_ERRNO(ioctl(fd, TOY_PEND, NULL), EIO);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, &v), EIO);
	CHECK_ERRNO(write(fd, buf, 72), EIO);
	CHECK_ERRNO(read(fd, buf, 72), EIO);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EIO);
	CHECK_ERRNO(fcntl(fd, F_GETFL), EIO);
	CHECK(close(fd) == 0);
	do { /* its listening socket may be the last to go */
		CHECK(open(NODE, O_RDWR) == -1);
	} while (errno == EIO);
	CHECK(errno == ENOENT);
	CHECK_ERRNO(stat(NODE, &st), ENOENT);
	CHECK(fclose(fopen("/proc/devices", "r")) == 0);
	/* Another takes its place. */
	CHECK(write(tell, "x", 1) == 1);
	while ((fd = open(NODE, O_RDWR)) < 0) {
		CHECK(errno == ENOENT);
		CHECK(poll(NULL, 0, 1) == 0);
	}
	check_add(fd);
	CHECK(task_of(fd) == 1);
	CHECK(close(fd) == 0);
}
