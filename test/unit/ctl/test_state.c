/*
 * test_state.c: what ctl keeps: it comes back as it was, a newer schema is refused, a full disk is
 * told.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rig.h"

static void reopen(struct rig *r)
{
	state_close(r->c);
	assert_int_equal(state_open(r->c), 0);
}

static void test_app_comes_back(void **state)
{
	const char *const one[6] = {"Site", "", "Name", "shop", "file", "stead.conf"};
	const char *const two[6] = {"Service", "", "Environment", "A=\xc3\xa9 \"q\" '", "file", ""};
	struct app a = {.number = APP_NUMBER, .name = "shop",
		.folder = "/srv/shop",
		.http = "127.0.0.1:80",
		.instance = "this parent",
		.bin = "/usr/lib/postgresql/15/bin",
		.python = "/usr/bin/python3",
		.work = "/srv/shop",
		.release = 3,
		.uid = 50001,
		.gid = 50002};
	struct app back = {.number = APP_NUMBER};
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(state_load_app(r.c, &back), 0);
	assert_false(back.known);
	assert_int_equal(app_value_add(&a, one, 2, 6), 0);
	assert_int_equal(app_value_add(&a, two, 0, 0), 0);
	assert_int_equal(state_save_app(r.c, &a), 0);
	assert_int_equal(state_save_app(r.c, &a), 0);
	reopen(&r);
	assert_int_equal(state_load_app(r.c, &back), 0);
	assert_true(back.known);
	assert_string_equal(back.folder, "/srv/shop");
	assert_string_equal(back.bin, a.bin);
	assert_int_equal(back.release, 3);
	assert_int_equal(back.uid, 50001);
	assert_int_equal(back.gid, 50002);
	assert_string_equal(back.values->text, "shop");
	assert_int_equal(back.values->line, 2);
	assert_string_equal(back.values->next->text, two[3]);
	assert_null(back.values->next->next);
	app_values_free(&a);
	app_values_free(&back);
	rig_done(&r);
}

static void test_secret_is_made_once(void **state)
{
	char first[65], again[65], other[65];
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(state_secret(r.c, "shop", first), 0);
	assert_int_equal(strspn(first, "0123456789abcdef"), 64);
	assert_int_equal(state_secret(r.c, "other", other), 0);
	assert_string_not_equal(first, other);
	reopen(&r);
	assert_int_equal(state_secret(r.c, "shop", again), 0);
	assert_string_equal(first, again);
	rig_done(&r);
}

static void test_meta(void **state)
{
	uint64_t v = 0;
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(state_meta_get(r.c, "snapshot", &v), -ENOENT);
	assert_int_equal(state_meta_set(r.c, "snapshot", 7), 0);
	assert_int_equal(state_meta_set(r.c, "snapshot", 8), 0);
	reopen(&r);
	assert_int_equal(state_meta_get(r.c, "snapshot", &v), 0);
	assert_int_equal(v, 8);
	rig_done(&r);
}

static void test_a_newer_schema_is_refused(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	/* It says that readers of version 1 would do harm. */
	assert_int_equal(state_meta_set(r.c, "min_reader", 2), 0);
	state_close(r.c);
	assert_int_equal(state_open(r.c), -EPROTONOSUPPORT);
	rig_done(&r);
}

static void test_a_full_disk_is_told(void **state)
{
	struct app a = {.name = "shop"};
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(state_exec(r.c, "PRAGMA max_page_count = 1"), 0);
	memset(a.folder, 'f', sizeof a.folder - 1);
	memset(a.work, 'w', sizeof a.work - 1);
	for (int i = 0, err = 0; i < 64 && err == 0; i++) {
		char name[32];
		char secret[65];

		(void)snprintf(name, sizeof name, "app%d", i);
		err = state_save_app(r.c, &a);
		if (err == 0)
			err = state_secret(r.c, name, secret);
		if (err)
			assert_int_equal(err, -ENOSPC);
		assert_true(err || i < 63);
	}
	/* The transaction is over: what fits is written again. */
	assert_int_equal(state_exec(r.c, "PRAGMA max_page_count = 1000"), 0);
	assert_int_equal(state_save_app(r.c, &a), 0);
	rig_done(&r);
}

/* Names that differ in their last digits only, as many sites' do, spread over the table. */
static void test_certs_by_name(void **state)
{
	enum { MANY = 4096, LONGEST_MAX = 16 };
	struct ctl *c = calloc(1, sizeof *c);
	unsigned longest = 0;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "s%05u", i);
		assert_null(cert_find(c, name));
		assert_non_null(cert_add(c, name));
	}
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "s%05u", i);
		assert_string_equal(cert_find(c, name)->site, name);
	}
	for (unsigned i = 0; i < CERT_BUCKETS; i++) {
		unsigned n = 0;

		for (const struct cert *cert = c->certs.bucket[i]; cert; cert = cert->same)
			n++;
		longest = n > longest ? n : longest;
	}
	assert_true(longest <= LONGEST_MAX);
	certs_free(c);
	assert_null(cert_find(c, "s00000"));
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_certs_by_name),
		cmocka_unit_test(test_app_comes_back), cmocka_unit_test(test_secret_is_made_once),
		cmocka_unit_test(test_meta), cmocka_unit_test(test_a_newer_schema_is_refused),
		cmocka_unit_test(test_a_full_disk_is_told)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
