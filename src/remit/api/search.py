"""AuthZEN searches: who may do it, on which resources, and what may they do.

A search asks policy about everything that is known: the people and agents that it declares, the
resources of ``[authzen]``, the tools that it declares by name. It asks outside of any session,
counts against no limit and leaves no record. What it finds is what an evaluation would have
permitted at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from remit import text
from remit.api.frame import Call, Handler, Reply, Route
from remit.api.subjects import Subjects
from remit.credentials import Right
from remit.fulfilment import rule
from remit.identity.model import permits
from remit.model import NO_SESSION, AccessRequest, Action, Effect, Facts, Mode, Principal, Session
from remit.protocols import authzen
from remit.protocols.authzen import (
    ActionEntity,
    ActionFound,
    ActionSearch,
    ActionsReply,
    EntitiesReply,
    Entity,
    Page,
    PageReply,
    Place,
    ResourceEntity,
    ResourceSearch,
    SubjectEntity,
    SubjectSearch,
)
from remit.storage import Snapshot

T = TypeVar("T")
F = TypeVar("F", Entity, ActionFound)

MOST_RESULTS = 1000
"""Results on one page."""
_MOST_ASKED = 10_000
"""Candidates that policy is asked about for one page."""

SUBJECT = "/access/v1/search/subject"
RESOURCE = "/access/v1/search/resource"
ACTION = "/access/v1/search/action"


async def search_subject(call: Call) -> Reply:
    """Everybody of a type who may do something."""
    asked: SubjectSearch = call.body
    query = _Query(call)
    resource, kind = query.known(asked.resource), asked.subject.type
    candidates = query.subjects.declared(kind) if resource is not None else []

    def ask(view: Snapshot, principal: Principal) -> Entity | None:
        found = Entity(type=kind, id=principal.id)
        allowed = query.allows(view, principal, resource or asked.resource, asked.action)
        return found if allowed else None

    place = _place(asked.page, asked.subject.type, asked.action, asked.resource, asked.context)
    found, page = await query.page(place, candidates, ask)
    return Reply(body=EntitiesReply(page=page, results=found))


async def search_resource(call: Call) -> Reply:
    """Every known resource of a type on which somebody may do something."""
    asked: ResourceSearch = call.body
    query = _Query(call)
    principal = query.principal(asked.subject)
    known = call.parts.config.authzen.known(asked.resource.type)
    candidates = [
        ResourceEntity(type=each.type, id=each.id, properties=each.properties) for each in known
    ]

    def ask(view: Snapshot, resource: ResourceEntity) -> Entity | None:
        allowed = query.allows(view, principal, resource, asked.action)
        return Entity(type=resource.type, id=resource.id) if allowed else None

    place = _place(asked.page, asked.subject, asked.action, asked.resource.type, asked.context)
    found, page = await query.page(place, candidates, ask)
    return Reply(body=EntitiesReply(page=page, results=found))


async def search_action(call: Call) -> Reply:
    """Every declared action that somebody may do with a resource."""
    asked: ActionSearch = call.body
    query = _Query(call)
    principal = query.principal(asked.subject)
    resource = query.known(asked.resource)
    names = query.actions(asked.resource.type) if resource is not None else ()

    def ask(view: Snapshot, name: str) -> ActionFound | None:
        action = ActionEntity(name=name)
        allowed = query.allows(view, principal, resource or asked.resource, action)
        return ActionFound(name=name) if allowed else None

    place = _place(asked.page, asked.subject, asked.resource, asked.context)
    found, page = await query.page(place, sorted(names), ask)
    return Reply(body=ActionsReply(page=page, results=found))


class _Query:
    """One search: what it asks policy, and how much of it."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._policies = call.parts.policies.current
        self._now = call.parts.clock()
        self._config = call.parts.config.authzen
        self.subjects = Subjects(call.identity, self._policies, self._config)
        asked: SubjectSearch | ResourceSearch | ActionSearch = call.body
        trusted = {}
        if not isinstance(asked, SubjectSearch):
            trusted = self.subjects.trusted(asked.subject)
        self._context = authzen.context_of(asked.context, trusted)

    def principal(self, subject: SubjectEntity) -> Principal | None:
        """Whom a search is about; None where there are no subjects of that type.

        Raises:
            Problem: 403, the caller may not ask about this subject.
        """
        recognised = self.subjects.recognises(subject.type)
        return self.subjects.principal(subject) if recognised else None

    def known(self, resource: ResourceEntity) -> ResourceEntity | None:
        """The resource with what is known of it; None where it is known that there is none."""
        listed = self._config.known(resource.type)
        if not listed:
            return resource
        for each in listed:
            if each.id == resource.id:
                properties = {**each.properties, **resource.properties}
                return ResourceEntity(type=each.type, id=each.id, properties=properties)
        return None

    def actions(self, resource_type: str) -> set[str]:
        """The actions on a type that are declared as tools, by their whole name."""
        if resource_type == authzen.TOOL:
            return {authzen.CALLS[0]}
        prefix = f"{text.name(resource_type)}."
        return {
            tool.pattern.removeprefix(prefix)
            for tool in self._policies.tools
            if tool.pattern.startswith(prefix) and "*" not in tool.pattern
        }

    def allows(
        self,
        view: Snapshot,
        principal: Principal | None,
        resource: ResourceEntity,
        action: ActionEntity,
    ) -> bool:
        """Whether policy would permit it now, and no stop stands against it."""
        if principal is None:
            return False
        tool = authzen.tool_of(resource.type, resource.id, action.name)
        request = AccessRequest(
            principal=principal,
            session=NO_SESSION,
            action=Action(name=tool),
            arguments=authzen.arguments_of(resource, action),
            context=self._context,
        )
        if self._call.parts.governor.stopped(view, request) is not None:
            return False
        if permits(self._call.identity, tool, None, self._now) is not None:
            return False
        session = Session(id=NO_SESSION, principal=principal, started_at=self._now)
        decision = rule(self._policies, request, Facts(now=self._now, session=session)).decision
        return decision.effect is Effect.ALLOW or decision.mode is Mode.SHADOW

    async def page(
        self,
        place: Place,
        candidates: Sequence[T],
        ask: Callable[[Snapshot, T], F | None],
    ) -> tuple[list[F], PageReply]:
        """The part of the candidates that is allowed, from ``place`` on."""
        waiting = candidates[place.start : place.start + _MOST_ASKED]

        def work(view: Snapshot) -> tuple[list[F], int]:
            found: list[F] = []
            for number, result in _asked(view, waiting, ask):
                if len(found) == place.limit:
                    return found, number
                found.append(result)
            return found, len(waiting)

        found, done = await self._call.parts.read(work)
        following = place.start + done
        token = ""
        if following < len(candidates):
            token = authzen.page_token(Place(place.query, following, place.limit))
        return found, PageReply(next_token=token, count=len(found))


def _asked(
    view: Snapshot, waiting: Sequence[T], ask: Callable[[Snapshot, T], F | None]
) -> Iterator[tuple[int, F]]:
    """Each candidate that is allowed, with its number."""
    for number, candidate in enumerate(waiting):
        result = ask(view, candidate)
        if result is not None:
            yield number, result


def _place(page: Page, *entities: object) -> Place:
    return authzen.read_page(page, authzen.query_digest(*entities), MOST_RESULTS)


def _route(path: str, handler: Handler, body: Any, reply: Any, summary: str) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        rights=frozenset({Right.AGENT}),
        summary=summary,
        tag="authzen",
        body=body,
        reply=reply,
        problems=(403,),
        wrong_media=400,
    )


ROUTES = (
    _route(SUBJECT, search_subject, SubjectSearch, EntitiesReply, "Who may do that? (AuthZEN)"),
    _route(
        RESOURCE,
        search_resource,
        ResourceSearch,
        EntitiesReply,
        "With which resources may they do that? (AuthZEN)",
    ),
    _route(
        ACTION, search_action, ActionSearch, ActionsReply, "What may they do with it? (AuthZEN)"
    ),
)
