"""Remit as an interceptor of AGENT-HOOKS 0.1: any host of that contract under a guard.

    guard = Guard.open("remit.yaml")
    emitter.register(RemitInterceptor(guard, agent="coder", user="ada"))

Tool calls are admitted at ``pre_tool_call`` and settled at ``post_tool_call``; the other points are
for others. A refusal is final: what a person approves in Remit runs when the call is made again, so
that no approval is given anywhere else. The package of the contract is not needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remit.errors import InvalidRequest, OutcomeNotRecorded, RemitError, Withheld
from remit.guard import Guard, SessionScope
from remit.guard.actions import RunningAction
from remit.guard.authority import Proposed
from remit.guard.calls import Caller
from remit.guard.steps import run_async
from remit.model import Action

Verdict = dict[str, Any]
_ALLOWED: Verdict = {"decision": "allow"}


class RemitInterceptor:
    """Decides on the tool calls of one session of an AGENT-HOOKS host."""

    def __init__(
        self, guard: Guard, *, agent: str, user: str | None = None, intent: str | None = None
    ) -> None:
        """Open a session for the host's session; ``end`` ends it.

        Raises:
            Unavailable: the store or the server did not answer.
        """
        self._enforcement = guard.enforcement
        self._scope: SessionScope = guard.session(agent=agent, user=user, intent=intent, keep=True)
        self._open: dict[str, RunningAction] = {}

    async def intercept(self, context: Mapping[str, Any]) -> Verdict:
        """The verdict on one interception, in the form of the wire."""
        point = context.get("interception_point")
        try:
            if point == "pre_tool_call":
                return await self._before(context["tool_call"])
            if point == "post_tool_call":
                return await self._after(context["tool_call"], context["tool_result"])
        except (RemitError, KeyError, TypeError) as refusal:
            return _denied(refusal)
        return _ALLOWED

    def end(self) -> None:
        """End the session. Calls that never came back are settled as given up.

        Raises:
            Unavailable: the store or the server did not answer.
        """
        for action in self._open.values():
            action.dropped()
        self._open.clear()
        self._scope.end()

    async def _before(self, call: Mapping[str, Any]) -> Verdict:
        scope, arguments = self._scope, dict(call["args"])
        if call["id"] in self._open:
            raise InvalidRequest(f"The call {call['id']} is under way already.")
        proposed = Proposed(
            caller=Caller(session=scope.id, principal=scope.principal, context=scope.context),
            action=Action(name=call["name"]),
            arguments=arguments,
        )
        self._enforcement.late.start()
        granted = await run_async(self._enforcement.admit(proposed))
        action = RunningAction(self._enforcement, granted)
        action.began = True
        self._open[call["id"]] = action
        if granted.request.arguments == arguments:
            return _ALLOWED
        return _instead(dict(granted.request.arguments))

    async def _after(self, call: Mapping[str, Any], result: Mapping[str, Any]) -> Verdict:
        action = self._open.pop(call["id"], None)
        if action is None:
            raise InvalidRequest(f"The call {call['id']} was not admitted by Remit.")
        if result.get("is_error"):
            await run_async(action.failed(RuntimeError(str(result.get("value"))[:900])))
            return _ALLOWED
        shown = await run_async(action.returned(result.get("value")))
        return _ALLOWED if shown == result.get("value") else _instead(shown)


def _instead(value: Any) -> Verdict:
    return {"decision": "transform", "transform": {"path": "$target", "value": value}}


def _denied(refusal: Exception) -> Verdict:
    kinds = {Withheld: "remit:withheld", OutcomeNotRecorded: "remit:outcome-not-recorded"}
    reason = next(
        (word for kind, word in kinds.items() if isinstance(refusal, kind)), "remit:denied"
    )
    return {"decision": "deny", "reason": reason, "message": str(refusal)}
