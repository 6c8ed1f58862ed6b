/*
 * cert_known.c: certificates that were looked at before, so that ten thousand that have not changed are
 * not parsed again at each start and each reload.
 *
 * Called by main.c and cert.c. Whoever asks hands over digests of what he has an answer to: of the
 * bytes of both files, the site's names, for whom the key is sealed and what the machine trusts. So
 * nothing but the very same bytes is known, whatever a file's date says; that an answer ages with the
 * day is the asker's matter. Maps sealed memory for as long as the process lives.
 */
#include "cert.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"

enum { KNOWN_BYTES_MAX = 8 * 1024 * 1024, AUTHORITIES_BYTES_MAX = 4 * 1024 * 1024 };

int cert_known_take(struct check *k, int fd)
{
	const struct msg_check_known *head;
	const void *map;
	size_t bytes;
	int r = sys_memfd_map(fd, KNOWN_BYTES_MAX, &bytes, &map);

	if (r < 0)
		return r;
	head = map;
	if (bytes < sizeof(*head) || head->n > (bytes - sizeof(*head)) / CHECK_KNOWN_BYTES) {
		sys_shm_unmap(map, bytes);
		return -EBADMSG;
	}
	k->known.n = head->n;
	k->known.all = (const uint8_t *)(head + 1);
	return 0;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, CHECK_KNOWN_BYTES);
}

bool cert_known_has(const struct check *k, const uint8_t inputs[CHECK_KNOWN_BYTES])
{
	return k->known.n > 0 &&
	       bsearch(inputs, k->known.all, k->known.n, CHECK_KNOWN_BYTES, compare) != NULL;
}

/* Without the file nothing is trusted, which is a set like any other. */
static bool read_authorities(struct check *k)
{
	char *text = NULL;
	size_t n = 0;

	if (k->known.authorities_read)
		return true;
	(void)sys_read_file(AT_FDCWD, CERT_AUTHORITIES, AUTHORITIES_BYTES_MAX, &text, &n);
	k->known.authorities_read = EVP_Digest(text != NULL ? text : "", text != NULL ? n : 0,
					    k->known.authorities, NULL, EVP_sha256(), NULL) == 1;
	free(text);
	return k->known.authorities_read;
}

static bool add(EVP_MD_CTX *md, const void *p, size_t n)
{
	uint64_t length = n;

	return EVP_DigestUpdate(md, &length, sizeof(length)) == 1 && EVP_DigestUpdate(md, p, n) == 1;
}

int cert_known_inputs(struct check *k, const struct cert_work *w, uint8_t ret[CHECK_KNOWN_BYTES])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	/* Another version may answer otherwise. */
	bool good = md != NULL && read_authorities(k) && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		    add(md, STEAD_VERSION, sizeof(STEAD_VERSION)) &&
		    add(md, k->known.authorities, sizeof(k->known.authorities)) &&
		    add(md, w->seal_for, w->seal_for != NULL ? SEAL_KEY_BYTES : 0);

	for (unsigned i = 0; i < w->nnames && good; i++)
		good = add(md, w->names[i], strlen(w->names[i]) + 1);
	good = good && add(md, w->cert_text, w->cert_n) && add(md, w->key_text, w->key_n) &&
	       EVP_DigestFinal_ex(md, ret, NULL) == 1;
	EVP_MD_CTX_free(md);
	return good ? 0 : -EIO;
}
