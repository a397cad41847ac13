/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths of ours: stat, access, and /proc/devices.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "shim/real.h"
#include "shim/shim.h"

#define PROC_DEVICES	 "/proc/devices"
#define PROC_DEVICES_MAX 16384
#define CHARACTER_LINE	 "Character devices:\n"

_public_ int __xstat(int ver, const char *path, struct stat *st);
_public_ int __lxstat(int ver, const char *path, struct stat *st);
_public_ int __fxstat(int ver, int fd, struct stat *st);
_public_ int __fxstatat(int ver, int dirfd, const char *path, struct stat *st,
			int flags);
_public_ int __xstat64(int ver, const char *path, struct stat64 *st);
_public_ int __lxstat64(int ver, const char *path, struct stat64 *st);
_public_ int __fxstat64(int ver, int fd, struct stat64 *st);
_public_ int __fxstatat64(int ver, int dirfd, const char *path,
			  struct stat64 *st, int flags);

const char *shim_name(const char *path)
{
	static const char *const prefixes[] = PRELOAD_PREFIXES;

	/* All of them begin so; nearly no other path does. */
	if (likely(!path || path[0] != '/' ||
		   strncmp(path, PRELOAD_DEV, strlen(PRELOAD_DEV)) != 0) ||
	    !shim_is_enabled()) {
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (strncmp(path, prefixes[i], len) == 0 && path[len] != '\0' &&
		    strlen(path) - strlen(PRELOAD_DEV) <= PRELOAD_NAME_MAX) {
			return path + strlen(PRELOAD_DEV);
		}
	}
	return NULL;
}

/* stat() */

static int64_t ask_stat(const char *name, struct preload_stat_info *info)
{
	struct preload_name ask = {
		.head = { PRELOAD_MAGIC, PRELOAD_STAT, sizeof(ask) },
	};
	int fd = shim_connect(SOCK_CLOEXEC);
	int64_t r;

	if (fd < 0) {
		return -ENOENT;
	}
	strncpy(ask.name, name, PRELOAD_NAME_MAX);
	r = shim_ask(fd, &ask, sizeof(ask), info, sizeof(*info), NULL);
	(void)SYS(SYS_close, fd);
	return r;
}

/* Return: true: *@info is filled. */
static bool stat_path(const char *path, struct preload_stat_info *info)
{
	const char *name = shim_name(path);

	return unlikely(name) && ask_stat(name, info) >= 0;
}

static bool stat_file(int fd, struct preload_stat_info *info)
{
	struct shim_call call = {
		.fd = fd,
		.op = PRELOAD_FSTAT,
		.attach_fd = -1,
		.answer = info,
		.answer_len = sizeof(*info),
	};

	return shim_call(&call) >= 0;
}

#define FILL_STAT(st, info)                                            \
	do {                                                           \
		memset((st), 0, sizeof(*(st)));                        \
		(st)->st_mode = (info)->mode;                          \
		(st)->st_uid = (info)->uid;                            \
		(st)->st_gid = (info)->gid;                            \
		(st)->st_rdev = makedev((info)->major, (info)->minor); \
		(st)->st_ino = (info)->ino;                            \
		(st)->st_nlink = 1;                                    \
		(st)->st_blksize = 4096;                               \
	} while (0)

#define DEFINE_STAT(fn, type)                           \
	_public_ int fn(const char *path, type *st)     \
	{                                               \
		struct preload_stat_info info;          \
                                                        \
		if (unlikely(stat_path(path, &info))) { \
			FILL_STAT(st, &info);           \
			return 0;                       \
		}                                       \
		return REAL(fn)(path, st);              \
	}
DEFINE_STAT(stat, struct stat)
DEFINE_STAT(stat64, struct stat64)
DEFINE_STAT(lstat, struct stat)
DEFINE_STAT(lstat64, struct stat64)

#define DEFINE_XSTAT(fn, type)                               \
	_public_ int fn(int ver, const char *path, type *st) \
	{                                                    \
		struct preload_stat_info info;               \
                                                             \
		if (unlikely(stat_path(path, &info))) {      \
			FILL_STAT(st, &info);                \
			return 0;                            \
		}                                            \
		return REAL(fn)(ver, path, st);              \
	}
DEFINE_XSTAT(__xstat, struct stat)
DEFINE_XSTAT(__xstat64, struct stat64)
DEFINE_XSTAT(__lxstat, struct stat)
DEFINE_XSTAT(__lxstat64, struct stat64)

/* A file of ours looks like a socket to the kernel, marked or not. */
#define FIX_FSTAT(fd, st, r)                                             \
	do {                                                             \
		struct preload_stat_info info_;                          \
                                                                         \
		if ((r) == 0 && unlikely(S_ISSOCK((st)->st_mode)) &&     \
		    shim_mark(fd) != MARK_NETLINK &&                     \
		    shim_mark(fd) != MARK_CHANNEL && shim_is_ours(fd) && \
		    stat_file((fd), &info_)) {                           \
			FILL_STAT((st), &info_);                         \
		}                                                        \
	} while (0)

#define DEFINE_FSTAT(fn, type)            \
	_public_ int fn(int fd, type *st) \
	{                                 \
		int r = REAL(fn)(fd, st); \
                                          \
		FIX_FSTAT(fd, st, r);     \
		return r;                 \
	}
DEFINE_FSTAT(fstat, struct stat)
DEFINE_FSTAT(fstat64, struct stat64)

#define DEFINE_FXSTAT(fn, type)                    \
	_public_ int fn(int ver, int fd, type *st) \
	{                                          \
		int r = REAL(fn)(ver, fd, st);     \
                                                   \
		FIX_FSTAT(fd, st, r);              \
		return r;                          \
	}
DEFINE_FXSTAT(__fxstat, struct stat)
DEFINE_FXSTAT(__fxstat64, struct stat64)

static bool is_the_fd(const char *path, int flags)
{
	return flags & AT_EMPTY_PATH && path && path[0] == '\0';
}

#define DEFINE_FSTATAT(fn, type)                                          \
	_public_ int fn(int dirfd, const char *path, type *st, int flags) \
	{                                                                 \
		struct preload_stat_info info;                            \
		int r;                                                    \
                                                                          \
		if (unlikely(stat_path(path, &info))) {                   \
			FILL_STAT(st, &info);                             \
			return 0;                                         \
		}                                                         \
		r = REAL(fn)(dirfd, path, st, flags);                     \
		if (is_the_fd(path, flags)) {                             \
			FIX_FSTAT(dirfd, st, r);                          \
		}                                                         \
		return r;                                                 \
	}
DEFINE_FSTATAT(fstatat, struct stat)
DEFINE_FSTATAT(fstatat64, struct stat64)

#define DEFINE_FXSTATAT(fn, type)                                       \
	_public_ int fn(int ver, int dirfd, const char *path, type *st, \
			int flags)                                      \
	{                                                               \
		struct preload_stat_info info;                          \
		int r;                                                  \
                                                                        \
		if (unlikely(stat_path(path, &info))) {                 \
			FILL_STAT(st, &info);                           \
			return 0;                                       \
		}                                                       \
		r = REAL(fn)(ver, dirfd, path, st, flags);              \
		if (is_the_fd(path, flags)) {                           \
			FIX_FSTAT(dirfd, st, r);                        \
		}                                                       \
		return r;                                               \
	}
DEFINE_FXSTATAT(__fxstatat, struct stat)
DEFINE_FXSTATAT(__fxstatat64, struct stat64)

static void fill_statx(struct statx *st, const struct preload_stat_info *info)
{
	memset(st, 0, sizeof(*st));
	st->stx_mask = STATX_BASIC_STATS;
	st->stx_mode = (uint16_t)info->mode;
	st->stx_uid = info->uid;
	st->stx_gid = info->gid;
	st->stx_rdev_major = info->major;
	st->stx_rdev_minor = info->minor;
	st->stx_ino = info->ino;
	st->stx_nlink = 1;
	st->stx_blksize = 4096;
}

_public_ int statx(int dirfd, const char *path, int flags, unsigned int mask,
		   struct statx *st)
{
	struct preload_stat_info info;
	int r;

	if (unlikely(stat_path(path, &info))) {
		fill_statx(st, &info);
		return 0;
	}
	r = REAL(statx)(dirfd, path, flags, mask, st);
	if (r == 0 && is_the_fd(path, flags) && S_ISSOCK(st->stx_mode) &&
	    shim_mark(dirfd) != MARK_NETLINK && shim_is_ours(dirfd) &&
	    stat_file(dirfd, &info)) {
		fill_statx(st, &info);
	}
	return r;
}

/* access() */

/* Return: 0; -EACCES; -ENOENT not ours, go on. */
static int check_access(const char *path, int mode)
{
	struct preload_stat_info info;
	uid_t uid;

	if (likely(!stat_path(path, &info))) {
		return -ENOENT;
	}
	uid = (uid_t)SYS(SYS_geteuid);
	if ((mode & X_OK) || (mode != F_OK && uid != 0 && uid != info.uid)) {
		return -EACCES;
	}
	return 0;
}

#define DEFINE_ACCESS(fn)                                   \
	_public_ int fn(const char *path, int mode)         \
	{                                                   \
		int r = check_access(path, mode);           \
                                                            \
		return r != -ENOENT ? (int)shim_return(r)   \
				    : REAL(fn)(path, mode); \
	}
DEFINE_ACCESS(access)
DEFINE_ACCESS(eaccess)
DEFINE_ACCESS(euidaccess)

_public_ int faccessat(int dirfd, const char *path, int mode, int flags)
{
	int r = check_access(path, mode);

	return r != -ENOENT ? (int)shim_return(r)
			    : REAL(faccessat)(dirfd, path, mode, flags);
}

/* /proc/devices */

static int64_t ask_classes(struct preload_class *classes)
{
	struct preload_ask ask = {
		.head = { PRELOAD_MAGIC, PRELOAD_CLASSES, sizeof(ask) },
	};
	int fd = shim_connect(SOCK_CLOEXEC);
	int64_t r;

	if (fd < 0) {
		return -ENOENT;
	}
	r = shim_ask(fd, &ask, sizeof(ask), classes,
		     PRELOAD_CLASSES_MAX * sizeof(*classes), NULL);
	(void)SYS(SYS_close, fd);
	return min_of(r, (int64_t)PRELOAD_CLASSES_MAX);
}

/* All that fits. Return: bytes; -errno. */
static long read_file(const char *path, char *buf, size_t max)
{
	long fd = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	size_t len = 0;
	long r = fd;

	while (fd >= 0 && len < max) {
		r = SYS(SYS_read, fd, buf + len, max - len);
		if (r <= 0) {
			break;
		}
		len += (size_t)r;
	}
	if (fd >= 0) {
		(void)SYS(SYS_close, fd);
	}
	return r < 0 ? r : (long)len;
}

static void put(int fd, const char *text, size_t len)
{
	(void)SYS(SYS_write, fd, text, len); /* a memfd takes it all */
}

static bool lists(const char *text, const struct preload_class *class)
{
	char line[sizeof(class->name) + 16];

	/* The kernel's own form: a width of three, a space. */
	(void)snprintf(line, sizeof(line), "\n%3u %.59s\n", class->major,
		       class->name);
	return strstr(text, line) != NULL;
}

/* Our classes stand first: some clients look no further than the first line
 * that matches. */
static void put_devices(int fd, const char *text,
			const struct preload_class *classes, int64_t n)
{
	const char *at = strstr(text, CHARACTER_LINE);
	size_t head = at ? (size_t)(at - text) + strlen(CHARACTER_LINE) : 0;

	put(fd, text, head);
	for (int64_t i = 0; i < n; i++) {
		char line[sizeof(classes[i].name) + 16];
		int len = snprintf(line, sizeof(line), "%3u %.59s\n",
				   classes[i].major, classes[i].name);

		if (!lists(text, &classes[i])) {
			put(fd, line, (size_t)len);
		}
	}
	put(fd, text + head, strlen(text + head));
}

static int open_devices(int flags)
{
	struct preload_class classes[PRELOAD_CLASSES_MAX] = { 0 };
	int64_t n = ask_classes(classes);
	long text, len = 0;
	long fd = -ENOENT;

	if (n <= 0) {
		return -ENOENT;
	}
	text = SYS(SYS_mmap, NULL, PROC_DEVICES_MAX, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	if (text < 0) {
		return -ENOENT;
	}
	len = read_file(PROC_DEVICES, (char *)text, PROC_DEVICES_MAX - 1);
	if (len > 0) {
		fd = SYS(SYS_memfd_create, "devices",
			 flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	}
	if (fd >= 0) {
		put_devices((int)fd, (const char *)text, classes, n);
		(void)SYS(SYS_lseek, fd, 0L, SEEK_SET);
	}
	(void)SYS(SYS_munmap, text, PROC_DEVICES_MAX);
	return fd < 0 ? -ENOENT : (int)fd;
}

int shim_open_proc(const char *path, int flags)
{
	if (likely(!path || strcmp(path, PROC_DEVICES) != 0) ||
	    !shim_is_enabled() || (flags & O_ACCMODE) != O_RDONLY ||
	    flags & (O_PATH | O_DIRECTORY)) {
		return -ENOENT;
	}
	return open_devices(flags);
}

#define DEFINE_FOPEN(fn)                                                  \
	_public_ FILE *fn(const char *path, const char *mode)             \
	{                                                                 \
		int fd = -1;                                              \
                                                                          \
		if (mode && mode[0] == 'r' && !strchr(mode, '+')) {       \
			fd = shim_open_proc(                              \
				path, strchr(mode, 'e') ? O_CLOEXEC : 0); \
		}                                                         \
		return fd >= 0 ? fdopen(fd, mode) : REAL(fn)(path, mode); \
	}
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)
