/*
 * archive.h: all of an instance as one stream of bytes (`stead backup`): written by write.c, read
 * by read.c.
 *
 * All numbers are little-endian. A head of ARCHIVE_HEAD_BYTES: "STEADB01", u32 the format's
 * version, u32 the oldest version that reads it, u64 bytes of the file, u64 bytes of content, u64
 * entries, u64 when (µs since 1970), stead's version (48 bytes) and the host's name (256 bytes) as
 * texts padded with NUL, zeros, and in the last 32 bytes the SHA-256 of what is before. Then
 * records of ARCHIVE_RECORD_BYTES: u8 kind, u8 0, u16 mode, u16 bytes of the path, u16 bytes of the
 * second text, u16 owner, u16 group, u32 0, u64 when it was changed (µs since 1970), u64 a, u64 b;
 * the path and the second text follow.
 *
 *   PART      a part begins: the path is its kind and what of ("app shop"), the second text the
 * user of that app NAME      a user (mode 0) or a group (mode 1): the path is its name. The n-th of
 * its kind has the number n, from 0 on, in the parts that follow too FOLDER    its path; it comes
 * before what is in it FILE      its path; pieces follow: u64 bytes and so many bytes, or u64
 * PIECE_HOLE | bytes, which are all zero; 0 ends it LINK      its path; the second text is its
 * target PART_END  a: bytes of content, b: entries; then the SHA-256 of the part, from its PART to
 * here END       a: parts; then the SHA-256 of the head, of all sums of parts and of this record
 *
 * Paths are relative, without an empty, "." or ".." part, of at most ARCHIVE_PATH_MAX bytes and
 * ARCHIVE_DEPTH_MAX parts. A byte that is changed, lost or added anywhere is seen; nothing proves
 * who wrote it.
 */
#ifndef STEAD_BACKUP_ARCHIVE_H
#define STEAD_BACKUP_ARCHIVE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum archive_kind {
	ARCHIVE_NAME = 1,
	ARCHIVE_PART,
	ARCHIVE_FOLDER,
	ARCHIVE_FILE,
	ARCHIVE_LINK,
	ARCHIVE_PART_END,
	ARCHIVE_END,
};
enum {
	ARCHIVE_FORMAT = 1,
	ARCHIVE_HEAD_BYTES = 512,
	ARCHIVE_RECORD_BYTES = 40,
	ARCHIVE_SUM_BYTES = 32,
	ARCHIVE_PATH_MAX = 4095,
	ARCHIVE_DEPTH_MAX = 60,
	ARCHIVE_NAMES_MAX = 4096, /* users, and groups */
	ARCHIVE_NAME_MAX = 64,
	ARCHIVE_PART_MAX = 4095 /* of the state it has its folder */,
	ARCHIVE_PIECE_MAX = 1 << 20,
	ARCHIVE_VERSION_BYTES = 48,
	ARCHIVE_HOST_BYTES = 256,
};
#define ARCHIVE_PIECE_HOLE (1ull << 63)
#define ARCHIVE_FILE_MAX (1ull << 45) /* bytes of one file, holes too */

struct archive_head {
	uint32_t format, min_reader;
	uint64_t file_bytes, content_bytes, entries, made_us;
	char version[ARCHIVE_VERSION_BYTES], host[ARCHIVE_HOST_BYTES];
};
struct archive_entry {
	enum archive_kind kind;      /* FOLDER, FILE or LINK */
	uint16_t mode, owner, group; /* owner, group: numbers of NAMEs */
	uint64_t changed_us;
	const char *path, *target;
};
struct archive_part {
	const char *name, *user;
	uint64_t bytes, entries;
	uint8_t sum[ARCHIVE_SUM_BYTES];
};

/* ---- write.c ---- */
struct archive_out {
	int fd;
	int err; /* -errno: what failed first, whatever is put then is dropped */
	struct archive_head head;
	EVP_MD_CTX *part_sum, *all_sum;
	struct archive_part part;
	uint64_t parts;
	char (*names[2])[ARCHIVE_NAME_MAX];
	unsigned names_n[2];
	uint8_t *mem; /* what waits to be written */
	size_t mem_n;
};
/* To fd, which is a new file and stays the caller's. 0 or -ENOMEM; archive_out_done() in each case.
 */
int archive_out_init(struct archive_out *o, int fd);
void archive_out_done(struct archive_out *o);
void archive_put_part(struct archive_out *o, const char *name, const char *user);
void archive_put_part_end(struct archive_out *o);
/* The number of that user's (0) or group's (1) name. */
uint16_t archive_put_name(struct archive_out *o, unsigned group, const char *name);
/* A folder, a link, or the beginning of a file, behind which come pieces and archive_put_end(). */
void archive_put_entry(struct archive_out *o, const struct archive_entry *e);
void archive_put_piece(struct archive_out *o, const void *p, size_t n);
void archive_put_hole(struct archive_out *o, uint64_t n);
void archive_put_end(struct archive_out *o);
/* The last record and the head, all of it on the disk. 0 or what failed first. */
int archive_out_close(struct archive_out *o);

/* ---- read.c ---- */
/* Each 0 or a negative errno, which ends the reading and is what archive_feed() returns. Each may
 * be NULL. */
struct archive_ops {
	int (*head)(void *arg, const struct archive_head *h);
	int (*name)(void *arg, unsigned group, const char *name);
	int (*part)(void *arg, const struct archive_part *p);
	int (*entry)(void *arg, const struct archive_entry *e);
	int (*piece)(void *arg, const void *p, size_t n); /* p NULL: that many zeros */
	int (*end)(void *arg);                            /* of a file */
	int (*part_end)(void *arg, const struct archive_part *p);
};
struct archive_in {
	const struct archive_ops *ops;
	void *arg;
	const char *why; /* a constant, when it is malformed */
	struct archive_head head;
	/* private */
	uint8_t mem[ARCHIVE_RECORD_BYTES + ARCHIVE_PATH_MAX + ARCHIVE_PATH_MAX + 2];
	uint8_t head_mem[ARCHIVE_HEAD_BYTES];
	char path[ARCHIVE_PATH_MAX + 1], target[ARCHIVE_PATH_MAX + 1];
	char part_name[ARCHIVE_PART_MAX + 1], part_user[ARCHIVE_NAME_MAX];
	size_t have, need;
	uint64_t left, file_bytes; /* of the piece; of the file so far */
	uint64_t read, content, entries, parts;
	unsigned names_n[2];
	struct archive_part part;
	EVP_MD_CTX *part_sum, *all_sum;
	uint8_t at; /* what comes next */
	bool in_part;
};
/* 0 or -ENOMEM; archive_in_done() in each case. */
int archive_in_init(struct archive_in *in, const struct archive_ops *ops, void *arg);
void archive_in_done(struct archive_in *in);
/* The next bytes. 1: it is whole; 0: more is to come; -EBADMSG with `why`, also for bytes behind
 * the end; -EPROTONOSUPPORT with `why`: a newer version wrote it; an op's error. */
int archive_feed(struct archive_in *in, const void *bytes, size_t n);
/* May an entry have this path? */
bool archive_path_valid(const char *path);

#endif
