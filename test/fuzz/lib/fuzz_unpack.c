/*
 * fuzz_unpack.c: packed fields of a message, read in an order that the input itself gives: the
 * first eight bytes choose the kind of each read.
 */
#include "lib/buf.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p;
	struct unpack u;
	size_t n;

	if (size < 8)
		return 0;
	unpack_init(&u, data + 8, size - 8);
	for (unsigned i = 0; i < 32 && !u.bad; i++) {
		switch (data[i % 8] >> (i / 8 * 2) & 3) {
		case 0:
			unpack_u32(&u);
			break;
		case 1:
			unpack_u64(&u);
			break;
		case 2:
			must(strlen(unpack_str(&u)) <= size);
			break;
		default:
			p = unpack_bytes(&u, &n);
			must(n <= size && p[n] == 0);
		}
		must(u.p <= u.end);
	}
	must(!unpack_done(&u) || u.p == u.end);
	return 0;
}
