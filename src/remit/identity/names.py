"""Names that come from outside: ids of principals, and SPIFFE ids."""

from __future__ import annotations

import re

from remit import text

MAX_ID = 256
"""Characters of a principal's id."""
_SPIFFE = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)")
_MAX_SPIFFE = 2048
_DOTS = frozenset({".", ".."})


def check_principal_id(value: str) -> str:
    """Return ``value`` if it can be the id of a principal.

    Raises:
        ValueError: it is empty, too long, not in normal form, or has blanks around it, control
            characters or characters that cannot be seen.
    """
    if not value or len(value) > MAX_ID:
        raise ValueError(f"an id has 1 to {MAX_ID} characters")
    if not value.isprintable() or value != value.strip() or text.invisibles(value):
        raise ValueError(f"{value!r} cannot be an id: it has characters that cannot be seen")
    if text.normal(value) != value:
        raise ValueError(f"{value!r} cannot be an id: write it as {text.normal(value)!r}")
    return value


def check_spiffe(value: str) -> str:
    """Return ``value`` if it is a SPIFFE id with a path (SPIFFE-ID, section 2).

    Raises:
        ValueError: it is none.
    """
    match = _SPIFFE.fullmatch(value) if len(value) <= _MAX_SPIFFE else None
    if match is None or _DOTS & set(match[2].split("/")):
        raise ValueError(f"{value[:200]!r} is not a SPIFFE id")
    if not match[2]:
        raise ValueError(f"{value!r} names a trust domain, not a workload: it has no path")
    return value


def check_spiffe_pattern(value: str) -> str:
    """Return ``value`` if it is a SPIFFE id, or one that ends in ``/*``.

    Raises:
        ValueError: it is neither.
    """
    check_spiffe(value[:-1] + "x" if value.endswith("/*") else value)
    return value
