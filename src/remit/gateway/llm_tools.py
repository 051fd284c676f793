"""The tools that a request lets the model use: which of them this agent may have.

What the agent runs itself is only looked at here, by the part of the rules that needs no arguments;
its calls are decided one by one when the model asks for them. What the provider runs is decided
here, before the request leaves: nobody sees those calls before they have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from remit import canonical, remits
from remit.errors import Denied, InvalidArgument, InvalidRequest, OutcomeNotRecorded, Refused
from remit.gateway.llm_routes import RESERVED
from remit.guard.authority import Proposed
from remit.guard.calls import Caller, Granted
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run_async
from remit.model import Action, Outcome
from remit.policy import PolicySet
from remit.protocols.model_api import HostedCall, ModelRequest, OfferedTool

_STATE = ("hosted.stored_prompt", "hosted.cached_content")
"""What lies at the provider and may bring tools along: without it a request means another thing."""


class HostedTools:
    """What the provider may run in one answer: admitted, open until the answer says what it ran."""

    def __init__(
        self, enforcement: Enforcement, granted: Mapping[str, Granted], silent: bool
    ) -> None:
        """Take them over.

        Args:
            enforcement: records what became of them.
            granted: the admitted actions, by name.
            silent: whether the provider does not say what it ran.
        """
        self._enforcement = enforcement
        self._open = dict(granted)
        self._silent = silent

    async def ran(self, calls: Sequence[HostedCall]) -> None:
        """Record what has run so far, so that what it returned labels the session.

        Raises:
            OutcomeNotRecorded: it could not be.
        """
        for name in list(self._open):
            found = [call for call in calls if f"{call.name}.".startswith(f"{name}.")]
            if found or self._silent:
                await self._settle(name, Outcome(status="ok", result=_told(found)))

    async def finish(self, calls: Sequence[HostedCall], *, whole: bool) -> None:
        """Record what became of them, once the answer is over; ``whole``: all of it came.

        Raises:
            OutcomeNotRecorded: it could not be.
        """
        await self.ran(calls)
        why = "the answer does not speak of it" if whole else "not all of the answer came"
        for name in list(self._open):
            await self._settle(name, Outcome(status="not-run" if whole else "cancelled", error=why))

    async def void(self) -> None:
        """Record that none of them ran: the request was not taken on.

        Raises:
            OutcomeNotRecorded: it could not be.
        """
        for name in list(self._open):
            await self._settle(
                name, Outcome(status="not-run", error="the request was not taken on")
            )

    def abandon(self) -> None:
        """Have it recorded, without waiting, that each may have run."""
        while self._open:
            _, granted = self._open.popitem()
            outcome = Outcome(status="cancelled", error="the agent went away")
            self._enforcement.abandon(granted, outcome)

    async def _settle(self, name: str, outcome: Outcome) -> None:
        await run_async(self._enforcement.settle(self._open.pop(name), outcome))


class ToolOffer(Struct, frozen=True):
    """What is left of the tools of a request."""

    remove: tuple[OfferedTool, ...]
    hosted: HostedTools


async def offer_of(
    enforcement: Enforcement,
    policies: PolicySet,
    caller: Caller,
    request: ModelRequest,
    *,
    silent: bool,
    refuse: bool,
) -> ToolOffer:
    """Decide which tools of a request may be in it.

    Args:
        enforcement: decides.
        policies: the policy in force.
        caller: whose request it is.
        request: with the tools.
        silent: whether answers in this format do not say what the provider ran.
        refuse: whether a tool that may not be in it makes the request one that is refused.

    Raises:
        Denied: the request is refused.
    """
    remove = [
        tool for tool in request.tools if not tool.hosted and not _may(policies, caller, tool)
    ]
    if refuse and remove:
        raise _refused(remove, "policy lets this agent make no call of it.")
    names = dict.fromkeys(tool.name for tool in request.tools if tool.hosted)
    if not names:
        return ToolOffer(tuple(remove), HostedTools(enforcement, {}, silent))
    answers = await asyncio.gather(
        *(_admitted(enforcement, caller, request, name) for name in names)
    )
    granted: dict[str, Granted] = {}
    refused: dict[str, str] = {}
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, Granted):
            granted[name] = answer
        else:
            refused[name] = str(answer)
    hosted = HostedTools(enforcement, granted, silent)
    gone = [tool for tool in request.tools if tool.name in refused]
    if gone and (refuse or any(tool.name in _STATE for tool in gone)):
        await hosted.void()
        raise _refused(gone, next(iter(refused.values())))
    return ToolOffer((*remove, *gone), hosted)


def _may(policies: PolicySet, caller: Caller, tool: OfferedTool) -> bool:
    if tool.name.startswith(RESERVED) or not policies.visible(caller.principal, tool.name):
        return False
    return remits.shows(caller.remits, tool.name, policies)


async def _admitted(
    enforcement: Enforcement, caller: Caller, request: ModelRequest, name: str
) -> Granted | Exception:
    definitions = [tool.definition for tool in request.tools if tool.name == name]
    try:
        arguments: dict[str, Any] = {"definition": canonical.check(definitions[0], "definition")}
        if len(definitions) > 1:
            raise InvalidArgument("tools", f"{name} is offered more than once")
        proposed = Proposed(caller=caller, action=Action(name=name), arguments=arguments)
        return await run_async(enforcement.admit(proposed))
    except (Refused, InvalidRequest, OutcomeNotRecorded) as refusal:
        return refusal


def _refused(tools: Sequence[OfferedTool], why: str) -> Denied:
    names = ", ".join(dict.fromkeys(tool.name for tool in tools))
    return Denied(f"The request offers {names}: {why} Leave it out.", reasons=())


def _told(calls: Sequence[HostedCall]) -> Any:
    told = [{"arguments": call.arguments, "result": call.result} for call in calls]
    try:
        return canonical.check(told, "result")
    except InvalidArgument:
        return None
