/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of whole instances: several at once, on loops of all kinds.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "lib/oom.h"
#include "lib/test.h"
#include "mgmt/instance.h"
#include "mgmt/test_fake.h"

static void test_instances_do_not_know_each_other(void **state)
{
	struct instance_options options = { .n_workers = 2 };
	struct vdpa_dev_config config = { 0 };
	struct instance *a, *b;
	struct fake fake;

	assert_int_equal(instance_new(&options, &a), 0);
	assert_int_equal(instance_new(&options, &b), 0);
	assert_int_equal(instance_n_workers(a), 2);
	fake_register(&fake, instance_bus(a));
	assert_int_equal(vdpa_dev_add(instance_bus(a), NULL, "fakenet", "n0",
				      &config),
			 0);
	assert_non_null(vdpa_device_find(instance_bus(a), "n0"));
	assert_null(vdpa_device_find(instance_bus(b), "n0"));
	assert_null(vdpa_mgmtdev_find(instance_bus(b), NULL, "fakenet"));
	fake_unregister(&fake);
	assert_null(instance_free(a));
	assert_null(instance_free(b));
	assert_null(instance_free(NULL));
}

static void test_instance_has_the_simulators_and_vhost_vdpa(void **state)
{
	struct instance_options options = { .n_workers = 1 };
	struct vdpa_dev_config config = { 0 };
	struct vdpa_device *vdev;
	struct instance *kit;

	assert_int_equal(instance_new(&options, &kit), 0);
	assert_int_equal(vdpa_dev_add(instance_bus(kit), NULL, "vdpasim_net",
				      "n0", &config),
			 0);
	assert_int_equal(vdpa_dev_add(instance_bus(kit), NULL, "vdpasim_blk",
				      "b0", &config),
			 0);
	vdev = vdpa_device_find(instance_bus(kit), "n0");
	assert_non_null(vdev->driver);
	assert_string_equal(vdev->driver->name, "vhost_vdpa");
	/* Devices that are left are deleted. */
	assert_null(instance_free(kit));
}

static void test_default_driver_can_be_chosen(void **state)
{
	struct instance_options options = { .n_workers = 1,
					    .default_driver = "vhost_user" };
	struct vdpa_dev_config config = { 0 };
	struct vdpa_driver *first;
	struct instance *kit;

	assert_int_equal(instance_new(&options, &kit), 0);
	first = vdpa_driver_next(instance_bus(kit), NULL);
	assert_string_equal(first->name, "vhost_user");
	/* The others are there, too. */
	assert_int_equal(vdpa_dev_add(instance_bus(kit), NULL, "vdpasim_blk",
				      "b0", &config),
			 0);
	(void)vdpa_dev_unbind(instance_bus(kit), "b0");
	assert_int_equal(vdpa_dev_bind(instance_bus(kit), "b0", "vhost_vdpa",
				       NULL, 0),
			 0);
	instance_free(kit);
	options.default_driver = "none";
	assert_int_equal(instance_new(&options, &kit), -ENODEV);
}

static void test_instance_lives_on_simulated_loops(void **state)
{
	struct sim_options sim_options = { .seed = 3 };
	struct instance_options options = { .n_workers = 2 };
	struct loop *control, *workers[2];
	struct vdpa_dev_config config = { 0 };
	struct instance *kit;
	struct sim *sim;

	assert_int_equal(sim_new(&sim_options, &sim), 0);
	assert_int_equal(sim_loop_new(sim, "control", &control), 0);
	assert_int_equal(sim_loop_new(sim, "w0", &workers[0]), 0);
	assert_int_equal(sim_loop_new(sim, "w1", &workers[1]), 0);
	options.control = control;
	options.workers = workers;
	assert_int_equal(instance_new(&options, &kit), 0);
	assert_ptr_equal(instance_control(kit), control);
	assert_ptr_equal(vdpa_bus_pick_worker(instance_bus(kit)), workers[0]);
	assert_ptr_equal(vdpa_bus_pick_worker(instance_bus(kit)), workers[1]);
	assert_int_equal(vdpa_dev_add(instance_bus(kit), NULL, "vdpasim_net",
				      "n0", &config),
			 0);
	instance_free(kit);
	loop_free(workers[0]);
	loop_free(workers[1]);
	loop_free(control);
	sim_free(sim);
}

static void test_too_many_workers_are_refused(void **state)
{
	struct instance_options options = { .n_workers =
						    INSTANCE_WORKERS_MAX + 1 };
	struct instance *kit = NULL;

	assert_int_equal(instance_new(&options, &kit), -EINVAL);
	assert_null(kit);
}

static int make_one(void *priv)
{
	struct instance_options options = {
		.control = priv,
		.workers = (struct loop *const *)&priv,
		.n_workers = 1,
	};
	struct instance *kit;
	int r;

	oom_begin();
	r = instance_new(&options, &kit);
	oom_end();
	if (r == 0) {
		instance_free(kit);
	}
	return r;
}

static void test_out_of_memory_leaves_nothing(void **state)
{
	struct loop *control;

	assert_int_equal(loop_new("control", &control), 0);
	assert_in_range(oom_check(make_one, control), 4, 100);
	loop_free(control);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_instances_do_not_know_each_other),
	cmocka_unit_test(test_instance_has_the_simulators_and_vhost_vdpa),
	cmocka_unit_test(test_default_driver_can_be_chosen),
	cmocka_unit_test(test_instance_lives_on_simulated_loops),
	cmocka_unit_test(test_too_many_workers_are_refused),
	cmocka_unit_test(test_out_of_memory_leaves_nothing),
};

TEST_MAIN("instance")
