/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store of values by key: each is a file of this folder.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define KV_VALUE_BYTES 512

static inline FILE *kv_open(uint64_t key, const char *mode)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)key);
	return fopen(name, mode);
}

/* Return: did it work? */
static inline int kv_set(uint64_t key, const char *value)
{
	FILE *f = kv_open(key, "w");
	int is_ok = f && fwrite(value, KV_VALUE_BYTES, 1, f) == 1;

	return f && fclose(f) == 0 && is_ok;
}

/* What was never set is zeroes. */
static inline int kv_get(uint64_t key, char *value)
{
	FILE *f = kv_open(key, "r");
	int is_ok = f && fread(value, KV_VALUE_BYTES, 1, f) == 1;

	if (f)
		fclose(f);
	else
		memset(value, 0, KV_VALUE_BYTES);
	return is_ok || !f;
}

#endif
