"""Every way in which some server could read what reached it.

A gateway that decides on one reading of a message while the server acts on another is no gateway.
So the tests ask of each body that reached the server: which tools could any server, however it
reads, take this for a call of?
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DECODER = json.JSONDecoder(object_pairs_hook=lambda pairs: Pairs(tuple(pairs)))
_ANY_NAME = re.compile(r'"name"\s*:\s*"([^"]*)"')
_NAME_HEADER = re.compile(r"\r\nmcp-name: *([^\r\n]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Pairs:
    """A JSON object with all its keys, however often each is there."""

    pairs: tuple[tuple[str, Any], ...]

    def under(self, key: str) -> Iterator[Any]:
        """The value of every key that someone could take for this one."""
        return (value for name, value in self.pairs if folded(name) == key)


@dataclass(frozen=True)
class Reached:
    """One request that reached the server."""

    head: str
    body: bytes
    connection: int

    @property
    def tools(self) -> set[str]:
        """Every tool that it could be read as a call of."""
        found = texts(self.body) if self.head else by_line(self.body)
        named = {name for text in found for name in called(text)}
        return named | {folded(_header(value)) for value in _NAME_HEADER.findall(self.head)}


def _header(value: str) -> str:
    """A header's value; what is no plain text comes as ``=?base64?...?=``."""
    coded = re.fullmatch(r"=\?base64\?(.*)\?=", value)
    return base64.b64decode(coded[1]).decode() if coded else value


def read_journal(path: Path) -> list[Reached]:
    """What reached the scripted server."""
    if not path.exists():
        return []
    entries = map(json.loads, path.read_text("ascii").splitlines())
    return [
        Reached(each["head"], each["body"].encode("latin-1"), each["connection"])
        for each in entries
    ]


def folded(text: str) -> str:
    """Text as the most forgiving comparison sees it: NFKC, case and invisible characters gone."""
    plain = unicodedata.normalize("NFKC", text)
    visible = "".join(each for each in plain if unicodedata.category(each) not in ("Cf", "Cc"))
    return visible.casefold().strip()


def texts(body: bytes) -> Iterator[str]:
    """What the bytes could be as text."""
    for plain in (body, *_unpacked(body)):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
            with suppress(UnicodeDecodeError):
                yield plain.decode(encoding)


def by_line(body: bytes) -> Iterator[str]:
    """The same over stdio, where what some reader takes for a line is a message."""
    for text in texts(body):
        yield text
        yield from text.splitlines()


def _unpacked(body: bytes) -> Iterator[bytes]:
    for unpack in (gzip.decompress, zlib.decompress, lambda data: zlib.decompress(data, -15)):
        with suppress(OSError, EOFError, zlib.error):
            yield unpack(body)


def called(text: str) -> Iterator[str]:
    """Tools that a text names in ``tools/call``, in whichever of its JSON values."""
    at = 0
    while (begin := re.compile(r"[\[{]").search(text, at)) is not None:
        try:
            value, at = _DECODER.raw_decode(text, begin.start())
        except ValueError:
            at = begin.start() + 1
            continue
        except RecursionError:  # some parser goes deeper: the worst is assumed
            yield from map(folded, _ANY_NAME.findall(text))
            return
        yield from _called(value)


def _called(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _called(each)
    if not isinstance(value, Pairs):
        return
    if any(
        isinstance(method, str) and folded(method) == "tools/call"
        for method in value.under("method")
    ):
        for params in value.under("params"):
            if isinstance(params, Pairs):
                yield from (folded(name) for name in params.under("name") if isinstance(name, str))
