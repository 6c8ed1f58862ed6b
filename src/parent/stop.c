/*
 * stop.c: the end, in order: gates (drained), app processes, postgres, ctl, log, whatever is left.
 *
 * Called on SIGTERM, SIGINT, ctl's SHUTDOWN, the lifeline's end, and at the end of each turn while
 * stopping. Owns the step and the patience: each run has its own drain and grace in watch.c; a
 * second signal takes both away. Never leaves a process behind: the last step kills all that still
 * descends from the parent, whatever it did to hide.
 */
#include "parent.h"
#include "upgrade.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int stop_init(struct parent *p, int lifeline_fd)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	p->signals_op.kind = OP_SIGNALS;
	p->lifeline_op.kind = OP_LIFELINE;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigaction(SIGPIPE, &ignore, NULL);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	int e = loop_add(p->loop, &p->signals, fd);
	if (e < 0) {
		close(fd);
		return e;
	}
	loop_readable(p->loop, &p->signals, &p->signals_op);
	if (lifeline_fd < 0)
		return 0;
	sys_cloexec(lifeline_fd, true);
	if ((e = loop_add(p->loop, &p->lifeline, lifeline_fd)) == 0)
		loop_readable(p->loop, &p->lifeline, &p->lifeline_op);
	return e;
}

/* No more patience: every timer that waits for somebody's good will is over now. */
static void hurry(struct parent *p, struct slot *s)
{
	for (unsigned i = 0; s != NULL && i < ARRAY_LEN(s->run); i++) {
		struct run *r = &s->run[i];

		if (r->phase == PHASE_DRAINING)
			loop_timer_in(p->loop, &r->timer, 0);
		else if (r->phase == PHASE_STOPPING && s->role == PROC_POSTGRES)
			/* The database's own way to end at once and stay whole. */
			p->ops->signal(p, r, SIGQUIT, false);
		else if (r->phase == PHASE_STOPPING || r->phase == PHASE_ENDING ||
			 r->phase == PHASE_AFTER)
			loop_timer_in(p->loop, &r->timer, 0);
	}
}

void stop_hurry(struct parent *p)
{
	p->stop_now = true;
	for (unsigned i = 0; i < p->gates; i++)
		hurry(p, p->gate[i]);
	for (unsigned i = 0; i < AIDES; i++)
		hurry(p, p->aide[i]);
	hurry(p, p->ctl);
	hurry(p, p->log);
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			hurry(p, s);
}

void stop_begin(struct parent *p, const char *why)
{
	if (p->stop_step != STOP_NOT)
		return;
	p->stop_step = STOP_GATES;
	p->stop_ms = loop_now_ms(p->loop);
	notify_stopping(p);
	say_text(p, EV_STOPPING, "why", why, NULL, NULL);
	upgrade_stop(p);
	p->rolling = false;
	for (unsigned i = 0; i < p->gates; i++) {
		/* One that was leaving already has no longer than the others. */
		gate_hurry(p->gate[i], STOP_DRAIN_MS, STOP_DRAIN_MS);
		slot_unwant(p->gate[i]);
	}
	parent_settle_soon(p);
}

void stop_without_ctl(struct parent *p, const char *why)
{
	p->ctl_first = false; /* said once */
	if (p->stop_step != STOP_NOT)
		return;
	fprintf(stderr,
		"stead: the control process (stead-ctl) cannot be started\n  where: %s/stead-ctl, for "
		"%s\n  why: %s\n  what to do: its own words, if any, are above and in %s/boot.log; when "
		"the file is missing or may not be executed, install stead again\n",
		p->roles_dir, p->state_dir, why, p->state_dir);
	p->exit_code = 1;
	stop_begin(p, "the control process cannot be started");
}

static bool gates_down(struct parent *p)
{
	for (unsigned i = 0; i < p->gates; i++)
		if (!slot_down(p->gate[i]))
			return false;
	return true;
}

static bool aides_down(struct parent *p)
{
	for (unsigned i = 0; i < AIDES; i++)
		if (!slot_down(p->aide[i]))
			return false;
	return true;
}

/* One step; true when the next one may begin. */
static bool step_over(struct parent *p)
{
	switch ((enum stop_step)p->stop_step) {
	case STOP_GATES:
		if (!gates_down(p))
			return false;
		for (unsigned i = 0; i < AIDES; i++)
			slot_unwant(p->aide[i]);
		sets_unwant(p, false);
		oneshot_kill_all(p);
		return true;
	case STOP_APPS:
		if (!sets_down(p, false) || !oneshot_none(p) || !aides_down(p))
			return false;
		sets_unwant(p, true);
		return true;
	case STOP_POSTGRES:
		if (!sets_down(p, true))
			return false;
		slot_unwant(p->ctl);
		return true;
	case STOP_CTL:
		if (!slot_down(p->ctl))
			return false;
		/* ctl leaves it to the one that comes behind it; here comes none. */
		(void)unlinkat(p->state_fd, "control", 0);
		say_text(p, EV_STOPPED, NULL, NULL, NULL, NULL);
		if (p->own_ring.map != NULL)
			logring_flush(&p->own_ring);
		slot_unwant(p->log);
		return true;
	case STOP_LOG:
		if (!slot_down(p->log))
			return false;
		p->ops->sweep(p);
		return true;
	default:
		return false;
	}
}

void stop_settle(struct parent *p)
{
	while (p->stop_step != STOP_NOT && step_over(p))
		p->stop_step++;
	if (p->stop_step == STOP_DONE)
		loop_stop(p->loop);
}

void stop_on_signals(struct loop *l, struct op *op, int res)
{
	struct parent *p = container_of(op, struct parent, signals_op);
	struct signalfd_siginfo si;
	bool died = false;

	(void)res;
	while (loop_sys_read(l, p->signals.fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			died = true;
		} else if (si.ssi_signo == SIGHUP && p->server.on) {
			if (p->stop_step == STOP_NOT)
				notify_reload(p);
		} else if (si.ssi_signo == SIGHUP && p->detached) {
			continue; /* the terminal that started it has closed */
		} else if (p->stop_step != STOP_NOT) {
			/* One Ctrl-C may come twice: from the terminal, and passed on by the
			 * command. */
			if (loop_now_ms(l) - p->stop_ms >= STOP_TWICE_MS)
				stop_hurry(p);
		} else {
			stop_begin(p, si.ssi_signo == SIGTERM  ? "SIGTERM"
				      : si.ssi_signo == SIGINT ? "SIGINT"
							       : "SIGHUP");
		}
	}
	if (died)
		reap_all(p);
	loop_readable(l, &p->signals, &p->signals_op);
}

void stop_on_lifeline(struct loop *l, struct op *op, int res)
{
	struct parent *p = container_of(op, struct parent, lifeline_op);
	char byte;

	(void)res;
	/* Nobody writes to it: readable is its end, and a byte is nothing to act on. */
	ssize_t n = loop_sys_read(l, p->lifeline.fd, &byte, 1);
	if (n > 0 || n == -EAGAIN) {
		loop_readable(l, &p->lifeline, op);
		return;
	}
	loop_close(l, &p->lifeline);
	stop_begin(p, "the command that started it is gone");
}
