"""``[authzen]`` of ``remit.toml``: which enforcement points may ask about whom, and what is known.

Without it an agent may ask about itself, and a service about the agents of its credential.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from remit import canonical
from remit.errors import InvalidArgument

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]

KINDS: dict[str, Literal["agent", "person", "service"]] = {
    "agent": "agent",
    "person": "person",
    "service": "service",
    "user": "person",
}
"""What subjects of these types are, unless a rule says otherwise."""


class SubjectRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[authzen.clients.subjects]]``: subjects of one type."""

    type: Name
    ids: tuple[Name, ...] = ("*",)
    """Ids, or the beginning of them and a final ``*``."""
    kind: Literal["agent", "person", "service"] | None = None
    """What these subjects are; needed for types other than ``user person agent service``."""

    def __post_init__(self) -> None:
        if self.kind is None and self.type not in KINDS:
            raise ValueError(f'say what a {self.type!r} is: kind = "person", for example')

    @property
    def stands_for(self) -> Literal["agent", "person", "service"]:
        """What these subjects are."""
        return self.kind or KINDS[self.type]

    def covers(self, subject_type: str, subject_id: str) -> bool:
        """Whether it speaks of that subject."""
        if subject_type != self.type:
            return False
        return any(
            subject_id.startswith(each[:-1]) if each.endswith("*") else subject_id == each
            for each in self.ids
        )


class AuthZenClient(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[authzen.clients]]``: an enforcement point that asks about others.

    It has authenticated the subjects that it names. What it says of them in ``properties`` counts
    only as far as is said here.
    """

    service: Name
    """The principal of its credential: a service with the right agent."""
    subjects: Annotated[tuple[SubjectRule, ...], Meta(min_length=1)]
    vouches: bool = False
    """Whether subjects that the policy does not declare count as authenticated."""
    roles_property: Name | None = None
    """The property that names a role, or a list of them."""
    allowed_roles: tuple[Name, ...] = ()
    """Values of it that become roles; others are dropped."""
    team_property: Name | None = None
    allowed_teams: tuple[Name, ...] = ()
    properties: tuple[Name, ...] = ()
    """Properties that rules see as ``context.subject.<name>``."""

    def __post_init__(self) -> None:
        for name, allowed in (
            (self.roles_property, self.allowed_roles),
            (self.team_property, self.allowed_teams),
        ):
            if (name is None) == bool(allowed):
                raise ValueError("a property for roles or a team goes with the values it may have")


class KnownResource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[authzen.resources]]``: a resource that searches can find.

    Its properties hold wherever a request says nothing else about the same resource.
    """

    type: Name
    id: Annotated[str, Meta(min_length=1, max_length=1000)]
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            canonical.check(self.properties, "properties")
        except InvalidArgument as problem:
            raise ValueError(str(problem)) from None


class AuthZenConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[authzen]``."""

    clients: tuple[AuthZenClient, ...] = ()
    resources: tuple[KnownResource, ...] = ()

    def __post_init__(self) -> None:
        for what, keys in (
            ("client", [each.service for each in self.clients]),
            ("resource", [(each.type, each.id) for each in self.resources]),
        ):
            if len(set(keys)) < len(keys):
                raise ValueError(f"a {what} is there twice")

    def client(self, service: str) -> AuthZenClient | None:
        """The settings of an enforcement point."""
        return next((each for each in self.clients if each.service == service), None)

    def known(self, resource_type: str) -> tuple[KnownResource, ...]:
        """The resources of a type; none means that it is open which there are."""
        return tuple(each for each in self.resources if each.type == resource_type)
