// SPDX-License-Identifier: GPL-2.0-only
/*
 * suites.c - the module that holds the KUnit suites of dm-dirtytrack.
 */
#include <kunit/test.h>

#include "fixture.h"

kunit_test_suites(&dtk_core_suite, &dtk_epoch_suite, &dtk_target_suite,
		  &dtk_lifecycle_suite, &dtk_merge_suite, &dtk_table_suite,
		  &dtk_transaction_suite);

MODULE_DESCRIPTION("KUnit suites of dm-dirtytrack");
MODULE_LICENSE("GPL");
