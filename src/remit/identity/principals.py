"""What policy declares of an authenticated caller, joined with what its credential proves."""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from remit.model import Principal


class Declarations(Protocol):
    """The part of a ``PolicySet`` that knows who is declared."""

    def principal(self, agent: str) -> Principal:
        """An agent; ``unknown`` if it is not declared."""
        ...

    def person(self, person_id: str) -> Principal:
        """A person; ``unknown`` if they are not declared."""
        ...


def with_policy(principal: Principal, policies: Declarations) -> Principal:
    """The principal, and each one that it acts for, with what policy declares of them.

    Roles are those of policy and those of the credential together; the team is the one of policy,
    and the credential's where policy names none. A declared principal stays ``authenticated`` if
    it was. A service is what its credential says: policy declares none.
    """
    declared = _declared(principal, policies)
    if declared is not None and declared.known == "declared":
        principal = replace(
            principal,
            roles=tuple(dict.fromkeys(declared.roles + principal.roles)),
            team=declared.team if declared.team is not None else principal.team,
            known="authenticated" if principal.known == "authenticated" else "declared",
        )
    if principal.on_behalf_of is None:
        return principal
    return replace(principal, on_behalf_of=with_policy(principal.on_behalf_of, policies))


def _declared(principal: Principal, policies: Declarations) -> Principal | None:
    if principal.kind == "agent":
        return policies.principal(principal.id)
    return policies.person(principal.id) if principal.kind == "person" else None
