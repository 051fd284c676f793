"""The answers: who gave a value of a call, and whether the user asked for such a call.

A value is *from the user* when it stands in the user's words, or is platform-set in a record that
the user's words designate: by its title or id, by a sum of money, by the name of the person whose
address it is, or by a superlative; and designate alone, because a second record of that name makes
it a guess. It is *from trusted data* when it is from the user or a platform set it anywhere. It is
*grounded* when it is from trusted data, or computed from such, or stands in a text that the user
pointed at. Everything answers no when nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from remit.provenance import derivation, lexicon, request, wide
from remit.provenance.digests import holds, meets
from remit.provenance.forms import MAX_WORDS, chunks, decimal, digest, identity, leaf_form, words
from remit.provenance.lexicon import listed
from remit.provenance.memory import Memory, Thing
from remit.provenance.moments import instant

_FIXED = frozenset({"type", "kind", "format", "mime_type", "mimetype", "encoding"})
"""Keys inside an argument whose value is one of the tool's own words."""
_ENUMS = {"r": "read", "w": "write", "rw": "write", "x": "execute", "ro": "read"}

_decode = msgspec.json.Decoder(Memory).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def stored(memory: Memory) -> bytes:
    """A memory as bytes."""
    return _encode(memory)


@lru_cache(maxsize=64)
def recalled(body: bytes) -> Provenance:
    """What ``stored`` made, ready to answer."""
    return Provenance(_decode(body))


class Provenance:
    """Answers about values, from the memory of one session. Immutable to its callers."""

    def __init__(self, memory: Memory) -> None:
        """Make ready to answer from ``memory``."""
        self.memory = memory
        self.said = request.read("\n".join(memory.said))
        self._by_value: dict[bytes, list[Thing]] | None = None
        self._by_name: dict[bytes, set[bytes]] = {}
        self._people: dict[bytes, set[bytes]] = {}

    # Values

    def from_user(self, value: Any) -> bool:
        """Whether every part of a value was given or designated by the user."""
        parts = list(leaves(value))
        others = [leaf for leaf in parts if not self._is_own(leaf)]
        return all(map(self._user_gave, others)) and (
            bool(others) or all(map(self._user_meant, parts))
        )

    def from_trusted(self, value: Any) -> bool:
        """Whether every part of a value is from the user or from trusted data."""
        return all(self._user_gave(leaf) or self._is_trusted(leaf) for leaf in leaves(value))

    def grounded(self, value: Any) -> bool:
        """Whether every part is from trusted data or computed from it by a stated computation."""
        return all(
            self._user_gave(leaf) or self._is_trusted(leaf) or self._is_derived(leaf)
            for leaf in leaves(value)
        )

    def vouched(self, value: Any) -> bool:
        """Whether every part is from trusted data or computed from it, not from texts alone.

        As ``grounded``, but a number or a date in a text that the user pointed at does not count:
        whoever wrote that text would decide.
        """
        bare = self._bare
        return all(
            self._user_gave(leaf) or self._is_trusted(leaf) or bare._is_derived(leaf)
            for leaf in leaves(value)
        )

    @cached_property
    def _bare(self) -> Provenance:
        """The same without what stands in texts that the user pointed at."""
        return Provenance(replace(self.memory, pointed=()))

    def unseen(self, value: Any) -> bool:
        """Whether some part of a value came from nowhere: not from the user, nor any result."""
        return any(
            not self._user_gave(leaf)
            and not self._is_trusted(leaf)
            and not self._is_derived(leaf)
            and not any(self._carries(leaf, label) for label in self.memory.seen)
            for leaf in leaves(value)
        )

    def flows(self, value: Any, label: str) -> bool:
        """Whether some part of a value carries data with a label, or may have been made of it.

        A part that the user gave does not. A part that was seen in such data does, and so does one
        that came from nowhere: the model may have worded it anew.
        """
        parts = [leaf for leaf in leaves(value) if not self._user_gave(leaf)]
        if any(self._carries(leaf, label) for leaf in parts):
            return True
        together = "".join(str(leaf) for leaf in parts)
        if len(parts) > 1 and self._carries(together, label):
            return True
        if label in self.memory.overflown and label != "untrusted":
            return bool(parts)
        return any(not self._is_trusted(leaf) and not self._is_derived(leaf) for leaf in parts)

    def copies(self, value: Any, label: str) -> bool:
        """Whether a part repeats something seen in data with a label, of which the user knows not.

        Words in a row or an identifier; what the user gave or designated does not count, and what
        the model words anew is not seen.
        """
        parts = [leaf for leaf in leaves(value) if not self._user_gave(leaf)]
        if label in self.memory.overflown:
            return bool(parts)
        runs = self.memory.seen.get(label, ())
        return any(
            meets(runs, self._foreign(reading))
            for leaf in parts
            for reading in wide.readings(leaf if isinstance(leaf, str) else decimal(leaf) or "")
        )

    def _foreign(self, text: str) -> set[int]:
        """The traces of a text without those of what the user gave or designated."""
        for piece in chunks(text):
            if not piece.isalpha() and self._user_gave(piece):
                text = text.replace(piece, "\n")
        return wide.traces(text) - self._own_traces

    @cached_property
    def _own_traces(self) -> set[int]:
        return {trace for words in self.memory.said for trace in wide.traces(words)}

    def why(self, value: Any) -> str:
        """Where each part of a value is from, in words, for people."""
        return "; ".join(f"{leaf!r} {self._source(leaf)}" for leaf in list(leaves(value))[:4])

    def _source(self, leaf: Any) -> str:
        if self._user_gave(leaf):
            return "is from the user"
        if self._is_trusted(leaf):
            return "was set by a platform, not by the user"
        if (how := self.derivation(leaf)) is not None:
            return f"is computed: {how}"
        labels = [label for label in sorted(self.memory.seen) if self._carries(leaf, label)]
        return f"was seen in data that is {', '.join(labels)}" if labels else "came from nowhere"

    def _is_own(self, leaf: Any) -> bool:
        return isinstance(leaf, str) and digest(identity(leaf)) in self.memory.own

    def _user_meant(self, leaf: Any) -> bool:
        """Whether the user's own address, alone, is what the user asked for.

        It is in nearly every record, so that a record designates nothing by it. Beside others it
        lets nobody else see anything.
        """
        return self.said.to_self or digest(identity(leaf)) in self.said.forms

    def _user_gave(self, leaf: Any) -> bool:
        if isinstance(leaf, str):
            if leaf.lower() in _ENUMS and _ENUMS[leaf.lower()] in self.said.bases:
                return True
            form = identity(leaf)
            if form.startswith("w:") and form.count(" ") >= MAX_WORDS:
                return self._user_spoke(form[2:].split())
        else:
            form = leaf_form(leaf)
        mark = digest(form)
        return form == "w:" or mark in self.said.forms or self._is_designated(mark)

    def _user_spoke(self, tokens: list[str]) -> bool:
        """Whether a long text is the user's own: every run of words in it is."""
        runs = (tokens[at : at + MAX_WORDS] for at in range(len(tokens) - MAX_WORDS + 1))
        return all(digest(f"w:{' '.join(run)}") in self.said.forms for run in runs)

    def _is_trusted(self, leaf: Any) -> bool:
        form = leaf_form(leaf)
        return holds(self.memory.trusted, digest(form))

    def _is_derived(self, leaf: Any) -> bool:
        return self.derivation(leaf) is not None

    def derivation(self, leaf: Any) -> str | None:
        """How a number or a moment is computed from grounded ones, in words."""
        form = leaf_form(leaf)
        said, memory = self.said, self.memory
        if form.startswith("n:"):
            given = [*said.numbers, *memory.pointed]
            if form[2:] in given:
                return form[2:]
            return derivation.computes(form[2:], given, memory.numbers, said.percents)
        if isinstance(leaf, str) and (moment := instant(leaf)) is not None:
            return self._moment(*moment)
        return None

    def _moment(self, day: str, time: str | None) -> str | None:
        minutes = self.said.minutes
        for date, clock in ((day, time), *derivation.later(day, time, minutes)):
            if self._is_day(date) and (clock is None or self._is_time(clock)):
                return date if clock is None else f"{date} {clock}"
        return None

    def _is_day(self, day: str) -> bool:
        known = {*self.said.dates, *self.memory.pointed}
        return day in known or day[-5:] in known or self._is_trusted(day)

    def _is_time(self, time: str) -> bool:
        return time in self.said.times or time in self.memory.pointed

    def _carries(self, leaf: Any, label: str) -> bool:
        runs = self.memory.seen.get(label)
        if not runs:
            return False
        written = leaf if isinstance(leaf, str) else decimal(leaf) or ""
        return any(meets(runs, wide.traces(reading)) for reading in wide.readings(written))

    # Records

    def _is_designated(self, mark: bytes) -> bool:
        """Whether the user's words designate one record, and the value is in it."""
        if self._by_value is None:
            self._index()
        assert self._by_value is not None
        wanted = self.said.names | self.memory.orders.names
        for record in self._by_value.get(mark, ()):
            for name in record.names:
                if name in wanted and len(self._by_name[name]) == 1:
                    return True
        return any(
            mark in addresses and len(addresses) == 1
            for name, addresses in self._people.items()
            if name in self.said.names
        )

    def _index(self) -> None:
        self._by_value = {}
        for record in self.memory.records:
            for value in record.values:
                self._by_value.setdefault(value, []).append(record)
            for name in record.names:
                self._by_name.setdefault(name, set()).add(record.identity)
            for name, address in record.people:
                self._people.setdefault(name, set()).add(address)

    # Kinds of action

    def asked_for(self, name: str, does: tuple[str, ...]) -> bool:
        """Whether the user's request asks for this kind of action."""
        return self.asked(name, does) is not None

    def asked(self, name: str, does: tuple[str, ...]) -> str | None:
        """The verb with which the user asked for this kind of action; None if they did not."""
        verb, nouns = operation(name)
        if "pay" in does and not nouns:
            nouns = lexicon.things(("payment",))
        families = lexicon.VERBS.get(verb, frozenset()) - {"read"}
        families |= frozenset(each for kind in does for each in _KINDS[kind] if not verb)
        if "pay" in does and "create" in families:
            # To make or schedule a payment is to pay.
            families |= {"pay"}
        if set(does) <= {"read"}:
            return "reading needs no request"
        if lexicon.VERBS.get(verb) == frozenset({"read"}):
            return self._looked(nouns)
        strict = not _STRICT.isdisjoint(does)
        found = _asks(self.said.verbs, self.said.things, verb, families, nouns, strict)
        orders = self.memory.orders
        if found is None and not strict and orders.verbs:
            found = _asks(orders.verbs, orders.things, verb, families, nouns, False)
        return found

    def _looked(self, nouns: frozenset[str]) -> str | None:
        """The verb that asks to look at exactly this, for a tool that changes what it reads."""
        verbs = (said for said in sorted(self.said.verbs) if "read" in lexicon.VERBS[said])
        return next(verbs, None) if nouns and nouns <= self.said.things else None


_OWNER = re.compile(r"^.*(?:[./:]|__)(?=.)")
_KINDS: Mapping[str, tuple[str, ...]] = {
    "read": ("read",),
    "write": ("create", "modify"),
    "send": ("send",),
    "execute": ("execute",),
    "pay": ("pay",),
    "delete": ("delete",),
    "admin": ("admin",),
}
_STRICT = frozenset({"pay", "delete", "admin", "execute"})
"""Classes for which the thing must be named too, and which no text but the user's can ask for."""
_TRANSFERS = listed("pay refund reimburse wire repay settle donate transfer tip")


def _asks(
    verbs: frozenset[str],
    things: frozenset[str],
    verb: str,
    families: frozenset[str],
    nouns: frozenset[str],
    strict: bool,
) -> str | None:
    """The verb that asks for an operation, if one does."""
    for said in sorted(verbs):
        if said == verb or not families.isdisjoint(lexicon.VERBS[said] - {"read"}):
            paid = "pay" in families and said in _TRANSFERS
            if not strict or not nouns or paid or not nouns.isdisjoint(things):
                return said
    return None


@lru_cache(maxsize=1024)
def operation(name: str) -> tuple[str, frozenset[str]]:
    """The verb and the kinds of thing in a tool's name, without what names its server."""
    name = _OWNER.sub("", name)
    parts = [lexicon.base(word) for word in words(_apart(name))]
    verb = next((part for part in parts if part in lexicon.VERBS), "")
    rest = [part for part in parts if part != verb and part not in lexicon.STOP]
    return verb, lexicon.things(rest)


def _apart(name: str) -> str:
    """A name with its words set apart: ``sendEmail`` and ``send_email`` alike."""
    return "".join(f" {each}" if each.isupper() else each for each in name)


def leaves(value: Any) -> Iterator[Any]:
    """The strings and numbers in a JSON value; what a tool itself defines is left out."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key.lower() not in _FIXED:
                yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif value is not None and not isinstance(value, bool):
        yield value
