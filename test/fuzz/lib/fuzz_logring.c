/*
 * fuzz_logring.c: a log ring whose writer has gone mad, read by the log process. The input is a
 * list of pokes {u32 offset, u8 length, bytes} into a good ring, with reads between them. The
 * reader must never leave the ring, never go backwards and never give a record that is too long.
 */
#include "lib/logring.h"
#include "lib/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING_HEAD = 4096, READS_MAX = 2000 };

static bool read_all(struct logring_reader *r, void *mem)
{
	for (unsigned i = 0; i < READS_MAX; i++) {
		uint64_t wall, before = r->tail;
		enum logrec type;
		size_t n = 0;
		int got = logring_next(r, mem, &type, &wall, &n);

		must(r->tail >= before);
		if (got < 0)
			return false;
		if (got == 0)
			return true;
		must(n <= LOGRING_RECORD_MAX && (type == LOGREC_EVENT || type == LOGREC_ACCESS));
	}
	return true;
}

/* Offsets in the head's page are likelier than their share of the ring. */
static size_t place(uint32_t raw)
{
	return raw & 1 ? (raw >> 1) % 64 : (raw >> 1) % (RING_HEAD + LOGRING_BYTES - 256);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char mem[LOGRING_RECORD_MAX];
	struct logring_writer w;
	struct logring_reader r;
	uint64_t tail = 0;

	must(logring_create(&w) == 0);
	/* Up to a bit more than one lap, so that a wrong length can reach far. */
	for (unsigned i = 0; i < (size > 1 && data[1] & 1 ? 60 : 20); i++)
		logring_put(&w, i & 1 ? LOGREC_EVENT : LOGREC_ACCESS, i, mem, i * 997 % 10000);
	logring_flush(&w);
	if (size >= 8)
		memcpy(&tail, data, 8);
	if (size && data[0] & 1)
		tail = data[0] & 2 ? UINT64_MAX : 0;
	if (logring_open(&r, w.fd, tail) == 0) {
		size_t at = 8;

		while (at + 5 <= size) {
			uint32_t raw;
			size_t n = data[at + 4];

			memcpy(&raw, data + at, 4);
			at += 5;
			n = n < size - at ? n : size - at;
			memcpy((char *)w.map + place(raw), data + at, n);
			at += n;
			if (!read_all(&r, mem))
				break;
		}
		read_all(&r, mem);
		logring_close(&r);
	}
	logring_done(&w);
	return 0;
}
