/*
 * tbl.c: the X-macro tables as arrays of rows, and the look-ups that every process shares.
 *
 * Called by everybody. Owns constant data only; allocates nothing, writes nothing.
 */
#include <string.h>

#include "tbl/tbl.h"

const struct proc_row proc_rows[PROC_END] = {
#define PROC(NAME, name_, many_, oneshot_, jail_, about_)                                          \
	[PROC_##NAME] = {#name_, about_, many_, oneshot_, jail_},
#include "procs.h"
#undef PROC
};

/* `none` stands for a message without a fixed part, though C has no empty struct. */
#define FIXED_BYTES(t) (__builtin_types_compatible_p(struct t, struct none) ? 0 : sizeof(struct t))
#define MSG(NAME, num, from_, to_, fixed, fds_min_, fds_max_, about_)                              \
	{.name = #NAME,                                                                            \
		.about = about_,                                                                   \
		.type = num,                                                                       \
		.from = from_,                                                                     \
		.to = to_,                                                                         \
		.fixed_bytes = FIXED_BYTES(fixed),                                                 \
		.fds_min = fds_min_,                                                               \
		.fds_max = fds_max_},
const struct msg_row msg_rows[] = {
#include "msgs.h"
};
#undef MSG
const unsigned msg_rows_n = sizeof(msg_rows) / sizeof(msg_rows[0]);

/* The place of each message in msg_rows, so that a look-up is one switch. */
#define MSG(NAME, num, from, to, fixed, fds_min, fds_max, about) MSG_AT_##NAME,
enum {
#include "msgs.h"
};
#undef MSG

const struct msg_row *msg_row(uint16_t type)
{
	switch (type) {
#define MSG(NAME, num, from, to, fixed, fds_min, fds_max, about)                                   \
	case num:                                                                                  \
		return &msg_rows[MSG_AT_##NAME];
#include "msgs.h"
#undef MSG
	default:
		return NULL;
	}
}

bool msg_allowed(enum proc from, enum proc to, uint16_t type, size_t payload_bytes, unsigned nfds)
{
	const struct msg_row *r = msg_row(type);

	if (r == NULL || from <= PROC_NONE || from >= PROC_END || to <= PROC_NONE || to >= PROC_END)
		return false;
	return (r->from & (1u << from)) != 0 && (r->to & (1u << to)) != 0 &&
	       payload_bytes >= r->fixed_bytes && nfds >= r->fds_min && nfds <= r->fds_max;
}

const struct act_row act_rows[ACT_END] = {
#define ACT(NAME, name_, args_, about_) [ACT_##NAME] = {#name_, about_, args_},
#include "acts.h"
#undef ACT
};

const struct close close_rows[CLOSE_END] = {
	[CLOSE_NONE] = {.name = "none", .text = ""},
#define CLOSE(NAME, name_, scope_, fault_, status_, text_)                                         \
	[CLOSE_##NAME] = {.name = #name_,                                                          \
		.text = text_,                                                                     \
		.scope = scope_,                                                                   \
		.fault = fault_,                                                                   \
		.status = status_},
#include "closes.h"
#undef CLOSE
};

#define EVENT(NAME, id_, level_, fields_, meaning_, todo_)                                         \
	{.id = id_,                                                                                \
		.name = #NAME,                                                                     \
		.fields = fields_,                                                                 \
		.meaning = meaning_,                                                               \
		.todo = todo_,                                                                     \
		.level = level_},
const struct event_row event_rows[] = {
#include "events.h"
};
#undef EVENT
const unsigned event_rows_n = sizeof(event_rows) / sizeof(event_rows[0]);

const struct event_row *event_row(uint32_t id)
{
	for (unsigned i = 0; i < event_rows_n; i++)
		if (event_rows[i].id == id)
			return &event_rows[i];
	return NULL;
}

static const struct alert_row alert_rows[] = {
#define ALERT(NAME, topic_, kind_, field_, only_)                                                  \
	{.event = EV_##NAME, .kind = kind_, .topic = #topic_, .field = field_, .only = only_},
#include "alerts.h"
#undef ALERT
};

const struct alert_row *alert_row(uint32_t event)
{
	for (size_t i = 0; i < sizeof(alert_rows) / sizeof(alert_rows[0]); i++)
		if (alert_rows[i].event == event)
			return &alert_rows[i];
	return NULL;
}

const struct finding_row finding_rows[FINDING_END] = {
#define FINDING(NAME, area_, level_, what_, why_, mend_)                                           \
	[FINDING_##NAME] = {#NAME, #area_, what_, why_, mend_, level_},
#include "findings.h"
#undef FINDING
};
const char *const doctor_level_names[DOCTOR_LEVELS] = {"ok", "note", "unseen", "warning", "error"};

const struct logvar_row logvar_rows[LOGVAR_END] = {
#define LOGVAR(NAME, name_, about_) [LOGVAR_##NAME] = {name_, about_},
#include "logvars.h"
#undef LOGVAR
};

const struct metric_row metric_rows[METRIC_END] = {
#define METRIC(NAME, name_, unit_, scope_, about_)                                                 \
	[METRIC_##NAME] = {#name_, unit_, about_, scope_, "", METRIC_GAUGE},
#include "metrics.h"
};
#define CELL(I, name_, label_, unit_, type_, about_)                                               \
	[I] = {.name = #name_, .unit = unit_, .about = about_, .label = label_, .type = type_},
const struct metric_row site_metric_rows[SITE_END] = {
#define SITE_METRIC(NAME, name, label, unit, type, about)                                          \
	CELL(SITE_##NAME, name, label, unit, type, about)
#include "metrics.h"
};
const struct metric_row upstream_metric_rows[UPSTREAM_END] = {
#define UPSTREAM_METRIC(NAME, name, label, unit, type, about)                                      \
	CELL(UPSTREAM_##NAME, name, label, unit, type, about)
#include "metrics.h"
};
const struct metric_row proc_metric_rows[PROC_METRIC_END] = {
#define PROC_METRIC(NAME, name, unit, type, about)                                                 \
	CELL(PROC_METRIC_##NAME, name, "", unit, type, about)
#include "metrics.h"
};
#undef CELL
const char *const metric_type_names[METRIC_HISTOGRAM + 1] = {"counter", "gauge", "histogram"};

bool metric_is_counter(enum metric m)
{
	const char *name = metric_rows[m].name;
	size_t n = strlen(name);

	return n > 6 && memcmp(name + n - 6, "_total", 6) == 0;
}

bool counters_page_good(const struct counters_page *c)
{
	return c->magic == COUNTERS_MAGIC && c->metrics == METRIC_END && c->sites == COUNTER_SITES_MAX &&
	       c->upstreams == COUNTER_UPSTREAMS_MAX && c->site_columns == SITE_END &&
	       c->upstream_columns == UPSTREAM_END && c->buckets == METRIC_BUCKETS;
}

const struct section_row section_rows[SECTION_END] = {
#define SECTION(NAME, name_, arg_, flags_, about_)                                                 \
	[SECTION_##NAME] = {.name = name_, .about = about_, .arg = arg_, .flags = flags_},
#include "config.h"
#undef SECTION
#undef CONF
#undef CONF_LATER_KEY
#undef CONF_NOTED_KEY
#undef CONF_REFUSED_KEY
};

const struct conf_row conf_rows[CONF_END] = {
#define CONF(NAME, section_, key_, type_, flags_, deflt_, min_, max_, unit_, when_, line_, prose_, \
	example_)                                                                                  \
	[CONF_##NAME] = {.key = key_,                                                              \
		.deflt = deflt_,                                                                   \
		.unit = unit_,                                                                     \
		.line = line_,                                                                     \
		.prose = prose_,                                                                   \
		.example = example_,                                                               \
		.min = min_,                                                                       \
		.max = max_,                                                                       \
		.section = SECTION_##section_,                                                     \
		.type = type_,                                                                     \
		.flags = flags_,                                                                   \
		.when = when_},
#include "config.h"
#undef SECTION
#undef CONF
#undef CONF_LATER_KEY
#undef CONF_NOTED_KEY
#undef CONF_REFUSED_KEY
};

const char *const conf_type_names[CONF_TYPE_END] = {
	[CONF_TYPE_NAME] = "name",
	[CONF_TYPE_BOOL] = "bool",
	[CONF_TYPE_TIME] = "time",
	[CONF_TYPE_SIZE] = "size",
	[CONF_TYPE_INT] = "number",
	[CONF_TYPE_COUNT] = "number or `cores`",
	[CONF_TYPE_SPAN] = "number, MIN:MAX or `cores`",
	[CONF_TYPE_ENUM] = "word",
	[CONF_TYPE_STRING] = "text",
	[CONF_TYPE_PATH] = "path",
	[CONF_TYPE_LIST] = "list",
	[CONF_TYPE_HOSTS] = "host names",
	[CONF_TYPE_ADDR] = "address",
	[CONF_TYPE_PREFIX] = "PREFIX PATH",
	[CONF_TYPE_ERRPAGE] = "CODE PATH",
	[CONF_TYPE_WSGI] = "MODULE:OBJECT",
	[CONF_TYPE_DBNAME] = "database name",
	[CONF_TYPE_ENV] = "assignments",
	[CONF_TYPE_ENVFILE] = "path",
	[CONF_TYPE_CIDR] = "networks",
	[CONF_TYPE_TRUSTED] = "networks or `cloudflare`",
	[CONF_TYPE_HEADER] = "[request|response] set|add|remove NAME VALUE",
	[CONF_TYPE_REDIRECT] = "CODE FROM TO",
	[CONF_TYPE_REWRITE] = "REGEX TO",
	[CONF_TYPE_RATE] = "N/s burst=N by=address|site|header:NAME",
	[CONF_TYPE_TRY] = "paths",
	[CONF_TYPE_URL] = "URL",
	[CONF_TYPE_METHOD] = "methods",
	[CONF_TYPE_MATCH] = "NAME VALUE",
	[CONF_TYPE_TO] = "app, static, an upstream or a URL",
	[CONF_TYPE_SERVER] = "URL or unix:PATH, weight=N",
	[CONF_TYPE_TOKEN] = "name",
	[CONF_TYPE_USER] = "NAME:HASH",
	[CONF_TYPE_LOCAL] = "off or a loopback ADDR:PORT",
	[CONF_TYPE_LOGFORMAT] = "combined, json, off or a format with $variables",
	[CONF_TYPE_CALENDAR] = "calendar event",
	[CONF_TYPE_CMD] = "command line",
	[CONF_TYPE_VARS] = "names",
	[CONF_TYPE_EXITS] = "exit codes and signals",
	[CONF_TYPE_SIGNAL] = "signal",
	[CONF_TYPE_BASE64] = "base64",
	[CONF_TYPE_LIMIT] = "N, SOFT:HARD or infinity",
	[CONF_TYPE_AMOUNT] = "size, number, % or infinity",
	[CONF_TYPE_MODE] = "octal mode",
	[CONF_TYPE_SIGNED] = "number",
	[CONF_TYPE_JAILPATH] = "paths",
	[CONF_TYPE_SANDBOX] = "words",
	[CONF_TYPE_ACCOUNT] = "account",
	[CONF_TYPE_OWN_DIRECTORY] = "paths",
	[CONF_TYPE_LISTEN] = "auto, fd, port, port:N, unix:PATH, uwsgi:PATH or fastcgi:PATH",
};

const struct calls_row calls_rows[] = {
#define CALLS(set_, names_) {.set = set_, .names = names_},
#include "calls.h"
#undef CALLS
};
const size_t calls_rows_n = sizeof(calls_rows) / sizeof(*calls_rows);

const struct conf_known_row conf_known_rows[] = {
#define CONF_LATER_KEY(section_, key_) {.key = key_, .section = SECTION_##section_, .later = true, .why = ""},
#define CONF_NOTED_KEY(section_, key_, ...) {.key = key_, .section = SECTION_##section_, .why = "" __VA_ARGS__},
#define CONF_REFUSED_KEY(section_, key_, why_, todo_)                                              \
	{.key = key_, .section = SECTION_##section_, .refused = true, .why = why_, .todo = todo_},
#include "config.h"
#undef SECTION
#undef CONF
#undef CONF_LATER_KEY
#undef CONF_NOTED_KEY
#undef CONF_REFUSED_KEY
};
const unsigned conf_known_rows_n = sizeof(conf_known_rows) / sizeof(conf_known_rows[0]);

const struct systemd_row systemd_rows[] = {
#define SYSTEMD(key_, verdict_, how_) {.key = CONF_##key_, .verdict = SYSTEMD_##verdict_, .how = how_},
#include "systemd.h"
};
const unsigned systemd_rows_n = sizeof(systemd_rows) / sizeof(systemd_rows[0]);

const struct command_row command_rows[VERB_END] = {
#define COMMAND(NAME, name_, arguments_, min_, max_, completes_, line_, prose_)                    \
	[VERB_##NAME] = {.name = name_,                                                            \
		.arguments = arguments_,                                                           \
		.line = line_,                                                                     \
		.prose = prose_,                                                                   \
		.min = min_,                                                                       \
		.max = max_,                                                                       \
		.completes = completes_},
#include "commands.h"
};

#define V(NAME) (1u << VERB_##NAME)
#define V_ALL ((1u << VERB_END) - 1)
#define V_NONE 0u
/* The verbs that speak to one instance of stead. */
#define V_INSTANCE (V(UP) | V(CHECK) | V(STATUS) | V(STOP) | V(RESTART) | V(RELOAD) | V(LOGS))
const struct option_row option_rows[OPTION_END] = {
#define OPTION(NAME, name_, letter_, argument_, verbs_, completes_, about_)                        \
	[OPTION_##NAME] = {.name = name_,                                                          \
		.argument = argument_,                                                             \
		.about = about_,                                                                   \
		.verbs = verbs_,                                                                   \
		.letter = letter_,                                                                 \
		.completes = completes_},
#include "commands.h"
};

const char *const verb_exit_texts[VERB_EXIT_END] = {
#define EXIT_ROW(NAME, code, text) [VERB_EXIT_##NAME] = text,
#include "commands.h"
};

const struct request_row request_rows[REQUEST_END] = {
	[REQUEST_NONE] = {.name = "", .verb = VERB_END, .who = WHO_OWNER},
#define REQUEST(NAME, name_, verb_, who_)                                                          \
	[REQUEST_##NAME] = {.name = name_, .verb = VERB_##verb_, .who = WHO_##who_},
#include "commands.h"
};

const char *const who_texts[WHO_END] = {
	[WHO_OWNER] = "root and the user that runs stead",
	[WHO_OPERATORS] = "root, the user that runs stead, and the group stead",
	[WHO_DEPLOYERS] = "root, the user that runs stead, the group stead, and the app's deployers",
};

const char *const service_result_names[RESULTS] = {
	[RESULT_SUCCESS] = "success",
	[RESULT_RESOURCES] = "resources",
	[RESULT_PROTOCOL] = "protocol",
	[RESULT_TIMEOUT] = "timeout",
	[RESULT_EXIT_CODE] = "exit-code",
	[RESULT_SIGNAL] = "signal",
	[RESULT_CORE_DUMP] = "core-dump",
	[RESULT_WATCHDOG] = "watchdog",
	[RESULT_START_LIMIT_HIT] = "start-limit-hit",
	[RESULT_EXEC_CONDITION] = "exec-condition",
	[RESULT_OOM_KILL] = "oom-kill",
};
