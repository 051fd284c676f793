"""How the benchmarks measure: many short samples, medians, and ratios within one run.

Machines are shared and noisy, so no figure is compared with one of another run: each line that
makes a claim puts its floor or its peer beside it, measured in turn with it.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """Percentiles of single calls, microseconds."""

    p50: float
    p99: float

    def __str__(self) -> str:
        return f"p50 {self.p50:9.2f} us   p99 {self.p99:9.2f} us"


def latency(call: Callable[[], object], *, samples: int, warm_up: int = 200) -> Latency:
    """Time ``samples`` single calls."""
    clock = time.perf_counter_ns
    for _ in range(warm_up):
        call()
    spent = [0] * samples
    for index in range(samples):
        start = clock()
        call()
        spent[index] = clock() - start
    spent.sort()
    return Latency(spent[samples // 2] / 1e3, spent[int(samples * 0.99)] / 1e3)


def in_turn(
    calls: Sequence[Callable[[], object]], *, samples: int, rounds: int = 5, warm_up: int = 50
) -> list[Latency]:
    """Time several calls in turn, ``rounds`` times, and give the median of each one's figures."""
    collected: list[list[Latency]] = [[] for _ in calls]
    for _ in range(rounds):
        for index, call in enumerate(calls):
            collected[index].append(latency(call, samples=samples, warm_up=warm_up))
    return [
        Latency(
            statistics.median(one.p50 for one in runs), statistics.median(one.p99 for one in runs)
        )
        for runs in collected
    ]


def throughput(call: Callable[[int], object], *, threads: int, seconds: float) -> float:
    """Calls a second that ``threads`` threads complete together; each passes its own number."""
    counts = [0] * threads
    start = threading.Barrier(threads + 1)
    stop = threading.Event()

    def work(number: int) -> None:
        start.wait()
        while not stop.is_set():
            call(number)
            counts[number] += 1

    pool = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in pool:
        thread.start()
    start.wait()
    begun = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in pool:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


def line(what: str, figure: object, note: str = "") -> None:
    """Print one row of a table."""
    print(f"  {what:<58} {figure!s:<44} {note}", flush=True)


def verdict(value: float, target: float, *, at_most: bool) -> str:
    """Say whether a figure reaches its target."""
    reached = value <= target if at_most else value >= target
    sign = "<=" if at_most else ">="
    return f"{'reached' if reached else 'MISSED'} (target {sign} {target:g})"
