/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For every allocation n, fail it: the call returns -ENOMEM, leaks nothing.
 *
 * Theory of operation
 *
 * Test programs are linked with --wrap for malloc() and its kin, so what our
 * libraries allocate comes through here (what libc allocates inside does not).
 * oom_check() runs a scenario again and again; the first time the first
 * allocation between its oom_begin() and oom_end() fails, then the second, and
 * so on until one run gets through. After each run everything allocated since
 * its start must have been freed.
 *
 *	static int map_one(void *priv)
 *	{
 *		struct iotlb *tlb = new_tlb();      // does not fail
 *		int ret;
 *
 *		oom_begin();
 *		ret = iotlb_map(tlb, ...);          // each allocation fails once
 *		oom_end();
 *		if (ret < 0)
 *			check that the table is as it was
 *		iotlb_free(tlb);
 *		return ret;
 *	}
 *
 * One scenario at a time in a process; allocations of other threads count.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_LIB_OOM_H
#define TESTS_LIB_OOM_H

/**
 * oom_check() - fail every allocation of a scenario, one run each
 * @scenario: sets up, calls what is tested between oom_begin() and oom_end(),
 *            checks, tears all down; returns what the call returned
 * @priv: its argument
 *
 * Fails the running cmocka test when a run that had an allocation failed does
 * not return -ENOMEM, when the last run returns an error, or when memory is
 * left over.
 *
 * Return: how many allocations were failed
 */
unsigned int oom_check(int (*scenario)(void *priv), void *priv);

/* From here on, and up to there, allocations may fail. */
void oom_begin(void);
void oom_end(void);

/*
 * Without failing any: how many allocations were there, in all threads, since
 * oom_count_begin()?
 */
void oom_count_begin(void);
unsigned int oom_count_end(void);

#endif
