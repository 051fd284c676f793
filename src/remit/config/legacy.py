"""``[[legacy]]`` of ``remit.toml``: HTTP APIs that know nothing of agents, at ``/legacy/NAME``.

What they want to be shown (keys, passwords, client secrets) is named here and read from the
environment, or from the file that ``<NAME>_FILE`` names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from remit.config.mcp import Variable
from remit.config.units import ByteCount, Duration
from remit.errors import ConfigError
from remit.model import Does

HeaderName: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,64}$")]
ServerPath: TypeAlias = Annotated[str, Meta(pattern="^/[!-~]*$", max_length=1024)]
_AUTHORITY = re.compile(r"[A-Za-z0-9_.-]{1,253}(?::[0-9]{1,5})?")
_LONGEST = 540.0
"""Seconds that a request may take: what is admitted has to be settled within ten minutes."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TAKEN = frozenset({"http", "graphql", "soap", "model", "hosted"})
"""With these, names of actions begin that are no operations of a server."""
_OURS = frozenset({"authorization", "proxy-authorization", "x-api-key"})
"""Where agents show their Remit credential."""
_FRAMING = frozenset({"host", "content-length", "connection", "transfer-encoding", "upgrade", "te"})


class BreakerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[legacy.breaker]``: when a server that fails is left alone, and for how long."""

    failures: Annotated[int, Meta(ge=1, le=1000)] = 5
    """Requests in a row that were not answered, or with 502, 503 or 504."""
    pause: Duration = Duration(10)
    """How long nothing is sent then; after that, one request finds out."""

    def __post_init__(self) -> None:
        """Refuse pauses that are none, or for good.

        Raises:
            ValueError: says so.
        """
        if not 0.1 <= self.pause <= 3600:
            raise ValueError("pause must be between 100ms and 1h")


class UpstreamCredential(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[legacy.credentials]]``: what a server is shown, and for which operations.

    A header with a secret; with ``user`` a name and password (Basic); with ``token_url`` a token
    that is fetched (OAuth 2.0), by client credentials or by a refresh token.
    """

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
    """Stands in the record of each request that it was used for."""
    does: tuple[Does, ...] = ()
    """The operations that it is for; left out: all that no other is for."""
    secret: Variable
    """The secret: key, password, client secret."""
    header: HeaderName = "Authorization"
    prefix: str | None = None
    """Stands before the secret; ``Bearer `` in ``Authorization``, else nothing."""
    user: str | None = None
    token_url: str | None = None
    client_id: str | None = None
    scope: str | None = None
    refresh_secret: Variable | None = None
    """The secret with a refresh token; without it, client credentials are used."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises:
            ValueError: says what.
        """
        if self.header.lower() in _FRAMING:
            raise ValueError(f"{self.header!r} cannot hold a credential")
        if self.user is not None and (self.token_url is not None or ":" in self.user):
            raise ValueError("user: a name without a colon, and no token_url beside it")
        if (self.token_url is None) is not (self.client_id is None):
            raise ValueError("token_url and client_id go together")
        if self.token_url is None and (self.scope or self.refresh_secret):
            raise ValueError("scope and refresh_secret need a token_url")
        if self.token_url is not None:
            _check_url("token_url", self.token_url, plain=False)
        if self.prefix is not None and not self.prefix.isprintable():
            raise ValueError("prefix: printable characters only")


class LegacyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[legacy]]``: a server, what is looked at in requests to it, and how it is treated."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
    """Where it is mounted: ``/legacy/<name>``; stands before the names of its operations."""
    url: str
    """Scheme, host and port, and perhaps a path that all of its paths begin with."""
    host: str | None = None
    """What it is called in ``Host`` and in policy, where that is not in ``url``."""
    openapi: Path | None = None
    """Its OpenAPI document (JSON or YAML), for names and types of operations."""
    headers: tuple[HeaderName, ...] = ()
    """Headers of requests that policy sees, as ``args.headers``."""
    pass_headers: tuple[HeaderName, ...] = ()
    """Headers of requests that are passed on although they say who calls, such as ``Cookie``."""
    graphql: tuple[ServerPath, ...] = ()
    """Paths at which it speaks GraphQL, besides those that end in ``/graphql``."""
    credentials: tuple[UpstreamCredential, ...] = ()
    hold: Duration = Duration(0)
    """How long a request that a person must see waits before it is answered with a handle."""
    idempotency: Literal["accepted", "required"] = "accepted"
    """Whether requests that do more than read must have an ``Idempotency-Key``."""
    timeout: Duration = Duration(60)
    """How long it may take to answer."""
    connect: Duration = Duration(5)
    """How long it may take to connect."""
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Most at a time."""
    max_body: ByteCount = ByteCount(4 * 1_048_576)
    """Of a request."""
    max_answer: ByteCount = ByteCount(16 * 1_048_576)
    """Of an answer; a larger one is withheld."""
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    insecure_plain_http: bool = False
    """Whether ``url`` may go to another machine without TLS."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, or not safely.

        Raises:
            ValueError: says what.
        """
        if self.name in _TAKEN:
            raise ValueError(f"name: names of other actions begin with {self.name}; choose another")
        _check_url("url", self.url, plain=self.insecure_plain_http)
        if self.url.endswith("/"):
            raise ValueError(f"url: write it without the slash at its end: {self.url.rstrip('/')}")
        if self.host is not None and not _AUTHORITY.fullmatch(self.host):
            raise ValueError(f"host: {self.host!r} is no host name")
        for name in (*self.headers, *self.pass_headers):
            if name.lower() in _FRAMING | _OURS or name.lower().startswith("x-remit-"):
                raise ValueError(f"{name!r} is Remit's own: it is neither shown nor passed on")
        for name, value in (("timeout", self.timeout), ("connect", self.connect)):
            if not 0.05 <= value <= _LONGEST:
                raise ValueError(f"{name} must be between 50ms and 9m")
        if not 0 <= self.hold <= 3600:
            raise ValueError("hold must be between 0s and 1h")
        for name, size in (("max_body", self.max_body), ("max_answer", self.max_answer)):
            if not 1024 <= size <= 1024**3:
                raise ValueError(f"{name} must be between 1KiB and 1024MiB")
        _check_credentials(self.credentials)

    @property
    def shown_host(self) -> str:
        """What stands in ``Host`` and in the names of actions."""
        return urlsplit(self.url).netloc if self.host is None else self.host


class LegacySecrets(Struct, frozen=True, kw_only=True):
    """The secrets of one server's credentials, by the name of the variable. Not to be logged."""

    values: Mapping[str, str]

    def __repr__(self) -> str:
        return "<secrets>"


def with_legacy_secrets(
    servers: Sequence[LegacyConfig], secret: Callable[[str], str | None]
) -> tuple[tuple[LegacyConfig, LegacySecrets], ...]:
    """The servers with the secrets that their credentials name.

    Raises:
        ConfigError: two servers have one name, or a secret is not there or cannot be sent.
    """
    names = [server.name for server in servers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"legacy: two servers are called {name}")
    return tuple((server, _secrets(server, secret)) for server in servers)


def _secrets(server: LegacyConfig, secret: Callable[[str], str | None]) -> LegacySecrets:
    values: dict[str, str] = {}
    for each in server.credentials:
        for variable in filter(None, (each.secret, each.refresh_secret)):
            value = secret(variable)
            if not value:
                raise ConfigError(
                    f"legacy {server.name}: {each.name} takes the secret {variable}, which is not "
                    f"set; set it, or {variable}_FILE, in the environment of the server"
                )
            if not value.isascii() or not value.isprintable():
                raise ConfigError(f"{variable}: this is no secret that can be sent in a header")
            values[variable] = value
    return LegacySecrets(values=values)


def _check_credentials(credentials: Sequence[UpstreamCredential]) -> None:
    names = [each.name for each in credentials]
    if len(set(names)) < len(names):
        raise ValueError("credentials: a name is there twice")
    if sum(not each.does for each in credentials) > 1:
        raise ValueError("credentials: two are for all operations; say with does which are for one")
    claimed = [does for each in credentials for does in each.does]
    if len(set(claimed)) < len(claimed):
        raise ValueError("credentials: two are for the same kind of operation")


def _check_url(name: str, url: str, *, plain: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{name}: {url!r} is no URL like https://inventory.corp.com")
    if parts.username or parts.password:
        raise ValueError(f"{name}: keep credentials out of it; use [[legacy.credentials]]")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not plain:
        raise ValueError(
            f"{name}: what is sent would pass in the clear; use https, or insecure_plain_http = "
            "true where something in between encrypts"
        )
