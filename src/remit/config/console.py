"""``[console]`` of ``remit.toml``: the pages for people, and how they sign in."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from remit.config.units import Duration

OIDC_SECRET = "REMIT_CONSOLE_OIDC_SECRET"  # noqa: S105 - the name of a variable
"""Where the secret of the OIDC client comes from."""
_SAFE_URLS = ("https://", "http://127.0.0.1:", "http://[::1]:", "http://localhost:")


class OidcConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[console.oidc]``: signing in with an identity provider.

    Its tokens are believed as ``[[identity.issuers]]`` says, where the client must be an audience.
    """

    issuer: Annotated[str, Meta(min_length=1, max_length=200)]
    """The ``name`` of one of ``[[identity.issuers]]``."""
    client_id: Annotated[str, Meta(min_length=1, max_length=400)]
    authorization_endpoint: Annotated[str, Meta(max_length=2000)]
    token_endpoint: Annotated[str, Meta(max_length=2000)]
    scope: Annotated[str, Meta(max_length=400)] = "openid"
    label: Annotated[str, Meta(min_length=1, max_length=60)] = "Sign in with your organisation"
    """What the button says."""

    def __post_init__(self) -> None:
        """Refuse endpoints that others could listen in on.

        Raises:
            ValueError: says which.
        """
        for name in ("authorization_endpoint", "token_endpoint"):
            if not getattr(self, name).startswith(_SAFE_URLS):
                raise ValueError(f"{name} must begin with https:// (or name this machine)")
        if "openid" not in self.scope.split():
            raise ValueError("scope must contain the word openid")


class ConsoleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[console]``."""

    enabled: bool = True
    """Whether the server has pages at all."""
    session: Duration = Duration(12 * 3600)
    """How long somebody stays signed in."""
    oidc: OidcConfig | None = None

    def __post_init__(self) -> None:
        """Refuse sessions that end at once or never.

        Raises:
            ValueError: says so.
        """
        if not 60 <= self.session <= 7 * 86_400:
            raise ValueError("session must be between 1m and 7 days")
