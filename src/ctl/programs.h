/*
 * programs.h: programs of the app that serve nothing: [Worker NAME] and [Timer NAME] (wants_service.c, timers.c).
 */
#ifndef STEAD_CTL_PROGRAMS_H
#define STEAD_CTL_PROGRAMS_H

#include <jansson.h>

#include "conf/calendar.h"
#include "conf/conf.h"
#include "lib/loop.h"
#include "tbl/tbl.h"

struct ctl;
struct app;
struct app_run;

enum {
	PROGRAM_NUMBER_FIRST = 1 << 24, /* their sets' numbers, which no app has */
	CTL_PROGRAMS_MAX = 64,
	PROGRAM_NUMBER_HOOK = PROGRAM_NUMBER_FIRST, /* that of ChallengeHook= */
	PROGRAM_NUMBER_MIGRATE,                     /* that of Migrate= */
};

/* A program beside the app, as the parent was told of it. */
struct program {
	uint32_t number;
	bool timed;
	char name[28];
};

/* A [Timer]. Times are of the wall clock, in microseconds. */
struct timed {
	uint32_t number;
	char name[28];
	bool wanted, running;
	struct calendar *when;
	unsigned nwhen;
	uint64_t unit_active_us, unit_inactive_us, active_us, delay_us; /* 0: off */
	uint64_t live_us;         /* since when it is there */
	uint64_t base_us;         /* the calendar was looked at up to here */
	uint64_t run_us;          /* the last run's number: when it began; 0: none */
	uint64_t ended_us;        /* … and when it ended; before run_us: not yet, or nobody saw it */
	uint64_t began_us,
		rested_us; /* the same two, but never ahead of a clock that was set back since */
	int32_t status;           /* as in msg_proc_state */
	uint64_t due_us, next_us; /* without and with a delay by chance; 0: never */
	uint64_t extra_us;
};

/* [Worker NAME]s: the parent is told what they are now, and what is not wanted any more. */
void programs_apply(struct ctl *c, const struct app *a, const struct conf_app *conf, bool resume);
/* One run of a [Timer], under this number; asked again with the same number, the parent does nothing. */
int program_run(struct ctl *c, const struct app *a, const struct conf_app *conf, const char *name,
	uint64_t number);
/* One run of the program of ChallengeHook=, with these arguments behind its own (NULL at the end). 0; -ESRCH: there is
 * none; -errno. */
int program_hook(struct ctl *c, const struct app *a, const struct conf_app *conf, const char *const *more,
	uint64_t number);
/* End that run. */
void program_hook_end(struct ctl *c);
/* One run of Migrate= with that release. 0; -ESRCH: there is none; -errno. And: its set is forgotten. */
int program_migrate(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t number);
void program_migrate_end(struct ctl *c);
/* Those of the app. */
void programs_restart(const struct app *a);
/* The name of the program with that number; "": there is none. */
const char *program_name(const struct ctl *c, uint32_t number);

/* ---- timers.c ---- */
/* The configuration anew: begin, each [Timer], end. resume: a ctl that goes on where another stood. */
void timers_begin(struct app_run *run);
void timers_add(struct app_run *run, const struct conf_program *p, uint32_t number, bool resume);
void timers_end(struct app_run *run);
void timers_heard(struct ctl *c, const struct msg_proc_state *st);
void timers_free(struct app_run *run);
/* Of all apps, or of that one (NULL: all). */
json_t *timers_json(const struct ctl *c, const struct app *of);
op_done timers_on_timer, timers_on_jump;

#endif
