/*
 * fuzz_chan.c: a datagram that another process sent over a channel. The first byte says how many
 * descriptors came with it. Whatever is accepted is read as the handlers read it.
 */
#include "lib/buf.h"
#include "lib/chan.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t sizes[] = {1, 8, 24, 64, 256};
	struct msg m = {0};
	unsigned nfds;

	if (size < 1)
		return 0;
	nfds = data[0];
	if (chan_parse(data + 1, size - 1, nfds, &m) < 0)
		return 0;
	must(nfds <= CHAN_FDS_MAX && m.h.len == size - 1 - sizeof(m.h) && m.h.type && m.h.major);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char fixed[256];
		struct unpack u;
		const char *tail;
		size_t n;

		(void)msg_get(&m, fixed, sizes[i], sizes[i] / 2);
		tail = msg_tail(&m, sizes[i], &n);
		unpack_init(&u, tail, n);
		while (u.p < u.end && !u.bad)
			must(strlen(unpack_str(&u)) <= n);
		(void)unpack_done(&u);
	}
	return 0;
}
