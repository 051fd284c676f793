"""The rules that come with Remit, put together with what an operator declares: one document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

PACKS = ("asked-for", "assistant", "coding-agent", "data-analyst", "payments", "support")
"""What ``remit init`` starts from and ``remit classify`` writes rules of."""

_KEY = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
_LAST_OF_HEAD = "default: deny\n"
_ONCE = ("remit", "default")
_ORDER = ("define", "agents", "people", "platform-fields", "tools", "rules", "budgets")


def pack(name: str) -> str:
    """The text of a pack: rules that name no tool."""
    return _read("packs", name)


def rules(name: str) -> str:
    """A pack without its head: what goes behind declarations."""
    text = pack(name)
    return text[text.index(_LAST_OF_HEAD) + len(_LAST_OF_HEAD) :]


def starter(name: str) -> str:
    """A pack with an example of what is declared beside it: a whole document to start from."""
    return composed(_read("starters", name), name)


def composed(declared: str, name: str) -> str:
    """A document with the rules of a pack behind its own.

    Args:
        declared: a document: agents, people, tools, perhaps rules of its own.
        name: of the pack.
    """
    own = dict(_sections(declared))
    rules = dict(_sections(pack(name)))
    keys = [key for key in _ORDER if key in own or key in rules]
    parts = [declared[: _KEY.search(declared).start()], "remit: 1\ndefault: deny\n"]  # type: ignore[union-attr]
    for key in keys:
        heading, mine = own.get(key, (None, ""))
        above, theirs = rules.get(key, (None, ""))
        parts.append(f"\n{heading or above}")
        parts.append(mine)
        if theirs and mine:
            parts.append(f"\n  # From the pack {name}:\n")
        parts.append(theirs)
    return "".join(parts)


def _sections(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The sections of a document by key: the line of the key with comments above it, the rest."""
    starts = list(_KEY.finditer(text))
    heads = [_above(text, match.start()) for match in starts]
    for match, start, end in zip(starts, heads, [*heads[1:], len(text)], strict=True):
        if match[1] not in _ONCE:
            line = text.index("\n", match.start()) + 1
            body = text[line:end].rstrip("\n")
            yield match[1], (text[start:line], f"{body}\n" if body else "")


def _above(text: str, at: int) -> int:
    """Where the comments begin that stand right above a place."""
    while at > 0:
        line = text.rfind("\n", 0, at - 1) + 1
        if not text.startswith("#", line):
            break
        at = line
    return at


def _read(folder: str, name: str) -> str:
    return (resources.files("remit") / folder / f"{name}.yaml").read_text(encoding="utf-8")
