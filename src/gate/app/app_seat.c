/*
 * app_seat.c: the seats of one worker: which are free, who sits where.
 *
 * Called by app_queue.c, app_link.c and app_answer.c. The first LINK_SEATS lie in the worker's
 * struct. Far seats (link.h) are made in blocks when a worker that takes them needs more, and stay
 * until it ends: a seat's place never changes. Nothing here looks at a worker's memory.
 */
#include "app_priv.h"
#include "lib/must.h"

#include <stdlib.h>
#include <string.h>

bool app_seat_left(const struct app_worker *w, bool tunnel)
{
	if (w->link.async)
		return (!tunnel && w->near < LINK_SEATS) || w->far < LINK_FAR;
	return w->near < LINK_SEATS;
}

struct app_seat *app_seat_at(struct app_worker *w, unsigned seat)
{
	unsigned far = seat - LINK_SEATS;

	if (!link_is_far(seat))
		return &w->seats[seat];
	if (far / APP_FAR_BLOCK >= w->far_blocks)
		return NULL;
	return &w->far_block[far / APP_FAR_BLOCK][far % APP_FAR_BLOCK];
}

static bool add_block(struct app_worker *w)
{
	unsigned first = LINK_SEATS + w->far_blocks * APP_FAR_BLOCK;
	struct app_seat *block = calloc(APP_FAR_BLOCK, sizeof(*block));

	must(w->far_blocks < LINK_FAR / APP_FAR_BLOCK);
	if (!block)
		return false;
	for (unsigned i = 0; i + 1 < APP_FAR_BLOCK; i++)
		block[i].next_free = (uint16_t)(first + i + 1);
	w->far_block[w->far_blocks++] = block;
	w->far_free = (uint16_t)first;
	return true;
}

_Static_assert(LINK_SEATS == 64, "near_used has a bit for each");

static unsigned near_seat(const struct app_worker *w)
{
	must(w->near_used != UINT64_MAX);
	return (unsigned)__builtin_ctzll(~w->near_used);
}

struct app_seat *app_seat_take(struct app_worker *w, bool tunnel, uint16_t *ret_seat)
{
	struct app_seat *s;
	unsigned seat;

	if (!tunnel && w->near < LINK_SEATS) {
		seat = near_seat(w);
		s = &w->seats[seat];
		w->near++;
		w->near_used |= 1ull << seat;
	} else {
		if (!w->far_free && !add_block(w))
			return NULL;
		seat = w->far_free;
		s = app_seat_at(w, seat);
		w->far_free = s->next_free;
		w->far++;
	}
	memset(s, 0, sizeof(*s));
	app_given(w, 1, 0);
	*ret_seat = (uint16_t)seat;
	return s;
}

struct app_req *app_seat_leave(struct app_worker *w, unsigned seat)
{
	struct app_seat *s = app_seat_at(w, seat);
	struct app_req *a = s->a;

	if (s->tunnel)
		w->tunnels--;
	else
		app_given(w, -1, s->back ? -1 : 0);
	s->id = 0;
	s->a = NULL;
	s->gone_owed = s->away_owed = false;
	if (link_is_far(seat)) {
		s->next_free = w->far_free;
		w->far_free = (uint16_t)seat;
		w->far--;
	} else {
		w->near--;
		w->near_used &= ~(1ull << seat);
	}
	w->hold = false;
	app_count_seat(w, s, false);
	app_count_ran(w);
	if (a)
		a->w = NULL;
	return a;
}

struct app_seat *app_seat_next(struct app_worker *w, unsigned *seat)
{
	struct app_seat *s;

	for (; (s = app_seat_at(w, *seat)); ++*seat) {
		if (s->id)
			return s;
	}
	return NULL;
}

static bool tell(struct app_worker *w, unsigned seat, uint64_t id, uint16_t type)
{
	struct link_desc d = {.id = id, .type = type, .seat = (uint16_t)seat};
	int err;

	if (!link_room(&w->link.end, 0, &err)) {
		w->pending = true;
		return false;
	}
	link_put(&w->link.end, &d, 0);
	w->link.put = true;
	return true;
}

void app_seat_tell(struct app_worker *w, unsigned seat)
{
	struct app_seat *s = app_seat_at(w, seat);

	if (s->away_owed && tell(w, seat, s->id, LINK_AWAY))
		s->away_owed = false;
	if (s->gone_owed && tell(w, seat, s->id, LINK_GONE))
		s->gone_owed = false;
}

void app_seats_free(struct app_worker *w)
{
	while (w->far_blocks)
		free(w->far_block[--w->far_blocks]);
}
