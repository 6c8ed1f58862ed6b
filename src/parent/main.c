/*
 * main.c: stead-parent's entry: arguments, limits, the first processes, the loop.
 *
 *   stead-parent --state DIR --run RUNDIR --roles DIR [--gates N] [--lifeline FD] [--ca DIR]
 *       [--detached] [--server]
 *
 * Started by `stead up`; with --server by an init, as root: then ctl takes what /etc/stead says live by
 * itself, SIGHUP reads it again, and systemd is told how it stands (notify.c). Ends with 0 after a stop that left nothing running, 5 when the state
 * folder is not to be trusted, 7 when it is served already, else 1. Prints nothing on stdout.
 *
 * N gates are started at once, one when nothing is said; ctl tells how many there shall be (GATES)
 * when it has read the configuration.
 */
#include "adopt.h"
#include "boot.h"
#include "parent.h"
#include "places.h"
#include "state.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct args {
	const char *state, *run, *roles, *ca;
	unsigned gates;
	int lifeline, adopt, check;
	bool detached, server, fd_store;
};

static int number(const char *text, unsigned max, unsigned *ret_value)
{
	char *end;
	unsigned long v;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	v = strtoul(text, &end, 10);
	if (*end != '\0' || v > max)
		return -EINVAL;
	*ret_value = (unsigned)v;
	return 0;
}

static int parse(int argc, char **argv, struct args *ret_args)
{
	struct args a = {.lifeline = -1, .adopt = -1, .check = -1};
	unsigned fd = 0;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--detached") == 0) {
			a.detached = true;
			continue;
		}
		if (strcmp(argv[i], "--server") == 0) {
			a.server = a.fd_store = true;
			continue;
		}
		if (strcmp(argv[i], "--fd-store") == 0) {
			a.fd_store = true;
			continue;
		}
		if (value == NULL)
			return -EINVAL;
		if (strcmp(argv[i], "--state") == 0)
			a.state = value;
		else if (strcmp(argv[i], "--run") == 0)
			a.run = value;
		else if (strcmp(argv[i], "--roles") == 0)
			a.roles = value;
		else if (strcmp(argv[i], "--ca") == 0)
			a.ca = value;
		else if (strcmp(argv[i], "--gates") == 0 && number(value, GATES_MAX, &a.gates) == 0)
			;
		else if (strcmp(argv[i], "--lifeline") == 0 && number(value, INT_MAX, &fd) == 0)
			a.lifeline = (int)fd;
		else if (strcmp(argv[i], "--adopt") == 0 && number(value, INT_MAX, &fd) == 0)
			a.adopt = (int)fd;
		else if (strcmp(argv[i], "--check-state") == 0 && number(value, INT_MAX, &fd) == 0)
			a.check = (int)fd;
		else
			return -EINVAL;
		i++;
	}
	*ret_args = a;
	return a.check >= 0 || (a.state != NULL && a.run != NULL && a.roles != NULL) ? 0 : -EINVAL;
}

/* The parent's own descriptors grow with the workers; children get back what was found. */
static void raise_files(struct parent *p)
{
	struct rlimit lim = {1024, 1024};

	getrlimit(RLIMIT_NOFILE, &lim);
	/* What was found by the program that started it all, when this one goes on with its work. */
	if (p->files_hard == 0) {
		p->files_soft = lim.rlim_cur;
		p->files_hard = lim.rlim_max;
	}
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

/* Three descriptors that surely exist, so that none of ours becomes somebody's stderr. */
static void open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static void own_ring(struct parent *p)
{
	int e = logring_create(&p->own_ring);

	if (e < 0)
		fatal("parent", "no memory for the log: %s", strerror(-e));
	p->ring[RING_PARENT].fd = p->own_ring.fd;
}

/* Different for each start of a stead, and the same until it stops. */
static void name_instance(struct parent *p)
{
	uint8_t random[16];

	if (sys_random(random, sizeof(random)) < 0)
		fatal("parent", "no random numbers");
	for (unsigned i = 0; i < sizeof(random); i++)
		snprintf(p->instance + 2 * i, 3, "%02x", random[i]);
}

/* What an older version of this program, or one that was killed, has left. True: there is something. */
static bool take_over(struct parent *p, const struct args *a)
{
	int e = adopt_load(p, a->adopt, a->fd_store);

	if (e < 0)
		fatal("parent", "the state of the parent before cannot be taken over: %s%s", strerror(-e),
			a->adopt >= 0 || e == -ENOMEM ? "" : "; what it had started is ended, and the next start begins anew");
	return e > 0;
}

static void start_all(struct parent *p)
{
	char pid[24];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	say_text(p, EV_STARTED, "version", STEAD_VERSION, "pid", pid);
	if (!p->root)
		say_text(p, EV_JAIL_SKIPPED, "what",
			"users of their own, separate root folders, cgroups", NULL, NULL);
	else if (p->cgroups.why[0] != '\0')
		say_text(p, EV_JAIL_SKIPPED, "what", "limits of memory, processors and tasks",
			"why", p->cgroups.why);
	slot_want(p->log);
	slot_want(p->ctl);
	for (unsigned i = 0; i < p->gates; i++)
		slot_want(p->gate[i]);
}

static char *absolute(const char *path)
{
	char *real = realpath(path, NULL);

	if (real == NULL)
		fatal("parent", "%s: %s", path, strerror(errno));
	return real;
}

int main(int argc, char **argv)
{
	struct parent *p = calloc(1, sizeof(*p));
	struct args a;
	bool adopts;
	int e;

	open_standard();
	umask(022);
	if (p == NULL || parse(argc, argv, &a) < 0) {
		fprintf(stderr, "usage: stead-parent --state DIR --run DIR --roles DIR [--gates N] "
				"[--lifeline FD] [--ca DIR] [--detached] [--server] [--fd-store] [--adopt FD]\n"
				"       stead-parent --check-state FD\n");
		return 2;
	}
	if (a.check >= 0)
		return state_check(a.check);
	parent_init(p, &parent_real_ops);
	p->argv = argv;
	p->server.on = a.server;
	if (a.adopt < 0)
		inherit_init(p);
	if (p->server.on && (e = boot_server(a.state, a.run)) != 0)
		return e;
	p->state_dir = absolute(a.state);
	p->run_dir = absolute(a.run);
	p->roles_dir = absolute(a.roles);
	p->gates = a.gates != 0 ? a.gates : 1;
	p->root = geteuid() == 0;
	p->detached = a.detached;
	priority_init(p);
	p->ctl_first = true;
	name_instance(p);
	adopts = take_over(p, &a);
	if (!adopts && (sys_random(&p->seed, sizeof(p->seed)) < 0 || p->seed == 0))
		p->seed = (uint32_t)getpid();
	raise_files(p);
	spawn_env(p);
	if ((e = account_boot(p)) < 0)
		fatal("parent", "the accounts stead-ROLE cannot be made: %s", strerror(-e));
	if ((e = boot_state(p)) != 0)
		return e;
	if (a.ca != NULL)
		boot_ca(p, a.ca);
	if ((e = reap_init(p)) < 0 ||
		(e = loop_new_epoll(&p->loop, parent_op_table, PARENT_OP_KINDS)) < 0 ||
		(e = stop_init(p, a.lifeline)) < 0 || (!adopts && (e = core_new(p)) < 0))
		fatal("parent", "cannot start: %s", strerror(-e));
	notify_init(p);
	places_init(p);
	own_ring(p);
	allow_read(p);
	if (adopts) {
		adopt_go(p);
	} else {
		keep_limits(p);
		cgroup_init(p);
		start_all(p);
	}
	disk_init(p);
	e = loop_run(p->loop);
	if (e < 0) {
		reap_sweep(p);
		cgroup_done(p);
		fatal("parent", "the loop failed: %s", strerror(-e));
	}
	parent_done(p);
	return p->exit_code;
}
