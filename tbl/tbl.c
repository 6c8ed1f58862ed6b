/*
 * tbl.c: the X-macro tables as arrays of rows, and the look-ups that every process shares.
 *
 * Called by everybody. Owns constant data only; allocates nothing, writes nothing.
 */
#include "tbl/tbl.h"

const struct proc_row proc_rows[PROC_END] = {
#define PROC(NAME, name_, many_, oneshot_, jail_, about_)                                          \
	[PROC_##NAME] = {#name_, about_, many_, oneshot_, jail_},
#include "procs.h"
#undef PROC
};

/* `none` stands for a message without a fixed part, though C has no empty struct. */
#define FIXED_BYTES(t) (__builtin_types_compatible_p(struct t, struct none) ? 0 : sizeof(struct t))
#define MSG(NAME, num, from_, to_, fixed, fds_min_, fds_max_, about_)                              \
	{.name = #NAME,                                                                            \
		.about = about_,                                                                   \
		.type = num,                                                                       \
		.from = from_,                                                                     \
		.to = to_,                                                                         \
		.fixed_bytes = FIXED_BYTES(fixed),                                                 \
		.fds_min = fds_min_,                                                               \
		.fds_max = fds_max_},
const struct msg_row msg_rows[] = {
#include "msgs.h"
};
#undef MSG
const unsigned msg_rows_n = sizeof(msg_rows) / sizeof(msg_rows[0]);

/* The place of each message in msg_rows, so that a look-up is one switch. */
#define MSG(NAME, num, from, to, fixed, fds_min, fds_max, about) MSG_AT_##NAME,
enum {
#include "msgs.h"
};
#undef MSG

const struct msg_row *msg_row(uint16_t type)
{
	switch (type) {
#define MSG(NAME, num, from, to, fixed, fds_min, fds_max, about)                                   \
	case num:                                                                                  \
		return &msg_rows[MSG_AT_##NAME];
#include "msgs.h"
#undef MSG
	default:
		return NULL;
	}
}

bool msg_allowed(enum proc from, enum proc to, uint16_t type, size_t payload_bytes, unsigned nfds)
{
	const struct msg_row *r = msg_row(type);

	if (r == NULL || from <= PROC_NONE || from >= PROC_END || to <= PROC_NONE || to >= PROC_END)
		return false;
	return (r->from & (1u << from)) != 0 && (r->to & (1u << to)) != 0 &&
	       payload_bytes >= r->fixed_bytes && nfds >= r->fds_min && nfds <= r->fds_max;
}

const struct act_row act_rows[ACT_END] = {
#define ACT(NAME, name_, args_, about_) [ACT_##NAME] = {#name_, about_, args_},
#include "acts.h"
#undef ACT
};

const struct close close_rows[CLOSE_END] = {
	[CLOSE_NONE] = {.name = "none", .text = ""},
#define CLOSE(NAME, name_, scope_, fault_, status_, text_)                                         \
	[CLOSE_##NAME] = {.name = #name_,                                                          \
		.text = text_,                                                                     \
		.scope = scope_,                                                                   \
		.fault = fault_,                                                                   \
		.status = status_},
#include "closes.h"
#undef CLOSE
};

#define EVENT(NAME, id_, level_, fields_, meaning_, todo_)                                         \
	{.id = id_,                                                                                \
		.name = #NAME,                                                                     \
		.fields = fields_,                                                                 \
		.meaning = meaning_,                                                               \
		.todo = todo_,                                                                     \
		.level = level_},
const struct event_row event_rows[] = {
#include "events.h"
};
#undef EVENT
const unsigned event_rows_n = sizeof(event_rows) / sizeof(event_rows[0]);

const struct event_row *event_row(uint32_t id)
{
	for (unsigned i = 0; i < event_rows_n; i++)
		if (event_rows[i].id == id)
			return &event_rows[i];
	return NULL;
}

const struct metric_row metric_rows[METRIC_END] = {
#define METRIC(NAME, name_, unit_, scope_, about_)                                                 \
	[METRIC_##NAME] = {#name_, unit_, about_, scope_},
#include "metrics.h"
#undef METRIC
};
