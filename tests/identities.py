"""Settings of identity as a configuration file in some folder gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from remit.identity.settings import IdentitySettings


def settings_in(directory: Path, settings: Any) -> IdentitySettings:
    """The settings, with every file below ``directory``."""
    read = msgspec.convert(settings, IdentitySettings, dec_hook=lambda _, name: directory / name)
    return msgspec.structs.replace(read, delegation_key=directory / read.delegation_key)
