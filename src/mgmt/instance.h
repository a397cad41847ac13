/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One whole vdpakit: loops, bus, character devices, and what is built in.
 *
 * Theory of operation
 *
 * Everything hangs off struct instance, so that a daemon, a test or a program
 * can hold several. It owns, from the bottom up:
 *
 *   loops      one for control, n for virtqueues; its own, or its user's (that
 *              is how a whole bus runs on simulated loops)
 *   bus, cdev  empty registries
 *   built-ins  bus drivers first, so that new devices find one; then
 *              management devices. Meson makes the table (builtin.inc)
 *
 * and takes them down in the opposite order: bus drivers cut their consumers
 * off, management devices delete their devices. Front ends (RPC, netlink, the
 * preload carrier) belong to the host and must be gone by then.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_INSTANCE_H
#define MGMT_INSTANCE_H

#include "bus/bus.h"
#include "cdev/cdev.h"
#include "loop/loop.h"

#define INSTANCE_WORKERS_MAX 64

struct instance;

/**
 * struct instance_options - how to make one; zero-initialise
 *
 * @control: borrowed; NULL: one of its own, which the user runs
 * @workers, @n_workers: borrowed. With @workers NULL: that many of its own,
 *                       running; 0: as many as there are CPUs, at most 4
 * @loop: back end of its own loops
 * @run_dir: the folder for what shall outlive it; NULL: there is none
 * @default_driver: the bus driver that probes new devices; NULL: vhost_vdpa.
 *                  virtio_vdpa, for drivers in this process, is there only when
 *                  it is asked for
 */
struct instance_options {
	struct loop *control;
	struct loop *const *workers;
	unsigned int n_workers;
	enum loop_kind loop;
	const char *run_dir;
	const char *default_driver;
};

/**
 * instance_new() - make a bus with everything that is built in
 * @options: see there
 * @ret: written on success
 *
 * Return: 0; -EINVAL too many workers; -errno
 */
int instance_new(const struct instance_options *options, struct instance **ret);

/* The control loop must not be running, unless the caller is its owner. */
struct instance *instance_free(struct instance *kit);

/* All borrowed for as long as @kit lives. */
struct loop *instance_control(struct instance *kit);
struct vdpa_bus *instance_bus(struct instance *kit);
struct cdev *instance_cdev(struct instance *kit);
unsigned int instance_n_workers(const struct instance *kit);

#endif
