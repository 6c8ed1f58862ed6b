/*
 * reap.c: the list of children, their signals and their burial.
 *
 * Called by whoever starts a process (core, workers, oneshot), by watch through parent_ops, and by
 * the loop when SIGCHLD is read. The parent is a child subreaper: what a worker left behind becomes
 * the parent's child and is buried here too. Owns every pidfd and cgroup descriptor. A process is
 * looked at before it is buried (WNOWAIT), so that its group can be killed while its number is
 * still its own.
 */
#include "mounts.h"
#include "watch.h"
#include "upgrade.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	TREE_MAX = 4096, /* processes looked at in one walk */
	SWEEP_MS_MAX = 10000,
	SWEEP_PAUSE_MS = 2,
};

void child_init(struct child *c, enum child_kind kind)
{
	*c = (struct child){.kind = (uint8_t)kind, .pidfd = -1, .cgroup_fd = -1, .lfd = LFD_INIT, .ended.kind = OP_FOREIGN};
}

static void child_list(struct parent *p, struct child *c)
{
	c->next = p->children;
	c->link = &p->children;
	if (c->next != NULL)
		c->next->link = &c->next;
	p->children = c;
}

int child_start(struct parent *p, struct child *c, struct spawn *ask, const char **ret_step)
{
	int cgroup = cgroup_make(p, ask->group, c->generation);
	pid_t pid;
	int pidfd;

	must(c->pid == 0);
	ask->cgroup_fd = cgroup;
	int e = spawn_run(ask, &pid, &pidfd, ret_step);
	if (e < 0) {
		if (cgroup >= 0) {
			close(cgroup);
			cgroup_remove(p, ask->group, c->generation);
		}
		return e;
	}
	c->pid = pid;
	c->pidfd = pidfd;
	c->cgroup_fd = cgroup;
	c->group = ask->group;
	if (c->group != NULL)
		c->group->runs++;
	child_list(p, c);
	return 0;
}

int child_adopt(struct parent *p, struct child *c, bool foreign)
{
	int e = 0;

	child_list(p, c);
	c->foreign = foreign;
	c->group = c->group_app != 0 ? limits_group(p, c->group_app - 1) : NULL;
	if (c->group != NULL)
		c->group->runs++;
	if (!foreign)
		return 0;
	if (c->pidfd >= 0 && (e = loop_add(p->loop, &c->lfd, c->pidfd)) == 0)
		loop_readable(p->loop, &c->lfd, &c->ended);
	else
		loop_defer(p->loop, &c->ended);
	return e;
}

/* The pids below `pid`, appended to list; the kernel's own file. */
static void list_children(pid_t pid, pid_t list[static TREE_MAX], unsigned *n)
{
	char path[64], *text = NULL, *at, *end;
	size_t bytes;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (sys_read_file(AT_FDCWD, path, TREE_MAX * 8, &text, &bytes) < 0)
		return;
	for (at = text; *n < TREE_MAX; at = end) {
		long v = strtol(at, &end, 10);

		if (end == at || v <= 1)
			break;
		list[(*n)++] = (pid_t)v;
	}
	free(text);
}

/* Kill a process's whole tree. Each is stopped before its children are listed, so that none is born
 * behind the list's back; a thread other than the first may still hide a child, which then shows up
 * as an orphan of ours and falls in the sweep. */
static void kill_tree(pid_t top)
{
	pid_t *list = calloc(TREE_MAX, sizeof(*list));
	unsigned n = 0;

	if (list == NULL)
		return;
	list[n++] = top;
	for (unsigned i = 0; i < n; i++) {
		kill(list[i], SIGSTOP);
		list_children(list[i], list, &n);
	}
	for (unsigned i = 0; i < n; i++)
		kill(list[i], SIGKILL);
	free(list);
}

static void kill_tree_of(const struct parent *p, const struct child *c)
{
	proc_as_begin(p, c);
	kill_tree(c->pid);
	proc_as_end(p);
}

void child_signal(struct parent *p, struct child *c, int sig, bool group)
{
	if (c->pid == 0)
		return;
	/* The number of one that is not our child may be another's by now; its pidfd never is. */
	if (c->foreign && (c->pidfd < 0 || sys_pidfd_signal(c->pidfd, 0) < 0)) {
		if (sig == SIGKILL && c->cgroup_fd >= 0)
			cgroup_kill(c->cgroup_fd);
		return;
	}
	if (sig == SIGKILL) {
		if (c->cgroup_fd >= 0)
			cgroup_kill(c->cgroup_fd);
		else
			kill_tree_of(p, c);
		kill(-c->pid, SIGKILL);
		return;
	}
	if (!group)
		sys_pidfd_signal(c->pidfd, sig);
	else if (c->cgroup_fd < 0 || !cgroup_signal(c->cgroup_fd, sig))
		kill(-c->pid, sig);
}

void child_ended(struct parent *p, struct child *c)
{
	/* What it left in its group or cgroup has lost its reason to run. */
	if (c->cgroup_fd >= 0)
		cgroup_kill(c->cgroup_fd);
	if (!c->foreign)
		kill(-c->pid, SIGKILL);
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	if (c->lfd.fd >= 0)
		loop_del(p->loop, &c->lfd);
	loop_defer_cancel(p->loop, &c->ended);
	if (c->pidfd >= 0)
		close(c->pidfd);
	c->foreign = false;
	if (c->cgroup_fd >= 0) {
		close(c->cgroup_fd);
		cgroup_remove(p, c->group, c->generation);
	}
	if (c->group != NULL)
		c->group->runs--;
	c->group = NULL;
	c->next = NULL;
	c->link = NULL;
	c->pid = 0;
	c->pidfd = c->cgroup_fd = -1;
}

int reap_init(struct parent *p)
{
	(void)p;
	return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

int child_moves(struct parent *p, struct child *c, pid_t pid)
{
	int fd, e;

	if (c->cgroup_fd < 0 || !cgroup_has(c->cgroup_fd, pid))
		return -ESRCH;
	fd = sys_pidfd_open(pid);
	if (fd < 0)
		return fd;
	/* The number was that one's when the handle was made. */
	if (!cgroup_has(c->cgroup_fd, pid)) {
		close(fd);
		return -ESRCH;
	}
	if (c->lfd.fd >= 0)
		loop_del(p->loop, &c->lfd);
	loop_defer_cancel(p->loop, &c->ended);
	if (c->pidfd >= 0)
		close(c->pidfd);
	c->pid = pid;
	c->pidfd = fd;
	c->foreign = true;
	e = loop_add(p->loop, &c->lfd, fd);
	if (e == 0)
		loop_readable(p->loop, &c->lfd, &c->ended);
	else
		loop_defer(p->loop, &c->ended);
	return 0;
}

/* As in messages: an exit code, or minus the signal. */
static int status_of(const siginfo_t *si)
{
	return si->si_code == CLD_EXITED ? si->si_status : -si->si_status;
}

static struct child *find(struct parent *p, pid_t pid)
{
	for (struct child *c = p->children; c != NULL; c = c->next)
		if (c->pid == pid)
			return c;
	return NULL;
}

static void bury(pid_t pid)
{
	siginfo_t si;

	while (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG) < 0 && errno == EINTR)
		;
}

/* Did it end because its app had no memory left? Each kill is told once, with the first death
 * behind it. */
static void note_oom(struct parent *p, struct run *r, struct cgroup_group *g)
{
	uint64_t killed = g != NULL ? limits_oom(g) : 0;

	if (killed == 0)
		return;
	/* What lies in its /tmp counts too, and would end the next one as well: that gets an empty one. */
	view_forget(r->spec);
	r->slot->oom_kills += (uint32_t)min_of(killed, (uint64_t)UINT16_MAX);
	say_oom(p, r, g, killed);
	if (r->slot->role == PROC_SERVICE && r->slot->status == -SIGKILL)
		unit_judge(r, RESULT_OOM_KILL);
}

/* Its owner hears of it. */
static void tell_owner(struct parent *p, struct child *c, int status)
{
	struct run *r;

	switch ((enum child_kind)c->kind) {
	case CHILD_RUN:
		r = container_of(c, struct run, child);
		if (!r->main_ended)
			r->slot->status = status;
		watch_event(r, WATCH_DIED);
		break;
	case CHILD_HOOK:
		r = container_of(c, struct run, hook);
		r->hook_status = status;
		watch_event(r, WATCH_HOOK);
		break;
	case CHILD_ONESHOT:
		oneshot_ended(p, container_of(c, struct oneshot, child), status);
		break;
	case CHILD_TRIAL:
		upgrade_child_ended(p, c, status);
		break;
	}
}

/* What a program started and left behind is asked to end, as its unit says, before it is killed: it is watched in the
 * place of the process that ended, one after the other. */
static bool leaves_some(struct parent *p, struct run *r)
{
	pid_t left = unit_lingers(r) ? cgroup_first(r->child.cgroup_fd, r->child.pid) : 0;

	return left != 0 && child_moves(p, &r->child, left) == 0;
}

/* It ended, and may still be a zombie; status: as in messages. */
static void take_end(struct parent *p, struct child *c, int status, bool dumped)
{
	struct run *r = c->kind == CHILD_RUN ? container_of(c, struct run, child) : NULL;
	struct cgroup_group *g = c->group;
	bool left = r != NULL && leaves_some(p, r);

	if (!left)
		child_ended(p, c);
	if (r == NULL) {
		tell_owner(p, c, status);
		return;
	}
	if (!r->main_ended) {
		r->slot->dumped = dumped;
		r->slot->status = status;
	}
	note_oom(p, r, g);
	if (!left)
		tell_owner(p, c, status);
	else if (!r->main_ended)
		watch_event(r, WATCH_LEFT);
}

void child_on_foreign_end(struct loop *l, struct op *op, int res)
{
	struct child *c = container_of(op, struct child, ended);
	struct parent *p = c->kind == CHILD_RUN	   ? container_of(c, struct run, child)->slot->parent
			   : c->kind == CHILD_HOOK ? container_of(c, struct run, hook)->slot->parent
						   : container_of(c, struct oneshot, child)->parent;

	siginfo_t si = {.si_pid = 0};
	pid_t pid = c->pid;

	(void)l;
	(void)res;
	/* Whoever had started it is gone, and it became ours. */
	if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid != pid) {
		take_end(p, c, PROC_STATUS_UNKNOWN, false);
		return;
	}
	take_end(p, c, status_of(&si), si.si_code == CLD_DUMPED);
	bury(pid);
}

void reap_all(struct parent *p)
{
	for (;;) {
		siginfo_t si = {.si_pid = 0};

		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0) {
			if (errno == EINTR)
				continue;
			return; /* ECHILD */
		}
		if (si.si_pid == 0)
			return;
		struct child *c = find(p, si.si_pid);

		if (c == NULL) {
			bury(si.si_pid);
			continue;
		}
		take_end(p, c, status_of(&si), si.si_code == CLD_DUMPED);
		bury(si.si_pid);
	}
}

unsigned reap_sweep(struct parent *p)
{
	pid_t *list = calloc(TREE_MAX, sizeof(*list));
	unsigned left = 0;

	for (struct child *c = p->children; c != NULL; c = c->next)
		child_signal(p, c, SIGKILL, true);
	/* What is no child of ours is in no list of children. */
	if (p->cgroup_fd >= 0)
		cgroup_kill(p->cgroup_fd);
	/* Killing a parent hands its children to us, so repeating this finds every generation of
	 * them. */
	for (int waited = 0; list != NULL && waited < SWEEP_MS_MAX; waited += SWEEP_PAUSE_MS) {
		siginfo_t si = {.si_pid = 0};

		while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG) == 0 && si.si_pid != 0)
			si.si_pid = 0;
		left = 0;
		list_children(getpid(), list, &left);
		if (left == 0)
			break;
		for (unsigned i = 0; i < left; i++)
			kill_tree(list[i]);
		nanosleep(&(struct timespec){.tv_nsec = SWEEP_PAUSE_MS * 1000 * 1000}, NULL);
	}
	free(list);
	while (p->children != NULL) {
		struct child *c = p->children;

		p->children = c->next;
		if (c->pidfd >= 0)
			close(c->pidfd);
		if (c->cgroup_fd >= 0)
			close(c->cgroup_fd);
		c->pid = 0;
		c->link = NULL;
	}
	return left;
}
