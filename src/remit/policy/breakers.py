"""``breakers:`` as documents write them, checked: what a session may not do on and on."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from remit import text
from remit.breakers import Breaker, Sight
from remit.model import ApprovalTerms, Effect, Location
from remit.policy.document import BreakerEntry, words
from remit.policy.durations import nanoseconds
from remit.policy.meaning import BUILT_IN_REASONS, Note, Surroundings, check_tools
from remit.policy.reading import ReadDocument, closest

_COUNTED: tuple[Sight, ...] = ("repeats", "stalls", "children", "depth")
_KINDS: tuple[Sight, ...] = (*_COUNTED, "burn")
_WITHIN = {"repeats": "10m", "stalls": "30m", "children": "1h"}
_EFFECTS = {
    "notify": Effect.ALLOW,
    "ask": Effect.ASK,
    "deny": Effect.DENY,
    "stop-session": Effect.DENY,
}


def read_breakers(
    documents: Iterable[ReadDocument],
    around: Surroundings,
    budgets: Collection[str],
    taken: dict[str, Location],
    note: Note,
    warn: Note,
) -> tuple[Breaker, ...]:
    """The breakers of all documents, in the order of files and lines, without the faulty ones.

    Args:
        documents: all that are loaded together.
        around: what entries may refer to.
        budgets: ids of the budgets whose windows are those of a calendar, from ``day`` on.
        taken: ids of rules, which reasons name like breakers.
        note: takes a fault.
        warn: takes what looks like a mistake.
    """
    found = []
    for read in documents:
        for entry in read.document.breakers:
            reader = _BreakerReader(read, entry, around, note)
            if not reader.has_own_id(taken):
                continue
            check_tools(read, entry, around, note, warn)
            check_tools(read, entry, around, note, warn, exempt=True)
            breaker = reader.breaker(budgets)
            if breaker is not None:
                found.append(breaker)
    return tuple(found)


class _BreakerReader:
    """Checks one entry."""

    def __init__(
        self, read: ReadDocument, entry: BreakerEntry, around: Surroundings, note: Note
    ) -> None:
        self._read = read
        self._entry = entry
        self._around = around
        self._note = note

    def has_own_id(self, taken: dict[str, Location]) -> bool:
        form = self._entry.id.casefold()
        if form in BUILT_IN_REASONS:
            message = f"the id {self._entry.id!r} is one of Remit's own"
            self._fault("id", message, "Choose another id.")
        elif form in taken:
            message = f"the id {self._entry.id!r} is taken at {taken[form]}"
            self._fault("id", message, "Records name rules and breakers by id: change it.")
        else:
            taken[form] = self._read.location(self._entry)
            return True
        return False

    def breaker(self, budgets: Collection[str]) -> Breaker | None:
        """The breaker, or None if a fault was found."""
        entry = self._entry
        kinds: list[Sight] = [kind for kind in _KINDS if getattr(entry, kind) is not None]
        if len(kinds) != 1:
            hint = "Make one entry for each of repeats, stalls, children, depth, burn."
            self._fault("id", f"the breaker {entry.id!r} must look at exactly one thing", hint)
            return None
        sees = kinds[0]
        terms, misplaced = self._terms()
        if misplaced or self._says_too_much(sees) or not self._budget_is_known(budgets):
            return None
        written = entry.within or _WITHIN.get(sees)
        return Breaker(
            id=entry.id,
            sees=sees,
            count=getattr(entry, sees) if sees in _COUNTED else 0,
            effect=_EFFECTS[entry.effect],
            within=0 if written is None else nanoseconds(written),
            stops=entry.effect == "stop-session",
            tools=tuple(text.name(word) for word in words(entry.tools)) or ("*",),
            exempt=tuple(text.name(word) for word in words(entry.exempt)),
            budget=entry.burn,
            terms=terms,
            because=entry.because,
            instead=entry.instead,
            at=self._read.location(entry),
        )

    def _says_too_much(self, sees: Sight) -> bool:
        if self._entry.within is None or sees in _WITHIN:
            return False
        hint = "Leave it out."
        self._fault("within", f"within has no meaning with {sees}", hint, of_key=True)
        return True

    def _budget_is_known(self, budgets: Collection[str]) -> bool:
        name = self._entry.burn
        if name is None or name in budgets or not self._around.complete:
            return True
        hint = closest(name, budgets) or "It needs an entry under budgets: for a day or longer."
        self._fault("burn", f"there is no budget {name!r} with a period of its own", hint)
        return False

    def _terms(self) -> tuple[ApprovalTerms | None, bool]:
        """Who may approve, and whether it was said where nobody is asked, or of nobody."""
        entry = self._entry
        if entry.effect != "ask":
            if entry.approvers is None:
                return None, False
            message = f"approvers has no meaning with effect {entry.effect}"
            self._fault("approvers", message, "It goes with ask.", of_key=True)
            return None, True
        known = self._around.directory.approvers
        strangers = [word for word in words(entry.approvers) if word not in known]
        if strangers and self._around.complete:
            message = f"there is no person, role or team {strangers[0]!r}; nobody could approve"
            hint = closest(strangers[0], known) or "Declare it under people:"
            self._fault("approvers", message, hint)
            return None, True
        return ApprovalTerms(approvers=words(entry.approvers)), False

    def _fault(self, key: str, message: str, hint: str, *, of_key: bool = False) -> None:
        pointer = self._read.fault_of_key if of_key else self._read.fault
        self._note(pointer(self._entry, (key,), message, hint))
