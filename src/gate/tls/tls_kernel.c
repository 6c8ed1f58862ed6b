/*
 * tls_kernel.c: records that the kernel makes (kTLS): once a handshake has keys for what is sent, they go to the socket, and
 * from then on its plain bytes are what is written there, a file's by sendfile(2) too. See tls_server.h.
 *
 * OpenSSL asks its BIO to do that (SSL_OP_ENABLE_KTLS), and ours is no socket's: so what OpenSSL's own does stands here, with
 * the loop's calls. Sending only; what is received is read as ever. Called by tls_conn.c through the BIO, and by tls_out.c.
 * Where the kernel has no "tls" among its ULPs nothing of this is asked for. A record that is no content (an alert, a ticket)
 * is a message of its own with its type beside it, so it goes at once or not at all: an alert waits for what is queued before it,
 * and a handshake's message that cannot go ends the connection. New keys (KeyUpdate) cannot be had this way: OpenSSL ends a
 * connection whose client asks for them.
 */
#include "counters.h"
#include "tls_server.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of OpenSSL's BIO for sockets, which it does not declare for others (include/internal/bio.h). */
enum { CTRL_SET_KTLS = 72, CTRL_SET_RECORD_TYPE = 74, CTRL_CLEAR_RECORD_TYPE = 75 };
enum { RECORD_ALERT = 21 };

/* The kernel knows the ULP when it only misses a connection. Whoever serves must have loaded the module: its loading asks for a
 * right that no gate has. */
bool tls_kernel_there(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool there = fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) < 0 && errno == ENOTCONN;

	if (fd >= 0)
		close(fd);
	return there;
}

void tls_kernel_offer(struct tls_server *ts, struct tls_conn *t)
{
	if (ts->kernel && !(t->site->flags & SNAP_SITE_NO_KERNEL_TLS))
		SSL_set_options(t->ssl, SSL_OP_ENABLE_KTLS);
}

/* Of the kernel's struct for that cipher, which begins with the cipher; 0: it is another. */
static socklen_t info_bytes(const struct tls_crypto_info *info)
{
	return info->cipher_type == TLS_CIPHER_AES_GCM_128   ? sizeof(struct tls12_crypto_info_aes_gcm_128)
	       : info->cipher_type == TLS_CIPHER_AES_GCM_256 ? sizeof(struct tls12_crypto_info_aes_gcm_256)
	       : info->cipher_type == TLS_CIPHER_CHACHA20_POLY1305
		       ? sizeof(struct tls12_crypto_info_chacha20_poly1305)
		       : 0;
}

/* The keys are the socket's. False: OpenSSL goes on itself. */
static bool take_keys(struct tls_conn *t, const struct tls_crypto_info *info)
{
	struct conn *c = t->conn;
	socklen_t n = info_bytes(info);

	/* What OpenSSL encrypted and the socket has not taken would be encrypted twice. */
	if (!n || t->kernel || t->sending || t->q.first || t->failed)
		return false;
	if (setsockopt(c->lfd.fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) < 0 ||
		setsockopt(c->lfd.fd, SOL_TLS, TLS_TX, info, n) < 0)
		return false;
	t->kernel = true;
	gate_count(c->gate, METRIC_TLS_KERNEL, 1);
	return true;
}

long tls_kernel_ctrl(struct tls_conn *t, int what, long n, void *p)
{
	switch (what) {
	case CTRL_SET_KTLS:
		return n && take_keys(t, p);
	case BIO_CTRL_GET_KTLS_SEND:
		return t->kernel;
	case CTRL_SET_RECORD_TYPE:
		t->record_type = (uint8_t)n;
		return 1;
	case CTRL_CLEAR_RECORD_TYPE:
		t->record_type = 0;
		return 1;
	default:
		return 0;
	}
}

static bool is_busy(const struct tls_conn *t)
{
	return t->sending || t->q.first || t->conn->lfd.wr;
}

/* The record as a message of its own. False: the socket does not take it now, or at all. */
static bool send_record(struct tls_conn *t, uint8_t type, const void *p, size_t n)
{
	union {
		struct cmsghdr head;
		char mem[CMSG_SPACE(1)];
	} beside = {0};
	struct iovec iov = {(void *)p, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = beside.mem, .msg_controllen = sizeof(beside.mem)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&m);

	head->cmsg_level = SOL_TLS;
	head->cmsg_type = TLS_SET_RECORD_TYPE;
	head->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(head) = type;
	return loop_sys_sendmsg(t->conn->gate->loop, t->conn->lfd.fd, &m, MSG_NOSIGNAL) == (ssize_t)n;
}

bool tls_kernel_put(struct tls_conn *t, const char *p, size_t n)
{
	uint8_t type = t->record_type;

	t->record_type = 0;
	if (t->failed)
		return false;
	if (!is_busy(t) && send_record(t, type, p, n))
		return true;
	if (type == RECORD_ALERT && n == sizeof(t->alert)) {
		memcpy(t->alert, p, n);
		t->alert_waits = is_busy(t);
		return true;
	}
	t->failed = true;
	return false;
}

void tls_kernel_sent(struct tls_conn *t)
{
	if (!t->alert_waits || is_busy(t))
		return;
	t->alert_waits = false;
	(void)send_record(t, RECORD_ALERT, t->alert, sizeof(t->alert));
}

bool tls_kernel_sends(const struct tls_conn *t)
{
	return t->kernel && !t->failed && !t->shut && !is_busy(t);
}
