/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops: choosing a back end.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "loop/loop_internal.h"

/*
 * What keeps io_uring from being set up (no such call, a seccomp filter, a
 * sysctl, a limit) does not matter: if it keeps epoll from it too, that error
 * is told.
 */
static int new_auto(const char *name, struct loop **ret)
{
	return loop_new_uring(name, ret) == 0 ? 0 : loop_new_epoll(name, ret);
}

static const struct {
	const char *name;
	int (*make)(const char *name, struct loop **ret);
} kinds[] = {
	[LOOP_AUTO] = { "auto", new_auto },
	[LOOP_IO_URING] = { "io_uring", loop_new_uring },
	[LOOP_EPOLL] = { "epoll", loop_new_epoll },
};
_Static_assert(ARRAY_SIZE(kinds) == LOOP_KIND_N, "one for each");

int loop_new_kind(const char *name, enum loop_kind kind, struct loop **ret)
{
	struct loop *loop;
	int r = kinds[kind].make(name, &loop);

	if (r < 0) {
		return r;
	}
	r = loop_signaller_new(&loop->signaller);
	if (r < 0) {
		loop_free(loop);
		return r;
	}
	*ret = loop;
	return 0;
}

int loop_new(const char *name, struct loop **ret)
{
	return loop_new_kind(name, LOOP_AUTO, ret);
}

int loop_kind_parse(const char *text, enum loop_kind *ret)
{
	for (unsigned int i = 0; i < LOOP_KIND_N; i++) {
		if (strcmp(text, kinds[i].name) == 0) {
			*ret = (enum loop_kind)i;
			return 0;
		}
	}
	return err(-EINVAL, "'%s' is not auto, io_uring or epoll", text);
}
