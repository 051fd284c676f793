#!/usr/bin/env bash
# Installs the built wheel with nothing but its core dependencies into a fresh environment,
# imports every module, and runs the demo from there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
uv="$root/.venv/bin/uv"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$uv" build -q --wheel --out-dir "$work/dist" "$root"
"$uv" venv -q --python "$root/.venv/bin/python" "$work/venv"
"$uv" pip install -q --python "$work/venv/bin/python" -c "$root/requirements.lock" "$work"/dist/*.whl
cd "$work"
"$work/venv/bin/python" -W error - <<'PY'
import importlib
import pkgutil

import remit

# What needs an extra, and may ask for it. Everything else must import without.
EXTRAS = ("remit.server", "remit.api", "remit.telemetry", "remit.identity.", "remit.webhooks.")
# The gateways of a server; what `remit wrap` needs imports without.
EXTRAS += ("remit.gateway.hosted", "remit.gateway.llm", "remit.gateway.legacy")
EXTRAS += ("remit.gateway.lean_client",)
EXTRAS += ("remit.gateway.forward", "remit.gateway.envoy", "remit.gateway.http_problems")
EXTRAS += ("remit.storage.postgres",)
EXTRAS += ("remit.hooks.mount", "remit.gateway.lean_client")
EXTRAS += ("remit.protocols.graphql", "remit.protocols.http")
EXTRAS += ("remit.console",)
EXTRAS += tuple(
    f"remit.gateway.mcp_{part}"
    for part in ("answers", "bridge", "http", "peers", "pump", "relay", "sessions", "upstream")
)
# Adapters ask for their framework, which is never a dependency; what is common to them does not.
from remit.adapters.declared import ADAPTERS

EXTRAS += tuple(f"remit.adapters.{each.name.replace('-', '_')}" for each in ADAPTERS)
MODULES = {"aiohttp", "authlib", "biscuit_auth", "google", "graphql", "grpc", "jinja2", "joserfc"}
MODULES |= {"multidict", "opentelemetry", "prometheus_client", "psycopg", "uvloop"}

imported, left_out = 0, []
for module in pkgutil.walk_packages(remit.__path__, "remit.", onerror=lambda name: None):
    if module.name.startswith("remit.storage.conformance"):
        continue  # a test suite: it needs pytest
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as missing:
        if not module.name.startswith(EXTRAS) or not (
            missing.name.split(".")[0] in MODULES or module.name.startswith("remit.adapters.")
        ):
            raise
        left_out.append(module.name)
    else:
        imported += 1
print(f"bare install: {imported} modules imported; with an extra: {', '.join(left_out)}")
PY
"$work/venv/bin/remit" version
"$work/venv/bin/remit" demo >"$work/demo.txt" || { cat "$work/demo.txt"; exit 1; }
echo "bare install: the demo ran"
