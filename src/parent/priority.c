/*
 * priority.c: who starts leaves the processor to those that serve: nicer by PRIORITY_NICER until it is ready.
 *
 * A deploy imports a whole app in each new worker, a second of a processor or more, beside workers that answer visitors
 * with the same share. Called by main (init), watch_acts.c (a run starts, a run is ready) and workers.c (the process is
 * made). One that takes the place of a dead one is in a hurry and starts as it will run. Owns nothing.
 */
#include "parent.h"
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A tenth of the processor beside one that wants all of it; all of it when nobody else does. */
enum { PRIORITY_NICER = 10, NICE_MAX = 19 };

void priority_init(struct parent *p)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	/* Who may not take it back must not begin. */
	p->renices = syscall(SYS_capget, &head, data) == 0 &&
		     (data[CAP_TO_INDEX(CAP_SYS_NICE)].effective & CAP_TO_MASK(CAP_SYS_NICE)) != 0;
}

/* Does something tell when it can serve? */
static bool says_when(const struct slot *s)
{
	const struct msg_proc_set *set = &s->set->spec->set;

	return s->role == PROC_WORKER ||
	       (s->role == PROC_SERVICE && set->listen != SERVICE_NONE &&
		       (set->ready == SERVICE_PROBED || set->ready == SERVICE_NOTIFIES));
}

bool priority_nicer(const struct run *r)
{
	struct slot *s = r->slot;
	bool first = s->run[0].generation == 0 && s->run[1].generation == 0;

	return s->parent->renices && s->set != NULL && says_when(s) && (first || run_serves(slot_other(s)));
}

/* What it is asked to be; 0: as the parent. */
static int asked(const struct spec *spec)
{
	if ((spec->jail.has & JAIL_HAS_NICE) != 0)
		return spec->jail.nice;
	return spec->set.nice_plus20 != 0 ? (int)spec->set.nice_plus20 - 20 : 0;
}

static int served_at(const struct spec *spec)
{
	int nice = asked(spec);

	return nice != 0 ? nice : getpriority(PRIO_PROCESS, 0);
}

int priority_of(const struct spec *spec, bool nicer)
{
	return nicer ? min_of(served_at(spec) + PRIORITY_NICER, (int)NICE_MAX) : asked(spec);
}

void priority_ready(struct run *r)
{
	bool nicer = r->nicer && run_alive(r);

	r->nicer = false;
	if (!nicer)
		return;
	/* All threads of its group. That it died meanwhile is told by its death. */
	(void)setpriority(PRIO_PGRP, (id_t)r->child.pid, served_at(r->spec));
}
