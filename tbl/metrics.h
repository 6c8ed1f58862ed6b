/*
 * metrics.h: what is counted. X-macro tables: define those that are wanted, include; all are undefined here.
 *
 * METRIC(NAME, name, unit, scope, about)                     of a gate; the order is that of its counters page
 * SITE_METRIC(NAME, name, label, unit, type, about)          of a site in a gate: a column of its row
 * UPSTREAM_METRIC(NAME, name, label, unit, type, about)      of a backend in a gate: the same
 * PROC_METRIC(NAME, name, unit, type, about)                 what ctl adds of all processes
 *
 * Rows are only appended to METRIC; the others may move, because a page tells its shape. A METRIC is a counter
 * when its name ends with _total, else a gauge. label: one of its own, as name=value, or "". A HISTOGRAM's column
 * is its sum in microseconds; there is one in a row, whose buckets lie behind the columns. Rows of one name stand
 * together.
 */
#ifndef METRIC
#define METRIC(NAME, name, unit, scope, about)
#endif
#ifndef SITE_METRIC
#define SITE_METRIC(NAME, name, label, unit, type, about)
#endif
#ifndef UPSTREAM_METRIC
#define UPSTREAM_METRIC(NAME, name, label, unit, type, about)
#endif
#ifndef PROC_METRIC
#define PROC_METRIC(NAME, name, unit, type, about)
#endif
METRIC(CONNS_ACCEPTED, stead_connections_accepted_total, "connections", METRIC_GATE, "connections accepted")
METRIC(CONNS_OPEN, stead_connections_open, "connections", METRIC_GATE, "connections open now")
METRIC(REQUESTS, stead_requests_total, "requests", METRIC_GATE, "requests ended")
METRIC(REQUESTS_ACTIVE, stead_requests_active, "requests", METRIC_GATE, "requests not ended yet")
METRIC(BYTES_IN, stead_received_bytes_total, "bytes", METRIC_GATE, "bytes received from clients")
METRIC(BYTES_OUT, stead_sent_bytes_total, "bytes", METRIC_GATE, "bytes sent to clients")
METRIC(REPLAYS, stead_replays_total, "requests", METRIC_GATE, "idempotent requests given to another worker after theirs died")
METRIC(LINK_FAULTS, stead_link_faults_total, "links", METRIC_GATE, "workers that broke the link's protocol")
METRIC(BUDGET_BYTES, stead_body_budget_used_bytes, "bytes", METRIC_GATE, "bytes of the body budget lent now")
METRIC(UP_OPEN, stead_backend_connections_open, "connections", METRIC_GATE, "connections to backends open now, kept ones included")
METRIC(UP_CONNECTS, stead_backend_connects_total, "connections", METRIC_GATE, "connections to backends begun")
METRIC(UP_REUSED, stead_backend_reuses_total, "requests", METRIC_GATE, "requests that a kept connection to a backend took")
METRIC(UP_RETRIES, stead_backend_retries_total, "requests", METRIC_GATE, "requests that were given to a backend again after a failure")
METRIC(UP_FAULTS, stead_backend_faults_total, "requests", METRIC_GATE, "failures of backends: refused, too slow, cut or malformed")
METRIC(RATE_LIMITED, stead_rate_limited_total, "requests", METRIC_GATE, "requests that RateLimit= refused")
METRIC(CONNS_REFUSED, stead_connections_refused_total, "connections", METRIC_GATE, "connections that ConnectionsMax= or the gate's own bound refused")
METRIC(PROXY_BAD, stead_proxy_header_faults_total, "connections", METRIC_GATE, "connections closed for a PROXY header that was missing, malformed or late")
METRIC(TCP_CONNS, stead_tcp_connections_total, "connections", METRIC_GATE, "connections of [Tcp] accepted")
METRIC(TCP_OPEN, stead_tcp_connections_open, "connections", METRIC_GATE, "connections of [Tcp] open now")
METRIC(TCP_FAILED, stead_tcp_failures_total, "connections", METRIC_GATE, "connections of [Tcp] that no server took")
METRIC(TCP_BYTES_IN, stead_tcp_received_bytes_total, "bytes", METRIC_GATE, "bytes passed from clients of [Tcp] to servers")
METRIC(TCP_BYTES_OUT, stead_tcp_sent_bytes_total, "bytes", METRIC_GATE, "bytes passed from servers of [Tcp] to clients")
METRIC(CONNS_ACTIVE, stead_connections_active, "connections", METRIC_GATE, "connections with a request under way now")
METRIC(TLS_HANDSHAKES, stead_tls_handshakes_total, "handshakes", METRIC_GATE, "handshakes of TLS that ended, well or not")
METRIC(TLS_RESUMED, stead_tls_resumed_total, "handshakes", METRIC_GATE, "handshakes that resumed a session")
METRIC(TLS_BAD, stead_tls_failed_total, "handshakes", METRIC_GATE, "handshakes that failed for what the client offers or trusts")
METRIC(TLS_BAD_NAME, stead_tls_unknown_names_total, "handshakes", METRIC_GATE, "handshakes that failed because no site with a certificate has that name")
METRIC(TLS_NO_KEY, stead_tls_key_failures_total, "handshakes", METRIC_GATE, "handshakes that failed because the private key could not be used")
METRIC(TLS_KERNEL, stead_tls_kernel_connections_total, "connections", METRIC_GATE, "connections of TLS whose records the kernel makes (kTLS)")
METRIC(TLS_SLOW, stead_tls_timeouts_total, "handshakes", METRIC_GATE, "handshakes that took too long")

SITE_METRIC(REQUESTS, stead_site_requests_total, "", "requests", METRIC_COUNTER, "requests ended, by site")
SITE_METRIC(ANSWERS_NONE, stead_site_answers_total, "code=none", "requests", METRIC_COUNTER, "requests ended, by the class of their answer's status; none: there was no answer")
SITE_METRIC(ANSWERS_1XX, stead_site_answers_total, "code=1xx", "requests", METRIC_COUNTER, "")
SITE_METRIC(ANSWERS_2XX, stead_site_answers_total, "code=2xx", "requests", METRIC_COUNTER, "")
SITE_METRIC(ANSWERS_3XX, stead_site_answers_total, "code=3xx", "requests", METRIC_COUNTER, "")
SITE_METRIC(ERRORS_4XX, stead_site_answers_total, "code=4xx", "requests", METRIC_COUNTER, "")
SITE_METRIC(ERRORS_5XX, stead_site_answers_total, "code=5xx", "requests", METRIC_COUNTER, "")
SITE_METRIC(BYTES_IN, stead_site_received_body_bytes_total, "", "bytes", METRIC_COUNTER, "bytes of requests' bodies")
SITE_METRIC(BYTES_OUT, stead_site_sent_body_bytes_total, "", "bytes", METRIC_COUNTER, "bytes of answers' bodies")
SITE_METRIC(ACTIVE, stead_site_requests_active, "", "requests", METRIC_GAUGE, "requests that a handler works on now")
SITE_METRIC(QUEUED, stead_site_queue_length, "", "requests", METRIC_GAUGE, "requests that wait for a worker of the app now")
SITE_METRIC(REPLAYED, stead_site_replays_total, "", "requests", METRIC_COUNTER, "requests given to another worker after theirs died")
SITE_METRIC(RUNNING, stead_site_worker_requests_active, "", "requests", METRIC_GAUGE, "requests that workers of the app have now")
SITE_METRIC(GIVEN, stead_site_worker_requests_total, "", "requests", METRIC_COUNTER, "requests given to workers of the app")
SITE_METRIC(WAITED_US, stead_site_queue_wait_seconds_total, "", "seconds", METRIC_COUNTER, "time that requests waited for a worker of the app")
SITE_METRIC(WORKED_US, stead_site_worker_busy_seconds_total, "", "seconds", METRIC_COUNTER, "time that workers of the app had requests")
SITE_METRIC(TUNNELS, stead_site_websockets_open, "", "websockets", METRIC_GAUGE, "WebSockets that are open to the app now")
SITE_METRIC(TIME_US, stead_site_request_duration_seconds, "", "seconds", METRIC_HISTOGRAM, "from a request's first byte to its answer's last")

UPSTREAM_METRIC(REQUESTS, stead_upstream_requests_total, "", "requests", METRIC_COUNTER, "times that a server of the backend was asked, retries included, probes not")
UPSTREAM_METRIC(ANSWERS_1XX, stead_upstream_answers_total, "code=1xx", "requests", METRIC_COUNTER, "the backend's answers, by the class of their status")
UPSTREAM_METRIC(ANSWERS_2XX, stead_upstream_answers_total, "code=2xx", "requests", METRIC_COUNTER, "")
UPSTREAM_METRIC(ANSWERS_3XX, stead_upstream_answers_total, "code=3xx", "requests", METRIC_COUNTER, "")
UPSTREAM_METRIC(ANSWERS_4XX, stead_upstream_answers_total, "code=4xx", "requests", METRIC_COUNTER, "")
UPSTREAM_METRIC(ANSWERS_5XX, stead_upstream_answers_total, "code=5xx", "requests", METRIC_COUNTER, "")
UPSTREAM_METRIC(FAULTS, stead_upstream_faults_total, "", "requests", METRIC_COUNTER, "refused, too slow, cut or malformed")
UPSTREAM_METRIC(RETRIES, stead_upstream_retries_total, "", "requests", METRIC_COUNTER, "requests that were given to a server again after a failure")
UPSTREAM_METRIC(ACTIVE, stead_upstream_requests_active, "", "requests", METRIC_GAUGE, "requests that the backend works on now")
UPSTREAM_METRIC(QUEUED, stead_upstream_queue_length, "", "requests", METRIC_GAUGE, "requests that wait for a server now")
UPSTREAM_METRIC(TIME_US, stead_upstream_response_seconds, "", "seconds", METRIC_HISTOGRAM, "from asking a server to its answer's head")

PROC_METRIC(BUILD, stead_build_info, "", METRIC_GAUGE, "1; the version is a label")
PROC_METRIC(CONNS_IDLE, stead_connections_idle, "connections", METRIC_GAUGE, "connections open now without a request under way")
PROC_METRIC(PROCESS_UP, stead_process_up, "", METRIC_GAUGE, "1 when the process runs and is ready")
PROC_METRIC(PROCESS_RESTARTS, stead_process_restarts_total, "restarts", METRIC_COUNTER, "restarts since the process was last started on purpose")
PROC_METRIC(PROCESS_START, stead_process_start_time_seconds, "seconds", METRIC_GAUGE, "when the process came to be as it is, in seconds since 1970")
PROC_METRIC(PROCESS_MEMORY, stead_process_resident_bytes, "bytes", METRIC_GAUGE, "resident memory, shared pages included")
PROC_METRIC(APP_WORKERS, stead_app_workers, "processes", METRIC_GAUGE, "workers of the app, by what they do")
PROC_METRIC(APP_WORKERS_WANTED, stead_app_workers_wanted, "processes", METRIC_GAUGE, "workers that there shall be")
PROC_METRIC(SITES, stead_sites, "sites", METRIC_GAUGE, "sites of which metrics are kept")
PROC_METRIC(SNAPSHOT, stead_snapshot_generation, "", METRIC_GAUGE, "which snapshot of the configuration is the newest")

#undef METRIC
#undef SITE_METRIC
#undef UPSTREAM_METRIC
#undef PROC_METRIC
