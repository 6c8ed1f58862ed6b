/*
 * check_sites.c: what check says of the files of Sites=: a line for each of a few, a number of many.
 *
 * Called by verb_check.c with each message. What check answers is input: bounded, and shown without
 * control characters. `stead check FILE` shows all values of one.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 20 };

static void begin(struct check_sites *s, const char *file)
{
	(void)snprintf(s->file, sizeof s->file, "%s", file);
	conf_name_from_file(file, s->name);
	s->domains[0] = '\0';
	s->ndomains = 0;
}

static void value(struct check_sites *s, struct unpack *u)
{
	const char *section = unpack_str(u), *text, *key;
	size_t n = strlen(s->domains);

	(void)unpack_str(u);
	key = unpack_str(u);
	text = unpack_str(u);
	(void)unpack_u32(u);
	(void)unpack_u32(u);
	if (u->bad || strcmp(section, "Site") != 0)
		return;
	if (strcmp(key, "Name") == 0)
		(void)snprintf(s->name, sizeof s->name, "%s", text);
	if (strcmp(key, "Domain") == 0 && s->ndomains++ < 3 && n + strlen(text) + 2 < sizeof s->domains)
		(void)snprintf(s->domains + n, sizeof s->domains - n, "%s%s", n ? " " : "", text);
}

static void put_json(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "\"%s\":", name);
	buf_put_json(b, text, strlen(text));
}

static void put_plain(struct buf *b, const char *text)
{
	show_plain(b, text, NULL);
}

static void end(struct check_sites *s, uint32_t errors)
{
	struct buf *b = &s->out;

	s->n++;
	s->wrong += errors > 0;
	if (s->json) {
		buf_puts(b, s->n > 1 ? ",\n{" : "\n{");
		put_json(b, "file", s->file);
		buf_printf(b, ",\"ok\":%s,", errors ? "false" : "true");
		put_json(b, "name", s->name);
		buf_putc(b, ',');
		put_json(b, "domains", s->domains);
		buf_putc(b, '}');
	} else if (s->n <= SHOWN) {
		char line[80];

		(void)snprintf(line, sizeof line, "%-28s ", s->name);
		put_plain(b, line);
		put_plain(b, errors ? "(wrong)" : s->ndomains ? s->domains : "every other name");
		buf_puts(b, s->ndomains > 3 ? " …  " : "  ");
		put_plain(b, s->file);
		buf_putc(b, '\n');
	}
}

bool check_sites_heard(struct check_sites *s, struct unpack *u)
{
	while (!u->bad && !unpack_done(u)) {
		uint32_t kind = unpack_u32(u);

		if (kind == SITE_RECORD_FILE)
			begin(s, unpack_str(u));
		else if (kind == SITE_RECORD_VALUE)
			value(s, u);
		else if (kind == SITE_RECORD_END)
			end(s, unpack_u32(u));
		else
			u->bad = true;
	}
	return !u->bad;
}

void check_sites_show(struct check_sites *s)
{
	if (s->json || !s->n)
		return;
	printf("\n%u site%s by Sites=, %u wrong\n%s", s->n, s->n == 1 ? "" : "s", s->wrong,
		buf_str(&s->out));
	if (s->n > SHOWN)
		printf("… and %u more; `stead check FILE` shows all values of one\n", s->n - SHOWN);
}
