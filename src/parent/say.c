/*
 * say.c: the parent's own events.
 *
 * Called from everywhere in the parent. Writes into the parent's log ring; until a log process
 * reads it, errors go to stderr as well, because a start that fails must be seen by somebody. Owns
 * nothing.
 */
#include "parent.h"
#include "lib/event.h"
#include <stdio.h>
#include <string.h>

enum { EVENT_BYTES_MAX = 1024 };

const char *slot_name(const struct slot *s)
{
	return s->set != NULL ? s->set->name : "";
}

void say_run(struct parent *p, enum event id, struct run *r, const char *name, uint64_t number,
	const char *why)
{
	char mem[EVENT_BYTES_MAX];
	struct buf b;
	const struct slot *s = r->slot;

	buf_fixed(&b, mem, sizeof(mem));
	event_begin(&b, (uint32_t)id);
	event_field_str(&b, "role", proc_rows[s->role].name);
	event_field_u64(&b, "index", s->index);
	event_field_str(&b, "app", slot_name(s));
	event_field_i64(&b, "pid", r->last_pid);
	bool ended = id == EV_PROC_DIED || id == EV_PROC_ENDED || id == EV_RUN_FAILED;

	if (ended && s->status == PROC_STATUS_UNKNOWN)
		event_field_str(&b, "status", "unknown");
	else if (ended)
		event_field_i64(&b, "status", s->status);
	if (id == EV_APP_CRASHING)
		event_field_u64(&b, "restarts", s->restarts);
	if (name != NULL)
		event_field_u64(&b, name, number);
	if (why != NULL)
		event_field_str(&b, "why", why);
	if (b.error == 0)
		p->ops->say(p, b.p, b.len);
}

void say_oom(struct parent *p, const struct run *r, const struct cgroup_group *g, uint64_t killed)
{
	char mem[EVENT_BYTES_MAX];
	struct buf b;

	buf_fixed(&b, mem, sizeof(mem));
	event_begin(&b, (uint32_t)EV_OUT_OF_MEMORY);
	event_field_str(&b, "app", slot_name(r->slot));
	event_field_u64(&b, "group", g->app);
	event_field_u64(&b, "processes", killed);
	event_field_u64(&b, "limit", g->set.memory_max);
	if (b.error == 0)
		p->ops->say(p, b.p, b.len);
}

void say_texts(struct parent *p, enum event id, const char *const *pairs)
{
	char mem[EVENT_BYTES_MAX];
	struct buf b;

	buf_fixed(&b, mem, sizeof(mem));
	event_begin(&b, (uint32_t)id);
	for (; pairs[0] != NULL; pairs += 2)
		event_field_str(&b, pairs[0], pairs[1]);
	if (b.error == 0)
		p->ops->say(p, b.p, b.len);
}

void say_text(struct parent *p, enum event id, const char *name, const char *value,
	const char *name2, const char *value2)
{
	say_texts(p, id, (const char *[]){name, value, name2, value2, NULL});
}

static void print_field(void *arg, const char *name, const char *value)
{
	(void)arg;
	fprintf(stderr, " %s=%s", name, value);
}

void say_real(struct parent *p, const void *event, size_t n)
{
	uint32_t id = 0;

	logring_put(&p->own_ring, LOGREC_EVENT, loop_wall_us(p->loop), event, n);
	parent_settle_soon(p);
	if (p->own_ring.page != NULL)
		return;
	memcpy(&id, event, min_of(n, sizeof(id)));
	const struct event_row *row = event_row(id);
	if (row == NULL || row->level > LEVEL_ERROR)
		return;
	fprintf(stderr, "stead: %s:", row->meaning);
	event_decode(event, n, &id, print_field, NULL);
	fprintf(stderr, "%s%s\n", row->todo[0] != '\0' ? " - " : "", row->todo);
}
