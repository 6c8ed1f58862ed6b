/*
 * filters.c: the filters by number. Constant, so that no code pointer lies in a request's memory.
 */
#include "cache.h"
#include "compress.h"
#include "edit.h"

const struct filter_ops *const filter_table[FILTER_END] = {
	[FILTER_CACHE] = &cache_filter,
	[FILTER_EDIT] = &edit_filter,
	[FILTER_COMPRESS] = &compress_filter,
};
