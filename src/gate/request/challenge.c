/*
 * challenge.c: tokens of certificate authorities and what is answered to them; see challenge.h.
 *
 * Called by control.c and as a phase. Owns the table, which is made with the first token; a token
 * is forgotten at its time. What ctl said is looked at like anything else: a token has the letters
 * of base64url, so it stands in a path as it is.
 */
#include "challenge.h"

#include "gate.h"
#include "lib/buf.h"
#include "tbl/tbl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct challenge {
	uint64_t until_ms; /* 0: this place is free */
	uint32_t token_len, text_len;
	char token[CHALLENGE_TOKEN_MAX], text[CHALLENGE_TEXT_MAX];
};
struct challenges {
	struct challenge all[CHALLENGES_MAX];
};

static bool is_word(const char *p, size_t n, size_t max, bool dots)
{
	for (size_t i = 0; i < n; i++)
		if (!(p[i] >= 'a' && p[i] <= 'z') && !(p[i] >= 'A' && p[i] <= 'Z') &&
			!(p[i] >= '0' && p[i] <= '9') && p[i] != '-' && p[i] != '_' &&
			!(dots && p[i] == '.'))
			return false;
	return n > 0 && n <= max;
}

static struct challenge *place_for(struct challenges *c, const char *token, size_t n)
{
	struct challenge *first = &c->all[0];

	for (unsigned i = 0; i < CHALLENGES_MAX; i++) {
		struct challenge *at = &c->all[i];

		if (at->until_ms && at->token_len == n && memcmp(at->token, token, n) == 0)
			return at;
		if (at->until_ms < first->until_ms)
			first = at;
	}
	return first;
}

int challenge_heard(struct gate *g, const struct msg *m)
{
	struct msg_challenge said;
	struct challenge *at;
	const char *token, *text;
	struct unpack u;
	size_t n;

	if (msg_get(m, &said, sizeof(said), sizeof(said)) < 0)
		return -EPROTO;
	token = msg_tail(m, sizeof(said), &n);
	unpack_init(&u, token, n);
	token = unpack_str(&u);
	text = unpack_str(&u);
	if (!unpack_done(&u) || !is_word(token, strlen(token), CHALLENGE_TOKEN_MAX, false) ||
		!is_word(text, strlen(text), CHALLENGE_TEXT_MAX, true))
		return -EPROTO;
	if (!g->challenges)
		g->challenges = calloc(1, sizeof(*g->challenges));
	if (!g->challenges)
		return -ENOMEM;
	at = place_for(g->challenges, token, strlen(token));
	if (!said.forget_ms) {
		/* Its place is free, if it has one: another's stays. */
		if (at->token_len == strlen(token) && memcmp(at->token, token, at->token_len) == 0)
			at->until_ms = 0;
		return 0;
	}
	at->until_ms = loop_now_ms(g->loop) + said.forget_ms + 1;
	at->token_len = (uint32_t)strlen(token);
	at->text_len = (uint32_t)strlen(text);
	memcpy(at->token, token, at->token_len);
	memcpy(at->text, text, at->text_len);
	return 0;
}

void challenge_free(struct gate *g)
{
	free(g->challenges);
	g->challenges = NULL;
}

static const struct challenge *find(const struct req *r)
{
	static const char prefix[] = "/.well-known/acme-challenge/";
	enum { PREFIX = sizeof(prefix) - 1 };
	const struct challenges *c = r->gate->challenges;
	uint64_t now = loop_now_ms(r->gate->loop);

	if (!c || r->path_len <= PREFIX || memcmp(r->path, prefix, PREFIX) != 0)
		return NULL;
	for (unsigned i = 0; i < CHALLENGES_MAX; i++) {
		const struct challenge *at = &c->all[i];

		if (at->until_ms > now && at->token_len == r->path_len - PREFIX &&
			memcmp(at->token, r->path + PREFIX, at->token_len) == 0)
			return at;
	}
	return NULL;
}

enum phase_end phase_challenge(struct req *r)
{
	static const char type[] = "application/octet-stream";
	static const struct field fields[] = {
		{"Content-Type", type, 12, sizeof(type) - 1}, {"Cache-Control", "no-store", 13, 8}};
	struct resp_head h = {.status = 200, .fields = fields, .nfields = 2};
	const struct challenge *at =
		r->method == METHOD_GET || r->method == METHOD_HEAD ? find(r) : NULL;

	if (!at)
		return PHASE_NEXT;
	h.content_length = at->text_len;
	r->handler = HANDLER_ERROR;
	if (r->method == METHOD_HEAD)
		(void)req_resp_head(r, &h, true);
	else if (req_resp_head(r, &h, false) == 0)
		(void)req_resp_body(r, at->text, at->text_len, true);
	return PHASE_ANSWERED;
}
