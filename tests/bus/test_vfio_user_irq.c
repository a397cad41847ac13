/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vfio-user bus driver: interrupts of the PCI device.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <sys/eventfd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "base/cleanup.h"
#include "lib/test.h"
#include "vuser_rig.h"

#define NUM	16
#define TRIGGER (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define MASK	(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK)
#define UNMASK	(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK)
#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define COMMON	VIRTIO_PCI_CAP_COMMON_CFG
#define ISR	VIRTIO_PCI_CAP_ISR_CFG

/* ---- interrupts ---- */

static void test_intx_is_a_level_and_masks_itself(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	int fd;

	vuser_start(c, 0, 1, NUM, false);
	fd = c->q[0].call_fd;
	vuser_use_one(fx);
	assert_true(vuser_is_signalled(fd));
	assert_int_equal(vuser_cfg_read(c, PCI_STATUS, 2) &
				 PCI_STATUS_INTERRUPT,
			 PCI_STATUS_INTERRUPT);
	vuser_use_one(fx);
	assert_false(vuser_is_signalled(fd)); /* masked since */
	/* Unmasked, and the ISR was not read: again. */
	assert_int_equal(vuser_set_irqs(c, INTX, UNMASK, 0, 1, NULL, 0), 0);
	assert_true(vuser_is_signalled(fd));
	/* Reading it clears it. */
	assert_int_equal(vuser_get(c, ISR, 0, 1), 1);
	assert_int_equal(vuser_get(c, ISR, 0, 1), 0);
	assert_int_equal(vuser_set_irqs(c, INTX, UNMASK, 0, 1, NULL, 0), 0);
	vuser_settle(fx);
	assert_false(vuser_is_signalled(fd));
	assert_int_equal(vuser_set_irqs(c, INTX, MASK, 0, 1, NULL, 0), 0);
	vuser_use_one(fx);
	assert_false(vuser_is_signalled(fd));
}

static void test_intx_can_be_disabled(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	int fd;

	vuser_start(c, 0, 1, NUM, false);
	fd = c->q[0].call_fd;
	vuser_cfg_write(c, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
	vuser_use_one(fx);
	assert_false(vuser_is_signalled(fd));
	vuser_cfg_write(c, PCI_COMMAND, 0, 2);
	assert_true(vuser_is_signalled(fd));
}

static void test_intx_is_unmasked_by_an_eventfd(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	_cleanup_close_ int unmask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int fd;

	vuser_start(c, 0, 1, NUM, false);
	fd = c->q[0].call_fd;
	assert_int_equal(vuser_set_irqs(c, INTX,
					VFIO_IRQ_SET_DATA_EVENTFD |
						VFIO_IRQ_SET_ACTION_UNMASK,
					0, 1, &unmask, 1),
			 0);
	vuser_use_one(fx);
	assert_true(vuser_is_signalled(fd));
	assert_int_equal(eventfd_write(unmask, 1), 0);
	vfront_wait(fx->vw->fw, fd);
	assert_true(vuser_is_signalled(fd));
}

static void test_vector_without_an_eventfd_is_pending(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	uint64_t pending;
	int fd;

	vuser_start(c, 0, 1, NUM, true);
	fd = c->q[0].call_fd;
	assert_int_equal(vuser_set_irqs(c, MSIX, TRIGGER, 1, 1, NULL, 0), 0);
	vuser_use_one(fx);
	assert_false(vuser_is_signalled(fd));
	assert_int_equal(vuser_read(c, 1, 0x1000, &pending, 8), 0);
	assert_int_equal(le64toh(pending), 2);
	assert_int_equal(vuser_set_irqs(c, MSIX, TRIGGER, 1, 1, &fd, 1), 0);
	assert_true(vuser_is_signalled(fd));
	assert_int_equal(vuser_read(c, 1, 0x1000, &pending, 8), 0);
	assert_int_equal(pending, 0);
	vuser_use_one(fx);
	assert_true(vuser_is_signalled(fd));
}

static void test_queues_may_have_no_vector_or_a_wrong_one(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;

	vuser_start(c, 0, 1, NUM, true);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_MSIX, 2),
			 VIRTIO_MSI_NO_VECTOR);
	vuser_use_one(fx);
	assert_false(vuser_is_signalled(c->q[0].call_fd));
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_MSIX, 1, 2);
	assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_MSIX, 2), 1);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_SELECT, 9, 2);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_MSIX, 2),
			 VIRTIO_MSI_NO_VECTOR);
	assert_int_equal(vuser_get(c, COMMON, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
}

static void test_the_client_may_trigger(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	struct {
		struct vfio_user_irq_set s;
		uint8_t which[2];
	} m = { { sizeof(m),
		  VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, MSIX, 0,
		  2 },
		{ 1, 0 } };

	vuser_start(c, 0, 1, NUM, true);
	assert_int_equal(vuser_ask(c, VFIO_USER_DEVICE_SET_IRQS, &m,
				   sizeof(m.s) + 2, NULL, 0, NULL),
			 0);
	assert_false(vuser_is_signalled(c->q[0].call_fd));
	m.which[1] = 1;
	assert_int_equal(vuser_ask(c, VFIO_USER_DEVICE_SET_IRQS, &m,
				   sizeof(m.s) + 2, NULL, 0, NULL),
			 0);
	assert_true(vuser_is_signalled(c->q[0].call_fd));
	/* None and all of it: they are taken away. */
	assert_int_equal(vuser_set_irqs(c, MSIX,
					VFIO_IRQ_SET_DATA_NONE |
						VFIO_IRQ_SET_ACTION_TRIGGER,
					0, 0, NULL, 0),
			 0);
	vuser_use_one(fx);
	assert_false(vuser_is_signalled(c->q[0].call_fd));
}

static void test_config_change_interrupts(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	const struct vdpa_dev_config config = {
		.mask = BIT_ULL(VDPA_ATTR_MAC),
		.is_admin = true,
		.mac = { 0x52, 0x54, 0, 1, 2, 3 },
	};
	uint8_t before;

	vuser_start(c, 0, 2, NUM, false);
	before = (uint8_t)vuser_get(c, COMMON, VIRTIO_PCI_COMMON_CFGGENERATION,
				    1);
	assert_int_equal(vdpa_dev_set(fx->vw->fw->w->bus, "d0", &config), 0);
	vfront_wait(fx->vw->fw, c->q[0].call_fd);
	assert_int_equal(vuser_get(c, ISR, 0, 1), 2);
	assert_int_not_equal(vuser_get(c, COMMON,
				       VIRTIO_PCI_COMMON_CFGGENERATION, 1),
			     before);
}

#define T(name, how)                                                   \
	{                                                              \
#name, name, vuser_set_up_##how, vuser_tear_down, NULL \
	}

static const struct CMUnitTest tests[] = {
	T(test_intx_is_a_level_and_masks_itself, blk),
	T(test_intx_can_be_disabled, blk),
	T(test_intx_is_unmasked_by_an_eventfd, blk),
	T(test_vector_without_an_eventfd_is_pending, blk),
	T(test_queues_may_have_no_vector_or_a_wrong_one, blk),
	T(test_the_client_may_trigger, blk),
	T(test_config_change_interrupts, net),
};

TEST_MAIN("vfio_user_irq")
