"""From a template and values to a page: the frame that all pages have in common."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from msgspec.structs import astuple

from remit import __version__
from remit.api.frame import Call, Reply
from remit.approvals import ApprovalState, state_at
from remit.console import showing
from remit.credentials import Right
from remit.model import Mode
from remit.stops import Stop, described
from remit.storage import Snapshot

PREFIX = "/console"
HTML = "text/html; charset=utf-8"
STATIC = Path(__file__).parent / "static"
_MOST_PENDING = 100
_FILTERS = (
    *("plain", "line", "cut", "pretty", "preview"),
    *("moment", "clock", "iso", "span", "dollars", "amount", "revision"),
)

READERS = frozenset({Right.AUDITOR})
REVIEWERS = frozenset({Right.REVIEWER})
ADMINS = frozenset({Right.ADMIN})
EDITORS = frozenset({Right.EDITOR})
PEOPLE = frozenset({Right.AUDITOR, Right.REVIEWER, Right.ADMIN, Right.EDITOR})


class MenuEntry(Struct, frozen=True):
    """An entry of the menu."""

    path: str
    name: str
    rights: frozenset[Right]


PLACES = (
    MenuEntry("live", "Live", READERS),
    MenuEntry("approvals", "Approvals", REVIEWERS | READERS),
    MenuEntry("policy", "Policy", PEOPLE),
    MenuEntry("costs", "Costs", READERS | ADMINS),
    MenuEntry("agents", "Agents", READERS | ADMINS),
    MenuEntry("audit", "Audit", READERS),
    MenuEntry("health", "Health", PEOPLE),
)


class Overview(Struct, frozen=True, kw_only=True):
    """What every page shows of how things stand."""

    stops: tuple[Stop, ...]
    pending: int


async def page(call: Call, template: str, status: int = 200, **values: Any) -> Reply:
    """A whole page."""
    around = await call.parts.read(lambda view: _surroundings(view, call.parts.clock()))
    rights = call.identity.rights
    policies = call.parts.policies.current
    here = call.route.path.removeprefix(f"{PREFIX}/").partition("/")[0]
    return fragment(
        call,
        template,
        status,
        places=[each for each in PLACES if each.rights & rights],
        here=here,
        warnings=_warnings(call, around),
        pending=around.pending,
        most_pending=_MOST_PENDING,
        who=call.identity,
        shadow=policies.mode is Mode.SHADOW,
        **values,
    )


def fragment(call: Call, template: str, status: int = 200, **values: Any) -> Reply:
    """A part of a page, or a page for somebody who is not signed in."""
    return Reply(
        body=markup(template, now=call.parts.clock(), **values).encode(),
        status=status,
        media=HTML,
    )


def markup(template: str, **values: Any) -> str:
    """The text that a template makes of values."""
    return environment().get_template(template).render(values)


def to(path: str) -> Reply:
    """Send the browser to another page of the console, after a form."""
    return Reply(body=b"", status=303, media=HTML, headers={"Location": f"{PREFIX}/{path}"})


def may(call: Call, right: Right) -> bool:
    """Whether the visitor has a right."""
    return right in call.identity.rights


def home(rights: frozenset[Right]) -> str:
    """The first page of somebody with these rights."""
    return next((each.path for each in PLACES if each.rights & rights), "health")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """What templates are rendered with: everything is escaped, nothing is left undefined."""
    made = Environment(
        loader=PackageLoader("remit.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in _FILTERS:
        made.filters[name] = getattr(showing, name)
    made.filters["edges_json"] = lambda edges: json.dumps([astuple(each) for each in edges])
    made.globals.update(prefix=PREFIX, version=__version__, Right=Right, built=built())
    return made


def built() -> bool:
    """Whether the bundle of scripts and styles is there."""
    return (STATIC / "vendor" / "htmx.js").exists()


def _surroundings(view: Snapshot, now: int) -> Overview:
    held = view.approvals((ApprovalState.PENDING,), _MOST_PENDING)
    pending = sum(state_at(each, now) is ApprovalState.PENDING for each in held)
    return Overview(stops=tuple(view.stops()), pending=pending)


def _warnings(call: Call, around: Overview) -> list[dict[str, str]]:
    """What everybody should know on whichever page they are."""
    policies = call.parts.policies
    found = []
    if policies.current.mode is Mode.SHADOW:
        text = "Shadow mode: what policy would stop is let through, and recorded."
        found.append({"kind": "shadow", "text": text, "path": "policy"})
    if policies.current.open_by_default:
        text = "Open default: whatever no rule speaks of is allowed."
        found.append({"kind": "open", "text": text, "path": "policy"})
    if policies.fault is not None:
        text = "The policy on disk is faulty and not in force; the one before it still decides."
        found.append({"kind": "fault", "text": text, "path": "policy"})
    for stop in around.stops[:3]:
        text = f"Stopped by {stop.by}: {showing.line(described(stop), 80)}."
        found.append({"kind": "stop", "text": text, "path": "agents"})
    if len(around.stops) > 3:
        text = f"{len(around.stops)} stops are in force in all."
        found.append({"kind": "stop", "text": text, "path": "agents"})
    return found
