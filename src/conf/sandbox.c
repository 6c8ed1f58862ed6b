/*
 * sandbox.c: what an app sees and may do: ProtectSystem= and its kin, paths, kinds of sockets and
 * namespaces, system calls (systemd.exec(5)).
 *
 * Called by jail.c for these values and at the end of a conf's making. A line is kept as it was
 * written and read again where it is wanted; which number a system call has is for ctl to say. Owns
 * nothing.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "conf_priv.h"
#include "lib/must.h"

struct word {
	const char *name;
	uint64_t number;
};

static const struct word families[] = {{"AF_UNIX", AF_UNIX}, {"AF_LOCAL", AF_UNIX},
	{"AF_INET", AF_INET}, {"AF_INET6", AF_INET6}, {"AF_NETLINK", AF_NETLINK},
	{"AF_PACKET", AF_PACKET}, {"AF_BLUETOOTH", AF_BLUETOOTH}, {"AF_ALG", AF_ALG},
	{"AF_VSOCK", AF_VSOCK}, {"AF_CAN", AF_CAN}, {"AF_KEY", AF_KEY}, {"AF_RDS", AF_RDS},
	{"AF_TIPC", AF_TIPC}, {"AF_QIPCRTR", 42}, {"AF_XDP", 44}, {"AF_X25", AF_X25},
	{"AF_AX25", AF_AX25}, {"AF_IPX", AF_IPX}, {"AF_APPLETALK", AF_APPLETALK},
	{"AF_NETROM", AF_NETROM}, {"AF_ROSE", AF_ROSE}, {"AF_IRDA", AF_IRDA},
	{"AF_PPPOX", AF_PPPOX}, {"AF_LLC", AF_LLC}, {"AF_NFC", AF_NFC}, {"AF_KCM", AF_KCM},
	{NULL, 0}};
static const struct word namespaces[] = {{"cgroup", CLONE_NEWCGROUP}, {"ipc", CLONE_NEWIPC},
	{"net", CLONE_NEWNET}, {"mnt", CLONE_NEWNS}, {"pid", CLONE_NEWPID}, {"user", CLONE_NEWUSER},
	{"uts", CLONE_NEWUTS}, {NULL, 0}};

/* What an app may use where nobody says anything. */
enum { FAMILIES = 1 << AF_UNIX | 1 << AF_INET | 1 << AF_INET6 | 1 << AF_NETLINK };

static const struct word *word_of(const struct word *all, const char *text, size_t n)
{
	for (; all->name != NULL; all++)
		if (strlen(all->name) == n && memcmp(all->name, text, n) == 0)
			return all;
	return NULL;
}

/* The next word at *p, its length in *ret_n; NULL: no more. */
static const char *next(const char **p, size_t *ret_n)
{
	const char *at = *p + strspn(*p, " \t");

	*ret_n = strcspn(at, " \t");
	*p = at + *ret_n;
	return *ret_n > 0 ? at : NULL;
}

static bool inverted(const char **text)
{
	bool is = **text == '~';

	*text += is;
	return is;
}

/* ---- one line ---- */

static int check_words(const struct word *all, const char *text, const char *what, const char *like,
	struct buf *why, struct buf *todo)
{
	const char *at;
	size_t n;

	(void)inverted(&text);
	while ((at = next(&text, &n)) != NULL)
		if (word_of(all, at, n) == NULL) {
			buf_printf(why, "\"%.*s\" is no kind of %s", (int)min_of(n, (size_t)40), at,
				what);
			buf_printf(todo, "for example %s", like);
			return -EINVAL;
		}
	return 0;
}

/* NAME, @SET, NAME:ERRNO, NAME:kill; that there is such a name is looked at later, where it is no
 * error. */
static int check_calls(const char *text, struct buf *why, struct buf *todo)
{
	const char *at;
	size_t n;

	(void)inverted(&text);
	while ((at = next(&text, &n)) != NULL) {
		const char *colon = memchr(at, ':', n);
		size_t name = colon != NULL ? (size_t)(colon - at) : n, i = at[0] == '@';
		char e[16];

		for (; i < name &&
			((at[i] >= 'a' && at[i] <= 'z') || (at[i] >= '0' && at[i] <= '9') ||
				at[i] == '_' || at[i] == '-');
			i++)
			;
		if (i != name || name == (at[0] == '@')) {
			buf_printf(why, "\"%.*s\" is no system call's name",
				(int)min_of(n, (size_t)40), at);
			buf_puts(todo, "write names like openat, or sets like @system-service");
			return -EINVAL;
		}
		if (colon == NULL)
			continue;
		snprintf(e, sizeof(e), "%.*s", (int)min_of(n - name - 1, sizeof(e) - 1), colon + 1);
		if (conf_errno(e) < 0) {
			buf_printf(why, "\"%s\" is no errno", e);
			buf_puts(todo, "write it like EPERM, or kill");
			return -EINVAL;
		}
	}
	return 0;
}

int conf_errno(const char *text)
{
	uint64_t n = 0;

	if (strcmp(text, "kill") == 0)
		return 0;
	for (int e = 1; e < 200; e++)
		if (strerrorname_np(e) != NULL && strcmp(strerrorname_np(e), text) == 0)
			return e;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || n > 4095)
			return -EINVAL;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	return n >= 1 && n <= 4095 ? (int)n : -EINVAL;
}

static int check_path(const char *text, struct buf *why, struct buf *todo)
{
	const char *p = text + (text[0] == '-');

	p += p[0] == '+';
	if (p[0] == '/' && strlen(p) < 4096 && strchr(p, ':') == NULL && strstr(p, "/../") == NULL)
		return 0;
	buf_printf(why, "\"%.80s\" is not an absolute path", text);
	buf_puts(todo,
		"write it from / on, without a colon; with - before it when it may be missing");
	return -EINVAL;
}

int conf_sandbox_check(const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo)
{
	(void)v;
	if (row->type == CONF_TYPE_JAILPATH)
		return check_path(text, why, todo);
	if (row == &conf_rows[CONF_SERVICE_SYSTEM_CALL_FILTER])
		return check_calls(text, why, todo);
	if (row == &conf_rows[CONF_SERVICE_RESTRICT_NAMESPACES])
		return strcmp(text, "yes") == 0 || strcmp(text, "no") == 0 ||
				       strcmp(text, "true") == 0 || strcmp(text, "false") == 0
			       ? 0
			       : check_words(
					 namespaces, text, "namespace", row->example, why, todo);
	return strcmp(text, "none") == 0
		       ? 0
		       : check_words(families, text, "socket", row->example, why, todo);
}

/* ---- the typed result ---- */

static const struct conf_value *value(const struct conf *c, enum conf_key k)
{
	return c->plain.head[k];
}

static bool written(const struct conf *c, enum conf_key k)
{
	return value(c, k) != NULL && value(c, k)->origin != CONF_FROM_DEFAULT;
}

static uint32_t system_of(const struct conf *c)
{
	static const uint32_t wishes[] = {JAIL_OFF, JAIL_ON, JAIL_FULL, JAIL_STRICT, JAIL_ON,
		JAIL_OFF, JAIL_ON, JAIL_OFF, JAIL_ON, JAIL_OFF};
	const struct conf_value *v = value(c, CONF_SERVICE_PROTECT_SYSTEM);

	return v != NULL && v->number < ARRAY_LEN(wishes) ? wishes[v->number] : JAIL_STRICT;
}

static uint32_t home_of(const struct conf *c)
{
	static const uint32_t wishes[] = {JAIL_OFF, JAIL_ON, JAIL_FULL, JAIL_ON, JAIL_ON, JAIL_OFF,
		JAIL_ON, JAIL_OFF, JAIL_ON, JAIL_OFF};
	const struct conf_value *v = value(c, CONF_SERVICE_PROTECT_HOME);

	return v != NULL && v->number < ARRAY_LEN(wishes) ? wishes[v->number] : JAIL_ON;
}

static uint32_t on_or_off(const struct conf *c, enum conf_key k)
{
	return value(c, k) == NULL || value(c, k)->number != 0 ? JAIL_ON : JAIL_OFF;
}

static void fill_families(const struct conf *c, struct msg_jail *j)
{
	bool first = true;

	if (!written(c, CONF_SERVICE_RESTRICT_ADDRESS_FAMILIES))
		return;
	j->has |= JAIL_HAS_FAMILIES;
	for (const struct conf_value *v = value(c, CONF_SERVICE_RESTRICT_ADDRESS_FAMILIES);
		v != NULL; v = v->next) {
		const char *text = v->text, *at;
		bool not = inverted(&text);
		size_t n;

		if (first && not )
			j->families = FAMILIES;
		first = false;
		while ((at = next(&text, &n)) != NULL) {
			const struct word *w = word_of(families, at, n);

			if (w != NULL && not )
				j->families &= ~(1ULL << w->number);
			else if (w != NULL)
				j->families |= 1ULL << w->number;
		}
	}
}

static void fill_namespaces(const struct conf *c, struct msg_jail *j)
{
	uint32_t all = 0;

	if (!written(c, CONF_SERVICE_RESTRICT_NAMESPACES))
		return;
	for (const struct word *w = namespaces; w->name != NULL; w++)
		all |= (uint32_t)w->number;
	j->has |= JAIL_HAS_NAMESPACES;
	for (const struct conf_value *v = value(c, CONF_SERVICE_RESTRICT_NAMESPACES); v != NULL;
		v = v->next) {
		const char *text = v->text, *at;
		size_t n;

		if (strcmp(text, "no") == 0 || strcmp(text, "false") == 0)
			j->namespaces = all;
		else if (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0)
			j->namespaces = 0;
		bool not = inverted(&text);
		if (not &&v == value(c, CONF_SERVICE_RESTRICT_NAMESPACES))
			j->namespaces = all;
		while ((at = next(&text, &n)) != NULL) {
			const struct word *w = word_of(namespaces, at, n);

			if (w != NULL && not )
				j->namespaces &= ~(uint32_t)w->number;
			else if (w != NULL)
				j->namespaces |= (uint32_t)w->number;
		}
	}
}

static void fill_paths(struct conf *c)
{
	static const struct {
		enum conf_key key;
		uint32_t kind;
	} kinds[] = {{CONF_SERVICE_READ_WRITE_PATHS, JAIL_PATH_WRITE},
		{CONF_SERVICE_READ_ONLY_PATHS, JAIL_PATH_READ},
		{CONF_SERVICE_INACCESSIBLE_PATHS, JAIL_PATH_HIDDEN},
		{CONF_SERVICE_TEMPORARY_FILE_SYSTEM, JAIL_PATH_EMPTY}};
	struct conf_jail_path *all;
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (const struct conf_value *v = value(c, kinds[i].key); v != NULL; v = v->next)
			n++;
	all = conf_alloc(c, (n + 1) * sizeof(*all));
	c->app.jail_paths = all;
	c->app.njail_paths = 0;
	for (size_t i = 0; all != NULL && i < ARRAY_LEN(kinds); i++)
		for (const struct conf_value *v = value(c, kinds[i].key); v != NULL; v = v->next) {
			const char *p = v->text + (v->text[0] == '-');

			p += p[0] == '+';
			if (p[0] == '/')
				all[c->app.njail_paths++] = (struct conf_jail_path){
					kinds[i].kind |
						(v->text[0] == '-' ? JAIL_PATH_OPTIONAL : 0),
					p};
		}
}

static void fill_calls(struct conf *c, struct msg_jail *j)
{
	const struct conf_value *v = value(c, CONF_SERVICE_SYSTEM_CALL_FILTER);
	const struct conf_value *e = value(c, CONF_SERVICE_SYSTEM_CALL_ERROR_NUMBER);
	const char **all;
	unsigned n = 0;

	for (const struct conf_value *o = v; o != NULL; o = o->next)
		n++;
	all = conf_alloc(c, (n + 1) * sizeof(*all));
	c->app.jail_calls = all;
	n = 0;
	for (; all != NULL && v != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = v->text;
	j->call_errno = e != NULL && conf_errno(e->text) > 0 ? (uint32_t)conf_errno(e->text) : 0;
}

void conf_sandbox_fill(struct conf *c)
{
	struct msg_jail *j = &c->app.jail;
	const struct conf_value *exec = value(c, CONF_SERVICE_MEMORY_DENY_WRITE_EXECUTE);
	const struct conf_value *net = value(c, CONF_SERVICE_PRIVATE_NETWORK);
	const struct conf_value *proc = value(c, CONF_SERVICE_PROTECT_PROC);

	j->system = system_of(c);
	j->home = home_of(c);
	j->tmp = on_or_off(c, CONF_SERVICE_PRIVATE_TMP);
	j->devices = on_or_off(c, CONF_SERVICE_PRIVATE_DEVICES);
	j->proc = proc == NULL || proc->number <= 1 ? JAIL_ON : JAIL_OFF;
	if (exec != NULL && exec->number != 0)
		j->flags |= JAIL_DENY_EXEC_WRITE;
	if (net != NULL && net->number != 0)
		j->flags |= JAIL_NO_NETWORK;
	if (value(c, CONF_SERVICE_PRIVATE_PIDS) != NULL && value(c, CONF_SERVICE_PRIVATE_PIDS)->number != 0)
		j->flags |= JAIL_OWN_PIDS;
	fill_families(c, j);
	fill_namespaces(c, j);
	fill_paths(c);
	fill_calls(c, j);
}

/* ---- names that nobody knows ---- */

static bool in_set(const char *names, const char *text, size_t n)
{
	const char *at;
	size_t len;

	while ((at = next(&names, &len)) != NULL)
		if (len == n && memcmp(at, text, n) == 0)
			return true;
	return false;
}

static bool known(const char *text, size_t n)
{
	for (size_t i = 0; i < calls_rows_n; i++)
		if (text[0] == '@' ? strlen(calls_rows[i].set) == n &&
					     memcmp(calls_rows[i].set, text, n) == 0
				   : in_set(calls_rows[i].names, text, n))
			return true;
	return false;
}

void conf_sandbox_find(struct conf *c)
{
	const struct conf_value *e = value(c, CONF_SERVICE_SYSTEM_CALL_ERROR_NUMBER);

	for (const struct conf_value *v = value(c, CONF_SERVICE_SYSTEM_CALL_FILTER); v != NULL;
		v = v->next) {
		const char *text = v->text, *at;
		size_t n;

		(void)inverted(&text);
		while ((at = next(&text, &n)) != NULL) {
			const char *colon = memchr(at, ':', n);
			size_t name = colon != NULL ? (size_t)(colon - at) : n;

			if (!known(at, name))
				conf_find(c, CONF_WARNING, &v->pos,
					"take it out, or correct its name",
					"SystemCallFilter=: there is no %s that is called "
					"\"%.*s\"; it is left out",
					at[0] == '@' ? "set" : "system call",
					(int)min_of(name, (size_t)40), at);
		}
	}
	if (e != NULL && conf_errno(e->text) < 0)
		conf_find(c, CONF_ERROR, &e->pos, "write it like EPERM, or kill",
			"SystemCallErrorNumber=: \"%s\" is no errno", e->text);
}
