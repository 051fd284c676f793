"""Calls that a model asks for: each is decided before a byte of it leaves, then runs elsewhere.

A call that is let through is an admitted action. The agent runs it, and what came of it is in one
of its next requests (``llm_results``); until then the action is open, and where nothing ever comes
its lease ends and the governor takes it to have happened.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

from msgspec import Struct

from remit import canonical
from remit.errors import Denied, InvalidArgument, InvalidRequest, OutcomeNotRecorded, Refused
from remit.gateway.llm_routes import RESERVED
from remit.gateway.llm_sessions import ModelConversation
from remit.guard.authority import Proposed
from remit.guard.calls import Caller, Granted
from remit.guard.enforcement import Enforcement
from remit.guard.steps import run_async
from remit.model import Action, Digest, Outcome
from remit.protocols.model_api import CallVerdict, OfferedTool, RefusedCall, RequestedCall


class Decided(Struct, frozen=True):
    """A call, what becomes of it, and the action that it is if it may run."""

    call: RequestedCall
    verdict: CallVerdict
    granted: Granted | None = None


class CallDesk:
    """Decides the calls of one answer, and keeps account of those that the agent was given."""

    def __init__(
        self,
        enforcement: Enforcement,
        caller: Caller,
        conversation: ModelConversation,
        offered: Sequence[OfferedTool],
    ) -> None:
        self._enforcement = enforcement
        self._caller = caller
        self._conversation = conversation
        self._offered = {tool.name: tool for tool in offered if not tool.hosted}
        self._unreleased: dict[str, Granted] = {}
        self.refused: list[RefusedCall] = []
        self.names: list[str] = []
        """Tools that the model asked for, in order."""

    async def decide(self, call: RequestedCall) -> Decided:
        """Have a call decided, waiting for people as long as is configured.

        Whatever goes wrong, the call is refused.
        """
        self.names.append(call.name)
        try:
            granted = await self._admitted(call)
        except (Refused, InvalidRequest, OutcomeNotRecorded) as refusal:
            return Decided(call, CallVerdict.deny(str(refusal)))
        self._unreleased[call.key] = granted
        changed = granted.admission.arguments
        if changed is None:
            return Decided(call, CallVerdict.allow(), granted)
        decided = call.settled(CallVerdict.modify(changed))
        if not decided.allowed:
            await self.not_run(call.key, decided.refusal)
            return Decided(call, decided)
        return Decided(call, CallVerdict.modify(changed), granted)

    def release(self, decided: Decided) -> None:
        """Take note that what becomes of a call is about to be sent to the agent."""
        call = decided.call
        granted = self._unreleased.pop(call.key, None)
        if granted is not None:
            self._conversation.release(call.id, granted)
        elif not decided.verdict.allowed:
            refusal = decided.verdict.refusal
            self.refused.append(RefusedCall(id=call.id, refusal=refusal, free_form=call.free_form))

    def close(self, answer: str) -> None:
        """The answer with this id is over: where the provider keeps it, refused calls are open."""
        if answer and self.refused:
            self._conversation.refuse(answer, tuple(self.refused))

    async def not_run(self, key: str, why: str) -> None:
        """Record that a call was let through and never given to the agent.

        Raises:
            OutcomeNotRecorded: it could not be.
        """
        granted = self._unreleased.pop(key, None)
        if granted is not None:
            outcome = Outcome(status="not-run", error=why)
            await run_async(self._enforcement.settle(granted, outcome))

    def abandon(self) -> None:
        """Have it recorded, without waiting, that whatever was not given to the agent never ran."""
        while self._unreleased:
            _, granted = self._unreleased.popitem()
            outcome = Outcome(status="not-run", error="the agent went away before it had the call")
            self._enforcement.abandon(granted, outcome)

    async def _admitted(self, call: RequestedCall) -> Granted:
        name = call.name
        if call.problem:
            raise Denied(f"{name} was not run: {call.problem}", reasons=())
        if name.startswith("model.") or (name.startswith(RESERVED) and name in self._offered):
            raise Denied(
                f"{name} was not run: no tool of an agent may be called so; names that begin with "
                f"{' or '.join(RESERVED)} are the gateway's own. Rename the tool.",
                reasons=(),
            )
        proposed = Proposed(
            caller=self._caller,
            action=Action(name=name, schema=_schema(self._offered.get(name))),
            arguments=call.arguments,
        )
        return await run_async(self._enforcement.admit(proposed))


def _schema(tool: OfferedTool | None) -> Digest | None:
    """Digest of a tool as it was offered: an approval is for that tool, not for its name."""
    if tool is None:
        return None
    try:
        definition = canonical.encode(canonical.check(tool.definition, "tool"))
    except InvalidArgument:
        return None
    return Digest(hashlib.sha256(definition).hexdigest())


async def decide_all(desk: CallDesk, calls: Sequence[RequestedCall]) -> Mapping[str, Decided]:
    """Have all calls of a whole answer decided, side by side."""
    if len(calls) == 1:
        return {calls[0].key: await desk.decide(calls[0])}
    found = await asyncio.gather(*(desk.decide(call) for call in calls))
    return {decided.call.key: decided for decided in found}
