"""``remit stop`` and ``remit resume``: the stop switch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import click
import msgspec

from remit.cli import rendering
from remit.cli.app import json_option
from remit.cli.switches import FileSwitch, ServerSwitch, Switch
from remit.cli.workspace import person_option, store_option
from remit.errors import InvalidRequest
from remit.protocols.approval_views import StopSet, StopView
from remit.stops import FirstRefusal, Scope
from remit.text import fold

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])

_SCOPES: tuple[Scope, ...] = ("agent", "session", "tool")


def _switch_options(command: CommandFunction) -> CommandFunction:
    """Give a command the options that say what is meant, and whose switch it is."""
    options = (
        click.option("--agent", metavar="NAME", help="An agent, and whoever acts on its behalf."),
        click.option("--session", metavar="ID", help="A session, and those delegated from it."),
        click.option("--tool", metavar="PATTERN", help="Tools, such as send_email or 'http.*'."),
        click.option("--all", "everything", is_flag=True, help="Every call of every agent."),
        click.option("--reason", default="", help="Why, for the refusals and for the record."),
        click.option(
            "--server", metavar="URL", help="A server's switch instead of the store's file."
        ),
        click.option(
            "--key-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File with an API key of that server that has the right admin.",
        ),
        person_option,
        store_option,
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.option("--list", "lists", is_flag=True, help="Show what is stopped.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 55),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to look for the first refusal.",
)
@_switch_options
def stop(lists: bool, wait: float, **given: Any) -> None:
    """Stop an agent, a session, tools or everything: their next call is refused.

    Holds for every process on the store and every client of the server, in every mode, until
    'remit resume'. Calls that wait for a person are refused; what runs already is recorded as ever.

    Without --server it works on the store's file: whoever can write to that can stop, and
    nothing proves who it was.
    """
    began = perf_counter()
    as_json: bool = given["as_json"]
    switch = _switch(given)
    if lists:
        _show(switch.standing(), as_json)
        return
    scope, value = _meant(given)
    made = switch.stop(scope, value, given["reason"])
    in_force = perf_counter() - began
    if not as_json:
        _say_stopped(made, in_force)
    refusal = switch.refusal(made, wait)
    if as_json:
        rendering.print_json(_json(made, in_force, refusal))
    else:
        _say_refused(refusal, in_force, wait)


@click.command()
@click.argument("stop_id", metavar="[STOP]", required=False)
@_switch_options
def resume(stop_id: str | None, **given: Any) -> None:
    """Let go on what was stopped: one STOP by its id, or all stops of --agent, --tool, ...

    A call that is covered by another stop is still refused.
    """
    switch = _switch(given)
    if stop_id is not None:
        lifted = [switch.resume(stop_id, given["reason"])]
    else:
        scope, value = _meant(given)
        found = [each for each in switch.standing() if _is(each, scope, value)]
        if not found:
            raise InvalidRequest("Nothing like that is stopped; 'remit stop --list' shows what is.")
        lifted = [switch.resume(each.id, given["reason"]) for each in found]
    if given["as_json"]:
        rendering.print_json([msgspec.to_builtins(each) for each in lifted])
        return
    for each in lifted:
        rendering.line(
            rendering.text("resumed", "green"), f"  {_what(each)}", rendering.quiet(f"  {each.id}")
        )


def _switch(given: dict[str, Any]) -> Switch:
    """The switch that is meant.

    Raises:
        click.UsageError: it is not clear which.
    """
    if given["server"] is None:
        if given["key_file"] is not None:
            raise click.UsageError("--key-file goes with --server.")
        return FileSwitch(given["policy_path"], given["store_path"], given["person"])
    switch = ServerSwitch(given["server"], given["key_file"])
    click.get_current_context().call_on_close(switch.close)
    return switch


def _meant(given: dict[str, Any]) -> tuple[Scope, str]:
    """What is to be stopped or resumed.

    Raises:
        click.UsageError: nothing, or several things at once.
    """
    named: list[tuple[Scope, str]] = [
        (scope, given[scope]) for scope in _SCOPES if given[scope] is not None
    ]
    if given["everything"]:
        named.append(("all", ""))
    if len(named) != 1:
        raise click.UsageError("Give one of --agent, --session, --tool and --all.")
    return named[0]


def _is(stop: StopView, scope: Scope, value: str) -> bool:
    return stop.scope == scope and fold(stop.value) == fold(value)


def _what(stop: StopView) -> str:
    return "everything" if stop.scope == "all" else f"{stop.scope} {stop.value}"


def _show(standing: Sequence[StopView], as_json: bool) -> None:
    if as_json:
        rendering.print_json([msgspec.to_builtins(each) for each in standing])
    elif not standing:
        rendering.line("Nothing is stopped.")
    else:
        rendering.table(
            ["stop", "what", "by", "since", "reason"],
            [
                [each.id, _what(each), each.by, rendering.when(each.at), each.reason]
                for each in standing
            ],
        )


def _say_stopped(made: StopSet, in_force: float) -> None:
    rendering.line(
        rendering.text("stopped", "bold red"),
        f"  {_what(made.stop)}, in force after {in_force * 1000:.0f} ms",
        rendering.quiet(f"  {made.stop.id}"),
    )
    if made.closed:
        count = len(made.closed)
        calls = "1 held call was" if count == 1 else f"{count} held calls were"
        rendering.line(rendering.quiet(f"{calls} refused: {', '.join(made.closed)}"))


def _say_refused(refusal: FirstRefusal | None, in_force: float, wait: float) -> None:
    if refusal is None:
        if wait:
            rendering.line(rendering.quiet(f"No call came to be refused within {wait:g} s."))
        return
    # The stop was set before the command knew of it: the sum is never too short.
    after = refusal.after / 1e6
    total = in_force * 1000 + after
    rendering.line(
        f"First refusal {after:.0f} ms after that, {total:.0f} ms after the command: ",
        rendering.text(refusal.tool, "bold"),
        rendering.quiet(f"  session {refusal.session}, record {refusal.position}"),
    )


def _json(made: StopSet, in_force: float, refusal: FirstRefusal | None) -> dict[str, Any]:
    told = None if refusal is None else msgspec.to_builtins(refusal)
    if told is not None and refusal is not None:
        told["after_ms"] = round(refusal.after / 1e6, 3)
    return {
        **msgspec.to_builtins(made),
        "in_force_ms": round(in_force * 1000, 3),
        "first_refusal": told,
    }
