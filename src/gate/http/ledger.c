/*
 * ledger.c: see ledger.h. Called by protocols (http1*.c). Owns nothing, knows no protocol.
 *
 * Debts are paid back, so that a connection may live long and do much, and only the one whose cost
 * outgrows what it brings is ended: thousands of streams opened and reset (CVE-2023-44487), floods
 * of control frames, a body of one-byte chunks.
 */
#include "ledger.h"

enum close_id ledger_request(struct ledger *l)
{
	if (l->requests < UINT32_MAX)
		l->requests++;
	return l->requests >= LEDGER_REQUESTS_MAX ? CLOSE_KEEPALIVE_OFF : CLOSE_NONE;
}

void ledger_answered(struct ledger *l)
{
	if (l->resets)
		l->resets--;
	l->waste -= l->waste < LEDGER_WASTE_PER_ANSWER ? l->waste : LEDGER_WASTE_PER_ANSWER;
}

enum close_id ledger_reset(struct ledger *l)
{
	if (l->resets >= LEDGER_RESETS_MAX)
		return CLOSE_LEDGER;
	l->resets++;
	return CLOSE_NONE;
}

enum close_id ledger_waste(struct ledger *l, uint64_t n)
{
	if (n > LEDGER_WASTE_MAX - l->waste) {
		l->waste = LEDGER_WASTE_MAX;
		return CLOSE_LEDGER;
	}
	l->waste += (uint32_t)n;
	return CLOSE_NONE;
}

void ledger_content(struct ledger *l, uint64_t n)
{
	/* Without debt, which is the rule, this is one comparison. */
	if (!l->waste)
		return;
	l->waste = n >= l->waste / LEDGER_WASTE_PER_BYTE + 1
			   ? 0
			   : l->waste - (uint32_t)n * LEDGER_WASTE_PER_BYTE;
}

int64_t ledger_pace_check(
	struct ledger_pace *p, uint64_t now_ms, uint64_t moved, uint32_t window_ms, uint32_t rate_min)
{
	uint64_t took = now_ms - p->at_ms;

	if (took < window_ms)
		return (int64_t)(window_ms - took);
	if (moved < p->bytes || (moved - p->bytes) * 1000 < rate_min * took)
		return -1;
	ledger_pace_begin(p, now_ms, moved);
	return 0;
}
