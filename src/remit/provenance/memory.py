"""What a session has seen, in bounded space: digests of values, records and numbers, no contents.

``observe`` reads one result. A field of a result is *platform-set* when the tool's declaration says
that the platform fills it in and its value looks like it (an identifier, address, number or date,
never prose); everything else carries the labels of the tool. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from remit.provenance import digests
from remit.provenance.digests import Runs

MAX_TRUSTED = 16_384
"""Digests of platform-set and trusted values that a session remembers."""
MAX_SEEN = 65_536
"""Digests that a session remembers for each label."""
MAX_RECORDS = 512
MAX_NUMBERS = 512
MAX_SAID = 40_000
"""Characters of the user's words."""


class Thing(Struct, frozen=True, array_like=True):
    """One thing of a result that has an identity: a mail, a file, a transaction."""

    identity: bytes
    names: tuple[bytes, ...] = ()
    """Digests of what may designate it."""
    values: tuple[bytes, ...] = ()
    """Digests of its platform-set values."""
    people: tuple[tuple[bytes, bytes], ...] = ()
    """Pairs of the name of a person and the address that it stands for."""


class Orders(Struct, frozen=True, array_like=True):
    """What the texts say that the user told the agent to follow."""

    verbs: frozenset[str] = frozenset()
    things: frozenset[str] = frozenset()
    names: frozenset[bytes] = frozenset()


class Memory(Struct, frozen=True, array_like=True):
    """Everything that one session remembers about where values came from."""

    said: tuple[str, ...] = ()
    """The user's words, in order."""
    own: tuple[bytes, ...] = ()
    """Digests of the user's own addresses."""
    trusted: Runs = ()
    records: tuple[Thing, ...] = ()
    numbers: tuple[str, ...] = ()
    """Trusted ones, as decimals."""
    pointed: tuple[str, ...] = ()
    """Numbers, dates and times in texts that the user pointed at."""
    orders: Orders = Orders()
    seen: Mapping[str, Runs] = field(default_factory=dict)
    """Digests by label."""
    overflown: tuple[str, ...] = ()
    """Labels of which something was forgotten, or was too long to be remembered whole."""


def say(memory: Memory, words: str) -> Memory:
    """The memory after the user said something."""
    said = [*memory.said, words[:MAX_SAID]]
    while len(said) > 1 and sum(map(len, said)) > MAX_SAID:
        said.pop(0)
    return replace(memory, said=tuple(said))


def join(memory: Memory, other: Memory) -> Memory:
    """One memory for two sessions of which the second saw for the first.

    What the user said to the other counts for that one alone.
    """
    return add(
        memory,
        Sighting(
            trusted=digests.split(other.trusted),
            records=list(other.records),
            numbers=list(other.numbers),
            pointed=[],
            orders=Orders(),
            labelled={label: digests.split(runs) for label, runs in other.seen.items()},
            cut=set(other.overflown),
        ),
    )


class Sighting:
    """What one result adds."""

    def __init__(
        self,
        trusted: set[int] | None = None,
        records: list[Thing] | None = None,
        numbers: list[str] | None = None,
        pointed: list[str] | None = None,
        orders: Orders | None = None,
        labelled: dict[str, set[int]] | None = None,
        cut: set[str] | None = None,
    ) -> None:
        self.trusted = trusted or set()
        self.records = records or []
        self.numbers = numbers or []
        self.pointed = pointed or []
        self.orders = orders or Orders()
        self.labelled = labelled or {}
        self.cut = cut or set()


def add(memory: Memory, seen: Sighting) -> Memory:
    """The memory with what a result adds, within its bounds."""
    trusted, _ = digests.add(memory.trusted, seen.trusted, MAX_TRUSTED)
    by_label = dict(memory.seen)
    overflown = {*memory.overflown, *seen.cut}
    for label, found in seen.labelled.items():
        by_label[label], forgot = digests.add(by_label.get(label, ()), found, MAX_SEEN)
        overflown |= {label} if forgot else set()
    return replace(
        memory,
        trusted=trusted,
        records=_latest(memory.records, seen.records, MAX_RECORDS),
        numbers=_latest(memory.numbers, seen.numbers, MAX_NUMBERS),
        pointed=_latest(memory.pointed, seen.pointed, MAX_NUMBERS),
        orders=Orders(
            verbs=memory.orders.verbs | seen.orders.verbs,
            things=memory.orders.things | seen.orders.things,
            names=memory.orders.names | seen.orders.names,
        ),
        seen=by_label,
        overflown=tuple(sorted(overflown)),
    )


def _latest(old: Sequence[Any], new: Sequence[Any], most: int) -> tuple[Any, ...]:
    """Both without repeats, the newest if they are too many."""
    return tuple(dict.fromkeys([*old, *new]))[-most:]
