"""The OpenAI Agents SDK in the contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import mcp.types
import openai_agents_notes as page
from agents import (
    Agent,
    ApplyPatchTool,
    Handoff,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    ShellActionRequest,
    ShellCallData,
    ShellCommandRequest,
    ShellTool,
    Usage,
    function_tool,
)
from agents.editor import ApplyPatchOperation
from agents.mcp import MCPServer
from agents.testing import assistant_message, function_call
from contract import (
    RAN,
    Call,
    Came,
    Scene,
    Script,
    call,
    contains,
    delete_note,
    equal,
    read_card,
    read_note,
)
from openai.types.responses import Response, ResponseCompletedEvent

from remit.adapters.openai_agents import govern

CFG = RunConfig(tracing_disabled=True)


class Scripted(Model):
    def __init__(self, script: Script) -> None:
        self.script = script

    def _turn(self, given: Any) -> list[Any]:
        items = given if isinstance(given, list) else []
        results = {
            item["call_id"]: str(item["output"])
            for item in items
            if isinstance(item, dict) and item.get("type") == "function_call_output"
        }
        turn = self.script.next(results)
        if isinstance(turn, str):
            return [assistant_message(turn)]
        return [function_call(c.tool, c.arguments, call_id=c.id) for c in turn]

    # The names of the parameters are the SDK's.
    async def get_response(  # type: ignore[override]
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002
        *args: Any,
        **options: Any,
    ) -> Any:
        return ModelResponse(output=self._turn(input), usage=Usage(), response_id=None)

    async def stream_response(  # type: ignore[override]
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002
        *args: Any,
        **options: Any,
    ) -> Any:
        given = input
        response = Response(
            id="r", created_at=0, model="m", object="response", output=self._turn(given),
            tool_choice="auto", tools=[], parallel_tool_calls=True,
        )  # fmt: skip
        yield ResponseCompletedEvent(
            type="response.completed", response=response, sequence_number=0
        )


class Notes(MCPServer):
    """An MCP server in this process, as the SDK sees one."""

    name = "notes"
    use_structured_content = False

    def __init__(self, tools: Any) -> None:
        super().__init__()
        self.tools = {fn.__name__: fn for fn in tools}

    async def connect(self) -> None: ...

    async def cleanup(self) -> None: ...

    async def list_tools(self, *args: Any, **options: Any) -> Any:
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        return [
            mcp.types.Tool.model_validate({"name": name, "inputSchema": schema})
            for name in self.tools
        ]

    async def call_tool(self, tool_name: str, arguments: Any, meta: Any = None) -> Any:
        came = self.tools[tool_name](**arguments)
        text = came if isinstance(came, str) else json.dumps(came)
        content = [{"type": "text", "text": text}]
        return mcp.types.CallToolResult.model_validate({"content": content})

    async def list_prompts(self) -> Any:
        raise NotImplementedError

    async def get_prompt(self, name: str, arguments: Any = None) -> Any:
        raise NotImplementedError


def mcp_server(scene: Scene) -> None:
    turns = [
        [call("delete_note", "c1", "a"), call("read_note", "c2", "TODO")],
        [call("read_card", "c3", "ada")],
        "done",
    ]
    script = Script(turns)
    server = Notes((read_note, read_card, delete_note))
    agent = page.notes_agent(Scripted(script), [], scene.guard, mcp_servers=[server])
    contains(scene.play(agent).said, "done")
    equal(RAN, [("read_note", "todo"), ("read_card", "ada")])
    contains(script.read["c1"], "Deletes need a ticket.")
    contains(script.read["c3"], "ada")
    assert "4111" not in script.read["c3"], script.read
    equal(scene.outcomes(), ["read_note ok", "read_card ok"])


def handoff_found_at_run_time(scene: Scene) -> None:
    """An agent that nobody could see when the first one was governed."""
    script = Script([[call("delete_note", "d1", "a")], "looked"])
    outer = Script([[Call("transfer_to_looker", "c1", {})]])

    async def find(context: Any, arguments: str) -> Any:
        tools = [function_tool(delete_note)]
        return Agent("looker", model=Scripted(script), tools=tools)

    there = Handoff(
        tool_name="transfer_to_looker", tool_description="", input_json_schema={},
        on_invoke_handoff=find, agent_name="looker",
    )  # fmt: skip
    agent = page.notes_agent(Scripted(outer), [], scene.guard, handoffs=[there])
    contains(scene.play(agent).said, "looked")
    equal(RAN, [])
    contains(script.read["d1"], "Deletes need a ticket.")


def shell_and_editor(scene: Scene) -> None:
    """Tools that are no functions, called as the SDK calls them."""
    ran: list[str] = []
    shell = ShellTool(executor=lambda request: ran.append(request.data.action.commands[0]) or "ok")
    editor = Editor(ran)
    govern([shell, ApplyPatchTool(editor=editor)], scene.guard)

    async def use(command: str, path: str) -> Any:
        action = ShellActionRequest(commands=[command])
        request = ShellCommandRequest(None, ShellCallData(call_id="c", action=action))
        edit = ApplyPatchOperation(type="update_file", path=path, diff="+a")
        return await shell.executor(request), await editor.update_file(edit)

    with scene.guard.session(agent="notes-bot", user="ada"):
        equal(asyncio.run(use("echo a", "todo.txt")), ("ok", None))
        refused = asyncio.run(use("rm -r /", "passwd"))
    contains(refused[0], "shell", "not allowed")
    contains(refused[1], "apply_patch", "not allowed")
    equal(ran, ["echo a", "todo.txt"])
    equal(scene.outcomes(), ["shell ok", "apply_patch ok"])


class Editor:
    def __init__(self, ran: list[str]) -> None:
        self.ran = ran

    def create_file(self, operation: Any) -> None: ...

    def update_file(self, operation: Any) -> None:
        self.ran.append(operation.path)

    def delete_file(self, operation: Any) -> None: ...


class Framework:
    more = (mcp_server, handoff_found_at_run_time, shell_and_editor)

    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [function_tool(fn) for fn in tools]
        if guard is None:
            return Agent("notes-bot", model=Scripted(script), tools=made)
        return page.notes_agent(Scripted(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = Agent("looker", model=Scripted(child), tools=[function_tool(fn) for fn in tools])
        helper = inner.as_tool("helper", "Have another agent look.")
        # The tool of an agent takes `input`; what the model of the contract says goes there.
        script.turns[0][0].arguments = {"input": "look"}
        return page.notes_agent(Scripted(script), [helper], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [function_tool(fn) for fn in tools]
        page.notes_agent(Scripted(script), made, guard)
        return Agent("other", model=Scripted(script), tools=made)

    def run(self, agent: Any, mode: str) -> Came:
        return self._went(agent, mode, "tidy up")

    async def arun(self, agent: Any) -> Any:
        return await page.ask(agent, "tidy up", run_config=CFG)

    def _went(self, agent: Any, mode: str, given: Any) -> Came:
        if mode == "sync":
            result = Runner.run_sync(agent, given, run_config=CFG)
        elif mode == "async":
            result = asyncio.run(Runner.run(agent, given, run_config=CFG))
        else:
            result = asyncio.run(_streamed(agent, given))
        if result.interruptions:
            return Came("", resume=lambda: self._resumed(agent, mode, result))
        return Came(str(result.final_output))

    def _resumed(self, agent: Any, mode: str, result: Any) -> Came:
        state = result.to_state()
        for each in result.interruptions:
            state.approve(each)
        return self._went(agent, mode, state)


async def _streamed(agent: Any, given: Any) -> Any:
    result = Runner.run_streamed(agent, given, run_config=CFG)
    async for _ in result.stream_events():
        pass
    return result
