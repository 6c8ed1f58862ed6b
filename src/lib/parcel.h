/*
 * parcel.h: a folder as a stream of bytes, so that whoever may read it and whoever writes it need not be the same.
 *
 * All numbers are little-endian. A head: "STEADP01", u64 bytes of all files, u32 entries, u32 0. Then entries: u8 kind,
 * u8 flags, u16 bytes of the path, u32 0, u64 size, the path, and `size` bytes: a file's content, a symbolic link's
 * target, nothing for a folder. A folder comes before what is in it. The last entry is PARCEL_END, without path and size.
 *
 * The reader takes any pieces. What it hands on has a path of 1 to 4095 bytes that is relative and has no empty, "." or ".."
 * part, no part above 255 bytes, no byte below a blank, and at most PARCEL_DEPTH_MAX parts; a link's target is relative
 * and does not lead out of the folder by its words.
 */
#ifndef STEAD_LIB_PARCEL_H
#define STEAD_LIB_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum parcel_kind { PARCEL_FOLDER = 1, PARCEL_FILE = 2, PARCEL_LINK = 3, PARCEL_END = 4 };
enum {
	PARCEL_HEAD_BYTES = 24,
	PARCEL_ENTRY_BYTES = 16,
	PARCEL_PATH_MAX = 4095,
	PARCEL_DEPTH_MAX = 64,
	PARCEL_ENTRIES_MAX = 200000,
	PARCEL_EXECUTABLE = 1, /* flag of a file */
};
#define PARCEL_BYTES_MAX (16ull << 30)

struct parcel_entry {
	enum parcel_kind kind;
	bool executable;
	const char *path, *target; /* target: of a link, else "" */
	uint64_t size;             /* of a file */
};

/* Each 0 or a negative errno, which ends the reading and is what parcel_feed() returns. */
struct parcel_ops {
	int (*head)(void *arg, uint64_t bytes, uint32_t entries);
	/* A folder or a link is whole; behind a file come its bytes, then end(). */
	int (*entry)(void *arg, const struct parcel_entry *e);
	int (*data)(void *arg, const void *p, size_t n);
	int (*end)(void *arg);
};

struct parcel {
	const struct parcel_ops *ops;
	void *arg;
	const char *why; /* a constant, when it is malformed */
	/* private */
	char mem[PARCEL_ENTRY_BYTES + 2 * (PARCEL_PATH_MAX + 1)];
	size_t have, need; /* of what is gathered now */
	uint64_t left;     /* of the file that comes */
	uint64_t bytes, told_bytes;
	uint32_t entries, told_entries;
	uint8_t at; /* what comes next */
};

void parcel_init(struct parcel *p, const struct parcel_ops *ops, void *arg);
/* The next bytes. 1: it is whole; 0: more is to come; -EBADMSG with `why`, also for bytes behind the end; an op's error. */
int parcel_feed(struct parcel *p, const void *bytes, size_t n);

/* May an entry have this path, and a link there this target? */
bool parcel_path_valid(const char *path);
bool parcel_target_valid(const char *path, const char *target);
/* Head and entry as they are written; the path, and target or content, follow. */
void parcel_put_head(uint8_t ret[PARCEL_HEAD_BYTES], uint64_t bytes, uint32_t entries);
void parcel_put_entry(uint8_t ret[PARCEL_ENTRY_BYTES], enum parcel_kind kind, bool executable, size_t path_len,
	uint64_t size);

#endif
