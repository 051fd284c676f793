"""Who is declared: the agents and the people of the policy documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from remit import text
from remit.model import Fault, Location, Principal
from remit.policy.document import Membership, words
from remit.policy.reading import ReadDocument


class Directory:
    """Agents and people by id, with their roles and teams. Read-only.

    Attributes:
        issued_roles: roles that credentials may bring to whoever is not declared with them.
        issued_teams: the same of teams.
    """

    def __init__(
        self,
        agents: Mapping[str, Principal],
        people: Mapping[str, Principal],
        issued_roles: Iterable[str] = (),
        issued_teams: Iterable[str] = (),
    ) -> None:
        self.agents = MappingProxyType(dict(agents))
        self.people = MappingProxyType(dict(people))
        self.issued_roles = frozenset(issued_roles)
        self.issued_teams = frozenset(issued_teams)

    def principal(self, agent: str, user: str | None = None) -> Principal:
        """An agent, on behalf of a person if one is given. Undeclared ones are ``unknown``."""
        known = self.agents.get(agent)
        if user is None:
            return known or Principal(id=agent)
        person = self.person(user)
        if known is None:
            return Principal(id=agent, on_behalf_of=person)
        return Principal(
            id=known.id,
            roles=known.roles,
            team=known.team,
            known=known.known,
            on_behalf_of=person,
        )

    def person(self, person_id: str) -> Principal:
        """A person. An undeclared one is ``unknown`` and has no roles."""
        return self.people.get(person_id) or Principal(id=person_id, kind="person")

    @property
    def roles(self) -> frozenset[str]:
        """Every role that somebody has or that a credential may bring."""
        return self.issued_roles.union(*(each.roles for each in self._everybody()))

    @property
    def teams(self) -> frozenset[str]:
        """Every team that somebody is in or that a credential may bring."""
        teams = {each.team for each in self._everybody() if each.team is not None}
        return self.issued_teams | teams

    @property
    def approvers(self) -> frozenset[str]:
        """Every word that names an approver: people, and their roles and teams."""
        people = self.people.values()
        roles = {role for each in people for role in each.roles}
        teams = {each.team for each in people if each.team}
        return self.issued.union(self.people, roles, teams)

    @property
    def issued(self) -> frozenset[str]:
        """Every role and team that a credential may bring."""
        return self.issued_roles | self.issued_teams

    def _everybody(self) -> tuple[Principal, ...]:
        return (*self.agents.values(), *self.people.values())


def read_directory(documents: Iterable[ReadDocument], note: Callable[[Fault], None]) -> Directory:
    """Everybody whom the documents declare together."""
    places: dict[str, tuple[str, Location]] = {}
    agents: dict[str, Principal] = {}
    people: dict[str, Principal] = {}
    roles: set[str] = set()
    teams: set[str] = set()
    for read in documents:
        document = read.document
        roles.update(words(document.issued.roles))
        teams.update(words(document.issued.teams))
        for agent_id, entry in document.agents.items():
            if _is_new(read, "agents", agent_id, places, note):
                agents[agent_id] = _principal(agent_id, entry, "agent")
        for person_id, entry in document.people.items():
            if _is_new(read, "people", person_id, places, note):
                people[person_id] = _principal(person_id, entry, "person")
    return Directory(agents, people, roles, teams)


def _principal(name: str, entry: Membership, kind: Literal["agent", "person"]) -> Principal:
    roles = tuple(dict.fromkeys(words(entry.roles)))
    return Principal(id=name, kind=kind, roles=roles, team=entry.team, known="declared")


def _is_new(
    read: ReadDocument,
    section: str,
    name: str,
    places: dict[str, tuple[str, Location]],
    note: Callable[[Fault], None],
) -> bool:
    """Whether nobody else has that id, or one that reads the same."""
    key = read.key(read.document, section, name)
    form = text.fold(name)
    if form in places:
        other, place = places[form]
        message = f"{name!r} is declared already, as {other!r} at {place}"
        note(read.source.fault(key, message, "Ids must differ by more than case or look-alikes."))
        return False
    places[form] = name, read.source.location(key.start)
    return True
