"""``remit hook``: for hosts, not for people. Without ``--help`` it never comes here."""

from __future__ import annotations

import click

from remit.cli.app import json_option
from remit.hooks.answers import EVENTS


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("host", type=click.Choice(list(EVENTS)))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@json_option
def hook(host: str, options: tuple[str, ...], as_json: bool) -> int:
    """Answer one question of a coding agent's host, on standard input and output.

    remit hooks install writes this command into the host's configuration. It prints JSON whatever
    happens, --json or not, and a refusal when anything is wrong.
    """
    from remit.hooks.thin import main

    return main([host, *options])
