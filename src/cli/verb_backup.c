/*
 * verb_backup.c: `stead backup FILE`: all of the running instance into one file.
 *
 * Called by main.c. ctl keeps a copy of its state and holds deploys up as long as the connection is
 * there; stead-backup makes the file with the rights of whoever typed this, and then reads it once
 * more as a restore would.
 */
#include "backup_ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

/* ctl's answer, when it is this one's turn: a new reference. NULL: *ret_code, after an error was
 * shown. */
static json_t *begin(struct cli *c, struct client *cl, int *ret_code)
{
	json_t *o;
	int got;

	*ret_code = VERB_EXIT_FAILED;
	if (client_ask(cl, json_pack("{s:s}", "verb", "backup")) < 0)
		return NULL;
	while ((got = client_next(cl, -1, &o)) != 0) {
		const char *event = got > 0 ? json_string_value(json_object_get(o, "event")) : NULL;

		if (got == -EAGAIN)
			continue;
		if (got < 0)
			break;
		if (event && strcmp(event, "backup") == 0)
			return o;
		if (event && strcmp(event, "end") == 0) {
			*ret_code = show_end(c, o);
			json_decref(o);
			return NULL;
		}
		show_event(c, o);
		json_decref(o);
	}
	show_error(c, "the answer ended early: the control process was restarted in between",
		"try it again");
	return NULL;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static int pack(struct cli *c, const char *file, const json_t *where, struct backup_told *told)
{
	struct buf databases;
	const json_t *name;
	size_t i;
	int code;

	buf_init(&databases, 64 * 1024);
	json_array_foreach(json_object_get(where, "databases"), i, name)
		buf_printf(&databases, "%s\n", json_string_value(name));
	code = backup_ask(c, BACKUP_PACK,
		(const char *const[]){file, text_of(where, "state"), text_of(where, "config"),
			text_of(where, "sockets"), text_of(where, "bin"), buf_str(&databases),
			text_of(where, "own")},
		7, told);
	buf_done(&databases);
	return code;
}

static void show(struct cli *c, const char *file, const json_t *where, const struct backup_told *packed,
	const struct backup_told *t)
{
	char size[32], *text;
	json_t *o;

	if (c->quiet)
		return;
	if (!c->json) {
		unsigned apps = backup_count(t, "app"), databases = backup_count(t, "database"),
			 people = backup_count(t, "person"),
			 left = (unsigned)json_array_size(json_object_get(where, "left"));

		/* Each has a folder in it, deployed or not. */
		apps -= min_of(apps, left);
		show_line_done(c);
		(void)printf("%s: %s; %u app%s, %u database%s, %u person%s\n", file,
			backup_size(t->end.file_bytes, size), apps, apps == 1 ? "" : "s", databases,
			databases == 1 ? "" : "s", people, people == 1 ? "" : "s");
		if (left)
			(void)printf("with the data of %u app%s not deployed: `stead status` names %s\n", left,
				left == 1 ? " that is" : "s that are", left == 1 ? "it" : "them");
		(void)puts("it has the private keys, and is not encrypted: keep it as you would "
			   "keep them");
		if (packed->end.left_out)
			(void)fprintf(stderr,
				"left out: %llu sockets, devices, or files too deep in folders\n",
				(unsigned long long)packed->end.left_out);
		return;
	}
	o = json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:O}", "event", "end", "exit",
		0, "file", file, "bytes", (json_int_t)t->end.file_bytes, "made_us",
		(json_int_t)t->end.made_us, "entries", (json_int_t)t->end.entries, "version",
		t->version, "host", t->host, "left_out", (json_int_t)packed->end.left_out, "parts",
		t->parts);
	text = json_dumps(o, JSON_COMPACT);
	if (text)
		(void)puts(text);
	free(text);
	json_decref(o);
}

int verb_backup(struct cli *c)
{
	struct backup_told packed = {.parts = NULL}, told = {.parts = NULL};
	char file[PATH_MAX], state[PATH_MAX];
	json_t *where = NULL;
	struct client cl;
	int code = backup_file(c, file);

	if (code == 0)
		code = verb_open(c, &cl);
	if (code)
		return code;
	where = begin(c, &cl, &code);
	if (where) {
		(void)snprintf(state, sizeof state, "%s", text_of(where, "state"));
		code = pack(c, file, where, &packed);
	}
	client_close(&cl);
	/* What is not seen to be whole now may be found out too late. */
	if (where && code == 0)
		code = backup_ask(c, BACKUP_CHECK, (const char *const[]){file, state}, 2, &told);
	if (where && code == 0)
		show(c, file, where, &packed, &told);
	backup_told_done(&packed);
	backup_told_done(&told);
	json_decref(where);
	return code;
}
