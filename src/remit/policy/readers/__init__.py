"""Typed argument readers: what a string means, for rules that speak of meaning.

One module per reader; ``remit.policy.functions`` lists them. A reader is pure, takes a string and
returns a frozen object, or raises ``UnreadableValue`` whenever it cannot be sure what the string
means to the program that will get it. Nothing is imported here, so that a parser is only needed
where a policy uses its reader.
"""

from __future__ import annotations

MAX_CHARACTERS = 65_536
"""Longest string that a reader looks at."""


class UnreadableValue(ValueError):  # noqa: N818 (conditions report it as a state of the value)
    """A reader cannot be sure what a value means, so a condition on it errors and denies."""


def text_of(value: object, reader: str) -> str:
    """Return ``value`` if it is a string of bearable length.

    Raises:
        UnreadableValue: it is anything else; the message names the type.
    """
    if not isinstance(value, str):
        raise UnreadableValue(f"{reader}() reads a string, this is a {type(value).__name__}")
    if len(value) > MAX_CHARACTERS:
        raise UnreadableValue(f"{reader}() reads at most {MAX_CHARACTERS:,} characters")
    return value
