/*
 * fuzz_worker.c: whatever a gate may write into its memory, read by a worker's end.
 *
 * The input as in fuzz_gate.c. A worker reads the frames, and reads, answers or fails what it takes
 * for requests; every second one as an app on libstead does.
 */
#include "lib/must.h"
#include "lib/sys.h"
#include "link/link_worker.h"
#include "link/stead_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hello(int sock, int ring, const int *pipes)
{
	int fds[3] = {ring, pipes[0], pipes[1]};
	struct link_hello h;
	struct iovec iov = {&h, sizeof(h)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(fds))];
	} control;
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	link_hello_fill(&h);
	memset(&control, 0, sizeof(control));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	must(sendmsg(sock, &m, 0) > 0);
}

/* Every string of it is one, and lies in memory that is there. */
static void look(struct stead_req *q)
{
	const char *(*const texts[])(struct stead_req *) = {stead_method, stead_target, stead_path,
		stead_query, stead_protocol, stead_scheme, stead_host, stead_peer, stead_user,
		stead_id};
	const char *name, *value;
	char bytes[100];
	size_t n = 0;

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		n += strlen(texts[i](q));
	for (size_t i = 0; stead_field_at(q, i, &name, &value); i++) {
		n += strlen(name) + strlen(value);
		must(stead_field(q, name) != NULL);
	}
	must(n <= 1024 * 1024);
	must(stead_length(q) >= -1);
	while (stead_read(q, bytes, sizeof(bytes)) > 0)
		n++;
	(void)stead_header(q, "X-Count", "1");
	(void)stead_write(q, bytes, n % sizeof(bytes));
	(void)stead_send(q, bytes, sizeof(bytes));
	(void)stead_fail(q);
	free(q->head);
	free(q->fields);
}

static void use(struct link_worker *w)
{
	struct link_req *r;
	char bytes[1000];
	size_t n, took;

	for (int i = 0; i < 20 && link_worker_take(w, 0, &r) == 0; i++) {
		const char *env = link_req_env(r, &n);
		char sum = 0;

		if (i % 2) {
			struct stead app = {.worker = w, .at_once = 1, .nonblock = true};
			struct stead_req q = {.s = &app, .link = r, .status = 200, .length = -1};

			look(&q);
			link_req_done(r);
			continue;
		}
		for (size_t k = 0; k < n; k++)
			sum = (char)(sum ^ env[k]);
		while (link_req_read(r, bytes, sizeof(bytes)) > 0)
			sum ^= bytes[0];
		if (link_req_may_tunnel(r))
			(void)link_req_tunnel(r, bytes, 16);
		else
			(void)link_req_head(r, bytes, 16, &sum, 1, false, &took);
		while (link_worker_touched(w) == r)
			sum ^= (char)link_req_gone(r);
		if (i % 4)
			(void)link_req_body(r, bytes, sizeof(bytes), true, &took);
		if (!link_req_ended(r))
			(void)link_req_fail(r);
		link_req_done(r);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link_worker *w;
	struct link_end e;
	unsigned n = size ? data[0] % 8u : 0;
	size_t at = 1;
	int fds[2], pipes[2], ring;

	must(link_worker_new(1, -1, &w) == 0 && sys_socketpair_seqpacket(fds) == 0 &&
		pipe(pipes) == 0);
	must(link_end_create(&e, &ring) == 0);
	hello(fds[0], ring, pipes);
	if (size && data[0] & 8)
		link_worker_async(w, 10, LINK_FORM_FIELDS);
	must(link_worker_add(w, fds[1]) == 0);
	(void)link_worker_wait(w, link_worker_seen(w));
	for (unsigned i = 0; i < n && at + sizeof(struct link_desc) <= size; i++) {
		memcpy(&e.page->desc[i], data + at, sizeof(struct link_desc));
		at += sizeof(struct link_desc);
	}
	if (at < size)
		memcpy(e.data, data + at,
			size - at < LINK_DATA_BYTES ? size - at : LINK_DATA_BYTES);
	atomic_store(&e.page->head, n);
	use(w);
	link_worker_free(w);
	link_end_done(&e);
	close(ring);
	close(fds[0]);
	close(pipes[0]);
	close(pipes[1]);
	return 0;
}
