"""invariant-ai's local policy on a trace, timed: run by the peer's own Python.

    .bench-peers/invariant/bin/python benchmarks/peers/invariant_rules.py < traces.json

Reads a list of traces (messages as Chat Completions have them), prints for each the violations
found and the median and slowest time of one analysis, in microseconds.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")

from invariant.analyzer import LocalPolicy  # noqa: E402

RULES = """
raise "mail to somebody else after reading mail" if:
    (read: ToolCall) -> (sent: ToolCall)
    read is tool:read_mail
    sent is tool:send_mail({to: "^(?!ada@corp.example$).*$"})
"""


def main() -> None:
    """Analyse each trace as often as a second allows, 20 times at most."""
    policy = LocalPolicy.from_string(RULES)
    found = []
    for trace in json.load(sys.stdin):
        errors = len(policy.analyze(trace).errors)
        times, until = [], time.perf_counter() + 1
        while len(times) < 3 or (len(times) < 20 and time.perf_counter() < until):
            start = time.perf_counter()
            policy.analyze(trace)
            times.append(time.perf_counter() - start)
        times.sort()
        found.append([errors, times[len(times) // 2] * 1e6, times[-1] * 1e6])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
