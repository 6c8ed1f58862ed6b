"""The smallest Flask app, the same file for stead and for uWSGI."""

from flask import Flask

app = Flask(__name__)


@app.route("/")
def hello():
    return "Hello, world!\n"
