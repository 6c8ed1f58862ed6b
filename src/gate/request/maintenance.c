/*
 * maintenance.c: sites that show a page instead of themselves, or are stopped; see maintenance.h.
 *
 * Called by control.c and as a phase. Whether a site is in maintenance stands in the snapshot, so that
 * a gate which has just come knows it before it hears of ctl; what ctl says is at once, and counts from
 * then on. Owns the bits of what was said. A site whose number is beyond them goes by the snapshot.
 */
#include "maintenance.h"

#include "gate.h"
#include "record/record.h"

#include <stdlib.h>
#include <string.h>

enum { RETRY_AFTER_S = 60 };

/* What was said of each site: a bit per its number. */
struct said {
	uint64_t told[COUNTER_SITES_MAX / 64], on[COUNTER_SITES_MAX / 64];
};

struct maintenance {
	struct said shown, stopped;
	bool probes;
	char token[REQ_ID_MEM]; /* of ctl's probe */
};

void maintenance_on_overlay(struct gate *g, const struct msg_overlay *o)
{
	struct maintenance *m = g->maintenance;
	uint64_t bit = 1ull << o->key % 64;
	struct said *s;

	if (!m)
		m = g->maintenance = calloc(1, sizeof(*m));
	if (!m)
		return; /* the snapshot that follows says it too */
	if (o->kind == OVERLAY_PROBE) {
		m->probes = o->token[0] && o->token[1];
		record_id(o->token, m->token);
	} else if (o->key < COUNTER_SITES_MAX) {
		s = o->kind == OVERLAY_STOPPED ? &m->stopped : &m->shown;
		s->told[o->key / 64] |= bit;
		if (o->on)
			s->on[o->key / 64] |= bit;
		else
			s->on[o->key / 64] &= ~bit;
	}
}

void maintenance_free(struct gate *g)
{
	free(g->maintenance);
	g->maintenance = NULL;
}

static bool is_on(const struct said *s, const struct snap_site *site, uint32_t flag)
{
	uint32_t n = site->number;

	if (s && n < COUNTER_SITES_MAX && s->told[n / 64] >> n % 64 & 1)
		return s->on[n / 64] >> n % 64 & 1;
	return site->flags & flag;
}

/* ctl asks whether what comes works. The app need not see with what words. */
static bool has_token(const struct maintenance *m, struct req *r)
{
	const struct field *f = m && m->probes ? req_field(r, "stead-probe") : NULL;
	uint32_t at;
	char other = 0;

	if (!f || f->value_len != REQ_ID_MEM - 1)
		return false;
	/* All of it is looked at, so that the time tells nothing. */
	for (uint32_t i = 0; i < f->value_len; i++)
		other |= f->value[i] ^ m->token[i];
	if (other)
		return false;
	at = (uint32_t)(f - r->fields);
	memmove(&r->fields[at], &r->fields[at + 1], (r->nfields - at - 1) * sizeof(*r->fields));
	r->nfields--;
	return true;
}

bool maintenance_probe(struct req *r)
{
	if (!r->ctl_asks)
		r->ctl_asks = has_token(r->gate->maintenance, r);
	return r->ctl_asks;
}

static bool is_health(const struct req *r)
{
	size_t n;
	const char *path = snap_str(r->snap, r->site->health, &n);

	return n > 1 && r->path_len == n && !memcmp(r->path, path, n);
}

enum phase_end phase_maintenance(struct req *r)
{
	struct maintenance *m = r->gate->maintenance;

	/* Of what is stopped nothing answers, its health neither. */
	if (is_on(m ? &m->stopped : NULL, r->site, SNAP_SITE_STOPPED)) {
		req_fail(r, CLOSE_STOPPED, RETRY_AFTER_S);
		return PHASE_ANSWERED;
	}
	if (!is_on(m ? &m->shown : NULL, r->site, SNAP_SITE_MAINTENANCE) || maintenance_probe(r) || is_health(r))
		return PHASE_NEXT;
	req_fail(r, CLOSE_MAINTENANCE, RETRY_AFTER_S);
	return PHASE_ANSWERED;
}
