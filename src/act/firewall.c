/*
 * firewall.c: the act that opens ports 80 and 443 in a firewall that drops them, and takes that back by itself unless a
 * new connection shows that people still come in.
 *
 * It only ever adds rules that accept, right before the rule that drops (or behind the last one, where a chain's policy
 * does), so that what the operator refuses before stays refused. Nothing is closed. What was added is written to
 * STATE/firewall.undo before it is waited for: an act that is killed is undone by the next start of stead.
 */
#include "firewall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/durable.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "machine/socks.h"
#include "oneshot/run.h"

enum { PROGRAM_MS = 30 * 1000, LOOK_MS = 250, KNOWN_MAX = 65536, UNDO_BYTES_MAX = 16 * 1024 };

static const char undo_name[] = "firewall.undo";
static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

/* ---- what is asked, and what was done, as text ---- */

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < FIREWALL_NAME_MAX && s[0] != '-' && strspn(s, name_letters) == n;
}

static bool is_tables_program(const char *s)
{
	static const char *const programs[] = {
		"iptables", "ip6tables", "iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"};

	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
		if (strcmp(s, programs[i]) == 0)
			return true;
	return false;
}

/* Cuts at `by` in place; empty parts count. How many, or 0 when there are more than max. */
static unsigned cut(char *s, char by, char **part, unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		char *end = strchr(s, by);

		part[n++] = s;
		if (!end)
			return n;
		*end = '\0';
		s = end + 1;
	}
	return 0;
}

/* nft, family, table, chain, and a rule's number. */
static bool read_nft(char *const part[5], unsigned long lowest, struct firewall_change *ret)
{
	ret->tool = FIREWALL_NFT;
	if (strcmp(part[0], "nft") != 0 || !is_name(part[1]) || !is_name(part[2]) || !is_name(part[3]) ||
		strlen(part[1]) >= sizeof ret->family || !act_number(part[4], lowest, UINT32_MAX, &ret->at))
		return false;
	(void)snprintf(ret->family, sizeof ret->family, "%s", part[1]);
	(void)snprintf(ret->table, sizeof ret->table, "%s", part[2]);
	(void)snprintf(ret->chain, sizeof ret->chain, "%s", part[3]);
	return true;
}

bool firewall_place_read(const char *text, struct firewall_change *ret)
{
	char copy[512], *part[5];
	unsigned n;

	*ret = (struct firewall_change){.tool = FIREWALL_UFW};
	if (strlen(text) >= sizeof copy)
		return false;
	memcpy(copy, text, strlen(text) + 1);
	n = cut(copy, '/', part, 5);
	if (n == 1 && strcmp(part[0], "ufw") == 0)
		return true;
	if (n == 1 && strcmp(part[0], "firewalld") == 0) {
		ret->tool = FIREWALL_FIREWALLD;
		return true;
	}
	if (n == 5)
		return read_nft(part, 0, ret);
	if (n == 3 && is_tables_program(part[0]) && is_name(part[1]) && act_number(part[2], 0, UINT32_MAX, &ret->at)) {
		ret->tool = FIREWALL_TABLES;
		(void)snprintf(ret->program, sizeof ret->program, "%s", part[0]);
		(void)snprintf(ret->chain, sizeof ret->chain, "%s", part[1]);
		return true;
	}
	return false;
}

/* As firewall_undo_read() reads it. */
static void write_undo(const struct firewall_change *c, struct buf *b)
{
	switch (c->tool) {
	case FIREWALL_UFW:
		buf_printf(b, "ufw %lu\n", c->at);
		break;
	case FIREWALL_FIREWALLD:
		buf_printf(b, "firewalld %lu\n", c->at);
		break;
	case FIREWALL_NFT:
		buf_printf(b, "nft %s %s %s %lu\n", c->family, c->table, c->chain, c->at);
		break;
	case FIREWALL_TABLES:
		buf_printf(b, "tables %s %s %s\n", c->program, c->chain, c->ports);
	}
}

bool firewall_undo_read(const char *line, struct firewall_change *ret)
{
	char copy[512], *part[5];
	unsigned n;

	*ret = (struct firewall_change){.tool = FIREWALL_UFW};
	if (strlen(line) >= sizeof copy)
		return false;
	memcpy(copy, line, strlen(line) + 1);
	n = cut(copy, ' ', part, 5);
	if (n == 2 && act_number(part[1], 1, 65535, &ret->at)) {
		ret->tool = strcmp(part[0], "ufw") == 0 ? FIREWALL_UFW : FIREWALL_FIREWALLD;
		return ret->tool == FIREWALL_UFW || strcmp(part[0], "firewalld") == 0;
	}
	if (n == 5)
		return read_nft(part, 1, ret);
	if (n == 4 && strcmp(part[0], "tables") == 0 && is_tables_program(part[1]) && is_name(part[2]) && *part[3] &&
		strspn(part[3], "0123456789,") == strlen(part[3]) && strlen(part[3]) < sizeof ret->ports) {
		ret->tool = FIREWALL_TABLES;
		(void)snprintf(ret->program, sizeof ret->program, "%s", part[1]);
		(void)snprintf(ret->chain, sizeof ret->chain, "%s", part[2]);
		(void)snprintf(ret->ports, sizeof ret->ports, "%s", part[3]);
		return true;
	}
	return false;
}

/* ---- running the programs ---- */

static bool find_program(const char *name, char ret[64])
{
	static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		(void)snprintf(ret, 64, "%s/%s", folders[i], name);
		if (access(ret, X_OK) == 0)
			return true;
	}
	return false;
}

/* argv[0] is a name. 0 when it ended with 0; ret_tail may be NULL. */
static int run(struct act_ctx *ctx, const char **argv, struct run_end *ret_end)
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	struct run ask = {.argv = argv, .envp = env, .cwd = "/", .timeout_ms = PROGRAM_MS};
	char path[64];
	struct run_end end;
	int r;

	if (!find_program(argv[0], path))
		return failure_set(ctx->f, ENOENT, EXIT_CODE_FAILED, "install its package", "%s is not installed.", argv[0]);
	argv[0] = path;
	r = run_program(&ask, &end);
	if (ret_end)
		*ret_end = end;
	if (r == 0 && end.status == 0)
		return 0;
	return failure_set(ctx->f, r < 0 ? -r : EIO, EXIT_CODE_FAILED, "see what it says", "%s failed (%d): %s", path,
		r < 0 ? r : end.status, r < 0 ? strerror(-r) : end.tail);
}

/* One port of ufw or firewalld. `permanent`: for firewalld, also where it lasts. */
static int port_change(struct act_ctx *ctx, const struct firewall_change *c, bool on, bool permanent, struct run_end *end)
{
	char what[48];
	const char *ufw[] = {"ufw", on ? "allow" : "delete", on ? what : "allow", on ? "comment" : what, on ? "stead" : NULL, NULL};
	const char *firewalld[] = {"firewall-cmd", what, permanent ? "--permanent" : NULL, NULL};

	if (c->tool == FIREWALL_UFW)
		(void)snprintf(what, sizeof what, "%lu/tcp", c->at);
	else
		(void)snprintf(what, sizeof what, "--%s-port=%lu/tcp", on ? "add" : "remove", c->at);
	return run(ctx, c->tool == FIREWALL_UFW ? ufw : firewalld, end);
}

static int nft_change(struct act_ctx *ctx, struct firewall_change *c, bool on)
{
	char handle[16], ports[80];
	const char *add[] = {"nft", "--echo", "--handle", c->at ? "insert" : "add", "rule", c->family, c->table, c->chain, NULL, NULL,
		NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
	const char *remove[] = {"nft", "delete", "rule", c->family, c->table, c->chain, "handle", handle, NULL};
	struct run_end end;
	unsigned n = 8;
	char *at;
	int r;

	(void)snprintf(handle, sizeof handle, "%lu", c->at);
	if (!on)
		return run(ctx, remove, NULL);
	if (c->at) {
		add[n++] = "handle";
		add[n++] = handle;
	}
	(void)snprintf(ports, sizeof ports, "{ %s }", c->ports);
	add[n++] = "tcp";
	add[n++] = "dport";
	add[n++] = ports;
	add[n++] = "counter";
	add[n++] = "accept";
	add[n++] = "comment";
	add[n++] = "\"stead\"";
	r = run(ctx, add, &end);
	at = r == 0 ? strstr(end.tail, "# handle ") : NULL;
	if (r == 0 && (!at || (c->at = strtoul(at + 9, NULL, 10)) == 0))
		return failure_set(ctx->f, EPROTO, EXIT_CODE_FAILED, "see `nft -a list ruleset`, and remove the rule by hand",
			"nft did not say the number of the rule that it made: %s", end.tail);
	return r;
}

static int tables_change(struct act_ctx *ctx, const struct firewall_change *c, bool on)
{
	char number[16];
	const char *argv[20] = {c->program, "-w", !on ? "-D" : c->at ? "-I" : "-A", c->chain};
	static const char *const rest[] = {"-p", "tcp", "-m", "multiport", "--dports", NULL, "-m", "comment", "--comment", "stead", "-j", "ACCEPT"};
	unsigned n = 4;

	(void)snprintf(number, sizeof number, "%lu", c->at);
	if (on && c->at)
		argv[n++] = number;
	for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
		argv[n++] = rest[i] ? rest[i] : c->ports;
	return run(ctx, argv, NULL);
}

/* ---- what was done ---- */

struct opening {
	struct act_ctx *ctx;
	int state; /* the folder of the undo file */
	unsigned long port[FIREWALL_PORTS_MAX];
	char ports[FIREWALL_PORTS_TEXT];
	unsigned nports;
	struct firewall_change done[FIREWALL_CHANGES_MAX];
	unsigned ndone;
};

static int save(struct opening *o)
{
	struct buf b;
	int r;

	buf_init(&b, UNDO_BYTES_MAX);
	for (unsigned i = 0; i < o->ndone; i++)
		write_undo(&o->done[i], &b);
	r = b.error ? b.error : durable_write(o->state, undo_name, b.p, b.len, 0600);
	buf_done(&b);
	if (r < 0)
		return failure_set(o->ctx->f, -r, EXIT_CODE_FAILED, "free disk space, then try again",
			"The note of what is to be undone cannot be written (%s/%s): %s.", o->ctx->state_root, undo_name, strerror(-r));
	return 0;
}

static int undo_one(struct act_ctx *ctx, struct firewall_change *c)
{
	switch (c->tool) {
	case FIREWALL_UFW:
	case FIREWALL_FIREWALLD:
		return port_change(ctx, c, false, false, NULL);
	case FIREWALL_NFT:
		return nft_change(ctx, c, false);
	case FIREWALL_TABLES:
		return tables_change(ctx, c, false);
	}
	return -EINVAL;
}

/* The last first. What cannot be taken back stands in the undo file and in the answer. */
static int undo(struct opening *o)
{
	int r = 0;

	while (o->ndone && r == 0) {
		r = undo_one(o->ctx, &o->done[o->ndone - 1]);
		if (r == 0) {
			o->ndone--;
			r = save(o);
		}
	}
	if (r == 0)
		(void)unlinkat(o->state, undo_name, 0);
	return r;
}

static int did(struct opening *o, const struct firewall_change *c)
{
	must(o->ndone < FIREWALL_CHANGES_MAX);
	o->done[o->ndone++] = *c;
	return save(o);
}

static int open_ports(struct opening *o, struct firewall_change *c)
{
	struct run_end end;
	int r = 0;

	for (unsigned i = 0; i < o->nports && r == 0; i++) {
		c->at = o->port[i];
		r = port_change(o->ctx, c, true, false, &end);
		/* What the operator has already is not ours to take back. */
		if (r == 0 && !strstr(end.tail, "Skipping") && !strstr(end.tail, "ALREADY_ENABLED"))
			r = did(o, c);
	}
	return r;
}

static int open_place(struct opening *o, struct firewall_change *c)
{
	int r;

	memcpy(c->ports, o->ports, sizeof c->ports);
	if (c->tool == FIREWALL_UFW || c->tool == FIREWALL_FIREWALLD)
		return open_ports(o, c);
	r = c->tool == FIREWALL_NFT ? nft_change(o->ctx, c, true) : tables_change(o->ctx, c, true);
	return r == 0 ? did(o, c) : r;
}

/* ---- a new connection ---- */

struct watch {
	const struct opening *o;
	uint64_t *known;
	unsigned nknown;
	bool first;
	uint16_t ssh[SSH_PORTS_MAX];
	unsigned nssh;
	struct sock_seen found;
	bool is_found;
};

static uint64_t key_of(const struct sock_seen *s)
{
	uint64_t parts[4] = {s->local_port, s->peer_port};

	memcpy(parts + 2, s->peer, sizeof s->peer);
	return sys_checksum(parts, sizeof parts);
}

/* Where people come in by ssh that is what has to work; elsewhere one of the ports that were opened. */
static bool counts(const struct watch *w, const struct sock_seen *s)
{
	if (socks_is_loopback(s) || memcmp(s->local, s->peer, s->v6 ? 16 : 4) == 0)
		return false;
	for (unsigned i = 0; i < w->nssh; i++)
		if (w->ssh[i] == s->local_port)
			return true;
	for (unsigned i = 0; i < w->o->nports && !w->nssh; i++)
		if (w->o->port[i] == s->local_port)
			return true;
	return false;
}

static bool see(void *arg, const struct sock_seen *s)
{
	struct watch *w = arg;
	uint64_t key;

	if (!counts(w, s))
		return true;
	key = key_of(s);
	if (w->first) {
		if (w->nknown < KNOWN_MAX)
			w->known[w->nknown++] = key;
		return true;
	}
	for (unsigned i = 0; i < w->nknown; i++)
		if (w->known[i] == key)
			return true;
	w->found = *s;
	w->is_found = true;
	return false;
}

static int watch_begin(struct watch *w, const struct opening *o)
{
	*w = (struct watch){.o = o, .first = true};
	w->known = malloc(KNOWN_MAX * sizeof *w->known);
	if (!w->known)
		return -ENOMEM;
	w->nssh = socks_ssh_ports(w->ssh);
	return socks_each(SOCKS_ESTABLISHED, see, w);
}

static bool watch_until(struct watch *w, unsigned long seconds)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
	struct timespec now, end;

	(void)clock_gettime(CLOCK_BOOTTIME, &end);
	end.tv_sec += (time_t)seconds;
	w->first = false;
	do {
		(void)nanosleep(&pause, NULL);
		if (socks_each(SOCKS_ESTABLISHED, see, w) < 0 || w->is_found)
			break;
		(void)clock_gettime(CLOCK_BOOTTIME, &now);
	} while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	return w->is_found;
}

/* ---- the act ---- */

static bool read_ports(struct opening *o, const char *text)
{
	char copy[FIREWALL_PORTS_TEXT], *part[FIREWALL_PORTS_MAX];
	uint16_t ssh[SSH_PORTS_MAX];
	unsigned n, nssh = socks_ssh_ports(ssh);

	if (strlen(text) >= sizeof copy)
		return false;
	memcpy(copy, text, strlen(text) + 1);
	n = cut(copy, ' ', part, FIREWALL_PORTS_MAX);
	for (unsigned i = 0; i < n; i++) {
		unsigned long port;
		bool may;

		if (!act_number(part[i], 1, 65535, &port))
			return false;
		may = port == 80 || port == 443;
		for (unsigned k = 0; k < nssh; k++)
			may = may || ssh[k] == port;
		if (!may)
			return false;
		o->port[o->nports++] = port;
		(void)snprintf(o->ports + strlen(o->ports), sizeof o->ports - strlen(o->ports), "%s%lu", i ? "," : "", port);
	}
	return n > 0;
}

static int keep(struct opening *o, const struct watch *w)
{
	char port[16];
	int r = 0;

	/* The rest of firewalld: until now it would have been gone with its next start. */
	for (unsigned i = 0; i < o->ndone && r == 0; i++)
		if (o->done[i].tool == FIREWALL_FIREWALLD)
			r = port_change(o->ctx, &o->done[i], true, true, NULL);
	if (r == 0 && unlinkat(o->state, undo_name, 0) < 0 && errno != ENOENT)
		r = -errno;
	(void)snprintf(port, sizeof port, "%u", (unsigned)w->found.local_port);
	(void)snprintf(o->ctx->result, sizeof o->ctx->result, "kept %s", w->is_found ? port : "unasked");
	return r;
}

static int open_all(struct opening *o, char *places)
{
	char *part[FIREWALL_PLACES_MAX];
	unsigned n = cut(places, ' ', part, FIREWALL_PLACES_MAX);
	int r = n ? 0 : -EINVAL;

	for (unsigned i = 0; i < n && r == 0; i++) {
		struct firewall_change c;

		r = firewall_place_read(part[i], &c) ? open_place(o, &c) : -EINVAL;
	}
	return r;
}

int act_firewall_open(struct act_ctx *ctx, const char *places, const char *ports, const char *seconds)
{
	struct opening o = {.ctx = ctx, .state = -1};
	struct watch w = {.known = NULL};
	char copy[FIREWALL_PLACES_TEXT];
	unsigned long wait = 0;
	int r;

	if (strlen(places) >= sizeof copy || !act_number(seconds, 0, FIREWALL_WAIT_MAX, &wait) || !read_ports(&o, ports))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"stead opens ports 80, 443 and those on which sshd listens, and waits %d s at the most (asked: \"%.100s\", "
			"\"%.100s\", \"%.16s\").", FIREWALL_WAIT_MAX, places, ports, seconds);
	memcpy(copy, places, strlen(places) + 1);
	r = act_open_below(ctx->state_root, "", &o.state);
	if (r < 0)
		return failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see that the filesystem can be written", "%s: %s.", ctx->state_root, strerror(-r));
	r = watch_begin(&w, &o);
	if (r == 0)
		r = open_all(&o, copy);
	if (r == 0 && wait) {
		if (ctx->o)
			oneshot_step(ctx->o, UINT32_MAX, "opened");
		if (!watch_until(&w, wait)) {
			r = undo(&o);
			(void)snprintf(ctx->result, sizeof ctx->result, "reverted");
			goto out;
		}
	}
	if (r == 0) {
		r = keep(&o, &w);
	} else {
		struct failure why = *ctx->f;

		*ctx->f = (struct failure){0};
		if (undo(&o) == 0)
			*ctx->f = why;
	}
	if (r < 0)
		(void)failure_set(ctx->f, -r, EXIT_CODE_FAILED, "", "A place in the firewall was not understood: %.200s", places);
out:
	free(w.known);
	(void)close(o.state);
	return ctx->f->err ? -ctx->f->err : r;
}

int act_firewall_undo_left(struct act_ctx *ctx)
{
	struct opening o = {.ctx = ctx, .state = -1};
	char *text = NULL, *at;
	bool left;
	struct stat st;
	size_t n;
	int r = act_open_below(ctx->state_root, "", &o.state);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	/* Whoever could write it could have root run these programs: it is root's own, or it is nothing. */
	if (fstatat(o.state, undo_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
		(st.st_mode & 077) == 0)
		r = sys_read_file(o.state, undo_name, UNDO_BYTES_MAX, &text, &n);
	for (at = text; at && *at && o.ndone < FIREWALL_CHANGES_MAX;) {
		char *eol = strchr(at, '\n');

		if (!eol)
			break;
		*eol = '\0';
		if (firewall_undo_read(at, &o.done[o.ndone]))
			o.ndone++;
		at = eol + 1;
	}
	left = text != NULL;
	free(text);
	while (r == 0 && o.ndone) {
		/* Rules of the running kernel are gone after its start; that they are is no fault. */
		(void)undo_one(ctx, &o.done[--o.ndone]);
		*ctx->f = (struct failure){0};
	}
	if (left)
		(void)unlinkat(o.state, undo_name, 0);
	(void)close(o.state);
	return r;
}
