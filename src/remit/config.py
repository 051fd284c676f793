"""One TOML file, ``remit.toml``, as a frozen ``Config``."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field


class TlsConfig(Struct, frozen=True, kw_only=True):
    """``[server.tls]``: files in PEM form."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """Roots that client certificates must go back to; None: clients show none."""


class ServerConfig(Struct, frozen=True, kw_only=True):
    """``[server]``: where the server listens and how clients know it."""

    listen: tuple[tuple[str, int], ...] = (("127.0.0.1", 8700),)
    socket: Path | None = None
    socket_mode: int = 0o600
    public_url: str | None = None
    tls: TlsConfig | None = None
    insecure_plain_http: bool = False
    drain: float = 10.0
    """Seconds that requests get to finish when the server ends."""


class LimitsConfig(Struct, frozen=True, kw_only=True):
    """``[limits]``: how much one client may ask of the server. Bytes and seconds."""

    body: int = 1_048_576
    header: int = 8_190
    depth: int = 64
    connections: int = 1_024
    request_time: float = 30.0
    keepalive: float = 75.0


class Config(Struct, frozen=True, kw_only=True):
    """All settings of ``remit serve``. Paths are absolute or relative to the working directory."""

    server: ServerConfig = field(default_factory=ServerConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    policy: Path = Path("remit.yaml")
    store: Path = Path("remit.db")
    key: Path = Path("remit.key")
