/*
 * config.h: every section and key of stead.conf, one row each. An X-macro table: define SECTION and/or
 * CONF, include, undefine.
 *
 * SECTION(NAME, "Name", arg, flags, "about")
 *   arg     SECTION_PLAIN, or SECTION_ARG: written [Name ARGUMENT]
 *   flags   SECTION_SYSTEMD: systemd's own, so an unknown key is a warning and not an error
 *           SECTION_LATER: known, and not in this version
 *           SECTION_FOLDERLESS: also in the files of Sites=, which have no folder and no app
 *
 * CONF(NAME, SECTION, "Key", type, flags, "default", min, max, "unit", when, "one line", "prose", "example")
 *   type     enum conf_type; min and max are in the unit (milliseconds for a time), 0 and 0: no bound,
 *            for lists and text they bound the number of items or bytes
 *   flags    CONF_MANY: a list, may be repeated, an empty value resets; CONF_SPECIFIERS: %n and the like
 *            are replaced; CONF_DETECT: found in the app's folder when it is not written;
 *            CONF_ROUTE: also a key of [Route], whose value comes before the site's; CONF_LINE: a line is one item, taken as it stands;
 *            CONF_LATER: not in this version: refused with a clear error; CONF_LIFE: also a key of [Worker]
 *   default  as it would be written; "" is none
 *   when     a changed value takes effect WHEN_RELOAD, WHEN_RESTART of the app, or WHEN_UP
 *
 * CONF_LATER_KEY(SECTION, "Key"): in the interface, and not in this version: refused with a clear error.
 * CONF_NOTED_KEY(SECTION, "Key"): systemd's; noted, without effect here. With "what holds instead" behind it where a
 *   reader could take it for more.
 * CONF_REFUSED_KEY(SECTION, "Key", "why", "what to do instead"): of another section, and it cannot hold in this one.
 */
#ifndef SECTION
#define SECTION(NAME, name, arg, flags, about)
#endif
#ifndef CONF
#define CONF(NAME, section, key, type, flags, deflt, min, max, unit, when, line, prose, example)
#endif
#ifndef CONF_LATER_KEY
#define CONF_LATER_KEY(section, key)
#endif
#ifndef CONF_NOTED_KEY
#define CONF_NOTED_KEY(section, key, ...)
#endif
#ifndef CONF_REFUSED_KEY
#define CONF_REFUSED_KEY(section, key, why, todo)
#endif

SECTION(SITE, "Site", SECTION_PLAIN, SECTION_FOLDERLESS, "the site: its names, files and limits")
SECTION(PYTHON, "Python", SECTION_PLAIN, 0, "a WSGI or ASGI app and its workers")
SECTION(POSTGRES, "Postgres", SECTION_PLAIN, 0, "the app's database")
SECTION(SERVER, "Server", SECTION_PLAIN, 0, "stead itself: where it listens and with how many gates")
SECTION(UNIT, "Unit", SECTION_PLAIN, SECTION_SYSTEMD, "as in systemd; all but StartLimit is noted, without effect")
SECTION(SERVICE, "Service", SECTION_PLAIN, SECTION_SYSTEMD, "the program that serves the site, and the app's environment; systemd's names and meaning")
SECTION(INSTALL, "Install", SECTION_PLAIN, SECTION_SYSTEMD, "as in systemd; accepted, without effect")
SECTION(ROUTE, "Route", SECTION_ARG, SECTION_FOLDERLESS, "settings of one path: [Route /prefix], [Route =/exact] or [Route ~regex]")
SECTION(UPSTREAM, "Upstream", SECTION_ARG, SECTION_FOLDERLESS, "servers that requests are passed to: [Upstream NAME]")
SECTION(TCP, "Tcp", SECTION_ARG, 0, "connections of any protocol, passed on as they are: [Tcp NAME]")
SECTION(PHP, "Php", SECTION_PLAIN, 0, "a PHP app and its processes")
SECTION(WORKER, "Worker", SECTION_ARG, 0, "a program that runs beside the app and serves nothing: [Worker NAME]")
SECTION(TIMER, "Timer", SECTION_ARG, 0, "a program that runs at times: [Timer NAME]")
SECTION(NEEDS, "Needs", SECTION_PLAIN, SECTION_LATER, "other servers that the app needs")
SECTION(BUILD, "Build", SECTION_PLAIN, SECTION_LATER, "how a release is made")
SECTION(DEPLOY, "Deploy", SECTION_PLAIN, 0, "how `stead deploy` treats its releases")
SECTION(DNS, "Dns", SECTION_PLAIN, SECTION_LATER, "zones that stead answers for")
SECTION(ALERT, "Alert", SECTION_PLAIN, 0, "who is told of trouble")

/* [Site] */
CONF(SITE_NAME, SITE, "Name", CONF_TYPE_NAME, CONF_DETECT, "", 1, 27, "", WHEN_UP, "the app's name",
	"Names the app in `stead status`, its database and, as root, its user. Left out, it is made from the folder's name.", "Name=shop")
CONF(SITE_DOMAIN, SITE, "Domain", CONF_TYPE_HOSTS, CONF_MANY, "", 0, 64, "names", WHEN_RELOAD, "the host names it answers to",
	"A blank-separated list; the first is the canonical one. *.example.org matches one label. Addresses stand as in a URL, IPv6 in brackets. With no Domain= the site answers whatever name is asked for.", "Domain=shop.example www.shop.example")
CONF(SITE_ROOT, SITE, "Root", CONF_TYPE_PATH, CONF_DETECT | CONF_SPECIFIERS | CONF_ROUTE, "", 0, 4095, "", WHEN_RELOAD, "the folder of a static site",
	"Its files are served as they are. With an app, which then answers all but Static=, it only says where ErrorPage= looks. A [Route] with a Root= of its own finds there what lies below the route's path; one without looks in the site's, by the whole path. Relative to the app's folder. In the files of a server (/etc/stead) it may be any folder that holds a site's files, which is served as it lies, so a file that changes is served changed: the gates get it read-only, with the rights of the folder's owner and group (root's own private files stay closed), as they do the folders of Static=. A folder that takes another's place, or a disk that is mounted below it, is seen at the next reload; while it is missing the site answers 404. Refused are the machine's own folders (/, /etc, /proc, /root, /run, /tmp …), whole homes and stead's state; a path outside of /etc/stead has to stand in a file that root alone may write, without specifiers. In a deployed app, and as root in a folder of `stead up`, it lies below the folder and a copy is served, made by each deploy, start and reload. Names that begin with a dot (but .well-known) are never served.", "Root=public")
CONF(SITE_STATIC, SITE, "Static", CONF_TYPE_PREFIX, CONF_MANY | CONF_DETECT, "", 0, 64, "", WHEN_RELOAD, "a path of the site served from a folder",
	"PREFIX PATH: requests below PREFIX are answered from the files below PATH, without the app. Left out, the app's own static folder is found.", "Static=/static static")
CONF(SITE_PERSIST, SITE, "Persist", CONF_TYPE_PATH, CONF_MANY, "", 0, 64, "", WHEN_UP, "folders and files of a deployed app that outlive its releases",
	"Paths below the app's folder. Each lies in the app's data folder, where the app may write, and every release has a link to it. What the first release that names it has there is what it begins with. `stead up`, which has no releases, does not need it.", "Persist=uploads var/cache")
CONF(SITE_HEALTH, SITE, "Health", CONF_TYPE_STRING, 0, "/", 1, 1024, "", WHEN_RESTART, "the path that shows whether the app works",
	"A GET of this path must be answered with a status below 500 before the app counts as live.", "Health=/health")
CONF(SITE_HEALTH_COUNT, SITE, "HealthCount", CONF_TYPE_INT, 0, "2", 1, 100, "answers", WHEN_RESTART, "how many good answers in a row make it live",
	"Counts for a new set of workers, before it takes over.", "HealthCount=3")
CONF(SITE_HEALTH_TIMEOUT, SITE, "HealthTimeoutSec", CONF_TYPE_TIME, 0, "30s", 100, 3600000, "ms", WHEN_RESTART, "how long the app may take to become live",
	"After this time the start has failed, and its last output is shown.", "HealthTimeoutSec=1min")
CONF(SITE_BODY_MAX, SITE, "BodyMax", CONF_TYPE_SIZE, CONF_ROUTE, "32M", 0, 1099511627776, "bytes", WHEN_RELOAD, "the largest request body",
	"A larger one is answered with 413.", "BodyMax=200M")
CONF(SITE_HEAD_MAX, SITE, "HeadMax", CONF_TYPE_SIZE, 0, "32K", 1024, 262144, "bytes", WHEN_RELOAD, "the largest request head",
	"The request line and the header fields together; a larger one is answered with 431.", "HeadMax=64K")
CONF(SITE_HEADER_TIMEOUT, SITE, "HeaderTimeoutSec", CONF_TYPE_TIME, 0, "10s", 100, 600000, "ms", WHEN_RELOAD, "how long a request head may take to arrive",
	"A slower one is answered with 408.", "HeaderTimeoutSec=5s")
CONF(SITE_IDLE_TIMEOUT, SITE, "IdleTimeoutSec", CONF_TYPE_TIME, 0, "60s", 100, 86400000, "ms", WHEN_RELOAD, "how long a connection may stay idle",
	"Between two requests of one connection.", "IdleTimeoutSec=15s")
CONF(SITE_REQUEST_TIMEOUT, SITE, "RequestTimeoutSec", CONF_TYPE_TIME, CONF_ROUTE, "30s", 100, 86400000, "ms", WHEN_RELOAD, "how long the app may take to answer",
	"From the moment a worker gets the request until its answer's head. Then the client gets 504, and the worker's stack is logged and the worker replaced.", "RequestTimeoutSec=2min")
CONF(SITE_RATE_MIN, SITE, "RateMin", CONF_TYPE_SIZE, 0, "100", 0, 1073741824, "bytes/s", WHEN_RELOAD, "the slowest client that is served",
	"A body that comes, or an answer that is taken, slower than this ends the connection. 0 takes the bound away.", "RateMin=1K")
CONF(SITE_QUEUE, SITE, "Queue", CONF_TYPE_INT, 0, "128", 1, 65536, "requests", WHEN_RELOAD, "how many requests may wait for a worker",
	"Over all gates, and with those that lie in a worker's ring already; idle connections do not count. When as many wait, the next is answered with 503 and Retry-After. Up to 8 requests for Health= have room besides, and come first, when it names a path of its own.", "Queue=64")
CONF(SITE_QUEUE_TIMEOUT, SITE, "QueueTimeoutSec", CONF_TYPE_TIME, 0, "10s", 100, 3600000, "ms", WHEN_RELOAD, "how long a request may wait for a worker",
	"Then it is answered with 503 and Retry-After.", "QueueTimeoutSec=5s")
CONF(SITE_INDEX, SITE, "Index", CONF_TYPE_LIST, CONF_MANY | CONF_ROUTE, "index.html", 0, 16, "names", WHEN_RELOAD, "the files that stand for a folder",
	"Names in order of preference; the first that is there is served.", "Index=index.html index.htm")
CONF(SITE_ERROR_PAGE, SITE, "ErrorPage", CONF_TYPE_ERRPAGE, CONF_MANY | CONF_ROUTE, "", 0, 64, "", WHEN_RELOAD, "a page of one's own for an error",
	"CODE PATH: PATH is below Root=, or below the app's folder when there is no Root=. Used for stead's own answers, never for the app's.", "ErrorPage=404 /404.html")
CONF(SITE_ACCESS_LOG, SITE, "AccessLog", CONF_TYPE_LOGFORMAT, CONF_ROUTE | CONF_LINE, "json", 0, 0, "", WHEN_RELOAD, "whether and how each request is recorded",
	"One record a request, read with `stead logs`: `json` keeps every field; `combined` adds a line as Apache and nginx write it; a text with variables adds that line, with nginx's names like $remote_addr, $request, $status and $request_time (`stead introspect logvars` lists them); `off` records nothing.", "AccessLog=$remote_addr $host \"$request\" $status $request_time")
CONF(SITE_ALIAS, SITE, "Alias", CONF_TYPE_HOSTS, CONF_MANY, "", 0, 64, "names", WHEN_RELOAD, "names that are sent to the canonical one",
	"A request for one of them is answered with 308 to the same path of the first Domain=.", "Alias=www.shop.example")
CONF(SITE_TRY_FILES, SITE, "TryFiles", CONF_TYPE_TRY, CONF_MANY | CONF_ROUTE, "", 0, 16, "paths", WHEN_RELOAD, "files that are served before anything else answers",
	"Paths below Root= in order, with $uri for the request's own path; a path that ends with / stands for the index of that folder. The first file that is there is served; with none, the app or To= answers, or =CODE as the last word gives that status. A [Route] with To= has only its own.", "TryFiles=$uri $uri/ /index.html")
CONF(SITE_LISTING, SITE, "Listing", CONF_TYPE_BOOL, CONF_ROUTE, "no", 0, 0, "", WHEN_RELOAD, "whether a folder without index is listed",
	"A page with the folder's files; hidden ones are left out.", "Listing=yes")
CONF(SITE_HEADER, SITE, "Header", CONF_TYPE_HEADER, CONF_MANY | CONF_ROUTE | CONF_LINE, "", 0, 64, "", WHEN_RELOAD, "header fields that are set, added or removed",
	"[request|response] set|add|remove NAME VALUE; without the first word, of the response. VALUE may have $host, $uri, $scheme, $remote_addr, $request_id. A [Route] with Header= has only its own.", "Header=set X-Frame-Options DENY")
CONF(SITE_REDIRECT, SITE, "Redirect", CONF_TYPE_REDIRECT, CONF_MANY | CONF_ROUTE | CONF_LINE, "", 0, 256, "", WHEN_RELOAD, "paths that are sent elsewhere",
	"CODE FROM TO: CODE is 301, 302, 303, 307 or 308; FROM is a path, PATH* for all that begins so (a * at the end of TO takes the rest), or ~REGEX with $1 to $9 in TO. TO is a path or a URL; the query is kept unless TO has one.", "Redirect=301 /old/* /new/*")
CONF(SITE_REWRITE, SITE, "Rewrite", CONF_TYPE_REWRITE, CONF_MANY | CONF_ROUTE | CONF_LINE, "", 0, 256, "", WHEN_RELOAD, "paths that are changed before they are answered",
	"REGEX TO: the first that matches changes path and query; the route stays. $1 to $9 in TO are the groups.", "Rewrite=^/v1/(.*)$ /api/$1")
CONF(SITE_BODY_BUFFER, SITE, "BodyBuffer", CONF_TYPE_BOOL, CONF_ROUTE, "yes", 0, 0, "", WHEN_RELOAD, "whether a body is received whole before a backend sees the request",
	"Keeps slow clients away from backends of To=. With no it is passed on as it comes.", "BodyBuffer=no")
CONF(SITE_RATE_LIMIT, SITE, "RateLimit", CONF_TYPE_RATE, CONF_ROUTE, "", 0, 0, "", WHEN_RELOAD, "how many requests one client may make",
	"N/s, N/min or N/h, then burst=N (as many may come at once; N when left out) and by=address (the default; of IPv6 the /64), by=site (all clients together) or by=header:NAME (each of its values; without the field by address). What is more is answered with 429 and Retry-After. A route without its own shares its site's; `off` takes that away.", "RateLimit=10/s burst=40")
CONF(SITE_CONNECTIONS_MAX, SITE, "ConnectionsMax", CONF_TYPE_INT, 0, "0", 0, 1000000, "connections", WHEN_RELOAD, "how many connections one address may hold",
	"Of IPv6 a /64 counts as one address. One more is answered with 503 and closed; the older ones stay. Proxies in TrustedProxies= are free of it. 0 takes the bound away.", "ConnectionsMax=100")
CONF(SITE_ALLOW, SITE, "Allow", CONF_TYPE_CIDR, CONF_MANY | CONF_ROUTE, "", 0, 16384, "networks", WHEN_RELOAD, "the only networks that are served",
	"Addresses or networks; everybody else gets 403. Where Allow= and Deny= both match, the longer prefix counts.", "Allow=10.0.0.0/8 2001:db8::/32")
CONF(SITE_DENY, SITE, "Deny", CONF_TYPE_CIDR, CONF_MANY | CONF_ROUTE, "", 0, 16384, "networks", WHEN_RELOAD, "networks that are not served",
	"They get 403.", "Deny=198.51.100.0/24")
CONF(SITE_BASIC_AUTH, SITE, "BasicAuth", CONF_TYPE_PATH, CONF_ROUTE | CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RELOAD, "a file of names and passwords that are asked for",
	"Lines NAME:HASH; HASH as crypt(5) writes it ($y$, $2b$, $6$): `mkpasswd` makes one. Relative to the app's folder.", "BasicAuth=users")
CONF(SITE_BASIC_AUTH_USER, SITE, "BasicAuthUser", CONF_TYPE_USER, CONF_MANY | CONF_ROUTE, "", 0, 4096, "users", WHEN_RELOAD, "one name and password that is asked for",
	"NAME:HASH, as in a line of the file that BasicAuth= names.", "BasicAuthUser=ann:$6$salt$3aEJgflnzWuw1O3tr0IYSmhUY0cZ7iBQeBP392T7RXjLP3TKKu3ddIapQaCpbD4p9ioeGaVIjOHaym7HvCuUm0")
CONF(SITE_FORWARD_AUTH, SITE, "ForwardAuth", CONF_TYPE_URL, CONF_ROUTE, "", 0, 1024, "", WHEN_RELOAD, "a server that is asked whether a request may pass",
	"It gets a GET with X-Forwarded-Method, -Uri and -Host, the cookies and Authorization; a status from 200 to 299 lets the request pass, every other answer is the client's.", "ForwardAuth=http://127.0.0.1:9091/verify")
CONF(SITE_COMPRESS, SITE, "Compress", CONF_TYPE_BOOL, CONF_ROUTE, "yes", 0, 0, "", WHEN_RELOAD, "whether texts are compressed",
	"With zstd, brotli or gzip, as the client takes it. no for pages that show secrets beside what a client sent (BREACH).", "Compress=no")
CONF(SITE_CACHE, SITE, "Cache", CONF_TYPE_SIZE, CONF_ROUTE, "off", 65536, 1099511627776, "bytes", WHEN_RELOAD, "how much memory answers are kept in",
	"Answers of apps and backends are kept and given again as RFC 9111 allows and they say themselves: Cache-Control, CDN-Cache-Control, Expires, Vary. All gates share one store, as large as the largest Cache= of the site; one answer may take a quarter of its route's. An answer with Set-Cookie is kept only with `public`, s-maxage or CDN-Cache-Control. Cache-Status tells what was done; `stead cache purge` forgets by URL or tag.", "Cache=64M")
CONF(SITE_CACHE_DISK, SITE, "CacheDisk", CONF_TYPE_SIZE, 0, "0", 0, 1099511627776, "bytes", WHEN_RELOAD, "how large a file answers are kept in, instead of memory",
	"The file lies in the state folder, is allocated whole, and outlives restarts. 0: in memory. Takes effect where Cache= is set.", "CacheDisk=2G")
CONF(SITE_TRUSTED_PROXIES, SITE, "TrustedProxies", CONF_TYPE_TRUSTED, CONF_MANY, "", 0, 1024, "networks", WHEN_RELOAD, "proxies whose word on the client's address counts",
	"From these networks X-Forwarded-For, -Proto and -Host are believed. `cloudflare` stands for that CDN's published networks; STATE/cloudflare.txt, a network a line, takes their place.", "TrustedProxies=10.0.0.1 cloudflare")
CONF(SITE_PROXY_PROTOCOL, SITE, "ProxyProtocol", CONF_TYPE_CIDR, CONF_MANY, "", 0, 1024, "networks", WHEN_RELOAD, "networks whose connections begin with a PROXY header",
	"Versions 1 and 2, of all sites together, because the header comes before any site is named. From these networks it is required: a connection without a whole and sound one within HeaderTimeoutSec= is closed. From others it is not looked for, and is a malformed request.", "ProxyProtocol=10.0.0.0/24")
CONF(SITE_MAINTENANCE, SITE, "Maintenance", CONF_TYPE_PATH, CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RELOAD, "the page that is shown while the site is in maintenance",
	"A file below Root=, or below the app's folder when there is no Root= (as root it must be below Root=); left out, the page of ErrorPage=503, or a built-in one. `stead maintenance on` shows it, with status 503 and Retry-After, for every request but those of Health=, when that is not /. Who asks for JSON is answered in JSON.", "Maintenance=maintenance.html")
CONF(SITE_CERTIFICATE, SITE, "Certificate", CONF_TYPE_PATH, CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RELOAD, "the site's certificate",
	"A PEM file: the certificate, then those between it and the authority. With it and CertificateKey= the site is served over TLS at ListenTls=. `stead reload` reads both again; no connection closes. Relative to the app's folder.", "Certificate=tls/fullchain.pem")
CONF(SITE_CERTIFICATE_KEY, SITE, "CertificateKey", CONF_TYPE_PATH, CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RELOAD, "the certificate's private key",
	"A PEM file without a password: RSA from 2048 bits on, EC on P-256, P-384 or P-521, or Ed25519. It is sealed for the process that signs, and no other keeps it. Nobody but its owner shall be able to read it (chmod 600).", "CertificateKey=tls/privkey.pem")
CONF(SITE_CERTIFICATE_CHAIN, SITE, "CertificateChain", CONF_TYPE_BASE64, CONF_MANY, "", 0, 16, "certificates", WHEN_RELOAD, "what was read from Certificate=",
	"DER in base64, an item each, its own first. Found by Certificate=; it is not meant to be written by hand.", "CertificateChain=MAA=")
CONF(SITE_CERTIFICATE_BOX, SITE, "CertificateBox", CONF_TYPE_BASE64, 0, "", 0, 0, "", WHEN_RELOAD, "what was read from CertificateKey=, sealed",
	"In base64: what the certificate and its key are known by, and the key as only the process that signs can read it. Found by CertificateKey=; it is not meant to be written by hand.", "CertificateBox=MAA=")
CONF(SITE_CERTIFICATE_INPUTS, SITE, "CertificateInputs", CONF_TYPE_BASE64, 0, "", 0, 0, "", WHEN_RELOAD, "by what files that have not changed are known",
	"In base64: SHA-256 of all that CertificateChain= and CertificateBox= were made of, when nothing was to be said of it; with the same again nothing is looked at anew. Found by Certificate=; it is not meant to be written by hand.", "CertificateInputs=MAA=")
CONF(SITE_HTTPS, SITE, "Https", CONF_TYPE_ENUM, 0, "auto", 0, 0, "auto own off", WHEN_RELOAD, "whether the site is served over TLS",
	"`auto`: with the certificate of Certificate=, or with one that stead gets by itself (AcmeEmail=), or with the one for local names (ListenTls=). `own`: with that of Certificate= only. `off`: not at all, also when there is one.", "Https=off")
CONF(SITE_CHALLENGE, SITE, "Challenge", CONF_TYPE_ENUM, 0, "auto", 0, 0, "auto http-01 tls-alpn-01 dns-01", WHEN_RELOAD, "how an authority sees that the site's names lead here",
	"When stead gets the certificate by itself (AcmeEmail=). `http-01`: the authority connects to port 80 of each name. `tls-alpn-01`: to port 443. `dns-01`: it asks for a TXT record, which the program of ChallengeHook= puts there. `auto`: to port 80; to port 443 when nobody answers at port 80 of a name. Wildcards are proved by DNS always.", "Challenge=tls-alpn-01")
CONF(SITE_HTTP, SITE, "Http", CONF_TYPE_ENUM, 0, "redirect", 0, 0, "redirect serve off", WHEN_RELOAD, "what becomes of requests that come unencrypted",
	"Once the site has a certificate. `redirect`: those for a name that the certificate is for are sent to https with 308, but not where a proxy of TrustedProxies= says that the client's own connection is encrypted, and never those for localhost, *.localhost, *.test and 127.0.0.1; the others are answered. `serve`: they are answered. `off`: they are refused with 403.", "Http=serve")
CONF(SITE_HSTS, SITE, "Hsts", CONF_TYPE_TIME, 0, "180d", 0, 94608000000, "ms", WHEN_RELOAD, "how long browsers ask for the site over TLS only",
	"Sent as Strict-Transport-Security over TLS, once the certificate is one that browsers trust; when it is written here, with any certificate. Never sent for local names. 0 is never.", "Hsts=365d")
CONF(SITE_PROTOCOLS, SITE, "Protocols", CONF_TYPE_LIST, CONF_MANY, "h1 h2", 0, 2, "words", WHEN_RELOAD, "the protocols that are spoken over TLS",
	"`h1` is HTTP/1.1, `h2` HTTP/2; the client chooses by ALPN.", "Protocols=h1")
CONF(SITE_KERNEL_TLS, SITE, "KernelTls", CONF_TYPE_ENUM, 0, "auto", 0, 0, "auto off", WHEN_RELOAD, "whether the kernel encrypts what is sent",
	"`auto`: where it can (kTLS: its module tls is loaded, as by `modprobe tls`, when a gate starts), and for the ciphers that it knows; files then go from the disk's cache to the network without a copy. `stead metrics` counts such connections (stead_tls_kernel_connections_total). What is received is decrypted by stead. `off`: never. A client that asks for new keys within a connection is cut off, and connects again. A change holds for new connections.", "KernelTls=off")
CONF(SITE_CLIENT_CA, SITE, "ClientCa", CONF_TYPE_PATH, CONF_SPECIFIERS | CONF_ROUTE, "", 0, 4095, "", WHEN_RELOAD, "whose certificates clients must show",
	"A PEM file of up to 32 certificates: authorities, or clients' own certificates. Over TLS the client is asked for a certificate, and who shows none that one of them vouches for gets 403 (what nginx answers with 400, and calls 495 and 496). Behind it the app sees who came: X-SSL-Client-Verify (SUCCESS, or NONE where it is optional), -S-DN, -I-DN, -Serial and -Fingerprint (SHA-256), and Client-Cert (RFC 9440); as CGI's variables SSL_CLIENT_VERIFY, _S_DN, _I_DN, _M_SERIAL and _FINGERPRINT. What a client sends by these names is taken away. A request that comes by another site's connection, or by one from before the file changed, gets 421, and browsers ask again. A [Route] has its own, or with an empty ClientCa= none. `stead reload` reads the file again. Relative to the app's folder.", "ClientCa=tls/clients.pem")
CONF(SITE_CLIENT_CA_CERTIFICATE, SITE, "ClientCaCertificate", CONF_TYPE_BASE64, CONF_MANY | CONF_ROUTE, "", 0, 32, "certificates", WHEN_RELOAD, "what was read from ClientCa=",
	"DER in base64, an item each. Found by ClientCa= and OriginPulls=; one that is written by hand counts as if it stood in that file.", "ClientCaCertificate=MAA=")
CONF(SITE_CLIENT_CERTIFICATE, SITE, "ClientCertificate", CONF_TYPE_ENUM, CONF_ROUTE, "required", 0, 0, "required optional", WHEN_RELOAD, "whether a client may do without a certificate",
	"With ClientCa=. `optional`: who shows none is served too, with X-SSL-Client-Verify: NONE; a wrong one is refused all the same.", "ClientCertificate=optional")
CONF(SITE_ORIGIN_PULLS, SITE, "OriginPulls", CONF_TYPE_ENUM, 0, "off", 0, 0, "off cloudflare", WHEN_RELOAD, "the content delivery network that alone may connect",
	"`cloudflare`: its Authenticated Origin Pulls, switched on for the zone: who does not show that network's certificate gets 403, so that nobody passes it by. The authority that is built in ends on 2029-11-01, and vouches for each of its customers; for a certificate of your own there, or a newer authority, write ClientCa= instead.", "OriginPulls=cloudflare")
CONF(SITE_PROFILE, SITE, "Profile", CONF_TYPE_STRING, 0, "", 0, 63, "bytes", WHEN_RELOAD, "the kind of certificate that is got by itself",
	"A profile of the authority of AcmeDirectory=, which says what it has when it has not this one; Let's Encrypt: `classic`, `tlsserver`, `shortlived`. Left out: its usual one, as from AcmeFallback= always. A change takes effect with the next certificate: `stead cert renew`.", "Profile=shortlived")
CONF(SITE_ON_DEMAND, SITE, "OnDemand", CONF_TYPE_URL, 0, "", 0, 1000, "bytes", WHEN_RELOAD, "who permits certificates for names that are not written in the configuration",
	"For a site that answers to more names than can be written down: one with a wildcard in Domain=, or without Domain=. When a client asks over TLS for a name that leads to the site and that none of its certificates is for, this URL is asked with ?domain=NAME behind it: 200 permits the name, every other answer and none within 5 s refuses it. For a permitted one a certificate is got like any other (AcmeEmail=); the client's handshake waits for it for up to 20 s. Only public host names are asked for; a site gets at most 20 new ones in a minute and 100 in an hour, and 2,000 in all. Such a certificate is renewed when its name was asked for in the second third of its life and the URL still permits it. It is https, or http at a loopback address. Its refusals are kept for a minute. Without it only names of the configuration get a certificate.", "OnDemand=http://127.0.0.1:8000/may-have-certificate")

/* [Route ARG] */
CONF(ROUTE_METHODS, ROUTE, "Methods", CONF_TYPE_METHOD, CONF_MANY, "", 0, 16, "methods", WHEN_RELOAD, "the methods that this route is for",
	"Left out: all. GET stands for HEAD too. A request with another method goes to the next route that fits: several sections of one path are tried in the order of the file, then shorter prefixes.", "Methods=GET POST")
CONF(ROUTE_MATCH_HEADER, ROUTE, "MatchHeader", CONF_TYPE_MATCH, CONF_LINE, "", 0, 0, "", WHEN_RELOAD, "the header field that this route is for",
	"NAME VALUE, or NAME alone for any value.", "MatchHeader=X-Version 2")
CONF(ROUTE_TO, ROUTE, "To", CONF_TYPE_TO, 0, "", 0, 1024, "", WHEN_RELOAD, "who answers",
	"`app`, `static` (files below Root=), the name of an [Upstream], or the URL of one server. Left out: static when the route has Root=, else app.", "To=http://127.0.0.1:9000")
CONF(ROUTE_STRIP_PREFIX, ROUTE, "StripPrefix", CONF_TYPE_BOOL, 0, "no", 0, 0, "", WHEN_RELOAD, "whether a backend sees the path without the route's",
	"With yes, [Route /api] passes /api/users on as /users.", "StripPrefix=yes")

/* [Upstream NAME] */
CONF(UPSTREAM_SERVER, UPSTREAM, "Server", CONF_TYPE_SERVER, CONF_MANY | CONF_LINE, "", 0, 64, "servers", WHEN_RELOAD, "a server that requests are passed to",
	"URL or unix:PATH, then weight=N (1 to 1000). http://HOST:PORT, https://HOST:PORT, or HOST:PORT; a name is looked up again when its time to live is over. The gates must be allowed to write to the socket: chmod 666 it, or give it the group stead-gate and chmod 660; when stead runs as root it must lie below /run/stead/backends.", "Server=http://10.0.0.2:8000 weight=2")
CONF(UPSTREAM_PROTOCOL, UPSTREAM, "Protocol", CONF_TYPE_ENUM, 0, "http", 0, 0, "http https fastcgi uwsgi", WHEN_RELOAD, "what the servers speak",
	"https verifies the server's certificate unless TlsVerify=no. fastcgi is what PHP-FPM speaks; it wants Root= too.", "Protocol=uwsgi")
CONF(UPSTREAM_BALANCE, UPSTREAM, "Balance", CONF_TYPE_ENUM, 0, "roundrobin", 0, 0, "roundrobin least hash", WHEN_RELOAD, "which server is chosen",
	"In turn by weight; the one with the fewest requests; or by a hash of the client's address.", "Balance=least")
CONF(UPSTREAM_STICKY, UPSTREAM, "Sticky", CONF_TYPE_TOKEN, 0, "", 0, 64, "", WHEN_RELOAD, "a cookie that keeps a client at its server",
	"The cookie's name; stead sets it.", "Sticky=backend")
CONF(UPSTREAM_CHECK, UPSTREAM, "Check", CONF_TYPE_STRING, 0, "off", 1, 1024, "", WHEN_RELOAD, "a path that is asked for to see whether a server works",
	"A status below 400 is good. `off`: only real requests show it.", "Check=/healthz")
CONF(UPSTREAM_CHECK_SEC, UPSTREAM, "CheckSec", CONF_TYPE_TIME, 0, "5s", 100, 3600000, "ms", WHEN_RELOAD, "how often it is asked",
	"For each server and gate.", "CheckSec=10s")
CONF(UPSTREAM_FAIL_MAX, UPSTREAM, "FailMax", CONF_TYPE_INT, 0, "3", 1, 1000, "failures", WHEN_RELOAD, "how many failures in a row take a server out",
	"It is tried again after a time that grows.", "FailMax=5")
CONF(UPSTREAM_RETRY, UPSTREAM, "Retry", CONF_TYPE_INT, 0, "1", 0, 10, "times", WHEN_RELOAD, "how often a request is tried at another server",
	"Only what may be repeated (GET, HEAD, OPTIONS, PUT, DELETE) and of whose answer nothing was sent.", "Retry=2")
CONF(UPSTREAM_KEEP_ALIVE, UPSTREAM, "KeepAlive", CONF_TYPE_INT, 0, "32", 0, 65536, "connections", WHEN_RELOAD, "how many idle connections are kept",
	"By each gate. More stay open for a second after their last answer, so that a load of more at once does not open one for each.", "KeepAlive=100")
CONF(UPSTREAM_SLOW_START, UPSTREAM, "SlowStartSec", CONF_TYPE_TIME, 0, "0", 0, 3600000, "ms", WHEN_RELOAD, "how long a server that came back is spared",
	"Its share grows from a tenth to the whole over this time.", "SlowStartSec=30s")
CONF(UPSTREAM_TLS_VERIFY, UPSTREAM, "TlsVerify", CONF_TYPE_BOOL, 0, "yes", 0, 0, "", WHEN_RELOAD, "whether a server's certificate is verified",
	"Against the system's authorities and the server's name.", "TlsVerify=no")

CONF(UPSTREAM_CONNECTIONS_MAX, UPSTREAM, "ConnectionsMax", CONF_TYPE_INT, 0, "0", 0, 65536, "connections", WHEN_RELOAD, "how many connections one server takes",
	"From all gates together, each of which has its share and lets further requests wait (Queue=). A server of Protocol=fastcgi gives a process to each connection: write how many it has (pm.max_children of PHP-FPM) and connections are kept between requests as long as you like. With 0, no bound, each is closed after a second, so that nobody waits for a process in vain.", "ConnectionsMax=5")
CONF(UPSTREAM_ROOT, UPSTREAM, "Root", CONF_TYPE_PATH, CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RELOAD, "with Protocol=fastcgi: the folder of the scripts",
	"Relative to the app's folder. A path that names a .php file there runs it, and what is behind the name is its PATH_INFO; other files of the folder are served as they are, but never the source of a script. What names neither a file nor a folder with Index= goes to the Index= of this folder. TryFiles= of the route says otherwise.", "Root=public")
CONF(UPSTREAM_DOCUMENT_ROOT, UPSTREAM, "DocumentRoot", CONF_TYPE_STRING, CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RELOAD, "with Protocol=fastcgi: the same folder as the backend sees it",
	"For a backend in a container; left out, it is Root=. Without a Root= every request runs the Index= of this folder, whose files stead need not see.", "DocumentRoot=/var/www/html")
CONF(UPSTREAM_INDEX, UPSTREAM, "Index", CONF_TYPE_STRING, 0, "index.php", 0, 255, "", WHEN_RELOAD, "with Protocol=fastcgi: the script of a folder",
	"`off` for a backend that runs no scripts: one program that answers every path, told as PATH_INFO.", "Index=app.php")

/* [Tcp NAME] */
CONF(TCP_LISTEN, TCP, "Listen", CONF_TYPE_ADDR, CONF_MANY, "", 0, 8, "addresses", WHEN_RELOAD, "the addresses whose connections are passed on",
	"ADDR:PORT, [ADDR6]:PORT, or :PORT for every IPv4 address. A reload opens and closes them; connections that are there live on.", "Listen=127.0.0.1:5433")
CONF(TCP_SERVER, TCP, "Server", CONF_TYPE_SERVER, CONF_MANY | CONF_LINE, "", 0, 64, "servers", WHEN_RELOAD, "a server that connections are passed to",
	"HOST:PORT or unix:PATH, then weight=N (1 to 1000). A name is looked up again when its time to live is over. A socket must be open to the gates, as with [Upstream].", "Server=10.0.0.2:5432 weight=2")
CONF(TCP_BALANCE, TCP, "Balance", CONF_TYPE_ENUM, 0, "roundrobin", 0, 0, "roundrobin least hash", WHEN_RELOAD, "which server is chosen",
	"In turn by weight; the one with the fewest connections; or by a hash of the client's address.", "Balance=least")
CONF(TCP_CHECK, TCP, "Check", CONF_TYPE_ENUM, 0, "off", 0, 0, "off connect", WHEN_RELOAD, "whether servers are tried to see if they are well",
	"`connect`: a connection is made and closed again. `off`: only real connections show it.", "Check=connect")
CONF(TCP_CHECK_SEC, TCP, "CheckSec", CONF_TYPE_TIME, 0, "5s", 100, 3600000, "ms", WHEN_RELOAD, "how often they are tried",
	"For each server and gate.", "CheckSec=10s")
CONF(TCP_FAIL_MAX, TCP, "FailMax", CONF_TYPE_INT, 0, "3", 1, 1000, "failures", WHEN_RELOAD, "how many failures in a row take a server out",
	"It is tried again after a time that grows.", "FailMax=5")
CONF(TCP_RETRY, TCP, "Retry", CONF_TYPE_INT, 0, "3", 0, 7, "times", WHEN_RELOAD, "how many other servers a connection is tried at",
	"Only before a byte was passed: a server that refuses or does not take the connection in time.", "Retry=1")
CONF(TCP_SLOW_START, TCP, "SlowStartSec", CONF_TYPE_TIME, 0, "0", 0, 3600000, "ms", WHEN_RELOAD, "how long a server that came back is spared",
	"Its share grows from a tenth to the whole over this time.", "SlowStartSec=30s")
CONF(TCP_CONNECT_TIMEOUT, TCP, "ConnectTimeoutSec", CONF_TYPE_TIME, 0, "5s", 100, 600000, "ms", WHEN_RELOAD, "how long a server may take to accept a connection",
	"Then the next one is tried.", "ConnectTimeoutSec=1s")
CONF(TCP_IDLE_TIMEOUT, TCP, "IdleTimeoutSec", CONF_TYPE_TIME, 0, "1h", 100, 2592000000, "ms", WHEN_RELOAD, "how long a connection may stay without a byte",
	"In both directions together. A client or a server that vanished is noticed by TCP itself.", "IdleTimeoutSec=10min")
CONF(TCP_SEND_PROXY, TCP, "SendProxy", CONF_TYPE_ENUM, 0, "off", 0, 0, "off v1 v2", WHEN_RELOAD, "whether servers are told the client's address",
	"With a PROXY header of that version before the first byte; the server must expect it.", "SendProxy=v2")

/* [Python] */
CONF(PYTHON_WSGI, PYTHON, "Wsgi", CONF_TYPE_WSGI, CONF_DETECT, "", 1, 512, "", WHEN_RESTART, "the app as MODULE:OBJECT",
	"OBJECT is a WSGI callable of the module, or a function that makes one, written with (): MODULE:create_app(). Left out, it is found by importing the folder's likely modules.", "Wsgi=app:app")
CONF(PYTHON_ASGI, PYTHON, "Asgi", CONF_TYPE_WSGI, CONF_DETECT, "", 1, 512, "", WHEN_RESTART, "the app as MODULE:OBJECT",
	"Instead of Wsgi=, for an app of ASGI 3: FastAPI, Starlette, Quart, Django's asgi.py, or any coroutine function of (scope, receive, send). WebSockets come to it as well. With the uvloop package in its environment that is its event loop.", "Asgi=main:app")
CONF(PYTHON_PATH, PYTHON, "Path", CONF_TYPE_PATH, CONF_MANY | CONF_DETECT | CONF_SPECIFIERS, ".", 0, 16, "folders", WHEN_RESTART, "folders that modules are imported from",
	"Put at the front of sys.path, in this order. Relative to the app's folder.", "Path=src")
CONF(PYTHON_INTERPRETER, PYTHON, "Interpreter", CONF_TYPE_PATH, CONF_DETECT | CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RESTART, "the Python that runs the app",
	"Left out: the virtual environment's, else python3 of the system.", "Interpreter=/usr/bin/python3.11")
CONF(PYTHON_VENV, PYTHON, "Venv", CONF_TYPE_PATH, CONF_DETECT | CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RESTART, "the app's virtual environment",
	"Left out: venv, .venv or env in the folder; else one is made in the state folder when a requirements file asks for packages that the system's Python lacks.", "Venv=.venv")
CONF(PYTHON_REQUIREMENTS, PYTHON, "Requirements", CONF_TYPE_PATH, CONF_DETECT | CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RESTART, "the packages to install before the start",
	"A requirements file, or pyproject.toml: what [project] lists under dependencies. Found only when the packages that it names are not there yet.", "Requirements=requirements/live.txt")
CONF(PYTHON_WORKERS, PYTHON, "Workers", CONF_TYPE_SPAN, 0, "cores", 1, 256, "processes", WHEN_RESTART, "how many processes run the app",
	"`cores` is one for each processor core. With MIN:MAX there are more while requests wait (50 ms and longer, for a second), by half of those that there are, and fewer again, a quarter at a time, when the rest would have been enough for 30 s; more often than that only up.", "Workers=2:8")
CONF(PYTHON_THREADS, PYTHON, "Threads", CONF_TYPE_INT, 0, "1", 1, 64, "threads", WHEN_RESTART, "how many requests one process runs at once",
	"With more than 1 the app must be safe to run in several threads. For an app of Wsgi=; one of Asgi= has Concurrency=.", "Threads=8")
CONF(PYTHON_CONCURRENCY, PYTHON, "Concurrency", CONF_TYPE_INT, 0, "512", 1, 8000, "requests", WHEN_RESTART, "how many requests one process of an ASGI app runs at once",
	"What is more waits in the site's queue. Open WebSockets do not count.", "Concurrency=100")
CONF(PYTHON_WEBSOCKET_MAX, PYTHON, "WebSocketMax", CONF_TYPE_SIZE, 0, "16M", 1024, 1073741824, "bytes", WHEN_RESTART, "how large a WebSocket's message may be",
	"A larger one closes its WebSocket with code 1009. Of a compressed one counts what it unfolds to.", "WebSocketMax=1M")
CONF(PYTHON_MAX_REQUESTS, PYTHON, "MaxRequests", CONF_TYPE_INT, 0, "0", 0, 1000000000, "requests", WHEN_RESTART, "how many requests a worker runs before it is replaced",
	"Each worker's own limit lies up to a fifth below, so that they do not come to it together; and they are replaced one after the other, each by a new one that is ready before the old one finishes what it has. 0: no limit.", "MaxRequests=10000")
CONF(PYTHON_LIFETIME, PYTHON, "LifetimeSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RESTART, "how old a worker becomes before it is replaced",
	"Spread and replaced as by MaxRequests=. 0: no limit.", "LifetimeSec=12h")
CONF(PYTHON_RSS_MAX, PYTHON, "RssMax", CONF_TYPE_SIZE, 0, "0", 0, 1099511627776, "bytes", WHEN_RESTART, "how much memory a worker may hold before it is replaced",
	"Resident memory as the kernel counts it, shared pages included, looked at each second; it is replaced as by MaxRequests=, and not before it has been up for 5 s. 0: no limit.", "RssMax=300M")
CONF(PYTHON_IDLE_STOP, PYTHON, "IdleStopSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RELOAD, "how long the app runs without a request",
	"Then its workers end, and the next request starts them again and waits for them, as long as QueueTimeoutSec= lets it. 0: they never end.", "IdleStopSec=15min")

/* [Php] */
CONF(PHP_ROOT, PHP, "Root", CONF_TYPE_PATH, CONF_DETECT | CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RESTART, "the folder of the PHP app's scripts",
	"Relative to the app's folder. A path that names a .php file there runs it, and what is behind the name is its PATH_INFO; other files are served as they are, but never the source of a script. What names neither a file nor a folder with Index= goes to the Index= of this folder, unless TryFiles= says otherwise. Left out, it is found by its index.php: public, web, the folder itself, htdocs, www or html.", "Root=public")
CONF(PHP_INDEX, PHP, "Index", CONF_TYPE_STRING, 0, "index.php", 1, 255, "", WHEN_RELOAD, "the script of a folder",
	"And, in Root=, of all that names nothing there.", "Index=app.php")
CONF(PHP_FPM, PHP, "Fpm", CONF_TYPE_PATH, CONF_DETECT | CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RESTART, "the PHP-FPM that runs the app",
	"Left out: the newest php-fpm of the system. It runs as the app's user, with a configuration of stead's in the state folder; php.ini is the system's.", "Fpm=/usr/sbin/php-fpm8.2")
CONF(PHP_WORKERS, PHP, "Workers", CONF_TYPE_SPAN, 0, "2:8", 1, 256, "processes", WHEN_RESTART, "how many processes run scripts",
	"Each runs one at a time, and a script that waits for others needs one all the while; so there are more than cores. With MIN:MAX they follow the load. Further requests wait (Queue=).", "Workers=4:32")
CONF(PHP_MAX_REQUESTS, PHP, "MaxRequests", CONF_TYPE_INT, 0, "0", 0, 1000000000, "requests", WHEN_RESTART, "how many requests a process runs before it is replaced",
	"For extensions that lose memory. 0: no limit.", "MaxRequests=1000")
CONF(PHP_LIFETIME, PHP, "LifetimeSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RESTART, "how old the pool becomes before it is replaced",
	"By a new one that is ready before the old one finishes what it has. 0: no limit.", "LifetimeSec=1d")
CONF(PHP_IDLE_STOP, PHP, "IdleStopSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RESTART, "how long a process without a request stays",
	"Then processes are started as requests come, and the last ends when so long none came; MIN of Workers= does not count. 0: they stay.", "IdleStopSec=5min")
CONF_LATER_KEY(PHP, "Threads")
CONF_LATER_KEY(PHP, "RssMax")

/* [Deploy] */
CONF(DEPLOY_KEEP, DEPLOY, "Keep", CONF_TYPE_INT, 0, "5", 1, 100, "releases", WHEN_UP, "how many releases are kept",
	"The one that serves is one of them. `stead rollback` goes back to any that is kept.", "Keep=3")
CONF_LATER_KEY(DEPLOY, "To")
CONF(DEPLOY_DRAIN, DEPLOY, "DrainSec", CONF_TYPE_TIME, 0, "30s", 1000, 3600 * 1000, "", WHEN_RELOAD, "how long requests of what was replaced may go on",
	"Behind a deploy, rollback, restart or reload, or when a process has lived long enough: the processes from before get nothing new and end what they run. A request that runs longer is ended: the client gets 504 (`app_drained` in the logs), or, when its answer had begun, a cut connection. RequestTimeoutSec= ends it sooner where it is less. Whole seconds; a part of one counts as one.", "DrainSec=2min")
CONF(DEPLOY_WEBSOCKET_DRAIN, DEPLOY, "WebSocketDrainSec", CONF_TYPE_TIME, 0, "5min", 0, 12 * 3600 * 1000, "", WHEN_RELOAD, "how long WebSockets of what was replaced live on",
	"So long a process that was replaced stays for the sake of its WebSockets and other upgrades; no shorter than DrainSec= while requests run. Clients are told 5 s before the end (1001), so they come back to the new release; a program of [Service] tells its clients itself, when it gets its KillSignal= at the end. Of each worker three that were replaced by deploys may live at once, and one that was by restarts: the next replacement ends the oldest in the same way. `stead stop` waits for requests only. All of them count in the app's MemoryMax=. A program that cannot run beside itself (a fixed port) ends with its requests.", "WebSocketDrainSec=1h")

/* [Postgres] */
CONF(POSTGRES_ENABLED, POSTGRES, "Enabled", CONF_TYPE_ENUM, CONF_DETECT, "auto", 0, 0, "auto yes no", WHEN_UP, "whether the app has a database",
	"`auto`: yes when the app imports or requires a driver of PostgreSQL.", "Enabled=yes")
CONF(POSTGRES_DATABASE, POSTGRES, "Database", CONF_TYPE_DBNAME, CONF_DETECT, "", 1, 63, "", WHEN_UP, "the database's name, and its role's",
	"Left out: the app's name, with _ for each -.", "Database=shop")
CONF(POSTGRES_CONNECTIONS_MAX, POSTGRES, "ConnectionsMax", CONF_TYPE_INT, 0, "20", 1, 1000, "connections", WHEN_UP, "how many connections the app may hold",
	"The role's limit in PostgreSQL.", "ConnectionsMax=50")
CONF(POSTGRES_MIGRATE, POSTGRES, "Migrate", CONF_TYPE_CMD, CONF_LINE, "", 0, 0, "", WHEN_UP, "the program that brings the database to what the new release needs",
	"`stead deploy` runs it once, with the new release's code and environment, before that is asked anything. When it does not end with status 0 the deploy has failed, and the release before serves on: so it has to leave a database that both can work with.", "Migrate=flask db upgrade")
CONF_LATER_KEY(POSTGRES, "Cluster")
CONF_LATER_KEY(POSTGRES, "Extensions")
CONF_LATER_KEY(POSTGRES, "Url")
CONF_LATER_KEY(POSTGRES, "StatementTimeoutSec")
CONF_LATER_KEY(POSTGRES, "IdleTimeoutSec")
CONF_LATER_KEY(POSTGRES, "Pool")
CONF_LATER_KEY(POSTGRES, "MigrateLockTimeoutSec")
CONF_LATER_KEY(POSTGRES, "Backup")
CONF_LATER_KEY(POSTGRES, "BackupKeep")
CONF_LATER_KEY(POSTGRES, "BackupTo")
CONF_LATER_KEY(POSTGRES, "Drill")
CONF_LATER_KEY(POSTGRES, "WalMax")

/* [Alert] */
CONF(ALERT_MAIL, ALERT, "Mail", CONF_TYPE_LIST, CONF_MANY, "", 0, 8, "addresses", WHEN_RELOAD, "who is told by mail of what needs a person",
	"An app that does not come up or crashes again and again, a certificate that cannot be got or ends soon, a database that dies, a disk that is full, of bytes or of files: each is told once while it lasts, and when it is over. At most 10 mails an hour go out; what comes meanwhile waits and goes as one. What cannot be sent is tried again with growing pauses, for three days, also over restarts. The operator's file is told of everything; a deployed app's own file is told besides of what is about that app. `stead alert test` tries it.", "Mail=admin@example.org")
CONF(ALERT_WEBHOOK, ALERT, "Webhook", CONF_TYPE_LIST, CONF_MANY, "", 0, 8, "URLs", WHEN_RELOAD, "URLs that get the same by POST",
	"https:// (http:// to this machine only). The body is JSON: version, id, host, and alerts, a list of the log's records, each with its state: raised or resolved. An answer other than 2xx is tried again as mail is; the id, also in Idempotency-Key, stays the same.", "Webhook=https://hooks.example.org/stead")
CONF(ALERT_SMTP, ALERT, "Smtp", CONF_TYPE_STRING, 0, "smtp://127.0.0.1:25", 1, 1000, "bytes", WHEN_RELOAD, "the mail server that mails are handed to",
	"smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://. To another machine, or with a password, only encrypted (STARTTLS), with the server's certificate verified.", "Smtp=smtp://alerts:secret@mail.example.org:587")
CONF(ALERT_FROM, ALERT, "From", CONF_TYPE_STRING, 0, "", 0, 254, "bytes", WHEN_RELOAD, "whom mails come from",
	"Left out: stead@ and the machine's name.", "From=stead@example.org")

/* [Server] */
CONF(SERVER_LISTEN, SERVER, "Listen", CONF_TYPE_ADDR, CONF_MANY, "127.0.0.1:8080", 1, 16, "addresses", WHEN_UP, "the addresses to listen on",
	"ADDR:PORT, [ADDR6]:PORT, or :PORT for every IPv4 address; port 0 takes a free one. `stead up --http` comes before it.", "Listen=0.0.0.0:80 [::]:80")
CONF(SERVER_LISTEN_TLS, SERVER, "ListenTls", CONF_TYPE_ADDR, CONF_MANY, "127.0.0.1:8443", 0, 16, "addresses", WHEN_RELOAD, "the addresses to listen on for TLS",
	"As Listen=. The default is tried, and left out when somebody else has it or there is no certificate; an empty value: nowhere. `stead up --https` comes before it. Where all of them are this machine's own, or nobody wrote them, sites without a certificate are served with one for localhost, 127.0.0.1, ::1 and those of their names that end in .localhost or .test; it is of an authority of yours alone, which browsers believe after `stead cert trust`.", "ListenTls=0.0.0.0:443 [::]:443")
CONF(SERVER_GATES, SERVER, "Gates", CONF_TYPE_COUNT, 0, "cores", 1, 60, "processes", WHEN_RELOAD, "how many processes speak to clients",
	"`cores` is one for each processor core; with one or two cores it is one, because the apps need the other.", "Gates=2")
CONF(SERVER_DRAIN_MAX, SERVER, "DrainMaxSec", CONF_TYPE_TIME, 0, "1h", 0, 7 * 86400 * 1000ull, "", WHEN_RELOAD, "how long tunnels of a gate that leaves may live on",
	"Of a gate that was replaced by an upgrade of stead, or is too many since a reload lowered Gates=: WebSockets, other upgrades and connections of [Tcp] go on until they end by themselves, at most so long; a reload with a lower value holds for those that leave already. Beside each gate up to 7 older ones may leave at once (fewer when Gates= is above 7): a further upgrade is refused until one has ended. Clients of an app's WebSockets are told 5 s before (1001). Requests have 30 s, or this where it is less. `stead stop` waits no longer than 5 s for anybody.", "DrainMaxSec=10min")
CONF(SERVER_LOG_TO, SERVER, "LogTo", CONF_TYPE_ENUM, 0, "off", 0, 0, "off journald syslog", WHEN_RELOAD, "where records go besides stead's own files",
	"`journald`: each record with its members as fields (`journalctl -t stead`, STEAD_KIND=access). `syslog`: RFC 5424 over /dev/log, with the record as message. Nobody waits for either: what is not taken at once is lost there, and counted by LOG_DROPPED; the files have it.", "LogTo=journald")
CONF(SERVER_LOG_MAX, SERVER, "LogMax", CONF_TYPE_SIZE, 0, "200M", 10485760, 1099511627776, "bytes", WHEN_RELOAD, "how much of the disk the records may take",
	"Access records, the apps' output and events together, in five files of a fifth each; the oldest goes when the newest is full. A smaller value lets the oldest go at once.", "LogMax=1G")
CONF(SERVER_METRICS, SERVER, "Metrics", CONF_TYPE_LOCAL, 0, "off", 0, 0, "", WHEN_RELOAD, "the local address that Prometheus reads at",
	"GET /metrics there gives what `stead metrics` prints. The address is one of this machine (127.0.0.1, [::1]); everybody on it may read.", "Metrics=127.0.0.1:9145")
CONF(SERVER_ALLOW_USERS, SERVER, "AllowUsers", CONF_TYPE_ACCOUNT, CONF_MANY, "", 0, 32, "", WHEN_RELOAD, "accounts that apps may run as with User=",
	"In /etc/stead/stead.conf alone, which must be root's, and read again at each reload and each deploy; what runs already goes on. An app that runs as such an account can do what the account can: read its files, and what its groups may. Never root, an account of stead's own, of another app or the database's.", "AllowUsers=www-data deploy")
CONF(SERVER_SITES, SERVER, "Sites", CONF_TYPE_PATH, CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RELOAD, "a folder of sites without a folder of their own",
	"Each NAME.conf in it is a site, with [Site], [Route PATH] and [Upstream NAME]: files, redirects, other servers, and no app. Its paths are relative to that folder; its name is the file's unless Name= says another. A file that is wrong is told, and its last good version serves on; a name in Domain= belongs to the first of two files that claim it. Relative to the app's folder.", "Sites=sites")
CONF_LATER_KEY(SERVER, "Address")
CONF(SERVER_ACME_EMAIL, SERVER, "AcmeEmail", CONF_TYPE_STRING, 0, "", 0, 254, "bytes", WHEN_RELOAD, "get certificates by itself, with this address for the authority's mails",
	"With it you agree to the terms of the authority of AcmeDirectory= (Let's Encrypt: https://letsencrypt.org/repository/); `stead up` in a terminal, `stead up --yes` and `stead cert agree` do the same without an address. Each site with public names in Domain= and Alias=, without Certificate= and with Https=auto gets a certificate, which is renewed when a third of its life is left. The authority connects to port 80 or 443 of each name (Challenge=), so Listen= or ListenTls= needs it; wildcards need ChallengeHook=, and are left out without it. `stead cert list` shows them.", "AcmeEmail=admin@example.org")
CONF(SERVER_CHALLENGE_HOOK, SERVER, "ChallengeHook", CONF_TYPE_CMD, CONF_LINE, "", 0, 0, "", WHEN_RELOAD, "the program that puts a TXT record into DNS that is hosted elsewhere, and takes it away",
	"For Challenge=dns-01 and for names with a wildcard. It runs as the app's user, with the app's environment, and gets three more arguments: `present` or `cleanup`, the record's name with a dot at its end (_acme-challenge.example.org.), and its text. `present` adds the record beside others of that name, and ends with 0 when it is there; any other end, or none within 2 minutes, fails the order. Then each name server of the zone is asked for it, up to 10 minutes long, before the authority is told to look. What it prints is in `stead logs`. One runs at a time.", "ChallengeHook=/usr/local/bin/dns-record --provider example")
CONF(SERVER_ACME_DIRECTORY, SERVER, "AcmeDirectory", CONF_TYPE_URL, 0, "https://acme-v02.api.letsencrypt.org/directory", 1, 1000, "bytes", WHEN_RELOAD, "the authority that certificates are got from",
	"The URL of its ACME directory (RFC 8555). Its own certificate must be of an authority that this machine trusts. The default is Let's Encrypt.", "AcmeDirectory=https://acme-staging-v02.api.letsencrypt.org/directory")
CONF(SERVER_ACME_FALLBACK, SERVER, "AcmeFallback", CONF_TYPE_URL, 0, "", 0, 1000, "bytes", WHEN_RELOAD, "the authority that is asked when the first one fails",
	"As AcmeDirectory=. It is asked at once when that one cannot be reached, is in trouble, or has given out too many, and in turn with it when a certificate could not be got twice. With it you agree to its terms too. Each of the two is left alone for a growing time when it fails: 1, 10, 100 minutes, then a day.", "AcmeFallback=https://acme.zerossl.com/v2/DV90")
CONF(SERVER_ACME_STAGING, SERVER, "AcmeStaging", CONF_TYPE_URL, 0, "", 0, 1000, "bytes", WHEN_RELOAD, "where the authority lets others try",
	"The URL of a directory whose certificates nobody believes, with limits of its own. Behind a failure the next try is made there first, and at AcmeDirectory= only when it went well, so that what is still wrong costs none of the authority's limits. Left out: Let's Encrypt's own, when AcmeDirectory= is Let's Encrypt.", "AcmeStaging=https://acme-staging-v02.api.letsencrypt.org/directory")
CONF(SERVER_ACME_CHAIN, SERVER, "AcmeChain", CONF_TYPE_STRING, 0, "", 0, 200, "bytes", WHEN_RELOAD, "the root that certificates shall lead to",
	"The common name of the issuer of the chain's last certificate, as some authorities offer several. When none leads there the usual one is taken.", "AcmeChain=ISRG Root X1")
CONF(SERVER_ACME_EAB_KID, SERVER, "AcmeEabKid", CONF_TYPE_STRING, 0, "", 0, 200, "bytes", WHEN_RELOAD, "who you are to an authority that has customers",
	"The key identifier that its customer desk gave (external account binding, RFC 8555 section 7.3.4), with AcmeEabKey=. It is used at the authority that asks for one, when the account is made there.", "AcmeEabKid=kid-1")
CONF(SERVER_ACME_EAB_KEY, SERVER, "AcmeEabKey", CONF_TYPE_PATH, CONF_SPECIFIERS, "", 0, 4095, "", WHEN_RELOAD, "the file with that customer's key",
	"What its customer desk gave as HMAC key, in base64url. It is sealed for the process that signs, and no other keeps it. Nobody but its owner shall be able to read the file (chmod 600). Relative to the app's folder.", "AcmeEabKey=acme.key")
CONF(SERVER_ACME_EAB_BOX, SERVER, "AcmeEabBox", CONF_TYPE_BASE64, 0, "", 0, 0, "", WHEN_RELOAD, "what was read from AcmeEabKey=, sealed",
	"In base64: what the key is known by, and the key as only the process that signs can read it. Found by AcmeEabKey=; it is not meant to be written by hand.", "AcmeEabBox=MAA=")
CONF_LATER_KEY(SERVER, "DnsListen")
CONF_LATER_KEY(SERVER, "Resolver")

/* [Service] */
#include "config_service.h"
#include "config_noted.h"

/* [Worker NAME]: the same names and meaning */
CONF(WORKER_EXEC_START, WORKER, "ExecStart", CONF_TYPE_CMD, CONF_LINE, "", 0, 0, "", WHEN_RESTART, "the program",
	"A command line as [Service] has it. It runs as the app's user, in its folder, with its environment and STEAD_PROGRAM=NAME, once the site is live; what it prints is in `stead logs`. When it ends, however, it is started again, with growing pauses. `stead restart` and a changed line end it before the new one starts. stead has no queue of its own: a table in PostgreSQL and SELECT ... FOR UPDATE SKIP LOCKED is one.", "ExecStart=venv/bin/python mail.py")
CONF(WORKER_WORKERS, WORKER, "Workers", CONF_TYPE_COUNT, 0, "1", 1, 256, "processes", WHEN_RESTART, "how many times the program runs",
	"", "Workers=2")
CONF(WORKER_TIMEOUT_STOP, WORKER, "TimeoutStopSec", CONF_TYPE_TIME, 0, "10s", 0, 86400000, "ms", WHEN_RESTART, "how long the program may take to end",
	"From KillSignal= on; then it is killed with all that it started.", "TimeoutStopSec=1min")
CONF(WORKER_KILL_SIGNAL, WORKER, "KillSignal", CONF_TYPE_ENUM, 0, "SIGTERM", 0, 0, "SIGTERM SIGINT SIGQUIT SIGHUP SIGUSR1 SIGUSR2 SIGWINCH SIGKILL TERM INT QUIT HUP USR1 USR2 WINCH KILL", WHEN_RESTART, "the signal that asks the program to end",
	"", "KillSignal=SIGINT")
CONF(WORKER_KILL_MODE, WORKER, "KillMode", CONF_TYPE_ENUM, 0, "control-group", 0, 0, "control-group mixed process", WHEN_RESTART, "who gets KillSignal=",
	"As in [Service].", "KillMode=mixed")
CONF(WORKER_LIFETIME, WORKER, "LifetimeSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RESTART, "how old the program becomes before it is started anew",
	"0: no limit.", "LifetimeSec=1d")
CONF(WORKER_RSS_MAX, WORKER, "RssMax", CONF_TYPE_SIZE, 0, "0", 0, 1099511627776, "bytes", WHEN_RESTART, "how much memory the program may hold before it is started anew",
	"0: no limit.", "RssMax=500M")

CONF_REFUSED_KEY(WORKER, "Threads", "the program answers no requests", "take it out")
CONF_REFUSED_KEY(WORKER, "MaxRequests", "the program answers no requests", "write LifetimeSec= or RssMax=")
CONF_REFUSED_KEY(WORKER, "IdleStopSec", "nobody but the program knows whether it has something to do", "take it out; [Timer NAME] runs a program at times, and not between them")
CONF_REFUSED_KEY(WORKER, "Listen", "the program answers no requests", "write it in [Service]: one program answers the site")
CONF_REFUSED_KEY(TIMER, "Type", "each run is over when the program ends", "take it out")
CONF_REFUSED_KEY(TIMER, "WatchdogSec", "each run ends by itself", "let timeout(1) end it in ExecStart=")
CONF_REFUSED_KEY(TIMER, "Restart", "a run that failed is over, and the next one comes at its time", "write [Worker NAME] for a program that runs always")
CONF_REFUSED_KEY(WORKER, "Environment", "it has the app's environment", "write it in [Service]")
CONF_REFUSED_KEY(WORKER, "EnvironmentFile", "it has the app's environment", "write it in [Service]")
CONF_REFUSED_KEY(WORKER, "WorkingDirectory", "it runs in the app's folder", "write it in [Service], for the app and all its programs")

/* [Timer NAME]: as in systemd's timer units, with the program in the same section */
CONF(TIMER_EXEC_START, TIMER, "ExecStart", CONF_TYPE_CMD, CONF_LINE, "", 0, 0, "", WHEN_RESTART, "the program",
	"A command line as [Service] has it; it runs once each time, as [Worker]'s programs do, with STEAD_PROGRAM=NAME and STEAD_RUN=N, a number that is never given twice. It never overlaps: what comes due while it runs is left out. `stead status` shows the last run, how it ended, and the next.", "ExecStart=venv/bin/python report.py")
CONF(TIMER_ON_CALENDAR, TIMER, "OnCalendar", CONF_TYPE_CALENDAR, CONF_MANY | CONF_LINE, "", 0, 16, "", WHEN_RELOAD, "when it runs, by the calendar",
	"As in systemd.time(7): Mon..Fri *-*-* 9..17:00, *:0/15, *-*~1 (the month's last day), daily, weekly; a time zone's name may stand at the end, else it is the machine's local time. A local time that the clock skips in spring does not come on that day.", "OnCalendar=Mon..Fri 06:30 Europe/Berlin")
CONF(TIMER_ON_UNIT_ACTIVE, TIMER, "OnUnitActiveSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RELOAD, "how long after the last run began it runs again",
	"The first time as long after the site went live, unless OnActiveSec= or OnCalendar= comes before. 0: off.", "OnUnitActiveSec=15min")
CONF(TIMER_ON_UNIT_INACTIVE, TIMER, "OnUnitInactiveSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RELOAD, "how long after the last run ended it runs again",
	"The first time as with OnUnitActiveSec=. 0: off.", "OnUnitInactiveSec=1min")
CONF(TIMER_ON_ACTIVE, TIMER, "OnActiveSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RELOAD, "how long after the site went live it runs once",
	"0: off.", "OnActiveSec=30s")
CONF(TIMER_PERSISTENT, TIMER, "Persistent", CONF_TYPE_BOOL, 0, "no", 0, 0, "", WHEN_RELOAD, "whether a run that OnCalendar= missed while stead was down is made up for",
	"Once, at the start, however many were missed.", "Persistent=yes")
CONF(TIMER_RANDOMIZED_DELAY, TIMER, "RandomizedDelaySec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RELOAD, "up to how much later it runs, by chance",
	"Chosen anew for each run.", "RandomizedDelaySec=5min")

CONF_REFUSED_KEY(TIMER, "Workers", "runs never overlap", "write another [Timer NAME]")
CONF_REFUSED_KEY(TIMER, "LifetimeSec", "the program ends by itself", "let it end itself, for example by timeout(1) in ExecStart=")
CONF_REFUSED_KEY(TIMER, "Unit", "the program stands in the same section", "write ExecStart=")

/* [Unit], [Install] */
CONF(UNIT_START_LIMIT_INTERVAL, UNIT, "StartLimitIntervalSec", CONF_TYPE_TIME, 0, "", 0, 2592000000, "ms", WHEN_RESTART, "in what time StartLimitBurst= starts are allowed",
	"As in [Service].", "StartLimitIntervalSec=1min")
CONF(UNIT_START_LIMIT_OLD, UNIT, "StartLimitInterval", CONF_TYPE_TIME, 0, "", 0, 2592000000, "ms", WHEN_RESTART, "in what time StartLimitBurst= starts are allowed",
	"As in [Service].", "StartLimitInterval=1min")
CONF(UNIT_START_LIMIT_BURST, UNIT, "StartLimitBurst", CONF_TYPE_INT, 0, "", 0, 1000000, "starts", WHEN_RESTART, "how many starts are allowed in StartLimitIntervalSec=",
	"As in [Service].", "StartLimitBurst=3")
