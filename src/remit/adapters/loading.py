"""Frameworks are imported when their adapter is, and never before."""

from __future__ import annotations

import importlib
from typing import Any

from remit.adapters.declared import Adapter


def framework(adapter: Adapter, module: str) -> Any:
    """Import a module of an adapter's framework.

    Raises:
        ModuleNotFoundError: the framework is not installed here, or is another version than the
            adapter knows; the message says which one it was tested with.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"remit.adapters.{adapter.name} governs {adapter.title}, whose module {missing.name} "
            f"is not here. Install it: pip install '{adapter.package}' (tested: {adapter.tested}).",
            name=missing.name,
        ) from missing
