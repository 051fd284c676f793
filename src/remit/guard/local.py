"""The authority in this process: a governor over a store, with the policy in force."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any, TypeVar

from msgspec.structs import replace

from remit.approvals import Approval, ApprovalState, state_at
from remit.errors import StoreError, Unavailable
from remit.governor import Governor
from remit.guard.authority import Answer, Proposed, Ran, Settled
from remit.guard.calls import real_paths
from remit.guard.checkpoints import Checkpointer
from remit.guard.needs import ToolNeeds
from remit.guard.refusals import refusal_text, withheld_text
from remit.guard.steps import Ask, Flow, Pause
from remit.model import (
    AccessRequest,
    ActionState,
    Admission,
    ApprovalId,
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
_MAX_PRINCIPALS = 1024


class LocalAuthority:
    """Decides in this process (``Authority``).

    Attributes:
        store: where state lives.
        clock: nanoseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        store: Store,
        owns_store: bool,
        policies: PolicySet,
        clock: Callable[[], int],
        checkpointer: Checkpointer,
    ) -> None:
        self.store = store
        self.clock = clock
        self._owns_store = owns_store
        self._needs = ToolNeeds(policies)
        self._checkpointer = checkpointer
        self._governor = Governor(policies=lambda: self.policies, clock=clock, entropy=os.urandom)
        self._principals: dict[SessionId, tuple[PolicySet, Principal, Principal]] = {}

    @property
    def policies(self) -> PolicySet:
        """The policy in force; replaced whole, never changed."""
        return self._needs.policies

    def adopt(self, policies: PolicySet) -> None:
        """Record a policy and put it in force.

        Raises:
            StoreError: it could not be recorded, and is not in force.
        """
        recording = Governor(policies=lambda: policies, clock=self.clock, entropy=os.urandom)
        self.store.write(recording.adopt)
        self._needs = ToolNeeds(policies)

    def open_session(
        self, agent: str, user: str | None, intent: str | None, parent: SessionId | None
    ) -> Flow[Session]:
        """Open a session, or with a ``parent`` delegate from it."""
        principal = self.policies.principal(agent, user=user)
        return self._written(
            "The session was not opened",
            lambda t: self._governor.open_session(t, principal, intent, parent),
        )

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
        yield from self._signed()
        needs = self._needs
        request = self._request(proposed, needs)

        def work(t: Transaction) -> Admission:
            return self._governor.admit(t, request)

        def abandoned(future: Future[Admission]) -> None:
            if future.exception() is None:
                orphaned(_answer(needs, request, future.result()))

        admission: Admission = yield Ask(
            lambda: self.store.write(work), lambda: self.store.submit(work), abandoned
        )
        return _answer(needs, request, admission)

    def answered(self, approval: ApprovalId, deadline: float) -> Flow[bool]:
        """Wait for people until a monotonic time; whether they have made up their minds."""
        pause = _FIRST_PAUSE
        while (left := deadline - monotonic()) > 0:
            yield Pause(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            held: Approval | None = yield Ask(
                lambda: self.store.read(lambda view: view.approval(approval))
            )
            if held is None or state_at(held, self.clock()) is not ApprovalState.PENDING:
                return True
        return False

    def settle(self, ran: Ran, finished: Callable[[Future[Any]], None]) -> Flow[Settled]:
        """Record an outcome and decide on it."""

        def work(t: Transaction) -> Settlement:
            return self._governor.settle(t, ran.admission.id, ran.request, ran.outcome)

        settlement: Settlement = yield Ask(
            lambda: self.store.write(work), lambda: self.store.submit(work), finished
        )
        self._checkpointer.settled()
        tool = ran.request.action.name
        return Settled(
            settlement=settlement,
            refusal=withheld_text(tool, settlement) if settlement.withheld else "",
            result_rules=self._needs.of(tool).result_rules,
        )

    def settle_again(self, ran: Ran) -> Flow[None]:
        """Record an outcome unless it was recorded before."""

        def work(t: Transaction) -> None:
            action = t.action(ran.admission.id)
            # It may have been written after all, before whoever waited was interrupted.
            if action is None or action.state is not ActionState.SETTLED:
                self._governor.settle(t, ran.admission.id, ran.request, ran.outcome)

        yield Ask(lambda: self.store.write(work), lambda: self.store.submit(work))

    def close(self) -> None:
        """Sign the log and release the store.

        Raises:
            AuditError: the log is not the one that was signed before.
            ConfigError: the log could not be signed.
            StoreError: the store failed.
        """
        try:
            self.store.write(self._checkpointer.sign)
        finally:
            if self._owns_store:
                self.store.close()

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

    def _request(self, proposed: Proposed, needs: ToolNeeds) -> AccessRequest:
        caller, arguments = proposed.caller, proposed.arguments
        return AccessRequest(
            principal=self._refreshed(caller.session, caller.principal, needs.policies),
            session=caller.session,
            action=proposed.action,
            arguments=arguments,
            context=caller.context,
            resolved=real_paths(arguments) if needs.of(proposed.action.name).paths else {},
            trace=caller.trace,
        )

    def _refreshed(self, session: SessionId, stored: Principal, policies: PolicySet) -> Principal:
        """A session's principal with the roles that policy gives everyone in the chain today."""
        if not session:
            return stored
        known = self._principals.get(session)
        if known is None or known[0] is not policies or known[1] is not stored:
            if len(self._principals) >= _MAX_PRINCIPALS:
                self._principals.clear()
            known = self._principals[session] = (policies, stored, _today(policies, stored))
        return known[2]


def _today(policies: PolicySet, stored: Principal) -> Principal:
    caller = stored.on_behalf_of
    if caller is not None and caller.kind != "person":
        return replace(policies.principal(stored.id), on_behalf_of=_today(policies, caller))
    return policies.principal(stored.id, user=None if caller is None else caller.id)


def _answer(needs: ToolNeeds, request: AccessRequest, admission: Admission) -> Answer:
    tool = request.action.name
    if not admission.granted:
        refusal = refusal_text(tool, admission)
        return Answer(request=request, admission=admission, refusal=refusal)
    looks = needs.looks_at_result(tool, admission)
    return Answer(request=request, admission=admission, looks_at_result=looks)
