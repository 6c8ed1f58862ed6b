/*
 * fuzz_gate.c: whatever a worker may write into its memory, read by the gate's app handler.
 *
 * The input: one byte, how far the head moves; then descriptors; what is left is the data area. Two
 * requests run while it is read.
 */
#include "../../sim/link/peer.h"
#include "lib/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS = 3 };

static void write_garbage(
	struct peer *p, struct fake_req *const *req, const uint8_t *data, size_t size)
{
	unsigned n = size ? data[0] % 8u : 0;
	size_t at = 1;

	for (unsigned i = 0; i < n && at + sizeof(struct link_desc) <= size; i++) {
		struct link_desc d;

		memcpy(&d, data + at, sizeof(d));
		at += sizeof(d);
		/* Small ids and seats mean the requests that run, so that frames get as far as they
		 * can. */
		if (d.id < REQUESTS) {
			d.seat = (uint16_t)d.id;
			d.id = req[d.id]->r.id;
		}
		p->e.page->desc[i] = d;
	}
	if (at < size)
		memcpy(p->e.data, data + at,
			size - at < LINK_DATA_BYTES ? size - at : LINK_DATA_BYTES);
	atomic_store(&p->e.page->head, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[REQUESTS] = {"GET", "POST", "HEAD"};
	struct sim_options o = {.seed = 1};
	struct msg_worker m = {.app = FAKE_APP, .generation = 1};
	struct fake_req *req[REQUESTS];
	struct loop *l;
	struct sim *s;
	struct gate g;
	struct peer p;
	int fds[2];

	must(sim_new(&s, &o) == 0 && loop_new_sim(&l, s, fake_ops, FAKE_KINDS) == 0);
	fake_gate_init(&g, l);
	must(sim_seqpacket_pair(s, fds) == 0);
	peer_init(&p, s, fds[1]);
	to_app_on_worker(g.t, &m, fds[0]);
	for (int i = 0; i < 10 && !g.ups; i++) {
		if (!p.up)
			peer_step(&p);
		loop_step(l, 0);
	}
	must(g.ups == 1);
	atomic_store(&p.status->service_us, 1);
	for (unsigned i = 0; i < REQUESTS; i++) {
		req[i] = fake_req_new(&g, methods[i], "/", i == 1 ? -1 : 0);
		req[i]->room = i == 0 ? 100 : SIZE_MAX;
		fake_req_start(req[i]);
	}
	write_garbage(&p, req, data, size);
	(void)sim_write(s, p.wake_wr, "", 1);
	for (int i = 0; i < 4; i++)
		loop_step(l, 0);
	to_app_on_worker_gone(g.t, &m);
	for (unsigned i = 0; i < REQUESTS; i++) {
		if (!req[i]->over)
			fake_req_abort(req[i]);
		fake_req_free(req[i]);
	}
	loop_step(l, 0);
	fake_gate_done(&g);
	peer_done(&p);
	loop_free(l);
	sim_free(s);
	return 0;
}
