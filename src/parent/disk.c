/*
 * disk.c: no app may fill the disk that stead's state and the other apps live on.
 *
 * Called by main.c and by timers. There is no quota that every file system has as it is mounted, so this is a guard: with
 * much room it looks when the watchdog wakes the parent anyway; with less each quarter of a second while it shrinks, and
 * each two seconds while it does not. When less is free than
 * the floor (lib/room.h), the app whose processes wrote most of what went since the look before is ended, and ctl told,
 * which keeps it stopped. Nobody is blamed who has not written at least a quarter of it, as the kernel counts for each
 * process; what it does not count, fallocate(2), an app may not do (filter.c).
 *
 * A reserve, a file of blocks taken before, is given up at that moment, so that the state can be written, records too, and
 * what the others' databases must write. It is taken again when there is room. Owns that file.
 *
 * Inodes run out in their own way: inodes.c. Without root there is neither guard: app, state and whatever else lies there
 * are one user's, whom his own quota holds to account, and who can make files past every process of stead.
 */
#include "parent.h"
#include "lib/room.h"
#include <fcntl.h>
#include <signal.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SOON_MS = 250, NEAR_MS = 2000, SELDOM_MS = 5000, PROCS_BYTES_MAX = 64 * 1024, PROCS_MAX = 2048, BLAME_SHARE = 4 };
enum { RESERVE_MAX = 256 << 20, LOST_MIN = 1 << 20, LOST_INODES_MIN = 256 };

/* ---- who writes ---- */

/* Bytes that went into write(2), or to a disk by a mapping; whichever is more. 0: it is gone. */
static uint64_t written_by(long pid)
{
	char path[48], text[512], *at;
	uint64_t chars = 0, disk = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/io", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	if ((at = strstr(text, "wchar: ")) != NULL)
		chars = strtoull(at + 7, NULL, 10);
	if ((at = strstr(text, "\nwrite_bytes: ")) != NULL)
		disk = strtoull(at + 14, NULL, 10);
	return max_of(chars, disk);
}

static struct disk_writer *writer_of(struct disk *d, uint32_t app)
{
	for (unsigned i = 0; i < d->n; i++)
		if (d->writer[i].app == app)
			return &d->writer[i];
	if (d->n >= DISK_WRITERS_MAX)
		return NULL;
	d->writer[d->n] = (struct disk_writer){.app = app};
	return &d->writer[d->n++];
}

static void count_child(const struct parent *p, struct disk_writer *w, const struct child *c, unsigned *left)
{
	char *text = NULL, *at, *end;
	size_t n;

	if (c->pid == 0)
		return;
	if (c->cgroup_fd < 0 || sys_read_file(c->cgroup_fd, "cgroup.procs", PROCS_BYTES_MAX, &text, &n) < 0) {
		proc_as_begin(p, c);
		w->now += written_by(c->pid);
		proc_as_end(p);
		return;
	}
	proc_as_begin(p, c);
	for (at = text; *left > 0; at = end, --*left) {
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		w->now += written_by(pid);
	}
	proc_as_end(p);
	free(text);
}

static void count(struct parent *p)
{
	struct disk *d = &p->disk;
	unsigned left = PROCS_MAX;

	for (unsigned i = 0; i < d->n; i++) {
		d->writer[i].before = d->writer[i].now;
		d->writer[i].now = 0;
	}
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
				const struct run *r = &s->run[i];
				struct disk_writer *w = r->spec != NULL && r->spec->jail.version != 0
								? writer_of(d, r->spec->jail.group)
								: NULL;

				if (w == NULL)
					continue;
				count_child(p, w, &r->child, &left);
				count_child(p, w, &r->hook, &left);
			}
	/* Of those that are gone nothing is left to compare with. */
	for (unsigned i = 0; i < d->n;)
		if (d->writer[i].now == 0 && d->writer[i].before == 0)
			d->writer[i] = d->writer[--d->n];
		else
			i++;
}

static uint64_t wrote(const struct disk_writer *w)
{
	return w->now > w->before ? w->now - w->before : 0;
}

/* Who wrote most of what went; NULL: nobody enough. */
static const struct disk_writer *most(const struct disk *d, uint64_t lost)
{
	const struct disk_writer *top = NULL;

	for (unsigned i = 0; i < d->n; i++)
		if (top == NULL || wrote(&d->writer[i]) > wrote(top))
			top = &d->writer[i];
	return top != NULL && wrote(top) >= lost / BLAME_SHARE ? top : NULL;
}

/* ---- what is done ---- */

void disk_end_app(struct parent *p, uint32_t app)
{
	for (struct cgroup_group *g = p->cgroups.groups; g != NULL; g = g->next)
		if (g->app == app && g->v2 >= 0)
			(void)cgroup_write(g->v2, "cgroup.kill", "1");
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
				struct run *r = &s->run[i];

				if (r->spec == NULL || r->spec->jail.version == 0 || r->spec->jail.group != app)
					continue;
				child_signal(p, &r->child, SIGKILL, true);
				child_signal(p, &r->hook, SIGKILL, true);
			}
}

static void tell(struct parent *p, uint32_t app, uint64_t bytes, uint64_t left)
{
	struct msg_disk m = {.app = app, .wrote = bytes, .free = left, .floor = p->disk.floor};

	tell_ctl(p, MSG_DISK, 0, &m, sizeof(m), NULL, 0, NULL, 0);
}

static void say_level(struct parent *p, enum event id, uint64_t left)
{
	char bytes[24], floor[24];

	snprintf(bytes, sizeof(bytes), "%" PRIu64, left);
	snprintf(floor, sizeof(floor), "%" PRIu64, p->disk.floor);
	say_text(p, id, "free", bytes, "floor", floor);
}

/* ---- the reserve ---- */

static void give_up(struct parent *p)
{
	if (p->disk.reserve_fd >= 0 && ftruncate(p->disk.reserve_fd, 0) == 0)
		p->disk.reserve = 0;
}

/* Only where much is free, and where blocks can be had without writing them. */
static void take(struct parent *p, uint64_t left)
{
	struct disk *d = &p->disk;
	uint64_t want = min_of(d->floor / 2, (uint64_t)RESERVE_MAX);

	if (d->reserve_fd < 0 || d->reserve != 0 || left < 2 * d->floor + want)
		return;
	if (fallocate(d->reserve_fd, 0, 0, (off_t)want) == 0)
		d->reserve = want;
	else
		give_up(p);
}

/* ---- the look ---- */

static void below(struct parent *p, uint64_t left, uint64_t lost)
{
	const struct disk_writer *who = lost >= LOST_MIN ? most(&p->disk, lost) : NULL;

	if (!p->disk.low) {
		p->disk.low = true;
		give_up(p);
		say_level(p, EV_DISK_LOW, left);
		if (who == NULL)
			tell(p, 0, 0, left);
	}
	if (who == NULL)
		return;
	disk_end_app(p, who->app);
	tell(p, who->app, wrote(who), left);
}

/* In how long it is worth to look again: at the speed of the last time, twice before the floor. */
static bool is_near(const struct disk *d, uint64_t left, uint64_t lost)
{
	return d->low || left < 2 * d->floor || lost >= (left - d->floor) / 4;
}

static bool look(struct parent *p)
{
	struct disk *d = &p->disk;
	struct statvfs v;

	if (!d->on || p->stop_step != STOP_NOT || fstatvfs(p->state_fd, &v) < 0)
		return false;
	uint64_t left = room_free(&v), lost = d->free_last > left ? d->free_last - left : 0, lost_inodes;
	bool near_ = inodes_look(p, &v, &lost_inodes);
	d->floor = room_floor(room_total(&v));
	d->pause_ms = lost >= LOST_MIN || lost_inodes >= LOST_INODES_MIN ? SOON_MS : min_of(2 * d->pause_ms, (uint64_t)NEAR_MS);
	count(p);
	if (left < d->floor) {
		below(p, left, lost);
	} else if (d->low && left >= d->floor + d->floor / 2) {
		d->low = false;
		say_level(p, EV_DISK_FINE, left);
	}
	if (!d->low)
		take(p, left);
	/* What is given up or taken is nobody's doing. */
	if (fstatvfs(p->state_fd, &v) == 0)
		d->free_last = room_free(&v);
	return is_near(d, left, lost) || near_;
}

void disk_look(struct parent *p)
{
	if (look(p) && p->disk.timer.at_ms == 0)
		loop_timer_in(p->loop, &p->disk.timer, SOON_MS);
}

void disk_on_timer(struct loop *l, struct op *op, int res)
{
	struct parent *p = container_of(op, struct parent, disk.timer.op);
	bool near_ = look(p);

	(void)res;
	if (!p->disk.on || p->stop_step != STOP_NOT)
		return;
	if (near_)
		loop_timer_in(l, &p->disk.timer, p->disk.pause_ms);
	else if (p->server.notify.half_ms == 0)
		loop_timer_in(l, &p->disk.timer, SELDOM_MS);
}

void disk_init(struct parent *p)
{
	struct disk *d = &p->disk;
	struct statvfs v;
	struct stat st;

	d->timer.op.kind = OP_DISK;
	d->reserve_fd = d->inodes.reserve_fd = -1;
	if (!p->root || fstatvfs(p->state_fd, &v) < 0)
		return;
	d->on = true;
	d->pause_ms = SOON_MS;
	d->floor = room_floor(room_total(&v));
	d->free_last = room_free(&v);
	d->reserve_fd = openat(p->state_fd, "reserve", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (d->reserve_fd >= 0 && fstat(d->reserve_fd, &st) == 0 && S_ISREG(st.st_mode))
		d->reserve = (uint64_t)st.st_size;
	if (d->reserve != 0 && d->free_last < d->floor)
		give_up(p);
	inodes_init(p, &v);
	loop_timer_in(p->loop, &d->timer, SOON_MS);
}

void disk_done(struct parent *p)
{
	loop_timer_stop(p->loop, &p->disk.timer);
	if (p->disk.reserve_fd >= 0)
		close(p->disk.reserve_fd);
	p->disk.reserve_fd = -1;
	inodes_done(p);
}
