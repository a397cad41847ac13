/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end rbd: loading librbd.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/rbd_lib.h"

#include <dlfcn.h>
#include <errno.h>

#include "base/err.h"
#include "base/util.h"

/* It brings librados, which is then looked into as well. */
#define RBD_LIB_NAME "librbd.so.1"

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define ROW(name) { #name, offsetof(struct rbd_lib, name) },
	RBD_LIB_FUNCTIONS(ROW)
#undef ROW
};

int rbd_lib_load(struct rbd_lib *ret)
{
	/* Its threads and their thread-local data do not survive unloading. */
	void *handle =
		dlopen(RBD_LIB_NAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	struct rbd_lib lib;
	int r = 0;

	if (!handle) {
		return err(-ENOENT, "rbd: %s: install librbd", dlerror());
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(functions); i++) {
		void *fn = dlsym(handle, functions[i].name);

		if (!fn) {
			r = err(-ENOENT, "rbd: %s: install a newer librbd",
				dlerror());
		}
		*(void **)((char *)&lib + functions[i].offset) = fn;
	}
	(void)dlclose(handle); /* stays */
	if (r == 0) {
		*ret = lib;
	}
	return r;
}
