"""``remit adapters``: which agent frameworks can be put under Remit, and what holds in each."""

from __future__ import annotations

import click
from msgspec import to_builtins

from remit.adapters.declared import ADAPTERS
from remit.adapters.telling import facts, table
from remit.cli import rendering
from remit.cli.app import json_option
from remit.errors import ConfigError


@click.command("adapters")
@click.argument("name", required=False)
@json_option
def adapters(name: str | None, as_json: bool) -> None:
    """Show the agent frameworks that Remit governs, and what each can do: all of them, or NAME."""
    chosen = [each for each in ADAPTERS if name in (None, each.name)]
    if not chosen:
        known = ", ".join(each.name for each in ADAPTERS)
        raise ConfigError(f"there is no adapter {name!r}; there are {known}")
    if as_json:
        rendering.print_json({"adapters": to_builtins(chosen)})
    elif name is None:
        rendering.table(*table(chosen))
        rendering.line("remit adapters NAME shows all of one; docs/adapters has a page for each.")
    else:
        told = [(what, how.replace("`", "")) for what, how in facts(chosen[0])]
        rendering.facts([("framework", chosen[0].title), *told])
