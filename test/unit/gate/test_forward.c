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

#include "../snap/small_snap.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void gate_drained(struct gate *g)
{
	(void)g;
}

struct world {
	struct snap *snap; /* NULL: none */
	struct arena_pool pool;
	struct req r;
	struct up_ask ask;
	struct http1_head head;
	char mem[HTTP1_HEAD_MAX];
};

static void assert_text(const char *p, size_t n, const char *want)
{
	assert_int_equal(n, strlen(want));
	assert_memory_equal(p, want, n);
}

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
	if (w->snap) {
		w->r.snap = w->snap;
		w->r.site = snap_site_by_host(w->snap, "h", 1, NULL);
		assert_non_null(w->r.site);
		w->r.route = snap_route(w->snap, w->r.site, 1);
	}
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
		{"GET //evil.example/a", "/evil.example/a"},
		{"GET ///", "/"},
		{"GET /.//a//b", "/a//b"},
		{"GET /a/..//b?c", "/b?c"},
		{"GET http://h//a", "/a"},
		{"GET /%2fa", "/%2Fa"},
		{"GET /a//b", "/a//b"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		forward(w, rows[i][0], "");
		assert_text(w->ask.target, w->ask.target_len, rows[i][1]);
	}
}

static struct snap *one_route(const char *path)
{
	const char *hosts[] = {"h"};
	const struct small_route routes[] = {{"/", NULL, NULL}, {path, NULL, NULL}};
	struct small_snap in = {.name = "x", .hosts = hosts, .nhosts = 1, .routes = routes, .nroutes = 2,
		.rest = snap_route_default(), .generation = 1};
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s;
	unsigned n;

	in.rest.flags |= SNAP_ROUTE_STRIP;
	in.rest.match = SNAP_MATCH_PREFIX;
	assert_int_equal(small_snap_build(&in, fds, &n), 0);
	assert_int_equal(snap_load(fds, n, &s), 0);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	return s;
}

/* Behind what StripPrefix= takes, a path begins with one slash too. */
static void what_is_left_of_a_path(void **state)
{
	static const char *const rows[][3] = {
		{"GET /api/x?q", "/x?q", "/x"},
		{"GET /api", "/", "/"},
		{"GET /api/", "/", "/"},
		{"GET /api//x", "/x", "/x"},
		{"GET /api///", "/", "/"},
		{"GET /api/%2fx", "/%2Fx", "/x"},
		{"GET //api/x//y", "/x//y", "/x//y"},
		{"GET /%61pi/./x", "/x", "/x"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		w->snap = one_route(i % 2 ? "/api/" : "/api");
		forward(w, rows[i][0], "");
		assert_text(w->ask.target, w->ask.target_len, rows[i][1]);
		assert_text(w->ask.path, w->ask.path_len, rows[i][2]);
		assert_text(w->ask.prefix, w->ask.prefix_len, "/api");
		snap_unref(w->snap);
		w->snap = NULL;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_upgrade_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(names_with_an_underscore_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(targets_in_one_form, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_left_of_a_path, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
