"""Tables as comma-separated values (RFC 4180): rows by column, so that columns can be redacted."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

_MAX_COLUMNS = 500


class _Lines(list[str]):
    """What a writer of CSV writes into."""

    def write(self, line: str) -> None:
        self.append(line)


def read_csv(written: str) -> list[dict[str, str]] | None:
    """The rows of a table whose first line names its columns; None where that is not sure."""
    try:
        table = list(csv.reader(written.splitlines(keepends=True), strict=True))
    except csv.Error:
        return None
    if len(table) < 2:
        return None
    columns = table[0]
    names = {name.strip().lower() for name in columns}
    if len(columns) > _MAX_COLUMNS or len(names) < len(columns) or "" in names:
        return None
    if any(len(row) != len(columns) for row in table):
        return None
    return [dict(zip(columns, row, strict=True)) for row in table[1:]]


def write_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """A table, with the columns of its first row."""
    lines = _Lines()
    writer = csv.writer(lines)
    columns = list(rows[0])
    writer.writerow(columns)
    writer.writerows([row[column] for column in columns] for row in rows)
    return "".join(lines).encode()
