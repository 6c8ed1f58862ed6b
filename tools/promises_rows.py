"""promises_rows.py: what stead promises, and who proves it. Read by promises.py.

A row: the promise, its goal, and the names of the lines that prove it (tests write them with the fixture `promise`) or
why no test of this version can: a text in place of the list. What is measured and belongs to no row is printed behind.
"""

ROWS = [
    ("reload: new connections", "0 of 10⁶ fail", ["reload: new connections"]),
    ("reload: reused connections", "0 of 10⁶ fail", ["reload: reused connections", "a gate drained by reload"]),
    ("binary upgrade", "0 and 0", ["binary upgrade", "fresh server, the package upgraded under load"]),
    ("a bad new binary", "aborted by itself, 0 fail", ["a bad new binary"]),
    ("app deploy", "0 fail, p99.9 + 10 ms", ["deploy and rollback as root under load, failed of", "rollback under load, failed of"]),
    ("a deploy killed at 50 moments", "the old release or the new one, nothing half", ["a deploy killed"]),
    ("a gate killed", "only what is under way, 0 refused", ["a gate killed"]),
    ("an app worker killed", "0 fail", ["an app worker killed"]),
    ("restart latency", "first ≤ 5 ms, then backoff", ["restart latency"]),
    ("crash loop", "doubling, cap 60 s, neighbours' p99 ± 5 %", ["crash loop, pauses", "crash loop, neighbours"]),
    ("no leaked process", "0 survive", ["no leaked process"]),
    ("root parent killed", "serve on, adopted ≤ 1 s", ["root parent killed", "fresh server, parent killed 3 times"]),
    ("key process killed", "resumptions unaffected, handshakes wait", ["key process killed"]),
    ("key isolation's cost", "handshake ≤ nginx × 1.1", ["handshake, key in another process"]),
    ("h2spec", "146 of 146", ["h2spec, h2c", "h2spec, tls"]),
    ("TLS judged by others", "an A+ set-up: nothing above LOW", ["sslscan", "testssl.sh"]),
    ("malformed HTTP/1 accepted", "0", ["malformed HTTP/1 accepted", "malformed and ambiguous requests"]),
    ("smuggling grid", "0 of 10⁶ mutations, ≥ 10 peers",
     ["mutations of the corpus", "forwarded requests read by other servers"]),
    ("HTTP rules", "0 broken", ["HTTP rules"]),
    ("cache-tests", "≥ 145 of 160", ["cache-tests"]),
    ("Rapid Reset", "< 500 of 10⁵ executed, GOAWAY", ["HTTP/2 rapid reset", "HTTP/2 made you reset"]),
    ("HTTP/2 bomb", "≤ 4:1, ≤ 1 MB a connection", ["HTTP/2 bomb, memory"]),
    ("slow headers", "15,000 held, service up", ["slow headers"]),
    ("idle connection", "≤ 1 KB", ["idle connections"]),
    ("crash consistency", "each prefix of writes recovers", "writes are not recorded and replayed yet"),
    ("allocation and system-call sweep", "0 crashes, 0 leaks", ["allocation and system-call sweep"]),
    ("fuzzing", "10⁹ runs and 24 h clean for each parser", "24 h fit into no run: `make soak`; the corpora are counted below"),
    ("coverage", "100 % of the parsers' branches", ["coverage of parsers"]),
    ("package", "≤ 3 MB, twice the same bytes", ["deb, size", "deb, built twice"]),
    ("package on 4 systems", "install, reload, reboot, remove, purge",
     ["deb on debian-12", "deb on debian-13", "deb on ubuntu-24.04", "deb on ubuntu-26.04"]),
    ("back after a reboot", "≤ 10 s after boot", ["deb on debian-12, reboot", "deb on debian-13, reboot",
                                                   "deb on ubuntu-24.04, reboot", "deb on ubuntu-26.04, reboot",
                                                   "a deployed app with its database, reboot"]),
    ("idle server", "≤ 15 MB, no wake-up but the watchdog's", ["idle server, no site", "idle server, a static site"]),
    ("systemd-analyze security of an app", "≤ 1.6", ["systemd-analyze security of an app"]),
    ("systemd-analyze security of stead", "≤ 3.0", "not reached: 5.0 by `systemd-analyze security --offline=yes pkg/stead.service`; "
     "the unit names the reason of each thing that stays"),
    ("escape tests", "≥ 60 forbidden acts a role, all denied",
     [f"forbidden acts as {role}" for role in
      ("worker", "build", "check", "db", "resolve", "auth", "keys", "certs", "gate", "log", "ctl")]),
    ("ACME", "1,000 issued", ["names issued in one run"]),
    ("PostgreSQL restart under load", "0 5xx on idempotent requests", ["postgres killed 3 times"]),
]
