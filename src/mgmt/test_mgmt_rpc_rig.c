/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rig of the tests of the JSON-RPC server.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <unistd.h>

#include "mgmt/test_mgmt_rpc_rig.h"

/* ---- a server ---- */

static void on_tick(void *priv)
{
}

static void on_event(void *priv, const char *dev, const char *what)
{
	struct fixture *fx = priv;
	size_t n = strlen(fx->events);

	(void)snprintf(fx->events + n, sizeof(fx->events) - n, "%s %s;", dev,
		       what);
}

static bool on_status(void *priv, json_t *obj)
{
	return json_object_set_new(obj, "extra", json_integer(7)) == 0;
}

static int listen_somewhere(struct fixture *fx)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fx->addr.sun_family = AF_UNIX;
	assert_true(fd >= 0);
	/* The kernel picks a name. */
	assert_int_equal(
		bind(fd, (struct sockaddr *)&fx->addr, sizeof(sa_family_t)), 0);
	fx->addr_len = sizeof(fx->addr);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&fx->addr,
				     &fx->addr_len),
			 0);
	assert_int_equal(listen(fd, 200), 0);
	return fd;
}

int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct sim_options sim_options = { .seed = 1 };
	struct instance_options options = { .n_workers = 1 };

	assert_non_null(fx);
	assert_int_equal(sim_new(&sim_options, &fx->sim), 0);
	assert_int_equal(sim_loop_new(fx->sim, "control", &fx->control), 0);
	loop_timer_init(&fx->tick, fx->control, on_tick, fx);
	options.control = fx->control;
	options.workers = &fx->control;
	assert_int_equal(instance_new(&options, &fx->kit), 0);
	fake_register(&fx->fake, instance_bus(fx->kit));
	fx->ctx.kit = fx->kit;
	fx->ctx.start_ns = loop_now_ns(fx->control);
	fx->ctx.host.status = on_status;
	fx->ctx.host.priv = fx;
	fx->ctx.events = (struct mgmt_events){ on_event, fx };
	assert_int_equal(rpc_new(&fx->ctx, listen_somewhere(fx), &fx->rpc), 0);
	*state = fx;
	return 0;
}

int tear_down(void **state)
{
	struct fixture *fx = *state;

	loop_timer_cancel(&fx->tick);
	rpc_free(fx->rpc);
	fake_unregister(&fx->fake);
	instance_free(fx->kit);
	loop_free(fx->control);
	sim_free(fx->sim);
	free(fx);
	return 0;
}

/* ---- a client ---- */

/* Time goes on to the next timer only; so there is one. */
void run(struct fixture *fx, uint64_t ns)
{
	assert_int_equal(loop_timer_set(&fx->tick, ns), 0);
	assert_int_equal(sim_run(fx->sim, ns, NULL, NULL), 0);
}

int dial(struct fixture *fx)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(
		connect(fd, (struct sockaddr *)&fx->addr, fx->addr_len), 0);
	return fd;
}

void say(int fd, const char *text, size_t len)
{
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

const char *hear(struct fixture *fx, int fd)
{
	size_t n = 0;

	for (;;) {
		ssize_t r = recv(fd, fx->line + n, 1, 0);

		if (r < 0 && errno == EAGAIN && n > 0) {
			run(fx, MS);
			continue;
		}
		if (r < 0 && errno == EAGAIN) {
			return "";
		}
		if (r <= 0) {
			return NULL;
		}
		if (fx->line[n++] == '\n') {
			fx->line[n] = '\0';
			return fx->line;
		}
	}
}

const char *ask(struct fixture *fx, int fd, const char *text)
{
	say(fd, text, strlen(text));
	run(fx, MS);
	return hear(fx, fd);
}

int error_code(const char *line)
{
	json_t *obj = json_loads(line ? line : "", 0, NULL);
	json_t *code = json_object_get(json_object_get(obj, "error"), "code");
	int ret = json_is_integer(code) ? (int)json_integer_value(code) : 0;

	json_decref(obj);
	return ret;
}

void check_alive(struct fixture *fx, int fd)
{
	assert_non_null(strstr(ask(fx, fd, REQ("driver.show")), "fakedrv"));
}
