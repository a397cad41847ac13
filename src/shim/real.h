/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libc's own functions, behind ours.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SHIM_REAL_H
#define SHIM_REAL_H

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Names as libc exports them, with their types. */
#define REAL_FUNCTIONS(F)                                                     \
	F(access, int, (const char *, int))                                   \
	F(bind, int, (int, const struct sockaddr *, socklen_t))               \
	F(close, int, (int))                                                  \
	F(closefrom, void, (int))                                             \
	F(connect, int, (int, const struct sockaddr *, socklen_t))            \
	F(creat, int, (const char *, mode_t))                                 \
	F(creat64, int, (const char *, mode_t))                               \
	F(dup, int, (int))                                                    \
	F(dup2, int, (int, int))                                              \
	F(dup3, int, (int, int, int))                                         \
	F(eaccess, int, (const char *, int))                                  \
	F(epoll_ctl, int, (int, int, int, struct epoll_event *))              \
	F(euidaccess, int, (const char *, int))                               \
	F(faccessat, int, (int, const char *, int, int))                      \
	F(fcntl, int, (int, int, ...))                                        \
	F(fcntl64, int, (int, int, ...))                                      \
	F(fopen, FILE *, (const char *, const char *))                        \
	F(fopen64, FILE *, (const char *, const char *))                      \
	F(fstat, int, (int, struct stat *))                                   \
	F(fstat64, int, (int, struct stat64 *))                               \
	F(fstatat, int, (int, const char *, struct stat *, int))              \
	F(fstatat64, int, (int, const char *, struct stat64 *, int))          \
	F(getsockname, int, (int, struct sockaddr *, socklen_t *))            \
	F(getsockopt, int, (int, int, int, void *, socklen_t *))              \
	F(ioctl, int, (int, unsigned long, ...))                              \
	F(lstat, int, (const char *, struct stat *))                          \
	F(lstat64, int, (const char *, struct stat64 *))                      \
	F(mmap, void *, (void *, size_t, int, int, int, off_t))               \
	F(mmap64, void *, (void *, size_t, int, int, int, off64_t))           \
	F(open, int, (const char *, int, ...))                                \
	F(open64, int, (const char *, int, ...))                              \
	F(openat, int, (int, const char *, int, ...))                         \
	F(openat64, int, (int, const char *, int, ...))                       \
	F(pthread_sigmask, int, (int, const sigset_t *, sigset_t *))          \
	F(read, ssize_t, (int, void *, size_t))                               \
	F(readv, ssize_t, (int, const struct iovec *, int))                   \
	F(recv, ssize_t, (int, void *, size_t, int))                          \
	F(recvfrom, ssize_t,                                                  \
	  (int, void *, size_t, int, struct sockaddr *, socklen_t *))         \
	F(recvmsg, ssize_t, (int, struct msghdr *, int))                      \
	F(send, ssize_t, (int, const void *, size_t, int))                    \
	F(sendmsg, ssize_t, (int, const struct msghdr *, int))                \
	F(sendto, ssize_t,                                                    \
	  (int, const void *, size_t, int, const struct sockaddr *,           \
	   socklen_t))                                                        \
	F(setsockopt, int, (int, int, int, const void *, socklen_t))          \
	F(sigprocmask, int, (int, const sigset_t *, sigset_t *))              \
	F(socket, int, (int, int, int))                                       \
	F(stat, int, (const char *, struct stat *))                           \
	F(stat64, int, (const char *, struct stat64 *))                       \
	F(statx, int, (int, const char *, int, unsigned int, struct statx *)) \
	F(write, ssize_t, (int, const void *, size_t))                        \
	F(writev, ssize_t, (int, const struct iovec *, int))                  \
	F(__fxstat, int, (int, int, struct stat *))                           \
	F(__fxstat64, int, (int, int, struct stat64 *))                       \
	F(__fxstatat, int, (int, int, const char *, struct stat *, int))      \
	F(__fxstatat64, int, (int, int, const char *, struct stat64 *, int))  \
	F(__lxstat, int, (int, const char *, struct stat *))                  \
	F(__lxstat64, int, (int, const char *, struct stat64 *))              \
	F(__open64_2, int, (const char *, int))                               \
	F(__open_2, int, (const char *, int))                                 \
	F(__openat64_2, int, (int, const char *, int))                        \
	F(__openat_2, int, (int, const char *, int))                          \
	F(__read_chk, ssize_t, (int, void *, size_t, size_t))                 \
	F(__recv_chk, ssize_t, (int, void *, size_t, size_t, int))            \
	F(__recvfrom_chk, ssize_t,                                            \
	  (int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *)) \
	F(__xstat, int, (int, const char *, struct stat *))                   \
	F(__xstat64, int, (int, const char *, struct stat64 *))

enum real_function {
#define REAL_ENUM(name, ret, args) REAL_##name,
	REAL_FUNCTIONS(REAL_ENUM)
#undef REAL_ENUM
	REAL_N,
};

/* The types, as functions that nobody defines. */
#define REAL_TYPE(name, ret, args) typedef ret real_##name##_fn args;
REAL_FUNCTIONS(REAL_TYPE)
#undef REAL_TYPE

/* Never NULL: a function that this libc lacks fails with ENOSYS. */
void *real_function(enum real_function function);

#define REAL(name) ((real_##name##_fn *)real_function(REAL_##name))

#endif
