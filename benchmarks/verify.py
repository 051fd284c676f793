"""Offline verification of an export: seconds and memory at 100,000 and 1,000,000 records."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import line, verdict
from remit.audit import merkle
from remit.audit.checkpoint import Checkpoint, sign_checkpoint
from remit.audit.export import export_lines
from remit.audit.record import Record, RecordedLimit, RecordedPrincipal, RecordedRule, encode_record
from remit.signing import FileSigner

CHILD = """
import resource, sys, time
from remit.audit.note import parse_vkey
from remit.audit.verify import verify_export
start = time.process_time()
with open(sys.argv[1], "rb") as stream:
    report = verify_export(stream, [parse_vkey(sys.argv[2])])
assert report.verified and report.size == int(sys.argv[3]), report
assert report.open_count == 0, report
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def _bodies(size: int) -> Iterator[bytes]:
    """Decisions and their outcomes as the governor writes them, each with its own ids."""
    chain = (
        RecordedPrincipal(
            id="inventory-bot", known="declared", roles=("reader",), team="warehouse"
        ),
        RecordedPrincipal(id="ada", kind="person", known="declared"),
    )
    rules = (RecordedRule(at="remit.yaml:14:5", effect="allow", id="reader-tools"),)
    revision = "sha256:" + "5c" * 32
    for number in range(size // 2):
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        at = 1_800_000_000_000_000 + number * 1_000
        action, session = f"a_{number:032x}", f"s_{number // 100:032x}"
        limit = RecordedLimit(
            burst=10, calls=10, key=f"rate/burst/{number // 10}", period=60_000_000
        )
        yield encode_record(
            Record(
                kind="decision", action=action, session=session, at=at, tool="db.query",
                args=digest, digest=digest, effect="allow", granted=True, mode="enforce",
                phase="call", principal=chain, rules=rules, revision=revision, limits=(limit,),
                lease=at + 600_000_000,
            )
        )  # fmt: skip
        yield encode_record(
            Record(
                kind="outcome", action=action, session=session, at=at + 500, tool="db.query",
                result=digest, digest=digest, effect="allow", granted=True, mode="enforce",
                phase="result", principal=chain, status="ok", duration=480, revision=revision,
            )
        )  # fmt: skip


def _export(path: Path, size: int, signer: FileSigner) -> None:
    frontier = merkle.Frontier()
    leaves: list[bytes] = []
    for body in _bodies(size):
        leaves.append(merkle.leaf_hash(body))
        if len(leaves) == 4096:
            frontier.extend(leaves)
            leaves.clear()
    frontier.extend(leaves)
    checkpoint = Checkpoint(signer.vkey.name, size, frontier.root())
    note = sign_checkpoint(checkpoint, signer.vkey, signer.sign)
    with path.open("wb") as stream:
        stream.writelines(export_lines(_bodies(size), note))


def run() -> None:
    """Write each export, verify it in a process of its own, and print seconds and memory."""
    print("\nremit audit verify, offline, one core, key given, limits and outcomes replayed")
    memory = {}
    for size in (100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            signer = FileSigner.create(folder / "remit.key", "bench.example/log")
            start = time.perf_counter()
            _export(folder / "log.remit", size, signer)
            made = time.perf_counter() - start
            megabytes = (folder / "log.remit").stat().st_size / 2**20
            child = [
                sys.executable,
                "-c",
                CHILD,
                str(folder / "log.remit"),
                str(signer.vkey),
                str(size),
            ]
            spent, peak = map(float, subprocess.check_output(child, text=True).split())
        memory[size] = peak
        note = verdict(spent, 15, at_most=True) if size == 1_000_000 else ""
        line(
            f"{size:,} records ({megabytes:.0f} MiB, made in {made:.0f} s)",
            f"{spent:.1f} s CPU",
            note,
        )
        line("  peak memory of the process", f"{peak:.0f} MiB")
    growth = memory[1_000_000] - memory[100_000]
    line("memory for 900,000 more records", f"{growth:.0f} MiB", verdict(growth, 32, at_most=True))
