/*
 * test_journal.c: an event as a datagram of the journal's native protocol: each value by its length, so none forges a field.
 */
#include "rig.h"

#include <stdio.h>
#include <string.h>

#include "lib/event.h"

/* The value of that field; the fields are walked by their lengths alone, as the journal does. NULL: there is none. */
static const char *value_of(const struct buf *b, const char *name, size_t *ret_n, unsigned *ret_fields)
{
	const char *found = NULL;

	*ret_fields = 0;
	for (size_t at = 0; at < b->len; ++*ret_fields) {
		const char *end = memchr(b->p + at, '\n', b->len - at);
		uint64_t n = 0;
		size_t name_n;

		assert_non_null(end);
		name_n = (size_t)(end - (b->p + at));
		at += name_n + 1;
		assert_true(b->len - at >= 9);
		for (unsigned i = 0; i < 8; i++)
			n |= (uint64_t)(unsigned char)b->p[at + i] << 8 * i;
		at += 8;
		assert_true(n < b->len - at);
		if (name_n == strlen(name) && memcmp(end - name_n, name, name_n) == 0) {
			found = b->p + at;
			*ret_n = n;
		}
		at += n;
		assert_int_equal(b->p[at], '\n');
		at++;
	}
	return found;
}

static void render(struct buf *b, uint32_t id, const char *name, const char *value)
{
	static char mem[48 * 1024];
	char event_mem[8192];
	struct buf event;

	buf_fixed(&event, event_mem, sizeof event_mem);
	event_begin(&event, id);
	event_field_str(&event, name, value);
	assert_int_equal(event.error, 0);
	buf_fixed(b, mem, sizeof mem);
	assert_true(journal_render(b, event.p, event.len));
}

static void fields(void **state)
{
	struct buf b;
	unsigned n;
	size_t len;
	const char *v;

	(void)state;
	render(&b, EV_LISTENING, "address", "0.0.0.0:80");
	v = value_of(&b, "STEAD_ADDRESS", &len, &n);
	assert_int_equal(n, 6);
	assert_int_equal(len, 10);
	assert_memory_equal(v, "0.0.0.0:80", 10);
	v = value_of(&b, "PRIORITY", &len, &n);
	assert_memory_equal(v, "5", 1);
	v = value_of(&b, "STEAD_EVENT", &len, &n);
	assert_memory_equal(v, "LISTENING", len);
	v = value_of(&b, "STEAD_EVENT_ID", &len, &n);
	assert_memory_equal(v, "1020", len);
	v = value_of(&b, "MESSAGE", &len, &n);
	assert_memory_equal(v, "listening: address=0.0.0.0:80", len);
}

static void no_value_forges_a_field(void **state)
{
	struct buf b;
	unsigned n;
	size_t len;
	const char *v;

	(void)state;
	render(&b, EV_LISTENING, "address", "x\nPRIORITY=0\n_UID=0\n");
	v = value_of(&b, "PRIORITY", &len, &n);
	assert_int_equal(n, 6);
	assert_memory_equal(v, "5", 1);
	assert_null(value_of(&b, "_UID", &len, &n));
	/* Nor a name. */
	render(&b, EV_LISTENING, "a\nPRIORITY", "0");
	assert_non_null(value_of(&b, "PRIORITY", &len, &n));
	assert_int_equal(n, 5);
	render(&b, EV_LISTENING, "a_name_that_is_longer_than_any_row_has_one", "0");
	(void)value_of(&b, "PRIORITY", &len, &n);
	assert_int_equal(n, 5);
}

static void malformed(void **state)
{
	char mem[256];
	struct buf b;

	(void)state;
	buf_fixed(&b, mem, sizeof mem);
	assert_false(journal_render(&b, "", 0));
	assert_false(journal_render(&b, "\xff\xff\xff\xff", 4));
	assert_false(journal_render(&b, "\x01", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(no_value_forges_a_field),
		cmocka_unit_test(malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
