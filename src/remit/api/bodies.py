"""Reading the body of a request, within limits of size and time."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11
from aiohttp.web import BaseRequest

from remit.api.frame import Problem


async def whole_body(request: BaseRequest, limit: int, seconds: float) -> bytes:
    """The whole body.

    Args:
        request: its body is not read yet.
        limit: bytes that it may have.
        seconds: within which it must arrive.

    Raises:
        Problem: it is too large (413), did not arrive in time (408), or expects what is unknown.
    """
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    await _continue(request)
    if request.content.is_eof():  # all of it is here, as is usual: nothing to wait for
        whole = request.content.read_nowait()
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        detail = "The body did not arrive in time."
        raise Problem(408, "timed-out", detail, headers={"Connection": "close"}) from None
    return bytes(body)


async def _continue(request: BaseRequest) -> None:
    """Tell a client that asks first to send its body (RFC 9110 section 10.1.1)."""
    expected = request.headers.get("Expect")
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise Problem(417, "expectation-failed", "The server knows only Expect: 100-continue.")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun


def _too_large(limit: int) -> Problem:
    return Problem(413, "too-large", f"The body is larger than {limit:,} bytes.")
