"""``make soak``: whether a server's memory stays flat over many admissions.

    python -m benchmarks.soak [ADMISSIONS]      1,000,000 by default; each of them is settled

Resident memory is sampled at equal steps. The first fifth is warm-up (caches fill, the allocator
grows to its working size); over the rest a straight line is laid. A leak of one small object for
each admission is 50 bytes or more, so a slope is allowed that is well below that at full length
(16 MiB per million); short runs have only a bound on growth as such.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from benchmarks.load import Tally, load, run_in_loop
from benchmarks.measure import line, verdict
from benchmarks.policies import text
from benchmarks.serving import ServerProcess, prepare

ADMISSIONS = 1_000_000
SAMPLES = 100
WARM_UP = 0.2
CLIENTS = 32
MOST_SLOPE = 16.0
"""Bytes for each admission, which is MiB for each 1,048,576."""
MOST_NOISE = 8.0
"""MiB by which a run may end above where its warm-up ended, however short it is."""


class Soaked(Struct, frozen=True):
    """What a run showed."""

    admissions: int
    seconds: float
    errors: int
    samples: tuple[tuple[int, int], ...]
    """Admissions, and bytes of resident memory then."""

    @property
    def steady(self) -> Sequence[tuple[int, int]]:
        """The samples after the warm-up."""
        return [each for each in self.samples if each[0] >= self.admissions * WARM_UP]

    @property
    def slope(self) -> float:
        """Bytes that memory grew for each admission after the warm-up (least squares)."""
        return slope(self.steady)

    @property
    def growth(self) -> float:
        """MiB that this slope comes to over the steady part."""
        steady = self.steady
        return self.slope * (steady[-1][0] - steady[0][0]) / 2**20

    @property
    def flat(self) -> bool:
        """Whether memory did not grow with the number of admissions."""
        return self.slope <= MOST_SLOPE or self.growth <= MOST_NOISE


def slope(points: Sequence[tuple[int, int]]) -> float:
    """The slope of the straight line through ``points`` (least squares)."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


class _Counting(Tally):
    """A tally that only counts: the client of a long run must not grow either."""

    done: int = 0


def soak(admissions: int, folder: Path) -> Soaked:
    """Send that many admissions, each settled, through a server; sample its memory.

    Raises:
        RuntimeError: the server did not answer to the end, or did not end well.
    """
    key = prepare(folder, text(100))
    server = ServerProcess(folder)
    tally = _Counting()
    samples: list[tuple[int, int]] = []
    begun = time.monotonic()
    try:
        run_in_loop(_run(server, key, tally, admissions, samples))
    finally:
        server.stop()
    errors = len(tally.problems) + tally.broken
    return Soaked(tally.done, time.monotonic() - begun, errors, tuple(samples))


async def _run(
    server: ServerProcess,
    key: str,
    tally: _Counting,
    admissions: int,
    samples: list[tuple[int, int]],
) -> None:
    step = max(1, admissions // SAMPLES)

    def goes_on() -> bool:
        return tally.done + len(tally.settling) < admissions and not tally.problems

    place = server.host, server.port
    loading = asyncio.create_task(load(place, key, tally, goes_on, clients=CLIENTS))
    while not loading.done():
        await asyncio.sleep(0.02)
        if len(tally.settling) >= step or loading.done():
            tally.done += len(tally.settling)
            _forget(tally)
            samples.append((tally.done, server.rss()))
    await loading


def _forget(tally: Tally) -> None:
    tally.decisions.clear()
    tally.outcomes.clear()
    del tally.admitting[:]
    del tally.settling[:]


def main() -> int:
    """Run, print, and say whether memory was flat."""
    admissions = int(sys.argv[1].replace(",", "")) if sys.argv[1:] else ADMISSIONS
    print(f"soak: {admissions:,} admissions, each settled, {CLIENTS} clients, one server")
    with tempfile.TemporaryDirectory() as name:
        seen = soak(admissions, Path(name))
    for number in range(0, len(seen.samples), max(1, len(seen.samples) // 10)):
        done, memory = seen.samples[number]
        line(f"  after {done:>9,}", f"{memory / 2**20:.1f} MiB")
    line("admissions", f"{seen.admissions:,} in {seen.seconds:,.0f} s")
    line("errors", seen.errors, verdict(seen.errors, 0, at_most=True))
    line(
        "memory for each admission after the first fifth",
        f"{seen.slope:.2f} bytes ({seen.growth:+.1f} MiB in all)",
        f"{'flat' if seen.flat else 'GROWS'} (<= {MOST_SLOPE:g}, or {MOST_NOISE:g} MiB in all)",
    )
    return 0 if seen.flat and seen.errors == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
