/*
 * ssh_key.c: public ssh keys, as a person hands them in.
 *
 * Called by act as root, so what is taken is a short list: a type that stead knows, a blob that is exactly what the type
 * says, a comment of printable ASCII. What is written is put together anew, so nothing of a line comes through that
 * was not looked at; above all no option (sshd(8): they stand before the type). Owns nothing.
 */
#include "person/person.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base64.h"
#include "lib/must.h"

enum { BLOB_MAX = 4096, RSA_BITS_MIN = 2048, RSA_BITS_MAX = 16384, COMMENT_MAX = 100 };

enum kind { ED25519, RSA, ECDSA };
struct type {
	const char *name, *curve; /* curve: of ECDSA */
	size_t bytes;             /* of the point, or of the key */
	enum kind kind;
	bool application; /* of a security key: a string follows that names what it is for */
};

static const struct type types[] = {
	{"ssh-ed25519", NULL, 32, ED25519, false},
	{"ecdsa-sha2-nistp256", "nistp256", 65, ECDSA, false},
	{"ecdsa-sha2-nistp384", "nistp384", 97, ECDSA, false},
	{"ecdsa-sha2-nistp521", "nistp521", 133, ECDSA, false},
	{"ssh-rsa", NULL, 0, RSA, false},
	{"sk-ssh-ed25519@openssh.com", NULL, 32, ED25519, true},
	{"sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", 65, ECDSA, true},
};

struct blob {
	const unsigned char *p;
	size_t n;
};

/* RFC 4251 section 5: a string, its length before it. */
static bool take(struct blob *from, struct blob *ret)
{
	size_t n;

	if (from->n < 4)
		return false;
	n = (size_t)from->p[0] << 24 | (size_t)from->p[1] << 16 | (size_t)from->p[2] << 8 | from->p[3];
	if (n > from->n - 4)
		return false;
	*ret = (struct blob){from->p + 4, n};
	from->p += 4 + n;
	from->n -= 4 + n;
	return true;
}

static bool take_text(struct blob *from, const char *text)
{
	struct blob s;

	return take(from, &s) && s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* A positive mpint in its shortest form: its bits; 0 when it is none. */
static size_t take_bits(struct blob *from, unsigned *ret_last)
{
	struct blob s;
	size_t bits;

	if (!take(from, &s) || s.n == 0 || s.p[0] & 0x80)
		return 0;
	if (s.p[0] == 0) {
		if (s.n == 1 || !(s.p[1] & 0x80))
			return 0;
		s.p++;
		s.n--;
	}
	bits = s.n * 8;
	for (unsigned char top = s.p[0]; !(top & 0x80); top = (unsigned char)(top << 1))
		bits--;
	*ret_last = s.p[s.n - 1];
	return bits;
}

static const char *check_rsa(struct blob *b)
{
	unsigned e_last = 0, n_last = 0;
	size_t e = take_bits(b, &e_last), n = take_bits(b, &n_last);

	/* Both are odd in every RSA key. */
	if (e < 2 || e > 64 || n == 0 || n > RSA_BITS_MAX || !(e_last & 1) || !(n_last & 1))
		return "its RSA numbers are not a key";
	return n < RSA_BITS_MIN ? "it is an RSA key of less than 2048 bits" : NULL;
}

/* Why the blob is not a key of that type; NULL: it is one. */
static const char *check_blob(const struct type *t, const void *bytes, size_t n)
{
	struct blob b = {bytes, n}, s;
	const char *why = NULL;

	if (!take_text(&b, t->name))
		return "what it holds is of another type than it says";
	if (t->kind == RSA)
		why = check_rsa(&b);
	else if (t->curve && !take_text(&b, t->curve))
		why = "it is of another curve than it says";
	else if (!take(&b, &s) || s.n != t->bytes || (t->kind == ECDSA && s.p[0] != 4))
		why = "the key in it has the wrong length or form";
	else if (t->application && (!take(&b, &s) || s.n == 0 || s.n > 256))
		why = "it does not say which application its security key is for";
	if (why)
		return why;
	return b.n ? "something follows the key" : NULL;
}

static const struct type *type_of(const char *p, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strlen(types[i].name) == n && memcmp(types[i].name, p, n) == 0)
			return &types[i];
	return NULL;
}

/* What of a comment is plain text; the rest becomes _. */
static void put_comment(struct buf *b, const char *p, size_t n)
{
	while (n && (*p == ' ' || *p == '\t')) {
		p++;
		n--;
	}
	/* Cut first: what is left may end with a blank too, and what was written is read again. */
	n = min_of(n, (size_t)COMMENT_MAX);
	while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n)
		buf_putc(b, ' ');
	for (size_t i = 0; i < n; i++)
		buf_putc(b, p[i] >= ' ' && p[i] < 0x7f ? p[i] : '_');
}

/* One line without its end. NULL, or why it is no key. */
static const char *key_line(const char *p, size_t n, const char *prefix, struct buf *ret)
{
	const char *blank = memchr(p, ' ', n), *why, *rest;
	size_t type_n = blank ? (size_t)(blank - p) : n, text_n = 0, bytes_n = 0;
	const struct type *t = type_of(p, type_n);
	void *bytes;

	if (!t)
		return "it does not begin with a type of key that stead knows";
	rest = p + type_n + (blank != NULL);
	n -= (size_t)(rest - p);
	while (text_n < n && rest[text_n] != ' ' && rest[text_n] != '\t')
		text_n++;
	if (text_n == 0 || text_n > BLOB_MAX)
		return "there is no key behind its type, or one that is too long";
	bytes = base64_new(rest, text_n, &bytes_n);
	if (!bytes)
		return "what follows its type is not base64";
	why = check_blob(t, bytes, bytes_n);
	free(bytes);
	if (why)
		return why;
	if (*prefix)
		buf_printf(ret, "%s ", prefix);
	buf_printf(ret, "%s ", t->name);
	buf_put(ret, rest, text_n);
	put_comment(ret, rest + text_n, n - text_n);
	buf_putc(ret, '\n');
	return NULL;
}

static const char one_key[] = "give the file that ends in .pub: one key a line, as ssh-keygen wrote it (`ssh-keygen -t ed25519`)";

int person_keys(const char *text, size_t n, const char *prefix, struct buf *ret, unsigned *ret_line, const char **ret_why,
	const char **ret_todo)
{
	static const char begin[] = "-----BEGIN";
	int keys = 0;

	*ret_todo = one_key;
	for (unsigned line = 1; n > 0; line++) {
		const char *end = memchr(text, '\n', n);
		size_t len = end ? (size_t)(end - text) : n, used = len;

		*ret_line = line;
		if (used && text[used - 1] == '\r')
			used--;
		*ret_why = "it is a private key, or a certificate in PEM";
		if (used >= sizeof begin - 1 && memcmp(text, begin, sizeof begin - 1) == 0)
			return -EINVAL;
		if (used && text[0] != '#') {
			*ret_why = "there are more than 16 keys";
			if (keys == PERSON_KEYS_MAX)
				return -EINVAL;
			*ret_why = key_line(text, used, prefix, ret);
			if (*ret_why)
				return -EINVAL;
			keys++;
		}
		len += end != NULL;
		text += len;
		n -= len;
	}
	*ret_why = ret->error ? "there is too much of it" : "there is no key in it";
	return keys > 0 && !ret->error ? keys : -EINVAL;
}
