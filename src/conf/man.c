/*
 * man.c: stead(1) and stead.conf(5) as mdoc(7), from the tables.
 *
 * Called by man/gen.c, whose output is committed; a test compares it. Text only; owns nothing.
 */
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

enum { WIDTH = 78 };

/* A sentence ends at this word, and another one follows. */
static bool sentence_ends(const char *word, size_t n, const char *next)
{
	char last = n > 0 ? word[n - 1] : '\0';

	return (last == '.' || last == '?' || last == '!') && *next != '\0' &&
	       !(*next >= 'a' && *next <= 'z');
}

/* Text as lines of mdoc: each sentence begins a line, and no line begins with a dot. */
void conf_man_text(struct buf *b, const char *s)
{
	size_t col = 0;

	while (*s != '\0') {
		size_t n = strcspn(s, " ");
		const char *next = s + n + strspn(s + n, " ");

		if (col > 0 && col + 1 + n > WIDTH) {
			buf_putc(b, '\n');
			col = 0;
		}
		if (col > 0) {
			buf_putc(b, ' ');
			col++;
		} else if (*s == '.' || *s == '\'') {
			buf_puts(b, "\\&");
		}
		for (size_t i = 0; i < n; i++)
			buf_puts(b, s[i] == '\\' ? "\\e" : (char[]){s[i], '\0'});
		col += n;
		if (sentence_ends(s, n, next)) {
			buf_putc(b, '\n');
			col = 0;
		}
		s = next;
	}
	buf_putc(b, '\n');
}

/* A phrase of a table as a sentence. */
static void sentence(struct buf *b, const char *s)
{
	char mem[512];
	struct buf phrase;

	buf_fixed(&phrase, mem, sizeof(mem));
	buf_putc(&phrase, *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s);
	buf_printf(&phrase, "%s.", s + 1);
	must(phrase.error == 0);
	conf_man_text(b, buf_str(&phrase));
}

void conf_man_head(
	struct buf *b, const char *title, const char *section, const char *name, const char *line)
{
	buf_printf(b,
		".\\\" Made from tbl/ by man/gen.c (make man); do not edit.\n"
		".Dd $Mdocdate: November 23 2026 $\n.Dt %s %s\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n",
		title, section, name, line);
}

static void option(struct buf *b, const struct option_row *r)
{
	buf_puts(b, ".It ");
	if (r->letter != 0)
		buf_printf(b, "Fl %c , ", r->letter);
	buf_printf(b, "Fl Fl %s", r->name);
	if (r->argument[0] != '\0')
		buf_printf(b, " Ar %s", r->argument);
	buf_putc(b, '\n');
	conf_man_text(b, r->about);
}

/* Who may ask a running stead for it. */
static void who(struct buf *b, enum verb v)
{
	char mem[1024];
	struct buf phrase;

	buf_fixed(&phrase, mem, sizeof(mem));
	if (!conf_who(&phrase, v))
		return;
	must(phrase.error == 0);
	buf_puts(b, ".Pp\n");
	conf_man_text(b, buf_str(&phrase));
}

void conf_man_stead(struct buf *b)
{
	conf_man_head(b, "STEAD", "1", "stead", "take a web app from its folder to a live site");
	buf_puts(b,
		".Sh SYNOPSIS\n.Nm\n.Ar verb\n.Op Ar argument\n.Op Ar option ...\n"
		".Sh DESCRIPTION\n.Nm\nserves, supervises and gives a database to the web app in a "
		"folder,\nwithout any setting.\nWhat it finds out can be written in\n"
		".Xr stead.conf 5 .\n.Sh VERBS\n");
	for (enum verb v = 0; v < VERB_END; v++) {
		const struct command_row *r = &command_rows[v];

		buf_printf(b, ".Ss stead %s%s%s\n", r->name, r->arguments[0] != '\0' ? " " : "",
			r->arguments);
		conf_man_text(b, r->prose);
		who(b, v);
		buf_puts(b, ".Bl -tag -width Ds\n");
		for (enum option o = 0; o < OPTION_END; o++)
			if ((option_rows[o].verbs & (1u << v)) &&
				option_rows[o].verbs != (1u << VERB_END) - 1)
				option(b, &option_rows[o]);
		if (b->len > 19 && memcmp(b->p + b->len - 19, ".Bl -tag -width Ds\n", 19) == 0)
			b->len -= 19;
		else
			buf_puts(b, ".El\n");
	}
	buf_puts(b, ".Sh OPTIONS\nEvery verb has these.\n.Bl -tag -width Ds\n");
	for (enum option o = 0; o < OPTION_END; o++)
		if (option_rows[o].verbs == (1u << VERB_END) - 1 || option_rows[o].verbs == 0)
			option(b, &option_rows[o]);
	buf_puts(b,
		".El\n.Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev STEAD_STATE\n"
		"The state folder, when\n.Fl Fl state\nis not given.\n.El\n"
		".Sh FILES\n.Bl -tag -width Ds\n.It Pa FOLDER/stead.conf\n"
		"The app's configuration,\n.Xr stead.conf 5 .\n.It Pa FOLDER/.stead\n"
		"The state: logs, the database's files, a virtual environment made for the app.\n"
		".El\n.Sh EXIT STATUS\n.Bl -tag -width Ds\n");
	for (unsigned i = 0; i < VERB_EXIT_END; i++) {
		buf_printf(b, ".It %u\n", i);
		conf_man_text(b, verb_exit_texts[i]);
	}
	buf_puts(b, ".El\n.Sh SEE ALSO\n.Xr stead.conf 5\n");
}

static void bounds(struct buf *b, const struct conf_row *r)
{
	bool number = r->type == CONF_TYPE_INT || r->type == CONF_TYPE_COUNT ||
		      r->type == CONF_TYPE_SPAN ||
		      r->type == CONF_TYPE_SIZE || r->type == CONF_TYPE_TIME;

	if (r->type == CONF_TYPE_ENUM) {
		buf_puts(b, "One of: ");
		conf_man_text(b, r->unit);
	} else if (number) {
		buf_printf(b, "From %llu to %llu %s.\n", (unsigned long long)r->min,
			(unsigned long long)r->max, r->unit);
	} else if (r->flags & CONF_MANY) {
		buf_printf(b,
			"A list of at most %llu; the key can be repeated, and an empty value "
			"empties it.\n",
			(unsigned long long)r->max);
	}
}

static void key(struct buf *b, const struct conf_row *r)
{
	static const char *const whens[] = {[WHEN_RELOAD] = "at the next reload",
		[WHEN_RESTART] = "when the app's workers are next replaced",
		[WHEN_UP] = "at the next start of stead"};

	buf_printf(b, ".It Cm %s Ns =", r->key);
	if (r->deflt[0] != '\0')
		buf_printf(b, " Pq default: %s", r->deflt);
	else if (r->flags & CONF_DETECT)
		buf_puts(b, " Pq default: found in the folder");
	buf_putc(b, '\n');
	sentence(b, r->line);
	conf_man_text(b, r->prose);
	bounds(b, r);
	buf_printf(b, "A change takes effect %s.\n.Dl %s\n", whens[r->when], r->example);
}

static void one_known(struct buf *b, const char *key, bool later, bool *any)
{
	if (!*any)
		buf_puts(
			b, later ? ".Pp\nNot in this version:\n" : ".Pp\nNoted, without effect:\n");
	else
		buf_puts(b, " ,\n");
	*any = true;
	buf_printf(b, ".Cm %s Ns =", key);
}

/* The later or noted keys of a section, in one sentence. */
static void known(struct buf *b, enum conf_section s, bool later)
{
	bool any = false;

	for (enum conf_key k = 0; later && k < CONF_END; k++)
		if (conf_rows[k].section == s && conf_rows[k].flags & CONF_LATER)
			one_known(b, conf_rows[k].key, later, &any);
	/* systemd's keys without effect have a page of their own. */
	for (unsigned i = 0; i < conf_known_rows_n && !(section_rows[s].flags & SECTION_SYSTEMD); i++)
		if (conf_known_rows[i].section == s && !conf_known_rows[i].refused &&
			conf_known_rows[i].later == later)
			one_known(b, conf_known_rows[i].key, later, &any);
	if (any)
		buf_puts(b, " .\n");
}

/* Those that cannot hold in a section, each with the reason and what to do. */
static void refused(struct buf *b, enum conf_section s)
{
	char mem[512];
	struct buf phrase;

	for (unsigned i = 0; i < conf_known_rows_n; i++) {
		const struct conf_known_row *k = &conf_known_rows[i];

		if (k->section != s || !k->refused)
			continue;
		buf_fixed(&phrase, mem, sizeof(mem));
		buf_printf(&phrase, "is refused: %s; %s.", k->why, k->todo);
		must(phrase.error == 0);
		buf_printf(b, ".Pp\n.Cm %s Ns =\n", k->key);
		conf_man_text(b, buf_str(&phrase));
	}
}

void conf_man_stead_conf(struct buf *b)
{
	conf_man_head(b, "STEAD.CONF", "5", "stead.conf", "configuration of an app that stead serves");
	buf_puts(b,
		".Sh DESCRIPTION\nThe file\n.Pa stead.conf\nin the app's folder, or the one\n"
		".Pa NAME.service\nthere, is written in the syntax of\n.Xr systemd.syntax 7 .\n"
		"Nothing in it is needed: what is not written is found out or has a default, and\n"
		".Ql stead check\nshows each value with its origin.\n.Pp\n");
	conf_man_text(b, "A time is written 10s, 5min, 1h 30min or 500ms, and a number alone is in seconds. "
		"A size is written 100, 16K, 32M or 1G, in powers of 1024. Paths are relative to "
		"the "
		"app's folder. In paths and in the environment these specifiers are replaced: "
		"%n (NAME.service), %N and %p (NAME), %h (home), %u, %U, %g, %G (user and group), "
		"%s (shell), %H (host), %S, %C, %L, %E (folders of the app's data, cache, logs and config), %t (runtime folder), %T (/tmp), "
		"%V (/var/tmp) and %% (a percent sign).");
	buf_puts(b, ".Pp\n");
	conf_man_text(b, "An unknown key is an error in stead's own sections and a warning in [Unit], "
		"[Service] and [Install]. Sections and keys that begin with X- are ignored.");
	for (enum conf_section s = 0; s < SECTION_END; s++) {
		bool any = false;

		if (section_rows[s].flags & SECTION_LATER)
			continue;
		buf_printf(b, ".Sh [%s]\n", section_rows[s].name);
		sentence(b, section_rows[s].about);
		for (enum conf_key k = 0; k < CONF_END; k++) {
			if (conf_rows[k].section != s || conf_rows[k].flags & CONF_LATER)
				continue;
			if (!any)
				buf_puts(b, ".Bl -tag -width Ds\n");
			any = true;
			key(b, &conf_rows[k]);
		}
		if (any)
			buf_puts(b, ".El\n");
		known(b, s, true);
		known(b, s, false);
		refused(b, s);
		if (section_rows[s].flags & SECTION_SYSTEMD)
			buf_puts(b, ".Pp\nWhat each of systemd's keys means here, and which of them have no effect, is in\n"
				    ".Xr stead-systemd 7 .\n");
	}
	buf_puts(b, ".Sh EXAMPLES\n.Bd -literal -offset indent\n[Site]\nDomain=shop.example\n"
		    "Static=/static static\n\n[Python]\nWsgi=app:app\nWorkers=4\n.Ed\n"
		    ".Sh SEE ALSO\n.Xr stead 1 ,\n.Xr stead-systemd 7 ,\n.Xr systemd.syntax 7\n");
}
