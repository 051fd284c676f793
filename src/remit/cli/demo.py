"""``remit demo``."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.cli import rendering
from remit.cli.app import Exit, json_option
from remit.demo import Story, tell
from remit.demo.agent import Scene
from remit.demo.stage import Attempt
from remit.demo.story import Command, Event
from remit.demo.world import Damage
from remit.errors import ConfigError

if TYPE_CHECKING:
    from rich.text import Text

_ARGUMENTS_WIDTH = 84
_INDENT = " " * 12
_ACTS = {
    "without": (
        "Without Remit",
        "the agent and its tools, with nothing in between",
    ),
    "governed": (
        "With Remit",
        "the same script and the same tools, wrapped by a Guard",
    ),
    "log": (
        "The log",
        "exported, then verified where there is only the export and the public key",
    ),
    "tampering": (
        "Tampering",
        "what each kind of forgery looks like to whoever verifies",
    ),
}
_DAMAGE = {
    "invoices": "rows in the production table",
    "orders": "purchase orders at the supplier",
    "customer_rows_outside": "customer rows received outside",
    "stock_pages": "runs of the looping call",
    "refunded": "refunds paid for one order",
    "backup_intact": "backup",
}


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Work in this new or empty directory and keep it.",
)
@json_option
def demo(keep: Path | None, as_json: bool) -> int:
    """Watch a hijacked agent, without Remit and with it.

    A scripted agent acts on a real SQLite database, real files and real HTTP services on the
    loopback interface, in the ways of real incidents. Ends with exit code 0 only if everything
    that must be stopped was stopped, and if it did happen without Remit.
    """
    if keep is not None:
        _claim(keep)
        story = _run(keep.resolve(), as_json)
    else:
        with tempfile.TemporaryDirectory(prefix="remit-demo-") as folder:
            story = _run(Path(folder).resolve(), as_json)
    if as_json:
        rendering.print_json(_json(story, kept=keep is not None))
    else:
        _finish(story, keep)
    return Exit.OK if story.ok else Exit.FINDINGS


def _claim(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"{folder}: the demo wants a new or empty directory.")


def _run(folder: Path, as_json: bool) -> Story:
    if as_json:
        return tell(folder, lambda _: None)
    screen = _Screen(folder)
    story = tell(folder, screen.show)
    screen.close()
    return story


class _Screen:
    """Prints the story as it happens; equal attempts in a row are counted, not repeated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bare = True
        self._last: tuple[str, ...] | None = None
        self._repeats = 0

    def show(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, Attempt):
            self._attempt(event)
            return
        self.close()
        if isinstance(event, Scene):
            rendering.line()
            rendering.line("  ", rendering.text(event.title, "bold"))
            rendering.line(
                rendering.quiet(f"  {event.agent} for {event.user}, task: {event.intent}")
            )
        elif isinstance(event, Command):
            self._command(event)
        else:
            self._bare = event == "without"
            title, subtitle = _ACTS[event]
            rendering.line()
            rendering.line(rendering.text(f"== {title}: ", "bold cyan"), rendering.quiet(subtitle))

    def close(self) -> None:
        """Print what is still counted."""
        if self._repeats:
            times = "once" if self._repeats == 1 else f"{self._repeats} times"
            rendering.line(rendering.quiet(f"{_INDENT}and {times} more"))
        self._last, self._repeats = None, 0

    def _attempt(self, attempt: Attempt) -> None:
        arguments = self._here(json.dumps(attempt.call.arguments, ensure_ascii=False))
        same = (attempt.call.tool, arguments, attempt.verdict, attempt.rule)
        if same == self._last:
            self._repeats += 1
            return
        self.close()
        self._last = same
        rendering.line(
            "    ",
            # Without governance everything runs; the colour of success would mislead.
            rendering.styled(attempt.verdict.ljust(8), "" if self._bare else attempt.verdict),
            rendering.text(attempt.call.tool, "bold"),
            " ",
            rendering.shortened(arguments, _ARGUMENTS_WIDTH),
        )
        if attempt.rule or attempt.because:
            rendering.line(_INDENT, _reason(attempt))

    def _command(self, command: Command) -> None:
        rendering.line()
        if command.note:
            rendering.line("    ", rendering.quiet(command.note))
        shown = self._here(" ".join(command.arguments))
        rendering.line("    ", rendering.quiet("$ "), rendering.text(f"remit {shown}", "bold"))
        for each in self._here(command.output.rstrip()).splitlines():
            rendering.line("      ", each)
        if command.exit:
            rendering.line("      ", rendering.quiet(f"(exit code {command.exit})"))

    def _here(self, shown: str) -> str:
        """``shown`` with paths relative to the demo's folder."""
        return shown.replace(f"{self._folder}{os.sep}", "")


def _reason(attempt: Attempt) -> Text:
    place = f", {Path(attempt.at).name}" if attempt.at else ""
    reason = rendering.quiet(f"{attempt.rule}{place}")
    if attempt.because:
        reason.append_text(
            rendering.text(f": {attempt.because}" if attempt.rule else attempt.because)
        )
    return reason


def _finish(story: Story, keep: Path | None) -> None:
    rendering.line()
    rendering.line(rendering.text("== What reached the world", "bold cyan"))
    rendering.line()
    if story.without is not None and story.governed is not None:
        rendering.table(
            ["", "without Remit", "with Remit"],
            [
                [label, _seen(name, story.without), _seen(name, story.governed)]
                for name, label in _DAMAGE.items()
            ],
        )
    rendering.line()
    unmet = [each for each in story.expectations if not each.met]
    for each in unmet:
        rendering.line(
            rendering.text("not as it must be: ", "bold red"),
            f"{each.what}: expected {each.expected}, found {each.found}",
        )
    met = len(story.expectations) - len(unmet)
    rendering.line(
        rendering.text(f"{met} of {len(story.expectations)}", "green" if story.ok else "bold red"),
        f" expectations met in {story.seconds:.1f} s.",
    )
    if keep is not None:
        rendering.line(
            "Kept: ", f"{keep}; look around with: cd {keep / 'governed'} && remit audit tail"
        )


def _seen(name: str, damage: Damage) -> Text:
    value = getattr(damage, name)
    if name == "invoices" and value is None:
        return rendering.text("table is gone", "bold red")
    if name == "backup_intact":
        return rendering.text("intact", "green") if value else rendering.text("empty", "bold red")
    return rendering.text(f"{value:,}")


def _json(story: Story, *, kept: bool) -> dict[str, Any]:
    return {
        "ok": story.ok,
        "seconds": round(story.seconds, 2),
        "folder": str(story.folder) if kept else None,
        "without": dataclasses.asdict(story.without) if story.without else None,
        "governed": dataclasses.asdict(story.governed) if story.governed else None,
        "attempts": [_attempt_json(each) for each in story.attempts],
        "commands": [
            {"arguments": list(each.arguments), "exit": each.exit, "output": each.output}
            for each in story.commands
        ],
        "expectations": [
            {**dataclasses.asdict(each), "met": each.met} for each in story.expectations
        ],
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "scene": attempt.scene,
        "agent": attempt.agent,
        "tool": attempt.call.tool,
        "arguments": attempt.call.arguments,
        "verdict": attempt.verdict,
        "rule": attempt.rule,
        "at": attempt.at,
        "because": attempt.because,
        "approval": attempt.approval,
    }
