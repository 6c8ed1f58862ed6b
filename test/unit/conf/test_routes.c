/*
 * test_routes.c: sections with a name: their values over the site's, what fits together, the typed
 * result, and every wrong value with its place.
 */
#include "cm.h"

static const char whole[] =
	"[Site]\n"
	"Domain=shop.example\nAlias=www.shop.example shop.test\nRoot=public\nBodyMax=1M\n"
	"Header=set X-A site\nHeader=request remove Cookie\nDeny=10.0.0.0/8 2001:db8::/32\n"
	"Redirect=301 /old/* /new/*\nRedirect=308 ~^/u/(.*)$ /users/$1\nBasicAuthUser=ann:$6$s$h\n"
	"[Route /api]\nTo=back\nStripPrefix=yes\nMethods=get "
	"POST\nBodyMax=2M\nBasicAuth=\nRateLimit=\nRewrite=^/v1/(.*)$ /$1\n"
	"[Route =/exact]\nTo=http://127.0.0.1:9000\nMatchHeader=X-V 2\nHeader=\n"
	"[Route ~^/r[0-9]+$]\nRoot=other\nTryFiles=$uri $uri/ =404\n"
	"[Upstream back]\nServer=10.0.0.1:80 "
	"weight=3\nServer=unix:/run/x.sock\nServer=https://b.example\n"
	"Balance=least\nSticky=who\nCheck=/h\nCheckSec=2s\nTlsVerify=no\n";

static struct conf *read_good(const char *text)
{
	struct conf *c = conf_with_facts();

	assert_int_equal(conf_put_key(c, CONF_SITE_RATE_LIMIT, "100/min burst=5 by=header:X-Key",
				 CONF_FROM_FILE, NULL),
		0);
	if (conf_read(c, "f", text, strlen(text)) != 0 || conf_finish(c) != 0)
		for (const struct conf_finding *f = conf_findings(c); f; f = f->next)
			print_error("%u:%u %s\n", f->pos.line, f->pos.col, f->text);
	assert_int_equal(conf_finish(c), 0);
	return c;
}

static void the_site_is_the_first_route(void **state)
{
	struct conf *c = read_good(whole);
	const struct conf_app *a = conf_app(c);
	const struct conf_route *r = &a->routes[0];

	(void)state;
	assert_int_equal(a->nroutes, 4);
	assert_string_equal(a->aliases[1], "shop.test");
	assert_int_equal(r->to, CONF_TO_STATIC);
	assert_int_equal(r->nheaders, 2);
	assert_true(r->headers[0].response && !r->headers[1].response);
	assert_string_equal(r->headers[0].name, "x-a");
	assert_int_equal(r->ndeny, 2);
	assert_int_equal(r->deny[0].bits, 104);
	assert_int_equal(r->deny[0].address[12], 10);
	assert_int_equal(r->deny[1].bits, 32);
	assert_false(r->allow_only);
	assert_int_equal(r->nredirects, 2);
	assert_int_equal(r->redirects[0].match, CONF_MATCH_PREFIX);
	assert_string_equal(r->redirects[0].from, "/old/");
	assert_string_equal(r->redirects[1].from, "^/u/(.*)$");
	assert_int_equal(r->rate.per_s_milli, 1666);
	assert_int_equal(r->rate.by, CONF_RATE_HEADER);
	assert_string_equal(r->rate.header, "x-key");
	assert_string_equal(r->users[0].hash, "$6$s$h");
	conf_free(c);
}

static void a_route_has_its_own_values_and_the_sites(void **state)
{
	struct conf *c = read_good(whole);
	const struct conf_app *a = conf_app(c);
	const struct conf_route *r = &a->routes[1];

	(void)state;
	assert_string_equal(r->path, "/api");
	assert_int_equal(r->to, CONF_TO_UPSTREAM);
	assert_string_equal(a->upstreams[r->upstream].name, "back");
	assert_true(r->strip_prefix);
	assert_string_equal(r->methods[0], "GET");
	assert_string_equal(r->methods[1], "POST");
	assert_int_equal(r->body_bytes_max, 2 << 20);
	assert_int_equal(r->nheaders, 2);
	assert_int_equal(r->nusers, 0);
	assert_int_equal(r->rate.by, 0);
	assert_int_equal(r->nrewrites, 1);
	r++;
	assert_int_equal(r->match, CONF_MATCH_EXACT);
	assert_string_equal(a->upstreams[r->upstream].name, "http://127.0.0.1:9000");
	assert_string_equal(r->match_header, "x-v");
	assert_string_equal(r->match_value, "2");
	assert_int_equal(r->nheaders, 0);
	assert_int_equal(r->nusers, 1);
	r++;
	assert_int_equal(r->match, CONF_MATCH_REGEX);
	assert_int_equal(r->to, CONF_TO_STATIC);
	assert_string_equal(r->root, "other");
	assert_string_equal(r->try_files[2], "=404");
	conf_free(c);
}

static void an_upstream_has_its_servers(void **state)
{
	struct conf *c = read_good(whole);
	const struct conf_upstream *u = &conf_app(c)->upstreams[0];

	(void)state;
	assert_int_equal(u->nservers, 3);
	assert_int_equal(u->servers[0].kind, CONF_SERVER_ADDRESS);
	assert_int_equal(u->servers[0].weight, 3);
	assert_int_equal(u->servers[0].port, 80);
	assert_int_equal(u->servers[1].kind, CONF_SERVER_UNIX);
	assert_string_equal(u->servers[1].name, "/run/x.sock");
	assert_int_equal(u->servers[2].kind, CONF_SERVER_NAME);
	assert_int_equal(u->servers[2].port, 443);
	assert_int_equal(u->protocol, CONF_PROTOCOL_HTTPS);
	assert_int_equal(u->balance, CONF_BALANCE_LEAST);
	assert_string_equal(u->sticky, "who");
	assert_int_equal(u->check_ms, 2000);
	assert_false(u->tls_verify);
	conf_free(c);
}

/* The folder of the scripts is the route's; a program of its own has none. */
static void scripts_have_a_folder(void **state)
{
	struct conf *c = read_good("[Site]\nRoot=public\n[Upstream php]\nServer=unix:/s\nProtocol=fastcgi\n"
				   "Root=web\nConnectionsMax=5\n[Route /b]\nTo=php\nRoot=other\n[Upstream one]\n"
				   "Server=unix:/t\nProtocol=fastcgi\nIndex=off\n[Route /c]\nTo=one\n");
	const struct conf_app *a = conf_app(c);

	(void)state;
	assert_string_equal(a->routes[0].root, "public");
	assert_string_equal(a->routes[1].root, "web");
	assert_string_equal(a->routes[2].root, "public");
	assert_int_equal(a->upstreams[0].protocol, CONF_PROTOCOL_FASTCGI);
	assert_int_equal(a->upstreams[0].connections_max, 5);
	assert_string_equal(a->upstreams[0].index, "index.php");
	assert_string_equal(a->upstreams[1].index, "");
	assert_true(a->routes[1].scripts && !a->routes[2].scripts && !a->routes[0].scripts);
	conf_free(c);
}

/* As check sends the values to ctl. */
static void send_values(const struct conf *from, struct conf *to)
{
	for (enum conf_key k = 0; k < CONF_END; k++)
		for (const struct conf_value *v = conf_get(from, k); v; v = v->next)
			assert_int_equal(conf_put(to, section_rows[conf_rows[k].section].name, "",
						 conf_rows[k].key, v->text, v->origin, &v->pos),
				0);
	for (const struct conf_scope *s = NULL; (s = conf_scope_next(from, s));)
		for (enum conf_key k = 0; k < CONF_END; k++)
			for (const struct conf_value *v = conf_scope_get(s, k); v; v = v->next)
				assert_int_equal(
					conf_put(to, section_rows[conf_scope_section(s)].name,
						conf_scope_arg(s), conf_rows[k].key, v->text,
						v->origin, &v->pos),
					0);
}

static void each_route_of_a_path_is_one(void **state)
{
	struct conf *a = read_good("[Route /a]\nMethods=POST\nTo=http://127.0.0.1:1\n"
				   "[Upstream x]\nServer=127.0.0.1:4\n"
				   "[Route /a]\nMatchHeader=X-V 2\nTo=http://127.0.0.1:2\n"
				   "[Upstream x]\nServer=127.0.0.1:5\n"
				   "[Route /a]\nTo=http://127.0.0.1:3\n"),
		    *b = conf_with_facts();
	const struct conf_app *app;

	(void)state;
	send_values(a, b);
	assert_int_equal(conf_finish(b), 0);
	app = conf_app(b);
	assert_int_equal(app->nroutes, 4);
	for (unsigned i = 1; i < 4; i++)
		assert_string_equal(app->routes[i].path, "/a");
	assert_string_equal(app->routes[1].methods[0], "POST");
	assert_string_equal(app->routes[2].match_header, "x-v");
	assert_null(app->routes[3].methods[0]);
	assert_int_equal(app->upstreams[app->routes[3].upstream].servers[0].port, 3);
	assert_int_equal(app->upstreams[0].nservers, 2);
	assert_null(conf_findings(a));
	assert_int_equal(conf_put(b, "Route", "/a\n1", "To", "app", CONF_FROM_FILE, NULL), -EINVAL);
	assert_int_equal(
		conf_put(b, "Route", "/a\n2x", "To", "app", CONF_FROM_FILE, NULL), -EINVAL);
	assert_int_equal(
		conf_put(b, "Upstream", "x\n2", "Server", "a:1", CONF_FROM_FILE, NULL), -EINVAL);
	conf_free(a);
	conf_free(b);
}

static void two_for_the_same_requests_are_refused(void **state)
{
	static const char *const same[] = {
		"[Route /a]\n[Route /b]\n[Route /a]\n",
		"[Route /a]\n[Site]\n[Route /a/]\n",
		("[Route /a]\nMethods=GET POST\nMatchHeader=X-V 2\n"
		 "[Route /a]\nMatchHeader=x-v 2\nMethods=POST HEAD GET\n"),
		"[Route ~^/a]\nMatchHeader=X-V\n[Route ~^/a]\nMatchHeader=X-V\n",
	};
	static const char *const differ[] = {
		"[Route /a]\nMethods=GET\n[Route /a]\nMethods=POST\n",
		"[Route /a]\n[Route =/a]\n[Route ~^/a]\n",
		("[Route /a]\nMatchHeader=X-V 1\n[Route /a]\nMatchHeader=X-V 2\n"
		 "[Route /a]\nMatchHeader=X-V\n"),
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(same); i++) {
		struct conf *c = conf_with_facts();
		const struct conf_finding *f;

		assert_int_equal(conf_read(c, "f", same[i], strlen(same[i])), 0);
		assert_int_equal(conf_finish(c), -EINVAL);
		f = conf_findings(c);
		assert_int_equal(f->pos.line, i == 2 ? 4 : 3);
		assert_non_null(strstr(f->text, "f:1 already, for the same requests"));
		assert_non_null(strstr(f->todo, "Methods="));
		conf_free(c);
	}
	for (unsigned i = 0; i < ARRAY_LEN(differ); i++) {
		struct conf *c = read_good(differ[i]);

		assert_null(conf_findings(c));
		conf_free(c);
	}
}

static void a_route_that_gets_nothing_is_told(void **state)
{
	struct conf *c =
		read_good("[Route /a]\nMethods=GET POST\nTo=http://127.0.0.1:1\n"
			  "[Route /a]\nMethods=HEAD\nMatchHeader=X-V 2\nTo=http://127.0.0.1:2\n");
	const struct conf_finding *f = conf_findings(c);

	(void)state;
	assert_non_null(f);
	assert_int_equal(f->level, CONF_WARNING);
	assert_int_equal(f->pos.line, 4);
	assert_non_null(strstr(f->text, "never gets a request: that of f:1"));
	conf_free(c);
}

/* What ctl gets by messages makes the same. */
static void values_of_scopes_go_over_the_wire(void **state)
{
	struct conf *a = read_good(whole), *b = conf_with_facts();

	(void)state;
	send_values(a, b);
	assert_int_equal(conf_finish(b), 0);
	assert_int_equal(conf_app(b)->nroutes, 4);
	assert_int_equal(conf_app(b)->routes[1].nusers, 0);
	assert_int_equal(conf_app(b)->routes[2].nheaders, 0);
	assert_int_equal(conf_app(b)->nupstreams, 2);
	conf_free(a);
	conf_free(b);
}

static void each_wrong_line_is_found_where_it_is(void **state)
{
	static const struct {
		const char *text;
		unsigned line, col;
		const char *what, *todo;
	} all[] = {
		{"[Route]\nTo=app\n", 1, 2, "needs a name", ""},
		{"[Route api]\n", 1, 2, "not a path", "[Route /prefix]"},
		{"[Route /a?b]\n", 1, 2, "not a path", ""},
		{"[Route /a/../b]\n", 1, 2, "not a path", ""},
		{"[Route ~(]\n", 1, 2, "not a regular expression", ""},
		{"[Upstream a b]\n", 1, 2, "is not a name", ""},
		{"[Upstream x]\nServer=10.0.0.1\n", 2, 8, "the port is missing", ""},
		{"[Upstream x]\nServer=10.0.0.1:80 weight=0\n", 2, 8, "weight=N", ""},
		{"[Upstream x]\nServer=http://a:1/p\n", 2, 8, "no path", ""},
		{"[Upstream x]\nServer=a:1\nProtocol=fastcgi\n", 1, 2, "does not say where its scripts", "Root="},
		{"[Upstream x]\nServer=a:1\nProtocol=fastcgi\nRoot=w\nIndex=index.html\n", 5, 7, "not the name", "index.php"},
		{"[Upstream x]\nServer=a:1\nProtocol=fastcgi\nDocumentRoot=w\n", 4, 14, "no absolute path", ""},
		{"[Upstream x]\nServer=unix:\n", 2, 8, "socket", ""},
		{"[Site]\nAllow=10.0.0.1/8\n", 2, 7, "bits behind", "10.0.0.0/8"},
		{"[Site]\nAllow=10.0.0.0/33\n", 2, 7, "not a network", ""},
		{"[Site]\nAllow=::1/129\n", 2, 7, "not a network", ""},
		{"[Site]\nHeader=put X y\n", 2, 8, "none of: set add remove", ""},
		{"[Site]\nHeader=set X\n", 2, 8, "value is missing", ""},
		{"[Site]\nHeader=set Content-Length 5\n", 2, 8, "stead's own", ""},
		{"[Site]\nHeader=set X:Y z\n", 2, 8, "name of a header", ""},
		{"[Site]\nRedirect=300 /a /b\n", 2, 10, "none of: 301", ""},
		{"[Site]\nRedirect=301 a /b\n", 2, 10, "does not begin", ""},
		{"[Site]\nRedirect=301 /a b\n", 2, 10, "neither a path", ""},
		{"[Site]\nRedirect=301 ~(a /b\n", 2, 10, "not a regular expression", ""},
		{"[Site]\nRewrite=[a /b\n", 2, 9, "not a regular expression", ""},
		{"[Site]\nRewrite=^/a$\n", 2, 9, "TO is missing", ""},
		{"[Site]\nBasicAuthUser=ann:plain\n", 2, 15, "no kind that is safe", "mkpasswd"},
		{"[Site]\nBasicAuthUser=ann:$1$s$h\n", 2, 15, "no kind that is safe", ""},
		{"[Site]\nTryFiles=file\n", 2, 10, "neither a path", ""},
		{"[Route /a]\nMethods=PSOT\n", 2, 9, "none of", "POST"},
		{"[Route /a]\nTo=ftp://x\n", 2, 4, "does not begin with http", ""},
		{"[Route /a]\nTo=bakc\n[Upstream back]\nServer=a:1\n", 2, 4, "no [Upstream",
			"back"},
		{"[Route /a]\nTo=static\n", 2, 4, "no folder", "Root="},
		{"[Route /a]\nTo=app\n", 2, 4, "no app", ""},
		{"[Upstream x]\nBalance=least\n", 1, 2, "has no server", ""},
		{"[Upstream x]\nServer=http://a:1\nServer=https://b:1\n", 3, 8, "http and https",
			""},
		{"[Site]\nAlias=a.example\n", 2, 7, "no name to send to", "Domain="},
		{"[Route /a]\nDomain=x.example\n", 2, 1, "no key", "belongs into [Site]"},
		{"[Site]\nStripPrefix=yes\n", 2, 1, "no key", "belongs into [Route]"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct conf *c = conf_with_facts();
		const struct conf_finding *f;

		(void)conf_read(c, "f", all[i].text, strlen(all[i].text));
		(void)conf_finish(c);
		f = conf_findings(c);
		if (!f || f->pos.line != all[i].line || f->pos.col != all[i].col ||
			!strstr(f->text, all[i].what) || !strstr(f->todo, all[i].todo))
			print_error("%s gives %u:%u %s (%s)\n", all[i].text, f ? f->pos.line : 0,
				f ? f->pos.col : 0, f ? f->text : "-", f ? f->todo : "-");
		assert_non_null(f);
		assert_int_equal(f->pos.line, all[i].line);
		assert_int_equal(f->pos.col, all[i].col);
		assert_non_null(strstr(f->text, all[i].what));
		assert_non_null(strstr(f->todo, all[i].todo));
		/* A password that was written in the wrong place is not shown. */
		assert_null(strstr(f->text, "plain"));
		assert_int_equal(conf_errors(c), 1);
		conf_free(c);
	}
}

static void secrets_are_not_shown(void **state)
{
	(void)state;
	assert_int_equal(conf_showable(CONF_SITE_BASIC_AUTH_USER, "ann:$6$x"), 3);
	assert_int_equal(conf_showable(CONF_SITE_NAME, "ann:x"), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_site_is_the_first_route),
		cmocka_unit_test(a_route_has_its_own_values_and_the_sites),
		cmocka_unit_test(an_upstream_has_its_servers),
		cmocka_unit_test(scripts_have_a_folder),
		cmocka_unit_test(each_route_of_a_path_is_one),
		cmocka_unit_test(two_for_the_same_requests_are_refused),
		cmocka_unit_test(a_route_that_gets_nothing_is_told),
		cmocka_unit_test(values_of_scopes_go_over_the_wire),
		cmocka_unit_test(each_wrong_line_is_found_where_it_is),
		cmocka_unit_test(secrets_are_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
