/*
 * parcel.c: see parcel.h. The reader keeps no more than one entry's head, path and target; content goes through.
 */
#include "lib/parcel.h"

#include <errno.h>
#include <string.h>

#include "lib/must.h"

static const char magic[8] = {'S', 'T', 'E', 'A', 'D', 'P', '0', '1'};

enum { AT_HEAD = 0, AT_ENTRY, AT_NAMES, AT_DATA, AT_END };

static uint64_t get(const char *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = bytes; i-- > 0;)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

static void put(uint8_t *p, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

void parcel_put_head(uint8_t ret[PARCEL_HEAD_BYTES], uint64_t bytes, uint32_t entries)
{
	memset(ret, 0, PARCEL_HEAD_BYTES);
	memcpy(ret, magic, sizeof magic);
	put(ret + 8, 8, bytes);
	put(ret + 16, 4, entries);
}

void parcel_put_entry(
	uint8_t ret[PARCEL_ENTRY_BYTES], enum parcel_kind kind, bool executable, size_t path_len, uint64_t size)
{
	memset(ret, 0, PARCEL_ENTRY_BYTES);
	ret[0] = (uint8_t)kind;
	ret[1] = executable ? PARCEL_EXECUTABLE : 0;
	put(ret + 2, 2, path_len);
	put(ret + 8, 8, size);
}

bool parcel_path_valid(const char *path)
{
	unsigned parts = 0;

	if (strlen(path) > PARCEL_PATH_MAX)
		return false;
	for (;; path++) {
		size_t n = strcspn(path, "/");

		if (n == 0 || n > 255 || ++parts > PARCEL_DEPTH_MAX || (n == 1 && path[0] == '.') ||
			(n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)path[i] < ' ')
				return false;
		path += n;
		if (!*path)
			return true;
	}
}

bool parcel_target_valid(const char *path, const char *target)
{
	int depth = 0;

	if (!*target || *target == '/' || strlen(target) > PARCEL_PATH_MAX)
		return false;
	for (; *path; path++)
		depth += *path == '/';
	for (; *target; target += *target == '/') {
		size_t n = strcspn(target, "/");

		for (size_t i = 0; i < n; i++)
			if ((unsigned char)target[i] < ' ')
				return false;
		if (n == 2 && target[0] == '.' && target[1] == '.')
			depth--;
		else if (n != 0 && !(n == 1 && target[0] == '.'))
			depth++;
		if (depth < 0)
			return false;
		target += n;
	}
	return true;
}

static int bad(struct parcel *p, const char *why)
{
	p->why = why;
	return -EBADMSG;
}

void parcel_init(struct parcel *p, const struct parcel_ops *ops, void *arg)
{
	memset(p, 0, sizeof *p);
	p->ops = ops;
	p->arg = arg;
	p->need = PARCEL_HEAD_BYTES;
}

static void expect(struct parcel *p, uint8_t at, size_t need)
{
	p->at = at;
	p->have = 0;
	p->need = need;
}

static int got_head(struct parcel *p)
{
	if (memcmp(p->mem, magic, sizeof magic) != 0 || get(p->mem + 20, 4) != 0)
		return bad(p, "it does not begin as a folder from stead");
	p->told_bytes = get(p->mem + 8, 8);
	p->told_entries = (uint32_t)get(p->mem + 16, 4);
	if (p->told_bytes > PARCEL_BYTES_MAX)
		return bad(p, "the folder is too large");
	if (p->told_entries > PARCEL_ENTRIES_MAX)
		return bad(p, "the folder holds too many files");
	expect(p, AT_ENTRY, PARCEL_ENTRY_BYTES);
	return p->ops->head(p->arg, p->told_bytes, p->told_entries);
}

static int got_entry(struct parcel *p)
{
	uint8_t kind = (uint8_t)p->mem[0], flags = (uint8_t)p->mem[1];
	size_t path = (size_t)get(p->mem + 2, 2);
	uint64_t size = get(p->mem + 8, 8);

	if (kind < PARCEL_FOLDER || kind > PARCEL_END || get(p->mem + 4, 4) != 0 ||
		flags > (kind == PARCEL_FILE ? PARCEL_EXECUTABLE : 0))
		return bad(p, "an entry is of no kind that is known");
	if (kind == PARCEL_END) {
		if (path || size || p->bytes != p->told_bytes || p->entries != p->told_entries)
			return bad(p, "it does not hold what it said at the beginning");
		expect(p, AT_END, 0);
		return 1;
	}
	if (++p->entries > p->told_entries)
		return bad(p, "it holds more entries than it said");
	if (path == 0 || path > PARCEL_PATH_MAX || (kind == PARCEL_FOLDER && size) ||
		(kind == PARCEL_LINK && (size == 0 || size > PARCEL_PATH_MAX)))
		return bad(p, "an entry's length is out of bounds");
	if (kind == PARCEL_FILE && (size > p->told_bytes || p->bytes > p->told_bytes - size))
		return bad(p, "it holds more bytes than it said");
	p->at = AT_NAMES;
	p->need += path + (kind == PARCEL_LINK ? (size_t)size : 0);
	return 0;
}

static int got_names(struct parcel *p)
{
	char path[PARCEL_PATH_MAX + 1], target[PARCEL_PATH_MAX + 1] = "";
	size_t n = (size_t)get(p->mem + 2, 2), rest = p->need - PARCEL_ENTRY_BYTES - n;
	struct parcel_entry e = {.kind = (enum parcel_kind)p->mem[0],
		.executable = p->mem[1] & PARCEL_EXECUTABLE,
		.path = path,
		.target = target};
	int r;

	must(n <= PARCEL_PATH_MAX && rest <= PARCEL_PATH_MAX);
	memcpy(path, p->mem + PARCEL_ENTRY_BYTES, n);
	path[n] = '\0';
	memcpy(target, p->mem + PARCEL_ENTRY_BYTES + n, rest);
	target[rest] = '\0';
	if (strlen(path) != n || strlen(target) != rest || !parcel_path_valid(path))
		return bad(p, "a path in it leads out of the folder, or is none");
	if (e.kind == PARCEL_LINK && !parcel_target_valid(path, target))
		return bad(p, "a symbolic link in it leads out of the folder");
	e.size = e.kind == PARCEL_FILE ? get(p->mem + 8, 8) : 0;
	expect(p, AT_ENTRY, PARCEL_ENTRY_BYTES);
	r = p->ops->entry(p->arg, &e);
	if (r < 0 || e.kind != PARCEL_FILE)
		return r;
	p->bytes += e.size;
	p->left = e.size;
	if (p->left == 0)
		return p->ops->end(p->arg);
	p->at = AT_DATA;
	return 0;
}

static int got_data(struct parcel *p, const char *bytes, size_t n)
{
	int r = p->ops->data(p->arg, bytes, n);

	p->left -= n;
	if (r < 0 || p->left)
		return r;
	p->at = AT_ENTRY;
	return p->ops->end(p->arg);
}

static int gathered(struct parcel *p)
{
	switch (p->at) {
	case AT_HEAD:
		return got_head(p);
	case AT_ENTRY:
		return got_entry(p);
	default:
		return got_names(p);
	}
}

int parcel_feed(struct parcel *p, const void *bytes, size_t n)
{
	const char *from = bytes;
	int r = p->at == AT_END ? 1 : 0;

	while (n && r == 0) {
		size_t take;

		if (p->at == AT_DATA) {
			take = p->left < n ? (size_t)p->left : n;
			r = got_data(p, from, take);
		} else {
			take = p->need - p->have < n ? p->need - p->have : n;
			memcpy(p->mem + p->have, from, take);
			p->have += take;
			if (p->have == p->need)
				r = gathered(p);
		}
		from += take;
		n -= take;
	}
	if (r == 1 && n)
		return bad(p, "something follows its end");
	return r;
}
