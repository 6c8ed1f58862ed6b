/*
 * logs.c: questions to the log process, for clients and for the up flow's last lines.
 *
 * Called for the verb logs, when a client goes, and with what the log says. Owns nothing: a query's
 * id stands in its client or in struct up. Lines are passed on as they come, one JSON object each.
 */
#include "ctl.h"

#include <string.h>

void logs_to(struct ctl *c)
{
	struct msg_log_to m = {.to = LOG_TO_OFF};
	uint64_t bytes;

	for (const struct app_value *v = c->app.values; v; v = v->next) {
		if (strcmp(v->section, "Server") != 0)
			continue;
		if (strcmp(v->key, "LogTo") == 0)
			m.to = strcmp(v->text, "journald") == 0 ? LOG_TO_JOURNALD
			       : strcmp(v->text, "syslog") == 0 ? LOG_TO_SYSLOG
								: LOG_TO_OFF;
		if (strcmp(v->key, "LogMax") == 0 && conf_size_parse(v->text, &bytes) == 0)
			m.max_mib = (uint32_t)(bytes >> 20);
	}
	if (c->log.greeted && chan_open(&c->log.chan))
		(void)chan_send(&c->log.chan, MSG_LOG_TO, 0, &m, sizeof m, NULL, 0, NULL, 0);
}

static uint64_t query(struct ctl *c, const struct msg_log_query *ask, const char *app)
{
	uint64_t id = ++c->ids;
	struct buf b;
	int err;

	if (!c->log.greeted || !chan_open(&c->log.chan))
		return 0;
	buf_init(&b, 4096);
	pack_str(&b, app);
	err = b.error ? b.error
		      : chan_send(&c->log.chan, MSG_LOG_QUERY, id, ask, sizeof *ask, b.p, b.len,
				NULL, 0);
	buf_done(&b);
	return err ? 0 : id;
}

uint64_t logs_tail(struct ctl *c, const char *app, unsigned lines)
{
	struct msg_log_query ask = {.lines = lines};

	/* An earlier start's lines would say why that one failed. */
	if (c->up)
		ask.since_wall_us = c->up->started_wall_us;
	return query(c, &ask, app);
}

uint64_t logs_last(struct ctl *c, const char *app, unsigned lines)
{
	struct msg_log_query ask = {.lines = lines};

	return query(c, &ask, app);
}

void logs_keep(json_t *list, const char *text, size_t n)
{
	json_t *line = json_loadb(text, n, 0, NULL);
	const char *kind = json_string_value(json_object_get(line, "kind"));

	/* Its own words; that it started and ended is said already. */
	if (kind && strcmp(kind, "app") == 0 && json_array_append(list, line) == 0 &&
		json_array_size(list) > CTL_TAIL_LINES)
		(void)json_array_remove(list, 0);
	json_decref(line);
}

void logs_start(struct client *cl)
{
	struct msg_log_query ask = {.lines = cl->req.lines,
		.follow = cl->req.follow,
		.level = cl->req.level,
		.since_wall_us = cl->req.since_us};

	cl->query = query(cl->ctl, &ask, cl->req.app);
	if (!cl->query)
		client_end(cl, VERB_EXIT_FAILED, "The log process is just being started.",
			"try again", NULL);
}

void logs_stop(struct client *cl)
{
	struct msg_log_query none = {0};

	if (cl->query && chan_open(&cl->ctl->log.chan))
		(void)chan_send(&cl->ctl->log.chan, MSG_LOG_CANCEL, cl->query, &none, sizeof none,
			NULL, 0, NULL, 0);
	cl->query = 0;
}

static struct client *find(struct ctl *c, uint64_t id)
{
	struct client *cl = c->clients;

	while (cl && (cl->query == 0 || cl->query != id))
		cl = cl->next;
	return cl;
}

/* One line without its newline, and nothing that would end it early. */
static size_t line_of(const struct msg *m)
{
	const char *p = m->payload;
	size_t n = m->h.len;

	while (n && (p[n - 1] == '\n' || p[n - 1] == '\0'))
		n--;
	return n && !memchr(p, '\n', n) ? n : 0;
}

void logs_heard(struct ctl *c, const struct msg *m)
{
	struct client *cl = find(c, m->h.id);
	struct up *u = c->up && c->up->tail_query && c->up->tail_query == m->h.id ? c->up : NULL;
	size_t n = line_of(m);

	if (m->h.type == MSG_LOG_LINE && n) {
		if (cl && cl->lines)
			trouble_line(cl, m->payload, n);
		else if (cl)
			client_say_text(cl, m->payload, n);
		else if (u)
			up_tail_line(u, m->payload, n);
	} else if (m->h.type == MSG_LOG_END) {
		if (u) {
			up_tail_end(u);
		} else if (cl && cl->lines) {
			cl->query = 0;
			trouble_lines_end(cl);
		} else if (cl && !cl->req.follow) {
			cl->query = 0;
			client_end(cl, VERB_EXIT_DONE, "", "", NULL);
		}
	}
}

void logs_gone(struct ctl *c)
{
	for (struct client *cl = c->clients; cl; cl = cl->next)
		if (cl->query && cl->lines) {
			cl->query = 0;
			trouble_lines_end(cl);
		} else if (cl->query) {
			cl->query = 0;
			client_end(cl, VERB_EXIT_FAILED, "The log process was restarted.",
				"ask again", NULL);
		}
	if (c->up && c->up->tail_query)
		up_tail_end(c->up);
}
