"""Rate limiters that hold over all processes of a host, without a server.

>>> import os, segdict
>>> store = segdict.Dict(f"limits-{os.getpid()}", capacity=10_000)
>>> window = FixedWindow(store, limit=3, seconds=60)
>>> [window.allow("ada") for _ in range(5)], window.allow("bob")
([True, True, True, False, False], True)

>>> bucket = TokenBucket(store, rate=10, burst=2)
>>> [bucket.allow("ada", now=now) for now in (0.0, 0.0, 0.0, 0.1, 0.1)]
[True, True, False, True, False]
>>> store.unlink()
"""

from __future__ import annotations

import time
from typing import Any

import segdict


class FixedWindow:
    """At most `limit` events in `seconds`, counted from a client's first. One atomic operation an event."""

    def __init__(self, store: segdict.Dict[Any, Any], limit: int, seconds: float) -> None:
        self._store, self._limit, self._seconds = store, limit, seconds

    def allow(self, client: str) -> bool:
        # The ttl is set with the first event only, and takes the counter away.
        return self._store.incr(("window", client), initial=0, ttl=self._seconds) <= self._limit  # type: ignore[no-any-return]


class TokenBucket:
    """`rate` events a second, and `burst` of them at once. A compare-and-set an event; again if two come together."""

    def __init__(self, store: segdict.Dict[Any, Any], rate: float, burst: float) -> None:
        self._store, self._rate, self._burst = store, rate, burst

    def allow(self, client: str, now: float | None = None) -> bool:
        at = time.monotonic() if now is None else now  # the same clock in all processes of a host

        def take(bucket: tuple[float, float, bool]) -> tuple[float, float, bool]:
            tokens, last, _ = bucket
            tokens = min(self._burst, tokens + (at - last) * self._rate)
            return (tokens - 1, at, True) if tokens >= 1 else (tokens, at, False)

        key = ("bucket", client)
        _, _, allowed = self._store.update(
            key, take, default=(self._burst, at, True), ttl=self._burst / self._rate + 60
        )
        return bool(allowed)
