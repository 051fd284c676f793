"""Remit under the conformance kit of AGENT-HOOKS. Runs in an environment of its own.

    python kit_harness.py FOLDER      prints a JSON report

The loop is one whose every tool runs under a guard: after the interceptors of the contract have
agreed, the call is admitted, run and settled with a real store, and the log must say the same as
the kit saw. ``RemitInterceptor`` is tried beside it, with the emitter of the contract.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from agent_hooks import AgentContextBuilder, InterceptionBlocked, InterceptionEmitter
from agent_hooks.ctk.reference import ReferenceHarness
from agent_hooks.ctk.runner import load_vectors, run_vector

from remit import Guard
from remit.audit.record import parse_record
from remit.hooks.interceptor import RemitInterceptor

POLICY = """
remit: 1
agents: {coder: {}}
people: {ada: {}}
rules:
  - {id: any-tool, tools: ["*"], effect: allow}
"""
RULES = """
remit: 1
agents: {coder: {}}
people: {ada: {}}
rules:
  - {id: any-tool, tools: ["*"], effect: allow}
  - {id: no-deletes, tools: [delete], effect: deny, because: Nothing is deleted here.}
  - {id: asks, tools: [pay], effect: ask, because: A person pays.}
  - id: less
    tools: [search]
    effect: allow
    obligations: [{cap: {args.limit: 10}}, {redact: [result.secret]}]
  - {id: no-passwords, tools: [read], on: result, when: 'result == "hunter2"', effect: deny}
"""


class GovernedHarness(ReferenceHarness):
    """The kit's loop, with each tool under a guard."""

    name = "remit"

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard
        self._scope = guard.session(agent="coder", user="ada", keep=True)

    async def _do_tool_call(self, tc: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        assert self._scenario is not None
        assert self._emitter is not None
        assert self._builder is not None
        emitter, builder = self._emitter, self._builder
        context = builder.pre_tool_call(call_id=tc["id"], name=tc["name"], args=dict(tc["args"]))
        await emitter.emit(context)
        arguments = context["tool_call"]["args"]
        async with self._scope, self._guard.permit_async(tc["name"], arguments) as permit:
            spec = self._scenario.tools[tc["name"]]
            value, failed = spec.invoke(dict(permit.arguments))
            self._tool_log.append({"name": tc["name"], "args": dict(permit.arguments)})
            permit.result = value
        self._scope = self._guard.resume(self._scope.id)
        await emitter.emit(
            builder.post_tool_call(
                call_id=tc["id"],
                name=tc["name"],
                args=dict(arguments),
                value=permit.result,
                is_error=failed,
            )
        )
        messages.append({"role": "tool", "content": permit.result})


def vectors(folder: Path) -> list[dict[str, Any]]:
    """Every vector: how it ended, and whether the log of Remit agrees with what the kit saw."""
    (folder / "remit.yaml").write_text(POLICY)
    told = []
    with Guard.open(folder / "remit.yaml") as guard:
        for vector in load_vectors():
            start = guard.store.read(lambda view: view.log_size())
            harness = GovernedHarness(guard)
            result = asyncio.run(run_vector(harness, vector))
            ran = [(each["name"]) for each in harness._tool_log]
            logged = records(guard, start)
            told.append(
                {
                    "id": result.id,
                    "status": result.status,
                    "why": result.detail,
                    "failures": result.failures,
                    "ran": ran,
                    "granted": [each.tool for each in logged if each.kind == "decision"],
                    "settled": [each.status for each in logged if each.kind == "outcome"],
                }
            )
    return told


def records(guard: Guard, start: int) -> list[Any]:
    return guard.store.read(
        lambda view: [parse_record(each.body) for each in view.records(start, view.log_size())]
    )


async def intercepted(folder: Path) -> dict[str, Any]:
    """What a host does whose interceptor is Remit."""
    folder.mkdir()
    (folder / "remit.yaml").write_text(RULES)
    told: dict[str, Any] = {}
    with Guard.open(folder / "remit.yaml") as guard:
        remit = RemitInterceptor(guard, agent="coder", user="ada")
        emitter = InterceptionEmitter().register(remit)
        builder = AgentContextBuilder(agent_id="a", framework="f", session_id=str(uuid.uuid4()))
        await emitter.emit(builder.agent_startup(tools_registered=["search"]))
        cases = {
            "allowed": ("list", {"a": 1}, "fine"),
            "denied": ("delete", {"a": 1}, None),
            "held": ("pay", {"a": 1}, None),
            "changed": ("search", {"limit": 50}, {"secret": "hunter2", "open": 1}),
            "withheld": ("read", {}, "hunter2"),
        }
        for number, (name, (tool, args, value)) in enumerate(cases.items()):
            call = {"call_id": f"c{number}", "name": tool, "args": dict(args)}
            try:
                before = builder.pre_tool_call(**call)
                await emitter.emit(before)
                after = builder.post_tool_call(
                    call_id=call["call_id"],
                    name=tool,
                    args=before["tool_call"]["args"],
                    value=value,
                )
                await emitter.emit(after)
                told[name] = [before["tool_call"]["args"], after["tool_result"]["value"]]
            except InterceptionBlocked as blocked:
                told[name] = [blocked.result.verdict.reason, blocked.result.verdict.message]
        again = builder.post_tool_call(call_id="c9", name="list", args={}, value="x")
        told["unknown"] = [(await emitter.emit_unchecked(again)).verdict.reason]
        remit.end()
        told["outcomes"] = [each.status for each in records(guard, 0) if each.kind == "outcome"]
    return told


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(json.dumps({"vectors": vectors(place), "host": asyncio.run(intercepted(place / "host"))}))
