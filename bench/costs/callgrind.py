"""Instructions an operation, counted by callgrind.

The program (instructions.cc) calls the function segdict_measured once an operation; callgrind collects only within it
and dumps a profile at each return from it. The instructions of the program's own file (segdict, and what is linked into
it) are kept apart from those in shared libraries. The C library chooses its memcpy and the like by the processor, and
valgrind shows it some of the real one's features: these are masked, so that the choice is the same everywhere.
"""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
from decimal import Decimal

import costs_file

MEASURED = "segdict_measured"
MASKED_FEATURES = ["AVX2", "AVX_Fast_Unaligned_Load", "ERMS", "SSSE3", "SSE4_1", "SSE4_2"]
COLUMNS = ["instructions", "calls", "library", "syscalls"]


def measure(program: pathlib.Path) -> costs_file.Table:
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder, "profile")
        run = subprocess.run(
            [
                "valgrind",
                "--quiet",
                "--tool=callgrind",
                "--collect-systime=yes",
                f"--toggle-collect={MEASURED}",
                f"--zero-before={MEASURED}",
                f"--dump-after={MEASURED}",
                f"--callgrind-out-file={output}",
                str(program),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={
                "PATH": "/usr/bin:/bin",
                "LD_BIND_NOW": "1",  # or the first call of a library's function would pay for finding it
                "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join("-" + feature for feature in MASKED_FEATURES),
            },
        )
        built_by, *operations = run.stdout.splitlines()
        rows = {}
        for part, line in enumerate(operations, start=1):
            operation, count = line.split("\t")
            totals = _read_profile(pathlib.Path(f"{output}.{part}"), program.resolve())
            rows[operation] = [(Decimal(total) / int(count)).quantize(Decimal("0.01")) for total in totals]
        if pathlib.Path(f"{output}.{len(operations) + 1}").exists():
            raise RuntimeError("callgrind saw more calls than there are operations")
    return costs_file.Table("instructions", built_by, COLUMNS, rows)


def _read_profile(path: pathlib.Path, program: pathlib.Path) -> list[int]:
    """COLUMNS of one dump. Its format: valgrind's manual, "Callgrind Format Specification"."""
    objects: dict[str, str] = {}  # by number: "ob=(1) name" at first, then "ob=(1)"
    own = {True: 0, False: 0}
    calls = system_calls = 0
    here = called = False  # whether the present object, and the called one, are the program's own
    inclusive = False  # the line after "calls=" sums up the call: counted where it happens

    def is_own(text: str) -> bool:
        number, _, name = text.partition(" ")
        return pathlib.Path(objects.setdefault(number, name)) == program

    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, text = line.partition("=")
        if key == "ob":
            here = called = is_own(text)
        elif key == "cob":
            called = is_own(text)
        elif key == "calls":
            calls += int(text.split()[0]) if here and not called else 0
            called = here  # "cob=" holds for one call
            inclusive = True
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            costs = [int(cost) for cost in line.split()[1:]]
            if not inclusive:
                own[here] += costs[0]
                system_calls += costs[1] if len(costs) > 1 else 0
            inclusive = False
    return [own[True], calls, own[False], system_calls]
