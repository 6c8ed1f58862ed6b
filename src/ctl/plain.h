/*
 * plain.h: text of others (an app's words, names of files) as a person may see it on a terminal, and JSON take it.
 */
#ifndef STEAD_CTL_PLAIN_H
#define STEAD_CTL_PLAIN_H

#include <stdbool.h>

/* In place: a control character is a question mark, and in a text that is not UTF-8 each byte above ASCII, too. `lines`:
 * it may have several, and tabs. */
void plain_make(char *text, bool lines);

#endif
