"""A2A (Agent2Agent) under Remit, on both sides.

    client = govern(await create_client(url), guard)             what this agent asks of others
    executor = GovernedExecutor(executor, guard, agent="...")     what others ask of this agent

A message to another agent is the action ``a2a.send_message`` with the agent's name, its address and
the text; a message from one is ``a2a.execute``, in a session of its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from remit.adapters.declared import A2A
from remit.adapters.loading import framework
from remit.errors import ConfigError, RemitError
from remit.guard import Cleared, Guard, Seam, SessionScope, Stopped
from remit.guard.seam import as_text
from remit.guard.steps import run_async

_AgentExecutor: Any = framework(A2A, "a2a.server.agent_execution").AgentExecutor
_helpers = framework(A2A, "a2a.helpers.proto_helpers")
_types = framework(A2A, "a2a.types.a2a_pb2")
_json_format = framework(A2A, "google.protobuf.json_format")


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put a client under Remit, in place.

    Raises:
        ConfigError: it is no A2A client.
    """
    if not hasattr(target, "send_message"):
        raise ConfigError("this adapter governs A2A clients; wrap executors in GovernedExecutor")
    seam, inner = guard.seam(session), target.send_message
    card = getattr(target, "_card", None)

    async def send_message(request: Any, **more: Any) -> AsyncGenerator[Any, None]:
        arguments = {
            "agent": getattr(card, "name", ""),
            "urls": [each.url for each in getattr(card, "supported_interfaces", ())],
            "text": _helpers.get_message_text(request.message),
            "message": _said_in(request.message),
        }
        decided = await run_async(seam.before("a2a.send_message", arguments, fixed=True))
        if isinstance(decided, Stopped):
            yield _said(decided.text)
            return
        async for event in _settling(seam, decided, inner(request, **more)):
            yield event

    target.send_message = send_message
    return target


async def _settling(seam: Seam, cleared: Cleared, events: Any) -> AsyncGenerator[Any, None]:
    """Pass events on, or hold them until policy has looked at all of them."""
    holds, seen = cleared.action.granted.looks_at_result, []
    cleared.action.began = True
    try:
        async for event in events:
            seen.append(event)
            if not holds:
                yield event
    except GeneratorExit:
        cleared.action.dropped()
        raise
    except BaseException as error:
        await run_async(seam.failed(cleared, error))
        raise
    texts = [_helpers.get_stream_response_text(event) for event in seen]
    value = texts[0] if len(texts) == 1 else texts
    shown = await run_async(seam.after(cleared, value))
    if isinstance(shown, Stopped):
        yield _said(shown.text)
    elif shown is not value:
        yield _said(as_text(shown))
    elif holds:
        for event in seen:
            yield event


def _said_in(message: Any) -> dict[str, Any]:
    """A message but for its id: the same one sent again is the same request to policy."""
    whole: dict[str, Any] = _json_format.MessageToDict(message)
    whole.pop("messageId", None)
    return whole


def _said(text: str) -> Any:
    return _types.StreamResponse(message=_helpers.new_text_message(text))


class GovernedExecutor(_AgentExecutor):  # type: ignore[misc]
    """An executor that runs only what policy lets others ask, each request in its own session.

    The tools that the agent uses meanwhile belong to that session.
    """

    def __init__(
        self,
        inner: Any,
        guard: Guard,
        *,
        agent: str,
        user: Callable[[Any], str | None] = lambda _: None,
    ) -> None:
        """Wrap an executor.

        Args:
            inner: the executor.
            guard: what decides.
            agent: the agent's name in the policy.
            user: the person on whose behalf a request is made, by its ``RequestContext``.
        """
        self._inner, self._guard, self._agent, self._user = inner, guard, agent, user

    async def execute(self, context: Any, event_queue: Any) -> None:
        """Run the agent for one request, or answer why not."""
        text = context.get_user_input()
        try:
            scope = self._guard.session(agent=self._agent, user=self._user(context))
        except RemitError as problem:
            why = f"The request was not carried out: {problem}"
            await event_queue.enqueue_event(_helpers.new_text_message(why))
            return
        async with scope:
            came = await self._guard.seam().around_async(
                "a2a.execute",
                {"text": text, "message": _said_in(context.message)},
                lambda _: self._inner.execute(context, event_queue),
                fixed=True,
            )
            if isinstance(came, Stopped):
                await event_queue.enqueue_event(_helpers.new_text_message(came.text))

    async def cancel(self, context: Any, event_queue: Any) -> None:
        """Cancel as the executor does it; stopping needs no permission."""
        await self._inner.cancel(context, event_queue)
