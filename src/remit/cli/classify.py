"""``remit classify``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from remit.classify.classes import Proposal, propose, shape_of
from remit.classify.writing import written
from remit.cli import packs, rendering
from remit.cli.app import Exit, json_option
from remit.cli.mcp import configured
from remit.cli.mcp_servers import ask
from remit.errors import ConfigError

_TIME = 20.0
"""Seconds that a server has to list its tools."""


@click.command()
@click.option(
    "--tools",
    "listed",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON list of {name, description, input_schema, annotations}, as MCP's tools/list gives.",
)
@click.option(
    "--mcp",
    "server",
    metavar="NAME",
    help="Ask this MCP server: of remit.toml, of a client, or COMMAND.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it.")
@click.option("--agent", default="agent", show_default=True, help="Id of the agent it is for.")
@click.option(
    "--pack",
    type=click.Choice(packs.PACKS),
    default="asked-for",
    show_default=True,
    help="The rules that are written under the tools.",
)
@click.option("--no-rules", is_flag=True, help="Leave out the rules.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@json_option
def classify(
    listed: Path | None,
    server: str | None,
    output: Path | None,
    agent: str,
    pack: str,
    no_rules: bool,
    command: tuple[str, ...],
    as_json: bool,
) -> int:
    """Propose a policy from a list of tools: what each does, its sources, sinks and controls.

    The list is a file, or what an MCP server answers: it is started, asked for its tools, ended,
    and nothing of it is called. Deterministic: the same list gives the same proposal, with the
    reason for each line. A person reviews it. What is not understood gets the worst class and the
    mark REVIEW. Exits 1 when something is so marked.
    """
    if (listed is None) == (server is None) or (command and server is None):
        raise click.UsageError(
            "Say where the tools are: --tools FILE, --mcp NAME, or --mcp NAME -- COMMAND"
        )
    proposals = _of_file(listed) if listed is not None else _of_server(str(server), command)
    unsure = any(each.unsure for each in proposals)
    text = written(proposals, "" if no_rules else packs.rules(pack), agent)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if as_json:
        rendering.print_json([msgspec.to_builtins(each) for each in proposals])
    elif output is None:
        click.echo(text, nl=False)
    else:
        marked = sum(each.unsure for each in proposals)
        rendering.line(f"{output}: {len(proposals)} tools, {marked} marked REVIEW")
    return Exit.FINDINGS if unsure else Exit.OK


def _of_file(listed: Path) -> list[Proposal]:
    try:
        found = msgspec.json.decode(listed.read_bytes())
        return _proposals(found["tools"] if isinstance(found, dict) and "tools" in found else found)
    except (msgspec.DecodeError, ValueError, TypeError, AttributeError) as problem:
        raise click.UsageError(
            f"{listed} is no list of tools: {problem}. Give a JSON list of objects with name, "
            "description and input_schema."
        ) from None


def _of_server(name: str, command: Sequence[str]) -> list[Proposal]:
    """What an MCP server lists, under the names that its tools have in policy.

    Raises:
        ConfigError: it cannot be asked.
    """
    answer = asyncio.run(ask(configured(name, command), _TIME))
    if answer.failure is not None:
        raise ConfigError(f"{name} could not be asked for its tools: {answer.failure}")
    try:
        found = _proposals(answer.tools)
    except (ValueError, AttributeError) as problem:
        raise ConfigError(f"{name}: its list of tools is none: {problem}") from None
    for each in found:
        each.name = f"{name}.{each.name}"
    return found


def _proposals(listed: Iterable[Any]) -> list[Proposal]:
    return [propose(shape_of(each)) for each in listed]
