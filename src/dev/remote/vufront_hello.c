/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user front end: connecting, and what is agreed on first.
 *
 *   connect() --> hello() on its task --> hello_ended() --> ... lose() --+
 *      ^   \ no                 \ no                                     |
 *      +----+---- again, later --+---------------------------------------+
 *
 * What was told to clients once holds as long as the device does: a back end
 * that comes back with fewer features or queues, or a smaller config space, is
 * not the one that they know, and is not used.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "dev/remote/vufront_internal.h"

/* What we make use of. */
#define PROTOCOL                                              \
	(BIT_ULL(VHOST_USER_PROTOCOL_F_MQ) |                  \
	 BIT_ULL(VHOST_USER_PROTOCOL_F_REPLY_ACK) |           \
	 BIT_ULL(VHOST_USER_PROTOCOL_F_CONFIG) |              \
	 BIT_ULL(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |        \
	 BIT_ULL(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | \
	 BIT_ULL(VHOST_USER_PROTOCOL_F_STATUS))

/* ---- what the back end has; on the task ---- */

static int agree_on_protocol(struct vufront_dev *dev)
{
	struct vufront_facts *facts = &dev->facts;
	uint64_t offered, wanted = PROTOCOL;
	int r;

	if (!has_bit(facts->features, VHOST_USER_F_PROTOCOL_FEATURES)) {
		return 0;
	}
	r = vufront_get_u64(dev, VHOST_USER_GET_PROTOCOL_FEATURES, &offered);
	if (r < 0) {
		return r;
	}
	if (has_bit(offered, VHOST_USER_PROTOCOL_F_CONFIG)) {
		wanted |= BIT_ULL(VHOST_USER_PROTOCOL_F_BACKEND_REQ);
	}
	r = vufront_post_u64(dev, VHOST_USER_SET_PROTOCOL_FEATURES,
			     offered & wanted);
	facts->protocol = offered & wanted; /* from the next message on */
	return r;
}

static int ask_for_numbers(struct vufront_dev *dev)
{
	struct vufront_facts *facts = &dev->facts;
	uint64_t n;
	int r = 0;

	facts->n_queues = UINT64_MAX;
	facts->n_slots = VHOST_USER_REGIONS_MAX;
	if (vufront_has(dev, VHOST_USER_PROTOCOL_F_MQ)) {
		r = vufront_get_u64(dev, VHOST_USER_GET_QUEUE_NUM,
				    &facts->n_queues);
	}
	if (r < 0 ||
	    !vufront_has(dev, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
		return r;
	}
	r = vufront_get_u64(dev, VHOST_USER_GET_MAX_MEM_SLOTS, &n);
	if (r == 0 && n == 0) {
		return err(-EPROTO, "no region of memory is what it can have");
	}
	facts->n_slots = (uint32_t)min_of(n, (uint64_t)VHOST_USER_MEM_SLOTS);
	return r;
}

void vufront_config_request(const struct vufront_dev *dev,
			    struct vufront_config_request *ret)
{
	uint32_t size = dev->options.type->config_size;

	memset(ret, 0, sizeof(*ret));
	ret->config.size = size;
	ret->req = (struct vufront_request){
		.request = VHOST_USER_GET_CONFIG,
		.payload = &ret->config,
		.size = VHOST_USER_CONFIG_HEAD + size,
	};
}

int vufront_take_config(struct vufront_dev *dev, const struct vufront_answer *a,
			uint8_t *ret)
{
	const struct vhost_user_config *got = &a->payload.config;
	uint32_t size = dev->options.type->config_size;

	if (a->size != VHOST_USER_CONFIG_HEAD + size || got->offset != 0 ||
	    got->size != size) {
		dev->stats.n_bad++;
		return err(-EPROTO,
			   "of its config space %u bytes were asked for, and "
			   "%u answered",
			   size, a->size);
	}
	memcpy(ret, got->data, size);
	return 0;
}

static int look_at_config(struct vufront_dev *dev)
{
	const struct vufront_type *type = dev->options.type;
	struct vufront_config_request ask;
	struct vufront_answer a;
	int r;

	if (type->config_size == 0) {
		return 0;
	}
	if (!vufront_has(dev, VHOST_USER_PROTOCOL_F_CONFIG)) {
		return type->fill ? 0
				  : err(-EOPNOTSUPP,
					"a back end of type %s without a "
					"config space",
					type->name);
	}
	vufront_config_request(dev, &ask);
	r = vufront_ask(dev, &ask.req, &a);
	if (r == 0) {
		r = vufront_take_config(dev, &a, dev->facts.config);
	}
	if (r == 0) {
		dev->facts.config_size = type->config_size;
	}
	return r;
}

/* ---- what becomes of it ---- */

static uint16_t read_queues(const struct vufront_type *type,
			    const uint8_t *config)
{
	return (uint16_t)(config[type->queues_at] | config[type->queues_at + 1]
							    << 8);
}

/* How many the device has, if it is up to the back end. */
static int count_queues(const struct vufront_dev *dev, uint32_t *ret)
{
	const struct vufront_options *o = &dev->options;
	const struct vufront_facts *facts = &dev->facts;
	uint64_t n = o->type->n_queues;

	if (o->n_queues > 0) {
		n = o->n_queues;
	} else if (n == 0) {
		n = has_bit(facts->features, o->type->mq_bit) &&
				    facts->config_size > 0
			    ? read_queues(o->type, facts->config)
			    : 1;
		n = min_of(n, facts->n_queues);
		n = min_of(n, (uint64_t)VUFRONT_VQS_MAX);
	}
	/* Of networks it counts pairs. */
	if (o->type->id != VIRTIO_ID_NET && n > facts->n_queues) {
		return err(-ERANGE, "%llu queues, and the back end has %llu",
			   (unsigned long long)n,
			   (unsigned long long)facts->n_queues);
	}
	if (n == 0) {
		return err(-EPROTO, "the back end has no queues");
	}
	*ret = (uint32_t)n;
	return 0;
}

/* Into @config, features of it that are ours into @ret_own. Return: its size */
static uint32_t make_config(const struct vufront_dev *dev, uint32_t n_queues,
			    uint8_t *config, uint64_t *ret_own)
{
	const struct vufront_type *type = dev->options.type;
	const struct vufront_facts *facts = &dev->facts;

	memcpy(config, facts->config, VHOST_USER_CONFIG_MAX);
	*ret_own = type->fill ? type->fill(&dev->options, facts, config) : 0;
	if (type->queues_at > 0) {
		config[type->queues_at] = (uint8_t)n_queues;
		config[type->queues_at + 1] = (uint8_t)(n_queues >> 8);
	}
	return facts->config_size > 0 || type->fill ? type->config_size : 0;
}

bool vufront_use_config(struct vufront_dev *dev)
{
	uint8_t config[VHOST_USER_CONFIG_MAX];
	uint64_t own;

	(void)make_config(dev, dev->vdev.nvqs, config, &own);
	if (memcmp(dev->config, config, sizeof(config)) == 0) {
		return false;
	}
	memcpy(dev->config, config, sizeof(config));
	dev->generation++;
	return true;
}

static uint64_t choose_features(const struct vufront_dev *dev, uint64_t own)
{
	const struct vufront_options *o = &dev->options;
	uint64_t features = dev->facts.features & VUFRONT_FEATURES &
			    ~o->type->hidden;

	return (features | own | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM)) &
	       o->features;
}

static int get_known(struct vufront_dev *dev, uint32_t n_queues)
{
	uint64_t own;

	dev->config_size = make_config(dev, n_queues, dev->config, &own);
	dev->own_features = own | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	dev->features = choose_features(dev, own);
	dev->vdev.nvqs = n_queues;
	dev->is_known = true;
	return 0;
}

/* It is another life of the same device, or none. */
static int check_is_same(struct vufront_dev *dev, uint32_t n_queues)
{
	uint8_t config[VHOST_USER_CONFIG_MAX];
	uint64_t own, lacks;
	uint32_t size = make_config(dev, dev->vdev.nvqs, config, &own);

	lacks = dev->features & ~choose_features(dev, own);
	if (lacks != 0 || n_queues < dev->vdev.nvqs ||
	    size != dev->config_size) {
		return err(-ENODEV,
			   "another device: it lacks features 0x%llx, has %u "
			   "of %u queues and %u of %u bytes of config",
			   (unsigned long long)lacks, n_queues, dev->vdev.nvqs,
			   size, dev->config_size);
	}
	(void)vufront_use_config(dev); /* that it is new is told anyhow */
	return 0;
}

/* Return: 0; -EPROTO, -ENODEV, -EOPNOTSUPP, -ERANGE: it will not do;
 * -ECONNRESET: it is gone */
static int hello(struct vufront_dev *dev)
{
	struct vufront_facts *facts = &dev->facts;
	uint32_t n_queues = 0;
	int r = vufront_get_u64(dev, VHOST_USER_GET_FEATURES, &facts->features);

	if (r == 0 && !has_bit(facts->features, VIRTIO_F_VERSION_1)) {
		r = err(-EOPNOTSUPP, "a back end without VERSION_1");
	}
	if (r == 0) {
		r = agree_on_protocol(dev);
	}
	if (r == 0) {
		r = vufront_ask(dev,
				&(struct vufront_request){
					.request = VHOST_USER_SET_OWNER },
				NULL);
	}
	if (r == 0) {
		r = ask_for_numbers(dev);
	}
	if (r == 0 && vufront_has(dev, VHOST_USER_PROTOCOL_F_BACKEND_REQ)) {
		r = vufront_channel_open(dev);
	}
	if (r == 0) {
		r = look_at_config(dev);
	}
	if (r == 0) {
		r = count_queues(dev, &n_queues);
	}
	if (r < 0) {
		return r;
	}
	return dev->is_known ? check_is_same(dev, n_queues)
			     : get_known(dev, n_queues);
}

static void hello_on_task(void *priv)
{
	struct vufront_dev *dev = priv;

	memset(&dev->facts, 0, sizeof(dev->facts));
	dev->hello.ret = hello(dev);
	if (dev->hello.ret < 0 && dev->hello.ret != -ECONNRESET) {
		(void)snprintf(dev->hello.text, sizeof(dev->hello.text),
			       "%s: %s", dev->options.path,
			       err_text(dev->hello.ret));
	}
}

/* ---- connecting ---- */

static void try_later(struct vufront_dev *dev)
{
	struct vufront_hello *h = &dev->hello;

	if (!dev->is_ending) {
		(void)loop_timer_set(&h->again, h->retry_ns);
		h->retry_ns = min_of(h->retry_ns * 2 + VUFRONT_RETRY_NS,
				     VUFRONT_RETRY_NS_MAX);
	}
}

static void close_all(struct vufront_dev *dev)
{
	vufront_channel_close(dev);
	vufront_link_close(dev);
	vufront_mem_lost(dev);
}

/* Not on the task: it may be freed by what comes of it. */
static void hello_ended(struct vufront_dev *dev)
{
	struct vufront_hello *h = &dev->hello;

	if (h->ret < 0) {
		close_all(dev);
		try_later(dev);
		if (dev->is_known && log_allowed(&dev->limit)) {
			log_warn(dev->name, "ignoring the back end: %s",
				 h->text);
		}
	} else {
		dev->is_up = true;
		h->retry_ns = VUFRONT_RETRY_NS;
		dev->stats.n_sessions++;
		log_debug(dev->name, "connected to %s", dev->options.path);
		if (dev->channel.asks_again) {
			vufront_config_changed(dev);
		}
	}
	if (dev->waiter) {
		vdpa_wake(dev->waiter);
	}
	if (!dev->is_ending) {
		vufront_hello_ended(dev);
	}
}

static void go_on(void *priv)
{
	struct vufront_dev *dev = priv;

	if (dev->hello.is_waiting && task_resume(dev->hello.task)) {
		hello_ended(dev);
	}
}

void vufront_hello_wake(struct vufront_dev *dev)
{
	(void)loop_timer_set(&dev->hello.wake, 0);
}

bool vufront_is_saying_hello(const struct vufront_dev *dev)
{
	return dev->hello.is_waiting;
}

void vufront_connect(struct vufront_dev *dev)
{
	struct vufront_hello *h = &dev->hello;
	int fd = unix_connect(dev->options.path, SOCK_STREAM);

	h->ret = fd < 0 ? fd : vufront_link_open(dev, fd);
	if (h->ret < 0) {
		(void)snprintf(h->text, sizeof(h->text), "%s",
			       err_text(h->ret));
		try_later(dev);
		vufront_hello_ended(dev);
		return;
	}
	if (task_run(h->task, hello_on_task, dev)) {
		hello_ended(dev);
	}
}

static void connect_again(void *priv)
{
	vufront_connect(priv);
}

int vufront_hello_init(struct vufront_dev *dev)
{
	loop_timer_init(&dev->hello.wake, dev->control, go_on, dev);
	loop_timer_init(&dev->hello.again, dev->control, connect_again, dev);
	dev->hello.retry_ns = VUFRONT_RETRY_NS;
	return task_new(&dev->hello.task);
}

void vufront_hello_fini(struct vufront_dev *dev)
{
	bool has_ended = true;

	dev->is_ending = true;
	close_all(dev);
	if (dev->hello.is_waiting) {
		has_ended = task_resume(dev->hello.task);
	}
	assert(has_ended); /* nothing can be asked any more */
	loop_timer_cancel(&dev->hello.wake);
	loop_timer_cancel(&dev->hello.again);
	dev->hello.task = task_free(dev->hello.task);
}

/* ---- losing it ---- */

static void tell_client(struct vufront_dev *dev)
{
	dev->stats.n_lost++;
	dev->is_started = false;
	dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	dev->generation++;
	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		dev->vqs[i].is_running = false;
	}
	vufront_call_config(dev);
}

void vufront_lose(struct vufront_dev *dev, const char *why)
{
	if (dev->link.fd < 0) {
		return;
	}
	if (dev->is_started) {
		log_warn(dev->name,
			 "the back end at %s is lost: %s; the device needs a "
			 "reset",
			 dev->options.path, why);
	} else {
		log_debug(dev->name, "connection to %s: %s", dev->options.path,
			  why);
	}
	if (!dev->is_up) {
		/* The task hears of it, and all else follows. */
		(void)snprintf(dev->hello.text, sizeof(dev->hello.text),
			       "%s: %s", dev->options.path, why);
		vufront_channel_close(dev);
		vufront_link_close(dev);
		return;
	}
	dev->is_up = false;
	close_all(dev);
	if (dev->is_started) {
		tell_client(dev);
	}
	try_later(dev);
}

void vufront_renew(struct vufront_dev *dev)
{
	if (dev->is_up) {
		dev->hello.retry_ns = 0;
		vufront_lose(dev, "its client has gone");
	}
}

static void time_is_up(void *priv)
{
	struct vufront_dev *dev = priv;

	vdpa_wake(dev->waiter);
}

int vufront_await_link(struct vufront_dev *dev)
{
	uint64_t since_ns = loop_now_ns(dev->control);
	struct loop_timer timer;
	int r = 0;

	loop_timer_init(&timer, dev->control, time_is_up, dev);
	while (!dev->is_up && r == 0) {
		uint64_t waited_ns = loop_now_ns(dev->control) - since_ns;

		if (waited_ns >= VUFRONT_HELLO_NS) {
			r = err(-ETIMEDOUT, "%s: there is no back end at %s",
				dev->name, dev->options.path);
		} else if (!vdpa_can_wait(dev->waiter)) {
			r = err(-EINTR, "%s: its back end was not awaited",
				dev->name);
		} else {
			r = loop_timer_set(&timer,
					   VUFRONT_HELLO_NS - waited_ns);
		}
		if (r == 0) {
			r = vdpa_wait(dev->waiter);
		}
	}
	loop_timer_cancel(&timer);
	return r;
}
