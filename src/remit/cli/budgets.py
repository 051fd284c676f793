"""``remit budgets``: what budgets have used and what is coming, changes, back-test, export."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from remit.backtests import Score, score
from remit.budgets.limits import UNITS, written
from remit.chargeback import Per, split_words
from remit.cli import rendering
from remit.cli.app import json_option
from remit.cli.desks import BudgetDesk, FileDesk, ServerDesk
from remit.cli.exporting import csv_text, write_parquet
from remit.cli.workspace import person_option, store_option
from remit.errors import InvalidRequest
from remit.outlook import BudgetView
from remit.policy.durations import nanoseconds

if TYPE_CHECKING:
    from rich.text import Text

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])

_BAR = 20
_DURATION = re.compile(r"[1-9][0-9]{0,8}(ms|s|m|h|d)")
_DAY = click.DateTime(["%Y-%m-%d"])
_BASIS = {
    "history": "held against the budget's own past",
    "thin": "little past: the interval is widened",
    "pace": "no past yet: the pace so far, with no upper end",
    "none": "nothing is known yet",
}


def _places(command: CommandFunction) -> CommandFunction:
    """Give a command the options that say whose budgets are meant."""
    options = (
        click.option("--server", metavar="URL", help="A server instead of the store's file."),
        click.option(
            "--key-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File with an API key of that server: admin, or auditor to look only.",
        ),
        store_option,
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _window_options(command: CommandFunction) -> CommandFunction:
    """Give a command the options that say which window of a budget is meant."""
    options = (
        click.argument("budget"),
        click.option("--scope", metavar="KIND=NAME", multiple=True, help="Such as team=warehouse."),
        click.option("--measure", help="Such as usd, where the budget limits several."),
        click.option("--reason", default="", help="Why, for the record."),
        person_option,
        _places,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@_places
@click.pass_context
def budgets(context: click.Context, /, **given: Any) -> None:
    """Show what budgets have used and what is coming; raise, reset, back-test, export.

    The forecast is the spend at the end of the period: what is as likely exceeded as not, and the
    range that it falls into four times in five.
    """
    if context.invoked_subcommand is None:
        found = _desk(given).standing()
        if given["as_json"]:
            rendering.print_json([msgspec.to_builtins(each) for each in found])
        else:
            _show_list(found)


@budgets.command()
@click.argument("budget")
@_places
def show(budget: str, **given: Any) -> None:
    """Show one budget with everything that is known of it."""
    found = _named(_desk(given), budget)
    if given["as_json"]:
        rendering.print_json([msgspec.to_builtins(each) for each in found])
        return
    for number, each in enumerate(found):
        if number:
            rendering.line("")
        _show_one(each)


@budgets.command("set")
@click.option("--limit", required=True, help="The limit until then, such as 80 (dollars).")
@click.option("--for", "lasts", required=True, metavar="TIME", help="Such as 90m, 12h, 3d.")
@_window_options
def set_(budget: str, limit: str, lasts: str, **given: Any) -> None:
    """Raise a limit for a time, on the record."""
    desk = _desk(given)
    view = _window(desk, budget, given)
    amount = _amount(view, limit)
    if not _DURATION.fullmatch(lasts):
        raise click.UsageError(f"--for {lasts}: write it such as 90m, 12h or 3d.")
    if amount <= view.stated:
        raise InvalidRequest(
            f"Policy states {_written(view, view.stated)}; a limit is only raised by hand. To "
            "lower it change the policy, or stop who spends: remit stop."
        )
    _say(desk.set_limit(view, amount, nanoseconds(lasts), given["reason"]), "raised", given)


@budgets.command()
@_window_options
def reset(budget: str, **given: Any) -> None:
    """Count what was spent as not spent, on the record. What is held stays held."""
    desk = _desk(given)
    _say(desk.reset(_window(desk, budget, given), given["reason"]), "reset", given)


@budgets.command()
@store_option
@json_option
def backtest(policy_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Forecast the periods that are over, and see how good that would have been.

    Each is forecast at a quarter, a half and three quarters of its course from what was known by
    then. Beside it stands the pace of the period alone.
    """
    desk = FileDesk(policy_path, store_path)
    click.get_current_context().call_on_close(desk.close)
    tested = desk.back_tested()
    found = [(series, score(trials)) for series, trials in tested]
    together = score([trial for _, trials in tested for trial in trials])
    if as_json:
        rendering.print_json(
            {
                "series": [{"series": name, **msgspec.to_builtins(each)} for name, each in found],
                "all": msgspec.to_builtins(together),
            }
        )
    elif not found:
        rendering.line("No period of a day or longer is over yet, so nothing can be held against.")
    else:
        rendering.table(
            ["budget", "forecasts", "median error", "pace alone", "80% interval holds"],
            [_score_row(name, each) for name, each in [*found, ("all", together)]],
        )


@budgets.command()
@click.option(
    "--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True
)
@click.option("--by", default="team,agent,model,tool", show_default=True, help="What to split by.")
@click.option(
    "--per", type=click.Choice(["day", "month"]), default="day", show_default=True, help="Of UTC."
)
@click.option("--since", type=_DAY, metavar="DAY", help="First day, such as 2026-05-01.")
@click.option("--until", type=_DAY, metavar="DAY", help="The day after the last one.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write to.")
@_places
def export(
    form: str,
    by: str,
    per: Per,
    since: datetime | None,
    until: datetime | None,
    output: Path | None,
    **given: Any,
) -> None:
    """Write who used how much, for finance: calls, dollars, tokens and time by team, agent ..."""
    try:
        split = split_words(by)
    except ValueError as problem:
        raise click.UsageError(f"--by: {problem}.") from None
    if form == "parquet" and output is None:
        raise click.UsageError("--format parquet needs --output FILE.")
    rows = _desk(given).usage(split, per, _utc(since), _utc(until))
    if form == "parquet" and output is not None:
        write_parquet(rows, split, output)
    elif not given["as_json"]:
        text = csv_text(rows, split)
        if output is None:
            sys.stdout.write(text)
        else:
            output.write_text(text, newline="")
    if given["as_json"]:
        rendering.print_json([msgspec.to_builtins(row) for row in rows])
    elif output is not None:
        rendering.line(f"{len(rows)} rows written to {output}")


def _desk(given: dict[str, Any]) -> BudgetDesk:
    """The budgets that are meant.

    Raises:
        click.UsageError: it is not clear whose.
    """
    desk: BudgetDesk
    if given["server"] is not None:
        desk = ServerDesk(given["server"], given["key_file"])
    elif given["key_file"] is not None:
        raise click.UsageError("--key-file goes with --server.")
    else:
        desk = FileDesk(given["policy_path"], given["store_path"], given.get("person", ""))
    click.get_current_context().call_on_close(desk.close)
    return desk


def _named(desk: BudgetDesk, budget: str) -> list[BudgetView]:
    found = desk.standing(budget)
    if not found:
        raise InvalidRequest(
            f"No budget {budget!r} is in use; 'remit budgets' lists those that are."
        )
    return found


def _window(desk: BudgetDesk, budget: str, given: dict[str, Any]) -> BudgetView:
    """The one window that is meant."""
    found = _named(desk, budget)
    for word in given["scope"]:
        kind, _, name = word.partition("=")
        found = [each for each in found if each.scope.get(kind) == name]
    if given["measure"] is not None:
        found = [each for each in found if each.measure == given["measure"]]
    if len(found) == 1:
        return found[0]
    known = "; ".join(f"{each.measure} of {_scope(each)}" for each in _named(desk, budget)[:10])
    raise InvalidRequest(
        f"{len(found) or 'None'} of the windows of {budget} fit; say which with --scope and "
        f"--measure: {known}."
    )


def _amount(view: BudgetView, limit: str) -> int:
    """A limit as people write it, in the ledger's integers."""
    try:
        amount = Decimal(limit) * UNITS[view.measure]
        if amount == amount.to_integral_value() and 0 < amount < 2**53:
            return int(amount)
    except InvalidOperation:
        pass
    raise click.UsageError(f"--limit {limit}: write a number of {view.measure}, such as 80.")


def _utc(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


def _say(view: BudgetView, done: str, given: dict[str, Any]) -> None:
    if given["as_json"]:
        rendering.print_json(msgspec.to_builtins(view))
        return
    parts = [f"  {view.budget} of {_scope(view)}: {_written(view, view.limit)}"]
    if view.changed_until is not None:
        parts.append(f" until {rendering.when(view.changed_until)}")
    rendering.line(rendering.text(done, "green"), *parts)


def _show_list(found: Sequence[BudgetView]) -> None:
    if not found:
        rendering.line("No budget is in use.")
        return
    rendering.table(
        ["budget", "of", "used", "", "limit", "held", "at its end", "range", "runs out"],
        [
            [
                rendering.text(each.budget, "bold"),
                _scope(each),
                _bar(each),
                _share(each),
                _written(each, each.limit),
                _written(each, each.held) if each.held else "",
                _expected(each),
                _range(each),
                _runs_out(each),
            ]
            for each in found
        ],
    )


def _show_one(view: BudgetView) -> None:
    raised = "" if view.changed_until is None else f", until {rendering.when(view.changed_until)}"
    forecast = view.forecast
    rendering.facts(
        [
            ("budget", rendering.text(view.budget, "bold")),
            ("of", _scope(view)),
            ("per", view.per),
            ("used", _bar(view).append_text(rendering.text(f"  {_share(view)}"))),
            ("limit", f"{_written(view, view.limit)}{raised}"),
            *([("policy says", _written(view, view.stated))] if raised else []),
            ("spent", _written(view, view.spent)),
            ("held", _written(view, view.held)),
            ("left", "nothing: blocked" if view.blocked else _written(view, view.remaining)),
            ("ends", "" if view.ends is None else rendering.when(view.ends)),
            ("at its end", _expected(view)),
            ("range", _range(view)),
            ("runs out", _runs_out(view)),
            ("forecast", f"{_BASIS[forecast.basis]} ({forecast.windows} windows)"),
        ]
    )


def _scope(view: BudgetView) -> str:
    return ", ".join(f"{kind} {name or '-'}" for kind, name in view.scope.items())


def _written(view: BudgetView, amount: int) -> str:
    if view.measure != "usd":
        return written(view.measure, amount)
    return f"{Decimal(amount) / UNITS['usd']:,.2f} USD"


def _share(view: BudgetView) -> str:
    return f"{100 * (view.spent + view.held) // view.limit}%" if view.limit else "-"


def _bar(view: BudgetView) -> Text:
    """What is spent and held of the limit."""
    spent = min(_BAR, _BAR * view.spent // view.limit) if view.limit else _BAR
    held = min(_BAR - spent, -(-_BAR * view.held // view.limit) if view.limit else 0)
    style = (
        "red" if view.blocked or spent >= _BAR else "yellow" if spent * 5 >= _BAR * 4 else "green"
    )
    bar = rendering.text("█" * spent, style).append_text(rendering.text("▒" * held, "blue"))
    return bar.append_text(rendering.quiet("·" * (_BAR - spent - held)))


def _expected(view: BudgetView) -> str:
    end = view.forecast.spent.p50
    return "not known" if end is None else _written(view, end)


def _range(view: BudgetView) -> str:
    low, high = view.forecast.spent.p10, view.forecast.spent.p90
    if low is None or high is None:
        return "" if low is None else f"{_written(view, low)} or more"
    return f"{_written(view, low)} to {_written(view, high)}"


def _runs_out(view: BudgetView) -> str:
    """When the limit is reached: half of the time by then, and the early end of the range."""
    likely, early = view.forecast.exhausted.p50, view.forecast.exhausted.p10
    if likely is not None and likely <= time.time_ns():
        return "now"
    if likely is not None:
        return rendering.when(likely)[:16]
    return "" if early is None else f"perhaps {rendering.when(early)[:16]}"


def _score_row(name: str, found: Score) -> list[str]:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    return [
        name,
        str(found.trials),
        share(found.error),
        share(found.naive_error),
        f"{share(found.covered)} of {found.intervals}",
    ]
