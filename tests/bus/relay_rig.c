/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay on some device, and a client of it. See relay_rig.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "relay_rig.h"

#include <fcntl.h>

#include "base/err.h"

#define TURN_NS 1000000

static void stop_control(void *priv)
{
	struct vworld *w = priv;

	loop_stop(w->control);
}

/* Calls of the client that last run its loops meanwhile. */
static void turn(void *priv)
{
	struct vworld *w = priv;
	struct loop_timer timer;

	if (w->sim) {
		(void)sim_run(w->sim, TURN_NS, NULL, NULL);
		return;
	}
	loop_timer_init(&timer, w->control, stop_control, w);
	assert_int_equal(loop_timer_set(&timer, TURN_NS), 0);
	assert_int_equal(loop_run(w->control), 0);
}

struct relay_rig *relay_rig_on(struct vworld *w, struct vdpa_device *lower,
			       const struct relay_options *options)
{
	struct relay_rig *rig = calloc(1, sizeof(*rig));
	int ret;

	assert_non_null(rig);
	cdev_local_set_turn(w->local, turn, w);
	rig->w = w;
	ret = relay_new(w->bus, lower, "r0", options, &rig->relay);
	if (ret < 0) {
		fail_msg("relay_new: %s", err_text(ret));
	}
	assert_int_equal(vdpa_device_register(w->bus, NULL, rig->relay), 0);
	assert_int_equal(vclient_open(w, "vhost-vdpa-0", &rig->c), 0);
	return rig;
}

struct relay_rig *relay_rig_new(struct sim *sim, const char *mgmtdev,
				const char *keys,
				const struct relay_options *options)
{
	static const struct relay_options defaults;
	struct vworld *w = vworld_new(sim, 1);
	int ret = vworld_add_keys(w, mgmtdev, "low0", 0, keys);

	if (ret < 0) {
		fail_msg("dev add: %s", err_text(ret));
	}
	assert_int_equal(vdpa_dev_unbind(w->bus, "low0"), 0);
	return relay_rig_on(w, vdpa_device_find(w->bus, "low0"),
			    options ? options : &defaults);
}

void relay_rig_free(struct relay_rig *rig)
{
	vclient_close(rig->c);
	assert_int_equal(vdpa_dev_unbind(rig->w->bus, "r0"), 0);
	vdpa_device_unregister(rig->relay);
	relay_free(rig->relay);
	vworld_free(rig->w);
	free(rig);
}

struct wanted {
	const char *name;
	uint64_t value;
	unsigned int n;
};

static void look_for(void *priv, const char *name, uint64_t value)
{
	struct wanted *wanted = priv;

	if (strcmp(name, wanted->name) == 0) {
		wanted->value = value;
		wanted->n++;
	}
}

uint64_t relay_rig_stat(struct relay_rig *rig, uint32_t idx, const char *name)
{
	struct wanted wanted = { .name = name };

	assert_int_equal(vdpa_get_vendor_vq_stats(rig->relay, idx, look_for,
						  &wanted),
			 0);
	assert_int_equal(wanted.n, 1);
	return wanted.value;
}

static struct region *region_of(struct vclient *c, enum region_kind kind)
{
	struct foreign_mem *fm;
	struct region *region;
	int fd;

	if (kind == REGION_OWN) {
		assert_int_equal(region_new_own(c->mem, VCLIENT_MEM_BYTES, NULL,
						NULL, &region),
				 0);
		return region;
	}
	assert_int_equal(kind, REGION_FOREIGN);
	fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	assert_int_equal(foreign_mem_new(fd, &fm), 0);
	assert_int_equal(region_new_foreign(fm, (uintptr_t)c->mem,
					    VCLIENT_MEM_BYTES, &region),
			 0);
	foreign_mem_unref(fm);
	return region;
}

void relay_rig_use_memory(struct relay_rig *rig, enum region_kind kind)
{
	const uint64_t last = VCLIENT_IOVA + VCLIENT_MEM_BYTES - 1;
	struct region *region = region_of(rig->c, kind);

	assert_int_equal(vdpa_unmap(rig->relay, 0, VCLIENT_IOVA, last), 1);
	assert_int_equal(vdpa_map(rig->relay, 0, VCLIENT_IOVA, last, region, 0,
				  MEM_PERM_RW),
			 0);
	region_unref(region);
}
