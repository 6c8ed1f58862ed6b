/*
 * stead-ctl: the control socket, the state, the snapshot's compiler.
 *
 * Started by the parent; its descriptor 3 is the channel to it. This file is the entry: the loop,
 * START, READY and the end. Who asks for something comes through control.c; what has to happen is
 * up.c and verbs.c; what the parent is told is wants.c and sites.c. A ctl that dies is started
 * again and goes on with what STATE/state.db says (resume.c); nobody who serves waits for it.
 */
#include "deploy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/event.h"
#include "lib/sys.h"

void say(struct ctl *c, enum event id, ...)
{
	char mem[8192];
	const char *name;
	struct buf b;
	va_list ap;

	buf_fixed(&b, mem, sizeof mem);
	event_begin(&b, (uint32_t)id);
	va_start(ap, id);
	while ((name = va_arg(ap, const char *)))
		event_field_str(&b, name, va_arg(ap, const char *));
	va_end(ap);
	if (b.error || !c->ring.map)
		return;
	logring_put(&c->ring, LOGREC_EVENT, loop_wall_us(c->loop), b.p, b.len);
	loop_defer(c->loop, &c->flush);
}

static void on_flush(struct loop *l, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, flush);

	(void)l;
	(void)res;
	logring_flush(&c->ring);
}

/* Clock ticks since the machine's start, as wall time. */
static uint64_t since_of(struct ctl *c, unsigned long long ticks)
{
	struct timespec boot;
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), up_us;

	if (clock_gettime(CLOCK_BOOTTIME, &boot) < 0 || hz == 0)
		return 0;
	up_us = (uint64_t)boot.tv_sec * 1000000 + (uint64_t)boot.tv_nsec / 1000;
	return loop_wall_us(c->loop) - up_us + ticks * 1000000 / hz;
}

/* Which stead this is, when its parent does not say: a number alone may come again after a restart of the machine. */
static void name_instance(struct ctl *c)
{
	char path[64], *stat = NULL, *boot = NULL;
	const char *field;
	size_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)getppid());
	if (sys_read_file(AT_FDCWD, path, 4096, &stat, &n) < 0 ||
		sys_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, &n) < 0)
		fatal("ctl", "/proc cannot be read");
	/* The name in brackets may hold anything; the start time is the 20th field behind it. */
	field = strrchr(stat, ')');
	for (unsigned i = 0; field && i < 20; i++)
		field = strchr(field + 1, ' ');
	if (!field)
		fatal("ctl", "%s is not as expected", path);
	boot[strcspn(boot, "\n")] = '\0';
	if (!c->instance[0])
		(void)snprintf(
		c->instance, sizeof c->instance, "%.36s/%d/%.20s", boot, (int)getppid(), field + 1);
	c->instance[strcspn(c->instance, " ")] = '\0';
	c->parent_since_us = since_of(c, strtoull(field + 1, NULL, 10));
	free(stat);
	free(boot);
}

static void send_ring(struct ctl *c)
{
	struct msg_page page = {
		.kind = PAGE_LOGRING, .role = PROC_CTL, .generation = c->start.generation};

	if (logring_create(&c->ring) < 0)
		fatal("ctl", "no memory for the log ring");
	(void)parent_send(c, MSG_PAGE, 0, &page, sizeof page, NULL, 0, &c->ring.fd, 1);
}

void ctl_started(struct ctl *c)
{
	int err;

	send_ring(c);
	name_instance(c);
	c->state_fd = open(c->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->state_fd < 0)
		fatal("ctl", "%s: %s", c->state_dir, strerror(errno));
	err = state_open(c);
	if (err == 0 && !c->start.trial)
		err = restored_open(c);
	if (err == 0)
		err = state_load_apps(c);
	if (err == 0)
		err = state_load_sites(c, &c->sites);
	if (err == 0)
		err = state_load_maintenance(c);
	if (err == 0)
		err = state_load_off(c);
	if (err == 0)
		err = state_load_certs(c);
	if (err == 0)
		err = state_load_stored(c);
	if (err == 0 && c->start.trial) {
		/* It could go on with this state: all that is asked of it. */
		(void)parent_send(c, MSG_READY, 0, NULL, 0, NULL, 0, NULL, 0);
		return;
	}
	if (err == 0)
		err = sys_random(c->maintenance.token, sizeof c->maintenance.token);
	if (err < 0)
		fatal("ctl", "%s/state.db cannot be used: %s", c->state_dir, strerror(-err));
	err = control_open(c);
	if (err < 0)
		fatal("ctl", "%s/control: %s", c->state_dir, strerror(-err));
	(void)parent_send(c, MSG_READY, 0, NULL, 0, NULL, 0, NULL, 0);
	c->ready = true;
	certs_resume(c);
	resume(c);
	server_start(c);
	alerts_run(c);
}

static op_done *const ops[CTL_OP_KINDS] = {
	CHAN_OPS,
	[OP_ACCEPT] = control_on_accept,
	[OP_CLIENT_RECV] = client_on_recv,
	[OP_CLIENT_SEND] = client_on_send,
	[OP_CLIENT_TIMER] = client_on_timer,
	[OP_PROBE_CONNECT] = probe_on_connect,
	[OP_PROBE_RECV] = probe_on_recv,
	[OP_PROBE_TIMER] = probe_on_timer,
	[OP_UP_TIMER] = up_on_timer,
	[OP_UP_LOOK] = up_on_look,
	[OP_FLUSH] = on_flush,
	[OP_SCALE_TIMER] = scaling_on_timer,
	[OP_TIMED] = timers_on_timer,
	[OP_TIMED_JUMP] = timers_on_jump,
	[OP_ACME] = acme_on_timer,
	[OP_CERT_PUBLISH] = acme_publish_on_timer,
	[OP_ACME_HOOK] = acme_hook_late,
	[OP_LOCAL] = local_on_timer,
	[OP_CERT_LATE] = acme_late_on_timer,
	[OP_SERVER] = server_on_timer,
	[OP_DEPLOY_NEXT] = deploy_on_next,
	[OP_ALERTS] = alerts_on_timer,
};

int main(void)
{
	struct ctl *c = calloc(1, sizeof *c);
	int err;

	(void)umask(0077);
	if (!c)
		fatal("ctl", "no memory");
	c->state_fd = -1;
	c->listener.fd = -1;
	c->flush.kind = OP_FLUSH;
	c->ring.fd = c->ring.wake_fd = -1;
	err = loop_new_epoll(&c->loop, ops, CTL_OP_KINDS);
	if (err == 0)
		err = apps_init(c);
	if (err == 0)
		err = peers_init(c);
	if (err < 0)
		fatal("ctl", "descriptor 3 is not the parent's channel: %s", strerror(-err));
	err = loop_run(c->loop);
	if (err < 0)
		fatal("ctl", "waiting failed: %s", strerror(-err));
	logring_flush(&c->ring);
	control_close(c);
	apps_free(c);
	server_free(c);
	certs_free(c);
	stored_free_all(c);
	local_free(c);
	state_close(c);
	return 0;
}
