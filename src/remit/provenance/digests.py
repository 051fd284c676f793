"""Sets of digests as bytes: stored as they are, looked up without being unpacked."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from typing import TypeAlias

from remit.provenance.forms import DIGEST

Runs: TypeAlias = tuple[bytes, ...]
"""Digests laid end to end, sorted as little-endian numbers, in a few runs: larger ones first."""


SEARCH = 16
"""Numbers that are looked at in the time of one search."""


def holds(runs: Runs, wanted: bytes) -> bool:
    """Whether a digest is in the set: a binary search in each run."""
    number = as_number(wanted)
    return any(_holds(_numbers(run), number) for run in runs)


def as_number(one: bytes) -> int:
    """A digest as the number that sets of digests hold."""
    return int.from_bytes(one, "little")


def _holds(numbers: Sequence[int], number: int) -> bool:
    place = bisect_left(numbers, number)
    return place < len(numbers) and numbers[place] == number


def meets(runs: Runs, wanted: Set[int]) -> bool:
    """Whether one of some digests, as numbers, is in the set."""
    for run in runs:
        numbers = _numbers(run)
        # Looking at every number of a run once is quicker than many searches in it.
        if len(wanted) * SEARCH > len(numbers):
            if not wanted.isdisjoint(numbers):
                return True
        elif any(_holds(numbers, number) for number in wanted):
            return True
    return False


def add(runs: Runs, digests: Set[int], most: int) -> tuple[Runs, bool]:
    """The set with more digests, and whether something had to be forgotten for them.

    What is forgotten are the largest runs, which are the oldest. A set holds ``most`` at most.
    """
    if not digests:
        return runs, False
    kept = [*runs, _run(digests)]
    while len(kept) > 1 and len(kept[-2]) < 2 * len(kept[-1]):
        last, other = kept.pop(), kept.pop()
        # Two sorted runs: sorting sees that, and merges them.
        kept.append(_run(dict.fromkeys([*_numbers(other), *_numbers(last)])))
    forgot = False
    while len(kept) > 1 and count(tuple(kept)) > most:
        kept.pop(0)
        forgot = True
    if count(tuple(kept)) > most:
        kept[0] = kept[0][: most * DIGEST]
        forgot = True
    return tuple(kept), forgot


def split(runs: Runs) -> set[int]:
    """The digests of a set, as numbers."""
    return {number for run in runs for number in _numbers(run)}


def count(runs: Runs) -> int:
    """How many digests there are."""
    return sum(map(len, runs)) // DIGEST


def _run(numbers: Iterable[int]) -> bytes:
    laid = array("Q", sorted(numbers))
    if sys.byteorder != "little":  # pragma: no cover (runs are little-endian everywhere)
        laid.byteswap()
    return laid.tobytes()


def _numbers(run: bytes) -> Sequence[int]:
    if sys.byteorder != "little":  # pragma: no cover (runs are little-endian everywhere)
        laid = array("Q", run)
        laid.byteswap()
        return laid
    return memoryview(run).cast("Q")
