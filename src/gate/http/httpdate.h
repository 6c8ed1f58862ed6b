/*
 * httpdate.h: dates (RFC 9110 section 5.6.7) and the registered reason phrases.
 */
#ifndef STEAD_GATE_HTTPDATE_H
#define STEAD_GATE_HTTPDATE_H

#include "gate.h"

enum { HTTP_DATE_BYTES = 29 };

/* IMF-fixdate; room for HTTP_DATE_BYTES + 1. */
void http_date_format(int64_t unix_s, char *p);
/* All three forms that a recipient must know. False: none of them. */
bool http_date_parse(const char *p, size_t n, int64_t *ret_unix_s);
/* Now, HTTP_DATE_BYTES; made anew once a second. */
const char *http_date_now(struct gate *g);
/* "" when there is none. */
const char *http_reason(unsigned status);

#endif
