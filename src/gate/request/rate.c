/*
 * rate.c: see rate.h. Called by phases.c. Owns nothing; the buckets are the limiter's.
 */
#include "rate.h"
#include "access_list.h"
#include "gate.h"
#include "limiter.h"

/* By address: a client without one (a Unix socket) shares its bucket with all such. */
static uint64_t hash_of_address(const struct req *r, uint32_t number)
{
	uint8_t address[16] = {0};

	if (!address_parse(r->peer, address))
		return limiter_hash(r->gate, number, "", 0);
	return limiter_hash(r->gate, number, address, limiter_network(address));
}

static uint64_t hash_of(const struct req *r, const struct snap_rate *rate)
{
	const struct field *f;

	switch (rate->by) {
	case SNAP_RATE_SITE:
		return limiter_hash(r->gate, rate->number, "site", 4);
	case SNAP_RATE_HEADER:
		f = req_field(r, snap_str(r->snap, rate->header, NULL));
		/* Whoever leaves the field out must not share a bucket with everybody else who does. */
		if (!f)
			return hash_of_address(r, rate->number);
		return limiter_hash(r->gate, rate->number, f->value, f->value_len);
	default:
		return hash_of_address(r, rate->number);
	}
}

static void refuse(struct req *r, uint64_t wait_ms)
{
	char count[24];

	gate_count(r->gate, METRIC_RATE_LIMITED, 1);
	if (limiter_may_say(r->gate, LIMITER_RATE, count))
		gate_event(r->gate, EV_RATE_LIMITED, "site",
			snap_str(r->snap, r->site->name, NULL), "client", r->peer, "refused", count,
			(char *)NULL);
	req_fail(r, CLOSE_RATE_LIMITED, (unsigned)((wait_ms + 999) / 1000));
}

enum phase_end phase_rate(struct req *r)
{
	const struct snap_rate *rate;
	uint64_t wait_ms;

	for (uint32_t i = 0; (rate = snap_item(r->snap, r->route->rates, i, sizeof(*rate))); i++) {
		if (!rate->by || limiter_take(r->gate, hash_of(r, rate), rate->per_s_milli,
					 rate->burst, &wait_ms))
			continue;
		refuse(r, wait_ms);
		return PHASE_ANSWERED;
	}
	return PHASE_NEXT;
}
