/*
 * listing.c: see listing.h. Called by to_static.c. Owns nothing after it returns. Reads names and
 * what lstat says of them, never a file; a name is escaped for where it stands: as a URL, as HTML,
 * as JSON.
 */
#include "listing.h"
#include "gate.h"
#include "httpdate.h"
#include "lib/must.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct one {
	char *name;
	bool folder;
	uint64_t size;
	int64_t mtime_s;
};

struct all {
	struct one *one;
	unsigned n;
	bool more;
};

static int by_name(const void *a, const void *b)
{
	const struct one *x = a, *y = b;

	if (x->folder != y->folder)
		return x->folder ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void free_all(struct all *a)
{
	for (unsigned i = 0; i < a->n; i++)
		free(a->one[i].name);
	free(a->one);
}

static bool is_shown(const char *name)
{
	return name[0] != '.' && strcmp(name, "stead.conf") != 0;
}

/* One entry; what has gone meanwhile is not there, and what is neither file nor folder is not
 * served. */
static int add(struct all *a, int dirfd, const char *name)
{
	struct stat st;
	char *copy;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	a->one[a->n++] = (struct one){.name = copy,
		.folder = S_ISDIR(st.st_mode),
		.size = (uint64_t)st.st_size,
		.mtime_s = st.st_mtim.tv_sec};
	return 0;
}

static int read_folder(int dirfd, struct all *a)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	a->one = calloc(LISTING_ENTRIES_MAX, sizeof(*a->one));
	if (!a->one)
		err = -ENOMEM;
	while (!err && (e = readdir(d))) {
		if (!is_shown(e->d_name))
			continue;
		a->more = a->n == LISTING_ENTRIES_MAX;
		if (a->more)
			break;
		err = add(a, dirfd, e->d_name);
	}
	(void)closedir(d);
	if (!err)
		qsort(a->one, a->n, sizeof(*a->one), by_name);
	return err;
}

static void put_html(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = s[i] == '&'    ? "&amp;"
				   : s[i] == '<'  ? "&lt;"
				   : s[i] == '>'  ? "&gt;"
				   : s[i] == '"'  ? "&quot;"
				   : s[i] == '\'' ? "&#39;"
						  : NULL;

		if (name)
			buf_puts(b, name);
		else
			buf_putc(b, (unsigned char)s[i] < 0x20 ? '?' : s[i]);
	}
}

/* Relative, so that it holds wherever the folder is shown; ./ because a name may have a colon. */
static void put_link(struct buf *b, const char *name)
{
	static const char digits[] = "0123456789ABCDEF";

	buf_puts(b, "./");
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			strchr("-._~", c)) {
			buf_putc(b, (char)c);
		} else {
			buf_putc(b, '%');
			buf_putc(b, digits[c >> 4]);
			buf_putc(b, digits[c & 15]);
		}
	}
}

static void put_page(struct req *r, const struct all *a, struct buf *b)
{
	char date[32];

	buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		    "<meta name=\"viewport\" content=\"width=device-width\"><title>");
	put_html(b, r->path, r->path_len);
	buf_puts(b, "</title><style>body{font:16px/1.5 sans-serif;margin:2em}td{padding:0 1em 0 0}"
		    "td+td{color:#666;text-align:right}</style></head>\n<body><h1>");
	put_html(b, r->path, r->path_len);
	buf_puts(b, "</h1>\n<table>\n");
	if (r->path_len > 1)
		buf_puts(b, "<tr><td><a href=\"../\">../</a></td></tr>\n");
	for (unsigned i = 0; i < a->n; i++) {
		const struct one *o = &a->one[i];
		const char *slash = o->folder ? "/" : "";

		buf_puts(b, "<tr><td><a href=\"");
		put_link(b, o->name);
		buf_printf(b, "%s\">", slash);
		put_html(b, o->name, strlen(o->name));
		http_date_format(o->mtime_s, date);
		if (o->folder)
			buf_printf(b, "/</a></td><td></td><td>%.29s</td></tr>\n", date);
		else
			buf_printf(b, "</a></td><td>%llu</td><td>%.29s</td></tr>\n",
				(unsigned long long)o->size, date);
	}
	buf_puts(b, "</table>\n");
	if (a->more)
		buf_printf(b, "<p>There are more than %d; the others are not shown.</p>\n",
			LISTING_ENTRIES_MAX);
	buf_puts(b, "</body></html>\n");
}

static void put_json(const struct all *a, struct buf *b)
{
	buf_printf(b, "{\"more\":%s,\"entries\":[", a->more ? "true" : "false");
	for (unsigned i = 0; i < a->n; i++) {
		const struct one *o = &a->one[i];

		buf_puts(b, i ? ",\n{\"name\":" : "\n{\"name\":");
		buf_put_json(b, o->name, strlen(o->name));
		buf_printf(b, ",\"type\":\"%s\",\"size\":%llu,\"mtime\":%lld}",
			o->folder ? "folder" : "file",
			(unsigned long long)(o->folder ? 0 : o->size), (long long)o->mtime_s);
	}
	buf_puts(b, "\n]}\n");
}

int listing_make(struct req *r, int dirfd, bool json, struct buf *ret)
{
	struct all a = {0};
	int err = read_folder(dirfd, &a);

	if (!err && json)
		put_json(&a, ret);
	else if (!err)
		put_page(r, &a, ret);
	free_all(&a);
	return err ? err : ret->error;
}

static bool names(const struct field *f, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; f && i + n <= f->value_len; i++)
		if (strncasecmp(f->value + i, word, n) == 0)
			return true;
	return false;
}

bool listing_wants_json(const struct req *r)
{
	const struct field *f = req_field(r, "accept");

	return names(f, "application/json") && !names(f, "text/html");
}
