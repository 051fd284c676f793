"""The contract of every adapter, run in the framework's own environment with its scripted model.

    .frameworks/langchain/bin/python tests/adapters/contract.py langchain

Each scenario is run by a real agent of the framework. What counts is what happened: which tools
left a trace, what the model read, what is in the log. Prints one JSON object for each scenario and
way of running, with ``"ok"`` or the ``"reason"`` why it does not apply.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import io
import json
import os
import re
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from remit import Guard
from remit.adapters.declared import ADAPTERS, Adapter
from remit.audit.record import Record, parse_record
from remit.audit.verify import verify_export
from remit.cli.app import run as remit
from remit.governor import Governor
from remit.guard import SessionScope
from remit.signing import read_vkey

POLICY = """
remit: 1
default: deny
agents:
  notes-bot: {roles: [clerk]}
people:
  ada: {roles: [writer]}
  grace: {roles: [lead]}
tools:
  - {match: [read_note, read_card, linger, explode, helper], does: read}
  - {match: [read_web], does: read, returns: [untrusted]}
  - {match: [delete_note], does: delete}
  - {match: [send_mail, a2a.send_message], does: send}
  - {match: [a2a.execute], does: read}
  - {match: [Bash, shell, apply_patch, file_note], does: execute}
rules:
  - {id: clerks, roles: [clerk], tools: [read_note, read_web, send_mail, linger, explode, helper],
     effect: allow}
  - id: lower-case
    tools: [read_note]
    when: args.name == "TODO"
    effect: allow
    obligations: [{rewrite: {args.name: '"todo"'}}]
  - {id: cards, roles: [clerk], tools: [read_card], effect: allow,
     obligations: [{redact: [result.number]}]}
  - id: no-deletes
    tools: [delete_note]
    effect: deny
    because: Deletes need a ticket.
    instead: Ask ada for one.
  - {id: mail, tools: [send_mail], effect: ask, approvers: [lead]}
  - {id: bash, roles: [clerk], tools: [Bash], when: args.command.startsWith("cat "), effect: allow,
     obligations: [{redact: [result.stdout]}]}
  - {id: whole-bash, roles: [clerk], tools: [Bash], when: args.command.startsWith("echo "),
     effect: allow, obligations: [{redact: [result]}]}
  - {id: shell, roles: [clerk], tools: [shell], effect: allow,
     when: 'args.commands.all(c, c.startsWith("echo "))'}
  - {id: edits, roles: [clerk], tools: [apply_patch], when: args.path == "todo.txt", effect: allow}
  - {id: messages, roles: [clerk], tools: [a2a.send_message, a2a.execute], effect: allow}
  - {id: card-numbers, roles: [clerk], tools: [a2a.send_message], effect: allow,
     when: args.text.startsWith("read "), obligations: [{redact: [result]}]}
  - {id: no-deletes-elsewhere, tools: ["a2a.*"], when: args.text.startsWith("delete "),
     effect: deny, because: Deletes need a ticket.}
  - {id: mail-elsewhere, tools: [a2a.send_message], when: args.text.startsWith("mail "),
     effect: ask, approvers: [lead]}
  - {id: filing, roles: [clerk], tools: [file_note], when: args.name != "a", effect: allow}
"""
RAN: list[tuple[str, str]] = []
"""Which tools really ran, with what: their side effect."""
STARTED = threading.Event()
"""Set when the tool that lingers has begun."""


def read_note(name: str) -> str:
    """Read a note.

    Args:
        name: which note.
    """
    RAN.append(("read_note", name))
    return f"{name}: buy milk"


def read_web(name: str) -> str:
    """Read a page.

    Args:
        name: which page.
    """
    RAN.append(("read_web", name))
    return f"page {name}"


def read_card(name: str) -> dict:
    """Read a card.

    Args:
        name: whose card.
    """
    RAN.append(("read_card", name))
    return {"holder": name, "number": "4111111111111111"}


def delete_note(name: str) -> str:
    """Delete a note.

    Args:
        name: which note.
    """
    RAN.append(("delete_note", name))
    return f"{name} is gone"


def send_mail(to: str) -> str:
    """Send a mail.

    Args:
        to: who gets it.
    """
    RAN.append(("send_mail", to))
    return f"sent to {to}"


def explode(name: str) -> str:
    """Fail.

    Args:
        name: how.
    """
    RAN.append(("explode", name))
    raise ValueError(f"exploded on {name}")


async def linger(name: str) -> str:
    """Take a long time.

    Args:
        name: over what.
    """
    RAN.append(("linger", name))
    STARTED.set()
    await asyncio.sleep(30)
    return "at last"


TOOLS: tuple[Callable[..., Any], ...] = (
    read_note, read_web, read_card, delete_note, send_mail, explode,
)  # fmt: skip


@dataclass
class Call:
    """One call that the scripted model asks for."""

    tool: str
    id: str
    arguments: dict[str, Any]


Turn = list[Call] | str


@dataclass
class Script:
    """A scripted model: gives its turns one after another, and keeps what it has read."""

    turns: list[Turn | Callable[[], Turn]]
    read: dict[str, str] = field(default_factory=dict)
    """What came back for each call, as the model read it the last time it was asked."""
    asked: int = 0

    def next(self, results: Mapping[str, str]) -> Turn:
        """The next turn, for a model that sees these results of its calls, by id."""
        self.read.update({key: text for key, text in results.items() if key})
        assert self.asked < len(self.turns), f"the model was asked once too often: {self.read}"
        turn = self.turns[self.asked]
        self.asked += 1
        return turn() if callable(turn) else turn


@dataclass
class Came:
    """How a run of an agent ended: with words, or with a pause."""

    said: str
    resume: Callable[[], Came] | None = None
    """Set when the framework paused: go on, once people have decided."""


class Driver(Protocol):
    """One framework's side of the contract: ``drivers/NAME.py`` has a class ``Framework``.

    ``more`` may hold scenarios that only this framework has.
    """

    def agent(self, script: Script, tools: tuple[Any, ...], guard: Guard | None) -> Any:
        """An agent under Remit, or without a guard as if there were none."""

    def parent(self, script: Script, child: Script, tools: tuple[Any, ...], guard: Guard) -> Any:
        """A governed agent whose tool ``helper`` is another agent, which has ``tools``."""

    def strayed(self, script: Script, tools: tuple[Any, ...], guard: Guard) -> Any:
        """An agent made without Remit from tools that were governed for another one."""

    def run(self, agent: Any, mode: str) -> Came:
        """Run it to its end or its pause."""

    async def arun(self, agent: Any) -> Any:
        """Run it in an event loop, to be cancelled."""


class Scene:
    """One scenario in one way of running: a session of its own, and its part of the log."""

    def __init__(self, driver: Driver, guard: Guard, mode: str) -> None:
        self.driver, self.guard, self.mode = driver, guard, mode
        self.began = guard.store.read(lambda view: view.log_size())
        self.session: SessionScope | None = None

    def run(self, script: Script, tools: tuple[Any, ...] = TOOLS) -> Came:
        return self.play(self.driver.agent(script, tools, self.guard))

    def play(self, agent: Any) -> Came:
        with self.guard.session(agent="notes-bot", user="ada", keep=True) as session:
            self.session = session
            return self.driver.run(agent, self.mode)

    def resume(self, came: Came) -> Came:
        assert came.resume is not None, f"the framework did not pause; it said {came.said!r}"
        assert self.session is not None
        with self.guard.resume(self.session.id):
            return came.resume()

    def records(self) -> list[Record]:
        read = self.guard.store.read
        return read(
            lambda view: [
                parse_record(each.body) for each in view.records(self.began, view.log_size())
            ]
        )

    def decisions(self) -> list[str]:
        return [f"{self._bare(r)} {r.effect}" for r in self.records() if r.kind == "decision"]

    def outcomes(self) -> list[str]:
        return [f"{self._bare(r)} {r.status}" for r in self.records() if r.kind == "outcome"]

    def _bare(self, record: Record) -> str:
        return (record.tool or "").removeprefix(getattr(self.driver, "prefix", ""))

    def settles(self, wanted: list[str]) -> None:
        end = time.monotonic() + 10
        while self.outcomes() != wanted and time.monotonic() < end:
            gc.collect()
            time.sleep(0.02)
        equal(self.outcomes(), wanted)

    def approve(self) -> None:
        """Say yes to what waits, as ``remit approvals approve`` does."""
        (handle,) = {r.approval for r in self.records() if r.kind == "decision" and r.approval}
        policies = self.guard.policies
        governor = Governor(policies=lambda: policies, clock=time.time_ns, entropy=os.urandom)
        grace = policies.person("grace")
        self.guard.store.write(lambda t: governor.approve(t, handle, grace))


def call(tool: str, id_: str, value: str) -> Call:
    return Call(tool, id_, {"to" if tool == "send_mail" else "name": value})


def equal(seen: object, wanted: object) -> None:
    assert seen == wanted, f"saw {seen!r}, not {wanted!r}"


def contains(text: str | None, *words: str) -> None:
    for word in words:
        assert word in (text or ""), f"{word!r} is not in {text!r}"


def allowed(scene: Scene) -> None:
    script = Script([[call("read_web", "c1", "a")], "done"])
    contains(scene.run(script).said, "done")
    equal(RAN, [("read_web", "a")])
    contains(script.read.get("c1"), "page a")
    equal(scene.decisions(), ["read_web allow"])
    equal(scene.outcomes(), ["read_web ok"])
    assert scene.session is not None
    equal(scene.session.labels, ("untrusted",))


def denied(scene: Scene) -> None:
    script = Script([[call("delete_note", "c1", "a")], [call("read_note", "c2", "a")], "done"])
    contains(scene.run(script).said, "done")
    equal(RAN, [("read_note", "a")])
    contains(script.read.get("c1"), "no-deletes", "Deletes need a ticket.", "Ask ada for one.")
    contains(script.read.get("c2"), "a: buy milk")
    equal(scene.decisions(), ["delete_note deny", "read_note allow"])
    equal(scene.outcomes(), ["read_note ok"])


def parallel(scene: Scene) -> None:
    both = [call("read_note", "c1", "a"), call("delete_note", "c2", "a")]
    script = Script([both, "done"])
    contains(scene.run(script).said, "done")
    equal(RAN, [("read_note", "a")])
    contains(script.read.get("c1"), "a: buy milk")
    contains(script.read.get("c2"), "Deletes need a ticket.")
    equal(sorted(scene.decisions()), ["delete_note deny", "read_note allow"])
    equal(scene.outcomes(), ["read_note ok"])


def rewrite(scene: Scene) -> None:
    script = Script([[call("read_note", "c1", "TODO")], "done"])
    contains(scene.run(script).said, "done")
    equal(RAN, [("read_note", "todo")])
    contains(script.read.get("c1"), "todo: buy milk")


def redact(scene: Scene) -> None:
    script = Script([[call("read_card", "c1", "ada")], "done"])
    contains(scene.run(script).said, "done")
    equal(RAN, [("read_card", "ada")])
    contains(script.read.get("c1"), "holder", "ada")
    assert "4111" not in script.read["c1"], script.read
    equal(scene.outcomes(), ["read_card ok"])


def hold(scene: Scene) -> None:
    if scene.driver.adapter.hold == "pause":
        hold_with_a_pause(scene)
        return
    again = call("send_mail", "c2", "ada")

    def later() -> Turn:
        equal(RAN, [])
        scene.approve()
        return [again]

    script = Script([[call("send_mail", "c1", "ada")], later, "done"])
    contains(scene.run(script).said, "done")
    contains(script.read.get("c1"), "waits for approval")
    contains(script.read.get("c2"), "sent to ada")
    equal(RAN, [("send_mail", "ada")])
    equal(scene.decisions(), ["send_mail ask", "send_mail ask"])
    equal(scene.outcomes(), ["send_mail ok"])


def hold_with_a_pause(scene: Scene) -> None:
    script = Script([[call("send_mail", "c1", "ada")], "done"])
    came = scene.run(script)
    equal(RAN, [])
    equal(script.asked, 1)
    scene.approve()
    contains(scene.resume(came).said, "done")
    contains(script.read.get("c1"), "sent to ada")
    equal(RAN, [("send_mail", "ada")])
    equal(scene.outcomes(), ["send_mail ok"])


def resumed_unapproved(scene: Scene) -> None:
    script = Script([[call("send_mail", "c1", "ada")], "done"])
    came = scene.run(script)
    scene.resume(came)
    equal(RAN, [])
    equal(scene.outcomes(), [])


def exception(scene: Scene) -> None:
    script = Script([[call("explode", "c1", "a")], "done"])
    with contextlib.suppress(Exception):
        # Whether the model reads of it or the run ends is up to the framework.
        scene.run(script)
    equal(RAN, [("explode", "a")])
    scene.settles(["explode error"])


def cancellation(scene: Scene) -> None:
    script = Script([[call("linger", "c1", "a")], "done"])
    agent = scene.driver.agent(script, (*TOOLS, linger), scene.guard)
    STARTED.clear()

    async def cancelled(agent: Any) -> None:
        with scene.guard.session(agent="notes-bot", user="ada"):
            running = asyncio.ensure_future(scene.driver.arun(agent))
            while not STARTED.is_set():
                if running.done():
                    raise AssertionError(f"it ended by itself: {running.result()!r}")
                await asyncio.sleep(0.01)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(cancelled(agent))
    equal(RAN, [("linger", "a")])
    del agent
    scene.settles(["linger cancelled"])


def fault(scene: Scene) -> None:
    """Remit itself fails, before the call: its store does not answer any more."""
    script = Script([[call("read_note", "c1", "a")], "done"])
    agent = scene.driver.agent(script, TOOLS, scene.guard)
    with scene.guard.session(agent="notes-bot", user="ada", keep=True):
        scene.guard.store.close()
        contains(scene.driver.run(agent, scene.mode).said, "done")
    equal(RAN, [])
    contains(script.read.get("c1"), "read_note was not run")


def child(scene: Scene) -> None:
    inner = Script([[call("delete_note", "d1", "a")], [call("read_note", "d2", "TODO")], "looked"])
    outer = Script([[Call("helper", "c1", {"request": "look"})], "done"])
    parent = scene.driver.parent(outer, inner, TOOLS, scene.guard)
    contains(scene.play(parent).said, "done")
    equal(RAN, [("read_note", "todo")])
    contains(inner.read.get("d1"), "Deletes need a ticket.")
    contains(outer.read.get("c1"), "looked")
    decided = scene.decisions()
    assert {"delete_note deny", "read_note allow"} <= set(decided), decided


def strayed(scene: Scene) -> None:
    """An agent that was made past Remit, from tools that are under it."""
    script = Script([[call("read_note", "c1", "a")], [call("delete_note", "c2", "a")], "done"])
    agent = scene.driver.strayed(script, TOOLS, scene.guard)
    with contextlib.suppress(Exception):
        scene.play(agent)
    if scene.driver.adapter.around == "refused":
        equal((RAN, scene.decisions()), ([], []))
    else:
        equal(RAN, [("read_note", "a")])
        equal(sorted(scene.decisions()), ["delete_note deny", "read_note allow"])


def no_session(scene: Scene) -> None:
    script = Script([[call("read_note", "c1", "a")], "done"])
    agent = scene.driver.agent(script, TOOLS, scene.guard)
    contains(scene.driver.run(agent, scene.mode).said, "done")
    equal(RAN, [])
    contains(script.read.get("c1"), "session")


def unprotected(scene: Scene) -> None:
    """The same agent without Remit: what ``denied`` asserts must not hold."""
    script = Script([[call("delete_note", "c1", "a")], "done"])
    contains(scene.driver.run(scene.driver.agent(script, TOOLS, None), scene.mode).said, "done")
    equal(RAN, [("delete_note", "a")])


SCENARIOS = (
    allowed, denied, parallel, rewrite, redact, hold, resumed_unapproved, exception, cancellation,
    fault, child, strayed, no_session, unprotected,
)  # fmt: skip
ONCE = (resumed_unapproved, cancellation, strayed, no_session, unprotected)
"""Run in one way only; the others in every way that the adapter declares."""
ALWAYS = (denied, parallel)
"""Run in every way also when there is little time."""


def not_applicable(adapter: Adapter, name: str) -> str:
    """Why a scenario does not apply, by what the adapter declares; empty if it does."""
    for scenario, reason in adapter.not_applicable:
        if scenario == name:
            return reason
    declared = {
        "rewrite": (adapter.rewrite, "arguments cannot be changed"),
        "redact": (adapter.redact, "results cannot be changed"),
        "cancellation": (adapter.cancel, "a running call cannot be cancelled"),
        "child": (adapter.children, "there are no child agents"),
        "strayed": (adapter.around != "unnoticed", "tools are not objects that could refuse"),
        "resumed_unapproved": (adapter.hold == "pause", "held calls do not pause the framework"),
    }
    holds, reason = declared.get(name, (True, ""))
    return "" if holds else reason


def modes(adapter: Adapter, scenario: Callable[[Scene], None], quick: bool) -> tuple[str, ...]:
    """In which ways a scenario is run."""
    once = scenario not in ALWAYS if quick else scenario in ONCE or scenario not in SCENARIOS
    return adapter.modes[-1:] if once else adapter.modes


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Guard]:
    guard = Guard.open(folder / "remit.yaml", store=folder / "remit.db")
    try:
        yield guard
    finally:
        with contextlib.suppress(Exception):
            guard.close()


def policy_for(driver: Driver) -> str:
    """The policy, with the names that the framework gives to tools."""
    prefix, helper = getattr(driver, "prefix", ""), getattr(driver, "helper", "helper")
    policy = re.sub(r"\bhelper\b", helper, POLICY)
    names = "|".join(fn.__name__ for fn in (*TOOLS, linger))
    return re.sub(rf"\b({names})\b", rf"{prefix}\1", policy)


def play(driver: Driver, scenario: Callable[[Scene], None], mode: str, folder: Path) -> str:
    """Run one scenario; what was wrong, or nothing."""
    RAN.clear()
    if scenario is fault:
        folder = Path(tempfile.mkdtemp(dir=folder))
        (folder / "remit.yaml").write_text(policy_for(driver))
    try:
        with opened(folder) as guard:
            scenario(Scene(driver, guard, mode))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error))
    return ""


def verified(folder: Path) -> str:
    """Export the log of all scenarios and verify it as an outsider would."""
    target = folder / "log.remit"
    arguments = ["audit", "export", "--values", "--policy", str(folder / "remit.yaml")]
    code = remit([*arguments, "-o", str(target)])
    data = io.BytesIO(target.read_bytes())
    report = verify_export(data, [read_vkey(folder / "remit.pub")])
    return "" if code == 0 and report.verified else f"export {code}, {report}"


def main(name: str, only: str = "") -> int:
    """Run the contract of one adapter, or only one scenario; 0 when all that applies holds.

    ``quick`` in place of a scenario runs most of them in one way only.
    """
    quick, only = only == "quick", "" if only == "quick" else only
    (adapter,) = [each for each in ADAPTERS if each.name == name]
    sys.path.insert(0, str(Path(__file__).parent))
    sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "adapters"))
    began = time.monotonic()
    driver = importlib.import_module(f"drivers.{name.replace('-', '_')}").Framework()
    driver.adapter = adapter
    wrong = 0

    def say(**line: Any) -> None:
        print(json.dumps(line), flush=True)

    with tempfile.TemporaryDirectory(prefix="remit-contract-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        # What drivers make for themselves goes there too, and away with it.
        tempfile.tempdir = place
        (folder / "remit.yaml").write_text(policy_for(driver))
        if "stream" not in adapter.modes:
            say(scenario="streaming", reason=not_applicable(adapter, "streaming"))
        for scenario in (*SCENARIOS, *getattr(driver, "more", ())):
            if only and scenario.__name__ != only:
                continue
            reason = not_applicable(adapter, scenario.__name__)
            if reason:
                say(scenario=scenario.__name__, reason=reason)
                continue
            for mode in modes(adapter, scenario, quick):
                problem = play(driver, scenario, mode, folder)
                wrong += bool(problem)
                say(scenario=scenario.__name__, mode=mode, ok=not problem, problem=problem)
        problem = verified(folder)
        wrong += bool(problem)
        say(scenario="verified", mode="", ok=not problem, problem=problem)
    say(seconds=round(time.monotonic() - began, 1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.modules["contract"] = sys.modules["__main__"]
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    # Frameworks leave threads behind that would keep the process waiting.
    os._exit(code)
