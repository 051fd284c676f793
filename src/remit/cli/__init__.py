"""The ``remit`` command: one module per command group, imported when it is run."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["hook"] and not {"-h", "--help"} & set(arguments):
        # Started for every call of a tool: it loads nothing that it does not need.
        from remit.hooks.thin import main as hook

        sys.exit(hook(arguments[1:]))
    from remit.cli.app import run

    sys.exit(run(arguments))


__all__ = ["main"]
