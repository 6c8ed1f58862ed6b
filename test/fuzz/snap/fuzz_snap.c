/*
 * fuzz_snap.c: a snapshot's segment as garbage. The header's checks are passed by, so that the
 * accessors meet the bytes themselves; the checks are run on them too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"
#include "snap/snap.h"
#include "snap/snap_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch_route(const struct snap *s, const struct snap_route *r)
{
	const struct snap_error_page *page;
	const struct snap_header *header;
	const struct snap_str *index;

	(void)snap_str(s, r->root, NULL);
	for (uint32_t i = 0; i < 4 && (page = snap_item(s, r->error_pages, i, sizeof *page)); i++)
		(void)snap_str(s, page->file, NULL);
	for (uint32_t i = 0; i < 4 && (header = snap_item(s, r->headers, i, sizeof *header)); i++)
		(void)snap_str(s, header->value, NULL);
	for (uint32_t i = 0; i < 4 && (index = snap_item(s, r->index, i, sizeof *index)); i++)
		(void)snap_str(s, *index, NULL);
}

static void touch_site(
	const struct snap *s, const struct snap_site *site, const char *path, size_t len)
{
	struct snap_route_iter it = {0};
	const struct snap_route *r;
	const uint32_t *regex;

	(void)snap_str(s, site->name, NULL);
	for (uint32_t i = 0; i < 16 && (r = snap_route(s, site, i)); i++)
		touch_route(s, r);
	for (uint32_t i = 0; i < 16 && (regex = snap_item(s, site->regexes, i, sizeof *regex)); i++)
		(void)snap_route(s, site, *regex);
	while ((r = snap_route_next(s, site, path, len, &it)))
		(void)snap_str(s, r->path, NULL);
}

static void touch_upstream(const struct snap *s, const struct snap_upstream *up)
{
	const struct snap_server *server;

	(void)snap_str(s, up->name, NULL);
	for (uint32_t i = 0; i < 4 && (server = snap_item(s, up->servers, i, sizeof *server)); i++)
		(void)snap_str(s, server->name, NULL);
}

/* As the segment of certificates, whose checks hold: what stands in it is another matter. */
static void touch_certs(const uint8_t *data, size_t size)
{
	struct {
		struct snap_root root;
		struct snap_segref seg[2];
	} top = {.root = {.magic = SNAP_MAGIC, .version = SNAP_VERSION, .segments = 2}};
	struct snap_sites sites = {
		.head = {.magic = SNAP_MAGIC, .version = SNAP_VERSION, .kind = SNAP_SITES}};
	const struct snap_seg_head head = {
		.magic = SNAP_MAGIC, .version = SNAP_VERSION, .kind = SNAP_CERTS};
	struct snap_part parts[3] = {
		{(const char *)&top, sizeof top}, {(const char *)&sites, sizeof sites}};
	const struct snap_cert *cert;
	struct snap *s = NULL;
	char *copy = malloc(size);
	volatile unsigned touched = 0; /* so that what is read cannot be left out */
	size_t n;

	if (!copy)
		return;
	memcpy(copy, data, size);
	memcpy(copy, &head, sizeof head);
	parts[2] = (struct snap_part){copy, size};
	for (unsigned i = 0; i < 2; i++)
		top.seg[i] = (struct snap_segref){.kind = i ? SNAP_CERTS : SNAP_SITES,
			.bytes = parts[i + 1].bytes,
			.checksum = sys_checksum(parts[i + 1].map, parts[i + 1].bytes)};
	top.root.checksum = sys_checksum(&top, sizeof top);
	if (snap_check(parts, 3, &s) == 0) {
		const struct snap_site site = {.cert = 1, .flags = SNAP_SITE_ON_DEMAND};

		(void)snap_cert_by_host(s, &site, "www.shop.example", 16, NULL);
		for (uint32_t i = 0; i < 16 && (cert = snap_cert(s, i)); i++) {
			(void)snap_cert_covers(s, cert, "www.shop.example", 16);
			for (uint32_t k = 0; k < 20; k++) {
				const uint8_t *der = snap_cert_der(s, cert, k, &n);

				touched += der && n ? der[0] + der[n - 1] : 0u;
			}
		}
	}
	(void)touched;
	snap_unref(s);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snap s = {.refs = 1, .nparts = 1};
	struct snap_part parts[2];
	struct snap *checked = NULL;
	const struct snap_site *site;
	char *copy;

	if (size >= sizeof(struct snap_certs))
		touch_certs(data, size);
	if (size < sizeof(struct snap_sites))
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	s.parts[0] = (struct snap_part){copy, size};
	s.sites = (const void *)copy;
	for (uint32_t i = 0; i < 16 && (site = snap_site(&s, i)); i++)
		touch_site(&s, site, "/static/deep/a.css", 18);
	for (uint32_t i = 0; i < 16 && snap_app(&s, i); i++)
		(void)snap_str(&s, snap_app(&s, i)->name, NULL);
	for (uint32_t i = 0; i < 16 && snap_upstream(&s, i); i++)
		touch_upstream(&s, snap_upstream(&s, i));
	for (uint32_t i = 0; i < 16 && snap_tcp(&s, i); i++)
		(void)snap_str(&s, snap_tcp(&s, i)->name, NULL);
	(void)snap_site_by_host(&s, "shop.example", 12, NULL);
	(void)snap_site_by_host(&s, "www.a.wild.example", 18, NULL);
	parts[0] = parts[1] = s.parts[0];
	if (snap_check(parts, 2, &checked) == 0)
		snap_unref(checked);
	free(copy);
	return 0;
}
