/*
 * calls.c: SystemCallFilter= as numbers of this machine's system calls, by systemd's rules: the
 * first line says whether it is a list of what may be done or of what may not; a line of the other
 * kind takes away.
 *
 * Called by protection.c for each PROC_SET. libseccomp knows which number a name has here; a name
 * that this machine does not have is left out. Owns nothing.
 */
#include "calls.h"

#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "lib/must.h"

enum { SETS_DEEP = 6, NUMBERS = JAIL_CALLS_MAX, NAME_MAX_BYTES = 64 };

/* What was last said of each number. */
enum verdict { NOTHING = 0, ALLOWED, DENIED };
struct list {
	uint8_t verdict[NUMBERS]; /* enum verdict */
	uint16_t err[NUMBERS];    /* of DENIED; 0: as all others */
};

static void put_name(struct list *l, const char *name, enum verdict v, uint16_t err)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number < 0 || number >= NUMBERS)
		return;
	l->verdict[number] = (uint8_t)v;
	l->err[number] = v == DENIED ? err : 0;
}

static void put(
	struct list *l, const char *word, size_t n, enum verdict v, uint16_t err, unsigned deep)
{
	char name[NAME_MAX_BYTES];

	if (n >= sizeof name || deep > SETS_DEEP)
		return;
	memcpy(name, word, n);
	name[n] = '\0';
	if (name[0] != '@') {
		put_name(l, name, v, err);
		return;
	}
	for (size_t i = 0; i < calls_rows_n; i++) {
		if (strcmp(calls_rows[i].set, name) != 0)
			continue;
		for (const char *at = calls_rows[i].names; *at; at += strspn(at, " ")) {
			size_t len = strcspn(at, " ");

			put(l, at, len, v, err, deep + 1);
			at += len;
		}
	}
}

static void put_line(struct list *l, const char *line)
{
	bool not = line[0] == '~';

	for (const char *at = line + not ; *at; at += strspn(at, " \t")) {
		size_t n = strcspn(at, " \t");
		const char *colon = memchr(at, ':', n);
		char text[16] = "";
		int err = 0;

		if (colon) {
			(void)snprintf(text, sizeof text, "%.*s",
				(int)(n - (size_t)(colon + 1 - at)), colon + 1);
			err = conf_errno(text);
		}
		if (n)
			put(l, at, colon ? (size_t)(colon - at) : n, not ? DENIED : ALLOWED,
				(uint16_t)max_of(err, 0), 0);
		at += n;
	}
}

uint32_t calls_pack(const char *const *lines, struct msg_jail *j, struct buf *b)
{
	/* Without these no program begins or ends; systemd lets them pass too. */
	static const char always[] =
		"@default execve execveat exit exit_group getrlimit rt_sigreturn sigreturn";
	struct list l;
	uint32_t n = 0;

	j->call_mode = JAIL_CALLS_ANY;
	if (!lines || !lines[0])
		return 0;
	memset(&l, 0, sizeof l);
	bool only = lines[0][0] != '~';
	j->call_mode = only ? JAIL_CALLS_ONLY : JAIL_CALLS_NOT;
	if (only)
		put_line(&l, always);
	for (; *lines; lines++)
		put_line(&l, *lines);
	for (uint32_t i = 0; i < NUMBERS; i++) {
		/* A call that gives an errno of its own is in either list, for that. */
		if (l.err[i] == 0 && l.verdict[i] != (only ? ALLOWED : DENIED))
			continue;
		pack_u32(b, i | (uint32_t)l.err[i] << 16);
		n++;
	}
	return n;
}
