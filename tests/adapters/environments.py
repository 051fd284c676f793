"""Installs agent frameworks for the contract, each alone with Remit's own dependencies.

    python tests/adapters/environments.py [NAME ...]      into .frameworks/NAME; all by default

``frameworks/NAME.in`` names the packages, ``NAME.txt`` pins all of them by hash. It is made by
``make lock-frameworks``, together with the dependencies of Remit: that both fit into one
environment is part of what is tested. None of the frameworks is ever a dependency of Remit.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).parent / "frameworks"
CACHE = Path(__file__).parents[2] / ".frameworks"
_UV = [sys.executable, "-m", "uv"]
_TIMEOUT = 600
"""Seconds that one installation may take on a slow line."""


def python_of(name: str) -> Path:
    """The interpreter of a framework's environment, installed if it is not there or not current."""
    lock = LOCKS / f"{name}.txt"
    place = CACHE / name
    interpreter = place / "bin" / "python"
    ready = place / ".ready"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != digest:
            _run([*_UV, "venv", "-q", "--allow-existing", "-p", sys.executable, str(place)])
            sync = ["pip", "sync", "-q", "--python", str(interpreter), "--require-hashes"]
            _run([*_UV, *sync, str(lock)])
            ready.write_text(digest)
    return interpreter


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


def compile_locks() -> None:
    """Resolve every lock anew; no index address is written into them."""
    project = CACHE.parent / "pyproject.toml"
    options = "-q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate"
    quiet = ["--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    for wanted in sorted(LOCKS.glob("*.in")):
        target = str(wanted.with_suffix(".txt"))
        _run(
            [
                *_UV,
                "pip",
                "compile",
                *options.split(),
                *quiet,
                str(wanted),
                str(project),
                "-o",
                target,
            ]
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["--lock"]:
        compile_locks()
    else:
        for each in sys.argv[1:] or sorted(lock.stem for lock in LOCKS.glob("*.txt")):
            print(python_of(each))
