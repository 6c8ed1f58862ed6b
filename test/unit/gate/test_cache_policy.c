/*
 * test_cache_policy.c: what RFC 9111, 5861 and 9213 say about one answer, rule by rule; and stored
 * descriptions as bytes and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cache_head.h"
#include "lib/must.h"

#include <stdio.h>
#include <string.h>

enum { NOW_S = 1600000000 }; /* Sun, 13 Sep 2020 12:26:40 GMT */

/* "Name: value\n…" to fields. */
static unsigned fields(const char *text, struct field *f)
{
	unsigned n = 0;

	for (; *text; n++) {
		const char *colon = strchr(text, ':'), *nl = strchr(text, '\n');

		must(colon && nl && n < 16);
		f[n] = (struct field){text, colon + 2, (uint32_t)(colon - text), (uint32_t)(nl - colon - 2)};
		text = nl + 1;
	}
	return n;
}

static struct cache_rules rules_as(uint16_t status, const char *text, struct cache_asked asked)
{
	static struct field f[16];
	struct cache_rules r;

	asked.asked_ms = NOW_S * 1000ll;
	cache_rules_of(&r, status, f, fields(text, f), &asked, NOW_S * 1000ll);
	return r;
}

static struct cache_rules rules(const char *text)
{
	return rules_as(200, text, (struct cache_asked){0});
}

static void test_store(void **state)
{
	static const struct {
		const char *text;
		bool store;
	} rows[] = {
		{"Cache-Control: max-age=60\n", true},
		{"Cache-Control: s-maxage=60\n", true},
		{"Cache-Control: max-age=60, private\n", false},
		{"Cache-Control: max-age=60, private=\"a\"\n", false},
		{"Cache-Control: max-age=60\nCache-Control: No-Store\n", false},
		{"Cache-Control: x=\"no-store\", max-age=60\n", true},
		{"Cache-Control: max-age=60, no-store, must-understand\n", true},
		{"Cache-Control: max-age=0\n", false},
		{"Cache-Control: max-age=0\nETag: \"a\"\n", true},
		{"Cache-Control: no-cache\nETag: \"a\"\n", true},
		{"Expires: Sun, 13 Sep 2020 12:27:40 GMT\n", true},
		{"Expires: 0\n", false},
		{"Content-Type: text/html\n", false},
		{"Last-Modified: Sun, 13 Sep 2020 12:00:00 GMT\n", true},
		{"Cache-Control: max-age=60\nVary: *\n", false},
		{"Cache-Control: max-age=60\nVary: a, *\n", false},
		{"Cache-Control: max-age=60\nSet-Cookie: a=b\n", false},
		{"Cache-Control: max-age=60, public\nSet-Cookie: a=b\n", true},
		{"Cache-Control: s-maxage=60\nSet-Cookie: a=b\n", true},
		{"Cache-Control: no-store\nCDN-Cache-Control: max-age=60\n", true},
		{"Cache-Control: no-store\nCDN-Cache-Control: max-age=\"60\"\n", false},
		{"Cache-Control: no-store\nCDN-Cache-Control: max-age=60, &&\n", false},
		{"Cache-Control: max-age=60\nCDN-Cache-Control: no-store\n", false},
	};
	struct cache_asked anybody = {0}, no_store = {.no_store = true};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rules(rows[i].text).store != rows[i].store)
			fail_msg("%s", rows[i].text);
	assert_false(rules_as(206, "Cache-Control: max-age=60\n", anybody).store);
	assert_false(rules_as(304, "Cache-Control: max-age=60\n", anybody).store);
	assert_true(rules_as(599, "Cache-Control: max-age=60\n", anybody).store);
	assert_false(rules_as(599, "Cache-Control: max-age=60, must-understand\n", anybody).store);
	assert_false(rules_as(503, "Last-Modified: Sun, 13 Sep 2020 12:00:00 GMT\n", anybody).store);
	assert_false(rules_as(200, "Cache-Control: max-age=60\n", no_store).store);
}

/* Section 3.5, and what is stricter here. */
static void test_who_asked(void **state)
{
	struct cache_asked known = {.authorized = true}, cookie = {.has_cookie = true};

	(void)state;
	assert_false(rules_as(200, "Cache-Control: max-age=60\n", known).store);
	assert_true(rules_as(200, "Cache-Control: max-age=60, public\n", known).store);
	assert_true(rules_as(200, "Cache-Control: s-maxage=60\n", known).store);
	assert_true(rules_as(200, "Cache-Control: max-age=60, must-revalidate\n", known).store);
	assert_true(rules_as(200, "Cache-Control: max-age=60\n", cookie).store);
	assert_int_equal(rules_as(200, "Last-Modified: Sun, 13 Sep 2020 11:26:40 GMT\n", cookie).lifetime_s, 0);
	assert_int_equal(rules("Last-Modified: Sun, 13 Sep 2020 11:26:40 GMT\n").lifetime_s, 360);
}

static void test_freshness(void **state)
{
	static const struct {
		const char *text;
		int64_t lifetime, age;
	} rows[] = {
		{"Cache-Control: max-age=60\n", 60, 0},
		{"Cache-Control: max-age=60, s-maxage=5\n", 5, 0},
		{"Cache-Control: max-age=60, max-age=30\n", 30, 0},
		{"Cache-Control: max-age=\"60\"\n", 60, 0},
		{"Cache-Control: max-age='60'\nETag: \"a\"\n", 0, 0},
		{"Cache-Control: max-age=-1\nETag: \"a\"\n", 0, 0},
		{"Cache-Control: max-age=99999999999999999999\n", CACHE_SECONDS_MAX, 0},
		{"Cache-Control: max-age=0060\nAge: 7, 3\n", 60, 7},
		{"Cache-Control: max-age=60\nAge: 7.0\n", 60, 0},
		{"Cache-Control: max-age=60\nAge: 7\nAge: 9\n", 60, 7},
		{"Cache-Control: max-age=60\nDate: Sun, 13 Sep 2020 12:26:30 GMT\n", 60, 10},
		{"Cache-Control: max-age=60\nAge: 4\nDate: Sun, 13 Sep 2020 12:26:30 GMT\n", 60, 10},
		{"Expires: Sun, 13 Sep 2020 12:27:00 GMT\nDate: Sun, 13 Sep 2020 12:26:50 GMT\n", 10, 0},
		{"Expires: Sun, 13 Sep 2020 12:27:00 GMT\nCache-Control: max-age=3\n", 3, 0},
		{"CDN-Cache-Control: max-age=9\nCache-Control: max-age=3\n", 9, 0},
		{"CDN-Cache-Control: max-age=9;x=1, a=(b c), d=:YQ==:\n", 9, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct cache_rules r = rules(rows[i].text);

		if (r.lifetime_s != rows[i].lifetime || r.age_s != rows[i].age)
			fail_msg("%s: %lld, %lld", rows[i].text, (long long)r.lifetime_s, (long long)r.age_s);
	}
}

static void use(const char *answer, const char *request, int64_t age_s, enum cache_use want)
{
	struct cache_rules r = rules(answer);
	struct cache_cc cc;

	cache_cc_init(&cc);
	if (*request)
		cache_cc_parse(&cc, request, strlen(request));
	if (cache_use_of(&r, age_s * 1000, &cc) != want)
		fail_msg("%s with %s at %lld", answer, request, (long long)age_s);
}

static void test_use(void **state)
{
	(void)state;
	use("Cache-Control: max-age=60\n", "", 59, CACHE_USE_FRESH);
	use("Cache-Control: max-age=60\n", "", 60, CACHE_USE_CHECK);
	use("Cache-Control: max-age=60, no-cache\n", "", 1, CACHE_USE_CHECK);
	use("Cache-Control: max-age=60\n", "no-cache", 1, CACHE_USE_CHECK);
	use("Cache-Control: max-age=60\n", "max-age=5", 6, CACHE_USE_CHECK);
	use("Cache-Control: max-age=60\n", "min-fresh=10", 55, CACHE_USE_CHECK);
	use("Cache-Control: max-age=60\n", "max-stale=10", 65, CACHE_USE_FRESH);
	use("Cache-Control: max-age=60\n", "max-stale", 6500, CACHE_USE_FRESH);
	use("Cache-Control: max-age=60, must-revalidate\n", "max-stale", 65, CACHE_USE_CHECK);
	use("Cache-Control: s-maxage=60\n", "max-stale", 65, CACHE_USE_CHECK);
	use("Cache-Control: max-age=60, stale-while-revalidate=10\n", "", 65, CACHE_USE_WHILE);
	use("Cache-Control: max-age=60, stale-while-revalidate=10\n", "", 70, CACHE_USE_CHECK);
	use("Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=10\n", "", 65,
		CACHE_USE_CHECK);
}

static void test_on_error(void **state)
{
	struct cache_rules r = rules("Cache-Control: max-age=60, stale-if-error=30\n");
	struct cache_cc none, asks;

	(void)state;
	cache_cc_init(&none);
	cache_cc_init(&asks);
	cache_cc_parse(&asks, "stale-if-error=100", 18);
	assert_true(cache_use_on_error(&r, 89000, &none));
	assert_false(cache_use_on_error(&r, 90000, &none));
	assert_true(cache_use_on_error(&r, 150000, &asks));
	r = rules("Cache-Control: max-age=60, must-revalidate, stale-if-error=30\n");
	assert_false(cache_use_on_error(&r, 70000, &asks));
	r = rules("Cache-Control: max-age=60\n");
	assert_false(cache_use_on_error(&r, 70000, &none));
}

static void test_tags(void **state)
{
	struct field f[16];
	unsigned n = fields("Cache-Tag: a, bb\nSurrogate-Key: c  dd\n", f);

	(void)state;
	assert_true(cache_has_tag(f, n, "a", 1) && cache_has_tag(f, n, "bb", 2));
	assert_true(cache_has_tag(f, n, "c", 1) && cache_has_tag(f, n, "dd", 2));
	assert_false(cache_has_tag(f, n, "d", 1));
	assert_true((cache_tags_of(f, n) & cache_tag_bit("dd", 2)) != 0);
	assert_true(cache_tag_listed("\"x\", W/\"y\"", 10, "\"y\"", 3));
	assert_true(cache_tag_listed("*", 1, "\"y\"", 3));
	assert_false(cache_tag_listed("\"x,y\"", 5, "\"y\"", 3));
}

static void test_vary(void **state)
{
	struct field answer[16], one[16], two[16];
	struct cache_head h = {.nvary = 0};
	unsigned n = fields("Vary: Foo, bar\nvary: FOO\n", answer);
	unsigned none = fields("foo: 1\nfoo: 2\n", one), both = fields("foo: 1, 2\nbar: \n", two);
	char mem[256];
	struct buf b;

	(void)state;
	buf_fixed(&b, mem, sizeof(mem));
	assert_true(cache_vary_fill(&h, answer, n, one, none, &b));
	assert_int_equal(h.nvary, 2);
	assert_true(cache_vary_matches(&h, one, none));
	assert_true(cache_vary_matches(&h, two, 1)); /* lines or one line: the same */
	assert_false(cache_vary_matches(&h, two, both)); /* empty is not absent */
	assert_false(cache_vary_matches(&h, one, 1));
	assert_false(cache_vary_matches(&h, one, 0));
}

static void test_head(void **state)
{
	static struct cache_head h, back;
	char mem[4096];
	struct cache_key key;
	struct buf b;

	(void)state;
	h = (struct cache_head){.status = 200,
		.reason = "OK",
		.reason_len = 2,
		.key = "3\nhttp\na:8\n/x?y",
		.key_len = 15,
		.route = 7,
		.stored_ms = 5,
		.rules = {.lifetime_s = 60, .no_stale = true}};
	h.nfields = fields("ETag: \"a\"\nLast-Modified: x\n", h.fields);
	buf_fixed(&b, mem, sizeof(mem));
	cache_head_pack(&h, &b);
	assert_int_equal(b.error, 0);
	assert_true(cache_head_unpack(b.p, b.len, &back));
	assert_true(back.rules.no_stale && back.rules.etag && back.rules.last_modified);
	assert_true(cache_head_is(b.p, b.len, h.key, 15, 7));
	assert_false(cache_head_is(b.p, b.len, h.key, 15, 8));
	assert_true(cache_key_parse(back.key, back.key_len, &key));
	assert_true(key.site == 3 && !key.tls && key.host_len == 3 && key.target_len == 4);
	for (size_t i = 0; i < b.len; i++)
		assert_false(cache_head_unpack(b.p, i, &back));
	/* A line break inside a value would be another field to the client. */
	mem[b.len - 1] = '\n';
	assert_false(cache_head_unpack(b.p, b.len, &back));
}

/* What another process wrote is input: whatever is in it, a head comes out or nothing. */
static void test_damaged_head(void **state)
{
	static const char *const odd_names[] = {"a b", "a:", "a\x7f"};
	static struct cache_head h, back;
	char mem[4096];
	struct buf b;

	(void)state;
	/* a reason with a line break would be a field to the client */
	h = (struct cache_head){.status = 200, .reason = "OK\r\nSet-Cookie: a=b", .reason_len = 19, .key = "k", .key_len = 1};
	for (unsigned i = 0; i < 4; i++) {
		buf_fixed(&b, mem, sizeof(mem));
		cache_head_pack(&h, &b);
		assert_int_equal(cache_head_unpack(b.p, b.len, &back), i > 1);
		h.reason = i == 0 ? "O\x7f" : i == 1 ? "O\tK" : "\xc3";
		h.reason_len = (uint32_t)strlen(h.reason);
	}
	for (unsigned i = 0; i < ARRAY_LEN(odd_names); i++) {
		h.nfields = 1;
		h.fields[0] = (struct field){odd_names[i], "v", (uint32_t)strlen(odd_names[i]), 1};
		buf_fixed(&b, mem, sizeof(mem));
		cache_head_pack(&h, &b);
		assert_false(cache_head_unpack(b.p, b.len, &back));
	}
	h.fields[0] = (struct field){"", "v", 0, 1};
	buf_fixed(&b, mem, sizeof(mem));
	cache_head_pack(&h, &b);
	assert_false(cache_head_unpack(b.p, b.len, &back));
	h.fields[0] = (struct field){"a", "\x7f", 1, 1};
	buf_fixed(&b, mem, sizeof(mem));
	cache_head_pack(&h, &b);
	assert_false(cache_head_unpack(b.p, b.len, &back));
	/* flags come back as they went */
	h.fields[0] = (struct field){"a", "\tv ", 1, 3};
	h.rules.no_cache = h.rules.must_revalidate = true;
	buf_fixed(&b, mem, sizeof(mem));
	cache_head_pack(&h, &b);
	assert_true(cache_head_unpack(b.p, b.len, &back));
	assert_true(back.rules.no_cache && back.rules.must_revalidate && !back.rules.no_stale);
	assert_false(cache_head_is(b.p, b.len, "l", 1, h.route));
	assert_true(cache_head_is(b.p, b.len, "k", 1, h.route));
	assert_false(cache_head_is(b.p, b.len, "kk", 2, h.route));
	assert_false(cache_head_is(b.p, 10, "k", 1, h.route));
}

static void test_key(void **state)
{
	static const struct {
		bool tls;
		unsigned port;
		const char *key;
	} rows[] = {{false, 0, "7\nhttp\nh\n/x"}, {false, 80, "7\nhttp\nh\n/x"}, {true, 443, "7\nhttps\nh\n/x"},
		{true, 80, "7\nhttps\nh:80\n/x"}, {false, 443, "7\nhttp\nh:443\n/x"}};
	char mem[64];
	struct cache_key key;
	struct buf b;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		buf_fixed(&b, mem, sizeof(mem));
		assert_int_equal(cache_key_put(&b, 7, rows[i].tls, "h", 1, (uint16_t)rows[i].port, "/x", 2), 0);
		assert_int_equal(b.len, strlen(rows[i].key));
		assert_memory_equal(b.p, rows[i].key, b.len);
		assert_true(cache_key_parse(b.p, b.len, &key));
		assert_true(key.site == 7 && key.tls == rows[i].tls && key.target_len == 2);
	}
}

/* RFC 9111 section 3.2: fields of a 304 take the place of stored ones, but not those that say how the body is made. */
static void test_update(void **state)
{
	static struct cache_head h;
	struct field f[16], ret[CACHE_FIELDS_MAX];
	unsigned n = fields("Vary: new\nCONTENT-TYPE: b\nConnection: x\nX-New: 1\nETag: \"b\"\n", f);

	(void)state;
	h.nfields = fields("Vary: old\nContent-Type: a\nContent-Length: 3\nContent-Encoding: br\nContent-Range: r\nETag: \"a\"\n"
			   "X-Old: 1\n", h.fields);
	n = cache_fields_update(&h, f, n, ret);
	assert_int_equal(n, 8);
	assert_memory_equal(ret[0].value, "a", 1);
	assert_memory_equal(ret[4].value, "\"a\"", 3);
	assert_memory_equal(ret[5].name, "X-Old", 5);
	assert_memory_equal(ret[6].value, "new", 3);
	assert_memory_equal(ret[7].name, "X-New", 5);
	/* no more than a head holds */
	h.nfields = CACHE_FIELDS_MAX - 1;
	for (unsigned i = 0; i < h.nfields; i++)
		h.fields[i] = (struct field){"x-old", "1", 5, 1};
	n = fields("X-New: 1\nX-Too: 2\n", f);
	assert_int_equal(cache_fields_update(&h, f, n, ret), CACHE_FIELDS_MAX);
	assert_memory_equal(ret[CACHE_FIELDS_MAX - 1].name, "X-New", 5);
}

static void test_vary_bounds(void **state)
{
	static struct cache_head h;
	struct field answer = {"vary", NULL, 4, 0}, other[2], one = {"a", "1", 1, 1}, two[2] = {{"a", "1", 1, 1}, {"a", "2", 1, 1}};
	char list[200] = "", mem[256];
	struct buf b;
	uint64_t variant;

	(void)state;
	for (unsigned i = 0; i < CACHE_VARY_MAX; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "v%u,", i);
	answer.value = list;
	answer.value_len = (uint32_t)strlen(list);
	buf_fixed(&b, mem, sizeof(mem));
	assert_true(cache_vary_fill(&h, &answer, 1, &one, 1, &b));
	assert_int_equal(h.nvary, CACHE_VARY_MAX);
	snprintf(list + strlen(list), sizeof(list) - strlen(list), "one-more");
	answer.value_len = (uint32_t)strlen(list);
	buf_fixed(&b, mem, sizeof(mem));
	assert_false(cache_vary_fill(&h, &answer, 1, &one, 1, &b));
	buf_fixed(&b, mem, 1);
	assert_false(cache_vary_fill(&h, &answer, 1, &one, 1, &b));
	/* "a" was sent as "1, 2": neither another value nor another separator will do */
	other[0] = (struct field){"date", "x", 4, 1};
	other[1] = (struct field){"vary", "a", 4, 1};
	buf_fixed(&b, mem, sizeof(mem));
	assert_true(cache_vary_fill(&h, other, 2, two, 2, &b));
	assert_true(cache_vary_matches(&h, two, 2));
	variant = cache_variant(&h);
	two[1].value = "3";
	assert_false(cache_vary_matches(&h, two, 2));
	one = (struct field){"a", "1;", 1, 2};
	assert_false(cache_vary_matches(&h, &one, 1));
	two[1].value = "2";
	h.vary[0] = (struct field){"a", "=1; 2", 1, 5};
	assert_false(cache_vary_matches(&h, two, 2));
	assert_true(cache_variant(&h) != variant);
	h.nvary = 0;
	assert_true(cache_variant(&h) == h.route);
}

static void test_tag_blanks(void **state)
{
	struct field f = {"surrogate-key", "\t a\tb \t", 13, 7};

	(void)state;
	assert_true(cache_has_tag(&f, 1, "a", 1) && cache_has_tag(&f, 1, "b", 1));
	assert_false(cache_has_tag(&f, 1, "a\tb", 3));
	assert_int_equal(cache_tags_of(&f, 1), cache_tag_bit("a", 1) | cache_tag_bit("b", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_who_asked),
		cmocka_unit_test(test_freshness),
		cmocka_unit_test(test_use),
		cmocka_unit_test(test_on_error),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_vary),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_damaged_head),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_vary_bounds),
		cmocka_unit_test(test_tag_blanks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
