/*
 * verb_upgrade.c: `stead upgrade`: what runs goes over to the version that this program is of, or to its files when they were
 * installed again.
 *
 * Called by main.c. The control process whom it asks is replaced itself at the end of an upgrade, and may be so just now by another one.
 * So an answer that ends early is asked for again, and so is one that says that somebody else is at it: an upgrade that was done is done
 * once more, which costs nothing, and what is told at the end is true. Owns nothing.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TRIES = 20, AGAIN_US = 250 * 1000, AGAIN = -1 };

/* Its end; AGAIN: there was none, or (unless it is the last) it is busy. */
static int end_of(struct cli *c, struct client *cl, bool last)
{
	int got, code = AGAIN;
	json_t *o;

	while ((got = client_next(cl, -1, &o)) != 0) {
		const char *event = got > 0 ? json_string_value(json_object_get(o, "event")) : NULL;
		bool end = event && strcmp(event, "end") == 0 && !json_object_get(o, "kind");

		if (got < 0)
			break;
		if (!end)
			show_event(c, o);
		else if (last || json_integer_value(json_object_get(o, "exit")) != VERB_EXIT_BUSY)
			code = show_end(c, o);
		json_decref(o);
		if (end)
			break;
	}
	return code;
}

static int ask(struct cli *c, bool last)
{
	struct client cl;
	int code = verb_open(c, &cl);

	if (code)
		return code;
	code = client_ask(&cl, json_pack("{s:s, s:s}", "verb", "upgrade", "version", STEAD_VERSION)) < 0 ? AGAIN : end_of(c, &cl, last);
	client_close(&cl);
	return code;
}

int verb_upgrade(struct cli *c)
{
	int code = AGAIN;

	for (unsigned i = 1; code == AGAIN && i <= TRIES; i++) {
		if (i > 1)
			(void)usleep(AGAIN_US);
		code = ask(c, i == TRIES);
	}
	if (code == AGAIN) {
		show_error(c, "the control process ended each time before it said how the upgrade went", "`stead logs` may say why; try it again");
		return VERB_EXIT_FAILED;
	}
	if (code == 0 && !c->quiet && !c->json)
		(void)puts("stead " STEAD_VERSION " serves");
	return code;
}
