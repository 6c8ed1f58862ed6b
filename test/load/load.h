/*
 * load.h: what the files of test/load/ share: the connections of one load, what is asked, what was
 * seen.
 *
 * Included by load.c (the loop, the commands), answer.c (reads one answer) and seen.c (counts and
 * tells).
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CONNS_MAX = 4096,
	ASKS_MAX = 16,
	IN_BYTES = 65536, /* the longest answer, head and body */
	OUT_BYTES = 1024,
	TOKEN_BYTES = 24,
	BUCKETS = 28 * 16,
};

/* How a connection is used. */
enum manner {
	MANNER_KEPT,   /* one request behind the other, for as long as the server keeps it */
	MANNER_THINKS, /* the same, with a pause of its own before each */
	MANNER_NEW,    /* one request, then another connection */
};

enum fault {
	FAULT_NONE,
	FAULT_REFUSED, /* no connection */
	FAULT_ENDED,   /* closed or reset before the answer was whole */
	FAULT_STATUS,  /* another status than 200 */
	FAULT_WRONG,   /* not an answer, or the answer to another request */
	FAULT_LATE,    /* none within late_sec */
	FAULTS,
};

enum state {
	STATE_OFF,
	STATE_CONNECTS,
	STATE_RESTS, /* open, nothing asked */
	STATE_ASKED,
};

/* One kind of request. %u in the target is a number never used before in 16 hex digits, %n one of
 * `files` in three digits; a right answer's body begins with WORD, a blank and the same. */
struct ask {
	const char *word, *target;
	unsigned weight;
};

struct conn {
	int fd;
	enum manner manner;
	enum state state;
	unsigned used; /* answers that came over this connection */
	unsigned asks; /* requests sent over this place, for the choice of Connection: close */
	uint16_t port; /* ours */
	const struct ask *ask;
	char token[TOKEN_BYTES];
	uint64_t sent_us, due_us;
	size_t in_len, out_len, out_at;
	char out[OUT_BYTES];
	char in[IN_BYTES + 1];
};

struct count {
	uint64_t ok, fault[FAULTS];
	uint64_t bucket[BUCKETS], longest_us;
};

struct load {
	int epoll;
	struct sockaddr_in to;
	uint64_t requests, sec, steps, files, seed, late_sec, pause_ms, renew;
	uint64_t places[3]; /* of each manner */
	struct ask ask[ASKS_MAX];
	unsigned asks, weights;
	struct conn *conn;
	unsigned conns, out; /* out: requests without an answer */
	uint64_t number;     /* of requests so far: tokens come from it */
	uint64_t began_us, ended_us;
	struct count fresh, reused;
	uint64_t closed_idle, closed_told, told;
	unsigned step;
	bool may_end, over;
};

enum answer { ANSWER_MORE, ANSWER_KEEPS, ANSWER_CLOSES };

/*
 * Reads what lies in c->in. ANSWER_MORE: not whole yet. Else *ret_fault says whether it is a 200
 * with the token that c asked for. at_end: the server has closed, so a body without a length is
 * whole.
 */
enum answer answer_read(const struct conn *c, bool at_end, enum fault *ret_fault);

/* One request of c ended so. Prints a line for each of the first faults. */
void seen_add(struct load *l, const struct conn *c, enum fault f, uint64_t now_us);
uint64_t seen_done(const struct load *l);
/* The last line: one JSON object. */
void seen_print(const struct load *l);
