"""Carrying out what an allow depends on: rewrite, cap, redact, label.

An obligation that cannot be carried out exactly (unknown kind, a target that is not there, a value
of the wrong type) raises ``ObligationError``, and what it was a condition of is refused. Nothing is
changed in place: a changed value shares what did not change with the original.

A target is a path: ``args`` or ``result``, then names, list indexes, or ``*`` for every element,
separated by dots, such as ``result.rows.*.email``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from remit.errors import ObligationError
from remit.model import Obligation

MARK = "[redacted]"
"""What stands in place of a redacted value."""

_CHANGES = ("rewrite", "cap", "redact")

Change = Callable[[Any], Any]


def apply(arguments: Mapping[str, Any], obligations: Iterable[Obligation]) -> Mapping[str, Any]:
    """The arguments to call the tool with. The same object when no obligation concerns them.

    Raises:
        ObligationError: one of the obligations cannot be carried out.
    """
    changed: Mapping[str, Any] = arguments
    for obligation in obligations:
        if obligation.target == "args":
            raise ObligationError(_problem(obligation, "it must name an argument: args.NAME"))
        changed = _carry_out(changed, obligation, "args")
    return changed


def redact(result: Any, obligations: Iterable[Obligation]) -> Any:
    """The result as it may be shown. The same object when no obligation concerns it.

    Raises:
        ObligationError: one of the obligations cannot be carried out.
    """
    for obligation in obligations:
        result = _carry_out(result, obligation, "result")
    return result


def labels(obligations: Iterable[Obligation]) -> tuple[str, ...]:
    """The labels that the obligations put on the session.

    Raises:
        ObligationError: a label is not a text.
    """
    found = []
    for obligation in obligations:
        if obligation.kind == "label":
            if not isinstance(obligation.value, str) or not obligation.value:
                raise ObligationError(_problem(obligation, "a label is a text"))
            found.append(obligation.value)
    return tuple(found)


def of_result(obligations: Iterable[Obligation]) -> tuple[Obligation, ...]:
    """Those whose target is in the result, so that they wait for it."""
    return tuple(each for each in obligations if _root(each) == "result")


def _root(obligation: Obligation) -> str:
    return obligation.target.partition(".")[0]


def _carry_out(value: Any, obligation: Obligation, root: str) -> Any:
    """``value`` after one obligation; unchanged when that concerns the other root or is a label."""
    if obligation.kind == "label":
        return value
    if obligation.kind not in _CHANGES:
        raise ObligationError(_problem(obligation, "nobody here knows how to carry it out"))
    place, *steps = obligation.target.split(".")
    if place not in ("args", "result"):
        raise ObligationError(_problem(obligation, "its target must start with args or result"))
    if place != root:
        return value
    return _change_at(value, steps, _change(obligation), obligation)


def _change(obligation: Obligation) -> Change:
    """What happens to the value at the target."""
    if obligation.kind == "cap":
        return lambda value: _capped(value, obligation)
    if obligation.kind == "redact":
        return lambda _: MARK
    return lambda value: _rewritten(value, obligation)


def _rewritten(value: Any, obligation: Obligation) -> Any:
    """The new value, of the same JSON type as the old one unless that is null."""
    if value is not None and _type(value) is not _type(obligation.value):
        raise ObligationError(_problem(obligation, "the new value is of another type"))
    return obligation.value


def _type(value: Any) -> type:
    """The JSON type of a value: integers and floats are one type, lists and tuples are."""
    for kind, types in _TYPES.items():
        if isinstance(value, types):
            return kind
    return type(value)


_TYPES: Mapping[type, tuple[type, ...]] = {
    bool: (bool,),
    float: (int, float),
    list: (list, tuple),
    dict: (Mapping,),
}


def _capped(value: Any, obligation: Obligation) -> Any:
    """The lesser number. An integer stays one: a cap of 9.5 makes it 9."""
    most = obligation.value
    if _type(value) is not float or _type(most) is not float:
        raise ObligationError(_problem(obligation, "only a number can be capped"))
    if value <= most:
        return value
    return math.floor(most) if isinstance(value, int) else most


def _change_at(value: Any, steps: Sequence[str], change: Change, obligation: Obligation) -> Any:
    if not steps:
        return change(value)
    step, rest = steps[0], steps[1:]
    if step == "*":
        return _change_all(value, rest, change, obligation)
    if isinstance(value, Mapping):
        if step not in value:
            raise _AbsentError(_problem(obligation, f"there is no {step!r} at that place"))
        return {**value, step: _change_at(value[step], rest, change, obligation)}
    if isinstance(value, list | tuple) and step.isascii() and step.isdigit():
        index = int(step)
        if index < len(value):
            inner = _change_at(value[index], rest, change, obligation)
            return [*value[:index], inner, *value[index + 1 :]]
    raise ObligationError(_problem(obligation, f"there is no {step!r} at that place"))


def _change_all(value: Any, rest: Sequence[str], change: Change, obligation: Obligation) -> Any:
    """Every element changed. Having no elements is fine: there is nothing left to change.

    Redacting passes over objects that lack the name, as long as another one has it: rows may have
    optional fields. Where none has it, the target is misspelt or the result has changed its shape.
    """
    if isinstance(value, Mapping):
        named = _change_all(list(value.values()), rest, change, obligation)
        return dict(zip(value, named, strict=True))
    if not isinstance(value, list | tuple):
        problem = "'*' stands for the elements of a list or object"
        raise ObligationError(_problem(obligation, problem))
    changed: list[Any] = []
    absent: _AbsentError | None = None
    missing = 0
    for each in value:
        try:
            changed.append(_change_at(each, rest, change, obligation))
        except _AbsentError as error:
            changed.append(each)
            absent = error
            missing += 1
    if absent is not None and (obligation.kind != "redact" or missing == len(value)):
        raise absent
    return changed


class _AbsentError(ObligationError):
    """An object lacks the name that the target gives."""


def _problem(obligation: Obligation, what: str) -> str:
    rule = f" of rule {obligation.rule}" if obligation.rule else ""
    target = f" {obligation.target}" if obligation.target else ""
    return f"obligation {obligation.kind}{target}{rule} cannot be carried out: {what}"
