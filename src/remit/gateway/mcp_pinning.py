"""Whether servers' tools are those that were accepted, and what their descriptions say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remit.errors import ConfigError, InvalidArgument
from remit.gateway.lockfile import LockFile
from remit.inspection import pins
from remit.inspection.pins import Origin, PinChange, Pins, ServerPins
from remit.inspection.signs import NOT_INSPECTED
from remit.inspection.tools import inspect_servers
from remit.model import Finding

_MAX_TOOLS = 4096


class _Listed:
    """What one server listed, and what was found in it."""

    def __init__(self) -> None:
        self.tools: dict[str, Mapping[str, Any]] = {}
        self.introduced = False
        """Whether it has said what it tells models besides, which is ``instructions``."""
        self.instructions: str | None = None
        self.findings: Mapping[str, tuple[Finding, ...]] = {}
        self.unreadable: str | None = None
        self.compared: tuple[Pins, tuple[PinChange, ...]] | None = None
        """How the tools differ from those that were accepted, until either changes: every call
        asks."""


class SupplyChain:
    """Looks at the tools of servers as they are listed (``Inspector``)."""

    def __init__(self, lock: LockFile, origins: Mapping[str, Origin] | None = None) -> None:
        """Compare with what ``lock`` says, if there is such a file.

        Args:
            lock: the file.
            origins: how servers are reached now, by name.
        """
        self._lock = lock
        self._origins = origins or {}
        self._servers: dict[str, _Listed] = {}

    def listed(self, server: str, tools: Sequence[Mapping[str, Any]]) -> None:
        """Take note of tools as they were listed; what is known of others stays."""
        known = self._servers.setdefault(server, _Listed())
        known.compared = None
        try:
            known.tools |= pins.definitions_of(tools)
            if len(known.tools) > _MAX_TOOLS:
                raise InvalidArgument("tools", f"more than {_MAX_TOOLS:,} of them")
            together = {**self._others(server), server: list(known.tools.values())}
            known.findings = inspect_servers(together)
            known.unreadable = None
        except (ConfigError, InvalidArgument) as error:
            known.unreadable = str(error)

    def introduced(self, server: str, instructions: str | None) -> str | None:
        """Take note of what a server tells models besides; what they may see of it.

        That is nothing where the lock file cannot be read: calls say so.
        """
        known = self._servers.setdefault(server, _Listed())
        known.introduced, known.instructions, known.compared = True, instructions, None
        try:
            pinned = self._lock.recent()
        except ConfigError:
            return None
        if pinned is None:
            return instructions
        return pinned.servers.get(server, ServerPins()).instructions

    def proposed(self, server: str, tool: str, arguments: Mapping[str, Any]) -> tuple[Finding, ...]:
        """What was found in a tool's definition and in its name."""
        known = self._servers.get(server, _Listed())
        unreadable = known.unreadable
        if unreadable is None and tool not in known.tools and self._lock.recent() is not None:
            unreadable = "the server does not list this tool, so nobody can have accepted it"
        if unreadable is not None:
            return (Finding(kind=NOT_INSPECTED, where="tools", message=unreadable),)
        return (*known.findings.get(server, ()), *known.findings.get(f"{server}.{tool}", ()))

    def returned(self, server: str, tool: str, result: Any) -> tuple[Finding, ...]:
        """Nothing: results are inspected as policy says, where it is decided on them."""
        return ()

    def question(self, server: str, tool: str) -> Mapping[str, Any] | None:
        """What a person must accept before a tool may be called; None: nothing.

        Raises:
            ConfigError: the lock file cannot be read.
        """
        about = {"", pins.INSTRUCTIONS}
        if tool in self._servers.get(server, _Listed()).tools:
            about.add(tool)
        changes = [each for each in self._changes(server) if each.tool in about]
        return pins.question(server, changes) if changes else None

    def accept(self, server: str, tool: str) -> None:
        """Put down that a tool and its server were accepted as they are now, and no other tool.

        Raises:
            ConfigError: the lock file cannot be written.
        """
        listed = self._servers.get(server, _Listed())
        now = {name: each for name, each in listed.tools.items() if name == tool}

        def accepting(before: Pins) -> Pins:
            known = before.servers.get(server, ServerPins())
            kept = {name: pin.definition for name, pin in known.tools.items()} | now
            told = listed.instructions if listed.introduced else known.instructions
            return before.accepting(server, list(kept.values()), told, self._origins.get(server))

        self._lock.change(accepting)

    def shown(self, server: str, tools: Sequence[Any]) -> list[Any]:
        """A list of tools as a model may see it: changed ones as they were accepted, no new ones.

        Raises:
            ConfigError: the lock file cannot be read.
        """
        pinned = self._lock.recent()
        if pinned is None:
            return list(tools)
        accepted = pinned.servers.get(server, ServerPins()).tools
        changed = {each.tool for each in self._changes(server)}
        return [
            accepted[str(tool["name"])].definition if tool["name"] in changed else tool
            for tool in tools
            if isinstance(tool, dict) and str(tool.get("name")) in accepted
        ]

    def _changes(self, server: str) -> tuple[PinChange, ...]:
        """How a server and its tools differ from what was accepted."""
        pinned = self._lock.recent()
        if pinned is None:
            return ()
        listed = self._servers.get(server, _Listed())
        if listed.compared is not None and listed.compared[0] is pinned:
            return listed.compared[1]
        known = pinned.servers.get(server, ServerPins())
        tools = list(listed.tools.values())
        told = listed.instructions if listed.introduced else known.instructions
        # Where nobody put down how it was reached, there is nothing to compare.
        origin = self._origins.get(server) if known.origin != Origin() else None
        changes = Pins(servers={server: known}).check(server, tools, told, origin)
        listed.compared = (pinned, changes)
        return changes

    def _others(self, server: str) -> dict[str, list[Mapping[str, Any]]]:
        """The tools of the other servers, as they were accepted or as they were listed."""
        pinned = self._lock.recent() or Pins()
        found = {
            name: [pin.definition for pin in each.tools.values()]
            for name, each in pinned.servers.items()
        }
        found |= {name: list(each.tools.values()) for name, each in self._servers.items()}
        found.pop(server, None)
        return found
