/*
 * cert_reader.c: the child that reads certificates: started at the first of a run, asked one after
 * the other.
 *
 * Called by cert.c. One child for all: 10,000 sites would have cost 10,000 forks. It has two pipes
 * open and can do nothing but compute; when one certificate is its end, that one's site hears so
 * and the next gets another child. Owns the child and the pipes. Texts of private keys are wiped on
 * both sides once they were looked at.
 */
#include "cert.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"

enum { ANSWER_MS = 10000 };

/* ---- in the child ---- */

static bool read_all(int fd, void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(fd, (char *)p + at, n - at);

		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

static bool write_all(int fd, const void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t put = write(fd, (const char *)p + at, n - at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		at += (size_t)put;
	}
	return true;
}

static bool take_ask(struct cert_work *w, const char *p, size_t n)
{
	struct unpack u;
	size_t key_n;

	unpack_init(&u, p, n);
	w->job = unpack_u32(&u);
	w->seal_for = (const uint8_t *)unpack_bytes(&u, &key_n);
	if (key_n != SEAL_KEY_BYTES)
		w->seal_for = NULL;
	w->nnames = unpack_u32(&u);
	for (unsigned i = 0; i < w->nnames && i < CERT_NAMES_MAX; i++)
		w->names[i] = unpack_str(&u);
	w->cert_text = unpack_bytes(&u, &w->cert_n);
	w->key_text = unpack_bytes(&u, &w->key_n);
	return unpack_done(&u) && w->nnames <= CERT_NAMES_MAX;
}

static _Noreturn void child(struct x509_store_st *authorities, int in, int out)
{
	char *ask = malloc(CERT_ASK_MAX);
	struct x509_st *last = NULL;
	uint32_t n;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Nothing else of its parent's stays open, but where a sanitizer would complain. */
	if (!ask || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
		close_range(STDERR_FILENO + 1, ~0U, 0) < 0 || sandbox_enter() < 0)
		_exit(2);
	while (read_all(STDIN_FILENO, &n, sizeof(n)) && n <= CERT_ASK_MAX &&
		read_all(STDIN_FILENO, ask, n)) {
		struct cert_work w = {.authorities = authorities, .last = last};

		buf_init(&w.out, CERT_RECORDS_MAX);
		if (!take_ask(&w, ask, n))
			_exit(3);
		cert_look(&w);
		last = w.last;
		explicit_bzero(ask, n);
		n = (uint32_t)w.out.len;
		if (w.out.error || !write_all(STDOUT_FILENO, &n, sizeof(n)) ||
			!write_all(STDOUT_FILENO, w.out.p, n))
			_exit(4);
		buf_done(&w.out);
	}
	_exit(0);
}

/* ---- who asks ---- */

/* What this machine trusts; read once, before the first child. */
static X509_STORE *authorities(void)
{
	X509_STORE *store = X509_STORE_new();

	if (store)
		(void)X509_STORE_load_file(store, CERT_AUTHORITIES);
	ERR_clear_error();
	return store;
}

static int start(struct check *k)
{
	int to[2], from[2];

	/* Nothing of the machine's own settings for the library counts; in the child no file can be
	 * opened. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
	tzset();
	if (!k->certs.authorities)
		k->certs.authorities = authorities();
	if (pipe2(to, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(from, O_CLOEXEC) < 0) {
		(void)close(to[0]);
		(void)close(to[1]);
		return -errno;
	}
	k->certs.pid = fork();
	if (k->certs.pid == 0)
		child(k->certs.authorities, to[0], from[1]);
	(void)close(to[0]);
	(void)close(from[1]);
	k->certs.to = to[1];
	k->certs.from = from[0];
	return k->certs.pid < 0 ? -errno : 0;
}

static void end(struct check *k)
{
	if (k->certs.pid <= 0)
		return;
	(void)close(k->certs.to);
	(void)close(k->certs.from);
	(void)kill(k->certs.pid, SIGKILL);
	while (waitpid(k->certs.pid, NULL, 0) < 0 && errno == EINTR)
		;
	k->certs.pid = 0;
}

static bool hear(int fd, void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		ssize_t got = poll(&wait, 1, ANSWER_MS) > 0 ? read(fd, (char *)p + at, n - at) : 0;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

static bool exchange(struct check *k, const struct buf *ask, struct buf *ret)
{
	uint32_t n = (uint32_t)ask->len;
	char *room;

	if (!write_all(k->certs.to, &n, sizeof(n)) || !write_all(k->certs.to, ask->p, n) ||
		!hear(k->certs.from, &n, sizeof(n)) || n > CERT_RECORDS_MAX)
		return false;
	room = buf_room(ret, n);
	if (!room || !hear(k->certs.from, room, n))
		return false;
	buf_grew(ret, n);
	return true;
}

int cert_read(struct check *k, const struct cert_work *w, struct buf *ret)
{
	struct buf ask;
	int r = k->certs.pid > 0 ? 0 : start(k);

	if (r < 0)
		return r;
	buf_init(&ask, CERT_ASK_MAX);
	/* At once: what grows leaves copies behind. */
	(void)buf_room(&ask, w->cert_n + w->key_n + 64 * 1024);
	pack_u32(&ask, w->job);
	pack_bytes(&ask, w->seal_for ? w->seal_for : (const uint8_t *)"",
		w->seal_for ? SEAL_KEY_BYTES : 0);
	pack_u32(&ask, w->nnames);
	for (unsigned i = 0; i < w->nnames; i++)
		pack_str(&ask, w->names[i]);
	pack_bytes(&ask, w->cert_text, w->cert_n);
	pack_bytes(&ask, w->key_text, w->key_n);
	r = ask.error;
	if (r == 0 && !exchange(k, &ask, ret)) {
		end(k);
		r = -EBADMSG;
	}
	if (ask.p)
		explicit_bzero(ask.p, ask.len);
	buf_done(&ask);
	return r;
}

void cert_reader_done(struct check *k)
{
	end(k);
	X509_STORE_free(k->certs.authorities);
	k->certs.authorities = NULL;
}
