/*
 * acme_late.c: certificates that are not renewed in time: who does not look is told, once when it is late and once when it
 * is about to end, because authorities send no mails about that any more.
 *
 * Called when a snapshot has been made, which may bring other certificates, and by its own timer, which knows the next
 * moment at which there is something to tell. Owns nothing but what stands in struct cert of what was told. `stead status`
 * says the same for as long as it is so.
 */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

enum { DAY_S = 86400, OWN_LATE_S = 14 * DAY_S, OWN_ENDS_S = 3 * DAY_S, LOOK_S = 3600 };

static uint64_t now_s(const struct ctl *c)
{
	return loop_wall_us(c->loop) / 1000000;
}

/* What is served: until when, and from when on, 0 where that is not known: of one that is not ours to renew. */
struct span {
	uint64_t begin_s, until_s; /* until_s 0: nothing is served */
};

static struct span span_of(const struct ctl *c, const struct cert *cert)
{
	if (cert->seen != c->certs.build)
		return (struct span){0};
	if (cert->own)
		return (struct span){0, cert->own_until_s};
	return cert->wanted && cert->n && !demand_rests(cert) ? (struct span){cert->not_before_s, cert->not_after_s} : (struct span){0};
}

/* The one for local names is made anew by itself, without anybody who could fail. */
static struct span stored_span(const struct ctl *c, const struct stored_cert *s)
{
	bool counts = s->seen == c->certs.build && strcmp(s->site, STORED_LOCAL) != 0;

	return (struct span){0, counts ? s->v.head.not_after_s : 0};
}

/* When that level begins. Of one that is ours to renew a third and a tenth of its life are left then: with short lives days
 * would say nothing. */
static uint64_t begin_of(struct span s, enum cert_alert level)
{
	uint64_t life = s.until_s - s.begin_s;

	switch (level) {
	case CERT_ALERT_LATE:
		return s.until_s - (s.begin_s ? life / 3 : OWN_LATE_S);
	case CERT_ALERT_ENDS:
		return s.until_s - (s.begin_s ? life / 10 : OWN_ENDS_S);
	case CERT_ALERT_OVER:
		return s.until_s;
	case CERT_ALERT_NONE:
		break;
	}
	return 0;
}

static enum cert_alert level_of(const struct ctl *c, struct span s)
{
	enum cert_alert level = s.until_s ? CERT_ALERT_OVER : CERT_ALERT_NONE;

	while (level > CERT_ALERT_NONE && now_s(c) < begin_of(s, level))
		level--;
	return level;
}

enum cert_alert acme_alert(const struct ctl *c, const struct cert *cert)
{
	return level_of(c, span_of(c, cert));
}

enum cert_alert acme_alert_stored(const struct ctl *c, const struct stored_cert *s)
{
	return level_of(c, stored_span(c, s));
}

/* Told once for each level. Gives back for how long nothing more can be said. */
static uint64_t look(struct ctl *c, struct span s, const char *site, enum cert_alert *told)
{
	enum cert_alert level = level_of(c, s);
	uint64_t now = now_s(c);
	char end[24], left[24];

	if (level > *told) {
		(void)snprintf(end, sizeof end, "%llu", (unsigned long long)s.until_s);
		(void)snprintf(left, sizeof left, "%llu", (unsigned long long)(s.until_s > now ? s.until_s - now : 0));
		say(c, level == CERT_ALERT_LATE ? EV_CERT_LATE : EV_CERT_ENDS, "site", site, "until", end, "left_s", left,
			NULL);
	}
	*told = level;
	return s.until_s && level < CERT_ALERT_OVER ? begin_of(s, level + 1) - now : UINT64_MAX;
}

void acme_look_late(struct ctl *c)
{
	uint64_t wait = UINT64_MAX;

	for (struct cert *cert = c->certs.all; cert; cert = cert->next) {
		uint64_t one = look(c, span_of(c, cert), cert->site, &cert->told);

		wait = min_of(wait, one);
	}
	for (struct stored_cert *s = c->certs.stored; s; s = s->next) {
		uint64_t one = look(c, stored_span(c, s), s->site, &s->told);

		wait = min_of(wait, one);
	}
	c->certs.late.op.kind = OP_CERT_LATE;
	loop_timer_stop(c->loop, &c->certs.late);
	if (wait != UINT64_MAX)
		loop_timer_in(c->loop, &c->certs.late, min_of(wait, (uint64_t)LOOK_S) * 1000 + 1);
}

void acme_late_on_timer(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	acme_look_late(container_of(op, struct ctl, certs.late.op));
}
