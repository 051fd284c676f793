"""Whether a recorded history could have come from one thing that does one step at a time.

The search of Wing and Gong with the memory of Lowe: try every operation that may be next, remember
which sets of operations led to which state, and go back where it does not fit. An operation that
nobody heard of again may have happened at any time later, or never.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple


class Operation(NamedTuple):
    """One call as whoever made it saw it."""

    asked: float
    answered: float
    """``math.inf`` when no answer came."""
    what: str
    result: Any


Step = Callable[[Any, Operation], Any]
"""The state after an operation, or None where it cannot have given that result in this state."""


def linearizable(history: Sequence[Operation], state: Hashable, step: Step) -> bool:
    """Whether some order of the operations, none before it was asked, gives all results."""
    operations = sorted(history)
    needed = sum(1 << n for n, each in enumerate(operations) if each.answered < math.inf)
    seen: set[tuple[int, Any]] = set()
    stack = [(0, state)]
    while stack:
        done, now = stack.pop()
        if done & needed == needed:
            return True
        if (done, now) in seen:
            continue
        seen.add((done, now))
        left = [n for n in range(len(operations)) if not done >> n & 1]
        first = min(operations[n].answered for n in left)
        for n in left:
            if operations[n].asked > first:
                break  # whatever was answered before this was asked comes first
            after = step(now, operations[n])
            if after is not None:
                stack.append((done | 1 << n, after))
    return False


def budget(limit: int) -> Step:
    """A budget of ``limit`` calls: ``take`` gives whether the call was granted."""

    def step(used: int, operation: Operation) -> int | None:
        if operation.result is None:  # nobody heard: it may have been granted
            return used + 1 if used < limit else used
        if operation.result:
            return used + 1 if used < limit else None
        return used if used == limit else None

    return step


def approval(state: str, operation: Operation) -> str | None:
    """An approval: ``approve`` and ``use`` give whether they did it."""
    before, after = {"approve": ("pending", "approved"), "use": ("approved", "used")}[
        operation.what
    ]
    if operation.result:
        return after if state == before else None
    return None if state == before else state
