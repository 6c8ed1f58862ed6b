/*
 * fuzz_fastcgi.c: an answer in FastCGI's records: cut anywhere it is read as when it came whole, and never
 * beyond its bytes. The first byte says what was asked (HEAD) and whether the rest are records as they
 * stand, or a program's output that is put into records here: however those are cut and padded, and whatever
 * stands in the error stream between them, the answer is the same. The second byte says where they are cut.
 */
#include "hear.h"
#include "lib/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_ONLY = 1, RECORDS = 2, STDERR = 4, END_OUT = 8, STDOUT_TYPE = 6, STDERR_TYPE = 7, END_TYPE = 3 };

static void record(struct buf *b, uint8_t type, const void *p, size_t n, uint8_t padding)
{
	const uint8_t head[8] = {1, type, 0, 1, (uint8_t)(n >> 8), (uint8_t)n, padding, 0};
	static const char zero[256];

	buf_put(b, head, sizeof(head));
	buf_put(b, p, n);
	buf_put(b, zero, padding);
}

/* The program's output in records of `step` bytes. */
static void wrap(struct buf *b, const uint8_t *p, size_t n, size_t step, uint8_t how)
{
	static const uint8_t end[8] = {0};

	for (size_t at = 0; at < n; at += step) {
		if (how & STDERR && at == step)
			record(b, STDERR_TYPE, "PHP message: x\n", 15, (uint8_t)step);
		record(b, STDOUT_TYPE, p + at, min_of(step, n - at), (uint8_t)(step * 7));
	}
	if (how & END_OUT)
		record(b, STDOUT_TYPE, "", 0, 0);
	record(b, END_TYPE, end, sizeof(end), (uint8_t)(how >> 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct up_ask ask = {.method_id = METHOD_GET};
	struct heard whole, cut, other;
	struct buf a, b;
	size_t step;

	if (size < 2 || size > 20000)
		return 0;
	step = 1u + data[1] % 64u;
	if (data[0] & HEAD_ONLY)
		ask.method_id = METHOD_HEAD;
	if (data[0] & RECORDS) {
		whole = hear(&up_fastcgi_codec, (const char *)data + 2, size - 2, size, &ask);
		cut = hear(&up_fastcgi_codec, (const char *)data + 2, size - 2, step, &ask);
		must_equal(&whole, &cut);
		return 0;
	}
	buf_init(&a, SIZE_MAX);
	buf_init(&b, SIZE_MAX);
	wrap(&a, data + 2, size - 2, step, data[0]);
	wrap(&b, data + 2, size - 2, size, data[0] & 0xfb);
	must(!a.error && !b.error);
	whole = hear(&up_fastcgi_codec, a.p, a.len, a.len, &ask);
	cut = hear(&up_fastcgi_codec, a.p, a.len, step, &ask);
	must_equal(&whole, &cut);
	other = hear(&up_fastcgi_codec, b.p, b.len, b.len, &ask);
	must((whole.end < 0) == (other.end < 0));
	must(whole.end < 0 || (whole.body == other.body && whole.heads == 1 && whole.keep));
	buf_done(&a);
	buf_done(&b);
	return 0;
}
