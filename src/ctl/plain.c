/*
 * plain.c: see plain.h. Called wherever a text that others chose a part of goes to a client or into the status: one that is
 * not UTF-8 makes no JSON, and then nobody would be told anything.
 */
#include "plain.h"

#include <string.h>

#include "conf/conf.h"

void plain_make(char *text, bool lines)
{
	size_t n = strlen(text);
	bool utf8 = conf_utf8_span(text, n) == n;

	for (char *p = text; *p; p++) {
		unsigned char ch = (unsigned char)*p;

		if ((ch < 0x20 && !(lines && (ch == '\n' || ch == '\t'))) || ch == 0x7f || (!utf8 && ch >= 0x80))
			*p = '?';
	}
}
