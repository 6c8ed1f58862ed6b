/*
 * apps.c: the list of apps: the folder's own, then the deployed ones.
 *
 * Called at the start, by the flows and by whoever looks an app up. Owns each app behind the first, and each one's run.
 */
#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct app_run *run_new(struct ctl *c, struct app *a)
{
	struct app_run *run = calloc(1, sizeof *run);

	if (!run)
		return NULL;
	run->ctl = c;
	run->app = a;
	run->role = PROC_NONE;
	return run;
}

static void run_free(struct app_run *run)
{
	if (!run)
		return;
	loop_timer_stop(run->ctl->loop, &run->scaling.timer);
	timers_free(run);
	free(run);
}

int apps_init(struct ctl *c)
{
	c->app.number = c->app.set = APP_NUMBER;
	c->app.run = run_new(c, &c->app);
	return c->app.run ? 0 : -ENOMEM;
}

void apps_free(struct ctl *c)
{
	while (c->app.next)
		apps_remove(c, c->app.next);
	app_values_free(&c->app);
	run_free(c->app.run);
	c->app.run = NULL;
}

struct app *apps_add(struct ctl *c, const char *name)
{
	struct app *a = apps_count(c) < CTL_APPS_MAX ? calloc(1, sizeof *a) : NULL, *last = &c->app;

	if (!a || strlen(name) >= sizeof a->name || !(a->run = run_new(c, a))) {
		free(a);
		return NULL;
	}
	memcpy(a->name, name, strlen(name) + 1);
	a->number = SITE_NUMBER_FIRST + state_number(c, "site", name);
	a->set = 2 * a->number;
	while (last->next)
		last = last->next;
	last->next = a;
	return a;
}

void apps_remove(struct ctl *c, struct app *a)
{
	FOR_APPS(c, before) {
		if (before->next != a)
			continue;
		before->next = a->next;
		app_values_free(a);
		run_free(a->run);
		free(a);
		return;
	}
}

struct app *apps_named(struct ctl *c, const char *name)
{
	FOR_APPS(c, a)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

struct app *apps_numbered(struct ctl *c, uint32_t number)
{
	FOR_APPS(c, a)
		if (a->number == number)
			return a;
	return NULL;
}

/* A deployed one has two, which its releases take in turn; those of the folder's own keep its number. */
struct app *apps_of_set(struct ctl *c, uint32_t set)
{
	FOR_APPS(c, a)
		if (a->set == set || (app_deployed(a) && a->number == set / 2))
			return a;
	return NULL;
}

const struct app *apps_owner(const struct ctl *c, uint32_t set)
{
	for (const struct app *a = &c->app; a; a = a->next) {
		if (a->set == set || (app_deployed(a) && a->number == set / 2))
			return a;
		for (unsigned i = 0; i < a->run->programs_n; i++)
			if (a->run->programs[i].number == set)
				return a;
	}
	return &c->app;
}

unsigned apps_count(const struct ctl *c)
{
	unsigned n = 0;

	for (const struct app *a = c->app.next; a; a = a->next)
		n++;
	return n;
}

bool app_deployed(const struct app *a)
{
	return a->number != APP_NUMBER;
}

void app_take(struct app *to, struct app *from)
{
	struct app held = *to;

	app_values_free(to);
	*to = *from;
	from->values = NULL;
	to->next = held.next;
	to->number = held.number;
	to->run = held.run;
}

void app_like(struct app *to, const struct app *from)
{
	*to = *from;
	to->next = NULL;
	to->values = NULL;
}
