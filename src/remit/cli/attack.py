"""``remit attack``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from remit.cli import rendering
from remit.cli.app import Exit, json_option
from remit.cli.calling import ServerCaller, key_file_option
from remit.cli.workspace import load_policy, policy_option

if TYPE_CHECKING:
    from remit.attack import Report, TriedSequence


@click.command()
@click.option("--server", metavar="URL", help="A running server: the policy that it has in force.")
@key_file_option
@click.option("--agent", "agents", metavar="NAME", multiple=True, help="As whom.  [default: all]")
@policy_option
@json_option
def attack(
    server: str | None,
    key_file: Path | None,
    agents: tuple[str, ...],
    policy_path: Path,
    as_json: bool,
) -> int:
    """Try what a hijacked agent would, and show what would get through.

    Every source of data through every tool that acts, every control argument replaced by an
    attacker's, every destructive tool, under the policy in force. The calls are only rehearsed:
    nothing runs and nothing is recorded. Exits 1 when something would get through, 3 when the
    server does not answer.
    """
    report = _report(server, key_file, agents, policy_path)
    if as_json:
        shown = msgspec.to_builtins(report)
        rendering.print_json(
            {
                **shown,
                "through": [msgspec.to_builtins(each) for each in report.through],
                "suggestions": list(report.suggestions),
            }
        )
    else:
        _show(report)
    return Exit.FINDINGS if report.through else Exit.OK


def _report(
    server: str | None, key_file: Path | None, agents: tuple[str, ...], policy_path: Path
) -> Report:
    from remit.attack import Report
    from remit.attack import attack as rehearse

    if server is None:
        policies = load_policy(policy_path)
        for agent in agents:
            if agent not in policies.agents:
                raise click.BadParameter(f"{agent} is not declared", param_hint="--agent")
        return rehearse(policies, agents)
    caller = ServerCaller(server, key_file)
    try:
        return caller.ask("POST", "/v1/attack", Report, {"agents": agents}, patience=60.0)
    finally:
        caller.close()


def _show(report: Report) -> None:
    for agent in report.agents:
        attempts = [each for each in report.attempts if each.agent == agent]
        rendering.line(rendering.text(agent, "bold"))
        if not attempts:
            rendering.line("  Nothing to try: it may use no tool that reads and none that acts.")
            continue
        rendering.table(("what", "from", "through", "", "stopped by"), _rows(attempts))
        rendering.line()
    through = len(report.through)
    tried = f"{len(report.attempts)} sequences over {report.tools} declared tools"
    if not through:
        rendering.line(rendering.styled("Nothing would get through", "allow"), f" of {tried}.")
        return
    rendering.line(rendering.styled(f"{through} would get through", "deny"), f" of {tried}.")
    rendering.line("A rule for each tool that let something through:")
    rendering.line()
    for suggestion in report.suggestions:
        rendering.line(suggestion)


def _rows(attempts: list[TriedSequence]) -> Iterator[tuple[object, ...]]:
    for each in attempts:
        verdict: object = rendering.word(each.verdict)
        if each.through:
            verdict = rendering.styled("THROUGH", "deny")
        rule = each.rule
        if each.blocked_earlier:
            verdict, rule = rendering.word("deny"), "its source cannot be read"
        elif each.unclear:
            rule = f"{rule} (unclear: the made-up call cannot be read; declare its arguments)"
        yield each.kind, each.source or each.injected_by, each.sink, verdict, rule
