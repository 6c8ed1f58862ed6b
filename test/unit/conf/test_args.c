/*
 * test_args.c: the command line by its table.
 */
#include "cm.h"

struct row {
	const char *line; /* words, blank-separated */
	const char *seen; /* VERB ARGS | OPTIONS, or NULL: refused */
	const char *error;
};

static const struct row rows[] = {
	{"up", "up |", ""},
	{"up folder", "up folder |", ""},
	{"up folder --http 1:2 --detach", "up folder | http=1:2 detach=", ""},
	{"--state=/x up", "up | state=/x", ""},
	{"logs -fn 10 shop", "logs shop | follow= lines=10", ""},
	{"logs -n10 -f", "logs | follow= lines=10", ""},
	{"logs -- -f", "logs -f |", ""},
	{"check -", "check - |", ""},
	{"--help", " | help=", ""},
	{"-h", " | help=", ""},
	{"introspect --help", "introspect | help=", ""},
	{"--version", " | version=", ""},
	{"", NULL, "a verb is missing"},
	{"--json", NULL, "a verb is missing"},
	{"pu", NULL, "did you mean up?"},
	{"zzzzzz", NULL, "lists them"},
	{"up a b", NULL, "one argument too many"},
	{"stop a b", "stop a b |", ""},
	{"metrics a", NULL, "too many: stead metrics; for the site of another folder: --state a/.stead"},
	{"introspect", NULL, "needs its TABLE"},
	{"up --htpp 1:2", NULL, "did you mean --http?"},
	{"up --zebra", NULL, "there is no option --zebra"},
	{"up -Z", NULL, "there is no option -Z"},
	{"up --http", NULL, "--http needs its ADDR:PORT"},
	{"up --http=", NULL, "--http needs its ADDR:PORT"},
	{"up --detach=1", NULL, "--detach takes no value"},
	{"logs -n", NULL, "-n needs its N"},
	{"stop --http 1:2", NULL, "`stead stop` has no option --http"},
	{"status -f", NULL, "`stead status` has no option --follow"},
};

static void each_line(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char line[128], seen[256] = "", why[256], *save = NULL;
		char *argv[16] = {"stead"};
		struct conf_args a;
		struct buf error;
		int argc = 1, r;
		size_t n = 0;

		snprintf(line, sizeof(line), "%s", rows[i].line);
		for (char *w = strtok_r(line, " ", &save); w != NULL;
			w = strtok_r(NULL, " ", &save))
			argv[argc++] = w;
		buf_fixed(&error, why, sizeof(why));
		r = conf_args_parse(argc, argv, &a, &error);
		if (rows[i].seen == NULL) {
			assert_int_equal(r, -EINVAL);
			if (strstr(buf_str(&error), rows[i].error) == NULL)
				print_error("%s: %s\n", rows[i].line, buf_str(&error));
			assert_non_null(strstr(buf_str(&error), rows[i].error));
			continue;
		}
		assert_int_equal(r, 0);
		n += (size_t)snprintf(seen, sizeof(seen), "%s",
			a.verb < VERB_END ? command_rows[a.verb].name : "");
		for (unsigned k = 0; k < a.nargs; k++)
			n += (size_t)snprintf(seen + n, sizeof(seen) - n, " %s", a.arg[k]);
		n += (size_t)snprintf(seen + n, sizeof(seen) - n, " |");
		for (enum option o = 0; o < OPTION_END; o++)
			if (a.option[o] != NULL)
				n += (size_t)snprintf(seen + n, sizeof(seen) - n, " %s=%s",
					option_rows[o].name, a.option[o]);
		assert_string_equal(seen, rows[i].seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_line)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
