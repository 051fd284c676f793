"""A scripted model behind the wire formats of Anthropic and OpenAI, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from contract import Call, Script

SUFFIX = ("read_note", "helper")
"""Requests that offer none of these tools are side talk of a client; the script is not for them."""


class Api:
    """The server. A child's script answers requests that have ``is_child`` in them."""

    def __init__(
        self,
        script: Script,
        *,
        child: Script | None = None,
        is_child: str = "",
        named: Callable[[str], str] = str,
    ) -> None:
        self.script, self.child, self.is_child, self.named = script, child, is_child, named
        self.lock = threading.Lock()
        api = self

        class Answers(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None: ...

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                place = self.path.split("?")[0].rsplit("/v1", 1)[-1]
                message, events = api.answer(place, asked)
                stream = bool(asked.get("stream")) and events is not None
                body = b"".join(events(message)) if stream else json.dumps(message).encode()
                self.send_response(200)
                kind = "text/event-stream" if stream else "application/json"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, place: str, asked: Any) -> Any:
        offered = json.dumps(asked.get("tools") or ())
        if not any(f'{name}"' in offered for name in SUFFIX):
            turn: Any = "ok"
        else:
            child = self.child is not None and self.is_child in json.dumps(asked)
            with self.lock:
                turn = (self.child if child else self.script).next(_results(asked))
        calls = [] if isinstance(turn, str) else turn
        text = turn if isinstance(turn, str) else ""
        if place == "/messages":
            return self._messages(text, calls), _message_events
        if place == "/chat/completions":
            return self._chat(text, calls), _chat_events
        assert place == "/responses", place
        return self._response(text, calls), None

    def _messages(self, text: str, calls: list[Call]) -> Any:
        said = [{"type": "text", "text": text}] if text else []
        used = [
            {"type": "tool_use", "id": c.id, "name": self.named(c.tool), "input": c.arguments}
            for c in calls
        ]
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted",
            "content": said + used, "stop_reason": "tool_use" if used else "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip

    def _chat(self, text: str, calls: list[Call]) -> Any:
        used = [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": self.named(c.tool), "arguments": json.dumps(c.arguments)},
            }
            for c in calls
        ]
        message = {"role": "assistant", "content": text or None}
        if used:
            message["tool_calls"] = used
        ended = "tool_calls" if used else "stop"
        return {
            "id": "chat_1", "object": "chat.completion", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "message": message, "finish_reason": ended}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }  # fmt: skip

    def _response(self, text: str, calls: list[Call]) -> Any:
        part = {"type": "output_text", "text": text, "annotations": []}
        said = {
            "type": "message", "id": "m_1", "role": "assistant", "status": "completed",
            "content": [part],
        }  # fmt: skip
        used = [
            {
                "type": "function_call", "id": f"fc_{c.id}", "call_id": c.id, "status": "completed",
                "name": self.named(c.tool), "arguments": json.dumps(c.arguments),
            }
            for c in calls
        ]  # fmt: skip
        return {
            "id": "r_1", "object": "response", "created_at": 1, "status": "completed",
            "model": "scripted", "output": used or [said], "parallel_tool_calls": True,
            "tool_choice": "auto", "tools": [],
        }  # fmt: skip


def _results(asked: Any) -> dict[str, str]:
    """What came back for each call, in any of the formats."""
    found: dict[str, str] = {}
    for item in asked.get("messages") or asked.get("input") or ():
        if not isinstance(item, dict):
            continue
        if item.get("role") == "tool":
            found[item["tool_call_id"]] = _text(item["content"])
        if item.get("type") == "function_call_output":
            found[item["call_id"]] = _text(item["output"])
        for block in item["content"] if isinstance(item.get("content"), list) else ():
            if block.get("type") == "tool_result":
                found[block["tool_use_id"]] = _text(block.get("content"))
    return found


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or ())


def _event(event: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(event)}\n\n".encode()


def _message_events(message: Any) -> Iterator[bytes]:
    for event in _message_parts(message):
        yield _event(event, event["type"])


def _message_parts(message: Any) -> Iterator[Any]:
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for place, block in enumerate(message["content"]):
        text = block["type"] == "text"
        start = {**block, "text": ""} if text else {**block, "input": {}}
        delta = (
            {"type": "text_delta", "text": block["text"]}
            if text
            else {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        )
        yield {"type": "content_block_start", "index": place, "content_block": start}
        yield {"type": "content_block_delta", "index": place, "delta": delta}
        yield {"type": "content_block_stop", "index": place}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


def _chat_events(message: Any) -> Iterator[bytes]:
    whole = {**message, "object": "chat.completion.chunk"}
    (choice,) = message["choices"]
    delta = dict(choice["message"])
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": i, **c} for i, c in enumerate(delta["tool_calls"])]
    for part, ended in ((delta, None), ({}, choice["finish_reason"])):
        yield _event({**whole, "choices": [{"index": 0, "delta": part, "finish_reason": ended}]})
    yield b"data: [DONE]\n\n"
