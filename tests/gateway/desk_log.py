"""What a folder's store says of the calls that were made: exported, verified, read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from remit.audit.record import Record, parse_record
from remit.storage.sqlite import SqliteStore


def remit(folder: Path, *arguments: str) -> str:
    """Run a command in a folder; what it prints."""
    command = [sys.executable, "-m", "remit", *arguments]
    done = subprocess.run(command, cwd=folder, input="", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def log(folder: Path) -> list[Record]:
    """The records of the log, which verifies."""
    remit(folder, "audit", "export", "--output", "log.jsonl")
    remit(folder, "audit", "verify", "log.jsonl", "--vkey", "remit.pub")
    store = SqliteStore(folder / "remit.db")
    try:
        found = store.read(lambda view: list(view.records(0, view.log_size())))
    finally:
        store.close()
    return [parse_record(each.body) for each in found]


def outcomes(folder: Path, tool: str) -> list[str | None]:
    """What came of the calls of a tool: the status of each outcome."""
    return [each.status for each in log(folder) if each.kind == "outcome" and each.tool == tool]
