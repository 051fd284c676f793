"""``remit classify``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click
import msgspec

from remit.classify.classes import Proposal, propose, shape_of
from remit.classify.writing import written
from remit.cli import rendering
from remit.cli.app import Exit, json_option

_RULES = "packs/asked-for.yaml"


@click.command()
@click.option(
    "--tools",
    "listed",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON list of {name, description, input_schema, annotations}, as MCP's tools/list gives.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it.")
@click.option("--agent", default="agent", show_default=True, help="Id of the agent it is for.")
@click.option("--no-rules", is_flag=True, help="Leave out the rules of the pack asked-for.")
@json_option
def classify(listed: Path, output: Path | None, agent: str, no_rules: bool, as_json: bool) -> int:
    """Propose a policy from a list of tools: what each does, its sources, sinks and controls.

    Deterministic: the same list gives the same proposal, with the reason for each line. A person
    reviews it. What is not understood gets the worst class and the mark REVIEW. Exits 1 when
    something is so marked.
    """
    proposals = _proposals(listed)
    unsure = any(each.unsure for each in proposals)
    text = written(proposals, "" if no_rules else _rules(), agent)
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


def _proposals(listed: Path) -> list[Proposal]:
    try:
        found = msgspec.json.decode(listed.read_bytes())
        tools = found["tools"] if isinstance(found, dict) and "tools" in found else found
        return [propose(shape_of(each)) for each in tools]
    except (msgspec.DecodeError, ValueError, TypeError, AttributeError) as problem:
        raise click.UsageError(
            f"{listed} is no list of tools: {problem}. Give a JSON list of objects with name, "
            "description and input_schema."
        ) from None


def _rules() -> str:
    """The rules of the pack, without its head."""
    pack = resources.files("remit").joinpath(_RULES).read_text(encoding="utf-8")
    return "\n" + pack[pack.index("rules:\n") :]
