/*
 * test_encoding.c: Accept-Encoding, types that are worth it, and every encoder with every split of
 * its input and output: what a decoder makes of it is the text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <brotli/decode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

#include "encoding.h"
#include "lib/must.h"

enum { TEXT = 100000, OUT = 400000 };

static void who_takes_what(void **state)
{
	static const struct {
		const char *field;
		enum coding best;
	} rows[] = {
		{"", CODING_IDENTITY},
		{"gzip", CODING_GZIP},
		{"gzip, deflate", CODING_GZIP},
		{"gzip, deflate, br", CODING_BR},
		{"gzip, deflate, br, zstd", CODING_ZSTD},
		{"GZIP", CODING_GZIP},
		{"x-gzip", CODING_GZIP},
		{"identity", CODING_IDENTITY},
		{"*", CODING_ZSTD},
		{"*;q=0", CODING_IDENTITY},
		{"gzip;q=0", CODING_IDENTITY},
		{"gzip;q=0.0", CODING_IDENTITY},
		{"gzip;q=0.0009", CODING_IDENTITY},
		{"gzip;q=0.5:", CODING_GZIP},
		{"br;q=0, *", CODING_ZSTD},
		{"zstd;q=0, *;q=0.5", CODING_BR},
		{"gzip;q=1.0, br;q=0.5", CODING_GZIP},
		{"gzip;q=0.5, br;q=0.501", CODING_BR},
		{"br;q=0.8, identity", CODING_IDENTITY},
		{"br;q=0.8, identity;q=0.5", CODING_BR},
		{"identity;q=0, br;q=0.1", CODING_BR},
		{" , ,gzip ;q=1 , ", CODING_GZIP},
		{"gzipx", CODING_IDENTITY},
		{"gzip;q=", CODING_GZIP},
		{"gzip;q=0.", CODING_IDENTITY},
		{"gzip;q", CODING_GZIP},
		{"deflate", CODING_IDENTITY},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum coding got =
			encoding_best(encoding_accepted(rows[i].field, strlen(rows[i].field)));

		if (got != rows[i].best)
			print_error("\"%s\" gives %s\n", rows[i].field, coding_names[got]);
		assert_int_equal(got, rows[i].best);
	}
}

static void what_is_worth_it(void **state)
{
	static const char *const yes[] = {"text/html", "text/html; charset=utf-8", "TEXT/PLAIN",
		"application/json", "application/javascript;charset=utf-8", "image/svg+xml"};
	static const char *const no[] = {"text/event-stream", "image/png", "video/mp4",
		"application/zip", "", "text", "application/octet-stream", "font/woff2"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		assert_true(encoding_worth(yes[i], strlen(yes[i])));
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		assert_false(encoding_worth(no[i], strlen(no[i])));
}

static char *make_text(void)
{
	char *text = malloc(TEXT);
	unsigned x = 1;

	must(text);
	for (size_t i = 0; i < TEXT; i++) {
		x = x * 1103515245 + 12345;
		text[i] = i % 100 < 70 ? "<p class=\"item\">hello world</p>\n"[i % 32]
				       : (char)('a' + (x >> 16) % 26);
	}
	return text;
}

static size_t decode(enum coding coding, const char *p, size_t n, char *to)
{
	size_t len = TEXT;
	z_stream z = {.next_in = (unsigned char *)p,
		.avail_in = (unsigned)n,
		.next_out = (unsigned char *)to,
		.avail_out = TEXT};

	switch (coding) {
	case CODING_GZIP:
		assert_int_equal(inflateInit2(&z, 31), Z_OK);
		assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
		len = z.total_out;
		inflateEnd(&z);
		return len;
	case CODING_BR:
		assert_int_equal(
			BrotliDecoderDecompress(n, (const uint8_t *)p, &len, (uint8_t *)to),
			BROTLI_DECODER_RESULT_SUCCESS);
		return len;
	default: {
		/* Flushed blocks do not say how long the whole is. */
		ZSTD_DCtx *d = ZSTD_createDCtx();
		ZSTD_inBuffer in = {p, n, 0};
		ZSTD_outBuffer out = {to, TEXT, 0};

		assert_int_equal(ZSTD_decompressStream(d, &out, &in), 0);
		ZSTD_freeDCtx(d);
		return out.pos;
	}
	}
}

/* Give the text in pieces of `piece` bytes, flushed each, into room of `space` bytes. */
static size_t encode(
	struct encoder *e, const char *text, size_t piece, size_t space, bool flush, char *to)
{
	size_t made = 0;

	for (size_t at = 0; at < TEXT;) {
		size_t n = min_of(piece, TEXT - at);
		const char *p = text + at;
		enum encoder_op op = at + n == TEXT ? ENCODER_END
				     : flush        ? ENCODER_FLUSH
						    : ENCODER_GO;
		int res;

		at += n;
		do {
			char *out = to + made;
			size_t room = min_of(space, (size_t)OUT - made);

			res = encoder_run(e, op, &p, &n, &out, &room);
			assert_true(res >= 0);
			made = (size_t)(out - to);
			assert_true(made < OUT);
		} while (res == 0);
		assert_int_equal(n, 0);
	}
	return made;
}

static void every_split(void **state)
{
	static const size_t pieces[] = {1000, 4096, 65536, TEXT}, spaces[] = {64, 1000, 16384};
	char *text = make_text(), *out = malloc(OUT), *back = malloc(TEXT);

	(void)state;
	for (unsigned c = CODING_GZIP; c < CODING_END; c++)
		for (size_t i = 0; i < ARRAY_LEN(pieces) * ARRAY_LEN(spaces) * 2; i++) {
			struct encoder *e = encoder_new((enum coding)c);

			/* The second life of an encoder is as good as the first. */
			for (int life = 0; life < 2; life++) {
				size_t n = encode(
					e, text, pieces[i % 4], spaces[i / 4 % 3], i / 12, out);

				assert_int_equal(decode((enum coding)c, out, n, back), TEXT);
				assert_memory_equal(text, back, TEXT);
				if (!encoder_reset(e))
					break;
			}
			encoder_free(e);
		}
	free(text);
	free(out);
	free(back);
}

static void what_it_costs(void **state)
{
	char *text = make_text(), *out = malloc(OUT);

	(void)state;
	for (unsigned c = CODING_GZIP; c < CODING_END; c++) {
		struct encoder *e = encoder_new((enum coding)c);
		clock_t began = clock();
		size_t n = 0;

		for (int i = 0; i < 20; i++) {
			n = encode(e, text, 16384, 16384, false, out);
			if (!encoder_reset(e)) {
				encoder_free(e);
				e = encoder_new((enum coding)c);
			}
		}
		print_message("%s: %.1f ns a byte, %.1f %%\n", coding_names[c],
			(double)(clock() - began) * 1e9 / CLOCKS_PER_SEC / 20 / TEXT,
			(double)n * 100 / TEXT);
		encoder_free(e);
	}
	free(text);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_takes_what),
		cmocka_unit_test(what_is_worth_it),
		cmocka_unit_test(every_split),
		cmocka_unit_test(what_it_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
