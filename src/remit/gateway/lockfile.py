"""``remit.lock``: what was accepted of each tool server, as a file beside the policy."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

from remit.errors import ConfigError, InvalidArgument
from remit.inspection import pins
from remit.inspection.pins import Origin, Package, Pins

LOCK_FILE = "remit.lock"
RECENT = 0.1
"""Seconds for which the file is taken to be as it was when it was last looked at."""
_LARGEST = 64 << 20


class LockFile:
    """The file. Read again when it changed; written whole, by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._pins: Pins | None = None
        self._fresh_until = 0.0
        """Monotonic time; nothing that failed is kept."""

    def recent(self) -> Pins | None:
        """The same as ``read``, where every call asks: the file is looked at now and then.

        Raises:
            ConfigError: it cannot be read, or was changed by hand.
        """
        now = time.monotonic()
        if now >= self._fresh_until:
            self._fresh_until = 0.0
            self.read()
            self._fresh_until = now + RECENT
        return self._pins

    def read(self) -> Pins | None:
        """What was accepted; None where there is no such file, so that nothing is pinned.

        Raises:
            ConfigError: it cannot be read, or was changed by hand.
        """
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                if found.st_size > _LARGEST:
                    raise ConfigError(f"{self.path}: larger than {_LARGEST:,} bytes")
                self._pins = pins.parse(self.path.read_bytes())
                self._stamp = stamp
        except FileNotFoundError:
            if self._stamp is not None:
                raise ConfigError(f"{self.path}: it was there and is gone; put it back") from None
            return None
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from error
        except InvalidArgument as error:
            raise ConfigError(f"{self.path}: {error}") from error
        return self._pins

    def change(self, change: Callable[[Pins], Pins]) -> Pins:
        """Write what ``change`` makes of what is there; durable when it returns.

        Raises:
            ConfigError: it cannot be read or written.
        """
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            with open(beside, "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                changed = change(self.read() or Pins())
                file.truncate(0)
                file.write(pins.encode(changed))
                file.flush()
                os.fsync(file.fileno())
                os.replace(beside, self.path)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._fresh_until = 0.0
        return changed


_NPM = re.compile(r"((?:@[\w.-]+/)?[\w.-]+)(?:@([\w.+-]+))?")
_PYPI = re.compile(r"([\w.-]+)(?:\[[\w,.-]*\])?(?:==|@)?([\w.+!-]+)?")


def origin_of(command: Sequence[str]) -> Origin:
    """How a server is reached, with the package that its command names, if it does."""
    program = PurePath(command[0]).name.removesuffix(".exe").removesuffix(".cmd")
    rest = [word for word in command[1:] if not word.startswith("-")]
    package = None
    if program in ("npx", "bunx", "pnpx") and rest:
        package = _package("npm", _NPM, rest[0])
    elif program in ("uvx", "pipx"):
        rest = rest[1:] if rest[:1] == ["run"] else rest
        package = _package("pypi", _PYPI, rest[0]) if rest else None
    elif program in ("docker", "podman"):
        image = next((word for word in rest if "/" in word or "@sha256:" in word), None)
        if image is not None:
            name, _, digest = image.partition("@")
            package = Package(registry="oci", name=name, digest=digest or None)
    return Origin(command=tuple(command), package=package)


def _package(registry: Any, form: re.Pattern[str], word: str) -> Package | None:
    match = form.fullmatch(word)
    if match is None:
        return None
    return Package(registry=registry, name=match.group(1), version=match.group(2))
