/*
 * env.c: files of variables, as EnvironmentFile= names them (systemd.exec(5)).
 *
 * Called by `check`, which reads the file. Lines are NAME=VALUE; # and ; begin comments. A value
 * may begin with quotes, also over several lines: in '…' all is literal, in "…" a backslash escapes " \ ` $
 * and a line's end; unquoted it escapes any byte, and a line's end goes on with the next one. An `export ` before the name is let pass, as
 * shells write it.
 */
#include <errno.h>
#include <string.h>

#include "conf_priv.h"

struct env_read {
	struct conf *c;
	const char *file;
	const char *at, *end;
	const char *bol; /* of the line that `at` is in */
	unsigned line;
};

static struct conf_pos here(const struct env_read *r)
{
	return (struct conf_pos){
		.file = r->file, .line = r->line, .col = (unsigned)(r->at - r->bol) + 1};
}

/* One byte on, counting lines. */
static char step(struct env_read *r)
{
	char ch = *r->at++;

	if (ch == '\n') {
		r->line++;
		r->bol = r->at;
	}
	return ch;
}

static bool more(const struct env_read *r)
{
	return r->at < r->end;
}

/* Inside quotes, up to the closing one. False when it never comes. */
static bool read_quoted(struct env_read *r, char quote, struct buf *b)
{
	while (more(r)) {
		char ch = step(r);

		if (ch == quote)
			return true;
		if (ch == '\\' && quote == '"' && more(r)) {
			char next = step(r);

			if (next == '\n')
				continue;
			if (strchr("\"\\`$", next) == NULL)
				buf_putc(b, '\\');
			buf_putc(b, next);
		} else {
			buf_putc(b, ch);
		}
	}
	return false;
}

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t';
}

static bool is_end(const struct env_read *r)
{
	return !more(r) || *r->at == '\n' || *r->at == '\r';
}

/* The value up to the line's end. Quotes count at its beginning and behind other quotes; from the first
 * unquoted byte on they are bytes like others. Blanks at the end are none of it, but escaped ones. */
static bool read_value(struct env_read *r, struct buf *b)
{
	size_t keep = 0;
	bool plain = false;

	while (!is_end(r)) {
		char ch = step(r);

		if (!plain && (ch == '"' || ch == '\'')) {
			if (!read_quoted(r, ch, b))
				return false;
			keep = b->len;
		} else if (ch == '\\') {
			plain = true;
			if (more(r) && *r->at != '\n')
				buf_putc(b, *r->at);
			if (more(r))
				step(r);
			keep = b->len;
		} else if (plain || !is_blank(ch)) {
			plain = true;
			buf_putc(b, ch);
			keep = is_blank(ch) ? keep : b->len;
		}
	}
	if (b->error == 0)
		b->len = keep;
	return true;
}

static void read_line(struct env_read *r)
{
	struct conf_pos pos;
	struct buf b;
	const char *name, *eq;

	while (more(r) && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r'))
		step(r);
	if (more(r) && (*r->at == '#' || *r->at == ';'))
		goto rest;
	if (!more(r) || *r->at == '\n')
		goto rest;
	if (r->end - r->at > 7 && memcmp(r->at, "export ", 7) == 0)
		r->at += 7;
	pos = here(r);
	name = r->at;
	while (more(r) && *r->at != '=' && *r->at != '\n')
		step(r);
	if (!more(r) || *r->at == '\n') {
		conf_find(r->c, CONF_ERROR, &pos, "write NAME=VALUE, or # and a comment",
			"there is no = in this line");
		goto rest;
	}
	eq = r->at;
	while (eq > name && (eq[-1] == ' ' || eq[-1] == '\t'))
		eq--;
	buf_init(&b, CONF_VALUE_BYTES_MAX);
	buf_put(&b, name, (size_t)(eq - name));
	buf_putc(&b, '=');
	step(r);
	/* The name is never trimmed again: the value begins a buf of its own. */
	{
		struct buf v;

		buf_init(&v, CONF_VALUE_BYTES_MAX);
		if (!read_value(r, &v))
			conf_find(r->c, CONF_ERROR, &pos, "",
				"the quote that opens in this value is not closed");
		if (v.error != 0)
			b.error = v.error;
		else if (v.len > 0)
			buf_put(&b, v.p, v.len);
		buf_done(&v);
	}
	if (b.error == -EOVERFLOW)
		conf_find(r->c, CONF_ERROR, &pos, "", "the value is longer than %d bytes",
			CONF_VALUE_BYTES_MAX);
	else if (b.error != 0)
		r->c->no_memory = true;
	else
		(void)conf_put_key(
			r->c, CONF_SERVICE_ENVIRONMENT, buf_str(&b), CONF_FROM_ENV_FILE, &pos);
	buf_done(&b);
rest:
	while (more(r) && *r->at != '\n')
		step(r);
	if (more(r))
		step(r);
}

int conf_read_env(struct conf *c, const char *file, const char *text, size_t n)
{
	struct env_read r = {.c = c, .at = text, .end = text + n, .bol = text, .line = 1};
	unsigned errors = c->errors;
	struct conf_pos pos = {.file = file, .line = 1, .col = 1};

	if (n > CONF_FILE_BYTES_MAX || conf_utf8_span(text, n) != n) {
		conf_find(c, CONF_ERROR, &pos, "",
			n > CONF_FILE_BYTES_MAX ? "the file is larger than 256 KB"
						: "the file is not UTF-8 text");
		return -EINVAL;
	}
	r.file = conf_strndup(c, file, strlen(file));
	while (more(&r) && !c->no_memory && c->errors < errors + CONF_FINDINGS_MAX)
		read_line(&r);
	if (c->no_memory)
		return -ENOMEM;
	return c->errors > errors ? -EINVAL : 0;
}

bool conf_env_showable(const char *name)
{
	static const char *const hidden[] = {"SECRET", "PASS", "PWD", "TOKEN", "KEY", "CREDENTIAL",
		"DSN", "_URL", "_URI", "AUTH", "COOKIE", "SALT"};

	for (unsigned i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (strcasestr(name, hidden[i]) != NULL)
			return false;
	return true;
}
