"""``remit replay incident``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from remit.cli import rendering
from remit.cli.app import Exit, json_option

if TYPE_CHECKING:
    from remit.incidents import Played, Replayed


@click.group()
def replay() -> None:
    """Replay what happened elsewhere, and see what policy makes of it."""


@replay.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Every incident that comes with Remit.")
@json_option
def incident(names: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Replay real incidents, each with a benign twin that must pass.

    Works offline, and nothing is really called: a real governor decides on every call under the
    shipped policy packs. Exits 1 when an attack got through or honest work was stopped.
    """
    from remit import incidents

    if everything == bool(names):
        shown = ", ".join(incidents.names())
        raise click.UsageError(f"Name incidents, or give --all. There are: {shown}")
    found = [
        (name, incidents.replay(incidents.find(name)))
        for name in (incidents.names() if everything else names)
    ]
    if as_json:
        rendering.print_json([_as_json(name, replayed) for name, replayed in found])
    elif len(found) == 1:
        _show(*found[0])
    else:
        _show_table(found)
    return Exit.OK if all(replayed.ok for _, replayed in found) else Exit.FINDINGS


def _show_table(found: Sequence[tuple[str, Replayed]]) -> None:
    rows = []
    for name, replayed in found:
        step, stopped = first_stop(replayed)
        rule = stopped.rules[0] if stopped is not None and stopped.rules else ""
        rows.append(
            (
                name,
                rendering.word("denied" if stopped is None else stopped.effect),
                f"call {step}" if stopped is not None else "went through",
                rule,
                rendering.styled("as it must", "allow")
                if replayed.ok
                else rendering.styled("NOT as it must", "deny"),
            )
        )
    rendering.table(("incident", "effect", "stopped at", "rule", "attack and twin"), rows)
    passed = sum(replayed.ok for _, replayed in found)
    rendering.line(f"{passed} of {len(found)} ended as they must.")


def first_stop(replayed: Replayed) -> tuple[int, Played | None]:
    """The first call of the attack that was stopped, counted from 1; 0 and None: none was."""
    for number, played in enumerate(replayed.attack, 1):
        if played.stopped:
            return number, played
    return 0, None


def _show(name: str, replayed: Replayed) -> None:
    told = replayed.incident
    rendering.line(rendering.text(f"{told.title} ({told.when})", "bold"))
    rendering.line(told.happened)
    rendering.line(rendering.quiet(f"{told.source}. Policy: {', '.join(told.packs)}."))
    for title, plays in (("The attack", replayed.attack), ("Its benign twin", replayed.twin)):
        rendering.line()
        rendering.line(rendering.text(title, "bold"))
        rendering.table(("", "call", "effect", "rule", "because"), _rows(plays))
    rendering.line()
    rendering.line(rendering.quiet("What calls cannot show: "), told.beyond)
    if not replayed.ok:
        rendering.line(rendering.styled(f"{name} did not end as it must.", "deny"))


def _rows(plays: Sequence[Played]) -> Iterator[tuple[object, ...]]:
    for number, played in enumerate(plays, 1):
        step = played.step
        call = f"{step.call} {rendering.as_json(step.args, indent=None)}"
        effect = played.effect
        if played.effect == "allow" and step.approve:
            effect = f"allow, approved by {step.approve}"
        if step.repeat > 1:
            effect += f" ({played.ran} of {step.repeat} ran)"
        yield (
            number,
            rendering.shortened(call, 76),
            rendering.styled(effect, played.effect),
            played.rules[0] if played.rules else "",
            played.because if played.effect != "allow" else "",
        )


def _as_json(name: str, replayed: Replayed) -> dict[str, Any]:
    told = replayed.incident
    return {
        "incident": name,
        "title": told.title,
        "when": told.when,
        "source": told.source,
        "packs": list(told.packs),
        "ok": replayed.ok,
        "attack": [_played_json(each) for each in replayed.attack],
        "twin": [_played_json(each) for each in replayed.twin],
        "beyond": told.beyond,
    }


def _played_json(played: Played) -> dict[str, Any]:
    return {
        "tool": played.step.call,
        "arguments": played.step.args,
        "effect": played.effect,
        "rules": list(played.rules),
        "because": played.because,
        "ran": played.ran,
        "as_it_must": played.met,
    }
