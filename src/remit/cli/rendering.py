"""How results are shown: tables and coloured words for people, one JSON document for programs.

Agents choose tool names, arguments and error texts, so all of it is hostile to a terminal. Text
goes through ``visible`` first, and into rich only as ``Text``, never as markup.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from remit.model import Fault

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_STYLES = {
    "allow": "green",
    "ask": "yellow",
    "defer": "cyan",
    "deny": "bold red",
    "ran": "green",
    "held": "yellow",
    "denied": "bold red",
    "failed": "magenta",
    "pending": "yellow",
    "approved": "green",
    "rejected": "red",
    "expired": "dim",
    "used": "blue",
    "withdrawn": "dim",
}
_MARK = "dim"


def visible(text: str, *, lines: bool = False) -> str:
    r"""``text`` with every character escaped that a terminal would act on instead of showing.

    Control, format (zero-width, bidirectional), private and unassigned characters become
    ``\x1b`` or ``\u202e``. ``lines`` keeps line feeds.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(char)
        if unicodedata.category(char) in _HIDDEN and not (lines and char == "\n")
        else char
        for char in text
    )


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shortened(text: str, width: int) -> str:
    """``text`` made visible and cut to ``width`` characters, with an ellipsis when it was cut."""
    shown = visible(text[: width + 1])
    return shown if len(shown) <= width and len(text) <= width else shown[: width - 1] + "…"


def as_json(value: Any, *, indent: int | None = 2) -> str:
    """``value`` as ASCII-only JSON, so that no character of it can act on a terminal."""
    return json.dumps(value, indent=indent, ensure_ascii=True).replace("\x7f", "\\u007f")


def print_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    sys.stdout.write(as_json(value) + "\n")


def print_json_line(value: Any) -> None:
    """Print one JSON document on one line and flush, for output that is followed."""
    sys.stdout.write(as_json(value, indent=None) + "\n")
    sys.stdout.flush()


@cache
def console(*, stderr: bool = False) -> Console:
    """The console that people read; 120 columns when the output is no terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 120
    return Console(
        stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False, width=width
    )


def text(value: object, style: str = "") -> Text:
    """Visible text in one style, for a table cell or a line. What is appended has its own style."""
    from rich.text import Text

    return Text().append(visible(str(value), lines=True), style or None)


def line(*parts: object, style: str = "") -> None:
    """Print one line for people from strings (escaped) and ``Text`` (as it is)."""
    from rich.text import Text

    whole = Text(style=style)
    for part in parts:
        whole.append_text(part if isinstance(part, Text) else text(part))
    console().print(whole, soft_wrap=True)


def word(value: str) -> Text:
    """An effect, a state or a verdict in its colour."""
    return styled(value, value)


def styled(shown: str, value: str) -> Text:
    """``shown`` in the colour of the effect, state or verdict ``value``."""
    return text(shown, _STYLES.get(value, ""))


def quiet(value: object) -> Text:
    """Something secondary, dimmed."""
    return text(value, _MARK)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table. No cell is cut or padded at the end, so that everything can be copied."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [
        max(len(header), *(row[index].cell_len for row in cells), 0)
        for index, header in enumerate(headers)
    ]
    for row in [[text(header, "bold") for header in headers], *cells]:
        whole = text("")
        for cell, width in zip(row, widths, strict=True):
            whole.append_text(cell).append(" " * (width - cell.cell_len + 2))
        whole.rstrip()
        console().print(whole, soft_wrap=True)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, the values aligned."""
    shown = [(name, _cell(value)) for name, value in pairs]
    width = max((len(name) for name, _ in shown), default=0) + 2
    for name, value in shown:
        for number, each in enumerate(value.split("\n")):
            line(quiet(("" if number else name).ljust(width)), each)


def _cell(value: object) -> Text:
    from rich.text import Text

    return value if isinstance(value, Text) else text(value)


def when(nanoseconds: int) -> str:
    """A time in the reader's time zone, to the second: ``2026-05-01 13:00:00``."""
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, tz=UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def timestamp(nanoseconds: int) -> str:
    """A time for programs: RFC 3339 in UTC with microseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def duration(nanoseconds: int) -> str:
    """A length of time for people: ``350 µs``, ``12 ms``, ``1.5 s``, ``42 min``, ``3 h``."""
    for unit, size, limit in (
        ("µs", 1_000, 1_000_000),
        ("ms", 1_000_000, 1_000_000_000),
    ):
        if nanoseconds < limit:
            return f"{nanoseconds // size} {unit}"
    seconds = nanoseconds / 1e9
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def fault_text(fault: Fault, severity: str = "error") -> Text:
    """A fault as people read it: place, what is wrong, the line, a caret, what to write."""
    style = "bold red" if severity == "error" else "bold yellow"
    whole = text(f"{fault.at}: ", "bold")
    whole.append_text(text(f"{severity}: ", style)).append_text(text(fault.message))
    if fault.source is not None:
        start = fault.at.column - 1
        before = visible(fault.source[:start])
        marked = visible(fault.source[start : start + fault.width])
        whole.append_text(text(f"\n    {visible(fault.source)}"))
        whole.append_text(
            text(f"\n    {' ' * _cells(before)}{'^' * max(1, _cells(marked))}", style)
        )
    if fault.suggestion is not None:
        whole.append_text(text(f"\n    {fault.suggestion}", "green"))
    return whole


def _cells(shown: str) -> int:
    """Columns that ``shown`` takes on a terminal: wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in shown)


def fault_json(fault: Fault) -> dict[str, Any]:
    """A fault for programs."""
    return {
        "file": fault.at.file,
        "line": fault.at.line,
        "column": fault.at.column,
        "message": fault.message,
        "suggestion": fault.suggestion,
    }
