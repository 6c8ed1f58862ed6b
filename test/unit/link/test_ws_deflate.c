/*
 * test_ws_deflate.c: link/ws_deflate.c: offers that can be kept and that cannot, messages there and
 * back, what a hostile client sends. The peer of both ways is zlib itself, used as RFC 7692 says.
 */
#include "link/ws_deflate.h"
#include "lib/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define BASE "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define LONG_OFFER "a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, "

static void test_offers(void **state)
{
	static const struct {
		const char *offer;
		unsigned bits;
		const char *agreed;
	} rows[] = {
		{"permessage-deflate", 15, BASE},
		{"permessage-deflate; client_max_window_bits", 15, BASE}, /* browsers */
		{"permessage-deflate; client_max_window_bits=8", 15, BASE},
		{"\tPerMessage-Deflate ;\tclient_max_window_bits = \"15\" ", 15, BASE},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15,
			BASE},
		{"permessage-deflate; server_max_window_bits=10", 10,
			BASE "; server_max_window_bits=10"},
		{"permessage-deflate;server_max_window_bits=\"9\"", 9,
			BASE "; server_max_window_bits=9"},
		/* The first that can be kept. */
		{"x-webkit-deflate-frame, permessage-deflate", 15, BASE},
		{"permessage-deflate; server_max_window_bits=8, permessage-deflate; "
		 "server_max_window_bits=12",
			12, BASE "; server_max_window_bits=12"},
		{"permessage-deflate, permessage-deflate; server_max_window_bits=12", 15, BASE},
		{LONG_OFFER "permessage-deflate", 15, BASE},
		/* Nothing. */
		{LONG_OFFER "a, permessage-deflate", 0, NULL},
		{"", 0, NULL},
		{"permessage-deflates", 0, NULL},
		{"permessage", 0, NULL},
		{"permessage-deflate; server_max_window_bits=8", 0, NULL},
		{"permessage-deflate; server_max_window_bits", 0, NULL},
		{"permessage-deflate; server_max_window_bits=16", 0, NULL},
		{"permessage-deflate; server_max_window_bits=7", 0, NULL},
		{"permessage-deflate; server_max_window_bits=010", 0, NULL},
		{"permessage-deflate; client_max_window_bits=16", 0, NULL},
		{"permessage-deflate; client_max_window_bits=1x", 0, NULL},
		{"permessage-deflate; server_no_context_takeover=1", 0, NULL},
		{"permessage-deflate; client_no_context_takeover=", 0, NULL},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", 0, NULL},
		{"permessage-deflate; unknown", 0, NULL},
		{"permessage-deflate;", 0, NULL},
		{"permessage-deflate; =1", 0, NULL},
		{"permessage-deflate; client_max_window_bits=\"15", 0, NULL},
		{"permessage-deflate; client_max_window_bits=\"\"", 0, NULL},
		{"permessage-deflate; client_max_window_bits=\" 15\"", 0, NULL},
		{"permessage-deflate; client_max_window_bits=\"15 \"", 0, NULL},
		/* A fault anywhere: nothing of it is believed. */
		{"permessage-deflate, ", 0, NULL},
		{"permessage-deflate,,x", 0, NULL},
		{", permessage-deflate", 0, NULL},
		{"permessage-deflate x", 0, NULL},
		{"permessage-deflate, a=b", 0, NULL},
		{"permessage-deflate; client_max_window_bits=15 15", 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char agreed[WS_AGREED_MAX] = "?";
		/* Of exactly its size, so that a read beyond it is seen. */
		size_t n = strlen(rows[i].offer);
		char *own = malloc(n + !n);

		memcpy(own, rows[i].offer, n);
		if (ws_deflate_agree(own, n, agreed) != rows[i].bits)
			fail_msg("%s", rows[i].offer);
		if (rows[i].agreed)
			assert_string_equal(agreed, rows[i].agreed);
		free(own);
	}
}

/* Text-like, so that it becomes shorter, with the same again further back than a small window
 * reaches. */
static char *text_of(size_t n, unsigned seed)
{
	char *p = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		p[i] = i < 3000 ? (char)('a' + rand_r(&seed) % 4) : p[i - 3000];
	return p;
}

/* What a client reads: with a window of just these bits. */
static void check_sent(const char *p, size_t n, unsigned bits, const char *want, size_t want_n)
{
	char *in = malloc(n + 4), *out = malloc(want_n + 1);
	z_stream s = {0};

	memcpy(in, p, n);
	memcpy(in + n, "\0\0\xff\xff", 4);
	must(inflateInit2(&s, -(int)bits) == Z_OK);
	s.next_in = (unsigned char *)in;
	s.avail_in = (unsigned)n + 4;
	/* In small pieces, so that what lies further back is in its window or nowhere. */
	while (s.total_out < want_n) {
		s.next_out = (unsigned char *)out + s.total_out;
		s.avail_out = want_n - s.total_out < 100 ? (unsigned)(want_n - s.total_out) : 100;
		assert_int_equal(inflate(&s, Z_SYNC_FLUSH), Z_OK);
	}
	s.avail_out = 1;
	assert_true(inflate(&s, Z_SYNC_FLUSH) != Z_DATA_ERROR && s.avail_out == 1 && !s.avail_in);
	assert_memory_equal(out, want, want_n);
	must(inflateEnd(&s) == Z_OK);
	free(in);
	free(out);
}

static void test_out(void **state)
{
	static const unsigned all_bits[] = {15, 9, 12, 15};
	struct ws_deflate *z = ws_deflate_new();
	char *small, *noise;
	unsigned seed = 1;
	size_t n;

	(void)state;
	for (size_t b = 0; b < 4; b++) {
		for (size_t size = WS_DEFLATE_SMALL; size < 300000; size *= 5) {
			char *p = text_of(size, (unsigned)size);

			/* Twice the same: nothing is remembered from the message before. */
			for (int again = 0; again < 2; again++) {
				assert_int_equal(
					ws_deflate_message(z, all_bits[b], p, size, &small, &n), 0);
				assert_true(n < size);
				check_sent(small, n, all_bits[b], p, size);
				free(small);
			}
			free(p);
		}
	}
	noise = text_of(1000, 1);
	assert_int_equal(
		ws_deflate_message(z, 15, noise, WS_DEFLATE_SMALL - 1, &small, &n), -ENOSPC);
	for (size_t i = 0; i < 1000; i++)
		noise[i] = (char)rand_r(&seed);
	assert_int_equal(ws_deflate_message(z, 15, noise, 1000, &small, &n), -ENOSPC);
	/* Cut where there was no more room, it would look whole. */
	memcpy(noise + 1000 - 9, "\0\0\xff\xff", 4);
	assert_int_equal(ws_deflate_message(z, 15, noise, 1000, &small, &n), -ENOSPC);
	free(noise);
	noise = text_of(1000, 2);
	assert_int_equal(ws_deflate_message(z, 15, noise, 1000, &small, &n), 0);
	check_sent(small, n, 15, noise, 1000);
	free(small);
	free(noise);
	ws_deflate_free(z);
	ws_deflate_free(NULL);
}

/* A client's message; how: the flush that ends it. Its tail is cut off, as section 7.2.1 says. */
static char *sent_by_client(const char *p, size_t n, int level, int how, size_t *ret_n)
{
	size_t cap = compressBound(n) + 100;
	char *out = malloc(cap);
	z_stream s = {0};

	must(deflateInit2(&s, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	s.next_in = (unsigned char *)p;
	s.avail_in = (unsigned)n;
	s.next_out = (unsigned char *)out;
	s.avail_out = (unsigned)cap;
	(void)deflate(&s, how);
	*ret_n = cap - s.avail_out;
	if (how == Z_FINISH)
		out[(*ret_n)++] = 0; /* section 7.2.3.4 */
	else
		*ret_n -= 4;
	(void)deflateEnd(&s);
	return out;
}

static void test_in(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 70000};
	struct ws_deflate *z = ws_deflate_new();
	char *all;
	size_t n, all_n;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int level = 0; level <= 9; level += 3) {
			for (int how = 0; how < 2; how++) {
				char *p = text_of(sizes[i], 7),
				     *sent = sent_by_client(
					     p, sizes[i], level, how ? Z_FINISH : Z_SYNC_FLUSH, &n);
				/* Of exactly its size. */
				char *own = malloc(n + !n);

				memcpy(own, sent, n);
				assert_int_equal(
					ws_inflate_message(z, own, n, sizes[i], &all, &all_n), 0);
				assert_int_equal(all_n, sizes[i]);
				assert_memory_equal(all, p, all_n);
				free(all);
				if (sizes[i])
					assert_int_equal(ws_inflate_message(z, own, n, sizes[i] - 1,
								 &all, &all_n),
						-EMSGSIZE);
				free(own);
				free(sent);
				free(p);
			}
		}
	}
	/* RFC 7692 section 7.2.3: "Hello" with each kind of block, in two blocks, and nothing at
	 * all. */
	static const struct {
		const char *p;
		size_t n;
		const char *text;
	} rows[] = {{"\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello"},
		{"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11, "Hello"},
		{"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, "Hello"},
		{"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13, "Hello"},
		{"\x00", 1, ""}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(ws_inflate_message(z, rows[i].p, rows[i].n, 100, &all, &all_n), 0);
		assert_int_equal(all_n, strlen(rows[i].text));
		assert_memory_equal(all, rows[i].text, all_n);
		free(all);
	}
	ws_deflate_free(z);
}

static void test_hostile(void **state)
{
	enum { BOMB = 64 << 20, LIMIT = 100000 };
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {{"", 0}, {"\x07", 1}, {"\xff\xff\xff\xff", 4}, {"\x00\x09\x00\xf6\xff\x48", 6},
		{"\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00", 11}};
	struct ws_deflate *z = ws_deflate_new();
	char *zeros = calloc(1, BOMB), *bomb, *all;
	size_t n, all_n;

	(void)state;
	bomb = sent_by_client(zeros, BOMB, 9, Z_SYNC_FLUSH, &n);
	assert_true(n < LIMIT);
	assert_int_equal(ws_inflate_message(z, bomb, n, LIMIT, &all, &all_n), -EMSGSIZE);
	free(zeros);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ws_inflate_message(z, bad[i].p, bad[i].n, LIMIT, &all, &all_n) != -EBADMSG)
			fail_msg("row %zu", i);
	/* A pointer to before the message's beginning: nothing of another message is there. */
	assert_int_equal(
		ws_inflate_message(z, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, LIMIT, &all, &all_n), 0);
	free(all);
	assert_int_equal(ws_inflate_message(z, "\x02\x02\x00", 3, LIMIT, &all, &all_n), -EBADMSG);
	free(bomb);
	ws_deflate_free(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_out),
		cmocka_unit_test(test_in),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
