"""From a proposed call to its recorded outcome: the flows that every surface of a guard runs.

Nothing here blocks or awaits; ``steps`` carries the flows out. Whatever goes wrong before the
action, inside Remit too, ends in a refusal.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from msgspec.structs import replace

from remit import text
from remit.approvals import Approval, ApprovalState, state_at
from remit.errors import (
    Denied,
    InvalidRequest,
    OutcomeNotRecorded,
    Refused,
    StoreError,
    Unavailable,
)
from remit.governor import Governor
from remit.guard.calls import Caller, Granted, PendingOutcome, real_paths, said, shortened
from remit.guard.checkpoints import Checkpointer
from remit.guard.late import LateOutcomes
from remit.guard.refusals import refusal, refusal_text
from remit.guard.steps import Flow, Pause, Read, Write
from remit.model import (
    AccessRequest,
    Action,
    ActionId,
    ActionState,
    Admission,
    ApprovalId,
    Outcome,
    Phase,
    Principal,
    Session,
    SessionId,
    Settlement,
)
from remit.policy import PolicySet
from remit.storage import Store, Transaction

T = TypeVar("T")

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25
_MAX_TOOLS = 1024


Accept = Callable[[Mapping[str, Any]], None]
"""Takes the arguments to run with; raises InvalidRequest when the call cannot run with them."""


class Enforcement:
    """One store, one policy in force, and the outcomes that are not recorded yet.

    Attributes:
        store: where state lives.
        policies: the policy in force; replaced whole, never changed.
        clock: nanoseconds since the Unix epoch.
        wait: seconds that a held call waits for a person.
    """

    def __init__(
        self,
        *,
        store: Store,
        policies: PolicySet,
        clock: Callable[[], int],
        wait: float,
        checkpointer: Checkpointer,
    ) -> None:
        self.store = store
        self.policies = policies
        self.clock = clock
        self.wait = wait
        self.checkpointer = checkpointer
        self.governor = Governor(policies=lambda: self.policies, clock=clock, entropy=os.urandom)
        self.late = LateOutcomes(self._write_late)
        # Changed by single operations only: finalizers get here too and must not wait for a lock.
        self._pending: dict[ActionId, PendingOutcome] = {}
        self._paths: dict[str, tuple[PolicySet, bool]] = {}

    def adopt(self, policies: PolicySet) -> None:
        """Record a policy and put it in force.

        Raises:
            StoreError: it could not be recorded, and is not in force.
        """
        recording = Governor(policies=lambda: policies, clock=self.clock, entropy=os.urandom)
        self.store.write(recording.adopt)
        self.policies = policies

    def open_session(
        self, principal: Principal, intent: str | None, parent: SessionId | None
    ) -> Flow[Session]:
        """Open a session, or with a ``parent`` delegate from it.

        Raises:
            InvalidRequest: the intent is unusable, or the parent cannot delegate.
            Unavailable: the store did not answer.
        """
        return self._asked(
            "The session was not opened",
            lambda t: self.governor.open_session(t, principal, intent, parent),
        )

    def end_session(self, session: SessionId) -> Flow[Session]:
        """End a session once all its outcomes are recorded.

        Raises:
            Unavailable: the store did not answer; the session is still open.
        """
        yield from self._recover(session)
        ended: Session = yield from self._asked(
            "The session was not ended", lambda t: self.governor.end_session(t, session)
        )
        return ended

    def admit(
        self, caller: Caller, action: Action, arguments: Mapping[str, Any], accept: Accept
    ) -> Flow[Granted]:
        """Ask for one call; give what grants it.

        Args:
            caller: who calls.
            action: the tool.
            arguments: checked JSON, every argument by name.
            accept: is given the arguments as obligations leave them.

        Raises:
            Refused: it may not run, or not yet.
            InvalidRequest: it cannot be decided.
        """
        try:
            yield from self._recover(caller.session)
            granted = yield from self._admission(self._request(caller, action, arguments))
            yield from self._accepted(granted, accept)
        except (Refused, InvalidRequest, OutcomeNotRecorded):
            raise
        except Exception as error:
            raise Unavailable(f"{action.name} was not run: {said(error)}") from error
        return granted

    def settle(self, granted: Granted, outcome: Outcome) -> Flow[Settlement]:
        """Record what came of a granted call.

        Raises:
            OutcomeNotRecorded: it could not be written; the session admits nothing more until it
                is.
        """
        pending = self._keep(granted, outcome)
        try:
            settlement: Settlement = yield Write(
                self._settling(pending), lambda future: self._finished(pending, future)
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
        self.checkpointer.settled()
        return settlement

    def abandon(self, granted: Granted, outcome: Outcome) -> None:
        """Record an outcome that nobody waits for, without blocking. Safe in finalizers."""
        self.late.put(self._keep(granted, outcome))

    def has_result_rules(self, tool: str) -> bool:
        """Whether policy has rules on what that tool returns."""
        policies = self.policies
        name, declared = text.name(tool), policies.tool(tool)
        return any(
            rule.phase is Phase.RESULT and rule.concerns_tool(name, declared)
            for rule in policies.rules
        )

    def looks_at_result(self, granted: Granted) -> bool:
        """Whether what the action returns has to pass policy, or puts labels on the session."""
        name = granted.request.action.name
        if self.has_result_rules(name) or self.policies.tool(name).returns:
            return True
        return any(
            obligation.kind == "label" or obligation.target.partition(".")[0] == "result"
            for obligation in granted.admission.decision.obligations
        )

    def recover_all(self) -> Flow[None]:
        """Record every outcome that could not be recorded before.

        Raises:
            Unavailable: one still cannot be.
        """
        self.late.close()
        for session in {pending.granted.request.session for pending in self._stranded(None)}:
            yield from self._recover(session)

    def _asked(self, what: str, work: Callable[[Transaction], T]) -> Flow[T]:
        try:
            answer: T = yield Write(work)
        except StoreError as error:
            raise Unavailable(f"{what}: {error}") from error
        return answer

    def _request(
        self, caller: Caller, action: Action, arguments: Mapping[str, Any]
    ) -> AccessRequest:
        resolved = real_paths(arguments) if self._needs_paths(action.name) else {}
        return AccessRequest(
            principal=caller.principal,
            session=caller.session,
            action=action,
            arguments=arguments,
            context=caller.context,
            resolved=resolved,
            trace=caller.trace,
        )

    def _needs_paths(self, tool: str) -> bool:
        policies = self.policies
        known = self._paths.get(tool)
        if known is None or known[0] is not policies:
            if len(self._paths) >= _MAX_TOOLS:
                self._paths.clear()
            known = self._paths[tool] = (policies, policies.needs_paths(tool))
        return known[1]

    def _admission(self, request: AccessRequest) -> Flow[Granted]:
        deadline = time.monotonic() + self.wait
        while True:
            admission: Admission = yield Write(
                lambda t: self.governor.admit(t, request),
                lambda future: self._orphaned(request, future),
            )
            if admission.granted:
                return _granted(request, admission)
            handle = admission.approval
            if handle is None or not (yield from self._answered(handle, deadline)):
                raise refusal(refusal_text(request.action.name, admission), admission)

    def _answered(self, handle: ApprovalId, deadline: float) -> Flow[bool]:
        """Wait for people until the deadline; whether they have made up their minds."""
        pause = _FIRST_PAUSE
        while (left := deadline - time.monotonic()) > 0:
            yield Pause(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            approval: Approval | None = yield Read(lambda view: view.approval(handle))
            if approval is None or state_at(approval, self.clock()) is not ApprovalState.PENDING:
                return True
        return False

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
                yield Write(self._settling_again(pending))
            except Exception as error:
                raise Unavailable(
                    f"The outcome of {pending.granted.request.action.name} in session {session} is "
                    f"still not recorded, so the session admits nothing: {said(error)}"
                ) from error
            self._forget(pending)
        if self.checkpointer.failed:
            yield Write(self.checkpointer.require)
            self.checkpointer.recovered()

    def _settling(self, pending: PendingOutcome) -> Callable[[Transaction], Settlement]:
        granted, outcome = pending.granted, pending.outcome
        return lambda t: self.governor.settle(t, granted.admission.id, granted.request, outcome)

    def _settling_again(self, pending: PendingOutcome) -> Callable[[Transaction], None]:
        settle = self._settling(pending)

        def work(transaction: Transaction) -> None:
            action = transaction.action(pending.granted.admission.id)
            # It may have been written after all, before whoever waited was interrupted.
            if action is None or action.state is not ActionState.SETTLED:
                settle(transaction)

        return work

    def _write_late(self, pending: PendingOutcome) -> None:
        try:
            self.store.write(self._settling(pending))
        except Exception:  # noqa: BLE001 - kept, and tried again before the session goes on
            pending.stranded = True
        else:
            self._forget(pending)
            self.checkpointer.settled()

    def _orphaned(self, request: AccessRequest, future: Future[Admission]) -> None:
        """The task that asked was cancelled; what was admitted meanwhile does not run."""
        if future.exception() is None and future.result().granted:
            outcome = Outcome(status="not-run", error="cancelled before it ran")
            self.abandon(_granted(request, future.result()), outcome)

    def _finished(self, pending: PendingOutcome, future: Future[Settlement]) -> None:
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


def _granted(request: AccessRequest, admission: Admission) -> Granted:
    if admission.arguments is not None:
        request = replace(request, arguments=admission.arguments)
    return Granted(request=request, admission=admission, started=time.monotonic_ns())
