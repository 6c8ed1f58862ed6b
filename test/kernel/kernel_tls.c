/*
 * kernel_tls.c: sending with kTLS as the kernel's Documentation/networking/tls.rst has it, in the process: loaded before libc
 * (LD_PRELOAD) into a gate whose kernel has no "tls" among its ULPs, so that what the gate does with one is tried everywhere.
 *
 * A socket is given keys by setsockopt(SOL_TLS, TLS_TX), and is not before it is connected (ENOTCONN). Then what is written to it
 * is sent as records of content, each call's own; a file's bytes by sendfile(2) too; and a message with TLS_SET_RECORD_TYPE
 * beside it as one record of that type. Unlike the kernel a call waits until all has gone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 4096, RECORD = 16384, TAG = 16, CONTENT = 23 };

struct sock {
	bool tls, sends;
	bool old; /* TLS 1.2 */
	const EVP_CIPHER *cipher;
	unsigned char key[32], iv[12];
	uint64_t seq;
};

static struct sock socks[FDS];

static struct sock *of(int fd)
{
	return fd >= 0 && fd < FDS ? &socks[fd] : NULL;
}

static uint64_t be64(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void put64(unsigned char *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (unsigned char)v;
}

static bool is_connected(int fd)
{
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof a;

	/* One that was accepted has a port; what is only asked for its ULPs has none. */
	return getsockname(fd, (struct sockaddr *)&a, &n) == 0 &&
	       (a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port : ((struct sockaddr_in6 *)&a)->sin6_port) != 0;
}

#define TAKE(s, info, evp)                                                   \
	do {                                                                 \
		(s)->cipher = (evp);                                         \
		memcpy((s)->key, (info)->key, sizeof (info)->key);           \
		memcpy((s)->iv, (info)->salt, sizeof (info)->salt);          \
		memcpy((s)->iv + sizeof (info)->salt, (info)->iv, sizeof (info)->iv); \
		(s)->seq = be64((info)->rec_seq);                            \
	} while (0)

static int take_keys(struct sock *s, const void *p, socklen_t n)
{
	const struct tls_crypto_info *info = p;

	if (!s || !s->tls || s->sends) {
		errno = EINVAL;
		return -1;
	}
	s->old = info->version == TLS_1_2_VERSION;
	if (info->cipher_type == TLS_CIPHER_AES_GCM_128 && n == sizeof(struct tls12_crypto_info_aes_gcm_128))
		TAKE(s, (const struct tls12_crypto_info_aes_gcm_128 *)p, EVP_aes_128_gcm());
	else if (info->cipher_type == TLS_CIPHER_AES_GCM_256 && n == sizeof(struct tls12_crypto_info_aes_gcm_256))
		TAKE(s, (const struct tls12_crypto_info_aes_gcm_256 *)p, EVP_aes_256_gcm());
	else if (info->cipher_type == TLS_CIPHER_CHACHA20_POLY1305 && n == sizeof(struct tls12_crypto_info_chacha20_poly1305)) {
		const struct tls12_crypto_info_chacha20_poly1305 *c = p;

		s->cipher = EVP_chacha20_poly1305();
		memcpy(s->key, c->key, sizeof c->key);
		memcpy(s->iv, c->iv, sizeof c->iv);
		s->seq = be64(c->rec_seq);
	} else {
		errno = EINVAL;
		return -1;
	}
	s->sends = true;
	return 0;
}

int setsockopt(int fd, int level, int name, const void *p, socklen_t n)
{
	struct sock *s = of(fd);

	if (level == IPPROTO_TCP && name == TCP_ULP) {
		if (!is_connected(fd)) {
			errno = ENOTCONN;
			return -1;
		}
		if (s)
			s->tls = true;
		return s ? 0 : -1;
	}
	if (level == SOL_TLS && name == TLS_TX)
		return take_keys(s, p, n);
	return (int)syscall(SYS_setsockopt, fd, level, name, p, n);
}

/* All of it goes, or the connection is broken. */
static bool out(int fd, const unsigned char *p, size_t n)
{
	while (n) {
		ssize_t res = syscall(SYS_sendto, fd, p, n, MSG_NOSIGNAL, NULL, 0);

		if (res < 0 && errno == EAGAIN) {
			struct timespec t = {0, 1000000};

			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
			continue;
		}
		if (res < 0)
			return false;
		p += res;
		n -= (size_t)res;
	}
	return true;
}

/* RFC 8446 section 5.2, RFC 5288 section 3, RFC 7905 section 2. */
static bool record(int fd, struct sock *s, unsigned char type, const unsigned char *p, size_t n)
{
	bool explicit_nonce = s->old && s->cipher != EVP_chacha20_poly1305();
	size_t body = n + !s->old, head = 5 + (explicit_nonce ? 8u : 0u), all = head + body + TAG;
	unsigned char mem[5 + 8 + RECORD + 1 + TAG], nonce[12], aad[13], last = type;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int len = 0;
	bool good;

	memcpy(nonce, s->iv, sizeof nonce);
	mem[0] = s->old ? type : CONTENT;
	mem[1] = mem[2] = 3;
	mem[3] = (unsigned char)((all - 5) >> 8);
	mem[4] = (unsigned char)(all - 5);
	if (explicit_nonce) {
		put64(nonce + 4, s->seq);
		memcpy(mem + 5, nonce + 4, 8);
	} else {
		for (int i = 0; i < 8; i++)
			nonce[4 + i] ^= (unsigned char)(s->seq >> (56 - 8 * i));
	}
	put64(aad, s->seq);
	aad[8] = type;
	aad[9] = aad[10] = 3;
	aad[11] = (unsigned char)(n >> 8);
	aad[12] = (unsigned char)n;
	good = c && EVP_EncryptInit_ex(c, s->cipher, NULL, s->key, nonce) &&
	       EVP_EncryptUpdate(c, NULL, &len, s->old ? aad : mem, s->old ? 13 : 5) &&
	       EVP_EncryptUpdate(c, mem + head, &len, p, (int)n) &&
	       (s->old || EVP_EncryptUpdate(c, mem + head + n, &len, &last, 1)) && EVP_EncryptFinal_ex(c, mem + head + body, &len) &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, mem + head + body);
	EVP_CIPHER_CTX_free(c);
	s->seq++;
	return good && out(fd, mem, all);
}

static ssize_t content(int fd, struct sock *s, const unsigned char *p, size_t n)
{
	for (size_t at = 0; at < n; at += RECORD)
		if (!record(fd, s, CONTENT, p + at, n - at < RECORD ? n - at : RECORD))
			return -1;
	return (ssize_t)n;
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	struct sock *s = of(fd);

	return s && s->sends ? content(fd, s, p, n) : syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	const struct cmsghdr *beside = CMSG_FIRSTHDR(m);
	struct sock *s = of(fd);
	ssize_t all = 0;

	if (!s || !s->sends)
		return syscall(SYS_sendmsg, fd, m, flags);
	if (beside && beside->cmsg_level == SOL_TLS && beside->cmsg_type == TLS_SET_RECORD_TYPE)
		return m->msg_iovlen == 1 && record(fd, s, *CMSG_DATA(beside), m->msg_iov[0].iov_base, m->msg_iov[0].iov_len)
			       ? (ssize_t)m->msg_iov[0].iov_len
			       : -1;
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		if (content(fd, s, m->msg_iov[i].iov_base, m->msg_iov[i].iov_len) < 0)
			return -1;
		all += (ssize_t)m->msg_iov[i].iov_len;
	}
	return all;
}

ssize_t sendfile(int fd, int from, off_t *at, size_t n)
{
	struct sock *s = of(fd);
	unsigned char mem[4 * RECORD];
	ssize_t got;

	if (!s || !s->sends || !at)
		return syscall(SYS_sendfile, fd, from, at, n);
	got = pread(from, mem, n < sizeof mem ? n : sizeof mem, *at);
	if (got <= 0)
		return got;
	*at += got;
	return content(fd, s, mem, (size_t)got);
}

int close(int fd)
{
	struct sock *s = of(fd);

	if (s)
		memset(s, 0, sizeof *s);
	return (int)syscall(SYS_close, fd);
}
