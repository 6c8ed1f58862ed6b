/*
 * show_server.c: what `stead status` says of a machine's server: when it does not serve what is written, and where.
 *
 * Called by show_status.c with the member "server". Text only.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static void show_lines(const char *before, const char *text)
{
	for (size_t n; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		(void)printf("%s%.*s\n", before, (int)n, text);
	}
}

void show_server(const json_t *server, const char *state, bool sites)
{
	json_t *o;
	size_t i;

	if (json_is_object(server) && !sites && strcmp(state, "live") == 0)
		(void)puts("\n  no site yet: `stead deploy FOLDER` brings an app; one without an app is a file in /etc/stead/sites");

	if (*text_of(server, "error")) {
		(void)putchar('\n');
		show_lines("  ", text_of(server, "error"));
		if (*text_of(server, "todo"))
			(void)printf("  what to do: %s\n", text_of(server, "todo"));
		if (strcmp(state, "live") != 0)
			(void)puts("  nothing is served; it is tried again by itself, at least each minute");
		else
			(void)printf("  served is: %s\n", text_of(server, "serves"));
	}
	json_array_foreach(json_object_get(server, "found"), i, o)
	{
		(void)printf("%s  ", i ? "" : "\nnot as it should be\n");
		if (*text_of(o, "file"))
			(void)printf("%s:%lld:%lld: ", text_of(o, "file"), (long long)json_integer_value(json_object_get(o, "line")),
				(long long)json_integer_value(json_object_get(o, "column")));
		(void)printf("%s\n", text_of(o, "text"));
		if (*text_of(o, "todo"))
			(void)printf("    %s\n", text_of(o, "todo"));
	}
}
