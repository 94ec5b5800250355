"""The worker of the soak in Python, over the installed package: ``python worker.py SEAT BOARD_FD``.

What the words of the board mean is said in board.h; here are their offsets, in words of eight bytes. It does what
worker.cc does, with fewer kinds of calls, until it is killed.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import segdict
from segdict import _core

# BoardHeader
SIZE, SEATS, KEYS_PER_SEAT, ENTRIES_PER_SEAT, BYTES_PER_SEAT, REST, SEED, SLOT_SIZE, ORDERED, PAGE_BYTES = range(10)
VALUE_BYTES, SEGMENT_FD, NOISE_SIZE, COUNT_BASE = range(10, 14)
NAME, HEADER = 24, 32
# Seat
CALLS_OF_LIFE, STATE, KIND, KEY, NEW_ID, TTL, BEFORE, AFTER, RESTING, NEXT_NUMBER, LOCKS, WAIT_LIMIT = range(12)
GAVE_UP, FULL, FAILED, MOVED, CALLS = range(12, 17)
ACKNOWLEDGED, BEGUN, FAILURE, SEAT = 40, 44, 64, 128
# KeyState
STARTED, DONE, ID, EXPIRES_FROM, EXPIRES_TO, NEWEST = range(6)
KEY_STATE = 8

KINDS = ["Get", "GetMany", "ForEach", "Set", "Insert", "Replace", "Erase", "Take", "Update", "Touch", "CAS"]
KINDS += ["CompareAndErase", "MoveToEnd", "CountByAdd", "CountBySwap", "CountByUpdate", "CountByLock", "Recover"]
GET, GET_MANY, FOR_EACH, SET, INSERT, REPLACE, ERASE, TAKE, UPDATE, TOUCH, CAS = range(11)
COUNT_BY_ADD, RECOVER = 13, 17
COUNTERS = 4
IDLE, IN_CALL, HAPPENED, REFUSED = range(4)

M64 = (1 << 64) - 1
NEVER = (1 << 63) - 1
KEEPS = M64
SLACK = 1000
LONGEST, SHORTEST = 200_000, 8


def mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & M64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & M64
    return x ^ (x >> 31)


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def key_text(key: int) -> str:
    text = f"k{key}"
    return text.ljust(150, "_") if key % 8 == 7 else text


def id_text(id_: int) -> str:
    return f"value {id_ >> 24} of {id_ & 0xFFFFFF} bytes" if id_ else "nothing"


# Calls that were told to come again, and changed nothing.
AGAIN = (segdict.FullError, segdict.ContentionError, segdict.WaitTimeoutError)


class Wrong(Exception):
    pass


class Worker:
    def __init__(self, seat: int, board_fd: int) -> None:
        self.map = mmap.mmap(board_fd, os.fstat(board_fd).st_size)
        self.w = w = memoryview(self.map).cast("Q")
        self.seats: int = w[SEATS]
        self.keys_per_seat: int = w[KEYS_PER_SEAT]
        self.keys = self.seats * self.keys_per_seat
        self.states = HEADER + self.seats * SEAT
        self.noise = memoryview(self.map)[len(self.map) - w[NOISE_SIZE] :]
        if self.states + self.keys * KEY_STATE + len(self.noise) // 8 != len(w) or w[SIZE] != len(self.map):
            sys.exit("the board is of another layout")
        self.seat = HEADER + seat * SEAT
        self.first = seat * self.keys_per_seat
        self.random = random.Random(mix(w[SEED] + (seat << 32) + w[self.seat + NEXT_NUMBER]))

    def open(self) -> None:
        w = self.w
        limit = w[self.seat + WAIT_LIMIT]
        options: dict[str, Any] = {"lock": bool(w[self.seat + LOCKS]), "wait_limit": limit / 1000 if limit else None}
        if w[SEGMENT_FD]:
            self.dict: segdict.Dict[str, Any] = segdict.Dict(fd=w[SEGMENT_FD], **options)
        else:
            name = bytes(self.map[8 * NAME : 8 * HEADER]).split(b"\0")[0].decode()
            self.dict = segdict.Dict(name, **options)
        self.entries = self.bytes = 0
        for key in range(self.first, self.first + self.keys_per_seat):
            self.account(key, w[self.state(key) + ID], 1)

    # ---- The board ----

    def state(self, key: int) -> int:
        return self.states + key * KEY_STATE

    def value_of(self, key: int, id_: int) -> bytes:
        at = self.noise_at(key, id_)
        return struct.pack("<Q", id_ ^ mix(key)) + bytes(self.noise[at : at + (id_ & 0xFFFFFF) - 8])

    def id_of(self, key: int, value: bytes) -> int:
        if isinstance(value, bytes) and SHORTEST <= len(value) <= LONGEST:
            id_: int = struct.unpack_from("<Q", value)[0] ^ mix(key)
            at = self.noise_at(key, id_)
            if id_ & 0xFFFFFF == len(value) and value[8:] == self.noise[at : at + len(value) - 8]:
                return id_
        raise Wrong("torn or of another key")

    def noise_at(self, key: int, id_: int) -> int:
        return mix((id_ + mix(key)) & M64) % (len(self.noise) - LONGEST)

    def sum_of(self, counter: int, word: int) -> int:
        w = self.w
        total: int = w[COUNT_BASE + counter]
        for seat in range(self.seats):
            total += w[HEADER + seat * SEAT + word + counter]
        return total

    def enter(self, kind: int) -> None:
        w, seat = self.w, self.seat
        w[seat + KIND] = kind
        w[seat + CALLS + kind] += 1
        w[seat + STATE] = IN_CALL

    def leave(self) -> None:
        self.w[self.seat + STATE] = IDLE

    def refused(self, error: Exception) -> None:
        word = FULL if isinstance(error, segdict.FullError) else MOVED
        self.w[self.seat + (GAVE_UP if isinstance(error, segdict.WaitTimeoutError) else word)] += 1

    def apply(self) -> None:
        w, seat = self.w, self.seat
        happened = w[seat + STATE] == HAPPENED
        if w[seat + KIND] >= COUNT_BY_ADD:
            counter = w[seat + KEY]
            if happened:
                w[seat + ACKNOWLEDGED + counter] = w[seat + NEW_ID]
            else:
                w[seat + BEGUN + counter] = w[seat + TTL]
        else:
            state = self.state(w[seat + KEY])
            if happened:
                w[state + ID] = w[seat + NEW_ID]
                ttl = w[seat + TTL]
                if ttl != KEEPS:
                    w[state + EXPIRES_FROM] = ttl if ttl == NEVER else w[seat + BEFORE] + ttl
                    w[state + EXPIRES_TO] = ttl if ttl == NEVER else w[seat + AFTER] + ttl
            w[state + DONE] = w[state + STARTED]
        w[seat + STATE] = IDLE

    # ---- What must be ----

    def expected(self, key: int) -> tuple[int, int, int]:
        at = self.state(key)
        return self.w[at + ID], self.w[at + EXPIRES_FROM], self.w[at + EXPIRES_TO]

    @staticmethod
    def must_be_there(expected: tuple[int, int, int], to: int) -> bool:
        id_, expires_from, _ = expected
        return id_ != 0 and (expires_from == NEVER or to + SLACK < expires_from)

    @staticmethod
    def must_be_gone(expected: tuple[int, int, int], from_: int) -> bool:
        id_, _, expires_to = expected
        return id_ == 0 or (expires_to != NEVER and from_ > expires_to + SLACK)

    def note(self, key: int) -> tuple[int, int, int, tuple[int, int, int], int]:
        at = self.state(key)
        done, started = self.w[at + DONE], self.w[at + STARTED]
        return key, done, started, self.expected(key), now()

    def check_read(self, before: tuple[int, int, int, tuple[int, int, int], int], value: bytes | None) -> None:
        key, done, started, expected, from_ = before
        to = now()
        at = self.state(key)
        still = done == started == self.w[at + STARTED]
        newest = self.w[at + NEWEST]
        if value is None:
            if still and self.must_be_there(expected, to):
                raise Wrong(f"{key_text(key)} is not there: {id_text(expected[0])}")
            return
        id_ = self.id_of(key, value)
        if not still:
            if not expected[0] <= id_ <= newest:
                raise Wrong(f"{key_text(key)}: {id_text(id_)}, not from {id_text(expected[0])} to {id_text(newest)}")
        elif id_ != expected[0]:
            raise Wrong(f"{key_text(key)}: {id_text(id_)} instead of {id_text(expected[0])}")
        elif self.must_be_gone(expected, from_):
            raise Wrong(f"{key_text(key)} is there although it expired {from_ - expected[2]} ns ago")

    # ---- Calls ----

    def run(self) -> None:
        w, seat = self.w, self.seat
        while True:
            while w[REST]:
                w[seat + RESTING] = w[REST]
                time.sleep(0.001)
            w[seat + RESTING] = 0
            choice = self.random.random()
            try:
                self.step(choice)
            except AGAIN as error:
                self.refused(error)
                self.leave()
            w[seat + CALLS_OF_LIFE] += 1

    def step(self, choice: float) -> None:
        if choice < 0.25:
            self.look(self.random.randrange(self.keys))
        elif choice < 0.3:
            self.look_at_many()
        elif choice < 0.75:
            self.change_own(self.own_key())
        elif choice < 0.95:
            self.count_up(self.random.randrange(COUNTERS))
        elif choice < 0.998:
            self.enter(RECOVER)
            self.dict.recover()
            self.leave()
        else:
            self.look_at_all()

    def look(self, key: int) -> None:
        text = key_text(key)
        before = self.note(key)
        self.enter(GET)
        how = self.random.randrange(3)
        if how == 0:
            value = self.dict.get(text)
        elif how == 1:
            entry = self.dict.gets(text)
            value = entry[0] if entry else None
        else:
            try:
                value = self.dict[text]
            except KeyError:
                value = None
        self.check_read(before, value)
        self.leave()

    def look_at_many(self) -> None:
        first = self.random.randrange(self.keys)
        before = [self.note((first + i) % self.keys) for i in range(6)]
        self.enter(GET_MANY)
        found = self.dict.get_many(key_text(one[0]) for one in before)
        for one in before:
            self.check_read(one, found.get(key_text(one[0])))
        self.leave()

    def look_at_all(self) -> None:
        """Nobody else changes this seat's keys: each that is there must come once."""
        self.enter(FOR_EACH)
        from_ = now()
        found = self.dict.copy()
        to = now()
        for key in range(self.first, self.first + self.keys_per_seat):
            expected = self.expected(key)
            value = found.get(key_text(key))
            if value is None:
                if self.must_be_there(expected, to):
                    raise Wrong(f"{key_text(key)} was not visited: {id_text(expected[0])}")
            elif self.id_of(key, value) != expected[0] or self.must_be_gone(expected, from_):
                raise Wrong(f"{key_text(key)} is not {id_text(expected[0])}")
        self.leave()

    # ---- Changing its own keys ----

    def bytes_of(self, key: int, id_: int) -> int:
        w = self.w
        return _core.value_bytes_for(
            len(key_text(key)),
            id_ & 0xFFFFFF,
            value_bytes=w[VALUE_BYTES],
            slot_size=w[SLOT_SIZE],
            ordered=bool(w[ORDERED]),
            with_ttl=True,
        )

    def account(self, key: int, id_: int, sign: int) -> None:
        if id_:
            self.entries += sign
            self.bytes += sign * self.bytes_of(key, id_)

    def any_length(self) -> int:
        page = self.w[PAGE_BYTES]
        choice = self.random.randrange(16)
        if choice < 7:
            return SHORTEST + self.random.randrange(24)
        if choice < 13:
            return 32 + self.random.randrange(970)
        if choice < 15:
            return int(page // 4 + self.random.randrange(page * 3 // 4))
        return int(page + self.random.randrange(2 * page))

    def next_id(self, key: int) -> int:
        w = self.w
        w[self.seat + NEXT_NUMBER] += 1
        number = w[self.seat + NEXT_NUMBER]
        if not w[self.state(key) + ID] and self.entries >= w[ENTRIES_PER_SEAT]:
            return 0
        for length in (self.any_length(), SHORTEST + self.random.randrange(200), SHORTEST):
            id_ = int(number << 24 | length)
            if self.bytes + self.bytes_of(key, id_) <= w[BYTES_PER_SEAT]:
                return id_
        return 0

    def any_ttl(self) -> int:
        if self.random.randrange(6):
            return NEVER
        return (5 + self.random.randrange(50 if self.random.randrange(2) else 1500)) * 1_000_000

    def own_key(self) -> int:
        """While much of the share is unused, rather one that is not there."""
        key = self.first + self.random.randrange(self.keys_per_seat)
        for _ in range(8):
            if self.entries * 10 >= self.w[ENTRIES_PER_SEAT] * 9 or not self.w[self.state(key) + ID]:
                break
            key = self.first + self.random.randrange(self.keys_per_seat)
        return key

    def change_own(self, key: int) -> None:
        text, d, time_ = key_text(key), self.dict, now()
        id_ = self.next_id(key)
        was = self.expected(key)
        ttl = self.any_ttl()
        seconds = None if ttl == NEVER else ttl / 1e9
        value = self.value_of(key, id_) if id_ else b""
        choice = self.random.randrange(100)

        def set_() -> bool:
            d.set(text, value, ttl=seconds)
            return True

        def take() -> bool:
            taken = d.pop(text, None)
            if taken is not None and self.id_of(key, taken) != was[0]:
                raise Wrong(f"{text}: took what was not there")
            return taken is not None

        def update() -> bool:
            def next_(old: bytes | None) -> bytes:
                if old is not None and self.id_of(key, old) != was[0]:
                    raise Wrong(f"{text}: update's function got a wrong value")
                self.w[self.seat + TTL] = NEVER if old is None else KEEPS
                return value

            d.update(text, next_, default=None)
            return True

        def cas() -> bool:
            entry = d.gets(text)
            if entry is None:
                return False
            try:
                if not d.cas(text, entry[1], value, ttl=seconds):
                    raise segdict.ContentionError
            except KeyError:
                return False
            return True

        if not id_ or choice < (10 if self.must_be_gone(was, time_) else 20):
            if choice % 2:
                self.change(ERASE, key, 0, NEVER, lambda: d.delete(text))
            else:
                self.change(TAKE, key, 0, NEVER, take)
        elif choice < 45:
            self.change(SET, key, id_, ttl, set_)
        elif choice < 60:
            self.change(INSERT, key, id_, ttl, lambda: d.add(text, value, ttl=seconds))
        elif choice < 70:
            self.change(REPLACE, key, id_, ttl, lambda: d.replace(text, value, ttl=seconds))
        elif choice < 80:
            self.change(UPDATE, key, id_, KEEPS, update)
        elif choice < 90:
            self.change(CAS, key, id_, ttl, cas)
        else:
            self.change(TOUCH, key, was[0], ttl, lambda: d.touch(text, ttl=seconds))

    def change(self, kind: int, key: int, new_id: int, ttl: int, call: Callable[[], bool]) -> None:
        w, seat, state = self.w, self.seat, self.state(key)
        was = self.expected(key)
        w[seat + KEY] = key
        w[seat + NEW_ID] = new_id
        w[seat + TTL] = ttl
        if new_id:
            w[state + NEWEST] = new_id
        w[seat + BEFORE] = from_ = now()
        w[seat + KIND] = kind
        w[state + STARTED] += 1
        self.enter(kind)
        happened, told = False, True
        try:
            happened = call()
        except AGAIN as error:
            self.refused(error)
            told = False
        w[seat + AFTER] = to = now()
        w[seat + STATE] = HAPPENED if happened else REFUSED
        if told:
            there, gone = self.must_be_there(was, to), self.must_be_gone(was, from_)
            if kind == INSERT:
                there, gone = gone, there
            if kind not in (SET, UPDATE) and (gone if happened else there):
                raise Wrong(f"{key_text(key)}: said {happened}; what was there: {id_text(was[0])}")
        self.apply()
        self.account(key, was[0], -1)
        self.account(key, w[state + ID], 1)

    # ---- Counting together ----

    def count_of(self, counter: int, value: Any) -> int:
        return int(value) if counter == 0 else self.id_of(self.keys + counter, value) >> 24

    def count_value(self, counter: int, count: int) -> bytes:
        length = SHORTEST + self.random.randrange(800 if self.random.randrange(2) else 20)
        return self.value_of(self.keys + counter, count << 24 | length)

    def count_up(self, counter: int) -> None:
        w, seat, text, d = self.w, self.seat, f"c{counter}", self.dict
        least = self.sum_of(counter, ACKNOWLEDGED)
        w[seat + KIND] = COUNT_BY_ADD + counter
        w[seat + KEY] = counter
        w[seat + NEW_ID] = w[seat + ACKNOWLEDGED + counter] + 1
        w[seat + TTL] = w[seat + BEGUN + counter]
        w[seat + BEGUN + counter] += 1
        self.enter(COUNT_BY_ADD + counter)
        was = least

        def next_(value: bytes) -> bytes:
            nonlocal was
            was = self.count_of(counter, value)
            return self.count_value(counter, was + 1)

        def end(happened: bool) -> None:
            w[seat + STATE] = HAPPENED if happened else REFUSED
            most = self.sum_of(counter, BEGUN)
            if happened and not least <= was < most:
                raise Wrong(f"{text}: {was}, not from {least} to {most}")
            self.apply()

        try:
            if counter == 0:
                was = d.incr(text) - 1
                end(True)
            elif counter == 1:
                entry = d.gets(text)
                if entry is None:
                    raise Wrong(f"{text} is not there")
                end(d.cas(text, entry[1], next_(entry[0])))
            elif counter == 2:
                d.update(text, next_)
                end(True)
            else:
                with d.lock():
                    d[text] = next_(d[text])
                    end(True)  # in here: the next holder of the lock must find it
        except AGAIN as error:
            self.refused(error)
            end(False)


def main() -> None:
    worker = Worker(int(sys.argv[1]), int(sys.argv[2]))
    try:
        worker.open()
        worker.run()
    except Exception as error:
        kind = worker.w[worker.seat + KIND]
        text = f"{KINDS[kind] if kind < len(KINDS) else kind}: {type(error).__name__}: {error}".encode()[:511]
        at = 8 * (worker.seat + FAILURE)
        worker.map[at : at + len(text) + 1] = text + b"\0"
        worker.w[worker.seat + FAILED] = 1
        sys.exit(1)


if __name__ == "__main__":
    main()
