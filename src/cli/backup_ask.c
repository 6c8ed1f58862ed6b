/*
 * backup_ask.c: stead-backup, started by the command line itself and asked for one thing; see
 * backup_ask.h.
 *
 * What it says of a file comes out of that file: it is shown and matched, and no number or name of
 * it is believed here.
 */
#include "backup_ask.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct hearing {
	struct cli *c;
	struct backup_told *told;
};

static bool heard_part(struct backup_told *t, const struct msg *m)
{
	const char *tail, *name, *user, *sum, *of;
	struct msg_backup_part part;
	struct unpack u;
	size_t n;

	if (msg_get(m, &part, sizeof part, sizeof part) < 0)
		return false;
	tail = msg_tail(m, sizeof part, &n);
	unpack_init(&u, tail, n);
	name = unpack_str(&u);
	user = unpack_str(&u);
	sum = unpack_str(&u);
	of = strchr(name, ' ');
	return !u.bad &&
	       json_array_append_new(t->parts,
		       json_pack("{s:s%, s:s, s:s, s:I, s:I, s:s}", "part", name,
			       of ? (size_t)(of - name) : strlen(name), "of", of ? of + 1 : "",
			       "user", user, "bytes", (json_int_t)part.bytes, "entries",
			       (json_int_t)part.entries, "sha256", sum)) == 0;
}

static bool heard_name(struct backup_told *t, const struct msg *m)
{
	struct msg_backup_name name;
	struct unpack u;
	const char *tail;
	size_t n;

	if (msg_get(m, &name, sizeof name, sizeof name) < 0)
		return false;
	tail = msg_tail(m, sizeof name, &n);
	unpack_init(&u, tail, n);
	tail = unpack_str(&u);
	return !u.bad &&
	       json_array_append_new(name.group ? t->groups : t->users, json_string(tail)) == 0;
}

static bool heard_end(struct backup_told *t, const struct msg *m)
{
	struct unpack u;
	const char *tail;
	size_t n;

	if (msg_get(m, &t->end, sizeof t->end, sizeof t->end) < 0)
		return false;
	tail = msg_tail(m, sizeof t->end, &n);
	unpack_init(&u, tail, n);
	(void)snprintf(t->text, sizeof t->text, "%s", unpack_str(&u));
	(void)snprintf(t->todo, sizeof t->todo, "%s", unpack_str(&u));
	(void)snprintf(t->version, sizeof t->version, "%s", unpack_str(&u));
	(void)snprintf(t->host, sizeof t->host, "%s", unpack_str(&u));
	return !u.bad;
}

static bool heard(void *arg, const struct msg *m)
{
	const struct hearing *h = arg;
	struct unpack u;
	const char *text;
	uint32_t permille;
	json_t *o;

	if (m->h.type == MSG_BACKUP_END)
		return heard_end(h->told, m);
	if (m->h.type == MSG_BACKUP_PART)
		return heard_part(h->told, m);
	if (m->h.type == MSG_BACKUP_NAME)
		return heard_name(h->told, m);
	unpack_init(&u, m->payload, m->h.len);
	text = unpack_str(&u);
	permille = unpack_u32(&u);
	if (u.bad || m->h.type != MSG_DB_STEP)
		return false;
	o = json_pack("{s:s, s:s, s:s}", "event", "progress", "step", "backup", "text", text);
	if (o && permille <= 1000)
		(void)json_object_set_new(o, "permille", json_integer(permille));
	if (o)
		show_event(h->c, o);
	json_decref(o);
	return true;
}

int backup_ask(struct cli *c, enum backup_what what, const char *const *text, unsigned ntext,
	struct backup_told *ret)
{
	const struct msg_backup_ask q = {.what = what};
	struct hearing h = {c, ret};
	const struct role_ask a = {.roles = c->roles,
		.role = PROC_BACKUP,
		.type = MSG_BACKUP_ASK,
		.end = MSG_BACKUP_END,
		.fixed = &q,
		.fixed_len = sizeof q,
		.text = text,
		.ntext = ntext,
		.heard = heard,
		.arg = &h,
		/* Once the state is being replaced no terminal that goes shall end it. */
		.apart = what == BACKUP_FINISH};

	*ret = (struct backup_told){
		.parts = json_array(), .users = json_array(), .groups = json_array()};
	if (role_ask(&a) < 0)
		return VERB_EXIT_FAILED;
	if (ret->end.err) {
		show_line_done(c);
		show_error(c, ret->text, *ret->todo ? ret->todo : NULL);
	}
	return ret->end.err && !ret->end.exit_code ? VERB_EXIT_FAILED
						   : (int)(ret->end.exit_code & 7);
}

int backup_carry_on(struct cli *c)
{
	struct backup_told told;
	char mark[PATH_MAX + 16], lock[PATH_MAX + 16];
	int fd, code = 0;

	(void)snprintf(mark, sizeof mark, "%s/restore/go", c->state);
	(void)snprintf(lock, sizeof lock, "%s/lock", c->state);
	if (access(mark, F_OK) < 0)
		return 0;
	fd = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
		show_error(c, "a restore is under way there", "wait for its end");
		code = VERB_EXIT_BUSY;
	} else {
		code = backup_ask(c, BACKUP_FINISH, (const char *const[]){mark, c->state}, 2, &told);
		backup_told_done(&told);
	}
	if (fd >= 0)
		(void)close(fd);
	return code;
}

void backup_told_done(struct backup_told *t)
{
	json_decref(t->parts);
	json_decref(t->users);
	json_decref(t->groups);
	*t = (struct backup_told){.parts = NULL};
}

int backup_file(struct cli *c, char ret[PATH_MAX])
{
	const char *given = c->args.arg[0];
	char here[PATH_MAX];
	int n = 0;

	if (*given && given[strlen(given) - 1] != '/')
		n = *given == '/' ? snprintf(ret, PATH_MAX, "%s", given)
		    : getcwd(here, sizeof here) != NULL
			    ? snprintf(ret, PATH_MAX, "%s/%s", here, given)
			    : 0;
	if (n > 0 && n < PATH_MAX)
		return 0;
	show_error(c, "that is no name of a file", "stead backup FILE, stead restore FILE");
	return VERB_EXIT_USAGE;
}

unsigned backup_count(const struct backup_told *t, const char *kind)
{
	const json_t *part;
	unsigned n = 0;
	size_t i;

	json_array_foreach(t->parts, i, part) n +=
		strcmp(json_string_value(json_object_get(part, "part")), kind) == 0;
	return n;
}

const char *backup_size(unsigned long long bytes, char ret[32])
{
	if (bytes < 1000 * 1000)
		(void)snprintf(ret, 32, "%llu KB", (bytes + 999) / 1000);
	else
		(void)snprintf(ret, 32, "%.1f MB", (double)bytes / 1e6);
	return ret;
}
