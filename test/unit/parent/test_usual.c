/*
 * test_usual.c: at which folders of the machine an app may be shown its own, whatever ctl says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/must.h"
#include "mounts.h"

static void places(void **state)
{
	static const struct {
		const char *folder, *place;
		bool fits;
	} rows[] = {
		{"/s/apps/shop/data/shop", "/var/lib/shop", true},
		{"/s/apps/shop/data/shop/deep", "/var/lib/shop/deep", true},
		{"/s/apps/shop/cache/shop-1", "/var/cache/shop-1", true},
		{"/s/apps/shop/logs/shop", "/var/log/shop", true},
		{"/s/apps/shop/config/shop", "/etc/shop", true},
		{"/run/stead/backends/s/app7/shop", "/run/shop", true},
		/* PHP's sessions, whatever the app's name is, and nothing else of that folder. */
		{"/s/apps/shop/data/php/sessions", "/var/lib/php/sessions", true},
		{"/s/apps/shop/data/sessions", "/var/lib/php/sessions", false},
		{"/s/apps/shop/data/php", "/var/lib/php", false},
		{"/s/apps/shop/data/php/modules", "/var/lib/php/modules", false},
		{"/s/apps/shop/data/php/sessions", "/etc/php/sessions", false},
		/* Not by that name. */
		{"/s/apps/shop/data/shop", "/var/lib/shop2", false},
		{"/s/apps/shop/data/x-shop", "/var/lib/shop", false},
		{"/s/apps/shop/data", "/var/lib/shop", false},
		{"shop", "/run/shop", false},
		{"/shop", "/run/shop", false},
		/* Somebody else's. */
		{"/s/apps/shop/data/nologin", "/run/nologin", false},
		{"/s/apps/shop/data/nologin/shop", "/run/nologin/shop", false},
		/* Nowhere else, and not out of there. */
		{"/s/apps/shop/data/shop", "/usr/shop", false},
		{"/s/apps/shop/data/shop", "/var/shop", false},
		{"/s/apps/shop/data/shop", "/runner/shop", false},
		{"/s/apps/shop/data/shop", "/etc", false},
		{"/s/apps/shop/data/", "/etc/", false},
		{"/s/shop/../nologin", "/run/shop/../nologin", false},
		{"/s/shop/./x", "/run/shop/./x", false},
		{"/s/shop//x", "/run/shop//x", false},
		{"/s/shop/..", "/run/shop/..", false},
		{"/s/..", "/run/..", false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct mounts_path folder = {JAIL_PATH_MAKE, rows[i].folder}, place = {JAIL_PATH_PLACE, rows[i].place};

		if (usual_fits("shop", &folder, &place) != rows[i].fits)
			fail_msg("%s for %s", rows[i].place, rows[i].folder);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(places)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
