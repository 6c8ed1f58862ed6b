/*
 * check.c: is the question one that may be done? Names that would mean something else to
 * PostgreSQL, and paths it cannot use, are refused here with words instead of later with a riddle.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "db.h"

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A role or database of an app: [a-z_][a-z0-9_]*, at most 63 bytes, and none of the server's own.
 */
static bool name_usable(const char *s)
{
	static const char *const reserved[] = {
		"postgres", "template0", "template1", "public", "none", "all", "replication"};

	if (!is_lower(*s) && *s != '_')
		return false;
	if (strncmp(s, "pg_", 3) == 0 || strlen(s) > 63)
		return false;
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (strcmp(s, reserved[i]) == 0)
			return false;
	for (; *s; s++)
		if (!is_lower(*s) && !is_digit(*s) && *s != '_')
			return false;
	return true;
}

/* What useradd makes, and what directory services make of it; no quote, blank or leading slash,
 * which pg_ident.conf would take for something else. */
static bool os_user_usable(const char *s)
{
	static const char other[] = "._-@+$";

	if (!*s || *s == '-' || *s == '+')
		return false;
	for (; *s; s++)
		if (!is_lower(*s) && !is_digit(*s) && !(*s >= 'A' && *s <= 'Z') &&
			!strchr(other, *s))
			return false;
	return true;
}

static bool path_usable(const char *s)
{
	if (*s != '/')
		return false;
	for (; *s; s++)
		if ((unsigned char)*s < ' ')
			return false;
	return true;
}

int db_check(struct db *db)
{
	static const char file[] = "/.s.PGSQL." DB_PORT;
	struct sockaddr_un un;

	if (!name_usable(db->role) || !name_usable(db->database))
		return failure_set(db->f, EINVAL, EXIT_CODE_USAGE,
			"give the app another name: Name= in [Site], or Database= in [Postgres], "
			"of "
			"stead.conf",
			"\"%s\" cannot be the name of an app's role or database in PostgreSQL.",
			name_usable(db->role) ? db->database : db->role);
	if (!os_user_usable(db->os_user))
		return failure_set(db->f, EINVAL, EXIT_CODE_USAGE, "run stead as another user",
			"The user name \"%s\" cannot be written into PostgreSQL's user map.",
			db->os_user);
	for (unsigned i = 0; i < db->others_n; i++)
		if (!name_usable(db->others[i].role) || !os_user_usable(db->others[i].os_user))
			return failure_set(db->f, EINVAL, EXIT_CODE_USAGE, "remove that app (`stead remove`)",
				"The role \"%s\" of the user \"%s\" cannot be written into PostgreSQL's user map.",
				db->others[i].role, db->others[i].os_user);
	if (!path_usable(db->data) || !path_usable(db->sockets))
		return failure_set(db->f, EINVAL, EXIT_CODE_USAGE,
			"choose another folder with --state",
			"The path \"%s\" is not one that PostgreSQL's configuration can hold.",
			path_usable(db->data) ? db->sockets : db->data);
	if (strlen(db->sockets) + sizeof file > sizeof un.sun_path)
		return failure_set(db->f, ENAMETOOLONG, EXIT_CODE_USAGE,
			"let XDG_RUNTIME_DIR or TMPDIR name a folder with a shorter path",
			"The database's socket %s%s would be %zu bytes long; the system's limit is "
			"%zu.",
			db->sockets, file, strlen(db->sockets) + sizeof file - 1,
			sizeof un.sun_path - 1);
	return 0;
}
