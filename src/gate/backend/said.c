/*
 * said.c: see said.h. Called by to_proxy.c. Owns nothing: a line that has not ended yet lies in the
 * request's arena. Bounded for each request, so that a program which complains without end costs the log
 * no more than one that answers.
 */
#include "said.h"
#include "gate.h"

#include <stdio.h>
#include <string.h>

static void tell(struct req *r, struct said *s, const char *upstream)
{
	const char *site = r->site ? snap_str(r->snap, r->site->name, NULL) : "";

	while (s->len && (s->line[s->len - 1] == ' ' || s->line[s->len - 1] == '\r'))
		s->len--;
	s->line[s->len] = 0;
	if (s->len)
		gate_event(r->gate, EV_BACKEND_SAID, "site", site, "upstream", upstream, "text", s->line,
			(char *)NULL);
	s->told += s->len;
	s->len = 0;
}

void said_take(struct req *r, struct said *s, const char *upstream, const char *p, size_t n)
{
	if (!s->line && n)
		s->line = arena_alloc(&r->arena, SAID_LINE_MAX + 1);
	for (size_t i = 0; i < n; i++) {
		if (!s->line || s->told + s->len >= SAID_BYTES_MAX) {
			s->lost += n - i;
			return;
		}
		if (p[i] == '\n' || s->len == SAID_LINE_MAX)
			tell(r, s, upstream);
		/* An event's text has no NUL. */
		if (p[i] != '\n')
			s->line[s->len++] = p[i] ? p[i] : '?';
	}
}

void said_end(struct req *r, struct said *s, const char *upstream)
{
	if (!s->line)
		return;
	tell(r, s, upstream);
	if (!s->lost)
		return;
	s->len = (uint32_t)snprintf(s->line, SAID_LINE_MAX + 1, "… and %llu bytes more",
		(unsigned long long)s->lost);
	s->lost = 0;
	tell(r, s, upstream);
}
