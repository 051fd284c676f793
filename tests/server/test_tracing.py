"""Spans of governed actions, with the exporter in memory."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from remit.server.tracing import LogTracer, tracer_of
from remit.storage.memory import MemoryStore
from serving import parts_of, serving

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_nothing_is_traced_unless_an_endpoint_is_set(monkeypatch):
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert tracer_of(MemoryStore()) is None


async def test_a_call_becomes_a_span_with_its_verdict_and_no_values():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    parts = parts_of()
    tracer = LogTracer(provider, parts.store)
    async with serving(parts) as client:
        bot = "inventory-bot"
        session = (await client("POST", "/v1/sessions", token=bot, json={})).json["id"]
        asked = {
            "session": session,
            "action": {"kind": "tool", "name": "db.query"},
            "arguments": {"query": "secret-query"},
            "trace": TRACE,
        }
        admitted = (await client("POST", "/v1/admit", token=bot, json=asked)).json
        await tracer.look(parts)
        assert exporter.get_finished_spans() == ()
        failed = {"status": "error", "error": "ValueError", "duration": 5_000_000}
        settled = {**asked, "id": admitted["id"], "outcome": failed}
        await client("POST", "/v1/settle", token=bot, json=settled)
        refused = {**asked, "action": {"kind": "tool", "name": "rm"}}
        await client("POST", "/v1/admit", token=bot, json=refused)
        await tracer.look(parts)
        open_call = (await client("POST", "/v1/admit", token=bot, json=asked)).status
        await tracer.look(parts)
        await tracer.close()
    spans = exporter.get_finished_spans()
    assert open_call == 200
    assert [each.name for each in spans] == [
        "execute_tool db.query",
        "execute_tool rm",
        "execute_tool db.query",
    ]
    ran, denied, unfinished = spans
    assert ran.attributes is not None
    assert ran.attributes["gen_ai.operation.name"] == "execute_tool"
    assert ran.attributes["gen_ai.tool.name"] == "db.query"
    assert ran.attributes["gen_ai.agent.id"] == "inventory-bot"
    assert ran.attributes["gen_ai.conversation.id"] == session
    assert ran.attributes["error.type"] == "ValueError"
    assert f"{ran.context.trace_id:032x}" == TRACE.split("-")[1]
    assert ran.parent is not None
    assert f"{ran.parent.span_id:016x}" == TRACE.split("-")[2]
    verdict = ran.events[0]
    assert verdict.name == "remit.decision"
    assert verdict.attributes is not None
    assert verdict.attributes["remit.effect"] == "allow"
    assert verdict.attributes["remit.rules"] == ("reading",)
    assert denied.status.status_code is StatusCode.ERROR
    assert unfinished.status.status_code is StatusCode.UNSET
    assert "secret-query" not in "".join(each.to_json() for each in spans)


async def test_an_outcome_whose_decision_was_not_seen_has_its_own_times():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    parts = parts_of()
    async with serving(parts) as client:
        bot = "inventory-bot"
        session = (await client("POST", "/v1/sessions", token=bot, json={})).json["id"]
        asked = {"session": session, "action": {"kind": "tool", "name": "db.query"}}
        admitted = (await client("POST", "/v1/admit", token=bot, json=asked)).json
        tracer = LogTracer(provider, parts.store)
        outcome = {"status": "ok", "result": 1, "duration": 7_000_000}
        settled = {**asked, "id": admitted["id"], "outcome": outcome}
        await client("POST", "/v1/settle", token=bot, json=settled)
        await tracer.look(parts)
    (span,) = exporter.get_finished_spans()
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time == 7_000_000
