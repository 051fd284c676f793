"""The demo from beginning to end, and what must be true when it is over.

First the script runs bare: that the table is really gone and the rows have really left proves
that the demo can fail. Then the same script runs behind a guard, a person approves one refund
with the ``remit`` command, and the log is exported, verified by itself, and tampered with.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeAlias

from remit import Guard
from remit.demo import tamper
from remit.demo.agent import LOOPS, REFUND, SCENES, Scene
from remit.demo.stage import Attempt, play_bare, play_governed
from remit.demo.world import Damage, World

APPROVER = "grace"
_COMMAND_TIMEOUT = 30
"""Seconds."""
_OLD_EXPORT = "old.jsonl"
_FORGERIES = (
    (tamper.alter_one_field, "One field altered: the first denial now says allow."),
    (tamper.cut_the_end, "The newest five records cut off."),
)
_PASSED_OFF = (
    "A genuine export from before the refund, passed off as the newest. By itself it is fine."
)
_KEPT_OUTSIDE = "Only a newer checkpoint, kept elsewhere, gives it away."


@dataclass(frozen=True)
class Command:
    """A ``remit`` command that the demo ran as another process, and what it said."""

    arguments: tuple[str, ...]
    exit: int
    output: str
    note: str = ""
    """What the spectator should know before."""


@dataclass(frozen=True)
class Expectation:
    """Something that must be true, and what was found."""

    what: str
    expected: Any
    found: Any

    @property
    def met(self) -> bool:
        """Whether what was found is what must be."""
        return bool(self.expected == self.found)


@dataclass
class Story:
    """Everything that happened. ``ok`` when every expectation was met."""

    folder: Path
    without: Damage | None = None
    governed: Damage | None = None
    attempts: list[Attempt] = field(default_factory=list)
    """Calls under governance, in order."""
    commands: list[Command] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every expectation was met."""
        return bool(self.expectations) and all(each.met for each in self.expectations)


Act: TypeAlias = Literal["without", "governed", "log", "tampering"]
Event: TypeAlias = Act | Scene | Attempt | Command
"""What the teller is told while the story runs: a new act, a new scene, a call, a command."""

Teller: TypeAlias = Callable[[Event], None]


def tell(folder: Path, teller: Teller) -> Story:
    """Run the whole demo in ``folder``, which must be empty, and report it to ``teller``."""
    begun = time.monotonic()
    story = Story(folder)
    _without(story, teller)
    _governed(story, teller)
    _log(story, teller)
    _expect_damage(story)
    story.seconds = time.monotonic() - begun
    return story


def _without(story: Story, teller: Teller) -> None:
    teller("without")
    world = World(story.folder / "without")
    try:
        for scene in SCENES:
            teller(scene)
            play_bare(scene, world, teller)
        story.without = world.damage()
    finally:
        world.close()


def _governed(story: Story, teller: Teller) -> None:
    teller("governed")
    world = World(story.folder / "governed")
    policy = world.folder / "remit.yaml"
    template = (resources.files("remit.demo") / "remit.yaml").read_text(encoding="utf-8")
    policy.write_text(template.replace("{reports}", str(world.reports)), encoding="utf-8")
    guard = Guard.open(policy)
    try:
        for scene in SCENES:
            if scene is SCENES[-1]:
                _export_early(story)
            teller(scene)
            _play_scene(story, teller, scene, world, guard)
        story.governed = world.damage()
    finally:
        guard.close()
        world.close()


def _play_scene(story: Story, teller: Teller, scene: Scene, world: World, guard: Guard) -> None:
    verdicts: list[str] = []

    def noted(attempt: Attempt) -> None:
        story.attempts.append(attempt)
        verdicts.append(attempt.verdict)
        teller(attempt)
        if attempt.verdict == "held" and verdicts.count("held") == 1:
            _approve(story, teller, str(attempt.approval))

    play_governed(scene, world, guard, noted)
    expected = list(scene.expected)
    expected += expected[-1:] * (len(verdicts) - len(expected))
    story.expectations.append(Expectation(f"verdicts: {scene.title}", expected, verdicts))


def _approve(story: Story, teller: Teller, approval: str) -> None:
    """A person in another process approves, with the command that people use."""
    command = _remit(story, teller, "approvals", "approve", approval, "--as", APPROVER)
    story.expectations.append(Expectation("the approval is accepted", 0, command.exit))


def _log(story: Story, teller: Teller) -> None:
    """Export and verify, where nothing but the export and the public key is at hand."""
    teller("log")
    log = story.folder / "log"
    export = log / "export.jsonl"
    kept = log / "checkpoint.txt"
    _expect_exit(story, teller, 0, "audit", "export", "-o", str(export))
    _expect_exit(story, teller, 0, "audit", "checkpoint", "-o", str(kept))
    (log / "remit.pub").write_text(_remit(story, teller, "audit", "vkey").output)
    verify = ("audit", "verify", "--vkey", "remit.pub")
    _expect_exit(story, teller, 0, *verify, export.name, folder=log)
    teller("tampering")
    for forge, note in _FORGERIES:
        forged = forge(export)
        _expect_exit(story, teller, 1, *verify, forged.name, folder=log, note=note)
    _expect_exit(story, teller, 0, *verify, _OLD_EXPORT, folder=log, note=_PASSED_OFF)
    since = (*verify, "--since", kept.name, _OLD_EXPORT)
    _expect_exit(story, teller, 1, *since, folder=log, note=_KEPT_OUTSIDE)


def _export_early(story: Story) -> None:
    """An honest export from before the last scene, to be passed off as the newest later."""
    log = story.folder / "log"
    log.mkdir()
    _remit(story, lambda _: None, "audit", "export", "-o", str(log / _OLD_EXPORT))


def _expect_exit(
    story: Story,
    teller: Teller,
    code: int,
    *arguments: str,
    folder: Path | None = None,
    note: str = "",
) -> None:
    command = _remit(story, teller, *arguments, folder=folder, note=note)
    shown = " ".join(Path(part).name if os.sep in part else part for part in arguments)
    story.expectations.append(Expectation(f"exit code of: remit {shown}", code, command.exit))


def _remit(
    story: Story, teller: Teller, *arguments: str, folder: Path | None = None, note: str = ""
) -> Command:
    """Run a ``remit`` command as another process, by default beside the governed shop's policy."""
    finished = subprocess.run(  # noqa: S603 - our own program and arguments
        [sys.executable, "-m", "remit", *arguments],
        cwd=folder or story.folder / "governed",
        capture_output=True,
        text=True,
        timeout=_COMMAND_TIMEOUT,
        check=False,
    )
    output = finished.stdout + finished.stderr
    command = Command(arguments, finished.returncode, output, note)
    story.commands.append(command)
    teller(command)
    return command


def _expect_damage(story: Story) -> None:
    """What the world shows, which no log and no guard could make up."""
    without = Damage(
        invoices=None,
        orders=1,
        customer_rows_outside=3,
        stock_pages=LOOPS,
        refunded=3 * REFUND,
        backup_intact=False,
    )
    governed = Damage(
        invoices=240,
        orders=0,
        customer_rows_outside=0,
        stock_pages=5,
        refunded=REFUND,
        backup_intact=True,
    )
    for label, expected, found in (
        ("without Remit", without, story.without),
        ("with Remit", governed, story.governed),
    ):
        for name in Damage.__dataclass_fields__:
            story.expectations.append(
                Expectation(f"{label}: {name}", getattr(expected, name), getattr(found, name))
            )
