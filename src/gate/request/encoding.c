/*
 * encoding.c: see encoding.h. Called by compress.c, to_static.c and the fuzz target. Owns the
 * states of the libraries (zlib, brotli, zstd).
 *
 * Measured on 100 KB of HTML (test_encoding.c), ns for a byte of input and size of the output: zstd
 * level 3 1.5 and 19.2 %, brotli quality 4 5.4 and 20.2 %, gzip level 4 6.6 and 22.1 %. Windows are
 * small (128 KB), so that a server with little memory can have many at once.
 */
#include "encoding.h"

#include <brotli/encode.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum {
	GZIP_LEVEL = 4,
	GZIP_WINDOW = 15 + 16,
	GZIP_MEM = 8,
	BR_QUALITY = 4,
	BR_WINDOW = 17,
	ZSTD_LEVEL = 3,
	ZSTD_WINDOW = 17
};

const char *const coding_names[CODING_END] = {"identity", "gzip", "br", "zstd"};
const char *const coding_extensions[CODING_END] = {"", ".gz", ".br", ".zst"};

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

static bool is(const char *p, size_t n, const char *word)
{
	return strlen(word) == n && strncasecmp(p, word, n) == 0;
}

/* ";q=0.5" and the like behind a coding, in thousandths; other parameters do not count. */
static unsigned weight(const char *p, const char *end)
{
	unsigned q = 1000, unit = 100;

	while (p < end && (*p == ';' || is_ows(*p)))
		p++;
	if (end - p < 3 || (*p != 'q' && *p != 'Q') || p[1] != '=')
		return q;
	p += 2;
	q = *p == '1' ? 1000 : 0;
	if (*p == '0' && end - p > 1 && p[1] == '.')
		for (p += 2; p < end && *p >= '0' && *p <= '9' && unit; p++, unit /= 10)
			q += (unsigned)(*p - '0') * unit;
	return q;
}

/* One item of the list. */
static void take(const char *p, const char *end, unsigned q[CODING_END], unsigned *star)
{
	const char *name_end = p;
	size_t n;

	while (name_end < end && *name_end != ';' && !is_ows(*name_end))
		name_end++;
	n = (size_t)(name_end - p);
	if (n == 1 && *p == '*')
		*star = weight(name_end, end);
	for (unsigned i = 0; i < CODING_END; i++)
		if (is(p, n, coding_names[i]) || (i == CODING_GZIP && is(p, n, "x-gzip")))
			q[i] = weight(name_end, end);
}

unsigned encoding_accepted(const char *p, size_t n)
{
	enum { UNSAID = 1001 };
	unsigned q[CODING_END] = {UNSAID, UNSAID, UNSAID, UNSAID}, star = UNSAID, best = 0,
		 bits = 1;
	const char *end = p + n;

	while (p < end) {
		const char *from, *to;

		while (p < end && (*p == ',' || is_ows(*p)))
			p++;
		from = p;
		while (p < end && *p != ',')
			p++;
		to = p;
		while (to > from && is_ows(to[-1]))
			to--;
		take(from, to, q, &star);
	}
	for (unsigned i = CODING_GZIP; i < CODING_END; i++) {
		if (q[i] == UNSAID)
			q[i] = star == UNSAID ? 0 : star;
		if (q[i] > best)
			best = q[i];
	}
	/* What is wished for more than any coding is the text itself. */
	if (q[CODING_IDENTITY] != UNSAID && q[CODING_IDENTITY] > best)
		return bits;
	for (unsigned i = CODING_GZIP; i < CODING_END; i++)
		if (best > 0 && q[i] == best)
			bits |= 1u << i;
	return bits;
}

enum coding encoding_best(unsigned codings)
{
	for (unsigned i = CODING_END; --i > 0;)
		if (codings >> i & 1)
			return (enum coding)i;
	return CODING_IDENTITY;
}

bool encoding_worth(const char *type, size_t n)
{
	static const char *const types[] = {"application/json", "application/javascript",
		"application/xml", "application/wasm", "application/manifest+json",
		"application/rss+xml", "application/atom+xml", "application/xhtml+xml",
		"application/ld+json", "application/problem+json", "application/x-ndjson",
		"image/svg+xml", "image/x-icon", "image/vnd.microsoft.icon", "image/bmp",
		"font/ttf", "font/otf", "application/vnd.ms-fontobject", "application/yaml",
		"application/x-javascript", "application/graphql", "application/geo+json"};
	const char *semicolon = memchr(type, ';', n);
	size_t len = semicolon ? (size_t)(semicolon - type) : n;

	while (len && is_ows(type[len - 1]))
		len--;
	/* Events go out as they come; an encoder between would only hold them. */
	if (len > 5 && strncasecmp(type, "text/", 5) == 0)
		return !is(type, len, "text/event-stream");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (is(type, len, types[i]))
			return true;
	return false;
}

/* ---- encoders ---- */

static void *state_new(enum coding coding)
{
	BrotliEncoderState *br;
	ZSTD_CCtx *zs;
	z_stream *z;

	switch (coding) {
	case CODING_GZIP:
		z = calloc(1, sizeof(*z));
		if (z && deflateInit2(z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEM,
				 Z_DEFAULT_STRATEGY) != Z_OK) {
			free(z);
			z = NULL;
		}
		return z;
	case CODING_BR:
		br = BrotliEncoderCreateInstance(NULL, NULL, NULL);
		if (br) {
			BrotliEncoderSetParameter(br, BROTLI_PARAM_QUALITY, BR_QUALITY);
			BrotliEncoderSetParameter(br, BROTLI_PARAM_LGWIN, BR_WINDOW);
		}
		return br;
	case CODING_ZSTD:
		zs = ZSTD_createCCtx();
		if (zs) {
			ZSTD_CCtx_setParameter(zs, ZSTD_c_compressionLevel, ZSTD_LEVEL);
			ZSTD_CCtx_setParameter(zs, ZSTD_c_windowLog, ZSTD_WINDOW);
		}
		return zs;
	default:
		return NULL;
	}
}

static void state_free(enum coding coding, void *state)
{
	if (coding == CODING_GZIP) {
		(void)deflateEnd(state);
		free(state);
	} else if (coding == CODING_BR) {
		BrotliEncoderDestroyInstance(state);
	} else if (coding == CODING_ZSTD) {
		ZSTD_freeCCtx(state);
	}
}

struct encoder *encoder_new(enum coding coding)
{
	struct encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->coding = (uint8_t)coding;
	e->state = state_new(coding);
	if (!e->state) {
		free(e);
		return NULL;
	}
	return e;
}

void encoder_free(struct encoder *e)
{
	state_free(e->coding, e->state);
	free(e);
}

bool encoder_reset(struct encoder *e)
{
	switch ((enum coding)e->coding) {
	case CODING_GZIP:
		return deflateReset(e->state) == Z_OK;
	case CODING_ZSTD:
		return !ZSTD_isError(ZSTD_CCtx_reset(e->state, ZSTD_reset_session_only));
	default:
		return false; /* brotli's has no second life */
	}
}

static int run_gzip(
	z_stream *z, enum encoder_op op, const char **in, size_t *n, char **out, size_t *room)
{
	static const int flush[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
	unsigned give = *n > 1u << 30 ? 1u << 30 : (unsigned)*n;
	unsigned take_max = *room > 1u << 30 ? 1u << 30 : (unsigned)*room;
	int res;

	z->next_in = (unsigned char *)*in;
	z->avail_in = give;
	z->next_out = (unsigned char *)*out;
	z->avail_out = take_max;
	res = deflate(z, flush[op]);
	*in += give - z->avail_in;
	*n -= give - z->avail_in;
	*out += take_max - z->avail_out;
	*room -= take_max - z->avail_out;
	if (res != Z_OK && res != Z_STREAM_END && res != Z_BUF_ERROR)
		return -1;
	if (op == ENCODER_END)
		return res == Z_STREAM_END;
	/* With room left over, nothing waits inside. */
	return *n == 0 && z->avail_out > 0;
}

static int run_br(BrotliEncoderState *br, enum encoder_op op, const char **in, size_t *n,
	char **out, size_t *room)
{
	static const BrotliEncoderOperation ops[] = {
		BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH, BROTLI_OPERATION_FINISH};

	if (!BrotliEncoderCompressStream(
		    br, ops[op], n, (const uint8_t **)in, room, (uint8_t **)out, NULL))
		return -1;
	if (op == ENCODER_END)
		return BrotliEncoderIsFinished(br);
	return *n == 0 && !BrotliEncoderHasMoreOutput(br);
}

static int run_zstd(
	ZSTD_CCtx *zs, enum encoder_op op, const char **in, size_t *n, char **out, size_t *room)
{
	static const ZSTD_EndDirective ops[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
	ZSTD_inBuffer from = {*in, *n, 0};
	ZSTD_outBuffer to = {*out, *room, 0};
	size_t left = ZSTD_compressStream2(zs, &to, &from, ops[op]);

	*in += from.pos;
	*n -= from.pos;
	*out += to.pos;
	*room -= to.pos;
	if (ZSTD_isError(left))
		return -1;
	return *n == 0 && (op == ENCODER_GO || left == 0);
}

int encoder_run(
	struct encoder *e, enum encoder_op op, const char **in, size_t *n, char **out, size_t *room)
{
	switch ((enum coding)e->coding) {
	case CODING_GZIP:
		return run_gzip(e->state, op, in, n, out, room);
	case CODING_BR:
		return run_br(e->state, op, in, n, out, room);
	case CODING_ZSTD:
		return run_zstd(e->state, op, in, n, out, room);
	default:
		return -1;
	}
}
