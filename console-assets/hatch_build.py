"""Puts the console's bundle into the wheel; see ``build.py``."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBundle(BuildHookInterface[Any]):
    """Builds the bundle before a wheel is packed, unless it is there already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See to it that the wheel is complete; an editable install is not one."""
        if version != "editable":
            build = runpy.run_path(str(Path(self.root) / "console-assets" / "build.py"))
            try:
                build["ensure"]()
            except build["BundleError"] as problem:
                raise SystemExit(f"remit: {problem}") from None
