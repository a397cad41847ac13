/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results as iproute2's vdpa prints them: JSON, pretty JSON, and text.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

#include "base/util.h"

/* As json_writer of iproute2 does, with a newline at the end. */
void output_json(FILE *f, const json_t *value, bool is_pretty);

/* Text forms of {"KEY":{NAME:{...}}}; each takes the inner object. */
void output_mgmtdevs(FILE *f, json_t *list);
void output_devs(FILE *f, json_t *list);
void output_configs(FILE *f, json_t *list);
void output_vstats(FILE *f, json_t *list);
void output_drivers(FILE *f, json_t *list);
/* "key value", one a line. */
void output_status(FILE *f, json_t *obj);

#endif
