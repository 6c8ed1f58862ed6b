/*
 * test_values.c: tables of values, good and bad, for each type; names, addresses, times, sizes.
 */
#include "cm.h"

struct row {
	enum conf_key key;
	const char *in;
	const char *out; /* NULL: refused */
};

static const struct row rows[] = {
	{CONF_SERVICE_LIMIT_CPU, "1min:1h", "1min:1h"},
	{CONF_SERVICE_LIMIT_CPU, "1x", NULL},
	{CONF_SERVICE_LIMIT_NOFILE, "infinity", "infinity"},
	{CONF_SERVICE_LIMIT_NOFILE, "100:infinity", "100:infinity"},
	{CONF_SERVICE_LIMIT_NOFILE, "infinity:100", NULL},
	{CONF_SERVICE_LIMIT_NOFILE, "200:100", NULL},
	{CONF_SERVICE_LIMIT_NOFILE, "1K", NULL},
	{CONF_SERVICE_LIMIT_AS, "1.5G", "1.5G"},
	{CONF_SERVICE_LIMIT_AS, "-1", NULL},
	{CONF_SERVICE_LIMIT_AS, "1G:", NULL},
	{CONF_SERVICE_LIMIT_AS, "99999999999999999999", NULL},
	{CONF_SERVICE_LIMIT_NICE, "+19", "+19"},
	{CONF_SERVICE_LIMIT_NICE, "-20", "-20"},
	{CONF_SERVICE_LIMIT_NICE, "40", "40"},
	{CONF_SERVICE_LIMIT_NICE, "41", NULL},
	{CONF_SERVICE_LIMIT_NICE, "+20", NULL},
	{CONF_SERVICE_LIMIT_NICE, "-21", NULL},
	{CONF_SERVICE_LIMIT_RTTIME, "200ms", "200ms"},
	{CONF_SERVICE_MEMORY_MAX, "12.5%", "12.5%"},
	{CONF_SERVICE_MEMORY_MAX, "101%", NULL},
	{CONF_SERVICE_MEMORY_MAX, "1.234%", NULL},
	{CONF_SERVICE_MEMORY_MAX, "%", NULL},
	{CONF_SERVICE_MEMORY_MAX, "infinity", "infinity"},
	{CONF_SERVICE_MEMORY_MAX, "16777216T", NULL},
	{CONF_SERVICE_MEMORY_SWAP_MAX, "0", "0"},
	{CONF_SERVICE_TASKS_MAX, "0", NULL},
	{CONF_SERVICE_TASKS_MAX, "1K", NULL},
	{CONF_SERVICE_TASKS_MAX, "10%", "10%"},
	{CONF_SERVICE_CPU_QUOTA, "250%", "250%"},
	{CONF_SERVICE_CPU_QUOTA, "0%", NULL},
	{CONF_SERVICE_CPU_QUOTA, "1", NULL},
	{CONF_SERVICE_CPU_QUOTA, "infinity", NULL},
	{CONF_SERVICE_CPU_QUOTA, "99999999999%", NULL},
	{CONF_SERVICE_UMASK, "0027", "0027"},
	{CONF_SERVICE_UMASK, "8", NULL},
	{CONF_SERVICE_UMASK, "10000", NULL},
	{CONF_SERVICE_NICE, "-20", "-20"},
	{CONF_SERVICE_NICE, "-21", NULL},
	{CONF_SERVICE_NICE, "20", NULL},
	{CONF_SERVICE_NICE, "+5", "+5"},
	{CONF_SERVICE_OOM_SCORE_ADJUST, "-1000", "-1000"},
	{CONF_SERVICE_OOM_SCORE_ADJUST, "1001", NULL},
	{CONF_SERVICE_OOM_SCORE_ADJUST, "--1", NULL},
	{CONF_SITE_NAME, "a", "a"},
	{CONF_SITE_NAME, "a-1", "a-1"},
	{CONF_SITE_NAME, "1a", NULL},
	{CONF_SITE_NAME, "-a", NULL},
	{CONF_SITE_NAME, "A", NULL},
	{CONF_SITE_NAME, "a_b", NULL},
	{CONF_SITE_NAME, "a/b", NULL},
	{CONF_SITE_NAME, "\xc3\xa4", NULL},
	{CONF_SITE_DOMAIN, "example.org", "example.org"},
	{CONF_SITE_DOMAIN, "*.example.org", "*.example.org"},
	{CONF_SITE_DOMAIN, "xn--bcher-kva.example", "xn--bcher-kva.example"},
	{CONF_SITE_DOMAIN, "localhost", "localhost"},
	{CONF_SITE_DOMAIN, "1.example", "1.example"},
	{CONF_SITE_DOMAIN, "a..b", NULL},
	{CONF_SITE_DOMAIN, ".a", NULL},
	{CONF_SITE_DOMAIN, "a.", NULL},
	{CONF_SITE_DOMAIN, "-a.b", NULL},
	{CONF_SITE_DOMAIN, "a-.b", NULL},
	{CONF_SITE_DOMAIN, "a.b-", NULL},
	{CONF_SITE_DOMAIN, "a_b.c", NULL},
	{CONF_SITE_DOMAIN, "a.*.b", NULL},
	{CONF_SITE_DOMAIN, "*", NULL},
	{CONF_SITE_DOMAIN, "127.0.0.1", "127.0.0.1"},
	{CONF_SITE_DOMAIN, "127.0.0", NULL},
	{CONF_SITE_DOMAIN, "127.0.0.1.1", NULL},
	{CONF_SITE_DOMAIN, "[2001:DB8::7]", "[2001:db8::7]"},
	{CONF_SITE_DOMAIN, "[2001:db8::7]:80", NULL},
	{CONF_SITE_DOMAIN, "[]", NULL},
	{CONF_SITE_DOMAIN, "a.b:80", NULL},
	{CONF_SITE_DOMAIN, "http://a.b", NULL},
	{CONF_SITE_DOMAIN,
		"b\xc3\xbc"
		"cher.example",
		NULL},
	{CONF_SITE_DOMAIN, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b"},
	{CONF_SITE_DOMAIN, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
		NULL},
	{CONF_SERVER_LISTEN, "127.0.0.1:8080", "127.0.0.1:8080"},
	{CONF_SERVER_LISTEN, "localhost:1", "127.0.0.1:1"},
	{CONF_SERVER_LISTEN, ":0", "0.0.0.0:0"},
	{CONF_SERVER_LISTEN, "*:65535", "0.0.0.0:65535"},
	{CONF_SERVER_LISTEN, "[::]:80", "[::]:80"},
	{CONF_SERVER_LISTEN, "1.2.3.4", NULL},
	{CONF_SERVER_LISTEN, "1.2.3.4:", NULL},
	{CONF_SERVER_LISTEN, "1.2.3.4:65536", NULL},
	{CONF_SERVER_LISTEN, "1.2.3.4:-1", NULL},
	{CONF_SERVER_LISTEN, "1.2.3:80", NULL},
	{CONF_SERVER_LISTEN, "::1:80", NULL},
	{CONF_SERVER_LISTEN, "[::1:80", NULL},
	{CONF_SERVER_LISTEN, "[]:80", NULL},
	{CONF_SERVER_LISTEN, "example.org:80", NULL},
	{CONF_SITE_ROOT, "public", "public"},
	{CONF_SITE_ROOT, "/srv/x", "/srv/x"},
	{CONF_SITE_ROOT, "a..b", "a..b"},
	{CONF_SITE_ROOT, "../x", NULL},
	{CONF_SITE_ROOT, "a/..", NULL},
	{CONF_SITE_ROOT, "a\nb", NULL},
	{CONF_SITE_STATIC, "/static files", "/static files"},
	{CONF_SITE_STATIC, "/static my files", "/static my files"},
	{CONF_SITE_STATIC, "/static", NULL},
	{CONF_SITE_STATIC, "static files", NULL},
	{CONF_SITE_STATIC, "/a ../b", NULL},
	{CONF_SITE_STATIC, "/a/../b c", NULL},
	{CONF_SITE_STATIC, "//a b", NULL},
	{CONF_SITE_STATIC, "/a?b c", NULL},
	{CONF_SITE_ERROR_PAGE, "404 /x.html", "404 /x.html"},
	{CONF_SITE_ERROR_PAGE, "599 x", "599 x"},
	{CONF_SITE_ERROR_PAGE, "399 x", NULL},
	{CONF_SITE_ERROR_PAGE, "600 x", NULL},
	{CONF_SITE_ERROR_PAGE, "40 x", NULL},
	{CONF_SITE_ERROR_PAGE, "4o4 x", NULL},
	{CONF_SITE_ERROR_PAGE, "404", NULL},
	{CONF_SITE_ERROR_PAGE, "404 ../x", NULL},
	{CONF_SITE_HEALTH, "/health?x=1", "/health?x=1"},
	{CONF_SITE_HEALTH, "health", NULL},
	{CONF_SITE_HEALTH, "/a b", NULL},
	{CONF_SITE_HEALTH, "/a\r\nX: y", NULL},
	{CONF_SITE_INDEX, "index.htm", "index.htm"},
	{CONF_SITE_INDEX, "a/index.htm", NULL},
	{CONF_SITE_INDEX, ".env", NULL},
	{CONF_SITE_ACCESS_LOG, "json", "json"},
	{CONF_SITE_ACCESS_LOG, "off", "off"},
	{CONF_SITE_ACCESS_LOG, "Off", NULL},
	{CONF_SITE_ACCESS_LOG, "json off", NULL},
	{CONF_PYTHON_WSGI, "app:app", "app:app"},
	{CONF_PYTHON_WSGI, "a.b.c:d.e", "a.b.c:d.e"},
	{CONF_PYTHON_WSGI, "a:b()", "a:b()"},
	{CONF_PYTHON_WSGI, "_a:_b", "_a:_b"},
	{CONF_PYTHON_WSGI, "app", NULL},
	{CONF_PYTHON_WSGI, "app:", NULL},
	{CONF_PYTHON_WSGI, ":app", NULL},
	{CONF_PYTHON_WSGI, "a..b:c", NULL},
	{CONF_PYTHON_WSGI, "a.:c", NULL},
	{CONF_PYTHON_WSGI, ".a:c", NULL},
	{CONF_PYTHON_WSGI, "1a:c", NULL},
	{CONF_PYTHON_WSGI, "a:b(1)", NULL},
	{CONF_PYTHON_WSGI, "a:b()()", NULL},
	{CONF_PYTHON_WSGI, "a:b c", NULL},
	{CONF_PYTHON_WSGI, "a;import os:b", NULL},
	{CONF_PYTHON_WSGI, "app/x.py:app", NULL},
	{CONF_PYTHON_ASGI, "shop.main:app", "shop.main:app"},
	{CONF_PYTHON_ASGI, "main:make()", "main:make()"},
	{CONF_PYTHON_ASGI, "main", NULL},
	{CONF_PYTHON_WORKERS, "cores", "cores"},
	{CONF_SERVER_GATES, "cores", "cores"},
	{CONF_PYTHON_WORKERS, "Cores", NULL},
	{CONF_PYTHON_WORKERS, "2:8", "2:8"},
	{CONF_PYTHON_WORKERS, "2:cores", "2:cores"},
	{CONF_PYTHON_WORKERS, "256:256", "256:256"},
	{CONF_PYTHON_WORKERS, "8:2", NULL},
	{CONF_PYTHON_WORKERS, "0:2", NULL},
	{CONF_PYTHON_WORKERS, "2:257", NULL},
	{CONF_PYTHON_WORKERS, "2:", NULL},
	{CONF_PYTHON_WORKERS, ":2", NULL},
	{CONF_PYTHON_WORKERS, "2:4:8", NULL},
	{CONF_PYTHON_WORKERS, "99999999999999999999999999:2", NULL},
	{CONF_POSTGRES_DATABASE, "shop_1", "shop_1"},
	{CONF_POSTGRES_DATABASE, "_x", "_x"},
	{CONF_POSTGRES_DATABASE, "Shop", NULL},
	{CONF_POSTGRES_DATABASE, "a-b", NULL},
	{CONF_POSTGRES_DATABASE, "1a", NULL},
	{CONF_POSTGRES_DATABASE, "pg_x", NULL},
	{CONF_POSTGRES_DATABASE, "a\"b", NULL},
	{CONF_SERVICE_ENVIRONMENT, "A=", "A="},
	{CONF_SERVICE_ENVIRONMENT, "a_1=x=y", "a_1=x=y"},
	{CONF_SERVICE_ENVIRONMENT, "=x", NULL},
	{CONF_SERVICE_ENVIRONMENT, "1A=x", NULL},
	{CONF_SERVICE_ENVIRONMENT, "A-B=x", NULL},
	{CONF_SERVICE_ENVIRONMENT, "A", NULL},
	{CONF_SERVICE_ENVIRONMENT, "A{=x", NULL},
	{CONF_SERVER_ACME_EAB_BOX, "A=B=", NULL},
	{CONF_SERVER_ACME_EAB_BOX, "AB=C", NULL},
	{CONF_SERVER_LISTEN, "1.2.3.4:123456", NULL},
	{CONF_SERVER_LISTEN, "1.2.3.4:1x", NULL},
	{CONF_SERVER_LISTEN, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1", NULL},
	{CONF_SERVER_METRICS, "127.0.0.1:9145", "127.0.0.1:9145"},
	{CONF_SERVER_METRICS, "[::1]:9145", "[::1]:9145"},
	{CONF_SERVER_METRICS, "off", "off"},
	{CONF_SERVER_METRICS, "192.0.2.1:9145", NULL},
	{CONF_SERVER_METRICS, "[::2]:9145", NULL},
	{CONF_SERVER_METRICS, "127.0.0.1:0", NULL},
	{CONF_SERVER_METRICS, "9145", NULL},
	{CONF_SITE_ROOT, "/..a/b../c", "/..a/b../c"},
	{CONF_SITE_ROOT, "a/../b", NULL},
	{CONF_PYTHON_WSGI, "app.py", NULL},
	{CONF_PYTHON_WSGI, "a1._:b", "a1._:b"},
	{CONF_PYTHON_WSGI, "{:b", NULL},
	{CONF_PYTHON_WSGI, "\xc3\xa9:b", "\xc3\xa9:b"},
	{CONF_SERVICE_TIMEOUT_STOP, "infinity", "infinity"},
	{CONF_SITE_HSTS, "1.{s", NULL},
	{CONF_SITE_BODY_MAX, "1.5X", NULL},
	{CONF_SITE_BODY_MAX, "1025G", NULL},
	{CONF_SITE_HEAD_MAX, "1", NULL},
	{CONF_SERVICE_UNSET_ENVIRONMENT, "A", "A"},
	{CONF_SERVICE_UNSET_ENVIRONMENT, "A_9=x", "A_9=x"},
	{CONF_SERVICE_UNSET_ENVIRONMENT, "=x", NULL},
	{CONF_SERVICE_UNSET_ENVIRONMENT, "A:", NULL},
	{CONF_SERVICE_UNSET_ENVIRONMENT, "9A", NULL},
	{CONF_SERVICE_UNSET_ENVIRONMENT, "A{", NULL},
	{CONF_SERVICE_SUCCESS_EXIT_STATUS, "RTMIN+31", NULL},
	{CONF_SERVICE_SUCCESS_EXIT_STATUS, "RTMIN+3", "RTMIN+3"},
	{CONF_SERVICE_SUCCESS_EXIT_STATUS, "RTMAX-31", NULL},
	{CONF_SERVICE_SUCCESS_EXIT_STATUS, "RTMAX-3", "RTMAX-3"},
};

/* The same at a length: how many bytes of filler stand between the two texts. */
static void long_values(void **state)
{
	static const struct {
		enum conf_key key;
		const char *from;
		char filler;
		size_t n;
		const char *to;
		bool good;
	} all[] = {
		{CONF_SITE_ROOT, "", 'a', 4095, "", true},
		{CONF_SITE_ROOT, "", 'a', 4096, "", false},
		{CONF_SITE_STATIC, "/", 'a', 1023, " x", true},
		{CONF_SITE_STATIC, "/", 'a', 1024, " x", false},
		{CONF_SITE_STATIC, "/a ", 'a', 4095, "", true},
		{CONF_SITE_STATIC, "/a ", 'a', 4096, "", false},
		{CONF_SITE_ERROR_PAGE, "404 ", 'a', 4095, "", true},
		{CONF_SITE_ERROR_PAGE, "404 ", 'a', 4096, "", false},
		{CONF_PYTHON_WSGI, "a:", 'a', 5000, "", false},
		{CONF_SERVER_ACME_EAB_BOX, "", 'A', 64, "", true},
		{CONF_SERVER_ACME_EAB_BOX, "", 'A', 64, "A=B=", false},
		{CONF_SERVER_ACME_EAB_BOX, "", 'A', 64, "A===", false},
		{CONF_SERVER_ACME_EAB_BOX, "", 'A', 64, "AA==", true},
		{CONF_SERVER_ACME_EAB_BOX, "", 'A', 65, "", false},
		{CONF_SERVER_ACME_EAB_BOX, "", 'A', 65540, "", false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct conf *c = conf_with_facts();
		size_t from = strlen(all[i].from), to = strlen(all[i].to);
		char *text = malloc(from + all[i].n + to + 1);
		int r;

		assert_non_null(text);
		memcpy(text, all[i].from, from);
		memset(text + from, all[i].filler, all[i].n);
		memcpy(text + from + all[i].n, all[i].to, to + 1);
		r = conf_put_key(c, all[i].key, text, CONF_FROM_FILE, NULL);
		if (r != (all[i].good ? 0 : -EINVAL))
			fail_msg("row %u gives %d", i, r);
		free(text);
		conf_free(c);
	}
}

/* A name of 253 bytes is one, and an address is written only where there is room for it. */
static void long_names(void **state)
{
	char name[256], room[8];
	struct buf b;

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	for (size_t n = 253; n < 255; n++) {
		struct conf *c = conf_with_facts();

		name[n] = 0;
		assert_int_equal(conf_put_key(c, CONF_SITE_DOMAIN, name, CONF_FROM_FILE, NULL), n == 253 ? 0 : -EINVAL);
		name[n] = 'a';
		conf_free(c);
	}
	buf_fixed(&b, room, sizeof(room));
	assert_int_equal(conf_addr_canonical("127.0.0.1:8080", &b), -EINVAL);
	buf_fixed(&b, room, sizeof(room));
	assert_int_equal(conf_addr_canonical("1.2.3.4:", &b), -EINVAL);
	buf_fixed(&b, room, sizeof(room));
	assert_int_equal(conf_addr_canonical("[::]:80", &b), 0);
}

static void each_value(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf *c = conf_with_facts();
		int r = conf_put_key(c, rows[i].key, rows[i].in, CONF_FROM_FILE, NULL);

		if ((r == 0) != (rows[i].out != NULL))
			print_error("%s=%s gives %d\n", conf_rows[rows[i].key].key, rows[i].in, r);
		assert_int_equal(r, rows[i].out != NULL ? 0 : -EINVAL);
		if (rows[i].out != NULL) {
			assert_string_equal(conf_get(c, rows[i].key)->text, rows[i].out);
		} else {
			assert_null(conf_get(c, rows[i].key));
			assert_int_equal(conf_errors(c), 1);
			assert_true(conf_findings(c)->text[0] != '\0');
		}
		conf_free(c);
	}
}

static void times(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		int64_t ms; /* negative: the error */
	} all[] = {{"5", 5000}, {"5s", 5000}, {"5 s", 5000}, {"500ms", 500}, {"1h 30min", 5400000},
		{"1h30m", 5400000}, {"1.5s", 1500}, {"0.001", 1}, {"2d", 172800000},
		{"1week", 604800000}, {"999us", 0}, {"0", 0}, {"", -EINVAL}, {"s", -EINVAL},
		{"5x", -EINVAL}, {"5.", -EINVAL}, {".5", -EINVAL}, {"-1", -EINVAL}, {"5S", -EINVAL},
		{"infinity", -EINVAL}, {"1 2 x", -EINVAL}, {"99999999999999999999", -ERANGE},
		{"999999999999999999w", -ERANGE}, {"1.99999999999999999999s", 1999},
		{"18446744073709551616", -ERANGE}, {"18446744073709.551616s", -ERANGE}, {"18446744073709.5s", 18446744073709500},
		{"18446744073709s 1s", -ERANGE}, {"1 {", -EINVAL}, {"1   ms", 1}, {"1 A", -EINVAL}};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		uint64_t ms = 7;
		int r = conf_time_parse(all[i].in, &ms);

		if (all[i].ms < 0) {
			assert_int_equal(r, all[i].ms);
			assert_int_equal(ms, 7);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(ms, all[i].ms);
		}
	}
}

static void sizes(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		int64_t bytes;
	} all[] = {{"0", 0}, {"16K", 16384}, {"1.5K", 1536}, {"32M", 33554432}, {"1G", 1073741824},
		{"2T", 2199023255552}, {"7B", 7}, {"16k", -EINVAL}, {"16KB", -EINVAL},
		{"16 K", -EINVAL}, {"K", -EINVAL}, {"", -EINVAL}, {"1K 2K", -EINVAL},
		{"99999P", -ERANGE}, {"+1", -EINVAL}};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		uint64_t n = 7;
		int r = conf_size_parse(all[i].in, &n);

		assert_int_equal(r, all[i].bytes < 0 ? (int)all[i].bytes : 0);
		assert_int_equal(n, all[i].bytes < 0 ? 7 : all[i].bytes);
	}
}

static void names_from_folders(void **state)
{
	(void)state;
	static const char *const all[][2] = {{"/srv/Shop", "shop"}, {"/srv/my shop!", "my-shop"},
		{"/srv/2fast", "fast"}, {"/srv/...", "app"}, {"", "app"}, {"a__b", "a-b"},
		{"-x-", "x"}, {"/", "app"},
		{"/x/b\xc3\xbc"
		 "cher",
			"b-cher"},
		{"abcdefghijklmnopqrstuvwxyzabcdefg", "abcdefghijklmnopqrstuvwxyza"}};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		char name[28];

		conf_name_from_folder(all[i][0], name);
		assert_string_equal(name, all[i][1]);
	}
}

static void app_of_everything(void **state)
{
	(void)state;
	static const char text[] =
		"[Site]\nName=my-shop\nDomain=a.example b.example\nRoot=pub\n"
		"Static=/s st\nErrorPage=404 /n.html\nIndex=b.html\n"
		"BodyMax=1M\nRateMin=0\nAccessLog=off\nRequestTimeoutSec=5min\n"
		"[Python]\nWsgi=m.n:make()\nPath=src .\nWorkers=cores\nThreads=4\n"
		"[Service]\nEnvironment=A=1 B=2\n[Postgres]\nEnabled=yes\n"
		"[Server]\nListen=:80 [::]:80\nGates=2\n";
	struct conf *c = conf_with_facts();
	const struct conf_app *a;

	assert_int_equal(conf_read(c, "f", text, strlen(text)), 0);
	assert_int_equal(conf_finish(c), 0);
	a = conf_app(c);
	assert_string_equal(a->name, "my-shop");
	assert_string_equal(a->domains[1], "b.example");
	assert_null(a->domains[2]);
	assert_string_equal(a->root, "pub");
	assert_string_equal(a->statics[0].prefix, "/s");
	assert_string_equal(a->statics[0].path, "st");
	assert_null(a->statics[1].prefix);
	assert_int_equal(a->errpages[0].code, 404);
	assert_string_equal(a->errpages[0].path, "/n.html");
	assert_int_equal(a->errpages[1].code, 0);
	assert_string_equal(a->index[0], "b.html");
	assert_int_equal(a->body_bytes_max, 1048576);
	assert_int_equal(a->rate_min, 0);
	assert_int_equal(a->access_log, CONF_ACCESS_LOG_OFF);
	assert_int_equal(a->request_timeout_ms, 300000);
	assert_true(a->python && a->wsgi_factory);
	assert_string_equal(a->wsgi, "m.n:make()");
	assert_string_equal(a->wsgi_module, "m.n");
	assert_string_equal(a->wsgi_object, "make");
	assert_string_equal(a->python_path[0], "src");
	assert_int_equal(a->workers, 3);
	assert_int_equal(a->threads, 4);
	assert_string_equal(a->env[1], "B=2");
	assert_int_equal(a->postgres, CONF_POSTGRES_YES);
	assert_string_equal(a->database, "my_shop");
	assert_string_equal(a->listen[1], "[::]:80");
	assert_false(a->listen_default);
	assert_int_equal(a->gates, 2);
	assert_string_equal(a->requirements, "");
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_value),
		cmocka_unit_test(long_values),
		cmocka_unit_test(long_names),
		cmocka_unit_test(times),
		cmocka_unit_test(sizes),
		cmocka_unit_test(names_from_folders),
		cmocka_unit_test(app_of_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
