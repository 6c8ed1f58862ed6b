/*
 * show_record.c: access records of the log as lines of text, for `stead logs --format`.
 *
 * Called by show.c and verbs.c. What a record has as JSON goes back into a struct record, and from there
 * through the same code that the log process makes lines with. Owns the format and what a maker of lines keeps.
 */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/must.h"

static const struct {
	const char *name;
	enum record_text text;
} members[] = {
	{"site", RECORD_SITE},
	{"client", RECORD_CLIENT},
	{"user", RECORD_USER},
	{"method", RECORD_METHOD},
	{"target", RECORD_TARGET},
	{"host", RECORD_HOST},
	{"referer", RECORD_REFERER},
	{"agent", RECORD_AGENT},
	{"id", RECORD_ID},
	{"upstream", RECORD_UPSTREAM},
	{"server", RECORD_SERVER},
	{"cache", RECORD_CACHE},
	{"tls", RECORD_TLS},
	{"cipher", RECORD_CIPHER},
	{"sni", RECORD_SNI},
	{"subject", RECORD_SUBJECT},
};

static uint64_t number_of(const json_t *o, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(o, name));

	return v > 0 ? (uint64_t)v : 0;
}

/* Milliseconds with their thousandths. */
static uint64_t us_of(const json_t *o, const char *name)
{
	double ms = json_number_value(json_object_get(o, name));

	return ms > 0 && ms < 1e15 ? (uint64_t)(ms * 1000 + 0.5) : 0;
}

static uint64_t wall_us(const json_t *o)
{
	const char *ts = json_string_value(json_object_get(o, "ts")), *dot;
	struct tm tm = {0};
	uint64_t us = 0;

	dot = ts ? strptime(ts, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	if (!dot)
		return 0;
	if (*dot == '.')
		us = strtoull(dot + 1, NULL, 10) % 1000000;
	return (uint64_t)timegm(&tm) * 1000000 + us;
}

static bool is_text(const json_t *o, const char *name, const char *value)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s && strcmp(s, value) == 0;
}

static void fill(const json_t *o, struct record *r)
{
	const char *close = json_string_value(json_object_get(o, "close"));

	memset(r, 0, sizeof *r);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const json_t *v = json_object_get(o, members[i].name);

		if (json_is_string(v))
			r->text[members[i].text] =
				(struct record_str){json_string_value(v), json_string_length(v)};
	}
	r->head.status = (uint16_t)number_of(o, "status");
	r->head.upstream_status = (uint16_t)number_of(o, "upstream_status");
	r->head.port = (uint16_t)number_of(o, "port");
	r->head.body_out = number_of(o, "bytes");
	r->head.body_in = number_of(o, "received");
	r->head.whole_us = us_of(o, "ms");
	r->head.first_us = us_of(o, "first_ms");
	r->head.upstream_us = us_of(o, "upstream_ms");
	r->head.flags |= json_object_get(o, "first_ms") ? RECORD_HAS_FIRST : 0;
	r->head.flags |= is_text(o, "protocol", "HTTP/1.0") ? RECORD_HTTP_1_0 : 0;
	r->head.flags |= is_text(o, "protocol", "HTTP/2.0") ? RECORD_HTTP_2 : 0;
	r->head.flags |= is_text(o, "scheme", "https") ? RECORD_IS_TLS : 0;
	for (enum close_id id = 0; close && id < CLOSE_END; id++)
		if (strcmp(close_rows[id].name, close) == 0)
			r->head.close = (uint16_t)id;
}

bool show_formatted(const struct cli *c, const json_t *o)
{
	struct record r;
	struct buf line;

	if (!is_text(o, "kind", "access") || !json_object_get(o, "status"))
		return false;
	fill(o, &r);
	r.text[RECORD_FORMAT] = (struct record_str){c->format, strlen(c->format)};
	buf_init(&line, 1024 * 1024);
	if (record_line(c->lines, &line, wall_us(o), &r) == 0 && !line.error) {
		(void)fwrite(line.p, 1, line.len, stdout);
		(void)fputc('\n', stdout);
		(void)fflush(stdout);
	}
	buf_done(&line);
	return true;
}

int show_format_set(struct cli *c, const char *text)
{
	char why[160], name[80], names[1024] = "", near[48], todo[80];
	struct record_format f;
	size_t at, n;
	int err;

	c->format = strcmp(text, "combined") == 0 ? record_combined : text;
	c->lines = calloc(1, sizeof *c->lines);
	err = strchr(c->format, '$') ? record_format_parse(c->format, strlen(c->format), &f, &at, &n) : -ENOENT;
	if (!err && c->lines)
		return 0;
	if (err != -EINVAL) {
		show_error(c, err == -E2BIG ? "that format is too long" : "that is no format",
			"--format takes combined, json, or a text with variables like '$remote_addr $status'");
		return VERB_EXIT_USAGE;
	}
	(void)snprintf(name, sizeof name, "%.*s", (int)min_of(n, sizeof name - 1), c->format + at);
	(void)snprintf(why, sizeof why, "--format: there is no variable %s%s, at byte %zu", *name == '$' ? "" : "$",
		name, at + 1);
	for (enum logvar v = 0; v < LOGVAR_END; v++)
		(void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s ", logvar_rows[v].name);
	if (conf_nearest(name, names, near, sizeof near)[0])
		(void)snprintf(todo, sizeof todo, "did you mean $%s?", near);
	else
		(void)snprintf(todo, sizeof todo, "`stead introspect logvars` lists them; $$ is a dollar");
	show_error(c, why, todo);
	return VERB_EXIT_USAGE;
}
