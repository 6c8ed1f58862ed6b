/*
 * send.c: hand an alert to a mail server (SMTP with STARTTLS and AUTH) or to a webhook (HTTPS), by libcurl.
 *
 * Called by main.c once. What is needed of the machine is read first (whom to believe, the addresses of the one name), then
 * the process gives away everything but connections and memory; what a server says is read behind that.
 */
#include "alert.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aide/aide.h"
#include "lib/hostname.h"
#include "lib/must.h"
#include "lib/mailbox.h"
#include "lib/sys.h"

enum { CONNECT_MS = 10 * 1000, TRANSFER_MS = 25 * 1000, AUTHORITIES_MAX = 8 << 20, ADDRESSES_MAX = 4, ANSWER_MAX = 64 * 1024 };

struct sending {
	const struct alert_ask *a;
	struct failure *f;
	CURL *easy;
	struct curl_slist *resolve, *to, *headers;
	char *authorities;
	size_t authorities_n;
	struct buf mail;
	size_t at;
	size_t heard;
	char error[CURL_ERROR_SIZE];
	char host[256];
	bool near; /* it does not leave this machine */
	bool secret; /* there is a password in the URL */
	unsigned port;
};

static int failed(struct sending *s, int err, const char *todo, const char *what)
{
	return failure_set(s->f, err, EXIT_CODE_FAILED, todo, "%s", what);
}

static int read_authorities(struct sending *s)
{
	const char *own = getenv("SSL_CERT_FILE");
	const char *places[] = {own ? own : "", "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"};

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (*places[i] && sys_read_file(AT_FDCWD, places[i], AUTHORITIES_MAX, &s->authorities, &s->authorities_n) == 0)
			return 0;
	s->authorities = strdup("");
	return s->authorities ? 0 : -ENOMEM;
}

static bool take_part(CURLU *u, CURLUPart part, unsigned flags, char *ret, size_t cap)
{
	char *text = NULL;
	bool good = curl_url_get(u, part, &text, flags) == CURLUE_OK && strlen(text) < cap;

	if (good)
		memcpy(ret, text, strlen(text) + 1);
	curl_free(text);
	return good;
}

static bool take_url(struct sending *s, const char *url, bool mail)
{
	char scheme[12], port[8], user[8];
	CURLU *u = curl_url();
	bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
		    take_part(u, CURLUPART_SCHEME, 0, scheme, sizeof scheme) &&
		    take_part(u, CURLUPART_HOST, 0, s->host, sizeof s->host);

	if (good && !take_part(u, CURLUPART_PORT, 0, port, sizeof port))
		(void)snprintf(port, sizeof port, "%s", strcmp(scheme, "https") == 0 ? "443" : strcmp(scheme, "smtps") == 0 ? "465" :
			strcmp(scheme, "smtp") == 0 ? "25" : "80");
	s->port = good ? (unsigned)strtoul(port, NULL, 10) : 0;
	s->near = hostname_is_loopback(s->host, strlen(s->host));
	s->secret = u && (take_part(u, CURLUPART_USER, 0, user, sizeof user) || strchr(url, '@') != NULL);
	curl_url_cleanup(u);
	if (mail)
		return good && (strcmp(scheme, "smtp") == 0 || strcmp(scheme, "smtps") == 0);
	/* Unencrypted only where nobody can listen. */
	return good && (strcmp(scheme, "https") == 0 || (strcmp(scheme, "http") == 0 && s->near));
}

/* The name's addresses, as curl takes them. Behind the jail nothing looks names up any more. */
static int look_up(struct sending *s)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	char entry[256 + ADDRESSES_MAX * 50], one[INET6_ADDRSTRLEN];
	unsigned n = 0;
	int r;

	if (s->host[0] == '[')
		return 0;
	r = getaddrinfo(s->host, NULL, &hints, &list);
	if (r != 0) {
		(void)snprintf(s->error, sizeof s->error, "the name %.120s cannot be looked up: %.100s", s->host, gai_strerror(r));
		return failed(s, ENOENT, "see `stead doctor dns`", s->error);
	}
	(void)snprintf(entry, sizeof entry, "%s:%u:", s->host, s->port);
	for (struct addrinfo *i = list; i && n < ADDRESSES_MAX; i = i->ai_next) {
		const void *addr = i->ai_family == AF_INET ? (const void *)&((struct sockaddr_in *)(void *)i->ai_addr)->sin_addr
							   : (const void *)&((struct sockaddr_in6 *)(void *)i->ai_addr)->sin6_addr;

		if ((i->ai_family != AF_INET && i->ai_family != AF_INET6) || !inet_ntop(i->ai_family, addr, one, sizeof one))
			continue;
		(void)snprintf(entry + strlen(entry), sizeof entry - strlen(entry), "%s%s", n++ ? "," : "", one);
	}
	freeaddrinfo(list);
	s->resolve = curl_slist_append(NULL, entry);
	return n && s->resolve ? 0 : failed(s, ENOENT, "see `stead doctor dns`", "the server's name has no address");
}

static int close_jail(void)
{
	static const int more[] = {SCMP_SYS(poll), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(connect), SCMP_SYS(getsockname),
		SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(shutdown), SCMP_SYS(writev), SCMP_SYS(fstat),
		SCMP_SYS(newfstatat), SCMP_SYS(rt_sigaction), SCMP_SYS(ioctl)};

	return aide_filter(&(struct aide_filter){.more = more, .n = ARRAY_LEN(more), .internet = true, .lenient = true});
}

static size_t give(char *p, size_t size, size_t n, void *arg)
{
	struct sending *s = arg;
	size_t left = min_of(size * n, s->mail.len - s->at);

	memcpy(p, s->mail.p + s->at, left);
	s->at += left;
	return left;
}

/* What a server answers is of no interest, and bounded. */
static size_t ignore(char *p, size_t size, size_t n, void *arg)
{
	struct sending *s = arg;

	(void)p;
	s->heard += size * n;
	return s->heard > ANSWER_MAX ? 0 : size * n;
}

static bool set_up(struct sending *s, const char *url, bool mail)
{
	struct curl_blob authorities = {s->authorities, s->authorities_n, CURL_BLOB_NOCOPY};
	char idempotency[200];
	CURL *e = s->easy;
	bool good = e != NULL;

#define SET(option, value) good = good && curl_easy_setopt(e, option, value) == CURLE_OK
	SET(CURLOPT_URL, url);
	SET(CURLOPT_ERRORBUFFER, s->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_RESOLVE, s->resolve);
	SET(CURLOPT_CAINFO_BLOB, &authorities);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	SET(CURLOPT_TIMEOUT_MS, (long)TRANSFER_MS);
	SET(CURLOPT_WRITEFUNCTION, ignore);
	SET(CURLOPT_WRITEDATA, s);
	if (mail) {
		s->to = curl_slist_append(NULL, s->a->target);
		SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
		/* A password never goes in the clear; nor does a mail, beyond this machine. */
		SET(CURLOPT_USE_SSL, (long)(s->near && !s->secret ? CURLUSESSL_NONE : CURLUSESSL_ALL));
		SET(CURLOPT_MAIL_FROM, s->a->from);
		SET(CURLOPT_MAIL_RCPT, s->to);
		SET(CURLOPT_READFUNCTION, give);
		SET(CURLOPT_READDATA, s);
		SET(CURLOPT_UPLOAD, 1L);
		good = good && s->to;
	} else {
		(void)snprintf(idempotency, sizeof idempotency, "Idempotency-Key: %s", s->a->id);
		s->headers = curl_slist_append(NULL, "Content-Type: application/json");
		if (s->headers && !curl_slist_append(s->headers, idempotency))
			good = false;
		SET(CURLOPT_PROTOCOLS_STR, s->near ? "http,https" : "https");
		SET(CURLOPT_USERAGENT, "stead/" STEAD_VERSION);
		SET(CURLOPT_HTTPHEADER, s->headers);
		SET(CURLOPT_POSTFIELDSIZE, (long)strlen(s->a->body));
		SET(CURLOPT_POSTFIELDS, s->a->body);
		good = good && s->headers;
	}
#undef SET
	return good;
}

static int transfer(struct sending *s, bool mail)
{
	CURLcode r = curl_easy_perform(s->easy);
	char text[CURL_ERROR_SIZE + 100];
	long status = 0;

	(void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	if (r != CURLE_OK) {
		(void)snprintf(text, sizeof text, "%.90s: %.255s", s->host, s->error[0] ? s->error : curl_easy_strerror(r));
		return failed(s, EIO, mail ? "see Smtp= in [Alert]" : "see Webhook= in [Alert]", text);
	}
	if (mail || (status >= 200 && status < 300))
		return 0;
	(void)snprintf(text, sizeof text, "%s answered with status %ld", s->host, status);
	return failed(s, EPROTO, "see Webhook= in [Alert]", text);
}

static int prepare(struct sending *s, const char *url, bool mail)
{
	int r;

	if (mail && (!mailbox_valid(s->a->target) || !mailbox_valid(s->a->from)))
		return failed(s, EINVAL, "write NAME@HOST into Mail= and From= of [Alert]", "that is no address of mail");
	if (!take_url(s, url, mail))
		return failed(s, EINVAL, "Smtp= takes smtp://HOST:PORT or smtps://, Webhook= https://",
			mail ? "Smtp= is no URL of a mail server" : "Webhook= is no https:// URL");
	if (read_authorities(s) < 0)
		return failed(s, ENOMEM, "", "no memory");
	r = look_up(s);
	if (r == 0 && (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(s->easy = curl_easy_init())))
		r = failed(s, ENOMEM, "", "libcurl cannot be started");
	if (r == 0 && close_jail() < 0)
		r = failed(s, EPERM, "", "the filter of system calls cannot be set");
	return r;
}

int alert_send(const struct alert_ask *a, struct failure *f)
{
	struct sending s = {.a = a, .f = f};
	bool mail = alert_is_mail(a->target);
	const char *url = mail ? a->smtp : a->target;
	int r = prepare(&s, url, mail);

	buf_init(&s.mail, ALERT_TEXT_MAX);
	if (r == 0 && mail)
		alert_mail(&s.mail, a);
	if (r == 0 && (s.mail.error || !set_up(&s, url, mail)))
		r = failed(&s, ENOMEM, "", "no memory");
	if (r == 0)
		r = transfer(&s, mail);
	curl_easy_cleanup(s.easy);
	curl_slist_free_all(s.resolve);
	curl_slist_free_all(s.to);
	curl_slist_free_all(s.headers);
	buf_done(&s.mail);
	free(s.authorities);
	return r;
}
