/*
 * sim.c: the simulated world: clock, descriptors, open files, and whose turn it is.
 *
 * Called by tests and by loop_sim.c. Owns every simulated file and the list of loops in the world.
 * Everything that is left to chance comes from the one seeded generator, in an order that depends
 * on nothing else, so a failing seed fails again.
 */
#include "lib/sim_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIM_TURNS_MAX = 1000000 };

int sim_new(struct sim **ret_sim, const struct sim_options *o)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->o = *o;
	s->random = o->seed;
	if (!s->o.stream_bytes)
		s->o.stream_bytes = 64 * 1024;
	if (!s->o.fds_max)
		s->o.fds_max = 65536;
	s->now_us = 1000000;
	s->wall_offset_us = 1700000000ll * 1000000;
	s->next_port = 1024;
	*ret_sim = s;
	return 0;
}

void sim_free(struct sim *s)
{
	if (!s)
		return;
	must(s->loops_n == 0);
	for (unsigned i = 0; i < s->fds_n; i++)
		if (s->fds[i].file)
			sim_close(s, SIM_FD_BASE + (int)i);
	/* A socket that lies unread in a socket that it itself carries would still be here. */
	must(!s->files);
	free(s->fds);
	free(s);
}

/* splitmix64: small, and every seed is as good as another. */
uint64_t sim_random(struct sim *s)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t sim_below(struct sim *s, uint64_t n)
{
	must(n > 0);
	return sim_random(s) % n;
}

bool sim_chance(struct sim *s, unsigned permille)
{
	return permille && sim_below(s, 1000) < permille;
}

uint64_t sim_now_us(const struct sim *s)
{
	return s->now_us;
}

void sim_advance_us(struct sim *s, uint64_t us)
{
	s->now_us += us;
	sim_arrive(s);
}

void sim_set_wall_us(struct sim *s, uint64_t wall_us)
{
	s->wall_offset_us = (int64_t)(wall_us - s->now_us);
	for (unsigned i = 0; i < s->loops_n; i++)
		loop_clock_was_set(s->loops[i]);
}

void sim_calm(struct sim *s)
{
	s->o.pieces_permille = s->o.short_permille = s->o.refuse_permille = 0;
	s->o.reorder_permille = s->o.emfile_permille = 0;
	s->o.latency_us_max = 0;
}

size_t sim_capacity(const struct sim *s)
{
	return s->o.stream_bytes;
}

/* Descriptors and files. */

struct sim_fd *sim_fd_of(struct sim *s, int fd)
{
	int at = fd - SIM_FD_BASE;

	return at >= 0 && (unsigned)at < s->fds_n && s->fds[at].file ? &s->fds[at] : NULL;
}

struct sim_file *sim_file_of(struct sim *s, int fd)
{
	struct sim_fd *d = sim_fd_of(s, fd);

	return d ? d->file : NULL;
}

struct sim_file *sim_file_new(struct sim *s, enum sim_kind kind)
{
	struct sim_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->kind = kind;
	f->refs = 1;
	f->first_fd = -1;
	f->in.last = &f->in.first;
	f->next = s->files;
	if (f->next)
		f->next->prev = f;
	s->files = f;
	return f;
}

void sim_file_ref(struct sim_file *f)
{
	f->refs++;
}

/* The last reference is gone: tell the peer as the kernel does. */
static void file_end(struct sim *s, struct sim_file *f)
{
	struct sim_file *peer = f->peer;

	if (peer) {
		/* Unread data makes the end a reset. */
		if (f->in.len > 0 && f->kind != SIM_PIPE_IN)
			peer->err = ECONNRESET;
		peer->peer = NULL;
		sim_queue_put_end(s, peer);
		sim_edge(s, peer);
	}
	for (unsigned i = 0; i < f->backlog_n; i++) {
		struct sim_file *waiting = f->backlog[i];

		if (waiting->peer)
			waiting->peer->err = ECONNRESET;
		sim_file_unref(s, waiting);
	}
	free(f->backlog);
	sim_queue_done(s, &f->in);
	if (f->prev)
		f->prev->next = f->next;
	else
		s->files = f->next;
	if (f->next)
		f->next->prev = f->prev;
	free(f);
}

void sim_file_unref(struct sim *s, struct sim_file *f)
{
	must(f->refs > 0);
	if (--f->refs == 0)
		file_end(s, f);
}

/* The lowest free number, as the kernel gives it: numbers are reused at once. */
int sim_fd_new(struct sim *s, struct sim_file *f)
{
	unsigned i = 0;

	if (s->fds_open >= s->o.fds_max)
		return -EMFILE;
	while (i < s->fds_n && s->fds[i].file)
		i++;
	if (i == s->fds_n) {
		unsigned n = s->fds_n ? s->fds_n * 2 : 64;
		struct sim_fd *fds = realloc(s->fds, n * sizeof(*fds));

		if (!fds)
			return -ENOMEM;
		memset(fds + s->fds_n, 0, (n - s->fds_n) * sizeof(*fds));
		s->fds = fds;
		s->fds_n = n;
	}
	s->fds[i] = (struct sim_fd){.file = f, .next_fd = f->first_fd};
	f->first_fd = (int)i;
	sim_file_ref(f);
	s->fds_open++;
	return SIM_FD_BASE + (int)i;
}

void sim_close(struct sim *s, int fd)
{
	struct sim_fd *d = sim_fd_of(s, fd);
	struct sim_file *f;
	int *link;

	must(d);
	f = d->file;
	for (link = &f->first_fd; *link != fd - SIM_FD_BASE; link = &s->fds[*link].next_fd)
		must(*link >= 0);
	*link = d->next_fd;
	*d = (struct sim_fd){0};
	s->fds_open--;
	sim_file_unref(s, f);
}

int sim_dup(struct sim *s, int fd)
{
	struct sim_file *f = sim_file_of(s, fd);

	if (fd < SIM_FD_BASE) {
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	return f ? sim_fd_new(s, f) : -EBADF;
}

unsigned sim_open_fds(const struct sim *s)
{
	return s->fds_open;
}

/* A descriptor for a file just made; the reference of the maker becomes the descriptor's. */
static int publish(struct sim *s, struct sim_file *f)
{
	int fd = sim_fd_new(s, f);

	sim_file_unref(s, f);
	return fd;
}

static int make_pair(struct sim *s, enum sim_kind a, enum sim_kind b, int ret_fds[2])
{
	struct sim_file *fa = sim_file_new(s, a), *fb = sim_file_new(s, b);
	int fds[2];

	if (!fa || !fb) {
		if (fa)
			sim_file_unref(s, fa);
		if (fb)
			sim_file_unref(s, fb);
		return -ENOMEM;
	}
	fa->peer = fb;
	fb->peer = fa;
	fds[0] = publish(s, fa);
	if (fds[0] < 0) {
		sim_file_unref(s, fb);
		return fds[0];
	}
	fds[1] = publish(s, fb);
	if (fds[1] < 0) {
		sim_close(s, fds[0]);
		return fds[1];
	}
	ret_fds[0] = fds[0];
	ret_fds[1] = fds[1];
	return 0;
}

int sim_stream_pair(struct sim *s, int ret_fds[2])
{
	return make_pair(s, SIM_STREAM, SIM_STREAM, ret_fds);
}

int sim_seqpacket_pair(struct sim *s, int ret_fds[2])
{
	return make_pair(s, SIM_SEQPACKET, SIM_SEQPACKET, ret_fds);
}

int sim_pipe(struct sim *s, int ret_fds[2])
{
	return make_pair(s, SIM_PIPE_IN, SIM_PIPE_OUT, ret_fds);
}

int sim_listen(struct sim *s, unsigned backlog)
{
	struct sim_file *f = sim_file_new(s, SIM_LISTENER);

	if (!f)
		return -ENOMEM;
	f->backlog = calloc(backlog, sizeof(struct sim_file *));
	if (!f->backlog) {
		sim_file_unref(s, f);
		return -ENOMEM;
	}
	f->backlog_max = backlog;
	return publish(s, f);
}

int sim_connect(struct sim *s, int listener_fd)
{
	struct sim_file *listener = sim_file_of(s, listener_fd);
	int fds[2], err;

	if (!listener || listener->kind != SIM_LISTENER)
		return -ECONNREFUSED;
	if (listener->backlog_n == listener->backlog_max)
		return -EAGAIN;
	err = sim_stream_pair(s, fds);
	if (err)
		return err;
	/* The server's end lives in the queue until it is accepted and needs no descriptor there.
	 */
	listener->backlog[listener->backlog_n] = sim_file_of(s, fds[1]);
	sim_file_ref(listener->backlog[listener->backlog_n++]);
	sim_close(s, fds[1]);
	sim_edge(s, listener);
	return fds[0];
}

void sim_reset(struct sim *s, int fd)
{
	struct sim_file *f = sim_file_of(s, fd), *peer;

	must(f && f->kind == SIM_STREAM);
	peer = f->peer;
	if (peer) {
		sim_queue_lose_unarrived(s, &peer->in);
		peer->err = ECONNRESET;
	}
	sim_close(s, fd);
}

/* Readiness. */

void sim_edge(struct sim *s, struct sim_file *f)
{
	for (int i = f->first_fd; i >= 0; i = s->fds[i].next_fd)
		if (s->fds[i].loop)
			s->fds[i].pending = true;
}

uint32_t sim_readiness(const struct sim_file *f, size_t capacity)
{
	uint32_t flags = 0;

	if (f->kind == SIM_LISTENER)
		return f->backlog_n ? LFD_READABLE : 0;
	if (f->in.arrived || f->in.fin_arrived || f->shut_read || f->err)
		flags |= LFD_READABLE;
	if (f->in.fin_arrived || f->shut_read)
		flags |= LFD_RDHUP;
	if (!f->peer && (f->in.fin_arrived || f->err))
		flags |= LFD_HUP;
	if (f->err || (f->kind == SIM_PIPE_OUT && !f->peer))
		flags |= LFD_ERR;
	if (!f->poke_us && (!f->peer || f->peer->in.weight < capacity))
		flags |= LFD_WRITABLE;
	return flags;
}

void sim_arrive(struct sim *s)
{
	for (struct sim_file *f = s->files; f; f = f->next) {
		if (f->in.due_us && f->in.due_us <= s->now_us)
			sim_queue_arrive(s, f);
		if (f->poke_us && f->poke_us <= s->now_us) {
			f->poke_us = 0;
			sim_edge(s, f);
		}
	}
}

uint64_t sim_next_due_us(const struct sim *s)
{
	uint64_t next = UINT64_MAX;

	for (const struct sim_file *f = s->files; f; f = f->next) {
		if (f->in.due_us)
			next = min_of(next, f->in.due_us);
		if (f->poke_us)
			next = min_of(next, f->poke_us);
	}
	return next;
}

/* Turns. */

static uint64_t timer_due_us(const struct loop *l)
{
	uint64_t ms = loop_next_timer_ms(l);

	return ms > UINT64_MAX / 1000 ? UINT64_MAX : ms * 1000;
}

static bool loop_has_work(const struct sim *s, const struct loop *l)
{
	if (loop_busy(l) || timer_due_us(l) <= s->now_us)
		return true;
	for (unsigned i = 0; i < s->fds_n; i++)
		if (s->fds[i].loop == l && s->fds[i].pending)
			return true;
	return false;
}

bool sim_step(struct sim *s)
{
	struct loop *ready[SIM_LOOPS_MAX];
	uint64_t next;
	unsigned n = 0;

	sim_arrive(s);
	for (unsigned i = 0; i < s->loops_n; i++)
		if (loop_has_work(s, s->loops[i]))
			ready[n++] = s->loops[i];
	if (n) {
		loop_step(ready[sim_below(s, n)], 0);
		return true;
	}
	next = sim_next_due_us(s);
	for (unsigned i = 0; i < s->loops_n; i++)
		next = min_of(next, timer_due_us(s->loops[i]));
	if (next == UINT64_MAX)
		return false;
	s->now_us = max_of(s->now_us, next);
	return true;
}

static int run(struct sim *s, bool (*done)(void *arg), void *arg, uint64_t until_us)
{
	uint64_t at = s->now_us;
	unsigned turns = 0;

	while (!done || !done(arg)) {
		if (s->now_us >= until_us)
			return -ETIMEDOUT;
		if (!sim_step(s))
			return -EDEADLK;
		turns = at == s->now_us ? turns + 1 : 0;
		at = s->now_us;
		if (turns > SIM_TURNS_MAX)
			return -ELOOP;
	}
	return 0;
}

int sim_run_until(struct sim *s, bool (*done)(void *arg), void *arg, uint64_t max_ms)
{
	return run(s, done, arg, s->now_us + max_ms * 1000);
}

int sim_run_ms(struct sim *s, uint64_t ms)
{
	int err = run(s, NULL, NULL, s->now_us + ms * 1000);

	return err == -ELOOP ? err : 0;
}
