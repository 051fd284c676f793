"""``[[mcp]]`` of ``remit.toml``: the MCP servers behind the gateway, each at ``/mcp/NAME``.

What is secret about a server (a key in a header, a token in its environment) is named here and
read from the environment, or from the file that ``<NAME>_FILE`` names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from remit.config.units import ByteCount, Duration
from remit.errors import ConfigError

Variable: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = ("host", "content-length", "connection", "transfer-encoding", "mcp-session-id")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class McpConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[mcp]]``: an MCP server, reached at a URL or started as a command."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
    """Stands in the names of its actions: ``<name>.<tool>``, ``<name>/resources/read``."""
    url: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every request to ``url``."""
    secret_headers: dict[str, Variable] = field(default_factory=dict)
    """The same, by the name of the secret that holds the value."""
    command: tuple[str, ...] = ()
    """Started once for each session of a client; speaks over standard input and output."""
    cwd: Path | None = None
    env: dict[Variable, str] = field(default_factory=dict)
    """Its environment, besides ``PATH`` and ``HOME``."""
    secret_env: dict[Variable, Variable] = field(default_factory=dict)
    """The same, by the name of the secret that holds the value."""
    hold: Duration = Duration(45)
    """How long a call that a person must see waits before it is answered with a handle."""
    max_message: ByteCount = ByteCount(16 * 1_048_576)
    """Of one message, in either direction."""
    timeout: Duration = Duration(600)
    """How long the server at ``url`` may stay silent while it owes an answer."""
    session_idle: Duration = Duration(1800)
    """After how long without a request a client's session ends, and its command with it."""
    max_sessions: Annotated[int, Meta(ge=1, le=100_000)] = 1024
    """Sessions of clients that may be open at once."""
    origins: tuple[str, ...] = ()
    """Web pages that may reach it, such as ``https://chat.corp.com``. Others are refused."""
    hosts: tuple[str, ...] = ()
    """Values of ``Host`` that it is reached under, besides loopback addresses and those that the
    server listens on; needed where clients use a name."""
    insecure_plain_http: bool = False
    """Whether ``url`` may go to another machine without TLS."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, or not safely.

        Raises:
            ValueError: says what.
        """
        if (self.url is None) is not bool(self.command):
            raise ValueError(f"{self.name}: give it a url, or a command")
        if self.url is not None:
            self._check_url(self.url)
        for name in (*self.headers, *self.secret_headers):
            if not _HEADER.fullmatch(name) or name.lower() in _OURS:
                raise ValueError(f"{name!r} cannot be set as a header")
        if not 0 <= self.hold <= 3600:
            raise ValueError("hold must be between 0s and 1h")
        if not 1024 <= self.max_message <= 1024**3:
            raise ValueError("max_message must be between 1KiB and 1024MiB")
        for name, value in (("timeout", self.timeout), ("session_idle", self.session_idle)):
            if not 1 <= value <= 7 * 86_400:
                raise ValueError(f"{name} must be between 1s and 168h")

    def _check_url(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise ValueError(f"url: {url!r} is no URL like https://tools.corp.com/mcp")
        if parts.username or parts.password:
            raise ValueError("url: keep credentials out of it; use secret_headers")
        plain = parts.scheme == "http" and parts.hostname not in _LOOPBACK
        if plain and not self.insecure_plain_http:
            raise ValueError(
                "url: what agents send and get would pass in the clear; use https, or "
                "insecure_plain_http = true where something in between encrypts"
            )


def with_mcp_secrets(
    servers: Sequence[McpConfig], secret: Callable[[str], str | None]
) -> tuple[McpConfig, ...]:
    """The servers with the secrets that they name among their headers and variables.

    Raises:
        ConfigError: two have one name, or a secret is not there.
    """
    names = [server.name for server in servers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"mcp: two servers are called {name}")

    def found(server: McpConfig, wanted: Mapping[str, str]) -> dict[str, str]:
        values: dict[str, str] = {}
        for name, variable in wanted.items():
            value = secret(variable)
            if value is None:
                raise ConfigError(
                    f"mcp {server.name}: {name} takes the secret {variable}, which is not set; "
                    f"set it, or {variable}_FILE, in the environment of the server"
                )
            if "\n" in value or "\r" in value:
                raise ConfigError(f"mcp {server.name}: the secret {variable} has a line break")
            values[name] = value
        return values

    return tuple(
        replace(
            server,
            headers={**server.headers, **found(server, server.secret_headers)},
            env={**server.env, **found(server, server.secret_env)},
        )
        for server in servers
    )
