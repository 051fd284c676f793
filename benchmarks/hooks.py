"""What ``remit hook`` costs a coding agent for each tool call: whole processes, with a server.

In turn, in the same run: a bare interpreter as the floor, the hook before a tool and the one after
it, and what a host starts (a shell with the hook in it).
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from benchmarks.measure import line, verdict
from benchmarks.serving import AGENT, ServerProcess, prepare
from remit.hooks.installing import HookCommand

RUNS = int(os.environ.get("REMIT_BENCH_RUNS", "40"))
REMIT = (sys.executable, "-I", str(Path(sys.executable).with_name("remit")))
"""As `remit hooks install` writes it."""
_PACKS = ("coding-agent.yaml", "coding-agent-hooks.yaml")
_OWN = f"remit: 1\nagents: {{{AGENT}: {{}}}}\npeople: {{ada: {{}}}}\n"


def run() -> None:
    """Time whole processes, in turn."""
    print(f"\nremit hook, a server running, shipped rules (whole process, p50 of {RUNS}, in turn)")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "key").write_text(_prepared(folder))
        server = ServerProcess(folder)
        try:
            spent = _timed(folder, f"http://{server.host}:{server.port}")
        finally:
            server.stop()
    floor, used = (statistics.median(part) for part in zip(*spent["floor"], strict=True))
    line("floor: python -c pass", f"{floor:.1f} ms, {used:.1f} ms of processor")
    for name in ("before", "after", "shell"):
        p50, processor = (statistics.median(part) for part in zip(*spent[name], strict=True))
        told = verdict(p50, 60, at_most=True) if name == "before" else ""
        shown = f"{p50:.1f} ms, {processor:.1f} ms of processor ({p50 / floor:.1f}x the floor)"
        line(f"remit hook, {_SHOWN[name]}", shown, told)


_SHOWN = {
    "before": "a question before a tool",
    "after": "the result of it",
    "shell": "as the host starts it, in a shell",
}


def _prepared(folder: Path) -> str:
    """A server's folder with the shipped packs; the agent's key."""
    key = prepare(folder, _OWN + "rules: [{id: work, tools: ['*'], effect: allow}]\n")
    (folder / "policy").mkdir()
    for pack in _PACKS:
        text = (resources.files("remit") / "packs" / pack).read_text(encoding="utf-8")
        (folder / "policy" / pack).write_text(text, encoding="utf-8")
    (folder / "policy" / "remit.yaml").write_text(_OWN, encoding="utf-8")
    with (folder / "remit.toml").open("a", encoding="utf-8") as file:
        file.write('[policy]\npath = "policy"\n')
    return key


Sample = tuple[float, float]
"""Milliseconds that passed, and milliseconds of processor time of the process and its children."""


def _timed(folder: Path, url: str) -> dict[str, list[Sample]]:
    """Samples of each, in turn."""
    options = ("--agent", AGENT, "--connect", url, "--key-file", str(folder / "key"))
    whole = HookCommand(program=REMIT, options=options)
    plain = [*REMIT, "hook", "claude-code", "--event"]
    spent: dict[str, list[Sample]] = {"floor": [], "before": [], "after": [], "shell": []}
    for number in range(RUNS + 3):
        asked = _question(folder, number, "PreToolUse", {})
        result = {"stdout": "hi", "stderr": "", "interrupted": False}
        settled = _question(folder, number, "PostToolUse", {"tool_response": result})
        again = _question(folder, number + 10_000, "PreToolUse", {})
        taken = {
            "floor": _sampled([sys.executable, "-c", "pass"], b"", b""),
            "before": _sampled([*plain, "PreToolUse", *options], asked, b"{}"),
            "after": _sampled([*plain, "PostToolUse", *options], settled, b"{}"),
            "shell": _sampled(
                ["/bin/sh", "-c", whole.text("claude-code", "PreToolUse")], again, b"{}"
            ),
        }
        if number >= 3:
            for name, sample in taken.items():
                spent[name].append(sample)
    return spent


def _question(folder: Path, number: int, event: str, more: Mapping[str, Any]) -> bytes:
    # Sessions of a hundred calls: a budget of the shipped rules ends what runs away.
    payload = {
        "session_id": f"bench-{number // 50}",
        "cwd": str(folder),
        "hook_event_name": event,
        "tool_name": "Bash",
        "tool_input": {"command": "git status && ls src"},
        "tool_use_id": f"call-{number}",
        **more,
    }
    return json.dumps(payload).encode()


def _sampled(command: list[str], given: bytes, wanted: bytes) -> Sample:
    before, start = _children(), time.perf_counter()
    done = subprocess.run(command, input=given, capture_output=True, check=True)
    spent = (time.perf_counter() - start) * 1e3
    if done.stdout != wanted:
        raise RuntimeError(f"the hook said {done.stdout!r}")
    return spent, _children() - before


def _children() -> float:
    """Milliseconds of processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e3
