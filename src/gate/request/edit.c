/*
 * edit.c: edits of header fields; see edit.h. Called by phases.c and, for the answer's head, by
 * resp.c. Owns nothing. Framing fields never stand among the configured ones (conf refuses them),
 * and a field that no edit names is not touched.
 */
#include "edit.h"
#include "gate.h"
#include "subst.h"

#include <errno.h>
#include <string.h>

#include "lib/hostname.h"

static bool named(const struct field *f, const char *name, size_t n)
{
	return f->name_len == n && !memcmp(f->name, name, n);
}

void edit_remove(struct req *r, const char *name)
{
	size_t n = strlen(name);
	unsigned kept = 0;

	for (unsigned i = 0; i < r->nfields; i++)
		if (!named(&r->fields[i], name, n))
			r->fields[kept++] = r->fields[i];
	r->nfields = kept;
}

int edit_set(struct req *r, const char *name, const char *value, size_t value_len, bool add)
{
	struct field *more;

	if (!add)
		edit_remove(r, name);
	if (r->nfields >= REQ_FIELDS_MAX)
		return -E2BIG;
	more = arena_alloc(&r->arena, (r->nfields + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	if (r->nfields)
		memcpy(more, r->fields, r->nfields * sizeof(*more));
	more[r->nfields] = (struct field){name, value, (uint32_t)strlen(name), (uint32_t)value_len};
	r->fields = more;
	r->nfields++;
	return 0;
}

static const struct snap_header *edit_at(const struct req *r, uint32_t i)
{
	return snap_item(r->snap, r->route->headers, i, sizeof(struct snap_header));
}

enum phase_end phase_edit(struct req *r)
{
	for (uint32_t i = 0; i < r->route->headers.n; i++) {
		const struct snap_header *e = edit_at(r, i);
		const char *name, *text;
		size_t len;
		char *value;

		if (!e || e->response)
			continue;
		name = snap_str(r->snap, e->name, NULL);
		if (e->act == SNAP_HEADER_REMOVE) {
			edit_remove(r, name);
			continue;
		}
		text = snap_str(r->snap, e->value, &len);
		value = subst(r, text, len, NULL, SUBST_VALUE, &len);
		if (!value || edit_set(r, name, value, len, e->act == SNAP_HEADER_ADD) < 0) {
			req_fail(r, CLOSE_NO_MEMORY, 0);
			return PHASE_ANSWERED;
		}
	}
	return PHASE_NEXT;
}

static bool head(struct req *r, struct resp_head *h, bool end)
{
	const struct snap_route *route = req_route(r);

	(void)end;
	/* RFC 6797 section 7.1; an app that says it itself knows better. Of a local name it would hold for all
	 * that is ever served there. */
	if (route && r->tls && r->site->hsts_s && !hostname_is_local(r->host, r->host_len) &&
		!filter_field(h, "strict-transport-security")) {
		char *age = arena_printf(&r->arena, "max-age=%u", r->site->hsts_s);

		if (age)
			(void)filter_set_field(r, h, "Strict-Transport-Security", age, true);
	}
	for (uint32_t i = 0; route && i < route->headers.n; i++) {
		const struct snap_header *e = snap_item(r->snap, route->headers, i, sizeof(*e));
		const char *name, *text;
		size_t len;
		char *value;

		if (!e || !e->response)
			continue;
		name = snap_str(r->snap, e->name, NULL);
		if (e->act == SNAP_HEADER_REMOVE) {
			(void)filter_drop_field(r, h, name);
			continue;
		}
		text = snap_str(r->snap, e->value, &len);
		value = subst(r, text, len, NULL, SUBST_VALUE, &len);
		/* Without memory the answer goes as it is, rather than not at all. */
		if (value)
			(void)filter_set_field(r, h, name, value, e->act == SNAP_HEADER_ADD);
	}
	return false;
}

const struct filter_ops edit_filter = {.head = head};
