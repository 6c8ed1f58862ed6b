/*
 * words.c: quoting and specifiers of systemd's syntax.
 *
 * Called by read.c for values from a file; a value in canonical form has neither. Quotes may open
 * anywhere in a word; a backslash is an escape as in C, and \s is a blank (systemd.syntax(7)).
 * Specifiers: systemd.unit(5), those that make sense for an app's folder.
 */
#include <errno.h>
#include <string.h>

#include "conf_priv.h"

/* Decode `digits` digits of base 8 or 16. -1 when they are not there. */
static long digits_of(const char *p, unsigned digits, unsigned base)
{
	long v = 0;

	for (unsigned i = 0; i < digits; i++) {
		char ch = p[i];
		long d = ch >= '0' && ch <= '9'   ? ch - '0'
			 : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
			 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
						  : 99;

		if (d >= (long)base)
			return -1;
		v = v * (long)base + d;
	}
	return v;
}

static void put_utf8(struct buf *b, unsigned long cp)
{
	if (cp < 0x80) {
		buf_putc(b, (char)cp);
	} else if (cp < 0x800) {
		buf_putc(b, (char)(0xc0 | cp >> 6));
		buf_putc(b, (char)(0x80 | (cp & 0x3f)));
	} else if (cp < 0x10000) {
		buf_putc(b, (char)(0xe0 | cp >> 12));
		buf_putc(b, (char)(0x80 | (cp >> 6 & 0x3f)));
		buf_putc(b, (char)(0x80 | (cp & 0x3f)));
	} else {
		buf_putc(b, (char)(0xf0 | cp >> 18));
		buf_putc(b, (char)(0x80 | (cp >> 12 & 0x3f)));
		buf_putc(b, (char)(0x80 | (cp >> 6 & 0x3f)));
		buf_putc(b, (char)(0x80 | (cp & 0x3f)));
	}
}

/* One escape; p stands behind the backslash. How many bytes it took, 0 when it is none. */
static size_t unescape(const char *p, struct buf *b)
{
	static const char from[] = "abfnrtv\\\"'s", to[] = "\a\b\f\n\r\t\v\\\"' ";
	const char *simple = *p != '\0' ? strchr(from, *p) : NULL;
	unsigned n = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
	long v;

	if (simple != NULL) {
		buf_putc(b, to[simple - from]);
		return 1;
	}
	if (n > 0) {
		v = digits_of(p + 1, n, 16);
		if (v <= 0 || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
			return 0;
		put_utf8(b, (unsigned long)v);
		return 1 + n;
	}
	v = digits_of(p, 3, 8);
	if (v <= 0 || v > 127)
		return 0;
	buf_putc(b, (char)v);
	return 3;
}

/* The word from *at on into b. */
static int scan_word(const char **at, struct buf *b, const char **ret_bad, const char **ret_why)
{
	const char *p = *at, *open = NULL;
	char quote = '\0';

	for (; *p != '\0' && (quote != '\0' || (*p != ' ' && *p != '\t')); p++) {
		if (*p == '\\') {
			size_t n = unescape(p + 1, b);

			if (n == 0) {
				*ret_bad = p;
				*ret_why = "this escape is not known; a backslash is written \\\\";
				return -EINVAL;
			}
			p += n;
		} else if (quote != '\0' ? *p == quote : *p == '"' || *p == '\'') {
			open = p;
			quote = quote != '\0' ? '\0' : *p;
		} else {
			buf_putc(b, *p);
		}
	}
	if (quote != '\0') {
		*ret_bad = open;
		*ret_why = "the quote that opens here is not closed";
		return -EINVAL;
	}
	*at = p;
	return 0;
}

int conf_word_next(struct conf *c, const char *base, const char **at, const char **ret_word,
	size_t *ret_off, const char **ret_why)
{
	const char *bad = NULL;
	struct buf b;
	int r;

	*at += strspn(*at, " \t");
	*ret_off = (size_t)(*at - base);
	if (**at == '\0')
		return 0;
	buf_init(&b, CONF_VALUE_BYTES_MAX);
	r = scan_word(at, &b, &bad, ret_why);
	if (r < 0) {
		*ret_off = (size_t)(bad - base);
	} else {
		/* Said to conf itself, because whoever asks for words ends at the last that he got: a line that lost
		 * its end would go on as a whole one. */
		c->no_memory |= b.error != 0;
		*ret_word = b.error != 0 ? NULL : conf_strndup(c, b.len > 0 ? b.p : "", b.len);
		r = *ret_word != NULL ? 1 : -ENOMEM;
	}
	buf_done(&b);
	return r;
}

static const char *below(struct conf *c, const char *name)
{
	const char *text = NULL;
	struct buf b;

	if (c->facts.base == NULL)
		return NULL;
	buf_init(&b, CONF_VALUE_BYTES_MAX);
	buf_printf(&b, "%s/%s", c->facts.base, name);
	c->no_memory |= b.error == -ENOMEM;
	if (b.error == 0)
		text = conf_strndup(c, b.p, b.len);
	buf_done(&b);
	return text;
}

/* What %letter stands for: NULL when there is no such specifier or its value is not known. */
static const char *specifier(struct conf *c, char letter, char *mem, size_t cap)
{
	const struct conf_facts *f = &c->facts;
	const struct conf_value *name = c->at->head[CONF_SITE_NAME];
	const char *app = name != NULL ? name->text : f->name;
	struct buf b;

	buf_fixed(&b, mem, cap);
	switch (letter) {
	case '%':
		return "%";
	case 'n':
		buf_printf(&b, "%s.service", app != NULL ? app : "");
		return app != NULL ? buf_str(&b) : NULL;
	case 'N':
	case 'p':
		return app;
	case 'i':
	case 'I':
		return ""; /* the file is no template */
	case 'h':
		return f->home;
	case 'u':
		return f->user;
	case 'U':
		buf_putu(&b, f->uid);
		return buf_str(&b);
	case 'g':
		return f->group;
	case 'G':
		buf_putu(&b, f->gid);
		return buf_str(&b);
	case 's':
		return f->shell;
	case 'H':
		return f->host;
	case 'S':
		return f->state;
	case 't':
		return f->runtime;
	case 'C':
		return below(c, "cache");
	case 'L':
		return below(c, "logs");
	case 'E':
		return below(c, "config");
	case 'T':
		return "/tmp";
	case 'V':
		return "/var/tmp";
	default:
		return NULL;
	}
}

int conf_specifiers(struct conf *c, const char *text, const char **ret_text, size_t *ret_off,
	const char **ret_why)
{
	struct buf b;
	int r = 0;

	if (strchr(text, '%') == NULL) {
		*ret_text = text;
		return 0;
	}
	buf_init(&b, CONF_VALUE_BYTES_MAX);
	for (const char *p = text; *p != '\0'; p++) {
		char mem[64];
		const char *s;

		if (*p != '%') {
			buf_putc(&b, *p);
			continue;
		}
		s = p[1] != '\0' ? specifier(c, p[1], mem, sizeof(mem)) : NULL;
		if (s == NULL) {
			*ret_off = (size_t)(p - text);
			*ret_why = "this %-specifier has no meaning here; a percent sign is "
				   "written %%";
			r = -EINVAL;
			goto out;
		}
		buf_puts(&b, s);
		p++;
	}
	*ret_text = b.error != 0 ? NULL : conf_strndup(c, b.len > 0 ? b.p : "", b.len);
	if (b.error == -EOVERFLOW) {
		*ret_off = 0;
		*ret_why = "the value is too long";
		r = -EINVAL;
	} else if (*ret_text == NULL) {
		c->no_memory = true;
		r = -ENOMEM;
	}
out:
	buf_done(&b);
	return r;
}
