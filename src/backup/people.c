/*
 * people.c: the people of a server: a part for each, with what it may and its public keys.
 *
 * Called by pack.c. What a person may stands in STATE/people; the keys are stead's lines in a file
 * of the person's own, so it is opened without following a link, read bounded, and only what stands
 * between stead's marks is taken.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/sys.h"
#include "person/person.h"

#include "backup.h"

enum { AUTHORIZED_MAX = 256 * 1024, PEOPLE_MAX = 1000 };

/* The file's text, malloc'd; NULL: there is none that can be read. */
static char *authorized(const char *name, size_t *ret_n)
{
	struct passwd *pw = getpwnam(name);
	int home = pw ? open(pw->pw_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, fd;
	char *text = NULL;
	struct stat st;

	if (home < 0)
		return NULL;
	fd = sys_open_nosymlink(home, ".ssh/authorized_keys", O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= AUTHORIZED_MAX &&
		(text = malloc((size_t)st.st_size + 1)) != NULL) {
		ssize_t n = pread(fd, text, (size_t)st.st_size, 0);

		*ret_n = n > 0 ? (size_t)n : 0;
		text[*ret_n] = '\0';
	}
	if (fd >= 0)
		(void)close(fd);
	(void)close(home);
	return text;
}

static int pack_person(
	struct backup *b, struct archive_out *out, const struct person *p, const struct stat *st)
{
	struct archive_entry e = {.kind = ARCHIVE_FILE, .mode = 0600, .target = ""};
	char part[80], path[64], *text;
	struct buf keys;
	size_t n = 0;

	buf_init(&keys, AUTHORIZED_MAX * 2);
	buf_printf(&keys, "sudo=%s\napps=", p->sudo ? "sudo" : "");
	for (unsigned i = 0; i < p->napps; i++)
		buf_printf(&keys, "%s%s", i ? "," : "", p->app[i]);
	buf_puts(&keys, "\n");
	text = authorized(p->name, &n);
	if (text)
		person_keys_own(text, n, &keys);
	free(text);
	(void)snprintf(part, sizeof part, "person %s", p->name);
	(void)snprintf(path, sizeof path, "people/%s", p->name);
	archive_put_part(out, part, "");
	e.owner = archive_put_name(out, 0, "root");
	e.group = archive_put_name(out, 1, "root");
	e.changed_us = (uint64_t)st->st_mtim.tv_sec * 1000000;
	e.path = path;
	archive_put_entry(out, &e);
	archive_put_piece(out, keys.p, keys.len);
	archive_put_end(out);
	archive_put_part_end(out);
	n = keys.error ? 1 : 0;
	buf_done(&keys);
	return n ? backup_failed(b, -ENOMEM, "read the keys of", p->name) : 0;
}

int pack_people(struct backup *b, struct archive_out *out)
{
	int folder = open(PERSON_STATE_ROOT "/" PERSON_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    r = 0;
	DIR *d = folder < 0 ? NULL : fdopendir(folder);
	struct archive_entry e = {
		.kind = ARCHIVE_FOLDER, .mode = 0700, .path = "people", .target = ""};
	unsigned n = 0;
	struct dirent *at;
	struct stat st;

	/* People are the machine's; an instance of a folder on it has none. */
	if (!d || strcmp(b->state, PERSON_STATE_ROOT) != 0) {
		if (d)
			(void)closedir(d);
		return 0;
	}
	archive_put_part(out, "people", "");
	e.owner = archive_put_name(out, 0, "root");
	e.group = archive_put_name(out, 1, "root");
	archive_put_entry(out, &e);
	archive_put_part_end(out);
	while (r == 0 && n < PEOPLE_MAX && (errno = 0, at = readdir(d)) != NULL) {
		struct person p;

		if (at->d_name[0] == '.' || person_read(PERSON_STATE_ROOT, at->d_name, &p) < 0 ||
			fstatat(folder, at->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		n++;
		r = pack_person(b, out, &p, &st);
	}
	if (r == 0 && n < PEOPLE_MAX && errno)
		r = backup_failed(b, -errno, "list", PERSON_FOLDER);
	(void)closedir(d);
	return r;
}
