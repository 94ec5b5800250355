"""What type checkers know of a Dict: mypy checks the types here, the test that they are true."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import pytest

import segdict

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: Any, kind: Any) -> Any:
        assert isinstance(value, kind)
        return value


def longest(texts: Mapping[str, str]) -> int:
    return max(map(len, texts.values()))


@pytest.mark.skipif(sys.version_info < (3, 10), reason="types are no operands of | before Python 3.10")
def test_a_dict_is_a_mapping_of_its_types(name: str) -> None:
    with segdict.Dict[str, str](name, 100) as d:
        mapping: MutableMapping[str, str] = d
        mapping["key"] = "value"
        assert longest(d) == 5

        assert_type(d["key"], str)
        assert_type(d.get("key"), str | None)
        assert_type(d.get("missing"), str | None)
        assert_type(d.get("key", "none"), str)
        assert_type(d.get("missing", 0), str | int)
        assert_type(d.get("missing", default=None), str | None)
        assert_type(d.setdefault("other", "value"), str)
        assert_type(d.get_or_set("other", lambda: "value"), str)
        assert_type(d.pop("other"), str)
        assert_type(d.pop("other", None), str | None)
        assert_type(d.cas("key", "value", "next"), bool)
        assert_type(d.ttl("key"), float | None)

        # What isinstance cannot tell.
        if TYPE_CHECKING:
            assert_type(d.gets("key"), tuple[str, segdict.Token] | None)
            assert_type(d.get_many(["key"]), dict[str, str])
            assert_type(list(d), list[str])
            assert_type(list(d.values()), list[str])
            assert_type(list(d.items()), list[tuple[str, str]])
            assert_type(d.copy(), dict[str, str])
            assert_type(d | {"key": "value"}, dict[str, str])
            assert_type(d.popitem(), tuple[str, str])
            d["key"] = 1  # type: ignore[assignment]  # no str
            d.set(1, "value")  # type: ignore[arg-type]  # no key of this dict
