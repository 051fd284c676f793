"""Whom an AuthZEN request is about, and whether its sender may ask about them.

An agent asks about itself only. A service asks about the agents of its credential, and about whom
``[authzen]`` of ``remit.toml`` lets it; what it says of them counts as far as is said there.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from remit.api.frame import Problem
from remit.config.authzen import KINDS, AuthZenConfig
from remit.identity.model import Identity
from remit.identity.principals import with_policy
from remit.model import Principal
from remit.policy import PolicySet
from remit.protocols import authzen
from remit.protocols.authzen import SubjectEntity


class Subjects:
    """Who may be asked about by one caller."""

    def __init__(self, identity: Identity, policies: PolicySet, config: AuthZenConfig) -> None:
        self._identity = identity
        self._policies = policies
        service = identity.principal.kind == "service"
        self._client = config.client(identity.principal.id) if service else None

    def principal(self, subject: SubjectEntity) -> Principal:
        """The principal that a subject stands for, with those that it acts on behalf of.

        Raises:
            Problem: 403, the caller may not ask about this subject.
            InvalidRequest: ``properties.act`` is no chain of actors.
        """
        found = self._known(subject.type, subject.id)
        if found is None:
            raise Problem(
                403,
                "not-your-subject",
                f"This credential may not ask about {subject.type} {subject.id!r}.",
            )
        if self._identity.principal.kind == "agent":
            return found
        chain = self._believed(found, subject)
        for actor in reversed(authzen.actors_of(subject)):
            agent = self._known("agent", actor)
            if agent is None:
                raise Problem(
                    403, "not-your-subject", f"This credential may not ask about agent {actor!r}."
                )
            chain = replace(agent, on_behalf_of=chain)
        return chain

    def recognises(self, subject_type: str) -> bool:
        """Whether there are subjects of that type at all, as far as the caller is concerned."""
        rules = () if self._client is None else self._client.subjects
        return subject_type in KINDS or any(rule.type == subject_type for rule in rules)

    def trusted(self, subject: SubjectEntity) -> dict[str, Any]:
        """The properties of a subject that rules may see."""
        names = self._client.properties if self._client is not None else ()
        return {name: subject.properties[name] for name in names if name in subject.properties}

    def declared(self, subject_type: str) -> list[Principal]:
        """Everybody of a type whom the policy declares and the caller may ask about, by id."""
        agents, people = self._policies.agents, self._policies.people
        ids = sorted({*agents, *people, self._identity.principal.id})
        found = [self._known(subject_type, each) for each in ids]
        return [each for each in found if each is not None and each.known != "unknown"]

    def covers(self, principal: Principal) -> bool:
        """Whether the caller may ask about a principal, and so see what was asked about it.

        The whole chain counts: who acts, and each one on whose behalf.
        """
        own = self._identity.principal
        if own.kind == "agent":
            return _names(own) == _names(principal)
        return all(self._covers_link(link) for link in principal.chain())

    def _covers_link(self, link: Principal) -> bool:
        if link.kind == "agent" and link.id in self._identity.agents:
            return True
        rules = () if self._client is None else self._client.subjects
        return any(
            rule.stands_for == link.kind and rule.covers(rule.type, link.id) for rule in rules
        )

    def _known(self, subject_type: str, subject_id: str) -> Principal | None:
        """The principal that a type and an id name; None if the caller may not ask about it."""
        own = self._identity.principal
        if own.kind == "agent":
            mine = KINDS.get(subject_type) == "agent" and subject_id == own.id
            return with_policy(own, self._policies) if mine else None
        kind = self._kind(subject_type, subject_id)
        if kind == "agent":
            return self._policies.principal(subject_id)
        if kind == "person":
            return self._policies.person(subject_id)
        return None if kind is None else Principal(id=subject_id, kind="service")

    def _kind(self, subject_type: str, subject_id: str) -> str | None:
        """What a subject is to a service; None if it may not ask about it."""
        if KINDS.get(subject_type) == "agent" and subject_id in self._identity.agents:
            return "agent"
        rules = () if self._client is None else self._client.subjects
        for rule in rules:
            if rule.covers(subject_type, subject_id):
                return rule.stands_for
        return None

    def _believed(self, principal: Principal, subject: SubjectEntity) -> Principal:
        client = self._client
        if client is None:
            return principal
        roles = _allowed(client.roles_property, client.allowed_roles, subject)
        teams = _allowed(client.team_property, client.allowed_teams, subject)
        team = teams[0] if teams else None
        return authzen.believed(principal, roles, team, vouched=client.vouches)


def _allowed(name: str | None, allowed: tuple[str, ...], subject: SubjectEntity) -> tuple[str, ...]:
    """The words of a property that are believed."""
    if name is None:
        return ()
    return tuple(each for each in authzen.words_of(subject.properties.get(name)) if each in allowed)


def _names(principal: Principal) -> list[tuple[str, str]]:
    return [(link.kind, link.id) for link in principal.chain()]
