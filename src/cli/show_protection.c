/*
 * show_protection.c: what holds the app's processes, as a person reads it: the limits in effect and
 * the cgroups that have them, or why there are none.
 *
 * Called by show_status.c. Owns nothing.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void part(bool *first, const char *text)
{
	(void)printf("%s%s", *first ? "" : ", ", text);
	*first = false;
}

static void amounts(const json_t *app, const json_t *where)
{
	const json_t *memory = json_object_get(app, "memory_max"),
		     *tasks = json_object_get(app, "tasks_max"),
		     *cpu = json_object_get(app, "cpu_permille");
	char text[64];
	bool first = true;

	(void)fputs("  limits     ", stdout);
	if (json_is_integer(memory) && strcmp(text_of(where, "memory"), "none") != 0) {
		(void)snprintf(text, sizeof text, "%lld MB of memory",
			(long long)(json_integer_value(memory) >> 20));
		part(&first, text);
	}
	if (json_is_integer(tasks) && strcmp(text_of(where, "tasks"), "none") != 0) {
		(void)snprintf(
			text, sizeof text, "%lld tasks", (long long)json_integer_value(tasks));
		part(&first, text);
	}
	if (json_is_integer(cpu) && strcmp(text_of(where, "cpu"), "none") != 0) {
		long long permille = json_integer_value(cpu);

		(void)snprintf(text, sizeof text, "%lld.%02lld cores", permille / 1000,
			permille % 1000 / 10);
		part(&first, text);
	}
	if (first)
		(void)fputs("none written", stdout);
}

void show_protection(const json_t *protection, const json_t *app)
{
	const json_t *where = json_object_get(protection, "controllers"), *value;
	const char *trees[] = {"v2", "v1"}, *name;

	if (!json_is_object(app))
		return;
	if (*text_of(protection, "why")) {
		(void)printf("  limits     none: %s\n", text_of(protection, "why"));
		return;
	}
	amounts(app, where);
	for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
		bool any = false;

		json_object_foreach((json_t *)where, name, value)
		{
			if (strcmp(json_string_value(value), trees[i]) != 0)
				continue;
			(void)printf("%s%s",
				any      ? " "
				: i == 0 ? "; cgroup v2: "
					 : "; cgroup v1: ",
				name);
			any = true;
		}
	}
	(void)fputc('\n', stdout);
}
