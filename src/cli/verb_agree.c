/*
 * verb_agree.c: the authority's terms are shown, and somebody agrees to them: `stead cert agree`, and what `stead up` asks
 * when nobody has yet.
 *
 * Called by verb_cert.c and verb_up.c. Holds nothing.
 */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* A line of who sits at the terminal: is it a yes? A signal is a no. */
static bool is_yes(int signals)
{
	struct pollfd p[2] = {{STDIN_FILENO, POLLIN, 0}, {signals, POLLIN, 0}};
	char line[64] = "";

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (p[1].revents || read(STDIN_FILENO, line, sizeof line - 1) <= 0)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
}

static void show_terms(const json_t *o)
{
	int more = (int)json_integer_value(json_object_get(o, "sites")) - 1;
	const char *terms = text_of(o, "terms");

	(void)printf("a certificate for %s", text_of(o, "name"));
	if (more > 0)
		(void)printf(" and %d more site%s", more, more == 1 ? "" : "s");
	(void)printf(" comes from\n  %s\n", text_of(o, "authority"));
	if (*terms)
		(void)printf("its terms of service:\n  %s\n", terms);
	else
		(void)puts("it names no terms of service");
}

int verb_agree(struct cli *c, int signals)
{
	bool yes = c->args.option[OPTION_YES] != NULL;
	json_t *o;
	int code;

	o = verb_ask_end(c, json_pack("{s:s}", "verb", "cert-terms"), &code);
	if (!o)
		return code;
	if (json_is_true(json_object_get(o, "agreed")) || !*text_of(o, "name")) {
		if (!c->quiet && !c->json)
			(void)puts(json_is_true(json_object_get(o, "agreed")) ? "agreed already" : "no site waits for it");
		json_decref(o);
		return VERB_EXIT_DONE;
	}
	if (!c->json && !c->quiet)
		show_terms(o);
	if (!yes && c->tty && !c->json && isatty(STDIN_FILENO)) {
		(void)fputs("do you agree to them? [y/N] ", stdout);
		(void)fflush(stdout);
		yes = is_yes(signals);
	}
	if (yes)
		json_decref(verb_ask_end(
			c, json_pack("{s:s, s:s}", "verb", "cert-agree", "url", text_of(o, "terms")), &code));
	else
		show_error(c, "nobody agreed to the terms: no certificate is got",
			"read them, then `stead cert agree --yes`, or write AcmeEmail= in [Server]");
	json_decref(o);
	return !yes ? VERB_EXIT_FAILED : code ? code : verb_ask(c, json_pack("{s:s}", "verb", "reload"));
}

void show_unagreed(const struct cli *c, const json_t *o)
{
	if (c->json || c->quiet)
		return;
	(void)printf("no certificate is got for %s: nobody agreed to the terms of %s\n"
		     "  `stead cert agree` shows them; AcmeEmail= in [Server], or `stead up --yes`, agrees\n",
		text_of(o, "name"), text_of(o, "authority"));
}
