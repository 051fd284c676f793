"""Installs the peers that ``make bench`` compares Remit with: ``make bench-peers``.

    python benchmarks/peers/installing.py [FOLDER]      .bench-peers by default

Each gets an environment of its own, pinned by hash (``NAME.txt``, made from ``NAME.in`` by
``uv pip compile --universal --python-version 3.11 --generate-hashes``). None is ever a dependency.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).parent


def install(folder: Path) -> None:
    """Make or bring up to date one environment for each lock file."""
    uv = [sys.executable, "-m", "uv"]
    for lock in sorted(LOCKS.glob("*.txt")):
        place = folder / lock.stem
        subprocess.run([*uv, "venv", "-q", "--allow-existing", str(place)], check=True)
        python = ["--python", str(place / "bin" / "python")]
        command = [*uv, "pip", "sync", "-q", *python, "--require-hashes", str(lock)]
        subprocess.run(command, check=True)
        print(place)


if __name__ == "__main__":
    install(Path(sys.argv[1] if len(sys.argv) > 1 else LOCKS.parents[1] / ".bench-peers"))
