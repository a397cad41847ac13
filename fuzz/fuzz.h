/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a fuzz target is: libFuzzer's entry point, which fuzz/replay.c calls
 * with each file of a corpus, too.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Return: 0. A fault is a crash. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
