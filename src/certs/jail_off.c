/*
 * jail_off.c: no filter: in a sanitized build, whose runtime needs calls that nobody else should
 * have. Called once.
 */
#include "process.h"

int certs_jail_close(void)
{
	return 0;
}
