/*
 * must.h: what to do when the program itself is wrong.
 *
 * must(c) states what cannot be false unless stead has a bug. It is always on: a violated one prints
 * where and what on stderr and aborts, and the parent restarts the process with a clean layout.
 * fatal() is for a start-up impossibility (no memory for the loop, a missing descriptor) and is called
 * from a process's entry only. Neither is an answer to input: a peer's fault is a close reason, an
 * operating error a negative errno.
 */
#ifndef STEAD_LIB_MUST_H
#define STEAD_LIB_MUST_H

#define must(cond) ((__builtin_expect(!(cond), 0)) ? must_failed(__FILE__, __LINE__, __func__, #cond) : (void)0)

_Noreturn void must_failed(const char *file, int line, const char *func, const char *cond);

/* Print "stead-ROLE: TEXT" on stderr and exit(1). Async-signal-unsafe; entries only. */
_Noreturn __attribute__((format(printf, 2, 3))) void fatal(const char *role, const char *fmt, ...);

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
#define min_of(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define max_of(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })

#endif
