/*
 * script.c: see script.h. Called by phases.c and to_static.c. Owns nothing: strings lie in the request's arena.
 *
 * A script is a regular file below the route's Root= whose name ends with ".php", found by the gate: what the
 * backend is told to run exists. Behind it may stand a PATH_INFO (RFC 3875 section 4.1.5). So "/x.jpg/y.php"
 * names nothing, however a backend would read it: no part of a path but a whole segment that ends so is ever
 * tried. A path that names no file is the front controller's, the Index= below the Root= itself. Where the
 * gates see no files (no Root=, a backend elsewhere) the front controller is the only script there is.
 */
#include "script.h"
#include "filecache.h"
#include "lib/must.h"
#include "target.h"
#include "to_static.h"
#include "tryfiles.h"
#include "up_codec.h"

#include <errno.h>
#include <string.h>

static const char ending[] = ".php";
enum { ENDING = sizeof(ending) - 1 };

/* Of one request, while it is looked at. */
struct look {
	struct req *r;
	const struct snap_upstream *u;
	const char *root, *index; /* the gate's; the front controller's name */
	size_t root_len, index_len;
};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Does it end with that, in any case? Then what is before it. */
static bool ends(const char *p, size_t n, const char *with, size_t *ret_n)
{
	size_t len = strlen(with);

	if (n < len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (lower(p[n - len + i]) != with[i])
			return false;
	*ret_n = n - len;
	return true;
}

bool script_is_source(const char *path, size_t n)
{
	static const char *const copies[] = {
		"~", "#", ".bak", ".old", ".orig", ".save", ".swp", ".swo", ".tmp", ".dist", ".", " "};
	static const char *const sources[] = {".php", ".phps", ".phtml", ".phar", ".inc"};
	size_t had;

	do {
		had = n;
		for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++)
			(void)ends(path, n, copies[i], &n);
		/* x.php5, x.php.1 */
		while (n && path[n - 1] >= '0' && path[n - 1] <= '9')
			n--;
	} while (n < had);
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (ends(path, n, sources[i], &n))
			return true;
	return false;
}

/* 0: a regular file; else -errno. */
static int look_at(const struct look *k, const char *path, size_t n)
{
	struct file *f;
	int err = filecache_get(k->r->gate, k->root, k->root_len, path, n, &f);

	if (err == 0)
		file_release(k->r->gate, f);
	return err;
}

/* What the backend is told: `path` below its folder, n bytes, and info behind it. False: no memory. */
static bool run_script(struct look *k, const char *path, size_t n, const char *info, size_t info_len)
{
	struct req *r = k->r;
	struct up_script *s = arena_zalloc(&r->arena, sizeof(*s));
	const char *root = snap_str(r->snap, k->u->root, NULL);
	size_t strip, before;
	char *name;

	if (!*root)
		root = k->root;
	(void)static_path(r, &strip);
	before = r->path_len - strip;
	name = arena_alloc(&r->arena, before + n + 1);
	if (!s || !name)
		return false;
	memcpy(name, r->path, before);
	n = target_merge(name + before, path, n);
	name[before + n] = 0;
	*s = (struct up_script){
		.name = name,
		.root = root,
		.info = arena_strndup(&r->arena, info, info_len),
		.file = arena_printf(&r->arena, "%s%s", root, name + before),
	};
	r->script = s;
	return s->info && s->file;
}

static enum phase_end take(struct look *k, bool good)
{
	if (good)
		return PHASE_NEXT;
	req_fail(k->r, CLOSE_NO_MEMORY, 0);
	return PHASE_ANSWERED;
}

/* A script that the path names, alone or with more behind it. */
static bool find_script(struct look *k, const char *path, size_t n, enum phase_end *ret)
{
	for (size_t at = 1; at <= n; at++) {
		if (at < n && path[at] != '/')
			continue;
		if (at < ENDING + 1 || memcmp(path + at - ENDING, ending, ENDING) != 0 ||
			path[at - ENDING - 1] == '/' || look_at(k, path, at) < 0)
			continue;
		*ret = take(k, run_script(k, path, at, path + at, n - at));
		return true;
	}
	return false;
}

/* A folder, with or without its slash: its Index=, else a page of the route's Index=. */
static bool find_index(struct look *k, const char *path, size_t n, enum phase_end *ret)
{
	struct req *r = k->r;
	bool slash = path[n - 1] == '/';
	char *with = arena_printf(&r->arena, "%.*s/%s", (int)(n - slash), path, k->index);
	char *folder = arena_printf(&r->arena, "%.*s/", (int)(n - slash), path);
	bool script = with && look_at(k, with, strlen(with)) == 0;

	if (!with || !folder) {
		*ret = take(k, false);
		return true;
	}
	if (!script && !static_exists(r, folder, strlen(folder)))
		return false;
	if (!slash) {
		static_redirect(r);
		*ret = PHASE_ANSWERED;
	} else if (script) {
		*ret = take(k, run_script(k, with, strlen(with), "", 0));
	} else {
		r->file_path = folder;
		r->handler = HANDLER_STATIC;
		*ret = PHASE_NEXT;
	}
	return true;
}

/* Whatever the path names. False: nothing. */
static bool find(struct look *k, const char *path, size_t n, enum phase_end *ret)
{
	struct req *r = k->r;
	int err;

	if (n == 0 || *path != '/' || static_is_hidden(path, n))
		return false;
	if (find_script(k, path, n, ret))
		return true;
	if (path[n - 1] == '/')
		return find_index(k, path, n, ret);
	err = look_at(k, path, n);
	if (err == -EISDIR)
		return find_index(k, path, n, ret);
	if (err < 0 || script_is_source(path, n))
		return false;
	r->file_path = path;
	r->handler = HANDLER_STATIC;
	*ret = PHASE_NEXT;
	return true;
}

static enum phase_end front_controller(struct look *k)
{
	char *path = arena_printf(&k->r->arena, "/%s", k->index);
	enum phase_end end;

	if (!path)
		return take(k, false);
	if (!k->root_len)
		return take(k, run_script(k, path, strlen(path), "", 0));
	if (find_script(k, path, strlen(path), &end))
		return end;
	req_fail(k->r, CLOSE_NOT_FOUND, 0);
	return PHASE_ANSWERED;
}

/* TryFiles= in its order; its own end, or none: then who answers is the front controller. */
static enum phase_end try_files(struct look *k)
{
	struct req *r = k->r;
	const struct snap_str *entry;
	enum phase_end end;

	for (uint32_t i = 0; (entry = snap_item(r->snap, r->route->try_files, i, sizeof(*entry))); i++) {
		const char *text = snap_str(r->snap, *entry, NULL), *path;
		size_t n;

		if (*text == '=') {
			req_fail(r, tryfiles_close(text + 1), 0);
			return PHASE_ANSWERED;
		}
		path = tryfiles_candidate(r, text, &n);
		if (!path)
			return take(k, false);
		if (find(k, path, n, &end))
			return end;
	}
	return front_controller(k);
}

enum phase_end phase_script(struct req *r)
{
	struct look k = {.r = r};
	enum phase_end end;
	const char *path;
	size_t n;

	if (r->handler)
		return PHASE_NEXT;
	k.u = snap_upstream(r->snap, r->route->upstream);
	if (!k.u || !k.u->index.len)
		return PHASE_NEXT;
	k.root = snap_str(r->snap, r->route->root, &k.root_len);
	k.index = snap_str(r->snap, k.u->index, &k.index_len);
	if (!k.root_len)
		return front_controller(&k);
	path = static_path(r, &n);
	if (static_is_hidden(path, n)) {
		req_fail(r, CLOSE_NOT_FOUND, 0);
		return PHASE_ANSWERED;
	}
	if (n == 0) {
		static_redirect(r);
		return PHASE_ANSWERED;
	}
	if (r->route->try_files.n)
		return try_files(&k);
	return find(&k, path, n, &end) ? end : front_controller(&k);
}
