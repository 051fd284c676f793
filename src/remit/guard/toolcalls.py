"""The calls that a model asks for in one reply, run under Remit: for loops without a framework.

Replies of the OpenAI SDK (Chat Completions, Responses) and of the Anthropic SDK are told apart by
their form, as objects or as the JSON of them; what comes back is what the next request has to
carry.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from msgspec import Struct

from remit.errors import InvalidArgument, InvalidRequest
from remit.guard.conversion import to_json
from remit.guard.functions import governed
from remit.guard.seam import Seam, as_text

Tools = Mapping[str, Callable[..., Any]]
"""What the model may call, by the names that it knows."""


class _AskedCall(Struct, frozen=True, kw_only=True):
    """One call in a reply."""

    id: str
    tool: str
    given: Any
    """The arguments, as the reply has them."""


class _Ended(Struct, frozen=True):
    text: str
    failed: bool = False


class _ReadReply(Struct, frozen=True, kw_only=True):
    """The calls of one reply, and which API it is from."""

    api: str
    calls: tuple[_AskedCall, ...]


def _read_reply(reply: Any) -> _ReadReply:
    """The calls that a model's reply asks for.

    Raises:
        InvalidRequest: it is not a whole reply of an API that is known here.
    """
    choices, output = _part(reply, "choices"), _part(reply, "output")
    if isinstance(choices, Sequence) and choices:
        return _chat(_part(choices[0], "message"))
    if _part(reply, "role") == "assistant":
        content = _part(reply, "content")
        return _messages(content) if isinstance(content, list) else _chat(reply)
    if isinstance(output, list):
        return _responses(output)
    raise InvalidRequest(
        f"{type(reply).__name__} is no reply that run_tool_calls can read: give it the whole reply "
        "of client.chat.completions, client.responses (OpenAI) or client.messages (Anthropic); "
        "of a stream, what it ends with"
    )


def run_calls(seam: Seam, reply: Any, tools: Tools) -> list[dict[str, Any]]:
    """Run the calls of a reply one after another, each under its own decision.

    Raises:
        InvalidRequest: the reply cannot be read, or a tool is async.
    """
    read = _read_reply(reply)
    for call in read.calls:
        if inspect.iscoroutinefunction(tools.get(call.tool)):
            raise InvalidRequest(f"{call.tool} is async: use run_tool_calls_async; nothing was run")
    return _answer(read, [_ended(call, seam, tools) for call in read.calls])


async def run_calls_async(seam: Seam, reply: Any, tools: Tools) -> list[dict[str, Any]]:
    """Run the calls of a reply at the same time, each under its own decision.

    Raises:
        InvalidRequest: the reply cannot be read.
    """
    read = _read_reply(reply)
    ended = await asyncio.gather(*(_ended_async(call, seam, tools) for call in read.calls))
    return _answer(read, ended)


def _ended(call: _AskedCall, seam: Seam, tools: Tools) -> _Ended:
    came = _started(call, seam, tools)
    if inspect.iscoroutine(came):
        came.close()
        return _Ended(f"{call.tool} was not run to its end: it is async.", True)
    return _told(came)


async def _ended_async(call: _AskedCall, seam: Seam, tools: Tools) -> _Ended:
    came = _started(call, seam, tools)
    try:
        return _told(await came if inspect.iscoroutine(came) else came)
    except Exception as error:  # noqa: BLE001 - settled; the model is told
        return _failed(call, error)


def _started(call: _AskedCall, seam: Seam, tools: Tools) -> Any | Coroutine[Any, Any, Any]:
    """What the tool gave; a refusal and an error as an end, async tools as a coroutine."""
    tool = tools.get(call.tool)
    if tool is None:
        known = ", ".join(tools) or "none"
        return _Ended(f"{call.tool} was not run: there is no such tool. There are: {known}.", True)
    arguments = _arguments(call.given)
    if arguments is None:
        return _Ended(f"{call.tool} was not run: its arguments are not a JSON object.", True)
    run = governed(seam, tool, call.tool, lambda stopped: _Ended(stopped.text, True))
    try:
        return run(**arguments)
    except Exception as error:  # noqa: BLE001 - settled; the model is told
        return _failed(call, error)


def _failed(call: _AskedCall, error: Exception) -> _Ended:
    return _Ended(f"{call.tool} failed: {type(error).__name__}: {error}", True)


def _told(came: Any) -> _Ended:
    if isinstance(came, _Ended):
        return came
    try:
        return _Ended(as_text(to_json(came, "result")))
    except InvalidArgument:
        return _Ended(str(came))


def _arguments(given: Any) -> dict[str, Any] | None:
    if isinstance(given, str):
        try:
            given = json.loads(given or "{}")
        except ValueError:
            return None
    return dict(given) if isinstance(given, Mapping) else None


def _chat(message: Any) -> _ReadReply:
    calls = tuple(
        _AskedCall(
            id=_part(call, "id"),
            tool=_part(_part(call, "function"), "name"),
            given=_part(_part(call, "function"), "arguments"),
        )
        for call in _part(message, "tool_calls") or ()
        if _part(call, "function") is not None
    )
    return _ReadReply(api="chat", calls=calls)


def _responses(output: Sequence[Any]) -> _ReadReply:
    calls = tuple(
        _AskedCall(
            id=_part(item, "call_id"), tool=_part(item, "name"), given=_part(item, "arguments")
        )
        for item in output
        if _part(item, "type") == "function_call"
    )
    return _ReadReply(api="responses", calls=calls)


def _messages(content: Sequence[Any]) -> _ReadReply:
    calls = tuple(
        _AskedCall(id=_part(block, "id"), tool=_part(block, "name"), given=_part(block, "input"))
        for block in content
        if _part(block, "type") == "tool_use"
    )
    return _ReadReply(api="messages", calls=calls)


def _answer(read: _ReadReply, ended: Sequence[_Ended]) -> list[dict[str, Any]]:
    pairs = list(zip(read.calls, ended, strict=True))
    if read.api == "chat":
        return [
            {"role": "tool", "tool_call_id": call.id, "content": end.text} for call, end in pairs
        ]
    if read.api == "responses":
        return [
            {"type": "function_call_output", "call_id": call.id, "output": end.text}
            for call, end in pairs
        ]
    blocks = [
        {"type": "tool_result", "tool_use_id": c.id, "content": e.text, "is_error": e.failed}
        for c, e in pairs
    ]
    return [{"role": "user", "content": blocks}] if blocks else []


def _part(whole: Any, name: str) -> Any:
    return whole.get(name) if isinstance(whole, Mapping) else getattr(whole, name, None)
