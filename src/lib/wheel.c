/*
 * wheel.c: the timer wheel; ticks of 1 ms, 4 levels of 256 slots.
 *
 * Called by loop.c only; owns no memory but its slots. Arming and stopping cost the same however
 * many timers there are. A bit per slot says which are used, so the time of the next look is found
 * without ticking, and a process without timers waits for ever. Timers move down a level when somebody looks
 * behind the begin of their slot's time, which wakes nobody by itself: a slot knows when its first one is due.
 * A deadline more than 2^32 ms away lies in the last slot that reaches and is put in anew from there.
 */
#include "lib/loop_priv.h"
#include "lib/must.h"

#include <string.h>

void wheel_init(struct wheel *w, uint64_t now_ms)
{
	memset(w, 0, sizeof(*w));
	w->now_ms = now_ms;
}

/* A timer keeps its place in op.buf_len, which no timer uses otherwise: level and slot. */
static void slot_add(struct wheel *w, struct timer *t, unsigned level, uint64_t at)
{
	unsigned slot = at >> 8 * level & 255;

	if (level > 0) {
		uint32_t *soonest = &w->soonest_ms[level - 1][slot], ms = (uint32_t)(at & ((1ull << 8 * level) - 1));

		*soonest = w->slot[level][slot] ? min_of(*soonest, ms) : ms;
	}
	t->op.buf_len = level << 8 | slot;
	t->prev = NULL;
	t->next = w->slot[level][slot];
	if (t->next)
		t->next->prev = t;
	w->slot[level][slot] = t;
	w->used[level][slot / 64] |= 1ull << slot % 64;
}

void wheel_add(struct wheel *w, struct timer *t)
{
	uint64_t delta = t->at_ms - w->now_ms;
	uint64_t at = t->at_ms;
	unsigned level = 0;

	must(t->at_ms > w->now_ms);
	if (delta >> 32) {
		delta = UINT32_MAX;
		at = w->now_ms + delta;
	}
	while (delta >> 8 * (level + 1))
		level++;
	slot_add(w, t, level, at);
	w->armed++;
}

void wheel_del(struct wheel *w, struct timer *t)
{
	unsigned level = t->op.buf_len >> 8, slot = t->op.buf_len & 255;

	must(level < WHEEL_LEVELS && w->armed > 0);
	if (t->prev)
		t->prev->next = t->next;
	else
		w->slot[level][slot] = t->next;
	if (t->next)
		t->next->prev = t->prev;
	if (!w->slot[level][slot])
		w->used[level][slot / 64] &= ~(1ull << slot % 64);
	t->next = t->prev = NULL;
	w->armed--;
}

/* The smallest d in 1 … 256 for which the slot d behind `from` is used, or 0. */
static unsigned slots_until_used(const uint64_t used[WHEEL_SLOTS / 64], unsigned from)
{
	unsigned d = 1;

	while (d <= WHEEL_SLOTS) {
		unsigned slot = (from + d) & 255;
		uint64_t word = used[slot / 64] >> slot % 64;

		if (word) {
			d += (unsigned)__builtin_ctzll(word);
			return d <= WHEEL_SLOTS ? d : 0;
		}
		d += 64 - slot % 64;
	}
	return 0;
}

uint64_t wheel_next_ms(const struct wheel *w)
{
	uint64_t next = UINT64_MAX;

	if (w->armed == 0)
		return next;
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		uint64_t base = w->now_ms >> 8 * level, at;
		unsigned d = slots_until_used(w->used[level], base & 255);

		if (!d)
			continue;
		at = (base + d) << 8 * level;
		next = min_of(next, level ? at + w->soonest_ms[level - 1][(base + d) & 255] : at);
	}
	return next;
}

/* When the first slot that is used begins, of any level: there the wheel stops on its way; UINT64_MAX: nowhere. */
static uint64_t next_slot_ms(const struct wheel *w)
{
	uint64_t next = UINT64_MAX;

	for (unsigned level = 0; level < WHEEL_LEVELS && w->armed; level++) {
		uint64_t base = w->now_ms >> 8 * level;
		unsigned d = slots_until_used(w->used[level], base & 255);

		if (d)
			next = min_of(next, (base + d) << 8 * level);
	}
	return next;
}

/* Put the timers of the slot that begins now into lower levels. Those due this very ms stay in the
 * current slot of level 0, where wheel_take_due() looks. */
static void cascade(struct wheel *w, unsigned level)
{
	unsigned slot = w->now_ms >> 8 * level & 255;
	struct timer *t = w->slot[level][slot];

	w->slot[level][slot] = NULL;
	w->used[level][slot / 64] &= ~(1ull << slot % 64);
	while (t) {
		struct timer *next = t->next;

		w->armed--;
		if (t->at_ms <= w->now_ms) {
			slot_add(w, t, 0, w->now_ms);
			w->armed++;
		} else {
			wheel_add(w, t);
		}
		t = next;
	}
}

struct timer *wheel_take_due(struct wheel *w, uint64_t now_ms)
{
	for (;;) {
		struct timer *t = w->slot[0][w->now_ms & 255];
		uint64_t next;

		/* The current slot of level 0 holds only what is due now: later timers of the same
		 * slot number would be 256 ms away, which is level 1. */
		if (t) {
			wheel_del(w, t);
			return t;
		}
		next = next_slot_ms(w);
		if (next > now_ms) {
			w->now_ms = max_of(w->now_ms, now_ms);
			return NULL;
		}
		w->now_ms = next;
		for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--)
			if ((next & ((1ull << 8 * level) - 1)) == 0)
				cascade(w, level);
	}
}
