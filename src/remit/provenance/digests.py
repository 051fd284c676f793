"""Sets of digests as bytes: stored as they are, looked up without being unpacked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from remit.provenance.forms import DIGEST

Runs: TypeAlias = tuple[bytes, ...]
"""Sorted digests laid end to end, in a few runs: larger ones first, each over twice the next."""


def holds(runs: Runs, wanted: bytes) -> bool:
    """Whether a digest is in the set: a binary search in each run."""
    for run in runs:
        low, high = 0, len(run) // DIGEST
        while low < high:
            middle = (low + high) // 2
            found = run[middle * DIGEST : middle * DIGEST + DIGEST]
            if found == wanted:
                return True
            if found < wanted:
                low = middle + 1
            else:
                high = middle
    return False


def add(runs: Runs, digests: Iterable[bytes], most: int) -> tuple[Runs, bool]:
    """The set with more digests, and whether something had to be forgotten for them.

    What is forgotten are the largest runs, which are the oldest. A set holds ``most`` at most.
    """
    new = b"".join(sorted(set(digests)))
    if not new:
        return runs, False
    kept = [*runs, new]
    while len(kept) > 1 and len(kept[-2]) < 2 * len(kept[-1]):
        last, other = kept.pop(), kept.pop()
        kept.append(b"".join(sorted({*split(last), *split(other)})))
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
