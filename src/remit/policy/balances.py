"""What is left of budgets, as conditions may ask: ``budget.remaining("id")``.

Which budgets a condition asks for is known at load, so that a decision looks up only those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from remit.budgets.limits import MEASURES
from remit.policy.reading import ReadDocument
from remit.policy.rules import Condition
from remit.policy.syntax import Constant, MethodCall, Variable, walk

Measured: TypeAlias = Mapping[str, tuple[str, ...]]
"""What each budget counts, by its id."""


def measured(documents: Iterable[ReadDocument]) -> Measured:
    """What the budgets of all documents count."""
    found = {}
    for read in documents:
        for entry in read.document.budgets:
            counts = tuple(each for each in MEASURES if getattr(entry.limit, each) is not None)
            found[entry.id] = counts
    return MappingProxyType(found)


def asked(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """Ids of the budgets that conditions ask for."""
    found = []
    for condition in conditions:
        if "budget" not in condition.mentions.variables:
            continue
        for part in walk(condition.node):
            match part:
                case MethodCall(target=Variable(name="budget"), arguments=[Constant() as name, *_]):
                    found.append(str(name.value))
    return tuple(dict.fromkeys(found))
