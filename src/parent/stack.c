/*
 * stack.c: where each thread of a process stands in the kernel, for the log.
 *
 * Called by watch for a process that does not answer, whatever program it is. Reads the kernel's
 * own files below /proc/PID/task, bounded; the numbers, the state and names of kernel functions are
 * taken, and nothing that the process wrote. Owns nothing.
 */
#include "parent.h"
#include "lib/event.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 32, TEXT_MAX = 2048, FRAMES_BYTES = 600 };

/* The beginning of /proc/PID/task/TID/NAME, "" when it cannot be read. */
static void read_text(const struct run *r, long thread, const char *name, char ret[static TEXT_MAX])
{
	char path[96];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%ld/%s", (int)r->child.pid, thread, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, ret, TEXT_MAX - 1);
		close(fd);
	}
	ret[n > 0 ? n : 0] = '\0';
}

/* "[<0>] do_nanosleep+0x6a/0x160" in each line: the names, innermost first, "a < b". */
static void frames(const char *text, char ret[static FRAMES_BYTES])
{
	size_t n = 0;

	ret[0] = '\0';
	for (const char *at = text; at != NULL && *at != '\0';) {
		const char *name = strchr(at, ']');

		if (name == NULL)
			break;
		name += strspn(name, "] ");
		size_t len = strcspn(name, "+\n");
		if (n + len + 4 >= FRAMES_BYTES)
			break;
		n += (size_t)snprintf(ret + n, FRAMES_BYTES - n, "%s%.*s", n != 0 ? " < " : "",
			(int)len, name);
		at = strchr(name, '\n');
		at = at != NULL ? at + 1 : NULL;
	}
}

static void say_thread(struct parent *p, const struct run *r, long thread)
{
	const struct slot *s = r->slot;
	char text[TEXT_MAX], state[2] = "?", wchan[64], stack[FRAMES_BYTES], mem[TEXT_MAX];
	struct buf b;

	read_text(r, thread, "stat", text);
	/* The program's name in brackets may hold anything. */
	const char *at = strrchr(text, ')');
	if (at != NULL && at[1] == ' ' && at[2] != '\0')
		state[0] = at[2];
	read_text(r, thread, "wchan", text);
	snprintf(wchan, sizeof(wchan), "%.60s", text);
	read_text(r, thread, "stack", text);
	frames(text, stack);
	buf_fixed(&b, mem, sizeof(mem));
	event_begin(&b, EV_PROC_STACK);
	event_field_str(&b, "role", proc_rows[s->role].name);
	event_field_u64(&b, "index", s->index);
	event_field_str(&b, "app", slot_name(s));
	event_field_i64(&b, "pid", r->child.pid);
	event_field_i64(&b, "thread", thread);
	event_field_str(&b, "state", state);
	event_field_str(&b, "wchan", wchan);
	event_field_str(&b, "stack", stack);
	if (b.error == 0)
		p->ops->say(p, b.p, b.len);
}

void stack_say(struct parent *p, struct run *r)
{
	char path[64];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	proc_as_begin(p, &r->child);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)r->child.pid);
	d = opendir(path);
	while (d != NULL && n < THREADS_MAX && (e = readdir(d)) != NULL) {
		long thread = strtol(e->d_name, NULL, 10);

		if (thread <= 0)
			continue;
		say_thread(p, r, thread);
		n++;
	}
	if (d != NULL)
		closedir(d);
	proc_as_end(p);
}
