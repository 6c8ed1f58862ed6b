/*
 * verb_cert.c: `stead cert list|show|renew`, and how certificates look to people.
 *
 * Called by main.c, and by show_status.c with what ctl says. Holds nothing.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

void show_certificate(const json_t *o, bool whole)
{
	const char *until = text_of(o, "until"), *next = text_of(o, "next");
	const json_t *name;
	size_t i;

	(void)printf("  %-16s %s", text_of(o, "site"), text_of(o, "state"));
	if (*until)
		(void)printf(", until %.10s", until);
	json_array_foreach(json_object_get(o, "names"), i, name) if (whole || i < 3)(void) printf(
		"%s%s", i ? " " : "  ", json_string_value(name) ? json_string_value(name) : "");
	if (!whole && i > 3)
		(void)printf(" and %zu more", i - 3);
	(void)fputc('\n', stdout);
	if (whole && *text_of(o, "serial"))
		(void)printf("    serial   %s\n", text_of(o, "serial"));
	if (whole)
		(void)printf("    from     %s\n", text_of(o, "from"));
	if (whole && *next)
		(void)printf("    renewal  %s\n", next);
	if (!*text_of(o, "error"))
		return;
	(void)printf("    %s%s%s; tried again at %s\n", text_of(o, "about"),
		*text_of(o, "about") ? ": " : "", text_of(o, "error"), *next ? next : "once");
	if (*text_of(o, "todo"))
		(void)printf("    %s\n", text_of(o, "todo"));
}

void show_certificates(const json_t *list, bool whole)
{
	const json_t *o;
	size_t i;

	if (json_array_size(list) == 0)
		(void)puts("no site has a certificate");
	json_array_foreach(list, i, o) show_certificate(o, whole);
}

int verb_cert(struct cli *c)
{
	const char *what = c->args.arg[0], *site = c->args.nargs > 1 ? c->args.arg[1] : "";
	bool renew = strcmp(what, "renew") == 0;

	if (!renew && strcmp(what, "list") != 0 && (strcmp(what, "show") != 0 || !*site)) {
		show_error(c, "what shall be done with certificates is not said",
			"stead cert list, stead cert show NAME, or stead cert renew [NAME]");
		return VERB_EXIT_USAGE;
	}
	c->whole = strcmp(what, "list") != 0;
	return verb_ask(c,
		json_pack("{s:s, s:s}", "verb", renew ? "cert-renew" : "cert-list", "app", site));
}
