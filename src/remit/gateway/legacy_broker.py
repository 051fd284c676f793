"""The credential broker: what a server is shown, after the decision and never by agents.

Which credential is used depends on what the operation does: a read gets the read credential. Tokens
are fetched when they are needed and kept until shortly before they end.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from urllib.parse import quote_plus

import aiohttp
from msgspec import Struct

from remit.config.legacy import LegacySecrets, UpstreamCredential
from remit.model import Does

_MARK = b"[credential]"
_EARLY = 30.0
"""Seconds before its end at which a token is not used any more."""
_UNKNOWN_LIFE = 300.0
"""Seconds for which a token is kept whose end its server did not say."""
_MAX_ANSWER = 65_536
_SHORTEST = 4
"""Characters from which on a secret is looked for in answers."""


class CredentialUnavailable(Exception):  # noqa: N818 - what happened
    """A credential cannot be had. Its text names the credential, never a value."""


class _Token(Struct, frozen=True):
    value: str
    until: float


class CredentialBroker:
    """The credentials for one server."""

    def __init__(
        self,
        credentials: Sequence[UpstreamCredential],
        secrets: LegacySecrets,
        session: aiohttp.ClientSession,
    ) -> None:
        """Get ready; no token is fetched yet.

        Args:
            credentials: what there is.
            secrets: their values.
            session: reaches token endpoints.
        """
        self._all = tuple(credentials)
        self._secrets = secrets.values
        self._session = session
        self._tokens: dict[str, _Token] = {}
        self._refresh: dict[str, str] = {}
        self._locks = {each.name: asyncio.Lock() for each in credentials}

    def __repr__(self) -> str:
        return f"<credentials {', '.join(each.name for each in self._all)}>"

    def choose(self, does: Iterable[Does]) -> UpstreamCredential | None:
        """The credential for an operation; None where the server wants none.

        Raises:
            CredentialUnavailable: there are credentials, but none for that.
        """
        wanted = set(does)
        for each in self._all:
            if each.does and wanted.issubset(each.does):
                return each
        for each in self._all:
            if not each.does:
                return each
        if self._all:
            words = ", ".join(sorted(each.value for each in wanted))
            raise CredentialUnavailable(f"there is no credential for what it does ({words})")
        return None

    async def shown(self, chosen: UpstreamCredential) -> tuple[str, str]:
        """The header that shows a credential: name and value. Not to be logged.

        Raises:
            CredentialUnavailable: its token could not be fetched.
        """
        if chosen.user is not None:
            pair = f"{chosen.user}:{self._secrets[chosen.secret]}"
            return chosen.header, f"Basic {base64.b64encode(pair.encode()).decode()}"
        value = self._secrets[chosen.secret]
        if chosen.token_url is not None:
            value = await self._token(chosen)
        prefix = chosen.prefix
        if prefix is None:
            prefix = "Bearer " if chosen.header.lower() == "authorization" else ""
        return chosen.header, f"{prefix}{value}"

    def rejected(self, chosen: UpstreamCredential) -> None:
        """The server did not take it: the next request fetches another token."""
        self._tokens.pop(chosen.name, None)

    def hidden(self, data: bytes) -> bytes:
        """The same without any secret of these credentials in it: some servers echo them."""
        for secret in (*self._secrets.values(), *(token.value for token in self._tokens.values())):
            if len(secret) >= _SHORTEST and (raw := secret.encode()) in data:
                data = data.replace(raw, _MARK)
        return data

    def hidden_in_headers(
        self, headers: tuple[tuple[str, str], ...]
    ) -> tuple[tuple[str, str], ...]:
        """The same of headers."""
        values = "\n".join(value for _, value in headers).encode("latin-1")
        if self.hidden(values) is values:
            return headers
        return tuple(
            (name, self.hidden(value.encode("latin-1")).decode("latin-1"))
            for name, value in headers
        )

    async def _token(self, chosen: UpstreamCredential) -> str:
        async with self._locks[chosen.name]:
            kept = self._tokens.get(chosen.name)
            if kept is None or kept.until <= monotonic():
                kept = self._tokens[chosen.name] = await self._fetched(chosen)
            return kept.value

    async def _fetched(self, chosen: UpstreamCredential) -> _Token:
        assert chosen.token_url is not None
        assert chosen.client_id is not None
        try:
            async with self._session.post(
                chosen.token_url,
                data=self._grant(chosen),
                headers={
                    "Accept": "application/json",
                    "Authorization": _client(chosen.client_id, self._secrets[chosen.secret]),
                },
                allow_redirects=False,
            ) as answer:
                body = await answer.content.read(_MAX_ANSWER)
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise _unavailable(chosen, "its token endpoint did not answer") from None
        if status != 200:
            raise _unavailable(chosen, f"its token endpoint answered {status}")
        return self._read(chosen, body)

    def _grant(self, chosen: UpstreamCredential) -> dict[str, str]:
        form = {"grant_type": "client_credentials"}
        if chosen.refresh_secret is not None:
            first = self._secrets[chosen.refresh_secret]
            token = self._refresh.get(chosen.name, first)
            form = {"grant_type": "refresh_token", "refresh_token": token}
        if chosen.scope is not None:
            form["scope"] = chosen.scope
        return form

    def _read(self, chosen: UpstreamCredential, body: bytes) -> _Token:
        try:
            answer: Mapping[str, object] = json.loads(body)
            value, life = answer["access_token"], answer.get("expires_in", _UNKNOWN_LIFE)
            rotated = answer.get("refresh_token")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _unavailable(chosen, "its token endpoint did not answer with a token") from None
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise _unavailable(chosen, "its token endpoint answered with an unusable token")
        if isinstance(rotated, str):
            self._refresh[chosen.name] = rotated
        seconds = float(life) if isinstance(life, int | float) else _UNKNOWN_LIFE
        return _Token(value, monotonic() + max(1.0, seconds - _EARLY))


def _client(client_id: str, secret: str) -> str:
    """How a client shows who it is (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _unavailable(chosen: UpstreamCredential, why: str) -> CredentialUnavailable:
    return CredentialUnavailable(f"the credential {chosen.name} cannot be had: {why}")
