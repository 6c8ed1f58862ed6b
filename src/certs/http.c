/*
 * http.c: transfers with libcurl on the loop; see process.h.
 *
 * Called by job.c, the loop and libcurl. Owns libcurl's handles and the places of its sockets.
 * Names are looked up by the process resolve and handed in, so libcurl itself asks nobody;
 * certificates are verified always, by the machine's authorities as they were read at the start.
 * Redirects are not followed.
 */
#include "process.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

enum { TURNS_MAX = 64, CONNECT_MS = 10 * 1000, TRANSFER_MS = 60 * 1000, PROBE_MS = 10 * 1000 };

/* ---- libcurl's sockets and time on the loop ---- */

static struct socket_place *place_of(struct certs *c, int fd)
{
	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		if (c->sockets[i].lfd.fd == fd)
			return &c->sockets[i];
	return NULL;
}

static void wait_on(struct socket_place *s)
{
	if (s->reads && !s->lfd.rd)
		loop_readable(s->certs->loop, &s->lfd, &s->in);
	if (s->writes && !s->lfd.wr)
		loop_writable(s->certs->loop, &s->lfd, &s->out);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *own)
{
	struct certs *c = arg;
	struct socket_place *s = place_of(c, fd);

	(void)easy;
	(void)own;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			(void)loop_del(c->loop, &s->lfd);
		return 0;
	}
	if (!s) {
		s = place_of(c, -1);
		/* Without a place libcurl's own time limit ends it. */
		if (!s || loop_add(c->loop, &s->lfd, fd) < 0)
			return 0;
	}
	s->reads = what & CURL_POLL_IN;
	s->writes = what & CURL_POLL_OUT;
	wait_on(s);
	return 0;
}

static int want_time(CURLM *multi, long ms, void *arg)
{
	struct certs *c = arg;

	(void)multi;
	if (ms < 0)
		loop_timer_stop(c->loop, &c->timer);
	else
		loop_timer_in(c->loop, &c->timer, (uint64_t)ms);
	return 0;
}

/* Of the certificate that was shown first: libcurl lists them as lines. */
static void take_serial(struct transfer *t)
{
	static const char name[] = "Serial Number:";
	struct curl_certinfo *shown = NULL;
	size_t n = 0;

	t->serial[0] = '\0';
	if (curl_easy_getinfo(t->easy, CURLINFO_CERTINFO, &shown) != CURLE_OK || !shown ||
		shown->num_of_certs < 1)
		return;
	for (const struct curl_slist *at = shown->certinfo[0]; at; at = at->next) {
		const char *p = at->data + sizeof name - 1;

		if (strncmp(at->data, name, sizeof name - 1) != 0)
			continue;
		p += strncmp(p, "00", 2) == 0 ? 2 : 0;
		for (; *p && n < sizeof t->serial - 1; p++)
			if (*p != ':')
				t->serial[n++] = *p >= 'A' && *p <= 'F' ? (char)(*p + 32) : *p;
		t->serial[n] = '\0';
	}
}

/* What has ended is told behind libcurl's own calls. */
static void look_for_ends(struct certs *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
		struct transfer *t = NULL;
		CURLcode result = m->data.result;
		long status = 0;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		must(t != NULL);
		t->status = (unsigned)status;
		take_serial(t);
		t->failed = result != CURLE_OK;
		if (t->failed && !t->error[0])
			(void)snprintf(t->error, sizeof t->error, "%s", curl_easy_strerror(result));
		job_transferred(t);
	}
}

static void turn(struct certs *c, curl_socket_t fd, int what)
{
	int running;

	(void)curl_multi_socket_action(c->multi, fd, what, &running);
}

/* The loop tells of an edge; libcurl may leave some of it. */
void http_on_readable(struct loop *l, struct op *op, int res)
{
	struct socket_place *s = container_of(op, struct socket_place, in);
	struct pollfd p = {s->lfd.fd, POLLIN, 0};

	(void)l;
	(void)res;
	for (int i = 0; i < TURNS_MAX && s->lfd.fd == p.fd && poll(&p, 1, 0) > 0; i++)
		turn(s->certs, p.fd, CURL_CSELECT_IN);
	if (s->lfd.fd >= 0)
		wait_on(s);
	look_for_ends(s->certs);
}

void http_on_writable(struct loop *l, struct op *op, int res)
{
	struct socket_place *s = container_of(op, struct socket_place, out);

	(void)l;
	(void)res;
	turn(s->certs, s->lfd.fd, CURL_CSELECT_OUT);
	if (s->lfd.fd >= 0)
		wait_on(s);
	look_for_ends(s->certs);
}

void http_on_timer(struct loop *l, struct op *op, int res)
{
	struct certs *c = container_of(container_of(op, struct timer, op), struct certs, timer);

	(void)l;
	(void)res;
	turn(c, CURL_SOCKET_TIMEOUT, 0);
	look_for_ends(c);
}

int http_open(struct certs *c)
{
	c->timer.op.kind = OP_HTTP_TIMER;
	for (unsigned i = 0; i < SOCKETS_MAX; i++) {
		struct socket_place *s = &c->sockets[i];

		s->certs = c;
		s->lfd = (struct lfd)LFD_INIT;
		s->in.kind = OP_HTTP_IN;
		s->out.kind = OP_HTTP_OUT;
	}
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return -ENOMEM;
	c->multi = curl_multi_init();
	if (!c->multi)
		return -ENOMEM;
	(void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	(void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	(void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_time);
	(void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	/* One for each job that speaks to its authority; more would be spoken to at addresses that
	 * are not the name's any more. */
	(void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)JOBS_MAX);
	return 0;
}

void http_close(struct certs *c)
{
	if (c->multi)
		(void)curl_multi_cleanup(c->multi);
	curl_global_cleanup();
}

/* ---- one transfer ---- */

static size_t take_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	n *= size;
	/* Less than there was ends the transfer with an error. */
	if (n > t->body_max - t->body.len)
		return 0;
	buf_put(&t->body, p, n);
	return t->body.error ? 0 : n;
}

static size_t take_head(char *p, size_t size, size_t n, void *arg)
{
	fields_take(arg, p, n * size);
	return n * size;
}

static bool set_up(struct certs *c, struct transfer *t, const struct transfer_ask *ask)
{
	struct curl_blob authorities = {c->authorities, c->authorities_n, CURL_BLOB_NOCOPY};
	CURL *e = t->easy;
	char entry[ADDRESSES_MAX * 50 + ACME_NAME_BYTES + 16];
	bool good = true;

	if (ask->addresses) {
		(void)snprintf(
			entry, sizeof entry, "%s:%u:%s", ask->host, ask->port, ask->addresses);
		t->resolve = curl_slist_append(NULL, entry);
		good = t->resolve != NULL;
	}
	t->headers = ask->kind == TRANSFER_POST
			     ? curl_slist_append(NULL, "Content-Type: application/jose+json")
			     : NULL;
#define SET(option, value) good = good && curl_easy_setopt(e, option, value) == CURLE_OK
	SET(CURLOPT_URL, ask->url);
	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, ask->plain ? "http" : "https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_USERAGENT, "stead/" STEAD_VERSION);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_RESOLVE, t->resolve);
	SET(CURLOPT_CAINFO_BLOB, &authorities);
	/* Looking, we compare with what we know, and nothing is said there. */
	SET(CURLOPT_SSL_VERIFYPEER, ask->kind == TRANSFER_LOOK ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, ask->kind == TRANSFER_LOOK ? 0L : 2L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	SET(CURLOPT_TIMEOUT_MS, ask->timeout_ms ? ask->timeout_ms : (long)(ask->plain ? PROBE_MS : TRANSFER_MS));
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, take_head);
	SET(CURLOPT_HEADERDATA, t);
	if (ask->plain || ask->kind == TRANSFER_LOOK) {
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	if (ask->kind == TRANSFER_CONNECT)
		SET(CURLOPT_CONNECT_ONLY, 1L);
	if (ask->kind == TRANSFER_LOOK) {
		SET(CURLOPT_CONNECT_ONLY, 1L);
		SET(CURLOPT_CERTINFO, 1L);
	}
	if (ask->kind == TRANSFER_HEAD)
		SET(CURLOPT_NOBODY, 1L);
	if (ask->kind == TRANSFER_POST) {
		SET(CURLOPT_POSTFIELDSIZE, (long)strlen(ask->post));
		SET(CURLOPT_POSTFIELDS, ask->post);
		SET(CURLOPT_HTTPHEADER, t->headers);
	}
#undef SET
	return good;
}

int http_start(struct certs *c, struct transfer *t, const struct transfer_ask *ask)
{
	http_stop(t);
	t->certs = c;
	t->body_max = ask->body_max;
	buf_init(&t->body, ask->body_max + 1);
	t->error[0] = t->location[0] = t->nonce[0] = t->retry_after[0] = t->link[0] = '\0';
	t->status = 0;
	t->easy = curl_easy_init();
	if (!t->easy || !set_up(c, t, ask) ||
		curl_multi_add_handle(c->multi, t->easy) != CURLM_OK) {
		http_stop(t);
		return -ENOMEM;
	}
	return 0;
}

void http_stop(struct transfer *t)
{
	if (t->easy) {
		(void)curl_multi_remove_handle(t->certs->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->resolve);
	t->easy = t->headers = t->resolve = NULL;
	buf_done(&t->body);
}
