"""A guestbook: people leave their name and a message, PostgreSQL keeps them.

Runs under any WSGI server. From the environment it takes DATABASE_URL (or libpq's PGHOST, PGUSER,
PGDATABASE) and SECRET_KEY, which signs the session's cookie; `stead up` gives both.
"""

import hmac
import os
import re
import secrets
import threading
import time

import psycopg2
from flask import Flask, flash, redirect, render_template, request, session, url_for

NAME_MAX = 80
MESSAGE_MAX = 1000
PAGE = 10
DATABASE_WAIT_SEC = 5

app = Flask(__name__)
app.config.update(
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(32),
    MAX_CONTENT_LENGTH=64 * 1024,
    SESSION_COOKIE_SAMESITE="Lax",
)

# --- the database -----------------------------------------------------------------------------------

SCHEMA = """
    -- Several workers may come here at once, and CREATE TABLE IF NOT EXISTS alone can still collide.
    SELECT pg_advisory_xact_lock(hashtext('guestbook schema'));
    CREATE TABLE IF NOT EXISTS entry (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        form text NOT NULL UNIQUE,
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
        message text NOT NULL CHECK (length(message) BETWEEN 1 AND 1000),
        written timestamptz NOT NULL DEFAULT now()
    );
"""

local = threading.local()  # a connection belongs to one thread


def connect():
    """A new connection with the table in place. Waits a little for a server that is starting."""
    give_up = time.monotonic() + DATABASE_WAIT_SEC
    while True:
        try:
            connection = psycopg2.connect(os.environ.get("DATABASE_URL", ""), connect_timeout=5)
            with connection, connection.cursor() as cursor:
                cursor.execute(SCHEMA)
            return connection
        except psycopg2.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def query(sql, values=()):
    """Runs one statement in its own transaction and returns its rows.

    When the server went away, it is run once more on a new connection. So each statement that comes
    here must have the same effect when it runs twice.
    """
    for attempt in (1, 2):
        if getattr(local, "connection", None) is None:
            local.connection = connect()
        try:
            with local.connection as connection, connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else []
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            local.connection.close()
            local.connection = None
            if attempt == 2:
                raise


def entries(page):
    """One page of entries, the newest first, and whether there are older ones."""
    rows = query("SELECT id, name, message, written AT TIME ZONE 'UTC' FROM entry ORDER BY id DESC "
                 "LIMIT %s OFFSET %s", (PAGE + 1, (page - 1) * PAGE))
    keys = ("id", "name", "message", "written")
    return [dict(zip(keys, row)) for row in rows[:PAGE]], len(rows) > PAGE


def add_entry(form, name, message):
    """Keeps an entry. A form that comes twice (a second click, a repeated statement) is kept once."""
    query("INSERT INTO entry (form, name, message) VALUES (%s, %s, %s) ON CONFLICT (form) DO NOTHING",
          (form, name, message))


# --- the form ---------------------------------------------------------------------------------------

def csrf_token():
    """The token of this visitor's session; a form without it came from another site."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(16)
    return session["csrf"]


def check_entry(name, message):
    """What is wrong with an entry, by field. Empty when it is right."""
    wrong = {}
    if not name:
        wrong["name"] = "Please tell us your name."
    elif len(name) > NAME_MAX:
        wrong["name"] = f"A name has at most {NAME_MAX} characters; this one has {len(name)}."
    if not message:
        wrong["message"] = "Please write a message."
    elif len(message) > MESSAGE_MAX:
        wrong["message"] = f"A message has at most {MESSAGE_MAX} characters; this one has {len(message)}."
    for field, text in (("name", name), ("message", message)):
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
            wrong.setdefault(field, "This has a control character in it; please type it again.")
    return wrong


def page_number():
    text = request.args.get("page", "1")
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,5}", text) else 1


def show(status=200, wrong=(), typed=()):
    page = page_number()
    found, older = entries(page)
    return render_template("guestbook.html", entries=found, page=page, older=older, wrong=dict(wrong),
                           typed=dict(typed), csrf=csrf_token(), form=secrets.token_urlsafe(16),
                           name_max=NAME_MAX, message_max=MESSAGE_MAX), status


@app.get("/")
def index():
    return show()


@app.post("/")
def add():
    typed = {
        "name": " ".join(request.form.get("name", "").split(" ")).strip(),
        "message": request.form.get("message", "").replace("\r\n", "\n").strip(),
    }
    if not hmac.compare_digest(request.form.get("csrf", "").encode(), csrf_token().encode()):
        return show(400, {"form": "This form was too old. Nothing was kept yet: please send it again."}, typed)
    wrong = check_entry(**typed)
    if wrong:
        return show(422, wrong, typed)
    add_entry(request.form.get("form", "")[:64] or secrets.token_urlsafe(16), **typed)
    flash("Thank you! Your message is in the book.")
    return redirect(url_for("index"), 303)


@app.get("/health")
def health():
    """For a supervisor: right only when the database answers."""
    query("SELECT 1 FROM entry LIMIT 1")
    return "ok\n", {"Content-Type": "text/plain", "Cache-Control": "no-store"}


@app.errorhandler(404)
def not_found(_):
    return render_template("problem.html", title="No such page",
                           text="There is nothing at this address."), 404


@app.errorhandler(413)
def too_large(_):
    return render_template("problem.html", title="Too long",
                           text=f"A message has at most {MESSAGE_MAX} characters."), 413


@app.errorhandler(psycopg2.OperationalError)
def no_database(error):
    app.logger.error("the database does not answer: %s", error)
    return render_template("problem.html", title="One moment, please",
                           text="The book cannot be opened just now. Please try again."), 503, {"Retry-After": "5"}
