"""Live: decisions as they happen, and the sessions that they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated

from msgspec import Meta, Struct

from remit.api.frame import Call, Parts, Problem, Reply, Route
from remit.console import pages
from remit.console.decisions import Listed, Wanted, newest
from remit.console.pages import PREFIX, READERS
from remit.console.tree import Branch, family
from remit.model import SessionId

ROWS = 100
"""Decisions that a page shows."""
BATCH = 60
"""Decisions that one message of the stream shows; of more only the newest, with their number."""
BEAT = 0.3
"""Seconds between two looks at the log."""
STREAM_LIFE = 600.0
"""Seconds after which a stream ends; the page opens the next one."""
_QUIET = 15.0

Word = Annotated[str, Meta(max_length=200)]


class FeedQuery(Struct, frozen=True, kw_only=True):
    """Which decisions."""

    agent: Word = ""
    tool: Word = ""
    effect: Word = ""
    rule: Word = ""
    session: Word = ""
    before: Annotated[int, Meta(ge=0)] | None = None
    after: Annotated[int, Meta(ge=-1)] | None = None

    @property
    def wanted(self) -> Wanted:
        """The same, for the list."""
        return Wanted(
            agent=self.agent,
            tool=self.tool,
            effect=self.effect,
            rule=self.rule,
            session=self.session,
        )


async def feed(call: Call) -> Reply:
    """The newest decisions; with none at all, how to connect an agent."""
    asked: FeedQuery = call.query
    found, size = await call.parts.read(
        lambda view: (newest(view, asked.wanted, ROWS, asked.before), view.log_size())
    )
    filtered = asked.wanted != Wanted()
    if not found.rows and not filtered and asked.before is None:
        return await pages.page(call, "connect.html", url=call.base_url, size=size)
    return await pages.page(
        call, "live.html", asked=asked, found=found, size=size, filtered=filtered
    )


async def stream(call: Call) -> Reply:
    """New decisions as server-sent events, each message some rows of the table."""
    asked: FeedQuery = call.query
    size = await call.parts.read(lambda view: view.log_size())
    given = call.headers.get("Last-Event-ID", "")
    start = size - 1 if asked.after is None else asked.after
    if given.isascii() and given.isdigit() and len(given) <= 16:
        start = int(given)
    return Reply(
        stream=_rows(call.parts, asked.wanted, min(start, size - 1)),
        media="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def session(call: Call) -> Reply:
    """One session with those above and below it: agents, calls in order, labels as they grow."""
    wanted = SessionId(call.params["id"])
    found: Branch | None = await call.parts.read(lambda view: family(view, wanted))
    if found is None:
        raise Problem(404, "no-such-session", "There is no such session.")
    return await pages.page(call, "session.html", tree=found, wanted=wanted)


async def _rows(parts: Parts, wanted: Wanted, position: int) -> AsyncIterator[bytes]:
    """Messages until the time is over or the server drains."""
    end, spoke = monotonic() + STREAM_LIFE, monotonic()
    yield b"retry: 1000\n\n"
    while not parts.changes.draining and monotonic() < end:
        size = await parts.read(lambda view: view.log_size())
        if size - 1 > position:
            after = position
            found = await parts.read(
                lambda view, after=after, size=size: newest(  # type: ignore[misc]
                    view, wanted, BATCH, size, after
                )
            )
            position = size - 1
            if found.rows:
                yield _message(found, position)
                spoke = monotonic()
        elif monotonic() - spoke > _QUIET:
            yield b":\n\n"
            spoke = monotonic()
        await asyncio.sleep(BEAT)


def _message(found: Listed, position: int) -> bytes:
    """One message of an event stream: rows, on lines of their own (HTML standard, 9.2)."""
    text = pages.markup("rows.html", rows=found.rows, fresh=True)
    data = "\n".join(f"data: {line}" for line in text.splitlines() if line.strip())
    return f"event: decisions\nid: {position}\n{data}\n\n".encode()


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/live",
        handler=feed,
        rights=READERS,
        summary="Decisions as they happen",
        query=FeedQuery,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/live/stream",
        handler=stream,
        rights=READERS,
        summary="New decisions, as server-sent events",
        query=FeedQuery,
        streams=True,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/sessions/{{id}}",
        handler=session,
        rights=READERS | pages.REVIEWERS,
        summary="One session and its family",
    ),
)
