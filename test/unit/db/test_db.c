/*
 * test_db.c: stead-db's parts against the real PostgreSQL: what is refused, what initdb makes,
 * every half-made state that a crash can leave, who may enter the server.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oneshot/tree.h"

#include "db.h"

static struct db base(struct failure *f, const char *dir, const char *user)
{
	struct db db = {.f = f, .connections_max = 20};

	*f = (struct failure){0};
	(void)snprintf(db.data, sizeof db.data, "%s/pg", dir);
	(void)snprintf(db.sockets, sizeof db.sockets, "%s/run", dir);
	(void)snprintf(db.role, sizeof db.role, "guestbook");
	(void)snprintf(db.database, sizeof db.database, "guestbook");
	(void)snprintf(db.os_user, sizeof db.os_user, "%s", user);
	(void)snprintf(db.owner, sizeof db.owner, "%s", user);
	return db;
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = {{"guestbook", true}, {"a", true}, {"_x9", true}, {"", false},
		{"postgres", false}, {"template1", false}, {"pg_x", false}, {"public", false},
		{"all", false}, {"9a", false}, {"a-b", false}, {"A", false}, {"a\"b", false},
		{"replication", false}};
	struct failure f;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct db db = base(&f, "/tmp/x", "me");

		(void)snprintf(db.role, sizeof db.role, "%s", cases[i].name);
		assert_int_equal(db_check(&db), cases[i].good ? 0 : -EINVAL);
		assert_true(cases[i].good || f.todo[0]);
	}
}

static void test_users_and_paths(void **state)
{
	static const char *const bad_users[] = {"", "-x", "+x", "a b", "a\"b", "/x", "a\nb"};
	struct failure f;
	struct db db;

	(void)state;
	for (size_t i = 0; i < sizeof bad_users / sizeof *bad_users; i++) {
		db = base(&f, "/tmp/x", bad_users[i]);
		assert_int_equal(db_check(&db), -EINVAL);
	}
	db = base(&f, "/tmp/x\ny", "me");
	assert_int_equal(db_check(&db), -EINVAL);
	db = base(&f, "relative", "me");
	assert_int_equal(db_check(&db), -EINVAL);
	db = base(&f, "/tmp", "me");
	(void)snprintf(db.sockets, sizeof db.sockets, "/%092d",
		0); /* 93 + 14 bytes and a NUL: just fits */
	assert_int_equal(db_check(&db), 0);
	(void)snprintf(db.sockets, sizeof db.sockets, "/%093d", 0);
	assert_int_equal(db_check(&db), -ENAMETOOLONG);
	assert_non_null(strstr(f.text, "108 bytes"));
	assert_non_null(strstr(f.text, "107"));
}

static void test_find(void **state)
{
	const char *dir = rig_folder();
	struct failure f;
	struct db db = base(&f, dir, "me");

	(void)state;
	assert_int_equal(setenv("STEAD_PG_DIRS", "/nonexistent:relative:", 1), 0);
	assert_int_equal(find_bin(&db), -ENOENT);
	assert_non_null(strstr(f.text, "not installed"));
	assert_string_equal(f.todo, "apt install postgresql");

	/* Two servers on a list: the newest, unless the data folder says otherwise. */
	assert_int_equal(mkdir(rig_path(dir, "a"), 0700), 0);
	assert_int_equal(mkdir(rig_path(dir, "b"), 0700), 0);
	rig_write(dir, "a/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 15.3'\n", 0700);
	rig_write(dir, "b/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 17rc1'\n", 0700);
	rig_write(dir, "a/initdb", "", 0700);
	rig_write(dir, "b/initdb", "", 0700);
	{
		char list[256];

		(void)snprintf(list, sizeof list, "%s/a:%s/b", dir, dir);
		assert_int_equal(setenv("STEAD_PG_DIRS", list, 1), 0);
	}
	db = base(&f, dir, "me");
	assert_int_equal(find_bin(&db), 0);
	assert_string_equal(db.bin, rig_path(dir, "b"));
	assert_int_equal(mkdir(rig_path(dir, "pg"), 0700), 0);
	rig_write(dir, "pg/PG_VERSION", "15\n", 0600);
	assert_int_equal(find_bin(&db), 0);
	assert_string_equal(db.bin, rig_path(dir, "a"));
	rig_write(dir, "pg/PG_VERSION", "16\n", 0600);
	assert_int_equal(find_bin(&db), -ENOENT);
	assert_string_equal(f.todo, "apt install postgresql-16");
	assert_int_equal(unsetenv("STEAD_PG_DIRS"), 0);
	rig_remove(dir);
}

/* The cluster is made once per test program, by the first test that wants it. */
static pid_t start_server(const struct db *db)
{
	char path[DB_PATH_MAX + 16];
	pid_t pid = fork();

	if (pid == 0) {
		int null_fd = open("/dev/null", O_RDWR);
		(void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
		(void)dup2(null_fd, 1);
		(void)dup2(null_fd, 2);
		(void)snprintf(path, sizeof path, "%s/postgres", db->bin);
		(void)execl(path, path, "-D", db->data, "-k", db->sockets, (char *)NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	return pid;
}

static void stop_server(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGINT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void check_server(struct db *db, struct failure *f)
{
	pid_t pid = start_server(db);
	char *json = NULL;

	assert_int_equal(sql_wait(db), 0);
	assert_int_equal(sql_app(db), 0);
	assert_int_equal(sql_app(db), 0);
	assert_int_equal(sql_info(db, &json), 0);
	assert_non_null(strstr(json, "\"connections_max\" : 20"));
	free(json);
	json = rig_read(db->data, "postgresql.conf");
	assert_non_null(strstr(json, "max_connections = 25\n"));
	free(json);
	/* A name that the server was not started with gets in as well. */
	(void)snprintf(db->role, sizeof db->role, "renamed");
	(void)snprintf(db->database, sizeof db->database, "renamed");
	assert_int_equal(sql_app(db), 0);
	(void)snprintf(db->database, sizeof db->database, "guestbook");
	/* Another app's name finds the database taken. */
	(void)snprintf(db->role, sizeof db->role, "intruder");
	assert_int_equal(sql_app(db), -EEXIST);
	assert_int_equal(f->exit_code, EXIT_CODE_PROTECTED);
	stop_server(pid);
}

/* A lock file of a process that is something else now, and a server whose parent is not ours. */
static void check_left_behind(struct db *db)
{
	int status;
	pid_t pid;

	rig_write(db->data, "postmaster.pid", "1\n/x\n", 0600);
	rig_write(db->sockets, ".s.PGSQL.5432.lock", "1\n", 0600);
	assert_int_equal(init_cluster(db), 0);
	assert_int_equal(access(rig_path(db->data, "postmaster.pid"), F_OK), -1);
	assert_int_equal(access(rig_path(db->sockets, ".s.PGSQL.5432.lock"), F_OK), -1);
	pid = start_server(db);
	assert_int_equal(sql_wait(db), 0);
	assert_int_equal(init_cluster(db), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_cluster(void **state)
{
	const char *user = rig_user(), *dir = rig_folder();
	struct failure f;
	struct db db = base(&f, dir, user);
	struct stat a, b;
	char *text;

	(void)state;
	if (find_bin(&db) < 0)
		skip();
	assert_int_equal(init_cluster(&db), 0);
	assert_int_equal(access(rig_path(db.data, ".stead-unsynced"), F_OK), 0);
	assert_int_equal(access(rig_path(db.data, ".new"), F_OK), -1);
	text = rig_read(db.data, "pg_ident.conf");
	assert_non_null(text);
	assert_non_null(strstr(text, "\"guestbook\"\n"));
	free(text);
	assert_int_equal(init_sync(&db), 0);
	assert_int_equal(access(rig_path(db.data, ".stead-unsynced"), F_OK), -1);
	assert_int_equal(stat(rig_path(db.data, "postgresql.conf"), &a), 0);
	/* Again: nothing is touched; a changed setting is written. */
	assert_int_equal(init_cluster(&db), 0);
	assert_int_equal(stat(rig_path(db.data, "postgresql.conf"), &b), 0);
	assert_true(a.st_ino == b.st_ino);
	db.connections_max = 7;
	assert_int_equal(init_cluster(&db), 0);
	text = rig_read(db.data, "postgresql.conf");
	assert_non_null(strstr(text, "max_connections = 12\n"));
	free(text);
	/* Not known yet, as at a further start: what the file has stays. */
	db.connections_max = 0;
	assert_int_equal(init_cluster(&db), 0);
	text = rig_read(db.data, "postgresql.conf");
	assert_non_null(strstr(text, "max_connections = 12\n"));
	free(text);
	db.connections_max = 20; /* known when the server runs: for its next start */
	check_server(&db, &f);
	check_left_behind(&db);
	rig_remove(dir);
}

/* initdb stands in: what matters here is what is moved when, not what it makes. */
static void fake_server(const char *dir)
{
	assert_int_equal(mkdir(rig_path(dir, "bin"), 0700), 0);
	rig_write(dir, "bin/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 15.3'\n", 0700);
	rig_write(dir, "bin/initdb",
		"#!/bin/sh\ncd \"$2\" && mkdir base && echo x >base/1 && echo 15 >PG_VERSION\n",
		0700);
}

static struct db fake_db(struct failure *f, const char *dir, const char *user)
{
	struct db db = base(f, dir, user);

	(void)snprintf(db.bin, sizeof db.bin, "%s/bin", dir);
	return db;
}

static void test_half_made(void **state)
{
	const char *user = rig_user(), *dir = rig_folder();
	struct failure f;
	struct db db = fake_db(&f, dir, user);

	(void)state;
	fake_server(dir);
	/* A crash while initdb worked, or while its result moved up. */
	assert_int_equal(mkdir(db.data, 0755), 0);
	assert_int_equal(mkdir(rig_path(db.data, ".new"), 0700), 0);
	rig_write(db.data, ".new/PG_VERSION", "15\n", 0600);
	rig_write(db.data, "left-over", "x", 0600);
	assert_int_equal(init_cluster(&db), 0);
	assert_int_equal(access(rig_path(db.data, "left-over"), F_OK), -1);
	assert_int_equal(access(rig_path(db.data, "base/1"), F_OK), 0);
	assert_int_equal(access(rig_path(db.data, "PG_VERSION"), F_OK), 0);

	/* A power cut before the sync: the mark of another boot and an empty control file. */
	rig_write(db.data, ".stead-unsynced", "another boot\n", 0600);
	assert_int_equal(mkdir(rig_path(db.data, "global"), 0700), 0);
	rig_write(db.data, "global/pg_control", "", 0600);
	assert_int_equal(init_cluster(&db), 0);
	assert_int_equal(access(rig_path(db.data, "global"), F_OK), -1);

	/* The same mark with a control file that holds something: never removed. */
	rig_write(db.data, ".stead-unsynced", "another boot\n", 0600);
	assert_int_equal(mkdir(rig_path(db.data, "global"), 0700), 0);
	{
		char full[8193];

		memset(full, 'x', sizeof full - 1);
		full[sizeof full - 1] = 0;
		rig_write(db.data, "global/pg_control", full, 0600);
	}
	assert_int_equal(init_cluster(&db), 0);
	assert_int_equal(access(rig_path(db.data, "global/pg_control"), F_OK), 0);
	rig_remove(dir);
}

static void test_refusals(void **state)
{
	const char *user = rig_user(), *dir = rig_folder();
	struct failure f;
	struct db db = fake_db(&f, dir, user);

	(void)state;
	fake_server(dir);
	assert_int_equal(mkdir(db.data, 0700), 0);
	rig_write(db.data, "letter.txt", "mine", 0600);
	assert_int_equal(init_cluster(&db), -ENOTEMPTY);
	assert_int_equal(f.exit_code, EXIT_CODE_PROTECTED);
	assert_int_equal(access(rig_path(db.data, "letter.txt"), F_OK), 0);
	assert_int_equal(unlink(rig_path(db.data, "letter.txt")), 0);

	db = fake_db(&f, dir, user);
	rig_write(db.data, "PG_VERSION", "13\n", 0600);
	assert_int_equal(setenv("STEAD_PG_DIRS", rig_path(dir, "bin"), 1), 0);
	assert_int_equal(init_cluster(&db), -ENOENT);
	assert_non_null(strstr(f.text, "PostgreSQL 13"));
	assert_int_equal(unsetenv("STEAD_PG_DIRS"), 0);
	assert_int_equal(unlink(rig_path(db.data, "PG_VERSION")), 0);

	db = fake_db(&f, dir, user);
	rig_write(dir, "bin/initdb", "#!/bin/sh\necho 'FATAL: No space left on device'; exit 1\n",
		0700);
	assert_int_equal(init_cluster(&db), -EIO);
	assert_non_null(strstr(f.text, "No space left on device"));
	assert_non_null(strstr(f.todo, "disk space"));
	assert_int_equal(access(rig_path(db.data, ".new"), F_OK), -1);

	db = fake_db(&f, dir, user);
	(void)snprintf(db.data, sizeof db.data, "/usr");
	assert_int_equal(init_cluster(&db), -EPERM);
	assert_int_equal(f.exit_code, EXIT_CODE_NOT_PERMITTED);
	assert_non_null(strstr(f.text, "root"));
	rig_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names),
		cmocka_unit_test(test_users_and_paths), cmocka_unit_test(test_find),
		cmocka_unit_test(test_half_made), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_cluster)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
