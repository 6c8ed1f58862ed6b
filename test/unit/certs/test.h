/* cmocka, with what its header forgets to include. */
#ifndef TEST_UNIT_CERTS_TEST_H
#define TEST_UNIT_CERTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
