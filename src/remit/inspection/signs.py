"""What is looked for in texts: the kinds of findings, and every sign of each kind.

A sign is a row of data: a pattern (RE2, linear), a check of what matched where the pattern alone
would take too much, what it catches, an example and a counter-example. The rows are in ``secrets``,
``personal`` and ``wording``; ``docs/inspection.md`` is made of them. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from msgspec import Struct

KINDS = MappingProxyType(
    {
        "secret": "keys, tokens and passwords",
        "personal-data": "identifiers of people that carry a checksum, e-mail addresses, phones",
        "injection": "words that speak to a model rather than to a reader; weak signs",
        "hidden-text": "characters that are not drawn, or drawn in another order or as others",
        "exfiltration": "carriers of data to the outside: images, links, names of hosts, encodings",
        "poisoning": "instructions in the description of a tool",
        "look-alike": "names of tools that pass for others, or are taken by two servers",
        "not-inspected": "nothing could be said, because looking failed; refuses by itself",
    }
)
"""Every kind of finding and what it is about."""

INSPECTABLE = ("secret", "personal-data", "injection", "hidden-text", "exfiltration", "poisoning")
"""The kinds that are looked for in arguments and results."""

NOT_INSPECTED = "not-inspected"
"""Kind of the finding that says that looking failed. It refuses, whatever policy says."""

Check = Callable[[bytes], bool]


class Sign(Struct, frozen=True, kw_only=True):
    """One thing that is looked for."""

    id: str
    kind: str
    catches: str
    pattern: str
    """RE2, on UTF-8. A first group, if it has one, is what ``check`` sees."""
    example: str
    """Something that it finds."""
    counter: str
    """Something much like it that it does not find."""
    trigger: str = ""
    """A short RE2 pattern without which ``pattern`` cannot match; empty: ``pattern`` itself."""
    check: Check | None = None
    certain: Check | None = None
    """A checksum without which a match in characters that were put together does not count."""
    together: bool = False
    """Whether it is looked for in characters that were put together at all."""
    bordered: bool = True
    """Whether no letter or digit may touch a match, but in characters that were put together."""
    hosted: bool = False
    """Whether the first group is a host, and one that policy lists is no finding."""
