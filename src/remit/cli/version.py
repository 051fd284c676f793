"""``remit version``."""

from __future__ import annotations

import platform

import click

import remit
from remit.cli.app import json_option


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        click.echo(f'{{"remit": "{remit.__version__}", "python": "{platform.python_version()}"}}')
    else:
        click.echo(f"remit {remit.__version__}")
