/*
 * link_field.h: what of an answer's head a worker refuses before it is sent, for every kind of app.
 *
 * Used by python/ and libstead, where the app learns at its own call what is wrong with it, and by
 * the gate again, because a worker's word counts for nothing there.
 */
#ifndef STEAD_LINK_LINK_FIELD_H
#define STEAD_LINK_LINK_FIELD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Eight bytes that are all letters or hyphens, as nearly all of a field's name are. */
static inline bool link_field_plain(const char *p)
{
	const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
	uint64_t w, low, letter, other;

	memcpy(&w, p, 8);
	/* Sums of less than 0x100 for each byte below 0x80, so that none reaches its neighbour. */
	low = (w & ~high) | ones * 0x20;
	letter = (low + ones * (0x80 - 'a')) & ~(low + ones * (0x80 - 'z' - 1));
	other = ((w ^ ones * '-') & ~high) + ones * 0x7f;
	return ((letter | ~other) & ~w & high) == high;
}

/* A token (RFC 9110 section 5.6.2). */
static inline bool link_field_name_ok(const char *p, size_t n)
{
	/* A bit for each character: letters, digits and !#$%&'*+-.^_`|~ */
	static const uint32_t ok[8] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};
	size_t i = 0;

	while (n - i >= 8 && link_field_plain(p + i))
		i += 8;
	/* What is left of it, with some of what was looked at. */
	if (i && n - i < 8 && link_field_plain(p + n - 8))
		return true;
	for (; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (!(ok[c / 32] >> c % 32 & 1))
			return false;
	}
	return n > 0;
}

/* Eight bytes without a control character; false for some that have none. */
static inline bool link_field_visible(const char *p)
{
	const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
	uint64_t w, del;

	memcpy(&w, p, 8);
	del = w ^ ones * 0x7f;
	return !((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & high);
}

/* No control characters (RFC 9110 section 5.5). */
static inline bool link_field_value_ok(const char *p, size_t n)
{
	size_t i = 0;

	/* Eight at once; a piece that looks as if it had one is looked at byte by byte. */
	while (n - i >= 8 && link_field_visible(p + i))
		i += 8;
	if (i && n - i < 8 && link_field_visible(p + n - 8))
		return true;
	for (; i < n; i++) {
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
