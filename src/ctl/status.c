/*
 * status.c: what runs, as one JSON object: sites, processes, the database, the protections that are
 * off.
 *
 * Called for the verb status. Memory is read from /proc at that moment; requests are the sums of
 * the gates' counters pages, which are input: a gate may write what it likes there.
 */
#include "deploy.h"
#include "wants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"

enum { SITES_SHOWN = 20 };

static const char *const phase_names[] = {
	[PHASE_DOWN] = "down",
	[PHASE_STARTING] = "starting",
	[PHASE_UP] = "up",
	[PHASE_DRAINING] = "draining",
	[PHASE_STOPPING] = "stopping",
	[PHASE_BACKOFF] = "waiting",
	[PHASE_PRE] = "start-pre",
	[PHASE_POST] = "start-post",
	[PHASE_ENDING] = "stop",
	[PHASE_AFTER] = "stop-post",
	[PHASE_EXITED] = "exited",
	[PHASE_DEAD] = "ended",
};

static uint64_t column(const struct ctl *c, uint32_t number, unsigned col)
{
	uint64_t sum = 0;

	/* Those beyond the bound share a row, which is nobody's own. */
	for (unsigned i = 0; i < CTL_GATES_MAX && number < COUNTER_SITES_MAX - 1; i++)
		if (c->gate[i].counters)
			sum += atomic_load_explicit(
				&c->gate[i].counters->site[number].col[col], memory_order_relaxed);
	return sum;
}

/* What is counted of it. */
static json_t *with_counts(const struct ctl *c, uint32_t number, json_t *o)
{
	static const struct {
		const char *name;
		unsigned col;
	} counts[] = {{"requests", SITE_REQUESTS}, {"errors", SITE_ERRORS_5XX},
		{"errors_4xx", SITE_ERRORS_4XX}, {"active", SITE_ACTIVE}, {"queued", SITE_QUEUED}};

	for (unsigned i = 0; o && i < ARRAY_LEN(counts); i++)
		(void)json_object_set_new(o, counts[i].name,
			json_integer((json_int_t)column(c, number, counts[i].col)));
	return o;
}

static const char *app_state(const struct ctl *c, const struct app *a)
{
	return a->run->off.stopped             ? "stopped"
	       : maintenance_is(c, a->number) ? "maintenance"
	       : trouble_ended_well(a)        ? "ended"
	       : a->run->trouble.dead       ? "failed"
	       : a->run->trouble.down       ? "failing"
					    : "live";
}

static json_t *own_site(const struct ctl *c)
{
	const struct app *a = &c->app;
	char url[CTL_URL_MAX];

	listen_url(a, url);
	return with_counts(c, a->number,
		json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:i, s:i, s:o}", "name", a->name, "url", url,
			"urls", listen_urls(c, a), "unit", off_unit(a), "state", app_state(c, a), "folder", a->folder, "workers",
			(int)procs_count(c, a->run->role, a->set, PHASE_UP), "workers_wanted",
			(int)a->run->scaling.scaler.want, "limits", protection_limits(&a->run->jail)));
}

/* Its URL by its first host name, with https where a certificate for that one is served; "" when it has none. */
static void named_url(const struct ctl *c, const char *site, const char *domain, char *ret, size_t cap)
{
	bool tls = c->https[0] && domain[0] && certs_has(c, site, domain);
	const char *port, *usual = tls ? ":443" : ":80";
	char address[CTL_ADDRESS_MAX];

	if (tls)
		(void)snprintf(address, sizeof address, "%.*s", (int)min_of(strcspn(c->https, " "), sizeof address - 1), c->https);
	else
		listen_first(&c->app, address);
	port = strrchr(address, ':');
	(void)snprintf(ret, cap, "%s%s%s", domain[0] ? (tls ? "https://" : "http://") : "", domain,
		domain[0] && port && strcmp(port, usual) != 0 ? port : "");
}

void status_url(const struct ctl *c, const struct app *a, char ret[static STATUS_URL_MAX])
{
	const char *domain = "";

	for (const struct app_value *v = a->values; v && !domain[0]; v = v->next)
		if (strcmp(v->section, "Site") == 0 && strcmp(v->key, "Domain") == 0)
			domain = v->text;
	named_url(c, a->name, domain, ret, STATUS_URL_MAX);
}

static json_t *deployed(const struct ctl *c, const struct app *a)
{
	char url[STATUS_URL_MAX];

	status_url(c, a, url);
	return with_counts(c, a->number,
		json_pack("{s:s, s:s, s:b, s:o, s:s, s:i, s:i, s:i, s:b, s:o}", "name", a->name, "url", url, "serves",
			a->run->serves, "unit", off_unit(a), "state",
			app_state(c, a), "release", (int)a->release, "workers",
			(int)procs_count(c, a->run->role, a->set, PHASE_UP), "workers_wanted",
			(int)a->run->scaling.scaler.want, "deployed", true, "limits",
			protection_limits(&a->run->jail)));
}

static json_t *site(const struct ctl *c, const struct site *s)
{
	char url[400];

	named_url(c, s->name, site_domain(s), url, sizeof url);
	return with_counts(c, s->number,
		json_pack("{s:s, s:s, s:s, s:s}", "name", s->name, "url", url, "state",
			maintenance_is(c, s->number) ? "maintenance"
			: s->kept		     ? "last good version"
						     : "live",
			"file", s->file));
}

/* The folder's own, the deployed apps; then those that somebody has to see to, then the others. */
static json_t *sites(const struct ctl *c, const char *named, bool all, unsigned *ret_more)
{
	json_t *list = json_array();

	*ret_more = 0;
	if (c->live_us == 0)
		return list;
	if (c->app.run->serves && (!named[0] || strcmp(named, c->app.name) == 0))
		(void)json_array_append_new(list, own_site(c));
	for (const struct app *a = c->app.next; a; a = a->next)
		if (a->known && (!named[0] || strcmp(named, a->name) == 0))
			(void)json_array_append_new(list, deployed(c, a));
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < c->sites.n; i++) {
			const struct site *s = c->sites.all[i];

			if ((s->kept || maintenance_is(c, s->number)) == (turn == 1) || (named[0] && strcmp(named, s->name) != 0))
				continue;
			if (all || json_array_size(list) < SITES_SHOWN)
				(void)json_array_append_new(list, site(c, s));
			else
				(*ret_more)++;
		}
	return list;
}

/* Of a program: where it is asked, and what it says of itself. */
static void with_service(json_t *o, const struct proc_info *p)
{
	const struct msg_proc_state *st = &p->st;
	static const char *const names[] = {[SERVICE_FD] = "fd",
		[SERVICE_PORT] = "port",
		[SERVICE_AUTO] = "auto",
		[SERVICE_PATH] = "path"};

	if (!o || st->role != PROC_SERVICE)
		return;
	if (st->result < RESULTS)
		(void)json_object_set_new(o, "result", json_string(service_result_names[st->result]));
	if (st->phase == PHASE_DEAD && st->result != RESULT_SUCCESS)
		(void)json_object_set_new(o, "phase", json_string("failed"));
	if (st->listen < ARRAY_LEN(names) && names[st->listen])
		(void)json_object_set_new(o, "listen", json_string(names[st->listen]));
	if (st->port && (st->listen == SERVICE_PORT || st->listen == SERVICE_AUTO))
		(void)json_object_set_new(o, "port", json_integer((json_int_t)st->port));
	if (*p->said)
		(void)json_object_set_new(o, "says", json_string(p->said));
	if (p->exposed)
		(void)json_object_set_new(o, "exposed", json_true());
}

static json_t *process(struct ctl *c, const struct msg_proc_state *st)
{
	uint64_t now = loop_wall_us(c->loop);
	uint64_t since = st->pid > 0 && st->since_wall_us <= now ? now - st->since_wall_us : 0;
	bool exact;
	/* Of postgres the server's whole family counts: each of its processes is a child of the
	 * first. As root that of other users is not ours to read; `stead status` of root is. */
	uint64_t memory = sys_memory_bytes(st->pid, st->role == PROC_POSTGRES, &exact);

	return json_pack("{s:s, s:i, s:s, s:s, s:i, s:s, s:I, s:s, s:i, s:i, s:i, s:I, s:I}", "role",
		proc_rows[st->role].name, "index", (int)st->index, "app",
		st->role == PROC_WORKER || st->role == PROC_SERVICE ? apps_owner(c, st->app)->name : "",
		"program", st->role == PROC_SERVICE ? program_name(c, st->app) : "", "pid", (int)st->pid, "phase",
		st->phase < ARRAY_LEN(phase_names) ? phase_names[st->phase] : "?", "memory",
		(json_int_t)memory, "memory_kind", exact ? "pss" : "rss", "restarts",
		(int)st->restarts, "oom_kills", (int)st->oom_kills, "status", (int)st->status, "uptime_ms", (json_int_t)(since / 1000), "generation",
		(json_int_t)st->generation);
}

/* A gate that was replaced: what it still has, and until when. */
static void with_drain(const struct ctl *c, json_t *o, const struct msg_proc_state *st)
{
	uint64_t now = loop_wall_us(c->loop);

	if (!o || st->ends_wall_us == 0)
		return;
	(void)json_object_set_new(o, "connections", json_integer(st->conns));
	(void)json_object_set_new(o, "tunnels", json_integer(st->tunnels));
	(void)json_object_set_new(o, "ends_in_ms",
		json_integer((json_int_t)((st->ends_wall_us - min_of(now, st->ends_wall_us)) / 1000)));
}

static json_t *processes(struct ctl *c)
{
	struct msg_proc_state parent = {.role = PROC_PARENT,
		.phase = PHASE_UP,
		.pid = getppid(),
		.since_wall_us = c->parent_since_us};
	json_t *list = json_array();

	(void)json_array_append_new(list, process(c, &parent));
	for (unsigned i = 0; i < c->procs_n; i++)
		if (c->procs[i].st.role < PROC_END && c->procs[i].st.role > PROC_NONE) {
			json_t *o = process(c, &c->procs[i].st);

			with_service(o, &c->procs[i]);
			with_drain(c, o, &c->procs[i].st);
			(void)json_array_append_new(list, o);
		}
	return list;
}

/* The bytes of a folder, without following links; bounded in depth. */
static uint64_t folder_bytes(int dir, const char *name, unsigned depth)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	uint64_t sum = 0;
	struct dirent *e;
	struct stat st;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sum += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode) && depth < 6)
			sum += folder_bytes(fd, e->d_name, depth + 1);
	}
	(void)closedir(d);
	return sum;
}

static json_t *database(struct ctl *c)
{
	char sockets[CTL_PATH_MAX];
	const char *state =
		procs_count(c, PROC_POSTGRES, APP_NUMBER, PHASE_UP) ? "running" : "not running";
	uint64_t bytes;
	json_t *o;

	if (!c->app.bin[0])
		return json_null();
	wants_sockets(c, sockets);
	o = json_pack("{s:s, s:s, s:s, s:s}", "name", c->app.run->database, "state", state, "socket",
		sockets, "programs", c->app.bin);
	/* As root the cluster is postgres' alone and cannot be measured from here. */
	bytes = folder_bytes(c->state_fd, "pg", 0);
	if (o && bytes > 4096)
		(void)json_object_set_new(o, "size", json_integer((json_int_t)bytes));
	return o;
}

static unsigned kept(const struct ctl *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->sites.n; i++)
		n += c->sites.all[i]->kept;
	return n;
}

static json_t *protections_off(const struct ctl *c)
{
	if (c->start.root)
		return json_array();
	return json_pack("[s, s, s, s]",
		"a system user of its own for the app and for each of stead's processes",
		"a root folder of its own for the gates",
		"a cgroup for each app: memory and CPU limits", "ports below 1024");
}

json_t *status_json(struct ctl *c, const char *site, bool all)
{
	unsigned more;
	json_t *list = sites(c, site, all, &more);

	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "state",
		c->stopping  ? "stopping"
		: c->live_us ? "live"
		: c->up      ? "starting"
			     : "idle",
		"version", STEAD_VERSION, "server", server_json(c), "folder", c->app.folder, "sites", list, "sites_more",
		(int)more, "sites_kept", (int)kept(c), "processes", processes(c), "timers",
		timers_json(c, NULL), "database",
		database(c), "protections_off", protections_off(c), "protection", protection_json(c), "certificates", certs_json(c, site),
		"left", left_json(c));
}
