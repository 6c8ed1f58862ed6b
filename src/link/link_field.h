/*
 * link_field.h: what of an answer's head a worker refuses before it is sent, for every kind of app.
 *
 * Used by python/ and libstead. The gate checks the same again, because a worker's word counts for
 * nothing there; here the app learns at its own call what is wrong with it.
 */
#ifndef STEAD_LINK_LINK_FIELD_H
#define STEAD_LINK_LINK_FIELD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A token (RFC 9110 section 5.6.2). */
static inline bool link_field_name_ok(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return n > 0;
}

/* No control characters (RFC 9110 section 5.5). */
static inline bool link_field_value_ok(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Digits only (RFC 9110 section 8.6); -1: it is none. */
static inline int64_t link_field_length(const char *p, size_t n)
{
	int64_t v = 0;

	if (!n || n > 18)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

#endif
