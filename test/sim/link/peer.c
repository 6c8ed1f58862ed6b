/*
 * peer.c: see peer.h.
 */
#include "peer.h"
#include "lib/must.h"
#include "lib/sys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

void peer_init(struct peer *p, struct sim *s, int sock)
{
	void *map;

	memset(p, 0, sizeof(*p));
	p->sim = s;
	p->sock = sock;
	p->wake_rd = p->wake_wr = -1;
	must(sys_shm_create("status", sizeof(*p->status), &p->status_fd, &map) == 0);
	p->status = map;
	/* Some are fast, so that the gate gives them more than one and naps. */
	if (sim_chance(s, 500))
		atomic_store(&p->status->service_us, 1 + (uint32_t)sim_below(s, 400));
}

static void peer_close(struct peer *p)
{
	if (p->closed)
		return;
	p->closed = true;
	sim_close(p->sim, p->sock);
	if (p->wake_rd >= 0)
		sim_close(p->sim, p->wake_rd);
	if (p->wake_wr >= 0)
		sim_close(p->sim, p->wake_wr);
}

void peer_done(struct peer *p)
{
	peer_close(p);
	link_end_done(&p->e);
	sys_shm_unmap(p->status, sizeof(*p->status));
	close(p->status_fd);
}

static void send_fds(struct peer *p, const void *bytes, size_t n, const int *fds, unsigned nfds)
{
	struct iovec iov = {(void *)bytes, n};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control));
	if (nfds) {
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	(void)sim_sendmsg(p->sim, p->sock, &h, 0);
}

/* An unsealed page, one of another size, no page at all, or a hello of nonsense. */
static void bad_hello(struct peer *p, struct link_hello *hello, int *fds)
{
	switch (sim_below(p->sim, 7)) {
	case 0:
		close(fds[0]);
		fds[0] = memfd_create("unsealed", MFD_CLOEXEC);
		must(ftruncate(fds[0], LINK_MEM_BYTES) == 0);
		return;
	case 1:
		hello->magic ^= 1ull << sim_below(p->sim, 64);
		return;
	case 2:
		hello->min = 40;
		hello->max = 50;
		return;
	case 3:
		hello->threads = (uint32_t)sim_random(p->sim);
		return;
	case 4:
		hello->slots = (uint32_t)sim_random(p->sim);
		return;
	case 5:
		hello->concurrency = (uint32_t)sim_random(p->sim);
		hello->form = (uint32_t)sim_random(p->sim);
		return;
	default:
		dup2(STDERR_FILENO, fds[0]);
		return;
	}
}

static void hello(struct peer *p)
{
	struct link_hello h;
	struct iovec iov = {&h, sizeof(h)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	int got[3], fds[2];
	ssize_t n = sim_recvmsg(p->sim, p->sock, &m, 0);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		peer_close(p);
		return;
	}
	must(link_hello_check(&h, (size_t)n) > 0);
	must(CMSG_FIRSTHDR(&m)->cmsg_len == CMSG_LEN(sizeof(got)));
	memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	must(link_end_create(&p->e, &fds[0]) == 0);
	must(link_end_attach(&p->e, got[0]) == 0);
	close(got[0]);
	p->wake_rd = got[1];
	p->wake_wr = got[2];
	fds[1] = p->status_fd;
	link_hello_fill(&h);
	h.threads = p->threads ? p->threads : 1;
	h.concurrency = p->async ? 100 : 0;
	h.form = p->async ? LINK_FORM_FIELDS : LINK_FORM_CGI;
	if (p->hostile && sim_chance(p->sim, 150))
		bad_hello(p, &h, fds);
	send_fds(p, &h, sizeof(h), fds, 2);
	close(fds[0]);
	p->up = true;
}

/* Before each step on shared memory. False: it is dead, and does nothing more. */
static bool alive(struct peer *p)
{
	p->dead |= p->die_at && ++p->ops >= p->die_at;
	return !p->dead;
}

static void flush(struct peer *p)
{
	if (!alive(p))
		return;
	link_publish(&p->e);
	if (alive(p) && link_must_wake(&p->e, false) && alive(p))
		(void)sim_write(p->sim, p->wake_wr, "", 1);
}

/* Under a hostile seed a few of the numbers are not what they should be. */
static uint64_t bend(struct peer *p, uint64_t right)
{
	if (!p->hostile || !sim_chance(p->sim, p->hostility))
		return right;
	switch (sim_below(p->sim, 5)) {
	case 0:
		return sim_random(p->sim);
	case 1:
		return right + 1;
	case 2:
		return right - 1;
	case 3:
		return UINT64_MAX;
	default:
		return sim_below(p->sim, 200);
	}
}

static size_t make_head(struct peer *p, unsigned i, char *to, size_t body, bool say_length)
{
	static const char name[] = "X-Test";
	char value[PEER_TAG + 1];
	struct link_head h = {.status = (uint16_t)bend(p, 200),
		.nfields = (uint16_t)bend(p, 1),
		.reason_len = (uint32_t)bend(p, 2),
		.content_length = -1};
	uint16_t name_len = (uint16_t)bend(p, 6);
	uint32_t value_len = (uint32_t)bend(p, PEER_TAG);

	if (say_length)
		h.content_length = (int64_t)bend(p, body);
	memcpy(to, &h, sizeof(h));
	to += sizeof(h);
	memcpy(to, "OK", 2);
	memcpy(to + 2, &name_len, 2);
	memset(to + 4, 0, 2);
	memcpy(to + 6, &value_len, 4);
	memcpy(to + 10, name, 6);
	snprintf(value, sizeof(value), "%04x-%016llx", p->number & 0xffff,
		(unsigned long long)p->held[i].id);
	memcpy(to + 16, value, PEER_TAG);
	return sizeof(h) + 2 + 8 + 6 + PEER_TAG;
}

static void put(struct peer *p, unsigned i, uint16_t type, uint16_t flags, uint32_t arg, size_t n)
{
	struct link_desc d = {.id = bend(p, p->held[i].id),
		.type = (uint16_t)bend(p, type),
		.flags = (uint16_t)bend(p, flags),
		.arg = (uint32_t)bend(p, arg),
		.seat = (uint16_t)bend(p, p->held[i].seat)};
	uint32_t at = p->e.head % LINK_SLOTS;

	if (!alive(p))
		return;
	link_put(&p->e, &d, n);
	if (p->hostile) {
		p->e.page->desc[at].off = (uint32_t)bend(p, p->e.page->desc[at].off);
		p->e.page->desc[at].len = (uint32_t)bend(p, p->e.page->desc[at].len);
	}
}

static void done_with(struct peer *p, unsigned i)
{
	p->answered++;
	p->held[i] = p->held[--p->nheld];
}

/* A head, and two pieces of a body. */
static void answer_piece(struct peer *p, unsigned i)
{
	unsigned piece = p->held[i].sent;
	int err;
	char *room = alive(p) ? link_room(&p->e, 4096, &err) : NULL;
	size_t head;

	if (!room)
		return;
	if (piece == 0) {
		head = make_head(p, i, room, 0, false);
		put(p, i, LINK_HEAD, 0, (uint32_t)head, head);
	} else {
		memset(room, peer_byte(p->held[i].id), 100);
		put(p, i, LINK_BODY, piece == 2 ? LINK_END : 0, 0, 100);
	}
	flush(p);
	p->held[i].sent++;
	if (piece == 2)
		done_with(p, i);
}

static void answer(struct peer *p, unsigned i)
{
	size_t body = sim_below(p->sim, 3) ? sim_below(p->sim, 2000) : 0, head;
	int err;
	char *room;

	if (p->pieces) {
		answer_piece(p, i);
		return;
	}
	room = link_room(&p->e, 4096, &err);
	if (!room)
		return;
	if (sim_chance(p->sim, 50)) {
		put(p, i, LINK_FAIL, LINK_END, 0, 0);
	} else {
		head = make_head(p, i, room, body, sim_chance(p->sim, 500));
		memset(room + head, peer_byte(p->held[i].id), body);
		put(p, i, LINK_HEAD, LINK_END, (uint32_t)head, head + body);
	}
	flush(p);
	done_with(p, i);
}

/* A frame for a request that is held. */
static void take_more(struct peer *p, const struct link_desc *d)
{
	for (unsigned i = 0; i < p->nheld; i++) {
		if (p->held[i].id != d->id)
			continue;
		if (d->type == LINK_REQ_BODY && p->held[i].tunnel)
			p->held[i].echo += d->len;
		if (d->type == LINK_REQ_BODY && d->flags & LINK_END)
			p->held[i].in_end = true;
		if (d->type == LINK_ROOM)
			p->held[i].room += d->arg;
		if (d->type == LINK_GONE)
			p->held[i].gone = true;
	}
}

static void take_frames(struct peer *p)
{
	struct link_desc d;
	const char *bytes;

	while (alive(p) && link_peek(&p->e, &d, &bytes) == 1) {
		if (d.type == LINK_REQ && p->nheld < PEER_HELD_MAX) {
			memset(&p->held[p->nheld], 0, sizeof(p->held[0]));
			p->held[p->nheld].id = d.id;
			p->held[p->nheld].offers = d.flags & LINK_TUNNEL;
			p->held[p->nheld++].seat = d.seat;
		} else if (d.type != LINK_REQ) {
			take_more(p, &d);
		}
		if (alive(p))
			link_take(&p->e);
	}
}

static void accept_tunnel(struct peer *p, unsigned i)
{
	int err;
	char *room = link_room(&p->e, 4096, &err);
	size_t head;

	if (!room)
		return;
	head = make_head(p, i, room, 0, false);
	if (!p->hostile || !sim_chance(p->sim, p->hostility))
		((struct link_head *)room)->status = 101;
	put(p, i, LINK_HEAD, LINK_TUNNEL, (uint32_t)head, head);
	p->held[i].tunnel = true;
	p->held[i].room = LINK_WINDOW_TUNNEL;
	p->tunnels++;
	flush(p);
}

/* Sends back what came, and now and then ends. */
static void run_tunnel(struct peer *p, unsigned i)
{
	uint32_t n = p->held[i].echo < p->held[i].room ? p->held[i].echo : p->held[i].room;
	bool end = p->held[i].gone || p->held[i].in_end || sim_chance(p->sim, 20);
	int err;
	char *room;

	if (!n && !end)
		return;
	room = link_room(&p->e, n, &err);
	if (!room)
		return;
	memset(room, peer_byte(p->held[i].id), n);
	put(p, i, LINK_BODY, end ? LINK_END : 0, 0, n);
	p->held[i].echo -= n;
	p->held[i].room -= n;
	p->echoed += n;
	if (n && !end && link_room(&p->e, 0, &err))
		put(p, i, LINK_CREDIT, 0, n, 0);
	if (end)
		p->held[i] = p->held[--p->nheld];
	flush(p);
}

static void run_one(struct peer *p)
{
	unsigned i = (unsigned)sim_below(p->sim, p->nheld);

	if (!alive(p))
		return;
	if (!p->held[i].begun && !link_begin(&p->e, p->held[i].seat, p->held[i].id)) {
		int err;

		if (!link_room(&p->e, 0, &err))
			return;
		put(p, i, LINK_WITHDRAWN, LINK_END, 0, 0);
		p->held[i] = p->held[--p->nheld];
		flush(p);
		return;
	}
	if (!p->held[i].begun && p->nran < PEER_RAN_MAX)
		p->ran[p->nran++] = p->held[i].id;
	p->held[i].begun = true;
	if (p->held[i].tunnel)
		run_tunnel(p, i);
	else if (p->held[i].offers && !p->held[i].gone && sim_chance(p->sim, 800))
		accept_tunnel(p, i);
	else
		answer(p, i);
}

/* Anything, anywhere in what it can write. */
static void scribble(struct peer *p)
{
	volatile char *own = (volatile char *)p->e.page, *status = (volatile char *)p->status;

	for (unsigned i = 0; i < 200; i++)
		own[sim_below(p->sim, i % 2 ? LINK_PAGE_BYTES : LINK_MEM_BYTES)] =
			(char)sim_random(p->sim);
	for (unsigned i = 0; i < 20; i++)
		status[sim_below(p->sim, sizeof(*p->status))] = (char)sim_random(p->sim);
}

/* As many frames as go in, and none of the gate's is read. */
static void flood(struct peer *p)
{
	static const uint16_t types[] = {LINK_HEAD, LINK_BODY, LINK_CREDIT, LINK_WITHDRAWN, LINK_FILE};
	int err;

	p->deaf = true;
	for (unsigned i = 0; i < LINK_SLOTS && p->nheld; i++) {
		size_t n = sim_below(p->sim, 3000);

		if (!link_room(&p->e, n, &err))
			break;
		put(p, (unsigned)sim_below(p->sim, p->nheld), types[sim_below(p->sim, 5)], 0, 0, n);
	}
	link_publish(&p->e);
}

/* Garbage in the page, the pipe or the socket. */
static void misbehave(struct peer *p)
{
	char junk[600];

	memset(junk, 0x5a, sizeof(junk));
	switch (sim_below(p->sim, 11)) {
	case 9:
		scribble(p);
		return;
	case 10:
		flood(p);
		return;
	case 0:
		atomic_store(&p->e.page->head, (uint32_t)sim_random(p->sim));
		return;
	case 1:
		atomic_store(&p->e.page->tail, (uint32_t)sim_random(p->sim));
		return;
	case 2:
		atomic_store(&p->e.page->seat[sim_below(p->sim, LINK_SEATS)], sim_random(p->sim));
		return;
	case 3:
		atomic_store(&p->e.page->sleep, (uint32_t)sim_random(p->sim));
		return;
	case 4:
		for (int i = 0; i < 200; i++)
			(void)sim_write(p->sim, p->wake_wr, junk, sizeof(junk));
		return;
	case 5:
		send_fds(p, junk, sim_below(p->sim, sizeof(junk)), NULL, 0);
		return;
	case 6:
		atomic_store(&p->status->busy, (uint32_t)sim_random(p->sim));
		atomic_store(&p->status->service_us, (uint32_t)sim_below(p->sim, 2000));
		return;
	case 7:
		peer_close(p);
		return;
	default:
		for (size_t i = 0; i < sizeof(p->e.page->desc); i += 3)
			((volatile char *)p->e.page->desc)[i] = (char)sim_random(p->sim);
		atomic_fetch_add(&p->e.page->head, 7);
		return;
	}
}

void peer_step(struct peer *p)
{
	char junk[512];

	if (p->closed || p->dead)
		return;
	if (!p->up) {
		hello(p);
		return;
	}
	if (!alive(p))
		return;
	link_awake(&p->e);
	while (sim_read(p->sim, p->wake_rd, junk, sizeof(junk)) == (ssize_t)sizeof(junk)) {
	}
	if (p->hostile && sim_chance(p->sim, p->hostility)) {
		misbehave(p);
		if (p->closed)
			return;
		(void)sim_write(p->sim, p->wake_wr, "", 1);
	}
	if (!p->deaf)
		take_frames(p);
	if (p->nheld && sim_chance(p->sim, 700))
		run_one(p);
	if (alive(p))
		link_asleep(&p->e, false);
}
