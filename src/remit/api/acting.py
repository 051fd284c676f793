"""Who acts in a session: what the credential proves, joined with what the policy in force says."""

from __future__ import annotations

from msgspec.structs import replace

from remit.api.frame import Problem
from remit.identity.model import Identity, may_act_as
from remit.identity.principals import with_policy
from remit.model import Principal
from remit.policy import PolicySet
from remit.protocols.wire import SessionOpening


def opener(identity: Identity, asked: SessionOpening, policies: PolicySet) -> Principal:
    """Whose session is to be opened.

    Raises:
        Problem: the caller may not act as that agent, or not on behalf of that person.
    """
    shown = identity.principal
    agent = asked.agent
    if agent is None:
        if shown.kind != "agent":
            raise Problem(400, "agent-missing", "Name the agent whose session is to be opened.")
        agent = shown.id
    if not may_act_as(identity, agent):
        raise Problem(
            403, "not-your-agent", f"This credential may not open a session of {agent!r}."
        )
    if asked.parent is not None:
        if asked.user is not None:
            raise Problem(
                400,
                "user-and-parent",
                "A delegated session acts on behalf of its parent; leave the user out.",
            )
        return _alone(identity, agent, policies)
    person = shown.user
    if asked.user is not None and person is not None and person.id != asked.user:
        raise Problem(
            403, "not-your-user", f"This credential does not act on behalf of {asked.user!r}."
        )
    own = _alone(identity, agent, policies)
    if shown.on_behalf_of is not None:
        return replace(own, on_behalf_of=with_policy(shown.on_behalf_of, policies))
    if asked.user is not None:
        return replace(own, on_behalf_of=policies.person(asked.user))
    return own


def acting(identity: Identity, stored: Principal, policies: PolicySet) -> Principal:
    """Who acts in a session that the caller may use, with the roles of today."""
    caller = stored.on_behalf_of
    own = _alone(identity, stored.id, policies)
    return own if caller is None else replace(own, on_behalf_of=_refreshed(caller, policies))


def stranger(identity: Identity, policies: PolicySet) -> Principal:
    """Who acts where the caller has no part in the session: the caller itself."""
    return with_policy(identity.principal, policies)


def _alone(identity: Identity, agent: str, policies: PolicySet) -> Principal:
    """An agent that the caller may act as, on nobody's behalf."""
    shown = identity.principal
    if shown.kind == "agent":
        return with_policy(replace(shown, on_behalf_of=None), policies)
    return policies.principal(agent)


def _refreshed(link: Principal, policies: PolicySet) -> Principal:
    """A link of a stored chain: as declared today; where it is not, as its credential showed it."""
    above = None if link.on_behalf_of is None else _refreshed(link.on_behalf_of, policies)
    if link.kind == "agent":
        declared = policies.principal(link.id)
    elif link.kind == "person":
        declared = policies.person(link.id)
    else:
        declared = link
    own = declared
    if declared.known == "unknown" and link.known == "authenticated":
        own = link
    return replace(own, on_behalf_of=above)
