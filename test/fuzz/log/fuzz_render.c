/*
 * fuzz_render.c: whatever a gate, an event's sender or an app wrote becomes one line that is one
 * JSON object, no longer than a message holds, and that a query passes on.
 */
#include "log.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct buf *b)
{
	json_t *o;

	must(b->error == 0 && b->len > 1 && b->len <= RECORD_BYTES_MAX && b->p[b->len - 1] == '\n');
	must(!memchr(b->p, '\n', b->len - 1));
	must(json_is_members(b->p + 1, b->len - 2));
	o = json_loadb(b->p, b->len - 1, 0, NULL);
	must(json_is_object(o));
	must(json_string_length(json_object_get(o, "ts")) == TS_LEN);
	json_decref(o);
	buf_reset(b);
}

/* Each field by its length, to the last byte. */
static void check_journal(const char *event, size_t n)
{
	static char mem[48 * 1024];
	struct buf b;

	buf_fixed(&b, mem, sizeof mem);
	if (!journal_render(&b, event, n))
		return;
	for (size_t at = 0; at < b.len;) {
		const char *end = memchr(b.p + at, '\n', b.len - at);
		uint64_t len = 0;

		must(end && (size_t)(b.p + b.len - end) > sizeof len);
		memcpy(&len, end + 1, sizeof len); /* of this machine's order */
		at = (size_t)(end + 1 + sizeof len - b.p);
		must(len < b.len - at && b.p[at + len] == '\n');
		at += len + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream st = {.info = {.kind = PROC_WORKER, .which = 2}, .app = "a"};
	struct query q = {
		.app = "a", .ask.level = LEVEL_NOTICE, .since = "2026-01-02T03:04:05.678901Z"};
	const char *p = (const char *)data;
	struct record_lines lines = {0};
	uint64_t wall = 0;
	struct buf b;

	memcpy(&wall, data, size < sizeof wall ? size : sizeof wall);
	size = min_of(size, (size_t)LOGRING_RECORD_MAX);
	buf_init(&b, SIZE_MAX);
	render_event(&b, wall, p, size);
	check(&b);
	render_access(&b, &lines, wall, p, size);
	check(&b);
	check_journal(p, size);
	render_stream(&b, wall, &st, LEVEL_NOTICE, p, min_of(size, (size_t)LINE_BYTES_MAX));
	check(&b);
	(void)query_matches(&q, p, size);
	buf_done(&b);
	return 0;
}
