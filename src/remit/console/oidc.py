"""OpenID Connect, authorization code flow with PKCE (RFC 7636), as a confidential client.

The protocol's parts are Authlib's; the token is believed by the same rules as any token that the
API takes (``[[identity.issuers]]``), and must carry the nonce of this very sign-in.
"""

from __future__ import annotations

import base64
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from msgspec import Struct

from remit.config.console import OidcConfig
from remit.errors import AuthenticationError

LIFETIME = 600_000_000_000
"""Nanoseconds in which somebody has to come back from the provider."""
_COOKIE = "remit_console_oidc"
_MOST = 1_024

Post = Callable[[str, Mapping[str, str], tuple[str, str]], Awaitable[bytes]]
"""Sends a form to a URL, with a name and a password (HTTP Basic). The answer's body.

Raises:
    OSError: there is no good answer.
"""


class Inbound(Struct, frozen=True, kw_only=True):
    """What the provider sends the browser back with."""

    state: str = ""
    code: str = ""
    error: str = ""
    error_description: str = ""
    iss: str = ""
    session_state: str = ""
    scope: str = ""


class Outbound(Struct, frozen=True, kw_only=True):
    """Somebody on their way to the provider."""

    url: str
    state: str

    def cookie(self, base_url: str) -> str:
        """The header ``Set-Cookie`` that ties the sign-in to this browser."""
        lock = "; Secure" if base_url.startswith("https://") else ""
        path = "Path=/console/oidc; Max-Age=600; HttpOnly; SameSite=Lax"
        return f"{_COOKIE}={self.state}; {path}{lock}"


class _Pending(Struct, frozen=True, kw_only=True):
    verifier: str
    nonce: str
    back: str
    until: int


class _Tokens(Struct):
    id_token: str


class _Claims(Struct):
    nonce: str = ""


class Provider:
    """One identity provider, and who is on the way to it. Lives in one event loop."""

    def __init__(
        self, config: OidcConfig, secret: str, entropy: Callable[[int], bytes], post: Post
    ) -> None:
        self._config = config
        self._secret = secret
        self._entropy = entropy
        self._post = post
        self._pending: OrderedDict[str, _Pending] = OrderedDict()

    @property
    def label(self) -> str:
        """What the button says."""
        return self._config.label

    def depart(self, back: str, now: int) -> Outbound:
        """Begin a sign-in.

        Args:
            back: where the provider sends the browser to.
            now: nanoseconds since the epoch.
        """
        state, nonce, verifier = (self._word() for _ in range(3))
        self._pending[state] = _Pending(
            verifier=verifier, nonce=nonce, back=back, until=now + LIFETIME
        )
        while len(self._pending) > _MOST:
            self._pending.popitem(last=False)
        url = prepare_grant_uri(
            self._config.authorization_endpoint,
            client_id=self._config.client_id,
            response_type="code",
            redirect_uri=back,
            scope=self._config.scope,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Outbound(url=str(url), state=state)

    async def arrive(self, arrival: Inbound, headers: Mapping[str, str], now: int) -> str:
        """The ID token of somebody who came back; its signature and claims are not checked yet.

        Raises:
            AuthenticationError: the provider refused, or this is not the sign-in that was begun.
        """
        pending = self._pending.pop(arrival.state, None)
        shown = _cookie(headers)
        if pending is None or now > pending.until or not _same(shown, arrival.state):
            raise AuthenticationError(
                "This sign-in was not begun in this browser, or took too long. Begin it anew."
            )
        if arrival.error or not arrival.code:
            raise AuthenticationError(
                f"The provider did not sign you in ({arrival.error[:100] or 'no code'})."
            )
        token = await self._exchanged(arrival.code, pending)
        if not _same(_nonce(token), pending.nonce):
            raise AuthenticationError("The provider's answer is for another sign-in.")
        return token

    async def _exchanged(self, code: str, pending: _Pending) -> str:
        """Exchange the code for the ID token.

        Raises:
            AuthenticationError: the provider does not answer as it should.
        """
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=pending.back,
            code=code,
            code_verifier=pending.verifier,
        )
        config = self._config
        try:
            answer = await self._post(
                config.token_endpoint, dict(parse_qsl(body)), (config.client_id, self._secret)
            )
            return msgspec.json.decode(answer, type=_Tokens).id_token
        except (OSError, msgspec.MsgspecError) as error:
            raise AuthenticationError(
                "The provider did not answer with an ID token. Try again, or look at "
                f"console.oidc.token_endpoint ({type(error).__name__})."
            ) from None

    def _word(self) -> str:
        return base64.urlsafe_b64encode(self._entropy(32)).decode().rstrip("=")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _cookie(headers: Mapping[str, str]) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("Cookie", ""))
    except CookieError:
        return ""
    found = jar.get(_COOKIE)
    return "" if found is None else found.value


def _nonce(token: str) -> str:
    """The claim ``nonce``, read before the signature is checked: the caller checks that next."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        return msgspec.json.decode(raw, type=_Claims).nonce
    except (ValueError, msgspec.MsgspecError):
        return ""
