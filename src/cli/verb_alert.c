/*
 * verb_alert.c: `stead alert test [APP]`: whom [Alert] names hears from stead now, and what became of it is shown.
 *
 * Called by main.c; ctl sends (src/ctl/alert_test.c). Holds nothing.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

void show_alert_test(const struct cli *c, const json_t *o)
{
	if (json_is_true(json_object_get(o, "sent"))) {
		if (!c->quiet)
			(void)printf("sent     %s\n", text_of(o, "target"));
		return;
	}
	(void)printf("failed   %s: %s\n", text_of(o, "target"), text_of(o, "error"));
	if (*text_of(o, "todo"))
		(void)printf("         what to do: %s\n", text_of(o, "todo"));
}

int verb_alert(struct cli *c)
{
	if (strcmp(c->args.arg[0], "test") != 0) {
		show_error(c, "what shall be done is not said", "stead alert test [APP]");
		return VERB_EXIT_USAGE;
	}
	return verb_ask(c, json_pack("{s:s, s:s}", "verb", "alert-test", "app", c->args.nargs > 1 ? c->args.arg[1] : ""));
}
