/*
 * exposed.c: does a program that listens at a port of its own listen for the whole network too?
 *
 * Called by procs.c when a program is up that is asked at a port. Such a program is reached past the gates: past the
 * site's networks, passwords, rates and logs. Reads /proc/net/tcp and tcp6 (proc(5)), changes nothing.
 */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

/* The addresses stand in hexadecimal, each 32-bit word in the machine's order: of 127.0.0.1 the 127 comes last. */
static bool is_loopback(const char *hex)
{
	size_t n = strlen(hex);

	if (n == 8)
		return strcmp(hex + 6, "7F") == 0;
	return strcmp(hex, "00000000000000000000000001000000") == 0 ||
	       (n == 32 && strncmp(hex, "0000000000000000FFFF0000", 24) == 0 && strcmp(hex + 30, "7F") == 0);
}

bool exposed_line(const char *line, unsigned port)
{
	unsigned at, state;
	char hex[33];

	/* "sl: ADDRESS:PORT ADDRESS:PORT STATE …"; 0A is LISTEN. */
	return sscanf(line, "%*u: %32[0-9A-F]:%4X %*32[0-9A-F]:%*4X %2X", hex, &at, &state) == 3 && at == port &&
	       state == 0x0a && !is_loopback(hex);
}

static bool in_file(const char *path, unsigned port)
{
	FILE *f = fopen(path, "re");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f))
		found = exposed_line(line, port);
	if (f)
		(void)fclose(f);
	return found;
}

bool exposed_port(unsigned port)
{
	return in_file("/proc/net/tcp", port) || in_file("/proc/net/tcp6", port);
}
