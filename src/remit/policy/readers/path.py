"""``path(x)``: where a file path points, by its spelling and by what the edge found on disk.

The spelling is read by POSIX rules. What a shell or a program may expand or decode (``~``,
``$HOME``, ``%2e``, backslashes) is refused: the reader would see another path than the tool. The
reader has no file system; the edge resolves symlinks and passes what it found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from remit.policy.readers import UnreadableValue, text_of
from remit.text import invisibles, normal

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_EXPANDED = re.compile(
    r"^~|[\\*?{}`]|\$[\w{(]|%[0-9a-fA-F]{2}"
    r"|^[A-Za-z]:|^[A-Za-z][A-Za-z0-9+.-]*://"
)
_NOTHING: Mapping[str, str] = MappingProxyType({})


class PathReading(Struct, frozen=True, kw_only=True):
    """One path, normalised: no ``.``, no empty parts, ``..`` only where a relative one begins."""

    normal: str
    name: str
    suffix: str
    hidden: bool
    """Whether any part of it, here or after symlinks, begins with a dot."""
    real: str | None = None
    """The absolute path after symlinks, where the edge resolved it."""

    def within(self, root: str) -> bool:
        """Return whether the path is ``root`` or below it, by spelling and after symlinks.

        Raises:
            UnreadableValue: a relative path that nobody resolved, with an absolute root; or a
                root that is no plain path.
        """
        base = _normalised(_plain(root))
        if base.startswith("/") == self.normal.startswith("/"):
            below = _is_below(self.normal, base)
            if self.real is None:
                return below
            if base.startswith("/"):
                return below and _is_below(self.real, base)
            return below and not _moved(self.normal, self.real)
        if self.real is None or not base.startswith("/"):
            raise UnreadableValue("path(): a relative path that was not resolved")
        return _is_below(self.real, base)


def read(value: object, resolved: Mapping[str, str] = _NOTHING) -> PathReading:
    """Return the meaning of the path ``value``.

    Args:
        value: a file path.
        resolved: paths as written -> absolute paths after symlinks, as found by the edge.

    Raises:
        UnreadableValue: not a string, empty, or with parts that a program may expand or decode.
    """
    text = _plain(text_of(value, "path"))
    spelled = _normalised(text)
    real = resolved.get(text)
    if real is not None:
        real = _normalised(real)
        if not real.startswith("/"):
            raise UnreadableValue("path(): resolved to a path that is not absolute")
    seen = spelled if real is None or not _moved(spelled, real) else f"{spelled}/{real}"
    name = spelled.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return PathReading(
        normal=spelled,
        name=name,
        suffix=dot + suffix if stem.strip(".") else "",
        hidden=any(part.startswith(".") and part not in (".", "..") for part in seen.split("/")),
        real=real,
    )


def _plain(text: str) -> str:
    if not text:
        raise UnreadableValue("path(): empty")
    if _CONTROL.search(text) or invisibles(text):
        raise UnreadableValue("path(): control or invisible characters")
    if _EXPANDED.search(text):
        raise UnreadableValue("path(): ~, $, %, backslashes, wildcards, braces, drives or a URL")
    folded = normal(text)
    # A file system that folds compatibility forms would see other parts than are spelled here.
    if folded != text and (_EXPANDED.search(folded) or _dots(folded) != _dots(text)):
        raise UnreadableValue("path(): characters that may be folded to dots or slashes")
    return text


def _dots(text: str) -> tuple[int, int]:
    return text.count("."), text.count("/")


def _normalised(text: str) -> str:
    """``text`` without ``.``, doubled slashes and, where they cancel out, ``..`` (lexically)."""
    absolute = text.startswith("/")
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":
            if parts and parts[-1] != "..":
                parts.pop()
            elif not absolute:
                parts.append(part)
        elif part and part != ".":
            parts.append(part)
    return ("/" if absolute else "") + "/".join(parts) or "."


def _moved(spelled: str, real: str) -> bool:
    """Whether symlinks lead elsewhere than the spelling says (the current folder aside)."""
    if spelled.startswith("/"):
        return real != spelled
    return spelled != "." and not real.endswith("/" + spelled)


def _is_below(path: str, root: str) -> bool:
    if root == ".":
        return path != ".." and not path.startswith("../")
    return path == root or path.startswith(root.rstrip("/") + "/")
