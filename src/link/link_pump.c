/*
 * link_pump.c: the worker's end reads what the gates wrote.
 *
 * Called under the worker's lock by link_worker.c and link_answer.c. Copies every frame out at
 * once, so the ring is always drained and a request that runs never blocks the body of another.
 * What a gate wrote is input: whatever does not hold ends that link.
 */
#include "link/link_worker_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct link_req **link_seat(struct link_worker_link *k, unsigned seat, bool make)
{
	struct link_req ***block;

	if (!link_is_far(seat))
		return &k->seats[seat];
	block = &k->far[(seat - LINK_SEATS) / LINK_FAR_BLOCK];
	if (!*block && make)
		*block = calloc(LINK_FAR_BLOCK, sizeof(**block));
	return *block ? &(*block)[(seat - LINK_SEATS) % LINK_FAR_BLOCK] : NULL;
}

void link_touch(struct link_req *r)
{
	struct link_worker *w = r->link->w;

	if (!w->concurrency || r->touched || r->state != LINK_REQ_RUNNING)
		return;
	r->touched = true;
	r->next_touched = NULL;
	*w->touched_tail = r;
	w->touched_tail = &r->next_touched;
}

static void untouch(struct link_req *r)
{
	struct link_worker *w = r->link->w;

	if (!r->touched)
		return;
	for (struct link_req **at = &w->touched; *at; at = &(*at)->next_touched) {
		if (*at != r)
			continue;
		*at = r->next_touched;
		if (w->touched_tail == &r->next_touched)
			w->touched_tail = at;
		break;
	}
	r->touched = false;
}

void link_look_gone(struct link_worker_link *k)
{
	for (unsigned i = 0; i < LINK_SEATS && k->running; i++) {
		struct link_req *r = k->seats[i];

		if (!r || r->state != LINK_REQ_RUNNING || r->gone_told ||
			!link_stopped(&k->end, r->seat, r->id))
			continue;
		r->gone_told = true;
		link_touch(r);
	}
}

void link_req_free(struct link_req *r)
{
	struct link_worker_link *k = r->link;

	struct link_req **seat = link_seat(k, r->seat, false);

	if (seat && *seat == r)
		*seat = NULL;
	k->running--;
	untouch(r);
	if (r->in_cap > 16384) {
		free(r->in);
		r->in = NULL;
		r->in_cap = 0;
	}
	r->state = LINK_REQ_FREE;
	if (r->env_cap > 16384) {
		free(r->env);
		r->env = NULL;
		r->env_cap = 0;
	}
	r->next = k->w->free;
	k->w->free = r;
}

static int got_req(struct link_worker_link *k, const struct link_desc *d, const char *p)
{
	struct link_worker *w = k->w;
	struct link_req *r, **seat = link_seat(k, d->seat, true);

	if (!seat)
		return -ENOMEM;
	if (*seat || !d->id || d->arg > LINK_WINDOW)
		return -EPROTO;
	r = w->free ? w->free : calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	if (r == w->free)
		w->free = r->next;
	r->next = NULL;
	r->link = k;
	r->seat = d->seat;
	k->running++;
	*seat = r;
	/* A byte more, for who makes C strings of it. */
	if (r->env_cap <= d->len) {
		size_t cap = d->len < 1024 ? 1024 : d->len + 1u;
		char *env = realloc(r->env, cap);

		if (!env) {
			link_req_free(r);
			return -ENOMEM;
		}
		r->env = env;
		r->env_cap = cap;
	}
	if (d->len)
		memcpy(r->env, p, d->len);
	r->env_len = d->len;
	r->id = d->id;
	r->state = LINK_REQ_WAITING;
	r->in_end = d->flags & LINK_END;
	r->has_body = !r->in_end;
	r->head_sent = r->ended = r->gone = r->gone_told = r->tunnel = r->away = false;
	r->counted = false;
	r->may_tunnel = d->flags & LINK_TUNNEL && link_is_far(d->seat);
	r->touched = false;
	r->user = NULL;
	r->room = r->window = d->arg;
	r->credit = 0;
	r->in_at = r->in_len = 0;
	*w->waiting_tail = r;
	w->waiting_tail = &r->next;
	return 0;
}

/* A circle for `want` bytes; what is in it moves to its beginning. */
static int widen(struct link_req *r, uint32_t want)
{
	uint32_t cap = r->in_cap ? r->in_cap * 2 : 1024, first;
	char *in;

	while (cap < want)
		cap *= 2;
	in = malloc(cap);
	if (!in)
		return -ENOMEM;
	first = r->in_cap - r->in_at < r->in_len ? r->in_cap - r->in_at : r->in_len;
	if (first)
		memcpy(in, r->in + r->in_at, first);
	if (first < r->in_len)
		memcpy(in + first, r->in, r->in_len - first);
	free(r->in);
	r->in = in;
	r->in_cap = cap;
	r->in_at = 0;
	return 0;
}

static int got_body(struct link_req *r, const struct link_desc *d, const char *p)
{
	uint32_t at, n;

	if (r->in_end || d->len > LINK_WINDOW - r->in_len)
		return -EPROTO;
	if (r->in_len + d->len > r->in_cap && widen(r, r->in_len + d->len))
		return -ENOMEM;
	at = r->in_cap ? (r->in_at + r->in_len) % r->in_cap : 0;
	n = r->in_cap - at < d->len ? r->in_cap - at : d->len;
	if (n)
		memcpy(r->in + at, p, n);
	if (n < d->len)
		memcpy(r->in, p + n, d->len - n);
	r->in_len += d->len;
	r->in_end = d->flags & LINK_END;
	return 0;
}

static int got_frame(struct link_worker_link *k, const struct link_desc *d, const char *p)
{
	struct link_req **seat = link_seat(k, d->seat, false), *r = seat ? *seat : NULL;
	bool mine = r && r->id == d->id && r->state != LINK_REQ_OWES;

	if (mine && d->type != LINK_REQ)
		link_touch(r);
	switch (d->type) {
	case LINK_REQ:
		return got_req(k, d, p);
	case LINK_REQ_BODY:
		/* What crossed with the answer's end belongs to nobody any more. */
		return mine ? got_body(r, d, p) : 0;
	case LINK_ROOM:
		if (!mine)
			return 0;
		if (d->arg > LINK_WINDOW - r->room)
			return -EPROTO;
		r->room += d->arg;
		return 0;
	case LINK_GONE:
		if (mine)
			r->gone = true;
		return link_is_far(d->seat) ? 0 : -EPROTO;
	case LINK_AWAY:
		if (mine)
			r->away = true;
		return 0;
	default:
		return -EPROTO;
	}
}

static bool pump_link(struct link_worker_link *k)
{
	struct link_desc d;
	const char *p;
	bool any = false;
	int got, err = 0;

	/* At most one ring's worth, so that one gate does not keep the others waiting. */
	for (unsigned i = 0; i < LINK_SLOTS && !err; i++) {
		got = link_peek(&k->end, &d, &p);
		if (got == 0)
			break;
		any = true;
		err = got < 0 ? got : got_frame(k, &d, p);
		if (!err)
			link_take(&k->end);
	}
	if (err)
		link_break(k);
	if (k->w->concurrency && !k->dead)
		link_look_gone(k);
	return any;
}

bool link_pump(struct link_worker *w)
{
	bool any = false;

	for (unsigned i = 0; i < w->nlinks; i++) {
		struct link_worker_link *k = w->links[i];

		if (!k->up || k->dead)
			continue;
		if (pump_link(k)) {
			any = true;
			if (!k->dead && link_must_wake(&k->end, true))
				(void)!write(k->wake_wr, "", 1);
		}
		if (k->owes && !k->dead)
			link_pay(k);
	}
	if (any)
		w->events++;
	return any;
}
