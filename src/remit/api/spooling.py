"""Exports are written to an unnamed file first, then sent from it.

So what is sent is one consistent view of the store, however slowly the client reads it, and
nothing in the store waits for the client. The file holds what the log holds; it has no name and is
gone with the request.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from typing import IO

from remit.audit.checkpoint import read_checkpoint
from remit.audit.export import export_lines
from remit.errors import AuditError
from remit.model import Revision
from remit.storage import Snapshot

_PART = 262_144
"""Bytes that are sent at a time."""


def export_file(view: Snapshot, *, values: bool) -> IO[bytes]:
    """The log as its newest checkpoint covers it, as a file at its beginning.

    Raises:
        AuditError: the log was never signed, or does not fit its checkpoint.
    """
    note = view.checkpoint()
    if note is None:
        raise AuditError("the log is empty; there is nothing to export yet")

    def sealed(position: int) -> tuple[bytes, bytes] | None:
        found = view.values(position)
        return None if found is None else (found.salt, found.canonical)

    lines = export_lines(
        (logged.body for logged in view.records(0, read_checkpoint(note).size)),
        note,
        values=sealed if values else None,
        document=lambda revision: view.document(Revision(revision)),
    )
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever sends it
    try:
        file.writelines(lines)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


class FileParts:
    """The content of a file, part by part. Closes it at the end, or when nobody wants the rest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        part = await asyncio.to_thread(self._file.read, _PART)
        if not part:
            await self.aclose()
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        """Release the file."""
        self._file.close()
