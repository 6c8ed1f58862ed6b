/*
 * test_archive.c: a backup's file is read as it was written, in whatever pieces; and one that is
 * not whole is never taken for one: each byte changed, each cut, each byte too many.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive.h"
#include "lib/must.h"
#include "../short_memory.h"

enum { FILE_MAX = 64 * 1024 };

struct heard {
	char text[4000];
	size_t n;
};

static void note(struct heard *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct heard *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	h->n += (size_t)vsnprintf(h->text + h->n, sizeof h->text - h->n, fmt, ap);
	va_end(ap);
	assert_true(h->n < sizeof h->text);
}

static int on_name(void *arg, unsigned group, const char *name)
{
	note(arg, "%c %s\n", group ? 'g' : 'u', name);
	return 0;
}

static int on_part(void *arg, const struct archive_part *p)
{
	note(arg, "part %s of %s\n", p->name, p->user);
	return 0;
}

static int on_entry(void *arg, const struct archive_entry *e)
{
	note(arg, "%d %o %u:%u %s %s", e->kind, e->mode, e->owner, e->group, e->path, e->target);
	note(arg, e->kind == ARCHIVE_FILE ? " = " : "\n");
	return 0;
}

static int on_piece(void *arg, const void *p, size_t n)
{
	if (p)
		note(arg, "%.*s", (int)n, (const char *)p);
	else
		note(arg, "(%zu)", n);
	return 0;
}

static int on_end(void *arg)
{
	note(arg, "\n");
	return 0;
}

static int on_part_end(void *arg, const struct archive_part *p)
{
	note(arg, "end of %s: %llu bytes, %llu entries\n", p->name, (unsigned long long)p->bytes,
		(unsigned long long)p->entries);
	return 0;
}

static const struct archive_ops ops = {.name = on_name,
	.part = on_part,
	.entry = on_entry,
	.piece = on_piece,
	.end = on_end,
	.part_end = on_part_end};

static const char expected[] = "part app shop of app-shop\n"
			       "u root\ng root\nu app-shop\n"
			       "3 755 0:0 apps \n"
			       "4 640 1:0 apps/a  = hello(4096)world\n"
			       "5 777 0:0 apps/l ../x\n"
			       "end of app shop: 10 bytes, 3 entries\n"
			       "part state of \n"
			       "4 600 0:0 state.db  = \n"
			       "end of state: 0 bytes, 1 entries\n";

static size_t make(uint8_t mem[FILE_MAX])
{
	FILE *f = tmpfile();
	struct archive_out o;
	ssize_t n;

	assert_non_null(f);
	assert_int_equal(archive_out_init(&o, fileno(f)), 0);
	archive_put_part(&o, "app shop", "app-shop");
	assert_int_equal(archive_put_name(&o, 0, "root"), 0);
	assert_int_equal(archive_put_name(&o, 1, "root"), 0);
	assert_int_equal(archive_put_name(&o, 0, "app-shop"), 1);
	assert_int_equal(archive_put_name(&o, 0, "root"), 0);
	archive_put_entry(
		&o, &(struct archive_entry){
			    .kind = ARCHIVE_FOLDER, .mode = 0755, .path = "apps", .target = ""});
	archive_put_entry(&o, &(struct archive_entry){.kind = ARCHIVE_FILE,
				      .mode = 0640,
				      .owner = 1,
				      .path = "apps/a",
				      .target = ""});
	archive_put_piece(&o, "hello", 5);
	archive_put_hole(&o, 4096);
	archive_put_piece(&o, "world", 5);
	archive_put_end(&o);
	archive_put_entry(&o,
		&(struct archive_entry){
			.kind = ARCHIVE_LINK, .mode = 0777, .path = "apps/l", .target = "../x"});
	archive_put_part_end(&o);
	archive_put_part(&o, "state", "");
	archive_put_entry(
		&o, &(struct archive_entry){
			    .kind = ARCHIVE_FILE, .mode = 0600, .path = "state.db", .target = ""});
	archive_put_end(&o);
	archive_put_part_end(&o);
	assert_int_equal(archive_out_close(&o), 0);
	archive_out_done(&o);
	n = pread(fileno(f), mem, FILE_MAX, 0);
	(void)fclose(f);
	assert_true(n > ARCHIVE_HEAD_BYTES && n < FILE_MAX);
	return (size_t)n;
}

/* What feed() says of the last piece. */
static int read_in(const uint8_t *p, size_t n, size_t step, struct heard *h)
{
	struct archive_in *in = malloc(sizeof *in);
	int r = 0;

	h->n = 0;
	assert_non_null(in);
	assert_int_equal(archive_in_init(in, &ops, h), 0);
	for (size_t at = 0; at < n && r >= 0; at += step)
		r = archive_feed(in, p + at, min_of(step, n - at));
	archive_in_done(in);
	free(in);
	return r;
}

static void test_as_it_was_written(void **state)
{
	static uint8_t mem[FILE_MAX];
	static const size_t steps[] = {1, 2, 7, 511, 512, 513, FILE_MAX};
	size_t n = make(mem);
	struct heard h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		assert_int_equal(read_in(mem, n, steps[i], &h), 1);
		assert_string_equal(h.text, expected);
	}
}

static void test_each_byte_counts(void **state)
{
	static uint8_t mem[FILE_MAX];
	size_t n = make(mem);
	struct heard h;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			mem[i] ^= (uint8_t)(1u << bit);
			h.n = 0;
			assert_true(read_in(mem, n, FILE_MAX, &h) <= 0);
			mem[i] ^= (uint8_t)(1u << bit);
		}
		assert_true(read_in(mem, i, FILE_MAX, &h) <= 0);
	}
	mem[n] = 0;
	assert_int_equal(read_in(mem, n + 1, FILE_MAX, &h), -EBADMSG);
	assert_int_equal(read_in(mem, n + 1, 1, &h), -EBADMSG);
	assert_int_equal(read_in(mem, n, FILE_MAX, &h), 1);
}

static void test_a_newer_one(void **state)
{
	static uint8_t mem[FILE_MAX];
	size_t n = make(mem);
	struct heard h;
	unsigned len;

	(void)state;
	mem[12]++;
	assert_int_equal(
		EVP_Digest(mem, ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES,
			mem + ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES, &len, EVP_sha256(), NULL),
		1);
	assert_int_equal(read_in(mem, n, FILE_MAX, &h), -EPROTONOSUPPORT);
}

/* Whose sums hold and who still lies: of a part, and of the whole. */
static void test_what_it_says_of_itself(void **state)
{
	static uint8_t mem[FILE_MAX];
	static const struct archive_ops none;
	struct archive_in *in = malloc(sizeof *in);

	(void)state;
	assert_non_null(in);
	for (unsigned lie = 0; lie < 7; lie++) {
		FILE *f = tmpfile();
		struct archive_out o;
		ssize_t n;

		assert_non_null(f);
		assert_int_equal(archive_out_init(&o, fileno(f)), 0);
		archive_put_part(&o, "state", "");
		(void)archive_put_name(&o, 0, "root");
		(void)archive_put_name(&o, 1, "root");
		archive_put_entry(&o,
			&(struct archive_entry){.kind = ARCHIVE_FILE, .path = "a", .target = ""});
		archive_put_hole(&o, 10);
		archive_put_piece(&o, "x", 1);
		archive_put_end(&o);
		o.part.bytes += lie == 1;
		o.part.entries += lie == 2;
		archive_put_part_end(&o);
		o.head.entries += lie == 3;
		o.parts += lie == 4;
		o.head.content_bytes += lie == 5;
		o.head.file_bytes += lie == 6;
		assert_int_equal(archive_out_close(&o), 0);
		archive_out_done(&o);
		n = pread(fileno(f), mem, FILE_MAX, 0);
		(void)fclose(f);
		assert_true(n > 0);
		/* Nobody has to listen. */
		assert_int_equal(archive_in_init(in, &none, NULL), 0);
		assert_int_equal(archive_feed(in, mem, (size_t)n), lie ? -EBADMSG : 1);
		if (lie)
			assert_non_null(strstr(in->why, "has not what it says"));
		archive_in_done(in);
	}
	free(in);
}

/* Names of users, groups and parts at their bounds, each in an archive whose sums hold. */
static void test_names(void **state)
{
	static const struct {
		const char *part, *user, *name;
		bool good;
	} rows[] = {{"app shop", "app-shop", "ann", true}, {"app\x7fshop", "", "ann", false}, {"app", "b\xc3\xa9", "ann", false},
		{"app", "", "a b", false}, {"app", "", "a:b", false}, {"app", "", "a/b", false}, {"app", "", "a\x01", false},
		{"app", "", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890", true}};
	static uint8_t mem[FILE_MAX];
	struct heard h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		FILE *f = tmpfile();
		struct archive_out o;
		ssize_t n;

		assert_non_null(f);
		assert_int_equal(archive_out_init(&o, fileno(f)), 0);
		archive_put_part(&o, rows[i].part, rows[i].user);
		(void)archive_put_name(&o, 0, rows[i].name);
		archive_put_part_end(&o);
		assert_int_equal(archive_out_close(&o), 0);
		archive_out_done(&o);
		n = pread(fileno(f), mem, FILE_MAX, 0);
		(void)fclose(f);
		if (read_in(mem, (size_t)n, FILE_MAX, &h) != (rows[i].good ? 1 : -EBADMSG))
			fail_msg("row %zu", i);
	}
}

/* One record behind a head and a PART, as somebody else may write it. */
static int with_record(struct archive_in *in, unsigned kind, unsigned mode, size_t path, size_t target)
{
	static uint8_t mem[ARCHIVE_HEAD_BYTES + 2 * (ARCHIVE_RECORD_BYTES + 2 * (ARCHIVE_PATH_MAX + 1))];
	uint8_t *p = mem + ARCHIVE_HEAD_BYTES;
	unsigned len;

	memset(mem, 0, sizeof mem);
	memcpy(mem, "STEADB01\1\0\0\0\1", 13);
	assert_int_equal(EVP_Digest(mem, ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES, mem + ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES,
				 &len, EVP_sha256(), NULL),
		1);
	p[0] = ARCHIVE_PART;
	p[4] = 1;
	p += ARCHIVE_RECORD_BYTES;
	*p++ = 'a';
	p[0] = (uint8_t)kind;
	p[2] = (uint8_t)mode;
	p[4] = (uint8_t)path;
	p[5] = (uint8_t)(path >> 8);
	p[6] = (uint8_t)target;
	p[7] = (uint8_t)(target >> 8);
	p += ARCHIVE_RECORD_BYTES;
	memset(p, 'a', path + target);
	p += path + target;
	archive_in_done(in);
	assert_int_equal(archive_in_init(in, &(const struct archive_ops){.name = NULL}, NULL), 0);
	return archive_feed(in, mem, (size_t)(p - mem));
}

static void test_records_of_others(void **state)
{
	struct archive_in *in = calloc(1, sizeof *in);

	(void)state;
	assert_non_null(in);
	assert_int_equal(with_record(in, ARCHIVE_NAME, 0, ARCHIVE_NAME_MAX - 1, 0), 0);
	assert_int_equal(with_record(in, ARCHIVE_NAME, 1, 1, 0), 0);
	assert_int_equal(with_record(in, ARCHIVE_NAME, 2, 1, 0), -EBADMSG);
	assert_int_equal(with_record(in, ARCHIVE_NAME, 0, ARCHIVE_NAME_MAX, 0), -EBADMSG);
	assert_int_equal(with_record(in, ARCHIVE_NAME, 0, 1, 1), -EBADMSG);
	assert_int_equal(with_record(in, ARCHIVE_NAME, 0, 0, 0), -EBADMSG);
	assert_int_equal(with_record(in, ARCHIVE_FOLDER, 0, 1, 0), -EBADMSG); /* of nobody */
	assert_int_equal(with_record(in, ARCHIVE_LINK, 0, 1, 0), -EBADMSG);
	assert_int_equal(with_record(in, ARCHIVE_FOLDER, 0, ARCHIVE_PATH_MAX + 1, 0), -EBADMSG);
	assert_int_equal(with_record(in, ARCHIVE_LINK, 0, 1, ARCHIVE_PATH_MAX + 1), -EBADMSG);
	assert_int_equal(with_record(in, ARCHIVE_PART, 0, 1, 0), -EBADMSG); /* in another */
	assert_int_equal(with_record(in, ARCHIVE_END, 0, 0, 0), -EBADMSG);
	assert_int_equal(with_record(in, ARCHIVE_END + 1, 0, 0, 0), -EBADMSG);
	assert_int_equal(with_record(in, 0, 0, 0, 0), -EBADMSG);
	archive_in_done(in);
	free(in);
}

/* More users than a server has: the one that is too many is refused. */
static void test_too_many_names(void **state)
{
	enum { SIZE = ARCHIVE_HEAD_BYTES + ARCHIVE_RECORD_BYTES + 1 + (ARCHIVE_NAMES_MAX + 1) * (ARCHIVE_RECORD_BYTES + 1) };
	uint8_t *mem = calloc(1, SIZE), *p = mem + ARCHIVE_HEAD_BYTES;
	struct archive_in *in = malloc(sizeof *in);
	unsigned len;

	(void)state;
	assert_true(mem && in);
	memcpy(mem, "STEADB01\1\0\0\0\1", 13);
	assert_int_equal(EVP_Digest(mem, ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES, mem + ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES,
				 &len, EVP_sha256(), NULL),
		1);
	for (unsigned i = 0; i < ARCHIVE_NAMES_MAX + 2; i++, p += ARCHIVE_RECORD_BYTES + 1) {
		p[0] = i == 0 ? ARCHIVE_PART : ARCHIVE_NAME;
		p[4] = 1;
		p[ARCHIVE_RECORD_BYTES] = 'a';
	}
	assert_int_equal(archive_in_init(in, &(const struct archive_ops){.name = NULL}, NULL), 0);
	assert_int_equal(archive_feed(in, mem, SIZE - ARCHIVE_RECORD_BYTES - 1), 0);
	assert_int_equal(in->names_n[0], ARCHIVE_NAMES_MAX);
	assert_int_equal(archive_feed(in, mem + SIZE - ARCHIVE_RECORD_BYTES - 1, ARCHIVE_RECORD_BYTES + 1), -EBADMSG);
	archive_in_done(in);
	free(in);
	free(mem);
}

/* Without memory for a sum nothing is taken for whole. */
static void test_no_memory(void **state)
{
	static uint8_t mem[FILE_MAX];
	struct archive_in *in = malloc(sizeof *in);
	size_t n = make(mem);
	unsigned refused = 0;
	bool hit = true;

	(void)state;
	assert_non_null(in);
	for (unsigned nth = 1; hit; nth++) {
		int r;

		*short_memory_at() = nth;
		r = archive_in_init(in, &(const struct archive_ops){.name = NULL}, NULL);
		assert_true(r == 0 || r == -ENOMEM);
		r = r ? r : archive_feed(in, mem, n);
		hit = *short_memory_at() == 0;
		*short_memory_at() = 0;
		assert_true(r == 1 || (hit && (r == -ENOMEM || r == -EBADMSG)));
		refused += r != 1;
		archive_in_done(in);
	}
	assert_true(refused >= 3);
	free(in);
}

static void test_paths(void **state)
{
	static const char *const wrong[] = {
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "../a", "a/..", "a/../b"};
	static const char *const right[] = {"a", "a/b", ".a", "..a", "a/...", "a b/\x01"};
	char deep[2 * ARCHIVE_DEPTH_MAX + 2] = "", longest[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(archive_path_valid(wrong[i]));
	for (size_t i = 0; i < ARRAY_LEN(right); i++)
		assert_true(archive_path_valid(right[i]));
	for (unsigned i = 0; i < ARCHIVE_DEPTH_MAX; i++)
		memcpy(deep + 2 * i, "a/", 2);
	deep[2 * ARCHIVE_DEPTH_MAX - 1] = '\0';
	assert_true(archive_path_valid(deep));
	memcpy(deep + 2 * ARCHIVE_DEPTH_MAX - 1, "/a", 3);
	assert_false(archive_path_valid(deep));
	memset(longest, 'x', 256);
	longest[255] = '\0';
	assert_true(archive_path_valid(longest));
	longest[255] = 'x';
	longest[256] = '\0';
	assert_false(archive_path_valid(longest));
}

/* A disk that is full is told once, at the end. */
static void test_what_fails_sticks(void **state)
{
	struct archive_out o;
	int fd = open("/dev/full", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(archive_out_init(&o, fd), 0);
	archive_put_part(&o, "state", "");
	archive_put_part_end(&o);
	assert_int_equal(archive_out_close(&o), -ENOSPC);
	archive_out_done(&o);
	(void)close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_it_was_written),
		cmocka_unit_test(test_each_byte_counts), cmocka_unit_test(test_a_newer_one),
		cmocka_unit_test(test_what_it_says_of_itself), cmocka_unit_test(test_names), cmocka_unit_test(test_records_of_others), cmocka_unit_test(test_too_many_names),
		cmocka_unit_test(test_no_memory), cmocka_unit_test(test_paths),
		cmocka_unit_test(test_what_fails_sticks)};

	short_memory_begin();
	/* The one that the fuzz target's corpus has. */
	if (argc == 2) {
		static uint8_t mem[FILE_MAX];
		size_t n = make(mem);
		FILE *f = fopen(argv[1], "we");

		return !f || fputc(0x80, f) == EOF || fwrite(mem, 1, n, f) != n || fclose(f) != 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
