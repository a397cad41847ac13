/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mmio bus driver: layouts over a register window.
 *
 * A device that is bound to `mmio` waits for somebody in this process to open
 * it. Removal waits until it is closed; by force it is cut off, and lives on
 * without the device until then.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/mmio.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/mmio_layout.h"

_Static_assert(VDPAKIT_MMIO_READ == MEM_PERM_RO, "permissions are passed on");
_Static_assert(VDPAKIT_MMIO_WRITE == MEM_PERM_WO, "permissions are passed on");

struct mmio {
	/* control only */
	struct vdpa_device *vdev; /* NULL: cut off */
	bool is_leaving; /* remove() waits for the end of it */
	struct window_op *closing;
	struct window_op end;

	/* set by mmio_open(), then read-only */
	struct window *w; /* NULL: not open */
	const struct mmio_layout *layout;
	uint64_t size_bytes;
	uint32_t n_queues;

	/* any thread, atomic */
	uint64_t n_bad_accesses;
};

/* ---- registers ---- */

static int bad_access(struct mmio *m, uint64_t offset, unsigned int size)
{
	__atomic_add_fetch(&m->n_bad_accesses, 1, __ATOMIC_RELAXED);
	return err(-EINVAL,
		   "layout %s has nothing of %u bytes at 0x%llx, or not so",
		   m->layout->name, size, (unsigned long long)offset);
}

/* Return: NULL there is none, or it may not be accessed so */
static const struct mmio_reg *find(const struct mmio *m, uint64_t offset,
				   unsigned int size, unsigned int access)
{
	const struct mmio_reg *r;

	if (offset >= VDPAKIT_MMIO_REGISTERS || offset % 4 != 0 || size != 4) {
		return NULL;
	}
	r = &m->layout->regs[offset / 4];
	return (r->access & access) ? r : NULL;
}

static bool is_config(uint64_t offset, unsigned int size)
{
	return offset >= VDPAKIT_MMIO_REGISTERS && offset <= UINT32_MAX &&
	       is_pow2(size) && size <= 8;
}

bool mmio_try_read(struct mmio *m, uint64_t offset, unsigned int size,
		   uint64_t *ret_value)
{
	const struct mmio_reg *r = find(m, offset, size, MMIO_R);

	if (!r || r->reg != WINDOW_INTERRUPT_STATUS) {
		return false;
	}
	*ret_value = window_isr(m->w);
	return true;
}

bool mmio_try_write(struct mmio *m, uint64_t offset, unsigned int size,
		    uint64_t value)
{
	const struct mmio_reg *r = find(m, offset, size, MMIO_W);

	if (r && r->reg == WINDOW_QUEUE_NOTIFY) {
		window_notify(m->w, (uint32_t)value);
		return true;
	}
	if (r && r->reg == WINDOW_INTERRUPT_ACK) {
		window_ack(m->w, (uint32_t)value);
		return true;
	}
	return false;
}

static int read_config(struct mmio *m, uint64_t offset, unsigned int size,
		       uint64_t *ret_value)
{
	uint64_t bytes = 0; /* little-endian, as the config space */
	int r = window_config_read(
		m->w, (uint32_t)offset - VDPAKIT_MMIO_REGISTERS, &bytes, size);

	*ret_value = le64toh(bytes);
	return r == -EINVAL ? bad_access(m, offset, size) : r;
}

int mmio_read(struct mmio *m, uint64_t offset, unsigned int size,
	      uint64_t *ret_value)
{
	const struct mmio_reg *r = find(m, offset, size, MMIO_R | MMIO_CONST);

	*ret_value = 0;
	if (is_config(offset, size)) {
		return read_config(m, offset, size, ret_value);
	}
	if (!r) {
		return bad_access(m, offset, size);
	}
	if (r->access == MMIO_CONST) {
		*ret_value = r->value;
		return 0;
	}
	*ret_value = window_read(m->w, (enum window_reg)r->reg);
	return window_device(m->w) ? 0 : -ENODEV;
}

static void finish(struct window_op *op, int result)
{
	op->result = result;
	if (op->done) {
		op->done(op);
	}
}

static int write_config(struct mmio *m, uint64_t offset, unsigned int size,
			uint64_t value)
{
	uint64_t bytes = htole64(value);
	int r = window_config_write(
		m->w, (uint32_t)offset - VDPAKIT_MMIO_REGISTERS, &bytes, size);

	return r == -EINVAL ? bad_access(m, offset, size) : r;
}

void mmio_write(struct mmio *m, struct window_op *op, uint64_t offset,
		unsigned int size, uint64_t value)
{
	const struct mmio_reg *r = find(m, offset, size, MMIO_W);

	if (is_config(offset, size)) {
		finish(op, write_config(m, offset, size, value));
	} else if (!r) {
		finish(op, bad_access(m, offset, size));
	} else {
		window_write(m->w, op, (enum window_reg)r->reg,
			     (uint32_t)value);
	}
}

/* ---- memory ---- */

static int make_region(const struct vdpakit_mmio_memory *memory,
		       struct region **ret)
{
	struct mem_file *file;
	int fd, r;

	if (memory->fd < 0) {
		return memory->va
			       ? region_new_own(memory->va, memory->size_bytes,
						NULL, NULL, ret)
			       : err(-EINVAL, "memory without an address");
	}
	fd = fcntl(memory->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		return err(-errno, "the memory's file: %s", strerror(errno));
	}
	r = mem_file_new(fd, &file);
	if (r < 0) {
		return r;
	}
	r = region_new_file(file, memory->fd_offset, memory->size_bytes,
			    memory->perm, ret);
	mem_file_unref(file);
	return r;
}

static int check_memory(const struct vdpakit_mmio_memory *memory)
{
	if (memory->size_bytes == 0 ||
	    memory->size_bytes - 1 > UINT64_MAX - memory->gpa ||
	    memory->perm == 0 || memory->perm > MEM_PERM_RW) {
		return err(-EINVAL,
			   "%llu bytes at 0x%llx, permissions 0x%x: there is "
			   "no such memory",
			   (unsigned long long)memory->size_bytes,
			   (unsigned long long)memory->gpa, memory->perm);
	}
	return 0;
}

void mmio_map(struct mmio *m, struct window_op *op,
	      const struct vdpakit_mmio_memory *memory)
{
	struct window_mapping mapping = { .start = memory->gpa,
					  .last = memory->gpa +
						  memory->size_bytes - 1,
					  .perm = memory->perm };
	int r = check_memory(memory);

	if (r == 0) {
		r = make_region(memory, &mapping.region);
	}
	if (r < 0) {
		finish(op, r);
		return;
	}
	window_map(m->w, op, &mapping);
	region_unref(mapping.region);
}

void mmio_unmap(struct mmio *m, struct window_op *op, uint64_t gpa,
		uint64_t size_bytes)
{
	if (size_bytes == 0 || size_bytes - 1 > UINT64_MAX - gpa) {
		finish(op, err(-EINVAL,
			       "%llu bytes at 0x%llx: there is no "
			       "such memory",
			       (unsigned long long)size_bytes,
			       (unsigned long long)gpa));
		return;
	}
	window_unmap(m->w, op, gpa, gpa + (size_bytes - 1));
}

/* ---- notifications and callbacks ---- */

int mmio_notify_fd(struct mmio *m, uint32_t queue)
{
	return window_kick_fd(m->w, queue);
}

/* Return: 0; -errno: there are none, or nobody to call */
static int check_callbacks(const struct mmio *m)
{
	if (m->layout->has_irq) {
		return err(-EOPNOTSUPP,
			   "layout %s has an interrupt instead of callbacks",
			   m->layout->name);
	}
	return window_device(m->w) ? 0 : -ENODEV;
}

int mmio_set_vq_callback(struct mmio *m, void (*callback)(void *priv),
			 void *priv)
{
	const struct vdpa_callback cb = { callback, priv, .trigger_fd = -1 };
	int r = check_callbacks(m);

	return r < 0 ? r
		     : window_set_vq_call(
			       m->w, window_read(m->w, WINDOW_QUEUE_SEL), &cb);
}

int mmio_set_config_callback(struct mmio *m, void (*callback)(void *priv),
			     void *priv)
{
	const struct vdpa_callback cb = { callback, priv, .trigger_fd = -1 };
	int r = check_callbacks(m);

	if (r == 0) {
		window_set_config_call(m->w, &cb);
	}
	return r;
}

void mmio_get_info(const struct mmio *m, struct vdpakit_mmio_info *ret)
{
	struct window_stats s;

	window_get_stats(m->w, &s);
	*ret = (struct vdpakit_mmio_info){
		.size_bytes = m->size_bytes,
		.n_queues = m->n_queues,
		.n_notifies = s.n_notifies,
		.n_bad_accesses =
			__atomic_load_n(&m->n_bad_accesses, __ATOMIC_RELAXED),
		.n_mistakes = s.n_mistakes,
		.n_refused = s.n_refused,
		.n_broken = s.n_broken,
	};
}

/* ---- open and close ---- */

int mmio_open(struct vdpa_device *vdev,
	      const struct vdpakit_mmio_options *options, struct mmio **ret)
{
	const struct mmio_layout *layout;
	struct window_options wo = { .priv = options->priv,
				     .is_edge = options->is_edge,
				     .is_trusted = true };
	struct mmio *m = vdev->driver_priv;
	int r;

	if (!vdev->driver || strcmp(vdev->driver->name, "mmio") != 0) {
		return err(-ENODEV, "%s is not bound to mmio", vdev->name);
	}
	if (options->layout >= VDPAKIT_MMIO_LAYOUT_N) {
		return err(-EINVAL, "there is no layout %u", options->layout);
	}
	if (m->w || vdev->is_removing) {
		return err(-EBUSY, "%s is open, or being removed", vdev->name);
	}
	layout = &mmio_layouts[options->layout];
	wo.irq = layout->has_irq ? options->irq : NULL;
	wo.no_queue_reset = !layout->has_queue_reset;
	wo.forgets_calls = !layout->has_irq;
	r = window_new(vdev, &wo, &m->w);
	if (r < 0) {
		return r;
	}
	m->layout = layout;
	m->n_queues = vdev->nvqs;
	m->size_bytes = VDPAKIT_MMIO_REGISTERS + vdpa_get_config_size(vdev);
	__atomic_store_n(&m->n_bad_accesses, 0, __ATOMIC_RELAXED);
	*ret = m;
	return 0;
}

/* Nobody has it open any more. */
static void closed(struct mmio *m)
{
	struct vdpa_device *vdev = m->vdev;

	m->w = window_free(m->w);
	if (vdev && !m->is_leaving) {
		return;
	}
	free(m);
	if (vdev) {
		vdpa_removed(vdev);
	}
}

static void ended(struct window_op *op)
{
	struct mmio *m = container_of(op, struct mmio, end);
	struct window_op *closing = m->closing;
	int result = op->result;

	closed(m);
	finish(closing, result == -ENODEV ? 0 : result);
}

void mmio_close(struct mmio *m, struct window_op *op)
{
	m->closing = op;
	m->end = (struct window_op){ .done = ended };
	window_end(m->w, &m->end);
}

/* ---- the bus driver ---- */

static int mmio_probe(struct vdpa_driver *drv, struct vdpa_device *vdev,
		      const struct vdpa_param *params, unsigned int n_params)
{
	struct mmio *m;

	(void)drv;
	if (n_params > 0) {
		return err(-EINVAL, "mmio takes no '%s'", params[0].key);
	}
	m = calloc(1, sizeof(*m));
	if (!m) {
		return -ENOMEM;
	}
	m->vdev = vdev;
	vdev->driver_priv = m;
	return 0;
}

static bool mmio_is_busy(struct vdpa_device *vdev)
{
	const struct mmio *m = vdev->driver_priv;

	return m->w != NULL;
}

static void mmio_remove(struct vdpa_device *vdev, bool force)
{
	struct mmio *m = vdev->driver_priv;

	if (m->w && !force) {
		m->is_leaving = true;
		return;
	}
	if (m->w) {
		window_cut(m->w);
		m->vdev = NULL;
	} else {
		free(m);
	}
	vdpa_removed(vdev);
}

static void mmio_describe(struct vdpa_device *vdev, char *buf, size_t size)
{
	const struct mmio *m = vdev->driver_priv;

	(void)snprintf(buf, size, "%s%s", m->w ? "layout " : "not open",
		       m->w ? m->layout->name : "");
}

int mmio_register(struct vdpa_bus *bus, struct cdev *cdev,
		  struct vdpa_driver **ret)
{
	struct vdpa_driver *drv = calloc(1, sizeof(*drv));
	int r;

	(void)cdev;
	if (!drv) {
		return -ENOMEM;
	}
	*drv = (struct vdpa_driver){
		.name = "mmio",
		.probe = mmio_probe,
		.is_busy = mmio_is_busy,
		.remove = mmio_remove,
		.describe = mmio_describe,
	};
	r = vdpa_driver_register(bus, drv);
	if (r < 0) {
		free(drv);
		return r;
	}
	*ret = drv;
	return 0;
}

void mmio_unregister(struct vdpa_driver *drv)
{
	vdpa_driver_unregister(drv);
	free(drv);
}
