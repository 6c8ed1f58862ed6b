/*
 * app_tunnel.c: a request that becomes a tunnel between its client and an app (RFC 6455 section 4.2).
 *
 * Called by app_queue.c when a request is given and by app_answer.c when its worker accepts. The
 * gate passes bytes and does not look at them: frames are the worker's to read and to check. Only
 * WebSocket is offered to an app, because nothing else would stay behind what the gate checks.
 */
#include "app_priv.h"

#include <errno.h>
#include <string.h>

bool app_may_tunnel(const struct req *r)
{
	return r->upgrade && r->upgrade_len == 9 && strncasecmp(r->upgrade, "websocket", 9) == 0 &&
	       r->method == METHOD_GET && r->content_length == 0;
}

static void away(struct app_worker *w, unsigned seat)
{
	app_seat_at(w, seat)->away_owed = true;
	app_seat_tell(w, seat);
}

int app_tunnel_begin(struct app_req *a, struct resp_head *h)
{
	struct to_app *t = a->t;
	struct req *r = a->r;
	struct app_worker *w = a->w;
	struct app_seat *s = app_seat_at(w, a->seat);
	struct field *f = arena_alloc(&r->arena, (h->nfields + 2) * sizeof(*f));
	struct app_guard g;

	app_count_tunnel(w, s);
	app_given(w, -1, 0);
	w->tunnels++;
	if (!f) {
		app_stop(a);
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return 0;
	}
	if (h->nfields)
		memcpy(f, h->fields, h->nfields * sizeof(*f));
	f[h->nfields++] = (struct field){"Connection", "Upgrade", 10, 7};
	f[h->nfields++] = (struct field){"Upgrade", "websocket", 7, 9};
	h->fields = f;
	h->content_length = -1;
	a->tunnel = true;
	a->left = -1;
	a->in_ended = a->in_end_told = false;
	a->in_credit = LINK_WINDOW_TUNNEL;
	loop_timer_stop(t->env.loop, &a->deadline);
	app_uncharge(t, a->window);
	r->filters = 0;
	app_guard(t, &g, a);
	(void)req_resp_head(r, h, false);
	if (!app_guarded(t, &g))
		return 0;
	if (req_resp_tunnel(r) < 0) {
		app_stop(a);
		req_fail(r, CLOSE_CLIENT_GONE, 0);
	} else if (t->away || w->away) {
		away(w, a->seat);
	}
	return 0;
}

static void leave(struct app_worker *w)
{
	unsigned seat = LINK_SEATS;
	struct app_seat *s;

	for (; (s = app_seat_next(w, &seat)); seat++) {
		if (s->tunnel && s->a)
			away(w, seat);
	}
}

void app_tunnels_leave(struct app_worker *w)
{
	if (!w->away && w->up && !w->lost)
		leave(w);
	w->away = true;
}

void app_tunnels_away(struct to_app *t)
{
	t->away = true;
	for (struct app *app = t->apps; app; app = app->next) {
		for (struct app_worker *w = app->workers; w; w = w->next)
			leave(w);
	}
}
