/*
 * plain.c: see plain.h. Called wherever a text that others chose a part of goes to a client or into the status: one that is
 * not UTF-8 makes no JSON, and then nobody would be told anything.
 */
#include "plain.h"

#include "lib/visible.h"

void plain_make(char *text, bool lines)
{
	visible_make(text, '?');
	for (char *p = text; *p && !lines; p++)
		if (*p == '\n' || *p == '\t')
			*p = '?';
}
