/*
 * test_ship.c: a record as journald's and syslog's datagrams: fields, levels, line breaks, and what is no record.
 */
#include "rig.h"

#include <string.h>

#define TS "{\"ts\":\"2026-01-02T03:04:05.678901Z\","

static void build(bool journal, const char *line, char *ret, size_t cap, size_t *ret_n)
{
	struct buf b;

	buf_fixed(&b, ret, cap);
	*ret_n = ship_build(&b, journal, line, strlen(line)) ? b.len : 0;
}

static bool has(const char *text, size_t n, const char *part, size_t len)
{
	return memmem(text, n, part, len) != NULL;
}
/* The field as journal_put() writes it. */
static void has_field(const char *text, size_t n, const char *name, const char *value)
{
	char mem[400];
	struct buf b;

	buf_fixed(&b, mem, sizeof mem);
	journal_put(&b, name, value, strlen(value));
	if (!has(text, n, b.p, b.len))
		fail_msg("no %s=%s", name, value);
}
#define HAS_FIELD(name, value) has_field(out, n, name, value)
#define HAS(part) assert_true(has(out, n, part, sizeof(part) - 1))

static void journal(void **state)
{
	char out[4096];
	size_t n;

	(void)state;
	build(true, TS "\"kind\":\"event\",\"level\":\"error\",\"event\":\"PROC_DIED\",\"pid\":\"7\",\"text\":\"a \\\"p\\\" \\u0007died\"}", out,
		sizeof out, &n);
	HAS_FIELD("STEAD_KIND", "event");
	HAS_FIELD("STEAD_EVENT", "PROC_DIED");
	HAS_FIELD("MESSAGE", "a \"p\" \adied");
	HAS_FIELD("PRIORITY", "3");
	HAS_FIELD("SYSLOG_IDENTIFIER", "stead");
	/* Nothing of a value becomes a field of its own. */
	build(true, TS "\"kind\":\"app\",\"level\":\"info\",\"app\":\"shop\",\"text\":\"one\\nPRIORITY=0\"}", out, sizeof out, &n);
	HAS_FIELD("MESSAGE", "one\nPRIORITY=0");
	HAS_FIELD("PRIORITY", "6");
	build(true, TS "\"kind\":\"access\",\"level\":\"info\",\"site\":\"s\",\"client\":\"::1\",\"method\":\"GET\",\"target\":\"/x\",\"status\":200,\"ms\":0.5}",
		out, sizeof out, &n);
	HAS_FIELD("MESSAGE", "::1 \"GET /x\" 200");
	HAS_FIELD("STEAD_STATUS", "200");
	HAS_FIELD("STEAD_MS", "0.5");
	/* An app's own object: what nests stands as it is, strange names are made harmless. */
	build(true, TS "\"kind\":\"app\",\"level\":\"info\",\"a\\nb=c\":{\"x\":[1,\"}\"]},\"text\":\"t\"}", out, sizeof out, &n);
	HAS_FIELD("STEAD_A_B_C", "{\"x\":[1,\"}\"]}");
}

static void syslog_form(void **state)
{
	static const char line[] = TS "\"kind\":\"access\",\"level\":\"warning\",\"status\":404}";
	char out[4096];
	size_t n;

	(void)state;
	build(false, line, out, sizeof out, &n);
	assert_true(n > sizeof line && memcmp(out, "<28>1 2026-01-02T03:04:05.678901Z ", 34) == 0);
	assert_memory_equal(out + n - (sizeof line - 1), line, sizeof line - 1);
	HAS(" access - {");
}

static void no_records(void **state)
{
	static const char *const bad[] = {"", "{}", "{\"ts\":\"2026", TS, TS "\"kind\"", TS "\"kind\":", TS "\"kind\":\"x", TS "\"kind\":\"\\",
		TS "\"kind\":\"\\u12\"}", TS "\"kind\":\"\\q\"}", TS "\"kind\":[1}", TS "\"kind\":1} x", TS "\"kind\":{\"a\":1"};
	char out[4096];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		build(true, bad[i], out, sizeof out, &n);
		if (n)
			fail_msg("taken: %s", bad[i]);
	}
	build(true, TS "\"kind\":\"app\",\"text\":\"much more than there is room for\"}", out, 60, &n);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(journal), cmocka_unit_test(syslog_form), cmocka_unit_test(no_records)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
