"""costs.txt: what each operation costs, in two tables that people read and check.py compares.

A table begins with a line "[name]", or "[name: how it was built]"; then one line with the names of its columns, and one
line an operation. Lines that begin with # are comments; the first of them are kept when the file is written anew.
"""

from __future__ import annotations

import dataclasses
import pathlib
from decimal import Decimal

PATH = pathlib.Path(__file__).with_name("costs.txt")


@dataclasses.dataclass(frozen=True)
class Table:
    name: str
    built_by: str  # what the numbers depend on besides the sources; empty: nothing
    columns: list[str]
    rows: dict[str, list[Decimal]]  # by operation, a number a column

    def value(self, operation: str, column: str) -> Decimal:
        return self.rows[operation][self.columns.index(column)]


def read_table(name: str, built_by: str, lines: list[str]) -> Table:
    """A table from its header line and its rows."""
    _, *columns = lines[0].split()
    rows = {}
    for line in lines[1:]:
        operation, *values = line.split()
        if len(values) != len(columns):
            raise ValueError(f"{name}: a line of {operation} has {len(values)} numbers, not {len(columns)}")
        rows[operation] = [Decimal(value) for value in values]
    return Table(name, built_by, columns, rows)


def read(path: pathlib.Path = PATH) -> dict[str, Table]:
    """The tables by name."""
    blocks: list[tuple[str, list[str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            blocks.append((line.strip("[]"), []))
        elif line and not line.startswith("#"):
            blocks[-1][1].append(line)
    tables = {}
    for heading, lines in blocks:
        name, _, built_by = heading.partition(": ")
        tables[name] = read_table(name, built_by, lines)
    return tables


def write(tables: list[Table], path: pathlib.Path = PATH) -> None:
    """Writes the tables under the comment that the file begins with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line)
    for table in tables:
        heading = f"{table.name}: {table.built_by}" if table.built_by else table.name
        names = max(len(operation) for operation in table.rows)
        lines += ["", f"[{heading}]", _line("operation", table.columns, names)]
        lines += [_line(operation, [str(v) for v in values], names) for operation, values in table.rows.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(operation: str, cells: list[str], names: int) -> str:
    return operation.ljust(names) + "".join(cell.rjust(12) for cell in cells)
