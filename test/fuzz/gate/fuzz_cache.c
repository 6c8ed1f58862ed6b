/*
 * fuzz_cache.c: Cache-Control, CDN-Cache-Control, Age, If-None-Match, keys and stored descriptions. The first byte
 * chooses; what is read back from bytes is within them, and packed again it is the same.
 */
#include "cache_head.h"
#include "lib/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void in_bounds(int64_t v)
{
	must(v >= CACHE_NONE && v <= CACHE_SECONDS_MAX);
}

static void directives(const char *p, size_t n, bool cdn)
{
	struct cache_cc cc;

	cache_cc_init(&cc);
	if (cdn)
		(void)cache_cdn_parse(&cc, p, n);
	else
		cache_cc_parse(&cc, p, n);
	in_bounds(cc.max_age);
	in_bounds(cc.s_maxage);
	in_bounds(cc.stale_while_revalidate);
	in_bounds(cc.stale_if_error);
	in_bounds(cc.max_stale);
	in_bounds(cc.min_fresh);
	in_bounds(cache_age_parse(p, n));
}

static void description(const char *p, size_t n)
{
	static struct cache_head h;
	static char mem[256 * 1024];
	struct buf b;

	if (!cache_head_unpack(p, n, &h))
		return;
	must(h.key >= p && h.key + h.key_len <= p + n);
	buf_fixed(&b, mem, sizeof(mem));
	cache_head_pack(&h, &b);
	must(b.error || b.len == n);
	for (uint32_t i = 0; i < h.reason_len; i++)
		must((unsigned char)h.reason[i] >= ' ' || h.reason[i] == '\t');
	(void)cache_vary_matches(&h, h.fields, h.nfields);
	(void)cache_tags_of(h.fields, h.nfields);
}

static void answer(const char *p, size_t n)
{
	static const char *const names[] = {
		"cache-control", "expires", "vary", "age", "cdn-cache-control"};
	struct cache_asked asked = {.asked_ms = 1};
	struct cache_rules rules;
	struct field f[5];

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		f[i] = (struct field){
			names[i], p + n / 5 * i, (uint32_t)strlen(names[i]), (uint32_t)(n / 5)};
	cache_rules_of(&rules, 200, f, 5, &asked, 1000);
	must(rules.lifetime_s >= 0 && rules.lifetime_s <= CACHE_SECONDS_MAX && rules.age_s >= 0);
}

/* A list of entity tags, and one of the bytes behind it: what matches is a word of the list, or it has a "*". */
static void tags(const char *p, size_t n)
{
	size_t cut = n ? (unsigned char)p[0] % n : 0, tag_n = n - cut;
	const char *tag = p + cut;

	if (!cache_tag_listed(p, cut, tag, tag_n))
		return;
	if (tag_n >= 2 && memcmp(tag, "W/", 2) == 0) {
		tag += 2;
		tag_n -= 2;
	}
	must(cut > 0 && (memchr(p, '*', cut) || (tag_n > 0 && memmem(p, cut, tag, tag_n))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;
	struct cache_key key;

	if (size < 1)
		return 0;
	size--;
	switch (data[0] % 6) {
	case 0:
	case 1:
		directives(p, size, data[0] % 6);
		break;
	case 2:
		if (cache_key_parse(p, size, &key))
			must(key.target + key.target_len == p + size && key.host_len < size);
		break;
	case 3:
		description(p, size);
		break;
	case 4:
		tags(p, size);
		break;
	default:
		answer(p, size);
		break;
	}
	return 0;
}
