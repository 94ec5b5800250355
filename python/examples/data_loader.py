"""A data loader whose workers share decoded samples: each is decoded once, by whoever needs it first.

    python data_loader.py [samples] [epochs] [workers]

Workers of the usual kind have a cache each, so that N of them decode, and hold, everything N times. Here all
of them use one dict; NumPy arrays are stored as they are and read with one copy. A worker that dies takes nothing
along.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import segdict

SHAPE = (3, 32, 32)


def decode(sample: int) -> Any:
    """Stands for reading and decoding an image: the same sample gives the same array."""
    seed = hashlib.blake2b(str(sample).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed, "little")).random(SHAPE, dtype=np.float32)


def load(cache: segdict.Dict[Any, Any], sample: int) -> Any:
    def decode_and_count() -> Any:
        cache.incr("decoded", initial=0)
        return decode(sample)

    return cache.get_or_set(("sample", sample), decode_and_count)


def batches(samples: int, size: int, epoch: int) -> Iterator[list[int]]:
    order = np.random.default_rng(epoch).permutation(samples)
    for start in range(0, samples, size):
        yield [int(sample) for sample in order[start : start + size]]


_cache: segdict.Dict[Any, Any]


def _attach(cache: segdict.Dict[Any, Any]) -> None:
    global _cache
    _cache = cache


def _batch_mean(batch: list[int]) -> float:
    return float(np.stack([load(_cache, sample) for sample in batch]).mean())


def main(samples: int = 500, epochs: int = 3, workers: int = 3) -> int:
    bytes_a_sample = 2 * int(np.prod(SHAPE)) * 4  # twice what an array has: room for sizes between two classes
    cache: segdict.Dict[Any, Any] = segdict.Dict(
        f"loader-{os.getpid()}", capacity=samples + 1, value_bytes=samples * bytes_a_sample
    )
    try:
        with multiprocessing.get_context("spawn").Pool(workers, _attach, (cache,)) as pool:
            for epoch in range(epochs):
                means = pool.map(_batch_mean, list(batches(samples, 25, epoch)))
                print(f"epoch {epoch}: {len(means)} batches, mean {np.mean(means):.4f}, decoded {cache['decoded']}")
    finally:
        cache.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
