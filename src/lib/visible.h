/*
 * visible.h: which bytes of a text that others wrote must not reach a person's terminal as they are.
 *
 * Used wherever an app's words, names of files or what stands in an app's files are shown. ECMA-48 has its control
 * functions in C0 (ESC [) and in C1 too, where one character (U+009B) does the same; Unicode has characters that change
 * the order in which the ones around them are shown (UAX 9), and further ends of lines.
 */
#ifndef STEAD_LIB_VISIBLE_H
#define STEAD_LIB_VISIBLE_H

#include <stddef.h>

/* Bytes of the UTF-8 character at p (RFC 3629 section 4), n at the most, or 0 when there is none. */
size_t visible_utf8(const char *p, size_t n);
/* Bytes of the one thing at p that must not be shown: a control character (but for a tab and a newline), DEL, one of C1, a mark
 * of direction, an end of a line or paragraph, a byte that is no UTF-8. 0: what stands there may be. n > 0. */
size_t visible_odd(const char *p, size_t n);
/* In place: each such thing is one `by`. */
void visible_make(char *text, char by);

#endif
