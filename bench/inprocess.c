/*
 * inprocess.c: the in-process peer of bench/run: one process, one epoll loop, and the app called in
 * it.
 *
 * Takes the place of src/link/link_worker.h beneath python/'s extension, so that the interpreter,
 * the environ and start_response() are stead's own, and the head of a request is read by the gate's
 * own http1 parser: what is left out is the gate as a process, its phases, its records and the hop.
 * It is what a WSGI server cannot be much cheaper than. It answers wrk: no bodies of requests,
 * answers of at most 60 KB that are sent when they are whole, no deadlines.
 *
 * Built as a module _steadlink in bench/ of the build folder; run by stead_worker.py with
 * STEAD_LINK_DIR there and INPROCESS_PORT=PORT.
 */
#include "gate/app/app_priv.h"
#include "gate/http/http1_parse.h"
#include "gate/request/req.h"
#include "gate/http/target.h"
#include "lib/must.h"
#include "link/link_env.h"
#include "link/link_worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, IN_BYTES = 16384, OUT_BYTES = 65536, ENV_BYTES = 16384 };

struct link_req {
	struct link_worker *w;
	struct req r;
	struct http1_head head;
	char env[ENV_BYTES];
	size_t env_len;
	char out[OUT_BYTES];
	size_t out_len;
	int fd;
	bool chunked, ended;
};

struct link_worker {
	int ep, listener, wakeup[2];
	volatile sig_atomic_t stopping;
	struct epoll_event events[EVENTS];
	int n, at;
	uint64_t seen, ids[2];
	struct arena_pool pool;
	struct link_req req; /* one at a time */
	char in[IN_BYTES];
	time_t second;
	char date[64];
};

/* What app_env.c wants of the gate. */
const char *req_id(const struct req *r, char mem[static REQ_ID_MEM], size_t *ret_len)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < 32; i++)
		mem[i] = digits[r->public_id[i / 16] >> (60 - 4 * (i % 16)) & 15];
	mem[32] = 0;
	*ret_len = 32;
	return mem;
}

const struct field *req_field_n(const struct req *r, const char *name, size_t n)
{
	for (unsigned i = 0; i < r->nfields; i++) {
		if (r->fields[i].name_len == n && memcmp(r->fields[i].name, name, n) == 0)
			return &r->fields[i];
	}
	return NULL;
}

static void watch(struct link_worker *w, int fd, unsigned how)
{
	struct epoll_event e = {.events = EPOLLIN | how, .data.fd = fd};

	must(epoll_ctl(w->ep, EPOLL_CTL_ADD, fd, &e) == 0);
}

int link_worker_new(unsigned nthreads, int parent_fd, struct link_worker **ret)
{
	const char *port = getenv("INPROCESS_PORT");
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct link_worker *w = calloc(1, sizeof(*w));

	(void)parent_fd;
	if (!w || !port || nthreads != 1)
		return w ? -EINVAL : -ENOMEM;
	a.sin_port = htons((unsigned short)strtoul(port, NULL, 10));
	w->ep = epoll_create1(EPOLL_CLOEXEC);
	w->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	(void)setsockopt(w->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (pipe2(w->wakeup, O_CLOEXEC | O_NONBLOCK) < 0 ||
		bind(w->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		listen(w->listener, 4096) < 0 ||
		getrandom(w->ids, sizeof(w->ids), 0) != sizeof(w->ids))
		return -errno;
	watch(w, w->listener, 0);
	watch(w, w->wakeup[0], 0);
	arena_pool_init(&w->pool, 16384, 100000, 16);
	arena_init(&w->req.r.arena, &w->pool);
	w->req.w = w;
	*ret = w;
	return 0;
}

void link_worker_free(struct link_worker *w)
{
	(void)w; /* the process ends */
}

int link_worker_add(struct link_worker *w, int fd)
{
	(void)w;
	(void)fd;
	return -EINVAL;
}

void link_worker_stop(struct link_worker *w)
{
	w->stopping = 1;
	(void)!write(w->wakeup[1], "", 1);
}

int link_worker_wakeup_fd(const struct link_worker *w)
{
	return w->wakeup[1];
}

uint64_t link_worker_seen(struct link_worker *w)
{
	return w->seen;
}

int link_worker_wait(struct link_worker *w, uint64_t seen)
{
	(void)seen;
	w->n = epoll_wait(w->ep, w->events, EVENTS, -1);
	w->at = 0;
	w->seen++;
	return w->n < 0 ? -errno : 0;
}

static void accept_all(struct link_worker *w)
{
	int fd;

	while ((fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		watch(w, fd, EPOLLET);
	}
}

/* One read is one request; what is anything else ends the connection. */
static bool read_request(struct link_worker *w, int fd)
{
	struct link_req *q = &w->req;
	struct req *r = &q->r;
	ssize_t n = recv(fd, w->in, sizeof(w->in) - 1, 0);
	struct arena arena = r->arena;
	long env;

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0 || http1_parse_head(w->in, (size_t)n, HTTP1_HEAD_MAX, &q->head) != n ||
		q->head.content_length != 0) {
		close(fd);
		return false;
	}
	arena_reset(&arena);
	memset(r, 0, sizeof(*r));
	r->arena = arena;
	/* A new id for each, as the gate makes it: a generator that the kernel seeded. */
	r->public_id[0] = w->ids[0] = w->ids[0] * 6364136223846793005u + 1442695040888963407u;
	r->public_id[1] = w->ids[1] = w->ids[1] * 6364136223846793005u + 1442695040888963407u;
	r->method = q->head.method;
	r->method_str = q->head.method_str;
	r->method_len = q->head.method_len;
	r->version_minor = q->head.version_minor;
	r->target = q->head.target;
	r->target_len = q->head.target_len;
	((char *)r->target)[r->target_len] = 0;
	r->path_raw = q->head.path;
	r->path_raw_len = q->head.path_len;
	r->query = r->user = "";
	r->host = q->head.host;
	r->host_len = q->head.host_len;
	r->host_port = q->head.host_port;
	r->fields = q->head.fields;
	r->nfields = q->head.nfields;
	memcpy(r->peer, "127.0.0.1", 10);
	env = target_parse(r) ? app_env_encode(r, LINK_FORM_CGI, q->env, sizeof(q->env)) : -1;
	if (env < 0) {
		close(fd);
		return false;
	}
	q->env_len = (size_t)env;
	q->fd = fd;
	q->out_len = 0;
	q->ended = q->chunked = false;
	return true;
}

int link_worker_take(struct link_worker *w, unsigned thread, struct link_req **ret)
{
	(void)thread;
	while (w->at < w->n && !w->stopping) {
		int fd = w->events[w->at++].data.fd;

		if (fd == w->listener) {
			accept_all(w);
		} else if (fd != w->wakeup[0] && read_request(w, fd)) {
			*ret = &w->req;
			return 0;
		}
	}
	return w->stopping ? -ESHUTDOWN : -EAGAIN;
}

const char *link_req_env(const struct link_req *q, size_t *ret_n)
{
	*ret_n = q->env_len;
	return q->env;
}

long link_req_read(struct link_req *q, void *p, size_t n)
{
	(void)q;
	(void)p;
	(void)n;
	return 0;
}

bool link_req_has_body(const struct link_req *q)
{
	(void)q;
	return false;
}

bool link_req_gone(const struct link_req *q)
{
	(void)q;
	return false;
}

bool link_req_ended(const struct link_req *q)
{
	return q->ended;
}

static void add(struct link_req *q, const void *p, size_t n)
{
	must(n <= sizeof(q->out) - q->out_len);
	memcpy(q->out + q->out_len, p, n);
	q->out_len += n;
}

#define ADD(q, literal) add(q, literal, sizeof(literal) - 1)

static void add_number(struct link_req *q, uint64_t v)
{
	char text[24];

	add(q, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)v));
}

static void finish(struct link_req *q)
{
	ssize_t n;

	if (q->chunked)
		ADD(q, "0\r\n\r\n");
	n = send(q->fd, q->out, q->out_len, MSG_NOSIGNAL);
	if (n != (ssize_t)q->out_len)
		close(q->fd);
	q->ended = true;
}

static const char *date(struct link_worker *w)
{
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	if (t.tv_sec != w->second) {
		w->second = t.tv_sec;
		strftime(w->date, sizeof(w->date), "%a, %d %b %Y %H:%M:%S GMT",
			gmtime_r(&t.tv_sec, &tm));
	}
	return w->date;
}

int link_req_body(struct link_req *q, const void *p, size_t n, bool end, size_t *ret_took)
{
	char line[24];

	if (n && q->chunked)
		add(q, line, (size_t)snprintf(line, sizeof(line), "%zx\r\n", n));
	if (n)
		add(q, p, n);
	if (n && q->chunked)
		ADD(q, "\r\n");
	*ret_took = n;
	if (end)
		finish(q);
	return 0;
}

int link_req_head(struct link_req *q, const void *head, size_t head_len, const void *body, size_t n,
	bool end, size_t *ret_took)
{
	const char *p = head;
	struct link_head h;

	(void)head_len;
	memcpy(&h, p, sizeof(h));
	p += sizeof(h);
	ADD(q, "HTTP/1.1 ");
	add_number(q, h.status);
	ADD(q, " ");
	add(q, p, h.reason_len);
	p += h.reason_len;
	ADD(q, "\r\nServer: inprocess\r\nDate: ");
	add(q, date(q->w), 29);
	ADD(q, "\r\n");
	for (unsigned i = 0; i < h.nfields; i++) {
		uint16_t name_len;
		uint32_t value_len;

		memcpy(&name_len, p, 2);
		memcpy(&value_len, p + 4, 4);
		p += 8;
		/* Said below. */
		if (name_len != 14 || strncasecmp(p, "content-length", 14) != 0) {
			add(q, p, name_len);
			ADD(q, ": ");
			add(q, p + name_len, value_len);
			ADD(q, "\r\n");
		}
		p += name_len + value_len;
	}
	if (h.content_length < 0 && end)
		h.content_length = (int64_t)n;
	q->chunked = h.content_length < 0;
	if (q->chunked) {
		ADD(q, "Transfer-Encoding: chunked\r\n\r\n");
	} else {
		ADD(q, "Content-Length: ");
		add_number(q, (uint64_t)h.content_length);
		ADD(q, "\r\n\r\n");
	}
	return link_req_body(q, body, n, end, ret_took);
}

int link_req_file(struct link_req *q, int fd, uint64_t off, uint64_t len)
{
	(void)q;
	(void)fd;
	(void)off;
	(void)len;
	return -EINVAL;
}

int link_req_fail(struct link_req *q)
{
	close(q->fd);
	q->ended = true;
	return 0;
}

int link_req_done(struct link_req *q)
{
	(void)q;
	return 0;
}
