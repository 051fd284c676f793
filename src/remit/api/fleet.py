"""The nodes of the fleet that the server belongs to."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from remit.api.frame import Call, Problem, Reply, Route
from remit.credentials import Right
from remit.model import Revision
from remit.storage.fleet import NodeState


class NodeList(Struct, frozen=True, kw_only=True):
    """The answer of ``GET /v1/nodes``."""

    published: Revision | None
    """The policy that every node is to have in force; null where none was published."""
    nodes: tuple[NodeState, ...]
    """Those that were heard of in the last day, by name."""


async def nodes(call: Call) -> Reply:
    """Who is there, what is in force there, how far behind they are, and who leads."""
    fleet = call.parts.fleet
    if fleet is None:
        raise Problem(404, "no-fleet", "The store is this server's own: there are no other nodes.")
    found = await asyncio.to_thread(fleet.nodes)
    published = await asyncio.to_thread(fleet.published)
    revision = None if published is None else published.revision
    return Reply(body=NodeList(published=revision, nodes=tuple(found)))


ROUTES = (
    Route(
        method="GET",
        path="/v1/nodes",
        handler=nodes,
        rights=frozenset({Right.AUDITOR, Right.ADMIN}),
        summary="The nodes of the fleet",
        tag="health",
        reply=NodeList,
        problems=(404,),
    ),
)
