/*
 * cert.h: between the files that read certificates: cert.c (which of them, and what becomes of it),
 * cert_reader.c (the child that reads, one for all of a run), cert_look.c (what it does).
 */
#ifndef STEAD_CHECK_CERT_H
#define STEAD_CHECK_CERT_H

#include <stdint.h>

#include "check.h"
#include "seal/seal.h"

/* What this machine trusts. */
#define CERT_AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"

enum {
	CERT_CHAIN_MAX = 16,
	CERT_DER_MAX = 32 * 1024,
	CERT_RECORDS_MAX = 1024 * 1024,
	CERT_ASK_MAX = 3 * CHECK_FILE_BYTES_MAX,
	CERT_NAMES_MAX = 128, /* of the site, that are looked for */
};
/* What the child says: records until END. */
enum cert_record { CERT_FINDING = 1, CERT_KEY_FINDING, CERT_DER, CERT_BOX, CERT_END };
enum cert_job { CERT_JOB_PAIR = 1, CERT_JOB_AUTHORITY };

struct stack_st_X509;
struct x509_st;
struct x509_store_st;

/* What is to be looked at. */
struct cert_work {
	uint32_t job; /* enum cert_job */
	const char *cert_text, *key_text;
	size_t cert_n, key_n;
	const char *names[CERT_NAMES_MAX];
	unsigned nnames;
	const uint8_t *seal_for; /* NULL: nobody */
	struct x509_store_st *authorities;
	struct x509_st *last; /* of x509_read_chain() */
	struct buf out;
};

/* cert_known.c: the memory that came with the question is what is known from now on. -EBADMSG: it is not in form. */
int cert_known_take(struct check *k, int fd);
/* What the answer to this work depends on, but for the day. 0; -EIO. */
int cert_known_inputs(struct check *k, const struct cert_work *w, uint8_t ret[CHECK_KNOWN_BYTES]);
bool cert_known_has(const struct check *k, const uint8_t inputs[CHECK_KNOWN_BYTES]);

/* cert_look.c: the records of one, into w->out. In the child alone. */
void cert_look(struct cert_work *w);

/* cert_reader.c: have it looked at; the records are in `ret`, and are input. 0; -EBADMSG: the child
 * came to no end, and the next gets another; -errno. */
int cert_read(struct check *k, const struct cert_work *w, struct buf *ret);
/* The reader's end; harmless without one. */
void cert_reader_done(struct check *k);

#endif
