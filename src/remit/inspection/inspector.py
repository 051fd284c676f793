"""Looking: which signs are in a value, where, and in which encoding.

A ``TextInspector`` runs over a JSON value once with all triggers (one automaton), then with
the full patterns of those that were seen. Where it looks deep, it looks again at everything that
the texts say when they are decoded, and when they are put together. No I/O, linear, bounded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any

import re2
from msgspec import Struct

from remit import text as texts
from remit.inspection.encodings import Reading, decoded, places, strings
from remit.inspection.personal import PERSONAL
from remit.inspection.secrets import SECRETS
from remit.inspection.showing import shown
from remit.inspection.signs import Sign
from remit.inspection.wording import EXFILTRATION, HIDDEN, INJECTION, POISONING
from remit.model import Finding

SIGNS = (*SECRETS, *PERSONAL, *INJECTION, *HIDDEN, *EXFILTRATION, *POISONING)
"""Every sign that is looked for in texts."""

MOST = 64
"""Most findings of one look; a rule needs no more than one."""
MOST_OF_A_SIGN = 8
"""Most findings of one sign."""
TOGETHER = 262_144
"""Characters up to which the texts of a value are also read as if they were one."""
RESULT = 65_536
"""Characters up to which results are decoded."""

_MEMORY = 64 << 20
_BETWEEN = "\n\x1e\n"
_JOINED = frozenset({"spaced", "wrapped"})
_CARRIERS = frozenset({"base64", "base64-url", "base32", "hexadecimal", "decimal", "selectors"})
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


_ENCODED = Sign(
    id="encoded-text",
    kind="exfiltration",
    catches="Text in base64, base32, hexadecimal, decimal or hidden characters",
    pattern="",
    example="Y3VzdG9tZXJzIG9mIHRoaXMgcXVhcnRlcg==",
    counter="d41d8cd98f00b204e9800998ecf8427e",
)
_LAYERS = Sign(
    id="encoding-layers",
    kind="hidden-text",
    catches="A text that was made to have more encodings than are looked through",
    pattern="",
    example="",
    counter="",
)
TEXT_SIGNS = (_ENCODED, _LAYERS)
"""Signs of texts that no pattern says."""


class _Hit(Struct, frozen=True):
    sign: Sign
    start: int
    end: int
    found: bytes


class TextInspector:
    """Looks for the signs of some kinds. May be shared by threads."""

    def __init__(self, kinds: Iterable[str], hosts: Iterable[str] = ()) -> None:
        """Choose what to look for.

        Args:
            kinds: of findings.
            hosts: that may be linked to, ``*`` for any run of characters.
        """
        self.kinds = frozenset(kinds)
        self.hosts = tuple(host.lower() for host in hosts)
        wanted = (each for each in SIGNS if each.kind in self.kinds)
        self.signs = tuple(each for each in wanted if self.hosts or each.id != "host-off-list")
        options = re2.Options()
        options.max_mem = _MEMORY
        self._triggers = re2.Set.SearchSet(options)
        for sign in self.signs:
            self._triggers.Add(sign.trigger or sign.pattern)
        # It is in every text. Where not even that is seen, the automaton has run out of memory.
        self._triggers.Add("")
        self._triggers.Compile()

    def look(self, value: Any, where: str = "args", *, deep: bool = True) -> tuple[Finding, ...]:
        """What is found in a JSON value.

        Args:
            value: the value.
            where: its place, such as ``args`` or ``result``.
            deep: whether texts are decoded and put together, however long; else only short ones.

        Raises:
            MemoryError: it could not be searched.
        """
        leaves = strings(value)
        whole = _BETWEEN.join(leaves)
        if not self.signs or not whole:
            return ()
        spots = _Spots(value, leaves, where)
        found: dict[tuple[str, str, bytes], Finding] = {}
        for hit in self._hits(whole.encode("utf-8", "replace"), exact=True):
            place = spots.of(hit.start)
            found[hit.sign.id, place, hit.found] = _finding(hit, place, ())
        if deep or len(whole) <= RESULT:
            seen = {(sign, said) for sign, _, said in found}
            for hit, how in (*self._said(whole), *self._split(strings(value, keys=False))):
                if (hit.sign.id, hit.found) not in seen:
                    found.setdefault((hit.sign.id, "", hit.found), _finding(hit, where, how))
        return tuple(found.values())[:MOST]

    def _said(self, whole: str) -> Iterator[tuple[_Hit, tuple[str, ...]]]:
        """What is in a text once it is decoded."""
        found, complete = decoded(whole)
        if not complete and "hidden-text" in self.kinds:
            yield _Hit(_LAYERS, 0, 0, b""), ("more than can be read",)
        for reading in found:
            carrier = len(reading.how) == 1 and reading.how[0] in _CARRIERS
            if carrier and "exfiltration" in self.kinds:
                yield _Hit(_ENCODED, 0, 0, b""), reading.how
            joined = not _JOINED.isdisjoint(reading.how)
            for hit in self._hits(reading.text.encode("utf-8", "replace"), exact=False):
                if hit.sign.together or not (joined or hit.sign.kind == "hidden-text"):
                    yield hit, reading.how

    def _split(self, parts: Sequence[str]) -> Iterator[tuple[_Hit, tuple[str, ...]]]:
        """What is in the texts of a value when they are read as one."""
        whole = "".join(parts)
        if len(parts) < 2 or len(whole) > TOGETHER:
            return
        for reading in (Reading(whole, ()), *decoded(whole)[0]):
            for hit in self._hits(reading.text.encode("utf-8", "replace"), exact=False):
                if hit.sign.together:
                    yield hit, ("pieces", *reading.how)

    def _hits(self, data: bytes, *, exact: bool) -> Iterator[_Hit]:
        """Every match that counts. ``exact``: as it is written, not decoded or put together."""
        seen = self._triggers.Match(data)
        if seen is None:
            raise MemoryError("a text could not be searched within the memory set for that")
        for index in sorted(seen)[:-1]:
            sign = self.signs[index]
            count = 0
            for match in _compiled(sign.pattern).finditer(data):
                start, end = match.span()
                inner = match.group(1) if match.re.groups else match.group()
                if not self._counts(sign, data, start, end, inner, exact):
                    continue
                yield _Hit(sign, start, end, match.group())
                count += 1
                if count == MOST_OF_A_SIGN:
                    break

    def _counts(
        self, sign: Sign, data: bytes, start: int, end: int, inner: bytes, exact: bool
    ) -> bool:
        if exact and sign.bordered and _touched(data, start, end):
            return False
        if not exact and sign.certain is not None and not sign.certain(inner):
            return False
        if sign.hosted and self._listed(inner):
            return False
        return sign.check is None or sign.check(inner)

    def _listed(self, authority: bytes) -> bool:
        """Whether a URL's authority is nothing but a listed host and perhaps a port."""
        host = authority.decode("utf-8", "replace").lower().partition(":")[0].rstrip(".")
        return "@" not in host and any(texts.matches(each, host) for each in self.hosts)


def _touched(data: bytes, start: int, end: int) -> bool:
    before = start > 0 and data[start] in _WORD and data[start - 1] in _WORD
    return before or (end < len(data) and data[end - 1] in _WORD and data[end] in _WORD)


class _Spots:
    """Where in a value the texts are that were laid end to end."""

    def __init__(self, value: Any, leaves: Sequence[str], where: str) -> None:
        self.where = where
        self._value = value
        self._leaves = leaves
        self._ends: list[int] = []
        self._places: list[str] = []

    def of(self, offset: int) -> str:
        """The place of the text that has the byte at ``offset``."""
        if not self._ends:
            sizes = (len(each.encode("utf-8", "replace")) + len(_BETWEEN) for each in self._leaves)
            self._ends = list(accumulate(sizes))
            self._places = places(self._value, self.where)
        return self._places[bisect_right(self._ends, offset)]


def _finding(hit: _Hit, where: str, how: tuple[str, ...]) -> Finding:
    sign, said = hit.sign, hit.found.decode("utf-8", "replace")
    quoted = shown(said[:80])
    if sign.kind in ("secret", "personal-data"):
        quoted = f"{shown(said[:4])}... ({len(said)} characters)"
    form = f"written in {' in '.join(how)}" if how else ""
    message = ", ".join(part for part in (quoted, form) if part)
    return Finding(kind=sign.kind, sign=sign.id, where=where, message=message)


@cache
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern.encode())


@lru_cache(maxsize=64)
def inspector(kinds: frozenset[str], hosts: tuple[str, ...] = ()) -> TextInspector:
    """The inspector for some kinds of findings, made once."""
    return TextInspector(kinds, hosts)
