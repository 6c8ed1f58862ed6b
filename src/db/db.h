/*
 * db.h: what the files of stead-db share.
 *
 * The server itself is started by the parent, as ctl's PROC_SET with role POSTGRES says:
 *   exec   BIN/postgres              BIN: the third packed string of DB_END to DB_FIND or DB_INIT
 *   argv   BIN/postgres -D DATA -k SOCKETS   (it finds its own files by argv[0])
 *   env    PATH=/usr/bin:/bin LC_ALL=C.UTF-8 and nothing else that begins with PG or LC_
 *   user   the owner of DATA (as root: the postgres account, with the app's group as its gid)
 *   stop   SIGINT (fast shutdown: clients are told to go; SIGTERM would wait for them for ever)
 *   umask  0077
 * The app gets PGHOST=SOCKETS, PGPORT=5432, PGUSER=ROLE, PGDATABASE=DATABASE; PGPORT because a port
 * in the caller's environment would lead it past the socket.
 */
#ifndef STEAD_DB_DB_H
#define STEAD_DB_DB_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "oneshot/oneshot.h"

enum {
	DB_PATH_MAX = 1024,
	DB_INIT_MS = 60 * 1000,
	DB_WAIT_MS = 30 * 1000,
	DB_STALE_MS = 30 * 1000,
	DB_OTHERS_MAX = 256,
	DB_TRIES = 20, /* 50 ms apart */
	DB_CONNECTIONS_DEFAULT = 20,
	DB_CONNECTIONS_LIMIT = 10000,
	DB_CONNECTIONS_RESERVED = 5, /* for stead itself and for psql beside a busy app */
};
/* A fresh cluster takes 31 MB; with its first write-ahead log and a margin. */
#define DB_FREE_BYTES_MIN (96ull << 20)
#define DB_SUPERUSER "postgres"
#define DB_PORT "5432"

struct db {
	struct oneshot *o; /* for steps; NULL in tests */
	struct failure *f;
	uint32_t connections_max; /* of the app's role; 0: as the server's configuration has it */
	char bin[DB_PATH_MAX];    /* postgres' bin folder, "" until found */
	char data[DB_PATH_MAX];
	char sockets[DB_PATH_MAX];
	char role[64], database[64];
	char os_user[64]; /* whom the operating system knows the app as */
	gid_t gid;        /* the app's group; 0: none, the app runs as the cluster's owner */
	bool many;        /* apps of several users: the folder of the socket is open to all, peer authentication decides */
	uint32_t connections_all; /* of all apps; 0: as connections_max */
	struct db_other {
		char os_user[64], role[64];
	} others[DB_OTHERS_MAX]; /* the other apps */
	unsigned others_n;
	char owner[64];   /* name of the user that runs this process */
};

/* Check what the question holds: names, paths, the length of the socket's path. All return -errno
 * with db->f set. */
int db_check(struct db *db);

/* Find postgres' bin folder: the one that made the data folder, or the newest. Fills db->bin. */
int find_bin(struct db *db);
/* The same, but db->bin stays when it still serves. */
int find_bin_again(struct db *db);
/* The server's major version from its folder's name or its own word; 0 when unknown. */
unsigned find_version(const char *bin);

/* Make the cluster when there is none, write stead's configuration files when they differ. */
int init_cluster(struct db *db);
/* A server that a dead stead left running is stopped, the lock file of one that is gone removed. */
int stale_server(struct db *db, int dirfd);
/* Make a fresh cluster durable; does nothing for one that is. */
int init_sync(struct db *db);

/* Write postgresql.conf, pg_hba.conf and pg_ident.conf below dirfd; files that hold the same text
 * already are left alone. `fresh`: the folder is synced as a whole later. */
int conf_write(struct db *db, int dirfd, bool fresh);
/* The same for the data folder by its path, while the server runs: for its next start. */
int conf_rewrite(struct db *db);

int sql_wait(struct db *db);
int sql_app(struct db *db);
/* Its database and its role are gone, for good. */
int sql_drop(struct db *db);
/* load.c: role and database are there (sql_app()); as a backup has the database, when STATE/pg/restore has one: made anew,
 * loaded in one transaction, and the file removed. Nothing of the app runs yet. */
int load_database(struct db *db);
/* A JSON object, malloc'd. */
int sql_info(struct db *db, char **ret_json);

#endif
