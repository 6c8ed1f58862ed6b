/*
 * verb_cert.c: `stead cert list|show|renew`, the way to `import` and `trust`, and how certificates look to people.
 *
 * Called by main.c, and by show_status.c with what ctl says. Holds nothing.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* What is late is told wherever certificates are. */
static void show_alert(const json_t *o)
{
	const char *alert = text_of(o, "alert");

	if (strcmp(alert, "late") == 0)
		(void)printf("    warning: it is late to renew it; browsers warn from its end on\n");
	else if (strcmp(alert, "ends") == 0)
		(void)printf("    error: it ends soon, and browsers warn then\n");
	else if (*alert)
		(void)printf("    error: it has ended, and browsers warn\n");
}

/* " (in 89 days)"; "" when it is not known. */
static const char *days_to(const char *until, char ret[32])
{
	struct tm tm = {0};
	long left;

	ret[0] = '\0';
	if (!strptime(until, "%Y-%m-%dT%H:%M:%S", &tm))
		return ret;
	left = (long)(timegm(&tm) - time(NULL)) / 86400;
	if (left >= 0)
		(void)snprintf(ret, 32, left == 1 ? " (in 1 day)" : " (in %ld days)", left);
	return ret;
}

static void show_names(const char *what, const json_t *names, bool whole)
{
	size_t n = json_array_size(names), shown = whole || n <= 4 ? n : 3, i;
	const json_t *name;

	(void)printf("    %-9s", what);
	json_array_foreach(names, i, name)
	{
		if (i == shown)
			break;
		(void)printf("%s%s", i ? " " : "", json_string_value(name) ? json_string_value(name) : "");
	}
	if (n > shown)
		(void)printf(" and %zu more", n - shown);
	(void)fputc('\n', stdout);
}

void show_certificate(const json_t *o, bool whole)
{
	const char *until = text_of(o, "until"), *next = text_of(o, "next");
	char days[32];

	(void)printf("  %-12s %s", text_of(o, "site"), text_of(o, "state"));
	if (*until)
		(void)printf(", until %.10s%s", until, days_to(until, days));
	if (*next && !*text_of(o, "error"))
		(void)printf("; renewal %.10s", next);
	(void)fputc('\n', stdout);
	show_alert(o);
	if (json_array_size(json_object_get(o, "names")))
		show_names("for", json_object_get(o, "names"), whole);
	if (*text_of(o, "issuer"))
		(void)printf("    by       %s\n", text_of(o, "issuer"));
	if (whole && *text_of(o, "serial"))
		(void)printf("    serial   %s\n", text_of(o, "serial"));
	if (whole)
		(void)printf("    from     %s\n", text_of(o, "from"));
	if (whole && *next)
		(void)printf("    renewal  %s\n", next);
	if (json_array_size(json_object_get(o, "left_out"))) {
		show_names("left out", json_object_get(o, "left_out"), whole);
		(void)puts("             only DNS proves a wildcard: see ChallengeHook=");
	}
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

	if (strcmp(what, "import") == 0)
		return verb_import(c);
	if (strcmp(what, "agree") == 0 && !*site)
		return verb_agree(c, -1);
	if (strcmp(what, "trust") == 0 && !*site)
		return verb_trust(c);

	if (!renew && strcmp(what, "list") != 0 && (strcmp(what, "show") != 0 || !*site)) {
		show_error(c, "what shall be done with certificates is not said",
			"stead cert list, show NAME, renew [NAME], import [NAME] --cert FILE --key FILE, agree, or trust");
		return VERB_EXIT_USAGE;
	}
	c->whole = strcmp(what, "list") != 0;
	return verb_ask(c,
		json_pack("{s:s, s:s}", "verb", renew ? "cert-renew" : "cert-list", "app", site));
}
