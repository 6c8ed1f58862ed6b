/*
 * test_sites.c: what ctl makes of CHECK_SITES: which version of each site serves, what is kept, what
 * is not in form.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static void put_value(struct buf *b, const char *key, const char *text)
{
	pack_u32(b, SITE_RECORD_VALUE);
	pack_str(b, "Site");
	pack_str(b, "");
	pack_str(b, key);
	pack_str(b, text);
	pack_u32(b, 2);
	pack_u32(b, 8);
}

/* A file with that Domain= and Root=; NULL: it is wrong. */
static void put_site(struct buf *b, const char *file, const char *domain, const char *root)
{
	pack_u32(b, SITE_RECORD_FILE);
	pack_str(b, file);
	if (domain) {
		put_value(b, "Domain", domain);
		put_value(b, "Root", root);
	}
	pack_u32(b, SITE_RECORD_END);
	pack_u32(b, domain ? 0 : 1);
}

static void hear(struct up *u, struct buf *b)
{
	struct msg m = {.h = {.type = MSG_CHECK_SITES, .len = (uint32_t)b->len}, .payload = b->p};

	assert_int_equal(b->error, 0);
	up_sites_heard(u, &m);
	buf_done(b);
}

static struct up *begin(struct rig *r)
{
	struct up *u = up_new(r->c, NULL);

	assert_non_null(u);
	(void)snprintf(u->app.folder, sizeof u->app.folder, "/srv/all");
	(void)snprintf(u->app.work, sizeof u->app.work, "/srv/all");
	(void)snprintf(u->app.name, sizeof u->app.name, "all");
	u->reload = true;
	up_values(u);
	assert_true(u->checked);
	return u;
}

/* "FILE=ROOT…", a star for one that is kept. */
static const char *shown(const struct site_list *l, char *mem, size_t cap)
{
	size_t n = 0;

	mem[0] = '\0';
	for (unsigned i = 0; i < l->n; i++) {
		struct site_value v = {.text = ""};
		struct unpack u;

		unpack_init(&u, l->all[i]->values, l->all[i]->bytes);
		while (site_value_next(&u, &v) && strcmp(v.key, "Root") != 0)
			;
		n += (size_t)snprintf(mem + n, cap - n, "%s%s=%s%s", i ? " " : "", l->all[i]->file,
			v.text, l->all[i]->kept ? "*" : "");
	}
	return mem;
}

/* It is live: what serves, and what the state has. */
static void go_live(struct rig *r, struct up *u)
{
	r->c->app.known = true;
	memcpy(r->c->app.folder, u->app.folder, sizeof u->app.folder);
	assert_int_equal(state_save_sites(r->c, &r->c->sites, &u->sites), 0);
	sites_free(&r->c->sites);
	r->c->sites = u->sites;
	u->sites = (struct site_list){0};
	up_forget(u);
}

static void test_which_version_serves(void **state)
{
	char mem[500];
	uint32_t number;
	struct up *u;
	struct buf b;
	struct rig r;

	(void)state;
	rig_init(&r);
	buf_init(&b, 4096);
	put_site(&b, "s/a.conf", "a.example", "a1");
	put_site(&b, "s/b.conf", "b.example", "b1");
	put_site(&b, "s/c.conf", NULL, NULL);
	u = begin(&r);
	hear(u, &b);
	up_sites_settle(u);
	assert_string_equal(shown(&u->sites, mem, sizeof mem), "s/a.conf=a1 s/b.conf=b1");
	assert_int_equal(u->sites_out, 1);
	assert_string_equal(u->sites_named, "s/c.conf");
	assert_string_equal(site_domain(u->sites.all[1]), "b.example");
	number = u->sites.all[1]->number;
	assert_int_not_equal(number, u->sites.all[0]->number);
	go_live(&r, u);

	/* b is wrong, so that it keeps its name, though a wants it; a keeps what it had, and d comes. */
	buf_init(&b, 4096);
	put_site(&b, "s/a.conf", "b.example", "a2");
	put_site(&b, "s/b.conf", NULL, NULL);
	put_site(&b, "s/d.conf", "d.example", "d1");
	u = begin(&r);
	hear(u, &b);
	up_sites_settle(u);
	assert_string_equal(shown(&u->sites, mem, sizeof mem), "s/a.conf=a1* s/b.conf=b1* s/d.conf=d1");
	assert_int_equal(u->sites_kept, 2);
	assert_int_equal(u->sites.all[1]->number, number);
	assert_true(up_sites_say(u, mem, sizeof mem));
	assert_non_null(strstr(mem, "2 sites are not as their files say"));
	go_live(&r, u);

	/* What the state has is what serves, also for the next ctl. */
	sites_free(&r.c->sites);
	assert_int_equal(state_load_sites(r.c, &r.c->sites), 0);
	assert_string_equal(
		shown(&r.c->sites, mem, sizeof mem), "s/a.conf=a1* s/b.conf=b1* s/d.conf=d1");
	assert_int_equal(r.c->sites.all[1]->number, number);
	assert_ptr_equal(sites_named(&r.c->sites, "d"), r.c->sites.all[2]);
	assert_null(sites_named(&r.c->sites, "e"));

	/* Of another folder there is no last good version. */
	buf_init(&b, 4096);
	put_site(&b, "s/a.conf", NULL, NULL);
	put_site(&b, "s/d.conf", "d.example", "d2");
	u = begin(&r);
	(void)snprintf(u->app.folder, sizeof u->app.folder, "/srv/other");
	hear(u, &b);
	up_sites_settle(u);
	assert_string_equal(shown(&u->sites, mem, sizeof mem), "s/d.conf=d2");
	go_live(&r, u);
	sites_free(&r.c->sites);
	assert_int_equal(state_load_sites(r.c, &r.c->sites), 0);
	assert_string_equal(shown(&r.c->sites, mem, sizeof mem), "s/d.conf=d2");
	rig_done(&r);
}

static void test_the_folders_own_comes_first(void **state)
{
	const char *const domain[6] = {"Site", "", "Domain", "own.example", "file", "stead.conf"};
	char mem[200];
	struct up *u;
	struct buf b;
	struct rig r;

	(void)state;
	rig_init(&r);
	u = up_new(r.c, NULL);
	(void)snprintf(u->app.name, sizeof u->app.name, "all");
	assert_int_equal(app_value_add(&u->app, domain, 1, 1), 0);
	up_values(u);
	buf_init(&b, 4096);
	put_site(&b, "s/all.conf", "x.example", "1");
	put_site(&b, "s/b.conf", "own.example", "2");
	put_site(&b, "s/c.conf", "", "3");
	put_site(&b, "s/d.conf", "d.example", "4");
	put_site(&b, "s/e.conf", "", "5");
	hear(u, &b);
	up_sites_settle(u);
	assert_string_equal(shown(&u->sites, mem, sizeof mem), "s/c.conf=3 s/d.conf=4");
	up_forget(u);
	rig_done(&r);
}

/* What is cut, out of order or unknown spoils the whole answer: it does not come from check. */
static void test_what_is_not_in_form(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	for (int i = 0; i < 6; i++) {
		struct up *u = begin(&r);
		struct buf b;

		buf_init(&b, 4096);
		if (i == 0)
			pack_u32(&b, 9);
		if (i == 1) {
			put_site(&b, "s/b.conf", "b.example", "b");
			put_site(&b, "s/a.conf", "a.example", "a");
		}
		if (i == 2) {
			put_site(&b, "s/a.conf", "a.example", "a");
			put_site(&b, "s/a.conf", "b.example", "a");
		}
		if (i == 3) {
			pack_u32(&b, SITE_RECORD_END);
			pack_u32(&b, 0);
		}
		if (i == 4) {
			put_site(&b, "s/a.conf", "a.example", "a");
			b.len -= 3;
		}
		if (i == 5)
			put_site(&b, "s/a.conf", "a.example", "a");
		hear(u, &b);
		assert_int_equal(u->check_failed, i != 5);
		up_forget(u);
	}
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_which_version_serves),
		cmocka_unit_test(test_the_folders_own_comes_first),
		cmocka_unit_test(test_what_is_not_in_form)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
