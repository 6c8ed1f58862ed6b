/*
 * person.h: the people of a server, as act, ctl and the command line share them: names, what each may, ssh keys, and
 * what a deploy key may ask for.
 *
 * What stead knows of a person is one file, STATE_ROOT/people/NAME, which root alone writes (act) and everybody may
 * read: it is what ctl believes, and nothing in a home or in a session says more. All parsing here is pure and bounded;
 * what is read is untrusted but for that file.
 */
#ifndef STEAD_PERSON_PERSON_H
#define STEAD_PERSON_PERSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

enum {
	PERSON_NAME_MAX = 31, /* what useradd takes, less one */
	PERSON_APPS_MAX = 8,
	PERSON_APP_MAX = 27,
	PERSON_FILE_MAX = 4096,
	PERSON_KEYS_MAX = 16,       /* of one file */
	PERSON_KEYS_BYTES = 32 * 1024, /* the file */
	PERSON_WORDS_MAX = 12,
	PERSON_COMMAND_MAX = 512,
};
#define PERSON_STATE_ROOT "/var/lib/stead"
#define PERSON_FOLDER "people"
#define PERSON_MARK "stead user" /* the account's comment in /etc/passwd: who made it */
#define PERSON_GROUP "stead"     /* of operators */

struct person {
	char name[PERSON_NAME_MAX + 1];
	uint32_t uid;
	bool sudo;
	unsigned napps; /* of those that it deploys; 0: an operator */
	char app[PERSON_APPS_MAX][PERSON_APP_MAX + 1];
};

/* [a-z][a-z0-9-]{0,30}, and no name that stead gives to its own accounts (stead…, app-…). */
bool person_name_valid(const char *name);
/* Apps separated by commas or blanks into p; at most PERSON_APPS_MAX, none twice. 0 or -EINVAL. */
int person_apps_set(struct person *p, const char *text);
bool person_deploys(const struct person *p, const char *app);
/* The file's text. 0 or the buffer's error. */
int person_put(const struct person *p, struct buf *ret);
/* The same read again; keys that a newer version wrote are passed over. 0 or -EINVAL. */
int person_parse(const char *text, size_t n, struct person *ret);
/* The file of that name below `state_root`, when it is root's. -ENOENT; -EPERM: somebody else could have written it;
 * -EINVAL; -errno. */
int person_read(const char *state_root, const char *name, struct person *ret);

/* ---- ssh_key.c: public keys as sshd(8), AUTHORIZED_KEYS FILE FORMAT, has them (RFC 4253 section 6.6, RFC 5656, RFC 8709) ---- */
/*
 * Every key of a file, each as one canonical line "TYPE BASE64[ COMMENT]\n" behind `prefix` (options that stead itself
 * sets; "" for none) into ret. Empty lines and those that begin with # are passed over. A key is its type and nothing
 * before it, so that no option comes with it; the blob must be exactly what the type says, and as strong as ssh-rsa of
 * 2048 bits. How many, or -EINVAL with a sentence and what to do (constants) and the line's number in ret_line.
 */
int person_keys(const char *text, size_t n, const char *prefix, struct buf *ret, unsigned *ret_line, const char **ret_why,
	const char **ret_todo);

/* ---- authorized.c: stead's lines of ~/.ssh/authorized_keys ---- */
/*
 * `text` with these lines (person_keys()) between stead's two marks instead of what stood there; behind all that is
 * there when there are none yet; keys_n 0: without marks and what is between them. Whatever stands outside stays as it
 * is. 0; -EBADMSG: the marks do not pair; the buffer's error.
 */
int person_keys_splice(const char *text, size_t n, const char *keys, size_t keys_n, struct buf *ret);

/* What stands between the marks, each key as its owner gave it: without what stead set before it. Nothing when the marks do not
 * pair. */
void person_keys_own(const char *text, size_t n, struct buf *ret);

/* ---- deploy_command.c: what comes over ssh with a deploy key ---- */
/*
 * SSH_ORIGINAL_COMMAND as the words of one verb of stead: "[stead] VERB [WORD…]", of letters, digits and a few marks,
 * without a leading option; never a shell's. The verbs and their options are a short list (person_deploy_verbs()).
 * `mem` holds the words. How many, or -EINVAL with a sentence (a constant).
 */
int person_deploy_words(const char *command, char mem[static PERSON_COMMAND_MAX + 1], const char *ret_words[static PERSON_WORDS_MAX],
	const char **ret_why);
/* Blank-separated, for people. */
const char *person_deploy_verbs(void);

#endif
