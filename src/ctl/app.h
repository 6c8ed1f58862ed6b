/*
 * app.h: the apps of an instance: what each is (struct app), what is known of its processes (struct app_run), and
 * the list of them (apps.c).
 *
 * The first of the list is the instance's own folder, ctl's member `app`: that of `stead up`, or the operator's, which
 * has [Server] and may have no app. Behind it stand the deployed ones. A struct app is also what a flow brings about:
 * such a copy shares the run of the app that it is going to be.
 */
#ifndef STEAD_CTL_APP_H
#define STEAD_CTL_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop.h"
#include "tbl/tbl.h"

#include "off.h"
#include "programs.h"
#include "scale.h"

struct ctl;
struct conf_app;

enum {
	CTL_PATH_MAX = 4096,
	CTL_LISTEN_MAX = 16,
	CTL_ADDRESS_MAX = 64,
	CTL_APPS_MAX = 1000, /* deployed ones */
	APP_NUMBER = 1,      /* the folder's own */
	SITE_NUMBER_FIRST = 2, /* of deployed apps and of sites without a folder, by name, for ever */
};

/* One effective value as check told it; a row of app_value. */
struct app_value {
	struct app_value *next;
	char *section, *arg, *key, *text, *origin, *file;
	uint32_t line, col;
};

/* What runs of an app; made with it, ended with it. */
struct app_run {
	struct ctl *ctl;
	struct app *app;     /* that of the list */
	bool serves;         /* it has a site */
	unsigned workers;    /* how many there are at least; 0: there is no program */
	uint64_t start_ms;   /* how long a worker may take */
	enum proc role;      /* of its processes: WORKER or SERVICE; NONE: there are none */
	uint64_t worker_sum; /* of what the parent was last told of them */
	struct msg_jail jail; /* what they are held to; version 0: the parent was not told yet */
	char database[64];
	bool unloaded; /* a backup's database could not be loaded: it is not run */
	struct {
		struct scaler scaler;
		struct timer timer;
		bool on, unknown, keep;
		unsigned threads;
		uint64_t asleep_generation; /* of the workers that ended for want of requests */
	} scaling;
	struct {
		bool down;              /* no worker comes up: the gates answer 503 */
		bool dead;              /* nothing starts it again but a person */
		uint32_t retry_after_s; /* … and say when to come again */
	} trouble;
	struct off off;
	bool clearing;             /* as root: copies of the folder to remove … */
	uint64_t clear_generation; /* … when no worker so old runs */
	struct program programs[CTL_PROGRAMS_MAX];
	unsigned programs_n;
	struct timed timed[CTL_PROGRAMS_MAX];
	unsigned timed_n;
};

struct app {
	struct app *next;
	struct app_run *run;
	uint32_t number; /* the site's, for ever: counters, limits, maintenance */
	uint32_t set;    /* that of its processes: those of two releases differ while both run */
	char name[64], folder[CTL_PATH_MAX];
	char http[CTL_LISTEN_MAX * CTL_ADDRESS_MAX]; /* what is listened on, blank-separated */
	char instance[96];         /* the parent that it is live under; "" when it is not live */
	char bin[CTL_PATH_MAX];    /* postgres' programs; "" when it has no database */
	char python[CTL_PATH_MAX]; /* what runs the workers; "" without an app */
	char work[CTL_PATH_MAX];   /* the folder that is served: as root a copy, STATE/releases/N */
	uint32_t release;          /* counts each `up`; of a deployed one the release's number */
	uint32_t uid, gid;         /* as root: the app's user */
	struct app_value *values;
	bool known; /* there is a row */
};

/* Every one of the list. */
#define FOR_APPS(c, a) for (struct app *a = &(c)->app; a; a = a->next)

/* The own one is there. -ENOMEM. */
int apps_init(struct ctl *c);
/* All that they own. */
void apps_free(struct ctl *c);
/* Another deployed app of that name, with its number, at the end; not known yet. NULL: there is no memory or no room. */
struct app *apps_add(struct ctl *c, const char *name);
/* Take it out of the list. */
void apps_remove(struct ctl *c, struct app *a);
/* NULL: there is none. The own folder's by its name too. */
struct app *apps_named(struct ctl *c, const char *name);
struct app *apps_numbered(struct ctl *c, uint32_t number);
/* By the number of its processes. */
struct app *apps_of_set(struct ctl *c, uint32_t set);
/* By the number of a set that the parent runs: the app's own or that of a program beside it; never NULL. */
const struct app *apps_owner(const struct ctl *c, uint32_t set);
unsigned apps_count(const struct ctl *c);
/* Is it deployed, not the folder's own? */
bool app_deployed(const struct app *a);
/* It is that from now on: values and all, but for its place, its number and its run; `from` has no values behind it. */
void app_take(struct app *to, struct app *from);
/* What `stead up` or a deploy begins with: all of it but the values. */
void app_like(struct app *to, const struct app *from);

/* ---- trouble.c, status.c: how it fares, and where ---- */
/* Its program has ended well, as one without a site may, and is not started again by itself. */
bool trouble_ended_well(const struct app *a);
enum { STATUS_URL_MAX = 400 };
/* Where a deployed app answers, by the first of its names; "" when it has none. */
void status_url(const struct ctl *c, const struct app *a, char ret[static STATUS_URL_MAX]);

#endif
