/*
 * ca_store.c: the folder of the user's own certificate authority; see ca.h. Called by main.c at the
 * start, before nothing can be opened any more, and by tests. Owns nothing behind the call.
 *
 * The certificate is written last, so what counts is there whole or not at all: a process that dies
 * between two files leaves the next to begin anew. One that is damaged is not replaced: whoever
 * trusts it would not trust another, and shall hear of it.
 */
#include "ca.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <time.h>

#include "lib/durable.h"
#include "lib/must.h"
#include "lib/sys.h"

enum { LOCK_TRIES = 200, LOCK_PAUSE_NS = 10 * 1000 * 1000, FILE_MAX = 16 * 1024 };

static const char about[] = "local certificate authority";

/* The lock goes with the descriptor. Never waited for without an end: a start waits for this. */
static int lock(int dir)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};

	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (flock(dir, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		(void)nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

static int write_pem(int dir, X509 *cert)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = b && PEM_write_bio_X509(b, cert) == 1 ? BIO_get_mem_data(b, &text) : -1;
	int err = n > 0 ? durable_write(dir, "ca.pem", text, (size_t)n, 0644) : -EIO;

	BIO_free(b);
	return err;
}

static int write_key(int dir, EVP_PKEY *key)
{
	uint8_t secret[SEAL_KEY_BYTES], to[SEAL_KEY_BYTES], box[CA_DER_MAX + SEAL_MORE_BYTES];
	unsigned char *der = NULL;
	int n = i2d_PrivateKey(key, &der), err = n > 0 && n <= CA_DER_MAX ? 0 : -EIO;

	if (!err)
		err = sys_random(secret, sizeof secret);
	if (!err)
		err = seal_public(secret, to);
	if (!err)
		err = seal_close(to, about, sizeof about, der, (size_t)n, box);
	if (!err)
		err = durable_write_sum(dir, "secret", secret, sizeof secret, 0600);
	if (!err)
		err = durable_write_sum(dir, "key", box, (size_t)n + SEAL_MORE_BYTES, 0600);
	explicit_bzero(secret, sizeof secret);
	if (der)
		OPENSSL_clear_free(der, (size_t)max_of(n, 0));
	return err;
}

static int make(int dir, uint64_t now_s, struct ca *ret)
{
	struct utsname host = {.nodename = "here"};
	struct ca ca;
	int err;

	(void)uname(&host);
	for (char *p = host.nodename; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
			!(*p >= '0' && *p <= '9') && *p != '-' && *p != '.')
			*p = '-';
	err = ca_make(host.nodename, now_s, &ca);
	if (err)
		return err;
	err = write_key(dir, ca.key);
	if (!err)
		err = write_pem(dir, ca.cert);
	if (err)
		ca_done(&ca);
	else
		*ret = ca;
	return err;
}

static int read_key(int dir, uint8_t ret[CA_DER_MAX], size_t *ret_n)
{
	char *secret = NULL, *box = NULL;
	size_t n = 0, box_n = 0;
	int err = durable_read_sum(dir, "secret", FILE_MAX, &secret, &n);

	if (!err)
		err = durable_read_sum(dir, "key", FILE_MAX, &box, &box_n);
	if (!err && (n != SEAL_KEY_BYTES || box_n > CA_DER_MAX + SEAL_MORE_BYTES))
		err = -EBADMSG;
	if (!err)
		err = seal_open((const uint8_t *)secret, about, sizeof about, (const uint8_t *)box,
			box_n, ret, ret_n);
	if (secret)
		explicit_bzero(secret, n);
	free(secret);
	free(box);
	return err == -ENOENT ? -EBADMSG : err;
}

static int take(int dir, const char *pem, size_t n, uint64_t now_s, struct ca *ret)
{
	BIO *b = BIO_new_mem_buf(pem, (int)n);
	X509 *x = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
	uint8_t key[CA_DER_MAX];
	unsigned char *der = NULL;
	size_t key_n = 0;
	int der_n = x ? i2d_X509(x, &der) : -1, err = der_n > 0 ? 0 : -EBADMSG;

	if (!err)
		err = read_key(dir, key, &key_n);
	if (!err)
		err = ca_read(der, (size_t)der_n, key, key_n, now_s, ret);
	explicit_bzero(key, sizeof key);
	OPENSSL_free(der);
	X509_free(x);
	BIO_free(b);
	ERR_clear_error();
	return err;
}

int ca_open(int dir, uint64_t now_s, struct ca *ret)
{
	char *pem = NULL;
	size_t n = 0;
	int err = lock(dir);

	if (err)
		return err;
	err = sys_read_file(dir, "ca.pem", FILE_MAX, &pem, &n);
	if (!err)
		err = take(dir, pem, n, now_s, ret);
	free(pem);
	/* Its time is over: everybody has to trust a new one anyway. */
	if (err == -ENOENT || err == -ESTALE)
		err = make(dir, now_s, ret);
	(void)flock(dir, LOCK_UN);
	return err;
}
