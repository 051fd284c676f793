"""The Claude Agent SDK in the contract: the real CLI, a scripted Messages API on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import tempfile
from pathlib import Path
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
from contract import Call, Came, Scene, Script, contains, equal, read_note
from drivers.scripted_api import Api

PREFIX = "mcp__notes__"
CHILD = "You are the looker."
for name in list(os.environ):
    if name.startswith(("ANTHROPIC", "CLAUDE", "AWS", "GOOGLE")):
        del os.environ[name]


def _named(name: str) -> str:
    return name if name[0].isupper() else PREFIX + name


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


def built_in_tools(scene: Scene) -> None:
    """The CLI's own shell: refused, and its output redacted before the model reads it."""
    agent = scene.driver.agent(script := Script([]), (read_note,), scene.guard)
    place = Path(agent.cwd)
    (place / "card.txt").write_text("4111")
    script.turns += [
        [Call("Bash", "b1", {"command": "rm card.txt", "description": "delete"})],
        [Call("Bash", "b2", {"command": "cat card.txt", "description": "read"})],
        "done",
    ]
    contains(scene.play(agent).said, "done")
    assert (place / "card.txt").exists()
    contains(script.read["b1"], "not allowed")
    assert "4111" not in script.read["b2"], script.read
    equal(scene.decisions(), ["Bash deny", "Bash allow"])
    equal(scene.outcomes(), ["Bash ok"])


def built_in_result_kept_back(scene: Scene) -> None:
    """A redaction that the CLI would not take ends the turn: the model never reads the result."""
    script = Script([[Call("Bash", "b1", {"command": "echo 4111", "description": "x"})], "done"])
    agent = scene.driver.agent(script, (read_note,), scene.guard)
    with contextlib.suppress(Exception):
        scene.play(agent)
    equal(scene.outcomes(), ["Bash ok"])
    assert "4111" not in json.dumps(script.read), script.read
    equal(script.asked, 1)


class Framework:
    more = (built_in_tools, built_in_result_kept_back)
    prefix = PREFIX
    helper = "Agent"

    def agent(self, script: Any, tools: Any, guard: Any, child: Any = None, **more: Any) -> Any:
        home = tempfile.mkdtemp(prefix="remit-claude-")
        self.api = Api(script, child=child, is_child=CHILD, named=_named)
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
