"""YAML as policy documents use it: plain data with exact positions, and nothing that surprises.

The language is what YAML 1.1 and 1.2 readers agree on. Refused with a fault: anchors, aliases,
merge keys, tags, directives, several documents in one file, duplicate keys, tabs, invisible
characters that change how a line looks, bare words that some readers take for booleans
(``yes``, ``no``, ``on``, ``off``, ``True`` ...; as a key, ``on`` is fine) and bare numbers in
other notations than JSON's. Parsing is done by libyaml when PyYAML was built with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias, cast

import yaml
from msgspec import Struct

from remit.model import Fault, Location

MAX_BYTES = 1 << 20
"""Largest document, in bytes of UTF-8."""
MAX_DEPTH = 32
"""Deepest nesting of lists and maps."""
MAX_LINE = 400
"""Longest line, in characters, that is shown with a fault."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BLANKS = " \t\r\n"
_BREAK = re.compile(r"\r\n|\r|\n")
_FORBIDDEN = re.compile(
    "[\t\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ufeff\ufffe\uffff\ud800-\udfff]"
)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_ODD_NUMBER = re.compile(
    r"[-+]?(?:\.?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+"
    r"|[0-9][0-9_]*(?::[0-5]?[0-9])+|\.inf|\.nan)",
    re.IGNORECASE,
)
_NOT_BOOLEAN = re.compile(r"(yes|no|on|off|true|false)", re.IGNORECASE)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_TRUTHY = frozenset({"yes", "on", "true"})
_NAMED = {"\t": "a tab", "\ufeff": "a byte order mark", "\x85": "an invisible line break"}
_ESCAPE_LENGTH = {"x": 4, "u": 6, "U": 10}


class Mark(Protocol):
    """A place in the text as PyYAML gives it: all three count characters from 0."""

    line: int
    column: int
    index: int


class YamlScalar(Struct, frozen=True):
    """One scalar. ``text`` is what it says, ``value`` what it means, ``style`` its quoting."""

    start: Mark
    end: Mark
    text: str
    value: str | int | float | bool | None
    style: str


class YamlList(Struct, frozen=True):
    """A sequence."""

    start: Mark
    end: Mark
    items: tuple[YamlNode, ...]


class YamlMap(Struct, frozen=True):
    """A mapping: for each key, the key as written and its value."""

    start: Mark
    end: Mark
    entries: dict[str, tuple[YamlScalar, YamlNode]]


YamlNode: TypeAlias = "YamlScalar | YamlList | YamlMap"


class Source:
    """The text of one document, and how to point into it."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._lines: list[str] | None = None

    def line(self, number: int) -> str:
        """The line with that number, counted from 0, without its end."""
        if self._lines is None:
            self._lines = _BREAK.split(self.text)
        return self._lines[number] if number < len(self._lines) else ""

    def location(self, mark: Mark) -> Location:
        """Where that is, counted from 1."""
        return Location(self.file, mark.line + 1, mark.column + 1)

    def fault(
        self, node: YamlNode | YamlScalar, message: str, suggestion: str | None = None
    ) -> Fault:
        """A fault that underlines ``node`` as far as it goes on its first line."""
        start, end = node.start, node.end
        stop = end.column if end.line == start.line else len(self.line(start.line).rstrip())
        return self.fault_at(start.line, start.column, stop - start.column, message, suggestion)

    def fault_at(
        self, line: int, column: int, width: int, message: str, suggestion: str | None = None
    ) -> Fault:
        """A fault at a line and column counted from 0."""
        text = self.line(line)
        return Fault(
            at=Location(self.file, line + 1, column + 1),
            message=message,
            suggestion=suggestion,
            source=text if len(text) <= MAX_LINE else None,
            width=max(1, width),
        )

    def fault_within(
        self,
        scalar: YamlScalar,
        offset: int,
        width: int,
        message: str,
        suggestion: str | None = None,
    ) -> Fault:
        """A fault about ``width`` characters at ``offset`` of what a scalar says."""
        places = origins(scalar, self.text)
        first = places[min(offset, len(places) - 1)]
        last = places[min(offset + max(1, width) - 1, len(places) - 1)]
        line, column = self._line_and_column(first)
        end_line, end_column = self._line_and_column(last)
        if end_line != line:
            end_column = len(self.line(line).rstrip()) - 1
        return self.fault_at(line, column, end_column - column + 1, message, suggestion)

    def _line_and_column(self, index: int) -> tuple[int, int]:
        line, start = 0, 0
        for end in _BREAK.finditer(self.text, 0, index):
            line, start = line + 1, end.end()
        return line, index - start


def origins(scalar: YamlScalar, text: str) -> list[int]:
    """For each character that a scalar says, and for its end, its index in the document."""
    at = scalar.start.index
    double = scalar.style == '"'
    if scalar.style in ("|", ">"):
        head = _BREAK.search(text, at)
        at = head.end() if head else len(text)
    elif scalar.style in ("'", '"'):
        at += 1
    places = []
    stop = scalar.end.index
    for char in scalar.text:
        while at < stop and double and _is_folded(text, at):
            at = _behind_blanks(text, at + 1)
        if char not in _BLANKS:
            at = min(_behind_blanks(text, at), stop)
            while at < stop and double and _is_folded(text, at):
                at = _behind_blanks(text, at + 1)
        places.append(at)
        here = text[at : at + 1]
        if double and here == "\\":
            at += _ESCAPE_LENGTH.get(text[at + 1], 2)
        elif char == "'" and scalar.style == "'":
            at += 2
        elif here == char:
            at += 1
    places.append(at)
    return places


def _behind_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _is_folded(text: str, at: int) -> bool:
    return text[at] == "\\" and text[at + 1] in "\r\n"


def decode(file: str, data: str | bytes) -> tuple[Source, list[Fault]]:
    """The document as text, without a byte order mark, and what is wrong with its characters."""
    faults: list[Fault] = []
    if isinstance(data, bytes):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            source = Source(file, data[: error.start].decode("utf-8", "replace"))
            line, column = source._line_and_column(len(source.text))
            message = f"byte 0x{data[error.start]:02x} is not UTF-8"
            hint = "Save the file as UTF-8."
            return source, [source.fault_at(line, column, 1, message, hint)]
    else:
        text = data
    source = Source(file, text.removeprefix("\ufeff"))
    if len(source.text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        size = f"the document is larger than {MAX_BYTES} bytes"
        return source, [source.fault_at(0, 0, 1, size, "Split it into several files.")]
    for match in _FORBIDDEN.finditer(source.text):
        line, column = source._line_and_column(match.start())
        what = _NAMED.get(match[0], f"the character U+{ord(match[0]):04X}")
        hint = "Use spaces." if match[0] == "\t" else "Remove it, or write it as an escape."
        faults.append(source.fault_at(line, column, 1, f"{what} is not allowed here", hint))
        if len(faults) == 20:
            break
    return source, faults


def parse(source: Source) -> tuple[YamlNode | None, list[Fault]]:
    """The tree of a decoded document, and every fault found on the way.

    None when there is no document, or when it cannot be read further.
    """
    reader = _TreeReader(source)
    try:
        root = reader.document(yaml.parse(source.text, Loader=_LOADER))
    except _Stop:
        root = None
    except yaml.MarkedYAMLError as error:
        reader.faults.append(_syntax_fault(source, error))
        root = None
    return root, reader.faults


class _Stop(Exception):  # noqa: N818 - not an error: the fault has been noted
    """Reading cannot go on."""


class _TreeReader:
    """Builds the tree from parser events, so that a bomb is stopped before it is built."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.faults: list[Fault] = []

    def document(self, events: Iterator[Any]) -> YamlNode | None:
        root: YamlNode | None = None
        for event in events:
            kind = type(event)
            if kind is yaml.DocumentStartEvent:
                if event.version or event.tags:
                    self._note(event, "a YAML directive is not allowed", "Remove the line.")
                if root is not None:
                    self._note(event, "a second document in one file", "Use a file for each.")
                    raise _Stop
            elif issubclass(kind, yaml.NodeEvent):
                root = self._node(event, events, 1)
        return root

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> YamlNode:
        kind = type(event)
        if kind is yaml.AliasEvent:
            self._note(event, "a YAML alias is not allowed", _hint_for_star(self._source, event))
            return YamlScalar(event.start_mark, event.end_mark, "", None, "*")
        if event.anchor is not None:
            self._note(event, "a YAML anchor is not allowed", "Quote the value if it starts with &")
        if event.tag is not None:
            hint = "A value that starts with ! must be quoted: '! ...'"
            self._note(event, f"the YAML tag {event.tag} is not allowed", hint)
        if kind is yaml.ScalarEvent:
            return self._scalar(event)
        if depth > MAX_DEPTH:
            self._note(event, f"nested deeper than {MAX_DEPTH} levels")
            raise _Stop
        if kind is yaml.SequenceStartEvent:
            return self._list(event, events, depth)
        return self._map(event, events, depth)

    def _list(self, start: Any, events: Iterator[Any], depth: int) -> YamlList:
        items: list[YamlNode] = []
        event = next(events)
        while not _is(event, yaml.SequenceEndEvent):
            items.append(self._node(event, events, depth + 1))
            event = next(events)
        return YamlList(start.start_mark, event.end_mark, tuple(items))

    def _map(self, start: Any, events: Iterator[Any], depth: int) -> YamlMap:
        entries: dict[str, tuple[YamlScalar, YamlNode]] = {}
        event = next(events)
        while not _is(event, yaml.MappingEndEvent):
            key = self._key(event, events, depth)
            value = self._node(next(events), events, depth + 1)
            if key is not None and key.text in entries:
                first = entries[key.text][0].start.line + 1
                message = f"duplicate key {key.text[:60]!r}, already given in line {first}"
                self.faults.append(self._source.fault(key, message, "Keep one of them."))
            elif key is not None:
                entries[key.text] = key, value
            event = next(events)
        return YamlMap(start.start_mark, event.end_mark, entries)

    def _key(self, event: Any, events: Iterator[Any], depth: int) -> YamlScalar | None:
        if not _is(event, yaml.ScalarEvent):
            node = self._node(event, events, depth + 1)
            if not (isinstance(node, YamlScalar) and node.style == "*"):
                self.faults.append(self._source.fault(node, "a key must be a word, not a list"))
            return None
        key = YamlScalar(
            event.start_mark, event.end_mark, event.value, event.value, event.style or ""
        )
        if event.anchor is not None or event.tag is not None:
            self._note(event, "a key cannot have a YAML anchor or tag")
        if key.text == "<<" and not key.style:
            self._note(event, "a YAML merge key is not allowed", "Write the entries out.")
            return None
        return key

    def _scalar(self, event: Any) -> YamlScalar:
        text, style = event.value, event.style or ""
        value: str | int | float | bool | None = text
        if not style and event.tag is None:
            if text in _WORDS:
                value = _WORDS[text]
            elif _NOT_BOOLEAN.fullmatch(text):
                self._refuse_boolean(event, text)
            elif text[0] in "-+.0123456789":
                value = self._number(event, text)
        return YamlScalar(event.start_mark, event.end_mark, text, value, style)

    def _refuse_boolean(self, event: Any, text: str) -> None:
        plain = "true" if text.lower() in _TRUTHY else "false"
        message = f"some YAML readers take {text} for a boolean, others for a word"
        self._note(event, message, f"Write {plain}, or quote the word: '{text}'")

    def _number(self, event: Any, text: str) -> str | int | float:
        match = _JSON_NUMBER.fullmatch(text)
        if match and len(text) <= 40:
            number = int(text) if match[1] is None and match[2] is None else float(text)
            if abs(number) != math.inf:
                return number
        if match or _ODD_NUMBER.fullmatch(text):
            message = f"YAML readers disagree about what {text[:40]} means"
            self._note(event, message, f"Write a plain decimal number, or quote it: '{text[:40]}'")
        return text

    def _note(self, event: Any, message: str, suggestion: str | None = None) -> None:
        place = YamlScalar(event.start_mark, event.end_mark, "", None, "")
        self.faults.append(self._source.fault(place, message, suggestion))


def _is(event: object, kind: type) -> bool:
    return type(event) is kind


def _hint_for_star(source: Source, event: Any) -> str:
    written = source.text[event.start_mark.index : event.end_mark.index]
    return f"Write the value out; a pattern that starts with * must be quoted: '{written}'"


def _syntax_fault(source: Source, error: yaml.MarkedYAMLError) -> Fault:
    mark = cast("Mark", error.problem_mark)
    line = source.line(mark.line)
    message = f"not YAML: {error.problem}"
    if error.context:
        message += f", {error.context}"
    hint = None
    if "alias" in (error.context or ""):
        hint = "A pattern that starts with * must be quoted: '*'"
    elif "scanning a tag" in (error.context or ""):
        hint = "A value that starts with ! must be quoted: '! ...'"
    elif "mapping values" in (error.problem or ""):
        hint = "Quote a value that contains a colon followed by a blank, or indent by spaces."
    elif "cannot start any token" in (error.problem or ""):
        hint = f"Quote a value that starts with {line[mark.column : mark.column + 1]!r}."
    return source.fault_at(mark.line, mark.column, 1, message, hint)
