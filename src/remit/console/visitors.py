"""Who is signed in to the console: tokens of cookies, and whom they stand for.

Kept in memory and bounded: who restarts the server signs everybody out. A token is 32 random
bytes; its digest is what is kept. Times are nanoseconds since the Unix epoch.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie

from msgspec import Struct
from msgspec.structs import replace

from remit.credentials import CredentialId
from remit.identity.model import Identity
from remit.storage import Snapshot

COOKIE = "remit_console"
SECURE_COOKIE = "__Host-remit_console"
"""Where the server is reached over TLS: browsers keep other hosts and plain HTTP from setting it.
"""
MOST = 4_096
"""People who are signed in at a time; the one who came first has to go."""


class Visitor(Struct, frozen=True, kw_only=True):
    """Somebody who has signed in."""

    identity: Identity
    until: int


class Visitors:
    """Everybody who is signed in. Lives in one event loop."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._known: OrderedDict[bytes, Visitor] = OrderedDict()

    def admit(self, identity: Identity, until: int) -> str:
        """Sign somebody in. The text of their cookie, which is kept nowhere."""
        token = self._entropy(32).hex()
        self._known[_digest(token)] = Visitor(identity=identity, until=until)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return token

    def find(self, token: str, now: int) -> Visitor | None:
        """Who a cookie stands for; None when it is not, or no longer, good."""
        visitor = self._known.get(_digest(token))
        if visitor is not None and visitor.until <= now:
            self.leave(token)
            return None
        return visitor

    def leave(self, token: str) -> None:
        """Sign somebody out."""
        self._known.pop(_digest(token), None)


def today(view: Snapshot, identity: Identity, now: int) -> Identity | None:
    """The identity with the rights that its API key has today; None when the key is not good.

    What signed in otherwise is good for as long as its session.
    """
    kind, _, name = identity.credential.partition(":")
    if kind != "key":
        return identity
    credential = view.credential(CredentialId(name))
    if credential is None or not credential.active(now):
        return None
    return replace(identity, rights=frozenset(credential.rights))


def cookie_of(headers: Mapping[str, str]) -> str | None:
    """The token that a browser shows."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("Cookie", ""))
    except CookieError:
        return None
    found = jar.get(SECURE_COOKIE) or jar.get(COOKIE)
    return None if found is None else found.value


def stamped(token: str, seconds: int, base_url: str) -> str:
    """The header ``Set-Cookie`` that has a browser show ``token``; none from ``seconds`` 0 on.

    Lax and not strict: the browser comes back from an identity provider by a link of its page.
    """
    secure = base_url.startswith("https://")
    name = SECURE_COOKIE if secure else COOKIE
    lock = "; Secure" if secure else ""
    return f"{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{lock}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
