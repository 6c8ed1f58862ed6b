/*
 * exits.c: how a program can end: exit codes, their names and signals; and names of variables.
 *
 * Called by value.c for SuccessExitStatus=, KillSignal=, PassEnvironment= and their like, and by life.c
 * for what the texts mean. The names of exit codes are those of systemd.exec(5), "Process Exit
 * Codes", and of sysexits.h. Owns nothing.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

static const struct {
	const char *name;
	int sig;
} signals[] = {{"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"ILL", SIGILL},
	{"TRAP", SIGTRAP}, {"ABRT", SIGABRT}, {"BUS", SIGBUS}, {"FPE", SIGFPE}, {"KILL", SIGKILL},
	{"USR1", SIGUSR1}, {"SEGV", SIGSEGV}, {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},
	{"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},
	{"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},
	{"TTOU", SIGTTOU}, {"URG", SIGURG}, {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
	{"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},
	{"PWR", SIGPWR}, {"SYS", SIGSYS}};

static const struct {
	const char *name;
	unsigned char code;
} codes[] = {{"SUCCESS", 0}, {"FAILURE", 1}, {"INVALIDARGUMENT", 2}, {"NOTIMPLEMENTED", 3},
	{"NOPERMISSION", 4}, {"NOTINSTALLED", 5}, {"NOTCONFIGURED", 6}, {"NOTRUNNING", 7},
	{"USAGE", 64}, {"DATAERR", 65}, {"NOINPUT", 66}, {"NOUSER", 67}, {"NOHOST", 68},
	{"UNAVAILABLE", 69}, {"SOFTWARE", 70}, {"OSERR", 71}, {"OSFILE", 72}, {"CANTCREAT", 73},
	{"IOERR", 74}, {"TEMPFAIL", 75}, {"PROTOCOL", 76}, {"NOPERM", 77}, {"CONFIG", 78},
	{"CHDIR", 200}, {"NICE", 201}, {"FDS", 202}, {"EXEC", 203}, {"MEMORY", 204},
	{"LIMITS", 205}, {"OOM_ADJUST", 206}, {"SIGNAL_MASK", 207}, {"STDIN", 208},
	{"STDOUT", 209}, {"CHROOT", 210}, {"IOPRIO", 211}, {"TIMERSLACK", 212},
	{"SECUREBITS", 213}, {"SETSCHEDULER", 214}, {"CPUAFFINITY", 215}, {"GROUP", 216},
	{"USER", 217}, {"CAPABILITIES", 218}, {"CGROUP", 219}, {"SETSID", 220}, {"CONFIRM", 221},
	{"STDERR", 222}, {"PAM", 224}, {"NETWORK", 225}, {"NAMESPACE", 226},
	{"NO_NEW_PRIVILEGES", 227}, {"SECCOMP", 228}, {"SELINUX_CONTEXT", 229},
	{"PERSONALITY", 230}, {"APPARMOR", 231}, {"ADDRESS_FAMILIES", 232},
	{"RUNTIME_DIRECTORY", 233}, {"CHOWN", 235}, {"SMACK_PROCESS_LABEL", 236}, {"KEYRING", 237},
	{"STATE_DIRECTORY", 238}, {"CACHE_DIRECTORY", 239}, {"LOGS_DIRECTORY", 240},
	{"CONFIGURATION_DIRECTORY", 241}, {"NUMA_POLICY", 242}, {"CREDENTIALS", 243}};

/* Decimal digits alone, up to max. -1: they are none. */
static int number_of(const char *text, int max)
{
	int v = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		v = v * 10 + (*text - '0');
		if (v > max)
			return -1;
	}
	return v;
}

/* RTMIN, RTMIN+N, RTMAX-N. */
static int realtime_of(const char *text)
{
	bool min = strncmp(text, "RTMIN", 5) == 0;
	int n = 0;

	if (!min && strncmp(text, "RTMAX", 5) != 0)
		return -EINVAL;
	if (text[5] != '\0')
		n = text[5] == (min ? '+' : '-') ? number_of(text + 6, 64) : -1;
	n = n < 0 ? -1 : min ? SIGRTMIN + n : SIGRTMAX - n;
	return n >= SIGRTMIN && n <= SIGRTMAX ? n : -EINVAL;
}

static int signal_named(const char *text)
{
	if (strncmp(text, "SIG", 3) == 0)
		text += 3;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (strcmp(signals[i].name, text) == 0)
			return signals[i].sig;
	return realtime_of(text);
}

int conf_signal_of(const char *text)
{
	int n = number_of(text, 64);

	return n > 0 ? n : n == 0 ? -EINVAL : signal_named(text);
}

/* One word of a list: an exit code, or minus a signal. -EINVAL is no signal. */
static bool end_of(const char *text, int *ret)
{
	*ret = number_of(text, 255);
	if (*ret >= 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strcmp(codes[i].name, text) == 0) {
			*ret = codes[i].code;
			return true;
		}
	*ret = -signal_named(text);
	return *ret < 0;
}

static int check_signal(const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	int sig = conf_signal_of(text);

	if (sig > 0) {
		v->number = (uint64_t)sig;
		return 0;
	}
	buf_printf(why, "\"%.40s\" is no signal", text);
	buf_puts(todo, "write SIGTERM, TERM, RTMIN+1 or a number up to 64; `kill -l` lists them");
	return -EINVAL;
}

static int check_exits(const char *text, struct buf *why, struct buf *todo)
{
	int end;

	if (end_of(text, &end))
		return 0;
	buf_printf(why, "\"%.40s\" is neither an exit code nor a signal", text);
	buf_puts(todo,
		"write a number up to 255, a name like TEMPFAIL (systemd.exec(5)) or SIGKILL");
	return -EINVAL;
}

void conf_exits_add(struct service_exits *e, const char *text)
{
	int end;

	if (!end_of(text, &end))
		return;
	if (end >= 0)
		e->code[end / 64] |= 1ULL << end % 64;
	else
		e->signal |= 1ULL << (-end - 1);
}

/* NAME, or NAME=VALUE where a value may be. */
static int check_vars(bool value, const char *text, struct buf *why, struct buf *todo)
{
	size_t n = strcspn(text, "=");
	bool good = n > 0 && (text[n] == '\0' || value);

	for (size_t i = 0; i < n && good; i++) {
		char ch = text[i];

		good = ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') || ch == '_' ||
		       (i > 0 && ch >= '0' && ch <= '9');
	}
	if (good)
		return 0;
	buf_printf(why, "\"%.60s\" is no variable's name", text);
	buf_puts(todo, value ? "write NAME, or NAME=VALUE" : "write the name alone");
	return -EINVAL;
}

int conf_end_check(const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo)
{
	if (row->type == CONF_TYPE_SIGNAL)
		return check_signal(text, v, why, todo);
	if (row->type == CONF_TYPE_EXITS)
		return check_exits(text, why, todo);
	return check_vars(row == &conf_rows[CONF_SERVICE_UNSET_ENVIRONMENT], text, why, todo);
}
