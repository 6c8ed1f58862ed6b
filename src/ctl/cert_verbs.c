/*
 * cert_verbs.c: `stead cert list|show|renew`, and what `stead status` says of certificates.
 *
 * Called by verbs.c, status.c and, when a certificate was got or was not, by acme.c. Owns nothing.
 */
#include "ctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PATIENCE_MS = 20 * 60 * 1000 };

json_t *certs_day(uint64_t s)
{
	char text[32] = "";
	time_t at = (time_t)s;
	struct tm tm;

	if (s && gmtime_r(&at, &tm))
		(void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

json_t *certs_words(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t n = strcspn(text, " ");

		(void)json_array_append_new(list, json_stringn(text, n));
		text += n + strspn(text + n, " ");
	}
	return list;
}

static const char *const alerts[] = {[CERT_ALERT_NONE] = "",
	[CERT_ALERT_LATE] = "late",
	[CERT_ALERT_ENDS] = "ends",
	[CERT_ALERT_OVER] = "over"};

/* Of one that nobody here renews. */
static const char *own_state(enum cert_alert alert)
{
	return alert == CERT_ALERT_OVER ? "served, is over" : alert ? "served, ends soon" : "served";
}

static const char *state_of(const struct ctl *c, const struct cert *cert)
{
	enum cert_alert alert = acme_alert(c, cert);

	/* What browsers will see comes before why. */
	if (cert->own || (cert->n && alert >= CERT_ALERT_ENDS))
		return own_state(alert);
	if (!cert->n)
		return cert->failures ? "failing" : cert->job || cert->making ? "being got" : "waiting";
	return cert->failures			? "served, renewal fails"
	       : cert->job || cert->making	? "served, being renewed"
	       : alert == CERT_ALERT_LATE	? "served, renewal is late"
						: "served";
}

/* The host of who gave it, or will be asked first. */
static const char *authority_of(const struct ctl *c, const struct cert *cert, char ret[256])
{
	const char *url = acme_source(c, cert), *at = strstr(url, "://");

	at = at ? at + 3 : url;
	(void)snprintf(ret, 256, "%.*s", (int)min_of(strcspn(at, "/"), (size_t)255), at);
	return ret;
}

static json_t *cert_json(const struct ctl *c, const struct cert *cert)
{
	char host[256];
	const char *names = cert->n ? cert->names : cert->wanted ? cert->wanted : "";
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:i}", "site", cert->of ? cert->of : cert->site, "state",
		state_of(c, cert), "alert", alerts[acme_alert(c, cert)], "from",
		cert->own ? "Certificate=" : acme_source(c, cert), "issuer",
		cert->own ? cert->own_issuer : authority_of(c, cert, host), "names",
		certs_words(cert->own ? (cert->own_names ? cert->own_names : "") : names), "serial",
		cert->own ? cert->own_serial : cert->serial, "until",
		certs_day(cert->own ? cert->own_until_s : cert->not_after_s), "failures",
		(int)cert->failures);

	if (o && cert->of)
		(void)json_object_set_new(o, "on_demand", json_true());
	if (o && !cert->own) {
		(void)json_object_set_new(o, "next", certs_day(cert->job ? 0 : cert->next_s));
		(void)json_object_set_new(o, "wanted", certs_words(cert->wanted ? cert->wanted : ""));
		(void)json_object_set_new(o, "error", json_string(cert->what));
		(void)json_object_set_new(o, "todo", json_string(cert->todo));
		(void)json_object_set_new(o, "about", json_string(cert->about));
		(void)json_object_set_new(o, "left_out", certs_words(cert->left_out));
	}
	return o;
}

static json_t *stored_json(const struct ctl *c, const struct stored_cert *s)
{
	enum cert_alert alert = acme_alert_stored(c, s);

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:o}", "site", s->site, "state",
		own_state(alert), "alert", alerts[alert], "from", "cert import", "issuer", s->v.issuer,
		"names", certs_words(s->v.names), "serial", s->v.serial, "until",
		certs_day(s->v.head.not_after_s));
}

json_t *certs_json(struct ctl *c, const char *site)
{
	json_t *list = json_array(), *local = local_json(c);

	if (local && (!site[0] || (c->certs.local.own && strcmp(site, c->app.name) == 0)))
		(void)json_array_append(list, local);
	json_decref(local);
	for (const struct stored_cert *s = c->certs.stored; s; s = s->next)
		if (s->seen == c->certs.build && (!site[0] || strcmp(site, s->site) == 0))
			(void)json_array_append_new(list, stored_json(c, s));
	for (const struct cert *cert = c->certs.all; cert; cert = cert->next)
		if (cert->seen == c->certs.build && (cert->wanted || cert->own) &&
			(!site[0] || strcmp(site, cert->of ? cert->of : cert->site) == 0))
			(void)json_array_append_new(list, cert_json(c, cert));
	return list;
}

static bool has_name(const char *names, const char *name)
{
	size_t n = strlen(name);

	for (; names && *names; names += strcspn(names, " "), names += strspn(names, " "))
		if (strcspn(names, " ") == n && strncmp(names, name, n) == 0)
			return true;
	return false;
}

bool certs_has(const struct ctl *c, const char *site, const char *name)
{
	for (const struct stored_cert *s = c->certs.stored; s; s = s->next)
		if (s->seen == c->certs.build && strcmp(s->site, site) == 0 && has_name(s->v.names, name))
			return true;
	for (const struct cert *cert = c->certs.all; cert; cert = cert->next)
		if (cert->seen == c->certs.build && !cert->of && (cert->n || cert->own) && strcmp(cert->site, site) == 0 &&
			has_name(cert->own ? cert->own_names : cert->names, name))
			return true;
	return false;
}

bool cert_verb_may(struct client *cl)
{
	if (cl->ctl->live_us)
		return true;
	client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.",
		cl->ctl->start.server ? "`stead status` says what hinders it" : "`stead up` takes the folder live", NULL);
	return false;
}

void cert_list_start(struct client *cl)
{
	json_t *list;

	if (!cert_verb_may(cl))
		return;
	list = certs_json(cl->ctl, cl->req.app[0] ? verbs_name(cl) : "");
	if (cl->req.app[0] && json_array_size(list) == 0) {
		json_decref(list);
		client_end(cl, VERB_EXIT_NO_SUCH,
			"This site has no certificate, and none is got for it.",
			"AcmeEmail= in [Server] gets one by itself, for public names in Domain=; "
			"Certificate= names one that you have",
			NULL);
		return;
	}
	client_end(cl, VERB_EXIT_DONE, "", "", json_pack("{s:o}", "certificates", list));
}

/* ---- renew ---- */

void cert_renew_start(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct cert *cert;

	if (!cert_verb_may(cl))
		return;
	cert = cert_find(c, verbs_name(cl));
	if (stored_find(c, verbs_name(cl))) {
		client_end(cl, VERB_EXIT_NO_SUCH, "This site has a certificate that was imported.",
			"`stead cert import` takes the next; with --remove it is as without", NULL);
		return;
	}
	if (local_serves(c, verbs_name(cl)) && !(cert && (cert->wanted || cert->own))) {
		client_progress(cl, "cert",
			"nothing to do: this site's certificate is of your own authority, for local names, and is made anew by itself",
			UINT32_MAX);
		client_end(cl, VERB_EXIT_DONE, "", "", json_pack("{s:[o]}", "certificates", local_json(c)));
		return;
	}
	if (!cert || !cert->wanted) {
		client_end(cl, VERB_EXIT_NO_SUCH,
			cert && cert->own && cert->seen == c->certs.build
				? "This site has a certificate of your own, in Certificate=."
				: "No certificate is got for this site.",
			cert && cert->own ? "renew the file, then `stead reload`"
					  : "AcmeEmail= in [Server] gets one by itself, for public "
					    "names in Domain=",
			NULL);
		return;
	}
	cl->renewing = cert;
	(void)snprintf(cl->renew_from, sizeof cl->renew_from, "%s", cert->serial);
	client_progress(cl, "cert", "asking the authority", UINT32_MAX);
	loop_timer_in(c->loop, &cl->timer, PATIENCE_MS);
	acme_renew(c, cert);
}

void cert_renew_late(struct client *cl)
{
	cl->renewing = NULL;
	client_end(cl, VERB_EXIT_FAILED,
		"The authority has not answered for 20 minutes; it goes on.",
		"`stead cert list` shows how it stands", NULL);
}

void cert_renewed(struct ctl *c, const struct cert *cert)
{
	char text[CERT_TEXT_MAX + 300];

	for (struct client *cl = c->clients; cl; cl = cl->next) {
		/* Without a failure it is one that was not there when it was asked for. */
		if (cl->renewing != cert ||
			(!cert->failures && strcmp(cl->renew_from, cert->serial) == 0))
			continue;
		cl->renewing = NULL;
		loop_timer_stop(c->loop, &cl->timer);
		(void)snprintf(text, sizeof text, "There is no new certificate: %s%s%s.",
			cert->about, cert->about[0] ? ": " : "", cert->what);
		if (cert->failures)
			client_end(cl, VERB_EXIT_FAILED, text, cert->todo, NULL);
		else
			client_end(cl, VERB_EXIT_DONE, "", "",
				json_pack("{s:[o]}", "certificates", cert_json(c, cert)));
	}
}
