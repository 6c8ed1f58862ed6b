/*
 * test.h: cmocka with what it needs before it, for the tests of lib.
 */
#ifndef STEAD_TEST_UNIT_LIB_TEST_H
#define STEAD_TEST_UNIT_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
