/*
 * torture.c: pieces of stead, each run again and again with another of its calls failing.
 *
 * A case does some work whole and undoes it; it returns 0 when the result was right, -errno when
 * the code under test said no, and aborts when the result was wrong. For every N, until the case
 * makes fewer than N calls: no descriptor and no block of memory is left, an interrupted call is
 * nobody's error, and the same work without a fault is done rightly afterwards.
 */
#include "conf/conf.h"
#include "fault.h"
#include "lib/arena.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/chan.h"
#include "lib/durable.h"
#include "lib/logring.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "lib/unitword.h"
#include "link/link.h"
#include "../unit/snap/small_snap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS_MAX = 20000 };

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	must(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A snapshot is built, loaded and asked. */

static int snap_made(int *fds, unsigned *nfds)
{
	static const char *const hosts[] = {"shop.example", "*.wild.example"};
	static const struct small_route routes[] = {
		{"/", NULL, NULL}, {"/static", "/srv", "index.html"}};
	const struct small_snap in = {.name = "shop",
		.hosts = hosts,
		.nhosts = 2,
		.routes = routes,
		.nroutes = 2,
		.rest = snap_route_default(),
		.generation = 42};

	return small_snap_build(&in, fds, nfds);
}

static int case_snap(void)
{
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s = NULL;
	unsigned n;
	int err = snap_made(fds, &n);

	if (err)
		return err;
	err = snap_load(fds, n, &s);
	while (n)
		close(fds[--n]);
	if (err)
		return err;
	must(snap_generation(s) == 42);
	must(snap_site_by_host(s, "a.wild.example", 14, NULL) == snap_site(s, 0));
	snap_unref(s);
	return 0;
}

/* Two ends of a channel exchange a message with a descriptor, and an answer. */

struct talker {
	struct chan c;
	struct talker *other;
	unsigned got, gone;
	int fd;
};

static bool talk_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	(void)c;
	return h->type == 7 && nfds <= 1;
}

static void talk_got(struct chan *c, struct msg *m)
{
	struct talker *t = c->owner;

	must(m->h.len == 5 && memcmp(m->payload, "hello", 5) == 0);
	t->got++;
	if (m->nfds)
		t->fd = msg_take_fd(m, 0);
}

static void talk_gone(struct chan *c, int why)
{
	struct talker *t = c->owner;

	must(!chan_open(c));
	must(why <= 0);
	t->gone++;
}

static int talk(struct loop *l, struct talker *a, struct talker *b)
{
	int err = chan_send(&a->c, 7, 1, "hello", 5, NULL, 0, (int[]){STDIN_FILENO}, 1);

	if (!err)
		err = chan_send(&b->c, 7, 1, "hel", 3, "lo", 2, NULL, 0);
	for (int i = 0; !err && i < 20 && !(a->got && b->got) && !a->gone && !b->gone; i++)
		err = loop_step(l, 10);
	if (a->gone || b->gone)
		err = -EPIPE;
	if (!err)
		must(a->got == 1 && b->got == 1 && b->fd >= 0);
	if (b->fd >= 0)
		close(b->fd);
	return err;
}

static int case_chan(void)
{
	static op_done *const table[] = {CHAN_OPS};
	static const struct chan_ops ops = {talk_allowed, talk_got, talk_gone};
	struct talker a = {.c.lfd = LFD_INIT, .fd = -1}, b = {.c.lfd = LFD_INIT, .fd = -1};
	struct loop *l;
	int fds[2];
	int err = loop_new_epoll(&l, table, ARRAY_LEN(table));

	if (err)
		return err;
	err = loop_sys_socketpair(l, fds);
	if (err)
		goto done;
	err = chan_init(&a.c, l, fds[0], &ops, &a);
	if (err)
		close(fds[0]);
	else
		err = chan_init(&b.c, l, fds[1], &ops, &b);
	if (!chan_open(&b.c))
		close(fds[1]);
	else
		err = talk(l, &a, &b);
	chan_close(&b.c);
	chan_close(&a.c);
done:
	loop_free(l);
	return err;
}

/* The same without a loop. */
static int case_chan_blocking(void)
{
	static char mem[CHAN_PAYLOAD_MAX + 64];
	struct msg m;
	int fds[2];
	int err = sys_socketpair_seqpacket(fds);

	if (err)
		return err;
	err = chan_send_blocking(fds[0], 7, 9, "hel", 3, "lo", 2, (int[]){STDIN_FILENO}, 1);
	if (!err)
		err = chan_recv_blocking(fds[1], &m, mem);
	if (!err) {
		must(m.h.id == 9 && m.h.len == 5 && m.nfds == 1);
		close(msg_take_fd(&m, 0));
	}
	close(fds[0]);
	close(fds[1]);
	return err;
}

static int case_conf(void)
{
	static const char text[] =
		"[Site]\nName=shop\nHost=shop.example www.shop.example\n"
		"[App]\nCommand=app:app\nEnvironment=A=1 \"B=two words\"\nWorkers=cores\n"
		"[Route /static]\nFolder=static\n[Nonsense]\nX=1\n";
	struct conf_facts f = {.name = "app", .home = "/h", .user = "u", .cores = 2};
	struct conf *c = conf_new(&f);
	int err;

	if (!c)
		return -ENOMEM;
	err = conf_read(c, "stead.conf", text, sizeof(text) - 1);
	/* What is wrong in the text must be found, unless memory ended first. */
	if (err != -ENOMEM)
		must(err == -EINVAL && conf_errors(c) > 0 && conf_findings(c));
	conf_free(c);
	if (err == -ENOMEM)
		return err;
	c = conf_new(&f);
	if (!c)
		return -ENOMEM;
	err = conf_put(c, "Site", "", "Name", "shop", CONF_FROM_COMMAND, NULL);
	if (!err)
		err = conf_finish(c);
	if (!err)
		must(strcmp(conf_app(c)->name, "shop") == 0);
	conf_free(c);
	return err;
}

/* Growing texts, and one that fits exactly but for printf's NUL. */
static int case_buf(void)
{
	struct buf b;
	int err;

	buf_init(&b, 200);
	for (unsigned i = 0; i < 10; i++)
		buf_printf(&b, "%09d ", 7);
	buf_printf(&b, "%0*d", (int)(200 - b.len), 7);
	err = b.error;
	must(err || b.len == 200);
	buf_done(&b);
	if (!err) {
		size_t n = 0;
		char *bytes = base64_new("YWJj", 4, &n);

		err = bytes ? 0 : -ENOMEM;
		must(!bytes || (n == 3 && memcmp(bytes, "abc", 3) == 0));
		free(bytes);
	}
	return err;
}

/* The operator's own file: what cannot be read says nothing. */
static int case_unitword(void)
{
	static const char text[] = "[Server]\nAllowUsers=a b\n";
	char words[16];
	int err = unitword_find(text, sizeof(text) - 1, "Server", "AllowUsers", words, sizeof(words));

	must(err < 0 ? words[0] == '\0' : strcmp(words, "a b") == 0);
	if (!err) {
		err = unitword_says(text, sizeof(text) - 1, "AllowUsers", false, "a b");
		must(err < 0 || err == 1);
	}
	if (err >= 0)
		err = unitword_read("/etc/passwd", "Server", "AllowUsers", words, sizeof(words));
	must(words[0] == '\0' || err < 0);
	if (!err)
		err = unitword_file_says("/etc/passwd", "AllowUsers", false, "root");
	must(err <= 0);
	return err;
}

/* Both ends of the memory between a gate and a worker. */
static int case_link(void)
{
	struct link_end a, b = {0};
	int fd, err = link_end_create(&a, &fd);

	if (err)
		return err;
	err = link_end_attach(&b, fd);
	close(fd);
	link_end_done(&b);
	link_end_done(&a);
	return err;
}

/* A record through a ring to its reader, which is woken. */
static int case_logring(void)
{
	static char mem[LOGRING_RECORD_MAX];
	struct logring_writer w;
	struct logring_reader r;
	enum logrec type;
	uint64_t wall;
	size_t n;
	int err = logring_create(&w);

	if (err)
		return err;
	logring_put(&w, LOGREC_EVENT, 5, "hello", 5);
	logring_flush(&w);
	err = logring_open(&r, w.fd, 0);
	if (!err) {
		must(logring_next(&r, mem, &type, &wall, &n) == 1);
		must(type == LOGREC_EVENT && wall == 5 && n == 5);
		logring_close(&r);
	}
	logring_done(&w);
	return err;
}

/* After a failed write the old content is whole, and no temporary is left. */
static int case_durable(void)
{
	char dir[] = "/tmp/stead-torture-XXXXXX", *text = NULL;
	size_t n;
	int err, dirfd;

	must(mkdtemp(dir));
	fault_hold(true);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dirfd >= 0 && durable_write_sum(dirfd, "f", "old", 3, 0600) == 0);
	fault_hold(false);
	err = durable_write_sum(dirfd, "f", "new", 3, 0600);
	fault_hold(true);
	must(durable_read_sum(dirfd, "f", 100, &text, &n) == 0 && n == 3);
	/* The last step, which only makes the new one last, can fail when it stands already. */
	must(memcmp(text, "new", 3) == 0 || (err && memcmp(text, "old", 3) == 0));
	free(text);
	fault_hold(false);
	if (!err) {
		err = durable_read_sum(dirfd, "f", 100, &text, &n);
		if (!err)
			free(text);
	}
	fault_hold(true);
	must(unlinkat(dirfd, "f", 0) == 0);
	close(dirfd);
	must(rmdir(dir) == 0);
	fault_hold(false);
	return err;
}

static int case_read_file(void)
{
	char *text;
	size_t n;
	int err = sys_read_file(AT_FDCWD, "/proc/self/smaps_rollup", 1 << 20, &text, &n);

	if (!err) {
		must(n > 0 && strlen(text) == n);
		free(text);
	}
	return err;
}

static const struct {
	const char *name;
	int (*run)(void);
} cases[] = {
	{"snapshot", case_snap},
	{"channel", case_chan},
	{"channel, blocking", case_chan_blocking},
	{"conf", case_conf},
	{"texts", case_buf},
	{"words of a unit", case_unitword},
	{"link", case_link},
	{"log ring", case_logring},
	{"durable file", case_durable},
	{"small file", case_read_file},
};

static int say(const char *name, unsigned nth, enum fault_kind kind, const char *what)
{
	fprintf(stderr, "%s: call %u, %s, %s: %s\n", name, nth, fault_name(),
		kind == FAULT_HARD ? "failed" : "interrupted", what);
	return 1;
}

/* How many rules were broken. */
static int torture(unsigned which, enum fault_kind kind)
{
	const char *name = cases[which].name;
	unsigned nth = 1, fds = open_fds(), refused = 0;
	long blocks = fault_blocks();
	int bad = 0;

	for (; nth < CALLS_MAX; nth++) {
		bool hit;
		int err;

		fault_arm(nth, kind);
		err = cases[which].run();
		hit = fault_disarm();
		refused += err != 0;
		if (open_fds() != fds)
			bad += say(name, nth, kind, "a descriptor was left or lost");
		if (fault_blocks() != blocks)
			bad += say(name, nth, kind, "memory was left");
		if (err > 0)
			bad += say(name, nth, kind, "the error is not a negative errno");
		if (err && (!hit || kind == FAULT_EINTR))
			bad += say(name, nth, kind, strerror(-err));
		if (cases[which].run() != 0)
			bad += say(name, nth, kind, "the next try failed too");
		if (!hit || bad)
			break;
	}
	printf("%s, %s: %u calls, %u refused\n", name,
		kind == FAULT_HARD ? "failing" : "interrupted", nth - 1, refused);
	/* A case whose calls are not led through fault.c would pass without a test. */
	if (nth == CALLS_MAX || (kind == FAULT_HARD && refused == 0))
		bad += say(name, nth, kind, "the fault does not come");
	return bad;
}

/* conf's memory comes in blocks, so that few of its pieces meet the end of one: here a text of another length stands
 * before them each time, and the next block is not to be had. How many rules were broken. */
static int torture_conf(void)
{
	static const char text[] =
		"[Site]\nName=shop\nDomain=shop.example [2001:db8::1]\nStatic=/s st\nErrorPage=404 /n.html\nRoot=pub\n"
		"[Route /a]\nRoot=x\n[Service]\nEnvironment=A=%n \"B=two words\" \\\n C=3\nUnsetEnvironment=D\n[Python]\nWsgi=m.n:o\n"
		"[Server]\nListen=:80 [::]:80\nMetrics=127.0.0.1:9145\n[X-Y]\nA=1\n";
	static char before[16 * 1024];
	enum { NTH = 48 }; /* the first two calls are for conf itself and its first block */
	unsigned refused = 0, hits = 0, bad = 0;
	long blocks = fault_blocks();

	memset(before, 'n', sizeof(before));
	for (size_t i = 0; i < 766 * NTH; i++) {
		size_t n = 4096 + i / NTH * 16;
		struct conf_facts f = {.name = "app", .home = "/h", .user = "u", .folder = before, .cores = 2};
		struct conf *c;
		int err;

		before[n] = '\0';
		fault_arm((unsigned)(3 + i % NTH), FAULT_HARD);
		c = conf_new(&f);
		err = c ? conf_read(c, "stead.conf", text, sizeof(text) - 1) : -ENOMEM;
		conf_free(c);
		hits += fault_disarm();
		before[n] = 'n';
		refused += err == -ENOMEM;
		if ((err && err != -ENOMEM) || fault_blocks() != blocks)
			bad += say("conf, each place", (unsigned)n, FAULT_HARD, err ? strerror(-err) : "memory was left");
	}
	printf("conf, each place: %u refused\n", refused);
	/* Whatever was not to be had is told. */
	if (hits != refused || refused < 750)
		bad += say("conf, each place", hits, FAULT_HARD, "the fault does not come, or is not told");
	return (int)bad;
}

int main(void)
{
	int bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		must(cases[i].run() == 0);
		for (enum fault_kind k = 0; k < FAULT_KINDS; k++)
			bad += torture(i, k);
	}
	bad += torture_conf();
	return bad != 0;
}
