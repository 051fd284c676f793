"""The ``remit`` command: one module per command group, imported when it is run."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    from remit.cli.app import run

    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
