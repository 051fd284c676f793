"""What conditions ask about where values are from: ``flows``, ``from_user``, ``asked_for``.

Both evaluators call these. Where nobody kept what the session has seen, every answer is the one
that grants least. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from remit.model import AccessRequest, Session
from remit.policy.catalogue import CONTROLS, Tool
from remit.provenance.grounding import Provenance, leaves

LABELLED = ("flows", "copies")
"""Those of them that ask of a label."""
ORIGINS = (*LABELLED, "from_user", "from_trusted", "grounded", "vouched", "unseen", "asked_for")
"""Functions that ask where something is from."""
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>()\[\]\"'`{}|\\^]+", re.IGNORECASE)
KINDS = ("action", "read", "write", "send", "execute", "pay", "delete", "admin")
"""What ``asked_for`` may ask about; ``action`` is the call that is decided on."""


class ToolFacts(Struct, frozen=True, kw_only=True):
    """What conditions see as ``tool``."""

    name: str
    does: tuple[str, ...]
    declared: bool


class Controls(Struct, frozen=True, kw_only=True):
    """What conditions see as ``controls``: the values of the control arguments of this call."""

    who: tuple[Any, ...] = ()
    where: tuple[Any, ...] = ()
    which: tuple[Any, ...] = ()
    amount: tuple[Any, ...] = ()
    when: tuple[Any, ...] = ()
    access: tuple[Any, ...] = ()
    links: tuple[str, ...] = ()
    """Web addresses in what the call sends: they lead its reader somewhere."""
    what: tuple[Any, ...] = ()
    """What the call sends; of a tool that does not say which arguments those are, all of them."""


def controls_of(tool: Tool, request: AccessRequest) -> Controls:
    """The control arguments of a call. Of a tool that nobody declared, all decide who."""
    if not tool.declared:
        every = tuple(request.arguments.values())
        return Controls(who=every, what=every)
    found = {
        kind: tuple(value for path in paths for value in at(request.arguments, path))
        for kind, paths in tool.controls.items()
    }
    sent = tuple(value for path in tool.sends_what for value in at(request.arguments, path))
    leading = tuple(link for value in sent for link in links(value))
    what = sent if tool.sends_what else tuple(request.arguments.values())
    return Controls(**found, links=leading, what=what)


def at(arguments: Mapping[str, Any], path: str) -> Iterator[Any]:
    """What stands at a path such as ``args.attachments.*.id``; ``*`` is every element."""
    found: list[Any] = [arguments]
    for step in path.split(".")[1:]:
        found = [inner for each in found for inner in _inside(each, step)]
    return iter(found)


def _inside(value: Any, step: str) -> Iterator[Any]:
    if isinstance(value, Mapping):
        if step in value:
            yield value[step]
        elif step == "*":
            yield from value.values()
    elif isinstance(value, list | tuple):
        for each in value:
            if step == "*":
                yield each
            else:
                yield from _inside(each, step)


def links(value: Any) -> Iterator[str]:
    """The web addresses in the strings of a JSON value."""
    for leaf in leaves(value):
        if isinstance(leaf, str):
            yield from (match[0].rstrip(".,;:!?*_") for match in _LINK.finditer(leaf))


def about(name: str, known: Provenance | None, session: Session, value: Any, label: str) -> bool:
    """The answer to ``flows`` or ``copies``."""
    if label not in session.labels:
        return False
    if known is None:
        return True
    return known.flows(value, label) if name == "flows" else known.copies(value, label)


def from_user(known: Provenance | None, value: Any) -> bool:
    """Whether the user gave or designated every part of a value."""
    return known is not None and known.from_user(value)


def from_trusted(known: Provenance | None, value: Any) -> bool:
    """Whether every part of a value is from the user or from trusted data."""
    return known is not None and known.from_trusted(value)


def grounded(known: Provenance | None, value: Any) -> bool:
    """Whether every part of a value is trusted or computed from what is."""
    return known is not None and known.grounded(value)


def vouched(known: Provenance | None, value: Any) -> bool:
    """Whether every part of a value is grounded, and none of them in a text alone."""
    return known is not None and known.vouched(value)


def unseen(known: Provenance | None, value: Any) -> bool:
    """Whether some part of a value came from nowhere that is known."""
    return known is None or known.unseen(value)


def asked_for(known: Provenance | None, tool: ToolFacts, kind: str) -> bool:
    """Whether the user's request asks for this call, or for a class of actions."""
    if known is None:
        return False
    return (
        known.asked_for(tool.name, tool.does) if kind == "action" else known.asked_for("", (kind,))
    )


def why(known: Provenance | None, value: Any) -> str:
    """Where the parts of a value are from, for an explanation."""
    return "nothing was kept of what the session has seen" if known is None else known.why(value)


QUESTIONS: Mapping[str, Callable[[Provenance | None, Any], bool]] = {
    "from_user": from_user,
    "from_trusted": from_trusted,
    "grounded": grounded,
    "vouched": vouched,
    "unseen": unseen,
}
"""Questions about one value."""

__all__ = ["CONTROLS", "Controls", "ToolFacts", "controls_of"]
