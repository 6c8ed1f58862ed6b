/*
 * resolve.c: questions to the process that looks names up, and its answers (MSG_RESOLVE, MSG_RESOLVED).
 *
 * Called by aides.c with the process's coming and its answers, by up_upstream.c with names. Owns nothing.
 * A process that died is replaced by the parent; what is not known then is asked again.
 */
#include "resolve.h"
#include "lib/must.h"
#include "up.h"

#include <errno.h>
#include <string.h>

static void heard(struct gate *g, struct msg *m)
{
	uint8_t addresses[UP_ADDRESSES_MAX][16];
	struct msg_resolved r;
	const char *tail;
	char host[256];
	size_t n, left;

	if (m->h.type != MSG_RESOLVED || msg_get(m, &r, sizeof(r), sizeof(r)) < 0)
		return;
	tail = msg_tail(m, sizeof(r), &left);
	if (r.addresses > RESOLVED_MAX || left < (size_t)r.addresses * 16)
		return;
	n = min_of(r.addresses, (uint32_t)UP_ADDRESSES_MAX);
	memcpy(addresses, tail, n * 16);
	tail += (size_t)r.addresses * 16;
	left -= (size_t)r.addresses * 16;
	if (!left || left > sizeof(host) || tail[left - 1] != 0)
		return;
	memcpy(host, tail, left);
	r.ttl_ms = max_of(r.ttl_ms, 1000u);
	up_on_resolved(g->up, host, addresses, r.err ? 0 : (unsigned)n, min_of(r.ttl_ms, 300000u));
}

static void up(struct gate *g)
{
	up_ask_again(g->up);
}

static void down(struct gate *g)
{
	up_ask_again(g->up);
}

const struct aide_user_ops resolve_user_ops = {up, heard, down};

int resolve_ask(struct gate *g, const char *host)
{
	char mem[sizeof(struct msg_resolve) + 256] = {0};
	struct msg_resolve m = {.family = 0};
	size_t n = strlen(host) + 1;

	if (n > 256)
		return -ENAMETOOLONG;
	memcpy(mem, &m, sizeof(m));
	memcpy(mem + sizeof(m), host, n);
	return aides_send(g, AIDE_RESOLVE, MSG_RESOLVE, 0, mem, sizeof(m) + n);
}
