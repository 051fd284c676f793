"""Whether the server lives, and whether it can do its work."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from remit import __version__
from remit.api.frame import PUBLIC, Call, Reply, Route


class Liveness(Struct, frozen=True, kw_only=True):
    """The answer of ``/livez``."""

    status: Literal["ok"] = "ok"


class Readiness(Struct, frozen=True, kw_only=True):
    """The answer of ``/readyz``. ``degraded`` servers answer, but somebody should look."""

    status: Literal["ok", "degraded", "unavailable", "draining"]
    revision: str
    faults: dict[str, str]
    """What is wrong, by the part that it is wrong with."""


class Greeting(Struct, frozen=True, kw_only=True):
    """The answer of ``/``."""

    name: Literal["remit"] = "remit"
    version: str = __version__


async def livez(call: Call) -> Reply:
    """The process runs and its event loop turns."""
    return Reply(body=Liveness())


async def readyz(call: Call) -> Reply:
    """Whether agents can be governed now: 503 while the store does not answer or on the way out."""
    parts = call.parts
    faults = dict(parts.faults.texts)
    if parts.policies.fault is not None:
        faults["policy"] = parts.policies.fault
    status: Literal["ok", "degraded", "unavailable", "draining"] = "degraded" if faults else "ok"
    if "store" in faults:
        status = "unavailable"
    if parts.changes.draining:
        status = "draining"
    body = Readiness(status=status, revision=parts.policies.current.revision, faults=faults)
    return Reply(body=body, status=200 if status in ("ok", "degraded") else 503)


async def greet(call: Call) -> Reply:
    """What answers here; a browser is sent to the console."""
    if call.parts.config.console.enabled and "text/html" in call.headers.get("Accept", ""):
        return Reply(body=b"", status=303, headers={"Location": "/console/"})
    return Reply(body=Greeting())


ROUTES = (
    Route(
        method="GET",
        path="/livez",
        handler=livez,
        rights=PUBLIC,
        summary="Whether the process lives",
        tag="health",
        reply=Liveness,
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=readyz,
        rights=PUBLIC,
        summary="Whether agents can be governed now",
        tag="health",
        reply=Readiness,
        also=(503,),
    ),
    Route(
        method="GET",
        path="/",
        handler=greet,
        rights=PUBLIC,
        summary="What answers here",
        tag="health",
        reply=Greeting,
    ),
)
