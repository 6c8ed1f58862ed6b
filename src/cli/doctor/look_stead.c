/*
 * look_stead.c: stead itself: does it run, what died, which site is down, what hinders a certificate, what it logged last.
 *
 * All from the control socket's answers, which doctor.c asked for.
 */
#include "doctor.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void look_processes(struct doctor *d)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(d->status, "processes"), i, o)
	{
		long long restarts = (long long)json_integer_value(json_object_get(o, "restarts"));
		const char *phase = text_of(o, "phase"), *app = text_of(o, "app");

		if (restarts > 0 || strcmp(phase, "waiting") == 0)
			found(d, FINDING_PROCESS_DIES, NULL, "%s %lld%s%s: %lld times, now %s", text_of(o, "role"),
				(long long)json_integer_value(json_object_get(o, "index")), *app ? " of " : "", app, restarts, phase);
	}
}

static void look_sites(struct doctor *d)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(d->status, "sites"), i, o)
	{
		const char *state = text_of(o, "state");

		if (strcmp(state, "failing") == 0 || strcmp(state, "failed") == 0)
			found(d, FINDING_SITE_DOWN, text_of(o, "name"), "%s: %s", text_of(o, "name"), state);
	}
	json_array_foreach(json_object_get(d->status, "certificates"), i, o)
	{
		if (*text_of(o, "error"))
			found(d, FINDING_CERT_HINDERED, text_of(o, "error"), "%s: %s", text_of(o, "site"), text_of(o, "todo"));
	}
}

static void look_errors(struct doctor *d)
{
	size_t n = json_array_size(d->errors);
	const json_t *last = n ? json_array_get(d->errors, n - 1) : NULL;
	const char *meaning = text_of(last, "text");

	if (n)
		found(d, FINDING_LAST_ERRORS, *meaning ? meaning : text_of(last, "event"), "%zu; the last one %s at %s", n,
			text_of(last, "event"), text_of(last, "ts"));
}

/* Is the service there and meant to run? systemd's own links say it. */
static bool is_enabled(void)
{
	return access("/run/systemd/system", F_OK) == 0 &&
	       access("/etc/systemd/system/multi-user.target.wants/stead.service", F_OK) == 0;
}

void look_stead(struct doctor *d)
{
	if (d->hangs) {
		found(d, FINDING_STEAD_HANGS, NULL, "%s", d->c->state);
		return;
	}
	if (!d->status) {
		found(d, is_enabled() ? FINDING_STEAD_FAILED : FINDING_STEAD_ABSENT, NULL, "%s", d->c->state);
		return;
	}
	found(d, FINDING_STEAD_RUNS, NULL, "version %s, %s, %s", text_of(d->status, "version"), text_of(d->status, "state"), d->c->state);
	look_processes(d);
	look_sites(d);
	look_errors(d);
}
