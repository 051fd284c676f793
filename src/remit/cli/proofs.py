"""``remit audit export|verify|vkey|checkpoint|prove``: what an outsider needs to check the log."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from remit.audit.checkpoint import SignedCheckpoint, read_checkpoint
from remit.audit.export import export_lines
from remit.audit.merkle import inclusion_proof
from remit.audit.note import VerifierKey, parse_vkey
from remit.audit.proof import HEADER, Receipt, parse_receipt, verify_receipt
from remit.audit.verify import VerificationReport, verify_export
from remit.cli import logview, rendering
from remit.cli.app import Exit, json_option
from remit.cli.workspace import open_store, policy_option, store_option
from remit.errors import AuditError, ConfigError, InvalidRequest
from remit.guard.checkpoints import Checkpointer
from remit.guard.opening import KEY_FILE, beside
from remit.model import Revision
from remit.signing import FileSigner, read_vkey

if TYPE_CHECKING:
    from remit.storage import Snapshot, Store, Transaction

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])

PUBLIC_FILE = "remit.pub"
_PRIVATE = 0o600
_SECRET = b"PRIVATE+KEY+"


def _output_option(command: CommandFunction) -> CommandFunction:
    option = click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        default=None,
        help="File to write; replaced when it is there.  [default: standard output]",
    )
    return option(command)


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write; replaced when it is there.",
)
@click.option("--values", is_flag=True, help="With arguments and results. They may be personal.")
@store_option
@json_option
def export(
    output: Path, values: bool, policy_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Write the whole log, signed, into one file that can be verified anywhere."""
    store = open_store(policy_path, store_path)
    try:
        note = _signed_now(store, policy_path)
        size = read_checkpoint(note).size
        store.read(
            lambda snapshot: write_whole(output, _lines(snapshot, note, size, values=values))
        )
    finally:
        store.close()
    if as_json:
        rendering.print_json({"wrote": str(output), "records": size, "values": values})
    else:
        rendering.line(f"Wrote {size} records and a signed checkpoint to {output}.")


def _lines(snapshot: Snapshot, note: bytes, size: int, *, values: bool) -> Iterable[bytes]:
    def sealed(position: int) -> tuple[bytes, bytes] | None:
        found = snapshot.values(position)
        return None if found is None else (found.salt, found.canonical)

    return export_lines(
        (logged.body for logged in snapshot.records(0, size)),
        note,
        values=sealed if values else None,
        document=lambda revision: snapshot.document(Revision(revision)),
    )


def write_whole(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with open(descriptor, "wb") as file:
            file.writelines(chunks)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _emit(output: Path | None, content: bytes) -> None:
    if output is None:
        sys.stdout.write(content.decode())
    else:
        write_whole(output, [content])


def _signed_now(store: Store, policy_path: Path) -> bytes:
    """The signed checkpoint of the log as it is now, signed if that was not done yet."""
    signer = FileSigner.open(beside(policy_path, KEY_FILE))
    signing = Checkpointer(store, signer, interval=0)

    def sign(t: Transaction) -> bytes:
        signing.sign(t)
        note = t.checkpoint()
        if note is None:
            raise AuditError("the log is empty; there is nothing to sign yet.")
        return note

    return store.write(sign)


@click.command()
@policy_option
@json_option
def vkey(policy_path: Path, as_json: bool) -> None:
    """Print the verifier key of the log: give it to whoever will verify exports."""
    private = beside(policy_path, KEY_FILE)
    if private.exists():
        key = FileSigner.open(private).vkey
    else:
        key = read_vkey(beside(policy_path, PUBLIC_FILE))
    if as_json:
        rendering.print_json({"vkey": str(key), "name": key.name})
    else:
        click.echo(str(key))


@click.command()
@_output_option
@store_option
@json_option
def checkpoint(
    output: Path | None, policy_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Sign the log as it is now. Keep what it prints elsewhere.

    Whoever deletes the newest records cannot be caught by what is left of the log, only by a
    checkpoint that was kept outside (verify --since).
    """
    store = open_store(policy_path, store_path)
    try:
        note = _signed_now(store, policy_path)
    finally:
        store.close()
    if as_json:
        claim = read_checkpoint(note)
        shown = {"origin": claim.origin, "size": claim.size, "root": claim.root.hex()}
        rendering.print_json({**shown, "checkpoint": note.decode()})
    if output is not None or not as_json:
        _emit(output, note)


@click.command()
@click.argument("name", metavar="POSITION|ACTION")
@_output_option
@store_option
@json_option
def prove(
    name: str, output: Path | None, policy_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Write a receipt: offline proof that one record is in the signed log.

    For an action it proves the decision; the outcome has a position of its own. Check a receipt
    with: remit audit verify FILE --vkey KEY.
    """
    store = open_store(policy_path, store_path)
    try:
        found = logview.find(store, name)
        if not found:
            raise InvalidRequest(f"{name}: no such position or action in this log.")
        note = _signed_now(store, policy_path)
        size = read_checkpoint(note).size
        receipt = store.read(lambda snapshot: _receipt(snapshot, found[0].position, size, note))
    finally:
        store.close()
    if as_json:
        text = receipt.encode().decode()
        rendering.print_json({"position": receipt.index, "size": size, "receipt": text})
    if output is not None or not as_json:
        _emit(output, receipt.encode())


def _receipt(snapshot: Snapshot, position: int, size: int, note: bytes) -> Receipt:
    proof = inclusion_proof(position, size, snapshot.hashes)
    logged = next(iter(snapshot.records(position, position + 1)))
    return Receipt(position, tuple(proof), note, logged.body)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--vkey",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Verifier key of the log, or a file that holds it.",
)
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    metavar="KEY",
    help="Verifier key of a witness that must have cosigned.",
)
@click.option(
    "--since",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint that you kept: the log must have grown from it.",
)
@json_option
def verify(
    file: Path,
    keys: tuple[str, ...],
    witnesses: tuple[str, ...],
    since: Path | None,
    as_json: bool,
) -> int:
    """Verify an export or a receipt, offline: with a public key and nothing else.

    Exit code 1 when it does not verify. Without --vkey nobody vouches for the file, so it does
    not verify either, but what holds together is shown.
    """
    log_keys = [read_key(each) for each in keys]
    witness_keys = [read_key(each) for each in witnesses]
    older = None if since is None else since.read_bytes()
    with file.open("rb") as stream:
        if stream.read(len(HEADER)) == HEADER.encode():
            stream.seek(0)
            return _verify_receipt(stream.read(), log_keys, witness_keys, file, as_json=as_json)
        stream.seek(0)
        report = verify_export(stream, log_keys, since=older, witnesses=witness_keys)
    if as_json:
        rendering.print_json(_json(report))
    else:
        _show(report, file)
    return Exit.OK if report.verified else Exit.FINDINGS


def read_key(given: str) -> VerifierKey:
    """The key that ``given`` spells or the file of that name holds."""
    path = Path(given)
    named = path.is_file()
    start = path.read_bytes()[: len(_SECRET)] if named else given[: len(_SECRET)].encode()
    if start == _SECRET:
        # Read as a verifier key it would be quoted in the message.
        raise ConfigError(
            f"{path.name if named else '--vkey'}: this is the key that signs. Keep it to yourself; "
            "`remit audit vkey` prints the one that verifies."
        )
    if named:
        return read_vkey(path)
    try:
        return parse_vkey(given)
    except AuditError as problem:
        raise ConfigError(
            f"--vkey: no file, and {problem}; `remit audit vkey` prints the key of a log"
        ) from None


def _verify_receipt(
    data: bytes,
    keys: Sequence[VerifierKey],
    witnesses: Sequence[VerifierKey],
    file: Path,
    *,
    as_json: bool,
) -> int:
    receipt = parse_receipt(data)
    signed: SignedCheckpoint = verify_receipt(receipt, keys, witnesses=witnesses)
    body = (receipt.extra or b"").decode()
    if as_json:
        rendering.print_json(
            {
                "verified": True,
                "position": receipt.index,
                "size": signed.checkpoint.size,
                "origin": signed.checkpoint.origin,
                "signers": list(signed.signers),
                "witnesses": list(signed.witnesses),
                "record": body,
            }
        )
    else:
        rendering.line(rendering.text("verified", "green"), f"  {file}, a receipt")
        rendering.facts(
            [
                ("log", signed.checkpoint.origin),
                ("record", f"{receipt.index} of {signed.checkpoint.size}"),
                ("signed by", ", ".join(signed.signers)),
                ("holds", body),
            ]
        )
    return Exit.OK


def _show(report: VerificationReport, file: Path) -> None:
    if report.verified:
        head = rendering.text("verified", "green")
    elif report.consistent:
        head = rendering.text("not verified", "bold yellow")
    else:
        head = rendering.text("does not verify", "bold red")
    rendering.line(head, f"  {file}")
    for each in report.discrepancies:
        place = "log" if each.position is None else f"record {each.position}"
        rendering.line("  ", rendering.text(f"{place}: ", "bold"), each.message)
    unlisted = report.discrepancy_count - len(report.discrepancies)
    if unlisted:
        rendering.line(f"  and {unlisted} more")
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    rendering.facts(
        [
            ("log", report.origin),
            ("records", f"{report.size} ({counts})"),
            *_span(report),
            ("signed by", ", ".join(report.signers) or "nobody you named; pass --vkey KEY"),
            *([("witnessed", ", ".join(report.witnesses))] if report.witnesses else []),
            *([("since", f"a checkpoint of {report.since} records")] if report.since else []),
            ("root", report.root.hex()),
            *([("open", _open(report))] if report.open_count else []),
        ]
    )


def _span(report: VerificationReport) -> list[tuple[str, str]]:
    if report.first_at is None:
        return []
    first = rendering.timestamp(report.first_at * 1000)
    return [("from", first), ("to", rendering.timestamp(report.last_at * 1000))]


def _open(report: VerificationReport) -> str:
    shown = ", ".join(each.action for each in report.open_actions[:3])
    more = f" and {report.open_count - 3} more" if report.open_count > 3 else ""
    return f"{report.open_count} granted without a recorded outcome: {shown}{more}"


def _json(report: VerificationReport) -> dict[str, Any]:
    return {
        "verified": report.verified,
        "consistent": report.consistent,
        "signed": report.signed,
        "origin": report.origin,
        "size": report.size,
        "root": report.root.hex(),
        "signers": list(report.signers),
        "witnesses": list(report.witnesses),
        "since": report.since,
        "counts": report.counts,
        "discrepancy_count": report.discrepancy_count,
        "discrepancies": [
            {"position": each.position, "code": each.code, "message": each.message}
            for each in report.discrepancies
        ],
        "open_count": report.open_count,
        "open_actions": [
            {"position": each.position, "action": each.action} for each in report.open_actions
        ],
    }
