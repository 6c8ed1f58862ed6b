/*
 * vault.c: see vault.h. Called by ctl (make) and keys (check, find). Owns nothing; trusts no offset
 * of what it reads.
 */
#include "vault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"

static int by_id(const void *a, const void *b)
{
	return memcmp(((const struct vault_key *)a)->id, ((const struct vault_key *)b)->id, 32);
}

/* Of several with one id only one is kept; the others come behind all that are, because each is its
 * owner's to free. */
static size_t sort(struct vault_key *keys, size_t n)
{
	size_t kept = 0;
	struct vault_key one;

	if (n)
		qsort(keys, n, sizeof(*keys), by_id);
	for (size_t i = 0; i < n; i++)
		if (!kept || memcmp(keys[kept - 1].id, keys[i].id, 32) != 0) {
			one = keys[kept];
			keys[kept++] = keys[i];
			keys[i] = one;
		}
	return kept;
}

int vault_make(struct vault_key *keys, size_t n, int *ret_fd)
{
	struct vault_head head = {.magic = VAULT_MAGIC, .version = VAULT_VERSION};
	size_t bytes, at;
	uint8_t *mem;
	int err;

	n = sort(keys, n);
	at = bytes = sizeof(head) + n * sizeof(struct vault_entry);
	for (size_t i = 0; i < n; i++)
		bytes += keys[i].box_n;
	if (n > VAULT_KEYS_MAX || bytes > VAULT_BYTES_MAX)
		return -E2BIG;
	mem = calloc(1, bytes);
	if (!mem)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct vault_entry e = {.off = (uint32_t)at, .len = (uint32_t)keys[i].box_n};

		memcpy(e.id, keys[i].id, sizeof(e.id));
		memcpy(mem + sizeof(head) + i * sizeof(e), &e, sizeof(e));
		memcpy(mem + at, keys[i].box, keys[i].box_n);
		at += keys[i].box_n;
	}
	head.n = (uint32_t)n;
	head.checksum = sys_checksum(mem + sizeof(head), bytes - sizeof(head));
	memcpy(mem, &head, sizeof(head));
	err = sys_memfd_sealed("stead-vault", mem, bytes, ret_fd);
	free(mem);
	return err;
}

int vault_check(const void *map, size_t bytes, struct vault *ret)
{
	struct vault_head head;

	if (bytes < sizeof(head))
		return -EBADMSG;
	memcpy(&head, map, sizeof(head));
	if (head.magic != VAULT_MAGIC || head.version != VAULT_VERSION || head.n > VAULT_KEYS_MAX ||
		head.n > (bytes - sizeof(head)) / sizeof(struct vault_entry) ||
		head.checksum !=
			sys_checksum((const uint8_t *)map + sizeof(head), bytes - sizeof(head)))
		return -EBADMSG;
	*ret = (struct vault){map, bytes, head.n};
	return 0;
}

const uint8_t *vault_find(const struct vault *v, const uint8_t id[32], size_t *ret_n)
{
	uint32_t low = 0, high = v->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		struct vault_entry e;
		int cmp;

		memcpy(&e, v->map + sizeof(struct vault_head) + mid * sizeof(e), sizeof(e));
		cmp = memcmp(id, e.id, sizeof(e.id));
		if (cmp == 0) {
			if (e.len > VAULT_BOX_MAX || e.off > v->bytes || e.len > v->bytes - e.off)
				return NULL;
			*ret_n = e.len;
			return v->map + e.off;
		}
		if (cmp < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}
