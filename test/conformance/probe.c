/*
 * probe.c: the program of the matrix (units.py): it writes what it sees, does what its arguments say, and tells of signals.
 *
 *   probe FOLDER KIND [WORD...]      FOLDER/log gets lines "MS KIND RUN PID WHAT VALUE", where MS is the machine's clock
 *
 * The nth run of a KIND is counted in FOLDER/KIND.runs; a WORD "N:WORD" is for that run alone. As long as FOLDER/armed is
 * not there it plays a program without faults and writes nothing, so that stead takes it as an app. It waits for a signal,
 * and then ends by it; words, in their order:
 *
 *   exit=N die=SIG sleep=MS hang        end so; wait; wait for nothing but SIGKILL
 *   on=SIG:exit=N on=SIG:stay           what a signal does
 *   on=SIG:reload                       … says RELOADING=1, and then READY=1
 *   notify=TEXT beat=MS                 say that by NOTIFY_SOCKET (a | is a new line); WATCHDOG=1 every MS
 *   child=KIND left=KIND                another process beside it; the same, and it has none of its own standing
 *   print=TEXT error=TEXT               a line of its output
 *   write=PATH read=PATH list=PATH socket=FAMILY unshare=NAME exec=map call=NAME mem=MB   try that, and write how it went
 *   dir=VARIABLE, dir=/PATH             the folders that it names: name, mode, writable, empty; then marks each
 *   arg=TEXT see=TEXT, and what has no =     nothing: what it was given is written in any case
 *   main=KIND                           a child goes on as the main process; MAINPID= is said and this one ends
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 64 * 1024, NO_ACTION = -3, RELOAD = -2, STAY = -1, WAIT_MS = 1000 };

struct probe {
	const char *folder, *kind;
	int run;
	int log; /* -1: it is quiet */
	int action[64];
	long beat_ms;
};

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

__attribute__((format(printf, 3, 4))) static void tell(const struct probe *p, const char *what, const char *fmt, ...)
{
	char text[TEXT_MAX], value[TEXT_MAX / 2];
	va_list args;
	int n;

	if (p->log < 0)
		return;
	va_start(args, fmt);
	(void)vsnprintf(value, sizeof value, fmt, args);
	va_end(args);
	for (char *at = value; *at; at++)
		if (*at == '\n')
			*at = '|';
	n = snprintf(text, sizeof text, "%lld %s %d %d %s %s\n", now_ms(), p->kind, p->run, (int)getpid(), what, value);
	if (write(p->log, text, (size_t)n) != n)
		_exit(120);
}

/* ---- what it sees ---- */

static const struct {
	const char *name;
	int number;
} limits[] = {{"CPU", RLIMIT_CPU}, {"FSIZE", RLIMIT_FSIZE}, {"DATA", RLIMIT_DATA}, {"STACK", RLIMIT_STACK}, {"CORE", RLIMIT_CORE},
	{"RSS", RLIMIT_RSS}, {"NOFILE", RLIMIT_NOFILE}, {"AS", RLIMIT_AS}, {"NPROC", RLIMIT_NPROC}, {"MEMLOCK", RLIMIT_MEMLOCK},
	{"LOCKS", RLIMIT_LOCKS}, {"SIGPENDING", RLIMIT_SIGPENDING}, {"MSGQUEUE", RLIMIT_MSGQUEUE}, {"NICE", RLIMIT_NICE},
	{"RTPRIO", RLIMIT_RTPRIO}, {"RTTIME", RLIMIT_RTTIME}};

static void tell_file(const struct probe *p, const char *path, const char *what, const char *only)
{
	char line[4096];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!*only || strncmp(line, only, strlen(only)) == 0)
			tell(p, what, "%s", line + strlen(only));
	}
	if (f)
		fclose(f);
}

static void tell_all(const struct probe *p, int argc, char **argv)
{
	char text[4096];
	mode_t mask = umask(0);
	gid_t groups[64];
	int n = getgroups(64, groups), at = 0;

	umask(mask);
	for (int i = 3; i < argc; i++)
		tell(p, "arg", "%s", argv[i]);
	for (char **e = environ; *e; e++)
		tell(p, "env", "%s", *e);
	tell(p, "cwd", "%s", getcwd(text, sizeof text) ? text : strerror(errno));
	tell(p, "umask", "%04o", (unsigned)mask);
	tell(p, "uid", "%u %u", (unsigned)getuid(), (unsigned)geteuid());
	tell(p, "gid", "%u %u", (unsigned)getgid(), (unsigned)getegid());
	text[0] = '\0';
	for (int i = 0; i < n; i++)
		at += snprintf(text + at, sizeof text - (size_t)at, "%s%u", i ? " " : "", (unsigned)groups[i]);
	tell(p, "groups", "%s", text);
	tell(p, "first", "%s", getpid() == 1 ? "yes" : "no");
	tell(p, "nice", "%d", getpriority(PRIO_PROCESS, 0));
	tell_file(p, "/proc/self/oom_score_adj", "oom", "");
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		struct rlimit l;

		getrlimit((__rlimit_resource_t)limits[i].number, &l);
		tell(p, "limit", "%s %lld %lld", limits[i].name, (long long)l.rlim_cur, (long long)l.rlim_max);
	}
	tell_file(p, "/proc/self/status", "bounding", "CapBnd:\t");
	tell_file(p, "/proc/self/status", "effective", "CapEff:\t");
	tell_file(p, "/proc/self/status", "new-privileges", "NoNewPrivs:\t");
	tell_file(p, "/proc/self/status", "seccomp", "Seccomp:\t");
}

/* ---- what it tries ---- */

static const char *word_of(int err)
{
	return err ? strerrorname_np(err) : "ok";
}

static int try_write(const char *path)
{
	char text[4096];
	struct stat st;
	int fd;

	snprintf(text, sizeof text, "%s%s", path, stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? "/probe-wrote" : "");
	fd = open(text, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return errno;
	close(fd);
	if (strlen(text) != strlen(path))
		unlink(text);
	return 0;
}

static int try_read(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, &byte, 1);
	int err = n < 0 && errno != EISDIR && errno != EAGAIN ? errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

static void try_list(const struct probe *p, const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	if (!d) {
		tell(p, "try", "list=%s %s", path, word_of(errno));
		return;
	}
	while (readdir(d))
		n++;
	closedir(d);
	tell(p, "try", "list=%s %s", path, n > 2 ? "full" : "empty");
}

static int try_socket(const char *name)
{
	static const struct {
		const char *name;
		int family, type;
	} all[] = {{"AF_UNIX", AF_UNIX, SOCK_STREAM}, {"AF_INET", AF_INET, SOCK_STREAM}, {"AF_INET6", AF_INET6, SOCK_STREAM},
		{"AF_NETLINK", AF_NETLINK, SOCK_RAW}, {"AF_ALG", AF_ALG, SOCK_SEQPACKET}};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (strcmp(all[i].name, name) == 0) {
			int fd = socket(all[i].family, all[i].type | SOCK_CLOEXEC, 0);

			if (fd < 0)
				return errno;
			close(fd);
			return 0;
		}
	return EINVAL;
}

/* In a child, which a filter may kill. */
static void try_call(const struct probe *p, const char *what, int (*call)(const char *), const char *arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(call(arg) & 0xff);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0)
		tell(p, "try", "%s=%s fork %s", what, arg, word_of(errno));
	else if (WIFSIGNALED(status))
		tell(p, "try", "%s=%s SIG%s", what, arg, sigabbrev_np(WTERMSIG(status)));
	else
		tell(p, "try", "%s=%s %s", what, arg, word_of(WEXITSTATUS(status)));
}

static int try_unshare(const char *name)
{
	static const struct {
		const char *name;
		int flag;
	} all[] = {{"user", CLONE_NEWUSER}, {"net", CLONE_NEWNET}, {"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC}, {"pid", CLONE_NEWPID}};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (strcmp(all[i].name, name) == 0)
			return unshare(all[i].flag) < 0 ? errno : 0;
	return EINVAL;
}

static int try_map(const char *arg)
{
	void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	return m == MAP_FAILED ? errno : 0;
}

static int try_number(const char *name)
{
	if (strcmp(name, "chmod") == 0)
		return chmod("/nonexistent", 0600) < 0 && errno != ENOENT ? errno : 0;
	if (strcmp(name, "mkdir") == 0)
		return mkdir("/proc/self/nothing", 0700) < 0 && errno != ENOENT && errno != EACCES && errno != EROFS ? errno : 0;
	if (strcmp(name, "sched_setaffinity") == 0) {
		cpu_set_t set;

		return sched_getaffinity(0, sizeof set, &set) < 0 || sched_setaffinity(0, sizeof set, &set) < 0 ? errno : 0;
	}
	if (strcmp(name, "getpriority") == 0) {
		errno = 0;
		return getpriority(PRIO_PROCESS, 0) == -1 ? errno : 0;
	}
	if (strcmp(name, "setsid") == 0)
		return setsid() < 0 && errno != EPERM ? errno : 0;
	return EINVAL;
}

static int try_memory(const char *mb)
{
	size_t n = (size_t)strtoul(mb, NULL, 10) << 20;
	char *m = malloc(n);

	if (!m)
		return ENOMEM;
	memset(m, 1, n);
	free(m);
	return 0;
}

/* ---- what it does ---- */

static int signal_of(const char *name)
{
	for (int i = 1; i < 32; i++)
		if (sigabbrev_np(i) && strcmp(sigabbrev_np(i), name) == 0)
			return i;
	return SIGTERM;
}

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	char mem[4096];
	int fd;

	if (n == 0 || n >= sizeof a.sun_path)
		return;
	memcpy(a.sun_path, path, n);
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	snprintf(mem, sizeof mem, "%s", text);
	for (char *at = mem; *at; at++)
		if (*at == '|')
			*at = '\n';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		(void)sendto(fd, mem, strlen(mem), MSG_NOSIGNAL, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
		close(fd);
	}
}

static void say_reload(void)
{
	char text[64];

	snprintf(text, sizeof text, "RELOADING=1|MONOTONIC_USEC=%lld", now_ms() * 1000 + 999);
	notify(text);
	notify("READY=1");
}

static void end_by(int sig)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(sig);
	_exit(121); /* what does not end a process */
}

/* Until ms are over (-1: for ever), or a signal ends it. */
static void wait_for(const struct probe *p, long ms)
{
	long long end = now_ms() + ms, beat = now_ms();

	while (ms < 0 || now_ms() < end) {
		long left = ms < 0 ? WAIT_MS : (long)(end - now_ms());
		struct timespec t;
		sigset_t all;
		int sig;

		if (p->beat_ms && now_ms() >= beat) {
			notify("WATCHDOG=1");
			beat = now_ms() + p->beat_ms;
		}
		if (p->beat_ms && left > p->beat_ms)
			left = p->beat_ms;
		t = (struct timespec){left / 1000, left % 1000 * 1000000};
		sigfillset(&all);
		sig = sigtimedwait(&all, NULL, &t);
		if (sig <= 0 || sig == SIGCHLD)
			continue;
		if (sig != SIGCONT)
			tell(p, "signal", "%s", sig < 32 && sigabbrev_np(sig) ? sigabbrev_np(sig) : "RT");
		if (p->action[sig & 63] == RELOAD)
			say_reload();
		if (sig == SIGCONT || p->action[sig & 63] == STAY || p->action[sig & 63] == RELOAD)
			continue;
		if (p->action[sig & 63] >= 0)
			_exit(p->action[sig & 63]);
		end_by(sig);
	}
}

static void on_signal(struct probe *p, const char *text)
{
	char name[16];
	size_t n = strcspn(text, ":");

	if (n >= sizeof name || !text[n])
		_exit(122);
	memcpy(name, text, n);
	name[n] = '\0';
	text += n + 1;
	p->action[signal_of(name)] = strncmp(text, "exit=", 5) == 0 ? (int)strtol(text + 5, NULL, 10)
				     : strcmp(text, "reload") == 0	    ? RELOAD
								    : STAY;
}

/* The same program as another kind, with its own count. */
static void begin(struct probe *p, const char *kind)
{
	char path[4096];
	struct stat st;
	int fd;

	p->kind = kind;
	snprintf(path, sizeof path, "%s/%s.runs", p->folder, kind);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &st) < 0)
		_exit(123);
	p->run = (int)st.st_size;
	close(fd);
	tell(p, "begin", "%d", (int)getppid());
}

/* Returns when the other one has begun, or ended before. */
static void beside(struct probe *p, const char *kind, bool own)
{
	int begun[2];
	char byte;

	if (pipe2(begun, O_CLOEXEC) < 0)
		_exit(125);
	if (fork() != 0) {
		close(begun[1]);
		while (read(begun[0], &byte, 1) < 0 && errno == EINTR)
			;
		close(begun[0]);
		return;
	}
	if (own && setsid() < 0)
		_exit(124);
	for (int i = 0; i < 64 && own; i++)
		p->action[i] = NO_ACTION;
	begin(p, kind);
	close(begun[0]);
	close(begun[1]);
	wait_for(p, -1);
	_exit(0);
}

static void become_main(struct probe *p, const char *kind)
{
	char text[64];
	pid_t pid = fork();

	if (pid == 0) {
		begin(p, kind);
		wait_for(p, -1);
		_exit(0);
	}
	snprintf(text, sizeof text, "MAINPID=%d|READY=1", (int)pid);
	notify(text);
	/* What is said by one that has gone belongs to nobody. */
	wait_for(p, 300);
	_exit(0);
}

static bool is(const char *word, const char *name, const char **ret)
{
	size_t n = strlen(name);

	if (strncmp(word, name, n) != 0 || word[n] != '=')
		return false;
	*ret = word + n + 1;
	return true;
}

static void look_at_folder(const struct probe *p, const char *name, const char *path)
{
	char mark[4096];
	const char *last = strrchr(path, '/');
	struct stat st;
	int fd;

	if (stat(path, &st) < 0) {
		tell(p, "try", "dir=%s %s %s", name, last ? last + 1 : path, word_of(errno));
		return;
	}
	snprintf(mark, sizeof mark, "%s/mark", path);
	tell(p, "try", "dir=%s %s %04o %s %s", name, last ? last + 1 : path, (unsigned)st.st_mode & 0777,
		access(path, W_OK) == 0 ? "writable" : "read-only", access(mark, F_OK) == 0 ? "marked" : "new");
	fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

static void try_folders(const struct probe *p, const char *name)
{
	const char *value = getenv(name);
	char text[4096], *at = text, *one;

	if (name[0] == '/')
		value = name;
	snprintf(text, sizeof text, "%s", value ? value : "");
	if (!value)
		tell(p, "try", "dir=%s is not said", name);
	while (value && (one = strsep(&at, ":")))
		look_at_folder(p, name, one);
}

static void trial(struct probe *p, const char *word)
{
	const char *v;

	if (is(word, "write", &v))
		tell(p, "try", "write=%s %s", v, word_of(try_write(v)));
	else if (is(word, "read", &v))
		tell(p, "try", "read=%s %s", v, word_of(try_read(v)));
	else if (is(word, "list", &v))
		try_list(p, v);
	else if (is(word, "dir", &v))
		try_folders(p, v);
	else if (is(word, "socket", &v))
		try_call(p, "socket", try_socket, v);
	else if (is(word, "unshare", &v))
		try_call(p, "unshare", try_unshare, v);
	else if (is(word, "exec", &v))
		try_call(p, "exec", try_map, v);
	else if (is(word, "call", &v))
		try_call(p, "call", try_number, v);
	else if (is(word, "mem", &v))
		try_call(p, "mem", try_memory, v);
	else
		_exit(125);
}

static void obey(struct probe *p, const char *word)
{
	const char *v;

	if (is(word, "exit", &v))
		_exit((int)strtol(v, NULL, 10));
	else if (is(word, "die", &v))
		end_by(signal_of(v));
	else if (is(word, "sleep", &v))
		wait_for(p, strtol(v, NULL, 10));
	else if (is(word, "on", &v))
		on_signal(p, v);
	else if (is(word, "notify", &v))
		notify(v);
	else if (is(word, "beat", &v))
		p->beat_ms = strtol(v, NULL, 10);
	else if (is(word, "child", &v))
		beside(p, v, false);
	else if (is(word, "left", &v))
		beside(p, v, true);
	else if (is(word, "main", &v))
		become_main(p, v);
	else if (is(word, "print", &v))
		dprintf(1, "%s\n", v);
	else if (is(word, "error", &v))
		dprintf(2, "%s\n", v);
	else if (strcmp(word, "hang") == 0)
		for (int i = 1; i < 64; i++)
			p->action[i] = STAY;
	else if (strchr(word, '=') && !is(word, "arg", &v) && !is(word, "see", &v))
		trial(p, word);
}

/* A word of another run is none of this one. */
static const char *of_run(const struct probe *p, const char *word)
{
	char *end;
	long n = strtol(word, &end, 10);

	if (end == word || *end != ':')
		return word;
	return n == p->run ? end + 1 : NULL;
}

static void play_quiet(const struct probe *p)
{
	if (strncmp(p->kind, "main", 4) != 0)
		_exit(0);
	notify("READY=1");
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	struct probe p = {.log = -1};
	char path[4096];
	sigset_t all;

	if (argc < 3)
		return 126;
	p.folder = argv[1];
	p.kind = argv[2];
	for (int i = 0; i < 64; i++)
		p.action[i] = NO_ACTION;
	snprintf(path, sizeof path, "%s/armed", p.folder);
	if (access(path, F_OK) < 0)
		play_quiet(&p);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	snprintf(path, sizeof path, "%s/log", p.folder);
	p.log = open(path, O_WRONLY | O_APPEND | O_CLOEXEC, 0666);
	if (p.log < 0)
		return 127;
	begin(&p, p.kind);
	tell_all(&p, argc, argv);
	for (int i = 3; i < argc; i++) {
		const char *word = of_run(&p, argv[i]);

		if (word)
			obey(&p, word);
	}
	if (strncmp(p.kind, "main", 4) == 0)
		wait_for(&p, -1);
	return 0;
}
