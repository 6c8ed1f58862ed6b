/*
 * places.c: where a program of an app is asked and where it notifies: sockets, ports, variables.
 *
 * Called by workers.c before a program is made, by services.c when it ended and by sets.c when its
 * slot goes. Owns the folder of the sockets and what lies in it. The two runs of a slot have a place
 * each, so a replacement is asked by itself before it takes over; the socket of a place stays when
 * its program dies, and what waits in it is the next one's, unless none comes up. Nothing is ever read
 * from a socket here.
 *
 * As root the folder is /run/stead/backends/ID, which gates see: a socket that is handed over can
 * be connected to by the gates' group alone, the one for notifications by the app's user alone. A
 * program that makes its socket itself gets a folder of its own there.
 */
#include "places.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, PORT_TRIES = 100 };

void places_init(struct parent *p)
{
	const char *id = strrchr(p->run_dir, '/');
	char path[PATH_MAX];

	if (p->root)
		snprintf(path, sizeof(path), BACKENDS_DIR "/%s", id != NULL ? id + 1 : "0");
	else
		snprintf(path, sizeof(path), "%s", p->run_dir);
	if (p->root && mkdir(path, 0755) < 0 && errno != EEXIST)
		return;
	p->places_dir = strdup(path);
}

void places_done(struct parent *p)
{
	if (p->places_dir != NULL && p->root)
		(void)rmdir(p->places_dir); /* what an app left in it stays */
	free(p->places_dir);
	p->places_dir = NULL;
}

static void path_of(const struct parent *p, const struct run *r, char kind, char *ret, size_t cap)
{
	const struct slot *s = r->slot;

	snprintf(ret, cap, "%s/%c%u-%u-%c", p->places_dir != NULL ? p->places_dir : "", kind,
		(unsigned)s->set->app, (unsigned)s->index, r == &s->run[0] ? 'a' : 'b');
}

void place_path(const struct parent *p, const struct run *r, char ret[static PATH_MAX])
{
	path_of(p, r, 's', ret, PATH_MAX);
}

static void close_at(const struct parent *p, const struct run *r, char kind, int *fd)
{
	char path[PATH_MAX];

	if (*fd < 0)
		return;
	close(*fd);
	*fd = -1;
	path_of(p, r, kind, path, sizeof(path));
	(void)unlink(path);
}

/* A socket at that path, for that owner alone. */
static int bind_at(const char *path, int type, uid_t uid, gid_t gid, mode_t mode, bool root)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Of a stead that was killed. Nobody else can make a file in this folder. */
	(void)unlink(path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0) < 0 ||
		(root && lchown(path, uid, gid) < 0) || chmod(path, mode) < 0) {
		int e = -errno;

		close(fd);
		return e;
	}
	return fd;
}

/* Blocking, as systemd hands one over; the program before this one may have changed it. */
static int handed_over(struct parent *p, struct run *r)
{
	char path[PATH_MAX];

	if (r->listen_fd >= 0)
		return sys_nonblock(r->listen_fd, false);
	place_path(p, r, path);
	int fd = bind_at(path, SOCK_STREAM, 0, p->account[PROC_GATE].gid, p->root ? 0660 : 0600,
		p->root);
	if (fd < 0)
		return fd;
	if (listen(fd, BACKLOG) < 0) {
		int e = -errno;

		close(fd);
		return e;
	}
	r->listen_fd = fd;
	return 0;
}

static int notified(struct parent *p, struct run *r)
{
	const struct msg_proc_set *set = &r->spec->set;
	char path[PATH_MAX];
	int one = 1;

	if (set->notify == SERVICE_NOTIFY_NONE)
		return 0;
	path_of(p, r, 'n', path, sizeof(path));
	int fd = bind_at(path, SOCK_DGRAM, set->uid, set->gid, 0600, p->root);
	if (fd < 0)
		return fd;
	/* Who sends is the kernel's word. */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
		sys_nonblock(fd, true) < 0) {
		int e = -errno;

		close(fd);
		return e;
	}
	r->notify_fd = fd;
	return 0;
}

static bool port_is_ours(const struct parent *p, unsigned port)
{
	for (const struct set *set = p->sets; set != NULL; set = set->next)
		for (const struct slot *s = set->slots; s != NULL; s = s->next)
			for (unsigned i = 0; i < ARRAY_LEN(s->run); i++)
				if (run_busy(&s->run[i]) && s->run[i].port == port)
					return true;
	return false;
}

static bool port_is_free(unsigned port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;

	if (fd >= 0)
		close(fd);
	return is_free;
}

/* One that nobody has now. Whoever takes it before the program does makes it fail, and the next
 * try gets another. */
static int find_port(struct parent *p, struct run *r)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		unsigned port = PORT_FIRST + p->ops->random(p) % PORTS;

		if (!port_is_ours(p, port) && port_is_free(port)) {
			r->port = (uint16_t)port;
			return 0;
		}
	}
	return -EADDRINUSE;
}

/* A program that makes its socket itself stumbles over one that the last run left; in the folder
 * that is its own it is not another's. */
static int own_folder(struct parent *p, struct run *r, char path[static PATH_MAX])
{
	const struct spec *spec = r->spec;
	struct stat st;
	size_t n;

	n = (size_t)snprintf(path, PATH_MAX, RUNTIME_FOLDER, p->places_dir,
		(unsigned)spec->set.app);
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* What is made in it has the gates' group, which may connect; nobody else gets in. */
	int e = p->root && (fchown(fd, spec->set.uid, p->account[PROC_GATE].gid) < 0 ||
				   fchmod(fd, 02770) < 0)
			? -errno
			: 0;
	if (e == 0 && spec->set.listen == SERVICE_PATH && strncmp(spec->socket, path, n) == 0 &&
		spec->socket[n] == '/' && strchr(spec->socket + n + 1, '/') == NULL &&
		fstatat(fd, spec->socket + n + 1, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISSOCK(st.st_mode))
		(void)unlinkat(fd, spec->socket + n + 1, 0);
	close(fd);
	return e;
}

/* ---- what the program is told ---- */

static char *put_env(struct place *place, const char *name, const char *value)
{
	unsigned n = 0;

	while (place->env[n] != NULL)
		n++;
	must(n < PLACE_ENV_MAX);
	size_t len = (size_t)snprintf(
		place->text[n], sizeof(place->text[n]), "%s=%s", name, value);
	must(len < sizeof(place->text[n]));
	place->env[n] = place->text[n];
	return place->text[n] + strlen(name) + 1;
}

static void tell_program(struct parent *p, struct run *r, struct place *place, const char *folder)
{
	const struct msg_proc_set *set = &r->spec->set;
	char path[PATH_MAX], number[24];

	if (r->listen_fd >= 0) {
		put_env(place, "LISTEN_FDS", "1");
		put_env(place, "LISTEN_FDNAMES", "http");
		place->pid_at[0] = put_env(place, "LISTEN_PID", "           ");
	}
	if (r->port != 0) {
		snprintf(number, sizeof(number), "%u", (unsigned)r->port);
		put_env(place, "PORT", number);
		put_env(place, "HOST", "127.0.0.1");
	}
	if (r->notify_fd >= 0) {
		path_of(p, r, 'n', path, sizeof(path));
		put_env(place, "NOTIFY_SOCKET", path);
	}
	if (set->watchdog_ms != 0) {
		snprintf(number, sizeof(number), "%llu", set->watchdog_ms * 1000ULL);
		put_env(place, "WATCHDOG_USEC", number);
		place->pid_at[1] = put_env(place, "WATCHDOG_PID", "           ");
	}
	put_env(place, "RUNTIME_DIRECTORY", folder);
}

/* The value of that variable; "" when it has none. */
static const char *value_of(char *const *vars, const char *name, size_t n)
{
	for (; *vars != NULL; vars++)
		if (strncmp(*vars, name, n) == 0 && (*vars)[n] == '=')
			return *vars + n + 1;
	return "";
}

/* Is "${NAME}" of one of those that ctl leaves to us here? The length of NAME, else 0. */
static size_t late_name(const char *p)
{
	static const char *const names[] = {
		"PORT", "MAINPID", "SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"};

	for (size_t i = 0; p[0] == '$' && p[1] == '{' && i < ARRAY_LEN(names); i++) {
		size_t n = strlen(names[i]);

		if (strncmp(p + 2, names[i], n) == 0 && p[2 + n] == '}')
			return n;
	}
	return 0;
}

/* One word; NULL `to`: how many bytes it has. */
static size_t put_word(char *to, const char *from, char *const *vars)
{
	size_t n = 0, name;

	while (*from != '\0') {
		const char *piece = from;
		size_t len = 1;

		name = late_name(from);
		if (name != 0) {
			piece = value_of(vars, from + 2, name);
			len = strlen(piece);
		}
		if (to != NULL)
			memcpy(to + n, piece, len);
		n += len;
		from += name != 0 ? name + 3 : 1;
	}
	if (to != NULL)
		to[n] = '\0';
	return n + 1;
}

char **place_words(char *const *argv, uint32_t argc, char *const *vars)
{
	size_t bytes = 0, n = argc + 1;

	for (uint32_t i = 0; i < argc; i++)
		bytes += put_word(NULL, argv[i], vars);
	char **words = calloc(1, n * sizeof(*words) + bytes);
	if (words == NULL)
		return NULL;
	char *to = (char *)(words + n);
	for (uint32_t i = 0; i < argc; i++) {
		words[i] = to;
		to += put_word(to, argv[i], vars);
	}
	return words;
}

static int make(struct parent *p, struct run *r, struct place *place, const char **ret_step)
{
	const struct spec *spec = r->spec;
	uint32_t listen = spec->set.listen;
	char folder[PATH_MAX];
	int e;

	*ret_step = "runtime folder";
	if (p->places_dir == NULL)
		return -ENOENT;
	r->port = 0;
	if ((e = own_folder(p, r, folder)) < 0)
		return e;
	*ret_step = "socket";
	if (listen != SERVICE_FD && listen != SERVICE_AUTO)
		close_at(p, r, 's', &r->listen_fd);
	else if ((e = handed_over(p, r)) < 0)
		return e;
	*ret_step = "notify socket";
	if ((e = notified(p, r)) < 0)
		return e;
	*ret_step = "port";
	if (listen == SERVICE_PORT || listen == SERVICE_AUTO) {
		r->port = (uint16_t)spec->set.port;
		if (r->port == 0 && (e = find_port(p, r)) < 0)
			return e;
	}
	tell_program(p, r, place, folder);
	place->argv = place_words(spec->argv, spec->set.argc, place->env);
	return place->argv != NULL ? 0 : -ENOMEM;
}

int place_make(struct parent *p, struct run *r, const char **ret_step)
{
	int e;

	if (r->place != NULL)
		return 0;
	*ret_step = "memory";
	r->place = calloc(1, sizeof(*r->place));
	if (r->place == NULL)
		return -ENOMEM;
	e = make(p, r, r->place, ret_step);
	if (e < 0)
		place_ended(p, r);
	return e;
}

bool place_begins(const struct run *r)
{
	if (r->place != NULL || r->spec == NULL || (r->spec->jail.flags & JAIL_KEEP_RUNTIME) != 0)
		return false;
	for (const struct slot *s = r->slot->set->slots; s != NULL; s = s->next)
		for (unsigned i = 0; i < ARRAY_LEN(s->run); i++)
			if (run_busy(&s->run[i]))
				return false;
	return true;
}

void place_quiet(struct parent *p, struct run *r)
{
	close_at(p, r, 'n', &r->notify_fd);
	r->port = 0;
}

void place_ended(struct parent *p, struct run *r)
{
	place_quiet(p, r);
	if (r->place != NULL)
		free(r->place->argv);
	free(r->place);
	r->place = NULL;
}

void place_shut(struct parent *p, struct run *r)
{
	close_at(p, r, 's', &r->listen_fd);
}

void place_bury(struct parent *p, struct run *r)
{
	place_ended(p, r);
	if (r->slot->role != PROC_SERVICE)
		return;
	close_at(p, r, 's', &r->listen_fd);
}
