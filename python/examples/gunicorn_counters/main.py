"""A WSGI application whose workers count together, and limit how often a client may come, over all of them."""

import json
import os
import time

import segdict

counters = segdict.Dict(os.environ.get("COUNTERS", "counters"))
LIMIT, WINDOW = 25, 60.0  # requests in so many seconds


def allowed(client: str) -> bool:
    """A fixed window: one atomic operation; the counter goes by itself when the window is over."""
    return counters.incr(("limit", client), initial=0, ttl=WINDOW) <= LIMIT


def app(environ, start_response):
    _, action, *rest = environ["PATH_INFO"].split("/")
    if action == "hit":
        answer = {"count": counters.incr(("hits", rest[0]), initial=0), "pid": os.getpid()}
        time.sleep(0.002)  # what a real page would take
    elif action == "count":
        answer = {"count": counters.get(("hits", rest[0]), 0)}
    elif action == "limited":
        answer = {"allowed": allowed(rest[0])}
    else:
        answer = {"pid": os.getpid()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
