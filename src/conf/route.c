/*
 * route.c: routes and upstreams: what has to fit together, and the typed result.
 *
 * Called by app.c when every value is there. A route's value is its own, else the site's. A To= or
 * ForwardAuth= with a URL is an upstream of one server, named by the URL. Owns nothing of its own.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf_priv.h"
#include "lib/must.h"

enum { UPSTREAMS_MAX = 256 };

/* While the result is made. */
struct fill {
	struct conf *c;
	struct conf_upstream *up;
	unsigned nup, up_max;
	struct buf why; /* values were checked already: nothing is said */
	char mem[64];
};

static const struct conf_value *value(
	const struct conf *c, const struct conf_scope *s, enum conf_key key)
{
	return s->head[key] != NULL ? s->head[key] : c->plain.head[key];
}

static const char *text(const struct conf *c, const struct conf_scope *s, enum conf_key key)
{
	const struct conf_value *v = value(c, s, key);

	return v != NULL ? v->text : "";
}

static uint64_t number(const struct conf *c, const struct conf_scope *s, enum conf_key key)
{
	const struct conf_value *v = value(c, s, key);

	return v != NULL ? v->number : 0;
}

static unsigned count(const struct conf_value *v)
{
	unsigned n = 0;

	for (; v != NULL; v = v->next)
		n += v->text[0] != '\0';
	return n;
}

static const char *const *texts(struct fill *f, const struct conf_value *v)
{
	const char **all = conf_alloc(f->c, (count(v) + 1) * sizeof(*all));
	unsigned n = 0;

	for (; v != NULL && all != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = v->text;
	return all;
}

/* One array of parsed items for each kind of list. */
#define LIST(type, member, count_member, key, parse)                                               \
	do {                                                                                       \
		const struct conf_value *v_ = value(f->c, s, key);                                 \
		struct type *all_ = conf_alloc(f->c, (count(v_) + 1) * sizeof(*all_));             \
		\
		for (; v_ != NULL && all_ != NULL; v_ = v_->next)                                  \
			if (v_->text[0] != '\0' && (parse))                                        \
				r->count_member++;                                                 \
		r->member = all_;                                                                  \
	} while (0)

static const struct conf_errpage *errpages(struct fill *f, const struct conf_value *v)
{
	struct conf_errpage *all = conf_alloc(f->c, (count(v) + 1) * sizeof(*all));
	unsigned n = 0;

	for (; v != NULL && all != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = (struct conf_errpage){
				.code = (unsigned)v->number, .path = v->part2};
	return all;
}

static const struct conf_cidr *cidrs(
	struct fill *f, const struct conf_value *v, unsigned *ret_n, bool *ret_word)
{
	struct conf_cidr *all = conf_alloc(f->c, (count(v) + 1) * sizeof(*all));

	*ret_n = 0;
	for (; v != NULL && all != NULL; v = v->next) {
		if (ret_word != NULL && strcmp(v->text, "cloudflare") == 0)
			*ret_word = true;
		else if (v->text[0] != '\0' &&
			 conf_parse_cidr(v->text, &all[*ret_n], &f->why, &f->why))
			(*ret_n)++;
	}
	return all;
}

static unsigned upstream_named(const struct fill *f, const char *name)
{
	for (unsigned i = 0; i < f->nup; i++)
		if (strcmp(f->up[i].name, name) == 0)
			return i;
	return CONF_NO_UPSTREAM;
}

/* The unnamed one of a URL; the same URL twice is one. */
static unsigned upstream_of_url(struct fill *f, const char *url, const char **ret_path)
{
	struct conf_server *server = conf_alloc(f->c, sizeof(*server));
	struct conf_upstream *u;
	char name[300];
	unsigned at;

	if (server == NULL || !conf_parse_url(f->c, url, server, ret_path, &f->why))
		return CONF_NO_UPSTREAM;
	snprintf(name, sizeof(name), "%s://%s:%u", server->tls ? "https" : "http", server->name,
		server->port);
	at = upstream_named(f, name);
	if (at != CONF_NO_UPSTREAM || f->nup >= f->up_max)
		return at;
	u = &f->up[f->nup];
	*u = (struct conf_upstream){.name = conf_strndup(f->c, name, strlen(name)),
		.servers = server,
		.nservers = 1,
		.protocol = server->tls ? CONF_PROTOCOL_HTTPS : CONF_PROTOCOL_HTTP,
		.sticky = "",
		.check = "",
		.fail_max = 3,
		.retry = 1,
		.keep_alive = 32,
		.root = "",
		.document_root = "",
		.index = "",
		.tls_verify = true};
	return f->nup++;
}

/* "": the backend runs no scripts. */
static const char *script_index(const struct conf *c, const struct conf_scope *s)
{
	const char *index = text(c, s, CONF_UPSTREAM_INDEX);

	return strcmp(index, "off") == 0 ? "" : index;
}

static void fill_upstream(struct fill *f, const struct conf_scope *s)
{
	struct conf_upstream up, *r = &up;
	const char *check = text(f->c, s, CONF_UPSTREAM_CHECK);

	up = (struct conf_upstream){.name = s->arg,
		.protocol = (enum conf_protocol)number(f->c, s, CONF_UPSTREAM_PROTOCOL),
		.balance = (enum conf_balance)number(f->c, s, CONF_UPSTREAM_BALANCE),
		.sticky = text(f->c, s, CONF_UPSTREAM_STICKY),
		.check = strcmp(check, "off") == 0 ? "" : check,
		.check_ms = number(f->c, s, CONF_UPSTREAM_CHECK_SEC),
		.slow_start_ms = number(f->c, s, CONF_UPSTREAM_SLOW_START),
		.fail_max = (unsigned)number(f->c, s, CONF_UPSTREAM_FAIL_MAX),
		.retry = (unsigned)number(f->c, s, CONF_UPSTREAM_RETRY),
		.keep_alive = (unsigned)number(f->c, s, CONF_UPSTREAM_KEEP_ALIVE),
		.connections_max = (unsigned)number(f->c, s, CONF_UPSTREAM_CONNECTIONS_MAX),
		.root = text(f->c, s, CONF_UPSTREAM_ROOT),
		.document_root = text(f->c, s, CONF_UPSTREAM_DOCUMENT_ROOT),
		.index = script_index(f->c, s),
		.tls_verify = number(f->c, s, CONF_UPSTREAM_TLS_VERIFY) != 0};
	LIST(conf_server, servers, nservers, CONF_UPSTREAM_SERVER,
		conf_parse_server(f->c, v_->text, &all_[r->nservers], &f->why));
	/* A URL that begins with https:// says it too. */
	for (unsigned i = 0; i < up.nservers; i++)
		if (up.servers[i].tls && up.protocol == CONF_PROTOCOL_HTTP)
			up.protocol = CONF_PROTOCOL_HTTPS;
	if (f->nup < f->up_max)
		f->up[f->nup++] = up;
}

/* A route with a file or users of its own has only those; an empty BasicAuth= has none. */
static void fill_users(struct fill *f, const struct conf_scope *s, struct conf_route *r)
{
	bool own =
		s->head[CONF_SITE_BASIC_AUTH] != NULL || s->head[CONF_SITE_BASIC_AUTH_USER] != NULL;
	const struct conf_value *v = (own ? s : &f->c->plain)->head[CONF_SITE_BASIC_AUTH_USER];
	struct conf_user *all = conf_alloc(f->c, (count(v) + 1) * sizeof(*all));

	for (; v != NULL && all != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[r->nusers++] = (struct conf_user){v->part1, v->part2};
	r->users = all;
}

static void fill_edits(struct fill *f, const struct conf_scope *s, struct conf_route *r)
{
	LIST(conf_header, headers, nheaders, CONF_SITE_HEADER,
		conf_parse_header(f->c, v_->text, &all_[r->nheaders], &f->why));
	LIST(conf_redirect, redirects, nredirects, CONF_SITE_REDIRECT,
		conf_parse_redirect(f->c, v_->text, &all_[r->nredirects], &f->why));
	LIST(conf_rewrite, rewrites, nrewrites, CONF_SITE_REWRITE,
		conf_parse_rewrite(f->c, v_->text, &all_[r->nrewrites], &f->why));
	r->errpages = errpages(f, value(f->c, s, CONF_SITE_ERROR_PAGE));
	r->allow = cidrs(f, value(f->c, s, CONF_SITE_ALLOW), &r->nallow, NULL);
	r->deny = cidrs(f, value(f->c, s, CONF_SITE_DENY), &r->ndeny, NULL);
	r->allow_only = value(f->c, s, CONF_SITE_ALLOW) != NULL;
	if (text(f->c, s, CONF_SITE_RATE_LIMIT)[0] != '\0')
		(void)conf_parse_rate(f->c, text(f->c, s, CONF_SITE_RATE_LIMIT), &r->rate, &f->why);
	r->rate.of_site = s->head[CONF_SITE_RATE_LIMIT] == NULL;
}

/* Scripts and the files beside them lie in one folder, the upstream's. */
static void fill_scripts(struct fill *f, struct conf_route *r)
{
	const struct conf_upstream *u = &f->up[r->upstream];

	r->scripts = u->protocol == CONF_PROTOCOL_FASTCGI && u->index[0] != '\0';
	if (r->scripts)
		r->root = u->root;
}

static void fill_app(struct fill *f, struct conf_route *r, bool app)
{
	r->to = app ? CONF_TO_APP : CONF_TO_NONE;
	r->scripts = f->c->app.php.on;
	if (r->scripts)
		r->root = f->c->app.php.root;
}

/* Who answers: what To= says, else what there is. */
static void fill_to(struct fill *f, const struct conf_scope *s, struct conf_route *r)
{
	const char *to = text(f->c, s, CONF_ROUTE_TO), *path;
	const struct conf_service *program = &f->c->app.service;
	bool app = f->c->app.python ||
		   (program->command != NULL &&
			   (program->listen != SERVICE_NONE || program->linked));

	/* Of a site with PHP the folder is that of the scripts. */
	bool own = s->head[CONF_SITE_ROOT] != NULL && !(f->c->app.php.on && s == &f->c->plain);

	if (to[0] == '\0')
		to = own                             ? "static"
		     : app                           ? "app"
		     : r->root[0] != '\0'            ? "static"
						     : "";
	if (strcmp(to, "app") == 0)
		fill_app(f, r, app);
	else if (strcmp(to, "static") == 0)
		r->to = CONF_TO_STATIC;
	else if (to[0] != '\0') {
		r->to = CONF_TO_UPSTREAM;
		r->upstream = strstr(to, "://") != NULL ? upstream_of_url(f, to, &path)
							: upstream_named(f, to);
		if (r->upstream == CONF_NO_UPSTREAM)
			r->to = CONF_TO_NONE;
		else
			fill_scripts(f, r);
	}
}

static void fill_path(struct conf_route *r, const char *arg)
{
	r->match = arg[0] == '='   ? CONF_MATCH_EXACT
		   : arg[0] == '~' ? CONF_MATCH_REGEX
				   : CONF_MATCH_PREFIX;
	r->path = arg + (arg[0] == '=' || arg[0] == '~');
}

static void fill_route(struct fill *f, const struct conf_scope *s, struct conf_route *r)
{
	const struct conf_value *match = s->head[CONF_ROUTE_MATCH_HEADER];
	const char *auth = text(f->c, s, CONF_SITE_FORWARD_AUTH);

	*r = (struct conf_route){.auth_upstream = CONF_NO_UPSTREAM,
		.upstream = CONF_NO_UPSTREAM,
		.auth_path = "",
		.rate.header = "",
		.match_header = match != NULL ? match->part1 : "",
		.match_value = match != NULL ? match->part2 : "",
		.root = text(f->c, s, CONF_SITE_ROOT),
		.own_root = s->head[CONF_SITE_ROOT] != NULL,
		.methods = texts(f, s->head[CONF_ROUTE_METHODS]),
		.index = texts(f, value(f->c, s, CONF_SITE_INDEX)),
		.try_files = texts(f, s->head[CONF_ROUTE_TO] != NULL
					      ? s->head[CONF_SITE_TRY_FILES]
					      : value(f->c, s, CONF_SITE_TRY_FILES)),
		.strip_prefix = number(f->c, s, CONF_ROUTE_STRIP_PREFIX) != 0,
		.listing = number(f->c, s, CONF_SITE_LISTING) != 0,
		.body_buffer = number(f->c, s, CONF_SITE_BODY_BUFFER) != 0,
		.compress = number(f->c, s, CONF_SITE_COMPRESS) != 0,
		.cache_bytes = number(f->c, s, CONF_SITE_CACHE),
		.body_bytes_max = number(f->c, s, CONF_SITE_BODY_MAX),
		.request_timeout_ms = number(f->c, s, CONF_SITE_REQUEST_TIMEOUT),
		.access_log = (unsigned)number(f->c, s, CONF_SITE_ACCESS_LOG),
		.access_format = text(f->c, s, CONF_SITE_ACCESS_LOG)};
	fill_path(r, s->section == SECTION_ROUTE ? s->arg : "/");
	fill_edits(f, s, r);
	fill_users(f, s, r);
	conf_client_fill(f->c, s, r);
	if (auth[0] != '\0')
		r->auth_upstream = upstream_of_url(f, auth, &r->auth_path);
	fill_to(f, s, r);
}

void conf_route_fill(struct conf *c)
{
	struct fill f = {.c = c};
	struct conf_app *a = &c->app;
	struct conf_route *all = conf_alloc(c, (c->nscopes + 1) * sizeof(*all));

	/* Of each section one, or a To= and a ForwardAuth= with a URL; the site has the latter too. */
	f.up_max = min_of(2 * c->nscopes + 1, (unsigned)UPSTREAMS_MAX);
	f.up = conf_alloc(c, f.up_max * sizeof(*f.up));
	if (all == NULL || f.up == NULL)
		return;
	buf_fixed(&f.why, f.mem, sizeof(f.mem));
	for (struct conf_scope *s = c->scopes; s != NULL; s = s->next)
		if (s->section == SECTION_UPSTREAM)
			fill_upstream(&f, s);
	fill_route(&f, &c->plain, &all[a->nroutes++]);
	for (struct conf_scope *s = c->scopes; s != NULL; s = s->next)
		if (s->section == SECTION_ROUTE)
			fill_route(&f, s, &all[a->nroutes++]);
	a->routes = all;
	a->upstreams = f.up;
	a->nupstreams = f.nup;
	a->aliases = texts(&f, c->plain.head[CONF_SITE_ALIAS]);
	a->connections_per_address = (unsigned)number(c, &c->plain, CONF_SITE_CONNECTIONS_MAX);
	a->trusted = cidrs(
		&f, c->plain.head[CONF_SITE_TRUSTED_PROXIES], &a->ntrusted, &a->trusts_cloudflare);
	a->proxy_protocol =
		cidrs(&f, c->plain.head[CONF_SITE_PROXY_PROTOCOL], &a->nproxy_protocol, NULL);
	a->cache_disk = number(c, &c->plain, CONF_SITE_CACHE_DISK);
	a->maintenance = text(c, &c->plain, CONF_SITE_MAINTENANCE);
	buf_done(&f.why);
}

/* ---- what has to fit together ---- */

/* The names of all upstreams, for "did you mean". */
static void upstream_names(const struct conf *c, struct buf *b)
{
	for (const struct conf_scope *s = c->scopes; s != NULL; s = s->next)
		if (s->section == SECTION_UPSTREAM)
			buf_printf(b, "%s ", s->arg);
}

static bool has_upstream(const struct conf *c, const char *name)
{
	for (const struct conf_scope *s = c->scopes; s != NULL; s = s->next)
		if (s->section == SECTION_UPSTREAM && strcmp(s->arg, name) == 0)
			return true;
	return false;
}

static void check_to(struct conf *c, const struct conf_scope *s)
{
	const struct conf_value *to = s->head[CONF_ROUTE_TO];
	char names[2048], near[64], todo[CONF_TODO_MAX] = "";
	struct buf b;

	if (to == NULL)
		return;
	if (strcmp(to->text, "static") == 0) {
		if (value(c, s, CONF_SITE_ROOT) == NULL)
			conf_find(c, CONF_ERROR, &to->pos, "write Root= beside it",
				"To=static: there is no folder to serve");
	} else if (strcmp(to->text, "app") == 0) {
		if (conf_target(c) == NULL && c->plain.head[CONF_SERVICE_EXEC_START] == NULL)
			conf_find(c, CONF_ERROR, &to->pos,
				c->facts.folderless ? "write static, the name of an [Upstream] or a URL"
						    : "write Wsgi= or Asgi= in [Python], or ExecStart= "
						      "in [Service]",
				"To=app: there is no app");
	} else if (strstr(to->text, "://") == NULL && !has_upstream(c, to->text)) {
		buf_fixed(&b, names, sizeof(names));
		upstream_names(c, &b);
		if (conf_nearest(to->text, buf_str(&b), near, sizeof(near))[0] != '\0')
			snprintf(todo, sizeof(todo), "did you mean %s?", near);
		else
			snprintf(todo, sizeof(todo),
				"write [Upstream %.60s] with its Server= lines", to->text);
		conf_find(c, CONF_ERROR, &to->pos, todo, "To=: there is no [Upstream %.60s]",
			to->text);
	}
}

bool conf_script_name(const char *name)
{
	size_t n = strlen(name);

	return n >= 5 && strcmp(name + n - 4, ".php") == 0 && strchr(name, '/') == NULL;
}

/* What only FastCGI has, and what it must have. */
static void check_scripts(struct conf *c, const struct conf_scope *s)
{
	static const enum conf_key keys[] = {
		CONF_UPSTREAM_ROOT, CONF_UPSTREAM_DOCUMENT_ROOT, CONF_UPSTREAM_INDEX};
	const struct conf_value *protocol = s->head[CONF_UPSTREAM_PROTOCOL], *v;
	const char *index = script_index(c, s);

	if (protocol == NULL || protocol->number != CONF_PROTOCOL_FASTCGI) {
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if ((v = s->head[keys[i]]) != NULL && v->origin != CONF_FROM_DEFAULT)
				conf_find(c, CONF_WARNING, &v->pos, "write Protocol=fastcgi, or take the line out",
					"%s= has no effect: only backends of Protocol=fastcgi run scripts",
					conf_rows[keys[i]].key);
		return;
	}
	v = s->head[CONF_UPSTREAM_INDEX];
	if (index[0] != '\0' && !conf_script_name(index))
		conf_find(c, CONF_ERROR, v != NULL ? &v->pos : &s->pos, "write a name like index.php",
			"Index=: \"%.60s\" is not the name of a .php file", index);
	v = s->head[CONF_UPSTREAM_DOCUMENT_ROOT];
	if (v != NULL && v->text[0] != '/' && v->text[0] != '\0')
		conf_find(c, CONF_ERROR, &v->pos, "write it as the backend would, from / on",
			"DocumentRoot=: \"%.60s\" is no absolute path", v->text);
	if (index[0] != '\0' && text(c, s, CONF_UPSTREAM_ROOT)[0] == '\0' && text(c, s, CONF_UPSTREAM_DOCUMENT_ROOT)[0] == '\0')
		conf_find(c, CONF_ERROR, &s->pos,
			"write Root= with the folder of its scripts; DocumentRoot= when only the backend sees "
			"them; or Index=off when it is one program that answers every path",
			"[Upstream %.60s] with Protocol=fastcgi does not say where its scripts are", s->arg);
}

/* Servers of one upstream speak one protocol. */
static void check_servers(struct conf *c, const struct conf_scope *s)
{
	const struct conf_value *v = s->head[CONF_UPSTREAM_SERVER];
	bool tls = false, plain = false;

	if (count(v) == 0) {
		/* A line of it that was refused has said more. */
		if (c->errors == 0)
			conf_find(c, CONF_ERROR, &s->pos, "write Server= with an address",
				"[%s %s] has no server", section_rows[s->section].name, s->arg);
		return;
	}
	for (; v != NULL; v = v->next) {
		tls |= strncmp(v->text, "https://", 8) == 0;
		plain |= strncmp(v->text, "http://", 7) == 0;
		if (tls && plain) {
			conf_find(c, CONF_ERROR, &v->pos, "make it two [Upstream] sections",
				"Server=: http and https in one upstream");
			return;
		}
	}
}

/* ---- routes of one path ---- */

static bool has_method(const struct conf_value *v, const char *name)
{
	for (; v != NULL; v = v->next)
		if (strcmp(v->text, name) == 0 ||
			(strcmp(name, "HEAD") == 0 && strcmp(v->text, "GET") == 0))
			return true;
	return false;
}

/* Does a take every request that b would, by its methods? */
static bool covers_methods(const struct conf_value *a, const struct conf_value *b)
{
	if (count(a) == 0)
		return true;
	for (const struct conf_value *v = b; v != NULL; v = v->next)
		if (v->text[0] != '\0' && !has_method(a, v->text))
			return false;
	return count(b) != 0;
}

static bool covers_header(const struct conf_value *a, const struct conf_value *b)
{
	if (a == NULL)
		return true;
	return b != NULL && strcasecmp(a->part1, b->part1) == 0 &&
	       (a->part2[0] == '\0' || strcmp(a->part2, b->part2) == 0);
}

static bool covers(const struct conf_scope *a, const struct conf_scope *b)
{
	return covers_methods(a->head[CONF_ROUTE_METHODS], b->head[CONF_ROUTE_METHODS]) &&
	       covers_header(a->head[CONF_ROUTE_MATCH_HEADER], b->head[CONF_ROUTE_MATCH_HEADER]);
}

/* A prefix's slash at the end says nothing. */
static size_t path_len(const char *arg)
{
	size_t n = strlen(arg);

	while (arg[0] == '/' && n > 1 && arg[n - 1] == '/')
		n--;
	return n;
}

static bool same_path(const struct conf_scope *a, const struct conf_scope *b)
{
	size_t n = path_len(a->arg);

	return n == path_len(b->arg) && memcmp(a->arg, b->arg, n) == 0;
}

/* The routes of one path are tried in the order of the file: the first that takes all leaves
 * nothing for those behind it. */
static void check_same_path(struct conf *c, const struct conf_scope *s)
{
	for (const struct conf_scope *o = c->scopes; o != s; o = o->next) {
		if (o->section != SECTION_ROUTE || !same_path(o, s) || !covers(o, s))
			continue;
		if (covers(s, o))
			conf_find(c, CONF_ERROR, &s->pos,
				"make one section of both, or let Methods= or MatchHeader= say "
				"which requests each is for",
				"[Route %.60s] stands in %s:%u already, for the same requests",
				s->arg, o->pos.file, o->pos.line);
		else
			conf_find(c, CONF_WARNING, &s->pos, "put it before that one",
				"[Route %.60s] never gets a request: that of %s:%u comes first and "
				"takes them all",
				s->arg, o->pos.file, o->pos.line);
		return;
	}
}

void conf_route_check(struct conf *c)
{
	const struct conf_value *alias = c->plain.head[CONF_SITE_ALIAS];
	const struct conf_value *asgi = c->plain.head[CONF_PYTHON_ASGI];

	if (asgi != NULL && c->plain.head[CONF_PYTHON_WSGI] != NULL)
		conf_find(c, CONF_ERROR, &asgi->pos, "write one of them",
			"Asgi=: there is Wsgi= too, and an app is one of both");
	for (const struct conf_scope *s = c->scopes; s != NULL; s = s->next) {
		if (s->section == SECTION_ROUTE) {
			check_to(c, s);
			check_same_path(c, s);
		} else if (s->section == SECTION_UPSTREAM) {
			check_servers(c, s);
			check_scripts(c, s);
		}
	}
	if (alias != NULL && alias->text[0] != '\0' && count(c->plain.head[CONF_SITE_DOMAIN]) == 0)
		conf_find(c, CONF_ERROR, &alias->pos, "write Domain= with the canonical name",
			"Alias=: there is no name to send to");
}
