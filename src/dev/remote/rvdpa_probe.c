/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_vdpa: opening a node, and what it says of itself. On the link's thread.
 *
 * Whoever is behind the node is not trusted: numbers that are out of bounds, or
 * do not go together, are refused here, once, and nobody asks for them again.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "dev/remote/rvdpa_internal.h"

#define BUSY_LOOK_MS 20

/* Those that we can make use of. */
#define KNOWN_BACKEND_FEATURES                                                \
	(BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2) |                              \
	 BIT_ULL(VHOST_BACKEND_F_IOTLB_BATCH) |                               \
	 BIT_ULL(VHOST_BACKEND_F_IOTLB_ASID) |                                \
	 BIT_ULL(VHOST_BACKEND_F_SUSPEND) | BIT_ULL(VHOST_BACKEND_F_RESUME) | \
	 BIT_ULL(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK) |                    \
	 BIT_ULL(VHOST_BACKEND_F_DESC_ASID) |                                 \
	 BIT_ULL(VHOST_BACKEND_F_IOTLB_PERSIST))

/* It is its last client's until that one's end has come through. */
static int open_node(struct rvdpa_link *link)
{
	const struct timespec pause = { .tv_nsec = BUSY_LOOK_MS * 1000000L };
	unsigned int waited_ms = 0;
	int fd = link->sys->open(link->path);

	while (fd == -EBUSY && waited_ms < RVDPA_BUSY_MS) {
		(void)nanosleep(&pause, NULL);
		waited_ms += BUSY_LOOK_MS;
		fd = link->sys->open(link->path);
	}
	if (fd == -EBUSY) {
		return err(-EBUSY, "%s: another client has it open",
			   link->path);
	}
	if (fd < 0) {
		return err(fd, "%s: %s", link->path, strerror(-fd));
	}
	link->fd = fd;
	return 0;
}

/* ---- numbers ---- */

static int get_u32(const struct rvdpa_link *link, unsigned long cmd,
		   uint32_t min, uint32_t max, uint32_t *ret)
{
	uint32_t value = 0;
	int r = rvdpa_ioctl(link, cmd, &value);

	if (r < 0) {
		return r;
	}
	if (value < min || value > max) {
		return err(-ERANGE, "%s says %u, allowed are %u to %u",
			   rvdpa_cmd_name(cmd), value, min, max);
	}
	*ret = value;
	return 0;
}

static int get_numbers(const struct rvdpa_link *link, struct rvdpa_facts *facts)
{
	int r = get_u32(link, VHOST_VDPA_GET_DEVICE_ID, 1, UINT32_MAX,
			&facts->device_id);

	if (r == -ENOTTY) {
		return err(r, "it is not a vhost-vdpa node");
	}
	if (r == 0) {
		r = get_u32(link, VHOST_VDPA_GET_VQS_COUNT, 1, RVDPA_VQS_MAX,
			    &facts->nvqs);
	}
	if (r == 0) {
		r = get_u32(link, VHOST_VDPA_GET_GROUP_NUM, 1, VDPA_GROUPS_MAX,
			    &facts->ngroups);
	}
	if (r == 0) {
		r = get_u32(link, VHOST_VDPA_GET_AS_NUM, 1, VDPA_AS_MAX,
			    &facts->nas);
	}
	if (r == 0) {
		r = get_u32(link, VHOST_VDPA_GET_CONFIG_SIZE, 0,
			    RVDPA_CONFIG_MAX, &facts->config_size);
	}
	return r;
}

static int get_num_max(const struct rvdpa_link *link, struct rvdpa_facts *facts)
{
	uint16_t num = 0;
	int r = rvdpa_ioctl(link, VHOST_VDPA_GET_VRING_NUM, &num);

	if (r == 0 && (num == 0 || num > RVDPA_NUM_MAX)) {
		r = err(-ERANGE, "it says rings of %u, allowed are 1 to %u",
			num, RVDPA_NUM_MAX);
	}
	facts->num_max = num;
	return r;
}

static int get_range(const struct rvdpa_link *link, struct rvdpa_facts *facts)
{
	struct vhost_vdpa_iova_range range = { 0 };
	int r = rvdpa_ioctl(link, VHOST_VDPA_GET_IOVA_RANGE, &range);

	if (r == 0 && range.first >= range.last) {
		r = err(-ERANGE, "it says an IOVA range of 0x%llx to 0x%llx",
			(unsigned long long)range.first,
			(unsigned long long)range.last);
	}
	facts->range = (struct vdpa_iova_range){ range.first, range.last };
	return r;
}

/* ---- features ---- */

static int agree_on_backend(const struct rvdpa_link *link,
			    struct rvdpa_facts *facts)
{
	uint64_t features = 0;
	int r = rvdpa_ioctl(link, VHOST_GET_BACKEND_FEATURES, &features);

	if (r < 0) {
		return r;
	}
	features &= KNOWN_BACKEND_FEATURES;
	if (!has_bit(features, VHOST_BACKEND_F_IOTLB_MSG_V2)) {
		return err(-EOPNOTSUPP, "it has no IOTLB messages of version "
					"2: Linux 5.9 or later has");
	}
	if (!has_bit(features, VHOST_BACKEND_F_IOTLB_ASID)) {
		features &= ~BIT_ULL(VHOST_BACKEND_F_DESC_ASID);
	}
	facts->backend_features = features;
	return rvdpa_ioctl(link, VHOST_SET_BACKEND_FEATURES, &features);
}

/* Address spaces that cannot be named are none. */
static int check_spaces(const struct rvdpa_facts *facts)
{
	if (facts->nas > 1 &&
	    !has_bit(facts->backend_features, VHOST_BACKEND_F_IOTLB_ASID)) {
		return err(-EPROTO,
			   "it has %u address spaces, and messages "
			   "that name none",
			   facts->nas);
	}
	return 0;
}

/* ---- queues ---- */

/* Return: 0; 1: it does not say; -errno */
static int get_group(const struct rvdpa_link *link, unsigned long cmd,
		     uint32_t idx, uint8_t *ret_group)
{
	struct vhost_vring_state s = { .index = idx };
	int r = rvdpa_ioctl(link, cmd, &s);

	if (r == -EOPNOTSUPP || r == -ENOTTY) {
		return 1;
	}
	if (r < 0) {
		return r;
	}
	if (s.num >= link->facts.ngroups) {
		return err(-ERANGE, "queue %u is said to be in group %u of %u",
			   idx, s.num, link->facts.ngroups);
	}
	*ret_group = (uint8_t)s.num;
	return 0;
}

static int get_groups(const struct rvdpa_link *link, unsigned long cmd,
		      uint8_t *groups, bool *ret_has_them)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < link->facts.nvqs; i++) {
		r = get_group(link, cmd, i, &groups[i]);
	}
	*ret_has_them = r == 0;
	return r < 0 ? r : 0;
}

static int get_queues(const struct rvdpa_link *link, struct rvdpa_facts *facts)
{
	struct vhost_vring_state size = { 0 };
	bool has_desc_groups;
	int r;

	facts->group = calloc(facts->nvqs, 1);
	facts->desc_group = calloc(facts->nvqs, 1);
	if (!facts->group || !facts->desc_group) {
		return err(-ENOMEM, "out of memory");
	}
	facts->has_sizes =
		rvdpa_ioctl(link, VHOST_VDPA_GET_VRING_SIZE, &size) == 0;
	r = get_groups(link, VHOST_VDPA_GET_VRING_GROUP, facts->group,
		       &facts->has_groups);
	if (r < 0 ||
	    !has_bit(facts->backend_features, VHOST_BACKEND_F_DESC_ASID)) {
		return r;
	}
	r = get_groups(link, VHOST_VDPA_GET_VRING_DESC_GROUP, facts->desc_group,
		       &has_desc_groups);
	if (r == 0 && !has_desc_groups) {
		r = err(-EPROTO, "it offers groups of rings, and has none");
	}
	return r;
}

/* ---- config space ---- */

static int get_config(const struct rvdpa_link *link, struct rvdpa_facts *facts)
{
	_cleanup_free_ struct vhost_vdpa_config *config =
		calloc(1, sizeof(*config) + facts->config_size);
	int r = 0;

	facts->config = calloc(1, facts->config_size + 1U);
	if (!config || !facts->config) {
		return err(-ENOMEM, "out of memory");
	}
	config->len = facts->config_size;
	if (config->len > 0) {
		r = rvdpa_ioctl(link, VHOST_VDPA_GET_CONFIG, config);
	}
	memcpy(facts->config, config->buf, facts->config_size);
	return r;
}

static int ask(struct rvdpa_link *link)
{
	struct rvdpa_facts *facts = &link->facts;
	int fd = link->config_fd;
	int r = get_numbers(link, facts);

	if (r == 0) {
		r = get_num_max(link, facts);
	}
	if (r == 0) {
		r = get_range(link, facts);
	}
	if (r == 0) {
		r = rvdpa_ioctl(link, VHOST_GET_FEATURES, &facts->features);
	}
	if (r == 0) {
		r = agree_on_backend(link, facts);
	}
	if (r == 0) {
		r = check_spaces(facts);
	}
	if (r == 0) {
		r = rvdpa_ioctl(link, VHOST_SET_OWNER, NULL);
	}
	if (r == 0) {
		r = get_queues(link, facts);
	}
	if (r == 0) {
		r = get_config(link, facts);
	}
	return r < 0 ? r : rvdpa_ioctl(link, VHOST_VDPA_SET_CONFIG_CALL, &fd);
}

int rvdpa_probe(struct rvdpa_link *link)
{
	int r = open_node(link);

	return r < 0 ? r : err_context(ask(link), "%s", link->path);
}

void rvdpa_facts_fini(struct rvdpa_facts *facts)
{
	free(facts->config);
	free(facts->group);
	free(facts->desc_group);
}
