/*
 * store.c: the parent's state in systemd's store of descriptors, for the day that somebody kills the parent.
 *
 * Called by main.c at start and at the end of a turn in which something changed. Each descriptor that the state names
 * is in the store under its name (sd_notify(3): FDSTORE=1, FDNAME=), and one piece of memory has the state itself,
 * twice: a half is written whole before one word says that it counts, so a kill at any instruction leaves the one or
 * the other. A turn that changes nothing sends nothing. What a turn made and had not stored when it was killed is
 * ended by the next parent (adopt.c), or ends by itself: its channel closes.
 *
 * Owns the memory and the list of what is stored. Reads nothing: the manager never answers.
 */
#include "store.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STORE_MAGIC 0x31726f7453646153ull /* "SadStor1" */

enum { HALF_MIN = 64 * 1024, HEAD_BYTES = 4096, AGAIN_MS = 20, TEXT_MAX = 128 };

struct store_head {
	uint64_t magic;
	uint64_t half;           /* bytes of each */
	_Atomic uint64_t active; /* 0 none, else 1 or 2: which half counts */
};

struct store {
	struct parent *parent;
	struct sockaddr_un to;
	socklen_t to_len;
	int sock;
	struct store_head *map;
	int fd; /* of the memory */
	uint32_t number; /* in its name */
	char (*names)[STATE_NAME_MAX]; /* what is stored, sorted */
	unsigned names_n;
	uint64_t checksum; /* of what was written last */
	struct timer again;
	bool told; /* that it cannot be kept */
};

/* ---- what the manager hands back ---- */

int store_take(struct state_fd **ret, unsigned *ret_n)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	unsigned long n = count != NULL ? strtoul(count, NULL, 10) : 0;
	struct state_fd *list;

	*ret = NULL;
	*ret_n = 0;
	if (pid == NULL || strtol(pid, NULL, 10) != (long)getpid() || names == NULL || n == 0 || n > STATE_FDS_MAX)
		return 0;
	if ((list = calloc(n, sizeof(*list))) == NULL)
		return -ENOMEM;
	for (unsigned long i = 0; i < n; i++) {
		size_t len = strcspn(names, ":");

		if (len < sizeof(list->name) && strncmp(names, "stead-", 6) == 0) {
			struct state_fd *f = &list[(*ret_n)++];

			memcpy(f->name, names, len);
			f->fd = 3 + (int)i;
			sys_cloexec(f->fd, true);
		}
		names += len + (names[len] == ':');
	}
	*ret = list;
	return 0;
}

/* The half that counts. -EBADMSG. */
static int half_of(const void *bytes, size_t n, const char **ret, size_t *ret_n)
{
	const struct store_head *h = bytes;
	uint64_t active, half;

	if (n < HEAD_BYTES || h->magic != STORE_MAGIC)
		return -EBADMSG;
	active = atomic_load_explicit(&((struct store_head *)(uintptr_t)h)->active, memory_order_acquire);
	half = h->half;
	if (active < 1 || active > 2 || half > (n - HEAD_BYTES) / 2)
		return -EBADMSG;
	*ret = (const char *)bytes + HEAD_BYTES + (active - 1) * half;
	*ret_n = half;
	return 0;
}

int store_load(struct parent *p, struct state_fd *have, unsigned have_n)
{
	static const char prefix[] = STORE_STATE_NAME;
	int e = -ENOENT, fd = -1;
	const void *map;
	const char *bytes;
	size_t n, bytes_n;

	/* While a larger one takes its place there are two: the newer one counts. */
	for (unsigned i = 0; i < have_n; i++) {
		unsigned long number;

		if (strncmp(have[i].name, prefix, sizeof(prefix) - 1) != 0)
			continue;
		number = strtoul(have[i].name + sizeof(prefix) - 1, NULL, 10);
		if (number < UINT32_MAX && (fd < 0 || number > p->store_number)) {
			p->store_number = (uint32_t)number;
			fd = have[i].fd;
		}
	}
	if (fd < 0 || (e = state_map(fd, &map, &n)) < 0)
		return e;
	if ((e = half_of(map, n, &bytes, &bytes_n)) == 0)
		e = state_load(p, bytes, bytes_n, have, have_n);
	munmap((void *)(uintptr_t)map, n);
	return e;
}

/* ---- what it is told ---- */

static int tell(struct store *s, const char *text, int fd, bool patient)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	union {
		struct cmsghdr h;
		char mem[CMSG_SPACE(sizeof(int))];
	} c = {.mem = {0}};
	struct msghdr m = {.msg_name = &s->to, .msg_namelen = s->to_len, .msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		m.msg_control = c.mem;
		m.msg_controllen = sizeof(c.mem);
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	}
	return sendmsg(s->sock, &m, MSG_NOSIGNAL | (patient ? 0 : MSG_DONTWAIT)) < 0 ? -errno : 0;
}

static int put_in(struct store *s, const char *name, int fd)
{
	char text[TEXT_MAX];

	/* It stays also when its other end is gone: who takes it over has to learn of that. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0\n", name);
	return tell(s, text, fd, false);
}

static int take_out(struct store *s, const char *name, bool patient)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s\n", name);
	return tell(s, text, -1, patient);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int fd_by_name(const void *a, const void *b)
{
	const struct state_fd *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static bool is_stored(const struct store *s, const char *name)
{
	return bsearch(name, s->names, s->names_n, sizeof(*s->names), by_name) != NULL;
}

/* The names of fds, each once; they are sorted. NULL without memory. */
static char (*names_of(const struct state_fd *fds, unsigned n, unsigned *ret_n))[STATE_NAME_MAX]
{
	char(*names)[STATE_NAME_MAX] = calloc((size_t)n + 1, sizeof(*names));

	*ret_n = 0;
	for (unsigned i = 0; names != NULL && i < n; i++)
		if (i == 0 || strcmp(fds[i].name, fds[i - 1].name) != 0)
			memcpy(names[(*ret_n)++], fds[i].name, STATE_NAME_MAX);
	return names;
}

/* ---- the memory ---- */

static void state_name(uint32_t number, char ret[static STATE_NAME_MAX])
{
	snprintf(ret, STATE_NAME_MAX, STORE_STATE_NAME "%u", (unsigned)number);
}

static void forget_memory(struct store *s)
{
	if (s->map != NULL)
		munmap(s->map, HEAD_BYTES + 2 * s->map->half);
	if (s->fd >= 0)
		close(s->fd);
	s->map = NULL;
	s->fd = -1;
}

/* Memory for states of n bytes; what there was stays in the store until this one is full. */
static int make_memory(struct store *s, size_t n)
{
	size_t half = HALF_MIN, all;
	char name[STATE_NAME_MAX];
	void *map;

	while (half < n)
		half *= 2;
	all = HEAD_BYTES + 2 * half;
	int fd = memfd_create("stead-state", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	map = ftruncate(fd, (off_t)all) < 0 ? MAP_FAILED : mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		int e = -errno;

		close(fd);
		return e;
	}
	forget_memory(s);
	s->map = map;
	s->fd = fd;
	s->map->half = half;
	s->map->magic = STORE_MAGIC;
	state_name(++s->number, name);
	s->parent->store_number = s->number;
	s->checksum = 0;
	return put_in(s, name, fd);
}

static int write_state(struct store *s, const struct state *state)
{
	char name[STATE_NAME_MAX];
	bool fresh = s->map == NULL || state->b.len > s->map->half;
	int e = fresh ? make_memory(s, state->b.len) : 0;

	if (e < 0) {
		forget_memory(s);
		return e;
	}
	uint64_t next = atomic_load_explicit(&s->map->active, memory_order_relaxed) == 1 ? 2 : 1;

	memcpy((char *)s->map + HEAD_BYTES + (next - 1) * s->map->half, state->b.p, state->b.len);
	atomic_store_explicit(&s->map->active, next, memory_order_release);
	if (fresh && s->number > 1) {
		state_name(s->number - 1, name);
		(void)take_out(s, name, false);
	}
	return 0;
}

/* ---- the end of a turn ---- */

/* What of the state is not there yet. The manager reads its socket at its own pace: what it took is remembered, and the
 * rest is for the next time. */
static int put_new(struct store *s, const struct state *state)
{
	char(*names)[STATE_NAME_MAX] = calloc((size_t)s->names_n + state->fds_n + 1, sizeof(*names));
	unsigned n = s->names_n;
	int e = 0;

	if (names == NULL)
		return -ENOMEM;
	memcpy(names, s->names, n * sizeof(*names));
	for (unsigned i = 0; i < state->fds_n && e == 0; i++) {
		const struct state_fd *f = &state->fds[i];

		if ((i > 0 && strcmp(f->name, f[-1].name) == 0) || is_stored(s, f->name))
			continue;
		if ((e = put_in(s, f->name, f->fd)) == 0)
			memcpy(names[n++], f->name, sizeof(*names));
	}
	qsort(names, n, sizeof(*names), by_name);
	free(s->names);
	s->names = names;
	s->names_n = n;
	return e;
}

/* What is new goes in before the state that names it counts; what is not named any more is taken out behind that. */
static int store_state(struct store *s, struct state *state)
{
	unsigned kept = 0;
	int e;

	qsort(state->fds, state->fds_n, sizeof(*state->fds), fd_by_name);
	if ((e = put_new(s, state)) < 0 || (e = write_state(s, state)) < 0)
		return e;
	for (unsigned i = 0; i < s->names_n; i++)
		if (bsearch(s->names[i], state->fds, state->fds_n, sizeof(*state->fds), fd_by_name) != NULL ||
			take_out(s, s->names[i], false) < 0)
			memmove(s->names[kept++], s->names[i], sizeof(*s->names));
	s->names_n = kept;
	return 0;
}

void store_update(struct parent *p)
{
	struct store *s = p->store;
	struct state state;
	uint64_t sum;
	int e;

	if (s == NULL || s->again.at_ms != 0 || p->stop_step != STOP_NOT)
		return;
	e = state_save(p, &state);
	sum = e == 0 ? sys_checksum(state.b.p, state.b.len) : 0;
	if (e == 0 && sum != s->checksum)
		e = store_state(s, &state);
	state_done(&state);
	if (e == 0) {
		s->checksum = sum;
		s->told = false;
	} else {
		/* The manager is slow to read, or there is no memory. */
		loop_timer_in(p->loop, &s->again, AGAIN_MS);
		if (!s->told && e != -EAGAIN)
			say_text(p, EV_STORE_FAILED, "error", strerror(-e), NULL, NULL);
		s->told = true;
	}
}

void store_on_again(struct loop *l, struct op *op, int res)
{
	struct store *s = container_of(op, struct store, again.op);

	(void)l;
	(void)res;
	store_update(s->parent);
}

int store_init(struct parent *p, struct state_fd *have, unsigned have_n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct store *s;
	size_t n = path != NULL ? strlen(path) : 0;

	if (n < 2 || n >= sizeof(s->to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return 0;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return -ENOMEM;
	*s = (struct store){.parent = p, .fd = -1, .to.sun_family = AF_UNIX, .number = p->store_number};
	s->again.op.kind = OP_STORE_AGAIN;
	memcpy(s->to.sun_path, path, n);
	if (path[0] == '@')
		s->to.sun_path[0] = '\0';
	s->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	s->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (have_n != 0)
		qsort(have, have_n, sizeof(*have), fd_by_name);
	s->names = names_of(have, have_n, &s->names_n);
	/* A manager that does not read keeps nobody from ending. */
	(void)setsockopt(s->sock, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = 1}, sizeof(struct timeval));
	if (s->sock < 0 || s->names == NULL) {
		free(s->names);
		free(s);
		return -ENOMEM;
	}
	p->store = s;
	return 0;
}

void store_forget(struct parent *p, struct state_fd *have, unsigned have_n)
{
	if (store_init(p, have, have_n) < 0 || p->store == NULL)
		return;
	for (unsigned i = 0; i < p->store->names_n; i++)
		(void)take_out(p->store, p->store->names[i], true);
}

void store_done(struct parent *p)
{
	struct store *s = p->store;

	if (s == NULL)
		return;
	/* Stopped on purpose: nothing is left to be taken over. */
	for (unsigned i = 0; i < s->names_n; i++)
		(void)take_out(s, s->names[i], true);
	if (s->map != NULL) {
		char name[STATE_NAME_MAX];

		state_name(s->number, name);
		(void)take_out(s, name, true);
	}
	forget_memory(s);
	loop_timer_stop(p->loop, &s->again);
	close(s->sock);
	free(s->names);
	free(s);
	p->store = NULL;
}
