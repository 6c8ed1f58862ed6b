/*
 * inodes.c: no app may use up the inodes of the file system that stead's state and the other apps live on: empty files
 * take no bytes, and when there are no inodes left nobody can make a file there.
 *
 * Called by disk.c with each of its looks, and with ctl's answer. The kernel counts for a process what it writes, not what
 * it makes (act/made.c says what else there is, and why that does not do). So when fewer are left than the floor
 * (lib/room.h) ctl is asked who made files since there was twice as much, and has act count them; that takes a moment,
 * for which the floor is left. The app that made most of them, and at least a quarter of what went, is ended then, and ctl
 * told, which keeps it stopped. Nobody is blamed for what an operator made, or for what a little at a time came together:
 * then it is only said.
 *
 * A reserve, a folder of empty files, is given up when the app was ended and not before, for it would take these, too. It
 * is taken again when there is room. Owns that folder. A file system that makes inodes as they are needed is left out.
 */
#include "parent.h"
#include "mounts.h"
#include "lib/room.h"
#include "lib/within.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { BLAME_SHARE = 4, LOST_SHARE = 64, LOST_MIN = 64, TAKE_MAX = 128, TICK_MS = 20, FOLDERS_BYTES_MAX = 32 * 1024 };

/* ---- the decisions ---- */

void inodes_begin(struct inodes *d, uint64_t total, uint64_t left, uint64_t now_ms)
{
	d->counted = total != 0;
	d->floor = room_inodes_floor(total);
	d->mark_ms = now_ms;
	d->mark_free = d->last_free = left;
}

static uint64_t lost_since_mark(const struct inodes *d, uint64_t left)
{
	return d->mark_free > left ? d->mark_free - left : 0;
}

/* Fewer than that are worth no count. */
static uint64_t lost_least(const struct inodes *d)
{
	return max_of(d->floor / LOST_SHARE, (uint64_t)LOST_MIN);
}

uint64_t inodes_enough(const struct inodes *d, uint64_t left)
{
	return max_of(lost_since_mark(d, left) / BLAME_SHARE, (uint64_t)1);
}

static unsigned below(struct inodes *d, uint64_t left, uint64_t now_ms)
{
	unsigned todo = d->low ? 0 : INODES_SAY_LOW;

	d->low = true;
	if (d->asked_ms != 0 && now_ms - d->asked_ms < INODES_ANSWER_MS)
		return todo;
	/* Whoever was asked is gone. */
	if (d->asked_ms != 0)
		todo |= INODES_GIVE_UP;
	d->asked_ms = 0;
	if (lost_since_mark(d, left) >= lost_least(d)) {
		d->asked_ms = now_ms;
		todo |= INODES_ASK;
	} else if (todo & INODES_SAY_LOW) {
		todo |= INODES_GIVE_UP;
	}
	return todo;
}

unsigned inodes_judge(struct inodes *d, uint64_t total, uint64_t left, uint64_t now_ms)
{
	unsigned todo = 0;

	d->counted = total != 0;
	if (!d->counted)
		return 0;
	d->floor = room_inodes_floor(total);
	if (left >= 2 * d->floor || left > d->mark_free) {
		d->mark_ms = now_ms;
		d->mark_free = left;
	}
	if (left < d->floor) {
		todo = below(d, left, now_ms);
	} else if (d->low && left >= d->floor + d->floor / 2) {
		d->low = false;
		todo = INODES_SAY_FINE;
	}
	d->last_free = left;
	return todo;
}

bool inodes_near(const struct inodes *d, uint64_t left, uint64_t lost)
{
	return d->counted && (d->low || left < 2 * d->floor || lost >= (left - d->floor) / 4);
}

void inodes_answered(struct inodes *d, uint64_t left, uint64_t now_ms)
{
	d->asked_ms = 0;
	d->mark_ms = now_ms;
	d->mark_free = d->last_free = left;
}

/* ---- the reserve ---- */

static void name_of(uint64_t i, char ret[24])
{
	snprintf(ret, 24, "%" PRIu64, i);
}

static void give_up(struct inodes *d)
{
	char name[24];

	/* Also those of a parent before this one, which are not counted yet. */
	for (uint64_t i = 0; d->reserve_fd >= 0 && i < INODES_RESERVE_MAX; i++) {
		name_of(i, name);
		if (unlinkat(d->reserve_fd, name, 0) < 0 && i >= d->reserve)
			break;
	}
	d->reserve = 0;
}

/* Some at each look, so that nothing waits for it. */
static void take(struct inodes *d, uint64_t left)
{
	uint64_t want = min_of(d->floor / 2, (uint64_t)INODES_RESERVE_MAX), end = min_of(d->reserve + TAKE_MAX, want);
	char name[24];
	int fd;

	if (d->reserve_fd < 0 || left < 2 * d->floor + want)
		return;
	for (; d->reserve < end; d->reserve++) {
		name_of(d->reserve, name);
		fd = openat(d->reserve_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
		if (fd < 0)
			return;
		close(fd);
	}
}

/* ---- what is done ---- */

static uint64_t left_now(const struct parent *p)
{
	struct statvfs v;

	return fstatvfs(p->state_fd, &v) < 0 ? 0 : v.f_favail;
}

static void say_level(struct parent *p, enum event id, uint64_t left)
{
	char count[24], floor[24];

	snprintf(count, sizeof(count), "%" PRIu64, left);
	snprintf(floor, sizeof(floor), "%" PRIu64, p->disk.inodes.floor);
	say_text(p, id, "free", count, "floor", floor);
}

/* Where else an app may write: of its own folders in the state act knows. */
static void put_folders(const struct parent *p, const struct spec *spec, struct buf *b)
{
	for (uint32_t i = 0; i < spec->jail.paths && b->len < FOLDERS_BYTES_MAX; i++) {
		uint32_t kind = spec->paths[i].kind & JAIL_PATH_KINDS;

		if ((kind != JAIL_PATH_WRITE && kind != JAIL_PATH_MAKE) || path_is_within(spec->paths[i].path, p->state_dir) ||
			strlen(spec->paths[i].path) >= PATH_MAX)
			continue;
		pack_u32(b, spec->jail.group);
		pack_u32(b, spec->set.uid);
		pack_str(b, spec->paths[i].path);
	}
}

static void ask(struct parent *p, uint64_t left)
{
	struct inodes *d = &p->disk.inodes;
	struct msg_disk m = {.what = DISK_INODES_WHO, .wrote = inodes_enough(d, left), .free = left, .floor = d->floor};
	/* By how long ago it was: a clock that was set meanwhile says it for the files that are made from then on. A little
	 * more, because files bear the time of the kernel's last tick. */
	uint64_t wall_ms = loop_wall_us(p->loop) / 1000, ago_ms = loop_now_ms(p->loop) - d->mark_ms + TICK_MS;
	const struct spec *last = NULL;
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof(m));
	pack_u64(&b, wall_ms > ago_ms ? wall_ms - ago_ms : 0);
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
				const struct spec *spec = s->run[i].spec;

				if (spec == NULL || spec == last || spec->jail.version == 0 || spec->set.uid == 0)
					continue;
				put_folders(p, spec, &b);
				last = spec;
			}
	if (b.error == 0)
		tell_ctl(p, MSG_DISK, 0, &m, sizeof(m), b.p, b.len, NULL, 0);
	buf_done(&b);
}

void inodes_heard(struct parent *p, struct msg *m)
{
	struct inodes *d = &p->disk.inodes;
	struct msg_disk made;

	if (msg_get(m, &made, sizeof(made), sizeof(made)) < 0 || d->asked_ms == 0)
		return;
	/* Room may have come meanwhile. */
	if (!d->low)
		made.app = 0;
	if (made.app != 0) {
		disk_end_app(p, made.app);
		made = (struct msg_disk){.app = made.app, .what = DISK_INODES, .wrote = made.wrote, .free = left_now(p), .floor = d->floor};
	}
	give_up(d);
	if (made.app != 0)
		tell_ctl(p, MSG_DISK, 0, &made, sizeof(made), NULL, 0, NULL, 0);
	inodes_answered(d, left_now(p), loop_now_ms(p->loop));
}

bool inodes_look(struct parent *p, const struct statvfs *v, uint64_t *ret_lost)
{
	struct inodes *d = &p->disk.inodes;
	uint64_t left = v->f_favail, lost = d->last_free > left ? d->last_free - left : 0;
	unsigned todo = inodes_judge(d, v->f_files, left, loop_now_ms(p->loop));

	*ret_lost = lost;
	if (todo & INODES_SAY_LOW)
		say_level(p, EV_INODES_LOW, left);
	if (todo & INODES_SAY_FINE)
		say_level(p, EV_INODES_FINE, left);
	if (todo & INODES_ASK)
		ask(p, left);
	if (todo & INODES_GIVE_UP)
		give_up(d);
	if (d->counted && !d->low)
		take(d, left);
	return inodes_near(d, left, lost);
}

void inodes_init(struct parent *p, const struct statvfs *v)
{
	struct inodes *d = &p->disk.inodes;

	inodes_begin(d, v->f_files, v->f_favail, loop_now_ms(p->loop));
	if (!d->counted)
		return;
	if (mkdirat(p->state_fd, "reserve.inodes", 0700) == 0 || errno == EEXIST)
		d->reserve_fd = openat(p->state_fd, "reserve.inodes", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (v->f_favail < d->floor)
		give_up(d);
}

void inodes_done(struct parent *p)
{
	if (p->disk.inodes.reserve_fd >= 0)
		close(p->disk.inodes.reserve_fd);
	p->disk.inodes.reserve_fd = -1;
}
