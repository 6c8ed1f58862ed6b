/*
 * app.c: defaults, what concerns several values at once, and the typed struct conf_app.
 *
 * Called by check and ctl at the end of a conf's making. Owns nothing of its own.
 */
#include <errno.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/hostname.h"
#include "lib/must.h"

const struct conf_app *conf_app(const struct conf *c)
{
	must(c->finished && c->errors == 0);
	return &c->app;
}

/* The defaults that depend on other values. */
static void derived_defaults(struct conf *c)
{
	if (c->at->head[CONF_SITE_NAME] == NULL && c->facts.name != NULL)
		(void)conf_put_key(c, CONF_SITE_NAME, c->facts.name, CONF_FROM_DEFAULT, NULL);
	if (c->at->head[CONF_POSTGRES_DATABASE] == NULL && c->at->head[CONF_SITE_NAME] != NULL &&
		!c->facts.folderless) {
		const char *name = c->at->head[CONF_SITE_NAME]->text;
		char *db = conf_strndup(c, name, strlen(name));

		for (char *p = db; p != NULL && *p != '\0'; p++)
			*p = *p == '-' ? '_' : *p;
		if (db != NULL)
			(void)conf_put_key(c, CONF_POSTGRES_DATABASE, db, CONF_FROM_DEFAULT, NULL);
	}
}

/* A row's default, which is written as in a file: words of a list are items. */
static void row_default(struct conf *c, enum conf_key k)
{
	const char *at = conf_rows[k].deflt, *word, *why;
	size_t off;

	if (c->at->head[k] != NULL || *at == '\0')
		return;
	if (c->facts.defaults != NULL && c->at == &c->plain) {
		c->at->head[k] = c->facts.defaults->plain.head[k];
		c->at->tail[k] = c->facts.defaults->plain.tail[k];
		return;
	}
	if (!(conf_rows[k].flags & CONF_MANY)) {
		must(conf_put_key(c, k, at, CONF_FROM_DEFAULT, NULL) != -EINVAL);
		return;
	}
	while (conf_word_next(c, conf_rows[k].deflt, &at, &word, &off, &why) == 1)
		must(conf_put_key(c, k, word, CONF_FROM_DEFAULT, NULL) != -EINVAL);
}

/* Keys that are of such a section only; the others of a route are the site's unless it has its own.
 */
static void scope_defaults(struct conf *c)
{
	for (struct conf_scope *s = c->scopes; s != NULL; s = s->next) {
		c->at = s;
		for (enum conf_key k = 0; k < CONF_END; k++)
			if (conf_rows[k].section == s->section ||
				(s->section == SECTION_WORKER && (conf_rows[k].flags & CONF_LIFE) != 0))
				row_default(c, k);
		c->at = &c->plain;
	}
}

/* The same twice, where only one can count. */
static void check_twice(struct conf *c, enum conf_key k, const char *what)
{
	for (const struct conf_value *v = c->at->head[k]; v != NULL; v = v->next)
		for (const struct conf_value *o = c->at->head[k]; o != v; o = o->next) {
			const char *a = v->part1 != NULL ? v->part1 : v->text;
			const char *b = o->part1 != NULL ? o->part1 : o->text;

			if (strcmp(a, b) == 0 && a[0] != '\0') {
				conf_find(c, CONF_ERROR, &v->pos, "take one of them out",
					"%s=: %s %s is there twice", conf_rows[k].key, what, a);
				return;
			}
		}
}

/* An authority's URL: what it says is believed, so it is not asked in the clear. */
static void check_authority(struct conf *c, enum conf_key k)
{
	const struct conf_value *v = c->at->head[k];

	if (v != NULL && v->text[0] != '\0' && strncmp(v->text, "https://", 8) != 0)
		conf_find(c, CONF_ERROR, &v->pos, "write its URL with https://",
			"%s=: an authority is not asked in the clear", conf_rows[k].key);
}

/* Who can change what a guard says decides what certificates are got for. */
static void check_guard(struct conf *c)
{
	const struct conf_value *v = c->at->head[CONF_SITE_ON_DEMAND];
	const char *host = v != NULL ? v->text + strlen("http://") : "";
	size_t n = strcspn(host, "/");

	if (v == NULL || strncmp(v->text, "http://", 7) != 0)
		return;
	for (size_t i = n; i > 0 && host[i - 1] != ']'; i--)
		if (host[i - 1] == ':') {
			n = i - 1;
			break;
		}
	if (!hostname_is_local(host, n))
		conf_find(c, CONF_ERROR, &v->pos, "write its URL with https://, or name a loopback address",
			"OnDemand=: a guard on another machine is not asked in the clear");
}

static void check_acme(struct conf *c)
{
	const struct conf_value *email = c->at->head[CONF_SERVER_ACME_EMAIL];
	const struct conf_value *directory = c->at->head[CONF_SERVER_ACME_DIRECTORY];
	const struct conf_value *fallback = c->at->head[CONF_SERVER_ACME_FALLBACK];
	const char *at = email != NULL ? strchr(email->text, '@') : NULL;

	if (email != NULL && email->text[0] != '\0' &&
		(at == NULL || at == email->text || at[1] == '\0' || strpbrk(email->text, " ,;<>\"?") != NULL || strchr(at + 1, '@') != NULL))
		conf_find(c, CONF_ERROR, &email->pos, "write one address, like admin@example.org",
			"AcmeEmail=: \"%.60s\" is not an address of mail", email->text);
	check_guard(c);
	check_authority(c, CONF_SERVER_ACME_DIRECTORY);
	check_authority(c, CONF_SERVER_ACME_FALLBACK);
	check_authority(c, CONF_SERVER_ACME_STAGING);
	if (directory != NULL && fallback != NULL && strcmp(directory->text, fallback->text) == 0)
		conf_find(c, CONF_ERROR, &fallback->pos, "name another authority, or take it out",
			"AcmeFallback=: it is the authority of AcmeDirectory= itself");
}

static void check_tls(struct conf *c)
{
	check_acme(c);
	for (const struct conf_value *v = c->at->head[CONF_SITE_PROTOCOLS]; v != NULL; v = v->next)
		if (strcmp(v->text, "h1") != 0 && strcmp(v->text, "h2") != 0)
			conf_find(c, CONF_ERROR, &v->pos, "write h1, h2, or both",
				"Protocols=: \"%s\" is not known", v->text);
}

int conf_finish(struct conf *c)
{
	if (!c->finished) {
		derived_defaults(c);
		for (enum conf_key k = 0; k < CONF_END; k++)
			if (!section_rows[conf_rows[k].section].arg &&
				conf_has_section(c, conf_rows[k].section))
				row_default(c, k);
		scope_defaults(c);
		check_twice(c, CONF_SITE_DOMAIN, "the name");
		check_twice(c, CONF_SITE_STATIC, "the prefix");
		check_twice(c, CONF_SITE_ERROR_PAGE, "the code");
		check_twice(c, CONF_SERVER_LISTEN, "the address");
		check_twice(c, CONF_SERVER_LISTEN_TLS, "the address");
		check_tls(c);
		conf_route_check(c);
		conf_tcp_check(c);
		conf_client_check(c);
		conf_alert_check(c);
		conf_program_check(c);
		conf_service_check(c);
		conf_sandbox_find(c);
		conf_php_check(c);
		if (c->at->head[CONF_SITE_NAME] == NULL)
			conf_find(c, CONF_ERROR, NULL, "write Name= in [Site]",
				"the app has no name");
		if (!c->no_memory && c->errors == 0)
			conf_app_fill(c);
		c->finished = true;
	}
	if (c->no_memory)
		return -ENOMEM;
	return c->errors > 0 ? -EINVAL : 0;
}

static const char *text_of(const struct conf *c, enum conf_key k)
{
	return c->at->head[k] != NULL ? c->at->head[k]->text : "";
}

static uint64_t number_of(const struct conf *c, enum conf_key k)
{
	return c->at->head[k] != NULL ? c->at->head[k]->number : 0;
}

/* The items of a list, and a NULL. */
static const char *const *texts_of(struct conf *c, enum conf_key k)
{
	const char **all;
	size_t n = 0;

	for (const struct conf_value *v = c->at->head[k]; v != NULL; v = v->next)
		n++;
	all = conf_alloc(c, (n + 1) * sizeof(*all));
	n = 0;
	for (const struct conf_value *v = c->at->head[k]; v != NULL && all != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = v->text;
	return all;
}

static const struct conf_static *statics_of(struct conf *c)
{
	struct conf_static *all;
	size_t n = 0;

	for (const struct conf_value *v = c->at->head[CONF_SITE_STATIC]; v != NULL; v = v->next)
		n++;
	all = conf_alloc(c, (n + 1) * sizeof(*all));
	n = 0;
	for (const struct conf_value *v = c->at->head[CONF_SITE_STATIC]; v != NULL && all;
		v = v->next)
		if (v->text[0] != '\0')
			all[n++] = (struct conf_static){.prefix = v->part1, .path = v->part2};
	return all;
}

static const struct conf_errpage *errpages_of(struct conf *c)
{
	struct conf_errpage *all;
	size_t n = 0;

	for (const struct conf_value *v = c->at->head[CONF_SITE_ERROR_PAGE]; v != NULL; v = v->next)
		n++;
	all = conf_alloc(c, (n + 1) * sizeof(*all));
	n = 0;
	for (const struct conf_value *v = c->at->head[CONF_SITE_ERROR_PAGE]; v != NULL && all;
		v = v->next)
		if (v->text[0] != '\0')
			all[n++] = (struct conf_errpage){
				.code = (unsigned)v->number, .path = v->part2};
	return all;
}

static bool is_written(const struct conf *c, enum conf_key k)
{
	return c->at->head[k] != NULL && c->at->head[k]->origin != CONF_FROM_DEFAULT;
}

static bool has_word(const struct conf *c, enum conf_key k, const char *word)
{
	for (const struct conf_value *v = c->at->head[k]; v != NULL; v = v->next)
		if (strcmp(v->text, word) == 0)
			return true;
	return false;
}

static void fill_tls(struct conf *c, struct conf_app *a)
{
	enum { OFF = 2 };

	a->chain = texts_of(c, CONF_SITE_CERTIFICATE_CHAIN);
	a->certificate_box = text_of(c, CONF_SITE_CERTIFICATE_BOX);
	a->https = number_of(c, CONF_SITE_HTTPS) != OFF && a->chain != NULL && a->chain[0] != NULL;
	a->https_off = number_of(c, CONF_SITE_HTTPS) == OFF;
	a->https_auto = number_of(c, CONF_SITE_HTTPS) == 0 && (a->chain == NULL || a->chain[0] == NULL) &&
			!is_written(c, CONF_SITE_CERTIFICATE);
	a->challenge = (enum conf_challenge)number_of(c, CONF_SITE_CHALLENGE);
	if (text_of(c, CONF_SERVER_CHALLENGE_HOOK)[0])
		a->challenge_hook = conf_command_of(c, text_of(c, CONF_SERVER_CHALLENGE_HOOK));
	a->acme_email = text_of(c, CONF_SERVER_ACME_EMAIL);
	a->acme_directory = text_of(c, CONF_SERVER_ACME_DIRECTORY);
	a->acme_fallback = text_of(c, CONF_SERVER_ACME_FALLBACK);
	a->acme_staging = text_of(c, CONF_SERVER_ACME_STAGING);
	a->acme_chain = text_of(c, CONF_SERVER_ACME_CHAIN);
	a->acme_eab_kid = text_of(c, CONF_SERVER_ACME_EAB_KID);
	a->acme_eab_box = text_of(c, CONF_SERVER_ACME_EAB_BOX);
	a->on_demand = text_of(c, CONF_SITE_ON_DEMAND);
	a->profile = text_of(c, CONF_SITE_PROFILE);
	a->http = (enum conf_http)number_of(c, CONF_SITE_HTTP);
	a->hsts_ms = number_of(c, CONF_SITE_HSTS);
	a->hsts_written = is_written(c, CONF_SITE_HSTS);
	a->http1 = has_word(c, CONF_SITE_PROTOCOLS, "h1");
	a->http2 = has_word(c, CONF_SITE_PROTOCOLS, "h2");
	a->kernel_tls = number_of(c, CONF_SITE_KERNEL_TLS) == 0;
	a->listen_tls = texts_of(c, CONF_SERVER_LISTEN_TLS);
	a->listen_tls_default = !is_written(c, CONF_SERVER_LISTEN_TLS);
	a->listen_tls_command = c->at->head[CONF_SERVER_LISTEN_TLS] != NULL &&
				c->at->head[CONF_SERVER_LISTEN_TLS]->origin == CONF_FROM_COMMAND;
}

static void fill_site(struct conf *c, struct conf_app *a)
{
	a->name = text_of(c, CONF_SITE_NAME);
	a->domains = texts_of(c, CONF_SITE_DOMAIN);
	a->root = text_of(c, CONF_SITE_ROOT);
	a->statics = statics_of(c);
	a->health = text_of(c, CONF_SITE_HEALTH);
	a->health_count = (unsigned)number_of(c, CONF_SITE_HEALTH_COUNT);
	a->health_timeout_ms = number_of(c, CONF_SITE_HEALTH_TIMEOUT);
	a->body_bytes_max = number_of(c, CONF_SITE_BODY_MAX);
	a->head_bytes_max = number_of(c, CONF_SITE_HEAD_MAX);
	a->header_timeout_ms = number_of(c, CONF_SITE_HEADER_TIMEOUT);
	a->idle_timeout_ms = number_of(c, CONF_SITE_IDLE_TIMEOUT);
	a->request_timeout_ms = number_of(c, CONF_SITE_REQUEST_TIMEOUT);
	a->rate_min = number_of(c, CONF_SITE_RATE_MIN);
	a->queue = (unsigned)number_of(c, CONF_SITE_QUEUE);
	a->queue_timeout_ms = number_of(c, CONF_SITE_QUEUE_TIMEOUT);
	a->index = texts_of(c, CONF_SITE_INDEX);
	a->errpages = errpages_of(c);
	a->access_log = (enum conf_access_log)number_of(c, CONF_SITE_ACCESS_LOG);
	fill_tls(c, a);
	a->metrics = text_of(c, CONF_SERVER_METRICS);
	if (strcmp(a->metrics, "off") == 0)
		a->metrics = "";
}

static bool answers(const struct conf_app *a)
{
	return a->routes[0].to != CONF_TO_NONE || a->nroutes > 1 || a->routes[0].nredirects > 0 ||
	       a->statics[0].prefix != NULL;
}

const struct conf_value *conf_target(const struct conf *c)
{
	const struct conf_value *wsgi = conf_get(c, CONF_PYTHON_WSGI);

	return wsgi != NULL ? wsgi : conf_get(c, CONF_PYTHON_ASGI);
}

void conf_app_fill(struct conf *c)
{
	const struct conf_value *target = conf_target(c);
	const struct conf_value *listen = c->at->head[CONF_SERVER_LISTEN];
	struct conf_app *a = &c->app;

	*a = (struct conf_app){0};
	fill_site(c, a);
	a->python = target != NULL && !conf_service_wins(c);
	a->wsgi = text_of(c, CONF_PYTHON_WSGI);
	a->asgi = text_of(c, CONF_PYTHON_ASGI);
	a->wsgi_module = target != NULL ? target->part1 : "";
	a->wsgi_object = target != NULL ? target->part2 : "";
	a->wsgi_factory = target != NULL && target->number != 0;
	a->python_path = texts_of(c, CONF_PYTHON_PATH);
	a->interpreter = text_of(c, CONF_PYTHON_INTERPRETER);
	a->venv = text_of(c, CONF_PYTHON_VENV);
	a->requirements = text_of(c, CONF_PYTHON_REQUIREMENTS);
	a->workers = (unsigned)(number_of(c, CONF_PYTHON_WORKERS) & UINT32_MAX);
	a->workers_max = (unsigned)(number_of(c, CONF_PYTHON_WORKERS) >> 32);
	a->idle_stop_ms = number_of(c, CONF_PYTHON_IDLE_STOP);
	a->threads = (unsigned)number_of(c, CONF_PYTHON_THREADS);
	a->concurrency = (unsigned)number_of(c, CONF_PYTHON_CONCURRENCY);
	a->websocket_max = number_of(c, CONF_PYTHON_WEBSOCKET_MAX);
	a->max_requests = (unsigned)number_of(c, CONF_PYTHON_MAX_REQUESTS);
	a->lifetime_ms = number_of(c, CONF_PYTHON_LIFETIME);
	a->rss_max = number_of(c, CONF_PYTHON_RSS_MAX);
	a->env = texts_of(c, CONF_SERVICE_ENVIRONMENT);
	a->working_directory = text_of(c, CONF_SERVICE_WORKING_DIRECTORY);
	a->working_directory_optional = a->working_directory[0] == '-';
	a->working_directory += a->working_directory_optional;
	a->postgres = (enum conf_postgres)number_of(c, CONF_POSTGRES_ENABLED);
	a->database = text_of(c, CONF_POSTGRES_DATABASE);
	a->connections_max = (unsigned)number_of(c, CONF_POSTGRES_CONNECTIONS_MAX);
	if (text_of(c, CONF_POSTGRES_MIGRATE)[0])
		a->migrate = conf_command_of(c, text_of(c, CONF_POSTGRES_MIGRATE));
	a->persist = texts_of(c, CONF_SITE_PERSIST);
	a->keep = (unsigned)number_of(c, CONF_DEPLOY_KEEP);
	a->drain_ms = number_of(c, CONF_DEPLOY_DRAIN);
	a->tunnel_drain_ms = number_of(c, CONF_DEPLOY_WEBSOCKET_DRAIN);
	a->listen = texts_of(c, CONF_SERVER_LISTEN);
	a->listen_default = listen == NULL || listen->origin == CONF_FROM_DEFAULT;
	a->gates = (unsigned)number_of(c, CONF_SERVER_GATES);
	a->drain_max_ms = number_of(c, CONF_SERVER_DRAIN_MAX);
	a->sites = text_of(c, CONF_SERVER_SITES);
	conf_service_fill(c);
	conf_jail_fill(c);
	conf_sandbox_fill(c);
	conf_own_fill(c);
	conf_php_fill(c);
	conf_route_fill(c);
	conf_tcp_fill(c);
	a->answers = a->routes != NULL && a->statics != NULL && answers(a);
	a->serves = a->answers || (a->domains != NULL && a->domains[0] != NULL);
	conf_program_fill(c);
}
