/*
 * test_cert_known.c: which certificates check is told of, and what comes of the ones that it knew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cert_known.h"
#include "lib/base64.h"
#include "lib/sys.h"
#include "site.h"
#include "tbl/tbl.h"

enum { NOW = 1000000000, DAY = 86400 };

static void put(struct buf *b, const char *section, const char *key, const char *text)
{
	pack_str(b, section);
	pack_str(b, "");
	pack_str(b, key);
	pack_str(b, text);
	pack_u32(b, 4);
	pack_u32(b, 2);
}

static void put_bytes(struct buf *b, const char *key, const void *p, size_t n)
{
	char text[1024];

	base64_encode(p, n, text);
	put(b, "Site", key, text);
}

/* A site whose inputs are 32 bytes of that number; 0: it has none. */
static struct site *site(const char *file, uint8_t inputs, uint64_t from_s, uint64_t to_s)
{
	struct {
		struct cert_box head;
		char more[100];
	} box = {.head = {.not_before_s = from_s, .not_after_s = to_s}};
	uint8_t bytes[CHECK_KNOWN_BYTES];
	struct site *s = site_new(file);
	struct buf b;

	buf_init(&b, 65536);
	memset(bytes, inputs, sizeof bytes);
	put(&b, "Site", "Domain", file);
	put_bytes(&b, "CertificateChain", file, strlen(file));
	put_bytes(&b, "CertificateBox", &box, sizeof box);
	if (inputs)
		put_bytes(&b, "CertificateInputs", bytes, sizeof bytes);
	s->values = malloc(b.len);
	memcpy(s->values, b.p, b.len);
	s->bytes = b.len;
	buf_done(&b);
	return s;
}

static unsigned count(const struct buf *b, const char *key)
{
	struct site_value v;
	struct unpack u;
	unsigned n = 0;

	unpack_init(&u, b->p, b->len);
	while (site_value_next(&u, &v))
		n += strcmp(v.key, key) == 0;
	assert_false(u.bad);
	return n;
}

/* Those that hold today and for a while; not what was never known, is not valid yet, ends soon. */
static void what_is_told(void **state)
{
	const struct msg_check_known *head;
	struct site_list all = {0};
	struct cert_known *k;
	const uint8_t *first;
	const void *map;
	size_t bytes;
	int fd;

	(void)state;
	assert_null(cert_known_new(&all, NOW));
	assert_int_equal(sites_add(&all, site("a", 9, NOW - DAY, NOW + 30 * DAY)), 0);
	assert_int_equal(sites_add(&all, site("b", 0, NOW - DAY, NOW + 30 * DAY)), 0);
	assert_int_equal(sites_add(&all, site("c", 7, NOW + 1, NOW + 30 * DAY)), 0);
	assert_int_equal(sites_add(&all, site("d", 6, NOW - DAY, NOW + 14 * DAY)), 0);
	assert_int_equal(sites_add(&all, site("e", 5, NOW - DAY, NOW + 30 * DAY)), 0);
	k = cert_known_new(&all, NOW);
	assert_non_null(k);
	fd = cert_known_fd(k);
	assert_true(fd >= 0);
	assert_int_equal(sys_memfd_map(fd, 1 << 20, &bytes, &map), 0);
	head = map;
	first = (const uint8_t *)(head + 1);
	assert_int_equal(head->n, 2);
	assert_int_equal(bytes, sizeof *head + (size_t)2 * CHECK_KNOWN_BYTES);
	assert_int_equal(first[0], 5);
	assert_int_equal(first[CHECK_KNOWN_BYTES], 9);
	sys_shm_unmap(map, bytes);
	close(fd);
	cert_known_free(k);
	sites_free(&all);
}

static void what_comes_back(void **state)
{
	uint8_t nine[CHECK_KNOWN_BYTES], eight[CHECK_KNOWN_BYTES];
	struct site_list all = {0};
	struct cert_known *k;
	struct buf b;

	(void)state;
	memset(nine, 9, sizeof nine);
	memset(eight, 8, sizeof eight);
	assert_int_equal(sites_add(&all, site("a", 9, 0, NOW + 30 * DAY)), 0);
	k = cert_known_new(&all, NOW);
	buf_init(&b, 65536);
	/* Only by what it is known: the rest is as it was. */
	put(&b, "Site", "Domain", "x");
	put_bytes(&b, "CertificateInputs", nine, sizeof nine);
	assert_true(cert_known_add(k, &b));
	assert_int_equal(count(&b, "CertificateChain"), 1);
	assert_int_equal(count(&b, "CertificateBox"), 1);
	assert_int_equal(count(&b, "Domain"), 1);
	/* Once more: it is whole. */
	assert_true(cert_known_add(k, &b));
	assert_int_equal(count(&b, "CertificateBox"), 1);
	/* Nobody told check of that one. */
	buf_reset(&b);
	put_bytes(&b, "CertificateInputs", eight, sizeof eight);
	assert_false(cert_known_add(k, &b));
	assert_false(cert_known_add(NULL, &b));
	/* It was looked at anew. */
	put_bytes(&b, "CertificateBox", "box", 3);
	assert_true(cert_known_add(NULL, &b));
	/* It has none at all; what is no such value is none. */
	buf_reset(&b);
	put(&b, "Site", "Domain", "x");
	put(&b, "Site", "CertificateInputs", "short");
	put(&b, "Route", "CertificateInputs", "short");
	assert_true(cert_known_add(k, &b));
	assert_int_equal(count(&b, "CertificateBox"), 0);
	buf_done(&b);
	cert_known_free(k);
	sites_free(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_told), cmocka_unit_test(what_comes_back)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
