/*
 * tryfiles.c: see tryfiles.h. Called by phases.c. Owns nothing. $uri is the request's path below
 * Root=, decoded and without dot segments, so no entry leads out of the folder.
 */
#include "tryfiles.h"
#include "gate.h"
#include "to_static.h"

#include <string.h>

/* What has no close of its own is "not found". */
enum close_id tryfiles_close(const char *code)
{
	static const struct {
		const char *code;
		enum close_id close;
	} all[] = {{"400", CLOSE_BAD_TARGET}, {"403", CLOSE_FORBIDDEN}, {"404", CLOSE_NOT_FOUND},
		{"405", CLOSE_BAD_METHOD}, {"503", CLOSE_MAINTENANCE}};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(code, all[i].code) == 0)
			return all[i].close;
	return CLOSE_NOT_FOUND;
}

const char *tryfiles_candidate(struct req *r, const char *text, size_t *ret_len)
{
	const char *uri, *made;
	size_t n;

	if (strncmp(text, "$uri", 4) != 0) {
		*ret_len = strlen(text);
		return text;
	}
	uri = static_path(r, &n);
	made = arena_printf(&r->arena, "%.*s%s", (int)n, uri, text + 4);
	if (!made)
		return NULL;
	n = strlen(made);
	/* "$uri/" of "/a/" is "/a/". */
	if (n > 1 && made[n - 1] == '/' && made[n - 2] == '/')
		((char *)made)[--n] = 0;
	*ret_len = n;
	return made;
}

enum phase_end phase_try_files(struct req *r)
{
	const struct snap_str *entry;

	if (r->script || r->handler ||
		(r->method != METHOD_GET && r->method != METHOD_HEAD))
		return PHASE_NEXT;
	for (uint32_t i = 0; (entry = snap_item(r->snap, r->route->try_files, i, sizeof(*entry)));
		i++) {
		const char *text = snap_str(r->snap, *entry, NULL), *path;
		size_t n;

		if (*text == '=') {
			req_fail(r, tryfiles_close(text + 1), 0);
			return PHASE_ANSWERED;
		}
		path = tryfiles_candidate(r, text, &n);
		if (!path) {
			req_fail(r, CLOSE_NO_MEMORY, 0);
			return PHASE_ANSWERED;
		}
		if (!static_exists(r, path, n))
			continue;
		r->file_path = path;
		r->handler = HANDLER_STATIC;
		return PHASE_NEXT;
	}
	return PHASE_NEXT;
}
