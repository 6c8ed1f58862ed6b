/*
 * acme_hook.c: TXT records that prove names by DNS (RFC 8555 section 8.4), put into a zone that is
 * hosted elsewhere, and taken away, by the program of ChallengeHook=.
 *
 * Called by acme_offer.c, with what the parent says of the run, and by its timer. The parent runs the
 * program like those of [Timer]: as the app's user, in its cgroup, what it prints goes to the log.
 * One runs at a time, so two records of one name do not meet; a record is taken away before its place
 * is given to another. What may be in a zone stands in the state: whoever comes after a ctl that died
 * goes on with it or takes it away. Owns the run, not the places.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { HOOK_MS = 2 * 60 * 1000 };

static bool is_due(const struct cert_challenge *ch)
{
	return ch->until_ms && (ch->record == RECORD_WANTED || ch->record == RECORD_UNWANTED);
}

/* Of the runs that there were. */
static uint64_t last_generation(const struct ctl *c)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < c->procs_n; i++)
		if (c->procs[i].st.role == PROC_SERVICE && c->procs[i].st.app == PROGRAM_NUMBER_HOOK)
			last = max_of(last, c->procs[i].st.generation);
	return last;
}

static int run(struct ctl *c, const struct cert_challenge *ch)
{
	char record[300], why[128];
	const char *more[] = {ch->record == RECORD_WANTED ? "present" : "cleanup", record, ch->text, NULL};
	struct conf *conf = effective_conf(c, &c->app, why, sizeof why);
	int err;

	(void)snprintf(record, sizeof record, "_acme-challenge.%s.",
		strncmp(ch->name, "*.", 2) == 0 ? ch->name + 2 : ch->name);
	err = conf ? program_hook(c, &c->app, conf_app(conf), more, loop_wall_us(c->loop)) : -EINVAL;
	conf_free(conf);
	return err;
}

static void settle(struct ctl *c, struct cert_challenge *ch, const char *why);

/* The next one, if none runs. */
static void go_on(struct ctl *c)
{
	struct cert_hook *h = &c->certs.hook;

	for (unsigned i = 0; i < CERT_CHALLENGES_MAX && !h->of; i++) {
		struct cert_challenge *ch = &c->certs.challenges[i];
		int err;

		if (!is_due(ch))
			continue;
		h->generation = last_generation(c);
		/* It is known to who comes next before it is in the zone. */
		err = ch->record == RECORD_WANTED ? state_save_record(c, ch) : 0;
		if (!err)
			err = run(c, ch);
		if (err) {
			settle(c, ch,
				err == -ESRCH    ? "there is no ChallengeHook= any more"
				: err == -ENOENT ? "the program of ChallengeHook= is not found"
						 : "the program of ChallengeHook= cannot be run");
			continue;
		}
		ch->record = ch->record == RECORD_WANTED ? RECORD_PUT : RECORD_TAKEN;
		h->of = ch;
		h->timer.op.kind = OP_ACME_HOOK;
		loop_timer_in(c->loop, &h->timer, HOOK_MS);
	}
}

/* It is done, or it is not: why. */
static void settle(struct ctl *c, struct cert_challenge *ch, const char *why)
{
	char name[sizeof ch->name];

	if (ch->record == RECORD_TAKEN || ch->record == RECORD_UNWANTED) {
		memcpy(name, ch->name, sizeof name);
		(void)state_drop_record(c, ch->token);
		*ch = (struct cert_challenge){0};
		if (why)
			say(c, EV_CHALLENGE_LEFT, "record", name, "why", why, NULL);
		return;
	}
	if (why) {
		/* What it did before it failed is nobody's any more. */
		ch->record = RECORD_NONE;
		(void)state_drop_record(c, ch->token);
		acme_not_offered(c, ch, why,
			"see what the program said in `stead logs`; by hand it is run as: PROGRAM present "
			"RECORD. TEXT");
		return;
	}
	/* Meanwhile the order may have ended. */
	ch->record = ch->job ? RECORD_THERE : RECORD_UNWANTED;
	acme_offered_elsewhere(c, ch);
}

void acme_record(struct ctl *c, struct cert_challenge *ch)
{
	if (ch->record == RECORD_THERE)
		acme_offered_elsewhere(c, ch);
	else if (ch->record == RECORD_NONE)
		ch->record = RECORD_WANTED;
	go_on(c);
}

bool acme_record_forget(struct ctl *c, struct cert_challenge *ch)
{
	/* One that is being put there is taken away when it is. */
	if (ch->record == RECORD_NONE || ch->record == RECORD_WANTED)
		return false;
	if (ch->record == RECORD_THERE)
		ch->record = RECORD_UNWANTED;
	go_on(c);
	return true;
}

void acme_records_left(struct ctl *c)
{
	for (const struct cert *cert = c->certs.all; cert; cert = cert->next)
		if (cert->order[0] || cert->job)
			return;
	for (unsigned i = 0; i < CERT_CHALLENGES_MAX; i++)
		if (!c->certs.challenges[i].job && c->certs.challenges[i].record == RECORD_THERE)
			(void)acme_record_forget(c, &c->certs.challenges[i]);
}

static void ended(struct ctl *c, const char *why)
{
	struct cert_challenge *ch = c->certs.hook.of;

	c->certs.hook.of = NULL;
	loop_timer_stop(c->loop, &c->certs.hook.timer);
	settle(c, ch, why);
	go_on(c);
}

void acme_hook_heard(struct ctl *c, const struct msg_proc_state *st)
{
	char why[128];

	if (st->role != PROC_SERVICE || st->app != PROGRAM_NUMBER_HOOK || !c->certs.hook.of ||
		st->phase != PHASE_DOWN || st->generation <= c->certs.hook.generation)
		return;
	if (st->spawn_err)
		(void)snprintf(why, sizeof why, "the program of ChallengeHook= cannot be started: %s",
			strerror((int)st->spawn_err));
	else if (st->status >= 0)
		(void)snprintf(why, sizeof why,
			"the program of ChallengeHook= ended with status %d", (int)st->status);
	else
		(void)snprintf(why, sizeof why, "the program of ChallengeHook= was ended by signal %d",
			(int)-st->status);
	ended(c, st->status == 0 && !st->spawn_err ? NULL : why);
}

void acme_hook_late(struct loop *l, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, certs.hook.timer.op);

	(void)l;
	(void)res;
	if (!c->certs.hook.of)
		return;
	program_hook_end(c);
	ended(c, "the program of ChallengeHook= did not end within 2 minutes");
}
