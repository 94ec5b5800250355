"""Four workers and one dict: made before they start, gone when the server ends.

gunicorn --config gunicorn_config.py main:app
"""

import os

import segdict

workers = 4
name = os.environ.get("COUNTERS", "counters")


def on_starting(server):
    segdict.Dict(name, capacity=100_000)


def on_exit(server):
    segdict.Dict(name).unlink()
