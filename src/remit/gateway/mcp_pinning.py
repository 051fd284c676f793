"""Whether servers' tools are those that were accepted, and what their descriptions say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remit.errors import ConfigError, InvalidArgument
from remit.gateway.lockfile import LockFile
from remit.inspection import pins
from remit.inspection.pins import PinChange, Pins, ServerPins
from remit.inspection.signs import NOT_INSPECTED
from remit.inspection.tools import inspect_servers
from remit.model import Finding

_MAX_TOOLS = 4096


class _Listed:
    """What one server listed, and what was found in it."""

    def __init__(self) -> None:
        self.tools: dict[str, Mapping[str, Any]] = {}
        self.findings: Mapping[str, tuple[Finding, ...]] = {}
        self.unreadable: str | None = None
        self.compared: tuple[Pins, tuple[PinChange, ...]] | None = None
        """How the tools differ from those that were accepted, until either changes: every call
        asks."""


class SupplyChain:
    """Looks at the tools of servers as they are listed (``Inspector``)."""

    def __init__(self, lock: LockFile) -> None:
        """Compare with what ``lock`` says, if there is such a file."""
        self._lock = lock
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
        changes = [each for each in self._changes(server) if each.tool == tool]
        listed = tool in self._servers.get(server, _Listed()).tools
        return pins.question(server, changes) if changes and listed else None

    def accept(self, server: str, tool: str) -> None:
        """Put down that a tool was accepted as it is now, and only that tool.

        Raises:
            ConfigError: the lock file cannot be written.
        """
        now = self._servers[server].tools[tool]

        def accepting(before: Pins) -> Pins:
            known = before.servers.get(server, ServerPins())
            kept = {name: pin.definition for name, pin in known.tools.items()} | {tool: now}
            return before.accepting(server, list(kept.values()), known.instructions)

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
        """How the tools that were listed differ from those that were accepted."""
        pinned = self._lock.recent()
        if pinned is None:
            return ()
        listed = self._servers.get(server, _Listed())
        if listed.compared is not None and listed.compared[0] is pinned:
            return listed.compared[1]
        known = pinned.servers.get(server, ServerPins())
        tools = list(listed.tools.values())
        changes = Pins(servers={server: known}).check(server, tools, known.instructions)
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
