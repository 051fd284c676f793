"""Tool name patterns: plain text in which ``*`` stands for any run of characters, dots included.

Patterns and names are compared in the form of ``text.name`` (NFKC, case-folded); callers pass them
in that form.
"""

from __future__ import annotations

from remit.text import matches

__all__ = ["covers", "matches", "overlap", "specificity"]


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that fits ``narrow`` also fits ``wide``.

    A ``*`` in ``narrow`` is taken as one more character that only a ``*`` in ``wide`` can match.
    """
    return matches(wide, narrow)


def overlap(one: str, other: str) -> bool:
    """Whether some name fits both patterns."""
    if "*" not in one:
        return matches(other, one)
    if "*" not in other:
        return matches(one, other)
    return _overlap(one, other)


def _overlap(one: str, other: str) -> bool:
    """Two patterns that both hold a ``*`` overlap when their fixed ends agree.

    What is between the first and the last ``*`` of either can be laid one after the other.
    """
    head, other_head = one.partition("*")[0], other.partition("*")[0]
    tail, other_tail = one.rpartition("*")[2], other.rpartition("*")[2]
    heads = head.startswith(other_head) or other_head.startswith(head)
    return heads and (tail.endswith(other_tail) or other_tail.endswith(tail))


def specificity(pattern: str) -> tuple[int, int, str]:
    """A key that orders patterns from the vaguest to the most exact.

    A plain name is more exact than any pattern; then more fixed characters, then fewer ``*``.
    """
    stars = pattern.count("*")
    if stars == 0:
        return 1 << 30, 0, pattern
    return len(pattern) - stars, -stars, pattern
