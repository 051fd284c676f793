"""What tests of policy share: short ways to load, to ask and to point at a fault."""

from __future__ import annotations

from typing import Any

import pytest

from remit.errors import PolicyError
from remit.model import (
    AccessRequest,
    Action,
    Decision,
    Facts,
    Fault,
    Outcome,
    Principal,
    Session,
    SessionId,
)
from remit.policy import PolicySet, decide, load

NOW = 1_772_000_000_000_000_000

HEAD = """\
remit: 1
agents:
  bot: {roles: [worker], team: warehouse}
  helper: {roles: [assistant], team: care}
people:
  ada: {roles: [clerk], team: care}
  grace: {roles: [security-team], team: security}
"""


def policy(text: str, *, head: str = HEAD, **options: Any) -> PolicySet:
    """A policy from rules and the like, with two agents and two people."""
    return load({"remit.yaml": head + text}, **options)


def faults(text: str, *, head: str = HEAD, **options: Any) -> tuple[Fault, ...]:
    """The faults of a policy that must have some."""
    with pytest.raises(PolicyError) as caught:
        policy(text, head=head, **options)
    return caught.value.faults


def fault_at(marked: str, *, head: str = HEAD, **options: Any) -> Fault:
    """The one fault of a policy, which must underline exactly what stands between « and »."""
    text = (head + marked).replace("«", "").replace("»", "")
    found = faults(text, head="", **options)
    assert len(found) == 1, "\n".join(map(str, found))
    before = (head + marked).partition("«")[0]
    inside = marked.partition("«")[2].partition("»")[0]
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    fault = found[0]
    assert (fault.at.file, fault.at.line, fault.at.column) == ("remit.yaml", line, column), fault
    assert fault.width == max(1, len(inside.split("\n")[0].rstrip())), fault
    return fault


def request(
    tool: str = "db.query",
    args: dict[str, Any] | None = None,
    *,
    principal: Principal | None = None,
    policies: PolicySet | None = None,
    agent: str = "bot",
    user: str | None = "ada",
    **fields: Any,
) -> AccessRequest:
    """A request by an agent as ``policies`` knows it, or by a declared one."""
    if principal is None:
        principal = (
            policies.principal(agent, user=user)
            if policies is not None
            else Principal(id=agent, roles=("worker",), team="warehouse", known="declared")
        )
    return AccessRequest(
        principal=principal,
        session=SessionId("s-1"),
        action=Action(name=tool),
        arguments={} if args is None else args,
        **fields,
    )


def facts(labels: tuple[str, ...] = (), *, outcome: Outcome | None = None, **session: Any) -> Facts:
    """Facts of a session with these labels."""
    principal = Principal(id="bot", known="declared")
    return Facts(
        now=NOW,
        session=Session(
            id=SessionId("s-1"), principal=principal, started_at=NOW, labels=labels, **session
        ),
        outcome=outcome,
    )


def ask(
    policies: PolicySet,
    tool: str = "db.query",
    args: dict[str, Any] | None = None,
    *,
    labels: tuple[str, ...] = (),
    outcome: Outcome | None = None,
    **options: Any,
) -> Decision:
    """What the policy says of one call."""
    asked = request(tool, args, policies=policies, **options)
    return decide(policies, asked, facts(labels, outcome=outcome))


def reasons(decision: Decision) -> list[str]:
    """The ids of a decision's reasons, in order."""
    return [reason.rule for reason in decision.reasons]
