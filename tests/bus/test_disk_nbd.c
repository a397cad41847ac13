/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of disks on NBD servers (nbdkit): the shapes of requests, what servers
 * can and cannot do, and servers that fail, hang, vanish and come back.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/disk.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NBD_FEATURES (ALL_FEATURES & ~F(SECURE_ERASE))
#define ARGS_MAX     24
#define FILE_BYTES   (8U << 20)

/* A server, its folder and a disk on it. */
struct rig {
	char dir[64];
	char sock[96];
	char file[96]; /* of FILE_BYTES */
	char log[96];
	int listen_fd;
	pid_t pid;
	struct disk *d;
};

static bool has_nbdkit(void)
{
	return access("/usr/bin/nbdkit", X_OK) == 0 ||
	       access("/usr/sbin/nbdkit", X_OK) == 0;
}

#define NEED_NBDKIT()                                \
	do {                                         \
		if (!has_nbdkit()) {                 \
			TEST_SKIP("no nbdkit here"); \
		}                                    \
	} while (0)

/* ---- the server ---- */

/* Its socket is made here, so that nobody has to wait for it to be there. */
static void listen_on(struct rig *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)unlink(r->sock);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", r->sock);
	r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(r->listen_fd, -1);
	assert_int_equal(
		bind(r->listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(r->listen_fd, 16), 0);
}

static void exec_server(const struct rig *r, char **argv)
{
	static char name[] = "nbdkit", fds[] = "LISTEN_FDS=1";
	static char path[] = "PATH=/usr/bin:/usr/sbin:/bin";
	char pid[32], *env[] = { pid, fds, path, NULL };

	(void)snprintf(pid, sizeof(pid), "LISTEN_PID=%d", (int)getpid());
	if (dup2(r->listen_fd, 3) < 0 || fcntl(3, F_SETFD, 0) < 0) {
		_exit(126);
	}
	(void)execvpe(name, argv, env);
	_exit(127);
}

/* @args: of nbdkit, separated by spaces; FILE and LOG are replaced. */
static void serve(struct rig *r, const char *args)
{
	char *argv[ARGS_MAX] = { NULL };
	char text[512], log[128], *save, *word;
	unsigned int n = 0;

	(void)snprintf(text, sizeof(text), "nbdkit -f --exit-with-parent %s",
		       args);
	(void)snprintf(log, sizeof(log), "logfile=%s", r->log);
	for (word = strtok_r(text, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		assert_true(n < ARGS_MAX - 1);
		if (strcmp(word, "FILE") == 0) {
			word = r->file;
		} else if (strcmp(word, "LOG") == 0) {
			word = log;
		}
		argv[n++] = word;
	}
	listen_on(r);
	r->pid = fork();
	assert_int_not_equal(r->pid, -1);
	if (r->pid == 0) {
		exec_server(r, argv);
	}
	(void)close(r->listen_fd);
	r->listen_fd = -1;
}

static void kill_server(struct rig *r)
{
	if (r->pid > 0) {
		(void)kill(r->pid, SIGKILL);
		assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
		r->pid = 0;
	}
}

static void resize_file(struct rig *r, off_t size)
{
	assert_int_equal(truncate(r->file, size), 0);
}

static struct rig *rig_new(const char *args)
{
	struct rig *r = calloc(1, sizeof(*r));
	int fd;

	assert_non_null(r);
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/vdpakit-nbd-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->sock, sizeof(r->sock), "%s/sock", r->dir);
	(void)snprintf(r->file, sizeof(r->file), "%s/file", r->dir);
	(void)snprintf(r->log, sizeof(r->log), "%s/log", r->dir);
	fd = open(r->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	(void)close(fd);
	resize_file(r, FILE_BYTES);
	if (args) {
		serve(r, args);
	}
	return r;
}

static const char *keys_of(const struct rig *r, const char *more)
{
	static char keys[256];

	(void)snprintf(keys, sizeof(keys), "backend=nbd socket=%s %s", r->sock,
		       more);
	return keys;
}

static struct rig *rig_start(const char *args, const char *keys,
			     uint64_t features, unsigned int n_queues)
{
	struct rig *r = rig_new(args);

	r->d = disk_start(features, keys_of(r, keys), n_queues);
	return r;
}

static void rig_free(struct rig *r)
{
	if (r->d) {
		disk_stop(r->d);
	}
	kill_server(r);
	(void)unlink(r->sock);
	(void)unlink(r->file);
	(void)unlink(r->log);
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
}

/* How often the server's log has this. */
static unsigned int n_logged(const struct rig *r, const char *text)
{
	FILE *f = fopen(r->log, "re");
	unsigned int n = 0;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		n += strstr(line, text) != NULL;
	}
	(void)fclose(f);
	return n;
}

/* ---- requests, several at a time ---- */

/* Writes @n blocks of 4 KiB in one burst, block i full of @seed + i. */
static void send_writes(struct rig *r, unsigned int n, int seed)
{
	struct disk *d = r->d;

	for (unsigned int i = 0; i < n; i++) {
		struct virtio_blk_outhdr *hdr = (void *)(d->buf + 16 * i);
		size_t at = 65536 + 4096 * (size_t)i;
		struct vq_sg sg[] = { { disk_at(d, 16 * i), 16 },
				      { disk_at(d, at), 4096 },
				      { disk_at(d, 32768 + i), 1 } };

		*hdr = (struct virtio_blk_outhdr){
			.type = htole32(VIRTIO_BLK_T_OUT),
			.sector = htole64(i * 8ULL),
		};
		memset(d->buf + at, seed + (int)i, 4096);
		d->buf[32768 + i] = 0x55;
		vclient_add(d->c, 0, sg, 2, 1, d);
	}
	if (vq_driver_publish(d->c->q[0].drv)) {
		vclient_kick(d->c, 0);
	}
}

/* Waits for @n requests. Return: how many had @status. */
static unsigned int collect(struct rig *r, unsigned int n, uint8_t status)
{
	struct vq_driver *drv = r->d->c->q[0].drv;
	struct vq_used used[64];
	unsigned int n_done = 0, n_same = 0;

	while (n_done < n) {
		int got = vq_driver_get(drv, used, 64);

		assert_true(got >= 0);
		n_done += (unsigned int)got;
		if (got == 0 && !vq_driver_enable_call(drv)) {
			vclient_wait_call(r->d->c, 0);
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		n_same += (uint8_t)r->d->buf[32768 + i] == status;
	}
	return n_same;
}

static void check_blocks(struct rig *r, unsigned int n, int seed)
{
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_IN, i * 8ULL, 4096),
				 OK);
		for (unsigned int b = 0; b < 4096; b += 511) {
			assert_int_equal((uint8_t)r->d->buf[b],
					 (uint8_t)(seed + (int)i));
		}
	}
}

/* ---- shapes ---- */

/* Pieces long and short, aligned and not: in place and through a buffer. */
static void any_shape(struct rig *r)
{
	static const uint32_t lens[] = { 4096, 65536, 400 << 10, 900 << 10 };
	struct disk *d = r->d;

	for (unsigned int i = 0; i < 40; i++) {
		uint32_t len = lens[i % ARRAY_SIZE(lens)];
		uint32_t at = 4099 + i * 113, cut = 1 + i * 1997;
		uint32_t first = cut % len, second = (len - first) / 2;
		struct vq_sg sg[] = {
			{ disk_at(d, 0), 16 },
			{ disk_at(d, at), first },
			{ disk_at(d, at + first), second },
			{ disk_at(d, at + first + second),
			  len - first - second },
			{ disk_at(d, 100), 1 },
		};

		for (uint32_t b = 0; b < len; b++) {
			d->buf[at + b] = (char)(b / 251 + i);
		}
		disk_set_header(d, VIRTIO_BLK_T_OUT, 64);
		assert_int_equal(disk_raw(d, sg, 4, 1), 1);
		assert_int_equal(d->buf[100], OK);
		memset(d->buf + 4096, 0xaa, DISK_BUF - 4096);
		disk_set_header(d, VIRTIO_BLK_T_IN, 64);
		assert_int_equal(disk_raw(d, sg, 1, 4), len + 1);
		assert_int_equal(d->buf[100], OK);
		for (uint32_t b = 0; b < len; b++) {
			assert_int_equal(d->buf[at + b], (char)(b / 251 + i));
		}
		assert_int_equal((uint8_t)d->buf[at - 1], 0xaa);
		assert_int_equal((uint8_t)d->buf[at + len], 0xaa);
	}
}

static void test_any_shape_of_request(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("memory 8M", "", NBD_FEATURES, 1);
	any_shape(r);
	rig_free(r);
}

/* The server refuses what is larger than it says, or not aligned. */
static void test_requests_are_split_at_the_servers_maximum(void **state)
{
	struct virtio_blk_config config;
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("--filter=blocksize-policy memory 8M "
		      "blocksize-minimum=4096 blocksize-preferred=64K "
		      "blocksize-maximum=128K blocksize-error-policy=error",
		      "", NBD_FEATURES, 1);
	any_shape(r);
	vclient_get_config(r->d->c, &config, 72);
	assert_int_equal(le32toh(config.blk_size), 4096);
	assert_int_equal(le16toh(config.min_io_size), 16);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_IN, 1, 4096), IOERR);
	rig_free(r);
}

/* More requests than there are buffers to copy through. */
static void test_requests_wait_for_buffers(void **state)
{
	struct disk *d;
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("--filter=delay memory 8M delay-write=2ms", "",
		      NBD_FEATURES, 1);
	d = r->d;
	disk_set_header(d, VIRTIO_BLK_T_OUT, 0);
	for (unsigned int i = 0; i < 60; i++) {
		struct vq_sg sg[] = { { disk_at(d, 0), 16 },
				      { disk_at(d, 4096), 100 },
				      { disk_at(d, 8192), 412 },
				      { disk_at(d, 32768 + i), 1 } };

		vclient_add(d->c, 0, sg, 3, 1, d);
	}
	if (vq_driver_publish(d->c->q[0].drv)) {
		vclient_kick(d->c, 0);
	}
	assert_int_equal(collect(r, 60, OK), 60);
	rig_free(r);
}

/* ---- what servers can do ---- */

static void test_features_are_the_servers(void **state)
{
	struct rig *r;
	uint64_t features;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("--filter=nozero split FILE", "", F(MQ), 1);
	vclient_must(r->d->c, VHOST_GET_FEATURES, &features);
	assert_false(features &
		     (F(DISCARD) | F(WRITE_ZEROES) | F(RO) | F(SECURE_ERASE)));
	assert_int_equal(disk_capacity(r->d), (8 << 20) / 512);
	rig_free(r);
	r = rig_start("-r memory 8M", "", F(RO), 1);
	vclient_must(r->d->c, VHOST_GET_FEATURES, &features);
	assert_true(features & F(RO));
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_OUT, 0, 512), IOERR);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_IN, 0, 512), OK);
	rig_free(r);
}

static void test_flags_reach_the_server(void **state)
{
	static const struct range keep = { 0, 16, 0 }, unmap = { 16, 16, 1 };
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("--filter=log file FILE LOG", "", NBD_FEATURES, 1);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_OUT, 0, 4096), OK);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
	assert_int_equal(
		disk_ranged(r->d, VIRTIO_BLK_T_WRITE_ZEROES, &keep, 1, 0), OK);
	assert_int_equal(
		disk_ranged(r->d, VIRTIO_BLK_T_WRITE_ZEROES, &unmap, 1, 0), OK);
	assert_int_equal(disk_ranged(r->d, VIRTIO_BLK_T_DISCARD, &keep, 1, 0),
			 OK);
	assert_int_equal(n_logged(r, " Write id="), 1);
	assert_int_equal(n_logged(r, " Flush id="), 1);
	assert_int_equal(n_logged(r, " Zero id="), 2);
	assert_int_equal(n_logged(r, "offset=0x0 count=0x2000 trim=0"), 1);
	assert_int_equal(n_logged(r, "offset=0x2000 count=0x2000 trim=1"), 1);
	assert_int_equal(n_logged(r, " Trim id="), 1);
	rig_free(r);
}

/* With FUA and, where the server has none, with a flush after each write. */
static void test_write_through(void **state)
{
	static const struct {
		const char *args;
		unsigned int n_fua, n_flush;
	} cases[] = {
		{ "--filter=log file FILE LOG", 3, 0 },
		{ "--filter=log --filter=fua file FILE LOG", 0, 3 },
	};

	(void)state;
	NEED_NBDKIT();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig *r = rig_start(cases[i].args, "write_through=on",
					  NBD_FEATURES, 1);

		send_writes(r, 3, 1);
		assert_int_equal(collect(r, 3, OK), 3);
		assert_int_equal(n_logged(r, "fua=1"), cases[i].n_fua);
		assert_int_equal(n_logged(r, " Flush id="), cases[i].n_flush);
		rig_free(r);
	}
}

/* One for each queue where the server can take it, else one for all. */
static void test_connections_of_several_queues(void **state)
{
	static const struct {
		const char *args;
		unsigned int n;
	} cases[] = {
		{ "--filter=log memory 8M LOG", 4 },
		{ "--filter=log --filter=multi-conn memory 8M "
		  "multi-conn-mode=disable LOG",
		  1 },
	};

	(void)state;
	NEED_NBDKIT();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig *r = rig_start(cases[i].args, "num_queues=4",
					  NBD_FEATURES, 4);

		for (unsigned int q = 0; q < 4; q++) {
			memset(r->d->buf, (int)q + 1, 4096);
			assert_int_equal(vclient_blk(r->d->c, q,
						     VIRTIO_BLK_T_OUT, q * 8ULL,
						     r->d->buf, 4096),
					 OK);
		}
		check_blocks(r, 4, 1);
		assert_int_equal(n_logged(r, " Connect "), cases[i].n);
		rig_free(r);
	}
}

static void test_errors_of_the_server_are_ioerr(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("--filter=error memory 8M error-pread=ENOSPC "
		      "error-pread-rate=100%",
		      "", NBD_FEATURES, 1);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_OUT, 0, 4096), OK);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_IN, 0, 4096), IOERR);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
	rig_free(r);
}

/* ---- servers that go ---- */

static void test_requests_outlive_their_server(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("--filter=delay file FILE delay-write=10", "",
		      NBD_FEATURES, 1);
	for (int round = 1; round <= 3; round++) {
		send_writes(r, 32, round);
		kill_server(r); /* none can be done by now */
		serve(r, round == 3 ? "file FILE"
				    : "--filter=delay file FILE delay-write=0");
		assert_int_equal(collect(r, 32, OK), 32);
		check_blocks(r, 32, round);
	}
	rig_free(r);
}

/* A server that has no FUA, and hangs in a flush: it tells so on one pipe, and
 * waits for the end of another, which comes with the rig's. */
static const char hanging_flush[] =
	"case $1 in\n"
	"get_size) echo 8388608;;\n"
	"pread) head -c $3 /dev/zero;;\n"
	"pwrite) cat >/dev/null;;\n"
	"can_write|can_flush) exit 0;;\n"
	"can_fua) echo none;;\n"
	"flush) echo >\"${0%/*}/log\"; read x <\"${0%/*}/end\";;\n"
	"*) exit 2;;\n"
	"esac\n";

static void write_script(const struct rig *r)
{
	int fd = open(r->file, O_WRONLY | O_TRUNC | O_CLOEXEC);
	size_t len = strlen(hanging_flush);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
	assert_int_equal(write(fd, hanging_flush, len), len);
	assert_int_equal(fchmod(fd, 0700), 0);
	(void)close(fd);
}

static int make_pipe(const char *path)
{
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	return fd;
}

/* The flush that stands for FUA was not answered: the write is sent again. */
static void test_a_write_through_starts_again_with_its_data(void **state)
{
	char end_path[96], told;
	int flushing_fd, end_fd;
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_new(NULL);
	write_script(r);
	(void)snprintf(end_path, sizeof(end_path), "%s/end", r->dir);
	flushing_fd = make_pipe(r->log);
	end_fd = make_pipe(end_path);
	serve(r, "sh FILE");
	r->d = disk_start(F(FLUSH), keys_of(r, "write_through=on"), 1);
	send_writes(r, 1, 7);
	assert_int_equal(read(flushing_fd, &told, 1), 1);
	kill_server(r);
	/* another that knows nothing of the data */
	serve(r, "--filter=fua memory 8M");
	assert_int_equal(collect(r, 1, OK), 1);
	check_blocks(r, 1, 7);
	(void)close(flushing_fd);
	(void)close(end_fd);
	(void)unlink(end_path);
	rig_free(r);
}

/* What fails is asked for again: each time is a round trip through the worker,
 * which connects meanwhile. */
static void until_connected(struct rig *r)
{
	while (disk_io(r->d, VIRTIO_BLK_T_IN, 0, 512) == IOERR) {
	}
}

static void test_without_patience_requests_fail_at_once(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("--filter=delay file FILE delay-write=10",
		      "reconnect_s=0", NBD_FEATURES, 1);
	send_writes(r, 8, 1);
	kill_server(r);
	assert_int_equal(collect(r, 8, IOERR), 8);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_IN, 0, 512), IOERR);
	serve(r, "file FILE");
	until_connected(r);
	rig_free(r);
}

static void test_patience_has_an_end(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("file FILE", "reconnect_s=1", NBD_FEATURES, 1);
	kill_server(r);
	send_writes(r, 8, 1);
	assert_int_equal(collect(r, 8, IOERR), 8);
	assert_true(disk_stat(r->d, "write errors") == 8);
	rig_free(r);
}

/* A reset waits neither for a server that is gone ... */
static void test_reset_while_the_server_is_gone(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("--filter=delay file FILE delay-write=60",
		      "reconnect_s=3600", NBD_FEATURES, 1);
	send_writes(r, 8, 1);
	kill_server(r);
	vclient_reset(r->d->c);
	serve(r, "file FILE");
	vclient_start(r->d->c, NBD_FEATURES, 1, 256);
	send_writes(r, 8, 2);
	assert_int_equal(collect(r, 8, OK), 8);
	check_blocks(r, 8, 2);
	rig_free(r);
}

/* ... nor, for long, for one that does not answer. */
static void test_reset_while_the_server_hangs(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("file FILE", "reconnect_s=3600", NBD_FEATURES, 1);
	assert_int_equal(kill(r->pid, SIGSTOP), 0);
	send_writes(r, 8, 1);
	vclient_reset(r->d->c);
	rig_free(r);
}

/* ---- another size ---- */

struct waiter {
	struct disk *d;
	uint64_t want;
	struct loop_timer timer;
};

static void look(void *priv)
{
	struct waiter *w = priv;

	if (disk_capacity(w->d) == w->want) {
		loop_stop(w->d->w->control);
	} else {
		(void)loop_timer_set(&w->timer, 1000000);
	}
}

static void test_a_larger_export_is_a_larger_disk(void **state)
{
	struct waiter w;
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("file FILE", "", NBD_FEATURES, 1);
	kill_server(r);
	resize_file(r, 2 * FILE_BYTES);
	serve(r, "file FILE");
	w = (struct waiter){ .d = r->d, .want = 2 * FILE_BYTES / 512 };
	loop_timer_init(&w.timer, r->d->w->control, look, &w);
	assert_int_equal(loop_timer_set(&w.timer, 1000000), 0);
	assert_int_equal(loop_run(r->d->w->control), 0);
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_OUT, FILE_BYTES / 512, 512),
			 OK);
	assert_int_equal(disk_resize(r->d, "1M"), -EOPNOTSUPP);
	assert_int_equal(disk_resize(r->d, "auto"), 0);
	rig_free(r);
}

static void test_a_smaller_export_is_not_the_disk(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_start("file FILE", "reconnect_s=2", NBD_FEATURES, 1);
	kill_server(r);
	resize_file(r, FILE_BYTES / 2);
	serve(r, "file FILE");
	assert_int_equal(disk_io(r->d, VIRTIO_BLK_T_IN, 0, 512), IOERR);
	assert_int_equal(disk_capacity(r->d), FILE_BYTES / 512);
	kill_server(r);
	resize_file(r, FILE_BYTES);
	serve(r, "file FILE");
	until_connected(r);
	rig_free(r);
}

/* ---- adding ---- */

static void must_fail(const char *keys, int want, const char *text)
{
	struct vworld *w = vworld_new(NULL, 1);

	assert_int_equal(vworld_add_keys(w, "blk", "d0", 0, keys), want);
	if (!strstr(err_text(want), text)) {
		fail_msg("'%s' has no '%s'", err_text(want), text);
	}
	vworld_free(w);
}

static void test_keys_that_are_no_server(void **state)
{
	(void)state;
	must_fail("backend=nbd", -EINVAL, "uri or socket");
	must_fail("backend=nbd uri=nbd://localhost socket=/x", -EINVAL,
		  "uri or socket");
	must_fail("backend=nbd socket=/nowhere/at/all", -ENOENT, "connect");
	must_fail("backend=nbd uri=http://localhost", -EINVAL, "uri");
	must_fail("backend=nbd socket=/x connect_s=0", -ERANGE, "connect_s");
	must_fail("backend=nbd socket=/x reconnect_s=x", -EINVAL,
		  "reconnect_s");
}

/* Somebody listens, and says nothing. */
static void test_adding_gives_up_on_a_silent_server(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	(void)snprintf(r->sock, sizeof(r->sock), "/tmp/vdpakit-nbd-%d",
		       (int)getpid());
	listen_on(r);
	must_fail(keys_of(r, "connect_s=1"), -ETIMEDOUT, "1 s");
	(void)close(r->listen_fd);
	(void)unlink(r->sock);
	free(r);
}

static void test_an_export_that_is_not_there(void **state)
{
	struct rig *r;

	(void)state;
	NEED_NBDKIT();
	r = rig_new("--filter=exportname memory 8M exportname=a "
		    "exportname-strict=true");
	must_fail(keys_of(r, "export=b"), -ENOENT, "export");
	r->d = disk_start(NBD_FEATURES, keys_of(r, "export=a"), 1);
	rig_free(r);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_any_shape_of_request),
	cmocka_unit_test(test_requests_are_split_at_the_servers_maximum),
	cmocka_unit_test(test_requests_wait_for_buffers),
	cmocka_unit_test(test_features_are_the_servers),
	cmocka_unit_test(test_flags_reach_the_server),
	cmocka_unit_test(test_write_through),
	cmocka_unit_test(test_connections_of_several_queues),
	cmocka_unit_test(test_errors_of_the_server_are_ioerr),
	cmocka_unit_test(test_requests_outlive_their_server),
	cmocka_unit_test(test_a_write_through_starts_again_with_its_data),
	cmocka_unit_test(test_without_patience_requests_fail_at_once),
	cmocka_unit_test(test_patience_has_an_end),
	cmocka_unit_test(test_reset_while_the_server_is_gone),
	cmocka_unit_test(test_reset_while_the_server_hangs),
	cmocka_unit_test(test_a_larger_export_is_a_larger_disk),
	cmocka_unit_test(test_a_smaller_export_is_not_the_disk),
	cmocka_unit_test(test_keys_that_are_no_server),
	cmocka_unit_test(test_adding_gives_up_on_a_silent_server),
	cmocka_unit_test(test_an_export_that_is_not_there),
};

TEST_MAIN("dev_disk_nbd")
