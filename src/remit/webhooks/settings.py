"""``[[webhooks]]`` of ``remit.toml``: who is told of what. Secrets come from the environment.

Every struct refuses unknown keys; what cannot be right is refused when it is read, with
``ValueError`` (which msgspec turns into an error that names the place).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from remit.deliveries import EventKind
from remit.errors import ConfigError

_PREFIX = "whsec_"
_SHORTEST = 24
"""Bytes of a signing secret, as Standard Webhooks wants it."""
_SECRET_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
"""Whoever knows a URL on these can post: such a URL is a secret as a whole."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[webhooks]]``.

    Its secrets are ``REMIT_WEBHOOK_<NAME>_SECRET`` (to sign with) and, where the URL is a secret
    too, ``REMIT_WEBHOOK_<NAME>_URL``; each also as a file named by the same variable with
    ``_FILE`` at its end. ``<NAME>`` is the name in capitals, with ``_`` for ``-``.
    """

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,31}$")]
    url: str | None = None
    """Left out: it is in ``REMIT_WEBHOOK_<NAME>_URL``."""
    format: Literal["json", "slack"] = "json"
    events: tuple[EventKind, ...] = (
        "approval.pending",
        "approval.approved",
        "approval.rejected",
        "approval.expired",
        "approval.withdrawn",
        "stop.set",
        "stop.lifted",
        "budget.reached",
        "budget.overrun",
        "runaway.seen",
    )
    arguments: bool = True
    """Whether the arguments of held calls are sent along."""

    def __post_init__(self) -> None:
        """Refuse a URL that is none, is not safe, or is a secret.

        Raises:
            ValueError: says which.
        """
        if self.url is not None:
            if urlsplit(self.url).hostname in _SECRET_HOSTS:
                raise ValueError(f"this URL is a secret: put it into {self.variable('URL')}")
            check_url(self.url)
        if not self.events:
            raise ValueError("`events` must not be empty")

    def variable(self, what: str) -> str:
        """The environment variable of a secret: ``URL`` or ``SECRET``."""
        return f"REMIT_WEBHOOK_{self.name.upper().replace('-', '_')}_{what}"


class Webhook(Struct, frozen=True, kw_only=True):
    """A webhook with its secrets. Not to be logged."""

    settings: WebhookSettings
    url: str
    key: bytes | None
    """What to sign with; None for Slack, which looks at no signature."""

    def __repr__(self) -> str:
        return f"<webhook {self.settings.name}>"


def check_url(url: str) -> None:
    """Refuse to send anything in the clear, but on this machine.

    Raises:
        ValueError: it is not such a URL.
    """
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or parts.fragment or not (parts.scheme == "https" or local):
        raise ValueError("`url` must begin with https:// (or name this machine)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("`url` must not hold a password")


def with_secrets(
    webhooks: Iterable[WebhookSettings], secret: Callable[[str], str | None]
) -> tuple[Webhook, ...]:
    """The webhooks with their secrets.

    Args:
        webhooks: what is configured.
        secret: the value of a secret by the name of its variable, None where it is not set.

    Raises:
        ConfigError: a secret is missing or unusable, or two webhooks have one name.
    """
    found: dict[str, Webhook] = {}
    for each in webhooks:
        if each.name in found:
            raise ConfigError(f"webhooks: two have the name {each.name}; their secrets would mix")
        found[each.name] = Webhook(settings=each, url=_url(each, secret), key=_key(each, secret))
    return tuple(found.values())


def _url(each: WebhookSettings, secret: Callable[[str], str | None]) -> str:
    if each.url is not None:
        return each.url
    variable = each.variable("URL")
    given = secret(variable)
    if not given:
        raise ConfigError(f"webhooks: {each.name}: give `url`, or set {variable}")
    try:
        check_url(given)
    except ValueError as problem:
        # The value is a secret: it is not quoted.
        raise ConfigError(f"{variable}: {str(problem).replace('`url`', 'it')}") from None
    return given


def _key(each: WebhookSettings, secret: Callable[[str], str | None]) -> bytes | None:
    """The bytes to sign with: after ``whsec_`` in Base64, else the text as it is."""
    variable = each.variable("SECRET")
    given = secret(variable)
    if not given:
        if each.format == "slack":
            return None
        raise ConfigError(f"webhooks: {each.name}: set {variable}, so that receivers can tell")
    key = given.encode()
    if given.startswith(_PREFIX):
        try:
            key = base64.b64decode(given.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(f"{variable}: what follows {_PREFIX} is not Base64") from None
    if len(key) < _SHORTEST:
        raise ConfigError(f"{variable}: shorter than {_SHORTEST} bytes; take a random one")
    return key
