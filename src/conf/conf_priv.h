/*
 * conf_priv.h: what the files of src/conf share; no other folder includes it.
 */
#ifndef STEAD_CONF_CONF_PRIV_H
#define STEAD_CONF_CONF_PRIV_H

#include "conf.h"
#include "lib/arena.h"

enum {
	CONF_FILE_BYTES_MAX = 256 * 1024,
	CONF_VALUE_BYTES_MAX = 32 * 1024, /* of one line with its continuations; fits a message */
	CONF_ENTRIES_MAX = 4096,
	CONF_FINDINGS_MAX = 100,
	CONF_TODO_MAX = 256,
	CONF_SCOPES_MAX = 1024,
};

/* A section as it stands in the file: [Upstream a] is one, however often it stands there, and so
 * are all sections without an argument, the plain scope. Each [Route /a] is one of its own. */
struct conf_scope {
	struct conf_scope *next; /* in the order of the file */
	enum conf_section section; /* SECTION_END: the plain scope */
	const char *arg;
	const char *id; /* arg; of the second and each further [Route ARG] with "\n" and its number
			   behind it */
	struct conf_pos pos;
	struct conf_value *head[CONF_END], *tail[CONF_END];
};

struct conf {
	struct arena_pool pool;
	struct arena mem;
	struct conf_facts facts;
	struct conf_scope plain, *scopes, *scopes_tail;
	struct conf_scope *at; /* whose values are put and got now */
	unsigned nscopes;
	struct conf_finding *findings;
	unsigned findings_n, errors;
	bool no_memory;
	bool finished;
	struct conf_app app;
};

/* A piece of a value that stands in one line of the file: continuation lines make several. */
struct conf_seg {
	size_t off; /* in the value */
	unsigned line, col;
};

/* One KEY=VALUE as it was read. Strings are NUL-terminated and the conf's. */
struct conf_entry {
	enum conf_section section;
	const char *scope; /* its id */
	const char *key, *value;
	struct conf_pos key_pos;
	struct conf_seg *segs;
	unsigned nsegs;
	struct conf_entry *next;
};

/* parse.c: text to entries of stead's and systemd's sections, in order; what is wrong with the form, or
 * with a section, is a finding. -ENOMEM. */
int conf_parse(struct conf *c, const char *file, const char *text, size_t n,
	struct conf_entry **ret_entries);
/* The place of byte `off` of the entry's value. */
struct conf_pos conf_entry_pos(const struct conf_entry *e, size_t off);

/*
 * words.c: one word of a value, with systemd's quoting (systemd.syntax(7)): '…', "…" and C escapes.
 * *at moves behind it. 1: a word, in *ret_word, which begins at *ret_off of `base`; 0: no more; -EINVAL:
 * *ret_why says what, *ret_off where; -ENOMEM.
 */
int conf_word_next(struct conf *c, const char *base, const char **at, const char **ret_word,
	size_t *ret_off, const char **ret_why);
/* Replace %-specifiers. -EINVAL: as above. */
int conf_specifiers(struct conf *c, const char *text, const char **ret_text, size_t *ret_off,
	const char **ret_why);

/*
 * value.c: check one item in canonical form by its row, and fill v->text, number, part1, part2. -EINVAL:
 * `why` holds what is wrong and `todo` what to do.
 */
int conf_value_check(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo);
/* scalar.c: the same for the types that are one number or word. */
int conf_scalar_check(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo);

/* app.c: fill c->app from the values. */
void conf_app_fill(struct conf *c);
/* route.c: the same of routes and upstreams; and what has to fit together among them. */
void conf_route_fill(struct conf *c);
void conf_route_check(struct conf *c);

/* client.c: the same of certificates of clients; most different lists that a site may have. */
enum { CONF_CLIENT_LISTS_MAX = 8 };
void conf_client_fill(struct conf *c, const struct conf_scope *s, struct conf_route *r);
void conf_client_check(struct conf *c);

/* program.c: OnCalendar=; and the same of [Worker NAME] and [Timer NAME]. */
int conf_calendar_check(const char *text, struct conf_value *v, struct buf *why, struct buf *todo);
/* ---- man.c ---- */
/* Text as lines of mdoc; the top of a page. */
void conf_man_text(struct buf *b, const char *s);
void conf_man_head(struct buf *b, const char *title, const char *section, const char *name, const char *line);

/* How its unit's life is (service.c), into p. */
void conf_program_life(struct conf *c, struct conf_scope *s, struct conf_program *p);
void conf_program_fill(struct conf *c);
void conf_program_check(struct conf *c);

/* tcp.c: the same of [Tcp NAME]. */
void conf_tcp_fill(struct conf *c);
void conf_tcp_check(struct conf *c);

/* conf.c: the scope of that section and id, made when it is not there. NULL: -ENOMEM, or there are
 * too many (a finding says so). An empty id is the plain scope. */
struct conf_scope *conf_scope_at(
	struct conf *c, enum conf_section section, const char *id, const struct conf_pos *pos);
/* The id of a section that begins in the file: of a [Route ARG] a new one. NULL: -ENOMEM. */
const char *conf_scope_id(struct conf *c, enum conf_section section, const char *arg);
/* May that section have this id? -EINVAL: a finding says why not. */
int conf_scope_id_check(
	struct conf *c, enum conf_section section, const char *id, const struct conf_pos *pos);
/* May it stand in this conf? */
bool conf_has_section(const struct conf *c, enum conf_section s);
/* The row of that key in that section, where keys of [Site] may be keys of [Route] too. */
enum conf_key conf_key_in(enum conf_section section, const char *key);

/* edits.c and net.c: canonical text to its parts. False: it is none, and why says what is wrong. Strings
 * are the conf's. */
bool conf_parse_header(struct conf *c, const char *text, struct conf_header *ret, struct buf *why);
bool conf_parse_redirect(struct conf *c, const char *text, struct conf_redirect *ret, struct buf *why);
bool conf_parse_rewrite(struct conf *c, const char *text, struct conf_rewrite *ret, struct buf *why);
bool conf_parse_rate(struct conf *c, const char *text, struct conf_rate *ret, struct buf *why);
bool conf_parse_cidr(const char *text, struct conf_cidr *ret, struct buf *why, struct buf *todo);
bool conf_parse_server(struct conf *c, const char *text, struct conf_server *ret, struct buf *why);
/* alert.c: that those whom [Alert] names can be told. */
void conf_alert_check(struct conf *c);
/* http://HOST:PORT/PATH; *ret_path is "" or begins with '/'. */
bool conf_parse_url(struct conf *c, const char *text, struct conf_server *ret, const char **ret_path, struct buf *why);
/* Is it a pattern that the gates can compile? */
bool conf_regex_good(const char *text, struct buf *why);

/* command.c: a command line in canonical form, and as it stands in a file (a finding says what is wrong). */
int conf_command_check(struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo);
void conf_command_put(struct conf *c, const struct conf_entry *e, enum conf_key key);
/* Of canonical text. NULL without memory. */
const struct conf_command *conf_command_of(struct conf *c, const char *text);
/* service.c: where a program listens; the typed [Service], and what has to fit together in it. */
int conf_listen_check(struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo);
void conf_service_fill(struct conf *c);
void conf_service_check(struct conf *c);
/* Does a program answer (or the app that Wsgi= names)? */
bool conf_service_wins(const struct conf *c);

/* exits.c: signals, exit codes, names of variables; as conf_value_check(). */
int conf_end_check(const struct conf_row *row, const char *text, struct conf_value *v, struct buf *why, struct buf *todo);
/* A signal's number. -EINVAL. */
int conf_signal_of(const char *text);
/* One more word of a list. */
void conf_exits_add(struct service_exits *e, const char *text);
/* life.c: the life of the program, and what has to fit together in it. */
void conf_life_fill(struct conf *c, struct conf_life *l);
void conf_life_check(struct conf *c);

/* php.c: behind service.c, which it fills in; and what has to fit together. */
void conf_php_fill(struct conf *c);
void conf_php_check(struct conf *c);
/* Is a pool of PHP-FPM the site's app? */
bool conf_php_is(const struct conf *c);
/* route.c: is it the name of a script in a folder? */
bool conf_script_name(const char *text);

/* jail.c: Limit*=, MemoryMax= and their kin; the typed msg_jail, whose shares in % are still
 * shares. */
int conf_jail_check(const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo);
void conf_jail_fill(struct conf *c);
/* own.c: as whom it runs and which folders are its own; behind jail.c. */
int conf_own_check(const struct conf_row *row, const char *text, struct buf *why, struct buf *todo);
void conf_own_fill(struct conf *c);
/* sandbox.c: what an app sees and may do; names that nobody knows are findings. */
int conf_sandbox_check(const struct conf_row *row, const char *text, struct conf_value *v, struct buf *why, struct buf *todo);
void conf_sandbox_fill(struct conf *c);
void conf_sandbox_find(struct conf *c);

/* edits.c: values of more than one word; as conf_value_check(). */
int conf_edit_check(struct conf *c, const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo);
/* logformat.c: AccessLog=. The second: where in the text its fault lies. */
int conf_logformat_check(const char *text, struct conf_value *v, struct buf *why, struct buf *todo);
size_t conf_logformat_fault(const char *text);
/* net.c: networks, URLs, servers. */
int conf_net_check(struct conf *c, const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo);
/* scalar.c */
bool conf_token(const char *text, size_t n);

/* Copies that live as long as the conf; NULL and c->no_memory set when there is no memory. */
void *conf_alloc(struct conf *c, size_t n);
char *conf_strndup(struct conf *c, const char *s, size_t n);
static inline const char *conf_section_name(enum conf_key k)
{
	return section_rows[conf_rows[k].section].name;
}
/* Take a key's items of `origin` and below away. */
void conf_drop(struct conf *c, enum conf_key key, enum conf_origin origin);

/* nearest.c: how different two words are: 0 equal, 1 a letter or a case. More than `max` is max + 1. */
unsigned conf_distance(const char *a, const char *b, unsigned max);
/* Is `distance` near enough to suggest a word as long as s? */
bool conf_near(const char *s, unsigned distance);

#endif
