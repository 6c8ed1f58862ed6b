/*
 * fix.c: `stead doctor --fix`: what is safe to mend is mended by stead-act, then looked at again.
 */
#include "doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_DEFAULT = 60, WAIT_MAX = 600 };

struct opening {
	struct doctor *d;
	unsigned seconds;
	char ports[40];
};

static bool has_finding(const struct doctor *d, const char *name)
{
	const json_t *o;
	size_t i;

	json_array_foreach(d->findings, i, o)
	{
		const char *s = json_string_value(json_object_get(o, "finding"));

		if (s && strcmp(s, name) == 0)
			return true;
	}
	return false;
}

/* What was found there before is out of date. */
static void forget(struct doctor *d, const char *area)
{
	d->worst = DOCTOR_OK;
	for (size_t i = json_array_size(d->findings); i-- > 0;) {
		const json_t *o = json_array_get(d->findings, i);
		const char *s = json_string_value(json_object_get(o, "area")), *level = json_string_value(json_object_get(o, "level"));

		if (s && strcmp(s, area) == 0) {
			(void)json_array_remove(d->findings, i);
			continue;
		}
		for (unsigned l = 0; level && l < DOCTOR_LEVELS; l++)
			if (strcmp(level, doctor_level_names[l]) == 0 && l > d->worst)
				d->worst = l;
	}
}

static int failed(struct doctor *d, int r, const struct act_end *end)
{
	if (r >= 0) /* else it was said */
		show_error(d->c, end->text, *end->todo ? end->todo : NULL);
	return r < 0 ? VERB_EXIT_FAILED : (int)end->exit_code;
}

static void step(void *arg, const char *text)
{
	const struct opening *o = arg;

	(void)text;
	if (o->d->c->quiet || o->d->c->json || !o->seconds)
		return;
	if (o->d->nssh)
		(void)printf("opened. Log in anew by ssh within %u s, so that it stays; else it is taken back.\n", o->seconds);
	else
		(void)printf("opened. Connect from another machine to port 80 or 443 within %u s, so that it stays; else it is taken back.\n",
			o->seconds);
	(void)fflush(stdout);
}

/* sshd's first: nobody shall be shut out by what opens the others. */
static void ports_of(const struct doctor *d, char ret[40])
{
	size_t n = 0;

	ret[0] = '\0';
	for (unsigned i = 0; i < d->nssh && d->opens_ssh; i++)
		n += (size_t)snprintf(ret + n, 40 - n, "%s%u", n ? " " : "", (unsigned)d->ssh[i]);
	if (d->opens_web)
		(void)snprintf(ret + n, 40 - n, "%s80 443", n ? " " : "");
}

/* Higher numbers of a chain first, so that the lower ones stay what they are. */
static int by_number(const void *a, const void *b)
{
	const char *x = strrchr(*(const char *const *)a, '/'), *y = strrchr(*(const char *const *)b, '/');
	unsigned long i = x ? strtoul(x + 1, NULL, 10) : 0, j = y ? strtoul(y + 1, NULL, 10) : 0;

	return i < j ? 1 : i > j ? -1 : 0;
}

static void sort_places(char *places, size_t cap)
{
	char copy[DOCTOR_PLACES_TEXT], *part[64], *save = NULL;
	unsigned n = 0;

	(void)snprintf(copy, sizeof copy, "%s", places);
	for (char *p = strtok_r(copy, " ", &save); p && n < ARRAY_LEN(part); p = strtok_r(NULL, " ", &save))
		part[n++] = p;
	qsort(part, n, sizeof *part, by_number);
	places[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(places + strlen(places), cap - strlen(places), "%s%s", i ? " " : "", part[i]);
}

/* What makes it last, with the ports that were opened. */
static void tell_until(struct doctor *d, const char *ports)
{
	const char *at = strstr(d->until, "{}");
	char text[640];
	size_t n;

	if (!*d->until)
		return;
	n = (size_t)snprintf(text, sizeof text, "%.*s", at ? (int)(at - d->until) : (int)strlen(d->until), d->until);
	for (const char *p = at ? ports : ""; *p && n < sizeof text - 3; p++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%c", *p == ' ' ? "," : "", *p);
	(void)snprintf(text + n, sizeof text - n, "%s", at ? at + 2 : "");
	found(d, FINDING_FIREWALL_UNTIL, text, "%s", "");
}

static int wait_of(struct doctor *d, unsigned *ret)
{
	const char *text = d->c->args.option[OPTION_TIMEOUT];
	char *end = NULL;
	unsigned long v = text ? strtoul(text, &end, 10) : WAIT_DEFAULT;

	if ((text && *end) || v < 1 || v > WAIT_MAX) {
		show_error(d->c, "--timeout takes 1 to 600 seconds", NULL);
		return VERB_EXIT_USAGE;
	}
	*ret = d->c->args.option[OPTION_YES] ? 0 : (unsigned)v;
	return 0;
}

static int fix_firewall(struct doctor *d)
{
	struct opening o = {.d = d};
	char seconds[16];
	const char *args[3] = {d->places, o.ports, seconds};
	struct act_end end;
	int r = wait_of(d, &o.seconds);

	if (r || !*d->places)
		return r;
	sort_places(d->places, sizeof d->places);
	ports_of(d, o.ports);
	(void)snprintf(seconds, sizeof seconds, "%u", o.seconds);
	r = act_ask(d->c->roles, ACT_FIREWALL_OPEN, args, step, &o, &end);
	if (r < 0 || end.err)
		return failed(d, r, &end);
	if (strcmp(end.result, "reverted") == 0) {
		show_error(d->c, "nobody connected anew: the firewall is as it was",
			"try again, and log in by ssh meanwhile; or `stead doctor --fix firewall --yes`, which does not wait");
		return VERB_EXIT_FAILED;
	}
	if (!d->c->quiet && !d->c->json)
		(void)printf("the firewall lets in: %s\n", o.ports);
	forget(d, "firewall");
	look_firewall(d);
	tell_until(d, o.ports);
	return 0;
}

static int fix_upgrades(struct doctor *d)
{
	const char *none[1] = {NULL};
	struct act_end end;
	int r;

	if (!d->c->args.option[OPTION_YES]) {
		show_error(d->c, "a package is installed for it: unattended-upgrades", "stead doctor --fix upgrades --yes");
		return VERB_EXIT_USAGE;
	}
	r = act_ask(d->c->roles, ACT_UPGRADES_ON, none, NULL, NULL, &end);
	if (r < 0 || end.err)
		return failed(d, r, &end);
	forget(d, "upgrades");
	look_upgrades(d);
	return 0;
}

int doctor_fix(struct doctor *d)
{
	int code = 0;

	if (!d->root) {
		show_error(d->c, "only root can mend what the doctor finds", "sudo stead doctor --fix");
		return VERB_EXIT_NOT_PERMITTED;
	}
	if (doctor_wants(d, "firewall"))
		code = fix_firewall(d);
	/* Without an area only what needs no package. */
	if (code == 0 && has_finding(d, "upgrades_off") && (d->area || d->c->args.option[OPTION_YES]))
		code = fix_upgrades(d);
	return code;
}
