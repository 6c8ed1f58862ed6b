/*
 * tbl.h: the tables as C: an enum and an array of rows for each. The X-macro headers beside this file
 * are the only place where a visible name is declared; parser, help, completion, man pages,
 * `stead introspect` and tests read the arrays.
 */
#ifndef STEAD_TBL_TBL_H
#define STEAD_TBL_TBL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg_payloads.h"

/* processes */
enum proc {
	PROC_NONE = 0,
#define PROC(NAME, name, many, oneshot, jail, about) PROC_##NAME,
#include "procs.h"
#undef PROC
	PROC_END
};
enum { PROC_MANY = 255 };
enum jail { JAIL_NONE, JAIL_USER, JAIL_ROOT, JAIL_APP };
struct proc_row {
	const char *name, *about;
	uint8_t many, oneshot, jail;
};
extern const struct proc_row proc_rows[PROC_END];

/* The folder of a program's own, where it may make sockets: of the folder that holds them (as root
 * /run/stead/backends/ID, else the runtime folder) and the number of its set. */
#define RUNTIME_FOLDER "%s/app%u"

/* messages */
#define MSG(NAME, num, from, to, fixed, fds_min, fds_max, about) MSG_##NAME = num,
enum msg_type {
#include "msgs.h"
};
#undef MSG
#undef P
#undef P_ALL
#undef P_SELF_SERVING
#undef P_AIDE
#undef P_PAGED
struct msg_row {
	const char *name, *about;
	uint16_t type;
	uint32_t from, to;     /* bit per enum proc */
	uint16_t fixed_bytes;  /* payload at least this long */
	uint8_t fds_min, fds_max;
};
extern const struct msg_row msg_rows[];
extern const unsigned msg_rows_n;
/* NULL when there is no such message. */
const struct msg_row *msg_row(uint16_t type);
/* May `from` send this to `to`, with that many payload bytes and descriptors? */
bool msg_allowed(enum proc from, enum proc to, uint16_t type, size_t payload_bytes, unsigned nfds);

/* privileged acts */
enum act {
	ACT_NONE = 0,
#define ACT(NAME, name, args, about) ACT_##NAME,
#include "acts.h"
#undef ACT
	ACT_END
};
struct act_row {
	const char *name, *about;
	unsigned args;
};
extern const struct act_row act_rows[ACT_END];

/* configuration: every section and key of stead.conf */
enum conf_type {
	CONF_TYPE_NAME,    /* [a-z][a-z0-9-]{0,26} */
	CONF_TYPE_BOOL,
	CONF_TYPE_TIME,    /* a time span as systemd writes it; in milliseconds */
	CONF_TYPE_SIZE,    /* K, M, G, T are powers of 1024 */
	CONF_TYPE_INT,
	CONF_TYPE_COUNT,   /* an integer or `cores` */
	CONF_TYPE_SPAN,    /* the same, or MIN:MAX; number: MIN, with MAX above bit 32 */
	CONF_TYPE_ENUM,    /* one of the words of `unit` */
	CONF_TYPE_STRING,
	CONF_TYPE_PATH,    /* from the app's folder */
	CONF_TYPE_LIST,    /* words */
	CONF_TYPE_HOSTS,   /* host names */
	CONF_TYPE_ADDR,    /* ADDR:PORT */
	CONF_TYPE_PREFIX,  /* PREFIX PATH */
	CONF_TYPE_ERRPAGE, /* CODE PATH */
	CONF_TYPE_WSGI,    /* MODULE:OBJECT or MODULE:FACTORY() */
	CONF_TYPE_DBNAME,  /* [a-z_][a-z0-9_]{0,62} */
	CONF_TYPE_ENV,     /* NAME=VALUE */
	CONF_TYPE_ENVFILE, /* a path, with - before it when it may be missing */
	CONF_TYPE_CIDR,    /* ADDR or ADDR/BITS */
	CONF_TYPE_TRUSTED, /* the same, or cloudflare */
	CONF_TYPE_HEADER,  /* [request|response] set|add|remove NAME [VALUE] */
	CONF_TYPE_REDIRECT, /* CODE FROM TO */
	CONF_TYPE_REWRITE, /* REGEX TO */
	CONF_TYPE_RATE,    /* N/s burst=N by=… */
	CONF_TYPE_TRY,     /* a path with $uri, or =CODE */
	CONF_TYPE_URL,     /* http://…, https://… */
	CONF_TYPE_METHOD,
	CONF_TYPE_MATCH,   /* NAME VALUE */
	CONF_TYPE_TO,      /* app, static, an upstream's name, a URL */
	CONF_TYPE_SERVER,  /* URL or unix:PATH, weight=N */
	CONF_TYPE_TOKEN,   /* RFC 9110 section 5.6.2 */
	CONF_TYPE_USER,    /* NAME:HASH */
	CONF_TYPE_LOCAL,     /* off, or ADDR:PORT of this machine */
	CONF_TYPE_LOGFORMAT, /* combined, json, off, or text with $variables */
	CONF_TYPE_CMD,     /* a command line, as systemd.service(5) has it */
	CONF_TYPE_CALENDAR, /* systemd.time(7), calendar events */
	CONF_TYPE_LISTEN,  /* auto, fd, port, port:N, unix:PATH, uwsgi:PATH, fastcgi:PATH */
	CONF_TYPE_VARS,    /* NAME or NAME=VALUE */
	CONF_TYPE_EXITS,   /* an exit code, its name, or a signal */
	CONF_TYPE_SIGNAL,  /* SIGTERM, TERM, 15, RTMIN+1 */
	CONF_TYPE_BASE64,  /* RFC 4648 section 4, at most 64 KB */
	CONF_TYPE_LIMIT,   /* of setrlimit(2): N or SOFT:HARD, with `unit`; infinity */
	CONF_TYPE_AMOUNT,  /* a size or number, a share in %, or infinity */
	CONF_TYPE_MODE,    /* octal, at most 07777 */
	CONF_TYPE_SIGNED,  /* from -min to max */
	CONF_TYPE_JAILPATH, /* absolute, with - before it when it may be missing */
	CONF_TYPE_SANDBOX, /* words of RestrictAddressFamilies=, RestrictNamespaces=, SystemCallFilter=; ~ inverts a line */
	CONF_TYPE_ACCOUNT, /* the name or number of a user or group */
	CONF_TYPE_OWN_DIRECTORY, /* a relative path without .. */
	CONF_TYPE_END
};
enum conf_flag {
	CONF_MANY = 1,
	CONF_DETECT = 2,
	CONF_SPECIFIERS = 4,
	CONF_ROUTE = 8,
	CONF_LINE = 16,
	CONF_LATER = 32,
	CONF_LIFE = 64
};
enum conf_when { WHEN_RELOAD, WHEN_RESTART, WHEN_UP };
enum { SECTION_PLAIN = 0, SECTION_ARG = 1, SECTION_SYSTEMD = 1, SECTION_LATER = 2, SECTION_FOLDERLESS = 4 };
enum conf_section {
#define SECTION(NAME, name, arg, flags, about) SECTION_##NAME,
#include "config.h"
#undef SECTION
	SECTION_END
#undef CONF
#undef CONF_LATER_KEY
#undef CONF_NOTED_KEY
#undef CONF_REFUSED_KEY
};
struct section_row {
	const char *name, *about;
	bool arg;
	uint8_t flags; /* SECTION_SYSTEMD, SECTION_LATER, SECTION_FOLDERLESS */
};
extern const struct section_row section_rows[SECTION_END];
enum conf_key {
#define CONF(NAME, section, key, type, flags, deflt, min, max, unit, when, line, prose, example)   \
	CONF_##NAME,
#include "config.h"
#undef SECTION
#undef CONF
#undef CONF_LATER_KEY
#undef CONF_NOTED_KEY
#undef CONF_REFUSED_KEY
	CONF_END
};
struct conf_row {
	const char *key, *deflt, *unit, *line, *prose, *example;
	uint64_t min, max;
	uint8_t section, type, flags, when;
};
extern const struct conf_row conf_rows[CONF_END];
extern const char *const conf_type_names[CONF_TYPE_END];
/* Sets of system calls (calls.h). */
struct calls_row {
	const char *set, *names; /* names: blank-separated; with @ another set */
};
extern const struct calls_row calls_rows[];
extern const size_t calls_rows_n;
/* Keys that are known and have no effect here: `later` and `refused` ones are errors, the others noted. */
struct conf_known_row {
	const char *key;
	uint8_t section;
	bool later, refused;
	const char *why, *todo; /* refused: the reason, what to do instead; noted: the reason, or "" */
};
extern const struct conf_known_row conf_known_rows[];
extern const unsigned conf_known_rows_n;
/* What a key means, beside what it means to systemd: systemd.h. */
enum systemd_verdict { SYSTEMD_SAME, SYSTEMD_DIFFERS };
struct systemd_row {
	uint16_t key;    /* enum conf_key */
	uint8_t verdict; /* enum systemd_verdict */
	const char *how; /* sentences, or "" */
};
extern const struct systemd_row systemd_rows[];
extern const unsigned systemd_rows_n;

/* commands: the verbs and options of `stead` */
enum arg_kind { ARG_NONE, ARG_FOLDER, ARG_FILE, ARG_APP, ARG_TABLE, ARG_SHELL, ARG_LEVEL };
enum verb {
#define COMMAND(NAME, name, arguments, min, max, completes, line, prose) VERB_##NAME,
#include "commands.h"
	VERB_END
};
struct command_row {
	const char *name, *arguments, *line, *prose;
	uint8_t min, max, completes; /* enum arg_kind */
};
extern const struct command_row command_rows[VERB_END];
enum option {
#define OPTION(NAME, name, letter, argument, verbs, completes, about) OPTION_##NAME,
#include "commands.h"
	OPTION_END
};
struct option_row {
	const char *name, *argument, *about; /* argument "": it takes none */
	uint32_t verbs; /* bit per enum verb; 0: only without a verb */
	char letter;    /* 0: none */
	uint8_t completes;
};
extern const struct option_row option_rows[OPTION_END];
/* exit codes of `stead` */
enum verb_exit {
#define EXIT_ROW(NAME, code, text) VERB_EXIT_##NAME = code,
#include "commands.h"
	VERB_EXIT_END
};
extern const char *const verb_exit_texts[VERB_EXIT_END];
/* what the verbs ask on the control socket, and who may */
enum request_verb {
	REQUEST_NONE = 0,
#define REQUEST(NAME, name, verb, who) REQUEST_##NAME,
#include "commands.h"
	REQUEST_END
};
/* Each may what those behind it may, too. */
enum who { WHO_OWNER, WHO_OPERATORS, WHO_DEPLOYERS, WHO_END };
struct request_row {
	const char *name;
	uint8_t verb; /* enum verb */
	uint8_t who;  /* enum who */
};
extern const struct request_row request_rows[REQUEST_END];
/* How people call them: a phrase. */
extern const char *const who_texts[WHO_END];

/* close reasons: why a connection, a request or a worker's link ended */
enum close_id {
	CLOSE_NONE = 0,
#define CLOSE(NAME, name, scope, fault, status, text) CLOSE_##NAME,
#include "closes.h"
#undef CLOSE
	CLOSE_END
};
enum close_scope { CLOSE_CONN = 1, CLOSE_REQ = 2, CLOSE_LINK = 4 };
struct close {
	const char *name, *text; /* text: for people, in the error page and the log */
	uint8_t scope;           /* enum close_scope bits */
	bool fault;              /* counts as an error of the peer named in the text */
	uint16_t status;         /* HTTP status that answers a request ended so; 0: none is sent */
};
extern const struct close close_rows[CLOSE_END];

/* events */
enum level { LEVEL_DEBUG = 7, LEVEL_INFO = 6, LEVEL_NOTICE = 5, LEVEL_WARNING = 4, LEVEL_ERROR = 3, LEVEL_CRITICAL = 2 };
#define EVENT(NAME, id, level, fields, meaning, todo) EV_##NAME = id,
enum event {
#include "events.h"
};
#undef EVENT
struct event_row {
	uint32_t id; /* stable for ever */
	const char *name, *fields, *meaning, *todo;
	uint8_t level;
};
extern const struct event_row event_rows[];
extern const unsigned event_rows_n;
const struct event_row *event_row(uint32_t id);

/* alerts: which events somebody is told */
enum alert_kind { ALERT_RAISE, ALERT_ONCE, ALERT_CLEAR };
struct alert_row {
	uint32_t event;
	uint8_t kind;
	const char *topic, *field, *only;
};
/* NULL: nobody is told of it. */
const struct alert_row *alert_row(uint32_t event);

/* what `stead doctor` finds */
enum doctor_level { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_UNSEEN, DOCTOR_WARNING, DOCTOR_ERROR, DOCTOR_LEVELS };
enum finding {
#define FINDING(NAME, area, level, what, why, mend) FINDING_##NAME,
#include "findings.h"
#undef FINDING
	FINDING_END
};
struct finding_row {
	const char *name, *area, *what, *why, *mend;
	uint8_t level; /* enum doctor_level */
};
extern const struct finding_row finding_rows[FINDING_END];
extern const char *const doctor_level_names[DOCTOR_LEVELS];

/* variables of AccessLog= formats */
enum logvar {
#define LOGVAR(NAME, name, about) LOGVAR_##NAME,
#include "logvars.h"
#undef LOGVAR
	LOGVAR_END
};
struct logvar_row {
	const char *name, *about;
};
extern const struct logvar_row logvar_rows[LOGVAR_END];

/* metrics: every counter of a gate's page, in order */
enum metric {
#define METRIC(NAME, name, unit, scope, about) METRIC_##NAME,
#include "metrics.h"
	METRIC_END
};
enum { /* columns of a site's row */
#define SITE_METRIC(NAME, name, label, unit, type, about) SITE_##NAME,
#include "metrics.h"
	SITE_END
};
enum { /* columns of a backend's row */
#define UPSTREAM_METRIC(NAME, name, label, unit, type, about) UPSTREAM_##NAME,
#include "metrics.h"
	UPSTREAM_END
};
enum proc_metric {
#define PROC_METRIC(NAME, name, unit, type, about) PROC_METRIC_##NAME,
#include "metrics.h"
	PROC_METRIC_END
};
enum metric_scope { METRIC_GATE = 0 };
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
struct metric_row {
	const char *name, *unit, *about;
	uint8_t scope;
	const char *label; /* NAME=VALUE or "" */
	uint8_t type;      /* enum metric_type */
};
extern const struct metric_row metric_rows[METRIC_END];
extern const struct metric_row site_metric_rows[SITE_END];
extern const struct metric_row upstream_metric_rows[UPSTREAM_END];
extern const struct metric_row proc_metric_rows[PROC_METRIC_END];
extern const char *const metric_type_names[METRIC_HISTOGRAM + 1];
bool metric_is_counter(enum metric m);

/* Buckets of a histogram: at most 2^(METRIC_BUCKET_FIRST + i) microseconds; the last has no bound. */
enum { METRIC_BUCKET_FIRST = 6, METRIC_BUCKETS = 22 };
static inline unsigned metric_bucket(uint64_t us)
{
	unsigned bits = us > 1 ? 64 - (unsigned)__builtin_clzll(us - 1) : 0;

	if (bits <= METRIC_BUCKET_FIRST)
		return 0;
	bits -= METRIC_BUCKET_FIRST;
	return bits < METRIC_BUCKETS ? bits : METRIC_BUCKETS - 1;
}

/*
 * A gate's counters page (one writer: that gate; ctl maps it read-only and treats it as input). The parent
 * keeps it, and gives it to the gate that comes next in that place, which goes on counting where it ended.
 */
enum { COUNTER_SITES_MAX = 16384, COUNTER_UPSTREAMS_MAX = 1024 };
struct counters_site {
	_Atomic uint64_t col[SITE_END];
	_Atomic uint64_t bucket[METRIC_BUCKETS];
};
struct counters_upstream {
	_Atomic uint64_t col[UPSTREAM_END];
	_Atomic uint64_t bucket[METRIC_BUCKETS];
};
struct counters_page {
	uint64_t magic; /* COUNTERS_MAGIC */
	uint64_t generation;
	uint32_t metrics, sites, upstreams, site_columns, upstream_columns, buckets; /* its shape */
	_Atomic uint64_t gate[METRIC_END];
	/* by the number in the snapshot; those beyond the bound share the last row */
	struct counters_site site[COUNTER_SITES_MAX];
	struct counters_upstream upstream[COUNTER_UPSTREAMS_MAX];
};
/* Was it made with the tables of this build? */
bool counters_page_good(const struct counters_page *c);
#define COUNTERS_MAGIC 0x5354454144435432ull

/*
 * What all gates count together: rates of requests, connections of an address, queues of apps. The only page with many
 * writers: made by the parent, mapped by every gate, which trust each other as far as one program does.
 * A gate that went wrong can spoil limits with it and nothing else; what is read is bounded at its use.
 */
enum { LIMITS_SETS = 8192, LIMITS_WAYS = 8, LIMITS_ROWS = 4, LIMITS_COLUMNS = 32768, LIMITS_GATES = 128, LIMITS_APPS = 16 };
struct limits_bucket {
	_Atomic uint64_t key;  /* 0: empty */
	_Atomic uint64_t full_ns; /* when it will be full again, of CLOCK_MONOTONIC */
};
struct limits_start {
	uint64_t magic;     /* LIMITS_MAGIC */
	uint8_t secret[16]; /* keys the hashes, so that nobody chooses who shares a place */
};
struct limits_page {
	struct limits_start start;
	_Atomic uint32_t gates; /* the highest place that ever was, plus one */
	uint32_t pad[9];
	_Atomic uint32_t used[LIMITS_GATES];
	struct limits_bucket rate[LIMITS_SETS][LIMITS_WAYS];
	/* one sketch for each gate, which alone writes it: open connections by their address' hash */
	_Atomic uint32_t conns[LIMITS_GATES][LIMITS_ROWS][LIMITS_COLUMNS];
	/* requests that wait for an app, by its number modulo LIMITS_APPS; a line for each gate, which alone writes it */
	_Atomic uint32_t queued[LIMITS_GATES][LIMITS_APPS];
};
#define LIMITS_MAGIC 0x53544541444c4d31ull

/* systemd's words for enum service_result (systemctl show, Result=). */
extern const char *const service_result_names[RESULTS];

#endif
