/*
 * line.c: the way of every rendered line: into the store, and to who follows.
 *
 * Called wherever a line was rendered. Owns nothing. What cannot be kept is counted, and said once
 * the store takes lines again.
 */
#include "log.h"

void log_line(struct log *g)
{
	if (g->line.error || g->line.len > RECORD_BYTES_MAX) {
		g->store.lost_bytes += g->line.len;
		g->store.error_count++;
		return;
	}
	if (g->line.len == 0)
		return;
	store_put(&g->store, g->line.p, g->line.len);
	if (g->ship.to != LOG_TO_OFF)
		ship_line(g, g->line.p, g->line.len);
	if (g->queries)
		query_line(g, g->line.p, g->line.len);
}

void log_flush(struct log *g)
{
	uint64_t lost;

	store_flush(&g->store);
	ship_tell(g);
	lost = g->store.lost_bytes - g->store.lost_told;
	if (lost == 0 || g->store.failing)
		return;
	g->store.lost_told = g->store.lost_bytes;
	buf_reset(&g->line);
	render_dropped(&g->line, loop_wall_us(g->loop), "the files", lost, 0);
	log_line(g);
	store_flush(&g->store);
}
