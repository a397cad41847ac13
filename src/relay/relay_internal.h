/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the relay share. See relay.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef RELAY_RELAY_INTERNAL_H
#define RELAY_RELAY_INTERNAL_H

#include "relay/relay.h"
#include "soft/soft.h"
#include "vq/vq_driver.h"

/* Those of the device class; all others are of a ring or transport. Source:
 * virtio 1.2, "Feature Bits" */
#define RELAY_CLASS_FEATURES (0xffffffULL | UINT64_MAX << 50)

/* A chain that the device below has. */
struct relay_req {
	struct vq_chain *chain; /* NULL: nobody waits for it any more */
	uint64_t seq; /* of the queue's, in the order of fetching */
	uint32_t first_page;
	uint32_t n_pages;
	bool is_busy;
	bool is_dense; /* see relay_place() */
	bool is_request; /* is answered soon */
	struct relay_req *next_free;
};

/* Written by the owner worker, read by any thread with relaxed loads. */
struct relay_counters {
	uint64_t n_chains; /* forwarded */
	uint64_t n_bytes; /* copied, both ways */
	uint64_t n_waits; /* for room in domain or ring */
	uint64_t n_faults; /* chains with a part that is not mapped */
	uint64_t n_breaks; /* the device below broke the rules */
	uint64_t n_lost; /* requests that were never answered */
};

struct relay_vq {
	/* set by relay_new() */
	struct relay *relay;
	uint16_t idx;
	int kick_fd;
	int call_fd;

	/* control only, while the device below does not run; then read-only */
	uint16_t num;
	uint64_t ring_iova;

	/* owner worker only */
	struct vq_driver *drv; /* NULL: the device below does not run */
	struct relay_req *reqs; /* num of them */
	struct relay_req *free;
	struct loop_watch *watch;
	struct loop_poller poller;
	uint64_t next_seq;
	uint64_t done_seq; /* behind the youngest that was completed */
	uint32_t n_requests; /* of is_request, that somebody waits for */
	uint32_t n_pages; /* that it has */
	bool is_full; /* waits for room */
	bool is_draining; /* takes nothing more */
	bool is_broken;
	struct relay_counters counters;
};

struct relay {
	struct soft_dev soft;

	/* set by relay_new(), then read-only */
	struct soft_class class;
	struct vdpa_device *lower;
	struct domain *domain;
	struct loop *control;
	struct loop *worker;
	uint32_t *groups; /* of each queue */
	uint64_t drain_ns;
	uint32_t tail_bytes; /* see relay_copy.c */
	struct relay_vq *vqs;
	int config_fd; /* the device below says that its config changed */
	int drained_fd; /* the worker says that a drain has ended */

	/* control only */
	struct loop_watch *config_watch;
	struct loop_watch *drained_watch;
	uint64_t lower_features;
	uint8_t lower_status;
	bool is_mapped; /* the device below has the domain */
	bool is_started; /* it has rings */
	bool must_reset; /* a reset failed */

	/* owner worker only */
	struct vq_sg *sg; /* scratch of one chain: n_sg_max of them */
	uint32_t *offs; /* the same: of each piece */
	uint32_t n_pieces_max;
	uint32_t n_sg_max;
	bool has_indirect; /* rings of the device below */
	uint32_t share; /* pages that each queue can count on */
	uint32_t n_reserved; /* of them: free, and for others than who asks */
	uint32_t n_full; /* queues that wait for room */
	bool is_resetting; /* what is in flight does not matter any more */
	struct loop_timer drain_timer;
	uint64_t drain_until_ns;
	struct loop_done *drain_done;
	bool is_draining;

	/* any thread, atomic */
	bool is_drained;
};

static inline struct relay *relay_of(struct soft_dev *dev)
{
	return container_of(dev, struct relay, soft);
}

static inline void relay_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* ---- relay_lower.c: control thread ---- */

/* Members of struct soft_class. */
int relay_set_status(struct soft_dev *dev, uint8_t status);
void relay_stopping(struct soft_dev *dev, unsigned int idx, bool is_reset);
int relay_stopped(struct soft_dev *dev, unsigned int idx, bool is_reset);
int relay_resuming(struct soft_dev *dev);

/* ---- relay_vq.c: owner worker ---- */

/* Members of struct soft_class. */
void relay_submit(struct soft_dev *dev, uint16_t idx, struct vq_chain **chains,
		  unsigned int n);
void relay_cancel(struct soft_dev *dev, uint16_t idx);
unsigned int relay_budget(struct soft_dev *dev, uint16_t idx);

void relay_init_vq(struct relay_vq *q);
/* The timer; the worker is known. */
void relay_init_drain(struct relay *relay);
/* The device below has rings now. */
struct relay_attach {
	struct relay *relay;
	int ret; /* 0; -errno: they are not looked at */
};
void relay_attach(void *priv);
/* It has none any more; @priv: the relay. */
void relay_detach(void *priv);
/* The device below says that it is broken; @priv: the relay. */
void relay_break_all(void *priv);

/* Take nothing more from the queues in question, and wait for the requests that
 * are in flight, or until time is up. */
struct relay_drain {
	struct relay *relay;
	unsigned int idx; /* or SOFT_ALL */
	bool is_reset;
};
/* For loop_call_until(); and for loop_call_wait(), with relay->is_drained. */
void relay_drain_until(void *priv, struct loop_done *done);
void relay_drain_begin(void *priv);
/* They have stopped: when they start again, they take what is there. */
void relay_drain_end(void *priv);

/* ---- relay_copy.c: owner worker ---- */

/* How a chain is cut up for the device below. */
struct relay_cut {
	unsigned int n_readable; /* in relay->sg */
	unsigned int n_writable;
};

/**
 * relay_place() - where each piece of a chain goes, in relay->offs
 * @is_dense: all readable bytes in one run, and all writable ones
 *
 * Return: bytes of data pages
 */
uint64_t relay_place(struct relay *relay, const struct vq_chain *chain,
		     bool is_dense);

/**
 * relay_cut() - the descriptors, in relay->sg, of what was placed
 * @req: has its pages
 *
 * Return: 0; -E2BIG more than relay->n_sg_max
 */
int relay_cut(struct relay *relay, const struct relay_req *req,
	      struct relay_cut *ret);

/* What was placed: readable bytes in, writable ones zeroed. Return: 0; -EFAULT
 * a readable byte is not mapped */
int relay_copy_in(struct relay_vq *q, const struct relay_req *req);
/* The first @written bytes out, and what else is known to have been written;
 * chain->tail_bytes is set. Return: what is written of the client's */
uint32_t relay_copy_out(struct relay_vq *q, const struct relay_req *req,
			uint32_t written);
/* Says, where there is a way to, that the chain was not served. Return: as
 * above */
uint32_t relay_refuse(struct relay_vq *q, struct vq_chain *chain);

#endif
