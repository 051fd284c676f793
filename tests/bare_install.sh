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

count = 0
for module in pkgutil.walk_packages(remit.__path__, "remit."):
    if module.name.endswith(".__main__") or module.name == "remit.storage.conformance":
        continue  # conformance is a test suite: it needs pytest
    importlib.import_module(module.name)
    count += 1
print(f"bare install: {count} modules imported")
PY
"$work/venv/bin/remit" version
"$work/venv/bin/remit" demo >"$work/demo.txt" || { cat "$work/demo.txt"; exit 1; }
echo "bare install: the demo ran"
