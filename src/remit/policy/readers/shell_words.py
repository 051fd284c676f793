"""Words of a shell command: what is certain of their text before the shell expands them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct
from tree_sitter import Node

from remit.policy.readers import UnreadableValue


class Word(Struct, frozen=True):
    """One word. ``sure`` is False where the shell may turn it into another word, or several."""

    text: str
    sure: bool = True


UNKNOWN = Word("", sure=False)
"""Stands for words that only come about at run time."""

EXPANSIONS = frozenset(
    {
        "simple_expansion", "expansion", "command_substitution", "process_substitution",
        "arithmetic_expansion", "brace_expression", "translated_string",
    }
)  # fmt: skip
LITERALS = frozenset(
    {"word", "number", "raw_string", "string", "ansi_c_string", "concatenation", "extglob_pattern"}
)

_ESCAPE = re.compile(r"\\(\n|.)", re.DOTALL)
_QUOTED_ESCAPE = re.compile(r"\\([\n$`\"\\])")
_GLOB = re.compile(r"(?<!\\)(?:\\\\)*[*?\[]|(?<!\\)(?:\\\\)*[@+!]\(")
_BRACES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}|\{[^}]*\{")


_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_SPELT = re.compile(r"[\x01-\x08]{7}")


def spell(text: str) -> str:
    """Return ``text`` in ASCII, for a parser that cannot be trusted with anything else.

    The scanner of tree-sitter-bash asks C's ``isalpha`` about characters beyond ASCII, which reads
    outside of its table: some crash the process. Each of them becomes seven control characters
    (its code point in base 8), which to bash's grammar are as plain as it is: part of a word, never
    of a name. ``text`` has none of these control characters itself.
    """
    return _BEYOND_ASCII.sub(
        lambda found: "".join(chr(1 + int(digit)) for digit in f"{ord(found[0]):07o}"), text
    )


def unspell(text: str) -> str:
    """Return the text that ``spell`` has spelt."""
    return _SPELT.sub(
        lambda found: chr(int("".join(str(ord(digit) - 1) for digit in found[0]), 8)), text
    )


def text_of_node(node: Node) -> str:
    """Return the source of ``node``, as it was before ``spell``."""
    return unspell((node.text or b"").decode())


def word_of(node: Node) -> Word:
    """Return the word that ``node`` writes.

    Raises:
        UnreadableValue: a part of it is not understood.
    """
    parts = list(_parts(node))
    bare = "".join(text for text, quoted, _ in parts if not quoted)
    sure = all(part[2] for part in parts) and not _BRACES.search(bare)
    return Word("".join(part[0] for part in parts), sure)


def _parts(node: Node) -> Iterator[tuple[str, bool, bool]]:
    """Pieces of a word as (text, whether quoted, whether sure)."""
    source = text_of_node(node)
    if node.type == "concatenation":
        for child in node.children:
            yield from _parts(child)
    elif node.type in ("word", "number", "extglob_pattern"):
        sure = not _GLOB.search(source) and not source.startswith("~")
        yield _ESCAPE.sub(_unescaped, source), False, sure and node.type != "extglob_pattern"
    elif node.type == "raw_string":
        yield source[1:-1], True, True
    elif node.type == "string":
        sure = not any(child.type in EXPANSIONS for child in node.children)
        yield _QUOTED_ESCAPE.sub(_unescaped, source[1:-1]), True, sure
    elif node.type == "ansi_c_string":
        yield source[2:-1], True, "\\" not in source
    elif node.type in EXPANSIONS:
        yield source, False, False
    else:
        raise UnreadableValue(f"shell(): a {node.type} where a word was expected")


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]
