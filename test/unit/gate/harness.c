/*
 * harness.c: a real gate process without the rest of stead: plays the parent and ctl to it.
 *
 *   gate-harness GATE FOLDER [NAME=VALUE…]     e.g. header_ms=500 idle_ms=800 rate_min=100
 * body_max=1000
 *
 * FOLDER may be @FILE: a snapshot as JSON describes it (test/unit/snap/json_snap.h), also with
 * `snap`. Serves FOLDER on an ephemeral port of 127.0.0.1 and prints "port N". Then commands on
 * standard input, each answered by lines and "ok": `records` (access records since the last time),
 * `counters`, `snap FOLDER`, `auth EXE`, `resolve EXE` (start that helper), `damaged` (a snapshot
 * with one byte changed), `unlisten`, `stop MS`. At the end of input the gate is stopped, and its
 * exit status printed as "exit N". For test_http.py, benchmarks and profilers.
 */
#include "lib/chan.h"
#include "lib/buf.h"
#include "lib/event.h"
#include "lib/logring.h"
#include "lib/must.h"
#include "lib/region.h"
#include "lib/sys.h"
#include "record/record.h"
#include "../snap/json_snap.h"
#include "../snap/small_snap.h"
#include "tbl/tbl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct harness {
	int chan, ctl, listener;
	pid_t pid;
	uint64_t generation;
	struct snap_site limits;
	struct snap_route rest;
	bool late; /* no snapshot but those that `snap` gives */
	uint32_t kind;
	struct logring_reader ring;
	bool ring_open, gone;
	int counters_fd, cache_fd;
	const struct counters_page *counters;
	char mem[CHAN_PAYLOAD_MAX + 64];
};

static void send_msg(int fd, enum msg_type type, const void *p, size_t n, const void *q, size_t m,
	const int *fds, unsigned nfds)
{
	if (chan_send_blocking(fd, (uint16_t)type, 0, p, n, q, m, fds, nfds) < 0)
		fprintf(stderr, "harness: message %d could not be sent\n", type);
}

static void send_hello(int fd, enum proc role)
{
	struct msg_hello h = {.min = 1, .max = 1, .role = role, .build = STEAD_VERSION};

	send_msg(fd, MSG_HELLO, &h, sizeof(h), NULL, 0, NULL, 0);
}

static void got_page(struct harness *t, struct msg *m)
{
	struct msg_page p;

	must(msg_get(m, &p, sizeof(p), sizeof(p)) == 0);
	if (p.kind == PAGE_LOGRING) {
		must(logring_open(&t->ring, m->fds[0], 0) == 0);
		t->ring_open = true;
	} else {
		const void *map;

		must(sys_shm_map(m->fds[0], sizeof(struct counters_page), 0, NULL, &map) == 0);
		t->counters = map;
	}
	close(m->fds[0]);
}

/* Whatever the gate said until now, or within the time. The type of the last one. */
static int hear(struct harness *t, int fd, int ms)
{
	struct pollfd pfd = {fd, POLLIN, 0};
	struct msg m;
	int last = 0;

	while (!t->gone && poll(&pfd, 1, ms) > 0) {
		int err = chan_recv_blocking(fd, &m, t->mem);

		if (err < 0) {
			t->gone = fd == t->chan;
			return -1;
		}
		last = m.h.type;
		if (m.h.type == MSG_PAGE) {
			got_page(t, &m);
		} else if (m.h.type == MSG_SNAP_LOADED) {
			struct msg_snap s;

			must(msg_get(&m, &s, sizeof(s), sizeof(s)) == 0);
			printf("loaded %llu %u\n", (unsigned long long)s.generation, s.err);
		}
		if (m.h.type == MSG_READY || m.h.type == MSG_SNAP_LOADED || m.h.type == MSG_STOPPED)
			return last;
	}
	return last;
}

static void build_snap(struct harness *t, const char *folder, int *fds, unsigned *nfds)
{
	static char path[4096];
	const char *hosts[] = {"localhost", "example.org", "*.example.net"};
	const struct small_route routes[] = {
		{"/", folder, "index.html"},
		{"/pre", folder, "index.html"},
		{"/app", NULL, NULL},
	};
	struct small_snap in = {.name = "harness",
		.hosts = hosts,
		.nhosts = 3,
		.routes = routes,
		.nroutes = 3,
		.limits = t->limits,
		.rest = t->rest,
		.generation = ++t->generation};

	snprintf(path, sizeof(path), "%s/404.html", folder);
	if (access(path, R_OK) == 0)
		in.page_404 = path;
	must(small_snap_build(&in, fds, nfds) == 0);
}

/* A file with a JSON description (json_snap.h). */
static void build_described(struct harness *t, const char *file, int *fds, unsigned *nfds)
{
	char *text = NULL;
	size_t n;

	must(sys_read_file(AT_FDCWD, file, 64 << 20, &text, &n) == 0);
	must(json_snap_build(text, ++t->generation, fds, nfds) == 0);
	free(text);
}

static void damage(int *fd)
{
	size_t n;
	const void *map;
	char *copy;

	must(sys_memfd_map(*fd, 1 << 20, &n, &map) == 0);
	copy = malloc(n);
	must(copy);
	memcpy(copy, map, n);
	copy[n / 2] ^= 1;
	close(*fd);
	must(sys_memfd_sealed("damaged", copy, n, fd) == 0);
	free(copy);
}

static void give_snap(struct harness *t, const char *folder, bool damaged)
{
	int fds[SNAP_SEGMENTS_MAX + 2];
	unsigned n;
	struct msg_snap m = {.cache = 1};

	if (folder[0] == '@')
		build_described(t, folder + 1, fds, &n);
	else
		build_snap(t, folder, fds, &n);
	if (damaged)
		damage(&fds[n - 1]);
	m.generation = t->generation;
	m.segments = n - 1;
	/* One region for all snapshots, as ctl does it; routes without Cache= do not look at it. */
	if (!t->cache_fd)
		must(region_memfd("harness-cache", 16 << 20, &t->cache_fd) == 0);
	fds[n] = t->cache_fd;
	send_msg(t->chan, MSG_SNAP, &m, sizeof(m), NULL, 0, fds, n + 1);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	hear(t, t->ctl, 2000);
}

static void give_listener(struct harness *t)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	struct msg_listener l = {.listener = 7, .kind = t->kind};
	char text[64];
	int on = 1;

	t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(t->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	must(bind(t->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
	must(listen(t->listener, 4096) == 0);
	must(getsockname(t->listener, (struct sockaddr *)&a, &len) == 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(a.sin_port));
	send_msg(t->chan, MSG_LISTENER, &l, sizeof(l), text, strlen(text) + 1, &t->listener, 1);
	printf("pid %d\nport %u\n", (int)t->pid, ntohs(a.sin_port));
}

static void start(struct harness *t, const char *exe)
{
	struct msg_start s = {.role = PROC_GATE, .generation = 42, .gates = 1};
	struct msg_channel c = {.role = PROC_CTL, .generation = 1};
	int pair[2], ctl[2];

	must(sys_socketpair_seqpacket(pair) == 0 && sys_socketpair_seqpacket(ctl) == 0);
	t->pid = fork();
	must(t->pid >= 0);
	if (t->pid == 0) {
		dup2(pair[1], 3);
		sys_cloexec(3, false);
		sys_close_from(4);
		execl(exe, exe, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	t->chan = pair[0];
	t->ctl = ctl[0];
	send_hello(t->chan, PROC_PARENT);
	send_msg(t->chan, MSG_START, &s, sizeof(s), "", 0, NULL, 0);
	while (hear(t, t->chan, 5000) > 0 && !t->counters)
		;
	send_msg(t->chan, MSG_CHANNEL, &c, sizeof(c), NULL, 0, &ctl[1], 1);
	close(ctl[1]);
	send_hello(t->ctl, PROC_CTL);
}

/* Play the parent to a helper process too, and pair it with the gate. */
static void start_aide(struct harness *t, enum proc role, const char *exe)
{
	struct msg_start s = {.role = role, .generation = 43, .gates = 1};
	struct msg_channel to_gate = {.role = PROC_GATE, .generation = 42};
	struct msg_channel to_aide = {.role = role, .generation = 43};
	int own[2], pair[2];
	pid_t pid;

	must(sys_socketpair_seqpacket(own) == 0 && sys_socketpair_seqpacket(pair) == 0);
	pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		dup2(own[1], 3);
		sys_cloexec(3, false);
		sys_close_from(4);
		execl(exe, exe, (char *)NULL);
		_exit(127);
	}
	close(own[1]);
	send_hello(own[0], PROC_PARENT);
	send_msg(own[0], MSG_START, &s, sizeof(s), "", 0, NULL, 0);
	send_msg(own[0], MSG_CHANNEL, &to_gate, sizeof(to_gate), NULL, 0, &pair[0], 1);
	send_msg(t->chan, MSG_CHANNEL, &to_aide, sizeof(to_aide), NULL, 0, &pair[1], 1);
	close(pair[0]);
	close(pair[1]);
	/* own[0] stays open as long as the harness lives: its end is the aide's. */
	printf("pid %d\n", (int)pid);
}

static void print_record(const char *p, size_t n)
{
	struct record r;
	struct buf b;

	must(record_get(p, n, &r) == 0);
	buf_init(&b, 1 << 20);
	record_members(&b, &r);
	must(b.len > 0 && !b.error);
	printf("{%s}\n", buf_str(&b) + 1);
	buf_done(&b);
}

static void put_member(void *arg, const char *name, const char *value)
{
	struct buf *b = arg;

	buf_putc(b, ',');
	buf_put_json(b, name, strlen(name));
	buf_putc(b, ':');
	buf_put_json(b, value, strlen(value));
}

static void print_event(const char *p, size_t n)
{
	uint32_t id;
	struct buf b;

	buf_init(&b, 1 << 20);
	must(event_decode(p, n, &id, put_member, &b) == 0 && !b.error);
	printf("event {\"event\":\"%s\"%s}\n", event_row(id)->name, buf_str(&b));
	buf_done(&b);
}

static void print_records(struct harness *t)
{
	static char mem[LOGRING_RECORD_MAX];
	enum logrec type;
	uint64_t wall;
	size_t n;

	while (t->ring_open && logring_next(&t->ring, mem, &type, &wall, &n) == 1) {
		if (type == LOGREC_ACCESS)
			print_record(mem, n);
		else
			print_event(mem, n);
	}
}

static void print_counters(struct harness *t)
{
	for (unsigned i = 0; t->counters && i < METRIC_END; i++)
		printf("%s %llu\n", metric_rows[i].name, (unsigned long long)t->counters->gate[i]);
}

static void set_limit(struct harness *t, const char *text)
{
	static const struct {
		const char *name;
		size_t off;
	} rows[] = {{"header_ms", offsetof(struct snap_site, header_timeout_ms)},
		{"idle_ms", offsetof(struct snap_site, idle_timeout_ms)},
		{"rate_min", offsetof(struct snap_site, rate_min)},
		{"head_max", offsetof(struct snap_site, head_max)},
		{"connections_max", offsetof(struct snap_site, connections_max)}};
	const char *eq = strchr(text, '=');

	must(eq);
	if (!strncmp(text, "access", 6))
		t->rest.access = (uint32_t)strtoul(eq + 1, NULL, 10);
	if (!strncmp(text, "tls", 3))
		t->kind = LISTENER_TLS;
	if (!strncmp(text, "late", 4))
		t->late = true;
	if (!strncmp(text, "body_max", 8))
		t->rest.body_max = strtoull(eq + 1, NULL, 10);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (!strncmp(text, rows[i].name, (size_t)(eq - text)))
			*(uint32_t *)((char *)&t->limits + rows[i].off) =
				(uint32_t)strtoul(eq + 1, NULL, 10);
}

static void obey(struct harness *t, char *line, const char *folder)
{
	struct msg_stop stop = {0};
	struct msg_listener l = {.listener = 7};
	char *arg = strchr(line, ' ');

	if (arg)
		*arg++ = 0;
	if (!strcmp(line, "records"))
		print_records(t);
	else if (!strcmp(line, "counters"))
		print_counters(t);
	else if (!strcmp(line, "snap"))
		give_snap(t, arg ? arg : folder, false);
	else if (!strcmp(line, "damaged"))
		give_snap(t, folder, true);
	else if (!strcmp(line, "auth") && arg)
		start_aide(t, PROC_AUTH, arg);
	else if (!strcmp(line, "resolve") && arg)
		start_aide(t, PROC_RESOLVE, arg);
	else if (!strcmp(line, "unlisten"))
		send_msg(t->chan, MSG_UNLISTEN, &l, sizeof(l), NULL, 0, NULL, 0);
	else if (!strcmp(line, "stop")) {
		stop.drain_ms = stop.tunnel_ms = arg ? (uint32_t)strtoul(arg, &arg, 10) : 1000;
		if (arg && *arg)
			stop.tunnel_ms = (uint32_t)strtoul(arg, NULL, 10);
		send_msg(t->chan, MSG_STOP, &stop, sizeof(stop), NULL, 0, NULL, 0);
	}
	printf("ok\n");
}

int main(int argc, char **argv)
{
	static struct harness t;
	char line[4096];
	int status;

	if (argc < 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	t.rest = snap_route_default();
	t.rest.access = SNAP_ACCESS_JSON;
	t.rest.body_max = 1 << 20;
	t.rest.request_timeout_ms = 30000;
	t.limits = (struct snap_site){.head_max = 32 * 1024,
		.header_timeout_ms = 10000,
		.idle_timeout_ms = 60000,
		.rate_min = 100,
		.queue = 16,
		.queue_timeout_ms = 500};
	for (int i = 3; i < argc; i++)
		set_limit(&t, argv[i]);
	start(&t, argv[1]);
	if (!t.late)
		give_snap(&t, argv[2], false);
	give_listener(&t);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		obey(&t, line, argv[2]);
	}
	obey(&t, (char[]){"stop 0"}, argv[2]);
	while (hear(&t, t.chan, 5000) > 0)
		;
	must(waitpid(t.pid, &status, 0) == t.pid);
	print_records(&t);
	printf("exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	return 0;
}
