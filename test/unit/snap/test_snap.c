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

static struct snap_route route(struct snap_writer *w, enum snap_match match, const char *path,
	const char *root, uint32_t app)
{
	struct snap_route r = snap_route_default();

	r.match = match;
	r.path = snap_put_str(w, path);
	r.to = root ? SNAP_TO_STATIC : SNAP_TO_APP;
	r.root = snap_put_str(w, root);
	r.app = app;
	return r;
}

static void put_shop(struct snap_writer *w)
{
	struct snap_site site = {.name = snap_put_str(w, "shop"),
		.number = 7,
		.queue = 128,
		.cache_disk = 1ull << 33};
	struct snap_error_page page = {.status = 404, .file = snap_put_str(w, "/srv/404.html")};
	struct snap_route r[] = {
		route(w, SNAP_MATCH_PREFIX, "/", NULL, 0),
		route(w, SNAP_MATCH_PREFIX, "/static/", "/srv/static", SNAP_NONE),
		route(w, SNAP_MATCH_PREFIX, "/static/deep", "/srv/deep", SNAP_NONE),
		route(w, SNAP_MATCH_REGEX, "^/x[0-9]+$", NULL, 0),
		route(w, SNAP_MATCH_EXACT, "/favicon.ico", "/srv/icon", SNAP_NONE),
		route(w, SNAP_MATCH_PREFIX, "/static", "/srv/second", SNAP_NONE),
		route(w, SNAP_MATCH_PREFIX, "/static", "/srv/third", SNAP_NONE),
	};
	uint32_t at;

	r[0].error_pages = snap_put_list(w, &page, sizeof page, 1);
	at = snap_put_site(w, &site, r, sizeof r / sizeof r[0]);
	snap_put_host(w, at, "Shop.Example", 0);
	snap_put_host(w, at, "www.shop.example", SNAP_HOST_ALIAS);
	snap_put_host(w, at, "*.wild.example", 0);
}

static struct snap_writer *whole(void)
{
	struct snap_writer *w = snap_writer_new();
	struct snap_app apps[] = {{.name = snap_put_str(w, "shop"),
					  .number = 11,
					  .workers = 2,
					  .threads = 1,
					  .site = 0},
		{.name = snap_put_str(w, "other"),
			.number = 12,
			.workers = 1,
			.threads = 4,
			.site = 1}};
	struct snap_site other = {.name = snap_put_str(w, "other"), .number = 8};
	struct snap_route r[] = {route(w, SNAP_MATCH_PREFIX, "/app", NULL, 1)};
	uint32_t at;

	assert_int_equal(snap_put_app(w, &apps[0]), 0);
	assert_int_equal(snap_put_app(w, &apps[1]), 1);
	put_shop(w);
	at = snap_put_site(w, &other, r, 1);
	assert_int_equal(at, 1);
	snap_put_host(w, at, "other.example", 0);
	snap_put_host(w, at, "a.wild.example", 0);
	snap_put_host(w, at, "*.deep.wild.example", 0);
	/* It stays with the first. */
	snap_put_host(w, at, "shop.example", 0);
	return w;
}

static void build_whole(int fds[SNAP_SEGMENTS_MAX + 1], unsigned *ret_n)
{
	struct snap_writer *w = whole();

	assert_int_equal(snap_finish(w, 42, 0, fds, ret_n), 0);
	assert_int_equal(*ret_n, 2);
	snap_writer_free(w);
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
	return site_name(s, snap_site_by_host(s, host, strlen(host), NULL));
}

/* The roots of all routes that match, joined. */
static const char *path_to(const struct snap *s, uint32_t site, const char *path, char ret[256])
{
	struct snap_route_iter it = {0};
	const struct snap_route *r;
	size_t n = 0;

	ret[0] = 0;
	while ((r = snap_route_next(s, snap_site(s, site), path, strlen(path), &it)))
		n += (size_t)snprintf(ret + n, 256 - n, "%s ", snap_str(s, r->root, NULL));
	return ret;
}

static void test_what_is_built_is_read(void **state)
{
	struct snap *s = load_whole();
	const struct snap_error_page *page;
	struct snap_list pages;
	size_t n;

	(void)state;
	assert_int_equal(snap_generation(s), 42);
	assert_int_equal(snap_nsites(s), 2);
	assert_int_equal(snap_napps(s), 2);
	assert_int_equal(snap_site(s, 0)->number, 7);
	assert_true(snap_site(s, 0)->cache_disk == 1ull << 33);
	assert_null(snap_site(s, 2));
	assert_int_equal(snap_app(s, 1)->threads, 4);
	assert_string_equal(snap_str(s, snap_app(s, 1)->name, &n), "other");
	assert_int_equal(n, 5);
	assert_null(snap_app(s, 2));
	assert_null(snap_upstream(s, 0));
	assert_null(snap_tcp(s, 0));
	pages = snap_route(s, snap_site(s, 0), 0)->error_pages;
	page = snap_item(s, pages, 0, sizeof *page);
	assert_int_equal(page->status, 404);
	assert_string_equal(snap_str(s, page->file, NULL), "/srv/404.html");
	assert_null(snap_item(s, pages, 1, sizeof *page));
	assert_string_equal(
		snap_str(s, snap_route(s, snap_site(s, 0), 1)->root, NULL), "/srv/static");
	assert_string_equal(snap_str(s, snap_route(s, snap_site(s, 0), 1)->path, NULL), "/static");
	assert_null(snap_route(s, snap_site(s, 0), 7));
	assert_int_equal(snap_site(s, 0)->regexes.n, 1);
	assert_int_equal(*(const uint32_t *)snap_item(s, snap_site(s, 0)->regexes, 0, 4), 3);
	snap_unref(snap_ref(s));
	snap_unref(s);
	snap_unref(NULL);
}

static void test_aliases(void **state)
{
	struct snap *s = load_whole();
	uint32_t flags = 7;

	(void)state;
	assert_non_null(snap_site_by_host(s, "www.shop.example", 16, &flags));
	assert_int_equal(flags, SNAP_HOST_ALIAS);
	assert_non_null(snap_site_by_host(s, "shop.example", 12, &flags));
	assert_int_equal(flags, 0);
	flags = 7;
	assert_non_null(snap_site_by_host(s, "nobody", 6, &flags));
	assert_int_equal(flags, 0);
	snap_unref(s);
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

static struct snap *finish(struct snap_writer *w, uint32_t default_site)
{
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s = NULL;
	unsigned n;

	assert_int_equal(snap_finish(w, 1, default_site, fds, &n), 0);
	assert_int_equal(snap_load(fds, n, &s), 0);
	snap_writer_free(w);
	close(fds[0]);
	close(fds[1]);
	return s;
}

static void test_hosts_without_default(void **state)
{
	struct snap *s = finish(whole(), SNAP_NONE);

	(void)state;
	assert_null(snap_site_by_host(s, "nobody.example", 14, NULL));
	assert_string_equal(host_to(s, "q.wild.example"), "shop");
	snap_unref(s);
}

static void test_routes_end_at_segments(void **state)
{
	static const struct {
		const char *path, *roots;
	} rows[] = {
		{"/", ""},
		{"/x", ""},
		{"/static", "/srv/static /srv/second /srv/third "},
		{"/static/", "/srv/static /srv/second /srv/third "},
		{"/static/a.css", "/srv/static /srv/second /srv/third "},
		{"/statics", ""},
		{"/static/deep", "/srv/deep /srv/static /srv/second /srv/third "},
		{"/static/deeper", "/srv/static /srv/second /srv/third "},
		{"/static/deep/x", "/srv/deep /srv/static /srv/second /srv/third "},
		{"/static/deep/x/y/z/and/much/more",
			"/srv/deep /srv/static /srv/second /srv/third "},
		{"/favicon.ico", "/srv/icon "},
		{"/favicon.ico/x", ""},
		{"//static", ""},
		{"", ""},
	};
	struct snap *s = load_whole();
	char roots[256];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_string_equal(path_to(s, 0, rows[i].path, roots), rows[i].roots);
	/* Another site's routes are not found by the same path. */
	assert_string_equal(path_to(s, 1, "/static", roots), "");
	snap_unref(s);
}

static void test_many_hosts(void **state)
{
	enum { SITES = 1000 };
	struct snap_writer *w = snap_writer_new();
	char text[32], roots[256];
	struct snap *s;

	(void)state;
	for (unsigned i = 0; i < SITES; i++) {
		struct snap_site site = {0};
		struct snap_route r[3];

		(void)snprintf(text, sizeof text, "/srv/%u", i);
		r[0] = route(w, SNAP_MATCH_PREFIX, "/", "/srv", SNAP_NONE);
		r[1] = route(w, SNAP_MATCH_PREFIX, "/a", text, SNAP_NONE);
		r[2] = route(w, SNAP_MATCH_EXACT, "/a", "/exact", SNAP_NONE);
		(void)snprintf(text, sizeof text, "host%u.example", i);
		site.name = snap_put_str(w, text);
		snap_put_host(w, snap_put_site(w, &site, r, 3), text, 0);
	}
	s = finish(w, SNAP_NONE);
	for (unsigned i = 0; i < SITES; i++) {
		char want[64];

		(void)snprintf(text, sizeof text, "host%u.example", i);
		assert_string_equal(host_to(s, text), text);
		(void)snprintf(want, sizeof want, "/srv/%u ", i);
		assert_string_equal(path_to(s, i, "/a/b", roots), want);
		(void)snprintf(want, sizeof want, "/exact /srv/%u ", i);
		assert_string_equal(path_to(s, i, "/a", roots), want);
	}
	assert_string_equal(host_to(s, "host1000.example"), "");
	snap_unref(s);
}

static void refused(struct snap_writer *w, uint32_t default_site, int err)
{
	int fds[SNAP_SEGMENTS_MAX + 1];
	unsigned n;

	assert_int_equal(snap_finish(w, 1, default_site, fds, &n), err);
	snap_writer_free(w);
}

static void refused_route(struct snap_route (*make)(struct snap_writer *))
{
	struct snap_writer *w = whole();
	struct snap_site site = {0};
	struct snap_route r = make(w);

	(void)snap_put_site(w, &site, &r, 1);
	refused(w, 0, -EINVAL);
}

static struct snap_route no_app(struct snap_writer *w)
{
	return route(w, SNAP_MATCH_PREFIX, "/", NULL, SNAP_NONE);
}

static struct snap_route relative_root(struct snap_writer *w)
{
	return route(w, SNAP_MATCH_PREFIX, "/", "relative", SNAP_NONE);
}

static struct snap_route no_slash(struct snap_writer *w)
{
	return route(w, SNAP_MATCH_EXACT, "x", "/srv", SNAP_NONE);
}

static struct snap_route no_upstream(struct snap_writer *w)
{
	struct snap_route r = route(w, SNAP_MATCH_EXACT, "/x", "/srv", SNAP_NONE);

	r.to = SNAP_TO_UPSTREAM;
	r.upstream = 0;
	return r;
}

static void test_builder_refuses(void **state)
{
	struct snap_upstream up = {.protocol = SNAP_PROTO_HTTP, .balance = SNAP_BALANCE_LEAST};
	struct snap_app app = {.site = 2};
	struct snap_tcp tcp = {.upstream = 0};
	struct snap_writer *w;

	(void)state;
	refused(whole(), 2, -EINVAL);
	w = whole();
	(void)snap_put_app(w, &app);
	refused(w, 0, -EINVAL);
	w = whole();
	(void)snap_put_upstream(w, &up);
	refused(w, 0, -EINVAL);
	w = whole();
	(void)snap_put_tcp(w, &tcp);
	refused(w, 0, -EINVAL);
	refused_route(no_app);
	refused_route(relative_root);
	refused_route(no_slash);
	refused_route(no_upstream);
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
		char roots[256];

		(void)snap_str(s, site->name, NULL);
		for (uint32_t k = 0; k < 8 && (r = snap_route(s, site, k)); k++) {
			(void)snap_str(s, r->root, NULL);
			page = snap_item(s, r->error_pages, 0, sizeof *page);
			if (page)
				(void)snap_str(s, page->file, NULL);
		}
		(void)path_to(s, i, "/static/deep/x", roots);
	}
	for (uint32_t i = 0; i < snap_napps(s); i++)
		(void)snap_str(s, snap_app(s, i)->name, NULL);
	(void)snap_site_by_host(s, "shop.example", 12, NULL);
	(void)snap_site_by_host(s, "x.y.deep.wild.example", 21, NULL);
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
		cmocka_unit_test(test_aliases),
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
