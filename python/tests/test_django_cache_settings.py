# Django has no types.
# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
"""The cache for Django as its settings make it: its class, its options, its keys, and the handle that caches share."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import pytest

pytest.importorskip("django", reason="an optional package")

from django.core.cache.backends.base import BaseCache, CacheKeyWarning  # type: ignore[import-not-found]  # Django has no types

import segdict
from django_caches import Make
from django_caches import cache as cache
from django_caches import make as make
from segdict.caches.django import SharedMemoryCache
from segdict.shared_memory_dict.caches.django import SharedMemoryCache as shared_memory_dict_cache
from segdict.shared_memory_dict.dict import SharedMemoryDict

# ---- The class ----


def test_is_made_of_a_shared_memory_dict(cache: SharedMemoryCache) -> None:
    assert isinstance(cache._cache, SharedMemoryDict)
    assert isinstance(cache, BaseCache)


def test_has_its_old_name() -> None:
    assert shared_memory_dict_cache is SharedMemoryCache


def test_arguments_have_their_names(name: str, make: Make) -> None:
    assert SharedMemoryCache(name=name, params={}).get("a") is None


# ---- Options ----


def test_options_of_numbers_may_be_text(make: Make) -> None:
    cache = make(CAPACITY="2000", VALUE_BYTES=str(1 << 20), MAX_ENTRIES="500")
    assert cache._cache.capacity >= 2000
    assert cache._max_entries == 500


def test_serializers(make: Make, name: str) -> None:
    json = make(location=name + "-json", SERIALIZER="json")
    json.set("a", {"b": [1, None]})
    assert json.get("a") == {"b": [1, None]}
    json.set("n", 1)
    assert json.incr("n") == 2
    with pytest.raises(segdict.SerializationError):
        json.set("a", {1, 2})

    none = make(location=name + "-none", SERIALIZER=None)
    none.set_many({"a": "text", "b": b"bytes", "c": 1.5, "d": None})
    with pytest.raises((TypeError, ValueError)):
        none.set("a", [1])
    assert none.get("a") == "text"

    for choice in ("segdict.serializers.JSON", "segdict.serializers.Json", segdict.JSON):
        other = make(location=name + "-json", SERIALIZER=choice)
        assert other.get("a") == {"b": [1, None]}

    pytest.importorskip("msgpack", reason="an optional package")
    msgpack = make(location=name + "-msgpack", SERIALIZER="msgpack")
    msgpack.set("a", {"b": [1, b"x"]})
    assert msgpack.get("a") == {"b": [1, b"x"]}


def test_a_cache_without_pickle_loads_none(make: Make) -> None:
    make().set("a", {1, 2})
    for choice in ("json", None):
        with pytest.raises(segdict.DeserializationError):
            make(SERIALIZER=choice).get("a")
    assert make().get("a") == {1, 2}


def test_lock(make: Make) -> None:
    cache = make(LOCK=True)
    cache.set("a", 1)
    with cache._cache.lock():
        late = threading.Thread(target=cache.incr, args=("a",))
        late.start()
        late.join(0.1)
        assert late.is_alive()
        assert make(LOCK=False).incr("a") == 2
    late.join()
    assert cache.get("a") == 3


# ---- Keys ----


def keys_to_try() -> list[Any]:
    class Sub(str):
        def __str__(self) -> str:
            return "another"

    return [
        "plain", "a:b", "", "x" * 245, "x" * 246, "x" * 247, "x" * 248, "x" * 250, "x" * 251, "a b", "a\tb", "\x7f",
        "a\0b", "\xa0", "é", "\u2028", "清", "清" * 250, "\ud800", 17, 1.5, True, None, ("a", 1), Sub("plain"), b"x",
    ]  # fmt: skip  # a table


@pytest.mark.parametrize("key", keys_to_try(), ids=lambda key: repr(key)[:20])
@pytest.mark.parametrize(
    "params",
    [
        {}, {"VERSION": 7}, {"KEY_PREFIX": "site"}, {"KEY_PREFIX": "my site"}, {"KEY_PREFIX": "x" * 240},
        {"VERSION": "v\n"}, {"KEY_PREFIX": "x" * 260}, {"KEY_PREFIX": "é"},
        {"KEY_FUNCTION": lambda key, prefix, version: f"{version}-{key}"},
    ],
)  # fmt: skip  # a table
def test_keys_are_made_and_checked_as_django_does(make: Make, key: Any, params: dict[str, Any]) -> None:
    cache = make(params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache.get("first")  # finds out how keys are made
    for version in (None, 3):
        with warnings.catch_warnings(record=True) as expected:
            warnings.simplefilter("always")
            made = cache.make_and_validate_key(key, version)
        for use in (
            cache._key,
            lambda key, version: cache.get(key, None, version),
            lambda k, v: cache.set(k, 1, 60, v),
        ):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                use(key, version)
            assert [str(w.message) for w in seen] == [str(w.message) for w in expected]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert cache._key(key, version) == "\0" + made
        assert cache._cache.get("\0" + made) == 1


def test_keys_follow_changes_of_the_cache(cache: SharedMemoryCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.set("a", 1)
    for name, value in (("version", 2), ("key_prefix", "p"), ("key_func", lambda key, prefix, version: key.upper())):
        setattr(cache, name, value)
        assert cache.get("a") is None
        cache.set("a", name)
        assert cache.get("a") == name
        assert cache._cache["\0" + cache.make_key("a")] == name
    monkeypatch.setattr(cache, "make_key", lambda key, version=None: "mine")
    cache.set("a", 1)
    assert cache._cache["\0mine"] == 1


def test_subclasses_make_and_check_keys(name: str, make: Make) -> None:
    class Liberal(SharedMemoryCache):
        def validate_key(self, key: Any) -> None:
            pass

    class Mine(SharedMemoryCache):
        def make_key(self, key: Any, version: Any = None) -> Any:
            return f"mine-{key}"

    class Strict(SharedMemoryCache):
        def validate_key(self, key: Any) -> None:
            raise ValueError(f"not {key}")

    with warnings.catch_warnings():
        warnings.simplefilter("error", CacheKeyWarning)
        liberal = Liberal(name, {})
        liberal.set("a b", 1)
        assert liberal.get("a b") == 1
    mine = Mine(name, {})
    mine.set("a", 1)
    mine.set("a", 2)
    assert mine._cache["\0mine-a"] == 2
    strict = Strict(name, {})
    for _ in range(2):
        with pytest.raises(ValueError, match="not :1:a"):
            strict.get("a")


# ---- The handle ----


def test_all_caches_of_a_process_share_a_handle(make: Make, name: str) -> None:
    cache = make()
    assert make({"KEY_PREFIX": "p"})._cache is cache._cache
    assert make(location=name + "-2")._cache is not cache._cache
    assert make(SERIALIZER="json")._cache is not cache._cache
    assert make(LOCK=True)._cache is not cache._cache


def test_the_end_of_a_request_keeps_the_cache(cache: SharedMemoryCache) -> None:
    cache.set("a", 1)
    cache.close()
    cache.close(signal="request_finished")
    assert cache.get("a") == 1


def test_a_segment_that_was_removed_is_made_again(make: Make) -> None:
    cache = make()
    cache.set("a", 1)
    cache._cache.shm.unlink()
    again = make()
    assert again.get("a") is None
    again.set("a", 2)
    assert make().get("a") == 2
    assert cache.get("a") == 1


def test_a_cache_that_was_closed_is_opened_again(make: Make) -> None:
    cache = make()
    cache.set("a", 1)
    cache._cache.cleanup()
    with pytest.raises(segdict.ClosedError):
        cache.get("a")
    assert make().get("a") == 1


def test_raw_memory_that_a_hook_made(make: Make, name: str) -> None:
    with open(f"/dev/shm/sm_{name}", "wb") as file:
        file.truncate(1024)
    cache = make()
    cache.set("a", 1)
    assert cache.get("a") == 1
