/*
 * ledger.h: what one connection has cost and may cost: one budget, which every protocol charges.
 *
 * Three things are counted. COUNT: requests begun, and resets (requests that the client took back before
 * their answer; on HTTP/1 that is the connection's end, on a multiplexing protocol it is cheap, and paid
 * back only by requests that the client lets end). BYTES: what came and went, and waste: bytes received
 * that brought nothing (framing beside content, bodies that nobody wanted, control frames), paid back by
 * content and by answers. TIME: a pace, which is the minimum rate of whom we wait for, over a window.
 *
 * A charge says CLOSE_NONE, or why the connection must end: the protocol finishes what its rules demand
 * (an answer, a GOAWAY) and begins nothing more. Who charges what stands in ARCHITECTURE.md.
 */
#ifndef STEAD_GATE_LEDGER_H
#define STEAD_GATE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "tbl/tbl.h"

enum {
	LEDGER_REQUESTS_MAX = 1 << 24,   /* of a connection; then its answer says that it ends */
	LEDGER_RESETS_MAX = 200,         /* not paid back */
	LEDGER_WASTE_MAX = 1 << 20,      /* bytes, not paid back */
	LEDGER_WASTE_PER_BYTE = 16,      /* a byte of content pays for so many */
	LEDGER_WASTE_PER_ANSWER = 4096,  /* an answer taken whole pays for so many */
};

struct ledger {
	uint64_t bytes_in, bytes_out;
	uint32_t requests;
	uint32_t waste;
	uint32_t resets;
};

/* A request begins. */
enum close_id ledger_request(struct ledger *l);
/* Its answer was taken whole. */
void ledger_answered(struct ledger *l);
/* The client took it back. */
enum close_id ledger_reset(struct ledger *l);
/* n bytes came that brought nothing. */
enum close_id ledger_waste(struct ledger *l, uint64_t n);
/* n bytes of content came that somebody wanted. */
void ledger_content(struct ledger *l, uint64_t n);

/* The pace of a client that we wait for: of a connection, or of a stream. */
struct ledger_pace {
	uint64_t at_ms, bytes; /* looked at last, and what had moved by then */
};
static inline void ledger_pace_begin(struct ledger_pace *p, uint64_t now_ms, uint64_t moved)
{
	*p = (struct ledger_pace){now_ms, moved};
}
/* 0: fast enough over the window, and the next one begins; > 0: so many ms are left of it; -1: too slow.
 * rate_min in bytes a second, 0: no bound. */
int64_t ledger_pace_check(
	struct ledger_pace *p, uint64_t now_ms, uint64_t moved, uint32_t window_ms, uint32_t rate_min);

#endif
