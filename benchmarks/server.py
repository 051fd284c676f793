"""What a server process does for 32 clients, beside the same work embedded in one process.

Both decide by the same 100 rules and record durably. They run in turn, so that a noisy machine is
noisy for both. ``REMIT_BENCH_SECONDS`` says for how long the server is loaded altogether (60).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.load import Tally, check_log, load, percentile, run_in_loop
from benchmarks.measure import line, throughput, verdict
from benchmarks.policies import text
from benchmarks.serving import AGENT, ServerProcess, prepare
from remit import Guard
from remit.audit.record import parse_record
from remit.storage.sqlite import SqliteStore

CLIENTS = 32
ROUNDS = 6
SECONDS = float(os.environ.get("REMIT_BENCH_SECONDS", "60"))
_EMBEDDED_SHARE = 1 / 3
"""The embedded figure needs less time to be steady: it has no process to warm up."""


class Loaded:
    """A server under load, round after round, and what that cost both sides."""

    def __init__(self, folder: Path) -> None:
        self.key = prepare(folder, text(100))
        self.server = ServerProcess(folder)
        self.tally = Tally()
        self.rates: list[float] = []
        self.client = 0.0
        """Processor seconds."""

    def round(self, seconds: float) -> None:
        """Load it; the rate of whole actions (admitted and settled) is kept."""
        place = (self.server.host, self.server.port)
        before, spent, begun = len(self.tally.settling), time.process_time(), time.monotonic()
        end = begun + seconds
        run_in_loop(
            load(place, self.key, self.tally, lambda: time.monotonic() < end, clients=CLIENTS)
        )
        done = len(self.tally.settling) - before
        self.rates.append(done / (time.monotonic() - begun))
        self.client += time.process_time() - spent


class Embedded:
    """The same actions through ``Guard.open``, by as many threads as there are clients."""

    def __init__(self, folder: Path) -> None:
        (folder / "remit.yaml").write_text(text(100), encoding="utf-8")
        self.guard = Guard.open(folder / "remit.yaml")
        sessions = [self.guard.session(agent=AGENT, user="ada") for _ in range(CLIENTS)]
        self.calls = [session.bind(self._action) for session in sessions]
        self.rates: list[float] = []
        self.done = 0.0
        self.spent = 0.0
        """Processor seconds."""

    def _action(self) -> None:
        with self.guard.permit("tool-0", {"table": "customers", "amount": 12}) as permit:
            permit.result = 12

    def round(self, seconds: float) -> None:
        """Run; the rate is kept."""
        spent, begun = time.process_time(), time.monotonic()
        rate = throughput(lambda number: self.calls[number](), threads=CLIENTS, seconds=seconds)
        self.rates.append(rate)
        self.done += rate * (time.monotonic() - begun)
        self.spent += time.process_time() - spent


def run() -> None:
    """Load both in turn, then compare what was acknowledged with the log."""
    print(f"\n{CLIENTS} keep-alive clients, /v1/admit + /v1/settle, one server, durable, 100 rules")
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        embedded, loaded = Embedded(Path(here)), Loaded(Path(there))
        warm = loaded.server.cpu()
        try:
            for _ in range(ROUNDS):
                embedded.round(SECONDS / ROUNDS * _EMBEDDED_SHARE)
                loaded.round(SECONDS / ROUNDS)
            spent = loaded.server.cpu() - warm
        finally:
            loaded.server.stop()
            embedded.guard.close()
        _tell(loaded, embedded, spent)
        with SqliteStore(Path(there) / "remit.db") as store:
            faults = store.read(
                lambda view: check_log(
                    (
                        (logged.position, parse_record(logged.body))
                        for logged in view.records(0, view.log_size())
                    ),
                    loaded.tally,
                )
            )
    errors = len(loaded.tally.problems) + loaded.tally.broken
    line("errors", errors, verdict(errors, 0, at_most=True))
    line(
        "acknowledged and not in the log, or twice",
        len(faults),
        verdict(len(faults), 0, at_most=True),
    )
    for problem in [*loaded.tally.problems, *faults][:5]:
        line(f"  {problem}", "")


def _tell(loaded: Loaded, embedded: Embedded, spent: float) -> None:
    tally = loaded.tally
    done = len(tally.settling)
    served, here = statistics.median(loaded.rates), statistics.median(embedded.rates)
    line("embedded: 32 threads, group commit (same machine, in turn)", f"{here:,.0f} actions/s")
    line(f"server, {SECONDS:.0f} s: two requests each", f"{served:,.0f} actions/s")
    line(
        "server against embedded",
        f"{served / here:.2f}x",
        verdict(served / here, 0.4, at_most=False),
    )
    for what, sample in (("admit", tally.admitting), ("settle", tally.settling)):
        p50, p99 = percentile(sample, 0.5), percentile(sample, 0.99)
        line(f"  {what}, from the request to its answer", f"p50 {p50:7.2f} ms   p99 {p99:7.2f} ms")
    line(
        "  processor time for an action, embedded", f"{embedded.spent / embedded.done * 1e6:.0f} us"
    )
    line("  processor time for an action, server", f"{spent / done * 1e6:.0f} us")
    line(
        "  the same of the clients (they share its machine)", f"{loaded.client / done * 1e6:.0f} us"
    )
