/*
 * man_systemd.c: stead-systemd(7), what each key of systemd means to stead, as mdoc(7), from the tables.
 *
 * Called by man/gen.c, whose output is committed; a test compares it. Text only; owns nothing.
 */
#include <stdio.h>

#include "conf_priv.h"
#include "lib/must.h"

static void item(struct buf *b, const char *key, bool *any)
{
	if (!*any)
		buf_puts(b, ".Bl -tag -width Ds\n");
	*any = true;
	buf_printf(b, ".It Cm %s Ns =\n", key);
}

static void end(struct buf *b, bool any)
{
	if (any)
		buf_puts(b, ".El\n");
}

static void accepted(struct buf *b, enum conf_section s, enum systemd_verdict verdict)
{
	bool any = false;

	for (unsigned i = 0; i < systemd_rows_n; i++) {
		const struct systemd_row *r = &systemd_rows[i];

		if (conf_rows[r->key].section != s || r->verdict != verdict)
			continue;
		if (!any)
			buf_printf(b, ".Ss [%s]: %s\n", section_rows[s].name,
				verdict == SYSTEMD_SAME ? "as in systemd" : "differs");
		item(b, conf_rows[r->key].key, &any);
		if (r->how[0] != '\0')
			conf_man_text(b, r->how);
	}
	end(b, any);
}

/* Of many keys with one reason the reason is told once, below them. */
static void noted(struct buf *b, enum conf_section s)
{
	bool any = false;

	for (unsigned i = 0; i < conf_known_rows_n; i++) {
		const struct conf_known_row *r = &conf_known_rows[i], *next = i + 1 < conf_known_rows_n ? r + 1 : NULL;
		char text[512];

		if (r->section != s || r->refused || r->later)
			continue;
		if (!any)
			buf_printf(b, ".Ss [%s]: refused, without effect\n", section_rows[s].name);
		item(b, r->key, &any);
		if (r->why[0] == '\0' || (next != NULL && next->section == s && strcmp(next->why, r->why) == 0))
			continue;
		must((size_t)snprintf(text, sizeof(text), "%c%s.", r->why[0] >= 'a' && r->why[0] <= 'z' ? r->why[0] - 'a' + 'A' : r->why[0],
			     r->why + 1) < sizeof(text));
		conf_man_text(b, text);
	}
	end(b, any);
}

void conf_man_systemd(struct buf *b)
{
	static const enum conf_section sections[] = {SECTION_UNIT, SECTION_SERVICE, SECTION_INSTALL};

	conf_man_head(b, "STEAD-SYSTEMD", "7", "stead-systemd", "what each key of systemd's units means to stead");
	buf_puts(b, ".Sh DESCRIPTION\n");
	conf_man_text(b, "A NAME.service of systemd is an app's file as it is: `stead deploy NAME.service` runs what it "
			 "describes. With [Site] in it, of which systemd only warns, its program is asked for what visitors want; "
			 "without it, it runs and is asked nothing. Each key of systemd 257 is here: as in systemd, or how it "
			 "differs, or why it has no effect. A key that has none is told by `stead check` with its position, and a "
			 "key that nobody knows is a warning, as in systemd. Listen=, Workers=, Threads=, LifetimeSec= and RssMax= "
			 "are stead's own, and systemd ignores them.");
	buf_puts(b, ".Pp\n");
	conf_man_text(b, "An app's processes are its own user's and see what stead shows them, whatever is left out: "
			 "stead.conf(5) has the defaults.");
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		buf_printf(b, ".Sh [%s]\n", section_rows[sections[i]].name);
		accepted(b, sections[i], SYSTEMD_SAME);
		accepted(b, sections[i], SYSTEMD_DIFFERS);
		noted(b, sections[i]);
	}
	buf_puts(b, ".Sh SEE ALSO\n.Xr stead 1 ,\n.Xr stead.conf 5 ,\n.Xr systemd.exec 5 ,\n.Xr systemd.service 5\n");
}
