/*
 * test_event.c: events to bytes and back; what is malformed yields nothing.
 */
#include "test.h"

#include "lib/event.h"

#include <errno.h>

static void collect(void *arg, const char *name, const char *value)
{
	buf_printf(arg, "%s=%s;", name, value);
}

static void round_trip(void **state)
{
	struct buf b, text;
	uint32_t id = 0;

	(void)state;
	buf_init(&b, SIZE_MAX);
	buf_init(&text, SIZE_MAX);
	event_begin(&b, 1012);
	event_field_str(&b, "role", "gate");
	event_field_u64(&b, "pid", UINT64_MAX);
	event_field_i64(&b, "status", INT64_MIN);
	event_field_str(&b, "empty", NULL);
	assert_int_equal(event_decode(b.p, b.len, &id, collect, &text), 0);
	assert_int_equal(id, 1012);
	assert_string_equal(buf_str(&text),
		"role=gate;pid=18446744073709551615;status=-9223372036854775808;empty=;");
	/* Any cut: either still a whole event with fewer fields, or refused without a single field.
	 */
	for (size_t cut = 0; cut < b.len; cut++) {
		buf_reset(&text);
		id = 7;
		if (event_decode(b.p, cut, &id, collect, &text) < 0) {
			assert_int_equal(text.len, 0);
			assert_int_equal(id, 7);
		} else {
			assert_int_equal(id, 1012);
		}
	}
	assert_int_equal(event_decode(b.p, b.len - 1, &id, collect, &text), -EBADMSG);
	assert_int_equal(event_decode("", 0, &id, collect, &text), -EBADMSG);
	buf_done(&b);
	buf_done(&text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
