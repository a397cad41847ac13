/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices behind registers, for emulators: the calls of vdpakit/mmio.h on their
 * way to busdrv/mmio.c.
 *
 * What virtual CPUs do does not wait for other calls on
 * the kit: registers and memory of a device are no affair of anybody else.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdpakit/mmio.h>

#include "busdrv/mmio.h"
#include "lib/lib_internal.h"

struct vdpakit_mmio {
	struct vdpakit *kit;
	struct list node; /* in kit->mmios */
	struct mmio *m;
	char name[VDPA_NAME_MAX];
};

struct mmio_call {
	struct lib_call call;
	struct vdpakit_mmio *m;
	struct window_op op;
	const struct vdpakit_mmio_options *options;
	const struct vdpakit_mmio_memory *memory;
	uint64_t at; /* register, or address */
	uint64_t value; /* of a register, or bytes */
	unsigned int size;
	void (*callback)(void *priv);
	void *priv;
};

static struct mmio_call *mmio_call_of(struct lib_call *call)
{
	return container_of(call, struct mmio_call, call);
}

static void op_done(struct window_op *op)
{
	struct mmio_call *c = container_of(op, struct mmio_call, op);

	lib_call_end(&c->call, op->result);
}

/* ---- on the control thread ---- */

static int bind_and_open(struct vdpakit *kit, struct mmio_call *c)
{
	struct vdpa_device *vdev;
	int r = lib_bind(kit, c->m->name, "mmio", &vdev);

	return r < 0 ? r : mmio_open(vdev, c->options, &c->m->m);
}

static void open_it(struct lib_call *call)
{
	lib_call_end(call, bind_and_open(call->kit, mmio_call_of(call)));
}

static void close_it(struct lib_call *call)
{
	struct mmio_call *c = mmio_call_of(call);

	c->op.done = op_done;
	mmio_close(c->m->m, &c->op);
}

static void read_it(struct lib_call *call)
{
	struct mmio_call *c = mmio_call_of(call);

	lib_call_end(call, mmio_read(c->m->m, c->at, c->size, &c->value));
}

static void write_it(struct lib_call *call)
{
	struct mmio_call *c = mmio_call_of(call);

	c->op.done = op_done;
	mmio_write(c->m->m, &c->op, c->at, c->size, c->value);
}

static void map_it(struct lib_call *call)
{
	struct mmio_call *c = mmio_call_of(call);

	c->op.done = op_done;
	mmio_map(c->m->m, &c->op, c->memory);
}

static void unmap_it(struct lib_call *call)
{
	struct mmio_call *c = mmio_call_of(call);

	c->op.done = op_done;
	mmio_unmap(c->m->m, &c->op, c->at, c->value);
}

static void notify_fd(struct lib_call *call)
{
	struct mmio_call *c = mmio_call_of(call);

	lib_call_end(call, mmio_notify_fd(c->m->m, (uint32_t)c->at));
}

static void set_vq_callback(struct lib_call *call)
{
	struct mmio_call *c = mmio_call_of(call);

	lib_call_end(call, mmio_set_vq_callback(c->m->m, c->callback, c->priv));
}

static void set_config_callback(struct lib_call *call)
{
	struct mmio_call *c = mmio_call_of(call);

	lib_call_end(call,
		     mmio_set_config_callback(c->m->m, c->callback, c->priv));
}

/* ---- open, close ---- */

static int open_mmio(struct vdpakit *kit, const char *name,
		     const struct vdpakit_mmio_options *options,
		     struct vdpakit_mmio **ret)
{
	struct vdpakit_mmio_options o;
	struct mmio_call c = { .call.fn = open_it, .options = &o };
	int r = lib_take_options(&o, sizeof(o), options);

	if (r < 0) {
		return r;
	}
	if (!name || strlen(name) >= sizeof(c.m->name)) {
		return err(-EINVAL, "a name is missing, or too long");
	}
	c.m = calloc(1, sizeof(*c.m));
	if (!c.m) {
		return err(-ENOMEM, "out of memory");
	}
	c.m->kit = kit;
	(void)snprintf(c.m->name, sizeof(c.m->name), "%s", name);
	r = lib_call(kit, &c.call);
	if (r < 0) {
		free(c.m);
		return r;
	}
	list_add_tail(&kit->mmios, &c.m->node);
	*ret = c.m;
	return 0;
}

int vdpakit_mmio_open(struct vdpakit *kit, const char *name,
		      const struct vdpakit_mmio_options *options,
		      struct vdpakit_mmio **ret)
{
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = open_mmio(kit, name, options, ret);
	return lib_leave(kit, __func__, r);
}

static void close_mmio(struct vdpakit_mmio *m)
{
	struct mmio_call c = { .call.fn = close_it, .m = m };

	list_del(&m->node);
	(void)lib_call(m->kit, &c.call); /* always 0 */
	free(m);
}

void lib_mmio_close_all(struct vdpakit *kit)
{
	while (!list_is_empty(&kit->mmios)) {
		close_mmio(
			list_entry(kit->mmios.next, struct vdpakit_mmio, node));
	}
}

void vdpakit_mmio_close(struct vdpakit_mmio *m)
{
	struct vdpakit *kit = m ? m->kit : NULL;

	/* From a callback there is nobody to tell: it stays open. */
	if (kit && lib_enter(kit, __func__) == 0) {
		close_mmio(m);
		(void)lib_leave(kit, __func__, 0);
	}
}

/* ---- what virtual CPUs do ---- */

static int call_mmio(struct mmio_call *c, const char *who)
{
	int r;

	if (!c->m) {
		return err(-EINVAL, "%s: no device", who);
	}
	r = lib_check_caller(c->m->kit);
	if (r == 0) {
		r = lib_call(c->m->kit, &c->call);
	}
	return err_context(r, "%s", who);
}

int vdpakit_mmio_read(struct vdpakit_mmio *m, uint64_t offset,
		      unsigned int size, uint64_t *ret_value)
{
	struct mmio_call c = {
		.call.fn = read_it, .m = m, .at = offset, .size = size
	};
	int r;

	if (m && mmio_try_read(m->m, offset, size, ret_value)) {
		return 0;
	}
	r = call_mmio(&c, __func__);
	*ret_value = c.value;
	return r;
}

int vdpakit_mmio_write(struct vdpakit_mmio *m, uint64_t offset,
		       unsigned int size, uint64_t value)
{
	struct mmio_call c = { .call.fn = write_it,
			       .m = m,
			       .at = offset,
			       .size = size,
			       .value = value };

	if (m && mmio_try_write(m->m, offset, size, value)) {
		return 0;
	}
	return call_mmio(&c, __func__);
}

int vdpakit_mmio_map(struct vdpakit_mmio *m,
		     const struct vdpakit_mmio_memory *memory)
{
	struct mmio_call c = { .call.fn = map_it, .m = m, .memory = memory };

	if (!memory) {
		return err(-EINVAL, "%s: no memory", __func__);
	}
	return call_mmio(&c, __func__);
}

int vdpakit_mmio_unmap(struct vdpakit_mmio *m, uint64_t gpa,
		       uint64_t size_bytes)
{
	struct mmio_call c = {
		.call.fn = unmap_it, .m = m, .at = gpa, .value = size_bytes
	};

	return call_mmio(&c, __func__);
}

int vdpakit_mmio_notify_fd(struct vdpakit_mmio *m, uint32_t queue)
{
	struct mmio_call c = { .call.fn = notify_fd, .m = m, .at = queue };

	return call_mmio(&c, __func__);
}

int vdpakit_mmio_set_vq_callback(struct vdpakit_mmio *m,
				 void (*callback)(void *priv), void *priv)
{
	struct mmio_call c = { .call.fn = set_vq_callback,
			       .m = m,
			       .callback = callback,
			       .priv = priv };

	return call_mmio(&c, __func__);
}

int vdpakit_mmio_set_config_callback(struct vdpakit_mmio *m,
				     void (*callback)(void *priv), void *priv)
{
	struct mmio_call c = { .call.fn = set_config_callback,
			       .m = m,
			       .callback = callback,
			       .priv = priv };

	return call_mmio(&c, __func__);
}

void vdpakit_mmio_get_info(const struct vdpakit_mmio *m,
			   struct vdpakit_mmio_info *ret, size_t size)
{
	struct vdpakit_mmio_info info;

	mmio_get_info(m->m, &info);
	memset(ret, 0, size);
	memcpy(ret, &info, min_of(size, sizeof(info)));
}
