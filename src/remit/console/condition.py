"""Health: whether the server can do its work, and which policy decides where."""

from __future__ import annotations

from msgspec import Struct

from remit.api.frame import Call, Parts, Reply, Route
from remit.console import pages
from remit.console.inventory import inhabitants
from remit.console.logbook import LogState, log_state
from remit.console.pages import PEOPLE, PREFIX
from remit.model import Mode
from remit.storage import Snapshot
from remit.tallying import CURSOR


class Point(Struct, frozen=True, kw_only=True):
    """Somebody who asks for decisions."""

    name: str
    seen: int | None
    used: int | None
    """When one of its keys was last used, to the hour."""
    revision: str
    current: bool


class Checkup(Struct, frozen=True, kw_only=True):
    """One thing that is well or not."""

    name: str
    well: bool
    words: str


async def health(call: Call) -> Reply:
    """The page."""
    parts = call.parts
    policies, now = parts.policies.current, parts.clock()

    def read(view: Snapshot) -> tuple[LogState, int, list[Point]]:
        everybody = inhabitants(view, policies, now)
        points = [
            Point(
                name=each.id,
                seen=each.seen,
                used=max((key.last_used_at or 0 for key in each.keys), default=0) or None,
                revision=each.revision,
                current=each.revision == policies.revision,
            )
            for each in everybody
            if each.kind != "person" and (each.seen or each.keys)
        ]
        return log_state(view), view.log_size() - (view.cursor(CURSOR) or 0), points

    state, untold, points = await parts.read(read)
    return await pages.page(
        call,
        "health.html",
        checks=_checks(parts, state, untold),
        points=points,
        policies=policies,
        gateways=_gateways(parts),
        url=call.base_url,
    )


def _checks(parts: Parts, state: LogState, untold: int) -> list[Checkup]:
    policies = parts.policies
    lag = state.size - state.signed
    faults = dict(parts.faults.texts)
    found = [
        Checkup(name="Store", well="store" not in faults, words=faults.pop("store", "answers")),
        Checkup(
            name="Policy",
            well=policies.fault is None,
            words=policies.fault or "the documents on disk are in force",
        ),
        Checkup(
            name="Tree and signature",
            well=not parts.checkpointer.failed,
            words=f"{lag:,} records since the newest checkpoint"
            if not parts.checkpointer.failed
            else "the log could not be signed; nothing is admitted until it is",
        ),
        Checkup(name="Reports", well=untold < 20_000, words=f"{untold:,} records to be added up"),
        Checkup(
            name="Mode",
            well=policies.current.mode is Mode.ENFORCE,
            words="decisions bind"
            if policies.current.mode is Mode.ENFORCE
            else "shadow: nothing is stopped",
        ),
        Checkup(
            name="Default",
            well=not policies.current.open_by_default,
            words="what no rule speaks of is denied"
            if not policies.current.open_by_default
            else "what no rule speaks of is allowed",
        ),
    ]
    found += [Checkup(name=part, well=False, words=text) for part, text in faults.items()]
    return found


def _gateways(parts: Parts) -> list[str]:
    config = parts.config
    found = [f"MCP server {each.name} at /mcp/{each.name}" for each in config.mcp]
    found += [f"model API {each.name}" for each in config.models]
    if config.egress is not None:
        found.append("HTTP proxy for what agents send out")
    return found


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/health",
        handler=health,
        rights=PEOPLE,
        summary="Whether the server can do its work",
    ),
)
