"""Model APIs for tests: servers that answer as they are told, in each real wire format.

The shapes are those of the providers' published API references; the official SDKs read them. An
answer is a list of parts, text or calls; ``Fault`` says how it goes wrong.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "sk-upstream-0123456789abcdef"


@dataclass(frozen=True)
class Call:
    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True)
class Fault:
    """How an answer goes wrong."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Bytes after which the connection is cut."""
    wait: float = 0.0
    """Seconds before the answer begins."""
    pause: float = 0.0
    """Seconds between two pieces of a stream."""
    body: bytes | None = None
    media: str | None = None


OK = Fault()


@dataclass(frozen=True)
class Script:
    parts: Sequence[str | Call] = ("hello",)
    fault: Fault = OK
    usage: tuple[int, int] = (11, 7)
    hosted: Sequence[str] = ()
    pieces: int = 3
    """Bytes of an event that are sent at a time: 0 for all of it."""
    played: Sequence[bytes] = ()
    """The answer as it is, instead of all that, each of these sent by itself."""


Seen = dict[str, Any]


class ScriptedModels:
    """One server for all formats. ``script`` answers each request; ``seen`` holds them."""

    def __init__(self) -> None:
        self.script: Callable[[Seen], Script] = lambda _: Script()
        self.seen: list[Seen] = []
        self.connections = 0
        self.open_streams = 0
        self.cut_off = 0
        """Streams that the gateway let go before they ended."""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        made = self._runner.server
        assert made is not None
        connection_made = made.__class__.connection_made

        def counted(server: Any, handler: Any, transport: Any) -> None:
            self.connections += 1
            connection_made(server, handler, transport)

        made.connection_made = counted.__get__(made)  # type: ignore[method-assign]
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else {}
        seen: Seen = {
            "path": request.path,
            "query": request.query_string,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": body,
            "raw": raw,
        }
        self.seen.append(seen)
        if request.method == "GET":
            return web.json_response(_models(request.path))
        script = self.script(seen)
        fault = script.fault
        if fault.wait:
            await asyncio.sleep(fault.wait)
        if script.played:
            return await self._play(request, script)
        if fault.body is not None or fault.status != 200:
            content = fault.body
            if content is None:
                content = json.dumps(_error(request.path, fault.status)).encode()
            return web.Response(
                status=fault.status,
                body=content,
                headers=dict(fault.headers),
                content_type=fault.media or "application/json",
            )
        streamed, content = answer(request.path, body, script)
        if request.query.get("alt") == "sse" or body.get("stream"):
            assert streamed
            return await self._stream(request, content, script)
        if fault.cut is not None:
            return await self._stream(request, content, script, media="application/json")
        return web.Response(body=content, content_type="application/json")

    async def _play(self, request: web.Request, script: Script) -> web.StreamResponse:
        fault = script.fault
        headers = {"Content-Type": str(fault.media), **fault.headers}
        response = web.StreamResponse(status=fault.status, headers=headers)
        await response.prepare(request)
        for piece in script.played:
            await response.write(piece)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def _stream(
        self,
        request: web.Request,
        content: bytes,
        script: Script,
        media: str = "text/event-stream",
    ) -> web.StreamResponse:
        fault = script.fault
        headers = {"Content-Type": fault.media or media, **fault.headers}
        response = web.StreamResponse(headers=headers)
        self.open_streams += 1
        try:
            await response.prepare(request)
            size = script.pieces or len(content)
            if fault.pause:
                size = max(1, len(content) // 20)
            sent = content if fault.cut is None else content[: fault.cut]
            for start in range(0, len(sent), size):
                await response.write(sent[start : start + size])
                if fault.pause:
                    await asyncio.sleep(fault.pause)
            if fault.cut is not None:
                assert request.transport is not None
                await asyncio.sleep(0.01)
                request.transport.abort()
                return response
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.cut_off += 1
            raise
        finally:
            self.open_streams -= 1
        return response


def answer(path: str, body: Mapping[str, Any], script: Script) -> tuple[bool, bytes]:
    """Whether it is a stream, and the bytes."""
    if path.endswith(("/chat/completions", "/completions")):
        return _chat(body, script)
    if path.endswith("/embeddings"):
        return False, _json(
            {
                "object": "list",
                "model": body["model"],
                "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
                "usage": {"prompt_tokens": script.usage[0], "total_tokens": script.usage[0]},
            }
        )
    if path.endswith("/responses"):
        return _responses(body, script)
    if path.endswith("/messages/count_tokens"):
        return False, _json({"input_tokens": script.usage[0]})
    if path.endswith("/messages"):
        return _messages(body, script)
    if path.endswith(":countTokens"):
        return False, _json({"totalTokens": script.usage[0]})
    if path.endswith(":embedContent"):
        return False, _json({"embedding": {"values": [0.1, 0.2]}})
    if path.endswith((":generateContent", ":streamGenerateContent")):
        return _gemini(path, body, script)
    raise AssertionError(path)


def _models(path: str) -> dict[str, Any]:
    if "v1beta" in path:
        return {"models": [{"name": "models/gemini-a"}, {"name": "models/gemini-b"}]}
    return {
        "object": "list",
        "data": [{"id": "gpt-a", "object": "model"}, {"id": "gpt-b", "object": "model"}],
    }


def _error(path: str, status: int) -> dict[str, Any]:
    text = f"scripted {status} for key {KEY}"
    if "/messages" in path:
        return {"type": "error", "error": {"type": "overloaded_error", "message": text}}
    if "v1beta" in path:
        return {"error": {"code": status, "message": text, "status": "UNAVAILABLE"}}
    return {"error": {"message": text, "type": "server_error", "param": None, "code": None}}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _sse(events: Sequence[tuple[str | None, Any]]) -> bytes:
    out = []
    for name, value in events:
        head = f"event: {name}\n" if name else ""
        data = value if isinstance(value, str) else json.dumps(value)
        out.append(f"{head}data: {data}\n\n")
    return "".join(out).encode()


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _numbered(script: Script, prefix: str) -> tuple[list[str], list[Call]]:
    texts = [part for part in script.parts if isinstance(part, str)]
    calls = [part for part in script.parts if isinstance(part, Call)]
    named = [
        call
        if call.id
        else Call(call.name, call.arguments, f"{prefix}_{number}_{id(script) % 997}")
        for number, call in enumerate(calls)
    ]
    return texts, named


def _chat(body: Mapping[str, Any], script: Script) -> tuple[bool, bytes]:
    texts, calls = _numbered(script, "call")
    base = {"id": "chatcmpl-1", "created": 1700000000, "model": body["model"]}
    went_in, came_out = script.usage
    usage = {
        "prompt_tokens": went_in,
        "completion_tokens": came_out,
        "total_tokens": went_in + came_out,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
    }
    tools = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for call in calls
    ]
    finish = "tool_calls" if tools else "stop"
    if not body.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
        if tools:
            message["tool_calls"] = tools
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return False, _json(
            {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        )

    def chunk(delta: Any, reason: str | None = None) -> tuple[None, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return None, {**base, "object": "chat.completion.chunk", "choices": [choice]}

    events: list[tuple[str | None, Any]] = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": piece}) for text in texts for piece in text.split("|")]
    for index, tool in enumerate(tools):
        function: Any = tool["function"]
        first = {"index": index, **tool, "function": {"name": function["name"], "arguments": ""}}
        events.append(chunk({"tool_calls": [first]}))
        events += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
            for half in _halves(function["arguments"])
        ]
    events.append(chunk({}, finish))
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(
            (None, {**base, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        )
    return True, _sse([*events, (None, "[DONE]")])


def _responses(body: Mapping[str, Any], script: Script) -> tuple[bool, bytes]:
    texts, calls = _numbered(script, "call")
    output: list[dict[str, Any]] = [
        {
            "type": f"{name}_call",
            "id": f"ws_{number}",
            "status": "completed",
            "action": {"type": "search", "query": "q", "queries": ["q"]},
        }
        for number, name in enumerate(script.hosted)
    ]
    if texts:
        output.append(
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {
                        "type": "output_text",
                        "text": "".join(texts),
                        "annotations": [],
                        "logprobs": [],
                    }
                ],
            }
        )
    output += [
        {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": call.id,
            "name": call.name,
            "arguments": json.dumps(call.arguments),
            "status": "completed",
        }
        for number, call in enumerate(calls)
    ]
    went_in, came_out = script.usage
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "status": "completed",
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": {
            "input_tokens": went_in,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": came_out,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": went_in + came_out,
        },
    }
    if not body.get("stream"):
        return False, _json(whole)
    events: list[tuple[str, dict[str, Any]]] = []

    def add(kind: str, **fields: Any) -> None:
        events.append((kind, {"type": kind, "sequence_number": len(events), **fields}))

    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    add("response.created", response=begun)
    add("response.in_progress", response=begun)
    for index, item in enumerate(output):
        _response_item(add, index, item)
    add("response.completed", response=whole)
    return True, _sse(events)


def _response_item(add: Callable[..., None], index: int, item: dict[str, Any]) -> None:
    blank: dict[str, Any] = {"status": "in_progress"}
    if item["type"] == "function_call":
        blank["arguments"] = ""
    if item["type"] == "message":
        blank["content"] = []
    add("response.output_item.added", output_index=index, item={**item, **blank})
    place = {"item_id": item["id"], "output_index": index}
    if item["type"] == "message":
        text = item["content"][0]["text"]
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        add("response.content_part.added", **place, content_index=0, part=part)
        for piece in _halves(text):
            delta = {"content_index": 0, "delta": piece, "logprobs": []}
            add("response.output_text.delta", **place, **delta)
        add("response.output_text.done", **place, content_index=0, text=text, logprobs=[])
        add("response.content_part.done", **place, content_index=0, part=item["content"][0])
    if item["type"] == "function_call":
        for piece in _halves(item["arguments"]):
            add("response.function_call_arguments.delta", **place, delta=piece)
        named = {"name": item["name"], "arguments": item["arguments"]}
        add("response.function_call_arguments.done", **place, **named)
    add("response.output_item.done", output_index=index, item=item)


def _messages(body: Mapping[str, Any], script: Script) -> tuple[bool, bytes]:
    texts, calls = _numbered(script, "toolu")
    blocks: list[dict[str, Any]] = []
    for number, name in enumerate(script.hosted):
        use = f"srvtoolu_{number}"
        blocks.append({"type": "server_tool_use", "id": use, "name": name, "input": {"query": "q"}})
        found: list[Any] = []
        blocks.append({"type": f"{name}_tool_result", "tool_use_id": use, "content": found})
    if texts:
        blocks.append({"type": "text", "text": "".join(texts)})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in calls
    ]
    stop = "tool_use" if calls else "end_turn"
    usage = {
        "input_tokens": script.usage[0] - 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": script.usage[1],
        "service_tier": "standard",
    }
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }
    if not body.get("stream"):
        return False, _json(whole)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[tuple[str, dict[str, Any]]] = []

    def add(kind: str, **fields: Any) -> None:
        events.append((kind, {"type": kind, **fields}))

    add("message_start", message=begun)
    add("ping")
    for index, block in enumerate(blocks):
        kind = block["type"]
        empty: dict[str, Any] = {"text": ""} if kind == "text" else {}
        if kind in ("tool_use", "server_tool_use"):
            empty = {"input": {}}
        add("content_block_start", index=index, content_block={**block, **empty})
        if kind == "text":
            for piece in _halves(block["text"]):
                delta = {"type": "text_delta", "text": piece}
                add("content_block_delta", index=index, delta=delta)
        if kind in ("tool_use", "server_tool_use"):
            for piece in ("", *_halves(json.dumps(block["input"]))):
                delta = {"type": "input_json_delta", "partial_json": piece}
                add("content_block_delta", index=index, delta=delta)
        add("content_block_stop", index=index)
    ended = {"stop_reason": stop, "stop_sequence": None}
    add("message_delta", delta=ended, usage={"output_tokens": script.usage[1]})
    add("message_stop")
    return True, _sse(events)


def _gemini(path: str, body: Mapping[str, Any], script: Script) -> tuple[bool, bytes]:
    texts, calls = _numbered(script, "fc")
    went_in, came_out = script.usage
    usage = {
        "promptTokenCount": went_in,
        "candidatesTokenCount": came_out - 2,
        "thoughtsTokenCount": 2,
        "cachedContentTokenCount": 4,
        "totalTokenCount": went_in + came_out,
    }
    called = [
        {"functionCall": {"id": call.id, "name": call.name, "args": dict(call.arguments)}}
        for call in calls
    ]
    tail = {"usageMetadata": usage, "modelVersion": "gemini-a", "responseId": "r1"}

    def candidate(parts: Any, last: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        return {**found, "finishReason": "STOP"} if last else found

    if "stream" not in path:
        parts = [{"text": text} for text in texts] + called
        return False, _json({"candidates": [candidate(parts, True)], **tail})
    chunks = [
        {"candidates": [candidate([{"text": piece}], False)], "modelVersion": "gemini-a"}
        for text in texts
        for piece in _halves(text)
    ]
    chunks += [{"candidates": [candidate([call], False)]} for call in called]
    chunks.append({"candidates": [candidate([{"text": ""}], True)], **tail})
    return True, _sse([(None, chunk) for chunk in chunks])
