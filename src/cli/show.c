/*
 * show.c: what people see: errors, progress, findings, records of the log.
 *
 * Called by the verbs. On a terminal a step is one line that becomes its result; elsewhere each
 * step is a plain line. With --json every object is printed as it came.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/visible.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_json(const json_t *o)
{
	/* Escaped for a program, and as harmless for a terminal: there what is no ASCII too. */
	char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(12) | (isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0));

	if (text)
		(void)puts(text);
	free(text);
	(void)fflush(stdout);
}

/* What the app wrote must not move the cursor or change colours of the terminal that shows it. */
static void print_safe(FILE *to, const char *s)
{
	size_t n = strlen(s), at = 0, from = 0, odd;

	while (at < n) {
		odd = visible_odd(s + at, n - at);
		if (!odd) {
			at += visible_utf8(s + at, n - at);
			continue;
		}
		(void)fwrite(s + from, 1, at - from, to);
		for (size_t end = at + odd; at < end; at++)
			(void)fprintf(to, "\\x%02x", (unsigned char)s[at]);
		from = at;
	}
	(void)fwrite(s + from, 1, n - from, to);
}

void show_plain(struct buf *b, const char *text, const char *indent)
{
	size_t n = strlen(text), at = 0;

	while (at < n) {
		size_t odd = visible_odd(text + at, n - at), len = odd ? odd : visible_utf8(text + at, n - at);

		if (text[at] == '\n' && indent)
			buf_printf(b, "\n%s", indent);
		else if (odd || text[at] == '\n' || text[at] == '\t')
			buf_putc(b, '?');
		else
			buf_put(b, text + at, len);
		at += len;
	}
}

void show_error(const struct cli *c, const char *what, const char *todo)
{
	if (c->json) {
		json_t *o = json_pack(
			"{s:s, s:s, s:s?}", "event", "error", "error", what, "todo", todo);

		print_json(o);
		json_decref(o);
		return;
	}
	(void)fputs("stead: ", stderr);
	print_safe(stderr, what);
	(void)fputc('\n', stderr);
	if (todo && *todo) {
		(void)fputs("  what to do: ", stderr);
		print_safe(stderr, todo);
		(void)fputc('\n', stderr);
	}
}

void show_line_done(struct cli *c)
{
	if (c->tty && !c->quiet && !c->json)
		(void)fputs("\r\033[K", stdout);
	(void)fflush(stdout);
}

static void show_progress(struct cli *c, const json_t *o)
{
	const json_t *permille = json_object_get(o, "permille");
	const char *text = text_of(o, "text");

	if (c->quiet)
		return;
	if (!*text)
		text = text_of(o, "step");
	show_line_done(c);
	(void)fputs("  ", stdout);
	print_safe(stdout, text);
	if (permille)
		(void)printf("  %d %%", (int)(json_integer_value(permille) / 10));
	if (!c->tty)
		(void)fputc('\n', stdout);
	(void)fflush(stdout);
}

static void show_finding(struct cli *c, const json_t *o)
{
	static const char *const levels[] = {"error", "warning", "note"};
	json_int_t level = number_of(o, "level"), line = number_of(o, "line");
	FILE *to = stderr;

	if (level < 0 || level > 2)
		level = 2;
	if (c->quiet && level != 0)
		return;
	show_line_done(c);
	if (*text_of(o, "file")) {
		print_safe(to, text_of(o, "file"));
		if (line > 0)
			(void)fprintf(to, ":%d:%d", (int)line, (int)number_of(o, "column"));
		(void)fputs(": ", to);
	}
	(void)fprintf(to, "%s: ", levels[level]);
	print_safe(to, text_of(o, "text"));
	(void)fputc('\n', to);
	if (*text_of(o, "todo")) {
		(void)fputs("  what to do: ", to);
		print_safe(to, text_of(o, "todo"));
		(void)fputc('\n', to);
	}
}

static void show_access(const json_t *o)
{
	(void)printf("%lld ", (long long)number_of(o, "status"));
	print_safe(stdout, text_of(o, "method"));
	(void)fputc(' ', stdout);
	print_safe(stdout, text_of(o, "target"));
	if (json_object_get(o, "ms"))
		(void)printf("  %.1f ms", json_number_value(json_object_get(o, "ms")));
	if (json_object_get(o, "bytes"))
		(void)printf("  %lld B", (long long)number_of(o, "bytes"));
	(void)fputs("  ", stdout);
	print_safe(stdout, text_of(o, "client"));
	if (*text_of(o, "close") && strcmp(text_of(o, "close"), "done") != 0) {
		(void)fputs("  ", stdout);
		print_safe(stdout, text_of(o, "close"));
	}
}

/* A connection of [Tcp]. */
static void show_tcp(const json_t *o)
{
	(void)fputs("tcp ", stdout);
	print_safe(stdout, text_of(o, "tcp"));
	(void)fputs("  to ", stdout);
	print_safe(stdout, *text_of(o, "server") ? text_of(o, "server") : "nobody");
	(void)printf("  %.1f ms  %lld B in  %lld B out  ", json_number_value(json_object_get(o, "ms")),
		(long long)number_of(o, "bytes_in"), (long long)number_of(o, "bytes_out"));
	print_safe(stdout, text_of(o, "client"));
	(void)fputs("  ", stdout);
	print_safe(stdout, text_of(o, "close"));
}

/* On the line that it stands in. */
static void print_line(FILE *to, const char *text)
{
	char *copy = strdup(text);

	for (char *at = copy; at && (at = strchr(at, '\n')) != NULL;)
		*at = ' ';
	print_safe(to, copy ? copy : text);
	free(copy);
}

static void show_members(const json_t *o)
{
	static const char *const said[] = {"ts", "kind", "level", "event", "text", "todo", "help"};
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)o, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < sizeof said / sizeof *said; i++)
			known = known || strcmp(key, said[i]) == 0;
		if (known || (json_is_string(value) && !*json_string_value(value)))
			continue;
		(void)printf("  %s=", key);
		if (json_is_string(value))
			print_line(stdout, json_string_value(value));
		else
			(void)printf("%lld", (long long)json_integer_value(value));
	}
}

/* What is to be done in this case, then in all of its kind. */
static void show_todo(const json_t *o)
{
	static const char *const members[] = {"help", "todo"};
	const char *before = "\n         what to do: ";

	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		if (!*text_of(o, members[i]))
			continue;
		(void)fputs(before, stdout);
		print_line(stdout, text_of(o, members[i]));
		before = "; ";
	}
}

void show_record(const struct cli *c, const json_t *o)
{
	const char *ts = text_of(o, "ts"), *kind = text_of(o, "kind");

	if (c->json) {
		print_json(o);
		return;
	}
	/* What reads lines of such a format wants nothing else among them. */
	if (c->format) {
		(void)show_formatted(c, o);
		return;
	}
	/* The site asked for this line. */
	if (strcmp(kind, "access") == 0 && *text_of(o, "line")) {
		print_safe(stdout, text_of(o, "line"));
		(void)fputc('\n', stdout);
		(void)fflush(stdout);
		return;
	}
	/* The time of day is what people compare; the date is in the JSON. */
	(void)printf("%.8s ", strlen(ts) > 19 ? ts + 11 : "        ");
	if (strcmp(kind, "access") == 0 && json_object_get(o, "status")) {
		show_access(o);
	} else if (strcmp(kind, "access") == 0 && json_object_get(o, "tcp")) {
		show_tcp(o);
	} else if (strcmp(kind, "event") == 0) {
		(void)fputs("stead: ", stdout);
		print_safe(stdout, text_of(o, "text"));
		show_members(o);
		show_todo(o);
	} else {
		print_safe(stdout, *text_of(o, "app") ? text_of(o, "app") : "app");
		(void)fputs(": ", stdout);
		print_safe(stdout, text_of(o, "text"));
	}
	(void)fputc('\n', stdout);
	(void)fflush(stdout);
}

void show_event(struct cli *c, const json_t *o)
{
	const char *event = text_of(o, "event");

	/* A record of the log has a kind; its "event" is the name of what happened. */
	if (json_object_get(o, "kind"))
		show_record(c, o);
	else if (c->json)
		print_json(o);
	else if (strcmp(event, "metrics") == 0)
		(void)fputs(text_of(o, "text"), stdout);
	else if (strcmp(event, "progress") == 0)
		show_progress(c, o);
	else if (strcmp(event, "finding") == 0)
		show_finding(c, o);
	else if (strcmp(event, "alert") == 0)
		show_alert_test(c, o);
}

void show_tail(FILE *to, const json_t *lines)
{
	size_t i;
	json_t *line;

	if (!json_array_size(lines))
		return;
	(void)fputs("  the last lines:\n", to);
	json_array_foreach(lines, i, line)
	{
		const char *text =
			json_is_string(line) ? json_string_value(line) : text_of(line, "text");

		(void)fputs("    ", to);
		print_safe(to, text);
		(void)fputc('\n', to);
	}
}

int show_end(struct cli *c, const json_t *o)
{
	int code = (int)number_of(o, "exit");

	if (c->json) {
		print_json(o);
		return code;
	}
	show_line_done(c);
	if (*text_of(o, "error"))
		show_error(c, text_of(o, "error"), NULL);
	show_tail(stderr, json_object_get(o, "tail"));
	if (*text_of(o, "todo"))
		(void)fprintf(stderr, "  what to do: %s\n", text_of(o, "todo"));
	return code;
}
