/*
 * phpfpm.h: the system's PHP-FPM; see phpfpm.c.
 */
#ifndef STEAD_LIB_PHPFPM_H
#define STEAD_LIB_PHPFPM_H

#include <limits.h>
#include <stdbool.h>

/* The newest one's path; false: there is none. */
bool phpfpm_newest(char ret[static PATH_MAX]);

#endif
