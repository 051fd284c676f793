"""Prometheus metrics: ``GET /metrics``.

What was decided is counted from the log, at each scrape, so it counts what is durable and nothing
else, whichever way it came in. Requests and commits are measured as they happen; what stands now
(holds, stops, the lag of signing, faults) is read when it is asked for.

No label is made of what agents send: rules come from policy and are bounded in number, routes are
templates. Argument values appear nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Literal

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from remit.api.frame import Call, Parts, Problem, Reply, Route
from remit.approvals import ApprovalState
from remit.audit.checkpoint import read_checkpoint
from remit.budgets.cells import balance
from remit.credentials import Right
from remit.storage import Snapshot, Store

MOST_RULES = 500
"""Rule ids that get a label of their own; further ones share ``other``."""
MOST_HOLDS = 10_000
"""Pending approvals that are counted; more of them show as this many."""
MOST_WINDOWS = 10_000
"""Windows of budgets that are looked at for their share."""
MEDIA = "text/plain; version=0.0.4; charset=utf-8"

_CHUNK = 5_000
_MOST_RECORDS = 200_000
"""Records that one scrape counts; the next one goes on. ``remit_uncounted_records`` says so."""
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_GOVERNED = {"/v1/admit": "admit", "/v1/settle": "settle"}


class _Rule(Struct, frozen=True):
    id: str


class _Counted(Struct, frozen=True):
    """The part of a record that is counted."""

    kind: str
    effect: str | None = None
    granted: bool | None = None
    mode: str = "enforce"
    status: str | None = None
    rules: tuple[_Rule, ...] = ()


class Standing(Struct, frozen=True):
    """How things stand in the store."""

    size: int
    signed: int
    holds: int
    stops: int
    used: Mapping[str, float]
    """By budget: the share that is spent or held of its fullest window."""


_decode = msgspec.json.Decoder(_Counted).decode


class Metrics:
    """The metrics of one server, in a registry of their own. Lives in one event loop."""

    def __init__(self, store: Store) -> None:
        """Begin to count at the end of the log as it is."""
        self._position = store.read(lambda view: view.log_size())
        self._rules: set[str] = set()
        self._counting = asyncio.Lock()
        self.registry = registry = CollectorRegistry()
        self._decisions = Counter(
            "remit_decisions",
            "Decisions on calls, by what policy said and whether the call was let through.",
            ["effect", "granted", "mode"],
            registry=registry,
        )
        self._by_rule = Counter(
            "remit_rule_decisions",
            "Decisions that a rule counted in, by rule and by what was decided.",
            ["rule", "effect"],
            registry=registry,
        )
        self._outcomes = Counter(
            "remit_outcomes", "Outcomes of calls.", ["status"], registry=registry
        )
        self._budgets, self._used = _of_budgets(registry)
        self._requests = Counter(
            "remit_http_requests",
            "HTTP requests that were answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._latency = Histogram(
            "remit_governed_seconds",
            "Seconds to answer an admit or a settle, with time that a person was waited for.",
            ["step"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._commits = Histogram(
            "remit_store_commit_seconds",
            "Seconds from a write's request until it is durable.",
            buckets=_SECONDS,
            registry=registry,
        )
        for step in _GOVERNED.values():
            self._latency.labels(step)
        self._holds = self._gauge("remit_holds", "Approvals that wait for a person.")
        self._stops = self._gauge("remit_stops", "Stops in force.")
        self._size = self._gauge("remit_log_records", "Records in the log.")
        self._lag = self._gauge(
            "remit_log_unsigned_records", "Records that the newest checkpoint does not cover yet."
        )
        self._behind = self._gauge(
            "remit_uncounted_records", "Records that the counters have not come to yet."
        )
        self._policy_fault = self._gauge(
            "remit_policy_fault", "1 while the policy on disk is faulty and an older one decides."
        )
        self._faults = Gauge(
            "remit_fault", "1 for each part that does not work now.", ["part"], registry=registry
        )

    def answered(self, route: Route, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(route.method, route.path, str(status)).inc()
        step = _GOVERNED.get(route.path)
        if step is not None:
            self._latency.labels(step).observe(seconds)

    def committed(self, seconds: float) -> None:
        """One write is durable."""
        self._commits.observe(seconds)

    async def text(self, parts: Parts) -> bytes:
        """All metrics, in the text format of Prometheus.

        Raises:
            StoreError: the store cannot be read.
        """
        async with self._counting:
            await self._count(parts)
        standing = await parts.read(partial(_standing, now=parts.clock()))
        self._size.set(standing.size)
        self._lag.set(standing.size - standing.signed)
        self._holds.set(standing.holds)
        self._stops.set(standing.stops)
        self._used.clear()
        for budget in parts.policies.current.budgets:
            if budget.id in standing.used:
                self._used.labels(budget.id).set(standing.used[budget.id])
        self._behind.set(max(0, standing.size - self._position))
        self._policy_fault.set(parts.policies.fault is not None)
        self._faults.clear()
        for part in parts.faults.texts:
            self._faults.labels(part).set(1)
        return generate_latest(self.registry)

    async def _count(self, parts: Parts) -> None:
        """Count the records that came since the last scrape."""
        end = self._position + _MOST_RECORDS
        while self._position < end:
            stop = min(end, self._position + _CHUNK)
            found = await parts.read(partial(_records, start=self._position, stop=stop))
            for record in found:
                self._add(record)
            self._position += len(found)
            if len(found) < _CHUNK:
                return

    def _add(self, record: _Counted) -> None:
        if record.kind == "outcome":
            self._outcomes.labels(record.status or "unknown").inc()
        if record.kind == "budget":
            self._budgets.labels(record.status or "unknown").inc()
        if record.kind != "decision" or record.effect is None:
            return
        granted: Literal["true", "false"] = "true" if record.granted else "false"
        self._decisions.labels(record.effect, granted, record.mode).inc()
        for rule in {self._label(each.id) for each in record.rules}:
            self._by_rule.labels(rule, record.effect).inc()

    def _label(self, rule: str) -> str:
        if rule not in self._rules:
            if len(self._rules) >= MOST_RULES:
                return "other"
            self._rules.add(rule)
        return rule

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)


async def show(call: Call) -> Reply:
    """The metrics of this server."""
    measures = call.parts.measures
    if measures is None:
        raise Problem(404, "no-metrics", "This server keeps no metrics.")
    return Reply(body=await measures.text(call.parts))


def _of_budgets(registry: CollectorRegistry) -> tuple[Counter, Gauge]:
    events = Counter(
        "remit_budget_events",
        "Thresholds that budgets reached, overruns, and changes by people.",
        ["event"],
        registry=registry,
    )
    used = Gauge(
        "remit_budget_used_ratio",
        "Share that is spent or held of a budget's fullest window.",
        ["budget"],
        registry=registry,
    )
    return events, used


def _records(view: Snapshot, start: int, stop: int) -> list[_Counted]:
    return [_decode(logged.body) for logged in view.records(start, stop)]


def _standing(view: Snapshot, now: int) -> Standing:
    note = view.checkpoint()
    pending = view.approvals((ApprovalState.PENDING,), MOST_HOLDS)
    return Standing(
        size=view.log_size(),
        signed=0 if note is None else read_checkpoint(note).size,
        holds=sum(each.expires_at > now for each in pending),
        stops=len(view.stops()),
        used=_used(view, now),
    )


def _used(view: Snapshot, now: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for cell in view.live_cells(None, now, MOST_WINDOWS):
        stands = balance(cell, now)
        share = (stands.spent + stands.held) / stands.limit if stands.limit else 1.0
        found[cell.budget] = max(share, found.get(cell.budget, 0.0))
    return found


ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        handler=show,
        rights=frozenset({Right.AUDITOR, Right.ADMIN}),
        summary="Metrics, for Prometheus",
        tag="health",
        reply=bytes,
        media=MEDIA,
        problems=(404,),
    ),
)
