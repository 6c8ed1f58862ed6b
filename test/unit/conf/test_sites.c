/*
 * test_sites.c: files of Sites=: their names, what may stand in them, defaults that many share, and
 * what only one site may have.
 */
#include "cm.h"

static struct conf *defaults_new(void)
{
	struct conf_facts f = {.name = "site", .folder = "/srv/sites", .cores = 1, .folderless = true};
	struct conf *c = conf_new(&f);

	assert_non_null(c);
	assert_int_equal(conf_finish(c), 0);
	return c;
}

static void a_name_from_a_file(void **state)
{
	char one[28], two[28];

	(void)state;
	conf_name_from_file("sites/shop.conf", one);
	assert_string_equal(one, "shop");
	conf_name_from_file("Shop.Example.conf", one);
	assert_string_equal(one, "shop-example");
	conf_name_from_file("/etc/stead/sites/.conf", one);
	assert_string_equal(one, "conf");
	/* Long ones stay apart, and valid. */
	conf_name_from_file("a-customer-with-a-long-name-0001.example.conf", one);
	conf_name_from_file("a-customer-with-a-long-name-0002.example.conf", two);
	assert_string_not_equal(one, two);
	assert_memory_equal(one, "a-customer-with-a-", 17);
	assert_true(strlen(one) <= 27);
	for (unsigned i = 0; i < 2; i++) {
		struct conf *c = conf_with_facts();

		assert_int_equal(conf_put_key(c, CONF_SITE_NAME, i ? two : one, CONF_FROM_FILE, NULL), 0);
		conf_free(c);
	}
}

static void what_may_stand_in_it(void **state)
{
	static const char *const sections[] = {"Python", "Postgres", "Server", "Service", "Unit", "Tcp x"};
	struct conf *defaults = defaults_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		struct conf *c = conf_new_site(defaults, "shop");
		char text[200];

		(void)snprintf(text, sizeof text, "[Site]\nRoot=x\n[%s]\nKey=1\n", sections[i]);
		assert_int_equal(conf_read(c, "f", text, strlen(text)), -EINVAL);
		assert_int_equal(conf_errors(c), 1);
		assert_int_equal(conf_findings(c)->pos.line, 3);
		assert_non_null(strstr(conf_findings(c)->text, "cannot stand in a file of Sites="));
		assert_true(conf_findings(c)->todo[0] != '\0');
		conf_free(c);
	}
	/* Nor by another way. */
	struct conf *c = conf_new_site(defaults, "shop");

	assert_int_equal(conf_put(c, "Python", "", "Wsgi", "a:b", CONF_FROM_FILE, NULL), -ENOENT);
	assert_int_equal(conf_put(c, "Tcp", "x", "Listen", "127.0.0.1:1", CONF_FROM_FILE, NULL), -ENOENT);
	assert_int_equal(conf_put(c, "Route", "/", "To", "app", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(conf_finish(c), -EINVAL);
	assert_non_null(strstr(conf_findings(c)->todo, "the name of an [Upstream]"));
	conf_free(c);
	conf_free(defaults);
}

static void defaults_are_shared(void **state)
{
	struct conf *defaults = defaults_new(), *one = conf_new_site(defaults, "one"),
		    *two = conf_new_site(defaults, "two");

	(void)state;
	assert_int_equal(conf_put(one, "Site", "", "BodyMax", "1M", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(conf_put(one, "Site", "", "Index", "a.html", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(conf_put(one, "Site", "", "Index", "b.html", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(conf_finish(one), 0);
	assert_int_equal(conf_finish(two), 0);
	assert_int_equal(conf_app(one)->body_bytes_max, 1 << 20);
	assert_string_equal(conf_app(one)->index[1], "b.html");
	assert_int_equal(conf_app(two)->body_bytes_max, 32 << 20);
	assert_string_equal(conf_app(two)->index[0], "index.html");
	assert_null(conf_app(two)->index[1]);
	assert_string_equal(conf_app(one)->name, "one");
	assert_string_equal(conf_app(two)->name, "two");
	assert_ptr_equal(conf_get(two, CONF_SITE_QUEUE), conf_get(defaults, CONF_SITE_QUEUE));
	/* One that says nothing has nothing to answer with. */
	assert_false(conf_app(two)->answers || conf_app(two)->serves);
	conf_free(one);
	conf_free(two);
	assert_string_equal(conf_get(defaults, CONF_SITE_INDEX)->text, "index.html");
	assert_null(conf_get(defaults, CONF_SITE_INDEX)->next);
	conf_free(defaults);
}

static void the_first_has_it(void **state)
{
	struct conf_claims *c = conf_claims_new();
	char text[32], file[32];

	(void)state;
	assert_non_null(c);
	for (unsigned i = 0; i < 5000; i++) {
		struct conf_claim claim = {text, file, i, 2};

		(void)snprintf(text, sizeof text, "s%u.example", i);
		(void)snprintf(file, sizeof file, "f%u", i);
		assert_null(conf_claims_find(c, text));
		assert_null(conf_claims_take(c, &claim));
	}
	for (unsigned i = 0; i < 5000; i++) {
		struct conf_claim again = {text, "other", 1, 1};
		const struct conf_claim *first;

		(void)snprintf(text, sizeof text, "s%u.example", i);
		(void)snprintf(file, sizeof file, "f%u", i);
		first = conf_claims_take(c, &again);
		assert_non_null(first);
		assert_string_equal(first->file, file);
		assert_int_equal(first->line, i);
		assert_ptr_equal(first, conf_claims_find(c, text));
	}
	assert_null(conf_claims_find(c, ""));
	conf_claims_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_from_a_file),
		cmocka_unit_test(what_may_stand_in_it),
		cmocka_unit_test(defaults_are_shared),
		cmocka_unit_test(the_first_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
