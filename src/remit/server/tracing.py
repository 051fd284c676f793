"""Spans of a running server: it follows the log and sends them by OTLP, where that is set up.

Set up by the variables of OpenTelemetry: it is off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` or
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` is set.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from remit.api.frame import Parts
from remit.audit.record import Record, parse_record
from remit.errors import ConfigError
from remit.storage import Snapshot, Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

INTERVAL = 1.0
"""Seconds between two looks at the log."""
_CHUNK = 2_000
_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class LogTracer:
    """Makes spans of what is new in the log, from its end at the start on."""

    def __init__(self, provider: TracerProvider, store: Store) -> None:
        from remit.telemetry import ActionSpans

        self._provider = provider
        self._spans = ActionSpans(provider.get_tracer("remit"))
        self._position = store.read(lambda view: view.log_size())

    async def look(self, parts: Parts) -> None:
        """Make the spans of what came since the last look.

        Raises:
            StoreError: the log cannot be read; the next look makes up for it.
        """
        while True:
            found = await parts.read(partial(_records, start=self._position))
            for record in found:
                self._spans.add(record)
            self._position += len(found)
            if len(found) < _CHUNK:
                return

    async def close(self) -> None:
        """End what is open and send it."""
        self._spans.end_all()
        await asyncio.to_thread(self._provider.shutdown)


def tracer_of(store: Store) -> LogTracer | None:
    """What makes and sends spans; None where no endpoint is set.

    Raises:
        ConfigError: an endpoint is set, and the extra ``otel`` is not installed.
    """
    if not any(os.environ.get(name) for name in _VARIABLES):
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ConfigError(f"{_VARIABLES[1]} is set, but not installed: pip install 'remit[otel]'")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "remit")})
    provider = TracerProvider(resource=named)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return LogTracer(provider, store)


def _records(view: Snapshot, start: int) -> list[Record]:
    return [parse_record(logged.body) for logged in view.records(start, start + _CHUNK)]
