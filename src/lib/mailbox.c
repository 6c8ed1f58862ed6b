/*
 * mailbox.c: see mailbox.h. Called by conf for what [Alert] names, and by the process `alert` for what ctl asks. Pure.
 */
#include "mailbox.h"

#include <stddef.h>
#include <string.h>

bool mailbox_valid(const char *address)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+/=?^_`{|}~-@";
	const char *at = strchr(address, '@');
	size_t n = strlen(address);

	return at && at != address && at[1] && !strchr(at + 1, '@') && n <= 254 && strspn(address, letters) == n;
}
