"""``tasks:`` as documents write them, checked: sessions that are narrowed when they open."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from remit import text
from remit.model import Control, Does, Location, Principal, TaskRemit
from remit.policy.document import RemitEntry, TaskEntry, words
from remit.policy.meaning import Note, Surroundings, check_tools
from remit.policy.reading import ReadDocument, closest

_KINDS: tuple[Control, ...] = ("who", "where", "which", "when", "access", "links")


class NarrowedTask(Struct, frozen=True, kw_only=True):
    """One entry of ``tasks:``."""

    id: str
    agents: tuple[str, ...] | None
    roles: tuple[str, ...] | None
    intents: tuple[str, ...] | None
    """Patterns in the wide form of ``text.fold``; None: whatever it is for."""
    remit: TaskRemit
    at: Location

    def concerns(self, principal: Principal, intent: str | None) -> bool:
        """Whether a session of this agent that is opened for this is narrowed."""
        if self.agents is not None and principal.id not in self.agents:
            return False
        if self.roles is not None and not set(self.roles).intersection(principal.roles):
            return False
        if self.intents is None:
            return True
        form = text.fold(intent or "")
        return any(text.matches(pattern, form) for pattern in self.intents)


def read_tasks(
    documents: Iterable[ReadDocument], around: Surroundings, note: Note, warn: Note
) -> tuple[NarrowedTask, ...]:
    """The tasks of all documents, in the order of files and lines."""
    first: dict[str, Location] = {}
    found = []
    for read in documents:
        for entry in read.document.tasks:
            form = entry.id.casefold()
            if form in first:
                message = f"the id {entry.id!r} is taken at {first[form]}"
                note(read.fault(entry, ("id",), message, "Explanations name tasks by id."))
            first.setdefault(form, read.location(entry))
            _check_names(read, entry, around, note)
            check_tools(read, entry.remit, around, note, warn)
            remit = _remit(entry)
            if remit == TaskRemit(by=remit.by):
                hint = "Give it tools, does, only, amount or asked."
                note(read.fault(entry, ("remit",), "this remit narrows nothing", hint))
            found.append(_task(read, entry, remit))
    return tuple(found)


def _task(read: ReadDocument, entry: TaskEntry, remit: TaskRemit) -> NarrowedTask:
    return NarrowedTask(
        id=entry.id,
        agents=None if entry.agents is None else words(entry.agents),
        roles=None if entry.roles is None else words(entry.roles),
        intents=None if entry.intent is None else tuple(map(text.fold, words(entry.intent))),
        remit=remit,
        at=read.location(entry),
    )


def _remit(entry: TaskEntry) -> TaskRemit:
    written: RemitEntry = entry.remit
    only: dict[Control, tuple[str, ...]] = {
        kind: words(getattr(written.only, kind)) for kind in _KINDS
    }
    return TaskRemit(
        tools=words(written.tools),
        does=tuple(Does(word) for word in words(written.does)),
        only={kind: patterns for kind, patterns in only.items() if patterns},
        amount=written.amount,
        asked=written.asked,
        by=f"policy: {entry.id}",
    )


def _check_names(read: ReadDocument, entry: TaskEntry, around: Surroundings, note: Note) -> None:
    """An agent or a role that nobody has would never be narrowed."""
    directory = around.directory
    for key, given, known, hint in (
        ("agents", entry.agents, directory.agents, "Declare it under agents:"),
        ("roles", entry.roles, directory.roles, "Give it to one of agents:"),
    ):
        for index, word in enumerate(words(given)):
            if word not in known and around.complete:
                message = f"there is no {key[:-1]} {word!r}; this would never match"
                note(read.fault(entry, (key, index), message, closest(word, known) or hint))
