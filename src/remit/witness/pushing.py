"""Get a log's checkpoint cosigned by a witness (C2SP tlog-witness, ``add-checkpoint``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from remit.audit.checkpoint import Checkpoint, open_checkpoint
from remit.audit.note import VerifierKey, encode_base64
from remit.errors import AuditError, Unavailable
from remit.witness.remote import RemoteAnswer, RemoteLog, exchange

SIZE_MEDIA = "text/x.tlog.size"
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


def cosigned(
    log: RemoteLog,
    note: bytes,
    url: str,
    keys: Sequence[VerifierKey],
    witnesses: Sequence[VerifierKey],
    old: int = 0,
) -> bytes:
    """The checkpoint ``note`` with the cosignature of the witness at ``url`` under it, verified.

    Args:
        log: gives the proof that the witness wants to see.
        note: a checkpoint that one of ``keys`` signed.
        url: the submission prefix of the witness.
        keys: of the log.
        witnesses: of the witness; all of them must have cosigned.
        old: size of the log when this witness cosigned last, as far as is known.

    Raises:
        AuditError: the witness has seen a longer log, does not take the proof, or did not cosign.
        Unavailable: the witness, or the server, does not answer as it should.
    """
    claim = open_checkpoint(note, keys).checkpoint
    answer = _add(log, claim, note, url, old)
    if answer.status == 409 and answer.media.partition(";")[0].strip() == SIZE_MEDIA:
        size = _SIZE.fullmatch(answer.body)
        if size is None:
            raise Unavailable(f"{url}: answered 409 without a size")
        if int(size[1]) > claim.size:
            raise AuditError(
                f"rollback: the witness has seen {int(size[1])} records of the log, and the "
                f"server shows {claim.size}"
            )
        answer = _add(log, claim, note, url, int(size[1]))
    if answer.status != 200:
        said = answer.body[:500].decode(errors="replace").strip()
        problem = f"{url}: the witness answered {answer.status}: {said}"
        raise AuditError(problem) if answer.status in (409, 422) else Unavailable(problem)
    whole = note + answer.body
    open_checkpoint(whole, keys, witnesses)
    return whole


def _add(log: RemoteLog, claim: Checkpoint, note: bytes, url: str, old: int) -> RemoteAnswer:
    proof = log.consistency(old, claim.size) if 0 < old < claim.size else []
    lines = [f"old {old}", *map(encode_base64, proof), "", ""]
    body = "\n".join(lines).encode() + note
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return exchange("POST", f"{url.rstrip('/')}/add-checkpoint", headers, body)
