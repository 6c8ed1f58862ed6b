/*
 * test_forward.c: what a backend reads of a request (up_forward.c), without a socket. The malformed
 * requests are in test/corpus; here is what the rules of forwarding say for each value.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http1_parse.h"
#include "lib/must.h"
#include "target.h"
#include "up.h"

#include <stdio.h>
#include <string.h>

void gate_drained(struct gate *g)
{
	(void)g;
}

struct world {
	struct arena_pool pool;
	struct req r;
	struct up_ask ask;
	struct http1_head head;
	char mem[HTTP1_HEAD_MAX];
};

static int setup(void **state)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	arena_pool_init(&w.pool, 4096, 64, 0);
	arena_init(&w.r.arena, &w.pool);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	arena_reset(&w->r.arena);
	arena_pool_done(&w->pool);
	return 0;
}

/* Forward a request with these lines (each with its CRLF) behind Host. */
static void forward(struct world *w, const char *first, const char *lines)
{
	int n = snprintf(w->mem, sizeof(w->mem), "%s HTTP/1.1\r\nHost: h\r\n%s\r\n", first, lines);
	struct arena arena;

	arena_reset(&w->r.arena);
	arena_init(&arena, &w->pool);
	memset(&w->r, 0, sizeof(w->r));
	memset(&w->ask, 0, sizeof(w->ask));
	assert_true(n > 0 && (size_t)n < sizeof(w->mem));
	assert_int_equal(http1_parse_head(w->mem, (size_t)n, HTTP1_HEAD_MAX, &w->head), n);
	w->r.arena = arena;
	w->r.method = w->head.method;
	w->r.method_str = w->head.method_str;
	w->r.method_len = w->head.method_len;
	w->r.version_minor = w->head.version_minor;
	w->r.path_raw = w->head.path;
	w->r.path_raw_len = w->head.path_len;
	w->r.target = w->head.target;
	w->r.target_len = w->head.target_len;
	w->r.host = w->head.host;
	w->r.host_len = w->head.host_len;
	w->r.content_length = w->head.content_length;
	w->r.upgrade = w->head.upgrade;
	w->r.upgrade_len = w->head.upgrade_len;
	w->r.fields = w->head.fields;
	w->r.nfields = w->head.nfields;
	w->r.user = "";
	assert_true(target_parse(&w->r));
	assert_int_equal(up_forward(&w->r, &w->ask), 0);
}

/* RFC 9110 section 7.8: one protocol by its name goes on; what could be taken for several does not. */
static void one_upgrade_by_name(void **state)
{
	static const struct {
		const char *value;
		bool passes;
	} rows[] = {
		{"websocket", true},
		{"WebSocket", true},
		{"shout/1", true},
		{"a+b/1.0", true},
		{"websocket h2c", false},
		{"h2c websocket", false},
		{"websocket, h2c", false},
		{"websocket,", false},
		{"websocket;h2c", false},
		{"websocket\th2c", false},
		{"\"websocket\"", false},
		{"websocket\xa0h2c", false},
		{"h2c", false},
		{"H2C", false},
		{"HTTP/2.0", false},
		{"TLS/1.0", false},
		{"", false},
	};
	struct world *w = *state;
	char lines[128];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(lines, sizeof(lines), "Connection: upgrade\r\nUpgrade: %s\r\n", rows[i].value);
		forward(w, "GET /", lines);
		if ((w->ask.upgrade != NULL) != rows[i].passes)
			fail_msg("%s", rows[i].value);
		if (rows[i].passes) {
			assert_int_equal(w->ask.upgrade_len, strlen(rows[i].value));
			assert_memory_equal(w->ask.upgrade, rows[i].value, w->ask.upgrade_len);
		}
		for (unsigned k = 0; k < w->ask.nfields; k++)
			assert_false(w->ask.fields[k].name_len == 7 &&
				     !memcmp(w->ask.fields[k].name, "upgrade", 7));
	}
}

/* CGI-like backends read an underscore as a hyphen: the name would be another field's. */
static void names_with_an_underscore_stay(void **state)
{
	struct world *w = *state;

	forward(w, "GET /", "X_Forwarded_For: 1.2.3.4\r\nX-A: b\r\nContent_Length: 5\r\n");
	for (unsigned k = 0; k < w->ask.nfields; k++)
		assert_null(memchr(w->ask.fields[k].name, '_', w->ask.fields[k].name_len));
	assert_int_equal(w->ask.fields[0].name_len, 3);
	assert_memory_equal(w->ask.fields[0].name, "x-a", 3);
}

static void targets_in_one_form(void **state)
{
	static const char *const rows[][2] = {
		{"GET /a/b?c", "/a/b?c"},
		{"GET /%61%2fb", "/a%2Fb"},
		{"GET /a/./b/../c", "/a/c"},
		{"GET /a|b", "/a%7Cb"},
		{"GET http://h/x?y", "/x?y"},
		{"GET http://h", "/"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		forward(w, rows[i][0], "");
		assert_int_equal(w->ask.target_len, strlen(rows[i][1]));
		assert_memory_equal(w->ask.target, rows[i][1], w->ask.target_len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_upgrade_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(names_with_an_underscore_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(targets_in_one_form, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
