/*
 * introspect.c: `stead introspect TABLE`: a table of tbl/ as one JSON document.
 *
 * Called by the CLI. Reads the tables only, so that what it prints is what the program knows.
 */
#include <errno.h>
#include <string.h>

#include "conf.h"
#include "lib/must.h"

static void str(struct buf *b, const char *s)
{
	buf_put_json(b, s, strlen(s));
}

static void field(struct buf *b, const char *name, const char *value)
{
	str(b, name);
	buf_putc(b, ':');
	str(b, value);
}

static void more_field(struct buf *b, const char *name, const char *value)
{
	buf_putc(b, ',');
	field(b, name, value);
}

static void more_number(struct buf *b, const char *name, uint64_t value)
{
	buf_putc(b, ',');
	str(b, name);
	buf_putc(b, ':');
	buf_putu(b, value);
}

static void more_bool(struct buf *b, const char *name, bool value)
{
	buf_putc(b, ',');
	str(b, name);
	buf_puts(b, value ? ":true" : ":false");
}

/* Rows stand one a line, so that two versions compare well. */
static void row_begin(struct buf *b, bool *first)
{
	buf_puts(b, *first ? "\n{" : ",\n{");
	*first = false;
}

static const char *const whens[] = {
	[WHEN_RELOAD] = "reload", [WHEN_RESTART] = "restart", [WHEN_UP] = "up"};

static void config(struct buf *b)
{
	bool first = true;

	for (enum conf_key k = 0; k < CONF_END; k++) {
		const struct conf_row *r = &conf_rows[k];

		row_begin(b, &first);
		field(b, "section", section_rows[r->section].name);
		more_field(b, "key", r->key);
		more_field(b, "type", conf_type_names[r->type]);
		more_field(b, "default", r->deflt);
		more_number(b, "min", r->min);
		more_number(b, "max", r->max);
		more_field(b, r->type == CONF_TYPE_ENUM ? "words" : "unit", r->unit);
		more_bool(b, "list", (r->flags & CONF_MANY) != 0);
		more_bool(b, "detected", (r->flags & CONF_DETECT) != 0);
		more_bool(b, "specifiers", (r->flags & CONF_SPECIFIERS) != 0);
		more_field(b, "takes_effect", whens[r->when]);
		more_field(b, "about", r->line);
		more_field(b, "text", r->prose);
		more_field(b, "example", r->example);
		more_field(b, "status", r->flags & CONF_LATER ? "later" : "built");
		buf_putc(b, '}');
	}
	for (unsigned i = 0; i < conf_known_rows_n; i++) {
		row_begin(b, &first);
		field(b, "section", section_rows[conf_known_rows[i].section].name);
		more_field(b, "key", conf_known_rows[i].key);
		more_field(b, "status",
			conf_known_rows[i].later     ? "later"
			: conf_known_rows[i].refused ? "refused"
						     : "noted");
		if (conf_known_rows[i].why[0] != '\0')
			more_field(b, "text", conf_known_rows[i].why);
		if (conf_known_rows[i].refused)
			more_field(b, "todo", conf_known_rows[i].todo);
		buf_putc(b, '}');
	}
}

static void options(struct buf *b, uint32_t verbs)
{
	bool first = true;

	buf_puts(b, ",\"options\":[");
	for (enum option o = 0; o < OPTION_END; o++) {
		const struct option_row *r = &option_rows[o];

		if (verbs == 0 ? r->verbs != 0 : (r->verbs & verbs) == 0)
			continue;
		buf_puts(b, first ? "{" : ",{");
		first = false;
		field(b, "name", r->name);
		more_field(b, "letter", r->letter != 0 ? (char[]){r->letter, '\0'} : "");
		more_field(b, "argument", r->argument);
		more_field(b, "about", r->about);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void requests(struct buf *b, enum verb v)
{
	static const char *const whos[WHO_END] = {"owner", "operators", "deployers"};
	bool first = true;

	buf_puts(b, ",\"requests\":[");
	for (enum request_verb r = REQUEST_NONE + 1; r < REQUEST_END; r++) {
		if (request_rows[r].verb != v)
			continue;
		buf_puts(b, first ? "{" : ",{");
		first = false;
		field(b, "name", request_rows[r].name);
		more_field(b, "who", whos[request_rows[r].who]);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void commands(struct buf *b)
{
	bool first = true;

	for (enum verb v = 0; v < VERB_END; v++) {
		const struct command_row *r = &command_rows[v];

		row_begin(b, &first);
		field(b, "name", r->name);
		more_field(b, "arguments", r->arguments);
		more_number(b, "min", r->min);
		more_number(b, "max", r->max);
		more_field(b, "about", r->line);
		more_field(b, "text", r->prose);
		options(b, 1u << v);
		requests(b, v);
		buf_putc(b, '}');
	}
}

static void metric(struct buf *b, bool *first, const struct metric_row *r, const char *scope, const char *type)
{
	row_begin(b, first);
	field(b, "name", r->name);
	more_field(b, "type", type);
	more_field(b, "unit", r->unit);
	more_field(b, "scope", scope);
	more_field(b, "label", r->label);
	more_field(b, "about", r->about);
	buf_putc(b, '}');
}

static void metrics(struct buf *b)
{
	static const struct {
		const char *scope;
		const struct metric_row *rows;
		unsigned n;
	} more[] = {{"site", site_metric_rows, SITE_END}, {"upstream", upstream_metric_rows, UPSTREAM_END},
		{"process", proc_metric_rows, PROC_METRIC_END}};
	bool first = true;

	for (enum metric m = 0; m < METRIC_END; m++)
		metric(b, &first, &metric_rows[m], "gate",
			metric_type_names[metric_is_counter(m) ? METRIC_COUNTER : METRIC_GAUGE]);
	for (unsigned k = 0; k < ARRAY_LEN(more); k++)
		for (unsigned i = 0; i < more[k].n; i++)
			metric(b, &first, &more[k].rows[i], more[k].scope, metric_type_names[more[k].rows[i].type]);
}

static void logvars(struct buf *b)
{
	bool first = true;

	for (enum logvar v = 0; v < LOGVAR_END; v++) {
		row_begin(b, &first);
		field(b, "name", logvar_rows[v].name);
		more_field(b, "about", logvar_rows[v].about);
		buf_putc(b, '}');
	}
}

static const char *level_name(unsigned level)
{
	static const char *const names[] = {[LEVEL_CRITICAL] = "critical",
		[LEVEL_ERROR] = "error",
		[LEVEL_WARNING] = "warning",
		[LEVEL_NOTICE] = "notice",
		[LEVEL_INFO] = "info",
		[LEVEL_DEBUG] = "debug"};

	return level < ARRAY_LEN(names) && names[level] != NULL ? names[level] : "";
}

static void events(struct buf *b)
{
	bool first = true;

	for (unsigned i = 0; i < event_rows_n; i++) {
		const struct event_row *r = &event_rows[i];

		row_begin(b, &first);
		field(b, "name", r->name);
		more_number(b, "id", r->id);
		more_field(b, "level", level_name(r->level));
		more_field(b, "fields", r->fields);
		more_field(b, "meaning", r->meaning);
		more_field(b, "todo", r->todo);
		buf_putc(b, '}');
	}
}

static void closes(struct buf *b)
{
	bool first = true;

	for (enum close_id i = CLOSE_NONE + 1; i < CLOSE_END; i++) {
		const struct close *r = &close_rows[i];

		row_begin(b, &first);
		field(b, "name", r->name);
		more_number(b, "status", r->status);
		more_bool(b, "fault", r->fault);
		more_bool(b, "connection", (r->scope & CLOSE_CONN) != 0);
		more_bool(b, "request", (r->scope & CLOSE_REQ) != 0);
		more_bool(b, "link", (r->scope & CLOSE_LINK) != 0);
		more_field(b, "text", r->text);
		buf_putc(b, '}');
	}
}

static void roles(struct buf *b, const char *name, uint32_t bits)
{
	bool first = true;

	buf_putc(b, ',');
	str(b, name);
	buf_puts(b, ":[");
	for (enum proc p = PROC_NONE + 1; p < PROC_END; p++) {
		if (!(bits & (1u << p)))
			continue;
		if (!first)
			buf_putc(b, ',');
		first = false;
		str(b, proc_rows[p].name);
	}
	buf_putc(b, ']');
}

static void messages(struct buf *b)
{
	bool first = true;

	for (unsigned i = 0; i < msg_rows_n; i++) {
		const struct msg_row *r = &msg_rows[i];

		row_begin(b, &first);
		field(b, "name", r->name);
		more_number(b, "type", r->type);
		roles(b, "from", r->from);
		roles(b, "to", r->to);
		more_number(b, "fixed_bytes", r->fixed_bytes);
		more_number(b, "fds_min", r->fds_min);
		more_number(b, "fds_max", r->fds_max);
		more_field(b, "about", r->about);
		buf_putc(b, '}');
	}
}

static void procs(struct buf *b)
{
	static const char *const jails[] = {[JAIL_NONE] = "none",
		[JAIL_USER] = "user",
		[JAIL_ROOT] = "root",
		[JAIL_APP] = "app"};
	bool first = true;

	for (enum proc p = PROC_NONE + 1; p < PROC_END; p++) {
		row_begin(b, &first);
		field(b, "name", proc_rows[p].name);
		more_bool(b, "many", proc_rows[p].many == PROC_MANY);
		more_bool(b, "oneshot", proc_rows[p].oneshot != 0);
		more_field(b, "jail", jails[proc_rows[p].jail]);
		more_field(b, "about", proc_rows[p].about);
		buf_putc(b, '}');
	}
}

static void acts(struct buf *b)
{
	bool first = true;

	for (enum act a = ACT_NONE + 1; a < ACT_END; a++) {
		row_begin(b, &first);
		field(b, "name", act_rows[a].name);
		more_number(b, "arguments", act_rows[a].args);
		more_field(b, "about", act_rows[a].about);
		buf_putc(b, '}');
	}
}

static void findings(struct buf *b)
{
	bool first = true;

	for (enum finding f = 0; f < FINDING_END; f++) {
		const struct finding_row *r = &finding_rows[f];

		row_begin(b, &first);
		field(b, "name", r->name);
		more_field(b, "area", r->area);
		more_field(b, "level", doctor_level_names[r->level]);
		more_field(b, "what", r->what);
		more_field(b, "why", r->why);
		more_field(b, "mend", r->mend);
		buf_putc(b, '}');
	}
}

int conf_introspect(struct buf *ret, const char *table)
{
	static const struct {
		const char *name;
		void (*print)(struct buf *b);
	} tables[] = {{"config", config}, {"commands", commands}, {"metrics", metrics},
		{"events", events}, {"findings", findings}, {"closes", closes}, {"messages", messages}, {"procs", procs},
		{"acts", acts}, {"logvars", logvars}};

	for (unsigned i = 0; i < ARRAY_LEN(tables); i++) {
		if (strcmp(tables[i].name, table) != 0)
			continue;
		buf_puts(ret, "{");
		field(ret, "table", table);
		more_field(ret, "version", STEAD_VERSION);
		buf_puts(ret, ",\"rows\":[");
		tables[i].print(ret);
		buf_puts(ret, "\n]}\n");
		return 0;
	}
	return -ENOENT;
}
