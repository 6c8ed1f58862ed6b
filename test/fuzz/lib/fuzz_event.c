/*
 * fuzz_event.c: an event as a process wrote it into its log ring. What decodes is rendered as JSON
 * and encoded again, which must give the same bytes.
 */
#include "lib/event.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct both {
	struct buf json, again;
};

static void each(void *arg, const char *name, const char *value)
{
	struct both *b = arg;

	buf_put_json(&b->json, name, strlen(name));
	buf_put_json(&b->json, value, strlen(value));
	event_field_str(&b->again, name, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct both b;
	uint32_t id, first = 0;

	buf_init(&b.json, SIZE_MAX);
	buf_init(&b.again, SIZE_MAX);
	if (size >= 4)
		memcpy(&first, data, 4);
	event_begin(&b.again, first);
	if (event_decode(data, size, &id, each, &b) == 0) {
		must(id == first);
		must(b.again.len == size && memcmp(b.again.p, data, size) == 0);
	} else {
		must(b.json.len == 0);
	}
	buf_done(&b.json);
	buf_done(&b.again);
	return 0;
}
