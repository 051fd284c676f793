"""The Claude Agent SDK in the contract: the real CLI, a scripted Messages API on loopback."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import claude_agent_sdk_notes as page
from claude_agent_sdk import (
    AgentDefinition,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ResultMessage,
    create_sdk_mcp_server,
    tool,
)
from contract import Came, Script

PREFIX = "mcp__notes__"
CHILD = "You are the looker."
for name in list(os.environ):
    if name.startswith(("ANTHROPIC", "CLAUDE", "AWS", "GOOGLE")):
        del os.environ[name]


class Api:
    """A scripted model behind the Messages API; the child's is known by its system prompt."""

    def __init__(self, script: Script, child: Script | None) -> None:
        self.script, self.child = script, child
        self.lock = threading.Lock()
        api = self

        class Answers(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None: ...

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                message = api.answer(asked)
                if asked.get("stream"):
                    body = b"".join(
                        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
                        for event in _events(message)
                    )
                    kind = "text/event-stream"
                else:
                    body, kind = json.dumps(message).encode(), "application/json"
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, asked: Any) -> Any:
        names = [each["name"] for each in asked.get("tools") or ()]
        if not any(name.startswith(PREFIX) for name in names):
            return _message([{"type": "text", "text": "ok"}])
        child = self.child is not None and CHILD in json.dumps(asked.get("system"))
        blocks = [
            block
            for message in asked["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
        ]
        results = {
            block["tool_use_id"]: _text(block.get("content"))
            for block in blocks
            if block.get("type") == "tool_result"
        }
        with self.lock:
            turn = (self.child if child else self.script).next(results)
        if isinstance(turn, str):
            return _message([{"type": "text", "text": turn}])
        return _message(
            [
                {"type": "tool_use", "id": c.id, "name": _named(c.tool), "input": c.arguments}
                for c in turn
            ]
        )


def _named(name: str) -> str:
    return name if name[0].isupper() else PREFIX + name


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or ())


def _message(content: Any) -> Any:
    calls = any(block["type"] == "tool_use" for block in content)
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted",
        "content": content, "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip


def _events(message: Any) -> Any:
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


def server(tools: Any) -> Any:
    made = []
    for fn in tools:
        (parameter,) = inspect.signature(fn).parameters

        async def run(given: Any, fn: Any = fn) -> Any:
            came = fn(**given)
            came = await came if inspect.isawaitable(came) else came
            text = came if isinstance(came, str) else json.dumps(came)
            return {"content": [{"type": "text", "text": text}]}

        made.append(tool(fn.__name__, fn.__doc__, {parameter: str})(run))
    return create_sdk_mcp_server("notes", tools=made)


class Framework:
    prefix = PREFIX
    helper = "Agent"

    def agent(self, script: Any, tools: Any, guard: Any, child: Any = None, **more: Any) -> Any:
        home = tempfile.mkdtemp(prefix="remit-claude-")
        self.api = Api(script, child)
        quiet = {
            "ANTHROPIC_BASE_URL": self.api.url,
            "ANTHROPIC_API_KEY": "dummy",
            "HOME": home,
            "CLAUDE_CONFIG_DIR": home,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "ENABLE_TOOL_SEARCH": "false",
        }
        options = {
            "cwd": home, "setting_sources": [], "max_turns": 8, "model": "claude-sonnet-4-5",
            "env": quiet, "allowed_tools": [] if guard else [f"{PREFIX}delete_note"], **more,
        }  # fmt: skip
        servers = {"notes": server(tools)}
        if guard is None:
            return ClaudeAgentOptions(mcp_servers=servers, **options)
        return page.notes_options(servers, guard, **options)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = AgentDefinition(description="Looks.", prompt=CHILD)
        asked = {
            "description": "look",
            "prompt": "look",
            "subagent_type": "looker",
            "run_in_background": False,
        }
        script.turns[0][0].arguments = asked
        script.turns[0][0].tool = self.helper
        return self.agent(script, tools, guard, child, agents={"looker": inner})

    def run(self, agent: Any, mode: str) -> Came:
        return asyncio.run(self._went(agent, mode))

    async def arun(self, agent: Any) -> Any:
        return await page.ask(agent, "tidy up")

    async def _went(self, agent: Any, mode: str) -> Came:
        if mode == "async":
            return Came(await page.ask(agent, "tidy up"))
        agent.include_partial_messages = True
        said = ""
        async with ClaudeSDKClient(options=agent) as client:
            await client.query("tidy up")
            async for message in client.receive_response():
                if isinstance(message, ResultMessage):
                    said = message.result or ""
        return Came(said)
