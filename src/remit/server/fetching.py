"""Fetching what settings name: the keys of a token issuer, the tokens of an identity provider."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote

import aiohttp

from remit.config import Config, secret
from remit.config.console import OIDC_SECRET
from remit.console.oidc import Provider
from remit.errors import ConfigError
from remit.identity.jwks import MAX_DOCUMENT

_PATIENCE = aiohttp.ClientTimeout(total=10)


async def fetch_document(session: aiohttp.ClientSession, url: str) -> bytes:
    """The document at ``url``, and at no other address: redirects are not followed.

    Raises:
        OSError: it cannot be had within 10 seconds, is not there, or is larger than a key set.
    """
    try:
        async with session.get(url, allow_redirects=False, timeout=_PATIENCE) as response:
            if response.status != 200:
                raise OSError(f"it answers {response.status}")
            document = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                document += chunk
                if len(document) > MAX_DOCUMENT:
                    raise OSError(f"it is larger than {MAX_DOCUMENT} bytes")
            return bytes(document)
    except (aiohttp.ClientError, TimeoutError) as fault:
        raise OSError(str(fault) or type(fault).__name__) from None


async def post_form(
    session: aiohttp.ClientSession, url: str, form: Mapping[str, str], who: tuple[str, str]
) -> bytes:
    """What ``url`` answers to a form that is sent with a name and a password (HTTP Basic).

    Raises:
        OSError: there is no answer within 10 seconds, or it is no good one.
    """
    shown = ":".join(quote(part, safe="") for part in who)  # RFC 6749 section 2.3.1
    basic = base64.b64encode(shown.encode()).decode()
    try:
        async with session.post(
            url,
            data=dict(form),
            headers={"Accept": "application/json", "Authorization": f"Basic {basic}"},
            allow_redirects=False,
            timeout=_PATIENCE,
        ) as response:
            if response.status != 200:
                raise OSError(f"it answers {response.status}")
            return await response.content.read(MAX_DOCUMENT)
    except (aiohttp.ClientError, TimeoutError) as fault:
        raise OSError(str(fault) or type(fault).__name__) from None


def provider_of(
    config: Config, session: aiohttp.ClientSession, entropy: Callable[[int], bytes]
) -> Provider | None:
    """The identity provider that the console lets people sign in with; None: there is none.

    Raises:
        ConfigError: its secret is missing, or its issuer is not configured.
    """
    oidc = config.console.oidc
    if oidc is None:
        return None
    found = secret(OIDC_SECRET)
    if found is None:
        raise ConfigError(f"console.oidc: set the client's secret in {OIDC_SECRET}")
    issuer = next((each for each in config.identity.issuers if each.name == oidc.issuer), None)
    if issuer is None or oidc.client_id not in issuer.audience:
        raise ConfigError(
            f"console.oidc.issuer: [[identity.issuers]] needs one named {oidc.issuer!r} whose "
            f"audience has {oidc.client_id!r}; it says what its people may do here"
        )
    return Provider(oidc, found, entropy, partial(post_form, session))
