/*
 * metrics.c: what is counted, as Prometheus text (exposition format 0.0.4) or as JSON, one sample a line.
 *
 * Called for the verb metrics and for a gate that is asked on the port of Metrics=. Owns the names of sites
 * and backends by their number in the counters pages, which it keeps when they leave the configuration, so
 * that no counter vanishes or goes back over a reload. The pages are input: their figures are summed over the
 * gates and bounded by nothing but their type; what is derived of a histogram comes from one reading of its
 * buckets, so that it always adds up.
 */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/sys.h"

enum { LABELS_MAX = 5, TEXT_MAX = 32 * 1024 * 1024, REUSE_MS = 100 };

struct out {
	struct buf *b;
	bool json;
	const char *name, *about, *type; /* of the family that was begun */
	unsigned n;
	struct {
		const char *name, *value;
	} label[LABELS_MAX];
};

/* A backslash, a quote and a line feed in a label's value; the first and the last in a HELP text. */
static void put_escaped(struct buf *b, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\\' || (quotes && *s == '"'))
			buf_putc(b, '\\');
		if (*s == '\n')
			buf_puts(b, "\\n");
		else
			buf_putc(b, *s);
	}
}

static void family(struct out *o, const struct metric_row *r, enum metric_type type)
{
	o->name = r->name;
	o->about = r->about;
	o->type = metric_type_names[type];
	if (o->json)
		return;
	buf_printf(o->b, "# HELP %s ", r->name);
	put_escaped(o->b, r->about, false);
	buf_printf(o->b, "\n# TYPE %s %s\n", r->name, o->type);
}

static void label(struct out *o, const char *name, const char *value)
{
	if (o->n < LABELS_MAX) {
		o->label[o->n].name = name;
		o->label[o->n++].value = value;
	}
}

/* The value is a number as text. The labels are gone behind it. */
static void sample(struct out *o, const char *suffix, const char *value)
{
	if (o->json)
		buf_printf(o->b, "{\"name\":\"%s%s\",\"type\":\"%s\",\"labels\":{", o->name, suffix, o->type);
	else
		buf_printf(o->b, "%s%s%s", o->name, suffix, o->n ? "{" : "");
	for (unsigned i = 0; i < o->n; i++) {
		buf_printf(o->b, o->json ? "%s\"%s\":" : "%s%s=", i ? "," : "", o->label[i].name);
		if (o->json) {
			buf_put_json(o->b, o->label[i].value, strlen(o->label[i].value));
			continue;
		}
		buf_putc(o->b, '"');
		put_escaped(o->b, o->label[i].value, true);
		buf_putc(o->b, '"');
	}
	if (o->json)
		buf_printf(o->b, "},\"value\":%s}\n", value);
	else
		buf_printf(o->b, "%s %s\n", o->n ? "}" : "", value);
	o->n = 0;
}

static void count(struct out *o, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)min_of(v, (uint64_t)INT64_MAX));
	sample(o, "", text);
}

static void seconds(uint64_t us, char ret[32])
{
	(void)snprintf(ret, 32, "%llu.%06llu", (unsigned long long)(us / 1000000),
		(unsigned long long)(us % 1000000));
}

/* ---- names ---- */

static const unsigned names_max[METRICS_KINDS] = {COUNTER_SITES_MAX, COUNTER_UPSTREAMS_MAX};

void metrics_name(struct ctl *c, enum metrics_kind kind, uint32_t number, const char *name)
{
	char **all = c->metrics.names[kind], *copy;

	if (!all)
		all = c->metrics.names[kind] = calloc(names_max[kind], sizeof *all);
	/* Those beyond the bound share a row, which has no name of one of them. */
	if (number >= names_max[kind] - 1) {
		number = names_max[kind] - 1;
		name = "(others)";
	}
	if (!all || (all[number] && strcmp(all[number], name) == 0))
		return;
	copy = strdup(name);
	if (!copy)
		return;
	free(all[number]);
	all[number] = copy;
}

void metrics_done(struct ctl *c)
{
	for (unsigned k = 0; k < METRICS_KINDS; k++) {
		for (unsigned i = 0; c->metrics.names[k] && i < names_max[k]; i++)
			free(c->metrics.names[k][i]);
		free(c->metrics.names[k]);
	}
	if (c->metrics.fd > 0)
		close(c->metrics.fd);
}

/* ---- rows of the pages ---- */

/* What only holds while its gate lives is not taken from one that does not. */
static bool is_current(const struct gate_peer *g)
{
	return g->greeted && g->generation == g->counters_generation;
}

static const _Atomic uint64_t *row_of(const struct gate_peer *g, enum metrics_kind kind, unsigned number)
{
	return kind == METRICS_SITE ? g->counters->site[number].col : g->counters->upstream[number].col;
}

static uint64_t sum(const struct ctl *c, enum metrics_kind kind, unsigned number, unsigned at, bool gauge)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < CTL_GATES_MAX; i++) {
		const struct gate_peer *g = &c->gate[i];

		if (g->counters && (!gauge || is_current(g)))
			v += atomic_load_explicit(&row_of(g, kind, number)[at], memory_order_relaxed);
	}
	/* Two gates' parts of a gauge are not read at one moment. */
	return gauge && v > INT64_MAX ? 0 : v;
}

uint64_t metrics_site(const struct ctl *c, uint32_t number, unsigned column)
{
	bool gauge = site_metric_rows[column].type == METRIC_GAUGE;

	/* Those beyond the bound share a row, which is nobody's own. */
	return number < COUNTER_SITES_MAX - 1 ? sum(c, METRICS_SITE, number, column, gauge) : 0;
}

/* A site; or a backend, whose name in the snapshot may begin with its site's. */
static void name_labels(struct out *o, enum metrics_kind kind, const char *name, char site[64])
{
	const char *slash = strchr(name, '/');

	if (kind == METRICS_SITE) {
		label(o, "site", name);
		return;
	}
	/* A URL's // is none. */
	if (slash && slash > name && slash[-1] != ':' && slash[-1] != '/' && slash - name < 64) {
		(void)snprintf(site, 64, "%.*s", (int)(slash - name), name);
		label(o, "site", site);
		name = slash + 1;
	}
	label(o, "upstream", name);
}

static void own_label(struct out *o, const struct metric_row *r, char mem[32])
{
	char *eq;

	if (!r->label[0])
		return;
	(void)snprintf(mem, 32, "%s", r->label);
	eq = strchr(mem, '=');
	if (!eq)
		return;
	*eq = 0;
	label(o, mem, eq + 1);
}

static void histogram(struct out *o, const struct ctl *c, enum metrics_kind kind, unsigned number, unsigned columns,
	unsigned at)
{
	const char *name = c->metrics.names[kind][number];
	char site[64], text[32], le[32];
	uint64_t so_far = 0;

	for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
		so_far += sum(c, kind, number, columns + i, false);
		name_labels(o, kind, name, site);
		seconds(1ull << (METRIC_BUCKET_FIRST + i), le);
		label(o, "le", i + 1 < METRIC_BUCKETS ? le : "+Inf");
		(void)snprintf(text, sizeof text, "%llu", (unsigned long long)so_far);
		sample(o, "_bucket", text);
	}
	name_labels(o, kind, name, site);
	seconds(sum(c, kind, number, at, false), text);
	sample(o, "_sum", text);
	name_labels(o, kind, name, site);
	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)so_far);
	sample(o, "_count", text);
}

static void rows(struct out *o, const struct ctl *c, enum metrics_kind kind, const struct metric_row *all,
	unsigned columns)
{
	char **names = c->metrics.names[kind];

	for (unsigned at = 0; at < columns; at++) {
		if (at == 0 || strcmp(all[at].name, all[at - 1].name) != 0)
			family(o, &all[at], (enum metric_type)all[at].type);
		for (unsigned i = 0; names && i < names_max[kind]; i++) {
			char site[64], mem[32], text[32];

			if (!names[i])
				continue;
			if (all[at].type == METRIC_HISTOGRAM) {
				histogram(o, c, kind, i, columns, at);
				continue;
			}
			name_labels(o, kind, names[i], site);
			own_label(o, &all[at], mem);
			if (strcmp(all[at].unit, "seconds") != 0) {
				count(o, sum(c, kind, i, at, all[at].type == METRIC_GAUGE));
				continue;
			}
			/* Counted in microseconds. */
			seconds(sum(c, kind, i, at, false), text);
			sample(o, "", text);
		}
	}
}

/* ---- gates ---- */

static void gate_label(struct out *o, unsigned i, char mem[12])
{
	(void)snprintf(mem, 12, "%u", i);
	label(o, "gate", mem);
}

static void gates(struct out *o, const struct ctl *c)
{
	char mem[12];

	for (enum metric m = 0; m < METRIC_END; m++) {
		bool gauge = !metric_is_counter(m);

		family(o, &metric_rows[m], gauge ? METRIC_GAUGE : METRIC_COUNTER);
		for (unsigned i = 0; i < CTL_GATES_MAX; i++) {
			const struct gate_peer *g = &c->gate[i];

			if (!g->counters || (gauge && !is_current(g)))
				continue;
			gate_label(o, i, mem);
			count(o, atomic_load_explicit(&g->counters->gate[m], memory_order_relaxed));
		}
	}
	family(o, &proc_metric_rows[PROC_METRIC_CONNS_IDLE], METRIC_GAUGE);
	for (unsigned i = 0; i < CTL_GATES_MAX; i++) {
		const struct counters_page *p = is_current(&c->gate[i]) ? c->gate[i].counters : NULL;
		uint64_t open, active;

		if (!p)
			continue;
		open = atomic_load_explicit(&p->gate[METRIC_CONNS_OPEN], memory_order_relaxed);
		active = atomic_load_explicit(&p->gate[METRIC_CONNS_ACTIVE], memory_order_relaxed);
		gate_label(o, i, mem);
		count(o, open > active ? open - active : 0);
	}
}

/* ---- processes ---- */

static uint64_t resident_bytes(int pid)
{
	char path[48], text[128];
	unsigned long long pages = 0;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/statm", pid);
	fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	if (sscanf(text, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t process_value(const struct msg_proc_state *st, enum proc_metric m)
{
	switch (m) {
	case PROC_METRIC_PROCESS_UP:
		return st->phase == PHASE_UP;
	case PROC_METRIC_PROCESS_RESTARTS:
		return st->restarts;
	case PROC_METRIC_PROCESS_MEMORY:
		return resident_bytes(st->pid);
	default:
		return 0;
	}
}

static void process_sample(struct out *o, const struct ctl *c, const struct msg_proc_state *st, enum proc_metric m)
{
	char index[12], text[32];

	label(o, "role", proc_rows[st->role].name);
	(void)snprintf(index, sizeof index, "%u", (unsigned)st->index);
	label(o, "index", index);
	if (st->role == PROC_WORKER || st->role == PROC_SERVICE)
		label(o, "app", apps_owner(c, st->app)->name);
	if (m == PROC_METRIC_PROCESS_START) {
		seconds(st->since_wall_us, text);
		sample(o, "", text);
	} else {
		count(o, process_value(st, m));
	}
}

static bool is_slot(const struct ctl *c, unsigned i)
{
	const struct msg_proc_state *st = &c->procs[i].st;

	if (st->role <= PROC_NONE || st->role >= PROC_END)
		return false;
	/* Two generations share a slot while one replaces the other: the newer counts. */
	for (unsigned k = 0; k < c->procs_n; k++) {
		const struct msg_proc_state *other = &c->procs[k].st;

		if (k != i && other->role == st->role && other->index == st->index && other->app == st->app &&
			(other->generation > st->generation || (other->generation == st->generation && k < i)))
			return false;
	}
	return true;
}

static void processes(struct out *o, const struct ctl *c)
{
	struct msg_proc_state parent = {.role = PROC_PARENT,
		.phase = PHASE_UP,
		.pid = getppid(),
		.since_wall_us = c->parent_since_us};

	for (enum proc_metric m = PROC_METRIC_PROCESS_UP; m <= PROC_METRIC_PROCESS_MEMORY; m++) {
		family(o, &proc_metric_rows[m], (enum metric_type)proc_metric_rows[m].type);
		process_sample(o, c, &parent, m);
		for (unsigned i = 0; i < c->procs_n; i++)
			if (is_slot(c, i))
				process_sample(o, c, &c->procs[i].st, m);
	}
}

static void app_workers(struct out *o, const struct ctl *c)
{
	static const struct {
		const char *name;
		enum proc_phase phase;
	} states[] = {{"up", PHASE_UP}, {"starting", PHASE_STARTING}, {"draining", PHASE_DRAINING},
		{"stopping", PHASE_STOPPING}, {"waiting", PHASE_BACKOFF}};

	family(o, &proc_metric_rows[PROC_METRIC_APP_WORKERS], METRIC_GAUGE);
	for (const struct app *a = &c->app; a; a = a->next)
		for (unsigned i = 0; a->run->workers && i < ARRAY_LEN(states); i++) {
			label(o, "app", a->name);
			label(o, "state", states[i].name);
			count(o, procs_count(c, a->run->role, a->set, states[i].phase));
		}
	family(o, &proc_metric_rows[PROC_METRIC_APP_WORKERS_WANTED], METRIC_GAUGE);
	for (const struct app *a = &c->app; a; a = a->next)
		if (a->run->workers) {
			label(o, "app", a->name);
			count(o, a->run->scaling.scaler.want);
		}
}

static void whole(struct out *o, const struct ctl *c)
{
	unsigned sites = c->sites.n;

	for (const struct app *a = &c->app; a; a = a->next)
		sites += a->run->serves;
	family(o, &proc_metric_rows[PROC_METRIC_BUILD], METRIC_GAUGE);
	label(o, "version", STEAD_VERSION);
	count(o, 1);
	family(o, &proc_metric_rows[PROC_METRIC_SITES], METRIC_GAUGE);
	count(o, sites);
	family(o, &proc_metric_rows[PROC_METRIC_SNAPSHOT], METRIC_GAUGE);
	count(o, c->snap_generation);
}

int metrics_put(const struct ctl *c, struct buf *b, bool json)
{
	struct out o = {.b = b, .json = json};

	whole(&o, c);
	processes(&o, c);
	app_workers(&o, c);
	gates(&o, c);
	rows(&o, c, METRICS_SITE, site_metric_rows, SITE_END);
	rows(&o, c, METRICS_UPSTREAM, upstream_metric_rows, UPSTREAM_END);
	return b->error;
}

/* ---- for the control socket: in pieces, as fast as the client reads ---- */

void metrics_start(struct client *cl)
{
	struct ctl *c = cl->ctl;

	buf_init(&cl->text, TEXT_MAX);
	cl->text_at = 0;
	if (metrics_put(c, &cl->text, cl->req.json) < 0) {
		buf_done(&cl->text);
		client_end(cl, VERB_EXIT_FAILED, "There is no memory for so many metrics.", "", NULL);
		return;
	}
	cl->telling = true;
	metrics_more(cl);
}

/* Whole lines, of at most so many bytes. */
static size_t piece_of(const char *p, size_t n, size_t max)
{
	const char *nl;

	if (n <= max)
		return n;
	nl = memrchr(p, '\n', max);
	return nl ? (size_t)(nl - p) + 1 : max;
}

void metrics_more(struct client *cl)
{
	while (cl->telling && !cl->sending && !cl->closed) {
		const char *p = cl->text.p + cl->text_at;
		size_t n = piece_of(p, cl->text.len - cl->text_at, (size_t)64 * 1024);

		cl->text_at += n;
		if (n && cl->req.json)
			client_say_text(cl, p, n - (p[n - 1] == '\n'));
		else if (n)
			client_say(cl, json_pack("{s:s, s:s%}", "event", "metrics", "text", p, n));
		if (cl->text_at < cl->text.len)
			continue;
		cl->telling = false;
		buf_done(&cl->text);
		client_end(cl, VERB_EXIT_DONE, "", "", NULL);
	}
}

/* ---- for a gate ---- */

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t wrote = write(fd, p, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote < 0 ? -errno : -EIO;
		p += wrote;
		n -= (size_t)wrote;
	}
	return 0;
}

/* A sealed piece of memory with the text; -errno. */
static int make_text(const struct ctl *c)
{
	int fd = memfd_create("stead-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;
	struct buf b;

	if (fd < 0)
		return -errno;
	buf_init(&b, TEXT_MAX);
	err = metrics_put(c, &b, false);
	if (err == 0)
		err = write_all(fd, b.p, b.len);
	if (err == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		err = -errno;
	buf_done(&b);
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

void metrics_tell(struct gate_peer *g)
{
	struct ctl *c = g->ctl;
	uint64_t now = loop_now_ms(c->loop);

	/* Whoever asks more often than that is told the same, so that asking costs next to nothing. */
	if (c->metrics.fd <= 0 || now - c->metrics.ms >= REUSE_MS) {
		int fd = make_text(c);

		if (fd < 0)
			return;
		if (c->metrics.fd > 0)
			close(c->metrics.fd);
		c->metrics.fd = fd;
		c->metrics.ms = now;
	}
	(void)chan_send(&g->chan, MSG_METRICS, 0, NULL, 0, NULL, 0, &c->metrics.fd, 1);
}
