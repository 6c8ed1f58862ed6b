/*
 * test_unitword.c: the words of one key, as systemd.syntax(7) writes them, and whose file they are taken from.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/unitword.h"

static void test_find(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{"", ""},
		{"AllowUsers=a", ""},
		{"[Server]\nAllowUsers=a", "a"},
		{"[Server]\nAllowUsers = a  b\t\nAllowUsers=c\r\n", "a b c"},
		{"[Server]\nAllowUsers=a\nAllowUsers=\nAllowUsers=b\n", "b"},
		{"[Server]\nAllowUsersX=a\nxAllowUsers=b\nAllowUsers\n", ""},
		{"[Site]\nAllowUsers=a\n[Server]\nAllowUsers=b\n[ServerX]\nAllowUsers=c\n", "b"},
		{"[Server]\n# AllowUsers=a\n ; AllowUsers=b\nAllowUsers=#c\n", "#c"},
		{"[Server]\nAllowUsers=a \\\n# between\n b\nAllowUsers=c\\\n", "a b c"},
		{"[Server]\nListen=x \\\nAllowUsers=a\n", ""},
		{"  [Server]\n\n\n  AllowUsers=a", "a"},
		{"[Server\nAllowUsers=a\n", ""},
	};
	char got[64];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(unitword_find(rows[i].text, strlen(rows[i].text), "Server", "AllowUsers", got, sizeof got), 0);
		if (strcmp(got, rows[i].words) != 0)
			fail_msg("row %zu: \"%s\", not \"%s\"", i, got, rows[i].words);
	}
}

static void test_says(void **state)
{
	static const struct {
		const char *text, *key;
		bool behind;
		const char *value;
		int said;
	} rows[] = {
		{"[Site]\nRoot=/srv/www\n", "Root", false, "/srv/www", 1},
		{"Root = /srv/a b \r\n", "Root", false, "/srv/a b", 1},
		{"[Route /x]\nRoot=\\\n/srv/www", "Root", false, "/srv/www", 1},
		{"#Root=/srv/www\nXRoot=/srv/www\nRootX=/srv/www\n", "Root", false, "/srv/www", 0},
		{"Root=/srv/www2\nRoot=/srv\nRoot=x /srv/www\n", "Root", false, "/srv/www", 0},
		{"Root=/srv/www\n", "Root", false, "", 0},
		{"Root=\n", "Root", false, "", 0},
		{"Static=/static /srv/www\n", "Static", true, "/srv/www", 1},
		{"Static=/static   /srv/a b\n", "Static", true, "/srv/a b", 1},
		{"Static=/srv/www\n", "Static", true, "/srv/www", 0},
		{"Root=/srv/w%i\n", "Root", false, "/srv/wx", 0},
		{"Root=/srv/wxx\n", "Root", false, "/srv/www", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (unitword_says(rows[i].text, strlen(rows[i].text), rows[i].key, rows[i].behind, rows[i].value) != rows[i].said)
			fail_msg("row %zu is not %d", i, rows[i].said);
	/* Nothing behind the end of the text counts. */
	assert_int_equal(unitword_says("Root=/srv/www", 12, "Root", false, "/srv/www"), 0);
}

static void test_bounds(void **state)
{
	static const char text[] = "[S]\nK=abc de\n";
	char got[7], *big = malloc(9000);

	(void)state;
	assert_int_equal(unitword_find(text, sizeof text - 1, "S", "K", got, 7), 0);
	assert_string_equal(got, "abc de");
	assert_int_equal(unitword_find(text, sizeof text - 1, "S", "K", got, 6), -E2BIG);
	assert_string_equal(got, "");
	/* What ends in the middle of the text is not read behind its end. */
	assert_int_equal(unitword_find(text, 8, "S", "K", got, 7), 0);
	assert_string_equal(got, "ab");
	memset(big, 'x', 9000);
	memcpy(big, "[S]\nK=", 6);
	assert_int_equal(unitword_find(big, 9000, "S", "K", got, 7), -E2BIG);
	assert_int_equal(unitword_says(big, 9000, "K", false, "x"), -E2BIG);
	/* What stands before a line that is too long counts. */
	memcpy(big, "K=x\n", 4);
	assert_int_equal(unitword_says(big, 9000, "K", false, "x"), 1);
	free(big);
}

static void test_has(void **state)
{
	(void)state;
	assert_true(unitword_has("a bc d", "bc") && unitword_has("a bc d", "a") && unitword_has("a bc d", "d"));
	assert_true(unitword_has("a  b", "b"));
	assert_false(unitword_has("a  b", "") || unitword_has("a bc d", "bd") || unitword_has("a bc d", "b") || unitword_has("a bc d", "bc d") || unitword_has("a bc", "") ||
		     unitword_has("", "a"));
}

static void test_whose_file(void **state)
{
	char path[] = "/tmp/unitword-XXXXXX", link[64], got[16];
	int fd = mkstemp(path), owned = geteuid() == 0 ? 0 : -EPERM;

	(void)state;
	assert_true(fd >= 0 && write(fd, "[S]\nK=a\n", 8) == 8);
	snprintf(link, sizeof link, "%s.l", path);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(unitword_read(path, "S", "K", got, sizeof got), owned);
	assert_string_equal(got, owned == 0 ? "a" : "");
	assert_int_equal(unitword_read(link, "S", "K", got, sizeof got), -EPERM);
	for (mode_t mode = 0664; mode >= 0646; mode -= 0664 - 0646) {
		assert_int_equal(fchmod(fd, mode), 0);
		assert_int_equal(unitword_read(path, "S", "K", got, sizeof got), -EPERM);
		assert_string_equal(got, "");
	}
	assert_int_equal(fchmod(fd, 0644), 0);
	if (geteuid() == 0) {
		assert_int_equal(unitword_file_says(path, "K", false, "a"), 1);
		assert_int_equal(unitword_file_says(path, "K", false, "b"), 0);
		/* A whole mebibyte, and not a byte more. */
		assert_int_equal(ftruncate(fd, 1 << 20), 0);
		assert_int_equal(unitword_file_says(path, "K", false, "a"), 1);
		assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
		assert_int_equal(unitword_file_says(path, "K", false, "a"), -EFBIG);
		assert_int_equal(unitword_read(path, "S", "K", got, sizeof got), -EFBIG);
		assert_string_equal(got, "");
		assert_int_equal(ftruncate(fd, 8), 0);
		assert_int_equal(fchown(fd, 1, 0), 0);
		assert_int_equal(unitword_read(path, "S", "K", got, sizeof got), -EPERM);
	}
	assert_int_equal(unitword_read("/tmp", "S", "K", got, sizeof got), -EPERM);
	unlink(link);
	unlink(path);
	assert_int_equal(unitword_read(path, "S", "K", got, sizeof got), -ENOENT);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_says), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_has), cmocka_unit_test(test_whose_file)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
