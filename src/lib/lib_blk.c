/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks: opened and closed here, used by virtio/blk_queue.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/lib_internal.h"
#include "virtio/blk.h"

struct lib_blk {
	struct lib_open open;
	struct vdpakit_blk_options options;
	struct vdpakit_blk *blk;
};

static struct lib_blk *lib_blk_of(struct vdpakit_blk *blk)
{
	struct lib_open *open = blk_vdev(blk)->opener;

	return container_of(open, struct lib_blk, open);
}

/* ---- on the control thread ---- */

static int probe(void *priv)
{
	struct lib_blk *b = priv;
	int r = blk_probe(b->open.vdev, b->open.kit->pool, &b->options,
			  &b->blk);

	if (r == 0) {
		b->open.vdev->opener = &b->open;
	}
	return r;
}

static int reset(void *priv)
{
	struct lib_blk *b = priv;

	return blk_reset(b->blk);
}

static int remove_blk(void *priv)
{
	struct lib_blk *b = priv;

	blk_remove(b->blk);
	return 0;
}

/* ---- as calls ---- */

static void close_blk(struct lib_open *open)
{
	struct lib_blk *b = container_of(open, struct lib_blk, open);

	list_del(&open->node);
	(void)lib_call_on(open->kit, open->vdev, remove_blk, b); /* always 0 */
	free(b);
}

static int open_blk(struct vdpakit *kit, const char *name,
		    const struct vdpakit_blk_options *options,
		    struct vdpakit_blk **ret)
{
	struct lib_blk *b = calloc(1, sizeof(*b));
	int r;

	if (!b) {
		return err(-ENOMEM, "out of memory");
	}
	b->open.kit = kit;
	b->open.close = close_blk;
	r = lib_take_options(&b->options, sizeof(b->options), options);
	if (r == 0) {
		r = lib_call_on_name(kit, name, &b->open.vdev, probe, b);
	}
	if (r < 0) {
		free(b);
		return r;
	}
	list_add_tail(&kit->opens, &b->open.node);
	*ret = b->blk;
	return 0;
}

int vdpakit_blk_open(struct vdpakit *kit, const char *name,
		     const struct vdpakit_blk_options *options,
		     struct vdpakit_blk **ret)
{
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = open_blk(kit, name, options, ret);
	return lib_leave(kit, __func__, r);
}

void vdpakit_blk_close(struct vdpakit_blk *blk)
{
	struct vdpakit *kit = blk ? lib_blk_of(blk)->open.kit : NULL;

	/* From a callback there is nobody to tell: it stays open. */
	if (kit && lib_enter(kit, __func__) == 0) {
		close_blk(&lib_blk_of(blk)->open);
		(void)lib_leave(kit, __func__, 0);
	}
}

int vdpakit_blk_reset(struct vdpakit_blk *blk)
{
	struct lib_blk *b;
	int r;

	if (!blk) {
		return err(-EINVAL, "%s: no disk", __func__);
	}
	b = lib_blk_of(blk);
	r = lib_enter(b->open.kit, __func__);
	if (r < 0) {
		return r;
	}
	r = lib_call_on(b->open.kit, b->open.vdev, reset, b);
	return lib_leave(b->open.kit, __func__, r);
}
