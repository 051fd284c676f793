"""From a proposed call to its recorded outcome: the flows that every surface of a guard runs.

Nothing here blocks or awaits; ``steps`` carries the flows out. Whatever goes wrong before the
action, inside Remit too, ends in a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from msgspec.structs import replace

from remit.errors import Denied, InvalidRequest, OutcomeNotRecorded, Refused, Unavailable
from remit.guard.authority import Answer, Authority, Proposed, Ran, Settled
from remit.guard.calls import Granted, PendingOutcome, said, shortened
from remit.guard.late import LateOutcomes
from remit.guard.refusals import refusal
from remit.guard.steps import Flow, run
from remit.model import ActionId, Outcome, Session, SessionId

Accept = Callable[[Mapping[str, Any]], None]
"""Takes the arguments to run with; raises InvalidRequest when the call cannot run with them."""


def _any(_: Mapping[str, Any]) -> None:
    """Accept whatever obligations leave."""


class Enforcement:
    """One authority, and the outcomes that are not recorded with it yet.

    Attributes:
        authority: who decides.
        wait: seconds that a held call waits for a person.
    """

    def __init__(self, authority: Authority, *, wait: float) -> None:
        self.authority = authority
        self.wait = wait
        self.late = LateOutcomes(self._write_late)
        # Changed by single operations only: finalizers get here too and must not wait for a lock.
        self._pending: dict[ActionId, PendingOutcome] = {}

    def end_session(self, session: SessionId) -> Flow[Session]:
        """End a session once all its outcomes are recorded.

        Raises:
            Unavailable: the store or the server did not answer; the session is still open.
        """
        yield from self._recover(session)
        ended: Session = yield from self.authority.end_session(session)
        return ended

    def admit(self, proposed: Proposed, accept: Accept = _any) -> Flow[Granted]:
        """Ask for one call; give what grants it.

        Args:
            proposed: the call; its arguments are checked JSON, every argument by name.
            accept: is given the arguments as obligations leave them.

        Raises:
            Refused: it may not run, or not yet.
            InvalidRequest: it cannot be decided.
        """
        try:
            yield from self._recover(proposed.caller.session)
            granted = yield from self._admission(proposed)
            yield from self._accepted(granted, accept)
        except (Refused, InvalidRequest, OutcomeNotRecorded):
            raise
        except Exception as error:
            raise Unavailable(f"{proposed.action.name} was not run: {said(error)}") from error
        return granted

    def settle(self, granted: Granted, outcome: Outcome) -> Flow[Settled]:
        """Record what came of a granted call.

        Raises:
            OutcomeNotRecorded: it could not be written; the session admits nothing more until it
                is.
        """
        pending = self._keep(granted, outcome)
        try:
            settled: Settled = yield from self.authority.settle(
                _ran(pending), partial(self._finished, pending)
            )
        except Exception as error:
            pending.stranded = True
            happened = "was not run" if outcome.status == "not-run" else "HAS RUN"
            raise OutcomeNotRecorded(
                f"{granted.request.action.name} {happened}, but its outcome ({outcome.status}) "
                f"could not be recorded: {said(error)} Session {granted.request.session} admits "
                "nothing more until it is; the next call tries that again."
            ) from error
        self._forget(pending)
        return settled

    def abandon(self, granted: Granted, outcome: Outcome) -> None:
        """Record an outcome that nobody waits for, without blocking. Safe in finalizers."""
        self.late.put(self._keep(granted, outcome))

    def recover_all(self) -> Flow[None]:
        """Record every outcome that could not be recorded before.

        Raises:
            Unavailable: one still cannot be.
        """
        self.late.close()
        for session in {pending.granted.request.session for pending in self._stranded(None)}:
            yield from self._recover(session)

    def _admission(self, proposed: Proposed) -> Flow[Granted]:
        deadline = time.monotonic() + self.wait
        while True:
            answer = yield from self.authority.admit(proposed, self._orphaned)
            admission = answer.admission
            if admission.granted:
                return _granted(answer)
            handle = admission.approval
            if handle is None or not (yield from self.authority.answered(handle, deadline)):
                raise refusal(answer.refusal, admission)

    def _accepted(self, granted: Granted, accept: Accept) -> Flow[None]:
        """Hand over the arguments to run with; a call that cannot take them does not run."""
        name = granted.request.action.name
        try:
            accept(granted.request.arguments)
        except InvalidRequest as error:
            yield from self.settle(granted, Outcome(status="not-run", error=shortened(error)))
            raise Denied(f"{name} was not run: {error}", admission=granted.admission) from error

    def _recover(self, session: SessionId) -> Flow[None]:
        """Make up for what could not be written before."""
        for pending in self._stranded(session):
            try:
                yield from self.authority.settle_again(_ran(pending))
            except Exception as error:
                raise Unavailable(
                    f"The outcome of {pending.granted.request.action.name} in session {session} is "
                    f"still not recorded, so the session admits nothing: {said(error)}"
                ) from error
            self._forget(pending)

    def _write_late(self, pending: PendingOutcome) -> None:
        try:
            run(self.authority.settle(_ran(pending), lambda _: None))
        except Exception:  # noqa: BLE001 - kept, and tried again before the session goes on
            pending.stranded = True
        else:
            self._forget(pending)

    def _orphaned(self, answer: Answer) -> None:
        """The task that asked was cancelled; what was admitted meanwhile does not run."""
        if answer.admission.granted:
            outcome = Outcome(status="not-run", error="cancelled before it ran")
            self.abandon(_granted(answer), outcome)

    def _finished(self, pending: PendingOutcome, future: Future[Any]) -> None:
        if future.exception() is None:
            self._forget(pending)
        else:
            pending.stranded = True

    def _keep(self, granted: Granted, outcome: Outcome) -> PendingOutcome:
        pending = PendingOutcome(granted, outcome)
        self._pending[granted.admission.id] = pending
        return pending

    def _forget(self, pending: PendingOutcome) -> None:
        self._pending.pop(pending.granted.admission.id, None)

    def _stranded(self, session: SessionId | None) -> list[PendingOutcome]:
        return [
            pending
            for pending in list(self._pending.values())
            if pending.stranded and session in (None, pending.granted.request.session)
        ]


def _granted(answer: Answer) -> Granted:
    request, admission = answer.request, answer.admission
    if admission.arguments is not None:
        request = replace(request, arguments=admission.arguments)
    return Granted(
        request=request,
        admission=admission,
        started=time.monotonic_ns(),
        looks_at_result=answer.looks_at_result,
    )


def _ran(pending: PendingOutcome) -> Ran:
    granted = pending.granted
    return Ran(request=granted.request, admission=granted.admission, outcome=pending.outcome)
