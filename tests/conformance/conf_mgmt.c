/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: management, by the commands that people use. Statements 6 and 66
 * to 70.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/net.h"
#include "lib/tool.h"

#define NODES_MAX 16

/* The device that tests of this program add. */
#define NAME "conf0"

static int setup(void **state)
{
	char out[TOOL_OUT];

	/* Of an earlier run that failed; mostly there is none. */
	(void)tool_run(TOOL_VDPA, out, "dev del " NAME);
	return conf_setup(state);
}

static void expect_error(enum tool tool, const char *text, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A command must fail, and its answer have @text in it. */
static void expect_error(enum tool tool, const char *text, const char *fmt, ...)
{
	char args[512], out[TOOL_OUT];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	(void)vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	ret = tool_run(tool, out, "%s", args);
	if (ret == 0 || !strstr(out, text)) {
		print_error("%s: status %d, no \"%s\" in: %s\n", args, ret,
			    text, out);
	}
	assert_int_not_equal(ret, 0);
	assert_non_null(strstr(out, text));
}

/* The same of a command that ends with 0 whatever the answer was: iproute2's
 * `dev vstats show` does. */
static void expect_vstats_error(const char *text, unsigned int qidx)
{
	char out[TOOL_OUT];

	(void)tool_run(TOOL_VDPA, out, "dev vstats show %s qidx %u",
		       tool_net_name(), qidx);
	if (!strstr(out, text)) {
		print_error("no \"%s\" in: %s\n", text, out);
	}
	assert_non_null(strstr(out, text));
}

static void add(void)
{
	tool_must(TOOL_VDPA, "dev add name " NAME " mgmtdev vdpasim_net");
}

static void del(void)
{
	tool_must(TOOL_VDPA, "dev del " NAME);
}

/* ---- 6 ---- */

static void node_path(unsigned int i, char path[64])
{
	(void)snprintf(path, 64, "/dev/vhost-vdpa-%u", i);
}

static unsigned int nodes_there(void)
{
	unsigned int mask = 0;
	struct stat st;
	char path[64];

	for (unsigned int i = 0; i < NODES_MAX; i++) {
		node_path(i, path);
		mask |= (unsigned int)(stat(path, &st) == 0) << i;
	}
	return mask;
}

/* Adds the device. Return: its node, open. */
static int add_and_open(struct conf *c)
{
	unsigned int before = nodes_there(), now;
	char path[64];

	add();
	now = nodes_there() & ~before;
	assert_true(now != 0 && (now & (now - 1)) == 0);
	node_path((unsigned int)__builtin_ctz(now), path);
	return conf_open(c, path, O_RDWR);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	assert_int_equal(waitid(P_PID, (id_t)pid, &info,
				WEXITED | WNOHANG | WNOWAIT),
			 0);
	return info.si_pid == pid;
}

static void test_s06_dev_del_waits_for_close(void **state)
{
	struct conf *c = *state;
	unsigned long end;
	char out[TOOL_OUT];
	pid_t pid;
	int fd;

	tool_require(TOOL_VDPA);
	fd = add_and_open(c);
	pid = conf_fork(c);
	if (pid == 0) {
		(void)close(fd);
		_exit(tool_run(TOOL_VDPA, out, "dev del " NAME));
	}
	end = conf_now_ms() + 300;
	while (conf_now_ms() < end) {
		assert_false(has_ended(pid));
		conf_breathe();
	}
	/* The client goes on as if nothing had been asked. */
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), 0);
	assert_int_equal(dev_get_status(fd), S_ACKNOWLEDGE);
	assert_false(has_ended(pid));
	conf_close(c, fd);
	assert_int_equal(conf_reap(c, pid), 0);
	expect_error(TOOL_VDPA, strerror(ENODEV), "dev show " NAME);
}

static void test_s06_the_node_goes_with_the_device(void **state)
{
	struct conf *c = *state;
	unsigned int before;

	tool_require(TOOL_VDPA);
	before = nodes_there();
	conf_close(c, add_and_open(c));
	del();
	assert_int_equal(nodes_there(), before);
}

/* ---- 66 ---- */

static void test_s66_duplicate_name_eexist(void **state)
{
	tool_require(TOOL_VDPA);
	add();
	expect_error(TOOL_VDPA, strerror(EEXIST),
		     "dev add name " NAME " mgmtdev vdpasim_net");
	del();
}

static void test_s66_unknown_mgmtdev_enodev(void **state)
{
	tool_require(TOOL_VDPA);
	expect_error(TOOL_VDPA, strerror(ENODEV),
		     "dev add name " NAME " mgmtdev nothing");
	expect_error(TOOL_VDPA, strerror(ENODEV),
		     "dev add name " NAME " mgmtdev pci/0000:00:00.0");
}

static void test_s66_mtu_67_erange(void **state)
{
	tool_require(TOOL_VDPA);
	expect_error(TOOL_VDPA, strerror(ERANGE),
		     "dev add name " NAME " mgmtdev vdpasim_net mtu 67");
	tool_must(TOOL_VDPA,
		  "dev add name " NAME " mgmtdev vdpasim_net mtu 68");
	del();
}

static void test_s66_max_vqp_0_einval(void **state)
{
	tool_require(TOOL_VDPA);
	expect_error(TOOL_VDPA, strerror(EINVAL),
		     "dev add name " NAME " mgmtdev vdpasim_net max_vqp 0");
}

/* The simulator has no pairs to choose. */
static void test_s66_attributes_that_are_not_supported(void **state)
{
	tool_require(TOOL_VDPA);
	expect_error(TOOL_VDPA, strerror(EOPNOTSUPP),
		     "dev add name " NAME " mgmtdev vdpasim_net max_vqp 2");
}

static void test_s66_mac_without_its_feature(void **state)
{
	tool_require(TOOL_VDPAKIT);
	expect_error(TOOL_VDPAKIT, "Missing features 0x20",
		     "dev add name " NAME " mgmtdev vdpasim_net"
		     " mac 52:54:00:00:00:01 device_features 300000000");
	tool_must(TOOL_VDPAKIT,
		  "dev add name " NAME " mgmtdev vdpasim_net"
		  " mac 52:54:00:00:00:01 device_features 300000020");
	del();
}

/* ---- 67, 68 ---- */

static void config_show(char out[TOOL_OUT])
{
	assert_int_equal(tool_run(TOOL_VDPA, out, "-j dev config show %s",
				  tool_net_name()),
			 0);
}

static void expect_in(const char *out, const char *text)
{
	if (!strstr(out, text)) {
		print_error("no %s in: %s\n", text, out);
	}
	assert_non_null(strstr(out, text));
}

static void test_s67_json_keys_with_a_blank(void **state)
{
	char out[TOOL_OUT];

	tool_require(TOOL_VDPA);
	config_show(out);
	expect_in(out, "\"link \":\"up\"");
	expect_in(out, "\"link_announce \":false");
	expect_in(out, "\"mtu\":1500");
}

static void test_s67_dev_show(void **state)
{
	char out[TOOL_OUT], size[64];
	int fd;

	tool_require(TOOL_VDPA);
	fd = conf_open(*state, conf_node_of(CONF_DEVICE_NET), O_RDWR);
	assert_int_equal(
		tool_run(TOOL_VDPA, out, "-j dev show %s", tool_net_name()), 0);
	expect_in(out, "\"type\":\"network\"");
	expect_in(out, "\"mgmtdev\":\"vdpasim_net\"");
	expect_in(out, "\"max_vqs\":3");
	(void)snprintf(size, sizeof(size), "\"max_vq_size\":%d",
		       dev_get_num_max(fd));
	expect_in(out, size);
	assert_int_equal(
		tool_run(TOOL_VDPA, out, "dev show %s", tool_net_name()), 0);
	expect_in(out, "type network mgmtdev vdpasim_net vendor_id 0"
		       " max_vqs 3 max_vq_size ");
}

static void test_s67_mgmtdev_show(void **state)
{
	char out[TOOL_OUT];

	tool_require(TOOL_VDPA);
	assert_int_equal(
		tool_run(TOOL_VDPA, out, "-j mgmtdev show vdpasim_net"), 0);
	expect_in(out, "\"supported_classes\":[\"net\"]");
	expect_in(out, "\"max_supported_vqs\":3");
	expect_error(TOOL_VDPA, strerror(ENODEV), "mgmtdev show nothing");
}

static void test_s68_negotiated_features_after_features_ok(void **state)
{
	struct client cl;
	char out[TOOL_OUT];

	tool_require(TOOL_VDPA);
	client_open(&cl, *state, conf_node_of(CONF_DEVICE_NET), O_RDWR);
	assert_int_equal(dev_set_status(cl.fd, S_ACKNOWLEDGE | S_DRIVER), 0);
	assert_int_equal(dev_set_features(cl.fd, F_VERSION_1 | NET_F_MAC |
							 F_ACCESS_PLATFORM),
			 0);
	config_show(out);
	assert_null(strstr(out, "negotiated_features"));
	assert_int_equal(dev_set_status(cl.fd, S_ACKNOWLEDGE | S_DRIVER |
						       S_FEATURES_OK),
			 0);
	config_show(out);
	expect_in(out, "\"negotiated_features\":"
		       "[\"MAC\",\"VERSION_1\",\"ACCESS_PLATFORM\"]");
	assert_int_equal(dev_set_status(cl.fd, 0), 0);
	config_show(out);
	assert_null(strstr(out, "negotiated_features"));
}

/* ---- 69, 70 ---- */

static void test_s69_vstats_before_features_ok_eagain(void **state)
{
	struct client cl;

	tool_require(TOOL_VDPA);
	client_open(&cl, *state, conf_node_of(CONF_DEVICE_NET), O_RDWR);
	expect_vstats_error(strerror(EAGAIN), 0);
	client_negotiate(&cl, NET_FEATURES);
	tool_must(TOOL_VDPA, "dev vstats show %s qidx 0", tool_net_name());
}

static void test_s69_vstats_of_no_queue_einval(void **state)
{
	struct client cl;

	tool_require(TOOL_VDPA);
	client_open(&cl, *state, conf_node_of(CONF_DEVICE_NET), O_RDWR);
	client_negotiate(&cl, NET_FEATURES);
	for (unsigned int i = 0; i < 3; i++) {
		tool_must(TOOL_VDPA, "dev vstats show %s qidx %u",
			  tool_net_name(), i);
	}
	expect_vstats_error(strerror(EINVAL), 3);
	expect_vstats_error(strerror(ERANGE), 32769);
}

static void test_s70_dev_del_of_an_unknown_name_enodev(void **state)
{
	tool_require(TOOL_VDPA);
	expect_error(TOOL_VDPA, strerror(ENODEV), "dev del nothing");
	expect_error(TOOL_VDPA, strerror(ENODEV), "dev show nothing");
	expect_error(TOOL_VDPA, strerror(ENODEV), "dev config show nothing");
}

#define MGMT_TEST(fn)                               \
	{                                           \
#fn, fn, setup, conf_teardown, NULL \
	}

static const struct CMUnitTest tests[] = {
	MGMT_TEST(test_s06_dev_del_waits_for_close),
	MGMT_TEST(test_s06_the_node_goes_with_the_device),
	MGMT_TEST(test_s66_duplicate_name_eexist),
	MGMT_TEST(test_s66_unknown_mgmtdev_enodev),
	MGMT_TEST(test_s66_mtu_67_erange),
	MGMT_TEST(test_s66_max_vqp_0_einval),
	MGMT_TEST(test_s66_attributes_that_are_not_supported),
	MGMT_TEST(test_s66_mac_without_its_feature),
	MGMT_TEST(test_s67_json_keys_with_a_blank),
	MGMT_TEST(test_s67_dev_show),
	MGMT_TEST(test_s67_mgmtdev_show),
	MGMT_TEST(test_s68_negotiated_features_after_features_ok),
	MGMT_TEST(test_s69_vstats_before_features_ok_eagain),
	MGMT_TEST(test_s69_vstats_of_no_queue_einval),
	MGMT_TEST(test_s70_dev_del_of_an_unknown_name_enodev),
};

TEST_MAIN("conformance/mgmt")
