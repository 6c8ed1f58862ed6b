/*
 * sim_priv.h: the simulated world's objects; for sim.c, sim_io.c and loop_sim.c only.
 *
 * As in the kernel, a descriptor is a number for an open file, and an open file may have several. A
 * file owns what waits to be read from it (struct sim_queue); its peer writes there.
 */
#ifndef STEAD_LIB_SIM_PRIV_H
#define STEAD_LIB_SIM_PRIV_H

#include "lib/loop_priv.h"
#include "lib/sim.h"

enum { SIM_PASSED_MAX = 253 }; /* as the kernel: SCM_MAX_FD */
enum sim_kind { SIM_STREAM, SIM_SEQPACKET, SIM_PIPE_IN, SIM_PIPE_OUT, SIM_LISTENER };

/* One message of a SEQPACKET socket; its bytes follow. Its descriptors are files of the world or
 * real ones, duplicated. */
struct sim_message {
	struct sim_message *next;
	size_t len;
	unsigned nfds;
	struct sim_passed {
		struct sim_file *file; /* NULL: a real one */
		int real_fd;
	} fds[SIM_PASSED_MAX];
	char bytes[];
};

/* What waits to be read. `arrived` of it can be read by now: bytes, or messages. */
struct sim_queue {
	char *bytes; /* streams and pipes */
	struct sim_message *first, **last;
	size_t len;      /* bytes, or messages */
	size_t arrived;  /* the same unit */
	size_t weight;   /* bytes, bounded by the capacity */
	uint64_t due_us; /* when the next piece arrives; 0: nothing is under way */
	bool fin, fin_arrived;
	bool writer_waits; /* was told EAGAIN: is told when there is room */
};

struct sim_file {
	enum sim_kind kind;
	unsigned refs;
	int first_fd;          /* its descriptors, chained by sim_fd.next_fd; -1 */
	struct sim_file *peer; /* NULL: gone */
	struct sim_queue in;
	int err; /* told once */
	bool shut_read, shut_write;
	uint64_t poke_us; /* a refused write may be tried again then; 0: none */
	/* listener */
	struct sim_file **backlog;
	unsigned backlog_n, backlog_max;
	struct sim_file *next, *prev; /* all files of the world */
};

struct sim_fd {
	struct sim_file *file; /* NULL: free */
	int next_fd;
	struct loop *loop; /* who watches it */
	uint32_t generation;
	bool pending; /* an edge since the last look */
};

enum { SIM_LOOPS_MAX = 64 };

struct sim {
	struct sim_options o;
	uint64_t random;
	uint64_t now_us;
	int64_t wall_offset_us;
	struct sim_fd *fds;
	unsigned fds_n, fds_open;
	struct sim_file *files; /* newest first */
	struct loop *loops[SIM_LOOPS_MAX];
	unsigned loops_n;
	uint16_t next_port;
};

struct sim_fd *sim_fd_of(struct sim *s, int fd);
struct sim_file *sim_file_of(struct sim *s, int fd);
struct sim_file *sim_file_new(struct sim *s, enum sim_kind kind);
void sim_file_ref(struct sim_file *f);
void sim_file_unref(struct sim *s, struct sim_file *f);
/* A new descriptor for f, which gets one more reference. -EMFILE. */
int sim_fd_new(struct sim *s, struct sim_file *f);
/* Something changed at f: whoever watches it looks again. */
void sim_edge(struct sim *s, struct sim_file *f);
/* LFD_* as of now. */
uint32_t sim_readiness(const struct sim_file *f, size_t capacity);
size_t sim_capacity(const struct sim *s);
/* Let what is due arrive. */
void sim_arrive(struct sim *s);
/* When something is due next; UINT64_MAX: never. */
uint64_t sim_next_due_us(const struct sim *s);

/* sim_io.c */
void sim_queue_done(struct sim *s, struct sim_queue *q);
void sim_queue_put_end(struct sim *s, struct sim_file *reader);
void sim_queue_arrive(struct sim *s, struct sim_file *reader);
void sim_queue_lose_unarrived(struct sim *s, struct sim_queue *q);

#endif
