/*
 * tcp.c: [Tcp NAME]: what has to fit together, and the typed result.
 *
 * Called by app.c when every value is there. Each section becomes an upstream of its own, so that
 * gates choose and check its servers as they do those of [Upstream]. Owns nothing.
 */
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

static uint64_t number(const struct conf_scope *s, enum conf_key key)
{
	return s->head[key] != NULL ? s->head[key]->number : 0;
}

static unsigned count(const struct conf_scope *s, enum conf_key key)
{
	unsigned n = 0;

	for (const struct conf_value *v = s->head[key]; v != NULL; v = v->next)
		n += v->text[0] != '\0';
	return n;
}

static const char *const *addresses(struct conf *c, const struct conf_scope *s)
{
	const char **all = conf_alloc(c, (count(s, CONF_TCP_LISTEN) + 1) * sizeof(*all));
	unsigned n = 0;

	for (const struct conf_value *v = s->head[CONF_TCP_LISTEN]; v != NULL && all; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = v->text;
	return all;
}

static const char *upstream_name(struct conf *c, const char *name)
{
	char text[64] = "tcp/";
	size_t n = min_of(strlen(name), sizeof(text) - 5);

	memcpy(text + 4, name, n);
	return conf_strndup(c, text, n + 4);
}

static void fill(struct conf *c, const struct conf_scope *s, struct conf_tcp *t)
{
	struct conf_server *servers =
		conf_alloc(c, (count(s, CONF_TCP_SERVER) + 1) * sizeof(*servers));
	struct conf_upstream *u = &t->up;
	struct buf why;
	char mem[64];

	*t = (struct conf_tcp){.name = s->arg,
		.listen = addresses(c, s),
		.idle_ms = number(s, CONF_TCP_IDLE_TIMEOUT),
		.connect_ms = number(s, CONF_TCP_CONNECT_TIMEOUT),
		.send_proxy = (unsigned)number(s, CONF_TCP_SEND_PROXY)};
	*u = (struct conf_upstream){.name = upstream_name(c, s->arg),
		.servers = servers,
		.protocol = CONF_PROTOCOL_TCP,
		.balance = (enum conf_balance)number(s, CONF_TCP_BALANCE),
		.sticky = "",
		.root = "",
		.document_root = "",
		.index = "",
		.check = number(s, CONF_TCP_CHECK) != 0 ? "connect" : "",
		.check_ms = number(s, CONF_TCP_CHECK_SEC),
		.slow_start_ms = number(s, CONF_TCP_SLOW_START),
		.fail_max = (unsigned)number(s, CONF_TCP_FAIL_MAX),
		.retry = (unsigned)number(s, CONF_TCP_RETRY)};
	buf_fixed(&why, mem, sizeof(mem)); /* checked already: nothing is said */
	for (const struct conf_value *v = s->head[CONF_TCP_SERVER]; v != NULL && servers;
		v = v->next)
		if (v->text[0] != '\0' &&
			conf_parse_server(c, v->text, &servers[u->nservers], &why))
			u->nservers++;
	buf_done(&why);
}

void conf_tcp_fill(struct conf *c)
{
	struct conf_tcp *all = conf_alloc(c, (c->nscopes + 1) * sizeof(*all));

	if (all == NULL)
		return;
	for (const struct conf_scope *s = c->scopes; s != NULL; s = s->next)
		if (s->section == SECTION_TCP)
			fill(c, s, &all[c->app.ntcps++]);
	c->app.tcps = all;
}

/* ---- what has to fit together ---- */

static bool is_same(const struct conf_value *list, const struct conf_value *v)
{
	for (; list != NULL && list != v; list = list->next)
		if (strcmp(list->text, v->text) == 0)
			return true;
	return false;
}

/* An address is one listener's: of [Server], or of one [Tcp]. */
static void check_address(struct conf *c, const struct conf_scope *s, const struct conf_value *v)
{
	if (strcmp(strrchr(v->text, ':'), ":0") == 0)
		conf_find(c, CONF_ERROR, &v->pos, "write the port that clients connect to",
			"Listen=: [Tcp] needs a port of its own, not 0");
	if (is_same(c->plain.head[CONF_SERVER_LISTEN], v))
		conf_find(c, CONF_ERROR, &v->pos, "choose another port",
			"Listen=: %s is the address of [Server] already", v->text);
	if (is_same(c->plain.head[CONF_SERVER_LISTEN_TLS], v))
		conf_find(c, CONF_ERROR, &v->pos, "choose another port",
			"Listen=: %s is the address of [Server] ListenTls= already", v->text);
	for (const struct conf_scope *o = c->scopes; o != NULL; o = o->next) {
		if (o->section == SECTION_TCP && is_same(o->head[CONF_TCP_LISTEN], v)) {
			conf_find(c, CONF_ERROR, &v->pos, "choose another port",
				"Listen=: %s is there twice", v->text);
			return;
		}
		if (o == s)
			return;
	}
}

static void check(struct conf *c, const struct conf_scope *s)
{
	/* A line that was refused has said more than that it is missing. */
	if (count(s, CONF_TCP_LISTEN) == 0 && c->errors == 0)
		conf_find(c, CONF_ERROR, &s->pos, "write Listen= with an address",
			"[Tcp %s] has no address to listen on", s->arg);
	if (count(s, CONF_TCP_SERVER) == 0 && c->errors == 0)
		conf_find(c, CONF_ERROR, &s->pos, "write Server= with an address",
			"[Tcp %s] has no server", s->arg);
	for (const struct conf_value *v = s->head[CONF_TCP_LISTEN]; v != NULL; v = v->next)
		if (v->text[0] != '\0')
			check_address(c, s, v);
	for (const struct conf_value *v = s->head[CONF_TCP_SERVER]; v != NULL; v = v->next)
		if (strstr(v->text, "://") != NULL)
			conf_find(c, CONF_ERROR, &v->pos, "write HOST:PORT or unix:PATH",
				"Server=: [Tcp] passes bytes on and knows no URL");
}

void conf_tcp_check(struct conf *c)
{
	for (const struct conf_scope *s = c->scopes; s != NULL; s = s->next)
		if (s->section == SECTION_TCP)
			check(c, s);
}
