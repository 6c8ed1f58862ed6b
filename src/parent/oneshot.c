/*
 * oneshot.c: check, build, db and act, each started for one answer to ctl.
 *
 * Called with ctl's ONESHOT and ONESHOT_KILL, by reap.c when one ended, and when ctl died (then
 * nobody waits for the answer, and a new ctl may ask again). Owns their places and deadlines. Their
 * channel goes to ctl; the parent keeps no end of it.
 */
#include "parent.h"
#include "mounts.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ENV_MAX = 64 };

static struct oneshot *place(struct parent *p)
{
	for (unsigned i = 0; i < ONESHOTS_MAX; i++)
		if (p->oneshot[i].child.pid == 0)
			return &p->oneshot[i];
	return NULL;
}

/* What one-shots get of the user's environment besides the base: where pip finds packages, and
 * where a server in an unusual place lies. As root nothing of it. `ret` holds ENV_MAX pointers with
 * the NULL. */
static void ask_env(const struct parent *p, enum proc role, char **ret)
{
	static const char *const build[] = {"PIP_", "http_proxy=", "https_proxy=", "no_proxy=",
		"all_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=", "ALL_PROXY=", "SSL_CERT_",
		"TMPDIR=", NULL};
	static const char *const db[] = {"STEAD_PG_DIRS=", NULL};
	static const char *const alert[] = {"SSL_CERT_FILE=", NULL};
	static const char *const none[] = {NULL};
	const char *const *wanted = p->root              ? none
				    : role == PROC_BUILD ? build
				    : role == PROC_DB    ? db
				    : role == PROC_ALERT ? alert
							 : none;
	unsigned n = 0;

	for (; n < SPAWN_ENV_BASE; n++)
		ret[n] = p->env[n];
	for (char **e = environ; *e != NULL && n < ENV_MAX - 1; e++)
		for (const char *const *w = wanted; *w != NULL; w++)
			if (strncmp(*e, *w, strlen(*w)) == 0) {
				ret[n++] = *e;
				break;
			}
	ret[n] = NULL;
}

static int start(struct parent *p, struct oneshot *o, const struct msg_oneshot *m, int child_fd)
{
	char path[PATH_MAX], name[32], *env[ENV_MAX];
	const char *step;
	struct spawn ask;

	snprintf(name, sizeof(name), "stead-%s", proc_rows[m->role].name);
	spawn_init(&ask, p);
	int e = spawn_role(&ask, p, (enum proc)m->role, path);
	if (m->uid != 0) {
		ask.jail.uid = m->uid;
		ask.jail.gid = ask.jail.gid_extra = m->gid;
	}
	if (m->role == PROC_DB)
		ask.jail.gid_extra = p->postgres.gid;
	ask.argv = (char *[]){name, NULL};
	ask_env(p, (enum proc)m->role, env);
	ask.envp = env;
	ask.fd[3] = child_fd;
	o->child.generation = ++p->generation;
	if (e == 0)
		e = view_role(p, (enum proc)m->role, &ask.jail.mounts_fd, ask.failed);
	/* Where it mounts what is published. Most acts have no need of it, so its want is said by the one that has. */
	if (m->role == PROC_ACT)
		(void)view_role(p, PROC_GATE, &ask.fd[4], ask.failed);
	if (e == 0)
		e = child_start(p, &o->child, &ask, &step);
	spawn_done(&ask);
	return e;
}

static int allowed(const struct parent *p, const struct msg_oneshot *m)
{
	if (m->role >= PROC_END || proc_rows[m->role].oneshot == 0 || m->role == PROC_CLI)
		return -EINVAL;
	if (p->stop_step != STOP_NOT)
		return -ESHUTDOWN;
	return account_allowed(p, (enum proc)m->role, m->uid, m->gid);
}

void oneshot_start(struct parent *p, struct msg *m)
{
	struct msg_oneshot ask = {0};
	struct oneshot *o = place(p);
	int pair[2],
		e = msg_get(m, &ask, sizeof(ask), sizeof(ask)) < 0 ? -EINVAL : allowed(p, &ask);

	if (e == 0 && o == NULL)
		e = -EAGAIN;
	/* What is about to be looked at may have come with another word of the operator's. */
	if (e == 0 && ask.role == PROC_CHECK) {
		allow_read(p);
		allow_tell(p);
	}
	if (e == 0 && (e = sys_socketpair_seqpacket(pair)) == 0) {
		e = start(p, o, &ask, pair[1]);
		close(pair[1]);
		if (e < 0)
			close(pair[0]);
	}
	ask.err = (uint32_t)-e;
	ask.status = 0;
	if (e < 0) {
		tell_ctl(p, MSG_SPAWNED, m->h.id, &ask, sizeof(ask), NULL, 0, NULL, 0);
		return;
	}
	o->role = (uint8_t)ask.role;
	o->why = 0;
	o->id = m->h.id;
	loop_timer_in(
		p->loop, &o->timer, ask.deadline_ms != 0 ? ask.deadline_ms : ONESHOT_DEADLINE_MS);
	tell_ctl(p, MSG_SPAWNED, m->h.id, &ask, sizeof(ask), NULL, 0, pair, 1);
	close(pair[0]);
}

void oneshot_kill(struct parent *p, struct msg *m)
{
	for (unsigned i = 0; i < ONESHOTS_MAX; i++)
		if (p->oneshot[i].child.pid != 0 && p->oneshot[i].id == m->h.id)
			child_signal(p, &p->oneshot[i].child, SIGKILL, true);
}

void oneshot_kill_all(struct parent *p)
{
	for (unsigned i = 0; i < ONESHOTS_MAX; i++) {
		p->oneshot[i].why = ESHUTDOWN;
		child_signal(p, &p->oneshot[i].child, SIGKILL, true);
	}
}

void oneshot_ended(struct parent *p, struct oneshot *o, int status)
{
	struct msg_oneshot m = {.role = o->role, .status = status, .err = o->why};

	loop_timer_stop(p->loop, &o->timer);
	tell_ctl(p, MSG_EXITED, o->id, &m, sizeof(m), NULL, 0, NULL, 0);
	parent_settle_soon(p);
}

bool oneshot_none(const struct parent *p)
{
	for (unsigned i = 0; i < ONESHOTS_MAX; i++)
		if (p->oneshot[i].child.pid != 0)
			return false;
	return true;
}

void oneshot_on_timer(struct loop *l, struct op *op, int res)
{
	struct oneshot *o = container_of(op, struct oneshot, timer.op);

	(void)res;
	o->why = ETIMEDOUT;
	child_signal(o->parent, &o->child, SIGKILL, true);
	loop_timer_in(l, &o->timer, 1000); /* until it is reaped */
}
