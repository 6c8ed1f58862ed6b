/*
 * filters.c: the filters by number. Constant, so that no code pointer lies in a request's memory.
 */
#include "compress.h"
#include "edit.h"

const struct filter_ops *const filter_table[FILTER_END] = {
	[FILTER_EDIT] = &edit_filter,
	[FILTER_COMPRESS] = &compress_filter,
};
