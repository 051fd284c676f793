"""From a proposed call to its recorded outcome: the flows that every surface of a guard runs.

Nothing here blocks or awaits; ``steps`` carries the flows out. Whatever goes wrong before the
action, inside Remit too, ends in a refusal.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from remit import text
from remit.approvals import Approval, ApprovalState, state_at
from remit.errors import (
    Denied,
    InvalidArgument,
    InvalidRequest,
    OutcomeNotRecorded,
    Refused,
    RemitError,
    SettlementError,
    StoreError,
    Unavailable,
)
from remit.governor import Governor
from remit.guard.checkpoints import Checkpointer
from remit.guard.refusals import refusal
from remit.guard.steps import Flow, Pause, Read, Write
from remit.model import (
    AccessRequest,
    Action,
    ActionId,
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
_MAX_PATHS = 1024
_MAX_PATH = 4096


class Caller(Struct, frozen=True, kw_only=True):
    """Who calls: the session and its principal, and the context that the host adds."""

    session: SessionId = SessionId("")
    principal: Principal = field(default_factory=lambda: Principal(id="nobody"))
    context: Mapping[str, Any] = field(default_factory=dict)
    trace: str | None = None


class Granted(Struct, frozen=True, kw_only=True):
    """A call that may run: what was asked, what was answered, and when it started."""

    request: AccessRequest
    admission: Admission
    started: int
    """Monotonic nanoseconds."""


class PendingOutcome:
    """An outcome on its way to the store. Kept until it is durable."""

    __slots__ = ("granted", "outcome", "stranded")

    def __init__(self, granted: Granted, outcome: Outcome) -> None:
        self.granted = granted
        self.outcome = outcome
        self.stranded = False
        """Whether writing it has failed, so that it has to be tried again."""


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
        self._pending: dict[ActionId, PendingOutcome] = {}
        self._mutex = threading.Lock()
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
        """Record an outcome that nobody waits for, without blocking."""
        pending = self._keep(granted, outcome)
        try:
            future = self.store.submit(self._settling(pending))
        except RemitError:
            pending.stranded = True
        else:
            future.add_done_callback(lambda done: self._finished(pending, done))

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
                raise refusal(request.action.name, admission)

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
                yield Write(self._settling(pending))
            except SettlementError:
                pass  # it was written after all, before whoever waited was interrupted
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
        with self._mutex:
            self._pending[granted.admission.id] = pending
        return pending

    def _forget(self, pending: PendingOutcome) -> None:
        with self._mutex:
            self._pending.pop(pending.granted.admission.id, None)

    def _stranded(self, session: SessionId | None) -> list[PendingOutcome]:
        with self._mutex:
            return [
                pending
                for pending in self._pending.values()
                if pending.stranded and session in (None, pending.granted.request.session)
            ]


def _granted(request: AccessRequest, admission: Admission) -> Granted:
    if admission.arguments is not None:
        request = replace(request, arguments=admission.arguments)
    return Granted(request=request, admission=admission, started=time.monotonic_ns())


def real_paths(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Resolve every string in the arguments as a path, symbolic links followed.

    Raises:
        InvalidArgument: there are more than 1,024 strings, or the file system does not answer.
    """
    found: dict[str, str] = {}
    left: list[Any] = list(arguments.values())
    while left:
        value = left.pop()
        if isinstance(value, str):
            if len(value) > _MAX_PATH or "\0" in value or value in found:
                continue
            if len(found) == _MAX_PATHS:
                raise InvalidArgument("args", f"more than {_MAX_PATHS} strings where paths count")
            try:
                found[value] = os.path.realpath(value)
            except OSError as error:
                raise InvalidArgument("args", f"a path cannot be resolved: {error}") from error
        elif isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return found


def shortened(error: BaseException) -> str:
    """Type and message of an exception, at most 1,000 characters of valid text."""
    try:
        message = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception whose text fails must still be recorded
        message = type(error).__name__
    return message[:1000].encode("utf-8", "replace").decode()


def said(error: BaseException) -> str:
    """What an error of Remit says; of any other, its type too."""
    return str(error) if isinstance(error, RemitError) else shortened(error)
