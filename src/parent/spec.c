/*
 * spec.c: what one PROC_SET says, taken apart and held to its bounds.
 *
 * Called by sets.c with ctl's messages and by whoever keeps one. The message is the parent's own copy;
 * everything in a spec points into it. Owns nothing else. Whether ctl may ask for it is for sets.c.
 */
#include "parent.h"
#include "mounts.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_MAX = 512, ENV_MAX = 1024 };

static int number_of(const char *text)
{
	int v = 0;

	for (; *text >= '0' && *text <= '9' && v < NSIG; text++)
		v = v * 10 + (*text - '0');
	return *text == '\0' && v > 0 && v < NSIG ? v : -EINVAL;
}

static int stop_signal_of(const char *name)
{
	static const struct {
		const char *name;
		int sig;
	} known[] = {{"TERM", SIGTERM}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
		{"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"KILL", SIGKILL}};

	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	if (name[0] == '\0')
		return SIGTERM;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(name, known[i].name) == 0)
			return known[i].sig;
	return number_of(name);
}

/* `n` strings and the empty one behind them, into a NULL-terminated array. */
static char **strings(struct unpack *u, uint32_t n, uint32_t max)
{
	char **v = n <= max ? calloc(n + 1, sizeof(*v)) : NULL;

	for (uint32_t i = 0; v != NULL && i < n; i++)
		v[i] = (char *)unpack_str(u);
	if (v != NULL && unpack_str(u)[0] != '\0')
		u->bad = true;
	return v;
}

/* What only a program that is not on the link may have. */
static bool service_fits(const struct spec *s)
{
	const struct msg_proc_set *set = &s->set;

	if (set->role != PROC_SERVICE)
		return set->listen == SERVICE_NONE && set->ready == SERVICE_SPAWNED;
	return set->listen <= SERVICE_PATH && set->port <= UINT16_MAX &&
	       set->ready <= SERVICE_EXITS && set->notify <= SERVICE_NOTIFY_EXEC &&
	       set->kill <= SERVICE_KILL_NONE && (set->flags & PROC_SET_LINK) == 0 &&
	       set->restart < SERVICE_RESTARTS && (set->life & ~SERVICE_LIFE_BITS) == 0 &&
	       set->restart_signal < NSIG && set->final_signal < NSIG &&
	       set->watchdog_signal < NSIG && set->reload_signal < NSIG &&
	       /* What ends by itself is asked nothing. */
	       (set->ready != SERVICE_EXITS || set->listen == SERVICE_NONE) &&
	       (set->listen != SERVICE_PATH || s->socket[0] == '/') &&
	       /* Nobody could ever say of it that it is ready. */
	       (set->listen != SERVICE_NONE || set->ready != SERVICE_PROBED) &&
	       (set->listen != SERVICE_AUTO || set->ready != SERVICE_SPAWNED) &&
	       (set->ready != SERVICE_NOTIFIES || set->notify != SERVICE_NOTIFY_NONE);
}

static bool jail_fits(const struct msg_jail *j)
{
	bool good = j->paths <= JAIL_PATHS_MAX && j->calls <= JAIL_CALLS_MAX;

	good &= j->nice >= -20 && j->nice <= 19 && j->oom_adjust >= -1000 && j->oom_adjust <= 1000;
	good &= j->umask_bits <= 0777 && j->cpu_weight >= 1 && j->cpu_weight <= 10000;
	good &= j->system <= JAIL_STRICT && j->home <= JAIL_STRICT && j->call_mode <= JAIL_CALLS_NOT;
	good &= j->call_errno < 4096;
	good &= j->io_weight >= 1 && j->io_weight <= 10000 && j->tasks_max != 0;
	for (unsigned i = 0; i < JAIL_LIMITS; i++)
		good &= j->limit[i][0] <= j->limit[i][1];
	return good && j->limits < 1U << JAIL_LIMITS;
}

/* What holds of its jail; a ctl that is older sends none, and of what nothing holds it is empty. */
static bool jail_read(struct unpack *u, struct spec *s)
{
	const char *p;
	size_t n;

	if (unpack_done(u))
		return true;
	p = unpack_bytes(u, &n);
	memcpy(&s->jail, p, min_of(n, sizeof(s->jail)));
	if (n == 0)
		return true;
	if (s->jail.version != JAIL_VERSION || !jail_fits(&s->jail))
		return false;
	s->paths = calloc(s->jail.paths + 1, sizeof(*s->paths));
	s->calls = calloc(s->jail.calls + 1, sizeof(*s->calls));
	for (uint32_t i = 0; s->paths != NULL && i < s->jail.paths; i++) {
		s->paths[i].kind = unpack_u32(u);
		s->paths[i].path = unpack_str(u);
		if (s->paths[i].path[0] != '/' ||
			((s->paths[i].kind & JAIL_PATH_KINDS) == JAIL_PATH_PLACE &&
				(i == 0 || !usual_fits(s->name, &s->paths[i - 1], &s->paths[i]))))
			return false;
	}
	for (uint32_t i = 0; s->calls != NULL && i < s->jail.calls; i++)
		s->calls[i] = unpack_u32(u);
	return s->paths != NULL && s->calls != NULL && !u->bad;
}

/* One command beside the program. */
static bool unpack_hook(struct unpack *u, struct hook *h)
{
	h->kind = unpack_u32(u);
	h->flags = unpack_u32(u);
	h->path = unpack_str(u);
	h->argc = unpack_u32(u);
	h->argv = h->argc <= ARGS_MAX ? calloc(h->argc + 1, sizeof(*h->argv)) : NULL;
	if (h->argv == NULL)
		return false;
	for (uint32_t i = 0; i < h->argc; i++)
		h->argv[i] = (char *)unpack_str(u);
	return h->kind < HOOKS && h->argc != 0 && h->path[0] == '/';
}

static char **unpack_vars(struct unpack *u)
{
	uint32_t n = unpack_u32(u);
	char **v = n <= SERVICE_VARS_MAX ? calloc(n + 1, sizeof(*v)) : NULL;

	for (uint32_t i = 0; v != NULL && i < n; i++)
		v[i] = (char *)unpack_str(u);
	return v;
}

/* What stands behind the probe's path, when there is more. */
static bool unpack_more(struct unpack *u, struct spec *s)
{
	uint32_t n = unpack_u32(u);

	s->hooks = n <= SERVICE_HOOKS_MAX ? calloc(n + 1, sizeof(*s->hooks)) : NULL;
	if (s->hooks == NULL)
		return false;
	for (; s->hooks_n < n; s->hooks_n++)
		if (!unpack_hook(u, &s->hooks[s->hooks_n]) ||
			(s->hooks_n > 0 &&
				s->hooks[s->hooks_n].kind < s->hooks[s->hooks_n - 1].kind)) {
			s->hooks_n++;
			return false;
		}
	s->pass = unpack_vars(u);
	s->unset = unpack_vars(u);
	return s->pass != NULL && s->unset != NULL && (n == 0 || s->set.role == PROC_SERVICE);
}

static bool is_whole(const struct spec *s)
{
	return s->argv != NULL && s->envp != NULL && s->stop_signal >= 0 && s->set.argc != 0 &&
	       s->path[0] == '/' && (s->cwd[0] == '/' || s->cwd[0] == '\0') &&
	       (s->set.count != 0 || s->set.wake != 0) && s->set.count <= SET_SLOTS_MAX &&
	       s->set.wake <= SET_SLOTS_MAX && s->set.nice_plus20 <= 39 &&
	       s->set.umask_bits <= 0777 && service_fits(s);
}

int spec_new(const void *bytes, size_t n, struct spec **ret_spec)
{
	struct spec *s = n >= sizeof(s->set) ? calloc(1, sizeof(*s) + n) : NULL;
	struct unpack u;

	if (s == NULL)
		return n >= sizeof(s->set) ? -ENOMEM : -EINVAL;
	s->refs = 1;
	s->mounts_fd = -1;
	s->bytes_n = n;
	memcpy(s->bytes, bytes, n);
	memcpy(&s->set, bytes, sizeof(s->set));
	unpack_init(&u, s->bytes + sizeof(s->set), n - sizeof(s->set));
	s->name = unpack_str(&u);
	s->cwd = unpack_str(&u);
	s->path = unpack_str(&u);
	s->argv = strings(&u, s->set.argc, ARGS_MAX);
	s->envp = strings(&u, s->set.envc, ENV_MAX);
	s->stop_signal = stop_signal_of(unpack_str(&u));
	s->socket = unpack_str(&u);
	s->probe = unpack_str(&u);
	if (!is_whole(s) || !jail_read(&u, s) ||
		(!unpack_done(&u) && (!unpack_more(&u, s) || !unpack_done(&u)))) {
		spec_unref(s);
		return -EINVAL;
	}
	*ret_spec = s;
	return 0;
}

struct spec *spec_ref(struct spec *s)
{
	s->refs++;
	return s;
}

void spec_unref(struct spec *s)
{
	if (s == NULL || --s->refs != 0)
		return;
	view_forget(s);
	free(s->paths);
	free(s->calls);
	for (unsigned i = 0; i < s->hooks_n; i++)
		free(s->hooks[i].argv);
	free(s->hooks);
	free(s->pass);
	free(s->unset);
	free(s->argv);
	free(s->envp);
	free(s);
}
