"""The official SDKs, reading answers from a server of this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types


class AnswerServer:
    """Answers every request with the same bytes, in small pieces."""

    def __init__(self) -> None:
        answers = self
        self.body, self.kind, self.status, self.piece = b"", "application/json", 200, 1000

        class Answer(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(answers.status)
                self.send_header("content-type", answers.kind)
                self.end_headers()
                for start in range(0, len(answers.body), answers.piece):
                    self.wfile.write(answers.body[start : start + answers.piece])
                    self.wfile.flush()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, body: bytes, *, stream: bool, status: int = 200) -> None:
        self.body, self.status = body, status
        self.kind = "text/event-stream" if stream else "application/json"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@dataclass
class Read:
    """What a program sees of an answer: its text, and the calls that it would run."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None


class Clients:
    """One client of each SDK, and how each makes an answer into what a program sees."""

    def __init__(self, server: AnswerServer) -> None:
        self.server = server
        self.openai = openai.OpenAI(api_key="k", base_url=server.url + "/v1", max_retries=0)
        self.anthropic = anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0)
        self.gemini = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=server.url))

    def close(self) -> None:
        self.openai.close()
        self.anthropic.close()
        self.gemini.close()

    def read(self, format_: str, body: bytes, *, stream: bool) -> Read:
        self.server.answer(body, stream=stream)
        return getattr(self, format_)(stream)

    def openai_chat(self, stream: bool) -> Read:
        asked: Any = {"model": "m", "messages": [{"role": "user", "content": "go"}]}
        chat = self.openai.chat.completions
        if not stream:
            done = chat.create(**asked)
        else:
            with chat.stream(**asked) as events:
                for _ in events:
                    pass
                done = events.get_final_completion()
        read = Read(finish=done.choices[0].finish_reason)
        for choice in done.choices:
            read.text += choice.message.content or ""
            for call in choice.message.tool_calls or []:
                if call.type == "custom":
                    inner = call.model_dump()["custom"]
                    read.calls.append((inner["name"], {"input": inner["input"]}))
                else:
                    read.calls.append((call.function.name, json.loads(call.function.arguments)))
            legacy = choice.message.function_call
            if legacy is not None:
                read.calls.append((legacy.name, json.loads(legacy.arguments)))
        return read

    def openai_responses(self, stream: bool) -> Read:
        if not stream:
            done: Any = self.openai.responses.create(model="m", input="go")
        else:
            with self.openai.responses.stream(model="m", input="go") as events:
                numbers = [event.sequence_number for event in events]
                done = events.get_final_response()
            assert numbers == list(range(len(numbers)))
        read = Read(done.output_text, finish=done.status)
        for item in done.output:
            if item.type in ("function_call", "mcp_approval_request"):
                read.calls.append((item.name, json.loads(item.arguments)))
            elif item.type == "custom_tool_call":
                read.calls.append((item.name, {"input": item.input}))
            elif item.type in ("shell_call", "local_shell_call", "computer_call"):
                read.calls.append((item.type, item.action.model_dump(exclude_unset=True)))
            elif item.type == "apply_patch_call":
                read.calls.append((item.type, item.operation.model_dump(exclude_unset=True)))
        return read

    def anthropic_messages(self, stream: bool) -> Read:
        asked: Any = {
            "model": "m",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "go"}],
        }
        if not stream:
            done: Any = self.anthropic.beta.messages.create(**asked)
        else:
            with self.anthropic.beta.messages.stream(**asked) as events:
                for _ in events:
                    pass
                done = events.get_final_message()
        read = Read(finish=done.stop_reason)
        for block in done.content:
            if block.type == "text":
                read.text += block.text
            elif block.type == "tool_use":
                read.calls.append((block.name, block.model_dump()["input"]))
        return read

    def gemini_content(self, stream: bool) -> Read:
        if stream:
            answers = list(self.gemini.models.generate_content_stream(model="m", contents="go"))
        else:
            answers = [self.gemini.models.generate_content(model="m", contents="go")]
        read = Read()
        for answer in answers:
            for candidate in answer.candidates or []:
                parts = candidate.content.parts if candidate.content else None
                for part in parts or []:
                    if part.text and not part.thought:
                        read.text += part.text
                    if part.function_call is not None:
                        read.calls.append((part.function_call.name, part.function_call.args))
                if candidate.finish_reason:
                    read.finish = candidate.finish_reason.value
        return read


READERS = {
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic": "anthropic_messages",
    "gemini": "gemini_content",
}


def connected() -> Iterator[Clients]:
    server = AnswerServer()
    clients = Clients(server)
    try:
        yield clients
    finally:
        clients.close()
        server.stop()
