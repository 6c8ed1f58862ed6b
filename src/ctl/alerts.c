/*
 * alerts.c: who is told of what needs a person: [Alert] of the operator's folder, and of a deployed app what its own file names
 * besides. And the tables `alert_open` (what lasts),
 * `alert_due` (what is to be sent, to whom) and `alert_told` (when something was sent).
 *
 * Called with what the log process says (ALERT_SEEN), at the start, and by its own timer. What is due stands in the state
 * before the log process may forget it, and goes from there with the answer of the one that sent it; so nothing is lost over a
 * restart. An alert that was sent and whose answer was lost is sent again under the same name (Message-ID,
 * Idempotency-Key). Nothing is sent from here: each time one stead-alert is started for it.
 */
#include "ctl.h"
#include "alerts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"

enum { AGAIN_S = 3600, GATHER_S = 1, FIRST_TRY_S = 2, TRY_MAX_S = 6 * 3600, SEND_MS = 60 * 1000, CHECK_S = 3600 };

static uint64_t now_s(const struct ctl *c)
{
	return loop_wall_us(c->loop) / 1000000;
}

int state_make_alerts(struct ctl *c)
{
	return state_exec(c,
		"CREATE TABLE IF NOT EXISTS alert_open (key TEXT PRIMARY KEY, since INTEGER NOT NULL, times INTEGER NOT NULL) WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS alert_due (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, line TEXT NOT NULL,"
		" over INTEGER NOT NULL, tries INTEGER NOT NULL, next INTEGER NOT NULL);"
		"CREATE TABLE IF NOT EXISTS alert_told (target TEXT NOT NULL, at INTEGER NOT NULL)");
}

/* ---- the state ---- */

/* One statement with texts (not NULL) and then numbers bound; `row` is called for each row. 0 or -errno. */
static int ask_state(struct ctl *c, const char *sql, const char *const *text, unsigned ntext, const uint64_t *number, unsigned nnumber,
	bool (*row)(void *arg, sqlite3_stmt *st), void *arg)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);

	for (unsigned i = 0; i < ntext && r == SQLITE_OK; i++)
		r = sqlite3_bind_text(st, (int)i + 1, text[i], -1, SQLITE_STATIC);
	for (unsigned i = 0; i < nnumber && r == SQLITE_OK; i++)
		r = sqlite3_bind_int64(st, (int)(ntext + i) + 1, (sqlite3_int64)number[i]);
	while (r == SQLITE_OK || r == SQLITE_ROW) {
		r = sqlite3_step(st);
		if (r == SQLITE_ROW && row && !row(arg, st))
			break;
	}
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE || r == SQLITE_ROW ? 0 : state_failed(c, "alerts");
}

static bool take_number(void *arg, sqlite3_stmt *st)
{
	uint64_t *ret = arg;

	*ret = (uint64_t)sqlite3_column_int64(st, 0);
	return true;
}

/* ---- to whom ---- */

/* The value of a key of [Alert]: the last one written, or `otherwise`. */
static const char *setting(const struct app *a, const char *key, const char *otherwise)
{
	const char *ret = otherwise;

	for (const struct app_value *v = a->values; v; v = v->next)
		if (strcmp(v->section, "Alert") == 0 && strcmp(v->key, key) == 0 && v->text[0])
			ret = v->text;
	return ret;
}

/* Each word of Mail= and Webhook=, until `each` says false. */
static void each_target(const struct app *a, bool (*each)(void *arg, const char *target), void *arg)
{
	unsigned n = 0;

	for (const struct app_value *v = a->values; v; v = v->next) {
		char copy[ALERT_TARGET_BYTES], *save = NULL;

		if (strcmp(v->section, "Alert") != 0 || (strcmp(v->key, "Mail") != 0 && strcmp(v->key, "Webhook") != 0) ||
			strlen(v->text) >= sizeof copy)
			continue;
		(void)snprintf(copy, sizeof copy, "%s", v->text);
		for (char *word = strtok_r(copy, " \t", &save); word && n < ALERT_TARGETS_MAX; word = strtok_r(NULL, " \t", &save), n++)
			if (!each(arg, word))
				return;
	}
}

struct naming {
	char (*list)[ALERT_TARGET_BYTES];
	unsigned n;
	const char *sought; /* … or: is it there? */
	bool there;
};

static bool add_name(void *arg, const char *target)
{
	struct naming *x = arg;

	(void)snprintf(x->list[x->n++], ALERT_TARGET_BYTES, "%s", target);
	return true;
}

unsigned alerts_targets(const struct app *a, char (*ret)[ALERT_TARGET_BYTES])
{
	struct naming x = {.list = ret};

	each_target(a, add_name, &x);
	return x.n;
}

static bool is_sought(void *arg, const char *target)
{
	struct naming *x = arg;

	x->there = strcmp(x->sought, target) == 0;
	return !x->there;
}

static bool names(const struct app *a, const char *target)
{
	struct naming x = {.sought = target};

	each_target(a, is_sought, &x);
	return x.there;
}

/* Whose mail server takes it: the operator's own targets by the operator's, others by what the app that names them wrote. */
static const struct app *whose(const struct ctl *c, const char *target)
{
	for (const struct app *a = &c->app; a; a = a->next)
		if (names(a, target))
			return a;
	return &c->app;
}

struct due {
	struct ctl *c;
	const char *line;
	const struct app *but; /* whose targets have it already */
	bool over;
	int err;
};

static bool add_row_due(void *arg, const char *target)
{
	struct due *d = arg;

	if (!d->but || !names(d->but, target))
		d->err = ask_state(d->c, "INSERT INTO alert_due (target, line, over, tries, next) VALUES (?1, ?2, ?3, 0, ?4)",
			(const char *const[]){target, d->line}, 2, (const uint64_t[]){d->over, now_s(d->c) + GATHER_S}, 2, NULL, NULL);
	return d->err == 0;
}

/* The deployed app that it is about; NULL: none. */
static const struct app *app_of(const struct ctl *c, const struct alert_row *row, const char *of)
{
	bool named = strcmp(row->field, "app") == 0 || strcmp(row->field, "site") == 0;

	for (const struct app *a = named ? c->app.next : NULL; a; a = a->next)
		if (strcmp(a->name, of) == 0)
			return a;
	return NULL;
}

/* A row for each of the operator's targets, and for those of the app that it is about. */
static int add_due(struct ctl *c, const struct alert_row *row, const char *of, const char *line, bool over)
{
	struct due d = {.c = c, .line = line, .over = over};
	const struct app *a = app_of(c, row, of);

	each_target(&c->app, add_row_due, &d);
	d.but = &c->app;
	if (a && d.err == 0)
		each_target(a, add_row_due, &d);
	/* Bounded: the oldest gives way; it is in the log all the same. */
	return d.err ? d.err
		     : ask_state(c, "DELETE FROM alert_due WHERE id <= (SELECT MAX(id) FROM alert_due) - ?1", NULL, 0,
			       (const uint64_t[]){ALERT_DUE_MAX}, 1, NULL, NULL);
}

/* Does it begin, end, or go on? */
static int take(struct ctl *c, const struct alert_row *row, const char *of, const char *key, const char *line)
{
	const char *const text[] = {key};
	uint64_t since = 0, now = now_s(c);
	int err = ask_state(c, "SELECT since FROM alert_open WHERE key = ?1", text, 1, NULL, 0, take_number, &since);
	bool is_open = since && (row->kind != ALERT_ONCE || now < since + AGAIN_S);

	if (err)
		return err;
	if (row->kind == ALERT_CLEAR) {
		if (!since)
			return 0;
		err = ask_state(c, "DELETE FROM alert_open WHERE key = ?1", text, 1, NULL, 0, NULL, NULL);
		return err ? err : add_due(c, row, of, line, true);
	}
	if (is_open)
		return ask_state(c, "UPDATE alert_open SET times = times + 1 WHERE key = ?1", text, 1, NULL, 0, NULL, NULL);
	err = ask_state(c, "INSERT OR REPLACE INTO alert_open VALUES (?1, ?2, 1)", text, 1, &now, 1, NULL, NULL);
	if (err == 0)
		err = ask_state(c,
			"DELETE FROM alert_open WHERE key IN (SELECT key FROM alert_open ORDER BY since DESC LIMIT -1 OFFSET ?1)", NULL, 0,
			(const uint64_t[]){ALERT_DUE_MAX}, 1, NULL, NULL);
	return err ? err : add_due(c, row, of, line, false);
}

void alerts_seen(struct ctl *c, const struct msg *m)
{
	struct msg_alert_seen seen;
	const struct alert_row *row;
	const char *of, *line, *tail;
	char key[200], *copy;
	struct unpack u;
	size_t n;
	bool mine;
	int err;

	if (msg_get(m, &seen, sizeof seen, sizeof seen) < 0)
		return;
	tail = msg_tail(m, sizeof seen, &n);
	unpack_init(&u, tail, n);
	of = unpack_str(&u);
	line = unpack_bytes(&u, &n);
	row = alert_row(seen.event);
	copy = u.bad || !row || memchr(line, 0, n) ? NULL : strndup(line, n);
	err = 0;
	if (copy) {
		(void)snprintf(key, sizeof key, "%s %s", row->topic, of);
		err = state_begin(c, &mine);
		if (err == 0)
			err = state_end(c, mine, take(c, row, of, key, copy));
	}
	free(copy);
	/* What cannot be written is not asked for again and again: the log has it. */
	(void)chan_send(&c->log.chan, MSG_ALERT_KEPT, m->h.id, NULL, 0, NULL, 0, NULL, 0);
	if (err == 0)
		alerts_run(c);
}

/* ---- what is said ---- */

struct message {
	struct ctl *c;
	json_t *list;
	struct buf text;
	uint64_t last; /* the id of the last one in it */
	size_t bytes;  /* of the records in it */
	unsigned n, tries;
	char first[160];
};

static const char *member(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static bool add_row(void *arg, sqlite3_stmt *st)
{
	struct message *m = arg;
	const char *line = (const char *)sqlite3_column_text(st, 1);
	bool over = sqlite3_column_int(st, 2) != 0;
	json_t *o = line ? json_loads(line, 0, NULL) : NULL;
	const char *name;
	json_t *value;

	size_t bytes = line ? strlen(line) : 0;

	/* What does not fit goes in the next one. A record that alone would be too much stands in the log. */
	if (m->bytes && m->bytes + bytes > ALERT_BYTES_MAX) {
		json_decref(o);
		return false;
	}
	if (bytes > ALERT_BYTES_MAX) {
		json_decref(o);
		o = json_pack("{s:s}", "text", "an event with much text: see `stead logs`");
		bytes = 0;
	}
	m->bytes += bytes;
	m->last = (uint64_t)sqlite3_column_int64(st, 0);
	m->tries = max_of(m->tries, (unsigned)sqlite3_column_int(st, 3));
	if (!json_is_object(o)) {
		json_decref(o);
		return true;
	}
	(void)json_object_set_new(o, "state", json_string(over ? "resolved" : "raised"));
	if (!m->n++)
		(void)snprintf(m->first, sizeof m->first, "%s%s", over ? "resolved: " : "", member(o, "text"));
	buf_printf(&m->text, "%.19sZ  %s%s\n", member(o, "ts"), over ? "RESOLVED: " : "", member(o, "text"));
	json_object_foreach(o, name, value)
	{
		static const char *const said[] = {"ts", "kind", "level", "text", "todo", "state"};
		bool skip = !json_is_string(value);

		for (size_t i = 0; i < ARRAY_LEN(said); i++)
			skip = skip || strcmp(name, said[i]) == 0;
		if (!skip)
			buf_printf(&m->text, "    %s: %s\n", name, json_string_value(value));
	}
	if (!over && *member(o, "todo"))
		buf_printf(&m->text, "  what to do: %s\n", member(o, "todo"));
	buf_putc(&m->text, '\n');
	(void)json_array_append_new(m->list, o);
	return true;
}

void alerts_host(char ret[65])
{
	if (gethostname(ret, 65) < 0 || !*ret)
		(void)snprintf(ret, 65, "localhost");
	ret[64] = '\0';
}

static bool is_mail(const char *target)
{
	return strstr(target, "://") == NULL;
}

char *alerts_body(const struct buf *text, const char *target, const char *id, const char *host, json_t *list)
{
	json_t *o;
	char *ret;

	if (is_mail(target))
		return strdup(text->p ? text->p : "");
	o = json_pack("{s:i, s:s, s:s, s:O}", "version", 1, "id", id, "host", host, "alerts", list);
	ret = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return ret;
}

struct ask *alerts_hand(struct ctl *c, const char *target, const char *id, const char *subject, const char *body,
	const struct ask_ops *answer, void *owner)
{
	const struct app *a = whose(c, target);
	char host[65], from[128];
	struct buf b;

	alerts_host(host);
	(void)snprintf(from, sizeof from, "stead@%s", host);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	pack_str(&b, target);
	pack_str(&b, setting(a, "Smtp", setting(&c->app, "Smtp", conf_rows[CONF_ALERT_SMTP].deflt)));
	pack_str(&b, setting(a, "From", setting(&c->app, "From", from)));
	pack_str(&b, id);
	pack_str(&b, subject);
	pack_str(&b, body);
	pack_u64(&b, now_s(c));
	return ask_start(c, PROC_ALERT, 0, 0, SEND_MS, MSG_ALERT_ASK, &b, answer, owner);
}

static void next_look(struct ctl *c, uint64_t in_s);
static void sent(struct ask *a, const struct ask_end *end);
static const struct ask_ops ops = {.ended = sent};

static int start(struct ctl *c, const char *target, struct message *m)
{
	char host[65], id[160], subject[300], *body;

	alerts_host(host);
	(void)snprintf(id, sizeof id, "stead-%llu-%016llx", (unsigned long long)m->last,
		(unsigned long long)sys_checksum(m->text.p ? m->text.p : "", m->text.len));
	if (m->n == 1)
		(void)snprintf(subject, sizeof subject, "[stead %s] %s", host, m->first);
	else
		(void)snprintf(subject, sizeof subject, "[stead %s] %u alerts, the first: %s", host, m->n, m->first);
	body = alerts_body(&m->text, target, id, host, m->list);
	if (!body)
		return -ENOMEM;
	(void)snprintf(c->alerts.target, sizeof c->alerts.target, "%s", target);
	c->alerts.last = m->last;
	c->alerts.n = m->n;
	c->alerts.tries = m->tries;
	c->alerts.ask = alerts_hand(c, target, id, subject, body, &ops, &c->alerts);
	free(body);
	return c->alerts.ask ? 0 : -EAGAIN;
}

/* Everything that is due for one of them goes in one message. */
static int send_to(struct ctl *c, const char *target)
{
	struct message m = {.c = c, .list = json_array()};
	int err;

	buf_init(&m.text, ALERT_TEXT_BYTES);
	err = ask_state(c, "SELECT id, line, over, tries FROM alert_due WHERE target = ?1 ORDER BY id LIMIT ?2", &target, 1,
		(const uint64_t[]){ALERT_EACH_MAX}, 1, add_row, &m);
	if (err == 0 && m.text.error)
		err = m.text.error;
	if (err == 0)
		err = m.n ? start(c, target, &m)
			  : ask_state(c, "DELETE FROM alert_due WHERE target = ?1 AND id <= ?2", &target, 1, &m.last, 1, NULL, NULL);
	buf_done(&m.text);
	json_decref(m.list);
	return err;
}

/* ---- when ---- */

static int told(struct ctl *c, const char *target, uint64_t last)
{
	const char *const text[] = {target};
	uint64_t now = now_s(c), old = now - min_of(now, (uint64_t)3600);
	bool mine;
	int err = state_begin(c, &mine);

	if (err)
		return err;
	err = ask_state(c, "DELETE FROM alert_due WHERE target = ?1 AND id <= ?2", text, 1, &last, 1, NULL, NULL);
	if (err == 0)
		err = ask_state(c, "INSERT INTO alert_told VALUES (?1, ?2)", text, 1, &now, 1, NULL, NULL);
	if (err == 0)
		err = ask_state(c, "DELETE FROM alert_told WHERE at < ?1", NULL, 0, &old, 1, NULL, NULL);
	return state_end(c, mine, err);
}

static int not_told(struct ctl *c, const struct ask_end *end)
{
	struct alerts *al = &c->alerts;
	const char *const text[] = {al->target};
	uint64_t wait = FIRST_TRY_S;
	char number[24];

	for (unsigned i = 0; i < al->tries && wait < TRY_MAX_S; i++)
		wait *= 4;
	wait = min_of(wait, (uint64_t)TRY_MAX_S);
	if (al->tries + 1 >= ALERT_TRIES_MAX) {
		(void)snprintf(number, sizeof number, "%u", al->n);
		say(c, EV_ALERT_GIVEN_UP, "target", al->shown, "alerts", number, "why", end->error, NULL);
		return ask_state(c, "DELETE FROM alert_due WHERE target = ?1 AND id <= ?2", text, 1, &al->last, 1, NULL, NULL);
	}
	(void)snprintf(number, sizeof number, "%llu", (unsigned long long)wait);
	say(c, EV_ALERT_FAILED, "target", al->shown, "why", end->error, "help", end->todo, "next_s", number, NULL);
	return ask_state(c, "UPDATE alert_due SET tries = tries + 1, next = ?2 WHERE target = ?1", text, 1,
		(const uint64_t[]){now_s(c) + wait}, 1, NULL, NULL);
}

void alerts_shown(const char *target, char ret[256])
{
	const char *scheme = strstr(target, "://"), *at = scheme ? scheme + 3 : target;

	(void)snprintf(ret, 256, "%.*s", scheme ? (int)min_of(scheme + 3 - target + (ptrdiff_t)strcspn(at, "/?#"), (ptrdiff_t)255) : 200, target);
}

static void sent(struct ask *a, const struct ask_end *end)
{
	struct alerts *al = a->owner;
	struct ctl *c = container_of(al, struct ctl, alerts);
	char number[24];
	int err;

	al->ask = NULL;
	alerts_shown(al->target, al->shown);
	if (end->err) {
		err = not_told(c, end);
	} else {
		err = told(c, al->target, al->last);
		(void)snprintf(number, sizeof number, "%u", al->n);
		if (err == 0)
			say(c, EV_ALERT_SENT, "target", al->shown, "alerts", number, NULL);
	}
	if (err)
		next_look(c, CHECK_S);
	else
		alerts_run(c);
}

struct choice {
	struct ctl *c;
	char target[ALERT_TARGET_BYTES];
	uint64_t wait; /* until the next one */
};

static bool choose(void *arg, sqlite3_stmt *st)
{
	struct choice *ch = arg;
	const char *target = (const char *)sqlite3_column_text(st, 0);
	uint64_t now = now_s(ch->c), next = (uint64_t)sqlite3_column_int64(st, 1), told_n = (uint64_t)sqlite3_column_int64(st, 2),
		 oldest = (uint64_t)sqlite3_column_int64(st, 3);

	if (!target || strlen(target) >= sizeof ch->target)
		return true;
	/* So many messages an hour; what comes meanwhile waits and goes as one. */
	if (told_n >= ALERT_HOUR_MAX)
		next = max_of(next, oldest + 3600);
	/* A clock that was set back does not hold anything for longer than the longest pause. */
	if (next <= now || next > now + TRY_MAX_S + 3600) {
		(void)snprintf(ch->target, sizeof ch->target, "%s", target);
		return false;
	}
	ch->wait = min_of(ch->wait, next - now);
	return true;
}

void alerts_run(struct ctl *c)
{
	struct choice ch = {.c = c, .wait = CHECK_S};
	uint64_t old = now_s(c) - min_of(now_s(c), (uint64_t)3600);
	int err;

	if (c->alerts.ask || c->stopping)
		return;
	err = ask_state(c,
		"SELECT target, MIN(next), (SELECT COUNT(*) FROM alert_told t WHERE t.target = d.target AND t.at > ?1),"
		" (SELECT MIN(at) FROM alert_told t WHERE t.target = d.target AND t.at > ?1) FROM alert_due d GROUP BY target", NULL, 0, &old, 1,
		choose, &ch);
	if (err == 0 && ch.target[0])
		err = send_to(c, ch.target);
	if (err || !c->alerts.ask)
		next_look(c, err ? CHECK_S : ch.wait);
}

static void next_look(struct ctl *c, uint64_t in_s)
{
	c->alerts.timer.op.kind = OP_ALERTS;
	loop_timer_stop(c->loop, &c->alerts.timer);
	/* Without anything to send there is nothing to wake up for. */
	if (in_s < CHECK_S)
		loop_timer_in(c->loop, &c->alerts.timer, in_s * 1000 + 1);
}

void alerts_on_timer(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	alerts_run(container_of(op, struct ctl, alerts.timer.op));
}
