/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the JSON-RPC server: its methods, and calls that wait.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mgmt/test_mgmt_rpc_rig.h"

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
		{ CALL("mgmtdev.set", "\"mgmtdev\":\"none\",\"params\":{}"),
		  ENODEV, "specified mgmt device" },
		{ CALL("mgmtdev.set",
		       "\"mgmtdev\":\"fakenet\",\"params\":{\"x\":\"1\"}"),
		  EOPNOTSUPP, "takes no 'x'" },
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

	assert_int_equal(json_object_size(methods), 14);
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

static void on_shutdown(void *priv)
{
	((struct fixture *)priv)->n_shutdowns++;
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
};

TEST_MAIN("mgmt_rpc")
