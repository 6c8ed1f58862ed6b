/*
 * filecache.h: files that are served, open or in memory, bounded.
 *
 * An entry is looked at again (stat) when it is a second old, so a changed file is served changed
 * within a second. Whoever got one holds it until file_release(), however the cache changes
 * meanwhile.
 */
#ifndef STEAD_GATE_FILECACHE_H
#define STEAD_GATE_FILECACHE_H

#include "gate.h"

enum {
	FILE_SMALL_MAX =
		16 * 1024, /* contents up to this are kept in memory, without a descriptor */
	FILE_ENTRIES_MAX = 2048,
	FILE_MEMORY_MAX = 8 * 1024 * 1024,
	FILE_FDS_MAX = 512,
};

struct file {
	int fd;           /* -1 when body is set */
	const char *body; /* all of it, or NULL */
	uint64_t size;
	int64_t mtime_s;
	const char *type;
	uint32_t type_len, etag_len;
	char etag[64];     /* with its quotes; strong */
	char modified[32]; /* Last-Modified, HTTP_DATE_BYTES */
	unsigned refs;
	bool text;        /* its type is worth encoding (encoding_worth()) */
	uint8_t siblings; /* bit per enum coding: the same file encoded lies beside it (NAME.br …) */
};

int filecache_new(struct gate *g);
void filecache_free(struct gate *g);
/* The regular file `path` (decoded, begins with '/') below the folder `root` (absolute). No symlink
 * leads out of the folder. -EISDIR: a folder; -ENOENT: nothing, or nothing that is served; -EACCES;
 * else -errno. On 0 the file is held for the caller. */
int filecache_get(struct gate *g, const char *root, size_t root_len, const char *path,
	size_t path_len, struct file **ret_file);
void file_release(struct gate *g, struct file *f);
/* The path below its folder that it was found by. */
const char *filecache_path(const struct file *f);
/* The folder `path` (ends with its slash) below `root`, opened for the caller. -ENOENT: there is none. */
int filecache_folder(struct gate *g, const char *root, size_t root_len, const char *path, size_t path_len, int *ret_fd);

#endif
