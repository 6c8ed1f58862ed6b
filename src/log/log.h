/*
 * log.h: everything of the log process in one page.
 *
 *   struct ring    one writing process's ring, as a slot of the page that writers look at
 *   struct stream  one app process's stdout or stderr
 *   struct notify  where one run of an app's program says that it is ready
 *   struct store   the bounded files in STATE/log
 *   struct query   somebody who wants lines, and perhaps what comes after
 *
 * A line in the store is one JSON object that begins {"ts":"2026-01-02T03:04:05.678901Z","kind":"…"
 * with kind access, app or event, so that time compares as text. What comes in is untrusted: apps'
 * output, and what a gate wrote.
 */
#ifndef STEAD_LOG_LOG_H
#define STEAD_LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/chan.h"
#include "lib/logring.h"
#include "lib/loop.h"
#include "record/record.h"
#include "tbl/tbl.h"

enum log_op { OP_WAKE = OP_USER, OP_REST, OP_STREAM, OP_TELL, OP_PUMP, OP_NOTIFY, OP_NOTIFY_REST, LOG_OP_KINDS };

enum {
	STORE_FILES = 5,
	STORE_FILE_MIB = 40, /* until ctl has told LogMax= */
	STORE_BATCH_BYTES = 1024 * 1024, /* built before it is written */
	LINE_BYTES_MAX = 8 * 1024,       /* of an app's output; a longer one is cut in pieces */
	RECORD_BYTES_MAX = 56 * 1024,    /* a line in the store: fits one message */
	STREAMS_MAX =
		4096, /* two of each process that there can be, and the old ones beside them */
	STREAM_RATE_BYTES = 1024 * 1024, /* a second, per app process; bursts of four times that */
	QUERIES_MAX = 64,
	QUERY_LINES_MAX = 10000,
	QUERY_BYTES_MAX = 8 * 1024 * 1024,
	REST_MS = 50,    /* at most between two looks while there is work … */
	REST_MS_MIN = 3, /* … and under the highest load */
	REST_MS_START = 10,
	RING_LITTLE_BYTES = 16 * 1024, /* found in a look: the next may come later */
	RING_MUCH_BYTES = 64 * 1024,   /* sooner, before the writer overtakes it */
	SINCE_SLACK_S = 3600,          /* how far lines may stand out of order */
	TS_LEN = 27,
};

struct log;

/* ---- store.c ---- */
struct store {
	int dir_fd, fd;
	uint64_t bytes;      /* of the current file */
	uint64_t file_bytes; /* of each at most */
	struct buf batch;    /* whole lines not written yet */
	uint64_t lost_bytes; /* not written: the disk is full or failing */
	uint64_t lost_told;  /* of these; line.c's */
	uint64_t error_count;
	bool half;    /* the file ends in half a line */
	bool failing; /* the last batch was not written whole */
};
/* Takes dir_fd. Never fails for good: a store that cannot write counts what it lost. */
void store_open(struct store *s, int dir_fd);
void store_close(struct store *s);
/* LogMax=: all files together take at most so many MiB, and what is too much goes now, the oldest first. 0: as it was. */
void store_bound(struct store *s, uint32_t max_mib);
/* One line with its newline, to the batch. */
void store_put(struct store *s, const char *line, size_t n);
/* Write the batch. */
void store_flush(struct store *s);
/* Calls `each` for every stored line, newest first, until it returns false. */
void store_back(struct store *s, bool (*each)(void *arg, const char *line, size_t n), void *arg);

/* ---- journal.c: events to the system's journal; only of a machine's server ---- */
struct journal {
	bool on;
	int fd;
	uint64_t lost;
	struct buf message;
	char mem[48 * 1024];
};
void journal_on(struct journal *j);
void journal_off(struct journal *j);
/* One event as a ring brought it. Never waits. */
void journal_event(struct journal *j, const void *event, size_t n);
/* The datagram of that event, into b. False: it is malformed, or does not fit. */
bool journal_render(struct buf *b, const void *event, size_t n);
/* One field, its value by length. */
void journal_put(struct buf *b, const char *name, const char *value, size_t n);

/* ---- json.c ---- */
/* Is this what stands behind the opening brace of one JSON object on one line, to its end? */
bool json_is_members(const char *p, size_t n);

/* ---- render.c: what came in, as a line ---- */
/* "2026-01-02T03:04:05.678901Z" of µs since 1970. */
void render_time(uint64_t wall_us, char ret[TS_LEN + 1]);
/* All append one line with its newline to b; what is malformed is wrapped, not refused. */
void render_event(struct buf *b, uint64_t wall_us, const void *p, size_t n);
void render_access(struct buf *b, struct record_lines *lines, uint64_t wall_us, const char *p, size_t n);
struct stream;
void render_stream(
	struct buf *b, uint64_t wall_us, const struct stream *st, unsigned level, const char *p, size_t n);
struct notify;
/* What an app's program says of itself. */
void render_status(struct buf *b, uint64_t wall_us, const struct notify *from, int pid, const char *p, size_t n);
/* A record of the log's own. */
/* records: how many of them were access records, which are numbered. */
void render_dropped(struct buf *b, uint64_t wall_us, const char *ring, uint64_t bytes, uint64_t records);
void render_ring_broken(struct buf *b, uint64_t wall_us, const char *ring);
/* An app's output that nobody reads, and why. */
void render_refused(struct buf *b, uint64_t wall_us, const struct stream *st, const char *why);
/* Stands where a reader was too slow for what it follows. */
void render_gap(struct buf *b, uint64_t wall_us);

/* ---- rings.c ---- */
struct ring {
	struct logring_reader reader;
	uint64_t generation;
	uint32_t role, index;
	uint64_t dropped_told;
	uint64_t next; /* the number of the access record that is due; 0: not known */
	uint64_t lost; /* access records; not told yet */
	bool open;
};
int rings_init(struct log *g);
void rings_done(struct log *g);
/* The page of the log process before this one: its tails. The descriptor stays the caller's. */
void rings_inherit(struct log *g, int page_fd);
void rings_add(struct log *g, struct msg *m);
/* Everything that is in the rings now. True when there was anything. */
bool rings_drain(struct log *g);
op_done rings_on_wake, rings_on_rest;

/* ---- streams.c ---- */
struct stream {
	struct stream *next;
	struct log *log;
	struct lfd lfd;
	struct op op;
	struct buf line;
	struct msg_stream info;
	char app[64];
	uint64_t tokens, tokens_ms; /* rate bound */
	uint64_t dropped, told_ms;
	struct timer tell; /* while there is something to tell and it is too soon */
	bool skipping; /* the line that is being read lost a part: its rest goes too */
};
void streams_add(struct log *g, struct msg *m);
/* What that app ("": any) has written and nobody has read yet, as far as a turn's bound goes: who asks for its last words just
 * behind its end has them. */
void streams_look(struct log *g, const char *app);
/* The last bytes before the end of this process. */
void streams_finish(struct log *g);
op_done streams_on_readable, streams_on_tell;

/* ---- notify.c ---- */
struct notify {
	struct notify *next;
	struct log *log;
	struct lfd lfd;
	struct op op;
	struct timer rest; /* it said much: the rest waits */
	struct msg_service info;
	char app[64], status[256]; /* the last STATUS= */
	size_t status_n;
	pid_t status_pid;
};
void notify_add(struct log *g, struct msg *m);
void notify_end(struct log *g, const struct msg *m);
void notify_done(struct log *g);
/* A new ctl: the last STATUS= of each. */
void notify_tell_all(struct log *g);
/* One datagram of sd_notify(3). */
struct said {
	uint32_t what; /* bits of enum service_said */
	const char *status; /* its last STATUS=, in the datagram; or NULL */
	size_t status_n;
	int32_t main_pid;    /* MAINPID=; 0: not said, or no pid */
	uint32_t extend_ms;  /* EXTEND_TIMEOUT_USEC=; 0: not said */
};
void notify_parse(const char *p, size_t n, struct said *ret);
op_done notify_on_readable, notify_on_rest;

/* ---- query.c ---- */
struct query {
	struct query *next;
	uint64_t id;
	struct msg_log_query ask;
	char app[64], since[TS_LEN + 1];
	char stop[TS_LEN + 1]; /* nothing before a line this old is new enough */
	struct buf out;        /* u32 length + line, oldest first; not sent yet */
	size_t out_at;
	unsigned found;
	bool past;    /* the stored lines are gathered */
	bool overrun; /* the reader was too slow: lines were left out */
};
void query_start(struct log *g, const struct msg *m);
void query_cancel(struct log *g, uint64_t id);
void query_cancel_all(struct log *g);
/* A new line: to every follower whom it concerns. */
void query_line(struct log *g, const char *line, size_t n);
bool query_matches(const struct query *q, const char *line, size_t n);
op_done query_on_pump;

/* ---- alert.c: what ctl shall have somebody told ---- */
enum { LOG_ALERTS_MAX = 64 };
struct log_alert {
	uint64_t id;
	struct msg_alert_seen m;
	struct buf text;
};
struct log;
/* An event, whose line is g->line: kept until ctl has it, when it needs a person. */
void alert_look(struct log *g, const void *p, size_t n);
/* A new ctl. */
void alert_tell_all(struct log *g);
void alert_kept(struct log *g, uint64_t id);
void alert_done(struct log *g);

/* ---- ship.c: LogTo= ---- */
struct ship {
	uint32_t to; /* enum log_to */
	int fd;      /* -1: not connected */
	uint64_t tried_us, lost, lost_bytes;
	bool took, telling; /* the last one; the loss is just being told */
};
void ship_set(struct log *g, uint32_t to);
/* A rendered line with its newline. */
void ship_line(struct log *g, const char *line, size_t n);
/* Say what was lost there, once it takes something again. */
void ship_tell(struct log *g);
/* A line without its newline as a datagram; false: it is none of the log's, or has no room. Exposed for tests, as the next. */
bool ship_build(struct buf *ret, bool journal, const char *line, size_t n);
/* Each member of an object on one line: strings unescaped, all else as it stands. False: it is none, or `each` said so. */
bool ship_members(const char *p, size_t n, bool (*each)(void *arg, const char *name, const char *value, size_t len), void *arg);

struct log {
	struct loop *loop;
	struct ship ship;
	struct log_alert alert[LOG_ALERTS_MAX];
	unsigned alerts_n;
	uint64_t alert_ids;
	struct chan parent, ctl;
	bool greeted, started, ctl_greeted, working;
	uint64_t generation;
	struct store store;
	struct journal journal;

	struct ring ring[LOGRING_SLOTS];
	struct logring_page *page;
	int page_fd;
	uint64_t inherited[LOGRING_SLOTS];
	uint32_t inherited_generation[LOGRING_SLOTS];
	struct lfd wake;
	struct op wake_op;
	int wake_write; /* for the writers */
	struct timer rest;
	uint64_t rest_ms;

	struct stream *streams;
	struct notify *notifies;
	unsigned streams_n, streams_max; /* of both */
	struct query *queries;
	unsigned queries_n;
	struct timer pump;

	struct buf line;                 /* one rendered line */
	struct record_lines lines;
	char record[LOGRING_RECORD_MAX]; /* one ring record */
};
/* ---- line.c ---- */
/* A rendered line in g->line: into the store and to who follows. */
void log_line(struct log *g);
/* Write the batch; say what was lost when there is room again. */
void log_flush(struct log *g);
/* rings.c. There is work: the page says awake, and the next look follows. */
void log_work(struct log *g);

#endif
