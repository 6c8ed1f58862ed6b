/*
 * event.c: typed events as bytes. Called by every process that emits and by the log process that
 * renders; owns nothing. Never writes anywhere: where the bytes go is the caller's matter.
 */
#include "lib/event.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void event_begin(struct buf *b, uint32_t id)
{
	pack_u32(b, id);
}

void event_field_str(struct buf *b, const char *name, const char *value)
{
	pack_str(b, name);
	pack_str(b, value);
}

void event_field_u64(struct buf *b, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	event_field_str(b, name, text);
}

void event_field_i64(struct buf *b, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	event_field_str(b, name, text);
}

/* One pass over the fields; `each` may be NULL, which only checks. */
static bool walk_fields(
	struct unpack u, void (*each)(void *arg, const char *name, const char *value), void *arg)
{
	while (u.p < u.end && !u.bad) {
		const char *name = unpack_str(&u);
		const char *value = unpack_str(&u);

		if (each && !u.bad)
			each(arg, name, value);
	}
	return unpack_done(&u);
}

int event_decode(const void *p, size_t n, uint32_t *ret_id,
	void (*each)(void *arg, const char *name, const char *value), void *arg)
{
	struct unpack u;
	uint32_t id;

	unpack_init(&u, p, n);
	id = unpack_u32(&u);
	/* Checked whole first, so that nothing of a malformed event is ever used. */
	if (u.bad || !walk_fields(u, NULL, NULL))
		return -EBADMSG;
	*ret_id = id;
	walk_fields(u, each, arg);
	return 0;
}
