"""CPython's own tests of mappings (test.mapping_tests; Debian has them in libpython3-testsuite), for segdict.Dict."""

from __future__ import annotations

import itertools
import os
import unittest
from typing import Any

from test import mapping_tests

import segdict
from different import CPYTHON_MAPPING

_numbers = itertools.count()


class Fresh(segdict.Dict[Any, Any]):
    """A new dict at each call, with what a dict would be made of; it goes with its object."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(f"segdict-test-mapping-{os.getpid()}-{next(_numbers)}", 5000, ordered=True, exclusive=True)
        self.unlink()
        self.update(*args, **kwargs)


def _without_differences(kind: type[unittest.TestCase]) -> type[unittest.TestCase]:
    for name in CPYTHON_MAPPING:
        if hasattr(kind, name):
            setattr(kind, name, None)
    return kind


@_without_differences
class TestHashMapping(mapping_tests.TestHashMappingProtocol):
    """The widest of the three; it has the tests of the others too."""

    type2test = Fresh


def test_the_differences_exist() -> None:
    """Each test that is listed as different is one."""
    for name in CPYTHON_MAPPING:
        assert hasattr(mapping_tests.TestHashMappingProtocol, name)
