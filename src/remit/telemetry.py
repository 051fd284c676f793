"""OpenTelemetry spans of governed actions (GenAI semantic conventions), made from the log.

One span ``execute_tool <tool>`` for each call: it ends with the outcome, or at once where the call
was not granted; the verdict is an event on it. Spans hold what records hold, so never the value of
an argument or a result. Needs the extra ``otel``.
"""

from __future__ import annotations

from collections import OrderedDict

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from remit.audit.record import Record

MOST_OPEN = 10_000
"""Granted calls whose outcome is waited for; beyond these the oldest spans end without one."""

_propagator = TraceContextTextMapPropagator()


class ActionSpans:
    """Turns records into spans. Call it with every record, in the order of the log."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: OrderedDict[str, Span] = OrderedDict()

    def add(self, record: Record) -> None:
        """Begin, go on with or end the span that ``record`` is about."""
        if record.kind == "decision":
            self._decided(record)
        elif record.kind == "outcome":
            self._came(record)

    def end_all(self) -> None:
        """End the spans whose outcome is still out, without a status."""
        while self._open:
            self._open.popitem()[1].end()

    def _decided(self, record: Record) -> None:
        span = self._begun(record)
        _say(span, record)
        if not record.granted or record.action is None or record.lease is None:
            if not record.granted:
                span.set_status(Status(StatusCode.ERROR, f"not granted: {record.effect}"))
            span.end(end_time=record.at * 1000)
            return
        self._open[record.action] = span
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[1].end()

    def _came(self, record: Record) -> None:
        span = self._open.pop(record.action or "", None)
        if span is None:  # its decision was before this process began
            span = self._begun(record, started=record.at - (record.duration or 0))
        if record.effect is not None:
            _say(span, record)
        span.set_attribute("remit.outcome", record.status or "unknown")
        if record.status != "ok":
            span.set_attribute("error.type", record.error or record.status or "unknown")
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=record.at * 1000)

    def _begun(self, record: Record, started: int | None = None) -> Span:
        tool = record.tool or "unknown"
        span = self._tracer.start_span(
            f"execute_tool {tool}",
            context=_propagator.extract({"traceparent": record.trace or ""}),
            kind=SpanKind.INTERNAL,
            start_time=(record.at if started is None else started) * 1000,
        )
        span.set_attribute("gen_ai.operation.name", "execute_tool")
        span.set_attribute("gen_ai.tool.name", tool)
        if record.principal:
            span.set_attribute("gen_ai.agent.id", record.principal[0].id)
            span.set_attribute("gen_ai.agent.name", record.principal[0].id)
        if record.session is not None:
            span.set_attribute("gen_ai.conversation.id", record.session)
        if record.action is not None:
            span.set_attribute("gen_ai.tool.call.id", record.action)
        return span


def _say(span: Span, record: Record) -> None:
    """Add the verdict as an event."""
    span.add_event(
        "remit.decision",
        {
            "remit.effect": record.effect or "",
            "remit.granted": bool(record.granted),
            "remit.phase": record.phase or "",
            "remit.mode": record.mode or "",
            "remit.rules": [rule.id for rule in record.rules],
            "remit.revision": record.revision or "",
        },
        timestamp=record.at * 1000,
    )
