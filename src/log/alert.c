/*
 * alert.c: events that need a person (tbl/alerts.h) are told to ctl, which sees to it that they are sent.
 *
 * Called with each event behind its line. Owns what ctl has not kept yet: a ctl that comes again is told it again, so that an
 * alert outlives either process. Bounded: the oldest gives way.
 */
#include "log.h"

#include <stdlib.h>
#include <string.h>

#include "lib/event.h"
#include "lib/must.h"

struct key {
	const struct alert_row *row;
	char value[96];
};

static void field(void *arg, const char *name, const char *value)
{
	struct key *k = arg;

	if (strcmp(name, k->row->field) == 0) {
		size_t n = min_of(strlen(value), sizeof k->value - 1);

		memcpy(k->value, value, n);
		k->value[n] = '\0';
	}
}

static void tell(struct log *g, const struct log_alert *a)
{
	if (g->ctl_greeted && chan_open(&g->ctl))
		(void)chan_send(&g->ctl, MSG_ALERT_SEEN, a->id, &a->m, sizeof a->m, a->text.p, a->text.len, NULL, 0);
}

void alert_tell_all(struct log *g)
{
	for (unsigned i = 0; i < g->alerts_n; i++)
		tell(g, &g->alert[i]);
}

static void drop(struct log *g, unsigned at)
{
	buf_done(&g->alert[at].text);
	memmove(&g->alert[at], &g->alert[at + 1], (--g->alerts_n - at) * sizeof g->alert[0]);
}

void alert_kept(struct log *g, uint64_t id)
{
	for (unsigned i = 0; i < g->alerts_n; i++)
		if (g->alert[i].id == id) {
			drop(g, i);
			return;
		}
}

void alert_done(struct log *g)
{
	while (g->alerts_n)
		drop(g, g->alerts_n - 1);
}

void alert_look(struct log *g, const void *p, size_t n)
{
	struct key k = {.row = NULL};
	struct log_alert *a;
	uint32_t id;

	if (event_decode(p, n, &id, NULL, NULL) < 0 || (k.row = alert_row(id)) == NULL || g->line.error)
		return;
	(void)event_decode(p, n, &id, field, &k);
	if (k.row->only[0] && strcmp(k.row->only, k.value) != 0)
		return;
	if (g->alerts_n == LOG_ALERTS_MAX)
		drop(g, 0);
	a = &g->alert[g->alerts_n++];
	*a = (struct log_alert){.id = ++g->alert_ids, .m = {.event = id}};
	buf_init(&a->text, RECORD_BYTES_MAX + 256);
	pack_str(&a->text, k.value);
	pack_bytes(&a->text, g->line.p, g->line.len ? g->line.len - 1 : 0); /* without its newline */
	if (a->text.error)
		drop(g, g->alerts_n - 1);
	else
		tell(g, a);
}
