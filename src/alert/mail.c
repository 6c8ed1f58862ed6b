/*
 * mail.c: an alert as a mail (RFC 5322; Auto-Submitted: RFC 3834). Pure.
 */
#include "alert.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

bool alert_is_mail(const char *target)
{
	return strstr(target, "://") == NULL;
}

/* A header's text: one line of ASCII. */
static void put_header(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "%s: ", name);
	for (size_t i = 0; text[i] && i < 200; i++)
		buf_putc(b, text[i] >= ' ' && text[i] < 127 ? text[i] : '?');
	buf_puts(b, "\r\n");
}

void alert_mail(struct buf *ret, const struct alert_ask *a)
{
	const char *host = strchr(a->from, '@');
	time_t at = (time_t)a->wall_s;
	char date[64] = "", id[300];
	struct tm tm;

	if (gmtime_r(&at, &tm))
		(void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &tm);
	(void)snprintf(id, sizeof id, "<%s@%s>", a->id, host ? host + 1 : "localhost");
	put_header(ret, "From", a->from);
	put_header(ret, "To", a->target);
	put_header(ret, "Subject", a->subject);
	put_header(ret, "Date", date);
	put_header(ret, "Message-ID", id);
	put_header(ret, "Auto-Submitted", "auto-generated");
	put_header(ret, "MIME-Version", "1.0");
	put_header(ret, "Content-Type", "text/plain; charset=utf-8");
	put_header(ret, "Content-Transfer-Encoding", "8bit");
	buf_puts(ret, "\r\n");
	for (const char *p = a->body; *p; p++) {
		/* Section 2.3: CR and LF come together only. */
		if (*p == '\n')
			buf_puts(ret, "\r\n");
		else if (*p != '\r')
			buf_putc(ret, *p);
	}
}
