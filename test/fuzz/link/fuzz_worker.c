/*
 * fuzz_worker.c: whatever a gate may write into its memory, read by a worker's end.
 *
 * The input as in fuzz_gate.c. A worker reads the frames, and reads, answers or fails what it takes
 * for requests.
 */
#include "lib/must.h"
#include "lib/sys.h"
#include "link/link_worker.h"

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

static void use(struct link_worker *w)
{
	struct link_req *r;
	char bytes[1000];
	size_t n, took;

	for (int i = 0; i < 20 && link_worker_take(w, 0, &r) == 0; i++) {
		const char *env = link_req_env(r, &n);
		char sum = 0;

		for (size_t k = 0; k < n; k++)
			sum = (char)(sum ^ env[k]);
		while (link_req_read(r, bytes, sizeof(bytes)) > 0)
			sum ^= bytes[0];
		(void)link_req_head(r, bytes, 16, &sum, 1, false, &took);
		if (i % 2)
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
