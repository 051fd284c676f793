"""Fetching documents that settings name, such as the keys of a token issuer."""

from __future__ import annotations

import aiohttp

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
