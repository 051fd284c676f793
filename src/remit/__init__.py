"""Remit: runtime governance for AI agents."""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.islower():
        raise AttributeError(name)
    for module in ("remit.guard", "remit.errors", "remit.model"):
        found = getattr(importlib.import_module(module), name, None)
        if found is not None:
            return found
    raise AttributeError(name)
