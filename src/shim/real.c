/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libc's own functions, behind ours.
 *
 * They are looked up when the library is loaded, or when something calls us
 * before that (the constructor of another library).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/real.h"

#include <dlfcn.h>

#include "shim/shim.h"

static const char *const names[] = {
#define REAL_NAME(name, ret, args) #name,
	REAL_FUNCTIONS(REAL_NAME)
#undef REAL_NAME
};
_Static_assert(ARRAY_SIZE(names) == REAL_N, "one name a function");

static void *functions[REAL_N];

/* Fits every function above but those that return pointers, which all libcs
 * have. */
static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

void *real_function(enum real_function function)
{
	void *p = __atomic_load_n(&functions[function], __ATOMIC_RELAXED);

	if (unlikely(!p)) {
		int saved_errno = errno;

		p = dlsym(RTLD_NEXT, names[function]);
		if (!p) {
			p = (void *)missing;
		}
		__atomic_store_n(&functions[function], p, __ATOMIC_RELAXED);
		errno = saved_errno;
	}
	return p;
}

__attribute__((constructor)) static void resolve_all(void)
{
	for (int i = 0; i < REAL_N; i++) {
		(void)real_function((enum real_function)i);
	}
	(void)shim_is_enabled(); /* reads the environment */
}
