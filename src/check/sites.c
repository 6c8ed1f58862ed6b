/*
 * sites.c: the files of Sites=, each a site without a folder of its own.
 *
 * Called by main.c when the folder's own configuration is known. The files are taken in the order of
 * their names; what is wrong with one is that file's finding and nobody else's. Many are parsed by
 * one child (parse.c); then each is checked here like a folder's own file, and told. Owns the claims
 * of names and host names while it runs. Reads files, writes none.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "lib/must.h"
#include "lib/sys.h"

enum {
	SITES_MAX = 100000,
	BATCH = 512,                  /* files that one child parses … */
	BATCH_BYTES = 512 * 1024,     /* … and about how many bytes of them */
	FINDINGS_MAX = 1000,          /* of all files together */
};

struct sites {
	struct check *k;
	struct check *one;      /* as k, with the folder of Sites= and the conf of the site in work */
	const char *shown;      /* the folder, as Sites= has it */
	int dir;
	char **names;
	unsigned n, findings;
	struct conf *defaults;
	struct conf_claims *sites, *hosts;
	struct buf records;
};

struct batch {
	struct parse_text text[BATCH];
	char *mem[BATCH], file[BATCH][PATH_MAX];
	unsigned n;
	size_t bytes;
};

/* ---- the folder ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_site(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".conf") == 0;
}

/* -EFBIG: there are more than SITES_MAX. */
static int list(struct sites *s)
{
	DIR *d = fdopendir(openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *e;
	unsigned cap = 0;
	int r = d != NULL ? 0 : -errno;

	while (r == 0 && (e = readdir(d)) != NULL) {
		if (!is_site(e->d_name))
			continue;
		if (s->n == cap) {
			char **names = realloc(s->names, (cap = cap * 2 + 64) * sizeof(*names));

			r = names != NULL ? 0 : -ENOMEM;
			s->names = names != NULL ? names : s->names;
		}
		if (r == 0 && s->n == SITES_MAX)
			r = -EFBIG;
		if (r == 0 && (s->names[s->n] = strdup(e->d_name)) == NULL)
			r = -ENOMEM;
		s->n += r == 0;
	}
	if (d != NULL)
		(void)closedir(d);
	if (s->n > 0)
		qsort(s->names, s->n, sizeof(*s->names), by_name);
	return r;
}

/* ---- what only one may have ---- */

static struct conf_claim claim_of(const struct conf_value *v, const char *file)
{
	bool there = v != NULL && v->pos.line > 0;

	return (struct conf_claim){.text = v != NULL ? v->text : "",
		.file = there ? v->pos.file : file,
		.line = there ? v->pos.line : 1,
		.col = there ? v->pos.col : 1};
}

static const struct conf_value *first_domain(const struct conf *c)
{
	const struct conf_value *v = conf_get(c, CONF_SITE_DOMAIN);

	return v != NULL && v->text[0] != '\0' ? v : NULL;
}

static void look_for_host(struct sites *s, struct conf *c, const char *file, const struct conf_value *v)
{
	struct conf_claim claim = claim_of(v, file);
	const struct conf_claim *first = conf_claims_find(s->hosts, claim.text);
	struct conf_pos pos = {claim.file, claim.line, claim.col};

	if (first == NULL)
		return;
	if (claim.text[0] != '\0')
		conf_find(c, CONF_ERROR, &pos, "take it out of one of the two",
			"%s=: %s is another site's already (%s:%u:%u)", conf_rows[v->key].key,
			claim.text, first->file, first->line, first->col);
	else
		conf_find(c, CONF_ERROR, &pos, "write Domain= with the names of this site",
			"without Domain= a site answers to every other name, and that site is there "
			"already (%s:%u:%u)",
			first->file, first->line, first->col);
}

static void look_for_name(struct sites *s, struct conf *c, const char *file)
{
	struct conf_claim claim = claim_of(conf_get(c, CONF_SITE_NAME), file);
	const struct conf_claim *first = conf_claims_find(s->sites, claim.text);
	struct conf_pos pos = {claim.file, claim.line, claim.col};

	if (first != NULL)
		conf_find(c, CONF_ERROR, &pos, "write another Name= in [Site] of one of the two",
			"the name %s is another site's already (%s:%u:%u)", claim.text, first->file,
			first->line, first->col);
	/* The gates' names for what [Tcp] passes on begin so. */
	else if (strcmp(claim.text, "tcp") == 0)
		conf_find(c, CONF_ERROR, &pos, "write another Name= in [Site]",
			"a site cannot have the name tcp");
}

static void take_all(struct sites *s, const struct conf *c, const char *file)
{
	const struct conf_value *v = conf_get(c, CONF_SITE_NAME);
	struct conf_claim claim = claim_of(v, file);

	(void)conf_claims_take(s->sites, &claim);
	if (first_domain(c) == NULL) {
		claim = claim_of(NULL, file);
		(void)conf_claims_take(s->hosts, &claim);
	}
	for (v = first_domain(c); v != NULL; v = v->next) {
		claim = claim_of(v, file);
		(void)conf_claims_take(s->hosts, &claim);
	}
	for (v = conf_get(c, CONF_SITE_ALIAS); v != NULL; v = v->next) {
		claim = claim_of(v, file);
		if (v->text[0] != '\0')
			(void)conf_claims_take(s->hosts, &claim);
	}
}

static void look_for_all(struct sites *s, struct conf *c, const char *file)
{
	const struct conf_value *v = first_domain(c);

	look_for_name(s, c, file);
	if (v == NULL)
		look_for_host(s, c, file, NULL);
	for (; v != NULL; v = v->next)
		look_for_host(s, c, file, v);
	for (v = conf_get(c, CONF_SITE_ALIAS); v != NULL; v = v->next)
		if (v->text[0] != '\0')
			look_for_host(s, c, file, v);
}

/* The folder's own comes before all files. */
static void take_own(struct sites *s)
{
	struct conf *c = s->k->conf;
	struct conf_claim claim = {.text = s->k->name, .file = s->k->file, .line = 1, .col = 1};

	if (conf_errors(c) == 0 && conf_app(c)->serves)
		take_all(s, c, s->k->file[0] != '\0' ? s->k->file : s->k->folder);
	else
		(void)conf_claims_take(s->sites, &claim);
}

/* ---- one file ---- */

static int tell_findings(struct sites *s, const struct conf *c)
{
	struct conf_finding more = {.level = CONF_NOTE,
		.pos = {.file = s->shown},
		.text = "there is more in these files; only the first 1000 are shown",
		.todo = ""};
	int r = 0;

	for (const struct conf_finding *f = conf_findings(c); f != NULL && r == 0; f = f->next) {
		if (s->findings > FINDINGS_MAX)
			return 0;
		r = check_send_finding(s->k, s->findings++ < FINDINGS_MAX ? f : &more);
	}
	return r;
}

static int check_one(struct sites *s, struct conf *c, const char *file)
{
	struct conf_pos top = {.file = file, .line = 1, .col = 1};
	int r = 0;

	s->one->conf = c;
	if (conf_errors(c) == 0)
		r = check_paths(s->one);
	if (r == 0 && conf_finish(c) == -ENOMEM)
		r = -ENOMEM;
	if (r < 0)
		return r;
	if (conf_errors(c) == 0 && !conf_app(c)->answers)
		conf_find(c, CONF_ERROR, &top,
			"write Root= with a folder, Redirect=, or [Route /] with To=",
			"the site has nothing to answer with");
	if (conf_errors(c) == 0)
		look_for_all(s, c, file);
	if (conf_errors(c) == 0)
		take_all(s, c, file);
	r = check_send_site(s->k, &s->records, c, file);
	return r < 0 ? r : tell_findings(s, c);
}

/* ---- many ---- */

static int read_one(struct sites *s, struct batch *b, const char *name)
{
	struct parse_text *t = &b->text[b->n];
	char site[28];
	int r, n;

	n = snprintf(b->file[b->n], PATH_MAX, "%s/%s", s->shown, name);
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	conf_name_from_file(name, site);
	*t = (struct parse_text){.file = b->file[b->n], .conf = conf_new_site(s->defaults, site)};
	b->mem[b->n] = NULL;
	if (t->conf == NULL)
		return -ENOMEM;
	r = sys_read_file(s->dir, name, CHECK_FILE_BYTES_MAX, &b->mem[b->n], &t->n);
	b->n++;
	t->text = b->mem[b->n - 1];
	b->bytes += t->n;
	if (r < 0 && r != -ENOMEM) {
		check_unreadable(t->conf, t->file, r);
		t->text = "";
		t->n = 0;
		r = 0;
	}
	return r;
}

static int check_batch(struct sites *s, struct batch *b, int r)
{
	if (r == 0)
		r = check_parse_all(b->text, b->n);
	for (unsigned i = 0; i < b->n; i++) {
		if (r == 0)
			r = check_one(s, b->text[i].conf, b->text[i].file);
		conf_free(b->text[i].conf);
		free(b->mem[i]);
	}
	b->n = 0;
	b->bytes = 0;
	return r;
}

static int check_files(struct sites *s)
{
	struct batch *b = malloc(sizeof(*b));
	int r = b != NULL ? 0 : -ENOMEM;

	if (b == NULL)
		return r;
	b->n = 0;
	b->bytes = 0;
	for (unsigned i = 0; i < s->n && r == 0; i++) {
		r = read_one(s, b, s->names[i]);
		if (r < 0 || b->n == BATCH || b->bytes > BATCH_BYTES)
			r = check_batch(s, b, r);
	}
	r = check_batch(s, b, r);
	free(b);
	return r < 0 ? r : check_flush_sites(s->k, &s->records);
}

static int prepare(struct sites *s, const char *path)
{
	s->one = malloc(sizeof(*s->one));
	s->sites = conf_claims_new();
	s->hosts = conf_claims_new();
	if (s->one == NULL || s->sites == NULL || s->hosts == NULL)
		return -ENOMEM;
	*s->one = *s->k;
	s->one->folderless = true;
	memcpy(s->one->folder, path, strlen(path) + 1);
	s->defaults = check_conf_new(s->one);
	return s->defaults != NULL && conf_finish(s->defaults) != -ENOMEM ? 0 : -ENOMEM;
}

static void done(struct sites *s)
{
	for (unsigned i = 0; i < s->n; i++)
		free(s->names[i]);
	free(s->names);
	if (s->one != NULL)
		s->k->certs = s->one->certs;
	free(s->one);
	conf_free(s->defaults);
	conf_claims_free(s->sites);
	conf_claims_free(s->hosts);
	buf_done(&s->records);
	if (s->dir >= 0)
		(void)close(s->dir);
}

int check_sites_folder(struct check *k)
{
	const struct conf_value *v = conf_get(k->conf, CONF_SERVER_SITES);
	char path[PATH_MAX];
	int fd;

	if (v == NULL)
		return -1;
	check_path(k, v->text, path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		conf_find(k->conf, CONF_ERROR, &v->pos, errno == ENOENT ? "make it (mkdir)" : "",
			"Sites=: there is no folder %s: %s", path, strerror(errno));
	return fd;
}

int check_sites(struct check *k, int dir)
{
	const struct conf_value *v = conf_get(k->conf, CONF_SERVER_SITES);
	struct sites s = {.k = k, .dir = dir};
	char path[PATH_MAX];
	int r;

	if (dir < 0)
		return 0;
	s.shown = v->text;
	buf_init(&s.records, CHAN_PAYLOAD_MAX);
	check_path(k, v->text, path);
	r = prepare(&s, path);
	if (r == 0)
		r = list(&s);
	if (r == -EFBIG) {
		conf_find(k->conf, CONF_ERROR, &v->pos, "", "Sites=: there are more than %d files in %s",
			SITES_MAX, path);
		r = 0;
	} else if (r == 0) {
		take_own(&s);
		r = check_files(&s);
	}
	done(&s);
	return r;
}
