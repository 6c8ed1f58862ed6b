/*
 * doctor.c: the verb `stead doctor`: looks, findings, and how they are shown.
 *
 * Called by main.c. Owns the findings. Changes nothing; with --fix fix.c does.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"

enum { ANSWER_MS = 5000, ERRORS_MAX = 200, TEXT_MAX = 4 << 20 };

static const struct {
	const char *area;
	void (*look)(struct doctor *d);
} looks[] = {{"ports", look_ports}, {"firewall", look_firewall}, {"clock", look_clock}, {"disk", look_disk},
	{"memory", look_memory}, {"kernel", look_kernel}, {"postgresql", look_postgres}, {"upgrades", look_upgrades},
	{"files", look_files}, {"dns", look_dns}, {"stead", look_stead}};

bool doctor_wants(const struct doctor *d, const char *area)
{
	return !d->area || strcmp(d->area, area) == 0;
}

char *doctor_text(const char *path)
{
	char *text = NULL;
	size_t n;

	if (sys_read_file(AT_FDCWD, path, TEXT_MAX, &text, &n) < 0)
		text = calloc(1, 1);
	must(text);
	return text;
}

bool doctor_number(const char *text, const char *name, uint64_t *ret)
{
	size_t n = strlen(name);

	for (const char *at = text; *at;) {
		const char *eol = at + strcspn(at, "\n");

		if (strncmp(at, name, n) == 0) {
			char *end;
			uint64_t v = strtoull(at + n, &end, 10);

			if (end != at + n && end <= eol) {
				*ret = v;
				return true;
			}
		}
		at = *eol ? eol + 1 : eol;
	}
	return false;
}

/* `text` with `fill` in place of {}. */
static json_t *filled(const char *text, const char *fill)
{
	const char *at = strstr(text, "{}");
	struct buf b;
	json_t *o;

	if (!at)
		return json_string(text);
	buf_init(&b, 4096);
	buf_put(&b, text, (size_t)(at - text));
	buf_puts(&b, fill ? fill : "");
	buf_puts(&b, at + 2);
	o = json_stringn_nocheck(buf_str(&b), b.len);
	buf_done(&b);
	return o;
}

void found(struct doctor *d, enum finding f, const char *fill, const char *where, ...)
{
	const struct finding_row *row = &finding_rows[f];
	char text[600], name[48];
	va_list ap;

	if (!doctor_wants(d, row->area))
		return;
	va_start(ap, where);
	(void)vsnprintf(text, sizeof text, where, ap);
	va_end(ap);
	for (size_t i = 0; i < sizeof name; i++) {
		name[i] = row->name[i] >= 'A' && row->name[i] <= 'Z' ? (char)(row->name[i] + 32) : row->name[i];
		if (!name[i])
			break;
	}
	if (row->level > d->worst)
		d->worst = row->level;
	(void)json_array_append_new(d->findings,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "level", doctor_level_names[row->level], "area", row->area,
			"finding", name, "what", row->what, "where", text, "why", filled(row->why, fill), "mend",
			filled(row->mend, fill)));
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void show_one(const struct cli *c, const json_t *o)
{
	const char *level = text_of(o, "level");
	bool well = strcmp(level, "ok") == 0;

	if (c->quiet && strcmp(level, "warning") != 0 && strcmp(level, "error") != 0)
		return;
	(void)printf("%-8s %-11s %s%s%s\n", level, text_of(o, "area"), text_of(o, "what"), *text_of(o, "where") ? ": " : "",
		text_of(o, "where"));
	if (!well && *text_of(o, "why"))
		(void)printf("                       why   %s\n", text_of(o, "why"));
	if (!well && *text_of(o, "mend"))
		(void)printf("                       mend  %s\n", text_of(o, "mend"));
}

static int show(struct doctor *d)
{
	bool well = d->worst < DOCTOR_WARNING;
	const json_t *o;
	size_t i;

	if (d->c->json) {
		json_t *all = json_pack("{s:b, s:b, s:O}", "well", well, "root", d->root, "findings", d->findings);

		(void)json_dumpf(all, stdout, JSON_INDENT(2));
		(void)fputc('\n', stdout);
		json_decref(all);
	} else {
		json_array_foreach(d->findings, i, o) show_one(d->c, o);
	}
	return well ? VERB_EXIT_DONE : VERB_EXIT_FAILED;
}

/* One request that has to be answered soon; every object of it to `heard`. A new reference to its end, or NULL. */
static json_t *ask(const char *state, json_t *request, void (*heard)(void *arg, json_t *o), void *arg, bool *ret_hangs)
{
	struct client cl;
	json_t *o, *end = NULL;
	int got;

	if (client_connect(&cl, state) < 0) {
		json_decref(request);
		return NULL;
	}
	got = client_ask(&cl, request);
	while (got >= 0 && !end && (got = client_next(&cl, ANSWER_MS, &o)) > 0) {
		const char *event = text_of(o, "event");

		if (strcmp(event, "end") == 0 && !json_object_get(o, "kind"))
			end = json_incref(o);
		else if (heard)
			heard(arg, o);
		json_decref(o);
	}
	*ret_hangs = *ret_hangs || got == -EAGAIN;
	client_close(&cl);
	return end;
}

static void heard_record(void *arg, json_t *o)
{
	struct doctor *d = arg;

	if (strcmp(text_of(o, "kind"), "event") == 0 && json_array_size(d->errors) < ERRORS_MAX)
		(void)json_array_append(d->errors, o);
}

/* What the running stead says, once for all looks. */
static void ask_stead(struct doctor *d)
{
	bool ignored = false;
	json_t *end;

	if (!instance_look(d->c))
		return;
	end = ask(d->c->state, json_pack("{s:s, s:s}", "verb", "status", "app", ""), NULL, NULL, &d->hangs);
	d->status = json_incref(json_object_get(end, "status"));
	json_decref(end);
	if (d->status && doctor_wants(d, "dns")) {
		end = ask(d->c->state, json_pack("{s:s, s:s}", "verb", "domain-list", "app", ""), NULL, NULL, &ignored);
		d->domains = json_incref(json_object_get(end, "domains"));
		json_decref(end);
	}
	if (d->status && doctor_wants(d, "stead"))
		json_decref(ask(d->c->state,
			json_pack("{s:s, s:s, s:i, s:i, s:I, s:b}", "verb", "logs", "app", "", "lines", ERRORS_MAX, "level", LEVEL_ERROR,
				"since_us", (json_int_t)0, "follow", 0),
			heard_record, d, &ignored));
}

/* The interface of the default route: of IPv4, else of IPv6. */
static void find_iface(struct doctor *d)
{
	char *text = doctor_text("/proc/net/route"), *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[16];
		unsigned long to, mask;

		if (sscanf(line, "%15s %lx %*x %*x %*d %*d %*d %lx", name, &to, &mask) == 3 && to == 0 && mask == 0) {
			(void)snprintf(d->iface, sizeof d->iface, "%s", name);
			break;
		}
	}
	free(text);
	text = doctor_text("/proc/net/ipv6_route");
	save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line && !*d->iface; line = strtok_r(NULL, "\n", &save)) {
		char to[33], name[16];
		unsigned bits;

		if (sscanf(line, "%32s %x %*s %*x %*s %*x %*x %*x %*x %15s", to, &bits, name) == 3 && bits == 0 &&
			strcmp(name, "lo") != 0)
			(void)snprintf(d->iface, sizeof d->iface, "%s", name);
	}
	free(text);
}

int verb_doctor(struct cli *c)
{
	struct doctor d = {.c = c, .root = geteuid() == 0, .area = c->args.nargs ? c->args.arg[0] : NULL};
	bool known = !d.area;
	int code;

	for (size_t i = 0; i < ARRAY_LEN(looks); i++)
		known = known || strcmp(looks[i].area, d.area) == 0;
	if (!known) {
		show_error(c, "there is no such area",
			"one of: ports firewall clock disk memory kernel postgresql upgrades files dns stead");
		return VERB_EXIT_NO_SUCH;
	}
	d.findings = json_array();
	d.errors = json_array();
	find_iface(&d);
	d.nssh = socks_ssh_ports(d.ssh);
	ask_stead(&d);
	for (size_t i = 0; i < ARRAY_LEN(looks); i++)
		if (doctor_wants(&d, looks[i].area))
			looks[i].look(&d);
	code = c->args.option[OPTION_FIX] ? doctor_fix(&d) : 0;
	if (code == 0)
		code = show(&d);
	json_decref(d.findings);
	json_decref(d.errors);
	json_decref(d.status);
	json_decref(d.domains);
	return code;
}
