"""Deciding with a governor in this process: what a guard and a server's gateways have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from remit.errors import StoreError, Unavailable
from remit.governor import Governor
from remit.guard.authority import Answer, Proposed, Ran, Settled
from remit.guard.calls import Caller, real_paths
from remit.guard.checkpoints import Checkpointer
from remit.guard.inspecting import inspected, seen_in_call
from remit.guard.needs import ToolNeeds
from remit.guard.refusals import refusal_text, withheld_text
from remit.guard.steps import Ask, Flow
from remit.identity.model import within
from remit.model import (
    AccessRequest,
    ActionState,
    Admission,
    Finding,
    Outcome,
    Principal,
    Session,
    SessionId,
    Settlement,
)
from remit.policy import PolicySet
from remit.storage import Store, Transaction

T = TypeVar("T")


class ClosedCall(Struct, frozen=True, kw_only=True):
    """A call that was decided on and, where it was granted, settled at once."""

    answer: Answer
    ran: AccessRequest | None = None
    """As it is to be run; None where it was not granted."""
    outcome: Outcome | None = None
    """What was recorded of it."""
    settlement: Settlement | None = None


class GoverningAuthority(ABC):
    """The part of an ``Authority`` that follows from a store and a governor over it.

    Attributes:
        store: where state lives.
        clock: nanoseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        store: Store,
        governor: Governor,
        clock: Callable[[], int],
        checkpointer: Checkpointer,
    ) -> None:
        self.store = store
        self.clock = clock
        self._governor = governor
        self._checkpointer = checkpointer

    @property
    @abstractmethod
    def needs(self) -> ToolNeeds:
        """The policy in force, and what it wants to know of tools; replaced whole."""

    @abstractmethod
    def _acting(self, caller: Caller, policies: PolicySet) -> Principal:
        """Who calls, with the rights of today."""

    def say(self, session: SessionId, text: str) -> Flow[Session]:
        """Take in what the user said in a session."""
        yield from self._signed()
        spoken: Session = yield from self._written(
            "What the user said was not taken in", lambda t: self._governor.say(t, session, text)
        )
        return spoken

    def end_session(self, session: SessionId) -> Flow[Session]:
        """End a session."""
        yield from self._signed()
        ended: Session = yield from self._written(
            "The session was not ended", lambda t: self._governor.end_session(t, session)
        )
        return ended

    def session(self, session: SessionId) -> Flow[Session | None]:
        """A session as it stands; None when there is no such session."""
        found: Session | None = yield Ask(
            lambda: self.store.read(lambda view: view.session(session))
        )
        return found

    def admit(self, proposed: Proposed, orphaned: Callable[[Answer], None]) -> Flow[Answer]:
        """Decide on a call. The answer is on record before it is given."""
        needs, request, work = yield from self._deciding(proposed)

        def abandoned(future: Future[Admission]) -> None:
            if future.exception() is None:
                orphaned(_answer(needs, request, future.result()))

        admission: Admission = yield Ask(
            lambda: self.store.write(work), lambda: self.store.submit(work), abandoned
        )
        return _answer(needs, request, admission)

    def admit_closed(
        self, proposed: Proposed, closing: Callable[[AccessRequest, Admission], Outcome]
    ) -> Flow[ClosedCall]:
        """Decide on a call whose outcome nobody will report, and settle it, in one transaction.

        Args:
            proposed: the call.
            closing: what is recorded as the outcome of a granted call, given the request as it
                would run. Pure: the transaction may be retried.
        """
        needs, request, decide = yield from self._deciding(proposed)

        def work(t: Transaction) -> ClosedCall:
            admission = decide(t)
            answer = _answer(needs, request, admission)
            if not admission.granted:
                return ClosedCall(answer=answer)
            changed = admission.arguments
            ran = request if changed is None else replace(request, arguments=changed)
            outcome = closing(ran, admission)
            settlement = self._governor.settle(t, admission.id, ran, outcome)
            return ClosedCall(answer=answer, ran=ran, outcome=outcome, settlement=settlement)

        closed: ClosedCall = yield Ask(
            lambda: self.store.write(work), lambda: self.store.submit(work)
        )
        self._checkpointer.settled()
        return closed

    def _deciding(
        self, proposed: Proposed
    ) -> Flow[tuple[ToolNeeds, AccessRequest, Callable[[Transaction], Admission]]]:
        """A call as it is decided on, and the transaction that does."""
        yield from self._signed()
        needs, caller = self.needs, proposed.caller
        need = needs.of(proposed.action.name)
        found: tuple[Finding, ...] = ()
        if need.arguments is not None:
            found = yield Ask(lambda: seen_in_call(need, proposed.arguments))
        request = self._request(proposed, needs, found)

        def work(t: Transaction) -> Admission:
            tool = request.action.name
            objection = within(caller.narrowed, tool, caller.session, self.clock())
            return self._governor.admit(t, request, objection)

        return needs, request, work

    def settle(self, ran: Ran, finished: Callable[[Future[Any]], None]) -> Flow[Settled]:
        """Record an outcome and decide on it."""
        outcome = yield from self._inspected(ran)

        def work(t: Transaction) -> Settlement:
            return self._governor.settle(t, ran.admission.id, ran.request, outcome)

        settlement: Settlement = yield Ask(
            lambda: self.store.write(work), lambda: self.store.submit(work), finished
        )
        self._checkpointer.settled()
        tool = ran.request.action.name
        return Settled(
            settlement=settlement,
            refusal=withheld_text(tool, settlement) if settlement.withheld else "",
            result_rules=self.needs.of(tool).result_rules,
        )

    def settle_again(self, ran: Ran) -> Flow[None]:
        """Record an outcome unless it was recorded before."""
        outcome = yield from self._inspected(ran)

        def work(t: Transaction) -> None:
            action = t.action(ran.admission.id)
            # It may have been written after all, before whoever waited was interrupted.
            if action is None or action.state is not ActionState.SETTLED:
                self._governor.settle(t, ran.admission.id, ran.request, outcome)

        yield Ask(lambda: self.store.write(work), lambda: self.store.submit(work))

    def _inspected(self, ran: Ran) -> Flow[Outcome]:
        need = self.needs.of(ran.request.action.name)
        if need.results is None:
            return ran.outcome
        outcome: Outcome = yield Ask(lambda: inspected(need, ran.outcome))
        return outcome

    def _written(self, what: str, work: Callable[[Transaction], T]) -> Flow[T]:
        try:
            answer: T = yield Ask(lambda: self.store.write(work), lambda: self.store.submit(work))
        except StoreError as error:
            raise Unavailable(f"{what}: {error}") from error
        return answer

    def _signed(self) -> Flow[None]:
        """Make up for a checkpoint that could not be signed."""
        checkpointer, store = self._checkpointer, self.store
        if checkpointer.failed:
            require = checkpointer.require
            yield Ask(lambda: store.write(require), lambda: store.submit(require))
            checkpointer.recovered()

    def _request(
        self, proposed: Proposed, needs: ToolNeeds, found: tuple[Finding, ...]
    ) -> AccessRequest:
        caller, arguments, resolved = proposed.caller, proposed.arguments, proposed.resolved
        if resolved is None:
            looks = needs.of(proposed.action.name).paths
            resolved = real_paths(arguments) if looks else {}
        return AccessRequest(
            principal=self._acting(caller, needs.policies),
            session=caller.session,
            action=proposed.action,
            arguments=arguments,
            context=caller.context,
            findings=(*proposed.findings, *found),
            resolved=resolved,
            estimate=proposed.estimate,
            trace=caller.trace,
        )


def _answer(needs: ToolNeeds, request: AccessRequest, admission: Admission) -> Answer:
    tool = request.action.name
    if not admission.granted:
        refusal = refusal_text(tool, admission)
        return Answer(request=request, admission=admission, refusal=refusal)
    looks = needs.looks_at_result(tool, admission)
    return Answer(request=request, admission=admission, looks_at_result=looks)
