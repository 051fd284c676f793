"""Plays the script, bare or behind a guard, and notes what became of each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from remit import ApprovalRequired, Denied, Guard
from remit.demo.agent import Refusal, Scene, ToolCall
from remit.demo.world import World

Verdict: TypeAlias = Literal["ran", "denied", "held", "failed"]
Tools: TypeAlias = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Attempt:
    """One call of the agent and what became of it."""

    scene: str
    agent: str
    call: ToolCall
    verdict: Verdict
    rule: str = ""
    at: str = ""
    """Place of the rule: file, line, column."""
    because: str = ""
    approval: str | None = None


Noted: TypeAlias = Callable[[Attempt], None]
"""Is told of each attempt as soon as it is over."""


def play_bare(scene: Scene, world: World, noted: Noted) -> None:
    """Play a scene with nothing between the agent and its tools."""
    _play(scene, world, world.tools(), noted)


def play_governed(scene: Scene, world: World, guard: Guard, noted: Noted) -> None:
    """Play a scene with every tool behind ``guard``. The script and the tools are the same."""
    tools = {name: guard.wrap(tool, name=name) for name, tool in world.tools().items()}
    with guard.session(agent=scene.agent, user=scene.user, intent=scene.intent):
        _play(scene, world, tools, noted)


def _play(scene: Scene, world: World, tools: Tools, noted: Noted) -> None:
    script = scene.script(world)
    answer: Any = None
    while True:
        try:
            call = script.send(answer)
        except StopIteration:
            return
        answer, attempt = _attempt(scene, call, tools)
        noted(attempt)


def _attempt(scene: Scene, call: ToolCall, tools: Tools) -> tuple[Any, Attempt]:
    try:
        answer = tools[call.tool](**call.arguments)
    except ApprovalRequired as held:
        return Refusal(str(held)), _refused(scene, call, "held", held, held.approval)
    except Denied as denied:
        return Refusal(str(denied)), _refused(scene, call, "denied", denied)
    except OSError as broken:
        failed = Attempt(scene.key, scene.agent, call, "failed", because=str(broken))
        return Refusal(str(broken)), failed
    return answer, Attempt(scene.key, scene.agent, call, "ran")


def _refused(
    scene: Scene,
    call: ToolCall,
    verdict: Verdict,
    refusal: Denied | ApprovalRequired,
    approval: str | None = None,
) -> Attempt:
    first = refusal.reasons[0]
    return Attempt(
        scene.key,
        scene.agent,
        call,
        verdict,
        rule=first.rule,
        at=str(first.at) if first.at is not None else "",
        because=first.because,
        approval=approval,
    )
