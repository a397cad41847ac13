/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block requests.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_BLK_H
#define CONFORMANCE_BLK_H

#include "client.h"

#define BLK_T_IN	   0
#define BLK_T_OUT	   1
#define BLK_T_FLUSH	   4
#define BLK_T_GET_ID	   8
#define BLK_T_DISCARD	   11
#define BLK_T_WRITE_ZEROES 13

#define BLK_S_OK     0
#define BLK_S_IOERR  1
#define BLK_S_UNSUPP 2
/* What the driver puts in before the device answers. */
#define BLK_S_NONE 0x55

#define BLK_SECTOR   512
#define BLK_ID_BYTES 20

/* Data of tests begins here in the client's buffers; headers and status bytes
 * of requests lie below. */
#define BLK_DATA 0x8000

#define BLK_FEATURES                                             \
	((1ULL << 1) | (1ULL << 2) | (1ULL << 6) | (1ULL << 9) | \
	 (1ULL << 10) | (1ULL << 13) | (1ULL << 14)) /* not MQ */

/* A running block device with one queue of @num. */
void blk_start(struct client *cl, struct conf *c, uint16_t num, uint64_t want);

/* Makes a request available, without a kick; @slot: 0..255, of requests in
 * flight; @data: in the client's memory. Return: its head; -1 no room. */
int blk_add(struct client *cl, unsigned int slot, uint32_t type,
	    uint64_t sector, const void *data, uint32_t len);
/* The status byte of a slot. */
uint8_t blk_status(const struct client *cl, unsigned int slot);

/* One request, from header to answer. Return: its status; -1 it never came. */
int blk_io(struct client *cl, uint32_t type, uint64_t sector, const void *data,
	   uint32_t len);
/* Does the queue work? Asks for the device's id. */
bool blk_works(struct client *cl);

#endif
