/*
 * look_firewall.c: does the packet filter let strangers in at 80, 443 and sshd's port, and which rule drops them.
 *
 * Asks nft for all rules, and iptables for those that it made (nft shows their matches without values). What has to be
 * opened, and where, is noted for fix.c.
 */
#include "doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oneshot/run.h"

enum { PROGRAM_MS = 20 * 1000 };

/* All that the programs said, read once and judged for each probe. */
struct rules {
	struct buf nft, tables[4];
	bool has_nft, has_tables[4], ufw, firewalld;
};
static const char *const programs[4] = {"iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy"};

static bool find_program(const char *name, char ret[64])
{
	static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		(void)snprintf(ret, 64, "%s/%s", folders[i], name);
		if (access(ret, X_OK) == 0)
			return true;
	}
	return false;
}

/* Its whole output, when it ended well. */
static bool output(const char **argv, struct buf *ret)
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	struct run run = {.argv = argv, .envp = env, .cwd = "/", .timeout_ms = PROGRAM_MS, .output = ret};
	struct run_end end;
	char path[64];

	buf_init(ret, FW_TEXT_MAX);
	if (!find_program(argv[0], path))
		return false;
	argv[0] = path;
	return run_program(&run, &end) == 0 && end.status == 0 && !ret->error;
}

/* The tables of the old kernel interface exist only where somebody used it; asking would make them. */
static bool has_legacy(bool v6)
{
	char *text = doctor_text(v6 ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names");
	bool has = strstr(text, "filter") != NULL;

	free(text);
	return has;
}

static bool compat_in(const struct buf *nft)
{
	return memmem(nft->p, nft->len, "\"name\": \"INPUT\"", 15) || memmem(nft->p, nft->len, "\"name\":\"INPUT\"", 14);
}

static void read_rules(struct rules *r)
{
	const char *nft[] = {"nft", "-j", "list", "ruleset", NULL};
	char *conf = doctor_text("/etc/ufw/ufw.conf");

	r->has_nft = output(nft, &r->nft);
	for (unsigned i = 0; i < ARRAY_LEN(programs); i++) {
		const char *tables[] = {programs[i], "-S", NULL};

		buf_init(&r->tables[i], FW_TEXT_MAX);
		if (i >= 2 ? has_legacy(i == 3) : r->has_nft && compat_in(&r->nft))
			r->has_tables[i] = output(tables, &r->tables[i]);
	}
	r->firewalld = access("/run/firewalld", F_OK) == 0;
	r->ufw = strstr(conf, "\nENABLED=yes") != NULL;
	free(conf);
}

static void rules_done(struct rules *r)
{
	buf_done(&r->nft);
	for (unsigned i = 0; i < ARRAY_LEN(programs); i++)
		buf_done(&r->tables[i]);
}

static int judge(const struct doctor *d, const struct rules *r, bool v6, uint16_t port, struct fw *fw, struct fw_end *ret)
{
	struct fw_probe probe = {.v6 = v6, .port = port, .iface = d->iface};
	int e = 0;

	fw_init(fw, &probe);
	if (r->has_nft)
		e = fw_read_nft(fw, r->nft.p, r->nft.len, r->has_tables[0]);
	for (unsigned i = 0; i < ARRAY_LEN(programs) && e == 0; i++)
		if (r->has_tables[i] && (i % 2 == 1) == v6)
			e = fw_read_tables(fw, programs[i], r->tables[i].p ? r->tables[i].p : "", r->tables[i].len);
	return e < 0 ? e : fw_eval(fw, ret);
}

/* A rule of nftables as nft prints it. */
static void nft_text(const struct fw_drop *drop, char *ret, size_t cap)
{
	const char *argv[] = {"nft", "-a", "list", "chain", drop->chain->family, drop->chain->table, drop->chain->name, NULL};
	char handle[40];
	struct buf b;
	const char *at, *from;

	(void)snprintf(ret, cap, "rule %u", drop->rule->handle);
	(void)snprintf(handle, sizeof handle, " # handle %u\n", drop->rule->handle);
	if (output(argv, &b) && (at = strstr(buf_str(&b), handle)) != NULL) {
		for (from = at; from > b.p && from[-1] != '\n'; from--)
			;
		from += strspn(from, " \t");
		(void)snprintf(ret, cap, "`%.*s` (handle %u)", (int)min_of(at - from, (ptrdiff_t)200), from, drop->rule->handle);
	}
	buf_done(&b);
}

static void add_place(struct doctor *d, const char *place)
{
	size_t n = strlen(d->places), len = strlen(place);

	for (const char *at = d->places; (at = strstr(at, place)) != NULL; at += len)
		if ((at == d->places || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return;
	if (n + len + 2 < sizeof d->places)
		(void)snprintf(d->places + n, sizeof d->places - n, "%s%s", n ? " " : "", place);
}

/* Where it is opened, and what makes it last. */
static void place_of(struct doctor *d, const struct rules *r, const struct fw_drop *drop)
{
	const struct fw_chain *c = drop->chain;
	char place[400];

	if (r->ufw && strcmp(c->tool, "nft") != 0) {
		add_place(d, "ufw");
		return;
	}
	if (strcmp(c->table, "firewalld") == 0 || (r->firewalld && strcmp(c->tool, "nft") != 0)) {
		add_place(d, "firewalld");
		return;
	}
	if (strcmp(c->tool, "nft") == 0) {
		(void)snprintf(place, sizeof place, "nft/%s/%s/%s/%u", c->family, c->table, c->name, drop->rule ? drop->rule->handle : 0);
		(void)snprintf(d->until, sizeof d->until,
			"write into /etc/nftables.conf, in chain %s of table %s %s: tcp dport { {} } accept", c->name, c->family, c->table);
	} else {
		(void)snprintf(place, sizeof place, "%s/%s/%u", c->tool, c->name, drop->rule ? drop->rule->number : 0);
		(void)snprintf(d->until, sizeof d->until, "netfilter-persistent save, or what else you keep rules with");
	}
	add_place(d, place);
}

static void tell_drop(struct doctor *d, const struct rules *r, bool v6, uint16_t port, bool ssh, const struct fw_drop *drop)
{
	const struct fw_chain *c = drop->chain;
	char rule[320] = "policy drop";

	if (drop->rule && strcmp(c->tool, "nft") == 0)
		nft_text(drop, rule, sizeof rule);
	else if (drop->rule)
		(void)snprintf(rule, sizeof rule, "rule %u `%s`", drop->rule->number, drop->rule->text);
	found(d, ssh ? FINDING_FIREWALL_SSH : FINDING_FIREWALL_DROPS, NULL, "port %u over %s: %s, table %s %s, chain %s: %s%s", port,
		v6 ? "IPv6" : "IPv4", c->tool, c->family, c->table, c->name, rule,
		r->ufw && strcmp(c->tool, "nft") != 0 ? " (ufw is active)" : "");
	place_of(d, r, drop);
	if (ssh)
		d->opens_ssh = true;
	else
		d->opens_web = true;
}

/* One port, both families. False: it could not be judged, which was told. */
static bool look_port(struct doctor *d, const struct rules *r, uint16_t port, bool ssh, bool *rules)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct fw_end end;
		struct fw fw;
		int e = judge(d, r, v6 != 0, port, &fw, &end);

		if (e < 0) {
			found(d, FINDING_FIREWALL_UNREAD, strerror(-e), "port %u", port);
			fw_done(&fw);
			return false;
		}
		*rules = *rules || end.rules;
		if (end.drops && end.some)
			found(d, FINDING_FIREWALL_SOME, NULL, "port %u over %s", port, v6 ? "IPv6" : "IPv4");
		for (unsigned i = 0; i < end.drops && !end.some; i++)
			tell_drop(d, r, v6 != 0, port, ssh, &end.drop[i]);
		fw_done(&fw);
	}
	return true;
}

void look_firewall(struct doctor *d)
{
	static const uint16_t web[] = {80, 443};
	unsigned before = (unsigned)json_array_size(d->findings);
	struct rules r = {.has_nft = false};
	bool rules = false, judged = true;

	if (!d->root) {
		found(d, FINDING_FIREWALL_UNSEEN, NULL, "%s", "");
		return;
	}
	d->places[0] = '\0';
	d->opens_ssh = d->opens_web = false;
	read_rules(&r);
	if (!r.has_nft && !r.has_tables[2] && !r.has_tables[3])
		found(d, access("/usr/sbin/nft", X_OK) == 0 ? FINDING_FIREWALL_UNREAD : FINDING_FIREWALL_NONE,
			"nft list ruleset failed", "nft");
	else {
		for (unsigned i = 0; i < ARRAY_LEN(web) && judged; i++)
			judged = look_port(d, &r, web[i], false, &rules);
		for (unsigned i = 0; i < d->nssh && judged; i++)
			judged = look_port(d, &r, d->ssh[i], true, &rules);
		if (!rules && judged)
			found(d, FINDING_FIREWALL_NONE, NULL, "%s", "");
		else if (before == json_array_size(d->findings))
			found(d, FINDING_FIREWALL_OPEN, NULL, "ports 80, 443%s", d->nssh ? " and sshd's" : "");
	}
	rules_done(&r);
}
