/*
 * fuzz_format.c: any bytes as a format, and as every text of a record: a line is printable ASCII, and a format
 * that is refused is refused at a place in it; any bytes as a record: refused, or put again as they were.
 */
#include "record/record.h"

#include "lib/must.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_format(const char *p, size_t n)
{
	struct record_lines *lines = calloc(1, sizeof(*lines));
	struct record r = {.head = {.status = 200}};
	struct record_format f;
	char mem[RECORD_LINE_MAX];
	size_t at, len;
	struct buf b;
	int err = record_format_parse(p, n, &f, &at, &len);

	must(err == 0 || err == -EINVAL || err == -E2BIG);
	must(err != -EINVAL || (len > 0 && at + len <= n));
	must(f.n <= RECORD_PARTS_MAX);
	for (unsigned i = 0; !err && i < f.n; i++)
		must((size_t)f.part[i].from + f.part[i].len <= n && f.part[i].var <= LOGVAR_END);
	for (unsigned i = 0; i < RECORD_FORMAT; i++)
		r.text[i] = (struct record_str){p, min_of(n, (size_t)64)};
	for (int custom = 0; custom < 2; custom++) {
		r.text[RECORD_FORMAT] = (struct record_str){p, custom ? n : 0};
		buf_fixed(&b, mem, sizeof(mem));
		must(record_line(lines, &b, n, &r) == 0 || (custom && n && err));
		for (size_t i = 0; !custom && i < b.len; i++)
			must(b.p[i] >= 0x20 && b.p[i] < 0x7f);
	}
	free(lines);
}

static void as_record(const char *p, size_t n)
{
	char mem[RECORD_RAW_MAX];
	struct record r;
	struct buf b;

	if (record_get(p, n, &r) < 0)
		return;
	buf_init(&b, SIZE_MAX);
	record_members(&b, &r);
	must(!b.error && b.len < 40 * 1024 && !memchr(b.p, '\n', b.len));
	must(record_put(&r, mem) <= RECORD_RAW_MAX);
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_format((const char *)data, size);
	as_record((const char *)data, size);
	return 0;
}
