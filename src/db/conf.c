/*
 * conf.c: the three files that decide how the private server runs and who may come in. They are
 * stead's alone and written whole; a file that holds the same text already is not touched, and
 * another one is replaced by a durable write, so the server never reads half a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/durable.h"
#include "lib/must.h"
#include "lib/sys.h"

#include "db.h"

/* A string as postgresql.conf takes it: in single quotes, a quote doubled, a backslash too. */
static void put_quoted(struct buf *b, const char *s)
{
	buf_putc(b, '\'');
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			buf_putc(b, *s);
		buf_putc(b, *s);
	}
	buf_putc(b, '\'');
}

/* The server is started before the app's configuration has been read again; until that says more,
 * the number that the file holds stays. */
static uint32_t connections(const struct db *db, int dirfd)
{
	static const char key[] = "\nmax_connections = ";
	unsigned long v = 0;
	char *text;
	const char *at;
	size_t n;

	if (db->connections_all || db->connections_max)
		return db->connections_all ? db->connections_all : db->connections_max;
	if (sys_read_file(dirfd, "postgresql.conf", 1 << 20, &text, &n) < 0)
		return DB_CONNECTIONS_DEFAULT;
	at = strstr(text, key);
	if (at && at[sizeof key - 1] >= '1' && at[sizeof key - 1] <= '9')
		v = strtoul(at + sizeof key - 1, NULL, 10);
	free(text);
	return v > DB_CONNECTIONS_RESERVED && v <= DB_CONNECTIONS_LIMIT + DB_CONNECTIONS_RESERVED
		       ? (uint32_t)v - DB_CONNECTIONS_RESERVED
		       : DB_CONNECTIONS_DEFAULT;
}

static void put_server(struct buf *b, const struct db *db, int dirfd)
{
	buf_puts(b, "# Written by stead at each start; what is changed here is lost.\n"
		    "listen_addresses = ''\n"
		    "unix_socket_directories = ");
	put_quoted(b, db->sockets);
	/* With an app of another user the folder is the gate: 0710 and the app's group. With several who it is
	 * decides, which the kernel tells the server (peer). */
	buf_printf(b, "\nunix_socket_permissions = %s\n", db->gid || db->many ? "0777" : "0700");
	buf_printf(b, "max_connections = %u\n", connections(db, dirfd) + DB_CONNECTIONS_RESERVED);
	buf_puts(b, "superuser_reserved_connections = 3\n"
		    "password_encryption = scram-sha-256\n"
		    "shared_buffers = 16MB\n"
		    "dynamic_shared_memory_type = posix\n"
		    "fsync = on\n"
		    "synchronous_commit = on\n"
		    "full_page_writes = on\n"
		    "wal_level = minimal\n"
		    "max_wal_senders = 0\n"
		    "min_wal_size = 16MB\n"
		    "max_wal_size = 256MB\n"
		    "jit = off\n"
		    "max_worker_processes = 2\n"
		    "max_logical_replication_workers = 0\n"
		    "max_parallel_workers_per_gather = 0\n"
		    "autovacuum_max_workers = 1\n"
		    "log_destination = 'stderr'\n"
		    "logging_collector = off\n"
		    "log_line_prefix = ''\n"
		    "log_checkpoints = off\n"
		    "log_timezone = 'UTC'\n"
		    "timezone = 'UTC'\n"
		    "datestyle = 'iso, mdy'\n"
		    "lc_messages = 'C.UTF-8'\n"
		    "lc_monetary = 'C.UTF-8'\n"
		    "lc_numeric = 'C.UTF-8'\n"
		    "lc_time = 'C.UTF-8'\n"
		    "default_text_search_config = 'pg_catalog.english'\n");
}

static void put_hba(struct buf *b)
{
	buf_puts(b,
		"# Written by stead at each start; what is changed here is lost.\n"
		"# Only processes of this machine whose user pg_ident.conf maps to the role; no "
		"password, no network.\n"
		"# TYPE  DATABASE  USER  METHOD\n"
		"local   all       all   peer map=stead\n");
}

/* The server's owner may come in as the role too: who reads or loads an app's database for a backup has no more rights there
 * than the app. */
static void put_user(struct buf *b, const struct db *db, const char *user, const char *role)
{
	buf_printf(b, "stead  \"%s\"  \"%s\"\n", user, role);
	if (strcmp(user, db->owner) != 0)
		buf_printf(b, "stead  \"%s\"  \"%s\"\n", db->owner, role);
}

static void put_ident(struct buf *b, const struct db *db)
{
	buf_puts(b, "# Written by stead at each start; what is changed here is lost.\n"
		    "# MAP  SYSTEM-USER  ROLE\n");
	buf_printf(b, "stead  \"%s\"  \"" DB_SUPERUSER "\"\n", db->owner);
	if (db->role[0])
		put_user(b, db, db->os_user, db->role);
	for (unsigned i = 0; i < db->others_n; i++)
		put_user(b, db, db->others[i].os_user, db->others[i].role);
}

static int write_fresh(int dirfd, const char *name, const void *p, size_t n)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t done;

	if (fd < 0)
		return -errno;
	done = write(fd, p, n);
	if (close(fd) < 0 || done < 0)
		return -errno;
	return (size_t)done == n ? 0 : -ENOSPC;
}

static int put_file(struct db *db, int dirfd, const char *name, struct buf *b, bool fresh)
{
	char *old;
	size_t n;
	int r = b->error;

	if (r == 0 && sys_read_file(dirfd, name, 1 << 20, &old, &n) == 0) {
		bool same = n == b->len && memcmp(old, b->p, n) == 0;

		free(old);
		if (same)
			return 0;
	}
	if (r == 0)
		r = fresh ? write_fresh(dirfd, name, b->p, b->len)
			  : durable_write(dirfd, name, b->p, b->len, 0600);
	if (r == 0)
		return 0;
	return failure_set(db->f, -r, EXIT_CODE_FAILED,
		r == -ENOSPC ? "free some disk space, then start again"
			     : "see that the folder is writable",
		"%s/%s could not be written: %s.", db->data, name, strerror(-r));
}

int conf_write(struct db *db, int dirfd, bool fresh)
{
	static const struct {
		const char *name;
		unsigned which;
	} files[] = {{"pg_ident.conf", 0}, {"pg_hba.conf", 1}, {"postgresql.conf", 2}};
	struct buf b;
	int r = 0;

	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < sizeof files / sizeof *files && r == 0; i++) {
		buf_reset(&b);
		if (files[i].which == 0)
			put_ident(&b, db);
		else if (files[i].which == 1)
			put_hba(&b);
		else
			put_server(&b, db, dirfd);
		r = put_file(db, dirfd, files[i].name, &b, fresh);
	}
	buf_done(&b);
	return r;
}

int conf_rewrite(struct db *db)
{
	int fd = open(db->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return failure_set(db->f, errno, EXIT_CODE_FAILED,
			"see that the folder is readable", "%s cannot be opened: %s.", db->data,
			strerror(errno));
	r = conf_write(db, fd, false);
	(void)close(fd);
	return r;
}
