/*
 * recycle.c: processes that have lived long enough: so many requests, so old, so much memory.
 *
 * Called by watch when a generation starts, by workers.c with what gates count, at the end of a
 * turn, and by one timer while some set has a limit that time brings about. Each process has limits
 * of its own, up to a fifth below those of its set, and of one set one is replaced at a time: a new
 * generation beside the old, as in any replacement (sets.c). What counts is the gates' word, the
 * clock and the kernel's /proc/PID/statm, never the process' own. Owns nothing.
 */
#include "parent.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TOLD_SHARE = 32 }; /* gates tell in parts of the limit */

static uint64_t own_limit(struct parent *p, uint64_t limit)
{
	return limit - (limit >= 5 ? p->ops->random(p) % (limit / 5 + 1) : 0);
}

void recycle_start(struct run *r)
{
	struct parent *p = r->slot->parent;

	r->requests = r->requests_max = r->life_ms = 0;
	if (r->slot->set == NULL)
		return;
	const struct msg_proc_set *set = &r->slot->set->spec->set;

	r->requests_max = own_limit(p, set->requests_max);
	r->life_ms = own_limit(p, set->life_ms);
}

void recycle_arm(struct parent *p)
{
	bool needed = false;

	for (const struct set *set = p->sets; set != NULL && !needed; set = set->next)
		needed = set->spec->set.life_ms != 0 || set->spec->set.rss_max != 0;
	if (needed && p->recycle.at_ms == 0)
		loop_timer_in(p->loop, &p->recycle, RECYCLE_TICK_MS);
}

static void tired(struct run *r, enum recycle_why why)
{
	struct slot *s = r->slot;

	if (r != slot_run(s) || r->phase != PHASE_UP || s->tired != RECYCLE_NOT)
		return;
	s->tired = (uint8_t)why;
	parent_settle_soon(s->parent);
}

void recycle_ran(struct run *r, uint32_t requests)
{
	r->requests += requests;
	if (r->requests_max != 0 && r->requests >= r->requests_max)
		tired(r, RECYCLE_REQUESTS);
}

uint32_t recycle_told_every(const struct run *r)
{
	if (r->requests_max == 0)
		return 0;
	return (uint32_t)max_of(r->requests_max / TOLD_SHARE, (uint64_t)1);
}

uint64_t recycle_rss(struct parent *p, const struct run *r)
{
	char path[64], text[128], *at;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)r->child.pid);
	proc_as_begin(p, &r->child);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	proc_as_end(p);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* Its size, then what of it is resident. */
	(void)strtoull(text, &at, 10);
	return strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void look_at(struct parent *p, struct slot *s)
{
	struct run *r = slot_run(s);
	uint64_t now = loop_now_ms(p->loop), rss_max = s->set->spec->set.rss_max;

	if (r->phase != PHASE_UP || s->tired != RECYCLE_NOT)
		return;
	if (r->life_ms != 0 && now - r->up_ms >= r->life_ms)
		tired(r, RECYCLE_LIFETIME);
	else if (rss_max != 0 && now - r->up_ms >= RECYCLE_YOUNG_MS && p->ops->rss(p, r) > rss_max)
		tired(r, RECYCLE_RSS);
}

void recycle_on_tick(struct loop *l, struct op *op, int res)
{
	struct parent *p = container_of(op, struct parent, recycle.op);

	(void)l;
	(void)res;
	if (p->stop_step != STOP_NOT)
		return;
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			look_at(p, s);
	recycle_arm(p);
}

/* Is somebody of the set being replaced, up to the end of the old one's requests? */
static bool in_replacement(const struct set *set)
{
	bool rolling = (set->spec->set.flags & PROC_SET_ROLLING) != 0;

	for (const struct slot *s = set->slots; s != NULL; s = s->next) {
		const struct run *other = &s->run[s->current ^ 1];

		if (s->stale || (other->phase != PHASE_DOWN && !drain_is_over(other)) ||
			(!rolling && s->wanted && s->run[s->current].phase != PHASE_UP &&
				s->run[s->current].phase != PHASE_DEAD))
			return true;
	}
	return false;
}

void recycle_settle(struct set *set)
{
	static const char *const whys[] = {[RECYCLE_REQUESTS] = "MaxRequests",
		[RECYCLE_LIFETIME] = "LifetimeSec",
		[RECYCLE_RSS] = "RssMax"};
	struct slot *oldest = NULL;

	for (struct slot *s = set->slots; s != NULL; s = s->next)
		if (s->tired != RECYCLE_NOT && s->wanted && slot_run(s)->phase == PHASE_UP &&
			(oldest == NULL ||
				slot_run(s)->generation < slot_run(oldest)->generation))
			oldest = s;
	if (oldest == NULL || in_replacement(set))
		return;
	oldest->stale = true;
	say_run(oldest->parent, EV_WORKER_RECYCLED, slot_run(oldest), NULL, 0,
		whys[oldest->tired]);
}
