/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limit of a loopback: the copies of its frames between two bare rings of
 * 16-byte descriptors, which check, translate and count nothing.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stddef.h>

/**
 * bare_mpps() - million frames a second, in CPU time of the caller
 * @mem: 512 buffers
 * @stride: from one to the next
 * @n_bytes: of a frame, header included
 * @n_frames: to measure
 */
double bare_mpps(char *mem, size_t stride, unsigned int n_bytes,
		 unsigned int n_frames);

#endif
