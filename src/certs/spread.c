/*
 * spread.c: is a TXT record where an authority will look? See certs.h. Called by offered.c and tests. Owns
 * nothing.
 *
 * An authority asks the servers of the zone itself, any of them, and what it finds there counts; so
 * all of them shall have the record before it is told to look. Where they cannot be asked from here,
 * it is not hindered: it may see what we do not.
 */
#include "certs.h"

enum { SPREAD_MS_MAX = 10 * 60 * 1000 };

enum spread_judged spread_judge(const struct msg_spread_told *told, uint64_t since_ms)
{
	if (told->err || !told->missing)
		return SPREAD_GO;
	return since_ms < SPREAD_MS_MAX ? SPREAD_AGAIN : SPREAD_FAIL;
}
