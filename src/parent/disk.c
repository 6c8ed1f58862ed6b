/*
 * disk.c: no app may fill the disk that stead's state and the other apps live on.
 *
 * Called by main.c and by timers. There is no quota that every file system has as it is mounted, so this is a guard: with
 * much room it looks when the watchdog wakes the parent anyway, sooner where that could be too late at the most that a
 * machine does in a second and an app runs that could; with less room each quarter of a second or sooner while it shrinks,
 * and each two seconds while it does not. When less is free than
 * the floor (lib/room.h), the app whose processes wrote most of what went since the look before is ended, and ctl told,
 * which keeps it stopped. Nobody is blamed who has not written at least a quarter of it, as the kernel counts for each
 * process; what it does not count, fallocate(2), an app may not do (filter.c). A process can keep its user from reading that
 * count (PR_SET_DUMPABLE, a program that nobody may read), and the parent looks as its user (proc_as.c). When nobody else
 * wrote that much, the app that does so is taken to have, if its cgroup was in the kernel as long as writing it takes.
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

enum { SOON_MIN_MS = 50, SOON_MS = 250, NEAR_MS = 2000, SELDOM_MS = 5000, PROCS_BYTES_MAX = 64 * 1024, PROCS_MAX = 2048, BLAME_SHARE = 4 };
enum { RESERVE_MAX = 256 << 20, LOST_MIN = 1 << 20, LOST_INODES_MIN = 256 };
/* What apps can make of a disk's room in a millisecond, at the most. */
enum { BYTES_A_MS = 1 << 20, INODES_A_MS = 100 };
/* What one processor can write in a µs, at the most: its memory is not faster. */
enum { BYTES_A_US = 20000 };

/* ---- who writes ---- */

/* Bytes that went into write(2), or to a disk by a mapping; whichever is more. 0: it is gone. -EACCES: it is there and not
 * to be seen. */
static int written_by(long pid, uint64_t *ret)
{
	char path[48], text[512], *at;
	uint64_t chars = 0, disk = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/io", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret = 0;
	if (fd < 0)
		return kill((pid_t)pid, 0) == 0 ? -EACCES : 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	if ((at = strstr(text, "wchar: ")) != NULL)
		chars = strtoull(at + 7, NULL, 10);
	if ((at = strstr(text, "\nwrite_bytes: ")) != NULL)
		disk = strtoull(at + 14, NULL, 10);
	*ret = max_of(chars, disk);
	/* It is opened by anybody's right to the file, and read by whoever may look into the process. */
	return n >= 0 || kill((pid_t)pid, 0) < 0 ? 0 : -EACCES;
}

static void count_process(struct disk_writer *w, long pid)
{
	uint64_t bytes;

	if (written_by(pid, &bytes) < 0)
		w->hides = true;
	w->now += bytes;
}

/* How long all of its processes were in the kernel, by its cgroup (v2); 0: it is not told. */
static uint64_t system_us(const struct parent *p, uint32_t app)
{
	uint64_t us = 0;
	char *text, *at;
	size_t n;

	for (const struct cgroup_group *g = p->cgroups.groups; g != NULL; g = g->next) {
		if (g->app != app || g->v2 < 0 || sys_read_file(g->v2, "cpu.stat", 4096, &text, &n) < 0)
			continue;
		if ((at = strstr(text, "system_usec ")) != NULL)
			us += strtoull(at + 12, NULL, 10);
		free(text);
	}
	return us;
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
		count_process(w, c->pid);
		proc_as_end(p);
		return;
	}
	proc_as_begin(p, c);
	for (at = text; *left > 0; at = end, --*left) {
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		count_process(w, pid);
	}
	proc_as_end(p);
	free(text);
}

static void count_system(const struct parent *p, struct disk_writer *w)
{
	uint64_t us = system_us(p, w->app);

	w->system_before_us = w->system_us != 0 ? w->system_us : us;
	w->system_us = us;
}

static void count(struct parent *p)
{
	struct disk *d = &p->disk;
	unsigned left = PROCS_MAX;

	for (unsigned i = 0; i < d->n; i++) {
		d->writer[i].before = d->writer[i].now;
		d->writer[i].now = 0;
		d->writer[i].hides = false;
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
		if (d->writer[i].now == 0 && d->writer[i].before == 0 && !d->writer[i].hides)
			d->writer[i] = d->writer[--d->n];
		else
			count_system(p, &d->writer[i++]);
}

static uint64_t wrote(const struct disk_writer *w)
{
	return w->now > w->before ? w->now - w->before : 0;
}

static uint64_t in_kernel_us(const struct disk_writer *w)
{
	return w->hides && w->system_us > w->system_before_us ? w->system_us - w->system_before_us : 0;
}

/* Who wrote most of what went; NULL: nobody enough. */
const struct disk_writer *disk_most(const struct disk *d, uint64_t lost)
{
	const struct disk_writer *top = NULL, *hidden = NULL;
	uint64_t seen = 0;

	for (unsigned i = 0; i < d->n; i++) {
		const struct disk_writer *w = &d->writer[i];

		seen += wrote(w);
		if (top == NULL || wrote(w) > wrote(top))
			top = w;
		if (hidden == NULL || in_kernel_us(w) > in_kernel_us(hidden))
			hidden = w;
	}
	if (top == NULL || wrote(top) >= lost / BLAME_SHARE)
		return top;
	return seen < lost / 2 && in_kernel_us(hidden) > lost / BLAME_SHARE / BYTES_A_US ? hidden : NULL;
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
	const struct disk_writer *who = lost >= LOST_MIN ? disk_most(&p->disk, lost) : NULL;

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
	tell(p, who->app, who->hides ? lost : wrote(who), left);
}

/* In how long it is worth to look again: at the speed of the last time, twice before the floor. */
static bool is_near(const struct disk *d, uint64_t left, uint64_t lost)
{
	return d->low || left < 2 * d->floor || lost >= (left - d->floor) / 4;
}

static uint64_t ms_to(uint64_t left, uint64_t floor, uint64_t each_ms)
{
	return left > floor ? (left - floor) / each_ms : 0;
}

/* While it shrinks: no later than it may be used up. */
static uint64_t pause_of(const struct disk *d, uint64_t lost, uint64_t lost_inodes)
{
	uint64_t soon_ms = max_of(d->room_ms, (uint64_t)SOON_MIN_MS);

	if (lost < LOST_MIN && lost_inodes < LOST_INODES_MIN)
		return min_of(2 * d->pause_ms, (uint64_t)NEAR_MS);
	return d->low || d->inodes.low ? SOON_MS : min_of(soon_ms, (uint64_t)SOON_MS);
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
	d->room_ms = ms_to(left, d->floor, BYTES_A_MS);
	if (d->inodes.counted)
		d->room_ms = min_of(d->room_ms, ms_to(v.f_favail, d->inodes.floor, INODES_A_MS));
	d->pause_ms = pause_of(d, lost, lost_inodes);
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

static void look_again(struct parent *p, bool near_)
{
	const struct disk *d = &p->disk;
	uint64_t watchdog_ms = p->server.notify.half_ms, rest_ms = watchdog_ms != 0 ? watchdog_ms : SELDOM_MS;

	if (near_)
		rest_ms = d->pause_ms;
	else if (d->n > 0 && d->room_ms < rest_ms)
		rest_ms = max_of(d->room_ms, (uint64_t)SOON_MS);
	else if (watchdog_ms != 0)
		return;
	loop_timer_in(p->loop, &p->disk.timer, rest_ms);
}

void disk_look(struct parent *p)
{
	bool near_ = look(p);

	if (p->disk.on && p->stop_step == STOP_NOT && p->disk.timer.at_ms == 0)
		look_again(p, near_);
}

void disk_on_timer(struct loop *l, struct op *op, int res)
{
	struct parent *p = container_of(op, struct parent, disk.timer.op);
	bool near_ = look(p);

	(void)l;
	(void)res;
	if (p->disk.on && p->stop_step == STOP_NOT)
		look_again(p, near_);
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
