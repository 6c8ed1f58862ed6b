/*
 * package.c: a package.json (npm's format) in the few words that say how its app is started.
 *
 * package_work() runs in a child that can only compute (parse.c), because the file is somebody's
 * JSON; what it packs is input to package_take() again. Names that become parts of a path are held
 * to npm's own alphabet on both sides. Knows nothing of the folder: what of it is there,
 * detect_program.c looks up.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/must.h"
#include "program_files.h"

enum { NAME_BYTES_MAX = 214 }; /* npm's own bound */

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~", c) != NULL);
}

/* NAME or @SCOPE/NAME; neither part begins with a dot. */
static bool is_package_name(const char *name)
{
	size_t n = strlen(name), slashes = 0;
	bool begins = true;

	if (n == 0 || n > NAME_BYTES_MAX)
		return false;
	for (const char *p = name[0] == '@' ? name + 1 : name; *p != '\0'; p++) {
		if (begins ? *p == '.' || !name_char(*p) : *p != '/' && !name_char(*p))
			return false;
		begins = *p == '/';
		slashes += begins;
	}
	return !begins && slashes == (name[0] == '@');
}

bool is_inside_path(const char *path)
{
	if (path[0] == '\0' || path[0] == '/' || strlen(path) >= PATH_MAX / 4)
		return false;
	for (const char *p = path; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || strncmp(p, "..", 2) == 0)
			return false;
	return true;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : "";
}

static void put_names(const json_t *deps, struct buf *ret)
{
	uint32_t n = 0;
	const char *name;
	json_t *version;

	json_object_foreach((json_t *)deps, name, version) n +=
		n < PACKAGE_DEPS_MAX && is_package_name(name);
	pack_u32(ret, n);
	json_object_foreach((json_t *)deps, name, version) if (n > 0 && is_package_name(name))
	{
		pack_str(ret, name);
		n--;
	}
}

void package_work(const char *text, size_t n, struct buf *ret)
{
	static const char bom[] = "\xef\xbb\xbf";
	json_error_t why;
	json_t *top, *scripts;

	if (n >= 3 && memcmp(text, bom, 3) == 0) {
		text += 3;
		n -= 3;
	}
	top = json_loadb(text, n, 0, &why);
	if (!json_is_object(top)) {
		pack_u32(ret, 0);
		pack_u32(ret, top == NULL && why.line > 0 ? (uint32_t)why.line : 1);
		pack_u32(ret, top == NULL && why.column > 0 ? (uint32_t)why.column : 1);
		pack_str(ret, top == NULL ? why.text : "it is no object: { } is missing around it");
		json_decref(top);
		return;
	}
	scripts = json_object_get(top, "scripts");
	pack_u32(ret, 1);
	line_pack(text_of(scripts, "start"), ret);
	pack_u32(ret, *text_of(scripts, "prestart") != '\0');
	pack_u32(ret, *text_of(scripts, "build") != '\0');
	pack_str(ret, is_inside_path(text_of(top, "main")) ? text_of(top, "main") : "");
	put_names(json_object_get(top, "dependencies"), ret);
	json_decref(top);
}

bool package_take(const char *p, size_t n, struct package *ret)
{
	struct unpack u;

	*ret = (struct package){.why = "", .main = ""};
	unpack_init(&u, p, n);
	if (unpack_u32(&u) == 0) {
		ret->line = unpack_u32(&u);
		ret->col = unpack_u32(&u);
		ret->why = unpack_str(&u);
		return unpack_done(&u) && ret->line > 0;
	}
	if (!line_take(&u, &ret->start))
		return false;
	ret->prestart = unpack_u32(&u) != 0;
	ret->build = unpack_u32(&u) != 0;
	ret->main = unpack_str(&u);
	ret->ndeps = unpack_u32(&u);
	if (u.bad || ret->ndeps > PACKAGE_DEPS_MAX ||
		(ret->main[0] != '\0' && !is_inside_path(ret->main)))
		return false;
	for (unsigned i = 0; i < ret->ndeps; i++) {
		ret->deps[i] = unpack_str(&u);
		if (u.bad || !is_package_name(ret->deps[i]))
			return false;
	}
	return unpack_done(&u);
}
