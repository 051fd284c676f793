"""``remit init``."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import click

from remit.cli import packs, rendering
from remit.cli.app import json_option
from remit.errors import ConfigError

STARTERS = packs.PACKS
_EXAMPLE_PERSON = re.compile(r"\bada\b")
_PLAIN_NAME = re.compile(r"(?!(?:yes|no|on|off|true|false|null|y|n)$)[a-z][a-z0-9_-]*")
"""A name that needs no quotes in YAML, whichever reader it is."""


def starter(name: str, person: str) -> str:
    """The text of a starter policy: a pack, and an example of what is declared beside it.

    Args:
        name: of the pack.
        person: in place of its example person.
    """
    return _EXAMPLE_PERSON.sub(person, packs.starter(name))


@click.command()
@click.option(
    "--starter",
    "name",
    type=click.Choice(STARTERS),
    default="coding-agent",
    show_default=True,
    help="Which policy to start from.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("remit.yaml"),
    show_default=True,
    help="File to write.",
)
@click.option(
    "--person", metavar="NAME", help="You, as policy will know you.  [default: the OS user]"
)
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@json_option
def init(name: str, output: Path, person: str | None, force: bool, as_json: bool) -> None:
    """Write a commented remit.yaml to start from."""
    text = starter(name, _person(person))
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{output} is there already; --force overwrites it.") from None
    if as_json:
        rendering.print_json({"wrote": str(output), "starter": name})
        return
    rendering.line("Wrote ", rendering.text(output, "bold"), f" (starter {name}).")
    rendering.line("Read it, change it, then: ", rendering.text(f"remit check {output}", "bold"))


def _person(given: str | None) -> str:
    """The name for ``people:``; an OS user name that YAML would not read plainly is left out."""
    if given is not None:
        if _PLAIN_NAME.fullmatch(given) is None:
            raise click.BadParameter(
                "use lower-case letters, digits, - and _, starting with a letter; no YAML word",
                param_hint="--person",
            )
        return given
    user = os_user()
    return user if _PLAIN_NAME.fullmatch(user) else "ada"


def os_user() -> str:
    """Name of the operating system's user, or an empty string where there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
