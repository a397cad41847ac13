/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI function: interrupts.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <linux/pci_regs.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/virtio_pci_internal.h"

/* ---- MSI-X ---- */

/* The vector has no eventfd. Any thread. */
static void note_pending(void *priv)
{
	struct virtio_pci_vector *v = priv;

	__atomic_store_n(&v->is_pending, true, __ATOMIC_RELEASE);
}

/* Whom the device tells that uses @vector. Return: false: the ISR */
static bool callback_of(struct virtio_pci *p, uint16_t vector,
			struct vdpa_callback *ret)
{
	struct virtio_pci_vector *v;

	if (vector >= p->n_vectors) {
		return false;
	}
	v = &p->vectors[vector];
	*ret = (struct vdpa_callback){
		.callback = v->fd < 0 ? note_pending : NULL,
		.priv = v,
		.trigger_fd = v->fd,
		.is_trusted = p->is_trusted,
	};
	return true;
}

static void route_queue(struct virtio_pci *p, uint32_t idx)
{
	struct vdpa_callback cb;
	bool has_one = callback_of(p, p->queue_vectors[idx], &cb);

	/* The index is right. */
	(void)window_set_vq_call(p->w, idx, has_one ? &cb : NULL);
}

static void route_config(struct virtio_pci *p)
{
	struct vdpa_callback cb;
	bool has_one = callback_of(p, p->config_vector, &cb);

	window_set_config_call(p->w, has_one ? &cb : NULL);
}

static void route_all(struct virtio_pci *p, uint32_t start, uint32_t count)
{
	for (uint32_t i = 0; i < p->n_queues; i++) {
		if (p->queue_vectors[i] - start < count) {
			route_queue(p, i);
		}
	}
	if (p->config_vector - start < count) {
		route_config(p);
	}
}

void virtio_pci_set_queue_vector(struct virtio_pci *p, uint32_t idx,
				 uint16_t vector)
{
	if (idx < p->n_queues) {
		p->queue_vectors[idx] =
			vector < p->n_vectors ? vector : VIRTIO_PCI_NO_VECTOR;
		route_queue(p, idx);
	}
}

void virtio_pci_set_config_vector(struct virtio_pci *p, uint16_t vector)
{
	p->config_vector = vector < p->n_vectors ? vector
						 : VIRTIO_PCI_NO_VECTOR;
	route_config(p);
}

void virtio_pci_forget_vectors(struct virtio_pci *p)
{
	for (uint32_t i = 0; i < p->n_queues; i++) {
		virtio_pci_set_queue_vector(p, i, VIRTIO_PCI_NO_VECTOR);
	}
	virtio_pci_set_config_vector(p, VIRTIO_PCI_NO_VECTOR);
	for (uint32_t i = 0; i < p->n_vectors; i++) {
		__atomic_store_n(&p->vectors[i].is_pending, false,
				 __ATOMIC_RELEASE);
	}
}

uint64_t virtio_pci_pending(const struct virtio_pci *p, uint32_t qword)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < 64 && qword * 64 + i < p->n_vectors; i++) {
		const bool *b = &p->vectors[qword * 64 + i].is_pending;

		if (__atomic_load_n(b, __ATOMIC_ACQUIRE)) {
			bits |= BIT_ULL(i);
		}
	}
	return bits;
}

static void set_vector_fds(struct virtio_pci *p, uint32_t start, uint32_t count,
			   int *fds)
{
	struct virtio_pci_vector *vectors = p->vectors + start;

	for (uint32_t i = 0; i < count; i++) {
		vectors[i].old_fd = vectors[i].fd;
		vectors[i].fd = fds ? steal_fd(&fds[i]) : -1;
	}
	route_all(p, start, count);
	for (uint32_t i = 0; i < count; i++) {
		/* The device has let go of it. */
		vectors[i].old_fd = close_fd(vectors[i].old_fd);
		if (vectors[i].fd >= 0 &&
		    __atomic_exchange_n(&vectors[i].is_pending, false,
					__ATOMIC_ACQ_REL)) {
			loop_signal(p->loop, vectors[i].fd);
		}
	}
}

/* ---- INTx ---- */

void virtio_pci_level(void *priv, bool level)
{
	struct virtio_pci *p = priv;

	if (level) {
		/* Full, it has been told all the same. */
		(void)eventfd_write(p->level.fd, 1);
	}
}

void virtio_pci_update_intx(struct virtio_pci *p)
{
	uint32_t command = pci_config_get(&p->config, PCI_COMMAND, 2);
	uint32_t control =
		pci_config_get(&p->config, (uint8_t)(p->msix_cap + 2), 2);

	if (window_isr(p->w) == 0 || p->intx_fd < 0 || p->is_intx_masked ||
	    (command & PCI_COMMAND_INTX_DISABLE) ||
	    (control & PCI_MSIX_FLAGS_ENABLE)) {
		return;
	}
	p->is_intx_masked = true;
	loop_signal(p->loop, p->intx_fd);
}

static void level_is_up(void *priv, unsigned int events)
{
	(void)events;
	virtio_pci_update_intx(priv);
}

static void unmask(void *priv, unsigned int events)
{
	(void)events;
	virtio_pci_mask_intx(priv, false);
}

void virtio_pci_mask_intx(struct virtio_pci *p, bool is_masked)
{
	p->is_intx_masked = is_masked;
	virtio_pci_update_intx(p);
}

int virtio_pci_set_unmask_fd(struct virtio_pci *p, int fd)
{
	struct loop_watch *watch = NULL;
	int r = 0;

	if (fd >= 0) {
		r = loop_watch_new(p->loop, fd, LOOP_IN | LOOP_EDGE, unmask, p,
				   &watch);
	}
	if (r < 0) {
		return r;
	}
	p->unmask_watch = loop_watch_free(p->unmask_watch);
	(void)close_fd(p->unmask_fd);
	p->unmask_watch = watch;
	p->unmask_fd = fd;
	return 0;
}

static void set_intx_fd(struct virtio_pci *p, int *fd)
{
	(void)close_fd(p->intx_fd);
	p->intx_fd = fd ? steal_fd(fd) : -1;
	p->is_intx_masked = false;
	virtio_pci_update_intx(p);
}

/* ---- both ---- */

uint32_t virtio_pci_n_irqs(const struct virtio_pci *p, uint32_t irq)
{
	switch (irq) {
	case VIRTIO_PCI_INTX:
		return 1;
	case VIRTIO_PCI_MSIX:
		return p->n_vectors;
	default:
		return 0;
	}
}

void virtio_pci_set_irq_fds(struct virtio_pci *p, enum virtio_pci_irq irq,
			    uint32_t start, uint32_t count, int *fds)
{
	if (count == 0) {
		return;
	}
	if (irq == VIRTIO_PCI_INTX) {
		set_intx_fd(p, fds);
	} else {
		set_vector_fds(p, start, count, fds);
	}
}

void virtio_pci_trigger(struct virtio_pci *p, enum virtio_pci_irq irq,
			uint32_t idx)
{
	int fd = irq == VIRTIO_PCI_INTX ? p->intx_fd : p->vectors[idx].fd;

	if (fd >= 0) {
		loop_signal(p->loop, fd);
	}
}

/* ---- life ---- */

int virtio_pci_irq_init(struct virtio_pci *p, unsigned int n_vectors)
{
	p->n_vectors = n_vectors;
	p->intx_fd = -1;
	p->unmask_fd = -1;
	p->vectors = calloc(n_vectors, sizeof(*p->vectors));
	p->queue_vectors =
		calloc(max_of(p->n_queues, 1U), sizeof(*p->queue_vectors));
	if (!p->vectors || !p->queue_vectors) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n_vectors; i++) {
		p->vectors[i].fd = -1;
		p->vectors[i].old_fd = -1;
	}
	for (uint32_t i = 0; i < p->n_queues; i++) {
		p->queue_vectors[i] = VIRTIO_PCI_NO_VECTOR;
	}
	p->config_vector = VIRTIO_PCI_NO_VECTOR;
	return event_new(&p->level, p->loop, level_is_up, p);
}

void virtio_pci_irq_fini(struct virtio_pci *p)
{
	event_free(&p->level);
	free(p->vectors);
	free(p->queue_vectors);
}

void virtio_pci_irq_disconnect(struct virtio_pci *p)
{
	virtio_pci_forget_vectors(p);
	virtio_pci_set_irq_fds(p, VIRTIO_PCI_MSIX, 0, p->n_vectors, NULL);
	set_intx_fd(p, NULL);
	(void)virtio_pci_set_unmask_fd(p, -1); /* that never fails */
}
