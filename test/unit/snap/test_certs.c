/*
 * test_certs.c: the snapshot's segment of certificates, and the box that a certificate's key comes
 * in: what is built is found again, what is damaged is refused or, past the checks, stays within
 * bounds.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"
#include "snap/cert_box.h"
#include "snap/snap.h"
#include "snap/snap_priv.h"
#include "snap/vault.h"

enum { MANY = 10000, DER_BYTES = 1200, BYTES_EACH_MAX = 6 * 1024 };

static uint32_t put_site(struct snap_writer *w, const char *name, uint32_t cert)
{
	struct snap_site site = {.name = snap_put_str(w, name), .cert = cert};
	struct snap_route r = snap_route_default();
	uint32_t at;

	r.path = snap_put_str(w, "/");
	r.to = SNAP_TO_STATIC;
	r.root = snap_put_str(w, "/srv");
	at = snap_put_site(w, &site, &r, 1);
	snap_put_host(w, at, name, 0);
	return at;
}

static uint32_t put_cert(struct snap_writer *w, unsigned i, const char *names)
{
	struct snap_cert cert = {.not_after_s = 1000 + i};
	char der[2][DER_BYTES];
	const void *all[2] = {der[0], der[1]};

	memset(der[0], (int)(i & 255), sizeof der[0]);
	memset(der[1], 'i', sizeof der[1]);
	memcpy(cert.id, &i, sizeof i);
	memcpy(cert.key, &i, sizeof i);
	return snap_put_cert(w, &cert, all, (const size_t[]){DER_BYTES, DER_BYTES - 1}, 2, names);
}

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static struct snap *load(struct snap_writer *w, size_t *ret_bytes)
{
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s = NULL;
	unsigned n = 0;

	assert_int_equal(snap_finish(w, 1, SNAP_NONE, fds, &n), 0);
	assert_int_equal(snap_load(fds, n, &s), 0);
	if (ret_bytes)
		*ret_bytes = n > 2 ? (size_t)lseek(fds[2], 0, SEEK_END) : 0;
	close_all(fds, n);
	snap_writer_free(w);
	return s;
}

static bool covers(const struct snap *s, uint32_t i, const char *host)
{
	return snap_cert_covers(s, snap_cert(s, i), host, strlen(host));
}

static void test_without_one(void **state)
{
	struct snap_writer *w = snap_writer_new();
	struct snap *s;
	size_t bytes;

	(void)state;
	put_site(w, "a.example", 0);
	s = load(w, &bytes);
	assert_int_equal(bytes, 0);
	assert_int_equal(snap_ncerts(s), 0);
	assert_null(snap_cert(s, 0));
	snap_unref(s);
}

static void test_what_is_built_is_read(void **state)
{
	struct snap_writer *w = snap_writer_new();
	const struct snap_cert *cert;
	const uint8_t *der;
	struct snap *s;
	size_t n;

	(void)state;
	assert_int_equal(put_cert(w, 0, "a.example *.a.example 192.0.2.1"), 0);
	assert_int_equal(put_cert(w, 1, NULL), 1);
	put_site(w, "a.example", 1);
	put_site(w, "b.example", 2);
	s = load(w, NULL);
	assert_int_equal(snap_ncerts(s), 2);
	cert = snap_cert(s, snap_site_by_host(s, "b.example", 9, NULL)->cert - 1);
	assert_int_equal(cert->not_after_s, 1001);
	der = snap_cert_der(s, cert, 0, &n);
	assert_int_equal(n, DER_BYTES);
	assert_int_equal(der[0], 1);
	der = snap_cert_der(s, cert, 1, &n);
	assert_int_equal(n, DER_BYTES - 1);
	assert_int_equal(der[DER_BYTES - 2], 'i');
	assert_null(snap_cert_der(s, cert, 2, &n));
	assert_int_equal(n, 0);
	assert_null(snap_cert(s, 2));
	assert_true(covers(s, 0, "a.example") && covers(s, 0, "x.a.example") &&
		    covers(s, 0, "192.0.2.1"));
	assert_false(covers(s, 0, "b.example") || covers(s, 0, "192.0.2.2") ||
		     covers(s, 1, "a.example"));
	snap_unref(s);
}

static uint64_t shown(const struct snap *s, const char *site, const char *host, bool *ret_demand)
{
	const struct snap_demand *d;
	const struct snap_cert *cert =
		snap_cert_by_host(s, snap_site_by_host(s, site, strlen(site), NULL), host, strlen(host), &d);

	*ret_demand = d != NULL;
	return cert ? cert->not_after_s : 0;
}

/* A name's own certificate is shown at its site only, where that has OnDemand=, and never instead of the site's. */
static void test_on_demand(void **state)
{
	struct snap_writer *w = snap_writer_new();
	struct snap_site site = {.name = snap_put_str(w, "x"), .number = 7, .cert = 1, .flags = SNAP_SITE_ON_DEMAND};
	struct snap_route r = snap_route_default();
	char name[32];
	struct snap *s;
	bool demand;

	(void)state;
	r.path = snap_put_str(w, "/");
	r.to = SNAP_TO_STATIC;
	r.root = snap_put_str(w, "/srv");
	put_cert(w, 0, "x.example");
	snap_put_host(w, snap_put_site(w, &site, &r, 1), "x.example", 0);
	site.number = 8;
	site.flags = 0;
	snap_put_host(w, snap_put_site(w, &site, &r, 1), "y.example", 0);
	for (unsigned i = 1; i < 100; i++) {
		(void)snprintf(name, sizeof name, "n%u.x.example", i);
		snap_put_demand(w, 7, name, put_cert(w, i, name), i);
	}
	snap_put_demand(w, 7, "x.example", 5, 0);
	snap_put_demand(w, 8, "n1.y.example", 5, 0);
	s = load(w, NULL);
	assert_int_equal(shown(s, "x.example", "n1.x.example", &demand), 1001);
	assert_true(demand);
	assert_int_equal(shown(s, "x.example", "n99.x.example", &demand), 1099);
	assert_int_equal(shown(s, "x.example", "n100.x.example", &demand), 1000);
	assert_false(demand);
	assert_int_equal(shown(s, "x.example", "x.example", &demand), 1000);
	assert_false(demand);
	assert_int_equal(shown(s, "y.example", "n1.x.example", &demand), 1000);
	assert_false(demand);
	/* Not while that site has no OnDemand=. */
	assert_int_equal(shown(s, "y.example", "n1.y.example", &demand), 1000);
	assert_false(demand);
	snap_unref(s);
	w = snap_writer_new();
	put_cert(w, 0, "x.example");
	snap_put_demand(w, 7, "n.x.example", 1, 0);
	assert_int_equal(snap_finish(w, 1, SNAP_NONE, (int[SNAP_SEGMENTS_MAX + 1]){0}, &(unsigned){0}), -EINVAL);
	snap_writer_free(w);
}

/* 10,000 certificates are within their bound of bytes, and the last is found as the first is. */
static void test_many(void **state)
{
	struct snap_writer *w = snap_writer_new();
	char name[32];
	struct snap *s;
	size_t bytes;

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "s%u.example", i);
		put_site(w, name, put_cert(w, i, name) + 1);
	}
	s = load(w, &bytes);
	assert_int_equal(snap_ncerts(s), MANY);
	assert_true(bytes / MANY < BYTES_EACH_MAX);
	for (unsigned i = 0; i < MANY; i += 999) {
		(void)snprintf(name, sizeof name, "s%u.example", i);
		assert_int_equal(snap_site_by_host(s, name, strlen(name), NULL)->cert, i + 1);
		assert_true(covers(s, i, name));
	}
	snap_unref(s);
}

static void refused(struct snap_writer *w, int err)
{
	int fds[SNAP_SEGMENTS_MAX + 1];
	unsigned n;

	assert_int_equal(snap_finish(w, 1, SNAP_NONE, fds, &n), err);
	snap_writer_free(w);
}

static void test_builder_refuses(void **state)
{
	static char large[SNAP_STRING_MAX + 2];
	const void *der[SNAP_CHAIN_MAX + 1];
	size_t der_n[SNAP_CHAIN_MAX + 1];
	struct snap_cert cert = {0};
	struct snap_writer *w;

	(void)state;
	for (unsigned i = 0; i <= SNAP_CHAIN_MAX; i++) {
		der[i] = large;
		der_n[i] = 10;
	}
	w = snap_writer_new(); /* a site with a certificate that is not there */
	put_cert(w, 0, "a");
	put_site(w, "a.example", 2);
	refused(w, -EINVAL);
	w = snap_writer_new();
	assert_int_equal(snap_put_cert(w, &cert, der, der_n, 0, ""), SNAP_NONE);
	refused(w, -EINVAL);
	w = snap_writer_new();
	assert_int_equal(snap_put_cert(w, &cert, der, der_n, SNAP_CHAIN_MAX + 1, ""), SNAP_NONE);
	refused(w, -EINVAL);
	w = snap_writer_new();
	memset(large, 'a', sizeof large - 1);
	assert_int_equal(snap_put_cert(w, &cert, der, der_n, 1, large), SNAP_NONE);
	refused(w, -EINVAL);
	for (size_t bad = 0; bad <= SNAP_STRING_MAX + 1; bad += SNAP_STRING_MAX + 1) {
		w = snap_writer_new();
		der_n[0] = bad;
		(void)snap_put_cert(w, &cert, der, der_n, 1, "");
		refused(w, -EINVAL);
	}
}

static void touch_all(const struct snap *s)
{
	const struct snap_cert *cert;
	const uint8_t *der;
	size_t n;

	for (uint32_t i = 0; i < 8 && (cert = snap_cert(s, i)); i++) {
		(void)snap_cert_covers(s, cert, "x.a.example", 11);
		for (uint32_t k = 0; k < 4 && (der = snap_cert_der(s, cert, k, &n)); k++)
			assert_true(n == 0 || der[0] <= 255);
	}
}

/* Each byte of the segment changed: refused; and past the checks nothing is read outside of it. */
static void test_every_flipped_byte(void **state)
{
	struct snap_writer *w = snap_writer_new();
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap_part parts[3];
	struct snap *s = NULL;
	unsigned n;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		put_cert(w, i, "a.example *.a.example");
	put_site(w, "a.example", 1);
	assert_int_equal(snap_finish(w, 42, SNAP_NONE, fds, &n), 0);
	assert_int_equal(n, 3);
	for (unsigned i = 0; i < n; i++) {
		parts[i].bytes = (size_t)lseek(fds[i], 0, SEEK_END);
		parts[i].map = malloc(parts[i].bytes);
		assert_int_equal(
			pread(fds[i], (char *)parts[i].map, parts[i].bytes, 0), parts[i].bytes);
	}
	assert_int_equal(snap_check(parts, n, &s), 0);
	for (size_t at = 0; at < parts[2].bytes; at++) {
		char *byte = (char *)parts[2].map + at;
		struct snap *damaged = NULL;

		*byte = (char)(*byte ^ 0x80);
		assert_true(snap_check(parts, n, &damaged) < 0);
		assert_null(damaged);
		touch_all(s);
		*byte = (char)(*byte ^ 0x80);
	}
	snap_unref(s);
	for (unsigned i = 0; i < n; i++)
		free((void *)parts[i].map);
	close_all(fds, n);
	snap_writer_free(w);
}

/* ---- the box ---- */

static const struct cert_box_view example = {.head = {.not_after_s = 7, .trusted = 1},
	.names = "a.example *.a.example 192.0.2.1 2001:db8::1",
	.issuer = "An Authority, Inc.",
	.serial = "0a1b",
	.box = "sealed",
	.box_n = 6};

/* What is read points into b, which is done later. */
static bool reads(struct buf *b, const struct cert_box_view *v, struct cert_box_view *ret)
{
	buf_reset(b);
	cert_box_put(b, v);
	assert_int_equal(b->error, 0);
	/* Not a byte less, not one more. */
	for (size_t i = 0; i < b->len; i++)
		assert_false(cert_box_read(b->p, i, ret));
	buf_putc(b, 0);
	assert_false(cert_box_read(b->p, b->len, ret));
	return cert_box_read(b->p, b->len - 1, ret);
}

static void test_box(void **state)
{
	static const char *const bad_names[] = {"a\nb", "A.example", "a/b", "a,b", "<b>"};
	static char large[VAULT_BOX_MAX + 1];
	struct cert_box_view v = example, got;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_true(reads(&b, &v, &got));
	assert_string_equal(got.names, example.names);
	assert_string_equal(got.issuer, example.issuer);
	assert_string_equal(got.serial, "0a1b");
	assert_int_equal(got.box_n, 6);
	assert_memory_equal(got.box, "sealed", 6);
	assert_int_equal(got.head.not_after_s, 7);
	for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++) {
		v.names = bad_names[i];
		assert_false(reads(&b, &v, &got));
	}
	v = example;
	v.issuer = "\033[31m";
	assert_false(reads(&b, &v, &got));
	v = example;
	v.box_n = 0;
	assert_false(reads(&b, &v, &got));
	v.box = large;
	v.box_n = sizeof large;
	assert_false(reads(&b, &v, &got));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_one),
		cmocka_unit_test(test_what_is_built_is_read),
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_builder_refuses),
		cmocka_unit_test(test_every_flipped_byte),
		cmocka_unit_test(test_box),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
