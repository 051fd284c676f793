"""``remit check`` and ``remit schema``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from remit.cli import rendering
from remit.cli.app import Exit, json_option
from remit.cli.workspace import POLICY, documents
from remit.errors import PolicyError
from remit.model import Fault
from remit.policy import PolicySet, load


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@json_option
def check(paths: tuple[Path, ...], as_json: bool) -> int:
    """Check policy documents and show every fault.

    All PATHS together (files, or directories of YAML files) make up one policy; without any it is
    remit.yaml. Warnings do not fail the check.
    """
    texts, places = documents(paths or (POLICY,))
    try:
        policies = load(texts)
    except PolicyError as refused:
        _show_faults(_placed(refused.faults, places), as_json)
        return Exit.FINDINGS
    warnings = _placed(policies.warnings, places)
    if as_json:
        rendering.print_json(
            {
                "ok": True,
                "revision": policies.revision,
                "mode": policies.mode.value,
                "faults": [],
                "warnings": [rendering.fault_json(each) for each in warnings],
            }
        )
    else:
        for each in warnings:
            rendering.line(rendering.fault_text(each, "warning"))
        _show_policy(policies, places.values())
    return Exit.OK


def _placed(faults: Sequence[Fault], places: Mapping[str, str]) -> list[Fault]:
    """The faults under the paths that the reader of the message gave."""
    return [
        replace(each, at=replace(each.at, file=places.get(each.at.file, each.at.file)))
        for each in faults
    ]


def _show_faults(faults: Sequence[Fault], as_json: bool) -> None:
    if as_json:
        faulty = [rendering.fault_json(each) for each in faults]
        rendering.print_json({"ok": False, "faults": faulty, "warnings": []})
        return
    for each in faults:
        rendering.line(rendering.fault_text(each))
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    rendering.line(rendering.text(count, "bold red"), "; this policy would not be loaded.")


def _show_policy(policies: PolicySet, places: Iterable[str]) -> None:
    shown = f"  {', '.join(places)}  mode {policies.mode.value}"
    rendering.line(rendering.text("ok", "green"), shown)
    rendering.line(rendering.quiet(f"revision {policies.revision}"))


@click.command()
@json_option
def schema(as_json: bool) -> None:
    """Print the JSON Schema of policy documents, for editors.

    For completion and red lines while you type, save it as remit.schema.json and make this the
    first line of remit.yaml: "# yaml-language-server: $schema=remit.schema.json".
    """
    from remit.policy.schema import document_schema

    rendering.print_json(document_schema())
