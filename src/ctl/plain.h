/*
 * plain.h: text of others (an app's words, names of files) as a person may see it on a terminal, and JSON take it.
 */
#ifndef STEAD_CTL_PLAIN_H
#define STEAD_CTL_PLAIN_H

#include <stdbool.h>

/* In place: what must not reach a terminal (lib/visible.h) is a question mark, so also each byte that is no UTF-8. `lines`: it
 * may have several, and tabs. */
void plain_make(char *text, bool lines);

#endif
