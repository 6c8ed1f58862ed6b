/*
 * test_people.c: what is made from the tables for people: help, JSON, completion, man pages; and
 * which variables may be shown.
 */
#include "cm.h"

static void has_every_verb(const char *text)
{
	for (enum verb v = 0; v < VERB_END; v++)
		assert_non_null(strstr(text, command_rows[v].name));
}

static void help(void **state)
{
	(void)state;
	struct buf b;

	buf_init(&b, SIZE_MAX);
	assert_int_equal(conf_help(&b, NULL), 0);
	has_every_verb(buf_str(&b));
	for (enum verb v = 0; v < VERB_END; v++) {
		buf_reset(&b);
		assert_int_equal(conf_help(&b, command_rows[v].name), 0);
		for (enum option o = 0; o < OPTION_END; o++)
			assert_int_equal(strstr(buf_str(&b), option_rows[o].about) != NULL,
				(option_rows[o].verbs >> v & 1) != 0);
	}
	assert_int_equal(conf_help(&b, "nope"), -ENOENT);
	buf_done(&b);
}

/* Well-formed as far as brackets and quotes go; the scenario tests read it with a JSON parser. */
static void check_json(const char *s)
{
	int depth = 0;
	bool in_string = false;

	for (; *s != '\0'; s++) {
		if (in_string) {
			if (*s == '\\')
				s++;
			else if (*s == '"')
				in_string = false;
			assert_true((unsigned char)*s >= 0x20);
			continue;
		}
		in_string = *s == '"';
		depth += (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
		assert_true(depth >= 0);
	}
	assert_int_equal(depth, 0);
	assert_false(in_string);
}

static void introspect(void **state)
{
	(void)state;
	static const char *const tables[] = {
		"config", "commands", "metrics", "events", "closes", "messages", "procs", "acts"};
	struct buf b;

	buf_init(&b, SIZE_MAX);
	for (unsigned i = 0; i < ARRAY_LEN(tables); i++) {
		buf_reset(&b);
		assert_int_equal(conf_introspect(&b, tables[i]), 0);
		check_json(buf_str(&b));
	}
	buf_reset(&b);
	assert_int_equal(conf_introspect(&b, "config"), 0);
	for (enum conf_key k = 0; k < CONF_END; k++) {
		char want[128];

		snprintf(want, sizeof(want), "\"section\":\"%s\",\"key\":\"%s\"",
			section_rows[conf_rows[k].section].name, conf_rows[k].key);
		assert_non_null(strstr(buf_str(&b), want));
	}
	assert_int_equal(conf_introspect(&b, "nope"), -ENOENT);
	buf_done(&b);
}

static void completion(void **state)
{
	(void)state;
	static const char *const shells[] = {"bash", "zsh", "fish"};
	struct buf b;

	for (unsigned i = 0; i < ARRAY_LEN(shells); i++) {
		buf_init(&b, SIZE_MAX);
		assert_int_equal(conf_completion(&b, shells[i]), 0);
		has_every_verb(buf_str(&b));
		for (enum option o = 0; o < OPTION_END; o++)
			assert_non_null(strstr(buf_str(&b), option_rows[o].name));
		buf_done(&b);
	}
	buf_init(&b, SIZE_MAX);
	assert_int_equal(conf_completion(&b, "csh"), -ENOENT);
	buf_done(&b);
}

static void man_pages(void **state)
{
	(void)state;
	struct buf b;

	buf_init(&b, SIZE_MAX);
	conf_man_stead(&b);
	has_every_verb(buf_str(&b));
	buf_reset(&b);
	conf_man_stead_conf(&b);
	for (enum conf_key k = 0; k < CONF_END; k++)
		assert_non_null(strstr(buf_str(&b),
			conf_rows[k].flags & CONF_LATER ? conf_rows[k].key : conf_rows[k].example));
	/* No line begins with a dot that is no macro. */
	for (const char *p = buf_str(&b); (p = strchr(p, '\n')) != NULL; p++)
		if (p[1] == '.')
			assert_true((p[2] >= 'A' && p[2] <= 'Z') || p[2] == '\\');
	buf_done(&b);
}

static void nearest(void **state)
{
	(void)state;
	char near[32];

	assert_string_equal(conf_nearest("stauts", "up stop status", near, sizeof(near)), "status");
	assert_string_equal(conf_nearest("sotp", "up stop status", near, sizeof(near)), "stop");
	assert_string_equal(conf_nearest("zebra", "up stop status", near, sizeof(near)), "");
	assert_string_equal(conf_nearest("", "up stop", near, sizeof(near)), "");
	assert_string_equal(conf_nearest("x", "", near, sizeof(near)), "");
}

static void hidden_variables(void **state)
{
	(void)state;
	static const char *const hidden[] = {
		"SECRET_KEY", "DB_PASSWORD", "api_token", "DATABASE_URL"};
	static const char *const shown[] = {"DEBUG", "FLASK_ENV", "TITLE"};

	for (unsigned i = 0; i < ARRAY_LEN(hidden); i++)
		assert_false(conf_env_showable(hidden[i]));
	for (unsigned i = 0; i < ARRAY_LEN(shown); i++)
		assert_true(conf_env_showable(shown[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(help),
		cmocka_unit_test(introspect),
		cmocka_unit_test(completion),
		cmocka_unit_test(man_pages),
		cmocka_unit_test(nearest),
		cmocka_unit_test(hidden_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
