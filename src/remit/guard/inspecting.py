"""Looking into a call and into its result, as policy wants it of the tool. Failing is a finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from remit.guard.needs import ToolNeed
from remit.inspection.inspector import TextInspector
from remit.inspection.signs import NOT_INSPECTED
from remit.model import Finding, Outcome


def seen_in_call(need: ToolNeed, arguments: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What is found in the arguments of a call. Decoded and put together, however long."""
    return _seen(need.arguments, arguments, "args", deep=True)


def inspected(need: ToolNeed, outcome: Outcome) -> Outcome:
    """The outcome with what is found in its result, or in the error in place of one."""
    if need.results is None:
        return outcome
    said = outcome.error if outcome.result is None else outcome.result
    found = _seen(need.results, said, "result", deep=False)
    return replace(outcome, findings=(*outcome.findings, *found)) if found else outcome


def _seen(
    inspector: TextInspector | None, value: Any, where: str, *, deep: bool
) -> tuple[Finding, ...]:
    if inspector is None:
        return ()
    try:
        return inspector.look(value, where, deep=deep)
    except Exception as error:  # noqa: BLE001 - whatever fails, what nobody looked into is refused
        message = type(error).__name__
        return (Finding(kind=NOT_INSPECTED, where=where, message=message),)
