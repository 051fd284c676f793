"""Sets of digests as bytes: stored as they are, looked up without being unpacked."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from remit.provenance.forms import DIGEST

Runs: TypeAlias = tuple[bytes, ...]
"""Digests laid end to end, sorted as little-endian numbers, in a few runs: larger ones first."""


def holds(runs: Runs, wanted: bytes) -> bool:
    """Whether a digest is in the set: a binary search in each run."""
    number = int.from_bytes(wanted, "little")
    for run in runs:
        numbers = _numbers(run)
        place = bisect_left(numbers, number)
        if place < len(numbers) and numbers[place] == number:
            return True
    return False


def add(runs: Runs, digests: Iterable[bytes], most: int) -> tuple[Runs, bool]:
    """The set with more digests, and whether something had to be forgotten for them.

    What is forgotten are the largest runs, which are the oldest. A set holds ``most`` at most.
    """
    new = {int.from_bytes(each, "little") for each in digests}
    if not new:
        return runs, False
    kept = [*runs, _run(new)]
    while len(kept) > 1 and len(kept[-2]) < 2 * len(kept[-1]):
        last, other = kept.pop(), kept.pop()
        kept.append(_run({*_numbers(last), *_numbers(other)}))
    forgot = False
    while len(kept) > 1 and count(tuple(kept)) > most:
        kept.pop(0)
        forgot = True
    if count(tuple(kept)) > most:
        kept[0] = kept[0][: most * DIGEST]
        forgot = True
    return tuple(kept), forgot


def split(run: bytes) -> Iterator[bytes]:
    """The digests of one run."""
    return (run[start : start + DIGEST] for start in range(0, len(run), DIGEST))


def count(runs: Runs) -> int:
    """How many digests there are."""
    return sum(map(len, runs)) // DIGEST


def _run(numbers: set[int]) -> bytes:
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
