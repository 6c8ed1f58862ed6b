/*
 * test_snap.c: the snapshot's builder and reader: what is built is found again, what is damaged is
 * refused or, when the checks are passed by, stays within bounds.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/sys.h"
#include "snap/snap.h"
#include "snap/snap_priv.h"

static const char *const hosts_a[] = {"Shop.Example", "www.shop.example", "*.wild.example"};
static const char *const hosts_b[] = {"other.example", "a.wild.example", "*.deep.wild.example"};
static const struct snap_route_in routes_a[] = {
	{SNAP_MATCH_PREFIX, SNAP_TO_APP, "/", NULL, NULL, 0},
	{SNAP_MATCH_PREFIX, SNAP_TO_STATIC, "/static/", "/srv/static", "index.html", UINT32_MAX},
	{SNAP_MATCH_PREFIX, SNAP_TO_STATIC, "/static/deep", "/srv/deep", NULL, UINT32_MAX},
	{SNAP_MATCH_EXACT, SNAP_TO_STATIC, "/favicon.ico", "/srv/icon", NULL, UINT32_MAX},
};
static const struct snap_route_in routes_b[] = {
	{SNAP_MATCH_PREFIX, SNAP_TO_APP, "/app", NULL, NULL, 1},
};
static const struct snap_error_page_in pages_a[] = {{404, "/srv/404.html"}};

static struct snap_in whole_in(struct snap_site_in *sites, struct snap_app_in *apps)
{
	sites[0] = (struct snap_site_in){.name = "shop",
		.hosts = hosts_a,
		.nhosts = 3,
		.routes = routes_a,
		.nroutes = 4,
		.error_pages = pages_a,
		.nerror_pages = 1,
		.limits = {.number = 7, .body_max = 1ull << 33, .queue = 128}};
	sites[1] = (struct snap_site_in){.name = "other",
		.hosts = hosts_b,
		.nhosts = 3,
		.routes = routes_b,
		.nroutes = 1,
		.limits = {.number = 8}};
	apps[0] = (struct snap_app_in){
		.name = "shop", .number = 11, .workers = 2, .threads = 1, .site = 0};
	apps[1] = (struct snap_app_in){
		.name = "other", .number = 12, .workers = 1, .threads = 4, .site = 1};
	return (struct snap_in){.generation = 42,
		.sites = sites,
		.nsites = 2,
		.apps = apps,
		.napps = 2,
		.default_site = 0};
}

static void build_whole(int fds[SNAP_SEGMENTS_MAX + 1], unsigned *ret_n)
{
	struct snap_site_in sites[2];
	struct snap_app_in apps[2];
	struct snap_in in = whole_in(sites, apps);

	assert_int_equal(snap_build(&in, fds, ret_n), 0);
	assert_int_equal(*ret_n, 2);
}

static struct snap *load_whole(void)
{
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s = NULL;
	unsigned n;

	build_whole(fds, &n);
	assert_int_equal(snap_load(fds, n, &s), 0);
	close(fds[0]);
	close(fds[1]);
	return s;
}

static const char *site_name(const struct snap *s, const struct snap_site *site)
{
	return site ? snap_str(s, site->name, NULL) : "";
}

static const char *host_to(const struct snap *s, const char *host)
{
	return site_name(s, snap_site_by_host(s, host, strlen(host)));
}

static const char *path_to(const struct snap *s, const char *path)
{
	const struct snap_route *r = snap_route_match(s, snap_site(s, 0), path, strlen(path));

	return r ? snap_str(s, r->path, NULL) : "";
}

static void test_what_is_built_is_read(void **state)
{
	struct snap *s = load_whole();
	size_t n;

	(void)state;
	assert_int_equal(snap_generation(s), 42);
	assert_int_equal(snap_nsites(s), 2);
	assert_int_equal(snap_napps(s), 2);
	assert_int_equal(snap_site(s, 0)->number, 7);
	assert_true(snap_site(s, 0)->body_max == 1ull << 33);
	assert_null(snap_site(s, 2));
	assert_int_equal(snap_app(s, 1)->threads, 4);
	assert_string_equal(snap_str(s, snap_app(s, 1)->name, &n), "other");
	assert_int_equal(n, 5);
	assert_null(snap_app(s, 2));
	assert_int_equal(snap_error_page(s, snap_site(s, 0), 0)->status, 404);
	assert_string_equal(
		snap_str(s, snap_error_page(s, snap_site(s, 0), 0)->file, NULL), "/srv/404.html");
	assert_null(snap_error_page(s, snap_site(s, 0), 1));
	assert_string_equal(
		snap_str(s, snap_route(s, snap_site(s, 0), 2)->root, NULL), "/srv/static");
	assert_null(snap_route(s, snap_site(s, 0), 4));
	snap_unref(snap_ref(s));
	snap_unref(s);
	snap_unref(NULL);
}

static void test_hosts_exact_wildcard_default(void **state)
{
	struct snap *s = load_whole();

	(void)state;
	assert_string_equal(host_to(s, "shop.example"), "shop");
	assert_string_equal(host_to(s, "other.example"), "other");
	assert_string_equal(host_to(s, "x.wild.example"), "shop");
	assert_string_equal(host_to(s, "a.wild.example"), "other");
	assert_string_equal(host_to(s, "x.deep.wild.example"), "other");
	assert_string_equal(host_to(s, "wild.example"), "shop");
	assert_string_equal(host_to(s, ""), "shop");
	assert_string_equal(host_to(s, "127.0.0.1"), "shop");
	snap_unref(s);
}

static void test_hosts_without_default(void **state)
{
	struct snap_site_in sites[2];
	struct snap_app_in apps[2];
	struct snap_in in = whole_in(sites, apps);
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s = NULL;
	unsigned n;

	(void)state;
	in.default_site = UINT32_MAX;
	assert_int_equal(snap_build(&in, fds, &n), 0);
	assert_int_equal(snap_load(fds, n, &s), 0);
	assert_null(snap_site_by_host(s, "nobody.example", 14));
	assert_string_equal(host_to(s, "q.wild.example"), "shop");
	snap_unref(s);
	close(fds[0]);
	close(fds[1]);
}

static void test_routes_end_at_segments(void **state)
{
	static const struct {
		const char *path, *route;
	} rows[] = {
		{"/", "/"},
		{"/x", "/"},
		{"/static", "/static"},
		{"/static/", "/static"},
		{"/static/a.css", "/static"},
		{"/statics", "/"},
		{"/static/deep", "/static/deep"},
		{"/static/deeper", "/static"},
		{"/static/deep/x", "/static/deep"},
		{"/favicon.ico", "/favicon.ico"},
		{"/favicon.ico/x", "/"},
		{"", ""},
	};
	struct snap *s = load_whole();

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_string_equal(path_to(s, rows[i].path), rows[i].route);
	assert_null(snap_route_match(s, snap_site(s, 1), "/", 1));
	assert_null(snap_route_match(s, snap_site(s, 1), "/apple", 6));
	assert_non_null(snap_route_match(s, snap_site(s, 1), "/app/le", 7));
	snap_unref(s);
}

static void test_many_hosts(void **state)
{
	enum { SITES = 1000 };
	struct snap_site_in *sites = calloc(SITES, sizeof *sites);
	const char *host[SITES];
	struct snap_in in = {
		.generation = 1, .sites = sites, .nsites = SITES, .default_site = UINT32_MAX};
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s = NULL;
	char text[SITES][32];
	unsigned n;

	(void)state;
	for (unsigned i = 0; i < SITES; i++) {
		(void)snprintf(text[i], sizeof text[i], "host%u.example", i);
		host[i] = text[i];
		sites[i] = (struct snap_site_in){.name = text[i], .hosts = &host[i], .nhosts = 1};
	}
	assert_int_equal(snap_build(&in, fds, &n), 0);
	assert_int_equal(snap_load(fds, n, &s), 0);
	for (unsigned i = 0; i < SITES; i++)
		assert_string_equal(host_to(s, text[i]), text[i]);
	assert_string_equal(host_to(s, "host1000.example"), "");
	snap_unref(s);
	close(fds[0]);
	close(fds[1]);
	free(sites);
}

static void test_builder_refuses(void **state)
{
	struct snap_site_in sites[2];
	struct snap_app_in apps[2];
	struct snap_in in = whole_in(sites, apps);
	struct snap_route_in bad = {SNAP_MATCH_PREFIX, SNAP_TO_APP, "/", NULL, NULL, 2};
	int fds[SNAP_SEGMENTS_MAX + 1];
	unsigned n;

	(void)state;
	in.default_site = 2;
	assert_int_equal(snap_build(&in, fds, &n), -EINVAL);
	in.default_site = 0;
	apps[0].site = 2;
	assert_int_equal(snap_build(&in, fds, &n), -EINVAL);
	apps[0].site = 0;
	sites[0].routes = &bad;
	sites[0].nroutes = 1;
	assert_int_equal(snap_build(&in, fds, &n), -EINVAL);
	bad = (struct snap_route_in){
		SNAP_MATCH_PREFIX, SNAP_TO_STATIC, "/", "relative", NULL, UINT32_MAX};
	assert_int_equal(snap_build(&in, fds, &n), -EINVAL);
}

static void test_unsealed_is_refused(void **state)
{
	int fds[SNAP_SEGMENTS_MAX + 1], loose[2];
	struct snap *s = NULL;
	unsigned n;

	(void)state;
	build_whole(fds, &n);
	for (unsigned i = 0; i < n; i++) {
		char bytes[65536];
		ssize_t len = pread(fds[i], bytes, sizeof bytes, 0);

		loose[i] = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(write(loose[i], bytes, (size_t)len), len);
	}
	assert_int_equal(snap_load(loose, n, &s), -EPERM);
	assert_int_equal(snap_load((int[]){fds[0], loose[1]}, n, &s), -EPERM);
	assert_int_equal(snap_load(fds, 1, &s), -EBADMSG);
	assert_int_equal(snap_load((int[]){fds[1], fds[0]}, 2, &s), -EBADMSG);
	assert_null(s);
	for (unsigned i = 0; i < n; i++) {
		close(loose[i]);
		close(fds[i]);
	}
}

/* Every accessor with whatever the bytes lead to. */
static void touch_all(const struct snap *s)
{
	for (uint32_t i = 0; i < snap_nsites(s); i++) {
		const struct snap_site *site = snap_site(s, i);
		const struct snap_error_page *page;
		const struct snap_route *r;

		(void)snap_str(s, site->name, NULL);
		for (uint32_t k = 0; k < 8 && (r = snap_route(s, site, k)); k++)
			(void)snap_str(s, r->root, NULL);
		for (uint32_t k = 0; k < 8 && (page = snap_error_page(s, site, k)); k++)
			(void)snap_str(s, page->file, NULL);
		(void)snap_route_match(s, site, "/static/deep/x", 14);
	}
	for (uint32_t i = 0; i < snap_napps(s); i++)
		(void)snap_str(s, snap_app(s, i)->name, NULL);
	(void)snap_site_by_host(s, "shop.example", 12);
	(void)snap_site_by_host(s, "x.y.deep.wild.example", 21);
}

static void copies_of(const int *fds, struct snap_part parts[2])
{
	for (unsigned i = 0; i < 2; i++) {
		off_t n = lseek(fds[i], 0, SEEK_END);

		/* Exactly as large as the segment, so that a sanitizer sees one byte too many. */
		parts[i].bytes = (size_t)n;
		parts[i].map = malloc((size_t)n);
		assert_int_equal(pread(fds[i], (char *)parts[i].map, (size_t)n, 0), n);
	}
}

static void test_every_flipped_byte(void **state)
{
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap_part parts[2];
	struct snap *s = NULL;
	unsigned n;

	(void)state;
	build_whole(fds, &n);
	copies_of(fds, parts);
	/* Another address: nothing in it depends on where it lies. */
	assert_int_equal(snap_check(parts, 2, &s), 0);
	assert_string_equal(host_to(s, "other.example"), "other");
	for (unsigned i = 0; i < 2; i++) {
		for (size_t at = 0; at < parts[i].bytes; at++) {
			char *byte = (char *)parts[i].map + at;
			struct snap *damaged = NULL;

			for (unsigned bit = 0; bit < 8; bit += 7) {
				*byte = (char)(*byte ^ (1 << bit));
				assert_true(snap_check(parts, 2, &damaged) < 0);
				assert_null(damaged);
				/* And past the checks, on the snapshot that was whole when it was
				 * loaded. */
				touch_all(s);
				*byte = (char)(*byte ^ (1 << bit));
			}
		}
	}
	snap_unref(s);
	free((void *)parts[0].map);
	free((void *)parts[1].map);
	close(fds[0]);
	close(fds[1]);
}

static void test_other_version(void **state)
{
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap_part parts[2];
	struct snap *s = NULL;
	unsigned n;

	(void)state;
	build_whole(fds, &n);
	copies_of(fds, parts);
	((struct snap_root *)parts[0].map)->version = SNAP_VERSION + 1;
	assert_int_equal(snap_check(parts, 2, &s), -EPROTONOSUPPORT);
	free((void *)parts[0].map);
	free((void *)parts[1].map);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_built_is_read),
		cmocka_unit_test(test_hosts_exact_wildcard_default),
		cmocka_unit_test(test_hosts_without_default),
		cmocka_unit_test(test_routes_end_at_segments),
		cmocka_unit_test(test_many_hosts),
		cmocka_unit_test(test_builder_refuses),
		cmocka_unit_test(test_unsealed_is_refused),
		cmocka_unit_test(test_every_flipped_byte),
		cmocka_unit_test(test_other_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
