"""The authority in this process: a governor over a store, with the policy in force."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic

from msgspec.structs import replace

from remit.approvals import Approval, ApprovalState, state_at
from remit.governor import Governor
from remit.guard.calls import Caller
from remit.guard.checkpoints import Checkpointer
from remit.guard.governing import GoverningAuthority
from remit.guard.needs import ToolNeeds
from remit.guard.steps import Ask, Flow, Pause
from remit.model import ApprovalId, Principal, Session, SessionId, TaskRemit
from remit.policy import PolicySet
from remit.storage import Store, Transaction

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25
_MAX_PRINCIPALS = 1024


class LocalAuthority(GoverningAuthority):
    """Decides in this process (``Authority``)."""

    def __init__(
        self,
        *,
        store: Store,
        owns_store: bool,
        policies: PolicySet,
        clock: Callable[[], int],
        checkpointer: Checkpointer,
    ) -> None:
        governor = Governor(policies=lambda: self.policies, clock=clock, entropy=os.urandom)
        super().__init__(store=store, governor=governor, clock=clock, checkpointer=checkpointer)
        self._owns_store = owns_store
        self._needs = ToolNeeds(policies)
        self._principals: dict[SessionId, tuple[PolicySet, Principal, Principal]] = {}

    @property
    def needs(self) -> ToolNeeds:
        """The policy in force, and what it wants to know of tools; replaced whole."""
        return self._needs

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
        self,
        agent: str,
        user: str | None,
        intent: str | None,
        parent: SessionId | None,
        remit: TaskRemit | None = None,
    ) -> Flow[Session]:
        """Open a session, or with a ``parent`` delegate from it."""
        return self._written(
            "The session was not opened",
            lambda t: self.begin(t, agent, user, intent, parent, remit),
        )

    def begin(
        self,
        t: Transaction,
        agent: str,
        user: str | None,
        intent: str | None,
        parent: SessionId | None = None,
        remit: TaskRemit | None = None,
    ) -> Session:
        """Open a session within a transaction, as ``open_session``.

        Raises:
            InvalidRequest: the intent or the remit is unusable, or the parent cannot delegate.
        """
        principal = self.policies.principal(agent, user=user)
        return self._governor.open_session(t, principal, intent, parent, remit=remit)

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

    def _acting(self, caller: Caller, policies: PolicySet) -> Principal:
        """A session's principal with the roles that policy gives everyone in the chain today."""
        session, stored = caller.session, caller.principal
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
