"""Requests that wait for a person: kept in memory until the agent asks what became of them.

Nothing is sent on its own. Once a request is approved, the agent that asks for its status, or sends
it again, has it sent: with the credential, the policy, the budgets and the stops of that moment.
What is kept here is lost when the server ends; the approval is not, and the same request sent
again uses it.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from remit.model import ApprovalId, Principal

_MOST = 1000
_MOST_BYTES = 64 * 1_048_576


class HeldRequest(Struct, frozen=True, kw_only=True):
    """A request as it came."""

    owner: Principal
    """Who sent it; nobody else may have it sent."""
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    key: str = ""
    """Its ``Idempotency-Key``, if it has one."""


class HeldRequests:
    """The requests to one server that wait. Bounded: the oldest are dropped first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[ApprovalId, HeldRequest] = OrderedDict()
        self._bytes = 0

    def keep(self, approval: ApprovalId, request: HeldRequest) -> None:
        """Keep a request. One that is kept already stays, unless only the new one has a key."""
        before = self._kept.pop(approval, None)
        if before is not None:
            self._bytes -= len(before.body)
            request = request if request.key and not before.key else before
        self._kept[approval] = request
        self._bytes += len(request.body)
        while len(self._kept) > _MOST or self._bytes > _MOST_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped.body)

    def of(self, approval: ApprovalId, owner: Principal) -> HeldRequest | None:
        """A request of that agent, if it is kept."""
        found = self._kept.get(approval)
        return found if found is not None and same_agent(found.owner, owner) else None


def same_agent(one: Principal, other: Principal) -> bool:
    """Whether two principals are the same agent for the same others, whatever its roles."""
    return [(p.kind, p.id) for p in one.chain()] == [(p.kind, p.id) for p in other.chain()]
