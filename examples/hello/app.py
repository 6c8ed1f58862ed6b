"""The smallest app: plain WSGI (PEP 3333), nothing to install, no database."""


def application(environ, start_response):
    body = b"Hello from " + environ.get("PATH_INFO", "/").encode("latin-1") + b"\n"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
