/*
 * test_parcel.c: a folder as a stream: paths and targets that may be in it, heads and entries as they are written, and
 * what is refused at each bound.
 */
#include "test.h"

#include "lib/must.h"
#include "lib/parcel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
	char heard[200];
	int fails; /* which call says no: 'h' head, 'e' entry, 'd' data, 'f' the file's end */
};

static int hear(struct world *w, char what, const char *text)
{
	snprintf(w->heard + strlen(w->heard), sizeof(w->heard) - strlen(w->heard), "%c%s ", what, text);
	return w->fails == what ? -EIO : 0;
}

static int on_head(void *arg, uint64_t bytes, uint32_t entries)
{
	char text[40];

	snprintf(text, sizeof(text), "%llu/%u", (unsigned long long)bytes, entries);
	return hear(arg, 'h', text);
}

static int on_entry(void *arg, const struct parcel_entry *e)
{
	char text[100];

	snprintf(text, sizeof(text), "%.40s%s%.40s", e->path, e->kind == PARCEL_LINK ? ">" : e->executable ? "*" : "", e->target);
	return hear(arg, 'e', text);
}

static int on_data(void *arg, const void *p, size_t n)
{
	char text[20];

	snprintf(text, sizeof(text), "%.*s", (int)min_of(n, (size_t)10), (const char *)p);
	return hear(arg, 'd', text);
}

static int on_end(void *arg)
{
	return hear(arg, 'f', "");
}

static const struct parcel_ops ops = {on_head, on_entry, on_data, on_end};

static size_t put_entry(uint8_t *to, enum parcel_kind kind, bool executable, const char *path, const char *rest)
{
	size_t n = strlen(path), m = strlen(rest);

	parcel_put_entry(to, kind, executable, n, m);
	memcpy(to + PARCEL_ENTRY_BYTES, path, n);
	memcpy(to + PARCEL_ENTRY_BYTES + n, rest, m);
	return PARCEL_ENTRY_BYTES + n + m;
}

/* A folder, a program in it, an empty file, a link. */
static size_t whole(uint8_t *to)
{
	uint8_t *p = to;

	parcel_put_head(p, 5, 4);
	p += PARCEL_HEAD_BYTES;
	p += put_entry(p, PARCEL_FOLDER, false, "a", "");
	p += put_entry(p, PARCEL_FILE, true, "a/run", "hello");
	p += put_entry(p, PARCEL_FILE, false, "empty", "");
	p += put_entry(p, PARCEL_LINK, false, "a/up", "../a/run");
	p += put_entry(p, PARCEL_END, false, "", "");
	return (size_t)(p - to);
}

static int feed(struct world *w, const uint8_t *bytes, size_t n, size_t step)
{
	struct parcel *p = malloc(sizeof(*p));
	int r = 0;

	must(p);
	parcel_init(p, &ops, w);
	for (size_t at = 0; at < n && r >= 0; at += step)
		r = parcel_feed(p, bytes + at, min_of(step, n - at));
	must((r == -EBADMSG) == (p->why != NULL));
	free(p);
	return r;
}

static void as_it_was_written(void **state)
{
	uint8_t mem[300];
	size_t n = whole(mem);
	struct world w = {.fails = 0};

	(void)state;
	assert_int_equal(feed(&w, mem, n, n), 1);
	assert_string_equal(w.heard, "h5/4 ea e" "a/run* dhello f eempty f ea/up>../a/run ");
	for (size_t step = 1; step < n; step++) {
		w = (struct world){.fails = 0};
		assert_int_equal(feed(&w, mem, n, step), 1);
	}
	for (size_t cut = 0; cut < n; cut++) {
		w = (struct world){.fails = 0};
		assert_int_equal(feed(&w, mem, cut, n), 0);
	}
	mem[n] = 0;
	assert_int_equal(feed(&w, mem, n + 1, n + 1), -EBADMSG);
	assert_int_equal(feed(&w, mem, n + 1, n), -EBADMSG);
}

/* Who hears it ends it with his own error. */
static void who_hears_it_says_no(void **state)
{
	uint8_t mem[300];
	size_t n = whole(mem);

	(void)state;
	for (const char *what = "hedf"; *what; what++) {
		struct world w = {.fails = *what};

		assert_int_equal(feed(&w, mem, n, n), -EIO);
		assert_true(w.heard[strlen(w.heard) - 1] == ' ');
	}
}

static int with(const uint8_t *from, size_t n, size_t at, uint8_t value)
{
	uint8_t mem[300];
	struct world w = {.fails = 0};

	memcpy(mem, from, n);
	mem[at] = value;
	return feed(&w, mem, n, n);
}

static void lies(void **state)
{
	enum { FIRST = PARCEL_HEAD_BYTES, SECOND = FIRST + PARCEL_ENTRY_BYTES + 1 };
	uint8_t mem[300];
	size_t n = whole(mem);

	(void)state;
	assert_int_equal(with(mem, n, 0, 'X'), -EBADMSG);
	assert_int_equal(with(mem, n, 20, 1), -EBADMSG);      /* behind the number of entries */
	assert_int_equal(with(mem, n, 13, 1), -EBADMSG);      /* a tebibyte */
	assert_int_equal(with(mem, n, 18, 9), -EBADMSG);      /* 589828 entries */
	assert_int_equal(with(mem, n, 16, 5), -EBADMSG);      /* one more than there are */
	assert_int_equal(with(mem, n, 16, 3), -EBADMSG);      /* one less */
	assert_int_equal(with(mem, n, 8, 6), -EBADMSG);       /* a byte more */
	assert_int_equal(with(mem, n, 8, 4), -EBADMSG);       /* a byte less */
	assert_int_equal(with(mem, n, FIRST, 0), -EBADMSG);   /* kinds that there are not */
	assert_int_equal(with(mem, n, FIRST, 5), -EBADMSG);
	assert_int_equal(with(mem, n, FIRST + 1, 1), -EBADMSG);  /* a folder that runs */
	assert_int_equal(with(mem, n, SECOND + 1, 2), -EBADMSG); /* a file's flag that nobody knows */
	assert_int_equal(with(mem, n, FIRST + 4, 1), -EBADMSG);
	assert_int_equal(with(mem, n, FIRST + 8, 1), -EBADMSG);  /* a folder with bytes */
	assert_int_equal(with(mem, n, FIRST + 2, 0), -EBADMSG);  /* no path */
	assert_int_equal(with(mem, n, FIRST + 3, 16), -EBADMSG); /* a path of 4097 bytes */
	assert_int_equal(with(mem, n, FIRST + PARCEL_ENTRY_BYTES, 0), -EBADMSG);
	assert_int_equal(with(mem, n, FIRST + PARCEL_ENTRY_BYTES, '/'), -EBADMSG);
	assert_int_equal(with(mem, n, SECOND + 8, 6), -EBADMSG); /* more than all of it */
	assert_int_equal(with(mem, n, n - PARCEL_ENTRY_BYTES + 8, 1), -EBADMSG);
	assert_int_equal(with(mem, n, n - PARCEL_ENTRY_BYTES + 2, 1), -EBADMSG);
	assert_int_equal(with(mem, n, n - PARCEL_ENTRY_BYTES - 1, 0), -EBADMSG); /* a NUL in a target */
	assert_int_equal(with(mem, n, n - PARCEL_ENTRY_BYTES - 8, '/'), -EBADMSG);
	assert_int_equal(with(mem, n, n - PARCEL_ENTRY_BYTES - 12 - 8, 0), -EBADMSG); /* a link to nothing */
	assert_int_equal(with(mem, n, n - PARCEL_ENTRY_BYTES - 12 - 7, 16), -EBADMSG);
}

/* Two files that together are more than was said. */
static void more_bytes_than_it_said(void **state)
{
	uint8_t mem[200], *p = mem;
	struct world w = {.fails = 0};

	(void)state;
	parcel_put_head(p, 5, 2);
	p += PARCEL_HEAD_BYTES;
	p += put_entry(p, PARCEL_FILE, false, "a", "abc");
	p += put_entry(p, PARCEL_FILE, false, "b", "abc");
	assert_int_equal(feed(&w, mem, (size_t)(p - mem), 200), -EBADMSG);
	assert_string_equal(w.heard, "h5/2 ea dabc f ");
}

static void paths(void **state)
{
	static const char *const good[] = {"a", "a/b", ".a", "..a", "a/...", "a b", "\x7f", "\xff"};
	static const char *const bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/./b", "a/../b", "a/.", "a/..",
		"a\x1f", "\n/a"};
	char text[PARCEL_PATH_MAX + 2] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!parcel_path_valid(good[i]))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parcel_path_valid(bad[i]))
			fail_msg("%s", bad[i]);
	memset(text, 'a', 256);
	assert_false(parcel_path_valid(text));
	text[255] = 0;
	assert_true(parcel_path_valid(text));
	/* of 64 parts, and of so many bytes as a path may have */
	for (size_t i = 0; i < 2 * PARCEL_DEPTH_MAX; i += 2)
		memcpy(text + i, "a/", 3);
	text[2 * PARCEL_DEPTH_MAX - 1] = 0;
	assert_true(parcel_path_valid(text));
	memcpy(text + 2 * PARCEL_DEPTH_MAX - 1, "/a", 3);
	assert_false(parcel_path_valid(text));
	for (size_t i = 0; i <= PARCEL_PATH_MAX; i++)
		text[i] = i % 200 == 199 ? '/' : 'a';
	text[PARCEL_PATH_MAX + 1] = 0;
	assert_false(parcel_path_valid(text));
	assert_false(parcel_target_valid("a/b/c", text));
	text[PARCEL_PATH_MAX] = 0;
	assert_true(parcel_path_valid(text));
	assert_true(parcel_target_valid("a", text));
}

static void targets(void **state)
{
	static const struct {
		const char *path, *target;
		bool good;
	} rows[] = {{"a", "b", true}, {"a", ".", true}, {"a", ".b", true}, {"a", "..b", true}, {"a", ".b/..", true}, {"a", "", false},
		{"a", "/b", false}, {"a", "..", false}, {"a/b", "..", true}, {"a/b", "../..", false}, {"a/b", "../c", true},
		{"a/b", ".././../c", false}, {"a/b", "c//../../d", true}, {"a/b", "c/../../../d", false}, {"a", "x/", true},
		{"a", "a\nb", false}, {"a/b", "../\x01", false}, {"a", "../a", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (parcel_target_valid(rows[i].path, rows[i].target) != rows[i].good)
			fail_msg("%s to %s", rows[i].path, rows[i].target);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_it_was_written),
		cmocka_unit_test(who_hears_it_says_no),
		cmocka_unit_test(lies),
		cmocka_unit_test(more_bytes_than_it_said),
		cmocka_unit_test(paths),
		cmocka_unit_test(targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
