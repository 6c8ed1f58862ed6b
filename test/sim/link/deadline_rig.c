/*
 * deadline_rig.c: see deadline_rig.h.
 */
#include "deadline_rig.h"
#include "lib/must.h"

#include <string.h>

void step(struct rig *r)
{
	for (int i = 0; i < 4; i++)
		loop_step(r->loop, 0);
}

void pass_ms(struct rig *r, unsigned ms)
{
	while (ms--) {
		sim_advance_us(r->sim, 1000);
		step(r);
	}
}

struct peer *add_worker(struct rig *r, unsigned threads, bool async)
{
	struct peer *p = &r->p[r->np];
	unsigned ups = r->g.ups;
	int fds[2];

	must(r->np < WORKERS && sim_seqpacket_pair(r->sim, fds) == 0);
	peer_init(p, r->sim, fds[1]);
	atomic_store(&p->status->service_us, 0);
	p->threads = threads;
	p->async = async;
	r->m[r->np] = (struct msg_worker){.app = FAKE_APP, .slot = r->np, .generation = r->np + 1};
	to_app_on_worker(r->g.t, &r->m[r->np++], fds[0]);
	for (int i = 0; i < 10 && r->g.ups == ups; i++) {
		if (!p->up)
			peer_step(p);
		loop_step(r->loop, 0);
	}
	must(r->g.ups == ups + 1);
	step(r);
	return p;
}

void rig_up(struct rig *r)
{
	struct sim_options o = {.seed = 3};

	memset(r, 0, sizeof(*r));
	must(sim_new(&r->sim, &o) == 0 &&
		loop_new_sim(&r->loop, r->sim, fake_ops, FAKE_KINDS) == 0);
	fake_gate_init(&r->g, r->loop);
	r->g.route.request_timeout_ms = TIMEOUT_MS;
}

void rig_done(struct rig *r)
{
	for (unsigned i = 0; i < r->np; i++)
		to_app_on_worker_gone(r->g.t, &r->m[i]);
	for (unsigned i = 0; i < r->nreq; i++) {
		if (!r->req[i]->over)
			fake_req_abort(r->req[i]);
		fake_req_free(r->req[i]);
	}
	step(r);
	fake_gate_done(&r->g);
	for (unsigned i = 0; i < r->np; i++)
		peer_done(&r->p[i]);
	loop_free(r->loop);
	sim_free(r->sim);
}

struct fake_req *ask(struct rig *r, const char *method, int64_t length)
{
	struct fake_req *f = fake_req_new(&r->g, method, "/", length);

	must(r->nreq < REQUESTS);
	r->req[r->nreq++] = f;
	fake_req_start(f);
	step(r);
	return f;
}

unsigned take(struct peer *p)
{
	struct link_desc d;
	const char *bytes;

	while (link_peek(&p->e, &d, &bytes) == 1) {
		if (d.type == LINK_REQ) {
			p->held[p->nheld].id = d.id;
			p->held[p->nheld++].seat = d.seat;
		}
		link_take(&p->e);
	}
	link_publish(&p->e);
	return p->nheld;
}

bool has(const struct peer *p, const struct fake_req *f, uint16_t *ret_seat)
{
	for (unsigned i = 0; i < p->nheld; i++) {
		if (p->held[i].id != f->r.id)
			continue;
		*ret_seat = p->held[i].seat;
		return true;
	}
	return false;
}

bool begin(struct peer *p, const struct fake_req *f)
{
	uint16_t seat = 0;

	(void)take(p);
	must(has(p, f, &seat));
	return link_begin(&p->e, seat, f->r.id);
}

void busy(struct peer *p, uint32_t n)
{
	atomic_store(&p->status->busy, n);
}

void say(struct rig *r, struct peer *p, const struct fake_req *f, uint16_t type, uint16_t flags,
	size_t n)
{
	struct link_desc d = {.id = f->r.id, .type = type, .flags = flags};
	struct link_head h = {.status = flags & LINK_TUNNEL ? 101 : 200, .content_length = -1};
	int err;
	char *room = link_room(&p->e, sizeof(h) + n, &err);

	must(room && has(p, f, &d.seat));
	if (type == LINK_HEAD) {
		memcpy(room, &h, sizeof(h));
		d.arg = sizeof(h);
		memset(room + sizeof(h), 'x', n);
		n += sizeof(h);
	}
	link_put(&p->e, &d, n);
	link_publish(&p->e);
	(void)sim_write(r->sim, p->wake_wr, "", 1);
	step(r);
}

const struct app_worker *worker_at(const struct rig *r, unsigned i)
{
	const struct app_worker *w = NULL;

	for (const struct app *a = r->g.t->apps; a && !w; a = a->next) {
		for (w = a->workers; w && w->m.slot != i; w = w->next) {
		}
	}
	must(w);
	return w;
}

struct fake_req *rig_up_running(struct rig *r, unsigned threads)
{
	struct peer *p;
	struct fake_req *f;

	rig_up(r);
	p = add_worker(r, threads, false);
	f = ask(r, "GET", 0);
	must(begin(p, f));
	busy(p, 1);
	return f;
}
