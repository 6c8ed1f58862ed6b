/*
 * parse.c: the text of a unit file to its entries, in systemd's syntax (systemd.syntax(7)).
 *
 * Called by conf_read(). Lines are [Section], KEY=VALUE, or begin with # or ;. A line that ends
 * with a backslash goes on in the next one, the backslash counting as a blank; comment lines
 * between are skipped. Each entry knows its place, also behind continuations. Untrusted input:
 * every bound is checked, and what is not text stops the parse at its first byte.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

struct parse {
	struct conf *c;
	const char *file;
	const char *at, *end;
	unsigned line;
	enum conf_section section; /* SECTION_END: entries are skipped */
	const char *scope;
	bool in_section;
	unsigned entries;
	struct conf_entry **tail;
};

/* One line without its end; the cursor moves behind it. */
struct line {
	const char *p;
	size_t n;
	unsigned no;
};

size_t conf_utf8_span(const char *text, size_t n)
{
	size_t i = 0;

	while (i < n) {
		unsigned char b = (unsigned char)text[i];
		unsigned more = b < 0x80 ? 0 : b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
		uint32_t cp = b < 0x80 ? b : b & (0x3fu >> more);
		static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};

		if ((b >= 0x80 && b < 0xc2) || b > 0xf4 || n - i <= more)
			return i;
		for (unsigned k = 1; k <= more; k++) {
			unsigned char t = (unsigned char)text[i + k];

			if ((t & 0xc0) != 0x80)
				return i;
			cp = cp << 6 | (t & 0x3f);
		}
		if (cp < least[more] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
			return i;
		i += more + 1;
	}
	return n;
}

struct conf_pos conf_entry_pos(const struct conf_entry *e, size_t off)
{
	struct conf_pos p = e->key_pos;

	for (unsigned i = 0; i < e->nsegs && e->segs[i].off <= off; i++) {
		p.line = e->segs[i].line;
		p.col = e->segs[i].col + (unsigned)(off - e->segs[i].off);
	}
	return p;
}

static bool next_line(struct parse *p, struct line *ret)
{
	const char *nl;

	if (p->at >= p->end)
		return false;
	nl = memchr(p->at, '\n', (size_t)(p->end - p->at));
	ret->p = p->at;
	ret->n = (size_t)((nl != NULL ? nl : p->end) - p->at);
	ret->no = ++p->line;
	p->at = nl != NULL ? nl + 1 : p->end;
	if (ret->n > 0 && ret->p[ret->n - 1] == '\r')
		ret->n--;
	return true;
}

static bool blank(char ch)
{
	return ch == ' ' || ch == '\t';
}

static size_t lead(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && blank(p[i]))
		i++;
	return i;
}

static size_t trimmed(const char *p, size_t n)
{
	while (n > 0 && blank(p[n - 1]))
		n--;
	return n;
}

static struct conf_pos place(const struct parse *p, const struct line *l, size_t off)
{
	return (struct conf_pos){.file = p->file, .line = l->no, .col = (unsigned)off + 1};
}

/* "did you mean [Site]?" for a section's name, or a hint where the names stand. */
static void section_todo(const char *name, char *todo, size_t cap)
{
	enum conf_section best = SECTION_END;
	unsigned best_d = 4;

	for (enum conf_section s = 0; s < SECTION_END; s++) {
		unsigned d = conf_distance(name, section_rows[s].name, 4);

		if (d < best_d && conf_near(name, d)) {
			best = s;
			best_d = d;
		}
	}
	if (best != SECTION_END)
		snprintf(todo, cap, "did you mean [%s]?", section_rows[best].name);
	else
		snprintf(todo, cap, "%s",
			"the sections are [Site], [Route PATH], [Upstream NAME], [Tcp NAME], "
			"[Python], [Postgres], [Server], [Service], [Unit] and [Install]; one "
			"that begins with X- is ignored");
}

static void begin_scope(
	struct parse *p, enum conf_section s, const char *arg, const struct conf_pos *pos)
{
	const char *id = conf_scope_id(p->c, s, arg);

	if (id == NULL || conf_scope_at(p->c, s, id, pos) == NULL)
		return;
	p->section = s;
	p->scope = id;
}

/* `name` is what stands between the brackets. */
static void enter_section(struct parse *p, const struct line *l, size_t off, const char *name)
{
	size_t n = strcspn(name, " \t");
	const char *arg = name + n + strspn(name + n, " \t");
	struct conf_pos pos = place(p, l, off);
	char todo[CONF_TODO_MAX];
	char *word = conf_strndup(p->c, name, n);

	p->in_section = true;
	p->section = SECTION_END;
	p->scope = "";
	if (word == NULL || (word[0] == 'X' && word[1] == '-'))
		return;
	for (enum conf_section s = 0; s < SECTION_END; s++) {
		const struct section_row *row = &section_rows[s];

		if (strcmp(row->name, word) != 0)
			continue;
		if (row->flags & SECTION_LATER)
			conf_find(p->c, CONF_ERROR, &pos, "take the section out",
				"this version of stead does not have [%s] yet", row->name);
		else if (p->c->facts.folderless && !(row->flags & SECTION_FOLDERLESS))
			conf_find(p->c, CONF_ERROR, &pos,
				"take the section out; an app has a folder, with a stead.conf of its "
				"own",
				"[%s] cannot stand in a file of Sites=: that has [Site], [Route PATH] "
				"and [Upstream NAME] only",
				row->name);
		else if (arg[0] != '\0' && !row->arg)
			conf_find(p->c, CONF_ERROR, &pos, "", "[%s] takes no argument", row->name);
		else if (conf_scope_id_check(p->c, s, arg, &pos) == 0)
			begin_scope(p, s, arg, &pos);
		return;
	}
	section_todo(word, todo, sizeof(todo));
	conf_find(p->c, CONF_ERROR, &pos, todo, "there is no section [%s]", word);
}

static void parse_header(struct parse *p, const struct line *l, size_t off)
{
	size_t n = trimmed(l->p, l->n);
	struct conf_pos pos = place(p, l, n);
	const char *name;

	p->in_section = true;
	p->section = SECTION_END;
	if (n <= off + 1 || l->p[n - 1] != ']') {
		conf_find(p->c, CONF_ERROR, &pos,
			"a section is written [Name] on a line of its own",
			"the section's ] is missing");
		return;
	}
	off += 1 + lead(l->p + off + 1, n - off - 2);
	name = conf_strndup(p->c, l->p + off, trimmed(l->p + off, n - 1 - off));
	if (name == NULL)
		return;
	if (name[0] == '\0') {
		pos = place(p, l, off);
		conf_find(p->c, CONF_ERROR, &pos, "", "the section has no name");
		return;
	}
	enter_section(p, l, off, name);
}

static void add_seg(struct conf_entry *e, unsigned cap, size_t off, unsigned line, unsigned col)
{
	if (e->nsegs < cap)
		e->segs[e->nsegs++] = (struct conf_seg){.off = off, .line = line, .col = col};
}

/* Does the line go on? The backslash must be its last byte. */
static bool goes_on(const struct line *l)
{
	return l->n > 0 && l->p[l->n - 1] == '\\';
}

/* The value from `off` of line l on, with its continuation lines. */
static void read_value(struct parse *p, struct conf_entry *e, struct line l, size_t off)
{
	enum { SEGS_MAX = 64 };
	struct conf_seg segs[SEGS_MAX];
	struct buf b;

	e->segs = segs;
	buf_init(&b, CONF_VALUE_BYTES_MAX);
	add_seg(e, SEGS_MAX, 0, l.no, (unsigned)off + 1);
	for (;;) {
		bool more = goes_on(&l);

		buf_put(&b, l.p + off, l.n - off - (more ? 1 : 0));
		if (!more)
			break;
		buf_putc(&b, ' ');
		do {
			if (!next_line(p, &l))
				goto done;
			off = lead(l.p, l.n);
		} while (off < l.n && (l.p[off] == '#' || l.p[off] == ';'));
		add_seg(e, SEGS_MAX, b.len, l.no, (unsigned)off + 1);
	}
done:
	if (b.error == -EOVERFLOW)
		conf_find(p->c, CONF_ERROR, &e->key_pos, "",
			"%s=: the value is longer than %d bytes", e->key, CONF_VALUE_BYTES_MAX);
	else if (b.error != 0)
		p->c->no_memory = true;
	e->value = b.error != 0 || b.len == 0 ? "" : conf_strndup(p->c, b.p, trimmed(b.p, b.len));
	e->segs = conf_alloc(p->c, e->nsegs * sizeof(*segs));
	if (e->segs != NULL)
		memcpy(e->segs, segs, e->nsegs * sizeof(*segs));
	else
		e->nsegs = 0;
	buf_done(&b);
}

static void skip_value(struct parse *p, struct line l)
{
	while (goes_on(&l) && next_line(p, &l))
		;
}

static void parse_assignment(struct parse *p, const struct line *l, size_t off)
{
	const char *eq = memchr(l->p + off, '=', l->n - off);
	struct conf_pos pos = place(p, l, off);
	struct conf_entry *e;
	size_t key_n, value_off;

	if (eq == NULL || eq == l->p + off) {
		conf_find(p->c, CONF_ERROR, &pos, "write KEY=VALUE, [Section], or # and a comment",
			eq == NULL ? "there is no = in this line"
				   : "the key is missing before the =");
		skip_value(p, *l);
		return;
	}
	if (!p->in_section) {
		conf_find(p->c, CONF_ERROR, &pos,
			"write [Site] or another section in a line before it",
			"this line stands before the first section");
		p->in_section = true; /* said once */
	}
	if (p->section == SECTION_END || p->entries >= CONF_ENTRIES_MAX) {
		if (p->section != SECTION_END && p->entries++ == CONF_ENTRIES_MAX)
			conf_find(p->c, CONF_ERROR, &pos, "", "there are more than %d lines",
				CONF_ENTRIES_MAX);
		skip_value(p, *l);
		return;
	}
	e = conf_alloc(p->c, sizeof(*e));
	if (e == NULL)
		return;
	p->entries++;
	key_n = trimmed(l->p + off, (size_t)(eq - l->p) - off);
	value_off = (size_t)(eq - l->p) + 1;
	value_off += lead(l->p + value_off, l->n - value_off);
	e->section = p->section;
	e->scope = p->scope;
	e->key = conf_strndup(p->c, l->p + off, key_n);
	e->key_pos = pos;
	if (e->key == NULL)
		return;
	read_value(p, e, *l, value_off);
	*p->tail = e;
	p->tail = &e->next;
}

/* Text, and not too much of it. True when it can be parsed. */
static bool check_text(struct parse *p, const char *text, size_t n)
{
	size_t good = conf_utf8_span(text, n);
	const char *bol = text, *cr;
	struct conf_pos pos = {.file = p->file, .line = 1, .col = 1};

	if (n > CONF_FILE_BYTES_MAX) {
		conf_find(p->c, CONF_ERROR, &pos, "", "the file is larger than %d KB",
			CONF_FILE_BYTES_MAX / 1024);
		return false;
	}
	/* A CR is part of a line's end or nothing that belongs here. */
	for (const char *at = text; (cr = memchr(at, '\r', (size_t)(text + good - at))) != NULL;
		at = cr + 1)
		if (cr + 1 < text + n && cr[1] != '\n') {
			good = (size_t)(cr - text);
			break;
		}
	if (good == n)
		return true;
	for (const char *q = text; q < text + good; q++)
		if (*q == '\n') {
			pos.line++;
			bol = q + 1;
		}
	pos.col = (unsigned)(text + good - bol) + 1;
	conf_find(p->c, CONF_ERROR, &pos, "save the file as UTF-8 text",
		"this is not text: the byte 0x%02x cannot stand here", (unsigned char)text[good]);
	return false;
}

int conf_parse(struct conf *c, const char *file, const char *text, size_t n,
	struct conf_entry **ret_entries)
{
	struct parse p = {.c = c, .at = text, .end = text + n, .section = SECTION_END};
	struct line l;

	*ret_entries = NULL;
	p.tail = ret_entries;
	p.file = conf_strndup(c, file, strlen(file));
	if (p.file == NULL)
		return -ENOMEM;
	if (!check_text(&p, text, n))
		return 0;
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		p.at += 3;
	while (!c->no_memory && next_line(&p, &l)) {
		size_t off = lead(l.p, l.n);

		if (off == l.n || l.p[off] == '#' || l.p[off] == ';')
			continue;
		if (l.p[off] == '[')
			parse_header(&p, &l, off);
		else
			parse_assignment(&p, &l, off);
	}
	return c->no_memory ? -ENOMEM : 0;
}
