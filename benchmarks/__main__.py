"""``make bench``: what Remit costs, as ratios against a floor or a peer measured in the same run.

    python -m benchmarks [decide] [durable] [server] [console] [budgets] [verify] [imports] [hooks]
        [flow] [forecasts] [inspection] [models] [mcp] [legacy] [envoy] [postgres] [peer]

The gateways' peers run when ``make bench-peers`` has installed them; the peer's part when
``REMIT_BENCH_AGT`` names a Python in which the peer is installed.
"""

from __future__ import annotations

import os
import platform
import sys

from benchmarks import (
    console,
    decide,
    durable,
    envoy,
    flow,
    forecasts,
    hooks,
    imports,
    inspection,
    ledger,
    legacy,
    mcp,
    models,
    peer,
    postgres,
    server,
    verify,
)

PARTS = {
    "decide": decide.run,
    "durable": durable.run,
    "budgets": ledger.run,
    "server": server.run,
    "console": console.run,
    "verify": verify.run,
    "imports": imports.run,
    "hooks": hooks.run,
    "flow": flow.run,
    "forecasts": forecasts.run,
    "models": models.run,
    "mcp": mcp.run,
    "legacy": legacy.run,
    "envoy": envoy.run,
    "inspection": inspection.run,
    "postgres": postgres.run,
    "peer": peer.run,
}


def main() -> int:
    """Run the parts that were named, or all of them."""
    chosen = sys.argv[1:] or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    if "PYTHONDONTWRITEBYTECODE" in os.environ:
        print("unset PYTHONDONTWRITEBYTECODE first: it distorts start-up times", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    for name in chosen:
        PARTS[name]()
    return 0


sys.exit(main())
