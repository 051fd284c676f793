"""``[model_gateway]`` and ``[[models]]`` of ``remit.toml``: the model APIs behind the gateway.

The key of each is the secret ``REMIT_MODEL_<NAME>_KEY``, or a file that
``REMIT_MODEL_<NAME>_KEY_FILE`` names. What cannot be right is refused when it is read, with
``ValueError`` (which msgspec turns into an error that names the place).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from remit.config.units import ByteCount, Duration
from remit.errors import ConfigError

ApiFormat: TypeAlias = Literal["openai", "anthropic", "gemini"]

_URLS: Mapping[str, str] = {
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LONGEST = 3600.0
"""Seconds that any of the times may be."""


class GatewayConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[model_gateway]``: how requests pass, to whichever model API."""

    hold: Duration = Duration(30)
    """How long a tool call that a person must see keeps its answer waiting."""
    offered: Literal["remove", "refuse"] = "remove"
    """What becomes of tools in a request that its agent may not call."""
    body: ByteCount = ByteCount(32 * 1_048_576)
    """Of a request; pictures are in there."""
    session_idle: Duration = Duration(3600)
    """After how long without a request the session ends that a credential was given."""

    def __post_init__(self) -> None:
        """Refuse times and sizes that switch the gateway off.

        Raises:
            ValueError: says which.
        """
        if not 0 <= self.hold <= _LONGEST:
            raise ValueError("hold must be between 0s and 1h")
        if not 1024 <= self.body <= 1024**3:
            raise ValueError("body must be between 1KiB and 1024MiB")
        if not 1 <= self.session_idle <= 30 * 86_400:
            raise ValueError("session_idle must be between 1s and 720h")


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[models]]``: a model API, the models it is asked for, and how long it may take."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,31}$")]
    """Stands in the names of actions: ``model.<name>.<model>``."""
    format: ApiFormat
    url: str | None = None
    """Where it is, without the ``/v1``; left out: where its provider has it."""
    models: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)] = ("*",)
    """Names, or patterns with ``*``, of the models that are asked for here."""
    keyless: bool = False
    """Whether it wants no key, such as a model on this machine."""
    failover: tuple[str, ...] = ()
    """Names of others of the same format, asked in this order where this one takes nothing on."""
    retries: Annotated[int, Meta(ge=0, le=5)] = 1
    """How often a request is sent again that certainly was not taken on."""
    connect: Duration = Duration(10)
    """How long it may take to connect."""
    silence: Duration = Duration(600)
    """How long it may say nothing, before an answer and in the middle of one."""
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 256
    """Most at a time."""
    max_output: Annotated[int, Meta(ge=1, le=10_000_000)] = 32_768
    """Tokens that an answer is taken to have at most where its request sets no limit."""
    limit_name: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """How Chat Completions call the limit here; ``max_tokens`` for Ollama and llama.cpp."""

    def __post_init__(self) -> None:
        """Refuse what cannot be right, or would send the key in the clear.

        Raises:
            ValueError: says what.
        """
        if self.url is not None:
            _check_place(self.url)
        for name, value in (("connect", self.connect), ("silence", self.silence)):
            if not 0.05 <= value <= _LONGEST:
                raise ValueError(f"{name} must be between 50ms and 1h")
        if self.name in self.failover:
            raise ValueError("failover: it cannot stand in for itself")

    @property
    def place(self) -> str:
        """The URL in front of ``/v1/...``, without a slash at its end."""
        return self.url if self.url is not None else _URLS[self.format]

    @property
    def variable(self) -> str:
        """The environment variable with its key."""
        return f"REMIT_MODEL_{self.name.upper().replace('-', '_')}_KEY"


class ModelApi(Struct, frozen=True, kw_only=True):
    """A model API with its key. Not to be logged."""

    settings: ModelConfig
    key: str
    """Empty where it wants none."""

    def __repr__(self) -> str:
        return f"<model api {self.settings.name}>"


def with_keys(
    models: Sequence[ModelConfig], secret: Callable[[str], str | None]
) -> tuple[ModelApi, ...]:
    """The model APIs with their keys.

    Args:
        models: what is configured.
        secret: the value of a secret by the name of its variable, None where it is not set.

    Raises:
        ConfigError: a key is missing or unusable, or names do not fit together.
    """
    known = {each.name: each for each in models}
    if len(known) < len(models):
        raise ConfigError("models: a name is there twice; give each model API its own")
    for each in models:
        for other in each.failover:
            if other not in known:
                raise ConfigError(f"models: {each.name}: failover: there is no {other!r}")
            if known[other].format != each.format:
                raise ConfigError(
                    f"models: {each.name}: failover: {other} speaks another format; requests are "
                    "not translated"
                )
    return tuple(ModelApi(settings=each, key=_key(each, secret)) for each in models)


def _key(settings: ModelConfig, secret: Callable[[str], str | None]) -> str:
    if settings.keyless:
        return ""
    value = secret(settings.variable)
    if not value:
        raise ConfigError(
            f"models: {settings.name}: its key is missing: set {settings.variable}, or let "
            f"{settings.variable}_FILE name a file that holds it; keyless = true if it wants none"
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{settings.variable}: this is no key that can be sent in a header")
    return value


def _check_place(url: str) -> None:
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if (
        not parts.hostname
        or parts.query
        or parts.fragment
        or not (parts.scheme == "https" or local)
    ):
        raise ValueError("`url` must begin with https:// (or name this machine)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("`url` must not hold a password")
    if url.endswith(("/", "/v1", "/v1beta")):
        raise ValueError("`url` ends before the /v1 that requests bring along, without a slash")
