/*
 * program.c: [Worker NAME] and [Timer NAME]: what has to fit together, and the typed result.
 *
 * Called by value.c for OnCalendar=, and by app.c when every value is there. Owns nothing.
 */
#include "conf_priv.h"

#include <errno.h>
#include <string.h>

#include "calendar.h"

enum { KILL_MODE_GROUP, TIMER_STOP_MS = 10000 };

int conf_calendar_check(const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	struct calendar when;
	const char *reason;

	(void)v;
	/* An empty value takes the lines before it away. */
	if (text[0] == '\0')
		return 0;
	if (calendar_parse(text, &when, &reason) < 0) {
		buf_printf(why, "\"%.80s\" is no time of the calendar: %s", text, reason);
		buf_puts(todo, "for example daily, or Mon..Fri 06:30; `systemd-analyze calendar` "
			       "explains one");
		return -EINVAL;
	}
	return 0;
}

static uint64_t number(const struct conf_scope *s, enum conf_key key)
{
	return s->head[key] != NULL ? s->head[key]->number : 0;
}

static const struct conf_value *exec_of(const struct conf_scope *s)
{
	return s->section == SECTION_WORKER  ? s->head[CONF_WORKER_EXEC_START]
	       : s->section == SECTION_TIMER ? s->head[CONF_TIMER_EXEC_START]
					     : NULL;
}

static const struct conf_timer *timer_of(struct conf *c, const struct conf_scope *s)
{
	struct conf_timer *t = conf_alloc(c, sizeof(*t));
	unsigned n = 0;
	const char **all;

	for (const struct conf_value *v = s->head[CONF_TIMER_ON_CALENDAR]; v != NULL; v = v->next)
		n++;
	all = conf_alloc(c, (n + 1) * sizeof(*all));
	if (t == NULL || all == NULL)
		return NULL;
	n = 0;
	for (const struct conf_value *v = s->head[CONF_TIMER_ON_CALENDAR]; v != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = v->text;
	*t = (struct conf_timer){.calendar = all,
		.unit_active_ms = number(s, CONF_TIMER_ON_UNIT_ACTIVE),
		.unit_inactive_ms = number(s, CONF_TIMER_ON_UNIT_INACTIVE),
		.active_ms = number(s, CONF_TIMER_ON_ACTIVE),
		.delay_ms = number(s, CONF_TIMER_RANDOMIZED_DELAY),
		.persistent = number(s, CONF_TIMER_PERSISTENT) != 0};
	return t;
}

static void fill(struct conf *c, struct conf_scope *s, struct conf_program *p)
{
	const struct conf_value *signal = s->head[CONF_WORKER_KILL_SIGNAL];
	bool group = number(s, CONF_WORKER_KILL_MODE) == KILL_MODE_GROUP;

	p->name = s->arg;
	p->command = conf_command_of(c, exec_of(s)->text);
	p->workers = 1;
	p->stop_ms = TIMER_STOP_MS;
	p->kill = group ? SERVICE_KILL_GROUP : SERVICE_KILL_MAIN;
	p->kill_signal = signal != NULL ? signal->text : "SIGTERM";
	if (s->section == SECTION_TIMER) {
		p->timer = timer_of(c, s);
		return;
	}
	p->workers = (unsigned)number(s, CONF_WORKER_WORKERS);
	p->stop_ms = number(s, CONF_WORKER_TIMEOUT_STOP);
	p->lifetime_ms = number(s, CONF_WORKER_LIFETIME);
	p->rss_max = number(s, CONF_WORKER_RSS_MAX);
	conf_program_life(c, s, p);
}

void conf_program_fill(struct conf *c)
{
	struct conf_program *all = conf_alloc(c, (c->nscopes + 1) * sizeof(*all));

	if (all == NULL)
		return;
	memset(all, 0, (c->nscopes + 1) * sizeof(*all));
	for (struct conf_scope *s = c->scopes; s != NULL; s = s->next)
		if (exec_of(s) != NULL && exec_of(s)->text[0] != '\0')
			fill(c, s, &all[c->app.nprograms++]);
	c->app.programs = all;
}

static void check_twice(struct conf *c, const struct conf_scope *s)
{
	for (const struct conf_scope *o = c->scopes; o != s; o = o->next)
		if ((o->section == SECTION_WORKER || o->section == SECTION_TIMER) &&
			strcmp(o->arg, s->arg) == 0)
			conf_find(c, CONF_ERROR, &s->pos, "choose another name",
				"[%s %s]: another program has this name",
				section_rows[s->section].name, s->arg);
}

void conf_program_check(struct conf *c)
{
	for (const struct conf_scope *s = c->scopes; s != NULL; s = s->next) {
		if (s->section != SECTION_WORKER && s->section != SECTION_TIMER)
			continue;
		check_twice(c, s);
		/* A line that was refused has said more than that it is missing. */
		if (c->errors == 0 && (exec_of(s) == NULL || exec_of(s)->text[0] == '\0'))
			conf_find(c, CONF_ERROR, &s->pos, "write ExecStart= with a command line",
				"[%s %s] has no program", section_rows[s->section].name, s->arg);
		if (s->section == SECTION_TIMER && c->errors == 0 &&
			s->head[CONF_TIMER_ON_CALENDAR] == NULL &&
			!number(s, CONF_TIMER_ON_UNIT_ACTIVE) &&
			!number(s, CONF_TIMER_ON_UNIT_INACTIVE) && !number(s, CONF_TIMER_ON_ACTIVE))
			conf_find(c, CONF_ERROR, &s->pos,
				"write OnCalendar= or OnUnitActiveSec=", "[Timer %s] never runs",
				s->arg);
	}
}
