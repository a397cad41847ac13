/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words that describe a device, as parameters of dev.add.
 *
 * `dev add` on the command line, --dev of `vdpakit run` and of vdpakitd mean
 * the same thing and are checked in the same place: here as far as words go,
 * in the daemon as far as devices go.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_DEVSPEC_H
#define MGMT_DEVSPEC_H

#include <jansson.h>

#include "base/util.h"

/**
 * devspec_from_words() - name NAME mgmtdev [BUS/]MGMTDEV [KEY VALUE]... [bind
 *                        DRIVER [KEY VALUE]...]
 * @argc, @argv: in any order. Words of the kernel's keys may be shortened, as
 *               in iproute2; all other keys are the management device's
 * @ret: a new object, written on success
 *
 * Return: 0; -EINVAL, -ERANGE with a text that says which word; -ENOMEM
 */
int devspec_from_words(int argc, char *const *argv, json_t **ret);

/**
 * devspec_from_text() - NAME [BUS/]MGMTDEV [KEY VALUE | KEY=VALUE]... [bind
 *                       DRIVER [KEY VALUE | KEY=VALUE]...]
 * @text: words; 'a b' or "a b" is one word
 * @ret: a new object, written on success
 *
 * Return: as devspec_from_words()
 */
int devspec_from_text(const char *text, json_t **ret);

/**
 * devspec_mgmtdev_from_text() - [BUS/]MGMTDEV [KEY VALUE | KEY=VALUE]...
 * @text: words, as above
 * @ret: a new object, for mgmtdev.set
 *
 * Return: as devspec_from_words()
 */
int devspec_mgmtdev_from_text(const char *text, json_t **ret);

/* The same of an argument vector, without the equals signs. */
int devspec_mgmtdev_from_words(int argc, char *const *argv, json_t **ret);

/**
 * devspec_take_param() - put one KEY VALUE into "params" of an object
 * @obj: made by one of the above, or for dev.bind
 *
 * Return: 0; -EINVAL given twice; -ENOMEM
 */
int devspec_take_param(json_t *obj, const char *key, const char *value);

/**
 * devspec_take_bind() - take what follows "bind" out of a device's words
 * @obj: made by one of the above; afterwards parameters of dev.add
 * @ret: parameters of dev.bind, for when the device is there; NULL: none
 *
 * Return: 0; -ENOMEM
 */
int devspec_take_bind(json_t *obj, json_t **ret);

/* Is @word a shortened @whole, as iproute2 takes it? "" is not. */
bool word_matches(const char *word, const char *whole);

#endif
