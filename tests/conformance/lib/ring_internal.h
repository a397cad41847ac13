/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two formats behind ring.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_RING_INTERNAL_H
#define CONFORMANCE_RING_INTERNAL_H

#include "ring.h"

int split_add(struct ring *r, const struct ring_piece *pieces, unsigned int n,
	      bool is_indirect);
bool split_pop(struct ring *r, uint16_t *ret_id, uint32_t *ret_len);
void split_arm(struct ring *r);
bool split_wants_kick(struct ring *r);

int packed_add(struct ring *r, const struct ring_piece *pieces, unsigned int n,
	       bool is_indirect);
bool packed_pop(struct ring *r, uint16_t *ret_id, uint32_t *ret_len);
void packed_arm(struct ring *r);
bool packed_wants_kick(struct ring *r);

#endif
