/*
 * test_person.c: names, the file of a person, keys, stead's lines of authorized_keys, and the words of a deploy key.
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
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base64.h"
#include "lib/must.h"
#include "person/person.h"

static void names(void **state)
{
	static const char *const good[] = {"a", "alice", "a-1", "steadfast", "apple", "abcdefghijklmnopqrstuvwxyz01234"};
	static const char *const bad[] = {"", "Alice", "1a", "-a", "a b", "a:b", "a\n", "a/b", "..", "root\n", "stead",
		"stead-gate", "app-shop", "é", "abcdefghijklmnopqrstuvwxyz012345"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(person_name_valid(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(person_name_valid(bad[i]));
}

static void apps(void **state)
{
	static const char *const bad[] = {"Shop", "shop,,blog", ",shop", "shop,shop", "a b c d e f g h i", "shop\n",
		"abcdefghijklmnopqrstuvwxyz01"};
	struct person p = {0};

	(void)state;
	assert_int_equal(person_apps_set(&p, "shop,blog"), 0);
	assert_int_equal(p.napps, 2);
	assert_true(person_deploys(&p, "blog"));
	assert_false(person_deploys(&p, "blo") || person_deploys(&p, ""));
	assert_int_equal(person_apps_set(&p, ""), 0);
	assert_int_equal(p.napps, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(person_apps_set(&p, bad[i]), -EINVAL);
}

static void files(void **state)
{
	static const char *const bad[] = {"", "name=alice\n", "uid=7\n", "name=alice\nuid=0\n", "name=alice\nuid=4294967295\n",
		"name=alice\nuid=99999999999\n", "name=alice\nuid=7x\n", "name=alice\nuid=7", "name=alice\nuid=7\nsudo=maybe\n",
		"name=alice\nname=bob\nuid=7\n", "name=alice\nuid=7\nuid=8\n", "name=alice\nuid=7\ndeploy=a\ndeploy=b\n",
		"name=\nuid=7\n", "name=alice\nuid=7\nword\n", "name=a/b\nuid=7\n"};
	static const char good[] = "name=alice\nuid=7\nsudo=yes\ndeploy=\nlater=x\n";
	struct person p;

	(void)state;
	assert_int_equal(person_parse(good, strlen(good), &p), 0);
	assert_string_equal(p.name, "alice");
	assert_true(p.uid == 7 && p.sudo && p.napps == 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(person_parse(bad[i], strlen(bad[i]), &p), -EINVAL);
}

static void put_file(const char *folder, const char *name, const char *text, mode_t mode)
{
	char path[200];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/people/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

/* Only what root alone can have written counts. */
static void read_file(void **state)
{
	char folder[] = "/tmp/stead-test-person-XXXXXX", path[200];
	struct person p;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/people", folder);
	assert_int_equal(mkdir(path, 0755), 0);
	put_file(folder, "alice", "name=alice\nuid=7\ndeploy=shop\n", 0644);
	assert_int_equal(person_read(folder, "alice", &p), 0);
	assert_int_equal(p.uid, 7);
	assert_int_equal(person_read(folder, "bob", &p), -ENOENT);
	assert_int_equal(person_read(folder, "../alice", &p), -ENOENT);
	put_file(folder, "bob", "name=alice\nuid=7\n", 0644);
	assert_int_equal(person_read(folder, "bob", &p), -EINVAL);
	put_file(folder, "carol", "name=carol\nuid=7\n", 0666);
	assert_int_equal(person_read(folder, "carol", &p), -EPERM);
	put_file(folder, "dave", "name=dave\nuid=7\n", 0644);
	(void)snprintf(path, sizeof path, "%s/people/dave", folder);
	assert_int_equal(chown(path, 12345, 0), 0);
	assert_int_equal(person_read(folder, "dave", &p), -EPERM);
	(void)snprintf(path, sizeof path, "%s/people", folder);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(person_read(folder, "alice", &p), -EPERM);
	for (const char *const *n = (const char *const[]){"alice", "bob", "carol", "dave", NULL}; *n; n++) {
		(void)snprintf(path, sizeof path, "%s/people/%s", folder, *n);
		(void)unlink(path);
	}
	(void)snprintf(path, sizeof path, "%s/people", folder);
	(void)rmdir(path);
	(void)rmdir(folder);
}

/* ---- keys, put together here so that each part can be wrong ---- */

static void put_string(struct buf *b, const void *p, size_t n)
{
	const unsigned char len[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};

	buf_put(b, len, sizeof len);
	buf_put(b, p, n);
}

static void put_text(struct buf *b, const char *s)
{
	put_string(b, s, strlen(s));
}

/* A line of that type, of this blob. */
static const char *line(const char *type, struct buf *blob, char *ret, size_t cap)
{
	char text[8000];

	base64_encode(blob->p, blob->len, text);
	(void)snprintf(ret, cap, "%s %s a comment", type, text);
	buf_done(blob);
	buf_init(blob, 100000);
	return ret;
}

static int taken(const char *text)
{
	const char *why = NULL, *todo = NULL;
	unsigned at = 0;
	struct buf b;
	int n;

	buf_init(&b, 1 << 20);
	n = person_keys(text, strlen(text), "", &b, &at, &why, &todo);
	buf_done(&b);
	return n;
}

static void ed25519(void **state)
{
	static const unsigned char key[33] = {1};
	char text[9000];
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	for (size_t n = 31; n <= 33; n++) {
		put_text(&b, "ssh-ed25519");
		put_string(&b, key, n);
		assert_int_equal(taken(line("ssh-ed25519", &b, text, sizeof text)), n == 32 ? 1 : -EINVAL);
	}
	put_text(&b, "ssh-ed25519");
	put_string(&b, key, 32);
	buf_putc(&b, 'x');
	assert_int_equal(taken(line("ssh-ed25519", &b, text, sizeof text)), -EINVAL);
	put_text(&b, "ssh-rsa");
	put_string(&b, key, 32);
	assert_int_equal(taken(line("ssh-ed25519", &b, text, sizeof text)), -EINVAL);
	put_text(&b, "sk-ssh-ed25519@openssh.com");
	put_string(&b, key, 32);
	put_text(&b, "ssh:");
	assert_int_equal(taken(line("sk-ssh-ed25519@openssh.com", &b, text, sizeof text)), 1);
	put_text(&b, "sk-ssh-ed25519@openssh.com");
	put_string(&b, key, 32);
	assert_int_equal(taken(line("sk-ssh-ed25519@openssh.com", &b, text, sizeof text)), -EINVAL);
	put_text(&b, "ssh-dss");
	put_string(&b, key, 32);
	assert_int_equal(taken(line("ssh-dss", &b, text, sizeof text)), -EINVAL);
	buf_done(&b);
}

static void rsa(void **state)
{
	/* bytes of the modulus, its first byte, e's last byte, is it taken? */
	static const struct {
		size_t bytes;
		unsigned char top, last, e;
		int want;
	} rows[] = {{256, 0x80, 1, 1, 1}, {256, 0x40, 1, 1, -EINVAL}, {128, 0x80, 1, 1, -EINVAL}, {2048, 0xff, 1, 1, 1},
		{2049, 0xff, 1, 1, -EINVAL}, {256, 0x80, 2, 1, -EINVAL}, {256, 0x80, 1, 2, -EINVAL}};
	unsigned char n[2050], e[3] = {1, 0, 1};
	char text[9000];
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t zero = rows[i].top & 0x80 ? 1 : 0;

		memset(n, 0, sizeof n);
		n[zero] = rows[i].top;
		n[zero + rows[i].bytes - 1] = rows[i].last;
		e[2] = rows[i].e;
		put_text(&b, "ssh-rsa");
		put_string(&b, e, 3);
		put_string(&b, n, rows[i].bytes + zero);
		assert_int_equal(taken(line("ssh-rsa", &b, text, sizeof text)), rows[i].want);
	}
	/* Negative, empty, not the shortest form. */
	for (unsigned i = 0; i < 3; i++) {
		memset(n, 0, sizeof n);
		n[0] = i == 0 ? 0x80 : 0;
		n[255] = 1;
		put_text(&b, "ssh-rsa");
		put_string(&b, "\1\0\1", 3);
		put_string(&b, n, i == 1 ? 0 : 257);
		assert_int_equal(taken(line("ssh-rsa", &b, text, sizeof text)), -EINVAL);
	}
	buf_done(&b);
}

static void ecdsa(void **state)
{
	unsigned char point[133] = {4};
	char text[9000];
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	put_text(&b, "ecdsa-sha2-nistp256");
	put_text(&b, "nistp256");
	put_string(&b, point, 65);
	assert_int_equal(taken(line("ecdsa-sha2-nistp256", &b, text, sizeof text)), 1);
	put_text(&b, "ecdsa-sha2-nistp256");
	put_text(&b, "nistp384");
	put_string(&b, point, 65);
	assert_int_equal(taken(line("ecdsa-sha2-nistp256", &b, text, sizeof text)), -EINVAL);
	point[0] = 2;
	put_text(&b, "ecdsa-sha2-nistp521");
	put_text(&b, "nistp521");
	put_string(&b, point, 133);
	assert_int_equal(taken(line("ecdsa-sha2-nistp521", &b, text, sizeof text)), -EINVAL);
	buf_done(&b);
}

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* Nothing of a line comes through that was not looked at. */
static void lines_of_keys(void **state)
{
	static const char *const bad[] = {"", "# nothing\n", "command=\"id\" " KEY, "restrict," KEY, " " KEY, "\t" KEY,
		"environment=\"LD_PRELOAD=x\" " KEY, "-----BEGIN OPENSSH PRIVATE KEY-----\n" KEY, "ssh-ed25519", "ssh-ed25519 ",
		"ssh-ed25519  " KEY, "cert-authority " KEY, "ssh-ed25519\t" KEY, KEY "A x", KEY "\ncommand=\"id\" " KEY,
		"@cert-authority * " KEY, "ssh-ed25519-cert-v01@openssh.com AAAA"};
	const char *why, *todo;
	char long_line[sizeof KEY + 200];
	struct buf b;
	unsigned at;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(taken(bad[i]), -EINVAL);
	buf_init(&b, 10000);
	assert_int_equal(person_keys("# mine\n\n" KEY "  al\x1b[31m\xc3\xa9 \r\n" KEY, strlen("# mine\n\n" KEY "  al\x1b[31m\xc3\xa9 \r\n" KEY),
				 "restrict", &b, &at, &why, &todo), 2);
	assert_string_equal(buf_str(&b), "restrict " KEY " al_[31m__\nrestrict " KEY "\n");
	/* A comment that is cut behind a word ends with the word. */
	buf_reset(&b);
	(void)snprintf(long_line, sizeof long_line, "%s %99s\tand more", KEY, "end");
	memset(strchr(long_line + sizeof KEY, 'e') - 96, 'x', 96);
	assert_int_equal(person_keys(long_line, strlen(long_line), "", &b, &at, &why, &todo), 1);
	assert_int_equal(b.len, sizeof KEY + 99 + 1);
	assert_memory_equal(b.p + b.len - 5, "xend\n", 5);
	buf_done(&b);
}

#define BEGIN "# stead: begin (these keys are stead's: see `stead user`; other lines are yours)\n"
#define END "# stead: end\n"

static void blocks(void **state)
{
	static const struct {
		const char *text, *keys, *want; /* want NULL: refused */
	} rows[] = {{"", "k\n", BEGIN "k\n" END}, {"mine", "k\n", "mine\n" BEGIN "k\n" END},
		{"a\n" BEGIN "old\n" END "b", "k\n", "a\n" BEGIN "k\n" END "b"}, {"a\n" BEGIN "old\n" END "b", "", "a\nb"},
		{"a\n", "", "a\n"}, {"a", "", "a"}, {BEGIN "x\n", "k\n", NULL}, {END, "k\n", NULL}, {END BEGIN, "", NULL},
		{BEGIN END BEGIN END, "", NULL}, {BEGIN BEGIN END, "", NULL}, {BEGIN END END, "", NULL}, {"# stead: end", "k\n", NULL},
		{"a\n" BEGIN "# stead: end", "", "a\n"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b;
		int r;

		buf_init(&b, 10000);
		r = person_keys_splice(rows[i].text, strlen(rows[i].text), rows[i].keys, strlen(rows[i].keys), &b);
		assert_int_equal(r, rows[i].want ? 0 : -EBADMSG);
		if (rows[i].want)
			assert_string_equal(buf_str(&b), rows[i].want);
		buf_done(&b);
	}
}

/* Keys as their owners gave them; marks that do not pair give nothing. */
static void own_keys(void **state)
{
#define LAST "# stead: end"
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"", ""},
		{"ssh-rsa A mine\n", ""},
		{BEGIN LAST "\n", ""},
		{"ssh-rsa A mine\n" BEGIN "ssh-rsa B ann\n" LAST "\nssh-rsa C mine\n", "ssh-rsa B ann\n"},
		{BEGIN "command=\"stead serve-deploy\",restrict ssh-rsa B ann\n\nssh-rsa C d\n" LAST, "ssh-rsa B ann\n\nssh-rsa C d\n"},
		{BEGIN "command=\"x\" ssh-rsa B ann\n" LAST, "command=\"x\" ssh-rsa B ann\n"},
		{BEGIN "command=\n" LAST, "command=\n"},
		{BEGIN "commandment \",restrict x\n" LAST, "commandment \",restrict x\n"},
		{BEGIN "ssh-rsa B ann\n", ""},
		{"ssh-rsa B ann\n" LAST "\n", ""},
		{LAST "\nssh-rsa B ann\n" BEGIN, ""},
		{"ssh-rsa A mine\n" BEGIN, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].text);
		char *copy = malloc(n + 1);
		struct buf b;

		memcpy(copy, rows[i].text, n);
		buf_init(&b, 10000);
		person_keys_own(copy, n, &b);
		if (strcmp(buf_str(&b), rows[i].want) != 0)
			fail_msg("row %zu: %s", i, buf_str(&b));
		buf_done(&b);
		free(copy);
	}
}

static void commands(void **state)
{
	static const char *const good[] = {"status", "stead status shop", " stead  logs  shop -n 10 --since 2025-12-31T23:59:59Z ",
		"logs -f --level error", "deploy shop", "releases", "rollback shop --release 3 --yes", "status --json"};
	static const char *const bad[] = {"", " ", "stead", "stop", "stead stead status", "status; id", "status\nid", "status $(id)",
		"status `id`", "status | sh", "status > /x", "status 'a", "status \"a\"", "status --state x", "logs --to a@b",
		"logs -n", "logs -n --json", "logs -fn 3", "logs --format x", "status a b", "/usr/bin/stead status", "../stead status",
		"STATUS", "status --json=1", "status --", "logs --since 2h;id", "logs --since $HOME", "user add x", "scp -t x", "rollback --release", "status -f", "env list",
		"status a b c d e f g h i j k l m"};
	char mem[PERSON_COMMAND_MAX + 1], text[PERSON_COMMAND_MAX + 10];
	const char *words[PERSON_WORDS_MAX], *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(person_deploy_words(good[i], mem, words, &why) >= 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		why = NULL;
		assert_int_equal(person_deploy_words(bad[i], mem, words, &why), -EINVAL);
		assert_non_null(why);
	}
	assert_int_equal(person_deploy_words("stead logs shop -n 10", mem, words, &why), 4);
	assert_string_equal(words[0], "logs");
	assert_string_equal(words[3], "10");
	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = '\0';
	assert_int_equal(person_deploy_words(text, mem, words, &why), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(apps), cmocka_unit_test(files),
		cmocka_unit_test(read_file), cmocka_unit_test(ed25519), cmocka_unit_test(rsa), cmocka_unit_test(ecdsa),
		cmocka_unit_test(lines_of_keys), cmocka_unit_test(blocks), cmocka_unit_test(own_keys), cmocka_unit_test(commands)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
