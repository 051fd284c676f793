"""``remit legacy``: what an OpenAPI document says, as policy has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from remit.cli.app import Exit, json_option
from remit.cli.rendering import print_json
from remit.errors import ConfigError
from remit.gateway.legacy_documents import document_at
from remit.protocols.openapi import ApiOperation

_TYPES = {
    "string": "string",
    "integer": "int",
    "number": "number",
    "boolean": "bool",
    "array": "list",
    "object": "object",
}


@click.group()
def legacy() -> None:
    """HTTP APIs that know nothing of agents."""


@legacy.command()
@click.argument("document", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", required=True, help="The API's name in remit.toml.")
@json_option
def tools(document: Path, name: str, as_json: bool) -> int:
    """Print the operations of an OpenAPI DOCUMENT as `tools:` of a policy.

    What each does is taken from `x-remit-does` or, without it, from its method: look at every line,
    a GET may change things too.
    """
    try:
        found = document_at(document, name).operations
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    if as_json:
        print_json([_entry(each) for each in found])
        return Exit.OK
    click.echo("tools:")
    for each in found:
        entry = _entry(each)
        click.echo(f"  - match: [{entry['match']}]  # {each.method} {each.template}")
        click.echo(f"    does: {entry['does']}")
        if entry["arguments"]:
            written = ", ".join(
                f"{_key(argument)}: {kind}" for argument, kind in entry["arguments"].items()
            )
            click.echo(f"    arguments: {{{written}}}")
    return Exit.OK


def _entry(operation: ApiOperation) -> dict[str, Any]:
    """A tool; without arguments where one of them may be of several types."""
    required = set(operation.schema["required"])
    arguments: dict[str, str] = {}
    for name, shape in operation.schema["properties"].items():
        kind = _type(shape)
        if kind is None:
            arguments.clear()
            break
        arguments[name] = kind if name in required else f"{kind}?"
    return {"match": operation.name, "does": operation.does.value, "arguments": arguments}


def _type(shape: Any) -> str | None:
    if not isinstance(shape, Mapping):
        return None
    choices = shape.get("enum")
    if isinstance(choices, list) and choices and all(isinstance(each, str) for each in choices):
        return "string"
    kind = shape.get("type")
    return _TYPES.get(kind) if isinstance(kind, str) else None


def _key(name: str) -> str:
    """A name as YAML has it within braces."""
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain and not name[0].isdigit() else json.dumps(name)
