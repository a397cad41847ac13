/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IOTLB messages that bypass libc.
 *
 * Theory of operation
 *
 * Some libraries (libblkio) make write() as a system call of their own. The
 * message then goes into the visible socket and the program goes on, before
 * anybody has looked at it: errors are lost, and a device that reads the
 * program's rings without us may meet a buffer before it is told of the
 * mapping. When the daemon says that a program does so (PRELOAD_FILE_RAW_WRITES)
 * we have the kernel stop such calls: a seccomp filter turns a write() of 72
 * bytes, made by code that is not libc's, into SIGSYS, and the handler makes
 * the call that the program would have made through us.
 *
 * What a filter does stays for good, for every program that this one executes,
 * too; so it looks at where the code is: elsewhere than in any other program,
 * where addresses are random. A thread that blocks SIGSYS would be killed instead
 * of asked, so programs that use our pthread_sigmask() never block it; where a
 * thread does all the same, or SIGSYS is used for something else, or addresses
 * are not random, or the kernel does not let us, all stays as it was.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/vhost_types.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include "shim/real.h"
#include "shim/shim.h"

#if defined(__x86_64__)
#define ARCH	      AUDIT_ARCH_X86_64
#define REG(uc, name) ((uc)->uc_mcontext.gregs[REG_##name])
#define ARG_0(uc)     REG(uc, RDI)
#define ARG_1(uc)     REG(uc, RSI)
#define ARG_2(uc)     REG(uc, RDX)
#define RESULT(uc)    REG(uc, RAX)
#define HAS_TRAP      1
#elif defined(__aarch64__)
#define ARCH	   AUDIT_ARCH_AARCH64
#define ARG_0(uc)  ((uc)->uc_mcontext.regs[0])
#define ARG_1(uc)  ((uc)->uc_mcontext.regs[1])
#define ARG_2(uc)  ((uc)->uc_mcontext.regs[2])
#define RESULT(uc) ((uc)->uc_mcontext.regs[0])
#define HAS_TRAP   1
#else
#define HAS_TRAP 0
#endif

_public_ int pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
_public_ int sigprocmask(int how, const sigset_t *set, sigset_t *old);

/* @set, or @room with all of it but SIGSYS. */
static const sigset_t *without_sigsys(int how, const sigset_t *set,
				      sigset_t *room)
{
	if (!set || how == SIG_UNBLOCK || !shim_is_enabled()) {
		return set;
	}
	*room = *set;
	(void)sigdelset(room, SIGSYS);
	return room;
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t room;

	return REAL(pthread_sigmask)(how, without_sigsys(how, set, &room), old);
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t room;

	return REAL(sigprocmask)(how, without_sigsys(how, set, &room), old);
}

#if HAS_TRAP

/* siginfo_t's si_code; libc does not name it. */
#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif

/* Objects of a program whose code is looked at; those beyond are not. */
#define RANGES_MAX   256
#define MESSAGE_SIZE ((uint32_t)sizeof(struct vhost_msg_v2))
_Static_assert(sizeof(struct vhost_msg) == sizeof(struct vhost_msg_v2), "ABI");

/* ---- the handler ---- */

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	struct iovec iov = { (void *)ARG_1(uc), (size_t)ARG_2(uc) };
	int fd = (int)ARG_0(uc);

	(void)sig;
	if (info->si_code != SYS_SECCOMP || info->si_syscall != SYS_write) {
		return;
	}
	/* writev() is not looked at by the filter. */
	RESULT(uc) = shim_mark(fd) && shim_is_file(fd)
			     ? shim_write(fd, &iov, 1)
			     : SYS(SYS_writev, fd, &iov, 1);
}

/* ---- the filter ---- */

struct range {
	uint64_t start, last;
};

struct filter {
	struct sock_filter code[16 + 7 * 2 * RANGES_MAX];
	unsigned short n;
	unsigned int n_ranges;
};

#define FIELD(name) ((uint32_t)offsetof(struct seccomp_data, name))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW_OF(offset)	(offset)
#define HIGH_OF(offset) ((offset) + 4)
#else
#define LOW_OF(offset)	((offset) + 4)
#define HIGH_OF(offset) (offset)
#endif

static void emit(struct filter *f, struct sock_filter instruction)
{
	f->code[f->n++] = instruction;
}

static void load(struct filter *f, uint32_t offset)
{
	emit(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

/* Goes on only if what was loaded is @value. */
static void allow_unless(struct filter *f, uint32_t value)
{
	emit(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value,
					     1, 0));
	emit(f,
	     (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

/* A range of addresses whose upper halves are the same. */
static void trap_range(struct filter *f, uint32_t high, uint32_t start,
		       uint32_t last)
{
	load(f, HIGH_OF(FIELD(instruction_pointer)));
	emit(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0,
					     4));
	load(f, LOW_OF(FIELD(instruction_pointer)));
	emit(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, start,
					     0, 2));
	emit(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1,
					     0));
	emit(f,
	     (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
}

static void add_range(struct filter *f, const struct range *r)
{
	uint32_t first_half = (uint32_t)(r->start >> 32);
	uint32_t last_half = (uint32_t)(r->last >> 32);

	if (first_half == last_half) {
		trap_range(f, first_half, (uint32_t)r->start,
			   (uint32_t)r->last);
	} else if (first_half + 1 == last_half) {
		trap_range(f, first_half, (uint32_t)r->start, UINT32_MAX);
		trap_range(f, last_half, 0, (uint32_t)r->last);
	}
}

static void begin_filter(struct filter *f)
{
	load(f, FIELD(arch));
	allow_unless(f, ARCH);
	load(f, FIELD(nr));
	allow_unless(f, SYS_write);
	load(f, HIGH_OF(FIELD(args[2])));
	allow_unless(f, 0);
	load(f, LOW_OF(FIELD(args[2])));
	allow_unless(f, MESSAGE_SIZE);
}

static void end_filter(struct filter *f)
{
	emit(f,
	     (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

/* ---- where the program's code is ---- */

/* Their system calls come through us, or are not writes of messages. */
static bool is_of_libc(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return strncmp(name, "libc.", 5) == 0 ||
	       strncmp(name, "libc-", 5) == 0 || strncmp(name, "ld-", 3) == 0 ||
	       strncmp(name, "libvdpakit-preload", 18) == 0;
}

/* "start-last+1 r-xp offset dev inode path". Programs that are not relocated are
 * in the lower 4 GiB, where the next one is, too. */
static void take_line(void *priv, const char *line)
{
	const char *path = strchr(line, '/');
	struct filter *f = priv;
	struct range r;
	char perms[5];

	if (f->n_ranges < RANGES_MAX && path &&
	    sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &r.start, &r.last,
		   perms) == 3 &&
	    perms[2] == 'x' && r.start > UINT32_MAX && !is_of_libc(path)) {
		r.last--;
		add_range(f, &r);
		f->n_ranges++;
	}
}

/* ---- is it safe? ---- */

static void take_status(void *priv, const char *line)
{
	unsigned long long blocked;

	if (sscanf(line, "SigBlk: %llx", &blocked) == 1 &&
	    ((blocked >> (SIGSYS - 1)) & 1)) {
		*(bool *)priv = true;
	}
}

static void look_at_thread(void *priv, int tid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	shim_each_line(path, take_status, priv);
}

static void take_setting(void *priv, const char *line)
{
	*(bool *)priv = line[0] != '0';
}

/* Or the filter would meet other programs that this one executes. */
static bool addresses_are_random(void)
{
	bool is_random = false;

	shim_each_line("/proc/sys/kernel/randomize_va_space", take_setting,
		       &is_random);
	return is_random &&
	       !(SYS(SYS_personality, 0xffffffffUL) & ADDR_NO_RANDOMIZE);
}

static bool any_thread_blocks_sigsys(void)
{
	bool blocks = false;

	shim_each_number("/proc/self/task", look_at_thread, &blocks);
	return blocks;
}

static bool take_sigsys(void)
{
	struct sigaction old, ours = {
		.sa_sigaction = on_sigsys,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART,
	};

	(void)sigemptyset(&ours.sa_mask);
	return sigaction(SIGSYS, NULL, &old) == 0 &&
	       !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL &&
	       sigaction(SIGSYS, &ours, NULL) == 0;
}

/* ---- */

static long install(const struct filter *f)
{
	struct sock_fprog prog = {
		.len = f->n,
		.filter = (struct sock_filter *)(uintptr_t)f->code,
	};
	long r = SYS(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		     SECCOMP_FILTER_FLAG_TSYNC, &prog);

	if (r == -EACCES &&
	    SYS(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0) {
		r = SYS(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			SECCOMP_FILTER_FLAG_TSYNC, &prog);
	}
	return r;
}

static long trap(void)
{
	static struct filter f; /* one thread comes here, once */

	begin_filter(&f);
	shim_each_line("/proc/self/maps", take_line, &f);
	if (f.n_ranges == 0 || !addresses_are_random() ||
	    any_thread_blocks_sigsys() || !take_sigsys()) {
		return -EBUSY;
	}
	end_filter(&f);
	return install(&f);
}

void shim_trap_raw_writes(void)
{
	static uint32_t is_tried; /* atomic */
	int saved_errno = errno;

	if (likely(__atomic_load_n(&is_tried, __ATOMIC_RELAXED)) ||
	    __atomic_exchange_n(&is_tried, 1, __ATOMIC_RELAXED) ||
	    shim_owner_pid() != (pid_t)SYS(SYS_getpid)) {
		return;
	}
	shim_debug("vdpakit: system calls that bypass us are trapped: %ld",
		   trap());
	errno = saved_errno;
}

#else

void shim_trap_raw_writes(void)
{
}

#endif
