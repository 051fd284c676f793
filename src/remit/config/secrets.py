"""Secrets: from the environment or from files that it names, never from ``remit.toml``."""

from __future__ import annotations

import os
from collections.abc import Mapping

from remit.errors import ConfigError

_MAX_SECRET = 65_536


def secret(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """A secret: the variable ``name``, or the file that ``name_FILE`` names; None without either.

    Raises:
        ConfigError: both are set, or the file cannot be read.
    """
    value, place = environ.get(name), environ.get(f"{name}_FILE")
    if place is None:
        return value
    if value is not None:
        raise ConfigError(f"{name} and {name}_FILE are both set; keep one of them")
    try:
        with open(place, encoding="utf-8") as file:
            return file.read(_MAX_SECRET).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{name}_FILE: {place} cannot be read: {problem}") from None
