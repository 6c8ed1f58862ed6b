/*
 * encoder.c: zlib, brotli and zstd behind one form; see encoding.h. Called by compress.c and to_static.c. Owns the
 * states of the libraries.
 *
 * Measured on 100 KB of HTML (test_encoding.c), ns for a byte of input and size of the output: zstd
 * level 3 1.5 and 19.2 %, brotli quality 4 5.4 and 20.2 %, gzip level 4 6.6 and 22.1 %. Windows are
 * small (128 KB), so that a server with little memory can have many at once.
 */
#include "encoding.h"

#include <brotli/encode.h>
#include <stdlib.h>
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
