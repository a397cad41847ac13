/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests of the vfio-user bus driver stand on. See vuser_rig.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vuser_rig.h"

#include <endian.h>
#include <unistd.h>

#include <linux/virtio_blk.h>

#include "base/log.h"
#include "lib/test.h"

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static int set_up_on(void **state, struct sim *sim, const char *mgmtdev)
{
	struct vuser_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	log_set_sink(drop_line, LOG_LEVEL_DEBUG);
	rig->sim = sim;
	rig->n_fds = test_count_fds();
	rig->vw = vuser_world_new(sim, 1);
	vworld_add(rig->vw->fw->w, mgmtdev, "d0", 0, NULL, NULL);
	assert_int_equal(vuser_bind(rig->vw, "d0", NULL, NULL), 0);
	rig->c = vuser_connect(rig->vw);
	*state = rig;
	return 0;
}

int vuser_set_up_blk(void **state)
{
	return set_up_on(state, NULL, "vdpasim_blk");
}

int vuser_set_up_net(void **state)
{
	return set_up_on(state, NULL, "vdpasim_net");
}

int vuser_set_up_sim(void **state)
{
	const struct sim_options options = { .seed = 1 };
	struct sim *sim;

	assert_int_equal(sim_new(&options, &sim), 0);
	return set_up_on(state, sim, "vdpasim_blk");
}

int vuser_tear_down(void **state)
{
	struct vuser_rig *rig = *state;
	struct region_stats stats;

	if (rig->c) {
		vuser_close(rig->c);
	}
	vuser_world_free(rig->vw);
	sim_free(rig->sim);
	region_get_stats(&stats);
	assert_int_equal(stats.n_regions[REGION_MAPPED], 0);
	assert_int_equal(test_count_fds(), rig->n_fds);
	log_set_sink(NULL, LOG_LEVEL_WARN);
	free(rig);
	return 0;
}

void vuser_connect_anew(struct vuser_rig *rig)
{
	vuser_close(rig->c);
	rig->c = vuser_connect(rig->vw);
}

int vuser_tear_down_alive(void **state)
{
	struct vuser_rig *rig = *state;
	char *data;

	vuser_connect_anew(rig);
	vuser_start(rig->c, 0, 1, 16, true);
	data = vuser_alloc(rig->c, 512, 512);
	assert_int_equal(vuser_blk(rig->c, 0, VIRTIO_BLK_T_IN, 0, data, 512),
			 VIRTIO_BLK_S_OK);
	return vuser_tear_down(state);
}

struct vdpa_device *vuser_device(struct vuser_rig *rig)
{
	return vdpa_device_find(rig->vw->fw->w->bus, "d0");
}

void vuser_settle(struct vuser_rig *rig)
{
	vfront_run(rig->vw->fw, 5 * 1000000ULL);
}

bool vuser_is_signalled(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n);
}

void vuser_use_one(struct vuser_rig *rig)
{
	struct vuser *c = rig->c;
	struct virtio_blk_outhdr *hdr = vuser_alloc(c, sizeof(*hdr), 16);
	uint8_t *status = vuser_alloc(c, 1, 1);
	const struct vq_sg sg[2] = { { vuser_gpa(c, hdr), sizeof(*hdr) },
				     { vuser_gpa(c, status), 1 } };
	struct vq_used used;

	memset(hdr, 0, sizeof(*hdr));
	hdr->type = htole32(VIRTIO_BLK_T_FLUSH);
	assert_int_equal(vq_driver_add(c->q[0].drv, sg, 1, 1, hdr), 0);
	(void)vq_driver_publish(c->q[0].drv);
	vuser_notify(c, 0);
	while (vq_driver_get(c->q[0].drv, &used, 1) == 0) {
		vfront_run(rig->vw->fw, 1000000);
	}
	(void)vq_driver_enable_call(c->q[0].drv);
	vuser_settle(rig);
}
