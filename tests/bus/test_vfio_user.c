/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vfio-user bus driver, with a client that behaves: what it is told
 * of the PCI device, its registers, interrupts and memory, and data on rings.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>

#include "base/log.h"
#include "lib/test.h"
#include "uapi/compat.h"
#include "vuser_rig.h"

#define NUM	 16
#define PACKED	 BIT_ULL(VIRTIO_F_RING_PACKED)
#define COMMON	 VIRTIO_PCI_CAP_COMMON_CFG
#define SHORT_NS (2 * 1000000000ULL)

/* ---- what it is told ---- */

static void test_version_is_agreed_on(void **state)
{
	struct vuser_rig *fx = *state;
	const struct vfio_user_version *v;
	struct vuser_msg msg;

	assert_int_equal(
		vuser_version(fx->c, 0, 7, "{\"capabilities\":{}}", &msg), 0);
	v = (const void *)msg.payload;
	assert_int_equal(v->major, 0);
	assert_int_equal(v->minor, VFIO_USER_MINOR);
	assert_non_null(strstr(v->json, "\"max_msg_fds\":8"));
	assert_non_null(strstr(v->json, "\"max_data_xfer_size\":4096"));
	assert_non_null(strstr(v->json, "\"write_multiple\":true"));
	/* QEMU takes no reply that is longer than its own message. */
	assert_in_range(msg.hdr.size, 1, 180);
	assert_int_equal(msg.hdr.size,
			 sizeof(msg.hdr) + sizeof(*v) + strlen(v->json) + 1);
}

static void test_version_may_be_without_capabilities(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser_msg msg;

	assert_int_equal(vuser_version(fx->c, 0, 0, NULL, &msg), 0);
	assert_int_equal(((const uint16_t *)msg.payload)[1], 0);
}

static void test_regions_and_interrupts_are_described(void **state)
{
	struct vuser_rig *fx = *state;
	struct vfio_user_device_info info = { .argsz = sizeof(info) };
	const uint64_t sizes[VFIO_PCI_NUM_REGIONS] = {
		[0] = 0x4000, [1] = 0x2000, [VFIO_PCI_CONFIG_REGION_INDEX] = 256
	};
	const uint32_t counts[3] = { 1, 0, 2 };
	struct vuser_msg msg;

	vuser_hello(fx->c);
	assert_int_equal(vuser_ask(fx->c, VFIO_USER_DEVICE_GET_INFO, &info,
				   sizeof(info), NULL, 0, &msg),
			 0);
	memcpy(&info, msg.payload, sizeof(info));
	assert_int_equal(info.flags,
			 VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI);
	assert_int_equal(info.num_regions, VFIO_PCI_NUM_REGIONS);
	for (uint32_t i = 0; i < info.num_regions; i++) {
		struct vfio_region_info r = { .argsz = sizeof(r), .index = i };

		assert_int_equal(vuser_ask(fx->c,
					   VFIO_USER_DEVICE_GET_REGION_INFO, &r,
					   sizeof(r), NULL, 0, &msg),
				 0);
		memcpy(&r, msg.payload, sizeof(r));
		assert_int_equal(r.size, sizes[i]);
		assert_int_equal(r.flags, sizes[i] > 0 ? 3 : 0);
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct vfio_irq_info q = { .argsz = sizeof(q), .index = i };

		assert_int_equal(vuser_ask(fx->c, VFIO_USER_DEVICE_GET_IRQ_INFO,
					   &q, sizeof(q), NULL, 0, &msg),
				 0);
		memcpy(&q, msg.payload, sizeof(q));
		assert_int_equal(q.count, counts[i]);
	}
}

static void test_configuration_space_is_virtios(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;

	vuser_hello(c);
	assert_int_equal(vuser_cfg_read(c, PCI_VENDOR_ID, 4), 0x10421af4);
	assert_int_equal(vuser_cfg_read(c, PCI_CLASS_REVISION, 4), 0x01000001);
	assert_int_equal(vuser_cfg_read(c, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(vuser_cfg_read(c, PCI_INTERRUPT_PIN, 1), 1);
	vuser_find_caps(c);
	assert_int_equal(c->caps[COMMON].length, 60);
	assert_int_equal(c->caps[VIRTIO_PCI_CAP_DEVICE_CFG].length,
			 vdpa_get_config_size(vuser_device(fx)));
	assert_int_equal(c->caps[VIRTIO_PCI_CAP_NOTIFY_CFG].multiplier, 4);
	assert_int_equal(vuser_cfg_read(c, c->msix_cap + 2U, 2), 1);
	/* A driver asks for sizes. */
	vuser_cfg_write(c, PCI_BASE_ADDRESS_0, UINT32_MAX, 4);
	assert_int_equal(vuser_cfg_read(c, PCI_BASE_ADDRESS_0, 4), 0xffffc000);
	vuser_cfg_write(c, PCI_BASE_ADDRESS_0, 0xfebf4000, 4);
	assert_int_equal(vuser_cfg_read(c, PCI_BASE_ADDRESS_0, 4), 0xfebf4000);
	vuser_cfg_write(c, PCI_BASE_ADDRESS_2, UINT32_MAX, 4);
	assert_int_equal(vuser_cfg_read(c, PCI_BASE_ADDRESS_2, 4), 0);
	vuser_cfg_write(c, PCI_VENDOR_ID, 0, 4);
	assert_int_equal(vuser_cfg_read(c, PCI_VENDOR_ID, 4), 0x10421af4);
	vuser_cfg_write(c, PCI_COMMAND, 0xffff, 2);
	assert_int_equal(vuser_cfg_read(c, PCI_COMMAND, 2), 0x0546);
}

/* Virtio's window in it, for who cannot reach the BARs. */
static void test_configuration_space_reaches_the_bars(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	const struct vuser_cap *common = &c->caps[COMMON];

	vuser_hello(c);
	vuser_find_caps(c);
	vuser_cfg_write(c, c->cfg_cap + 4U, common->bar, 1);
	vuser_cfg_write(c, c->cfg_cap + 8U,
			common->offset + VIRTIO_PCI_COMMON_STATUS, 4);
	vuser_cfg_write(c, c->cfg_cap + 12U, 1, 4);
	vuser_cfg_write(c, c->cfg_cap + 16U, 3, 1);
	assert_int_equal(vuser_status(c), 3);
	assert_int_equal(vuser_cfg_read(c, c->cfg_cap + 16U, 1), 3);
	/* What names nothing there does nothing. */
	vuser_cfg_write(c, c->cfg_cap + 12U, 3, 4);
	vuser_cfg_write(c, c->cfg_cap + 16U, 0, 1);
	vuser_cfg_write(c, c->cfg_cap + 12U, 1, 4);
	vuser_cfg_write(c, c->cfg_cap + 4U, 7, 1);
	vuser_cfg_write(c, c->cfg_cap + 16U, 0, 1);
	assert_int_equal(vuser_status(c), 3);
}

static void test_device_config_is_read_and_written(void **state)
{
	struct vuser_rig *fx = *state;
	uint64_t capacity;
	uint8_t all[256];

	vuser_hello(fx->c);
	vuser_find_caps(fx->c);
	assert_int_equal(
		vuser_read(fx->c, 0,
			   fx->c->caps[VIRTIO_PCI_CAP_DEVICE_CFG].offset,
			   &capacity, 8),
		0);
	assert_int_equal(le64toh(capacity), 0x40000);
	assert_int_equal(vuser_get(fx->c, VIRTIO_PCI_CAP_DEVICE_CFG, 0, 4),
			 0x40000);
	/* Some of it, and what is behind its end: nothing. */
	memset(all, 0xee, sizeof(all));
	assert_int_equal(vuser_read(fx->c, 0, 0x2000, all, sizeof(all)), 0);
	assert_memory_equal(all, &(const uint32_t){ htole32(0x40000) }, 4);
	assert_int_equal(all[sizeof(all) - 1], 0);
	assert_int_equal(vuser_read(fx->c, 0, 0x2800, &capacity, 8), 0);
	assert_int_equal(capacity, 0);
}

/* ---- data ---- */

static void exchange(struct vuser_rig *fx, uint64_t features, bool has_msix)
{
	char *data;

	vuser_start(fx->c, features, 1, NUM, has_msix);
	data = vuser_alloc(fx->c, 4096, 4096);
	for (unsigned int i = 0; i < 3 * NUM; i++) {
		memset(data, (int)i + 1, 4096);
		assert_int_equal(vuser_blk(fx->c, 0, VIRTIO_BLK_T_OUT, 8 * i,
					   data, 4096),
				 VIRTIO_BLK_S_OK);
		memset(data, 0, 4096);
		assert_int_equal(vuser_blk(fx->c, 0, VIRTIO_BLK_T_IN, 8 * i,
					   data, 4096),
				 VIRTIO_BLK_S_OK);
		assert_int_equal(data[4095], (char)(i + 1));
	}
}

static void test_blk_split_msix(void **state)
{
	exchange(*state, 0, true);
}

static void test_blk_packed_msix(void **state)
{
	exchange(*state, PACKED, true);
}

static void test_blk_split_intx(void **state)
{
	exchange(*state, 0, false);
}

static void test_blk_packed_event_idx_intx(void **state)
{
	exchange(*state, PACKED | BIT_ULL(VIRTIO_RING_F_EVENT_IDX), false);
}

/* What is sent comes back: each of the two queues has its vector. */
static void loop_frames(struct vuser_rig *fx, uint64_t features)
{
	struct vuser *c = fx->c;
	const uint32_t len = sizeof(struct virtio_net_hdr_v1) + 64;
	char *out, *in;

	vuser_start(c, features, 2, NUM, true);
	out = vuser_alloc(c, 2048, 64);
	in = vuser_alloc(c, 2048, 64);
	for (unsigned int i = 0; i < 3 * NUM; i++) {
		const struct vq_sg to = { vuser_gpa(c, in), 2048 };
		const struct vq_sg from = { vuser_gpa(c, out), len };

		memset(out, 0, sizeof(struct virtio_net_hdr_v1));
		memset(out + sizeof(struct virtio_net_hdr_v1), 0xff, 6);
		memset(out + len - 58, (int)i, 58);
		assert_int_equal(vq_driver_add(c->q[0].drv, &to, 0, 1, in), 0);
		if (vq_driver_publish(c->q[0].drv)) {
			vuser_notify(c, 0);
		}
		assert_int_equal(vq_driver_add(c->q[1].drv, &from, 1, 0, out),
				 0);
		assert_ptr_equal(vuser_run_one(c, 1).cookie, out);
		assert_int_equal(vuser_run_one(c, 0).written, len);
		assert_memory_equal(in + sizeof(struct virtio_net_hdr_v1),
				    out + sizeof(struct virtio_net_hdr_v1), 64);
	}
}

static void test_net_split(void **state)
{
	loop_frames(*state, 0);
}

static void test_net_packed(void **state)
{
	loop_frames(*state, PACKED);
}

/* An eventfd for each queue, instead of a message. */
static void test_doorbells_are_given_out(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	struct vfio_user_region_io_fds ask = { .argsz = 16 };
	const struct vfio_user_ioeventfd *io;
	struct vuser_msg msg;
	char *data;

	vuser_start(c, 0, 1, NUM, true);
	/* Too little room: only how much it takes. */
	assert_int_equal(vuser_ask(c, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &ask,
				   sizeof(ask), NULL, 0, &msg),
			 0);
	memcpy(&ask, msg.payload, sizeof(ask));
	assert_int_equal(ask.argsz, sizeof(ask) + sizeof(*io));
	assert_int_equal(msg.n_fds, 0);
	ask.count = 0;
	assert_int_equal(vuser_ask(c, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &ask,
				   sizeof(ask), NULL, 0, &msg),
			 0);
	assert_int_equal(msg.n_fds, 1);
	io = (const void *)(msg.payload + sizeof(ask));
	assert_int_equal(io->offset, c->caps[VIRTIO_PCI_CAP_NOTIFY_CFG].offset);
	data = vuser_alloc(c, 512, 512);
	{
		struct virtio_blk_outhdr *hdr = vuser_alloc(c, 16, 16);
		uint8_t *status = vuser_alloc(c, 1, 1);
		const struct vq_sg sg[3] = { { vuser_gpa(c, hdr), 16 },
					     { vuser_gpa(c, data), 512 },
					     { vuser_gpa(c, status), 1 } };
		struct vq_used used;

		memset(hdr, 0, sizeof(*hdr));
		assert_int_equal(vq_driver_add(c->q[0].drv, sg, 1, 2, hdr), 0);
		assert_true(vq_driver_publish(c->q[0].drv));
		assert_int_equal(eventfd_write(msg.fds[0], 1), 0);
		vfront_wait(fx->vw->fw, c->q[0].call_fd);
		assert_int_equal(vq_driver_get(c->q[0].drv, &used, 1), 1);
		assert_int_equal(*status, VIRTIO_BLK_S_OK);
	}
	close(msg.fds[0]);
}

/* ---- registers ---- */

/* Table memory of MSI-X is the client's. */
static void test_msix_table_is_memory(void **state)
{
	struct vuser_rig *fx = *state;
	const uint32_t entry[4] = { 1, 2, 3, 4 };
	uint32_t got[4];

	vuser_hello(fx->c);
	assert_int_equal(vuser_read(fx->c, 1, 12, got, 4), 0);
	assert_int_equal(le32toh(got[0]), PCI_MSIX_ENTRY_CTRL_MASKBIT);
	assert_int_equal(vuser_write(fx->c, 1, 16, entry, 16), 0);
	assert_int_equal(vuser_read(fx->c, 1, 16, got, 16), 0);
	assert_memory_equal(got, entry, 16);
	/* Behind it nothing can be written. */
	assert_int_equal(vuser_write(fx->c, 1, 0x1000, entry, 16), 0);
	assert_int_equal(vuser_read(fx->c, 1, 0x1000, got, 16), 0);
	assert_int_equal(got[0], 0);
}

static void test_fields_are_accessed_whole(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	uint8_t all[64];

	vuser_hello(c);
	vuser_find_caps(c);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_DESCLO, 0x12345000, 4);
	/* Any other width is no write to it. */
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_DESCLO, 0xff, 1);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_DESCLO + 2, 0xff, 2);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_NUMQ, 7, 2);
	assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_DESCLO, 4),
			 0x12345000);
	/* A dump is of any bytes. */
	assert_int_equal(vuser_read(c, 0, 0, all, 60), 0);
	assert_int_equal(all[VIRTIO_PCI_COMMON_NUMQ], 1);
	assert_int_equal(all[VIRTIO_PCI_COMMON_Q_DESCLO + 1], 0x50);
	assert_int_equal(all[VIRTIO_PCI_COMMON_Q_DESCLO + 3], 0x12);
	assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_DESCLO + 1,
				   2),
			 0x3450);
	/* Only QUEUE_RESET disables a queue. */
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2);
	assert_int_equal(vuser_status(c), 0);
}

static void test_many_writes_in_one(void **state)
{
	struct vuser_rig *fx = *state;
	struct {
		uint64_t n;
		struct vfio_user_write_one w[3];
	} m = { 3,
		{ { VIRTIO_PCI_COMMON_STATUS, 0, 1, { 1 } },
		  { VIRTIO_PCI_COMMON_STATUS, 0, 1, { 3 } },
		  { VIRTIO_PCI_COMMON_Q_SELECT, 0, 2, { 5 } } } };
	struct vuser_msg msg;

	vuser_hello(fx->c);
	vuser_find_caps(fx->c);
	assert_int_equal(vuser_ask(fx->c, VFIO_USER_REGION_WRITE_MULTI, &m,
				   sizeof(m), NULL, 0, &msg),
			 0);
	assert_int_equal(msg.hdr.size, sizeof(msg.hdr) + 8);
	assert_int_equal(*(const uint64_t *)(const void *)msg.payload, 3);
	assert_int_equal(vuser_status(fx->c), 3);
	assert_int_equal(
		vuser_get(fx->c, COMMON, VIRTIO_PCI_COMMON_Q_SELECT, 2), 5);
	/* Up to the one that fails. */
	m.w[0].data[0] = 0;
	m.w[1].region = 5;
	m.w[2].data[0] = 6;
	assert_int_equal(vuser_ask(fx->c, VFIO_USER_REGION_WRITE_MULTI, &m,
				   sizeof(m), NULL, 0, NULL),
			 -EINVAL);
	assert_int_equal(vuser_status(fx->c), 0);
	assert_int_equal(vuser_get(fx->c, COMMON, VIRTIO_PCI_COMMON_Q_SELECT,
				   2),
			 0); /* the reset's */
}

static void test_posted_writes_have_no_reply(void **state)
{
	struct vuser_rig *fx = *state;
	struct {
		struct vfio_user_region_access a;
		uint8_t data[4];
	} m = { { VIRTIO_PCI_COMMON_STATUS, 0, 1 }, { 1 } };

	vuser_hello(fx->c);
	vuser_find_caps(fx->c);
	assert_int_equal(vuser_send(fx->c, VFIO_USER_REGION_WRITE,
				    VFIO_USER_NO_REPLY, &m, sizeof(m.a) + 1,
				    NULL, 0),
			 0);
	m.a.region = 99; /* fails, and nobody is told */
	assert_int_equal(vuser_send(fx->c, VFIO_USER_REGION_WRITE,
				    VFIO_USER_NO_REPLY, &m, sizeof(m.a) + 1,
				    NULL, 0),
			 0);
	/* The next answer is that of the next question. */
	assert_int_equal(vuser_status(fx->c), 1);
}

static void test_reset_keeps_memory_and_eventfds(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	char *data;

	vuser_start(c, 0, 1, NUM, true);
	assert_int_equal(vuser_ask(c, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0,
				   NULL),
			 0);
	assert_int_equal(vuser_status(c), 0);
	assert_int_equal(vdpa_get_status(vuser_device(fx)), 0);
	assert_int_equal(vuser_cfg_read(c, PCI_COMMAND, 2), 0);
	assert_int_equal(vuser_cfg_read(c, c->msix_cap + 2U, 2), 1);
	assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_MSIX, 2),
			 VIRTIO_MSI_NO_VECTOR);
	vuser_negotiate(c, 0);
	c->q[0].drv = vq_driver_free(c->q[0].drv);
	vuser_set_up_queue(c, 0, NUM);
	vuser_set_status(c, 0xf);
	data = vuser_alloc(c, 512, 512);
	assert_int_equal(vuser_blk(c, 0, VIRTIO_BLK_T_IN, 0, data, 512),
			 VIRTIO_BLK_S_OK);
}

/* ---- memory ---- */

static void test_memory_is_mapped_and_unmapped(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	struct region_stats stats;

	vuser_hello(c);
	assert_int_equal(vuser_map(c, 0, 0x1000, 0, 3, c->memfd), 0);
	assert_int_equal(vuser_map(c, 0x1000, 0x1000, 0x1000, 1, c->memfd), 0);
	assert_int_equal(vuser_map(c, 0x4000, 0x1000, 0x2000, 3, c->memfd), 0);
	assert_int_equal(vuser_map(c, 0x8000, 0x1000, 0, 3, -1), 0);
	assert_int_equal(vdpa_n_maps(vuser_device(fx), 0), 3);
	assert_int_equal(vuser_map(c, 0x1fff, 0x10, 0, 3, c->memfd), -EEXIST);
	assert_int_equal(vuser_map(c, 0x8800, 0x10, 0, 3, c->memfd), -EEXIST);
	/* A piece of what was mapped at once; nothing; two of them. */
	assert_int_equal(vuser_unmap(c, 0x800, 0x1000, 0), -EINVAL);
	assert_int_equal(vuser_unmap(c, 0, 0x1800, 0), -EINVAL);
	assert_int_equal(vuser_unmap(c, 0x100000, 0x1000, 0), 0);
	assert_int_equal(vdpa_n_maps(vuser_device(fx), 0), 3);
	assert_int_equal(vuser_unmap(c, 0, 0x2000, 0), 0);
	assert_int_equal(vdpa_n_maps(vuser_device(fx), 0), 1);
	assert_int_equal(vuser_map(c, 0, 0x1000, 0, 3, c->memfd), 0);
	assert_int_equal(vuser_unmap(c, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(vdpa_n_maps(vuser_device(fx), 0), 0);
	region_get_stats(&stats);
	assert_int_equal(stats.n_regions[REGION_MAPPED], 0);
}

static char last_warning[512];

static void keep_warning(enum log_level level, const char *line)
{
	if (level == LOG_LEVEL_WARN) {
		(void)snprintf(last_warning, sizeof(last_warning), "%s", line);
	}
}

/* The ring is in memory that has no file: somebody has to be told why. */
static void test_ring_in_private_memory_is_explained(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;

	log_set_sink(keep_warning, LOG_LEVEL_WARN);
	vuser_hello(c);
	vuser_find_caps(c);
	assert_int_equal(vuser_map(c, VUSER_GPA, VUSER_MEM_BYTES, 0, 3, -1), 0);
	vuser_negotiate(c, 0);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_DESCHI, 0, 4);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_DESCLO, VUSER_GPA, 4);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	assert_non_null(strstr(last_warning, "share=on"));
}

/* ---- clients come and go ---- */

static void test_next_client_finds_a_fresh_device(void **state)
{
	struct vuser_rig *fx = *state;

	for (unsigned int i = 0; i < 3; i++) {
		exchange(fx, i % 2 ? PACKED : 0, i < 2);
		vuser_connect_anew(fx);
		vuser_hello(fx->c);
		vuser_find_caps(fx->c);
		assert_int_equal(vuser_status(fx->c), 0);
		assert_int_equal(vuser_cfg_read(fx->c, PCI_COMMAND, 2), 0);
		assert_int_equal(vdpa_n_maps(vuser_device(fx), 0), 0);
		vuser_connect_anew(fx);
	}
}

static void test_second_client_is_refused(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *other;
	char buf[256];

	vuser_hello(fx->c);
	vuser_device(fx)->driver->describe(vuser_device(fx), buf, sizeof(buf));
	assert_non_null(strstr(buf, fx->vw->fw->path));
	assert_non_null(strstr(buf, " connected"));
	other = vuser_connect(fx->vw);
	vuser_expect_end(other);
	vuser_close(other);
	assert_int_equal(vdpa_dev_unbind(fx->vw->fw->w->bus, "d0"), -EBUSY);
	assert_int_equal(vuser_cfg_read(fx->c, PCI_VENDOR_ID, 2), 0x1af4);
}

static void test_silent_client_makes_way(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *first = fx->c;

	vuser_settle(fx);
	fx->c = vuser_connect(fx->vw);
	vuser_expect_end(fx->c); /* not yet */
	vuser_close(fx->c);
	vfront_run(fx->vw->fw, SHORT_NS);
	fx->c = vuser_connect(fx->vw);
	vuser_hello(fx->c);
	vuser_expect_end(first);
	vuser_close(first);
}

static void removed(void *priv, int result)
{
	*(int *)priv = result;
}

static void test_deletion_waits_for_the_client(void **state)
{
	struct vuser_rig *fx = *state;
	int result = 1;

	vuser_start(fx->c, 0, 1, NUM, true);
	assert_int_equal(
		vdpa_dev_del(fx->vw->fw->w->bus, "d0", removed, &result), 0);
	vuser_settle(fx);
	assert_int_equal(result, 1);
	assert_int_equal(vuser_status(fx->c), 0xf);
	vuser_close(fx->c);
	fx->c = NULL;
	for (int i = 0; i < 1000 && result != 0; i++) {
		vuser_settle(fx);
	}
	assert_int_equal(result, 0);
	assert_null(vuser_device(fx));
}

/* As when the daemon ends. */
static void test_client_is_cut_off_at_the_end(void **state)
{
	struct vuser_rig *fx = *state;

	vuser_start(fx->c, 0, 1, NUM, true);
	vuser_world_cut(fx->vw);
	vuser_expect_end(fx->c);
}

#define T(name, how)                                                   \
	{                                                              \
#name, name, vuser_set_up_##how, vuser_tear_down, NULL \
	}

static const struct CMUnitTest tests[] = {
	T(test_version_is_agreed_on, blk),
	T(test_version_may_be_without_capabilities, blk),
	T(test_regions_and_interrupts_are_described, blk),
	T(test_configuration_space_is_virtios, blk),
	T(test_configuration_space_reaches_the_bars, blk),
	T(test_device_config_is_read_and_written, blk),
	T(test_blk_split_msix, blk),
	T(test_blk_packed_msix, blk),
	T(test_blk_split_intx, blk),
	T(test_blk_packed_event_idx_intx, blk),
	{ "test_blk_sim", test_blk_packed_msix, vuser_set_up_sim,
	  vuser_tear_down, NULL },
	{ "test_blk_intx_sim", test_blk_split_intx, vuser_set_up_sim,
	  vuser_tear_down, NULL },
	T(test_net_split, net),
	T(test_net_packed, net),
	T(test_doorbells_are_given_out, blk),
	T(test_msix_table_is_memory, blk),
	T(test_fields_are_accessed_whole, blk),
	T(test_many_writes_in_one, blk),
	T(test_posted_writes_have_no_reply, blk),
	T(test_reset_keeps_memory_and_eventfds, blk),
	T(test_memory_is_mapped_and_unmapped, blk),
	T(test_ring_in_private_memory_is_explained, blk),
	T(test_next_client_finds_a_fresh_device, blk),
	T(test_second_client_is_refused, blk),
	T(test_silent_client_makes_way, sim),
	T(test_deletion_waits_for_the_client, blk),
	T(test_client_is_cut_off_at_the_end, blk),
};

TEST_MAIN("vfio_user")
