"""Notes that a visitor keeps in his own cookie.

    stead up examples/flask
"""

import os

from flask import Flask, redirect, render_template, request, session

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "only for a start by hand")


@app.get("/")
def notes():
    return render_template("notes.html", notes=session.get("notes", []))


@app.post("/")
def add():
    text = request.form.get("text", "").strip()[:200]
    if text:
        session["notes"] = (session.get("notes", []) + [text])[-10:]
    return redirect("/", 303)
