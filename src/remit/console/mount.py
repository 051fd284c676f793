"""The console over HTTP: who a cookie stands for, what other sites may not send, and the headers.

Only this module of the console knows the HTTP library. A page that fails is a page that says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from aiohttp.web import BaseRequest, Response, StreamResponse

from remit.api.bodies import whole_body
from remit.api.decoding import query_of
from remit.api.frame import Access, Call, Parts, Problem, Reply, Route
from remit.api.mounts import Passing
from remit.api.routing import RouteTable
from remit.console import pages, static
from remit.console.oidc import Provider
from remit.console.signin import SignIn
from remit.console.views import ROUTES
from remit.console.visitors import Visitors, cookie_of, today
from remit.credentials import Right
from remit.identity.model import Identity

FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 400
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}

_log = logging.getLogger("remit.console")


class ConsoleMount:
    """Everything below ``/console/`` (``Mount``)."""

    prefix = f"{pages.PREFIX}/"
    rights: frozenset[Right] | Access = Access.PUBLIC

    def __init__(self, parts: Parts, provider: Provider | None = None) -> None:
        self._parts = parts
        self._visitors = Visitors(parts.entropy)
        self._signin = SignIn(parts, self._visitors, provider)
        self._table = RouteTable((*ROUTES, *self._signin.routes, *static.ROUTES))
        if not pages.built():
            _log.warning("the console's scripts are not built: run `make console`")

    @property
    def routes(self) -> Sequence[Route]:
        """Every page and form."""
        return (*ROUTES, *self._signin.routes, *static.ROUTES)

    def credentials(self, request: BaseRequest) -> tuple[str, ...]:
        """Nothing: a cookie says who it is."""
        return ()

    async def answer(self, passing: Passing) -> StreamResponse:
        """Answer with a page, a part of one, or what a page loads.

        Raises:
            Problem: or a RemitError; ``refused`` makes a page of it.
        """
        request = passing.request
        path, _, query = request.raw_path.partition("?")
        route, params = self._table.find(request.method, path)
        if request.method not in ("GET", "HEAD"):
            _same_site(request, passing.base_url)
        token = cookie_of(request.headers)
        who = await self._visitor(token)
        if not isinstance(route.rights, Access):
            if who is None:
                return self._respond(_to_sign_in(request))
            if not route.rights & who.rights:
                raise Problem(403, "forbidden", _wanting(route.rights))
        raw = await self._raw(request, route)
        call = Call(
            parts=self._parts,
            route=route,
            who=who,
            params=params,
            query=query_of(route, query),
            body=_form(route, raw),
            raw=raw,
            headers=request.headers,
            request_id=passing.request_id,
            base_url=passing.base_url,
        )
        limit = asyncio.timeout(self._parts.config.limits.request_time + route.waits)
        async with limit:
            reply = await route.handler(call)
        return await self._sent(request, reply, route)

    def refused(self, request: BaseRequest, problem: Problem, request_id: str) -> StreamResponse:
        """A page that says what went wrong, or its words alone for a script that asks."""
        if request.headers.get("Accept", "").startswith("application/json"):
            body = msgspec.json.encode(problem.document(request_id))
            response = Response(
                status=problem.status, body=body, content_type="application/problem+json"
            )
        else:
            text = pages.markup("problem.html", problem=problem, request_id=request_id)
            response = Response(
                status=problem.status, text=text, content_type="text/html", charset="utf-8"
            )
        response.headers.update({**_HEADERS, **problem.headers})
        return response

    async def close(self) -> None:
        """Nothing is under way that matters: streams end when the server drains."""

    async def _visitor(self, token: str | None) -> Identity | None:
        """Who is signed in, with the rights of today."""
        now = self._parts.clock()
        found = None if token is None else self._visitors.find(token, now)
        if token is None or found is None:
            return None
        identity = found.identity
        fresh = await self._parts.read(lambda view: today(view, identity, now))
        if fresh is None:
            self._visitors.leave(token)
        return fresh

    async def _raw(self, request: BaseRequest, route: Route) -> bytes:
        if route.body is None:
            return b""
        limits = self._parts.config.limits
        if request.content_type != FORM:
            raise Problem(415, "unsupported-media-type", "This takes a form.")
        return await whole_body(request, limits.body, limits.request_time)

    async def _sent(self, request: BaseRequest, reply: Reply, route: Route) -> StreamResponse:
        if reply.stream is None:
            return self._respond(reply)
        headers = {"Content-Type": reply.media or route.media, **_HEADERS, **reply.headers}
        headers["Cache-Control"] = "no-store"
        response = StreamResponse(status=200, headers=headers)
        patience = self._parts.config.limits.request_time
        try:
            await response.prepare(request)
            async for part in reply.stream:
                async with asyncio.timeout(patience):
                    await response.write(part)
                if self._parts.changes.draining:
                    break
            await response.write_eof()
        finally:
            close = getattr(reply.stream, "aclose", None)
            if close is not None:
                await close()
        return response

    def _respond(self, reply: Reply) -> Response:
        headers = dict(reply.headers)
        body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        media = reply.media or "application/json"
        return Response(
            status=reply.status or 200,
            body=body,
            headers={"Content-Type": media, **_HEADERS, **headers},
        )


def _same_site(request: BaseRequest, base_url: str) -> None:
    """Refuse what a page of another site had the browser send.

    Raises:
        Problem: it was, or nothing shows that it was not.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    own = urlsplit(base_url)
    there = None if origin is None else urlsplit(origin)
    same = there is not None and there.netloc == own.netloc != ""
    if site == "same-origin" and (origin is None or same):
        return
    if site is None and same and there is not None and there.scheme == own.scheme:
        return
    raise Problem(
        403,
        "other-site",
        "This form was not sent by a page of this server. Open the console anew and try again; "
        "behind a proxy, set server.public_url to the address in your browser.",
    )


def _form(route: Route, raw: bytes) -> Any:
    """The fields of a form as a value of the route's type; repeated names become lists."""
    if route.body is None:
        return None
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Problem(400, "invalid-form", "The form cannot be read.") from None
    lists = {
        each.encode_name for each in msgspec.structs.fields(route.body) if "tuple" in str(each.type)
    }
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value.replace("\r\n", "\n")
    try:
        return msgspec.convert(given, route.body, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(400, "invalid-form", f"The form: {error}.") from None


def _to_sign_in(request: BaseRequest) -> Reply:
    """Where somebody goes who is not signed in; a part of a page makes the whole page go there."""
    if request.headers.get("HX-Request"):
        return Reply(
            body=b"", status=401, media=pages.HTML, headers={"HX-Redirect": "/console/login"}
        )
    return pages.to("login")


def _wanting(rights: frozenset[Right]) -> str:
    wanted = " or ".join(sorted(right.value for right in rights))
    return f"This page takes the right {wanted}. Ask an admin for it."
