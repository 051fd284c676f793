"""The clients of ``legacy_load``, asking for a host by its name as Envoy's routes want it.

python -m benchmarks.envoy_load URL read|write CLIENTS SECONDS [NAME:VALUE ...]
"""

from __future__ import annotations

import json
import sys

from benchmarks.legacy_load import run
from benchmarks.load import run_in_loop

HOST = "inventory.corp.example"

if __name__ == "__main__":
    url, mode, clients, seconds, *headers = sys.argv[1:]
    asked = run(url, mode, int(clients), float(seconds), headers, host=HOST)
    print(json.dumps(run_in_loop(asked)))
