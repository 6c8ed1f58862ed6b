/*
 * php.c: [Php]: what has to fit together, and the typed result: a pool of PHP-FPM as the program that answers
 * the site.
 *
 * Called by app.c behind service.c, whose struct it fills: the pool is run, watched and replaced as any other
 * program is. Owns nothing of its own.
 */
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

enum {
	IDLE_MS_MAX = 60 * 1000,
	/* A script that goes on behind its answer's head (a download) is let go on so many times as long as one
	 * may take to begin. */
	ENDS_AFTER = 10,
};

static const struct conf_value *get(const struct conf *c, enum conf_key key)
{
	const struct conf_value *v = c->plain.head[key];

	return v != NULL && v->text[0] != '\0' ? v : NULL;
}

static const char *text(const struct conf *c, enum conf_key key)
{
	const struct conf_value *v = get(c, key);

	return v != NULL ? v->text : "";
}

static uint64_t number(const struct conf *c, enum conf_key key)
{
	const struct conf_value *v = get(c, key);

	return v != NULL ? v->number : 0;
}

bool conf_php_is(const struct conf *c)
{
	return get(c, CONF_PHP_ROOT) != NULL && conf_target(c) == NULL &&
	       get(c, CONF_SERVICE_EXEC_START) == NULL;
}

static const struct conf_command *command(struct conf *c, const char *path)
{
	struct conf_command *cmd = conf_alloc(c, sizeof(*cmd));
	const char **argv = conf_alloc(c, 2 * sizeof(*argv));

	if (cmd == NULL || argv == NULL)
		return NULL;
	argv[0] = path;
	*cmd = (struct conf_command){.path = path, .argv = argv, .raw = true};
	return cmd;
}

void conf_php_fill(struct conf *c)
{
	struct conf_app *a = &c->app;
	struct conf_php *p = &a->php;
	uint64_t workers = number(c, CONF_PHP_WORKERS);

	*p = (struct conf_php){.root = "", .index = ""};
	if (!conf_php_is(c))
		return;
	*p = (struct conf_php){.on = true,
		.root = text(c, CONF_PHP_ROOT),
		.index = text(c, CONF_PHP_INDEX),
		.workers = (unsigned)workers,
		.workers_max = max_of((unsigned)(workers >> 32), (unsigned)workers),
		.max_requests = (unsigned)number(c, CONF_PHP_MAX_REQUESTS),
		.idle_stop_ms = number(c, CONF_PHP_IDLE_STOP),
		.script_ms = ENDS_AFTER * a->request_timeout_ms};
	/* Sooner than PHP-FPM would end the process that waits on a kept connection. */
	p->idle_ms = min_of(p->script_ms / 2, (uint64_t)IDLE_MS_MAX);
	if (p->idle_stop_ms != 0)
		p->idle_ms = min_of(p->idle_ms, p->idle_stop_ms);
	/* Files of the site are those beside its scripts. */
	a->root = p->root;
	a->service = (struct conf_service){.command = command(c, text(c, CONF_PHP_FPM)),
		.listen = SERVICE_FD,
		.protocol = CONF_PROTOCOL_FASTCGI,
		.ready = SERVICE_PROBED,
		.notify = SERVICE_NOTIFY_NONE,
		.kill = SERVICE_KILL_MAIN,
		.kill_signal = "SIGQUIT",
		.socket = "",
		.workers = 1,
		.start_ms = a->health_timeout_ms,
		.stop_ms = number(c, CONF_SERVICE_TIMEOUT_STOP),
		.lifetime_ms = number(c, CONF_PHP_LIFETIME)};
}

void conf_php_check(struct conf *c)
{
	const struct conf_value *root = get(c, CONF_PHP_ROOT), *index = get(c, CONF_PHP_INDEX);

	if (index != NULL && !conf_script_name(index->text))
		conf_find(c, CONF_ERROR, &index->pos, "write a name like index.php",
			"Index=: \"%.60s\" is not the name of a .php file", index->text);
	if (root != NULL && root->origin == CONF_FROM_FILE && !conf_php_is(c))
		conf_find(c, CONF_WARNING, &root->pos,
			"take one of them out; [Upstream] and [Route PATH] lead to further backends",
			"[Php] has no effect: the site has one app, and %s is there too",
			conf_target(c) != NULL ? "[Python]" : "ExecStart=");
}
