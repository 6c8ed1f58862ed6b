/*
 * service.c: [Service]: where a program listens, what has to fit together, the typed result.
 *
 * Called by value.c and app.c. A program counts that the file names, or that was found where no app
 * was; where the file names Wsgi= or Asgi= too, that is stead's own to run and the program is for systemd.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"

enum type { TYPE_SIMPLE, TYPE_EXEC, TYPE_NOTIFY, TYPE_NOTIFY_RELOAD, TYPE_FORKING, TYPE_ONESHOT, TYPE_DBUS, TYPE_IDLE };
enum access { ACCESS_NONE, ACCESS_MAIN, ACCESS_EXEC, ACCESS_ALL };
enum { KILL_MODE_GROUP, KILL_MODE_MIXED, KILL_MODE_PROCESS, KILL_MODE_NONE };

static const struct scheme {
	const char *name;
	enum conf_protocol protocol;
} schemes[] = {{"unix:", CONF_PROTOCOL_HTTP}, {"uwsgi:", CONF_PROTOCOL_UWSGI},
	{"fastcgi:", CONF_PROTOCOL_FASTCGI}};

/* What the text says, into s. -EINVAL. */
static int parse_listen(const char *text, struct conf_service *s)
{
	static const char *const words[] = {
		[SERVICE_FD] = "fd", [SERVICE_PORT] = "port", [SERVICE_AUTO] = "auto"};
	unsigned long port = 0;

	s->socket = "";
	s->protocol = CONF_PROTOCOL_HTTP;
	if (strcmp(text, "none") == 0) {
		s->listen = SERVICE_NONE;
		return 0;
	}
	s->linked = strcmp(text, "link") == 0;
	if (s->linked) {
		s->listen = SERVICE_NONE;
		return 0;
	}
	for (uint32_t i = SERVICE_FD; i <= SERVICE_AUTO; i++)
		if (strcmp(text, words[i]) == 0) {
			s->listen = i;
			return 0;
		}
	if (strncmp(text, "port:", 5) == 0) {
		for (const char *p = text + 5; *p != '\0'; p++) {
			if (*p < '0' || *p > '9' || port > 65535)
				return -EINVAL;
			port = port * 10 + (unsigned long)(*p - '0');
		}
		s->listen = SERVICE_PORT;
		s->port = (unsigned)port;
		return port >= 1 && port <= 65535 ? 0 : -EINVAL;
	}
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t n = strlen(schemes[i].name);

		if (strncmp(text, schemes[i].name, n) != 0 || text[n] == '\0')
			continue;
		s->protocol = schemes[i].protocol;
		s->listen = strcmp(text + n, "fd") == 0 ? SERVICE_FD : SERVICE_PATH;
		s->socket = s->listen == SERVICE_PATH ? text + n : "";
		return 0;
	}
	return -EINVAL;
}

int conf_listen_check(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	struct conf_service s = {0};

	(void)c;
	if (parse_listen(text, &s) < 0) {
		buf_printf(why, "\"%.80s\" is no place to listen at", text);
		buf_puts(todo, "one of auto, fd, port, port:N, unix:PATH, uwsgi:PATH, fastcgi:PATH, link, none");
		return -EINVAL;
	}
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p <= 0x20) {
			buf_puts(why, "a socket's path has neither blanks nor control characters");
			return -EINVAL;
		}
	v->number = s.listen;
	return 0;
}

/* ---- the typed result ---- */

static uint64_t number(const struct conf *c, enum conf_key key)
{
	return c->at->head[key] != NULL ? c->at->head[key]->number : 0;
}

bool conf_service_wins(const struct conf *c)
{
	const struct conf_value *exec = c->plain.head[CONF_SERVICE_EXEC_START];
	const struct conf_value *target = conf_target(c);

	return exec != NULL && exec->text[0] != '\0' &&
	       (target == NULL || target->origin < exec->origin);
}

static bool notifies(const struct conf *c)
{
	uint64_t type = number(c, CONF_SERVICE_TYPE);

	return type == TYPE_NOTIFY || type == TYPE_NOTIFY_RELOAD;
}

static uint32_t notify_of(const struct conf *c)
{
	const struct conf_value *v = c->at->head[CONF_SERVICE_NOTIFY_ACCESS];

	if (v != NULL)
		return v->number == ACCESS_NONE   ? SERVICE_NOTIFY_NONE
		       : v->number == ACCESS_ALL  ? SERVICE_NOTIFY_ALL
		       : v->number == ACCESS_EXEC ? SERVICE_NOTIFY_EXEC
						  : SERVICE_NOTIFY_MAIN;
	return notifies(c) || number(c, CONF_SERVICE_WATCHDOG) != 0 ? SERVICE_NOTIFY_MAIN
								    : SERVICE_NOTIFY_NONE;
}

/* The port that Environment= names is the one that it will take. */
static unsigned port_of(const struct conf *c)
{
	unsigned long port = 0;

	for (const struct conf_value *v = c->plain.head[CONF_SERVICE_ENVIRONMENT]; v != NULL;
		v = v->next) {
		if (v->part1 == NULL || strcmp(v->part1, "PORT") != 0)
			continue;
		port = 0;
		for (const char *p = v->part2; *p >= '0' && *p <= '9' && port <= 65535; p++)
			port = port * 10 + (unsigned long)(*p - '0');
	}
	return port <= 65535 ? (unsigned)port : 0;
}

/* As systemd has it: 0 takes the bound away. */
static uint64_t unbounded(const struct conf *c, enum conf_key key, uint64_t ms)
{
	const struct conf_value *v = c->at->head[key];

	return v != NULL && v->origin != CONF_FROM_DEFAULT && v->number == 0 ? conf_rows[key].max : ms;
}

static uint64_t start_left_out(const struct conf *c, uint32_t ready)
{
	/* What does its work and ends may take as long as that takes. */
	return ready == SERVICE_EXITS ? conf_rows[CONF_SERVICE_TIMEOUT_START].max
				      : c->plain.head[CONF_SITE_HEALTH_TIMEOUT]->number;
}

static void fill(const struct conf *c, struct conf_service *s)
{
	const struct conf_value *listen = c->plain.head[CONF_SERVICE_LISTEN];
	const struct conf_value *kill = c->plain.head[CONF_SERVICE_KILL_SIGNAL];
	uint64_t both = unbounded(c, CONF_SERVICE_TIMEOUT, number(c, CONF_SERVICE_TIMEOUT));
	uint64_t start = unbounded(c, CONF_SERVICE_TIMEOUT_START, number(c, CONF_SERVICE_TIMEOUT_START));

	if (number(c, CONF_SERVICE_TYPE) == TYPE_ONESHOT)
		(void)parse_listen("none", s);
	else
		(void)parse_listen(listen != NULL ? listen->text : "auto", s);
	if (s->listen == SERVICE_PORT || s->listen == SERVICE_AUTO)
		s->port = s->port != 0 ? s->port : port_of(c);
	s->ready = notifies(c)					? SERVICE_NOTIFIES
		   : number(c, CONF_SERVICE_TYPE) == TYPE_ONESHOT ? SERVICE_EXITS
		   : s->listen == SERVICE_NONE && !s->linked	? SERVICE_SPAWNED
								: SERVICE_PROBED;
	s->notify = notify_of(c);
	s->kill = number(c, CONF_SERVICE_KILL_MODE) == KILL_MODE_GROUP  ? SERVICE_KILL_GROUP
		  : number(c, CONF_SERVICE_KILL_MODE) == KILL_MODE_NONE ? SERVICE_KILL_NONE
									: SERVICE_KILL_MAIN;
	s->kill_signal = kill != NULL ? kill->text : "SIGTERM";
	s->workers = (unsigned)number(c, CONF_SERVICE_WORKERS);
	s->threads = (unsigned)number(c, CONF_SERVICE_THREADS);
	s->start_ms = start != 0 ? start : both != 0 ? both : start_left_out(c, s->ready);
	s->stop_ms = unbounded(c, CONF_SERVICE_TIMEOUT_STOP, number(c, CONF_SERVICE_TIMEOUT_STOP));
	if (both != 0 && c->plain.head[CONF_SERVICE_TIMEOUT_STOP]->origin == CONF_FROM_DEFAULT)
		s->stop_ms = both;
	s->watchdog_ms = number(c, CONF_SERVICE_WATCHDOG);
	s->lifetime_ms = number(c, CONF_SERVICE_LIFETIME);
	s->rss_max = number(c, CONF_SERVICE_RSS_MAX);
}

/* A signal as the parent takes it, whatever it is called. */
static const char *number_text(struct conf *c, int n)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", n);
	return conf_strndup(c, text, strlen(text));
}

void conf_service_fill(struct conf *c)
{
	struct conf_service *s = &c->app.service;

	*s = (struct conf_service){.socket = "", .kill_signal = "SIGTERM"};
	fill(c, s);
	conf_life_fill(c, &s->life);
	s->kill_signal = number_text(c, conf_signal_of(s->kill_signal));
	if (!conf_service_wins(c))
		return;
	s->command = conf_command_of(c, c->plain.head[CONF_SERVICE_EXEC_START]->text);
	if (s->command != NULL && s->command->ignore)
		s->life.flags |= SERVICE_LIFE_IGNORE;
}

void conf_program_life(struct conf *c, struct conf_scope *s, struct conf_program *p)
{
	uint64_t start;

	c->at = s;
	conf_life_fill(c, &p->life);
	p->ready = notifies(c)					? SERVICE_NOTIFIES
		   : number(c, CONF_SERVICE_TYPE) == TYPE_ONESHOT ? SERVICE_EXITS
								: SERVICE_SPAWNED;
	p->notify = notify_of(c);
	start = unbounded(c, CONF_SERVICE_TIMEOUT_START, number(c, CONF_SERVICE_TIMEOUT_START));
	p->start_ms = start != 0 ? start : start_left_out(c, p->ready);
	p->watchdog_ms = number(c, CONF_SERVICE_WATCHDOG);
	if (p->command != NULL && p->command->ignore)
		p->life.flags |= SERVICE_LIFE_IGNORE;
	c->at = &c->plain;
}

/* ---- what has to fit together ---- */

static void check_type(struct conf *c)
{
	const struct conf_value *type = c->plain.head[CONF_SERVICE_TYPE];
	const struct conf_value *access = c->plain.head[CONF_SERVICE_NOTIFY_ACCESS];
	const struct conf_value *watchdog = c->plain.head[CONF_SERVICE_WATCHDOG];

	if (type->number == TYPE_FORKING || type->number == TYPE_DBUS)
		conf_find(c, CONF_ERROR, &type->pos,
			type->number == TYPE_FORKING
				? "let it stay in the foreground, and take Type= out"
				: "take Type= out",
			type->number == TYPE_FORKING
				? "Type=%s: a program is watched by the process that was started"
				: "Type=%s: stead has no part in D-Bus",
			type->text);
	if (access != NULL && access->number == ACCESS_NONE && notifies(c))
		conf_find(c, CONF_ERROR, &access->pos, "write main or all, or take it out",
			"NotifyAccess=none: with Type=notify nobody could say that it is ready");
	if (watchdog->number != 0 && notify_of(c) == SERVICE_NOTIFY_NONE)
		conf_find(c, CONF_ERROR, &watchdog->pos, "write NotifyAccess=main",
			"WatchdogSec=: with NotifyAccess=none nobody could say that it is well");
}

static void check_place(struct conf *c)
{
	const struct conf_value *workers = c->plain.head[CONF_SERVICE_WORKERS];
	const struct conf_value *threads = c->plain.head[CONF_SERVICE_THREADS];
	struct conf_service s = {0};

	fill(c, &s);
	if (s.linked && (notifies(c) || s.watchdog_ms != 0))
		conf_find(c, CONF_ERROR, &c->plain.head[CONF_SERVICE_LISTEN]->pos,
			"take Type= and WatchdogSec= out",
			"Listen=link: the link itself says that the program is ready and well");
	if (!s.linked && threads->origin != CONF_FROM_DEFAULT)
		conf_find(c, CONF_ERROR, &threads->pos,
			"tell the program itself: an argument in ExecStart=, or a variable in "
			"Environment=",
			"Threads=: stead can say it only to a program of libstead (Listen=link)");
	if (workers->number > 1 && (s.listen == SERVICE_PATH || s.port != 0))
		conf_find(c, CONF_ERROR, &workers->pos,
			"take Workers= out, or let it listen with fd, port or auto",
			"Workers=%s: a fixed %s is one program's", workers->text,
			s.port != 0 ? "port" : "socket");
}

/* The life of a program that stead does not run here: what is written for it would be lost. */
static void check_life_elsewhere(struct conf *c)
{
	static const enum conf_key keys[] = {CONF_SERVICE_WORKERS, CONF_SERVICE_THREADS,
		CONF_SERVICE_LIFETIME, CONF_SERVICE_RSS_MAX};
	const char *own = conf_target(c) != NULL ? "Python" : conf_php_is(c) ? "Php" : NULL;
	char todo[96];

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const struct conf_value *v = c->plain.head[keys[i]];

		if (v == NULL || v->origin == CONF_FROM_DEFAULT)
			continue;
		if (own == NULL) {
			conf_find(c, CONF_WARNING, &v->pos, "write ExecStart=, or take it out",
				"%s= has no effect: there is no program whose life it could be",
				conf_rows[keys[i]].key);
			continue;
		}
		(void)snprintf(todo, sizeof(todo), "write it in [%s]", own);
		conf_find(c, CONF_ERROR, &v->pos, todo,
			"%s= in [Service] is of the program of ExecStart=, and the app of [%s] is "
			"run instead",
			conf_rows[keys[i]].key, own);
	}
}

void conf_service_check(struct conf *c)
{
	const struct conf_value *exec = c->plain.head[CONF_SERVICE_EXEC_START];
	const struct conf_value *listen = c->plain.head[CONF_SERVICE_LISTEN];

	if (!conf_service_wins(c))
		check_life_elsewhere(c);
	if (conf_service_wins(c)) {
		check_type(c);
		check_place(c);
		conf_life_check(c);
	} else if (exec != NULL && exec->text[0] != '\0') {
		conf_find(c, CONF_NOTE, &exec->pos, "",
			"ExecStart= is for systemd alone: the app that [Python] names is run by stead itself");
	} else if (listen != NULL && listen->origin != CONF_FROM_DEFAULT) {
		conf_find(c, CONF_WARNING, &listen->pos, "write ExecStart=, or take it out",
			"Listen= has no effect: there is no program that could listen");
	}
}
