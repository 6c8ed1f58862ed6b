/*
 * test_client.c: who the client is behind trusted proxies, and texts with variables of a request in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "gate.h"
#include "lib/must.h"
#include "subst.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

struct world {
	struct gate gate;
	struct snap *snap;
	struct arena_pool pool;
	struct req r;
	struct field f[40];
};

/* A site that trusts 10.0.0.0/8 and 2001:db8::/32, when it trusts anybody. */
static struct snap *snap_of(bool trusting)
{
	struct snap_writer *w = snap_writer_new();
	struct snap_cidr nets[2] = {{.bits = 96 + 8}, {.bits = 32}};
	struct snap_route route = snap_route_default();
	struct snap_site site = {0};
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s;
	unsigned n;

	must(inet_pton(AF_INET6, "::ffff:10.0.0.0", nets[0].address) == 1);
	must(inet_pton(AF_INET6, "2001:db8::", nets[1].address) == 1);
	site.name = site.canonical = snap_put_str(w, "shop.example");
	if (trusting)
		site.trusted_proxies = snap_put_list(w, nets, sizeof(nets[0]), 2);
	route.path = snap_put_str(w, "/");
	route.to = SNAP_TO_STATIC;
	route.root = snap_put_str(w, "/srv");
	route.app = SNAP_NONE;
	(void)snap_put_site(w, &site, &route, 1);
	snap_put_host(w, 0, "shop.example", 0);
	assert_int_equal(snap_finish(w, 1, 0, fds, &n), 0);
	snap_writer_free(w);
	assert_int_equal(snap_load(fds, n, &s), 0);
	while (n)
		close(fds[--n]);
	return s;
}

static void begin(struct world *w, bool trusting)
{
	memset(w, 0, sizeof(*w));
	w->snap = snap_of(trusting);
	arena_pool_init(&w->pool, 4096, 64, 0);
	arena_init(&w->r.arena, &w->pool);
	w->r.gate = &w->gate;
	w->r.snap = w->snap;
	w->r.site = snap_site(w->snap, 0);
	w->r.fields = w->f;
	w->r.path = w->r.target = w->r.query = w->r.host = "";
}

static void end(struct world *w)
{
	arena_reset(&w->r.arena);
	arena_pool_done(&w->pool);
	regex_free_all(&w->gate);
	snap_unref(w->snap);
}

static void add_field(struct world *w, const char *name, const char *value)
{
	must(w->r.nfields < ARRAY_LEN(w->f));
	w->f[w->r.nfields++] = (struct field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}

static void from(struct world *w, const char *peer)
{
	must(strlen(peer) < sizeof(w->r.peer));
	memcpy(w->r.peer, peer, strlen(peer) + 1);
	w->r.peer_port = 5;
	w->r.peer_trusted = false;
	assert_int_equal(phase_client(&w->r), PHASE_NEXT);
	assert_string_equal(w->r.via, peer);
}

/* One request with that X-Forwarded-For, from that peer: who the client is. */
static void client(bool trusting, const char *peer, const char *forwarded, const char *want)
{
	struct world w;

	begin(&w, trusting);
	add_field(&w, "x-forwarded-fox", "203.0.113.99");
	add_field(&w, "host", "shop.example");
	if (forwarded)
		add_field(&w, "x-forwarded-for", forwarded);
	from(&w, peer);
	if (strcmp(w.r.peer, want) != 0)
		fail_msg("%s of %s: %s instead of %s", peer, forwarded ? forwarded : "nothing", w.r.peer, want);
	assert_int_equal(w.r.peer_port, strcmp(peer, want) == 0 ? 5 : 0);
	end(&w);
}

static void who_the_client_is(void **state)
{
	(void)state;
	client(true, "10.0.0.1", "203.0.113.7", "203.0.113.7");
	client(true, "10.0.0.1", "203.0.113.7:80", "203.0.113.7");
	client(true, "10.0.0.1", "2001:DB9:0::7", "2001:db9::7");
	client(true, "10.0.0.1", "[2001:db9::7]:80", "2001:db9::7");
	client(true, "10.0.0.1", "[2001:db9::7]", "2001:db9::7");
	client(true, "10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7");
	client(true, "10.0.0.1", "0:1::7", "0:1::7");
	client(true, "10.0.0.1", "0:0:1::7", "0:0:1::7");
	client(true, "10.0.0.1", "::7", "::7");
	client(true, "2001:db8::1", "203.0.113.7,10.1.2.3 ,\t10.0.0.9 ,", "203.0.113.7");
	/* what stands before the first that is not trusted was written by anybody */
	client(true, "10.0.0.1", "198.51.100.9, 203.0.113.7, 10.0.0.9", "203.0.113.7");
	client(true, "10.0.0.1", "10.0.0.8, 10.0.0.9", "10.0.0.8");
	/* and what cannot be read ends the chain */
	client(true, "10.0.0.1", "198.51.100.9, unknown, 10.0.0.9", "10.0.0.9");
	client(true, "10.0.0.1", "198.51.100.9, [10.0.0.8", "10.0.0.1");
	client(true, "10.0.0.1", "198.51.100.9, []", "10.0.0.1");
	client(true, "10.0.0.1", "198.51.100.9, [", "10.0.0.1");
	client(true, "10.0.0.1", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25.26", "10.0.0.1");
	client(true, "10.0.0.1", "::1.2.3.4.5", "10.0.0.1");
	client(true, "10.0.0.1", "localhost:1", "10.0.0.1");
	client(true, "10.0.0.1", " , ", "10.0.0.1");
	client(true, "10.0.0.1", "", "10.0.0.1");
	client(true, "10.0.0.1", NULL, "10.0.0.1");
	/* a stranger says what it likes */
	client(true, "192.0.2.1", "203.0.113.7", "192.0.2.1");
	client(true, "", "203.0.113.7", "");
	client(false, "10.0.0.1", "203.0.113.7", "10.0.0.1");
}

/* Of several fields the last one was written last; of very many items the rest does not count. */
static void fields_from_the_last(void **state)
{
	char list[500] = "";
	struct world w;

	(void)state;
	begin(&w, true);
	add_field(&w, "x-forwarded-for", "198.51.100.9, 203.0.113.7");
	add_field(&w, "x-forwarded-for", "10.0.0.7, 10.0.0.8");
	from(&w, "10.0.0.1");
	assert_string_equal(w.r.peer, "203.0.113.7");
	end(&w);
	for (unsigned i = 0; i < 40; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "10.0.0.%u,", 100 + i);
	begin(&w, true);
	add_field(&w, "x-forwarded-for", "203.0.113.7");
	add_field(&w, "x-forwarded-for", list);
	from(&w, "10.0.0.1");
	assert_string_equal(w.r.peer, "10.0.0.108");
	end(&w);
}

static void scheme(const char *said, bool tls, bool want)
{
	struct world w;

	begin(&w, true);
	add_field(&w, "x-forwarded-proto", said);
	w.r.tls = tls;
	from(&w, "10.0.0.1");
	assert_int_equal(w.r.tls, want);
	w.r.tls = tls;
	from(&w, "192.0.2.1");
	assert_int_equal(w.r.tls, tls);
	end(&w);
}

static void which_scheme(void **state)
{
	(void)state;
	scheme("https", false, true);
	scheme("HTTPS", false, true);
	scheme("http", true, false);
	scheme("httpx", true, true);
	scheme("httq", true, true);
	scheme("wss", true, true);
	scheme("", false, false);
}

static void id(const char *said, bool want)
{
	struct world w;

	begin(&w, true);
	if (said)
		add_field(&w, "x-request-id", said);
	from(&w, "192.0.2.1");
	assert_int_equal(w.r.given_id_len, 0);
	from(&w, "10.0.0.1");
	assert_int_equal(w.r.given_id_len, want ? strlen(said) : 0);
	end(&w);
}

static void which_id(void **state)
{
	char text[130];

	(void)state;
	id("azAZ09-._~+/=:@", true);
	id(NULL, false);
	id("", false);
	for (const char *odd = " \"<>\\{}[]`^|;,?#%&!$'()*\t\x01\x7f\x80"; *odd; odd++) {
		snprintf(text, sizeof(text), "a%cb", *odd);
		id(text, false);
	}
	memset(text, 'a', 129);
	text[129] = 0;
	id(text, false);
	text[128] = 0;
	id(text, true);
}

static void becomes(struct world *w, const char *text, const struct regex_groups *groups, enum subst_for what, const char *want)
{
	size_t n;
	char *made = subst(&w->r, text, strlen(text), groups, what, &n);

	assert_non_null(made);
	if (n != strlen(want) || strcmp(made, want) != 0)
		fail_msg("%s: %s instead of %s", text, made, want);
}

static void variables(void **state)
{
	static const char subject[] = "/a b&c/2";
	struct regex_groups groups = {.subject = subject, .n = 3, .pattern = "(?<dir>.*)/(?<page>.)", .pattern_len = 21};
	struct world w;

	(void)state;
	groups.at[0].len = 8;
	groups.at[1].len = 6;
	groups.at[2].from = 7;
	groups.at[2].len = 1;
	begin(&w, false);
	w.r.path = "/a b\x01\x7f\xc3?";
	w.r.path_len = 8;
	w.r.target = "/a%20b?x=1";
	w.r.target_len = 10;
	w.r.query = "x=1";
	w.r.query_len = 3;
	w.r.host = "h.example";
	w.r.host_len = 9;
	memcpy(w.r.peer, "192.0.2.1", 10);
	w.r.given_id = "id-1";
	w.r.given_id_len = 4;
	becomes(&w, "$request_uri $args ${host} $remote_addr $request_id", NULL, SUBST_VALUE, "/a%20b?x=1 x=1 h.example 192.0.2.1 id-1");
	becomes(&w, "$scheme://${server_name}/", NULL, SUBST_URL, "http://shop.example/");
	w.r.tls = true;
	becomes(&w, "${scheme}x", NULL, SUBST_URL, "httpsx");
	/* a client's bytes begin nothing new where they go */
	becomes(&w, "$uri", NULL, SUBST_VALUE, "/a b  \xc3?");
	becomes(&w, "$uri", NULL, SUBST_PATH, "/a b\x01\x7f\xc3?");
	becomes(&w, "http://x$uri?$uri", NULL, SUBST_URL, "http://x/a%20b%01%7F%C3%3F?/a%20b%01%7F%C3?");
	becomes(&w, "$1?$1", &groups, SUBST_URL, "/a%20b&c?/a%20b%26c");
	becomes(&w, "${2}.${page}.${dir}.$3.$9.${nothing}.$_x9Z", &groups, SUBST_PATH, "2.2./a b&c....");
	becomes(&w, "$1${2}${page}", NULL, SUBST_PATH, "");
	/* what is no variable stays as it is */
	becomes(&w, "a$$b$ $-${x${$", NULL, SUBST_PATH, "a$b$ $-${x${$");
	becomes(&w, "${}${scheme-}", NULL, SUBST_PATH, "${}${scheme-}");
	end(&w);
}

/* Longer than 8 KB, or more than the request may have: nothing, and no piece of it. */
static void texts_that_are_too_long(void **state)
{
	char text[8192], path[3000];
	struct arena_pool none;
	struct world w;
	size_t n = 1;

	(void)state;
	begin(&w, false);
	memset(text, 'a', sizeof(text));
	assert_non_null(subst(&w.r, text, sizeof(text) - 1, NULL, SUBST_PATH, &n));
	assert_int_equal(n, sizeof(text) - 1);
	assert_null(subst(&w.r, text, sizeof(text), NULL, SUBST_PATH, &n));
	assert_int_equal(n, 0);
	memset(path, ' ', sizeof(path));
	w.r.path = path;
	w.r.path_len = sizeof(path);
	assert_null(subst(&w.r, "$uri$uri behind", 15, NULL, SUBST_URL, &n));
	assert_null(subst(&w.r, "?$uri$uri$uri behind", 20, NULL, SUBST_URL, &n));
	w.r.path = "/\0";
	w.r.path_len = 2;
	assert_string_equal(subst(&w.r, "/?$uri", 6, NULL, SUBST_URL, &n), "/?/%00");
	w.r.path = path;
	w.r.path_len = sizeof(path);
	assert_string_equal(subst_encode_path(&w.r, "a b\0@", 5, &n), "a%20b%00@");
	assert_int_equal(n, 9);
	assert_string_equal(subst_encode_path(&w.r, "", 0, &n), "");
	/* a request that may have no more memory */
	arena_reset(&w.r.arena);
	arena_pool_init(&none, 4096, 1, 0);
	arena_init(&w.r.arena, &none);
	while (arena_alloc(&w.r.arena, 16))
		;
	assert_null(subst(&w.r, "a long text of more than sixteen bytes", 38, NULL, SUBST_PATH, &n));
	assert_int_equal(n, 0);
	assert_null(subst_encode_path(&w.r, path, sizeof(path), &n));
	arena_reset(&w.r.arena);
	arena_pool_done(&none);
	arena_init(&w.r.arena, &w.pool);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_the_client_is),
		cmocka_unit_test(fields_from_the_last),
		cmocka_unit_test(which_scheme),
		cmocka_unit_test(which_id),
		cmocka_unit_test(variables),
		cmocka_unit_test(texts_that_are_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
