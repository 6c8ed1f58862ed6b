/*
 * up_balance.c: which server of an upstream a call goes to: smooth weighted round robin, least
 * connections, weighted rendezvous hashing with bounded load, a sticky cookie.
 *
 * Called by up_call.c. Owns nothing; costs one look at each server. A server that was down comes back
 * with a weight that grows over the upstream's slow start.
 */
#include "up.h"

#include <math.h>
#include <string.h>

enum { SCALE = 256 };

static inline uint64_t rotl(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012, section 2). */
uint64_t up_siphash(const uint8_t key[16], const void *p, size_t n)
{
	const uint8_t *in = p;
	uint64_t k0, k1, m, v[4], last = (uint64_t)n << 56;

	memcpy(&k0, key, 8);
	memcpy(&k1, key + 8, 8);
	v[0] = k0 ^ 0x736f6d6570736575ull;
	v[1] = k1 ^ 0x646f72616e646f6dull;
	v[2] = k0 ^ 0x6c7967656e657261ull;
	v[3] = k1 ^ 0x7465646279746573ull;
	for (; n >= 8; n -= 8, in += 8) {
		memcpy(&m, in, 8);
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)in[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

bool up_server_usable(const struct up_server *s, uint64_t now_ms)
{
	if (!s->known || s->probed_down || (s->kind != SNAP_SERVER_UNIX && !s->naddresses))
		return false;
	if (s->u->connections_max && s->active >= s->u->connections_max)
		return false;
	if (!s->out_until_ms)
		return true;
	/* Its rest is over: one call tries it. */
	return now_ms >= s->out_until_ms && !s->trial;
}

/* Its weight now, times SCALE; never 0. From a tenth of it to the whole over its slow start. */
static int64_t weight_of(const struct up_server *s, uint64_t now_ms)
{
	uint32_t ms = s->u->slow_start_ms;
	int64_t full = (int64_t)s->weight * SCALE;
	uint64_t since = now_ms - s->up_since_ms;

	if (!ms || !s->up_since_ms || since >= ms)
		return full;
	return full / 10 + (full - full / 10) * (int64_t)since / ms + 1;
}

static bool may(const struct up_call *c, const struct up_server *s, uint64_t now_ms)
{
	for (unsigned i = 0; i < c->ntried; i++)
		if (c->tried[i] == s)
			return false;
	return up_server_usable(s, now_ms);
}

static struct up_server *by_turns(struct upstream *u, const struct up_call *c, uint64_t now_ms)
{
	struct up_server *best = NULL;
	int64_t all = 0;

	for (struct up_server *s = u->servers; s; s = s->next) {
		int64_t w;

		if (!may(c, s, now_ms))
			continue;
		w = weight_of(s, now_ms);
		s->current += w;
		all += w;
		if (!best || s->current > best->current)
			best = s;
	}
	if (best)
		best->current -= all;
	return best;
}

/* The least calls for its weight; among equals by turns. */
static struct up_server *least(struct upstream *u, const struct up_call *c, uint64_t now_ms)
{
	struct up_server *best = NULL;
	int64_t all = 0;

	for (struct up_server *s = u->servers; s; s = s->next) {
		int64_t w, mine, its;

		if (!may(c, s, now_ms))
			continue;
		w = weight_of(s, now_ms);
		s->current += w;
		all += w;
		mine = best ? (int64_t)s->active * weight_of(best, now_ms) : 0;
		its = best ? (int64_t)best->active * w : 0;
		if (!best || mine < its || (mine == its && s->current > best->current))
			best = s;
	}
	if (best)
		best->current -= all;
	return best;
}

/* Weighted rendezvous hashing: a client keeps its server, and when a server goes only its own clients
 * move. A server with more than 5/4 of its share of the calls is passed over. */
static struct up_server *by_hash(struct upstream *u, const struct up_call *c, uint64_t now_ms)
{
	struct up_server *best = NULL, *any = NULL;
	double best_score = 0, any_score = 0;
	uint64_t weights = 0;

	for (struct up_server *s = u->servers; s; s = s->next)
		weights += may(c, s, now_ms) ? s->weight : 0;
	for (struct up_server *s = u->servers; s; s = s->next) {
		uint64_t h[2] = {c->key, s->hash}, v;
		double score;

		if (!may(c, s, now_ms))
			continue;
		v = up_siphash((const uint8_t[16]){0}, h, sizeof(h));
		score = (double)weight_of(s, now_ms) /
			-log(((double)(v >> 11) + 0.5) / 9007199254740992.0);
		if (!any || score > any_score) {
			any = s;
			any_score = score;
		}
		if ((uint64_t)s->active * weights * 4 > (uint64_t)(u->active + 1) * s->weight * 5 + 4 * weights)
			continue;
		if (!best || score > best_score) {
			best = s;
			best_score = score;
		}
	}
	return best ? best : any;
}

struct up_server *up_pick(struct upstream *u, struct up_call *c)
{
	uint64_t now_ms = loop_now_ms(c->gate->loop);

	if (c->sticky_number != UINT32_MAX)
		for (struct up_server *s = u->servers; s; s = s->next)
			if (s->number == c->sticky_number && may(c, s, now_ms))
				return s;
	if (u->servers && !u->servers->next)
		return may(c, u->servers, now_ms) ? u->servers : NULL;
	switch (u->balance) {
	case SNAP_BALANCE_LEAST:
		return least(u, c, now_ms);
	case SNAP_BALANCE_HASH:
		return by_hash(u, c, now_ms);
	default:
		return by_turns(u, c, now_ms);
	}
}
