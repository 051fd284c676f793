"""Reading one result: what a platform set in it, what others wrote, which records it tells of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from remit import text
from remit.provenance import lexicon, request
from remit.provenance.digests import as_number
from remit.provenance.forms import MAX_WORDS, decimal, digest, identity, leaf_form, words
from remit.provenance.lexicon import listed
from remit.provenance.memory import Memory, Orders, Sighting, Thing, add
from remit.provenance.moments import instant
from remit.provenance.request import UserWords, person, superlative
from remit.provenance.wide import marks, whole

MAX_LEAVES = 20_000
"""Values of one result that are read; the labels of the rest count as overflown."""
MAX_TEXT = 32_768
"""Characters of one result that are read closely; what is behind them counts as forgotten."""
MAX_MARKED = 131_072
"""Characters of one result of which copies are recognised."""
MAX_PROSE = 8_192
"""Characters of one trusted text, phrases of which are trusted."""
SHORT = 64
"""Characters up to which a value is remembered by itself; longer ones of a result together."""
MAX_ORDERS = 4_096
MAX_COMPARED = 1_000
"""Most records of a list among which the largest and so on are found."""
MAX_DEPTH = 24

_LEAF = str | int | float
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAMING = listed(
    "name title subject filename label topic id key number code url path link slug username "
    "handle sender from author email iban account reference channel file login"
)
_MONEY = listed("amount price total cost sum value fee balance paid due rate")
_PREFIX = re.compile(r"^(?:(?:re|fwd?|aw|wg):\s*)+", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")


class Fields(Struct, frozen=True, kw_only=True):
    """What a tool's declaration says of the fields of its result."""

    labels: tuple[str, ...] = ()
    """Of everything that ``by_path`` does not name."""
    by_path: Mapping[str, tuple[str, ...]] = {}
    """Labels by place, such as ``result.rows.*.note``."""
    platform: tuple[str, ...] = ()
    """Names of fields that the platform sets, as patterns."""
    claimed: tuple[str, ...] = ()
    """Names of fields in which others say who they are, such as the sender of a mail."""


def observe(memory: Memory, result: Any, arguments: Any, fields: Fields) -> Memory:
    """The memory after a result was read.

    Args:
        memory: what the session remembers.
        result: a JSON value.
        arguments: those of the call; a text asked for by a name that the user gave is one that
            the user pointed at.
        fields: the declaration.
    """
    said = request.read("\n".join(memory.said))
    return add(memory, _ResultReader(said, fields, _is_pointed(arguments, said)).read(result))


def _is_pointed(arguments: Any, said: UserWords) -> bool:
    """Whether the user named what is read: a file, an address, an id, and not just a word."""
    return any(
        isinstance(value, str)
        and (form := identity(value))[0] == "x"
        and digest(form) in said.forms
        for value in _flat(arguments)
    )


def _flat(value: Any) -> Iterable[Any]:
    if isinstance(value, _LEAF):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    elif value is not None:
        for each in value.values():
            yield from _flat(each)


class _ResultReader:
    def __init__(self, said: UserWords, fields: Fields, pointed: bool) -> None:
        self._said = said
        self._fields = fields
        self._pointed = pointed
        self._seen = Sighting()
        self._left = MAX_LEAVES
        self._room = MAX_TEXT
        self._texts: dict[tuple[str, ...], list[str]] = {}
        self._unmarked = MAX_MARKED

    def read(self, result: Any) -> Sighting:
        if isinstance(result, str):
            result = _parsed(result)
        self._walk(result, ("result",), self._fields.labels, self._pointed)
        for labels, texts in self._texts.items():
            self._remember(marks("\n".join(texts)), labels)
        return self._seen

    def _walk(
        self, value: Any, path: tuple[str, ...], labels: tuple[str, ...], pointed: bool
    ) -> None:
        labels = self._labels(path, labels)
        if self._left <= 0 or self._room <= 0 or len(path) > MAX_DEPTH:
            self._skim(value, labels)
        elif isinstance(value, _LEAF):
            if not isinstance(value, bool):
                self._left -= 1
                self._leaf(value, path, labels, pointed)
        elif isinstance(value, list | tuple):
            self._extremes(value)
            for at, each in enumerate(value):
                if self._room <= 0:
                    self._skim(value[at:], labels)
                    break
                self._walk(each, (*path, "*"), labels, pointed)
        elif value is not None:
            pointed = self._record(value, path, labels) or pointed
            for key, each in value.items():
                self._key(key, path, labels)
                self._walk(each, (*path, key), labels, pointed)

    def _labels(self, path: tuple[str, ...], labels: tuple[str, ...]) -> tuple[str, ...]:
        by_path = self._fields.by_path
        return by_path.get(".".join(path), labels) if by_path else labels

    def _skim(self, value: Any, labels: tuple[str, ...]) -> None:
        """Remember texts of what is not read closely any more, under every label it may have."""
        every = {*labels, *(each for given in self._fields.by_path.values() for each in given)}
        labels = tuple(sorted(every))
        self._seen.cut |= every
        for each in _flat(value) if labels else ():
            if self._unmarked <= 0:
                break
            if isinstance(each, str):
                self._keep(each, labels)

    def _key(self, key: str, path: tuple[str, ...], labels: tuple[str, ...]) -> None:
        """Keys that are data, such as the addresses that a file is shared with."""
        if not key.isidentifier():
            self._leaf(key, path, labels, False)

    def _leaf(
        self, value: Any, path: tuple[str, ...], labels: tuple[str, ...], pointed: bool
    ) -> None:
        if not labels or self._is_platform(value, path):
            self._trust(value)
            # What a platform set is not untrusted; it may be confidential all the same.
            labels = tuple(label for label in labels if label != "untrusted")
        if labels:
            self._mark(value, labels)
        if pointed:
            self._point(value)
        self._room -= len(value) if isinstance(value, str) else 8

    def _is_platform(self, value: Any, path: tuple[str, ...]) -> bool:
        return _fits(self._fields.platform, path) and _is_bare(value)

    def _trust(self, value: Any) -> None:
        if isinstance(value, int | float):
            numeral = decimal(value)
            if numeral is not None:
                self._seen.numbers.append(numeral)
                self._seen.trusted.add(as_number(digest(f"n:{numeral}")))
            return
        form = identity(value)
        self._seen.trusted.add(as_number(digest(form)))
        if form.startswith("n:"):
            self._seen.numbers.append(form[2:])
        elif not _is_bare(value):
            found = request.read(value[: min(self._room, MAX_PROSE)])
            self._seen.trusted |= set(map(as_number, found.forms))
            self._seen.numbers += sorted(found.numbers)

    def _mark(self, value: Any, labels: tuple[str, ...]) -> None:
        written = value if isinstance(value, str) else decimal(value) or ""
        if len(written) > self._room:
            self._seen.cut |= set(labels)
        if len(written) <= SHORT and (mark := whole(written)) is not None:
            self._remember({mark}, labels)
        self._keep(written, labels)

    def _keep(self, written: str, labels: tuple[str, ...]) -> None:
        """Keep a text for when all of the result is marked."""
        self._texts.setdefault(labels, []).append(written[: self._unmarked])
        self._unmarked -= len(written)

    def _remember(self, found: set[int], labels: tuple[str, ...]) -> None:
        for label in labels:
            self._seen.labelled.setdefault(label, set()).update(found)

    def _point(self, value: Any) -> None:
        """Numbers and orders of a text that the user pointed at."""
        if not isinstance(value, str):
            numeral = decimal(value)
            self._seen.pointed += [] if numeral is None else [numeral]
            return
        value = value[: max(self._room, 0)]
        self._seen.pointed += request.figures(value)
        if self._said.delegates:
            found = request.read(value)
            before = self._seen.orders
            names = sorted(before.names | found.names)[:MAX_ORDERS]
            self._seen.orders = Orders(
                before.verbs | found.verbs, before.things | found.things, frozenset(names)
            )

    # Records

    def _record(
        self, value: Mapping[str, Any], path: tuple[str, ...], labels: tuple[str, ...]
    ) -> bool:
        """Note the record, if it is one; whether the user designated it."""
        values: list[bytes] = []
        names: set[bytes] = set()
        people: set[tuple[bytes, bytes]] = set()
        for key, each in value.items():
            names |= self._names(key, each)
            for leaf, place, claimed in self._leaves(each, (*path, key), labels, 0):
                mark = digest(leaf_form(leaf))
                people |= {(person(part), mark) for part in _people(leaf)}
                if not claimed:
                    values.append(mark)
                elif place == key:
                    names.add(mark)
        if not values and not people:
            return False
        own = [digest(leaf_form(each)) for key, each in value.items() if _is_id(key, each)]
        first = own[0] if own else digest("|".join(sorted(map(str, values))))
        named = frozenset(names)
        self._seen.records.append(
            Thing(first, tuple(sorted(named)), tuple(dict.fromkeys(values)), tuple(sorted(people)))
        )
        return not self._said.names.isdisjoint(named)

    def _leaves(
        self, value: Any, path: tuple[str, ...], labels: tuple[str, ...], depth: int
    ) -> Iterable[tuple[Any, str, bool]]:
        """Platform-set values in a field of a record, with whether others only claim them."""
        labels = self._labels(path, labels)
        if isinstance(value, _LEAF):
            claimed = bool(labels) and _fits(self._fields.claimed, path)
            platform = not labels or claimed or _fits(self._fields.platform, path)
            if platform and not isinstance(value, bool) and _is_bare(value):
                yield value, path[-1], claimed
        elif isinstance(value, list | tuple):
            for each in value[:64]:
                yield from self._leaves(each, (*path, "*"), labels, depth + 1)
        elif value is not None and depth < 2:
            for key, each in value.items():
                if not key.isidentifier() and _fits(self._fields.platform, path):
                    yield key, path[-1], _fits(self._fields.claimed, path)
                yield from self._leaves(each, (*path, key), labels, depth + 1)

    def _names(self, key: str, value: Any) -> set[bytes]:
        """Digests of what a field says the record may be called."""
        parts = _parts(key)
        if isinstance(value, str) and not _NAMING.isdisjoint(parts) and len(value) <= 200:
            bare = _PREFIX.sub("", value)
            called = {bare, _EXTENSION.sub("", bare)}
            found = {identity(each) for each in called}
            found |= {f"w:{' '.join(words(each))}" for each in called}
            return {digest(each) for each in found if _tells(each)}
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not _MONEY.isdisjoint(parts):
            return {digest(f"money:{decimal(value)}")}
        return set()

    def _extremes(self, items: Any) -> None:
        """Note which records of a list have the most and the least of what is measured."""
        if not 1 < len(items) <= MAX_COMPARED:
            return
        records = [each for each in items if isinstance(each, Mapping)]
        if len(records) < len(items):
            return
        for key in records[0]:
            wanted = _MEASURES.intersection(_parts(key))
            if not wanted:
                continue
            measured = [(_measure(each.get(key)), each) for each in records]
            known = [(size, each) for size, each in measured if size is not None]
            if len(known) == len(records) and len({type(size) for size, _ in known}) == 1:
                ordered = sorted(known, key=lambda pair: pair[0])
                for end, (size, record) in (("min", ordered[0]), ("max", ordered[-1])):
                    if sum(other == size for other, _ in known) == 1:
                        self._extreme(record, {superlative(each, end) for each in wanted})

    def _extreme(self, record: Mapping[str, Any], names: set[bytes]) -> None:
        own = [digest(leaf_form(each)) for key, each in record.items() if _is_id(key, each)]
        if own:
            self._seen.records.append(Thing(own[0], tuple(sorted(names)), (own[0],)))


_MEASURES = frozenset(field for _, fields in lexicon.SUPERLATIVES.values() for field in fields)


def _parsed(value: str) -> Any:
    """The JSON value that a text is, if it is an object or a list; else the text."""
    if value[:1] in ("{", "[") and len(value) < 4_000_000:
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def _fits(patterns: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether the innermost name in the path fits a pattern."""
    return _fits_name(patterns, next(part for part in reversed(path) if part != "*"))


@lru_cache(maxsize=1024)
def _fits_name(patterns: tuple[str, ...], name: str) -> bool:
    name = text.name(name)
    return any(text.matches(pattern, name) for pattern in patterns)


@lru_cache(maxsize=1024)
def _parts(key: str) -> tuple[str, ...]:
    """The words of a field's name."""
    return tuple(part.lower() for part in _TOKEN.findall(key))


def _is_bare(value: Any) -> bool:
    """Whether a value is an identifier, number, address or date, and no prose."""
    if not isinstance(value, str):
        return isinstance(value, int | float)
    return len(value) <= 200 and (len(value.split(None, 1)) <= 1 or instant(value) is not None)


def _is_id(key: str, value: Any) -> bool:
    parts = _parts(key)
    return (
        bool(parts)
        and parts[-1] in ("id", "uid", "uuid", "key", "number")
        and (isinstance(value, str | int) and not isinstance(value, bool))
    )


def _tells(form: str) -> bool:
    """Whether a name is one that tells a thing from others."""
    kind, _, rest = form.partition(":")
    if kind != "w":
        return len(rest) > 1
    parts = rest.split()
    return (
        0 < len(parts) <= MAX_WORDS
        and len(rest) > 2
        and not all(part in lexicon.STOP or part in lexicon.VERBS for part in parts)
    )


def _people(value: Any) -> list[str]:
    """The parts of an address that may be names of its owner."""
    if not isinstance(value, str) or "@" not in value:
        return []
    local = value.partition("@")[0]
    return [part for part in words(local) if part.isalpha() and len(part) > 2]


def _measure(value: Any) -> float | str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and instant(value[:32]) is not None:
        return value
    return None


__all__ = ["Fields", "observe"]
