/*
 * check.h: the process stead-check in one page.
 *
 * One shot: a question (CHECK_ASK) about a folder, then values, findings and one end. It reads the
 * folder's stead.conf, has it parsed in a child that can do nothing but compute, and finds what is
 * not written by running the app's interpreter in another child.
 */
#ifndef STEAD_CHECK_CHECK_H
#define STEAD_CHECK_CHECK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "lib/chan.h"

enum { CHECK_FILE_BYTES_MAX = 256 * 1024 };

struct check {
	int fd;      /* the channel */
	uint64_t id; /* of the question */
	struct msg_check_ask ask;
	char folder[PATH_MAX];   /* absolute, no link in it */
	char file[NAME_MAX + 1]; /* the configuration's name in the folder; "" when there is none */
	char state[PATH_MAX];    /* the state folder; "" when not known */
	char runtime[PATH_MAX];  /* where a program makes its sockets; "" when not known */
	char base[PATH_MAX];     /* where the app's data, cache, logs and config are; "" when not known */
	char data[PATH_MAX];     /* BASE/data, else as `state` */
	char name[28];           /* default of Name= */
	int dir;                 /* the folder */
	struct conf *conf;
	struct {
		struct x509_store_st *authorities; /* what the machine trusts, once it was asked */
		pid_t pid;                         /* the child that reads; 0: none */
		int to, from;
	} certs; /* cert_reader.c's */
	struct {
		const uint8_t *all; /* of CHECK_KNOWN_BYTES, ascending; NULL: none */
		size_t n;
		uint8_t authorities[CHECK_KNOWN_BYTES]; /* of what the machine trusts */
		bool authorities_read;
	} known; /* cert_known.c's */
	bool folderless; /* the file is one of Sites= */
	bool app_found;  /* by detection */
	bool postgres;   /* … and it has a driver of PostgreSQL among its packages */
	bool build;      /* `build` makes an environment before the start */
};

/* send.c: the channel. */
int check_open(struct check *k, char *mem);
int check_receive(struct check *k, struct msg *ret_msg, char *mem);
/* Every value, and every finding so far. */
int check_answer(struct check *k);
int check_end(struct check *k);
int check_send_finding(struct check *k, const struct conf_finding *f);
/* What is written in one file of Sites=, or that it is wrong; `records` gathers until a message is full. */
int check_send_site(struct check *k, struct buf *records, const struct conf *c, const char *file);
int check_flush_sites(struct check *k, struct buf *records);

/* folder.c: the folder and its file. Errors are findings; -errno only when nothing can be told. */
int check_folder(struct check *k, const char *path, const char *name);
/* Are the files there that the configuration names? And read those of EnvironmentFile=. */
int check_paths(struct check *k);
/* env_files.c: the files of EnvironmentFile=; what is wrong with one is a finding. -ENOMEM. */
int check_env_files(struct check *k);
/* Is there a program of that name in PATH? */
bool check_in_path(const char *program);
/* PATH of the value, from the folder. */
void check_path(const struct check *k, const char *path, char ret[PATH_MAX]);

/* A conf with the facts of this check. NULL without memory. */
struct conf *check_conf_new(const struct check *k);
/* The finding that this file cannot be read. */
void check_unreadable(struct conf *c, const char *file, int err);

/* parse.c: parse text in a child under seccomp, and take what it says as input. */
struct parse_text {
	struct conf *conf; /* where its values and findings go */
	const char *file, *text;
	size_t n;
	bool env_file;
};
/* One child for all, unless one of them is its end. 0 or -errno. */
int check_parse_all(struct parse_text *t, unsigned n);
int check_parse(struct check *k, const char *file, const char *text, size_t n, bool env_file);
/* What the child says of one text. False when it is not whole or not in form. */
bool parse_take_records(struct conf *c, const char *p, size_t bytes);

/* Have `work` read a text and pack what it finds, in such a child; what that packed is in ret, and
 * is input. 0; -EBADMSG: the child did not come to its end; -errno. */
typedef void check_work(const char *text, size_t n, struct buf *ret);
int check_jailed(check_work *work, const char *text, size_t n, struct buf *ret);

/* Read what comes until the end, for a while. 0 or -errno. */
int check_read_all(int fd, struct buf *b);

/* cert.c: the files of Certificate= and CertificateKey= of the conf become values. 0 or -errno. */
int check_cert(struct check *k);
/* The same of these files, for a site with these blank-separated names; makes the conf. */
int check_cert_files(struct check *k, const char *cert, const char *key, const char *names);
/* Is that file the user's own authority and no other? Findings when not; makes the conf. */
int check_cert_authority(struct check *k, const char *path);
/* client_ca.c: the certificates in the file that a ClientCa= names become values of that section; and
 * those of OriginPulls=. 0 or -errno. */
int check_client_ca(struct check *k, const struct conf_value *file, const char *section, const char *arg);
int check_origin_pulls(struct check *k);
/* Its work in the child, as check_work; and take what that says. `file` is shown where it is wrong. */
struct client_ca_place {
	const char *section, *arg;
	const struct conf_pos *pos; /* of the key */
};
void client_ca_read(const char *text, size_t n, struct buf *ret);
bool client_ca_take(struct conf *c, const char *p, size_t bytes, const char *file, const struct client_ca_place *to);
/* What its child says; as above. */
bool cert_take_records(struct conf *c, const char *p, size_t bytes, const struct conf_pos *cert, const struct conf_pos *key);

/* eab.c: the file of AcmeEabKey= becomes a value. 0 or -errno. */
int check_eab(struct check *k);
/* What such a file has: 16 to 128 bytes in base64url, or base64. 0; -EBADMSG. */
int eab_decode(const char *p, size_t n, uint8_t ret[128], size_t *ret_n);

/* sites.c: the folder of Sites=, open; -1: there is none, and a finding says why if there should be
 * one. */
int check_sites_folder(struct check *k);
/* Check and tell each of its files, after the conf of k is finished; closes the folder. 0 or -errno. */
int check_sites(struct check *k, int dir);

/* sandbox.c: from here on this process computes, reads and writes what is open, and ends. */
int sandbox_enter(void);

/* detect.c: what is not written is found out. */
int check_detect(struct check *k);
struct python;
/* What the detection says; as above. */
bool detect_take_records(struct check *k, const struct python *py, const char *p, size_t bytes);

/* detect_php.c: put what a PHP app needs; `python`: there is Python in the folder. False: it is none. */
bool php_detect(struct check *k, bool python);

/* detect_program.c: a program that the folder names by a Procfile, a config.ru or a package.json:
 * put what runs it, or say why it cannot be run. False: the folder names none. */
bool program_detect(struct check *k);
/* Name those lines of a Procfile that nothing runs, beside an app that was found otherwise. */
void program_others(struct check *k);
/* Text that another wrote, of a file of the folder: 0 and the packed words of `work`; -ENOENT:
 * there is no such file; else the finding says why not. -ENOMEM. */
int program_read(struct check *k, const char *file, check_work *work, struct buf *ret);
/* Put ExecStart= with these words; and the variables that a language's programs expect where they serve. */
void program_put(struct check *k, const char *const *words, unsigned n);
void program_env(struct check *k);
/* Is it a file (not a folder) of the app's? */
bool program_file(const struct check *k, const char *path);
/* detect_node.c: put what runs a package.json's app. False: it names none. */
bool node_detect(struct check *k);
/* The program that a line begins with can be run: its word as ExecStart= takes it, in ret. False:
 * it is not there. */
bool node_program(const struct check *k, const char *word, char ret[PATH_MAX]);
/* detect_ruby.c: put what runs a config.ru. False: there is none. */
bool ruby_detect(struct check *k);

/* python.c: which interpreter, and one run of the detection in it. */
struct python {
	char path[PATH_MAX]; /* absolute */
	char base[PATH_MAX]; /* what a virtual environment would be made with */
	char venv[PATH_MAX]; /* as it is shown; "" none */
	bool theirs;         /* the environment is the user's: stead installs nothing into it */
};
/* False when there is none, with a finding. */
bool python_choose(struct check *k, struct python *ret);
struct python_run {
	char *records; /* malloc'd */
	size_t records_n;
	char output[4096]; /* the last of what it printed */
	int status;        /* as from waitid: >= 0 exit code, < 0 minus the signal */
	bool timed_out;
};
int python_run(struct check *k, const struct python *py, struct python_run *ret);

/* detect_script.c, generated from python/detect_packages.py, detect_source.py and stead_detect.py.
 */
extern const char detect_script[];

#endif
