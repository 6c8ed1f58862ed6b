/*
 * up_tcp.c: the listeners of [Tcp], Metrics= and ListenTls=, which a reload opens and closes.
 *
 * Called by the up flow and by what hears the parent. Every address has one number for ever, so
 * binding one that is bound changes nothing. It is all or nothing: when one cannot be had, those
 * that are new are given back, and each that failed is named with its place in the file. What the
 * configuration before had and this one has not is closed when this one is live; connections live
 * on at the gates. Owns the flow's two lists.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

uint32_t tcp_listener_number(struct ctl *c, const char *address)
{
	return LISTENER_TCP_FIRST + state_number(c, "tcp", address);
}

static void close_one(struct ctl *c, const struct up_tcp *t)
{
	struct msg_listener m = {.listener = t->number, .kind = t->kind};

	(void)parent_send(c, MSG_UNBIND, 0, &m, sizeof m, NULL, 0, NULL, 0);
}

static bool has(const struct up_tcp *list, unsigned n, uint32_t number)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i].number == number)
			return true;
	return false;
}

/* Those of ListenTls=; the default only when there is a certificate or will be one, and it was to be had. */
static const char *const *tls_addresses(
	const struct ctl *c, const struct conf_app *conf, const struct site_list *sites)
{
	static const char *const none[] = {NULL};
	bool idle = conf->listen_tls_default &&
		    (c->certs.local.off || (!certs_any(c, conf, sites) && !local_may(c, conf)));

	return !conf->listen_tls || idle ? none : conf->listen_tls;
}

void up_tcp_https(struct ctl *c, const struct conf_app *conf, const struct site_list *sites)
{
	size_t n = 0;

	c->https[0] = '\0';
	for (const char *const *a = tls_addresses(c, conf, sites); *a && n < sizeof c->https; a++)
		n += (size_t)snprintf(c->https + n, sizeof c->https - n, "%s%s", n ? " " : "", *a);
}

/* Each address of each [Tcp], that of Metrics=, those of ListenTls=; how many, at most CTL_TCP_MAX. */
static unsigned gather(struct ctl *c, const struct conf_app *conf, const struct site_list *sites, struct up_tcp *ret)
{
	unsigned n = 0;

	for (unsigned i = 0; i < conf->ntcps; i++)
		for (const char *const *a = conf->tcps[i].listen; *a && n < CTL_TCP_MAX; a++) {
			struct up_tcp *t = &ret[n++];

			*t = (struct up_tcp){
				.number = tcp_listener_number(c, *a), .kind = LISTENER_TCP};
			(void)snprintf(t->address, sizeof t->address, "%s", *a);
			(void)snprintf(t->name, sizeof t->name, "%s", conf->tcps[i].name);
		}
	if (conf->metrics[0] && n < CTL_TCP_MAX) {
		struct up_tcp *t = &ret[n++];
		char key[CTL_ADDRESS_MAX + 16];

		/* Another number than the same address as a [Tcp]: it would be another thing. */
		(void)snprintf(key, sizeof key, "metrics %s", conf->metrics);
		*t = (struct up_tcp){
			.number = tcp_listener_number(c, key), .kind = LISTENER_METRICS};
		(void)snprintf(t->address, sizeof t->address, "%s", conf->metrics);
	}
	for (const char *const *a = tls_addresses(c, conf, sites); *a && n < CTL_TCP_MAX; a++) {
		struct up_tcp *t = &ret[n++];
		char key[CTL_ADDRESS_MAX + 16];

		(void)snprintf(key, sizeof key, "tls %s", *a);
		*t = (struct up_tcp){.number = tcp_listener_number(c, key), .kind = LISTENER_TLS};
		(void)snprintf(t->address, sizeof t->address, "%s", *a);
	}
	return n;
}

static void gather_old(struct up *u)
{
	struct ctl *c = u->ctl;
	struct conf *conf;
	char why[128];

	if (!u->reload || c->live_us == 0)
		return;
	conf = effective_conf(c, &c->app, why, sizeof why);
	if (conf)
		u->tcp_old_n = gather(c, conf_app(conf), &c->sites, u->tcp_old);
	conf_free(conf);
}

/* The parent would let the listener change its number: what the site answers at stays the site's,
 * also when that came with --http. */
static bool is_sites(const struct up *u, const char *address)
{
	const char *at = u->app.http;
	size_t n = strlen(address);

	for (unsigned i = 0; i < u->listen_n; i++)
		if (strcmp(u->listen[i].address, address) == 0)
			return true;
	for (; *at; at += strcspn(at, " "), at += strspn(at, " "))
		if (strncmp(at, address, n) == 0 && (at[n] == '\0' || at[n] == ' '))
			return true;
	return false;
}

/* The default of ListenTls= is tried: nobody asked for it, so nothing fails for it. */
static bool is_tried(const struct up *u, const struct up_tcp *t)
{
	return t->kind == LISTENER_TLS && u->c->listen_tls_default;
}

static void leave_out(struct up *u, unsigned i, const char *why)
{
	char text[300];

	(void)snprintf(text, sizeof text, "https is not served: %s %s.", u->tcp[i].address, why);
	client_finding(u->client, CONF_NOTE, "", 0, 0, text,
		"choose another address with --https or ListenTls=; ListenTls= without a value: none");
	u->ctl->certs.local.off = true;
	u->tcp[i] = u->tcp[--u->tcp_n];
}

static bool refuse_sites(struct up *u)
{
	for (unsigned i = 0; i < u->tcp_n; i++)
		if (is_sites(u, u->tcp[i].address) && is_tried(u, &u->tcp[i])) {
			leave_out(u, i--, "is where the site is answered without encryption");
		} else if (is_sites(u, u->tcp[i].address)) {
			bool tls = u->tcp[i].kind == LISTENER_TLS;

			up_fail(u, VERB_EXIT_USAGE,
				"choose another Listen= for it, or another --http",
				"%s%s%s cannot listen on %s: the site is answered there.",
				tls ? "ListenTls=" : "[Tcp ", u->tcp[i].name, tls ? "" : "]",
				u->tcp[i].address);
			u->tcp_n = 0;
			return true;
		}
	return false;
}

void up_tcp_bind(struct up *u)
{
	struct ctl *c = u->ctl;

	u->tcp_asked = true;
	gather_old(u);
	u->https_off = c->certs.local.off;
	c->certs.local.off = false;
	u->tcp_n = gather(c, u->c, &u->sites, u->tcp);
	if (refuse_sites(u))
		return;
	u->tcp_left = u->tcp_n;
	u->tcp_id = c->ids + 1;
	u->tcp_bound = u->tcp_n == 0;
	for (unsigned i = 0; i < u->tcp_n; i++) {
		struct up_tcp *t = &u->tcp[i];
		struct msg_listener m = {.listener = t->number, .kind = t->kind};

		t->fresh = !has(u->tcp_old, u->tcp_old_n, t->number);
		(void)parent_send(c, MSG_BIND, ++c->ids, &m, sizeof m, t->address,
			strlen(t->address) + 1, NULL, 0);
	}
}

/* Where the file says it; NULL: nowhere. */
static const struct app_value *written(const struct up *u, const struct up_tcp *t)
{
	for (const struct app_value *v = u->app.values; v && t->kind == LISTENER_METRICS;
		v = v->next)
		if (strcmp(v->section, "Server") == 0 && strcmp(v->key, "Metrics") == 0)
			return v;
	for (const struct app_value *v = u->app.values; v && t->kind == LISTENER_TLS; v = v->next)
		if (strcmp(v->key, "ListenTls") == 0 && strcmp(v->text, t->address) == 0)
			return v->line ? v : NULL;
	for (const struct app_value *v = u->app.values; v; v = v->next)
		if (strcmp(v->section, "Tcp") == 0 && strcmp(v->key, "Listen") == 0 &&
			strcmp(v->arg, t->name) == 0 && strcmp(v->text, t->address) == 0)
			return v;
	return NULL;
}

void up_tcp_give_back(struct up *u)
{
	if (u->tcp_asked)
		u->ctl->certs.local.off = u->https_off;
	for (unsigned i = 0; i < u->tcp_n; i++)
		if (u->tcp[i].fresh && !u->tcp[i].err)
			close_one(u->ctl, &u->tcp[i]);
	u->tcp_n = 0;
}

static void refused(struct up *u)
{
	char text[sizeof u->fail_error] = "";
	uint32_t err = 0;
	size_t n = 0;

	for (unsigned i = 0; i < u->tcp_n && n < sizeof text; i++) {
		const struct up_tcp *t = &u->tcp[i];
		const struct app_value *v = t->err ? written(u, t) : NULL;

		if (!t->err)
			continue;
		if (v)
			n += (size_t)snprintf(text + n, sizeof text - n,
				"%s%.500s:%u:%u: ", n ? "\n" : "", v->file, (unsigned)v->line,
				(unsigned)v->col);
		if (n < sizeof text)
			n += (size_t)snprintf(text + n, sizeof text - n,
				t->kind == LISTENER_METRICS ? "Metrics=%s: cannot listen on %s: %s."
				: t->kind == LISTENER_TLS   ? "ListenTls=%s: cannot listen on %s: %s."
							    : "[Tcp %s] cannot listen on %s: %s.",
				t->name, t->address, strerror((int)t->err));
		err = err ? err : t->err;
	}
	if (!err)
		return;
	up_tcp_give_back(u);
	up_fail(u, err == EACCES ? VERB_EXIT_NOT_PERMITTED : VERB_EXIT_FAILED,
		err == EADDRINUSE ? "end what uses it (`ss -ltnp` shows what), or choose another "
				    "Listen="
		: err == EACCES   ? "choose a port from 1024 on, or run stead as root"
				: "choose another Listen= (`ip address` shows the addresses here)",
		"%s", text);
}

bool up_tcp_heard(struct ctl *c, uint64_t id, uint32_t err)
{
	struct up *u = c->up;

	if (!u || !u->tcp_left || id < u->tcp_id || id - u->tcp_id >= u->tcp_n)
		return false;
	u->tcp[id - u->tcp_id].err = err;
	if (--u->tcp_left > 0 || u->failing)
		return true;
	for (unsigned i = 0; i < u->tcp_n; i++)
		if (u->tcp[i].err && is_tried(u, &u->tcp[i])) {
			char why[120];

			(void)snprintf(why, sizeof why, "cannot be listened on (%s)",
				strerror((int)u->tcp[i].err));
			leave_out(u, i--, why);
		}
	refused(u);
	if (u->failing)
		return true;
	u->tcp_bound = true;
	up_advance(u);
	return true;
}

void up_tcp_live(struct up *u)
{
	for (unsigned i = 0; i < u->tcp_old_n; i++)
		if (!has(u->tcp, u->tcp_n, u->tcp_old[i].number))
			close_one(u->ctl, &u->tcp_old[i]);
}
