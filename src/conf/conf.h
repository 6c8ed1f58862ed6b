/*
 * conf.h: from the text of stead.conf to checked, typed values; and what is derived from tbl/ for people.
 *
 * Three users. `check` parses untrusted text (conf_read), adds what it detected (conf_put) and sends
 * each value as one CHECK_VALUE. `ctl` puts those values into a conf of its own, which checks every one
 * again by its row, and reads the typed result (conf_app). `cli` prints help, completion, tables.
 *
 * A value's precedence is its origin: command > file > detected > default. For a key with one value the
 * highest origin wins, and among equals the last; for a list the highest origin's items are the list;
 * of Environment= each variable is a value of its own, and a file named by EnvironmentFile= comes before
 * Environment=.
 *
 * Nothing here reads a file, a clock or the environment: the caller hands over text. Everything that a
 * struct conf hands out lives until conf_free(). Not thread-safe, no globals.
 */
#ifndef STEAD_CONF_CONF_H
#define STEAD_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "tbl/tbl.h"

struct conf;

/* Where a byte of configuration stands. file "": nowhere; line and column count from 1, the column in
 * bytes. */
struct conf_pos {
	const char *file;
	unsigned line, col;
};

enum conf_level { CONF_ERROR = 0, CONF_WARNING = 1, CONF_NOTE = 2 };

struct conf_finding {
	enum conf_level level;
	struct conf_pos pos;
	const char *text; /* what is wrong, and why */
	const char *todo; /* what to do; "" when the text says it */
	struct conf_finding *next;
};

enum conf_origin {
	CONF_FROM_DEFAULT,
	CONF_FROM_DETECTED,
	CONF_FROM_FILE,     /* the app's file; pos says where */
	CONF_FROM_ENV_FILE, /* a file named by EnvironmentFile= */
	CONF_FROM_COMMAND,  /* an option of the command line, or a `stead` verb */
	CONF_FROM_END
};
/* "default", "detected", "file", "environment file", "command". */
extern const char *const conf_origin_names[CONF_FROM_END];

/* One effective value, or one item of a list. `text` is its canonical form: one item, unquoted, without
 * specifiers; giving it to conf_put() again yields the same. */
struct conf_value {
	enum conf_key key;
	enum conf_origin origin;
	struct conf_pos pos;
	const char *text;
	uint64_t number;   /* bool, time (ms), size, int, count, the index of an enum's word, CODE */
	const char *part1; /* PREFIX; MODULE; variable's name */
	const char *part2; /* PATH; OBJECT; variable's value */
	struct conf_value *next;
};

/* What %-specifiers and defaults are made from. Every string may be NULL for "unknown": then a
 * specifier that needs it is an error at its place. */
struct conf_facts {
	const char *name;   /* default of [Site] Name=: conf_name_from_folder() */
	const char *folder; /* absolute */
	const char *user, *home, *group, *shell, *host, *state, *runtime;
	const char *base; /* the folder in which the app's cache, logs and config are: %C, %L, %E */
	uint32_t uid, gid;
	unsigned cores;     /* what `cores` means; 0 counts as 1 */
	bool folderless;    /* a file of Sites=: sections with SECTION_FOLDERLESS only */
	/* A finished conf of such a file whose defaults this one has too, without making them again; it lives
	 * longer. NULL: none. Nothing is put behind conf_finish() then. */
	const struct conf *defaults;
};

/* NULL without memory. `facts` is copied. */
struct conf *conf_new(const struct conf_facts *facts);
/* An empty one with the facts of another; and one of a file of Sites=, with the facts and the defaults of a
 * finished one (see there), and another name. */
struct conf *conf_new_like(const struct conf *c);
struct conf *conf_new_site(const struct conf *defaults, const char *name);
void conf_free(struct conf *c);

/*
 * Parse and check one stead.conf or unit file: every error of it is a finding, and every good value is
 * put with origin CONF_FROM_FILE. `file` is the name shown in positions. 0; -EINVAL when there was an
 * error; -ENOMEM.
 */
int conf_read(struct conf *c, const char *file, const char *text, size_t n);
/* The same for a file of NAME=VALUE lines (systemd.exec(5), EnvironmentFile=). */
int conf_read_env(struct conf *c, const char *file, const char *text, size_t n);
/*
 * One value (or one item of a list) in canonical form, as in a CHECK_VALUE. Checked by its row.
 * 0 (also when a value of a higher origin is there already); -ENOENT: no such section or key; -EINVAL:
 * not valid, and a finding says why; -ENOMEM.
 */
int conf_put(struct conf *c, const char *section, const char *arg, const char *key, const char *text,
	enum conf_origin origin, const struct conf_pos *pos_or_null);
/* The same by the row's number. */
int conf_put_key(struct conf *c, enum conf_key key, const char *text, enum conf_origin origin,
	const struct conf_pos *pos_or_null);
/* Add a finding. The strings are copied. */
void conf_find(struct conf *c, enum conf_level level, const struct conf_pos *pos_or_null,
	const char *todo, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/*
 * claims.c: what only one site may have: its name, and each of its host names.
 */
struct conf_claims;
struct conf_claim {
	const char *text; /* "": whatever host name is asked for */
	const char *file;
	unsigned line, col;
};
struct conf_claims *conf_claims_new(void); /* NULL without memory */
void conf_claims_free(struct conf_claims *c);
/* NULL: nobody had it, and it is claimed now; else whose it is. The strings are copied. */
const struct conf_claim *conf_claims_take(struct conf_claims *c, const struct conf_claim *claim);
/* Whose it is; NULL: nobody's. */
const struct conf_claim *conf_claims_find(const struct conf_claims *c, const char *text);

/* Was a value put, from anywhere? The first, else NULL. Further items follow by `next`. */
const struct conf_value *conf_get(const struct conf *c, enum conf_key key);
/* The app in Python, of Wsgi= or Asgi=; NULL: there is none. */
const struct conf_value *conf_target(const struct conf *c);
/*
 * Fill in the defaults of all that was not put, and check what concerns several values at once. Idempotent.
 * 0; -EINVAL when any error was found so far; -ENOMEM.
 */
int conf_finish(struct conf *c);
/* Sections with an argument, in the file's order; NULL: the first, and no more. conf_get() is of the
 * sections without one. */
struct conf_scope;
const struct conf_scope *conf_scope_next(const struct conf *c, const struct conf_scope *s);
enum conf_section conf_scope_section(const struct conf_scope *s);
/* As conf_put() takes it: the argument; of the second and each further [Route ARG] of the same ARG
 * with "\n" and its number behind it. */
const char *conf_scope_arg(const struct conf_scope *s);
const struct conf_value *conf_scope_get(const struct conf_scope *s, enum conf_key key);
const struct conf_finding *conf_findings(const struct conf *c);
unsigned conf_errors(const struct conf *c);

/*
 * The typed result, after conf_finish() returned 0. Paths are as written (relative ones from the app's
 * folder). Arrays end with a NULL (or zeroed) element.
 */
enum conf_match { CONF_MATCH_EXACT = 1, CONF_MATCH_PREFIX, CONF_MATCH_REGEX };
enum conf_to { CONF_TO_NONE, CONF_TO_APP, CONF_TO_STATIC, CONF_TO_UPSTREAM };
enum conf_edit { CONF_EDIT_SET = 1, CONF_EDIT_ADD, CONF_EDIT_REMOVE };
enum conf_rate_by { CONF_RATE_ADDRESS = 1, CONF_RATE_SITE, CONF_RATE_HEADER };
enum conf_server_kind { CONF_SERVER_ADDRESS = 1, CONF_SERVER_UNIX, CONF_SERVER_NAME };
/* TCP is no word of Protocol=: it is what [Tcp] passes on. */
enum conf_challenge { CONF_CHALLENGE_AUTO, CONF_CHALLENGE_HTTP, CONF_CHALLENGE_TLS, CONF_CHALLENGE_DNS };
enum conf_protocol { CONF_PROTOCOL_HTTP, CONF_PROTOCOL_HTTPS, CONF_PROTOCOL_FASTCGI, CONF_PROTOCOL_UWSGI, CONF_PROTOCOL_TCP };
enum conf_balance { CONF_BALANCE_ROUND_ROBIN, CONF_BALANCE_LEAST, CONF_BALANCE_HASH };
/* A network; IPv4 in its mapped form, bits + 96. */
struct conf_cidr {
	unsigned char address[16];
	unsigned bits;
};
struct conf_header {
	bool response;
	enum conf_edit act;
	const char *name, *value; /* name in lower case */
};
struct conf_redirect {
	unsigned code;
	enum conf_match match;
	const char *from, *to; /* PREFIX: `from` without its star */
};
struct conf_user {
	const char *name, *hash;
};
struct conf_rewrite {
	const char *regex, *to;
};
struct conf_rate {
	bool of_site; /* the site's own, which its routes share */
	enum conf_rate_by by; /* 0: there is no limit */
	unsigned burst, per_s_milli;
	const char *header; /* lower case */
};
struct conf_server {
	enum conf_server_kind kind;
	unsigned char address[16];
	unsigned port, weight;
	bool tls;         /* by its URL */
	const char *name; /* UNIX: the path; NAME: the host; ADDRESS: as text */
};
struct conf_upstream {
	const char *name; /* of [Upstream]; of a To=URL the URL itself */
	const struct conf_server *servers;
	unsigned nservers;
	enum conf_protocol protocol;
	enum conf_balance balance;
	const char *sticky, *check; /* "": none */
	uint64_t check_ms, slow_start_ms;
	unsigned fail_max, retry, keep_alive;
	unsigned connections_max; /* to one server; 0: no bound */
	uint64_t idle_ms; /* of a kept connection; 0: the gate's own bound */
	bool tls_verify;
	const char *root, *document_root, *index; /* FASTCGI; index "": it runs no scripts; "" none */
};
/* A [Tcp NAME]: what comes to one of `listen` goes to a server of `up`, whose name is "tcp/NAME". */
struct conf_tcp {
	const char *name;
	const char *const *listen;
	struct conf_upstream up;
	uint64_t idle_ms, connect_ms;
	unsigned send_proxy; /* version; 0: none */
};
/* All that holds for one path: its own values, else the site's. [0] is the site itself. */
struct conf_route {
	enum conf_match match;
	const char *path;
	const char *const *methods;
	const char *match_header, *match_value; /* "": none; any */
	enum conf_to to;
	unsigned upstream; /* CONF_TO_UPSTREAM: index into upstreams */
	bool strip_prefix, listing, body_buffer, compress;
	bool scripts; /* its backend runs those below `root` */
	bool client_asked;    /* for a certificate … */
	bool client_optional; /* … which he need not have */
	const char *const *client_ca; /* who may vouch for it, DER in base64 */
	uint64_t cache_bytes; /* 0: no cache */
	const char *root;
	bool own_root; /* root holds what lies below path; else it is the site's */
	const char *const *index, *const *try_files;
	const struct conf_header *headers;
	unsigned nheaders;
	const struct conf_redirect *redirects;
	unsigned nredirects;
	const struct conf_rewrite *rewrites;
	unsigned nrewrites;
	const struct conf_errpage *errpages;
	const struct conf_cidr *allow, *deny;
	unsigned nallow, ndeny;
	bool allow_only; /* Allow= is written, also when it is empty */
	struct conf_rate rate;
	const struct conf_user *users; /* of BasicAuth= and BasicAuthUser= */
	unsigned nusers;
	unsigned auth_upstream; /* index into upstreams, or CONF_NO_UPSTREAM */
	const char *auth_path;
	uint64_t body_bytes_max, request_timeout_ms;
	unsigned access_log; /* enum conf_access_log */
	const char *access_format; /* CONF_ACCESS_LOG_FORMAT */
};
enum { CONF_NO_UPSTREAM = ~0u };

/* Of MemoryMax= and its kin: a share in 1/10000, not an amount. */
#define CONF_AMOUNT_SHARE (1ull << 63)

/* A command line as systemd.service(5) has it, in words: quotes and specifiers are resolved, variables not yet. */
struct conf_command {
	const char *path;        /* with a slash a path, from the app's folder; else to be looked for in PATH */
	const char *const *argv; /* [0]: the name that it is given; ends with NULL */
	bool raw;                /* with ':' before it: variables stay as they are */
	bool ignore;             /* with '-' before it: whatever it ends with is no failure */
};
/* Its arguments with $NAME and ${NAME} replaced as systemd does it: $NAME as a word of its own is split at blanks,
 * ${NAME} is part of its word, $$ is a dollar sign; what is not in `env` (NAME=VALUE, NULL at the end) is nothing.
 * "${PORT}" stays when env has no PORT, and so do MAINPID, SERVICE_RESULT, EXIT_CODE and EXIT_STATUS: who starts the
 * program puts them in. NUL-terminated, one behind the other; how
 * many in *ret_n. 0, or ret's error. */
int conf_command_expand(const struct conf_command *cmd, const char *const *env, struct buf *ret, unsigned *ret_n);
/* Append one word of a canonical command line, quoted where it has to be; $NAME, ${NAME} and $$ in it count. */
void conf_command_word(struct buf *b, const char *word);
/* A command beside the program: kind is tbl's enum service_hook. */
struct conf_hook {
	uint32_t kind;
	const struct conf_command *command;
};
/* The life of a program as [Service] has it (life.c); numbers are tbl's enums. */
enum { CONF_AS_STOP = ~0u }; /* abort_ms: as stop_ms */
struct conf_life {
	const struct conf_hook *hooks; /* in the order of a life, by kind */
	unsigned nhooks;
	uint32_t restart, flags; /* enum service_restart; enum service_life */
	uint64_t restart_ms, restart_max_ms, restart_ratio;
	uint32_t restart_steps;
	uint64_t limit_ms;
	uint32_t limit_burst; /* of either 0: there is no limit */
	uint64_t abort_ms, runtime_max_ms;
	uint32_t restart_signal, final_signal, watchdog_signal, reload_signal; /* 0: the usual one */
	uint32_t log_level; /* the least important level that is kept, + 1; 0: all are */
	struct service_exits success, prevent, force;
	const char *const *pass, *const *unset; /* of the environment; also where stead runs the app itself */
};
/* The numbers of tbl's enum service_listen, service_ready, service_notify and service_kill. */
struct conf_service {
	const struct conf_command *command; /* NULL: there is none that serves */
	uint32_t listen, ready, notify, kill;
	enum conf_protocol protocol; /* HTTP, UWSGI, FASTCGI */
	bool linked;                 /* it is on the link (libstead); then listen is SERVICE_NONE */
	unsigned threads;            /* … and has so many requests open at once */
	const char *socket;          /* of SERVICE_PATH, as written */
	unsigned port;               /* 0: a free one for each run */
	unsigned workers;
	uint64_t start_ms, stop_ms, watchdog_ms, lifetime_ms, rss_max;
	const char *kill_signal;
	struct conf_life life;
};

/* A pool of PHP-FPM, which `service` describes as a program. */
struct conf_php {
	bool on;
	const char *root, *index;
	unsigned workers, workers_max, max_requests; /* max_requests: of one process' life; 0: no limit */
	uint64_t idle_stop_ms; /* 0: never */
	uint64_t script_ms;    /* a script that runs so long is ended */
	uint64_t idle_ms;      /* a connection that nobody uses is kept so long */
};

/* A program of the app that serves nothing: [Worker NAME], or [Timer NAME] with the times at which it runs. */
struct conf_timer {
	const char *const *calendar; /* conf/calendar.h reads them */
	uint64_t unit_active_ms, unit_inactive_ms, active_ms, delay_ms; /* 0: off */
	bool persistent;
};
struct conf_program {
	const char *name;
	const struct conf_command *command;
	const struct conf_timer *timer; /* NULL: it runs always */
	unsigned workers;
	uint64_t stop_ms, lifetime_ms, rss_max;
	uint32_t kill; /* enum service_kill */
	const char *kill_signal;
	/* of a [Worker]; as in conf_service */
	uint32_t ready, notify;
	uint64_t start_ms, watchdog_ms;
	struct conf_life life;
};

/* As whom the app's processes run, as it is written, and its folders by their names. */
enum conf_own_kind { CONF_OWN_STATE, CONF_OWN_CACHE, CONF_OWN_LOGS, CONF_OWN_CONFIG, CONF_OWN_RUNTIME, CONF_OWN_KINDS };
struct conf_own {
	const char *user, *group;  /* "": the app's own */
	const char *const *groups;
	const char *const *names[CONF_OWN_KINDS]; /* relative paths */
	uint32_t mode[CONF_OWN_KINDS];
};

enum conf_access_log { CONF_ACCESS_LOG_JSON, CONF_ACCESS_LOG_OFF, CONF_ACCESS_LOG_COMBINED, CONF_ACCESS_LOG_FORMAT };
#define CONF_ACME_DIRECTORY "https://acme-v02.api.letsencrypt.org/directory"
enum conf_http { CONF_HTTP_REDIRECT, CONF_HTTP_SERVE, CONF_HTTP_OFF };
enum conf_postgres { CONF_POSTGRES_AUTO, CONF_POSTGRES_YES, CONF_POSTGRES_NO };
struct conf_app {
	const char *name;
	const char *const *domains;  /* [0] is canonical; none: any name */
	const char *root;            /* "": no static root */
	const struct conf_static {
		const char *prefix, *path;
	} *statics;
	const char *health;
	unsigned health_count;
	uint64_t health_timeout_ms;
	uint64_t body_bytes_max, head_bytes_max;
	uint64_t header_timeout_ms, idle_timeout_ms, request_timeout_ms;
	uint64_t rate_min; /* bytes a second; 0: no bound */
	unsigned queue;
	uint64_t queue_timeout_ms;
	const char *const *index;
	const struct conf_errpage {
		unsigned code;
		const char *path;
	} *errpages;
	enum conf_access_log access_log;

	bool python;              /* there is an app in Python: one of the next two */
	const char *wsgi, *asgi;  /* MODULE:OBJECT or MODULE:FACTORY(); "" */
	const char *wsgi_module, *wsgi_object; /* object without "()" */
	bool wsgi_factory;        /* call the object to get the app */
	const char *const *python_path;
	const char *interpreter;  /* "": python3 of the system */
	const char *venv;         /* "" none; PYTHON is VENV/bin/python */
	const char *requirements; /* not "": `build` installs these into `venv` before the start */
	unsigned workers, workers_max; /* workers: at least */
	unsigned threads, concurrency;
	uint64_t idle_stop_ms;                  /* 0: never */
	uint64_t websocket_max;
	unsigned max_requests; /* of one worker's life; 0: no limit, as the two below */
	uint64_t lifetime_ms, rss_max;

	struct conf_service service; /* with `python` there is none */
	struct conf_php php;
	const char *const *env;   /* NAME=VALUE */
	const struct conf_jail_path {
		uint32_t kind; /* enum jail_path */
		const char *path;
	} *jail_paths;
	unsigned njail_paths;
	const char *const *jail_calls; /* the lines of SystemCallFilter= */
	struct msg_jail jail;     /* as PROC_SET has it; an amount with CONF_AMOUNT_SHARE is 1/10000 of the machine's */
	struct conf_own own;
	const char *working_directory;
	bool working_directory_optional; /* it may be missing: then it is / */

	enum conf_postgres postgres; /* YES or NO after detection; AUTO without: treat as NO */
	const char *database;
	unsigned connections_max;
	const struct conf_command *migrate; /* NULL: there is none */
	const char *const *persist; /* paths that outlive releases */
	unsigned keep;              /* releases */
	uint64_t drain_ms, tunnel_drain_ms; /* what was replaced has so long */

	bool https;                  /* it has a certificate, and shall be served with it */
	const char *const *chain;    /* of it, DER in base64 */
	const char *certificate_box; /* base64; "": its private key is not sealed yet */
	enum conf_http http;
	uint64_t hsts_ms;
	bool hsts_written;           /* … with any certificate */
	bool https_off;              /* Https=off */
	bool https_auto;             /* one shall be got by itself: none is written, and Https= is auto */
	enum conf_challenge challenge;
	const struct conf_command *challenge_hook; /* NULL: there is none */
	const char *acme_email, *acme_directory; /* email "": nobody agreed to an authority's terms */
	const char *acme_fallback, *acme_staging, *acme_chain, *acme_eab_kid; /* "" */
	const char *acme_eab_box;    /* base64; "": there is none, or it is not sealed yet */
	const char *on_demand;       /* "": only names of the configuration */
	const char *profile;         /* "": the authority's usual one */
	bool http1, http2;           /* over TLS */
	bool kernel_tls;             /* where the kernel can make the records */
	const char *const *listen_tls;
	bool listen_tls_default;     /* nobody wrote it */
	bool listen_tls_command;     /* it is of --https */
	const char *const *listen;   /* ADDR:PORT with a numeric address */
	bool listen_default;         /* nobody wrote it */
	unsigned gates;
	uint64_t drain_max_ms;

	const struct conf_route *routes; /* [0] is the site's own; then [Route]s in the file's order */
	unsigned nroutes;
	const struct conf_upstream *upstreams;
	unsigned nupstreams;
	const struct conf_tcp *tcps;
	unsigned ntcps;
	const struct conf_program *programs;
	unsigned nprograms;
	const char *const *aliases;
	unsigned connections_per_address;
	const struct conf_cidr *trusted, *proxy_protocol;
	unsigned ntrusted, nproxy_protocol;
	bool trusts_cloudflare;
	uint64_t cache_disk; /* 0: the cache lies in memory */
	const char *maintenance; /* "" the built-in page */
	const char *metrics;     /* ADDR:PORT; "" off */
	const char *sites;       /* the folder of Sites=; "" none */
	bool answers;            /* it has something to answer with … */
	bool serves;             /* … or a name of its own */
};
const struct conf_app *conf_app(const struct conf *c);

/* A valid [Site] Name= from a folder's name: lower case, others to '-', at most 27 bytes; "app" when
 * nothing is left. `ret` has room for 28. */
void conf_name_from_folder(const char *folder, char ret[28]);
/* The same from a file of Sites=, without its .conf; of a long one the end is a hash, so that no two long
 * ones have the same. */
void conf_name_from_file(const char *file, char ret[28]);
/* Check one ADDR:PORT and make it numeric and canonical ("localhost:80", ":80", "[::1]:80"). -EINVAL. */
/* A network or an address. -EINVAL. */
int conf_network(const char *text, struct conf_cidr *ret);
int conf_addr_canonical(const char *text, struct buf *ret);
/* How long ago or how long: "10min", "1h 30min", "5" (seconds). In ms. -EINVAL, -ERANGE. */
int conf_time_parse(const char *text, uint64_t *ret_ms);
int conf_size_parse(const char *text, uint64_t *ret_bytes);
/* The errno of that name or number; of "kill" 0. -EINVAL. */
int conf_errno(const char *text);
/* The row of that section and key (exact case); CONF_END when there is none. */
enum conf_key conf_key_by_name(const char *section, const char *key);
/* Is it UTF-8 without NUL? The offset of the first byte that is not, else n. */
size_t conf_utf8_span(const char *text, size_t n);
/* May this variable's value be shown? False for what looks like a password, key or token. */
bool conf_env_showable(const char *name);
/* Of a value with a secret in it: how many bytes of its text may be shown; the length of all when it has none. */
size_t conf_showable(enum conf_key key, const char *text);

/*
 * For people, from the tables. All write to `ret`.
 */
/* Help of one verb, or of stead (NULL). -ENOENT when there is no such verb. */
int conf_help(struct buf *ret, const char *verb_or_null);
/* Who may ask a running stead for what that verb asks, as a sentence. False: it asks nothing. */
bool conf_who(struct buf *b, enum verb v);
/* One JSON document: config, commands, metrics, events, closes, messages, procs, acts. -ENOENT. */
int conf_introspect(struct buf *ret, const char *table);
/* bash, zsh or fish. -ENOENT. */
int conf_completion(struct buf *ret, const char *shell);
/* The man pages as mdoc(7). */
void conf_man_stead(struct buf *ret);
void conf_man_stead_conf(struct buf *ret);
void conf_man_systemd(struct buf *ret);

/*
 * The command line by the tables: options anywhere, --long=VALUE, -fn 10, `--` ends the options. On an
 * error a sentence with what to do is in `ret_error`, and -EINVAL. --help and --version win over what
 * is missing. Strings point into argv.
 */
enum { CONF_ARGS_MAX = 16 };
struct conf_args {
	enum verb verb;                 /* VERB_END: none given */
	const char *option[OPTION_END]; /* NULL not given; "" given without an argument */
	const char *arg[CONF_ARGS_MAX];
	unsigned nargs;
};
int conf_args_parse(int argc, char *const *argv, struct conf_args *ret, struct buf *ret_error);

/* The word in `words` (blank-separated) that is nearest to `s`, if any is near enough; "" else. `ret`
 * holds it. */
const char *conf_nearest(const char *s, const char *words, char *ret, size_t cap);

#endif
