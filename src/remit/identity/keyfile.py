"""A secret of one line in a file of its own that only its owner may read."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from remit.errors import ConfigError

_MAX_FILE = 4096


def open_or_create(path: Path, make: Callable[[], str]) -> str:
    """The line in the file at ``path``; where there is none, what ``make`` gives, written there.

    Safe to race: of several processes that start at once, one makes the file, whole or not at all.

    Raises:
        ConfigError: it cannot be read or written, or others than its owner may read it.
    """
    try:
        if not os.path.lexists(path):
            _write_new(path, f"{make()}\n".encode())
        return _read_private(path)
    except OSError as fault:
        raise ConfigError(f"{path}: the key cannot be read or made: {fault.strerror}") from None


def _read_private(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path}: a key must be in a regular file")
        if status.st_mode & 0o077:
            raise ConfigError(
                f"{path}: others than its owner may read the key (mode "
                f"{stat.S_IMODE(status.st_mode):04o}); make a new one if they may have, else: "
                "chmod 600"
            )
        return file.read(_MAX_FILE).decode("utf-8", "replace").strip()


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that was not there; if another process made it meanwhile, leave that one."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(beside, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)
    except FileExistsError:
        return
    finally:
        beside.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
