/*
 * rig.h: what the tests of the one-shots share: a scratch folder, and becoming an ordinary user,
 * since PostgreSQL refuses to run as root.
 */
#ifndef STEAD_TEST_RIG_H
#define STEAD_TEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
/* cmocka wants those above first */
#include <cmocka.h>

/* The user that the test runs as, by name; root becomes postgres, or skips where there is none. */
const char *rig_user(void);
/* A new folder below /tmp; the same memory each time. */
const char *rig_folder(void);
void rig_remove(const char *path);
/* PATH/NAME in memory that the next eighth call uses again. */
const char *rig_path(const char *folder, const char *name);
void rig_write(const char *folder, const char *name, const char *text, mode_t mode);
/* The file's text, malloc'd; NULL when there is none. */
char *rig_read(const char *folder, const char *name);

#endif
