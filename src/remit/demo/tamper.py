"""Alter and truncate copies of an exported log, as somebody with something to hide would."""

from __future__ import annotations

from pathlib import Path

_CUT = 5


def alter_one_field(export: Path) -> Path:
    """A copy in which the first denied decision says that it was allowed.

    Unchanged where nothing was denied.
    """
    denied, allowed = b'"effect":"deny"', b'"effect":"allow"'
    lines = export.read_bytes().splitlines(keepends=True)
    first = next((number for number, line in enumerate(lines) if denied in line), 0)
    lines[first] = lines[first].replace(denied, allowed, 1)
    return _copy(export, "altered", lines)


def cut_the_end(export: Path) -> Path:
    """A copy without the newest records; the signed checkpoint at the end stays."""
    lines = export.read_bytes().splitlines(keepends=True)
    end = lines.index(b"\n")
    return _copy(export, "truncated", lines[: end - _CUT] + lines[end:])


def _copy(export: Path, name: str, lines: list[bytes]) -> Path:
    copy = export.with_name(f"{name}{export.suffix}")
    copy.write_bytes(b"".join(lines))
    return copy
