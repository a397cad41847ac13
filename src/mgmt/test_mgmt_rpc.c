/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the JSON-RPC server, on simulated loops: time-outs take no time.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "lib/test.h"
#include "mgmt/rpc.h"
#include "mgmt/test_fake.h"

#define MS     1000000ULL
#define SECOND (1000 * MS)
#define REQ(m) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" m "\"}\n"
#define CALL(m, p)                                                          \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" m "\",\"params\":{" p \
	"}}\n"
#define OK(r) "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":" r "}\n"

struct fixture {
	struct sim *sim;
	struct loop *control;
	struct loop_timer tick;
	struct vdpakit *kit;
	struct fake fake;
	struct rpc_ctx ctx;
	struct rpc *rpc;
	struct sockaddr_un addr;
	socklen_t addr_len;
	unsigned int n_shutdowns;
	char events[512];
	char line[6 << 20];
};

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

static void on_shutdown(void *priv)
{
	((struct fixture *)priv)->n_shutdowns++;
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

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct sim_options sim_options = { .seed = 1 };
	struct vdpakit_options options = { .n_workers = 1 };

	assert_non_null(fx);
	assert_int_equal(sim_new(&sim_options, &fx->sim), 0);
	assert_int_equal(sim_loop_new(fx->sim, "control", &fx->control), 0);
	loop_timer_init(&fx->tick, fx->control, on_tick, fx);
	options.control = fx->control;
	options.workers = &fx->control;
	assert_int_equal(vdpakit_new(&options, &fx->kit), 0);
	fake_register(&fx->fake, vdpakit_bus(fx->kit));
	fx->ctx.kit = fx->kit;
	fx->ctx.start_ns = loop_now_ns(fx->control);
	fx->ctx.host.status = on_status;
	fx->ctx.host.priv = fx;
	fx->ctx.events = (struct mgmt_events){ on_event, fx };
	assert_int_equal(rpc_new(&fx->ctx, listen_somewhere(fx), &fx->rpc), 0);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	loop_timer_cancel(&fx->tick);
	rpc_free(fx->rpc);
	fake_unregister(&fx->fake);
	vdpakit_free(fx->kit);
	loop_free(fx->control);
	sim_free(fx->sim);
	free(fx);
	return 0;
}

/* ---- a client ---- */

/* Time goes on to the next timer only; so there is one. */
static void run(struct fixture *fx, uint64_t ns)
{
	assert_int_equal(loop_timer_set(&fx->tick, ns), 0);
	assert_int_equal(sim_run(fx->sim, ns, NULL, NULL), 0);
}

static int dial(struct fixture *fx)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(
		connect(fd, (struct sockaddr *)&fx->addr, fx->addr_len), 0);
	return fd;
}

static void say(int fd, const char *text, size_t len)
{
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* One line of the answer, "" while there is none, NULL at the end. */
static const char *hear(struct fixture *fx, int fd)
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

static const char *ask(struct fixture *fx, int fd, const char *text)
{
	say(fd, text, strlen(text));
	run(fx, MS);
	return hear(fx, fd);
}

static int error_code(const char *line)
{
	json_t *obj = json_loads(line ? line : "", 0, NULL);
	json_t *code = json_object_get(json_object_get(obj, "error"), "code");
	int ret = json_is_integer(code) ? (int)json_integer_value(code) : 0;

	json_decref(obj);
	return ret;
}

static void check_alive(struct fixture *fx, int fd)
{
	assert_non_null(strstr(ask(fx, fd, REQ("driver.show")), "fakedrv"));
}

static unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d)) {
		n++;
	}
	closedir(d);
	return n;
}

/* ---- methods ---- */

static void test_methods_answer_in_iproute2s_shapes(void **state)
{
	static const struct {
		const char *ask;
		const char *want;
	} cases[] = {
		{ CALL("mgmtdev.show", "\"mgmtdev\":\"pci/fakeblk\""),
		  OK("{\"mgmtdev\":{\"pci/fakeblk\":{\"supported_classes\":["
		     "\"block\"],\"max_supported_vqs\":0,\"dev_features\":["
		     "1,2,6,9,10,12,13,14,27,\"VERSION_1\","
		     "\"ACCESS_PLATFORM\"],\"keys\":{\"size\":{\"value\":"
		     "\"SIZE\",\"help\":\"bytes of the disk\"},\"file\":{"
		     "\"value\":\"PATH\",\"help\":\"where its data are\"}}}"
		     "}}") },
		{ CALL("dev.add", "\"name\":\"n0\",\"mgmtdev\":\"fakenet\","
				  "\"mac\":\"52:54:00:00:00:09\""),
		  OK("{}") },
		{ CALL("dev.bind", "\"name\":\"n0\",\"driver\":\"fakedrv\""),
		  OK("{}") },
		{ CALL("dev.show", "\"name\":\"n0\""),
		  OK("{\"dev\":{\"n0\":{\"type\":\"network\",\"mgmtdev\":"
		     "\"fakenet\",\"vendor_id\":0,\"max_vqs\":3,"
		     "\"max_vq_size\":256,\"driver\":\"fakedrv\",\"path\":"
		     "\"/dev/fake-n0\",\"status\":0}}}") },
		{ CALL("dev.config.show", "\"name\":\"n0\""),
		  OK("{\"config\":{\"n0\":{\"mac\":\"52:54:00:00:00:09\","
		     "\"link \":\"up\",\"link_announce \":false,"
		     "\"mtu\":1500}}}") },
		{ CALL("dev.set", "\"name\":\"n0\",\"mac\":"
				  "\"52:54:00:00:00:0a\""),
		  OK("{}") },
		{ CALL("dev.unbind", "\"name\":\"n0\""), OK("{}") },
		{ CALL("dev.show", ""),
		  OK("{\"dev\":{\"n0\":{\"type\":\"network\",\"mgmtdev\":"
		     "\"fakenet\",\"vendor_id\":0,\"max_vqs\":3,"
		     "\"max_vq_size\":256,\"status\":0}}}") },
		{ CALL("dev.del", "\"name\":\"n0\""), OK("{}") },
		{ REQ("dev.show"), OK("{\"dev\":{}}") },
		{ REQ("dev.config.show"), OK("{\"config\":{}}") },
	};
	struct fixture *fx = *state;
	int fd = dial(fx);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(ask(fx, fd, cases[i].ask), cases[i].want);
	}
	assert_string_equal(fx->events,
			    "n0 added by fakenet;n0 bound to fakedrv;"
			    "n0 its address was set;n0 unbound;n0 deleted;");
	close(fd);
}

static void test_vstats_show_needs_negotiated_features(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);

	(void)ask(fx, fd,
		  CALL("dev.add", "\"name\":\"n0\",\"mgmtdev\":\"fakenet\""));
	assert_int_equal(error_code(ask(fx, fd,
					CALL("dev.vstats.show",
					     "\"name\":\"n0\",\"qidx\":0"))),
			 EAGAIN);
	fake_find(&fx->fake, "n0")->status = 0xb;
	assert_string_equal(
		ask(fx, fd,
		    CALL("dev.vstats.show", "\"name\":\"n0\",\"qidx\":1")),
		OK("{\"vstats\":{\"n0\":{\"queue_type\":\"tx\","
		   "\"tx packets\":7,\"tx bytes\":700}}}"));
	close(fd);
}

static void test_dev_add_passes_keys_on(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);

	assert_string_equal(ask(fx, fd,
				CALL("dev.add",
				     "\"name\":\"b0\",\"mgmtdev\":"
				     "\"pci/fakeblk\",\"params\":{\"size\":"
				     "\"64M\",\"file\":\"/a b\"}")),
			    OK("{}"));
	assert_int_equal(fx->fake.seen.n_params, 2);
	assert_string_equal(fx->fake.seen.params[0].key, "size");
	assert_string_equal(fx->fake.seen.params[0].value, "64M");
	assert_string_equal(fx->fake.seen.params[1].value, "/a b");
	assert_int_equal(fx->fake.seen.mask, 0);
	assert_string_equal(
		ask(fx, fd,
		    CALL("dev.add",
			 "\"name\":\"n1\",\"mgmtdev\":\"fakenet\",\"mtu\":"
			 "9000,\"max_vqp\":1,\"device_features\":\"28\"")),
		OK("{}"));
	assert_int_equal(fx->fake.seen.mask,
			 BIT_ULL(12) | BIT_ULL(13) | BIT_ULL(20));
	assert_int_equal(fx->fake.seen.device_features, 0x28);
	assert_int_equal(fx->fake.seen.mtu, 9000);
	assert_int_equal(
		error_code(ask(fx, fd,
			       CALL("dev.bind",
				    "\"name\":\"n1\",\"driver\":\"fakedrv\","
				    "\"params\":{\"x\":\"y\"}"))),
		EINVAL);
	close(fd);
}

static void test_errors_are_errno_with_text(void **state)
{
	static const struct {
		const char *ask;
		int code;
		const char *text;
	} cases[] = {
		{ CALL("dev.add", "\"name\":\"n0\",\"mgmtdev\":\"fakenet\""),
		  EEXIST, "there is a device n0 already" },
		{ CALL("dev.add", "\"name\":\"n1\",\"mgmtdev\":\"none\""),
		  ENODEV, "Fail to find the specified management device" },
		{ CALL("dev.add", "\"name\":\"n1\",\"mgmtdev\":\"fakenet\","
				  "\"mtu\":67"),
		  ERANGE, "integer out of range" },
		{ CALL("dev.add", "\"name\":\"n1\",\"mgmtdev\":\"fakenet\","
				  "\"max_vqp\":0"),
		  EINVAL, "At least one pair of VQs is required" },
		{ CALL("dev.add", "\"name\":\"n1\",\"mgmtdev\":\"fakenet\","
				  "\"mac\":\"52:54:00:00:00:09\","
				  "\"device_features\":\"0x8\""),
		  EINVAL, "Missing features 0x20 for provided attributes" },
		{ CALL("dev.add", "\"name\":\"b1\",\"mgmtdev\":"
				  "\"pci/fakeblk\",\"params\":{\"x\":\"1\"}"),
		  EOPNOTSUPP, "fakeblk takes no 'x'" },
		{ CALL("dev.add", "\"name\":\"b1\",\"mgmtdev\":\"a/b/c\""),
		  EINVAL, "not like MGMTDEV or BUS/MGMTDEV" },
		{ CALL("dev.del", "\"name\":\"none\""), ENODEV, "device" },
		{ CALL("dev.show", "\"name\":\"none\""), ENODEV,
		  "device not found" },
		{ CALL("dev.set", "\"name\":\"n0\",\"mac\":"
				  "\"01:00:00:00:00:00\""),
		  EOPNOTSUPP, "Invalid MAC address" },
		{ CALL("dev.bind", "\"name\":\"n0\",\"driver\":\"none\""),
		  ENODEV, "none" },
		{ REQ("shutdown"), EPERM, "stopped by whoever started it" },
	};
	struct fixture *fx = *state;
	int fd = dial(fx);

	(void)ask(fx, fd,
		  CALL("dev.add", "\"name\":\"n0\",\"mgmtdev\":\"fakenet\""));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *line = ask(fx, fd, cases[i].ask);

		assert_int_equal(error_code(line), cases[i].code);
		assert_non_null(strstr(line, cases[i].text));
	}
	assert_int_equal(fx->fake.n_devs, 1);
	close(fd);
}

static void test_bad_params_are_refused_by_name(void **state)
{
	static const struct {
		const char *ask;
		const char *text;
	} cases[] = {
		{ CALL("dev.add", "\"mgmtdev\":\"fakenet\""),
		  "parameter 'name' is missing" },
		{ CALL("dev.add", "\"name\":7,\"mgmtdev\":\"fakenet\""),
		  "name: not a string" },
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"colour\":1"),
		  "no parameter 'colour'" },
		/* H60 */
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"mtu\":65536"),
		  "mtu: 65536 is not in 0..65535" },
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"mtu\":-1"),
		  "mtu: -1 is not in" },
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"mtu\":1.5"),
		  "mtu: not a integer" },
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"mac\":\"zz\""),
		  "mac: 'zz'" },
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"device_features\":\"xyz\""),
		  "device_features: 'xyz'" },
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"params\":{\"a\":1}"),
		  "params.a: not a string" },
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"params\":[]"),
		  "params: not a" },
		{ CALL("dev.add", "\"name\":\"x\",\"mgmtdev\":\"fakenet\","
				  "\"params\":{\"0\":\"\",\"1\":\"\","
				  "\"2\":\"\",\"3\":\"\",\"4\":\"\","
				  "\"5\":\"\",\"6\":\"\",\"7\":\"\","
				  "\"8\":\"\",\"9\":\"\",\"a\":\"\","
				  "\"b\":\"\",\"c\":\"\",\"d\":\"\","
				  "\"e\":\"\",\"f\":\"\",\"g\":\"\"}"),
		  "params: 17 keys, limit 16" },
		{ CALL("dev.add",
		       "\"name\":\"x\",\"mgmtdev\":\"fakenet\",\"params\":{"
		       "\"01234567890123456789012345678901\":\"\"}"),
		  "params: a key is too long" },
		{ CALL("dev.add",
		       "\"name\":\"0123456789012345678901234567890123456789"
		       "012345678901234567890123\",\"mgmtdev\":\"fakenet\""),
		  "name: longer than 63 bytes" },
		{ CALL("dev.vstats.show", "\"name\":\"x\",\"qidx\":4294967296"),
		  "qidx: 4294967296 is not in" },
		{ CALL("driver.show", "\"x\":1"), "no parameter 'x'" },
	};
	struct fixture *fx = *state;
	int fd = dial(fx);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *line = ask(fx, fd, cases[i].ask);

		assert_int_equal(error_code(line), RPC_E_PARAMS);
		assert_non_null(strstr(line, cases[i].text));
	}
	assert_int_equal(fx->fake.n_devs, 0);
	check_alive(fx, fd);
	close(fd);
}

static void test_describe_lists_every_method(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);
	json_t *obj = json_loads(ask(fx, fd, REQ("rpc.describe")), 0, NULL);
	json_t *methods =
		json_object_get(json_object_get(obj, "result"), "methods");
	json_t *name;

	assert_int_equal(json_object_size(methods), 13);
	name = json_object_get(
		json_object_get(json_object_get(methods, "dev.add"), "params"),
		"name");
	assert_true(json_is_true(json_object_get(name, "required")));
	assert_int_equal(json_integer_value(json_object_get(name, "max")), 63);
	json_decref(obj);
	close(fd);
}

static void test_status_has_what_the_host_adds(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);
	json_t *obj, *status;

	run(fx, 3 * SECOND);
	obj = json_loads(ask(fx, fd, REQ("status")), 0, NULL);
	status = json_object_get(json_object_get(obj, "result"), "status");
	assert_string_equal(
		json_string_value(json_object_get(status, "version")),
		VDPAKIT_VERSION);
	assert_string_equal(json_string_value(json_object_get(status, "loop")),
			    "simulated");
	assert_int_equal(json_integer_value(json_object_get(status, "pid")),
			 getpid());
	assert_int_equal(json_integer_value(json_object_get(status, "extra")),
			 7);
	json_decref(obj);
	close(fd);
}

static void test_shutdown_is_the_hosts(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);

	fx->ctx.host.shutdown = on_shutdown;
	assert_string_equal(ask(fx, fd, REQ("shutdown")), OK("{}"));
	assert_int_equal(fx->n_shutdowns, 1);
	close(fd);
}

/* ---- calls that wait ---- */

static void test_dev_del_answers_when_closed(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx), other = dial(fx);

	(void)ask(fx, fd,
		  CALL("dev.add", "\"name\":\"n0\",\"mgmtdev\":\"fakenet\""));
	(void)ask(fx, fd,
		  CALL("dev.bind", "\"name\":\"n0\",\"driver\":\"fakedrv\""));
	fx->fake.is_busy = true;
	assert_string_equal(ask(fx, fd, CALL("dev.del", "\"name\":\"n0\"")),
			    "");
	/* Neither this connection nor another one has to wait. */
	check_alive(fx, fd);
	check_alive(fx, other);
	run(fx, 100 * SECOND);
	assert_string_equal(hear(fx, fd), "");
	assert_int_equal(
		error_code(ask(fx, other, CALL("dev.del", "\"name\":\"n0\""))),
		EBUSY);
	fake_release(&fx->fake);
	run(fx, MS);
	assert_string_equal(hear(fx, fd), OK("{}"));
	close(fd);
	close(other);
}

static void test_dev_del_goes_on_without_its_peer(void **state)
{
	struct fixture *fx = *state;
	struct rpc_stats stats;
	int fd = dial(fx);

	(void)ask(fx, fd,
		  CALL("dev.add", "\"name\":\"n0\",\"mgmtdev\":\"fakenet\""));
	(void)ask(fx, fd,
		  CALL("dev.bind", "\"name\":\"n0\",\"driver\":\"fakedrv\""));
	fx->fake.is_busy = true;
	(void)ask(fx, fd, CALL("dev.del", "\"name\":\"n0\""));
	close(fd);
	run(fx, SECOND);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, 0);
	fx->rpc = rpc_free(fx->rpc);
	fake_release(&fx->fake);
	assert_int_equal(fx->fake.n_devs, 0);
}

static void test_half_closed_peer_gets_its_answer(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);

	say(fd, REQ("driver.show"), strlen(REQ("driver.show")));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	run(fx, MS);
	assert_non_null(strstr(hear(fx, fd), "fakedrv"));
	assert_null(hear(fx, fd));
	close(fd);
}

/* ---- hostile peers ---- */

static void test_lines_that_are_no_requests_are_answered(void **state)
{
	static const struct {
		const char *line;
		int code;
	} cases[] = {
		{ "nonsense\n", RPC_E_PARSE },
		{ "{\n", RPC_E_PARSE },
		{ "{} {}\n", RPC_E_PARSE },
		{ "{\"a\":1,\"a\":2}\n", RPC_E_PARSE },
		{ "{\"id\":123456789012345678901234567890}\n", RPC_E_PARSE },
		{ "{\"id\":1e999}\n", RPC_E_PARSE },
		{ "{\"id\":\"\xff\xfe\"}\n", RPC_E_PARSE },
		{ "{\"id\":\"\xed\xa0\x80\"}\n", RPC_E_PARSE },
		{ "{\"\\u0000\":1}\n", RPC_E_PARSE },
		{ "[]\n", RPC_E_REQUEST },
		{ "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}]\n",
		  RPC_E_REQUEST },
		{ "{}\n", RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"status\"}\n",
		  RPC_E_REQUEST },
		{ "{\"jsonrpc\":2,\"id\":1,\"method\":\"status\"}\n",
		  RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1}\n", RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}\n",
		  RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"status\"}\n",
		  RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"none\"}\n",
		  RPC_E_METHOD },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\","
		  "\"params\":[]}\n",
		  RPC_E_PARAMS },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\","
		  "\"params\":null}\n",
		  RPC_E_PARAMS },
	};
	struct fixture *fx = *state;
	struct rpc_stats stats;
	int fd = dial(fx);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(error_code(ask(fx, fd, cases[i].line)),
				 cases[i].code);
	}
	say(fd, "\0\0\n", 3);
	run(fx, MS);
	assert_int_equal(error_code(hear(fx, fd)), RPC_E_PARSE);
	/* Empty lines are nothing. */
	assert_string_equal(ask(fx, fd, "\n\r\n\n"), "");
	check_alive(fx, fd);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_bad, ARRAY_SIZE(cases));
	assert_int_equal(stats.n_errors, ARRAY_SIZE(cases) + 1);
	close(fd);
}

static void test_ids_come_back_and_notifications_do_not(void **state)
{
	struct fixture *fx = *state;
	char line[400], id[200];
	int fd = dial(fx);

	assert_string_equal(
		ask(fx, fd,
		    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":"
		    "\"dev.show\"}\n"),
		"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"dev\":{}}}"
		"\n");
	assert_string_equal(
		ask(fx, fd,
		    "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":"
		    "\"dev.show\"}\n"),
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{\"dev\":{}}}"
		"\n");
	assert_string_equal(
		ask(fx, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"dev.show\"}\n"),
		"");
	assert_string_equal(
		ask(fx, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"none\"}\n"), "");
	memset(id, 'x', sizeof(id));
	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"id\":\"%.*s\",\"method\":"
		       "\"dev.show\"}\n",
		       RPC_ID_MAX + 1, id);
	assert_int_equal(error_code(ask(fx, fd, line)), RPC_E_REQUEST);
	check_alive(fx, fd);
	close(fd);
}

static void test_deep_nesting_is_refused(void **state)
{
	struct fixture *fx = *state;
	char line[3000];
	int fd = dial(fx);

	memset(line, '[', sizeof(line));
	line[RPC_DEPTH_MAX + 1] = '\n';
	line[RPC_DEPTH_MAX + 2] = '\0';
	assert_non_null(strstr(ask(fx, fd, line), "nested too deeply"));
	memset(line, '{', sizeof(line));
	line[sizeof(line) - 2] = '\n';
	line[sizeof(line) - 1] = '\0';
	assert_non_null(strstr(ask(fx, fd, line), "nested too deeply"));
	/* Brackets in strings are no nesting. */
	assert_int_equal(
		error_code(ask(fx, fd,
			       "{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
			       "[[[[[[[[[[[[[[[[[[[[\"}\n")),
		RPC_E_REQUEST);
	check_alive(fx, fd);
	close(fd);
}

/* H62: descriptors beside a request go nowhere. */
static void test_passed_fds_h62_are_not_kept(void **state)
{
	static char text[] = REQ("dev.show");
	struct fixture *fx = *state;
	unsigned int before;
	int fd = dial(fx);

	check_alive(fx, fd);
	before = count_fds();
	for (unsigned int n = 1; n <= FD_PASS_MAX; n++) {
		struct iovec iov = { text, sizeof(text) - 1 };
		struct fd_msg msg = { .iov = &iov, .n_iov = 1, .n_fds = n };

		for (unsigned int i = 0; i < n; i++) {
			msg.fds[i] = fd;
		}
		assert_int_equal(fd_send(fd, &msg, 0), iov.iov_len);
		run(fx, MS);
		assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	}
	assert_int_equal(count_fds(), before);
	close(fd);
}

/* H63: one byte at a time, and several lines in one write. */
static void test_split_writes_h63_make_no_difference(void **state)
{
	static const char text[] = REQ("driver.show") REQ("dev.show")
		REQ("dev.show");
	struct fixture *fx = *state;
	int fd = dial(fx);

	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		say(fd, text + i, 1);
		run(fx, MS);
	}
	assert_non_null(strstr(hear(fx, fd), "fakedrv"));
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	(void)ask(fx, fd, text);
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	assert_string_equal(hear(fx, fd), "");
	close(fd);
}

/* H63: the longest line, and one more byte. */
static void test_line_limit_h63_is_a_mebibyte(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx), bystander = dial(fx);
	char *line = malloc(RPC_LINE_MAX + 2);
	size_t sent = 0;

	assert_non_null(line);
	memset(line, ' ', RPC_LINE_MAX + 1);
	memcpy(line, REQ("dev.show"), strlen(REQ("dev.show")) - 1);
	line[RPC_LINE_MAX] = '\n';
	while (sent < RPC_LINE_MAX + 1) {
		ssize_t n = send(fd, line + sent, RPC_LINE_MAX + 1 - sent,
				 MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		run(fx, MS);
	}
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));

	memset(line, ' ', RPC_LINE_MAX + 1);
	for (sent = 0; sent <= RPC_LINE_MAX;) {
		ssize_t n =
			send(fd, line, RPC_LINE_MAX + 1 - sent, MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		run(fx, MS);
	}
	assert_non_null(strstr(hear(fx, fd), "the line is too long"));
	assert_null(hear(fx, fd));
	check_alive(fx, bystander);
	free(line);
	close(fd);
	close(bystander);
}

/* H70: half a request, for ever. */
static void test_half_request_h70_is_cut_in_time(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx), idle = dial(fx);

	assert_string_equal(ask(fx, fd, "{\"jsonrpc\""), "");
	run(fx, RPC_LINE_TIMEOUT_NS - SECOND);
	assert_string_equal(ask(fx, fd, ":"), "");
	run(fx, SECOND);
	assert_non_null(strstr(hear(fx, fd), "not finished in time"));
	assert_null(hear(fx, fd));
	/* Whoever says nothing at all is left alone. */
	run(fx, 1000 * SECOND);
	check_alive(fx, idle);
	close(fd);
	close(idle);
}

/* A line that is finished gives the next one its whole time. */
static void test_progress_sets_the_deadline_anew(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);

	(void)ask(fx, fd, "{\"jsonrpc\"");
	for (int i = 0; i < 5; i++) {
		run(fx, RPC_LINE_TIMEOUT_NS - SECOND);
		assert_string_equal(
			ask(fx, fd,
			    ":\"2.0\",\"id\":1,\"method\":\"dev.show\"}\n"
			    "{\"jsonrpc\""),
			OK("{\"dev\":{}}"));
	}
	close(fd);
}

static void add_many_devs(struct fixture *fx)
{
	struct vdpa_dev_config config = { 0 };
	char name[VDPA_NAME_MAX];

	for (unsigned int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "dev%u", i);
		assert_int_equal(vdpa_dev_add(vdpakit_bus(fx->kit), NULL,
					      "fakenet", name, &config),
				 0);
	}
}

/* A peer that asks and does not read: first we stop reading, then we cut. */
static void test_slow_reader_is_held_then_cut(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx), bystander = dial(fx);
	struct rpc_stats stats;
	unsigned int n_sent = 0;

	add_many_devs(fx);
	for (unsigned int i = 0; i < 100000; i++) {
		if (send(fd, REQ("dev.show"), strlen(REQ("dev.show")),
			 MSG_NOSIGNAL) < 0) {
			break;
		}
		n_sent++;
		if (i % 1000 == 0) {
			run(fx, MS);
		}
	}
	run(fx, SECOND);
	rpc_get_stats(fx->rpc, &stats);
	assert_in_range(n_sent, 100, 99999);
	assert_in_range(stats.n_requests, 1, 100);
	check_alive(fx, bystander);
	run(fx, RPC_LINE_TIMEOUT_NS);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, 1);
	assert_int_equal(stats.n_cut, 1);
	check_alive(fx, bystander);
	close(fd);
	close(bystander);
}

/* One that reads slowly, but reads, gets everything. */
static void test_slow_but_steady_reader_gets_all(void **state)
{
	struct fixture *fx = *state;
	unsigned int n = 0;
	int fd = dial(fx);

	add_many_devs(fx);
	for (int i = 0; i < 20; i++) {
		say(fd, REQ("dev.show"), strlen(REQ("dev.show")));
	}
	for (int i = 0; i < 20; i++) {
		const char *line;

		run(fx, 20 * SECOND);
		line = hear(fx, fd);
		n += line && strstr(line, "dev999") != NULL;
	}
	assert_int_equal(n, 20);
	close(fd);
}

static void test_connections_are_limited_and_the_silent_make_room(void **state)
{
	int fds[RPC_CONNS_MAX + 1], fd;
	struct fixture *fx = *state;
	struct rpc_stats stats;

	for (int i = 0; i < RPC_CONNS_MAX; i++) {
		fds[i] = dial(fx);
	}
	run(fx, SECOND);
	fd = dial(fx);
	run(fx, MS);
	assert_int_equal(error_code(hear(fx, fd)), EBUSY);
	assert_null(hear(fx, fd));
	close(fd);
	for (int i = 0; i < RPC_CONNS_MAX; i++) {
		if (i != 5) {
			check_alive(fx, fds[i]);
		}
	}
	run(fx, RPC_SILENT_NS);
	fd = dial(fx);
	check_alive(fx, fd);
	assert_null(hear(fx, fds[5]));
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, RPC_CONNS_MAX);
	assert_int_equal(stats.n_refused, 1);
	for (int i = 0; i < RPC_CONNS_MAX; i++) {
		close(fds[i]);
	}
	close(fd);
	run(fx, MS);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, 0);
}

static void test_waiting_calls_are_limited(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);
	char line[200];

	for (int i = 0; i <= RPC_PENDING_MAX; i++) {
		(void)snprintf(line, sizeof(line),
			       CALL("dev.add", "\"name\":\"n%d\",\"mgmtdev\":"
					       "\"fakenet\""),
			       i);
		assert_string_equal(ask(fx, fd, line), OK("{}"));
		(void)snprintf(line, sizeof(line),
			       CALL("dev.bind", "\"name\":\"n%d\","
						"\"driver\":\"fakedrv\""),
			       i);
		assert_string_equal(ask(fx, fd, line), OK("{}"));
	}
	fx->fake.is_busy = true;
	for (int i = 0; i < RPC_PENDING_MAX; i++) {
		(void)snprintf(line, sizeof(line),
			       CALL("dev.del", "\"name\":\"n%d\""), i);
		assert_string_equal(ask(fx, fd, line), "");
	}
	(void)snprintf(line, sizeof(line), CALL("dev.del", "\"name\":\"n%d\""),
		       RPC_PENDING_MAX);
	assert_int_equal(error_code(ask(fx, fd, line)), EBUSY);
	close(fd);
}

/* H70, H91: connects and disconnects leave nothing behind. */
static void test_thousand_connects_h70_h91_leave_no_fd(void **state)
{
	struct fixture *fx = *state;
	unsigned int before = count_fds();
	struct rpc_stats stats;

	for (int i = 0; i < 1000; i++) {
		int fd = dial(fx);

		if (i % 3 == 1) {
			say(fd, "{\"half", 6);
		} else if (i % 3 == 2) {
			say(fd, REQ("dev.show"), strlen(REQ("dev.show")));
		}
		if (i % 2) {
			run(fx, MS);
		}
		close(fd);
	}
	run(fx, SECOND);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, 0);
	assert_int_equal(stats.n_accepted, 1000);
	assert_int_equal(count_fds(), before);
}

/* H91: without a descriptor to spare, newcomers are turned away, others live. */
static void test_out_of_fds_h91_turns_newcomers_away(void **state)
{
	struct fixture *fx = *state;
	int alive = dial(fx), late = dial(fx), fill[1024];
	unsigned int n_fill = 0;
	struct rlimit old, low;
	struct rpc_stats stats;
	int fd;

	check_alive(fx, alive);
	fd = dial(fx);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n_fill < ARRAY_SIZE(fill)) {
		fill[n_fill] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fill[n_fill] < 0) {
			break;
		}
		n_fill++;
	}
	run(fx, MS);
	check_alive(fx, alive);
	rpc_get_stats(fx->rpc, &stats);
	while (n_fill > 0) {
		close(fill[--n_fill]);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(stats.n_refused, 1);
	assert_null(hear(fx, fd));
	check_alive(fx, late);
	close(fd);
	close(alive);
	close(late);
}

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* H64, H90: good lines with random bytes changed; the server goes on. */
static void test_random_lines_h64_h90_do_no_harm(void **state)
{
	static const char *const lines[] = {
		REQ("status"),
		REQ("rpc.describe"),
		CALL("dev.add", "\"name\":\"n0\",\"mgmtdev\":\"fakenet\""),
		CALL("dev.set", "\"name\":\"n0\",\"mac\":"
				"\"52:54:00:00:00:01\""),
		CALL("dev.bind", "\"name\":\"n0\",\"driver\":\"fakedrv\""),
		CALL("dev.vstats.show", "\"name\":\"n0\",\"qidx\":0"),
		CALL("dev.unbind", "\"name\":\"n0\""),
		CALL("dev.del", "\"name\":\"n0\""),
	};
	struct fixture *fx = *state;
	uint32_t seed = 7;
	int fd = dial(fx);

	for (int i = 0; i < 20000; i++) {
		char line[256];
		size_t len;

		(void)snprintf(line, sizeof(line), "%s",
			       lines[rnd(&seed) % ARRAY_SIZE(lines)]);
		len = strlen(line);
		for (uint32_t n = rnd(&seed) % 4; n > 0; n--) {
			line[rnd(&seed) % len] = (char)rnd(&seed);
		}
		line[len - 1] = '\n';
		if (send(fd, line, len, MSG_NOSIGNAL) < 0) {
			assert_int_equal(errno, EAGAIN);
		}
		if (i % 16 == 0) {
			run(fx, MS);
			while (recv(fd, fx->line, sizeof(fx->line), 0) > 0) {
				run(fx, MS);
			}
		}
	}
	run(fx, MS);
	while (recv(fd, fx->line, sizeof(fx->line), 0) > 0) {
		run(fx, MS);
	}
	say(fd, "\n", 1);
	run(fx, MS);
	while (recv(fd, fx->line, sizeof(fx->line), 0) > 0) {
		run(fx, MS);
	}
	check_alive(fx, fd);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_methods_answer_in_iproute2s_shapes),
	T(test_vstats_show_needs_negotiated_features),
	T(test_dev_add_passes_keys_on),
	T(test_errors_are_errno_with_text),
	T(test_bad_params_are_refused_by_name),
	T(test_describe_lists_every_method),
	T(test_status_has_what_the_host_adds),
	T(test_shutdown_is_the_hosts),
	T(test_dev_del_answers_when_closed),
	T(test_dev_del_goes_on_without_its_peer),
	T(test_half_closed_peer_gets_its_answer),
	T(test_lines_that_are_no_requests_are_answered),
	T(test_ids_come_back_and_notifications_do_not),
	T(test_deep_nesting_is_refused),
	T(test_passed_fds_h62_are_not_kept),
	T(test_split_writes_h63_make_no_difference),
	T(test_line_limit_h63_is_a_mebibyte),
	T(test_half_request_h70_is_cut_in_time),
	T(test_progress_sets_the_deadline_anew),
	T(test_slow_reader_is_held_then_cut),
	T(test_slow_but_steady_reader_gets_all),
	T(test_connections_are_limited_and_the_silent_make_room),
	T(test_waiting_calls_are_limited),
	T(test_thousand_connects_h70_h91_leave_no_fd),
	T(test_out_of_fds_h91_turns_newcomers_away),
	T(test_random_lines_h64_h90_do_no_harm),
};

TEST_MAIN("mgmt_rpc")
