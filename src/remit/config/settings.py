"""Every table and key of ``remit.toml``, as frozen structs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from remit.config.authzen import AuthZenConfig
from remit.config.console import ConsoleConfig
from remit.config.egress import EgressConfig, EnvoyConfig
from remit.config.legacy import LegacyConfig
from remit.config.mcp import McpConfig
from remit.config.models import GatewayConfig, ModelConfig
from remit.config.units import Address, ByteCount, Duration
from remit.identity.settings import IdentitySettings
from remit.storage.opening import check_url
from remit.webhooks.settings import WebhookSettings


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server.tls]``: files in PEM form.

    The password of an encrypted key is the secret ``REMIT_TLS_KEY_PASSWORD``.
    """

    certificate: Path
    """The server's certificate, then the intermediate ones."""
    key: Path
    client_ca: Path | None = None
    """Roots that client certificates must go back to. Without it clients show none."""


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server]``: where the server listens and how clients know it."""

    listen: tuple[Address, ...] = (Address("127.0.0.1:8700"),)
    socket: Path | None = Path("remit.sock")
    """Unix socket; ``""`` for none."""
    socket_mode: Annotated[int, Meta(ge=0o600, le=0o777)] = 0o600
    """Permissions of the socket, such as ``0o660``: who may connect to it."""
    public_url: str | None = None
    """How clients reach the server, where that is not what they write into ``Host``."""
    tls: TlsConfig | None = None
    insecure_plain_http: bool = False
    """Whether to listen without TLS where other machines can connect."""
    drain: Duration = Duration(10)
    """How long requests may take to finish when the server ends."""

    def __post_init__(self) -> None:
        """Refuse combinations that do not do, or not safely.

        Raises:
            ValueError: says which.
        """
        if not self.listen and self.socket is None:
            raise ValueError('with listen = [] and socket = "" nobody can connect')
        open_to_others = [address for address in self.listen if not address.loopback]
        if open_to_others and self.tls is None and not self.insecure_plain_http:
            raise ValueError(
                f"{open_to_others[0]} can be reached from other machines, and credentials would "
                "be sent to it in the clear; add [server.tls], or insecure_plain_http = true "
                "where something in front of the server encrypts"
            )
        if self.public_url is not None:
            _check_url(self.public_url)
        if not 0 <= self.drain <= 600:
            raise ValueError("drain must be between 0s and 10m")


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[limits]``: how much clients may ask of the server."""

    body: ByteCount = ByteCount(4 * 1_048_576)
    """Arguments, and results, are held to 1 MiB of their own."""
    header: ByteCount = ByteCount(8_192)
    """Of one line of a request's head."""
    depth: Annotated[int, Meta(ge=4, le=256)] = 72
    """Nesting of a JSON body; arguments are held to 64 levels of their own."""
    connections: Annotated[int, Meta(ge=1, le=100_000)] = 1_024
    request_time: Duration = Duration(30)
    """To send a body, and again to answer it. What waits by design has its time on top."""
    keepalive: Duration = Duration(75)
    """How long a connection may be silent."""

    def __post_init__(self) -> None:
        """Refuse what would switch a limit off or stop the server from working.

        Raises:
            ValueError: says which.
        """
        if not 1024 <= self.body <= 1024**3:
            raise ValueError("body must be between 1KiB and 1024MiB")
        if not 1024 <= self.header <= 1024**2:
            raise ValueError("header must be between 1KiB and 1MiB")
        for name, value in (("request_time", self.request_time), ("keepalive", self.keepalive)):
            if not 0.1 <= value <= 3600:
                raise ValueError(f"{name} must be between 100ms and 1h")


class PolicyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[policy]``: what is in force."""

    path: Path = Path("remit.yaml")
    """A document, or a folder of them. Watched."""
    poll: Duration = Duration(1)
    """How often to look whether it has changed."""

    def __post_init__(self) -> None:
        """Refuse to look all the time.

        Raises:
            ValueError: says so.
        """
        if not 0.05 <= self.poll <= 3600:
            raise ValueError("poll must be between 50ms and 1h")


class StoreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[store]``: where state and the log live.

    The password of the user in ``url`` is the secret ``REMIT_STORE_PASSWORD``.
    """

    path: Path = Path("remit.db")
    url: str | None = None
    """A PostgreSQL database instead, ``postgresql://USER@HOST/DATABASE``: for several nodes."""
    node: str | None = None
    """What this node is called in its fleet; by default after its machine. No two alike."""
    timeout: Duration = Duration(10)
    """How long to go on without the database before requests are refused."""

    def __post_init__(self) -> None:
        """Refuse an address that does not do.

        Raises:
            ValueError: says why.
        """
        if self.url is not None:
            check_url(self.url)
        if not 0.1 <= self.timeout <= 600:
            raise ValueError("timeout must be between 100ms and 10m")


class SigningConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[signing]``: who signs the log."""

    key: Path = Path("remit.key")
    """Made when it is not there, with ``remit.pub`` beside it."""
    interval: Duration = Duration(5)
    """How old the newest checkpoint of a growing log may be."""

    def __post_init__(self) -> None:
        """Refuse an interval at which nothing would be signed, or all the time.

        Raises:
            ValueError: says so.
        """
        if not 0.1 <= self.interval <= 3600:
            raise ValueError("interval must be between 100ms and 1h")


class SessionsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[sessions]``: whose word it is what a user said after a session was opened."""

    user_turns: Literal["host", "agents"] = "host"
    """``host``: only services say it. ``agents``: agents' own credentials may, too, and user
    messages that pass through the model gateway count. A hijacked agent could then make some up."""


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[log]``: what the server says on standard error, as JSON lines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """``debug`` has a line for every request."""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of ``remit serve``. Paths are absolute."""

    server: ServerConfig = field(default_factory=ServerConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    signing: SigningConfig = field(default_factory=SigningConfig)
    sessions: SessionsConfig = field(default_factory=SessionsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    authzen: AuthZenConfig = field(default_factory=AuthZenConfig)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    webhooks: tuple[WebhookSettings, ...] = ()
    model_gateway: GatewayConfig = field(default_factory=GatewayConfig)
    models: tuple[ModelConfig, ...] = ()
    mcp: tuple[McpConfig, ...] = ()
    egress: EgressConfig | None = None
    envoy: EnvoyConfig | None = None
    legacy: tuple[LegacyConfig, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that would give actions of two servers the same name.

        Raises:
            ValueError: says which.
        """
        both = {each.name for each in self.mcp} & {each.name for each in self.legacy}
        if both:
            raise ValueError(f"[[mcp]] and [[legacy]] have the same name: {sorted(both)[0]}")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"public_url: {url!r} is no URL like https://remit.corp.com")
    if url.endswith("/"):
        raise ValueError(f"public_url: write it without the slash at its end: {url.rstrip('/')}")
