/*
 * scrape.c: see scrape.h. Called by req.c, control.c and the loop. Owns the list of requests that wait for ctl's
 * answer; one question is under way at a time, whose answer all get that wait by then. Such requests have no
 * site, leave no access record and are not counted as requests: they would only count themselves.
 */
#include "scrape.h"

#include "lib/must.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_MS = 5000 };
#define TEXT_MAX (64ull * 1024 * 1024)

struct scrape {
	struct scrape *next;
	struct req *r;
};

static void forget(struct req *r)
{
	struct gate *g = r->gate;

	for (struct scrape **at = &g->scrapes; *at; at = &(*at)->next)
		if ((*at)->r == r) {
			*at = (*at)->next;
			break;
		}
	if (!g->scrapes)
		loop_timer_stop(g->loop, &g->scrape_timer);
}

static bool ask(struct gate *g)
{
	if (!chan_open(&g->ctl) || !g->ctl_hello)
		return false;
	if (chan_send(&g->ctl, MSG_METRICS_ASK, 0, NULL, 0, NULL, 0, NULL, 0) < 0)
		return false;
	g->scrape_timer.op.kind = OP_SCRAPE_TIMER;
	loop_timer_in(g->loop, &g->scrape_timer, ANSWER_MS);
	return true;
}

static void start(struct req *r)
{
	static const struct field allow = {"Allow", "GET, HEAD", 5, 9};
	struct gate *g = r->gate;
	struct scrape *s;

	if (r->path_len != 8 || memcmp(r->path, "/metrics", 8) != 0) {
		req_fail(r, CLOSE_NOT_FOUND, 0);
		return;
	}
	if (r->method != METHOD_GET && r->method != METHOD_HEAD) {
		req_fail_with(r, CLOSE_BAD_METHOD, 0, &allow);
		return;
	}
	s = arena_alloc(&r->arena, sizeof(*s));
	if (!s) {
		req_fail(r, CLOSE_NO_MEMORY, 2);
		return;
	}
	if (!g->scrapes && !ask(g)) {
		req_fail(r, CLOSE_METRICS_NONE, 2);
		return;
	}
	*s = (struct scrape){.next = g->scrapes, .r = r};
	g->scrapes = s;
}

static void abort_req(struct req *r, enum close_id why)
{
	(void)why;
	forget(r);
}

const struct handler_ops scrape_handler = {.name = "metrics", .start = start, .abort = abort_req, .done = forget};

void scrape_begin(struct req *r)
{
	r->handler = HANDLER_SCRAPE;
	r->started = true;
	r->gate->handlers[HANDLER_SCRAPE]->start(r);
}

static void give(struct req *r, int fd, uint64_t bytes)
{
	static const char type[] = "text/plain; version=0.0.4; charset=utf-8";
	const struct field fields[] = {
		{"Content-Type", type, 12, sizeof(type) - 1}, {"Cache-Control", "no-store", 13, 8}};
	struct resp_head h = {
		.status = 200, .fields = (struct field *)fields, .nfields = 2, .content_length = (int64_t)bytes};
	bool whole = r->method == METHOD_HEAD || bytes == 0;
	int copy = whole ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (!whole && copy < 0) {
		req_fail(r, CLOSE_NO_MEMORY, 2);
		return;
	}
	if (req_resp_head(r, &h, whole) < 0 && copy >= 0)
		close(copy);
	else if (copy >= 0)
		(void)req_resp_file(r, copy, 0, bytes, true);
}

void scrape_end(struct gate *g)
{
	while (g->scrapes) {
		struct req *r = g->scrapes->r;

		forget(r);
		req_fail(r, CLOSE_METRICS_NONE, 2);
	}
}

void scrape_answer(struct gate *g, int fd)
{
	const int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	/* What could still shrink would be cut in the middle of an answer. */
	if (seals < 0 || (seals & sealed) != sealed || fstat(fd, &st) < 0 || st.st_size < 0 ||
		(uint64_t)st.st_size > TEXT_MAX) {
		scrape_end(g);
		return;
	}
	while (g->scrapes) {
		struct req *r = g->scrapes->r;

		forget(r);
		give(r, fd, (uint64_t)st.st_size);
	}
}

void scrape_on_timer(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	scrape_end(container_of(op, struct gate, scrape_timer.op));
}
