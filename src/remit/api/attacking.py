"""Red team over HTTP: what a hijacked agent would get through, under the policy in force."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from remit.api.frame import Call, Problem, Reply, Route
from remit.attack import Report, attack
from remit.credentials import Right


class AttackBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to try."""

    agents: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    """As whom; empty: as every declared agent."""


async def rehearse(call: Call) -> Reply:
    """Try every hijacked sequence against the policy in force; nothing is called or recorded."""
    asked: AttackBody = call.body
    policies = call.parts.policies.current
    unknown = [agent for agent in asked.agents if agent not in policies.agents]
    if unknown:
        raise Problem(422, "no-such-agent", f"No agent {unknown[0]!r} is declared in the policy.")
    return Reply(body=await asyncio.to_thread(attack, policies, asked.agents))


ROUTES = (
    Route(
        method="POST",
        path="/v1/attack",
        handler=rehearse,
        rights=frozenset({Right.ADMIN, Right.AUDITOR, Right.EDITOR}),
        summary="What a hijacked agent would get through",
        description="Rehearsed under the policy in force: nothing is called, nothing is recorded.",
        tag="attack",
        body=AttackBody,
        reply=Report,
        problems=(422,),
        waits=60.0,
    ),
)
