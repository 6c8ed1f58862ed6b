/*
 * test_ownname.c: which names an app may have folders by, outside of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/must.h"
#include "lib/ownname.h"

static void names(void **state)
{
	static const struct {
		const char *app, *name;
		bool is;
	} rows[] = {
		{"shop", "shop", true},
		{"shop", "shop/deep", true},
		{"shop", "shop-cache", true},
		{"shop", "shop.d/x", true},
		{"shop", "shop_1", true},
		{"shop-web", "shop", true},
		{"shop-web", "shop/web", true},
		{"shop", "shopper", false},
		{"shopper", "shop", false},
		{"shop", "nologin", false},
		{"shop", "nologin/shop", false},
		{"shop", "", false},
		{"shop", "/shop", false},
		{"", "shop", false},
		{"", "", false},
		{"shop", "Shop", false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(ownname_is(rows[i].app, rows[i].name), rows[i].is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
