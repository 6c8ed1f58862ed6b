/*
 * alert.c: who is named in [Alert] can be told: an address of mail, a webhook that is not asked in the clear, a mail server.
 *
 * Called by conf_finish(). An alert comes when something is wrong already; that is not the time to find a slip of the pen in it.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/hostname.h"
#include "lib/mailbox.h"

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The host of a URL behind its scheme and USER:PASSWORD@; *ret_n may be 0. */
static const char *host_of(const char *url, size_t *ret_n)
{
	const char *from = strstr(url, "://") + 3, *at = memchr(from, '@', strcspn(from, "/?#"));
	size_t n;

	from = at ? at + 1 : from;
	n = *from == '[' ? strcspn(from, "]") + 1 : strcspn(from, ":/?#");
	*ret_n = n < strlen(from) ? n : strlen(from);
	return from;
}

/* Is what stands behind the host a port, or nothing, and behind that a slash, or a path where there may be one? */
static bool ends_well(const char *tail, bool path)
{
	char *end = NULL;
	unsigned long port = *tail == ':' ? strtoul(tail + 1, &end, 10) : 1;

	if (port == 0 || port > 65535 || (end && (end == tail + 1 || tail[1] == '+' || tail[1] == '-')))
		return false;
	tail = end ? end : tail;
	return *tail == '\0' || strcmp(tail, "/") == 0 || (path && strchr("/?#", *tail) != NULL);
}

static void check_webhook(struct conf *c, const struct conf_value *v)
{
	bool clear = begins(v->text, "http://");
	const char *host;
	size_t n;

	if (!clear && !begins(v->text, "https://")) {
		conf_find(c, CONF_ERROR, &v->pos, "write it with https://", "Webhook=: \"%.60s\" is not a URL of a webhook", v->text);
		return;
	}
	host = host_of(v->text, &n);
	if (n == 0 || !ends_well(host + n, true))
		conf_find(c, CONF_ERROR, &v->pos, "https://HOST[:PORT]/PATH", "Webhook=: \"%.60s\" is not a URL of a webhook", v->text);
	else if (clear && !hostname_is_local(host, n))
		conf_find(c, CONF_ERROR, &v->pos, "write its URL with https://, or name a loopback address",
			"Webhook=: what needs a person is not told to another machine in the clear");
}

static void check_address(struct conf *c, enum conf_key k)
{
	for (const struct conf_value *v = c->at->head[k]; v != NULL; v = v->next)
		if (v->text[0] != '\0' && !mailbox_valid(v->text))
			conf_find(c, CONF_ERROR, &v->pos, "write an address, like admin@example.org", "%s=: \"%.60s\" is not an address of mail",
				conf_rows[k].key, v->text);
}

static void check_smtp(struct conf *c)
{
	const struct conf_value *v = c->at->head[CONF_ALERT_SMTP];
	const char *host;
	size_t n = 0;

	if (v == NULL || v->text[0] == '\0')
		return;
	host = begins(v->text, "smtp://") || begins(v->text, "smtps://") ? host_of(v->text, &n) : "";
	if (n == 0 || !ends_well(host + n, false))
		conf_find(c, CONF_ERROR, &v->pos, "smtp://[USER:PASSWORD@]HOST[:PORT], or smtps://", "Smtp=: that is not a mail server's URL");
}

void conf_alert_check(struct conf *c)
{
	check_address(c, CONF_ALERT_MAIL);
	check_address(c, CONF_ALERT_FROM);
	for (const struct conf_value *v = c->at->head[CONF_ALERT_WEBHOOK]; v != NULL; v = v->next)
		if (v->text[0] != '\0')
			check_webhook(c, v);
	check_smtp(c);
}
