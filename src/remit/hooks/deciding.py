"""A host's question decided: admitted before the tool, settled after it.

The flows are the same in the hook's own process and in a server. Whatever goes wrong is a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from remit import canonical
from remit.errors import InvalidRequest, OutcomeNotRecorded, RemitError, Withheld
from remit.guard.actions import RunningAction
from remit.guard.authority import Proposed
from remit.guard.calls import Caller, Granted
from remit.guard.enforcement import Enforcement
from remit.guard.steps import Ask, Flow
from remit.hooks import answers, remembering, results
from remit.hooks.actions import TypedAction, typed
from remit.hooks.answers import Json
from remit.hooks.payloads import HookQuestion
from remit.hooks.remembering import HookedCall
from remit.model import Session
from remit.storage import Snapshot, Store, Transaction

_LONGEST_INTENT = 4000
_NOT_ADMITTED = (
    "The result of {tool} is withheld: Remit did not admit that call, or has forgotten it. "
    "Make the call again."
)


class HookCaller(Struct, frozen=True, kw_only=True):
    """Who asks through hooks."""

    owner: str
    """Whose hooks they are: sessions of hosts are kept apart by it."""
    open: Callable[[Transaction, str | None], Session]
    """Opens a session in a transaction, with what the user said first."""
    caller: Callable[[Session], Caller]
    """Who calls in it, with the rights of today."""
    resolved: Mapping[str, str] | None = None
    """Real paths by path, where hooks run on another machine than this."""
    trigger: str = "user"
    """Who started the agent: ``untrusted`` where that is a stranger's text."""


class HookDesk:
    """Answers the questions of hooks for one enforcement and its store."""

    def __init__(self, enforcement: Enforcement, store: Store) -> None:
        self._enforcement = enforcement
        self._store = store

    def answer(self, question: HookQuestion, who: HookCaller) -> Flow[Json]:
        """Answer one question.

        Raises:
            RemitError: it could not be decided; for the host that is a refusal.
        """
        key = remembering.memory_key(who.owner, question.host, question.session)
        if question.what == answers.PROMPT:
            yield from self._session(key, who, question.prompt)
            return answers.silence(question.host, question.event)
        if question.what == answers.BEFORE:
            answered: Json = yield from self._before(key, question, who)
            return answered
        settled: Json = yield from self._after(key, question)
        return settled

    def _before(self, key: str, question: HookQuestion, who: HookCaller) -> Flow[Json]:
        session = yield from self._session(key, who, None)
        asked = typed(question)
        caller = who.caller(session)
        context = {**caller.context, **_context(question, who)}
        proposed = Proposed(
            caller=msgspec.structs.replace(caller, context=context),
            action=asked.action,
            arguments=canonical.check(dict(asked.arguments), "args"),
            resolved=who.resolved,
        )

        def accept(new: Mapping[str, Any]) -> None:
            _carried(asked, question, new)

        try:
            granted: Granted = yield from self._enforcement.admit(proposed, accept)
        except RemitError as refusal:
            return answers.refused(question.host, question.event, str(refusal))
        opened = HookedCall(
            request=granted.request,
            admission=granted.admission,
            looks_at_result=granted.looks_at_result,
        )
        given = _carried(asked, question, granted.request.arguments)
        call = question.call if given is None else question.call_with(given)
        yield from self._written(lambda t: remembering.keep_call(t, key, call, opened))
        if given is not None:
            return answers.rewritten(question.host, question.event, given)
        return answers.silence(question.host, question.event)

    def _after(self, key: str, question: HookQuestion) -> Flow[Json]:
        opened: HookedCall | None = yield from self._written(
            lambda t: remembering.take_call(t, key, question.call)
        )
        if opened is None:
            return results.replaced(question, _NOT_ADMITTED.format(tool=question.tool))
        granted = Granted(
            request=opened.request,
            admission=opened.admission,
            started=time.monotonic_ns(),
            looks_at_result=opened.looks_at_result,
        )
        action = RunningAction(self._enforcement, granted)
        action.began = True
        try:
            if question.what == answers.FAILED:
                yield from action.failed(RuntimeError(question.error))
                return results.unchanged(question)
            given = results.result_of(question)
            shown: Mapping[str, Any] = yield from action.returned(given)
        except (Withheld, OutcomeNotRecorded) as problem:
            return results.replaced(question, str(problem))
        if shown == given:
            return results.unchanged(question)
        return results.replaced(question, str(shown.get("output", "")))

    def _session(self, key: str, who: HookCaller, prompt: str | None) -> Flow[Session]:
        """The session of the host's session; opened when it is new, or has ended meanwhile."""

        def find(view: Snapshot) -> Session | None:
            known = remembering.remembered(view, key)
            stored = None if known is None else view.session(known.session)
            return None if stored is None or stored.ended_at is not None else stored

        def begin(t: Transaction) -> Session:
            found = find(t)
            if found is not None:
                return found
            intent = None if not prompt else prompt[:_LONGEST_INTENT]
            opened = who.open(t, intent)
            remembering.keep_session(t, key, opened.id)
            return opened

        found: Session | None = yield Ask(lambda: self._store.read(find))
        if found is not None:
            return found
        opened: Session = yield from self._written(begin)
        return opened

    def _written(self, work: Callable[[Transaction], Any]) -> Flow[Any]:
        answer = yield Ask(lambda: self._store.write(work), lambda: self._store.submit(work))
        return answer


def _context(question: HookQuestion, who: HookCaller) -> dict[str, Any]:
    """Facts that rules may ask for as ``context.x``."""
    return {"host": question.host, "workspace": question.cwd, "trigger": who.trigger}


def _carried(
    asked: TypedAction, question: HookQuestion, new: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The tool's arguments as policy leaves them; None where it changed nothing.

    Raises:
        InvalidRequest: policy changed what the host has no argument for.
    """
    changed = {name for name, value in asked.arguments.items() if new.get(name) != value}
    if not changed and new.keys() == asked.arguments.keys():
        return None
    if not changed <= asked.same.keys() or new.keys() != asked.arguments.keys():
        odd = ", ".join(sorted(changed | (new.keys() ^ asked.arguments.keys())))
        raise InvalidRequest(
            f"policy rewrites {odd} of {asked.action.name}, which {question.host} cannot be told"
        )
    return {**question.given, **{asked.same[name]: new[name] for name in changed}}
