"""Whether a server's tools are those that were accepted, and what their descriptions say."""

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


class SupplyChain:
    """Looks at the tools of one server as they are listed (``Inspector``)."""

    def __init__(self, lock: LockFile) -> None:
        """Compare with what ``lock`` says, if there is such a file."""
        self._lock = lock
        self._tools: dict[str, Mapping[str, Any]] = {}
        self._findings: dict[str, tuple[Finding, ...]] = {}
        self._unreadable: str | None = None

    def listed(self, server: str, tools: Sequence[Mapping[str, Any]]) -> None:
        """Take note of tools as they were listed; what is known of others stays."""
        try:
            if len(self._tools) + len(tools) > _MAX_TOOLS:
                raise InvalidArgument("tools", f"more than {_MAX_TOOLS:,} of them")
            self._tools |= pins.definitions_of(tools)
            pinned = self._lock.read() or Pins()
            others = {
                name: [pin.definition for pin in each.tools.values()]
                for name, each in pinned.servers.items()
                if name != server
            }
            self._findings = inspect_servers({**others, server: list(self._tools.values())})
            self._unreadable = None
        except (ConfigError, InvalidArgument) as error:
            self._unreadable = str(error)

    def proposed(self, server: str, tool: str, arguments: Mapping[str, Any]) -> tuple[Finding, ...]:
        """What was found in a tool's definition and in its name."""
        if self._unreadable is not None:
            return (Finding(kind=NOT_INSPECTED, where="tools", message=self._unreadable),)
        if tool not in self._tools and self._lock.read() is not None:
            message = "the server does not list this tool, so nobody can have accepted it"
            return (Finding(kind=NOT_INSPECTED, where="tools", message=message),)
        return (*self._findings.get(server, ()), *self._findings.get(f"{server}.{tool}", ()))

    def returned(self, server: str, tool: str, result: Any) -> tuple[Finding, ...]:
        """Nothing: results are inspected as policy says, where it is decided on them."""
        return ()

    def question(self, server: str, tool: str) -> Mapping[str, Any] | None:
        """What a person must accept before a tool may be called; None: nothing.

        Raises:
            ConfigError: the lock file cannot be read.
        """
        changes = [each for each in self._changes(server) if each.tool == tool]
        return pins.question(server, changes) if changes and tool in self._tools else None

    def accept(self, server: str, tool: str) -> None:
        """Put down that a tool was accepted as it is now, and only that tool.

        Raises:
            ConfigError: the lock file cannot be written.
        """

        def accepting(before: Pins) -> Pins:
            known = before.servers.get(server)
            kept = {} if known is None else {n: p.definition for n, p in known.tools.items()}
            kept[tool] = self._tools[tool]
            instructions = None if known is None else known.instructions
            return before.accepting(server, list(kept.values()), instructions)

        self._lock.change(accepting)

    def shown(self, server: str, tools: Sequence[Any]) -> list[Any]:
        """A list of tools as a model may see it: changed ones as they were accepted, no new ones.

        Raises:
            ConfigError: the lock file cannot be read.
        """
        pinned = self._lock.read()
        if pinned is None:
            return list(tools)
        known = pinned.servers.get(server)
        accepted = {} if known is None else known.tools
        changed = {each.tool for each in self._changes(server)}
        return [
            accepted[str(tool["name"])].definition if tool["name"] in changed else tool
            for tool in tools
            if isinstance(tool, dict) and str(tool.get("name")) in accepted
        ]

    def _changes(self, server: str) -> tuple[PinChange, ...]:
        """How the tools that were listed differ from those that were accepted."""
        pinned = self._lock.read()
        if pinned is None:
            return ()
        known = pinned.servers.get(server, ServerPins())
        compared = Pins(servers={server: known})
        return compared.check(server, list(self._tools.values()), known.instructions)
