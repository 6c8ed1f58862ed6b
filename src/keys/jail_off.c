/*
 * jail_off.c: no filter in builds with a sanitizer, whose run time needs calls of its own.
 */
#include "keys.h"

int keys_jail_close(uint32_t *ret_guards)
{
	*ret_guards = 0;
	return 0;
}
