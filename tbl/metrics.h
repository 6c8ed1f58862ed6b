/*
 * metrics.h: what is counted. An X-macro table: METRIC(NAME, name, unit, scope, about).
 * The order is the order of a gate's counters page; rows are only appended.
 */
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
