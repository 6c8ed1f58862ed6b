/*
 * alert.h: one alert on its way: what the process `alert` shares with its tests.
 *
 * What comes in is ctl's question; what comes back is bytes of a mail server or a web server, which libcurl reads.
 */
#ifndef STEAD_ALERT_ALERT_H
#define STEAD_ALERT_ALERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "oneshot/oneshot.h"

enum { ALERT_TEXT_MAX = 256 * 1024 };

struct alert_ask {
	const char *target;  /* an address of mail, or a URL of a webhook */
	const char *smtp, *from;
	const char *id;      /* the same at each try, so that whoever gets it twice sees that */
	const char *subject, *body; /* of a webhook: JSON */
	uint64_t wall_s;
};

bool alert_is_mail(const char *target);
/* The whole mail (RFC 5322), lines ended by CRLF. */
void alert_mail(struct buf *ret, const struct alert_ask *a);
/* Send it. 0 or -errno with f set. */
int alert_send(const struct alert_ask *a, struct failure *f);

#endif
