"""Pins: what a person accepted of each tool server, and how what it says now differs from that.

A server may describe its tools in one way when they are looked at and in another when they are
used ("rug pull"). ``Pins`` holds the definition of every tool that was accepted, digest included;
``Pins.check`` compares a list of tools with it, ``render`` shows the difference so that nothing can
hide in it. ``parse`` and ``encode`` are the form of the file ``remit.lock``. No I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from remit import canonical
from remit.errors import InvalidArgument
from remit.inspection.showing import shown, visible
from remit.model import Digest

ACTION = "mcp.pin"
"""Name of the action that accepts changed tools. Whatever policy allows, a person decides on it."""

INSTRUCTIONS = "instructions"
"""Where changes of a server's own words to the model are reported, in place of a tool's name."""

_UNPINNED = frozenset({"_meta"})
"""Members of a tool that the protocol keeps from models."""


class Package(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a server's program is from, as far as its command says."""

    registry: Literal["npm", "pypi", "oci", "file"]
    name: str
    version: str | None = None
    digest: str | None = None


class ToolPin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tool as it was accepted."""

    definition: Mapping[str, Any]
    """All that a model gets to see of it: name, description, schemas, annotations, the rest."""
    digest: Digest


class Origin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a server is reached: what is started, or an address."""

    command: tuple[str, ...] = ()
    url: str | None = None
    package: Package | None = None


class ServerPins(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One server as it was accepted."""

    origin: Origin = Origin()
    instructions: str | None = None
    tools: Mapping[str, ToolPin] = field(default_factory=dict)


class PinChange(Struct, frozen=True, kw_only=True):
    """One difference between what was accepted and what is there now."""

    server: str
    tool: str
    """Empty where it is about the server; ``instructions`` where about what it tells models."""
    path: str
    """JSON path below the tool, such as ``inputSchema.properties.bcc``; empty: the whole tool."""
    kind: Literal["added", "removed", "changed", "unpinned"]
    before: Any = None
    after: Any = None


class Pins(Struct, frozen=True, kw_only=True):
    """What was accepted, by name of the server."""

    servers: Mapping[str, ServerPins] = field(default_factory=dict)

    def check(
        self,
        server: str,
        tools: Sequence[Any],
        instructions: str | None = None,
        origin: Origin | None = None,
    ) -> tuple[PinChange, ...]:
        """How a server differs from what was accepted; empty: not at all.

        Args:
            server: its name.
            tools: as ``tools/list`` gives them, all pages.
            instructions: what it tells models besides, as ``initialize`` gives it.
            origin: how it is reached; None: that is not compared.

        Raises:
            InvalidArgument: it is no list of tools.
        """
        definitions = definitions_of(tools)
        pinned = self.servers.get(server)
        if pinned is None:
            return (PinChange(server=server, tool="", path="", kind="unpinned"),)
        return tuple(_changes(server, pinned, definitions, instructions, origin or pinned.origin))

    def accepting(
        self,
        server: str,
        tools: Sequence[Any],
        instructions: str | None = None,
        origin: Origin | None = None,
    ) -> Pins:
        """The pins once a server is accepted as it is. Other servers stay as they are.

        Args:
            server: its name.
            tools: as ``tools/list`` gives them, all pages.
            instructions: what it tells models besides.
            origin: how it is reached; None: as before.

        Raises:
            InvalidArgument: it is no list of tools.
        """
        definitions = definitions_of(tools)
        pins = {
            name: ToolPin(definition=each, digest=canonical.digest(each))
            for name, each in sorted(definitions.items())
        }
        before = self.servers.get(server, ServerPins())
        after = ServerPins(origin=origin or before.origin, instructions=instructions, tools=pins)
        return Pins(servers={**self.servers, server: after})

    def without(self, server: str) -> Pins:
        """The pins without those of a server."""
        return Pins(servers={name: each for name, each in self.servers.items() if name != server})


def definitions_of(tools: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """What models get to see of each tool, by its name.

    Raises:
        InvalidArgument: one has no name, or two have the same.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for index, tool in enumerate(tools):
        name = tool.get("name") if isinstance(tool, Mapping) else None
        if not isinstance(name, str) or not name:
            raise InvalidArgument(f"tools[{index}]", "a tool has a name")
        if name in found:
            message = f"the name {visible(name)} is taken by another tool of this server"
            raise InvalidArgument(f"tools[{index}]", message)
        public = {key: value for key, value in tool.items() if key not in _UNPINNED}
        found[name] = canonical.check(public, f"tools[{index}]")
    return found


def _changes(
    server: str,
    pinned: ServerPins,
    definitions: Mapping[str, Mapping[str, Any]],
    instructions: str | None,
    origin: Origin,
) -> Iterator[PinChange]:
    def changes(tool: str, found: Iterable[_Difference]) -> Iterator[PinChange]:
        for path, kind, before, after in found:
            yield PinChange(
                server=server, tool=tool, path=path, kind=kind, before=before, after=after
            )

    old, new = msgspec.to_builtins(pinned.origin), msgspec.to_builtins(origin)
    yield from changes("", _differences(old, new, ""))
    yield from changes(INSTRUCTIONS, _differences(pinned.instructions, instructions, ""))
    for name in sorted({*pinned.tools, *definitions}):
        pin, definition = pinned.tools.get(name), definitions.get(name)
        if pin is None:
            yield from changes(name, [("", "added", None, definition)])
        elif definition is None:
            yield from changes(name, [("", "removed", pin.definition, None)])
        elif pin.digest != canonical.digest(definition):
            yield from changes(name, _differences(pin.definition, definition, ""))


_Kind = Literal["added", "removed", "changed"]
_Difference = tuple[str, _Kind, Any, Any]


def _differences(before: Any, after: Any, path: str) -> Iterator[_Difference]:
    """Each place in which two JSON values differ, the smallest part of them that does."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _entry(before, after, key, _below(path, key))
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        old, new = dict(enumerate(before)), dict(enumerate(after))
        for index in range(max(len(before), len(after))):
            yield from _entry(old, new, index, f"{path}[{index}]")
    elif canonical.encode(before) != canonical.encode(after):
        yield path, "changed", before, after


def _entry(
    before: Mapping[Any, Any], after: Mapping[Any, Any], key: Any, path: str
) -> Iterator[_Difference]:
    if key not in before:
        yield path, "added", None, after[key]
    elif key not in after:
        yield path, "removed", before[key], None
    else:
        yield from _differences(before[key], after[key], path)


_NAME = re.compile(r"[A-Za-z0-9_$-]+")


def _below(path: str, key: str) -> str:
    if not _NAME.fullmatch(key):
        return f"{path}[{visible(key)}]"
    return f"{path}.{key}" if path else key


# Showing


def render(changes: Iterable[PinChange]) -> str:
    """The changes for a person, one line each; what cannot be seen is made visible."""
    lines: list[str] = []
    heading = None
    for change in changes:
        about = f"{change.server}.{change.tool}" if change.tool else change.server
        if about != heading:
            lines.append(f"{shown(about)}:")
            heading = about
        lines.append(f"  {_line(change)}")
    return "\n".join(lines)


def _line(change: PinChange) -> str:
    place = shown(change.path)
    match change.kind:
        case "unpinned":
            return "? nothing of this server was accepted yet"
        case "added":
            return f"+ {place or 'new tool'}: {visible(change.after)}"
        case "removed":
            return f"- {place or 'tool gone'}: {visible(change.before)}"
    before, after = _apart(change.before, change.after)
    return f"~ {place or 'all of it'}: {before}\n      -> {after}"


_AROUND = 60


def _apart(before: Any, after: Any) -> tuple[str, str]:
    """Two values, long texts cut to where they differ. All that differs is shown."""
    if not isinstance(before, str) or not isinstance(after, str):
        return visible(before), visible(after)
    start = _shared(before, after)
    end = _shared(before[start:][::-1], after[start:][::-1])
    first = start - _AROUND if start > 2 * _AROUND else 0
    last = end - _AROUND if end > 2 * _AROUND else 0
    return _cut(before, first, last), _cut(after, first, last)


def _shared(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _cut(whole: str, first: int, last: int) -> str:
    part = whole[first : len(whole) - last]
    return f"{'...' if first else ''}{visible(part)}{'...' if last else ''}"


def question(server: str, changes: Sequence[PinChange]) -> dict[str, Any]:
    """The arguments of the action ``ACTION`` that a person is asked about."""
    after = [[change.tool, change.path, change.kind, change.after] for change in changes]
    return {
        "server": server,
        "changes": render(changes),
        "digest": canonical.digest(after),
    }


# The file


_LIMITS = canonical.JsonLimits(bytes=64 << 20, depth=canonical.MAX_DEPTH + 8)


class _Lock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    remit_lock: Literal[1] = field(name="remit-lock")
    servers: dict[str, ServerPins]


def parse(data: bytes) -> Pins:
    """The pins in a lock file.

    Raises:
        InvalidArgument: it is no lock file, or one was changed by hand: a digest is not that of
            the definition beside it.
    """
    try:
        lock = msgspec.convert(canonical.parse(data, "remit.lock", _LIMITS), _Lock)
    except msgspec.ValidationError as error:
        raise InvalidArgument("remit.lock", f"{error}; write it anew: remit mcp pin") from None
    for server, pins in lock.servers.items():
        for name, pin in pins.tools.items():
            if canonical.digest(pin.definition) != pin.digest or pin.definition.get("name") != name:
                place = f"remit.lock: {shown(server)}.{shown(name)}"
                message = "the digest is not that of the definition; pin the server anew"
                raise InvalidArgument(place, message)
    return Pins(servers=lock.servers)


def encode(pins: Pins) -> bytes:
    """The lock file: sorted, in lines, all of it ASCII, so that a diff of it hides nothing."""
    lock = _Lock(remit_lock=1, servers=dict(pins.servers))
    built = msgspec.to_builtins(lock)
    return json.dumps(built, indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"
