/*
 * test_ca.c: the user's own certificate authority: it is made once for all who come, it signs local
 * names and nothing else, and whoever trusts it believes it for no other name, whatever it signs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "seal/local_ca.h"
#include "snap/cert_box.h"

static uint64_t now_s(void)
{
	return (uint64_t)time(NULL);
}

static int ask(const struct ca *ca, const char *const *names, uint32_t n, struct key_made *ret)
{
	return ask_key(KEY_LOCAL, ca, now_s(), names, n, ret);
}

/* As a browser that trusts the authority: 0, or OpenSSL's reason. */
static int verify(const struct ca *ca, const struct key_made *m, const char *host)
{
	const unsigned char *at = m->csr;
	X509 *leaf = d2i_X509(NULL, &at, (long)m->csr_n);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int err;

	assert_non_null(leaf);
	assert_int_equal(X509_STORE_add_cert(store, ca->cert), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
	(void)X509_STORE_CTX_set_default(ctx, "ssl_server");
	(void)X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
	err = X509_verify_cert(ctx) == 1 ? 0 : X509_STORE_CTX_get_error(ctx);
	if (!err && X509_check_host(leaf, host, 0, 0, NULL) != 1 &&
		X509_check_ip_asc(leaf, host, 0) != 1)
		err = X509_V_ERR_HOSTNAME_MISMATCH;
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(leaf);
	return err;
}

static void local_names(void **state)
{
	static const char *const names[] = {
		"localhost", "127.0.0.1", "::1", "shop.localhost", "shop.test", "*.shop.test"};
	static const char *const hosts[] = {
		"localhost", "127.0.0.1", "::1", "shop.localhost", "shop.test", "a.shop.test"};
	struct cert_box_view v;
	uint8_t plain[MAKE_BOX_MAX];
	struct key_made m;
	struct ca ca;
	size_t n;

	(void)state;
	assert_int_equal(ca_make("box", now_s(), &ca), 0);
	assert_int_equal(ask(&ca, names, 6, &m), 0);
	for (size_t i = 0; i < 6; i++)
		if (verify(&ca, &m, hosts[i]))
			fail_msg("%s: %s", hosts[i],
				X509_verify_cert_error_string(verify(&ca, &m, hosts[i])));
	assert_int_equal(verify(&ca, &m, "other.test"), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_true(cert_box_read(m.whole, m.whole_n, &v));
	assert_string_equal(
		v.names, "localhost 127.0.0.1 ::1 shop.localhost shop.test *.shop.test");
	assert_string_equal(v.issuer, ca.name);
	assert_int_equal(strlen(v.serial), 32);
	assert_int_equal(v.head.not_after_s - v.head.not_before_s, CA_LEAF_DAYS * 86400 + 3600);
	assert_memory_equal(v.head.key, m.id, 32);
	assert_int_equal(
		seal_open(secret, m.id, 32, (const uint8_t *)v.box, v.box_n, plain, &n), 0);
	make_done(&m);
	ca_done(&ca);
}

static void nothing_else(void **state)
{
	static const char *const bad[] = {"bank.example", "localhost.example", "192.0.2.1", "::2",
		"0:0:0:0:0:0:0:1", "127.1", "127.0.0.01", "LOCALHOST", "a.test,DNS:bank.example",
		"", "*.localhost.example", "10.0.0.1", "box", "127.0.0.1.nip.example"};
	struct ca ca, none = {0};
	const char *good = "localhost";
	struct key_made m;

	(void)state;
	assert_int_equal(ca_make("box", now_s(), &ca), 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (ask(&ca, &bad[i], 1, &m) != -EINVAL)
			fail_msg("%s", bad[i]);
	assert_int_equal(ask(&ca, NULL, 0, &m), -EPROTO);
	assert_int_equal(ask(&none, &good, 1, &m), -ENOENT);
	ca_done(&ca);
}

/* Signed all the same, as by somebody who has stolen its key: nobody believes it. */
static void constrained(void **state)
{
	static const struct {
		const char *list, *host;
	} rows[] = {{"DNS:bank.example", "bank.example"}, {"IP:192.0.2.1", "192.0.2.1"},
		{"DNS:localhost,DNS:bank.example", "bank.example"},
		{"DNS:localhost.example", "localhost.example"}, {"IP:::2", "::2"}};
	struct ca ca;

	(void)state;
	assert_int_equal(ca_make("box", now_s(), &ca), 0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct key_made m = {.key = EVP_EC_gen("P-256"), .box_n = 1};

		assert_int_equal(ca_sign(&ca, rows[i].list, rows[i].host, now_s(), &m), 0);
		if (verify(&ca, &m, rows[i].host) != X509_V_ERR_PERMITTED_VIOLATION)
			fail_msg("%s", rows[i].list);
		make_done(&m);
	}
	ca_done(&ca);
}

/* One that may sign more, made by somebody else: not taken. */
static void not_ours(void **state)
{
	static const char *const wrong[] = {NULL, "permitted;DNS:localhost",
		"critical,permitted;DNS:localhost,permitted;DNS:example",
		"critical,permitted;DNS:localhost,permitted;DNS:test,permitted;IP:127.0.0.0/"
		"255.0.0.0"};
	unsigned char *key = NULL;
	struct ca ca, got;
	int key_n;

	(void)state;
	assert_int_equal(ca_make("box", now_s(), &ca), 0);
	assert_true(local_ca_is_confined(ca.cert));
	key_n = i2d_PrivateKey(ca.key, &key);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		unsigned char *der = NULL;
		X509 *x = X509_dup(ca.cert);
		int n, at = X509_get_ext_by_NID(x, NID_name_constraints, -1);

		X509_EXTENSION_free(X509_delete_ext(x, at));
		if (wrong[i]) {
			X509_EXTENSION *e =
				X509V3_EXT_conf_nid(NULL, NULL, NID_name_constraints, wrong[i]);

			assert_int_equal(X509_add_ext(x, e, -1), 1);
			X509_EXTENSION_free(e);
		}
		assert_true(X509_sign(x, ca.key, EVP_sha256()) > 0);
		assert_false(local_ca_is_confined(x));
		n = i2d_X509(x, &der);
		assert_int_equal(
			ca_read(der, (size_t)n, key, (size_t)key_n, now_s(), &got), -EBADMSG);
		OPENSSL_free(der);
		X509_free(x);
	}
	OPENSSL_free(key);
	ca_done(&ca);
}

/* ---- the folder ---- */

static int folder(char path[64])
{
	(void)snprintf(path, 64, "/tmp/stead-test-ca-XXXXXX");
	assert_non_null(mkdtemp(path));
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void clear(int dir, const char *path)
{
	static const char *const names[] = {"ca.pem", "key", "secret"};

	for (size_t i = 0; i < 3; i++)
		(void)unlinkat(dir, names[i], 0);
	close(dir);
	assert_int_equal(rmdir(path), 0);
}

static void made_once(void **state)
{
	struct ca first, again;
	struct stat st;
	char path[64];
	int dir = folder(path);

	(void)state;
	assert_int_equal(ca_open(dir, now_s(), &first), 0);
	assert_true(strncmp(first.name, "stead local CA ", 15) == 0);
	assert_int_equal(fstatat(dir, "key", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(dir, "secret", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ca_open(dir, now_s(), &again), 0);
	assert_int_equal(X509_cmp(first.cert, again.cert), 0);
	assert_int_equal(X509_check_private_key(first.cert, again.key), 1);
	ca_done(&again);
	/* Shortly before its end another takes its place. */
	assert_int_equal(ca_open(dir, now_s() + (CA_DAYS - 1) * 86400ull, &again), 0);
	assert_int_not_equal(X509_cmp(first.cert, again.cert), 0);
	ca_done(&again);
	ca_done(&first);
	clear(dir, path);
}

static void damaged(void **state)
{
	static const char *const names[] = {"ca.pem", "key", "secret"};
	char path[64];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		int dir = folder(path), fd;
		struct ca ca;

		assert_int_equal(ca_open(dir, now_s(), &ca), 0);
		ca_done(&ca);
		fd = openat(dir, names[i], O_WRONLY);
		assert_int_equal(pwrite(fd, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 38, 4), 38);
		close(fd);
		assert_int_equal(ca_open(dir, now_s(), &ca), -EBADMSG);
		/* A key without its certificate was never told anybody; a certificate without its
		 * key was. */
		assert_int_equal(unlinkat(dir, names[i], 0), 0);
		assert_int_equal(ca_open(dir, now_s(), &ca), i == 0 ? 0 : -EBADMSG);
		if (i == 0)
			ca_done(&ca);
		clear(dir, path);
	}
}

/* Ten projects are started at once. */
static void made_by_one_of_many(void **state)
{
	enum { MANY = 10 };
	char path[64];
	int dir = folder(path), status, fds[2];
	char names[MANY][CA_NAME_MAX];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	for (int i = 0; i < MANY; i++)
		if (fork() == 0) {
			struct ca ca;
			int own = open(path, O_RDONLY | O_DIRECTORY);
			bool good = ca_open(own, now_s(), &ca) == 0 &&
				    write(fds[1], ca.name, CA_NAME_MAX) == CA_NAME_MAX;

			_exit(good ? 0 : 1);
		}
	for (int i = 0; i < MANY; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
		assert_int_equal(read(fds[0], names[i], CA_NAME_MAX), CA_NAME_MAX);
		assert_string_equal(names[i], names[0]);
	}
	close(fds[0]);
	close(fds[1]);
	clear(dir, path);
}

/* Who holds the folder for ever holds up nobody for ever. */
static void held(void **state)
{
	struct ca ca;
	char path[64];
	int dir = folder(path), other = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(flock(other, LOCK_EX), 0);
	assert_int_equal(ca_open(dir, now_s(), &ca), -EBUSY);
	close(other);
	assert_int_equal(ca_open(dir, now_s(), &ca), 0);
	ca_done(&ca);
	clear(dir, path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(local_names),
		cmocka_unit_test(nothing_else), cmocka_unit_test(constrained),
		cmocka_unit_test(not_ours), cmocka_unit_test(made_once), cmocka_unit_test(damaged),
		cmocka_unit_test(made_by_one_of_many), cmocka_unit_test(held)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
