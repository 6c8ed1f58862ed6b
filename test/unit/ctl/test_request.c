/*
 * test_request.c: requests of the control socket, and the first line of an answer to the probe.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

static void test_good(void **state)
{
	struct request r;
	const char *why, *text = "{\"verb\":\"logs\",\"app\":\"shop\",\"lines\":7,\"level\":4,"
				 "\"since_us\":12,\"follow\":true,\"new\":[]}";

	(void)state;
	assert_int_equal(request_parse(text, strlen(text), &r, &why), 0);
	assert_int_equal(r.verb, REQUEST_LOGS);
	assert_string_equal(r.app, "shop");
	assert_int_equal(r.lines, 7);
	assert_int_equal(r.level, 4);
	assert_int_equal(r.since_us, 12);
	assert_true(r.follow);
	assert_string_equal(r.folder, "");
}

/* One byte more than a name's room. */
static const char long_name[] = "{\"verb\":\"restart\",\"app\":"
				"\"0123456789012345678901234567890123456789012345678901234567890123\"}";

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"{}",
		"[]",
		"null",
		"{\"verb\":\"up\"}",
		"{\"verb\":\"up\",\"folder\":\"relative\"}",
		"{\"verb\":\"fly\"}",
		"{\"verb\":7}",
		"{\"verb\":\"status\"} x",
		"{\"verb\":\"status\",\"verb\":\"stop\"}",
		"{\"verb\":\"logs\",\"lines\":-1}",
		"{\"verb\":\"logs\",\"lines\":4294967296}",
		"{\"verb\":\"logs\",\"lines\":\"7\"}",
		"{\"verb\":\"logs\",\"level\":8}",
		"{\"verb\":\"logs\",\"app\":\"a\\u0000b\"}",
		"{\"verb\":\"logs\",\"app\":[]}",
		long_name,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct request r = {.lines = 99};
		const char *why = NULL;

		assert_int_equal(request_parse(rows[i], strlen(rows[i]), &r, &why), -EINVAL);
		assert_true(why && *why);
		assert_int_equal(r.lines, 99);
	}
}

static void test_bounds(void **state)
{
	char *big = malloc(REQUEST_BYTES_MAX + 1), folder[4096 + 64];
	struct request r;
	const char *why;
	size_t n;

	(void)state;
	memset(big, ' ', REQUEST_BYTES_MAX + 1);
	memcpy(big, "{\"verb\":\"status\"}", 17);
	assert_int_equal(request_parse(big, REQUEST_BYTES_MAX, &r, &why), 0);
	assert_int_equal(request_parse(big, REQUEST_BYTES_MAX + 1, &r, &why), -EINVAL);
	free(big);
	n = (size_t)snprintf(folder, sizeof folder, "{\"verb\":\"up\",\"folder\":\"/");
	memset(folder + n, 'a', 4094);
	memcpy(folder + n + 4094, "\"}", 3);
	assert_int_equal(request_parse(folder, strlen(folder), &r, &why), 0);
	assert_int_equal(strlen(r.folder), 4095);
	memcpy(folder + n + 4094, "a\"}", 4);
	assert_int_equal(request_parse(folder, strlen(folder), &r, &why), -EINVAL);
}

static void test_long_texts(void **state)
{
	static const char text[] = "{\"verb\":\"cert-import\",\"chain\":\"AA== BB==\",\"box\":\"CC==\"}",
			  bad[] = "{\"verb\":\"cert-import\",\"chain\":\"AA==\",\"box\":7}";
	struct request r;
	const char *why;

	(void)state;
	assert_int_equal(request_parse(text, sizeof text - 1, &r, &why), 0);
	assert_string_equal(r.chain, "AA== BB==");
	assert_string_equal(r.box, "CC==");
	request_done(&r);
	assert_null(r.chain);
	request_done(&r);
	assert_int_equal(request_parse(bad, sizeof bad - 1, &r, &why), -EINVAL);
}

static void test_status_line(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
	} rows[] = {{"HTTP/1.1 200 OK\r\n", 200}, {"HTTP/1.0 503", 503}, {"HTTP/1.1 099 x", 0},
		{"HTTP/1.1 2x0 OK", 0}, {"HTTP/1.1 20", 0}, {"", 0}, {"SSH-2.0-OpenSSH_9.2", 0},
		{"HTTP/1.1-200 OK", 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(probe_status(rows[i].text, strlen(rows[i].text)), rows[i].status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds), cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_status_line)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
