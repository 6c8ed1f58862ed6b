/*
 * job.c: jobs of ctl's: each drives one order through transfers, signatures and messages; see
 * process.h.
 *
 * Called with messages, at the ends of transfers and by timers. Owns the jobs. What must not be
 * lost is ctl's before the next step is done (CERT_KEEP, CERT_KEPT); ctl, keys and resolve may die
 * at any time: who comes next is asked again, and when ctl is another one its jobs are dropped,
 * because it asks anew with what it has kept.
 */
#include "process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/sys.h"

enum { ES256 = 0x0403, TEXTS_MAX = CHAN_PAYLOAD_MAX };

static struct job *job_by_id(struct certs *c, uint64_t id)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (c->jobs[i].certs && c->jobs[i].id == id)
			return &c->jobs[i];
	return NULL;
}

struct job *job_by_question(struct certs *c, uint64_t sent, enum job_wait wait)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (c->jobs[i].certs && c->jobs[i].wait == wait && c->jobs[i].sent == sent)
			return &c->jobs[i];
	return NULL;
}

void job_free(struct job *j)
{
	loop_timer_stop(j->certs->loop, &j->timer);
	http_stop(&j->transfer);
	order_done(&j->order);
	buf_done(&j->input);
	buf_done(&j->post);
	free(j->texts);
	memset(j, 0, sizeof *j);
}

void job_drop_all(struct certs *c)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (c->jobs[i].certs)
			job_free(&c->jobs[i]);
}

void job_tell(struct job *j, uint32_t role, enum msg_type type, uint64_t id, const void *p,
	size_t n, const void *q, size_t m)
{
	struct aide_peer *to = certs_peer(j->certs, role);

	if (to)
		aide_answer(to, (uint16_t)type, id, p, n, q, m);
}

/* ---- the end ---- */

static void tell_end(struct job *j)
{
	const struct order *o = &j->order;
	struct msg_cert_end m = {.outcome = o->step == STEP_FAILED ? CERT_FAILED
					    : j->ask.renewal_only  ? CERT_RENEWAL
					    : j->ask.terms_only    ? CERT_TERMS
								   : CERT_ISSUED,
		.limited = o->fail.limited,
		.blame = o->fail.blame,
		.chain = o->chain.n,
		.retry_ms = o->fail.retry_ms,
		.renew_start_s = o->renew_start_s,
		.renew_end_s = o->renew_end_s,
		.look_again_ms = o->look_again_ms,
		.not_before_s = o->chain.not_before_s,
		.not_after_s = o->chain.not_after_s};
	struct buf b;

	memcpy(m.id, o->chain.id, sizeof m.id);
	memcpy(m.key, j->ask.key, sizeof m.key);
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&b, o->account);
	pack_str(&b, o->url);
	pack_str(&b, m.outcome == CERT_TERMS ? o->directory.terms : o->fail.what);
	pack_str(&b, o->fail.todo);
	pack_str(&b, o->fail.name);
	pack_str(&b, o->chain.serial);
	pack_str(&b, o->chain.ari);
	for (unsigned i = 0; i < o->chain.n; i++)
		pack_bytes(&b, o->chain.der[i].p, o->chain.der[i].len);
	if (b.error) {
		struct acme_fail why;

		problem_set(&why, "", "choose another authority with AcmeDirectory=",
			"the authority's chain of certificates is too long");
		m.outcome = CERT_FAILED;
		m.chain = 0;
		buf_reset(&b);
		pack_str(&b, o->account);
		pack_str(&b, "");
		pack_str(&b, why.what);
		pack_str(&b, why.todo);
		for (int i = 0; i < 3; i++)
			pack_str(&b, "");
	}
	job_tell(j, PROC_CTL, MSG_CERT_END, j->id, &m, sizeof m, b.p, b.len);
	buf_done(&b);
	job_free(j);
}

/* ---- requests ---- */

void job_address(const uint8_t a[16], char ret[50])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	char text[INET6_ADDRSTRLEN];

	if (memcmp(a, mapped, sizeof mapped) == 0)
		(void)inet_ntop(AF_INET, a + 12, ret, 50);
	else
		(void)snprintf(ret, 50, "[%s]", inet_ntop(AF_INET6, a, text, sizeof text));
}

/* Of an https URL in visible ASCII. False: it is none that can be asked. */
bool job_host_of(const char *url, char host[ACME_NAME_BYTES], uint16_t *ret_port)
{
	const char *at = url + strlen("https://"), *end = at + strcspn(at, "/?#");
	const char *colon = memchr(at, ':', (size_t)(end - at));
	size_t n = (size_t)((colon ? colon : end) - at);
	unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 443;

	if (n == 0 || n >= ACME_NAME_BYTES || memchr(at, '@', (size_t)(end - at)) || *at == '[' ||
		port == 0 || port > 65535)
		return false;
	memcpy(host, at, n);
	host[n] = '\0';
	*ret_port = (uint16_t)port;
	return true;
}

void job_resolve(struct job *j, const char *host)
{
	struct msg_resolve m = {0};

	j->wait = WAIT_NAMES;
	j->sent = ++j->certs->ids;
	job_tell(j, PROC_RESOLVE, MSG_RESOLVE, j->sent, &m, sizeof m, host, strlen(host) + 1);
}

/* There is no answer, and that is the answer. */
static void no_answer(struct job *j, const char *why)
{
	struct answer a = {.error = why};
	struct loop *l = j->certs->loop;

	j->wait = WAIT_NOTHING;
	order_answer(&j->order, &a, loop_now_ms(l), loop_wall_us(l) / 1000000);
	job_go_on(j);
}

static void transfer(struct job *j)
{
	struct transfer_ask ask = {.host = j->host,
		.port = j->port,
		.addresses = j->addresses,
		.body_max = ACME_BODY_MAX};
	struct order_next next;

	order_next(&j->order, &next);
	ask.kind = next.what == ORDER_GET    ? TRANSFER_GET
		   : next.what == ORDER_HEAD ? TRANSFER_HEAD
					     : TRANSFER_POST;
	ask.url = next.url;
	ask.post = ask.kind == TRANSFER_POST ? buf_str(&j->post) : NULL;
	j->wait = WAIT_HTTP;
	if (http_start(j->certs, &j->transfer, &ask) < 0)
		no_answer(j, "there is no memory");
}

static void request(struct job *j, const char *url)
{
	if (!job_host_of(url, j->host, &j->port)) {
		no_answer(j, "its URL is not of the form https://HOST/PATH");
		return;
	}
	if (strcmp(j->host, j->known) == 0)
		transfer(j);
	else
		job_resolve(j, j->host);
}

static bool is_binding(const struct job *j)
{
	return j->order.step == STEP_BIND;
}

static void sign(struct job *j)
{
	struct msg_sign m = {.purpose = is_binding(j) ? SIGN_EAB : SIGN_ACME,
		.scheme = is_binding(j) ? SIGN_SCHEME_HS256 : ES256};

	memcpy(m.key, is_binding(j) ? j->ask.eab_key : j->ask.account_key.id, sizeof m.key);
	j->wait = WAIT_KEYS;
	j->sent = ++j->certs->ids;
	job_tell(j, PROC_KEYS, MSG_SIGN, j->sent, &m, sizeof m, j->input.p, j->input.len);
}

static void prepare_post(struct job *j, const struct order_next *next)
{
	buf_reset(&j->input);
	jws_put_input(&j->input, &j->ask.account_key, next->by_key ? NULL : j->order.account,
		j->order.nonce, next->url, next->payload);
	if (j->input.error)
		no_answer(j, "the request is too long");
	else
		sign(j);
}

static void have_kept(struct job *j)
{
	struct buf b;

	buf_init(&b, 8 * ACME_URL_BYTES);
	pack_str(&b, j->order.account);
	pack_str(&b, j->order.url);
	j->wait = WAIT_KEPT;
	if (b.error == 0)
		job_tell(j, PROC_CTL, MSG_CERT_KEEP, j->id, b.p, b.len, NULL, 0);
	buf_done(&b);
}

/* What proves a name is put in its place, or taken away. */
static void have_offered(struct job *j, const struct order_next *next, enum msg_type type)
{
	struct msg_cert_offer m = {.way = next->way};
	struct buf b;

	buf_init(&b, 4 * ACME_URL_BYTES);
	pack_str(&b, next->name);
	pack_str(&b, next->token);
	pack_str(&b, next->text);
	if (b.error == 0)
		job_tell(j, PROC_CTL, type, j->id, &m, sizeof m, b.p, b.len);
	buf_done(&b);
}

void job_go_on(struct job *j)
{
	struct order_next next;

	j->wait = WAIT_NOTHING;
	order_next(&j->order, &next);
	switch (next.what) {
	case ORDER_GET:
	case ORDER_HEAD:
		request(j, next.url);
		break;
	case ORDER_POST:
		prepare_post(j, &next);
		break;
	case ORDER_KEEP:
		have_kept(j);
		break;
	case ORDER_OFFER:
		j->wait = WAIT_OFFERED;
		have_offered(j, &next, MSG_CERT_OFFER);
		break;
	case ORDER_WITHDRAW:
		have_offered(j, &next, MSG_CERT_WITHDRAW);
		order_went(&j->order);
		job_go_on(j);
		break;
	case ORDER_BIND:
		buf_reset(&j->input);
		buf_puts(&j->input, next.text);
		sign(j);
		break;
	case ORDER_PROBE:
		probe_begin(j);
		break;
	case ORDER_WAIT:
		j->wait = WAIT_TIME;
		loop_timer_in(j->certs->loop, &j->timer, next.wait_ms);
		break;
	case ORDER_DONE:
	case ORDER_FAILED:
		tell_end(j);
		break;
	}
}

void job_on_timer(struct loop *l, struct op *op, int res)
{
	struct job *j = container_of(container_of(op, struct timer, op), struct job, timer);

	(void)l;
	(void)res;
	if (j->wait == WAIT_AGAIN)
		job_spread(j);
	if (j->guarding) {
		guard_late(j);
		return;
	}
	if (j->wait != WAIT_TIME)
		return;
	order_went(&j->order);
	job_go_on(j);
}

void job_transferred(struct transfer *t)
{
	struct job *j = container_of(t, struct job, transfer);
	struct loop *l = j->certs->loop;
	struct answer a = {.error = t->failed ? t->error : NULL,
		.status = t->status,
		.body = t->body.len ? t->body.p : "",
		.body_n = t->body.len,
		.location = t->location,
		.nonce = t->nonce,
		.retry_after = t->retry_after,
		.link = t->link};

	if (j->looking) {
		look_transferred(j);
		return;
	}
	if (j->guarding) {
		guard_transferred(j);
		return;
	}
	if (j->probing) {
		probe_transferred(j);
		return;
	}
	j->wait = WAIT_NOTHING;
	/* The next look-up may bring an address that answers. */
	if (t->failed)
		j->known[0] = '\0';
	order_answer(&j->order, &a, loop_now_ms(l), loop_wall_us(l) / 1000000);
	job_go_on(j);
}

/* ---- what others say ---- */

void job_signed(struct certs *c, const struct msg *m)
{
	struct job *j = job_by_question(c, m->h.id, WAIT_KEYS);
	struct order_next next;
	struct msg_signed said;
	const char *der;
	size_t n;

	if (!j || msg_get(m, &said, sizeof said, sizeof said) < 0)
		return;
	der = msg_tail(m, sizeof said, &n);
	buf_reset(&j->post);
	if (!said.err && is_binding(j)) {
		order_bound(&j->order, der, n);
		job_go_on(j);
		return;
	}
	if (said.err || jws_put(&j->post, j->input.p, j->input.len, (const uint8_t *)der, n) < 0) {
		order_fail(&j->order, "", "`stead reload` sends all keys again; see `stead logs`",
			"the process of the private keys did not sign for the %saccount (error %u)",
			is_binding(j) ? "external " : "", said.err);
		job_go_on(j);
		return;
	}
	order_next(&j->order, &next);
	request(j, next.url);
}

void job_resolved(struct certs *c, const struct msg *m)
{
	struct job *j = job_by_question(c, m->h.id, WAIT_NAMES);
	uint8_t addresses[RESOLVED_MAX][16];
	struct msg_resolved said;
	const char *tail;
	char text[120];
	size_t n;

	if (!j || msg_get(m, &said, sizeof said, sizeof said) < 0)
		return;
	tail = msg_tail(m, sizeof said, &n);
	if (said.addresses > RESOLVED_MAX || (size_t)said.addresses * 16 > n ||
		(!said.err && !said.addresses))
		said = (struct msg_resolved){.err = EIO};
	memcpy(addresses, tail, (size_t)said.addresses * 16);
	if (j->guarding) {
		guard_resolved(j, said.err, (const uint8_t(*)[16])addresses, said.addresses);
		return;
	}
	if (j->probing) {
		probe_resolved(j, said.err, (const uint8_t(*)[16])addresses, said.addresses);
		return;
	}
	if (said.err) {
		(void)snprintf(text, sizeof text, "its address cannot be looked up: %s",
			said.err == ENOENT ? "there is no such name" : strerror((int)said.err));
		no_answer(j, text);
		return;
	}
	j->addresses[0] = '\0';
	for (unsigned i = 0; i < said.addresses && i < ADDRESSES_MAX; i++) {
		char one[50];
		size_t at = strlen(j->addresses);

		job_address(addresses[i], one);
		(void)snprintf(
			j->addresses + at, sizeof j->addresses - at, "%s%s", i ? "," : "", one);
	}
	memcpy(j->known, j->host, sizeof j->known);
	transfer(j);
}

void job_look_caa(struct job *j)
{
	struct buf b;

	j->wait = WAIT_CAA;
	j->sent = ++j->certs->ids;
	buf_init(&b, ACME_NAME_BYTES + 16);
	pack_str(&b, j->caa_at);
	job_tell(j, PROC_RESOLVE, MSG_CAA_LOOK, j->sent, b.p, b.len, NULL, 0);
	buf_done(&b);
}

void job_caa_looked(struct certs *c, const struct msg *m)
{
	struct job *j = job_by_question(c, m->h.id, WAIT_CAA);
	struct caa_record records[CAA_RECORDS_MAX];
	struct msg_caa_looked said;
	struct unpack u;
	const char *tail;
	size_t n;

	if (!j || msg_get(m, &said, sizeof said, sizeof said) < 0)
		return;
	tail = msg_tail(m, sizeof said, &n);
	unpack_init(&u, tail, n);
	for (unsigned i = 0; i < said.records && i < CAA_RECORDS_MAX; i++) {
		records[i].flags = unpack_u32(&u);
		records[i].tag = unpack_str(&u);
		records[i].value = unpack_bytes(&u, &records[i].n);
	}
	if (said.records > CAA_RECORDS_MAX || !unpack_done(&u))
		said = (struct msg_caa_looked){.state = CAA_SILENT};
	probe_caa(j, &said, records);
}

void job_peer_up(struct certs *c, uint32_t role)
{
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		struct job *j = &c->jobs[i];

		if (!j->certs)
			continue;
		if (role == PROC_KEYS && j->wait == WAIT_KEYS)
			sign(j);
		else if (role == PROC_RESOLVE && j->wait == WAIT_SPREAD)
			job_spread(j);
		else if (role == PROC_RESOLVE && j->wait == WAIT_NAMES)
			job_resolve(j, j->probing ? j->ask.names[j->probe_i] : j->host);
		else if (role == PROC_RESOLVE && j->wait == WAIT_CAA)
			job_look_caa(j);
	}
}

/* ---- a new one ---- */

/* The ask's texts point into a copy of the message. False: it is not in form. */
static bool read_ask(
	struct job *j, const struct msg *m, const char **ret_account, const char **ret_url)
{
	struct order_ask *ask = &j->ask;
	struct msg_cert_ask said;
	struct unpack u;
	const char *tail;
	uint8_t chance[16];
	size_t n;

	if (msg_get(m, &said, sizeof said, sizeof said) < 0 || said.names > ACME_NAMES_MAX ||
		sys_random(chance, sizeof chance) < 0)
		return false;
	tail = msg_tail(m, sizeof said, &n);
	j->texts = malloc(n + 1);
	if (!j->texts)
		return false;
	memcpy(j->texts, tail, n);
	unpack_init(&u, j->texts, n);
	ask->directory = unpack_str(&u);
	ask->contact = unpack_str(&u);
	ask->csr = unpack_str(&u);
	ask->replaces = unpack_str(&u);
	*ret_account = unpack_str(&u);
	*ret_url = unpack_str(&u);
	ask->profile = unpack_str(&u);
	ask->chain = unpack_str(&u);
	ask->eab_kid = unpack_str(&u);
	for (ask->nnames = 0; ask->nnames < said.names; ask->nnames++)
		ask->names[ask->nnames] = unpack_str(&u);
	ask->terms_only = said.what == CERT_LOOK_TERMS;
	ask->renewal_only = said.what == CERT_LOOK_RENEWAL;
	ask->else_tls = said.else_tls;
	ask->way = (enum cert_way)min_of(said.way, (uint32_t)CERT_BY_DNS);
	j->looking = said.what == CERT_LOOK_SERVED;
	j->guarding = said.what == CERT_LOOK_GUARD;
	j->look_at = *ret_account;
	memcpy(ask->key, said.key, sizeof ask->key);
	memcpy(ask->eab_key, said.eab_key, sizeof ask->eab_key);
	memcpy(ask->account_key.id, said.account_key, sizeof ask->account_key.id);
	memcpy(ask->account_key.x, said.account_x, sizeof ask->account_key.x);
	memcpy(ask->account_key.y, said.account_y, sizeof ask->account_key.y);
	for (unsigned i = 0; i < sizeof chance; i++)
		(void)snprintf(ask->token + 2 * i, 3, "%02x", chance[i]);
	return unpack_done(&u) && (j->guarding || answer_is_url(ask->directory, strlen(ask->directory))) &&
	       strlen(*ret_account) < ACME_URL_BYTES && strlen(*ret_url) < ACME_URL_BYTES;
}

static void begin(struct certs *c, const struct msg *m)
{
	const char *account, *url;
	struct job *j = NULL;

	for (unsigned i = 0; i < JOBS_MAX && !j; i++)
		if (!c->jobs[i].certs)
			j = &c->jobs[i];
	/* ctl has no more than that under way. */
	if (!j || job_by_id(c, m->h.id))
		return;
	memset(j, 0, sizeof *j);
	j->certs = c;
	j->id = m->h.id;
	j->timer.op.kind = OP_JOB_TIMER;
	buf_init(&j->input, SIGN_JWS_MAX);
	buf_init(&j->post, SIGN_JWS_MAX + 1024);
	if (!read_ask(j, m, &account, &url)) {
		job_free(j);
		return;
	}
	order_init(&j->order, &j->ask, j->looking ? "" : account, url);
	if (j->guarding)
		guard_begin(j);
	else if (j->looking)
		look_begin(j);
	else
		job_go_on(j);
}

void job_heard_ctl(struct certs *c, struct msg *m)
{
	struct job *j;

	if (m->h.type == MSG_CERT_ASK) {
		begin(c, m);
		return;
	}
	j = job_by_id(c, m->h.id);
	if (!j || j->wait != (m->h.type == MSG_CERT_KEPT ? WAIT_KEPT : WAIT_OFFERED))
		return;
	if (m->h.type == MSG_CERT_OFFERED) {
		job_offered(j, m);
		return;
	}
	order_went(&j->order);
	job_go_on(j);
}
