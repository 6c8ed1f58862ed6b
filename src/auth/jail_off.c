/*
 * jail_off.c: no filter in builds with a sanitizer, whose run time needs calls of its own.
 */
#include "auth.h"

int auth_jail_close(void)
{
	return 0;
}
