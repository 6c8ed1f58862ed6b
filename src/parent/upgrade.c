/*
 * upgrade.c: another version is tried beside this one, and then becomes this process.
 *
 * Called with ctl's UPGRADE and UPGRADE_TRIED, when one of its processes ended, and by its timer. One after the other
 * each role's executable is started and must say READY; a gate gets the snapshot, links to the apps' workers and a
 * listener that nobody knows, and ctl asks it a real request. The new parent is given this one's state to look at; the
 * same bytes are what it goes on with when this process becomes it. Until then nothing that serves was touched, so
 * whatever fails costs nothing: the process that was tried is killed, and the reason is told.
 *
 * Owns what is tried: one process at a time, its channel and its listener.
 */
#include "upgrade.h"
#include "state.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	VERSION_MAX = 40,
	PROBE_MS = 20 * 1000,
	CHECK_MS = 2 * 1000, /* this process waits so long, and no longer */
	CALM_MS = 2 * 1000,  /* for processes to read what was sent to them */
};

/* The gate last: what it proves is worth most when all others start. */
static const uint8_t tried[] = {PROC_LOG, PROC_RESOLVE, PROC_AUTH, PROC_KEYS, PROC_CERTS, PROC_CTL, PROC_GATE};

struct upgrade {
	struct parent *parent;
	char version[VERSION_MAX], dir[PATH_MAX];
	unsigned at; /* in tried[] */
	bool good;   /* the process that is tried did what it should; it is being ended */
	bool failed; /* given up: when the process is gone, all of this goes */
	bool probing;
	struct slot slot;
	struct timer timer;
	int listener;
};

static struct run *trial(struct upgrade *u)
{
	return slot_run(&u->slot);
}

static void upgrade_free(struct upgrade *u)
{
	struct parent *p = u->parent;

	loop_timer_stop(p->loop, &u->timer);
	chan_close(&trial(u)->chan);
	if (u->listener >= 0)
		close(u->listener);
	p->upgrade = NULL;
	free(u);
}

static void tell(struct parent *p, uint64_t id, int err, const char *step, const char *why)
{
	struct msg_done m = {.err = (uint32_t)err};
	struct buf b;

	buf_init(&b, 2048);
	pack_str(&b, step);
	pack_str(&b, why);
	tell_ctl(p, MSG_UPGRADED, id, &m, sizeof(m), b.p, b.len, NULL, 0);
	buf_done(&b);
}

/* Given up; u may be gone behind it. */
static void fail(struct upgrade *u, const char *step, const char *why)
{
	struct parent *p = u->parent;

	if (u->failed)
		return;
	u->failed = true;
	say_texts(p, EV_UPGRADE_REFUSED, (const char *[]){"to", u->version, "step", step, "why", why, NULL});
	tell(p, p->upgrade_id, EPROTO, step, why);
	p->upgrade_id = 0;
	if (run_alive(trial(u)))
		child_signal(p, &trial(u)->child, SIGKILL, true);
	else
		upgrade_free(u);
}

static void fail_role(struct upgrade *u, const char *fmt, int number)
{
	char step[48], why[120];

	snprintf(step, sizeof(step), "start of stead-%s", proc_rows[u->slot.role].name);
	snprintf(why, sizeof(why), fmt, number);
	fail(u, u->probing ? "a first request" : step, why);
}

/* ---- the process that is tried ---- */

static void passed(struct upgrade *u)
{
	struct run *r = trial(u);

	u->good = true;
	loop_timer_in(u->parent->loop, &u->timer, CORE_STOP_MS);
	child_signal(u->parent, &r->child, SIGKILL, true);
}

/* A listener of its own, on a port that nobody knows: the real ones stay with who serves. */
static int open_listener(char address[static 64])
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0 ||
		getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
		int e = -errno;

		close(fd);
		return e;
	}
	snprintf(address, 64, "127.0.0.1:%u", (unsigned)ntohs(addr.sin_port));
	return fd;
}

static void probe(struct upgrade *u)
{
	struct msg_listener m = {.listener = 1, .kind = LISTENER_HTTP};
	struct parent *p = u->parent;
	struct run *r = trial(u);
	char address[64];
	struct buf b;

	u->probing = true;
	if ((u->listener = open_listener(address)) < 0) {
		fail(u, "a first request", strerror(-u->listener));
		return;
	}
	keep_give_snap(p, r);
	workers_link_all(p, r);
	services_give_gate(p, r);
	core_send(p, r, MSG_LISTENER, 0, &m, sizeof(m), address, strlen(address) + 1, &u->listener, 1);
	buf_init(&b, 256);
	pack_str(&b, address);
	tell_ctl(p, MSG_UPGRADE_TRY, p->upgrade_id, NULL, 0, b.p, b.len, NULL, 0);
	buf_done(&b);
	loop_timer_in(p->loop, &u->timer, PROBE_MS);
}

static void trial_ready(struct upgrade *u)
{
	/* Where nothing is live there is nothing to ask for. */
	if (u->slot.role == PROC_GATE && u->parent->snap_n != 0)
		probe(u);
	else
		passed(u);
}

static bool trial_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	const struct run *r = c->owner;

	return msg_allowed((enum proc)r->slot->role, PROC_PARENT, h->type, h->len, nfds);
}

static void trial_got(struct chan *c, struct msg *m)
{
	struct run *r = c->owner;
	struct parent *p = r->slot->parent;
	struct upgrade *u = p->upgrade;

	if (u->good || u->failed)
		return;
	if (!r->greeted) {
		r->greeted = m->h.type == MSG_HELLO && hear_hello(p, r, m) == 0;
		if (!r->greeted) {
			fail_role(u, "it speaks none of the messages that this version speaks", 0);
			return;
		}
		wire_start(p, r, true);
		if (r->slot->role == PROC_KEYS)
			keep_give_keys(p, r);
	} else if (m->h.type == MSG_READY && !u->probing) {
		trial_ready(u);
	}
	/* Whatever else it says is of no effect: it serves nobody. */
}

static void trial_gone(struct chan *c, int why)
{
	struct run *r = c->owner;
	struct upgrade *u = r->slot->parent->upgrade;

	/* Its end follows, and says more. */
	if (why == -EPROTO && !u->good)
		fail_role(u, "it broke the message protocol", 0);
	else if (!u->good && !u->failed)
		loop_timer_in(r->slot->parent->loop, &u->timer, 200);
}

static const struct chan_ops trial_ops = {trial_allowed, trial_got, trial_gone};

static void try_next(struct upgrade *u)
{
	struct parent *p = u->parent;
	char step[SPAWN_STEP_MAX];
	struct run *r;

	u->good = u->probing = false;
	slot_init(&u->slot, p, (enum proc)tried[u->at], 0, NULL);
	r = trial(u);
	child_init(&r->child, CHILD_TRIAL);
	/* A place that no gate of ours has. */
	u->slot.index = u->slot.at = tried[u->at] == PROC_GATE ? GATES_MAX : 0;
	r->generation = ++p->generation;
	int e = core_start(p, r, u->dir, &trial_ops, step);
	if (e < 0) {
		char why[120];

		snprintf(why, sizeof(why), "stead-%s: the step \"%s\" failed: %s", proc_rows[u->slot.role].name, step,
			strerror(-e));
		fail(u, "start", why);
		return;
	}
	loop_timer_in(p->loop, &u->timer, CORE_START_MS);
}

/* ---- the new parent ---- */

static bool all_read(struct parent *p)
{
	struct slot *core[2 + AIDES + GATES_MAX];
	unsigned n = 0;

	core[n++] = p->log;
	core[n++] = p->ctl;
	for (unsigned i = 0; i < AIDES; i++)
		core[n++] = p->aide[i];
	for (unsigned i = 0; i < p->gates; i++)
		core[n++] = p->gate[i];
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < ARRAY_LEN(core[i]->run); k++)
			if (chan_open(&core[i]->run[k].chan) && !chan_drained(&core[i]->run[k].chan))
				return false;
	return true;
}

/* The new parent's own word on these arguments and this state, before this process becomes it. */
static int check_state(struct parent *p, const char *path, char *const *argv, int state_fd)
{
	siginfo_t si = {.si_pid = 0};
	struct spawn ask;
	const char *step;
	pid_t pid;
	int pidfd;

	spawn_init(&ask, p);
	ask.path = path;
	ask.argv = argv;
	ask.envp = p->env;
	ask.fd[3] = state_fd;
	int e = spawn_run(&ask, &pid, &pidfd, &step);
	if (e < 0)
		return e;
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	bool late = poll(&ended, 1, CHECK_MS) <= 0;
	if (late)
		sys_pidfd_signal(pidfd, SIGKILL);
	while (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	close(pidfd);
	return late ? -ETIME : si.si_code == CLD_EXITED && si.si_status == 0 ? 0 : -EPROTONOSUPPORT;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t wrote = write(fd, p, n);

		if (wrote < 0)
			return -errno;
		p += wrote;
		n -= (size_t)wrote;
	}
	return 0;
}

static void hand_over(const struct state *s, bool over)
{
	for (unsigned i = 0; i < s->fds_n; i++)
		sys_cloexec(s->fds[i].fd, !over);
}

/* As it was started, but with the other folder of roles and with the state, to look at or to go on with. The array is the
 * caller's. */
static char **new_argv(struct parent *p, char *path, char *dir, const char *what, char *number)
{
	static const char roles[] = "--roles";
	unsigned n = 0, to = 1;
	char **argv;

	while (p->argv[n] != NULL)
		n++;
	if ((argv = calloc(n + 5, sizeof(*argv))) == NULL)
		return NULL;
	argv[0] = path;
	for (unsigned i = 1; i < n; i++) {
		bool own = strcmp(p->argv[i], roles) == 0 || strcmp(p->argv[i], "--adopt") == 0;

		if (own)
			i++;
		else
			argv[to++] = p->argv[i];
	}
	argv[to++] = (char *)(uintptr_t)roles;
	argv[to++] = dir;
	argv[to++] = (char *)(uintptr_t)what;
	argv[to++] = number;
	return argv;
}

/* Returns only when it did not happen: the step that failed. */
static const char *become(struct upgrade *u, int *ret_err)
{
	struct parent *p = u->parent;
	char path[PATH_MAX + 16], number[16], **check = NULL, **argv = NULL;
	const char *step = "this version's state";
	struct state state;

	snprintf(path, sizeof(path), "%s/stead-parent", u->dir);
	int fd = -1, e = state_save(p, &state);
	if (e == 0 && (fd = memfd_create("stead-state", MFD_CLOEXEC)) < 0)
		e = -errno;
	if (e == 0)
		e = write_all(fd, state.b.p, state.b.len);
	snprintf(number, sizeof(number), "%d", fd);
	if (e == 0 && ((check = new_argv(p, path, u->dir, "--check-state", (char[]){"3"})) == NULL ||
			      (argv = new_argv(p, path, u->dir, "--adopt", number)) == NULL))
		e = -ENOMEM;
	if (e == 0) {
		step = "the new parent's look at this one's state";
		e = check_state(p, path, check, fd);
	}
	if (e == 0) {
		if (p->own_ring.map != NULL)
			logring_flush(&p->own_ring);
		hand_over(&state, true);
		sys_cloexec(fd, false);
		if (p->lifeline.fd >= 0)
			sys_cloexec(p->lifeline.fd, false);
		execv(path, argv);
		step = "exec";
		e = -errno;
		hand_over(&state, false);
		if (p->lifeline.fd >= 0)
			sys_cloexec(p->lifeline.fd, true);
	}
	if (fd >= 0)
		close(fd);
	free(check);
	free(argv);
	state_done(&state);
	*ret_err = e;
	return step;
}

static void commit(struct upgrade *u)
{
	const char *step;
	int e;

	step = become(u, &e);
	fail(u, step, e == -ETIME ? "it does not end" : e == -EPROTONOSUPPORT ? "it cannot go on with it" : strerror(-e));
}

/* ---- events ---- */

void upgrade_child_ended(struct parent *p, struct child *c, int status)
{
	struct upgrade *u = p->upgrade;

	must(u != NULL && c == &trial(u)->child);
	chan_close(&trial(u)->chan);
	if (u->listener >= 0)
		close(u->listener);
	u->listener = -1;
	if (u->failed) {
		upgrade_free(u);
	} else if (!u->good) {
		fail_role(u, status < 0 ? "it was ended by signal %d" : "it ended with status %d", status < 0 ? -status : status);
	} else if (++u->at < ARRAY_LEN(tried)) {
		try_next(u);
	} else if (all_read(p)) {
		commit(u);
	} else {
		loop_timer_in(p->loop, &u->timer, CALM_MS);
	}
}

void upgrade_on_timer(struct loop *l, struct op *op, int res)
{
	struct upgrade *u = container_of(op, struct upgrade, timer.op);

	(void)l;
	(void)res;
	if (u->at >= ARRAY_LEN(tried) && all_read(u->parent))
		commit(u);
	else if (u->at >= ARRAY_LEN(tried))
		fail(u, "this version's state", "a process of stead does not read what it is told; it is ended if that lasts");
	else if (u->good || u->failed)
		child_signal(u->parent, &trial(u)->child, SIGKILL, true);
	else
		fail_role(u, u->probing ? "it was not answered in time" : "it does not say that it is ready", 0);
}

static void heard_tried(struct parent *p, struct msg *m)
{
	struct upgrade *u = p->upgrade;
	struct msg_done done;
	struct unpack unpack;
	const char *tail;
	size_t n;

	if (u == NULL || !u->probing || u->good || u->failed || msg_get(m, &done, sizeof(done), sizeof(done)) < 0)
		return;
	if (done.err == 0) {
		passed(u);
		return;
	}
	tail = msg_tail(m, sizeof(done), &n);
	unpack_init(&unpack, tail, n);
	fail(u, "a first request", unpack_str(&unpack));
}

/* ---- the question ---- */

/* A plain name: nothing that leaves the folder in which versions stand side by side. */
static bool is_version(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+~_-");

	return n > 0 && n < VERSION_MAX && s[n] == '\0' && s[0] != '.';
}

/* As root nobody else may have put there what becomes root's. */
static int look_at(const struct parent *p, const char *dir)
{
	char path[PATH_MAX + 16];
	struct stat st[2];

	snprintf(path, sizeof(path), "%s/stead-parent", dir);
	if (lstat(dir, &st[0]) < 0 || stat(path, &st[1]) < 0)
		return -errno;
	for (unsigned i = 0; p->root && i < 2; i++)
		if (st[i].st_uid != 0 || (st[i].st_mode & 022) != 0)
			return -EPERM;
	return S_ISDIR(st[0].st_mode) && S_ISREG(st[1].st_mode) ? 0 : -ENOENT;
}

static int find(struct parent *p, const struct msg *m, struct upgrade *u)
{
	const char *slash = strrchr(p->roles_dir, '/'), *version;
	struct unpack unpack;

	unpack_init(&unpack, m->payload, m->h.len);
	version = unpack_str(&unpack);
	if (!unpack_done(&unpack) || !is_version(version) || slash == NULL)
		return -EINVAL;
	snprintf(u->version, sizeof(u->version), "%s", version);
	if (snprintf(u->dir, sizeof(u->dir), "%.*s/%s", (int)(slash - p->roles_dir), p->roles_dir, version) >=
		(int)sizeof(u->dir) - 16)
		return -ENAMETOOLONG;
	return look_at(p, u->dir);
}

static void heard_start(struct parent *p, struct msg *m)
{
	struct upgrade *u = calloc(1, sizeof(*u));
	int e = u == NULL ? -ENOMEM : p->upgrade != NULL || p->rolling || p->stop_step != STOP_NOT ? -EBUSY : find(p, m, u);
	char why[200];

	/* Before anything is tried: nobody's WebSocket is cut so that another gate finds room. */
	if (e == 0 && !gates_room(p, why, sizeof(why)))
		e = -EUSERS;
	if (e < 0) {
		tell(p, m->h.id, -e, e == -EUSERS ? "the gates before" : "its folder",
			e == -EUSERS ? why : e == -EBUSY ? "another upgrade goes on, or stead is stopping" : strerror(-e));
		free(u);
		return;
	}
	u->parent = p;
	u->listener = -1;
	u->timer.op.kind = OP_UPGRADE_TIMER;
	p->upgrade = u;
	p->upgrade_id = m->h.id;
	p->upgrade_ms = loop_now_ms(p->loop);
	say_text(p, EV_UPGRADING, "from", STEAD_VERSION, "to", u->version);
	try_next(u);
}

void upgrade_heard(struct parent *p, struct msg *m)
{
	if (m->h.type == MSG_UPGRADE)
		heard_start(p, m);
	else
		heard_tried(p, m);
}

void upgrade_stop(struct parent *p)
{
	if (p->upgrade != NULL)
		fail(p->upgrade, "waiting", "stead is stopping");
}

void upgrade_done(struct parent *p)
{
	if (p->upgrade != NULL)
		upgrade_free(p->upgrade);
}
