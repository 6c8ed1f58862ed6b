/*
 * test_program_files.c: what a shell's line, a package.json, a Procfile and a Gemfile come to.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check.h"
#include "lib/must.h"
#include "program_files.h"

/* The line as "ENV ENV / WORD|WORD"; "shell" when it needs one; "none". */
static const char *line_of(const char *text, char *ret, size_t cap)
{
	struct shell_line l;
	struct unpack u;
	struct buf b, out;

	buf_init(&b, SIZE_MAX);
	buf_fixed(&out, ret, cap);
	line_pack(text, &b);
	unpack_init(&u, b.p, b.len);
	assert_true(line_take(&u, &l) && unpack_done(&u));
	for (unsigned i = 0; i < l.nenv; i++)
		buf_printf(&out, "%s ", l.env[i]);
	if (l.nenv > 0)
		buf_puts(&out, "/ ");
	for (unsigned i = 0; i < l.nwords; i++)
		buf_printf(&out, "%s%s", i > 0 ? "|" : "", l.words[i]);
	if (!l.plain)
		buf_puts(&out, l.raw[0] != '\0' ? "shell" : "none");
	(void)buf_str(&out);
	assert_int_equal(out.error, 0);
	buf_done(&b);
	return ret;
}

static void lines(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"node server.js", "node|server.js"},
		{"  node\t server.js  ", "node|server.js"},
		{"NODE_ENV=production A=1 node x", "NODE_ENV=production A=1 / node|x"},
		{"exec node x", "node|x"},
		{"node x A=1", "node|x|A=1"},
		{"puma -p $PORT", "puma|-p|$PORT"},
		{"puma -p ${PORT}", "puma|-p|$PORT"},
		{"puma -p \"$PORT\"", "puma|-p|${PORT}"},
		{"puma -b tcp://0.0.0.0:$PORT/x", "puma|-b|tcp://0.0.0.0:${PORT}/x"},
		{"say 'two words' \"and more\" ''", "say|two words|and more|"},
		{"say 'a$b' c'd'\"e\"", "say|a$$b|cde"},
		{"say 'it''s'", "say|its"},
		{"", "none"},
		{"   ", "none"},
		{"A=1", "shell"},
		{"node a.js && node b.js", "shell"},
		{"node a.js; true", "shell"},
		{"node a.js | cat", "shell"},
		{"node a.js > out", "shell"},
		{"node *.js", "shell"},
		{"node ~/a.js", "shell"},
		{"node a.js # note", "shell"},
		{"node `pwd`", "shell"},
		{"node $(pwd)", "shell"},
		{"node ${PORT:-80}", "shell"},
		{"node $1", "shell"},
		{"node \"a\\\"b\"", "shell"},
		{"node a\\ b", "shell"},
		{"node 'open", "shell"},
		{"node \"open", "shell"},
		{"$RUN x", "shell"},
		{"A=$B node x", "shell"},
		{"-x y", "shell"},
		{"+sudo y", "shell"},
		{"'' y", "shell"},
		{"(node x)", "shell"},
		{"{ node x; }", "shell"},
		{"! node x", "shell"},
		{"node a\nrm b", "none"},
		{"node \x01", "none"},
		{"node a\xc3(", "none"},
	};
	char ret[512];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(line_of(rows[i].text, ret, sizeof(ret)), rows[i].want);
}

static void long_lines(void **state)
{
	char text[LINE_BYTES_MAX + 64], ret[64];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[LINE_BYTES_MAX + 1] = '\0';
	assert_string_equal(line_of(text, ret, sizeof(ret)), "none");
	for (unsigned i = 0; i < 2 * (LINE_WORDS_MAX + 1); i++)
		text[i] = i % 2 ? ' ' : 'x';
	text[2 * (LINE_WORDS_MAX + 1)] = '\0';
	assert_string_equal(line_of(text, ret, sizeof(ret)), "shell");
}

static struct package *package_of(const char *text, struct buf *b)
{
	struct package *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	buf_init(b, SIZE_MAX);
	package_work(text, strlen(text), b);
	assert_int_equal(b->error, 0);
	assert_true(package_take(b->p, b->len, p));
	return p;
}

static void packages(void **state)
{
	struct buf b;
	struct package *p = package_of("\xef\xbb\xbf{\"scripts\": {\"start\": \"node .\", \"build\": \"x\"}, \"main\": \"lib/a.js\","
				       "\"dependencies\": {\"express\": \"^5\", \"@a/b-c\": \"1\", \"../../etc\": \"1\", \"@a/../b\": \"1\","
				       "\".bin\": \"1\", \"a/b\": \"1\", \"@/b\": \"1\", \"@a/\": \"1\", \"\": \"1\", \"a\\nb\": \"1\"}}",
		&b);

	(void)state;
	assert_string_equal(p->start.words[0], "node");
	assert_true(p->build && !p->prestart);
	assert_string_equal(p->main, "lib/a.js");
	assert_int_equal(p->ndeps, 2);
	assert_string_equal(p->deps[0], "express");
	assert_string_equal(p->deps[1], "@a/b-c");
	free(p);
	buf_done(&b);
	/* What is of another type than npm's counts as none. */
	p = package_of("{\"scripts\": [1], \"main\": \"../a.js\", \"dependencies\": \"x\"}", &b);
	assert_string_equal(p->start.raw, "");
	assert_string_equal(p->main, "");
	assert_int_equal(p->ndeps + p->line, 0);
	free(p);
	buf_done(&b);
	p = package_of("{\n \"scripts\": }", &b);
	assert_int_equal(p->line, 2);
	free(p);
	buf_done(&b);
	p = package_of("[]", &b);
	assert_int_equal(p->line, 1);
	free(p);
	buf_done(&b);
}

/* What a child packed is input: names that lead out of the folder are refused here too. */
static void packages_forged(void **state)
{
	static const char *const names[] = {"../../../etc", "a/../b", "/etc", "x\n"};
	struct package *p = calloc(1, sizeof(*p));

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct buf b;

		buf_init(&b, SIZE_MAX);
		pack_u32(&b, 1);
		line_pack("node x", &b);
		pack_u32(&b, 0);
		pack_u32(&b, 0);
		pack_str(&b, "");
		pack_u32(&b, 1);
		pack_str(&b, names[i]);
		assert_false(package_take(b.p, b.len, p));
		buf_done(&b);
	}
	free(p);
}

static void procfiles(void **state)
{
	static const char text[] = "# comment\r\nweb: node x\r\nworker-2:   a | b\nbad line\nempty:\n sp: x\n: y\nlast: z";
	struct procfile *f = calloc(1, sizeof(*f));
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	procfile_work(text, sizeof(text) - 1, &b);
	assert_true(procfile_take(b.p, b.len, f));
	assert_int_equal(f->n, 3);
	assert_string_equal(f->lines[0].name, "web");
	assert_int_equal(f->lines[0].line, 2);
	assert_string_equal(f->lines[0].command.words[1], "x");
	assert_string_equal(f->lines[1].name, "worker-2");
	assert_false(f->lines[1].command.plain);
	assert_string_equal(f->lines[2].command.raw, "z");
	assert_int_equal(f->lines[2].line, 8);
	buf_done(&b);
	free(f);
}

static struct gems gems_of(const char *text)
{
	struct gems g;
	struct buf b;

	buf_init(&b, SIZE_MAX);
	gems_work(text, strlen(text), &b);
	assert_true(gems_take(b.p, b.len, &g));
	buf_done(&b);
	return g;
}

static void gem_files(void **state)
{
	struct gems g = gems_of("GEM\n  specs:\n    nio4r (2.7)\n    puma (6.4.2)\n      nio4r (~> 2.0)\n    pg (1.5.4)\n      webrick (1)\n");

	(void)state;
	assert_int_equal(g.puma, 6004);
	assert_int_equal(g.pg, 1005);
	assert_int_equal(g.webrick, 0);
	g = gems_of("gem \"puma\", \">= 5\"\n  gem('webrick')\n# gem \"pg\"\ngem 'pumaX'\n");
	assert_int_equal(g.puma, 1);
	assert_int_equal(g.webrick, 1);
	assert_int_equal(g.pg, 0);
	g = gems_of("gem 'puma-status'\n    puma-x (1.0)\n");
	assert_int_equal(g.puma, 0);
}

static void bomb(const char *text, size_t n, struct buf *ret)
{
	(void)text;
	(void)n;
	pack_u32(ret, 7);
	abort();
}

static void well(const char *text, size_t n, struct buf *ret)
{
	pack_bytes(ret, text, n);
}

/* The child's death is no answer, whatever it said before. */
static void jailed(void **state)
{
	struct unpack u;
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	assert_int_equal(check_jailed(bomb, "x", 1, &b), -EBADMSG);
	buf_reset(&b);
	assert_int_equal(check_jailed(well, "x", 1, &b), 0);
	unpack_init(&u, b.p, b.len);
	assert_string_equal(unpack_str(&u), "x");
	assert_true(unpack_done(&u));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(long_lines),
		cmocka_unit_test(packages), cmocka_unit_test(packages_forged), cmocka_unit_test(procfiles),
		cmocka_unit_test(gem_files), cmocka_unit_test(jailed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
