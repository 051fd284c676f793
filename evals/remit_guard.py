"""A guard for the attack benchmark that is Remit itself: a governor over a store in memory.

    python agentdojo_replay.py --guard remit_guard:RemitGuard?policy=workspace.yaml

What the benchmark calls a hold is what policy answers with ``ask`` or ``defer``. The agent is the
only one that the policy declares; the user is the one whom the benchmark names.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from agentdojo_replay import ALLOW, DENY, HOLD, BaseGuard, Decision, Result, Session
from msgspec.structs import replace

from remit import policy
from remit.canonical import check
from remit.governor import Governor
from remit.model import AccessRequest, Action, Effect, Outcome, Principal
from remit.policy.explain import refusal
from remit.storage.memory import MemoryStore

HERE = Path(__file__).parent


class RemitGuard(BaseGuard):
    """Every call goes through ``Governor.admit``, every result through ``Governor.settle``."""

    def __init__(self, policy: str = "") -> None:
        """Load one policy file, or for each deployment the file beside this one of its name."""
        self._file = policy
        self._policies: dict[str, Any] = {}

    def start(self, session: Session) -> None:
        """Open a session whose intent is the user's request."""
        policies = self._policy(session.deployment)
        ticks = itertools.count(1_700_000_000_000_000_000, 1_000_000)
        governor = Governor(
            policies=lambda: policies, clock=lambda: next(ticks), entropy=os.urandom
        )
        store = MemoryStore()
        agent = policies.principal(next(iter(policies.agents)))
        user = Principal(id=session.agent["user_email"], kind="person", known="declared")
        principal = replace(agent, on_behalf_of=user)
        opened = store.write(
            lambda t: governor.open_session(t, principal, intent=session.user_prompt)
        )
        session.state["remit"] = (governor, store, principal, opened.id)

    def guard(self, session: Session, agent: dict, tool: str, args: dict) -> Decision:
        """Decide on a call."""
        governor, store, principal, session_id = session.state["remit"]
        request = AccessRequest(
            principal=principal,
            session=session_id,
            action=Action(name=tool),
            arguments=check(args),
        )
        admission = store.write(lambda t: governor.admit(t, request))
        session.state["open"] = (admission, request)
        effect = admission.decision.effect
        if admission.granted:
            return Decision(ALLOW)
        verdict = DENY if effect is Effect.DENY else HOLD
        return Decision(verdict, refusal(tool, admission.decision))

    def observe(self, session: Session, tool: str, args: dict, result: Result) -> str | None:
        """Report what came of a call; a held one was approved by then, so it is asked again."""
        governor, store, _, _ = session.state["remit"]
        admission, request = session.state["open"]
        if not admission.granted:
            admission = self._approved(governor, store, admission, request)
        if result.error is None:
            outcome = Outcome(status="ok", result=check(result.data))
        else:
            outcome = Outcome(status="error", error=result.error[:1000])
        settled = store.write(lambda t: governor.settle(t, admission.id, request, outcome))
        return "The result is withheld by policy." if settled.withheld else None

    def _approved(self, governor: Any, store: Any, held: Any, request: AccessRequest) -> Any:
        """The admission of a call that a person approved."""
        person = Principal(id="approver", kind="person", known="declared")
        store.write(lambda t: governor.approve(t, held.approval, person))
        return store.write(lambda t: governor.admit(t, request))

    def _policy(self, deployment: str) -> Any:
        name = self._file or f"{deployment}.yaml"
        if name not in self._policies:
            path = HERE / name if not Path(name).exists() else Path(name)
            self._policies[name] = policy.load({path.name: path.read_text()})
        return self._policies[name]


__all__ = ["RemitGuard"]
