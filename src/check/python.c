/*
 * python.c: which Python runs the app, and one bounded run of the detection in it.
 *
 * Called by detect.c. The run imports the user's code, so it has a process group of its own that is
 * killed at its end, a time limit, nothing on stdin, and an environment like the app's at run time
 * but with a database that cannot be reached. Its records come by a pipe of their own and are
 * input.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "lib/must.h"

enum { RUN_MS = 20000, RECORDS_MAX = 256 * 1024, NOBODY = 65534, ENV_MAX = 1100 };

static bool program_at(const char *path)
{
	return path[0] != '\0' && access(path, X_OK) == 0;
}

/* DIR/bin/python3 or DIR/bin/python. */
static bool venv_python(const char *dir, char ret[PATH_MAX])
{
	if (snprintf(ret, PATH_MAX, "%s/bin/python3", dir) < PATH_MAX && program_at(ret))
		return true;
	return snprintf(ret, PATH_MAX, "%s/bin/python", dir) < PATH_MAX && program_at(ret);
}

static bool named_python(const char *name, char ret[PATH_MAX])
{
	static const char *const dirs[] = {"/usr/bin", "/usr/local/bin", "/bin"};

	for (unsigned i = 0; i < ARRAY_LEN(dirs); i++)
		if (snprintf(ret, PATH_MAX, "%s/%s", dirs[i], name) < PATH_MAX && program_at(ret))
			return true;
	return false;
}

/* An environment in the folder, under one of the usual names. */
static bool folder_venv(const struct check *k, struct python *py)
{
	static const char *const names[] = {"venv", ".venv", "env"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		char dir[PATH_MAX], cfg[PATH_MAX + 16];

		check_path(k, names[i], dir);
		(void)snprintf(cfg, sizeof(cfg), "%s/pyvenv.cfg", dir);
		if (access(cfg, F_OK) == 0 && venv_python(dir, py->path)) {
			(void)snprintf(py->venv, sizeof(py->venv), "%s", names[i]);
			py->theirs = true;
			return true;
		}
	}
	return false;
}

/* The environment that an earlier start made in the state folder, while the folder still asks for
 * one. */
static bool state_venv(const struct check *k, struct python *py)
{
	char dir[PATH_MAX];

	if (k->state[0] == '\0' || (faccessat(k->dir, "requirements.txt", F_OK, 0) < 0 &&
					   faccessat(k->dir, "pyproject.toml", F_OK, 0) < 0 &&
					   conf_get(k->conf, CONF_PYTHON_REQUIREMENTS) == NULL))
		return false;
	if (snprintf(dir, sizeof(dir), "%s/venv", k->state) >= PATH_MAX ||
		!venv_python(dir, py->path))
		return false;
	memcpy(py->venv, dir, strlen(dir) + 1);
	return true;
}

bool python_choose(struct check *k, struct python *ret)
{
	const struct conf_value *interpreter = conf_get(k->conf, CONF_PYTHON_INTERPRETER);
	const struct conf_value *venv = conf_get(k->conf, CONF_PYTHON_VENV);
	struct python *py = ret;
	char dir[PATH_MAX];

	*py = (struct python){.path = ""};
	if (interpreter != NULL && strchr(interpreter->text, '/') != NULL)
		check_path(k, interpreter->text, py->base);
	else if (!named_python(interpreter != NULL ? interpreter->text : "python3", py->base))
		py->base[0] = '\0';
	if (venv != NULL) {
		check_path(k, venv->text, dir);
		if (venv_python(dir, py->path)) {
			(void)snprintf(py->venv, sizeof(py->venv), "%s", venv->text);
			py->theirs = true;
			return true;
		}
	}
	if (interpreter == NULL && (folder_venv(k, py) || state_venv(k, py)))
		return true;
	if (program_at(py->base)) {
		memcpy(py->path, py->base, sizeof(py->path));
		return true;
	}
	conf_find(k->conf, CONF_ERROR, interpreter != NULL ? &interpreter->pos : NULL,
		"install python3, or write Interpreter= in [Python]", "there is no Python %s",
		interpreter != NULL ? interpreter->text : "on this machine");
	return false;
}

/* The variables: like the app's at run time. Later ones come before earlier ones of the same name.
 */
static void fill_env(struct check *k, struct buf *b, char **env)
{
	const struct conf_value *name = conf_get(k->conf, CONF_SITE_NAME);
	const char *app = name != NULL ? name->text : k->name;
	const struct passwd *pw = getpwuid(k->ask.uid != 0 ? k->ask.uid : getuid());
	size_t at[ENV_MAX];
	unsigned n = 0;

	static const char *const fixed[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
		"PYTHONUNBUFFERED=1", "PGHOST=/nonexistent",
		"SECRET_KEY=placeholder-while-the-app-is-looked-at", "PORT=0"};

	for (unsigned i = 0; i < ARRAY_LEN(fixed); i++) {
		at[n++] = b->len;
		buf_printf(b, "%s%c", fixed[i], '\0');
	}
	at[n++] = b->len;
	buf_printf(b, "HOME=%s%c", pw != NULL ? pw->pw_dir : "/", '\0');
	at[n++] = b->len;
	buf_printf(b, "USER=%s%c", pw != NULL ? pw->pw_name : "nobody", '\0');
	at[n++] = b->len;
	buf_printf(b, "DATABASE_URL=postgresql:///%s?host=/nonexistent%c", app, '\0');
	at[n++] = b->len;
	buf_printf(b, "PGUSER=%s%c", app, '\0');
	at[n++] = b->len;
	buf_printf(b, "PGDATABASE=%s%c", app, '\0');
	at[n++] = b->len;
	buf_printf(b, "STEAD_APP=%s%c", app, '\0');
	at[n++] = b->len;
	buf_printf(
		b, "STATE_DIRECTORY=%s%c", k->data[0] != '\0' ? k->data : "/nonexistent", '\0');
	for (const struct conf_value *v = conf_get(k->conf, CONF_SERVICE_ENVIRONMENT);
		v != NULL && n < ENV_MAX - 1; v = v->next) {
		/* The user's own value takes the place of a fixed one. */
		for (unsigned i = 0; i < n; i++) {
			size_t len = strlen(v->part1);

			if (b->error == 0 && strncmp(b->p + at[i], v->part1, len) == 0 &&
				b->p[at[i] + len] == '=')
				at[i] = at[--n];
		}
		at[n++] = b->len;
		buf_put(b, v->text, strlen(v->text) + 1);
	}
	for (unsigned i = 0; i < n && b->error == 0; i++)
		env[i] = b->p + at[i];
	env[n] = NULL;
}

struct child {
	const struct python *py;
	char *const *env;
	char *const *argv;
	char cwd[PATH_MAX];
	uid_t uid;
	gid_t gid;
	int records, output; /* the pipes' writing ends */
};

static _Noreturn void child_run(const struct child *ch)
{
	struct rlimit none = {0, 0}, cpu = {RUN_MS / 1000 + 5, RUN_MS / 1000 + 5};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setpgid(0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)setrlimit(RLIMIT_CPU, &cpu);
	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	/* Both pipes lie above 3, because descriptor 3 is the channel. */
	if (null < 0 || dup2(null, 0) < 0 || dup2(ch->output, 1) < 0 || dup2(ch->output, 2) < 0 ||
		dup2(ch->records, 3) < 0)
		_exit(126);
	if (geteuid() == 0 &&
		(setgroups(0, NULL) < 0 || setgid(ch->gid) < 0 || setuid(ch->uid) < 0))
		_exit(126);
	/* A change of user takes it away again, so it comes behind. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chdir(ch->cwd) < 0)
		_exit(126);
	execve(ch->py->path, ch->argv, ch->env);
	_exit(127);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Keep the last bytes only. */
static void keep_tail(struct python_run *run, size_t *len, const char *p, size_t n)
{
	size_t cap = sizeof(run->output) - 1;

	if (n > cap) {
		p += n - cap;
		n = cap;
	}
	if (*len + n > cap) {
		size_t drop = *len + n - cap;

		memmove(run->output, run->output + drop, *len - drop);
		*len -= drop;
	}
	memcpy(run->output + *len, p, n);
	*len += n;
	run->output[*len] = '\0';
}

/* Read both pipes until the records end, or the time is over. */
static void listen_to(struct python_run *run, int records, int output, struct buf *b)
{
	uint64_t end = now_ms() + RUN_MS;
	struct pollfd p[2] = {{.fd = records, .events = POLLIN}, {.fd = output, .events = POLLIN}};
	size_t tail = 0;
	char mem[8192];

	while (p[0].fd >= 0) {
		uint64_t now = now_ms();
		int r = now < end ? poll(p, 2, (int)(end - now)) : 0;

		if (r == 0) {
			run->timed_out = true;
			return;
		}
		for (unsigned i = 0; i < 2 && r > 0; i++) {
			ssize_t n;

			if (p[i].fd < 0 || p[i].revents == 0)
				continue;
			n = read(p[i].fd, mem, sizeof(mem));
			if (n <= 0)
				p[i].fd = -1;
			else if (i == 0)
				buf_put(b, mem, (size_t)n);
			else
				keep_tail(run, &tail, mem, (size_t)n);
		}
	}
	/* What it printed last may still lie in the pipe. */
	while (p[1].fd >= 0 && poll(&p[1], 1, 0) > 0) {
		ssize_t n = read(p[1].fd, mem, sizeof(mem));

		if (n <= 0)
			break;
		keep_tail(run, &tail, mem, (size_t)n);
	}
}

static int spawn(struct child *ch, int ret_fds[2], pid_t *ret_pid)
{
	int rec[2], out[2];

	if (pipe2(rec, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		(void)close(rec[0]);
		(void)close(rec[1]);
		return -errno;
	}
	ch->records = rec[1];
	ch->output = out[1];
	*ret_pid = fork();
	if (*ret_pid == 0)
		child_run(ch);
	(void)close(rec[1]);
	(void)close(out[1]);
	ret_fds[0] = rec[0];
	ret_fds[1] = out[0];
	if (*ret_pid < 0) {
		(void)close(rec[0]);
		(void)close(out[0]);
		return -EAGAIN;
	}
	(void)setpgid(*ret_pid, *ret_pid);
	return 0;
}

/* Ends the group before its first process is reaped, so that the number cannot be another's yet. */
static void finish(struct python_run *run, pid_t pid)
{
	siginfo_t si = {.si_pid = 0};
	uint64_t end = now_ms() + 1000;

	while (!run->timed_out && now_ms() < end) {
		if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT | WNOHANG) == 0 &&
			si.si_pid != 0)
			break;
		(void)poll(NULL, 0, 1);
	}
	(void)kill(-pid, SIGKILL);
	(void)kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &si, WEXITED) < 0 && errno == EINTR)
		;
	run->status = si.si_code == CLD_EXITED ? si.si_status : -si.si_status;
}

/* The arguments of stead_detect.py; `paths` holds those of Path=. */
static void fill_argv(
	struct check *k, const struct python *py, struct buf *paths, const char **argv)
{
	const struct conf_value *wsgi = conf_get(k->conf, CONF_PYTHON_WSGI);
	const struct conf_value *asgi = conf_get(k->conf, CONF_PYTHON_ASGI);
	const struct conf_value *req = conf_get(k->conf, CONF_PYTHON_REQUIREMENTS);
	unsigned n = 0;

	for (const struct conf_value *v = conf_get(k->conf, CONF_PYTHON_PATH); v; v = v->next)
		buf_printf(paths, "%s\n", v->text);
	argv[n++] = py->path;
	argv[n++] = "-c";
	argv[n++] = detect_script;
	argv[n++] = "3";
	argv[n++] = k->folder;
	argv[n++] = k->name;
	argv[n++] = wsgi != NULL ? "Wsgi" : asgi != NULL ? "Asgi" : "";
	argv[n++] = wsgi != NULL ? wsgi->text : asgi != NULL ? asgi->text : "";
	argv[n++] = buf_str(paths);
	argv[n++] = py->path;
	argv[n++] = py->venv;
	argv[n++] = py->theirs ? "1" : "0";
	argv[n++] = req != NULL ? req->text : "";
	argv[n++] = "0";
	argv[n++] = (k->ask.flags & CHECK_DEPLOYS) != 0 ? "1" : "0";
	argv[n] = NULL;
}

int python_run(struct check *k, const struct python *py, struct python_run *ret)
{
	const struct conf_value *cwd = conf_get(k->conf, CONF_SERVICE_WORKING_DIRECTORY);
	struct child *ch = calloc(1, sizeof(*ch));
	char **env = calloc(ENV_MAX + 1, sizeof(*env));
	const char *argv[16];
	struct buf vars, paths, records;
	int fds[2] = {-1, -1}, r = -ENOMEM;
	pid_t pid = -1;

	*ret = (struct python_run){.status = -1};
	buf_init(&vars, 1024 * 1024);
	buf_init(&paths, 128 * 1024);
	buf_init(&records, RECORDS_MAX);
	if (ch == NULL || env == NULL)
		goto out;
	fill_env(k, &vars, env);
	fill_argv(k, py, &paths, argv);
	if (vars.error != 0 || paths.error != 0)
		goto out;
	ch->py = py;
	ch->env = env;
	ch->argv = (char *const *)argv;
	ch->uid = k->ask.uid != 0 ? k->ask.uid : NOBODY;
	ch->gid = k->ask.uid != 0 ? k->ask.gid : NOBODY;
	check_path(k, cwd != NULL ? cwd->text : ".", ch->cwd);
	r = spawn(ch, fds, &pid);
	if (r < 0)
		goto out;
	listen_to(ret, fds[0], fds[1], &records);
	finish(ret, pid);
	(void)close(fds[0]);
	(void)close(fds[1]);
	if (records.error == 0 && records.len > 0) {
		ret->records = records.p;
		ret->records_n = records.len;
		records.p = NULL;
	}
out:
	free(ch);
	free(env);
	buf_done(&vars);
	buf_done(&paths);
	buf_done(&records);
	return r;
}
