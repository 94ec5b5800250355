"""How large a dict is made for a `size` of the original, so that what fitted there fits here.

But for entries that have much in common: the original's one pickle has an object or a text that several refer to but
once, here each entry has its own.

The original keeps one pickle (or JSON) of the whole dict in `size` bytes. An entry takes o bytes of it, and here a slot
and, if key and value are longer than the 40 bytes that a slot has for them, a block of the arena. How many entries
there are, and how long, is not known beforehand; so there are slots for the most entries that `size` bytes can hold,
and block bytes for the worst entries that they can hold.

Slots. The most entries are those of the shortest keys, with values of one byte (None, True, an empty tuple). Of keys of
1, 2, 3 and 4 bytes there are not many; `_KEYS` has upper bounds. In a pickle, of
  1 byte   4           None, True, False, ()
  2 bytes  256         int: 0 to 255
  3 bytes  65,287      int: 256 to 65,535, the empty str, bytes and frozenset, tuples of one of the above
  4 bytes  below 700   str and bytes of one character, tuples of one or two of the above
and as many longer ones as anybody likes, of 5 bytes. In JSON a key of n characters takes n + 6 bytes with its quotes,
the separators and a value of one digit: 7, 8, 9 and, from three characters on, 10 bytes. Of a serializer of the
program's own nothing is known but that no two keys have the same bytes: 256 keys of one byte, 65,536 of two.

Blocks. An entry of the original's o bytes that needs a block takes at most 4.6 * o bytes of the arena:
- A block of b bytes counts 64 for b <= 64, else less than 2 * b: classes are less than a factor 2 apart, and what is
  longer than a page takes whole pages.
- A key has at most 2 * o_k + 3 bytes here: str and bytes no more than in the pickle, a float 10 for 9, an int at most 5
  for 2, tuples and frozensets 3 and the sum of their items (an int up to 255 at most 4 for 2). It is in the block only
  if it has more than 32 bytes. A whole float is stored in 13 bytes more, since 1.0 is found as 1.
- A value has at most o_v + 12 bytes here: pickled alone it has a header and a frame of its own. With JSON the whole
  {key: value} is the value: one byte more than o, besides the key.
- So with a short key b <= o + 12, and o >= 25 for a block to be needed at all: at most 64 / 25 up to b = 64, and
  2 * (o + 12) / o < 3 above; with a whole float 64 / 14, its block of b <= o + 20 for o >= 14. With a key in the block
  b <= 2 * o_k + o_v + 15, or 2 * o_k + o_v + 7 for JSON: 128 / 30 and less. The tests go through the shapes.
An overwrite needs room for the new value while the old one is there: one more value of `size` bytes. (Where several
processes overwrite values of nearly `size` bytes at once, each needs that. There is room for three or more.)

Outside of this is what a pickle says once and means many times: a string, or the name of a class, that several entries
share is stored with each of them here. And keys that are stored twice because they equal others of another type: floats
above 2^63, bools in tuples, instances of classes. The factor leaves room for these as a rule, but proves nothing.
"""

from __future__ import annotations

from .. import _core

# Of serializers by their type: (number of keys, bytes of the smallest entry with such a key), the smallest first. What
# is left takes the last number of bytes.
_KEYS: dict[int, tuple[list[tuple[int, int]], int]] = {
    16: ([(4, 2), (256, 3), (65_300, 4), (700, 5)], 6),
    17: ([(1, 7), (128, 8), (16_384, 9)], 10),
    35: ([(256, 2), (65_536, 3)], 4),
}
_FACTOR = (23, 5)
MAX_LOAD = 0.9


def capacity_for(size: int, serializer: int) -> int:
    """The most entries that the original can keep in `size` bytes."""
    kinds, rest = _KEYS[serializer]
    entries = 0
    for keys, cost in kinds:
        fit = min(keys, size // cost)
        entries += fit
        size -= fit * cost
    return max(1, entries + size // rest)


def value_bytes_for(size: int) -> int:
    """The arena bytes for anything that the original can keep in `size` bytes."""
    content = -(-size * _FACTOR[0] // _FACTOR[1])
    total = content
    for _ in range(2):  # the classes depend on the sum
        total = content + _core.value_bytes_for(0, size + 64, value_bytes=total, ordered=True)
    return total
