/*
 * help.c: `stead --help`, `stead VERB --help` and the shells' completion, from tbl/commands.h.
 *
 * Called by the CLI. Text only; owns nothing.
 */
#include <errno.h>
#include <string.h>

#include "conf.h"
#include "lib/must.h"

enum { WIDTH = 78 };

/* Words of `text` in lines of WIDTH, each begun by `indent` blanks. */
static void wrap(struct buf *b, const char *text, unsigned indent)
{
	size_t col = WIDTH + 1;

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (col + 1 + n > WIDTH) {
			if (col <= WIDTH)
				buf_putc(b, '\n');
			buf_printf(b, "%*s", (int)indent, "");
			col = indent;
		} else {
			buf_putc(b, ' ');
			col++;
		}
		buf_put(b, text, n);
		col += n;
		text += n;
		text += strspn(text, " ");
	}
	buf_putc(b, '\n');
}

static void option_help(struct buf *b, const struct option_row *r)
{
	size_t at = b->len;

	if (r->letter != 0)
		buf_printf(b, "  -%c, --%s", r->letter, r->name);
	else
		buf_printf(b, "      --%s", r->name);
	if (r->argument[0] != '\0')
		buf_printf(b, " %s", r->argument);
	at = b->len - at;
	buf_printf(b, "%*s%s\n", at < 26 ? (int)(26 - at) : 2, "", r->about);
}

static void help_all(struct buf *b)
{
	buf_puts(b, "stead takes a web app's folder to a live, supervised site.\n\n"
		    "usage: stead VERB [ARGUMENT] [OPTION...]\n\n"
		    "  stead up                  take the app in this folder live\n\nverbs:\n");
	for (enum verb v = 0; v < VERB_END; v++) {
		const struct command_row *r = &command_rows[v];
		size_t n =
			strlen(r->name) + (r->arguments[0] != '\0' ? 1 : 0) + strlen(r->arguments);

		buf_printf(b, "  %s%s%s%*s%s\n", r->name, r->arguments[0] != '\0' ? " " : "",
			r->arguments, n < 24 ? (int)(24 - n) : 2, "", r->line);
	}
	buf_puts(b, "\noptions of every verb:\n");
	for (enum option o = 0; o < OPTION_END; o++)
		if (option_rows[o].verbs == (1u << VERB_END) - 1 || option_rows[o].verbs == 0)
			option_help(b, &option_rows[o]);
	buf_puts(b, "\n`stead VERB --help` shows the options of a verb. stead(1), stead.conf(5)\n");
}

/* "for A (NAME, NAME); for B (NAME)": who may ask what of a running stead; with names where they differ. */
bool conf_who(struct buf *b, enum verb v)
{
	bool any = false, differ = false;
	enum who first = WHO_END;

	for (enum request_verb r = REQUEST_NONE + 1; r < REQUEST_END; r++)
		if (request_rows[r].verb == v) {
			differ = differ || (first != WHO_END && first != request_rows[r].who);
			first = request_rows[r].who;
		}
	for (enum who w = 0; w < WHO_END; w++) {
		bool named = false;

		for (enum request_verb r = REQUEST_NONE + 1; r < REQUEST_END; r++) {
			if (request_rows[r].verb != v || request_rows[r].who != w)
				continue;
			if (!named)
				buf_printf(b, "%s%s", any ? "; for " : "For ", who_texts[w]);
			if (differ)
				buf_printf(b, "%s%s", named ? ", " : " (", request_rows[r].name);
			named = any = true;
		}
		if (named && differ)
			buf_putc(b, ')');
	}
	if (any)
		buf_putc(b, '.');
	return any;
}

static void who(struct buf *b, enum verb v)
{
	char mem[1024];
	struct buf text;

	buf_fixed(&text, mem, sizeof(mem));
	if (conf_who(&text, v))
		wrap(b, buf_str(&text), 0);
}

int conf_help(struct buf *ret, const char *verb)
{
	if (verb == NULL) {
		help_all(ret);
		return 0;
	}
	for (enum verb v = 0; v < VERB_END; v++) {
		const struct command_row *r = &command_rows[v];

		if (strcmp(r->name, verb) != 0)
			continue;
		buf_printf(ret, "usage: stead %s%s%s [OPTION...]\n\n", r->name,
			r->arguments[0] != '\0' ? " " : "", r->arguments);
		wrap(ret, r->prose, 0);
		who(ret, v);
		buf_puts(ret, "\noptions:\n");
		for (enum option o = 0; o < OPTION_END; o++)
			if (option_rows[o].verbs & (1u << v))
				option_help(ret, &option_rows[o]);
		return 0;
	}
	return -ENOENT;
}
