/*
 * fuzz_subst.c: configured texts with variables, and paths that clients chose: the result has no
 * byte that begins something new where it goes.
 */
#include "gate.h"
#include "lib/must.h"
#include "snap/snap_priv.h"
#include "subst.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *path;
	struct gate g = {0};
	struct arena_pool pool;
	struct snap_site site = {0};
	struct snap snap = {0};
	struct req r = {.gate = &g, .snap = &snap, .site = &site};
	struct regex_groups groups = {.pattern = "", .n = 2};
	size_t cut, n;
	char *made;

	if (size < 2 || size > 4096 || memchr(data, 0, size))
		return 0;
	cut = data[0] % size;
	path = text + cut;
	arena_pool_init(&pool, 4096, 64, 0);
	arena_init(&r.arena, &pool);
	r.path = path;
	r.path_len = (uint32_t)(size - cut);
	r.target = r.query = r.host = "";
	groups.subject = path;
	groups.at[0].len = groups.at[1].len = size - cut;
	made = subst(&r, "/u/$1?x=${uri}&$0", 17, &groups, SUBST_URL, &n);
	for (size_t i = 0; made && i < n; i++)
		must((unsigned char)made[i] > 0x20 && (unsigned char)made[i] < 0x7f);
	made = subst(&r, "a $uri b", 8, NULL, SUBST_VALUE, &n);
	for (size_t i = 0; made && i < n; i++)
		must((unsigned char)made[i] >= 0x20 && made[i] != 0x7f);
	(void)subst(&r, text, cut, &groups, SUBST_PATH, &n);
	(void)subst_encode_path(&r, path, size - cut, &n);
	arena_reset(&r.arena);
	arena_pool_done(&pool);
	regex_free_all(&g);
	return 0;
}
