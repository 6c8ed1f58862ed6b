/*
 * test_model.c: every interleaving of the two handshakes and of the data area's cursor.
 *
 * Sleep/wake, for a frame and for room, and withdrawal are modelled step by step, each side with a store buffer of its own as
 * the processor has one: a store becomes visible to the other side at any later moment, at the
 * latest at a fence. All states are visited; a side may die between any two steps. Each model is
 * run once more without its fences and must then fail, so that the models are known to be able to.
 * The cursor is tried with the real ring code and every order of the two sides' steps.
 */
#include "lib/must.h"
#include "link/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { STATES_MAX = 1 << 16, NEXT_MAX = 8 };

struct model {
	/* Follow-up states of s; 0: none. */
	unsigned (*next)(uint64_t s, bool fences, uint64_t *ret);
	bool (*bad)(uint64_t s, bool last);
};

static bool add(uint64_t *set, uint64_t s)
{
	size_t i = (size_t)((s * 0x9e3779b97f4a7c15ull) >> 48);

	while (set[i] && set[i] != s + 1)
		i = (i + 1) % STATES_MAX;
	if (set[i])
		return false;
	set[i] = s + 1;
	return true;
}

/* True when some reachable state is bad. */
static bool explore(const struct model *m, bool fences, unsigned *ret_states)
{
	uint64_t *set = calloc(STATES_MAX, sizeof(*set)), *todo = calloc(STATES_MAX, sizeof(*todo));
	unsigned n = 0, states = 0;
	bool bad = false;

	must(set && todo && add(set, 0));
	todo[n++] = 0;
	while (n && !bad) {
		uint64_t s = todo[--n], next[NEXT_MAX];
		unsigned k = m->next(s, fences, next);

		must(++states < STATES_MAX / 2);
		bad = m->bad(s, k == 0);
		for (unsigned i = 0; i < k; i++) {
			if (add(set, next[i]))
				todo[n++] = next[i];
		}
	}
	free(set);
	free(todo);
	*ret_states = states;
	return bad;
}

/* Fields of a packed state. */
#define FIELD(name, at, bits)                                                                      \
	static unsigned name(uint64_t s)                                                           \
	{                                                                                          \
		return (unsigned)(s >> (at)) & ((1u << (bits)) - 1);                               \
	}                                                                                          \
	static uint64_t set_##name(uint64_t s, unsigned v)                                         \
	{                                                                                          \
		uint64_t mask = ((1ull << (bits)) - 1) << (at);                                    \
												 \
		return (s & ~mask) | ((uint64_t)v << (at)&mask);                                   \
	}

/* ---- sleep and wake: one side publishes three frames, the other takes them and sleeps ---- */
FIELD(p_pc, 0, 3) /* producer: 0 store head, 1 fence, 2 load sleep and wake */
FIELD(p_made, 3, 2)
FIELD(head, 5, 2)     /* as the other sees it */
FIELD(head_buf, 7, 2) /* as stored */
FIELD(woken, 9, 4)
FIELD(c_pc, 13,
	3) /* sleeper: 0 take all, 1 store odd, 2 fence, 3 load head, 4 in poll, 5 store even */
FIELD(taken, 16, 2)
FIELD(asleep, 18, 4)
FIELD(asleep_buf, 22, 4)
FIELD(pipe_n, 26, 3)
enum { FRAMES = 3 };

static uint64_t producer_step(uint64_t s, bool fences)
{
	switch (p_pc(s)) {
	case 0:
		s = set_p_made(set_head_buf(s, head_buf(s) + 1), p_made(s) + 1);
		return set_p_pc(s, 1);
	case 1:
		if (fences)
			s = set_head(s, head_buf(s));
		return set_p_pc(s, 2);
	default:
		if (asleep(s) % 2 && asleep(s) != woken(s))
			s = set_pipe_n(set_woken(s, asleep(s)), pipe_n(s) + 1);
		return set_p_pc(s, 0);
	}
}

static uint64_t sleeper_step(uint64_t s, bool fences)
{
	switch (c_pc(s)) {
	case 0:
		return set_c_pc(set_taken(s, head(s)), 1);
	case 1:
		return set_c_pc(set_asleep_buf(s, asleep_buf(s) + 1), 2);
	case 2:
		if (fences)
			s = set_asleep(s, asleep_buf(s));
		return set_c_pc(s, 3);
	case 3:
		return set_c_pc(s, head(s) != taken(s) ? 5 : 4);
	case 4:
		return set_c_pc(set_pipe_n(s, 0), 5);
	default:
		return set_c_pc(set_asleep_buf(s, asleep_buf(s) + 1), 0);
	}
}

static unsigned wake_next(uint64_t s, bool fences, uint64_t *ret)
{
	unsigned n = 0;

	if (p_pc(s) || p_made(s) < FRAMES)
		ret[n++] = producer_step(s, fences);
	if (c_pc(s) != 4 || pipe_n(s))
		if (c_pc(s) || taken(s) < FRAMES)
			ret[n++] = sleeper_step(s, fences);
	if (head(s) != head_buf(s))
		ret[n++] = set_head(s, head_buf(s));
	if (asleep(s) != asleep_buf(s))
		ret[n++] = set_asleep(s, asleep_buf(s));
	return n;
}

/* Nothing can happen any more, and a frame lies there. */
static bool wake_bad(uint64_t s, bool last)
{
	return last && taken(s) < FRAMES;
}

/* ---- withdrawal: the gate takes back what the worker may be about to begin ---- */
FIELD(g_pc, 0, 3) /* gate: 0 store stop, 1 fence, 2 load begun, 3 waits for the answer, 4 done */
FIELD(stop, 3, 1)
FIELD(stop_buf, 4, 1)
FIELD(w_pc, 5,
	3) /* worker: 0 store begun, 1 fence, 2 load stop, 3 run, 5 unsay begun, 6 tell, 4 done */
FIELD(begun, 8, 1)
FIELD(begun_buf, 9, 1)
FIELD(ran, 10, 2)   /* how often it was run */
FIELD(frame, 12, 2) /* 1 answer, 2 WITHDRAWN */
FIELD(again, 14, 2) /* how often the gate gave it to another */
FIELD(answered, 16, 2)
FIELD(dead, 18, 1)

static uint64_t gate_step(uint64_t s, bool fences)
{
	switch (g_pc(s)) {
	case 0:
		return set_g_pc(set_stop_buf(s, 1), 1);
	case 1:
		if (fences)
			s = set_stop(s, 1);
		return set_g_pc(s, 2);
	case 2:
		if (!begun(s))
			return set_g_pc(set_again(s, again(s) + 1), 4);
		return set_g_pc(s, 3);
	default:
		if (frame(s) == 1)
			return set_g_pc(set_answered(s, answered(s) + 1), 4);
		if (frame(s) == 2)
			return set_g_pc(set_again(s, again(s) + 1), 4);
		/* Dead without an answer: not begun, so another runs it; or 502, or the one replay.
		 */
		if (!begun(s))
			return set_g_pc(set_again(s, again(s) + 1), 4);
		return set_g_pc(set_answered(s, answered(s) + 1), 4);
	}
}

static uint64_t worker_step(uint64_t s, bool fences)
{
	switch (w_pc(s)) {
	case 0:
		return set_w_pc(set_begun_buf(s, 1), 1);
	case 1:
		if (fences)
			s = set_begun(s, 1);
		return set_w_pc(s, 2);
	case 2:
		return stop(s) ? set_w_pc(s, 5) : set_w_pc(set_ran(s, ran(s) + 1), 3);
	case 5:
		return set_w_pc(set_begun_buf(s, 0), 6);
	case 6:
		/* A store like the one before it, so nobody sees it earlier. */
		return set_w_pc(set_frame(set_begun(s, 0), 2), 4);
	default:
		return set_w_pc(set_frame(s, 1), 4);
	}
}

static unsigned withdraw_next(uint64_t s, bool fences, uint64_t *ret)
{
	unsigned n = 0;

	if (g_pc(s) < 3 || (g_pc(s) == 3 && (frame(s) || (dead(s) && begun(s) == begun_buf(s)))))
		ret[n++] = gate_step(s, fences);
	if (w_pc(s) != 4 && !dead(s)) {
		ret[n++] = worker_step(s, fences);
		ret[n++] = set_dead(s, 1);
	}
	if (stop(s) != stop_buf(s))
		ret[n++] = set_stop(s, 1);
	if (begun(s) != begun_buf(s))
		ret[n++] = set_begun(s, begun_buf(s));
	return n;
}

static bool withdraw_bad(uint64_t s, bool last)
{
	/* Run here and given to another; or nobody's. */
	if (again(s) && ran(s))
		return true;
	if (again(s) + answered(s) > 1)
		return true;
	return last && again(s) + answered(s) != 1;
}

/* ---- room: a producer whose ring of one slot is full waits for the other to take; only who takes tells
 * it, and only when it wants room ---- */
FIELD(f_pc, 0, 3) /* producer: 0 put, 1 store want, 2 store odd, 3 fence, 4 load tail, 5 in poll, 6 store even */
FIELD(f_made, 3, 2)
FIELD(t_pc, 5, 3) /* taker: 0 take, 1 fence, 2 load sleep, 3 load want and wake */
FIELD(tail, 8, 2)
FIELD(tail_buf, 10, 2)
FIELD(nap, 12, 4)
FIELD(nap_buf, 16, 4)
FIELD(want, 20, 1)
FIELD(want_buf, 21, 1)
FIELD(told, 22, 4)
FIELD(nap_seen, 26, 4)
FIELD(pipe_room, 30, 3)

static uint64_t fill_step(uint64_t s, bool fences)
{
	switch (f_pc(s)) {
	case 0:
		return f_made(s) == tail(s) ? set_f_made(s, f_made(s) + 1) : set_f_pc(s, 1);
	case 1:
		return set_f_pc(set_want_buf(s, 1), 2);
	case 2:
		return set_f_pc(set_nap_buf(s, nap_buf(s) + 1), 3);
	case 3:
		if (fences)
			s = set_want(set_nap(s, nap_buf(s)), want_buf(s));
		return set_f_pc(s, 4);
	case 4:
		return set_f_pc(s, f_made(s) == tail(s) ? 6 : 5);
	case 5:
		return set_f_pc(set_pipe_room(s, 0), 6);
	default:
		return set_f_pc(set_want_buf(set_nap_buf(s, nap_buf(s) + 1), 0), 0);
	}
}

static uint64_t take_step(uint64_t s, bool fences)
{
	switch (t_pc(s)) {
	case 0:
		return set_t_pc(set_tail_buf(s, tail_buf(s) + 1), 1);
	case 1:
		if (fences)
			s = set_tail(s, tail_buf(s));
		return set_t_pc(s, 2);
	case 2:
		return set_t_pc(set_nap_seen(s, nap(s)), 3);
	default:
		if (nap_seen(s) % 2 && nap_seen(s) != told(s) && want(s))
			s = set_pipe_room(set_told(s, nap_seen(s)), pipe_room(s) + 1);
		return set_t_pc(s, 0);
	}
}

static unsigned room_next(uint64_t s, bool fences, uint64_t *ret)
{
	unsigned n = 0;

	if ((f_pc(s) || f_made(s) < FRAMES) && (f_pc(s) != 5 || pipe_room(s)))
		ret[n++] = fill_step(s, fences);
	if (t_pc(s) || tail_buf(s) < f_made(s))
		ret[n++] = take_step(s, fences);
	if (tail(s) != tail_buf(s))
		ret[n++] = set_tail(s, tail_buf(s));
	/* In either order, as a weak memory may have it. */
	if (nap(s) != nap_buf(s))
		ret[n++] = set_nap(s, nap_buf(s));
	if (want(s) != want_buf(s))
		ret[n++] = set_want(s, want_buf(s));
	return n;
}

/* Nothing can happen any more, and not everything was put. */
static bool room_bad(uint64_t s, bool last)
{
	return last && f_made(s) < FRAMES;
}

static void test_room(void **state)
{
	const struct model m = {room_next, room_bad};
	unsigned n;

	(void)state;
	assert_false(explore(&m, true, &n));
	assert_true(n > 100);
	assert_true(explore(&m, false, &n));
}

static void test_wake(void **state)
{
	const struct model m = {wake_next, wake_bad};
	unsigned n;

	(void)state;
	assert_false(explore(&m, true, &n));
	assert_true(n > 100);
	assert_true(explore(&m, false, &n));
}

static void test_withdraw(void **state)
{
	const struct model m = {withdraw_next, withdraw_bad};
	unsigned n;

	(void)state;
	assert_false(explore(&m, true, &n));
	assert_true(n > 50);
	assert_true(explore(&m, false, &n));
}

/* ---- the cursor: real code; bit i of `order` says whose step the i-th is ---- */
struct pair {
	struct link_end a, b;
	void *mem[2];
};
enum { CURSOR_STEPS = 15 };
static const size_t sizes[] = {100000, 120 * 1024, 8, 60000, 120 * 1024, 0, 90000, 100000};

/* Returns how many frames got across; each is checked when it is looked at and again when it is
 * taken. */
static unsigned run_order(struct pair *p, unsigned order, unsigned die)
{
	unsigned made = 0, got = 0;
	bool looking = false;
	struct link_desc d;
	const char *bytes = NULL;

	memset(p->mem[0], 0, sizeof(struct link_page));
	memset(p->mem[1], 0, sizeof(struct link_page));
	link_end_over(&p->a, p->mem[0], p->mem[1]);
	link_end_over(&p->b, p->mem[1], p->mem[0]);
	for (unsigned i = 0; i < CURSOR_STEPS; i++) {
		if (order >> i & 1) {
			size_t n = sizes[made % ARRAY_LEN(sizes)];
			struct link_desc put = {.id = made + 1, .type = LINK_BODY};
			int err;
			char *room = link_room(&p->a, n, &err);

			must(err == 0);
			if (!room)
				continue;
			if (n)
				room[0] = room[n - 1] = (char)(made + 1);
			link_put(&p->a, &put, n);
			link_publish(&p->a);
			made++;
		} else if (i < die) {
			if (!looking) {
				looking = link_peek(&p->b, &d, &bytes) == 1;
				continue;
			}
			/* Whatever happened since it was seen, its bytes are still its own. */
			must(d.id == got + 1 && d.len == sizes[got % ARRAY_LEN(sizes)]);
			if (d.len)
				must(bytes[0] == (char)d.id && bytes[d.len - 1] == (char)d.id);
			link_take(&p->b);
			looking = false;
			got++;
		}
	}
	must(made >= got);
	return got;
}

static void test_cursor(void **state)
{
	struct pair p;
	unsigned most = 0;

	(void)state;
	for (int i = 0; i < 2; i++)
		must((p.mem[i] = aligned_alloc(4096, LINK_MEM_BYTES)) != NULL);
	for (unsigned order = 0; order < 1u << CURSOR_STEPS; order++) {
		unsigned got = run_order(&p, order, CURSOR_STEPS);

		most = max_of(most, got);
		if (order % 64 == 0)
			(void)run_order(&p, order, order / 64 % CURSOR_STEPS);
	}
	assert_true(most >= 4);
	for (int i = 0; i < 2; i++)
		free(p.mem[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_withdraw),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_cursor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
